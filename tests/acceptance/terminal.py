"""The `scoresync` command as somebody at a terminal has it: a process of its own, its exit code and what it said.

Commands are forked from a server that has the modules loaded, which saves each of them a second of imports. What every command says is looked through
for secrets, and its log for customers' names.
"""

import json
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectors.sandbox_kit import SandboxProcess

forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["worker.cli.main", "worker.steps.write_back"])

#: The command itself, for tests that need the real entry point.
COMMAND = Path(sys.executable).with_name("scoresync")
SECONDS = 100


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON text and nothing else."""
        return json.loads(self.out)


@dataclass
class Terminal:
    """Commands in `folder` with the settings of `environment`. `names`: what must never be in a log."""

    folder: Path
    environment: dict[str, str]
    names: Sequence[str] = ()
    secrets: list[str] = field(default_factory=list)

    def say(self, *words: str, **more: str) -> Said:
        """`scoresync WORDS`; `more` are settings for this command only, by their names in lower case."""
        settings = self.environment | {f"SCORESYNC_{name.upper()}": value for name, value in more.items()}
        with tempfile.TemporaryDirectory() as kept:
            out, err = Path(kept, "out"), Path(kept, "err")
            process = forks.Process(target=_live, args=(list(words), settings, str(self.folder), str(out), str(err)), daemon=True)
            process.start()
            process.join(SECONDS)
            assert process.exitcode is not None, f"scoresync {' '.join(words)} did not end within {SECONDS} s"
            said = Said(process.exitcode, out.read_text(), err.read_text())
        self.look_through(said, [value for name, value in settings.items() if name.endswith("_SECRET")])
        return said

    def look_through(self, said: Said, secrets: Sequence[str] = ()) -> None:
        for secret in [*self.secrets, *secrets]:
            assert secret not in said.out + said.err
        for name in self.names:
            assert name not in said.err


def _live(words: list[str], settings: Mapping[str, str], folder: str, out: str, err: str) -> None:
    """The command's whole life, in a process of its own."""
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    for name in [name for name in os.environ if name.startswith("SCORESYNC_")]:
        del os.environ[name]
    os.environ.update(settings)
    os.chdir(folder)
    sys.argv = ["scoresync", *words]
    from worker.cli.main import main

    main()


@contextmanager
def ctrl_c_heard() -> Iterator[None]:
    """Commands started in the block hear Ctrl-C, also where the tests run in the background of a shell, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def environment(box: SandboxProcess, folder: Path, mappings: Path, run_as: str = "integration") -> dict[str, str]:
    """Settings of a worker with its lake and ledger in `folder`; it logs all it can."""
    client_id, secret = box.app(run_as)
    return {
        "SCORESYNC_LAKE": str(folder / "lake"),
        "SCORESYNC_DATABASE_URL": f"sqlite:///{folder / 'ledger.db'}",
        "SCORESYNC_USAGE": str(folder / "usage"),
        "SCORESYNC_MAPPINGS": str(mappings),
        "SCORESYNC_SALESFORCE_URL": box.url,
        "SCORESYNC_SALESFORCE_CLIENT_ID": client_id,
        "SCORESYNC_SALESFORCE_CLIENT_SECRET": secret,
        "SCORESYNC_QUOTA_SHARE": "1",
        "SCORESYNC_QUOTA_RESERVE": "0",
        "SCORESYNC_READ_LAG_S": "0",
        "SCORESYNC_BACKOFF_S": "0",
        "SCORESYNC_LANDING_S": "4",
        "SCORESYNC_THREADS": "1",
        "SCORESYNC_LOG_LEVEL": "debug",
    }
