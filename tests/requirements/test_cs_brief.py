"""The brief and the onboarding report, on hand-made lakes and through the front door. The instant is noon of Tuesday 1 December 2026 in Tokyo."""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from mappings.load import load
from mappings.models import Mappings, Writeback
from mappings.models_onboarding import OnboardingPlan, Renewal
from tests.factories import ON, Lake, make_field, make_mappings
from tests.worker.lake_writer import run_core
from tests.worker.test_core_steps import opened
from worker.brief import CUSTOMER, Brief, brief_account
from worker.brief_page import FORMATS, render
from worker.onboarding_report import onboarding_report
from worker.runtime import Runtime

EVIL = "<script>alert(1)</script> & Sons"


def _text(word: str) -> dict[str, str]:
    return {"en": word, "ja": f"{word}件"}


def _mappings() -> Mappings:
    plan = {
        "name": "expense", "title": _text("Expense"), "products": ["expense"],
        "versions": [{"version": 1, "phases": [{"name": "prepare", "title": _text("Prepare")}], "steps": [
            {"name": "routes", "title": _text("Approval routes"), "phase": "prepare", "due_days": 30, "activity": {"subject": "routes"}}]}],
    }  # fmt: skip
    renewal = {
        "expansion_when": "health_tier >= 4",
        "steps": [
            {
                "name": "hello",
                "title": _text("Say hello"),
                "days_before": 120,
                "when": "last_touch_on >= prep_from",
                "action": _text("Call"),
                "side": "customer",
            },
            {"name": "story", "title": _text("Inner story"), "days_before": 10, "action": _text("Write it")},
        ],
        "questions": [
            {"name": "goal", "when": "coalesce(outcomes, 0) = 0", "text": _text("What should improve?"), "side": "customer"},
            {"name": "inner", "text": _text("Are they about to leave?")},
            {"name": "never", "when": "seats > 1000", "text": _text("Not for them")},
        ],
    }
    human = [make_field(f"success_{name}", type="text", owner="human", length=255) for name in ("goal", "metric", "target")]
    plans = {"expense": OnboardingPlan.model_validate(plan)}
    return make_mappings(onboarding=plans, renewal=Renewal.model_validate(renewal), writeback=Writeback(fields=human))


def _lake() -> Lake:
    lake = Lake()
    lake.own = ["success_goal", "success_metric", "success_target"]
    # R1: the notice deadline of 30 January 2027 is 60 days off; 40 seats, 3 users a week of 10 events in the last four weeks
    lake.make_account(
        "R1",
        name=EVIL,
        own_success_goal="Close in 3 days",
        own_success_metric="hours per close",
        own_success_target="40",
        csm_id="csm-1",
        touch_model="high",
    )
    lake.make_contract("R1", starts_on=date(2025, 4, 1), ends_on=date(2027, 3, 1), notice_on=date(2027, 1, 30), seats=40, mrr=80_000)
    lake.make_ticket("R1", ON - timedelta(days=12), priority="p1", product="expense")
    lake.make_outcome("R1", ON - timedelta(days=40), metric="Hours per close", baseline=80.0, current_value=60.0, fact_backed=True,
                      confirmed_by="Sato | Sons", kind="cost_down", logic="Approvals need no paper", data_source="their time sheets")  # fmt: skip
    lake.make_activity("R1", ON - timedelta(days=3))
    events = lake.make_file()
    for week in range(4):
        lake.make_use(events, "t-R1", ON - timedelta(days=1 + 7 * week), ["u1", "u2", "u3"], events=10)
    # onboarding, all of CSM 1: done in time; done late; open past the period; open within it. 90 days from 1 July end on 28 September
    for name, starts, done in (("in_time", 7, date(2026, 9, 28)), ("late", 7, date(2026, 9, 29)), ("never", 7, None), ("open", 11, None)):
        lake.make_account(name, csm_id="csm-1", touch_model="tech" if name == "late" else "high")
        lake.make_contract(name, starts_on=date(2026, starts, 1), ends_on=date(2028, 6, 30))
        lake.make_activity(name, done or ON, kind="onboarding_step", subject="routes", due_on=ON, **({} if done else {"done_at": None}))
    return lake


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    found = opened(tmp_path_factory.mktemp("brief"), {"0": _lake()})
    run_core(found, _mappings())
    yield found
    found.close()


def _brief(runtime: Runtime, **options: Any) -> Brief:
    found = brief_account(runtime, "R1", **options)
    assert found is not None
    return found


def test_cs46_one_page_holds_use_score_results_cases_dates_ideas_and_questions(runtime: Runtime) -> None:
    parts = _brief(runtime, language="en").parts
    assert [(w["week"], w["events"]) for w in parts["weeks"][-5:]] == [
        (date(2026, 10, 27), 0), (date(2026, 11, 3), 10), (date(2026, 11, 10), 10), (date(2026, 11, 17), 10), (date(2026, 11, 24), 10),
    ]  # fmt: skip
    assert len(parts["weeks"]) == 13
    assert [(t["priority"], t["opened_on"]) for t in parts["tickets"]] == [("p1", date(2026, 11, 19))]
    assert [(s["title"], s["due_on"], s["done"]) for s in parts["steps"]] == [
        ("Say hello", date(2026, 10, 2), True), ("Inner story", date(2027, 1, 20), False),
    ]  # fmt: skip
    assert parts["questions"] == ["Are they about to leave?"]  # a result is recorded, and they have 40 seats
    assert parts["score"]["score"] is not None
    assert parts["score"]["down"]
    assert "E-sign" in parts["ideas"]["white_space"]


def test_cs43_revenue_and_health_lie_on_one_time_line(runtime: Runtime) -> None:
    parts = _brief(runtime).parts
    assert [m["mrr"] for m in parts["months"]] == [80_000.0] * 12
    assert (parts["months"][0]["on_"], parts["months"][-1]["on_"]) == (date(2026, 1, 31), ON)
    assert parts["scores"][-1]["on"] == ON
    assert "polyline" in render(_brief(runtime), "html")


def test_cs48_a_result_shows_baseline_present_change_and_whether_it_is_a_fact(runtime: Runtime) -> None:
    """(60 − 80) / 80 = −25 %: a fall, as the figures say, also where less is better."""
    (outcome,) = _brief(runtime).parts["outcomes"]
    assert (outcome["baseline"], outcome["current_value"], outcome["change"], outcome["fact_backed"]) == (80.0, 60.0, "−25%", True)


def test_cs48_the_page_says_who_confirmed_a_result_and_how_it_follows(runtime: Runtime) -> None:
    page = render(_brief(runtime, language="en"), "md")
    assert "| Hours per close | 80 | 60 | −25% | yes | Sato \\| Sons | " in page
    assert "- Hours per close: cost down · Approvals need no paper (their time sheets)" in page
    assert "コスト削減 · Approvals need no paper" in render(_brief(runtime, language="ja"), "html")


def test_cs49_the_page_measures_the_way_to_their_goal(runtime: Runtime) -> None:
    """From 80 to 60 of 80 to 40 hours: half the way."""
    assert "Close in 3 days · 50% of the way (hours per close: now 60, target 40)" in render(_brief(runtime, language="en", customer_safe=True), "md")


def test_cs49_the_customers_own_goal_stands_beside_the_results(runtime: Runtime) -> None:
    assert "Close in 3 days" in render(_brief(runtime, customer_safe=True), "md")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("language", ["en", "ja"])
def test_cs37_the_page_for_the_customer_holds_no_judgement_of_ours(runtime: Runtime, form: str, language: str) -> None:
    brief = _brief(runtime, language=language, customer_safe=True)
    page, inner = render(brief, form), render(_brief(runtime, language=language), form)
    assert set(brief.parts) <= CUSTOMER
    ours = {
        "en": ("Health", "Are they about to leave", "Inner story", "E-sign", "P1", "Internal"),
        "ja": ("健康度", "about to leave", "Inner story", "社内用"),
    }
    for word in ours[language]:
        assert word in inner, word
        assert word not in page, word
    assert "Say hello" in page


def test_cs46_what_people_typed_is_text_in_html(runtime: Runtime) -> None:
    page = render(_brief(runtime), "html")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Sons" in page
    assert not re.search(r"(src|href)=", page)  # nothing is loaded from anywhere when it is opened or printed


def test_cs46_an_account_nobody_decided_on_has_no_brief(runtime: Runtime) -> None:
    assert brief_account(runtime, "nobody") is None


def test_cs28_the_on_time_rate_by_cohort_plan_csm_and_touch_model(runtime: Runtime) -> None:
    """In time 1, late 2 (done on the 29th, and never): 1 of 3 = 33.3 %. November's cohort is not settled. R1 began more than 365 days ago, and no
    task of its own says anything of its step."""
    found = onboarding_report(runtime)
    assert found is not None
    assert (found["all"]["started"], found["all"]["on_time"], found["all"]["late"], found["all"]["on_time_percent"]) == (4, 1, 2, 33.3)
    rates = {heading: {row["name"]: row["on_time_percent"] for row in rows} for heading, rows in found["by"].items()}
    assert rates == {
        "cohort": {"2026-07": 33.3, "2026-11": None}, "plan": {"expense": 33.3}, "csm": {"csm-1": 33.3}, "touch_model": {"high": 50.0, "tech": 0.0},
    }  # fmt: skip


def test_cs28_the_report_can_begin_with_a_cohort(runtime: Runtime) -> None:
    found = onboarding_report(runtime, since=date(2026, 11, 1))
    assert found is not None
    assert (found["all"]["started"], found["all"]["on_time_percent"]) == (1, None)


def test_cs46_the_shipped_questions_read_as_they_should() -> None:
    """Every question has a condition or is for everybody, and each is a question in Japanese, too."""
    questions = load().renewal.questions
    assert {q.name for q in questions if q.when is None} == {"next_year"}
    assert all(q.text.en.endswith("?") and q.text.ja.rstrip().endswith("か") for q in questions)


def test_the_templates_are_part_of_the_package() -> None:
    root = Path(__file__).parents[2]
    assert '"**/*.j2"' in (root / "pyproject.toml").read_text()
    assert len(list((root / "worker" / "templates").glob("*.j2"))) == 4
