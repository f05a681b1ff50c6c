"""Checks of patterns and usage statuses."""

from collections.abc import Iterator

from mappings.checker import Checker
from mappings.faults import Fault
from mappings.yaml_files import Document


def check_patterns(checker: Checker) -> Iterator[Fault]:
    for name, pattern in checker.parts.models["patterns"].items():
        document = checker.parts.documents[("patterns", name)]
        yield from checker.sql(document, ("when",), pattern.when, "alert", "boolean")
        yield from checker.text(document, ("title",), pattern.title, "alert")
        yield from checker.text(document, ("text",), pattern.text, "alert")
        if pattern.action is not None:
            yield from checker.text(document, ("action",), pattern.action, "alert", ("account", "next_action"))
    for name, score in checker.parts.models["scores"].items():
        yield from _statuses(checker, checker.parts.documents[("scores", name)], [(s.value, s.when) for s in score.usage_status])


def _statuses(checker: Checker, document: Document, statuses: list[tuple[str, str]]) -> Iterator[Fault]:
    """Conditions over account columns; a value twice would hide one of them."""
    values = [value for value, _ in statuses]
    for place, (value, when) in enumerate(statuses):
        yield from checker.sql(document, ("usage_status", place, "when"), when, "account", "boolean")
        if value in values[:place]:
            yield document.fault(("usage_status", place, "value"), f"the value `{value}` is used twice", "give each status its own value")
