"""What the lake holds of a HubSpot account after runs: nothing in the bin stays alive, nothing restored stays dead."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
from worker.runtime import Runtime
from worker.settings import Settings
from worker.steps import pull, stage

Accounts = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def box() -> Iterator[SandboxProcess]:
    with SandboxProcess(crm="hubspot") as process:
        hubs.provision(process)
        yield process


@pytest.fixture
def read(box: SandboxProcess, tmp_path: Path) -> Iterator[Callable[[RunKind], Accounts]]:
    """Makes a run that only reads; the accounts as the lake has them then, by id."""
    settings = Settings(
        lake=tmp_path / "lake", database_url=SecretStr(f"sqlite:///{tmp_path}/ledger.db"), backoff_s=0, read_lag_s=0, quota_share=1, quota_reserve=0,
        hubspot_url=box.url, hubspot_token=SecretStr(box.control.info()["access_token"]), hubspot_window_calls=1_000_000,
    )  # fmt: skip
    given = make_mappings(crm={"hubspot": hubs.MAPPING}, usage={}, writeback=Writeback(fields=hubs.ALL_FIELDS))
    opener = lambda m, name: connector.connect(m.crm[name], m, settings, waits=hubs.QUICK, searches=1_000_000)  # noqa: E731
    runtime = Runtime.open(settings, steps={"pull": pull, "stage": stage}, open_crm=opener)

    def once(kind: RunKind) -> Accounts:
        assert flows.go(runtime, given, kind).state == "done"
        return flows.current(runtime, Entity.ACCOUNT)

    yield once
    runtime.close()


@pytest.mark.parametrize("bumps", [True, False])
def test_a_record_restored_from_the_bin_lives_again(box: SandboxProcess, read: Callable[[RunKind], Accounts], bumps: bool) -> None:
    box.control.settings(restore_bumps_modified=bumps)
    old = "2026-01-05T03:00:00.000Z"  # outside every window: without a new stamp only the comparison of ids can find it
    (only,) = hubs.make_companies(box, 1, createdate=old, hs_lastmodifieddate=old)
    assert not read(RunKind.FULL)[only]["deleted"]
    box.control.call("archive", {"object": "companies", "ids": [only]})
    assert read(RunKind.INCREMENT)[only]["deleted"]
    box.control.call("restore", {"object": "companies", "ids": [only]})
    assert not read(RunKind.FULL)[only]["deleted"]


def test_a_record_that_is_gone_for_good_is_found_by_the_full_run(box: SandboxProcess, read: Callable[[RunKind], Accounts]) -> None:
    kept, lost = hubs.make_companies(box, 2)
    read(RunKind.FULL)
    box.control.call("archive", {"object": "companies", "ids": [lost]})
    box.control.call("purge", {"object": "companies", "ids": [lost]})
    found = read(RunKind.FULL)
    assert (found[lost]["deleted"], found[kept]["deleted"]) == (True, False)


def test_a_merge_leads_to_the_survivor(box: SandboxProcess, read: Callable[[RunKind], Accounts]) -> None:
    kept, other = hubs.make_companies(box, 2)
    read(RunKind.FULL)
    survivor = str(box.control.call("merge", {"object": "companies", "primary": kept, "other": other})["id"])
    found = read(RunKind.INCREMENT)
    assert (found[other]["deleted"], found[other]["master_id"]) == (True, survivor)
    assert not found[survivor]["deleted"]
    assert read(RunKind.FULL)[other]["master_id"] == survivor
