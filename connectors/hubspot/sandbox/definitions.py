"""Property definitions: the standard ones of `catalog.py` and what is common to all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from connectors.hubspot.sandbox import catalog
from connectors.hubspot.sandbox.types import STANDARD, ObjectType

JSON = dict[str, Any]
STAMP = "2024-01-01T00:00:00.000Z"


@dataclass(frozen=True, slots=True)
class Property:
    """One definition. `body` is its JSON as the properties API answers it; `source` says where an enumeration's options live.

    `source`: "" the definition itself, `owner`, `pipeline`, `stage`, or `external` (anything goes).
    """

    body: JSON
    source: str = ""
    email: bool = False
    unique: bool = False
    visible: float = 0.0  # epoch seconds from which values may be written

    @property
    def name(self) -> str:
        """Internal name."""
        return str(self.body["name"])

    @property
    def type(self) -> str:
        """Data type."""
        return str(self.body["type"])

    @property
    def calculated(self) -> bool:
        """Whether HubSpot computes it."""
        return bool(self.body.get("calculated"))

    @property
    def read_only(self) -> bool:
        """Whether a write is refused."""
        return bool(self.body["modificationMetadata"]["readOnlyValue"])

    @property
    def options(self) -> list[str]:
        """Internal values of the enumeration."""
        return [str(option["value"]) for option in self.body.get("options", ())]


def group_of(kind: ObjectType) -> str:
    """The standard group of a type's properties."""
    return f"{kind.singular.replace('_', '')}information"


def make_body(
    name: str, label: str, type_: str, field_type: str, group: str, *, options: list[JSON] | None = None, read_only: bool = False,
    calculated: bool = False, unique: bool = False, standard: bool = True, **more: Any,
) -> JSON:  # fmt: skip
    """The JSON of a definition."""
    return {
        "updatedAt": STAMP, "createdAt": STAMP, "name": name, "label": label, "type": type_, "fieldType": field_type, "description": "",
        "groupName": group, "options": options or [], "displayOrder": -1, "calculated": calculated, "externalOptions": False,
        "archived": False, "hasUniqueValue": unique, "hidden": False, "hubspotDefined": standard,
        "modificationMetadata": {
            "archivable": not standard, "readOnlyDefinition": standard, "readOnlyOptions": standard, "readOnlyValue": read_only or calculated,
        },
        "formField": False, "dataSensitivity": "non_sensitive", **more,
    }  # fmt: skip


def option(value: str, label: str, order: int) -> JSON:
    """One option of an enumeration."""
    return {"label": label, "value": value, "description": "", "displayOrder": order, "hidden": False}


def full_options(given: list[JSON]) -> list[JSON]:
    """Options as a client sends them, with what it may leave out."""
    return [option("", "", order) | item for order, item in enumerate(given)]


TRUE_FALSE = [option("true", "True", 0), option("false", "False", 1)]


def stamps(kind: ObjectType) -> list[Property]:
    """Id and stamp properties every type has."""
    group = group_of(kind)
    found = [
        make_body("hs_object_id", "Record ID", "number", "number", group, read_only=True),
        make_body(kind.created, "Create Date", "datetime", "date", group, read_only=True),
        make_body(kind.modified, "Last Modified Date", "datetime", "date", group, read_only=True),
    ]
    return [Property(body) for body in found]


def _parse(kind: ObjectType, line: str) -> Property:
    name, label, types, *rest = (part.strip() for part in line.split("|"))
    flags = set(rest[0].split()) if rest else set()
    type_, _, field_type = types.partition("/")
    options = [option(*pair.partition("=")[::2], order) for order, pair in enumerate(rest[1].split(";"))] if len(rest) > 1 else []
    if type_ == "bool":
        options = TRUE_FALSE
    source = next((flag for flag in ("owner", "pipeline", "stage", "external") if flag in flags), "")
    body = make_body(
        name, label, type_, field_type, group_of(kind), options=options, read_only="ro" in flags, calculated="calc" in flags, unique="unique" in flags
    )
    if source:
        body |= {"externalOptions": True}
    if source == "owner":
        body |= {"referencedObjectType": "OWNER"}
    return Property(body, source, "email" in flags, "unique" in flags)


@lru_cache(maxsize=1)
def standard() -> dict[str, dict[str, Property]]:
    """Standard definitions: type id → name → definition."""
    kinds = {kind.plural: kind for kind in STANDARD}
    found = {kind.id: {item.name: item for item in stamps(kind)} for kind in STANDARD}
    kind = STANDARD[0]
    for line in catalog.STANDARD.splitlines():
        if line.startswith("["):
            kind = kinds[line.strip("[]")]
        elif line and not line.startswith("#"):
            item = _parse(kind, line)
            found[kind.id][item.name] = item
    return found
