"""kill -9 at every point of pull, stage and write_back: the next worker ends the run, and the CRM and the lake are as if nothing had happened."""

import multiprocessing
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from connectors.entities import Entity
from connectors.sandbox_kit import SandboxProcess
from mappings.models import Source
from tests.connectors import orgs
from tests.worker import flows
from worker.items import CursorKey, RunKind, RunState
from worker.run import finish_run, start_run
from worker.store.registers import bulk_jobs, cursor_value

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["tests.worker.flows"])


@pytest.fixture(scope="session")
def org(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess() as box:
        orgs.provision(box)
        yield box


def environment(box: SandboxProcess, folder: Path, point: str, **more: str) -> dict[str, str]:
    return {
        "SCORESYNC_LAKE": str(folder / "lake"), "SCORESYNC_DATABASE_URL": f"sqlite:///{folder}/ledger.db", "SCORESYNC_USAGE": str(folder / "usage"),
        "SCORESYNC_SALESFORCE_URL": box.url, "SCORESYNC_SALESFORCE_CLIENT_ID": box.client_id,
        "SCORESYNC_SALESFORCE_CLIENT_SECRET": box.client_secret, "SCORESYNC_QUOTA_RESERVE": "0", "SCORESYNC_QUOTA_SHARE": "1",
        "SCORESYNC_READ_LAG_S": "0", "SCORESYNC_BACKOFF_S": "0", "SCORESYNC_LOG_LEVEL": "error", "SCORESYNC_KILL_AT": point,
        "SCORESYNC_KILL_ONCE": str(folder / "passes"), **more,
    }  # fmt: skip


def die(box: SandboxProcess, folder: Path, run_id: str, point: str, changes: Sequence[Mapping[str, Any]] | None, **more: str) -> None:
    process = forks.Process(target=flows.child, args=(environment(box, folder, point, **more), run_id, changes), daemon=True)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, f"{point} was not passed"


SMALL = [
    "write_back.intent.after_part",
    "write_back.send.before",
    "write_back.send.after",
    "write_back.results.after_part",
    "item.finish.before_commit#4",
]
BULK = ["write_back.bulk.after_create", "write_back.bulk.after_commit", "write_back.bulk.after_upload", "write_back.results.after_part"]


@pytest.mark.parametrize(("api", "point"), [*(("collections", p) for p in SMALL), *(("bulk", p) for p in BULK)])
def test_a_killed_write_leaves_every_record_written_once(org: SandboxProcess, tmp_path: Path, api: str, point: str) -> None:
    ids = orgs.make_accounts(org, 3)
    key = f"{ids[0]}|expense|1"
    changes: list[dict[str, Any]] = [{"record_id": i, "field": "score", "our_value": str(n)} for n, i in enumerate(ids)]
    new = {"object": "csql", "record_id": None, "external_key": key, "account_id": ids[0]}
    changes += [{**new, "field": "account", "our_value": ids[0]}, {**new, "field": "state", "our_value": "Candidate"}]
    runtime = flows.open_runtime(flows.settings(org, tmp_path, write_api=api), flows.write_steps(changes))
    run_id = start_run(runtime, flows.mappings(), RunKind.INCREMENT)
    die(org, tmp_path, run_id, point, changes, SCORESYNC_WRITE_API=api)
    # a person edits in between; nobody may overwrite it
    org.control.write("integration", "Account", [{"Id": ids[2], "CSH_Score__c": 99}])

    run = finish_run(runtime, run_id)
    assert run.state == RunState.DONE, run.reason
    scores = orgs.stored(org, "Account", "CSH_Score__c", ids)
    assert [scores[i]["CSH_Score__c"] for i in ids] == [0, 1, 99]
    csqls = [row["CSH_External_Key__c"] for row in org.control.dump("CSH_CSQL__c") if row["CSH_Account__c"] == ids[0]]
    assert csqls == [key]
    acknowledged = {(w["record_id"], w["field"]) for w in flows.table(runtime, "writes") if w["state"] == "acknowledged"}
    assert {(i, "score") for i in ids[:2]} <= acknowledged
    stats = flows.stats(runtime, run_id)
    assert sum(stats.get(f"writes.{s}", 0) for s in ("ok", "held", "rejected", "unprocessed", "invalid", "superseded")) == 4
    assert {job.state for job in bulk_jobs(runtime.ledger)} <= {"complete", "aborted"}
    runtime.close()


@pytest.mark.parametrize("point", ["pull.read.after", "stage.parts.after", "lake.finish.before_rename", "lake.finish.after_rename"])
def test_a_killed_read_leaves_every_row_once_and_its_cursor_behind_them(org: SandboxProcess, tmp_path: Path, point: str) -> None:
    name = f"kill-{point}-"
    ids = org.control.seed("Account", [{"Name": f"{name}{n}"} for n in range(20)])
    mappings = flows.mappings()
    source = Source(object="Account", columns={"name": "Name"}, filter=f"Name LIKE '{name}%'")
    crm = mappings.crm["salesforce"].model_copy(update={"entities": {"account": [source]}})
    mappings = mappings.model_copy(update={"crm": {"salesforce": crm}})
    runtime = flows.open_runtime(flows.settings(org, tmp_path))
    run_id = start_run(runtime, mappings, RunKind.FULL)
    die(org, tmp_path, run_id, point, None)
    key = CursorKey("salesforce", "account", 0)
    assert cursor_value(runtime.ledger, key) is None
    assert flows.current(runtime, Entity.ACCOUNT) == {}

    run = finish_run(runtime, run_id)
    assert run.state == RunState.DONE, run.reason
    rows = flows.table(runtime, "crm_account")
    assert sorted(row["id"] for row in rows) == sorted(ids)
    assert cursor_value(runtime.ledger, key) is not None
    runtime.close()
