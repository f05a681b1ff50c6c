"""The open CSQLs and those that wait for a place, as the newest full run left them, and what sales made of each rule. Nothing is decided here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from worker.guard import read_guard
from worker.runtime import Runtime
from worker.sql import literal
from worker.store.engine import open_engine
from worker.today import newest_full

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Csqls:
    """`rows`: one per open record, best moment first, with its deadlines; `waiting`: one per account and product that has no record yet because its
    rep has enough; `rules`: results per rule and version, none before sales decided; `guard`: CSQLs beside onboardings in time, of everybody, teams
    and CSMs; `credits`: whom submitted, accepted and won ones count for by month, as the setting `attribution` says.
    """

    run_id: str
    as_of: datetime
    rows: list[Row]
    waiting: list[Row]
    rules: list[Row]
    guard: list[Row]
    attribution: str
    credits: list[Row]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def open_csqls(opened: Runtime, *, late: bool = False) -> Csqls | None:
    """The list, or only what is past its day; null before the first full run. Titles are in the language of the records."""
    found = newest_full(opened, "csqls")
    if found is None:
        return None
    run, folder = found
    mappings = opened.mappings(run.mappings_hash)
    language = mappings.writeback.language
    con = open_engine(opened.settings, [opened.lake.root, folder])
    titles = f"* EXCLUDE (title_en, title_ja), title_{language} AS title"
    try:
        rows = _read(con, folder / "csqls.parquet", titles, f"WHERE {'accept_late OR contact_late' if late else 'true'} ORDER BY rank")
        waiting = [] if late else _read(con, folder / "csqls_waiting.parquet", titles, "ORDER BY rank")
        credits = [] if late else _read(con, folder / "csql_credits.parquet")
        guard = [row for row in read_guard(con, folder) if row["kind"] != "month"]
    finally:
        con.close()
    return Csqls(run.id, run.as_of, rows, waiting, list(run.report.get("csql_rules", [])), guard, mappings.policy.attribution, credits)


def _read(con: duckdb.DuckDBPyConnection, file: Path, columns: str = "*", rest: str = "") -> list[Row]:
    """Rows of a table of the run; none where the run is of a version that did not leave it yet."""
    if not file.is_file():
        return []
    answer = con.execute(f"SELECT {columns} FROM read_parquet({literal(str(file))}) {rest}")
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
