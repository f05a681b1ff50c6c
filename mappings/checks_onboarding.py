"""Checks of onboarding plans, self_success.yml and renewal.yml."""

from collections.abc import Iterator
from itertools import pairwise

from mappings.checker import Checker
from mappings.expressions import nearest
from mappings.faults import Fault
from mappings.models import Products
from mappings.models_onboarding import OnboardingPlan, OnboardingVersion, Renewal, SelfSuccess
from mappings.yaml_files import Document, Path_


def check_onboarding(checker: Checker) -> Iterator[Fault]:
    products = checker.parts.single("products.yml", Products)
    days = {p.code: p.onboarding_days for p in products.products} if products is not None else {}
    taken: dict[tuple[str, ...], str] = {}
    for name, plan in checker.parts.models["onboarding"].items():
        document = checker.parts.documents[("onboarding", name)]
        yield from _plan(checker, document, plan, days)
        other = taken.setdefault(tuple(sorted(plan.products)), name)
        if other != name:
            yield document.fault(("products",), f"{other}.yml is the plan for these products already", "keep one plan, with versions")
    yield from _renewal(checker)
    yield from _self_success(checker)


def _plan(checker: Checker, document: Document, plan: OnboardingPlan, days: dict[str, int]) -> Iterator[Fault]:
    yield from checker.text(document, ("title",), plan.title, "plain")
    for place, code in enumerate(plan.products):
        if days and code not in days:
            yield document.fault(
                ("products", place), f"there is no product `{code}` in products.yml", nearest(code, days) or f"known: {', '.join(days)}"
            )
    default = max((days[code] for code in plan.products if code in days), default=90)
    for place, (before, after) in enumerate(pairwise(plan.versions), start=1):
        path: Path_ = ("versions", place, "valid_from")
        if after.valid_from is None or (before.valid_from is not None and after.valid_from <= before.valid_from):
            yield document.fault(path, "must be later than that of the version before it", "list versions oldest first, each with its first day")
        if after.version <= before.version:
            yield document.fault(("versions", place, "version"), f"{after.version} is not above {before.version}", "count versions up")
    for place, version in enumerate(plan.versions):
        yield from _version(checker, document, ("versions", place), plan, version, version.days or default)


def _version(checker: Checker, document: Document, at: Path_, plan: OnboardingPlan, version: OnboardingVersion, days: int) -> Iterator[Fault]:
    phases = [phase.name for phase in version.phases]
    names: set[str] = set()
    for place, step in enumerate(version.steps):
        here = (*at, "steps", place)
        if step.name in names:
            yield document.fault((*here, "name"), f"the name `{step.name}` is used twice", "give each step its own name")
        names.add(step.name)
        if step.phase not in phases:
            yield document.fault((*here, "phase"), f"there is no phase `{step.phase}`", nearest(step.phase, phases) or f"known: {', '.join(phases)}")
        if step.due_days >= days:
            yield document.fault((*here, "due_days"), f"{step.due_days} is not within the {days} days of the period", "lower it, or raise `days`")
        if step.product is not None and step.product not in plan.products:
            yield document.fault((*here, "product"), f"`{step.product}` is not among the plan's products", nearest(step.product, plan.products))
        yield from checker.sql(document, (*here, "when"), step.when, "onboarding", "boolean")
        yield from checker.text(document, (*here, "title"), step.title, "plain")
        if step.action is not None:
            yield from checker.text(document, (*here, "action"), step.action, "plain")


def _renewal(checker: Checker) -> Iterator[Fault]:
    renewal = checker.parts.single("renewal.yml", Renewal)
    if renewal is None:
        return
    document = checker.parts.documents[("renewal.yml", "renewal.yml")]
    yield from checker.sql(document, ("expansion_when",), renewal.expansion_when, "renewal", "boolean")
    yield from _stages(checker, document, renewal)
    yield from _questions(checker, document, renewal)
    most = renewal.start_months * 30
    for place, step in enumerate(renewal.steps):
        if step.days_before > most:
            yield document.fault(("steps", place, "days_before"), f"{step.days_before} days is before the start ({most} days)", "raise start_months")
        if place and step.days_before > renewal.steps[place - 1].days_before:
            yield document.fault(("steps", place, "days_before"), "is earlier than the step before it", "list the steps in the order of their days")
        if step.name in [s.name for s in renewal.steps[:place]]:
            yield document.fault(("steps", place, "name"), f"the name `{step.name}` is used twice", "give each step its own name")
        yield from checker.sql(document, ("steps", place, "when"), step.when, "renewal", "boolean")
        yield from checker.text(document, ("steps", place, "title"), step.title, "plain")
        yield from checker.text(document, ("steps", place, "action"), step.action, "alert")


def _questions(checker: Checker, document: Document, renewal: Renewal) -> Iterator[Fault]:
    for place, question in enumerate(renewal.questions):
        yield from checker.sql(document, ("questions", place, "when"), question.when, "alert", "boolean")
        yield from checker.text(document, ("questions", place, "text"), question.text, "alert")


def _stages(checker: Checker, document: Document, renewal: Renewal) -> Iterator[Fault]:
    """Every step is a value of the field that shows the stage."""
    writeback = checker.parts.writeback
    fields = [] if writeback is None else [f for f in writeback.fields if f.object == "account" and (f.value or f.key) == "renewal_prep" and f.values]
    for found in fields:
        known = [value.value for value in found.values]
        for place, step in enumerate(renewal.steps):
            if step.name not in known:
                remedy = nearest(step.name, known) or "add it in writeback.yml"
                yield document.fault(("steps", place, "name"), f"`{step.name}` is not among the values of field `{found.key}`", remedy)


def _self_success(checker: Checker) -> Iterator[Fault]:
    found = checker.parts.single("self_success.yml", SelfSuccess)
    if found is None:
        return
    document = checker.parts.documents[("self_success.yml", "self_success.yml")]
    yield from checker.sql(document, ("unless",), found.unless, "account", "boolean")
    if found.signs and found.at_least > len(found.signs):
        yield document.fault(("at_least",), f"is {found.at_least}, but there are {len(found.signs)} signs", "lower it, or add signs")
    for place, sign in enumerate(found.signs):
        yield from checker.sql(document, ("signs", place, "when"), sign.when, "account", "boolean")
        yield from checker.text(document, ("signs", place, "text"), sign.text, "alert")
