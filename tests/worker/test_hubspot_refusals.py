"""Everything HubSpot may refuse a run with, given by the sandbox, and what a person then reads in the run's report.

A refusal that passes is outlasted and costs nothing but calls. One that lasts pauses the run with its reason, and with an instant where it goes on by
itself; nothing is lost: the same run ends well once HubSpot is well.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from connectors.entities import Entity
from connectors.hubspot import connector
from connectors.sandbox_kit import SandboxProcess
from mappings.models import Writeback
from tests.connectors import hubs
from tests.factories import make_mappings
from tests.worker import flows
from worker.items import RunKind
from worker.report import run_report
from worker.run import finish_run, resume, start_run
from worker.runtime import Runtime
from worker.settings import Settings
from worker.steps import pull, stage

GIVEN = make_mappings(crm={"hubspot": hubs.MAPPING}, usage={}, writeback=Writeback(fields=hubs.ALL_FIELDS))


@pytest.fixture(scope="module")
def box() -> Iterator[SandboxProcess]:
    with SandboxProcess(crm="hubspot") as process:
        hubs.provision(process)
        yield process


@pytest.fixture
def opened(box: SandboxProcess, tmp_path: Path) -> Iterator[Callable[..., Runtime]]:
    """A worker that runs these steps; what it is refused with is taken away in the end."""
    runtimes: list[Runtime] = []

    def open_(steps: dict[str, Any], **more: Any) -> Runtime:
        base: dict[str, Any] = {"hubspot_url": box.url, "hubspot_token": SecretStr(box.control.info()["access_token"])}
        settings = Settings(
            lake=tmp_path / "lake", database_url=SecretStr(f"sqlite:///{tmp_path}/ledger.db"), backoff_s=0, read_lag_s=0, landing_s=0, quota_share=1,
            quota_reserve=0, hubspot_window_calls=1_000_000, **(base | more),
        )  # fmt: skip
        opener = lambda m, name: connector.connect(m.crm[name], m, settings, waits=hubs.QUICK, searches=1_000_000)  # noqa: E731
        runtimes.append(Runtime.open(settings, steps=steps, open_crm=opener))
        return runtimes[-1]

    yield open_
    box.control.clear_faults()
    for runtime in runtimes:
        runtime.close()


def report(runtime: Runtime, run_id: str) -> dict[str, Any]:
    finish_run(runtime, run_id)
    return run_report(runtime.ledger, run_id)


LATER, BY_ITSELF = "It is tried again by itself.", "The run goes on by itself"
#: fault of the sandbox -> the state the run is left in while it lasts, and what its report says
LASTING = {
    "burst": ("failed", f"HubSpot's limit of calls in 10 seconds is used up. {LATER} If it lasts, give scoresync a service key of its own"),
    "secondly": ("failed", f"HubSpot's limit of searches per second is used up, by all apps of the account together. {LATER}"),
    "daily": (
        "paused",
        f"HubSpot's daily limit of API calls is used up, by all apps of the account together. {BY_ITSELF} after midnight",
    ),
    "locked": ("failed", "HubSpot has locked the records: too many writes to them at once."),
    "migration": ("paused", "HubSpot is moving this account to another data centre."),
    "internal": ("failed", "HubSpot failed inside (500)."),
    "html_502": ("paused", f"HubSpot does not answer for now (502). {LATER} See status.hubspot.com."),
    "html_503": ("paused", "HubSpot does not answer for now (503)."),
    "html_504": ("paused", "HubSpot does not answer for now (504)."),
    "html_524": ("paused", "HubSpot does not answer for now (524)."),
    "expired": ("paused", "HubSpot does not accept the token: it has expired or was revoked. A HubSpot admin must look whether the service key"),
    "scopes": ("paused", "The token lacks a scope"),
    "cut": ("failed", f"hubspot: the answer broke off or cannot be read (JSONDecodeError). {LATER}"),
}


def rule(fault: str, **more: Any) -> dict[str, Any]:
    return {"kind": "cut"} | more if fault == "cut" else {"kind": "http", "body": fault} | more


@pytest.mark.parametrize("fault", LASTING)
def test_a_refusal_that_lasts_is_told_and_the_run_ends_well_afterwards(box: SandboxProcess, opened: Callable[..., Runtime], fault: str) -> None:
    (only,) = hubs.make_companies(box, 1)
    runtime = opened(flows.write_steps([{"record_id": only, "field": "score", "our_value": "58"}]))
    run_id = start_run(runtime, GIVEN, RunKind.INCREMENT)
    # a write whose answer is cut off is found done when it is looked at again; a read is not
    box.control.faults(rule(fault, path="batch/read" if fault == "cut" else "batch/update", count=None))
    told = report(runtime, run_id)
    state, said = LASTING[fault]
    assert told["state"] == state
    assert said in told["reason"]
    box.control.clear_faults()
    if fault == "daily":  # the worker believes HubSpot and asks nothing before midnight: another one goes on
        runtime = opened(flows.write_steps([{"record_id": only, "field": "score", "our_value": "58"}]))
    resume(runtime, run_id, "somebody")
    assert report(runtime, run_id)["state"] == "done"
    assert hubs.stored(box, "companies", "csh_score")[only] == "58"


@pytest.mark.parametrize("fault", [f for f in LASTING if f not in ("daily", "migration", "expired", "scopes")])
def test_a_refusal_that_passes_costs_calls_and_nothing_else(box: SandboxProcess, opened: Callable[..., Runtime], fault: str) -> None:
    (only,) = hubs.make_companies(box, 1)
    runtime = opened(flows.write_steps([{"record_id": only, "field": "score", "our_value": "58"}]))
    box.control.faults(rule(fault, path="batch/update", count=2))
    told = report(runtime, start_run(runtime, GIVEN, RunKind.INCREMENT))
    assert (told["state"], "reason" in told) == ("done", False)
    assert hubs.stored(box, "companies", "csh_score")[only] == "58"


# --- the limit of searches is one of its own ---------------------------------------------------------------------------------------------------
def test_an_increment_outlasts_the_limit_of_searches(box: SandboxProcess, opened: Callable[..., Runtime]) -> None:
    """The sandbox's own limiter refuses with SECONDLY while other applications use it up; the increment reads on when there is room again."""
    runtime = opened({"pull": pull, "stage": stage})
    assert report(runtime, start_run(runtime, GIVEN, RunKind.FULL))["state"] == "done"
    (late,) = hubs.make_companies(box, 1)
    box.control.settings(limits=True, burst_limit=1_000_000, other_search=5)
    try:
        run_id = start_run(runtime, GIVEN, RunKind.INCREMENT)
        told = report(runtime, run_id)
    finally:
        box.control.settings(**hubs.SETTINGS, other_search=0)
    assert told["state"] == "failed"
    assert LASTING["secondly"][1] in told["reason"]
    box.control.faults(rule("secondly", path="search", count=2))
    resume(runtime, run_id, "somebody")
    assert report(runtime, run_id)["state"] == "done"
    assert late in flows.current(runtime, Entity.ACCOUNT)


# --- a part of a batch, and tokens -----------------------------------------------------------------------------------------------------------------
def test_a_207_with_errors_costs_the_records_it_names(box: SandboxProcess, opened: Callable[..., Runtime], tmp_path: Path) -> None:
    bad, *good = hubs.make_companies(box, 3)
    runtime = opened(flows.write_steps([{"record_id": i, "field": "tier", "our_value": "2"} for i in (bad, *good)]))
    box.control.faults({"kind": "row_error", "object": "companies", "ids": [bad], "code": "INVALID_OPTION", "property": "csh_tier"})
    told = report(runtime, start_run(runtime, GIVEN, RunKind.INCREMENT))
    assert (told["state"], told["writes"]["ok"], told["writes"]["rejected"]) == ("done", 2, 1)
    results = [row for page in tmp_path.glob("**/results-*.parquet") for row in pq.read_table(page).to_pylist()]
    said = {(row["record_id"], row["field"], row["code"]): row["text"] for row in results if row["state"] == "rejected" and row["field"]}
    assert list(said) == [(bad, "tier", "INVALID_OPTION")]
    assert said[bad, "tier", "INVALID_OPTION"].startswith("The value is not among the options of csh_tier. A HubSpot admin must add the option")
    tiers = hubs.stored(box, "companies", "csh_tier")
    assert [tiers[i] for i in (bad, *good)] == [None, "2", "2"]


def test_an_expired_token_is_renewed_and_a_revoked_one_asks_for_a_person(box: SandboxProcess, opened: Callable[..., Runtime]) -> None:
    info = box.control.info()
    app = info["apps"]["integration"]
    oauth = {
        "hubspot_token": None, "hubspot_client_id": app["client_id"], "hubspot_client_secret": SecretStr(app["client_secret"]),
        "hubspot_refresh_token": SecretStr(info["refresh_token"]),
    }  # fmt: skip
    (only,) = hubs.make_companies(box, 1)
    for value in ("1", "2"):
        runtime = opened(flows.write_steps([{"record_id": only, "field": "score", "our_value": value}]), **oauth)
        told = report(runtime, start_run(runtime, GIVEN, RunKind.INCREMENT))
        assert told["state"] == "done", told["reason"]
        box.control.call("expire_sessions", {})
    box.control.call("expire_sessions", {"revoke": "refresh"})
    runtime = opened(flows.write_steps([{"record_id": only, "field": "score", "our_value": "3"}]), **oauth)
    told = report(runtime, start_run(runtime, GIVEN, RunKind.INCREMENT))
    assert told["state"] == "paused"
    assert "authorise the app again and set SCORESYNC_HUBSPOT_REFRESH_TOKEN" in told["reason"]
    assert app["client_secret"] not in told["reason"]
    assert hubs.stored(box, "companies", "csh_score")[only] == "2"
