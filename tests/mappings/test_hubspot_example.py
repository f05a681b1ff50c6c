"""The HubSpot example is a mapping like any other: it loads in the place of the shipped CRM file, and its faults are told."""

import shutil
from pathlib import Path

import pytest

from mappings.load import DEFAULTS, MappingFaults, load_checked

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "connectors/hubspot/crm/hubspot.yml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "mappings"
    shutil.copytree(DEFAULTS, copy, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (copy / "crm/salesforce.yml").unlink()
    shutil.copy(EXAMPLE, copy / "crm/hubspot.yml")
    return copy


def test_it_loads_with_the_rest_of_the_defaults(folder: Path) -> None:
    mappings, warnings = load_checked(folder)
    assert warnings == []
    assert list(mappings.crm) == ["hubspot"]
    assert mappings.crm["hubspot"].vendor == "hubspot"


def test_every_field_has_a_hubspot_name_that_hubspot_takes(folder: Path) -> None:
    fields = load_checked(folder)[0].writeback.fields
    names = [(f.object, f.names["hubspot"]) for f in fields if f.owner != "crm"]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() and (name.startswith("csh_") or name == "associations.companies") for _, name in names)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("account_id: associations.deals.associations.companies", "account_id: associations.Deals.x.y", "no path"),
        ("- object: tickets\n", "- object: tickets\n      filter: hs_pipeline = 0\n", "cannot filter"),
    ],
)
def test_what_hubspot_cannot_do_is_a_fault(folder: Path, old: str, new: str, words: str) -> None:
    path = folder / "crm/hubspot.yml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(MappingFaults, match=words):
        load_checked(folder)
