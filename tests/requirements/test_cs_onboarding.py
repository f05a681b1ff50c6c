"""Onboarding, worked by hand. The instant is noon of Tuesday 1 December 2026 in Tokyo (`ON`); expense has 90 days, esign 60."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from mappings.models import Mappings
from mappings.models_onboarding import OnboardingPlan, SelfSuccess
from tests.factories import AS_OF, ON, Lake, instant, make_mappings
from tests.worker.core import Row, by, decide, join, open_lake, rows


def text(word: str) -> dict[str, str]:
    return {"en": word, "ja": f"{word}件"}


def step(name: str, due: int, phase: str = "prepare", **more: Any) -> dict[str, Any]:
    return {"name": name, "title": text(name), "phase": phase, "due_days": due, **more}


PHASES = [{"name": "prepare", "title": text("Prepare")}, {"name": "go_live", "title": text("Go live")}]
FIRST = [
    step("master", 14, setup_steps=1),
    step(
        "routes",
        30,
        activity={"subject": "routes"},
        action={"en": "Offer a session", "ja": "打ち合わせをご提案ください"},
        material="https://h.test/r",
    ),
    step("people", 60, "go_live", when="operators >= 2"),
]
EXPENSE = {
    "name": "expense", "title": text("Expense"), "products": ["expense"],
    "versions": [
        {"version": 1, "phases": PHASES, "steps": FIRST},
        {"version": 2, "valid_from": "2026-11-01", "days": 45, "phases": PHASES, "steps": [step("master", 10, setup_steps=1)]},
    ],
}  # fmt: skip
BOTH = {
    "name": "both", "title": text("Both"), "products": ["expense", "esign"], "together_days": 20,
    "versions": [{"version": 1, "phases": PHASES, "steps": [step("master", 14, product="esign", setup_steps=2)]}],
}  # fmt: skip


def mappings(**more: Any) -> Mappings:
    plans = {plan["name"]: OnboardingPlan.model_validate(plan) for plan in (EXPENSE, BOTH)}
    return make_mappings(onboarding=plans, **more)


class Accounts:
    """One account per case, each with a line, a set-up snapshot and the given touches."""

    def __init__(self) -> None:
        self.lake = Lake()
        self.file = self.lake.make_file("setup", first=ON - timedelta(days=1))

    def add(self, name: str, starts: date, done: int = 0, routes: date | None = None, operators: int = 0, **account: Any) -> None:
        self.lake.make_account(name, **account)
        self.lake.make_contract(name, starts_on=starts, ends_on=date(2028, 12, 31))
        self.snapshot(name, done)
        self.lake.make_activity(name, starts, kind="onboarding_step", subject="book the room", done_at=None, due_on=date(2027, 3, 1))
        if routes is not None:
            self.lake.make_activity(name, routes, kind="onboarding_step", subject="set up routes")
        for _ in range(operators):
            self.lake.make_contact(name)

    def snapshot(self, name: str, done: int, product: str = "expense") -> None:
        for metric, value in (("setup_steps_done", done), ("setup_steps_total", 3)):
            self.lake.make_snapshot(self.file, f"t-{name}", metric, value, ON - timedelta(days=1), product)


@pytest.fixture(scope="module")
def made() -> Iterator[dict[str, Row]]:
    accounts = Accounts()
    # version 1, started 31 October: due 14 November, 30 November, 30 December; period to 31 October + 89 days = 28 January 2027
    accounts.add("overdue", date(2026, 10, 31), done=1)
    accounts.add("on_track", date(2026, 10, 31), done=1, routes=date(2026, 11, 20))
    # version 2, started 1 November: one step, due 11 November; period to 1 November + 44 days = 15 December
    accounts.add("second", date(2026, 11, 1), done=0)
    accounts.add("fresh", date(2026, 11, 25), done=0)  # due 5 December
    # started 1 July: period to 28 September
    accounts.add("in_time", date(2026, 7, 1), done=1, routes=date(2026, 9, 28), operators=2)
    accounts.add("failed", date(2026, 7, 1), done=1, routes=date(2026, 9, 28), operators=1)
    accounts.add("extended", date(2026, 7, 1), done=1, own_onboarding_outcome="extended")  # twice the days: to 1 July + 179 = 27 December
    accounts.add("told_done", date(2026, 10, 31), own_onboarding_outcome="completed")
    accounts.add("told_failed", date(2026, 7, 1), done=1, routes=date(2026, 8, 1), operators=2, own_onboarding_outcome="failed_proceeding")
    # nothing reports on it: no snapshot, no task
    accounts.lake.make_account("unknown")
    accounts.lake.make_contract("unknown", starts_on=date(2026, 11, 1), ends_on=date(2028, 12, 31))
    accounts.add("long_ago", date(2024, 11, 1), done=1)  # 760 days: not looked at
    # both products 15 days apart: one plan; 30 days apart: two
    accounts.add("together", date(2026, 11, 10))
    accounts.lake.make_contract("together", product="esign", starts_on=date(2026, 11, 25), ends_on=date(2028, 12, 31), mrr=1)
    accounts.snapshot("together", 2, "esign")
    accounts.add("apart", date(2026, 10, 20))
    accounts.lake.make_contract("apart", product="esign", starts_on=date(2026, 11, 19), ends_on=date(2028, 12, 31), mrr=1)
    con, _ = join(accounts.lake, mappings())
    yield by(con, "accounts")
    con.close()


def test_cs28_completion_within_the_period_is_yes_no_or_not_known(made: dict[str, Row]) -> None:
    """The last step of `in_time` was done on 28 September, the last day of its 90; people are counted without a day, so the day is not known
    and neither is whether it was in time. `failed` is past its period: no. `on_track` is within it: open."""
    assert made["in_time"]["onboarding_status"] == "completed"
    assert (made["in_time"]["onboarding_completed_on"], made["in_time"]["onboarding_on_time"]) == (None, None)
    assert made["failed"]["onboarding_on_time"] is False
    assert made["on_track"]["onboarding_on_time"] is None


def test_cs28_a_completion_keeps_the_day_it_was_first_seen() -> None:
    """Seen open on 1 December, done in the snapshot of the 3rd (period to 15 December): completed on the 3rd, and still so on the 20th."""
    accounts = Accounts()
    accounts.add("A1", date(2026, 11, 1), done=0)
    con = open_lake(accounts.lake)
    seen = []
    for day in (ON, date(2026, 12, 3), date(2026, 12, 20)):
        if day != ON:
            con.execute("UPDATE usage_snapshot SET value = 1 WHERE metric = 'setup_steps_done'")
        decide(con, mappings(), instant(day))
        con.execute("INSERT INTO onboarding_history BY NAME SELECT * FROM onboarding_changes")
        seen.append(tuple(rows(con, "SELECT status, completed_on, on_time FROM onboarding")[0].values()))
    assert seen == [("overdue", None, None), ("completed", date(2026, 12, 3), True), ("completed", date(2026, 12, 3), True)]
    assert rows(con, "SELECT count(*) AS n FROM onboarding_history") == [{"n": 2}]  # the third run had nothing to add


def test_cs29_the_period_ends_after_its_days(made: dict[str, Row]) -> None:
    """90 days from 31 October, the first included, end on 28 January; extended, 180 from 1 July end on 27 December."""
    assert made["overdue"]["onboarding_due_on"] == date(2026, 10, 31) + timedelta(days=89) == date(2027, 1, 28)
    assert made["second"]["onboarding_due_on"] == date(2026, 12, 15)
    assert made["extended"]["onboarding_due_on"] == date(2026, 12, 27)


def test_cs30_overdue_steps_are_named_with_their_days(made: dict[str, Row]) -> None:
    """`overdue`: master is done, routes were due on 30 November, yesterday; people on 30 December are not due yet."""
    row = made["overdue"]
    assert (row["onboarding_status"], row["steps_overdue"], row["steps_overdue_since"]) == ("overdue", 1, date(2026, 11, 30))
    assert (row["overdue_steps_title_en"], row["overdue_steps_title_ja"]) == ("routes (30 Nov 2026)", "routes件(2026/11/30)")
    assert (made["on_track"]["onboarding_status"], made["on_track"]["steps_overdue"]) == ("on_track", 0)
    assert made["fresh"]["onboarding_status"] == "not_started"


def test_cs30_where_nothing_reports_on_the_steps_nobody_is_called_overdue(made: dict[str, Row]) -> None:
    row = made["unknown"]
    assert (row["onboarding_plan"], row["onboarding_status"], row["onboarding_on_time"]) == ("expense", None, None)
    assert made["long_ago"]["onboarding_plan"] is None


def test_cs31_criteria_per_product_and_combination_with_phases(made: dict[str, Row]) -> None:
    """15 days apart is within 20: one plan for both, whose step is esign's second set-up step. 30 days apart: the main product's own plan."""
    assert (made["together"]["onboarding_plan"], made["together"]["onboarding_status"]) == ("both", "completed")
    assert made["apart"]["onboarding_plan"] == "expense"
    assert made["overdue"]["onboarding_phase"] == "prepare"
    assert made["on_track"]["onboarding_phase"] == "go_live"  # only people is open
    assert (made["on_track"]["onboarding_steps_done"], made["on_track"]["onboarding_steps_total"]) == (2, 3)


def test_cs32_an_account_keeps_the_version_it_started_on(made: dict[str, Row]) -> None:
    """Version 2 is for those who start on or after 1 November."""
    assert [made[name]["onboarding_version"] for name in ("overdue", "second", "in_time")] == [1, 2, 1]


def test_cs33_after_the_period_it_failed_and_goes_on_unless_a_person_extends_it(made: dict[str, Row]) -> None:
    statuses = {name: made[name]["onboarding_status"] for name in ("failed", "extended", "told_done", "told_failed")}
    assert statuses == {"failed": "failed_proceeding", "extended": "extended", "told_done": "completed", "told_failed": "failed_proceeding"}
    assert made["told_failed"]["onboarding_on_time"] is False
    assert (made["failed"]["stage"], made["extended"]["stage"]) == ("adoption", "onboarding")
    assert made["told_done"]["onboarding_completed_on"] == ON  # within the period, so today is in time whatever the day was
    assert made["told_done"]["onboarding_on_time"] is True


def test_cs35_a_customer_who_sets_up_alone_is_suggested_with_reasons() -> None:
    """`small`: 10 seats and set-up ahead, two signs of two. `big`: one sign. `late`: two signs, but a step is overdue."""
    signs = [
        {"name": "small", "when": "seats <= 30", "text": {"en": "{seats:int} seats", "ja": "{seats:int} ID"}},
        {"name": "ahead", "when": "onboarding_steps_done >= 1", "text": {"en": "set-up begun", "ja": "設定済み"}},
    ]
    found = SelfSuccess.model_validate({"at_least": 2, "unless": "steps_overdue > 0", "signs": signs})
    accounts = Accounts()
    for name, seats, starts in (("small", 10, date(2026, 11, 25)), ("big", 500, date(2026, 11, 25)), ("late", 10, date(2026, 10, 31))):
        accounts.lake.make_account(name)
        accounts.lake.make_contract(name, seats=seats, starts_on=starts, ends_on=date(2028, 12, 31))
        accounts.snapshot(name, 1)
    accounts.lake.make_activity("late", ON, kind="onboarding_step", subject="routes", done_at=None, due_on=ON)
    con = open_lake(accounts.lake)
    decide(con, mappings(self_success=found), AS_OF)
    made = by(con, "decisions")
    assert {name: row["self_success_en"] for name, row in made.items()} == {"small": "10 seats; set-up begun", "big": None, "late": None}
    assert made["small"]["self_success_ja"] == "10 ID。設定済み"


def test_cs36_the_record_says_the_next_step_in_words_with_its_material(made: dict[str, Row]) -> None:
    assert made["overdue"]["onboarding_next_en"] == "“routes” was due on 30 Nov 2026. Offer a session. Material: https://h.test/r"
    assert (
        made["overdue"]["onboarding_next_ja"] == "「routes件」が予定日(2026/11/30)を過ぎています。打ち合わせをご提案ください。手順:https://h.test/r"
    )
    assert made["on_track"]["onboarding_next_en"] == "“people” is due on 30 Dec 2026. Agree on a date for it with the administrator."
    assert made["in_time"]["onboarding_next_en"] is None


def test_cs38_the_first_renewal_is_told_apart() -> None:
    """`first`: no term is over. `third`: terms ended in March 2025 and 2026, the third runs. `one_line`: three terms of 12 months in one line."""
    lake = Lake()
    for name, starts in (("first", 2026), ("third", 2026), ("one_line", 2024)):
        lake.make_account(name)
        lake.make_contract(name, starts_on=date(starts, 4, 1), ends_on=date(2027, 3, 31))
    for year in (2024, 2025):
        lake.make_contract("third", starts_on=date(year, 4, 1), ends_on=date(year + 1, 3, 31))
        lake.make_contract("third", starts_on=date(year, 10, 1), ends_on=date(year + 1, 3, 31), seats=5)  # added seats share the term
    con, _ = join(lake, mappings())
    assert {name: row["renewal_number"] for name, row in by(con, "accounts").items()} == {"first": 1, "third": 3, "one_line": 3}
