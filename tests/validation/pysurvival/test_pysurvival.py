"""pysurvival (square/pysurvival, Apache-2.0): what a label-free score, written as mapping files, says about churn, with and without missing inputs.

The lake is made from the file; join and score are the product's. The mapping files beside this test hold the percentile ranks as steps.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import duckdb
import pytest

from mappings.load import load
from mappings.models import Mappings, Steps
from tests.acceptance.orgs import lay_over
from tests.validation.auc import auc
from tests.validation.noisy_series import plain_tier
from tests.validation.pysurvival.load import RANKED, Customer, account_id, build_lake, read_customers
from tests.worker.core import RELATIONS, moment, open_lake
from worker.steps.join import join_accounts
from worker.steps.score import score_accounts

SEEDS = range(1, 6)
SHARE_MISSING = 0.3
#: Inputs as columns of `accounts`, by axis. Notifications are a difference of three of them, and so missing in two draws of three.
AXES = {
    "deployment": ["products_owned"],
    "adoption": ["core_events_28d", "events_28d", "advanced_events_28d", "touches_90d"],
    "engagement": ["csat_90d"],
}
#: customer-success.md 2.3: all inputs present, and a third of the axes left out at random (one draw)
WRITTEN_FULL, WRITTEN_MISSING = 0.759, 0.663


@dataclass
class Bench:
    con: duckdb.DuckDBPyConnection
    mappings: Mappings
    customers: list[Customer]

    def stays(self, n: int) -> bool:
        return float(self.customers[n]["churned"]) == 0

    def scores(self, mappings: Mappings | None = None) -> dict[int, float]:
        """Customer -> score before rounding, of those that are scored."""
        score_accounts(self.con, mappings or self.mappings, full=True)
        rows = self.con.execute("SELECT account_id, score_uncapped FROM scores WHERE state = 'scored' ORDER BY account_id").fetchall()
        return {int(account[1:]): score for account, score in rows}

    def auc(self, scores: dict[int, float]) -> float:
        return auc(list(scores.values()), [self.stays(n) for n in scores])

    def churn(self, customers: Sequence[int]) -> float:
        return 1 - fmean(self.stays(n) for n in customers)


@pytest.fixture(scope="module")
def bench(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    path = shared / "data" / "pysurvival" / "churn.csv"
    if not path.is_file():
        pytest.skip(f"no pysurvival data at {path}: set SCORESYNC_SHARED")
    customers = read_customers(path)
    mappings = load(lay_over(Path(__file__).parent / "mappings", tmp_path_factory.mktemp("pysurvival") / "mappings"))
    with open_lake(build_lake(customers)) as con:
        join_accounts(con, RELATIONS, mappings, moment())
        con.execute("CREATE TABLE complete AS SELECT * FROM accounts")
        yield Bench(con, mappings, customers)


@pytest.fixture(autouse=True)
def _complete(bench: Bench) -> None:
    bench.con.execute("CREATE OR REPLACE TEMP TABLE accounts AS SELECT * FROM complete")


def test_the_ranks_in_the_mapping_files_are_those_of_the_file(bench: Bench) -> None:
    """Steps are the share of customers at or below a value; no label enters."""
    for indicator, column in RANKED.items():
        mapping = bench.mappings.indicators[indicator].mapping
        assert isinstance(mapping, Steps)
        counts = Counter(float(c[column]) for c in bench.customers)
        at_or_below = {value: sum(n for v, n in counts.items() if v <= value) / len(bench.customers) * 100 for value in counts}
        assert {s.at_least: s.points for s in mapping.steps} == {value: pytest.approx(share, abs=0.0051) for value, share in at_or_below.items()}


def test_label_free_score_tells_churn(bench: Bench) -> None:
    scores = bench.scores()
    assert len(scores) == len(bench.customers)
    found = bench.auc(scores)
    by_score = sorted(scores, key=lambda n: scores[n])
    fifth = len(by_score) // 5
    fifths = [bench.churn(by_score[k * fifth : (k + 1) * fifth]) for k in range(5)]
    fixed = defaultdict(list)
    for n, score in scores.items():
        fixed[plain_tier(score)].append(n)
    print(f"\nAUC {found:.3f}; churn by equal fifths, lowest score first: {', '.join(f'{c:.1%}' for c in fifths)}")
    print(
        "fixed tiers 20/40/60/80: " + ", ".join(f"{tier}: {len(who)} accounts, churn {bench.churn(who):.1%}" for tier, who in sorted(fixed.items()))
    )
    assert found >= 0.74
    assert fifths == sorted(set(fifths), reverse=True)
    rates = [bench.churn(who) for _, who in sorted(fixed.items())]
    assert rates == sorted(rates, reverse=True)


def blank(bench: Bench, rng: random.Random, groups: Sequence[Sequence[str]]) -> None:
    """Each group of inputs is missing for each account with the given chance, independently."""
    gone = [(account_id(n), column) for n in range(len(bench.customers)) for columns in groups if rng.random() < SHARE_MISSING for column in columns]
    bench.con.execute("CREATE OR REPLACE TEMP TABLE gone (account_id VARCHAR, column_name VARCHAR)")
    bench.con.execute("INSERT INTO gone SELECT unnest(?), unnest(?)", [[a for a, _ in gone], [c for _, c in gone]])
    columns = sorted({column for _, column in gone})
    kept = ", ".join(f"CASE WHEN NOT list_contains(g.names, '{c}') THEN {c} END AS {c}" for c in columns)
    bench.con.execute(
        f"CREATE OR REPLACE TEMP TABLE accounts AS SELECT c.* REPLACE ({kept}) FROM complete AS c LEFT JOIN "
        "(SELECT account_id, list(column_name) AS names FROM gone GROUP BY account_id UNION ALL SELECT account_id, [] FROM complete "
        "WHERE account_id NOT IN (SELECT account_id FROM gone)) AS g ON g.account_id = c.account_id"
    )


@pytest.mark.parametrize("what", ["axes", "inputs"])
def test_a_third_missing_costs_what_is_written(bench: Bench, what: str) -> None:
    """With the product's gate (coverage 60 %, two axes) and, as 2.3 measured it, scoring whoever has anything at all."""
    groups = list(AXES.values()) if what == "axes" else [[column] for columns in AXES.values() for column in columns]
    anything = bench.mappings.model_copy(update={"score": bench.mappings.score.model_copy(update={"coverage_min": 0, "axes_min": 1})})
    full = bench.auc(bench.scores())
    gated, open_, scored = [], [], []
    for seed in SEEDS:
        blank(bench, random.Random(seed), groups)
        scores = bench.scores()
        gated.append(bench.auc(scores))
        scored.append(len(scores) / len(bench.customers))
        open_.append(bench.auc(bench.scores(anything)))
    print(f"\n30 % of the {what} missing, {len(SEEDS)} seeds: AUC {full:.3f} → {fmean(gated):.3f} ({min(gated):.3f}..{max(gated):.3f})")
    print(f"on the {fmean(scored):.1%} that are still scored; without the gate {fmean(open_):.3f} ({min(open_):.3f}..{max(open_):.3f})")
    assert full - fmean(gated) <= WRITTEN_FULL - WRITTEN_MISSING
    # 2.3 gives one draw; one draw's standard error here is 0.009
    assert fmean(open_) >= WRITTEN_MISSING - 0.01
