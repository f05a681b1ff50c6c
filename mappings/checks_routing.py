"""Checks of `priority.yml`, `lists.yml` and `routing.yml`."""

from collections.abc import Iterator, Sequence
from datetime import date

from mappings.checker import Checker
from mappings.expressions import nearest
from mappings.faults import Fault
from mappings.models_routing import Line, Lists, Priority, Routing, RoutingVersion
from mappings.yaml_files import Document, Path_


def check_routing(checker: Checker) -> Iterator[Fault]:
    priority = checker.parts.single("priority.yml", Priority)
    if priority is not None:
        yield from _priority(checker, checker.parts.documents[("priority.yml", "priority.yml")], priority)
    lists = checker.parts.single("lists.yml", Lists)
    if lists is not None:
        document = checker.parts.documents[("lists.yml", "lists.yml")]
        for key, when in (("advocacy", lists.advocacy), ("innovator", lists.innovator), ("trial_user", lists.trial_user)):
            yield from checker.sql(document, (key,), when, "alert", "boolean")
    routing = checker.parts.single("routing.yml", Routing)
    if routing is not None:
        yield from _routing(checker, checker.parts.documents[("routing.yml", "routing.yml")], routing)


def _priority(checker: Checker, document: Document, priority: Priority) -> Iterator[Fault]:
    first, second, third = priority.bands
    if not 100 >= first > second > third > 0:
        yield document.fault(("bands",), f"edges {list(priority.bands)} must fall from at most 100 to above 0", "write [60, 40, 25]")
    yield from _repeated(document, ("terms",), [term.name for term in priority.terms], "name")
    for place, term in enumerate(priority.terms):
        yield from checker.sql(document, ("terms", place, "share"), term.share, "priority", "number")
        yield from checker.text(document, ("terms", place, "text"), term.text, "priority")


def _routing(checker: Checker, document: Document, routing: Routing) -> Iterator[Fault]:
    touch = routing.touch
    yield from _days(document, ("touch", "targets"), [target.valid_from for target in touch.targets])
    for place, target in enumerate(touch.targets):
        total = target.tech + target.hybrid + target.high
        if abs(total - 100) > 1e-6:
            yield document.fault(("touch", "targets", place), f"tech, hybrid and high are {total:g} % together", "let them sum to 100")
    yield from _lines(checker, document, ("touch", "suggest"), [rule.when for rule in touch.suggest])
    yield from _days(document, ("versions",), [version.valid_from for version in routing.versions])
    for place, version in enumerate(routing.versions):
        yield from _version(checker, document, ("versions", place), version)
    levels = [level.name for level in routing.load.levels]
    yield from _repeated(document, ("load", "levels"), levels, "name")
    for user, level in routing.load.users.items():
        if level not in levels:
            yield document.fault(("load", "users", user), f"there is no level `{level}`", nearest(level, levels) or f"known: {', '.join(levels)}")


def _version(checker: Checker, document: Document, at: Path_, version: RoutingVersion) -> Iterator[Fault]:
    teams = [team.name for team in version.teams]
    yield from _repeated(document, (*at, "teams"), teams, "name")
    for place, team in enumerate(version.teams):
        yield from checker.text(document, (*at, "teams", place, "title"), team.title, "alert", ("account", "cs_team"))
    for place, rule in enumerate(version.first):
        yield from checker.sql(document, (*at, "first", place, "when"), rule.when, "alert", "boolean")
        yield from _known(document, (*at, "first", place, "team"), rule.team, teams, "team")
    for key, lines in (("levels", version.levels), ("periods", version.periods)):
        yield from _axis(checker, document, (*at, key), lines)
    levels, periods = [line.name for line in version.levels], [line.name for line in version.periods]
    for level in version.matrix:
        yield from _known(document, (*at, "matrix", level), level, levels, "level")
    for level in levels:
        row = version.matrix.get(level)
        if row is None:
            yield document.fault((*at, "matrix"), f"has no row `{level}`", "give each level a team for each period")
            continue
        for period in sorted(set(row) - set(periods)):
            yield from _known(document, (*at, "matrix", level, period), period, periods, "period")
        for period in periods:
            if period not in row:
                yield document.fault((*at, "matrix", level), f"has no team for period `{period}`", "give each period a team")
            else:
                yield from _known(document, (*at, "matrix", level, period), row[period], teams, "team")


def _axis(checker: Checker, document: Document, at: Path_, lines: Sequence[Line]) -> Iterator[Fault]:
    yield from _repeated(document, at, [line.name for line in lines], "name")
    yield from _lines(checker, document, at, [line.when for line in lines])


def _lines(checker: Checker, document: Document, at: Path_, conditions: Sequence[str | None]) -> Iterator[Fault]:
    """The first that holds is taken, so only the last one may be, and is, without a condition."""
    for place, when in enumerate(conditions):
        last = place == len(conditions) - 1
        if (when is None) != last:
            text = "has no `when` and is not the last: the ones below are never used" if when is None else "the last one must have no `when`"
            yield document.fault((*at, place), text, "only the last one takes all that is left")
        yield from checker.sql(document, (*at, place, "when"), when, "alert", "boolean")


def _days(document: Document, at: Path_, days: Sequence[date]) -> Iterator[Fault]:
    for place in range(1, len(days)):
        if days[place] <= days[place - 1]:
            yield document.fault(
                (*at, place, "valid_from"), f"{days[place]} is not after {days[place - 1]}", "list them in the order in which they begin"
            )


def _known(document: Document, at: Path_, name: str, known: Sequence[str], what: str) -> Iterator[Fault]:
    if name not in known:
        yield document.fault(at, f"there is no {what} `{name}`", nearest(name, known) or f"known: {', '.join(known)}")


def _repeated(document: Document, at: Path_, names: Sequence[str], key: str) -> Iterator[Fault]:
    for place, name in enumerate(names):
        if name in names[:place]:
            yield document.fault((*at, place, key), f"the name `{name}` is used twice", "give each its own name")
