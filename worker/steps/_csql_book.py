"""What sales made of the CSQLs of each rule, for a run's report and the list: counts, rates, and what somebody should look at."""

from typing import Any

import duckdb

from mappings.models import Mappings
from worker.steps._csql import muted_rules

_RESULTS = "SELECT rule, tried, accepted, met, won, returned, without_reason FROM q_result ORDER BY rule"


def rule_results(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> list[dict[str, Any]]:
    """One row per rule and version that any record names (`by hand` for those of people). Rates in percent of `tried`, null without any."""
    muted = {f"{name} v{mappings.csql[name].version}" for name in muted_rules(con, mappings)}
    rows = []
    for rule, tried, *counts in con.execute(_RESULTS).fetchall():
        named = dict(zip(("accepted", "met", "won", "returned", "without_reason"), map(int, counts), strict=True))
        rates = {f"{name}_percent": _percent(named[name], int(tried)) for name in ("accepted", "met", "won")}
        rows.append({"rule": rule or "by hand", "tried": int(tried), **named, **rates, "muted": rule in muted})
    return rows


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 1) if whole else None


def csql_report(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> dict[str, Any]:
    """Keys of the run's report: the results once sales decided on any record, and sentences for its notes."""
    rows = rule_results(con, mappings)
    report: dict[str, Any] = {"csql_rules": rows} if any(row["tried"] for row in rows) else {}
    for name, (accepted, tried) in muted_rules(con, mappings).items():
        report[f"csql:muted:{name}"] = (
            f"CSQL rule {name} v{mappings.csql[name].version} rests: sales accepted {accepted} of {tried}. "
            f"Raise its bar and its version, or list it under `unmute` in csql_policy.yml."
        )
    without = sum(row["without_reason"] for row in rows)
    if without:
        report["csql:without_reason"] = f"{without} CSQLs were returned without a reason: ask sales for one, or the same lead comes back."
    waiting = con.execute("SELECT count(*), count(DISTINCT rep) FROM q_waiting").fetchall()[0]
    if waiting[0]:
        report["csql:waiting"] = f"{waiting[0]} CSQLs wait for a place with {waiting[1]} sales reps (`load_cap` in csql_policy.yml)."
    late = con.execute("SELECT count(*) FILTER (accept_late), count(*) FILTER (contact_late) FROM q_sla").fetchall()[0]
    if any(late):
        report["csql:late"] = f"Past their day: {late[0]} CSQLs to accept or return, {late[1]} to contact first (`scoresync csqls`)."
    return report
