"""Late-committing transactions: the client has its answer, other readers see the rows only some seconds later, with the older stamps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from connectors.salesforce.sandbox.state import State

Statement = tuple[str, list[Sequence[Any]]]


def postpone(state: State, statements: list[Statement], seconds: float) -> None:
    """Keeps the statements of a write until the sandbox clock has moved on by `seconds`; must run in a transaction."""
    due = state.now().timestamp() + seconds
    state.db.write("INSERT INTO sb_late VALUES (?, ?)", (due, orjson.dumps(statements).decode()))
    state.db.write("UPDATE sb_state SET late_due = min(coalesce(late_due, ?), ?)", (due, due))


def apply_due(state: State) -> None:
    """Runs every postponed write whose time has come."""
    with state.transaction() as connection:
        now = state.now().timestamp()
        for row_id, text in state.read("SELECT rowid, statements FROM sb_late WHERE due <= ? ORDER BY due, rowid", (now,)):
            for sql, rows in orjson.loads(text):
                connection.executemany(sql, rows)
            connection.execute("DELETE FROM sb_late WHERE rowid = ?", (row_id,))
        connection.execute("UPDATE sb_state SET late_due = (SELECT min(due) FROM sb_late)")
