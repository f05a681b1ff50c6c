"""Fast seeding: rows go in without validation; ids, stamps and what the platform derives are made here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from connectors.salesforce.sandbox.autonumber import render
from connectors.salesforce.sandbox.hooks import AFTER_SAVE, PERMISSION_OBJECTS
from connectors.salesforce.sandbox.ids import make_id
from connectors.salesforce.sandbox.schema import ObjectDef, quote

if TYPE_CHECKING:
    from connectors.salesforce.sandbox.state import State


def bulk_load(state: State, object_name: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Inserts rows keyed by API name (any case) with stored values; an explicit Id, CreatedDate, SystemModstamp … is kept. Ids in order."""
    item = state.object(object_name)
    if not rows:
        return []
    with state.transaction() as connection:
        first = state.next_number(item.name, len(rows))
        base = _base(state, item)
        layouts: dict[tuple[str, ...], _Layout] = {}
        ids: list[str] = []
        for number, row in enumerate(rows, first):
            names = tuple(row)
            layout = layouts.get(names)
            if layout is None:
                layout = layouts[names] = _Layout(item, names, base)
            ids.append(layout.add(row, number))
        for layout in layouts.values():
            connection.executemany(layout.sql, layout.rows)
        for statement in AFTER_SAVE.get(item.name, ()):
            connection.executemany(statement.replace("{where}", '"Id" = ?'), [(record_id,) for record_id in ids])
        if item.name in PERMISSION_OBJECTS:
            state.bump()
    return ids


def _base(state: State, item: ObjectDef) -> dict[str, Any]:
    """What a row gets when it does not say: the stamps of now, defaults of fields."""
    stamp, admin = state.stamp(), state.system.id
    base: dict[str, Any] = {"createddate": stamp, "createdbyid": admin}
    for key, column in item.fields.items():
        if column.default is not None and column.sql is None and column.generated is None:
            base[key] = admin if column.default == "@user" else column.default
    return base


# What is left out follows what is given: modified = created.
_FOLLOW = {"lastmodifieddate": "createddate", "lastmodifiedbyid": "createdbyid", "systemmodstamp": "lastmodifieddate"}


class _Layout:
    """Rows with the same keys: their columns are worked out once."""

    def __init__(self, item: ObjectDef, names: tuple[str, ...], base: dict[str, Any]) -> None:
        given = [name.lower() for name in names]
        unknown = [name for name in given if name not in item.fields]
        if unknown:
            raise ValueError(f"{item.name} has no field {unknown[0]!r}")
        constants = {key: value for key, value in base.items() if key not in given}
        follow = {key: source for key, source in _FOLLOW.items() if key not in given}
        autos = {key: column.auto_number for key, column in item.fields.items() if column.auto_number and key not in given}
        self.prefix = item.key_prefix
        self.id_at = given.index("id") if "id" in given else None
        self.constants = tuple(constants.values())
        self.autos = [pattern or "{0}" for pattern in autos.values()]
        self.named = bool(item.custom and "name" not in given and not item.fields["name"].auto_number)
        keys = [*given, *constants]
        self.follow = []
        for key, source in follow.items():
            self.follow.append(keys.index(source))
            keys.append(key)
        keys += [*autos, *(["name"] if self.named else []), *([] if self.id_at is not None else ["id"])]
        columns = ", ".join(quote(item.fields[key].name) for key in keys)
        self.sql = f"INSERT INTO {quote(item.name)} ({columns}) VALUES ({', '.join('?' * len(keys))})"
        self.rows: list[list[Any]] = []

    def add(self, row: dict[str, Any], number: int) -> str:
        """Takes a row in; its id."""
        values = [*row.values(), *self.constants]
        for source in self.follow:
            values.append(values[source])
        values += [render(pattern, number) for pattern in self.autos]
        record_id = str(values[self.id_at]) if self.id_at is not None else make_id(self.prefix, number)
        if self.named:
            values.append(record_id[:15])
        if self.id_at is None:
            values.append(record_id)
        self.rows.append(values)
        return record_id
