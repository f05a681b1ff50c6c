"""kill -9 in a night that serves Salesforce and HubSpot: the restarted night leaves in both CRMs what an undisturbed one leaves.

Each CRM's own count of changed records says that nothing was written twice, and no CSQL is there twice (`nights.crm_of` looks). A night's batches are
in this order: HubSpot's companies, Salesforce's accounts, its CSQL records; so pass 1 of a write point is HubSpot's, 2 and 3 are Salesforce's.
"""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connectors.sandbox_kit import SandboxProcess
from tests.acceptance import both, nights, nights_both
from tests.acceptance.nights_both import Boxes, Pair
from worker.items import RunKind, RunState
from worker.report import run_report
from worker.run import finish_run, start_run, sweep
from worker.store import registers, runs
from worker.store.tables import lake_file

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["tests.acceptance.nights_both", "worker.tasks"])

#: Killed while both CRMs are read: point#pass. A slow one says no more than its neighbours, and is tried when there is time.
READING = ["stage.parts.after#4"]
MORE_READING = [f"{point}#{n}" for point in ("pull.read.after", "stage.parts.after") for n in (1, 2, 3, 5)] + ["lake.finish.after_rename#2"]
#: Killed in the writes. The records of one CRM are written then, those of the other are not.
WRITING = ["write_back.send.after", "write_back.send.after#3"]
WRITE_POINTS = ("write_back.intent.after_part", "write_back.send.before", "write_back.send.after", "write_back.results.after_part")
MORE_WRITING = [one for point in WRITE_POINTS for one in (point, f"{point}#2", f"{point}#3") if one not in WRITING]
#: The same with Salesforce written by Bulk jobs, HubSpot by its small batches.
BULK = [
    "write_back.bulk.after_upload",
    *(f"write_back.bulk.{point}" for point in ("after_create", "after_commit", "after_create#2", "after_upload#2")),
]
#: Killed while the results of both are recorded: pass 1 of an item's end is that of the step's plan.
RECORDING = [
    "item.finish.before_commit#2",
    "lake.finish.after_rename",
    "item.finish.after_commit#2",
    "lake.finish.before_rename#2",
    "item.claim.after_commit#2",
]
ON_POSTGRES = [("write_back.send.after", ""), ("write_back.results.after_part#2", ""), ("item.finish.before_commit#2", "record")]
EDITED = [
    "write_back.send.after",
    "write_back.send.before#2",
    *(f"write_back.{p}" for p in ("intent.after_part", "send.after#2", "results.after_part#3")),
]

EDITS = {"salesforce": ("main_reason", "CSH_Reason_1__c", "Ask Ms Sato first"), "hubspot": ("health_score", "csh_health_score", "99")}


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    base = tmp_path_factory.getbasetemp()
    return nights_both.made_once(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)


@pytest.fixture(scope="session")
def boxes(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boxes]:
    """Both CRMs, running once per test process; each test has its records put back."""
    folder = tmp_path_factory.mktemp("crms")
    for name in nights_both.NAMES:
        for part in (f"{name}.db", f"{name}.db-side"):
            shutil.copy(pair.folder / part, folder / part)
    with SandboxProcess(folder / "salesforce.db") as salesforce, SandboxProcess(folder / "hubspot.db", crm="hubspot") as hubspot:
        yield Boxes(salesforce, hubspot)


@dataclass
class Night:
    """A copy of the second night, and processes that work on it."""

    pair: Pair
    boxes: Boxes
    folder: Path
    ledger_url: str = ""
    more: dict[str, str] = field(default_factory=dict)

    def die(self, order: str, point: str, step: str = "") -> None:
        """Another process works on `order` and is killed at a point; it is an error if it comes to an end."""
        told = nights_both.environment(self.boxes, self.folder, self.ledger_url) | self.more
        told["SCORESYNC_KILL_ONCE"] = str(self.folder / "passes")
        process = forks.Process(target=nights_both.child, args=(told, order, step, point), daemon=True)
        process.start()
        process.join(240)
        assert process.exitcode == -signal.SIGKILL, f"{point} was not passed: exit code {process.exitcode}"

    def end(self, run_id: str | None = None) -> dict[str, Any]:
        """Works the night off in this process, looks that nothing is left over, and gives its report."""
        with nights_both.open_runtime(self.boxes, self.folder, self.ledger_url, **self.more) as runtime:
            known = run_id or next(run.id for run in runs.latest(runtime.ledger) if runs.is_live(run.state))
            run = finish_run(runtime, known)
            assert run.state == RunState.DONE, (run.state, run.reason)
            sweep(runtime)
            assert nights.items_not_done(runtime) == 0
            assert [one.state for one in runs.latest(runtime.ledger)] == [RunState.DONE, RunState.DONE]
            on_disk = sorted(str(path.relative_to(runtime.lake.root)) for path in runtime.lake.root.glob("*/*") if path.is_file())
            assert on_disk == sorted(row.path for row in runtime.ledger.rows(select(lake_file.c.path)))
            return run_report(runtime.ledger, known)

    def next_run(self) -> dict[str, Any]:
        """An increment an hour later."""
        with nights_both.open_runtime(self.boxes, self.folder, self.ledger_url, **self.more) as runtime:
            run = finish_run(runtime, start_run(runtime, both.given(), RunKind.INCREMENT, as_of=nights_both.SECOND + timedelta(hours=1)))
            assert run.state == RunState.DONE, (run.state, run.reason)
            return run_report(runtime.ledger, run.id)


def copied(pair: Pair, boxes: Boxes, tmp_path: Path, hour: str, postgres_url: str = "", **more: str) -> Night:
    """`hour`: evening or midnight."""
    nights_both.restore(pair, boxes)
    folder = shutil.copytree(pair.folder / hour, tmp_path / "night")
    if postgres_url:
        nights.transplant(folder / "ledger.db", postgres_url)
    return Night(pair, boxes, folder, postgres_url, more)


def assert_undisturbed(night: Night, report: dict[str, Any]) -> None:
    """Both CRMs are those of the undisturbed night, and each record was changed as often as there."""
    pair = night.pair
    assert nights_both.differences(nights_both.crm_of(night.boxes), pair.crm) == []
    assert nights_both.changed(night.boxes) == pair.written
    for name in nights_both.NAMES:
        assert report["connections"][name]["writes"] == pair.report["connections"][name]["writes"], name
    assert (report["changes"], report["writes"]) == (pair.report["changes"], pair.report["writes"])


def slow(points: list[str]) -> list[Any]:
    return [pytest.param(point, marks=pytest.mark.slow) for point in points]


@pytest.mark.parametrize("point", [*READING, *slow(MORE_READING)])
def test_killed_while_both_are_read_the_night_ends_as_undisturbed(pair: Pair, boxes: Boxes, tmp_path: Path, point: str) -> None:
    night = copied(pair, boxes, tmp_path, "evening")
    night.die("night", point)
    assert_undisturbed(night, night.end())


@pytest.mark.parametrize("point", [*WRITING, *slow(MORE_WRITING)])
def test_killed_in_its_writes_the_night_ends_as_undisturbed_in_both(pair: Pair, boxes: Boxes, tmp_path: Path, point: str) -> None:
    night = copied(pair, boxes, tmp_path, "midnight")
    night.die(pair.run_id, point)
    assert_undisturbed(night, night.end(pair.run_id))


@pytest.mark.parametrize("point", slow(BULK))
def test_killed_in_a_bulk_job_beside_small_batches(pair: Pair, boxes: Boxes, tmp_path: Path, point: str) -> None:
    night = copied(pair, boxes, tmp_path, "midnight", SCORESYNC_WRITE_API="bulk")
    night.die(pair.run_id, point)
    boxes.salesforce.control.clock(advance=11 * 60)  # an open job without an owner is taken for lost after ten minutes
    assert_undisturbed(night, night.end(pair.run_id))


@pytest.mark.parametrize("point", [*RECORDING[:1], *slow(RECORDING[1:])])
def test_killed_while_both_are_recorded(pair: Pair, boxes: Boxes, tmp_path: Path, point: str) -> None:
    night = copied(pair, boxes, tmp_path, "midnight")
    night.die(pair.run_id, point, step="record")
    assert_undisturbed(night, night.end(pair.run_id))


@pytest.mark.slow
@pytest.mark.parametrize(("point", "step"), ON_POSTGRES)
def test_the_same_for_both_on_postgresql(pair: Pair, boxes: Boxes, tmp_path: Path, postgres_url: str, point: str, step: str) -> None:
    night = copied(pair, boxes, tmp_path, "midnight", postgres_url)
    night.die(pair.run_id, point, step)
    assert_undisturbed(night, night.end(pair.run_id))


@pytest.mark.parametrize("point", [*EDITED[:1], *slow(EDITED[1:])])
def test_cs77_what_people_edit_in_either_crm_in_between_stays(pair: Pair, boxes: Boxes, tmp_path: Path, point: str) -> None:
    """One company, one field edited in each CRM, not the same: each edit stays where it was made, and the other CRM's copy of that field is ours."""
    night = copied(pair, boxes, tmp_path, "midnight")
    night.die(pair.run_id, point)
    account, company = pair.accounts["若葉"], pair.companies["若葉"]
    (_, reason, said), (_, score, judged) = EDITS["salesforce"], EDITS["hubspot"]
    nights.person_writes(boxes.salesforce, "Account", {"Id": account, reason: said})
    boxes.hubspot.control.call("write", {"object": "companies", "rows": [{"id": company, score: judged}]})

    expected = {what: {key: dict(row) for key, row in rows.items()} for what, rows in pair.crm.items()}
    expected["Account"][account][reason] = said
    expected["companies"][company][score] = judged
    report = night.end(pair.run_id)
    assert nights_both.differences(nights_both.crm_of(boxes), expected) == []
    assert sum(report["writes"].values()) == report["changes"]["records"]
    night.next_run()  # where the record had been written and answered before the edit, this run finds it changed
    assert nights_both.differences(nights_both.crm_of(boxes), expected) == []
    with nights_both.open_runtime(boxes, night.folder) as runtime:
        held = {(one.record_id, one.field) for one in registers.holds(runtime.ledger)}
    assert held == {(account, EDITS["salesforce"][0]), (company, EDITS["hubspot"][0])}
