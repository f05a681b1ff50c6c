"""Which objects and fields the org has: the standard tables plus what was created through the API, cached by a version number."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from connectors.salesforce.sandbox.custom import field_from_metadata, object_from_metadata
from connectors.salesforce.sandbox.errors import SalesforceError
from connectors.salesforce.sandbox.ids import base62, make_id
from connectors.salesforce.sandbox.schema import ChildRelationship, FieldDef, ObjectDef, column_type, quote
from connectors.salesforce.sandbox.standard_objects import standard_objects
from connectors.sandbox_kit.store import Database

DDL = """
CREATE TABLE IF NOT EXISTS sb_object (name TEXT PRIMARY KEY COLLATE NOCASE, id TEXT, key_prefix TEXT, metadata TEXT);
CREATE TABLE IF NOT EXISTS sb_field (
    object TEXT COLLATE NOCASE, name TEXT COLLATE NOCASE, id TEXT, position INTEGER, metadata TEXT, PRIMARY KEY (object, name)
)
"""
ACTIVITY = ("Task", "Event")
NextNumber = Callable[[str], int]


def load(db: Database) -> dict[str, ObjectDef]:
    """Every object by lower-case name, children linked. Formulas come last, since they may read any other field."""
    found = standard_objects()
    for name, object_id, prefix, metadata in db.read("SELECT name, id, key_prefix, metadata FROM sb_object ORDER BY key_prefix"):
        found[name.lower()] = object_from_metadata(name, orjson.loads(metadata), prefix, object_id)
    rows = [(row[0], row[1], row[2], orjson.loads(row[3])) for row in db.read("SELECT object, name, id, metadata FROM sb_field ORDER BY position")]
    for target, name, field_id, metadata in sorted(rows, key=lambda row: bool(row[3].get("formula"))):
        owner = found.get(target.lower())
        if owner is None:
            continue
        item = _restore(owner, name, metadata, field_id, lambda text: found.get(text.lower()))
        found[target.lower()] = replace(owner, fields={**owner.fields, item.key: item})
    return _link(found)


def _restore(owner: ObjectDef, name: str, metadata: dict[str, Any], field_id: str, lookup: Callable[[str], ObjectDef | None]) -> FieldDef:
    try:
        return field_from_metadata(owner, name, metadata, field_id, lookup)
    except SalesforceError:
        # A field that a formula reads was deleted since: the formula reads as null from then on.
        plain = field_from_metadata(owner, name, {**metadata, "formula": "TODAY()"}, field_id, lookup)
        return replace(plain, sql="NULL", formula=str(metadata.get("formula")))


def _link(found: dict[str, ObjectDef]) -> dict[str, ObjectDef]:
    children: dict[str, list[ChildRelationship]] = {key: [] for key in found}
    for item in found.values():
        for column in item.fields.values():
            for target in column.reference_to:
                if target.lower() in children:
                    link = ChildRelationship(item.name, column.name, column.child_relationship, column.cascade_delete, column.restricted_delete)
                    children[target.lower()].append(link)
    return {key: replace(item, children=tuple(children[key])) for key, item in found.items()}


def create_table(db: Database, item: ObjectDef) -> None:
    """The table of an object with its indexes."""
    columns = ", ".join(column_ddl(column) for column in item.fields.values() if column.sql is None)
    db.write(f"CREATE TABLE IF NOT EXISTS {quote(item.name)} ({columns})")
    for column in item.fields.values():
        if column.indexed and column.sql is None:
            create_index(db, item.name, column)


def create_index(db: Database, object_name: str, column: FieldDef) -> None:
    """An index of a lookup, an external id or a cursor column."""
    second = ', "Id"' if column.key == "systemmodstamp" else ""
    db.write(f"CREATE INDEX IF NOT EXISTS {quote(index_name(object_name, column.name))} ON {quote(object_name)} ({quote(column.name)}{second})")


def index_name(object_name: str, field_name: str) -> str:
    """The name of the index of a field."""
    return f"ix_{object_name}_{field_name}"


def column_ddl(column: FieldDef) -> str:
    """One column; a generated column is computed by SQLite on read."""
    text = f"{quote(column.name)} {column_type(column)}"
    if column.generated is None:
        return text
    return f"{quote(column.name)} {column_type(column).split(' NOT NULL')[0]} GENERATED ALWAYS AS ({column.generated}) VIRTUAL"


def targets(full_name: str, objects: dict[str, ObjectDef]) -> tuple[list[ObjectDef], str]:
    """The objects that get a field named `Object.Field__c`; a field of Activity belongs to Task and Event alike."""
    owner, _, name = full_name.partition(".")
    if not name:
        raise SalesforceError("INVALID_FULL_NAME", f"FullName {full_name!r} must be Object.Field__c", fields=("FullName",))
    if owner.lower() in ("task", "event"):
        raise SalesforceError(
            "FIELD_INTEGRITY_EXCEPTION", f"Entity {owner} does not accept custom fields; define them on Activity", fields=("FullName",)
        )
    names = ACTIVITY if owner.lower() == "activity" else (owner,)
    found = [objects[item.lower()] for item in names if item.lower() in objects]
    if not found:
        raise SalesforceError("INVALID_TYPE", f"sObject type '{owner}' is not supported.", fields=("FullName",))
    return found, name


def add_field(db: Database, objects: dict[str, ObjectDef], full_name: str, metadata: dict[str, Any], number: int) -> FieldDef:
    """Creates a custom field on its object(s); must run in a transaction. The caller bumps the catalogue version."""
    owners, name = targets(full_name, objects)
    field_id = make_id("00N", number)
    item = None
    for owner in owners:
        if owner.get(name) is not None:
            message = f"There is already a field named {metadata.get('label')} on {owner.label}."
            raise SalesforceError("DUPLICATE_DEVELOPER_NAME", message, fields=("DeveloperName",))
        item = field_from_metadata(owner, name, metadata, field_id, lambda text: objects.get(text.lower()))
        _check_targets(item, objects)
        db.write("INSERT INTO sb_field VALUES (?, ?, ?, ?, ?)", (owner.name, item.name, field_id, number, orjson.dumps(metadata).decode()))
        if item.sql is None:
            db.write(f"ALTER TABLE {quote(owner.name)} ADD COLUMN {column_ddl(item)}")
            if item.indexed:
                create_index(db, owner.name, item)
    assert item is not None
    return item


def _check_targets(item: FieldDef, objects: dict[str, ObjectDef]) -> None:
    for target in item.reference_to:
        if target.lower() not in objects:
            raise SalesforceError(
                "FIELD_INTEGRITY_EXCEPTION", f"referenceTo value of '{target}' does not resolve to a valid sObject type", fields=("referenceTo",)
            )


def change_field(db: Database, objects: dict[str, ObjectDef], owner: ObjectDef, item: FieldDef, metadata: dict[str, Any]) -> FieldDef:
    """Replaces a custom field's Metadata (label, length, picklist values …); a change of storage type is refused."""
    changed = field_from_metadata(owner, item.name, metadata, item.field_id or "", lambda text: objects.get(text.lower()))
    if column_type(changed) != column_type(item) or (changed.sql is None) != (item.sql is None):
        raise SalesforceError(
            "FIELD_INTEGRITY_EXCEPTION", f"Cannot change the type of {item.name} from {item.type} to {changed.type} here", fields=("type",)
        )
    names = [name for name in ACTIVITY if objects[name.lower()].get(item.name) is not None] if owner.name in ACTIVITY else [owner.name]
    for name in names:
        db.write("UPDATE sb_field SET metadata = ? WHERE object = ? AND name = ?", (orjson.dumps(metadata).decode(), name, item.name))
        if changed.indexed:
            create_index(db, name, changed)
    return changed


def drop_field(db: Database, owner: ObjectDef, item: FieldDef) -> None:
    """Deletes a custom field with its data."""
    for name in ACTIVITY if owner.name in ACTIVITY else (owner.name,):
        removed = db.write("DELETE FROM sb_field WHERE object = ? AND name = ?", (name, item.name))
        if removed and item.sql is None:
            db.write(f"DROP INDEX IF EXISTS {quote(index_name(name, item.name))}")
            db.write(f"ALTER TABLE {quote(name)} DROP COLUMN {quote(item.name)}")
        db.write('DELETE FROM "FieldPermissions" WHERE "Field" = ?', (f"{name}.{item.name}",))


def add_object(db: Database, objects: dict[str, ObjectDef], name: str, metadata: dict[str, Any], next_number: NextNumber) -> ObjectDef:
    """Creates a custom object with its table; must run in a transaction. The caller bumps the catalogue version."""
    if name.lower() in objects:
        raise SalesforceError("DUPLICATE_DEVELOPER_NAME", f"The object name you provided {name} is already in use.", fields=("fullName",))
    if not re.fullmatch(r"\w+__c", name):
        raise SalesforceError("INVALID_FULL_NAME", f"fullName {name!r} must end with __c", fields=("fullName",))
    prefix = "a" + base62(next_number("prefix") - 1, 2)
    item = object_from_metadata(name, metadata, prefix, make_id("01I", next_number("CustomObject")))
    db.write("INSERT INTO sb_object VALUES (?, ?, ?, ?)", (item.name, item.object_id, prefix, orjson.dumps(metadata).decode()))
    create_table(db, item)
    return item
