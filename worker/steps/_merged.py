"""Accounts that were merged away: their history and what we wrote to them belong to the survivor, under whatever id the CRM gave it.

Salesforce keeps the id of one of the two; HubSpot may make a third one (reference sheet, 4.2), on which nothing of ours was ever written.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import duckdb

from connectors.entities import Entity
from worker.items import StepContext
from worker.sql import literal, query_sql
from worker.steps._crm import load_masters
from worker.steps._relations import LakeRelations, any_rows
from worker.store.schemas import SCHEMAS, schema

#: Histories by account, as attributes of the relations.
_JOINED = ("anomaly_history", "onboarding_history")
_DECIDED = ("score_history", "signal_history", "product_score_history", "family_history", "part_history")


def inherited(con: duckdb.DuckDBPyConnection, lake: LakeRelations, timezone: str, histories: Sequence[str] = _DECIDED) -> LakeRelations:
    """The relations, with histories in which a survivor goes on where the account it came from ended. Needs j_master."""
    if not any_rows(con, "j_master"):
        return lake
    con.execute(query_sql("merged", "lines", zone=literal(timezone), accounts=lake.crm[Entity.ACCOUNT], history=lake.score_history))
    if not any_rows(con, "g_line"):
        return lake
    going_on: dict[str, Any] = {name: query_sql("merged", "inherited", history=getattr(lake, name)) for name in histories}
    return replace(lake, **going_on)


def inherited_facts(con: duckdb.DuckDBPyConnection, lake: LakeRelations, timezone: str) -> LakeRelations:
    """The same for the histories that join goes on with: since when use is low, and when onboarding was completed."""
    return inherited(con, lake, timezone, _JOINED)


def written_before(ctx: StepContext, con: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], frozenset[str | None]]:
    """(account, field) -> values of ours that it may have taken over from accounts merged into it, for the accounts of the temp table `batch`.

    They are ours as an open intent is: the CRM may hold any of them, or none.
    """
    accounts = ctx.lake.relation(ctx.lake.files("crm_account"), schema("crm_account"))
    load_masters(con, accounts)
    if not any_rows(con, "(SELECT 1 FROM j_master WHERE master_id IN (SELECT record_key FROM batch WHERE object = 'account'))"):
        return {}
    writes = ctx.lake.relation(ctx.lake.files("writes"), SCHEMAS["writes"])
    found: dict[tuple[str, str], set[str | None]] = {}
    for account, field, value in con.execute(query_sql("merged", "written_before", writes=writes)).fetchall():
        found.setdefault((account, field), set()).add(value)
    return {at: frozenset(values) for at, values in found.items()}
