"""How a run moves from step to step: a counter per step, lowered in the transactions that end its items.

Each step's counter starts at 1, for its plan item, so that items which an earlier step inserts ahead cannot end it. Whoever brings a counter to
nought inserts the next step's plan item in that same transaction: exactly once, without anybody watching.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from worker.store.ledger import Ledger
from worker.store.tables import item, run, step
from worker.store.work import PLAN, NewItem, Outcome, RunKind, RunState

#: The brake stops a run before this step.
GUARDED = "write_back"


def insert_items(tx: Connection, ledger: Ledger, run_id: str, own_step: str, new: Sequence[NewItem], now: datetime) -> dict[str, int]:
    """Insert items that are not there yet; how many per step."""
    common = {"run_id": run_id, "state": "ready", "attempts": 0, "failures": 0, "created_at": now}
    rows = {
        (one.step or own_step, one.key): {
            **common,
            "step": one.step or own_step,
            "key": one.key,
            "payload": dict(one.payload),
            "not_before": one.not_before or now,
        }
        for one in new
    }
    if not rows:
        return {}
    insert = ledger.insert(item).on_conflict_do_nothing(index_elements=["run_id", "step", "key"]).returning(item.c.step)
    # what RETURNING gives was inserted; the row count says nothing of that on every driver
    return dict(Counter(tx.execute(insert, list(rows.values())).scalars()))


def advance(tx: Connection, ledger: Ledger, run_id: str, name: str, delta: int, now: datetime) -> None:
    """Change a step's counter; at nought go on to the next step, or end the run."""
    this = (step.c.run_id == run_id, step.c.name == name)
    changed = update(step).where(*this).values(open_items=step.c.open_items + delta).returning(step.c.open_items, step.c.ordinal, step.c.finished_at)
    row = tx.execute(changed).one_or_none()
    if row is None:
        raise LookupError(f"Run {run_id} has no step {name!r}: an item named it as its successor's.")
    if row.finished_at is not None:
        raise LookupError(f"Step {name!r} of run {run_id} is over; no item can be added to it.")
    if row.open_items > 0:
        return
    tx.execute(update(step).where(*this).values(finished_at=now))
    later = select(step.c.name).where(step.c.run_id == run_id, step.c.ordinal > row.ordinal).order_by(step.c.ordinal).limit(1)
    following = tx.execute(later).scalar()
    if following is None:
        _end(tx, run_id, now)
    elif following == GUARDED and _braked(tx, run_id):
        reason = "The run would change more than the brake allows; see its report."
        tx.execute(update(run).where(run.c.id == run_id).values(state=RunState.NEEDS_APPROVAL, reason=reason))
    else:
        insert_items(tx, ledger, run_id, following, [NewItem(PLAN)], now)


def _braked(tx: Connection, run_id: str) -> bool:
    row = tx.execute(select(run.c.report, run.c.approved_by).where(run.c.id == run_id)).one()
    return bool((row.report or {}).get("brake")) and row.approved_by is None


def _end(tx: Connection, run_id: str, now: datetime) -> None:
    row = tx.execute(select(run).where(run.c.id == run_id).with_for_update()).one()
    red = (row.report or {}).get("red", "")
    tx.execute(update(run).where(run.c.id == run_id).values(state=RunState.RED if red else RunState.DONE, reason=red, finished_at=now))
    if row.kind == RunKind.RESYNC or row.dry_run:
        return
    parked = run.c.state.in_([RunState.NEEDS_APPROVAL, RunState.PAUSED])
    older = (parked, run.c.kind != RunKind.RESYNC, run.c.as_of < row.as_of)
    superseded = {"state": RunState.SUPERSEDED, "pause": None, "resume_at": None, "finished_at": now}
    tx.execute(update(run).where(*older).values(**superseded, reason=f"Run {run_id} went through with newer data."))
    # the CRM let this run through, so what stopped a resync at the door is mended
    stopped = (run.c.state == RunState.PAUSED, run.c.kind == RunKind.RESYNC, run.c.pause == "auth")
    tx.execute(update(run).where(*stopped).values(state=RunState.RUNNING, pause=None, resume_at=None, reason=""))


def merge_report(tx: Connection, run_id: str, outcome: Outcome) -> None:
    """Add the outcome's report, brake and verdict to the run's row."""
    if not (outcome.report or outcome.brake or outcome.red):
        return
    row = tx.execute(select(run.c.report).where(run.c.id == run_id).with_for_update()).one()
    report: dict[str, Any] = {**(row.report or {}), **outcome.report}
    if outcome.brake:
        report["brake"] = dict(outcome.brake)
    if outcome.red:
        report["red"] = outcome.red
    tx.execute(update(run).where(run.c.id == run_id).values(report=report))
