"""What a score was made of, kept for later: points and values per account as lists, and the scorecard that names their places.

The lists follow the order of the scorecard's indicators, so that a row of a year ago can still be read when indicators were added, renamed or
dropped since: `scorecard_history` keeps each scorecard that ever scored, one small set of rows per version.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
from pydantic import TypeAdapter

from mappings.models import Axis, Boolean, Indicator, Linear, Mappings, Steps
from mappings.snapshot import config_version
from worker.sql import literal
from worker.steps._scorecard import MISSING, POINTS, VALUE, axis_total_sql, points_of_sql

#: Why a measure has no points, as kept in the run folder's lists: the place in this tuple; 0 = it has points.
MISSING_WHY = ("", "no_data", "stale", "feed_late", "not_connected", "too_few")
#: Columns of a row of `part_history` that come from the run folder's `points`.
KEPT = ("account_id", "cards", "profile", "points", "values_", "points_hash")

Anchors = Linear | Steps | Boolean
_ANCHORS: TypeAdapter[Anchors] = TypeAdapter(Anchors)
#: Of an indicator, what its value depends on. Its anchors and time to live are kept beside it, as their change can be worked out.
_DEFINITION = {"name", "feed", "unit", "window_days", "observed_on", "expression"}


@dataclass(frozen=True)
class Measure:
    """An indicator as a scorecard had it. `definition` is a hash of what its value depends on."""

    name: str
    definition: str
    ttl_days: int | None
    mapping: Anchors


@dataclass(frozen=True)
class Cards:
    """All profiles of one mappings folder at one time. `weights`: profile -> (axis, its weight, indicators with their weights inside it)."""

    version: str
    measures: tuple[Measure, ...]  # by name: the order of the lists
    weights: Mapping[str, tuple[tuple[Axis, float, tuple[tuple[str, float], ...]], ...]]
    config: Mapping[str, str]  # profile -> config_version

    def place(self, name: str) -> int | None:
        """Where the indicator stands in the lists, from 1; null = this scorecard does not know it."""
        return next((n for n, m in enumerate(self.measures, 1) if m.name == name), None)

    def measure(self, name: str) -> Measure | None:
        return next((m for m in self.measures if m.name == name), None)

    def names(self, profile: str) -> list[str]:
        """The indicators that can move a score of this profile."""
        return [name for _, weight, indicators in self.weights[profile] if weight > 0 for name, _ in indicators]

    def total_sql(self, profile: str, points: Mapping[str, str]) -> str:
        """The score before caps and rounding from an expression of points per indicator; null when none is there."""
        return axis_total_sql(
            [(weight, [(points.get(name, "CAST(NULL AS DOUBLE)"), w) for name, w in indicators]) for _, weight, indicators in self.weights[profile]]
        )


def cards_of(mappings: Mappings) -> Cards:
    """Today's scorecard. Its version changes with everything that can move a score but caps, tiers and texts."""
    profiles = mappings.score.profiles
    names = sorted({name for p in profiles for axis in p.axes.values() for name in axis.indicators})
    measures = tuple(_measure(mappings.indicators[name]) for name in names)
    weights = {p.name: tuple((a, p.axes[a].weight, tuple(p.axes[a].indicators.items())) for a in Axis if a in p.axes) for p in profiles}
    config = {p.name: config_version(mappings, p.name) for p in profiles}
    what = [[m.name, m.definition, m.ttl_days, _ANCHORS.dump_python(m.mapping, mode="json")] for m in measures]
    text = json.dumps([what, weights, [p.when for p in profiles]], separators=(",", ":"))
    return Cards(hashlib.sha256(text.encode()).hexdigest()[:12], measures, weights, config)


def _measure(indicator: Indicator) -> Measure:
    text = json.dumps(indicator.model_dump(mode="json", include=_DEFINITION), sort_keys=True, separators=(",", ":"))
    return Measure(indicator.name, hashlib.sha256(text.encode()).hexdigest()[:12], indicator.ttl_days, indicator.mapping)


# --- tables --------------------------------------------------------------------------------------------------------------------------------------
def build_points(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> None:
    """View `points`, one row per account in scope, and table `scorecards`, from `s_scored` of the score step."""
    cards = cards_of(mappings)
    listed = ", ".join(f"{POINTS}{m.name}" for m in cards.measures)
    values = ", ".join(f"{VALUE}{m.name}" for m in cards.measures)
    codes = "".join(f" WHEN {literal(why)} THEN {code}" for code, why in enumerate(MISSING_WHY) if why)
    missing = ", ".join(f"CASE {MISSING}{m.name}{codes} ELSE 0 END" for m in cards.measures)
    con.execute(
        f"CREATE OR REPLACE TEMP VIEW points AS SELECT *, hash(cards, profile, points) AS points_hash FROM ("
        f"SELECT account_id, state, {literal(cards.version)} AS cards, profile, CAST([{listed}] AS DOUBLE[]) AS points, "
        f"CAST([{values}] AS DOUBLE[]) AS values_, CAST([{missing}] AS UTINYINT[]) AS missing FROM s_scored)"
    )
    load_cards(con, cards)


def load_cards(con: duckdb.DuckDBPyConnection, cards: Cards) -> None:
    """Table `scorecards`: one row per profile and indicator; an indicator outside the profile has null axis and weights."""
    rows = [
        (cards.version, profile, cards.config[profile], place, axis, axis_weight, indicator, weight, m.definition, m.ttl_days, _json(m.mapping))
        for profile, axes in cards.weights.items()
        for place, (axis, axis_weight, indicator, weight) in enumerate(_flat(cards, axes))
        for m in cards.measures
        if m.name == indicator
    ]
    values = ", ".join("(" + ", ".join(literal(v) for v in row) + ")" for row in rows)
    con.execute(f"CREATE OR REPLACE TEMP TABLE scorecards AS SELECT * FROM (VALUES {values}) AS v({', '.join(_CARD_COLUMNS)})")


_CARD_COLUMNS = ("cards", "profile", "config_version", "place", "axis", "axis_weight", "indicator", "weight", "definition", "ttl_days", "mapping")


def _flat(
    cards: Cards, axes: tuple[tuple[Axis, float, tuple[tuple[str, float], ...]], ...]
) -> list[tuple[str | None, float | None, str, float | None]]:
    """In the order of the profile, then the indicators that only other profiles use."""
    inside: list[tuple[str | None, float | None, str, float | None]] = [(a.value, aw, name, w) for a, aw, found in axes for name, w in found]
    known = {name for _, _, name, _ in inside}
    return inside + [(None, None, m.name, None) for m in cards.measures if m.name not in known]


def _json(mapping: Anchors) -> str:
    return _ANCHORS.dump_json(mapping).decode()


def read_cards(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, Cards]:
    """Version -> scorecard, of rows as `scorecards` has them."""
    found = con.execute(f"SELECT DISTINCT {', '.join(_CARD_COLUMNS)} FROM {relation} ORDER BY cards, profile, place").fetchall()
    by_version: dict[str, list[tuple[object, ...]]] = {}
    for row in found:
        by_version.setdefault(str(row[0]), []).append(row)
    return {version: _restored(version, rows) for version, rows in by_version.items()}


def _restored(version: str, rows: list[tuple[object, ...]]) -> Cards:
    measures: dict[str, Measure] = {}
    weights: dict[str, dict[Axis, tuple[float, list[tuple[str, float]]]]] = {}
    config: dict[str, str] = {}
    for _, profile, config_, _, axis, axis_weight, indicator, weight, definition, ttl, mapping in rows:
        name = str(indicator)
        measures[name] = Measure(name, str(definition), None if ttl is None else int(str(ttl)), _ANCHORS.validate_json(str(mapping)))
        config[str(profile)] = str(config_)
        axes = weights.setdefault(str(profile), {})
        if axis is not None:
            axes.setdefault(Axis(str(axis)), (float(str(axis_weight)), []))[1].append((name, float(str(weight))))
    return Cards(
        version,
        tuple(measures[name] for name in sorted(measures)),
        {profile: tuple((a, w, tuple(found)) for a, (w, found) in axes.items()) for profile, axes in weights.items()},
        config,
    )


def rescored_sql(measure: Measure, value: str) -> str:
    """Points of a value by this measure's anchors."""
    return points_of_sql(measure.mapping, value)
