"""The ledger: one SQL database (SQLite or PostgreSQL) that holds the truth about runs, items, files, cursors and writes.

`Ledger.transaction()` is the only way to write; everything that must be atomic goes through one such block. Reads that need no lock use
`Ledger.read()`. On SQLite every writing transaction starts with BEGIN IMMEDIATE: a deferred one that reads and then writes fails under contention.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Executable, Table, create_engine, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine, make_url
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random

#: SQLite waits this long for another process's transaction, seconds. Ours last milliseconds; a sweep of a large ledger may take a second.
BUSY_TIMEOUT_S = 60
#: Any constant, other than that of the migrations.
RUNS_LOCK = 7_260_413


def utc_now() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """A connection pool over the ledger's database. Cheap to make; open it after a fork, never before."""

    def __init__(self, url: str, clock: Callable[[], datetime] | None = None) -> None:
        self.url = url
        self.engine = _open(url)
        self._clock = clock

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One writing transaction: committed at the end of the block, rolled back by an exception."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for single SELECTs, without a lock and without a snapshot over several of them."""
        with self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def now(self, connection: Connection | None = None) -> datetime:
        """The clock of leases and waits: the database server's on PostgreSQL, so that hosts need not agree; this host's on SQLite."""
        if self._clock is not None:
            return self._clock()
        if connection is None or self.dialect == "sqlite":
            return utc_now()
        moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return moment.astimezone(UTC)

    def serialize(self, connection: Connection) -> None:
        """Until this transaction ends no other one passes here: for the few decisions that read several rows, such as which run may start.

        SQLite's writing transactions are one after the other anyway.
        """
        if self.dialect == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(RUNS_LOCK)))

    def rows(self, statement: Any) -> list[Any]:
        """All rows of one SELECT."""
        with self.read() as connection:
            return list(connection.execute(statement))

    def upgrade(self) -> None:
        """Create the tables or bring them to this version. Safe to call from several processes at once."""
        from worker.store.migrate import upgrade

        upgrade(self)

    def upserts(self, table: Table, rows: Sequence[Mapping[str, Any]], *, keep: Sequence[str] = (), on: Sequence[str] = ()) -> list[Executable]:
        """Inserts rows, or updates those whose key is there; columns in `keep` stay as they were. All rows have the same columns.

        `on`: the unique columns; default the primary key.
        """
        if not rows:
            return []
        key = list(on) or [column.name for column in table.primary_key]
        statement = self.insert(table)
        changed = {name: statement.excluded[name] for name in rows[0] if name not in key and name not in keep}
        if not changed:
            return self.inserts(table, rows, on=on)
        return [ManyRows(statement.on_conflict_do_update(index_elements=key, set_=changed), rows)]

    def inserts(self, table: Table, rows: Sequence[Mapping[str, Any]], *, on: Sequence[str] = ()) -> list[Executable]:
        """Inserts rows and leaves those whose key is there untouched."""
        key = list(on) or [column.name for column in table.primary_key]
        return [ManyRows(self.insert(table).on_conflict_do_nothing(index_elements=key), rows)] if rows else []

    def insert(self, table: Table) -> Any:
        """This dialect's INSERT, which knows ON CONFLICT."""
        return sqlite.insert(table) if self.dialect == "sqlite" else postgresql.insert(table)

    def close(self) -> None:
        self.engine.dispose()


class ManyRows(Executable):
    """One statement and its rows, handed to the driver's executemany: `connection.execute(many)`.

    A statement with the rows as its VALUES costs a compilation per row: 20,000 took 1.6 s of CPU, this way 0.1 s.
    """

    def __init__(self, statement: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        self.statement, self.rows = statement, [dict(row) for row in rows]

    def _execute_on_connection(self, connection: Connection, _parameters: Any, execution_options: Any) -> Any:
        """The hook by which SQLAlchemy's Connection.execute runs any Executable."""
        return connection.execute(self.statement, self.rows, execution_options=execution_options)


@retry(
    retry=retry_if_exception(lambda error: isinstance(error, sqlite3.OperationalError) and "locked" in str(error)),
    wait=wait_random(0.005, 0.05),
    stop=stop_after_delay(BUSY_TIMEOUT_S),
    reraise=True,
)
def _use_wal(raw: Any) -> None:
    """The switch to WAL does not wait for the busy timeout: while another process switches or opens the same new file it fails at once."""
    raw.execute("PRAGMA journal_mode=WAL")


def _open(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        # pre_ping: a pooled connection may have died with a restart of the server
        return create_engine(parsed, pool_pre_ping=True, pool_size=2, max_overflow=4)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def configure(raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # we say BEGIN ourselves
        _use_wal(raw)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
