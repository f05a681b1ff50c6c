"""Checks of `sales.yml` and `voice.yml`."""

from collections.abc import Iterator, Sequence

from mappings.checker import Checker
from mappings.faults import Fault
from mappings.models import CrmMapping
from mappings.models_sales import Sales, Voice
from mappings.yaml_files import Document, Path_


def check_sales(checker: Checker) -> Iterator[Fault]:
    sales, voice = checker.parts.single("sales.yml", Sales), checker.parts.single("voice.yml", Voice)
    if sales is not None:
        yield from _sales(checker, checker.parts.documents[("sales.yml", "sales.yml")], sales)
    if voice is not None:
        yield from _voice(checker, checker.parts.documents[("voice.yml", "voice.yml")], voice)


def _sales(checker: Checker, document: Document, sales: Sales) -> Iterator[Fault]:
    yield from checker.sql(document, ("handover", "when"), sales.handover.when, "alert", "boolean")
    yield from _repeated(document, ("handover", "items"), [item.name for item in sales.handover.items])
    named = _maps_handover(checker)
    for place, item in enumerate(sales.handover.items):
        at: Path_ = ("handover", "items", place)
        yield from checker.sql(document, (*at, "when"), item.when, "alert", "boolean")
        yield from checker.text(document, (*at, "title"), item.title, "plain")
        if item.when is None and not named:
            yield document.fault(
                at,
                f"`{item.name}` has no `when`, and no connection maps `handover` of opportunity: it would be missing everywhere",
                "map it, or write `when`",
            )
    yield from checker.sql(document, ("deals", "when"), sales.deals.when, "deal", "boolean")
    yield from checker.sql(document, ("fit", "success"), sales.fit.success, "alert", "boolean")
    yield from checker.sql(document, ("fit", "when"), sales.fit.when, "alert", "boolean")


def _maps_handover(checker: Checker) -> bool:
    crm: dict[str, CrmMapping] = checker.parts.models["crm"]
    return any("handover" in source.columns for mapping in crm.values() for source in mapping.entities.get("opportunity", []))


def _voice(checker: Checker, document: Document, voice: Voice) -> Iterator[Fault]:
    yield from _repeated(document, ("tags",), [tag.name for tag in voice.tags])
    for place, tag in enumerate(voice.tags):
        yield from checker.text(document, ("tags", place, "title"), tag.title, "plain")
        for word, text in enumerate(tag.words):
            if not text.strip():
                yield document.fault(("tags", place, "words", word), "is blank: it would be found in every text", "drop it")


def _repeated(document: Document, at: Path_, names: Sequence[str]) -> Iterator[Fault]:
    for place, name in enumerate(names):
        if name in names[:place]:
            yield document.fault((*at, place, "name"), f"the name `{name}` is used twice", "give each its own name")
