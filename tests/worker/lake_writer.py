"""Puts a factory's lake into a real lake and ledger and runs the four middle steps over it. Used by tests; no test itself."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb

from mappings.models import Mappings
from tests.factories import AS_OF, Lake
from tests.worker.skeleton import no_crm
from worker.items import Item, LakeFile, NewItem, Outcome, Run, RunKind, StepContext
from worker.run import finish_run, start_run
from worker.runtime import Runtime
from worker.settings import Settings
from worker.steps import decide, diff, join, score
from worker.steps._part_history import part_files
from worker.store.registers import UsageFileRow, put_usage_file

_HISTORY = {"score_history": "history", "signal_history": "signals", "population_stats": "population"}
_HISTORY |= {"product_score_history": "product_history", "family_history": "families"}


def _all(ctx: StepContext) -> list[NewItem]:
    return [NewItem("all")]


def open_core(settings: Settings, lakes: Mapping[str, Lake]) -> Runtime:
    """A worker of `load` (a factory's lake, named by the run's order: lakes["0"], then "1" …), the four middle steps, and `keep` (history)."""

    def load(ctx: StepContext, item: Item) -> Outcome:
        lake = lakes[str(len(ctx.lake.entries("loaded")))]
        con = lake.into(duckdb.connect())
        parts = [LakeFile("loaded", f"loaded/{ctx.run.id}", 0, 0)]
        for table, rows in lake.rows.items():
            if table != "usage_file" and rows:
                part = ctx.lake.write(con, f"SELECT * FROM {table}", table, item)
                parts += [part] if part else []
        files = [row for r in lake.rows.get("usage_file", []) for row in put_usage_file(ctx.ledger, _file_row(r, ctx.run.id))]
        return Outcome(lake_files=parts, statements=files)

    def keep(ctx: StepContext, item: Item) -> Outcome:
        con = ctx.engine()
        parts = [ctx.lake.write(con, f"SELECT * FROM read_parquet('{ctx.folder}/{file}.parquet')", table, item) for table, file in _HISTORY.items()]
        return Outcome(lake_files=[p for p in parts if p] + part_files(ctx, con, item))

    steps: dict[str, Any] = {
        "load": SimpleNamespace(__name__="load", plan=_all, run=load),
        "join": join,
        "score": score,
        "decide": decide,
        "diff": diff,
    }
    steps["keep"] = SimpleNamespace(__name__="keep", plan=_all, run=keep)
    return Runtime.open(settings, steps=steps, open_crm=no_crm)


def _file_row(row: Mapping[str, Any], run_id: str) -> UsageFileRow:
    file_id, read = row["file_id"], datetime(2026, 12, 1, tzinfo=UTC)
    return UsageFileRow(file_id, row["source"], row["path"], file_id, 1, read, "live", 1, 1, 0, row["first_day"], row["last_day"], run_id)


def run_core(
    runtime: Runtime, mappings: Mappings, kind: RunKind = RunKind.FULL, *, as_of: datetime = AS_OF, accounts: list[str] | None = None
) -> Run:
    return finish_run(runtime, start_run(runtime, mappings, kind, as_of=as_of, accounts=accounts))


def table(runtime: Runtime, run: Run, name: str, order: str = "ALL") -> list[dict[str, Any]]:
    """A table of the run folder as rows."""
    path: Path = runtime.settings.runs_folder / run.id / f"{name}.parquet"
    found = duckdb.execute(f"SELECT * FROM read_parquet('{path}') ORDER BY {order}")
    names = [d[0] for d in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
