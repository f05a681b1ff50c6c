"""Lists between CS and sales: hand-over by seller, large deals before signature, where success is proven. From what the newest full run left.

Nothing is decided or written here, and a run pays nothing for it: the lists are made when somebody asks.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from connectors.entities import Entity
from mappings.models import Mappings
from worker._rows import file_of, results_sql, rows_of
from worker.items import Run
from worker.runtime import Runtime
from worker.sql import query_sql
from worker.steps._crm import load_masters
from worker.steps._lake import open_relations
from worker.steps._relations import LakeRelations, Moment, columns_of
from worker.steps._sales import Rows, build_cells, build_fit, build_handover, build_large_deals, load_deals
from worker.steps._usage import load_catalogue
from worker.store.engine import open_engine
from worker.today import load_names, newest_full

_TABLES = ("crm_account", "crm_user", "crm_opportunity", "crm_contract")

#: (connection, relations, mappings, moment, where the run's rows are) -> the report's parts
Report = Callable[[duckdb.DuckDBPyConnection, LakeRelations, Mappings, Moment, Rows], dict[str, Any]]


def report(opened: Runtime, mappings: Mappings, what: Report) -> dict[str, Any] | None:
    """A report by these mappings; null before the first full run. Its parts, and of which run."""
    found = newest_full(opened, "account_products")
    if found is None:
        return None
    run, folder = found
    con = open_engine(opened.settings, [opened.lake.root, folder])
    try:
        lake = open_relations(con, opened.lake, opened.ledger, mappings, None, _TABLES)
        return {"run_id": run.id, "as_of": run.as_of, **what(con, lake, mappings, _moment(run, mappings), load_rows(con, lake, mappings, folder))}
    finally:
        con.close()


def _moment(run: Run, mappings: Mappings) -> Moment:
    return Moment(run.as_of, mappings.calendar.timezone)


def load_rows(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, folder: Path) -> Rows:
    """Rows of the run folder as the builders want them; names as the CRM has them now."""
    load_catalogue(con, mappings)
    load_masters(con, lake.crm[Entity.ACCOUNT])
    load_names(con, "true")
    files = {name: file_of(folder, name) for name in ("accounts", "decisions", "scores")}
    con.execute(query_sql("sales", "report_row", results=results_sql(columns_of(con, files["decisions"])), **files))
    return Rows(row="s_row", accounts=files["accounts"], products=file_of(folder, "account_products"))


def handover(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, rows: Rows) -> dict[str, Any]:
    """`accounts`: least complete first; `reps`: what goes back to each seller; `items`: what is missing how often. Empty without items."""
    if not mappings.sales.handover.items:
        return {"accounts": [], "reps": [], "items": []}
    load_deals(con, lake, whole=True)
    build_handover(con, lake, mappings.sales.handover, rows)
    return {
        "accounts": rows_of(con, query_sql("sales", "handover_list", lang=mappings.writeback.language)),
        "reps": rows_of(con, query_sql("sales", "handover_reps")),
        "items": rows_of(con, query_sql("sales", "handover_items")),
    }


def deals(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, rows: Rows) -> dict[str, Any]:
    """`deals`: large open deals of customers and of those who are none yet, the first to be signed first."""
    load_deals(con, lake, whole=True)
    build_large_deals(con, mappings, moment, rows)
    build_cells(con, lake, mappings, moment, rows)
    judged = "true" if mappings.sales.fit.success else "false"
    return {"deals": rows_of(con, query_sql("sales", "deal_list", lang=mappings.writeback.language, judged=judged))}


def fit(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, rows: Rows) -> dict[str, Any]:
    """`cells`: segment and product, unproven first; `unproven`: customers taken on there, with their onboarding. Empty where not configured."""
    if mappings.sales.fit.success is None:
        return {"cells": [], "unproven": []}
    build_cells(con, lake, mappings, moment, rows)
    build_fit(con, mappings, rows)
    lang = mappings.writeback.language
    return {
        "cells": rows_of(con, query_sql("sales", "cell_list", lang=lang)),
        "unproven": rows_of(con, query_sql("sales", "unproven_list", lang=lang)),
    }
