"""The demo: a sandbox with a made-up company, provisioned, and the main job twice. Everything real but the CRM's address."""

import shutil
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

from pydantic import SecretStr

import mappings as shipped
from connectors.salesforce.sandbox.seed import seed_sandbox
from connectors.sandbox_kit import SandboxProcess
from mappings.load import load
from mappings.models import Mappings
from worker import log
from worker import run as flow
from worker.context import Progress
from worker.items import Run, RunKind, RunState
from worker.report import run_report
from worker.runtime import Runtime, crm_opener
from worker.settings import Settings

#: Where --keep leaves everything, so that `scoresync explain` can be tried on it.
KEPT = Path("var/demo")


@dataclass
class DemoResult:
    first: dict[str, Any]
    second: dict[str, Any]
    sandbox: dict[str, Any]
    ok: bool
    settings: Settings
    mappings: Mappings
    first_run: Run
    seconds: float = 0.0
    environment: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {"first": self.first, "second": self.second, "sandbox": self.sandbox}


class Demo:
    """`with Demo(500, 1) as demo: result = demo.run()`. Leaves nothing behind unless `keep`."""

    def __init__(self, accounts: int, seed: int, *, keep: bool = False) -> None:
        self.accounts, self.seed, self.keep = accounts, seed, keep
        self._temporary = None if keep else tempfile.TemporaryDirectory(prefix="scoresync-demo-", ignore_cleanup_errors=True)
        self.folder = KEPT.absolute() if self._temporary is None else Path(self._temporary.name)
        self.box = SandboxProcess(self.folder / "salesforce.db")

    def __enter__(self) -> Self:
        if self.keep and self.folder.exists():
            shutil.rmtree(self.folder)  # the demo's own folder: a run must start from nothing
        self.folder.mkdir(parents=True, exist_ok=True)
        self.box.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.keep and kind is None:
            return  # `wait` stops it
        self.close()

    def close(self) -> None:
        self.box.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    def wait(self) -> None:
        """Until Ctrl-C."""
        try:
            while True:
                time.sleep(1)
        finally:
            self.close()

    def run(self, tell: Progress = lambda _step, _done, _total: None) -> DemoResult:
        began = time.monotonic()
        settings, customer = self.settings(), load(Path(shipped.__file__).parent)
        log.configure(settings)
        tell("pull", 0, 0)
        seed_sandbox(self.box.url, self.folder, self.accounts, self.seed, datetime.now(ZoneInfo(customer.calendar.timezone)).date())
        self._provision(customer)
        self.box.control.reset_stats()
        runtime = Runtime.open(settings, tell=tell)
        try:
            first = flow.finish_run(runtime, flow.start_run(runtime, customer, RunKind.FULL))
            first_report, seen = run_report(runtime.ledger, first.id), self.box.control.stats()
            second = flow.finish_run(runtime, flow.start_run(runtime, customer, RunKind.FULL))
            second_report = run_report(runtime.ledger, second.id)
        finally:
            runtime.close()
        ok = first.state == second.state == RunState.DONE and not second_report["calls"]["writes"]
        box = {"url": self.box.url, "state": str(self.box.state), "accounts": self.accounts, "seed": self.seed, "first": seen}
        box["both"] = self.box.control.stats()
        return DemoResult(first_report, second_report, box, ok, settings, customer, first, time.monotonic() - began, self.environment())

    def settings(self) -> Settings:
        return Settings(
            lake=self.folder / "lake",
            database_url=SecretStr(f"sqlite:///{self.folder / 'ledger.db'}"),
            usage=self.folder / "usage",
            mappings=Path(shipped.__file__).parent,
            salesforce_url=self.box.url,
            salesforce_client_id=self.box.client_id,
            salesforce_client_secret=SecretStr(self.box.client_secret),
            log_level="error",
            redis_url=None,
        )

    def environment(self) -> dict[str, str]:
        """What to export so that every other command works on the kept demo."""
        return {
            "SCORESYNC_LAKE": str(self.folder / "lake"),
            "SCORESYNC_DATABASE_URL": f"sqlite:///{self.folder / 'ledger.db'}",
            "SCORESYNC_USAGE": str(self.folder / "usage"),
            "SCORESYNC_SALESFORCE_URL": self.box.url,
            "SCORESYNC_SALESFORCE_CLIENT_ID": self.box.client_id,
            "SCORESYNC_SALESFORCE_CLIENT_SECRET": self.box.client_secret,
        }

    def _provision(self, customer: Mappings) -> None:
        """As an admin would: the admin's app creates the fields and lets the integration user write them."""
        client_id, secret = self.box.app("admin")
        user = self.box.user("integration")["username"]
        admin = self.settings().model_copy(
            update={"salesforce_client_id": client_id, "salesforce_client_secret": SecretStr(secret), "salesforce_username": user}
        )
        for name in customer.crm:
            crm_opener(admin)(customer, name).provision(customer.writeback.active(), dry_run=False, say=lambda _step: None)
