"""The load cap of CSQLs: who goes out, who waits, and what a day without news changes (nothing)."""

from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from mappings.models import CsqlPolicy, Mappings
from tests.factories import AS_OF, ON, Lake, instant, make_rule
from tests.worker.core import by, decide, open_lake, rows
from tests.worker.csqls import COOL, DAY, customer, desired, mappings_of, own
from worker.steps._csql_book import csql_report

#: One trusted rule; the approach score is the seats, so 50 to 90 as the contracts say.
RULE = make_rule(persist_days=0, trusted=True, approach="product_seats")
SAID = "Expense: waits its turn: sales takes 2 open CSQLs per person, best first"


def capped(cap: int | None = 2, **row: Any) -> Mappings:
    return mappings_of(RULE.model_copy(update=row), policy=CsqlPolicy(gates=[], cooldown_days=COOL, load_cap=cap))


def world(**seats: int) -> Lake:
    """Customers of one rep, u1, with so many seats each."""
    lake = own(Lake())
    lake.own += ["assigned_to"]
    for account, n in seats.items():
        customer(lake, account, seats=n, ends_on=date(2028, 3, 31))
    for row in lake.rows["crm_account"]:
        row["owner_id"] = "u1"
    return lake


def opened(con: duckdb.DuckDBPyConnection) -> list[str]:
    return [account for account, move, _, _ in desired(con) if move == "open"]


def put(con: duckdb.DuckDBPyConnection, account: str, state: str, on: date = ON, **row: Any) -> None:
    """A record's version, as the next pull reads it."""
    base = {"id": f"q-{account}", "account_id": account, "product": "expense", "external_key": f"{account}|expense|1", "connection": "salesforce"}
    base |= {"created_at": instant(ON), "modified_at": instant(on), "read_at": instant(on), "own_rule": "seats v1", "deleted": False} | row
    con.execute(f"INSERT INTO crm_csql ({', '.join(base)}, state) VALUES ({', '.join('?' * len(base))}, ?)", [*base.values(), state])


def test_cs57_the_best_go_out_up_to_the_cap_and_the_rest_wait_and_say_so() -> None:
    """Approach scores 50, 60, 70 and 80 and two places: 80 and 70 go out, 60 is first in the queue, 50 second."""
    con = open_lake(world(a50=50, a60=60, a70=70, a80=80))
    decide(con, capped())
    assert opened(con) == ["a70", "a80"]
    said = {account: d["csql_suppressed_en"] for account, d in by(con, "decisions").items()}
    assert said == {"a50": SAID, "a60": SAID, "a70": None, "a80": None}
    assert by(con, "decisions")["a60"]["csql_status_ja"] == "見送り中:経費精算:順番待ちです(営業1人あたり2件まで、有望な順にご案内)"
    waiting = rows(con, "SELECT rank, account_id, approach_score, rep, place, taken, title_en FROM csqls_waiting")
    assert waiting == [
        {"rank": 1, "account_id": "a60", "approach_score": 60, "rep": "u1", "place": 1, "taken": 0, "title_en": "Rule seats: Expense"},
        {"rank": 2, "account_id": "a50", "approach_score": 50, "rep": "u1", "place": 2, "taken": 0, "title_en": "Rule seats: Expense"},
    ]
    assert csql_report(con, capped())["csql:waiting"].startswith("2 CSQLs wait for a place with 1 sales reps")


def test_cs57_nobody_waits_where_there_is_no_cap_or_no_rep_or_room_for_all() -> None:
    lake = world(a=50, b=60, c=70)
    for mappings in (capped(None), capped(3)):
        con = open_lake(lake)
        decide(con, mappings)
        assert opened(con) == ["a", "b", "c"]
    con.execute("UPDATE crm_account SET owner_id = NULL")
    decide(con, capped(1))
    assert opened(con) == ["a", "b", "c"]


def test_cs57_each_rep_has_places_of_their_own() -> None:
    """One place each: of u1's two the better goes out, and u2's single one though it is worse than either."""
    con = open_lake(world(a=60, b=70, c=50))
    con.execute("UPDATE crm_account SET owner_id = 'u2' WHERE id = 'c'")
    decide(con, capped(1))
    assert opened(con) == ["b", "c"]


def test_cs57_a_place_that_is_free_goes_to_the_best_who_waits_and_a_day_without_news_changes_nothing() -> None:
    con = open_lake(world(a50=50, a60=60, a70=70, a80=80))
    decide(con, capped())
    for account in ("a70", "a80"):
        put(con, account, "Submitted")
    before = by(con, "decisions")
    decide(con, capped(), AS_OF + DAY)
    assert opened(con) == []
    assert {a: d["csql_suppressed_en"] for a, d in by(con, "decisions").items()} == {a: d["csql_suppressed_en"] for a, d in before.items()}
    put(con, "a80", "Returned", ON + 2 * DAY)
    decide(con, capped(), AS_OF + 2 * DAY)
    assert opened(con) == ["a60"]
    assert by(con, "decisions")["a50"]["csql_suppressed_en"] == SAID


@pytest.mark.parametrize(
    ("state", "waits"), [("Submitted", True), ("Accepted", True), ("Opportunity", True), ("Candidate", False), ("Nurture", False)]
)
def test_cs57_what_sales_has_takes_a_place_and_a_candidate_or_a_hold_does_not(state: str, waits: bool) -> None:
    con = open_lake(world(held=10, new=60))
    put(con, "held", state)
    decide(con, capped(1))
    assert opened(con) == ([] if waits else ["new"])


def test_cs57_what_a_csm_made_counts_and_is_never_held_back() -> None:
    """The one place is a CSM's own; a second one of a CSM is completed all the same, and only the worker's waits."""
    con = open_lake(world(mine=10, other=10, new=60))
    for account in ("mine", "other"):
        put(con, account, "Submitted", own_rule=None, external_key=None)
    decide(con, capped(1))
    moves = {account: (move, state) for account, move, state, _ in desired(con)}
    assert moves == {"mine": ("complete", "Submitted"), "other": ("complete", "Submitted")}


def test_cs57_it_counts_for_whom_it_was_assigned_to() -> None:
    """u1's account, but u2 works it: u1 has a place."""
    con = open_lake(world(held=10, new=60))
    put(con, "held", "Accepted", own_assigned_to="u2")
    decide(con, capped(1))
    assert opened(con) == ["new"]


def test_cs57_between_full_runs_a_place_that_was_freed_today_is_not_given_out() -> None:
    """The night gives it to the best who waits, not the day to the first who is looked at."""
    con = open_lake(world(gone=10, new=60))
    put(con, "gone", "Submitted", ON - DAY)
    put(con, "gone", "Returned", ON)
    decide(con, capped(1), full=False)
    assert opened(con) == []
    decide(con, capped(1), full=True)
    assert opened(con) == ["new"]


def test_cs57_a_hold_that_is_over_waits_for_a_place_and_does_not_expire_meanwhile() -> None:
    """On hold since 1 December for 45 days: back on 15 January; 30 days later it would expire. The one place is taken until then."""
    con = open_lake(world(held=60, busy=10))
    put(con, "held", "Submitted", ON - DAY)
    put(con, "held", "Nurture", ON)
    put(con, "busy", "Accepted")
    late = ON + 80 * DAY
    for day, move in ((ON + 44 * DAY, "update"), (ON + 45 * DAY, "update"), (late, "update")):
        decide(con, capped(1), instant(day))
        assert ("held", move, "Nurture", "held|expense|1") in desired(con)
    put(con, "busy", "Won", late)
    decide(con, capped(1), instant(late) + timedelta(hours=1))
    assert ("held", "resume", "Submitted", "held|expense|1") in desired(con)
