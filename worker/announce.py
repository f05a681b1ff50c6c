"""Messages for items that can be worked on. Sent after commit, so one may be lost with its process; the sweep sends it again."""

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import and_, or_, select, update

from worker import log
from worker.killpoint import killpoint, register
from worker.runtime import Runtime
from worker.store import queue
from worker.store.tables import item, run

BEFORE_SEND = register("message.send.before", "Items without a message. The sweep sends it.")
AFTER_SEND = register("message.send.after", "A message whose sending is not noted: it is sent twice, and the second claim finds nothing.")

#: Items due within this are announced now, with a delay, so that a poll every few seconds does not wait for the sweep. Seconds.
SOON_S = 30
#: Messages sent in one go; the rest follows with the next item's end or the next sweep.
MOST = 1000

#: (item id, delay in seconds) -> None; raises OSError or the broker's error when it cannot be reached.
Send = Callable[[int, float], None]


def announce(runtime: Runtime, send: Send) -> int:
    """Send a message for every item that can be claimed (or soon) and has none, or an old one; how many. A broker that is away is logged."""
    sent: list[int] = []
    try:
        for item_id, delay_s in _unannounced(runtime):
            killpoint(BEFORE_SEND)
            send(item_id, delay_s)
            sent.append(item_id)
    except Exception as error:  # noqa: BLE001 - the border to the broker: whatever it raises, the ledger still knows what is to be done
        log.get().warning("message.not_sent", error=type(error).__name__)
    if sent:
        killpoint(AFTER_SEND)
        with runtime.ledger.transaction() as tx:
            tx.execute(update(item).where(item.c.id.in_(sent)).values(announced_at=runtime.ledger.now(tx)))
    return len(sent)


def _unannounced(runtime: Runtime) -> list[tuple[int, float]]:
    with runtime.ledger.transaction() as tx:
        now = runtime.ledger.now(tx)
        queue.wake(tx, now)
        soon = now + timedelta(seconds=SOON_S)
        old = now - timedelta(seconds=runtime.settings.announce_again_s)
        silent = or_(item.c.announced_at.is_(None), item.c.announced_at < old)
        free = queue.claimable(soon, queue.dead_holders(tx), lapsed_at=now)
        query = select(item.c.id, item.c.not_before).join(run, run.c.id == item.c.run_id).where(and_(free, silent)).order_by(item.c.id).limit(MOST)
        return [(row.id, max(0.0, (row.not_before - now).total_seconds())) for row in tx.execute(query)]
