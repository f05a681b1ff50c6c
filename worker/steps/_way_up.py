"""The cheapest way up: the fewest realistic changes that lift an account one tier, and of equally few the ones with the least effort.

Only measures that have points and a `lift` in their file are looked at: the weights stand still then, and a point of a measure is worth the same
wherever it starts. At most three; if three do not reach, it says how far they would.
"""

import duckdb

from mappings.models import Indicator, Linear, Mappings, Steps
from mappings.models_lift import Lift
from worker.sql import literal, query_sql
from worker.steps._scorecard import points_of_sql
from worker.steps._texts import case_sql, text_sql

#: Anchors further apart than this are shown and suggested in whole numbers, closer ones in tenths.
_WIDE = 20


def build_way_up(con: duckdb.DuckDBPyConnection, mappings: Mappings, *, row: str, parts: str) -> None:
    """Temp table `w_way` (account_id, way_up_en, way_up_ja) for scored accounts below the highest tier, and `u_step`, one row per change."""
    tiers = mappings.score.tiers
    e5, e4, e3, e2 = tiers.edges
    cap = case_sql("capped_by", [(c.name, str(c.cap)) for c in mappings.score.caps]) if mappings.score.caps else "CAST(NULL AS INTEGER)"
    con.execute(query_sql("way_up", "need", row=row, cap=cap, upper=f"[{e2}, {e3}, {e4}, {e5}, NULL]", margin=str(tiers.margin)))
    lifts = [(i, i.lift) for _, i in sorted(mappings.indicators.items()) if i.lift is not None]
    candidates = " UNION ALL ".join(_candidate_sql(i, lift, parts) for i, lift in lifts) or _NOBODY
    con.execute(query_sql("way_up", "candidates", candidates=candidates))
    con.execute(query_sql("way_up", "single", trimmed=_trimmed_sql("n.need")))
    con.execute(query_sql("way_up", "pair", trimmed=_trimmed_sql("(n.need - a.gain)")))
    con.execute(query_sql("way_up", "triple", trimmed=_trimmed_sql("(n.need - a.gain - b.gain)")))
    con.execute(query_sql("way_up", "steps", target=case_sql("s.pick.indicator", [(i.name, _target_sql(i, lift)) for i, lift in lifts], "DOUBLE")))
    counts = [(i.name, f"CAST(TRY(CAST({lift.count} AS DOUBLE)) AS BIGINT)") for i, lift in lifts if lift.count]
    words = {f"step_{lang}": _step_sql(lifts, lang) for lang in ("en", "ja")} | {f"way_{lang}": _way_sql(mappings, lang) for lang in ("en", "ja")}
    con.execute(query_sql("way_up", "words", row=row, count=case_sql("u.indicator", counts, "BIGINT"), **words))


_NOBODY = (
    "SELECT account_id, indicator, value AS v, points AS p, weight_effective AS w, CAST(NULL AS DOUBLE[]) AS steps, points AS most, 1.0 AS effort "
    "FROM parts WHERE false"
)


def _candidate_sql(indicator: Indicator, lift: Lift, parts: str) -> str:
    options = _options(indicator, lift)
    mapping = indicator.mapping
    if options is None:
        assert isinstance(mapping, Linear)
        steps = "CAST(NULL AS DOUBLE[])"
        most = "100.0" if lift.realistic is None else points_of_sql(mapping, f"{lift.realistic!r}::DOUBLE")
    else:
        steps = f"list_filter(CAST([{', '.join(repr(points) for points, _ in options)}] AS DOUBLE[]), lambda x: x > p.points)"
        most = f"list_max({steps})"
    return (
        f"SELECT p.account_id, p.indicator, p.value AS v, p.points AS p, p.weight_effective / 100 AS w, {steps} AS steps, {most} AS most, "
        f"CAST({lift.effort!r} AS DOUBLE) AS effort FROM {parts} AS p JOIN u_need AS n ON n.account_id = p.account_id "
        f"WHERE p.indicator = {literal(indicator.name)} AND p.points IS NOT NULL AND p.weight_effective > 0 AND NOT n.there "
        f"AND NOT coalesce(n.cap < n.goal, false)"
    )


def _options(indicator: Indicator, lift: Lift) -> list[tuple[float, float]] | None:
    """(points, value) that the measure can be brought to; null = anything in between."""
    mapping = indicator.mapping
    if isinstance(mapping, Linear):
        if lift.to is None:
            return None
        bad, good = mapping.fixed
        share = (lift.to - bad) / (good - bad)
        return [(max(0.0, min(1.0, share)) * 100, lift.to)]
    if not isinstance(mapping, Steps):
        return [(100.0, 1.0)]
    rising = indicator.direction == "more_is_better"
    ends = [s.at_least for s in mapping.steps[1:]]
    found = []
    for n, step in enumerate(mapping.steps):
        value = step.at_least
        if not rising and n < len(ends) and indicator.unit in ("count", "days"):
            value = max(value, ends[n] - 1)  # the nearest end of the step
        found.append((step.points, value))
    if lift.to is not None:
        return [(next((s.points for s in reversed(mapping.steps) if lift.to >= s.at_least), 0.0), lift.to)]
    if lift.realistic is not None:
        found = [(p, v) for p, v in found if (v <= lift.realistic if rising else v >= lift.realistic)]
    return found


def _trimmed_sql(need: str) -> str:
    """Points to bring the measure `c` to so that it brings that much to the score; null when it cannot."""
    jump = f"list_min(list_filter(c.steps, lambda x: c.w * (x - c.p) >= {need}))"
    return f"(CASE WHEN c.steps IS NOT NULL THEN {jump} WHEN c.gain >= {need} THEN least(c.most, c.p + {need} / c.w) END)"


def _target_sql(indicator: Indicator, lift: Lift) -> str:
    """The value that has these points, on the far side of the next round number if that is still realistic."""
    options = _options(indicator, lift)
    if options is not None:
        cases = " ".join(f"WHEN {points!r}::DOUBLE THEN {value!r}::DOUBLE" for points, value in options)
        return f"(CASE s.pick.points {cases} END)" if options else "CAST(NULL AS DOUBLE)"
    mapping = indicator.mapping
    assert isinstance(mapping, Linear)
    bad, good = mapping.fixed
    bound = good if lift.realistic is None else lift.realistic
    exact = f"({bad!r}::DOUBLE + s.pick.points / 100 * ({good!r}::DOUBLE - {bad!r}::DOUBLE))"
    unit = 1 if abs(good - bad) >= _WIDE else 10
    if good > bad:
        return f"least({bound!r}::DOUBLE, ceil({exact} * {unit} - 0.00001) / {unit})"
    return f"greatest({bound!r}::DOUBLE, floor({exact} * {unit} + 0.00001) / {unit})"


# --- words ---------------------------------------------------------------------------------------------------------------------------------------
def _step_sql(lifts: list[tuple[Indicator, Lift]], language: str) -> str:
    slots = {"count": "s.count_", "target": "s.target", "value": "s.value", "points": "s.points"}
    return case_sql("s.indicator", [(i.name, text_sql(getattr(lift.text, language), language, slots)) for i, lift in lifts])


def _way_sql(mappings: Mappings, language: str) -> str:
    exceptions = case_sql("n.capped_by", [(c.name, text_sql(getattr(c.text, language), language)) for c in mappings.score.caps])
    twice = mappings.score.tiers.closings > 1
    up, goal, score = "(n.tier + 1)", "CAST(n.goal AS VARCHAR)", "CAST(n.score AS VARCHAR)"
    reach = "CAST(CAST(floor(least(n.score_uncapped + coalesce(h.gains, 0), 100)) AS BIGINT) AS VARCHAR)"
    if language == "en":
        runs = " or more on two days" if twice else " or more"
        capped = f"'First of all: ' || {exceptions} || ' (until that ends the score is at most ' || n.cap || ')'"
        there = f"'Now ' || {score} || ': the tier rises if the next closing is ' || {goal} || ' or more'"
        steps = f"'To tier ' || {up} || ' (' || {goal} || '{runs}, now ' || {score} || '): ' || s.steps_en"
        short = f"'Tier ' || {up} || ' needs ' || {goal} || '; up to three realistic steps would reach ' || {reach}"
    else:
        runs = "点以上を2日続けて" if twice else "点以上"
        capped = f"'まず例外条件の解消が必要です:' || {exceptions} || '(それまでスコアは' || n.cap || '点以下)'"
        there = f"'現在' || {score} || '点です。次の終値も' || {goal} || '点以上なら健康度が上がります'"
        steps = f"'健康度' || {up} || 'まで(' || {goal} || '{runs}、現在' || {score} || '点):' || s.steps_ja"
        short = f"'健康度' || {up} || 'には' || {goal} || '点が必要です。現実的な取り組みを3つまで合わせて' || {reach} || '点です'"
    return f"(CASE WHEN n.cap < n.goal THEN {capped} WHEN n.there THEN {there} WHEN s.steps_{language} IS NOT NULL THEN {steps} ELSE {short} END)"
