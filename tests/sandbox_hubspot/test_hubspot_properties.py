"""Definitions: validation, groups, archive and restore, batches; custom objects, owners, pipelines."""

from collections.abc import Callable
from typing import Any

import pytest

from connectors.sandbox_kit import SandboxProcess
from tests.sandbox_hubspot.conftest import Api

BASE = "/crm/v3/properties/companies"


def definition(name: str, type_: str = "string", field: str = "text", **more: Any) -> dict[str, Any]:
    return {"name": name, "label": name, "type": type_, "fieldType": field, "groupName": "customer_health", **more}


@pytest.mark.parametrize("base", [BASE, "/crm/properties/2026-03/companies", "/crm/properties/2026-09/0-2"])
def test_create_change_archive_and_restore_with_values(api: Api, box: SandboxProcess, base: str) -> None:
    name = f"life_{base.count('2')}_{len(base)}"
    made = api.post(base, definition(name), 201)
    assert (made["hubspotDefined"], made["modificationMetadata"]["readOnlyValue"]) == (False, False)
    record = api.post("/crm/v3/objects/companies", {"properties": {name: "kept"}}, 201)
    again = api.post(base, definition(name), 409)
    assert (again["category"], again["subCategory"]) == ("OBJECT_ALREADY_EXISTS", "Properties.PROPERTY_WITH_NAME_EXISTS")
    assert api("PATCH", f"{base}/{name}", {"label": "Other"}, status=200).json()["label"] == "Other"
    api("DELETE", f"{base}/{name}", status=204)
    api.get(f"{base}/{name}", 404)
    assert name in {item["name"] for item in api.get(base, archived="true")["results"]}
    path = f"/crm/v3/objects/companies/{record['id']}"
    assert name not in api.get(path, properties=name)["properties"]
    assert api("PATCH", path, {"properties": {name: "x"}}, status=400).json()["errors"][0]["code"] == "PROPERTY_DOESNT_EXIST"
    api.post(base, definition(name), 201)
    assert api.get(path, properties=name)["properties"][name] == "kept"


def test_refused_definitions(api: Api) -> None:
    wrong = [
        definition("Upper"), definition("hs_mine"), definition("a", "string", "number"), definition("b", "float"),
        definition("c", groupName="nowhere"),
        {"name": "d", "label": "d"}, definition("e", "enumeration", "select", options=[{"label": "1", "value": "x"}, {"label": "2", "value": "x"}]),
    ]  # fmt: skip
    for body in wrong:
        assert api("POST", BASE, body).status_code == 400, body
    flag = api.post(BASE, definition("f", "bool", "booleancheckbox"), 400)
    assert flag["errors"][0]["code"] == "INVALID_BOOLEAN_OPTION"
    assert api("DELETE", f"{BASE}/name").status_code == 400


def test_changed_options_refuse_old_values(api: Api) -> None:
    options = [{"label": name, "value": name, "displayOrder": order} for order, name in enumerate(("a", "b"))]
    api.post(BASE, definition("shrinks", "enumeration", "select", options=options), 201)
    record = api.post("/crm/v3/objects/companies", {"properties": {"shrinks": "b"}}, 201)
    api("PATCH", f"{BASE}/shrinks", {"options": options[:1]}, status=200)
    refused = api.update({"id": record["id"], "properties": {"shrinks": "b"}}, status=400)
    assert refused["errors"][0]["message"] == "b was not one of the allowed options: [a]"


def test_batches_name_what_exists(api: Api) -> None:
    api.post(BASE, definition("batch_old"), 201)
    answer = api.post(f"{BASE}/batch/create", {"inputs": [definition("batch_old"), definition("batch_new")]}, 207)
    assert [item["name"] for item in answer["results"]] == ["batch_new"]
    assert answer["errors"][0]["context"] == {"name": ["batch_old"]}
    read = api.post(f"{BASE}/batch/read", {"archived": False, "inputs": [{"name": "batch_new"}, {"name": "never"}]}, 207)
    assert [item["name"] for item in read["results"]] == ["batch_new"]
    api("POST", f"{BASE}/batch/archive", {"inputs": [{"name": "batch_new"}]}, status=204)


def test_groups(api: Api) -> None:
    base = f"{BASE}/groups"
    made = api.post(base, {"name": "group_one", "label": "One", "displayOrder": 3}, 201)
    assert api.get(f"{base}/group_one")["label"] == made["label"]
    assert api.post(base, {"name": "group_one", "label": "One"}, 409)["category"] == "OBJECT_ALREADY_EXISTS"
    assert {"companyinformation", "customer_health", "group_one"} <= {item["name"] for item in api.get(base)["results"]}
    used = api("DELETE", f"{base}/customer_health", status=400).json()
    assert used["subCategory"] == "PropertyGroupError.GROUP_WITH_ACTIVE_PROPERTIES"
    api("DELETE", f"{base}/group_one", status=204)
    api.get(f"{base}/group_one", 404)


def test_a_new_property_takes_values_only_after_its_delay(own: Api, own_box: SandboxProcess, changed: Callable[..., None]) -> None:
    changed(property_delay_seconds=0.5)
    own_box.control.clock(now="2027-01-01T00:00:00Z", frozen=True)
    own.post(BASE, definition("slow"), 201)
    body = {"properties": {"slow": "x"}}
    assert own.post("/crm/v3/objects/companies", body, 400)["errors"][0]["code"] == "PROPERTY_DOESNT_EXIST"
    own_box.control.clock(advance=0.6)
    own.post("/crm/v3/objects/companies", body, 201)


def test_unique_properties_are_ten_at_most(own: Api) -> None:
    # the fixture's ext_key is one of them
    answers = [own("POST", BASE, definition(f"unique_{number}", hasUniqueValue=True)).status_code for number in range(10)]
    assert answers == [201] * 9 + [400]


def test_custom_objects_live_like_others(api: Api, box: SandboxProcess) -> None:
    body = {
        "name": "csql_signal", "labels": {"singular": "Signal", "plural": "Signals"}, "primaryDisplayProperty": "signal_name",
        "requiredProperties": ["signal_name"], "searchableProperties": ["signal_name"], "associatedObjects": ["COMPANY"],
        "properties": [
            {"name": "signal_name", "label": "Name", "type": "string", "fieldType": "text"},
            {"name": "signal_key", "label": "Key", "type": "string", "fieldType": "text", "hasUniqueValue": True},
        ],
    }  # fmt: skip
    made = api.post("/crm-object-schemas/v3/schemas", body, 201)
    assert made["fullyQualifiedName"] == "p48000123_csql_signal"
    assert made["objectTypeId"].startswith("2-")
    assert api.post("/crm-object-schemas/v3/schemas", body, 400)["message"]
    for kind in (made["objectTypeId"], made["fullyQualifiedName"], "csql_signal"):
        api.get(f"/crm/v3/objects/{kind}")
    api.post(f"/crm/v3/objects/{made['objectTypeId']}", {"properties": {"signal_key": "no name"}}, 400)
    inputs = [{"id": "k1", "idProperty": "signal_key", "properties": {"signal_name": "First"}}]
    record = api.post(f"/crm/objects/2026-03/{made['objectTypeId']}/batch/upsert", {"inputs": inputs})["results"][0]
    [company] = box.control.seed("companies", [{"name": "Signalled"}])
    labels = api.get(f"/crm/v4/associations/{made['objectTypeId']}/companies/labels")["results"]
    spec = [{"associationCategory": labels[0]["category"], "associationTypeId": labels[0]["typeId"]}]
    api("PUT", f"/crm/v4/objects/{made['objectTypeId']}/{record['id']}/associations/companies/{company}", spec, status=201)
    assert api.get(f"/crm/v4/objects/companies/{company}/associations/csql_signal")["results"][0]["toObjectId"] == int(record["id"])
    assert "csql_signal" in {item["name"] for item in api.get("/crm-object-schemas/2026-03/schemas")["results"]}


def test_plans_without_custom_objects_or_leads_say_so(own: Api, changed: Callable[..., None]) -> None:
    changed(custom_objects=False, leads=False)
    assert own("GET", "/crm-object-schemas/v3/schemas").status_code == 403
    assert own("GET", "/crm/v3/objects/leads").status_code == 400


@pytest.mark.parametrize("path", ["/crm/v3/owners/", "/crm/owners/2026-03"])
def test_owners_have_two_numbers(api: Api, path: str) -> None:
    found = api.get(path, limit=3)
    assert len(found["results"]) == 3
    rest = api.get(path, limit=3, after=found["paging"]["next"]["after"])
    assert len(rest["results"]) == 1
    first = found["results"][0]
    assert first["id"] != str(first["userId"])
    assert [item["id"] for item in api.get(path, email=first["email"])["results"]] == [first["id"]]
    made = api.post("/crm/v3/objects/companies", {"properties": {"hubspot_owner_id": first["id"]}}, 201)
    assert made["properties"]["hubspot_owner_id"] == first["id"]


def test_pipelines_and_stages(api: Api) -> None:
    [sales] = [item for item in api.get("/crm/v3/pipelines/deals")["results"] if item["id"] == "default"]
    won = next(item for item in sales["stages"] if item["id"] == "closedwon")
    assert (won["metadata"]["probability"], won["metadata"]["isClosed"]) == ("1.0", "true")
    stages = [{"label": "Found", "displayOrder": 0, "metadata": {"probability": "0.1"}}]
    made = api.post("/crm/v3/pipelines/deals", {"label": "CSQL", "displayOrder": 1, "stages": stages}, 201)
    two = api.post("/crm/v3/objects/deals", {"properties": {"dealname": "X", "dealstage": "closedwon"}}, 400)
    assert two["context"] == {"properties": ["pipeline"]}  # with several pipelines one must be named
    body = {"properties": {"dealname": "X", "pipeline": made["id"], "dealstage": made["stages"][0]["id"]}}
    api.post("/crm/v3/objects/deals", body, 201)
    api.post("/crm/v3/objects/deals", {"properties": {"dealname": "X", "dealstage": "no stage"}}, 400)
    api("DELETE", f"/crm/v3/pipelines/deals/{made['id']}", status=204)
