"""Webhook settings and subscriptions of an app (reference: section 7.1). A developer key in `hapikey` or a bearer token opens them."""

from __future__ import annotations

from typing import Any

import orjson

from connectors.hubspot.sandbox import auth
from connectors.hubspot.sandbox.batch import answer, inputs_of
from connectors.hubspot.sandbox.errors import HubSpotError, resource_not_found
from connectors.hubspot.sandbox.routing import Context, Reply, Routes
from connectors.hubspot.sandbox.values import iso

JSON = dict[str, Any]


def _open(context: Context) -> str:
    found = context.state.side.token(context.one("hapikey")) if context.one("hapikey") else None
    if found is None or found["kind"] != "developer":
        auth.authenticate(context.state, context.headers.get("authorization", ""))
    app = context.path["app"]
    if context.state.side.db.one("SELECT 1 FROM app WHERE id = ?", (app,)) is None:
        raise resource_not_found()
    return app


def settings(context: Context) -> Reply:
    """`GET|PUT|DELETE /webhooks/v3/{appId}/settings`."""
    app, db = _open(context), context.state.db
    if context.method == "DELETE":
        db.write("DELETE FROM hook WHERE app = ?", (app,))
        return Reply(None, 204)
    row = db.one("SELECT body FROM hook WHERE app = ?", (app,))
    if context.method == "GET":
        if row is None:
            raise resource_not_found()
        return Reply(orjson.loads(row[0]))
    given = context.json_object()
    throttling = given.get("throttling")
    url = str(given.get("targetUrl") or "")
    if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")) or not isinstance(throttling, dict):
        raise HubSpotError(400, "Webhook settings need a targetUrl (https) and throttling.")
    stamp = iso(context.state.now_ms())
    created = orjson.loads(row[0])["createdAt"] if row is not None else stamp
    body = {"targetUrl": url, "throttling": throttling, "createdAt": created, "updatedAt": stamp}
    db.write("INSERT OR REPLACE INTO hook VALUES (?, ?)", (app, orjson.dumps(body).decode()))
    return Reply(body)


def _shape(row: tuple[Any, ...]) -> JSON:
    body: JSON = {"id": str(row[0]), "eventType": row[1], "active": bool(row[3]), "createdAt": row[4], "updatedAt": row[4]}
    return body | ({"propertyName": row[2]} if row[2] else {})


_COLUMNS = "id, event, property, active, created"


def subscriptions(context: Context) -> Reply:
    """`GET|POST /webhooks/v3/{appId}/subscriptions`."""
    app, db = _open(context), context.state.db
    if context.method == "GET":
        return Reply({"results": [_shape(row) for row in db.read(f"SELECT {_COLUMNS} FROM subscription WHERE app = ? ORDER BY id", (app,))]})
    given = context.json_object()
    event, name = str(given.get("eventType") or ""), str(given.get("propertyName") or "")
    if "." not in event or (event.endswith(".propertyChange") and not name):
        raise HubSpotError(400, "A subscription needs an eventType, and a propertyName for property changes.")
    if db.one("SELECT 1 FROM subscription WHERE app = ? AND event = ? AND property = ?", (app, event, name)) is not None:
        raise HubSpotError(409, "The subscription exists already.", "CONFLICT")
    db.write(
        "INSERT INTO subscription (app, event, property, active, created) VALUES (?, ?, ?, ?, ?)",
        (app, event, name, int(bool(given.get("active", False))), iso(context.state.now_ms())),
    )
    row = db.one(f"SELECT {_COLUMNS} FROM subscription WHERE app = ? AND event = ? AND property = ?", (app, event, name))
    return Reply(_shape(row or ()), 201)


def subscription(context: Context) -> Reply:
    """`GET|PATCH|DELETE /webhooks/v3/{appId}/subscriptions/{id}`."""
    app, db = _open(context), context.state.db
    key = (app, context.path["id"])
    if db.one("SELECT 1 FROM subscription WHERE app = ? AND id = ?", key) is None:
        raise resource_not_found()
    if context.method == "DELETE":
        db.write("DELETE FROM subscription WHERE app = ? AND id = ?", key)
        return Reply(None, 204)
    if context.method == "PATCH":
        db.write("UPDATE subscription SET active = ? WHERE app = ? AND id = ?", (int(bool(context.json_object().get("active"))), *key))
    row = db.one(f"SELECT {_COLUMNS} FROM subscription WHERE app = ? AND id = ?", key)
    return Reply(_shape(row or ()))


def batch_update(context: Context) -> Reply:
    """`POST /webhooks/v3/{appId}/subscriptions/batch/update`: switches subscriptions on and off."""
    app, db = _open(context), context.state.db
    started = context.state.now_ms()
    results = []
    for item in inputs_of(context.json_object(), 100):
        key = (app, str(item.get("id")))
        db.write("UPDATE subscription SET active = ? WHERE app = ? AND id = ?", (int(bool(item.get("active"))), *key))
        results += [_shape(row) for row in db.read(f"SELECT {_COLUMNS} FROM subscription WHERE app = ? AND id = ?", key)]
    return answer(context, started, results, [])


def register(routes: Routes) -> None:
    """The paths of this module."""
    base = "/webhooks/v3/{app}"
    for method in ("GET", "PUT", "DELETE"):
        routes.add(method, f"{base}/settings", settings, kind="webhook_settings", login=False)
    for method in ("GET", "POST"):
        routes.add(method, f"{base}/subscriptions", subscriptions, kind="webhook_settings", login=False)
    routes.add("POST", f"{base}/subscriptions/batch/update", batch_update, kind="webhook_settings", login=False)
    for method in ("GET", "PATCH", "DELETE"):
        routes.add(method, f"{base}/subscriptions/{{id}}", subscription, kind="webhook_settings", login=False)
