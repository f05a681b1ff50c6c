"""CS-44: what came before renewals and departures. Today is 1 December 2026.

40 accounts renewed on 1 October 2026 (R0 … R39) and 30 left on that day (L0 … L29), so all decided on 1 September, one month before, but L0, who gave
notice on 20 August. The 90 days to 1 September begin on 4 June.
"""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.factories import AS_OF, Lake, instant, make_mappings
from tests.worker.core import RELATIONS, decide, moment, open_lake, rows
from worker import actions
from worker.actions import Actions, read_actions
from worker.cli.past import print_actions
from worker.steps._lake import leave

RENEWED, LEFT = range(40), range(30)
OCTOBER = date(2026, 10, 1)


def _lake(renewed: range = RENEWED, left: range = LEFT) -> Lake:
    lake = Lake()
    for n in renewed:
        lake.make_account(f"R{n}")
        lake.make_contract(f"R{n}", starts_on=date(2025, 10, 1), ends_on=date(2026, 9, 30))
        lake.make_contract(f"R{n}", starts_on=OCTOBER, ends_on=date(2027, 9, 30))
    for n in left:
        lake.make_account(f"L{n}", churn_notice_on=date(2026, 8, 20) if n == 0 else None)
        lake.make_contract(f"L{n}", starts_on=date(2025, 10, 1), ends_on=date(2027, 9, 30), churned_on=OCTOBER)
    # meetings at 32 of 40 and 8 of 30; in tier 4 before are R0 … R29 and L0 … L4, in tier 2 all others
    for account in [f"R{n}" for n in renewed if n < 32] + [f"L{n}" for n in left if n < 8]:
        lake.make_activity(account, date(2026, 8, 10))
    if 29 in left:
        lake.make_activity("L29", date(2026, 6, 3))  # a day too early
        lake.make_activity("L0", date(2026, 8, 25), kind="call")  # after the notice
    for n in renewed[:5]:
        lake.make_activity(f"R{n}", date(2026, 9, 1), kind="email")
    for n in renewed[:20]:
        lake.make_outcome(f"R{n}", date(2026, 7, 1))
    high = {f"R{n}" for n in range(30)} | {f"L{n}" for n in range(5)}
    for account in [f"R{n}" for n in renewed] + [f"L{n}" for n in left]:
        tier = 4 if account in high else 2
        lake.add(
            "score_history", account_id=account, on_=date(2026, 5, 1), tier=tier, score=tier * 20, state="scored", as_of=instant(date(2026, 5, 1))
        )
    return lake


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Lake], tuple[Actions, duckdb.DuckDBPyConnection]]:
    def found(lake: Lake) -> tuple[Actions, duckdb.DuckDBPyConnection]:
        con, folder = open_lake(lake), tmp_path_factory.mktemp("run")
        decide(con, make_mappings(), keep=False)
        leave(con, folder, "accounts")
        return read_actions(con, folder, RELATIONS, moment(AS_OF), run_id="run"), con

    return found


@pytest.fixture(scope="module")
def report(read: Callable[[Lake], tuple[Actions, duckdb.DuckDBPyConnection]]) -> Actions:
    return read(_lake())[0]


def _of(report: Actions, action: str) -> dict[str, Any]:
    return dict(next(row for row in report.rows if row["action"] == action))


def test_cs44_shares_and_lift_with_their_counts(report: Actions) -> None:
    """With a meeting 32 of 40 renewed (80 %), without 8 of 30 (26.7 %): lift 3. Its spread is sqrt(1/32 - 1/40 + 1/8 - 1/30) = 0.3129, so from
    3 / exp(1.96 x 0.3129) = 1.62 to 5.54. An outcome record: 20 of 20, without 20 of 50 (40 %): 2.5, spread sqrt(1/20 - 1/50) = 0.1732,
    from 1.78 to 3.51."""
    assert (report.renewed, report.left, report.enough) == (40, 30, True)
    meeting, outcome = _of(report, "meeting"), _of(report, "outcome_record")
    assert [meeting[k] for k in ("renewed_with", "left_with", "renewed_without", "left_without")] == [32, 8, 8, 22]
    assert (meeting["renewed_percent_with"], meeting["renewed_percent_without"]) == (80.0, 26.7)
    assert (meeting["lift"], meeting["lift_low"], meeting["lift_high"]) == (3.0, 1.62, 5.54)
    assert (outcome["lift"], outcome["lift_low"], outcome["lift_high"]) == (2.5, 1.78, 3.51)


def test_cs44_within_the_same_tier_less_of_it_is_left(report: Actions) -> None:
    """Tier 4: all 35 had a meeting, nothing to compare. Tier 2: 2 of 5 with, 8 of 30 without: (2 x 30 / 35) / (8 x 5 / 35) = 1.5.
    Outcome records: tier 4 has 20 of 20 and 10 of 15: (20 x 15) / (10 x 20) = 1.5; tier 2 has none."""
    assert (_of(report, "meeting")["lift_same_tier"], _of(report, "outcome_record")["lift_same_tier"]) == (1.5, 1.5)


def test_cs44_few_accounts_carry_no_lift(report: Actions) -> None:
    """Five with an e-mail: the counts, and no claim. A call after the notice came too late to be counted at all."""
    email = _of(report, "email")
    assert (email["renewed_with"], email["left_with"], email["enough"], email["lift"], email["lift_same_tier"]) == (5, 0, False, None, None)
    assert [row["action"] for row in report.rows] == ["meeting", "outcome_record", "email"]


def test_cs44_below_thirty_departures_nothing_is_computed(read: Callable[[Lake], tuple[Actions, duckdb.DuckDBPyConnection]]) -> None:
    report, _ = read(_lake(left=range(actions.LEAST_LEFT - 1)))
    assert (report.left, report.enough, {row["lift"] for row in report.rows}) == (29, False, {None})


def test_cs44_what_counts_as_a_decision(read: Callable[[Lake], tuple[Actions, duckdb.DuckDBPyConnection]]) -> None:
    """A line that ran on past its twelve months, and a renewal won by sales; neither a monthly term nor a first year."""
    lake = Lake()
    for account, line in {
        "rolled": {"starts_on": date(2025, 11, 1), "ends_on": None},
        "kept": {"starts_on": date(2025, 11, 1), "ends_on": None, "notice_on": date(2026, 9, 15)},
        "monthly": {"starts_on": date(2026, 1, 1), "ends_on": None, "term_months": 1}, "young": {"starts_on": date(2026, 3, 1), "ends_on": None},
        "sold": {"starts_on": date(2026, 3, 1), "ends_on": None},
    }.items():  # fmt: skip
        lake.make_account(account)
        lake.make_contract(account, **line)
    lake.make_opportunity("sold", kind="renewal", closed=True, won=True, close_on=date(2026, 10, 15))
    _, con = read(lake)
    found = {row["account_id"]: row["decided_on"] for row in rows(con, "SELECT * FROM v_decision")}
    assert found == {"rolled": OCTOBER, "kept": OCTOBER, "sold": date(2026, 9, 15)}


def test_cs44_it_says_that_this_is_no_proof(report: Actions, capsys: pytest.CaptureFixture[str]) -> None:
    print_actions(report, "en")
    said = " ".join(capsys.readouterr().out.split())
    assert "not what made the difference" in said
    for word in ("because", "caused", "leads to", "effect of", "thanks to"):
        assert word not in said
    print_actions(report, "ja")
    assert "効果を示すものではありません" in "".join(capsys.readouterr().out.split())


def test_cs44_the_period_can_be_chosen(read: Callable[[Lake], tuple[Actions, duckdb.DuckDBPyConnection]], tmp_path: Path) -> None:
    _, con = read(_lake(range(3), range(2)))
    leave(con, tmp_path, "accounts")
    late = read_actions(con, tmp_path, RELATIONS, moment(AS_OF), run_id="run", since=OCTOBER + timedelta(days=1))
    assert (late.renewed, late.left, late.rows) == (0, 0, [])
