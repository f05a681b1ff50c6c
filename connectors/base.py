"""The contract between the worker and a CRM or a usage source. Vendor words end here.

Values cross this border as *canonical text* (see `connectors.values`): one spelling per value and type, null for empty. So a diff is a
comparison of two strings, whichever CRM and API they came from.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from connectors.errors import Refused
from mappings.models import Source, WriteField


@dataclass(frozen=True)
class Window:
    """Records modified in [since, until), UTC. `since` null = from the beginning (a full read)."""

    since: datetime | None
    until: datetime


@dataclass(frozen=True)
class FieldInfo:
    """One field as the CRM describes it to this user, in vendor names."""

    name: str
    type: str  # number | text | picklist | multipicklist | date | datetime | checkbox | lookup | other
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    picklist: tuple[str, ...] = ()  # active values
    restricted: bool = False
    updateable: bool = False
    createable: bool = False
    calculated: bool = False


@dataclass(frozen=True)
class ReadResult:
    """What one read left on disk: raw pages, all columns VARCHAR, named by vendor field path, datetimes as `2026-01-05T03:41:05.000Z`.

    Besides the asked fields each page has `Id`-like identity under `_id`, `_modified_at`, `_deleted` ('true'/'false') and `_master_id`.
    """

    pages: tuple[Path, ...]  # Parquet files
    rows: int
    method: str  # query | bulk
    missing_fields: tuple[str, ...] = ()  # asked for, but gone or hidden: read as null


class WriteState(StrEnum):
    OK = "ok"
    REJECTED = "rejected"  # the CRM refused the record: theirs
    UNPROCESSED = "unprocessed"  # sent or meant to be sent, no answer for it; recovery re-reads
    GONE = "gone"  # deleted or merged away meanwhile


@dataclass(frozen=True)
class RecordWrite:
    """One record to write: by `record_id`, or by `external_key` (upsert) when it may not exist yet.

    `values` maps *our* field keys to canonical text; null clears the field; a key that is absent leaves the field alone.
    """

    record_id: str | None
    external_key: str | None
    parent_id: str  # account id; records of one parent stay in one batch
    values: Mapping[str, str | None]


@dataclass(frozen=True)
class WriteResult:
    """Outcome for the write at the same position."""

    state: WriteState
    record_id: str | None = None
    created: bool = False
    code: str = ""  # vendor's code
    message: str = ""  # made safe: field and rule, no value of ours beyond what we sent
    fields: tuple[str, ...] = ()  # our field keys at fault, where the vendor names them


@dataclass(frozen=True)
class BulkJob:
    """A write job known to the CRM. `state`: open | uploaded | running | complete | failed | aborted."""

    id: str
    state: str
    message: str = ""


@dataclass(frozen=True)
class ProvisionStep:
    """One thing provisioning did or would do. `choose_store`: what CSQL records will be in this CRM; `detail` says why."""

    action: str  # choose_store | create_object | create_field | grant | exists | differs | left_out
    target: str
    detail: str = ""


@dataclass(frozen=True)
class Finding:
    """One preflight finding, for people. `severity`: error | warning."""

    severity: str
    where: str
    text: str
    remedy: str = ""


@dataclass
class CallCounts:
    """Calls made by one connector object: {kind: n}. Kinds group as reads, rereads, writes, polls (see `calls.py`)."""

    by_kind: dict[str, int] = field(default_factory=dict)


class Crm(Protocol):
    """One CRM connection. Thread-safe is not required: one object per worker process."""

    name: str
    calls: CallCounts
    bulk: bool
    """Whether the CRM has bulk write jobs. Where it has none, large writes go as small batches too, and no `bulk_` method is called (`NoBulk`)."""

    def server_now(self) -> datetime:
        """The CRM's own clock, UTC."""
        ...

    def describe(self, object_name: str) -> Mapping[str, FieldInfo]:
        """Vendor field name (lower case) -> FieldInfo, only what this user can see. Misfit if the object is unknown."""
        ...

    def check(self, sources: Sequence[Source], fields: Sequence[WriteField]) -> list[Finding]:
        """Everything that would make a run fail or degrade, all at once; touches nothing."""
        ...

    def read(self, source: Source, extra_fields: Sequence[str], window: Window, into: Path, expect_rows: int | None) -> ReadResult:
        """All records of a source changed in the window, deleted and merged ones included, as raw pages under `into`.

        Picks query or bulk by `expect_rows` (null = ask the CRM). Idempotent: `into` is emptied first.
        """
        ...

    def read_ids(self, source: Source, extra_fields: Sequence[str], ids: Sequence[str], into: Path, *, by: str = "_id") -> ReadResult:
        """The records with these ids (or whose field path `by` is one of these ids), as raw pages; for resyncs."""
        ...

    def reread(self, fields: Sequence[WriteField], ids: Sequence[str]) -> Mapping[str, Mapping[str, str | None]]:
        """Record id (18 characters) -> our field key -> canonical text, read live; ids that are gone are absent. Counted as rereads."""
        ...

    def editors(self, field: WriteField, ids: Sequence[str]) -> Mapping[str, str]:
        """Record id -> who last changed this field (where the CRM only knows that: the record), in the CRM's ids, no names. Counted as rereads."""
        ...

    def find_by_key(self, fields: Sequence[WriteField], key_field: WriteField, keys: Sequence[str]) -> Mapping[str, Mapping[str, str | None]]:
        """External key -> {'_id': record id, our key: text …} for records that exist. Counted as rereads."""
        ...

    def write(self, fields: Sequence[WriteField], writes: Sequence[RecordWrite], *, key_field: WriteField | None) -> list[WriteResult]:
        """Write at most 2,000 records by the small-batch API; one result per write, in order. Never raises for a single record."""
        ...

    def bulk_start(self, fields: Sequence[WriteField], object_name: str, key_field: WriteField | None) -> BulkJob:
        """Create a job; the caller commits its id before uploading."""
        ...

    def bulk_upload(self, job_id: str, fields: Sequence[WriteField], writes: Sequence[RecordWrite], key_field: WriteField | None) -> None:
        """Upload all rows and mark the upload complete. A no-op if the job has its data already."""
        ...

    def bulk_poll(self, job_id: str) -> BulkJob: ...

    def bulk_results(self, job_id: str, writes: Sequence[RecordWrite], key_field: WriteField | None) -> list[WriteResult]:
        """Results joined to the writes, in order."""
        ...

    def bulk_abort(self, job_id: str) -> None: ...

    def bulk_orphans(self, known: Iterable[str], before: datetime) -> list[str]:
        """Abort open jobs of our kind that nobody remembers, made before an instant; their ids."""
        ...

    def requests(self, source: Source, requested: WriteField, since: datetime) -> Mapping[str, str]:
        """Account id -> canonical text of the request field, for accounts where it is set and >= since. One read call (resync poll)."""
        ...

    def provision(self, fields: Sequence[WriteField], *, dry_run: bool, say: Callable[[ProvisionStep], None]) -> list[ProvisionStep]:
        """Create what is missing (a store for CSQLs, objects, fields, access); never changes or deletes what is there.

        Where the CRM leaves a choice of what a CSQL record is, the store that was set up before stays in use, and every method sees the records
        as CSQLs: `state` and assignee by our keys, each key once, without records of others. They are in no other source.
        """
        ...


class NoBulk:
    """For a CRM without bulk write jobs. A job of it cannot exist, so whoever asks for one has made a mistake and is told."""

    bulk = False

    def bulk_start(self, fields: Sequence[WriteField], object_name: str, key_field: WriteField | None) -> BulkJob:
        raise no_bulk()

    def bulk_upload(self, job_id: str, fields: Sequence[WriteField], writes: Sequence[RecordWrite], key_field: WriteField | None) -> None:
        raise no_bulk()

    def bulk_poll(self, job_id: str) -> BulkJob:
        raise no_bulk()

    def bulk_results(self, job_id: str, writes: Sequence[RecordWrite], key_field: WriteField | None) -> list[WriteResult]:
        raise no_bulk()

    def bulk_abort(self, job_id: str) -> None:
        raise no_bulk()

    def bulk_orphans(self, known: Iterable[str], before: datetime) -> list[str]:
        return []


def no_bulk() -> Refused:
    return Refused("This CRM has no bulk write jobs.", remedy="A fault of scoresync: please report it.", code="NO_BULK")


@dataclass(frozen=True)
class UsageFile:
    """One file of a usage export as it lies there now."""

    source: str
    path: str
    size: int
    modified_at: datetime
    content_hash: str  # sha256 of the bytes


@dataclass(frozen=True)
class Reject:
    """A row set aside. `value` is cut to 80 characters and stays in the local store; it is never logged."""

    source: str  # mapping name, or connection/entity
    where: str  # file:line, or object/record id
    column: str
    value: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class IngestResult:
    """What one file became. rows_in = rows_done + rows_set_aside always. `parts`: lake table -> Parquet path (temporary name)."""

    parts: Mapping[str, Path]
    rows_in: int
    rows_done: int
    rows_set_aside: int
    rejects: tuple[Reject, ...]  # at most REJECTS_KEPT; the count above is complete
    first_day: Any | None  # date
    last_day: Any | None


#: Rejects of one file kept one by one; beyond it they are counted only. Chosen: a screen an admin can still read.
REJECTS_KEPT = 1000

Table = pa.Table
