"""notify: flips → alert channels. At least once: a delivery is noted after its message went out, and a doubled message carries the same key.

A channel that is down or not set up holds nothing up: its deliveries stay open, and the next run's notify takes them up.
"""

import hashlib
from datetime import timedelta

from worker.alerts import email
from worker.alerts.base import Alert, open_channel
from worker.errors import AlertError
from worker.items import Item, NewItem, Outcome, StepContext
from worker.killpoint import register
from worker.steps import _overwritten
from worker.store import deliveries

BEFORE_SEND = register("notify.send.before", "Deliveries stay open and are sent by the next attempt.")
AFTER_SEND = register("notify.send.after", "A message went out that is not noted: it goes out a second time with the same key.")

#: Flips told in one message. Chosen: what one reads in a chat.
PER_MESSAGE = 20
#: Messages per channel and run; a day on which everything flips is told over several runs.
MESSAGES = 5
#: Attempts within one run at a channel that does not answer, and the wait between them.
ATTEMPTS, WAIT = 3, timedelta(seconds=20)
#: News older than this is not news.
STALE = timedelta(days=7)


def plan(ctx: StepContext) -> list[NewItem]:
    return [NewItem(f"channel/{name}", {"channel": name}) for name in deliveries.open_channels(ctx.ledger)]


def run(ctx: StepContext, item: Item) -> Outcome:
    """Sends what waits for one channel, oldest first."""
    name = str(item.payload["channel"])
    tries = int(item.payload.get("tries", 0)) + 1
    try:
        sent, cooled = _send(ctx, name)
    except AlertError as error:
        ctx.log.warning("notify.not_sent", channel=name, permanent=error.permanent)
        if error.permanent or tries >= ATTEMPTS or not _is_set_up(ctx, name):
            return Outcome(report={f"notify:{name}": str(error)})
        return Outcome(wait_until=ctx.ledger.now() + WAIT, payload={**item.payload, "tries": tries})
    return Outcome(stats={"alerts.sent": sent, "alerts.cooled": cooled})


def _is_set_up(ctx: StepContext, name: str) -> bool:
    if name == "email":
        return not email.missing_setting(ctx.settings)
    return name != "slack" or ctx.settings.slack_webhook is not None


def _send(ctx: StepContext, name: str) -> tuple[int, int]:
    """(sent, cooled)."""
    sent = cooled = 0
    for _ in range(MESSAGES):
        waiting = deliveries.open_deliveries(ctx.ledger, name, PER_MESSAGE)
        loud = _loud(ctx, waiting, name)
        quiet = [one for one in waiting if one not in loud]
        deliveries.settle(ctx.ledger, [one.key for one in quiet], "cooled")
        cooled += len(quiet)
        if loud:
            _send_one(ctx, name, loud)
            sent += len(loud)
        if len(waiting) < PER_MESSAGE:
            break
    return sent, cooled


def _loud(ctx: StepContext, waiting: list[deliveries.OpenDelivery], channel: str) -> list[deliveries.OpenDelivery]:
    """Those to be told, oldest first. An end that waits together with its beginning is told with it."""
    loud: list[deliveries.OpenDelivery] = []
    for one in waiting:
        before = next((o.value for o in reversed(loud) if (o.rule, o.account_id) == (one.rule, one.account_id)), None)
        over, untold = one.value == deliveries.OVER, before in (None, deliveries.OVER)
        if not (_is_stale(ctx, one) if over and not untold else _is_quiet(ctx, one, channel)):
            loud.append(one)
    return loud


def _is_quiet(ctx: StepContext, one: deliveries.OpenDelivery, channel: str) -> bool:
    """Told of late, an end of what was never told, no longer news, or its alert was taken out of the mappings."""
    if one.rule == _overwritten.RULE:  # not of the mappings, and said once by itself
        return _is_stale(ctx, one)
    alert = ctx.mappings.alerts.get(one.rule)
    if alert is None or _is_stale(ctx, one):
        return True
    if one.value == deliveries.OVER:
        return deliveries.is_untold(ctx.ledger, one, channel)
    # each deal is told once, so a second one of the same account is news
    return deliveries.is_cooling(ctx.ledger, one, channel, 0 if alert.over == "deal" else alert.cooldown_days)


def _is_stale(ctx: StepContext, one: deliveries.OpenDelivery) -> bool:
    return ctx.run.as_of.date() - one.on_ > STALE


def _send_one(ctx: StepContext, name: str, loud: list[deliveries.OpenDelivery]) -> None:
    keys = [one.key for one in loud]
    message_key = hashlib.sha256("\n".join(keys).encode()).hexdigest()
    ctx.killpoint(BEFORE_SEND)
    try:
        alerts = [Alert(one.rule, one.account_id, one.on_, one.text, one.value == deliveries.OVER, one.recipient, one.routed) for one in loud]
        open_channel(name, ctx).send(message_key, alerts)
    except AlertError as error:
        # what is refused for good is closed, or every later run would send it again
        deliveries.settle(ctx.ledger, keys, "failed" if error.permanent else "open", str(error))
        raise
    ctx.killpoint(AFTER_SEND)
    deliveries.settle(ctx.ledger, keys, "sent")
