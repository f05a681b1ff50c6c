"""What a name in a statement means: fields, parent paths, polymorphic names and functions → SQLite expressions.

One scope is one FROM. A field the user may not read does not exist here, so hidden and unknown fields fail alike (INVALID_FIELD).
"""

from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from typing import Protocol

from connectors.salesforce.sandbox.schema import FieldDef, ObjectDef, column_sql, quote
from connectors.salesforce.sandbox.soql import At, Call, Expr, Field, Literal, SoqlError, drawn

MAX_PARENTS = 5  # child-to-parent levels of one path (vendor limit)
_CUSTOM_FIELD = (
    " If you are attempting to use a custom field, be sure to append the '__c' after the custom field name."
    " Please reference your WSDL or the describe call for the appropriate names."
)
CUSTOM_RELATIONSHIP = (
    " If you are attempting to use a custom relationship, be sure to append the '__r' after the custom relationship name."
    " Please reference your WSDL or the describe call for the appropriate names."
)
_CUSTOM_OBJECT = (
    " If you are attempting to use a custom object, be sure to append the '__c' after the entity name."
    " Please reference your WSDL or the describe call for the appropriate names."
)

# The fields of the Name object that a polymorphic relationship shows, whatever it points at
NAME_OBJECT = {
    item.key: item
    for item in (
        FieldDef("Id", "id", "ID"), FieldDef("Name", "string", "Name"), FieldDef("Type", "picklist", "Type"),
        FieldDef("FirstName", "string", "First Name"), FieldDef("LastName", "string", "Last Name"), FieldDef("Email", "email", "Email"),
        FieldDef("Phone", "phone", "Phone"), FieldDef("Title", "string", "Title"), FieldDef("Username", "string", "Username"),
        FieldDef("Alias", "string", "Alias"), FieldDef("IsActive", "boolean", "Active"),
    )
}  # fmt: skip
AGGREGATES = {"count", "count_distinct", "sum", "avg", "min", "max"}
# strftime formats over UTC, as the vendor computes date functions unless convertTimezone() is used
_DATE_PARTS = {
    "calendar_year": "CAST(strftime('%Y', {0}) AS INTEGER)",
    "calendar_quarter": "(CAST(strftime('%m', {0}) AS INTEGER) + 2) / 3",
    "calendar_month": "CAST(strftime('%m', {0}) AS INTEGER)",
    "day_in_month": "CAST(strftime('%d', {0}) AS INTEGER)",
    "day_in_week": "CAST(strftime('%w', {0}) AS INTEGER) + 1",
    "day_in_year": "CAST(strftime('%j', {0}) AS INTEGER)",
    "week_in_month": "(CAST(strftime('%d', {0}) AS INTEGER) + 6) / 7",
    "week_in_year": "(CAST(strftime('%j', {0}) AS INTEGER) + 6) / 7",
    "hour_in_day": "CAST(strftime('%H', {0}) AS INTEGER)",
    "day_only": "substr({0}, 1, 10)",
}


class Catalogue(Protocol):
    """What the compiler needs to know of the org and the running user."""

    @property
    def today(self) -> date:
        """The date where the user is."""

    @property
    def zone(self) -> tzinfo:
        """The user's time zone."""

    @property
    def fiscal_start(self) -> int:
        """The month (1-12) the fiscal year begins with."""

    @property
    def user_id(self) -> str:
        """The running user's record id."""

    def object(self, name: str) -> ObjectDef | None:
        """The queryable object of that name in any case, or None."""

    def visible(self, item: ObjectDef) -> frozenset[str]:
        """Lower-case names of the fields the user may read."""


@dataclass(frozen=True, slots=True)
class Value:
    """One SQLite expression: its describe type, and where it appears in a row (`parents` are canonical relationship names)."""

    sql: str
    type: str
    field: FieldDef | None
    parents: tuple[str, ...] = ()
    name: str = ""
    nullable: bool = True
    aggregate: bool = False
    label: bool = False
    format: bool = False


@dataclass(slots=True)
class Parent:
    """A joined parent record: `id_sql` reads its id; `target` is None where the type is only known per record."""

    id_sql: str
    target: ObjectDef | None
    field: FieldDef
    alias: str


@dataclass(slots=True)
class Compilation:
    """Shared by all scopes of one statement: the text for error drawings, and a counter for table aliases."""

    catalogue: Catalogue
    text: str
    all_rows: bool
    aliases: int = 0

    def alias(self) -> str:
        self.aliases += 1
        return f"t{self.aliases}"

    def error(self, code: str, at: At, message: str) -> SoqlError:
        return SoqlError(code, drawn(self.text, at, message))

    def object(self, name: str, at: At) -> ObjectDef:
        found = self.catalogue.object(name)
        if found is None or not found.queryable:
            raise self.error("INVALID_TYPE", at, f"sObject type '{name}' is not supported.{_CUSTOM_OBJECT}")
        return found


@dataclass(slots=True)
class Scope:
    """One FROM: its object, its table alias and the parents joined so far."""

    compilation: Compilation
    object: ObjectDef
    alias: str
    prefixes: frozenset[str]
    parents: dict[tuple[str, ...], Parent] = field(default_factory=dict)
    joins: list[str] = field(default_factory=list)

    def value(self, expr: Expr) -> Value:
        """The SQLite expression of a field path or function call; SoqlError where the vendor refuses it."""
        return self._call(expr) if isinstance(expr, Call) else self.path(expr)

    def path(self, item: Field) -> Value:
        names = item.path
        if len(names) > 1 and names[0].lower() in self.prefixes and self.object.parent(names[0]) is None:
            names = names[1:]
        if len(names) - 1 > MAX_PARENTS:
            raise self.compilation.error("INVALID_FIELD", item.at, f"more than {MAX_PARENTS} levels of parent relationships in '{item.text}'")
        if len(names) == 1:
            return self._column(self.object, self.alias, names[0], (), item.at)
        parent, canonical = self.join(names[:-1], item.at)
        if parent.target is None:
            return self._name_column(parent, names[-1], canonical, item.at)
        return self._column(parent.target, parent.alias, names[-1], canonical, item.at)

    def join(self, relationships: tuple[str, ...], at: At) -> tuple[Parent, tuple[str, ...]]:
        """The parent at the end of a relationship path, joined at most once."""
        current, alias = self.object, self.alias
        canonical: tuple[str, ...] = ()
        parent: Parent | None = None
        for relationship in relationships:
            reference = current.parent(relationship) if parent is None or parent.target is not None else None
            if reference is None or reference.key not in self.compilation.catalogue.visible(current):
                message = f"Didn't understand relationship '{relationship}' in field path.{CUSTOM_RELATIONSHIP}"
                raise self.compilation.error("INVALID_FIELD", at, message)
            canonical = (*canonical, str(reference.relationship_name))
            parent = self.parents.get(canonical) or self._add_parent(canonical, reference, alias)
            if parent.target is not None:
                current, alias = parent.target, parent.alias
        assert parent is not None
        return parent, canonical

    def _add_parent(self, canonical: tuple[str, ...], reference: FieldDef, alias: str) -> Parent:
        column = column_sql(reference, alias)
        if reference.polymorphic:
            parent = Parent(column, None, reference, alias)
        else:
            target = self.compilation.catalogue.object(reference.reference_to[0])
            if target is None:
                raise SoqlError("INVALID_TYPE", f"sObject type '{reference.reference_to[0]}' is not supported.")
            joined = self.compilation.alias()
            self.joins.append(f'LEFT JOIN {quote(target.name)} AS {joined} ON {joined}."Id" = {column}')
            parent = Parent(f'{joined}."Id"', target, reference, joined)
        self.parents[canonical] = parent
        return parent

    def _column(self, owner: ObjectDef, alias: str, name: str, parents: tuple[str, ...], at: At) -> Value:
        found = owner.get(name)
        if found is None or found.key not in self.compilation.catalogue.visible(owner):
            raise self.compilation.error("INVALID_FIELD", at, f"No such column '{name}' on entity '{owner.name}'.{_CUSTOM_FIELD}")
        nullable = bool(parents) or (found.nillable and not (found.system or found.type in ("id", "boolean")))
        sql = column_sql(found, alias)
        return Value(folded(sql) if found.sql is not None and found.is_text else sql, found.type, found, parents, found.name, nullable)

    def _name_column(self, parent: Parent, name: str, parents: tuple[str, ...], at: At) -> Value:
        shown = NAME_OBJECT.get(name.lower())
        if shown is None:
            raise self.compilation.error("INVALID_FIELD", at, f"No such column '{name}' on entity 'Name'.{_CUSTOM_FIELD}")
        sql = self.typed_column(parent, shown.name)
        return Value(folded(sql) if shown.is_text else sql, shown.type, shown, parents, shown.name)

    def typed_column(self, parent: Parent, name: str, only: str | None = None) -> str:
        """A field of a polymorphic parent, chosen by the key prefix of the id; NULL where the target lacks it."""
        if name == "Id":
            return parent.id_sql
        arms = []
        for target_name in parent.field.reference_to:
            target = self.compilation.catalogue.object(target_name)
            if target is None or (only is not None and target.name.lower() != only.lower()):
                continue
            found = target.name_field if name == "Name" else target.get(name)
            alias = self.compilation.alias()
            if name == "Type" and only is None:
                chosen = text_sql(target.name)
            elif found is not None and found.key in self.compilation.catalogue.visible(target):
                chosen = f'(SELECT {column_sql(found, alias)} FROM {quote(target.name)} AS {alias} WHERE {alias}."Id" = {parent.id_sql})'
            else:
                continue
            arms.append(f"WHEN {text_sql(target.key_prefix)} THEN {chosen}")
        return f"CASE substr({parent.id_sql}, 1, 3) {' '.join(arms)} END" if arms else "NULL"

    def _call(self, call: Call) -> Value:
        name = call.name.lower()
        if name in AGGREGATES:
            return self._aggregate(call, name)
        if name in _DATE_PARTS:
            return self._date_part(call, name)
        if name in ("tolabel", "format", "convertcurrency", "converttimezone"):
            return self._presented(call, name)
        raise SoqlError("MALFORMED_QUERY", "unexpected token: '('")

    def _argument(self, call: Call) -> Value:
        if len(call.args) != 1 or isinstance(call.args[0], Literal):
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{')' if not call.args else '('}'")
        return self.value(call.args[0])

    def _aggregate(self, call: Call, name: str) -> Value:
        if name == "count" and not call.args:
            return Value("count(*)", "int", None, (), "", False, aggregate=True)
        inner = self._argument(call)
        numeric = inner.type in ("int", "double", "currency", "percent")
        refused = (name in ("sum", "avg") and not numeric) or (name in ("min", "max") and inner.type == "boolean")
        if inner.aggregate or refused or (inner.field is not None and not inner.field.filterable):
            message = f"field {inner.name} does not support aggregate operator {call.name.upper()}"
            raise self.compilation.error("MALFORMED_QUERY", call.at, message)
        if name in ("count", "count_distinct"):
            distinct = "DISTINCT " if name == "count_distinct" else ""
            return Value(f"count({distinct}{inner.sql})", "int", None, (), "", False, aggregate=True)
        kind = "double" if name == "avg" else inner.type
        return Value(f"{name}({inner.sql})", kind, inner.field, (), "", aggregate=True)

    def _date_part(self, call: Call, name: str) -> Value:
        inner = self._argument(call)
        if inner.type not in ("date", "datetime"):
            message = f"field {inner.name} does not support the date function {call.name.upper()}"
            raise self.compilation.error("MALFORMED_QUERY", call.at, message)
        kind = "date" if name == "day_only" else "int"
        # SQLite reads no +0000 offset: the stored text is UTC up to its 19th character
        moment = inner.sql if name == "day_only" else f"substr({inner.sql}, 1, 19)"
        return Value(f"({_DATE_PARTS[name].format(moment)})", kind, None, (), "", True)

    def _presented(self, call: Call, name: str) -> Value:
        inner = self._argument(call)
        if name == "converttimezone":
            seconds = self.offset_seconds()
            moved = f"strftime('%Y-%m-%dT%H:%M:%S.000+0000', substr({inner.sql}, 1, 19), '{seconds:+d} seconds')"
            return Value(moved, inner.type, inner.field, inner.parents, inner.name)
        if name == "tolabel":
            return Value(_label_sql(inner), "string", inner.field, inner.parents, inner.name, label=True)
        if name == "format":
            return Value(inner.sql, inner.type, inner.field, inner.parents, inner.name, aggregate=inner.aggregate, format=True)
        if inner.type != "currency":
            raise self.compilation.error("MALFORMED_QUERY", call.at, f"field {inner.name} is not a currency field")
        return inner  # one currency: the record's currency is the user's

    def offset_seconds(self) -> int:
        """The running user's offset from UTC today (what convertTimezone adds)."""
        today = self.compilation.catalogue.today
        offset = datetime(today.year, today.month, today.day, 12, tzinfo=self.compilation.catalogue.zone).utcoffset()
        return int(offset.total_seconds()) if offset is not None else 0


def folded(sql: str) -> str:
    """A text expression that compares without case, as columns do; an expression has no column's collation."""
    return f"({sql}) COLLATE NOCASE"


def text_sql(text: str) -> str:
    """An SQLite string literal."""
    return "'" + text.replace("'", "''") + "'"


def _label_sql(value: Value) -> str:
    entries = value.field.picklist if value.field is not None else ()
    arms = [f"WHEN {text_sql(entry.value)} THEN {text_sql(entry.label)}" for entry in entries if entry.label != entry.value]
    return folded(f"CASE {value.sql} {' '.join(arms)} ELSE {value.sql} END") if arms else value.sql
