"""A worker of the walking skeleton, in this process and in others."""

import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.worker import skeleton
from worker.runtime import Runtime
from worker.settings import Settings

# children are forked from a clean server process that has the modules loaded: quick, and no thread of this process is copied half
forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["tests.worker.skeleton"])


@pytest.fixture
def environment(tmp_path: Path, ledger_url: str) -> dict[str, str]:
    """SCORESYNC_* of a worker on this ledger; failures are tried again at once."""
    return {
        "SCORESYNC_LAKE": str(tmp_path / "lake"),
        "SCORESYNC_DATABASE_URL": ledger_url,
        "SCORESYNC_BACKOFF_S": "0",
        "SCORESYNC_OUTAGE_WAIT_S": "0",
        "SCORESYNC_LOG_LEVEL": "error",
    }


@pytest.fixture
def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.fixture
def runtime(settings: Settings) -> Iterator[Runtime]:
    opened = skeleton.open_runtime(settings)
    yield opened
    opened.close()


@pytest.fixture
def in_child(environment: dict[str, str], tmp_path: Path) -> Callable[..., tuple[BaseProcess, Path]]:
    """Start `skeleton.child(*argv)` in another process, with more of an environment; the process and the file its output goes to."""

    def started(*argv: str, **more: str) -> tuple[BaseProcess, Path]:
        out = tmp_path / f"out-{len(list(tmp_path.glob('out-*')))}"
        out.touch()
        process = forks.Process(target=skeleton.child, args=({**environment, **more}, list(argv), str(out)), daemon=True)
        process.start()
        return process, out

    return started
