"""Doing one claimed item: the named border at which every error of a step ends."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import requests
from billiard.exceptions import SoftTimeLimitExceeded
from sqlalchemy.exc import DBAPIError

from connectors.errors import Misfit, NotAllowed, NotReachable, QuotaSpent, Transient
from worker import log
from worker.errors import ItemTimeout, LeaseLost
from worker.items import PLAN, Item, Outcome, finish, give_back, park, release, renew
from worker.runtime import Runtime

#: A quota that does not say when it comes back is looked at again after this. Chosen: Salesforce counts a rolling day in steps of about an hour.
QUOTA_WAIT = timedelta(hours=1)
#: What may pass by itself and is worth all attempts. Anything else is a fault of ours or of the data: a second try, then a person.
PASSING = (Transient, OSError, requests.RequestException, DBAPIError, MemoryError, ItemTimeout)
FAULT_ATTEMPTS = 2


def execute(runtime: Runtime, item: Item, *, go_on: bool = False) -> Item | None:
    """Do the item and apply its outcome. Errors are recorded, never raised; only a stop of the process passes through, the item given back.

    `go_on`: the caller does what follows, so a resync's next item comes back claimed; null where there is none to go on with.
    """
    following: Item | None = None
    started = time.monotonic()
    logger = log.get(run_id=item.run_id, step=item.step, item_id=item.id, attempt=item.attempts)
    try:
        with heartbeat(runtime, item):
            outcome = _outcome(runtime, item)
        following = finish(runtime.ledger, item, outcome, time.monotonic() - started, following=runtime.terms if go_on else None)
        logger.info("item.waits" if outcome.wait_until else "item.done", seconds=round(time.monotonic() - started, 3))
    except LeaseLost:
        logger.warning("item.lease_lost")
    except (KeyboardInterrupt, SystemExit):
        release(runtime.ledger, item)
        logger.warning("item.released")
        raise
    except Exception as error:  # noqa: BLE001 - the border: whatever went wrong is recorded on the item
        _fail(runtime, item, error)
    return following


def _outcome(runtime: Runtime, item: Item) -> Outcome:
    ctx = runtime.context(item)
    step = runtime.steps[item.step]
    try:
        return Outcome(successors=step.plan(ctx)) if item.key == PLAN else step.run(ctx, item)
    finally:
        ctx.close()


def _fail(runtime: Runtime, item: Item, error: Exception) -> None:
    place = _place(error)
    if isinstance(error, SoftTimeLimitExceeded):
        error = ItemTimeout()
    logger = log.get(run_id=item.run_id, step=item.step, item_id=item.id, attempt=item.attempts, error=type(error).__name__)
    text = log.Masker(runtime.settings.secrets()).text(f"{type(error).__name__}: {error}")[:2000]
    now = runtime.ledger.now()
    match error:
        case QuotaSpent():
            park(runtime.ledger, item, "quota", text, error.resume_at or now + QUOTA_WAIT)
        case NotAllowed() | Misfit():
            park(runtime.ledger, item, "auth", text, None)
        case NotReachable():
            park(runtime.ledger, item, "outage", text, now + timedelta(seconds=runtime.settings.outage_wait_s))
        case _:
            passing = isinstance(error, PASSING)
            dead = give_back(runtime.ledger, item, text, runtime.terms, limit=runtime.terms.attempts if passing else FAULT_ATTEMPTS)
            # the text may quote a value of a record: it stays in the ledger, the log has the place
            logger.error("item.dead" if dead else "item.failed", place=place)
            return
    logger.warning("run.paused")


def _place(error: BaseException) -> str:
    """file:line where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""


@contextmanager
def heartbeat(runtime: Runtime, item: Item) -> Iterator[None]:
    """Renew the item's lease while the block runs, but not past the item's time limit: one that hangs is lost to another worker then."""
    over = threading.Event()
    lease_s, limit_s = runtime.settings.lease_s, runtime.settings.item_limit_s
    ends = time.monotonic() + limit_s

    def beat() -> None:
        while not over.wait(lease_s / 4) and time.monotonic() < ends:
            try:
                if not renew(runtime.ledger, item, lease_s):
                    return
            except DBAPIError as error:  # the ledger is away for a moment: the lease still has three quarters to go
                log.get(run_id=item.run_id, item_id=item.id).warning("item.renew_failed", error=type(error).__name__)

    thread = threading.Thread(target=beat, name=f"lease-{item.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
