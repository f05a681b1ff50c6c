"""Tokens: a fixed one (service key or private app), or OAuth's, renewed ahead of its end and shared by all workers (reference sheet, 1).

A shared token lies in Redis, encrypted with the client secret, under a lock while it is renewed. Losing Redis costs renewals, nothing else.
"""

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import urllib3
from cryptography.fernet import Fernet, InvalidToken
from pydantic import SecretStr

from connectors.errors import ConnectorError, NotAllowed, NotReachable, Transient
from connectors.hubspot.errors import ADMIN, LATER, TOKEN_REMEDY, Answer

#: A token is renewed this long before its end, seconds, or at half its life; a 401 is not waited for.
AHEAD_S = 300
#: A refresh that was refused is not tried again by this process for so long, seconds.
REFUSED_FOR_S = 60
LOCK_S = 30


@dataclass(frozen=True)
class Credentials:
    """Either `token` (service key or private app), or the three of OAuth."""

    token: SecretStr | None = None
    client_id: str = ""
    client_secret: SecretStr | None = None
    refresh_token: SecretStr | None = None


@dataclass(frozen=True)
class _Token:
    access: str
    renew_at: float  # epoch seconds


class Redis(Protocol):
    """The few commands used."""

    def get(self, name: str) -> Any: ...
    def set(self, name: str, value: Any, *, ex: int | None = None, px: int | None = None, nx: bool = False) -> Any: ...
    def delete(self, *names: str) -> Any: ...
    def eval(self, script: str, numkeys: int, *keys_and_args: Any) -> Any: ...


class Auth:
    """Gives the current token. `send`: makes one token call with these form fields."""

    def __init__(
        self, credentials: Credentials, send: Callable[[dict[str, str]], Answer], redis: Redis | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._how, self._send, self._redis, self._clock = credentials, send, redis, clock
        self._token: _Token | None = None
        self._lock = threading.RLock()
        self._refused: tuple[float, ConnectorError] | None = None
        fixed = credentials.token.get_secret_value() if credentials.token else ""
        self.own_key = hashlib.sha256(f"{credentials.client_id}|{fixed}".encode()).hexdigest()[:24]
        self._key = f"scoresync:hubspot:token:{self.own_key}"
        self.renewals = 0

    def token(self) -> str:
        if self._how.token is not None and self._how.token.get_secret_value():
            return self._how.token.get_secret_value()
        with self._lock:
            if self._token is None or self._token.renew_at <= self._clock():
                self._token = self._shared(None) or self._renew_once(None)
            return self._token.access

    def refresh(self, stale: str | None) -> None:
        """A token other than `stale`. A fixed token has no other."""
        if self._how.token is not None and self._how.token.get_secret_value():
            text = "HubSpot does not accept the token: it has expired or was revoked."
            raise NotAllowed(text, remedy=TOKEN_REMEDY, code="EXPIRED_AUTHENTICATION", status=401)
        with self._lock:
            if self._token is not None and self._token.access != stale:
                return
            self._token = self._shared(stale) or self._renew_once(stale)

    def _renew_once(self, stale: str | None) -> _Token:
        """Renew, one process at a time where Redis is shared; the others take what it brought."""
        if self._redis is None:
            return self._renew()
        owner, until = secrets.token_hex(8), time.monotonic() + LOCK_S
        while not self._redis.set(f"{self._key}:lock", owner, nx=True, px=LOCK_S * 1000):
            shared = self._shared(stale)
            if shared is not None:
                return shared
            if time.monotonic() > until:
                break  # the holder died; its lock ends by itself
            time.sleep(0.05)
        try:
            shared = self._shared(stale)
            if shared is not None:
                return shared
            token = self._renew()
            body = self._box().encrypt(orjson.dumps({"access": token.access, "renew_at": token.renew_at}))
            self._redis.set(self._key, body, ex=max(1, int(token.renew_at - self._clock())))
            return token
        finally:
            held = self._redis.get(f"{self._key}:lock")
            if (held.decode() if isinstance(held, bytes) else held) == owner:
                self._redis.delete(f"{self._key}:lock")

    def _shared(self, stale: str | None) -> _Token | None:
        kept = self._redis.get(self._key) if self._redis is not None else None
        if not kept:
            return None
        try:
            body = orjson.loads(self._box().decrypt(kept))
        except (InvalidToken, orjson.JSONDecodeError):  # written under another secret: as good as none
            return None
        fresh = body["access"] != stale and body["renew_at"] > self._clock()
        return _Token(body["access"], body["renew_at"]) if fresh else None

    def _box(self) -> Fernet:
        secret = self._how.client_secret.get_secret_value() if self._how.client_secret else ""
        return Fernet(base64.urlsafe_b64encode(hashlib.sha256(secret.encode()).digest()))

    def _renew(self) -> _Token:
        if self._refused is not None and time.monotonic() < self._refused[0]:
            raise self._refused[1]
        form = {
            "grant_type": "refresh_token",
            "client_id": self._how.client_id,
            "client_secret": _need(self._how.client_secret, "SCORESYNC_HUBSPOT_TOKEN (or, for OAuth, SCORESYNC_HUBSPOT_CLIENT_SECRET)"),
            "refresh_token": _need(self._how.refresh_token, "SCORESYNC_HUBSPOT_REFRESH_TOKEN"),
        }
        self.renewals += 1
        try:
            answer = self._send(form)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            text = f"HubSpot's login cannot be reached ({type(error).__name__})."
            raise NotReachable(text, remedy="The run tries again by itself; if it lasts, an admin must check this host's network.") from None
        return self._read(answer)

    def _read(self, answer: Answer) -> _Token:
        if answer.status == 200:
            try:
                body = orjson.loads(answer.content)
                life = float(body["expires_in"])
                return _Token(str(body["access_token"]), self._clock() + life - min(AHEAD_S, life / 2))
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                raise Transient("HubSpot's login answered something that is no token.", remedy=LATER) from None
        if answer.status == 429 or answer.status >= 477:
            raise NotReachable(f"HubSpot's login does not answer for now ({answer.status}).", remedy="The run tries again by itself.")
        code = _code(answer)
        refused = NotAllowed(
            f"HubSpot refuses to renew the token ({code or answer.status}).",
            remedy=f"{ADMIN} authorise the app again and set SCORESYNC_HUBSPOT_REFRESH_TOKEN; or the client id and secret do not fit it.",
            code=code,
            status=answer.status,
        )
        self._refused = (time.monotonic() + REFUSED_FOR_S, refused)
        raise refused


def _code(answer: Answer) -> str:
    """`BAD_REFRESH_TOKEN` on numbered paths, RFC style (`invalid_grant`) on newer ones."""
    try:
        body = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return ""
    return str(body.get("error") or body.get("status") or "") if isinstance(body, dict) else ""


def _need(secret: SecretStr | None, name: str) -> str:
    if secret is None or not secret.get_secret_value():
        raise NotAllowed(f"{name} is not set.", remedy="An admin must set it, or the variable with _FILE that names a file holding it.")
    return secret.get_secret_value()
