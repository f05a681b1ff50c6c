"""From an HTTP request to a handler's reply: faults, session, daily limit, counting, errors."""

from __future__ import annotations

import gzip
import logging
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote, unquote_plus

from connectors.salesforce.sandbox import auth, control, page, rest
from connectors.salesforce.sandbox.errors import SalesforceError, not_found
from connectors.salesforce.sandbox.faults import BODIES, HTML
from connectors.salesforce.sandbox.routing import Context, Reply, Route, Routes, query_params
from connectors.salesforce.sandbox.state import State
from connectors.sandbox_kit.faults import Rule

LOG = logging.getLogger("connectors.salesforce.sandbox")
MAX_URI = 16_384
OLDEST, NEWEST = 31.0, 67.0
DAILY_LIMIT = "100000"


@dataclass(slots=True)
class Outcome:
    """A reply plus what a fault does to its delivery: `reset` drops the connection, `truncate` stops half way."""

    reply: Reply
    reset: bool = False
    truncate: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()


class Dispatcher:
    """Answers requests for one state. Runs in worker threads."""

    def __init__(self, state: State, routes: Routes) -> None:
        self.state = state
        self.routes = routes

    def handle(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, base_url: str) -> Outcome:
        """One request. `path` is the raw, still quoted path."""
        self.state.settle()
        context = Context(self.state, self.state.system, method, path, params={}, headers=headers, body=body, base_url=base_url)
        if path.startswith(control.PREFIX):
            return Outcome(_guarded(lambda: control.dispatch(context, query)))
        try:
            if len(path) + len(query) > MAX_URI:
                raise SalesforceError("URI_TOO_LONG", "The URI is longer than 16384 bytes", status=414)
            context.body = _plain(headers, body)
            route, parts = self.routes.find("GET" if method == "HEAD" else method, path)
        except SalesforceError as error:
            route, parts = None, {}
            refused = Reply(error.body(), error.status)
        context.path = parts
        context.version = parts.get("version", "62.0")
        context.params = query_params(query)
        faults = self._faults(context, query, route)
        early = self._early(faults, context)
        if early is not None:
            if route is not None:
                self.state.side.use(route.kind, int(route.counted), self.state.now().timestamp())
            return early
        reply = refused if route is None else self._answer(route, context)
        return self._finish(route, reply, faults)

    def _faults(self, context: Context, query: str, route: Route | None) -> list[Rule]:
        if not self.state.faults.rules():
            return []
        kinds = ("http", "delay", "reset", "truncate", "drop_header", "clock_skew", "control")
        facts = {"method": context.method, "path": unquote(context.url), "call": route.kind if route else "", "query": unquote_plus(query)}
        return self.state.faults.take(*kinds, **facts)

    def _early(self, faults: list[Rule], context: Context) -> Outcome | None:
        """What a fault does before the work: act behind the client's back, wait, drop the connection, refuse."""
        for rule in faults:
            if rule["kind"] == "control":
                control.run(context, str(rule.get("name")), rule.get("body", {}))
            if rule["kind"] == "delay":
                time.sleep(float(rule.get("seconds", 1)))
            if rule["kind"] == "reset" and rule.get("when", "before") == "before":
                return Outcome(Reply(None), reset=True)
        for rule in faults:
            if rule["kind"] == "http":
                return Outcome(_fault_reply(rule), headers=self._standard_headers(None, faults))
        return None

    def _answer(self, route: Route, context: Context) -> Reply:
        refused = _guarded(lambda: self._admit(route, context))
        if refused.status != 200:
            refused.calls = 0  # what is turned away at the door is not counted
            return refused
        return _guarded(lambda: route.handler(context))

    def _admit(self, route: Route, context: Context) -> Reply:
        """Checks version, session and daily limit; sets the user."""
        _check_version(context)
        if route.login:
            user = auth.session_user(self.state, context.headers.get("authorization", ""))
            if user is None:
                raise SalesforceError("INVALID_SESSION_ID", "Session expired or invalid", status=401)
            context.user = user
        if route.counted and self.state.side.usage(self.state.now().timestamp()) >= daily_limit(self.state):
            raise SalesforceError("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403)
        return Reply(None)

    def _finish(self, route: Route | None, reply: Reply, faults: list[Rule]) -> Outcome:
        calls = reply.calls if route is not None and route.counted else 0
        self.state.side.use(route.kind if route is not None else "unknown_path", calls, self.state.now().timestamp())
        outcome = Outcome(reply, headers=self._standard_headers(route, faults))
        for rule in faults:
            if rule["kind"] == "reset":
                outcome.reset = True
            elif rule["kind"] == "truncate":
                outcome.truncate = True
            elif rule["kind"] == "drop_header":
                outcome.without += (str(rule.get("header", "")).lower(),)
        return outcome

    def _standard_headers(self, route: Route | None, faults: list[Rule]) -> dict[str, str]:
        now = self.state.now()
        skew = sum(float(rule.get("seconds", 0)) for rule in faults if rule["kind"] == "clock_skew")
        headers = {"Date": format_datetime(now.fromtimestamp(now.timestamp() + skew, now.tzinfo), usegmt=True)}
        if route is not None and route.counted:
            headers["Sforce-Limit-Info"] = f"api-usage={self.state.side.usage(now.timestamp())}/{daily_limit(self.state)}"
        return headers


def daily_limit(state: State) -> int:
    """API requests allowed in 24 hours."""
    return int(state.side.setting("daily_limit", DAILY_LIMIT))


def build_routes(modules: tuple[Any, ...]) -> Routes:
    """The table of all paths."""
    routes = Routes()
    for module in modules:
        module.register(routes)
    return routes


def default_routes() -> Routes:
    """Every path the sandbox serves."""
    from connectors.salesforce.sandbox import bulk, collections, composite, deploy, metadata, queries, tooling

    return build_routes((auth, rest, queries, collections, composite, tooling, deploy, metadata, bulk, page))


def _guarded(work: Any) -> Reply:
    try:
        reply: Reply = work()
    except SalesforceError as error:
        return Reply(error.body(), error.status)
    except Exception:
        LOG.exception("sandbox: a handler failed")
        code = SalesforceError("UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId if you contact support", status=500)
        return Reply(code.body(), 500)
    return reply


def _check_version(context: Context) -> None:
    version = context.path.get("version")
    if version is None or not context.url.startswith("/services/data"):
        return
    if float(version) < OLDEST:
        raise SalesforceError("UNSUPPORTED_API_VERSION", f"API version {version} is retired", status=410)
    if float(version) > NEWEST:
        raise not_found()


def _plain(headers: Mapping[str, str], body: bytes) -> bytes:
    if headers.get("content-encoding", "").lower() != "gzip":
        return body
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        raise SalesforceError("MALFORMED_BODY", "The request body is not gzip although its Content-Encoding says so") from None


def _fault_reply(rule: Rule) -> Reply:
    status, code, message = BODIES.get(str(rule.get("body")), (500, "UNKNOWN_EXCEPTION", "fault"))
    status = int(rule.get("status", status))
    code = rule.get("code", code)
    message = str(rule.get("message", message))
    if code is None:
        return Reply(HTML.format(message) if message else "", status, media_type="text/html;charset=UTF-8")
    return Reply([{"message": message, "errorCode": code}], status)
