"""Usage exports in files (CSV, CSV.gz, Parquet, JSON lines): one file becomes lake parts, column-wise in DuckDB, and rows set aside.

Grain and columns of the parts: docs/architecture.md. Days are dates in the source's time zone. A file is taken as a whole or not at all
(UsageFileError); a row is taken or set aside, and rows_in = rows_done + rows_set_aside.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from connectors.base import IngestResult, UsageFile
from connectors.usage import parts
from connectors.usage.checks import Fault, constants, faults, projection, required
from connectors.usage.errors import UsageFileError
from connectors.usage.folder import discover, file_id, hold, still
from connectors.usage.reading import Reader, broken, missing_columns, read_csv, read_jsonl, read_parquet, rewrite
from connectors.usage.rejects import set_aside
from mappings.models import UsageSource

__all__ = ["UsageFileError", "discover", "file_id", "ingest"]

TEMP_TABLES = ("usage_rows", "usage_bad_lines", "usage_bad_scans", "usage_doubles")


def ingest(con: DuckDBPyConnection, source: UsageSource, file: UsageFile, key: bytes, into: Path, known_ids: str | None, today: date) -> IngestResult:
    """Writes the file's parts as `<into>/<table>-<file_id>.parquet` and says what became of its rows. A table without rows has no part.

    `con`: a connection at DuckDB's default `preserve_insertion_order`, allowed to read the file's folder and `into`; temporary tables of this
    call are dropped at its end. `key`: secret of the installation, for the hashes of user keys and row ids. `known_ids`: SQL relation with
    `id_hash` and `file_id` of the source's other live files, without earlier versions of this path; null = compare within the file only. It is
    looked at only for sources whose files add up (`replaces: file`): where a later export replaces days, the same id in two files is no double.
    `today`: the company's date; days after tomorrow are refused.

    Raises UsageFileError if the file as a whole cannot be taken; then nothing is left in `into`.
    """
    lacking = [role for role in required(source) if getattr(source.columns, role) is None]
    if lacking:
        raise UsageFileError(file.path, f"usage mapping '{source.name}' names no column for {', '.join(lacking)}", "Add it under columns.")
    source = source.model_copy(update={"format": source.format_of(file.path)})
    stamp = hold(file)
    into.mkdir(parents=True, exist_ok=True)
    written: dict[str, Path] = {}
    try:
        with _workbench(con, into) as scratch:
            reader, found = _load(con, source, file, scratch, today)
            _must_have_columns(con, reader, file)
            doubles = parts.mark_doubles(con, source, key, known_ids, file_id(file))
            outcome = set_aside(con, source, reader, file, found, doubles)
            written = parts.write(con, source, key, file_id(file), into, constants=constants(source, reader), doubles=any(doubles))
            still(file, stamp)
            first, last = parts.days(con)
    except duckdb.Error as error:
        _remove(into, file)
        raise broken(file.path, error) from None
    except BaseException:
        _remove(into, file)
        raise
    return IngestResult(written, outcome.rows_in, outcome.rows_in - outcome.count, outcome.count, outcome.kept, first, last)


def _load(con: DuckDBPyConnection, source: UsageSource, file: UsageFile, scratch: Path, today: date) -> tuple[Reader, list[Fault]]:
    """Fills the temporary table usage_rows: every row of the file, judged."""
    reader = _reader(con, source, file.path, scratch)
    try:
        return reader, _fill(con, source, reader, today)
    except duckdb.InvalidInputException as error:
        if "invalid state" not in str(error) or reader.text_path is None:
            raise
    # the one thing DuckDB's strict CSV parser cannot do: line ends of several kinds in one file
    path = rewrite(file.path, reader.text_path, reader.gzipped, "utf-8-sig", scratch)
    even = read_csv(source.model_copy(update={"encoding": "utf-8"}), str(path), scratch)
    _drop(con)
    return even, _fill(con, source, even, today)


def _reader(con: DuckDBPyConnection, source: UsageSource, path: str, scratch: Path) -> Reader:
    if source.format == "parquet":
        return read_parquet(con, source, path)
    return read_csv(source, path, scratch) if source.format == "csv" else read_jsonl(source, path, scratch)


def _fill(con: DuckDBPyConnection, source: UsageSource, reader: Reader, today: date) -> list[Fault]:
    found = faults(source, reader)
    con.execute(f"create temp table usage_rows as {projection(source, reader, found)}", {"latest": today + timedelta(days=1)})
    return found


def _must_have_columns(con: DuckDBPyConnection, reader: Reader, file: UsageFile) -> None:
    """JSON lines have no header: a mapped key that none of the first lines has must at least occur somewhere."""
    if reader.json_keys is None:
        return
    absent = {role: name for role, name in reader.names.items() if name not in reader.json_keys and reader.values[role].startswith('"')}
    if not absent:
        return
    ((*counts,),) = con.execute(f"select {', '.join(f'count({reader.values[role]})' for role in absent)} from {reader.relation}").fetchall()
    missing = {role: name for (role, name), count in zip(absent.items(), counts, strict=True) if count == 0}
    if missing:
        raise missing_columns(file.path, missing, sorted(reader.json_keys))


@contextmanager
def _workbench(con: DuckDBPyConnection, into: Path) -> Iterator[Path]:
    """A scratch folder beside the parts, and no temporary tables of an earlier call before or after."""
    _drop(con)
    scratch = Path(tempfile.mkdtemp(prefix="usage-", dir=into))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        _drop(con)


def _drop(con: DuckDBPyConnection) -> None:
    for table in TEMP_TABLES:
        con.execute(f"drop table if exists {table}")


def _remove(into: Path, file: UsageFile) -> None:
    for path in into.glob(f"*-{file_id(file)}.parquet"):
        path.unlink(missing_ok=True)
