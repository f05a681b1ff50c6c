"""Preparation of renewals, worked by hand. The instant is noon of Tuesday 1 December 2026 in Tokyo (`ON`)."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from mappings.models import Mappings
from mappings.models_onboarding import Renewal
from tests.factories import ON, Lake, make_mappings
from tests.worker.core import Row, by, decide, open_lake, rows

STEPS: list[dict[str, Any]] = [
    {"name": "first", "days_before": 120, "when": "last_touch_on >= prep_from"},
    {"name": "summary", "days_before": 60},
    {"name": "roi", "days_before": 30, "when": "outcome_last_on >= prep_from"},
]


def mappings() -> Mappings:
    steps = [step | {"title": {"en": step["name"], "ja": step["name"]}, "action": {"en": "Do it.", "ja": "進めてください"}} for step in STEPS]
    spec = {"segments": {"Enterprise": 6, "SMB": 3}, "qbr_days": {"Enterprise": 90, "default": 365}, "steps": steps}
    spec["expansion_when"] = "health_tier >= 4 and white_space_products > 0"
    return make_mappings(renewal=Renewal.model_validate(spec))


def account(lake: Lake, name: str, notice: date, *, term: int = 12, segment: str = "Mid", touch: int | None = None, **row: Any) -> None:
    lake.make_account(name, segment=segment, **row)
    ends = notice + timedelta(days=30)
    lake.make_contract(name, starts_on=date(2025, 4, 1), ends_on=ends, notice_on=notice, term_months=term, seats=100)
    if touch is not None:
        lake.make_activity(name, ON - timedelta(days=touch))


@pytest.fixture(scope="module")
def made() -> Iterator[tuple[dict[str, Row], dict[str, list[Row]]]]:
    lake = Lake()
    # Mid: 4 months = 120 days before the deadline of 30 January 2027: from 2 October 2026. Steps on 2 October, 1 December, 31 December
    account(lake, "untouched", date(2027, 1, 30))
    account(lake, "touched", date(2027, 1, 30), touch=10)
    account(lake, "day_before", date(2027, 3, 31), touch=10)  # from 1 December: today is the first day, so a touch of 21 November is too early
    account(lake, "too_early", date(2027, 4, 1))  # from 2 December: tomorrow
    # half-way the steps of SMB (90 days) come at three quarters of their days, those of Enterprise (180 days) at one and a half times
    account(lake, "smb", date(2027, 1, 30), segment="SMB")
    account(lake, "enterprise", date(2027, 1, 30), segment="Enterprise")
    # half of the term at most: 6 months → 90 days, from 1 November; 3 months → 45 days, from 16 December
    account(lake, "half_year", date(2027, 1, 30), term=6)
    account(lake, "quarter", date(2027, 1, 30), term=3)
    account(lake, "monthly", date(2026, 12, 15), term=1)
    account(lake, "passed", date(2026, 11, 30))
    account(lake, "leaving", date(2027, 1, 30), churn_notice_on=date(2026, 11, 20))
    lake.make_activity("enterprise", date(2026, 11, 1), kind="qbr")
    con = open_lake(lake)
    decide(con, mappings())
    steps: dict[str, list[Row]] = {}
    for row in rows(con, "SELECT * FROM renewal_steps ORDER BY account_id, place"):
        steps.setdefault(row["account_id"], []).append(row)
    yield by(con, "decisions"), steps
    con.close()


Made = tuple[dict[str, Row], dict[str, list[Row]]]


def test_cs45_steps_are_dated_back_from_the_notice_deadline(made: Made) -> None:
    _, steps = made
    assert [s["due_on"] for s in steps["untouched"]] == [date(2026, 10, 2), date(2026, 12, 1), date(2026, 12, 31)]
    assert [s["due_on"] for s in steps["smb"]] == [date(2027, 1, 30) - timedelta(days=n) for n in (90, 45, 23)]  # 22.5 rounds up
    assert [s["due_on"] for s in steps["enterprise"]] == [date(2027, 1, 30) - timedelta(days=n) for n in (180, 90, 45)]


def test_cs45_the_stage_is_the_first_step_that_is_not_done(made: Made) -> None:
    """A touch since 2 October shows the first step as done; the second has no sign of its own and its day is today, so it is not past yet."""
    decisions, steps = made
    stages = {name: row["renewal_prep"] for name, row in decisions.items()}
    assert (stages["untouched"], stages["touched"]) == ("first", "summary")
    assert [(s["done"], s["by_date"]) for s in steps["touched"]] == [(True, False), (False, True), (False, False)]
    assert (stages["day_before"], stages["too_early"]) == ("first", "not_yet")
    assert [s["done"] for s in steps["enterprise"]] == [True, True, False]  # its second step's day, 1 November, is past
    assert decisions["touched"]["renewal_next_on"] == ON
    assert decisions["touched"]["renewal_next_en"] == "1 of 3 steps done. Next by 1 Dec 2026: summary. Do it."
    assert decisions["touched"]["renewal_next_ja"] == "3件中1件が済んでいます。次は「summary」(2026/12/1まで)です。進めてください"


def test_cs26_less_time_left_on_a_short_contract_starts_later_and_never_for_a_monthly_one(made: Made) -> None:
    decisions, steps = made
    stages = {name: row["renewal_prep"] for name, row in decisions.items()}
    assert (stages["half_year"], stages["quarter"], stages["monthly"]) == ("first", "not_yet", None)
    assert (stages["passed"], stages["leaving"]) == ("passed", None)
    assert steps["half_year"][0]["due_on"] == date(2026, 11, 1)


def test_cs47_the_next_review_is_due_by_segment(made: Made) -> None:
    """Enterprise: 90 days after the review of 1 November. Mid has none: 365 days after the start of 1 April 2025."""
    decisions, _ = made
    assert decisions["enterprise"]["qbr_due_on"] == date(2027, 1, 30)
    assert decisions["untouched"]["qbr_due_on"] == date(2026, 4, 1)


def test_cs61_whether_to_talk_of_more_is_visible_on_the_renewal(made: Made) -> None:
    """100 seats are 100 points of deployment, no touch is 0 of engagement: (50·100 + 20·0) / 70 = 71, tier 4, and e-sign is not owned.
    A touch of the last 90 days is 10 points: (50·100 + 20·10) / 70 = 74. Outside the preparation nothing is said."""
    decisions, _ = made
    assert decisions["untouched"]["score"] == 71
    assert (decisions["untouched"]["expansion_ready"], decisions["too_early"]["expansion_ready"]) == ("ready", None)
