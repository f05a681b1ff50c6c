"""The written scorecard as numbers and SQL: shares, points, arithmetic. One profile compiles to one SELECT; nothing here reads a table.

The rules are those of docs/architecture.md, "Score arithmetic". All sums are over one row's own columns in a fixed order, so two runs agree to
the last bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mappings.models import Axis, Boolean, Fallback, Indicator, Linear, Mappings, Profile, Steps
from mappings.snapshot import config_version
from worker.sql import literal

#: Inside the scoring queries: value, points, why it is missing and the day of the fact of an indicator.
VALUE, POINTS, MISSING, OBSERVED, ANSWERS, ANCHOR = "v_", "p_", "m_", "o_", "n_", "a_"


@dataclass(frozen=True)
class Grain:
    """What is scored: the rows (all columns of ACCOUNTS and the keys), and where the results go. One compiled scorecard serves every grain."""

    rows: str
    keys: tuple[str, ...]
    prefix: str  # of the tables in between
    scores: str
    parts: str

    @property
    def key(self) -> str:
        return ", ".join(self.keys)


ACCOUNT = Grain("accounts WHERE scope = 'in'", ("account_id",), "s", "scores", "parts")
PRODUCT = Grain("product_rows", ("account_id", "product"), "sp", "product_numbers", "product_parts")


@dataclass(frozen=True)
class Feed:
    """One row of `feeds`."""

    connected: bool
    late: bool


@dataclass(frozen=True)
class Weighing:
    """One indicator in one profile. `share` and `connected_share` in percent of the whole; 0 where its feed is not connected."""

    indicator: Indicator
    axis: Axis
    weight: float
    share: float
    connected: bool
    connected_share: float


@dataclass(frozen=True)
class Scorecard:
    """A profile with its indicators weighed, and the version of everything that can change its scores."""

    profile: Profile
    weighings: tuple[Weighing, ...]
    config_version: str

    def axis(self, axis: Axis) -> tuple[Weighing, ...]:
        """The connected indicators of an axis."""
        return tuple(w for w in self.weighings if w.axis == axis and w.connected)

    def axis_weight(self, axis: Axis) -> float:
        return self.profile.axes[axis].weight if axis in self.profile.axes else 0.0

    @property
    def feeds(self) -> set[str]:
        return {w.indicator.feed for w in self.weighings if w.connected and self.axis_weight(w.axis) > 0}


def scorecards(mappings: Mappings, feeds: Mapping[str, Feed]) -> list[Scorecard]:
    """Every profile, in the order in which their conditions are tried."""
    return [Scorecard(p, _weigh(p, mappings, feeds), config_version(mappings, p.name)) for p in mappings.score.profiles]


def _weigh(profile: Profile, mappings: Mappings, feeds: Mapping[str, Feed]) -> tuple[Weighing, ...]:
    pairs = [
        (axis, mappings.indicators[name], weight) for axis in Axis if axis in profile.axes for name, weight in profile.axes[axis].indicators.items()
    ]
    live = {i.name for _, i, _ in pairs if feeds.get(i.feed, Feed(False, False)).connected}
    shares = _shares(profile, [(a, i.name, w) for a, i, w in pairs])
    connected = _shares(profile, [(a, i.name, w) for a, i, w in pairs if i.name in live])
    return tuple(Weighing(i, a, w, shares[i.name], i.name in live, connected.get(i.name, 0.0)) for a, i, w in pairs)


def _shares(profile: Profile, parts: list[tuple[Axis, str, float]]) -> dict[str, float]:
    """Percent of the total per indicator: axes without an indicator leave, the rest is rescaled."""
    inside = {axis: sum(w for a, _, w in parts if a == axis) for axis in Axis}
    total = sum(profile.axes[axis].weight for axis, weights in inside.items() if weights)
    return {name: profile.axes[a].weight * w * 100 / (total * inside[a]) if total else 0.0 for a, name, w in parts}


# --- SQL of one indicator ------------------------------------------------------------------------------------------------------------------------
def value_sql(indicator: Indicator) -> str:
    """The value in 6 decimals, half-even; null where the expression is null, not finite or fails for this account."""
    value = f"TRY(CAST({indicator.expression} AS DOUBLE))"
    return f"(CASE WHEN isfinite({value}) THEN round_even({value}, 6) END)"


def missing_sql(indicator: Indicator, feed: Feed, value: str, observed: str) -> str:
    """Why the indicator has no points, else null."""
    if not feed.connected:
        return "'not_connected'"
    if feed.late:
        return "'feed_late'"
    stale = f"WHEN {observed} < as_of_on - {indicator.ttl_days} THEN 'stale' " if indicator.ttl_days is not None else ""
    few = f"WHEN coalesce({ANSWERS}{indicator.name}, 0) < {indicator.answers_min} THEN 'too_few' " if indicator.answers is not None else ""
    return f"(CASE WHEN {value} IS NULL THEN 'no_data' {stale}{few}END)"


def points_sql(indicator: Indicator, value: str) -> str:
    """Points of a value that is there."""
    mapping = indicator.mapping
    if isinstance(mapping, Linear) and mapping.fallback is not None:
        return _by_segment_sql(indicator.name, mapping, mapping.fallback, value)
    return points_of_sql(mapping, value)


def points_of_sql(mapping: Linear | Steps | Boolean, value: str) -> str:
    """Points of a value by these anchors, percentiles by their fallback; null where the value is null, but by steps and yes/no 0."""
    if isinstance(mapping, Linear):
        bad, good = (_num(anchor) for anchor in mapping.fixed)
        return f"(greatest(0.0::DOUBLE, least(1.0::DOUBLE, ({value} - {bad}) / ({good} - {bad}))) * 100)"
    if isinstance(mapping, Boolean):
        return f"(CASE WHEN {value} <> 0 THEN 100.0::DOUBLE ELSE 0.0::DOUBLE END)"
    steps = sorted(mapping.steps, key=lambda s: s.at_least, reverse=True)
    return "(CASE " + " ".join(f"WHEN {value} >= {_num(s.at_least)} THEN {_num(s.points)}" for s in steps) + " ELSE 0.0::DOUBLE END)"


def _by_segment_sql(name: str, mapping: Linear, fallback: Fallback, value: str) -> str:
    """Points between the percentiles of the row's segment; between the fallback's anchors where it has none, or both are one."""
    bad, good = f"{ANCHOR}{mapping.bad}_{name}", f"{ANCHOR}{mapping.good}_{name}"
    apart = f"{good} IS DISTINCT FROM {bad} AND {good} IS NOT NULL AND {bad} IS NOT NULL"
    low, high = (f"(CASE WHEN {apart} THEN {column} ELSE {_num(fixed)} END)" for column, fixed in ((bad, fallback.bad), (good, fallback.good)))
    return f"(greatest(0.0::DOUBLE, least(1.0::DOUBLE, ({value} - {low}) / ({high} - {low}))) * 100)"


def _num(value: float) -> str:
    return f"CAST({value!r} AS DOUBLE)"


# --- SQL of one profile --------------------------------------------------------------------------------------------------------------------------
def present_weight_sql(card: Scorecard, axis: Axis) -> str:
    """Sum of the relative weights present in an axis."""
    return _sum(f"(CASE WHEN {POINTS}{w.indicator.name} IS NULL THEN 0.0::DOUBLE ELSE {_num(w.weight)} END)" for w in card.axis(axis))


def axis_sql(card: Scorecard, axis: Axis) -> str:
    """The axis before rounding; null when nothing is present in it."""
    points = _sum(f"coalesce({POINTS}{w.indicator.name} * {_num(w.weight)}, 0.0::DOUBLE)" for w in card.axis(axis))
    return f"({points} / nullif({present_weight_sql(card, axis)}, 0))"


def coverage_sql(card: Scorecard) -> str:
    """Percent of the connected weight that is present."""
    present = _sum(
        f"(CASE WHEN {POINTS}{w.indicator.name} IS NULL THEN 0.0::DOUBLE ELSE {_num(w.connected_share)} END)" for w in card.weighings if w.connected
    )
    return f"round_even({present} / nullif({_num(sum(w.connected_share for w in card.weighings))}, 0) * 100, 6)"


def total_weight_sql(card: Scorecard) -> str:
    """Sum of the weights of the axes that are present, over columns named after the axes."""
    return _sum(
        f"(CASE WHEN {axis.value} IS NULL THEN 0.0::DOUBLE ELSE {_num(card.axis_weight(axis))} END)" for axis in Axis if card.axis_weight(axis) > 0
    )


def total_sql(card: Scorecard) -> str:
    """The score before caps and rounding."""
    points = _sum(f"coalesce({axis.value} * {_num(card.axis_weight(axis))}, 0.0::DOUBLE)" for axis in Axis if card.axis_weight(axis) > 0)
    return f"({points} / nullif({total_weight_sql(card)}, 0))"


def axis_total_sql(axes: Sequence[tuple[float, Sequence[tuple[str, float]]]]) -> str:
    """The same from (weight of the axis, (points, weight inside it)): the arithmetic of `axis_sql` and `total_sql`, to the last bit."""
    parts = [
        (
            "("
            + _sum(f"coalesce({p} * {_num(w)}, 0.0::DOUBLE)" for p, w in found)
            + " / nullif("
            + _sum(f"(CASE WHEN {p} IS NULL THEN 0.0::DOUBLE ELSE {_num(w)} END)" for p, w in found)
            + ", 0))",
            weight,
        )
        for weight, found in axes
        if weight > 0
    ]
    points = _sum(f"coalesce({axis} * {_num(weight)}, 0.0::DOUBLE)" for axis, weight in parts)
    weights = _sum(f"(CASE WHEN {axis} IS NULL THEN 0.0::DOUBLE ELSE {_num(weight)} END)" for axis, weight in parts)
    return f"({points} / nullif({weights}, 0))"


def axes_present_sql(card: Scorecard) -> str:
    return _sum(f"CAST({axis.value} IS NOT NULL AS INTEGER)" for axis in Axis if card.axis_weight(axis) > 0)


def effective_sql(card: Scorecard, weighing: Weighing) -> str:
    """The share after re-spread over what is present, percent; 0 when the indicator is missing."""
    if not weighing.connected or card.axis_weight(weighing.axis) == 0:
        return "0.0::DOUBLE"
    share = f"{_num(card.axis_weight(weighing.axis) * 100)} / w_total * {_num(weighing.weight)} / w_{weighing.axis.value}"
    return f"(CASE WHEN {POINTS}{weighing.indicator.name} IS NULL THEN 0.0::DOUBLE ELSE {share} END)"


def _sum(terms: "object") -> str:
    listed = list(terms)  # type: ignore[call-overload]
    return "(" + " + ".join(listed) + ")" if listed else "(0.0::DOUBLE)"


def profile_case_sql(cards: list[Scorecard]) -> str:
    """The first profile whose condition holds."""
    cases = [f"WHEN TRY(CAST({c.profile.when} AS BOOLEAN)) THEN {literal(c.profile.name)}" for c in cards if c.profile.when]
    last = [c.profile.name for c in cards if not c.profile.when][-1:] or [cards[-1].profile.name]
    return f"(CASE {' '.join(cases)} ELSE {literal(last[0])} END)" if cases else literal(last[0])
