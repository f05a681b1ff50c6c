"""What must outlive or stay out of record transactions: counters, sessions, query locators. A second SQLite file."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import orjson

from connectors.salesforce.sandbox.ids import checksum
from connectors.sandbox_kit.store import Database

DDL = """
CREATE TABLE IF NOT EXISTS counter (kind TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS setting (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS session (token TEXT PRIMARY KEY, user_id TEXT, app TEXT, issued REAL, used REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refresh (token TEXT PRIMARY KEY, user_id TEXT, app TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS locator (id TEXT PRIMARY KEY, user_id TEXT, created REAL, payload TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS usage (hour INTEGER PRIMARY KEY, n INTEGER NOT NULL)
"""


class Side:
    """Counters and short-lived things. Every call is one small transaction of its own."""

    def __init__(self, path: str | Path) -> None:
        self.db = Database(path)
        self.db.script(DDL)

    def count(self, kind: str, n: int = 1) -> None:
        """Adds to a counter."""
        self.db.write("INSERT INTO counter VALUES (?, ?) ON CONFLICT (kind) DO UPDATE SET n = n + excluded.n", (kind, n))

    def count_many(self, counts: dict[str, int]) -> None:
        """Adds to several counters in one transaction."""
        with self.db.transaction():
            for kind, n in counts.items():
                self.count(kind, n)

    def counters(self) -> dict[str, int]:
        """All counters by kind."""
        return {str(kind): int(n) for kind, n in self.db.read("SELECT kind, n FROM counter ORDER BY kind")}

    def reset_counters(self) -> None:
        """Sets every counter to nought; the daily API usage goes on."""
        self.db.write("DELETE FROM counter")

    def use(self, kind: str, calls: int, now: float) -> None:
        """Counts a request by kind and, for counted ones, towards the daily limit."""
        with self.db.transaction():
            self.count(kind)
            if calls:
                self.db.write("INSERT INTO usage VALUES (?, ?) ON CONFLICT (hour) DO UPDATE SET n = n + excluded.n", (int(now // 3600), calls))

    def usage(self, now: float) -> int:
        """API requests of the last 24 hours, by all apps together."""
        hour = int(now // 3600)
        row = self.db.one("SELECT coalesce(sum(n), 0) FROM usage WHERE hour > ? AND hour <= ?", (hour - 24, hour))
        return int(row[0]) if row else 0

    def setting(self, key: str, default: str) -> str:
        """A setting changed through the control API, or its default."""
        row = self.db.one("SELECT value FROM setting WHERE key = ?", (key,))
        return str(row[0]) if row else default

    def set_setting(self, key: str, value: str) -> None:
        """Stores a setting."""
        self.db.write("INSERT INTO setting VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value))

    def save_locator(self, user_id: str, payload: dict[str, Any], now: float) -> str:
        """Keeps a query cursor; the 18-character `01g…` id names it in any worker process."""
        id15 = "01g5e" + "".join(secrets.choice("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") for _ in range(10))
        locator = id15 + checksum(id15)
        self.db.write("INSERT INTO locator VALUES (?, ?, ?, ?)", (locator, user_id, now, orjson.dumps(payload).decode()))
        return locator

    def load_locator(self, locator: str, user_id: str, now: float, life_seconds: float) -> dict[str, Any] | None:
        """A kept cursor of this user, or None when unknown or older than `life_seconds`."""
        row = self.db.one("SELECT payload FROM locator WHERE id = ? AND user_id = ? AND created > ?", (locator, user_id, now - life_seconds))
        payload: dict[str, Any] | None = orjson.loads(row[0]) if row else None
        return payload
