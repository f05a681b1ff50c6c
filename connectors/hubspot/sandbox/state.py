"""The account's state: one SQLite file for records and schema, one beside it for clock, settings, tokens and faults."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import orjson

from connectors.hubspot.sandbox.definitions import Property, full_options, make_body, stamps, standard
from connectors.hubspot.sandbox.errors import HubSpotError
from connectors.hubspot.sandbox.side import Side
from connectors.hubspot.sandbox.types import STANDARD, ObjectType
from connectors.hubspot.sandbox.values import iso
from connectors.sandbox_kit.store import Database, Params

if TYPE_CHECKING:
    import sqlite3

    from connectors.hubspot.sandbox.faults import Faults

JSON = dict[str, Any]
PORTAL = 48_000_123
FIRST_ID = 25_340_000_000
DDL = """
CREATE TABLE IF NOT EXISTS state (version INTEGER, next_id INTEGER);
CREATE TABLE IF NOT EXISTS object (type TEXT, id INTEGER, props TEXT NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL,
  archived INTEGER NOT NULL DEFAULT 0, visible REAL NOT NULL DEFAULT 0, PRIMARY KEY (type, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS object_updated ON object (type, archived, updated);
CREATE INDEX IF NOT EXISTS object_visible ON object (visible) WHERE visible > 0;
CREATE INDEX IF NOT EXISTS object_archived ON object (type, id) WHERE archived > 0;
CREATE TABLE IF NOT EXISTS old (type TEXT, id INTEGER, props TEXT, created INTEGER, updated INTEGER, since REAL, until REAL);
CREATE INDEX IF NOT EXISTS old_key ON old (type, id);
CREATE TABLE IF NOT EXISTS history (type TEXT, id INTEGER, name TEXT, value TEXT, at INTEGER, source TEXT, source_id TEXT, label TEXT, user INTEGER);
CREATE INDEX IF NOT EXISTS history_key ON history (type, id, name);
CREATE TABLE IF NOT EXISTS uniq (type TEXT, name TEXT, value TEXT, id INTEGER, PRIMARY KEY (type, name, value)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alias (type TEXT, id INTEGER, survivor INTEGER, PRIMARY KEY (type, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS assoc (from_type TEXT, from_id INTEGER, to_type TEXT, to_id INTEGER, category TEXT, type_id INTEGER, at REAL,
  PRIMARY KEY (from_type, from_id, to_type, to_id, category, type_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS label (from_type TEXT, to_type TEXT, category TEXT, type_id INTEGER, name TEXT, label TEXT);
CREATE TABLE IF NOT EXISTS property (type TEXT, name TEXT, body TEXT, archived_at TEXT, visible REAL, PRIMARY KEY (type, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS grp (type TEXT, name TEXT, body TEXT, PRIMARY KEY (type, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS custom_type (id TEXT PRIMARY KEY, name TEXT, body TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owner (id INTEGER PRIMARY KEY, body TEXT, archived INTEGER);
CREATE TABLE IF NOT EXISTS pipeline (type TEXT, id TEXT, body TEXT, PRIMARY KEY (type, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subscription (id INTEGER PRIMARY KEY, app TEXT, event TEXT, property TEXT, active INTEGER, created TEXT);
CREATE TABLE IF NOT EXISTS hook (app TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rule (type TEXT, name TEXT, body TEXT);
CREATE TABLE IF NOT EXISTS import_job (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT, errors TEXT, due REAL);
CREATE TABLE IF NOT EXISTS export_job (id INTEGER PRIMARY KEY AUTOINCREMENT, secret TEXT UNIQUE, csv TEXT, created REAL, due REAL, until REAL);
CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT, attempt INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0)
"""


class State:
    """Opens (and on first use creates) an account. Safe under several threads and processes that share the file.

    Owners, pipelines, an app and its tokens exist from the start; there are no records.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.db = Database(path, on_rollback=self._forget, prepare=_functions)
        self.side = Side(f"{path}-side")
        self._lock = threading.Lock()
        self._types: tuple[int, dict[str, ObjectType]] = (-1, {})
        self._props: tuple[int, dict[str, dict[str, Property]]] = (-1, {})
        self.db.script(DDL)
        with self.db.transaction():
            if self.db.one("SELECT 1 FROM state") is None:
                self.db.write("INSERT INTO state VALUES (1, ?)", (FIRST_ID,))
                from connectors.hubspot.sandbox.account import create_account

                create_account(self)
        from connectors.hubspot.sandbox.faults import Faults

        self.faults: Faults = Faults(self.side.db)

    # -- database -------------------------------------------------------------------------------------------------

    def read(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.db.read(sql, params)

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """The write lock; a savepoint inside another transaction."""
        return self.db.transaction()

    def close(self) -> None:
        """Closes the calling thread's connections."""
        self.db.close()
        self.side.db.close()

    def new_ids(self, count: int) -> list[int]:
        """Record ids: growing over all types, with gaps."""
        with self.transaction():
            row = self.db.one("SELECT next_id FROM state")
            first = int(row[0]) if row else FIRST_ID
            self.db.write("UPDATE state SET next_id = ?", (first + 3 * count,))
        return [first + 3 * number for number in range(count)]

    # -- clock and settings ---------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The sandbox clock (UTC)."""
        return self.side.now()

    def now_ms(self) -> int:
        """The sandbox clock in epoch milliseconds."""
        return int(self.side.now().timestamp() * 1000)

    def today(self) -> str:
        """The date in the account's time zone."""
        return self.now().astimezone(ZoneInfo(self.setting("timezone"))).date().isoformat()

    def setting(self, key: str) -> Any:
        """A setting, or its default."""
        return self.side.setting(key)

    # -- schema ---------------------------------------------------------------------------------------------------

    def version(self) -> int:
        """Grows with every change of types and properties."""
        row = self.db.one("SELECT version FROM state")
        return int(row[0]) if row else 0

    def bump(self) -> None:
        """Says that types or properties changed."""
        self.db.write("UPDATE state SET version = version + 1")

    def _forget(self) -> None:
        self._types = (-1, {})
        self._props = (-1, {})

    def types(self) -> dict[str, ObjectType]:
        """Every type under each of its names in lower case."""
        version = self.version()
        found = self._types
        if found[0] != version:
            names: dict[str, ObjectType] = {}
            for kind in [*STANDARD, *self._custom()]:
                if kind.id == "0-136" and not self.setting("leads"):
                    continue
                for name in (kind.id, kind.plural, kind.singular, kind.fully_qualified, kind.plural.replace("_", " ")):
                    if name:
                        names[name.lower()] = kind
            found = (version, names)
            self._types = found
        return found[1]

    def _custom(self) -> Iterable[ObjectType]:
        for type_id, name, text in self.read("SELECT id, name, body FROM custom_type ORDER BY id"):
            body = orjson.loads(text)
            yield ObjectType(
                type_id, name, name, search=tuple(dict.fromkeys([*body.get("searchableProperties", []), "hs_createdate", "hs_lastmodifieddate",
                "hs_object_id"])), read_scope="crm.objects.custom.read", write_scope="crm.objects.custom.write", mergeable=True,
                required=tuple(body.get("requiredProperties", [])), custom=True, fully_qualified=body["fullyQualifiedName"],
            )  # fmt: skip

    def type(self, name: str) -> ObjectType:
        """A type by plural, singular, number or fully-qualified name; raises the vendor's 400."""
        found = self.types().get(name.lower())
        if found is None:
            raise HubSpotError(400, f"Unable to infer object type from: {name}", None)
        return found

    def properties(self, kind: ObjectType) -> dict[str, Property]:
        """Live definitions of a type by name, sorted as the API lists them."""
        version = self.version()
        found = self._props
        if found[0] != version:
            found = (version, {})
            self._props = found
        cache = found[1]
        if kind.id not in cache:
            cache[kind.id] = self._load(kind)
        return cache[kind.id]

    def _load(self, kind: ObjectType) -> dict[str, Property]:
        found = dict(standard().get(kind.id) or {item.name: item for item in stamps(kind)})
        for name, text, archived_at, visible in self.read("SELECT name, body, archived_at, visible FROM property WHERE type = ?", (kind.id,)):
            body = orjson.loads(text)
            if archived_at is None:
                base = found.get(name)
                unique = bool(body.get("hasUniqueValue"))
                found[name] = replace(base, body=body) if base else Property(body, unique=unique, visible=float(visible or 0))
            else:
                found.pop(name, None)
        return dict(sorted(found.items()))

    def outside_options(self, item: Property) -> list[str]:
        """Values of an enumeration whose options are owners, pipelines or stages."""
        if item.source == "owner":
            return [str(row[0]) for row in self.read("SELECT id FROM owner WHERE archived = 0")]
        kind = next((kind for kind in STANDARD if f"{kind.singular.replace('_', '')}information" == item.body["groupName"]), None)
        pipelines = [orjson.loads(row[0]) for row in self.read("SELECT body FROM pipeline WHERE type = ?", (kind.id if kind else "",))]
        if item.source == "pipeline":
            return [pipeline["id"] for pipeline in pipelines]
        return [stage["id"] for pipeline in pipelines for stage in pipeline["stages"]]

    def define(self, kind: ObjectType, body: JSON, *, delay: float | None = None) -> JSON:
        """Creates (or restores) a property without checks and returns its JSON; writable after the property delay."""
        wait = float(self.setting("property_delay_seconds")) if delay is None else delay
        visible = self.now().timestamp() + wait if wait else 0.0
        made = make_body(
            body["name"], str(body.get("label") or body["name"]), body["type"], body["fieldType"], body["groupName"],
            options=full_options(body.get("options") or []),
            unique=bool(body.get("hasUniqueValue")), standard=False,
        )  # fmt: skip
        stamp = iso(self.now_ms())
        keys = ("description", "displayOrder", "hidden", "formField", "calculationFormula", "referencedObjectType", "showCurrencySymbol")
        made |= {"createdAt": stamp, "updatedAt": stamp, "createdUserId": "1", "updatedUserId": "1"}
        made |= {key: body[key] for key in keys if body.get(key) is not None}
        if made["fieldType"] == "calculation_equation":
            made |= {"calculated": True}
            made["modificationMetadata"] |= {"readOnlyValue": True}
        with self.transaction():
            self.db.write("INSERT OR REPLACE INTO property VALUES (?, ?, ?, NULL, ?)", (kind.id, made["name"], orjson.dumps(made).decode(), visible))
            self.bump()
        return made


def _functions(connection: sqlite3.Connection) -> None:
    from connectors.hubspot.sandbox.tokens import has_token

    connection.create_function("hs_token", 2, has_token, deterministic=True)
