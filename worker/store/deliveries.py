"""Which flip was told to whom: one delivery per flip with a channel. Open deliveries of any run are taken up by the next `notify`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import ColumnElement, Executable, String, and_, cast, exists, literal, select, update

from worker.store.ledger import Ledger
from worker.store.tables import delivery, flip

#: Channels there are; no name is part of another.
CHANNELS = ("log", "slack", "email", "crm_task")
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
    recipient: str | None
    routed: str | None


def put_deliveries(ledger: Ledger, run_id: str) -> list[Executable]:
    """Open a delivery for each flip of the run that has a channel and none yet. To be executed after `put_flips`."""
    # a flip is one row whichever run saw it first, so its id is the delivery's key
    first = literal("flip/").concat(cast(flip.c.id, String))
    wanted: list[tuple[ColumnElement[str], ColumnElement[str], ColumnElement[bool]]] = [(first, flip.c.channel, flip.c.channel != "")]
    wanted += [(first.concat(f"/{name}"), literal(name), flip.c.also.contains(name)) for name in CHANNELS]
    return [_put(run_id, key, channel, told) for key, channel, told in wanted]


def _put(run_id: str, key: ColumnElement[str], channel: ColumnElement[str], told: ColumnElement[bool]) -> Executable:
    known = exists().where(delivery.c.key == key)
    rows = select(key, flip.c.id, channel, literal("open"), literal(0)).where(flip.c.run_id == run_id, told, ~known)
    return delivery.insert().from_select(["key", "flip_id", "channel", "state", "attempts"], rows)


def open_channels(ledger: Ledger) -> list[str]:
    """Channels something waits for."""
    query = select(delivery.c.channel).where(delivery.c.state == "open").distinct().order_by(delivery.c.channel)
    return [row.channel for row in ledger.rows(query)]


def open_deliveries(ledger: Ledger, channel: str, limit: int) -> list[OpenDelivery]:
    """The oldest of those that wait."""
    c = delivery.c
    told = (flip.c.value, flip.c.rule, flip.c.account_id, flip.c.on_, flip.c.text, flip.c.recipient, flip.c.routed)
    query = select(c.key, c.flip_id, c.attempts, *told).join(flip, flip.c.id == c.flip_id)
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
