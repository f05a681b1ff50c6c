"""Customers who left or gave notice: reason, last score, first warning, what is still to do, signs of a return; and the retrospective of one.

Read from the newest full run and the histories; nothing is scored again. A warning counts only if it came before the customer decided.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from connectors.entities import Entity
from connectors.values import id_18
from mappings.models import Mappings
from worker.runtime import Runtime
from worker.sql import literal, query_sql
from worker.steps._alerts import ALERT
from worker.steps._churned import reason_code
from worker.steps._crm import load_crm, load_latest, load_masters
from worker.steps._lake import FACTS, HISTORIES, open_relations, table_of
from worker.steps._merged import inherited
from worker.steps._part_history import KEEPING
from worker.steps._patterns import PATTERN
from worker.steps._relations import LakeRelations, Moment
from worker.store.engine import open_engine
from worker.today import newest_full

Row = Mapping[str, Any]

#: Days before the decision that a retrospective looks at, and the one whose measures it names.
DAYS, LOOKED_AT = (180, 90, 60, 30), 60
#: How far back the list goes by itself. Chosen: one year of reasons.
LISTED_DAYS = 365
_MEASURES = 5
_STEP = {"name": pa.string(), "title_en": pa.string(), "title_ja": pa.string(), "days": pa.int64(), "kinds": pa.list_(pa.string()),
         "subject": pa.string(), "place": pa.int64()}  # fmt: skip


@dataclass(frozen=True)
class Churns:
    """`rows`: one per account that left or gave notice, the newest decision first, with its `checklist`, `before` (days before the decision) and
    `signs` of a return; `reasons`: counts of those who left. `retrospective`: of the one account asked for, else null."""

    run_id: str
    as_of: datetime
    language: str
    since: date
    rows: list[dict[str, Any]]
    reasons: list[Row]
    retrospective: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def churn_report(
    opened: Runtime, mappings: Mappings, *, since: date | None = None, account: str | None = None, language: str | None = None
) -> Churns | None:
    """By these mappings, of decisions on or after `since`; with `account`, of that one alone, whenever it was. Null before the first full run."""
    found = newest_full(opened, "accounts")
    if found is None:
        return None
    run, folder = found
    con = open_engine(opened.settings, [opened.lake.root, folder])
    try:
        lake = open_relations(con, opened.lake, opened.ledger, mappings, None, (*FACTS, *HISTORIES, *KEEPING))
        moment = Moment(run.as_of, mappings.calendar.timezone)
        return read_churns(con, folder, lake, mappings, moment, run_id=run.id, since=since, account=account, language=language)
    finally:
        con.close()


def read_churns(
    con: duckdb.DuckDBPyConnection, folder: Path, lake: LakeRelations, mappings: Mappings, moment: Moment, *, run_id: str,
    since: date | None = None, account: str | None = None, language: str | None = None,
) -> Churns:  # fmt: skip
    """From a run folder and the lake's relations."""
    lang = language or mappings.writeback.language
    first = since or (date.min if account else moment.on - timedelta(days=LISTED_DAYS))
    accounts = f"read_parquet({literal(str(folder / 'accounts.parquet'))})"
    load_masters(con, lake.crm[Entity.ACCOUNT])
    lake = inherited(con, lake, mappings.calendar.timezone)
    _build(con, lake, mappings, moment, accounts, first, id_18(account) if account else None)
    rows = [dict(row) for row in _rows(con, query_sql("churn", "rows"))]
    titles = {r.code: getattr(r.title, lang) for r in mappings.churn.reasons}
    before, steps = _by_account(con, "SELECT * FROM k_before ORDER BY days DESC"), _by_account(con, query_sql("churn", "checklist", lang=lang))
    for row in rows:
        row["reason_title"] = titles.get(row["reason_code"])
        row["before"] = before.get(row["account_id"], [])
        row["checklist"] = [step | {"state": _state(step, moment.on)} for step in steps.get(row["account_id"], [])]
    reasons: list[Row] = [row | {"title": titles.get(row["reason_code"])} for row in _rows(con, query_sql("churn", "reasons"))]
    looked = _retrospective(con, lake, mappings, accounts, rows[0]) if account and rows else None
    return Churns(run_id, moment.as_of, lang, first, rows, reasons, looked)


def _build(
    con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, accounts: str, first: date, account: str | None
) -> None:
    """Temp tables k_*: who left, scores and signals before that, activities since, signs of a return."""
    churn, on, zone = mappings.churn, literal(moment.on), literal(moment.timezone)
    mine = f"account_id = {literal(account)}" if account else f"coalesce(churned_on, churn_notice_on) >= {literal(first)}"
    con.execute(
        "CREATE OR REPLACE TEMP TABLE k_account AS SELECT account_id, name, csm_id, churn_notice_on, mrr, currency, "
        f"CASE WHEN excluded_why = 'churned' THEN churned_on END AS churned_on FROM {accounts} "
        f"WHERE {mine} AND (excluded_why = 'churned' AND churned_on IS NOT NULL OR scope = 'in' AND churn_notice_on <= {on})"
    )
    load_crm(con, lake, "k_account")
    con.execute(query_sql("crm", "contract_lines", on=on, status_decides="true"))
    con.execute(query_sql("churn", "left", reason_code=reason_code(churn, "c.reason")))
    con.execute(query_sql("churn", "scores", history=lake.score_history, on=on))
    rules = [ALERT + name for name in sorted(mappings.alerts)] + [PATTERN + name for name in sorted(mappings.patterns)]
    con.execute(query_sql("churn", "signals", history=lake.signal_history, rules=_listed(rules), on=on))
    con.execute(query_sql("churn", "before", days=", ".join(f"({n})" for n in DAYS)))
    silent = [kind + name for name in churn.no_warning for kind in (ALERT, PATTERN)]
    con.execute(query_sql("churn", "warned", red=str(churn.red_tier), no_warning=_listed(silent), days=str(churn.warned_days)))
    steps = [
        {
            "name": s.name,
            "title_en": s.title.en,
            "title_ja": s.title.ja,
            "days": s.days,
            "kinds": s.activity.kinds,
            "subject": s.activity.subject,
            "place": n,
        }
        for n, s in enumerate(churn.checklist)
    ]
    table_of(con, "k_step", steps, _STEP)
    con.execute(query_sql("churn", "touches", zone=zone, as_of=literal(moment.as_of)))
    moved = "id IN (SELECT account_id FROM j_contact)"
    load_latest(con, lake.crm[Entity.ACCOUNT], "k_name", part=lake.part, where=moved, exprs={"id": "r.id", "name": "r.name"})
    con.execute(query_sql("churn", "signs", on=on, zone=zone, watch_days=str(churn.watch_days), contacts=lake.crm[Entity.CONTACT]))


def _retrospective(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, accounts: str, row: Row) -> dict[str, Any]:
    """What the score was made of 60 days before, and what a red line at the score of that day would have cost: accounts as low that stayed."""
    day = row["decided_on"] - timedelta(days=LOOKED_AT)
    slots = {"account": literal(row["account_id"]), "day": literal(day), "limit": str(_MEASURES)}
    measures = _rows(con, query_sql("churn", "measures", parts=lake.part_history, cards=lake.scorecard_history, **slots))
    titles = {name: getattr(one.title, mappings.writeback.language) for name, one in mappings.indicators.items()}
    score = next((b["score"] for b in row["before"] if b["days"] == LOOKED_AT), None)
    line = None
    if score is not None:
        (others,) = _rows(con, query_sql("churn", "others", history=lake.score_history, day=literal(day), accounts=accounts, score=literal(score)))
        line = {"score": score, **others}
    return {"day": day, "measures": [m | {"title": titles.get(m["indicator"], m["indicator"])} for m in measures], "line": line}


def _state(step: Row, on: date) -> str:
    if step["done_on"] is not None:
        return "done"
    return "overdue" if step["due_on"] < on else "open"


def _listed(names: list[str]) -> str:
    return ", ".join(map(literal, names)) or "''"


def _by_account(con: duckdb.DuckDBPyConnection, sql: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(con, sql):
        found.setdefault(row["account_id"], []).append({k: v for k, v in row.items() if k != "account_id"})
    return found


def _rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    found = con.execute(sql)
    names = [column[0] for column in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
