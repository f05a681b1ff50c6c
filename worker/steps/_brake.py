"""The score brake: a run that would move too many accounts across a tier, or open too many CSQLs, stops before anything is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from mappings.models import Brake
from worker.sql import literal

#: Movers named in the report. Chosen: what a person reads before approving; the whole list is in the run folder.
MOVERS_NAMED = 50


@dataclass(frozen=True)
class BrakeReport:
    """`matrix[before - 1][after - 1]` counts accounts by tier. A first score is no move. `why` is empty when nothing stops."""

    scored: int
    moved: int
    moved_percent: float
    csql_opened: int
    matrix: list[list[int]]
    movers: list[dict[str, Any]]  # account_id, tier_before, tier, score; farthest first
    why: str

    def as_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)


def brake(con: duckdb.DuckDBPyConnection, history: str, on: date, spec: Brake, approved: Sequence[str] = ()) -> BrakeReport:
    """Compares `decisions` and `csql_desired` of this connection with the last scored row of `history` before `on`.

    `approved`: ids of runs that a person let go on. What they moved on the same day is known and not asked about again.
    """
    known = f"on_ < {literal(on)}" + (f" OR run_id IN ({', '.join(literal(one) for one in approved)})" if approved else "")
    before = f"SELECT account_id, arg_max(tier, (on_, as_of)) AS tier FROM {history} WHERE ({known}) AND tier IS NOT NULL GROUP BY account_id"
    pairs = (
        "SELECT d.account_id, h.tier AS before, d.tier AS after, d.score "
        f"FROM decisions AS d JOIN ({before}) AS h ON h.account_id = d.account_id WHERE d.tier IS NOT NULL"
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE tier_pairs AS {pairs}")
    matrix = [[0] * 5 for _ in range(5)]
    for before, after, n in con.execute("SELECT before, after, count(*) FROM tier_pairs GROUP BY ALL").fetchall():
        matrix[before - 1][after - 1] = n
    scored = sum(map(sum, matrix))
    moved = scored - sum(matrix[i][i] for i in range(5))
    percent = round(moved * 100 / scored, 2) if scored else 0.0
    opened = con.execute("SELECT count(*) FROM csql_desired WHERE move = 'open'").fetchone()
    csqls = int(opened[0]) if opened else 0
    found = con.execute(
        "SELECT account_id, before, after, score FROM tier_pairs WHERE before <> after "
        f"ORDER BY abs(after - before) DESC, account_id LIMIT {MOVERS_NAMED}"
    ).fetchall()
    movers = [{"account_id": account, "tier_before": before, "tier": after, "score": score} for account, before, after, score in found]
    return BrakeReport(scored, moved, percent, csqls, matrix, movers, "; ".join(_reasons(scored, percent, csqls, spec)))


def _reasons(scored: int, percent: float, csqls: int, spec: Brake) -> list[str]:
    reasons = []
    if scored >= spec.min_accounts and percent > spec.tier_moves_percent:
        reasons.append(f"{percent:g} % of {scored} accounts would change tier; the score's brake allows {spec.tier_moves_percent:g} %")
    if csqls > spec.csql_opened:
        reasons.append(f"{csqls} CSQL records would be opened; the score's brake allows {spec.csql_opened}")
    return reasons
