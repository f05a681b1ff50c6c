"""decide: scores and rules → decisions. Tier, trend, reasons in words, CSQL moves, flips, and the history rows to append."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import duckdb
from sqlalchemy import Executable

from connectors.entities import Entity
from mappings.models import Mappings
from worker.items import Item, NewItem, Outcome, RunKind, StepContext
from worker.sql import literal, query_sql
from worker.steps._alerts import alert_slots, build_recipients, build_recovered
from worker.steps._assign import assign
from worker.steps._brake import brake
from worker.steps._calendar import build_calendar
from worker.steps._crm import load_masters
from worker.steps._csql import build_signals, decide_csqls, load_csqls
from worker.steps._csql_book import csql_report
from worker.steps._csql_credit import build_credits
from worker.steps._evidence import add_evidence, evidence_tables, needs_product_facts
from worker.steps._guard import leave_guard
from worker.steps._lake import FACTS, HISTORIES, bring, leave, leave_json, moment_of, open_lake
from worker.steps._merged import inherited
from worker.steps._part_history import KEEPING, keep_past, leave_past, start_past, with_past
from worker.steps._patterns import build_pattern_words, finish_patterns
from worker.steps._relations import LakeRelations, Moment
from worker.steps._renewal import build_renewal
from worker.steps._rollup import circle_note, decide_products
from worker.steps._sales import add_sales, lake_tables
from worker.steps._scorecard import scorecards
from worker.steps._usage import load_catalogue
from worker.steps._white_space import add_white_space
from worker.steps._why import add_why
from worker.steps._words import LateFeed, data_status_slots, reason_slots, setup_slots
from worker.steps.join import join_accounts
from worker.steps.score import read_feeds, score_all
from worker.store import registers, runs


def decide_accounts(
    con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, *, run_id: str, resync: bool = False, full: bool = True
) -> None:
    """Temp tables decisions, csql_desired, flips, history and signals, from accounts, account_products, feeds, scores, parts and product_scores.

    Closing scores of earlier dates only: run again on the same day it replaces today's entry and advances no counter.
    """
    load_catalogue(con, mappings)
    build_calendar(con, mappings.calendar, moment.on - timedelta(days=45), moment.on + timedelta(days=120))
    load_masters(con, lake.crm[Entity.ACCOUNT])
    lake = inherited(con, lake, mappings.calendar.timezone)
    load_csqls(con, lake, mappings, moment)
    _decide_tiers(con, mappings, moment, run_id, lake.score_history)
    decide_products(con, lake, mappings, moment, run_id, full=full)
    build_signals(con, lake, mappings, moment, run_id, lake.score_history, lake.signal_history)
    decide_csqls(con, lake, mappings, moment, full=full)
    con.execute(query_sql("decide", "reasons"))
    con.execute(query_sql("decide", "white_space"))
    assign(con, lake, mappings, moment, run_id=run_id, whole=full)
    build_renewal(con, mappings, moment)
    cards = scorecards(mappings, read_feeds(con))
    late = [LateFeed(str(name), until) for name, until in con.execute("SELECT feed, as_of_on FROM feeds WHERE late ORDER BY feed").fetchall()]
    build_pattern_words(con, mappings)
    slots = reason_slots(mappings) | setup_slots(mappings) | data_status_slots(cards, late) | alert_slots(mappings)
    con.execute(query_sql("decide", "decisions", not_scored=literal(_not_scored_value(mappings)), resync=literal(resync), **slots))
    add_why(con, lake, mappings, moment)
    add_white_space(con, mappings, moment)
    build_recipients(con, lake)
    build_recovered(con, mappings)
    con.execute(query_sql("decide", "flips", on=literal(moment.on), language=mappings.writeback.language))
    finish_patterns(con, moment.on)
    add_sales(con, lake, mappings, moment, run_id=run_id, whole=full)
    add_evidence(con, lake, mappings, moment, whole=full)


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
    con.execute(query_sql("csql_life", "no_sla"))
    con.execute(query_sql("decide", "row"))


def _not_scored_value(mappings: Mappings) -> str:
    """The tier picklist's value that is no number."""
    values = [v.value for f in mappings.writeback.of("account") if (f.value or f.key) == "tier_label" for v in f.values]
    return next((v for v in values if not v.isdigit()), "not_scored")


# --- first run: past dates from the lake ---------------------------------------------------------------------------------------------------------
def past_days(mappings: Mappings, on: date) -> list[date]:
    """The dates a first run scores again, oldest first. Yesterday is always among them: without its closing a tier of last week would still stand."""
    history = mappings.score.history
    steps = set(range(history.backfill_days, 0, -history.backfill_step_days))
    return [on - timedelta(days=d) for d in sorted(steps | {1}, reverse=True)] if steps else []


def backfill(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, *, run_id: str) -> LakeRelations:
    """Scores every past date with what the lake says of it; returns relations whose histories hold those rows.

    The rows themselves are in temp tables b_history and b_signals. Tables of the run (accounts, scores …) are overwritten: load them afterwards.
    """
    for table, source in (("b_history", lake.score_history), ("b_signals", lake.signal_history)):
        con.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM {source} LIMIT 0")
    start_past(con)
    for day in past_days(mappings, moment.on):
        _score_past(con, lake, mappings, moment.end_of(day), run_id)
    return replace(lake, score_history=_with(lake.score_history, "b_history"), signal_history=_with(lake.signal_history, "b_signals"))


def _score_past(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, run_id: str) -> None:
    """One past date: closing scores and signals only; nothing is opened or written for it."""
    join_accounts(con, lake, mappings, moment, past=True)
    score_all(con, mappings, full=True, products=False)
    _decide_tiers(con, mappings, moment, run_id, "b_history")
    build_signals(con, lake, mappings, moment, run_id, "b_history", "b_signals")
    con.execute("INSERT INTO b_history BY NAME SELECT * FROM history")
    con.execute("INSERT INTO b_signals BY NAME SELECT * FROM signals")
    keep_past(con, moment, run_id)


# --- the step ------------------------------------------------------------------------------------------------------------------------------------
def plan(ctx: StepContext) -> list[NewItem]:
    return [NewItem("all")]


def run(ctx: StepContext, item: Item) -> Outcome:
    """Leaves decisions, csql_desired, flips, history, signals and brake.json. Keys of new CSQL records are given out with the item's end."""
    moment = moment_of(ctx)
    first = _backfill_first(ctx, moment)
    tables = {"crm_account", "crm_csql", "crm_user", "writes", "assignment_history", *HISTORIES, *KEEPING}
    con, lake = open_lake(ctx, tables | {*lake_tables(ctx.mappings), *evidence_tables(ctx.mappings)})
    before = lake.score_history
    if first:
        bring(con, ctx.folder, "past_history", "past_signals")
        lake = replace(lake, score_history=_with(lake.score_history, "past_history"), signal_history=_with(lake.signal_history, "past_signals"))
    bring(con, ctx.folder, "accounts", "account_products", "feeds", "scores", "parts", "product_scores", "points")
    if needs_product_facts(ctx.mappings):
        bring(con, ctx.folder, "product_facts")
    lake = with_past(con, ctx.folder, lake) if first else lake
    whole = ctx.run.kind == RunKind.FULL and ctx.run.accounts is None
    decide_accounts(con, lake, ctx.mappings, moment, run_id=ctx.run.id, resync=ctx.run.kind == RunKind.RESYNC, full=whole)
    if first:
        con.execute("INSERT INTO history BY NAME SELECT * FROM past_history")
        con.execute("INSERT INTO signals BY NAME SELECT * FROM past_signals")
    for table in ("decisions", "csql_desired", "flips", "history", "signals", "product_history", "families", "renewal_steps", "csqls"):
        leave(con, ctx.folder, table)
    for table in ("csqls_waiting", "assignments"):
        leave(con, ctx.folder, table)
    if whole and "fit_history" in lake_tables(ctx.mappings):
        leave(con, ctx.folder, "fit_changes")
    leave(con, ctx.folder, "assigned", order="ORDER BY account_id")
    if whole:
        build_credits(con, lake, ctx.mappings.policy)
        leave(con, ctx.folder, "csql_credits")
    guarded = leave_guard(con, lake, ctx.mappings, moment, ctx.folder) if whole else {}
    report = brake(con, before, moment.on, ctx.mappings.score.brake, runs.approved(ctx.ledger))
    leave_json(ctx.folder, "brake.json", report.as_dict())
    stops = report.why and not (ctx.run.dry_run or ctx.mappings.scope.shadow)
    return Outcome(
        stats=_stats(con),
        statements=_keys(ctx, con),
        report={**circle_note(con), **csql_report(con, ctx.mappings), **guarded},
        brake=report.as_dict() if stops else None,
    )


def _with(relation: str, past: str) -> str:
    return f"(SELECT * FROM {relation} UNION ALL BY NAME SELECT * FROM {past})"


def _backfill_first(ctx: StepContext, moment: Moment) -> bool:
    """Score past dates if no run ever left history. On a connection of its own, whose tables are those of other dates."""
    if ctx.run.kind != RunKind.FULL or ctx.run.accounts is not None or ctx.files("score_history") or not past_days(ctx.mappings, moment.on):
        return False
    con, lake = open_lake(ctx, (*FACTS, *HISTORIES))
    backfill(con, lake, ctx.mappings, moment, run_id=ctx.run.id)
    con.execute("CREATE TEMP VIEW past_history AS SELECT * FROM b_history")
    con.execute("CREATE TEMP VIEW past_signals AS SELECT * FROM b_signals")
    leave(con, ctx.folder, "past_history")
    leave(con, ctx.folder, "past_signals")
    leave_past(con, ctx.folder)
    con.close()
    return True


def _stats(con: duckdb.DuckDBPyConnection) -> dict[str, float]:
    moves = dict(con.execute("SELECT move, count(*) FROM csql_desired GROUP BY move").fetchall())
    words = con.execute("SELECT coalesce(sum(csql_open_count), 0), count(csql_suppressed_en) FROM decisions").fetchone() or (0, 0)
    return {
        "csql.opened": float(moves.get("open", 0)),
        "csql.closed": float(moves.get("expire", 0)),
        "csql.open": float(words[0]),
        "csql.suppressed": float(words[1]),
    }


def _keys(ctx: StepContext, con: duckdb.DuckDBPyConnection) -> Sequence[Executable]:
    """The keys given out by this run."""
    rows = con.execute(
        "SELECT external_key, account_id, coalesce(product, ''), CAST(split_part(external_key, '|', 3) AS BIGINT), coalesce(rule, '') "
        "FROM csql_desired WHERE move IN ('open', 'complete') ORDER BY external_key"
    ).fetchall()
    return registers.put_csql_keys(ctx.ledger, [registers.CsqlKeyRow(k, a, p, n, r[:40], ctx.run.id) for k, a, p, n, r in rows])
