"""Associations: inline with its cap, v4 reads with 207 for none, labels, primary companies; merge and GDPR delete."""

from collections.abc import Callable

import pytest

from connectors.sandbox_kit import SandboxProcess
from tests.sandbox_hubspot.conftest import Api

READ = "/crm/v4/associations/deals/companies/batch/read"


def link(box: SandboxProcess, kind: str, to: str, *pairs: tuple[str, str], **more: object) -> None:
    box.control.call("associate", {"from": kind, "to": to, "pairs": [list(pair) for pair in pairs], **more})


@pytest.mark.parametrize("path", [READ, "/crm/associations/2026-03/deals/companies/batch/read"])
def test_no_association_is_207_and_not_a_failure(api: Api, box: SandboxProcess, path: str) -> None:
    deals = box.control.seed("deals", [{"dealname": "Linked"}, {"dealname": "Lonely"}])
    companies = box.control.seed("companies", [{"name": "First"}, {"name": "Second"}])
    link(box, "deals", "companies", (deals[0], companies[0]), (deals[0], companies[1]))
    stamp = api.get(f"/crm/v3/objects/deals/{deals[0]}")["updatedAt"]
    answer = api.post(path, {"inputs": [{"id": key} for key in deals]}, 207)
    [found] = answer["results"]
    assert found["from"] == {"id": deals[0]}
    assert [item["toObjectId"] for item in found["to"]] == [int(key) for key in companies]
    labels = [[(item["typeId"], item["label"]) for item in entry["associationTypes"]] for entry in found["to"]]
    assert labels == [[(5, "Primary"), (341, None)], [(341, None)]]
    [error] = answer["errors"]
    assert error["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert error["message"] == f"No company is associated with deal {deals[1]}."
    assert error["context"] == {"fromObjectId": [deals[1]], "fromObjectType": ["deal"], "toObjectType": ["company"]}
    assert api.get(f"/crm/v3/objects/deals/{deals[0]}")["updatedAt"] == stamp


def test_pages_of_one_input(api: Api, box: SandboxProcess) -> None:
    [company] = box.control.seed("companies", [{"name": "Many"}])
    contacts = box.control.seed("contacts", [{"firstname": str(number)} for number in range(620)])
    link(box, "contacts", "companies", *[(key, company) for key in contacts])
    path = "/crm/v4/associations/companies/contacts/batch/read"
    first = api.post(path, {"inputs": [{"id": company}]})["results"][0]
    assert len(first["to"]) == 500
    rest = api.post(path, {"inputs": [{"id": company, "after": first["paging"]["next"]["after"]}]})["results"][0]
    assert [item["toObjectId"] for item in first["to"] + rest["to"]] == [int(key) for key in contacts]
    assert "paging" not in rest
    inline = api.get(f"/crm/v3/objects/companies/{company}", associations="contacts")["associations"]["contacts"]
    assert len({item["id"] for item in inline["results"]}) == 100
    assert inline["paging"]["next"]["after"]
    alone = api.get(f"/crm/v4/objects/companies/{company}/associations/contacts", limit=500)
    assert len(alone["results"]) == 500
    assert api.get(f"/crm/v3/objects/contacts/{contacts[0]}", properties="associatedcompanyid")["properties"]["associatedcompanyid"] == company
    rollup = api.get(f"/crm/v3/objects/companies/{company}", properties="num_associated_contacts")["properties"]
    assert rollup["num_associated_contacts"] == "620"


def test_the_key_of_line_items_has_a_space_and_none_has_no_key(api: Api, box: SandboxProcess) -> None:
    [deal] = box.control.seed("deals", [{"dealname": "With items"}])
    [item] = box.control.seed("line_items", [{"name": "Seat", "price": "1"}])
    link(box, "deals", "line_items", (deal, item))
    found = api.get(f"/crm/v3/objects/deals/{deal}", associations="line_items,companies")["associations"]
    assert found == {"line items": {"results": [{"id": item, "type": "deal_to_line_item"}]}}
    assert "associations" not in api.get(f"/crm/v3/objects/deals/{deal}", associations="companies")


def test_limits_and_wrong_directions(api: Api, box: SandboxProcess) -> None:
    api.post(READ, {"inputs": [{"id": str(number)} for number in range(1_001)]}, 400)
    [deal] = box.control.seed("deals", [{"dealname": "D"}])
    [company] = box.control.seed("companies", [{"name": "C"}])
    path = f"/crm/v4/objects/deals/{deal}/associations/companies/{company}"
    wrong = api("PUT", path, [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 342}], status=400).json()
    assert "invalid from object type 0-3 for associations to be created. expected: 0-2" in wrong["message"]
    assert api("PUT", path, [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 999_999}], status=400).json()["message"] == (
        "One or more associations are invalid"
    )
    api("PUT", path, [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 341}], status=201)
    api("DELETE", path, status=204)
    assert api.get(f"/crm/v4/objects/deals/{deal}/associations/companies")["results"] == []


def test_a_new_primary_company_takes_the_place_of_the_old_one(api: Api, box: SandboxProcess) -> None:
    [deal] = box.control.seed("deals", [{"dealname": "D"}])
    companies = box.control.seed("companies", [{"name": "Old"}, {"name": "New"}])
    body = {"inputs": [{"from": {"id": deal}, "to": {"id": key}} for key in companies]}
    api.post("/crm/v4/associations/deals/companies/batch/associate/default", body)
    spec = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 5}]
    api.post(
        "/crm/v4/associations/deals/companies/batch/create", {"inputs": [{"from": {"id": deal}, "to": {"id": companies[1]}, "types": spec}]}, 201
    )
    rows = api.get(f"/crm/v4/objects/deals/{deal}/associations/companies")["results"]
    primary = [row["toObjectId"] for row in rows if any(item["label"] == "Primary" for item in row["associationTypes"])]
    assert primary == [int(companies[1])]
    api.post(
        "/crm/v4/associations/deals/companies/batch/archive", {"inputs": [{"from": {"id": deal}, "to": [{"id": key} for key in companies]}]}, 204
    )
    assert api.get(f"/crm/v4/objects/deals/{deal}/associations/companies")["results"] == []


def test_own_labels_lead_both_ways(api: Api, box: SandboxProcess) -> None:
    base = "/crm/v4/associations/contacts/companies/labels"
    known = {(item["typeId"], item["label"]) for item in api.get(base)["results"]}
    assert {(1, "Primary"), (279, None)} <= known
    made = api.post(base, {"name": "champion", "label": "Champion"})["results"][0]
    [contact] = box.control.seed("contacts", [{"firstname": "Labelled"}])
    [company] = box.control.seed("companies", [{"name": "Labelled"}])
    spec = [{"associationCategory": "USER_DEFINED", "associationTypeId": made["typeId"]}]
    api("PUT", f"/crm/v4/objects/contacts/{contact}/associations/companies/{company}", spec, status=201)
    back = api.get(f"/crm/v4/objects/companies/{company}/associations/contacts")["results"][0]["associationTypes"]
    assert "Champion" in {item["label"] for item in back}


def test_a_merge_makes_a_new_id_to_which_both_old_ones_lead(api: Api, box: SandboxProcess) -> None:
    companies = box.control.seed("companies", [{"name": "Kept", "city": ""}, {"name": "Lost", "city": "Rome"}])
    [deal] = box.control.seed("deals", [{"dealname": "Moves"}])
    link(box, "deals", "companies", (deal, companies[1]))
    merged = api.post("/crm/v3/objects/companies/merge", {"primaryObjectId": companies[0], "objectIdToMerge": companies[1]})
    assert merged["id"] not in companies
    assert merged["properties"]["hs_merged_object_ids"] == ";".join(companies)
    for old in companies:
        read = api.get(f"/crm/v3/objects/companies/{old}", properties="name,city")
        assert (read["id"], read["properties"]["name"], read["properties"]["city"]) == (merged["id"], "Kept", "Rome")
    listed = {item["id"] for item in api.get("/crm/v3/objects/companies", limit=100, archived="true")["results"]}
    assert not listed & set(companies)
    assert api.get(f"/crm/v4/objects/deals/{deal}/associations/companies")["results"][0]["toObjectId"] == int(merged["id"])
    updated = api.update({"id": companies[1], "properties": {"health_score": "7"}})["results"][0]
    assert updated["id"] == merged["id"]


def test_a_merge_may_keep_the_primary_id(own: Api, own_box: SandboxProcess, changed: Callable[..., None]) -> None:
    changed(merge_mints_id=False)
    ids = own_box.control.seed("companies", [{"name": "Kept"}, {"name": "Lost"}])
    assert own_box.control.call("merge", {"primary": ids[0], "other": ids[1]}) == {"id": ids[0]}
    read = own.get(f"/crm/v3/objects/companies/{ids[1]}", properties="hs_merged_object_ids")
    assert (read["id"], read["properties"]["hs_merged_object_ids"]) == (ids[0], ids[1])


def test_gdpr_delete_leaves_nothing(api: Api, box: SandboxProcess) -> None:
    [contact] = box.control.seed("contacts", [{"email": "forget@example.com"}])
    api("POST", "/crm/v3/objects/contacts/gdpr-delete", {"objectId": "forget@example.com", "idProperty": "email"}, status=204)
    api.get(f"/crm/v3/objects/contacts/{contact}", 404)
    api.get(f"/crm/v3/objects/contacts/{contact}", 404, archived="true")
