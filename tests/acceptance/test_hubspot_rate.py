"""A whole night on HubSpot's smallest limit: four worker processes of Celery on a real Redis, 3,000 companies, no call refused."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connectors.sandbox_kit import SandboxProcess
from mappings.load import load
from tests.acceptance import orgs
from tests.conftest import wait_for
from tests.connectors import hubs
from tests.worker.test_celery import celery_worker, kill_tree
from worker.items import RunKind
from worker.report import run_report
from worker.run import start_run
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store import runs

COMPANIES, LIMIT = 3_000, 100
MAPPING = """
connection: hubspot
vendor: hubspot
authoritative: []
csql_object: csh_csql
entities:
  account:
    - object: companies
      columns: {name: name, kind: {const: customer}, employees: numberofemployees, created_at: createdate}
  contract:
    - object: deals
      columns:
        account_id: associations.companies
        contract_number: dealname
        product: {const: Suite}
        seats: {const: 10}
        mrr: {const: 1000}
        currency: {const: JPY}
        starts_on: {const: '2026-05-15'}
        ends_on: {const: '2028-05-14'}
  contact:
    - object: contacts
      columns: {account_id: associations.companies, name: lastname, active: {const: true}}
  csql:
    - object: csh_csql
      columns: {account_id: associations.companies, product: csh_product, state: csh_state, external_key: csh_external_key, created_at: hs_createdate}
"""


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        kill_tree(process.pid)
        process.wait(10)


def mapping_folder(folder: Path) -> Path:
    found = orgs.lay_over(Path(__file__).parent / "mappings", folder)
    shutil.rmtree(found / "crm")
    (found / "crm").mkdir()
    (found / "crm/hubspot.yml").write_text(MAPPING)
    return found


def seed(box: SandboxProcess) -> list[str]:
    companies = box.control.seed("companies", [{"name": f"会社{n}", "numberofemployees": str(n % 101)} for n in range(COMPANIES)])
    for kind, row in (("deals", {"dealname": "契約", "dealstage": "closedwon", "pipeline": "default"}), ("contacts", {"lastname": "佐藤"})):
        made = box.control.seed(kind, [row] * COMPANIES)
        box.control.call("associate", {"from": kind, "to": "companies", "pairs": [list(pair) for pair in zip(made, companies, strict=True)]})
    return companies


def done(runtime: Runtime, run_id: str) -> Callable[[], bool]:
    return lambda: not runs.is_live(runs.get(runtime.ledger, run_id).state)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_four_worker_processes_write_3000_companies_without_one_refused_call(
    workers: list[subprocess.Popen[bytes]], redis_url: str, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SandboxProcess(crm="hubspot") as box:
        hubs.provision(box, load(mapping_folder(tmp_path / "mappings")).writeback.active())
        companies = seed(box)
        box.control.settings(limits=True, burst_limit=LIMIT)
        later = datetime.now(ZoneInfo("Asia/Tokyo")) + timedelta(hours=12)
        given = {
            "LAKE": str(tmp_path / "lake"), "DATABASE_URL": postgres_url, "MAPPINGS": str(tmp_path / "mappings"), "USAGE": str(tmp_path / "usage"),
            "REDIS_URL": redis_url, "HUBSPOT_URL": box.url, "HUBSPOT_TOKEN": box.control.info()["access_token"], "QUOTA_SHARE": "1",
            "READ_LAG_S": "0", "FULL_AT": f"{later:%H:%M}", "INCREMENT_EVERY_S": "86400", "RESYNC_EVERY_S": "86400", "SWEEP_EVERY_S": "1",
            "ANNOUNCE_AGAIN_S": "2",
        }  # fmt: skip
        environment = {f"SCORESYNC_{name}": value for name, value in given.items()}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        runtime = Runtime.open(Settings())
        box.control.reset_stats()
        run_id = start_run(runtime, load(tmp_path / "mappings"), RunKind.FULL)
        workers += [celery_worker("worker.app", tmp_path, environment, f"w{n}") for n in range(2)]  # of two processes each
        wait_for(done(runtime, run_id), 400, "the run's end")
        report, seen = run_report(runtime.ledger, run_id), box.control.stats()
        runtime.close()
        assert report["state"] == "done"
        assert (report["writes"]["ok"], report["calls"]["writes"]) == (COMPANIES, COMPANIES // 100)
        assert "429" not in seen["statuses"], seen
        tiers = hubs.stored(box, "companies", "csh_health_tier")
        assert all(tiers[i] for i in companies)
