"""Fault rules shared by all worker processes of a sandbox: which calls or records they match, how often they fire.

A rule is a JSON object with a `kind`; the matchers limit it, `count` (default 1, null = for ever), `skip` and `probability` say how often.
Matchers: `method`, `path` (regular expression on the URL path), `call` (a kind of the statistics), `object`, `ids` (record ids), `query`
(regular expression on the unquoted query string). What a kind does is the sandbox's own business.
"""

from __future__ import annotations

import random
import re
import zlib
from typing import Any

import orjson

from connectors.sandbox_kit.store import Database

Rule = dict[str, Any]
DDL = """
CREATE TABLE IF NOT EXISTS fault (id INTEGER PRIMARY KEY AUTOINCREMENT, rule TEXT, skip INTEGER, remaining INTEGER, hits INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS fault_version (n INTEGER);
CREATE TABLE IF NOT EXISTS fault_row (rule INTEGER, record TEXT, n INTEGER, PRIMARY KEY (rule, record)) WITHOUT ROWID
"""


class FaultRules:
    """The rules in force. Reading costs one look at a version number while nothing changes."""

    def __init__(self, db: Database, kinds: frozenset[str]) -> None:
        self.db = db
        self.kinds = kinds
        self.db.script(DDL)
        self.db.write("INSERT INTO fault_version SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM fault_version)")
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
        if rule.get("kind") not in self.kinds:
            raise ValueError(f"fault kind {rule.get('kind')!r} is unknown; known: {', '.join(sorted(self.kinds))}")
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
        """The rules of these kinds that match the facts (`method`, `path`, `call`, `object`, `query`) and fire now; each firing is used up."""
        return [rule for key, rule in self.rules() if rule["kind"] in kinds and matches(rule, facts) and self.fire(key, rule)]

    def fire(self, key: int, rule: Rule) -> bool:
        """Uses up one firing; False when the rule is spent, skipped, or chance was against it."""
        probability = rule.get("probability")
        if probability is not None and random.random() >= float(probability):
            return False
        if rule.get("skip") and self.db.write("UPDATE fault SET skip = skip - 1 WHERE id = ? AND skip > 0", (key,)):
            return False
        sql = "UPDATE fault SET remaining = remaining - 1, hits = hits + 1 WHERE id = ? AND (remaining IS NULL OR remaining > 0)"
        return self.db.write(sql, (key,)) > 0

    def attempt(self, key: int, rule: Rule, record_id: str) -> bool:
        """Like `fire` for one record: with `attempts` set, the first so many tries of each record fire."""
        limit = rule.get("attempts")
        if limit is None:
            return self.fire(key, {**rule, "probability": None})
        with self.db.transaction():
            self.db.write("INSERT INTO fault_row VALUES (?, ?, 1) ON CONFLICT (rule, record) DO UPDATE SET n = n + 1", (key, record_id))
            row = self.db.one("SELECT n FROM fault_row WHERE rule = ? AND record = ?", (key, record_id))
            fires = row is not None and int(row[0]) <= int(limit)
            if fires:
                self.db.write("UPDATE fault SET hits = hits + 1 WHERE id = ?", (key,))
        return fires


def matches(rule: Rule, facts: dict[str, Any]) -> bool:
    """Whether a rule is about a call with these facts."""
    for name in ("method", "call", "object"):
        if rule.get(name) is not None and name in facts and str(rule[name]).lower() != str(facts[name]).lower():
            return False
    for name in ("path", "query"):
        if rule.get(name) and name in facts and not re.search(str(rule[name]), str(facts[name])):
            return False
    # A call as a whole is about an object when its path names it.
    if rule.get("object") and "object" not in facts:
        return f"/{str(rule['object']).lower()}" in str(facts.get("path", "")).lower()
    return True


def shares(rule: Rule, record_id: str) -> bool:
    """Whether a record belongs to the rule's `share` (0 … 1) of all records."""
    return rule.get("share") is None or zlib.crc32(record_id.encode()) % 10_000 < float(rule["share"]) * 10_000
