"""Turns sent rows into column values: which fields may be written, converted values, lookups by external id, required fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connectors.salesforce.sandbox.coerce import Converter, RowRefused, converter, refuse
from connectors.salesforce.sandbox.errors import RowError, no_such_column
from connectors.salesforce.sandbox.ids import to18
from connectors.salesforce.sandbox.schema import FieldDef, ObjectDef, quote

if TYPE_CHECKING:
    from connectors.salesforce.sandbox.state import State, User

NOT_WRITABLE = (
    "Unable to create/update fields: {0}. Please check the security settings of this field and verify that it is read/write for your profile or "
    "permission set."
)


@dataclass(slots=True)
class Row:
    """One row on its way in: position in the call, record id, values by lower-case field name, and why it was refused."""

    position: int
    id: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    error: RowError | None = None
    insert: bool = False
    key: Any = None


Step = tuple[str, Callable[[Any], tuple[str, Any]]]


class Planner:
    """Prepares the rows of one call. The work per set of row keys is done once."""

    def __init__(self, state: State, item: ObjectDef, user: User, source: str, external: FieldDef | None) -> None:
        self.state = state
        self.item = item
        self.user = user
        self.source = source
        self.external = external
        self.visible = state.visible_fields(item.name, user)
        self.editable = state.editable_fields(item.name, user)
        self._plans: dict[tuple[tuple[str, ...], bool], list[tuple[str, FieldDef, Converter | None]] | RowError] = {}
        self._converters: dict[str, Converter] = {}
        self._needed = [
            (key, column) for key, column in item.fields.items()
            if not column.nillable and column.createable and column.type != "boolean" and (external is None or key != external.key)
        ]  # fmt: skip
        self._foreign: dict[tuple[str, str, Any], str | None] = {}

    def convert(self, item: FieldDef, value: Any) -> Any:
        """One value of one field as stored."""
        found = self._converters.get(item.key)
        if found is None:
            found = self._converters[item.key] = converter(item, self.source)
        return found(value)

    def fill(self, row: Row, sent: dict[str, Any]) -> None:
        """Sets `row.values` (or `row.error`) from what was sent; `row.insert` decides between createable and updateable."""
        plan = self._plan(tuple(sent), row.insert)
        if isinstance(plan, RowError):
            row.error = plan
            return
        csv = self.source == "csv"
        values = row.values
        try:
            for name, item, convert in plan:
                value = sent[name]
                if csv:
                    if value == "" or value is None:
                        continue  # an empty cell leaves the field as it is
                    if value == "#N/A":
                        value = None
                values[item.key] = convert(value) if convert is not None else self._parent(item, value)
            self._required(row)
        except RowRefused as refused:
            row.error = refused.error

    def _plan(self, names: tuple[str, ...], insert: bool) -> list[tuple[str, FieldDef, Converter | None]] | RowError:
        found = self._plans.get((names, insert))
        if found is None:
            found = self._plans[(names, insert)] = self._build(names, insert)
        return found

    def _build(self, names: tuple[str, ...], insert: bool) -> list[tuple[str, FieldDef, Converter | None]] | RowError:
        plan: list[tuple[str, FieldDef, Converter | None]] = []
        refused: list[str] = []
        for name in names:
            lower = name.lower()
            if lower in ("attributes", "id") or (self.external is not None and lower == self.external.key):
                continue
            item = self.item.get(name)
            by_parent = None if item is not None else self.item.parent(name)
            target = item or by_parent
            if target is None:
                return no_such_column(name, self.item.name)
            if not self._writable(target, insert):
                refused.append(target.name)
            elif by_parent is not None:
                plan.append((name, target, None))
            else:
                self._converters.setdefault(target.key, converter(target, self.source))
                plan.append((name, target, self._converters[target.key]))
        if refused:
            return RowError("INVALID_FIELD_FOR_INSERT_UPDATE", NOT_WRITABLE.format(", ".join(refused)), tuple(refused))
        return plan

    def _writable(self, target: FieldDef, insert: bool) -> bool:
        allowed = target.createable if insert else target.updateable
        return allowed and not target.calculated and target.key in self.visible and target.key in self.editable

    def _parent(self, item: FieldDef, value: Any) -> str | None:
        """A lookup named by its parent's external id: `"Account": {"Ext__c": "42"}`."""
        if value is None:
            return None
        pairs = [(key, entry) for key, entry in value.items() if key.lower() != "attributes"] if isinstance(value, dict) else []
        if len(pairs) != 1:
            raise refuse("INVALID_FIELD", f"{item.relationship_name}: exactly one external id field must be given", item.name)
        name, wanted = pairs[0]
        kind = value.get("attributes", {}).get("type") if isinstance(value.get("attributes"), dict) else None
        target = self.state.object(str(kind or item.reference_to[0]))
        column = target.get(name)
        if column is None or not (column.id_lookup or column.external_id or column.type == "id"):
            raise refuse(
                "INVALID_FIELD", f"Field name provided, {name} does not match an External ID, Salesforce Id, or indexed field for {target.name}"
            )
        key = (target.name, column.key, wanted)
        if key not in self._foreign:
            sql = f'SELECT "Id" FROM {quote(target.name)} WHERE {quote(column.name)} = ? AND "IsDeleted" = 0 LIMIT 2'
            found = self.state.read(sql, (converter(column, "csv")(wanted),))
            self._foreign[key] = found[0][0] if len(found) == 1 else None
        if self._foreign[key] is None:
            raise refuse("INVALID_FIELD", f"Foreign key external ID: {wanted} not found for field {column.name} in entity {target.name}")
        return self._foreign[key]

    def _required(self, row: Row) -> None:
        missing = [
            item.name for key, item in self._needed
            if (key in row.values and row.values[key] is None) or (row.insert and key not in row.values and item.default is None)
        ]  # fmt: skip
        if missing:
            raise refuse("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", *missing)

    def record_id(self, sent: dict[str, Any]) -> str | None:
        """The row's own id in 18 characters; raises `RowRefused` when it is not one of this object's ids."""
        raw = next((value for key, value in sent.items() if key.lower() == "id"), None)
        if raw is None or raw == "":
            raise refuse("MISSING_ARGUMENT", "Id not specified in an update call")
        found = to18(raw) if isinstance(raw, str) else None
        if found is None or found[:3] != self.item.key_prefix:
            raise refuse("MALFORMED_ID", f"{self.item.label} ID: id value of incorrect type: {raw}", "Id")
        return found


def external_field(item: ObjectDef, name: str) -> FieldDef | None:
    """The field an upsert may match on (an external id, an id-lookup field or Id), or None."""
    found = item.get(name)
    if found is None or not (found.external_id or found.id_lookup or found.type == "id"):
        return None
    return found


def chunks(values: Sequence[Any], size: int = 500) -> list[Sequence[Any]]:
    """Parts of at most `size` for IN lists."""
    return [values[start : start + size] for start in range(0, len(values), size)]


def marks(count: int) -> str:
    """`?, ?, ?`."""
    return ", ".join("?" * count)
