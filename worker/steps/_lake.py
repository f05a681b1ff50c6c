"""From a step's context to the relations that the scoring core reads, and from its tables to the run folder."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from connectors.entities import Entity
from worker.items import StepContext
from worker.sql import literal
from worker.steps._relations import LakeRelations, Moment
from worker.store import registers
from worker.store.schemas import SCHEMAS, schema

_USAGE_FILE = pa.schema(
    [("file_id", pa.string()), ("source", pa.string()), ("path", pa.string()), ("first_day", pa.date32()), ("last_day", pa.date32())]
)


def moment_of(ctx: StepContext) -> Moment:
    return Moment(ctx.run.as_of, ctx.mappings.calendar.timezone)


def open_lake(ctx: StepContext) -> tuple[duckdb.DuckDBPyConnection, LakeRelations]:
    """A connection with every lake table as a view, as this run sees it."""
    con = ctx.engine()
    crm = {}
    for entity in Entity:
        own = [f.key for f in ctx.mappings.writeback.of(entity.value)]
        crm[entity] = _view(con, ctx, f"crm_{entity.value}", schema(f"crm_{entity.value}", own), filename=True)
    names = (
        "usage_tenant_day",
        "usage_user_days",
        "usage_file_days",
        "usage_snapshot",
        "score_history",
        "signal_history",
        "population_stats",
        "writes",
    )
    views = {name: _view(con, ctx, name, SCHEMAS[name], filename=False) for name in names}
    rows = [
        {"file_id": f.id, "source": f.source, "path": f.path, "first_day": f.first_day, "last_day": f.last_day}
        for f in registers.usage_files(ctx.ledger)
    ]
    con.execute("CREATE TEMP TABLE usage_file AS " + _values(con, rows, _USAGE_FILE))
    keys = pa.schema([("external_key", pa.string())])
    con.execute(
        "CREATE TEMP TABLE csql_keys AS " + _values(con, [{"external_key": f"{a}|{p}|{n}"} for a, p, n in registers.csql_sequences(ctx.ledger)], keys)
    )
    return con, LakeRelations(crm=crm, part="filename", usage_file="usage_file", csql_keys="csql_keys", **views)


def _view(con: duckdb.DuckDBPyConnection, ctx: StepContext, table: str, columns: Mapping[str, str], *, filename: bool) -> str:
    con.execute(f"CREATE TEMP VIEW {table} AS SELECT * FROM {ctx.lake.relation(ctx.files(table), columns, filename=filename)}")
    return table


def _values(con: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, object]], kinds: pa.Schema) -> str:
    """Rows as a table of the connection; the name is good until the next call."""
    con.register("given_rows", pa.Table.from_pylist([dict(row) for row in rows], schema=kinds))
    return "SELECT * FROM given_rows"


def table_of(con: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Mapping[str, object]], kinds: Mapping[str, pa.DataType]) -> str:
    """A temp table of given rows; returns its name."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS " + _values(con, rows, pa.schema(list(kinds.items()))))
    return name


# --- the run folder ------------------------------------------------------------------------------------------------------------------------------
def leave(con: duckdb.DuckDBPyConnection, folder: Path, table: str, columns: Iterable[str] | None = None, *, order: str = "") -> None:
    """Write a table to the run folder, whole or not at all: a step that is done again replaces its files."""
    listed = ", ".join(columns) if columns else "*"
    temporary = folder / f".{table}.parquet.tmp"
    con.execute(f"COPY (SELECT {listed} FROM {table} {order}) TO {literal(str(temporary))} (FORMAT parquet, COMPRESSION zstd)")
    os.replace(temporary, folder / f"{table}.parquet")


def leave_json(folder: Path, name: str, content: Mapping[str, object]) -> None:
    temporary = folder / f".{name}.tmp"
    temporary.write_text(json.dumps(content, ensure_ascii=False, sort_keys=True, default=_text), encoding="utf-8")
    os.replace(temporary, folder / name)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def bring(con: duckdb.DuckDBPyConnection, folder: Path, *tables: str) -> None:
    """Tables of the run folder as views of the same name."""
    for table in tables:
        con.execute(f"CREATE OR REPLACE TEMP VIEW {table} AS SELECT * FROM read_parquet({literal(str(folder / f'{table}.parquet'))})")
