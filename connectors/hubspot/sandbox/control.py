"""`/__sandbox__/`: seeding, clock, faults, statistics, people's edits. No client code uses it; it answers without login."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from connectors.hubspot.sandbox import associations, deletes, delivery, properties, records, store_rows
from connectors.hubspot.sandbox.account import APP_ID, seed_owners
from connectors.hubspot.sandbox.association_types import between, default
from connectors.hubspot.sandbox.associations import Link
from connectors.hubspot.sandbox.batch import create as batch_create
from connectors.hubspot.sandbox.batch import update as batch_update
from connectors.hubspot.sandbox.derived import Deriver
from connectors.hubspot.sandbox.errors import HubSpotError, resource_not_found
from connectors.hubspot.sandbox.records import Record
from connectors.hubspot.sandbox.routing import Context, Reply
from connectors.hubspot.sandbox.values import as_text, iso, parse_moment

PREFIX = "/__sandbox__"
JSON = dict[str, Any]
Answer = JSON | list[Any]


def dispatch(context: Context) -> Reply:
    """Answers a control request; refusals are `{"error": …}` with status 400 or 404."""
    name = context.url[len(PREFIX) :].strip("/")
    handler = HANDLERS.get((context.method, name))
    if handler is None:
        raise resource_not_found()
    try:
        return Reply(handler(context))
    except (ValueError, KeyError, TypeError) as error:
        return Reply({"error": f"{name}: {type(error).__name__}: {error}"}, 400)
    except HubSpotError as error:
        return Reply({"error": f"{name}: {error.category}: {error.message}"}, 400)


def run(context: Context, name: str, body: JSON) -> None:
    """A control call made by a fault rule in the middle of other calls; raises what the control call raises."""
    HANDLERS[("POST", name)](Context(context.state, "POST", f"{PREFIX}/{name}", body=orjson.dumps(body)))


def _when(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError(f"a time zone is needed: {text}")
    return moment.astimezone(UTC)


def info(context: Context) -> Answer:
    """Tokens, app, owners and portal id, so that tests and the demo can call the API."""
    from connectors.hubspot.sandbox.state import PORTAL

    side = context.state.side
    app = side.db.one("SELECT client_id, client_secret, tokens FROM app WHERE id = ?", (APP_ID,)) or ("", "", "{}")
    tokens = orjson.loads(app[2])
    owners = [orjson.loads(row[0]) for row in context.state.read("SELECT body FROM owner ORDER BY id")]
    return {
        "portal_id": PORTAL, "now": context.state.now().isoformat(), "access_token": tokens.get("private"), "refresh_token": tokens.get("refresh"),
        "developer_key": tokens.get("developer"),
        "apps": {"integration": {"client_id": app[0], "client_secret": app[1], "app_id": APP_ID}},
        "users": {}, "private_key": None, "owners": [{"id": item["id"], "user_id": item["userId"], "email": item["email"]} for item in owners],
        "settings": side.settings(),
    }  # fmt: skip


def seed(context: Context) -> Answer:
    """`{"object": "companies", "rows": [{property: value}]}`: fast, without validation; answers the ids.

    The type's create and last-modified properties set the stamps; `hs_object_id` sets the id.
    """
    body = context.json_object()
    state = context.state
    kind = state.type(body["object"])
    with state.transaction():
        rows = body["rows"]
        numbers = state.new_ids(len(rows)) if rows else []
        now = state.now_ms()
        derive = Deriver(state, kind)
        made = []
        for number, row in zip(numbers, rows, strict=True):
            props = {name: text for name, value in row.items() if value is not None and (text := as_text(value)) not in (None, "")}
            created = parse_moment(props.pop(kind.created, "") or str(now))
            updated = parse_moment(props.pop(kind.modified, "") or str(created))
            number = int(props.pop("hs_object_id", number))
            props = derive.defaults(props) | props
            if kind.id == "0-1" and "email" in props:
                props["email"] = props["email"].lower()
            props |= {name: value for name, value in derive(props, created or now).items() if value is not None and name not in props}
            made.append(Record(number, props, now if created is None else created, now if updated is None else updated))
        store_rows.insert(state, kind, made, None, lagged=False)
    return {"ids": [str(record.id) for record in made]}


def associate(context: Context) -> Answer:
    """`{"from": "deals", "to": "companies", "pairs": [[from id, to id]], "type_id"?, "category"?}`: links, primary companies included."""
    body = context.json_object()
    state = context.state
    kind, target = state.type(body["from"]), state.type(body["to"])
    if body.get("type_id") is not None:
        item = associations.find_type(state, kind, target, body.get("category", "HUBSPOT_DEFINED"), int(body["type_id"]))
    else:
        found = default(state, kind, target) or next(iter(between(state, kind, target)), None)
        if found is None:
            raise ValueError(f"no association type leads from {kind.plural} to {target.plural}")
        item = found
    with state.transaction():
        for from_id, to_id in body["pairs"]:
            associations.connect(state, kind, int(from_id), [Link(target, int(to_id), item)])
    return {"pairs": len(body["pairs"])}


def fields(context: Context) -> Answer:
    """`{"object": "companies", "properties": [{name, type, fieldType, …}], "group"?}`: definitions in one step, writable at once."""
    body = context.json_object()
    state = context.state
    kind = state.type(body["object"])
    with state.transaction():
        for item in body["properties"]:
            group = item.get("groupName") or body.get("group") or "sandbox"
            if not properties.group_exists(context, kind, group):
                made = {"name": group, "label": group, "displayOrder": -1, "archived": False}
                state.db.write("INSERT INTO grp VALUES (?, ?, ?)", (kind.id, group, orjson.dumps(made).decode()))
            state.define(kind, {"groupName": group, **item}, delay=0.0)
    return {"fields": len(body["properties"])}


def drop_field(context: Context) -> Answer:
    """`{"object", "field"}`: an admin archived the property."""
    body = context.json_object()
    with context.state.transaction():
        properties.archive_one(context, context.state.type(body["object"]), body["field"])
    return {"ok": True}


def change_field(context: Context) -> Answer:
    """`{"object", "field", "changes": {"options": […], …}}`: an admin changed the definition, without checks."""
    body = context.json_object()
    kind = context.state.type(body["object"])
    with context.state.transaction():
        found = context.state.properties(kind)[body["field"]]
        properties.store(context, kind, found.body | body["changes"] | {"updatedAt": iso(context.state.now_ms())})
    return {"ok": True}


def clock(context: Context) -> Answer:
    """`{"now": ISO, "frozen": bool}`, `{"advance": seconds}` or `{"real": true}`."""
    body = context.json_object()
    side = context.state.side
    if body.get("real"):
        side.set_clock(now=None)
    elif "now" in body:
        side.set_clock(now=_when(body["now"]), frozen=bool(body.get("frozen")))
    elif "advance" in body:
        side.advance_clock(float(body["advance"]))
    return {"now": side.now().isoformat()}


def faults(context: Context) -> Answer:
    """`{"rules": […]}` adds rules (format: `faults.py`); answers their numbers."""
    return {"ids": [context.state.faults.add(rule) for rule in context.json_object()["rules"]]}


def list_faults(context: Context) -> Answer:
    """Every rule with what is left of it and how often it fired."""
    return context.state.faults.listing()


def clear_faults(context: Context) -> Answer:
    """Removes every rule."""
    context.state.faults.clear()
    return {"ok": True}


def stats(context: Context) -> Answer:
    """Calls by kind, answers by status, records changed, field writes, calls of today."""
    counters = context.state.side.counters()
    statuses = {key[7:]: value for key, value in counters.items() if key.startswith("status.")}
    totals = {key: counters.get(key, 0) for key in ("records_changed", "field_writes", "records_archived")}
    calls = {key: value for key, value in counters.items() if key not in totals and not key.startswith("status.")}
    return {"calls": calls, "statuses": statuses, **totals, "api_usage": context.state.side.used_today(context.state.today())}


def reset_stats(context: Context) -> Answer:
    """Sets the counters to nought."""
    context.state.side.reset_counters()
    return {"ok": True}


def settings(context: Context) -> Answer:
    """`{name: value}`; names and defaults: `side.py`."""
    for key, value in context.json_object().items():
        context.state.side.set_setting(key, value)
    context.state.bump()
    return {"ok": True}


def usage(context: Context) -> Answer:
    """`{"daily": n}`, `{"burst": n}`, `{"search": n}`: other parts of the account used up calls."""
    body, side = context.json_object(), context.state.side
    side.use(context.state.today(), int(body.get("daily", 0)))
    if body.get("burst"):
        side.hit(f"burst {APP_ID}", int(body["burst"]))
    if body.get("search"):
        side.hit("search", int(body["search"]))
    return {"daily": side.used_today(context.state.today())}


def token(context: Context) -> Answer:
    """`{"kind": "private"|"access"|"refresh"|"code", "scopes"?: […], "seconds"?: n, "app"?: id}`: a further token.

    Another `app` has its own burst window.
    """
    body = context.json_object()
    made = f"pat-na1-{secrets.token_hex(16)}" if body.get("kind", "private") == "private" else secrets.token_urlsafe(40)
    expires = context.state.now().timestamp() + float(body["seconds"]) if "seconds" in body else None
    context.state.side.add_token(made, body.get("kind", "private"), str(body.get("app", APP_ID)), body.get("scopes"), expires)
    return {"token": made}


def expire(context: Context) -> Answer:
    """Every OAuth access token is past its time from now on; `{"revoke": "private"|"refresh"}` revokes those instead."""
    side = context.state.side
    kind = context.json_object().get("revoke")
    if kind:
        side.db.write("UPDATE token SET revoked = 1 WHERE kind = ?", (kind,))
    else:
        side.db.write("UPDATE token SET expires = ? WHERE kind = 'access'", (context.state.now().timestamp() - 75,))
    return {"ok": True}


def dump(context: Context) -> Answer:
    """`?object=companies&properties=a,b&archived=true`: all records by id, for comparing states. Without `properties`, all but the stamps."""
    state = context.state
    kind = state.type(context.one("object"))
    names = context.names("properties") or context.names("fields")
    where = "" if context.flag("archived") or context.flag("deleted") else " AND archived = 0"
    rows = state.read(f"SELECT id, props, created, updated, archived FROM object WHERE type = ?{where} ORDER BY id", (kind.id,))
    found = []
    for row in rows:
        record = records.record_of(row)
        values = {name: record.value(kind, name) for name in names} if names else dict(sorted(record.props.items()))
        if context.flag("stamps"):
            values |= {kind.created: iso(record.created), kind.modified: iso(record.updated)}
        found.append({"id": str(record.id), **values} | ({"archived": True} if record.archived else {}))
    return found


def links(context: Context) -> Answer:
    """`?from=deals&to=companies`: every stored link `[from id, to id, type id]`."""
    state = context.state
    params = (state.type(context.one("from")).id, state.type(context.one("to")).id)
    rows = state.read("SELECT from_id, to_id, type_id FROM assoc WHERE from_type = ? AND to_type = ? ORDER BY 1, 2, 3", params)
    return [[str(from_id), str(to_id), type_id] for from_id, to_id, type_id in rows]


def write(context: Context) -> Answer:
    """`{"user"?: id, "object", "operation": "update"|"insert", "rows": [{"id", property: value}]}`: a person's edit in the interface."""
    body = context.json_object()
    inputs = [
        {"id": str(row["id"]), "properties": {k: v for k, v in row.items() if k != "id"}} if "id" in row else {"properties": row}
        for row in body["rows"]
    ]
    user = body.get("user")
    results: list[JSON] = []
    handler = batch_create if body.get("operation", "update") in ("insert", "create") else batch_update
    for item in inputs:  # a person saves one record at a time
        inner = Context(
            context.state, "POST", context.url, path={"type": body["object"]}, body=orjson.dumps({"inputs": [item]}), source="CRM_UI",
            user=int(user) if isinstance(user, int | str) and str(user).isdigit() else 10_000_001,
        )  # fmt: skip
        try:
            answer = handler(inner).body
        except HubSpotError as error:
            results.append({"id": item.get("id"), "success": False, "errors": [{"message": error.message}]})
            continue
        errors = answer.get("errors", [])
        found = answer["results"][0]["id"] if answer["results"] else item.get("id")
        results.append({"id": found, "success": not errors, "errors": [{"message": entry["message"]} for entry in errors]})
    return results


def touch(context: Context) -> Answer:
    """`{"object", "ids", "values"?, "updated"?: ISO}`: values change and the stamp moves without checks or history (imports, calculations)."""
    body = context.json_object()
    state = context.state
    kind = state.type(body["object"])
    stamp = parse_moment(body["updated"]) if "updated" in body else state.now_ms()
    with state.transaction() as connection:
        found = records.fetch(state, kind, [int(key) for key in body["ids"]])
        visible = store_rows.visible_at(state)
        store_rows.keep_old(state, kind, [record.id for record in found.values()], visible)
        for record in found.values():
            props = record.props | {name: str(value) for name, value in body.get("values", {}).items()}
            connection.execute(
                "UPDATE object SET props = ?, updated = ?, visible = ? WHERE type = ? AND id = ?",
                (orjson.dumps(props).decode(), stamp, visible, kind.id, record.id),
            )
    return {"touched": len(found)}


def _as_person(context: Context) -> tuple[Context, JSON]:
    context.source, context.user = "CRM_UI", 10_000_001
    return context, context.json_object()


def merge(context: Context) -> Answer:
    """`{"object": "companies", "primary": id, "other": id}`: a person merged two records; answers the survivor's id."""
    person, body = _as_person(context)
    found = deletes.merge_two(person, context.state.type(body.get("object", "companies")), int(body["primary"]), int(body["other"]))
    return {"id": str(found.id)}


def archive(context: Context) -> Answer:
    """`{"object", "ids"}`: a person deleted records."""
    person, body = _as_person(context)
    moved = deletes.archive_many(person, context.state.type(body["object"]), [int(key) for key in body["ids"]])
    return {"archived": [str(key) for key in moved]}


def restore(context: Context) -> Answer:
    """`{"object", "ids"}`: a person emptied a part of the recycle bin back into the account."""
    person, body = _as_person(context)
    found = deletes.restore_many(person, context.state.type(body["object"]), [int(key) for key in body["ids"]])
    return {"restored": [str(key) for key in found]}


def purge(context: Context) -> Answer:
    """`{"object", "ids"}`: gone for good; only a reconciliation of ids finds out."""
    body = context.json_object()
    return {"purged": deletes.purge_many(context, context.state.type(body["object"]), [int(key) for key in body["ids"]])}


def hooks(context: Context) -> Answer:
    """`{"url", "events": ["company.deletion", "company.propertyChange:health_score"]}`: target and subscriptions in one step."""
    body = context.json_object()
    state = context.state
    made = {"targetUrl": body["url"], "throttling": {"maxConcurrentRequests": 10}, "createdAt": iso(state.now_ms()), "updatedAt": iso(state.now_ms())}
    with state.transaction():
        state.db.write("INSERT OR REPLACE INTO hook VALUES (?, ?)", (APP_ID, orjson.dumps(made).decode()))
        for event in body["events"]:
            kind, _, name = event.partition(":")
            state.db.write(
                "INSERT INTO subscription (app, event, property, active, created) VALUES (?, ?, ?, 1, ?)", (APP_ID, kind, name, made["createdAt"])
            )
    return {"ok": True}


def deliver(context: Context) -> Answer:
    """`{"shuffle"?: true, "duplicates"?: n}`: sends due events now, in another order or some of them twice."""
    body = context.json_object()
    return delivery.deliver(context.state, shuffle=bool(body.get("shuffle")), duplicates=int(body.get("duplicates", 0)))


def fire(context: Context) -> Answer:
    """`{"url", "method"?, "body"?, "signature"?: "v2"}`: a workflow webhook (v2) or a card's fetch (v3); answers what the receiver said."""
    body = context.json_object()
    row = context.state.side.db.one("SELECT client_secret FROM app WHERE id = ?", (APP_ID,))
    content = orjson.dumps(body["body"]) if "body" in body else b""
    secret = str(row[0]) if row else ""
    status, text = delivery.send(context.state, body.get("method", "POST"), body["url"], content, secret, body.get("signature", "v2"))
    return {"status": status, "body": text}


def rules(context: Context) -> Answer:
    """`{"object", "property", "when"?: {"property", "values"}}`: a required property, which writes on 2026-09 paths must respect."""
    body = context.json_object()
    kind = context.state.type(body["object"])
    context.state.db.write("INSERT INTO rule VALUES (?, ?, ?)", (kind.id, body["property"], orjson.dumps(body).decode()))
    return {"ok": True}


HANDLERS: dict[tuple[str, str], Callable[[Context], Answer]] = {
    ("GET", ""): info, ("GET", "info"): info, ("POST", "seed"): seed, ("POST", "associate"): associate, ("POST", "fields"): fields,
    ("POST", "drop_field"): drop_field, ("POST", "change_field"): change_field, ("POST", "clock"): clock, ("POST", "faults"): faults,
    ("GET", "faults"): list_faults, ("DELETE", "faults"): clear_faults, ("GET", "stats"): stats, ("DELETE", "stats"): reset_stats,
    ("POST", "settings"): settings, ("POST", "usage"): usage, ("POST", "token"): token, ("POST", "expire_sessions"): expire, ("GET", "dump"): dump,
    ("GET", "links"): links, ("POST", "write"): write, ("POST", "touch"): touch, ("POST", "merge"): merge, ("POST", "archive"): archive,
    ("POST", "restore"): restore, ("POST", "undelete"): restore, ("POST", "purge"): purge, ("POST", "rules"): rules,
    ("POST", "hooks"): hooks, ("POST", "deliver"): deliver, ("POST", "fire"): fire, ("POST", "owners"): seed_owners,
}  # fmt: skip
