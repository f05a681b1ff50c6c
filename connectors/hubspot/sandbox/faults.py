"""Fault rules: what goes wrong, for which calls or records, how often. Set through the control API, shared by all worker processes.

Matchers and counting: `connectors.sandbox_kit.faults`. Kinds:

- `http`: the call is answered with a refusal. `body` names one of `BODIES`, or `status` with `category` and `message`; `retry_after` adds the header.
- `delay`: `seconds` before the call is handled. `reset`: the connection drops, `when` = `before` or `after` the work is done.
- `truncate`: the work is done, the answer stops half way. `cut`: the same, but as a complete HTTP answer whose JSON is cut.
- `empty`: 200 without a body. `drop_header`: `header` is left out of the answer.
- `row_error`: records are refused with `code`, `message`, `property`; `ids` or a `share` (0 … 1) of the records, `attempts` times for each.
- `validation`: an admin's rule on `property` of `object` refuses rows that set it (to one of `values`, if given) with `message`.
- `control`: before the call is handled, the control call `name` is made with `body` (a person edits, records merge, a property goes …).
"""

from __future__ import annotations

from typing import Any

from connectors.hubspot.sandbox.errors import BadValue, correlation_id
from connectors.sandbox_kit.faults import FaultRules, Rule, matches, shares
from connectors.sandbox_kit.store import Database

JSON = dict[str, Any]
KINDS = frozenset({"http", "delay", "reset", "truncate", "cut", "empty", "drop_header", "row_error", "validation", "control"})
CALL_KINDS = ("http", "delay", "reset", "truncate", "cut", "empty", "drop_header", "control")
HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr><center>cloudflare</center></body></html>"
_RATE = "You have reached your {} limit."
# name → status, keys of the JSON body (None: an HTML page with that title)
BODIES: dict[str, tuple[int, JSON | None, str]] = {
    "burst": (429, {"errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}, _RATE.format("ten_secondly_rolling")),
    "secondly": (429, {"errorType": "RATE_LIMIT", "policyName": "SECONDLY"}, _RATE.format("secondly")),
    "daily": (429, {"errorType": "RATE_LIMIT", "policyName": "DAILY"}, _RATE.format("daily")),
    "locked": (423, {}, "The resource is locked: too many concurrent writes. Please retry after 2 seconds."),
    "migration": (477, {}, "This account is being migrated between data hosting locations."),
    "expired": (401, {"category": "EXPIRED_AUTHENTICATION"}, "The OAuth token used to make this call expired 75 second(s) ago."),
    "no_token": (401, {"category": "INVALID_AUTHENTICATION"}, "Authentication credentials not found."),
    "scopes": (403, {"category": "MISSING_SCOPES"}, "One or more of the following scopes are required."),
    "internal": (500, {}, "internal error"),
    "unavailable": (503, {}, "The service is temporarily unavailable."),
    "html_502": (502, None, "502 Bad Gateway"),
    "html_503": (503, None, "503 Service Unavailable"),
    "html_504": (504, None, "504 Gateway Time-out"),
    "html_521": (521, None, "521 Web server is down"),
    "html_524": (524, None, "524 A timeout occurred"),
}


class Faults(FaultRules):
    """The rules in force for this account."""

    def __init__(self, db: Database) -> None:
        super().__init__(db, KINDS)

    def add(self, rule: Rule) -> int:
        """Puts a rule in force and returns its number; raises ValueError for a rule that cannot work."""
        if rule.get("kind") == "http" and rule.get("body") not in BODIES and "status" not in rule:
            raise ValueError(f"fault body {rule.get('body')!r} is unknown; known: {', '.join(BODIES)}; or give status and message")
        return super().add(rule)

    def row_rules(self, *names: str) -> list[tuple[int, Rule]]:
        """Rules that may refuse single records of a type, known by any of these names."""
        found = [item for item in self.rules() if item[1]["kind"] in ("row_error", "validation")]
        return [item for item in found if "object" not in item[1] or any(matches(item[1], {"object": name}) for name in names)]

    def row_error(self, rules: list[tuple[int, Rule]], record_id: str, values: dict[str, Any]) -> BadValue | None:
        """The refusal of one row, if a rule wants it."""
        for key, rule in rules:
            if (rule.get("ids") and record_id not in rule["ids"]) or not shares(rule, record_id):
                continue
            name = str(rule.get("property", next(iter(values), "")))
            if rule["kind"] == "validation":
                hit = name in values and (not rule.get("values") or values[name] in rule["values"])
                # An admin's rule stays until it is taken away, unless a count was asked for.
                if hit and ("count" not in rule or self.fire(key, rule)):
                    return BadValue(name, str(rule.get("code", "VALIDATION_RULE")), str(rule.get("message", f"{name} breaks a rule of this account")))
            elif self.attempt(key, rule, record_id):
                return BadValue(name, str(rule.get("code", "INVALID_OPTION")), str(rule.get("message", "refused by a fault rule")))
        return None


def fault_body(rule: Rule) -> tuple[int, JSON | str, dict[str, str]]:
    """Status, body and headers of an `http` rule."""
    status, keys, message = BODIES.get(str(rule.get("body")), (500, {}, "internal error"))
    status = int(rule.get("status", status))
    message = str(rule.get("message", message))
    headers = {"Retry-After": str(rule["retry_after"])} if rule.get("retry_after") is not None else {}
    if keys is None or rule.get("html"):
        return status, HTML.format(message), headers
    body: JSON = {"status": "error", "message": message, "correlationId": correlation_id(), **keys}
    if rule.get("category"):
        body["category"] = rule["category"]
    if status == 429:
        body |= {"groupName": "publicapi:private-apps:api-calls", "requestId": correlation_id()}
    return status, body, headers
