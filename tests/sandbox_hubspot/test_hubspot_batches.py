"""Batches: limits, 207 for missing rows, all-or-nothing without trace ids, one bad row named with them."""

from typing import Any

from connectors.sandbox_kit import SandboxProcess
from tests.sandbox_hubspot.conftest import Api
from tests.sandbox_hubspot.contract import contract

BASE = "/crm/v3/objects/companies/batch"


def rows(ids: list[str], bad: str = "", *, traced: bool = True) -> list[dict[str, Any]]:
    found = []
    for number, key in enumerate(ids):
        row: dict[str, Any] = {"id": key, "properties": {"health_score": "x" if key == bad else str(number)}}
        found.append({**row, "objectWriteTraceId": f"trace-{key}"} if traced else row)
    return found


def scores(box: SandboxProcess, ids: list[str]) -> list[str | None]:
    found = {row["id"]: row["health_score"] for row in box.control.dump("companies", fields="health_score")}
    return [found[key] for key in ids]


def test_one_bad_row_among_a_hundred_with_trace_ids_writes_ninety_nine(api: Api, box: SandboxProcess) -> None:
    ids = box.control.seed("companies", [{"name": f"Row {number}"} for number in range(100)])
    answer = api.update(*rows(ids, bad=ids[40]), status=207)
    assert len(answer["results"]) == 99
    assert answer["numErrors"] == 1
    [error] = answer["errors"]
    assert error["context"]["objectWriteTraceId"] == [f"trace-{ids[40]}"]
    assert error["errors"][0]["code"] == "INVALID_INTEGER"
    assert error["errors"][0]["context"] == {"propertyName": ["health_score"]}
    assert scores(box, ids) == [None if number == 40 else str(number) for number in range(100)]
    assert [item["id"] for item in answer["results"]] != [key for key in ids if key != ids[40]]  # another order than asked


def test_one_bad_row_without_trace_ids_writes_nothing(api: Api, box: SandboxProcess) -> None:
    ids = box.control.seed("companies", [{"name": "A"}, {"name": "B"}])
    refused = api.update(*rows(ids, bad=ids[1], traced=False), status=400)
    assert refused["category"] == "VALIDATION_ERROR"
    doubled = [{**row, "objectWriteTraceId": "same"} for row in rows(ids, bad=ids[1])]
    api.update(*doubled, status=400)
    assert scores(box, ids) == [None, None]


def test_missing_and_archived_rows_are_one_error_and_the_rest_is_done(api: Api, box: SandboxProcess) -> None:
    ids = box.control.seed("companies", [{"name": "A"}, {"name": "B"}])
    box.control.call("archive", {"object": "companies", "ids": ids[1:]})
    answer = api.update(*rows([ids[0], ids[1], "999"], traced=False), status=207)
    assert [item["id"] for item in answer["results"]] == [ids[0]]
    [error] = answer["errors"]
    assert error["category"] == "OBJECT_NOT_FOUND"
    assert error["message"] == "Could not get some COMPANY objects, they may be deleted or not exist. Check that ids are valid."
    assert error["context"] == {"ids": [ids[1], "999"]}
    read = api.post(f"{BASE}/read", {"inputs": [{"id": key} for key in [*ids, "999"]], "properties": ["health_score"]}, 207)
    assert [item["properties"]["health_score"] for item in read["results"]] == ["0"]
    archived = api.post(f"{BASE}/read?archived=true", {"inputs": [{"id": ids[1]}]})
    assert archived["results"][0]["archived"] is True


def test_limits_doubles_and_the_missing_wrapper(api: Api, box: SandboxProcess) -> None:
    inputs = [{"id": str(number)} for number in range(1, 102)]
    many = api.post(f"{BASE}/read", {"inputs": inputs}, 400)
    assert many["message"] == "The maximum number of inputs supported in a batch is 100. Please reduce the number of items and try again"
    history = api.post(f"{BASE}/read", {"inputs": inputs[:51], "propertiesWithHistory": ["name"]}, 400)
    assert "request for property histories is 50" in history["message"]
    twice = api.post(f"{BASE}/read", {"inputs": [{"id": "7"}, {"id": "7"}]}, 400)
    assert twice["message"] == "Duplicate IDs found in batch input: [7]. IDs must be unique"
    assert twice["context"] == {"ids": ["7"]}
    empty = api.post(f"{BASE}/update", {"id": "7"})
    assert (empty["status"], empty["results"]) == ("COMPLETE", [])


def test_upsert_by_a_unique_property_says_what_is_new(api: Api, box: SandboxProcess) -> None:
    [key] = box.control.seed("companies", [{"name": "Old", "ext_key": "batch-k1"}])
    inputs = [{"id": name, "idProperty": "ext_key", "properties": {"name": name}} for name in ("batch-k1", "batch-k2")]
    found = {item["properties"]["ext_key" if item["new"] else "name"]: item for item in api.post(f"{BASE}/upsert", {"inputs": inputs})["results"]}
    assert (found["batch-k1"]["id"], found["batch-k1"]["new"]) == (key, False)
    assert found["batch-k2"]["new"] is True
    by_key = api.post(f"{BASE}/read", {"inputs": [{"id": "batch-k2"}], "idProperty": "ext_key"})
    assert by_key["results"][0]["id"] == found["batch-k2"]["id"]


def test_other_properties_cannot_identify(api: Api) -> None:
    body = {"inputs": [{"id": "1", "idProperty": "hs_object_id", "properties": {"name": "x"}}]}
    refused = api.post(f"{BASE}/update", body, 400)
    assert refused["message"] == "Unable to perform update by non-unique 0-2 property hs_object_id in portal ID 48000123"


def test_unique_values_conflict(api: Api, box: SandboxProcess) -> None:
    [key] = box.control.seed("companies", [{"name": "Holder", "ext_key": "held"}])
    made = [{"properties": {"name": n, "ext_key": k}, "objectWriteTraceId": n} for n, k in (("a", "held"), ("b", "free"))]
    answer = api.post(f"{BASE}/create", {"inputs": made}, 207)
    assert [item["properties"]["name"] for item in answer["results"]] == ["b"]
    assert answer["errors"][0]["category"] == "CONFLICT"
    assert answer["errors"][0]["context"]["existingId"] == [key]
    api.post(f"{BASE}/create", {"inputs": [{"properties": {"ext_key": "held"}}]}, 409)


def test_batch_create_links_and_batch_archive(api: Api, box: SandboxProcess) -> None:
    [company] = box.control.seed("companies", [{"name": "Linked"}])
    spec = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 192}]
    task = {"hs_timestamp": "2026-12-01T09:00:00Z", "hs_task_subject": "Call", "hs_task_status": "NOT_STARTED"}
    body = {"inputs": [{"properties": task, "associations": [{"to": {"id": company}, "types": spec}]}]}
    made = api.post("/crm/v3/objects/tasks/batch/create", body, 201)["results"][0]
    links = api.get(f"/crm/v4/objects/companies/{company}/associations/tasks")["results"]
    assert [item["toObjectId"] for item in links] == [int(made["id"])]
    assert api("POST", "/crm/v3/objects/tasks/batch/archive", {"inputs": [{"id": made["id"]}]}, status=204).content == b""
    assert api.get(f"/crm/v4/objects/companies/{company}/associations/tasks")["results"] == []


def test_the_contract_checker_finds_faults() -> None:
    rules = contract("v3-v4")
    if rules is None:
        return
    path = f"{BASE}/update"
    assert rules.problems("POST", path, 200, {"status": "COMPLETE", "results": [{"id": 5}]})
    assert rules.request_problems("POST", path, {"input": []})
    assert rules.request_problems("POST", path, {"inputs": [{"id": "1", "properties": {"a": 1}}]})
    assert rules.request_problems("POST", path, {"inputs": [{"id": "1", "properties": {"a": "1"}}]}) == []
