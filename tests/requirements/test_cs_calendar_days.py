"""CS-92 and rule 1: by the calendar alone a list moves few records a day, also where all deadlines are month ends."""

import random
from datetime import date, timedelta

import duckdb
import pyarrow as pa
import pytest

from mappings.load import load
from mappings.models import Mappings
from tests.factories import Lake, instant, make_mappings
from tests.worker.core import RELATIONS, decide, moment, open_lake, rows
from worker.steps._assign import assign

ACCOUNTS, CSMS, SEED = 1_000, 20, 7
#: From Thursday 10 December 2026 on: the deadline of 31 December passes, and those of January, February and March come 30, 60 and 90 days near.
FIRST = date(2026, 12, 10)
DAYS = 30
#: design.md, section 12: the next day without new data writes at most this share of the records.
HOLD = 0.02


def _month_end(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)


def _firm() -> duckdb.DuckDBPyConnection:
    """Customers of every tier and size, 50 a CSM, so that every list is full; the deadline of each is the end of one of twelve months."""
    rng = random.Random(SEED)
    given = [
        {
            "account_id": f"A{n:04d}", "csm_id": f"U{n % CSMS:02d}", "mrr": rng.choice([30_000, 60_000, 250_000, 600_000]),
            "tier": rng.choices([1, 2, 3, 4, 5], [5, 10, 30, 40, 15])[0], "delta": rng.choices([0, -6, -16], [70, 20, 10])[0],
            "alerts": rng.choices([0, 1, 2], [80, 15, 5])[0], "notice_on": _month_end(FIRST + timedelta(days=rng.randrange(0, 334))),
        }
        for n in range(ACCOUNTS)
    ]  # fmt: skip
    lake = Lake()
    lake.make_account()
    lake.make_contract()
    con = open_lake(lake)
    decide(con, make_mappings(), keep=False)
    con.register("given", pa.Table.from_pylist(given))
    con.execute(
        "CREATE TEMP TABLE firm AS SELECT d.* REPLACE (g.account_id AS account_id, g.csm_id AS csm_id, CAST(g.mrr AS DECIMAL(18, 4)) AS mrr, "
        "g.tier AS health_tier, g.tier * 20 - 10 AS health_score, g.delta AS health_delta_28d, g.notice_on AS notice_on), g.alerts "
        "FROM d_row AS d CROSS JOIN given AS g"
    )
    con.execute("CREATE OR REPLACE TEMP TABLE scores AS SELECT account_id FROM firm")
    alert = "account_id, 'alert/x' AS rule, NULL::VARCHAR AS text_en, NULL::VARCHAR AS text_ja"
    con.execute(f"CREATE OR REPLACE TEMP TABLE d_alert AS SELECT {alert} FROM firm, range(alerts)")
    return con


def _moved(con: duckdb.DuckDBPyConnection, mappings: Mappings, day: date) -> int:
    """One full run's lists on a day on which nothing but the date is new: accounts whose place changed."""
    dated = f"DATE '{day}' AS as_of_on, notice_on - DATE '{day}' AS days_to_notice"
    con.execute(f"CREATE OR REPLACE TEMP VIEW d_row AS SELECT * EXCLUDE (alerts) REPLACE ({dated}) FROM firm")
    assign(con, RELATIONS, mappings, moment(instant(day)), run_id=f"run-{day}", whole=True)
    con.execute("INSERT INTO assignment_history BY NAME SELECT * FROM assignments")
    ((moved,),) = con.execute("SELECT count(*) FROM assignments").fetchall()
    return int(moved)


@pytest.fixture(scope="module")
def moved() -> list[int]:
    con, mappings = _firm(), load()
    _moved(con, mappings, FIRST)
    assert rows(con, "SELECT count(priority) AS listed FROM assigned") == [{"listed": CSMS * mappings.priority.capacity}]
    return [_moved(con, mappings, FIRST + timedelta(days=n)) for n in range(1, DAYS + 1)]


def test_cs92_over_thirty_days_without_news_lists_move_at_most_two_percent_of_records_a_day(moved: list[int]) -> None:
    assert max(moved) <= HOLD * ACCOUNTS, moved


def test_cs92_lists_follow_the_calendar_all_the_same(moved: list[int]) -> None:
    """Deadlines that come near are news for a list: it does move within the thirty days."""
    assert sum(moved) > 0
