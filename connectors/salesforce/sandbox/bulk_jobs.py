"""Bulk API 2.0 jobs as rows of the org's database, and who may work on one.

A job's files lie in `<state>-bulk/<job id>/`. A worker thread claims a job; a claim is free again when its process is dead or its lease has
run out, so that a job survives a restart. What a claim cannot promise, the batch number does: a batch and the move of `next_batch` commit
together, so that no row is applied twice.
"""

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import orjson

from connectors.salesforce.sandbox.errors import SalesforceError, not_found
from connectors.salesforce.sandbox.ids import make_id
from connectors.salesforce.sandbox.state import State, User

LEASE = 120.0  # seconds of real time
LIST_PAGE = 1_000  # jobs per page of the job list (vendor)
DDL = """
CREATE TABLE IF NOT EXISTS sb_bulk_job (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, object TEXT NOT NULL, operation TEXT NOT NULL, user_id TEXT NOT NULL, spec TEXT NOT NULL,
  delimiter TEXT NOT NULL, line_ending TEXT NOT NULL, api_version TEXT NOT NULL, state TEXT NOT NULL, created TEXT NOT NULL, modified TEXT NOT NULL,
  uploaded INTEGER NOT NULL DEFAULT 0, next_batch INTEGER NOT NULL DEFAULT 0, processed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
  error TEXT, total_ms INTEGER NOT NULL DEFAULT 0, active_ms INTEGER NOT NULL DEFAULT 0, not_before REAL, claim TEXT, claim_until REAL,
  stuck INTEGER NOT NULL DEFAULT 0)
"""
_COLUMNS = (
    "id, kind, object, operation, user_id, spec, delimiter, line_ending, api_version, state, created, modified, uploaded, next_batch, processed, "
    "failed, error, total_ms, active_ms, not_before, claim, claim_until, stuck"
)
_TERMINAL = ("JobComplete", "Failed", "Aborted")


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `processed` counts records done, failures included; `not_before` is the real time (epoch seconds) processing may start."""

    id: str
    kind: str
    object: str
    operation: str
    user_id: str
    spec: dict[str, Any]
    delimiter: str
    line_ending: str
    api_version: str
    state: str
    created: str
    modified: str
    uploaded: bool
    next_batch: int
    processed: int
    failed: int
    error: str | None
    total_ms: int
    active_ms: int
    not_before: float | None
    claim: str | None
    claim_until: float | None
    stuck: bool

    @property
    def terminal(self) -> bool:
        return self.state in _TERMINAL


class Jobs:
    """The jobs of one org."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.folder = Path(f"{state.path}-bulk")

    def prepare(self) -> None:
        """Creates table and folder."""
        self.state.db.script(DDL)
        self.folder.mkdir(exist_ok=True)

    def path(self, job_id: str, name: str) -> Path:
        """A file of a job; its folder is made on demand."""
        folder = self.folder / job_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def create(self, kind: str, user: User, *, object_name: str, operation: str, spec: dict[str, Any], api_version: str, state: str) -> Job:
        """Stores a new job."""
        delay = float(self.state.side.setting("bulk_delay_seconds", "0"))
        with self.state.transaction():
            job_id = make_id("750", self.state.next_number("BulkJob"))
            now = self.state.stamp()
            self.state.db.write(
                "INSERT INTO sb_bulk_job (id, kind, object, operation, user_id, spec, delimiter, line_ending, api_version, state, created, modified, "
                "not_before) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (job_id, kind, object_name, operation, user.id, orjson.dumps(spec).decode(), spec.get("columnDelimiter") or "COMMA",
                 spec.get("lineEnding") or "LF", api_version, state, now, now, time.time() + delay if kind == "query" else None),
            )  # fmt: skip
        return self.get(job_id, kind)

    def get(self, job_id: str, kind: str) -> Job:
        """A job by 15- or 18-character id; NOT_FOUND (404)."""
        rows = self.state.read(f"SELECT {_COLUMNS} FROM sb_bulk_job WHERE kind = ? AND (id = ? OR substr(id, 1, 15) = ?)", (kind, job_id, job_id))
        if not rows:
            raise not_found()
        return _job(rows[0])

    def listing(self, kind: str, offset: int) -> tuple[list[Job], bool]:
        """A page of jobs, newest first, and whether it is the last one."""
        sql = f"SELECT {_COLUMNS} FROM sb_bulk_job WHERE kind = ? ORDER BY id DESC LIMIT ? OFFSET ?"
        rows = self.state.read(sql, (kind, LIST_PAGE + 1, offset))
        return [_job(row) for row in rows[:LIST_PAGE]], len(rows) <= LIST_PAGE

    def take_upload(self, job: Job, body: bytes) -> bool:
        """Keeps the one upload of an open job; False when there was one already. The file has its name before the job counts as uploaded."""
        temporary = self.path(job.id, f"upload.{secrets.token_hex(8)}")
        temporary.write_bytes(body)
        sql = "UPDATE sb_bulk_job SET uploaded = 1, modified = ? WHERE id = ? AND state = 'Open' AND uploaded = 0"
        with self.state.transaction():
            first = self.state.db.write(sql, (self.state.stamp(), job.id)) > 0
            if first:
                temporary.rename(self.path(job.id, "upload.csv"))
        temporary.unlink(missing_ok=True)
        return first

    def close(self, job: Job) -> bool:
        """Open → UploadComplete."""
        start = time.time() + float(self.state.side.setting("bulk_delay_seconds", "0"))
        sql = "UPDATE sb_bulk_job SET state = 'UploadComplete', modified = ?, not_before = ? WHERE id = ? AND state = 'Open'"
        return self.state.db.write(sql, (self.state.stamp(), start, job.id)) > 0

    def abort(self, job: Job) -> bool:
        """Any running state → Aborted; batches committed so far stay."""
        running = "('Open', 'UploadComplete', 'InProgress')"
        sql = f"UPDATE sb_bulk_job SET state = 'Aborted', modified = ?, claim = NULL WHERE id = ? AND state IN {running}"
        return self.state.db.write(sql, (self.state.stamp(), job.id)) > 0

    def delete(self, job: Job) -> None:
        """Forgets a job and its files."""
        self.state.db.write("DELETE FROM sb_bulk_job WHERE id = ?", (job.id,))
        rmtree(self.folder / job.id, ignore_errors=True)

    # -- working on a job ---------------------------------------------------------------------------------------------

    def due(self, job: Job) -> bool:
        """Whether nobody works on a job that waits for work and whose time has come."""
        waiting = job.state in ("UploadComplete", "InProgress") and not job.stuck
        return waiting and (job.not_before or 0) <= time.time() and _free(job)

    def claim(self, job: Job) -> str | None:
        """Takes a due job; None when somebody else was quicker."""
        token = f"{os.getpid()}:{secrets.token_hex(8)}"
        sql = (
            "UPDATE sb_bulk_job SET claim = ?, claim_until = ?, state = 'InProgress', modified = ? "
            "WHERE id = ? AND claim IS ? AND state IN ('UploadComplete', 'InProgress')"
        )
        return token if self.state.db.write(sql, (token, time.time() + LEASE, self.state.stamp(), job.id, job.claim)) else None

    def advance(self, job: Job, claim: str, batch: int, *, processed: int, failed: int, milliseconds: int) -> bool:
        """Counts a batch inside the transaction that applied it; False when another worker did it, or the job was aborted."""
        sql = (
            "UPDATE sb_bulk_job SET next_batch = ?, processed = processed + ?, failed = failed + ?, active_ms = active_ms + ?, claim_until = ? "
            "WHERE id = ? AND next_batch = ? AND claim = ? AND state = 'InProgress'"
        )
        params = (batch + 1, processed, failed, milliseconds, time.time() + LEASE, job.id, batch, claim)
        return self.state.db.write(sql, params) > 0

    def finish(self, job: Job, claim: str, state: str, *, error: str | None = None, processed: int | None = None) -> bool:
        """Ends a claimed job. `processed` sets the record count (query jobs count at the end)."""
        milliseconds = int(max(0.0, time.time() - (job.not_before or time.time())) * 1000)
        sql = (
            "UPDATE sb_bulk_job SET state = ?, error = ?, processed = coalesce(?, processed), total_ms = ?, modified = ?, claim = NULL "
            "WHERE id = ? AND claim = ?"
        )
        return self.state.db.write(sql, (state, error, processed, milliseconds, self.state.stamp(), job.id, claim)) > 0

    def hang(self, job: Job, claim: str) -> None:
        """A fault: the job stays InProgress and nobody takes it up again."""
        self.state.db.write("UPDATE sb_bulk_job SET stuck = 1, claim = NULL WHERE id = ? AND claim = ?", (job.id, claim))


def _job(row: tuple[Any, ...]) -> Job:
    values = list(row)
    values[5] = orjson.loads(values[5])
    values[12], values[22] = bool(values[12]), bool(values[22])
    return Job(*values)


def _free(job: Job) -> bool:
    if job.claim is None or (job.claim_until or 0) < time.time():
        return True
    return not _alive(int(job.claim.split(":")[0]))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def bad_state(message: str) -> SalesforceError:
    """A step the job's state does not allow."""
    return SalesforceError("INVALIDJOBSTATE", message)
