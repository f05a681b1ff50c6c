"""sObject Collections: create, update, upsert and delete of up to 200 records in one call."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from connectors.salesforce.sandbox.errors import ROLLED_BACK, RowError, RowResult, SalesforceError
from connectors.salesforce.sandbox.ids import to18
from connectors.salesforce.sandbox.routing import Context, Reply, Routes

LIMIT, MAX_CHUNKS = 200, 10


class _Undo(Exception):
    """Rolls a whole call back."""


def register(routes: Routes) -> None:
    """Adds the paths of this area."""
    routes.add("POST", "composite/sobjects", create, kind="collections_create")
    routes.add("PATCH", "composite/sobjects", update, kind="collections_update")
    routes.add("DELETE", "composite/sobjects", delete, kind="collections_delete")
    routes.add("PATCH", "composite/sobjects/{object}/{field}", upsert, kind="collections_upsert")


def _records(context: Context) -> tuple[list[dict[str, Any]], bool]:
    body = context.json_object()
    records = body.get("records")
    if not isinstance(records, list) or not records or not all(isinstance(item, dict) for item in records):
        raise SalesforceError("INVALID_INPUT", "The records list is required and must not be empty")
    if len(records) > LIMIT:
        raise SalesforceError("EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {LIMIT} records into this call")
    return records, body.get("allOrNone") is True


def _types(records: Sequence[dict[str, Any]]) -> list[str]:
    names = []
    for record in records:
        kind = record.get("attributes", {}).get("type") if isinstance(record.get("attributes"), dict) else None
        if not kind:
            raise SalesforceError("INVALID_INPUT", "Each record must name its type in attributes")
        names.append(str(kind))
    if len(list(groupby(name.lower() for name in names))) > MAX_CHUNKS:
        raise SalesforceError("MAX_CHUNKS_EXCEEDED", f"the call has more than {MAX_CHUNKS} chunks of records of one type")
    return names


def _write(context: Context, operation: str, types: list[str], records: list[dict[str, Any]], all_or_none: bool) -> Reply:
    results: list[RowResult] = []
    try:
        with context.state.transaction():
            for _, group in groupby(range(len(records)), key=lambda position: types[position].lower()):
                positions = list(group)
                rows = [records[position] for position in positions]
                results += context.state.write_records(types[positions[0]], operation, rows, user=context.user, all_or_none=all_or_none)
            if all_or_none and not all(result.success for result in results):
                raise _Undo
    except _Undo:
        for result in results:
            if result.success:
                result.success, result.errors = False, [ROLLED_BACK]
    return Reply([_shown(result) for result in results])


def _shown(result: RowResult, created: bool = False) -> dict[str, Any]:
    if not result.success:
        return {"success": False, "errors": [error.as_json() for error in result.errors]}
    answer: dict[str, Any] = {"id": result.id, "success": True, "errors": []}
    return {**answer, "created": result.created} if created else answer


def create(context: Context) -> Reply:
    """`POST composite/sobjects`."""
    records, all_or_none = _records(context)
    return _write(context, "insert", _types(records), records, all_or_none)


def update(context: Context) -> Reply:
    """`PATCH composite/sobjects`."""
    records, all_or_none = _records(context)
    return _write(context, "update", _types(records), records, all_or_none)


def upsert(context: Context) -> Reply:
    """`PATCH composite/sobjects/X/{field}`: records of one type, matched by an external id."""
    records, all_or_none = _records(context)
    name = context.path["object"]
    for kind in _types(records):
        if kind.lower() != name.lower():
            raise SalesforceError("INVALID_INPUT", f"record type {kind} does not match {name}")
    results = context.state.write_records(
        name, "upsert", records, external_id_field=context.path["field"], user=context.user, all_or_none=all_or_none
    )
    return Reply([_shown(result, created=True) for result in results])


def delete(context: Context) -> Reply:
    """`DELETE composite/sobjects?ids=a,b&allOrNone=false`."""
    ids = [text.strip() for text in context.params.get("ids", "").split(",") if text.strip()]
    if not ids:
        raise SalesforceError("INVALID_INPUT", "The ids parameter is required")
    if len(ids) > LIMIT:
        raise SalesforceError("EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {LIMIT} records into this call")
    types, records = [], []
    refused: dict[int, RowError] = {}
    for position, text in enumerate(ids):
        found = to18(text)
        item = context.state.by_prefix(found) if found else None
        if item is None:
            refused[position] = RowError("MALFORMED_ID", f"malformed id {text}", ("Id",))
        else:
            types.append(item.name)
            records.append({"Id": found})
    reply = _write(context, "delete", types, records, context.params.get("allOrNone", "").lower() == "true")
    for position, error in refused.items():
        reply.body.insert(position, {"success": False, "errors": [error.as_json()]})
    return reply
