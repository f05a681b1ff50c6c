"""Commands between CS, sales and product: handover, deals, fit, voice."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from mappings.models import Mappings
from worker.cli import exits
from worker.cli.common import err, mappings, out, print_json, runtime, settings
from worker.cli.lists import NO_RUN
from worker.cli.operate import Json
from worker.cli.summary import safe
from worker.runtime import Runtime

Found = dict[str, Any]
Row = Mapping[str, Any]


def handover(as_json: Json = False) -> int:
    """What sales handed over with new customers: which items are missing, by seller (`handover` in sales.yml).

    Examples: scoresync handover · scoresync handover --json
    """
    from worker import sales  # reports are loaded by no other command

    return _show(lambda opened, customer: sales.report(opened, customer, sales.handover), _print_handover, as_json)


def deals(as_json: Json = False) -> int:
    """Large open deals before signature, of customers and of those who are none yet (`deals` in sales.yml).

    Examples: scoresync deals · scoresync deals --json
    """
    from worker import sales

    return _show(lambda opened, customer: sales.report(opened, customer, sales.deals), _print_deals, as_json)


def fit(as_json: Json = False) -> int:
    """Segments and products in which success is not proven yet, and how onboarding goes for customers taken on there (`fit` in sales.yml).

    Examples: scoresync fit · scoresync fit --json
    """
    from worker import sales

    return _show(lambda opened, customer: sales.report(opened, customer, sales.fit), _print_fit, as_json)


def voice(
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only what was said on or after this day.")] = None,
    as_json: Json = False,
) -> int:
    """What customers ask for in survey comments and tickets, by annual revenue and product (tags of voice.yml).

    Examples: scoresync voice · scoresync voice --since 2026-07-01 --json
    """
    from worker.voice import voice as report

    first = since.date() if since is not None else None
    return _show(lambda opened, customer: report(opened, customer, first), _print_voice, as_json)


def _show(made: Callable[[Runtime, Mappings], Found | None], shown: Callable[[Found], None], as_json: bool) -> int:
    found_settings = settings()
    customer, _ = mappings(found_settings)
    with runtime(found_settings) as opened:
        found = made(opened, customer)
    if found is None:
        err.print(NO_RUN)
        return exits.WRONG_INPUT
    if as_json:
        print_json(found)
    else:
        shown(found)
        out.print(f"As of {found['as_of']:%Y-%m-%d %H:%M} UTC (run {found['run_id']}).")
    return exits.DONE


def _print_handover(found: Found) -> None:
    if not found["accounts"]:
        out.print("No hand-over to look at: sales.yml names no items, or nobody is at that stage.")
        return
    table = Table("sales", "accounts", "incomplete", "items missing", "complete", title="By seller", title_justify="left")
    for row in found["reps"]:
        counts = [str(row[name]) for name in ("accounts", "incomplete", "missing_items")]
        table.add_row(safe(row["rep_name"] or row["rep_id"] or "–"), *counts, f"{row['complete']:.0f} %")
    out.print(table)
    table = Table("account", "sales", "won on", "there", "missing")
    for row in found["accounts"]:
        name = f"{safe(row['name'])}\n{safe(row['account_id'])}"
        there = f"{row['there']} of {row['items']}"
        table.add_row(name, safe(row["rep_name"] or row["rep_id"] or "–"), str(row["won_on"] or "–"), there, safe(row["missing_words"] or ""))
    out.print(table)
    out.print(
        "Missing most: " + ", ".join(f"{row['item']} ({row['missing']})" for row in found["items"]) + "." if found["items"] else "Nothing is missing."
    )


def _print_deals(found: Found) -> None:
    table = Table("signature", "account", "deal", "stage", "amount", "products", "sales", "CSM", "proven")
    for row in found["deals"]:
        kind = "customer" if row["existing"] else "new"
        proven = {True: "yes", False: "not yet", None: ""}[row["proven"]]
        people = [safe(row["deal_owner_name"] or row["deal_owner_id"] or "–"), safe(row["csm_name"] or row["csm_id"] or "nobody yet")]
        account = f"{safe(row['name'])} ({kind})\n{safe(row['account_id'])}"
        cells = [
            safe(row["deal_name"]),
            safe(row["deal_stage"] or "–"),
            _money(row["deal_amount"], row["deal_currency"]),
            safe(row["products_title"] or "–"),
        ]
        table.add_row(str(row["deal_close_on"] or "–"), account, *cells, *people, proven)
    out.print(table if found["deals"] else "No open deal is as large as `deals.when` of sales.yml asks.")


def _print_fit(found: Found) -> None:
    if not found["cells"]:
        out.print("Nothing to judge: sales.yml says nothing about success (`fit.success`), or nobody has a product.")
        return
    table = Table("segment", "product", "proven", "doing well", "customers", "stayed", "onboarded", "not reached")
    for row in found["cells"]:
        aged = row["stayed"] + row["lost"]
        stayed = f"{row['stayed']} of {aged} ({row['retention']:.0f} %)" if aged else "–"
        counts = [str(row["successes"]), str(row["accounts"]), stayed, str(row["onboarded"]), str(row["failed"])]
        table.add_row(safe(row["segment"] or "–"), safe(row["product_title"]), "yes" if row["proven"] else "not yet", *counts)
    out.print(table)
    if found["unproven"]:
        table = Table("account", "sales", "onboarding", "due", "why", title="Taken on where success is not proven", title_justify="left")
        for row in found["unproven"]:
            account = f"{safe(row['name'])}\n{safe(row['account_id'])}"
            people = safe(row["owner_name"] or row["owner_id"] or "–")
            table.add_row(account, people, safe(row["onboarding_status"] or "–"), str(row["onboarding_due_on"] or "–"), safe(row["note"] or ""))
        out.print(table)


def _print_voice(found: Found) -> None:
    titles = found["titles"]
    for title, rows in (("By request", found["by_tag"]), ("By request and product", found["by_product"])):
        product = ["product"] if rows and rows[0]["product"] is not None else []
        table = Table("request", *product, "customers", "said", "last", "ARR", title=title, title_justify="left")
        for row in rows:
            named = [safe(titles[row["tag"]]), *([safe(found["products"].get(row["product"], row["product"]) or "not known")] if product else [])]
            table.add_row(*named, str(row["accounts"]), str(row["said"]), str(row["last_on"]), _money(row["arr"], row["currency"]))
        if rows:
            out.print(table)
    for row in found["latest"]:
        out.print(f"{row['on_']} {safe(titles[row['tag']])} · {safe(row['name'] or row['account_id'])}: {safe(row['words'])}")
    out.print(f"{found['said']} comments and tickets since {found['since']}; {found['untagged']} fit no tag of voice.yml.")


def _money(amount: Any, currency: str | None) -> str:
    return "–" if amount is None else f"{amount:,.0f} {safe(currency or '')}".strip()
