"""CSQLs beside onboardings in time, as the newest full run left them, for the reports that show them. Nothing is decided here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from worker.sql import literal

Row = Mapping[str, Any]

#: What each kind of row is called before its name.
_SUBJECT = {"all": "Everybody", "team": "Team", "csm": "CSM"}


def read_guard(con: duckdb.DuckDBPyConnection, folder: Path) -> list[Row]:
    """Rows of a run (guard.sql says their columns): everybody, teams, CSMs, months; none where no onboarding plan is configured."""
    file = folder / "guard.parquet"
    if not file.is_file():
        return []
    order = "list_position(['all', 'team', 'csm', 'month'], kind), who"
    found = con.execute(f"SELECT * FROM read_parquet({literal(str(file))}) ORDER BY {order}")
    names = [column[0] for column in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def warned(rows: Sequence[Row]) -> list[str]:
    """The warnings among the rows, in words."""
    return [
        f"{_SUBJECT[row['kind']]} {row['name'] or row['who']}".rstrip()
        + f": {row['csqls']} CSQLs handed over after {row['csqls_before']}, while onboardings in time fell from {row['percent_before']:g} % "
        + f"({row['in_time_before']} of {row['settled_before']}) to {row['percent']:g} % ({row['in_time']} of {row['settled']})"
        for row in rows
        if row["warns"]
    ]
