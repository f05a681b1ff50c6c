"""Associations v4: single, batch and label end points (reference: section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.hubspot.sandbox import associations, records
from connectors.hubspot.sandbox.association_types import AssociationType, add_pair, between, default
from connectors.hubspot.sandbox.associations import Link
from connectors.hubspot.sandbox.batch import answer, inputs_of
from connectors.hubspot.sandbox.errors import HubSpotError, bad_json, resource_not_found
from connectors.hubspot.sandbox.routing import Context, Reply, Routes
from connectors.hubspot.sandbox.types import ObjectType

JSON = dict[str, Any]
MOST_READ, MOST_CREATE, MOST_ARCHIVE = 1_000, 2_000, 100


def _pair(context: Context, *, write: bool = False) -> tuple[ObjectType, ObjectType]:
    kind, target = context.state.type(context.path["type"]), context.state.type(context.path["to"])
    for item in (kind, target):
        if write:
            context.need(item.write_scope)
        else:
            context.need_any(item.read_scope, item.write_scope)
    return kind, target


def _number(text: Any) -> int:
    number = records.number_of(str(text))
    if number is None:
        raise HubSpotError(400, f"Invalid object id: {text}")
    return number


def list_of_one(context: Context) -> Reply:
    """`GET /crm/v4/objects/{type}/{id}/associations/{to}`."""
    kind, target = _pair(context)
    record = records.find_one(context.state, kind, context.path["id"], "")
    limit = context.limit(500, 500)
    items, after = associations.targets(
        context.state, kind, target, [(record.id, associations.parse_cursor(context.one("after")))], limit
    )[record.id]  # fmt: skip
    body: JSON = {"results": associations.v4_targets(items)}
    if after is not None:
        text = associations.cursor(target, after)
        body["paging"] = {"next": {"after": text, "link": f"https://api.hubapi.com{context.url}?limit={limit}&after={text}"}}
    return Reply(body)


def put_one(context: Context) -> Reply:
    """`PUT …/associations/{to}/{toId}`: 201 with the labels of the pair; `default` in the path makes the unlabeled one (200)."""
    kind, target = _pair(context, write=True)
    plain = "/associations/default/" in context.url
    if plain:
        found = default(context.state, kind, target)
        if found is None:
            raise HubSpotError(400, f"No default association exists between {kind.id} and {target.id}")
        types = [found]
    else:
        types = _types(context, kind, target, context.json())
    from_id, to_id = _number(context.path["id"]), _number(context.path["to_id"])
    with context.state.transaction():
        if not associations.live(context.state, kind, [from_id]) or not associations.live(context.state, target, [to_id]):
            raise resource_not_found()
        _connect(context, kind, target, from_id, to_id, types)
    if plain:
        return Reply(_envelope(context, [_default_entry(from_id, to_id, item) for item in types]))
    return Reply(_labels_entry(kind, target, from_id, to_id, types), 201)


def _envelope(context: Context, results: list[JSON]) -> JSON:
    body: JSON = answer(context, context.state.now_ms(), results, [], key=str).body
    return body


def _default_entry(from_id: int, to_id: int, item: AssociationType) -> JSON:
    spec = {"associationCategory": item.category, "associationTypeId": item.type_id}
    return {"from": {"id": str(from_id)}, "to": {"id": str(to_id)}, "associationSpec": spec}


def _labels_entry(kind: ObjectType, target: ObjectType, from_id: int, to_id: int, types: Sequence[AssociationType]) -> JSON:
    labels = [item.label for item in types if item.label]
    return {"fromObjectTypeId": kind.id, "fromObjectId": str(from_id), "toObjectTypeId": target.id, "toObjectId": str(to_id), "labels": labels}


def _types(context: Context, kind: ObjectType, target: ObjectType, given: Any) -> list[AssociationType]:
    if not isinstance(given, list) or not given:
        raise bad_json("a list of association types is needed")
    try:
        wanted = [(str(item["associationCategory"]), int(item["associationTypeId"])) for item in given]
    except (KeyError, TypeError, ValueError):
        raise bad_json("each type needs associationCategory and associationTypeId") from None
    return [associations.find_type(context.state, kind, target, category, type_id) for category, type_id in wanted]


def _connect(context: Context, kind: ObjectType, target: ObjectType, from_id: int, to_id: int, types: Sequence[AssociationType]) -> None:
    from connectors.hubspot.sandbox import webhooks

    associations.connect(context.state, kind, from_id, [Link(target, to_id, item) for item in types])
    for item in types:
        webhooks.association_event(context, kind, item, from_id, to_id, removed=False)


def delete_one(context: Context) -> Reply:
    """`DELETE …/associations/{to}/{toId}`: all types of the pair."""
    kind, target = _pair(context, write=True)
    with context.state.transaction():
        _disconnect(context, kind, target, _number(context.path["id"]), _number(context.path["to_id"]), None)
    return Reply(None, 204)


def _disconnect(
    context: Context, kind: ObjectType, target: ObjectType, from_id: int, to_id: int, types: Sequence[AssociationType] | None
) -> None:  # fmt: skip
    from connectors.hubspot.sandbox import webhooks

    associations.disconnect(context.state, kind, from_id, target, to_id, types)
    for item in types if types is not None else between(context.state, kind, target)[:1]:
        webhooks.association_event(context, kind, item, from_id, to_id, removed=True)


def batch_read(context: Context) -> Reply:
    """`POST …/batch/read`: no association is a 207 entry, and the input is missing from the results."""
    kind, target = _pair(context)
    state, started = context.state, context.state.now_ms()
    inputs = inputs_of(context.json_object(), MOST_READ)
    asked: dict[int, int] = {}
    texts = []
    for item in inputs:
        text = str(item.get("id", ""))
        texts.append(text)
        number = records.number_of(text)
        if number is not None:
            asked[number] = associations.parse_cursor(str(item.get("after") or ""))
    aliases = records.resolve(state, kind, list(asked))
    alive = associations.live(state, kind, list(asked))
    wanted = [(aliases.get(key, key), start) for key, start in asked.items() if key in alive]
    found = associations.targets(state, kind, target, wanted, int(state.setting("association_page")))
    results, errors = [], []
    for text in dict.fromkeys(texts):
        number = records.number_of(text)
        items, after = found.get(aliases.get(number, number), ([], None)) if number is not None else ([], None)
        if not items:
            errors.append(_none(kind, target, text))
            continue
        entry: JSON = {"from": {"id": text}, "to": associations.v4_targets(items)}
        if after is not None:
            entry["paging"] = {"next": {"after": associations.cursor(target, after)}}
        results.append(entry)
    return answer(context, started, results, errors, key=lambda item: str(item["from"]["id"]))


def _none(kind: ObjectType, target: ObjectType, text: str) -> JSON:
    return {
        "status": "error", "category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": f"No {target.singular} is associated with {kind.singular} {text}.",
        "context": {"fromObjectId": [text], "fromObjectType": [kind.singular], "toObjectType": [target.singular]},
    }  # fmt: skip


def _ends(item: JSON) -> tuple[int, int]:
    try:
        return _number(item["from"]["id"]), _number(item["to"]["id"])
    except (KeyError, TypeError):
        raise bad_json("each input needs from.id and to.id") from None


def batch_create(context: Context) -> Reply:
    """`POST …/batch/create` and `…/batch/associate/default`."""
    kind, target = _pair(context, write=True)
    state, started = context.state, context.state.now_ms()
    plain = context.url.rstrip("/").endswith("associate/default")
    inputs = inputs_of(context.json_object(), MOST_CREATE)
    unlabeled = default(state, kind, target)
    if plain and unlabeled is None:
        raise HubSpotError(400, f"No default association exists between {kind.id} and {target.id}")
    plan = []
    for item in inputs:
        types = [unlabeled] if plain and unlabeled is not None else _types(context, kind, target, item.get("types"))
        plan.append((*_ends(item), types))
    results, errors = [], []
    with state.transaction():
        sources = associations.live(state, kind, [from_id for from_id, _, _ in plan])
        sinks = associations.live(state, target, [to_id for _, to_id, _ in plan])
        for from_id, to_id, types in plan:
            gone = [str(number) for number, known in ((from_id, sources), (to_id, sinks)) if number not in known]
            if gone:
                errors.append({"status": "error", "category": "OBJECT_NOT_FOUND", "message": "resource not found", "context": {"ids": gone}})
                continue
            _connect(context, kind, target, from_id, to_id, types)
            results.append(_default_entry(from_id, to_id, types[0]) if plain else _labels_entry(kind, target, from_id, to_id, types))
    return answer(context, started, results, errors, 200 if plain else 201, key=str)


def batch_archive(context: Context) -> Reply:
    """`POST …/batch/archive`: whole pairs; `…/batch/labels/archive`: particular types."""
    kind, target = _pair(context, write=True)
    labels = context.url.rstrip("/").endswith("labels/archive")
    inputs = inputs_of(context.json_object(), MOST_CREATE if labels else MOST_ARCHIVE)
    with context.state.transaction():
        for item in inputs:
            if labels:
                from_id, to_id = _ends(item)
                _disconnect(context, kind, target, from_id, to_id, _types(context, kind, target, item.get("types")))
                continue
            for entry in item.get("to") or []:
                from_id, to_id = _ends({"from": item.get("from"), "to": entry})
                _disconnect(context, kind, target, from_id, to_id, None)
    return Reply(None, 204)


def labels(context: Context) -> Reply:
    """`GET …/labels`."""
    kind, target = _pair(context)
    found = [{"category": item.category, "typeId": item.type_id, "label": item.label} for item in between(context.state, kind, target)]
    return Reply({"results": found})


def create_label(context: Context) -> Reply:
    """`POST …/labels`: a label of the account's own in both directions."""
    kind, target = _pair(context, write=True)
    body = context.json_object()
    label, name = str(body.get("label") or ""), str(body.get("name") or "")
    if not label or not name:
        raise HubSpotError(400, "A label needs a name and a label")
    if any(item.label == label for item in between(context.state, kind, target)):
        raise HubSpotError(400, f"The label {label} already exists between {kind.id} and {target.id}")
    number = add_pair(context.state, kind, target, name, label, body.get("inverseLabel"))
    context.state.bump()
    return Reply({"results": [{"category": "USER_DEFINED", "typeId": number, "label": label}]})


def change_label(context: Context) -> Reply:
    """`PUT …/labels`: another text for a label."""
    kind, target = _pair(context, write=True)
    body = context.json_object()
    context.state.db.write(
        "UPDATE label SET label = ? WHERE from_type = ? AND to_type = ? AND type_id = ?",
        (body.get("label"), kind.id, target.id, body.get("associationTypeId")),
    )
    return Reply(None, 204)


def delete_label(context: Context) -> Reply:
    """`DELETE …/labels/{typeId}`: the label in both directions and the links that carry it."""
    kind, target = _pair(context, write=True)
    number = _number(context.path["type_id"])
    pair = (number, number + 1 if number % 2 else number - 1)
    with context.state.transaction():
        context.state.db.write("DELETE FROM label WHERE type_id IN (?, ?)", pair)
        context.state.db.write("DELETE FROM assoc WHERE category = 'USER_DEFINED' AND type_id IN (?, ?)", pair)
    del kind, target
    return Reply(None, 204)


def register(routes: Routes) -> None:
    """The paths of this module."""
    one = "/crm/v4/objects/{type}/{id}/associations"
    routes.add("GET", f"{one}/{{to}}", list_of_one, kind="associations_list")
    routes.add("GET", "/crm/v3/objects/{type}/{id}/associations/{to}", list_of_one, kind="associations_list")
    routes.add("PUT", f"{one}/default/{{to}}/{{to_id}}", put_one, kind="associations_write")
    routes.add("PUT", f"{one}/{{to}}/{{to_id}}", put_one, kind="associations_write")
    routes.add("DELETE", f"{one}/{{to}}/{{to_id}}", delete_one, kind="associations_write")
    base = "/crm/v4/associations/{type}/{to}"
    routes.add("POST", f"{base}/batch/read", batch_read, kind="associations_read")
    routes.add("POST", f"{base}/batch/create", batch_create, kind="associations_write")
    routes.add("POST", f"{base}/batch/associate/default", batch_create, kind="associations_write")
    routes.add("POST", f"{base}/batch/archive", batch_archive, kind="associations_write")
    routes.add("POST", f"{base}/batch/labels/archive", batch_archive, kind="associations_write")
    routes.add("GET", f"{base}/labels", labels, kind="association_labels")
    routes.add("POST", f"{base}/labels", create_label, kind="association_labels")
    routes.add("PUT", f"{base}/labels", change_label, kind="association_labels")
    routes.add("DELETE", f"{base}/labels/{{type_id}}", delete_label, kind="association_labels")
