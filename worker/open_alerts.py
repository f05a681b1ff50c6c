"""The alerts that hold now: since when, for whom, with the words of the day on which each began. Nothing is decided here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from connectors.values import id_18
from mappings.models import Mappings
from worker.runtime import Runtime
from worker.sql import literal, query_sql
from worker.steps._alerts import ALERT
from worker.steps._crm import load_latest
from worker.steps._lake import open_relations, table_of
from worker.steps._relations import Moment
from worker.store import registers
from worker.store.engine import open_engine
from worker.today import newest_full

Row = Mapping[str, Any]

_TOLD = {"account_id": pa.string(), "rule": pa.string(), "on_": pa.date32(), "text": pa.string(), "channels": pa.string()}


@dataclass(frozen=True)
class Asked:
    """Filters, each null = all: whose (CRM user id), which alert, which account, begun on or after a day."""

    csm: str | None = None
    alert: str | None = None
    account: str | None = None
    since: date | None = None


@dataclass(frozen=True)
class OpenAlerts:
    """`rows`: one per account and alert, the newest first; `by_alert`: how many of each hold, most first."""

    run_id: str
    as_of: datetime
    rows: list[Row]
    by_alert: list[Row]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def open_alerts(opened: Runtime, asked: Asked = Asked()) -> OpenAlerts | None:
    """Of the accounts that the newest full run served; null before the first. LookupError names an alert that the run's mappings do not have."""
    found = newest_full(opened, "decisions")
    if found is None:
        return None
    run, folder = found
    mappings = opened.mappings(run.mappings_hash)
    if asked.alert is not None and asked.alert not in mappings.alerts:
        raise LookupError(f"No alert {asked.alert!r} in the mappings of run {run.id}; there are {', '.join(sorted(mappings.alerts)) or 'none'}.")
    told = registers.told_flips(opened.ledger, [id_18(asked.account)] if asked.account else None)
    con = open_engine(opened.settings, [opened.lake.root, folder])
    try:
        open_relations(con, opened.lake, opened.ledger, mappings, None, ("crm_account", "crm_user", "signal_history"))
        rows = read_alerts(con, folder, mappings, told, asked, Moment(run.as_of, mappings.calendar.timezone).on)
    finally:
        con.close()
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["alert"]] = counts.get(row["alert"], 0) + 1
    by_alert: list[Row] = [{"alert": name, "open": n} for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    return OpenAlerts(run.id, run.as_of, rows, by_alert)


def read_alerts(
    con: duckdb.DuckDBPyConnection, folder: Path, mappings: Mappings, told: list[registers.Flip], asked: Asked, on: date, part: str = "filename"
) -> list[Row]:
    """From a run folder, the tables crm_account, crm_user and signal_history, and what people were told."""
    names = sorted(mappings.alerts) if asked.alert is None else [asked.alert]
    if not names:
        return []
    table_of(
        con,
        "l_told",
        [{"account_id": f.account_id, "rule": f.rule, "on_": f.on_, "text": f.text or None, "channels": _channels(f)} for f in told],
        _TOLD,
    )
    files = {name: f"read_parquet({literal(str(folder / f'{name}.parquet'))})" for name in ("accounts", "decisions")}
    wanted = [f"s.account_id = {literal(id_18(asked.account))}"] if asked.account else []
    wanted += [f"s.newest.since_on >= {literal(asked.since)}"] if asked.since else []
    rules = ", ".join(literal(ALERT + name) for name in names)
    con.execute(query_sql("open_alerts", "open", history="signal_history", rules=rules, asked=" AND ".join(wanted) or "true", **files))
    known = f"id IN (SELECT account_id FROM l_open UNION SELECT partner_id FROM {files['accounts']})"
    load_latest(con, "crm_account", "l_account", part=part, where=known, exprs={"id": "r.id", "name": "r.name", "owner_id": "r.owner_id"})
    load_latest(con, "crm_user", "l_user", part=part, exprs={"id": "r.id", "name": "r.name"})
    meant_for = f"w.recipient = {literal(id_18(asked.csm))}" if asked.csm else "true"
    found = con.execute(query_sql("open_alerts", "listed", on=literal(on), meant_for=meant_for, **files))
    columns = [column[0] for column in found.description or []]
    return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]


def _channels(flip: registers.Flip) -> str:
    return "+".join(one for one in (flip.channel, flip.also) if one)
