"""Attribution: whom submitted, accepted and won CSQLs count for, in each mode, by month, worked by hand."""

from datetime import date
from decimal import Decimal
from typing import Any, Literal

from mappings.models import CsqlPolicy
from tests.factories import Lake, instant, make_rule
from tests.worker.core import RELATIONS, rows
from tests.worker.csqls import COOL, customer, mappings_of, own, run_once
from worker.steps._csql_credit import build_credits

OCT, NOV = date(2026, 10, 1), date(2026, 11, 1)


def firm() -> Lake:
    """Two CSMs and two reps.

    1. c1's A, found by the rule: submitted 5 Oct, accepted by r1 7 Oct (expected 100), won 10 Nov (120 written down).
    2. c1's A, by hand: submitted 2 Nov, returned 4 Nov (50 expected, which count nowhere).
    3. c2's B, found by the rule: submitted 3 Nov, accepted by r2 5 Nov, who is not the account's owner r1 (80 expected).
    4. c1's C, found by the rule: accepted 12 Oct before anybody saw it submitted (200 expected), won 20 Nov; the record says that r3 closed it.
    5. c2's B, a candidate: nothing yet.
    """
    lake = own(Lake())
    lake.own += ["assigned_to", "amount", "amount_won", "closed_by"]
    for account, csm, owner in (("A", "c1", "r1"), ("B", "c2", "r1"), ("C", "c1", "r2")):
        customer(lake, account)
        lake.rows["crm_account"][-1] |= {"csm_id": csm, "owner_id": owner}
    put(lake, "A", 1, ("Submitted", 10, 5), ("Accepted", 10, 7), ("Won", 11, 10), own_amount="100", own_amount_won="120", own_assigned_to="r1")
    put(lake, "A", 2, ("Submitted", 11, 2), ("Returned", 11, 4), own_amount="50", own_rule=None)
    put(lake, "B", 3, ("Submitted", 11, 3), ("Accepted", 11, 5), own_amount="80", own_assigned_to="r2")
    put(lake, "C", 4, ("Accepted", 10, 12), ("Won", 11, 20), own_amount="200", own_closed_by="r3")
    put(lake, "B", 5, ("Candidate", 11, 25), own_amount="999")
    return lake


def put(lake: Lake, account: str, n: int, *states: tuple[str, int, int], **row: Any) -> None:
    base = {"id": f"q{n}", "external_key": f"{account}|p{n}|1", "product": f"p{n}", "own_rule": "seats v1", "own_currency": "JPY"} | row
    for state, month, day in states:
        lake.make_csql(account, **base, state=state, created_at=instant(date(2026, *states[0][1:])), modified_at=instant(date(2026, month, day)))


def credits(mode: Literal["pass_only", "shared", "cs_closes"]) -> dict[tuple[date, str, str], tuple[Any, ...]]:
    """(month, role, who) -> submitted, accepted, won, expected, won amount."""
    mappings = mappings_of(make_rule(when="false"), policy=CsqlPolicy(gates=[], cooldown_days=COOL, attribution=mode))
    con = run_once(firm(), mappings)
    build_credits(con, RELATIONS, mappings.policy)
    found = rows(con, "SELECT * FROM csql_credits")
    assert {row["currency"] for row in found} == {"JPY"}
    keyed = {(r["month"], r["role"], r["who"]): (r["submitted"], r["accepted"], r["won"], r["expected"], r["won_amount"]) for r in found}
    assert len(keyed) == len(found)
    return keyed


def d(amount: int) -> Decimal:
    return Decimal(amount)


#: The same in every mode: the rules, what was handed over, and who took it.
ALWAYS = {
    (OCT, "rule", "seats v1"): (2, 2, 0, d(300), None),
    (NOV, "rule", "seats v1"): (1, 1, 2, d(80), d(320)),
    (NOV, "rule", ""): (1, 0, 0, None, None),
    (OCT, "csm", "c1"): (2, 2, 0, d(300), None),
    (NOV, "csm", "c2"): (1, 1, 0, d(80), None),
    (OCT, "rep", "r1"): (1, 1, 0, d(100), None),
    (OCT, "rep", "r2"): (1, 1, 0, d(200), None),
    (NOV, "rep", "r2"): (1, 1, 0, d(80), None),
}


def test_cs58_pass_only_counts_what_the_csm_handed_over_and_leaves_the_money_to_sales() -> None:
    """r1 won 120 (and was handed the returned one); r3 closed 200."""
    assert credits("pass_only") == ALWAYS | {
        (NOV, "csm", "c1"): (1, 0, 0, None, None),
        (NOV, "rep", "r1"): (1, 0, 1, None, d(120)),
        (NOV, "rep", "r3"): (0, 0, 1, None, d(200)),
    }


def test_cs58_shared_counts_what_was_won_for_both_in_full() -> None:
    """c1 brought both: 120 + 200."""
    assert credits("shared") == ALWAYS | {
        (NOV, "csm", "c1"): (1, 0, 2, None, d(320)),
        (NOV, "rep", "r1"): (1, 0, 1, None, d(120)),
        (NOV, "rep", "r3"): (0, 0, 1, None, d(200)),
    }


def test_cs58_where_cs_closes_a_won_one_is_the_csms_unless_the_record_names_somebody() -> None:
    """Nobody is named on the first: c1 closed it. r3 closed the other."""
    assert credits("cs_closes") == ALWAYS | {
        (NOV, "csm", "c1"): (1, 0, 1, None, d(120)),
        (NOV, "rep", "r1"): (1, 0, 0, None, None),
        (NOV, "rep", "r3"): (0, 0, 1, None, d(200)),
    }
