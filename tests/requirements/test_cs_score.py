"""CS-1 … CS-11, CS-13, CS-25 on the shipped mappings, one account worked by hand.

The account (stage adoption: deployment 10, adoption 45, engagement 25, outcome 20), as of 1 Dec 2026:
  deployment  seat use 31 of 50 = 62 %, anchors 20..80                       → 70
  adoption    close 340 after 400 = -15 %, anchors -40..0 → 62.5 (x4); core 230 / 50 seats = 4.6, anchors 1..7 → 60 (x3);
              31 people after 31 = 0 %, anchors -30..0 → 100 (x2)            → (250 + 180 + 200) / 9 = 70
  engagement  no open trouble 100 (x4); touched 20 days ago 100 (x3); decision-maker met 100 days ago 50 (x3);
              NPS 5.5 from 2 answers, anchors 4..9 → 30 (x1)                 → (400 + 300 + 150 + 30) / 11 = 80
  outcome     +20 %, anchors 0..40 → 50 (x4); 30 days old 100 (x1)           → 60
  score       (10 x 70 + 45 x 70 + 25 x 80 + 20 x 60) / 100 = 70.5 → 70, half to even
"""

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from mappings.load import DEFAULTS, MappingFaults, load, load_checked
from mappings.models import Axis, Mappings
from tests.factories import ON, Lake
from tests.worker.core import Row, decide, open_lake, rows
from tests.worker.test_decide import tiers
from tests.worker.test_score import scored

FEEDS = dict.fromkeys(("contact", "ticket", "survey", "opportunity", "human"), (True, False))
AXES = ("deployment", "adoption", "engagement", "outcome")


def ago(days: int) -> date:
    return ON - timedelta(days=days)


ACCOUNT: dict[str, Any] = {
    "stage": "adoption", "days_since_start": 400, "contracts": 1, "mrr": 100_000, "main_product": "expense", "usage_as_of": ago(1), "seats": 50,
    "active_users_28d": 31, "active_users_prev_28d": 31, "seat_use": 62.0, "events_month": 340, "events_prev_month": 400, "core_events_28d": 230,
    "last_used_on": ago(1), "p1_open": 0, "escalated_open": 0, "last_touch_on": ago(20), "last_decision_maker_on": ago(100), "nps_180d": 5.5,
    "nps_answers_180d": 2, "nps_last_on": ago(40), "outcomes": 1, "outcome_change": 20.0, "outcome_last_on": ago(30), "contacts": 3, "operators": 1,
    "setup_steps_done": 6, "setup_steps_total": 8, "setup_as_of": ago(1), "onboarding_steps_open": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def mappings() -> Mappings:
    return load()


def score_of(mappings: Mappings, feeds: dict[str, tuple[bool, bool]] | None = None, **change: Any) -> Row:
    """The score of the account with these columns changed."""
    scores, _ = scored(mappings, ACCOUNT | change, feeds=FEEDS | (feeds or {}))
    return scores["a0"]


def points(mappings: Mappings, indicator: str, **change: Any) -> float | None:
    _, parts = scored(mappings, ACCOUNT | change, feeds=FEEDS)
    found: float | None = next(p["points"] for p in parts if p["indicator"] == indicator)
    return found


def test_cs1_four_axes_are_weighted_into_one_score_and_each_is_seen(mappings: Mappings) -> None:
    got = score_of(mappings)
    assert tuple(got[a] for a in AXES) == (70, 70, 80, 60)
    assert (got["score_uncapped"], got["score"], got["coverage"]) == (70.5, 70, 100)
    fields = {f.key for f in mappings.writeback.active() if f.object == "account" and f.owner == "worker"}
    assert {"health_score", *AXES} <= fields


def test_cs2_deployment_is_seats_in_use_and_set_up_done(mappings: Mappings) -> None:
    # onboarding: set-up 6 of 8 = 75 (x4), seats 70 (x3), one operator 50 (x3): (300 + 210 + 150) / 10
    assert score_of(mappings, stage="onboarding")["deployment"] == 66
    # all set up: (400 + 210 + 150) / 10
    assert score_of(mappings, stage="onboarding", setup_steps_done=8)["deployment"] == 76
    assert points(mappings, "seat_utilization", seat_use=50.0) == 50


def test_cs3_engagement_asks_whether_we_met_the_decision_maker(mappings: Mappings) -> None:
    assert [points(mappings, "decision_maker_contact", last_decision_maker_on=ago(days)) for days in (90, 91, 180, 181)] == [100, 50, 50, 0]
    # never recorded is unknown, not bad: (400 + 300 + 30) / 8
    assert score_of(mappings, last_decision_maker_on=None)["engagement"] == 91.25
    # one escalation: (4 x 30 + 300 + 150 + 30) / 11 = 600 / 11
    assert score_of(mappings, escalated_open=1)["engagement"] == pytest.approx(600 / 11, abs=1e-6)


def test_cs4_adoption_is_people_and_features_in_use(mappings: Mappings) -> None:
    # core features left alone: (250 + 0 + 200) / 9 = 50
    assert score_of(mappings, core_events_28d=0)["adoption"] == 50
    # a third fewer people: (250 + 180 + 0) / 9
    assert score_of(mappings, active_users_28d=21, active_users_prev_28d=30)["adoption"] == pytest.approx(430 / 9, abs=1e-6)


def test_cs5_outcome_is_the_improvement_reached(mappings: Mappings) -> None:
    # +40 % is the upper anchor: (400 + 100) / 5; a record of 200 days ago: (200 + 50) / 5
    assert score_of(mappings, outcome_change=40.0)["outcome"] == 100
    assert score_of(mappings, outcome_last_on=ago(200))["outcome"] == 50
    # no source connected: the axis is blank and weighs nothing, (10 x 70 + 45 x 70 + 25 x 80) / 80
    without = score_of(mappings, {"outcome": (False, False)}, outcome_change=None, outcome_last_on=None)
    assert (without["outcome"], without["score_uncapped"], without["coverage"]) == (None, 73.125, 100)


def test_cs6_japanese_labels_carry_the_kana_in_brackets(mappings: Mappings) -> None:
    labels = {f.key: f.label.ja for f in mappings.writeback.of("account")}
    assert [labels[a] for a in AXES] == ["導入(い)", "活用(う)", "信頼関係(え)", "成果(お)"]


def test_cs7_what_the_customer_is_never_enters_the_score(mappings: Mappings) -> None:
    assert list(Axis) == list(AXES)
    other = score_of(
        mappings, segment="Enterprise", industry="Banking", employees=9_000, region="大阪府", touch_model="high", kind="customer", mrr=9_000_000
    )
    assert {k: v for k, v in other.items() if k != "account_id"} == {k: v for k, v in score_of(mappings).items() if k != "account_id"}


def test_cs7_a_measure_of_what_the_customer_is_cannot_be_configured(folder: Path) -> None:
    edit(folder / "indicators/nps.yml", "axis: engagement", "axis: account_information")
    with pytest.raises(MappingFaults, match="must be one of"):
        load_checked(folder)


def test_cs8_readiness_is_at_least_and_does_not_ask_the_programme(mappings: Mappings) -> None:
    assert [points(mappings, "trained_operators", stage="onboarding", operators=n) for n in (0, 1, 2, 5)] == [0, 50, 100, 100]
    behind = score_of(mappings, stage="onboarding", onboarding_steps_open=4, onboarding_outcome="extended")
    assert behind["deployment"] == score_of(mappings, stage="onboarding")["deployment"] == 66


def test_cs9_a_measure_without_a_hypothesis_is_refused(folder: Path) -> None:
    path = folder / "indicators/nps.yml"
    line = next(line for line in path.read_text("utf-8").splitlines(keepends=True) if line.startswith("hypothesis:"))
    edit(path, line, "")
    with pytest.raises(MappingFaults, match=r"nps\.yml.*hypothesis"):
        load_checked(folder)


def test_cs10_more_than_ten_measures_warn_and_do_not_fail(folder: Path) -> None:
    assert load_checked(folder)[1] == []
    for n in range(3):  # adoption has nine of its own: 3 more on outcome are twelve
        text = (folder / "indicators/outcome_recency.yml").read_text("utf-8").replace("name: outcome_recency", f"name: extra_{n}")
        (folder / f"indicators/extra_{n}.yml").write_text(text, "utf-8")
    old = "outcome: {weight: 20, indicators: {outcome_change: 4, outcome_recency: 1}}"
    edit(folder / "scores/health.yml", old, old.replace("recency: 1}", "recency: 1, extra_0: 1, extra_1: 1, extra_2: 1}"))
    found, warnings = load_checked(folder)
    count = sum(len(axis.indicators) for axis in found.score.profiles[2].axes.values())
    assert count > 10
    assert [w.text for w in warnings] == [f"{count} indicators in profile `adoption`: more than 10 are rarely looked at"]


def test_cs11_five_tiers_and_not_scored(mappings: Mappings) -> None:
    edges = {100: 5, 80: 5, 79: 4, 60: 4, 59: 3, 40: 3, 39: 2, 20: 2, 19: 1, 0: 1}
    assert {score: tiers([score])[0] for score in edges} == edges
    (field,) = [f for f in mappings.writeback.of("account") if f.key == "health_tier"]
    assert [v.value for v in field.values] == ["5", "4", "3", "2", "1", "not_scored"]


def test_cs13_seat_use_is_seen_without_a_score(mappings: Mappings) -> None:
    lake = Lake()
    lake.make_account()
    lake.make_contract(seats=50)
    lake.make_use(lake.make_file("product_events"), "t-A1", ago(3), [f"u{n}" for n in range(31)], feature="report_submit")
    con = open_lake(lake)
    decide(con, mappings)
    (got,) = rows(con, "SELECT state, seat_use FROM decisions")
    con.close()
    assert got == {"state": "not_scored", "seat_use": 62.0}
    (field,) = [f for f in mappings.writeback.active() if f.key == "seat_use"]
    assert (field.names["salesforce"], field.section) == ("CSH_Utilization__c", 9)


def test_cs25_set_up_use_communication_and_contract_all_count(mappings: Mappings) -> None:
    feeds = {i.feed for i in mappings.indicators.values()}
    assert {"setup", "usage", "activity", "contact", "ticket", "survey", "outcome"} <= feeds
    # the contract: a notice holds the score at 10, and the days to the notice deadline choose the scorecard
    assert (score_of(mappings, churn_notice_on=ago(2))["score"], score_of(mappings, churn_notice_on=ago(2))["capped_by"]) == (10, "churn_notice")
    assert score_of(mappings, stage="renewal")["profile"] == "renewal"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped mapping files."""
    return shutil.copytree(DEFAULTS, tmp_path / "mappings", ignore=lambda _, names: [n for n in names if n.endswith(".py") or n == "__pycache__"])


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text, f"{path.name} has no {old!r}"
    path.write_text(text.replace(old, new, 1), "utf-8")
