"""What the account says its object types are: properties, options, unique keys; and which type a custom object's name stands for."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.base import FieldInfo
from connectors.errors import Gone, Misfit
from connectors.hubspot.client import Portal

#: Descriptions are kept this long, seconds. Chosen: shorter than a night's run, long enough that a run of many windows asks once.
KEPT_FOR_S = 600
#: Standard types by plural name (sheet, 2.1). Anything else is looked up among the custom objects.
STANDARD = frozenset(
    {
        "companies", "contacts", "deals", "tickets", "products", "line_items", "quotes", "communications", "feedback_submissions", "tasks", "notes",
        "meetings", "calls", "emails", "invoices", "subscriptions", "goals", "payments", "users", "orders", "leads", "carts", "services",
        "projects", "contracts",
    }
)  # fmt: skip
OWNERS = "owners"
#: Begins a path to an associated record: `associations.companies` is its id, `associations.deals.closedate` a property of it.
LINK = "associations."
#: Types that records are linked to by a field of ours.
LINKED = ("companies", "contacts", "deals", "tickets")
#: The most a text property holds, characters (sheet, 4.1).
TEXT_LENGTH = 65_536
_TYPE_ID = re.compile(r"\d+-\d+|p\d+_\w+")
_TYPES = {"number": "number", "string": "text", "phone_number": "text", "date": "date", "datetime": "datetime", "bool": "checkbox"}
#: Owners are no CRM objects: what the Owners API tells of one.
_OWNER = {name: FieldInfo(name, "text") for name in ("id", "email", "firstName", "lastName", "name", "userId", "active", "team")}


@dataclass(frozen=True)
class ObjectType:
    """One object type as described to this token. `fields` holds links (`associations.companies`) besides the properties."""

    name: str
    type_id: str  # what paths are made with
    fields: Mapping[str, FieldInfo]  # lower-case name
    unique: frozenset[str]

    @property
    def stamp(self) -> str:
        """The property that says when a record changed; filtering contacts by the other name finds nothing, without an error (sheet, 2.5)."""
        return "lastmodifieddate" if self.name in ("contacts", "0-1") else "hs_lastmodifieddate"


class Objects:
    """Descriptions of one account, kept for a while."""

    def __init__(self, portal: Portal, clock: Callable[[], float] = time.monotonic) -> None:
        self._portal, self._clock = portal, clock
        self._kept: dict[str, tuple[float, ObjectType]] = {}
        self._custom: tuple[float, dict[str, str]] | None = None

    def get(self, name: str) -> ObjectType:
        """The object type; Misfit if the account has none by this name, or hides it."""
        kept = self._kept.get(name)
        if kept is not None and self._clock() - kept[0] < KEPT_FOR_S:
            return kept[1]
        found = ObjectType(name, name, _OWNER, frozenset()) if name == OWNERS else self._describe(name)
        self._kept[name] = (self._clock(), found)
        return found

    def has(self, name: str, path: str) -> bool:
        """Whether there is a property, or a path over links (`associations.deals.closedate`), of an object type."""
        if not path.startswith(LINK):
            return path.lower() in self.get(name).fields
        target, _, rest = path.removeprefix(LINK).partition(".")
        try:
            described = self.get(target)
        except Misfit:
            return False
        return not rest or self.has(described.name, rest)

    def forget(self) -> None:
        """Describe anew: the schema changed under us."""
        self._kept.clear()
        self._custom = None

    def type_id(self, name: str) -> str:
        """What a path calls the object type: a custom object's own name means nothing there, so its id is taken."""
        if name in STANDARD or _TYPE_ID.fullmatch(name):
            return name
        return self.custom().get(name, name)

    def custom(self) -> dict[str, str]:
        """Names of the account's custom objects -> type id."""
        if self._custom is None or self._clock() - self._custom[0] >= KEPT_FOR_S:
            body = self._portal.json("describe", lambda hs: hs.crm.schemas.core_api.get_all)
            self._custom = (self._clock(), {str(s["name"]): str(s["objectTypeId"]) for s in body["results"]})
        return self._custom[1]

    def _describe(self, name: str) -> ObjectType:
        type_id = self.type_id(name)
        try:
            body = self._portal.json("describe", lambda hs: hs.crm.properties.core_api.get_all, type_id)
        except Gone as error:
            raise unknown(name) from error
        except Misfit as error:
            if error.code == "UNKNOWN_TYPE":
                raise unknown(name) from error
            raise
        fields = {(info := _field(raw)).name.lower(): info for raw in body["results"]}
        links = {LINK + to: FieldInfo(LINK + to, "lookup", updateable=True, createable=True) for to in LINKED if to != name}
        unique = frozenset(str(raw["name"]) for raw in body["results"] if raw.get("hasUniqueValue"))
        return ObjectType(name, type_id, fields | links, unique)


def unknown(name: str) -> Misfit:
    return Misfit(
        f"HubSpot has no object type {name}, or the token may not see it.",
        remedy="A HubSpot admin must create it or add its scopes; `scoresync provision` creates the CSQL object; or take it out of the CRM mapping.",
        code="UNKNOWN_TYPE",
    )


def _field(raw: Mapping[str, Any]) -> FieldInfo:
    options = tuple(str(o["value"]) for o in raw.get("options") or ())
    kind = _TYPES.get(str(raw.get("type")), "other")
    owner = raw.get("referencedObjectType") == "OWNER" or (raw.get("externalOptions") and not options)
    if raw.get("type") == "enumeration":
        several = raw.get("fieldType") == "checkbox"
        yes_no = raw.get("fieldType") == "booleancheckbox" or set(options) == {"true", "false"}
        kind = "lookup" if owner else "multipicklist" if several else "checkbox" if yes_no else "picklist"
    rules = raw.get("modificationMetadata") or {}
    fixed = bool(rules.get("readOnlyValue")) or bool(raw.get("calculated"))
    return FieldInfo(
        name=str(raw["name"]),
        type=kind,
        length=TEXT_LENGTH if kind == "text" else None,
        picklist=options if kind in ("picklist", "multipicklist") else (),
        restricted=kind in ("picklist", "multipicklist"),
        updateable=not fixed,
        createable=not fixed,
        calculated=bool(raw.get("calculated")),
    )
