"""The whole flow on a HubSpot account, by the example mapping: read, scored, written, and nothing written again. The worker knows no HubSpot word."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.hubspot import connector
from connectors.sandbox_kit import SandboxProcess
from mappings.load import DEFAULTS, load
from mappings.models import History, Mappings
from tests.connectors import hubs
from worker.items import RunKind
from worker.report import run_report
from worker.run import finish_run, poll_resync, start_run
from worker.runtime import Runtime
from worker.settings import Settings

EXAMPLE = Path(__file__).parent.parent.parent / "connectors/hubspot/crm/hubspot.yml"
COMPANIES = 120


@pytest.fixture
def box() -> Iterator[SandboxProcess]:
    with SandboxProcess(crm="hubspot") as process:
        process.control.settings(**hubs.SETTINGS)
        yield process


@pytest.fixture
def given(tmp_path: Path) -> Mappings:
    folder = tmp_path / "mappings"
    shutil.copytree(DEFAULTS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "crm/salesforce.yml").unlink()
    shutil.copy(EXAMPLE, folder / "crm/hubspot.yml")
    whole = load(folder)
    # past dates have nothing to tell here, and cost most of a first run
    score = whole.score.model_copy(update={"history": History(backfill_days=0)})
    return whole.model_copy(update={"score": score})


def open_runtime(box: SandboxProcess, folder: Path) -> Runtime:
    token = SecretStr(box.control.info()["access_token"])
    settings = Settings(
        lake=folder / "lake", database_url=SecretStr(f"sqlite:///{folder}/ledger.db"), usage=folder / "usage", backoff_s=0, read_lag_s=0,
        hubspot_url=box.url, hubspot_token=token, hubspot_window_calls=1_000_000, quota_share=1, quota_reserve=0,
    )  # fmt: skip
    opener = lambda m, name: connector.connect(m.crm[name], m, settings, waits=hubs.QUICK, searches=1_000_000)  # noqa: E731
    return Runtime.open(settings, open_crm=opener)


def seed(box: SandboxProcess) -> list[str]:
    """Customers with one line of 25 seats each, on a won deal."""
    control = box.control
    companies = control.seed(
        "companies", [{"name": f"会社{n}", "lifecyclestage": "customer", "createdate": "2025-01-06T00:00:00Z"} for n in range(COMPANIES)]
    )
    deals = control.seed("deals", [{"dealname": "契約", "dealstage": "closedwon", "pipeline": "default"}] * COMPANIES)
    line = {"name": "席", "hs_sku": "expense", "quantity": "25", "hs_mrr": "50000"}
    dates = {"hs_recurring_billing_start_date": "2026-04-01", "hs_recurring_billing_end_date": "2027-03-31"}
    lines = control.seed("line_items", [line | dates] * COMPANIES)
    for from_, to, pairs in (("deals", "companies", zip(deals, companies, strict=True)), ("line_items", "deals", zip(lines, deals, strict=True))):
        control.call("associate", {"from": from_, "to": to, "pairs": [list(p) for p in pairs]})
    return companies


def go(runtime: Runtime, given: Mappings, kind: RunKind) -> dict[str, Any]:
    run = finish_run(runtime, start_run(runtime, given, kind))
    assert run.state == "done"
    return run_report(runtime.ledger, run.id)


def test_a_hubspot_account_is_scored_and_written_once(box: SandboxProcess, given: Mappings, tmp_path: Path) -> None:
    runtime = open_runtime(box, tmp_path)
    crm = runtime.crm_now(given, "hubspot")
    crm.provision(given.writeback.active(), dry_run=False, say=lambda _: None)
    companies = seed(box)
    first = go(runtime, given, RunKind.FULL)
    assert first["writes"]["ok"] == COMPANIES
    assert first["calls"]["writes"] == 2  # 120 companies in batches of 100
    assert first["accounts"]["in_crm"] == COMPANIES
    tiers = hubs.stored(box, "companies", "csh_health_tier")
    assert all(tiers[i] for i in companies)
    second = go(runtime, given, RunKind.FULL)
    assert (second["calls"]["writes"], second["changes"]["records"]) == (0, 0)

    # a person overrules us on one company, another is merged away, a third asks for a resync
    box.control.call("write", {"object": "companies", "rows": [{"id": companies[0], "csh_health_tier": "1"}]})
    survivor = str(box.control.call("merge", {"object": "companies", "primary": companies[1], "other": companies[2]})["id"])
    box.control.call("write", {"object": "companies", "rows": [{"id": companies[3], "csh_resync_requested_at": "2030-01-01T00:00:00Z"}]})
    run_id = poll_resync(runtime, given)
    assert run_id is not None
    resynced = finish_run(runtime, run_id)
    assert resynced.state == "done"
    after = go(runtime, given, RunKind.INCREMENT)
    assert (after["writes"]["held"], after["calls"]["writes"]) == (1, 0)
    now = hubs.stored(box, "companies", "csh_health_tier")
    assert (now[companies[0]], now[survivor]) == ("1", tiers[companies[1]])
    runtime.close()
