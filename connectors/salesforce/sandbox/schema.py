"""What an object and a field are: the one description that describe, SOQL, writes and Bulk all read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

NUMBER_TYPES = frozenset({"double", "currency", "percent"})
TEXT_TYPES = frozenset({"string", "textarea", "picklist", "multipicklist", "email", "phone", "url", "combobox", "encryptedstring"})
SOAP_TYPES = {
    "id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int", "double": "xsd:double", "currency": "xsd:double",
    "percent": "xsd:double", "date": "xsd:date", "datetime": "xsd:dateTime", "time": "xsd:time",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PicklistValue:
    """One picklist entry; `value` is the API name that is stored, `label` what people see."""

    value: str
    label: str
    active: bool = True
    default: bool = False


@dataclass(frozen=True, slots=True)
class FieldDef:
    """One field as describe reports it. `length` counts characters; `precision`/`scale` decimal digits.

    `sql` is the SQLite expression of a field that has no column of its own (`{t}` = quoted table alias); it is evaluated on each read.
    `generated` is the SQLite expression of a virtual column, computed by SQLite from the same row; such a field is read like a column.
    """

    name: str
    type: str
    label: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    calculated: bool = False
    formula: str | None = None
    sql: str | None = None
    generated: str | None = None
    custom: bool = False
    unique: bool = False
    external_id: bool = False
    id_lookup: bool = False
    case_sensitive: bool = False
    reference_to: tuple[str, ...] = ()
    relationship_name: str | None = None
    child_relationship: str | None = None
    cascade_delete: bool = False
    restricted_delete: bool = False
    picklist: tuple[PicklistValue, ...] = ()
    restricted: bool = False
    default: str | float | bool | None = None
    name_field: bool = False
    permissionable: bool = True
    auto_number: str | None = None
    long_text: bool = False
    system: bool = False
    indexed: bool = False
    help: str | None = None
    field_id: str | None = None
    developer_metadata: Mapping[str, object] | None = None

    @property
    def key(self) -> str:
        """The lower-case name: API names are case-insensitive."""
        return self.name.lower()

    @property
    def is_number(self) -> bool:
        """Stored as REAL."""
        return self.type in NUMBER_TYPES

    @property
    def is_text(self) -> bool:
        """Stored as TEXT and written as a JSON string."""
        return self.type in TEXT_TYPES

    @property
    def polymorphic(self) -> bool:
        """A reference that may point at several objects (What, Who, an Owner that may be a queue)."""
        return len(self.reference_to) > 1

    @property
    def filterable(self) -> bool:
        """Long and rich text can be neither filtered, sorted nor grouped."""
        return not self.long_text

    @property
    def writable(self) -> bool:
        """May appear in an update."""
        return self.updateable and not self.calculated


@dataclass(frozen=True, slots=True)
class ChildRelationship:
    """A lookup seen from its parent: `SELECT (… FROM relationship_name) FROM parent`."""

    child: str
    field: str
    relationship_name: str | None
    cascade_delete: bool
    restricted_delete: bool


@dataclass(frozen=True, slots=True)
class ObjectDef:
    """One object. `fields` is keyed by lower-case name in describe order; `children` by lower-case relationship name."""

    name: str
    label: str
    label_plural: str
    key_prefix: str
    custom: bool = False
    custom_setting: bool = False
    fields: Mapping[str, FieldDef] = field(default_factory=dict)
    children: tuple[ChildRelationship, ...] = ()
    queryable: bool = True
    writable: bool = True
    mergeable: bool = False
    bulk_queryable: bool = True
    object_id: str | None = None

    def get(self, name: str) -> FieldDef | None:
        """The field of that name in any case, or None."""
        return self.fields.get(name.lower())

    def parent(self, relationship: str) -> FieldDef | None:
        """The reference field behind a parent relationship name (`Owner`, `Region__r`), or None."""
        wanted = relationship.lower()
        for item in self.fields.values():
            if item.relationship_name and item.relationship_name.lower() == wanted:
                return item
        return None

    def child(self, relationship: str) -> ChildRelationship | None:
        """The child relationship of that name, or None."""
        wanted = relationship.lower()
        for item in self.children:
            if item.relationship_name and item.relationship_name.lower() == wanted:
                return item
        return None

    @property
    def name_field(self) -> FieldDef | None:
        """The field that names a record (Name, CaseNumber, Subject …)."""
        return next((item for item in self.fields.values() if item.name_field), None)


def quote(identifier: str) -> str:
    """An SQLite identifier in double quotes (`Order` and `Case` are keywords)."""
    return '"' + identifier.replace('"', '""') + '"'


def column_sql(item: FieldDef, alias: str) -> str:
    """The SQLite expression that reads a field of the table known as `alias`."""
    if item.sql is not None:
        return "(" + item.sql.replace("{t}", quote(alias)) + ")"
    return f"{quote(alias)}.{quote(item.name)}"


def column_type(item: FieldDef) -> str:
    """The column declaration that stores a field; text compares without case unless the field says otherwise."""
    if item.type == "id":
        return "TEXT PRIMARY KEY NOT NULL"
    if item.type == "boolean":
        return "INTEGER NOT NULL DEFAULT 1" if item.default else "INTEGER NOT NULL DEFAULT 0"
    if item.type == "int":
        return "INTEGER"
    if item.is_number:
        return "REAL"
    if item.is_text and not item.case_sensitive:
        return "TEXT COLLATE NOCASE"
    return "TEXT"


def split_label(name: str) -> str:
    """A readable label from an API name: `AnnualRevenue` → `Annual Revenue`, `OwnerId` → `Owner ID`."""
    base = re.sub(r"__(c|r)$", "", name).replace("_", " ")
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", base)
    return re.sub(r"\bId$", "ID", words)
