"""Checks of CSQL rules, the CSQL policy, alerts and the scope."""

from collections.abc import Iterator
from typing import get_args

from mappings.checker import Checker
from mappings.expressions import nearest
from mappings.faults import Fault
from mappings.models import CsqlPolicy, CsqlRule, Scope
from mappings.yaml_files import Document, Path_

#: Motions that sell more of what is owned.
_OWNED_MOTIONS = ("seat", "tier", "add_on")


def check_rules(checker: Checker) -> Iterator[Fault]:
    policy = checker.parts.single("csql_policy.yml", CsqlPolicy)
    for name, rule in checker.parts.models["csql"].items():
        yield from _rule(checker, checker.parts.documents[("csql", name)], rule, policy)
    if policy is not None:
        yield from _policy(checker, checker.parts.documents[("csql_policy.yml", "csql_policy.yml")], policy)
    for name, alert in checker.parts.models["alerts"].items():
        document = checker.parts.documents[("alerts", name)]
        context = "deal" if alert.over == "deal" else "alert"
        yield from checker.sql(document, ("when",), alert.when, context, "boolean")
        yield from checker.text(document, ("text",), alert.text, context)
        if alert.recovered is not None and alert.over == "deal":
            yield document.fault(("recovered",), "a deal is told once: nothing is over when it is closed", "drop it")
        elif alert.recovered is not None:
            yield from checker.text(document, ("recovered",), alert.recovered, "alert")
    scope = checker.parts.single("scope.yml", Scope)
    if scope is not None:
        yield from checker.sql(checker.parts.documents[("scope.yml", "scope.yml")], ("include",), scope.include, "account", "boolean")


def _rule(checker: Checker, document: Document, rule: CsqlRule, policy: CsqlPolicy | None) -> Iterator[Fault]:
    yield from checker.sql(document, ("when",), rule.when, "csql", "boolean")
    for key, sql in (("amount", rule.amount), ("seats_suggested", rule.seats_suggested), ("approach", rule.approach)):
        yield from checker.sql(document, (key,), sql, "csql", "number")
    yield from checker.text(document, ("title",), rule.title, "csql", ("csql", "title"))
    yield from checker.text(document, ("need",), rule.need, "csql", ("csql", "need"))
    yield from checker.text(document, ("why_now",), rule.why_now, "csql", ("csql", "why_now"))
    if rule.over == "not_owned" and rule.motion in _OWNED_MOTIONS:
        yield document.fault(
            ("over",), f"motion {rule.motion} sells more of an owned product, but the rule looks at products not owned", "write over: owned"
        )
    if policy is not None:
        known = {gate.name: gate for gate in policy.gates}
        for place, name in enumerate(rule.gates):
            if name not in known:
                yield document.fault(
                    ("gates", place), f"there is no gate `{name}` in csql_policy.yml", nearest(name, known) or f"known: {', '.join(known)}"
                )
            elif known[name].always:
                checker.warnings.append(document.fault(("gates", place), f"gate `{name}` holds for every rule already", "drop it here"))


def _policy(checker: Checker, document: Document, policy: CsqlPolicy) -> Iterator[Fault]:
    names = [gate.name for gate in policy.gates]
    for place, gate in enumerate(policy.gates):
        if gate.name in names[:place]:
            yield document.fault(("gates", place, "name"), f"the name `{gate.name}` is used twice", "give each gate its own name")
        yield from checker.sql(document, ("gates", place, "when"), gate.when, "csql", "boolean")
        yield from checker.text(document, ("gates", place, "text"), gate.text, "csql", ("account", "csql_suppressed"))
    key_type, _ = get_args(CsqlPolicy.model_fields["cooldown_days"].annotation)
    for key in get_args(key_type):
        if key not in policy.cooldown_days:
            yield document.fault(("cooldown_days",), f"`{key}` is missing", "write the days of rest after it, 0 for none")
    numbers: dict[Path_, int] = {("cooldown_days", str(key)): days for key, days in policy.cooldown_days.items()}
    plain = {
        "expire_days": policy.expire_days,
        "accept_business_days": policy.accept_business_days,
        "contact_business_days": policy.contact_business_days,
    }
    numbers |= {(key,): days for key, days in plain.items()}
    for path, days in numbers.items():
        if days < 0:
            yield document.fault(path, f"is {days}; days cannot be negative", "write 0 or more")
    for place, name in enumerate(policy.unmute):
        if name not in checker.parts.models["csql"]:
            known = list(checker.parts.models["csql"])
            yield document.fault(("unmute", place), f"there is no rule `{name}` in csql/", nearest(name, known) or f"known: {', '.join(known)}")
    yield from _judgement(checker, document, policy)
    yield from _open_states(checker, document, policy)


def _judgement(checker: Checker, document: Document, policy: CsqlPolicy) -> Iterator[Fault]:
    fields = [] if checker.parts.writeback is None else [f for f in checker.parts.writeback.of("account") if f.key == "csm_judgement"]
    known = [value.value for field in fields for value in field.values]
    said = [one.value for one in policy.judgement]
    for place, one in enumerate(policy.judgement):
        yield from checker.text(document, ("judgement", place, "text"), one.text, "csql", ("csql", "why_now"))
        if one.value in said[:place]:
            yield document.fault(("judgement", place, "value"), f"`{one.value}` is listed twice", "keep one")
        elif known and one.value not in known:
            text = f"`{one.value}` is not among the values of field `csm_judgement`"
            yield document.fault(("judgement", place, "value"), text, nearest(one.value, known) or "add it in writeback.yml")


def _open_states(checker: Checker, document: Document, policy: CsqlPolicy) -> Iterator[Fault]:
    writeback = checker.parts.writeback
    fields = [] if writeback is None else [f for f in writeback.fields if f.object == "csql" and (f.value or f.key) == "state" and f.values]
    for found in fields:
        known = [value.value for value in found.values]
        for place, state in enumerate(policy.open_states):
            if state not in known:
                yield document.fault(
                    ("open_states", place),
                    f"`{state}` is not among the values of field `{found.key}`",
                    nearest(state, known) or "add it in writeback.yml",
                )
