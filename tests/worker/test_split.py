"""Why a score changed: the parts of the change add up to it, whatever happened between the two dates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mappings.models import Axis, Cap, Linear, Mappings, Score, Step, Steps, Writeback
from tests.factories import AS_OF, ON, Lake, make_field, make_indicator, make_mappings, make_profile, make_text
from tests.worker.core import RELATIONS, by, decide, open_lake, rows
from worker.steps._part_history import KEEPING
from worker.steps._points import KEPT, cards_of, load_cards, read_cards
from worker.steps._split import PARTS
from worker.steps._why import Basis, split_since
from worker.store.schemas import schema

BEFORE = AS_OF - timedelta(days=28)
FIELDS = [make_field("delta_split", type="text", length=255, set="standard", update="ride_along")]


def with_text(mappings: Mappings, language: str = "en") -> Mappings:
    return mappings.model_copy(update={"writeback": Writeback(language="en" if language == "en" else "ja", sets=["standard"], fields=FIELDS)})


def keep(con: duckdb.DuckDBPyConnection, on: date) -> None:
    """What `record` appends, but for leaving unchanged rows out."""
    stamp = f"DATE '{on}' AS on_, 'run' AS run_id, TIMESTAMPTZ '{on} 03:00:00+00' AS as_of"
    con.execute(f"INSERT INTO part_history BY NAME SELECT {', '.join(KEPT)}, {stamp} FROM points WHERE state <> 'frozen'")
    con.execute("INSERT INTO scorecard_history BY NAME SELECT *, 'run' AS run_id, now() AS as_of FROM scorecards")


def two_dates(lake: Lake, then: Mappings, now: Mappings) -> duckdb.DuckDBPyConnection:
    """The lake scored 28 days ago and today."""
    con = open_lake(lake)
    decide(con, then, BEFORE)
    keep(con, ON - timedelta(days=28))
    decide(con, now, AS_OF)
    return con


def used(days: Sequence[int], seats: int = 50, **account: Any) -> Lake:
    """seats_held = seats points x 50, events_held = events in 28 days x 30, touches_held = 10 points a touch in 90 days x 20."""
    lake = Lake()
    file = lake.make_file()
    lake.make_account(**account)
    lake.make_contract(seats=seats)
    lake.make_activity(on=ON - timedelta(days=5))
    lake.make_activity(on=ON - timedelta(days=40))
    for n in days:
        lake.make_use(file, "t-A1", ON - timedelta(days=n), ["u1"])
    return lake


#: Every day from 29 to 70 days ago and then every other day: 28 events in the window of four weeks ago (29..56), 14 in today's.
HALVED = [*range(1, 29, 2), *range(29, 71)]


# --- worked by hand --------------------------------------------------------------------------------------------------------------------------------
def test_a_fall_in_use_is_adoption_and_a_new_touch_engagement() -> None:
    """Then 50 x 50 % + 28 x 30 % + 10 x 20 % = 35.4; now 25 + 14 x 30 % (4.2) + 20 x 20 % (4) = 33.2. Adoption -4.2, engagement +2.

    Whole: 35.4 → 31.2 → 33.2, so 35 → 31 → 33: adoption -4, engagement +2.
    """
    mappings = with_text(make_mappings())
    got = by(two_dates(used(HALVED), mappings, mappings), "decisions")["A1"]
    assert (got["score"], got["delta_28d"]) == (33, -2)
    assert got["delta_split_en"] == "-2 against 3 Nov 2026 = adoption -4, engagement +2, settings 0"
    assert got["delta_split_ja"] == "2026/11/3比 -2 = 活用 -4、信頼関係 +2、設定 0"


def test_nothing_is_said_where_nothing_moved() -> None:
    lake = used(range(1, 71))
    lake.rows["crm_activity"] = lake.rows["crm_activity"][1:]  # the touch of 40 days ago is in both windows of 90 days
    mappings = with_text(make_mappings())
    assert by(two_dates(lake, mappings, mappings), "decisions")["A1"]["delta_split_en"] is None


def test_new_anchors_are_settings_and_use_the_values_of_then() -> None:
    """events_held from 0..100 to 0..50: 28 events were 28 points, under the new anchors 56. 35.4 → 43.8 by settings; then 14 events: 28 points."""
    then = with_text(make_mappings())
    wider = then.indicators["events_held"].model_copy(update={"mapping": Linear(kind="linear", bad=0, good=50)})
    now = then.model_copy(update={"indicators": then.indicators | {"events_held": wider}})
    con = two_dates(used(HALVED), then, now)
    got = by(con, "w_split")["A1"]
    assert [float(got[f"exact_{p}"]) for p in ("config", "profile", "gone", "arrived", "adoption", "engagement")] == [8.4, 0, 0, 0, -8.4, 2]
    assert by(con, "decisions")["A1"]["delta_split_en"] == "+2 against 3 Nov 2026 = adoption -9, engagement +2, settings +9"


def test_an_answer_that_expired_is_named() -> None:
    """A measure with 30 days to live, known then, last confirmed 40 days ago: 100 points x 20 % go.

    Then 25 + 30 x 28 % … = seats 50 x 40 %, answer 100 x 20 %, events 28 x 30 %, touches 10 x 10 % = 20 + 20 + 8.4 + 1 = 49.4 of 100.
    Now without the answer, within the axis: deployment is seats alone, 50: 50 x 60 % + 8.4 + 2 = 40.4.
    """
    answer = make_indicator("answer", "deployment", "crm", "100", observed_on="DATE '2026-10-22'", ttl_days=30, title={"en": "NPS", "ja": "NPS"})
    profile = make_profile(deployment=(60, {"seats_held": 40, "answer": 20}), adoption=(30, {"events_held": 1}), engagement=(10, {"touches_held": 1}))
    base = make_mappings()
    score = Score(name="health", profiles=[profile])
    mappings = with_text(base.model_copy(update={"indicators": base.indicators | {"answer": answer}, "score": score}))
    got = by(two_dates(used(range(1, 71)), mappings, mappings), "decisions")["A1"]
    # 49.4 → 39.4 (the answer gone) → 40.4 (second touch): 49 → 39 → 40
    assert got["delta_split_ja"] == "2026/11/3比 -9 = 信頼関係 +1、NPSの期限切れ -10、設定 0"
    assert got["delta_split_en"] == "-9 against 3 Nov 2026 = engagement +1, NPS expired -10, settings 0"


def test_cs14_a_change_of_stage_scores_the_old_data_by_the_new_scorecard() -> None:
    """Then the early scorecard (seats only 80, touches 20): 50 x 80 % + 10 x 20 % = 42. By the late one (events 80, touches 20) the same data is
    28 x 80 % + 2 = 24.4: -17.6 by the scorecard. Then behaviour: events 14 (-11.2), touches +2."""
    late = make_profile("late", adoption=(80, {"events_held": 1}), engagement=(20, {"touches_held": 1}))
    early = make_profile("early", "as_of_on < DATE '2026-11-20'", deployment=(80, {"seats_held": 1}), engagement=(20, {"touches_held": 1}))
    mappings = with_text(make_mappings(score=Score(name="health", profiles=[early, late])))
    con = two_dates(used(HALVED), mappings, mappings)
    got = by(con, "w_split")["A1"]
    assert [float(got[f"exact_{p}"]) for p in ("config", "profile", "gone", "arrived", "adoption", "engagement")] == [0, -17.6, 0, 0, -11.2, 2]
    # 42 → 24.4 → 13.2 → 15.2
    assert by(con, "decisions")["A1"]["delta_split_ja"] == "2026/11/3比 -27 = 活用 -11、信頼関係 +2、採点表 early→late -18、設定 0"


def test_an_exception_is_the_last_part() -> None:
    cap = Cap(name="few", when="as_of_on > DATE '2026-11-20'", cap=10, text=make_text("held"))
    then = with_text(make_mappings())
    now = then.model_copy(update={"score": then.score.model_copy(update={"caps": [cap]})})
    got = by(two_dates(used(HALVED), then, now), "decisions")["A1"]
    # 35 → 31 → 33 as above, held at 10
    assert got["delta_split_en"] == "-25 against 3 Nov 2026 = adoption -4, engagement +2, exceptions -23, settings 0"


def test_without_an_earlier_score_there_is_no_split() -> None:
    con = open_lake(used(HALVED))
    decide(con, with_text(make_mappings()))
    assert by(con, "decisions")["A1"]["delta_split_en"] is None


def test_a_scorecard_outlives_its_mappings() -> None:
    """An indicator that no longer exists still counts in the score of then; its loss is a change of settings."""
    then = with_text(make_mappings())
    profile = make_profile(deployment=(50, {"seats_held": 1}), engagement=(50, {"touches_held": 1}))
    less = {name: i for name, i in then.indicators.items() if name != "events_held"}
    now = then.model_copy(update={"indicators": less, "score": Score(name="health", profiles=[profile])})
    got = by(two_dates(used(HALVED), then, now), "w_split")["A1"]
    # 35.4 → 50 x 50 % + 10 x 50 % = 30 by settings → touches 20: 35
    assert [float(got[f"exact_{p}"]) for p in ("config", "gone", "adoption", "engagement")] == [-5.4, 0, 0, 5]


# --- always --------------------------------------------------------------------------------------------------------------------------------------
AXES = ["deployment", "adoption", "engagement", "outcome"]
NAMES = [f"i{n}" for n in range(6)]


@dataclass(frozen=True)
class Side:
    """One date: settings, and per account profile, values (null = missing) and whether it is capped."""

    mappings: Mappings
    points: list[tuple[str, list[float | None], int | None]]


@st.composite
def mappings_of(draw: st.DrawFn) -> Mappings:
    anchors = st.one_of(
        st.builds(lambda b, g: Linear(kind="linear", bad=b, good=b + g), st.integers(-50, 50), st.integers(1, 90)),
        st.builds(lambda a, p: Steps(kind="steps", steps=[Step(at_least=a, points=p)]), st.integers(-20, 60), st.sampled_from([33.3, 50, 100])),
    )
    indicators = {}
    for n, name in enumerate(NAMES):
        more = {"ttl_days": draw(st.sampled_from([None, 30])), "observed_on": "as_of_on", "expression": draw(st.sampled_from(["seats", "mrr"]))}
        indicators[name] = make_indicator(name, AXES[n % 4], **more).model_copy(update={"mapping": draw(anchors)})
    profiles = []
    for profile in draw(st.sampled_from([("early", "late"), ("late",), ("early", "late", "other")])):
        axes: dict[str, tuple[float, dict[str, float]]] = {}
        for axis in AXES:
            own = [n for n in NAMES if AXES[NAMES.index(n) % 4] == axis and draw(st.booleans())]
            if own:
                axes[axis] = (draw(st.sampled_from([10.0, 33.0, 60.0])), {n: draw(st.sampled_from([1.0, 3.0, 7.0])) for n in own})
        profiles.append(make_profile(profile, **(axes or {"deployment": (50.0, {"i0": 1.0})})))
    return make_mappings(indicators=indicators, score=Score(name="health", profiles=profiles))


@st.composite
def sides(draw: st.DrawFn) -> tuple[Side, Side]:
    then = draw(mappings_of())
    now = then if draw(st.booleans()) else draw(mappings_of())
    values = st.one_of(st.none(), st.integers(-60, 140).map(lambda n: n / 2), st.integers(0, 3).map(float))
    found = []
    for mappings in (then, now):
        profiles = [p.name for p in mappings.score.profiles]
        accounts = [
            (draw(st.sampled_from(profiles)), draw(st.lists(values, min_size=6, max_size=6)), draw(st.sampled_from([None, None, 0, 10, 39])))
            for _ in range(4)
        ]
        found.append(Side(mappings, accounts))
    return found[0], found[1]


def plain_points(mappings: Mappings, name: str, value: float | None) -> float | None:
    mapping = mappings.indicators[name].mapping
    if value is None:
        return None
    if isinstance(mapping, Linear):
        return max(0.0, min(1.0, (value - mapping.bad) / (mapping.good - mapping.bad))) * 100
    assert isinstance(mapping, Steps)
    return max((s.points for s in mapping.steps if value >= s.at_least), default=0.0)


def plain_total(mappings: Mappings, profile: str, points: dict[str, float | None]) -> float | None:
    found = {p.name: p for p in mappings.score.profiles}[profile]
    total = weights = 0.0
    for axis in Axis:
        if axis not in found.axes:
            continue
        present = [(points[n], w) for n, w in found.axes[axis].indicators.items() if points[n] is not None]
        if present:
            total += found.axes[axis].weight * sum(p * w for p, w in present if p is not None) / sum(w for _, w in present)
            weights += found.axes[axis].weight
    return total / weights if weights else None


def load(con: duckdb.DuckDBPyConnection, table: str, side: Side) -> dict[str, tuple[float | None, int | None]]:
    """The side's points as `points` has them; account -> (score before caps, published score)."""
    cards = cards_of(side.mappings)
    names = [m.name for m in cards.measures]
    told: dict[str, tuple[float | None, int | None]] = {}
    listed = []
    for n, (profile, values, cap) in enumerate(side.points):
        points = {name: plain_points(side.mappings, name, value) for name, value in zip(NAMES, values, strict=True)}
        uncapped = plain_total(side.mappings, profile, points)
        published = None if uncapped is None else round(round(min(uncapped, 100.0 if cap is None else cap), 9))
        told[f"a{n}"] = (uncapped, published)
        lists = ([points[name] for name in names], [dict(zip(NAMES, values, strict=True))[name] for name in names], [0] * len(names))
        listed.append((f"a{n}", "scored", cards.version, profile, *lists))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} (account_id VARCHAR, state VARCHAR, cards VARCHAR, profile VARCHAR, points DOUBLE[], "
        "values_ DOUBLE[], missing UTINYINT[])"
    )
    con.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?)", listed)
    return told


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sides())
def test_the_parts_add_up_to_the_change_in_every_case(found: tuple[Side, Side]) -> None:
    add_up(*found)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sides())
def test_the_parts_add_up_to_the_change_in_very_many_cases(found: tuple[Side, Side]) -> None:
    add_up(*found)


def add_up(then: Side, now: Side) -> None:
    """Whole parts add up to the change of the published score, exact ones to that of the score before exceptions at six decimals."""
    con = duckdb.connect(config={"threads": 1})
    for name in KEEPING:
        con.execute(f"CREATE TABLE {name} ({', '.join(f'{c} {kind}' for c, kind in schema(name).items())})")
    before = load(con, "stood", then)
    con.execute(
        "INSERT INTO part_history BY NAME SELECT account_id, cards, profile, points, values_, DATE '2026-11-01' AS on_, now() AS as_of FROM stood"
    )
    _keep_cards(con, then.mappings)
    after = load(con, "points", now)
    scores = [(a, before[a][1], after[a][1]) for a in before]
    con.execute("CREATE TEMP TABLE told (account_id VARCHAR, score_before BIGINT, score BIGINT)")
    con.executemany("INSERT INTO told VALUES (?, ?, ?)", scores)
    split_since(con, RELATIONS, now.mappings, replace(Basis(), now="points", scores="told", some="true"), date(2026, 11, 3))
    split = by(con, "w_split")
    assert set(split) == {a for a, b, c in scores if b is not None and c is not None}
    for account, row in split.items():
        (was, published_before), (stands, published) = before[account], after[account]
        assert None not in (published, published_before)
        assert sum(row[part] for part in (*PARTS, "held")) == row["delta"] == (published or 0) - (published_before or 0)
        assert sum(row[f"exact_{part}"] for part in PARTS) == row["exact_delta"]
        assert float(row["exact_delta"]) == pytest.approx((stands or 0) - (was or 0), abs=2e-6)
        if then.mappings is now.mappings:
            assert (row["config"], row["exact_config"]) == (0, 0)
        if then.mappings is now.mappings and row["profile_is"] == row["profile_was"]:
            assert (row["profile"], row["exact_profile"]) == (0, 0)
    con.close()


def _keep_cards(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> None:
    load_cards(con, cards_of(mappings))
    con.execute("INSERT INTO scorecard_history BY NAME SELECT *, 'run' AS run_id, now() AS as_of FROM scorecards")


def test_a_scorecard_is_read_back_as_it_was() -> None:
    con = duckdb.connect(config={"threads": 1})
    con.execute(f"CREATE TABLE scorecard_history ({', '.join(f'{c} {kind}' for c, kind in schema('scorecard_history').items())})")
    mappings = make_mappings()
    _keep_cards(con, mappings)
    cards = cards_of(mappings)
    assert read_cards(con, "scorecard_history") == {cards.version: cards}
    assert rows(con, "SELECT count(*) AS n FROM scorecard_history") == [{"n": 3}]
