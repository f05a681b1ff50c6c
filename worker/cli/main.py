"""The command line: `scoresync COMMAND`. Exit codes: 0 done, 1 done with records set aside or refused, 2 wrong configuration or usage,
3 CRM not reachable or not allowed, 4 needs approval."""

import sys

import typer

from worker.cli import exits
from worker.cli.alerting import alerts
from worker.cli.leads import csqls
from worker.cli.lists import portfolio, today
from worker.cli.local import demo, sandbox
from worker.cli.operate import approve, deadletters, holds, resync, run, worker
from worker.cli.past import actions, churns
from worker.cli.review import brief, onboarding
from worker.cli.sales import deals, fit, handover, voice
from worker.cli.show import check, explain, provision, runs

app = typer.Typer(
    name="scoresync",
    help="Health scores and CSQL flags from contracts, activities and product usage, written back to the CRM.",
    epilog="Try: scoresync demo · scoresync check · scoresync run --dry-run · scoresync explain ACCOUNT",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(demo)
app.command()(sandbox)
app.command()(check)
app.command()(provision)
app.command()(run)
app.command()(resync)
app.command()(explain)
app.command()(today)
app.command()(portfolio)
app.command()(brief)
app.command()(onboarding)
app.command()(csqls)
app.command()(alerts)
app.command()(handover)
app.command()(deals)
app.command()(fit)
app.command()(voice)
app.command()(churns)
app.command()(actions)
app.command()(runs)
app.add_typer(deadletters, name="deadletters")
app.command()(holds)
app.command()(approve)
app.command()(worker)


def main() -> None:
    sys.exit(exits.guarded(lambda: app(standalone_mode=False)))
