"""The scoring core on hand-made lakes, without steps, ledger or files. Used by tests; no test itself."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import duckdb

from mappings.models import Mappings
from tests.factories import AS_OF, Lake
from worker.steps._relations import LakeRelations, Moment
from worker.steps.decide import decide_accounts
from worker.steps.join import join_accounts
from worker.steps.score import score_all

RELATIONS = LakeRelations()

Row = dict[str, Any]


def open_lake(lake: Lake) -> duckdb.DuckDBPyConnection:
    return lake.into(duckdb.connect(config={"threads": 1}))


def moment(as_of: datetime = AS_OF) -> Moment:
    return Moment(as_of, "Asia/Tokyo")


def join(lake: Lake, mappings: Mappings, as_of: datetime = AS_OF, **options: Any) -> tuple[duckdb.DuckDBPyConnection, dict[str, int]]:
    con = open_lake(lake)
    return con, join_accounts(con, RELATIONS, mappings, moment(as_of), **options)


def decide(
    con: duckdb.DuckDBPyConnection, mappings: Mappings, as_of: datetime = AS_OF, *, full: bool = True, keep: bool = True, only: str | None = None
) -> None:
    """One run over the tables of a connection: join, score, decide. `keep`: its history is there for the next."""
    join_accounts(con, RELATIONS, mappings, moment(as_of), only=only)
    score_all(con, mappings, full=full)
    decide_accounts(con, RELATIONS, mappings, moment(as_of), run_id=f"run-{as_of:%m%d%H}", full=full and only is None)
    if keep:
        con.execute("INSERT INTO score_history BY NAME SELECT * FROM history")
        con.execute("INSERT INTO signal_history BY NAME SELECT * FROM signals")
        con.execute("INSERT INTO product_score_history BY NAME SELECT * FROM product_history")
        con.execute("INSERT INTO family_history BY NAME SELECT * FROM families")
        con.execute("INSERT INTO assignment_history BY NAME SELECT * FROM assignments")


def rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[Row]:
    found = con.execute(sql)
    names = [d[0] for d in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def by(con: duckdb.DuckDBPyConnection, table: str, key: str = "account_id") -> dict[str, Row]:
    """Rows of a table by a key that is unique in it."""
    found = rows(con, f"SELECT * FROM {table}")
    keyed = {row[key]: row for row in found}
    assert len(keyed) == len(found), f"{key} is not unique in {table}"
    return keyed


def pick(row: Mapping[str, Any], columns: Iterable[str]) -> Row:
    return {c: row[c] for c in columns}
