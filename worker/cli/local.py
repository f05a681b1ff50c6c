"""Commands that need no CRM of yours: the local sandbox, and the demo on it."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli import exits
from worker.cli.common import StepProgress, out, print_json
from worker.cli.operate import Json


def sandbox(
    salesforce: Annotated[int, typer.Option(metavar="PORT", help="Port of the local Salesforce sandbox.")] = 8099,
    accounts: Annotated[int, typer.Option(min=1, help="Customers of the demo company.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the demo company; the same seed gives the same records.")] = 1,
    empty: Annotated[bool, typer.Option("--empty", help="An org without records.")] = False,
    state: Annotated[Path, typer.Option(metavar="DIR", help="Folder that keeps the org and its usage files; made if missing.")] = Path("var/sandbox"),
    workers: Annotated[int, typer.Option(min=1, help="Server processes.")] = 1,
) -> int:
    """Serve a local Salesforce-compatible sandbox until Ctrl-C. Its pages show a record as a CSM sees it.

    Examples: scoresync sandbox · scoresync sandbox --salesforce 9000 --accounts 50 --seed 7 · scoresync sandbox --empty --state /tmp/org
    """
    from connectors.salesforce.sandbox.__main__ import seed_if_new  # the server's packages take a second, which no other command should wait for
    from connectors.sandbox_kit import run_sandbox

    state.mkdir(parents=True, exist_ok=True)
    file = state / "salesforce.db"
    if not empty:
        seed_if_new(file, accounts, seed, state)
    out.print(f"Salesforce sandbox on http://127.0.0.1:{salesforce} (state in {file}; usage exports in {state / 'usage'}). Ctrl-C ends it.")
    run_sandbox(file, port=salesforce, workers=workers)
    return exits.DONE


def demo(
    accounts: Annotated[int, typer.Option(min=10, help="Customers of the demo company.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same records.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the files in var/demo and the sandbox running until Ctrl-C.")] = False,
    as_json: Json = False,
) -> int:
    """Run the main job twice against a local Salesforce sandbox with a made-up Japanese SaaS company; the second run changes nothing.

    Examples: scoresync demo · scoresync demo --accounts 50 --keep · scoresync demo --json
    """
    from worker.cli.tour import print_tour
    from worker.demo import Demo

    with Demo(accounts, seed, keep=keep) as show:
        with StepProgress("demo") as progress:
            result = show.run(progress)
        if as_json:
            print_json(result.as_dict())
        else:
            print_tour(result, keep)
        if keep:
            show.wait()
    return exits.DONE if result.ok else exits.WITH_RESERVE
