"""The demo: a sandbox with a made-up company, provisioned, and the main job twice. Everything real but the CRM's address."""

import shutil
import tempfile
import time
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

import mappings as shipped
from connectors import registry
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

    def page(self, account_id: str) -> str:
        """Address of an account's page in the sandbox; empty where it has none."""
        found: str = registry.sandbox_demo(self.sandbox["crm"]).page(self.sandbox["url"], account_id)
        return found

    def as_dict(self) -> dict[str, Any]:
        return {"first": self.first, "second": self.second, "sandbox": self.sandbox}


class Demo:
    """`with Demo(500, 1, crm="salesforce") as demo: result = demo.run()`. Leaves nothing behind unless `keep`."""

    def __init__(self, accounts: int, seed: int, *, crm: str, keep: bool = False) -> None:
        self.accounts, self.seed, self.keep, self.crm = accounts, seed, keep, crm
        self.sandbox = registry.sandbox_demo(crm)
        self._temporary = None if keep else tempfile.TemporaryDirectory(prefix="scoresync-demo-", ignore_cleanup_errors=True)
        self.folder = KEPT.absolute() if self._temporary is None else Path(self._temporary.name)
        self.box = SandboxProcess(self.folder / f"{crm}.db", crm=crm)

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
        tell("pull", 0, 0)
        settings, customer, mapping_folder = self.prepare()
        runtime = Runtime.open(settings, tell=tell)
        try:
            first = flow.finish_run(runtime, flow.start_run(runtime, customer, RunKind.FULL))
            first_report, seen = run_report(runtime.ledger, first.id), self.box.control.stats()
            second = flow.finish_run(runtime, flow.start_run(runtime, customer, RunKind.FULL))
            second_report = run_report(runtime.ledger, second.id)
        finally:
            runtime.close()
        ok = first.state == second.state == RunState.DONE and not second_report["calls"]["writes"]
        box = {"crm": self.crm, "url": self.box.url, "state": str(self.box.state), "accounts": self.accounts, "seed": self.seed, "first": seen}
        box["both"] = self.box.control.stats()
        return DemoResult(first_report, second_report, box, ok, settings, customer, first, time.monotonic() - began, self.environment(mapping_folder))

    def _seed(self, today: date) -> None:
        self.sandbox.seed(self.box, self.folder, self.accounts, self.seed, today)

    def _reached(self) -> dict[str, str]:
        """Settings by which a worker reaches the sandbox."""
        found: dict[str, str] = self.sandbox.settings(self.box)
        return found

    def _as_admin(self) -> dict[str, str]:
        found: dict[str, str] = self.sandbox.admin_settings(self.box)
        return found

    def _has_own_mappings(self) -> bool:
        return registry.mapping_file(self.crm) is not None

    def prepare(self, today: date | None = None, **writeback: Any) -> tuple[Settings, Mappings, Path]:
        """The company as of a day (null = today in its time zone) in the sandbox, exports on disk, fields provisioned; the mappings and their folder.
        `writeback`: what to set otherwise in writeback.yml."""
        mapping_folder = self._mappings()
        settings, customer = self.settings(mapping_folder), load(mapping_folder)
        customer = customer.model_copy(update={"writeback": customer.writeback.model_copy(update=writeback)})
        log.configure(settings)
        on = today or datetime.now(ZoneInfo(customer.calendar.timezone)).date()
        self._seed(on)
        self._provision(customer, mapping_folder)
        self.box.control.reset_stats()
        return settings, customer, mapping_folder

    def _mappings(self) -> Path:
        """The shipped mappings; for a CRM whose file is not among them a copy with that file in the place of the one that is."""
        shipped_folder, theirs = Path(shipped.__file__).parent, registry.mapping_file(self.crm)
        if theirs is None:
            return shipped_folder
        folder = self._copied()
        shutil.copy(theirs, folder / "crm")
        return folder

    def _copied(self) -> Path:
        """A copy of the shipped mappings whose crm/ is empty."""
        folder = self.folder / "mappings"
        shutil.copytree(Path(shipped.__file__).parent, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__", "crm"))
        (folder / "crm").mkdir()
        return folder

    def settings(self, mapping_folder: Path, **more: Any) -> Settings:
        given = {
            "lake": self.folder / "lake",
            "database_url": f"sqlite:///{self.folder / 'ledger.db'}",
            "usage": self.folder / "usage",
            "mappings": mapping_folder,
            "log_level": "error",
            "redis_url": None,
        }
        return Settings.model_validate({**given, **self._reached(), **more})

    def environment(self, mapping_folder: Path) -> dict[str, str]:
        """What to export so that every other command works on the kept demo."""
        found = {
            "lake": str(self.folder / "lake"),
            "database_url": f"sqlite:///{self.folder / 'ledger.db'}",
            "usage": str(self.folder / "usage"),
            **({"mappings": str(mapping_folder)} if self._has_own_mappings() else {}),
            **self._reached(),
        }
        return {f"SCORESYNC_{name.upper()}": value for name, value in found.items()}

    def _provision(self, customer: Mappings, mapping_folder: Path) -> None:
        """As an admin would: whoever may, creates the fields and lets the integration user write them."""
        admin = self.settings(mapping_folder, **self._as_admin())
        for name in customer.crm:
            crm_opener(admin)(customer, name).provision(customer.writeback.active(), dry_run=False, say=lambda _step: None)
