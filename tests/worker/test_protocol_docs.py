"""docs/protocol.md names every kill point there is and no other."""

import importlib
import pkgutil
import re
from pathlib import Path

import worker
from worker.killpoint import POINTS

DOCS = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")


def test_every_kill_point_is_in_the_protocol() -> None:
    for module in pkgutil.walk_packages(worker.__path__, "worker."):
        if "migrations" not in module.name:
            importlib.import_module(module.name)
    said = dict(re.findall(r"^\| `([a-z_.]+)` \| (.+) \|$", DOCS, re.MULTILINE))
    assert set(said) == set(POINTS)
