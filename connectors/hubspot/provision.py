"""Creates what writeback.yml declares and the account lacks: the custom object for CSQLs, a property group, properties.

Nothing that is there is changed or deleted: a property that differs is reported. Creating is safe to repeat: what exists answers 409.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connectors.base import ProvisionStep
from connectors.errors import ConnectorError, Misfit, NotAllowed, Refused
from connectors.hubspot.client import Portal
from connectors.hubspot.errors import ADMIN, read_error
from connectors.hubspot.objects import LINK, STANDARD, Objects
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
    """Provisions one account, with a token that has the schema scopes. `object_names`: account | csql -> object type."""

    def __init__(self, portal: Portal, objects: Objects, object_names: Mapping[str, str], language: str = "ja") -> None:
        self._portal, self._objects, self._names, self._language = portal, objects, object_names, language
        self._dry = True
        self._say: Callable[[ProvisionStep], None] = lambda _: None
        self._steps: list[ProvisionStep] = []

    def run(self, fields: Sequence[WriteField], *, dry_run: bool, say: Callable[[ProvisionStep], None]) -> list[ProvisionStep]:
        """Every step done, or with `dry_run` every step that would be. Misfit names the scopes, NotAllowed the plan that is lacking."""
        self._dry, self._say, self._steps = dry_run, say, []
        self._objects.forget()
        for key in dict.fromkeys(f.object for f in fields):
            own = [f for f in fields if f.object == key]
            name = self._names[key]
            first = [f for f in own if f.external_key or f.key == "title"]
            there, new = (True, False) if name in STANDARD else self._custom_object(name, first)
            self._group(name, there)
            self._properties(name, own, there, {f.names["hubspot"] for f in first} if new else set())
        if not dry_run and any(s.action == "create_field" for s in self._steps):
            self._portal.door.rest(2)  # 1 to 3 s: a new property can be written 0.25 to 0.7 s after it was made (sheet, 5)
        return self._steps

    def _step(self, action: str, target: str, detail: str = "") -> None:
        step = ProvisionStep(action, target, detail)
        self._steps.append(step)
        self._say(step)

    # --- the CSQL object -------------------------------------------------------------------------------------------------------------------------
    def _custom_object(self, name: str, first: Sequence[WriteField]) -> tuple[bool, bool]:
        """Whether the object is there now, and whether it was made just now, with its `first` properties.

        A plan without custom objects has no store for CSQLs that this version knows.
        """
        try:
            if self._objects.type_id(name) != name or name in self._objects.custom():
                self._step("exists", name, "CSQLs are kept in this custom object")
                return True, False
            self._step("create_object", name, "CSQLs are kept in a custom object: this account's plan has them")
            if self._dry:
                return False, False
            self._portal.json("provision", lambda hs: hs.crm.schemas.core_api.create, self._schema(name, first), idempotent=False)
        except (Misfit, NotAllowed) as error:
            if isinstance(error, Misfit) and error.code != "MISSING_SCOPES":
                raise
            raise _no_store(name, error) from error
        self._objects.forget()
        return True, True

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


def _no_store(name: str, error: ConnectorError) -> NotAllowed:
    """A plan without custom objects looks like a token without their scopes: the scopes cannot be chosen there."""
    return NotAllowed(
        f"CSQLs are kept in a custom object ({name}), and this token may not make one: {error.text}",
        remedy=f"{ADMIN} add the scopes crm.schemas.custom and crm.objects.custom, read and write, which needs an Enterprise edition. "
        "Without one, an admin of scoresync takes the rules out of csql/ and `csql` out of the CRM mapping: scores, reasons and the CSQL flag on "
        "companies need no custom object. Leads and tasks as a store are not built yet.",
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
