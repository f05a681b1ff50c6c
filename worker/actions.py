"""Which actions came before renewals and before departures: counts, shares, and a lift where the numbers carry one. What came before is not a cause.

Compared are accounts that renewed or left in a period, by what was done in the days up to their decision.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from connectors.entities import Entity
from mappings.models import Mappings
from worker.runtime import Runtime
from worker.sql import literal, query_sql
from worker.steps._crm import load_crm, load_masters
from worker.steps._lake import FACTS, HISTORIES, open_relations
from worker.steps._merged import inherited
from worker.steps._relations import LakeRelations, Moment
from worker.store.engine import open_engine
from worker.today import newest_full

Row = Mapping[str, Any]

#: Below so many that left (and that renewed) the counts are shown and nothing is computed from them: reference sheet, 2.4.
LEAST_LEFT = 30
#: … and below so many accounts with, or without, an action. Chosen: a share of fewer moves by ten points with one account.
LEAST_EACH = 10
PERIOD_DAYS = 365


@dataclass(frozen=True)
class Actions:
    """`rows`: one per action, those with enough numbers first; `renewed` and `left`: accounts that decided in the period."""

    run_id: str
    as_of: datetime
    since: date
    days: int
    renewed: int
    left: int
    enough: bool
    rows: list[Row]
    caution: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


#: Goes with every answer.
CAUTION = {
    "en": "This says what was recorded before, not what made the difference: customers who mean to stay take more meetings, too.",
    "ja": "記録の前後関係を示すもので、効果を示すものではありません。継続の意向があるお客様ほど面談が増えることもあります。",
}


def actions_report(opened: Runtime, mappings: Mappings, *, days: int = 90, since: date | None = None) -> Actions | None:
    """Of the newest full run's accounts; null before the first."""
    found = newest_full(opened, "accounts")
    if found is None:
        return None
    run, folder = found
    con = open_engine(opened.settings, [opened.lake.root, folder])
    try:
        lake = open_relations(con, opened.lake, opened.ledger, mappings, None, (*FACTS, *HISTORIES))
        return read_actions(con, folder, lake, Moment(run.as_of, mappings.calendar.timezone), run_id=run.id, days=days, since=since)
    finally:
        con.close()


def read_actions(
    con: duckdb.DuckDBPyConnection, folder: Path, lake: LakeRelations, moment: Moment, *, run_id: str, days: int = 90, since: date | None = None
) -> Actions:
    """From a run folder and the lake's relations."""
    first, zone = since or moment.on - timedelta(days=PERIOD_DAYS), moment.timezone
    con.execute(
        "CREATE OR REPLACE TEMP TABLE v_account AS SELECT account_id, churn_notice_on, "
        "CASE WHEN excluded_why = 'churned' THEN churned_on END AS churned_on "
        f"FROM read_parquet({literal(str(folder / 'accounts.parquet'))}) WHERE scope = 'in' OR excluded_why = 'churned'"
    )
    load_masters(con, lake.crm[Entity.ACCOUNT])
    lake = inherited(con, lake, zone)
    load_crm(con, lake, "v_account")
    on = literal(moment.on)
    con.execute(query_sql("crm", "contract_lines", on=on, status_decides="true"))
    con.execute(query_sql("actions", "decisions", on=on, since=literal(first), days=str(days), history=lake.score_history))
    con.execute(query_sql("actions", "actions", days=str(days), zone=literal(zone)))
    counts = "count(*) FILTER (outcome = 'renewed'), count(*) FILTER (outcome = 'left')"
    renewed, left = con.execute(f"SELECT {counts} FROM v_decision").fetchall()[0]
    found = con.execute(query_sql("actions", "counted", least_each=str(LEAST_EACH), least_left=str(LEAST_LEFT)))
    names = [column[0] for column in found.description or []]
    rows: list[Row] = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return Actions(run_id, moment.as_of, first, days, int(renewed), int(left), min(renewed, left) >= LEAST_LEFT, rows, CAUTION)
