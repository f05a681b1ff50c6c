"""Checks of indicators and scores."""

from collections.abc import Iterator, Sequence

from mappings.checker import Checker
from mappings.columns import ACCOUNTS
from mappings.expressions import nearest
from mappings.faults import Fault
from mappings.models import Axis, Indicator, Linear, Profile, Score, Steps
from mappings.yaml_files import Document, Path_

#: More measures than this in one profile is a warning: only simple scorecards get looked at (CS-10).
MANY_INDICATORS = 10
_ROUNDING = 1e-9  # shares are sums of floats


def check_scores(checker: Checker) -> Iterator[Fault]:
    for name, indicator in checker.parts.models["indicators"].items():
        document = checker.parts.documents[("indicators", name)]
        yield from _indicator(checker, document, indicator)
    stems = sorted(checker.parts.stems("scores"))
    for name in stems[1:]:
        yield checker.parts.fault(
            "scores", name, (), f"there is one score, and {stems[0]}.yml is it", "keep one file under scores/; use profiles for different accounts"
        )
    for name, score in checker.parts.models["scores"].items():
        yield from _score(checker, checker.parts.documents[("scores", name)], score)


# --- indicators ----------------------------------------------------------------------------------------------------------------------------------
def _indicator(checker: Checker, document: Document, indicator: Indicator) -> Iterator[Fault]:
    boolean = indicator.mapping.kind == "boolean"
    yield from checker.sql(document, ("expression",), indicator.expression, "account", "boolean" if boolean else "number")
    yield from checker.sql(document, ("observed_on",), indicator.observed_on, "account", "date")
    if indicator.ttl_days is not None and indicator.observed_on is None:
        yield document.fault(("ttl_days",), "needs `observed_on`: without it nobody knows how old the value is", "add observed_on, or drop ttl_days")
    yield from checker.sql(document, ("answers",), indicator.answers, "account", "number")
    if (indicator.answers is None) != (indicator.answers_min is None):
        yield document.fault(("answers_min",), "`answers` and `answers_min` go together", "write both, or neither")
    if boolean != (indicator.unit == "yes_no"):
        yield document.fault(
            ("unit",),
            f"unit {indicator.unit} does not fit the {indicator.mapping.kind} mapping",
            "a boolean mapping has unit yes_no, the others do not",
        )
    yield from _mapping(document, indicator)
    yield from checker.text(document, ("reasons", "low"), indicator.reasons.low, "indicator", ("account", "main_reason"))
    yield from checker.text(document, ("reasons", "high"), indicator.reasons.high, "indicator", ("account", "strength"))
    yield from checker.text(document, ("action",), indicator.action, "indicator", ("account", "next_action"))
    yield from checker.text(document, ("missing",), indicator.missing, "indicator", ("account", "data_status"))
    yield from checker.text(document, ("title",), indicator.title, "indicator")
    yield from _lift(checker, document, indicator)
    yield from _cause(checker, document, indicator.cause)
    _warn_feed(checker, document, indicator)


def _lift(checker: Checker, document: Document, indicator: Indicator) -> Iterator[Fault]:
    lift = indicator.lift
    if lift is None:
        return
    if isinstance(indicator.mapping, Linear) and indicator.mapping.by_segment:
        yield document.fault(("lift",), "needs fixed anchors: what lifts a tier must not move with the neighbours", "drop it, or write numbers")
    yield from checker.sql(document, ("lift", "count"), lift.count, "lift", "number")
    yield from checker.text(document, ("lift", "text"), lift.text, "lift", ("account", "way_up"))
    if lift.to is not None and lift.realistic is not None:
        yield document.fault(("lift", "to"), "stands beside `realistic`: a measure jumps, or goes as far as needed", "keep one of the two")
    if lift.count is None and any("{count" in text for text in (lift.text.en, lift.text.ja)):
        yield document.fault(("lift", "text"), "names `count`, which is not given", "add count, or drop the slot")


def _mapping(document: Document, indicator: Indicator) -> Iterator[Fault]:
    rising = indicator.direction == "more_is_better"
    mapping = indicator.mapping
    if isinstance(mapping, Linear):
        yield from _anchors(document, mapping)
        place, anchors = (("fallback",), mapping.fallback) if mapping.by_segment else ((), mapping)
        if anchors is None or isinstance(anchors.bad, str) or isinstance(anchors.good, str):
            return
        if anchors.bad == anchors.good:
            yield document.fault(("mapping", *place, "good"), f"bad and good are both {anchors.bad:g}", "give two different anchors")
        elif (anchors.good > anchors.bad) != rising:
            yield document.fault(
                ("mapping", *place, "good"), f"anchors run against direction {indicator.direction}", "swap bad and good, or change the direction"
            )
    elif isinstance(mapping, Steps):
        yield from _steps(document, mapping, rising)
    elif not rising:
        yield document.fault(("direction",), "a boolean gives 100 points where it is true, so more is better", "turn the expression round")


def _anchors(document: Document, mapping: Linear) -> Iterator[Fault]:
    """Percentiles: both or none, and anchors for a segment that has too few customers."""
    if isinstance(mapping.bad, str) != isinstance(mapping.good, str):
        yield document.fault(("mapping", "good"), "one anchor is a percentile and the other a number", "write p10 and p90, or two numbers")
    elif mapping.bad == mapping.good and mapping.by_segment:
        yield document.fault(("mapping", "good"), f"bad and good are both {mapping.bad}", "write p10 and p90")
    if mapping.by_segment and mapping.fallback is None:
        yield document.fault(("mapping",), "`fallback` is missing", "write fallback: {bad: …, good: …} for a segment with fewer than five customers")
    if not mapping.by_segment and mapping.fallback is not None:
        yield document.fault(("mapping", "fallback"), "has no place beside fixed anchors", "drop it, or write bad: p10, good: p90")


def _steps(document: Document, mapping: Steps, rising: bool) -> Iterator[Fault]:
    for place in range(1, len(mapping.steps)):
        before, step = mapping.steps[place - 1], mapping.steps[place]
        if step.at_least <= before.at_least:
            yield document.fault(
                ("mapping", "steps", place), f"at_least {step.at_least:g} is not above {before.at_least:g}", "list the steps in ascending order"
            )
        elif step.points != before.points and (step.points > before.points) != rising:
            yield document.fault(("mapping", "steps", place), "points run against the direction", "swap the points, or change the direction")


def _cause(checker: Checker, document: Document, cause: str) -> Iterator[Fault]:
    writeback = checker.parts.writeback
    fields = [] if writeback is None else [f for f in writeback.fields if f.object == "account" and (f.value or f.key) == "cause" and f.values]
    for found in fields:
        known = [value.value for value in found.values]
        if cause not in known:
            yield document.fault(
                ("cause",), f"`{cause}` is not among the values of field `{found.key}`", nearest(cause, known) or "add the value in writeback.yml"
            )


def _warn_feed(checker: Checker, document: Document, indicator: Indicator) -> None:
    found = checker.checked(indicator.expression, "account")
    feeds = {ACCOUNTS[name].feed for name in found.columns} if found else set()
    if feeds and indicator.feed not in feeds:
        text = f"feed {indicator.feed}, but the expression reads {', '.join(sorted(feeds))}: it would leave the scorecard with the wrong feed"
        checker.warnings.append(document.fault(("feed",), text, f"write feed: {sorted(feeds)[0]}"))


# --- scores --------------------------------------------------------------------------------------------------------------------------------------
def _score(checker: Checker, document: Document, score: Score) -> Iterator[Fault]:
    yield from _repeated(document, "profiles", [profile.name for profile in score.profiles])
    for place, profile in enumerate(score.profiles):
        at: Path_ = ("profiles", place)
        last = place == len(score.profiles) - 1
        if profile.when is None and not last:
            yield document.fault(
                at, f"profile `{profile.name}` has no `when` and is not the last: the ones below are never used", "move it to the end"
            )
        if profile.when is not None and last:
            yield document.fault(
                (*at, "when"), "the last profile must have no `when`: it takes all accounts that are left", "drop the when, or add a last profile"
            )
        yield from checker.sql(document, (*at, "when"), profile.when, "account", "boolean")
        yield from checker.text(document, (*at, "title"), profile.title, "cap")
        yield from _profile(checker, document, at, score, profile)
    yield from _repeated(document, "caps", [cap.name for cap in score.caps])
    for place, cap in enumerate(score.caps):
        yield from checker.sql(document, ("caps", place, "when"), cap.when, "account", "boolean")
        yield from checker.text(document, ("caps", place, "text"), cap.text, "cap", ("account", "main_reason"))
        if cap.action is not None:
            yield from checker.text(document, ("caps", place, "action"), cap.action, "cap", ("account", "next_action"))
    if score.rollup == "products" and not score.per_product:
        yield document.fault(
            ("rollup",), "the account is to be the mean of its products, which are not scored", "set per_product: true, or rollup: none"
        )
    edges = score.tiers.edges
    if not 100 > edges[0] > edges[1] > edges[2] > edges[3] > 0:
        yield document.fault(
            ("tiers", "edges"),
            f"edges {list(edges)} must fall from below 100 to above 0",
            "write the lower bounds of tiers 5, 4, 3, 2, as [80, 60, 40, 20]",
        )


def _repeated(document: Document, key: str, names: Sequence[str]) -> Iterator[Fault]:
    for place, name in enumerate(names):
        if name in names[:place]:
            yield document.fault((key, place, "name"), f"the name `{name}` is used twice", "give each its own name")


def _profile(checker: Checker, document: Document, at: Path_, score: Score, profile: Profile) -> Iterator[Fault]:
    total = sum(axis.weight for axis in profile.axes.values())
    if total <= 0:
        yield document.fault((*at, "axes"), f"no axis of profile `{profile.name}` has a weight", "give at least one axis a weight")
        return
    count = sum(len(axis.indicators) for axis in profile.axes.values() if axis.weight > 0)
    weighed = [axis for axis, found in profile.axes.items() if found.weight > 0]
    if len(weighed) < score.axes_min:
        yield document.fault(
            (*at, "axes"),
            f"{len(weighed)} axes have a weight, axes_min is {score.axes_min}: no account would be scored",
            "lower axes_min or weigh more axes",
        )
    if count > MANY_INDICATORS:
        checker.warnings.append(
            document.fault(
                (*at, "axes"),
                f"{count} indicators in profile `{profile.name}`: more than {MANY_INDICATORS} are rarely looked at",
                "keep the simple ones",
            )
        )
    for axis in profile.axes:
        yield from _axis(checker, document, at, score, profile, axis, total)


def _axis(checker: Checker, document: Document, at: Path_, score: Score, profile: Profile, axis: Axis, total: float) -> Iterator[Fault]:
    found = profile.axes[axis]
    path = (*at, "axes", axis.value)
    share = 100 * found.weight / total
    if share > score.axis_share_max + _ROUNDING:
        yield document.fault(
            (*path, "weight"), f"axis {axis} is {share:.1f} % of the total, axis_share_max is {score.axis_share_max:g} %", "lower its weight"
        )
    if found.weight > 0 and not found.indicators:
        yield document.fault(path, f"axis {axis} has a weight but no indicators", "name indicators, or give it weight 0")
    inside = sum(found.indicators.values())
    for name, weight in found.indicators.items():
        yield from _used(checker, document, (*path, "indicators", name), name, axis)
        part = share * weight / inside
        if part > score.indicator_share_max + _ROUNDING:
            text = f"`{name}` is {part:.1f} % of the total, indicator_share_max is {score.indicator_share_max:g} %"
            yield document.fault((*path, "indicators", name), text, "lower its weight, or name more indicators on the axis")


def _used(checker: Checker, document: Document, path: Path_, name: str, axis: Axis) -> Iterator[Fault]:
    known = checker.parts.stems("indicators")
    indicator = checker.parts.models["indicators"].get(name)
    if name not in known:
        yield document.fault(path, f"there is no indicator `{name}`", nearest(name, known) or f"add indicators/{name}.yml")
    elif indicator is not None and indicator.axis != axis:
        yield document.fault(path, f"`{name}` belongs to axis {indicator.axis}, not {axis}", f"move it below {indicator.axis}")
