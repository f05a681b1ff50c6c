"""Two nights of a small firm for the crash tests: the first is over, the second is to be run, from its start or from before its writes.

Made once per test session, whatever the number of test processes: the org's state, the usage files, lake and ledger after the first night and in the
middle of the second, and what an undisturbed second night leaves in the CRM. Each test gets a copy.
"""

import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import func, select, text

from connectors.salesforce import connector
from connectors.salesforce.sandbox.seed import seed_sandbox
from connectors.sandbox_kit import SandboxProcess
from mappings.load import load
from mappings.models import Mappings
from tests.acceptance import orgs
from tests.acceptance.vendor import log_in
from tests.connectors.orgs import QUICK
from worker import log
from worker.items import RunKind, RunState
from worker.report import run_report
from worker.run import finish_run, start_run, until_done, work
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store import runs, upkeep
from worker.store.ledger import Ledger
from worker.store.tables import item, metadata

FIRST = datetime(2026, 11, 30, 17, 30, tzinfo=UTC)  # the night to 1 December in Tokyo
BETWEEN = datetime(2026, 12, 1, 5, 0, tzinfo=UTC)
SECOND = datetime(2026, 12, 1, 17, 30, tzinfo=UTC)
ACCOUNTS, SEED = 14, 1
#: Rules that the firm turns on between the nights; a signal makes a record at once.
TURNED_ON = ("cross_sell", "tier_upgrade")
LONG_AGO = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
OBJECTS = {"Account": "Id", "CSH_CSQL__c": "CSH_External_Key__c"}

#: What the CSM of these tests may edit of ours.
CSM_EDITS = ["Account.CSH_Next_Action__c", *(f"CSH_CSQL__c.CSH_{name}__c" for name in ("Account", "Product", "State", "Title"))]

Crm = dict[str, dict[str, dict[str, Any]]]  # object -> key -> our fields


def first_mappings() -> Mappings:
    given = load(None)
    return given.model_copy(update={"csql": {name: rule for name, rule in given.csql.items() if name not in TURNED_ON}})


def second_mappings() -> Mappings:
    given = load(None)
    rules = {name: rule.model_copy(update={"persist_days": 0}) if name in TURNED_ON else rule for name, rule in given.csql.items()}
    return given.model_copy(update={"csql": rules})


@dataclass(frozen=True)
class Nights:
    """What was made. `folder` holds `org.db`, `usage`, `evening` (after the first night) and `midnight` (the second, before write_back)."""

    folder: Path
    run_id: str  # of the second night at midnight
    crm: Crm  # after an undisturbed second night
    before: Crm  # and before it
    report: dict[str, Any]  # of the undisturbed second night
    written: dict[str, int]  # object -> changes of records, as the CRM counted them in it

    @property
    def usage(self) -> Path:
        return self.folder / "usage"


# --- making them ---------------------------------------------------------------------------------------------------------------------------------
def made_once(shared: Path) -> Nights:
    """Made by the first process that comes; the others wait for it."""
    folder = shared / "nights"
    with (shared / "nights.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            (folder / "made.json").write_text(json.dumps(_make(folder)))
    return Nights(folder, **json.loads((folder / "made.json").read_text()))


def _make(folder: Path) -> dict[str, Any]:
    evening = folder / "evening"
    with SandboxProcess(folder / "making" / "sandbox.db") as box:
        seed_sandbox(box.url, folder, ACCOUNTS, SEED, date(2026, 12, 1))
        orgs.provision(box, load(None), orgs.settings(box, evening))
        box.control.call("grants", {"user": "csm", "objects": ["CSH_CSQL__c"], "fields": CSM_EDITS})
        _merge_days(folder / "usage")
        box.control.clock(now=FIRST.isoformat(), frozen=True)
        with open_runtime(box, evening, folder / "usage") as runtime:
            _done(runtime, start_run(runtime, first_mappings(), RunKind.FULL, as_of=FIRST))
        _day_between(box, folder / "usage")
        box.control.clock(now=SECOND.isoformat(), frozen=True)
        log_in(box).restful("jobs/ingest")  # the sandbox makes its tables of jobs at the first look; they must not vanish when an org is put back
        before = crm_of(box)
        copy_database(box.state, folder / "org.db")
        box.control.reset_stats()
        working = shutil.copytree(evening, folder / "working")
        with open_runtime(box, working, folder / "usage") as runtime:
            run_id = start_run(runtime, second_mappings(), RunKind.FULL, as_of=SECOND)
            work(runtime, lambda: runs.get(runtime.ledger, run_id).state == RunState.RUNNING and _step_of(runtime) == "write_back")
            shutil.copytree(working, folder / "midnight")
            _done(runtime, run_id)
            report = run_report(runtime.ledger, run_id)
        return {"run_id": run_id, "before": before, "crm": crm_of(box), "report": report, "written": box.control.stats()["records"]}


def _done(runtime: Runtime, run_id: str) -> None:
    run = finish_run(runtime, run_id)
    assert run.state == RunState.DONE, (run.state, run.reason)


def _step_of(runtime: Runtime) -> str:
    """Step of the newest item."""
    return str(runtime.ledger.rows(select(item.c.step).order_by(item.c.id.desc()).limit(1))[0].step)


def _merge_days(usage: Path) -> None:
    """The daily files of the running month as one, so that a night has few items; all of them old enough to be settled."""
    days = sorted(usage.glob("events_2026-11-*.csv"))
    with duckdb.connect() as con:
        listed = [str(path) for path in days]
        con.execute(f"COPY (FROM read_csv({listed}, all_varchar=true, union_by_name=true)) TO '{usage}/events_2026-11.csv' (HEADER)")
    for path in days:
        path.unlink()
    settle(usage)


def settle(usage: Path) -> None:
    for path in usage.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))


def _day_between(box: SandboxProcess, usage: Path) -> None:
    """What happens between the nights: a churn notice, an urgent case, a CSM's own CSQL, and a day of use."""
    control = box.control
    control.clock(now=BETWEEN.isoformat(), frozen=True)
    scored = sorted((row for row in control.dump("Account") if row["CSH_Health_Score__c"] is not None), key=lambda row: -row["CSH_Health_Score__c"])
    best, second, third = (row["Id"] for row in scored[:3])
    person_writes(box, "Account", {"Id": best, "Churn_Notice_On__c": "2026-12-01"})
    control.seed("Case", [{"AccountId": second, "Subject": "停止", "Priority": "High", "Status": "New"}])
    person_writes(box, "CSH_CSQL__c", {"CSH_Account__c": third, "CSH_Product__c": "esign", "CSH_State__c": "Submitted"}, "insert")
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT * REPLACE ('2026-12-01' AS date) FROM read_csv('{usage}/events_2026-11.csv', all_varchar=true) WHERE date = '2026-11-27') "
            f"TO '{usage}/events_2026-12-01.csv' (HEADER)"
        )
    settle(usage)


def person_writes(box: SandboxProcess, object_name: str, row: dict[str, Any], operation: str = "update") -> None:
    (answer,) = box.control.write("csm", object_name, [row], operation)
    assert answer["success"], answer


# --- one test's copy -----------------------------------------------------------------------------------------------------------------------------
def copy_database(source: Path, target: Path) -> None:
    """All pages of an SQLite file into another, which may be in use."""
    reading, writing = sqlite3.connect(source), sqlite3.connect(target)
    try:
        reading.backup(writing)
    finally:
        reading.close()
        writing.close()


def restore(nights: Nights, box: SandboxProcess) -> None:
    """The org as it is before the second night."""
    copy_database(nights.folder / "org.db", box.state)
    box.control.clear_faults()
    box.control.reset_stats()


def crm_of(box: SandboxProcess) -> Crm:
    """What is in our fields, by key. A CSQL's record id and number depend on the order in which they were made, and are left out."""
    found: Crm = {}
    for name, key in OBJECTS.items():
        rows = box.control.dump(name)
        keys = [row[key] or f"made by hand: {row['CSH_Account__c']}" for row in rows]
        assert len(set(keys)) == len(rows), f"a {name} is there twice: {keys}"
        found[name] = {k: {field: value for field, value in row.items() if field.startswith("CSH_")} for k, row in zip(keys, rows, strict=True)}
    return found


def differences(found: Crm, expected: Crm) -> list[str]:
    """What differs, field by field: object, key, field, both values."""
    said = []
    for name in OBJECTS:
        for key in sorted(found[name].keys() | expected[name].keys()):
            here, there = found[name].get(key), expected[name].get(key)
            if here is None or there is None:
                said.append(f"{name} {key} is {'missing' if here is None else 'there, and is not expected'}")
            else:
                said += [f"{name} {key} {field}: {here[field]!r}, expected {there[field]!r}" for field in there if here[field] != there[field]]
    return said


def transplant(source: Path, url: str) -> None:
    """All rows of an SQLite ledger into an empty one on PostgreSQL."""
    old, new = Ledger(f"sqlite:///{source}"), Ledger(url)
    new.upgrade()
    with new.transaction() as tx:
        for table in metadata.sorted_tables:
            tx.execute(table.delete())
            rows = [dict(row._mapping) for row in old.rows(select(table))]
            if rows:
                tx.execute(table.insert(), rows)
            column = table.autoincrement_column
            if column is not None:
                serial = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
                tx.execute(text(f"SELECT setval({serial}, (SELECT coalesce(max({column.name}), 0) + 1 FROM {table.name}), false)"))
    old.close()
    new.close()


# --- workers -------------------------------------------------------------------------------------------------------------------------------------
def environment(box: SandboxProcess, folder: Path, usage: Path, ledger_url: str = "") -> dict[str, str]:
    return {
        "SCORESYNC_LAKE": str(folder / "lake"),
        "SCORESYNC_DATABASE_URL": ledger_url or f"sqlite:///{folder / 'ledger.db'}",
        "SCORESYNC_USAGE": str(usage),
        "SCORESYNC_SALESFORCE_URL": box.url,
        "SCORESYNC_SALESFORCE_CLIENT_ID": box.client_id,
        "SCORESYNC_SALESFORCE_CLIENT_SECRET": box.client_secret,
        "SCORESYNC_QUOTA_RESERVE": "0",
        "SCORESYNC_QUOTA_SHARE": "1",
        "SCORESYNC_READ_LAG_S": "0",
        "SCORESYNC_BACKOFF_S": "0",
        "SCORESYNC_LANDING_S": "3",  # longer than any call of these tests takes
        "SCORESYNC_OUTAGE_WAIT_S": "0",
        "SCORESYNC_THREADS": "1",
        "SCORESYNC_LOG_LEVEL": "error",
    }


@contextmanager
def environ(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def runtime_here() -> Runtime:
    """A worker as the environment says, all nine steps, that waits little for a CRM in trouble."""
    given = Settings()
    log.configure(given)
    return Runtime.open(given, open_crm=lambda m, name: connector.connect(m.crm[name], m, given, waits=QUICK))


@contextmanager
def open_runtime(box: SandboxProcess, folder: Path, usage: Path, ledger_url: str = "", **more: str) -> Iterator[Runtime]:
    folder.mkdir(parents=True, exist_ok=True)
    with environ(environment(box, folder, usage, ledger_url) | more):
        runtime = runtime_here()
    try:
        yield runtime
    finally:
        runtime.close()


def child(given: Mapping[str, str], order: str) -> None:
    """Another process's whole life: `night` starts and works off the second night, `compact` tidies the lake, a run's id works that run off."""
    os.environ.update(given)
    runtime = runtime_here()
    if order == "compact":
        upkeep.compact(runtime.settings, runtime.ledger, runtime.lake)
        upkeep.sweep(runtime.settings, runtime.ledger, runtime.lake)
    else:
        run_id = start_run(runtime, second_mappings(), RunKind.FULL, as_of=SECOND) if order == "night" else order
        work(runtime, until_done(runtime, run_id))
    runtime.close()


def items_not_done(runtime: Runtime) -> int:
    return int(runtime.ledger.rows(select(func.count().label("n")).select_from(item).where(item.c.state != "done"))[0].n)
