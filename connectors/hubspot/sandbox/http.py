"""From an HTTP request to an answer: path families, faults, token, limits, counting, errors."""

from __future__ import annotations

import gzip
import logging
import time
import zlib
from collections.abc import Callable, Mapping
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote, unquote_plus

from connectors.hubspot.sandbox import auth, control, limits
from connectors.hubspot.sandbox.errors import HubSpotError, bad_json, correlation_id
from connectors.hubspot.sandbox.faults import CALL_KINDS, fault_body
from connectors.hubspot.sandbox.limits import RateLimited
from connectors.hubspot.sandbox.routing import Context, Reply, Route, Routes, normalise, query_params
from connectors.hubspot.sandbox.state import State
from connectors.sandbox_kit.faults import Rule
from connectors.sandbox_kit.server import Answer, Call

LOG = logging.getLogger("connectors.hubspot.sandbox")
MAX_URI = 16_300


class Dispatcher:
    """Answers requests for one state. Runs in worker threads."""

    def __init__(self, state: State, routes: Routes) -> None:
        self.state = state
        self.routes = routes

    def __call__(self, call: Call) -> Answer:
        """One request."""
        context = Context(self.state, call.method, call.path, headers=call.headers, body=call.body, base_url=call.base_url, query=call.query)
        context.params = query_params(call.query)
        if call.path.startswith(control.PREFIX):
            return _answer(_guarded(lambda: control.dispatch(context)), {})
        path, context.version = normalise(call.path)
        route: Route | None = None
        refused = Reply(None)
        try:
            if len(call.path) + len(call.query) > MAX_URI:
                raise HubSpotError(414, "Request-URI Too Long", None)
            context.body = _plain(call.headers, call.body)
            route, context.path = self.routes.find("GET" if call.method == "HEAD" else call.method, path)
        except HubSpotError as error:
            refused = Reply(error.body(), error.status)
        rules = self._faults(context, route)
        early = self._early(rules, context)
        if early is not None:
            self.state.side.count(route.kind if route is not None else "unknown_path")
            return early
        headers: dict[str, str] = {}
        reply = refused if route is None else self._admitted(route, context, headers)
        self.state.side.count(route.kind if route is not None else "unknown_path")
        self.state.side.count(f"status.{reply.status}")
        return self._finish(reply, headers, rules)

    def _admitted(self, route: Route, context: Context, headers: dict[str, str]) -> Reply:
        def work() -> Reply:
            if route.login:
                context.token = auth.authenticate(self.state, context.headers.get("authorization", ""))
                headers.update(limits.admit(self.state, route, context.token))
            return route.handler(context)

        return _guarded(work)

    def _faults(self, context: Context, route: Route | None) -> list[Rule]:
        if not self.state.faults.rules():
            return []
        facts = {"method": context.method, "path": unquote(context.url), "call": route.kind if route else "", "query": unquote_plus(context.query)}
        return self.state.faults.take(*CALL_KINDS, **facts)

    def _early(self, rules: list[Rule], context: Context) -> Answer | None:
        """What a fault does before the work: act behind the client's back, wait, drop the connection, refuse."""
        for rule in rules:
            if rule["kind"] == "control":
                control.run(context, str(rule.get("name")), rule.get("body", {}))
            if rule["kind"] == "delay":
                time.sleep(float(rule.get("seconds", 1)))
            if rule["kind"] == "reset" and rule.get("when", "before") == "before":
                return Answer(200, reset=True)
        for rule in rules:
            if rule["kind"] == "http":
                status, body, headers = fault_body(rule)
                if isinstance(body, str):
                    return Answer(status, body.encode(), "text/html; charset=UTF-8", headers)
                return _answer(Reply(body, status, headers), self._standard(body.get("correlationId")))
            if rule["kind"] == "empty":
                return Answer(200)
        return None

    def _standard(self, correlation: str | None) -> dict[str, str]:
        return {
            "Date": format_datetime(self.state.now().replace(microsecond=0), usegmt=True),
            "X-HubSpot-Correlation-Id": correlation or correlation_id(),
        }  # fmt: skip

    def _finish(self, reply: Reply, headers: dict[str, str], rules: list[Rule]) -> Answer:
        correlation = reply.body.get("correlationId") if isinstance(reply.body, dict) else None
        answer = _answer(reply, self._standard(correlation) | headers)
        for rule in rules:
            if rule["kind"] == "reset":
                answer.reset = True
            elif rule["kind"] == "truncate":
                answer.truncate = True
            elif rule["kind"] == "cut":
                answer.content = answer.content[: len(answer.content) // 2]
            elif rule["kind"] == "drop_header":
                name = str(rule.get("header", "")).lower()
                answer.headers = {key: value for key, value in answer.headers.items() if key.lower() != name}
        return answer


def _answer(reply: Reply, headers: dict[str, str]) -> Answer:
    return Answer(reply.status, reply.content(), None if reply.body is None else reply.media_type, headers | reply.headers)


def _guarded(work: Callable[[], Reply]) -> Reply:
    try:
        return work()
    except HubSpotError as error:
        return Reply(error.body(), error.status)
    except RateLimited as error:
        return Reply(error.body(), 429, error.headers)
    except Exception:
        LOG.exception("sandbox: a handler failed")
        return Reply(HubSpotError(500, "internal error", None).body(), 500)


def _plain(headers: Mapping[str, str], body: bytes) -> bytes:
    if headers.get("content-encoding", "").lower() != "gzip":
        return body
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        raise bad_json("the body is not gzip although its Content-Encoding says so") from None


def default_routes() -> Routes:
    """Every path the sandbox serves. Fixed paths come before those with an object type in the same place."""
    from connectors.hubspot.sandbox import (
        account,
        associations_api,
        batch,
        deletes,
        exports,
        imports,
        objects,
        properties,
        schemas,
        search,
        setup_api,
        webhooks_api,
    )

    routes = Routes()
    modules: tuple[Any, ...] = (
        batch,
        search,
        deletes,
        objects,
        associations_api,
        properties,
        setup_api,
        schemas,
        account,
        auth,
        webhooks_api,
        imports,
        exports,
    )
    for module in modules:
        module.register(routes)
    return routes
