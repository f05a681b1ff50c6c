"""Starting the local CRM sandboxes: in this process, or as a child process for tests and the demo."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

CONTROL = "/__sandbox__"
START_SECONDS = 30.0
STOP_SECONDS = 8.0
_ROOT = Path(__file__).resolve().parent.parent.parent


class SandboxError(RuntimeError):
    """The sandbox did not start, or refused a control call."""


def run_sandbox(state: Path, *, crm: str = "salesforce", port: int = 0, workers: int = 1, ready_file: Path | None = None) -> None:
    """Serves a sandbox in this process until it is told to stop."""
    # By name: the kit knows of no CRM.
    server = importlib.import_module(f"connectors.{crm}.sandbox.server")
    server.serve(state, port=port, workers=workers, ready_file=ready_file)


class SandboxControl:
    """The control API of a running sandbox: seeding, clock, faults, statistics, people's edits. For tests, demo and drills only."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def call(self, name: str, body: dict[str, Any] | None = None, *, method: str = "POST", params: dict[str, str] | None = None) -> Any:
        """One control call; raises SandboxError with the sandbox's own words."""
        answer = self._session.request(method, f"{self.url}{CONTROL}/{name}", json=body, params=params, timeout=120)
        if answer.status_code != 200:
            raise SandboxError(f"sandbox control call {name} was refused with {answer.status_code}: {answer.text[:500]}")
        return answer.json()

    def info(self) -> dict[str, Any]:
        """Apps, users, private key and organisation id."""
        found: dict[str, Any] = self.call("info", method="GET")
        return found

    def seed(self, object_name: str, rows: list[dict[str, Any]]) -> list[str]:
        """Inserts rows without validation; their ids."""
        ids: list[str] = self.call("seed", {"object": object_name, "rows": rows})["ids"]
        return ids

    def add_fields(self, fields: dict[str, dict[str, Any]], *, visible_to: list[str], objects: list[dict[str, Any]] | None = None) -> None:
        """Creates custom fields (`{"Account.X__c": Metadata}`) and objects, visible to these users."""
        rows = [{"FullName": name, "Metadata": metadata} for name, metadata in fields.items()]
        self.call("fields", {"fields": rows, "objects": objects or [], "visible_to": visible_to})

    def write(self, user: str, object_name: str, rows: list[dict[str, Any]], operation: str = "update") -> list[dict[str, Any]]:
        """A person's edit, with that person's rights."""
        results: list[dict[str, Any]] = self.call("write", {"user": user, "object": object_name, "rows": rows, "operation": operation})
        return results

    def dump(self, object_name: str, **params: str) -> list[dict[str, Any]]:
        """All live rows by id (`fields=`, `stamps=true`, `deleted=true`)."""
        rows: list[dict[str, Any]] = self.call("dump", method="GET", params={"object": object_name, **params})
        return rows

    def faults(self, *rules: dict[str, Any]) -> list[int]:
        """Puts fault rules in force."""
        ids: list[int] = self.call("faults", {"rules": list(rules)})["ids"]
        return ids

    def clear_faults(self) -> None:
        """Removes every fault rule."""
        self.call("faults", method="DELETE")

    def clock(self, **body: Any) -> str:
        """`now=ISO, frozen=bool`, `advance=seconds` or `real=True`; the new time."""
        return str(self.call("clock", body)["now"])

    def stats(self) -> dict[str, Any]:
        """Calls by kind, records changed, field writes, API usage."""
        found: dict[str, Any] = self.call("stats", method="GET")
        return found

    def reset_stats(self) -> None:
        """Sets the statistics to nought."""
        self.call("stats", method="DELETE")

    def settings(self, **values: Any) -> None:
        """Changes sandbox settings (`daily_limit`, `session_seconds`, `bulk_delay_seconds` …)."""
        self.call("settings", values)


class SandboxProcess:
    """A sandbox in a child process on a free port: `with SandboxProcess() as box: box.url`.

    `state=None` keeps the org in a temporary folder that goes when the process stops. Log lines of the server end up in `<state>.log`.
    """

    def __init__(self, state: Path | None = None, *, crm: str = "salesforce", workers: int = 1, port: int = 0) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sandbox-") if state is None else None
        self.state = state if state is not None else Path(self._folder.name if self._folder else "") / "sandbox.db"
        self.crm = crm
        self.workers = workers
        self.port = port
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._info: dict[str, Any] = {}

    def start(self) -> Self:
        """Starts the server and waits until it answers."""
        self.state.parent.mkdir(parents=True, exist_ok=True)
        ready = self.state.with_suffix(".ready")
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", f"connectors.{self.crm}.sandbox", "--empty", "--state", str(self.state), "--workers", str(self.workers)]
        command += ["--port", str(self.port), "--ready-file", str(ready), "--stop-with", str(os.getpid())]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")])}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        self._wait(ready)
        self._info = self.control.info()
        return self

    @property
    def _log(self) -> Path:
        return self.state.with_suffix(".log")

    def _wait(self, ready: Path) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self._process is not None and self._process.poll() is not None:
                raise SandboxError(f"the sandbox ended at once:\n{self._log.read_text(errors='replace')[-2000:]}")
            if ready.exists():
                self.url = json.loads(ready.read_text())["url"]
                self.control = SandboxControl(self.url)
                if self._answers():
                    return
            time.sleep(0.02)
        self.stop()
        raise SandboxError(f"the sandbox did not answer within {START_SECONDS:.0f} s; see {self._log}")

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}{CONTROL}/info", timeout=5, proxies={"http": ""}).status_code == 200
        except requests.ConnectionError:
            return False

    def stop(self) -> None:
        """Stops the server."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._process = None
        if self._folder is not None:
            self._folder.cleanup()

    def app(self, run_as: str = "integration") -> tuple[str, str]:
        """Client id and secret of the app that runs as `integration` or `admin`."""
        found = self._info["apps"][run_as]
        return found["client_id"], found["client_secret"]

    def user(self, alias: str) -> dict[str, str]:
        """Id, username, password and security token of a user."""
        found: dict[str, str] = self._info["users"][alias]
        return found

    @property
    def client_id(self) -> str:
        """Of the app that runs as the integration user."""
        return self.app()[0]

    @property
    def client_secret(self) -> str:
        """Of the app that runs as the integration user."""
        return self.app()[1]

    @property
    def private_key(self) -> str:
        """PEM of the key whose public part both apps have registered (JWT bearer)."""
        return str(self._info["private_key"])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
