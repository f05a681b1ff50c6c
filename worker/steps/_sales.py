"""What CS and sales hand each other: completeness of the hand-over, open deals before signature, where success is proven.

A run builds only what a field that is switched on, or an alert over deals, asks for; `scoresync handover`, `deals` and `fit` build it from what a run
left.
"""

from collections.abc import Collection
from dataclasses import dataclass

import duckdb

from connectors.entities import Entity, columns
from mappings.models import Mappings
from mappings.models_sales import Handover
from worker.sql import literal, query_sql
from worker.steps._alerts import ALERT
from worker.steps._crm import load_latest
from worker.steps._relations import LakeRelations, Moment
from worker.steps._texts import text_sql

_HANDOVER = {"handover_complete", "handover_missing"}
_FIT = {"fit_segment", "fit_note"}


@dataclass(frozen=True)
class Rows:
    """Relations that conditions are asked of. `row`: account in scope with account columns and results; `accounts`: every account of the CRM."""

    row: str = "d_row"
    accounts: str = "accounts"
    products: str = "account_products"


def wanted(mappings: Mappings) -> set[str]:
    """Which of our columns a field that is switched on takes, where sales.yml says anything about it."""
    asked = {f.value or f.key for f in mappings.writeback.active() if f.object == "account" and f.owner == "worker"}
    need = asked & _HANDOVER if mappings.sales.handover.items else set()
    return need | (asked & _FIT if mappings.sales.fit.success else set())


def tells_deals(mappings: Mappings) -> bool:
    """Whether an alert looks at deals, and sales.yml says at which."""
    return mappings.sales.deals.when is not None and any(a.over == "deal" for a in mappings.alerts.values())


def lake_tables(mappings: Mappings) -> Collection[str]:
    """Lake tables that decide needs for it."""
    need = wanted(mappings)
    deals = ["crm_opportunity"] if need & _HANDOVER or tells_deals(mappings) else []
    return [*deals, *(["crm_contract", "fit_history"] if need & _FIT else [])]


def add_sales(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, *, run_id: str, whole: bool) -> None:
    """Puts the columns that are asked for on `decisions`; leaves `fit_changes` (rows to append) where the answers changed, and tells of deals."""
    need, tables = wanted(mappings), []
    if need & _HANDOVER or tells_deals(mappings):
        load_deals(con, lake, whole=whole)
    if need & _HANDOVER:
        build_handover(con, lake, mappings.sales.handover, Rows())
        con.execute(query_sql("sales", "handover_words"))
        tables.append("s_handover_words")
    if need & _FIT:
        _decide_fit(con, lake, mappings, moment, run_id=run_id, whole=whole)
        tables.append("s_fit")
    if tables:
        joins = " ".join(f"LEFT JOIN {table} USING (account_id)" for table in tables)
        con.execute(f"CREATE OR REPLACE TEMP TABLE decisions AS SELECT * FROM decisions {joins} ORDER BY account_id")
    if tells_deals(mappings):
        _tell_deals(con, lake, mappings, moment, run_id)


# --- hand-over -----------------------------------------------------------------------------------------------------------------------------------
def load_deals(con: duckdb.DuckDBPyConnection, lake: LakeRelations, *, whole: bool) -> None:
    """Temp table s_deal. Needs j_master and accounts; in an increment only deals of its accounts."""
    relation, where = lake.crm[Entity.OPPORTUNITY], "true"
    if not whole:
        mine = "SELECT account_id FROM accounts UNION SELECT id FROM j_master WHERE master_id IN (SELECT account_id FROM accounts)"
        where = f"id IN (SELECT id FROM {relation} WHERE account_id IN ({mine}))"
    load_latest(con, relation, "s_opportunity", part=lake.part, where=where, exprs={name: f"r.{name}" for name in columns(Entity.OPPORTUNITY)})
    con.execute(query_sql("sales", "deals"))


def build_handover(con: duckdb.DuckDBPyConnection, lake: LakeRelations, handover: Handover, rows: Rows) -> None:
    """Temp table s_handover: account, its seller, how many items are there, and which are not."""
    load_latest(con, lake.crm[Entity.USER], "s_user", part=lake.part, exprs={"id": "r.id", "name": "r.name"})
    missing = []
    for item in handover.items:
        named = f"list_contains(string_split(coalesce(w.deal.handover, ''), ';'), {literal(item.name)})"
        there = f"coalesce(TRY(CAST(({item.when}) AS BOOLEAN)), false)" if item.when else named
        words = f"{{'name': {literal(item.name)}, 'en': {literal(item.title.en)}, 'ja': {literal(item.title.ja)}}}"
        missing.append(f"CASE WHEN NOT {there} THEN {words} END")
    items = f"list_filter([{', '.join(missing)}], lambda x: x IS NOT NULL)"
    con.execute(query_sql("sales", "handover", row=rows.row, items=items, n=str(len(handover.items)), when=handover.when))


# --- deals ---------------------------------------------------------------------------------------------------------------------------------------
def build_large_deals(con: duckdb.DuckDBPyConnection, mappings: Mappings, moment: Moment, rows: Rows) -> None:
    """Temp table s_large: open deals that CS sees before signature. Needs s_deal."""
    titles = {}
    for lang, comma in (("en", ", "), ("ja", "、")):
        one = (
            "CASE x" + "".join(f" WHEN {literal(p.code)} THEN {literal(getattr(p.title, lang))}" for p in mappings.products.products) + " ELSE x END"
        )
        titles[f"titles_{lang}"] = f"nullif(array_to_string(list_transform(d.products, lambda x: {one}), {literal(comma)}), '')"
    con.execute(query_sql("sales", "open_deals", on=literal(moment.on), accounts=rows.accounts, **titles))
    con.execute(query_sql("sales", "large_deals", when=mappings.sales.deals.when or "false"))


def _tell_deals(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, run_id: str) -> None:
    """Adds to `signals` and `flips` what is told for the first time: a deal stands where other alerts have no product."""
    build_large_deals(con, mappings, moment, Rows())
    alerts = [a for _, a in sorted(mappings.alerts.items()) if a.over == "deal"]
    rules, on = ", ".join(literal(ALERT + a.name) for a in alerts), literal(moment.on)
    con.execute(query_sql("sales", "deals_told", signal_history=lake.signal_history, rules=rules, on=on))
    exprs, where = {"id": "r.id", "owner_id": "r.owner_id"}, "id IN (SELECT partner_id FROM s_large WHERE partner_id IS NOT NULL)"
    load_latest(con, lake.crm[Entity.ACCOUNT], "s_partner", part=lake.part, where=where, exprs=exprs)
    recipient = f"CAST({literal(mappings.sales.deals.recipient)} AS VARCHAR)"
    told = []
    for a in alerts:
        words = {lang: text_sql(getattr(a.text, lang), lang) for lang in ("en", "ja")}
        told.append(query_sql("sales", "deal_alert", rule=literal(ALERT + a.name), when=a.when, recipient=recipient, **words))
    con.execute("CREATE OR REPLACE TEMP TABLE s_news AS " + " UNION ALL ".join(told) + " ORDER BY ALL")
    stamp = f"{literal(run_id)} AS run_id, {literal(moment.as_of)} AS as_of"
    con.execute(
        f"INSERT INTO signals BY NAME SELECT account_id, deal_id AS product, rule, {on} AS on_, true AS signal, {on} AS since_on, {stamp} FROM s_news"
    )
    con.execute(
        f"INSERT INTO flips BY NAME SELECT 'alert' AS kind, substr(n.rule, {len(ALERT) + 1}) AS rule, n.account_id, n.deal_id AS product, "
        f"{on} AS on_, 'true' AS value, c.channel, c.cooldown_days, n.text_{mappings.writeback.language} AS text, c.also, n.recipient, n.routed "
        "FROM s_news AS n JOIN d_alert_config AS c ON c.rule = n.rule"
    )


# --- fit -----------------------------------------------------------------------------------------------------------------------------------------
def _decide_fit(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, *, run_id: str, whole: bool) -> None:
    on = literal(moment.on)
    con.execute(query_sql("sales", "cells_before", fit_history=lake.fit_history, on=on))
    if whole:
        build_cells(con, lake, mappings, moment, Rows())
        con.execute(query_sql("sales", "cells_changed", on=on, run_id=literal(run_id), as_of=literal(moment.as_of)))
    else:
        con.execute(query_sql("sales", "cells_frozen"))
    build_fit(con, mappings, Rows())


def build_cells(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, rows: Rows) -> None:
    """Temp table s_cell, from every account of the CRM. Needs j_master."""
    fit, on = mappings.sales.fit, literal(moment.on)
    load_latest(con, lake.crm[Entity.CONTRACT], "j_contract", part=lake.part, exprs={name: f"r.{name}" for name in columns(Entity.CONTRACT)})
    con.execute(query_sql("crm", "contract_lines", on=on, as_of=literal(moment.as_of), status_decides="true"))
    con.execute(query_sql("sales", "owned_ever"))
    con.execute(
        query_sql(
            "sales", "cells", row=rows.row, accounts=rows.accounts, success=fit.success or "false", on=on, after_days=str(fit.after_days),
            min_accounts=str(fit.min_accounts), min_aged=str(fit.min_aged), min_retention=literal(fit.min_retention),
        )
    )  # fmt: skip


def build_fit(con: duckdb.DuckDBPyConnection, mappings: Mappings, rows: Rows) -> None:
    """Temp table s_fit. Needs s_cell and j_product."""
    fit = mappings.sales.fit
    con.execute(query_sql("sales", "fit", row=rows.row, products=rows.products, when=fit.when, min_accounts=str(fit.min_accounts)))
