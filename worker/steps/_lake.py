"""From a step's context to the relations that the scoring core reads, and from its tables to the run folder."""

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from mappings.models import Mappings
from worker.items import Run, StepContext
from worker.sql import literal
from worker.steps._pairs import pair_relations
from worker.steps._relations import LakeRelations, Moment
from worker.store import registers
from worker.store.lake import Lake
from worker.store.ledger import Ledger
from worker.store.schemas import schema

#: What join reads. A past date scored by decide reads the same.
FACTS = (
    "crm_account", "crm_contract", "crm_activity", "crm_contact", "crm_ticket", "crm_survey", "crm_opportunity", "crm_outcome", "crm_csql",
    "usage_tenant_day", "usage_user_days", "usage_file_days", "usage_snapshot", "population_stats", "anomaly_history", "onboarding_history",
)  # fmt: skip
HISTORIES = ("score_history", "signal_history", "product_score_history", "family_history")

_USAGE_FILE = {"file_id": pa.string(), "source": pa.string(), "path": pa.string(), "first_day": pa.date32(), "last_day": pa.date32()}


def moment_of(ctx: StepContext) -> Moment:
    return Moment(ctx.run.as_of, ctx.mappings.calendar.timezone)


def open_lake(ctx: StepContext, tables: Collection[str]) -> tuple[duckdb.DuckDBPyConnection, LakeRelations]:
    """A connection with these lake tables as views, as this run sees them."""
    con = ctx.engine()
    return con, open_relations(con, ctx.lake, ctx.ledger, ctx.mappings, ctx.run, tables)


def open_relations(
    con: duckdb.DuckDBPyConnection, lake: Lake, ledger: Ledger, mappings: Mappings, run: Run | None, tables: Collection[str]
) -> LakeRelations:
    """Lake tables as views of the connection: as the run sees them, or (null) as they are now. Each costs milliseconds, so only those asked for."""
    for name in sorted(tables):
        crm = name.startswith("crm_")
        own = [f.key for f in mappings.writeback.of(name.removeprefix("crm_"))] if crm else []
        con.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM {lake.relation(lake.files(name, run), schema(name, own), filename=crm)}")
    files = [
        {"file_id": f.id, "source": f.source, "path": f.path, "first_day": f.first_day, "last_day": f.last_day} for f in registers.usage_files(ledger)
    ]
    table_of(con, "usage_file", files, _USAGE_FILE)
    relations = LakeRelations(part="filename")
    if "crm_account" in tables:
        relations = pair_relations(con, relations, mappings)
    if not {"crm_csql", "signal_history"} <= set(tables):
        return relations
    # who decides on CSQLs reads their records and signals, and needs the keys given out; there are as many as CSQLs ever, so nobody else loads them
    keys = [{"external_key": f"{account}|{product}|{n}"} for account, product, n in registers.csql_sequences(ledger)]
    table_of(con, "csql_keys", keys, {"external_key": pa.string()})
    return replace(relations, csql_keys="csql_keys")


def table_of(con: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Mapping[str, object]], kinds: Mapping[str, pa.DataType]) -> str:
    """A temp table of given rows; returns its name."""
    con.register("given_rows", pa.Table.from_pylist([dict(row) for row in rows], schema=pa.schema(list(kinds.items()))))
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM given_rows")
    con.unregister("given_rows")
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
