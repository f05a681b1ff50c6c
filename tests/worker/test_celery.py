"""Celery's prefork workers on a real Redis: killed children, a killed worker, a flushed and an absent broker. Each run comes to its end."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

import celeryconfig
from tests.conftest import wait_for
from tests.worker import skeleton
from tests.worker.test_kill import assert_whole
from worker import tasks
from worker.announce import announce
from worker.app import app
from worker.run import RunKind, start_run, sweep
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store import runs
from worker.store.work import RunState

ROOT = Path(__file__).parents[2]


@pytest.fixture
def celery_environment(environment: dict[str, str], redis_url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    more = {
        **environment,
        "SCORESYNC_REDIS_URL": redis_url,
        "SCORESYNC_SWEEP_EVERY_S": "0.3",
        "SCORESYNC_ANNOUNCE_AGAIN_S": "0.5",
        "SCORESYNC_LOG_LEVEL": "info",
    }
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    return more


@pytest.fixture
def start_worker(celery_environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a worker of the skeleton; killed at the end with its children."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**more: str) -> subprocess.Popen[bytes]:
        started.append(celery_worker("tests.worker.skeleton_app", tmp_path, {**celery_environment, **more}, f"w{len(started)}"))
        return started[-1]

    yield start
    for process in started:
        kill_tree(process.pid)
        process.wait(timeout=10)


def celery_worker(app_module: str, folder: Path, environment: dict[str, str], name: str = "w") -> subprocess.Popen[bytes]:
    """A worker of two children, with beat inside for the sweep. Its log is `<name>.log` in the folder."""
    command = [sys.executable, "-m", "celery", "-A", app_module, "worker", "-B", "-s", str(folder / f"beat-{name}")]
    command += ["-c", "2", "-n", f"{name}@%h", "--without-gossip", "--without-mingle", "-l", "warning"]
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=log, stderr=log)


def kill_tree(pid: int) -> None:
    """kill -9 of a worker and its children, which would otherwise outlive it."""
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


@pytest.fixture
def started(celery_environment: dict[str, str]) -> Iterator[tuple[Runtime, str]]:
    """A run that is started and announced by nobody yet."""
    runtime = skeleton.open_runtime(Settings())
    yield runtime, start_run(runtime, skeleton.no_mappings(), RunKind.FULL)
    runtime.close()


def ended(runtime: Runtime, run_id: str) -> Callable[[], bool]:
    return lambda: not runs.is_live(runs.get(runtime.ledger, run_id).state)


@pytest.mark.parametrize(
    ("ledger_url", "point"),
    [
        ("sqlite", "item.claim.after_commit#2"),
        ("postgresql", "item.finish.after_commit#2"),
        ("postgresql", "message.send.before#3"),
        ("sqlite", "message.send.after#2"),
    ],
    indirect=["ledger_url"],
)
def test_a_run_ends_though_a_child_is_killed(
    started: tuple[Runtime, str], start_worker: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, point: str
) -> None:
    runtime, run_id = started
    worker = start_worker(SCORESYNC_KILL_AT=point, SCORESYNC_KILL_ONCE=str(tmp_path / "passes"))
    wait_for(ended(runtime, run_id), 60, "the run's end")
    assert_whole(runtime, run_id)
    assert (tmp_path / "passes").stat().st_size >= int(point[-1])
    assert worker.poll() is None  # only a child died


def test_a_run_ends_though_its_worker_is_killed_and_redis_is_flushed(
    started: tuple[Runtime, str], start_worker: Callable[..., subprocess.Popen[bytes]], redis_url: str, tmp_path: Path
) -> None:
    runtime, run_id = started
    # this worker's child dies in its third item; then everything is killed and every message lost
    worker = start_worker(SCORESYNC_KILL_AT="lake.finish.after_rename#2", SCORESYNC_KILL_ONCE=str(tmp_path / "passes"))
    wait_for(lambda: (tmp_path / "passes").exists() and (tmp_path / "passes").stat().st_size >= 2, 60, "the child's death")
    kill_tree(worker.pid)
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    client.close()
    start_worker()
    wait_for(ended(runtime, run_id), 60, "the run's end")
    sweep(runtime)  # beat's lake.compact does it every hour
    assert_whole(runtime, run_id)


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_without_a_broker_items_wait_in_the_ledger(environment: dict[str, str], settings: Settings) -> None:
    runtime = skeleton.open_runtime(settings)
    run_id = start_run(runtime, skeleton.no_mappings(), RunKind.FULL)

    def refused(_item_id: int, _delay_s: float) -> None:
        raise ConnectionError("refused")

    assert announce(runtime, refused) == 0
    sent: list[int] = []
    assert announce(runtime, lambda item_id, _delay_s: sent.append(item_id)) == 1
    assert announce(runtime, lambda item_id, _delay_s: sent.append(item_id)) == 0  # noted as sent
    assert len(sent) == 1
    assert runs.get(runtime.ledger, run_id).state == RunState.WAITING
    runtime.close()


def test_a_worker_without_a_broker_says_what_is_missing() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "SCORESYNC_REDIS_URL"}
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-c", "1"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "SCORESYNC_REDIS_URL is not set" in ended.stderr


def test_limits_end_before_the_broker_delivers_again() -> None:
    soft, hard = celeryconfig.task_soft_time_limit, celeryconfig.task_time_limit
    visible = celeryconfig.broker_transport_options["visibility_timeout"]
    # renewals of a lease end with the hard limit, and the last one lasts lease_s longer
    assert soft < hard < hard + Settings().lease_s < visible


def test_only_json_is_accepted_and_nothing_is_acknowledged_early() -> None:
    assert app.conf.accept_content == ("json",)
    assert (app.conf.task_acks_late, app.conf.task_reject_on_worker_lost, app.conf.worker_prefetch_multiplier) == (True, True, 1)


def test_the_schedule_names_tasks_that_exist() -> None:
    ours = {tasks.EXECUTE_ITEM, tasks.START_FULL, tasks.START_INCREMENT, tasks.POLL_RESYNC, tasks.SWEEP, tasks.COMPACT}
    assert ours <= set(app.tasks)
    assert {entry["task"] for entry in celeryconfig.beat_schedule.values()} <= ours
