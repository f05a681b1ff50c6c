"""Commands that make the worker do something: run, resync, approve, deadletters, holds, worker."""

from typing import Annotated

import typer

from connectors.registry import account_id
from mappings.models import Mappings
from worker import run as flow
from worker.cli import exits
from worker.cli.common import StepProgress, mappings, out, print_json, runtime, settings
from worker.cli.summary import preview, print_run, safe, whole_report
from worker.items import Run, RunKind
from worker.runtime import Runtime
from worker.store import registers

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for machines.")]


def run(
    full: Annotated[bool, typer.Option("--full", help="Score every account, not only changed ones. The first run always does.")] = False,
    account: Annotated[list[str] | None, typer.Option("--account", help="Only this account (CRM id); may be repeated.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Pull, score and show every change; write nothing.")] = False,
    as_json: Json = False,
) -> int:
    """Run the main job once, in this process.

    Examples: scoresync run · scoresync run --full --json · scoresync run --dry-run · scoresync run --account 0015e00000ABCDeAAF
    """
    found = settings()
    customer, _ = mappings(found)
    account = [account_id(customer, one) for one in account] if account else None
    with StepProgress("run") as progress, runtime(found, progress) as opened:
        kind = kind_of(opened, full=full, accounts=account)
        ended = flow.finish_run(opened, flow.start_run(opened, customer, kind, accounts=account, dry_run=dry_run))
        report = whole_report(opened, ended)
        if dry_run:
            report["preview"] = preview(opened, ended)
    return tell(ended, report, as_json)


def kind_of(opened: Runtime, *, full: bool, accounts: list[str] | None) -> RunKind:
    """A named account is a resync; a first run is full whatever was asked, since there is nothing to add to."""
    if accounts:
        return RunKind.RESYNC
    return RunKind.FULL if full or not registers.closings(opened.ledger) else RunKind.INCREMENT


def tell(ended: Run, report: dict[str, object], as_json: bool) -> int:
    if as_json:
        print_json(report)
    else:
        print_run(ended, report)
    return exits.of_run(ended, report)


def resync(
    account: Annotated[list[str], typer.Option("--account", help="Account (CRM id); may be repeated.")],
    as_json: Json = False,
) -> int:
    """Rescore these accounts now and write what differs.

    Example: scoresync resync --account 0015e00000ABCDeAAF
    """
    return run(full=False, account=account, dry_run=False, as_json=as_json)


def approve(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Run that needs approval; see `scoresync runs`.")],
    by: Annotated[str, typer.Option(help="Who approves; kept in the audit log.")],
    as_json: Json = False,
) -> int:
    """Let a run that the brake stopped go on, after a fresh diff.

    Example: scoresync approve 20261201-0930-a1b2 --by tanaka
    """
    with StepProgress("run") as progress, runtime(settings(), progress) as opened:
        flow.approve(opened, run_id, by)
        ended = flow.finish_run(opened, run_id)
        report = whole_report(opened, ended)
    return tell(ended, report, as_json)


deadletters = typer.Typer(help="Records the CRM refused or that could not be sent, with reason and remedy.", no_args_is_help=True)


@deadletters.command("list")
def list_letters(as_json: Json = False) -> int:
    """Show what waits. Example: scoresync deadletters list"""
    with runtime(settings()) as opened:
        letters = registers.dead_letters(opened.ledger)
    if as_json:
        print_json([vars(letter) for letter in letters])
        return exits.DONE
    for one in letters:
        out.print(
            f"[bold]{one.id}[/] {safe(one.object)} {safe(one.record_key)} {safe(one.field)} {safe(one.code)} ({one.attempts} tries)", soft_wrap=True
        )
        out.print(f"    {safe(one.text)} → {safe(one.remedy)}", soft_wrap=True)
    out.print(f"{len(letters)} dead letters." if letters else "No dead letters.")
    return exits.DONE


@deadletters.command("retry")
def retry_letters(
    ids: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Only these; without, all that are open.")] = None,
) -> int:
    """Send them again in the next run. Example: scoresync deadletters retry 12 13"""
    with runtime(settings()) as opened:
        count = registers.retry_letters(opened.ledger, ids, opened.ledger.now())
    out.print(f"{count} dead letters will be sent again by the next run.")
    return exits.DONE if count or not ids else exits.WRONG_INPUT


def holds(
    release: Annotated[
        list[str] | None, typer.Option("--release", help="Record id whose held fields may be overwritten again; may be repeated.")
    ] = None,
    release_all: Annotated[bool, typer.Option("--release-all", help="All held fields, e.g. after the ledger was lost.")] = False,
    field: Annotated[list[str] | None, typer.Option("--field", help="Only this field of writeback.yml; may be repeated.")] = None,
    connection: Annotated[str | None, typer.Option("--connection", help="Only in this CRM, by its name under crm/.")] = None,
    as_json: Json = False,
) -> int:
    """Fields of ours that a person changed: they are not overwritten in that CRM until released.

    Examples: scoresync holds · scoresync holds --release 0015e00000ABCDeAAF · scoresync holds --release-all --field health_score ·
    scoresync holds --connection hubspot --release-all
    """
    with runtime(settings()) as opened:
        asked = [one for one in registers.holds(opened.ledger) if not field or one.field in field]
        held = [one for one in asked if connection is None or one.connection in ("", connection)]
        freed = [one for one in held if release_all or one.record_id in (release or [])]
        now = opened.ledger.now()
        registers.commit(
            opened.ledger,
            [s for one in freed for s in registers.put_released(opened.ledger, one.connection, one.object, [one.record_id], [one.field], now)],
        )
    releasing = bool(release) or release_all
    shown = freed if releasing else held
    if as_json:
        print_json([vars(one) for one in shown])
    else:
        for one in shown:
            place = f"{one.connection} {one.object} {one.record_id} {one.field}".lstrip()
            out.print(f"{place}: {safe(one.crm_value) or '(empty)'}, since {one.since:%Y-%m-%d %H:%M} UTC", soft_wrap=True)
        found = f"{len(shown)} fields {'released' if releasing else 'held'}."
        out.print(found if shown else "Nothing is held." if not release else "None of these records has a held field.")
    return exits.WRONG_INPUT if release and not freed else exits.DONE


def worker() -> int:
    """Work by the beat schedule in this process, without Redis: nightly scoring, increments, resync requests, sweep, compaction.

    With several workers use Celery instead: celery -A worker.app worker, and one celery -A worker.app beat.
    """
    from worker.embedded import serve  # reads the settings when imported, as Celery's configuration does; other commands say first what is wrong

    found = settings()

    def current() -> Mappings:
        return mappings(found)[0]

    current()  # wrong files end this before anything starts
    with runtime(found) as opened:
        serve(opened, current)
    return exits.DONE
