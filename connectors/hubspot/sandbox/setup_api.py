"""Owners and pipelines (reference: section 9)."""

from __future__ import annotations

import secrets
from typing import Any

import orjson

from connectors.hubspot.sandbox.errors import HubSpotError, resource_not_found
from connectors.hubspot.sandbox.routing import Context, Reply, Routes
from connectors.hubspot.sandbox.values import iso

JSON = dict[str, Any]


def owners(context: Context) -> Reply:
    """`GET /crm/v3/owners/`: by id, ≤ 500 a page."""
    context.need("crm.objects.owners.read")
    limit = context.limit(100, 500)
    after = context.one("after", "0") or "0"
    if not after.isdigit():
        raise HubSpotError(400, f"Invalid paging cursor: {after}")
    rows = context.state.read(
        "SELECT id, body FROM owner WHERE archived = ? AND id >= ? ORDER BY id", (int(context.flag("archived")), int(after))
    )  # fmt: skip
    email = context.one("email").lower()
    found = [(key, body) for key, body in ((key, orjson.loads(text)) for key, text in rows) if not email or body["email"] == email]
    answer: JSON = {"results": [body for _, body in found[:limit]]}
    if len(found) > limit:
        answer["paging"] = {"next": {"after": str(found[limit][0]), "link": f"https://api.hubapi.com{context.url}?after={found[limit][0]}"}}
    return Reply(answer)


def owner(context: Context) -> Reply:
    """`GET /crm/v3/owners/{id}`: also by user id."""
    context.need("crm.objects.owners.read")
    for (text,) in context.state.read("SELECT body FROM owner WHERE archived = ?", (int(context.flag("archived")),)):
        body = orjson.loads(text)
        if context.path["id"] == (str(body["userId"]) if context.one("idProperty").lower() == "userid" else body["id"]):
            return Reply(body)
    raise resource_not_found()


def _load(context: Context) -> list[JSON]:
    rows = context.state.read("SELECT body FROM pipeline WHERE type = ?", (context.type.id,))
    return sorted((orjson.loads(row[0]) for row in rows), key=lambda item: (item["displayOrder"], item["label"]))


def _pipeline(context: Context) -> JSON:
    for body in _load(context):
        if body["id"] == context.path["pipeline"]:
            return body
    raise resource_not_found()


def _store(context: Context, body: JSON) -> None:
    body["updatedAt"] = iso(context.state.now_ms())
    context.state.db.write("INSERT OR REPLACE INTO pipeline VALUES (?, ?, ?)", (context.type.id, body["id"], orjson.dumps(body).decode()))


def _stage(context: Context, given: JSON, order: int) -> JSON:
    if not given.get("label"):
        raise HubSpotError(400, "A stage needs a label.")
    stamp = iso(context.state.now_ms())
    return {
        "id": str(given.get("stageId") or secrets.randbelow(10**9)), "label": given["label"], "displayOrder": given.get("displayOrder", order),
        "metadata": {key: str(value) for key, value in (given.get("metadata") or {}).items()}, "createdAt": stamp, "updatedAt": stamp,
        "archived": False, "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
    }  # fmt: skip


def pipelines(context: Context) -> Reply:
    """`GET|POST /crm/v3/pipelines/{type}`."""
    kind = context.type
    if context.method == "GET":
        context.need_any(kind.read_scope, kind.write_scope, f"crm.schemas.{kind.plural}.read")
        return Reply({"results": _load(context)})
    context.need(kind.write_scope)
    given = context.json_object()
    if not given.get("label"):
        raise HubSpotError(400, "A pipeline needs a label.")
    with context.state.transaction():
        if any(body["label"] == given["label"] for body in _load(context)):
            raise HubSpotError(400, f"A pipeline with the label {given['label']} already exists.")
        stamp = iso(context.state.now_ms())
        body: JSON = {"id": str(given.get("pipelineId") or secrets.randbelow(10**9)), "label": given["label"], "createdAt": stamp}
        body |= {"displayOrder": given.get("displayOrder", 0), "archived": False}
        body["stages"] = [_stage(context, item, order) for order, item in enumerate(given.get("stages") or [])]
        _store(context, body)
    return Reply(body, 201)


def pipeline(context: Context) -> Reply:
    """`GET|PATCH|PUT|DELETE /crm/v3/pipelines/{type}/{pipeline}`."""
    if context.method != "GET":
        context.need(context.type.write_scope)
    with context.state.transaction():
        body = _pipeline(context)
        if context.method == "DELETE":
            context.state.db.write("DELETE FROM pipeline WHERE type = ? AND id = ?", (context.type.id, body["id"]))
            return Reply(None, 204)
        if context.method in ("PATCH", "PUT"):
            given = context.json_object()
            body |= {key: given[key] for key in ("label", "displayOrder", "archived") if given.get(key) is not None}
            if context.method == "PUT" and given.get("stages"):
                body["stages"] = [_stage(context, item, order) for order, item in enumerate(given["stages"])]
            _store(context, body)
    return Reply(body)


def stages(context: Context) -> Reply:
    """`GET|POST …/stages`, `GET|PATCH|PUT|DELETE …/stages/{stage}`."""
    if context.method != "GET":
        context.need(context.type.write_scope)
    with context.state.transaction():
        body = _pipeline(context)
        key = context.path.get("stage")
        if key is None and context.method == "GET":
            return Reply({"results": body["stages"]})
        if key is None:
            made = _stage(context, context.json_object(), len(body["stages"]))
            body["stages"].append(made)
            _store(context, body)
            return Reply(made, 201)
        found: JSON | None = next((item for item in body["stages"] if item["id"] == key), None)
        if found is None:
            raise resource_not_found()
        if context.method == "DELETE":
            body["stages"].remove(found)
            _store(context, body)
            return Reply(None, 204)
        if context.method in ("PATCH", "PUT"):
            given = context.json_object()
            found |= {name: given[name] for name in ("label", "displayOrder", "metadata", "archived") if given.get(name) is not None}
            _store(context, body)
    return Reply(found)


def register(routes: Routes) -> None:
    """The paths of this module."""
    routes.add("GET", "/crm/v3/owners", owners, kind="owners")
    routes.add("GET", "/crm/v3/owners/{id}", owner, kind="owners")
    base = "/crm/v3/pipelines/{type}"
    for method in ("GET", "POST"):
        routes.add(method, base, pipelines, kind="pipelines")
        routes.add(method, f"{base}/{{pipeline}}/stages", stages, kind="pipelines")
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        routes.add(method, f"{base}/{{pipeline}}", pipeline, kind="pipelines")
        routes.add(method, f"{base}/{{pipeline}}/stages/{{stage}}", stages, kind="pipelines")
