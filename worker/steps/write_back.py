"""write_back: changes → CRM, one result per record. Exactly once in effect: intents are stored first, and a restart re-reads and re-diffs.

An item passes phases, each ended by a commit: `intend` (our intents become a lake part), `send` (re-read, decide, write), and for Bulk `poll` (the
job's id was committed before its upload). Nothing is ever sent again blindly.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from connectors.base import Crm, FieldInfo, RecordWrite, WriteResult, WriteState
from connectors.errors import Misfit, NotAllowed, QuotaSpent, Refused
from mappings.models import WriteField
from worker.items import Item, LakeFile, NewItem, Outcome, StepContext
from worker.killpoint import killpoint, register
from worker.sql import literal
from worker.steps import _bulk, _down, _overwritten, _pending
from worker.steps._aside import leave_aside
from worker.steps._rediff import Decision, Wanted, decide, slices
from worker.steps._results import Result, Write, counted_states, field_rows, hash_of, lake_writes, leave_results
from worker.steps._sources import counted
from worker.store import leases, registers
from worker.store.leases import Lease

AFTER_INTENT = register("write_back.intent.after_part", "A part with intents that has no row; swept. Nothing was sent; the item begins anew.")
BEFORE_SEND = register("write_back.send.before", "Intents are stored, nothing of this batch is sent. The next attempt re-reads, re-diffs and sends.")
AFTER_SEND = register(
    "write_back.send.after",
    "The CRM holds our values, we have no answer on record. The next attempt re-reads, finds them equal, sends nothing.",
)
AFTER_RESULTS = register("write_back.results.after_part", "Results and acknowledged writes without a row. As above; the files are written again.")

#: Records between two looks at the leases: one Collections call.
SLICE_RECORDS = 200
#: Wait for another item's write lease, seconds.
BUSY_S = 0.5
ASIDE = "aside"
BLOCKED_REMEDY = (
    "An admin of the CRM must create them or give the integration user edit access (`scoresync provision` does both); `scoresync check` names each."
)


def plan(ctx: StepContext) -> list[NewItem]:
    """One item per batch, and one that books what is not to be sent. In shadow mode nothing is sent and everything is booked as held back."""
    shadow, names = ctx.mappings.scope.shadow, list(ctx.mappings.crm)
    served = [] if shadow else [name for name in names if not _down.is_down(ctx, name)]
    batches = _pending.make_plan(ctx, ctx.engine(), bulk=[name for name in served if ctx.crm(name).bulk])
    aside = NewItem(ASIDE, {"shadow": shadow, "down": [] if shadow else [name for name in names if name not in served]})
    items = [aside]
    for connection, object_name, api, n in batches:
        if connection in served:
            key = f"{object_name}/{api}/{n}" if len(names) == 1 else f"{connection}/{object_name}/{api}/{n}"
            items.append(NewItem(key, {"connection": connection, "phase": "intend", "round": 0, "object": object_name, "api": api, "batch": n}))
    return items


def run(ctx: StepContext, item: Item) -> Outcome:
    if item.key == ASIDE:
        return Outcome(stats=counted_states(leave_aside(ctx, item)))
    if item.payload["phase"] == "intend":
        return _intend(ctx, item)
    stats: dict[str, float] = {}
    with counted(ctx, item.payload["connection"], stats) as crm, _write_lease(ctx, item) as held:
        if held is None:
            return Outcome(wait_until=_now(ctx) + timedelta(seconds=BUSY_S))
        landed_at = leases.lands_at(ctx.ledger, _call_mark(item.payload["connection"]))
        if landed_at is not None:
            return Outcome(wait_until=landed_at)
        outcome = _write(ctx, item, Batch(ctx, item, crm, held))
    merged = {name: outcome.stats.get(name, 0) + stats.get(name, 0) for name in {**outcome.stats, **stats}}
    return Outcome(**{**outcome.__dict__, "stats": merged})


def _write(ctx: StepContext, item: Item, batch: "Batch") -> Outcome:
    """One attempt. Where another connection is served besides, one that is out of reach costs its own records only: they wait for the next run."""
    if item.payload["phase"] == "send" and _down.is_down(ctx, batch.connection):
        return batch.cut_off({})
    try:
        return batch.run()
    except _down.DOWN as error:
        if not _down.may_be_left_out(ctx, item, batch.connection, error):
            raise
        return batch.cut_off(_down.note(ctx, batch.connection, error))


@contextmanager
def _write_lease(ctx: StepContext, item: Item) -> Iterator[Lease | None]:
    """One writer per connection at a time; fenced, so that one who was thought dead cannot go on writing."""
    with leases.holding(ctx.ledger, f"write/{item.payload['connection']}", ctx.settings.lease_s) as held:
        yield held


def _call_mark(connection: str) -> str:
    return f"call/{connection}"


def _one_address(sends: Sequence[tuple[Wanted, Decision]]) -> tuple[list[tuple[Wanted, Decision]], list[tuple[Wanted, Decision]]]:
    """What one job can take, and the rest: the larger of the records that are there (by their id) and the new ones (by our key).

    A record that is there is never addressed by our key: if a person changed the key after the pull, an upsert would make a second record.
    """
    there = [(one, decision) for one, decision in sends if one.record_id is not None]
    new = [(one, decision) for one, decision in sends if one.record_id is None]
    return (there, new) if len(there) >= len(new) else (new, there)


def _now(ctx: StepContext) -> datetime:
    with ctx.ledger.read() as connection:
        return ctx.ledger.now(connection)


def _intend(ctx: StepContext, item: Item) -> Outcome:
    """Stores what is meant to be written, before anything is sent, so that after a crash the CRM's values can be told from a person's."""
    con = ctx.engine()
    _pending.load(ctx, con, item, None)
    now = _now(ctx)
    stamps = f"{literal(ctx.run.id)} AS run_id, CAST({item.id} AS BIGINT) AS item_id, {literal(ctx.run.as_of)} AS as_of, {literal(now)} AS written_at"
    columns = "connection, object, record_id, external_key, field, our_value AS value, crm_value AS previous, 'intended' AS state"
    part = ctx.lake.write(con, f"SELECT {columns}, {stamps} FROM batch", "writes", item)
    killpoint(AFTER_INTENT)
    return Outcome(lake_files=[part] if part else [], wait_until=now, payload={**item.payload, "phase": "send"})


class Batch:
    """One attempt at one batch, under the write lease."""

    def __init__(self, ctx: StepContext, item: Item, crm: Crm, held: Lease) -> None:
        self.ctx, self.item, self.crm, self.held = ctx, item, crm, held
        self.con = ctx.engine()
        self.connection = str(item.payload["connection"])
        self.object = str(item.payload["object"])
        self.round = int(item.payload["round"])
        fields = [f for f in ctx.mappings.writeback.of(self.object) if f.owner == "worker" and f.set in ctx.mappings.writeback.sets]
        self.fields = {f.key: f for f in fields}
        self.key_field = next((f for f in fields if f.external_key), None) if self.object == "csql" else None
        self.rows: list[Result] = []
        self.acknowledged: list[Write] = []
        self.holds: list[registers.Hold] = []
        self.blocked: set[str] = set()
        self.noticed: dict[str, Any] = {}
        self.started_at = _now(ctx)

    def run(self) -> Outcome:
        if self.item.payload["phase"] == "poll":
            return _bulk.poll(self)
        resumed = _bulk.resume(self)
        if resumed is not None:
            return resumed
        wanted = self.load()
        sends = self.decide_all(wanted)
        if self.item.payload["api"] == "bulk":
            job, rest = _one_address(sends)
            # a job costs five calls and its waiting: what little is left of a large batch goes as small batches
            if job and (len(job) > _pending.ITEM_RECORDS or self.ctx.settings.write_api == "bulk"):
                _bulk.abort_orphans(self)
                self.send(rest)
                return _bulk.start(self, job)
        self.send(sends)
        return self.outcome()

    # --- deciding --------------------------------------------------------------------------------------------------------------------------------
    def load(self) -> list[Wanted]:
        only = _bulk.left_over(self.ctx, self.item, self.round) if self.round else None
        _pending.load(self.ctx, self.con, self.item, only)
        return _pending.wanted(self.con)

    def decide_all(self, wanted: Sequence[Wanted]) -> list[tuple[Wanted, Decision]]:
        """Records that have something to send; the others are booked."""
        past = _pending.past(self.ctx, self.con)
        released = _pending.released(self.ctx, self.connection, wanted)
        infos = self.infos()
        used = self.used_fields(wanted)
        self._must_be_writable(used, infos)
        live = self._reread(wanted, used)
        sends: list[tuple[Wanted, Decision]] = []
        for one in wanted:
            history = past.get(one.key, {})
            newer = [p.newest_as_of for p in history.values() if p.newest_as_of is not None and p.newest_as_of > self.ctx.run.as_of]
            record_id, values = live.get(one.key, (one.record_id, None))
            here = Wanted(one.object, record_id, one.external_key, one.account_id, one.wishes)
            if newer:
                self.book(here, "superseded", text="A later run wrote this record.")
            elif one.record_id is not None and values is None:
                self.book(here, "superseded", code="GONE", text="The record was deleted or merged away meanwhile.")
            else:
                decision = decide(here, values, history, released.get(record_id or "", {}), self.fields, infos)
                self._book_rest(here, decision, sends)
        least = self.ctx.mappings.writeback.overwritten.records
        self.noticed = _overwritten.noticed(self.crm, self.fields, self.holds, self.item.id, least)
        return sends

    def _reread(self, wanted: Sequence[Wanted], used: Sequence[WriteField]) -> dict[str, tuple[str, Mapping[str, str | None]]]:
        """Record key -> (record id, live values); records that do not exist are absent."""
        self.check()
        ids = [w.record_id for w in wanted if w.record_id is not None]
        found = {key: (key, values) for key, values in self.crm.reread(used, ids).items()}
        keys = [w.external_key for w in wanted if w.record_id is None and w.external_key is not None]
        if keys and self.key_field is not None:
            for key, values in self.crm.find_by_key(used, self.key_field, keys).items():
                found[key] = (str(values["_id"]), {name: value for name, value in values.items() if name != "_id"})
        return found

    def _must_be_writable(self, used: Sequence[WriteField], infos: Mapping[str, FieldInfo]) -> None:
        """One field that we may not write costs that field, said once and not per record. Where it is all of them, nobody has set up the org."""
        self.blocked = {f.key for f in used if f.key not in infos}
        if used and len(self.blocked) == len(used):
            raise Misfit(f"The CRM lets us write none of our fields on {self.object}.", remedy=BLOCKED_REMEDY)

    def _book_rest(self, one: Wanted, decision: Decision, sends: list[tuple[Wanted, Decision]]) -> None:
        self.rows += field_rows(self.connection, one, decision)
        if one.record_id is not None:
            since, run_id = self.started_at, self.ctx.run.id
            self.holds += [
                registers.Hold(self.connection, self.object, one.record_id, name, value, since, run_id) for name, value in decision.held.items()
            ]
            self.acknowledge(one, decision, decision.settled)
        if decision.send:
            sends.append((one, decision))
        else:
            ends = (("ok", decision.settled), ("held", decision.held), ("invalid", decision.invalid), ("rejected", decision.blocked))
            state = next((state for state, any_of in ends if any_of), "ok")
            self.book(one, state, code="NOT_WRITABLE" if state == "rejected" else "")

    # --- sending ---------------------------------------------------------------------------------------------------------------------------------
    def send(self, sends: Sequence[tuple[Wanted, Decision]]) -> None:
        """Small batches, the leases looked at before each."""
        by_key = {one.key or one.external_key: (one, decision) for one, decision in sends}
        used = self.used_fields([one for one, _ in sends])
        done = 0
        for part in slices([one for one, _ in sends], SLICE_RECORDS):
            self.check()
            killpoint(BEFORE_SEND)
            pairs = [by_key[one.key] for one in part]
            with self.under_way():
                results = self.crm.write(used, [self.record(one, decision) for one, decision in pairs], key_field=self.key_field)
            killpoint(AFTER_SEND)
            for (one, decision), result in zip(pairs, results, strict=True):
                self.take(one, decision, result)
            done += len(part)
            self.ctx.progress(done, len(sends))

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Marks a call until its answer is here. Where none came, the CRM may still carry it out: the next look at the records waits for that."""
        leases.begin_call(self.ctx.ledger, _call_mark(self.connection), self.ctx.settings.landing_s)
        try:
            yield
        except (Misfit, NotAllowed, QuotaSpent, Refused):  # an answer, if not the one hoped for
            leases.end_call(self.ctx.ledger, _call_mark(self.connection))
            raise
        leases.end_call(self.ctx.ledger, _call_mark(self.connection))

    def record(self, one: Wanted, decision: Decision) -> RecordWrite:
        return RecordWrite(one.record_id, one.external_key, one.account_id, decision.send)

    def take(self, one: Wanted, decision: Decision, result: WriteResult) -> None:
        """Book one answer."""
        at_fault = [name for name in result.fields if name in decision.send]
        if result.state == WriteState.OK:
            written = {name: value for name, value in decision.send.items() if name not in at_fault}
            record_id = result.record_id or one.record_id
            there = Wanted(one.object, record_id, one.external_key, one.account_id, one.wishes)
            self.acknowledge(there, decision, written)
            self.book(there, "ok", created=result.created, sent=len(written))
            self._letters(there, decision, at_fault, result)
        elif result.state == WriteState.GONE:
            self.book(one, "superseded", code="GONE", text=result.message)
        elif result.state == WriteState.UNPROCESSED:
            self.book(one, "unprocessed", code=result.code, text=result.message)
        else:
            whole = "" if at_fault else hash_of(decision.send)
            self.book(one, "rejected", code=result.code, text=result.message, whole=whole)
            self._letters(one, decision, at_fault, result)

    def _letters(self, one: Wanted, decision: Decision, names: Sequence[str], result: WriteResult) -> None:
        for name in names:
            hashed = hash_of({name: decision.send[name]})
            at = (self.connection, one.object, one.record_id, one.external_key, one.account_id)
            self.rows.append(Result(*at, name, "rejected", code=result.code, text=result.message, value_hash=hashed, letter=True))

    def acknowledge(self, one: Wanted, decision: Decision, values: Mapping[str, str | None]) -> None:
        assert one.record_id is not None
        for name, value in values.items():
            self.acknowledged.append(Write(one.object, one.record_id, one.external_key, name, value, decision.before.get(name)))

    def book(self, one: Wanted, state: str, *, code: str = "", text: str = "", created: bool = False, sent: int = 0, whole: str = "") -> None:
        at = (self.connection, one.object, one.record_id, one.external_key, one.account_id)
        self.rows.append(Result(*at, "", state, created, code, text, whole, bool(whole), sent))

    # --- shared ----------------------------------------------------------------------------------------------------------------------------------
    def check(self) -> None:
        """Both leases are still ours; LeaseLost if not."""
        self.ctx.check_lease()
        leases.renew(self.ctx.ledger, self.held, self.ctx.settings.lease_s)

    def infos(self) -> dict[str, FieldInfo]:
        """What the CRM says of each field that we may write now, by our key."""
        vendor = self.ctx.mappings.crm[self.connection].vendor
        described = self.crm.describe(self.object)
        names = {key: f.names[vendor].lower() for key, f in self.fields.items() if vendor in f.names}
        return {key: described[name] for key, name in names.items() if name in described and _writable(described[name])}

    def used_fields(self, wanted: Sequence[Wanted]) -> list[WriteField]:
        used = {wish.field for one in wanted for wish in one.wishes}
        return [f for key, f in self.fields.items() if key in used]

    def outcome(self, *, left: Sequence[str] = ()) -> Outcome:
        """Everything booked, in one commit. `left`: record keys that go into another round."""
        part = lake_writes(self.ctx, self.item, 1, self.acknowledged, self.started_at)
        leave_results(self.ctx, self.item, 2 * self.round + 1, self.rows)
        killpoint(AFTER_RESULTS)
        files: list[LakeFile] = [part] if part else []
        again: dict[str, Any] = {}
        if left:
            again = {"wait_until": _now(self.ctx), "payload": {**self.item.payload, "phase": "send", "round": self.round + 1, "job_id": None}}
        statements = registers.put_holds(self.ctx.ledger, self.holds)
        return Outcome(lake_files=files, statements=statements, stats=counted_states(self.rows), report=self.report(), **again)

    def cut_off(self, report: Mapping[str, Any]) -> Outcome:
        """The connection is gone in the middle: what has no answer yet is unprocessed. The next run reads it again and goes on from there."""
        booked = [*self.rows, *_bulk.booked(self)]
        done = {key for row in booked if row.field == "" for key in (row.record_id, row.external_key) if key}
        for one in self.load():
            if not {one.record_id, one.external_key} & done:
                self.book(one, "unprocessed", code=_down.CODE, text=_down.TEXT)
        outcome = self.outcome()
        return Outcome(**{**outcome.__dict__, "report": {**outcome.report, **report}})

    def report(self) -> dict[str, Any]:
        """Fields that could not be written on any record, and those found changed by others."""
        blocked = {f"not_writable:{self.object}": f"{', '.join(sorted(self.blocked))}: {BLOCKED_REMEDY}"} if self.blocked else {}
        return self.noticed | blocked


def _writable(info: FieldInfo) -> bool:
    return (info.updateable or info.createable) and not info.calculated
