"""SQLite for several threads and processes: one connection per thread, immediate write transactions, joinable transactions."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tenacity import retry, retry_if_exception, stop_after_delay, wait_random

Params = Sequence[Any] | dict[str, Any]
BUSY_SECONDS = 30.0


@retry(
    retry=retry_if_exception(lambda error: isinstance(error, sqlite3.OperationalError) and "locked" in str(error)),
    wait=wait_random(0.005, 0.05),
    stop=stop_after_delay(BUSY_SECONDS),
    reraise=True,
)
def _use_wal(connection: sqlite3.Connection) -> None:
    """The switch to WAL does not wait for the busy timeout: while another thread or process opens the same new file it fails at once."""
    connection.execute("PRAGMA journal_mode=WAL")


class Database:
    """One SQLite file. Reads see committed data; `transaction()` takes the write lock at once, so that no reader turns into a blocked writer."""

    def __init__(
        self, path: str | Path, *, prepare: Callable[[sqlite3.Connection], None] | None = None, on_rollback: Callable[[], None] | None = None
    ):
        self.path = Path(path)
        self._prepare = prepare
        self._on_rollback = on_rollback
        self._local = threading.local()

    def open(self) -> sqlite3.Connection:
        """A new connection with our settings; the caller closes it."""
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        # A sandbox survives a killed process, not a lost power supply: no fsync.
        _use_wal(connection)
        for pragma in ("synchronous=OFF", "cache_size=-16384", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        if self._prepare is not None:
            self._prepare(connection)
        return connection

    @property
    def connection(self) -> sqlite3.Connection:
        """The calling thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self.open()
            self._local.connection = found
            self._local.depth = 0
        return found

    def read(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.connection.execute(sql, params).fetchall()

    def one(self, sql: str, params: Params = ()) -> tuple[Any, ...] | None:
        """The first row of a query, or None."""
        row: tuple[Any, ...] | None = self.connection.execute(sql, params).fetchone()
        return row

    def stream(self, sql: str, params: Params = (), size: int = 2000) -> Iterator[list[tuple[Any, ...]]]:
        """Rows in lists of `size`, from a connection of its own, so that a slow reader holds nobody's cursor."""
        connection = self.open()
        try:
            cursor = connection.execute(sql, params)
            while rows := cursor.fetchmany(size):
                yield rows
        finally:
            connection.close()

    def write(self, sql: str, params: Params = ()) -> int:
        """One statement in its own transaction (or in the open one); the number of rows it touched."""
        return self.connection.execute(sql, params).rowcount

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """An immediate transaction; inside another one, a savepoint of it. Leaving by an exception undoes everything."""
        connection = self.connection
        depth = self._local.depth
        name = f"sp{depth}"
        connection.execute("BEGIN IMMEDIATE" if depth == 0 else f"SAVEPOINT {name}")
        self._local.depth = depth + 1
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK" if depth == 0 else f"ROLLBACK TO {name}")
            if depth:
                connection.execute(f"RELEASE {name}")
            if self._on_rollback is not None:
                self._on_rollback()
            raise
        else:
            connection.execute("COMMIT" if depth == 0 else f"RELEASE {name}")
        finally:
            self._local.depth = depth

    @property
    def in_transaction(self) -> bool:
        """Whether the calling thread holds the write lock."""
        return bool(self.connection.in_transaction)

    def script(self, ddl: str) -> None:
        """Idempotent DDL (`IF NOT EXISTS`), under the write lock."""
        with self.transaction() as connection:
            for statement in ddl.split(";"):
                if statement.strip():
                    connection.execute(statement)

    def close(self) -> None:
        """Closes the calling thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is not None:
            found.close()
            self._local.connection = None
