"""`python -m bench --quick`: both sides of every benchmark give the same rows. Nothing here looks at the clock."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def report() -> Any:
    """The benchmark ends with an error, and this with it, where the two sides of a part differ in any compared value."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bench", "--quick", "--json"]
    found = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_core_equals_the_baseline_row_by_row(report: Any) -> None:
    core = report["core"]
    rows = core["rows_compared"]
    assert set(rows) == {"decisions", "parts", "csql_desired", "signals", "changes"}
    assert 380 < rows["decisions"] <= core["accounts"]  # those with an open contract line
    assert rows["parts"] > 7 * rows["decisions"]  # the smallest profile weighs seven indicators
    assert rows["csql_desired"] > 0 < rows["signals"]
    assert rows["changes"] > 0


def test_the_increment_computes_the_changed_accounts_only(report: Any) -> None:
    assert report["core"]["accounts_changed"] == 4  # 1 % of 400


def test_bulk_and_ingest_read_the_same_rows(report: Any) -> None:
    assert report["bulk"]["accounts"] == 1_000
    assert report["ingest"]["rows"] == 20_000
    assert {"csv", "parquet"} < set(report["ingest"])


def test_hubspot_writes_and_reads_the_same_companies(report: Any) -> None:
    """The benchmark itself compares every value of every side. No rival is installed here, and the report says so."""
    found = report["hubspot"]
    assert (found["companies"], found["pulled"]) == (230, 620)
    assert found["write"]["ours"]["calls"] == 1 + 3 + 3  # the properties once, then each hundred read again and written
    assert found["write"]["client"]["calls"] == 3
    assert ("drt-core" in found["write"]) == (found["rival_missing"] == "")
    assert found["pull"]["ours"]["calls"] == 7 + 1 + 1  # pages of 100; the bin; the properties
    assert found["pull"]["client"]["calls"] == 7


def test_every_part_tells_time_and_peak_memory_of_both_sides(report: Any) -> None:
    for part in ("core", "bulk"):
        for side in ("baseline", "ours"):
            found = report[part]["sides"][side]
            assert found["wall_s"] > 0 < found["peak_mib"], (part, side)
