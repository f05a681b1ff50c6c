"""Exports: a CSV of many records behind a temporary address (reference: section 8.2). Always one plain CSV, never a zip; lists do not exist here."""

from __future__ import annotations

import csv
import io
import secrets
from typing import Any

from connectors.hubspot.sandbox import search
from connectors.hubspot.sandbox.errors import HubSpotError, resource_not_found
from connectors.hubspot.sandbox.limits import RateLimited
from connectors.hubspot.sandbox.records import record_of
from connectors.hubspot.sandbox.routing import Context, Reply, Routes
from connectors.hubspot.sandbox.values import iso

JSON = dict[str, Any]
MOST_A_DAY = 30
URL_SECONDS = 300


def create(context: Context) -> Reply:
    """`POST /crm/v3/exports/export/async`: 202 with the task's id."""
    body = context.json_object()
    state = context.state
    kind = state.type(str(body.get("objectType", "")))
    context.need_any(kind.read_scope, kind.write_scope)
    if body.get("exportType") != "VIEW":
        raise HubSpotError(400, "Only exports of the type VIEW are served here: this account has no lists.")
    if body.get("format", "CSV") != "CSV":
        raise HubSpotError(400, "Only CSV exports are served here.")
    now = state.now().timestamp()
    row = state.db.one("SELECT count(*) FROM export_job WHERE created > ?", (now - 86_400,))
    if row is not None and row[0] >= MOST_A_DAY:
        raise RateLimited("DAILY", {})
    text = _csv(context, body, [str(name) for name in body.get("objectProperties") or []])
    due = now + float(state.setting("export_seconds"))
    with state.transaction() as connection:
        cursor = connection.execute(
            "INSERT INTO export_job (secret, csv, created, due) VALUES (?, ?, ?, ?)", (secrets.token_urlsafe(24), text, now, due)
        )
    return Reply({"id": str(cursor.lastrowid)}, 202)


def _csv(context: Context, body: JSON, names: list[str]) -> str:
    state = context.state
    kind = state.type(str(body["objectType"]))
    known = state.properties(kind)
    columns = [name for name in names if name in known]
    internal = body.get("exportInternalValuesOptions") or []
    options = {name: {str(item["value"]): str(item["label"]) for item in known[name].body["options"]} for name in columns}
    source, source_params, where, params = search.compiled(state, kind, body.get("publicCrmSearchRequest") or {})
    rows = state.read(f"SELECT id, props, created, updated, 0 FROM {source} WHERE {where} ORDER BY +id", [*source_params, *params])
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["Record ID", *(name if "NAMES" in internal else known[name].body["label"] for name in columns)])
    for row in rows:
        record = record_of(row)
        values = [record.value(kind, name) or "" for name in columns]
        if "VALUES" not in internal:
            values = [options[name].get(value, value) for name, value in zip(columns, values, strict=True)]
        writer.writerow([record.id, *values])
    return out.getvalue()


def status(context: Context) -> Reply:
    """`GET …/tasks/{id}/status`: the address lives five minutes from this answer on."""
    state = context.state
    row = state.db.one("SELECT secret, created, due FROM export_job WHERE id = ?", (context.path["id"],))
    if row is None:
        raise resource_not_found()
    now = state.now().timestamp()
    body: JSON = {"status": "PENDING", "startedAt": iso(int(row[1] * 1000)), "completedAt": iso(int(row[2] * 1000))}
    if now >= row[2]:
        state.db.write("UPDATE export_job SET until = ? WHERE id = ?", (now + URL_SECONDS, context.path["id"]))
        body |= {"status": "COMPLETE", "result": f"{context.base_url}/exports/{row[0]}.csv"}
    return Reply(body)


def download(context: Context) -> Reply:
    """The file itself, without a token; 403 once the address has gone stale."""
    row = context.state.db.one("SELECT csv, until FROM export_job WHERE secret = ?", (context.path["secret"],))
    if row is None:
        raise resource_not_found()
    if context.state.now().timestamp() > float(row[1] or 0):
        return Reply("<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", 403, media_type="application/xml")
    return Reply(str(row[0]), media_type="text/csv; charset=utf-8")


def register(routes: Routes) -> None:
    """The paths of this module."""
    base = "/crm/v3/exports/export/async"
    routes.add("POST", base, create, kind="exports")
    routes.add("GET", f"{base}/tasks/{{id}}/status", status, kind="exports")
    routes.add("GET", "/exports/{secret}.csv", download, kind="exports", login=False)
