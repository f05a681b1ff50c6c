"""One page on an account for a renewal or business review: what the last run knows, put in the order in which one talks about it.

Like explain, everything is read from the run folder and the lake; nothing is scored again. The version for the customer is built from a list of what
it may hold (`CUSTOMER`), so that a new part stays inside until somebody puts it there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import duckdb

from connectors.entities import Entity
from connectors.values import id_18
from mappings.models import Mappings
from worker._rows import results_sql
from worker.runtime import Runtime
from worker.sql import literal, query_sql
from worker.steps._crm import build_crm_facts, load_crm
from worker.steps._evidence import build_progress, load_outcomes
from worker.steps._lake import FACTS, HISTORIES, open_relations
from worker.steps._relations import LakeRelations, Moment, columns_of
from worker.steps._texts import text_sql
from worker.steps._usage import days_sql, load_catalogue, load_usage
from worker.store import runs
from worker.store.engine import open_engine

#: How many weeks of use, months of revenue, and rows of a list are shown. Chosen: what one page holds.
WEEKS, MONTHS, LISTED = 13, 12, 5
_RUNS_BACK = 50

#: Parts of the version for the customer: their own contract, use, set-up, tickets, results and dates. No score, no reason, no plan of ours.
CUSTOMER = frozenset(
    {
        "language",
        "account",
        "as_of",
        "usage_as_of",
        "lines",
        "weeks",
        "users",
        "setup",
        "onboarding",
        "outcomes",
        "goal",
        "progress",
        "tickets",
        "notice",
        "steps",
        "questions",
    }
)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Brief:
    """`parts`: what the templates show. A part that is empty or null is left out by them."""

    parts: dict[str, Any]
    customer_safe: bool


def brief_account(opened: Runtime, account: str, *, language: str | None = None, customer_safe: bool = False) -> Brief | None:
    """From the newest run that knows the account and decided on it; null where none of the last runs does."""
    account = id_18(account)
    for run in runs.latest(opened.ledger, _RUNS_BACK):
        folder = opened.settings.runs_folder.absolute() / run.id
        if not (folder / "decisions.parquet").is_file():
            continue
        mappings = opened.mappings(run.mappings_hash)
        con = open_engine(opened.settings, [opened.lake.root, folder])
        try:
            if _rows(con, f"SELECT 1 FROM {_file(folder, 'decisions')} WHERE account_id = {literal(account)}"):
                lake = open_relations(con, opened.lake, opened.ledger, mappings, None, (*FACTS, *HISTORIES))
                return brief(con, folder, lake, account, mappings, language or mappings.writeback.language, customer_safe=customer_safe)
        finally:
            con.close()
    return None


def brief(
    con: duckdb.DuckDBPyConnection, folder: Path, lake: LakeRelations, account: str, mappings: Mappings, language: str, *, customer_safe: bool = False
) -> Brief:
    """The page of one account of a run. IndexError if the run does not know it."""
    row = _load(con, folder, lake, account, mappings)
    decision = _rows(con, f"SELECT * FROM {_file(folder, 'decisions')} WHERE account_id = {literal(account)}")[0]
    moment = Moment(row["as_of"], mappings.calendar.timezone)
    slots = {
        "account": literal(account), "lang": language, "limit": str(LISTED), "zone": literal(moment.timezone), "as_of": literal(moment.as_of),
        "mine": f"(a.account_id = {literal(account)} OR a.account_id IN (SELECT id FROM j_master WHERE master_id = {literal(account)}))",
    }  # fmt: skip
    parts: dict[str, Any] = {"language": language, "as_of": moment.on, "usage_as_of": row["usage_as_of"], "stage": row["stage"]}
    parts["account"] = {"id": account, "segment": row["segment"], "name": next((r["name"] for r in _query(con, "account", slots)), None) or account}
    parts |= {name: _query(con, name, slots) for name in ("lines", "tickets", "outcomes")}
    parts["outcomes"] = [_with_change(o) for o in parts["outcomes"]]
    parts |= {"weeks": _weeks(con, lake, row["usage_as_of"], slots), "months": _months(con, moment.on, slots), "scores": _scores(con, lake, account)}
    parts["csqls"] = _query(con, "csqls", slots | {"csql_desired": _file(folder, "csql_desired")})
    parts["users"] = {k: row[k] for k in ("active_users_28d", "active_users_prev_28d", "seats", "seat_use")}
    parts["setup"] = {k: row[k] for k in ("setup_steps_done", "setup_steps_total", "setup_as_of")}
    parts["onboarding"] = _onboarding(con, folder, row, account, language)
    parts["notice"] = {k: row[k] for k in ("notice_on", "notice_estimated", "days_to_notice", "contract_ends_on", "auto_renew", "renewal_number")}
    if not customer_safe:
        parts["notice"] |= {"qbr_due_on": decision.get("qbr_due_on"), "last_qbr_on": row["last_qbr_on"]}
    parts["steps"] = _steps(con, folder, account, language, customer_safe)
    parts["score"] = _score(decision, row, language, mappings)
    parts["ideas"] = {"white_space": decision.get(f"white_space_{language}"), "ready": decision.get("expansion_ready"),
                      "suppressed": decision.get(f"csql_suppressed_{language}"), "status": decision.get(f"csql_status_{language}")}  # fmt: skip
    parts["questions"] = _questions(con, mappings, language, customer_safe)
    parts["goal"] = _goal(con, lake, account)
    parts["progress"] = _progress(con, lake, moment, account)
    if customer_safe:
        parts = {name: part for name, part in parts.items() if name in CUSTOMER}
    return Brief(parts, customer_safe)


def _load(con: duckdb.DuckDBPyConnection, folder: Path, lake: LakeRelations, account: str, mappings: Mappings) -> dict[str, Any]:
    """The account's facts as temp tables, and its row of the run."""
    asked = _rows(con, f"SELECT as_of FROM {_file(folder, 'accounts')} WHERE account_id = {literal(account)}")[0]
    moment = Moment(asked["as_of"], mappings.calendar.timezone)
    con.execute(f"CREATE OR REPLACE TEMP TABLE x_only AS SELECT {literal(account)} AS account_id")
    load_catalogue(con, mappings)
    load_crm(con, lake, "x_only")
    build_crm_facts(con, moment, past=False)
    load_usage(con, lake, mappings, moment, some=True)
    results = results_sql(columns_of(con, _file(folder, "decisions")))
    files = {table: _file(folder, table) for table in ("accounts", "decisions", "scores")}
    con.execute(query_sql("brief", "row", results=results, account=literal(account), **files))
    return _rows(con, "SELECT * FROM b_row")[0]


def _query(con: duckdb.DuckDBPyConnection, name: str, slots: dict[str, str]) -> list[dict[str, Any]]:
    return _rows(con, query_sql("brief", name, **slots))


def _weeks(con: duckdb.DuckDBPyConnection, lake: LakeRelations, end: date | None, slots: dict[str, str]) -> list[dict[str, Any]]:
    """Events of each of the last weeks, weeks without any included; none where no usage is connected or the account is not matched."""
    if end is None:
        return []
    tenants = "t.tenant_key IN (SELECT tenant_key FROM j_match)"
    found = {
        r["week"]: r["events"] for r in _query(con, "weeks", slots | {"end": literal(end), "weeks": str(WEEKS), "days": days_sql(con, lake, tenants)})
    }
    starts = [end - timedelta(days=7 * n + 6) for n in reversed(range(WEEKS))]
    return [{"week": start, "events": found.get(start, 0)} for start in starts] if found else []


def _with_change(outcome: Row) -> dict[str, Any]:
    """The change against the baseline in words, as signed percent: down is what it says, also where fewer is better."""
    before, now = outcome["baseline"], outcome["current_value"]
    if not before or now is None:
        return {**outcome, "change": "–"}
    percent = int(Decimal(100 * (now - before) / abs(before)).quantize(Decimal(1), ROUND_HALF_EVEN))
    return {**outcome, "change": f"{percent:+d}%".replace("-", "−") if percent else "0%"}


def _months(con: duckdb.DuckDBPyConnection, on: date, slots: dict[str, str]) -> list[dict[str, Any]]:
    """Revenue at the ends of the last months and today."""
    ends = [on]
    while len(ends) < MONTHS:
        ends.append(ends[-1].replace(day=1) - timedelta(days=1))
    listed = f"[{', '.join(literal(end) for end in reversed(ends))}]"
    return _query(con, "months", slots | {"ends": listed})


def _scores(con: duckdb.DuckDBPyConnection, lake: LakeRelations, account: str) -> list[dict[str, Any]]:
    """Every date on which something about the score changed, oldest first."""
    return _rows(con, query_sql("brief", "scores", history=lake.score_history, account=literal(account)))


def _onboarding(con: duckdb.DuckDBPyConnection, folder: Path, row: Row, account: str, lang: str) -> dict[str, Any] | None:
    """The plan of the main product with its steps, while it is open."""
    if row["onboarding_status"] in (None, "completed") or not (folder / "onboarding_steps.parquet").is_file():
        return None
    steps = _rows(
        con,
        f"SELECT title_{lang} AS title, due_on, done, done_on, overdue FROM {_file(folder, 'onboarding_steps')} "
        f"WHERE account_id = {literal(account)} AND plan = {literal(row['onboarding_plan'])} ORDER BY place",
    )
    return {"due_on": row["onboarding_due_on"], "next": row[f"onboarding_next_{lang}"], "steps": steps,
            "done": row["onboarding_steps_done"], "total": row["onboarding_steps_total"]}  # fmt: skip


def _steps(con: duckdb.DuckDBPyConnection, folder: Path, account: str, lang: str, customer_safe: bool) -> list[dict[str, Any]]:
    """Steps of the renewal preparation; on the customer's page those that are theirs, too."""
    if not (folder / "renewal_steps.parquet").is_file():
        return []
    theirs = " AND side = 'customer'" if customer_safe else ""
    columns = f"title_{lang} AS title, due_on, done, by_date" + ("" if customer_safe else f", action_{lang} AS action")
    return _rows(con, f"SELECT {columns} FROM {_file(folder, 'renewal_steps')} WHERE account_id = {literal(account)}{theirs} ORDER BY place")


def _score(decision: Row, row: Row, lang: str, mappings: Mappings) -> dict[str, Any]:
    """Score with axes and reasons. Further reasons are shown where the run wrote them."""
    tiers = [v for f in mappings.writeback.of("account") if (f.value or f.key) == "tier_label" for v in f.values]
    tier = next((getattr(v, lang) for v in tiers if v.value == decision["tier_label"]), decision["tier_label"])
    said = {name: decision.get(f"{name}_{lang}") for name in ("exception", "next_action", "data_status", "setup_overdue", "renewal_next")}
    down = [decision.get(f"{name}_{lang}") for name in ("main_reason", "reason_2", "reason_3")]
    up = [decision.get(f"{name}_{lang}") for name in ("strength", "strength_2", "strength_3")]
    axes = {axis: decision[axis] for axis in ("deployment", "adoption", "engagement", "outcome")}
    return {"score": decision["score"], "tier": tier, "delta": decision["delta_28d"], "axes": axes, "down": [r for r in down if r],
            "up": [r for r in up if r], "pulse": row["pulse"], **said}  # fmt: skip


def _questions(con: duckdb.DuckDBPyConnection, mappings: Mappings, lang: str, customer_safe: bool) -> list[str]:
    """Suggested questions whose condition holds, in the order of renewal.yml."""
    asked = [q for q in mappings.renewal.questions if q.side == "customer" or not customer_safe]
    if not asked:
        return []
    texts = ", ".join(f"CASE WHEN {_holds(q.when)} THEN {text_sql(getattr(q.text, lang), lang)} END" for q in asked)
    return [text for text in _rows(con, f"SELECT [{texts}] AS said FROM b_row")[0]["said"] if text]


def _holds(when: str | None) -> str:
    return f"coalesce(TRY(CAST(({when}) AS BOOLEAN)), false)" if when else "true"


def _goal(con: duckdb.DuckDBPyConnection, lake: LakeRelations, account: str) -> str | None:
    """What the customer calls success, from their record (CSH_Success_Goal__c)."""
    accounts = lake.crm[Entity.ACCOUNT]
    if "own_success_goal" not in columns_of(con, accounts):
        return None
    newest = (
        f"SELECT own_success_goal AS goal FROM {accounts} WHERE id = {literal(account)} ORDER BY modified_at DESC NULLS LAST, read_at DESC LIMIT 1"
    )
    return next((r["goal"] for r in _rows(con, newest)), None)


def _progress(con: duckdb.DuckDBPyConnection, lake: LakeRelations, moment: Moment, account: str) -> Row | None:
    """How far the measure of their goal has come: before, now, target and percent; null where nobody named one or nothing is recorded."""
    only = f"account_id IN (SELECT {literal(account)} UNION SELECT id FROM j_master WHERE master_id = {literal(account)})"
    load_outcomes(con, lake, moment, only)
    build_progress(con, lake, f"id = {literal(account)}")
    return next(iter(_rows(con, "SELECT p.*, g.metric, g.target FROM e_progress AS p JOIN e_goal AS g ON g.id = p.account_id")), None)


def _file(folder: Path, table: str) -> str:
    return f"read_parquet({literal(str(folder / f'{table}.parquet'))})"


def _rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    found = con.execute(sql)
    names = [d[0] for d in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
