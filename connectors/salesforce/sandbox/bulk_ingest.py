"""Works off an ingest job: internal batches of 10,000 records, each applied, counted and written to its result files in one step."""

import random
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from connectors.salesforce.sandbox.bulk_csv import BadUpload, Column, Lookup, check_line_endings, columns_of, header_line, read_rows, result_writer
from connectors.salesforce.sandbox.bulk_jobs import Job, Jobs
from connectors.salesforce.sandbox.errors import RowError, RowResult, SalesforceError
from connectors.salesforce.sandbox.schema import column_sql, quote
from connectors.salesforce.sandbox.soql_result import Org
from connectors.salesforce.sandbox.state import State, User

BATCH = 10_000  # records (vendor: internal batch size)
_COPY = 1 << 20
RESULT_HEADERS = {"ok": ("sf__Id", "sf__Created"), "failed": ("sf__Id", "sf__Error")}


class _Lost(Exception):
    """Another worker has this batch, or the job was aborted: what was done for it is rolled back."""


def process(state: State, job: Job, claim: str) -> None:
    """Applies the batches that are still to do and ends the job."""
    jobs = Jobs(state)
    fault = next(iter(state.faults.take("bulk_job", object=job.object)), None)
    if fault is not None and fault.get("state") == "InProgress":
        jobs.hang(job, claim)
        return
    stop_after = int(fault.get("after_records", 0)) if fault is not None else None
    try:
        _apply(state, jobs, job, claim, stop_after)
    except BadUpload as error:
        jobs.finish(job, claim, "Failed", error=str(error))
    except SalesforceError as error:
        jobs.finish(job, claim, "Failed", error=f"InvalidBatch : {error.code} : {error.message}")
    except _Lost:
        return
    else:
        if fault is None:
            jobs.finish(job, claim, "JobComplete")
        else:
            jobs.finish(job, claim, str(fault.get("state", "Failed")), error=str(fault.get("message", "Unknown : the job failed")))


def _apply(state: State, jobs: Jobs, job: Job, claim: str, stop_after: int | None) -> None:
    upload = jobs.path(job.id, "upload.csv")
    check_line_endings(upload, job.line_ending)
    user = state.user(job.user_id)
    org = Org(state, user)
    item = state.object_for(job.object, user)
    with closing(read_rows(upload, job.delimiter)) as rows:
        header = next(rows, None)
        if header is None:
            return
        columns = columns_of(header, item, org.object, org.visible)
        for _ in islice(rows, job.next_batch * BATCH):
            continue  # applied before a restart
        batch = job.next_batch
        while stop_after is None or batch * BATCH < stop_after:
            size = BATCH if stop_after is None else min(BATCH, stop_after - batch * BATCH)
            chunk = _chunk(rows, size, len(header), batch * BATCH)
            if not chunk:
                return
            _batch(state, jobs, job, claim, user, columns, batch, chunk)
            batch += 1


def _chunk(rows: Iterator[list[str]], size: int, width: int, before: int) -> list[list[str]]:
    """The next records; a ragged one ends the job before its batch is applied."""
    chunk: list[list[str]] = []
    for row in islice(rows, size):
        if len(row) != width:
            raise BadUpload(f"InvalidBatch : Failed to parse CSV: record {before + len(chunk) + 1} has {len(row)} values, the header has {width}")
        chunk.append(row)
    return chunk


def _batch(state: State, jobs: Jobs, job: Job, claim: str, user: User, columns: Sequence[Column], batch: int, chunk: list[list[str]]) -> None:
    started = time.monotonic()
    with state.transaction():
        results = _write(state, job, user, columns, chunk)
        failed = sum(not result.success for result in results)
        _write_results(state, jobs, job, batch, columns, chunk, results)
        spent = int((time.monotonic() - started) * 1000)
        if not jobs.advance(job, claim, batch, processed=len(chunk), failed=failed, milliseconds=spent):
            raise _Lost
    state.count("bulk_batches")


def _write(state: State, job: Job, user: User, columns: Sequence[Column], chunk: list[list[str]]) -> list[RowResult]:
    names = [None if column.lookup is not None else column.field.name for column in columns]
    plain = [index for index, name in enumerate(names) if name is not None]
    records = [{columns[index].field.name: row[index] for index in plain} for row in chunk]
    refused = _resolve_lookups(state, columns, chunk, records)
    good = [index for index in range(len(chunk)) if index not in refused]
    external = job.spec.get("externalIdFieldName") if job.operation == "upsert" else None
    written = state.write_records(job.object, job.operation, [records[index] for index in good], external_id_field=external, user=user, source="csv")
    done = dict(zip(good, written, strict=True))
    return [done[index] if index in done else RowResult(None, False, errors=[refused[index]]) for index in range(len(chunk))]


def _resolve_lookups(state: State, columns: Sequence[Column], chunk: list[list[str]], records: list[dict[str, str]]) -> dict[int, RowError]:
    """Fills reference fields from `Relationship.Key` columns; returns the rows whose key names no record or several."""
    refused: dict[int, RowError] = {}
    for position, column in enumerate(columns):
        lookup = column.lookup
        if lookup is None:
            continue
        wanted = {row[position] for row in chunk} - {"", "#N/A"}
        found = _find(state, lookup, sorted(wanted))
        for index, row in enumerate(chunk):
            value = row[position]
            if value in ("", "#N/A"):
                if value:
                    records[index][lookup.reference.name] = value
                continue
            ids = found.get(value.lower(), [])
            if len(ids) == 1:
                records[index][lookup.reference.name] = ids[0]
            else:
                why = "not found" if not ids else "matches more than one record"
                text = f"Foreign key external ID: {value.lower()} {why} for field {lookup.by.name} in entity {lookup.target.name}"
                refused.setdefault(index, RowError("INVALID_FIELD", text))
    return refused


def _find(state: State, lookup: Lookup, values: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    column = column_sql(lookup.by, "t")
    for start in range(0, len(values), 500):
        part = values[start : start + 500]
        marks = ",".join("?" * len(part))
        sql = f'SELECT {column}, t."Id" FROM {quote(lookup.target.name)} AS t WHERE {column} IN ({marks}) AND t."IsDeleted" = 0'
        for key, record_id in state.read(sql, list(part)):
            found.setdefault(str(key).lower(), []).append(record_id)
    return found


def _write_results(
    state: State, jobs: Jobs, job: Job, batch: int, columns: Sequence[Column], chunk: list[list[str]], results: Sequence[RowResult]
) -> None:
    """Result files of one batch, in an order of their own: the vendor promises none."""
    order = list(range(len(chunk)))
    random.Random(f"{state.side.setting('bulk_seed', '0')}/{job.id}/{batch}").shuffle(order)
    for kind in RESULT_HEADERS:
        rows = [index for index in order if results[index].success is (kind == "ok")]
        with jobs.path(job.id, f"{kind}-{batch:05d}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = result_writer(file, job.delimiter, job.line_ending)
            for index in rows:
                result = results[index]
                second = str(result.created).lower() if kind == "ok" else result.errors[0].as_csv()
                writer.writerow([result.id or "", second, *chunk[index]])


def result_stream(state: State, job: Job, kind: str) -> Iterator[bytes]:
    """A result file (`ok` or `failed`) in pieces."""
    jobs = Jobs(state)
    yield header_line(RESULT_HEADERS[kind], _header(jobs, job), job.delimiter, job.line_ending)
    batches = list(range(job.next_batch))
    random.Random(f"{state.side.setting('bulk_seed', '0')}/{job.id}").shuffle(batches)
    for batch in batches:
        yield from _pieces(jobs.path(job.id, f"{kind}-{batch:05d}.csv"))


def unprocessed_stream(state: State, job: Job) -> Iterator[bytes]:
    """The records no batch has taken, in pieces: header and rows of the upload after the last one processed."""
    jobs = Jobs(state)
    yield header_line((), _header(jobs, job), job.delimiter, job.line_ending)
    if job.state == "JobComplete":
        return
    lines: list[str] = []
    writer = result_writer(_Collect(lines), job.delimiter, job.line_ending)
    for row in islice(_readable(jobs.path(job.id, "upload.csv"), job.delimiter), job.processed + 1, None):
        writer.writerow(row)
        if len(lines) >= 1_000:
            yield "".join(lines).encode()
            lines.clear()
    yield "".join(lines).encode()


class _Collect:
    """A text sink that keeps every written line apart."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


def _header(jobs: Jobs, job: Job) -> list[str]:
    with closing(_readable(jobs.path(job.id, "upload.csv"), job.delimiter)) as rows:
        return next(rows, [])


def _readable(path: Path, delimiter: str) -> Generator[list[str], None, None]:
    """The rows of an upload up to where it stops being CSV; none when nothing was uploaded."""
    if not path.exists():
        return
    try:
        yield from read_rows(path, delimiter)
    except BadUpload:
        return


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_COPY):
            yield piece
