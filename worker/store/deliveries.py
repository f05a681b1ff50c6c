"""Which flip was told to whom: one delivery per flip with a channel. Open deliveries of any run are taken up by the next `notify`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Executable, String, and_, cast, exists, literal, select, update

from worker.store.ledger import Ledger
from worker.store.tables import delivery, flip


@dataclass(frozen=True)
class OpenDelivery:
    key: str
    rule: str
    account_id: str
    on_: date
    text: str
    attempts: int


def put_deliveries(ledger: Ledger, run_id: str) -> list[Executable]:
    """Open a delivery for each flip of the run that has a channel and none yet. To be executed after `put_flips`."""
    # a flip is one row whichever run saw it first, so its id is the delivery's key
    key = literal("flip/").concat(cast(flip.c.id, String))
    rows = select(key, flip.c.id, flip.c.channel, literal("open"), literal(0)).where(
        flip.c.run_id == run_id, flip.c.channel != "", ~exists().where(delivery.c.flip_id == flip.c.id)
    )
    return [delivery.insert().from_select(["key", "flip_id", "channel", "state", "attempts"], rows)]


def open_channels(ledger: Ledger) -> list[str]:
    """Channels something waits for."""
    query = select(delivery.c.channel).where(delivery.c.state == "open").distinct().order_by(delivery.c.channel)
    return [row.channel for row in ledger.rows(query)]


def open_deliveries(ledger: Ledger, channel: str, limit: int) -> list[OpenDelivery]:
    """The oldest of those that wait."""
    c = delivery.c
    query = select(c.key, flip.c.rule, flip.c.account_id, flip.c.on_, flip.c.text, c.attempts).join(flip, flip.c.id == c.flip_id)
    query = query.where(c.channel == channel, c.state == "open").order_by(c.flip_id).limit(limit)
    return [OpenDelivery(**row._mapping) for row in ledger.rows(query)]


def last_told(ledger: Ledger, rule: str, account_id: str, channel: str, before: date) -> date | None:
    """Latest date before this for which the channel was told of this rule and account."""
    told = and_(delivery.c.channel == channel, delivery.c.state == "sent", flip.c.rule == rule, flip.c.account_id == account_id, flip.c.on_ < before)
    query = select(flip.c.on_).join(delivery, delivery.c.flip_id == flip.c.id).where(told).order_by(flip.c.on_.desc()).limit(1)
    rows = ledger.rows(query)
    return rows[0].on_ if rows else None


def is_cooling(ledger: Ledger, one: OpenDelivery, channel: str, cooldown_days: int) -> bool:
    """The channel was told the same of this account less than `cooldown_days` before."""
    told = last_told(ledger, one.rule, one.account_id, channel, one.on_)
    return told is not None and one.on_ - told < timedelta(days=cooldown_days)


def settle(ledger: Ledger, keys: Sequence[str], state: str, error: str | None = None) -> None:
    """Note what became of deliveries (sent | cooled | failed | open again), at once: a crash after this sends nothing twice."""
    if not keys:
        return
    with ledger.transaction() as tx:
        values = {"state": state, "error": error, "attempts": delivery.c.attempts + 1, "sent_at": ledger.now(tx) if state == "sent" else None}
        tx.execute(update(delivery).where(delivery.c.key.in_(list(keys))).values(values))
