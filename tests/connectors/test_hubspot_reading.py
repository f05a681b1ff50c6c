"""Reading from HubSpot: nothing is lost at the search's wall, in its index, in the bin or in a merge; records know the company they belong to."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Window
from connectors.errors import Misfit
from connectors.hubspot.connector import HubSpot
from connectors.sandbox_kit import SandboxProcess
from mappings.models import Source
from tests.connectors import hubs, orgs

EVER = Window(None, datetime(2100, 1, 1, tzinfo=UTC))
DEAL = {"dealname": "契約", "dealstage": "closedwon"}


def source(object_name: str, *paths: str) -> Source:
    return Source.model_validate({"object": object_name, "columns": {f"c{n}": path for n, path in enumerate(paths)}})


def read(crm: HubSpot, given: Source, window: Window, folder: Path) -> dict[str, dict[str, Any]]:
    """Rows by id; a row that comes twice is a fault here."""
    rows = orgs.rows(crm.read(given, [], window, folder / "pages", None))
    found = {row["_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def associate(box: SandboxProcess, from_: str, to: str, *pairs: tuple[str, str], **more: Any) -> None:
    box.control.call("associate", {"from": from_, "to": to, "pairs": [list(p) for p in pairs], **more})


def around(box: SandboxProcess, back_s: float = 60) -> Window:
    now = datetime.fromisoformat(box.control.info()["now"])
    return Window(now - timedelta(seconds=back_s), now + timedelta(seconds=60))


@pytest.mark.parametrize(("n", "spread_ms"), [(15_000, 0), (12_000, 7)], ids=["one and the same instant", "one after the other"])
def test_an_increment_past_the_wall_of_the_search_is_read_whole(own_hub: SandboxProcess, tmp_path: Path, n: int, spread_ms: int) -> None:
    """15,000 companies changed at one and the same instant, or 12,000 at one each; the search shows 10,000 at most (reference sheet, 2.5)."""
    first = datetime(2026, 11, 30, 3, tzinfo=UTC)
    stamps = [(first + timedelta(milliseconds=spread_ms * i)).isoformat(timespec="milliseconds") for i in range(n)]
    ids = own_hub.control.seed("companies", [{"name": str(i), "createdate": at, "hs_lastmodifieddate": at} for i, at in enumerate(stamps)])
    crm = hubs.open_crm(own_hub)
    found = read(crm, source("companies", "name"), Window(first, first + timedelta(milliseconds=spread_ms * n + 1)), tmp_path)
    assert found.keys() == set(ids)
    # searches of 200 and an empty one, batches of 100, the bin, no list of everything
    assert (crm.calls.by_kind["search"], crm.calls.by_kind["batch_read"], crm.calls.by_kind["list"]) == (n // 200 + 1, n // 100, 1)


def test_a_full_read_lists_every_page_and_the_bin(hub: SandboxProcess, tmp_path: Path) -> None:
    ids = hubs.make_companies(hub, 120)
    hub.control.call("archive", {"object": "companies", "ids": ids[:1]})
    found = read(hubs.open_crm(hub), source("companies", "name"), EVER, tmp_path)
    assert set(ids) <= found.keys()
    assert found[ids[0]]["_deleted"] == "true"
    assert found[ids[1]]["_deleted"] == "false"
    assert found[ids[1]]["name"] == "会社1"


def test_a_page_that_is_too_much_for_hubspot_is_halved(hub: SandboxProcess, tmp_path: Path) -> None:
    ids = hub.control.seed("notes", [{"hs_note_body": "長い"}] * 60)
    hub.control.faults({"kind": "http", "body": "internal", "path": "/notes$", "query": "limit=100", "count": None})
    hub.control.faults({"kind": "http", "body": "html_504", "path": "/notes$", "query": "limit=50", "count": None})
    assert set(ids) <= read(hubs.open_crm(hub), source("notes", "hs_note_body"), EVER, tmp_path).keys()


def test_what_the_index_shows_late_is_in_the_next_window(own_hub: SandboxProcess, tmp_path: Path) -> None:
    own_hub.control.settings(index_lag_seconds=60)
    own_hub.control.clock(now="2026-11-30T03:00:00Z", frozen=True)
    crm = hubs.open_crm(own_hub)
    # made by a person: seeded records are in the index at once
    own_hub.control.call("write", {"object": "companies", "operation": "insert", "rows": [{"name": "遅い会社"}]})
    (late,) = hubs.stored(own_hub, "companies", "name")
    first = datetime(2026, 11, 30, 3, 0, 1, tzinfo=UTC)
    assert late not in read(crm, source("companies", "name"), Window(first - timedelta(hours=1), first), tmp_path)
    own_hub.control.clock(advance=90)
    assert late in read(crm, source("companies", "name"), Window(first, first + timedelta(seconds=90)), tmp_path)


def test_an_increment_finds_what_was_archived_in_it(hub: SandboxProcess, tmp_path: Path) -> None:
    stamp = "2026-01-05T03:00:00.000Z"  # archiving does not move it
    old, gone = hub.control.seed("companies", [{"name": n, "createdate": stamp, "hs_lastmodifieddate": stamp} for n in "ab"])
    hub.control.call("archive", {"object": "companies", "ids": [gone]})
    found = read(hubs.open_crm(hub), source("companies", "name"), around(hub), tmp_path)
    assert found[gone]["_deleted"] == "true"
    assert old not in found


@pytest.mark.parametrize("mints", [True, False])
def test_a_merge_leads_from_the_old_ids_to_the_survivor(hub: SandboxProcess, mints: bool, tmp_path: Path) -> None:
    hub.control.settings(merge_mints_id=mints)
    kept, other = hubs.make_companies(hub, 2)
    survivor = str(hub.control.call("merge", {"object": "companies", "primary": kept, "other": other})["id"])
    for window in (around(hub), EVER):
        found = read(hubs.open_crm(hub), source("companies", "name"), window, tmp_path)
        assert (found[survivor]["_deleted"], found[survivor]["_master_id"]) == ("false", None)
        assert (found[other]["_deleted"], found[other]["_master_id"]) == ("true", survivor)


def test_a_property_that_is_gone_is_named_and_null(own_hub: SandboxProcess, tmp_path: Path) -> None:
    (only,) = hubs.make_companies(own_hub, 1, domain="a.example")
    own_hub.control.call("drop_field", {"object": "companies", "field": "csh_reason"})
    result = hubs.open_crm(own_hub).read(source("companies", "domain", "csh_reason"), [], EVER, tmp_path / "pages", None)
    assert result.missing_fields == ("csh_reason",)
    assert [(r["_id"], r["domain"], r["csh_reason"]) for r in orgs.rows(result)] == [(only, "a.example", None)]


def test_a_contract_line_knows_the_company_of_its_deal(hub: SandboxProcess, tmp_path: Path) -> None:
    company, _ = hubs.make_companies(hub, 2)
    deal, stray = hub.control.seed("deals", [DEAL, DEAL])
    line, lone, of_stray = hub.control.seed("line_items", [{"name": "席", "quantity": "25"}] * 3)
    associate(hub, "line_items", "deals", (line, deal), (of_stray, stray))
    associate(hub, "deals", "companies", (deal, company))
    company_path, stage = "associations.deals.associations.companies", "associations.deals.dealstage"
    given = source("line_items", "quantity", "associations.deals", company_path, stage)
    found = read(hubs.open_crm(hub), given, EVER, tmp_path)
    seen = {i: (found[i]["associations.deals"], found[i][company_path], found[i][stage]) for i in (line, lone, of_stray)}
    assert seen == {line: (deal, company, "closedwon"), lone: (None, None, None), of_stray: (stray, None, "closedwon")}
    assert found[line]["quantity"] == "25"

    crm = hubs.open_crm(hub)
    again = orgs.rows(crm.read_ids(given, [], [company], tmp_path / "again", by=company_path))
    assert [(r["_id"], r[company_path]) for r in again] == [(line, company)]


def test_the_primary_company_counts_else_the_oldest(hub: SandboxProcess, tmp_path: Path) -> None:
    first, second = hubs.make_companies(hub, 2)
    (contact, other) = hub.control.seed("contacts", [{"email": f"a{first}@a.example"}, {"email": f"b{first}@a.example"}])
    associate(hub, "contacts", "companies", (contact, first), (contact, second), type_id=279)
    associate(hub, "contacts", "companies", (other, first), type_id=279)
    associate(hub, "contacts", "companies", (other, second), type_id=1)
    found = read(hubs.open_crm(hub), source("contacts", "associations.companies"), EVER, tmp_path)
    assert found[other]["associations.companies"] == second
    assert found[contact]["associations.companies"] in (first, second)


@pytest.mark.parametrize("object_name", ["contacts", "tickets", "calls", "meetings", "deals"])
def test_an_increment_of_every_type_brings_its_company(hub: SandboxProcess, object_name: str, tmp_path: Path) -> None:
    (company,) = hubs.make_companies(hub, 1)
    (only,) = hub.control.seed(object_name, [{"email": f"c{company}@a.example"} if object_name == "contacts" else {}])
    associate(hub, object_name, "companies", (only, company))
    found = read(hubs.open_crm(hub), source(object_name, "associations.companies"), around(hub), tmp_path)
    assert found[only]["associations.companies"] == company


def test_single_records_come_by_id_whatever_became_of_them(hub: SandboxProcess, tmp_path: Path) -> None:
    live, gone, kept, other = hubs.make_companies(hub, 4)
    hub.control.call("archive", {"object": "companies", "ids": [gone]})
    survivor = str(hub.control.call("merge", {"object": "companies", "primary": kept, "other": other})["id"])
    result = hubs.open_crm(hub).read_ids(source("companies", "name"), [], [live, gone, other, "999999999"], tmp_path / "p")
    found = {r["_id"]: (r["_deleted"], r["_master_id"]) for r in orgs.rows(result)}
    assert found[live] == ("false", None)
    assert found[gone] == ("true", None)
    assert found[other] == ("true", survivor)
    assert "999999999" not in found


def test_owners_are_read_whole_with_their_names(hub: SandboxProcess, tmp_path: Path) -> None:
    owners = hub.control.info()["owners"]
    found = read(hubs.open_crm(hub), source("owners", "name", "active", "team"), around(hub), tmp_path)
    assert {o["id"] for o in owners} <= found.keys()
    assert all(row["name"] and row["active"] in ("true", "false") for row in found.values())


def test_a_filter_is_refused_before_anything_is_read(hub: SandboxProcess, tmp_path: Path) -> None:
    given = source("companies", "name").model_copy(update={"filter": "name = 'x'"})
    with pytest.raises(Misfit, match="lists cannot filter"):
        hubs.open_crm(hub).read(given, [], EVER, tmp_path / "p", None)


def test_a_request_of_a_person_is_found_by_one_call(hub: SandboxProcess) -> None:
    asked, _ = hubs.make_companies(hub, 2)
    hub.control.call("write", {"object": "companies", "rows": [{"id": asked, "csh_requested": "2026-12-01T03:00:00Z"}]})
    crm = hubs.open_crm(hub)
    crm.describe("account")
    since = datetime(2026, 12, 1, 2, tzinfo=UTC)
    assert crm.requests(hubs.COMPANIES, hubs.REQUESTED, since)[asked] == "2026-12-01T03:00:00Z"
    assert asked not in crm.requests(hubs.COMPANIES, hubs.REQUESTED, since + timedelta(hours=2))
    assert crm.calls.by_kind["resync_poll"] == 2
