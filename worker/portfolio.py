"""The portfolio: touch-model mix against its target, load per CSM, the month in which a touch model breaks, roll-up by partner, dimensions.

Read from what the newest full run left; nothing is decided here. Amounts are annual; null where two currencies would be added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from mappings.models import Mappings
from mappings.models_routing import Forecast, Load, TouchTarget
from worker.guard import read_guard, warned
from worker.runtime import Runtime
from worker.sql import ident, literal, query_sql
from worker.steps._lake import open_relations
from worker.steps._texts import case_sql
from worker.store.engine import open_engine
from worker.today import load_names, newest_full

Row = Mapping[str, Any]

_ARR = "CASE WHEN count(DISTINCT b.currency) <= 1 THEN sum(b.arr) END"
#: dimension → its column, and how its values are ordered.
_DIMENSIONS = {
    "segment": "segment", "touch model": "touch_model", "region": "region", "main product": "main_product", "contract month": "contract_month",
}  # fmt: skip


@dataclass(frozen=True)
class Portfolio:
    """`warnings` says in words what is off; the rest are the tables behind it. `teams` are those of the day `teams_on`."""

    run_id: str
    as_of: datetime
    warnings: list[str]
    mix: list[Row]
    high_touch_low_price: list[Row]
    load: list[Row]
    forecast: list[Row]
    partners: list[Row]
    teams_on: date
    teams: list[Row]
    dimensions: list[Row]
    guard: list[Row]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def portfolio(opened: Runtime, mappings: Mappings, on: date | None = None) -> Portfolio | None:
    """The report by these mappings, with teams as of a day (default: the run's); null before the first full run."""
    found = newest_full(opened)
    if found is None:
        return None
    run, folder = found
    con = open_engine(opened.settings, [opened.lake.root, folder])
    try:
        open_relations(con, opened.lake, opened.ledger, mappings, None, ("crm_account", "crm_user", "assignment_history"))
        return read_portfolio(con, folder, mappings, run_id=run.id, as_of=run.as_of, on=on)
    finally:
        con.close()


def read_portfolio(con: duckdb.DuckDBPyConnection, folder: Path, mappings: Mappings, *, run_id: str, as_of: datetime, on: date | None) -> Portfolio:
    """From a run folder and the tables crm_account, crm_user and assignment_history."""
    files = {name: f"read_parquet({literal(str(folder / f'{name}.parquet'))})" for name in ("assigned", "decisions", "accounts")}
    con.execute(query_sql("portfolio", "base", **files))
    load_names(con, "id IN (SELECT account_id FROM o_base UNION SELECT partner_id FROM o_base)")
    today = con.execute("SELECT max(as_of_on) FROM o_base").fetchall()[0][0]
    today = today or as_of.date()  # no account in scope
    routing = mappings.routing
    mix = _rows(con, query_sql("portfolio", "mix", arr=_ARR, targets=_targets_sql(target_on(routing.touch.targets, today))))
    questioned = _questioned(con, routing.touch.high_min_mrr)
    load = [_measured(row, routing.load) for row in _rows(con, _load_sql(routing.load))]
    growth = _rows(con, query_sql("portfolio", "growth", months=str(routing.forecast.trailing_months)))
    forecast = forecast_rows(growth, routing.forecast, today)
    guard = [row for row in read_guard(con, folder) if row["kind"] != "month"]
    return Portfolio(
        run_id=run_id,
        as_of=as_of,
        warnings=_warnings(mix, routing.touch.tolerance, questioned, load, forecast) + warned(guard),
        mix=mix,
        high_touch_low_price=questioned,
        load=load,
        forecast=forecast,
        partners=_rows(con, query_sql("portfolio", "partners", arr=_ARR, account="t_account")),
        teams_on=on or today,
        teams=_rows(con, query_sql("portfolio", "teams_then", history="assignment_history", on=literal(on or today))),
        dimensions=[row for name, column in _DIMENSIONS.items() for row in _rows(con, _dimension_sql(name, column))],
        guard=guard,
    )


def target_on(targets: Sequence[TouchTarget], on: date) -> TouchTarget | None:
    """The target in force on a day; null before the first."""
    return next((t for t in reversed(targets) if t.valid_from <= on), None)


def forecast_rows(growth: Sequence[Row], forecast: Forecast, today: date) -> list[Row]:
    """Per touch model: accounts, growth a month, what the heads can carry, and the first month (`breaks_in`, its first day) beyond it.

    Growth is the plan's, else what started lately. Null = not within the months looked ahead.
    """
    known = {row["touch_model"]: row for row in growth}
    rows: list[Row] = []
    for model, per_head in forecast.accounts_per_head.items():
        now = int(known[model]["accounts"]) if model in known else 0
        plan = forecast.new_per_month.get(model)
        monthly = float(plan if plan is not None else known[model]["started"] if model in known else 0)
        carried = forecast.heads.get(model, 0) * per_head
        over = next((k for k in range(forecast.months + 1) if now + k * monthly > carried), None)
        month = None if over is None else date(today.year + (today.month - 1 + over) // 12, (today.month - 1 + over) % 12 + 1, 1)
        rows.append({"touch_model": model, "accounts": now, "new_per_month": monthly, "carried": carried, "breaks_in": month})
    return rows


def _targets_sql(target: TouchTarget | None) -> str:
    """(model, percent) of each touch model and of unknown ones."""
    percent = {"high": target.high, "hybrid": target.hybrid, "tech": target.tech} if target else dict.fromkeys(("high", "hybrid", "tech"))
    return ", ".join(f"({literal(model)}, CAST({literal(value)} AS DOUBLE))" for model, value in {**percent, "unknown": None}.items())


def _questioned(con: duckdb.DuckDBPyConnection, least: float | None) -> list[Row]:
    return [] if least is None else _rows(con, query_sql("portfolio", "questioned", high_min_mrr=literal(least), account="t_account"))


def _load_sql(load: Load) -> str:
    level = case_sql("b.csm_id", [(user, literal(name)) for user, name in sorted(load.users.items())])
    first = literal(load.levels[0].name) if load.levels else "CAST(NULL AS VARCHAR)"
    return query_sql("portfolio", "load", arr=_ARR, level=level, first_level=first, user="t_user")


def _measured(row: Row, load: Load) -> Row:
    """The row with its level's bars and whether it is over one."""
    level = next((one for one in load.levels if one.name == row["level"]), None)
    most, bar = (level.accounts, level.arr) if level else (None, None)
    over = (most is not None and row["accounts"] > most) or (bar is not None and row["arr"] is not None and row["arr"] > bar)
    return {**row, "accounts_most": most, "arr_most": bar, "over": over}


def _dimension_sql(name: str, column: str) -> str:
    order = f"b.{column} NULLS LAST" if column == "contract_month" else f"accounts DESC, b.{column} NULLS LAST"
    return query_sql("portfolio", "dimension", name=literal(name), column=f"b.{ident(column)}", arr=_ARR, order=order)


def _warnings(mix: Sequence[Row], tolerance: float, questioned: Sequence[Row], load: Sequence[Row], forecast: Sequence[Row]) -> list[str]:
    said = [
        f"{row['touch_model']} touch is {row['percent']:.0f} % of accounts, the target is {row['target']:.0f} %"
        for row in mix
        if row["target"] is not None and row["percent"] is not None and abs(row["percent"] - row["target"]) > tolerance
    ]
    if questioned:
        said.append(f"{len(questioned)} accounts are high touch at a low price: does the price pay for it?")
    said += [
        f"{row['csm_name'] or row['csm_id']} has {row['accounts']} accounts (most {row['accounts_most']})"
        + (f" and {row['arr']:,.0f} a year (most {row['arr_most']:,.0f})" if row["arr_most"] and row["arr"] is not None else "")
        for row in load
        if row["over"]
    ]
    said += [
        f"{row['touch_model']} touch breaks in {row['breaks_in']:%B %Y}: more than {row['carried']} accounts" for row in forecast if row["breaks_in"]
    ]
    return said


def _rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[Row]:
    found = con.execute(sql)
    names = [d[0] for d in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
