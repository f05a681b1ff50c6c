"""Fast seeding: rows go in without validation; ids, stamps and what the platform derives are made here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from connectors.salesforce.sandbox.autonumber import render
from connectors.salesforce.sandbox.hooks import AFTER_SAVE, PERMISSION_OBJECTS
from connectors.salesforce.sandbox.ids import make_id
from connectors.salesforce.sandbox.schema import FieldDef, ObjectDef, quote

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
        autos = [column for column in item.fields.values() if column.auto_number]
        prepared = [_prepare(item, row, base, autos, first + position) for position, row in enumerate(rows)]
        keyed = sorted(range(len(prepared)), key=lambda position: tuple(prepared[position]))
        for names, group in groupby(keyed, key=lambda position: tuple(prepared[position])):
            columns = ", ".join(quote(item.fields[name].name) for name in names)
            sql = f"INSERT INTO {quote(item.name)} ({columns}) VALUES ({', '.join('?' * len(names))})"
            connection.executemany(sql, [tuple(prepared[position].values()) for position in group])
        ids = [str(row["id"]) for row in prepared]
        for statement in AFTER_SAVE.get(item.name, ()):
            connection.executemany(statement.replace("{where}", '"Id" = ?'), [(record_id,) for record_id in ids])
        if item.name in PERMISSION_OBJECTS:
            state.bump()
    return ids


def _base(state: State, item: ObjectDef) -> dict[str, Any]:
    stamp, admin = state.stamp(), state.system.id
    base: dict[str, Any] = {"createddate": stamp, "createdbyid": admin, "lastmodifieddate": None, "lastmodifiedbyid": None, "systemmodstamp": None}
    for key, column in item.fields.items():
        if column.default is not None and column.sql is None and column.generated is None:
            base[key] = admin if column.default == "@user" else column.default
    return base


def _prepare(item: ObjectDef, row: dict[str, Any], base: dict[str, Any], autos: list[FieldDef], number: int) -> dict[str, Any]:
    given = {key.lower(): value for key, value in row.items()}
    unknown = [key for key in given if key not in item.fields]
    if unknown:
        raise ValueError(f"{item.name} has no field {unknown[0]!r} (row {number})")
    full = {"id": make_id(item.key_prefix, number), **base, **given}
    # What is left out follows what is given: modified = created.
    full["lastmodifieddate"] = full["lastmodifieddate"] or full["createddate"]
    full["lastmodifiedbyid"] = full["lastmodifiedbyid"] or full["createdbyid"]
    full["systemmodstamp"] = full["systemmodstamp"] or full["lastmodifieddate"]
    for column in autos:
        if full.get(column.key) is None:
            full[column.key] = render(column.auto_number or "{0}", number)
    if item.custom and full.get("name") is None and not item.fields["name"].auto_number:
        full["name"] = full["id"][:15]
    return dict(sorted(full.items()))
