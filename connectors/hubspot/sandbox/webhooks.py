"""What happens to records, as webhook events (reference: section 7.2). Events are kept only while somebody subscribed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from connectors.hubspot.sandbox.association_types import AssociationType
from connectors.hubspot.sandbox.records import Record
from connectors.hubspot.sandbox.routing import Context
from connectors.hubspot.sandbox.types import ObjectType

JSON = dict[str, Any]


def _wanted(context: Context) -> bool:
    return context.state.db.one("SELECT 1 FROM hook LIMIT 1") is not None


def _base(context: Context, kind: ObjectType, what: str, record_id: int) -> JSON:
    from connectors.hubspot.sandbox.state import PORTAL

    person = context.source == "CRM_UI"
    name = kind.singular if kind.id in ("0-1", "0-2", "0-3", "0-5", "0-7", "0-8") else "object"
    body: JSON = {
        "objectId": record_id, "subscriptionType": f"{name}.{what}", "portalId": PORTAL, "occurredAt": context.state.now_ms(),
        "changeSource": context.source if person else "INTEGRATION", "attemptNumber": 0,
        "sourceId": f"userId:{context.user or 1}" if person else str(context.token.get("app", "")),
    }  # fmt: skip
    if name == "object":
        body["objectTypeId"] = kind.id
    return body


def _keep(context: Context, events: Sequence[JSON]) -> None:
    context.state.db.connection.executemany("INSERT INTO event (body) VALUES (?)", [(orjson.dumps(item).decode(),) for item in events])


def record_writes(context: Context, kind: ObjectType, rows: Sequence[tuple[Record, dict[str, str | None], bool]]) -> None:
    """Creations and property changes."""
    if not _wanted(context):
        return
    events = []
    for record, changes, new in rows:
        if new:
            events.append(_base(context, kind, "creation", record.id) | {"changeFlag": "CREATED"})
        for name, value in changes.items():
            events.append(_base(context, kind, "propertyChange", record.id) | {"propertyName": name, "propertyValue": value or ""})
    _keep(context, events)


def record_event(context: Context, kind: ObjectType, what: str, ids: Sequence[int], **more: Any) -> None:
    """Deletion, restore, merge, privacyDeletion."""
    if _wanted(context):
        _keep(context, [_base(context, kind, what, key) | more for key in ids])


def association_event(context: Context, kind: ObjectType, item: AssociationType, from_id: int, to_id: int, *, removed: bool) -> None:
    """A link came or went."""
    if _wanted(context):
        body = _base(context, kind, "associationChange", from_id)
        body |= {
            "associationType": item.name.upper(), "associationCategory": item.category, "associationTypeId": item.type_id, "fromObjectId": from_id,
            "toObjectId": to_id, "associationRemoved": removed, "isPrimaryAssociation": item.primary,
        }  # fmt: skip
        _keep(context, [body])
