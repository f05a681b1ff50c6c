"""The nouns of the flow: runs, work items, and what an item leaves behind when it ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Executable

#: Key of the item that makes the other items of its step.
PLAN = "plan"


class RunKind(StrEnum):
    FULL = "full"
    INCREMENT = "increment"
    RESYNC = "resync"


class RunState(StrEnum):
    WAITING = "waiting"  # nothing claimed yet; a trigger may still coalesce into it
    RUNNING = "running"
    PAUSED = "paused"  # quota, auth or outage; see `pause` and `resume_at`
    NEEDS_APPROVAL = "needs_approval"  # the brake stopped it before write_back
    DONE = "done"
    RED = "red"  # went through, but its books do not balance; `reason` says what is missing
    FAILED = "failed"  # an item is dead
    SUPERSEDED = "superseded"  # a newer run went through while this one waited for approval


#: States that hold no pin: files they could see may be deleted.
ENDED = (RunState.DONE, RunState.RED, RunState.FAILED, RunState.SUPERSEDED)


@dataclass(frozen=True)
class Run:
    """One pass of the flow. `as_of` is its one instant; `pin` the lake sequence it started at."""

    id: str
    kind: RunKind
    state: RunState
    as_of: datetime
    accounts: tuple[str, ...] | None  # ids; null = all
    dry_run: bool
    pin: int
    mappings_hash: str
    pause: str | None = None  # quota | auth | outage
    resume_at: datetime | None = None
    reason: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)
    approved_by: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True)
class Item:
    """One claimed work item. `attempts` counts claims, this one included; it never goes back, so it can name files."""

    id: int
    run_id: str
    step: str
    key: str
    payload: Mapping[str, Any]
    attempts: int
    token: str


@dataclass(frozen=True)
class NewItem:
    """A work item to insert. The same (run, step, key) is inserted once, whoever asks for it again. `step` null = the step of the item that asks."""

    key: str
    payload: Mapping[str, Any] = field(default_factory=dict)  # JSON
    step: str | None = None
    not_before: datetime | None = None


@dataclass(frozen=True)
class CursorKey:
    """How far one source of one entity of one connection has been read. `source` is its index in the mapping."""

    connection: str
    entity: str
    source: int


@dataclass(frozen=True)
class LakeFile:
    """A part that lies in the lake but is not visible yet. `path` is relative to the lake's root."""

    table: str
    path: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Outcome:
    """What an item leaves behind, applied with its end in one SQL transaction, or not at all.

    `wait_until`: the item is not over; it is tried again then (with `payload`, if given). Everything else in the outcome is still applied.
    `brake`: a report for people; the run stops as `needs_approval` before write_back. `red`: why the run's books do not balance.
    `report`: merged into the run's report.
    """

    successors: Sequence[NewItem] = ()
    lake_files: Sequence[LakeFile] = ()
    retire_files: Sequence[int] = ()  # lake_file ids; files that are retired already are left alone
    cursors: Mapping[CursorKey, str] = field(default_factory=dict)
    stats: Mapping[str, float] = field(default_factory=dict)  # summed over the run's items for its report
    statements: Sequence[Executable] = ()
    wait_until: datetime | None = None
    payload: Mapping[str, Any] | None = None
    brake: Mapping[str, Any] | None = None
    red: str = ""
    report: Mapping[str, Any] = field(default_factory=dict)
