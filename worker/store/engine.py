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


def quoted(text: str) -> str:
    """A text as an SQL literal, for places where DuckDB takes no bound value (file lists, COPY targets)."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
