"""Command for whoever follows up: alerts."""

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table

from worker.cli import exits
from worker.cli.common import err, out, print_json, runtime, settings
from worker.cli.lists import NO_RUN
from worker.cli.operate import Json
from worker.cli.summary import safe
from worker.open_alerts import Asked, OpenAlerts, open_alerts


def alerts(
    csm: Annotated[str | None, typer.Option("--csm", metavar="ID", help="Only those meant for this person (CRM user id).")] = None,
    alert: Annotated[str | None, typer.Option("--alert", metavar="NAME", help="Only this alert, by its name in alerts/.")] = None,
    account: Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account.")] = None,
    since: Annotated[datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], help="Only those that began on or after this day.")] = None,
    as_json: Json = False,
) -> int:
    """Alerts that hold now, newest first: since when, for whom, and what was said when each began.

    Examples: scoresync alerts · scoresync alerts --csm 0055e000000ABCDAAF · scoresync alerts --alert low_nps --since 2026-11-01 --json
    """
    with runtime(settings()) as opened:
        try:
            found = open_alerts(opened, Asked(csm, alert, account, since.date() if since else None))
        except LookupError as error:
            err.print(safe(error.args[0]))
            return exits.WRONG_INPUT
    if found is None:
        err.print(NO_RUN)
        return exits.WRONG_INPUT
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found)
    return exits.DONE


def _print(found: OpenAlerts) -> None:
    table = Table("alert", "since", "days", "account", "for", "said")
    for row in found.rows:
        account, person = f"{safe(row['name'])}\n{safe(row['account_id'])}", safe(row["recipient_name"] or row["recipient"] or "nobody")
        said = safe(row["text"]) if row["text"] else "(held before the first run)"
        table.add_row(safe(row["alert"]), str(row["since_on"]), str(row["days"]), account, person, said)
    out.print(table if found.rows else "No alert is open.")
    if found.rows:
        out.print(" · ".join(f"{safe(row['alert'])} {row['open']}" for row in found.by_alert))
    out.print(f"As of {found.as_of:%Y-%m-%d %H:%M} UTC (run {found.run_id}).")
