"""Four workers under HubSpot's 10-second window, which all of them share through one Redis. No test here asks the clock how fast it was."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from connectors.pace import Pace
from connectors.sandbox_kit import SandboxProcess
from tests.connectors import hubs

ROOT = Path(__file__).parents[2]
WORKERS, LIMIT = 4, 100


@pytest.fixture
def box() -> Iterator[SandboxProcess]:
    with SandboxProcess(crm="hubspot") as process:
        hubs.provision(process)
        process.control.settings(limits=True, burst_limit=LIMIT)
        yield process


def write(box: SandboxProcess, redis_url: str, companies: list[str], per_call: int) -> list[dict[str, Any]]:
    """What each worker says after it wrote its share of the companies; all at the same time."""
    more = {"SCORESYNC_HUBSPOT_URL": box.url, "SCORESYNC_HUBSPOT_TOKEN": box.control.info()["access_token"], "SCORESYNC_REDIS_URL": redis_url}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCORESYNC_")} | more
    command = [sys.executable, "-m", "tests.connectors.rate_worker"]
    started = [subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(WORKERS)]
    for n, process in enumerate(started):
        assert process.stdin is not None
        process.stdin.write(json.dumps({"ids": companies[n::WORKERS], "per_call": per_call}))
        process.stdin.close()
    told = []
    for process in started:
        with process:
            assert process.stdout is not None
            told.append(process.stdout.read())
        assert process.returncode == 0
    return [json.loads(text) for text in told]


@pytest.mark.timeout(300)
def test_four_workers_write_more_than_a_window_holds_and_never_meet_the_limit(box: SandboxProcess, redis_url: str) -> None:
    """112 calls of 10 companies each: more than the 100 of a window, however slow or fast this machine is."""
    companies = hubs.make_companies(box, 1120)
    box.control.reset_stats()
    told = write(box, redis_url, companies, per_call=10)
    seen = box.control.stats()
    assert seen["statuses"].keys() <= {"200"}, seen
    assert seen["calls"]["batch_update"] == 112
    assert [one["states"] for one in told] == [{"ok": 280}] * WORKERS
    assert set(hubs.stored(box, "companies", "csh_score").values()) == {"58"}


@pytest.mark.timeout(300)
def test_no_record_is_lost_while_another_application_eats_half_the_window(box: SandboxProcess, redis_url: str) -> None:
    """50 of 100 calls are left to us, and nobody tells the limiter: it goes on until HubSpot refuses, and the refused calls are made again."""
    box.control.settings(other_burst=LIMIT // 2)
    companies = hubs.make_companies(box, 560)
    box.control.reset_stats()
    told = write(box, redis_url, companies, per_call=10)
    seen = box.control.stats()
    assert seen["statuses"].keys() <= {"200", "429"}, seen
    assert [one["states"] for one in told] == [{"ok": 140}] * WORKERS
    assert set(hubs.stored(box, "companies", "csh_score").values()) == {"58"}


def test_nine_tenths_of_the_limit_are_let_through_to_four_workers(redis_url: str) -> None:
    """1,000 calls are booked without sleeping; the wait that the last one is told is when the last would go. At the limit itself that is 100 s."""
    waits: list[float] = []
    client = redis.Redis.from_url(redis_url)
    paces = [Pace("scoresync:test", LIMIT, 10, client, sleep=waits.append) for _ in range(WORKERS)]
    began = client.time()
    for _ in range(250):
        for pace in paces:
            pace.wait()
    ended = client.time()
    client.close()
    booking_s = (ended[0] - began[0]) + (ended[1] - began[1]) / 1e6  # the last wait counts from the last booking, at most this long after the first
    assert 1000 / (max(waits) + booking_s) * 10 >= 0.9 * LIMIT
