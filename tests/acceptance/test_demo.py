"""`scoresync demo`: the whole flow on a made-up company, as the first thing a person tries; in another CRM it ends in the same answers.

Both CRMs are in one file because a demo is dear and each is made once in it.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox_kit import SandboxControl
from tests.acceptance.terminal import COMMAND, ctrl_c_heard
from tests.conftest import wait_for

REPORT = {
    "run_id": None, "as_of": None, "state": None, "seconds": None, "connections": None,
    "accounts": {"in_crm", "scored", "not_scored", "excluded", "failed"},
    "csql": {"open", "opened", "closed", "suppressed"},
    "usage": {"rows_in", "rows_done", "rows_set_aside", "tenants_unmatched", "accounts_without_usage"},
    "changes": {"records", "fields"},
    "writes": {"ok", "rejected", "unprocessed", "held", "invalid", "superseded"},
    "calls": {"reads", "rereads", "writes", "polls", "by_kind"},
}  # fmt: skip
ACCOUNTS, SEED = 40, 1
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
STEPS = ["pull", "stage", "join", "score", "decide", "diff", "write_back", "record", "notify"]


@contextmanager
def kept_demo(folder: Path, accounts: int, seed: int, *more: str) -> Iterator[Told]:
    """`scoresync demo --keep --json` in a folder of its own: what it said, and its sandbox while it runs. Ctrl-C ends it."""
    folder.mkdir()
    told, log = folder / "out.json", folder / "err.log"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("SCORESYNC_")}
    command = [COMMAND, "demo", "--accounts", str(accounts), "--seed", str(seed), "--json", "--keep", *more]
    with told.open("w") as out, log.open("w") as err, ctrl_c_heard():
        process = subprocess.Popen(command, cwd=folder, env=plain, stdout=out, stderr=err)
    try:
        found = wait_for(lambda: process.poll() is not None or _whole(told), timeout_s=170, what="the demo's report")
        assert found is not True, f"the demo ended with {process.returncode}: {log.read_text()[-2000:]}"
        yield found, SandboxControl(found["sandbox"]["url"])
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert "Stopped" in log.read_text()
    finally:
        process.kill()
        process.wait()


def _whole(told: Path) -> Any:
    """The one JSON object that standard output is; null while it is not all there. Anything else on it never parses."""
    text = told.read_text()
    return json.loads(text) if text.endswith("\n}\n") else None


def scores(control: SandboxControl) -> dict[str, Any]:
    """Account name -> score, as another client sees them."""
    return {row["Name"]: row["CSH_Health_Score__c"] for row in control.dump("Account", fields="Name,CSH_Health_Score__c")}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with kept_demo(tmp_path_factory.mktemp("demo") / "here", ACCOUNTS, SEED) as found:
        yield found


@pytest.fixture(scope="module")
def hubspot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with kept_demo(tmp_path_factory.mktemp("demo") / "hubspot", ACCOUNTS, SEED, "--crm", "hubspot") as found:
        yield found


def test_the_report_has_the_keys_that_scripts_rely_on(demo: Told) -> None:
    told, _ = demo
    assert set(told) == {"first", "second", "sandbox"}
    for run in (told["first"], told["second"]):
        assert set(run) == set(REPORT)
        for group, names in REPORT.items():
            assert names is None or set(run[group]) == names
        assert list(run["seconds"]) == STEPS
        assert run["state"] == "done"
    assert told["first"]["run_id"] != told["second"]["run_id"]
    assert (told["sandbox"]["accounts"], told["sandbox"]["seed"]) == (ACCOUNTS, SEED)


def test_the_books_balance(demo: Told) -> None:
    told, control = demo
    for run in (told["first"], told["second"]):
        accounts, usage = run["accounts"], run["usage"]
        assert accounts["in_crm"] == sum(accounts[name] for name in ("scored", "not_scored", "excluded", "failed"))
        assert usage["rows_in"] == usage["rows_done"] + usage["rows_set_aside"]
        assert run["changes"]["records"] == sum(run["writes"].values())
        assert sum(run["calls"]["by_kind"].values()) >= run["calls"]["reads"]
    first = told["first"]
    assert (first["accounts"]["in_crm"], first["accounts"]["failed"]) == (len(control.dump("Account")), 0)
    assert first["accounts"]["scored"] > 20
    assert first["usage"]["rows_set_aside"] > 0
    assert first["csql"]["open"] == first["csql"]["opened"] == len(control.dump("CSH_CSQL__c"))


def test_what_the_run_says_is_what_the_crm_counted(demo: Told) -> None:
    told, control = demo
    counted = told["sandbox"]["first"]
    assert counted["records_changed"] == told["first"]["writes"]["ok"]
    assert counted["calls"].get("collections_update", 0) + counted["calls"].get("collections_upsert", 0) == told["first"]["calls"]["writes"]
    found = scores(control)
    assert sum(score is not None for score in found.values()) == told["first"]["accounts"]["scored"]


def test_the_second_run_changes_nothing(demo: Told) -> None:
    told, _ = demo
    assert told["second"]["calls"]["writes"] == 0
    assert told["second"]["changes"] == {"records": 0, "fields": 0}
    assert set(told["second"]["writes"].values()) == {0}
    assert told["sandbox"]["both"]["records_changed"] == told["sandbox"]["first"]["records_changed"]


# --- another CRM ------------------------------------------------------------------------------------------------------------------------------
def seen(control: SandboxControl, object_name: str, name: str, side: int) -> dict[str, dict[str, float | None]]:
    """Account name -> what is seen there, as numbers."""
    fields = {key: names[side] for key, names in SEEN.items()}
    rows = control.dump(object_name, **{("fields", "properties")[side]: ",".join([name, *fields.values()])})
    return {row[name]: {key: None if row[field] in (None, "", "not_scored") else float(row[field]) for key, field in fields.items()} for row in rows}


@pytest.mark.timeout(400)  # whole demos are made for it
def test_in_hubspot_the_second_run_writes_nothing_and_the_report_is_of_the_same_shape(hubspot: Told) -> None:
    told, control = hubspot
    for run in (told["first"], told["second"]):
        assert set(run) == set(REPORT)
        assert run["state"] == "done"
        assert run["changes"]["records"] == sum(run["writes"].values())
    assert (told["second"]["calls"]["writes"], told["second"]["changes"]) == (0, {"records": 0, "fields": 0})
    assert told["sandbox"]["both"]["records_changed"] == told["sandbox"]["first"]["records_changed"] == told["first"]["writes"]["ok"]
    assert told["sandbox"]["crm"] == "hubspot"
    assert told["first"]["csql"]["open"] == told["first"]["csql"]["opened"] == len(control.dump("csh_csql"))


@pytest.mark.timeout(400)
def test_both_crms_end_in_the_same_answers_account_by_account(demo: Told, hubspot: Told) -> None:
    there, here = seen(hubspot[1], "companies", "name", 1), seen(demo[1], "Account", "Name", 0)
    assert sum(row["score"] is not None for row in here.values()) > 20
    assert there == here
    assert hubspot[0]["first"]["csql"] == demo[0]["first"]["csql"]
    assert hubspot[0]["first"]["accounts"] == demo[0]["first"]["accounts"]


def test_a_crm_without_a_sandbox_is_named_with_those_there_are(tmp_path: Path) -> None:
    said = subprocess.run([COMMAND, "demo", "--crm", "dynamics"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert said.returncode == 2
    assert "hubspot, salesforce" in " ".join(said.stderr.split())


@pytest.mark.slow
@pytest.mark.timeout(400)  # two whole demos
def test_the_same_seed_gives_the_same_scores(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        with kept_demo(tmp_path / name, 12, 7) as (_, control):
            found.append(scores(control))
    assert found[0] == found[1]
    assert len(found[0]) == 12
