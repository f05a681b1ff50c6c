"""The demo's firm inside a real sandbox: every record arrives, and the integration user sees it without being able to change it."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests
from simple_salesforce import Salesforce

from connectors.salesforce.sandbox.seed import Company, Ref, install_customer_schema, load_company, seed_sandbox
from connectors.salesforce.sandbox.seed_http import HttpOrg
from connectors.salesforce.sandbox.seed_load import StateOrg
from connectors.salesforce.sandbox.seed_schema import FIELDS, OBJECTS, field_names
from connectors.salesforce.sandbox.soql_result import execute
from connectors.salesforce.sandbox.state import State
from connectors.sandbox_kit import SandboxProcess

TODAY = date(2026, 12, 1)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[State, Company]]:
    folder = tmp_path_factory.mktemp("org")
    state = State(folder / "org.db")
    company, files = seed_sandbox(state, folder, 60, 7, TODAY)
    assert files.rows > 0
    yield state, company
    state.close()


def ask(state: State, soql: str) -> list[dict[str, object]]:
    return execute(state, state.user("integration"), soql, api_path="/services/data/v62.0").records


def test_every_record_is_there(seeded: tuple[State, Company]) -> None:
    state, company = seeded
    extra = {"User": 4}  # those that every sandbox has
    for name, rows in company.records.items():
        found = execute(state, state.user("integration"), f"SELECT COUNT() FROM {name}", api_path="").total_size
        assert found == len(rows) + extra.get(name, 0), name


def test_contract_lines_read_as_the_mapping_reads_them(seeded: tuple[State, Company]) -> None:
    state, company = seeded
    soql = """SELECT Order.Account.Name, Product2.ProductCode, Plan__c, Quantity, TotalPrice, ServiceDate, EndDate, Order.Contract.EndDate,
                     Order.Contract.ContractTerm, Order.Contract.Notice_On__c, Order.Contract.Auto_Renew__c FROM OrderItem"""
    rows = ask(state, soql)
    assert len(rows) == len(company.records["OrderItem"])
    for row in rows:
        order = row["Order"]
        assert isinstance(order, dict)
        assert row["EndDate"] == order["Contract"]["EndDate"], "the org's own end date agrees with ours"
    assert sum(float(str(row["TotalPrice"])) for row in rows) == sum(item["Quantity"] * item["UnitPrice"] for item in company.records["OrderItem"])


def test_references_point_at_the_same_account_as_before(seeded: tuple[State, Company]) -> None:
    state, company = seeded
    names = {row["_key"]: row["Name"] for row in company.records["Account"]}
    expected = sorted((names[row["AccountId"].key], row["Subject"]) for row in company.records["Case"])
    found = sorted((str(dict(row["Account"])["Name"]), str(row["Subject"])) for row in ask(state, "SELECT Account.Name, Subject FROM Case"))  # type: ignore[call-overload]
    assert found == expected


def test_activities_keep_their_account_day_and_completion(seeded: tuple[State, Company]) -> None:
    state, company = seeded
    done = [row for row in company.records["Task"] if row["Status"] == "Completed"]
    rows = ask(state, "SELECT AccountId, ActivityDate, CompletedDateTime, CSM_Kind__c FROM Task WHERE IsClosed = true")
    assert len(rows) == len(done)
    assert all(row["AccountId"] and row["CompletedDateTime"] for row in rows)
    assert sorted(str(row["CompletedDateTime"]) for row in rows) == sorted(row["CompletedDateTime"] for row in done)
    events = ask(state, "SELECT AccountId, StartDateTime, Kind__c FROM Event")
    assert sorted(str(row["StartDateTime"]) for row in events) == sorted(row["StartDateTime"] for row in company.records["Event"])


def test_stamps_are_those_of_the_firm(seeded: tuple[State, Company]) -> None:
    state, company = seeded
    found = sorted(str(row["SystemModstamp"]) for row in ask(state, "SELECT SystemModstamp FROM Case"))
    assert found == sorted(row["SystemModstamp"] for row in company.records["Case"])
    assert found[-1] < TODAY.isoformat()


def test_integration_user_reads_the_firms_fields_and_edits_none(seeded: tuple[State, Company]) -> None:
    state, _ = seeded
    user, csm = state.user("integration"), state.user("csm")
    for owner, field in field_names():
        assert field.lower() in state.visible_fields(owner, user), f"{owner}.{field}"
        assert field.lower() not in state.editable_fields(owner, user), f"{owner}.{field}"
        assert field.lower() in state.editable_fields(owner, csm), f"{owner}.{field}"


def test_schema_can_be_installed_again(seeded: tuple[State, Company]) -> None:
    state, _ = seeded
    before = state.version()
    install_customer_schema(StateOrg(state))
    assert state.version() == before


def test_no_field_of_ours_carries_the_products_prefix() -> None:
    assert not [name for name in (*FIELDS, *OBJECTS) if "CSH_" in name]


def test_a_reference_to_nothing_names_the_object_and_the_remedy(tmp_path: Path) -> None:
    state = State(tmp_path / "org.db")
    company = Company(1, 1, TODAY)
    company.add("Contact", "c", TODAY, {"LastName": "佐藤", "AccountId": Ref("Account", "nobody")})
    with pytest.raises(ValueError, match=r"Contact: 1 rows refer .*nobody.* load their objects before"):
        load_company(state, company)
    state.close()


def test_a_running_sandbox_is_seeded_and_read_by_a_vendor_client(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path / "org.db") as box:
        company, files = seed_sandbox(box.url, tmp_path, 12, 7, TODAY)
        install_customer_schema(HttpOrg(box.url))  # a second time: nothing is refused, nothing changes
        assert files.files[0].exists()
        token = requests.post(f"{box.url}/services/oauth2/token", data={"grant_type": "client_credentials"}, auth=box.app(), timeout=20).json()
        found = query_all(box.url, token["access_token"], "SELECT Name, Type, Tenant_ID__c, CSM__r.Name, (SELECT Role__c FROM Contacts) FROM Account")
    assert sorted(row["Name"] for row in found) == sorted(row["Name"] for row in company.records["Account"])
    assert sum(row["Contacts"]["totalSize"] for row in found if row["Contacts"]) == len(company.records["Contact"])
    assert all(row["CSM__r"]["Name"] for row in found if row["Type"] == "Customer")


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no sandbox address"):
        HttpOrg("localhost:8080")


def query_all(url: str, token: str, soql: str) -> list[dict[str, Any]]:
    client = Salesforce(instance_url=url, session_id=token, version="62.0")
    client.base_url = f"{url}/services/data/v62.0/"  # the client insists on https, the local sandbox speaks http
    records: list[dict[str, Any]] = client.query(soql)["records"]
    return records
