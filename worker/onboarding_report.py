"""How many onboardings end within their period: by start month, plan, CSM and touch model. The first KPI of customer success, and a leading one."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

from mappings.models import Mappings
from worker.guard import read_guard
from worker.items import RunKind, RunState
from worker.runtime import Runtime
from worker.sql import literal, query_sql
from worker.store import runs
from worker.store.engine import open_engine

#: What the rate is broken down by: heading -> column.
BY = {"cohort": "cohort", "plan": "plan", "csm": "csm", "touch_model": "touch_model"}
_RUNS_BACK = 50


def onboarding_report(opened: Runtime, *, since: date | None = None) -> dict[str, Any] | None:
    """From the newest full run that is done; null where there is none. `since`: only onboardings that began on or after this day."""
    for run in runs.latest(opened.ledger, _RUNS_BACK):
        folder = opened.settings.runs_folder.absolute() / run.id
        whole = run.kind == RunKind.FULL and run.accounts is None and run.state == RunState.DONE
        if whole and (folder / "onboarding.parquet").is_file():
            con = open_engine(opened.settings, [folder])
            try:
                return {"run_id": run.id, "as_of": run.as_of, **report(con, folder, opened.mappings(run.mappings_hash), since, run.as_of)}
            finally:
                con.close()
    return None


def report(con: Any, folder: Path, mappings: Mappings, since: date | None, as_of: datetime) -> dict[str, Any]:
    """`all` and one list per way of breaking it down; rates in percent, null where nothing is settled yet."""
    files = {name: f"read_parquet({literal(str(folder / f'{name}.parquet'))})" for name in ("onboarding", "accounts", "decisions")}
    con.execute(query_sql("onboarding_report", "rows", since=f"CAST({literal(since)} AS DATE)", **files))
    found = {heading: _rows(con, query_sql("onboarding_report", "grouped", by=column)) for heading, column in BY.items()}
    csqls = {r["name"]: r["csqls_open"] for r in _rows(con, query_sql("onboarding_report", "csqls", **files))}
    found["csm"] = [row | {"csqls_open": csqls.get(row["name"], 0)} for row in found["csm"]]
    whole = _rows(con, query_sql("onboarding_report", "grouped", by="'all'"))
    own = _rows(con, query_sql("onboarding_report", "self_success", days=str(mappings.self_success.days), **files))[0]
    targeted = own | {"target_percent": list(mappings.self_success.target_percent)}
    return {"all": whole[0] if whole else None, "by": found, "self_success": targeted, "guard": read_guard(con, folder)}


def _rows(con: Any, sql: str) -> list[dict[str, Any]]:
    found = con.execute(sql)
    names = [d[0] for d in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
