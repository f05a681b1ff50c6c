"""Today's lists: whom each person calls first, with the reasons, as the newest full run decided them. Nothing is decided here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from connectors.entities import Entity
from mappings.models import Mappings
from worker.items import Run, RunKind, RunState
from worker.runtime import Runtime
from worker.sql import literal, query_sql
from worker.steps._crm import load_latest
from worker.steps._lake import open_relations
from worker.store import runs
from worker.store.engine import open_engine

#: How many full runs back a run folder with lists is looked for.
_RUNS_BACK = 20

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Today:
    """Lists of a run. `rows`: one per account on a list, by person and rank; `without_csm`: accounts that would be on a list if anybody had them."""

    run_id: str
    as_of: datetime
    rows: list[Row]
    without_csm: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def newest_full(opened: Runtime, file: str = "assigned") -> tuple[Run, Path] | None:
    """The newest full run that ended and whose folder still has this table; null where there is none."""
    for run in runs.latest(opened.ledger, _RUNS_BACK, [RunKind.FULL]):
        folder = opened.settings.runs_folder.absolute() / run.id
        ended = run.state in (RunState.DONE, RunState.RED) and run.accounts is None and not run.dry_run
        if ended and (folder / f"{file}.parquet").is_file():
            return run, folder
    return None


def todays_lists(opened: Runtime, csm: str | None = None) -> Today | None:
    """Everybody's list, or one person's (CRM user id); null before the first full run."""
    found = newest_full(opened)
    if found is None:
        return None
    run, folder = found
    mappings = opened.mappings(run.mappings_hash)
    con = open_engine(opened.settings, [opened.lake.root, folder])
    try:
        open_relations(con, opened.lake, opened.ledger, mappings, None, ("crm_account", "crm_user"))
        rows, without = read_lists(con, folder, mappings, csm)
    finally:
        con.close()
    return Today(run.id, run.as_of, rows, without)


def read_lists(con: duckdb.DuckDBPyConnection, folder: Path, mappings: Mappings, csm: str | None = None) -> tuple[list[Row], int]:
    """Rows of the lists from a run folder and the tables crm_account and crm_user, and the number of accounts that nobody works."""
    files = {name: f"read_parquet({literal(str(folder / f'{name}.parquet'))})" for name in ("assigned", "decisions", "accounts")}
    load_names(con, f"id IN (SELECT account_id FROM {files['assigned']} WHERE priority IS NOT NULL)")
    asked = f"g.list_of = {literal(csm)}" if csm else "true"
    sql = query_sql("today", "lists", **files, language=mappings.writeback.language, account="t_account", user="t_user", asked=asked)
    found = con.execute(sql)
    names = [d[0] for d in found.description or []]
    rows: list[Row] = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    (count,) = con.execute(query_sql("today", "nobodys", **files, least=str(mappings.priority.bands[-1]))).fetchall()[0]
    return rows, int(count)


def load_names(con: duckdb.DuckDBPyConnection, accounts: str) -> None:
    """Views t_account (those that `accounts` picks) and t_user: id and name as the CRM has them now."""
    name = {"id": "r.id", "name": "r.name"}
    part = "filename" if "filename" in {str(r[0]) for r in con.execute(f"DESCRIBE crm_{Entity.USER}").fetchall()} else "NULL"
    load_latest(con, "crm_account", "t_account", part=part, where=accounts, exprs=name)
    load_latest(con, "crm_user", "t_user", part=part, exprs=name)
