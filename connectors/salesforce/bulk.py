"""Bulk API 2.0, both ways, streamed (reference sheet, 4). simple-salesforce's own client holds whole files in memory and leaves nulls uncleared."""

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv as pacsv
import requests

from connectors.base import BulkJob
from connectors.calls import BrokenAnswer
from connectors.errors import ConnectorError, Misfit, Refused, Transient
from connectors.pages import Pages
from connectors.salesforce.client import HOST, Org

#: Result pages fetched at once. Chosen for 2 cores: one is parsed while the next arrives.
PARALLEL = 2
#: Up to here a result lies in memory, beyond on disk.
IN_MEMORY_BYTES = 32 * 1024 * 1024
#: Rows per raw page on disk.
PAGE_ROWS = 50_000
#: What may be uploaded to one job before base64 (sheet, 4.1).
UPLOAD_BYTES = 100 * 1000 * 1000
#: Codes after which the REST API does the same work: object not served by Bulk, or the day's Bulk jobs used up.
FALL_BACK = frozenset({"INVALIDENTITY", "API_ERROR", "LIMIT_EXCEEDED", "EXCEEDED_QUOTA", "FEATURENOTENABLED", "FUNCTIONALITY_NOT_ENABLED"})
_STATES = {
    "Open": "open",
    "UploadComplete": "uploaded",
    "InProgress": "running",
    "JobComplete": "complete",
    "Failed": "failed",
    "Aborted": "aborted",
}
_FIELD_GONE = re.compile(r"No such column '([\w.]+)'|Field name not found : ([\w.]+)")
#: A cell may hold 131,072 characters (sheet, 4.1); the csv module's own limit is one less.
csv.field_size_limit(1_000_000)


def falls_back(error: ConnectorError) -> bool:
    """Whether the REST API should do what Bulk would not."""
    return error.code in FALL_BACK


class BulkQuery:
    """Runs bulk queries for one org."""

    def __init__(self, org: Org) -> None:
        self._org = org

    def run(self, query: str, fields: Sequence[str], columns: Mapping[str, str], pages: Pages) -> None:
        """All rows of a query as pages. `fields`: the query's, in order; `columns`: page column -> field.

        Transient if the rows that came are not as many as the org counted.
        """
        body = {"operation": "queryAll", "query": query, "contentType": "CSV", "columnDelimiter": "COMMA", "lineEnding": "LF"}
        # a job made twice costs one of 10,000 a day and reads nothing twice, so a lost answer may be asked for again
        job = self._org.json("bulk_query_create", "POST", "jobs/query", body=body)
        done = self._org.door.poll(
            lambda: self._org.json("bulk_query_poll", "GET", f"jobs/query/{job['id']}"),
            lambda answer: _STATES.get(answer["state"]) in ("complete", "failed", "aborted"),
        )
        if done["state"] != "JobComplete":
            raise _query_failed(done)
        expected = int(done.get("numberRecordsProcessed") or 0)
        if expected == 0:
            return
        positions = {column: fields.index(field) for column, field in columns.items()}
        got = self._fetch(list(self._result_urls(job["id"])), positions, len(fields), pages)
        if got != expected:
            raise Transient(f"A bulk query gave {got} of {expected} rows.", remedy="It is read again by itself.", code="ROWS_MISSING")

    def _result_urls(self, job_id: str) -> Iterator[str]:
        path, base = f"jobs/query/{job_id}/resultPages", "data"
        while True:
            body = self._org.json("bulk_query_pages", "GET", path, base=base)
            yield from (page["resultUrl"] for page in body["resultPages"])
            if body.get("done", True) or not body.get("nextRecordsUrl"):
                return
            path, base = body["nextRecordsUrl"], HOST

    def _fetch(self, urls: Sequence[str], positions: Mapping[str, int], width: int, pages: Pages) -> int:
        """Fetch and parse result pages, two at a time; the number of rows."""
        rows = 0
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="bulk") as pool:
            waiting = list(urls)
            running = [pool.submit(self._page, waiting.pop(0)) for _ in range(min(PARALLEL, len(waiting)))]
            try:
                while running:
                    spool, said = running.pop(0).result()
                    if waiting:
                        running.append(pool.submit(self._page, waiting.pop(0)))
                    with spool:
                        got = _store(spool, positions, width, pages)
                    if said is not None and said != got:
                        text = f"A bulk result page gave {got} of {said} rows."
                        raise Transient(text, remedy="It is read again by itself.", code="ROWS_MISSING")
                    rows += got
            finally:
                _close_all(running)
        return rows

    def _page(self, url: str) -> tuple[IO[bytes], int | None]:
        """One result page, whole, and the number of rows its header tells."""
        return self._org.ask("bulk_query_page", "GET", url, _spooled, base=HOST, headers={"Accept": "text/csv"}, stream=True)


def _spooled(response: requests.Response) -> tuple[IO[bytes], int | None]:
    spool: IO[bytes] = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - closed by the reader
    try:
        for chunk in response.iter_content(1 << 20):
            spool.write(chunk)
        spool.seek(0)
    except BaseException:
        spool.close()
        raise
    said = response.headers.get("Sforce-NumberOfRecords", "")
    return spool, int(said) if said.isdigit() else None


def _close_all(running: Sequence[Future[tuple[IO[bytes], int | None]]]) -> None:
    """Pages on their way when another one failed."""
    for page in running:
        if page.exception() is None:
            page.result()[0].close()


def _store(spool: IO[bytes], positions: Mapping[str, int], width: int, pages: Pages) -> int:
    """Write a CSV as pages of at most PAGE_ROWS. Its columns come in the order of the SELECT, under names that depend on the API version."""
    names = [f"f{i}" for i in range(width)]
    try:
        reader = pacsv.open_csv(
            spool,
            read_options=pacsv.ReadOptions(column_names=names, skip_rows=1, block_size=8 << 20, use_threads=False),
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, quoted_strings_can_be_null=True, null_values=[""]
            ),
        )
        rows, held = 0, []
        for batch in reader:
            held.append(batch)
            if sum(b.num_rows for b in held) >= PAGE_ROWS:
                rows += _write(held, positions, pages)
                held = []
        return rows + (_write(held, positions, pages) if held else 0)
    except pa.ArrowInvalid as error:
        raise Transient(f"A bulk result page is no CSV of {width} columns.", remedy="It is read again by itself.", code="BAD_CSV") from error


def _write(batches: Sequence[Any], positions: Mapping[str, int], pages: Pages) -> int:
    table = pa.Table.from_batches(batches)
    pages.write(pa.table({column: table.column(i) for column, i in positions.items()}))
    return int(table.num_rows)


def _query_failed(job: Mapping[str, Any]) -> ConnectorError:
    message = str(job.get("errorMessage") or "no reason given")
    gone = _FIELD_GONE.search(message)
    if gone:
        field = gone[1] or gone[2]
        return Misfit(f"The field {field} is gone or hidden.", remedy="It is read as null from now on.", code="INVALID_FIELD")
    return Transient(f"Salesforce's bulk query ended as {job['state']}.", remedy="It is tried again by itself.", code="BULK_FAILED")


class BulkIngest:
    """Write jobs of one org. Every method is safe to repeat after a crash, given the job's id."""

    def __init__(self, org: Org) -> None:
        self._org = org

    def start(self, object_name: str, external_field: str | None) -> BulkJob:
        body = {
            "object": object_name,
            "operation": "upsert" if external_field else "update",
            "contentType": "CSV",
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
        }
        if external_field:
            body["externalIdFieldName"] = external_field
        # not repeated after a lost answer: the job it may have made would stay open unknown; `orphans` finds such
        return _job(self._org.json("bulk_create", "POST", "jobs/ingest", body=body, idempotent=False))

    def upload(self, job_id: str, rows: IO[bytes]) -> None:
        """Upload and mark complete; each half is skipped if it was done before."""
        if self.poll(job_id).state != "open":
            return
        try:
            self._org.json("bulk_upload", "PUT", f"jobs/ingest/{job_id}/batches", data=rows, headers={"Content-Type": "text/csv"})
        except Refused as error:
            if error.code.upper() != "INVALIDJOBSTATE":  # a second upload: the first one arrived, though its answer did not
                raise
        self._org.json("bulk_close", "PATCH", f"jobs/ingest/{job_id}", body={"state": "UploadComplete"})

    def poll(self, job_id: str) -> BulkJob:
        return _job(self._org.json("bulk_poll", "GET", f"jobs/ingest/{job_id}"))

    def abort(self, job_id: str) -> None:
        """End a job that holds no data or is not worth finishing; one that is over already stays as it is."""
        if self.poll(job_id).state in ("open", "uploaded", "running"):
            self._org.json("bulk_abort", "PATCH", f"jobs/ingest/{job_id}", body={"state": "Aborted"})

    def results(self, job_id: str, kind: str) -> Iterator[dict[str, str]]:
        """Rows of one of the three result files: successfulResults | failedResults | unprocessedrecords. Order is not the upload's."""
        spool, _ = self._org.ask("bulk_results", "GET", f"jobs/ingest/{job_id}/{kind}/", _spooled, headers={"Accept": "text/csv"}, stream=True)
        with spool, io.TextIOWrapper(spool, encoding="utf-8-sig", newline="") as lines:
            yield from csv.DictReader(lines)

    def abort_orphans(self, known: Collection[str], before: datetime, objects: Collection[str]) -> list[str]:
        """Abort jobs of this connection's user on our objects that are open, older than `before` and known to nobody."""
        jobs = [job for job in self._open_jobs() if job["id"] not in known and job["object"] in objects and _made_at(job) < before]
        if not jobs:
            return []
        me = self._org.json("userinfo", "GET", "/services/oauth2/userinfo", base=HOST)["user_id"]
        mine = [str(job["id"]) for job in jobs if job["createdById"] == me]
        for job_id in mine:
            self.abort(job_id)
        return mine

    def _open_jobs(self) -> list[dict[str, Any]]:
        """Jobs of any user that are open: made, nothing processed."""
        found: list[dict[str, Any]] = []
        path, base = "jobs/ingest?jobType=V2Ingest", "data"
        while True:
            body = self._org.json("bulk_list", "GET", path, base=base)
            found += [job for job in body["records"] if job["state"] == "Open"]
            if body.get("done", True) or not body.get("nextRecordsUrl"):
                return found
            path, base = body["nextRecordsUrl"], HOST


def _made_at(job: Mapping[str, Any]) -> datetime:
    return datetime.strptime(str(job["createdDate"]), "%Y-%m-%dT%H:%M:%S.%f%z")


def _job(body: Mapping[str, Any]) -> BulkJob:
    state = _STATES.get(str(body["state"]))
    if state is None:
        raise BrokenAnswer(f"unknown job state {body['state']!r}")
    return BulkJob(str(body["id"]), state, str(body.get("errorMessage") or ""))
