"""Customers who left lately, for a run's notes: how many, and why, by the reasons of churn.yml."""

import duckdb

from mappings.models import Mappings
from mappings.models_churn import Churn
from worker.sql import literal, query_sql
from worker.steps._relations import Moment

#: Days that a run's note looks back. Chosen: a month of news.
LATELY_DAYS = 30


def reason_code(churn: Churn, column: str) -> str:
    """The code of churn.yml that the CRM's word means, as SQL; null where it means none."""
    words = [(word.casefold(), reason.code) for reason in churn.reasons for word in (reason.code, *reason.values)]
    if not words:
        return "CAST(NULL AS VARCHAR)"
    return f"(CASE lower(trim({column})) " + " ".join(f"WHEN {literal(word)} THEN {literal(code)}" for word, code in words) + " END)"


def churn_note(con: duckdb.DuckDBPyConnection, mappings: Mappings, moment: Moment) -> dict[str, str]:
    """A report entry where anybody left in the last days and reasons are configured. Needs accounts and j_line."""
    if not mappings.churn.reasons:
        return {}
    slots = {"on": literal(moment.on), "days": str(LATELY_DAYS), "reason_code": reason_code(mappings.churn, "c.reason")}
    rows = con.execute(query_sql("churn", "lately", **slots)).fetchall()
    if not rows:
        return {}
    titles = {r.code: r.title.en for r in mappings.churn.reasons} | {"unknown": "no reason recorded", "other": "other"}
    said = ", ".join(f"{titles[code]} {n}" for code, n in rows)
    return {"churn:lately": f"Customers who left in the last {LATELY_DAYS} days: {sum(n for _, n in rows)} ({said}). `scoresync churns` says more."}
