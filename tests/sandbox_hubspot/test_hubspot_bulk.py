"""Imports and exports."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from connectors.sandbox_kit import SandboxProcess
from tests.sandbox_hubspot.conftest import Api, where


def request_of(operation: str, *columns: dict[str, Any]) -> dict[str, Any]:
    mapping = [{"columnObjectTypeId": "0-2", **column} for column in columns]
    page = {"hasHeader": True, "columnMappings": mapping}
    return {"name": "health", "importOperations": {"0-2": operation}, "files": [{"fileName": "h.csv", "fileFormat": "CSV", "fileImportPage": page}]}


def send(api: Api, path: str, request: dict[str, Any], text: str) -> dict[str, Any]:
    answer = api("POST", path, files={"files": ("h.csv", text, "text/csv")}, data={"importRequest": json.dumps(request)}, status=200)
    found: dict[str, Any] = answer.json()
    return found


ID = {"columnName": "Record ID", "columnType": "HUBSPOT_OBJECT_ID"}
SCORE = {"columnName": "Health", "propertyName": "health_score"}


@pytest.mark.parametrize("path", ["/crm/v3/imports/", "/crm/imports/2026-03"])
def test_an_import_writes_good_rows_and_lists_the_others(own: Api, own_box: SandboxProcess, changed: Callable[..., None], path: str) -> None:
    changed(import_seconds=30)
    ids = own_box.control.seed("companies", [{"name": "A"}, {"name": "B"}])
    text = f"Record ID,Health\n{ids[0]},77\n{ids[1]},high\n999,1\n{ids[0]}\n"
    made = send(own, path, request_of("UPDATE", ID, SCORE), text)
    assert made["state"] == "PROCESSING"
    own_box.control.clock(advance=31)
    done = own.get(f"/crm/v3/imports/{made['id']}")
    assert done["state"] == "DONE"
    assert done["metadata"]["counters"] == {
        "TOTAL_ROWS": 4, "UPDATED_OBJECTS": 1, "CREATED_OBJECTS": 0, "PROPERTY_VALUES_EMITTED": 1, "ERRORS": 3,
    }  # fmt: skip
    errors = own.get(f"/crm/v3/imports/{made['id']}/errors")["results"]
    found = {item["sourceData"]["lineNumber"]: item["errorType"] for item in errors}
    assert found == {3: "COULD_NOT_PARSE_NUMBER", 4: "INVALID_OBJECT_ID", 5: "INCORRECT_NUMBER_OF_COLUMNS"}
    read = own.get(f"/crm/v3/objects/companies/{ids[0]}", properties="health_score", propertiesWithHistory="health_score")
    assert read["properties"]["health_score"] == "77"
    assert read["propertiesWithHistory"]["health_score"][0]["sourceType"] == "IMPORT"


def test_an_upsert_by_a_unique_property(own: Api, own_box: SandboxProcess) -> None:
    own_box.control.seed("companies", [{"name": "A", "ext_key": "imp-1"}])
    key = {"columnName": "Key", "columnType": "HUBSPOT_ALTERNATE_ID", "propertyName": "ext_key"}
    made = send(own, "/crm/v3/imports/", request_of("UPSERT", key, SCORE), "Key,Health\nimp-1,1\nimp-2,2\n")
    counters = made["metadata"]["counters"]
    assert (counters["UPDATED_OBJECTS"], counters["CREATED_OBJECTS"], counters["ERRORS"]) == (1, 1, 0)
    found = own.search(where("ext_key", "CONTAINS_TOKEN", "imp"), properties=["health_score"])["results"]
    assert {item["properties"]["health_score"] for item in found} == {"1", "2"}


@pytest.mark.parametrize("path", ["/crm/v3/exports/export/async", "/crm/exports/2026-09/export/async"])
def test_an_export_ends_at_an_address_that_goes_stale(own: Api, own_box: SandboxProcess, changed: Callable[..., None], path: str) -> None:
    changed(export_seconds=10)
    city = f"Exportville {len(path)}"
    ids = own_box.control.seed("companies", [{"city": city, "health_band": "red"}, {"city": city, "name": "Ja, 日本"}])
    body = {
        "exportType": "VIEW", "exportName": "x", "format": "CSV", "language": "EN", "objectType": "COMPANY", "associatedObjectType": "",
        "objectProperties": ["name", "health_band"], "exportInternalValuesOptions": ["NAMES"],
        "publicCrmSearchRequest": {"filters": [where("city", "EQ", city)], "query": "", "sorts": []},
    }  # fmt: skip
    task = own("POST", path, body, status=202).json()["id"]
    assert own.get(f"{path}/tasks/{task}/status")["status"] == "PENDING"
    own_box.control.clock(advance=11)
    done = own.get(f"{path}/tasks/{task}/status")
    assert done["status"] == "COMPLETE"
    text = requests.get(done["result"], timeout=10).content.decode()
    assert list(csv.reader(io.StringIO(text))) == [["Record ID", "name", "health_band"], [ids[0], "", "Red"], [ids[1], "Ja, 日本", ""]]
    own_box.control.clock(advance=301)
    assert requests.get(done["result"], timeout=10).status_code == 403
