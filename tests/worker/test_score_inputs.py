"""Inputs of a score: answers enough to count, anchors from the segment, the embedded switch, a person's override, the mark of another profile."""

from datetime import date, timedelta
from typing import Any

import pytest
from ruamel.yaml import YAML

from mappings.docs import PAGE
from mappings.load import load
from mappings.models import Mappings, Profile, Score
from tests.factories import AS_OF, ON, Lake, make_indicator, make_mappings, make_profile
from tests.worker.core import by, decide, open_lake, rows

SHIPPED = load()
SEATS = make_indicator("seats_held", "deployment", "crm", "seats")
TOUCH = make_indicator("touch", "engagement", "activity", "touches_90d * 10")


def with_nps() -> Mappings:
    """Half seats, a quarter touches, a quarter the shipped NPS (4 → 0 points, 9 → 100)."""
    profile = make_profile(deployment=(50, {"seats_held": 1}), engagement=(50, {"touch": 1, "nps": 1}))
    indicators = {"seats_held": SEATS, "touch": TOUCH, "nps": SHIPPED.indicators["nps"]}
    return make_mappings(indicators=indicators, score=Score(name="health", profiles=[profile], coverage_min=50))


def surveyed(*scores: float) -> Any:
    """50 seats (50 points), four touches (40 points), and these NPS answers."""
    lake = Lake()
    lake.make_account()
    lake.make_contract()
    for n in range(4):
        lake.make_activity(on=ON - timedelta(days=2 + n))
    for score in scores:
        lake.make_survey(score=score)
    lake.make_survey("other", score=9)  # the feed is connected
    con = open_lake(lake)
    decide(con, with_nps())
    return con


def test_cs21_nps_is_one_measure_among_others() -> None:
    """Answers 8 and 10: mean 9 → 100 points. Engagement (40 + 100) / 2 = 70; score (50 + 70) / 2 = 60: a quarter of it is NPS."""
    con = surveyed(8, 10)
    found = by(con, "decisions")["A1"]
    assert (found["engagement"], found["score"], found["coverage"]) == (70, 60, 100)
    assert rows(con, "SELECT weight FROM parts WHERE indicator = 'nps'")[0]["weight"] == 25


def test_cs22_a_single_answer_moves_nothing_and_says_too_few() -> None:
    """One answer of 0: engagement is touches alone, 40; score (50 + 40) / 2 = 45; coverage 75. The answer is kept for reference."""
    con = surveyed(0)
    found = by(con, "decisions")["A1"]
    assert (found["engagement"], found["score"], found["coverage"]) == (40, 45, 75)
    assert found["data_status_en"] == "75 %, missing: NPS (too few answers)"
    assert found["data_status_ja"] == "75 %・不足:NPS(推奨度)(回答数不足)"
    (part,) = rows(con, "SELECT value, points, missing_why FROM parts WHERE indicator = 'nps'")
    assert (part["value"], part["points"], part["missing_why"]) == (0, None, "too_few")


def test_cs22_no_answer_is_missing_not_few() -> None:
    con = surveyed()
    assert rows(con, "SELECT missing_why FROM parts WHERE indicator = 'nps'")[0]["missing_why"] == "no_data"


def test_cs24_no_score_before_the_data_is_there_and_it_says_which() -> None:
    """Adoption 30 % and engagement 20 % are missing: coverage 50 < 60. No score, and both are named; nothing is taken for nought."""
    lake = Lake()
    lake.make_account()
    lake.make_account("B1")
    lake.make_contract()
    file_id = lake.make_file()
    lake.make_use(file_id, "t-B1", ON - timedelta(days=1), ["u"])  # usage and activities come for others only
    mappings = make_mappings()
    touches = mappings.indicators["touches_held"].model_copy(update={"expression": "case when last_touch_on is not null then touches_90d end"})
    con = open_lake(lake)
    con.execute("INSERT INTO crm_activity BY NAME SELECT 'x' AS id, 'B1' AS account_id, 'salesforce' AS connection, false AS deleted")
    decide(con, mappings.model_copy(update={"indicators": mappings.indicators | {"touches_held": touches}}))
    found = by(con, "decisions")["A1"]
    assert (found["state"], found["score"], found["tier_label"], found["coverage"]) == ("not_scored", None, "not_scored", 50)
    assert found["data_status_en"] == "50 %, not scored, missing: Title events_held, Title touches_held"
    assert found["data_status_ja"] == "50 %・採点できません(不足:題 events_held、題 touches_held)"


# --- profiles ------------------------------------------------------------------------------------------------------------------------------------
def test_cs15_an_embedded_product_chooses_its_own_profile() -> None:
    """`embedded` in products.yml is a column: its profile weighs readiness, the other watches use. Per product, too."""
    ready = make_profile("embedded", "embedded", deployment=(80, {"seats_held": 1}), engagement=(20, {"touch": 1}))
    watch = make_profile("watched", None, deployment=(20, {"seats_held": 1}), engagement=(80, {"touch": 1}))
    products = {"products": [
        {"code": "attendance", "title": {"en": "Attendance", "ja": "勤怠管理"}, "embedded": True},
        {"code": "expense", "title": {"en": "Expense", "ja": "経費精算"}},
    ]}  # fmt: skip
    mappings = make_mappings(indicators={"seats_held": SEATS, "touch": TOUCH}, products=products, score=Score(name="health", profiles=[ready, watch]))
    lake = Lake()
    for account, mrr in (("A1", 200_000), ("A2", 50_000)):
        lake.make_account(account)
        lake.make_contract(account, product="attendance", seats=60, mrr=mrr)
        lake.make_contract(account, product="expense", seats=20, mrr=100_000)
        lake.make_activity(account)
    con = open_lake(lake)
    decide(con, mappings)
    assert {a: r["profile"] for a, r in by(con, "decisions").items()} == {"A1": "embedded", "A2": "watched"}
    # attendance 80 % x 60 + 20 % x 10 = 50; expense 20 % x 20 + 80 % x 10 = 12
    found = {(r["account_id"], r["product"]): (r["profile"], r["score"]) for r in rows(con, "SELECT * FROM product_scores")}
    assert found["A1", "attendance"] == found["A2", "attendance"] == ("embedded", 50)
    assert found["A1", "expense"] == ("watched", 12)


def test_cs15_the_documented_profile_of_an_embedded_product_is_right() -> None:
    """What docs/mappings.md shows for an embedded product can be read as it stands: onboarding D60 A20 E20."""
    text = PAGE.read_text(encoding="utf-8")
    shown = text[text.index("  - name: onboarding_embedded") :].split("```")[0]
    (given,) = YAML(typ="safe").load(shown)
    profile = Profile.model_validate(given)
    assert {axis.value: spec.weight for axis, spec in profile.axes.items()} == {"deployment": 60, "adoption": 20, "engagement": 20}
    used = {name for spec in profile.axes.values() for name in spec.indicators}
    assert used <= set(SHIPPED.indicators)


def test_cs14_another_profile_leaves_its_mark_in_history() -> None:
    """Onboarding runs 90 days from the start: the 90th day is adoption. The change is a flip, and history says which profile gave which score."""
    onboarding = make_profile("onboarding", "stage = 'onboarding'", deployment=(80, {"seats_held": 1}), engagement=(20, {"touch": 1}))
    adoption = make_profile("adoption", None, deployment=(20, {"seats_held": 1}), engagement=(80, {"touch": 1}))
    mappings = make_mappings(indicators={"seats_held": SEATS, "touch": TOUCH}, score=Score(name="health", profiles=[onboarding, adoption]))
    lake = Lake()
    lake.make_account()
    lake.make_contract(starts_on=ON - timedelta(days=89), ends_on=date(2027, 9, 30))
    lake.make_activity()
    con = open_lake(lake)
    decide(con, mappings)
    assert rows(con, "SELECT * FROM flips WHERE kind = 'profile'") == []
    decide(con, mappings, AS_OF + timedelta(days=1))
    (flip,) = rows(con, "SELECT account_id, value, channel FROM flips WHERE kind = 'profile'")
    assert (flip["account_id"], flip["value"], flip["channel"]) == ("A1", "onboarding→adoption", None)
    # 80 % x 50 + 20 % x 10 = 42, then 20 % x 50 + 80 % x 10 = 18
    history = rows(con, "SELECT on_, profile, score FROM score_history ORDER BY on_")
    assert [(h["on_"].day, h["profile"], h["score"]) for h in history] == [(1, "onboarding", 42), (2, "adoption", 18)]


# --- anchors -------------------------------------------------------------------------------------------------------------------------------------
def by_segment() -> Mappings:
    seats = make_indicator("seats_held", mapping={"kind": "linear", "bad": "p10", "good": "p90", "fallback": {"bad": 0, "good": 100}})
    profile = make_profile(adoption=(50, {"seats_held": 1}), engagement=(50, {"touch": 1}))
    return make_mappings(indicators={"seats_held": seats, "touch": TOUCH}, score=Score(name="health", profiles=[profile]))


def test_anchors_come_from_the_segment_and_stand_still_between_full_runs() -> None:
    """Seats 0, 10, 20, 30, 40: p10 lies 0.4 of the way from 0 to 10 = 4, p90 = 36. 20 → (20 - 4) / 32 = 50 points, 10 → 18.75, 0 and 40 → 0 and 100.

    An increment in which one customer grows to 400 seats moves that one alone; a segment of four takes the fallback: 20 → 20 points.
    """
    lake = Lake()
    for segment, seats in (("SMB", (0, 10, 20, 30, 40)), ("Enterprise", (0, 20, 30, 40))):
        for n in seats:
            lake.make_account(f"{segment}{n}", segment=segment)
            lake.make_contract(f"{segment}{n}", seats=n)
            lake.make_activity(f"{segment}{n}")
    con = open_lake(lake)
    decide(con, by_segment())
    points = {r["account_id"]: r["points"] for r in rows(con, "SELECT account_id, points FROM parts WHERE indicator = 'seats_held'")}
    assert {a: points[a] for a in ("SMB0", "SMB10", "SMB20", "SMB40", "Enterprise20", "Enterprise40")} == {
        "SMB0": 0, "SMB10": 18.75, "SMB20": 50, "SMB40": 100, "Enterprise20": 20, "Enterprise40": 40,
    }  # fmt: skip
    stats = rows(con, "SELECT indicator, median_points, n FROM population WHERE profile = '*' AND segment = 'SMB' AND indicator LIKE 'p_0:%'")
    assert {(s["indicator"], s["median_points"], s["n"]) for s in stats} == {("p10:seats_held", 4, 5), ("p90:seats_held", 36, 5)}
    con.execute(
        "INSERT INTO population_stats BY NAME SELECT *, DATE '2026-12-01' AS on_, TIMESTAMPTZ '2026-12-01 03:00:00Z' AS as_of FROM population"
    )
    con.execute("UPDATE crm_contract SET seats = 400 WHERE account_id = 'SMB10'")
    con.execute("CREATE TABLE changed AS SELECT unnest(['SMB10', 'SMB20']) AS account_id")
    decide(con, by_segment(), AS_OF + timedelta(hours=1), full=False, only="changed")
    points = {r["account_id"]: r["points"] for r in rows(con, "SELECT account_id, points FROM parts WHERE indicator = 'seats_held'")}
    assert points == {"SMB10": 100, "SMB20": 50}


def test_a_segment_where_all_are_alike_takes_the_fallback() -> None:
    lake = Lake()
    for n in range(5):
        lake.make_account(f"a{n}")
        lake.make_contract(f"a{n}", seats=30)
        lake.make_activity(f"a{n}")
    con = open_lake(lake)
    decide(con, by_segment())
    assert {r["points"] for r in rows(con, "SELECT points FROM parts WHERE indicator = 'seats_held'")} == {30}


# --- override ------------------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("until", "score", "said"),
    [
        (ON, 80, "A person set 80 until 1 Dec 2026; the score beside it is computed as before"),
        (ON + timedelta(days=30), 80, "A person set 80 until 31 Dec 2026; the score beside it is computed as before"),
        (ON + timedelta(days=31), None, "The override is not taken: it ends on 1 Jan 2027, more than 30 days ahead. Bring the date nearer"),
        (ON - timedelta(days=1), None, None),
        (None, None, None),
    ],
)
def test_an_override_stands_beside_the_score_until_its_last_day(until: date | None, score: int | None, said: str | None) -> None:
    """50 seats and one touch: 50 % x 50 + 50 % x 10 = 30, whatever a person says. The last day counts, 30 days ahead is the most."""
    lake = Lake()
    lake.make_account(own_override_score="80", own_override_until=until.isoformat() if until else None)
    lake.make_contract()
    lake.make_activity()
    con = open_lake(lake)
    profile = make_profile(deployment=(50, {"seats_held": 1}), engagement=(50, {"touch": 1}))
    decide(con, make_mappings(indicators={"seats_held": SEATS, "touch": TOUCH}, score=Score(name="health", profiles=[profile])))
    found = by(con, "decisions")["A1"]
    assert (by(con, "accounts")["A1"]["override_score"], found["score"], found["override_state_en"]) == (score, 30, said)
