"""Commands for people who plan the day and the team: today, portfolio."""

from itertools import groupby
from typing import Annotated

import typer
from rich.table import Table

from worker.cli import exits
from worker.cli.common import err, out, print_json, runtime, settings
from worker.cli.operate import Json
from worker.cli.summary import safe
from worker.today import Row, Today, todays_lists

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
        table.add_column(name, ratio={"account": 3, "why": 5, "next action": 6}.get(name))
    for row in rows:
        account = f"{safe(row['name'])}\n{safe(row['account_id'])}"
        table.add_row(str(row["rank"]), account, str(row["points"]), "\n".join(safe(r) for r in row["reasons"] or []), safe(row["next_action"]))
    out.print(table)
