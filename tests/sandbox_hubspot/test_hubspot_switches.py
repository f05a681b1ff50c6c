"""What the sheet leaves unconfirmed is a setting: both answers of each."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from connectors.sandbox_kit import SandboxError, SandboxProcess
from tests.sandbox_hubspot.conftest import Api, where

Change = Callable[..., None]
COMPANIES = "/crm/v3/objects/companies"


def test_unknown_settings_are_refused(own_box: SandboxProcess) -> None:
    with pytest.raises(SandboxError, match="unknown setting 'no_such'; known: limits"):
        own_box.control.settings(no_such=1)


def test_null_is_ignored_or_clears(own: Api, changed: Change) -> None:
    made = own.post(COMPANIES, {"properties": {"reason": "r"}}, 201)
    body = {"properties": {"reason": None}}
    own("PATCH", f"{COMPANIES}/{made['id']}", body, status=200)
    assert own.get(f"{COMPANIES}/{made['id']}", properties="reason")["properties"]["reason"] == "r"
    changed(null_clears=True)
    own("PATCH", f"{COMPANIES}/{made['id']}", body, status=200)
    assert own.get(f"{COMPANIES}/{made['id']}", properties="reason")["properties"]["reason"] is None


def test_json_numbers(own: Api, changed: Change) -> None:
    own.post(COMPANIES, {"properties": {"health_score": 5}}, 201)
    changed(numbers_tolerated=False)
    own.post(COMPANIES, {"properties": {"health_score": 5}}, 400)


@pytest.mark.parametrize("bumps", [True, False])
def test_the_same_value_again(own: Api, own_box: SandboxProcess, changed: Change, bumps: bool) -> None:
    changed(noop_bumps_modified=bumps)
    made = own.post(COMPANIES, {"properties": {"health_score": "5"}}, 201)
    own_box.control.clock(advance=10)
    again = own.update({"id": made["id"], "properties": {"health_score": "5"}})["results"][0]
    assert (again["updatedAt"] > made["updatedAt"]) is bumps
    history = own.get(f"{COMPANIES}/{made['id']}", propertiesWithHistory="health_score")["propertiesWithHistory"]["health_score"]
    assert len(history) == 1


def test_statuses(own: Api, own_box: SandboxProcess, changed: Change) -> None:
    [key] = own_box.control.seed("companies", [{"name": "S", "ext_key": "switch"}])
    changed(unique_conflict=400, repeat_delete=404, read_archived=200, read_only_write=404, group_missing=404, group_exists=400)
    changed(search_unknown_property=200)
    assert own.post(COMPANIES, {"properties": {"ext_key": "switch"}}, 400)["category"] == "VALIDATION_ERROR"
    own("DELETE", f"{COMPANIES}/{key}", status=204)
    own("DELETE", f"{COMPANIES}/{key}", status=404)
    assert own.get(f"{COMPANIES}/{key}")["archived"] is True
    assert own("POST", "/crm/v3/objects/contracts", {"properties": {"hs_name": "x"}}).status_code == 404
    lost = {"name": "lost", "label": "l", "type": "string", "fieldType": "text", "groupName": "nowhere"}
    own.post("/crm/v3/properties/companies", lost, 404)
    own.post("/crm/v3/properties/companies/groups", {"name": "customer_health", "label": "x"}, 400)
    assert own.search(where("nothing", "EQ", "x"))["total"] == 0


def test_updates_may_ignore_trace_ids(own: Api, own_box: SandboxProcess, changed: Change) -> None:
    ids = own_box.control.seed("companies", [{"name": "A"}, {"name": "B"}])
    changed(update_trace_ids=False)
    rows = [{"id": key, "properties": {"health_score": value}, "objectWriteTraceId": key} for key, value in zip(ids, ("1", "x"), strict=True)]
    own.update(*rows, status=400)


@pytest.mark.parametrize("bumps", [True, False])
def test_restoring(own: Api, own_box: SandboxProcess, changed: Change, bumps: bool) -> None:
    changed(restore_bumps_modified=bumps)
    made = own.post(COMPANIES, {"properties": {"name": "Back"}}, 201)
    own("DELETE", f"{COMPANIES}/{made['id']}", status=204)
    own_box.control.clock(advance=10)
    own_box.control.call("restore", {"object": "companies", "ids": [made["id"]]})
    assert (own.get(f"{COMPANIES}/{made['id']}")["updatedAt"] > made["updatedAt"]) is bumps


def test_roll_ups_come_late(own: Api, own_box: SandboxProcess, changed: Change) -> None:
    changed(rollup_delay_seconds=60)
    [company] = own_box.control.seed("companies", [{"name": "C"}])
    deals = own_box.control.seed("deals", [{"dealname": "D"}])
    own_box.control.call("associate", {"from": "deals", "to": "companies", "pairs": [[deals[0], company]]})

    def count() -> str:
        return str(own.get(f"{COMPANIES}/{company}", properties="num_associated_deals")["properties"]["num_associated_deals"])

    assert count() == "0"
    own_box.control.clock(advance=61)
    assert count() == "1"


def test_a_property_in_use_stays(own: Api, changed: Change) -> None:
    changed(properties_in_use=["companies.reason"])
    refused = own("DELETE", "/crm/v3/properties/companies/reason", status=400).json()
    assert refused["subCategory"] == "PropertyValidationError.CANNOT_DELETE_PROPERTY_IN_USE"


def test_a_formula_names_properties_that_exist(own: Api) -> None:
    base = {"label": "f", "type": "number", "fieldType": "calculation_equation", "groupName": "customer_health"}
    own.post("/crm/v3/properties/companies", {"name": "wrong", "calculationFormula": "health_score * lost", **base}, 404)
    made = own.post("/crm/v3/properties/companies", {"name": "right", "calculationFormula": "max(health_score, 2)", **base}, 201)
    assert made["calculated"] is True
    refused = own.post(COMPANIES, {"properties": {"right": "5"}}, 400)
    assert refused["errors"][0]["code"] == "READ_ONLY_VALUE"


def test_missing_scopes_may_stand_on_top(own_box: SandboxProcess, changed: Change) -> None:
    changed(scopes_on_top=True)
    api = Api(own_box, own_box.control.call("token", {"scopes": []})["token"])
    assert api("GET", COMPANIES, status=403).json()["context"] == {"requiredGranularScopes": ["crm.objects.companies.read"]}


def test_leads_need_a_contact(own: Api, own_box: SandboxProcess) -> None:
    [contact] = own_box.control.seed("contacts", [{"email": "lead@example.com"}])
    body: dict[str, Any] = {"properties": {"hs_lead_name": "CSQL", "hs_lead_type": "UPSELL"}}
    own.post("/crm/v3/objects/leads", body, 400)
    body["associations"] = [{"to": {"id": contact}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 578}]}]
    own.post("/crm/v3/objects/leads", body, 201)


def test_email_contents_need_a_scope_of_their_own(own_box: SandboxProcess) -> None:
    [key] = own_box.control.seed("emails", [{"hs_email_subject": "Secret", "hs_email_direction": "EMAIL"}])
    names = "hs_email_subject,hs_email_direction"
    for scopes, subject in ((["crm.objects.contacts.read"], ""), (["crm.objects.contacts.read", "sales-email-read"], "Secret")):
        api = Api(own_box, own_box.control.call("token", {"scopes": scopes})["token"])
        values = api.get(f"/crm/v3/objects/emails/{key}", properties=names)["properties"]
        assert (values["hs_email_subject"], values["hs_email_direction"]) == (subject, "EMAIL")


def test_many_writers_at_once_lose_nothing(box: SandboxProcess) -> None:
    ids = box.control.seed("companies", [{"name": f"Busy {number}"} for number in range(100)])
    before = box.control.stats()["calls"].get("batch_update", 0)
    failed: list[Any] = []

    def work(writer: int) -> None:
        api = Api(box)
        for number in range(5):
            name = ("health_score", "annualrevenue", "numberofemployees", "reason")[writer]
            rows = [{"id": key, "properties": {name: str(number)}, "objectWriteTraceId": key} for key in ids]
            answer = api("POST", f"{COMPANIES}/batch/update", {"inputs": rows})
            if answer.status_code != 200:
                failed.append(answer.text)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    rows = {row["id"]: row for row in box.control.dump("companies", fields="health_score,annualrevenue,numberofemployees,reason")}
    assert {tuple(rows[key].values())[1:] for key in ids} == {("4", "4", "4", "4")}
    assert box.control.stats()["calls"]["batch_update"] >= before + 20
