"""One HubSpot account as we speak to it: hubspot-api-client for addresses and transport, our door, our pace, one token.

The SDK builds a connection pool at every attribute access, retries silently and waits for ever (reference sheet, 10.2 and 10.5): its API objects
are kept, its retries are off, every call has a time-out, and bodies are read raw, since its models cost fifty times the parsing.
"""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import orjson
from hubspot import Client  # type: ignore[import-untyped]

from connectors.base import CallCounts
from connectors.calls import BrokenAnswer, Budget, Door, Waits
from connectors.errors import NotAllowed
from connectors.hubspot.auth import Auth, Credentials, Redis
from connectors.hubspot.errors import Answer, translate
from connectors.pace import Pace

#: Seconds to connect, and between two bytes of an answer. HubSpot's edge gives up after 100 s (524).
TIMEOUT_S = (10.0, 110.0)
#: Limits until HubSpot's headers tell better: the smallest plan's burst, and searches per second of an account (sheet, 6.3).
WINDOW_CALLS, WINDOW_S = 100, 10.0
SEARCHES, SEARCH_S = 5, 1.0
NUMBERED = "v3"
#: Paths the SDK knows -> the dated family (sheet, 0).
_DATED = (
    ("/crm/v3/objects/", "/crm/objects/{}/"),
    ("/crm/v4/associations/", "/crm/associations/{}/"),
    ("/crm/v3/properties/", "/crm/properties/{}/"),
    ("/crm-object-schemas/v3/", "/crm-object-schemas/{}/"),
    ("/crm/v3/owners/", "/crm/owners/{}/"),
    ("/crm/v3/pipelines/", "/crm/pipelines/{}/"),
    ("/account-info/v3/", "/account-info/{}/"),
    ("/oauth/v1/", "/oauth/{}/"),
)

#: Picks a method of the SDK: `lambda hs: hs.crm.objects.basic_api.get_page`.
Pick = Callable[[Client], Callable[..., Any]]


class Apis:
    """The SDK's API objects, one of each kind, on dated or numbered paths. Given to the SDK as its factory."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._kept: dict[tuple[str, str], Any] = {}
        self._configurations: list[Any] = []
        self._token = ""
        self._lock = threading.Lock()

    def __call__(self, package: Any, name: str, config: dict[str, Any]) -> Any:
        with self._lock:
            key = (package.__name__, name)
            if key not in self._kept:
                self._kept[key] = getattr(package, name)(api_client=self._client(package, config))
            return self._kept[key]

    def use(self, token: str) -> None:
        """Send with this token from now on."""
        with self._lock:
            self._token = token
            for configuration in self._configurations:
                configuration.access_token = token

    def _client(self, package: Any, config: dict[str, Any]) -> Any:
        configuration = package.Configuration()
        for key, value in config.items():
            setattr(configuration, "retries" if key == "retry" else key, value)
        configuration.access_token = self._token
        self._configurations.append(configuration)
        address = self.address

        class Addressed(package.ApiClient):  # type: ignore[misc]
            def call_api(self, resource_path: str, *args: Any, **kwargs: Any) -> Any:
                return super().call_api(address(resource_path), *args, **kwargs)

        client = Addressed(configuration)
        client.set_default_header("User-Agent", "scoresync")
        client.set_default_header("Accept-Encoding", "gzip")
        return client

    def address(self, path: str) -> str:
        """A path in the family that is set."""
        if self._version != NUMBERED:
            for numbered, dated in _DATED:
                if path.startswith(numbered):
                    return dated.format(self._version) + path[len(numbered) :]
        return path


class Portal:
    """Sends calls to one account. `counts` are those of its door."""

    def __init__(
        self,
        name: str,
        credentials: Credentials,
        version: str,
        *,
        budget: Budget,
        url: str = "https://api.hubapi.com",
        waits: Waits | None = None,
        redis: Redis | None = None,
        window_calls: int = 0,
        searches: int = SEARCHES,
        timeout_s: tuple[float, float] = TIMEOUT_S,
    ) -> None:
        """`window_calls`: calls in 10 seconds, 0 = what HubSpot says; `searches`: in one second."""
        _must_be_safe(url)
        self.name, self.url, self._timeout_s, self._fixed_pace = name, url, timeout_s, window_calls > 0
        self._apis = Apis(version)
        self._sdk = Client.create(api_factory=self._apis, host=url.rstrip("/"), retry=False, connection_pool_maxsize=8)
        self.auth = Auth(credentials, self._log_in, redis)
        own = self.auth.own_key
        self.pace = Pace(f"scoresync:hubspot:pace:{own}", window_calls or WINDOW_CALLS, WINDOW_S, redis)
        self.search_pace = Pace(f"scoresync:hubspot:search:{own}", searches, SEARCH_S, redis)
        self.door = Door(
            name=name,
            translate=translate,
            refresh=self.auth.refresh,
            token=self.auth.token,
            budget=budget,
            observe=self._observe,
            waits=waits or Waits(),
        )

    @property
    def counts(self) -> CallCounts:
        return self.door.counts

    def json(self, kind: str, pick: Pick, *args: Any, query: Mapping[str, Any] | None = None, idempotent: bool = True, search: bool = False) -> Any:
        """The parsed body of one call of the SDK; null where there is none (204). 207 is a good answer: look at its `errors`."""
        return self._call(kind, lambda: pick(self._sdk)(*args, **(query or {}), **self._raw), _body, idempotent, search)

    def get(self, kind: str, path: str) -> Any:
        """GET of a path the SDK has no method for."""
        return self._call(kind, lambda: self._plain(path), _body, True, False)

    def server_now(self) -> datetime:
        """HubSpot's clock, whole seconds, from the Date header of the smallest call."""
        found: datetime = self._call("account", lambda: self._plain("/account-info/v3/details"), _date, True, False)
        return found

    @property
    def _raw(self) -> dict[str, Any]:
        return {"_preload_content": False, "_request_timeout": self._timeout_s}

    def _call(self, kind: str, send: Callable[[], Any], read: Callable[[Answer], Any], idempotent: bool, search: bool) -> Any:
        def once(token: str) -> Any:
            self._apis.use(token)
            (self.search_pace if search else self.pace).wait()
            return read(self.door.good(_answer(send)))

        return self.door.call(kind, once, idempotent=idempotent)

    def _plain(self, path: str) -> Any:
        client = self._sdk.crm.objects.basic_api.api_client
        how = {"header_params": {"Accept": "application/json"}, "auth_settings": ["oauth2"], "response_types_map": {}}
        return client.call_api(path, "GET", _return_http_data_only=True, **how, **self._raw)

    def _log_in(self, form: dict[str, str]) -> Answer:
        return _answer(lambda: self._sdk.oauth.tokens_api.create(**form, **self._raw))

    def _observe(self, answer: Answer) -> None:
        """Searches carry no limit headers; OAuth apps have no daily ones (sheet, 6.3)."""
        window, daily, left = (_number(answer.headers.get(f"x-hubspot-ratelimit-{name}")) for name in ("max", "daily", "daily-remaining"))
        if window and not self._fixed_pace:
            self.pace.limit = window
        if daily and left is not None:
            self.door.budget.observe(daily - left, daily)


def _answer(send: Callable[[], Any]) -> Answer:
    """A response read to its end, good or not: the SDK raises one exception class per package, all with a status."""
    try:
        response = send()
    except Exception as error:
        status = getattr(error, "status", None)
        if not isinstance(status, int) or status == 0:
            raise
        body = getattr(error, "body", None) or b""
        return Answer(status, _headers(getattr(error, "headers", None)), body.encode() if isinstance(body, str) else bytes(body))
    return Answer(response.status, _headers(response.headers), response.data)


def _headers(found: Any) -> dict[str, str]:
    return {str(k).lower(): str(v) for k, v in dict(found or {}).items()}


def _body(answer: Answer) -> Any:
    return orjson.loads(answer.content) if answer.status != 204 else None


def _date(answer: Answer) -> datetime:
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).astimezone(UTC)
    except (ValueError, TypeError):
        raise BrokenAnswer("HubSpot sent no readable Date header.") from None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _must_be_safe(url: str) -> None:
    """The token travels with every call: plain http only to this host."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        local = ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise NotAllowed("SCORESYNC_HUBSPOT_URL is not an https URL.", remedy="An admin must set it to https://api.hubapi.com, or leave it out.")
