"""The flow: pull → stage → join → score → decide → diff → write_back → record → notify.

A run is started here (its clock is read once, as `as_of`) and worked off by whoever comes: this process in a loop, or Celery's workers by message.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from connectors.errors import ConnectorError
from mappings.models import Mappings
from worker import log
from worker.execute import execute
from worker.identity import account_ids, known_accounts
from worker.items import Item, Run, RunKind, RunState, claim_next, release
from worker.resync import pending_requests
from worker.runtime import Runtime
from worker.store import registers, runs, upkeep

#: A dry run is the flow cut before this step.
WRITES = "write_back"
#: Between looks for work when there is none, seconds: what a person waiting for a resync does not notice.
IDLE_S = 0.1


def start_run(
    runtime: Runtime,
    mappings: Mappings,
    kind: RunKind,
    *,
    accounts: Sequence[str] | None = None,
    dry_run: bool = False,
    as_of: datetime | None = None,
    requests: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """Id of the run that will do this. `as_of` null = now. `requests`: connection -> account id -> value of the resync request it answers.

    `accounts` may be ids of any connection.
    """
    if accounts is not None:
        accounts = known_accounts(runtime, mappings, accounts)
    names = list(runtime.steps)
    steps = names[: names.index(WRITES)] if dry_run and WRITES in names else names
    body, hashed = runtime.snapshot(mappings)
    now = runtime.ledger.now()
    taken = [_take_up(runtime, connection, found, now) for connection, found in (requests or {}).items()]
    return runs.start(runtime.ledger, kind, steps, body, hashed, accounts=accounts, dry_run=dry_run, as_of=as_of, statements=taken)


def _take_up(runtime: Runtime, connection: str, found: Mapping[str, str], now: datetime) -> Callable[[str], list[object]]:
    return lambda run_id: list(registers.put_requests(runtime.ledger, connection, found, run_id, now))


def work(runtime: Runtime, until: Callable[[], bool]) -> None:
    """Work off items of any run until told. Ctrl-C gives the item in hand back and passes on; the next worker goes on from there."""
    following: Item | None = None
    while not until():
        item = following or claim_next(runtime.ledger, runtime.terms)
        if item is None:
            runtime.rest()
            time.sleep(IDLE_S)
        else:
            following = execute(runtime, item, go_on=True)
    if following is not None:
        release(runtime.ledger, following)


def until_done(runtime: Runtime, run_id: str) -> Callable[[], bool]:
    """True once the run has ended or waits for a person or a connection."""
    return lambda: not runs.is_live(runs.get(runtime.ledger, run_id).state)


def finish_run(runtime: Runtime, run_id: str) -> Run:
    """Work until the run is over (or parked) in this process, sweep, and return the run."""
    work(runtime, until_done(runtime, run_id))
    sweep(runtime)
    return runs.get(runtime.ledger, run_id)


def resume(runtime: Runtime, run_id: str, actor: str) -> None:
    """Take up a paused or failed run where it stopped."""
    runs.resume(runtime.ledger, run_id, actor)


def approve(runtime: Runtime, run_id: str, actor: str) -> None:
    """Let a run that the brake stopped go on, after a fresh diff."""
    runs.approve(runtime.ledger, run_id, actor)


def poll_resync(runtime: Runtime, mappings: Mappings) -> str | None:
    """Start a run for the accounts whose record asks for it; null if none does. One read call per connection, without the read lag."""
    pending: dict[str, dict[str, str]] = {}
    accounts: set[str] = set()
    for name in mappings.crm:
        try:
            found = pending_requests(runtime.ledger, mappings, name, runtime.crm_now(mappings, name))
        except ConnectorError as error:
            if len(mappings.crm) == 1:
                raise
            log.get().warning("resync.not_polled", connection=name, error=type(error).__name__)  # people may ask in the other CRM meanwhile
            continue
        known = account_ids(runtime, mappings, list(found))
        asked = {record: value for record, value in found.items() if known[record] is not None}
        if asked:
            pending[name] = asked
            accounts |= {account for record in asked if (account := known[record]) is not None}
    if not pending:
        return None
    return start_run(runtime, mappings, RunKind.RESYNC, accounts=sorted(accounts), requests=pending)


def sweep(runtime: Runtime) -> dict[str, int]:
    """Put right what crashes left behind and drop what is past its keeping: counts by kind."""
    swept = upkeep.sweep(runtime.settings, runtime.ledger, runtime.lake)
    if any(swept.values()):
        log.get().info("run.swept", **swept)
    return swept


__all__ = ["Run", "RunKind", "RunState", "approve", "finish_run", "poll_resync", "resume", "start_run", "sweep", "until_done", "work"]
