"""The vendor's own client, in its ordinary way of use, against the sandbox."""

from typing import Any

import pytest
from hubspot.crm.companies import BatchInputSimplePublicObjectBatchInput, PublicObjectSearchRequest, SimplePublicObjectBatchInput
from hubspot.crm.companies.exceptions import ApiException, NotFoundException

from connectors.sandbox_kit import SandboxProcess


def test_companies(client: Any, box: SandboxProcess) -> None:
    ids = box.control.seed("companies", [{"name": f"Client {number}", "city": "Clientville"} for number in range(3)])
    api = client.crm.companies
    page = api.basic_api.get_page(limit=100, properties=["name", "city"], archived=False)
    assert len(page.results) >= 3
    inputs = [SimplePublicObjectBatchInput(id=key, properties={"health_score": "5"}, object_write_trace_id=key) for key in ids]
    answer = api.batch_api.update(BatchInputSimplePublicObjectBatchInput(inputs=inputs))
    assert (answer.status, len(answer.results)) == ("COMPLETE", 3)
    query = PublicObjectSearchRequest(
        filter_groups=[{"filters": [{"propertyName": "city", "operator": "EQ", "value": "clientville"}]}], properties=["health_score"], limit=10
    )
    found = api.search_api.do_search(query)
    assert (found.total, {item.properties["health_score"] for item in found.results}) == (3, {"5"})
    with pytest.raises(NotFoundException):
        api.basic_api.get_by_id("404")
    with pytest.raises(ApiException) as caught:
        api.basic_api.update(ids[0], {"properties": {"health_band": "purple"}})
    assert caught.value.status == 400
    merged = api.basic_api.merge({"primaryObjectId": ids[0], "objectIdToMerge": ids[1]})
    assert merged.id not in ids
    api.basic_api.archive(ids[2])
    api.batch_api.archive({"inputs": [{"id": merged.id}]})


def test_properties_owners_pipelines_and_schemas(client: Any) -> None:
    made = client.crm.properties.groups_api.create("deals", {"name": "client_group", "label": "Client"})
    assert made.name == "client_group"
    body = {"name": "client_made", "label": "Made", "type": "number", "fieldType": "number", "groupName": "client_group"}
    assert client.crm.properties.core_api.create("deals", body).field_type == "number"
    read = client.crm.properties.batch_api.read("deals", {"archived": False, "inputs": [{"name": "client_made"}]})
    assert [item.name for item in read.results] == ["client_made"]
    assert client.crm.owners.owners_api.get_page(limit=10).results[0].email == "aiko.tanaka@example.com"
    assert client.crm.pipelines.pipelines_api.get_all("tickets").results[0].stages[3].metadata["ticketState"] == "CLOSED"
    schema = {
        "name": "client_thing", "labels": {"singular": "Thing", "plural": "Things"}, "requiredProperties": [], "primaryDisplayProperty": "title",
        "properties": [{"name": "title", "label": "Title", "type": "string", "fieldType": "text"}], "associatedObjects": ["COMPANY"],
    }  # fmt: skip
    thing = client.crm.schemas.core_api.create(schema)
    record = client.crm.objects.basic_api.create(thing.object_type_id, {"properties": {"title": "One"}})
    assert client.crm.objects.basic_api.get_by_id(thing.fully_qualified_name, record.id, properties=["title"]).properties["title"] == "One"


def test_associations_and_tasks(client: Any, box: SandboxProcess) -> None:
    [company] = box.control.seed("companies", [{"name": "Tasked"}])
    task = {"hs_timestamp": "2026-12-01T09:00:00Z", "hs_task_subject": "Call", "hs_task_status": "NOT_STARTED", "hs_task_priority": "HIGH"}
    spec = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 192}]
    made = client.crm.objects.tasks.basic_api.create({"properties": task, "associations": [{"to": {"id": company}, "types": spec}]})
    answer = client.crm.associations.v4.batch_api.get_page("companies", "tasks", {"inputs": [{"id": company}, {"id": "77"}]})
    assert [item.to_object_id for item in answer.results[0].to] == [made.id]
    assert answer.errors[0].sub_category == "crm.associations.NO_ASSOCIATIONS_FOUND"
    labels = client.crm.associations.v4.schema.definitions_api.get_all("companies", "tasks")
    assert [item.type_id for item in labels.results] == [191]


def test_oauth(client: Any, box: SandboxProcess) -> None:
    client_id, secret = box.app()
    refresh = box.control.info()["refresh_token"]
    got = client.oauth.tokens_api.create(grant_type="refresh_token", refresh_token=refresh, client_id=client_id, client_secret=secret)
    assert got.expires_in == 1800
    assert client.oauth.access_tokens_api.get(got.access_token).hub_id == 48_000_123
    assert client.oauth.refresh_tokens_api.get(refresh).client_id == client_id
