"""`/__sandbox__/`: seeding, clock, faults, statistics, people's edits. No client code uses it; it answers without login."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from connectors.salesforce.sandbox import deletes
from connectors.salesforce.sandbox.errors import SalesforceError, not_found
from connectors.salesforce.sandbox.org import ORG_ID, username
from connectors.salesforce.sandbox.routing import Context, Reply, query_params
from connectors.salesforce.sandbox.schema import column_sql, quote
from connectors.salesforce.sandbox.state import State
from connectors.salesforce.sandbox.values import out

PREFIX = "/__sandbox__"
SETTINGS = ("daily_limit", "session_seconds", "timezone", "bulk_delay_seconds", "bulk_page_records", "bulk_seed")
Answer = dict[str, Any] | list[Any]


def dispatch(context: Context, query: str) -> Reply:
    """Answers a control request; refusals are `{"error": …}` with status 400 or 404."""
    context.params = query_params(query)
    name = context.url[len(PREFIX) :].strip("/")
    handler = HANDLERS.get((context.method, name))
    if handler is None:
        raise not_found()
    try:
        return Reply(handler(context))
    except (ValueError, KeyError, TypeError) as error:
        return Reply({"error": f"{name}: {error}"}, 400)
    except SalesforceError as error:
        return Reply({"error": f"{name}: {error.code}: {error.message}"}, 400)


def run(context: Context, name: str, body: dict[str, Any]) -> None:
    """A control call made by a fault rule in the middle of other calls; raises what the control call raises."""
    handler = HANDLERS[("POST", name)]
    handler(Context(context.state, context.state.system, "POST", f"{PREFIX}/{name}", body=orjson.dumps(body)))


def _when(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError(f"a time zone is needed: {text}")
    return moment.astimezone(UTC)


def info(context: Context) -> Answer:
    """Apps, users and ids, so that tests and the demo can log in."""
    state = context.state
    apps = state.read("SELECT a.client_id, a.client_secret, a.name, s.alias FROM sb_app a JOIN sb_user s ON s.id = a.run_as ORDER BY a.rowid")
    users = state.read("SELECT alias, id, password, security_token FROM sb_user ORDER BY id")
    key = state.read("SELECT private_key FROM sb_app WHERE private_key IS NOT NULL LIMIT 1")
    return {
        "org_id": ORG_ID, "now": state.stamp(), "private_key": key[0][0] if key else None,
        "apps": {alias: {"client_id": cid, "client_secret": secret, "name": label} for cid, secret, label, alias in apps},
        "users": {alias: {"id": uid, "username": username(alias), "password": pw, "security_token": tok} for alias, uid, pw, tok in users},
    }  # fmt: skip


def seed(context: Context) -> Answer:
    """`{"object": "Account", "rows": […]}`: fast, without validation; answers the ids."""
    body = context.json_object()
    return {"ids": context.state.bulk_load(body["object"], body["rows"])}


def fields(context: Context) -> Answer:
    """`{"fields": [{"FullName", "Metadata"}], "objects": [{"fullName", …}], "visible_to": ["integration"]}`: schema with access in one step."""
    body = context.json_object()
    state = context.state
    names: list[str] = []
    for entry in body.get("objects", []):
        state.create_object(entry["fullName"], {key: value for key, value in entry.items() if key != "fullName"})
        names.append(entry["fullName"])
    for entry in body.get("fields", []):
        state.create_field(entry["FullName"], entry["Metadata"])
    grant(state, body.get("visible_to", []), [entry["FullName"] for entry in body.get("fields", [])], names)
    return {"fields": len(body.get("fields", [])), "objects": len(names)}


def grant(state: State, aliases: list[str], full_names: list[str], objects: list[str], *, edit: bool = True) -> None:
    """Gives users access to custom fields and objects through a permission set of their own."""
    for alias in aliases:
        user = state.user(alias)
        with state.transaction():
            found = state.read('SELECT "Id" FROM "PermissionSet" WHERE "Name" = ?', (f"Sandbox_{alias}",))
            if found:
                permission_set = found[0][0]
            else:
                permission_set = state.bulk_load("PermissionSet", [{"Name": f"Sandbox_{alias}", "Label": f"Sandbox {alias}"}])[0]
                state.bulk_load("PermissionSetAssignment", [{"PermissionSetId": permission_set, "AssigneeId": user.id}])
            state.bulk_load("FieldPermissions", [row for name in full_names for row in _field_rows(state, permission_set, name, edit)])
            rights = {"PermissionsRead": 1, "PermissionsCreate": 1, "PermissionsEdit": 1, "PermissionsDelete": 1}
            state.bulk_load("ObjectPermissions", [{"ParentId": permission_set, "SobjectType": name, **rights} for name in objects])


def _field_rows(state: State, permission_set: str, full_name: str, edit: bool) -> list[dict[str, Any]]:
    owner, _, name = full_name.partition(".")
    owners = ("Task", "Event") if owner == "Activity" else (owner,)
    rows = []
    for item in owners:
        column = state.object(item).get(name)
        if column is not None and column.permissionable:
            flags = {"PermissionsRead": 1, "PermissionsEdit": int(edit and column.writable)}
            rows.append({"ParentId": permission_set, "SobjectType": item, "Field": f"{item}.{column.name}", **flags})
    return rows


def grants(context: Context) -> Answer:
    """`{"user": "csm", "fields": ["Account.X__c"], "objects": ["Y__c"], "edit": true}`."""
    body = context.json_object()
    grant(context.state, [body["user"]], body.get("fields", []), body.get("objects", []), edit=body.get("edit", True))
    return {"ok": True}


def hide(context: Context) -> Answer:
    """`{"fields": ["Account.X__c"]}`: takes everybody's access to a field away (an admin changed a permission set)."""
    names = context.json_object()["fields"]
    state = context.state
    with state.transaction():
        for name in names:
            state.db.write('DELETE FROM "FieldPermissions" WHERE "Field" = ?', (name,))
        state.bump()
    return {"ok": True}


def drop_field(context: Context) -> Answer:
    """`{"field": "Account.X__c"}`: an admin deleted the field."""
    owner, _, name = context.json_object()["field"].partition(".")
    context.state.drop_field(owner, name)
    return {"ok": True}


def change_field(context: Context) -> Answer:
    """`{"field": "Account.X__c", "Metadata": {…}}`: an admin changed the field; given keys replace the old ones."""
    body = context.json_object()
    owner, _, name = body["field"].partition(".")
    column = context.state.object(owner).get(name)
    old = dict(column.developer_metadata or {}) if column is not None else {}
    context.state.change_field(owner, name, {**old, **body["Metadata"]})
    return {"ok": True}


def clock(context: Context) -> Answer:
    """`{"now": ISO, "frozen": bool}`, `{"advance": seconds}` or `{"real": true}`."""
    body = context.json_object()
    state = context.state
    if body.get("real"):
        state.set_clock(now=None)
    elif "now" in body:
        state.set_clock(now=_when(body["now"]), frozen=bool(body.get("frozen")))
    elif "advance" in body:
        state.advance_clock(float(body["advance"]))
    return {"now": state.now().isoformat()}


def faults(context: Context) -> Answer:
    """`{"rules": […]}` adds rules (format: `faults.py`); answers their numbers."""
    rules = context.json_object()["rules"]
    return {"ids": [context.state.faults.add(rule) for rule in rules]}


def list_faults(context: Context) -> Answer:
    """Every rule with what is left of it and how often it fired."""
    return context.state.faults.listing()


def clear_faults(context: Context) -> Answer:
    """Removes every rule."""
    context.state.faults.clear()
    return {"ok": True}


def stats(context: Context) -> Answer:
    """Calls by kind, records changed by object, field writes, API requests of the last 24 hours."""
    counters = context.state.side.counters()
    records = {key[8:]: value for key, value in counters.items() if key.startswith("records.")}
    totals = {key: counters.get(key, 0) for key in ("records_changed", "field_writes")}
    calls = {key: value for key, value in counters.items() if key not in totals and not key.startswith("records.")}
    return {"calls": calls, "records": records, **totals, "api_usage": context.state.side.usage(context.state.now().timestamp())}


def reset_stats(context: Context) -> Answer:
    """Sets the counters to nought."""
    context.state.side.reset_counters()
    return {"ok": True}


def settings(context: Context) -> Answer:
    """`{"daily_limit": n, "session_seconds": n, "timezone": name, …}`."""
    for key, value in context.json_object().items():
        if key not in SETTINGS:
            raise ValueError(f"unknown setting {key!r}; known: {', '.join(SETTINGS)}")
        context.state.side.set_setting(key, str(value))
    return {"ok": True}


def usage(context: Context) -> Answer:
    """`{"add": n}`: other apps used up API requests."""
    state = context.state
    state.side.use("other_apps", int(context.json_object()["add"]), state.now().timestamp())
    return {"api_usage": state.side.usage(state.now().timestamp())}


def expire(context: Context) -> Answer:
    """Ends every session (or those of `{"user": alias}`)."""
    alias = context.json_object().get("user")
    if alias:
        context.state.side.db.write("DELETE FROM session WHERE user_id = ?", (context.state.user(alias).id,))
    else:
        context.state.side.db.write("DELETE FROM session")
    return {"ok": True}


def app(context: Context) -> Answer:
    """`{"client_id", "client_secret", "run_as", "public_key"?}`: registers (or changes) an app."""
    body = context.json_object()
    context.state.db.write(
        "INSERT INTO sb_app VALUES (?, ?, ?, ?, ?, NULL) ON CONFLICT (client_id) DO UPDATE SET client_secret = excluded.client_secret, "
        "run_as = excluded.run_as, public_key = excluded.public_key",
        (
            body["client_id"],
            body["client_secret"],
            body.get("name", "app"),
            context.state.user(body.get("run_as", "integration")).id,
            body.get("public_key"),
        ),
    )
    return {"ok": True}


def dump(context: Context) -> Answer:
    """`?object=Account&fields=A,B&stamps=false&deleted=true`: all rows by id, for comparing states. Without `fields`, all but the stamps."""
    params = context.params
    item = context.state.object(params["object"])
    stamps = {"createddate", "lastmodifieddate", "systemmodstamp", "createdbyid", "lastmodifiedbyid"}
    if params.get("fields"):
        columns = [item.fields[name.strip().lower()] for name in params["fields"].split(",")]
    else:
        columns = [column for key, column in item.fields.items() if params.get("stamps") == "true" or key not in stamps]
    where = "" if params.get("deleted") == "true" else ' WHERE "t"."IsDeleted" = 0'
    selected = ", ".join(column_sql(column, "t") for column in columns)
    rows = context.state.read(f'SELECT {selected} FROM {quote(item.name)} AS "t"{where} ORDER BY "t"."Id"')
    return [{column.name: out(column, value) for column, value in zip(columns, row, strict=True)} for row in rows]


def write(context: Context) -> Answer:
    """`{"user": "csm", "object", "operation", "rows", "external_id_field"?}`: a person's edit in the UI, with that person's rights."""
    body = context.json_object()
    results = context.state.write_records(
        body["object"],
        body.get("operation", "update"),
        body["rows"],
        external_id_field=body.get("external_id_field"),
        user=context.state.user(body["user"]),
    )
    return [
        {"id": item.id, "success": item.success, "created": item.created, "errors": [error.as_json() for error in item.errors]} for item in results
    ]


def touch(context: Context) -> Answer:
    """`{"object", "ids", "values"?}`: an automated process writes; SystemModstamp moves, LastModifiedDate does not."""
    body = context.json_object()
    item = context.state.object(body["object"])
    values = {item.fields[key.lower()].name: value for key, value in body.get("values", {}).items()}
    columns = "".join(f"{quote(name)} = ?, " for name in values)
    with context.state.transaction() as connection:
        stamp = context.state.stamp()
        connection.executemany(
            f'UPDATE {quote(item.name)} SET {columns}"SystemModstamp" = ? WHERE "Id" = ?',
            [(*values.values(), stamp, record_id) for record_id in body["ids"]],
        )
    return {"ok": True}


def merge(context: Context) -> Answer:
    """`{"object": "Account", "master": id, "losers": [id], "user"?}`."""
    body = context.json_object()
    user = context.state.user(body.get("user", "admin"))
    return {"moved": deletes.merge(context.state, body.get("object", "Account"), body["master"], body["losers"], user)}


def undelete(context: Context) -> Answer:
    """`{"object", "ids"}`."""
    body = context.json_object()
    return {"restored": deletes.undelete(context.state, body["object"], body["ids"], context.state.user(body.get("user", "admin")))}


def purge(context: Context) -> Answer:
    """`{"object", "ids"}`: hard delete; only getDeleted knows."""
    body = context.json_object()
    return {"purged": deletes.purge(context.state, body["object"], body["ids"])}


HANDLERS: dict[tuple[str, str], Callable[[Context], Answer]] = {
    ("GET", ""): info, ("GET", "info"): info, ("POST", "seed"): seed, ("POST", "fields"): fields, ("POST", "grants"): grants, ("POST", "hide"): hide,
    ("POST", "drop_field"): drop_field, ("POST", "change_field"): change_field, ("POST", "clock"): clock, ("POST", "faults"): faults,
    ("GET", "faults"): list_faults, ("DELETE", "faults"): clear_faults, ("GET", "stats"): stats, ("DELETE", "stats"): reset_stats,
    ("POST", "settings"): settings, ("POST", "usage"): usage, ("POST", "expire_sessions"): expire, ("POST", "app"): app, ("GET", "dump"): dump,
    ("POST", "write"): write, ("POST", "touch"): touch, ("POST", "merge"): merge, ("POST", "undelete"): undelete, ("POST", "purge"): purge,
}  # fmt: skip
