"""CSV of Bulk API 2.0: declared delimiter and line ending, header rules, the quoting of result files."""

import csv
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.salesforce.sandbox.schema import FieldDef, ObjectDef

DELIMITERS = {"COMMA": ",", "SEMICOLON": ";", "PIPE": "|", "TAB": "\t", "CARET": "^", "BACKQUOTE": "`"}
ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
_BLOCK = 1 << 20
MAX_HEADER = 32_000  # characters

FindObject = Callable[[str], ObjectDef | None]
Visible = Callable[[ObjectDef], frozenset[str]]


class BadUpload(Exception):
    """The upload fails its job; the text becomes the job's errorMessage."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A column such as `Account.Ext__c`: the record is found by the value of `by` on `target` and its id goes into `reference`."""

    reference: FieldDef
    target: ObjectDef
    by: FieldDef


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an upload: the field it sets, directly or through a lookup."""

    header: str
    field: FieldDef
    lookup: Lookup | None = None


def check_line_endings(path: Path, declared: str) -> None:
    """Refuses a file whose line breaks (those inside quotes too) are not the declared ones."""
    windows = total = 0
    last = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            windows += block.count(b"\r\n") + (last == b"\r" and block[:1] == b"\n")
            total += block.count(b"\n")
            last = block[-1:]
    if (declared == "LF" and windows) or (declared == "CRLF" and windows != total):
        raise BadUpload(f"ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {declared}")


def read_rows(path: Path, delimiter: str) -> Generator[list[str], None, None]:
    """Header and records of an upload, empty lines left out; BadUpload where it is not CSV in UTF-8."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            yield from (row for row in csv.reader(file, delimiter=DELIMITERS[delimiter], strict=True) if row)
    except UnicodeDecodeError:
        raise BadUpload("InvalidBatch : Failed to parse input file. The file is not valid UTF-8") from None
    except csv.Error as error:
        raise BadUpload(f"InvalidBatch : Failed to parse CSV: {error}") from None


def columns_of(header: Sequence[str], item: ObjectDef, find: FindObject, visible: Visible) -> list[Column]:
    """The columns of a header. The first unknown name fails the job; a field hidden from the user is unknown too."""
    if len(",".join(header)) > MAX_HEADER:
        raise BadUpload(f"ClientInputError : the header has more than {MAX_HEADER} characters")
    found = []
    for name in header:
        column = _lookup_column(name, item, find, visible) if "." in name else _plain_column(name, item, visible)
        if column is None:
            raise BadUpload(f"InvalidBatch : Field name not found : {name}")
        found.append(column)
    return found


def _plain_column(name: str, item: ObjectDef, visible: Visible) -> Column | None:
    field = item.get(name)
    return Column(name, field) if field is not None and field.key in visible(item) else None


def _lookup_column(name: str, item: ObjectDef, find: FindObject, visible: Visible) -> Column | None:
    relationship, _, key = name.partition(".")
    kind, colon, rest = relationship.partition(":")
    reference = item.parent(rest if colon else kind)
    if reference is None or reference.key not in visible(item):
        return None
    if colon and not reference.polymorphic:
        raise BadUpload(f"InvalidBatch : type is not needed for non polymorphic foreign key: {name}")
    if not colon and reference.polymorphic:
        raise BadUpload(f"InvalidBatch : type is needed for polymorphic foreign key: {name}")
    target = find(kind if colon else reference.reference_to[0])
    by = target.get(key) if target is not None else None
    if target is None or by is None or by.key not in visible(target) or not (by.external_id or by.id_lookup or by.type == "id"):
        return None
    return Column(name, reference, Lookup(reference, target, by))


def result_writer(sink: Any, delimiter: str, line_ending: str) -> Any:
    """A csv writer that quotes every value, as the vendor's result files do."""
    return csv.writer(sink, delimiter=DELIMITERS[delimiter], lineterminator=ENDINGS[line_ending], quoting=csv.QUOTE_ALL)


def header_line(quoted: Sequence[str], bare: Sequence[str], delimiter: str, line_ending: str) -> bytes:
    """The header of a result file: the vendor quotes its own columns and leaves the user's bare."""
    own = [f'"{name}"' for name in quoted]
    return (DELIMITERS[delimiter].join([*own, *bare]) + ENDINGS[line_ending]).encode()
