"""Named DuckDB queries, kept as text: one `.sql` file per theme, one `-- name: <query>` line before each query.

A query may hold `{{slot}}` marks for what SQL cannot bind: relation names and compiled expressions. Values of the run (its instant, its date) are
filled in as typed literals made by `literal`, so that DuckDB prunes row groups by them.
"""

import re
from datetime import date, datetime
from functools import cache
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_SLOT = re.compile(r"\{\{(\w+)\}\}")


@cache
def _queries(file: str) -> dict[str, str]:
    text = (Path(__file__).parent / f"{file}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    return {name: body.strip().rstrip(";") for name, body in zip(parts[::2], parts[1::2], strict=True)}


def query_sql(file: str, name: str, /, **slots: str) -> str:
    """The query `name` of `<file>.sql` with its slots filled. KeyError names a slot that was not given."""

    def fill(match: re.Match[str]) -> str:
        if match[1] not in slots:
            raise KeyError(f"{file}.sql: query {name} needs the slot {match[1]}")
        return slots[match[1]]

    return _SLOT.sub(fill, _queries(file)[name])


def literal(value: str | int | float | bool | date | datetime | None) -> str:
    """A typed SQL literal. Instants must carry a zone."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"instant without a time zone: {value.isoformat()}")
        return f"TIMESTAMPTZ '{value.isoformat()}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    return "'" + value.replace("'", "''") + "'"


def ident(name: str) -> str:
    """A quoted identifier."""
    return '"' + name.replace('"', '""') + '"'
