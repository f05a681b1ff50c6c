"""Exit codes, and which error leads to which. Scripts and cron rely on them."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import typer
from pydantic import ValidationError

from connectors.errors import ConnectorError, Misfit, NotAllowed, NotReachable, QuotaSpent
from mappings.faults import MappingFaults
from worker.errors import WorkerError
from worker.items import Run, RunState

DONE = 0
WITH_RESERVE = 1  # done, with records set aside, held or refused; or a run that failed
WRONG_INPUT = 2  # configuration, mapping or usage of the command
CRM_CLOSED = 3  # not reachable, or not allowed
NEEDS_APPROVAL = 4
INTERRUPTED = 130  # Ctrl-C, as shells count it


def of_run(run: Run, report: dict[str, Any]) -> int:
    """Exit code of a run that has ended or waits."""
    match run.state:
        case RunState.NEEDS_APPROVAL:
            return NEEDS_APPROVAL
        case RunState.PAUSED:
            return CRM_CLOSED
        case RunState.DONE:
            return WITH_RESERVE if _reserves(report) else DONE
        case _:
            return WITH_RESERVE


def _reserves(report: dict[str, Any]) -> bool:
    writes = report.get("writes", {})
    refused = sum(writes.get(kind, 0) for kind in ("rejected", "unprocessed", "held", "invalid"))
    if any("down" in one for one in report.get("connections", {}).values()):
        return True
    return bool(refused or report.get("usage", {}).get("rows_set_aside") or report.get("accounts", {}).get("failed") or report.get("set_aside"))


def guarded(call: Callable[[], Any]) -> int:
    """Run a command line; the exit code, with every expected error said in plain words on stderr."""
    try:
        result = call()
        code = result if isinstance(result, int) else DONE
    except typer.Exit as ended:
        code = ended.exit_code
    except typer.TyperException as wrong:
        # the command line's own errors know how to print their usage; typer's public base class does not say so
        getattr(wrong, "show", partial(_say, str(wrong)))()
        return WRONG_INPUT
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except MappingFaults as faults:
        _say(str(faults))
        return WRONG_INPUT
    except ValidationError as wrong:
        _say("Settings are wrong (see docs/settings.md):")
        for error in wrong.errors(include_input=False):
            _say(f"  SCORESYNC_{_name(error)}: {error['msg']}")
        return WRONG_INPUT
    except Misfit as wrong:
        _say(str(wrong))
        return WRONG_INPUT
    except (NotAllowed, NotReachable, QuotaSpent, ConnectorError) as refused:
        _say(str(refused))
        return CRM_CLOSED
    except WorkerError as wrong:
        _say(str(wrong))
        return WRONG_INPUT
    if code == INTERRUPTED:  # typer turns Ctrl-C into this code and says nothing
        _say("Stopped. What was done is kept; `scoresync run` goes on from there.")
    return code


def _name(error: Any) -> str:
    return "_".join(str(part) for part in error["loc"]).upper() or "…"


def _say(text: str) -> None:
    print(text, file=sys.stderr)
