"""Why an account has its score: score → axes → indicators → the rows and dates behind them; history, writes, and why something was not updated.

Everything comes from what the run left (run folder) and from the lake. Nothing is scored again but what was kept of earlier scores: to split a
change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from connectors.values import id_18
from mappings.models import Axis, Mappings
from worker._explain_text import render
from worker._explain_why import Why, why_of
from worker.identity import account_ids
from worker.runtime import Runtime
from worker.sql import literal, query_sql
from worker.steps._crm import build_crm_facts, load_crm
from worker.steps._lake import FACTS, HISTORIES, open_relations
from worker.steps._merged import inherited
from worker.steps._part_history import KEEPING
from worker.steps._relations import LakeRelations, Moment
from worker.steps._usage import days_sql, load_catalogue, load_usage
from worker.store import registers, runs
from worker.store.engine import open_engine

#: Rows shown per indicator, dates of history, and writes. Chosen: a screen each.
ROWS_SHOWN, HISTORY_SHOWN, WRITES_SHOWN = 10, 12, 40

#: How many runs back an account is looked for.
_RUNS_BACK = 50

_BY_ACCOUNT = ("activity", "contact", "ticket", "survey", "opportunity", "outcome")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class IndicatorExplained:
    """One part of the score. `points` null = missing, see `missing_why`. Weights in percent of the whole, before and after re-spread."""

    name: str
    title: str
    feed: str
    expression: str
    window_days: int | None
    value: float | None
    unit: str
    points: float | None
    missing_why: str | None
    weight: float
    weight_effective: float
    contribution: float | None
    median_points: float | None
    observed_on: date | None
    rows: list[Row]


@dataclass(frozen=True)
class AxisExplained:
    name: str
    points: float | None
    indicators: list[IndicatorExplained]


@dataclass(frozen=True)
class Explanation:
    """Everything one needs to follow a number down. `decision` holds what the record should say; `why_not` why it might say something else."""

    account_id: str
    run_id: str
    as_of: datetime
    scope: str
    excluded_why: str | None
    decision: Row
    axes: list[AxisExplained]
    feeds: list[Row]
    changes: list[Row]
    history: list[Row]
    writes: list[Row]
    why: Why = field(default_factory=Why)
    why_not: list[str] = field(default_factory=list)
    records: list[Row] = field(default_factory=list)  # the same company in other connections: connection, record_id, matched_by
    product: str | None = None  # the one product this is about; null = the account
    products: list[Row] = field(default_factory=list)  # of the account: its products' scores
    language: str = "en"  # of texts on records, and of the words here that come from the mappings

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def render(self) -> Any:
        """For a terminal: a rich renderable."""
        return render(self)


def explain_account(
    opened: Runtime, mappings: Mappings, account: str, product: str | None = None, *, against: date | None = None
) -> Explanation | None:
    """From the newest run that knows the account; null where none of the last runs does. `product`: that product's score and rows alone.

    `against`: one more day to split the change since.
    """
    found = account_ids(opened, mappings, [id_18(account)])[id_18(account)]
    if found is None:
        return None
    account = found
    for run in runs.latest(opened.ledger, _RUNS_BACK):
        folder = opened.settings.runs_folder.absolute() / run.id
        if not (folder / "accounts.parquet").is_file():
            continue
        con = open_engine(opened.settings, [opened.lake.root, folder])
        try:
            if _rows(con, f"SELECT 1 FROM {_file(folder, 'accounts')} WHERE account_id = {literal(account)}"):
                lake = open_relations(con, opened.lake, opened.ledger, mappings, None, (*FACTS, *HISTORIES, *KEEPING, "writes"))
                records = {account, *(str(row["record_id"]) for row in _pairs(con, folder, account))}
                holds = [asdict(h) for h in registers.holds(opened.ledger) if h.record_id in records]
                letters = [asdict(d) for d in registers.dead_letters(opened.ledger) if d.record_key == account or d.account_id == account]
                used, told = opened.mappings(run.mappings_hash), {"holds": holds, "letters": letters}
                return explain(con, folder, lake, account, used, run_id=run.id, product=product, against=against, **told)
        finally:
            con.close()
    return None


def explain(
    con: duckdb.DuckDBPyConnection,
    folder: Path,
    lake: LakeRelations,
    account_id: str,
    mappings: Mappings,
    *,
    run_id: str,
    product: str | None = None,
    holds: Sequence[Row] = (),
    letters: Sequence[Row] = (),
    against: date | None = None,
) -> Explanation:
    """The explanation of one account of a run, or of one product of it. LookupError if the run does not know it."""
    mine = f"WHERE account_id = {literal(account_id)}"
    account = next(iter(_rows(con, f"SELECT as_of, scope, excluded_why, stage FROM {_file(folder, 'accounts')} {mine}")), None)
    if account is None:
        raise LookupError(f"Run {run_id} does not know the account {account_id}.")
    moment = Moment(account["as_of"], mappings.calendar.timezone)
    decision = next(iter(_optional(con, folder, "decisions", mine)), {})
    changes = _optional(con, folder, "changes", f"{mine} ORDER BY object, field")
    sources = _source_rows(con, lake, mappings, moment, account_id)
    lineage = inherited(con, lake, moment.timezone)
    served = account["scope"] == "in" and product is None
    why = why_of(con, folder, lineage, mappings, moment, account_id, against) if served else Why()
    parts = _optional(con, folder, "parts", f"{mine} ORDER BY weight DESC, indicator")
    pairs, records = _pairs(con, folder, account_id), literal(account_id)
    records = ", ".join([records, *(literal(row["record_id"]) for row in pairs)])
    if product is not None:
        decision, parts = _product(con, folder, mine, product, mappings)
        changes, sources = [], of_product(sources, product)
    return Explanation(
        account_id=account_id,
        run_id=run_id,
        as_of=moment.as_of,
        scope=account["scope"],
        excluded_why=account["excluded_why"],
        decision=decision,
        axes=[_axis(axis.value, decision, parts, mappings, sources) for axis in Axis if any(p["axis"] == axis.value for p in parts)],
        feeds=_optional(con, folder, "feeds", "ORDER BY feed"),
        changes=changes,
        history=_history(con, lineage, account_id, product),
        writes=_rows(con, query_sql("explain", "writes", writes=lake.writes, account=literal(account_id), records=records, limit=str(WRITES_SHOWN)))
        if product is None
        else [],
        why=why,
        why_not=[*_why_not(account, decision, changes, holds, letters), *_not_matched(con, folder, account_id)] if product is None else [],
        records=pairs,
        product=product,
        products=_optional(con, folder, "product_scores", f"{mine} ORDER BY product") if product is None else [],
        language=mappings.writeback.language,
    )


def _axis(name: str, decision: Row, parts: list[Row], mappings: Mappings, sources: Mapping[str, list[Row]]) -> AxisExplained:
    return AxisExplained(name, decision.get(name), [_indicator(p, mappings, sources) for p in parts if p["axis"] == name])


def _indicator(part: Row, mappings: Mappings, sources: Mapping[str, list[Row]]) -> IndicatorExplained:
    indicator = mappings.indicators[part["indicator"]]
    return IndicatorExplained(
        name=indicator.name,
        title=getattr(indicator.title, mappings.writeback.language),
        feed=indicator.feed,
        expression=indicator.expression,
        window_days=indicator.window_days,
        unit=indicator.unit,
        rows=sources.get(indicator.feed, []),
        **{k: part[k] for k in ("value", "points", "missing_why", "weight", "weight_effective", "contribution", "median_points", "observed_on")},
    )


def _source_rows(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, account_id: str) -> dict[str, list[Row]]:
    """Feed -> the rows of this account that its indicators are made of, newest first."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE x_only AS SELECT {literal(account_id)} AS account_id")
    load_catalogue(con, mappings)
    load_crm(con, lake, "x_only")
    build_crm_facts(con, moment, past=False)
    load_usage(con, lake, mappings, moment, some=True)
    slots = {"account": literal(account_id), "limit": str(ROWS_SHOWN), "as_of": literal(moment.as_of), "zone": literal(moment.timezone)}
    slots["mine"] = f"(a.account_id = {literal(account_id)} OR a.account_id IN (SELECT id FROM j_master WHERE master_id = {literal(account_id)}))"
    rows = {feed: _rows(con, query_sql("explain", feed, **slots)) for feed in ("crm", "setup", "human", *_BY_ACCOUNT)}
    tenants = "t.tenant_key IN (SELECT tenant_key FROM j_match)"
    return rows | {"usage": _rows(con, query_sql("explain", "usage", **slots, days=days_sql(con, lake, tenants)))}


def _product(con: duckdb.DuckDBPyConnection, folder: Path, mine: str, product: str, mappings: Mappings) -> tuple[Row, list[Row]]:
    """The scores and parts of one product. LookupError names the products there are, or says that none is scored."""
    if not mappings.score.per_product:
        raise LookupError("Products have no scores of their own: set `per_product: true` in scores/health.yml and run again.")
    owned = {row["product"]: row for row in _optional(con, folder, "product_scores", mine)}
    if product not in owned:
        raise LookupError(f"The account has no open line of {product!r}; its products are {', '.join(sorted(owned)) or 'none'}.")
    words = {"tier_label": owned[product]["tier"], "data_status_en": owned[product]["why"], "data_status_ja": owned[product]["why_ja"]}
    parts = _optional(con, folder, "product_parts", f"{mine} AND product = {literal(product)} ORDER BY weight DESC, indicator")
    return {**owned[product], **words}, parts


def of_product(sources: Mapping[str, list[Row]], product: str) -> dict[str, list[Row]]:
    """Rows that name a product only where they name this one; rows that name none are the account's and stay."""
    return {feed: [row for row in rows if row.get("product") in (None, product)] for feed, rows in sources.items()}


def _history(con: duckdb.DuckDBPyConnection, lake: LakeRelations, account_id: str, product: str | None) -> list[Row]:
    mine = f"account_id = {literal(account_id)}" + (f" AND product = {literal(product)}" if product is not None else "")
    history = lake.score_history if product is None else lake.product_score_history
    return _rows(con, query_sql("explain", "history", history=history, mine=mine, limit=str(HISTORY_SHOWN)))


def _why_not(account: Row, decision: Row, changes: list[Row], holds: Sequence[Row], letters: Sequence[Row]) -> list[str]:
    """Why the record may say something else, or nothing."""
    if account["scope"] == "excluded":
        return [f"The account is not served: {account['excluded_why']}. Its fields are left as they are."]
    said = []
    if decision.get("state") == "frozen":
        said.append(f"Scores are held: {decision.get('data_status_en')}. The last score stands.")
    if decision.get("state") == "not_scored":
        said.append(f"No score is published: {decision.get('data_status_en')}.")
    refused = {
        "held": "is held: a person changed it in the CRM",
        "invalid": "does not fit the field",
        "rejected_before": "was refused by the CRM before",
    }
    said += [
        f"{_at(c)}{c['object']}.{c['field']} {refused[c['disposition']]}" + (f" ({c['why']})" if c["why"] else "")
        for c in changes
        if c["disposition"] in refused
    ]
    said += [f"{_at(h)}{h['object']}.{h['field']} is held since {h['since']:%Y-%m-%d}: release it to overwrite" for h in holds]
    said += [f"{_at(d)}{d['object']}.{d['field'] or 'record'} was refused by the CRM ({d['code']}): {d['remedy']}" for d in letters]
    if not changes and not said:
        said.append("Nothing differs from what the CRM had: no write was needed.")
    return said


def _at(row: Row) -> str:
    """The CRM it is about, where it says so."""
    return f"{row['connection']} " if row.get("connection") else ""


def _pairs(con: duckdb.DuckDBPyConnection, folder: Path, account_id: str) -> list[Row]:
    return _optional(con, folder, "pairs", f"WHERE account_id = {literal(account_id)} ORDER BY connection")


def _not_matched(con: duckdb.DuckDBPyConnection, folder: Path, account_id: str) -> list[str]:
    """Connections that have no record of the account, and why none was taken."""
    said = []
    for row in _optional(con, folder, "unmatched", f"WHERE record_id = {literal(account_id)} ORDER BY looked_in"):
        might = f"; it could be {', '.join(row['candidates'])}" if row["candidates"] else ""
        said.append(
            f"{row['looked_in']} has no record that is surely this company ({row['why'].replace('_', ' ')}{might}): nothing is written there."
        )
    return said


def _file(folder: Path, table: str) -> str:
    return f"read_parquet({literal(str(folder / f'{table}.parquet'))})"


def _optional(con: duckdb.DuckDBPyConnection, folder: Path, table: str, rest: str) -> list[Row]:
    """Rows of a table of the run folder; none where the run has not come that far."""
    return _rows(con, f"SELECT * FROM {_file(folder, table)} {rest}") if (folder / f"{table}.parquet").is_file() else []


def _rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[Row]:
    found = con.execute(sql)
    names = [d[0] for d in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
