"""How DuckDB reads one usage file as rows of text (or, for Parquet, of typed columns): header, encoding, compression, delimiter.

Leaves a `Reader`: a relation in SQL and, per role of the mapping, the expression that is its raw value. Whatever is wrong with the file as a
whole is found here or in the first query over `Reader.relation`, and becomes a UsageFileError.
"""

import codecs
import csv
import difflib
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import duckdb
import orjson

from connectors.usage.errors import UsageFileError
from mappings.models import UsageSource

HEAD_BYTES = 1 << 20  # enough for any header we can believe in
CHUNK = 8 << 20
LINE_BYTES_MAX = 2_000_000  # a longer line is set aside as a whole
CR = b"\r"
DECLARE = "Declare the encoding of the export (encoding: cp932, shift_jis, utf-16 …)."
DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Reader:
    """`values`: role (tenant_key, day …) -> SQL expression over `relation`; `kinds`: role -> text | number | date | timestamp | timestamptz."""

    relation: str
    values: dict[str, str]
    kinds: dict[str, str]
    names: dict[str, str]  # role -> the export's column name, for messages
    text_path: Path | None = None  # the bytes DuckDB reads, for line numbers; null for Parquet
    gzipped: bool = False
    newline: bytes = b"\n"
    quoted: bool = False  # CSV: a quote may hide a line end
    header: bool = False
    json_keys: frozenset[str] | None = None  # keys seen in the first lines


def roles(source: UsageSource) -> dict[str, str]:
    """Role -> column name, for the columns this kind of source uses."""
    wanted = source.columns.model_dump(exclude_none=True)
    events_only, snapshot_only = {"user_key", "feature", "events", "seconds"}, {"metric", "value", "occurred_at"}
    drop = snapshot_only if source.kind == "events" else events_only
    return {role: name for role, name in wanted.items() if role not in drop}


def literal(text: str) -> str:
    """An SQL string."""
    return "'" + text.replace("'", "''") + "'"


def quoted_name(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def sql_path(path: Path | str) -> str:
    """An SQL string naming exactly this file: DuckDB would take `[`, `*` and `?` as a pattern."""
    return literal(re.sub(r"([\[*?])", r"[\1]", str(path)))


def path_values(path: str) -> dict[str, str]:
    """`…/day=2026-01-05/region=jp/part.parquet` -> {day: 2026-01-05, region: jp}: folders of a partitioned export carry columns."""
    pairs = (part.split("=", 1) for part in Path(path).parts[:-1] if "=" in part)
    return dict(pair for pair in pairs if pair[0])


def missing_columns(path: str, missing: dict[str, str], present: list[str]) -> UsageFileError:
    """Names what is missing and what comes nearest."""
    said = []
    by_lower = {name.lower(): name for name in present}
    for role, name in missing.items():
        near = [by_lower[n] for n in difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)]
        said.append(f"'{name}' ({role}{'; nearest: ' + ', '.join(repr(n) for n in near) if near else ''})")
    shown = ", ".join(present[:20]) + (" …" if len(present) > 20 else "")
    what = f"missing column {', '.join(said)}; the file has: {shown}"
    return UsageFileError(path, what, "Correct the columns of the usage mapping, or the export.")


# --- CSV -----------------------------------------------------------------------------------------------------------------------------------------
def read_csv(source: UsageSource, path: str, scratch: Path) -> Reader:
    """A reader over a CSV file, plain or gzip. Other encodings than UTF-8 are rewritten once, streaming, into `scratch`."""
    text_path, gzipped = _as_utf8(source, path, scratch)
    head = _head(path, text_path, gzipped)
    newline = CR if CR in head and b"\n" not in head else b"\n"
    header = _header(source, path, head)
    values, names, from_path = {}, roles(source), path_values(path)
    missing = {}
    for role, name in names.items():
        if header.count(name) > 1:
            raise UsageFileError(path, f"the header names column '{name}' {header.count(name)} times", "Name each column once in the export.")
        if name in header:
            values[role] = f"c{header.index(name)}"
        elif name in from_path:
            values[role] = literal(from_path[name])
        else:
            missing[role] = name
    if missing:
        raise _other_delimiter(source, path, head, header) or missing_columns(path, missing, header)
    columns = ", ".join(f"'c{n}': 'VARCHAR'" for n in range(len(header)))
    blank = len(head) - len(head.lstrip(b"\r\n"))  # DuckDB would take an empty first line for the header
    skip = head[:blank].count(newline)
    relation = (
        f"read_csv({sql_path(text_path)}, auto_detect=false, header=true, skip={skip}, columns={{{columns}}}, "
        f"delim={literal(source.delimiter)}, quote='\"', escape='\"', compression='{'gzip' if gzipped else 'none'}', "
        f"hive_partitioning=false, max_line_size={LINE_BYTES_MAX}, "
        "ignore_errors=true, store_rejects=true, rejects_table='usage_bad_lines', rejects_scan='usage_bad_scans', rejects_limit=0)"
    )
    return Reader(relation, values, dict.fromkeys(values, "text"), names, text_path, gzipped, newline, quoted=True, header=True)


def _header(source: UsageSource, path: str, head: bytes) -> list[str]:
    try:
        text = codecs.getincrementaldecoder("utf-8")("strict").decode(head)
    except UnicodeDecodeError as error:
        line_end = min((at for at in (head.find(b"\n"), head.find(b"\r")) if at >= 0), default=len(head))
        if error.start < line_end:
            raise UsageFileError(path, "the header is not UTF-8", DECLARE) from None
        text = head[:line_end].decode("utf-8")
    text = text.removeprefix("\ufeff")
    if "\0" in text.splitlines()[0]:
        raise UsageFileError(path, "the header holds NUL bytes", "Declare the encoding (encoding: utf-16?), or export the file as text.")
    row = next((row for row in csv.reader(io.StringIO(text, newline=""), delimiter=source.delimiter) if row), [])
    return [name.strip() for name in row]


def _other_delimiter(source: UsageSource, path: str, head: bytes, header: list[str]) -> UsageFileError | None:
    if len(header) != 1:
        return None
    first = header[0]
    other = next((d for d in DELIMITERS if d != source.delimiter and d in first), None)
    if other is None:
        return None
    what = f"with delimiter {source.delimiter!r} the header is one column; it looks like {other!r}"
    return UsageFileError(path, what, f"Set delimiter: {other!r} in the mapping.")


# --- JSON lines ----------------------------------------------------------------------------------------------------------------------------------
def read_jsonl(source: UsageSource, path: str, scratch: Path) -> Reader:
    """A reader over one JSON object per line, plain or gzip. A line that is none is read as a row of nulls."""
    text_path, gzipped = _as_utf8(source, path, scratch)
    head = _head(path, text_path, gzipped).removeprefix(codecs.BOM_UTF8)
    lines = [line for line in head.split(b"\n") if line.strip()]
    keys = _json_keys(lines[:200])
    if keys is None:
        raise UsageFileError(path, "line 1 is not a JSON object", "Export one JSON object per line (no array around them, no line breaks inside).")
    names, from_path = roles(source), path_values(path)
    values = {role: literal(from_path[name]) if name in from_path and name not in keys else quoted_name(name) for role, name in names.items()}
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in dict.fromkeys(names.values()))
    relation = (
        f"read_json({sql_path(text_path)}, format='newline_delimited', columns={{{columns}}}, ignore_errors=true, "
        f"compression='{'gzip' if gzipped else 'none'}', hive_partitioning=false)"
    )
    return Reader(relation, values, dict.fromkeys(values, "text"), names, text_path, gzipped, json_keys=frozenset(keys))


def _json_keys(lines: list[bytes]) -> set[str] | None:
    """Keys of the objects among these lines; null if the first is none."""
    keys: set[str] = set()
    for number, line in enumerate(lines):
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            value = None
        if isinstance(value, dict):
            keys |= value.keys()
        elif number == 0:
            return None
    return keys


# --- Parquet -------------------------------------------------------------------------------------------------------------------------------------
def read_parquet(con: duckdb.DuckDBPyConnection, source: UsageSource, path: str) -> Reader:
    """A reader over a Parquet file. Types are the file's; a column whose type cannot hold its role is an error of the file."""
    relation = f"read_parquet({sql_path(path)}, hive_partitioning=false)"
    try:
        described = con.execute(f"describe select * from {relation}").fetchall()
    except duckdb.Error as error:
        raise broken(path, error) from None
    types = {str(row[0]): str(row[1]) for row in described}
    names, from_path = roles(source), path_values(path)
    missing = {role: name for role, name in names.items() if name not in types and name not in from_path}
    if missing:
        raise missing_columns(path, missing, list(types))
    values, kinds = {}, {}
    for role, name in names.items():
        if name not in types:
            values[role], kinds[role] = literal(from_path[name]), "text"
            continue
        kind = _kind(role, types[name])
        if kind is None:
            raise UsageFileError(path, f"column '{name}' ({role}) has type {types[name]}", f"Export it as {_wanted(role)}.")
        values[role], kinds[role] = quoted_name(name), kind
        if kind == "text" and types[name] != "VARCHAR":
            values[role] += "::VARCHAR"
    return Reader(relation, values, kinds, names)


_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"}


def _kind(role: str, type_name: str) -> str | None:
    if role in ("day", "occurred_at"):
        if type_name.startswith("TIMESTAMP"):
            return "timestamptz" if "ZONE" in type_name else "timestamp"
        return {"DATE": "date", "VARCHAR": "text"}.get(type_name)
    if role in ("events", "seconds", "value"):
        number = type_name in _INTEGERS or type_name in ("FLOAT", "DOUBLE") or type_name.startswith("DECIMAL")
        return "number" if number else "text" if type_name == "VARCHAR" else None
    return "text" if type_name in _INTEGERS or type_name in ("VARCHAR", "UUID") or type_name.startswith("ENUM") else None


def _wanted(role: str) -> str:
    dates, numbers = ("day", "occurred_at"), ("events", "seconds", "value")
    return "a date, a time stamp or text" if role in dates else "a number or text" if role in numbers else "text or a whole number"


# --- bytes ---------------------------------------------------------------------------------------------------------------------------------------
def broken(path: str, error: duckdb.Error) -> Exception:
    """DuckDB's complaint about a file as ours. What is not the file's fault (memory, disk, interrupt) is given back unchanged."""
    text = str(error)
    if isinstance(error, duckdb.OutOfMemoryException | duckdb.InterruptException | duckdb.PermissionException) or "No space left" in text:
        return error
    if "GZIP" in text or "gzip" in text:
        return UsageFileError(path, "the gzip stream is damaged or cut off", "Export or transfer the file again.")
    if "parquet" in text.lower() or "magic bytes" in text or "thrift" in text.lower():
        return UsageFileError(path, "this is not a whole Parquet file", "Export or transfer the file again.")
    if "object" in text and "size" in text:
        return UsageFileError(path, "a JSON line is larger than 16 MiB", "Export without that object, or split it.")
    if isinstance(error, duckdb.InvalidInputException | duckdb.ConversionException | duckdb.IOException | duckdb.SerializationException):
        return UsageFileError(path, f"the file cannot be parsed ({type(error).__name__})", "Check delimiter, quotes and line ends of the export.")
    return error


def is_gzip(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


@contextmanager
def opened(path: Path, gzipped: bool) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked."""
    with open(path, "rb") as raw:
        yield cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if gzipped else raw


def _head(path: str, text_path: Path, gzipped: bool) -> bytes:
    with opened(text_path, gzipped) as stream:
        head = _first(path, stream, HEAD_BYTES)
    if not head.removeprefix(codecs.BOM_UTF8).strip():
        raise UsageFileError(path, "the file is empty: not even a header", "Check the export job; an export without rows still has its header.")
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise UsageFileError(path, "the file is UTF-16, the mapping says UTF-8", "Set encoding: utf-16 in the mapping.")
    return head


def _first(path: str, stream: IO[bytes], size: int) -> bytes:
    try:
        return stream.read(size)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UsageFileError(path, "the gzip stream is damaged or cut off", "Export or transfer the file again.") from None


def _as_utf8(source: UsageSource, path: str, scratch: Path) -> tuple[Path, bool]:
    """Path of the same text in UTF-8, and whether it is gzip."""
    original = Path(path)
    gzipped = is_gzip(original)
    if source.encoding == "utf-8":
        with opened(original, gzipped) as stream:
            marked = source.format == "jsonl" and _first(path, stream, 3) == codecs.BOM_UTF8  # DuckDB's JSON reader does not know the mark
        return (rewrite(path, original, gzipped, "utf-8-sig", scratch), False) if marked else (original, gzipped)
    return rewrite(path, original, gzipped, source.encoding, scratch), False


def _is_utf8(data: bytes) -> bool:
    """Text in another encoding practically never happens to be valid UTF-8, while UTF-8 read as that encoding often gives garbage without a fault."""
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(data)
    except UnicodeDecodeError:
        return False
    return not data.isascii()


def rewrite(path: str, original: Path, gzipped: bool, encoding: str, scratch: Path) -> Path:
    """The text in UTF-8 with plain line feeds, streaming; line numbers stay."""
    target = scratch / "as_utf8.txt"
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    ends = io.IncrementalNewlineDecoder(None, translate=True)
    done = 0
    try:
        with opened(original, gzipped) as stream, open(target, "w", encoding="utf-8", newline="") as out:
            while data := stream.read(CHUNK):
                if done == 0 and encoding not in ("utf-8-sig", "utf-16") and _is_utf8(data):
                    raise UsageFileError(path, f"the file is UTF-8, the mapping says {encoding}", "Set encoding: utf-8 in the mapping.")
                out.write(str(ends.decode(decoder.decode(data))))
                done += len(data)
            out.write(str(ends.decode(decoder.decode(b"", final=True), final=True)))
    except UnicodeError as error:
        at = done + getattr(error, "start", 0)
        what = f"byte {at} is not {encoding}"
        raise UsageFileError(path, what, "Declare the encoding the export really has, or repair the export.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UsageFileError(path, "the gzip stream is damaged or cut off", "Export or transfer the file again.") from None
    return target
