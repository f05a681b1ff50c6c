"""Bearer tokens, OAuth on numbered and dated paths, token information (reference: section 1)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from connectors.hubspot.sandbox.errors import HubSpotError, correlation_id
from connectors.hubspot.sandbox.routing import Context, Reply, Routes
from connectors.hubspot.sandbox.values import iso

if TYPE_CHECKING:
    from connectors.hubspot.sandbox.state import State

JSON = dict[str, Any]
_NONE = (
    "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at "
    "https://developers.hubspot.com/docs/methods/auth/oauth-overview"
)
ALL_SCOPES = [
    "oauth", *(f"crm.objects.{name}.{right}" for name in ("companies", "contacts", "deals", "line_items", "leads", "custom", "owners")
               for right in ("read", "write")), "crm.objects.feedback_submissions.read",
    *(f"crm.schemas.{name}.{right}" for name in ("companies", "contacts", "deals", "custom") for right in ("read", "write")), "tickets",
]  # fmt: skip


def authenticate(state: State, header: str) -> JSON:
    """The bearer token's row; raises the vendor's 401."""
    kind, _, token = header.partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise HubSpotError(401, _NONE, "INVALID_AUTHENTICATION")
    found = state.side.token(token.strip())
    now = state.now().timestamp()
    if found is None or found["kind"] not in ("private", "access") or found["revoked"]:
        days = int(now // 86_400)
        raise _expired(f"expired {days} day(s) ago", 0)
    if found["expires"] is not None and found["expires"] <= now:
        raise _expired(f"expired {int(now - found['expires'])} second(s) ago", int(found["expires"] * 1000))
    return found


def _expired(when: str, at_ms: int) -> HubSpotError:
    stamp = iso(at_ms) if at_ms else "1970-01-01T00:00:00Z"
    return HubSpotError(401, f"The OAuth token used to make this call {when}.", "EXPIRED_AUTHENTICATION", context={"expire time": [stamp]})


class _OAuthError(HubSpotError):
    """Refusals of the token end point: v1 has `status`, newer versions the RFC's `error`."""

    def __init__(self, newer: bool, code: str, rfc: str, message: str) -> None:
        super().__init__(400, message, None)
        self.newer, self.code, self.rfc = newer, code, rfc

    def body(self) -> JSON:
        """The JSON object of the answer."""
        if self.newer:
            return {
                "error": self.rfc,
                "error_description": self.message,
                "status": self.code,
                "message": self.message,
                "correlationId": correlation_id(),
            }
        return {"status": self.code, "message": self.message, "correlationId": correlation_id()}


def token(context: Context) -> Reply:
    """`POST /oauth/{v1|v3|date}/token`: authorization code and refresh token grants. The refresh token stays the same."""
    form = dict(parse_qsl(context.body.decode("utf-8", "replace"), keep_blank_values=True))
    newer = "/oauth/v1/" not in context.url
    side = context.state.side
    app = side.db.one("SELECT id, client_secret FROM app WHERE client_id = ?", (form.get("client_id", ""),))
    if app is None or not secrets.compare_digest(str(app[1]), form.get("client_secret", "")):
        raise _OAuthError(newer, "BAD_CLIENT_ID", "invalid_client", "missing or invalid client id or secret")
    if form.get("grant_type") == "refresh_token":
        refresh = form.get("refresh_token", "")
        found = side.token(refresh)
        if found is None or found["kind"] != "refresh" or found["revoked"] or found["app"] != app[0]:
            raise _OAuthError(newer, "BAD_REFRESH_TOKEN", "invalid_grant", "missing or invalid refresh token")
    elif form.get("grant_type") == "authorization_code":
        found = side.token(form.get("code", ""))
        if found is None or found["kind"] != "code" or found["revoked"] or found["app"] != app[0]:
            raise _OAuthError(newer, "BAD_AUTH_CODE", "invalid_grant", "missing or unknown auth code")
        side.db.write("DELETE FROM token WHERE token = ?", (found["token"],))
        refresh = f"na1-{secrets.token_hex(20)}"
        side.add_token(refresh, "refresh", str(app[0]), found["scopes"], None)
    else:
        raise _OAuthError(newer, "BAD_GRANT_TYPE", "unsupported_grant_type", "missing or unknown grant type")
    side.count("token_refresh")
    return Reply(_issue(context.state, str(app[0]), refresh, found["scopes"], newer))


def _issue(state: State, app: str, refresh: str, scopes: list[str] | None, newer: bool) -> JSON:
    from connectors.hubspot.sandbox.state import PORTAL

    seconds = int(state.setting("token_seconds"))
    access = f"CN{secrets.token_urlsafe(120)}"
    state.side.add_token(access, "access", app, scopes, state.now().timestamp() + seconds)
    body: JSON = {"access_token": access, "refresh_token": refresh, "token_type": "bearer", "expires_in": seconds}
    if newer:
        body |= {"token_use": "access_token", "hub_id": PORTAL, "user_id": 1, "scopes": scopes or ALL_SCOPES}
    return body


def access_token(context: Context) -> Reply:
    """`GET /oauth/v1/access-tokens/{token}`."""
    from connectors.hubspot.sandbox.state import PORTAL

    found = context.state.side.token(context.path["token"])
    if found is None or found["kind"] != "access":
        raise HubSpotError(404, "Access token not found", None)
    left = int(found["expires"] - context.state.now().timestamp())
    return Reply(
        {
            "token": found["token"], "user": "admin@example.com", "hub_domain": "example.com", "scopes": found["scopes"] or ALL_SCOPES,
            "hub_id": PORTAL, "app_id": int(found["app"]), "expires_in": left, "user_id": 1, "token_type": "access",
        }
    )  # fmt: skip


def refresh_token(context: Context) -> Reply:
    """`GET|DELETE /oauth/v1/refresh-tokens/{token}`."""
    from connectors.hubspot.sandbox.state import PORTAL

    side = context.state.side
    found = side.token(context.path["token"])
    if found is None or found["kind"] != "refresh" or found["revoked"]:
        raise HubSpotError(404, "Refresh token not found", None)
    if context.method == "DELETE":
        side.db.write("UPDATE token SET revoked = 1 WHERE token = ?", (found["token"],))
        return Reply(None, 204)
    client = side.db.one("SELECT client_id FROM app WHERE id = ?", (found["app"],))
    return Reply(
        {
            "token": found["token"], "client_id": str(client[0]) if client else "", "hub_id": PORTAL, "hub_domain": "example.com", "user_id": 1,
            "user": "admin@example.com", "scopes": found["scopes"] or ALL_SCOPES, "token_type": "refresh",
        }
    )  # fmt: skip


def by_body(context: Context) -> Reply:
    """`POST /oauth/{v3|date}/token/introspect|revoke`: the token travels in the body."""
    form = dict(parse_qsl(context.body.decode("utf-8", "replace"), keep_blank_values=True))
    side = context.state.side
    found = side.token(form.get("token", ""))
    if context.url.endswith("revoke"):
        side.db.write("UPDATE token SET revoked = 1 WHERE token = ?", (form.get("token", ""),))
        return Reply(None, 204)
    alive = found is not None and not found["revoked"] and (found["expires"] is None or found["expires"] > context.state.now().timestamp())
    return Reply({"active": alive} | ({"token_use": f"{found['kind']}_token", "scopes": found["scopes"] or ALL_SCOPES} if found and alive else {}))


def private_app(context: Context) -> Reply:
    """`POST /oauth/v2/private-apps/get/access-token-info`."""
    from connectors.hubspot.sandbox.state import PORTAL

    found = context.state.side.token(str(context.json_object().get("tokenKey", "")))
    if found is None or found["kind"] != "private":
        raise HubSpotError(404, "Access token not found", None)
    return Reply({"userId": 1, "hubId": PORTAL, "appId": int(found["app"]), "scopes": found["scopes"] or ALL_SCOPES})


def register(routes: Routes) -> None:
    """The paths of this module."""
    for version in ("v1", "v3"):
        routes.add("POST", f"/oauth/{version}/token", token, kind="oauth", login=False)
    routes.add("GET", "/oauth/v1/access-tokens/{token}", access_token, kind="oauth", login=False)
    routes.add("GET", "/oauth/v1/refresh-tokens/{token}", refresh_token, kind="oauth", login=False)
    routes.add("DELETE", "/oauth/v1/refresh-tokens/{token}", refresh_token, kind="oauth", login=False)
    for action in ("introspect", "revoke"):
        routes.add("POST", f"/oauth/v3/token/{action}", by_body, kind="oauth", login=False)
    routes.add("POST", "/oauth/v2/private-apps/get/access-token-info", private_app, kind="oauth", login=False)
