"""Logging in: the OAuth token endpoint with four grants, revocation, SOAP login; and what a session token is worth."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from html import escape
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree

import jwt

from connectors.salesforce.sandbox.errors import SalesforceError
from connectors.salesforce.sandbox.org import ORG_ID, ORG_ID15
from connectors.salesforce.sandbox.routing import Context, Reply, Routes
from connectors.salesforce.sandbox.state import State, User

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
SESSION_SECONDS = "7200"
MAX_JWT_LIFE = 300  # seconds ahead that `exp` may lie, with some leeway for clocks


class OAuthError(Exception):
    """The object-shaped refusal of the token endpoint (400)."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.reply = Reply({"error": error, "error_description": description}, 400)


def register(routes: Routes) -> None:
    """Adds the login paths."""
    routes.add("POST", "/services/oauth2/token", token, kind="token", counted=False, login=False)
    routes.add("GET", "/services/oauth2/token", wrong_method, kind="token", counted=False, login=False)
    routes.add("POST", "/services/oauth2/revoke", revoke, kind="revoke", counted=False, login=False)
    routes.add("GET", "/services/oauth2/revoke", revoke, kind="revoke", counted=False, login=False)
    routes.add("GET", "/services/oauth2/userinfo", userinfo, kind="userinfo", counted=False)
    routes.add("GET", "/id/{org}/{user}", userinfo, kind="userinfo", counted=False)
    routes.add("POST", "/services/Soap/u/{version}", soap_login, kind="token", counted=False, login=False)
    routes.add("POST", "/services/Soap/u/{version}/{org}", soap_login, kind="token", counted=False, login=False)


def wrong_method(context: Context) -> Reply:
    """The token endpoint answers POST only."""
    return Reply({"error": "invalid_request", "error_description": "must use HTTP POST"}, 400)


def token(context: Context) -> Reply:
    """`POST /services/oauth2/token`."""
    form = dict(parse_qsl(context.body.decode("utf-8", "replace"), keep_blank_values=True))
    form.update({key: value for key, value in context.params.items() if key not in form})
    _basic(context, form)
    grants = {"client_credentials": _client_credentials, "password": _password, "refresh_token": _refresh, JWT_GRANT: _jwt}
    try:
        if not form.get("grant_type"):
            raise OAuthError("invalid_request", "missing required parameter: grant_type")
        grant = grants.get(form["grant_type"])
        if grant is None:
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        user, app = grant(context.state, form)
        _check_active(context.state, user)
    except OAuthError as error:
        return error.reply
    return Reply(_grant(context, user, app, form["grant_type"] in ("password",)))


def _basic(context: Context, form: dict[str, str]) -> None:
    header = context.headers.get("authorization", "")
    if header.lower().startswith("basic "):
        try:
            name, _, secret = base64.b64decode(header[6:]).decode().partition(":")
        except ValueError:
            return
        form.setdefault("client_id", name)
        form.setdefault("client_secret", secret)


def _app(state: State, form: dict[str, str]) -> tuple[str, str, str, str | None]:
    row = state.db.one("SELECT client_id, client_secret, run_as, public_key FROM sb_app WHERE client_id = ?", (form.get("client_id", ""),))
    if row is None:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    return (row[0], row[1], row[2], row[3])


def _secret(form: dict[str, str], expected: str) -> None:
    if not hmac.compare_digest(form.get("client_secret", "").encode(), expected.encode()):
        raise OAuthError("invalid_client", "invalid client credentials")


def _client_credentials(state: State, form: dict[str, str]) -> tuple[User, str]:
    client_id, secret, run_as, _ = _app(state, form)
    _secret(form, secret)
    return state.user(run_as), client_id


def _password(state: State, form: dict[str, str]) -> tuple[User, str]:
    client_id, secret, _, _ = _app(state, form)
    _secret(form, secret)
    return check_password(state, form.get("username", ""), form.get("password", "")), client_id


def check_password(state: State, username: str, password: str) -> User:
    """A user whose password (alone, or followed by the security token) is right."""
    row = state.db.one('SELECT s.id, s.password, s.security_token FROM sb_user s JOIN "User" u ON u."Id" = s.id WHERE u."Username" = ?', (username,))
    if row is None or not any(hmac.compare_digest(password.encode(), text.encode()) for text in (row[1], row[1] + row[2])):
        raise OAuthError("invalid_grant", "authentication failure")
    return state.user(row[0])


def _refresh(state: State, form: dict[str, str]) -> tuple[User, str]:
    client_id, secret, _, _ = _app(state, form)
    if form.get("client_secret"):
        _secret(form, secret)
    row = state.side.db.one("SELECT user_id FROM refresh WHERE token = ? AND app = ?", (form.get("refresh_token", ""), client_id))
    if row is None:
        raise OAuthError("invalid_grant", "expired access/refresh token")
    return state.user(row[0]), client_id


def _jwt(state: State, form: dict[str, str]) -> tuple[User, str]:
    try:
        claims = jwt.decode(form.get("assertion", ""), options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise OAuthError("invalid_grant", "invalid assertion") from None
    client_id, _, _, public = _app(state, {"client_id": str(claims.get("iss", ""))})
    if claims.get("aud") not in AUDIENCES and not _own_audience(state, claims.get("aud")):
        raise OAuthError("invalid_grant", "Audience validation failed")
    try:
        # Some clients send `exp` as text; the vendor takes it.
        expires = float(claims.get("exp", 0))
        jwt.decode(form["assertion"], public or "", algorithms=["RS256"], options={"verify_aud": False, "verify_exp": False, "verify_iat": False})
    except (jwt.InvalidTokenError, ValueError, TypeError):
        raise OAuthError("invalid_grant", "invalid assertion") from None
    remaining = expires - state.now().timestamp()
    if remaining <= 0 or remaining > MAX_JWT_LIFE:
        raise OAuthError("invalid_grant", "expired authorization code" if remaining <= 0 else "invalid assertion")
    try:
        return state.user(str(claims.get("sub", ""))), client_id
    except SalesforceError:
        raise OAuthError("invalid_grant", "user hasn't approved this consumer") from None


def _own_audience(state: State, audience: Any) -> bool:
    return isinstance(audience, str) and bool(
        re.fullmatch(r"https://[\w.-]+\.my\.salesforce\.com|https?://(127\.0\.0\.1|localhost)(:\d+)?", audience)
    )


def _check_active(state: State, user: User) -> None:
    row = state.db.one('SELECT "IsActive" FROM "User" WHERE "Id" = ?', (user.id,))
    if row is None or not row[0]:
        raise OAuthError("inactive_user", "user is inactive")


def open_session(state: State, user: User, app: str) -> str:
    """A new session token: the 15-character org id, `!`, and a secret."""
    value = f"{ORG_ID15}!AQ{secrets.token_urlsafe(48)}"
    now = state.now().timestamp()
    state.side.db.write("INSERT INTO session VALUES (?, ?, ?, ?, ?)", (value, user.id, app, now, now))
    return value


def _grant(context: Context, user: User, app: str, refreshable: bool) -> dict[str, Any]:
    state = context.state
    value = open_session(state, user, app)
    issued = str(int(state.now().timestamp() * 1000))
    identity = f"{context.base_url}/id/{ORG_ID}/{user.id}"
    signature = base64.b64encode(hmac.new(app.encode(), (identity + issued).encode(), hashlib.sha256).digest()).decode()
    answer = {
        "access_token": value, "signature": signature, "scope": "api refresh_token" if refreshable else "api", "instance_url": context.base_url,
        "id": identity, "token_type": "Bearer", "issued_at": issued,
    }  # fmt: skip
    if refreshable:
        answer["refresh_token"] = "5Aep861" + secrets.token_urlsafe(40)
        state.side.db.write("INSERT INTO refresh VALUES (?, ?, ?)", (answer["refresh_token"], user.id, app))
    return answer


def session_user(state: State, header: str) -> User | None:
    """The user behind an Authorization header; None when missing, unknown, revoked or expired. Use slides the expiry on."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() not in ("bearer", "oauth"):
        return None
    row = state.side.db.one("SELECT user_id, used FROM session WHERE token = ?", (value.strip(),))
    if row is None:
        return None
    life = float(state.side.setting("session_seconds", SESSION_SECONDS))
    now = state.now().timestamp()
    if now - row[1] > life:
        return None
    if now - row[1] > life / 20:  # a write per request would cost more than it tells
        state.side.db.write("UPDATE session SET used = ? WHERE token = ?", (now, value.strip()))
    return state.user(row[0])


def revoke(context: Context) -> Reply:
    """`/services/oauth2/revoke?token=`: ends a session, or a refresh token with its user's sessions."""
    form = dict(parse_qsl(context.body.decode("utf-8", "replace")))
    value = form.get("token") or context.params.get("token") or ""
    side = context.state.side.db
    gone = side.write("DELETE FROM session WHERE token = ?", (value,))
    row = side.one("SELECT user_id, app FROM refresh WHERE token = ?", (value,))
    if row is not None:
        gone += side.write("DELETE FROM refresh WHERE token = ?", (value,))
        side.write("DELETE FROM session WHERE user_id = ? AND app = ?", (row[0], row[1]))
    if not gone:
        return Reply({"error": "unsupported_token_type", "error_description": "this token type is not supported"}, 400)
    return Reply(None)


def userinfo(context: Context) -> Reply:
    """Who the token belongs to."""
    user = context.user
    return Reply(
        {
            "sub": f"{context.base_url}/id/{ORG_ID}/{user.id}", "user_id": user.id, "organization_id": ORG_ID, "preferred_username": user.username,
            "name": user.name, "email": user.username, "active": True, "zoneinfo": context.state.timezone,
        }
    )  # fmt: skip


def soap_login(context: Context) -> Reply:
    """The retired but still served `login()` call: user name, password and security token; not in v65 and later."""
    if float(context.path["version"]) >= 65:
        return soap_fault("UNSUPPORTED_API_VERSION", "login() is not available in this API version")
    try:
        root = parse_xml(context.body)
    except ElementTree.ParseError:
        return soap_fault("UNKNOWN_EXCEPTION", "The request is not well-formed XML")
    texts = {local(node): node.text or "" for node in root.iter()}
    if "username" not in texts:
        return soap_fault("UNKNOWN_EXCEPTION", "Only login() is served here")
    try:
        user = check_password(context.state, texts["username"], texts.get("password", ""))
        _check_active(context.state, user)
    except OAuthError:
        return soap_fault("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")
    session, host, version = open_session(context.state, user, "soap"), context.base_url, context.path["version"]
    body = (
        f"<loginResponse><result><metadataServerUrl>{host}/services/Soap/m/{version}/{ORG_ID15}</metadataServerUrl>"
        f"<passwordExpired>false</passwordExpired><sandbox>true</sandbox><serverUrl>{host}/services/Soap/u/{version}/{ORG_ID15}</serverUrl>"
        f"<sessionId>{escape(session)}</sessionId><userId>{user.id}</userId></result></loginResponse>"
    )
    return soap(body)


def parse_xml(body: bytes) -> ElementTree.Element:
    """A SOAP request without document types or entities; raises ParseError."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ElementTree.ParseError("document types are not accepted")
    return ElementTree.fromstring(body)


def local(node: ElementTree.Element) -> str:
    """The name of an element without its namespace."""
    return node.tag.rpartition("}")[2]


def soap(body: str, status: int = 200, namespace: str = "urn:partner.soap.sforce.com") -> Reply:
    """A SOAP answer."""
    envelope = "http://schemas.xmlsoap.org/soap/envelope/"
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="{envelope}" xmlns="{namespace}" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>'
    )
    return Reply(text, status, media_type="text/xml;charset=UTF-8")


def soap_fault(code: str, message: str) -> Reply:
    """A SOAP fault (500), readable by literal tag names as some clients do."""
    text = escape(message)
    body = (
        f"<soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: {text}</faultstring><detail>"
        f'<sf:{code} xmlns:sf="urn:fault.partner.soap.sforce.com">'
        f"<sf:exceptionCode>{code}</sf:exceptionCode><sf:exceptionMessage>{text}</sf:exceptionMessage></sf:{code}></detail></soapenv:Fault>"
    )
    return soap(body, 500)


__all__ = ["OAuthError", "local", "open_session", "parse_xml", "register", "session_user", "soap", "soap_fault"]
