"""One of several connections is out of reach: the others are served, and the run says so.

What was read of it before still counts, its cursors stay where they are, and its changes are booked as unprocessed. With a single connection, or
where nothing else is left to serve, the run pauses as it always did.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connectors.entities import Entity
from connectors.errors import ConnectorError, Misfit, NotAllowed, NotReachable, QuotaSpent, Transient
from worker import log
from worker.items import CursorKey, Item, StepContext
from worker.steps._sources import home_of, suppliers_of
from worker.store.registers import cursor_value

#: What says that the connection, not a record, is at fault.
DOWN = (NotReachable, NotAllowed, QuotaSpent, Misfit, Transient)
#: Code and text of records that wait for their connection.
CODE, TEXT = "CONNECTION_DOWN", "The connection was out of reach; the next run goes on from there."


def is_down(ctx: StepContext, connection: str) -> bool:
    """An earlier item of this run found it out of reach."""
    return _key(connection) in ctx.run.report


def may_be_left_out(ctx: StepContext, item: Item, connection: str, error: ConnectorError) -> bool:
    """Another connection is served, and the accounts are known: from this run, or from an earlier one if it is theirs that is gone."""
    if isinstance(error, Transient) and item.attempts < ctx.settings.item_attempts:
        return False  # it may pass by itself: the item has more attempts
    if not any(name != connection and not is_down(ctx, name) for name in ctx.mappings.crm):
        return False
    home = home_of(ctx.mappings) or ""
    return connection != home or cursor_value(ctx.ledger, CursorKey(home, Entity.ACCOUNT.value, 0)) is not None


def note(ctx: StepContext, connection: str, error: ConnectorError) -> dict[str, Any]:
    """Entry of the run's report: which connection, why (quota | auth | outage), and the connector's words."""
    why = "quota" if isinstance(error, QuotaSpent) else "auth" if isinstance(error, NotAllowed | Misfit) else "outage"
    ctx.log.warning("connection.down", connection=connection, why=why)
    return {_key(connection): {"why": why, "text": log.Masker(ctx.settings.secrets()).text(str(error))[:2000]}}


def lapsed(ctx: StepContext, feeds: Mapping[str, Entity]) -> dict[str, date]:
    """Feeds of which a connection has not been read for longer than its `max_lag_days` -> the day they run to. A single connection never lapses: its
    run pauses instead."""
    found: dict[str, date] = {}
    if len(ctx.mappings.crm) < 2:
        return found
    zone = ZoneInfo(ctx.mappings.calendar.timezone)
    for feed, entity in [*feeds.items(), ("crm", Entity.ACCOUNT), ("crm", Entity.CONTRACT)]:
        for name in suppliers_of(ctx.mappings, entity):
            crm = ctx.mappings.crm[name]
            for index in range(len(crm.entities[entity])):
                value = cursor_value(ctx.ledger, CursorKey(name, entity.value, index))
                if value is not None and ctx.run.as_of - datetime.fromisoformat(value) > timedelta(days=crm.max_lag_days):
                    until = datetime.fromisoformat(value).astimezone(zone).date()
                    found[feed] = min(until, found.get(feed, until))
    return found


def _key(connection: str) -> str:
    return f"down:{connection}"
