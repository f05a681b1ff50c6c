"""One measurement = one process of its own, so that its peak memory is its own; sides alternate, the median counts."""

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any


def own_peak_mib() -> float:
    """Highest resident memory of this process. Not ru_maxrss: a child starts with its parent's there, and the parent made the lake."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def cpu_s() -> float:
    """Seconds of CPU that this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@dataclass(frozen=True)
class Measure:
    """Median seconds of wall clock and of CPU, highest peak of resident memory in MiB, over the turns of one side."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    steps_s: dict[str, float]

    @classmethod
    def of(cls, turns: Sequence[dict[str, Any]]) -> "Measure":
        fastest = min(turns, key=lambda t: float(t["wall_s"]))
        return cls(
            median(t["wall_s"] for t in turns), median(t["cpu_s"] for t in turns), max(t["peak_mib"] for t in turns), fastest.get("steps_s", {})
        )


def run_child(module: str, *arguments: str, python: str = sys.executable) -> dict[str, Any]:
    """Runs `python -m module arguments` and reads the JSON it prints last. Its errors go to this process's."""
    found = subprocess.run([python, "-m", module, *arguments], check=False, stdout=subprocess.PIPE, text=True)
    if found.returncode:
        raise SystemExit(f"python -m {module} {' '.join(arguments)} ended with {found.returncode}")
    answer: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return answer
