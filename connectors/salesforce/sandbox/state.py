"""The org's state: one SQLite file for records and schema, one beside it for counters, sessions, locators and faults."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from connectors.salesforce.sandbox import catalog, permissions
from connectors.salesforce.sandbox.errors import RowResult, SalesforceError
from connectors.salesforce.sandbox.schema import FieldDef, ObjectDef
from connectors.salesforce.sandbox.side import Side
from connectors.sandbox_kit.store import Database, Params

if TYPE_CHECKING:
    from connectors.salesforce.sandbox.faults import Faults

DDL = """
CREATE TABLE IF NOT EXISTS sb_state (version INTEGER, schema_changed REAL, clock_offset REAL, clock_frozen REAL, late_due REAL);
CREATE TABLE IF NOT EXISTS sb_sequence (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sb_user (id TEXT PRIMARY KEY, alias TEXT UNIQUE, password TEXT, security_token TEXT, is_admin INTEGER, api_only INTEGER);
CREATE TABLE IF NOT EXISTS sb_app (client_id TEXT PRIMARY KEY, client_secret TEXT, name TEXT, run_as TEXT, public_key TEXT, private_key TEXT);
CREATE TABLE IF NOT EXISTS sb_purged (object TEXT, id TEXT, deleted TEXT);
CREATE TABLE IF NOT EXISTS sb_late (due REAL, statements TEXT)
"""
LOCATOR_LIFE = 2 * 24 * 3600.0
STAMP = "%Y-%m-%dT%H:%M:%S.000+0000"


@dataclass(frozen=True, slots=True)
class User:
    """Who acts. `system` sees and may do everything: it stands for the sandbox itself and never logs in."""

    id: str
    username: str
    name: str
    is_admin: bool = False
    api_only: bool = False
    system: bool = False


def _unsupported(name: str) -> SalesforceError:
    message = (
        f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the entity "
        "name. Please reference your WSDL or the describe call for the appropriate names."
    )
    return SalesforceError("INVALID_TYPE", message)


class State:
    """Opens (and on first use creates) an org. Safe under several threads and processes that share the file.

    Users, organisation and apps exist from the start; there are no other records.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.db = Database(path, prepare=self._prepare, on_rollback=self._forget)
        self._lock = threading.Lock()
        self._cache: tuple[int, dict[str, ObjectDef]] = (-1, {})
        self._grants: dict[tuple[int, str], permissions.Grants] = {}
        self.side = Side(f"{path}-side")
        self._create()
        from connectors.salesforce.sandbox.faults import Faults

        self.faults: Faults = Faults(self.side)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.create_function("sf_today", 0, lambda: self.today().isoformat())
        connection.create_function("sf_now", 0, lambda: self.now().strftime(STAMP))

    def _create(self) -> None:
        self.db.script(DDL)
        self.db.script(catalog.DDL)
        with self.db.transaction():
            if self.db.one("SELECT 1 FROM sb_state") is None:
                self.db.write("INSERT INTO sb_state VALUES (1, ?, 0, NULL, NULL)", (datetime.now(UTC).timestamp(),))
                for item in catalog.load(self.db).values():
                    catalog.create_table(self.db, item)
                from connectors.salesforce.sandbox.org import create_org

                create_org(self)

    # -- schema -----------------------------------------------------------------------------------------------------

    @property
    def objects(self) -> dict[str, ObjectDef]:
        """Every object by lower-case name, as of now."""
        version = self.version()
        cached = self._cache
        if cached[0] != version:
            with self._lock:
                cached = (version, catalog.load(self.db))
                self._cache = cached
                self._grants.clear()
        return cached[1]

    def object(self, name: str) -> ObjectDef:
        """An object by API name in any case; raises INVALID_TYPE (400)."""
        found = self.objects.get(name.lower())
        if found is None:
            raise _unsupported(name)
        return found

    def object_for(self, name: str, user: User) -> ObjectDef:
        """Like `object`, and INVALID_TYPE too when the user may not see the object."""
        found = self.object(name)
        if not self.grants(user).can_read(found):
            raise _unsupported(name)
        return found

    def by_prefix(self, record_id: str) -> ObjectDef | None:
        """The object a record id belongs to, by its key prefix."""
        return next((item for item in self.objects.values() if item.key_prefix == record_id[:3]), None)

    def version(self) -> int:
        """Changes whenever an object, a field or a permission changes."""
        row = self.db.one("SELECT version FROM sb_state")
        return int(row[0]) if row else 0

    def bump(self) -> None:
        """Tells every process to read schema and permissions again, and clients that describe answers have changed."""
        self.db.write("UPDATE sb_state SET version = version + 1, schema_changed = ?", (self.now().timestamp(),))

    def _forget(self) -> None:
        # A rolled-back version number may come again with another meaning.
        self._cache = (-1, {})
        self._grants.clear()

    def schema_changed(self) -> datetime:
        """When an object, a field or a permission last changed (describe's Last-Modified)."""
        row = self.db.one("SELECT schema_changed FROM sb_state")
        return datetime.fromtimestamp(row[0] if row else 0, UTC)

    # -- permissions --------------------------------------------------------------------------------------------------

    def grants(self, user: User) -> permissions.Grants:
        """What a user may see and edit, cached until schema or permissions change."""
        objects = self.objects
        key = (self._cache[0], user.id)
        found = self._grants.get(key)
        if found is None:
            found = permissions.load(self.db, objects, user)
            self._grants[key] = found
        return found

    def visible_fields(self, object_name: str, user: User) -> frozenset[str]:
        """Lower-case names of the fields the user may read; the others do not exist for that user."""
        return self.grants(user).visible(self.object(object_name))

    def editable_fields(self, object_name: str, user: User) -> frozenset[str]:
        """Lower-case names of the fields field-level security lets the user change (calculated and read-only ones included)."""
        return self.grants(user).editable(self.object(object_name))

    # -- data -------------------------------------------------------------------------------------------------------

    def read(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        """All rows of an SQLite query."""
        return self.db.read(sql, params)

    def stream(self, sql: str, params: Params = (), size: int = 2000) -> Iterator[list[tuple[Any, ...]]]:
        """Rows of an SQLite query in lists of `size`."""
        return self.db.stream(sql, params, size)

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """An immediate write transaction; nested calls join it as savepoints."""
        return self.db.transaction()

    def write_records(
        self, object_name: str, operation: str, rows: Sequence[dict[str, Any]], *, external_id_field: str | None = None, user: User,
        source: str = "json", all_or_none: bool = False, update_only: bool = False,
    ) -> list[RowResult]:  # fmt: skip
        """Validates and writes rows (`insert`, `update`, `upsert`, `delete`, `hardDelete`) and returns one result per row, in order.

        `source="json"`: a value of the wrong JSON type refuses the whole call (JSON_PARSER_ERROR); `"csv"`: values are text and refuse their row.
        In csv the empty string means "leave" and `#N/A` means null. Raises `SalesforceError` only for what concerns the whole call.
        """
        from connectors.salesforce.sandbox.writes import write_records

        return write_records(
            self, object_name, operation, rows, external_id_field=external_id_field, user=user, source=source, all_or_none=all_or_none,
            update_only=update_only,
        )  # fmt: skip

    def bulk_load(self, object_name: str, rows: Sequence[dict[str, Any]]) -> list[str]:
        """Inserts rows without validation, fast; makes ids and stamps unless given. Returns the ids in order."""
        from connectors.salesforce.sandbox.bulk_load import bulk_load

        return bulk_load(self, object_name, rows)

    def next_number(self, name: str, count: int = 1) -> int:
        """The first of `count` fresh numbers of a sequence; joins the open transaction."""
        with self.transaction():
            self.db.write("INSERT INTO sb_sequence VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n", (name, count))
            row = self.db.one("SELECT n FROM sb_sequence WHERE name = ?", (name,))
        return int(row[0]) - count + 1 if row else 1

    def create_field(self, full_name: str, metadata: dict[str, Any]) -> FieldDef:
        """Creates the custom field `Object.Field__c`; nobody sees it until a permission set grants it."""
        with self.transaction():
            item = catalog.add_field(self.db, self.objects, full_name, metadata, self.next_number("CustomField"))
            self.bump()
        return item

    def create_object(self, name: str, metadata: dict[str, Any]) -> ObjectDef:
        """Creates a custom object and the fields its Metadata lists inline."""
        inline = metadata.get("fields") or []
        plain = {key: value for key, value in metadata.items() if key != "fields"}
        with self.transaction():
            item = catalog.add_object(self.db, self.objects, name, plain, self.next_number)
            self.bump()
            for entry in inline if isinstance(inline, list) else [inline]:
                self.create_field(f"{name}.{entry['fullName']}", {key: value for key, value in entry.items() if key != "fullName"})
        return item

    def change_field(self, object_name: str, field_name: str, metadata: dict[str, Any]) -> FieldDef:
        """Replaces the Metadata of a custom field."""
        owner = self.object(object_name)
        item = owner.get(field_name)
        if item is None or not item.custom:
            raise SalesforceError("INVALID_FIELD", f"No custom field {field_name!r} on {owner.name}")
        with self.transaction():
            changed = catalog.change_field(self.db, self.objects, owner, item, metadata)
            self.bump()
        return changed

    def drop_field(self, object_name: str, field_name: str) -> None:
        """Deletes a custom field and its values."""
        owner = self.object(object_name)
        item = owner.get(field_name)
        if item is None or not item.custom:
            raise SalesforceError("INVALID_FIELD", f"No custom field {field_name!r} on {owner.name}")
        with self.transaction():
            catalog.drop_field(self.db, owner, item)
            self.bump()

    # -- users --------------------------------------------------------------------------------------------------------

    def user(self, key: str) -> User:
        """A user by id, alias (`admin`, `integration`, `csm`, `sales`) or user name; raises INVALID_CROSS_REFERENCE_KEY."""
        row = self.db.one(
            'SELECT u."Id", u."Username", u."Name", coalesce(s.is_admin, 0), coalesce(s.api_only, 0) FROM "User" u '
            'LEFT JOIN sb_user s ON s.id = u."Id" WHERE u."Id" = ? OR u."Username" = ? OR s.alias = ?',
            (key, key, key),
        )
        if row is None:
            raise SalesforceError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        return User(row[0], row[1], row[2] or row[1], bool(row[3]), bool(row[4]))

    @property
    def system(self) -> User:
        """The sandbox itself; its writes carry the admin's id."""
        admin = self.user("admin")
        return User(admin.id, "system", "System", is_admin=True, system=True)

    # -- clock and counters ---------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The sandbox clock (UTC): real time, shifted or stopped through the control API."""
        row = self.db.one("SELECT clock_offset, clock_frozen FROM sb_state")
        offset, frozen = row if row else (0.0, None)
        if frozen is not None:
            return datetime.fromtimestamp(frozen, UTC)
        return datetime.now(UTC) + timedelta(seconds=offset)

    def stamp(self) -> str:
        """`now()` as records store it: whole seconds."""
        return self.now().strftime(STAMP)

    def today(self) -> date:
        """The date in the org's time zone."""
        return self.now().astimezone(ZoneInfo(self.timezone)).date()

    @property
    def timezone(self) -> str:
        """The org's (and every user's) time zone name."""
        return self.side.setting("timezone", "Asia/Tokyo")

    def set_clock(self, *, now: datetime | None, frozen: bool = False) -> None:
        """Sets the sandbox clock (running on from there, or stopped); None returns to real time."""
        if now is None:
            self.db.write("UPDATE sb_state SET clock_offset = 0, clock_frozen = NULL")
        elif frozen:
            self.db.write("UPDATE sb_state SET clock_frozen = ?", (now.timestamp(),))
        else:
            self.db.write("UPDATE sb_state SET clock_offset = ?, clock_frozen = NULL", ((now - datetime.now(UTC)).total_seconds(),))

    def advance_clock(self, seconds: float) -> None:
        """Moves the sandbox clock on (or back)."""
        self.db.write("UPDATE sb_state SET clock_offset = clock_offset + ?, clock_frozen = clock_frozen + ?", (seconds, seconds))

    def count(self, kind: str, n: int = 1) -> None:
        """Adds to a statistics counter."""
        self.side.count(kind, n)

    def save_locator(self, user: User, payload: dict[str, Any]) -> str:
        """Keeps a query cursor and returns its `01g…` id."""
        return self.side.save_locator(user.id, payload, self.now().timestamp())

    def load_locator(self, locator: str, user: User) -> dict[str, Any]:
        """A kept cursor (two days); raises INVALID_QUERY_LOCATOR."""
        found = self.side.load_locator(locator, user.id, self.now().timestamp(), LOCATOR_LIFE)
        if found is None:
            raise SalesforceError("INVALID_QUERY_LOCATOR", "invalid query locator")
        return found

    def settle(self) -> None:
        """Makes writes of late-committing transactions visible once their time has come."""
        row = self.db.one("SELECT late_due FROM sb_state")
        if row is not None and row[0] is not None and self.now().timestamp() >= row[0]:
            from connectors.salesforce.sandbox.late import apply_due

            apply_due(self)

    def close(self) -> None:
        """Closes the calling thread's connections."""
        self.db.close()
        self.side.db.close()
