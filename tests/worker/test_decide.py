"""decide: tiers over closing scores, trend, reasons and other words, history. CSQLs have their own file."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from mappings.models import Brake, Cap, History, Mappings, Score, Tiers
from tests.factories import AS_OF, ON, Lake, make_indicator, make_mappings, make_profile, make_text
from tests.worker.core import RELATIONS, Row, by, decide, moment, open_lake, rows
from tests.worker.test_score import accounts
from worker.steps._brake import brake
from worker.steps._usage import load_catalogue
from worker.steps.decide import _decide_tiers, backfill, decide_accounts, past_days
from worker.steps.join import join_accounts
from worker.steps.score import score_all

SCORES = "account_id VARCHAR, state VARCHAR, why VARCHAR, why_ja VARCHAR, profile VARCHAR, stage VARCHAR, score_uncapped DOUBLE, score BIGINT, "
SCORES += "capped_by VARCHAR, "
SCORES += "deployment DOUBLE, adoption DOUBLE, engagement DOUBLE, outcome DOUBLE, coverage DOUBLE, config_version VARCHAR"

#: One account's day: score, or null = not scored; "late" = its feed is late; (score, cap name) = an exception holds it.
Day = int | None | str | tuple[int, str]


def series(mappings: Mappings, days: Sequence[Sequence[Day]]) -> list[list[Row]]:
    """Runs one full run a day over accounts a0, a1 …; per account its d_result rows, day by day."""
    with duckdb.connect(config={"threads": 1}) as con:
        Lake().into(con)
        accounts(con, *[{} for _ in days])
        load_catalogue(con, mappings)
        found: list[list[Row]] = [[] for _ in days]
        for n in range(len(days[0])):
            run_day(con, mappings, AS_OF + timedelta(days=n), [account[n] for account in days])
            for row in rows(con, "SELECT * FROM d_result ORDER BY account_id"):
                found[int(row["account_id"][1:])].append(row)
            con.execute("INSERT INTO score_history BY NAME SELECT * FROM history")
        return found


def run_day(con: duckdb.DuckDBPyConnection, mappings: Mappings, as_of: datetime, day: Sequence[Day]) -> None:
    con.execute(f"CREATE OR REPLACE TEMP TABLE scores ({SCORES})")
    table = [_score_row(f"a{n}", value) for n, value in enumerate(day)]
    con.register("given_scores", pa.Table.from_pylist(table, schema=pa.schema(_SCORE_TYPES)))
    con.execute("INSERT INTO scores BY NAME SELECT * FROM given_scores")
    _decide_tiers(con, mappings, moment(as_of), "run", "score_history")


_SCORE_TYPES = [
    ("account_id", pa.string()),
    ("state", pa.string()),
    ("score", pa.int64()),
    ("score_uncapped", pa.float64()),
    ("capped_by", pa.string()),
]


def _score_row(account: str, value: Day) -> Row:
    cap = value[1] if isinstance(value, tuple) else None
    score = value[0] if isinstance(value, tuple) else value if isinstance(value, int) else None
    state = "frozen" if isinstance(value, str) else "not_scored" if score is None else "scored"
    return {"account_id": account, "state": state, "score": score, "score_uncapped": None if score is None else float(score), "capped_by": cap}


def tiers(days: Sequence[Day], **tier: Any) -> list[int | None]:
    mappings = make_mappings(score=Score(name="health", profiles=[make_profile()], tiers=Tiers(**tier)))
    return [row["tier"] for row in series(mappings, [days])[0]]


# --- hysteresis ----------------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ([80], [5]), ([79], [4]), ([20], [2]), ([19], [1]),  # a first score: plain edges, the lower bound belongs to the tier
        ([81, 77, 77], [5, 5, 4]),  # 77 = 80 - 3 is past the margin, and leaves on the second closing
        ([81, 78, 78], [5, 5, 5]),  # within the margin
        ([81, 77, 79, 77, 77], [5, 5, 5, 5, 4]),  # a day inside begins anew
        ([79, 83, 83], [4, 4, 5]), ([79, 82, 82], [4, 4, 4]),
        ([81, 77, 55], [5, 5, 3]),  # both beyond tier 5's edge: to where today stands
        ([81, 50, 83], [5, 5, 5]), ([45, 90, 10], [3, 3, 3]),  # opposite directions do not add up
        ([81, 77, None, 77], [5, 5, None, 4]),  # a day without a score neither advances nor resets
        ([81, 77, "late", 77], [5, 5, 5, 4]), ([81, 90, "late", 77], [5, 5, 5, 5]),  # nor does a held one: it repeats the last
        ([81, (10, "notice")], [5, 1]), ([81, (39, "p1"), 85, 85], [5, 2, 2, 5]),  # an exception bypasses, its end does not
    ],
)  # fmt: skip
def test_tiers_over_closings(days: list[Day], expected: list[int | None]) -> None:
    assert tiers(days) == expected


def test_margin_and_closings_are_settings() -> None:
    assert tiers([81, 79], margin=0, closings=1) == [5, 4]
    assert tiers([81, 80, 79], margin=0, closings=2) == [5, 5, 5]
    assert tiers([51, 49], edges=(90, 70, 50, 30), margin=0, closings=1) == [3, 2]


def simple_hysteresis(days: Sequence[int | None], margin: int, closings: int) -> list[int | None]:
    """The written rule, account by account, day by day."""
    edges = [20, 40, 60, 80]
    tier, before, said = None, None, []
    for score in days:
        if score is None:
            said.append(None)
            continue
        plain = 1 + sum(score >= e for e in edges)
        if tier is None:
            tier = plain
        else:
            low, high = ([0, *edges][tier - 1] if tier > 1 else None), (edges[tier - 1] if tier < 5 else None)

            def down(s: int, low: int | None = low) -> bool:
                return low is not None and s < low and s <= low - margin

            def up(s: int, high: int | None = high) -> bool:
                return high is not None and s >= high + margin

            assert before is not None
            past = [score] if closings == 1 else [score, before]
            if all(down(s) for s in past) or all(up(s) for s in past):
                tier = plain
        said.append(tier)
        before = score
    return said


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.lists(st.one_of(st.none(), st.integers(0, 100), st.integers(74, 86)), min_size=8, max_size=8), min_size=1, max_size=20),
    st.integers(0, 6),
    st.sampled_from([1, 2]),
)
def test_tiers_equal_a_plain_loop(days: list[list[int | None]], margin: int, closings: int) -> None:
    mappings = make_mappings(score=Score(name="health", profiles=[make_profile()], tiers=Tiers(margin=margin, closings=closings)))
    for account, found in zip(days, series(mappings, days), strict=True):
        assert [row["tier"] for row in found] == simple_hysteresis(account, margin, closings)


# --- history and trend ---------------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    con = Lake().into(duckdb.connect(config={"threads": 1}))
    accounts(con, {}, {})
    load_catalogue(con, make_mappings())
    return con


def keep(con: duckdb.DuckDBPyConnection) -> int:
    con.execute("INSERT INTO score_history BY NAME SELECT * FROM history")
    return len(rows(con, "SELECT * FROM history"))


def test_history_has_a_row_only_where_something_changed(con: duckdb.DuckDBPyConnection) -> None:
    mappings = make_mappings()
    written = []
    for n, day in enumerate([[50, 50], [50, 51], [50, 51], [50, None]]):
        run_day(con, mappings, AS_OF + timedelta(days=n), day)
        written.append(keep(con))
    assert written == [2, 1, 0, 1]


def test_a_run_on_the_same_day_replaces_todays_entry_and_advances_no_counter(con: duckdb.DuckDBPyConnection) -> None:
    mappings = make_mappings()
    tiers_seen = []
    for hours, score in ((0, 81), (24, 77), (25, 77), (26, 77), (27, 78), (48, 77)):
        run_day(con, mappings, AS_OF + timedelta(hours=hours), [score, 50])
        tiers_seen.append(by(con, "d_result")["a0"]["tier"])
        keep(con)
    # the second day closes at 78, inside the margin: the third day's 77 is the first one past it
    assert tiers_seen == [5, 5, 5, 5, 5, 5]


def test_trend_is_the_change_against_the_score_that_stood_28_days_before(con: duckdb.DuckDBPyConnection) -> None:
    mappings = make_mappings()
    for day in (-40, -27):
        run_day(con, mappings, AS_OF + timedelta(days=day), [60, 50] if day == -40 else [90, 54])
        keep(con)
    run_day(con, mappings, AS_OF, [55, 54])
    found = by(con, "d_result")
    # the score of 40 days ago still stood 28 days ago; that of 27 days ago came after
    assert [(r["delta_28d"], r["trend"]) for r in found.values()] == [(-5, "down"), (4, "flat")]
    run_day(con, mappings, AS_OF - timedelta(days=12), [70, 70])
    assert by(con, "d_result")["a0"]["trend"] == "up"


def test_a_new_account_has_no_trend(con: duckdb.DuckDBPyConnection) -> None:
    run_day(con, make_mappings(), AS_OF, [70, 70])
    assert (by(con, "d_result")["a0"]["delta_28d"], by(con, "d_result")["a0"]["trend"]) == (None, None)


def test_a_held_account_repeats_all_of_its_last_row(con: duckdb.DuckDBPyConnection) -> None:
    mappings = make_mappings()
    run_day(con, mappings, AS_OF, [70, (10, "notice")])
    keep(con)
    run_day(con, mappings, AS_OF + timedelta(days=1), ["late", "late"])
    found = by(con, "d_result")
    assert [(r["score"], r["tier"], r["capped_by"], r["state"]) for r in found.values()] == [(70, 4, None, "frozen"), (10, 1, "notice", "frozen")]


# --- words ---------------------------------------------------------------------------------------------------------------------------------------
def worded(lake: Lake, mappings: Mappings, account: str = "A1") -> Row:
    con = open_lake(lake)
    decide(con, mappings)
    return by(con, "decisions")[account]


def one_account(seats: int = 50, touches: int = 1) -> Lake:
    """seats_held = seats points x 50, events_held = 28 points x 30, touches_held = 10 points a touch x 20."""
    lake = Lake()
    file = lake.make_file()
    lake.make_account()
    lake.make_contract(seats=seats)
    for n in range(touches):
        lake.make_activity(on=ON - timedelta(days=n + 1))
    for n in range(1, 71):
        lake.make_use(file, "t-A1", ON - timedelta(days=n), ["u1"])
    return lake


def test_without_a_population_the_worst_is_measured_against_100_and_the_best_against_0() -> None:
    # losses: seats 50 x (100 - 80) = 1000, events 30 x 72 = 2160, touches 20 x 90 = 1800. gains: seats 50 x 80
    got = worded(one_account(seats=80), make_mappings())
    assert (got["main_reason_en"], got["main_reason_ja"], got["cause"]) == ("low events_held 28", "低 events_held 28", "cause_events_held")
    assert (got["strength_en"], got["strength_ja"]) == ("high seats_held 80", "高 seats_held 80")
    assert (got["next_action_en"], got["next_action_ja"]) == ("do events_held", "events_heldを行う")


def test_nothing_weak_is_called_a_strength() -> None:
    assert worded(one_account(seats=20), make_mappings())["strength_en"] is None


def test_ties_go_to_the_heavier_measure_then_to_the_name() -> None:
    names = {n: make_indicator(n, axis, "crm", "seats") for n, axis in (("b", "deployment"), ("a", "adoption"), ("c", "engagement"))}
    profile = make_profile(deployment=(40, {"b": 1}), adoption=(40, {"a": 1}), engagement=(20, {"c": 1}))
    got = worded(one_account(), make_mappings(indicators=names, score=Score(name="health", profiles=[profile])))
    assert (got["cause"], got["main_reason_en"]) == ("cause_a", "low a 50")


def test_with_a_population_reasons_are_measured_against_the_segments_median() -> None:
    """Five accounts: seats 60, 60, 60, 60 and 40 → median 60; touches 1 each → 10. A5: seats lose 50 x 20; touches stand at the median."""
    lake = one_account(seats=60)
    for n in range(2, 6):
        lake.make_account(f"A{n}")
        lake.make_contract(f"A{n}", seats=60 if n < 5 else 40)
        lake.make_activity(f"A{n}", ON - timedelta(days=1))
        lake.make_use(lake.rows["usage_file"][0]["file_id"], f"t-A{n}", ON - timedelta(days=3), [f"u{k}" for k in range(28)])
    got = worded(lake, make_mappings(), "A5")
    assert got["cause"] == "cause_seats_held"


def test_a_text_says_numbers_and_dates_with_their_year() -> None:
    text = {
        "en": "{active_users_28d} of {seats}, {value:percent}, {mrr:money} to {usage_as_of}, {month_label:month}, {nps_180d:dec1}",
        "ja": "{seats}中{active_users_28d}、{value:percent}、{mrr:money}、{usage_as_of}、{month_label:month}",
    }
    one = make_indicator("seats_held", "deployment", "crm", "seats + 0.5", reasons={"low": text, "high": text})
    mappings = make_mappings()
    got = worded(one_account(seats=1200), mappings.model_copy(update={"indicators": mappings.indicators | {"seats_held": one}}))
    assert got["strength_en"] == "1 of 1,200, 1200%, 100,000 to 30 Nov 2026, November 2026, –"
    assert got["strength_ja"] == "1,200中1、1200%、100,000、2026/11/30、2026年11月"


def test_an_exception_that_holds_the_score_is_the_main_reason() -> None:
    cap = Cap(name="few_touches", when="touches_90d < 2", cap=30, text=make_text("only {touches_90d} touches", "接点{touches_90d}件"))
    mappings = make_mappings(score=Score(name="health", profiles=make_mappings().score.profiles, caps=[cap]))
    got = worded(one_account(), mappings)  # 35.4 without it
    assert (got["score"], got["score_uncapped"], got["tier"]) == (30, 35.4, 2)
    assert (got["cause"], got["main_reason_en"], got["exception_en"], got["exception_ja"]) == (
        "few_touches",
        "only 1 touches",
        "only 1 touches",
        "接点1件",
    )


def test_the_next_action_of_an_exception_that_holds_the_score_comes_first() -> None:
    cap = Cap(
        name="few_touches",
        when="touches_90d < 2",
        cap=30,
        text=make_text("few touches"),
        action=make_text("Call after {touches_90d} touch", "ご連絡ください"),
    )
    profiles = make_mappings().score.profiles
    held = worded(one_account(), make_mappings(score=Score(name="health", profiles=profiles, caps=[cap])))
    assert (held["next_action_en"], held["next_action_ja"]) == ("Call after 1 touch", "ご連絡ください")
    # one that does not lower the score, or has no action, leaves the step of the weakest measure
    plain = worded(one_account(), make_mappings())["next_action_en"]
    for other in (cap.model_copy(update={"cap": 90}), cap.model_copy(update={"action": None})):
        assert (
            worded(one_account(), make_mappings(score=Score(name="health", profiles=profiles, caps=[other])))["next_action_en"]
            == plain
            != held["next_action_en"]
        )


def test_data_status_names_coverage_and_what_no_source_brings() -> None:
    profile = make_profile(deployment=(40, {"seats_held": 1}), adoption=(40, {"events_held": 1}), outcome=(20, {"results": 1}))
    found = make_mappings().indicators | {"results": make_indicator("results", "outcome", "outcome", "outcomes")}
    got = worded(one_account(), make_mappings(indicators=found, score=Score(name="health", profiles=[profile])))
    assert (got["data_status_en"], got["data_status_ja"]) == ("100 %, no outcome source", "100 %・成果は未連携")


def test_not_scored_says_what_is_missing() -> None:
    lake = Lake()
    lake.make_account()
    lake.make_contract(seats=None)
    lake.make_activity()
    lake.make_use(lake.make_file(), "stranger", ON - timedelta(days=1), ["u"])
    got = worded(lake, make_mappings())
    assert (got["tier_label"], got["score"], got["tier"], got["state"]) == ("not_scored", None, None, "not_scored")
    assert got["data_status_en"] == "20 %, not scored, missing: Title seats_held, Title events_held"
    assert got["data_status_ja"] == "20 %・採点できません(不足:題 seats_held、題 events_held)"


def test_a_late_feed_is_named_with_its_last_day() -> None:
    lake = one_account()
    con = open_lake(lake)
    decide(con, make_mappings())
    before = by(con, "decisions")["A1"]
    decide(con, make_mappings(), AS_OF + timedelta(days=4))  # the feed still ends on 30 November: five days
    got = by(con, "decisions")["A1"]
    assert got["state"] == "frozen"
    assert (got["score"], got["tier"], got["deployment"]) == (before["score"], before["tier"], before["deployment"])
    assert got["data_status_en"] == "100 %, usage data late (until 30 Nov 2026)"
    assert got["data_status_ja"] == "100 %・利用データの到着が遅れています(2026/11/30分まで)"


def test_white_space_lists_products_for_sale_that_are_not_owned() -> None:
    got = worded(one_account(), make_mappings())
    assert (got["white_space_en"], got["white_space_ja"]) == ("E-sign", "電子契約")


# --- first run and brake -------------------------------------------------------------------------------------------------------------------------
def test_the_past_dates_of_a_first_run() -> None:
    assert past_days(make_mappings(), ON) == [date(2026, 11, d) for d in (3, 10, 17, 24, 30)]
    assert past_days(make_mappings(score=make_mappings().score.model_copy(update={"history": History(backfill_days=0)})), ON) == []


def test_backfill_scores_past_dates_from_the_lake() -> None:
    """Touches on 30 and 19 November: 24 November knows one of them, the three dates before none."""
    lake = one_account()
    lake.make_activity(on=date(2026, 11, 19))
    con = open_lake(lake)
    backfill(con, RELATIONS, make_mappings(), moment(), run_id="run")
    found = [(r["on_"], r["score_uncapped"]) for r in rows(con, "SELECT * FROM b_history ORDER BY on_")]
    # seats 50 x 50 % + events 28 x 30 % = 33.4; a touch adds 10 x 20 % = 2
    assert found == [(date(2026, 11, 3), 33.4), (date(2026, 11, 24), 35.4), (date(2026, 11, 30), 37.4)]


def test_a_first_run_does_not_repeat_a_tier_of_last_week() -> None:
    """Sixty seats until 24 November: 60 x 50 % + 28 x 30 % = 38.4, tier 2. Six since: 3 + 8.4 + 2 = 13.4, tier 1 on the second closing."""
    lake = one_account(seats=54)
    lake.make_contract(seats=6)
    lake.rows["crm_contract"][0]["churned_on"] = date(2026, 11, 25)
    con = open_lake(lake)
    histories = backfill(con, RELATIONS, make_mappings(), moment(), run_id="run")
    join_accounts(con, RELATIONS, make_mappings(), moment())
    score_all(con, make_mappings(), full=True)
    decide_accounts(con, histories, make_mappings(), moment(), run_id="run")
    assert [(r["on_"].day, r["tier"]) for r in rows(con, "SELECT * FROM b_history ORDER BY on_")] == [(3, 2), (30, 2)]
    assert by(con, "decisions")["A1"]["tier"] == 1


def test_the_brake_counts_moves_and_leaves_first_scores_out(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("CREATE TABLE decisions (account_id VARCHAR, tier BIGINT, score BIGINT)")
    con.execute("CREATE TABLE csql_desired (move VARCHAR)")
    con.execute("INSERT INTO csql_desired VALUES ('open'), ('open'), ('update')")
    con.execute("INSERT INTO decisions VALUES ('a', 5, 90), ('b', 1, 10), ('c', 3, 50), ('new', 1, 5), ('unscored', NULL, NULL)")
    for account, tier in (("a", 5), ("b", 4), ("c", 2), ("unscored", 3)):
        con.execute("INSERT INTO score_history (account_id, on_, tier, as_of) VALUES (?, ?, ?, ?)", [account, ON - timedelta(days=3), tier, AS_OF])
    report = brake(con, "score_history", ON, Brake(tier_moves_percent=50, csql_opened=1, min_accounts=3))
    assert (report.scored, report.moved, report.moved_percent, report.csql_opened) == (3, 2, 66.67, 2)
    assert report.matrix[3] == [1, 0, 0, 0, 0]
    assert [(m["account_id"], m["tier_before"], m["tier"]) for m in report.movers] == [("b", 4, 1), ("c", 2, 3)]
    assert (
        report.why
        == "66.67 % of 3 accounts would change tier; the score's brake allows 50 %; 2 CSQL records would be opened; the score's brake allows 1"
    )
    assert brake(con, "score_history", ON, Brake(tier_moves_percent=50, csql_opened=2, min_accounts=4)).why == ""
