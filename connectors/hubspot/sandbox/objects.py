"""Single-record end points and the list (reference: sections 2.2 to 2.4)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from connectors.hubspot.sandbox import associations, records
from connectors.hubspot.sandbox.batch import writable
from connectors.hubspot.sandbox.deletes import archive_many
from connectors.hubspot.sandbox.errors import HubSpotError, resource_not_found
from connectors.hubspot.sandbox.records import Renderer, record_of
from connectors.hubspot.sandbox.routing import Context, Reply, Routes
from connectors.hubspot.sandbox.writes import Row, Writer

JSON = dict[str, Any]
MOST, MOST_HISTORY = 100, 50
HOST = "https://api.hubapi.com"


def list_records(context: Context) -> Reply:
    """`GET base`: by id ascending; no total, no filter."""
    kind, state = context.type, context.state
    context.need_any(kind.read_scope, kind.write_scope)
    history = context.names("propertiesWithHistory")
    limit = context.limit(10, MOST_HISTORY if history else MOST)
    after = context.one("after", "0") or "0"
    if not after.isdigit():
        raise HubSpotError(400, f"Invalid paging cursor: {after}")
    archived = "archived > 0" if context.flag("archived") else "archived = 0"
    rows = state.read(
        f"SELECT id, props, created, updated, archived FROM object WHERE type = ? AND id >= ? AND {archived} ORDER BY id LIMIT ?",
        (kind.id, int(after), limit + 1),
    )
    render = Renderer(state, kind, context.names("properties"), history, context.token)
    found = [render(record_of(row)) for row in rows[:limit]]
    _inline(context, found)
    body: JSON = {"results": found}
    if len(rows) > limit:
        body["paging"] = {"next": {"after": str(rows[limit][0]), "link": _link(context, str(rows[limit][0]))}}
    return Reply(body)


def _link(context: Context, after: str) -> str:
    params = [(key, value) for key, value in parse_qsl(context.query, keep_blank_values=True) if key != "after"]
    return f"{HOST}{context.url}?{urlencode([*params, ('after', after)])}"


def _inline(context: Context, found: list[JSON]) -> None:
    names = context.names("associations")
    if names:
        others = [context.state.type(name) for name in names]
        associations.add_inline(context, context.type, others, found)


def get_record(context: Context) -> Reply:
    """`GET base/{id}`."""
    kind, state = context.type, context.state
    context.need_any(kind.read_scope, kind.write_scope)
    archived = context.flag("archived")
    if not archived and int(state.setting("read_archived")) == 200:
        number = records.number_of(context.path["id"])
        found = records.fetch(state, kind, [number]).get(number) if number is not None else None
        archived = bool(found.archived) if found is not None else False
    record = records.find_one(state, kind, context.path["id"], context.one("idProperty"), archived=archived)
    body = Renderer(state, kind, context.names("properties"), context.names("propertiesWithHistory"), context.token)(record)
    _inline(context, [body])
    return Reply(body)


def create(context: Context) -> Reply:
    """`POST base`: 201 with a Location header."""
    kind = writable(context)
    row = Row(context.json_object())
    with context.state.transaction():
        writer = Writer(context, kind)
        writer.plan_create(row)
        if row.error is not None:
            raise row.error.as_error()
        writer.write([row])
        body = writer.result(row)
    return Reply(body, 201, {"Location": f"{HOST}{context.url.rstrip('/')}/{body['id']}"})


def update(context: Context) -> Reply:
    """`PATCH base/{id}`: also by a unique property."""
    kind = writable(context)
    row = Row(context.json_object())
    with context.state.transaction():
        record = records.find_one(context.state, kind, context.path["id"], context.one("idProperty"))
        writer = Writer(context, kind)
        writer.plan_update(row, record)
        if row.error is not None:
            raise row.error.as_error()
        writer.write([row])
        return Reply(writer.result(row))


def delete(context: Context) -> Reply:
    """`DELETE base/{id}`: archives."""
    kind = writable(context)
    number = records.number_of(context.path["id"])
    if number is None:
        raise HubSpotError(404, "Object not found.  objectId are usually numeric.", "OBJECT_NOT_FOUND", context={"id": [context.path["id"]]})
    moved = archive_many(context, kind, [number])
    if not moved and int(context.state.setting("repeat_delete")) == 404:
        raise resource_not_found()
    return Reply(None, 204)


def register(routes: Routes) -> None:
    """The paths of this module."""
    base = "/crm/v3/objects/{type}"
    routes.add("GET", base, list_records, kind="list")
    routes.add("POST", base, create, kind="create")
    routes.add("GET", f"{base}/{{id}}", get_record, kind="read")
    routes.add("PATCH", f"{base}/{{id}}", update, kind="update")
    routes.add("DELETE", f"{base}/{{id}}", delete, kind="archive")
