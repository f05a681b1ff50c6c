"""CS-34: CSQLs beside onboardings in time. Two periods of 90 days end on 1 December 2026: to 2 September, and from 3 September."""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from mappings.models import Mappings
from mappings.models_csql import Guard
from mappings.models_onboarding import OnboardingPlan
from tests.factories import AS_OF, MODIFIED, ON, Lake, instant, make_mappings
from tests.worker.core import RELATIONS, Row, decide, moment, open_lake, rows
from tests.worker.csqls import own
from worker.guard import read_guard, warned
from worker.steps._guard import build_guard, leave_guard, warnings
from worker.steps._lake import leave

#: By CSM: per onboarding the day it began and the day it ended (null = never). 90 days from 1 April end on 29 June: the period before.
#: 90 days from 1 July end on 28 September: the later one.
ONBOARDINGS = {
    "busy": [(4, 20)] * 4 + [(4, None)] + [(7, 20)] * 2 + [(7, None)] * 3,
    "steady": [(4, 20)] * 4 + [(4, None)] + [(7, 20)] * 4 + [(7, None)],
    "few": [(4, 20)] * 4 + [(7, None)] * 4,
}
#: Days before today on which CSQLs were submitted.
CSQLS = {"busy": [100, 60, 30, 10], "steady": [100, 60, 30, 10], "few": [60, 30, 10]}


def _mappings(**guard: float) -> Mappings:
    text = {"en": "Step", "ja": "手順"}
    plan = {
        "name": "expense", "title": text, "products": ["expense"],
        "versions": [{"version": 1, "phases": [{"name": "prepare", "title": text}], "steps": [
            {"name": "routes", "title": text, "phase": "prepare", "due_days": 30, "activity": {"subject": "routes"}}]}],
    }  # fmt: skip
    made = make_mappings(onboarding={"expense": OnboardingPlan.model_validate(plan)})
    return made.model_copy(update={"policy": made.policy.model_copy(update={"guard": Guard.model_validate(guard)})})


def _lake() -> Lake:
    lake = Lake()
    for csm, starts in ONBOARDINGS.items():
        lake.add("crm_user", connection="salesforce", id=csm, name=f"Name {csm}", team="north", modified_at=MODIFIED, read_at=MODIFIED)
        for n, (month, ended) in enumerate(starts):
            account = lake.make_account(f"{csm}-{n}", csm_id=csm)
            lake.make_contract(account, starts_on=date(2026, month, 1), ends_on=date(2028, 3, 31))
            done = date(2026, month, ended) if ended else None
            lake.make_activity(account, done or ON, kind="onboarding_step", subject="routes", due_on=ON, **({} if done else {"done_at": None}))
        for n, ago in enumerate(CSQLS[csm]):
            at = instant(ON - timedelta(days=ago))
            key = f"{csm}-0|p{n}|1"
            lake.make_csql(f"{csm}-0", product=f"p{n}", state="Submitted", external_key=key, created_at=at, modified_at=at)
        lake.make_csql(f"{csm}-1", product="c", state="Candidate", external_key=f"{csm}-1|c|1", created_at=instant(ON - timedelta(days=5)))
    return own(lake)


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    found = open_lake(_lake())
    decide(found, _mappings())
    build_guard(found, RELATIONS, Guard(), moment(AS_OF))
    return found


def _of(con: duckdb.DuckDBPyConnection, who: str) -> Row:
    (row,) = rows(con, f"SELECT * FROM guard WHERE who = '{who}'")
    return row


def test_cs34_more_csqls_while_fewer_onboardings_end_in_time_is_warned_of(con: duckdb.DuckDBPyConnection) -> None:
    """busy: 1 CSQL, then 3; 4 of 5 in time (80 %), then 2 of 5 (40 %). steady: the same CSQLs, 80 % both times."""
    busy = _of(con, "busy")
    assert (busy["csqls_before"], busy["csqls"], busy["percent_before"], busy["percent"], busy["warns"]) == (1, 3, 80.0, 40.0, True)
    assert (busy["settled_before"], busy["in_time_before"], busy["settled"], busy["in_time"]) == (5, 4, 5, 2)
    steady = _of(con, "steady")
    assert (steady["csqls"], steady["percent_before"], steady["percent"], steady["warns"]) == (3, 80.0, 80.0, False)


def test_cs34_nothing_is_claimed_of_few_onboardings(con: duckdb.DuckDBPyConnection) -> None:
    """From 100 % to nothing, but of four each: five are the least."""
    few = _of(con, "few")
    assert (few["percent_before"], few["percent"], few["settled"], few["warns"]) == (100.0, 0.0, 4, False)


def test_cs34_teams_and_everybody_are_compared_likewise(con: duckdb.DuckDBPyConnection) -> None:
    """The team: 2 CSQLs, then 9; 12 of 14 in time (85.7 %), then 6 of 14 (42.9 %)."""
    team = _of(con, "north")
    assert (team["csqls_before"], team["csqls"], team["percent_before"], team["percent"], team["warns"]) == (2, 9, 85.7, 42.9, True)
    assert rows(con, "SELECT * EXCLUDE (kind, who) FROM guard WHERE kind = 'all'") == [{k: v for k, v in team.items() if k not in ("kind", "who")}]


def test_cs34_months_lie_side_by_side(con: duckdb.DuckDBPyConnection) -> None:
    """Periods ended on 29 June and 28 September. CSQLs: 100 days ago is 23 August, 60 is 2 October, 30 is 1 November, 10 is 21 November."""
    months = {r["who"]: (r["csqls"], r["settled"], r["in_time"]) for r in rows(con, "SELECT * FROM guard WHERE kind = 'month'")}
    assert months == {"2026-06": (0, 14, 12), "2026-08": (2, 0, 0), "2026-09": (0, 14, 6), "2026-10": (3, 0, 0), "2026-11": (6, 0, 0)}


def test_cs34_the_run_says_it_and_the_reports_show_it(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    leave(con, tmp_path, "onboarding")
    con.execute("ALTER TABLE onboarding RENAME TO kept")  # decide has it from the folder alone
    try:
        said = leave_guard(con, RELATIONS, _mappings(), moment(AS_OF), tmp_path)
    finally:  # the folder goes with this test
        con.execute("DROP VIEW IF EXISTS onboarding")
        con.execute("ALTER TABLE kept RENAME TO onboarding")
    assert list(said) == ["csql:guard:all:", "csql:guard:team:north", "csql:guard:csm:busy"]
    assert said["csql:guard:csm:busy"].startswith(
        "CSM busy: 3 CSQLs handed over in 90 days (1 in the 90 before), while onboardings in time went from 80 % (4 of 5)"
    )
    shown = read_guard(con, tmp_path)
    assert [row["kind"] for row in shown if row["warns"]] == ["all", "team", "csm"]
    assert warned(shown)[2].startswith("CSM Name busy: 3 CSQLs handed over after 1")


def test_cs34_its_numbers_are_the_firms(con: duckdb.DuckDBPyConnection) -> None:
    guard = Guard(settled=4, fall_points=50)
    build_guard(con, RELATIONS, guard, moment(AS_OF))
    assert list(warnings(con, guard)) == ["csql:guard:csm:few"]  # 100 → 0; the others fell by less than 50 points
    build_guard(con, RELATIONS, Guard(), moment(AS_OF))


def test_cs34_without_a_plan_nothing_is_built(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    assert leave_guard(con, RELATIONS, make_mappings(), moment(AS_OF), tmp_path) == {}
    assert read_guard(con, tmp_path) == []
