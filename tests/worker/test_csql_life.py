"""CSQLs after the opening: one at a time, cool-down, expiry, holds, records of people, keys."""

from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from mappings.models import Scope
from tests.factories import AS_OF, ON, Lake, instant, make_rule
from tests.worker.core import by, decide, rows
from tests.worker.csqls import COOL, DAY, customer, desired, gate, mappings_of, policy, run_once


# --- one at a time, cool-down --------------------------------------------------------------------------------------------------------------------
def test_an_open_record_is_updated_not_doubled() -> None:
    states = ("Candidate", "Submitted", "Accepted", "Meeting", "Opportunity", "Nurture")
    lake = Lake()
    for state in states:
        customer(lake, state)
        lake.make_csql(state, state=state, external_key=f"{state}|expense|4", created_at=AS_OF - DAY, own_rule="old v1", own_health_score="12")
    con = run_once(lake, mappings_of())
    for state, got in by(con, "csql_desired").items():
        assert (got["move"], got["state"], got["external_key"]) == ("update", state, f"{state}|expense|4")
        assert (got["health_score"], got["rule"]) == (12, "old v1")  # as it was at creation
        assert got["need_en"] == ("Expense needs more" if state not in ("Opportunity", "Nurture") else None)
    assert len(desired(con)) == len(states)


COOLING = [
    ("Returned", 90, True), ("Returned", 89, False), ("Lost", 90, True), ("Lost", 89, False), ("Expired", 60, True), ("Expired", 59, False),
    ("Won", 1, True),
]  # fmt: skip


@pytest.fixture(scope="module")
def cooling() -> duckdb.DuckDBPyConnection:
    lake = Lake()
    for state, ago, _ in COOLING:
        customer(lake, f"{state}-{ago}")
        at = instant(ON - ago * DAY)
        lake.make_csql(f"{state}-{ago}", state=state, external_key=f"{state}-{ago}|expense|1", created_at=at - DAY, modified_at=at)
    for days_ago in (179, 180):
        customer(lake, f"twice-{days_ago}")
        for n, ago in ((1, 300), (2, days_ago)):
            at = instant(ON - ago * DAY)
            lake.make_csql(f"twice-{days_ago}", state="Returned", external_key=f"twice-{days_ago}|expense|{n}", created_at=at, modified_at=at)
    for name, until in (("until today", ON), ("until tomorrow", ON + DAY)):
        customer(lake, name)
        at = instant(ON - 5 * DAY)
        lake.make_csql(name, state="Returned", external_key=f"{name}|expense|1", created_at=at, modified_at=at, own_nurture_until=until.isoformat())
    return run_once(lake, mappings_of())


@pytest.mark.parametrize(("state", "ago", "opens"), COOLING)
def test_cool_down_by_how_it_ended(cooling: duckdb.DuckDBPyConnection, state: str, ago: int, opens: bool) -> None:
    account = f"{state}-{ago}"
    assert (account in by(cooling, "csql_desired")) is opens
    until = ON + (COOL[state.lower()] - ago) * DAY if not opens else None
    assert by(cooling, "decisions")[account]["csql_suppressed_en"] == (
        f"Expense: not to be offered again before {until:%-d %b %Y}" if until else None
    )


def test_declined_twice_rests_longer(cooling: duckdb.DuckDBPyConnection) -> None:
    opened = by(cooling, "csql_desired")
    assert ("twice-179" in opened, "twice-180" in opened) == (False, True)
    assert opened["twice-180"]["external_key"] == "twice-180|expense|3"


def test_no_budget_until_a_day_rests_until_that_day(cooling: duckdb.DuckDBPyConnection) -> None:
    opened = by(cooling, "csql_desired")
    assert ("until today" in opened, "until tomorrow" in opened) == (True, False)


def test_a_day_named_for_an_earlier_pause_does_not_end_the_cool_down() -> None:
    """On hold until 50 days ago, taken up again, returned 10 days ago: 80 of the 90 days are left."""
    lake = Lake()
    customer(lake)
    at = instant(ON - 10 * DAY)
    lake.make_csql(state="Returned", external_key="A1|expense|1", created_at=at, modified_at=at, own_nurture_until=(ON - 50 * DAY).isoformat())
    con = run_once(lake, mappings_of())
    assert desired(con) == []
    assert by(con, "decisions")["A1"]["csql_suppressed_en"] == f"Expense: not to be offered again before {ON + 80 * DAY:%-d %b %Y}"


@pytest.mark.parametrize(("state", "ago", "opens"), [("Submitted", 40, False), ("Candidate", 0, False), ("Expired", 10, False), ("Won", 10, True)])
def test_a_deleted_record_rests_like_a_returned_one(state: str, ago: int, opens: bool) -> None:
    """Who throws a record away does not want it back the next morning. One that expired rests its own 60 days; one that was won holds nothing up."""
    lake = Lake()
    customer(lake)
    base = {"id": "q1", "external_key": "A1|expense|1", "created_at": instant(ON - 100 * DAY), "state": state}
    lake.make_csql(**base, modified_at=instant(ON - 50 * DAY))
    lake.make_csql(**base, modified_at=instant(ON - ago * DAY), deleted=True)
    assert [m[3] for m in desired(run_once(lake, mappings_of()))] == (["A1|expense|2"] if opens else [])


def test_cool_down_counts_from_the_state_not_from_the_last_edit() -> None:
    lake = Lake()
    customer(lake)
    base = {"id": "q1", "external_key": "A1|expense|1", "created_at": instant(ON - 200 * DAY), "state": "Returned"}
    lake.make_csql(**base, modified_at=instant(ON - 100 * DAY))
    lake.make_csql(**base, modified_at=instant(ON - 2 * DAY))  # somebody added a note
    assert [m[1] for m in desired(run_once(lake, mappings_of()))] == ["open"]


def test_a_cool_down_is_of_one_product() -> None:
    lake = Lake()
    customer(lake)
    at = instant(ON - DAY)
    lake.make_csql(state="Returned", product="esign", external_key="A1|esign|1", created_at=at, modified_at=at)
    assert [m[3] for m in desired(run_once(lake, mappings_of()))] == ["A1|expense|1"]


# --- expiry and people ---------------------------------------------------------------------------------------------------------------------------
def test_a_record_expires_only_before_somebody_accepted_it() -> None:
    cases = (("Candidate", 30, True), ("Submitted", 30, True), ("Submitted", 29, False), ("Accepted", 300, False), ("Nurture", 300, False))
    lake = Lake()
    for state, days_old, _ in cases:
        account = f"{state}-{days_old}"
        customer(lake, account)
        lake.make_csql(account, state=state, external_key=f"{account}|expense|1", created_at=instant(ON - days_old * DAY))
    con = run_once(lake, mappings_of(make_rule(when="false")))
    for state, days_old, expires in cases:
        got = by(con, "csql_desired")[f"{state}-{days_old}"]
        assert (got["move"], got["state"]) == (("expire", "Expired") if expires else ("update", state))
        assert by(con, "decisions")[f"{state}-{days_old}"]["csql_open_count"] == (0 if expires else 1)


def test_a_record_a_person_made_is_completed_and_the_gates_only_warn() -> None:
    lake = Lake()
    customer(lake)
    lake.make_csql(id="by-hand", state="Submitted", external_key=None, own_need="They asked for it", created_at=AS_OF - timedelta(hours=3))
    con = run_once(lake, mappings_of(make_rule(when="false"), policy=policy(gate("never", "false"))))
    got = rows(con, "SELECT * FROM csql_desired")
    assert [(r["record_id"], r["move"], r["state"], r["external_key"]) for r in got] == [("by-hand", "complete", "Submitted", "A1|expense|1")]
    assert (got[0]["health_score"], got[0]["health_tier"], got[0]["coverage"], got[0]["accept_by"]) == (64, 4, 100, date(2026, 12, 3))
    assert (got[0]["rule"], got[0]["need_en"]) == (None, "They asked for it")


def test_two_records_by_hand_get_two_keys() -> None:
    lake = Lake()
    customer(lake)
    for n in (1, 2):
        lake.make_csql(id=f"h{n}", external_key=None, created_at=AS_OF - n * DAY)
    lake.make_csql(id="old", state="Won", external_key="A1|expense|7")
    con = run_once(lake, mappings_of(make_rule(when="false")))
    assert sorted((r["record_id"], r["external_key"]) for r in rows(con, "SELECT * FROM csql_desired")) == [
        ("h1", "A1|expense|9"),
        ("h2", "A1|expense|8"),
    ]


# --- keys ----------------------------------------------------------------------------------------------------------------------------------------
def write(lake: Lake, field: str, value: str, state: str = "acknowledged", key: str = "A1|expense|1", record: str | None = "q1") -> None:
    lake.add("writes", object="csql", record_id=record, external_key=key, field=field, value=value, state=state, as_of=AS_OF, written_at=AS_OF)


def test_the_sequence_goes_on_from_the_highest_ever_seen() -> None:
    lake = Lake()
    customer(lake)
    lake.make_csql(state="Won", external_key="A1|expense|2")
    lake.make_csql(state="Won", external_key="A1|expense|5", deleted=True)
    lake.make_csql(state="Won", external_key="A1|esign|9", product="esign")
    assert [m[3] for m in desired(run_once(lake, mappings_of()))] == ["A1|expense|6"]


def test_a_record_just_created_is_open_before_the_next_pull_shows_it() -> None:
    lake = Lake()
    customer(lake)
    write(lake, "state", "Submitted")
    con = run_once(lake, mappings_of())
    assert desired(con) == []
    assert (by(con, "decisions")["A1"]["csql_open_count"], by(con, "decisions")["A1"]["csql_status_en"]) == (1, "New: Expense")


def test_a_key_that_reached_nobody_is_given_out_again() -> None:
    lake = Lake()
    customer(lake)
    write(lake, "state", "Submitted", state="intended", record=None)
    assert [m[3] for m in desired(run_once(lake, mappings_of()))] == ["A1|expense|1"]


def test_records_of_a_merged_account_keep_their_key_and_block_the_survivor() -> None:
    lake = Lake()
    customer(lake)
    lake.make_account("old", deleted=True, master_id="A1", match_key=None)
    lake.make_csql("old", id="q1", state="Accepted", external_key="old|expense|1", created_at=AS_OF - DAY)
    assert desired(run_once(lake, mappings_of())) == [("A1", "update", "Accepted", "old|expense|1")]


# --- holds ---------------------------------------------------------------------------------------------------------------------------------------
def held(lake: Lake, account: str, days_ago: int, until: date | None = None, *, before: str = "Submitted", **row: Any) -> None:
    """A record that was put on hold so many days ago, opened ten days before that."""
    customer(lake, account)
    at = instant(ON - days_ago * DAY)
    base = {"id": f"q-{account}", "external_key": f"{account}|expense|1", "created_at": at - 10 * DAY, "own_rule": "seats v1"} | row
    lake.make_csql(account, **base, state=before, modified_at=at - 10 * DAY)
    lake.make_csql(account, **base, state="Nurture", modified_at=at, own_nurture_until=until.isoformat() if until else None)


def test_cs57_a_hold_ends_on_its_day_and_without_one_after_the_policys_days() -> None:
    """Policy: 45 days. Held 44 days ago rests one more; a day that a person named counts before that, unless it was over when the hold began."""
    lake = Lake()
    held(lake, "44 days", 44)
    held(lake, "45 days", 45)
    held(lake, "until today", 5, ON)
    held(lake, "until tomorrow", 60, ON + DAY)
    held(lake, "named before", 44, ON - 50 * DAY)
    con = run_once(lake, mappings_of())
    assert {m[0]: m[1:3] for m in desired(con)} == {
        "44 days": ("update", "Nurture"), "45 days": ("resume", "Candidate"), "until today": ("resume", "Candidate"),
        "until tomorrow": ("update", "Nurture"), "named before": ("update", "Nurture"),
    }  # fmt: skip
    back = by(con, "csql_desired")["45 days"]
    assert (back["expires_on"], back["external_key"], back["need_en"]) == (ON + 30 * DAY, "45 days|expense|1", "Expense needs more")


def test_cs57_a_trusted_rule_brings_it_back_submitted_with_a_new_clock_for_sales() -> None:
    """Tuesday 1 December and two business days: Thursday the 3rd, whatever the first deadline was."""
    lake = Lake()
    held(lake, "A1", 45, own_accept_by="2026-10-10")
    con = run_once(lake, mappings_of(make_rule(persist_days=0, trusted=True)))
    assert desired(con) == [("A1", "resume", "Submitted", "A1|expense|1")]
    assert rows(con, "SELECT accept_by FROM csql_desired") == [{"accept_by": date(2026, 12, 3)}]
    assert [(f["rule"], f["value"]) for f in rows(con, "SELECT * FROM flips WHERE kind = 'csql'")] == [("seats v1", "resume Submitted")]


def test_cs57_a_hold_without_a_need_expires_30_days_after_its_end() -> None:
    lake = Lake()
    held(lake, "29 days over", 80, ON - 29 * DAY)
    held(lake, "30 days over", 80, ON - 30 * DAY)
    assert {m[0]: m[1] for m in desired(run_once(lake, mappings_of(make_rule(when="false"))))} == {"29 days over": "update", "30 days over": "expire"}


def test_cs57_a_hold_of_sales_stays_theirs() -> None:
    """Accepted before it was put on hold: the worker neither takes it back nor lets it expire."""
    lake = Lake()
    held(lake, "A1", 200, before="Accepted")
    assert [m[1:3] for m in desired(run_once(lake, mappings_of()))] == [("update", "Nurture")]


def test_cs57_a_hold_of_a_csms_own_record_comes_back_without_a_signal() -> None:
    lake = Lake()
    held(lake, "A1", 45, own_rule=None)
    assert [m[1:3] for m in desired(run_once(lake, mappings_of(make_rule(when="false"))))] == [("resume", "Candidate")]


# --- the clock ---------------------------------------------------------------------------------------------------------------------------------
def moves(lake: Lake, account: str, *states: tuple[str, int], **row: Any) -> None:
    """A record's versions: (state, days ago)."""
    customer(lake, account)
    opened = instant(ON - states[0][1] * DAY)
    for state, ago in states:
        at = instant(ON - ago * DAY)
        base = {"id": f"q-{account}", "external_key": f"{account}|expense|1", "created_at": opened, "own_opened_on": f"{opened:%Y-%m-%d}"} | row
        lake.make_csql(account, **base, state=state, modified_at=at)


def test_cs57_a_cool_down_counts_from_the_last_time_it_was_returned() -> None:
    """Returned 120 days ago, offered again, returned again 80 days ago: 10 of the 90 days are left."""
    lake = Lake()
    moves(lake, "A1", ("Submitted", 130), ("Returned", 120), ("Submitted", 100), ("Returned", 80))
    con = run_once(lake, mappings_of())
    assert desired(con) == []
    assert by(con, "decisions")["A1"]["csql_suppressed_en"] == f"Expense: not to be offered again before {ON + 10 * DAY:%-d %b %Y}"


def test_cs57_every_move_of_a_person_starts_the_30_days_anew() -> None:
    """Clicked on the last day, reopened after it had expired, and left alone."""
    lake = Lake()
    moves(lake, "clicked", ("Candidate", 30), ("Submitted", 1), own_rule="seats v1")
    moves(lake, "reopened", ("Candidate", 60), ("Expired", 30), ("Submitted", 29), own_rule="seats v1")
    moves(lake, "left", ("Candidate", 60), ("Submitted", 30), own_rule="seats v1")
    con = run_once(lake, mappings_of(make_rule(when="false")))
    assert {m[0]: m[1] for m in desired(con)} == {"clicked": "update", "reopened": "update", "left": "expire"}
    assert by(con, "csql_desired")["clicked"]["expires_on"] == ON + 29 * DAY


# --- who is no longer served -----------------------------------------------------------------------------------------------------------------------
def test_cs57_the_csql_of_a_churned_account_expires_and_its_flag_falls() -> None:
    """At once where the customer left, on its day where only the contract is gone; what sales accepted is theirs to end."""
    lake = Lake()
    left = {"ends_on": ON - DAY, "status": "ended", "churned_on": ON - DAY}
    cases = {"churned": ("Submitted", left), "draft": ("Submitted", {"status": "draft"}), "sales": ("Accepted", left)}
    for account, (state, line) in cases.items():
        customer(lake, account, **line)
        row = {"own_rule": "seats v1", "own_need": "needs more", "own_currency": "JPY", "own_config_version": "c0ffee", "own_health_score": "64"}
        lake.make_csql(account, state=state, external_key=f"{account}|expense|1", created_at=instant(ON - 29 * DAY), **row)
    con = run_once(lake, mappings_of())
    (move,) = rows(con, "SELECT * FROM csql_desired")
    assert (move["account_id"], move["move"], move["state"]) == ("churned", "expire", "Expired")
    kept = (move["need_en"], move["currency"], move["config_version"], move["health_score"], move["opened_on"])
    assert kept == ("needs more", "JPY", "c0ffee", 64, ON - 29 * DAY)
    said = {k: (r["state"], r["csql_flag"], r["csql_open_count"]) for k, r in by(con, "decisions").items()}
    assert said == {"churned": ("out", False, 0), "draft": ("out", True, 1), "sales": ("out", True, 1)}
    decide(con, mappings_of(), AS_OF + DAY)
    assert {m[0] for m in desired(con)} == {"churned", "draft"}


def test_cs57_an_account_outside_the_pilot_is_left_alone() -> None:
    lake = Lake()
    customer(lake)
    lake.make_csql(state="Submitted", external_key="A1|expense|1", created_at=instant(ON - 99 * DAY))
    con = run_once(lake, mappings_of(scope=Scope(pilot=["other"])))
    assert (desired(con), by(con, "decisions")) == ([], {})


# --- two of one kind ------------------------------------------------------------------------------------------------------------------------
def two(lake: Lake, account: str, first: str, second: str, **row: Any) -> None:
    """Two open records of one account and product, the first made a day before the second."""
    customer(lake, account)
    for n, state in ((1, first), (2, second)):
        at = instant(ON - (10 - n) * DAY)
        lake.make_csql(account, id=f"{account}-{n}", state=state, external_key=f"{account}|expense|{n}", created_at=at, modified_at=at, **row)


def test_cs57_of_two_open_records_the_further_one_stays() -> None:
    """What two sellers both accepted is left to them."""
    lake = Lake()
    two(lake, "older", "Candidate", "Candidate", own_rule="seats v1")
    two(lake, "further", "Candidate", "Submitted", own_rule="seats v1")
    two(lake, "both", "Accepted", "Accepted", own_rule="seats v1")
    con = run_once(lake, mappings_of(make_rule(when="false")))
    found = {r["record_id"]: (r["move"], r["state"], r["merged_into"]) for r in rows(con, "SELECT * FROM csql_desired")}
    assert found == {
        "older-1": ("update", "Candidate", None), "older-2": ("merge", "Merged", "older|expense|1"),
        "further-1": ("merge", "Merged", "further|expense|2"), "further-2": ("update", "Submitted", None),
        "both-1": ("update", "Accepted", None), "both-2": ("update", "Accepted", None),
    }  # fmt: skip
    assert {k: (r["csql_open_count"], r["csql_flag"]) for k, r in by(con, "decisions").items()} == {
        "older": (1, False), "further": (1, True), "both": (2, True),
    }  # fmt: skip


def test_cs57_what_a_person_took_out_of_a_merge_is_not_merged_again() -> None:
    lake = Lake()
    moves(lake, "A1", ("Candidate", 9), ("Merged", 5), ("Candidate", 2), own_rule="seats v1")
    lake.make_csql(id="other", state="Accepted", external_key="A1|expense|2", created_at=instant(ON - 8 * DAY))
    assert [m[1:3] for m in desired(run_once(lake, mappings_of()))] == [("update", "Candidate"), ("update", "Accepted")]


def test_cs62_a_second_one_by_hand_gets_its_key_and_gives_way() -> None:
    lake = Lake()
    customer(lake)
    lake.make_csql(id="first", state="Accepted", external_key="A1|expense|1", created_at=AS_OF - DAY)
    lake.make_csql(id="second", state="Submitted", external_key=None, created_at=AS_OF - timedelta(hours=3))
    con = run_once(lake, mappings_of(make_rule(when="false")))
    (got,) = [r for r in rows(con, "SELECT * FROM csql_desired") if r["record_id"] == "second"]
    assert (got["move"], got["state"], got["external_key"], got["merged_into"]) == ("complete", "Merged", "A1|expense|2", "A1|expense|1")
