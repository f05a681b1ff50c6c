"""Usage per tenant and account: which rows count, the windows, the match. Windows end at the feed's last complete day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import pyarrow as pa

from mappings.models import Mappings
from worker.sql import literal, query_sql
from worker.steps._relations import LakeRelations, Moment, any_rows, scalar

_EPOCH = date(1970, 1, 1)
_BLOCK_DAYS = 64


@dataclass(frozen=True)
class Windows:
    """Days that windows end at. `end` null: no event feed covers any complete day."""

    end: date | None
    connected: bool
    users_known: bool = False

    @property
    def month(self) -> date | None:
        """First day of the last calendar month that is over at `end`."""
        if self.end is None:
            return None
        following = self.end + timedelta(days=1)
        return (following.replace(day=1) - timedelta(days=1)).replace(day=1)

    @property
    def prev_month(self) -> date | None:
        return None if self.month is None else (self.month - timedelta(days=1)).replace(day=1)

    @property
    def month_end(self) -> date | None:
        return None if self.month is None else (self.month + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def load_catalogue(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> None:
    """Temp tables j_product (one row per product of products.yml) and j_feature (product, feature, kind core | advanced, bit of a core one)."""
    products = mappings.products.products
    rows = [
        {
            "product": p.code, "title_en": p.title.en, "title_ja": p.title.ja, "onboarding_days": p.onboarding_days, "plans": list(p.plans),
            "has_core": bool(p.core_features), "has_advanced": bool(p.advanced_features), "sell": p.sell, "embedded": p.embedded, "place": i,
            "team_en": p.team.en if p.team else None, "team_ja": p.team.ja if p.team else None,
        }
        for i, p in enumerate(products)
    ]  # fmt: skip
    kinds = {"product": "VARCHAR", "title_en": "VARCHAR", "title_ja": "VARCHAR", "onboarding_days": "BIGINT", "plans": "VARCHAR[]"}
    kinds |= {
        "team_en": "VARCHAR",
        "team_ja": "VARCHAR",
        "has_core": "BOOLEAN",
        "has_advanced": "BOOLEAN",
        "sell": "BOOLEAN",
        "embedded": "BOOLEAN",
        "place": "BIGINT",
    }
    _table(con, "j_product", rows, kinds)
    features = [
        {"product": p.code, "feature": f, "kind": k, "bit": 1 << i if k == "core" else None}
        for p in products
        for k, fs in _kinds(p.core_features, p.advanced_features)
        for i, f in enumerate(fs)
    ]
    _table(con, "j_feature", features, {"product": "VARCHAR", "feature": "VARCHAR", "kind": "VARCHAR", "bit": "UBIGINT"})


def _kinds(core: list[str], advanced: list[str]) -> list[tuple[str, list[str]]]:
    return [("core", core), ("advanced", [f for f in advanced if f not in core])]


def _table(con: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Mapping[str, object]], kinds: dict[str, str]) -> None:
    typed = ", ".join(f"CAST({c} AS {t}) AS {c}" for c, t in kinds.items())
    if not rows:
        con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT " + ", ".join(f"NULL::{t} AS {c}" for c, t in kinds.items()) + " WHERE false")
        return
    con.register("given_rows", pa.Table.from_pylist(list(rows)))
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {typed} FROM given_rows")
    con.unregister("given_rows")


def names(mappings: Mappings, column: str) -> bool:
    """Whether an expression or a text of the mappings names a column that is dear to make, and made only then."""
    return column in mappings.model_dump_json(exclude={"crm", "usage", "writeback"})


def _feature_sql(con: duckdb.DuckDBPyConnection, mappings: Mappings, days: str) -> str:
    """What rows of use are kept apart by, besides tenant and product."""
    if names(mappings, "features_14d"):
        return "d.feature"
    unnamed = any_rows(con, f"(SELECT 1 FROM ({days}) WHERE product IS NULL)")  # answered by the parts' statistics where there are none
    return "CASE WHEN d.product IS NULL THEN d.feature END" if unnamed else "CAST(NULL AS VARCHAR)"


def load_usage(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, *, some: bool) -> Windows:
    """Temp tables j_tenant_use, j_user_flag, j_snapshot, j_match, j_tenant, usage_unmatched and the facts per account and product.

    Needs j_account and j_line. `some`: only tenants of those accounts are read.
    """
    sources = [
        {"source": s.name, "kind": s.kind, "replaces": s.replaces, "matches": s.matches, "max_lag_days": s.max_lag_days}
        for s in mappings.usage.values()
    ]
    kinds = {"source": "VARCHAR", "kind": "VARCHAR", "replaces": "VARCHAR", "matches": "VARCHAR", "max_lag_days": "BIGINT"}
    _table(con, "j_source_config", sources, kinds)
    con.execute(query_sql("usage", "sources", usage_file=lake.usage_file, on=literal(moment.on)))
    con.execute(query_sql("usage", "match_keys"))
    tenants = "t.tenant_key IN (SELECT tenant_key FROM j_match)" if some else "true"
    end = scalar(con, "SELECT min(last_day) FROM j_source WHERE kind = 'events' AND last_day >= first_day")
    windows = Windows(end if isinstance(end, date) else None, bool(scalar(con, "SELECT count(*) FROM j_source WHERE kind = 'events'")))
    slots = _slots(lake, windows, moment, tenants)
    con.execute(query_sql("usage", "day_owner", **slots))
    con.execute(query_sql("usage", "tenant_day_owner", **slots))
    con.execute(query_sql("usage", "day_masks"))
    days = days_sql(con, lake, tenants)
    con.execute(query_sql("usage", "tenant_use", **slots, days=days, feature=_feature_sql(con, mappings, days)))
    con.execute(query_sql("usage", "snapshots", **slots))
    con.execute(query_sql("usage", "tenants"))
    con.execute(query_sql("usage", "user_flags", **slots, users=_union(con, "users", lake, slots)))
    features = "count(DISTINCT u.feature) FILTER (used_14d)" if names(mappings, "features_14d") else "CAST(NULL AS BIGINT)"
    for name in ("numbers", "unmatched", "used", "usage_facts", "user_facts", "product_usage_facts", "setup_facts"):
        con.execute(query_sql("usage", name, features=features) if name == "usage_facts" else query_sql("usage", name))
    known = scalar(con, f"SELECT 1 FROM {lake.usage_user_days} LIMIT 1") is not None
    return Windows(windows.end, windows.connected, known)


def days_sql(con: duckdb.DuckDBPyConnection, lake: LakeRelations, tenants: str) -> str:
    """The tenant-day rows that count, over the sources that there are."""
    return _union(con, "days", lake, {"usage_tenant_day": lake.usage_tenant_day, "usage_file": lake.usage_file, "tenants": tenants})


def _union(con: duckdb.DuckDBPyConnection, what: str, lake: LakeRelations, slots: dict[str, str]) -> str:
    """One branch per way of replacing that a source uses, so that the usual one pays for no other."""
    found = con.execute("SELECT source, replaces, last_day FROM j_source WHERE kind = 'events'").fetchall()
    used = {"file" if replaces not in ("day", "tenant_day") else str(replaces) for _, replaces, _ in found}
    if len(found) == 1 and used == {"file"} and not _dead_files(con, lake):
        return query_sql("usage", f"{what}_plain", **slots, source=literal(found[0][0]), feed_day=f"CAST({literal(found[0][2])} AS DATE)")
    return " UNION ALL ".join(query_sql("usage", f"{what}_{name}", **slots) for name in ("file", "day", "tenant_day") if name in (used or {"file"}))


def _dead_files(con: duckdb.DuckDBPyConnection, lake: LakeRelations) -> bool:
    """Rows of replaced files, or of sources no longer declared, still lie in the lake."""
    live = f"SELECT file_id FROM {lake.usage_file} AS f JOIN j_source AS s ON s.source = f.source"
    return any_rows(con, f"(SELECT 1 FROM {lake.usage_file_days} WHERE file_id NOT IN ({live}))")


def _slots(lake: LakeRelations, windows: Windows, moment: Moment, tenants: str) -> dict[str, str]:
    end = windows.end or moment.on
    blocks = [(end - timedelta(days=55) - _EPOCH).days // _BLOCK_DAYS, (end - _EPOCH).days // _BLOCK_DAYS]
    return {
        "usage_tenant_day": lake.usage_tenant_day, "usage_user_days": lake.usage_user_days, "usage_file_days": lake.usage_file_days,
        "usage_snapshot": lake.usage_snapshot, "usage_file": lake.usage_file, "tenants": tenants, "on": literal(moment.on), "end": literal(end),
        "month": literal(windows.month or end), "month_end": literal(windows.month_end or end), "prev_month": literal(windows.prev_month or end),
        "first_block": str(blocks[0]), "last_block": str(blocks[1]),
        "mask_28d": _mask_sql(end - timedelta(days=27), end), "mask_prev": _mask_sql(end - timedelta(days=55), end - timedelta(days=28)),
        "mask_14d": _mask_sql(end - timedelta(days=13), end),
    }  # fmt: skip


def _mask_sql(first: date, last: date) -> str:
    """Bits of the days from `first` to `last` inside the row's `block`, as a CASE over the blocks that the window touches."""
    cases = []
    for block in range((first - _EPOCH).days // _BLOCK_DAYS, (last - _EPOCH).days // _BLOCK_DAYS + 1):
        low = max((first - _EPOCH).days - block * _BLOCK_DAYS, 0)
        high = min((last - _EPOCH).days - block * _BLOCK_DAYS, _BLOCK_DAYS - 1)
        mask = ((1 << (high - low + 1)) - 1) << low
        cases.append(f"WHEN {block} THEN CAST({mask} AS UBIGINT)")
    return f"(CASE block {' '.join(cases)} ELSE CAST(0 AS UBIGINT) END)"
