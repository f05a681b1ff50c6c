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

import random
import re
import zlib
from collections.abc import Sequence
from typing import Any

import orjson

from connectors.salesforce.sandbox.errors import RowError
from connectors.salesforce.sandbox.side import Side

Rule = dict[str, Any]
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
DDL = "CREATE TABLE IF NOT EXISTS fault_row (rule INTEGER, record TEXT, n INTEGER, PRIMARY KEY (rule, record)) WITHOUT ROWID"


class Faults:
    """The rules in force. Reading costs one look at a version number while nothing changes."""

    def __init__(self, side: Side) -> None:
        self.db = side.db
        self.db.script(DDL)
        self._cache: tuple[int, list[tuple[int, Rule]]] = (-1, [])

    def rules(self) -> list[tuple[int, Rule]]:
        """Rules with their numbers, spent ones included."""
        row = self.db.one("SELECT n FROM fault_version")
        version = int(row[0]) if row else 0
        if self._cache[0] != version:
            self._cache = (version, [(int(key), orjson.loads(text)) for key, text in self.db.read("SELECT id, rule FROM fault ORDER BY id")])
        return self._cache[1]

    def add(self, rule: Rule) -> int:
        """Puts a rule in force and returns its number; raises ValueError for a rule that cannot work."""
        if rule.get("kind") not in KINDS:
            raise ValueError(f"fault kind {rule.get('kind')!r} is unknown; known: {', '.join(sorted(KINDS))}")
        if rule["kind"] == "http" and rule.get("body") not in BODIES and "status" not in rule:
            raise ValueError(f"fault body {rule.get('body')!r} is unknown; known: {', '.join(BODIES)}; or give status, code and message")
        re.compile(str(rule.get("path", "")))
        with self.db.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO fault (rule, skip, remaining) VALUES (?, ?, ?)", (orjson.dumps(rule).decode(), rule.get("skip", 0), rule.get("count", 1))
            )
            connection.execute("UPDATE fault_version SET n = n + 1")
        return int(cursor.lastrowid or 0)

    def clear(self) -> None:
        """Removes every rule."""
        with self.db.transaction() as connection:
            connection.execute("DELETE FROM fault")
            connection.execute("DELETE FROM fault_row")
            connection.execute("UPDATE fault_version SET n = n + 1")

    def listing(self) -> list[Rule]:
        """Each rule with its number, what is left of it and how often it fired."""
        rows = self.db.read("SELECT id, rule, remaining, hits FROM fault ORDER BY id")
        return [{"id": key, **orjson.loads(text), "remaining": remaining, "hits": hits} for key, text, remaining, hits in rows]

    def take(self, *kinds: str, **facts: Any) -> list[Rule]:
        """The rules of these kinds that match the facts (`method`, `path`, `call`, `object`, `id`) and fire now; each firing is used up."""
        return [rule for key, rule in self.rules() if rule["kind"] in kinds and _matches(rule, facts) and self._fire(key, rule)]

    def _fire(self, key: int, rule: Rule) -> bool:
        probability = rule.get("probability")
        if probability is not None and random.random() >= float(probability):
            return False
        if rule.get("skip") and self.db.write("UPDATE fault SET skip = skip - 1 WHERE id = ? AND skip > 0", (key,)):
            return False
        sql = "UPDATE fault SET remaining = remaining - 1, hits = hits + 1 WHERE id = ? AND (remaining IS NULL OR remaining > 0)"
        return self.db.write(sql, (key,)) > 0

    def row_rules(self, object_name: str) -> list[tuple[int, Rule]]:
        """Rules that may refuse single rows of an object."""
        facts = {"object": object_name}
        return [item for item in self.rules() if item[1]["kind"] in ("row_error", "validation") and _matches(item[1], facts)]

    def row_error(self, rules: Sequence[tuple[int, Rule]], record_id: str, values: dict[str, Any]) -> RowError | None:
        """The refusal of one row, if a rule wants it. `values` is keyed by lower-case field name."""
        for key, rule in rules:
            if not _touches(rule, record_id, values):
                continue
            if rule["kind"] == "validation":
                if self.db.write("UPDATE fault SET hits = hits + 1 WHERE id = ?", (key,)):
                    return RowError("FIELD_CUSTOM_VALIDATION_EXCEPTION", str(rule.get("message", "Validation rule")), (str(rule["field"]),))
            elif self._attempt(key, rule, record_id):
                code = str(rule.get("code", "UNABLE_TO_LOCK_ROW"))
                return RowError(code, str(rule.get("message", LOCKED)).format(id=record_id), tuple(rule.get("fields", ())))
        return None

    def _attempt(self, key: int, rule: Rule, record_id: str) -> bool:
        limit = rule.get("attempts")
        if limit is None:
            return self._fire(key, {**rule, "probability": None})
        with self.db.transaction():
            self.db.write("INSERT INTO fault_row VALUES (?, ?, 1) ON CONFLICT (rule, record) DO UPDATE SET n = n + 1", (key, record_id))
            row = self.db.one("SELECT n FROM fault_row WHERE rule = ? AND record = ?", (key, record_id))
            fires = row is not None and int(row[0]) <= int(limit)
            if fires:
                self.db.write("UPDATE fault SET hits = hits + 1 WHERE id = ?", (key,))
        return fires


def _matches(rule: Rule, facts: dict[str, Any]) -> bool:
    for name in ("method", "call", "object"):
        if rule.get(name) is not None and name in facts and str(rule[name]).lower() != str(facts[name]).lower():
            return False
    if rule.get("path") and "path" in facts and not re.search(str(rule["path"]), str(facts["path"])):
        return False
    if rule.get("query") and "query" in facts and not re.search(str(rule["query"]), str(facts["query"])):
        return False
    # A call as a whole is about an object when its path names it.
    if rule.get("object") and "object" not in facts:
        return f"/{str(rule['object']).lower()}" in str(facts.get("path", "")).lower()
    return True


def _touches(rule: Rule, record_id: str, values: dict[str, Any]) -> bool:
    if rule.get("ids") and record_id not in rule["ids"] and record_id[:15] not in rule["ids"]:
        return False
    if rule.get("share") is not None and zlib.crc32(record_id.encode()) % 10_000 >= float(rule["share"]) * 10_000:
        return False
    if rule["kind"] == "validation":
        field = str(rule["field"]).lower()
        return field in values and (not rule.get("values") or values[field] in rule["values"])
    return True
