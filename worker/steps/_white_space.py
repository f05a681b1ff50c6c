"""White space in detail: each product an account lacks, with fit, who sells it and what stands in the way. [CS-60]"""

import duckdb

from mappings.models import Mappings
from worker.sql import literal, query_sql
from worker.steps._csql import STATE_WORDS, open_order, standing_gates
from worker.steps._relations import Moment
from worker.steps._texts import case_sql

_COLUMN = "white_space_detail"


def add_white_space(con: duckdb.DuckDBPyConnection, mappings: Mappings, moment: Moment) -> None:
    """Puts the text on `decisions` where a field that is switched on takes it. Needs what `decide_csqls` leaves."""
    if _COLUMN not in {f.value or f.key for f in mappings.writeback.active() if f.object == "account"}:
        return
    words = {
        lang: case_sql("csql_state", [(s, literal(STATE_WORDS.get(s, (s, s))[place])) for s in open_order(mappings)])
        for place, lang in enumerate(("en", "ja"))
    }
    con.execute(
        query_sql(
            "white_space", "detail", gates=", ".join(standing_gates(mappings, moment)), fit="CAST(CAST(round_even(fit, 0) AS BIGINT) AS VARCHAR)",
            under_way_en=f"'CSQL ' || lower({words['en']})", under_way_ja=f"'CSQL' || {words['ja']}",
        )
    )  # fmt: skip
    con.execute("CREATE OR REPLACE TEMP TABLE decisions AS SELECT * FROM decisions LEFT JOIN d_white_detail USING (account_id) ORDER BY account_id")
