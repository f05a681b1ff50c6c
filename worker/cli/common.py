"""What every command shares: the console, settings and mappings, an open runtime, and progress that is shown only to people."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from mappings.faults import Fault
from mappings.load import load_checked
from mappings.models import Mappings
from worker import log
from worker.runtime import Runtime
from worker.settings import Settings
from worker.steps import STEPS

out = Console()
err = Console(stderr=True)


def settings() -> Settings:
    """The settings, with the log set up by them. Before a person at a terminal the log is quiet, unless asked for: the command says what happened."""
    found = Settings()
    quiet = err.is_terminal and "SCORESYNC_LOG_LEVEL" not in os.environ
    log.configure(found.model_copy(update={"log_level": "error"}) if quiet else found)
    return found


def mappings(found: Settings) -> tuple[Mappings, list[Fault]]:
    """The customer's mappings and warnings about them; MappingFaults if they are wrong."""
    return load_checked(found.mappings)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


class StepProgress:
    """One line per step on a terminal; silent when stderr is not one, so that logs and pipes stay clean."""

    def __init__(self, label: str) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=28), TimeElapsedColumn())
        self._progress = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
        self._label, self._step = label, ""
        self._task: TaskID | None = None

    def __call__(self, step: str, done: int, total: int) -> None:
        if self._task is None:
            self._task = self._progress.add_task(self._label, total=len(STEPS))
        place = STEPS.index(step) if step in STEPS else 0
        part = done / total if total else 0.0
        self._progress.update(self._task, description=f"{self._label}: {step}", completed=place + min(part, 1.0))

    def __enter__(self) -> "StepProgress":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


@contextmanager
def runtime(found: Settings, progress: StepProgress | None = None) -> Iterator[Runtime]:
    opened = Runtime.open(found, tell=progress) if progress else Runtime.open(found)
    try:
        yield opened
    finally:
        opened.close()
