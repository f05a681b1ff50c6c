"""What stands beside an account's own score: its products', their mean and lowest, and the roll-up of the accounts below it."""

import duckdb

from mappings.models import Mappings
from worker.sql import literal, query_sql
from worker.steps._relations import LakeRelations, Moment
from worker.steps._texts import case_sql

_FAMILY = ("score_uncapped", "score", "accounts", "worst_id", "worst_name", "worst_score")
#: Accounts of a circle named in a report; more are counted.
_NAMED = 5


def decide_products(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, run_id: str, *, full: bool) -> None:
    """Temp tables d_product, d_family, d_beside, product_history and families. Needs product_scores, d_result, j_master and j_product.

    `full`: the run sees every account, so families are added up; an increment repeats the last sums.
    """
    stamp = {"on": literal(moment.on), "run_id": literal(run_id), "as_of": literal(moment.as_of)}
    con.execute(query_sql("product", "held", history=lake.product_score_history, on=stamp["on"]))
    con.execute(query_sql("product", "history", **stamp))
    con.execute(query_sql("product", "means", relation="d_product"))
    con.execute(query_sql("product", "rollup"))
    con.execute(query_sql("product", "families") if full else "CREATE OR REPLACE TEMP TABLE p_family AS SELECT '' AS root, '' AS id WHERE false")
    cap = f"CAST({case_sql('r.capped_by', [(c.name, str(c.cap)) for c in mappings.score.caps])} AS DOUBLE)"
    con.execute(query_sql("product", "family_scores", cap=cap))
    con.execute(query_sql("product", "family_earlier", history=lake.family_history, on=stamp["on"]))
    con.execute(query_sql("product", "family_now", picked=", ".join(f"{'n' if full else 'e.newest'}.{name} AS {name}" for name in _FAMILY)))
    con.execute(query_sql("product", "family_history", **stamp))
    con.execute(query_sql("product", "beside", cap=cap))


def circle_note(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """A report entry naming accounts that are their own parent over some way: they have no roll-up until somebody mends it."""
    found = con.execute(query_sql("product", "circles")).fetchall()
    if not found:
        return {}
    named = ", ".join(f"{account_id} ({name})" if name else str(account_id) for account_id, name in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return {"parents:circle": f"{named}{more} are parents of each other in a circle, so no parent score is given. Correct ParentId in the CRM."}
