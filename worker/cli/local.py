"""Commands that need no CRM of yours: the local sandbox, and the demo on it."""

from pathlib import Path
from typing import Annotated

import typer

from connectors import registry
from worker.cli import exits
from worker.cli.common import StepProgress, out, print_json
from worker.cli.operate import Json

#: The CRM whose sandbox is meant where none is named, and its port.
FIRST, PORT = "salesforce", 8099


#: The demo on every CRM at once.
BOTH = "both"


def _known(crm: str) -> str:
    if crm not in registry.vendors() and crm != BOTH:
        raise typer.BadParameter(f"there is no sandbox for {crm!r}; there are: {', '.join(registry.vendors())}")
    return crm


def sandbox(
    salesforce: Annotated[int | None, typer.Option(metavar="PORT", help="Serve a Salesforce sandbox on this port (default: on 8099).")] = None,
    hubspot: Annotated[int | None, typer.Option(metavar="PORT", help="Serve a HubSpot sandbox on this port instead.")] = None,
    accounts: Annotated[int, typer.Option(min=1, help="Customers of the demo company.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the demo company; the same seed gives the same records.")] = 1,
    empty: Annotated[bool, typer.Option("--empty", help="An org without records.")] = False,
    state: Annotated[Path, typer.Option(metavar="DIR", help="Folder that keeps the org and its usage files; made if missing.")] = Path("var/sandbox"),
    workers: Annotated[int, typer.Option(min=1, help="Server processes.")] = 1,
) -> int:
    """Serve a local sandbox of a CRM until Ctrl-C. Salesforce's has pages that show a record as a CSM sees it.

    Examples: scoresync sandbox · scoresync sandbox --hubspot 8090 --accounts 50 · scoresync sandbox --empty --state /tmp/org
    """
    from connectors.sandbox_kit import run_sandbox  # the server's packages take a second, which no other command should wait for

    if salesforce is not None and hubspot is not None:
        raise typer.BadParameter("give --salesforce or --hubspot, not both: each sandbox is a process of its own")
    crm, port = ("hubspot", hubspot) if hubspot is not None else (FIRST, PORT if salesforce is None else salesforce)
    state.mkdir(parents=True, exist_ok=True)
    file, module = state / f"{crm}.db", registry.sandbox_demo(crm)
    if not empty:
        module.seed_if_new(file, accounts, seed, state)
    out.print(f"{module.TITLE} sandbox on http://127.0.0.1:{port} (state in {file}; usage exports in {state / 'usage'}). Ctrl-C ends it.")
    run_sandbox(file, crm=crm, port=port, workers=workers)
    return exits.DONE


def demo(
    accounts: Annotated[int, typer.Option(min=10, help="Customers of the demo company.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same records.")] = 1,
    crm: Annotated[str, typer.Option(metavar="CRM", help="The CRM whose sandbox it runs on: salesforce, hubspot or both.", callback=_known)] = FIRST,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the files in var/demo and the sandbox running until Ctrl-C.")] = False,
    as_json: Json = False,
) -> int:
    """Run the main job twice against a local sandbox with a made-up Japanese SaaS company; the second run changes nothing.

    Examples: scoresync demo · scoresync demo --crm hubspot · scoresync demo --crm both · scoresync demo --accounts 50 --keep · scoresync demo --json
    """
    from worker.cli.tour import print_tour
    from worker.demo import Demo
    from worker.demo_both import BothDemo

    other = next(vendor for vendor in registry.vendors() if vendor != FIRST)
    made = BothDemo(accounts, seed, crm=FIRST, other=other, keep=keep) if crm == BOTH else Demo(accounts, seed, crm=crm, keep=keep)
    with made as show:
        with StepProgress("demo") as progress:
            result = show.run(progress)
        if as_json:
            print_json(result.as_dict())
        else:
            print_tour(result, keep)
        if keep:
            show.wait()
    return exits.DONE if result.ok else exits.WITH_RESERVE
