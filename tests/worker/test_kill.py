"""kill -9 at every named point of items, runs and lake: after a restart the run ends, every fact is there once, nothing is left over."""

import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select

from tests.worker import skeleton
from worker.killpoint import POINTS
from worker.run import RunKind, start_run
from worker.runtime import Runtime
from worker.store import registers, runs
from worker.store.tables import flip, item, lake_file, step
from worker.store.work import CursorKey, RunState

Child = Callable[..., tuple[BaseProcess, Path]]

OURS = ("item.", "run.", "lake.")
#: Points that an undisturbed run of the skeleton passes, and at which pass it is killed: early, and late where several items pass.
IN_RUN = ["item.claim.after_commit", "item.finish.before_commit", "item.finish.after_commit", "lake.finish.before_rename", "lake.finish.after_rename"]


def _die(in_child: Child, tmp_path: Path, *argv: str, at: str, **more: str) -> None:
    process, _ = in_child(*argv, **more, SCORESYNC_KILL_AT=at, SCORESYNC_KILL_ONCE=str(tmp_path / "passes"))
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, f"it was to die at {at}, and ended with {process.exitcode}"


def _live(in_child: Child, *argv: str) -> str:
    process, out = in_child(*argv)
    process.join(60)
    assert process.exitcode == 0
    return out.read_text()


def assert_whole(runtime: Runtime, run_id: str) -> None:
    run = runs.get(runtime.ledger, run_id)
    assert run.state == RunState.DONE
    assert run.report["total"] == 78  # 1 + 2 + … + 12
    assert {row.state for row in runtime.ledger.rows(select(item.c.state))} == {"done"}
    assert [row.open_items for row in runtime.ledger.rows(select(step.c.open_items))] == [0, 0, 0]
    # every fact once: 4 parts of 3 numbers, 1 total, 4 flips, 4 cursors
    files = runtime.lake.files("numbers")
    assert sorted(n for path in files for n in pq.read_table(path)["number"].to_pylist()) == list(range(1, 13))
    assert runtime.ledger.rows(select(func.count().label("n")).select_from(flip))[0].n == 4
    assert [registers.cursor_value(runtime.ledger, CursorKey("crm", "number", n)) for n in range(4)] == ["3", "6", "9", "12"]
    # nothing is left over
    assert skeleton.lake_names(runtime.lake.root) == sorted(row.path for row in runtime.ledger.rows(select(lake_file.c.path)))


@pytest.mark.parametrize(("ledger_url", "nth"), [("sqlite", 1), ("postgresql", 3)], indirect=["ledger_url"])
@pytest.mark.parametrize("name", IN_RUN)
def test_killed_in_an_item_the_run_ends_with_every_fact_once(runtime: Runtime, in_child: Child, tmp_path: Path, name: str, nth: int) -> None:
    run_id = start_run(runtime, skeleton.no_mappings(), RunKind.FULL)
    _die(in_child, tmp_path, "work", run_id, at=f"{name}#{nth}")
    assert _live(in_child, "work", run_id) == RunState.DONE
    assert_whole(runtime, run_id)


def test_killed_before_a_run_is_committed_there_is_no_run(runtime: Runtime, in_child: Child, tmp_path: Path) -> None:
    _die(in_child, tmp_path, "both", at="run.start.before_commit")
    assert runs.latest(runtime.ledger) == []


def test_killed_after_a_run_is_committed_the_next_trigger_takes_it_up(runtime: Runtime, in_child: Child, tmp_path: Path) -> None:
    _die(in_child, tmp_path, "both", at="run.start.after_commit")
    assert _live(in_child, "both") == RunState.DONE
    (only,) = runs.latest(runtime.ledger)
    assert_whole(runtime, only.id)


def test_a_kill_while_recording_a_failure_counts_as_the_failure(runtime: Runtime, in_child: Child, tmp_path: Path) -> None:
    run_id = start_run(runtime, skeleton.no_mappings(), RunKind.FULL)
    _die(in_child, tmp_path, "work", run_id, at="item.fail.before_commit", SKELETON_FAILS="1")
    assert _live(in_child, "work", run_id) == RunState.DONE
    assert_whole(runtime, run_id)


@pytest.mark.parametrize("name", ["lake.compact.before_commit", "lake.compact.after_commit"])
def test_killed_in_a_compaction_every_row_is_there_once(runtime: Runtime, in_child: Child, tmp_path: Path, name: str) -> None:
    for _ in range(2):  # two runs, eight small parts
        _live(in_child, "both")
    _die(in_child, tmp_path, "compact", at=name)
    _live(in_child, "sweep")
    files = runtime.lake.files("numbers")
    assert len(files) == (8 if "before" in name else 1)
    assert sorted(n for path in files for n in pq.read_table(path)["number"].to_pylist()) == sorted(2 * list(range(1, 13)))
    assert skeleton.lake_names(runtime.lake.root) == sorted(row.path for row in runtime.ledger.rows(select(lake_file.c.path)))


def test_killed_after_deleting_a_retired_file_the_next_sweep_drops_its_row(runtime: Runtime, in_child: Child, tmp_path: Path) -> None:
    for _ in range(2):
        _live(in_child, "both")
    assert _live(in_child, "compact") == "8"
    _die(in_child, tmp_path, "sweep", at="lake.delete.before_commit")
    assert runtime.ledger.rows(select(func.count().label("n")).select_from(lake_file).where(lake_file.c.retired_seq.is_not(None)))[0].n == 8
    _live(in_child, "sweep")
    assert skeleton.lake_names(runtime.lake.root) == sorted(row.path for row in runtime.ledger.rows(select(lake_file.c.path)))


def test_every_point_of_ours_is_killed_at_in_this_file() -> None:
    text = Path(__file__).read_text()
    assert [name for name in POINTS if name.startswith(OURS) and f'"{name}"' not in text] == []
