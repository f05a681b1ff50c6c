"""Reading records and their JSON shape (reference: section 2.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from connectors.hubspot.sandbox.errors import HubSpotError, resource_not_found
from connectors.hubspot.sandbox.types import ObjectType
from connectors.hubspot.sandbox.values import iso

if TYPE_CHECKING:
    from connectors.hubspot.sandbox.state import State

JSON = dict[str, Any]
CHUNK = 500
EMAIL_CONTENT = ("hs_email_subject", "hs_email_text", "hs_email_headers")  # need the scope sales-email-read
ROLLUPS = {"num_associated_contacts": "0-1", "num_associated_deals": "0-3"}


@dataclass(slots=True)
class Record:
    """One record. Stamps in epoch milliseconds; `archived` is when it was archived, 0 while it lives. `props` has set values only, without stamps."""

    id: int
    props: dict[str, str]
    created: int
    updated: int
    archived: int = 0

    def value(self, kind: ObjectType, name: str) -> str | None:
        """A property's text, stamps and id included; None when unset."""
        if name == "hs_object_id":
            return str(self.id)
        if name == kind.modified:
            return iso(self.updated)
        if name == kind.created:
            return iso(self.created)
        return self.props.get(name)


def record_of(row: Sequence[Any]) -> Record:
    """A record from `id, props, created, updated, archived`."""
    return Record(row[0], orjson.loads(row[1]), row[2], row[3], row[4])


def fetch(state: State, kind: ObjectType, ids: Iterable[int]) -> dict[int, Record]:
    """Records by the ids asked for; ids that a merge replaced lead to the survivor. Missing ids are left out, archived records are not."""
    wanted = list(dict.fromkeys(ids))
    aliases = resolve(state, kind, wanted)
    real = list(dict.fromkeys(aliases.get(key, key) for key in wanted))
    found: dict[int, Record] = {}
    for start in range(0, len(real), CHUNK):
        part = real[start : start + CHUNK]
        marks = ",".join("?" * len(part))
        rows = state.read(f"SELECT id, props, created, updated, archived FROM object WHERE type = ? AND id IN ({marks})", (kind.id, *part))
        found.update((row[0], record_of(row)) for row in rows)
    return {key: found[aliases.get(key, key)] for key in wanted if aliases.get(key, key) in found}


def resolve(state: State, kind: ObjectType, ids: Sequence[int]) -> dict[int, int]:
    """Ids that merges replaced, with the survivor's id."""
    found: dict[int, int] = {}
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        marks = ",".join("?" * len(part))
        found.update((row[0], row[1]) for row in state.read(f"SELECT id, survivor FROM alias WHERE type = ? AND id IN ({marks})", (kind.id, *part)))
    return found


def number_of(text: str) -> int | None:
    """A record id as a number, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def check_unique(state: State, kind: ObjectType, name: str, verb: str) -> None:
    """Raises 400 unless the property identifies records."""
    from connectors.hubspot.sandbox.state import PORTAL

    item = state.properties(kind).get(name)
    if item is None or not item.unique:
        text = f"Unable to perform {verb} by non-unique {kind.id} property {name} in portal ID {PORTAL}"
        raise HubSpotError(400, text, "VALIDATION_ERROR", context={"propertyName": [name]})


def ids_by(state: State, kind: ObjectType, name: str, values: Sequence[str]) -> dict[str, int]:
    """Record ids by the value of a unique property (lower case for e-mail addresses)."""
    item = state.properties(kind).get(name)
    wanted = {value: value.lower() if item is not None and item.email else value for value in values}
    keys = list(dict.fromkeys(wanted.values()))
    marks = ",".join("?" * len(keys))
    rows = state.read(f"SELECT value, id FROM uniq WHERE type = ? AND name = ? AND value IN ({marks})", (kind.id, name, *keys))
    found = {str(value): int(record_id) for value, record_id in rows}
    return {value: found[key] for value, key in wanted.items() if key in found}


def find_one(state: State, kind: ObjectType, text: str, id_property: str, *, archived: bool = False) -> Record:
    """The record of a single call; raises the vendor's 404."""
    if id_property and id_property != "hs_object_id":
        check_unique(state, kind, id_property, "read")
        number = ids_by(state, kind, id_property, [text]).get(text)
    else:
        number = number_of(text)
        if number is None:
            raise HubSpotError(404, "Object not found.  objectId are usually numeric.", "OBJECT_NOT_FOUND", context={"id": [text]})
    found = fetch(state, kind, [number]).get(number) if number is not None else None
    if found is None or bool(found.archived) != archived:
        raise resource_not_found()
    return found


class Renderer:
    """Turns records into JSON for one request."""

    def __init__(self, state: State, kind: ObjectType, names: Sequence[str] = (), history: Sequence[str] = (), token: JSON | None = None) -> None:
        from connectors.hubspot.sandbox.state import PORTAL

        self.state = state
        self.kind = kind
        known = state.properties(kind)
        asked = names if names else kind.search
        always = ("hs_object_id", kind.created, kind.modified)
        self.names = sorted({name.lower() for name in (*asked, *always, *history) if name.lower() in known})
        self.history = [name for name in dict.fromkeys(history) if name in known]
        self.url = f"https://app.hubspot.com/contacts/{PORTAL}/record/{kind.id}/"
        granted = (token or {}).get("scopes")
        self.redacted = EMAIL_CONTENT if kind.id == "0-49" and granted is not None and "sales-email-read" not in granted else ()
        self.rollups = [name for name in self.names if name in ROLLUPS]
        self.delay = float(state.setting("rollup_delay_seconds")) if self.rollups else 0.0

    def __call__(self, record: Record) -> JSON:
        kind = self.kind
        created, updated = iso(record.created), iso(record.updated)
        stamps = {"hs_object_id": str(record.id), kind.created: created, kind.modified: updated}
        values = record.props | stamps
        for name in self.redacted:
            if name in values:
                values[name] = ""
        for name in self.rollups:
            values[name] = str(self._count(record.id, ROLLUPS[name]))
        body: JSON = {"id": str(record.id), "properties": {name: values.get(name) for name in self.names}}
        if self.history:
            body["propertiesWithHistory"] = {name: self._history(record, name) for name in self.history}
        body |= {"createdAt": created, "updatedAt": updated, "archived": bool(record.archived)}
        if record.archived:
            body["archivedAt"] = iso(record.archived)
        body["url"] = f"{self.url}{record.id}"
        return body

    def _count(self, record_id: int, other: str) -> int:
        until = self.state.now().timestamp() - self.delay
        row = self.state.db.one(
            "SELECT count(DISTINCT to_id) FROM assoc WHERE from_type = ? AND from_id = ? AND to_type = ? AND at <= ?",
            (self.kind.id, record_id, other, until),
        )
        return int(row[0]) if row else 0

    def _history(self, record: Record, name: str) -> list[JSON]:
        rows = self.state.read(
            "SELECT value, at, source, source_id, label, user FROM history WHERE type = ? AND id = ? AND name = ? ORDER BY rowid DESC LIMIT ?",
            (self.kind.id, record.id, name, int(self.state.setting("history_limit"))),
        )
        if not rows and (value := record.value(self.kind, name)) is not None:
            rows = [(value, record.created, "IMPORT", None, None, None)]
        found = []
        for value, at, source, source_id, label, user in rows:
            entry = {"value": value or "", "timestamp": iso(at), "sourceType": source, "sourceId": source_id, "sourceLabel": label}
            found.append({key: part for key, part in (entry | {"updatedByUserId": user}).items() if part is not None})
        return found
