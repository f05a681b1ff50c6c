"""One sandbox org per test process, provisioned once; every test works on records of its own and leaves no fault rule behind."""

from collections.abc import Iterator

import pytest

from connectors.salesforce.connector import Salesforce
from connectors.sandbox_kit import SandboxProcess
from tests.connectors import hubs, orgs
from tests.connectors.hub_traffic import Traffic


@pytest.fixture(scope="session")
def org_process() -> Iterator[SandboxProcess]:
    with SandboxProcess() as box:
        orgs.provision(box)
        yield box


@pytest.fixture
def box(org_process: SandboxProcess) -> Iterator[SandboxProcess]:
    yield org_process
    org_process.control.clear_faults()
    org_process.control.settings(daily_limit=100_000, bulk_delay_seconds=0, session_seconds=7200)


@pytest.fixture
def own_box() -> Iterator[SandboxProcess]:
    """An org of this test alone, for tests that change its schema."""
    with SandboxProcess() as box:
        yield box


@pytest.fixture
def crm(box: SandboxProcess) -> Salesforce:
    return orgs.open_crm(box)


@pytest.fixture(scope="session")
def hub_process() -> Iterator[SandboxProcess]:
    with SandboxProcess(crm="hubspot") as box:
        hubs.provision(box)
        yield box


@pytest.fixture
def hub(hub_process: SandboxProcess) -> Iterator[SandboxProcess]:
    """One HubSpot account per test process; its limits are off where a test does not turn them on."""
    yield hub_process
    hub_process.control.clear_faults()
    hub_process.control.settings(**hubs.SETTINGS)


@pytest.fixture
def own_hub() -> Iterator[SandboxProcess]:
    """An account of this test alone, for tests that change its schema or its clock."""
    with SandboxProcess(crm="hubspot") as box:
        hubs.provision(box)
        yield box


@pytest.fixture(autouse=True)
def traffic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traffic]:
    """Whatever a test of the HubSpot connector sends and hears must fit the contract files."""
    listening = Traffic(answers="script" not in request.fixturenames)
    if "hubspot" in request.module.__name__:
        listening.listen(monkeypatch)
    yield listening
    assert not listening.problems, "\n".join(listening.problems[:10])
