"""What stays out of record transactions: clock, settings, counters, tokens, rate windows. A second SQLite file."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from connectors.sandbox_kit.store import Database

DDL = """
CREATE TABLE IF NOT EXISTS counter (kind TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS setting (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS clock (offset REAL, frozen REAL);
CREATE TABLE IF NOT EXISTS token (token TEXT PRIMARY KEY, kind TEXT, app TEXT, scopes TEXT, expires REAL, revoked INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hit (bucket TEXT, slot INTEGER, n INTEGER, PRIMARY KEY (bucket, slot)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS app (id TEXT PRIMARY KEY, client_id TEXT, client_secret TEXT, tokens TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS daily (day TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID
"""
# name → default. A "?" in the comment marks what the reference leaves unconfirmed.
SETTINGS: dict[str, Any] = {
    "limits": True,  # off for benchmarks
    "burst_limit": 190,  # calls of one app in 10 s (Free 100, Professional 190, with the increase 250)
    "oauth_burst_limit": 110,
    "daily_limit": 625_000,
    "search_limit": 5,  # searches a second in the whole account
    "other_burst": 0,  # calls in 10 s that another part of the same app makes all the time
    "other_search": 0,  # searches a second of other apps
    "retry_after": False,  # whether 429 answers carry Retry-After (?)
    "timezone": "Asia/Tokyo",
    "currency": "USD",
    "token_seconds": 1800,
    "index_lag_seconds": 0.0,  # real accounts: some seconds, up to 60
    "property_delay_seconds": 0.0,  # real accounts: 0.25 to 0.7
    "rollup_delay_seconds": 0.0,
    "shuffle": True,  # batch results in another order than the inputs
    "association_page": 500,  # (?)
    "history_limit": 20,  # (?)
    "null_clears": False,  # null in a write is ignored, or clears (?)
    "numbers_tolerated": True,  # JSON numbers as property values (?)
    "noop_bumps_modified": True,  # writing the stored value moves the stamp (?)
    "restore_bumps_modified": True,  # (?)
    "update_trace_ids": True,  # batch update gives 207 with objectWriteTraceId (?)
    "merge_mints_id": True,  # a merge makes a new id, or keeps the primary's (?)
    "unique_conflict": 409,  # or 400 (?)
    "repeat_delete": 204,  # or 404 (?)
    "read_archived": 404,  # GET of an archived record: 404 or 200 (?)
    "read_only_write": 405,  # or 404 (?)
    "group_missing": 400,  # or 404 (?)
    "group_exists": 409,  # or 400 (?)
    "search_unknown_property": 400,  # or 200 with nothing found (?)
    "conditional_rules": True,  # 2026-09 enforces the account's required properties
    "scopes_on_top": False,  # 403 names missing scopes in a context of its own, as older answers do (?)
    "properties_in_use": [],  # "companies.health_score": workflows or lists use them, so they cannot be archived
    "import_seconds": 0.0,
    "export_seconds": 0.0,
    "webhook_auto": True,  # events are sent by themselves
    "webhook_signatures": "v1,v3",  # private apps: v1 seen, v3 in addition (?)
    "webhook_retry_seconds": 60.0,
    "custom_objects": True,  # the account's plan has custom objects
    "leads": True,  # the account's plan has leads
}


class Side:
    """Clock, settings, counters and tokens. Every call is one small transaction of its own."""

    def __init__(self, path: str | Path) -> None:
        self.db = Database(path)
        self.db.script(DDL)
        self.db.write("INSERT INTO clock SELECT 0, NULL WHERE NOT EXISTS (SELECT 1 FROM clock)")

    # -- clock ----------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The sandbox clock (UTC): real time, shifted or stopped through the control API."""
        row = self.db.one("SELECT offset, frozen FROM clock")
        offset, frozen = row if row else (0.0, None)
        if frozen is not None:
            return datetime.fromtimestamp(frozen, UTC)
        return datetime.now(UTC) + timedelta(seconds=offset)

    def set_clock(self, *, now: datetime | None, frozen: bool = False) -> None:
        """Sets the clock (running on from there, or stopped); None returns to real time."""
        if now is None:
            self.db.write("UPDATE clock SET offset = 0, frozen = NULL")
        elif frozen:
            self.db.write("UPDATE clock SET frozen = ?", (now.timestamp(),))
        else:
            self.db.write("UPDATE clock SET offset = ?, frozen = NULL", ((now - datetime.now(UTC)).total_seconds(),))

    def advance_clock(self, seconds: float) -> None:
        """Moves the clock on (or back)."""
        self.db.write("UPDATE clock SET offset = offset + ?, frozen = frozen + ?", (seconds, seconds))

    # -- settings and counters ------------------------------------------------------------------------------------

    def setting(self, key: str) -> Any:
        """A setting changed through the control API, or its default."""
        row = self.db.one("SELECT value FROM setting WHERE key = ?", (key,))
        return orjson.loads(row[0]) if row else SETTINGS[key]

    def settings(self) -> dict[str, Any]:
        """All settings."""
        return SETTINGS | {str(key): orjson.loads(value) for key, value in self.db.read("SELECT key, value FROM setting")}

    def set_setting(self, key: str, value: Any) -> None:
        """Stores a setting; raises ValueError for an unknown name."""
        if key not in SETTINGS:
            raise ValueError(f"unknown setting {key!r}; known: {', '.join(SETTINGS)}")
        self.db.write("INSERT INTO setting VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, orjson.dumps(value).decode()))

    def count(self, kind: str, n: int = 1) -> None:
        """Adds to a counter."""
        if n:
            self.db.write("INSERT INTO counter VALUES (?, ?) ON CONFLICT (kind) DO UPDATE SET n = n + excluded.n", (kind, n))

    def counters(self) -> dict[str, int]:
        """All counters by kind."""
        return {str(kind): int(n) for kind, n in self.db.read("SELECT kind, n FROM counter ORDER BY kind")}

    def reset_counters(self) -> None:
        """Sets every counter to nought; rate windows go on."""
        self.db.write("DELETE FROM counter")

    # -- tokens ---------------------------------------------------------------------------------------------------

    def add_token(self, token: str, kind: str, app: str, scopes: list[str] | None, expires: float | None) -> None:
        """Keeps a token. `kind`: `private`, `access`, `refresh` or `code`; `scopes` None grants everything; `expires` in epoch seconds."""
        self.db.write(
            "INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?, ?, 0)",
            (token, kind, app, None if scopes is None else orjson.dumps(scopes).decode(), expires),
        )

    def token(self, token: str) -> dict[str, Any] | None:
        """A kept token, or None."""
        row = self.db.one("SELECT kind, app, scopes, expires, revoked FROM token WHERE token = ?", (token,))
        if row is None:
            return None
        return {
            "token": token, "kind": row[0], "app": row[1], "scopes": None if row[2] is None else orjson.loads(row[2]), "expires": row[3],
            "revoked": bool(row[4]),
        }  # fmt: skip

    # -- rate windows ---------------------------------------------------------------------------------------------

    def spent(self, bucket: str, seconds: float, now: float | None = None) -> int:
        """Hits of a bucket in the last `seconds`, real time."""
        moment = time.time() if now is None else now
        row = self.db.one("SELECT coalesce(sum(n), 0) FROM hit WHERE bucket = ? AND slot > ?", (bucket, int((moment - seconds) * 20)))
        return int(row[0]) if row else 0

    def hit(self, bucket: str, n: int = 1) -> None:
        """Adds hits to a bucket, in slots of a twentieth of a second."""
        slot = int(time.time() * 20)
        self.db.write("INSERT INTO hit VALUES (?, ?, ?) ON CONFLICT (bucket, slot) DO UPDATE SET n = n + excluded.n", (bucket, slot, n))
        if slot % 20 == 0:
            self.db.write("DELETE FROM hit WHERE slot < ?", (slot - 1200,))

    def used_today(self, day: str) -> int:
        """Calls of the account on a day of its time zone."""
        row = self.db.one("SELECT n FROM daily WHERE day = ?", (day,))
        return int(row[0]) if row else 0

    def use(self, day: str, n: int = 1) -> None:
        """Counts calls towards the daily limit."""
        self.db.write("INSERT INTO daily VALUES (?, ?) ON CONFLICT (day) DO UPDATE SET n = n + excluded.n", (day, n))
