"""composite, composite/batch, composite/graph and composite/tree: several requests in one call."""

from __future__ import annotations

import re
from typing import Any

import orjson

from connectors.salesforce.sandbox.errors import SalesforceError
from connectors.salesforce.sandbox.routing import Context, Reply, Routes

MAX_SUBREQUESTS = 25
MAX_TREE = 200
MAX_GRAPHS, MAX_NODES = 75, 500
_REFERENCE = re.compile(r"@\{([^}]+)\}")
HALTED = [
    {
        "errorCode": "PROCESSING_HALTED",
        "message": "The transaction was rolled back since another operation in the same transaction failed.",
    }
]


class _Undo(Exception):
    """Rolls a composite back."""


def register(routes: Routes) -> None:
    """Adds the paths of this area; subrequests go through the same table."""

    def bound(handler: Any) -> Any:
        return lambda context: handler(context, routes)

    routes.add("POST", "composite", bound(composite), kind="composite")
    routes.add("POST", "composite/batch", bound(batch), kind="composite_batch")
    routes.add("POST", "composite/graph", bound(graph), kind="composite_graph")
    routes.add("POST", "composite/tree/{object}", bound(tree), kind="composite_tree")


def _list(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    items = body.get(name)
    if not isinstance(items, list) or not items:
        raise SalesforceError("INVALID_INPUT", f"{name} is required and must not be empty")
    if len(items) > MAX_SUBREQUESTS:
        raise SalesforceError("LIMIT_EXCEEDED", f"The number of subrequests must not exceed {MAX_SUBREQUESTS}")
    return items


def composite(context: Context, routes: Routes) -> Reply:
    """`POST composite`: later subrequests may use `@{ref.field}`; the series counts as one API request."""
    body = context.json_object()
    requests = _list(body, "compositeRequest")
    _check_names(requests)
    return Reply({"compositeResponse": _run(context, routes, requests, body.get("allOrNone") is True)[0]})


def _run(context: Context, routes: Routes, requests: list[dict[str, Any]], all_or_none: bool) -> tuple[list[dict[str, Any]], bool]:
    """The answers of a series, and whether all of it went well; with `all_or_none` a failure undoes it."""
    answers: list[dict[str, Any]] = []
    if not all_or_none:
        _series(context, routes, requests, answers, halt=False)
        return answers, all(item["httpStatusCode"] < 400 for item in answers)
    try:
        with context.state.transaction():
            if not _series(context, routes, requests, answers, halt=True):
                raise _Undo
    except _Undo:
        names = [str(item["referenceId"]) for item in requests]
        failed = len(answers) - 1
        return [item if position == failed else _halted(name) for position, (name, item) in enumerate(_padded(names, answers))], False
    return answers, True


def graph(context: Context, routes: Routes) -> Reply:
    """`POST composite/graph`: graphs of subrequests, each of them all or none, the graphs independent of each other."""
    graphs = context.json_object().get("graphs")
    if not isinstance(graphs, list) or not graphs or len(graphs) > MAX_GRAPHS:
        raise SalesforceError("INVALID_INPUT", f"graphs must hold 1 to {MAX_GRAPHS} graphs")
    if sum(len(item.get("compositeRequest") or []) for item in graphs) > MAX_NODES:
        raise SalesforceError("LIMIT_EXCEEDED", f"The number of nodes must not exceed {MAX_NODES}")
    results = []
    for item in graphs:
        requests = item.get("compositeRequest") or []
        _check_names(requests)
        answers, good = _run(context, routes, requests, True)
        results.append({"graphId": item.get("graphId"), "graphResponse": {"compositeResponse": answers}, "isSuccessful": good})
    return Reply({"graphs": results})


def _check_names(requests: list[dict[str, Any]]) -> None:
    names = [str(item.get("referenceId", "")) for item in requests]
    if len(set(names)) != len(names) or not all(names):
        raise SalesforceError("INVALID_INPUT", "Each subrequest needs a referenceId of its own")


def _padded(names: list[str], answers: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, answers[position] if position < len(answers) else {}) for position, name in enumerate(names)]


def _halted(name: str) -> dict[str, Any]:
    return {"body": HALTED, "httpHeaders": {}, "httpStatusCode": 400, "referenceId": name}


def _series(context: Context, routes: Routes, requests: list[dict[str, Any]], answers: list[dict[str, Any]], *, halt: bool) -> bool:
    """Runs subrequests in order; with `halt` stops at the first failure and returns False."""
    known: dict[str, Any] = {}
    broken: set[str] = set()
    for item in requests:
        name = str(item["referenceId"])
        if _uses(item) & broken:
            answers.append(
                {**_halted(name), "body": [{"errorCode": "PROCESSING_HALTED", "message": "Invalid reference specified. Referenced request failed."}]}
            )
            broken.add(name)
            continue
        status, body, headers = _one(context, routes, item, known)
        answers.append({"body": body, "httpHeaders": headers, "httpStatusCode": status, "referenceId": name})
        if status >= 400:
            broken.add(name)
            if halt:
                return False
        known[name] = body
    return True


def _uses(item: dict[str, Any]) -> set[str]:
    text = orjson.dumps([item.get("url"), item.get("body")]).decode()
    return {re.split(r"[.\[]", match)[0] for match in _REFERENCE.findall(text)}


def _one(context: Context, routes: Routes, item: dict[str, Any], known: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
    try:
        url = _REFERENCE.sub(lambda match: str(_resolve(match[1], known)), str(item.get("url", "")))
        body = _substitute(item.get("body"), known)
        reply, route = routes.call(context, str(item.get("method", "GET")), url, body, item.get("httpHeaders"))
    except SalesforceError as error:
        return error.status, error.body(), {}
    context.state.count(f"sub.{route.kind}")
    return reply.status, reply.body, reply.headers


def _resolve(path: str, known: dict[str, Any]) -> Any:
    name, *steps = re.findall(r"[^.\[\]]+", path)
    value = known.get(name)
    for step in steps:
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]  # type: ignore[index]
        except (KeyError, IndexError, ValueError, TypeError):
            raise SalesforceError("PROCESSING_HALTED", f"Invalid reference specified. No value for {path} found") from None
    return value


def _substitute(value: Any, known: dict[str, Any]) -> Any:
    if isinstance(value, str):
        whole = _REFERENCE.fullmatch(value)
        return _resolve(whole[1], known) if whole else _REFERENCE.sub(lambda match: str(_resolve(match[1], known)), value)
    if isinstance(value, list):
        return [_substitute(item, known) for item in value]
    if isinstance(value, dict):
        return {key: _substitute(item, known) for key, item in value.items()}
    return value


def batch(context: Context, routes: Routes) -> Reply:
    """`POST composite/batch`: independent subrequests; each one counts as an API request."""
    body = context.json_object()
    requests = _list(body, "batchRequests")
    results: list[dict[str, Any]] = []
    failed = False
    for item in requests:
        if failed and body.get("haltOnError") is True:
            message = "Batch processing halted per request"
            results.append({"statusCode": 412, "result": [{"errorCode": "BATCH_PROCESSING_HALTED", "message": message}]})
            continue
        url = str(item.get("url", ""))
        full = url if url.startswith("/") else f"/services/data/{url}"
        status, answer, _ = _one(context, routes, {"method": item.get("method"), "url": full, "body": item.get("richInput")}, {})
        failed = failed or status >= 400
        results.append({"statusCode": status, "result": answer})
    return Reply({"hasErrors": failed, "results": results}, calls=len(requests))


def tree(context: Context, routes: Routes) -> Reply:
    """`POST composite/tree/X`: new records with nested children, all or none."""
    records = context.json_object().get("records")
    if not isinstance(records, list) or not records:
        raise SalesforceError("INVALID_INPUT", "The records list is required and must not be empty")
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    try:
        with context.state.transaction():
            _plant(context, context.path["object"], records, {}, results, errors)
            if len(results) + len(errors) > MAX_TREE:
                raise SalesforceError("LIMIT_EXCEEDED", f"more than {MAX_TREE} records in one tree")
            if errors:
                raise _Undo
    except _Undo:
        return Reply({"hasErrors": True, "results": errors}, 400)
    return Reply({"hasErrors": False, "results": results}, 201)


def _plant(
    context: Context, name: str, records: list[dict[str, Any]], parent: dict[str, str], results: list[dict[str, Any]], errors: list[dict[str, Any]]
) -> None:
    item = context.state.object_for(name, context.user)
    for record in records:
        nested = {key: value["records"] for key, value in record.items() if isinstance(value, dict) and "records" in value}
        reference = record.get("attributes", {}).get("referenceId")
        row = {**{key: value for key, value in record.items() if key not in nested}, **parent}
        result = context.state.write_records(name, "insert", [row], user=context.user)[0]
        if not result.success:
            errors.append({"referenceId": reference, "errors": [error.as_json() for error in result.errors]})
            continue
        results.append({"referenceId": reference, "id": result.id})
        for relationship, children in nested.items():
            link = item.child(relationship)
            if link is None:
                raise SalesforceError("INVALID_FIELD", f"No such relation '{relationship}' on sobject of type {item.name}")
            _plant(context, link.child, children, {link.field: str(result.id)}, results, errors)
