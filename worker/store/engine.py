"""The only place that opens DuckDB: in memory, bounded, and blind to everything but the folders it is given.

Expressions of a customer's mapping run here, so besides their own check the engine itself can read no other file, load no extension and change
no setting (https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview).
"""

import os
from collections.abc import Sequence
from pathlib import Path

import duckdb

from worker.settings import Settings


def open_engine(settings: Settings, folders: Sequence[Path]) -> duckdb.DuckDBPyConnection:
    """A connection of its own database that reads and writes only below `folders`; spills to `<lake>/../spill/<pid>`. The caller closes it."""
    spill = settings.lake.absolute().parent / "spill" / str(os.getpid())
    spill.mkdir(parents=True, exist_ok=True)
    allowed = sorted({str(folder.absolute()) + "/" for folder in folders})
    con = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": settings.memory_limit,
            "threads": settings.threads,
            "temp_directory": str(spill),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
        },
    )
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET enable_progress_bar = false")
    con.execute("SET allowed_directories = ?", [allowed])
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


class SharedEngine:
    """One database for the items of one run, as long as this process works on it: opening one takes 20 ms, longer than most queries of a small run.

    Each item has a connection of its own; its temporary tables are nobody else's and end with it.
    """

    def __init__(self) -> None:
        self._run: str | None = None
        self._database: duckdb.DuckDBPyConnection | None = None

    def connection(self, settings: Settings, run_id: str, folders: Sequence[Path]) -> duckdb.DuckDBPyConnection:
        """A connection of the run's database, which `folders` bound from its first item on. The caller closes it."""
        if self._database is None or self._run != run_id:
            self.close()
            self._database, self._run = open_engine(settings, folders), run_id
        return self._database.cursor()

    def close(self) -> None:
        """Let the database go; connections that are still open keep it alive until they are closed."""
        if self._database is not None:
            self._database.close()
        self._database = self._run = None


def quoted(text: str) -> str:
    """A text as an SQL literal, for places where DuckDB takes no bound value (file lists, COPY targets)."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
