"""join: contracts × activities × usage → one row per account, and one per account and product of the catalogue.

Leaves `accounts`, `account_products`, `product_facts`, `feeds`, `usage_unmatched` (parquet) and `reconciliation.json` in the run folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import duckdb

from connectors.entities import Entity
from mappings.columns import ACCOUNT_PRODUCTS, ACCOUNTS
from mappings.models import Mappings
from mappings.snapshot import snapshot
from worker.items import Item, NewItem, Outcome, RunKind, StepContext
from worker.sql import ident, literal, query_sql
from worker.steps import _down
from worker.steps._alert_facts import build_alert_facts
from worker.steps._anomaly import anomalies_asked, build_anomalies, leave_anomalies
from worker.steps._calendar import build_calendar, business_between_sql
from worker.steps._changed import changed_accounts
from worker.steps._churned import churn_note
from worker.steps._crm import HUMAN, build_crm_facts, load_crm
from worker.steps._lake import FACTS, leave, leave_json, moment_of, open_lake
from worker.steps._left import build_left, left_behind, left_words
from worker.steps._merged import inherited_facts
from worker.steps._onboarding import build_onboarding
from worker.steps._pairs import ambiguous_words, matched
from worker.steps._products import build_product_facts, covered_sql
from worker.steps._relations import LakeRelations, Moment, any_rows, columns_of, scalar
from worker.steps._sources import of_connection
from worker.steps._trials import build_trials
from worker.steps._usage import Windows, days_sql, load_catalogue, load_usage, names

#: CRM entity behind each feed that is an entity of its own.
_FEED_ENTITY = {
    "activity": Entity.ACTIVITY, "contact": Entity.CONTACT, "ticket": Entity.TICKET, "survey": Entity.SURVEY,
    "opportunity": Entity.OPPORTUNITY, "outcome": Entity.OUTCOME,
}  # fmt: skip

#: Feeds within activities -> the column they are asked for by, and the kinds that show whether anything of the sort is recorded at all.
_KIND_FEEDS = {"message": ("message_opens_90d", ("email_open",)), "event": ("events_attended_180d", ("webinar", "event"))}


def join_accounts(
    con: duckdb.DuckDBPyConnection,
    lake: LakeRelations,
    mappings: Mappings,
    moment: Moment,
    *,
    only: str | None = None,
    past: bool = False,
    lapsed: Mapping[str, date] | None = None,
) -> dict[str, int]:
    """Temp tables `accounts`, `account_products`, `feeds`, `usage_unmatched`, `calendar`; returns the counts for the reconciliation.

    `only`: a relation with the account ids of an increment (their rows equal a full run's; the frozen population values of the last full run
    are used). `past`: a date that is over and scored again. `lapsed`: feeds whose connection has been out of reach for too long, and their last day.
    """
    build_calendar(con, mappings.calendar, moment.on - timedelta(days=500), moment.on + timedelta(days=120))
    load_catalogue(con, mappings)
    load_crm(con, lake, only)
    lake = inherited_facts(con, lake, mappings.calendar.timezone)
    build_crm_facts(con, moment, past=past)
    windows = load_usage(con, lake, mappings, moment, some=only is not None)
    build_onboarding(con, lake, mappings, moment)
    connected = _build_feeds(con, lake, mappings, moment, windows, lapsed or {})
    build_anomalies(con, lake, mappings, moment, windows, past=past or not anomalies_asked(mappings), some=only is not None)
    build_alert_facts(con, mappings, moment)
    build_trials(con, moment)
    con.execute(query_sql("join", "accounts", **_account_slots(mappings, moment, windows, connected), **_scope_slots(mappings, only)))
    if only is not None:  # which tenants belong to nobody is a question for full runs
        con.execute("DELETE FROM usage_unmatched")
    _build_products(con, lake, connected, population=only is None)
    build_product_facts(con, mappings, _account_slots(mappings, moment, windows, connected)["business_prev"])
    return _counts(con, lake, windows)


def _build_feeds(
    con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, windows: Windows, lapsed: Mapping[str, date]
) -> dict[str, bool]:
    """Table `feeds` (feed, connected, as_of_on, late). Connected = it brought any row ever; usage and set-up exports can be late, and what lapsed."""
    connected = {"crm": True, "usage": windows.connected}
    connected |= {feed: any_rows(con, lake.crm[entity]) for feed, entity in _FEED_ENTITY.items()}
    connected |= _kind_feeds(con, lake.crm[Entity.ACTIVITY], mappings)
    accounts = lake.crm[Entity.ACCOUNT]
    filled = [f"own_{key} IS NOT NULL" for key in HUMAN if f"own_{key}" in columns_of(con, accounts)]
    connected["human"] = bool(filled) and any_rows(con, f"(SELECT 1 FROM {accounts} WHERE {' OR '.join(filled)})")
    setup = scalar(con, "SELECT max(last_day) FROM j_source WHERE kind = 'snapshot'")
    connected["setup"] = any_rows(con, f"(SELECT 1 FROM {lake.usage_snapshot} WHERE metric IN ('setup_steps_done', 'setup_steps_total'))")
    late = {
        "usage": f"SELECT bool_or(last_day IS NULL OR {literal(moment.on)} - last_day > max_lag_days) FROM j_source WHERE kind = 'events'",
        "setup": f"SELECT bool_or(last_day IS NULL OR {literal(moment.on)} - last_day > max_lag_days) FROM j_source WHERE kind = 'snapshot'",
    }
    late |= dict.fromkeys(lapsed, "SELECT true")
    days = {"usage": windows.end, "setup": setup, **lapsed}
    rows = [
        f"SELECT {literal(feed)} AS feed, {literal(on)} AS connected, CAST({literal(days.get(feed, moment.on))} AS DATE) AS as_of_on, "  # type: ignore[arg-type]
        f"coalesce(({late[feed] if feed in late and on else 'false'}), false) AS late"
        for feed, on in connected.items()
    ]
    con.execute("CREATE OR REPLACE TEMP TABLE feeds AS " + " UNION ALL ".join(rows))
    return connected


def _kind_feeds(con: duckdb.DuckDBPyConnection, activities: str, mappings: Mappings) -> dict[str, bool]:
    """The feeds of _KIND_FEEDS that the mappings ask about, and whether any activity of their kinds was ever read."""
    named = snapshot(mappings)
    asked = {feed: kinds for feed, (column, kinds) in _KIND_FEEDS.items() if column in named}
    return {feed: any_rows(con, f"(SELECT 1 FROM {activities} WHERE kind IN ({', '.join(map(literal, kinds))}))") for feed, kinds in asked.items()}


def _account_slots(mappings: Mappings, moment: Moment, windows: Windows, connected: dict[str, bool]) -> dict[str, str]:
    end = windows.end
    back = {n: literal(end - timedelta(days=n)) if end else "NULL" for n in (27, 28, 55)}
    slots = {f"has_{feed}": literal(connected.get(feed, False)) for feed in (*_FEED_ENTITY, *_KIND_FEEDS)}
    return slots | {
        "as_of": literal(moment.as_of), "on": literal(moment.on), "end": f"CAST({literal(end)} AS DATE)",
        "month": f"CAST({literal(windows.month)} AS DATE)", "prev_month": f"CAST({literal(windows.prev_month)} AS DATE)",
        "usage_connected": literal(windows.connected), "users_known": literal(windows.users_known),
        "renewal_days": literal(mappings.calendar.renewal_days),
        "business_28d": business_between_sql(back[27], literal(end)), "business_prev": business_between_sql(back[55], back[28]),
        "override_days": str(mappings.score.override_days),
        "by_feature": literal(names(mappings, "features_14d")),
        "core": query_sql("join", "core_unused", covered=covered_sql(mappings, "f.product")) if names(mappings, "core_unused")
        else query_sql("join", "core_owned"),
        "advanced_declared": literal(any(p.advanced_features for p in mappings.products.products)),
        "columns": ", ".join(f"CAST({ident(name)} AS {column.type}) AS {ident(name)}" for name, column in ACCOUNTS.items()),
    }  # fmt: skip


def _scope_slots(mappings: Mappings, only: str | None) -> dict[str, str]:
    pilot = "true" if not mappings.scope.pilot else f"account_id IN ({', '.join(literal(a) for a in mappings.scope.pilot)})"
    asked = "true" if only is None else "account_id IN (SELECT account_id FROM j_only)"
    return {"pilot": pilot, "include": mappings.scope.include or "contracts > 0", "asked": asked}


def _build_products(con: duckdb.DuckDBPyConnection, lake: LakeRelations, connected: dict[str, bool], *, population: bool) -> None:
    con.execute(query_sql("join", "segment_fit") if population else query_sql("join", "frozen_fit", population_stats=lake.population_stats))
    known = "true" if population else "EXISTS (FROM j_fit)"
    con.execute(query_sql("join", "account_products", population=known, has_opportunity=literal(connected["opportunity"])))
    con.execute("ALTER TABLE accounts DROP COLUMN x_sales_touch_on")


def _counts(con: duckdb.DuckDBPyConnection, lake: LakeRelations, windows: Windows) -> dict[str, int]:
    """What the run has to account for: accounts by scope, tenants without an account, usage outside its contract line, lines without an account."""
    relation = con.execute(query_sql("join", "counts"))
    names = [d[0] for d in relation.description or []]
    row = relation.fetchone() or ()
    counts = {("in_crm" if name == "accounts" else name): int(value or 0) for name, value in zip(names, row, strict=True)}
    counts["tenants_unmatched"] = int(str(scalar(con, "SELECT count(*) FROM usage_unmatched") or 0))
    counts["lines_without_account"] = int(str(scalar(con, "SELECT count(*) FROM j_line WHERE acct NOT IN (SELECT id FROM j_account)") or 0))
    by_contract = scalar(con, "SELECT count(*) FROM j_source WHERE matches = 'contract' AND kind = 'events'")
    outside = scalar(con, query_sql("usage", "outside_contract", days=days_sql(con, lake, "true"))) if by_contract and windows.connected else 0
    counts["usage_outside_contract"] = int(str(outside or 0))
    return counts


def account_columns() -> Sequence[str]:
    """Columns of `accounts.parquet`, in order."""
    return [*ACCOUNTS, "scope", "excluded_why"]


def product_columns() -> Sequence[str]:
    """Columns of `account_products.parquet`, in order."""
    return ["account_id", *ACCOUNT_PRODUCTS]


def plan(ctx: StepContext) -> list[NewItem]:
    return [NewItem("all")]


def run(ctx: StepContext, item: Item) -> Outcome:
    """Restartable: reads lake files as the run sees them, replaces its files in the run folder."""
    con, lake = open_lake(ctx, (*FACTS, "writes", "score_history"))
    only = None if ctx.run.kind == RunKind.FULL and ctx.run.accounts is None else changed_accounts(ctx, con, lake)
    counts = join_accounts(con, lake, ctx.mappings, moment_of(ctx), only=only, lapsed=_down.lapsed(ctx, _FEED_ENTITY))
    leave(con, ctx.folder, "accounts", account_columns(), order="ORDER BY account_id")
    leave(con, ctx.folder, "account_products", product_columns(), order="ORDER BY account_id, product")
    leave(con, ctx.folder, "product_facts", order="ORDER BY account_id, product")
    leave(con, ctx.folder, "feeds", order="ORDER BY feed")
    for table in ("onboarding", "onboarding_steps", "onboarding_changes"):
        leave(con, ctx.folder, table, order="ORDER BY account_id, plan")
    leave(con, ctx.folder, "usage_unmatched")
    leave_anomalies(con, moment_of(ctx), ctx.run.id)
    leave(con, ctx.folder, "anomalies")
    leave_json(ctx.folder, "reconciliation.json", {"run_id": ctx.run.id, "as_of": ctx.run.as_of, **counts})
    report = feed_notes(con, ctx.mappings, moment_of(ctx).on, ctx.settings.usage.absolute()) if ctx.run.accounts is None else {}
    report |= churn_note(con, ctx.mappings, moment_of(ctx)) if only is None else {}
    stats = {f"accounts.{name}": float(counts[name]) for name in ("in_crm", "excluded")}
    stats |= {f"usage.{name}": float(counts[name]) for name in ("tenants_unmatched", "accounts_without_usage")}
    stats |= {f"join.{name}": float(counts[name]) for name in ("usage_outside_contract", "lines_without_account")}
    matches = leave_pairs(ctx, con, lake)
    return Outcome(stats=stats | matches.stats, report=report | (matches.report if ctx.run.accounts is None else {}))


@dataclass(frozen=True)
class _Matches:
    stats: dict[str, float] = field(default_factory=dict)
    report: dict[str, str] = field(default_factory=dict)


def leave_pairs(ctx: StepContext, con: duckdb.DuckDBPyConnection, lake: LakeRelations) -> _Matches:
    """`pairs` and `unmatched` in the run folder, where there are several connections; the counts, and what could be two, by name."""
    if not lake.others:
        return _Matches()
    for table in ("pairs", "unmatched"):
        con.execute(f"CREATE OR REPLACE TEMP VIEW {table} AS SELECT * FROM p_{table.removesuffix('s')}")
        leave(con, ctx.folder, table, order="ORDER BY ALL")
    stats: dict[str, float] = {}
    report: dict[str, str] = {}
    build_left(con, lake, ctx.mappings)
    for one in matched(con, lake):
        left = left_behind(con, one.connection)
        counts = {name: float(n) for name, n in vars(one).items() if name != "connection"} | {"left_behind": float(len(left))}
        stats |= {of_connection(one.connection, f"match.{name}"): n for name, n in counts.items()}
        if one.ambiguous:
            report[f"match:{one.connection}"] = (
                f"{one.ambiguous:,} records could be the same company as more than one: {ambiguous_words(con, one.connection)}"
            )
        if left:
            report[f"left:{one.connection}"] = left_words(left)
    return _Matches(stats, report)


def feed_notes(con: duckdb.DuckDBPyConnection, mappings: Mappings, on: date, folder: Path) -> dict[str, str]:
    """Report entries on usage sources: one without any file leaves the scorecard for everyone, a late one holds scores. Needs j_source."""
    notes = {}
    known = dict(con.execute("SELECT source, last_day FROM j_source").fetchall())
    for source in mappings.usage.values():
        name, last = f"usage/{source.name}.yml", known.get(source.name)
        if source.name not in known:
            said = f"no file {source.glob!r} was ever read from {folder}, so it counts for nobody. Check SCORESYNC_USAGE and the glob."
        elif last is None or (on - last).days > source.max_lag_days:
            ends = f"ends on {last}" if last else "has no complete day"
            said = f"its data {ends}, which is later than its {source.max_lag_days} days allow: scores that need it are held. Bring the exports."
        else:
            continue
        notes[f"feed:{source.name}"] = f"{name}: {said}"
    return notes
