"""Which flip was told to whom: one delivery per flip with a channel. Open deliveries of any run are taken up by the next `notify`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Executable, String, and_, cast, exists, literal, select, update

from worker.store.ledger import Ledger
from worker.store.tables import delivery, flip

#: `value` of a flip that says an alert is over.
OVER = "false"


@dataclass(frozen=True)
class OpenDelivery:
    key: str
    flip_id: int
    value: str
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
    query = select(c.key, c.flip_id, flip.c.value, flip.c.rule, flip.c.account_id, flip.c.on_, flip.c.text, c.attempts).join(
        flip, flip.c.id == c.flip_id
    )
    query = query.where(c.channel == channel, c.state == "open").order_by(c.flip_id).limit(limit)
    return [OpenDelivery(**row._mapping) for row in ledger.rows(query)]


def last_told(ledger: Ledger, one: OpenDelivery, channel: str, *, begun: bool = False) -> tuple[date, str] | None:
    """(date, value) of what the channel was told last of this rule and account before this flip; `begun`: of beginnings only."""
    told = and_(delivery.c.channel == channel, delivery.c.state == "sent", flip.c.rule == one.rule, flip.c.account_id == one.account_id)
    query = select(flip.c.on_, flip.c.value).join(delivery, delivery.c.flip_id == flip.c.id).where(told, flip.c.id < one.flip_id)
    if begun:
        query = query.where(flip.c.value != OVER)
    rows = ledger.rows(query.order_by(flip.c.id.desc()).limit(1))
    return (rows[0].on_, rows[0].value) if rows else None


def is_cooling(ledger: Ledger, one: OpenDelivery, channel: str, cooldown_days: int) -> bool:
    """The channel was told of this account's same beginning less than `cooldown_days` before."""
    told = last_told(ledger, one, channel, begun=True)
    return told is not None and timedelta(0) < one.on_ - told[0] < timedelta(days=cooldown_days)


def is_untold(ledger: Ledger, one: OpenDelivery, channel: str) -> bool:
    """An end whose beginning the channel was not told, or whose end it was."""
    told = last_told(ledger, one, channel)
    return told is None or told[1] == OVER


def settle(ledger: Ledger, keys: Sequence[str], state: str, error: str | None = None) -> None:
    """Note what became of deliveries (sent | cooled | failed | open again), at once: a crash after this sends nothing twice."""
    if not keys:
        return
    with ledger.transaction() as tx:
        values = {"state": state, "error": error, "attempts": delivery.c.attempts + 1, "sent_at": ledger.now(tx) if state == "sent" else None}
        tx.execute(update(delivery).where(delivery.c.key.in_(list(keys))).values(values))
