"""Thin Celery tasks: ids in, one call of a plain function, nothing out. What fails is recorded in the ledger and never raised."""

from celery.signals import worker_process_shutdown

from connectors.errors import ConnectorError
from mappings.faults import MappingFaults
from mappings.load import load
from worker import log
from worker.announce import announce
from worker.app import app
from worker.execute import execute
from worker.items import RunKind, claim
from worker.run import poll_resync, start_run, sweep
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store import upkeep

EXECUTE_ITEM = "item.execute"
START_FULL = "run.start_full"
START_INCREMENT = "run.start_increment"
POLL_RESYNC = "run.poll_resync"
SWEEP = "run.sweep"
COMPACT = "lake.compact"

_open: list[Runtime] = []


def open_runtime() -> Runtime:
    """A worker of this process as its settings say."""
    settings = Settings()
    log.configure(settings)
    return Runtime.open(settings)


def runtime() -> Runtime:
    """This process's worker, opened at its first task: a connection must not be carried over a fork."""
    if not _open:
        _open.append(open_runtime())
    return _open[0]


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def close_runtime(**_signal: object) -> None:
    while _open:
        _open.pop().close()


def send(item_id: int, delay_s: float) -> None:
    """A message for one item."""
    app.send_task(EXECUTE_ITEM, args=(item_id,), countdown=delay_s or None)


@app.task(name=EXECUTE_ITEM)  # type: ignore[untyped-decorator]
def execute_item(item_id: int) -> None:
    """Do this item, if nobody has it and it is still to be done; then send messages for what follows."""
    worker = runtime()
    item = claim(worker.ledger, item_id, worker.terms)
    if item is not None:
        execute(worker, item)
        announce(worker, send)


@app.task(name=START_FULL)  # type: ignore[untyped-decorator]
def start_full() -> None:
    """Start a full run, or bring one that has not started yet up to now."""
    _start(RunKind.FULL)


@app.task(name=START_INCREMENT)  # type: ignore[untyped-decorator]
def start_increment() -> None:
    """Start an incremental run, or bring one that has not started yet up to now."""
    _start(RunKind.INCREMENT)


def _start(kind: RunKind) -> None:
    worker = runtime()
    try:
        run_id = start_run(worker, load(worker.settings.mappings), kind)
    except MappingFaults as faults:
        log.get(kind=kind).error("run.not_started", faults=str(faults))
        return
    log.get(run_id=run_id, kind=kind).info("run.started")
    announce(worker, send)


@app.task(name=POLL_RESYNC)  # type: ignore[untyped-decorator]
def poll_for_resync() -> None:
    """Start a run for the accounts whose record asks for it."""
    worker = runtime()
    try:
        run_id = poll_resync(worker, load(worker.settings.mappings))
    except (ConnectorError, MappingFaults) as error:
        log.get().warning("resync.not_polled", error=type(error).__name__)
        return
    if run_id is not None:
        log.get(run_id=run_id).info("run.started")
        announce(worker, send)


@app.task(name=SWEEP)  # type: ignore[untyped-decorator]
def sweep_items() -> None:
    """Send messages for items that wait without one, or whose worker died."""
    announce(runtime(), send)


@app.task(name=COMPACT)  # type: ignore[untyped-decorator]
def compact_lake() -> None:
    """Join small parts, delete what nobody sees any more, drop what is past its keeping."""
    worker = runtime()
    joined = upkeep.compact(worker.settings, worker.ledger, worker.lake)
    if joined:
        log.get().info("lake.compacted", parts=joined)
    sweep(worker)
