"""Rate limits: a rolling ten-second window per app, a search limiter and a daily count per account (reference: section 6.3).

Windows run on real time: a client waits for real seconds, whatever the sandbox clock says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.hubspot.sandbox.errors import correlation_id

if TYPE_CHECKING:
    from connectors.hubspot.sandbox.routing import Route
    from connectors.hubspot.sandbox.state import State

JSON = dict[str, Any]
WINDOW = 10.0
POLICIES = {"TEN_SECONDLY_ROLLING": "ten_secondly_rolling", "SECONDLY": "secondly", "DAILY": "daily"}


class RateLimited(Exception):
    """A call over a limit. Not a HubSpotError: its body has another shape."""

    def __init__(self, policy: str, headers: dict[str, str]) -> None:
        super().__init__(policy)
        self.policy = policy
        self.headers = headers

    def body(self) -> JSON:
        """The 429 body: `errorType`, no `category`."""
        return {
            "status": "error", "message": f"You have reached your {POLICIES[self.policy]} limit.", "errorType": "RATE_LIMIT",
            "correlationId": correlation_id(), "policyName": self.policy, "groupName": "publicapi:private-apps:api-calls",
            "requestId": correlation_id(),
        }  # fmt: skip


def admit(state: State, route: Route, token: JSON) -> dict[str, str]:
    """Counts one call and returns its rate headers; raises RateLimited instead of counting."""
    side = state.side
    with side.db.transaction():
        day = state.today()
        used = side.used_today(day)
        settings = side.settings()
        enforced = bool(settings["limits"])
        oauth = token.get("kind") == "access"
        headers: dict[str, str] = {}
        if enforced and not oauth and used >= settings["daily_limit"]:
            raise _refused("DAILY", settings, 3600)
        if route.search:
            if enforced and side.spent("search", 1.0) + settings["other_search"] >= settings["search_limit"]:
                raise _refused("SECONDLY", settings, 1)
            side.hit("search")
        else:
            headers = _burst(state, settings, token, enforced)
        side.use(day)
        if not route.search and not oauth:
            headers |= {
                "X-HubSpot-RateLimit-Daily": str(settings["daily_limit"]),
                "X-HubSpot-RateLimit-Daily-Remaining": str(max(0, settings["daily_limit"] - used - 1)),
            }
    return headers


def _burst(state: State, settings: JSON, token: JSON, enforced: bool) -> dict[str, str]:
    limit = int(settings["oauth_burst_limit" if token.get("kind") == "access" else "burst_limit"])
    bucket = f"burst {token.get('app')}"
    spent = state.side.spent(bucket, WINDOW) + int(settings["other_burst"])
    if enforced and spent >= limit:
        raise _refused("TEN_SECONDLY_ROLLING", settings, 10, _headers(limit, 0))
    state.side.hit(bucket)
    return _headers(limit, max(0, limit - spent - 1))


def _headers(limit: int, left: int) -> dict[str, str]:
    return {
        "X-HubSpot-RateLimit-Interval-Milliseconds": "10000", "X-HubSpot-RateLimit-Max": str(limit), "X-HubSpot-RateLimit-Remaining": str(left),
        "X-HubSpot-RateLimit-Secondly": str(limit // 10), "X-HubSpot-RateLimit-Secondly-Remaining": str(min(limit // 10, left)),
    }  # fmt: skip


def _refused(policy: str, settings: JSON, seconds: int, headers: dict[str, str] | None = None) -> RateLimited:
    return RateLimited(policy, (headers or {}) | ({"Retry-After": str(seconds)} if settings["retry_after"] else {}))
