"""Checks of `churn.yml`."""

from collections.abc import Iterator

from mappings.checker import Checker
from mappings.expressions import nearest
from mappings.faults import Fault
from mappings.models_churn import Churn
from mappings.yaml_files import Document


def check_churn(checker: Checker) -> Iterator[Fault]:
    churn = checker.parts.single("churn.yml", Churn)
    if churn is None:
        return
    document = checker.parts.documents[("churn.yml", "churn.yml")]
    yield from _values(document, churn)
    for key, names in (("reasons", [r.code for r in churn.reasons]), ("checklist", [s.name for s in churn.checklist])):
        for place, name in enumerate(names):
            if name in names[:place]:
                yield document.fault((key, place), f"the name `{name}` is used twice", "give each its own name")
    known = sorted(checker.parts.stems("alerts") | checker.parts.stems("patterns"))
    for place, name in enumerate(churn.no_warning):
        if name not in known:  # harmless: who drops an alert need not come here
            remedy = nearest(name, known) or "name a file of alerts/ or patterns/"
            checker.warnings.append(document.fault(("no_warning", place), f"there is no alert or pattern `{name}`", remedy))


def _values(document: Document, churn: Churn) -> Iterator[Fault]:
    """A word of the CRM means one reason."""
    taken: dict[str, str] = {}
    for place, reason in enumerate(churn.reasons):
        for word in (reason.code, *reason.values):
            other = taken.setdefault(word.casefold(), reason.code)
            if other != reason.code:
                yield document.fault(("reasons", place, "values"), f"`{word}` already means `{other}`", "list each word under one reason")
