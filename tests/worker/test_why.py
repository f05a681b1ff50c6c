"""Second and third reasons, and twelve weeks at a glance."""

from datetime import date, timedelta

import duckdb
import pytest

from mappings.load import DEFAULTS, load
from mappings.models import Cap, Mappings, Score, Writeback
from tests.factories import AS_OF, ON, Lake, make_field, make_indicator, make_mappings, make_profile, make_text
from tests.worker.core import RELATIONS, Row, by, decide, moment, open_lake
from worker.steps._why import REASONS, Basis, build_why

FIELDS = [make_field(key, type="text", length=255, set="standard") for key in (*REASONS, "sparkline")]


def asking(mappings: Mappings) -> Mappings:
    return mappings.model_copy(update={"writeback": Writeback(language="en", sets=["standard"], fields=FIELDS)})


# --- reasons -------------------------------------------------------------------------------------------------------------------------------------
#: Points per measure, all of the same weight but for the axis: deployment 50 % over a, b, c; adoption 50 % over d, e, f.
POINTS = {"a": 10, "b": 40, "c": 95, "d": 20, "e": 60, "f": 100}


def six(**score: object) -> Mappings:
    names = {n: make_indicator(n, "deployment" if n < "d" else "adoption", "crm", str(p)) for n, p in POINTS.items()}
    profile = make_profile(deployment=(50, {"a": 1, "b": 1, "c": 1}), adoption=(50, {"d": 1, "e": 1, "f": 1}))
    return asking(make_mappings(indicators=names, score=Score.model_validate({"name": "health", "profiles": [profile]} | score)))


def one_account(mappings: Mappings) -> Row:
    lake = Lake()
    lake.make_account()
    lake.make_contract()
    con = open_lake(lake)
    decide(con, mappings)
    return by(con, "decisions")["A1"]


def test_three_reasons_each_way_best_and_worst_first() -> None:
    """No population: losses against 100 are a 90, d 80, b 60; gains against 0 are f 100, c 95, e 60. Nobody is named twice."""
    got = one_account(six())
    assert [got[k] for k in ("main_reason_en", "reason_2_en", "reason_3_en")] == ["low a 10", "low d 20", "low b 40"]
    assert [got[k] for k in ("strength_en", "strength_2_en", "strength_3_en")] == ["high f 100", "high c 95", "high e 60"]
    assert [got[k] for k in ("reason_2_ja", "strength_3_ja")] == ["低 d 20", "高 e 60"]


def test_an_exception_is_the_first_reason_and_moves_the_measures_back() -> None:
    cap = Cap(name="held", when="true", cap=5, text=make_text("an exception"))
    got = one_account(six(caps=[cap]))
    assert [got[k] for k in ("main_reason_en", "reason_2_en", "reason_3_en")] == ["an exception", "low a 10", "low d 20"]


def test_what_is_average_is_no_reason() -> None:
    """Two measures: one is the main reason, one the strength; nothing is left to be second."""
    names = {"a": make_indicator("a", "deployment", "crm", "30"), "d": make_indicator("d", "adoption", "crm", "90")}
    profile = make_profile(deployment=(50, {"a": 1}), adoption=(50, {"d": 1}))
    got = one_account(asking(make_mappings(indicators=names, score=Score(name="health", profiles=[profile]))))
    assert [got[k] for k in ("main_reason_en", "strength_en")] == ["low a 30", "high d 90"]
    assert [got[f"{k}_en"] for k in REASONS] == [None] * 4


def test_fields_that_are_not_asked_for_cost_nothing() -> None:
    got = one_account(six().model_copy(update={"writeback": Writeback(fields=[])}))
    assert not {f"{k}_en" for k in REASONS} & set(got)


# --- sparkline -----------------------------------------------------------------------------------------------------------------------------------
def spark(history: dict[date, int | None], today: int | None, on: date = ON) -> str | None:
    con = Lake().into(duckdb.connect(config={"threads": 1}))
    for day, score in history.items():
        con.execute("INSERT INTO score_history BY NAME SELECT 'A1' AS account_id, ? AS on_, ? AS score, CAST(? AS DATE) AS as_of", [day, score, day])
    con.execute("CREATE TEMP TABLE told AS SELECT 'A1' AS account_id, CAST(? AS BIGINT) AS score", [today])
    basis = Basis(row="told", some="true")
    build_why(con, RELATIONS, make_mappings(), moment(AS_OF + (on - ON)), {"sparkline"}, basis)
    return by(con, "w_spark")["A1"]["sparkline"]


def test_a_bar_for_each_sunday_and_today() -> None:
    """1 December 2026 is a Tuesday: the bars are the Sundays from 20 September to 29 November, then today. A score stands until the next one.

    Nothing before 11 October: three dots (20, 27 September, 4 October).
    """
    scored = {date(2026, 10, 11): 0, date(2026, 10, 20): 20, date(2026, 10, 31): 59, date(2026, 11, 8): None, date(2026, 11, 15): 79}
    assert spark(scored, 100) == "···▁▁▂▃·▅▅▅▇"


def test_it_is_the_same_all_week() -> None:
    scored = {date(2026, 8, 1): 50, date(2026, 11, 29): 80}
    texts = {spark(scored, 80, ON + timedelta(days=n)) for n in (-1, 0, 1, 2, 3, 4, 5)}  # Monday to Sunday
    assert texts == {"▃▃▃▃▃▃▃▃▃▃▇▇"}
    assert spark(scored, 80, ON + timedelta(days=6)) == "▃▃▃▃▃▃▃▃▃▇▇▇"


@pytest.mark.parametrize(("score", "bar"), [(0, "▁"), (19, "▁"), (20, "▂"), (39, "▂"), (40, "▃"), (60, "▅"), (80, "▇"), (100, "▇")])
def test_the_scale_is_fixed(score: int, bar: str) -> None:
    assert spark({}, score) == "·" * 11 + bar


def test_never_scored_is_empty() -> None:
    assert spark({}, None) is None


def test_the_shipped_fields_hold_it_and_it_rides_along() -> None:
    field = next(f for f in load(DEFAULTS).writeback.of("account") if f.key == "sparkline")
    assert (field.update, field.max_age_days, field.set) == ("ride_along", None, "standard")
    assert (field.length or 0) >= 12
