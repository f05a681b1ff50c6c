"""Rows of a run folder for reports: accounts with their results, as decide saw them."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import duckdb

from mappings.columns import RESULTS
from worker.sql import ident, literal

#: RESULTS that decisions call by another name.
_RENAMED = {
    "health_score": "d.score",
    "health_tier": "d.tier",
    "health_trend": "d.trend",
    "health_delta_28d": "d.delta_28d",
    "capped_by": "s.capped_by",
}


def results_sql(known: Collection[str]) -> str:
    """The columns of RESULTS over decisions `d` and scores `s`; null what this run did not keep. `known`: columns of decisions."""
    taken = {name: _RENAMED.get(name, f"d.{name}" if name in known else "NULL") for name in RESULTS}
    return ", ".join(f"CAST({expr} AS {RESULTS[name].type}) AS {ident(name)}" for name, expr in taken.items())


def file_of(folder: Path, table: str) -> str:
    """SQL of a run folder's table."""
    return f"read_parquet({literal(str(folder / f'{table}.parquet'))})"


def rows_of(con: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    """Rows of a query by column name."""
    found = con.execute(sql)
    names = [d[0] for d in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
