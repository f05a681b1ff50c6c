"""Reading from the sandbox: windows, paging, deletes and merges, hidden fields, Bulk; all against the org's own data."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.base import Window
from connectors.errors import Misfit, Transient
from connectors.salesforce import soql
from connectors.salesforce.connector import Salesforce
from connectors.sandbox_kit import SandboxProcess
from mappings.models import FieldColumn, Source, SqlColumn
from tests.connectors import orgs
from tests.connectors.orgs import REQUESTED, rows

EVER = Window(None, datetime(2100, 1, 1, tzinfo=UTC))


def named(name: str, **more: str) -> Source:
    return Source(object="Account", columns={"name": "Name", **more}, filter=f"Name LIKE '{name}%'")


def make(box: SandboxProcess, name: str, n: int, **values: object) -> list[str]:
    return box.control.seed("Account", [{"Name": f"{name}{i:05d}", **values} for i in range(n)])


@pytest.mark.parametrize("expect", [None, 0, 1_000_000])
def test_every_record_comes_once_by_either_api(box: SandboxProcess, crm: Salesforce, tmp_path: Path, expect: int | None) -> None:
    ids = make(box, f"ever{expect}-", 4500, NumberOfEmployees=7, Website='https://a.example/?q="x",y')
    result = crm.read(named(f"ever{expect}-", employees="NumberOfEmployees", site="Website"), [], EVER, tmp_path / "p", expect)
    found = rows(result)
    assert result.rows == 4500
    assert sorted(row["_id"] for row in found) == sorted(ids)
    assert result.method == ("bulk" if expect == 1_000_000 else "query")
    assert {(row["NumberOfEmployees"], row["Website"], row["_deleted"], row["_master_id"]) for row in found} == {
        ("7", 'https://a.example/?q="x",y', "false", None)
    }
    assert all(row["_modified_at"].endswith("Z") for row in found)


def test_a_window_takes_its_start_and_leaves_its_end(box: SandboxProcess, crm: Salesforce, tmp_path: Path) -> None:
    stamps = ["2026-03-01T00:00:00.000Z", "2026-03-01T00:00:01.000Z", "2026-03-01T00:00:02.000Z"]
    ids = box.control.seed("Account", [{"Name": "win", "SystemModstamp": s} for s in stamps])
    window = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1, 0, 0, 2, tzinfo=UTC))
    found = rows(crm.read(named("win"), [], window, tmp_path / "p", None))
    assert [(row["_id"], row["_modified_at"]) for row in found] == list(zip(ids[:2], stamps[:2], strict=True))


def test_ties_of_one_second_are_all_read_over_pages(box: SandboxProcess, crm: Salesforce, tmp_path: Path) -> None:
    rows_ = [{"Name": f"tie{i}", "SystemModstamp": "2026-02-01T00:00:00.000Z"} for i in range(4100)]
    ids = box.control.seed("Account", rows_)
    box.control.faults({"kind": "http", "body": "invalid_locator", "call": "query_more", "skip": 1})  # the second page's cursor is gone
    found = rows(crm.read(named("tie"), [], EVER, tmp_path / "p", 1))
    assert {row["_id"] for row in found} == set(ids)


def test_deleted_and_merged_records_are_read_with_their_survivor(box: SandboxProcess, crm: Salesforce, tmp_path: Path) -> None:
    ids = make(box, "lost-", 3)
    box.control.write("admin", "Account", [{"Id": ids[0]}], operation="delete")
    box.control.call("merge", {"object": "Account", "master": ids[1], "losers": [ids[2]]})
    for expect in (1, 1_000_000):
        found = {row["_id"]: (row["_deleted"], row["_master_id"]) for row in rows(crm.read(named("lost-"), [], EVER, tmp_path / "p", expect))}
        assert found == {ids[0]: ("true", None), ids[1]: ("false", None), ids[2]: ("true", ids[1])}


def test_relationship_paths_and_empty_parents(box: SandboxProcess, crm: Salesforce, tmp_path: Path) -> None:
    (parent,) = make(box, "par-top", 1, Industry="IT")
    (child, lone) = box.control.seed("Account", [{"Name": "par-a", "ParentId": parent}, {"Name": "par-b"}])
    source = Source(
        object="account",
        columns={"name": "name", "up": "parent.industry", "owner": FieldColumn(field="Owner.Name"), "x": SqlColumn(sql='"Id"', fields=["Id"])},
        filter="Name LIKE 'par-%'",
    )
    for expect in (1, 1_000_000):
        found = {row["_id"]: row for row in rows(crm.read(source, ["CSH_Score__c"], EVER, tmp_path / "p", expect))}
        assert (found[child]["parent.industry"], found[lone]["parent.industry"]) == ("IT", None)
        assert found[child]["Id"] == child
        assert found[child]["CSH_Score__c"] is None


def test_a_hidden_field_is_named_and_read_as_null(box: SandboxProcess, crm: Salesforce, tmp_path: Path) -> None:
    (only,) = make(box, "hid", 1)
    result = crm.read(named("hid", a="Nope__c", b="Parent.Nope__c", c="Nobody.Name"), [], EVER, tmp_path / "p", None)
    assert result.missing_fields == ("Nope__c", "Parent.Nope__c", "Nobody.Name")
    assert [(row["_id"], row["Nope__c"]) for row in rows(result)] == [(only, None)]


@pytest.mark.parametrize("expect", [1, 1_000_000])
def test_a_field_that_vanishes_between_describe_and_read_is_dropped(own_box: SandboxProcess, tmp_path: Path, expect: int) -> None:
    own_box.control.add_fields({"Account.Old__c": {"type": "Text", "length": 20, "label": "Old"}}, visible_to=["integration"])
    crm = orgs.open_crm(own_box)
    make(own_box, "van", 1, Old__c="x")
    source = named("van", old="Old__c")
    assert crm.read(source, [], EVER, tmp_path / "p", expect).missing_fields == ()
    own_box.control.call("hide", {"fields": ["Account.Old__c"]})
    result = crm.read(source, [], EVER, tmp_path / "p", expect)
    assert result.missing_fields == ("Old__c",)
    assert result.rows == 1


def test_an_unknown_object_says_who_must_do_what(crm: Salesforce, tmp_path: Path) -> None:
    with pytest.raises(Misfit, match=r"Nope__c.*admin must grant the object"):
        crm.read(Source(object="Nope__c", columns={"name": "Name"}), [], EVER, tmp_path / "p", None)


def test_long_field_lists_are_split_and_joined_again(box: SandboxProcess, crm: Salesforce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = make(box, "wide", 30, Industry="IT", Phone="03", NumberOfEmployees=5, Website="w")
    monkeypatch.setattr(soql, "URL_BYTES", 560)  # as if the URL had room for two fields
    source = named("wide", a="Industry", b="Phone", c="NumberOfEmployees", d="Website", e="Owner.Name", f="Owner.Alias")
    found = {row["_id"]: row for row in rows(crm.read(source, [], EVER, tmp_path / "p", 1))}
    assert crm.calls.by_kind["query"] > 2
    assert set(found) == set(ids)
    assert {(r["Industry"], r["Phone"], r["NumberOfEmployees"], r["Website"], r["Owner.Alias"] is not None) for r in found.values()} == {
        ("IT", "03", "5", "w", True)
    }


def test_a_query_that_times_out_is_read_in_halves(box: SandboxProcess, crm: Salesforce, tmp_path: Path) -> None:
    stamps = [f"2026-01-{day:02d}T00:00:00.000Z" for day in range(1, 9)]
    ids = box.control.seed("Account", [{"Name": "slow", "SystemModstamp": s} for s in stamps])
    box.control.faults({"kind": "http", "body": "query_timeout", "call": "query_all", "count": 2})
    window = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    assert sorted(row["_id"] for row in rows(crm.read(named("slow"), [], window, tmp_path / "p", None))) == sorted(ids)


def test_single_records_by_id_or_parent(box: SandboxProcess, crm: Salesforce, tmp_path: Path) -> None:
    ids = make(box, "one", 700)
    contacts = box.control.seed("Contact", [{"LastName": "鈴木", "AccountId": ids[0]}, {"LastName": "田中", "AccountId": ids[1]}])
    result = crm.read_ids(named("one"), [], [i[:15] for i in ids], tmp_path / "p")
    assert {row["_id"] for row in rows(result)} == set(ids)
    children = crm.read_ids(Source(object="Contact", columns={"account_id": "AccountId"}), [], [ids[0]], tmp_path / "p", by="AccountId")
    assert [(row["_id"], row["AccountId"]) for row in rows(children)] == [(contacts[0], ids[0])]


def test_rereads_take_2000_ids_a_call(box: SandboxProcess, crm: Salesforce) -> None:
    ids = make(box, "many", 2001, CSH_Score__c=5)
    seen = crm.reread(orgs.WRITTEN, ids)
    assert len(seen) == 2001
    assert crm.calls.by_kind["reread"] == 2


def test_requests_since_an_instant(box: SandboxProcess, crm: Salesforce) -> None:
    make(box, "req", 1)  # never asked
    now = datetime(2026, 6, 1, tzinfo=UTC)
    values = [now - timedelta(days=9), now + timedelta(seconds=5)]
    made = box.control.seed("Account", [{"Name": "req", "CSH_Requested_At__c": v.strftime("%Y-%m-%dT%H:%M:%S.000Z")} for v in values])
    found = crm.requests(named("req"), REQUESTED, now)
    assert found == {made[1]: "2026-06-01T00:00:05Z"}


def test_the_orgs_clock_is_read_not_ours(box: SandboxProcess, crm: Salesforce) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    assert before <= crm.server_now() <= datetime.now(UTC) + timedelta(seconds=2)
    box.control.faults({"kind": "clock_skew", "seconds": 3600, "count": 1})
    assert crm.server_now() > datetime.now(UTC) + timedelta(minutes=50)


# --- Bulk on bad days ------------------------------------------------------------------------------------------------------------------------------
MANY = 1_000_000  # expected rows that make a read go by Bulk


@pytest.mark.parametrize(("code", "status"), [("LIMIT_EXCEEDED", 400), ("INVALIDENTITY", 400), ("API_ERROR", 400), ("EXCEEDED_QUOTA", 400)])
def test_where_bulk_will_not_the_rest_api_does(box: SandboxProcess, crm: Salesforce, tmp_path: Path, code: str, status: int) -> None:
    ids = make(box, f"rest-{code}-", 5)
    box.control.faults({"kind": "http", "status": status, "code": code, "message": "no", "path": "jobs/query"})
    result = crm.read(named(f"rest-{code}-"), [], EVER, tmp_path / "p", MANY)
    assert result.method == "query"
    assert {row["_id"] for row in rows(result)} == set(ids)


def test_a_result_page_that_breaks_off_is_fetched_again(box: SandboxProcess, crm: Salesforce, tmp_path: Path) -> None:
    ids = make(box, "broken-", 2000)
    box.control.faults({"kind": "truncate", "path": "jobs/query/.*/results"})
    result = crm.read(named("broken-"), [], EVER, tmp_path / "p", MANY)
    assert (result.method, result.rows) == ("bulk", 2000)
    assert len({row["_id"] for row in rows(result)} & set(ids)) == 2000
    assert crm.calls.by_kind["bulk_query_page"] == 2


def test_result_pages_are_all_fetched(box: SandboxProcess, crm: Salesforce, tmp_path: Path) -> None:
    ids = make(box, "paged-", 3000)
    box.control.settings(bulk_page_records=250)
    try:
        result = crm.read(named("paged-"), [], EVER, tmp_path / "p", MANY)
    finally:
        box.control.settings(bulk_page_records=50_000)
    assert sorted(row["_id"] for row in rows(result)) == sorted(ids)
    assert crm.calls.by_kind["bulk_query_page"] == 12  # 3,000 / 250


def test_a_bulk_query_that_fails_in_the_org_is_transient(box: SandboxProcess, crm: Salesforce, tmp_path: Path) -> None:
    box.control.faults({"kind": "bulk_job", "state": "Failed", "message": "retried more than 15 times"})
    with pytest.raises(Transient, match="tried again by itself"):
        crm.read(named("nothing-"), [], EVER, tmp_path / "p", MANY)


def test_a_read_that_grew_beyond_what_was_expected_goes_by_bulk(box: SandboxProcess, tmp_path: Path) -> None:
    make(box, "grew-", 120)
    result = orgs.open_crm(box, bulk_above=100).read(named("grew-"), [], EVER, tmp_path / "p", 5)
    assert (result.method, result.rows) == ("bulk", 120)
