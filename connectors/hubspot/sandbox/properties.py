"""Properties API: definitions and groups (reference: section 5)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from connectors.hubspot.sandbox.batch import answer, inputs_of
from connectors.hubspot.sandbox.definitions import STAMP, Property, full_options, group_of
from connectors.hubspot.sandbox.errors import HubSpotError, bad_json
from connectors.hubspot.sandbox.routing import Context, Reply, Routes
from connectors.hubspot.sandbox.types import ObjectType
from connectors.hubspot.sandbox.values import iso

JSON = dict[str, Any]
MOST, MOST_UNIQUE, MOST_CUSTOM = 100, 10, 1_000
NAME = re.compile(r"[a-z][a-z0-9_]*")
FIELDS = {
    "string": ("text", "textarea", "html", "file", "phonenumber", "calculation_equation"), "number": ("number", "calculation_equation"),
    "date": ("date",), "datetime": ("date",), "enumeration": ("select", "radio", "checkbox", "booleancheckbox", "calculation_equation"),
    "bool": ("booleancheckbox", "calculation_equation"), "phone_number": ("phonenumber", "text"),
}  # fmt: skip
FORMULA_WORDS = frozenset({"and", "or", "not", "true", "false", "if", "then", "else", "elseif", "endif", "is"})
REQUIRED = ("name", "label", "type", "fieldType", "groupName")
CHANGEABLE = ("label", "description", "groupName", "options", "displayOrder", "hidden", "formField", "type", "fieldType", "calculationFormula")


def _kind(context: Context, *, write: bool = False) -> ObjectType:
    kind = context.type
    schema = f"crm.schemas.{'custom' if kind.custom else kind.plural}"
    if write:
        if kind.plural in ("companies", "contacts", "deals") or kind.custom:
            context.need(f"{schema}.write")
        else:
            context.need(kind.write_scope)
    else:
        context.need_any(f"{schema}.read", f"{schema}.write", kind.read_scope, kind.write_scope)
    return kind


def _unknown(kind: ObjectType, name: str) -> HubSpotError:
    text = f"Property {name} does not exist for object type {kind.id}."
    return HubSpotError(404, text, "OBJECT_NOT_FOUND", subCategory="Properties.PROPERTY_NOT_FOUND", context={"name": [name]})


def list_all(context: Context) -> Reply:
    """`GET base`: no paging; archived definitions only with `archived=true`."""
    kind = _kind(context)
    if context.flag("archived"):
        rows = context.state.read("SELECT body, archived_at FROM property WHERE type = ? AND archived_at IS NOT NULL ORDER BY name", (kind.id,))
        return Reply({"results": [orjson.loads(text) | {"archived": True, "archivedAt": at} for text, at in rows]})
    return Reply({"results": [item.body for item in context.state.properties(kind).values()]})


def get_one(context: Context) -> Reply:
    """`GET base/{name}`."""
    kind = _kind(context)
    found = context.state.properties(kind).get(context.path["name"].lower())
    if found is None:
        raise _unknown(kind, context.path["name"])
    return Reply(found.body)


def group_exists(context: Context, kind: ObjectType, name: str) -> bool:
    """Whether a group is there: the standard one, or one of the account's own."""
    row = context.state.db.one("SELECT 1 FROM grp WHERE type = ? AND name = ?", (kind.id, name))
    return row is not None or name == group_of(kind)


def check(context: Context, kind: ObjectType, body: JSON) -> None:
    """Raises the refusal of a new definition."""
    missing = [key for key in REQUIRED if not body.get(key)]
    if missing:
        raise HubSpotError(400, f"Invalid input JSON: required fields are missing: {', '.join(missing)}", context={"missing": missing})
    name = str(body["name"])
    if NAME.fullmatch(name) is None or len(name) > 100:
        raise HubSpotError(400, f"Property name {name} is invalid: lower-case letters, digits and underscores, starting with a letter.")
    if name.startswith("hs_"):
        raise HubSpotError(400, f"Property name {name} is invalid: names that start with hs_ are reserved.")
    if context.state.properties(kind).get(name) is not None:
        text = f"A property named '{name}' already exists."
        raise HubSpotError(
            409, text, "OBJECT_ALREADY_EXISTS", subCategory="Properties.PROPERTY_WITH_NAME_EXISTS", context={"name": [name]}
        )  # fmt: skip
    check_kind(body)
    known = context.state.properties(kind)
    for lost in re.findall(r"\b[a-z][a-z0-9_]*\b(?!\()", str(body.get("calculationFormula") or "")):
        if lost not in known and lost not in FORMULA_WORDS:
            raise _unknown(kind, lost)
    if not group_exists(context, kind, str(body["groupName"])):
        raise HubSpotError(int(context.state.setting("group_missing")), f"Property group {body['groupName']} does not exist.")
    _check_room(context, kind, body)


def check_kind(body: JSON) -> None:
    """Raises the refusal of a type, field type or option list."""
    if body["type"] not in FIELDS or body["fieldType"] not in FIELDS[body["type"]]:
        raise HubSpotError(400, f"Property type {body['type']} cannot have the field type {body['fieldType']}.")
    options = body.get("options") or []
    if body["type"] == "bool" and sorted(str(option.get("value")) for option in options) != ["false", "true"]:
        text = "Boolean properties must have exactly the options true and false."
        raise HubSpotError(400, text, errors=[{"message": text, "code": "INVALID_BOOLEAN_OPTION", "context": {"propertyName": [body["name"]]}}])
    values = [str(option.get("value")) for option in options]
    if len(set(values)) < len(values):
        raise HubSpotError(400, f"Property {body['name']} has two options with the same value.")


def _check_room(context: Context, kind: ObjectType, body: JSON) -> None:
    own = [item for item in context.state.properties(kind).values() if not item.body["hubspotDefined"]]
    if len(own) >= MOST_CUSTOM:
        raise HubSpotError(400, f"The account has reached its limit of {MOST_CUSTOM} custom properties for object type {kind.id}.")
    if body.get("hasUniqueValue") and sum(item.unique for item in own) >= MOST_UNIQUE:
        raise HubSpotError(400, f"At most {MOST_UNIQUE} properties with unique values are allowed for object type {kind.id}.")


def create(context: Context) -> Reply:
    """`POST base`: the name of an archived property brings that one back with its values."""
    kind = _kind(context, write=True)
    body = context.json_object()
    with context.state.transaction():
        check(context, kind, body)
        return Reply(context.state.define(kind, body), 201)


def _own(context: Context, kind: ObjectType, name: str) -> Property:
    found = context.state.properties(kind).get(name)
    if found is None:
        raise _unknown(kind, name)
    return found


def change(context: Context) -> Reply:
    """`PATCH base/{name}`: options replace the list; name and uniqueness never change."""
    kind = _kind(context, write=True)
    name, given = context.path["name"].lower(), context.json_object()
    with context.state.transaction():
        found = _own(context, kind, name)
        changes = {key: given[key] for key in CHANGEABLE if given.get(key) is not None}
        if found.body["hubspotDefined"] and set(changes) - {"label", "description", "options"}:
            raise HubSpotError(400, f"Property {name} is defined by HubSpot and cannot be changed.")
        if "options" in changes:
            changes["options"] = full_options(changes["options"])
        body = found.body | changes | {"updatedAt": iso(context.state.now_ms()), "updatedUserId": "1"}
        if not found.body["hubspotDefined"]:
            check_kind(body)
        if "groupName" in changes and not group_exists(context, kind, str(changes["groupName"])):
            raise HubSpotError(int(context.state.setting("group_missing")), f"Property group {changes['groupName']} does not exist.")
        store(context, kind, body)
    return Reply(body)


def store(context: Context, kind: ObjectType, body: JSON) -> None:
    """Replaces a live definition."""
    text = orjson.dumps(body).decode()
    context.state.db.write(
        "INSERT INTO property VALUES (?, ?, ?, NULL, 0) ON CONFLICT (type, name) DO UPDATE SET body = excluded.body, archived_at = NULL",
        (kind.id, body["name"], text),
    )
    context.state.bump()


def archive_one(context: Context, kind: ObjectType, name: str) -> None:
    """Archives a definition; its values stay for a restore. Raises 404, or 400 for standard ones."""
    found = _own(context, kind, name)
    if found.body["hubspotDefined"]:
        raise HubSpotError(400, f"Property {name} is defined by HubSpot and cannot be archived.")
    context.state.db.write(
        "UPDATE property SET archived_at = ? WHERE type = ? AND name = ?", (iso(context.state.now_ms()), kind.id, name)
    )  # fmt: skip
    context.state.bump()


def _refuse_used(context: Context, kind: ObjectType, name: str) -> None:
    if f"{kind.plural}.{name}" in context.state.setting("properties_in_use"):
        text = f"Property {name} is used by other parts of the account and cannot be archived."
        raise HubSpotError(400, text, subCategory="PropertyValidationError.CANNOT_DELETE_PROPERTY_IN_USE", context={"name": [name]})


def archive(context: Context) -> Reply:
    """`DELETE base/{name}`."""
    kind = _kind(context, write=True)
    _refuse_used(context, kind, context.path["name"].lower())
    with context.state.transaction():
        archive_one(context, kind, context.path["name"].lower())
    return Reply(None, 204)


def _entry(error: HubSpotError, name: str) -> JSON:
    found: JSON = {"status": "error", "category": error.category or "OBJECT_NOT_FOUND", "message": error.message, "context": {"name": [name]}}
    if error.extra.get("subCategory"):
        found["subCategory"] = error.extra["subCategory"]
    if error.extra.get("errors"):
        found["errors"] = error.extra["errors"]
    return found


def _each(context: Context, ok: int, work: Callable[[JSON], JSON | None]) -> Reply:
    started = context.state.now_ms()
    results, errors = [], []
    with context.state.transaction():
        for item in inputs_of(context.json_object(), MOST):
            try:
                made = work(item)
            except HubSpotError as error:
                errors.append(_entry(error, str(item.get("name", ""))))
            else:
                results.append(made or {})
    if ok == 204:
        return Reply(None, 204)
    return answer(context, started, results, errors, ok, key=lambda item: str(item["name"]))


def batch_create(context: Context) -> Reply:
    """`POST base/batch/create`: what exists already is a 207 entry."""
    kind = _kind(context, write=True)

    def work(item: JSON) -> JSON:
        check(context, kind, item)
        return context.state.define(kind, item)

    return _each(context, 201, work)


def batch_read(context: Context) -> Reply:
    """`POST base/batch/read`."""
    kind = _kind(context)

    def work(item: JSON) -> JSON:
        if not item.get("name"):
            raise bad_json("each input needs a name")
        return _own(context, kind, str(item["name"]).lower()).body

    return _each(context, 200, work)


def batch_archive(context: Context) -> Reply:
    """`POST base/batch/archive`: 204 for unknown names too."""
    kind = _kind(context, write=True)

    def work(item: JSON) -> None:
        archive_one(context, kind, str(item.get("name", "")).lower())

    return _each(context, 204, work)


# -- groups ---------------------------------------------------------------------------------------------------------


def _standard_group(kind: ObjectType) -> JSON:
    label = f"{kind.singular.replace('_', ' ').capitalize()} information"
    return {"name": group_of(kind), "label": label, "displayOrder": 0, "archived": False, "createdAt": STAMP, "updatedAt": STAMP}


def groups(context: Context) -> Reply:
    """`GET base/groups`."""
    kind = _kind(context)
    rows = context.state.read("SELECT body FROM grp WHERE type = ? ORDER BY name", (kind.id,))
    own = [orjson.loads(row[0]) for row in rows]
    listed = own if any(body["name"] == group_of(kind) for body in own) else [_standard_group(kind), *own]
    return Reply({"results": listed})


def _group(context: Context, kind: ObjectType, name: str) -> JSON:
    row = context.state.db.one("SELECT body FROM grp WHERE type = ? AND name = ?", (kind.id, name))
    if row is not None:
        body: JSON = orjson.loads(row[0])
        return body
    if name == group_of(kind):
        return _standard_group(kind)
    raise HubSpotError(404, f"Property group {name} does not exist.", "OBJECT_NOT_FOUND", context={"name": [name]})


def create_group(context: Context) -> Reply:
    """`POST base/groups`."""
    kind = _kind(context, write=True)
    body = context.json_object()
    name = str(body.get("name") or "")
    if NAME.fullmatch(name) is None or not body.get("label"):
        raise HubSpotError(400, "A property group needs a label and a name of lower-case letters, digits and underscores.")
    with context.state.transaction():
        if group_exists(context, kind, name):
            status = int(context.state.setting("group_exists"))
            text = f"A property group named '{name}' already exists."
            raise HubSpotError(status, text, "OBJECT_ALREADY_EXISTS" if status == 409 else "VALIDATION_ERROR", context={"name": [name]})
        stamp = iso(context.state.now_ms())
        made = {"name": name, "label": body["label"], "displayOrder": body.get("displayOrder", -1), "archived": False}
        made |= {"createdAt": stamp, "updatedAt": stamp}
        context.state.db.write("INSERT INTO grp VALUES (?, ?, ?)", (kind.id, name, orjson.dumps(made).decode()))
    return Reply(made, 201)


def one_group(context: Context) -> Reply:
    """`GET|PATCH|DELETE base/groups/{name}`."""
    kind = _kind(context, write=context.method != "GET")
    name = context.path["name"]
    with context.state.transaction():
        body = _group(context, kind, name)
        if context.method == "DELETE":
            if any(item.body["groupName"] == name for item in context.state.properties(kind).values()):
                text = f"Property group {name} has live properties."
                raise HubSpotError(400, text, subCategory="PropertyGroupError.GROUP_WITH_ACTIVE_PROPERTIES", context={"name": [name]})
            context.state.db.write("DELETE FROM grp WHERE type = ? AND name = ?", (kind.id, name))
            return Reply(None, 204)
        if context.method == "PATCH":
            given = context.json_object()
            body |= {key: given[key] for key in ("label", "displayOrder") if given.get(key) is not None}
            body["updatedAt"] = iso(context.state.now_ms())
            context.state.db.write("INSERT OR REPLACE INTO grp VALUES (?, ?, ?)", (kind.id, name, orjson.dumps(body).decode()))
    return Reply(body)


def limits(context: Context) -> Reply:
    """`GET /crm/v3/limits/custom-properties`."""
    rows = context.state.read("SELECT type, count(*) FROM property WHERE archived_at IS NULL GROUP BY type ORDER BY type")
    by_type = [{"objectTypeId": type_id, "limit": MOST_CUSTOM, "usage": n, "percentage": 100 * n / MOST_CUSTOM} for type_id, n in rows]
    return Reply({"overallLimit": 10_000, "overallUsage": sum(n for _, n in rows), "byObjectType": by_type})


def register(routes: Routes) -> None:
    """The paths of this module. Groups and batches come first: `{name}` would take them."""
    base = "/crm/v3/properties/{type}"
    routes.add("GET", f"{base}/groups", groups, kind="property_groups")
    routes.add("POST", f"{base}/groups", create_group, kind="property_groups")
    for method in ("GET", "PATCH", "DELETE"):
        routes.add(method, f"{base}/groups/{{name}}", one_group, kind="property_groups")
    for name, handler in (("create", batch_create), ("read", batch_read), ("archive", batch_archive)):
        routes.add("POST", f"{base}/batch/{name}", handler, kind="properties")
    routes.add("GET", base, list_all, kind="properties")
    routes.add("POST", base, create, kind="properties")
    routes.add("GET", f"{base}/{{name}}", get_one, kind="properties")
    routes.add("PATCH", f"{base}/{{name}}", change, kind="properties")
    routes.add("DELETE", f"{base}/{{name}}", archive, kind="properties")
    routes.add("GET", "/crm/v3/limits/custom-properties", limits, kind="properties")
