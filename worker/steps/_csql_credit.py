"""Attribution: whom submitted, accepted and won CSQLs count for. [CS-58]

The number of CSQLs is the CSM's; whether the money is, too, is a setting: `pass_only` gives won ones to sales alone, `shared` to both in full (they
are never added up), `cs_closes` to whoever closed it, the CSM unless the record names somebody.
"""

import duckdb

from connectors.entities import Entity
from mappings.models import CsqlPolicy
from worker.sql import query_sql
from worker.steps._crm import load_latest
from worker.steps._relations import LakeRelations

#: Mode -> who closes where the record does not say, and whether a won one counts for the CSM and for the rep.
_MODES = {
    "pass_only": ("rep", "false", "true"),
    "shared": ("rep", "true", "true"),
    "cs_closes": ("coalesce(nullif(csm, ''), rep)", "closer = csm", "closer <> csm"),
}


def build_credits(con: duckdb.DuckDBPyConnection, lake: LakeRelations, policy: CsqlPolicy) -> None:
    """Temp table csql_credits. Needs what `load_csqls` loads. People are those of the accounts' present version."""
    exprs = {"id": "r.id", "owner_id": "r.owner_id", "csm_id": "r.csm_id"}
    ids = "SELECT coalesce(m.master_id, o.account_id) FROM j_csql AS o LEFT JOIN j_master AS m ON m.id = o.account_id"
    load_latest(con, lake.crm[Entity.ACCOUNT], "q_people", part=lake.part, where=f"id IN ({ids})", exprs=exprs)
    closer, csm_won, rep_won = _MODES[policy.attribution]
    con.execute(query_sql("csql_credit", "credits", closer=closer, csm_won=csm_won, rep_won=rep_won))
