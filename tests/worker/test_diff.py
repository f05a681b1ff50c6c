"""diff: which differences are changes, against which base, and what is said against sending them."""

from datetime import date, timedelta
from typing import Any

import duckdb
import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from mappings.models import Mappings, Writeback
from tests.factories import AS_OF, MODIFIED, ON, Lake, make_field, make_mappings
from tests.worker.core import RELATIONS, Row, moment, rows
from worker.steps.diff import HELD, REJECTED, Objections, diff_accounts
from worker.store.registers import value_hash

DECISIONS = {
    "account_id": "VARCHAR", "state": "VARCHAR", "score": "BIGINT", "tier_label": "VARCHAR", "seat_use": "DOUBLE", "main_reason_en": "VARCHAR",
    "main_reason_ja": "VARCHAR", "notice_on": "DATE", "scored_at": "TIMESTAMPTZ", "csql_flag": "BOOLEAN", "delta_28d": "BIGINT",
    "data_status_en": "VARCHAR", "data_status_ja": "VARCHAR", "first_on": "DATE", "resynced_at": "TIMESTAMPTZ", "csql_status_ja": "VARCHAR",
}  # fmt: skip
DESIRED = {"account_id": "VARCHAR", "record_id": "VARCHAR", "external_key": "VARCHAR", "move": "VARCHAR", "state": "VARCHAR", "need_ja": "VARCHAR"}

FIELDS = [
    make_field("health_score", value="score", precision=3, scale=0),
    make_field("health_tier", type="picklist", value="tier_label", values=[{"value": v, "en": v, "ja": v} for v in ("1", "2", "3", "not_scored")]),
    make_field("seat_use", type="percent", scale=0, precision=5, noise=1),
    make_field("main_reason", type="text", length=20),
    make_field("notice_on", type="date"),
    make_field("scored_at", type="datetime", update="ride_along"),
    make_field("csql_flag", type="checkbox"),
    make_field("delta", value="delta_28d", precision=3, scale=0, update="ride_along", max_age_days=56),
    make_field("data_status", type="text", length=255),
    make_field("csql_status", type="text", length=255),
    make_field("first_on", type="date", update="if_empty"),
    make_field("resynced_at", type="datetime", on_edit="overwrite"),
    make_field("standard_only", set="standard", value="score"),
    make_field("pulse", owner="human", type="text", value="score"),
    make_field("external_key", "csql", "text", length=100, external_key=True),
    make_field("state", "csql", "text", length=40),
    make_field("need", "csql", "text", length=255),
]
MAPPINGS = make_mappings(writeback=Writeback(fields=FIELDS))


def own(**values: str | None) -> dict[str, str | None]:
    return {f"own_{k}": v for k, v in values.items()}


#: What the record holds when it agrees with DECIDED.
AGREED = own(
    health_score="58", health_tier="3", seat_use="62", main_reason="減っています", notice_on="2027-02-28", scored_at="2026-11-30T03:00:00Z",
    csql_flag="false", delta="-12", data_status="80 %", first_on="2026-01-01",
)  # fmt: skip
DECIDED: Row = {
    "account_id": "A1", "state": "scored", "score": 58, "tier_label": "3", "seat_use": 62.4, "main_reason_en": "falling",
    "main_reason_ja": "減っています", "notice_on": date(2027, 2, 28), "scored_at": AS_OF, "csql_flag": False, "delta_28d": -12,
    "data_status_en": "80 %", "data_status_ja": "80 %", "first_on": ON, "resynced_at": None,
}  # fmt: skip


def changes(
    record: dict[str, Any] | None,
    decided: Row | None = None,
    *,
    writes: tuple[dict[str, Any], ...] = (),
    desired: tuple[Row, ...] = (),
    csqls: tuple[dict[str, Any], ...] = (),
    held: tuple[tuple[str, ...], ...] = (),
    rejected: tuple[tuple[str, ...], ...] = (),
    mappings: Mappings = MAPPINGS,
) -> list[Row]:
    lake = Lake()
    lake.own = [f.key for f in FIELDS]
    if record is not None:
        lake.make_account("A1", **record)
    for csql in csqls:
        lake.make_csql(**csql)
    for write in writes:
        lake.add("writes", **({"object": "account", "record_id": "A1", "state": "acknowledged", "as_of": AS_OF, "item_id": 1} | write))
    with lake.into(duckdb.connect(config={"threads": 1})) as con:
        _table(con, "decisions", DECISIONS, [] if record is None and decided is None else [DECIDED | (decided or {})])
        _table(con, "csql_desired", DESIRED, list(desired))
        _table(con, "held", dict.fromkeys(HELD, "VARCHAR"), [_named(h, "record_id", "crm_value") for h in held])
        letters = [_named(r, "record_key", "value_hash") for r in rejected]
        _table(con, "rejected", dict.fromkeys(REJECTED, "VARCHAR"), letters)
        diff_accounts(con, RELATIONS, mappings, moment(), Objections("held", "rejected"))
        return rows(con, "SELECT * FROM changes ORDER BY object, record_id, field")


def _named(values: tuple[str, ...], record: str, last: str) -> Row:
    """A fifth value names a connection; these tests have one without a name."""
    named = values[4] if len(values) > 4 else ""
    return {"connection": named, "object": values[0], record: values[1], "field": values[2], last: values[3]}


def _table(con: duckdb.DuckDBPyConnection, name: str, kinds: dict[str, str], given_rows: list[Row]) -> None:
    con.execute(f"CREATE OR REPLACE TABLE {name} (" + ", ".join(f"{k} {v}" for k, v in kinds.items()) + ")")
    if given_rows:
        con.register("given", pa.Table.from_pylist(given_rows))
        con.execute(f"INSERT INTO {name} BY NAME SELECT * FROM given")
        con.unregister("given")


def brief(found: list[Row]) -> list[tuple[Any, ...]]:
    return [(c["field"], c["crm_value"], c["our_value"], c["disposition"]) for c in found]


# --- what is a difference ------------------------------------------------------------------------------------------------------------------------
def test_no_difference_no_row() -> None:
    assert changes(AGREED) == []


def test_both_sides_are_canonical_text() -> None:
    """62.4 percent in a field without decimals is the 62 that is there; a date and a flag are spelled alike; an empty flag is false."""
    assert changes(AGREED | own(csql_flag=None)) == []


def test_a_difference_is_one_row_and_takes_along_what_rides() -> None:
    found = changes(AGREED, {"score": 61})
    assert brief(found) == [("health_score", "58", "61", "send"), ("scored_at", "2026-11-30T03:00:00Z", "2026-12-01T03:00:00Z", "send")]
    assert [(c["object"], c["record_id"], c["account_id"], c["mode"]) for c in found][1] == ("account", "A1", "A1", "ride_along")


def test_what_rides_along_never_moves_by_itself() -> None:
    assert changes(AGREED, {"delta_28d": -3}) == []


def test_a_value_of_ours_that_is_gone_clears_the_field() -> None:
    assert ("notice_on", "2027-02-28", None, "send") in brief(changes(AGREED, {"notice_on": None}))


def test_differences_up_to_the_noise_are_no_news() -> None:
    assert changes(AGREED, {"seat_use": 63.0}) == []
    assert brief(changes(AGREED, {"seat_use": 64.0}))[1] == ("seat_use", "62", "64", "send")
    assert ("seat_use", None, "62", "send") in brief(changes(AGREED | own(seat_use=None)))


def test_if_empty_fills_but_never_replaces() -> None:
    assert ("first_on", None, "2026-12-01", "send") in brief(changes(AGREED | own(first_on=None)))


def test_texts_are_in_the_language_of_the_records() -> None:
    english = MAPPINGS.model_copy(update={"writeback": MAPPINGS.writeback.model_copy(update={"language": "en"})})
    assert ("main_reason", "減っています", "falling", "send") in brief(changes(AGREED, mappings=english))


def test_only_our_fields_of_the_chosen_sets_are_written() -> None:
    assert {c["field"] for c in changes({})}.isdisjoint({"standard_only", "pulse", "external_key"})
    all_sets = MAPPINGS.model_copy(update={"writeback": MAPPINGS.writeback.model_copy(update={"sets": ["core", "standard"]})})
    assert "standard_only" in {c["field"] for c in changes({}, mappings=all_sets)}


def test_an_answer_to_a_resync_is_written_and_never_cleared() -> None:
    answered = AGREED | own(resynced_at="2026-11-01T00:00:00Z")
    assert changes(answered) == []
    assert ("resynced_at", "2026-11-01T00:00:00Z", "2026-12-01T03:00:00Z", "send") in brief(changes(answered, {"resynced_at": AS_OF}))


def test_records_that_are_gone_have_no_row() -> None:
    assert changes({"deleted": True}) == []
    assert changes({"master_id": "A2"}) == []


def test_a_held_score_says_only_that_it_is_held() -> None:
    found = changes(
        AGREED, {"state": "frozen", "score": None, "tier_label": "not_scored", "main_reason_ja": None, "data_status_ja": "遅延", "csql_flag": True}
    )
    assert brief(found) == [("csql_flag", "false", "true", "send"), ("data_status", "80 %", "遅延", "send")]


@pytest.mark.parametrize(
    ("there", "state", "ours", "sent"),
    [
        ("見送り中:経費精算:商談中です", "frozen", None, False),  # the rules do not answer today: what they last said stays
        ("見送り中:経費精算:商談中です", "frozen", "新着:経費精算", True),  # a person moved one on meanwhile
        ("新着:経費精算", "frozen", None, True),  # and that one was closed
        ("見送り中:経費精算:商談中です", "scored", None, True),
    ],
)
def test_a_late_feed_does_not_blank_why_a_csql_is_held_back(there: str, state: str, ours: str | None, sent: bool) -> None:
    found = brief(changes(AGREED | own(csql_status=there), {"state": state, "csql_status_ja": ours}))
    assert [c for c in found if c[0] == "csql_status"] == ([("csql_status", there, ours, "send")] if sent else [])


# --- the base ------------------------------------------------------------------------------------------------------------------------------------
LATER, EARLIER = MODIFIED + timedelta(hours=1), MODIFIED - timedelta(hours=1)


def test_our_newer_write_is_the_base() -> None:
    sixty = {"field": "health_score", "value": "60", "written_at": LATER}
    assert ("health_score", "60", "58", "send") in brief(changes(AGREED, writes=(sixty,)))  # although the pulled row says 58
    assert changes(AGREED | own(health_score="50"), writes=(sixty | {"value": "58"},)) == []  # nothing left to do


def test_an_older_or_unanswered_write_is_not_the_base() -> None:
    assert changes(AGREED, writes=({"field": "health_score", "value": "60", "written_at": EARLIER},)) == []
    assert changes(AGREED, writes=({"field": "health_score", "value": "60", "written_at": LATER, "state": "intended"},)) == []


def test_the_newest_of_our_writes_counts_also_when_it_cleared_the_field() -> None:
    first = {"field": "notice_on", "value": "2027-02-28", "written_at": LATER}
    second = {"field": "notice_on", "value": None, "written_at": LATER + timedelta(hours=1)}
    assert ("notice_on", None, "2027-02-28", "send") in brief(changes(AGREED, writes=(first, second)))


@pytest.mark.parametrize(("age_days", "moves"), [(1, False), (28, False), (57, True)])
def test_what_rides_along_goes_alone_when_it_is_too_old(age_days: int, moves: bool) -> None:
    """Between half its greatest age and the whole of it each record has a day of its own."""
    write = {"field": "delta", "value": "-12", "written_at": AS_OF - timedelta(days=age_days)}
    found = brief(changes(AGREED | {"read_at": AS_OF}, {"delta_28d": -3}, writes=(write,)))
    assert found == ([("delta", "-12", "-3", "send"), ("scored_at", "2026-11-30T03:00:00Z", "2026-12-01T03:00:00Z", "send")] if moves else [])


# --- objections ----------------------------------------------------------------------------------------------------------------------------------
def test_a_field_that_a_person_changed_is_held_and_takes_nothing_along() -> None:
    found = changes(AGREED | own(health_score="90"), held=(("account", "A1", "health_score", "90"),))
    assert brief(found) == [("health_score", "90", "58", "held")]
    assert found[0]["why"] == "a person changed it"


def test_cs77_what_is_said_against_one_crms_copy_does_not_concern_the_others() -> None:
    elsewhere = (("account", "A1", "health_score", "90", "hubspot"),)
    assert ("health_score", "90", "58", "send") in brief(changes(AGREED | own(health_score="90"), held=elsewhere))
    letter = (("account", "A1", "health_score", value_hash({"health_score": "61"}), "hubspot"),)
    assert ("health_score", "58", "61", "send") in brief(changes(AGREED, {"score": 61}, rejected=letter))


def test_what_does_not_fit_is_invalid_and_the_rest_goes() -> None:
    found = changes(AGREED, {"tier_label": "9", "score": 12345, "csql_flag": True})
    assert [(c["field"], c["disposition"], c["why"]) for c in found] == [
        ("csql_flag", "send", None),
        ("health_score", "invalid", "more than 3 digits before the point"),
        ("health_tier", "invalid", "not among the values declared in writeback.yml"),
        ("scored_at", "send", None),
    ]


def test_a_text_too_long_is_cut_and_then_agrees() -> None:
    long = "あ" * 30
    assert ("main_reason", "減っています", "あ" * 19 + "…", "send") in brief(changes(AGREED, {"main_reason_ja": long}))
    assert changes(AGREED | own(main_reason="あ" * 19 + "…"), {"main_reason_ja": long}) == []


def test_a_refused_value_is_not_sent_again_until_it_changes() -> None:
    letter = (("account", "A1", "health_score", value_hash({"health_score": "61"})),)
    assert brief(changes(AGREED, {"score": 61}, rejected=letter)) == [("health_score", "58", "61", "rejected_before")]
    assert ("health_score", "58", "62", "send") in brief(changes(AGREED, {"score": 62}, rejected=letter))


def test_a_refused_record_is_not_sent_again_until_one_of_its_values_changes() -> None:
    whole = {"health_score": "61", "main_reason": '"引用"\n2', "scored_at": "2026-12-01T03:00:00Z"}
    letter = (("account", "A1", "", value_hash(whole)),)
    text = {"main_reason_ja": whole["main_reason"]}
    assert {c["disposition"] for c in changes(AGREED, {"score": 61, **text}, rejected=letter)} == {"rejected_before"}
    assert {c["disposition"] for c in changes(AGREED, {"score": 62, **text}, rejected=letter)} == {"send"}


# --- CSQL records --------------------------------------------------------------------------------------------------------------------------------
NEW: Row = {"account_id": "A1", "record_id": None, "external_key": "A1|expense|1", "move": "open", "state": "Candidate", "need_ja": "追加"}


def test_a_new_record_has_a_row_for_each_value_and_its_key_is_the_address() -> None:
    found = changes(AGREED, desired=(NEW,))
    assert [(c["object"], c["record_id"], c["external_key"], c["field"], c["our_value"]) for c in found] == [
        ("csql", None, "A1|expense|1", "need", "追加"),
        ("csql", None, "A1|expense|1", "state", "Candidate"),
    ]


def test_a_record_that_exists_gets_what_differs() -> None:
    exists = NEW | {"record_id": "q1", "move": "complete", "state": "Submitted"}
    found = changes(AGREED, desired=(exists,), csqls=({"id": "q1", **own(state="Submitted", need=None, external_key=None)},))
    assert brief(found) == [("external_key", None, "A1|expense|1", "send"), ("need", None, "追加", "send")]


def test_a_value_that_was_only_read_is_never_written_over_our_newer_one() -> None:
    """The pull still shows the old need; we wrote another since. Desired repeats the pulled one, which is no wish of ours."""
    exists = NEW | {"record_id": "q1", "move": "update", "need_ja": "古い"}
    write = {"object": "csql", "record_id": "q1", "field": "need", "value": "新しい", "written_at": LATER}
    assert (
        changes(
            AGREED, desired=(exists,), csqls=({"id": "q1", **own(state="Candidate", need="古い", external_key=NEW["external_key"])},), writes=(write,)
        )
        == []
    )


def test_a_record_that_was_deleted_meanwhile_has_no_row() -> None:
    assert changes(AGREED, desired=(NEW | {"record_id": "q1", "move": "update"},), csqls=({"id": "q1", "deleted": True},)) == []


# --- properties ----------------------------------------------------------------------------------------------------------------------------------
VALUES = st.fixed_dictionaries(
    {
        "score": st.one_of(st.none(), st.integers(0, 100)),
        "seat_use": st.one_of(st.none(), st.floats(0, 200)),
        "main_reason_ja": st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=30)),
        "notice_on": st.one_of(st.none(), st.dates(date(2000, 1, 1), date(2100, 1, 1))),
        "csql_flag": st.booleans(),
        "tier_label": st.sampled_from(["1", "2", "3", "not_scored"]),
    }
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES, VALUES)
def test_after_its_changes_are_applied_nothing_differs(before: Row, after: Row) -> None:
    record: dict[str, Any] = {}
    for decided in (before, after):
        for change in changes(record, decided):
            assert change["disposition"] == "send"
            record[f"own_{change['field']}"] = change["our_value"]
        assert changes(record, decided) == []
