"""Creates what writeback.yml declares and the account lacks: the store for CSQLs, a property group, properties.

Nothing that is there is changed or deleted: a property that differs is reported. Creating is safe to repeat: what exists answers 409.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connectors.base import ProvisionStep
from connectors.errors import ConnectorError, Misfit, NotAllowed, Refused
from connectors.hubspot.client import Portal
from connectors.hubspot.errors import ADMIN, read_error
from connectors.hubspot.names import ObjectNames
from connectors.hubspot.objects import LINK, Objects
from connectors.hubspot.stores import DEAL_PIPELINE, OBJECTS, Kind, Store, Stores, lacking
from mappings.models import FieldType, WriteField

GROUP, GROUP_LABEL = "csh", {"en": "Customer health", "ja": "顧客の健康度"}
#: Definitions of one call (sheet, 5).
BATCH = 100
#: our type -> HubSpot's type and widget (sheet, 5). A datetime's widget is a date picker.
KINDS: dict[FieldType, tuple[str, str]] = {
    FieldType.NUMBER: ("number", "number"),
    FieldType.PERCENT: ("number", "number"),
    FieldType.CURRENCY: ("number", "number"),
    FieldType.TEXT: ("string", "text"),
    FieldType.LONG_TEXT: ("string", "textarea"),
    FieldType.PICKLIST: ("enumeration", "select"),
    FieldType.MULTI_PICKLIST: ("enumeration", "checkbox"),
    FieldType.CHECKBOX: ("bool", "booleancheckbox"),
    FieldType.DATE: ("date", "date"),
    FieldType.DATETIME: ("datetime", "date"),
    FieldType.LOOKUP: ("enumeration", "select"),
}


class Provisioner:
    """Provisions one account, with a token that has the schema scopes."""

    def __init__(self, portal: Portal, objects: Objects, object_names: ObjectNames, stores: Stores, language: str = "ja") -> None:
        self._portal, self._objects, self._names, self._stores, self._language = portal, objects, object_names, stores, language
        self._dry = True
        self._say: Callable[[ProvisionStep], None] = lambda _: None
        self._steps: list[ProvisionStep] = []

    def run(self, fields: Sequence[WriteField], *, dry_run: bool, say: Callable[[ProvisionStep], None]) -> list[ProvisionStep]:
        """Every step done, or with `dry_run` every step that would be. Misfit names the scopes, NotAllowed the plan that is lacking."""
        self._dry, self._say, self._steps = dry_run, say, []
        self._objects.forget()
        self._stores.forget()
        for key in dict.fromkeys(f.object for f in fields):
            own = [f for f in fields if f.object == key]
            first = [f for f in own if f.external_key or f.key == "title"] if key == "csql" else []
            name, there, new = self._csql_store(first) if key == "csql" else (self._names[key], True, False)
            if key == "csql":
                store = self._stores.made(next((kind for kind, object_name in OBJECTS.items() if object_name == name), Kind.CUSTOM_OBJECT))
                own = [store.field(f) for f in own]
            self._group(name, there)
            self._properties(name, own, there, {f.names["hubspot"] for f in first} if new else set())
        if not dry_run and any(s.action == "create_field" for s in self._steps):
            self._portal.door.rest(2)  # 1 to 3 s: a new property can be written 0.25 to 0.7 s after it was made (sheet, 5)
        return self._steps

    def _step(self, action: str, target: str, detail: str = "") -> None:
        step = ProvisionStep(action, target, detail)
        self._steps.append(step)
        self._say(step)

    # --- where CSQLs live ------------------------------------------------------------------------------------------------------------------------
    def _csql_store(self, first: Sequence[WriteField]) -> tuple[str, bool, bool]:
        """(object type, whether it is there now, whether it was made just now with its `first` properties). Says which store it is, and why.

        A store that was set up before stays: its records do not move by themselves.
        """
        before = self._stores.existing()
        if before is not None:
            self._step("exists", before.object, f"CSQLs are kept in this {_word(before.kind)}")
            self._pipeline(before)
            return before.object, True, False
        if self._stores.asked not in ("auto", Kind.CUSTOM_OBJECT):
            return self._chosen(Kind(self._stores.asked), f"`csql_store: {self._stores.asked}` asks for it")
        refused = self._custom_object(first)
        if refused is None:
            return self._names["csql"], not self._dry, not self._dry
        if self._stores.asked == Kind.CUSTOM_OBJECT:
            raise _no_store(self._names["csql"], refused) from refused
        no_object = (
            f"no custom object, since {_why(refused)} (with an Enterprise edition: add the scopes crm.schemas.custom and crm.objects.custom first)"
        )
        no_lead = self._stores.refusal(Kind.LEAD)
        if no_lead is None:
            return self._chosen(Kind.LEAD, no_object)
        return self._chosen(Kind.TASK, f"{no_object}; no lead, since {_why(no_lead)}; the flag is on the company")

    def _chosen(self, kind: Kind, why: str) -> tuple[str, bool, bool]:
        refused = self._stores.refusal(kind)
        if refused is not None:
            raise _no_store(OBJECTS[kind], refused) from refused
        self._step("choose_store", OBJECTS[kind], f"CSQLs are kept as {_word(kind)}s: {why}")
        self._pipeline(self._stores.made(kind))
        return OBJECTS[kind], True, False

    def _custom_object(self, first: Sequence[WriteField]) -> ConnectorError | None:
        """Makes the custom object; or why the plan or the token has none."""
        name = self._stores.made(Kind.CUSTOM_OBJECT).object
        refused = self._stores.refusal(Kind.CUSTOM_OBJECT)
        if refused is not None:
            return refused
        if not self._dry:
            try:
                self._portal.json("provision", lambda hs: hs.crm.schemas.core_api.create, self._schema(name, first), idempotent=False)
            except (Misfit, NotAllowed) as error:
                if not lacking(error):
                    raise
                return error
        self._step("create_object", name, "CSQLs are kept in a custom object: this account's plan has them")
        self._objects.forget()
        return None

    def _pipeline(self, store: Store) -> None:
        """A deal pipeline of our own, one stage a state. Its deals have no amount, and only a won one is likely: the forecast stays sales'."""
        if store.kind != Kind.DEAL:
            return
        if store.pipeline:
            self._step("exists", f"{store.object}/{DEAL_PIPELINE}", "pipeline")
            return
        self._step("create_object", f"{store.object}/{DEAL_PIPELINE}", "pipeline with one stage a state")
        if not self._dry:
            stages = [
                {
                    "label": getattr(v, self._language),
                    "displayOrder": n,
                    "metadata": {"probability": "1.0" if v.value == "Won" else "0.0" if v.value in _LOST else "0.1"},
                }
                for n, v in enumerate(self._stores.states())
            ]
            body = {"label": DEAL_PIPELINE, "displayOrder": 99, "stages": stages}
            self._portal.json("provision", lambda hs: hs.crm.pipelines.pipelines_api.create, store.object, body, idempotent=False)

    def _schema(self, name: str, first: Sequence[WriteField]) -> dict[str, Any]:
        shown = next((f for f in first if not f.external_key), first[0])
        properties = [{k: v for k, v in definition(f, self._language).items() if k not in ("groupName", "externalOptions")} for f in first]
        return {
            "name": name,
            "labels": {"singular": "CSQL", "plural": "CSQL" if self._language == "ja" else "CSQLs"},
            "primaryDisplayProperty": shown.names["hubspot"],
            "requiredProperties": [],
            "searchableProperties": [shown.names["hubspot"]],
            "secondaryDisplayProperties": [],
            "properties": properties,
            "associatedObjects": ["COMPANY"],
        }

    # --- properties ------------------------------------------------------------------------------------------------------------------------------
    def _group(self, name: str, there: bool) -> None:
        known = self._ask(lambda hs: hs.crm.properties.groups_api.get_all, name)["results"] if there else []
        if any(g["name"] == GROUP for g in known):
            self._step("exists", f"{name}/{GROUP}", "property group")
            return
        self._step("create_field", f"{name}/{GROUP}", "property group")
        if not self._dry:
            body = {"name": GROUP, "label": GROUP_LABEL[self._language], "displayOrder": -1}
            self._create(lambda hs: hs.crm.properties.groups_api.create, name, body)

    def _properties(self, name: str, fields: Sequence[WriteField], there: bool, new: set[str]) -> None:
        """`new`: properties that were made with the object."""
        known = {p["name"]: p for p in self._ask(lambda hs: hs.crm.properties.core_api.get_all, name)["results"]} if there else {}
        missing = []
        for field in fields:
            api = field.names.get("hubspot")
            target = f"{name}.{api or field.key}"
            if api is None or field.owner == "crm":
                self._step("left_out", target, "a formula of the other CRM; HubSpot shows the date it counts from")
            elif api.startswith(LINK):
                self._step("exists", target, "association")
            elif api in new:
                self._step("create_field", target, str(field.type))
            elif api in known:
                differs = _differs(field, known[api])
                self._step("differs" if differs else "exists", target, differs)
            else:
                self._step("create_field", target, str(field.type))
                missing.append(definition(field, self._language))
        for start in range(0, 0 if self._dry else len(missing), BATCH):
            body = {"inputs": missing[start : start + BATCH]}
            self._must(self._create(lambda hs: hs.crm.properties.batch_api.create, name, body))

    def _ask(self, pick: Callable[[Any], Any], name: str) -> Any:
        return self._portal.json("describe", pick, self._objects.type_id(name))

    def _create(self, pick: Callable[[Any], Any], name: str, body: Mapping[str, Any]) -> Any:
        """Null where it exists already: somebody made it in this very moment."""
        try:
            return self._portal.json("provision", pick, self._objects.type_id(name), body)
        except Refused as error:
            if error.code != "OBJECT_ALREADY_EXISTS" and error.status != 409:
                raise
            return None

    @staticmethod
    def _must(answer: Mapping[str, Any] | None) -> None:
        """A 207 hides what was not created."""
        for raw in (answer or {}).get("errors") or ():
            said = read_error(raw)
            if said.code != "OBJECT_ALREADY_EXISTS":
                named = ", ".join(said.fields) or "a property"
                raise Refused(
                    f"{named} could not be created ({said.code}).", remedy=f"{ADMIN} create it by hand, as writeback.yml says.", code=said.code
                )


#: States in which nothing is to be won any more.
_LOST = frozenset({"Lost", "Returned", "Expired", "Merged"})


def _word(kind: Kind) -> str:
    return kind.replace("_", " ")


def _why(error: ConnectorError) -> str:
    """What it says, as a part of a sentence of ours; without HubSpot's correlation id."""
    text = error.text.partition(" (HubSpot's correlation id")[0].rstrip(".")
    return text[:1].lower() + text[1:] if not text.startswith("HubSpot") else text


def _no_store(name: str, error: ConnectorError) -> NotAllowed:
    """The store that the mapping asks for is not to be had."""
    return NotAllowed(
        f"CSQLs are to be kept in {name}, and this account or token has none: {error.text}",
        remedy=f"{ADMIN} add the scopes (a custom object needs an Enterprise edition, leads need Sales Hub), or an admin of scoresync sets "
        "`csql_store: auto` in the CRM mapping, which takes what there is.",
        code=error.code,
        status=error.status,
    )


def definition(field: WriteField, language: str) -> dict[str, Any]:
    """A property as the API creates it. What a person reads on screen is in `language`."""
    kind, widget = KINDS[field.type]
    made: dict[str, Any] = {
        "name": field.names["hubspot"],
        "label": getattr(field.label, language),
        "description": getattr(field.meaning, language),
        "groupName": GROUP,
        "type": kind,
        "fieldType": widget,
    }
    if field.external_key:
        made["hasUniqueValue"] = True
    if field.type in (FieldType.PICKLIST, FieldType.MULTI_PICKLIST):
        made["options"] = [_option(v.value, getattr(v, language), n) for n, v in enumerate(field.values)]
    if field.type == FieldType.CHECKBOX:  # both must be given (sheet, 5)
        yes, no = ("はい", "いいえ") if language == "ja" else ("Yes", "No")
        made["options"] = [_option("true", yes, 0), _option("false", no, 1)]
    if field.type == FieldType.LOOKUP:  # to a user; to another record it is an association
        made |= {"externalOptions": True, "referencedObjectType": "OWNER"}
    return made


def _option(value: str, label: str, place: int) -> dict[str, Any]:
    return {"value": value, "label": label, "displayOrder": place, "hidden": False}


def _differs(field: WriteField, there: Mapping[str, Any]) -> str:
    """How an existing property is not what is declared; empty = it will do."""
    kind = KINDS[field.type][0]
    if there.get("type") != kind:
        return f"type {there.get('type')}, declared {kind}"
    have = {str(o["value"]) for o in there.get("options") or ()}
    lacking = [v.value for v in field.values if v.value not in have]
    if lacking:
        return f"lacks the options {', '.join(lacking)}"
    return "its values are not unique" if field.external_key and not there.get("hasUniqueValue") else ""
