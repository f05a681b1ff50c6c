"""Raw pages on disk, as every CRM's reading leaves them: all columns text, named by the mapping's field path."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mappings.models import ConstColumn, FieldColumn, Source, SqlColumn

#: Identity columns of every page, besides the asked fields.
IDENTITY = ("_id", "_modified_at", "_deleted", "_master_id")


def mapped_fields(source: Source, extra: Sequence[str]) -> list[str]:
    """Field paths a source needs, each once, in the mapping's order."""
    paths: dict[str, None] = {}
    for spec in source.columns.values():
        if isinstance(spec, str):
            paths[spec] = None
        elif isinstance(spec, FieldColumn):
            paths[spec.field] = None
        elif isinstance(spec, SqlColumn):
            paths.update(dict.fromkeys(spec.fields))
        else:
            assert isinstance(spec, ConstColumn)
    paths.update(dict.fromkeys(extra))
    return list(paths)


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
