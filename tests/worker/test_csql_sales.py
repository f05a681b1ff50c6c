"""CSQLs and sales: deadlines on the business calendar, reasons of return, what becomes of each rule's leads, and the rule that rests."""

from datetime import date
from typing import Any

import pytest

from mappings.models import Alert, Calendar, CsqlPolicy
from tests.factories import AS_OF, ON, Lake, instant, make_rule, make_text
from tests.worker.core import by, decide, open_lake, rows
from tests.worker.csqls import COOL, DAY, customer, desired, mappings_of, own, run_once
from worker.steps._csql import muted_rules
from worker.steps._csql_book import csql_report, rule_results

LATE = Alert(
    name="csql_late", when="csql_accept_late + csql_contact_late > 0", channel="log", text=make_text("late {csql_accept_late} {csql_contact_late}")
)


def record(lake: Lake, account: str, *states: tuple[str, date], **row: Any) -> None:
    """A record's versions: (state, day)."""
    customer(lake, account, ends_on=date(2028, 3, 31))
    base = {"id": f"q-{account}", "external_key": f"{account}|expense|1", "created_at": instant(states[0][1]), "own_rule": "seats v1"} | row
    for state, on in states:
        lake.make_csql(account, **base, state=state, modified_at=instant(on))


# --- deadlines -----------------------------------------------------------------------------------------------------------------------------------
def test_cs57_what_sales_does_not_answer_in_time_is_late_once_and_says_when_it_is_over() -> None:
    """To be accepted by Tuesday 1 December: late on the 2nd, one flip; taken up on the 3rd, over."""
    lake = Lake()
    record(lake, "A1", ("Submitted", date(2026, 11, 27)), own_accept_by="2026-12-01")
    con = open_lake(own(lake))
    mappings = mappings_of(make_rule(when="false"), alerts={"csql_late": LATE})
    seen = []
    for n in range(3):
        decide(con, mappings, AS_OF + n * DAY)
        seen.append([f["text"] for f in rows(con, "SELECT * FROM flips WHERE kind = 'alert'")])
    assert seen == [[], ["late 1 0"], []]
    (listed,) = rows(con, "SELECT state, accept_by, accept_late FROM csqls")
    assert listed == {"state": "Submitted", "accept_by": date(2026, 12, 1), "accept_late": True}
    con.execute(
        "INSERT INTO crm_csql BY NAME SELECT * REPLACE ('Accepted' AS state, TIMESTAMPTZ '2026-12-03 12:00:00+00' AS modified_at) FROM crm_csql"
    )
    decide(con, mappings, AS_OF + 3 * DAY)
    assert rows(con, "SELECT rule, signal FROM signals") == [{"rule": "alert/csql_late", "signal": False}]


@pytest.mark.parametrize(("today", "late"), [(date(2027, 1, 8), False), (date(2027, 1, 9), True)])
def test_cs57_first_contact_is_due_five_business_days_after_the_acceptance(today: date, late: bool) -> None:
    """Accepted on Monday 28 December: the 29th to 3 January are closed, so 4, 5, 6, 7 and 8 January are the five."""
    lake = Lake()
    record(lake, "A1", ("Submitted", date(2026, 12, 25)), ("Accepted", date(2026, 12, 28)))
    con = run_once(lake, mappings_of(make_rule(when="false")), instant(today))
    assert rows(con, "SELECT contact_by, contact_late FROM csqls") == [{"contact_by": date(2027, 1, 8), "contact_late": late}]


def test_cs57_who_has_met_the_customer_is_not_late() -> None:
    lake = Lake()
    record(lake, "met", ("Accepted", date(2026, 9, 1)), ("Meeting", date(2026, 9, 3)))
    record(lake, "long ago", ("Accepted", date(2026, 9, 1)))
    con = run_once(lake, mappings_of(make_rule(when="false")))
    assert {r["account_id"]: r["contact_late"] for r in rows(con, "SELECT * FROM csqls")} == {"met": False, "long ago": True}
    assert csql_report(con, mappings_of())["csql:late"].startswith("Past their day: 0 CSQLs to accept or return, 1 to contact first")


# --- reasons -------------------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("returned", "month", "until"),
    [(date(2026, 11, 20), 4, date(2027, 4, 1)), (date(2026, 11, 20), 10, date(2027, 10, 1)), (date(2026, 11, 20), 12, date(2026, 12, 1))],
)
def test_cs57_returned_for_the_next_budget_year_rests_until_it_begins(returned: date, month: int, until: date) -> None:
    """Returned on 20 November 2026: the year that begins in April does so in 2027, one in October too, one in December today."""
    lake = Lake()
    record(lake, "A1", ("Submitted", returned - DAY), ("Returned", returned), own_return_reason="next_budget_year")
    con = run_once(lake, mappings_of(calendar=Calendar(fiscal_month=month)))
    said = None if until <= ON else f"Expense: not to be offered again before {until:%-d %b %Y}"
    assert by(con, "decisions")["A1"]["csql_suppressed_en"] == said
    assert [m[1] for m in desired(con)] == (["open"] if until <= ON else [])


def test_cs57_on_hold_for_the_next_budget_year_comes_back_with_it() -> None:
    lake = Lake()
    record(lake, "A1", ("Submitted", date(2026, 5, 1)), ("Nurture", date(2026, 5, 2)), own_return_reason="next_budget_year")
    held = mappings_of()
    assert [m[1] for m in desired(run_once(lake, held, instant(date(2027, 3, 31))))] == ["update"]
    assert [m[1] for m in desired(run_once(lake, held, instant(date(2027, 4, 1))))] == ["resume"]


# --- results and rest ------------------------------------------------------------------------------------------------------------------------------
def book(accepted: int, returned: int, *, rule: str = "seats v1") -> Lake:
    """So many accepted (the first of them won) and returned (the first of them without a reason), months ago, and one customer with a need."""
    lake = Lake()
    customer(lake, "new")
    for n in range(accepted + returned):
        ends = ("Won" if n == 0 else "Accepted") if n < accepted else "Returned"
        reason = None if n in (0, accepted) else "no_budget"
        base = {"id": f"q{n}", "external_key": f"B{n}|expense|1", "own_rule": rule, "own_return_reason": reason if ends == "Returned" else None}
        for state, ago in (("Submitted", 200), (ends, 190)):
            lake.make_csql(f"B{n}", **base, created_at=instant(ON - 200 * DAY), state=state, modified_at=instant(ON - ago * DAY))
    return lake


@pytest.mark.parametrize(("accepted", "returned", "rests"), [(4, 17, True), (4, 16, False), (3, 16, False)])
def test_cs57_a_rule_that_sales_mostly_returns_rests(accepted: int, returned: int, rests: bool) -> None:
    """4 of 21 are 19.0 %; 4 of 20 are not below 20 %; 3 of 19 are too few to say."""
    lake = book(accepted, returned)
    con = run_once(lake, mappings_of())
    assert [m[1] for m in desired(con)] == ([] if rests else ["open"])
    said = f"Expense: the rule rests: sales accepted {accepted} of {accepted + returned}" if rests else None
    assert by(con, "decisions")["new"]["csql_suppressed_en"] == said
    assert ("csql:muted:seats" in csql_report(con, mappings_of())) is rests


def test_cs57_a_new_version_or_unmute_lets_a_rule_go_on() -> None:
    con = run_once(book(0, 20), mappings_of())
    assert muted_rules(con, mappings_of()) == {"seats": (0, 20)}
    assert muted_rules(con, mappings_of(make_rule(version=2))) == {}
    assert muted_rules(con, mappings_of(policy=CsqlPolicy(gates=[], cooldown_days=COOL, unmute=["seats"]))) == {}


def test_cs58_results_per_rule_are_those_of_sales() -> None:
    """Of 10 tried 4 were accepted, 1 was met and won, 6 returned, one of them without a reason; a candidate is no try."""
    lake = book(4, 6)
    lake.make_csql("new", id="candidate", state="Candidate", external_key="new|expense|1", created_at=AS_OF, own_rule="seats v1")
    con = run_once(lake, mappings_of())
    assert rule_results(con, mappings_of()) == [
        {"rule": "seats v1", "tried": 10, "accepted": 4, "met": 1, "won": 1, "returned": 6, "without_reason": 1, "accepted_percent": 40.0,
         "met_percent": 10.0, "won_percent": 10.0, "muted": False},
    ]  # fmt: skip
    assert csql_report(con, mappings_of())["csql:without_reason"].startswith("1 CSQLs were returned without a reason")
