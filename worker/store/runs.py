"""Runs as rows: started, looked at, taken up again, approved."""

import json
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Executable, delete, select, update

from worker.errors import UnknownRun, WrongState
from worker.killpoint import killpoint, register
from worker.store import manifest
from worker.store.flow import insert_items
from worker.store.ledger import Ledger
from worker.store.tables import audit, item, mappings_snapshot, run, step
from worker.store.work import ENDED, PLAN, NewItem, Run, RunKind, RunState

BEFORE_START = register("run.start.before_commit", "No run. A resync request stays pending and is found by the next poll.")
AFTER_START = register("run.start.after_commit", "A waiting run without a message. The sweep, or the next `scoresync run`, takes it up.")


def start(
    ledger: Ledger,
    kind: RunKind,
    steps: Sequence[str],
    mappings_body: str,
    mappings_hash: str,
    *,
    accounts: Sequence[str] | None = None,
    dry_run: bool = False,
    as_of: datetime | None = None,
    statements: Sequence[Any] = (),
) -> str:
    """The id of a run that will do this: a new one, or one alike that has not started yet and is brought up to this trigger.

    `as_of` null = now. `statements` are executed in the same transaction, each called with the run's id if it is a function.
    """
    with ledger.transaction() as tx:
        ledger.serialize(tx)  # two triggers at once must not each miss the other's run
        now = ledger.now(tx)
        tx.execute(ledger.inserts(mappings_snapshot, [{"hash": mappings_hash, "body": mappings_body, "created_at": now}])[0])
        pinned = {"as_of": as_of or now, "pin": manifest.current_pin(tx), "mappings_hash": mappings_hash}
        run_id = _waiting_alike(tx, kind, accounts, dry_run)
        if run_id is not None:
            tx.execute(update(run).where(run.c.id == run_id).values(pinned))
        else:
            run_id = _insert(tx, ledger, kind, steps, accounts, dry_run, pinned, now)
        for statement in statements:
            made: Sequence[Executable] = statement(run_id) if callable(statement) else [statement]
            for one in made:
                tx.execute(one)
        killpoint(BEFORE_START)
    killpoint(AFTER_START)
    return run_id


def _waiting_alike(tx: Connection, kind: RunKind, accounts: Sequence[str] | None, dry_run: bool) -> str | None:
    alike = select(run.c.id, run.c.accounts).where(run.c.state == RunState.WAITING, run.c.kind == kind, run.c.dry_run == dry_run)
    wanted = sorted(accounts) if accounts is not None else None
    for row in tx.execute(alike.with_for_update()):
        if row.accounts == wanted:
            return str(row.id)
    return None


def _insert(
    tx: Connection,
    ledger: Ledger,
    kind: RunKind,
    steps: Sequence[str],
    accounts: Sequence[str] | None,
    dry_run: bool,
    pinned: dict[str, Any],
    now: datetime,
) -> str:
    run_id = f"{now:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
    row = {"id": run_id, "kind": kind, "state": RunState.WAITING, "dry_run": dry_run, "created_at": now, "report": {}, "reason": ""}
    tx.execute(run.insert().values(**row, **pinned, accounts=sorted(accounts) if accounts is not None else None))
    tx.execute(step.insert(), [{"run_id": run_id, "name": name, "ordinal": n, "open_items": 1} for n, name in enumerate(steps)])
    insert_items(tx, ledger, run_id, steps[0], [NewItem(PLAN)], now)
    return run_id


def get(ledger: Ledger, run_id: str) -> Run:
    rows = ledger.rows(select(run).where(run.c.id == run_id))
    if not rows:
        raise UnknownRun(run_id)
    return _run(rows[0])


def latest(ledger: Ledger, limit: int = 20, kinds: Sequence[RunKind] | None = None) -> list[Run]:
    """Newest first."""
    query = select(run).order_by(run.c.created_at.desc(), run.c.id.desc()).limit(limit)
    return [_run(row) for row in ledger.rows(query if kinds is None else query.where(run.c.kind.in_(list(kinds))))]


def _run(row: Any) -> Run:
    values = dict(row._mapping)
    accounts = values.pop("accounts")
    values |= {"kind": RunKind(row.kind), "state": RunState(row.state), "report": row.report or {}}
    return Run(**values, accounts=tuple(accounts) if accounts is not None else None)


def mappings_body(ledger: Ledger, mappings_hash: str) -> str:
    """The snapshot's JSON."""
    return str(ledger.rows(select(mappings_snapshot.c.body).where(mappings_snapshot.c.hash == mappings_hash))[0].body)


def connections(ledger: Ledger, mappings_hash: str) -> list[str]:
    """Names of the connections in a snapshot."""
    return sorted(json.loads(mappings_body(ledger, mappings_hash)).get("crm", {}))


def resume(ledger: Ledger, run_id: str, actor: str) -> None:
    """Take up a paused or failed run where it stopped: its dead items get a new set of attempts."""
    with ledger.transaction() as tx:
        now = ledger.now(tx)
        _expect(tx, run_id, (RunState.PAUSED, RunState.FAILED))
        tx.execute(update(run).where(run.c.id == run_id).values(state=RunState.RUNNING, pause=None, resume_at=None, reason="", finished_at=None))
        dead = (item.c.run_id == run_id, item.c.state == "dead")
        tx.execute(update(item).where(*dead).values(state="ready", failures=0, not_before=now, finished_at=None, announced_at=None))
        _note(tx, actor, "run.resume", run_id, now)


def approve(ledger: Ledger, run_id: str, actor: str, redo: str = "diff") -> None:
    """Let a braked run go on. `redo` is done again first, since records may have changed while it waited."""
    with ledger.transaction() as tx:
        now = ledger.now(tx)
        _expect(tx, run_id, (RunState.NEEDS_APPROVAL,))
        tx.execute(update(run).where(run.c.id == run_id).values(state=RunState.RUNNING, approved_by=actor, reason=""))
        tx.execute(delete(item).where(item.c.run_id == run_id, item.c.step == redo))
        tx.execute(update(step).where(step.c.run_id == run_id, step.c.name == redo).values(open_items=1, finished_at=None))
        insert_items(tx, ledger, run_id, redo, [NewItem(PLAN)], now)
        _note(tx, actor, "run.approve", run_id, now)


def approved(ledger: Ledger) -> list[str]:
    """Ids of the runs that a person let go on."""
    return [str(row.id) for row in ledger.rows(select(run.c.id).where(run.c.approved_by.is_not(None)))]


def _expect(tx: Connection, run_id: str, states: Sequence[RunState]) -> None:
    state = tx.execute(select(run.c.state).where(run.c.id == run_id).with_for_update()).scalar()
    if state is None:
        raise UnknownRun(run_id)
    if state not in states:
        raise WrongState(run_id, state, " or ".join(states))


def _note(tx: Connection, actor: str, action: str, target: str, now: datetime) -> None:
    tx.execute(audit.insert().values(occurred_at=now, actor=actor, action=action, target=target))


def is_live(state: RunState) -> bool:
    """Work may still happen by itself."""
    return state not in ENDED and state not in (RunState.PAUSED, RunState.NEEDS_APPROVAL)
