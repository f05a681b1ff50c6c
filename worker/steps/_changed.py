"""Which accounts an increment computes: those asked for, else those that this run's own lake parts touch."""

import duckdb
import pyarrow as pa

from connectors.entities import Entity
from worker.items import StepContext
from worker.sql import literal, query_sql
from worker.steps._lake import table_of
from worker.steps._relations import LakeRelations
from worker.store import registers

_CHILDREN = {
    Entity.CONTRACT: ("account_id", "end_user_id"),
    Entity.ACTIVITY: ("account_id",),
    Entity.CONTACT: ("account_id",),
    Entity.TICKET: ("account_id",),
    Entity.SURVEY: ("account_id",),
    Entity.OPPORTUNITY: ("account_id",),
    Entity.OUTCOME: ("account_id",),
    Entity.CSQL: ("account_id",),
}

_TENANT_TABLES = ("usage_tenant_day", "usage_snapshot")


def changed_accounts(ctx: StepContext, con: duckdb.DuckDBPyConnection, lake: LakeRelations) -> str:
    """Name of a relation of account ids (account_id)."""
    if ctx.run.accounts is not None:
        return table_of(con, "j_changed", [{"account_id": a} for a in ctx.run.accounts], {"account_id": pa.string()})
    branches = ["SELECT NULL::VARCHAR AS account_id"]
    fresh = _fresh(ctx, "crm_account")
    if fresh:
        branches.append(f"SELECT id AS account_id FROM {lake.crm[Entity.ACCOUNT]} WHERE {fresh}")
    for entity, owners in _CHILDREN.items():
        relation = lake.crm[entity]
        fresh = _fresh(ctx, f"crm_{entity.value}")
        if fresh:
            branches += [query_sql("changed", "child", owner=owner, relation=relation, fresh=f"{relation} WHERE {fresh}") for owner in owners]
    if _fresh_tenants(ctx, con):
        branches.append(query_sql("changed", "by_account_key", accounts=lake.crm[Entity.ACCOUNT]))
        branches.append(query_sql("changed", "by_contract_key", contracts=lake.crm[Entity.CONTRACT]))
    con.execute(query_sql("changed", "changed", branches=" UNION ALL ".join(branches)))
    return "j_changed"


def _fresh(ctx: StepContext, table: str) -> str:
    """Condition for rows of the parts that this run brought; empty when it brought none."""
    paths = [literal(str(ctx.lake.root / e.path)) for e in ctx.lake.entries(table, ctx.run) if e.run_id == ctx.run.id]
    return f"filename IN ({', '.join(paths)})" if paths else ""


def _fresh_tenants(ctx: StepContext, con: duckdb.DuckDBPyConnection) -> bool:
    """j_fresh_tenant: tenants of files that came with this run, and of the versions they replaced (a tenant may be gone from the new one)."""
    states = ("live", "vanished", "replaced")
    files = registers.usage_files(ctx.ledger, states=states)
    paths = {(f.source, f.path) for f in files if f.run_id == ctx.run.id}
    ids = [literal(f.id) for f in files if (f.source, f.path) in paths]
    if not ids:
        return False
    chosen = " UNION ".join(f"SELECT tenant_key FROM {table} WHERE file_id IN ({', '.join(ids)})" for table in _TENANT_TABLES)
    con.execute(f"CREATE OR REPLACE TEMP TABLE j_fresh_tenant AS {chosen}")
    return True
