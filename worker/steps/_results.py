"""What write_back leaves: results of every record in the run folder, and our writes in the lake.

`results-<item>-<n>.parquet`: rows with `field` = '' are records, one for each record of `changes`, and their states add up to it; rows with a
field name one field at fault. `letter` marks what is to be set aside as a dead letter: `value_hash` is of the values that were refused.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from worker.items import Item, LakeFile, StepContext
from worker.steps._rediff import Decision, Wanted
from worker.store.registers import value_hash

#: States of a record, as counted in a run's report.
STATES = ("ok", "rejected", "unprocessed", "held", "invalid", "superseded")

RESULTS = pa.schema(
    [
        ("connection", pa.string()),
        ("object", pa.string()),
        ("record_id", pa.string()),
        ("external_key", pa.string()),
        ("account_id", pa.string()),
        ("field", pa.string()),
        ("state", pa.string()),
        ("created", pa.bool_()),
        ("code", pa.string()),
        ("text", pa.string()),
        ("value_hash", pa.string()),
        ("letter", pa.bool_()),
        ("sent_fields", pa.int64()),
    ]
)
_WRITES = pa.schema(
    [
        *((name, pa.string()) for name in ("connection", "object", "record_id", "external_key", "field", "value", "previous", "state", "run_id")),
        ("item_id", pa.int64()),
        ("as_of", pa.timestamp("us", "UTC")),
        ("written_at", pa.timestamp("us", "UTC")),
    ]
)


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the results."""

    connection: str
    object: str
    record_id: str | None
    external_key: str | None
    account_id: str
    field: str
    state: str
    created: bool = False
    code: str = ""
    text: str = ""
    value_hash: str = ""
    letter: bool = False
    sent_fields: int = 0


@dataclass(frozen=True, slots=True)
class Write:
    """One acknowledged field."""

    object: str
    record_id: str
    external_key: str | None
    field: str
    value: str | None
    previous: str | None


def results_path(ctx: StepContext, item: Item, n: int) -> Path:
    return ctx.folder / f"results-{item.id}-{n}.parquet"


def leave_results(ctx: StepContext, item: Item, n: int, rows: Sequence[Result]) -> None:
    """Results of an item, whole or not at all; a second attempt takes the place of the first. `n` tells its rounds apart."""
    leave(results_path(ctx, item, n), _table(rows, RESULTS))


def read_results(path: Path) -> list[Result]:
    return [Result(**row) for row in pq.read_table(path).to_pylist()]


def leave(path: Path, table: pa.Table) -> None:
    """A file of the run folder, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(table, temporary)
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    os.replace(temporary, path)


def lake_writes(ctx: StepContext, item: Item, n: int, writes: Sequence[Write], written_at: datetime) -> LakeFile | None:
    """Acknowledged writes as a lake part; null where there is none."""
    if not writes:
        return None
    common = {"connection": item.payload["connection"], "state": "acknowledged", "run_id": ctx.run.id, "item_id": item.id, "as_of": ctx.run.as_of}
    common["written_at"] = written_at
    temporary = ctx.lake.part_writer("writes", item, n)
    pq.write_table(_table(writes, _WRITES, common), temporary, compression="zstd")
    return ctx.lake.finish(temporary)


def _table(rows: Sequence[Any], schema: pa.Schema, common: Mapping[str, Any] | None = None) -> pa.Table:
    """Objects as a table, column by column: a dictionary per row would take as much memory as all the rest. `common`: the same in every row."""
    same = common or {}
    columns = [
        pa.repeat(pa.scalar(same[f.name], f.type), len(rows)) if f.name in same else pa.array([getattr(row, f.name) for row in rows], f.type)
        for f in schema
    ]
    return pa.table(columns, schema=schema)


def field_rows(connection: str, wanted: Wanted, decision: Decision) -> list[Result]:
    """Rows for fields that cannot be sent or are held."""
    values = {wish.field: wish.value for wish in wanted.wishes}
    at = (connection, wanted.object, wanted.record_id, wanted.external_key, wanted.account_id)
    rows = [
        Result(*at, name, "invalid", code="INVALID", text=why, value_hash=value_hash({name: values[name]}), letter=True)
        for name, why in decision.invalid.items()
    ]
    return rows + [Result(*at, name, "held", code="HELD", text="A person changed it; it is held until released.") for name in decision.held]


def counted_states(rows: Sequence[Result]) -> dict[str, float]:
    """Stats of a report: records by state, and fields sent."""
    totals: dict[str, float] = {}
    for row in rows:
        if row.field == "":
            totals[f"writes.{row.state}"] = totals.get(f"writes.{row.state}", 0) + 1
            totals["writes.fields"] = totals.get("writes.fields", 0) + row.sent_fields
    return totals


def hash_of(values: Mapping[str, str | None]) -> str:
    return value_hash(values)
