"""Which lake files exist for whom: the `lake_file` rows.

A run sees what was current at its pin, plus its own files, minus what it retired itself; whatever others add or retire meanwhile is not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, update

from worker.store.ledger import Ledger
from worker.store.tables import lake_file, run, sequence
from worker.store.work import ENDED, LakeFile, Run


@dataclass(frozen=True)
class Entry:
    """One registered lake file. `run_id` is null for a compacted part."""

    id: int
    path: Path  # relative to the lake's root
    rows: int
    bytes: int
    run_id: str | None


def next_sequence(connection: Connection, ledger: Ledger) -> int:
    """The next number of the lake's order of changes. Holds the row until commit, so numbers appear in their order."""
    raised = update(sequence).where(sequence.c.name == "lake").values(value=sequence.c.value + 1).returning(sequence.c.value)
    value = connection.execute(raised).scalar_one_or_none()
    if value is None:  # the first change of all; a second process doing this at the same time waits on the key and then finds it
        connection.execute(ledger.inserts(sequence, [{"name": "lake", "value": 0}])[0])
        value = connection.execute(raised).scalar_one()
    return int(value)


def current_pin(connection: Connection) -> int:
    """Everything committed so far, for a run that starts now."""
    return int(connection.execute(select(func.coalesce(func.max(sequence.c.value), 0)).where(sequence.c.name == "lake")).scalar_one())


def register(connection: Connection, ledger: Ledger, files: Sequence[LakeFile], retire: Sequence[int], run_id: str | None) -> None:
    """Make files visible and retire others, as one change."""
    if not files and not retire:
        return
    number = next_sequence(connection, ledger)
    if files:
        connection.execute(
            lake_file.insert(),
            [{"table_name": f.table, "path": f.path, "rows": f.rows, "bytes": f.bytes, "run_id": run_id, "added_seq": number} for f in files],
        )
    if retire:
        still = and_(lake_file.c.id.in_(list(retire)), lake_file.c.retired_seq.is_(None))
        connection.execute(update(lake_file).where(still).values(retired_seq=number, retired_run=run_id))


def swap(connection: Connection, ledger: Ledger, part: LakeFile, ids: Sequence[int]) -> bool:
    """Put one part in the place of current ones that hold the same rows; False (and no change) if one of them was retired meanwhile."""
    next_sequence(connection, ledger)  # from here on nobody else changes the file set
    current = select(func.count()).where(lake_file.c.id.in_(list(ids)), lake_file.c.retired_seq.is_(None))
    if connection.execute(current).scalar_one() != len(ids):
        return False
    register(connection, ledger, [part], ids, None)
    return True


def entries(ledger: Ledger, table: str, seen_by: Run | None = None) -> list[Entry]:
    """Files of a table, oldest first: those that the run sees, or the current ones."""
    c = lake_file.c
    query = select(c.id, c.path, c.rows, c.bytes, c.run_id).where(c.table_name == table, _visible(seen_by)).order_by(c.id)
    return [Entry(row.id, Path(row.path), row.rows, row.bytes, row.run_id) for row in ledger.rows(query)]


def _visible(seen_by: Run | None) -> ColumnElement[bool]:
    c = lake_file.c
    if seen_by is None:
        return c.retired_seq.is_(None)
    retired_by_others = and_(c.retired_seq > seen_by.pin, or_(c.retired_run.is_(None), c.retired_run != seen_by.id))
    return and_(or_(c.added_seq <= seen_by.pin, c.run_id == seen_by.id), or_(c.retired_seq.is_(None), retired_by_others))


def unpinned(ledger: Ledger) -> list[Entry]:
    """Retired files that no live run can see any more."""
    c = lake_file.c
    live = select(run.c.id).where(run.c.state.not_in(ENDED), or_(run.c.pin < c.retired_seq, run.c.id == c.run_id))
    query = select(c.id, c.path, c.rows, c.bytes, c.run_id).where(c.retired_seq.is_not(None), ~live.exists())
    return [Entry(row.id, Path(row.path), row.rows, row.bytes, row.run_id) for row in ledger.rows(query)]


def forget(ledger: Ledger, ids: Sequence[int]) -> None:
    """Drop rows of files that were deleted from disk."""
    with ledger.transaction() as connection:
        connection.execute(lake_file.delete().where(lake_file.c.id.in_(list(ids)), lake_file.c.retired_seq.is_not(None)))


def registered_paths(ledger: Ledger) -> set[str]:
    return {row.path for row in ledger.rows(select(lake_file.c.path))}


def tables(ledger: Ledger) -> list[str]:
    """Tables that have a current file."""
    query = select(lake_file.c.table_name).where(lake_file.c.retired_seq.is_(None)).distinct().order_by(lake_file.c.table_name)
    return [row.table_name for row in ledger.rows(query)]
