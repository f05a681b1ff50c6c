"""Checks that need other records: existence, lookups, unique fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from connectors.salesforce.sandbox.errors import RowError
from connectors.salesforce.sandbox.schema import FieldDef, ObjectDef, quote
from connectors.salesforce.sandbox.write_plan import Row, chunks, marks

if TYPE_CHECKING:
    from connectors.salesforce.sandbox.state import State


def deleted_flags(state: State, item: ObjectDef, ids: Iterable[str]) -> dict[str, bool]:
    """Which of the ids exist, and whether they sit in the recycle bin."""
    found: dict[str, bool] = {}
    for part in chunks(list(dict.fromkeys(ids))):
        rows = state.read(f'SELECT "Id", "IsDeleted" FROM {quote(item.name)} WHERE "Id" IN ({marks(len(part))})', tuple(part))
        found.update((row[0], bool(row[1])) for row in rows)
    return found


def check_existing(state: State, item: ObjectDef, rows: list[Row]) -> None:
    """Refuses updates of unknown, deleted and repeated ids."""
    live = [row for row in rows if row.error is None and not row.insert]
    found = deleted_flags(state, item, (row.id for row in live if row.id is not None))
    seen: set[str] = set()
    for row in live:
        assert row.id is not None
        if row.id not in found:
            row.error = RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        elif found[row.id]:
            row.error = RowError("ENTITY_IS_DELETED", "entity is deleted")
        elif row.id in seen:
            row.error = RowError("DUPLICATE_VALUE", f"Duplicate id in list: duplicate id specified: {row.id}", ("Id",))
        seen.add(row.id)


def check_references(state: State, item: ObjectDef, rows: list[Row]) -> None:
    """Refuses lookups to the wrong object, to nothing, or to a deleted record."""
    for key, column in item.fields.items():
        if column.type != "reference":
            continue
        users = [(row, row.values[key]) for row in rows if row.error is None and row.values.get(key) is not None]
        if users:
            _check_column(state, column, users)


def _check_column(state: State, column: FieldDef, users: list[tuple[Row, str]]) -> None:
    targets = {state.object(name).key_prefix: state.object(name) for name in column.reference_to if name.lower() in state.objects}
    found: dict[str, bool] = {}
    for prefix, target in targets.items():
        found.update(deleted_flags(state, target, (value for _, value in users if value[:3] == prefix)))
    for row, value in users:
        if value[:3] not in targets:
            message = f"{column.label}: id value of incorrect type: {value}"
            row.error = RowError("FIELD_INTEGRITY_EXCEPTION", message, (column.name,))
        elif value not in found:
            row.error = RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", (column.name,))
        elif found[value]:
            row.error = RowError("ENTITY_IS_DELETED", "entity is deleted", (column.name,))


def check_unique(state: State, item: ObjectDef, rows: list[Row]) -> None:
    """Refuses values of unique fields that another record, or an earlier row of the call, already has."""
    for key, column in item.fields.items():
        if not column.unique:
            continue
        users = [(row, row.values[key]) for row in rows if row.error is None and row.values.get(key) is not None]
        taken: dict[Any, str | None] = {}
        for part in chunks([value for _, value in users]):
            sql = f'SELECT {quote(column.name)}, "Id" FROM {quote(item.name)} WHERE "IsDeleted" = 0 AND {quote(column.name)} IN ({marks(len(part))})'
            taken.update((_fold(column, value), record_id) for value, record_id in state.read(sql, tuple(part)))
        for row, value in users:
            folded = _fold(column, value)
            if folded in taken and (taken[folded] is None or taken[folded] != row.id):
                message = f"duplicate value found: {column.name} duplicates value on record with id: {taken[folded] or '<unknown>'}"
                row.error = RowError("DUPLICATE_VALUE", message, (column.name,))
            else:
                taken[folded] = row.id


def _fold(column: FieldDef, value: Any) -> Any:
    return value.lower() if isinstance(value, str) and not column.case_sensitive else value
