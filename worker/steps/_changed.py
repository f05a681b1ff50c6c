"""Which accounts an increment computes: those asked for, else those of which the lake parts since the last run that wrote say something new."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.entities import Entity
from worker.items import Run, RunKind, RunState, StepContext
from worker.sql import ident, literal, query_sql
from worker.steps._lake import table_of
from worker.steps._relations import LakeRelations, columns_of
from worker.store import registers, runs

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

#: Columns that differ between two versions which say the same.
_STAMPS = {"connection", "id", "modified_at", "read_at", "filename"}

#: Runs looked back at. Chosen: two days of increments; a full run settles everything anyway.
RUNS_BACK = 200

_TENANT_TABLES = ("usage_tenant_day", "usage_snapshot")


def changed_accounts(ctx: StepContext, con: duckdb.DuckDBPyConnection, lake: LakeRelations) -> str:
    """Name of a relation of account ids (account_id)."""
    if ctx.run.accounts is not None:
        return table_of(con, "j_changed", [{"account_id": a} for a in ctx.run.accounts], {"account_id": pa.string()})
    runs_ = unsettled(ctx)
    branches = ["SELECT NULL::VARCHAR AS account_id"]
    if _news(ctx, con, lake, Entity.ACCOUNT, runs_):
        branches.append("SELECT id AS account_id FROM j_news_account")
    for n, records in enumerate(lake.others.values()):
        if _news(ctx, con, lake, Entity.ACCOUNT, runs_, records, f"j_news_other_{n}"):
            branches.append(f"SELECT account_id FROM p_key WHERE record_id IN (SELECT id FROM j_news_other_{n})")
    for entity, owners in _CHILDREN.items():
        if _news(ctx, con, lake, entity, runs_):
            news = f"j_news_{entity.value}"
            branches += [query_sql("changed", "child", owner=owner, relation=lake.crm[entity], news=news) for owner in owners]
    if _fresh_tenants(ctx, con, runs_):
        branches.append(query_sql("changed", "by_account_key", accounts=lake.crm[Entity.ACCOUNT]))
        branches.append(query_sql("changed", "by_contract_key", contracts=lake.crm[Entity.CONTRACT]))
    branches += [*_asked(ctx, con, lake), *_waiting(ctx, con)]
    con.execute(query_sql("changed", "changed", branches=" UNION ALL ".join(branches)))
    return "j_changed"


def _asked(ctx: StepContext, con: duckdb.DuckDBPyConnection, lake: LakeRelations) -> list[str]:
    """Accounts of which something is to be sent again although nothing is new: dead letters to be retried, and fields released."""
    letters = [d.account_id for d in registers.dead_letters(ctx.ledger, states=("retry",)) if d.account_id is not None]
    settled = _last_settled(ctx)
    freed = registers.released(ctx.ledger, since=settled.created_at if settled else None)
    accounts = {*letters, *(h.record_id for h in freed if h.object == Entity.ACCOUNT)}
    table_of(con, "j_asked", [{"account_id": a} for a in sorted(accounts)], {"account_id": pa.string()})
    records = ", ".join(literal(h.record_id) for h in freed if h.object == Entity.CSQL)
    children = [f"SELECT account_id FROM {lake.crm[Entity.CSQL]} WHERE id IN ({records})"] if records else []
    if lake.others:  # a field released in another connection
        children.append("SELECT account_id FROM p_key WHERE record_id IN (SELECT account_id FROM j_asked)")
    return ["SELECT account_id FROM j_asked", *children]


def _waiting(ctx: StepContext, con: duckdb.DuckDBPyConnection) -> list[str]:
    """Accounts whose changes could not be written since their connection was out of reach: of the last run that settled, and of resyncs after it."""
    settled = _last_settled(ctx)
    found = []
    for run in runs.latest(ctx.ledger, RUNS_BACK):
        down = [name for name in ctx.mappings.crm if f"down:{name}" in run.report]
        file = ctx.folder.parent / run.id / "changes.parquet"
        if down and _has_written(run) and file.exists():
            found.append(pq.read_table(file, columns=["account_id"], filters=[("connection", "in", down), ("disposition", "==", "send")]))
        if run == settled:
            break
    if not found:
        return []
    con.register("waiting_rows", pa.concat_tables(found))
    con.execute("CREATE OR REPLACE TEMP TABLE j_waiting AS SELECT DISTINCT account_id FROM waiting_rows")
    con.unregister("waiting_rows")
    return ["SELECT account_id FROM j_waiting"]


def unsettled(ctx: StepContext) -> set[str]:
    """This run, and those since the last whole one that moved cursors on but wrote nothing for what they read: failed, waiting or dry runs."""
    settled = _last_settled(ctx)
    later = runs.latest(ctx.ledger, RUNS_BACK)
    later = later[: later.index(settled)] if settled in later else later
    return {ctx.run.id, *(run.id for run in later if not _has_written(run))}


def _has_written(run: Run) -> bool:
    return run.state == RunState.DONE and not run.dry_run


def _last_settled(ctx: StepContext) -> Run | None:
    """The last run before this one that wrote whatever was new."""
    whole = (r for r in runs.latest(ctx.ledger, RUNS_BACK) if r.kind != RunKind.RESYNC and r.accounts is None and r.id != ctx.run.id)
    return next((run for run in whole if _has_written(run)), None)


def _news(
    ctx: StepContext, con: duckdb.DuckDBPyConnection, lake: LakeRelations, entity: Entity, runs_: set[str], records: str = "", out: str = ""
) -> bool:
    """j_news_<entity> (or `out`): ids of records of which the parts of these runs say something new; false (and no table) when there are none."""
    relation, fresh = records or lake.crm[entity], _fresh(ctx, f"crm_{entity.value}", runs_)
    if not fresh:
        return False
    ours = [f.key for f in ctx.mappings.writeback.of(entity.value) if f.owner == "worker"]
    formulas = {f"own_{f.key}" for f in ctx.mappings.writeback.of(entity.value) if f.owner == "crm"}
    present = columns_of(con, relation)
    ours = [key for key in ours if f"own_{key}" in present]
    given = sorted(present - _STAMPS - formulas - {f"own_{key}" for key in ours})
    differs = [f"f.{ident(name)} IS DISTINCT FROM k.{ident(name)}" for name in given]
    differs += [f"f.own_{key} IS DISTINCT FROM CASE WHEN o.has_{key} THEN o.new_{key} ELSE k.own_{key} END" for key in ours]
    written = "".join(f", bool_or(field = {literal(k)}) AS has_{k}, max(value) FILTER (field = {literal(k)}) AS new_{k}" for k in ours)
    slots = {"out": out or f"j_news_{entity.value}", "relation": relation, "fresh": fresh, "part": lake.part, "writes": lake.writes}
    con.execute(query_sql("changed", "news", object=literal(entity.value), columns=written, differs=" OR ".join(differs), **slots))
    return True


def _fresh(ctx: StepContext, table: str, runs_: set[str]) -> str:
    """Condition for rows of the parts that these runs brought; empty when they brought none."""
    paths = [literal(str(ctx.lake.root / e.path)) for e in ctx.lake.entries(table, ctx.run) if e.run_id in runs_]
    return f"filename IN ({', '.join(paths)})" if paths else ""


def _fresh_tenants(ctx: StepContext, con: duckdb.DuckDBPyConnection, runs_: set[str]) -> bool:
    """j_fresh_tenant: tenants of files that came with these runs, and of the versions they replaced (a tenant may be gone from the new one)."""
    states = ("live", "vanished", "replaced")
    files = registers.usage_files(ctx.ledger, states=states)
    paths = {(f.source, f.path) for f in files if f.run_id in runs_}
    ids = [literal(f.id) for f in files if (f.source, f.path) in paths]
    if not ids:
        return False
    chosen = " UNION ".join(f"SELECT tenant_key FROM {table} WHERE file_id IN ({', '.join(ids)})" for table in _TENANT_TABLES)
    con.execute(f"CREATE OR REPLACE TEMP TABLE j_fresh_tenant AS {chosen}")
    return True
