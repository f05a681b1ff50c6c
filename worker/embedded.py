"""A worker without Redis: one process that starts what Celery's beat would and works it off itself, from the same schedule."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from celery.schedules import crontab, maybe_schedule

import celeryconfig
from connectors.errors import ConnectorError
from mappings.models import Mappings
from worker import log
from worker import run as flow
from worker.execute import execute
from worker.items import Item, RunKind, claim_next, release
from worker.runtime import Runtime
from worker.store import upkeep

IDLE_S = 0.5

Job = Callable[[Runtime, Mappings], Any]

#: Task name -> what the task does, called directly. `tests/worker/test_embedded.py` holds it to the beat schedule.
JOBS: dict[str, Job] = {
    "run.start_full": lambda runtime, mappings: flow.start_run(runtime, mappings, RunKind.FULL),
    "run.start_increment": lambda runtime, mappings: flow.start_run(runtime, mappings, RunKind.INCREMENT),
    "run.poll_resync": flow.poll_resync,
    "run.sweep": lambda runtime, _mappings: flow.sweep(runtime),
    "lake.compact": lambda runtime, _mappings: upkeep.compact(runtime.settings, runtime.ledger, runtime.lake),
}


def serve(runtime: Runtime, mappings: Callable[[], Mappings], until: Callable[[], bool] = lambda: False) -> None:
    """Work until told, or until Ctrl-C (which gives the item in hand back).

    Mappings are read anew for each run, so an edit takes effect without a restart; a run keeps those it started with.
    """
    last: dict[str, datetime] = {}
    following: Item | None = None
    while not until():
        for task in due(last):
            start(runtime, mappings, task)
        item = following or claim_next(runtime.ledger, runtime.terms)
        if item is None:
            runtime.rest()
            time.sleep(IDLE_S)
        else:
            following = execute(runtime, item, go_on=True)
    if following is not None:
        release(runtime.ledger, following)


def due(last: dict[str, datetime]) -> list[str]:
    """Names of the tasks that are due now by the beat schedule; notes the time in `last` (schedule entry -> last start).

    At start-up everything periodic is due at once; what belongs to an hour of the day waits for it.
    """
    found = []
    for entry, plan in celeryconfig.beat_schedule.items():
        schedule = maybe_schedule(plan["schedule"])
        now = schedule.now()
        before = last.get(entry)
        if before is None and isinstance(schedule, crontab):
            last[entry] = now
        elif before is None or schedule.is_due(before).is_due:
            last[entry] = now
            found.append(plan["task"])
    return found


def start(runtime: Runtime, mappings: Callable[[], Mappings], task: str) -> None:
    try:
        JOBS[task](runtime, mappings())
    except ConnectorError as error:
        # The named border of this loop: a CRM that is away now is asked again when the entry is next due.
        log.get().warning("worker.job_failed", task=task, error=str(error))
