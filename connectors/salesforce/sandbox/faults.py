"""Fault rules: what goes wrong, for which calls or records, how often. Set through the control API, shared by all worker processes.

A rule is a JSON object. `kind` says what happens, the matchers limit it, `count` (default 1, null = for ever), `skip` and `probability` say how
often:

- `http`: the call is answered with a refusal. `body` names one of `BODIES`, or `status` with `code` and `message`.
- `delay`: `seconds` before the call is handled. `reset`: the connection drops, `when` = `before` or `after` the work is done.
- `truncate`: the answer stops half way. `drop_header`: `header` is left out of the answer. `clock_skew`: the Date header is off by `seconds`.
- `row_error`: records are refused with `code`, `message`, `fields`; `share` (0 … 1) of the records by id, `attempts` times for each record.
- `validation`: a rule on `field` of `object` refuses rows that set it (to one of `values`, if given) with `message`.
- `late_commit`: writes answer as usual and become visible `seconds` later with the older stamps.
- `control`: before the call is handled, the control call `name` is made with `body` (a person edits, an admin hides a field, accounts merge …).
- `bulk_job`: a Bulk job ends as `state` with `message`, or hangs (`state` = `InProgress`).
- `slow_query`: a REST query of `object` that finds more than `max_rows` records is refused with QUERY_TIMEOUT.

Matchers: `method`, `path` (regular expression on the URL path), `call` (a kind of the statistics), `object`, `ids` (record ids), `query` (regular
expression on the unquoted query string).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.salesforce.sandbox.errors import RowError
from connectors.salesforce.sandbox.side import Side
from connectors.sandbox_kit.faults import FaultRules, Rule, matches, shares

KINDS = frozenset(
    {"http", "delay", "reset", "truncate", "drop_header", "clock_skew", "row_error", "validation", "late_commit", "bulk_job", "slow_query", "control"}
)
HTML = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
# name → status, error code, message; no code = an HTML page
BODIES: dict[str, tuple[int, str | None, str]] = {
    "session_expired": (401, "INVALID_SESSION_ID", "Session expired or invalid"),
    "total_requests": (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    "concurrent_requests": (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."),
    "api_disabled": (403, "API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner"),
    "storage_limit": (403, "STORAGE_LIMIT_EXCEEDED", "storage limit exceeded"),
    "maintenance": (503, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "Updates can't be made during maintenance."),
    "html_503": (503, None, "We are down for maintenance."),
    "html_502": (502, None, "Bad Gateway"),
    "html_420": (420, None, "We are setting things up."),
    "empty_503": (503, None, ""),
    "server_unavailable": (503, "SERVER_UNAVAILABLE", "Server Unavailable"),
    "unknown_exception": (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId if you contact support: 1234-5678"),
    "query_timeout": (400, "QUERY_TIMEOUT", "Your query request was running for too long."),
    "invalid_locator": (400, "INVALID_QUERY_LOCATOR", "invalid query locator"),
}
LOCKED = "unable to obtain exclusive access to this record or 1 records: {id}"


class Faults(FaultRules):
    """The rules in force for this org."""

    def __init__(self, side: Side) -> None:
        super().__init__(side.db, KINDS)

    def add(self, rule: Rule) -> int:
        """Puts a rule in force and returns its number; raises ValueError for a rule that cannot work."""
        if rule.get("kind") == "http" and rule.get("body") not in BODIES and "status" not in rule:
            raise ValueError(f"fault body {rule.get('body')!r} is unknown; known: {', '.join(BODIES)}; or give status, code and message")
        return super().add(rule)

    def row_rules(self, object_name: str) -> list[tuple[int, Rule]]:
        """Rules that may refuse single rows of an object."""
        facts = {"object": object_name}
        return [item for item in self.rules() if item[1]["kind"] in ("row_error", "validation") and matches(item[1], facts)]

    def row_error(self, rules: Sequence[tuple[int, Rule]], record_id: str, values: dict[str, Any]) -> RowError | None:
        """The refusal of one row, if a rule wants it. `values` is keyed by lower-case field name."""
        for key, rule in rules:
            if not _touches(rule, record_id, values):
                continue
            if rule["kind"] == "validation":
                if self.db.write("UPDATE fault SET hits = hits + 1 WHERE id = ?", (key,)):
                    return RowError("FIELD_CUSTOM_VALIDATION_EXCEPTION", str(rule.get("message", "Validation rule")), (str(rule["field"]),))
            elif self.attempt(key, rule, record_id):
                code = str(rule.get("code", "UNABLE_TO_LOCK_ROW"))
                return RowError(code, str(rule.get("message", LOCKED)).format(id=record_id), tuple(rule.get("fields", ())))
        return None


def _touches(rule: Rule, record_id: str, values: dict[str, Any]) -> bool:
    if rule.get("ids") and record_id not in rule["ids"] and record_id[:15] not in rule["ids"]:
        return False
    if not shares(rule, record_id):
        return False
    if rule["kind"] == "validation":
        field = str(rule["field"]).lower()
        return field in values and (not rule.get("values") or values[field] in rule["values"])
    return True
