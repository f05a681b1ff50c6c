"""Archive, restore, merge, GDPR delete (reference: sections 4.2 and 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.hubspot.sandbox import associations, records, store_rows
from connectors.hubspot.sandbox.errors import HubSpotError, resource_not_found
from connectors.hubspot.sandbox.records import Record, Renderer
from connectors.hubspot.sandbox.routing import Context, Reply, Routes
from connectors.hubspot.sandbox.types import ObjectType

JSON = dict[str, Any]


def archive_many(context: Context, kind: ObjectType, ids: Sequence[int]) -> list[int]:
    """Moves live records to the recycle bin without touching their last-modified stamp; the ids it moved."""
    from connectors.hubspot.sandbox import webhooks

    state = context.state
    with state.transaction() as connection:
        found = [record for record in records.fetch(state, kind, ids).values() if not record.archived]
        now = state.now_ms()
        connection.executemany("UPDATE object SET archived = ?, visible = 0 WHERE type = ? AND id = ?", [(now, kind.id, item.id) for item in found])
        connection.executemany("DELETE FROM uniq WHERE type = ? AND id = ?", [(kind.id, item.id) for item in found])
        connection.executemany("DELETE FROM old WHERE type = ? AND id = ?", [(kind.id, item.id) for item in found])
        state.side.count("records_archived", len(found))
        webhooks.record_event(context, kind, "deletion", [item.id for item in found], changeFlag="DELETED")
    return [record.id for record in found]


def restore_many(context: Context, kind: ObjectType, ids: Sequence[int]) -> list[int]:
    """Takes records out of the recycle bin; the ids it restored."""
    from connectors.hubspot.sandbox import webhooks

    state = context.state
    with state.transaction() as connection:
        found = [record for record in records.fetch(state, kind, ids).values() if record.archived]
        bumps = bool(state.setting("restore_bumps_modified"))
        now = state.now_ms()
        unique = [name for name, item in state.properties(kind).items() if item.unique]
        for record in found:
            stamp = now if bumps else record.updated
            connection.execute("UPDATE object SET archived = 0, updated = ? WHERE type = ? AND id = ?", (stamp, kind.id, record.id))
            keys = [(kind.id, name, record.props[name], record.id) for name in unique if name in record.props]
            connection.executemany("INSERT OR IGNORE INTO uniq VALUES (?, ?, ?, ?)", keys)
        webhooks.record_event(context, kind, "restore", [item.id for item in found])
    return [record.id for record in found]


def purge_many(context: Context, kind: ObjectType, ids: Sequence[int]) -> int:
    """Deletes records for good: not even the recycle bin knows them."""
    state = context.state
    with state.transaction() as connection:
        for table in ("object", "history", "uniq", "old"):
            connection.executemany(f"DELETE FROM {table} WHERE type = ? AND id = ?", [(kind.id, key) for key in ids])
        for key in ids:
            associations.forget(state, kind, key)
    return len(ids)


def merge_two(context: Context, kind: ObjectType, primary_id: int, other_id: int) -> Record:
    """Merges two live records; raises 404 or 400. Both old ids lead to the survivor from then on."""
    from connectors.hubspot.sandbox import webhooks

    state = context.state
    with state.transaction():
        found = records.fetch(state, kind, [primary_id, other_id])
        primary, other = found.get(primary_id), found.get(other_id)
        if primary is None or other is None or primary.archived or other.archived:
            raise resource_not_found()
        if primary.id == other.id:
            raise HubSpotError(400, "Cannot merge an object with itself.")
        survivor = _survivor(context, kind, primary, other)
        gone = [old for old in (primary.id, other.id) if old != survivor.id]
        for old in gone:
            _move(state, kind, old, survivor.id)
        event: JSON = {"primaryObjectId": primary.id, "mergedObjectIds": [other.id], "newObjectId": survivor.id}
        webhooks.record_event(context, kind, "merge", [survivor.id], **event, numberOfPropertiesMoved=len(other.props))
    return survivor


def _survivor(context: Context, kind: ObjectType, primary: Record, other: Record) -> Record:
    state = context.state
    now = state.now_ms()
    props = {**other.props, **primary.props}
    olds = [part for record in (primary, other) for part in record.props.get("hs_merged_object_ids", "").split(";") if part]
    mints = bool(state.setting("merge_mints_id"))
    olds += [str(primary.id), str(other.id)] if mints else [str(other.id)]
    props["hs_merged_object_ids"] = ";".join(dict.fromkeys(olds))
    if kind.id == "0-1" and "email" in other.props and other.props["email"] != props.get("email"):
        more = [part for part in props.get("hs_additional_emails", "").split(";") if part]
        props["hs_additional_emails"] = ";".join(dict.fromkeys([*more, other.props["email"]]))
    number = state.new_ids(1)[0] if mints else primary.id
    survivor = Record(number, props, min(primary.created, other.created), now)
    connection = state.db.connection
    for old in (primary.id, other.id):
        for table in ("object", "uniq", "old"):
            connection.execute(f"DELETE FROM {table} WHERE type = ? AND id = ?", (kind.id, old))
    store_rows.insert(state, kind, [survivor], None)
    return survivor


def _move(state: Any, kind: ObjectType, old: int, new: int) -> None:
    """Associations, history and aliases of a record that was merged away."""
    write = state.db.write
    associations.move(state, kind, old, new)
    write("UPDATE history SET id = ? WHERE type = ? AND id = ?", (new, kind.id, old))
    write("UPDATE alias SET survivor = ? WHERE type = ? AND survivor = ?", (new, kind.id, old))
    write("INSERT OR REPLACE INTO alias VALUES (?, ?, ?)", (kind.id, old, new))


def merge(context: Context) -> Reply:
    """`POST …/merge`: the merged record."""
    kind = context.type
    context.need(kind.write_scope)
    if not kind.mergeable:
        raise HubSpotError(400, f"Merging is not supported for object type {kind.plural}")
    body = context.json_object()
    ids = [records.number_of(str(body.get(key, ""))) for key in ("primaryObjectId", "objectIdToMerge")]
    if ids[0] is None or ids[1] is None:
        raise HubSpotError(400, "primaryObjectId and objectIdToMerge must be record ids")
    return Reply(Renderer(context.state, kind, [*kind.search, "hs_merged_object_ids"])(merge_two(context, kind, ids[0], ids[1])))


def gdpr_delete(context: Context) -> Reply:
    """`POST /crm/v3/objects/contacts/gdpr-delete`: irrevocable; 204 also when nobody is found."""
    from connectors.hubspot.sandbox import webhooks

    kind = context.state.type("contacts")
    context.need(kind.write_scope)
    body = context.json_object()
    text = str(body.get("objectId", ""))
    id_property = str(body.get("idProperty") or "")
    found = records.ids_by(context.state, kind, id_property, [text]).get(text) if id_property else records.number_of(text)
    if found is not None:
        purge_many(context, kind, [found])
        webhooks.record_event(context, kind, "privacyDeletion", [found])
    return Reply(None, 204)


def register(routes: Routes) -> None:
    """The paths of this module."""
    routes.add("POST", "/crm/v3/objects/contacts/gdpr-delete", gdpr_delete, kind="gdpr_delete")
    routes.add("POST", "/crm/v3/objects/{type}/merge", merge, kind="merge")
