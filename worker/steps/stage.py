"""stage: raw pages and usage files → typed lake parts; rows that do not fit are set aside with column, value and remedy.

in = done + set aside, in the item's stats. The cursor of a source moves in the transaction that makes its rows visible.
"""

import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.base import REJECTS_KEPT, Reject, UsageFile
from connectors.usage.errors import UsageFileError
from connectors.usage.files import file_id, ingest
from mappings.models import UsageSource, WriteField
from worker.items import CursorKey, Item, LakeFile, NewItem, Outcome, StepContext
from worker.killpoint import killpoint, register
from worker.sql import literal
from worker.steps._sources import Place, own_fields, place_of
from worker.steps._staging import staging_sql
from worker.store.registers import UsageFileRow, put_usage_file, put_usage_state, usage_files
from worker.store.schemas import SCHEMAS

AFTER_PARTS = register("stage.parts.after", "Parts without rows in the ledger; swept. The raw pages are still there and are staged again.")

#: Folders of raw pages that become rows; `ids` (of a reconciliation) does not.
RAW_FOLDERS = ("pages", "missed", "gone")


def plan(ctx: StepContext) -> list[NewItem]:
    """None: pull made the items, one per source that brought rows and one per usage file."""
    return []


def run(ctx: StepContext, item: Item) -> Outcome:
    match item.payload["kind"]:
        case "crm":
            return _stage_crm(ctx, item)
        case "usage":
            return _stage_usage(ctx, item)
        case _:
            moved = item.payload
            statements = [*put_usage_state(moved["vanished"], "vanished"), *put_usage_state(moved["live"], "live")]
            n = len(moved["vanished"])
            said = f"{n:,} usage files read before are gone from {ctx.settings.usage.absolute()}. What they said still counts."
            return Outcome(statements=statements, stats={"usage.files_vanished": n}, report={f"usage_file:{item.key}": said} if n else {})


# --- CRM rows --------------------------------------------------------------------------------------------------------------------------------------
def _stage_crm(ctx: StepContext, item: Item) -> Outcome:
    place = place_of(ctx.mappings, item.payload)
    pages = _pages(ctx, item)
    con = ctx.engine()
    raw, present = _raw_relation(con, ctx, place, pages)
    own = _own(ctx, place, present)
    staging = staging_sql(place, raw, own, item.payload["read_at"], ctx.mappings.calendar.timezone)
    columns = ", ".join(f'"{name}"' for name in staging.good)
    con.execute(f"CREATE TEMP TABLE staged AS SELECT {columns}, bad_column, bad_value, bad_reason FROM ({staging.rows})")
    total, bad = con.execute("SELECT count(*), count(bad_column) FROM staged").fetchone() or (0, 0)
    table = f"crm_{place.entity.value}"
    parts = [ctx.lake.write(con, f"SELECT {columns} FROM staged WHERE bad_column IS NULL ORDER BY id", table, item)]
    if bad:
        parts.append(ctx.lake.write(con, _rejects_sql(ctx, place), "crm_rejects", item, 1))
    killpoint(AFTER_PARTS)
    cursor = item.payload["cursor"]
    key = CursorKey(place.connection, place.entity.value, place.index)
    counts = {"crm.rows_in": total, "crm.rows_done": total - bad, "crm.rows_set_aside": bad}
    return Outcome(lake_files=[p for p in parts if p is not None], cursors={key: cursor} if cursor else {}, stats=counts)


def _pages(ctx: StepContext, item: Item) -> list[Path]:
    folder = ctx.raw_root / item.payload["raw"]
    found = sorted(path for name in RAW_FOLDERS for path in (folder / name).glob("*.parquet"))
    if len(found) != item.payload["pages"]:
        raise FileNotFoundError(f"{folder} holds {len(found)} raw pages, {item.payload['pages']} were read. Start a new run: it reads them again.")
    return found


def _raw_relation(con: duckdb.DuckDBPyConnection, ctx: StepContext, place: Place, pages: Sequence[Path]) -> tuple[str, set[str]]:
    """The raw pages as one relation that has every mapped field (null where a page lacks it), and the fields there are."""
    listed = ", ".join(literal(str(path)) for path in pages)
    read = f"SELECT * FROM read_parquet([{listed}], union_by_name=true)"
    present = {str(row[0]) for row in con.execute(f"DESCRIBE {read}").fetchall()}
    wanted = dict.fromkeys(["_id", "_modified_at", "_deleted", "_master_id", *_fields(place)])
    return ctx.lake.relation(list(pages), dict.fromkeys(wanted, "VARCHAR")), present


def _fields(place: Place) -> list[str]:
    found: list[str] = []
    for spec in place.source.columns.values():
        found += [spec] if isinstance(spec, str) else list(getattr(spec, "fields", None) or [f for f in [getattr(spec, "field", None)] if f])
    return found


def _own(ctx: StepContext, place: Place, present: set[str]) -> list[tuple[WriteField, str | None]]:
    vendor = ctx.mappings.crm[place.connection].vendor
    fields = own_fields(ctx.mappings, place.entity, read=False)
    return [(f, f.names[vendor] if f.names.get(vendor) in present else None) for f in fields]


def _rejects_sql(ctx: StepContext, place: Place) -> str:
    """Rows set aside, at most REJECTS_KEPT; the count in the stats is complete."""
    remedy = f"Correct the field on the record, or the column of {place.entity.value} in crm/{place.connection}.yml."
    return (
        f"SELECT {literal(ctx.run.id)} AS run_id, {literal(place.connection + '/' + place.entity.value)} AS source, "
        f"{literal(place.source.object)} || '/' || coalesce(id, '?') AS where_, bad_column AS column_, bad_value AS value, bad_reason AS reason, "
        f"{literal(remedy)} AS remedy FROM staged WHERE bad_column IS NOT NULL ORDER BY id LIMIT {REJECTS_KEPT}"
    )


# --- usage files -----------------------------------------------------------------------------------------------------------------------------------
def _stage_usage(ctx: StepContext, item: Item) -> Outcome:
    payload = item.payload
    fields = {name: payload[name] for name in ("source", "path", "size", "content_hash")}
    file = UsageFile(modified_at=datetime.fromisoformat(payload["modified_at"]), **fields)
    source = ctx.mappings.usage[file.source]
    con = ctx.engine(Path(file.path).parent)
    scratch = ctx.raw / "usage"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        result = ingest(con, source, file, usage_key(ctx), scratch, _known_ids(ctx, source, file), _today(ctx))
    except UsageFileError as error:
        ctx.log.warning("stage.usage_file_failed", source=source.name)
        row = _row(ctx, file, "failed", error=str(error))
        statements = put_usage_file(ctx.ledger, row)
        return Outcome(statements=statements, stats={"usage.files_failed": 1}, report={f"usage_file:{file_id(file)}": str(error)})
    parts = [_take(ctx, item, table, path, n) for n, (table, path) in enumerate(sorted(result.parts.items()))]
    if result.rejects:
        parts.append(_usage_rejects(ctx, item, result.rejects))
    killpoint(AFTER_PARTS)
    row = _row(
        ctx,
        file,
        "live",
        rows_in=result.rows_in,
        rows_done=result.rows_done,
        rows_set_aside=result.rows_set_aside,
        first_day=result.first_day,
        last_day=result.last_day,
    )
    counts = {"usage.rows_in": result.rows_in, "usage.rows_done": result.rows_done, "usage.rows_set_aside": result.rows_set_aside, "usage.files": 1}
    return Outcome(lake_files=parts, statements=put_usage_file(ctx.ledger, row), stats=counts)


def _row(ctx: StepContext, file: UsageFile, state: str, **more: Any) -> UsageFileRow:
    counts: dict[str, Any] = {"rows_in": 0, "rows_done": 0, "rows_set_aside": 0, "first_day": None, "last_day": None}
    return UsageFileRow(
        id=file_id(file),
        source=file.source,
        path=file.path,
        content_hash=file.content_hash,
        size=file.size,
        modified_at=file.modified_at,
        state=state,
        run_id=ctx.run.id,
        **(counts | more),
    )


def _take(ctx: StepContext, item: Item, table: str, path: Path, n: int) -> LakeFile:
    temporary = ctx.lake.part_writer(table, item, n)
    shutil.move(path, temporary)
    return ctx.lake.finish(temporary)


def _usage_rejects(ctx: StepContext, item: Item, rejects: Sequence[Reject]) -> LakeFile:
    rows = [
        {"run_id": ctx.run.id, "source": r.source, "where_": r.where, "column_": r.column, "value": r.value, "reason": r.reason, "remedy": r.remedy}
        for r in rejects
    ]
    temporary = ctx.lake.part_writer("usage_rejects", item)
    pq.write_table(pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in SCHEMAS["usage_rejects"]])), temporary)
    return ctx.lake.finish(temporary)


def _known_ids(ctx: StepContext, source: UsageSource, file: UsageFile) -> str | None:
    """Row ids of the source's other live files: a row id that comes again is a double."""
    if source.columns.row_id is None:
        return None
    others = [row.id for row in usage_files(ctx.ledger, source.name) if row.path != file.path]
    if not others:
        return None
    relation = ctx.lake.relation(ctx.files("usage_ids"), SCHEMAS["usage_ids"])
    return f"(SELECT id_hash, file_id FROM {relation} WHERE file_id IN ({', '.join(literal(i) for i in others)}))"


def _today(ctx: StepContext) -> date:
    return ctx.run.as_of.astimezone(ZoneInfo(ctx.mappings.calendar.timezone)).date()


def usage_key(ctx: StepContext) -> bytes:
    """Key of the hash over user keys: the setting, else one made once and kept beside the lake's parts, readable by the worker's user only."""
    if ctx.settings.hash_key is not None:
        return ctx.settings.hash_key.get_secret_value().encode()
    path = ctx.lake.root / ".hash_key"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        temporary = path.with_name(f".hash_key.{secrets.token_hex(4)}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(secrets.token_hex(32).encode())
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):  # another process was first: its key counts
            os.link(temporary, path)
        temporary.unlink()
    return path.read_bytes()
