"""Custom object schemas (reference: section 9; plans below Enterprise have none: setting `custom_objects`)."""

from __future__ import annotations

from typing import Any

import orjson

from connectors.hubspot.sandbox.association_types import add_pair
from connectors.hubspot.sandbox.errors import HubSpotError, resource_not_found
from connectors.hubspot.sandbox.properties import NAME, check_kind
from connectors.hubspot.sandbox.routing import Context, Reply, Routes
from connectors.hubspot.sandbox.types import ObjectType
from connectors.hubspot.sandbox.values import iso

JSON = dict[str, Any]


def _allowed(context: Context, right: str) -> None:
    context.need_any(f"crm.schemas.custom.{right}", "crm.schemas.custom.write")
    if not context.state.setting("custom_objects"):
        text = "The scope needed for this API call isn't available for public use. Custom objects need an Enterprise subscription."
        raise HubSpotError(
            403, text, "MISSING_SCOPES", errors=[{"message": text, "context": {"requiredGranularScopes": ["crm.schemas.custom.read"]}}]
        )


def _body(context: Context, kind: ObjectType) -> JSON:
    row = context.state.db.one("SELECT body FROM custom_type WHERE id = ?", (kind.id,))
    if row is None:
        raise resource_not_found()
    body: JSON = orjson.loads(row[0])
    body["properties"] = [item.body for item in context.state.properties(kind).values()]
    rows = context.state.read("SELECT to_type, type_id, name FROM label WHERE from_type = ? ORDER BY type_id", (kind.id,))
    stamp = body["createdAt"]
    body["associations"] = [
        {
            "fromObjectTypeId": kind.id, "toObjectTypeId": target, "name": name, "id": str(number), "createdAt": stamp, "updatedAt": stamp,
            "cardinality": "ONE_TO_MANY", "inverseCardinality": "ONE_TO_MANY",
        }
        for target, number, name in rows
    ]  # fmt: skip
    return body


def list_all(context: Context) -> Reply:
    """`GET /crm-object-schemas/v3/schemas`."""
    _allowed(context, "read")
    kinds = dict.fromkeys(kind for kind in context.state.types().values() if kind.custom)
    return Reply({"results": [] if context.flag("archived") else [_body(context, kind) for kind in kinds]})


def create(context: Context) -> Reply:
    """`POST /crm-object-schemas/v3/schemas`: 201 with the new type's number and fully-qualified name."""
    from connectors.hubspot.sandbox.state import PORTAL

    _allowed(context, "write")
    given = context.json_object()
    name = str(given.get("name") or "").lower()
    labels = given.get("labels")
    if NAME.fullmatch(name) is None or not isinstance(labels, dict) or not labels.get("singular"):
        raise HubSpotError(400, "A schema needs labels and a name of lower-case letters, digits and underscores.")
    state = context.state
    with state.transaction():
        if name in state.types():
            raise HubSpotError(400, f"Object type with name '{name}' already exists.", subCategory="ObjectTypeError.NAME_TAKEN")
        row = state.db.one("SELECT count(*) FROM custom_type")
        type_id = f"2-{3_000_001 + (int(row[0]) if row else 0)}"
        names = [str(item.get("name")) for item in given.get("properties") or []]
        lost = [item for item in given.get("requiredProperties") or [] if item not in names]
        if lost:
            raise HubSpotError(400, f"Required properties are not defined: {', '.join(lost)}")
        stamp = iso(state.now_ms())
        body: JSON = {
            "id": type_id, "objectTypeId": type_id, "name": name, "fullyQualifiedName": f"p{PORTAL}_{name}", "labels": labels, "archived": False,
            "primaryDisplayProperty": given.get("primaryDisplayProperty"), "requiredProperties": given.get("requiredProperties") or [],
            "searchableProperties": given.get("searchableProperties") or [],
            "secondaryDisplayProperties": given.get("secondaryDisplayProperties") or [],
            "createdAt": stamp, "updatedAt": stamp, "portalId": PORTAL, "description": given.get("description") or "",
        }  # fmt: skip
        state.db.write("INSERT INTO custom_type VALUES (?, ?, ?)", (type_id, name, orjson.dumps(body).decode()))
        state.bump()
        kind = state.type(type_id)
        _properties(context, kind, given.get("properties") or [])
        for other in given.get("associatedObjects") or []:
            target = state.type(str(other))
            add_pair(state, kind, target, f"{name}_to_{target.singular}", None)
        state.bump()
        return Reply(_body(context, kind), 201)


def _properties(context: Context, kind: ObjectType, given: list[JSON]) -> None:
    group = {"name": f"{kind.singular}_information", "label": f"{kind.singular} information", "displayOrder": 0, "archived": False}
    context.state.db.write("INSERT INTO grp VALUES (?, ?, ?)", (kind.id, group["name"], orjson.dumps(group).decode()))
    for item in given:
        body = {"groupName": group["name"], **item}
        if not all(body.get(key) for key in ("name", "label", "type", "fieldType")):
            raise HubSpotError(400, "Invalid input JSON: each property needs name, label, type and fieldType")
        check_kind(body)
        context.state.define(kind, body)


def one(context: Context) -> Reply:
    """`GET|PATCH|DELETE /crm-object-schemas/v3/schemas/{type}`."""
    _allowed(context, "read" if context.method == "GET" else "write")
    kind = context.type
    state = context.state
    with state.transaction():
        body = _body(context, kind)
        if context.method == "DELETE":
            row = state.db.one("SELECT 1 FROM object WHERE type = ? AND archived = 0 LIMIT 1", (kind.id,))
            if row is not None:
                raise HubSpotError(400, f"Object type {kind.id} still has records.", subCategory="ObjectTypeError.HAS_RECORDS")
            state.db.write("DELETE FROM custom_type WHERE id = ?", (kind.id,))
            state.bump()
            return Reply(None, 204)
        if context.method == "PATCH":
            given = context.json_object()
            stored = {key: value for key, value in body.items() if key not in ("properties", "associations")}
            keys = ("labels", "primaryDisplayProperty", "requiredProperties", "searchableProperties", "secondaryDisplayProperties", "description")
            stored |= {key: given[key] for key in keys if given.get(key) is not None} | {"updatedAt": iso(state.now_ms())}
            state.db.write("UPDATE custom_type SET body = ? WHERE id = ?", (orjson.dumps(stored).decode(), kind.id))
            state.bump()
            body |= stored
    return Reply(body)


def associate(context: Context) -> Reply:
    """`POST …/{type}/associations`: a type may be linked to one more."""
    _allowed(context, "write")
    given = context.json_object()
    kind, target = context.type, context.state.type(str(given.get("toObjectTypeId", "")))
    name = str(given.get("name") or f"{kind.singular}_to_{target.singular}")
    number = add_pair(context.state, kind, target, name, None)
    stamp = iso(context.state.now_ms())
    return Reply(
        {"id": str(number), "fromObjectTypeId": kind.id, "toObjectTypeId": target.id, "name": name, "createdAt": stamp, "updatedAt": stamp}, 201
    )  # fmt: skip


def register(routes: Routes) -> None:
    """The paths of this module."""
    base = "/crm-object-schemas/v3/schemas"
    routes.add("GET", base, list_all, kind="schemas")
    routes.add("POST", base, create, kind="schemas")
    routes.add("POST", f"{base}/{{type}}/associations", associate, kind="schemas")
    for method in ("GET", "PATCH", "DELETE"):
        routes.add(method, f"{base}/{{type}}", one, kind="schemas")
        routes.add(method, "/crm/v3/schemas/{type}", one, kind="schemas")
    routes.add("GET", "/crm/v3/schemas", list_all, kind="schemas")
    routes.add("POST", "/crm/v3/schemas", create, kind="schemas")
