"""Commands for people who plan the day and the team: today, portfolio."""

from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Annotated

import typer
from rich.table import Table

from worker.cli import exits
from worker.cli.common import err, mappings, out, print_json, runtime, settings
from worker.cli.operate import Json
from worker.cli.summary import safe
from worker.portfolio import Portfolio
from worker.portfolio import portfolio as portfolio_report
from worker.today import Row, Today, todays_lists

#: Title of the guard's table.
GUARD = "CSQLs beside onboardings in time"
NO_RUN = "No full run has ended yet: `scoresync run --full` decides the lists."


def today(
    csm: Annotated[str | None, typer.Option("--csm", metavar="ID", help="Only this person's list (CRM user id).")] = None, as_json: Json = False
) -> int:
    """Whom each CSM calls first today, with reasons and next action; decided by the last full run.

    Examples: scoresync today · scoresync today --csm 0055e000000ABCDAAF · scoresync today --json
    """
    with runtime(settings()) as opened:
        found = todays_lists(opened, csm)
    if found is None:
        err.print(NO_RUN)
        return exits.WRONG_INPUT
    if as_json:
        print_json(found.as_dict())
    else:
        _print_today(found)
    return exits.DONE


def _print_today(found: Today) -> None:
    for _, rows in groupby(found.rows, key=lambda row: row["csm_id"]):
        _print_list(list(rows))
    if not found.rows:
        out.print("Nobody has an account with enough points for a list (see `bands` and `terms` in priority.yml).")
    if found.without_csm:
        out.print(f"{found.without_csm} accounts have enough points and neither CSM nor owner: they are on no list.")
    out.print(f"As of {found.as_of:%Y-%m-%d %H:%M} UTC (run {found.run_id}).")


def _print_list(rows: list[Row]) -> None:
    first = rows[0]
    table = Table(title=f"{safe(first['csm_name'] or first['csm_id'])} ({len(rows)})", title_justify="left", expand=True)
    for name in ("#", "account", "points", "why", "next action"):
        table.add_column(name, ratio={"account": 3, "why": 5, "next action": 6}.get(name), overflow="fold")
    for row in rows:
        account = f"{safe(row['name'])}\n{safe(row['account_id'])}"
        table.add_row(str(row["rank"]), account, str(row["points"]), "\n".join(safe(r) for r in row["reasons"] or []), safe(row["next_action"]))
    out.print(table)


def portfolio(
    on: Annotated[datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="Teams as they were on this day.")] = None,
    as_json: Json = False,
) -> int:
    """Touch-model mix against its target, load per CSM, when high touch breaks, roll-up by partner, dimensions.

    Examples: scoresync portfolio · scoresync portfolio --on 2026-06-30 --json
    """
    found_settings = settings()
    customer, _ = mappings(found_settings)
    with runtime(found_settings) as opened:
        found = portfolio_report(opened, customer, on.date() if on else None)
    if found is None:
        err.print(NO_RUN)
        return exits.WRONG_INPUT
    if as_json:
        print_json(found.as_dict())
    else:
        _print_portfolio(found)
    return exits.DONE


def _print_portfolio(found: Portfolio) -> None:
    for warning in found.warnings:
        out.print(f"[yellow]warning[/] {safe(warning)}")
    tables = {
        "Touch models": found.mix,
        "High touch at a low price": found.high_touch_low_price,
        "Load": found.load,
        "Forecast": found.forecast,
        "Partners": found.partners,
        f"Teams on {found.teams_on}": found.teams,
        "Dimensions": found.dimensions,
        GUARD: found.guard,
    }
    for title, rows in tables.items():
        if rows:
            print_rows(title, rows)
    out.print(f"As of {found.as_of:%Y-%m-%d %H:%M} UTC (run {found.run_id}).")


def print_rows(title: str, rows: list[Row]) -> None:
    table = Table(*(name.replace("_", " ") for name in rows[0]), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    out.print(table)


def _cell(value: object) -> str:
    """Numbers with separators and at most one decimal."""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float | Decimal):
        return f"{value:,.1f}".removesuffix(".0")
    return safe(value)
