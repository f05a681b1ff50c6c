"""Current CRM rows and the facts per account they give. Every query is restricted early when only some accounts are asked for."""

import duckdb

from connectors.entities import Entity, columns
from worker.sql import literal, query_sql
from worker.steps._relations import LakeRelations, Moment, any_rows, columns_of

#: Human-owned fields read from the record: key in writeback.yml -> type.
HUMAN = {"override_score": "BIGINT", "override_until": "DATE", "pulse": "VARCHAR", "onboarding_outcome": "VARCHAR"}
#: Those that no score is made of: an answer there does not connect the feed of a CSM's answers.
ASIDE = {"csm_judgement": "VARCHAR"}

_CHILDREN = (Entity.CONTRACT, Entity.ACTIVITY, Entity.CONTACT, Entity.TICKET, Entity.SURVEY, Entity.OPPORTUNITY, Entity.OUTCOME)


def load_latest(con: duckdb.DuckDBPyConnection, relation: str, out: str, *, part: str = "NULL", where: str = "true", exprs: dict[str, str]) -> None:
    """View `out`: the latest version of each record, with the columns of `exprs` (name -> expression over `r`).

    Where every record has a single version and all are asked for, the view reads the lake itself; else it stands on a temp table.
    """
    con.execute(query_sql("crm", "repeated_ids", relation=relation, where=where))
    slots = {"relation": relation, "where": where, "columns": ", ".join(f"{expr} AS {name}" for name, expr in exprs.items())}
    repeated = any_rows(con, "j_repeated")
    rows = query_sql("crm", "latest", **slots, names=", ".join(exprs), part=part) if repeated else query_sql("crm", "single", **slots)
    if where != "true" or repeated:
        con.execute(f"CREATE OR REPLACE TEMP TABLE {out}_rows AS {rows}")
        rows = f"SELECT * FROM {out}_rows"
    con.execute(f"CREATE OR REPLACE TEMP VIEW {out} AS {rows}")


def load_masters(con: duckdb.DuckDBPyConnection, accounts: str) -> None:
    """Temp table j_master: merged-away account -> its survivor. Following chains costs, so only where any account was merged."""
    merged = any_rows(con, f"(SELECT 1 FROM {accounts} WHERE master_id IS NOT NULL)")
    con.execute(query_sql("crm", "masters", relation=accounts) if merged else query_sql("crm", "no_masters"))


def load_crm(con: duckdb.DuckDBPyConnection, lake: LakeRelations, only: str | None) -> None:
    """Temp tables j_account, j_contract …: current rows; deleted and merged-away accounts are out, children keep their flags.

    `only`: a relation of account ids (account_id); null = all.
    """
    accounts = lake.crm[Entity.ACCOUNT]
    load_masters(con, accounts)
    if only is not None:
        con.execute(query_sql("crm", "only", only=only))
        con.execute(query_sql("crm", "load_accounts", accounts=accounts, contracts=lake.crm[Entity.CONTRACT]))
    present = columns_of(con, accounts)
    exprs = {name: f"r.{name}" for name in columns(Entity.ACCOUNT)}
    exprs |= {f"own_{k}": f"TRY_CAST(r.own_{k} AS {t})" if f"own_{k}" in present else f"NULL::{t}" for k, t in (HUMAN | ASIDE).items()}
    where = "true" if only is None else "id IN (SELECT id FROM j_load)"
    load_latest(con, accounts, "j_account_version", part=lake.part, where=where, exprs=exprs)
    con.execute("CREATE OR REPLACE TEMP TABLE j_account AS SELECT * FROM j_account_version WHERE NOT coalesce(deleted, false) AND master_id IS NULL")
    for entity in _CHILDREN:
        _load_child(con, lake, entity, only is not None)


def _load_child(con: duckdb.DuckDBPyConnection, lake: LakeRelations, entity: Entity, some: bool) -> None:
    relation, where = lake.crm[entity], "true"
    if some:
        # by id, then by owner: the newest version of a line may have moved to another account
        owners = ("end_user_id", "account_id") if entity == Entity.CONTRACT else ("account_id",)
        touched = " OR ".join(f"{owner} IN (SELECT id FROM j_load)" for owner in owners)
        where = f"id IN (SELECT id FROM {relation} WHERE {touched})"
    load_latest(con, relation, f"j_{entity.value}", part=lake.part, where=where, exprs={name: f"r.{name}" for name in columns(entity)})


def build_crm_facts(con: duckdb.DuckDBPyConnection, moment: Moment, *, past: bool) -> None:
    """Temp tables j_line, j_owned, j_main, j_first_end and j_<entity>_facts.

    `past`: a date scored again, where a row's dates decide, not its state of today.
    """
    slots = {"on": literal(moment.on), "as_of": literal(moment.as_of), "status_decides": literal(not past)}
    con.execute(query_sql("crm", "contract_lines", **(slots | {"status_decides": _ended_sql(past)})))
    for name in ("owned", "main_product", "first_end", "contract_facts"):
        con.execute(query_sql("crm", name, **slots))
    zone = moment.timezone
    con.execute(query_sql("crm", "activity_facts", **slots, done_on=_day_sql("done", zone)))
    con.execute(query_sql("crm", "contact_facts", **slots))
    con.execute(query_sql("crm", "ticket_facts", **slots, opened_on=_day_sql("t.opened_at", zone), closed_on=_day_sql("t.closed_at", zone)))
    con.execute(query_sql("crm", "survey_facts", **slots, occurred_on=_day_sql("s.occurred_at", zone)))
    con.execute(query_sql("crm", "open_opportunities", **slots))
    con.execute(query_sql("crm", "outcome_facts", **slots, occurred_on=_day_sql("o.occurred_at", zone)))


def _ended_sql(past: bool) -> str:
    """When the state `ended` closes a line: today always; at a past date only where no date says when it ended."""
    return "ends_on IS NULL AND churned_on IS NULL" if past else "true"


def _day_sql(expr: str, timezone: str) -> str:
    """An instant's date in the company's time zone."""
    return f"CAST(timezone({literal(timezone)}, {expr}) AS DATE)"
