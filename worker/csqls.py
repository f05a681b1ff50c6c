"""The open CSQLs as the newest full run left them, and what sales made of each rule. Nothing is decided here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from worker.guard import read_guard
from worker.runtime import Runtime
from worker.sql import literal
from worker.store.engine import open_engine
from worker.today import newest_full

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Csqls:
    """`rows`: one per open record, best moment first, with its deadlines; `rules`: results per rule and version, none before sales decided;
    `guard`: CSQLs beside onboardings in time, of everybody, teams and CSMs.
    """

    run_id: str
    as_of: datetime
    rows: list[Row]
    rules: list[Row]
    guard: list[Row]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def open_csqls(opened: Runtime, *, late: bool = False) -> Csqls | None:
    """The list, or only what is past its day; null before the first full run. Titles are in the language of the records."""
    found = newest_full(opened, "csqls")
    if found is None:
        return None
    run, folder = found
    language = opened.mappings(run.mappings_hash).writeback.language
    con = open_engine(opened.settings, [opened.lake.root, folder])
    try:
        answer = con.execute(
            f"SELECT * EXCLUDE (title_en, title_ja), title_{language} AS title FROM read_parquet({literal(str(folder / 'csqls.parquet'))}) "
            f"WHERE {'accept_late OR contact_late' if late else 'true'} ORDER BY rank"
        )
        names = [column[0] for column in answer.description]
        rows: list[Row] = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
        guard = [row for row in read_guard(con, folder) if row["kind"] != "month"]
    finally:
        con.close()
    return Csqls(run.id, run.as_of, rows, list(run.report.get("csql_rules", [])), guard)
