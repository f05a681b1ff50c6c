"""A small router: each area registers its paths; composite requests dispatch through the same table without HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from connectors.salesforce.sandbox.errors import SalesforceError, not_found

if TYPE_CHECKING:
    from connectors.salesforce.sandbox.state import State, User

DATA = "/services/data/v{version}"
JSON_TYPE = "application/json;charset=UTF-8"


@dataclass(slots=True)
class Reply:
    """An answer: `body` is a JSON value, bytes, text, or an iterable of bytes (streamed); None sends no body."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = JSON_TYPE
    stream: bool = False
    calls: int = 1  # how many API requests it counts as

    def content(self) -> bytes:
        """The body as bytes (not for streams)."""
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str) and self.media_type != JSON_TYPE:
            return self.body.encode()
        return orjson.dumps(self.body)


@dataclass(slots=True)
class Context:
    """One request as a handler sees it. `path` holds the named parts of the route, unquoted; `params` the query string."""

    state: State
    user: User
    method: str
    url: str
    version: str = "62.0"
    path: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    base_url: str = ""
    nested: bool = False

    def json(self) -> Any:
        """The body as JSON; raises JSON_PARSER_ERROR (400)."""
        try:
            return orjson.loads(self.body or b"{}")
        except orjson.JSONDecodeError as error:
            raise SalesforceError("JSON_PARSER_ERROR", f"Unexpected character at [line:{error.lineno}, column:{error.colno}]") from None

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object."""
        value = self.json()
        if not isinstance(value, dict):
            raise SalesforceError("JSON_PARSER_ERROR", "The HTTP entity body must be a JSON object")
        return value


Handler = Callable[[Context], Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """One path and method. `kind` is its name in the statistics; `counted` says whether it uses up the daily API requests."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    kind: str
    counted: bool
    login: bool


class Routes:
    """The table of paths. `{name}` matches one path part; a trailing slash is accepted everywhere."""

    def __init__(self) -> None:
        self._routes: list[Route] = []

    def add(self, method: str, path: str, handler: Handler, *, kind: str, counted: bool = True, login: bool = True) -> None:
        """Registers an absolute path (`/services/…`) or one below `/services/data/vXX.X/` (no leading slash)."""
        full = path if path.startswith("/") else f"{DATA}/{path}"
        pattern = re.sub(r"\{(\w+)\}", lambda match: f"(?P<{match[1]}>" + (r"\d+\.\d" if match[1] == "version" else "[^/]+") + ")", full)
        self._routes.append(Route(method, re.compile(pattern.rstrip("/") + "/?", re.IGNORECASE), handler, kind, counted, login))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route of a request; raises NOT_FOUND (404) or METHOD_NOT_ALLOWED (405)."""
        allowed = []
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match is None:
                continue
            if route.method == method:
                return route, {key: unquote(value) for key, value in match.groupdict().items()}
            allowed.append(route.method)
        if allowed:
            names = ",".join(dict.fromkeys(["HEAD", *allowed] if "GET" in allowed else allowed))
            raise SalesforceError("METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed. Allowed are {names}", status=405)
        raise not_found()

    def call(self, outer: Context, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> tuple[Reply, Route]:
        """Runs a subrequest of a composite call as the same user; raises what the handler raises."""
        parts = urlsplit(url if url.startswith("/") else f"/services/data/{url}")
        route, path = self.find(method.upper(), parts.path)
        inner = Context(
            outer.state, outer.user, method.upper(), url, path.get("version", outer.version), path, query_params(parts.query),
            {key.lower(): value for key, value in (headers or {}).items()}, b"" if body is None else orjson.dumps(body), outer.base_url, True,
        )  # fmt: skip
        return route.handler(inner), route


def query_params(query: str) -> dict[str, str]:
    """A query string as a mapping; `+` is a space."""
    return dict(parse_qsl(query, keep_blank_values=True))


def lines(parts: Iterable[str]) -> bytes:
    """Joins text parts into one UTF-8 body."""
    return "".join(parts).encode()
