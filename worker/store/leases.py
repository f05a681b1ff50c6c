"""Named leases with a fencing token, e.g. the write lease of a connection. Held for a stretch of calls, renewed, given back."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, select, update

from worker.errors import LeaseLost
from worker.store import holder
from worker.store.ledger import Ledger
from worker.store.tables import lease

#: Holder of a note that a call is under way: no process, so that nobody's death lifts it.
UNDER_WAY = "a call under way"


@dataclass(frozen=True)
class Lease:
    """`fence` grows each time the lease changes hands: a write that carries an older one is too late."""

    name: str
    fence: int


def acquire(ledger: Ledger, name: str, ttl_s: float) -> Lease | None:
    """The lease, if it is free, ran out, or its holder died on this host; null if somebody has it. Try again later (`Outcome.wait_until`)."""
    with ledger.transaction() as tx:
        now = ledger.now(tx)
        for statement in ledger.inserts(lease, [{"name": name, "fence": 0, "holder": None, "until": now}]):
            tx.execute(statement)
        row = tx.execute(select(lease).where(lease.c.name == name).with_for_update()).one()
        if row.holder is not None and row.until >= now and not holder.is_dead(row.holder):
            return None
        values = {"fence": row.fence + 1, "holder": holder.me(), "until": now + timedelta(seconds=ttl_s)}
        tx.execute(update(lease).where(lease.c.name == name).values(values))
        return Lease(name, row.fence + 1)


def renew(ledger: Ledger, held: Lease, ttl_s: float) -> None:
    """Prolong it; LeaseLost if another holder has it by now. Call before each call to a CRM."""
    with ledger.transaction() as tx:
        now = ledger.now(tx)
        ours = and_(lease.c.name == held.name, lease.c.fence == held.fence, lease.c.holder.is_not(None))
        if not tx.execute(update(lease).where(ours).values(until=now + timedelta(seconds=ttl_s))).rowcount:
            raise LeaseLost(f"The lease {held.name!r} has another holder by now; nothing more is sent under it.")


def release(ledger: Ledger, held: Lease) -> None:
    """Give it back; without effect if it is lost already."""
    with ledger.transaction() as tx:
        tx.execute(update(lease).where(lease.c.name == held.name, lease.c.fence == held.fence).values(holder=None))


@contextmanager
def holding(ledger: Ledger, name: str, ttl_s: float) -> Iterator[Lease | None]:
    """`acquire` and, at the end of the block, `release`. Null inside the block = somebody has it."""
    held = acquire(ledger, name, ttl_s)
    try:
        yield held
    finally:
        if held is not None:
            release(ledger, held)


def begin_call(ledger: Ledger, name: str, lands_within_s: float) -> None:
    """Note that a writing call is under way. Unlike a lease the note outlives its process: a killed one cannot call back what it sent."""
    with ledger.transaction() as tx:
        row = {"name": name, "fence": 0, "holder": UNDER_WAY, "until": ledger.now(tx) + timedelta(seconds=lands_within_s)}
        for statement in ledger.upserts(lease, [row]):
            tx.execute(statement)


def end_call(ledger: Ledger, name: str) -> None:
    """The call's answer is here."""
    with ledger.transaction() as tx:
        tx.execute(update(lease).where(lease.c.name == name).values(holder=None))


def lands_at(ledger: Ledger, name: str) -> datetime | None:
    """When a call without an answer can no longer be carried out; null if none is under way."""
    with ledger.read() as connection:
        now = ledger.now(connection)
        row = connection.execute(select(lease).where(lease.c.name == name)).one_or_none()
    return row.until if row is not None and row.holder is not None and row.until > now else None


def is_free(ledger: Ledger, name: str) -> bool:
    """Nobody holds it, or its holder is gone."""
    with ledger.read() as connection:
        now = ledger.now(connection)
        row = connection.execute(select(lease).where(lease.c.name == name)).one_or_none()
    return row is None or row.holder is None or row.until < now or holder.is_dead(row.holder)
