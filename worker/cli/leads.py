"""Command for sales and CS leads: csqls."""

from typing import Annotated

import typer
from rich.table import Table

from worker.cli import exits
from worker.cli.common import err, out, print_json, runtime, settings
from worker.cli.lists import GUARD, NO_RUN, print_rows
from worker.cli.operate import Json
from worker.cli.summary import safe
from worker.csqls import Csqls, Row, open_csqls

#: Months of attribution that are printed.
MONTHS = 3


def csqls(late: Annotated[bool, typer.Option("--late", help="Only those past their day.")] = False, as_json: Json = False) -> int:
    """Open CSQLs by rank, with state and deadlines, who waits for a place, and what sales made of each rule; as the last full run left them.

    Examples: scoresync csqls · scoresync csqls --late · scoresync csqls --json
    """
    with runtime(settings()) as opened:
        found = open_csqls(opened, late=late)
    if found is None:
        err.print(NO_RUN)
        return exits.WRONG_INPUT
    if as_json:
        print_json(found.as_dict())
    else:
        _print_csqls(found)
    return exits.DONE


def _print_csqls(found: Csqls) -> None:
    table = Table("#", "approach", "CSQL", "account", "state", "deadline")
    for row in found.rows:
        score = "" if row["approach_score"] is None else str(row["approach_score"])
        table.add_row(str(row["rank"]), score, safe(row["title"] or row["product"]), safe(row["account_id"]), safe(row["state"]), _deadline(row))
    out.print(table if found.rows else "No CSQL is open.")
    if found.waiting:
        _print_waiting(found.waiting)
    if found.credits:
        _print_credits(found.credits, found.attribution)
    if found.rules:
        _print_rules(found.rules)
    if found.guard:
        print_rows(GUARD, found.guard)
    out.print(f"As of {found.as_of:%Y-%m-%d %H:%M} UTC (run {found.run_id}).")


def _print_waiting(waiting: list[Row]) -> None:
    table = Table("place", "approach", "waits", "account", "rep", "open with the rep")
    for row in waiting:
        score = "" if row["approach_score"] is None else str(row["approach_score"])
        table.add_row(str(row["place"]), score, safe(row["title"]), safe(row["account_id"]), safe(row["rep"]), str(row["taken"]))
    out.print(table)


def _deadline(row: Row) -> str:
    """What is due next, by the state the record is in."""
    match row["state"]:
        case "Candidate":
            return f"expires {row['expires_on']}"
        case "Submitted":
            return f"accept by {row['accept_by']}" + (" (late)" if row["accept_late"] else "")
        case "Accepted" if row["contact_by"] is not None or row["contact_late"]:
            return f"contact by {row['contact_by'] or 'long ago'}" + (" (late)" if row["contact_late"] else "")
        case "Nurture":
            return f"on hold until {row['hold_until']}"
    return ""


def _print_credits(credits: list[Row], attribution: str) -> None:
    """The newest months; all of them are in --json."""
    months = sorted({row["month"] for row in credits}, reverse=True)[:MONTHS]
    table = Table("month", "counts for", "", "submitted", "accepted", "expected MRR", "won", "won MRR", title=f"Attribution: {attribution}")
    for row in credits:
        if row["month"] in months:
            who = row["who"] or ("by hand" if row["role"] == "rule" else "nobody")
            money = ["" if row[name] is None else f"{row[name]:,.0f} {row['currency']}".strip() for name in ("expected", "won_amount")]
            counts = [str(row[name]) for name in ("submitted", "accepted", "won")]
            table.add_row(f"{row['month']:%Y-%m}", row["role"], safe(who), counts[0], counts[1], money[0], counts[2], money[1])
    out.print(table)


def _print_rules(rules: list[Row]) -> None:
    table = Table("rule", "tried", "accepted", "met", "won", "returned", "without reason", "")
    for row in rules:
        counts = [f"{row[name]} ({row[f'{name}_percent']} %)" if row["tried"] else str(row[name]) for name in ("accepted", "met", "won")]
        rests = "rests" if row["muted"] else ""
        table.add_row(safe(row["rule"]), str(row["tried"]), *counts, str(row["returned"]), str(row["without_reason"]), rests)
    out.print(table)
