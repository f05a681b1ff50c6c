"""Putting records into the database: stamps, history, unique values, the delayed search index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from connectors.hubspot.sandbox.records import Record
from connectors.hubspot.sandbox.types import ObjectType

if TYPE_CHECKING:
    from connectors.hubspot.sandbox.routing import Context
    from connectors.hubspot.sandbox.state import State

Changes = dict[str, str | None]


def source_of(context: Context) -> tuple[str, str | None, str | None, int | None]:
    """Source type, source id, label and user of what a request writes, as the history tells them."""
    if context.source != "INTEGRATION":
        return context.source, f"userId:{context.user}" if context.user else None, None, context.user
    return "INTEGRATION", str(context.token.get("app", "")), "scoresync", None


def insert(state: State, kind: ObjectType, records: Sequence[Record], source: tuple[Any, ...] | None, *, lagged: bool = True) -> None:
    """New records; must run in a transaction. `source` None writes no history; seeded records are in the index at once (`lagged` False)."""
    visible = visible_at(state) if lagged else 0.0
    rows = [(kind.id, item.id, orjson.dumps(item.props).decode(), item.created, item.updated, item.archived, visible) for item in records]
    state.db.connection.executemany("INSERT INTO object VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    unique = [name for name, item in state.properties(kind).items() if item.unique]
    keys = [(kind.id, name, record.props[name], record.id) for record in records for name in unique if name in record.props]
    state.db.connection.executemany("INSERT OR REPLACE INTO uniq VALUES (?, ?, ?, ?)", keys)
    if source is not None:
        _history(state, kind, [(item, dict(item.props)) for item in records], source)


def update(state: State, kind: ObjectType, items: Sequence[tuple[Record, Changes]], source: tuple[Any, ...], now: int) -> None:
    """Changes records in place and in the database; must run in a transaction. Changes are texts, None clears."""
    lag = visible_at(state)
    bump_same = bool(state.setting("noop_bumps_modified"))
    unique = [name for name, item in state.properties(kind).items() if item.unique]
    touched = []
    for record, changes in items:
        real = {name: value for name, value in changes.items() if record.props.get(name) != value}
        if not real and not bump_same:
            continue
        for name in unique:
            if name in real:
                _reindex(state, kind, record, name, real[name])
        for name, value in real.items():
            if value is None:
                record.props.pop(name, None)
            else:
                record.props[name] = value
        record.updated = max(now, record.updated)
        touched.append((record, real))
    keep_old(state, kind, [record.id for record, _ in touched], lag)
    rows = [(orjson.dumps(record.props).decode(), record.updated, lag, kind.id, record.id) for record, _ in touched]
    state.db.connection.executemany("UPDATE object SET props = ?, updated = ?, visible = ? WHERE type = ? AND id = ?", rows)
    _history(state, kind, touched, source)


def _reindex(state: State, kind: ObjectType, record: Record, name: str, value: str | None) -> None:
    if name in record.props:
        state.db.write("DELETE FROM uniq WHERE type = ? AND name = ? AND value = ? AND id = ?", (kind.id, name, record.props[name], record.id))
    if value is not None:
        state.db.write("INSERT OR REPLACE INTO uniq VALUES (?, ?, ?, ?)", (kind.id, name, value, record.id))


def _history(state: State, kind: ObjectType, items: Sequence[tuple[Record, Changes]], source: tuple[Any, ...]) -> None:
    rows = [(kind.id, record.id, name, value, record.updated, *source) for record, changes in items for name, value in changes.items()]
    state.db.connection.executemany("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    state.side.count("records_changed", len(items))
    state.side.count("field_writes", len(rows))


def visible_at(state: State) -> float:
    """When the search index shows what is written now; 0 means at once."""
    lag = float(state.setting("index_lag_seconds"))
    return state.now().timestamp() + lag if lag > 0 else 0.0


def keep_old(state: State, kind: ObjectType, ids: Sequence[int], until: float) -> None:
    """Keeps what the index goes on showing until the new version arrives there."""
    if not until:
        return
    state.db.write("DELETE FROM old WHERE until <= ?", (state.now().timestamp(),))
    state.db.connection.executemany(
        "INSERT INTO old SELECT type, id, props, created, updated, visible, ? FROM object WHERE type = ? AND id = ? AND archived = 0",
        [(until, kind.id, record_id) for record_id in ids],
    )
