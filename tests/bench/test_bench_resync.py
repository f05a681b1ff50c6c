"""`python -m bench resync --quick`: a click is answered on the record, and by how many calls. Nothing here looks at the clock."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(900)
def test_a_resync_reads_what_is_the_accounts_and_writes_once() -> None:
    """The benchmark ends with an error where the record shows no new answer. Calls: the look for requests, the org's clock, one read for each of
    the ten sources, the record's values again and one write."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bench", "resync", "--quick", "--json"]
    found = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=840)
    assert found.returncode == 0, found.stderr
    report = json.loads(found.stdout)["resync"]
    assert report["calls"] == 2 + 10 + 1 + 1
    assert all(side["wall_s"] > 0 < side["cpu_s"] for side in report["sides"].values())
