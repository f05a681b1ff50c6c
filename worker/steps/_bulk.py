"""write_back by Bulk jobs: what differs from small batches is that the answer comes later, perhaps to another process.

The job's id is in the ledger before its data is uploaded; what was sent, and what was booked without sending, lies in the run folder by then. After
a crash a job that got its data is waited for; one without data is aborted and the batch begins anew with a re-read.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.base import WriteResult, WriteState
from mappings.models import WriteField
from worker.items import Item, Outcome, StepContext
from worker.killpoint import killpoint, register
from worker.steps import _pending
from worker.steps._rediff import Decision, Past, Wanted
from worker.steps._results import Result, counted_states, lake_writes, leave, leave_results, read_results, results_path
from worker.store import registers
from worker.store.registers import BulkJobRow

if TYPE_CHECKING:
    from pathlib import Path

    from worker.steps.write_back import Batch

AFTER_CREATE = register(
    "write_back.bulk.after_create", "An open job nobody knows, without data; a later bulk batch aborts it. The item begins anew with a re-read."
)
AFTER_COMMIT = register("write_back.bulk.after_commit", "A known job without data; the next attempt aborts it, re-reads and starts another.")
AFTER_UPLOAD = register("write_back.bulk.after_upload", "A known job with its data; the next attempt waits for it and reads its results.")

#: Rounds a record may take: a job, and what it left unprocessed or locked, twice.
ROUNDS = 3
#: Between looks at a job, seconds: growing from the first to the last.
POLL_S, POLL_MOST_S = 0.5, 30.0
#: An open job younger than this may be another worker's that is just being filled.
ORPHAN_AFTER = timedelta(minutes=10)
#: What is worth another round: somebody was in the way, or the org stumbled.
AGAIN = frozenset({"UNABLE_TO_LOCK_ROW", "UNKNOWN_EXCEPTION"})
_TEXT = pa.string()
_SENDS = pa.schema([(name, _TEXT) for name in ("record_id", "external_key", "account_id", "send", "before")])


def start(batch: Batch, sends: Sequence[tuple[Wanted, Decision]]) -> Outcome:
    """Create a job, note its id, upload; then wait without holding a worker."""
    ctx, item, crm = batch.ctx, batch.item, batch.crm
    fields = batch.used_fields([one for one, _ in sends])
    batch.check()
    key_field = _address(batch, sends)
    job = crm.bulk_start(fields, batch.object, key_field)
    killpoint(AFTER_CREATE)
    leave(_sends_path(ctx, item, job.id), _table(sends))
    leave_results(ctx, item, _booked(batch), batch.rows)
    registers.commit(ctx.ledger, registers.put_bulk_job(ctx.ledger, _row(batch, job.id, "open")))
    killpoint(AFTER_COMMIT)
    batch.check()
    crm.bulk_upload(job.id, fields, [batch.record(one, decision) for one, decision in sends], key_field)
    killpoint(AFTER_UPLOAD)
    part = lake_writes(ctx, item, 1, batch.acknowledged, batch.started_at)
    return _waiting(batch, job.id, [part] if part else [], registers.put_holds(ctx.ledger, batch.holds))


def _address(batch: Batch, sends: Sequence[tuple[Wanted, Decision]]) -> WriteField | None:
    """Our key for new records; null = by record id. A job has either the one kind or the other."""
    return batch.key_field if sends[0][0].record_id is None else None


def _booked(batch: Batch) -> int:
    """Number of the results file of what a round booked without sending; the file of what came back is the next number."""
    return 2 * batch.round


def booked(batch: Batch) -> list[Result]:
    """What this round has booked without sending, as far as it came to a job."""
    path = results_path(batch.ctx, batch.item, _booked(batch))
    return read_results(path) if path.exists() else []


def _waiting(batch: Batch, job_id: str, files: list, statements: list) -> Outcome:  # type: ignore[type-arg]
    """The job has its data: look again later. Also what a restarted item comes to, so the counts come from the file."""
    noted = read_results(results_path(batch.ctx, batch.item, _booked(batch)))
    known = registers.put_bulk_job(batch.ctx.ledger, _row(batch, job_id, "uploaded"))
    payload = {**batch.item.payload, "phase": "poll", "job_id": job_id, "looks": 0, "sent_at": batch.started_at.isoformat()}
    return Outcome(
        lake_files=files,
        statements=[*known, *statements],
        stats=counted_states(noted),
        report=batch.report(),
        wait_until=batch.started_at + timedelta(seconds=POLL_S),
        payload=payload,
    )


def resume(batch: Batch) -> Outcome | None:
    """After a crash: the outcome of a job that got its data; null if there is none (a job without data is aborted)."""
    for row in registers.bulk_jobs(batch.ctx.ledger, item_id=batch.item.id):
        if row.state != "open":
            continue
        batch.check()
        state = batch.crm.bulk_poll(row.job_id).state
        if state not in ("open", "aborted"):
            return _waiting(batch, row.job_id, [], [])
        batch.crm.bulk_abort(row.job_id)
        registers.commit(batch.ctx.ledger, registers.put_bulk_job(batch.ctx.ledger, _row(batch, row.job_id, "aborted")))
        results_path(batch.ctx, batch.item, _booked(batch)).unlink(missing_ok=True)
    return None


def poll(batch: Batch) -> Outcome:
    """Look at the job; when it is over, book every record it was given."""
    ctx, item = batch.ctx, batch.item
    job_id, looks = str(item.payload["job_id"]), int(item.payload["looks"])
    batch.check()
    job = batch.crm.bulk_poll(job_id)
    if job.state in ("open", "uploaded", "running"):
        wait = timedelta(seconds=min(POLL_S * 1.5**looks, POLL_MOST_S))
        return Outcome(wait_until=batch.started_at + wait, payload={**item.payload, "looks": looks + 1})
    sends = _read(_sends_path(ctx, item, job_id), batch.object)
    results = batch.crm.bulk_results(job_id, [batch.record(one, decision) for one, decision in sends], _address(batch, sends))
    batch.started_at = datetime.fromisoformat(item.payload["sent_at"])
    later = _written_since(batch, sends)
    left: list[str] = []
    for (one, decision), result in zip(sends, results, strict=True):
        if one.key in later:
            _restore(batch, one, decision, later[one.key])
        elif batch.round + 1 < ROUNDS and _worth_again(result):
            left.append(one.key)
        else:
            batch.take(one, decision, _explained(result, job.message))
    if left:
        leave(_left_path(ctx, item, batch.round + 1), pa.table({"record_key": pa.array(left, _TEXT)}))
    outcome = batch.outcome(left=left)
    ended = registers.put_bulk_job(ctx.ledger, _row(batch, job_id, job.state))
    return Outcome(**{**outcome.__dict__, "statements": [*outcome.statements, *ended]})


def _worth_again(result: WriteResult) -> bool:
    return result.state == WriteState.UNPROCESSED or (result.state == WriteState.REJECTED and result.code in AGAIN)


def _explained(result: WriteResult, message: str) -> WriteResult:
    """An unprocessed record with what the org says of the job as a whole."""
    if result.state != WriteState.UNPROCESSED or not message:
        return result
    return WriteResult(result.state, result.record_id, code="BULK_JOB", message=f"The bulk job ended early: {message[:200]}")


def _written_since(batch: Batch, sends: Sequence[tuple[Wanted, Decision]]) -> dict[str, dict[str, Past]]:
    """Records that a later run wrote while the job was under way: record key -> field -> what that run wrote."""
    _pending.load(batch.ctx, batch.con, batch.item, [one.key for one, _ in sends])
    found: dict[str, dict[str, Past]] = {}
    for key, fields in _pending.past(batch.ctx, batch.con).items():
        newer = {name: p for name, p in fields.items() if p.newest_as_of is not None and p.newest_as_of > batch.ctx.run.as_of}
        if newer:
            found[key] = newer
    return found


def _restore(batch: Batch, one: Wanted, decision: Decision, newer: dict[str, Past]) -> None:
    """The job may have put our older values over a later run's: where it did, the later ones are written again."""
    batch.book(one, "superseded", text="A later run wrote this record.")
    if one.record_id is None:
        return
    fields = [f for f in batch.used_fields([one]) if f.key in newer]
    batch.check()
    live = batch.crm.reread(fields, [one.record_id]).get(one.record_id, {})
    lost = {name: p.acknowledged[0] for name, p in newer.items() if name in live and live[name] == decision.send.get(name) != p.acknowledged[0]}
    if not lost:
        return
    with batch.under_way():
        batch.crm.write(fields, [batch.record(one, Decision(send=lost))], key_field=None)


def left_over(ctx: StepContext, item: Item, round_: int) -> list[str]:
    """Record keys that an earlier round did not settle."""
    keys: list[str] = pq.read_table(_left_path(ctx, item, round_))["record_key"].to_pylist()
    return keys


def abort_orphans(batch: Batch) -> None:
    """Jobs of ours that a crash left open and unknown."""
    known = {row.job_id for row in registers.bulk_jobs(batch.ctx.ledger, batch.connection)}
    batch.check()
    aborted = batch.crm.bulk_orphans(known, batch.crm.server_now() - ORPHAN_AFTER)
    if aborted:
        batch.ctx.log.warning("write_back.orphans_aborted", jobs=len(aborted))


def _sends_path(ctx: StepContext, item: Item, job_id: str) -> Path:
    return ctx.folder / f"sends-{item.id}-{job_id}.parquet"


def _left_path(ctx: StepContext, item: Item, round_: int) -> Path:
    return ctx.folder / f"left-{item.id}-{round_}.parquet"


def _row(batch: Batch, job_id: str, state: str) -> BulkJobRow:
    return BulkJobRow(batch.item.id, job_id, batch.connection, batch.object, state, batch.started_at, batch.started_at)


def _table(sends: Sequence[tuple[Wanted, Decision]]) -> pa.Table:
    rows = [
        {
            "record_id": one.record_id,
            "external_key": one.external_key,
            "account_id": one.account_id,
            "send": orjson.dumps(decision.send).decode(),
            "before": orjson.dumps(decision.before).decode(),
        }
        for one, decision in sends
    ]
    return pa.Table.from_pylist(rows, _SENDS)


def _read(path: Path, object_name: str) -> list[tuple[Wanted, Decision]]:
    found = []
    for row in pq.read_table(path).to_pylist():
        send = orjson.loads(row["send"])
        one = Wanted(object_name, row["record_id"], row["external_key"], row["account_id"], ())
        found.append((one, Decision(send=send, before=orjson.loads(row["before"]))))
    return found
