"""From the judged rows (temporary table usage_rows) to the Parquet parts of the lake. Grain and columns: docs/architecture.md."""

import hashlib
from datetime import date
from pathlib import Path

from duckdb import DuckDBPyConnection

from connectors.usage.reading import literal
from mappings.models import UsageSource

GOOD = "why = 0 and rowid not in (select row_at from usage_doubles)"
PLAIN_GOOD = "why = 0"  # without doubles: the anti-join would cost something for every row

# `$key` is a parameter: it must not stand in a query text that someone may log
_HASH = "('0x' || left(sha256($key || {text}), 16))::UBIGINT"

_EVENTS = {
    "usage_tenant_day": """
        select $file_id as file_id, tenant_key, product, feature, day, sum(events)::BIGINT as events, sum(seconds)::BIGINT as seconds
        from {rows} group by tenant_key, product, feature, day""",
    # 64 days fit one mask, so "distinct users in a window" is two ANDs per row and no rescan
    "usage_user_days": f"""
        select $file_id as file_id, tenant_key, product, {_HASH.format(text="user_key")} as user_hash, block, days
        from (
            select tenant_key, product, user_key, (number // 64)::INTEGER as block, bit_or(1::UBIGINT << (number % 64)::UBIGINT) as days
            from (
                select tenant_key, product, user_key, datediff('day', DATE '1970-01-01', day) as number
                from {{rows}} where user_key is not null and events > 0
            ) group by tenant_key, product, user_key, block
        )""",
    "usage_file_days": "select $file_id as file_id, day, count(*) as rows from {rows} group by day",
}
_SNAPSHOT = {
    "usage_snapshot": """
        select $file_id as file_id, tenant_key, product, metric, arg_max(value, (day, place)) as value, max(day) as occurred_at
        from {rows} group by tenant_key, product, metric""",
    "usage_file_days": _EVENTS["usage_file_days"],
}
_IDS = f"select $file_id as file_id, {_HASH.format(text='row_id')} as id_hash from {{rows}}"


def subkey(key: bytes, what: str) -> str:
    """One secret, one key per use: the hash of a user never equals the hash of a row id."""
    return hashlib.sha256(what.encode() + b"\0" + key).hexdigest()


def mark_doubles(con: DuckDBPyConnection, source: UsageSource, key: bytes, known_ids: str | None, file_id: str) -> tuple[int, int]:
    """Fills usage_doubles (row_at, elsewhere): rows whose row_id came before in this file (the first stays), or is in another live file.

    Returns both counts.
    """
    con.execute("create temp table usage_doubles (row_at BIGINT, elsewhere BOOLEAN)")
    if source.columns.row_id is None:
        return 0, 0
    # only ids that occur twice are ranked: ranking all rows would cost more than all the rest
    con.execute(
        """insert into usage_doubles
        with twice as (select row_id from usage_rows where why = 0 group by row_id having count(*) > 1),
             ranked as (
                 select rowid as row_at, row_number() over (partition by row_id order by rowid) as turn
                 from usage_rows where why = 0 and row_id in (from twice)
             )
        select row_at, false from ranked where turn > 1"""
    )
    if known_ids is not None and source.replaces == "file":
        con.execute(
            f"""insert into usage_doubles
            select rowid, true from usage_rows
            where {GOOD} and {_HASH.format(text="row_id")} in (select id_hash from {known_ids} where file_id <> $file_id)""",
            {"key": subkey(key, "row_id"), "file_id": file_id},
        )
    ((here, elsewhere),) = con.execute("select count(*) filter (not elsewhere), count(*) filter (elsewhere) from usage_doubles").fetchall()
    return here, elsewhere


def write(
    con: DuckDBPyConnection, source: UsageSource, key: bytes, file_id: str, into: Path, *, constants: list[str], doubles: bool
) -> dict[str, Path]:
    """Table -> Parquet file, for tables with rows. `constants`: columns that usage_rows lacks because they are the same in every row."""
    rows = f"(select {', '.join(['rowid as place', '*', *constants])} from usage_rows where {GOOD if doubles else PLAIN_GOOD})"
    queries = dict(_EVENTS if source.kind == "events" else _SNAPSHOT)
    if source.columns.user_key is None:
        queries.pop("usage_user_days", None)
    if source.columns.row_id is not None:
        queries["usage_ids"] = _IDS
    written = {}
    for table, query in queries.items():
        path = into / f"{table}-{file_id}.parquet"
        values = {"file_id": file_id}
        if "$key" in query:
            values["key"] = subkey(key, "row_id" if table == "usage_ids" else "user_key")
        ((count,),) = con.execute(f"copy ({query.format(rows=rows)}) to {literal(str(path))} (format parquet)", values).fetchall()
        if count:
            written[table] = path
        else:
            path.unlink(missing_ok=True)
    return written


def days(con: DuckDBPyConnection) -> tuple[date | None, date | None]:
    """First and last day among the good rows."""
    ((first, last),) = con.execute(f"select min(day), max(day) from usage_rows where {GOOD}").fetchall()
    return first, last
