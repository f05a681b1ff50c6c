"""Commands that look and tell: check, provision, explain, runs."""

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table

from connectors.base import Finding, ProvisionStep
from connectors.errors import ConnectorError
from connectors.registry import missing_setting
from mappings.models import Mappings
from mappings.tasks import task_fields
from worker.cli import exits
from worker.cli.common import err, mappings, out, print_json, runtime, settings
from worker.cli.operate import Json
from worker.cli.summary import safe, whole_report
from worker.cli.usage_check import usage_findings
from worker.explain import explain_account
from worker.parity import parity as compared
from worker.runtime import Runtime, crm_opener
from worker.settings import Settings
from worker.steps._left import REMEDY, WORDS
from worker.store import runs as stored


def check(
    as_json: Json = False,
    parity: Annotated[bool, typer.Option("--parity", help="Compare our fields in both CRMs instead, account by account.")] = False,
) -> int:
    """Check settings, every mapping file, the newest usage exports, and the CRM's schema and access. Touches nothing.

    Examples: scoresync check · SCORESYNC_MAPPINGS=./mine scoresync check --json · scoresync check --parity
    """
    found = settings()
    customer, warnings = mappings(found)
    if parity:
        return _check_parity(found, customer, as_json)
    unset = {name: variable for name, crm in customer.crm.items() if (variable := missing_setting(crm, found))}
    findings: dict[str, list[Finding]] = {}
    closed = []
    for name in customer.crm:
        if name in unset:
            continue
        try:
            findings[name] = findings_of(found, customer, name)
        except ConnectorError as error:
            if len(customer.crm) == 1:
                raise
            closed.append(name)  # the other one is checked all the same
            findings[name] = [Finding("error", name, error.text, error.remedy)]
    exports = usage_findings(found, customer)
    findings |= {f"usage {name}": said for name, said in exports.items()}
    if as_json:
        print_json({"warnings": [vars(w) for w in warnings], "findings": {n: [vars(f) for f in fs] for n, fs in findings.items()}})
    else:
        for warning in warnings:
            out.print(f"[yellow]warning[/] {safe(warning)}")
        out.print(
            f"Mappings are right: {len(customer.indicators)} indicators, {len(customer.score.profiles)} profiles, {len(customer.csql)} CSQL rules."
        )
        _print_findings(findings)
        for name, variable in unset.items():
            out.print(f"{safe(name)} was not asked: {variable} is not set.")
    if closed:
        return exits.CRM_CLOSED
    return exits.WRONG_INPUT if any(f.severity == "error" for fs in findings.values() for f in fs) else exits.DONE


def _check_parity(found: Settings, customer: Mappings, as_json: bool) -> int:
    with runtime(found) as opened:
        result = compared(opened, customer)
    if as_json:
        print_json(result.as_dict())
    else:
        for one in result.differences:
            held = " (a person changed it; it is held)" if one.held else ""
            values = f"{result.home} {safe(one.home_value) or '(empty)'}, {one.connection} {safe(one.value) or '(empty)'}"
            out.print(f"{safe(one.account_id)} / {safe(one.record_id)} {one.field}: {values}{held}", soft_wrap=True)
        out.print(f"{result.accounts:,} accounts are in both CRMs, {len(result.fields)} fields compared: {len(result.differences):,} differ.")
        if result.riding:
            older, copies = ", ".join(f"{name} {n:,}" for name, n in sorted(result.riding.items())), sum(result.riding.values())
            said = f"Of {len(result.riding_fields)} fields that only go along with others, {copies:,} copies are older, as they may be: {older}."
            out.print(f"{said} They follow with the record's next change, or at the latest after max_age_days (writeback.yml).", soft_wrap=True)
        for left in result.left:
            out.print(
                f"{left.connection} {safe(left.record_id)} carries values of ours and belongs to no account now: {WORDS[left.why]}.", soft_wrap=True
            )
        if result.left:
            out.print(f"{len(result.left):,} records are left behind. {REMEDY}", soft_wrap=True)
        if result.gone:
            out.print(f"{result.gone:,} records are not there any more; the next run sees it.")
        if not result.accounts:
            out.print("No account is known in both: run `scoresync run` first, and look at its unmatched.parquet.")
    return exits.DONE if result.equal else exits.WITH_RESERVE


def findings_of(found: Settings, customer: Mappings, connection: str) -> list[Finding]:
    """What would make a run of this connection fail or degrade."""
    sources = [source for entity in customer.crm[connection].entities.values() for source in entity]
    fields = [*customer.writeback.active(), *task_fields(customer, customer.crm[connection].vendor, provisioned=True)]
    return crm_opener(found)(customer, connection).check(sources, fields)


def _print_findings(findings: dict[str, list[Finding]]) -> None:
    for connection, found in findings.items():
        for one in found:
            colour = "red" if one.severity == "error" else "yellow"
            out.print(f"[{colour}]{one.severity}[/] {safe(connection)} {safe(one.where)}: {safe(one.text)} {safe(one.remedy)}")
        out.print(f"{connection}: {'nothing is missing' if not found else f'{len(found)} findings'}.")


def provision(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be created; create nothing.")] = False,
    as_json: Json = False,
) -> int:
    """Create the fields and the CSQL object that writeback.yml declares, with field access. Never changes or deletes what is there.

    Examples: scoresync provision --dry-run · scoresync provision
    """
    found = settings()
    customer, _ = mappings(found)
    steps: list[ProvisionStep] = []
    for name in customer.crm:
        crm = crm_opener(found)(customer, name)
        fields = [*customer.writeback.active(), *task_fields(customer, customer.crm[name].vendor, provisioned=True)]
        steps += crm.provision(fields, dry_run=dry_run, say=lambda step: None if as_json else _say_step(step, dry_run))
    if as_json:
        print_json([vars(step) for step in steps])
    else:
        made = sum(step.action not in ("exists", "differs") for step in steps)
        out.print(f"{'Would create' if dry_run else 'Created'} {made}; {len(steps) - made} were there.")
    return exits.WITH_RESERVE if any(step.action == "differs" for step in steps) else exits.DONE


def _say_step(step: ProvisionStep, dry_run: bool) -> None:
    if step.action != "exists":
        out.print(
            f"{'would ' if dry_run and step.action != 'differs' else ''}{step.action.replace('_', ' ')} {safe(step.target)} {safe(step.detail)}"
        )


def explain(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="CRM id of the account, 15 or 18 characters.")],
    product: Annotated[str | None, typer.Option("--product", help="One product's score and rows alone, by its code in products.yml.")] = None,
    against: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="One more day to split the change since.")] = None,
    as_json: Json = False,
) -> int:
    """Why an account has its score and why it changed: axes, indicators, the rows and dates behind them, last writes, why something was not updated.

    Examples: scoresync explain 0015e00000ABCDeAAF · scoresync explain 0015e00000ABCDeAAF --against 2026-04-01
    scoresync explain 0015e00000ABCDeAAF --product expense
    """
    found = settings()
    customer, _ = mappings(found)
    with runtime(found) as opened:
        try:
            explanation = explain_account(opened, customer, account, product, against=against.date() if against else None)
        except LookupError as error:
            err.print(safe(error))
            return exits.WRONG_INPUT
    if explanation is None:
        err.print(f"No run knows an account {safe(account)}. Ids are those of the CRM (001…); has `scoresync run` been through?")
        return exits.WRONG_INPUT
    if as_json:
        print_json(explanation.as_dict())
    else:
        out.print(explanation.render())
    return exits.DONE


def runs(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="One run, whole; without, the last twenty.")] = None,
    as_json: Json = False,
) -> int:
    """List runs, or show one.

    Examples: scoresync runs · scoresync runs RUN --json
    """
    with runtime(settings()) as opened:
        return _one_run(opened, run_id, as_json) if run_id else _all_runs(opened, as_json)


def _one_run(opened: Runtime, run_id: str, as_json: bool) -> int:
    from worker.cli.operate import tell

    found = stored.get(opened.ledger, run_id)
    return tell(found, whole_report(opened, found), as_json)


def _all_runs(opened: Runtime, as_json: bool) -> int:
    found = stored.latest(opened.ledger)
    if as_json:
        print_json([{"run_id": r.id, "kind": r.kind, "state": r.state, "as_of": r.as_of, "pause": r.pause, "reason": r.reason} for r in found])
        return exits.DONE
    table = Table("run", "kind", "as of (UTC)", "state", "why")
    for one in found:
        table.add_row(
            one.id, str(one.kind), f"{one.as_of:%Y-%m-%d %H:%M}", str(one.state) + (f" ({one.pause})" if one.pause else ""), safe(one.reason)
        )
    out.print(table if found else "No runs yet. `scoresync run` starts the first.")
    return exits.DONE
