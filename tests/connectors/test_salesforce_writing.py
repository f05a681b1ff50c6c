"""Writing to the sandbox: every type, three states per value, one result per record, whichever API."""

from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.base import RecordWrite, WriteState
from connectors.salesforce.connector import Salesforce
from connectors.sandbox_kit import SandboxProcess
from connectors.values import canonical
from tests.connectors import orgs
from tests.connectors.orgs import CSQL_FIELDS, KEY, WRITTEN, update

FULL = {
    "score": "58", "share": "12.5", "tier": "3", "reason": "利用が減少", "open": "true", "notice": "2027-02-28", "scored_at": "2026-12-01T03:00:00Z",
}  # fmt: skip


def test_every_type_is_written_read_back_and_cleared(box: SandboxProcess, crm: Salesforce) -> None:
    ids = orgs.make_accounts(box, 2)
    owner = box.user("csm")["id"]
    results = crm.write(WRITTEN, [update(ids[0], **FULL, owner=owner), update(ids[1], score="7")], key_field=None)
    assert [(r.state, r.record_id, r.created) for r in results] == [(WriteState.OK, ids[0], False), (WriteState.OK, ids[1], False)]
    seen = crm.reread(WRITTEN, ids)
    assert seen[ids[0]] == {**FULL, "owner": owner}
    assert seen[ids[1]]["score"] == "7"
    assert seen[ids[1]]["open"] == "false"  # a checkbox is never empty
    crm.write(WRITTEN, [update(ids[0], score=None, reason=None, notice=None)], key_field=None)
    again = crm.reread(WRITTEN, ids)[ids[0]]
    assert (again["score"], again["reason"], again["notice"]) == (None, None, None)
    assert again["share"] == "12.5"  # an absent key leaves the field alone


def test_collections_take_200_records_a_call(box: SandboxProcess, crm: Salesforce) -> None:
    ids = orgs.make_accounts(box, 401)
    box.control.reset_stats()
    results = crm.write(WRITTEN, [update(i, score="50") for i in ids], key_field=None)
    assert {r.state for r in results} == {WriteState.OK}
    assert crm.calls.by_kind["collections_update"] == 3  # 200 + 200 + 1
    assert box.control.stats()["records_changed"] == 401


def _csql(key: str, parent: str, **values: str | None) -> RecordWrite:
    return RecordWrite(None, key, parent, {"external_key": key, "account": parent, "state": "Candidate", **values})


def test_csqls_are_created_once_by_their_key(box: SandboxProcess, crm: Salesforce) -> None:
    (account,) = orgs.make_accounts(box, 1)
    key = f"{account}|expense|1"
    first = crm.write(CSQL_FIELDS, [_csql(key, account, need="more seats")], key_field=KEY)
    second = crm.write(CSQL_FIELDS, [_csql(key, account, need="more seats, now")], key_field=KEY)
    assert (first[0].state, first[0].created, second[0].created) == (WriteState.OK, True, False)
    assert first[0].record_id == second[0].record_id
    found = crm.find_by_key(CSQL_FIELDS, KEY, [key, f"{account}|expense|2"])
    assert found == {key: {"_id": first[0].record_id, "external_key": key, "account": account, "state": "Candidate", "need": "more seats, now"}}


@pytest.mark.parametrize("api", ["collections", "bulk"])
def test_both_apis_leave_the_same_in_the_crm(box: SandboxProcess, crm: Salesforce, api: str) -> None:
    ids = orgs.make_accounts(box, 3, CSH_Reason__c="old", CSH_Share__c=1.5)
    writes = [update(ids[0], **FULL), update(ids[1], reason=None, share="2"), update(ids[2], reason='a "quote", comma\nand line')]
    results = _write(crm, api, writes)
    assert [(r.state, r.record_id) for r in results] == [(WriteState.OK, i) for i in ids]
    seen = crm.reread(WRITTEN, ids)
    assert {k: v for k, v in seen[ids[0]].items() if k != "owner"} == FULL
    assert (seen[ids[1]]["reason"], seen[ids[1]]["share"]) == (None, "2")
    assert (seen[ids[2]]["reason"], seen[ids[2]]["share"]) == ('a "quote", comma\nand line', "1.5")


def _write(crm: Salesforce, api: str, writes: list[RecordWrite]) -> list:  # type: ignore[type-arg]
    if api == "collections":
        return crm.write(WRITTEN, writes, key_field=None)
    job = crm.bulk_start(WRITTEN, "account", None)
    crm.bulk_upload(job.id, WRITTEN, writes, None)
    crm.bulk_upload(job.id, WRITTEN, writes, None)  # a second time after a crash: nothing happens
    while crm.bulk_poll(job.id).state not in ("complete", "failed"):
        pass
    return crm.bulk_results(job.id, writes, None)


@pytest.mark.parametrize("api", ["collections", "bulk"])
def test_a_refused_record_leaves_its_neighbours_alone(box: SandboxProcess, crm: Salesforce, api: str) -> None:
    ids = orgs.make_accounts(box, 3)
    box.control.faults(
        {"kind": "validation", "object": "Account", "field": "CSH_Reason__c", "values": ["no"], "message": "理由は必須です", "count": None}
    )
    results = _write(crm, api, [update(ids[0], reason="yes"), update(ids[1], reason="no"), update(ids[2], reason="yes")])
    assert [r.state for r in results] == [WriteState.OK, WriteState.REJECTED, WriteState.OK]
    assert results[1].code == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert "理由は必須です" in results[1].message
    assert "admin must" in results[1].message
    assert [row["CSH_Reason__c"] for row in orgs.stored(box, "Account", "CSH_Reason__c", ids).values()] == ["yes", None, "yes"]


def test_a_locked_record_is_tried_again_alone(box: SandboxProcess, crm: Salesforce) -> None:
    ids = orgs.make_accounts(box, 3)
    box.control.faults(
        {
            "kind": "row_error",
            "object": "Account",
            "ids": [ids[1]],
            "code": "UNABLE_TO_LOCK_ROW",
            "message": "unable to obtain",
            "attempts": 2,
            "count": None,
        }
    )
    box.control.reset_stats()
    results = crm.write(WRITTEN, [update(i, score="9") for i in ids], key_field=None)
    assert [r.state for r in results] == [WriteState.OK] * 3
    assert box.control.stats()["records_changed"] == 3  # nobody was written twice
    assert crm.calls.by_kind["collections_update"] == 3


def test_a_record_that_stays_locked_says_so(box: SandboxProcess, crm: Salesforce) -> None:
    (only,) = orgs.make_accounts(box, 1)
    box.control.faults(
        {
            "kind": "row_error",
            "object": "Account",
            "ids": [only],
            "code": "UNABLE_TO_LOCK_ROW",
            "message": "unable to obtain",
            "count": None,
            "attempts": 99,
        }
    )
    (result,) = crm.write(WRITTEN, [update(only, score="9")], key_field=None)
    assert (result.state, result.code) == (WriteState.REJECTED, "UNABLE_TO_LOCK_ROW")
    assert "locked by somebody else" in result.message
    assert "tried again by itself" in result.message


def test_a_deleted_record_is_gone(box: SandboxProcess, crm: Salesforce) -> None:
    ids = orgs.make_accounts(box, 2)
    box.control.write("admin", "Account", [{"Id": ids[0]}], operation="delete")
    results = crm.write(WRITTEN, [update(i, score="9") for i in ids], key_field=None)
    assert [r.state for r in results] == [WriteState.GONE, WriteState.OK]
    assert set(crm.reread(WRITTEN, ids)) == {ids[1]}


def test_one_unreadable_value_does_not_take_the_whole_call_along(box: SandboxProcess, crm: Salesforce) -> None:
    ids = orgs.make_accounts(box, 5)
    writes = [update(i, scored_at="2026-12-01T03:00:00Z") for i in ids]
    writes[3] = update(ids[3], scored_at="soon")  # JSON_PARSER_ERROR for the whole collection
    results = crm.write(WRITTEN, writes, key_field=None)
    assert [r.state == WriteState.OK for r in results] == [True, True, True, False, True]
    assert results[3].record_id == ids[3]
    assert "type" in results[3].message


_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "score": st.none() | st.integers(-999, 999).map(str),
        "share": st.none() | st.decimals(-999, 999, places=2).map(lambda d: canonical(d, orgs.SHARE)),
        "tier": st.none() | st.sampled_from(["1", "2", "3"]),
        "reason": st.none() | st.text(st.sampled_from("aé要😀 ,\"'\n#N/A"), min_size=1, max_size=12).map(lambda t: canonical("x" + t, orgs.REASON)),
        "open": st.sampled_from(["true", "false"]),
        "notice": st.none() | st.dates(date(1990, 1, 1), date(2100, 1, 1)).map(str),
    },
)


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.lists(_VALUES, min_size=8, max_size=8), then=st.lists(_VALUES, min_size=8, max_size=8))
def test_the_result_is_the_same_whichever_api_was_used(
    box: SandboxProcess, crm: Salesforce, first: list[dict[str, str | None]], then: list[dict[str, str | None]]
) -> None:
    found = []
    for api in ("collections", "bulk"):
        ids = orgs.make_accounts(box, 8)
        for values in (first, then):
            results = _write(crm, api, [update(i, **v) for i, v in zip(ids, values, strict=True)])
            assert {r.state for r in results} == {WriteState.OK}, results
        seen = crm.reread(WRITTEN, ids)
        found.append([seen[i] for i in ids])
    assert found[0] == found[1]
    expected = [{**{f.key: "false" if f.key == "open" else None for f in WRITTEN}, **a, **b} for a, b in zip(first, then, strict=True)]
    assert found[0] == expected
