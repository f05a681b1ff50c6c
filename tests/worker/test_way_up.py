"""The cheapest way up: what is suggested, followed, gives the promised tier; and nothing smaller would."""

from datetime import timedelta
from itertools import combinations
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mappings.load import DEFAULTS, load
from mappings.models import Boolean, Cap, Lift, Linear, Mappings, Score, Step, Steps, Tiers, Writeback
from tests.factories import AS_OF, ON, Lake, make_field, make_indicator, make_mappings, make_text
from tests.worker.core import Row, by, decide, open_lake, rows
from worker.steps._way_up import build_way_up

FIELDS = [make_field("way_up", type="text", length=255, set="standard", update="ride_along")]
TOUCH = {"effort": 1, "count": "ceil((target - value) / 10 - 0.000001)", "text": make_text("meet {count} more times", "あと{count}回面談する")}
SEATS = {"effort": 10, "count": "target - value", "text": make_text("{count} more seats, {target:int} in all")}


def lifted(**lifts: Any) -> Mappings:
    """The factory's three measures: seats 50 %, events 30 %, touches (10 points each) 20 %; lifts for those named."""
    base = make_mappings()
    found = {name: base.indicators[name].model_copy(update={"lift": Lift.model_validate(lift)}) for name, lift in lifts.items()}
    return base.model_copy(update={"indicators": base.indicators | found, "writeback": Writeback(language="en", sets=["standard"], fields=FIELDS)})


def with_score(mappings: Mappings, **changed: Any) -> Mappings:
    return mappings.model_copy(update={"score": mappings.score.model_copy(update=changed)})


def small(touches: int = 1, seats: int = 50) -> Lake:
    """50 seats (25), an event a day (8.4), touches (2 each): 35.4 with one touch, tier 2."""
    lake = Lake()
    file = lake.make_file()
    lake.make_account()
    lake.make_contract(seats=seats)
    for n in range(touches):
        lake.make_activity(on=ON - timedelta(days=n + 1))
    for n in range(1, 71):
        lake.make_use(file, "t-A1", ON - timedelta(days=n), ["u1"])
    return lake


def told(lake: Lake, mappings: Mappings) -> Row:
    con = open_lake(lake)
    decide(con, mappings)
    return by(con, "decisions")["A1"]


# --- worked by hand --------------------------------------------------------------------------------------------------------------------------------
def test_the_suggestion_followed_gives_the_tier() -> None:
    """Tier 3 moves from 43 (40 and the margin): 7.6 are missing. Touches are 0.2 a point: 38 points, so from 10 to 48, four more meetings.

    Seats would do with 15.2 points (66 seats), but their effort is ten times that of touches.
    """
    mappings = lifted(touches_held=TOUCH, seats_held=SEATS)
    got = told(small(), mappings)
    assert got["way_up_en"] == "To tier 3 (43 or more on two days, now 35): meet 4 more times"
    assert got["way_up_ja"] == "健康度3まで(43点以上を2日続けて、現在35点):あと4回面談する"
    con = open_lake(small(touches=5))
    scored = []
    con.execute("INSERT INTO score_history BY NAME SELECT 'A1' AS account_id, DATE '2026-11-30' AS on_, 35 AS score, 2 AS tier, now() AS as_of")
    for day in (0, 1):
        decide(con, mappings, AS_OF + timedelta(days=day))
        scored.append((by(con, "decisions")["A1"]["score"], by(con, "decisions")["A1"]["tier"]))
    assert scored == [(43, 2), (43, 3)]


def test_two_measures_where_one_does_not_reach() -> None:
    """Touches may go to 20 (realistic): 2 points of score. 5.6 are left: seats by 11.2 to 61.2, so 62: twelve more."""
    mappings = lifted(touches_held=TOUCH | {"realistic": 20}, seats_held=SEATS | {"realistic": 64})
    got = told(small(), mappings)
    assert got["way_up_en"] == "To tier 3 (43 or more on two days, now 35): meet 1 more times; 12 more seats, 62 in all"


def test_an_exception_comes_first_and_nothing_else_helps() -> None:
    cap = Cap(name="held", when="true", cap=20, text=make_text("An urgent case is open", "緊急案件が未解決です"))
    mappings = with_score(lifted(touches_held=TOUCH), caps=[cap])
    got = told(small(), mappings)
    assert got["way_up_en"] == "First of all: An urgent case is open (until that ends the score is at most 20)"
    assert got["way_up_ja"] == "まず例外条件の解消が必要です:緊急案件が未解決です(それまでスコアは20点以下)"


def test_an_exception_above_the_goal_is_no_obstacle() -> None:
    cap = Cap(name="held", when="true", cap=50, text=make_text("held"))
    assert "meet 4 more times" in told(small(), with_score(lifted(touches_held=TOUCH), caps=[cap]))["way_up_en"]


def test_out_of_reach_says_how_far() -> None:
    """Only touches, to 20: 37.4 at most."""
    got = told(small(), lifted(touches_held=TOUCH | {"realistic": 20}))
    assert got["way_up_en"] == "Tier 3 needs 43; up to three realistic steps would reach 37"
    assert got["way_up_ja"] == "健康度3には43点が必要です。現実的な取り組みを3つまで合わせて37点です"


def test_past_the_edge_it_waits_for_the_closing() -> None:
    con = open_lake(small(touches=5))
    con.execute("INSERT INTO score_history BY NAME SELECT 'A1' AS account_id, DATE '2026-11-30' AS on_, 35 AS score, 2 AS tier, now() AS as_of")
    decide(con, lifted(touches_held=TOUCH))
    assert by(con, "decisions")["A1"]["way_up_en"] == "Now 43: the tier rises if the next closing is 43 or more"


def test_without_hysteresis_the_edge_counts() -> None:
    """4.6 are missing to 40: 23 points, to 33: three meetings more (40 points)."""
    mappings = with_score(lifted(touches_held=TOUCH), tiers=Tiers(margin=0, closings=1))
    assert told(small(), mappings)["way_up_en"] == "To tier 3 (40 or more, now 35): meet 3 more times"


def test_what_nobody_can_influence_is_never_suggested() -> None:
    assert told(small(), lifted())["way_up_en"] == "Tier 3 needs 43; up to three realistic steps would reach 35"


def test_the_highest_tier_has_no_way_up() -> None:
    mappings = with_score(lifted(touches_held=TOUCH), tiers=Tiers(edges=(30, 20, 10, 5), margin=0, closings=1))
    assert told(small(), mappings)["way_up_en"] is None


# --- always --------------------------------------------------------------------------------------------------------------------------------------
NAMES = ["a", "b", "c", "d", "e"]
MAPS = [
    Linear(kind="linear", bad=0, good=100),
    Linear(kind="linear", bad=7, good=1),
    Linear(kind="linear", bad=1, good=7),
    Steps(kind="steps", steps=[Step(at_least=1, points=50), Step(at_least=2, points=100)]),
    Steps(kind="steps", steps=[Step(at_least=0, points=100), Step(at_least=46, points=50), Step(at_least=91, points=0)]),
    Boolean(kind="boolean"),
]


def plain_points(mapping: Linear | Steps | Boolean, value: float) -> float:
    if isinstance(mapping, Linear):
        return max(0.0, min(1.0, (value - mapping.bad) / (mapping.good - mapping.bad))) * 100
    if isinstance(mapping, Boolean):
        return 100.0 if value else 0.0
    return next((s.points for s in reversed(mapping.steps) if value >= s.at_least), 0.0)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Mappings, list[tuple[list[float | None], list[float], int]]]:
    indicators = {}
    for name in NAMES:
        mapping = draw(st.sampled_from(MAPS))
        falling = (isinstance(mapping, Linear) and mapping.good < mapping.bad) or (isinstance(mapping, Steps) and mapping.steps[0].at_least == 0)
        days = isinstance(mapping, Steps) and falling
        lift = (
            Lift(effort=draw(st.sampled_from([1, 2.5, 6])), to=0 if days else None, text=make_text("{target:dec1}")) if draw(st.booleans()) else None
        )
        direction = "less_is_better" if falling else "more_is_better"
        unit = "yes_no" if isinstance(mapping, Boolean) else "days" if days else "count"
        indicators[name] = make_indicator(name, direction=direction, unit=unit).model_copy(update={"mapping": mapping, "lift": lift})
    values = st.one_of(st.none(), st.integers(0, 240).map(lambda n: n / 2), st.integers(0, 9).map(float))
    accounts = [
        (
            draw(st.lists(values, min_size=5, max_size=5)),
            draw(st.lists(st.sampled_from([1.0, 2.0, 5.0]), min_size=5, max_size=5)),
            draw(st.integers(0, 1)),
        )
        for _ in range(12)
    ]
    return make_mappings(indicators=indicators, score=Score(name="health", profiles=make_mappings().score.profiles)), accounts


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_followed_it_reaches_and_with_fewer_measures_nothing_would(case: tuple[Mappings, list[tuple[list[float | None], list[float], int]]]) -> None:
    mappings, accounts = case
    con = duckdb.connect(config={"threads": 1})
    con.execute("CREATE TABLE row_ (account_id VARCHAR, state VARCHAR, score BIGINT, score_uncapped DOUBLE, tier BIGINT, capped_by VARCHAR)")
    con.execute("CREATE TABLE parts (account_id VARCHAR, indicator VARCHAR, value DOUBLE, points DOUBLE, weight_effective DOUBLE)")
    known: dict[str, tuple[dict[str, float], dict[str, float], float, int]] = {}
    for n, (values, weights, behind) in enumerate(accounts):
        there = {name: value for name, value in zip(NAMES, values, strict=True) if value is not None}
        total = sum(w for name, w in zip(NAMES, weights, strict=True) if name in there)
        share = {name: w / total for name, w in zip(NAMES, weights, strict=True) if name in there}
        score = sum(share[name] * plain_points(mappings.indicators[name].mapping, value) for name, value in there.items())
        tier = max(1, min(4, 1 + sum(round(score) >= edge for edge in (20, 40, 60, 80)) - behind))
        if there:
            known[f"A{n}"] = (there, share, score, tier)
            con.execute("INSERT INTO row_ VALUES (?, 'scored', ?, ?, ?, NULL)", [f"A{n}", round(score), score, tier])
            for name, value in there.items():
                points = plain_points(mappings.indicators[name].mapping, value)
                con.execute("INSERT INTO parts VALUES (?, ?, ?, ?, ?)", [f"A{n}", name, value, points, share[name] * 100])
    build_way_up(con, mappings, row="row_", parts="parts")
    steps: dict[str, dict[str, float]] = {}
    for row in rows(con, "SELECT * FROM u_step ORDER BY account_id, place"):
        steps.setdefault(row["account_id"], {})[row["indicator"]] = row["target"]
    for account, (there, share, score, tier) in known.items():
        goal = (20, 40, 60, 80)[tier - 1] + 3
        best = {name: share[name] * (_most(mappings, name) - plain_points(mappings.indicators[name].mapping, v)) for name, v in there.items()}
        gains = {name: gain for name, gain in best.items() if mappings.indicators[name].lift is not None and gain > 0}
        if account in steps:
            after = sum(share[n] * plain_points(mappings.indicators[n].mapping, steps[account].get(n, v)) for n, v in there.items())
            assert round(after) >= goal, f"{account}: {steps[account]} gives {after}, {goal} was promised"
            assert set(steps[account]) <= set(gains)
            assert all(score + sum(gains[n] for n in fewer) < goal for fewer in combinations(gains, len(steps[account]) - 1))
        elif round(score) < goal:
            assert score + sum(sorted(gains.values())[-3:]) < goal - 1e-7
    con.close()


def _most(mappings: Mappings, name: str) -> float:
    mapping = mappings.indicators[name].mapping
    return max(s.points for s in mapping.steps) if isinstance(mapping, Steps) else 100.0


# --- what ships ----------------------------------------------------------------------------------------------------------------------------------
def test_the_shipped_lifts_fit_their_field_three_at_a_time() -> None:
    """Up to three steps stand in one text of 255 characters."""
    shipped = load(DEFAULTS)
    texts = [i.lift.text for i in shipped.indicators.values() if i.lift is not None]
    longest = sorted((len(t.en) for t in texts), reverse=True)[:3]
    assert sum(longest) + len("To tier 5 (83 or more on two days, now 76): ") < 255


@pytest.mark.parametrize("name", ["close_volume", "nps", "outcome_change", "active_user_trend"])
def test_results_are_no_steps(name: str) -> None:
    assert load(DEFAULTS).indicators[name].lift is None
