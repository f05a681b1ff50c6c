"""Small lake tables for tests of the scoring core: one builder per noun, one `Lake` that holds what they build.

Every builder returns the id (or file id) of the row it added; names of arguments are the columns of the table. The instant of the tests is
`AS_OF` (noon in Tokyo on a Tuesday).
"""

import hashlib
import itertools
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from connectors.entities import Entity, columns
from mappings.models import (
    Calendar,
    CsqlPolicy,
    CsqlRule,
    Indicator,
    Mappings,
    Products,
    Profile,
    Scope,
    Score,
    Text,
    UsageSource,
    Writeback,
    WriteField,
)
from worker.store.schemas import SCHEMAS

AS_OF = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
ON = date(2026, 12, 1)
MODIFIED = datetime(2026, 11, 30, 0, 0, tzinfo=UTC)

_EPOCH = date(1970, 1, 1)


def instant(day: date, hour: int = 3) -> datetime:
    """An hour of a day, UTC; 3 is noon in Tokyo."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


class Lake:
    """Rows per table, and the tables themselves once `into` was called."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.own: list[str] = ["override_score", "override_until", "pulse", "onboarding_outcome"]
        self._ids = itertools.count(1)

    def add(self, table: str, **row: Any) -> dict[str, Any]:
        self.rows.setdefault(table, []).append(row)
        return row

    def crm(self, entity: Entity, **row: Any) -> str:
        row = {"connection": "salesforce", "modified_at": MODIFIED, "read_at": MODIFIED, "deleted": False} | row
        row.setdefault("id", f"{entity.value}-{next(self._ids):04d}")
        self.add(f"crm_{entity.value}", **row)
        return str(row["id"])

    def make_account(self, id: str = "A1", **row: Any) -> str:
        return self.crm(Entity.ACCOUNT, **({"id": id, "name": id, "kind": "customer", "segment": "SMB", "match_key": f"t-{id}"} | row))

    def make_contract(self, account_id: str = "A1", **row: Any) -> str:
        base = {
            "account_id": account_id, "contract_number": f"C-{account_id}", "product": "expense", "plan": "standard", "seats": 50, "mrr": 100_000,
            "currency": "JPY", "starts_on": date(2025, 4, 1), "ends_on": date(2027, 3, 31), "term_months": 12, "auto_renew": True, "status": "active",
        }  # fmt: skip
        return self.crm(Entity.CONTRACT, **(base | row))

    def make_activity(self, account_id: str = "A1", on: date = ON - timedelta(days=5), **row: Any) -> str:
        return self.crm(Entity.ACTIVITY, **({"account_id": account_id, "kind": "meeting", "occurred_at": instant(on), "done_at": instant(on)} | row))

    def make_contact(self, account_id: str = "A1", role: str = "operator", **row: Any) -> str:
        return self.crm(Entity.CONTACT, **({"account_id": account_id, "role": role, "active": True} | row))

    def make_ticket(self, account_id: str = "A1", on: date = ON - timedelta(days=10), **row: Any) -> str:
        return self.crm(Entity.TICKET, **({"account_id": account_id, "opened_at": instant(on), "priority": "p3", "escalated": False} | row))

    def make_survey(self, account_id: str = "A1", score: float = 8, on: date = ON - timedelta(days=20), **row: Any) -> str:
        return self.crm(Entity.SURVEY, **({"account_id": account_id, "kind": "nps", "score": score, "occurred_at": instant(on)} | row))

    def make_opportunity(self, account_id: str = "A1", **row: Any) -> str:
        return self.crm(Entity.OPPORTUNITY, **({"account_id": account_id, "kind": "expansion", "closed": False, "product": "expense"} | row))

    def make_outcome(self, account_id: str = "A1", on: date = ON - timedelta(days=30), **row: Any) -> str:
        return self.crm(Entity.OUTCOME, **({"account_id": account_id, "baseline": 100.0, "current_value": 120.0, "occurred_at": instant(on)} | row))

    def make_csql(self, account_id: str = "A1", **row: Any) -> str:
        return self.crm(Entity.CSQL, **({"account_id": account_id, "product": "expense", "state": "Submitted", "created_at": MODIFIED} | row))

    def make_file(self, source: str = "events", first: date = date(2025, 11, 1), last: date = ON - timedelta(days=1), **row: Any) -> str:
        file_id = str(row.pop("file_id", f"f{next(self._ids)}"))
        self.add("usage_file", **({"file_id": file_id, "source": source, "path": f"{file_id}.csv", "first_day": first, "last_day": last} | row))
        for n in range((last - first).days + 1):
            self.add("usage_file_days", file_id=file_id, day=first + timedelta(days=n), rows=1)
        return file_id

    def make_use(
        self,
        file_id: str,
        tenant_key: str,
        day: date,
        users: list[str],
        *,
        product: str | None = "expense",
        feature: str = "claim",
        events: int | None = None,
    ) -> None:
        """One tenant's day: `events` (default one per user) on a feature, by these users."""
        count = len(users) if events is None else events
        self.add(
            "usage_tenant_day", file_id=file_id, tenant_key=tenant_key, product=product, feature=feature, day=day, events=count, seconds=count * 60
        )
        block, bit = divmod((day - _EPOCH).days, 64)
        for user in users:
            digest = int.from_bytes(hashlib.sha256(user.encode()).digest()[:8], "big")
            self.add("usage_user_days", file_id=file_id, tenant_key=tenant_key, product=product, user_hash=digest, block=block, days=1 << bit)

    def make_snapshot(self, file_id: str, tenant_key: str, metric: str, value: float, on: date, product: str | None = "expense") -> None:
        self.add("usage_snapshot", file_id=file_id, tenant_key=tenant_key, product=product, metric=metric, value=value, occurred_at=on)

    def into(self, con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """Creates every lake table, filled or empty."""
        con.execute("SET TimeZone = 'UTC'")
        tables: dict[str, dict[str, str]] = {name: dict(kinds) for name, kinds in SCHEMAS.items()}
        for entity in Entity:
            own = {f"own_{key}": "VARCHAR" for key in self.own} if entity in (Entity.ACCOUNT, Entity.CSQL) else {}
            tables[f"crm_{entity.value}"] = columns(entity) | {"connection": "VARCHAR", "source": "INTEGER"} | own
        tables["usage_file"] = {"file_id": "VARCHAR", "source": "VARCHAR", "path": "VARCHAR", "first_day": "DATE", "last_day": "DATE"}
        for name, kinds in tables.items():
            self._create(con, name, kinds)
        return con

    def _create(self, con: duckdb.DuckDBPyConnection, name: str, kinds: dict[str, str]) -> None:
        typed = ", ".join(f'"{column}" {kind}' for column, kind in kinds.items())
        con.execute(f"CREATE OR REPLACE TABLE {name} ({typed})")
        rows = self.rows.get(name, [])
        unknown = {column for row in rows for column in row} - set(kinds)
        if unknown:
            raise KeyError(f"{name} has no column {sorted(unknown)}")
        if rows:
            filled = [column for column in kinds if any(row.get(column) is not None for row in rows)]
            wide = {column: pa.uint64() for column in filled if kinds[column] == "UBIGINT"}
            table = pa.table({column: pa.array([row.get(column) for row in rows], wide.get(column)) for column in filled})
            con.register("made_rows", table)
            con.execute(f"INSERT INTO {name} BY NAME SELECT * FROM made_rows")
            con.unregister("made_rows")


# --- mappings --------------------------------------------------------------------------------------------------------------------------------------
def make_text(en: str, ja: str | None = None) -> Text:
    return Text(en=en, ja=ja or en)


def make_indicator(name: str, axis: str = "adoption", feed: str = "crm", expression: str = "seats", **row: Any) -> Indicator:
    """An indicator of 0 points at 0 and 100 points at 100, unless told otherwise."""
    base: dict[str, Any] = {
        "name": name, "title": {"en": f"Title {name}", "ja": f"題 {name}"}, "axis": axis, "feed": feed, "hypothesis": "A question worth asking?",
        "unit": "count", "direction": "more_is_better", "null_means": "not known", "expression": expression,
        "mapping": {"kind": "linear", "bad": 0, "good": 100},
        "reasons": {k: {"en": f"{k} {name} {{value:int}}", "ja": f"{w} {name} {{value:int}}"} for k, w in (("low", "低"), ("high", "高"))},
        "missing": {"en": f"no {name}", "ja": f"{name}なし"}, "action": {"en": f"do {name}", "ja": f"{name}を行う"}, "cause": f"cause_{name}",
    }  # fmt: skip
    return Indicator.model_validate(base | row)


def make_profile(name: str = "default", when: str | None = None, **axes: tuple[float, dict[str, float]]) -> Profile:
    """axes: adoption=(45, {"use": 4, "trend": 2}) …"""
    spec = {axis: {"weight": weight, "indicators": indicators} for axis, (weight, indicators) in axes.items()}
    return Profile.model_validate({"name": name, "title": {"en": name, "ja": name}, "when": when, "axes": spec})


def make_rule(name: str = "seats", over: str = "owned", when: str = "product_seats >= 40", **row: Any) -> CsqlRule:
    base: dict[str, Any] = {
        "name": name, "version": 1, "title": {"en": f"Rule {name}", "ja": f"規則 {name}"}, "motion": "seat", "over": over,
        "hypothesis": "They need more of it soon.", "when": when, "approach": "50", "persist_days": 14,
        "need": {"en": "{product_title} needs more", "ja": "{product_title}の追加"}, "why_now": {"en": "since {since_on}", "ja": "{since_on}から"},
    }  # fmt: skip
    return CsqlRule.model_validate(base | row)


def make_mappings(**row: Any) -> Mappings:
    """Mappings with one indicator per axis, no cap, no rule; every part can be given."""
    indicators = [
        make_indicator("seats_held", "deployment", "crm", "seats"),
        make_indicator("events_held", "adoption", "usage", "events_28d"),
        make_indicator("touches_held", "engagement", "activity", "touches_90d * 10"),
    ]
    source: dict[str, Any] = {
        "name": "events", "kind": "events", "glob": "*.csv", "format": "csv",
        "columns": {"tenant_key": "tenant", "product": "product", "user_key": "user", "feature": "feature", "day": "day"},
    }  # fmt: skip
    setup = {
        "name": "setup",
        "kind": "snapshot",
        "glob": "*.csv",
        "format": "csv",
        "replaces": "snapshot",
        "columns": {"tenant_key": "tenant", "metric": "m", "value": "v"},
    }
    profile = make_profile(deployment=(50, {"seats_held": 1}), adoption=(30, {"events_held": 1}), engagement=(20, {"touches_held": 1}))
    features = {"core_features": ["claim"], "advanced_features": ["card"]}
    products = {"products": [
        {"code": "expense", "title": {"en": "Expense", "ja": "経費精算"}, "plans": ["lite", "standard", "pro"], **features},
        {"code": "esign", "title": {"en": "E-sign", "ja": "電子契約"}, "plans": ["lite", "pro"], "onboarding_days": 60},
    ]}  # fmt: skip
    base: dict[str, Any] = {
        "crm": {}, "usage": {"events": UsageSource.model_validate(source), "setup": UsageSource.model_validate(setup)},
        "indicators": {i.name: i for i in indicators}, "score": Score(name="health", profiles=[profile]), "csql": {},
        "policy": CsqlPolicy(gates=[], cooldown_days={"returned": 90, "lost": 90, "declined_twice": 180, "nurture": 45, "expired": 60}),
        "alerts": {}, "products": Products.model_validate(products), "scope": Scope(), "calendar": Calendar(), "writeback": Writeback(fields=[]),
    }  # fmt: skip
    return Mappings.model_validate(base | row)


def make_field(key: str, object: str = "account", type: str = "number", **row: Any) -> WriteField:
    base: dict[str, Any] = {
        "key": key, "object": object, "set": "core", "owner": "worker", "names": {"salesforce": f"CSH_{key}__c"}, "type": type,
        "label": {"en": key, "ja": key}, "meaning": {"en": f"what {key} says", "ja": f"{key}の意味"},
    }  # fmt: skip
    return WriteField.model_validate(base | row)
