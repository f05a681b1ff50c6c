"""Work items: claimed once, ended once, given up and taken up again; runs move from step to step, wait, stop and go on."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from sqlalchemy import select, update

from connectors.errors import Misfit, NotAllowed, NotReachable, QuotaSpent, Transient
from tests.conftest import wait_for
from tests.worker import skeleton
from worker.errors import LeaseLost, WrongState
from worker.execute import execute, heartbeat
from worker.items import CursorKey, Item, LakeFile, NewItem, Outcome, RunKind, RunState, Terms, claim, claim_next, finish, is_ours, release, renew
from worker.run import approve, finish_run, resume, start_run, work
from worker.runtime import Runtime
from worker.store import registers, runs
from worker.store.tables import item as items
from worker.store.tables import lake_file, run

TERMS = Terms(lease_s=60, attempts=3, backoff_s=0)
#: A lease that has run out when it is given.
GONE = Terms(lease_s=-1, attempts=3, backoff_s=0)


def start(runtime: Runtime, kind: RunKind = RunKind.FULL, **more: Any) -> str:
    return start_run(runtime, skeleton.no_mappings(), kind, **more)


def claimed(runtime: Runtime, terms: Terms = TERMS) -> Item:
    item = claim_next(runtime.ledger, terms)
    assert item is not None
    return item


def state_of(runtime: Runtime, run_id: str) -> RunState:
    return runs.get(runtime.ledger, run_id).state


def row_of(runtime: Runtime, item_id: int) -> Any:
    return runtime.ledger.rows(select(items).where(items.c.id == item_id))[0]


def steps_that(run: Callable[[Any, Item], Outcome], names: tuple[str, ...] = ("diff", "write_back", "record")) -> Any:
    """Steps of one item each, which do `run`."""
    return {name: SimpleNamespace(__name__=name, plan=lambda ctx: [NewItem("all")], run=run) for name in names}


# --- a whole run ---------------------------------------------------------------------------------------------------------------------------------
def test_a_run_goes_through_its_steps_and_ends(runtime: Runtime) -> None:
    run = finish_run(runtime, start(runtime))
    assert (run.state, run.report["total"]) == (RunState.DONE, 78)
    assert run.finished_at is not None
    assert run.started_at is not None
    # gather: plan and 4 parts; add_up: plan and one item, though two asked for it; tell: plan
    assert len(runtime.ledger.rows(select(items.c.id))) == 8
    assert skeleton.claimed_twice(runtime) == []


def test_a_dry_run_ends_before_write_back(runtime: Runtime) -> None:
    done: list[str] = []

    def noted(ctx: Any, item: Item) -> Outcome:
        done.append(item.step)
        return Outcome()

    runtime.steps = steps_that(noted)
    assert finish_run(runtime, start(runtime, dry_run=True)).state == RunState.DONE
    assert done == ["diff"]


def test_a_later_step_waits_for_the_earlier_one_even_when_its_items_came_first(runtime: Runtime) -> None:
    """gather inserts add_up's item ahead; done early, it must not end add_up before add_up was planned."""
    start(runtime)
    plan = claimed(runtime)
    finish(runtime.ledger, plan, Outcome(successors=[NewItem("only")]))
    only = claimed(runtime)
    finish(runtime.ledger, only, Outcome(successors=[NewItem("ahead", step="add_up")]))
    ahead, add_up_plan = claimed(runtime), claimed(runtime)
    assert (ahead.key, add_up_plan.key, add_up_plan.step) == ("ahead", "plan", "add_up")
    finish(runtime.ledger, ahead, Outcome())
    assert claim_next(runtime.ledger, TERMS) is None  # tell is not planned yet
    finish(runtime.ledger, add_up_plan, Outcome())
    assert claimed(runtime).step == "tell"


# --- claiming ------------------------------------------------------------------------------------------------------------------------------------
def test_four_processes_claim_each_item_once(runtime: Runtime, in_child: Callable[..., tuple[BaseProcess, Path]]) -> None:
    start(runtime)
    children = [in_child("claim", "5") for _ in range(4)]
    for process, _ in children:
        process.join(60)
        assert process.exitcode == 0
    ids = [line for _, out in children for line in out.read_text().split()]
    assert len(ids) == len(set(ids)) == skeleton.CONTENDED + 3  # and the three plans
    assert skeleton.claimed_twice(runtime) == []


def test_a_claimed_item_is_nobody_elses(runtime: Runtime) -> None:
    start(runtime)
    first = claimed(runtime)
    assert claim_next(runtime.ledger, TERMS) is None
    assert claim(runtime.ledger, first.id, TERMS) is None
    assert is_ours(runtime.ledger, first)
    assert renew(runtime.ledger, first, 60)


def test_a_resync_overtakes_a_full_run(runtime: Runtime) -> None:
    full, resync = start(runtime), start(runtime, RunKind.RESYNC, accounts=["a1"])
    assert claimed(runtime).run_id == resync
    assert claimed(runtime).run_id == full


def test_the_end_of_a_resyncs_item_claims_what_comes_next(runtime: Runtime) -> None:
    """In the order of the ordinary claim, and of this run alone; at a fence (another holder) neither the end nor the claim counts."""
    other, resync = start(runtime), start(runtime, RunKind.RESYNC, accounts=["a1"])
    plan = claimed(runtime)
    first = finish(runtime.ledger, plan, Outcome(successors=[NewItem("one"), NewItem("two")]), following=TERMS)
    assert first is not None
    assert (first.run_id, first.key, first.attempts) == (resync, "one", 1)
    assert is_ours(runtime.ledger, first)
    with pytest.raises(LeaseLost):
        finish(runtime.ledger, plan, Outcome(), following=TERMS)
    second = finish(runtime.ledger, first, Outcome(), following=TERMS)
    assert second is not None
    assert second.key == "two"
    assert claimed(runtime).run_id == other  # nothing else of the resync is free


def test_other_runs_let_a_resync_go_first(runtime: Runtime) -> None:
    start(runtime)
    assert finish(runtime.ledger, claimed(runtime), Outcome(successors=[NewItem("one")]), following=TERMS) is None


def test_a_worker_that_stops_gives_the_item_it_would_go_on_with_back(runtime: Runtime) -> None:
    run_id = start(runtime, RunKind.RESYNC, accounts=["a1"])
    looks = iter([False, True])
    work(runtime, lambda: next(looks))
    following = claimed(runtime)
    assert (following.run_id, following.attempts) == (run_id, 2)


def test_of_full_and_incremental_runs_one_works_at_a_time(runtime: Runtime) -> None:
    first, second = start(runtime), start(runtime, RunKind.INCREMENT)
    assert claimed(runtime).run_id == first
    assert claim_next(runtime.ledger, TERMS) is None
    with runtime.ledger.transaction() as tx:
        tx.execute(update(run).where(run.c.id == first).values(state="paused"))
    assert claimed(runtime).run_id == second  # a parked run holds nobody up


def test_of_many_runs_and_workers_one_run_starts(runtime: Runtime) -> None:
    for n in range(4):
        start(runtime, accounts=[f"a{n}"])  # runs that do not coalesce
    found: list[Item | None] = []
    threads = [threading.Thread(target=lambda: found.append(claim_next(runtime.ledger, TERMS))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([one for one in found if one is not None]) == 1
    assert len([r for r in runs.latest(runtime.ledger) if r.state == RunState.RUNNING]) == 1


def test_triggers_at_once_coalesce(runtime: Runtime) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(start(runtime, RunKind.INCREMENT))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_an_item_waits_for_its_time(runtime: Runtime) -> None:
    start(runtime)
    plan = claimed(runtime)
    later = datetime.now(UTC) + timedelta(hours=1)
    finish(runtime.ledger, plan, Outcome(successors=[NewItem("later", not_before=later), NewItem("now")]))
    assert claimed(runtime).key == "now"
    assert claim_next(runtime.ledger, TERMS) is None


# --- ending --------------------------------------------------------------------------------------------------------------------------------------
def test_a_stale_token_applies_nothing(runtime: Runtime) -> None:
    start(runtime)
    slow = claimed(runtime, GONE)
    quick = claimed(runtime)
    assert (quick.id, quick.attempts) == (slow.id, 2)
    outcome = Outcome(successors=[NewItem("x")], lake_files=[LakeFile("t", "t/slow.parquet", 1, 1)], cursors={CursorKey("c", "e", 0): "slow"})
    with pytest.raises(LeaseLost):
        finish(runtime.ledger, slow, outcome)
    assert not renew(runtime.ledger, slow, 60)
    assert runtime.ledger.rows(select(lake_file)) == []
    assert registers.cursor_value(runtime.ledger, CursorKey("c", "e", 0)) is None
    finish(runtime.ledger, quick, Outcome(cursors={CursorKey("c", "e", 0): "quick"}))
    assert registers.cursor_value(runtime.ledger, CursorKey("c", "e", 0)) == "quick"


def test_an_outcome_is_applied_whole_or_not_at_all(runtime: Runtime) -> None:
    start(runtime)
    plan = claimed(runtime)
    with pytest.raises(LookupError, match="no step 'nowhere'"):
        finish(runtime.ledger, plan, Outcome(successors=[NewItem("x", step="nowhere")], cursors={CursorKey("c", "e", 0): "1"}))
    assert registers.cursor_value(runtime.ledger, CursorKey("c", "e", 0)) is None
    assert is_ours(runtime.ledger, plan)


def test_a_waiting_item_keeps_its_outcome_and_comes_back_with_its_payload(runtime: Runtime) -> None:
    start(runtime)
    plan = claimed(runtime)
    finish(runtime.ledger, plan, Outcome(wait_until=datetime.now(UTC), payload={"job": "7"}, stats={"polls": 1}))
    again = claimed(runtime)
    assert (again.id, again.payload) == (plan.id, {"job": "7"})
    finish(runtime.ledger, again, Outcome(stats={"polls": 2, "rows": 5}))
    assert row_of(runtime, plan.id).stats == {"polls": 3, "rows": 5}
    assert row_of(runtime, plan.id).failures == 0


def test_a_released_item_is_taken_up_without_a_failure(runtime: Runtime) -> None:
    start(runtime)
    held = claimed(runtime)
    release(runtime.ledger, held)
    assert claimed(runtime).id == held.id
    assert row_of(runtime, held.id).failures == 0


def test_ctrl_c_gives_the_item_back(runtime: Runtime) -> None:
    def stopped(ctx: Any, item: Item) -> Outcome:
        raise KeyboardInterrupt

    run_id = start(runtime)
    plan = claimed(runtime)
    finish(runtime.ledger, plan, Outcome(successors=[NewItem("one")]))
    kept, runtime.steps = runtime.steps, steps_that(stopped, ("gather", "add_up", "tell"))
    with pytest.raises(KeyboardInterrupt):
        work(runtime, lambda: False)
    assert [(r.state, r.failures) for r in runtime.ledger.rows(select(items).where(items.c.key == "one"))] == [("ready", 0)]
    runtime.steps = {**kept, "gather": steps_that(lambda c, i: Outcome(), ("gather",))["gather"]}
    runtime.steps["add_up"] = steps_that(lambda c, i: Outcome(), ("add_up",))["add_up"]
    assert finish_run(runtime, run_id).state == RunState.DONE


# --- failing -------------------------------------------------------------------------------------------------------------------------------------
def fails(runtime: Runtime, error: Exception) -> Item:
    """Execute the run's first item with a step that raises this."""

    def planned(ctx: Any) -> list[NewItem]:
        raise error

    kept = runtime.steps
    runtime.steps = {**kept, "gather": SimpleNamespace(__name__="gather", plan=planned, run=None)}  # type: ignore[dict-item]
    item = claimed(runtime, runtime.terms)
    execute(runtime, item)
    runtime.steps = kept
    return item


# what may pass is tried item_attempts times (5 by default), a fault of ours twice
@pytest.mark.parametrize(("error", "attempts"), [(Transient("row lock"), 5), (OSError("disk"), 5), (ZeroDivisionError("bug"), 2)])
def test_after_its_failures_an_item_is_dead_and_its_run_failed(runtime: Runtime, error: Exception, attempts: int) -> None:
    run_id = start(runtime)
    for n in range(attempts):
        assert state_of(runtime, run_id) in (RunState.WAITING, RunState.RUNNING), n
        item = fails(runtime, error)
    assert state_of(runtime, run_id) == RunState.FAILED
    assert row_of(runtime, item.id).state == "dead"
    assert str(error) in runs.get(runtime.ledger, run_id).reason
    resume(runtime, run_id, "admin")
    assert finish_run(runtime, run_id).state == RunState.DONE


def test_the_wait_after_a_failure_doubles(runtime: Runtime) -> None:
    start(runtime)
    object.__setattr__(runtime, "settings", runtime.settings.model_copy(update={"backoff_s": 100.0}))
    waits = []
    for _ in range(2):
        item = fails(runtime, Transient("503"))
        wait = row_of(runtime, item.id).not_before - datetime.now(UTC)
        waits.append(round(wait.total_seconds() / 100))
        with runtime.ledger.transaction() as tx:
            tx.execute(update(items).values(not_before=datetime.now(UTC)))
    assert waits == [1, 2]  # 100 s, then 200 s


def test_an_item_that_kills_its_worker_each_time_is_dead_in_the_end(runtime: Runtime) -> None:
    run_id = start(runtime)
    for _ in range(3):
        assert claim_next(runtime.ledger, GONE) is not None
    assert claim_next(runtime.ledger, GONE) is None
    assert state_of(runtime, run_id) == RunState.FAILED


@pytest.mark.parametrize(
    ("error", "pause", "wakes"),
    [
        (QuotaSpent("daily limit", resume_at=datetime(2020, 1, 1, tzinfo=UTC)), "quota", True),
        (NotReachable("maintenance"), "outage", True),  # SCORESYNC_OUTAGE_WAIT_S=0 here
        (NotAllowed("token revoked"), "auth", False),
        (Misfit("no field X__c"), "auth", False),
    ],
)
def test_a_broken_connection_parks_the_run(runtime: Runtime, error: Exception, pause: str, wakes: bool) -> None:
    run_id = start(runtime)
    item = fails(runtime, error)
    parked = runs.get(runtime.ledger, run_id)
    assert (parked.state, parked.pause) == (RunState.PAUSED, pause)
    assert str(error) in parked.reason
    assert row_of(runtime, item.id).failures == 0
    if not wakes:
        assert claim_next(runtime.ledger, TERMS) is None
        resume(runtime, run_id, "admin")
    again = claimed(runtime)
    assert again.id == item.id
    assert runs.get(runtime.ledger, run_id).reason == ""


def test_an_item_past_its_limit_is_tried_again_and_says_what_to_do(runtime: Runtime) -> None:
    start(runtime)
    item = fails(runtime, SoftTimeLimitExceeded())
    row = row_of(runtime, item.id)
    assert (row.state, row.failures) == ("ready", 1)
    assert "raise SCORESYNC_ITEM_LIMIT_S" in row.error


def test_a_lease_is_renewed_while_the_item_runs_and_not_past_its_limit(runtime: Runtime) -> None:
    runtime.settings = runtime.settings.model_copy(update={"lease_s": 0.4, "item_limit_s": 1.0})
    start(runtime)
    item = claimed(runtime, runtime.terms)
    with heartbeat(runtime, item):
        first = row_of(runtime, item.id).leased_until
        wait_for(lambda: row_of(runtime, item.id).leased_until > first, what="a renewal")
        # renewals end after a second, and the last lease runs out
        taken = wait_for(lambda: claim_next(runtime.ledger, TERMS), what="another worker's claim")
    assert taken.id == item.id
    assert not is_ours(runtime.ledger, item)


def test_a_secret_in_an_error_is_starred(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCORESYNC_SALESFORCE_CLIENT_SECRET", "canary-4711-secret")
    object.__setattr__(runtime, "settings", type(runtime.settings)())
    start(runtime)
    item = fails(runtime, Transient("refused: client_secret=canary-4711-secret, postgresql://u:hunter2pass@db"))
    text = row_of(runtime, item.id).error
    assert "canary" not in text
    assert "hunter2pass" not in text
    assert "***" in text


# --- runs ----------------------------------------------------------------------------------------------------------------------------------------
def test_a_trigger_coalesces_only_into_a_run_that_has_not_started(runtime: Runtime) -> None:
    first = start(runtime, RunKind.INCREMENT)
    before = runs.get(runtime.ledger, first).as_of
    assert start(runtime, RunKind.INCREMENT) == first
    assert runs.get(runtime.ledger, first).as_of > before  # it will see what the second trigger saw
    assert start(runtime, RunKind.INCREMENT, accounts=["a1"]) != first
    assert start(runtime, RunKind.INCREMENT, dry_run=True) != first
    claimed(runtime)
    assert start(runtime, RunKind.INCREMENT) != first


def test_the_brake_stops_before_write_back_until_approved_and_then_diffs_again(runtime: Runtime) -> None:
    done: list[str] = []

    def braking(ctx: Any, item: Item) -> Outcome:
        done.append(item.step)
        return Outcome(brake={"moved": 90}) if item.step == "diff" else Outcome()

    runtime.steps = steps_that(braking)
    run_id = start(runtime)
    stopped = finish_run(runtime, run_id)
    assert (stopped.state, stopped.report["brake"]) == (RunState.NEEDS_APPROVAL, {"moved": 90})
    with pytest.raises(WrongState):
        resume(runtime, run_id, "admin")
    approve(runtime, run_id, "admin")
    assert finish_run(runtime, run_id).state == RunState.DONE
    assert done == ["diff", "diff", "write_back", "record"]


def test_a_newer_run_supersedes_one_that_waits_for_approval(runtime: Runtime) -> None:
    brake = {"on": True}
    runtime.steps = steps_that(lambda ctx, item: Outcome(brake={"moved": 90}) if item.step == "diff" and brake["on"] else Outcome())
    old = start(runtime)
    assert finish_run(runtime, old).state == RunState.NEEDS_APPROVAL
    brake["on"] = False
    assert finish_run(runtime, start(runtime)).state == RunState.DONE
    assert state_of(runtime, old) == RunState.SUPERSEDED


def test_a_run_that_went_through_settles_what_was_parked_before_it(runtime: Runtime) -> None:
    full, resync = start(runtime), start(runtime, RunKind.RESYNC, accounts=["a1"])
    with runtime.ledger.transaction() as tx:
        tx.execute(update(run).values(state="paused", pause="auth"))
    assert finish_run(runtime, start(runtime)).state == RunState.DONE
    assert state_of(runtime, full) == RunState.SUPERSEDED  # the newer run did all it would have done
    assert finish_run(runtime, resync).state == RunState.DONE  # the CRM is open again, and a person waits for the answer


def test_a_run_past_its_keeping_is_forgotten(runtime: Runtime) -> None:
    old = finish_run(runtime, start(runtime)).id
    kept = runtime.lake.files("numbers")
    with runtime.ledger.transaction() as tx:
        tx.execute(update(run).values(finished_at=datetime.now(UTC) - timedelta(days=91)))
    new = finish_run(runtime, start(runtime)).id  # sweeps at its end
    assert [r.id for r in runs.latest(runtime.ledger)] == [new]
    assert runtime.ledger.rows(select(items.c.id).where(items.c.run_id == old)) == []
    assert set(kept) <= set(runtime.lake.files("numbers"))


def test_a_run_whose_books_do_not_balance_is_red(runtime: Runtime) -> None:
    runtime.steps = steps_that(lambda ctx, item: Outcome(red="3 records have no result.") if item.step == "record" else Outcome())
    ended = finish_run(runtime, start(runtime))
    assert (ended.state, ended.reason) == (RunState.RED, "3 records have no result.")


def test_requests_are_taken_up_in_the_transaction_that_starts_their_run(runtime: Runtime) -> None:
    run_id = start(runtime, RunKind.RESYNC, accounts=["a1"], requests={"salesforce": {"a1": "2026-02-28T03:04:05Z"}})
    assert registers.handled_requests(runtime.ledger, "salesforce") == {"a1": {"2026-02-28T03:04:05Z"}}
    assert runs.get(runtime.ledger, run_id).accounts == ("a1",)
