"""Commands that look back: churns, actions."""

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table

from worker.actions import LEAST_LEFT, Actions, actions_report
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


def actions(
    days: Annotated[int, typer.Option("--days", min=1, max=720, help="Days before the decision that are looked at.")] = 90,
    since: Annotated[
        datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], help="Renewed or left on or after this day; default one year.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Which activities came before renewals and before departures, with counts; a lift only where the numbers carry one. No proof of an effect.

    Examples: scoresync actions · scoresync actions --days 180 --since 2026-01-01 --json
    """
    found_settings = settings()
    customer, _ = mappings(found_settings)
    with runtime(found_settings) as opened:
        found = actions_report(opened, customer, days=days, since=since.date() if since else None)
    if found is None:
        err.print(NO_RUN)
        return exits.WRONG_INPUT
    if as_json:
        print_json(found.as_dict())
    else:
        print_actions(found, customer.writeback.language)
    return exits.DONE


def print_actions(found: Actions, language: str) -> None:
    table = Table("action", "renewed / left with it", "renewed / left without", "renewed with", "without", "lift (95 %)", "in the same tier")
    for row in found.rows:
        pairs = [f"{row[f'renewed_{k}']} / {row[f'left_{k}']}" for k in ("with", "without")]
        shares = ["" if row[k] is None else f"{row[k]:g} %" for k in ("renewed_percent_with", "renewed_percent_without")]
        lift = "too few" if row["lift"] is None else f"{row['lift']:g} ({row['lift_low']:g} to {row['lift_high']:g})"
        table.add_row(safe(row["action"]), *pairs, *shares, lift, "" if row["lift_same_tier"] is None else f"{row['lift_same_tier']:g}")
    out.print(table if found.rows else "No activity is recorded before any decision.")
    out.print(f"{found.renewed} accounts renewed and {found.left} left since {found.since}; looked at are the {found.days} days to each decision.")
    if not found.enough:
        out.print(f"Below {LEAST_LEFT} of each the counts are shown and nothing is computed from them.")
    out.print(found.caution[language])
    out.print(f"As of {found.as_of:%Y-%m-%d %H:%M} UTC (run {found.run_id}).")
