"""Commands that look back: churns."""

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table

from worker.churn import Churns, churn_report
from worker.cli import exits
from worker.cli.common import err, mappings, out, print_json, runtime, settings
from worker.cli.lists import NO_RUN
from worker.cli.operate import Json
from worker.cli.review import Language
from worker.cli.summary import safe


def churns(
    account: Annotated[str | None, typer.Argument(metavar="[ACCOUNT]", help="CRM id: the retrospective of this one, as Markdown.")] = None,
    since: Annotated[datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], help="Decided on or after this day; default one year.")] = None,
    language: Annotated[Language | None, typer.Option(help="Language; without, that of the records.")] = None,
    as_json: Json = False,
) -> int:
    """Customers who left or gave notice: reason, last score, first warning, what is still to do, signs of a return.

    Examples: scoresync churns · scoresync churns --since 2026-04-01 --json · scoresync churns 0015e00000ABCDeAAF --language en
    """
    from worker.churn_page import render

    found_settings = settings()
    customer, _ = mappings(found_settings)
    with runtime(found_settings) as opened:
        found = churn_report(opened, customer, since=since.date() if since else None, account=account, language=language)
    if found is None:
        err.print(NO_RUN)
        return exits.WRONG_INPUT
    if account is not None and not found.rows:
        err.print(f"The last full run knows no account {safe(account)} that left or gave notice.")
        return exits.WRONG_INPUT
    if as_json:
        print_json(found.as_dict())
    elif account is not None:
        typer.echo(render(found, customer.churn.warned_days), nl=False)
    else:
        _print_churns(found)
    return exits.DONE


def _print_churns(found: Churns) -> None:
    from worker._churn_words import WORDS
    from worker.churn_page import sign_text

    table = Table("decided", "account", "reason", "a month", "last score", "first warning", "to do", "signs of a return")
    words = WORDS[found.language]
    for row in found.rows:
        account = f"{safe(row['name'])}\n{safe(row['account_id'])}" + ("\n(gave notice)" if row["state"] == "leaving" else "")
        amount = "" if row["mrr"] is None else f"{row['mrr']:,.0f}"
        score = "" if row["last_score"] is None else f"{row['last_score']} (tier {row['last_tier']})"
        warned = "none" if row["warned_on"] is None else f"{row['warned_days']} days before:\n" + ", ".join(safe(w) for w in row["warned_by"])
        left = [safe(step["title"]) + (" (overdue)" if step["state"] == "overdue" else "") for step in row["checklist"] if step["state"] != "done"]
        signs = "\n".join(safe(sign_text(sign, words, found.language)) for sign in row["signs"] or [])
        reason = safe(row["reason_title"] or row["reason"] or "not recorded")
        table.add_row(str(row["decided_on"]), account, reason, amount, score, warned, "\n".join(left), signs)
    out.print(table if found.rows else f"Nobody left or gave notice since {found.since}.")
    if found.reasons:
        _print_reasons(found)
    out.print(f"Decided since {found.since}; as of {found.as_of:%Y-%m-%d %H:%M} UTC (run {found.run_id}).")


def _print_reasons(found: Churns) -> None:
    table = Table("reason", "left", "a month", "warned 30 days before", "not warned")
    for row in found.reasons:
        name = safe(row["title"] or row["reason"] or "not recorded")
        amount = "" if row["mrr"] is None else f"{row['mrr']:,.0f}"
        table.add_row(name, str(row["accounts"]), amount, str(row["warned_30"]), str(row["not_warned"]))
    out.print(table)
