"""The lake: immutable Parquet parts in one folder per table. The ledger is the manifest; a file without a row there does not exist.

A part is written under a temporary name, synced and renamed by `finish`, and becomes visible when its item's transaction commits. A crash before
that leaves an orphan, which `sweep` removes.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from worker.killpoint import killpoint, register
from worker.store import manifest
from worker.store.engine import identifier, quoted
from worker.store.ledger import Ledger
from worker.store.work import Item, LakeFile, Run

BEFORE_RENAME = register("lake.finish.before_rename", "A temporary file; swept. The item is done again.")
AFTER_RENAME = register("lake.finish.after_rename", "A part without a row; swept. The item is done again under the next attempt's name.")


class Lake:
    """Parts below `root`."""

    def __init__(self, root: Path, ledger: Ledger) -> None:
        self.root = root.absolute()
        self.ledger = ledger

    def part_writer(self, table: str, item: Item, n: int = 0) -> Path:
        """Where to write a part: a temporary name, unique for table, item, attempt and `n`. Hand it to `finish` when it is whole."""
        folder = self.root / table
        folder.mkdir(parents=True, exist_ok=True)
        # padded, so that file names sort by item: the last part wins a tie between versions of a record
        name = f"{item.id:010d}-{item.attempts:03d}-{n:04d}"
        return folder / f".{name}.parquet.tmp"

    def finish(self, temporary: Path) -> LakeFile:
        """Sync a whole part and give it its name. Not visible before its `LakeFile` is in a committed outcome."""
        rows = pq.read_metadata(temporary).num_rows
        _sync(temporary)
        killpoint(BEFORE_RENAME)
        final = temporary.with_name(temporary.name.removeprefix(".").removesuffix(".tmp"))
        os.rename(temporary, final)
        _sync(final.parent)
        killpoint(AFTER_RENAME)
        return LakeFile(final.parent.name, f"{final.parent.name}/{final.name}", rows, final.stat().st_size)

    def entries(self, table: str, run: Run | None = None) -> list[manifest.Entry]:
        """Registered files of a table, oldest first: those the run sees, or with null the current ones. With ids, for `Outcome.retire_files`."""
        return manifest.entries(self.ledger, table, run)

    def files(self, table: str, run: Run | None = None) -> list[Path]:
        """Full paths of `entries`."""
        return [self.root / entry.path for entry in self.entries(table, run)]

    def relation(self, files: Sequence[Path], columns: Mapping[str, str], *, filename: bool = False) -> str:
        """SQL of a parenthesised table over the files: every column of `columns` is there, null where a part lacks it; no file = no row.

        `filename` adds a column of that name with the part's path.
        """
        typed = {**columns, **({"filename": "VARCHAR"} if filename else {})}
        empty = "SELECT " + ", ".join(f"NULL::{kind} AS {identifier(name)}" for name, kind in typed.items()) + " WHERE false"
        if not files:
            return f"({empty})"
        listed = ", ".join(quoted(str(path)) for path in files)
        return f"({empty} UNION ALL BY NAME SELECT * FROM read_parquet([{listed}], union_by_name=true, filename={str(filename).lower()}))"

    def write(self, con: duckdb.DuckDBPyConnection, sql: str, table: str, item: Item, n: int = 0) -> LakeFile | None:
        """The rows of a query as a finished part; null (and no file) when there is none."""
        temporary = self.part_writer(table, item, n)
        con.execute(f"COPY ({sql}) TO {quoted(str(temporary))} (FORMAT parquet, COMPRESSION zstd)")
        if pq.read_metadata(temporary).num_rows == 0:
            temporary.unlink()
            return None
        return self.finish(temporary)


def _sync(path: Path) -> None:
    """fsync of a file or a folder: after a power cut a committed row must not point to an empty file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
