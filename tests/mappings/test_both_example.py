"""Two connections in one folder: what may come from where, and that their accounts can be told apart. Each fault names the file and the remedy."""

import re
import shutil
from pathlib import Path

import pytest

from mappings.faults import Fault
from mappings.load import DEFAULTS, MappingFaults, load_checked

EXAMPLE = Path(__file__).parent.parent.parent / "docs/examples/both/crm/hubspot.yml"
SALESFORCE, HUBSPOT = "crm/salesforce.yml", "crm/hubspot.yml"
AUTHORITATIVE = "authoritative: [account, contract, contact, ticket, survey, opportunity, outcome, csql, user]\nadds: [activity]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "mappings"
    shutil.copytree(DEFAULTS, copy, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copy(EXAMPLE, copy / HUBSPOT)
    patch(copy, SALESFORCE, "authoritative: []", AUTHORITATIVE)
    return copy


def patch(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text("utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), "utf-8")


def faults(folder: Path) -> list[Fault]:
    with pytest.raises(MappingFaults) as told:
        load_checked(folder)
    return told.value.faults


def test_cs77_the_example_loads_beside_the_shipped_salesforce_file(folder: Path) -> None:
    mappings, warnings = load_checked(folder)
    assert warnings == []
    assert {name: [e for e in crm.entities if crm.supplies(e)] for name, crm in mappings.crm.items()} == {
        "hubspot": ["activity"],
        "salesforce": ["account", "contract", "activity", "contact", "ticket", "survey", "opportunity", "outcome", "csql", "user"],
    }
    assert AUTHORITATIVE.splitlines()[0] in EXAMPLE.read_text("utf-8")  # what its comment tells to write


@pytest.mark.parametrize(
    ("file", "old", "new", "where", "words"),
    [
        (SALESFORCE, AUTHORITATIVE, "authoritative: []", (SALESFORCE, "authoritative"), "`activity` is already authoritative"),
        (SALESFORCE, "[account, contract,", "[contract,", (HUBSPOT, "authoritative"), "`account` is mapped in .* and none of them is authoritative"),
        (HUBSPOT, "authoritative: [activity]", "authoritative: [account]", (SALESFORCE, "authoritative"), "`account` is already authoritative"),
        (SALESFORCE, "adds: [activity]", "adds: [account]", (SALESFORCE, "adds.0"), "comes from one connection alone"),
        (SALESFORCE, "adds: [activity]", "adds: [contract]", (SALESFORCE, "adds.0"), "authoritative for `contract` already"),
        (SALESFORCE, "adds: [activity]", "adds: [billing]", (SALESFORCE, "adds.0"), "not mapped here"),
        (HUBSPOT, "        domain: domain\n        cross_id: salesforceaccountid", "        region: state", (HUBSPOT, "match"), "no key that"),
        (HUBSPOT, "  account:\n    - object: companies", "  user:\n    - object: companies", (HUBSPOT, "entities"), "maps no `account`"),
    ],
)
def test_cs77_what_two_connections_cannot_be_is_a_fault(folder: Path, file: str, old: str, new: str, where: tuple[str, str], words: str) -> None:
    patch(folder, file, old, new)
    told = [fault for fault in faults(folder) if (fault.file, fault.key) == where]
    assert told
    assert re.search(words, told[0].text)
    assert told[0].remedy


def test_cs77_csqls_stay_with_the_accounts(folder: Path) -> None:
    patch(folder, SALESFORCE, "outcome, csql, user]", "outcome, user]")
    csql = "  csql:\n    - object: csh_csql\n      columns: {account_id: associations.companies, state: csh_state, external_key: csh_external_key}\n"
    with (folder / HUBSPOT).open("a", encoding="utf-8") as file:
        file.write(csql)
    patch(folder, HUBSPOT, "authoritative: [activity]", "authoritative: [activity, csql]")
    told = faults(folder)
    assert [(f.file, f.key) for f in told] == [(HUBSPOT, "authoritative")]
    assert "CSQL records hang on accounts" in told[0].text


def test_two_connections_of_one_vendor(folder: Path) -> None:
    (folder / HUBSPOT).unlink()
    text = (folder / SALESFORCE).read_text("utf-8").replace("connection: salesforce", "connection: second")
    text = text[: text.index("  contract:")].replace(AUTHORITATIVE, "authoritative: [user]") + text[text.index("  user:") :]
    (folder / "crm/second.yml").write_text(text, "utf-8")
    patch(folder, SALESFORCE, "csql, user]", "csql, activity]")
    patch(folder, SALESFORCE, "adds: [activity]\n", "")
    assert [(f.file, f.key) for f in faults(folder)] == [("crm/second.yml", "vendor")]
