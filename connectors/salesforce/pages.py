"""Raw pages on disk: every column text, named by the mapping's field path, instants as `2026-01-05T03:41:05.000Z`."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

#: Identity columns of every page, besides the asked fields.
IDENTITY = ("_id", "_modified_at", "_deleted", "_master_id")
_OFFSET = re.compile(r"([+-])0000$")


class Pages:
    """Writes numbered pages into an emptied folder. Each is synced: a committed pull must find them after a power cut."""

    def __init__(self, into: Path, columns: Sequence[str]) -> None:
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(parents=True)
        self._into = into
        self.schema = pa.schema([(name, pa.string()) for name in (*IDENTITY, *columns)])
        self.paths: list[Path] = []
        self.rows = 0

    def write(self, table: pa.Table, number: int | None = None) -> None:
        """One page; columns the table lacks become null. `number` orders pages that arrive out of order."""
        if table.num_rows == 0:
            return
        nulls = pa.nulls(table.num_rows, pa.string())
        # objects without IsDeleted (users) have no deleted records
        blanks = {"_deleted": pa.repeat(pa.scalar("false"), table.num_rows)}
        columns = [table[name] if name in table.column_names else blanks.get(name, nulls) for name in self.schema.names]
        whole = pa.table(columns, schema=self.schema)
        path = self._into / f"{len(self.paths) if number is None else number:06d}.parquet"
        pq.write_table(whole, path, compression="zstd", use_dictionary=True)
        with path.open("rb") as handle:
            os.fsync(handle.fileno())
        self.paths.append(path)
        self.rows += table.num_rows

    def close(self) -> tuple[Path, ...]:
        handle = os.open(self._into, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        return tuple(sorted(self.paths))


def table_of(records: Sequence[Mapping[str, Any]], columns: Mapping[str, str], instants: frozenset[str]) -> pa.Table:
    """JSON records as a page. `columns`: page column -> API path; `instants`: the page columns that hold instants."""
    return pa.table({name: pa.array(_values(records, path, name in instants), pa.string()) for name, path in columns.items()})


def _values(records: Sequence[Mapping[str, Any]], path: str, is_instant: bool) -> Iterator[str | None]:
    steps = path.split(".")
    for record in records:
        value: Any = record
        for step in steps:
            value = value.get(step) if isinstance(value, Mapping) else None  # a lookup that is empty: "Account": null
        yield _as_text(value, is_instant)


def _as_text(value: Any, is_instant: bool) -> str | None:
    if value is None or value == "":
        return None  # Bulk CSV cannot tell the two apart, so neither do we
    if value is True or value is False:
        return "true" if value else "false"
    text = str(value).replace("\x00", "")
    return _OFFSET.sub("Z", text) if is_instant else text
