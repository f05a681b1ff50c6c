"""decide: scores and rules → decisions. Tier, trend, reasons in words, CSQL moves, flips, and the history rows to append."""

from datetime import date, timedelta

import duckdb

from mappings.models import Mappings
from worker.sql import literal, query_sql
from worker.steps._csql import build_signals, decide_csqls
from worker.steps._relations import LakeRelations, Moment
from worker.steps._scorecard import scorecards
from worker.steps._words import LateFeed, data_status_slots, reason_slots
from worker.steps.join import join_accounts
from worker.steps.score import read_feeds, score_accounts


def decide_accounts(
    con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, *, run_id: str, resync: bool = False
) -> None:
    """Temp tables decisions, csql_desired, flips, history and signals, from accounts, account_products, feeds, scores and parts.

    Closing scores of earlier dates only: run again on the same day it replaces today's entry and advances no counter.
    """
    _decide_tiers(con, mappings, moment, run_id, lake.score_history)
    build_signals(con, lake, mappings, moment, run_id, lake.score_history, lake.signal_history)
    decide_csqls(con, lake, mappings, moment)
    con.execute(query_sql("decide", "reasons"))
    con.execute(query_sql("decide", "white_space"))
    cards = scorecards(mappings, read_feeds(con))
    late = [LateFeed(str(name), until) for name, until in con.execute("SELECT feed, as_of_on FROM feeds WHERE late ORDER BY feed").fetchall()]
    slots = reason_slots(mappings) | data_status_slots(cards, late)
    con.execute(query_sql("decide", "decisions", not_scored=literal(_not_scored_value(mappings)), resync=literal(resync), **slots))
    _load_alerts(con, mappings)
    con.execute(query_sql("decide", "flips"))


def _decide_tiers(con: duckdb.DuckDBPyConnection, mappings: Mappings, moment: Moment, run_id: str, history: str) -> None:
    """Temp tables d_result and history, view d_row."""
    score = mappings.score
    on = literal(moment.on)
    some = "account_id IN (SELECT account_id FROM scores)"
    con.execute(query_sql("decide", "earlier", on=on, window=str(score.trend.window_days), history=history, some=some))
    e5, e4, e3, e2 = score.tiers.edges
    plain = f"(CASE WHEN score >= {e5} THEN 5 WHEN score >= {e4} THEN 4 WHEN score >= {e3} THEN 3 WHEN score >= {e2} THEN 2 ELSE 1 END)"
    con.execute(
        query_sql(
            "decide", "results", plain=plain, lower=f"[NULL, {e2}, {e3}, {e4}, {e5}]", upper=f"[{e2}, {e3}, {e4}, {e5}, NULL]",
            margin=str(score.tiers.margin), closings=str(score.tiers.closings), arrow=str(score.trend.arrow),
        )
    )  # fmt: skip
    con.execute(query_sql("decide", "history", on=on, run_id=literal(run_id), as_of=literal(moment.as_of)))
    con.execute(query_sql("decide", "row"))


def _not_scored_value(mappings: Mappings) -> str:
    """The tier picklist's value that is no number."""
    values = [v.value for f in mappings.writeback.of("account") if (f.value or f.key) == "tier_label" for v in f.values]
    return next((v for v in values if not v.isdigit()), "not_scored")


def _load_alerts(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> None:
    rows = ", ".join(f"({literal('alert/' + name)}, {literal(a.channel)}, {a.cooldown_days})" for name, a in sorted(mappings.alerts.items()))
    values = rows or "(NULL, NULL, NULL)"
    con.execute(
        "CREATE OR REPLACE TEMP TABLE d_alert_config AS SELECT CAST(rule AS VARCHAR) AS rule, CAST(channel AS VARCHAR) AS channel, "
        f"CAST(cooldown_days AS BIGINT) AS cooldown_days FROM (VALUES {values}) AS v(rule, channel, cooldown_days) WHERE rule IS NOT NULL"
    )


# --- first run: past dates from the lake ---------------------------------------------------------------------------------------------------------
def past_days(mappings: Mappings, on: date) -> list[date]:
    """The dates a first run scores again, oldest first."""
    history = mappings.score.history
    return [on - timedelta(days=d) for d in range(history.backfill_days, 0, -history.backfill_step_days)] if history.backfill_days else []


def backfill(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, *, run_id: str) -> LakeRelations:
    """Scores every past date with what the lake says of it; returns relations whose histories hold those rows.

    The rows themselves are in temp tables b_history and b_signals. Tables of the run (accounts, scores …) are overwritten: load them afterwards.
    """
    for table, source in (("b_history", lake.score_history), ("b_signals", lake.signal_history)):
        con.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM {source} LIMIT 0")
    for day in past_days(mappings, moment.on):
        _score_past(con, lake, mappings, moment.end_of(day), run_id)
    histories = {
        "score_history": f"(SELECT * FROM {lake.score_history} UNION ALL BY NAME SELECT * FROM b_history)",
        "signal_history": f"(SELECT * FROM {lake.signal_history} UNION ALL BY NAME SELECT * FROM b_signals)",
    }
    return LakeRelations(**{**lake.__dict__, **histories})


def _score_past(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, run_id: str) -> None:
    """One past date: closing scores and signals only; nothing is opened or written for it."""
    join_accounts(con, lake, mappings, moment, past=True)
    score_accounts(con, mappings, full=True)
    _decide_tiers(con, mappings, moment, run_id, "b_history")
    build_signals(con, lake, mappings, moment, run_id, "b_history", "b_signals")
    con.execute("INSERT INTO b_history BY NAME SELECT * FROM history")
    con.execute("INSERT INTO b_signals BY NAME SELECT * FROM signals")
