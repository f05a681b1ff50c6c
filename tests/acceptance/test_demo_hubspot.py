"""`scoresync demo --crm hubspot`: the same made-up company in another CRM ends in the same answers, account by account."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox_kit import SandboxControl
from tests.acceptance.terminal import COMMAND
from tests.acceptance.test_demo import REPORT, kept_demo

pytestmark = pytest.mark.timeout(400)  # each fixture is a whole demo
ACCOUNTS, SEED = 16, 3
Told = tuple[dict[str, Any], SandboxControl]
#: What a CSM sees of an account in both: our key -> name in Salesforce, in HubSpot.
SEEN = {
    "score": ("CSH_Health_Score__c", "csh_health_score"),
    "tier": ("CSH_Health_Tier__c", "csh_health_tier"),
    "deployment": ("CSH_Deployment__c", "csh_deployment"),
    "adoption": ("CSH_Adoption__c", "csh_adoption"),
    "engagement": ("CSH_Engagement__c", "csh_engagement"),
    "outcome": ("CSH_Outcome__c", "csh_outcome"),
    "open": ("CSH_CSQL_Open_Count__c", "csh_csql_open_count"),
}


@pytest.fixture(scope="module")
def hubspot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with kept_demo(tmp_path_factory.mktemp("demo") / "hubspot", ACCOUNTS, SEED, "--crm", "hubspot") as found:
        yield found


@pytest.fixture(scope="module")
def salesforce(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with kept_demo(tmp_path_factory.mktemp("demo") / "salesforce", ACCOUNTS, SEED) as found:
        yield found


def seen(control: SandboxControl, object_name: str, name: str, side: int) -> dict[str, dict[str, float | None]]:
    """Account name -> what is seen there, as numbers."""
    fields = {key: names[side] for key, names in SEEN.items()}
    rows = control.dump(object_name, **{("fields", "properties")[side]: ",".join([name, *fields.values()])})
    return {row[name]: {key: None if row[field] in (None, "", "not_scored") else float(row[field]) for key, field in fields.items()} for row in rows}


def test_the_second_run_writes_nothing_and_the_report_is_of_the_same_shape(hubspot: Told) -> None:
    told, control = hubspot
    for run in (told["first"], told["second"]):
        assert set(run) == set(REPORT)
        assert run["state"] == "done"
        assert run["changes"]["records"] == sum(run["writes"].values())
    assert (told["second"]["calls"]["writes"], told["second"]["changes"]) == (0, {"records": 0, "fields": 0})
    assert told["sandbox"]["both"]["records_changed"] == told["sandbox"]["first"]["records_changed"] == told["first"]["writes"]["ok"]
    assert told["sandbox"]["crm"] == "hubspot"
    assert told["first"]["csql"]["open"] == told["first"]["csql"]["opened"] == len(control.dump("csh_csql"))


def test_both_crms_end_in_the_same_answers_account_by_account(hubspot: Told, salesforce: Told) -> None:
    there, here = seen(hubspot[1], "companies", "name", 1), seen(salesforce[1], "Account", "Name", 0)
    assert sum(row["score"] is not None for row in here.values()) > 8
    assert there == here
    assert hubspot[0]["first"]["csql"] == salesforce[0]["first"]["csql"]
    assert hubspot[0]["first"]["accounts"] == salesforce[0]["first"]["accounts"]


def test_a_crm_without_a_sandbox_is_named_with_those_there_are(tmp_path: Path) -> None:
    said = subprocess.run([COMMAND, "demo", "--crm", "dynamics"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert said.returncode == 2
    assert "hubspot, salesforce" in " ".join(said.stderr.split())
