"""Claiming and ending work items. The ledger is the truth; a message or a loop only says that it is worth looking.

A claim is one conditional update. Its token fences everything after: an end whose token is no longer the item's applies nothing.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, or_, select, update

from worker.errors import LeaseLost
from worker.killpoint import killpoint, register
from worker.store import holder, manifest
from worker.store.flow import advance, insert_items, merge_report
from worker.store.ledger import Ledger
from worker.store.tables import cursor, item, run, step
from worker.store.work import Item, NewItem, Outcome, RunKind, RunState

AFTER_CLAIM = register("item.claim.after_commit", "An item leased by a dead process; taken over at once on the same host, else when its lease ends.")
BEFORE_FINISH = register("item.finish.before_commit", "Nothing of the outcome: its files are orphans. The item is done again.")
AFTER_FINISH = register("item.finish.after_commit", "The whole outcome; the messages for what follows are not sent. The sweep sends them.")
BEFORE_FAIL = register("item.fail.before_commit", "An item leased by a dead process, as after a claim; this counts as the failure.")


@dataclass(frozen=True)
class Terms:
    """On which terms items are claimed and given up."""

    lease_s: float = 120
    attempts: int = 5  # failures after which an item is dead
    backoff_s: float = 10  # doubles at each failure


def claim_next(ledger: Ledger, terms: Terms, run_id: str | None = None) -> Item | None:
    """The next item that can be worked on (of one run, or of any), resyncs first; null if there is none now."""
    return _claim(ledger, terms, item.c.run_id == run_id if run_id else None)


def claim(ledger: Ledger, item_id: int, terms: Terms) -> Item | None:
    """This item, if it can be worked on now and nobody has it."""
    return _claim(ledger, terms, item.c.id == item_id)


def _claim(ledger: Ledger, terms: Terms, only: ColumnElement[bool] | None) -> Item | None:
    claimed: Item | None = None
    with ledger.transaction() as tx:
        now = ledger.now(tx)
        wake(tx, now)
        free = claimable(now, dead_holders(tx))
        columns = (item.c.id, item.c.state, item.c.failures, run.c.id.label("run_id"), run.c.state.label("run_state"))
        query = select(*columns).join(run, run.c.id == item.c.run_id).where(free)
        if only is not None:
            query = query.where(only)
        order = (case((run.c.kind == RunKind.RESYNC, 0), else_=1), run.c.created_at, item.c.id)
        found = tx.execute(query.order_by(*order).limit(1).with_for_update(of=item, skip_locked=True)).one_or_none()
        if found is not None and (found.run_state != RunState.WAITING or _may_start(tx, ledger, found.run_id)):
            claimed = _take(tx, found, terms, now)
    if claimed is not None:
        killpoint(AFTER_CLAIM)
    return claimed


def _may_start(tx: Connection, ledger: Ledger, run_id: str) -> bool:
    """Asked again one at a time: two workers may each have found a waiting run while none was running."""
    ledger.serialize(tx)
    return tx.execute(select(run.c.id).where(run.c.id == run_id, or_(run.c.state == RunState.RUNNING, _startable()))).first() is not None


def _startable() -> ColumnElement[bool]:
    """A waiting run that may start: of full and incremental runs one works at a time, a resync always may."""
    other = run.alias()
    busy = exists().where(other.c.state == RunState.RUNNING, other.c.kind.in_((RunKind.FULL, RunKind.INCREMENT)))
    return and_(run.c.state == RunState.WAITING, or_(run.c.kind == RunKind.RESYNC, ~busy))


def wake(tx: Connection, now: datetime) -> None:
    """Paused runs whose time has come run again."""
    due = and_(run.c.state == RunState.PAUSED, run.c.resume_at <= now)
    tx.execute(update(run).where(due).values(state=RunState.RUNNING, pause=None, resume_at=None, reason=""))


def dead_holders(tx: Connection) -> list[str]:
    """Holders of leased items that are processes of this host and gone."""
    leased = tx.execute(select(item.c.holder).where(item.c.state == "leased").distinct()).scalars()
    return [name for name in leased if name and holder.is_dead(name)]


def claimable(due_at: datetime, dead: Sequence[str], lapsed_at: datetime | None = None) -> ColumnElement[bool]:
    """Items (joined to their run) that may be claimed: due, or left by a worker that died or went silent (before `lapsed_at`, default `due_at`)."""
    abandoned = or_(item.c.leased_until < (lapsed_at or due_at), item.c.holder.in_(dead))
    free = or_(and_(item.c.state == "ready", item.c.not_before <= due_at), and_(item.c.state == "leased", abandoned))
    return and_(or_(run.c.state == RunState.RUNNING, _startable()), free)


def _take(tx: Connection, found: Any, terms: Terms, now: datetime) -> Item | None:
    # a lease that was never ended is a failure: an item that kills its worker must not do so for ever
    failures = found.failures + (1 if found.state == "leased" else 0)
    if failures >= terms.attempts:
        _bury(tx, found.id, failures, "Its worker died or went silent each time.", now)
        return None
    token = uuid.uuid4().hex
    values = {
        "state": "leased",
        "token": token,
        "holder": holder.me(),
        "leased_until": now + timedelta(seconds=terms.lease_s),
        "attempts": item.c.attempts + 1,
        "failures": failures,
    }
    same = and_(item.c.id == found.id, item.c.state == found.state)
    row = tx.execute(update(item).where(same).values(values).returning(item)).one_or_none()
    if row is None:
        return None
    tx.execute(update(run).where(run.c.id == row.run_id, run.c.state == RunState.WAITING).values(state=RunState.RUNNING, started_at=now))
    tx.execute(update(step).where(step.c.run_id == row.run_id, step.c.name == row.step, step.c.started_at.is_(None)).values(started_at=now))
    return Item(row.id, row.run_id, row.step, row.key, row.payload, row.attempts, token)


def finish(ledger: Ledger, done: Item, outcome: Outcome, seconds: float = 0, *, following: Terms | None = None) -> Item | None:
    """End the item and apply its outcome in one transaction. LeaseLost: someone else has the item; nothing was applied.

    `following`: claim in that same transaction, on these terms, what comes next in the run, if it is a resync: a person waits for it, and a commit
    of its own for each claim is a tenth of the time. Any other run lets a resync go first, so its items are claimed one by one (null).
    """
    claimed: Item | None = None
    with ledger.transaction() as tx:
        now = ledger.now(tx)
        stats = _end(tx, done, outcome, seconds, now)
        manifest.register(tx, ledger, outcome.lake_files, outcome.retire_files, done.run_id)
        moved = [{**asdict(key), "value": value, "moved_at": now} for key, value in outcome.cursors.items()]
        for statement in [*ledger.upserts(cursor, moved), *outcome.statements]:
            tx.execute(statement)
        merge_report(tx, done.run_id, outcome)
        added = insert_items(tx, ledger, done.run_id, done.step, outcome.successors, now)
        added[done.step] = added.get(done.step, 0) - (0 if outcome.wait_until else 1)
        for name, delta in added.items():
            advance(tx, ledger, done.run_id, name, delta, now)
        tx.execute(update(item).where(item.c.id == done.id).values(stats=stats))
        if following is not None:
            claimed = _claim_following(tx, done.run_id, following, now)
        killpoint(BEFORE_FINISH)
    killpoint(AFTER_FINISH)
    if claimed is not None:
        killpoint(AFTER_CLAIM)
    return claimed


def _claim_following(tx: Connection, run_id: str, terms: Terms, now: datetime) -> Item | None:
    """The next item of a resync that is due and that nobody has; what others left behind is looked for by `claim_next`."""
    due = and_(item.c.run_id == run_id, item.c.state == "ready", item.c.not_before <= now)
    going = and_(run.c.state == RunState.RUNNING, run.c.kind == RunKind.RESYNC)
    query = select(item.c.id, item.c.state, item.c.failures).join(run, run.c.id == item.c.run_id).where(due, going)
    found = tx.execute(query.order_by(item.c.id).limit(1).with_for_update(of=item, skip_locked=True)).one_or_none()
    return _take(tx, found, terms, now) if found is not None else None


def _end(tx: Connection, done: Item, outcome: Outcome, seconds: float, now: datetime) -> dict[str, float]:
    """Mark the item done (or waiting) if it is still ours; its stats so far with the outcome's added."""
    values: dict[str, Any] = {"token": None, "holder": None, "leased_until": None, "seconds": item.c.seconds + seconds, "error": None}
    if outcome.wait_until is None:
        values |= {"state": "done", "finished_at": now}
    else:
        values |= {"state": "ready", "not_before": outcome.wait_until, "announced_at": None}
    if outcome.payload is not None:
        values["payload"] = dict(outcome.payload)
    ours = and_(item.c.id == done.id, item.c.token == done.token, item.c.state == "leased")
    row = tx.execute(update(item).where(ours).values(values).returning(item.c.stats)).one_or_none()
    if row is None:
        raise LeaseLost(f"Item {done.id} ({done.step}/{done.key}) is no longer held with this token: its outcome was dropped.")
    before: Mapping[str, float] = row.stats or {}
    return {name: before.get(name, 0) + outcome.stats.get(name, 0) for name in {**before, **outcome.stats}}


def renew(ledger: Ledger, held: Item, lease_s: float) -> bool:
    """Prolong the lease; False = it is no longer ours."""
    ours = and_(item.c.id == held.id, item.c.token == held.token, item.c.state == "leased")
    with ledger.transaction() as tx:
        until = ledger.now(tx) + timedelta(seconds=lease_s)
        return bool(tx.execute(update(item).where(ours).values(leased_until=until)).rowcount)


def is_ours(ledger: Ledger, held: Item) -> bool:
    query = select(func.count()).where(item.c.id == held.id, item.c.token == held.token, item.c.state == "leased")
    with ledger.read() as connection:
        return bool(connection.execute(query).scalar_one())


def release(ledger: Ledger, held: Item) -> None:
    """Give the item back unharmed, for a worker that stops; no failure is counted."""
    ours = and_(item.c.id == held.id, item.c.token == held.token, item.c.state == "leased")
    with ledger.transaction() as tx:
        values = {"state": "ready", "token": None, "holder": None, "leased_until": None, "not_before": ledger.now(tx), "announced_at": None}
        tx.execute(update(item).where(ours).values(values))


def give_back(ledger: Ledger, failed: Item, text: str, terms: Terms, *, limit: int) -> bool:
    """Record a failure: tried again after a growing wait, or dead (and its run failed) at `limit` failures. True = dead."""
    with ledger.transaction() as tx:
        now = ledger.now(tx)
        ours = and_(item.c.id == failed.id, item.c.token == failed.token, item.c.state == "leased")
        failures = tx.execute(select(item.c.failures).where(ours).with_for_update()).scalar_one_or_none()
        if failures is None:
            return False
        failures += 1
        dead = failures >= min(limit, terms.attempts)
        if dead:
            _bury(tx, failed.id, failures, text, now)
        else:
            wait = timedelta(seconds=terms.backoff_s * 2 ** (failures - 1))
            values = {"state": "ready", "token": None, "holder": None, "leased_until": None, "failures": failures, "error": text}
            tx.execute(update(item).where(item.c.id == failed.id).values(**values, not_before=now + wait, announced_at=None))
        killpoint(BEFORE_FAIL)
    return bool(dead)


def park(ledger: Ledger, failed: Item, pause: str, text: str, resume_at: datetime | None) -> None:
    """Give the item back unharmed and pause its run: the fault is the connection's, not the item's."""
    with ledger.transaction() as tx:
        now = ledger.now(tx)
        ours = and_(item.c.id == failed.id, item.c.token == failed.token, item.c.state == "leased")
        values = {"state": "ready", "token": None, "holder": None, "leased_until": None, "error": text, "not_before": now, "announced_at": None}
        if not tx.execute(update(item).where(ours).values(values)).rowcount:
            return
        paused = {"state": RunState.PAUSED, "pause": pause, "resume_at": resume_at, "reason": text}
        tx.execute(update(run).where(run.c.id == failed.run_id, run.c.state == RunState.RUNNING).values(paused))
        killpoint(BEFORE_FAIL)


def _bury(tx: Connection, item_id: int, failures: int, text: str, now: datetime) -> None:
    values = {"state": "dead", "token": None, "holder": None, "leased_until": None, "failures": failures, "error": text, "finished_at": now}
    row = tx.execute(update(item).where(item.c.id == item_id).values(values).returning(item.c.run_id, item.c.step, item.c.key)).one()
    reason = f"Step {row.step}, item {row.key!r}: {text}"
    tx.execute(update(run).where(run.c.id == row.run_id).values(state=RunState.FAILED, reason=reason, finished_at=now))


__all__ = ["Item", "NewItem", "Outcome", "Terms", "claim", "claim_next", "finish", "give_back", "is_ours", "park", "release", "renew"]
