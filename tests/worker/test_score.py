"""score: worked numbers of the written scorecard, and what must hold for any scorecard and any account."""

from typing import Any

import duckdb
import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from mappings.columns import ACCOUNTS
from mappings.models import Axis, Cap, Mappings, Score
from tests.factories import AS_OF, ON, make_indicator, make_mappings, make_profile, make_text
from tests.worker.core import Row, by, rows
from worker.steps._scorecard import Feed, scorecards
from worker.steps.score import score_accounts

#: Four indicators whose value is simply a column: 0..100 points for 0..100.
COLUMNS = {"dep": ("deployment", "seats", "crm"), "ado": ("adoption", "events_28d", "usage"), "ado2": ("adoption", "active_users_28d", "usage")}
COLUMNS |= {"eng": ("engagement", "touches_90d", "activity"), "out": ("outcome", "outcomes", "outcome")}
INDICATORS = {name: make_indicator(name, axis, feed, column) for name, (axis, column, feed) in COLUMNS.items()}
PROFILE = make_profile(deployment=(10, {"dep": 1}), adoption=(45, {"ado": 3, "ado2": 1}), engagement=(25, {"eng": 1}), outcome=(20, {"out": 1}))


def mappings_of(**score: Any) -> Mappings:
    base: dict[str, Any] = {"name": "health", "profiles": [PROFILE], "coverage_min": 60, "axes_min": 2}
    return make_mappings(indicators=INDICATORS, score=Score.model_validate(base | score))


def accounts(con: duckdb.DuckDBPyConnection, *given_rows: dict[str, Any], feeds: dict[str, tuple[bool, bool]] | None = None) -> None:
    """`accounts`, `account_products` and `feeds` with these rows; all feeds connected and in time unless said."""
    typed = ", ".join(f'"{n}" {c.type}' for n, c in ACCOUNTS.items())
    con.execute(f"CREATE TABLE accounts ({typed}, scope VARCHAR, excluded_why VARCHAR)")
    base = {"as_of": AS_OF, "as_of_on": ON, "segment": "SMB", "usage_matched": True, "scope": "in"}
    found = [{"account_id": f"a{n}"} | base | row for n, row in enumerate(given_rows)]
    con.register("given", pa.table({name: [r.get(name) for r in found] for name in {k for r in found for k in r}}))
    con.execute("INSERT INTO accounts BY NAME SELECT * FROM given")
    con.execute("CREATE TABLE account_products (account_id VARCHAR, product VARCHAR, fit DOUBLE)")
    con.execute("CREATE TABLE feeds (feed VARCHAR, connected BOOLEAN, late BOOLEAN)")
    state = dict.fromkeys(("crm", "usage", "activity", "outcome", "setup"), (True, False)) | (feeds or {})
    for feed, (connected, late) in state.items():
        con.execute("INSERT INTO feeds VALUES (?, ?, ?)", [feed, connected, late])


def scored(mappings: Mappings, *given_rows: dict[str, Any], feeds: dict[str, tuple[bool, bool]] | None = None) -> tuple[dict[str, Row], list[Row]]:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        accounts(con, *given_rows, feeds=feeds)
        score_accounts(con, mappings, full=True)
        return by(con, "scores"), rows(con, "SELECT * FROM parts ORDER BY account_id, indicator")


def row(dep: float | None, ado: float | None, ado2: float | None, eng: float | None, out: float | None, **more: Any) -> dict[str, Any]:
    return {"seats": dep, "events_28d": ado, "active_users_28d": ado2, "touches_90d": eng, "outcomes": out, **more}


def part(parts: list[Row], name: str, account: str = "a0") -> Row:
    return next(p for p in parts if p["account_id"] == account and p["indicator"] == name)


# --- worked by hand ------------------------------------------------------------------------------------------------------------------------------
def test_axes_and_total() -> None:
    # adoption (3 x 60 + 1 x 20) / 4 = 50; total (10 x 80 + 45 x 50 + 25 x 40 + 20 x 30) / 100 = 46.5 → 46, half to even
    scores, parts = scored(mappings_of(), row(80, 60, 20, 40, 30))
    got = scores["a0"]
    assert (got["deployment"], got["adoption"], got["engagement"], got["outcome"]) == (80, 50, 40, 30)
    assert (got["score_uncapped"], got["score"], got["coverage"], got["state"]) == (46.5, 46, 100, "scored")
    # 45 x 3/4 = 33.75 percent of the whole, times 60 points
    assert (part(parts, "ado")["weight"], part(parts, "ado")["weight_effective"], part(parts, "ado")["contribution"]) == (33.75, 33.75, 20.25)


def test_half_goes_to_the_even_neighbour() -> None:
    # with every indicator at p the total is p: 46.5 → 46 above; here 10 x 85 + 90 x 40 = 44.5 → 44, and 10 x 95 + 90 x 40 = 45.5 → 46
    scores, _ = scored(mappings_of(), row(85, 40, 40, 40, 40), row(95, 40, 40, 40, 40))
    assert [(s["score_uncapped"], s["score"]) for s in scores.values()] == [(44.5, 44), (45.5, 46)]


def test_a_missing_measure_is_spread_inside_its_axis_and_an_empty_axis_over_the_others() -> None:
    # ado2 missing: adoption = 60. out missing: (10 x 80 + 45 x 60 + 25 x 40) / 80 = 56.25. coverage 100 - 11.25 - 20 = 68.75
    scores, parts = scored(mappings_of(), row(80, 60, None, 40, None))
    got = scores["a0"]
    assert (got["adoption"], got["outcome"], got["score_uncapped"], got["coverage"]) == (60, None, 56.25, 68.75)
    assert got["why"] == "Title ado2, Title out"
    # 45 / 80 of the whole, all of it on ado
    assert part(parts, "ado")["weight_effective"] == 56.25
    assert (part(parts, "out")["weight"], part(parts, "out")["weight_effective"], part(parts, "out")["missing_why"]) == (20, 0, "no_data")


def test_too_little_coverage_is_not_scored() -> None:
    # present: dep 10 + ado 33.75 + ado2 11.25 = 55 < 60
    scores, _ = scored(mappings_of(), row(80, 60, 60, None, None))
    assert (scores["a0"]["state"], scores["a0"]["score"], scores["a0"]["score_uncapped"]) == ("not_scored", None, None)
    assert (scores["a0"]["why"], scores["a0"]["why_ja"]) == ("Title eng, Title out", "題 eng、題 out")


def test_too_few_axes_is_not_scored() -> None:
    narrow = make_profile(adoption=(90, {"ado": 1}), engagement=(10, {"eng": 1}))
    scores, _ = scored(mappings_of(profiles=[narrow]), row(None, 50, None, None, None))
    assert (scores["a0"]["coverage"], scores["a0"]["state"]) == (90, "not_scored")


def test_an_unconnected_feed_leaves_the_scorecard_for_everyone() -> None:
    # outcome not connected: 10 + 45 + 25 = 80 are the whole. (10 x 80 + 45 x 50 + 25 x 40) / 80 = 50.625; coverage is full
    scores, parts = scored(mappings_of(), row(80, 60, 20, 40, None), feeds={"outcome": (False, False)})
    assert (scores["a0"]["score_uncapped"], scores["a0"]["coverage"], scores["a0"]["why"]) == (50.625, 100, None)
    assert (part(parts, "out")["missing_why"], part(parts, "out")["weight"], part(parts, "out")["weight_effective"]) == ("not_connected", 20, 0)


def test_a_late_feed_holds_everyone_it_feeds() -> None:
    scores, parts = scored(mappings_of(), row(80, 60, 20, 40, 30), row(80, None, None, 40, 30, usage_matched=False), feeds={"usage": (True, True)})
    assert (scores["a0"]["state"], scores["a0"]["score"], scores["a0"]["adoption"]) == ("frozen", None, None)
    assert part(parts, "ado")["missing_why"] == "feed_late"
    # the other one is not in the usage feed: late or not, it says nothing of it; 55 of 100 present
    assert scores["a1"]["state"] == "not_scored"


def test_a_fact_past_its_time_to_live_drops_out() -> None:
    aging = make_indicator("eng", "engagement", "activity", "touches_90d", observed_on="last_touch_on", ttl_days=90)
    mappings = mappings_of().model_copy(update={"indicators": INDICATORS | {"eng": aging}})
    old, fresh = ON.replace(month=9, day=1), ON.replace(month=9, day=2)  # 91 and 90 days ago
    _, parts = scored(mappings, row(80, 60, 60, 40, 30, last_touch_on=old), row(80, 60, 60, 40, 30, last_touch_on=fresh))
    assert (part(parts, "eng")["missing_why"], part(parts, "eng")["points"], part(parts, "eng")["observed_on"]) == ("stale", None, old)
    assert (part(parts, "eng", "a1")["missing_why"], part(parts, "eng", "a1")["points"]) == (None, 40)


LINEAR = {"kind": "linear", "bad": 20, "good": 80}
STEPS = {"kind": "steps", "steps": [{"at_least": 5, "points": 40}, {"at_least": 1, "points": 10}]}


@pytest.mark.parametrize(
    ("mapping", "value", "points"),
    [
        (LINEAR, 50, 50), (LINEAR, 19, 0), (LINEAR, 90, 100), ({"kind": "linear", "bad": 30, "good": 10}, 15, 75), (STEPS, 5, 40), (STEPS, 4, 10),
        (STEPS, 0, 0), ({"kind": "boolean"}, 1, 100), ({"kind": "boolean"}, 0, 0),
    ],
)  # fmt: skip
def test_points(mapping: dict[str, Any], value: int, points: float) -> None:
    one = make_indicator("eng", "engagement", "activity", "touches_90d > 0" if mapping["kind"] == "boolean" else "touches_90d", mapping=mapping)
    _, parts = scored(mappings_of().model_copy(update={"indicators": INDICATORS | {"eng": one}}), row(1, 1, 1, value, 1))
    assert part(parts, "eng")["points"] == pytest.approx(points)


@pytest.mark.parametrize("expression", ["touches_90d / 0", "cast(region as bigint)", "ln(0)", "1e308 * 1e308"])
def test_an_expression_that_fails_for_an_account_is_missing_for_it(expression: str) -> None:
    bad = make_indicator("eng", "engagement", "activity", expression)
    scores, parts = scored(mappings_of().model_copy(update={"indicators": INDICATORS | {"eng": bad}}), row(80, 60, 60, 5, 30, region="Tokyo"))
    assert (part(parts, "eng")["value"], part(parts, "eng")["missing_why"], scores["a0"]["state"]) == (None, "no_data", "scored")


def test_values_are_kept_in_six_decimals() -> None:
    third = make_indicator("eng", "engagement", "activity", "touches_90d / 3.0")
    _, parts = scored(mappings_of().model_copy(update={"indicators": INDICATORS | {"eng": third}}), row(1, 1, 1, 1, 1))
    assert part(parts, "eng")["value"] == 0.333333


def test_the_lowest_cap_that_applies_holds_the_score_and_no_axis() -> None:
    caps = [
        Cap(name="mild", when="seats > 0", cap=60, text=make_text("mild")),
        Cap(name="hard", when="churn_notice_on is not null", cap=10, text=make_text("hard")),
    ]
    scores, _ = scored(mappings_of(caps=caps), row(90, 90, 90, 90, 90), row(90, 90, 90, 90, 90, churn_notice_on=ON), row(20, 20, 20, 20, 20))
    assert [(s["score"], s["score_uncapped"], s["capped_by"], s["adoption"]) for s in scores.values()] == [
        (60, 90, "mild", 90), (10, 90, "hard", 90), (20, 20, "mild", 20),
    ]  # fmt: skip


def test_the_first_profile_that_fits_is_used() -> None:
    profiles = [make_profile("early", "stage = 'onboarding'", deployment=(50, {"dep": 1}), engagement=(50, {"eng": 1})), PROFILE]
    mappings = mappings_of(profiles=profiles)
    scores, parts = scored(mappings, row(80, 0, 0, 40, 0, stage="onboarding"), row(80, 0, 0, 40, 0, stage=None))
    assert [(s["profile"], s["score_uncapped"]) for s in scores.values()] == [("early", 60), ("default", 18)]
    assert [p["indicator"] for p in parts if p["account_id"] == "a0"] == ["dep", "eng"]
    assert scores["a0"]["config_version"] != scores["a1"]["config_version"]


def test_medians_need_five_accounts_of_a_segment() -> None:
    five = [row(n, 50, 50, 50, 50) for n in (10, 20, 40, 70, 90)]
    _, parts = scored(mappings_of(), *five, *[row(n, 50, 50, 50, 50, segment="Big") for n in (10, 20, 40, 70)])
    assert {p["median_points"] for p in parts if p["indicator"] == "dep" and p["account_id"] < "a5"} == {40.0}
    assert {p["median_points"] for p in parts if p["indicator"] == "dep" and p["account_id"] >= "a5"} == {None}


# --- for any scorecard and any account -----------------------------------------------------------------------------------------------------------
POINTS = st.one_of(st.none(), st.integers(0, 100))
ROWS = st.lists(st.tuples(POINTS, POINTS, POINTS, POINTS, POINTS), min_size=1, max_size=12)
WEIGHTS = st.tuples(*[st.integers(0, 60) for _ in Axis]).filter(lambda w: sum(1 for x in w if x) >= 2)


def profile_of(weights: tuple[int, ...]) -> Any:
    d, a, e, o = weights
    return make_profile(deployment=(d, {"dep": 1}), adoption=(a, {"ado": 3, "ado2": 1}), engagement=(e, {"eng": 2}), outcome=(o, {"out": 5}))


def reference(points: tuple[int | None, ...], weights: tuple[int, ...]) -> float | None:
    """The written arithmetic, in plain Python."""
    dep, ado, ado2, eng, out = points
    groups = [[(1, dep)], [(3, ado), (1, ado2)], [(2, eng)], [(5, out)]]
    axes = [[(w, p) for w, p in g if p is not None] for g in groups]
    present = [(weight, sum(w * p for w, p in g) / sum(w for w, _ in g)) for weight, g in zip(weights, axes, strict=True) if g and weight]
    return sum(w * p for w, p in present) / sum(w for w, _ in present) if present else None


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS, WEIGHTS)
def test_any_score_follows_the_written_arithmetic(given_rows: list[tuple[int | None, ...]], weights: tuple[int, ...]) -> None:
    mappings = mappings_of(profiles=[profile_of(weights)], coverage_min=0, axes_min=1)
    scores, parts = scored(mappings, *[row(*r) for r in given_rows])
    for n, points in enumerate(given_rows):
        got, expected = scores[f"a{n}"], reference(points, weights)
        assert (got["state"] == "scored") == (expected is not None)
        if expected is None:
            continue
        assert got["score_uncapped"] == pytest.approx(expected, abs=1e-6)
        # a missing measure never counts as nought: the score lies between the worst and the best that is there
        weighing = [p for p in parts if p["account_id"] == f"a{n}" and p["weight_effective"] > 0]
        assert min(p["points"] for p in weighing) - 1e-6 <= got["score_uncapped"] <= max(p["points"] for p in weighing) + 1e-6
        assert 0 <= got["score"] <= 100
        assert sum(p["weight_effective"] for p in weighing) == pytest.approx(100)
        assert sum(p["contribution"] for p in weighing) == pytest.approx(got["score_uncapped"], abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(WEIGHTS, st.sets(st.sampled_from(sorted({f for _, _, f in COLUMNS.values()}))))
def test_shares_sum_to_the_whole_whatever_is_connected(weights: tuple[int, ...], unconnected: set[str]) -> None:
    feeds = {feed: Feed(feed not in unconnected, False) for _, _, feed in COLUMNS.values()}
    card = scorecards(mappings_of(profiles=[profile_of(weights)]), feeds)[0]
    assert sum(w.share for w in card.weighings) == pytest.approx(100)
    connected = sum(w.connected_share for w in card.weighings)
    assert connected == pytest.approx(100) or connected == 0


def test_two_runs_agree_to_the_last_bit() -> None:
    many = [row((7 * n) % 101, (13 * n) % 97, (29 * n) % 89, (3 * n) % 83, (17 * n) % 79) for n in range(300)]
    first, second = (scored(mappings_of(), *many) for _ in range(2))
    assert first == second
