"""Commands for the people who talk to customers: the brief of an account, and how onboarding goes."""

from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from worker.cli import exits
from worker.cli.common import err, out, print_json, runtime, settings
from worker.cli.lists import GUARD, print_rows
from worker.cli.operate import Json
from worker.cli.summary import safe


class Form(StrEnum):
    MD = "md"
    HTML = "html"


class Language(StrEnum):
    JA = "ja"
    EN = "en"


def brief(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="CRM id of the account, 15 or 18 characters.")],
    form: Annotated[Form, typer.Option("--format", help="Markdown, or HTML for print.")] = Form.MD,
    language: Annotated[Language | None, typer.Option(help="Language; without, that of the records.")] = None,
    file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write to this file instead of the terminal.")] = None,
    customer_safe: Annotated[bool, typer.Option("--customer-safe", help="For the customer: no score, no judgement, no plan of ours.")] = False,
) -> int:
    """One page on an account for a renewal or business review: use, score with reasons, results, open cases, dates, ideas, questions.

    Examples: scoresync brief 0015e00000ABCDeAAF · scoresync brief 0015e00000ABCDeAAF --format html --out brief.html --customer-safe
    """
    from worker.brief import brief_account
    from worker.brief_page import render  # templates are loaded by no other command

    with runtime(settings()) as opened:
        found = brief_account(opened, account, language=language, customer_safe=customer_safe)
    if found is None:
        err.print(f"No run decided on an account {safe(account)}. Ids are those of the CRM (001…); has `scoresync run` been through?")
        return exits.WRONG_INPUT
    page = render(found, form)
    if file is None:
        typer.echo(page, nl=False)
    else:
        file.write_text(page, encoding="utf-8")
        err.print(f"Written to {safe(file)}.")
    return exits.DONE


def onboarding(
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only onboardings that began on or after this day.")] = None,
    as_json: Json = False,
) -> int:
    """How many onboardings end within their period: by start month, plan, CSM and touch model.

    Examples: scoresync onboarding · scoresync onboarding --since 2026-04-01 --json
    """
    from worker.onboarding_report import onboarding_report

    with runtime(settings()) as opened:
        found = onboarding_report(opened, since=_day(since))
    if found is None:
        err.print("No full run is done yet. `scoresync run` starts the first.")
        return exits.WRONG_INPUT
    if as_json:
        print_json(found)
    else:
        _print(found)
    return exits.DONE


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment is not None else None


def _print(found: dict[str, Any]) -> None:
    whole = found["all"]
    if whole is None:
        out.print("No onboarding of the last two years fits a plan in onboarding/.")
        return
    settled = whole["on_time"] + whole["late"]
    out.print(f"[bold]{_percent(whole)}[/] on time of {settled} settled; {whole['started']} started, as of {found['as_of']:%Y-%m-%d}.")
    for heading, rows in found["by"].items():
        guard = ["CSQLs open"] if heading == "csm" else []
        table = Table(heading.replace("_", " "), "started", "completed", "on time", "late", "day unknown", "overdue steps", "rate", *guard)
        for r in rows:
            counts = [r[k] for k in ("started", "completed", "on_time", "late", "day_unknown", "with_overdue_steps")]
            table.add_row(safe(r["name"]), *map(str, counts), _percent(r), *([str(r["csqls_open"])] if guard else []))
        out.print(table)
    if found["guard"]:
        print_rows(GUARD, found["guard"])
    own, (low, high) = found["self_success"], found["self_success"]["target_percent"]
    out.print(f"Self-success candidates: {own['candidates']} of {own['new']} new customers (in practice {low:g}-{high:g} %).")


def _percent(row: dict[str, Any]) -> str:
    return "–" if row["on_time_percent"] is None else f"{row['on_time_percent']:g} %"
