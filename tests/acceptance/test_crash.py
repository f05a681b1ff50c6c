"""kill -9 at every named point of a real night, all nine steps on a sandbox org: the restarted night leaves the CRM that an undisturbed one leaves.

The CRM's own count of changed records says that nothing was written twice. Celery's part is in `test_crash_celery.py`.
"""

import importlib
import multiprocessing
import os
import pkgutil
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

import worker as worker_package
from connectors.sandbox_kit import SandboxProcess
from tests.acceptance import nights
from tests.acceptance.nights import Nights
from tests.acceptance.vendor import log_in
from tests.conftest import wait_for
from worker.items import RunKind, RunState
from worker.killpoint import POINTS
from worker.report import run_report
from worker.run import finish_run, start_run, sweep
from worker.runtime import Runtime
from worker.store import registers, runs
from worker.store.tables import item, lake_file

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["tests.acceptance.nights", "worker.tasks"])

#: Killed in a night that starts anew: point#pass.
EARLY = [
    "run.start.before_commit",
    "run.start.after_commit",
    "item.claim.after_commit#5",
    "item.finish.before_commit#4",
    "lake.finish.before_rename#6",
    "lake.finish.after_rename#3",
    "pull.read.after#3",
    "stage.parts.after#2",
]
#: Killed in the same night from its writes on.
LATE = [
    "item.finish.after_commit#5",
    "write_back.intent.after_part",
    "write_back.send.before",
    "write_back.send.after",
    "write_back.results.after_part",
    "notify.send.before",
    "notify.send.after",
]
#: The same, writing by Bulk jobs: one of the accounts, one of the CSQL records.
BULK = ["write_back.bulk.after_create", "write_back.bulk.after_commit", "write_back.bulk.after_upload#2", "write_back.results.after_part"]
#: Further passes of the same points, when there is time.
MORE_LATE = [
    "item.claim.after_commit#4",
    "item.finish.before_commit#5",
    "lake.finish.before_rename#3",
    "lake.finish.after_rename#4",
    "write_back.intent.after_part#2",
    "write_back.send.before#2",
    "write_back.send.after#2",
    "write_back.results.after_part#2",
]
MORE_BULK = ["write_back.bulk.after_create#2", "write_back.bulk.after_commit#2", "write_back.bulk.after_upload"]
#: Those around commits and sends, on PostgreSQL. Its claims and ends of items are killed at in tests/worker/test_kill.py as well.
ON_POSTGRES = [
    pytest.param("item.claim.after_commit#4", "collections", marks=pytest.mark.slow),
    pytest.param("item.finish.before_commit#5", "collections", marks=pytest.mark.slow),
    ("item.finish.after_commit#5", "collections"),
    ("write_back.send.after#2", "collections"),
    ("write_back.results.after_part", "collections"),
    ("notify.send.after", "collections"),
    ("write_back.bulk.after_commit", "bulk"),
    ("write_back.bulk.after_upload#2", "bulk"),
]
#: Killed while the lake is tidied before the night.
TIDYING = ["lake.compact.before_commit", "lake.compact.after_commit", "lake.delete.before_commit"]
FAILING = "item.fail.before_commit"
#: At which a person steps in between crash and restart.
EDITED = [
    ("write_back.intent.after_part", "collections"),
    ("write_back.send.before", "collections"),
    ("write_back.send.after", "collections"),
    ("write_back.send.after#2", "collections"),
    ("write_back.results.after_part#2", "collections"),
    ("write_back.bulk.after_commit", "bulk"),
    ("write_back.bulk.after_upload", "bulk"),
]
#: Of these, where the account had been written and answered before the edit: for this night its value is one like any other.
ANSWERED = ["write_back.send.after#2", "write_back.results.after_part#2", "write_back.bulk.after_upload"]
BY_CELERY = ["message.send.before", "message.send.after"]  # test_crash_celery.py


@pytest.fixture(scope="session")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    base = tmp_path_factory.getbasetemp()
    return nights.made_once(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)


@pytest.fixture(scope="session")
def own_box(two_nights: Nights, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """One running org per test process; each test has its records put back."""
    state = tmp_path_factory.mktemp("org") / "sandbox.db"
    shutil.copy(two_nights.folder / "org.db", state)
    with SandboxProcess(state) as box:
        yield box


@dataclass
class Night:
    """A copy of the second night, and processes that work on it."""

    nights: Nights
    box: SandboxProcess
    folder: Path
    ledger_url: str
    more: dict[str, str] = field(default_factory=dict)

    def start(self, order: str, **more: str) -> BaseProcess:
        given = nights.environment(self.box, self.folder, self.nights.usage, self.ledger_url) | self.more | more
        process = forks.Process(target=nights.child, args=(given, order), daemon=True)
        process.start()
        return process

    def die(self, order: str, point: str) -> None:
        """Another process works on `order` and is killed at a point; it is an error if it comes to an end."""
        once = self.folder / f"passes-{len(list(self.folder.glob('passes-*')))}"
        process = self.start(order, SCORESYNC_KILL_AT=point, SCORESYNC_KILL_ONCE=str(once))
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, f"{point} was not passed: exit code {process.exitcode}"

    def open(self) -> Any:
        return nights.open_runtime(self.box, self.folder, self.nights.usage, self.ledger_url, **self.more)

    def end(self, run_id: str | None = None) -> dict[str, Any]:
        """Works the night off in this process, looks that nothing is left over, and gives its report."""
        with self.open() as runtime:
            known = run_id or start_run(runtime, nights.second_mappings(), RunKind.FULL, as_of=nights.SECOND)
            run = finish_run(runtime, known)
            assert run.state == RunState.DONE, (run.state, run.reason)
            self.assert_whole(runtime)
            return run_report(runtime.ledger, known)

    def assert_whole(self, runtime: Runtime) -> None:
        """Every item is done, every file of the lake has its row, no Bulk job is open, the night was run once."""
        sweep(runtime)
        assert nights.items_not_done(runtime) == 0
        assert [run.state for run in runs.latest(runtime.ledger)] == [RunState.DONE, RunState.DONE]
        on_disk = sorted(str(path.relative_to(runtime.lake.root)) for path in runtime.lake.root.glob("*/*") if path.is_file())
        assert on_disk == sorted(row.path for row in runtime.ledger.rows(select(lake_file.c.path)))
        assert {job.state for job in registers.bulk_jobs(runtime.ledger)} <= {"complete", "aborted"}


def copied(two_nights: Nights, box: SandboxProcess, tmp_path: Path, hour: str, postgres_url: str | None = None, **more: str) -> Night:
    """`hour`: evening or midnight."""
    nights.restore(two_nights, box)
    folder = shutil.copytree(two_nights.folder / hour, tmp_path / "night")
    if postgres_url:
        nights.transplant(folder / "ledger.db", postgres_url)
    return Night(two_nights, box, folder, postgres_url or "", more)


def assert_undisturbed(night: Night, report: dict[str, Any]) -> None:
    """The CRM is that of the undisturbed night, and each record was changed as often as there."""
    expected = night.nights
    assert nights.differences(nights.crm_of(night.box), expected.crm) == []
    assert night.box.control.stats()["records"] == expected.written
    assert report["changes"] == expected.report["changes"]
    assert report["writes"] == expected.report["writes"]


# --- every point ---------------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("point", EARLY)
def test_killed_before_its_writes_a_night_ends_as_undisturbed(two_nights: Nights, own_box: SandboxProcess, tmp_path: Path, point: str) -> None:
    night = copied(two_nights, own_box, tmp_path, "evening")
    night.die("night", point)
    with night.open() as runtime:
        live = [run.id for run in runs.latest(runtime.ledger) if runs.is_live(run.state)]
    assert len(live) == (0 if point == "run.start.before_commit" else 1)
    # a waiting run is taken up by the next trigger, one that is under way by any worker
    assert_undisturbed(night, night.end(None if point.startswith("run.start") else live[0]))


@pytest.mark.parametrize(
    ("point", "api"),
    [
        *((point, "collections") for point in LATE),
        *((point, "bulk") for point in BULK),
        *(pytest.param(point, "collections", marks=pytest.mark.slow) for point in MORE_LATE),
        *(pytest.param(point, "bulk", marks=pytest.mark.slow) for point in MORE_BULK),
    ],
)
def test_killed_in_its_writes_a_night_ends_as_undisturbed(two_nights: Nights, own_box: SandboxProcess, tmp_path: Path, point: str, api: str) -> None:
    night = copied(two_nights, own_box, tmp_path, "midnight", SCORESYNC_WRITE_API=api)
    night.die(two_nights.run_id, point)
    own_box.control.clock(advance=11 * 60)  # an open job without an owner is taken for lost after ten minutes
    assert_undisturbed(night, night.end(two_nights.run_id))
    assert {job["state"] for job in jobs(own_box)} <= {"JobComplete", "Aborted"}


@pytest.mark.parametrize(("point", "api"), ON_POSTGRES)
def test_the_same_on_postgresql(two_nights: Nights, own_box: SandboxProcess, tmp_path: Path, postgres_url: str, point: str, api: str) -> None:
    night = copied(two_nights, own_box, tmp_path, "midnight", postgres_url, SCORESYNC_WRITE_API=api)
    night.die(two_nights.run_id, point)
    assert_undisturbed(night, night.end(two_nights.run_id))


@pytest.mark.parametrize("point", TIDYING)
def test_killed_while_the_lake_is_tidied_the_next_night_reads_the_same(
    two_nights: Nights, own_box: SandboxProcess, tmp_path: Path, point: str
) -> None:
    night = copied(two_nights, own_box, tmp_path, "evening")
    night.die("compact", point)
    assert_undisturbed(night, night.end())


def test_killed_while_a_failure_is_noted_the_item_is_tried_again(two_nights: Nights, own_box: SandboxProcess, tmp_path: Path) -> None:
    night = copied(two_nights, own_box, tmp_path, "midnight")
    # four attempts of one call, each refused: the connector gives up and the item fails
    own_box.control.faults({"kind": "http", "body": "unknown_exception", "method": "PATCH", "call": "collections_update", "count": 4})
    night.die(two_nights.run_id, FAILING)
    own_box.control.clear_faults()
    assert_undisturbed(night, night.end(two_nights.run_id))


def test_every_point_there_is_is_killed_at() -> None:
    for module in pkgutil.walk_packages(worker_package.__path__, "worker."):
        if "migrations" not in module.name:
            importlib.import_module(module.name)
    killed = {point.partition("#")[0] for point in [*EARLY, *LATE, *BULK, *TIDYING, *BY_CELERY, FAILING]}
    assert killed == set(POINTS)


# --- many deaths ---------------------------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("point", ["item.finish.before_commit#2", "item.finish.after_commit"])
def test_every_item_of_a_night_is_killed_once(two_nights: Nights, own_box: SandboxProcess, tmp_path: Path, point: str) -> None:
    night = copied(two_nights, own_box, tmp_path, "evening")
    with night.open() as runtime:
        run_id = start_run(runtime, nights.second_mappings(), RunKind.FULL, as_of=nights.SECOND)
        deaths = 0
        while runs.is_live(runs.get(runtime.ledger, run_id).state):
            # each process has a count of its own: it does the item over in which the last one died, and dies in the next
            process = night.start(run_id, SCORESYNC_KILL_AT=point, SCORESYNC_KILL_ONCE=str(tmp_path / f"count-{deaths}"))
            process.join(120)
            assert process.exitcode == -signal.SIGKILL or not runs.is_live(runs.get(runtime.ledger, run_id).state)
            deaths += process.exitcode != 0
        items = runtime.ledger.rows(select(func.count().label("n")).select_from(item).where(item.c.run_id == run_id))[0].n
    assert deaths >= items - 1
    assert_undisturbed(night, night.end(run_id))


# --- killed while a call is under way ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("call", ["collections_upsert", "collections_update", "bulk_close"])
def test_killed_while_a_call_is_under_way_that_arrives_late(two_nights: Nights, own_box: SandboxProcess, tmp_path: Path, call: str) -> None:
    api = "bulk" if call.startswith("bulk") else "collections"
    night = copied(two_nights, own_box, tmp_path, "midnight", SCORESYNC_WRITE_API=api)
    # the first such call waits at the CRM's door and is done although its caller is dead by then
    (rule,) = own_box.control.faults({"kind": "delay", "seconds": 1.5, "call": call, "count": 1})
    process = night.start(two_nights.run_id)
    wait_for(lambda: next(one for one in own_box.control.call("faults", method="GET") if one["id"] == rule)["hits"], 60, f"a {call}")
    process.kill()
    process.join(10)
    assert_undisturbed(night, night.end(two_nights.run_id))


# --- a person in between -------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("point", "api"), EDITED)
def test_what_a_person_edits_in_between_stays_and_is_said(two_nights: Nights, own_box: SandboxProcess, tmp_path: Path, point: str, api: str) -> None:
    night = copied(two_nights, own_box, tmp_path, "midnight", SCORESYNC_WRITE_API=api)
    night.die(two_nights.run_id, point)
    account = next(
        key for key, row in two_nights.crm["Account"].items() if row["CSH_Next_Action__c"] != two_nights.before["Account"][key]["CSH_Next_Action__c"]
    )
    nights.person_writes(own_box, "Account", {"Id": account, "CSH_Next_Action__c": "Ask Ms Sato first"})
    # a record that was made just before the crash is renamed at once
    rows = {row["CSH_External_Key__c"]: row["Id"] for row in own_box.control.dump("CSH_CSQL__c") if row["CSH_External_Key__c"]}
    renamed = next((key for key in sorted(rows) if key not in two_nights.before["CSH_CSQL__c"]), None)
    if renamed:
        nights.person_writes(own_box, "CSH_CSQL__c", {"Id": rows[renamed], "CSH_Title__c": "Mr Ito asked for it"})
    report = night.end(two_nights.run_id)
    expected = {name: {key: dict(row) for key, row in rows.items()} for name, rows in two_nights.crm.items()}
    expected["Account"][account]["CSH_Next_Action__c"] = "Ask Ms Sato first"
    if renamed:
        expected["CSH_CSQL__c"][renamed]["CSH_Title__c"] = "Mr Ito asked for it"
    assert nights.differences(nights.crm_of(own_box), expected) == []
    assert sum(report["writes"].values()) == report["changes"]["records"]
    if point in ANSWERED:  # the next run finds it changed
        with night.open() as runtime:
            run = finish_run(runtime, start_run(runtime, nights.second_mappings(), RunKind.INCREMENT, as_of=nights.SECOND + timedelta(hours=1)))
            assert run.state == RunState.DONE, run.reason
        assert nights.differences(nights.crm_of(own_box), expected) == []
    with night.open() as runtime:
        held = {(hold.object, hold.field) for hold in registers.holds(runtime.ledger)}
    assert ("account", "next_action") in held
    assert (("csql", "title") in held) == bool(renamed)


def jobs(box: SandboxProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = log_in(box).restful("jobs/ingest")["records"]
    return found
