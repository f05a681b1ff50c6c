"""A worker with all nine steps on a sandbox org, in this process: what the acceptance tests run and look at."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from pydantic import SecretStr

import mappings as shipped
from connectors.salesforce import connector
from connectors.sandbox_kit import SandboxProcess
from mappings.load import load
from mappings.models import Mappings
from tests.connectors.orgs import QUICK
from worker import log
from worker.items import Run, RunKind, RunState
from worker.report import run_report
from worker.run import finish_run, start_run
from worker.runtime import Runtime, crm_opener
from worker.settings import Settings


class QuickSettings(Settings):
    """Reads up to this very second: nobody else is in the middle of a transaction in these orgs."""

    read_lag_s: float = 0


#: Runs of one test stay on one day however long it takes: a new day has closings, trends and a brake of its own.
TODAY = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


@dataclass
class Worker:
    """An embedded worker: `run()` starts a run, a minute after the last, and works it off."""

    box: SandboxProcess
    folder: Path
    mappings: Mappings
    settings: Settings
    runtime: Runtime
    last: datetime = TODAY

    def run(self, kind: RunKind = RunKind.INCREMENT, as_of: datetime | None = None, **more: Any) -> Run:
        self.last = as_of or self.last + timedelta(minutes=1)
        ended = finish_run(self.runtime, start_run(self.runtime, self.mappings, kind, as_of=self.last, **more))
        assert ended.state == RunState.DONE, ended.reason
        return ended

    def report(self, run: Run) -> dict[str, Any]:
        return run_report(self.runtime.ledger, run.id)

    def reconciliation(self, run: Run) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run_folder(run) / "reconciliation.json").read_text())
        return found

    def run_folder(self, run: Run) -> Path:
        return self.settings.runs_folder / run.id

    def rows(self, run: Run, name: str, columns: str = "*", where: str = "true") -> list[dict[str, Any]]:
        """Rows of a table of the run folder."""
        return _query(f"SELECT {columns} FROM read_parquet('{self.run_folder(run)}/{name}.parquet') WHERE {where}")

    def lake(self, table: str, columns: str = "*", where: str = "true") -> list[dict[str, Any]]:
        """Rows of a lake table as it is now."""
        listed = [str(path) for path in self.runtime.lake.files(table)]
        return _query(f"SELECT {columns} FROM read_parquet({listed}, union_by_name=true) WHERE {where}") if listed else []


def _query(sql: str) -> list[dict[str, Any]]:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        found: list[dict[str, Any]] = con.sql(sql).to_arrow_table().to_pylist()
        return found


def lay_over(source: Path, target: Path) -> Path:
    """The shipped mappings with those of `source` laid over them: its folders and files replace the shipped ones.
    CSQL rules, alerts, onboarding plans and usage sources are left out unless it has its own: they name products and columns of ours."""
    left_out = shutil.ignore_patterns("*.py", "__pycache__", "csql", "alerts", "usage", "onboarding")
    shutil.copytree(Path(shipped.__file__).parent, target, ignore=left_out)
    for part in source.iterdir():
        if part.is_dir():
            shutil.rmtree(target / part.name, ignore_errors=True)
            shutil.copytree(part, target / part.name)
        else:
            shutil.copy(part, target / part.name)
    return target


def settings(box: SandboxProcess, folder: Path, **more: Any) -> Settings:
    base: dict[str, Any] = {
        "lake": folder / "lake", "database_url": SecretStr(f"sqlite:///{folder}/ledger.db"), "usage": folder / "usage", "backoff_s": 0,
        "salesforce_url": box.url, "salesforce_client_id": box.client_id, "salesforce_client_secret": SecretStr(box.client_secret),
        "quota_share": 1, "quota_reserve": 0, "log_level": "error", "redis_url": None,
    }  # fmt: skip
    return QuickSettings(**(base | more))


def provision(box: SandboxProcess, mappings: Mappings, given: Settings) -> None:
    """The fields of writeback.yml, created by the admin's app for the integration user."""
    client_id, secret = box.app("admin")
    user = box.user("integration")["username"]
    admin = given.model_copy(update={"salesforce_client_id": client_id, "salesforce_client_secret": SecretStr(secret), "salesforce_username": user})
    for name in mappings.crm:
        crm_opener(admin)(mappings, name).provision(mappings.writeback.active(), dry_run=False, say=lambda _step: None)


@contextmanager
def open_worker(
    box: SandboxProcess, folder: Path, mapping_folder: Path | None = None, mappings: Mappings | None = None, **more: Any
) -> Iterator[Worker]:
    """A worker with its own lake and ledger in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = mappings or load(mapping_folder)
    given = settings(box, folder, **more)
    log.configure(given)
    opener = lambda found, name: connector.connect(found.crm[name], found, given, waits=QUICK)  # noqa: E731
    runtime = Runtime.open(given, open_crm=opener)
    try:
        yield Worker(box, folder, chosen, given, runtime)
    finally:
        runtime.close()


@dataclass(frozen=True)
class Firm:
    """A made-up firm's customers in an org: one contract and one contact per account, in the order of `accounts`."""

    accounts: list[str]
    contracts: list[str]
    contacts: list[str]


def make_firm(box: SandboxProcess, n: int) -> Firm:
    """Account number i has i % 101 employees."""
    starts = (TODAY - timedelta(days=200)).date().isoformat()
    accounts = box.control.seed("Account", [{"Name": f"会社{i:05d}", "NumberOfEmployees": i % 101} for i in range(n)])
    line = {"StartDate": starts, "ContractTerm": 24, "Status": "Activated"}
    contracts = box.control.seed("Contract", [{"AccountId": account, **line} for account in accounts])
    contacts = box.control.seed("Contact", [{"AccountId": account, "LastName": "佐藤"} for account in accounts])
    return Firm(accounts, contracts, contacts)
