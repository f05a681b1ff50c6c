"""Patterns and usage statuses: what they take from an account, and how they stand on the record."""

from datetime import timedelta
from typing import Any

import pytest

from mappings.load import load
from mappings.models import Score
from tests.factories import AS_OF, ON, Lake, make_indicator, make_mappings, make_profile
from tests.worker.core import by, decide, open_lake, rows

SHIPPED = load()
LAST = ON - timedelta(days=1)
#: Axes that are simply a column, so that a case sets them: outcome = its mean change, engagement = ten a touch.
INDICATORS = [
    make_indicator("dep", "deployment", "usage", "seat_use"),
    make_indicator("ado", "adoption", "usage", "core_events_28d"),
    make_indicator("eng", "engagement", "activity", "touches_90d * 10"),
    make_indicator("out", "outcome", "outcome", "outcome_change"),
]
PROFILE = make_profile(deployment=(25, {"dep": 1}), adoption=(25, {"ado": 1}), engagement=(25, {"eng": 1}), outcome=(25, {"out": 1}))


def mappings_of() -> Any:
    score = Score(name="health", profiles=[PROFILE], usage_status=SHIPPED.score.usage_status, coverage_min=20, axes_min=1)
    return make_mappings(indicators={i.name: i for i in INDICATORS}, score=score, patterns=SHIPPED.patterns)


def decided(
    *, core: int = 80, users: int = 8, before: int = 8, touches: int = 2, outcome: float | None = 60, own_all: bool = False, **line: Any
) -> Any:
    """One account of ten seats: `core` events, `users` people in 28 days and `before` in the 28 before, touches, and an improvement in percent."""
    lake = Lake()
    file_id = lake.make_file()
    lake.make_account()
    lake.make_contract(**({"seats": 10} | line))
    if own_all:
        lake.make_contract(product="esign", seats=None)
    lake.make_use(file_id, "t-A1", LAST, [f"u{n}" for n in range(users)], feature="claim", events=core)
    lake.make_use(file_id, "t-A1", LAST - timedelta(days=30), [f"u{n}" for n in range(before)], feature="claim")
    for n in range(touches):
        lake.make_activity("A1", ON - timedelta(days=3 + n))
    lake.make_outcome("B1")  # the source is connected
    if outcome is not None:
        lake.make_outcome("A1", current_value=100 + outcome)
    con = open_lake(lake)
    decide(con, mappings_of())
    return by(con, "decisions")["A1"]


def patterns(**case: Any) -> list[str]:
    return [name for name in (decided(**case)["patterns"] or "").split(";") if name]


def test_cs18_high_use_and_no_outcome_is_named() -> None:
    """80 core events give adoption 80 ≥ 70; 60 % improvement is outcome 60, 10 % is 10 < 40, none at all is none."""
    assert patterns() == []
    assert patterns(outcome=10) == ["high_use_no_outcome"]
    found = decided(outcome=None)
    assert found["patterns"] == "high_use_no_outcome"
    assert found["pattern_note_en"] == (
        "8 people used it in the 28 days to 30 Nov 2026, but no measured outcome stands against it (0 records in 365 days)"
    )
    assert patterns(outcome=10, core=60) == []  # adoption 60 < 70


def test_cs19_much_contact_and_no_movement_is_named() -> None:
    """Six touches in 90 days, four people of ten now as before: deployment 40 < 60. Five touches, or one person more than before, are not it."""
    assert patterns(touches=6, users=4, before=4) == ["much_contact_no_movement"]
    assert patterns(touches=5, users=4, before=4) == []
    assert patterns(touches=6, users=4, before=3) == []
    assert patterns(touches=6) == []  # deployment 80, adoption 80: nothing is stuck


def test_cs20_all_well_and_nothing_to_sell_is_named() -> None:
    """Outcome 80, engagement 10 x 8 = 80, both products of the catalogue owned; with one left to sell it is not."""
    assert patterns(outcome=80, touches=8, own_all=True) == ["nothing_to_sell"]
    assert patterns(outcome=80, touches=8) == []
    assert patterns(outcome=70, touches=8, own_all=True) == []


def test_cs16_an_unused_core_feature_is_a_trigger_with_its_name() -> None:
    """`claim` is the core feature of expense: used for something else only, it is named, and the next step says it."""
    lake = Lake()
    file_id = lake.make_file()
    lake.make_account()
    lake.make_contract(seats=10)
    lake.make_use(file_id, "t-A1", LAST, ["u1"], feature="settings", events=50)
    con = open_lake(lake)
    decide(con, mappings_of())
    found = by(con, "decisions")["A1"]
    assert "core_feature_unused" in found["patterns"].split(";")
    assert "Not used in the 28 days to 30 Nov 2026: claim" in found["pattern_note_en"]
    assert by(con, "accounts")["A1"]["core_unused"] == "claim"
    assert patterns() == []


def test_cs26_the_same_use_with_less_time_left_is_more_urgent() -> None:
    """Adoption 50 in both. 89 days before the deadline of a yearly line it is urgent (≤ 120), 455 days before it is not; of a quarterly line a third
    of the term counts: 30 days."""
    near, far = ON + timedelta(days=89), ON + timedelta(days=455)
    assert patterns(core=50, notice_on=near) == ["little_time_left"]
    assert patterns(core=50, notice_on=far) == []
    assert patterns(core=50, notice_on=ON + timedelta(days=31), term_months=3) == []
    assert patterns(core=50, notice_on=ON + timedelta(days=30), term_months=3) == ["little_time_left"]
    assert patterns(core=80, notice_on=near) == []


@pytest.mark.parametrize(("users", "status"), [(6, "settled"), (5, "partial"), (2, "partial"), (1, "low"), (0, "low")])
def test_cs12_three_usage_statuses_follow_seats_in_use_alone(users: int, status: str) -> None:
    """Of ten seats: 60 % and more settled, 20 % and more partly used, less little used."""
    assert decided(users=users, core=100)["usage_status"] == status


def test_cs12_without_seats_there_is_no_usage_status() -> None:
    assert decided(seats=None)["usage_status"] is None


def test_a_pattern_stands_while_the_feed_is_late_and_has_a_beginning_and_an_end() -> None:
    lake = Lake()
    file_id = lake.make_file()
    lake.make_account()
    lake.make_contract(seats=10)
    lake.make_use(file_id, "t-A1", LAST, [f"u{n}" for n in range(8)], feature="claim", events=80)
    lake.make_activity()
    lake.make_outcome("B1")
    con = open_lake(lake)
    decide(con, mappings_of())
    con.execute("UPDATE usage_file SET last_day = last_day - 9")
    con.execute("UPDATE usage_tenant_day SET day = day - 30")
    decide(con, mappings_of(), AS_OF + timedelta(days=1))
    late = by(con, "decisions")["A1"]
    assert (late["state"], late["patterns"]) == ("frozen", "high_use_no_outcome")
    con.execute("UPDATE usage_file SET last_day = last_day + 11")
    decide(con, mappings_of(), AS_OF + timedelta(days=2))  # no use in 28 days any more: adoption 0
    history = rows(con, "SELECT on_, signal FROM signal_history WHERE rule = 'pattern/high_use_no_outcome' ORDER BY on_")
    assert [(h["on_"].day, h["signal"]) for h in history] == [(1, True), (3, False)]
