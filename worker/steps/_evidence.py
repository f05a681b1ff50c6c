"""What was set up, achieved and earned, for the record: set-up per product, results with who confirmed them, progress to the customer's own goal, and
revenue and score on one time line. Built only where a field that is switched on takes it.
"""

from collections.abc import Collection, Sequence
from datetime import date, timedelta

import duckdb

from connectors.entities import Entity, columns
from mappings.models import Mappings
from worker.sql import literal, query_sql
from worker.steps._crm import load_latest
from worker.steps._relations import LakeRelations, Moment, columns_of

#: Month ends on the time line. Chosen: a contract year.
MONTHS = 12
_ROI = {"roi_status", "roi_note"}
_ALL = {"setup_products", "timeline", "success_progress", *_ROI}


def wanted(mappings: Mappings) -> set[str]:
    """Which of our columns a field that is switched on takes."""
    return {f.value or f.key for f in mappings.writeback.active() if f.object == "account" and f.owner == "worker"} & _ALL


def evidence_tables(mappings: Mappings) -> Collection[str]:
    """Lake tables that decide needs for it."""
    need = wanted(mappings)
    outcomes = ["crm_outcome"] if need & (_ROI | {"success_progress"}) else []
    return [*outcomes, *(["crm_contract"] if "timeline" in need else [])]


def needs_product_facts(mappings: Mappings) -> bool:
    return "setup_products" in wanted(mappings)


def add_evidence(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, *, whole: bool) -> None:
    """Puts the columns that are asked for on `decisions`. Needs j_master, j_product and accounts; for set-up `product_facts`."""
    need, tables = wanted(mappings), []
    if "setup_products" in need:
        con.execute(query_sql("evidence", "setup"))
        tables.append("e_setup")
    if need & (_ROI | {"success_progress"}):
        load_outcomes(con, lake, moment, _mine(lake.crm[Entity.OUTCOME], whole))
    if need & _ROI:
        con.execute(query_sql("evidence", "roi", before=number_sql("best.before"), now=number_sql("best.now")))
        tables.append("e_roi")
    if "success_progress" in need:
        build_progress(con, lake)
        tables.append("(SELECT account_id, success_progress FROM e_progress)")
    if "timeline" in need:
        _build_timeline(con, lake, moment.on, whole=whole)
        tables.append("e_timeline")
    if tables:
        joins = " ".join(f"LEFT JOIN {table} USING (account_id)" for table in tables)
        con.execute(f"CREATE OR REPLACE TEMP TABLE decisions AS SELECT * FROM decisions {joins} ORDER BY account_id")


def number_sql(expr: str) -> str:
    """A number as a text: separators, at most two decimals, no trailing zeros; a dash where it is unknown."""
    return f"coalesce(rtrim(rtrim(format('{{:,.2f}}', {expr}), '0'), '.'), '–')"


def _mine(relation: str, whole: bool, owners: Sequence[str] = ("account_id",)) -> str:
    """Rows of the accounts of an increment; all of them in a full run."""
    if whole:
        return "true"
    accounts = "SELECT account_id FROM accounts UNION SELECT id FROM j_master WHERE master_id IN (SELECT account_id FROM accounts)"
    return f"id IN (SELECT id FROM {relation} WHERE {' OR '.join(f'{owner} IN ({accounts})' for owner in owners)})"


def load_outcomes(con: duckdb.DuckDBPyConnection, lake: LakeRelations, moment: Moment, where: str = "true") -> None:
    """Temp table e_outcome: the newest record of each account's measures. `where`: over records of the lake."""
    relation = lake.crm[Entity.OUTCOME]
    exprs = {name: f"r.{name}" for name in columns(Entity.OUTCOME)}
    load_latest(con, relation, "e_outcome_version", part=lake.part, where=where, exprs=exprs)
    con.execute(query_sql("evidence", "outcomes", zone=literal(moment.timezone), as_of=literal(moment.as_of)))


def build_progress(con: duckdb.DuckDBPyConnection, lake: LakeRelations, where: str = "true") -> None:
    """Temp tables e_goal (what people named on the record) and e_progress. Needs e_outcome."""
    accounts = lake.crm[Entity.ACCOUNT]
    present = columns_of(con, accounts)
    metric = "r.own_success_metric" if "own_success_metric" in present else "NULL::VARCHAR"
    target = "TRY_CAST(r.own_success_target AS DOUBLE)" if "own_success_target" in present else "NULL::DOUBLE"
    load_latest(con, accounts, "e_goal", part=lake.part, where=where, exprs={"id": "r.id", "metric": metric, "target": target})
    con.execute(query_sql("evidence", "progress"))


def _build_timeline(con: duckdb.DuckDBPyConnection, lake: LakeRelations, on: date, *, whole: bool) -> None:
    relation = lake.crm[Entity.CONTRACT]
    exprs = {name: f"r.{name}" for name in columns(Entity.CONTRACT)}
    load_latest(con, relation, "e_contract", part=lake.part, where=_mine(relation, whole, ("end_user_id", "account_id")), exprs=exprs)
    con.execute(query_sql("evidence", "lines"))
    ends = [on.replace(day=1) - timedelta(days=1)]
    while len(ends) < MONTHS:
        ends.append(ends[-1].replace(day=1) - timedelta(days=1))
    listed = f"[{', '.join(literal(end) for end in ends)}]"
    con.execute(query_sql("evidence", "timeline", ends=listed, history=lake.score_history, some="account_id IN (SELECT account_id FROM accounts)"))
