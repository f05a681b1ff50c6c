"""Every vendor of the registry against the contract. A vendor without a harness fails, so that a new connector cannot be forgotten."""

from collections.abc import Sequence
from typing import Any

import pytest

from connectors import registry
from connectors.base import Crm
from connectors.sandbox_kit import SandboxProcess
from mappings.models import Source
from tests.connectors import hubs, orgs
from tests.connectors.contract import CrmContract, Harness


class SalesforceHarness:
    fields = (orgs.SCORE, orgs.REASON, orgs.SCORED_AT, orgs.OPEN)

    def __init__(self, box: SandboxProcess) -> None:
        self.box = box

    def open(self) -> Crm:
        return orgs.open_crm(self.box)

    def accounts(self) -> Source:
        return Source(object="Account", columns={"name": "Name"})

    def make_accounts(self, names: Sequence[str]) -> list[str]:
        return self.box.control.seed("Account", [{"Name": name} for name in names])

    def edit(self, record_id: str, key: str, value: Any) -> None:
        (result,) = self.box.control.write("integration", "Account", [{"Id": record_id, self.vendor_name(key): value}])
        assert result["success"]

    def delete(self, record_id: str) -> None:
        self.box.control.write("admin", "Account", [{"Id": record_id}], operation="delete")

    def vendor_name(self, key: str) -> str:
        return next(f.names["salesforce"] for f in self.fields if f.key == key)


class HubSpotHarness:
    fields = (hubs.SCORE, hubs.REASON, hubs.SCORED_AT, hubs.OPEN)

    def __init__(self, box: SandboxProcess) -> None:
        self.box = box

    def open(self) -> Crm:
        return hubs.open_crm(self.box)

    def accounts(self) -> Source:
        return Source(object="companies", columns={"name": "name"})

    def make_accounts(self, names: Sequence[str]) -> list[str]:
        return self.box.control.seed("companies", [{"name": name} for name in names])

    def edit(self, record_id: str, key: str, value: Any) -> None:
        row = {"id": record_id, self.vendor_name(key): str(value)}
        (result,) = self.box.control.call("write", {"object": "companies", "rows": [row]})
        assert result["success"]

    def delete(self, record_id: str) -> None:
        self.box.control.call("archive", {"object": "companies", "ids": [record_id]})

    def vendor_name(self, key: str) -> str:
        return next(f.names["hubspot"] for f in self.fields if f.key == key)


#: vendor -> harness, and the fixture of its sandbox
HARNESSES = {"salesforce": (SalesforceHarness, "box"), "hubspot": (HubSpotHarness, "hub")}


class TestContract(CrmContract):
    @pytest.fixture(params=registry.vendors())
    def harness(self, request: pytest.FixtureRequest) -> Harness:
        make, box = HARNESSES[request.param]
        found: Harness = make(request.getfixturevalue(box))
        return found


def test_a_vendor_that_is_not_there_is_named() -> None:
    mapping = orgs.MAPPING.model_copy(update={"vendor": "nobody"})
    with pytest.raises(ValueError, match=r"nobody.*salesforce"):
        registry.open_crm(mapping, None, None)  # type: ignore[arg-type]
