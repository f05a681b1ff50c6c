"""priority.yml, lists.yml and routing.yml: every key explained, every fault told."""

import shutil
from pathlib import Path

import pytest
from pydantic import BaseModel

from mappings import models_routing
from mappings.docs_keys import KEYS
from mappings.docs_keys_routing import ROUTING_KEYS
from mappings.load import DEFAULTS, MappingFaults, load, load_checked

MODELS = {
    name: kind
    for name, kind in vars(models_routing).items()
    if isinstance(kind, type) and issubclass(kind, BaseModel) and name not in ("Model", "Text")
}


def test_every_key_is_explained() -> None:
    explained = KEYS | ROUTING_KEYS
    assert {name: set(explained[name]) for name in MODELS} == {name: set(model.model_fields) for name, model in MODELS.items()}


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("priority.yml", "bands: [60, 40, 25]", "bands: [40, 60, 25]", "bands: edges [40, 60, 25] must fall"),
        ("priority.yml", "alerts_open >= 2", "alert_open >= 2", "terms.3.share: unknown column `alert_open`"),
        ("priority.yml", "name: falling", "name: health", "terms.2.name: the name `health` is used twice"),
        ("lists.yml", "health_tier >= 4", "health_tire >= 4", "advocacy: unknown column `health_tire`"),
        ("routing.yml", "team: onboarding}", "team: onbording}", "versions.0.first.0.team: there is no team `onbording`"),
        ("routing.yml", "- {name: steady}", "- {name: steady, when: health_tier > 2}", "versions.0.levels.1: the last one must have no `when`"),
        ("routing.yml", "  at_risk: {first", "  at_rsk: {first", "versions.0.matrix.at_rsk: there is no level `at_rsk`"),
        ("routing.yml", "load:", "load:\n  users: {u1: chief}", "load.users.u1: there is no level `chief`"),
    ],
)
def test_a_fault_is_told_with_its_key(tmp_path: Path, file: str, old: str, new: str, told: str) -> None:
    folder = shutil.copytree(DEFAULTS, tmp_path / "m", ignore=lambda _, names: [n for n in names if n.endswith(".py") or n == "__pycache__"])
    text = (folder / file).read_text("utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(MappingFaults) as caught:
        load_checked(folder)
    assert any(told in f"{f.key}: {f.text}" for f in caught.value.faults), [f"{f.key}: {f.text}" for f in caught.value.faults]


def test_the_files_may_be_absent(tmp_path: Path) -> None:
    folder = shutil.copytree(DEFAULTS, tmp_path / "m", ignore=lambda _, names: [n for n in names if n.endswith(".py") or n == "__pycache__"])
    for name in ("priority.yml", "routing.yml", "lists.yml"):
        (folder / name).unlink()
    found = load(folder)
    assert (found.priority.terms, found.routing.versions, found.lists.advocacy) == ([], [], None)
