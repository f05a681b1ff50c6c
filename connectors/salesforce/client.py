"""One org as we speak to it: simple-salesforce's session and addresses, our door, one token.

simple-salesforce logs in, retries and refreshes on its own terms (sheet, 1.5): it is given a token and a session, and none of that happens.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson
import requests
from simple_salesforce.api import Salesforce

from connectors.base import CallCounts
from connectors.calls import BrokenAnswer, Budget, Door, Waits
from connectors.salesforce.auth import Auth, Credentials, Redis
from connectors.salesforce.errors import translate
from connectors.salesforce.http import TIMEOUT_S, is_loopback, mount_loopback, open_session

T = TypeVar("T")
_USAGE = re.compile(r"api-usage=(\d+)/(\d+)")
#: Where a path starts: below the versioned API, the Tooling API, or the host itself.
DATA, TOOLING, HOST = "data", "tooling", "host"


class Org:
    """Sends calls to one org. `counts` and `seconds` are those of its door."""

    def __init__(
        self,
        name: str,
        credentials: Credentials,
        version: str,
        *,
        budget: Budget,
        waits: Waits | None = None,
        redis: Redis | None = None,
        timeout_s: tuple[float, float] = TIMEOUT_S,
    ) -> None:
        self.name, self.version = name, version
        self._plain = urlsplit(credentials.url).scheme == "http"
        self.session = open_session(credentials.url, timeout_s)
        self.url = credentials.url.rstrip("/")
        self.auth = Auth(credentials, self.session, redis)
        self._clients: dict[str, Salesforce] = {}
        self.door = Door(
            name=name,
            translate=translate,
            refresh=self.auth.refresh,
            token=lambda: self.auth.token().access,
            budget=budget,
            observe=self._observe,
            waits=waits or Waits(),
        )

    @property
    def counts(self) -> CallCounts:
        return self.door.counts

    def json(self, kind: str, method: str, path: str, *, base: str = DATA, idempotent: bool = True, **send: Any) -> Any:
        """The parsed body of one call; null where there is none (204)."""
        return self.ask(kind, method, path, _read_json, base=base, idempotent=idempotent, **send)

    def ask(
        self,
        kind: str,
        method: str,
        path: str,
        read: Callable[[requests.Response], T],
        *,
        base: str = DATA,
        idempotent: bool = True,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        signed: Callable[[str], bytes] | None = None,
        **send: Any,
    ) -> T:
        """What `read` makes of a good response; it is read inside the attempt, so that a body that breaks off is asked for again.

        `body` is sent as JSON; `data` (bytes or a file) as it is; `signed` makes the bytes from the token (SOAP carries it in its body).
        """

        def once(token: str) -> T:
            client = self._client(token)
            sent = {"Authorization": f"Bearer {token}", "Accept": "application/json", **(headers or {})}
            extra = dict(send)
            if body is not None:
                extra["data"] = orjson.dumps(body)
                sent["Content-Type"] = "application/json"
            if signed is not None:
                extra["data"] = signed(token)
            if hasattr(extra.get("data"), "seek"):
                extra["data"].seek(0)  # a second attempt starts at the first byte
            response = client.session.request(method, self._address(client, base, path), headers=sent, allow_redirects=False, **extra)
            try:
                return read(self.door.good(response))
            finally:
                response.close()

        return self.door.call(kind, once, idempotent=idempotent)

    def server_now(self) -> datetime:
        """The org's clock, whole seconds, from the Date header of the one call that counts towards no limit."""
        read: Callable[[requests.Response], str] = lambda response: response.headers.get("Date", "")  # noqa: E731
        said = self.ask("clock", "GET", "/services/data/", read, base=HOST)
        try:
            return parsedate_to_datetime(said).astimezone(UTC)
        except (ValueError, TypeError):
            raise BrokenAnswer("Salesforce sent no readable Date header.") from None

    def _client(self, token: str) -> Salesforce:
        """A simple-salesforce object for this token. Only the newest is kept: an old token is never used again."""
        client = self._clients.get(token)
        if client is None:
            instance = self.auth.token().instance_url
            if self._plain and is_loopback(instance):
                mount_loopback(self.session, instance)
            client = Salesforce(session_id=token, instance_url=instance, session=self.session, version=self.version)
            self._clients = {token: client}
        return client

    @staticmethod
    def _address(client: Salesforce, base: str, path: str) -> str:
        if base == HOST:
            return f"https://{client.sf_instance}{path}"
        return str(client.tooling_url if base == TOOLING else client.base_url) + path

    def _observe(self, response: requests.Response) -> None:
        found = _USAGE.search(response.headers.get("Sforce-Limit-Info", ""))
        if found:
            self.door.budget.observe(int(found[1]), int(found[2]))


def _read_json(response: requests.Response) -> Any:
    return orjson.loads(response.content) if response.content else None
