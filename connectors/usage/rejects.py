"""The rows set aside of one file: all counted, the first ones named with line, column, value, reason and remedy."""

from dataclasses import dataclass, replace

import pyarrow as pa
from duckdb import DuckDBPyConnection

from connectors.base import REJECTS_KEPT, Reject, UsageFile
from connectors.usage.checks import Fault
from connectors.usage.errors import UsageFileError
from connectors.usage.locate import Lines, lines_of
from connectors.usage.reading import DECLARE, LINE_BYTES_MAX, Reader
from mappings.models import UsageSource

_LINE_FAULTS = {
    "MISSING COLUMNS": ("too few columns", "Quote cells that hold the delimiter or a line end; check that the export was not cut off."),
    "TOO MANY COLUMNS": ("too many columns", "Quote cells that hold the delimiter."),
    "UNQUOTED VALUE": ("a quote is not closed, or text follows it", 'Write a quote inside a cell as two quotes ("").'),
    "INVALID ENCODING": ("bytes that are not UTF-8", DECLARE),
    "LINE SIZE OVER MAXIMUM": (f"the line is longer than {LINE_BYTES_MAX:,} bytes", "Leave such a cell out; look for a quote that never closes."),
}


@dataclass(frozen=True)
class SetAside:
    rows_in: int
    count: int
    kept: tuple[Reject, ...]


@dataclass(frozen=True)
class _Bad:
    place: int  # row among those DuckDB gave, or byte of the line's begin
    column: str
    value: str
    reason: str
    remedy: str


def set_aside(
    con: DuckDBPyConnection, source: UsageSource, reader: Reader, file: UsageFile, found: list[Fault], doubles: tuple[int, int]
) -> SetAside:
    """Raises UsageFileError where the rows show that the file as a whole is not what the mapping says."""
    ((total, bad),) = con.execute("select count(*), count(*) filter (why <> 0) from usage_rows").fetchall()
    broken = _broken_starts(con, reader)
    count = bad + sum(doubles) + len(broken)
    if count == 0:
        return SetAside(total, 0, ())
    rows = sorted([*_bad_rows(con, reader, found), *_doubles(con, source)], key=lambda row: row.place)[:REJECTS_KEPT]
    lines = _bad_lines(con) if len(broken) else []
    where = lines_of(reader, [row.place for row in rows], broken, len(lines), total)
    _refuse_whole(file, reader, con, where, total, len(broken))
    rows = [_not_json(row, text) if text is not None else row for row, text in zip(rows, where.not_objects, strict=True)]
    named = [*zip(where.rows, rows, strict=True), *zip(where.broken, lines, strict=True)]
    named.sort(key=lambda pair: (pair[0] is None, pair[0] or 0))
    kept = tuple(
        Reject(source.name, f"{file.path}:{line if line is not None else '?'}", row.column, row.value, row.reason, row.remedy)
        for line, row in named[:REJECTS_KEPT]
    )
    return SetAside(total + len(broken), count, kept)


def _not_json(row: _Bad, text: str) -> _Bad:
    """DuckDB reads a line that is no object as nulls, which alone would look like a missing tenant."""
    return replace(row, column="", value=text, reason="not a JSON object", remedy="Export one JSON object per line.")


def _broken_starts(con: DuckDBPyConnection, reader: Reader) -> pa.Array:
    """Bytes (from 0; DuckDB counts from 1) at which the lines begin that DuckDB could not split into the header's columns, ascending."""
    if not reader.quoted:
        return pa.array([], pa.int64())
    table = con.sql("select distinct line_byte_position::BIGINT - 1 as at_byte from usage_bad_lines order by 1").to_arrow_table()
    return table.column("at_byte").combine_chunks()


def _bad_rows(con: DuckDBPyConnection, reader: Reader, found: list[Fault]) -> list[_Bad]:
    rows = con.execute("select rowid, why, coalesce(tenant_key, '') from usage_rows where why <> 0 order by rowid limit ?", [REJECTS_KEPT]).fetchall()
    return [_Bad(place, reader.names[found[why - 1].role], value, found[why - 1].reason, found[why - 1].remedy) for place, why, value in rows]


def _doubles(con: DuckDBPyConnection, source: UsageSource) -> list[_Bad]:
    name = source.columns.row_id
    if name is None:
        return []
    rows = con.execute(
        """select d.row_at, left(r.row_id, 80), d.elsewhere
        from usage_doubles d join usage_rows r on r.rowid = d.row_at order by d.row_at limit ?""",
        [REJECTS_KEPT],
    ).fetchall()
    words = {
        False: ("repeats the row id of an earlier row of this file", "The first row was taken. Export each id once."),
        True: ("repeats the row id of another file of this source", "The other file's row counts. Export each id once, or set replaces."),
    }
    return [_Bad(place, name, value, *words[elsewhere]) for place, value, elsewhere in rows]


def _bad_lines(con: DuckDBPyConnection) -> list[_Bad]:
    rows = con.execute(
        """select line_byte_position - 1, any_value(error_type), left(ltrim(any_value(csv_line), chr(10) || chr(13)), 80)
        from usage_bad_lines group by line_byte_position order by line_byte_position limit ?""",
        [REJECTS_KEPT],
    ).fetchall()
    other = ("cannot be read", "Correct the line in the export.")
    return [_Bad(int(at), "", value or "", *_LINE_FAULTS.get(kind, other)) for at, kind, value in rows]


def _refuse_whole(file: UsageFile, reader: Reader, con: DuckDBPyConnection, where: Lines, total: int, broken: int) -> None:
    if where.open_line is not None and where.open_line in where.broken:
        raise UsageFileError(
            file.path,
            f"the quote opened in line {where.open_line} is never closed, so everything after it would be one cell",
            'Write a quote inside a cell as two quotes (""), and check that the export was not cut off.',
        )
    if reader.quoted and broken > total:
        query = "select count(distinct line_byte_position) from usage_bad_lines where error_type = 'INVALID ENCODING'"
        ((foreign,),) = con.execute(query).fetchall()
        if foreign > total:
            raise UsageFileError(file.path, f"{foreign} of {total + broken} lines are not UTF-8", DECLARE)
