"""What the org says its objects are to this user: fields, relationships, the cursor field and the marks of deletion.

A field hidden by field-level security is absent from a describe, as if it did not exist (sheet, 2.3).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.base import FieldInfo
from connectors.errors import Gone, Misfit
from connectors.salesforce.errors import TABLE

#: A describe is kept this long, seconds. Chosen: shorter than a night's run, long enough that a run of many windows asks once.
KEPT_FOR_S = 600
#: The cursor field, best first (sheet, 2.6). LastModifiedDate misses changes by automated processes; CreatedDate misses every change.
STAMPS = ("SystemModstamp", "LastModifiedDate", "CreatedDate")
#: Objects the Bulk API cannot query (sheet, 4.2).
NO_BULK = frozenset(
    {
        "casestatus",
        "contractstatus",
        "orderstatus",
        "taskstatus",
        "taskpriority",
        "solutionstatus",
        "partnerrole",
        "acceptedeventrelation",
        "declinedeventrelation",
        "undecidedeventrelation",
        "eventwhorelation",
        "taskwhorelation",
        "recentlyviewed",
        "attachedcontentnote",
        "quotetemplaterichtextdata",
        "assettokenevent",
    }
)
_TYPES = {
    "double": "number", "int": "number", "long": "number", "currency": "number", "percent": "number", "string": "text", "textarea": "text",
    "email": "text", "phone": "text", "url": "text", "picklist": "picklist", "multipicklist": "multipicklist", "date": "date",
    "datetime": "datetime", "boolean": "checkbox", "reference": "lookup", "id": "lookup",
}  # fmt: skip


@dataclass(frozen=True)
class SObject:
    """One object as described to this user."""

    name: str
    fields: Mapping[str, FieldInfo]  # lower-case name
    parents: Mapping[str, tuple[str, ...]]  # lower-case relationship name -> objects it may point to
    relationships: Mapping[str, str]  # lower-case relationship name -> its API spelling
    unique_keys: frozenset[str]  # lower-case fields that are External ID and Unique
    createable: bool
    updateable: bool

    @property
    def stamp(self) -> str:
        """The field that says when a record changed."""
        found = next((s for s in STAMPS if s.lower() in self.fields), None)
        if found is None:
            raise Misfit(f"{self.name} has no field that says when a record changed.", remedy="An admin must map another object.")
        return found

    def has(self, field: str) -> bool:
        return field.lower() in self.fields


@dataclass(frozen=True)
class Resolved:
    """A field path of a mapping, found in the org. `api` is its API spelling."""

    asked: str
    api: str
    info: FieldInfo


class Objects:
    """Describes, kept for a while. `fetch(object)` makes the call and raises Gone or Misfit where there is no such object."""

    def __init__(self, fetch: Callable[[str], Mapping[str, Any]], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch, self._clock = fetch, clock
        self._kept: dict[str, tuple[float, SObject]] = {}

    def get(self, name: str) -> SObject:
        """The object; Misfit if it is gone or hidden."""
        kept = self._kept.get(name.lower())
        if kept is not None and self._clock() - kept[0] < KEPT_FOR_S:
            return kept[1]
        try:
            found = read_describe(self._fetch(name))
        except Gone as error:
            rule = TABLE["INVALID_TYPE"]
            raise Misfit(
                rule.text.format(object=name, fields="", message=""), remedy=rule.remedy, code="INVALID_TYPE", status=error.status
            ) from error
        self._kept[name.lower()] = (self._clock(), found)
        return found

    def forget(self) -> None:
        """Describe anew: the schema changed under us."""
        self._kept.clear()

    def resolve(self, object_name: str, path: str) -> Resolved | None:
        """A field path like `Order.Contract.Notice_On__c`, followed over its relationships; null where a part is gone or hidden.

        A relationship to several objects (`Owner`, `What`) is followed to the first that has the rest of the path.
        """
        *steps, field = path.split(".")
        places: list[tuple[SObject, str]] = [(self.get(object_name), "")]
        for step in steps:
            places = [
                (parent, f"{prefix}{here.relationships[step.lower()]}.")
                for here, prefix in places
                for target in here.parents.get(step.lower(), ())
                if (parent := self._known(target)) is not None
            ]
        for here, prefix in places:
            info = here.fields.get(field.lower())
            if info is not None:
                return Resolved(path, prefix + info.name, info)
        return None

    def _known(self, name: str) -> SObject | None:
        try:
            return self.get(name)
        except Misfit:
            return None


def read_describe(body: Mapping[str, Any]) -> SObject:
    """A describe answer, cut to what is used."""
    infos, parents, relationships = {}, {}, {}
    keys = frozenset(raw["name"].lower() for raw in body["fields"] if raw.get("externalId") and raw.get("unique"))
    for raw in body["fields"]:
        info = _field(raw)
        infos[info.name.lower()] = info
        relationship = raw.get("relationshipName")
        if relationship and raw.get("referenceTo"):
            parents[relationship.lower()] = tuple(raw["referenceTo"])
            relationships[relationship.lower()] = relationship
    return SObject(body["name"], infos, parents, relationships, keys, bool(body.get("createable")), bool(body.get("updateable")))


def _field(raw: Mapping[str, Any]) -> FieldInfo:
    kind = _TYPES.get(raw["type"], "other")
    number = kind == "number"
    whole = raw["type"] in ("int", "long")
    precision: int | None = (raw.get("digits") or 18) if whole else raw.get("precision") or None
    scale: int | None = 0 if whole else raw.get("scale")
    return FieldInfo(
        name=raw["name"],
        type=kind,
        length=(raw.get("length") or None) if kind in ("text", "picklist", "multipicklist", "lookup") else None,
        precision=precision if number else None,
        scale=scale if number else None,
        picklist=tuple(v["value"] for v in raw.get("picklistValues") or () if v.get("active")),
        restricted=bool(raw.get("restrictedPicklist")),
        updateable=bool(raw.get("updateable")),
        createable=bool(raw.get("createable")),
        calculated=bool(raw.get("calculated")),
    )
