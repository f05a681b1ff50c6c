"""Path families and the router: numbered (v3/v4) and dated (2026-03, 2026-09) paths lead to the same handlers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import orjson

from connectors.hubspot.sandbox.errors import HubSpotError, bad_json, resource_not_found

if TYPE_CHECKING:
    from connectors.hubspot.sandbox.state import State
    from connectors.hubspot.sandbox.types import ObjectType

JSON = dict[str, Any]
JSON_TYPE = "application/json;charset=utf-8"
DATED = ("2026-03", "2026-09")
_DATE = r"(?P<v>2026-03|2026-09)"
_FAMILIES: list[tuple[re.Pattern[str], str]] = [
    (re.compile(rf"/crm/objects/{_DATE}/(?P<rest>[^/]+/[^/]+/associations/.+)"), "/crm/v4/objects/{rest}"),
    (re.compile(rf"/crm/objects/{_DATE}/(?P<rest>.+)"), "/crm/v3/objects/{rest}"),
    (re.compile(rf"/crm/associations/{_DATE}/(?P<rest>.+)"), "/crm/v4/associations/{rest}"),
    (re.compile(rf"/crm/(?P<area>properties|pipelines|owners|lists|imports|exports|limits)/{_DATE}(?P<rest>/.*)?"), "/crm/v3/{area}{rest}"),
    (re.compile(rf"/(?P<area>crm-object-schemas|account-info|webhooks)/{_DATE}(?P<rest>/.*)"), "/{area}/v3{rest}"),
    (re.compile(rf"/oauth/{_DATE}(?P<rest>/.*)"), "/oauth/v3{rest}"),
]


def normalise(path: str) -> tuple[str, str]:
    """The numbered form of a path and its version: `v3` for numbered paths, else the date."""
    for pattern, numbered in _FAMILIES:
        if match := pattern.fullmatch(path):
            parts = {key: value or "" for key, value in match.groupdict().items()}
            return numbered.format(**parts), parts["v"]
    return path, "v3"


@dataclass(slots=True)
class Reply:
    """An answer: `body` is a JSON value, bytes (JSON already) or text; None sends no body."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = JSON_TYPE

    def content(self) -> bytes:
        """The body as bytes."""
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str) and self.media_type != JSON_TYPE:
            return self.body.encode()
        return orjson.dumps(self.body)


@dataclass(slots=True)
class Context:
    """One request as a handler sees it. `path` holds the named parts of the route, unquoted; `params` the query string, repeats kept."""

    state: State
    method: str
    url: str
    version: str = "v3"
    path: dict[str, str] = field(default_factory=dict)
    params: dict[str, list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    base_url: str = ""
    query: str = ""
    token: JSON = field(default_factory=dict)  # the bearer token's row; empty for the sandbox itself
    source: str = "INTEGRATION"  # who writes: INTEGRATION, or CRM_UI for a person
    user: int | None = None

    def json(self) -> Any:
        """The body as JSON; raises 400."""
        try:
            return orjson.loads(self.body or b"{}")
        except orjson.JSONDecodeError as error:
            raise bad_json(f"line {error.lineno}, column {error.colno}") from None

    def json_object(self) -> JSON:
        """The body as a JSON object."""
        value = self.json()
        if not isinstance(value, dict):
            raise bad_json("an object is needed")
        return value

    def names(self, key: str) -> list[str]:
        """A multi-valued parameter, repeated or comma-joined."""
        return [part for value in self.params.get(key, []) for part in value.split(",") if part]

    def one(self, key: str, default: str = "") -> str:
        """The last value of a parameter."""
        values = self.params.get(key)
        return values[-1] if values else default

    def flag(self, key: str) -> bool:
        """A boolean parameter in any case."""
        return self.one(key).lower() == "true"

    def limit(self, default: int, most: int) -> int:
        """The `limit` parameter; raises 400 outside 1 … `most`."""
        text = self.one("limit", str(default))
        if not text.isdigit() or not 1 <= int(text) <= most:
            raise HubSpotError(400, f"Invalid limit: {text}. The limit must be between 1 and {most}.")
        return int(text)

    @property
    def type(self) -> ObjectType:
        """The object type the path names."""
        return self.state.type(self.path["type"])

    def need(self, *scopes: str) -> None:
        """Raises 403 unless the token has every scope (a token without a list has all)."""
        granted = self.token.get("scopes")
        missing = [] if granted is None else [scope for scope in scopes if scope and scope not in granted]
        if missing:
            text = "One or more of the following scopes are required."
            named = {"requiredGranularScopes": missing}
            if self.state.setting("scopes_on_top"):
                raise HubSpotError(403, text, "MISSING_SCOPES", context=named)
            raise HubSpotError(
                403, text, "MISSING_SCOPES", errors=[{"message": text, "context": named}],
                links={"scopes": "https://developers.hubspot.com/scopes"},
            )  # fmt: skip

    def need_any(self, *scopes: str) -> None:
        """Raises 403 unless the token has one of the scopes."""
        granted = self.token.get("scopes")
        if granted is not None and not any(scope in granted for scope in scopes):
            self.need(scopes[0])


Handler = Callable[[Context], Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """One path and method. `kind` is its name in the statistics; `login` asks for a token, `search` uses the search limiter."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    kind: str
    login: bool
    search: bool


class Routes:
    """The table of numbered paths. `{name}` matches one path part; a trailing slash is accepted everywhere."""

    def __init__(self) -> None:
        self._routes: list[Route] = []

    def add(self, method: str, path: str, handler: Handler, *, kind: str, login: bool = True, search: bool = False) -> None:
        """Registers a path."""
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path.rstrip("/"))
        self._routes.append(Route(method, re.compile(pattern + "/?"), handler, kind, login, search))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route of a request; raises 404 or 405."""
        seen = False
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match is None:
                continue
            if route.method == method:
                return route, {key: unquote(value) for key, value in match.groupdict().items()}
            seen = True
        if seen:
            raise HubSpotError(405, "Method Not Allowed", None)
        raise resource_not_found()


def query_params(query: str) -> dict[str, list[str]]:
    """A query string as a mapping of lists."""
    found: dict[str, list[str]] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        found.setdefault(key, []).append(value)
    return found
