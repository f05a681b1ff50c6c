"""The login flows, and one token shared by all workers of a connection (reference sheet, 1).

Nobody ever logs out: that would revoke the session of every other process (simple-salesforce#619). Tokens live in memory and, where Redis is
there, encrypted with the client secret under a shared lock, so that a hundred workers log in once. Losing Redis costs logins, nothing else.
"""

import base64
import hashlib
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import jwt
import orjson
import requests
from cryptography.fernet import Fernet, InvalidToken
from pydantic import SecretStr

from connectors.errors import ConnectorError, NotAllowed, NotReachable, Transient
from connectors.salesforce.errors import ADMIN, read_body

TOKEN_PATH = "/services/oauth2/token"
#: Shared tokens are kept this long; an org ends idle sessions after 15 min to 24 h, and a 401 renews them anyway.
SHARED_FOR_S = 3600
#: A login that was refused is not tried again by this process for so long: repeated failures lock users out.
REFUSED_FOR_S = 60
LOCK_S = 30


@dataclass(frozen=True)
class Token:
    access: str = field(repr=False)
    instance_url: str


@dataclass(frozen=True)
class Credentials:
    """How to log in. `flow`: client_credentials | jwt | password | refresh_token. `url` is the My Domain URL (the sandbox's, for a sandbox)."""

    flow: str
    url: str
    client_id: str
    client_secret: SecretStr | None = None
    username: str = ""
    password: SecretStr | None = None
    security_token: SecretStr | None = None
    private_key: SecretStr | None = None
    refresh_token: SecretStr | None = None
    audience: str = "https://login.salesforce.com"


class Redis(Protocol):
    """The few commands used, so that redis-py is no import of a connector."""

    def get(self, name: str) -> Any: ...
    def set(self, name: str, value: Any, *, ex: int | None = None, px: int | None = None, nx: bool = False) -> Any: ...
    def delete(self, *names: str) -> Any: ...


class Auth:
    """Gives the current token; logs in when there is none or the CRM no longer takes it."""

    def __init__(self, credentials: Credentials, session: requests.Session, redis: Redis | None = None) -> None:
        self._how, self._session, self._redis = credentials, session, redis
        self._token: Token | None = None
        self._lock = threading.RLock()
        self._refused: tuple[float, ConnectorError] | None = None
        own = hashlib.sha256(f"{credentials.url}|{credentials.client_id}|{credentials.username}|{credentials.flow}".encode()).hexdigest()[:24]
        self._key = f"scoresync:salesforce:token:{own}"
        self.logins = 0

    def token(self) -> Token:
        with self._lock:
            if self._token is None:
                self._token = self._shared() or self._login_once(None)
            return self._token

    def refresh(self, stale: str | None) -> None:
        """A token other than `stale`: somebody else's if there is one, else a new login."""
        with self._lock:
            if self._token is not None and self._token.access != stale:
                return
            shared = self._shared()
            self._token = shared if shared is not None and shared.access != stale else self._login_once(stale)

    def _login_once(self, stale: str | None) -> Token:
        """Log in, one process at a time where Redis is shared; the others take what it brought."""
        if self._redis is None:
            return self._login()
        owner, until = secrets.token_hex(8), time.monotonic() + LOCK_S
        while not self._redis.set(f"{self._key}:lock", owner, nx=True, px=LOCK_S * 1000):
            shared = self._shared()
            if shared is not None and shared.access != stale:
                return shared
            if time.monotonic() > until:
                break  # the holder died; its lock ends by itself
            time.sleep(0.05)
        try:
            shared = self._shared()
            if shared is not None and shared.access != stale:
                return shared
            token = self._login()
            body = orjson.dumps({"access": token.access, "instance_url": token.instance_url})
            self._redis.set(self._key, self._box().encrypt(body), ex=SHARED_FOR_S)
            return token
        finally:
            if _text(self._redis.get(f"{self._key}:lock")) == owner:
                self._redis.delete(f"{self._key}:lock")

    def _shared(self) -> Token | None:
        if self._redis is None:
            return None
        kept = self._redis.get(self._key)
        if not kept:
            return None
        try:
            body = orjson.loads(self._box().decrypt(kept))
        except (InvalidToken, orjson.JSONDecodeError):  # written under another secret: as good as none
            return None
        return Token(body["access"], body["instance_url"])

    def _box(self) -> Fernet:
        secret = self._how.client_secret or self._how.private_key or self._how.password
        return Fernet(base64.urlsafe_b64encode(hashlib.sha256((secret.get_secret_value() if secret else "").encode()).digest()))

    def _login(self) -> Token:
        if self._refused is not None and time.monotonic() < self._refused[0]:
            raise self._refused[1]
        form = self._form()
        self.logins += 1
        try:
            response = self._session.post(self._how.url.rstrip("/") + TOKEN_PATH, data=form, allow_redirects=False)
        except requests.exceptions.RequestException as error:
            # `from None`: the exception of requests holds the request, and that the secret
            raise NotReachable(
                f"Salesforce's login at {self._how.url} cannot be reached ({type(error).__name__}).",
                remedy="The run tries again by itself; if it lasts, an admin must check SCORESYNC_SALESFORCE_URL and this host's network.",
            ) from None
        return self._read(response)

    def _read(self, response: requests.Response) -> Token:
        if response.status_code == 200:
            try:
                body = orjson.loads(response.content)
                return Token(body["access_token"], body["instance_url"])
            except (orjson.JSONDecodeError, KeyError, TypeError):
                raise Transient("Salesforce's login answered something that is no token.", remedy="It is tried again by itself.") from None
        error = read_body(response)
        if response.status_code >= 500 or response.status_code == 420:
            raise NotReachable(f"Salesforce's login does not answer for now ({response.status_code}).", remedy="The run tries again by itself.")
        if error.code == "rate_limit_exceeded" or response.status_code == 429:
            raise Transient("Salesforce's login asks to slow down.", remedy="It is tried again by itself.", code=error.code)
        remedy = REMEDIES.get(error.code, f"{ADMIN} check the connected app and its user.")
        refused = NotAllowed(
            f"Salesforce refuses the login ({error.code or response.status_code}).", remedy=remedy, code=error.code, status=response.status_code
        )
        self._refused = (time.monotonic() + REFUSED_FOR_S, refused)
        raise refused

    def _form(self) -> dict[str, str]:
        how = self._how
        form = {"client_id": how.client_id}
        if how.flow == "jwt":
            claims = {"iss": how.client_id, "sub": how.username, "aud": how.audience, "exp": int(time.time() + timedelta(minutes=3).total_seconds())}
            key = _need(how.private_key, "SCORESYNC_SALESFORCE_PRIVATE_KEY")
            try:
                assertion = jwt.encode(claims, key, algorithm="RS256")
            except (ValueError, jwt.InvalidKeyError):
                raise NotAllowed(
                    "SCORESYNC_SALESFORCE_PRIVATE_KEY is not an RSA private key in PEM form.",
                    remedy="An admin must set it, or the file it is read from.",
                ) from None
            return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        form["client_secret"] = _need(how.client_secret, "SCORESYNC_SALESFORCE_CLIENT_SECRET")
        if how.flow == "client_credentials":
            return form | {"grant_type": "client_credentials"}
        if how.flow == "refresh_token":
            return form | {"grant_type": "refresh_token", "refresh_token": _need(how.refresh_token, "a refresh token")}
        password = _need(how.password, "SCORESYNC_SALESFORCE_PASSWORD") + (how.security_token.get_secret_value() if how.security_token else "")
        return form | {"grant_type": "password", "username": how.username, "password": password}


#: OAuth error -> who must do what (sheet, 1.2).
REMEDIES = {
    "invalid_client_id": f"{ADMIN} check SCORESYNC_SALESFORCE_CLIENT_ID: Salesforce does not know this consumer key.",
    "invalid_client": f"{ADMIN} check SCORESYNC_SALESFORCE_CLIENT_SECRET: it does not fit the consumer key.",
    "invalid_grant": f"{ADMIN} check the connected app's user: active, approved for the app and, for JWT, signed for by the app's certificate.",
    "unsupported_grant_type": f"{ADMIN} enable this login flow in the connected app, and use the My Domain URL in SCORESYNC_SALESFORCE_URL.",
    "inactive_user": f"{ADMIN} activate the integration user.",
    "inactive_org": f"{ADMIN} reactivate the org.",
}


def _need(secret: SecretStr | None, name: str) -> str:
    if secret is None or not secret.get_secret_value():
        raise NotAllowed(f"{name} is not set.", remedy="An admin must set it, or the variable with _FILE that names a file holding it.")
    return secret.get_secret_value()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
