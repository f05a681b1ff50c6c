"""Two nights of a firm that runs Salesforce and HubSpot, for the crash tests: the first is over, the second is run from its start or its writes.

Made once per test session like those of `nights.py`, whose helpers serve here. Each test gets a copy of both CRMs, lake and ledger.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from connectors.base import Crm
from connectors.hubspot import connector as hubspot_connector
from connectors.salesforce import connector as salesforce_connector
from connectors.sandbox_kit import SandboxProcess
from mappings.models import Mappings
from tests.acceptance import both, nights
from tests.acceptance.vendor import log_in
from tests.connectors.orgs import QUICK
from worker import log
from worker.items import RunKind, RunState
from worker.report import run_report
from worker.run import finish_run, start_run, until_done, work
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store import runs
from worker.store.tables import item

FIRST, BETWEEN, SECOND = nights.FIRST, nights.BETWEEN, nights.SECOND
FILLED = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)
MET = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
NAMES = ("salesforce", "hubspot")
_SEATS = {"若葉": 60, "青葉": 90, "枯葉": 45}  # 若葉 and 枯葉 hold 40 or more now, which is a CSQL each
_MEETINGS = {"紅葉": 3}

State = dict[str, dict[str, dict[str, Any]]]  # what -> key -> our fields


@dataclass
class Boxes:
    """Both CRMs, running."""

    salesforce: SandboxProcess
    hubspot: SandboxProcess

    def each(self) -> list[tuple[str, SandboxProcess]]:
        return [("salesforce", self.salesforce), ("hubspot", self.hubspot)]


@dataclass(frozen=True)
class Pair:
    """What was made. `folder` holds both CRMs' states (`-side`: clock and tokens), `evening` (after the first night) and `midnight` (the second,
    before write_back)."""

    folder: Path
    run_id: str  # of the second night at midnight
    crm: State  # both CRMs after an undisturbed second night
    before: State  # and before it
    report: dict[str, Any]
    written: dict[str, dict[str, int]]  # connection -> changes of records, as its CRM counted them
    accounts: dict[str, str]
    companies: dict[str, str]


def made_once(shared: Path) -> Pair:
    """Made by the first process that comes; the others wait for it."""
    folder = shared / "nights-both"
    with (shared / "nights-both.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / "made.json").write_text(json.dumps(_make(folder)))
    return Pair(folder, **json.loads((folder / "made.json").read_text()))


def _make(folder: Path) -> dict[str, Any]:
    evening = folder / "evening"
    with both.boxes(folder / "making") as (salesforce, hubspot):
        boxes = Boxes(salesforce, hubspot)
        firm = both.Firm(salesforce, hubspot, None, both.given())  # type: ignore[arg-type]  # the worker is another one each night
        salesforce.control.call("grants", {"user": "csm", "objects": [], "fields": ["Account.CSH_Reason_1__c"]})
        _clock(boxes, FILLED)
        both.fill(firm, MET)
        _clock(boxes, FIRST)
        with open_runtime(boxes, evening) as runtime:
            _done(runtime, start_run(runtime, both.given(), RunKind.FULL, as_of=FIRST))
        _clock(boxes, BETWEEN)
        for customer, seats in _SEATS.items():
            firm.seats(customer, seats)
        for customer, times in _MEETINGS.items():
            firm.meet(customer, times, MET)
        _clock(boxes, SECOND)
        log_in(salesforce).restful("jobs/ingest")  # makes the sandbox's tables of jobs, as in nights.py
        before = crm_of(boxes)
        for name, box in boxes.each():
            nights.copy_database(box.state, folder / f"{name}.db")
            nights.copy_database(box.state.with_name(f"{box.state.name}-side"), folder / f"{name}.db-side")
            box.control.reset_stats()
        working = shutil.copytree(evening, folder / "working")
        with open_runtime(boxes, working) as runtime:
            run_id = start_run(runtime, both.given(), RunKind.FULL, as_of=SECOND)
            work(runtime, lambda: runs.get(runtime.ledger, run_id).state == RunState.RUNNING and step_of(runtime) == "write_back")
            shutil.copytree(working, folder / "midnight")
            _done(runtime, run_id)
            report = run_report(runtime.ledger, run_id)
        ids = {"accounts": firm.accounts, "companies": firm.companies}
        return {"run_id": run_id, "before": before, "crm": crm_of(boxes), "report": report, "written": changed(boxes), **ids}


def _clock(boxes: Boxes, now: datetime) -> None:
    for _, box in boxes.each():
        box.control.clock(now=now.isoformat(), frozen=True)


def _done(runtime: Runtime, run_id: str) -> None:
    run = finish_run(runtime, run_id)
    assert run.state == RunState.DONE, (run.state, run.reason)


def step_of(runtime: Runtime) -> str:
    """Step of the newest item."""
    return str(runtime.ledger.rows(select(item.c.step).order_by(item.c.id.desc()).limit(1))[0].step)


# --- what is in the CRMs -------------------------------------------------------------------------------------------------------------------------
def crm_of(boxes: Boxes) -> State:
    """Our fields in both CRMs, by key; a CSQL that is there twice is an error."""
    companies = boxes.hubspot.control.dump("companies")
    ours = {row["id"]: {name: value for name, value in row.items() if name.startswith("csh_")} for row in companies}
    return {**nights.crm_of(boxes.salesforce), "companies": ours}


def changed(boxes: Boxes) -> dict[str, dict[str, int]]:
    """Connection -> object -> changes of records since the statistics were reset, as the CRM counted them."""
    return {
        "salesforce": boxes.salesforce.control.stats()["records"],
        "hubspot": {"companies": boxes.hubspot.control.stats()["records_changed"]},
    }


def differences(found: State, expected: State) -> list[str]:
    """What differs, field by field: object, key, field, both values. A HubSpot property that was never written is absent."""
    said = []
    for name in expected:
        for key in sorted(found[name].keys() | expected[name].keys()):
            here, there = found[name].get(key), expected[name].get(key)
            if here is None or there is None:
                said.append(f"{name} {key} is {'missing' if here is None else 'there, and is not expected'}")
                continue
            names = sorted(here.keys() | there.keys())
            said += [f"{name} {key} {f}: {here.get(f)!r}, expected {there.get(f)!r}" for f in names if here.get(f) != there.get(f)]
    return said


def restore(pair: Pair, boxes: Boxes) -> None:
    """Both CRMs as they are before the second night."""
    for name, box in boxes.each():
        nights.copy_database(pair.folder / f"{name}.db", box.state)
        box.control.clear_faults()
        box.control.reset_stats()
    _clock(boxes, SECOND)


# --- workers -------------------------------------------------------------------------------------------------------------------------------------
def environment(boxes: Boxes, folder: Path, ledger_url: str = "") -> dict[str, str]:
    shared = nights.environment(boxes.salesforce, folder, folder / "usage", ledger_url)
    token = boxes.hubspot.control.info()["access_token"]
    own = {"SCORESYNC_HUBSPOT_URL": boxes.hubspot.url, "SCORESYNC_HUBSPOT_TOKEN": token, "SCORESYNC_HUBSPOT_WINDOW_CALLS": "1000000"}
    return shared | own


def runtime_here() -> Runtime:
    """A worker of both CRMs as the environment says, all nine steps, that waits little for a CRM in trouble."""
    chosen = Settings()
    log.configure(chosen)

    def opened(mappings: Mappings, name: str) -> Crm:
        connect = salesforce_connector.connect if name == "salesforce" else hubspot_connector.connect
        return connect(mappings.crm[name], mappings, chosen, waits=QUICK)

    return Runtime.open(chosen, open_crm=opened)


@contextmanager
def open_runtime(boxes: Boxes, folder: Path, ledger_url: str = "", **more: str) -> Iterator[Runtime]:
    (folder / "usage").mkdir(parents=True, exist_ok=True)
    with nights.environ(environment(boxes, folder, ledger_url) | more):
        runtime = runtime_here()
    try:
        yield runtime
    finally:
        runtime.close()


def child(told: Mapping[str, str], order: str, step: str, point: str) -> None:
    """Another process's whole life: `night` starts and works off the second night, a run's id works that run off. It dies at the n-th pass of
    `point`, counted from the beginning of `step` ('' = from its own)."""
    os.environ.update(told)
    runtime = runtime_here()
    run_id = start_run(runtime, both.given(), RunKind.FULL, as_of=SECOND) if order == "night" else order
    if step:
        work(runtime, lambda: step_of(runtime) == step)
    os.environ["SCORESYNC_KILL_AT"] = point
    work(runtime, until_done(runtime, run_id))
    runtime.close()
