"""Objects one by one and listed: shapes, default properties, values and their refusals, stamps, archive."""

from typing import Any

import pytest

from connectors.sandbox_kit import SandboxProcess
from tests.sandbox_hubspot.conftest import Api

BASES = ["/crm/v3/objects", "/crm/objects/2026-03", "/crm/objects/2026-09"]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", ["companies", "company", "0-2"])
def test_both_path_families_and_every_name_of_a_type_reach_the_same_record(api: Api, base: str, kind: str) -> None:
    made = api.post(f"{base}/{kind}", {"properties": {"name": "Acme"}}, 201)
    read = api.get(f"/crm/v3/objects/companies/{made['id']}")
    assert read["properties"]["name"] == "Acme"
    assert read["properties"]["hs_object_id"] == made["id"]
    assert read["updatedAt"] == read["properties"]["hs_lastmodifieddate"]


def test_reading_drops_unknown_names_and_shows_unset_ones_as_null(api: Api, box: SandboxProcess) -> None:
    [key] = box.control.seed("companies", [{"name": "Nulls"}])
    found = api.get(f"/crm/v3/objects/companies/{key}?properties=name,health_score&properties=no_such_thing")
    assert list(found["properties"]) == ["createdate", "health_score", "hs_lastmodifieddate", "hs_object_id", "name"]
    assert found["properties"]["health_score"] is None
    assert set(api.get(f"/crm/v3/objects/companies/{key}")["properties"]) == {"name", "domain", "createdate", "hs_lastmodifieddate", "hs_object_id"}


def test_contacts_have_another_name_for_last_modified(api: Api) -> None:
    made = api.post("/crm/v3/objects/contacts", {"properties": {"email": "Ann.Ono@Example.com"}}, 201)
    assert made["properties"]["email"] == "ann.ono@example.com"
    assert "lastmodifieddate" in made["properties"]
    assert "hs_lastmodifieddate" not in made["properties"]
    assert api.get("/crm/v3/objects/contacts/ann.ono@example.com", idProperty="email")["id"] == made["id"]
    again = api.post("/crm/v3/objects/contacts", {"properties": {"email": "ann.ono@example.com"}}, 409)
    assert again["message"] == f"Contact already exists. Existing ID: {made['id']}"
    assert again["category"] == "CONFLICT"


def test_lists_page_by_id_and_archived_is_a_list_of_its_own(api: Api, box: SandboxProcess) -> None:
    ids = box.control.seed("products", [{"name": f"P{number}"} for number in range(7)])
    box.control.call("archive", {"object": "products", "ids": ids[2:3]})
    seen: list[str] = []
    after = "0"
    while after:
        page = api.get("/crm/v3/objects/products", limit=3, after=after, archived="False")
        seen += [item["id"] for item in page["results"]]
        after = page.get("paging", {}).get("next", {}).get("after", "")
    assert seen == ids[:2] + ids[3:]
    archived = api.get("/crm/v3/objects/products", archived="true")["results"]
    assert [item["id"] for item in archived] == [ids[2]]
    assert archived[0]["archived"] is True
    assert archived[0]["archivedAt"]
    api.get("/crm/v3/objects/products", 400, limit=101)
    api.get("/crm/v3/objects/products", 400, limit=51, propertiesWithHistory="name")


def test_missing_ids_have_the_two_known_bodies(api: Api) -> None:
    missing = api.get("/crm/v3/objects/companies/999", 404)
    assert missing["message"] == "resource not found"
    assert "category" not in missing
    odd = api.get("/crm/v3/objects/companies/abc", 404)
    assert odd["message"] == "Object not found.  objectId are usually numeric."
    assert odd["category"] == "OBJECT_NOT_FOUND"
    assert api("GET", "/crm/v3/objects/butterflies").json()["message"] == "Unable to infer object type from: butterflies"


@pytest.mark.parametrize(
    ("name", "value", "code", "message"),
    [
        ("nonsense", "1", "PROPERTY_DOESNT_EXIST", 'Property "nonsense" does not exist'),
        ("health_score", "high", "INVALID_INTEGER", "health_score was not a valid number"),
        ("health_score", "NaN", "INVALID_INTEGER", "health_score was not a valid number"),
        ("health_band", "blue", "INVALID_OPTION", "blue was not one of the allowed options: [red, yellow, green]"),
        ("csql_flag", "maybe", "INVALID_OPTION", "maybe was not one of the allowed options: [true, false]"),
        ("renews_on", "1606768561954", "INVALID_DATE", "1606768561954 is at 20:36:1.954 UTC, not midnight!"),
        ("renews_on", "2026-02-30", "INVALID_DATE", "2026-02-30 was not a valid date."),
        ("scored_at", "yesterday", "INVALID_LONG", "yesterday was not a valid long."),
        ("num_associated_deals", "3", "READ_ONLY_VALUE", '"num_associated_deals" is a calculated property; its value cannot be set.'),
        ("notes_last_contacted", "0", "READ_ONLY_VALUE", '"notes_last_contacted" is a read only property; its value cannot be set.'),
        ("hubspot_owner_id", "12", "INVALID_OPTION", "12 was not one of the allowed options"),
        ("reason", "x" * 65_537, "VALUE_TOO_LONG", "reason is 65537 characters long; at most 65536 are allowed"),
    ],
)  # fmt: skip
def test_bad_values_are_refused_by_name_and_code(api: Api, box: SandboxProcess, name: str, value: str, code: str, message: str) -> None:
    [key] = box.control.seed("companies", [{"name": "Checked"}])
    refused = api("PATCH", f"/crm/v3/objects/companies/{key}", {"properties": {name: value}}, status=400).json()
    assert refused["category"] == "VALIDATION_ERROR"
    assert refused["message"].startswith('Property values were not valid: [{"isValid":false')
    [error] = refused["errors"]
    assert error["code"] == code
    assert error["context"] == {"propertyName": [name]}
    assert error["message"].startswith(message)


@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [
        ("health_score", "71.5", "71.5"), ("health_score", 71.5, "71.5"), ("csql_flag", "TRUE", "true"), ("renews_on", "1767225600000", "2026-01-01"),
        ("renews_on", "2026-01-01", "2026-01-01"), ("scored_at", "1767225600123", "2026-01-01T00:00:00.123Z"),
        ("scored_at", "2026-01-01T09:00:00+09:00", "2026-01-01T00:00:00.000Z"), ("health_tags", "red;green", "red;green"), ("reason", "a\nb", "a\nb"),
    ],
)  # fmt: skip
def test_good_values_are_stored_in_one_form_and_cleared_by_an_empty_text(api: Api, name: str, given: Any, stored: str) -> None:
    made = api("POST", "/crm/v3/objects/companies", {"properties": {name: given}}, status=201).json()
    assert made["properties"][name] == stored
    cleared = api("PATCH", f"/crm/v3/objects/companies/{made['id']}", {"properties": {name: ""}}, status=200).json()
    assert cleared["properties"][name] is None
    kept = api("PATCH", f"/crm/v3/objects/companies/{made['id']}", {"properties": {"name": "N", name: None}}, status=200).json()
    assert kept["properties"]["name"] == "N"


def test_a_leading_semicolon_appends_to_a_checkbox(api: Api) -> None:
    made = api.post("/crm/v3/objects/companies", {"properties": {"health_tags": "red"}}, 201)
    more = api("PATCH", f"/crm/v3/objects/companies/{made['id']}", {"properties": {"health_tags": ";green;red"}}, status=200).json()
    assert more["properties"]["health_tags"] == "red;green"


def test_history_names_the_source_newest_first(api: Api, box: SandboxProcess) -> None:
    made = api.post("/crm/v3/objects/companies", {"properties": {"health_score": "40"}}, 201)
    box.control.write("csm", "companies", [{"id": made["id"], "health_score": "90"}])
    read = api.get(f"/crm/v3/objects/companies/{made['id']}", propertiesWithHistory="health_score")
    entries = read["propertiesWithHistory"]["health_score"]
    assert [(item["value"], item["sourceType"]) for item in entries] == [("90", "CRM_UI"), ("40", "INTEGRATION")]
    assert entries[1]["sourceId"] == "1160452"
    assert entries[0]["updatedByUserId"] == 10_000_001


def test_archiving_keeps_the_stamp_and_restoring_brings_the_record_back(api: Api, box: SandboxProcess) -> None:
    made = api.post("/crm/v3/objects/companies", {"properties": {"name": "Gone"}}, 201)
    path = f"/crm/v3/objects/companies/{made['id']}"
    for _ in range(2):
        assert api("DELETE", path, status=204).content == b""
    api.get(path, 404)
    assert api.get(path, archived="true")["updatedAt"] == made["updatedAt"]
    box.control.call("restore", {"object": "companies", "ids": [made["id"]]})
    assert api.get(path)["archived"] is False


def test_deals_need_name_and_stage_and_compute_what_follows(api: Api) -> None:
    refused = api.post("/crm/v3/objects/deals", {"properties": {"amount": "10"}}, 400)
    assert refused["context"] == {"properties": ["dealname", "dealstage"]}
    body = {"properties": {"dealname": "Renewal", "dealstage": "closedwon", "amount": "1200"}}
    made = api.post("/crm/v3/objects/deals", body, 201)
    read = api.get(f"/crm/v3/objects/deals/{made['id']}", properties="hs_is_closed,hs_is_closed_won,amount_in_home_currency,pipeline")
    values = read["properties"]
    assert (values["hs_is_closed"], values["hs_is_closed_won"], values["amount_in_home_currency"]) == ("true", "true", "1200")
    assert values["pipeline"] == "default"


def test_line_items_compute_amount_and_recurring_revenue(api: Api) -> None:
    body = {"name": "Seats", "quantity": "10", "price": "30", "discount": "5", "recurringbillingfrequency": "monthly"}
    body |= {"hs_recurring_billing_period": "P24M", "hs_recurring_billing_start_date": "2026-01-31"}
    made = api.post("/crm/v3/objects/line_items", {"properties": body}, 201)
    names = "amount,hs_mrr,hs_arr,hs_tcv,hs_recurring_billing_end_date"
    values = api.get(f"/crm/v3/objects/line_items/{made['id']}", properties=names)["properties"]
    # 10 × (30 − 5) a month; 24 months
    assert [values[name] for name in names.split(",")] == ["250", "250", "3000", "6000", "2028-01-31"]


def test_closing_a_ticket_sets_its_close_date(api: Api) -> None:
    made = api.post("/crm/v3/objects/tickets", {"properties": {"subject": "Broken", "hs_pipeline_stage": "1"}}, 201)
    api("PATCH", f"/crm/v3/objects/tickets/{made['id']}", {"properties": {"hs_pipeline_stage": "4"}}, status=200)
    values = api.get(f"/crm/v3/objects/tickets/{made['id']}", properties="closed_date,time_to_close,hs_pipeline")["properties"]
    assert values["hs_pipeline"] == "0"
    assert values["closed_date"]
    assert int(values["time_to_close"]) >= 0


def test_feedback_is_read_only(api: Api, box: SandboxProcess) -> None:
    [key] = box.control.seed("feedback_submissions", [{"hs_survey_type": "NPS", "hs_value": "9", "hs_response_group": "PROMOTER"}])
    assert api.get(f"/crm/v3/objects/feedback_submissions/{key}", properties="hs_value")["properties"]["hs_value"] == "9"
    assert api("PATCH", f"/crm/v3/objects/feedback_submissions/{key}", {"properties": {"hs_value": "1"}}).status_code == 405


def test_answers_are_zipped_when_asked(api: Api, box: SandboxProcess) -> None:
    box.control.seed("companies", [{"name": f"Zip {number}"} for number in range(30)])
    answer = api("GET", "/crm/v3/objects/companies?limit=100", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert api("GET", "/crm/v3/objects/companies?limit=100", headers={"Accept-Encoding": "identity"}).headers.get("Content-Encoding") is None


def test_a_url_that_is_too_long_gives_414(api: Api) -> None:
    assert api("GET", "/crm/v3/objects/companies?properties=" + "x" * 16_400).status_code == 414


#: type -> number, singular, the properties it must have at creation; null = read only
TYPES: dict[str, tuple[str, str, dict[str, str] | None]] = {
    "companies": ("0-2", "company", {}), "contacts": ("0-1", "contact", {}), "deals": ("0-3", "deal", {"dealname": "d", "dealstage": "closedwon"}),
    "line_items": ("0-8", "line_item", {}), "tickets": ("0-5", "ticket", {"subject": "t", "hs_pipeline_stage": "1"}),
    "products": ("0-7", "product", {}),
    "calls": ("0-48", "call", {"hs_timestamp": "2026-12-01T00:00:00Z"}), "emails": ("0-49", "email", {"hs_timestamp": "2026-12-01T00:00:00Z"}),
    "meetings": ("0-47", "meeting", {"hs_timestamp": "2026-12-01T00:00:00Z"}), "notes": ("0-46", "note", {"hs_timestamp": "2026-12-01T00:00:00Z"}),
    "tasks": ("0-27", "task", {"hs_timestamp": "2026-12-01T00:00:00Z"}), "subscriptions": ("0-69", "subscription", {}),
    "feedback_submissions": ("0-19", "feedback_submission", None), "contracts": ("0-410", "contract", None),
}  # fmt: skip


@pytest.mark.parametrize("base", ["/crm/v3/objects", "/crm/objects/2026-03", "/crm/objects/2026-09"])
@pytest.mark.parametrize("kind", TYPES)
def test_every_type_is_created_and_read_by_each_of_its_names(api: Api, box: SandboxProcess, kind: str, base: str) -> None:
    number, singular, needed = TYPES[kind]
    if needed is None:
        assert api("POST", f"{base}/{kind}", {"properties": {}}).status_code == 405
        (made,) = box.control.seed(kind, [{}])
    else:
        made = api.post(f"{base}/{kind}", {"properties": needed}, 201)["id"]
    for name in (kind, singular, number):
        assert api.get(f"{base}/{name}/{made}")["id"] == made
    assert (
        api.post(f"{base}/{kind}/batch/read", {"inputs": [{"id": made}], "properties": [], "propertiesWithHistory": []})["results"][0]["id"] == made
    )
    assert api.get(f"{base}/{kind}", limit=1)["results"]
