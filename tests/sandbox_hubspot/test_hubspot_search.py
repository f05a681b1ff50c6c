"""Search: operators, caps, sort, index lag."""

from collections.abc import Callable
from typing import Any

import pytest

from connectors.sandbox_kit import SandboxProcess
from tests.sandbox_hubspot.conftest import Api, where

ROWS: list[dict[str, Any]] = [
    {"name": "Alpha Trading", "city": "Oslo", "health_score": "10", "renews_on": "2026-01-31", "health_band": "red", "health_tags": "red;green"},
    {"name": "Beta", "city": "Oslo", "health_score": "50", "renews_on": "2026-02-28", "health_band": "green", "csql_flag": "true"},
    {"name": "Gamma Trading Co", "city": "oslo", "health_score": "100", "scored_at": "2026-03-01T00:00:00.000Z"},
    {"name": "Delta", "city": "Bergen"},
]


@pytest.fixture(scope="module")
def ids(own_box: SandboxProcess) -> list[str]:
    return own_box.control.seed("companies", ROWS)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (where("city", "EQ", "OSLO"), [0, 1, 2]),
        (where("city", "NEQ", "oslo"), [3]),
        (where("city", "IN", values=["oslo"]), [0, 1, 2]),
        (where("city", "IN", values=["Oslo"]), []),  # only lower-case values match
        (where("city", "NOT_IN", values=["oslo"]), [3]),
        (where("health_score", "GT", "10"), [1, 2]),
        (where("health_score", "BETWEEN", "10", highValue="50"), [0, 1]),
        (where("health_score", "NOT_HAS_PROPERTY"), [3]),
        (where("health_band", "HAS_PROPERTY"), [0, 1]),
        (where("name", "CONTAINS_TOKEN", "trading"), [0, 2]),
        (where("name", "CONTAINS_TOKEN", "trad*"), [0, 2]),
        (where("name", "NOT_CONTAINS_TOKEN", "trading"), [1, 3]),
        (where("renews_on", "LTE", "1769817600000"), [0]),  # 2026-01-31 in epoch milliseconds
        (where("scored_at", "GTE", "2026-03-01T00:00:00Z"), [2]),
        (where("csql_flag", "EQ", "true"), [1]),
        (where("health_tags", "EQ", "green"), [0]),
    ],
)
def test_operators(own: Api, ids: list[str], rule: dict[str, Any], expected: list[int]) -> None:
    assert own.found(rule) == [ids[number] for number in expected]


def test_groups_are_alternatives_and_filters_hold_together(own: Api, ids: list[str]) -> None:
    groups = [{"filters": [where("city", "EQ", "oslo"), where("health_score", "LT", "20")]}, {"filters": [where("name", "EQ", "delta")]}]
    found = own.post("/crm/v3/objects/companies/search", {"filterGroups": groups, "sorts": [{"propertyName": "name", "direction": "DESCENDING"}]})
    assert [item["id"] for item in found["results"]] == [ids[3], ids[0]]
    assert own.post("/crm/v3/objects/companies/search", {"filters": [where("name", "EQ", "delta")]})["total"] == 1
    assert own.post("/crm/v3/objects/companies/search", {})["total"] == 4


def test_refusals(own: Api, ids: list[str]) -> None:
    own.search(where("name", "LIKE", "x"), status=400)
    own.search(where("nothing", "EQ", "x"), status=400)
    own.search(status=400, limit=201)
    own.search(status=400, sorts=[{"propertyName": "name"}, {"propertyName": "city"}])
    own.search(status=400, after="9900", limit=200)
    own.search(*[where("name", "EQ", "x")] * 7, status=400)
    own.search(where("name", "EQ", "x"), status=400, properties=["p" * 3_000])
    assert own.search(after="9800", limit=200)["results"] == []


def test_a_contact_filter_on_the_usual_stamp_finds_nothing_without_a_word(own: Api, own_box: SandboxProcess) -> None:
    own_box.control.seed("contacts", [{"email": "search@example.com"}])
    assert own.search(where("hs_lastmodifieddate", "GTE", "0"), kind="contacts")["total"] == 0
    assert own.search(where("lastmodifieddate", "GTE", "0"), kind="contacts")["total"] == 1


def test_a_keyset_inside_a_window_passes_the_wall(own: Api, own_box: SandboxProcess) -> None:
    stamp = "2026-05-01T00:00:00.000Z"
    made = own_box.control.seed("products", [{"name": str(number), "hs_lastmodifieddate": stamp} for number in range(10_450)])
    window = [where("hs_lastmodifieddate", "GTE", "1777593600000"), where("hs_lastmodifieddate", "LT", "1777593600001")]
    first = own.search(*window, kind="products", limit=200)
    assert first["total"] == 10_450
    assert first["paging"]["next"]["after"] == "200"
    last = made[10_199]
    rest = []
    while True:
        page = own.found(
            *window, where("hs_object_id", "GT", last), kind="products", limit=200, sorts=[{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
        )
        if not page:
            break
        rest += page
        last = page[-1]
    assert rest == made[10_200:]


def test_the_index_lags_behind_the_records(own: Api, own_box: SandboxProcess, changed: Callable[..., None]) -> None:
    [key] = own_box.control.seed("tickets", [{"subject": "Before", "hs_pipeline_stage": "1"}])
    changed(index_lag_seconds=30)
    own_box.control.clock(now="2027-01-01T00:00:00Z", frozen=True)
    own.update({"id": key, "properties": {"subject": "After"}}, kind="tickets")
    new = own.post("/crm/v3/objects/tickets", {"properties": {"subject": "New", "hs_pipeline_stage": "1"}}, 201)["id"]

    def subjects() -> list[str]:
        return [item["properties"]["subject"] for item in own.search(kind="tickets")["results"]]

    assert own.get(f"/crm/v3/objects/tickets/{key}")["properties"]["subject"] == "After"
    assert subjects() == ["Before"]
    own_box.control.clock(advance=20)
    own.update({"id": key, "properties": {"subject": "Later"}}, kind="tickets")
    own_box.control.clock(advance=10)
    assert subjects() == ["After", "New"]
    own_box.control.call("archive", {"object": "tickets", "ids": [new]})
    own_box.control.clock(advance=20)
    assert subjects() == ["Later"]


def test_associated_records_are_found_by_the_pseudo_property(own: Api, own_box: SandboxProcess, ids: list[str]) -> None:
    deals = own_box.control.seed("deals", [{"dealname": "D1"}, {"dealname": "D2"}])
    own_box.control.call("associate", {"from": "deals", "to": "companies", "pairs": [[deals[1], ids[0]]]})
    assert own.found(where("associations.company", "EQ", ids[0]), kind="deals") == [deals[1]]
