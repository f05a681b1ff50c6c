"""Batch end points of objects: read, create, update, upsert, archive (reference: section 2.6)."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from connectors.hubspot.sandbox import records
from connectors.hubspot.sandbox.deletes import archive_many
from connectors.hubspot.sandbox.errors import HubSpotError, bad_json
from connectors.hubspot.sandbox.records import Renderer
from connectors.hubspot.sandbox.routing import Context, Reply, Routes
from connectors.hubspot.sandbox.types import ObjectType
from connectors.hubspot.sandbox.values import iso
from connectors.hubspot.sandbox.writes import Row, Writer, decide, missing_entry

JSON = dict[str, Any]
MOST, MOST_HISTORY = 100, 50


def inputs_of(body: JSON, most: int, what: str = "") -> list[JSON]:
    """The `inputs`; without the wrapper there are none, which is no error. Raises 400 beyond the limit."""
    found = body.get("inputs", [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise bad_json("inputs must be a list of objects")
    if len(found) > most:
        text = f"The maximum number of inputs supported in a batch{what} is {most}. Please reduce the number of items and try again"
        raise HubSpotError(400, text)
    return found


def refuse_doubles(values: list[str]) -> None:
    """Raises 400 when an id comes twice."""
    doubles = [value for value in dict.fromkeys(values) if values.count(value) > 1] if len(set(values)) < len(values) else []
    if doubles:
        text = f"Duplicate IDs found in batch input: [{', '.join(doubles)}]. IDs must be unique"
        raise HubSpotError(400, text, context={"ids": doubles})


def answer(context: Context, started: int, results: list[JSON], errors: list[JSON], ok: int = 200, key: Callable[[JSON], str] | None = None) -> Reply:
    """The batch envelope: 207 with errors, else `ok`. Results come in an order of their own."""
    if context.state.setting("shuffle"):
        results.sort(key=lambda item: zlib.crc32((key(item) if key else str(item.get("id"))).encode()))
    body: JSON = {"status": "COMPLETE", "results": results}
    if not errors:
        body["requestedAt"] = iso(started)
    body |= {"startedAt": iso(started), "completedAt": iso(max(started, context.state.now_ms()))}
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
    return Reply(body, 207 if errors else ok)


def _id_of(item: JSON) -> str:
    value = item.get("id")
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise bad_json("each input needs an id")
    return str(value)


def read(context: Context) -> Reply:
    """`POST …/batch/read`: ≤ 100 ids, ≤ 50 with history; archived records only when asked for."""
    kind, state = context.type, context.state
    context.need_any(kind.read_scope, kind.write_scope)
    body = context.json_object()
    started = state.now_ms()
    history = [str(name) for name in body.get("propertiesWithHistory") or []]
    inputs = inputs_of(body, MOST_HISTORY if history else MOST, " request for property histories" if history else "")
    ids = [_id_of(item) for item in inputs]
    refuse_doubles(ids)
    archived = context.flag("archived")
    numbers = _numbers(context, kind, ids, str(body.get("idProperty") or ""), "read")
    found = records.fetch(state, kind, [number for number in numbers.values() if number is not None])
    render = Renderer(state, kind, [str(name) for name in body.get("properties") or []], history, context.token)
    results: dict[int, JSON] = {}
    missing = []
    for text in ids:
        number = numbers[text]
        record = found.get(number) if number is not None else None
        if record is None or bool(record.archived) != archived:
            missing.append(text)
        else:
            results[record.id] = render(record)
    return answer(context, started, list(results.values()), [missing_entry(kind, missing)] if missing else [])


def _numbers(context: Context, kind: ObjectType, ids: list[str], id_property: str, verb: str) -> dict[str, int | None]:
    if not id_property or (id_property == "hs_object_id" and verb == "read"):
        return {text: records.number_of(text) for text in ids}
    records.check_unique(context.state, kind, id_property, verb)
    found = records.ids_by(context.state, kind, id_property, ids)
    return {text: found.get(text) for text in ids}


def writable(context: Context) -> ObjectType:
    """The type of the path; raises for read-only types and missing scopes."""
    kind = context.type
    if kind.read_only and context.source == "INTEGRATION":
        raise HubSpotError(int(context.state.setting("read_only_write")), "Method Not Allowed", None)
    context.need(kind.write_scope)
    return kind


def create(context: Context) -> Reply:
    """`POST …/batch/create`."""
    kind, state = writable(context), context.state
    started = state.now_ms()
    rows = [Row(item) for item in inputs_of(context.json_object(), MOST)]
    with state.transaction():
        writer = Writer(context, kind)
        for row in rows:
            writer.plan_create(row)
        return _finish(context, writer, rows, started, 201)


def update(context: Context) -> Reply:
    """`POST …/batch/update`: by record id, or per input by a unique property."""
    kind, state = writable(context), context.state
    started = state.now_ms()
    rows = [Row(item) for item in inputs_of(context.json_object(), MOST)]
    keys = [_id_of(row.input) for row in rows]
    refuse_doubles(keys)
    with state.transaction():
        numbers = _row_numbers(context, kind, rows, "update")
        found = records.fetch(state, kind, [number for number in numbers if number is not None])
        writer = Writer(context, kind)
        for row, number in zip(rows, numbers, strict=True):
            writer.plan_update(row, found.get(number) if number is not None else None)
        traceable = bool(state.setting("update_trace_ids"))
        return _finish(context, writer, rows, started, 200, traceable=traceable)


def upsert(context: Context) -> Reply:
    """`POST …/batch/upsert`: by a unique property; results say whether a record is new."""
    kind, state = writable(context), context.state
    started = state.now_ms()
    rows = [Row(item) for item in inputs_of(context.json_object(), MOST)]
    keys = [_id_of(row.input) for row in rows]
    refuse_doubles(keys)
    with state.transaction():
        numbers = _row_numbers(context, kind, rows, "upsert")
        found = records.fetch(state, kind, [number for number in numbers if number is not None])
        writer = Writer(context, kind)
        for row, key, number in zip(rows, keys, numbers, strict=True):
            record = found.get(number) if number is not None else None
            id_property = str(row.input.get("idProperty") or "")
            if record is None and id_property:
                writer.plan_create(row, {id_property: key})
            else:
                writer.plan_update(row, record)
        reply = _finish(context, writer, rows, started, 200)
    new = {str(row.record.id): row.new for row in rows if row.record is not None}
    for item in reply.body["results"]:
        item["new"] = new[item["id"]]
    return reply


def _row_numbers(context: Context, kind: ObjectType, rows: list[Row], verb: str) -> list[int | None]:
    by_property: dict[str, list[str]] = {}
    for row in rows:
        by_property.setdefault(str(row.input.get("idProperty") or ""), []).append(str(row.input["id"]))
    found = {name: _numbers(context, kind, ids, name, verb) for name, ids in by_property.items()}
    return [found[str(row.input.get("idProperty") or "")][str(row.input["id"])] for row in rows]


def _finish(context: Context, writer: Writer, rows: list[Row], started: int, ok: int, *, traceable: bool = True) -> Reply:
    decide(writer, rows, traceable=traceable)
    writer.write(rows)
    missing = [str(row.input["id"]) for row in rows if row.missing]
    errors = [missing_entry(writer.kind, missing)] if missing else []
    errors += [row.error.as_entry(row.trace) for row in rows if row.error is not None]
    results = {row.record.id: writer.result(row) for row in rows if row.error is None and row.record is not None}
    return answer(context, started, list(results.values()), errors, ok)


def archive(context: Context) -> Reply:
    """`POST …/batch/archive`: 204 whether the records were there or not."""
    kind = writable(context)
    ids = [records.number_of(_id_of(item)) for item in inputs_of(context.json_object(), MOST)]
    archive_many(context, kind, [number for number in ids if number is not None])
    return Reply(None, 204)


def register(routes: Routes) -> None:
    """The paths of this module."""
    base = "/crm/v3/objects/{type}/batch"
    for name, handler in (("read", read), ("create", create), ("update", update), ("upsert", upsert), ("archive", archive)):
        routes.add("POST", f"{base}/{name}", handler, kind=f"batch_{name}")
