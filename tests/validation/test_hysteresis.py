"""Hysteresis on a simulated year: how often tiers flip, and how often they agree with the tier that a score without noise would have.

The tiers are those of the product: `decide`'s own SQL, once per day for all accounts together, over the history that the days before left. Only the
rows of `scores` are made here. Of the history a day sees each account's newest row: the rule asks for the closing before and nothing older (the
trend, which does, is not looked at).
"""

from collections.abc import Sequence
from datetime import timedelta
from statistics import fmean

import duckdb
import pyarrow as pa
import pytest

from mappings.load import load
from mappings.models import Mappings, Score, Tiers
from tests.factories import AS_OF, Lake, make_mappings
from tests.validation.noisy_series import ACCOUNTS, DAYS, Series, flips, make_series, percentile, plain_tier
from tests.worker.core import moment
from tests.worker.test_score import accounts
from worker.steps._usage import load_catalogue
from worker.steps.decide import _decide_tiers

Figures = tuple[float, float, float]  # flips per account and year, their 95th percentile, share of days that agree with the noise-free tier


def tiers_by_product(mappings: Mappings, measured: Sequence[Sequence[float]]) -> list[list[int]]:
    """Per account its tiers, day by day, from one run of decide's SQL a day."""
    with duckdb.connect(config={"threads": 1}) as con:
        Lake().into(con)
        accounts(con, *[{"account_id": _id(n)} for n in range(len(measured))])
        load_catalogue(con, mappings)
        con.register("measured_rows", _table(measured))
        con.execute("CREATE TABLE measured AS SELECT * FROM measured_rows ORDER BY day, account_id")
        found = [_day(con, mappings, day) for day in range(len(measured[0]))]
        return [list(account) for account in zip(*found, strict=True)]


def _day(con: duckdb.DuckDBPyConnection, mappings: Mappings, day: int) -> list[int]:
    now = moment(AS_OF + timedelta(days=day))
    con.execute(
        "CREATE OR REPLACE TEMP TABLE scores AS SELECT account_id, 'scored' AS state, NULL::VARCHAR AS why, NULL::VARCHAR AS why_ja, "
        "'default' AS profile, NULL::VARCHAR AS stage, score AS score_uncapped, CAST(round_even(score, 0) AS BIGINT) AS score, "
        "NULL::VARCHAR AS capped_by, NULL::DOUBLE AS deployment, NULL::DOUBLE AS adoption, NULL::DOUBLE AS engagement, NULL::DOUBLE AS outcome, "
        f"100.0::DOUBLE AS coverage, '' AS config_version FROM measured WHERE day = {day}"
    )
    _decide_tiers(con, mappings, now, f"day-{day}", "score_history")
    con.execute("DELETE FROM score_history WHERE account_id IN (SELECT account_id FROM history)")
    con.execute("INSERT INTO score_history BY NAME SELECT * FROM history")
    return [int(tier) for (tier,) in con.execute("SELECT tier FROM d_result ORDER BY account_id").fetchall()]


def _id(n: int) -> str:
    return f"a{n:05d}"


def _table(measured: Sequence[Sequence[float]]) -> pa.Table:
    days = len(measured[0])
    return pa.table({
        "account_id": [_id(n) for n in range(len(measured)) for _ in range(days)],
        "day": [day for _ in measured for day in range(days)],
        "score": [score for account in measured for score in account],
    })  # fmt: skip


def figures(tiers: Sequence[Sequence[int]], truth: Sequence[Sequence[int]]) -> Figures:
    moved = [flips(account) * 365 / len(account) for account in tiers]
    agreeing = fmean(fmean(a == b for a, b in zip(account, true, strict=True)) for account, true in zip(tiers, truth, strict=True))
    return fmean(moved), percentile(moved, 0.95), agreeing


def line(name: str, found: Figures) -> str:
    return f"{name:28} flips per account-year {found[0]:5.1f} (p95 {found[1]:3.0f})   agrees with the noise-free tier {found[2]:.3f}"


@pytest.fixture(scope="module")
def year() -> list[Series]:
    return list(make_series())


# every day costs the same whatever the number of accounts: the whole year is half a minute
@pytest.mark.parametrize("days", [91, pytest.param(DAYS, marks=pytest.mark.slow)])
def test_the_shipped_rule_cuts_flips_tenfold_and_agrees_more(year: list[Series], days: int) -> None:
    shipped = load().score.tiers
    mappings = make_mappings(score=Score(name="health", profiles=load().score.profiles[-1:], tiers=shipped))
    measured = [scores[:days] for _, scores in year]
    truth = [[plain_tier(score) for score in true[:days]] for true, _ in year]
    without = figures([[plain_tier(score) for score in account] for account in measured], truth)
    ruled = figures(tiers_by_product(mappings, measured), truth)
    name = f"margin {shipped.margin}, {shipped.closings} closings"
    print(f"\n{ACCOUNTS} accounts, {days} days", line("no rule", without), line(name, ruled), line("noise-free", figures(truth, truth)), sep="\n")
    assert without[0] / ruled[0] >= 10
    assert ruled[2] > without[2]


def test_no_rule_is_the_plain_tier_of_every_day(year: list[Series]) -> None:
    """What the shipped rule is compared with is the product without its rule (margin 0, one closing), on the first accounts and weeks."""
    mappings = make_mappings(score=Score(name="health", profiles=load().score.profiles[-1:], tiers=Tiers(margin=0, closings=1)))
    measured = [scores[:30] for _, scores in year[:200]]
    assert tiers_by_product(mappings, measured) == [[plain_tier(score) for score in account] for account in measured]
