"""The load cap: how many CSQLs a sales rep has open at most before the worker hands over another. [CS-57]

Only what the worker hands over by itself waits: what a CSM submits counts, and is never held back.
"""

import duckdb

from connectors.entities import Entity
from mappings.models import CsqlPolicy
from worker.sql import literal, query_sql
from worker.steps._crm import load_latest
from worker.steps._relations import LakeRelations, Moment, any_rows

#: Open states in which nothing is with sales.
_NOT_WITH_SALES = ("Candidate", "Nurture")


def hold_to_cap(con: duckdb.DuckDBPyConnection, lake: LakeRelations, policy: CsqlPolicy, moment: Moment, *, full: bool) -> None:
    """Temp tables q_waiting and csqls_waiting; what finds no place gets its reason in q_chosen, and stays on hold in q_open.

    Places are given out by full runs. Any other run gives out only what was free before its day, to whom it looks at.
    """
    con.execute(query_sql("csql_load", "none_waiting"))
    if policy.load_cap is not None:
        con.execute(query_sql("csql_load", "asking"))
        if any_rows(con, "q_asking"):
            _give_out(con, lake, policy, moment, policy.load_cap, full=full)
    con.execute(query_sql("csql_load", "waiting_list"))


def _give_out(con: duckdb.DuckDBPyConnection, lake: LakeRelations, policy: CsqlPolicy, moment: Moment, cap: int, *, full: bool) -> None:
    states = ", ".join(literal(s) for s in policy.open_states if s not in _NOT_WITH_SALES) or "NULL"
    con.execute(query_sql("csql_load", "with_sales", with_sales=states, full=literal(full), on=literal(moment.on)))
    some = "id IN (SELECT account_id FROM q_with_sales UNION ALL SELECT account_id FROM q_asking)"
    load_latest(con, lake.crm[Entity.ACCOUNT], "q_owner", part=lake.part, where=some, exprs={"id": "r.id", "owner_id": "r.owner_id"})
    con.execute(query_sql("csql_load", "waiting", cap=str(cap)))
    # the same words in every run and for every place in the queue: a move in the queue is no news to a record
    en = f"waits its turn: sales takes {cap} open CSQLs per person, best first"
    ja = f"順番待ちです(営業1人あたり{cap}件まで、有望な順にご案内)"
    con.execute(query_sql("csql_load", "hold_back", en=literal(en), ja=literal(ja)))
    con.execute(query_sql("csql_load", "hold_on"))
