"""Noisy daily scores of a year, as customer-success.md 2.3 simulates them: a true score that moves slowly, and a measured one around it.

Per account, day by day (plain Python `random`, one seed for all):

    true     = level + slope * day + drift      level ~ N(60, 18); slope ~ N(0, 10 points a year); drift = AR(1), coefficient 0.998, sd 4
    measured = true + noise                     noise = AR(1), coefficient 0.4, sd 3

Both are held to 0..100. 2.3 gives the noise's sd only. The other figures were chosen so that the noise-free tier flips about as often as 2.3 says
(3.7 a year, p95 18) and the measured one without a rule, too (39.5, p95 96). What the rule saves depends on them: docs/validation.md.
"""

import itertools
import math
import random
from collections.abc import Iterator, Sequence

SEED = 20261201
ACCOUNTS = 2_000
DAYS = 365
EDGES = (20, 40, 60, 80)

NOISE_COEFFICIENT, NOISE_SD = 0.4, 3.0
DRIFT_COEFFICIENT, DRIFT_SD = 0.998, 4.0
LEVEL_MEAN, LEVEL_SD, SLOPE_SD = 60.0, 18.0, 10.0

#: true and measured score of one account, day by day
Series = tuple[list[float], list[float]]


def make_series(accounts: int = ACCOUNTS, days: int = DAYS, seed: int = SEED) -> Iterator[Series]:
    """Account by account."""
    rng = random.Random(seed)
    noise_step = NOISE_SD * math.sqrt(1 - NOISE_COEFFICIENT**2)
    drift_step = DRIFT_SD * math.sqrt(1 - DRIFT_COEFFICIENT**2)
    for _ in range(accounts):
        level, slope = rng.gauss(LEVEL_MEAN, LEVEL_SD), rng.gauss(0, SLOPE_SD) / 365
        drift, noise = rng.gauss(0, DRIFT_SD), rng.gauss(0, NOISE_SD)
        true, measured = [], []
        for day in range(days):
            true.append(_held(level + slope * day + drift))
            measured.append(_held(true[-1] + noise))
            drift = DRIFT_COEFFICIENT * drift + drift_step * rng.gauss(0, 1)
            noise = NOISE_COEFFICIENT * noise + noise_step * rng.gauss(0, 1)
        yield true, measured


def _held(score: float) -> float:
    return min(max(score, 0.0), 100.0)


def plain_tier(score: float) -> int:
    """The tier of a published score by the edges alone; Python rounds half to even."""
    return 1 + sum(round(score) >= edge for edge in EDGES)


def flips(tiers: Sequence[int]) -> int:
    return sum(a != b for a, b in itertools.pairwise(tiers))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]
