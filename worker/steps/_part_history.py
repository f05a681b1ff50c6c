"""Keeps what scores were made of: `part_history` (a row per account and date where its points changed) and `scorecard_history`.

`record` appends them with the rest of the history, in the same transaction. A first run keeps the past dates that it scored, too.
"""

from dataclasses import replace
from pathlib import Path

import duckdb

from worker.items import Item, LakeFile, StepContext
from worker.sql import literal, query_sql
from worker.steps._lake import bring, leave, moment_of
from worker.steps._points import KEPT
from worker.steps._relations import LakeRelations, Moment
from worker.store.schemas import schema

#: Lake tables that these rows go to.
KEEPING = ("part_history", "scorecard_history")
_PAST = "past_points"


# --- a first run's past dates, scored by decide ----------------------------------------------------------------------------------------------------
def start_past(con: duckdb.DuckDBPyConnection) -> None:
    kinds = ", ".join(f"{name} {kind}" for name, kind in schema("part_history").items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE b_points ({kinds})")


def keep_past(con: duckdb.DuckDBPyConnection, moment: Moment, run_id: str) -> None:
    """One past date's points, after its accounts were scored."""
    stamp = f"{literal(moment.on)} AS on_, {literal(run_id)} AS run_id, {literal(moment.as_of)} AS as_of"
    con.execute(f"INSERT INTO b_points BY NAME SELECT {', '.join(KEPT)}, {stamp} FROM points WHERE state <> 'frozen'")


def leave_past(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    con.execute(f"CREATE OR REPLACE TEMP VIEW {_PAST} AS {query_sql('part_history', 'past')}")
    leave(con, folder, _PAST)


def with_past(con: duckdb.DuckDBPyConnection, folder: Path, lake: LakeRelations) -> LakeRelations:
    """Relations in which the past dates are history, and today's scorecard is the one they were scored by."""
    bring(con, folder, _PAST)
    return replace(lake, part_history=f"(SELECT * FROM {lake.part_history} UNION ALL BY NAME SELECT * FROM {_PAST})")


# --- record --------------------------------------------------------------------------------------------------------------------------------------
def part_files(ctx: StepContext, con: duckdb.DuckDBPyConnection, item: Item) -> list[LakeFile]:
    """Lake parts to append: none of a table where nothing is new."""
    if not (ctx.folder / "points.parquet").exists():
        return []  # scored by a version that did not leave them
    bring(con, ctx.folder, "points", "scorecards")
    history = {name: ctx.lake.relation(ctx.lake.files(name, ctx.run), schema(name)) for name in KEEPING}
    stamp = {"run_id": literal(ctx.run.id), "as_of": literal(ctx.run.as_of)}
    cards = query_sql("part_history", "scorecards", scorecards="scorecards", history=history["scorecard_history"], **stamp)
    parts = [ctx.lake.write(con, cards, "scorecard_history", item)]
    known = history["part_history"]
    n = 0
    if (ctx.folder / f"{_PAST}.parquet").exists():
        bring(con, ctx.folder, _PAST)
        known = f"(SELECT * FROM {known} UNION ALL BY NAME SELECT * FROM {_PAST})"
        parts.append(ctx.lake.write(con, f"SELECT * FROM {_PAST}", "part_history", item))
        n = 1
    slots = {"columns": ", ".join(KEPT), "on": literal(moment_of(ctx).on), "points": "points", "history": known, **stamp}
    parts.append(ctx.lake.write(con, query_sql("part_history", "changed", **slots), "part_history", item, n))
    return [part for part in parts if part is not None]
