"""Writing to HubSpot: calls per changed record, one result per record whatever happens to its neighbours, and what a person reads."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.base import RecordWrite, Window, WriteResult, WriteState
from connectors.errors import Misfit, NotAllowed, NotReachable, QuotaSpent
from connectors.hubspot.auth import Credentials
from connectors.hubspot.connector import HubSpot
from connectors.sandbox_kit import SandboxProcess
from mappings.models import Source
from tests.connectors import hubs, orgs

OK, REJECTED, GONE, UNPROCESSED = WriteState.OK, WriteState.REJECTED, WriteState.GONE, WriteState.UNPROCESSED


def update(record_id: str, **values: str | None) -> RecordWrite:
    return RecordWrite(record_id, None, record_id, values)


def upsert(key: str, parent: str, **values: str | None) -> RecordWrite:
    return RecordWrite(None, key, parent, {"external_key": key, "account": parent, **values})


def write(crm: HubSpot, writes: Sequence[RecordWrite]) -> list[WriteResult]:
    return crm.write(hubs.WRITTEN, writes, key_field=None)


@pytest.mark.parametrize(("n", "calls"), [(0, 0), (1, 1), (100, 1), (101, 2), (201, 3)])
def test_n_changed_companies_are_n_hundredths_calls(hub: SandboxProcess, n: int, calls: int) -> None:
    ids = hubs.make_companies(hub, n)
    crm = hubs.open_crm(hub)
    results = write(crm, [update(i, score="58") for i in ids])
    assert [r.state for r in results] == [OK] * n
    assert hubs.writes(crm) == calls
    assert {hubs.stored(hub, "companies", "csh_score")[i] for i in ids} <= {"58"}


@pytest.mark.parametrize("traces", [True, False])
def test_one_invalid_among_a_hundred_leaves_ninety_nine_written(hub: SandboxProcess, traces: bool) -> None:
    """With trace ids HubSpot names the bad one; without it refuses all, and the batch is halved."""
    hub.control.settings(update_trace_ids=traces)
    ids = hubs.make_companies(hub, 100)
    crm = hubs.open_crm(hub)
    results = write(crm, [update(i, tier="9" if n == 41 else "3") for n, i in enumerate(ids)])
    assert [n for n, r in enumerate(results) if r.state != OK] == [41]
    bad = results[41]
    assert (bad.state, bad.code, bad.fields) == (REJECTED, "INVALID_OPTION", ("tier",))
    assert "not among the options of csh_tier" in bad.message
    assert "must add the option" in bad.message
    assert [hubs.stored(hub, "companies", "csh_tier")[i] for i in ids].count("3") == 99
    # halving 100 down to one: the whole, and two halves at each of 7 steps
    assert hubs.writes(crm) == (1 if traces else 15)


def test_a_record_that_is_gone_is_told_among_others(hub: SandboxProcess) -> None:
    ids = hubs.make_companies(hub, 4)
    hub.control.call("archive", {"object": "companies", "ids": [ids[1]]})
    hub.control.call("purge", {"object": "companies", "ids": [ids[2]]})
    results = write(hubs.open_crm(hub), [update(i, score="1") for i in ids])
    assert [r.state for r in results] == [OK, GONE, GONE, OK]
    assert "deleted or merged away" in results[1].message


@pytest.mark.parametrize("mints", [True, False])
def test_a_record_that_was_merged_away_is_no_success(hub: SandboxProcess, mints: bool) -> None:
    hub.control.settings(merge_mints_id=mints)
    kept, other, third = hubs.make_companies(hub, 3)
    survivor = hub.control.call("merge", {"object": "companies", "primary": kept, "other": other})["id"]
    results = write(hubs.open_crm(hub), [update(other, score="7"), update(third, score="8")])
    assert [r.state for r in results] == [GONE, OK]
    assert hubs.open_crm(hub).reread([hubs.SCORE], [other]) == {}
    assert survivor in hubs.open_crm(hub).reread([hubs.SCORE], [survivor])


def test_a_deleted_property_costs_that_property_only(own_hub: SandboxProcess) -> None:
    ids = hubs.make_companies(own_hub, 3)
    crm = hubs.open_crm(own_hub)
    write(crm, [update(ids[0], score="1")])  # described by now
    own_hub.control.call("drop_field", {"object": "companies", "field": "csh_reason"})
    results = write(crm, [update(i, score="2", reason="x") for i in ids])
    assert [(r.state, r.fields) for r in results] == [(OK, ("reason",))] * 3
    assert "The property is gone: companies.csh_reason. A HubSpot admin must create it" in results[0].message
    assert {hubs.stored(own_hub, "companies", "csh_score")[i] for i in ids} == {"2"}


def test_an_option_that_was_removed_is_told(own_hub: SandboxProcess) -> None:
    (only,) = hubs.make_companies(own_hub, 1)
    crm = hubs.open_crm(own_hub)
    write(crm, [update(only, tier="3")])
    left = [{"value": v, "label": v, "displayOrder": 0, "hidden": False} for v in ("1", "2")]
    own_hub.control.call("change_field", {"object": "companies", "field": "csh_tier", "changes": {"options": left}})
    (result,) = write(crm, [update(only, tier="3")])
    assert (result.state, result.fields) == (REJECTED, ("tier",))
    assert "not among the options of csh_tier" in result.message
    (finding,) = [f for f in crm.check([], hubs.WRITTEN) if f.severity == "error"]
    assert finding.where == "companies.csh_tier"
    assert "lacks the options 3" in finding.text


def test_empty_clears_and_what_is_not_named_is_left_alone(hub: SandboxProcess) -> None:
    (only,) = hubs.make_companies(hub, 1)
    crm = hubs.open_crm(hub)
    write(crm, [update(only, score="5", reason="x", notice="2026-12-31")])
    write(crm, [update(only, reason=None)])
    assert crm.reread([hubs.SCORE, hubs.REASON, hubs.NOTICE], [only])[only] == {"score": "5", "reason": None, "notice": "2026-12-31"}


def test_one_record_twice_in_a_call_is_written_in_order(hub: SandboxProcess) -> None:
    (only,) = hubs.make_companies(hub, 1)
    crm = hubs.open_crm(hub)
    assert [r.state for r in write(crm, [update(only, score="1"), update(only, score="2")])] == [OK, OK]
    assert crm.reread([hubs.SCORE], [only])[only] == {"score": "2"}


# --- CSQL records ----------------------------------------------------------------------------------------------------------------------------------
def test_a_csql_is_created_once_and_belongs_to_its_company(hub: SandboxProcess) -> None:
    (company,) = hubs.make_companies(hub, 1)
    crm = hubs.open_crm(hub)
    key = f"{company}|expense|1"
    first = crm.write(hubs.CSQL_FIELDS, [upsert(key, company, title="席数", state="Candidate")], key_field=hubs.KEY)
    again = crm.write(hubs.CSQL_FIELDS, [upsert(key, company, state="Submitted")], key_field=hubs.KEY)
    assert [(r.state, r.created) for r in [*first, *again]] == [(OK, True), (OK, False)]
    assert first[0].record_id == again[0].record_id
    found = crm.find_by_key(hubs.CSQL_FIELDS, hubs.KEY, [key, "no|such|key"])
    expected = {"_id": first[0].record_id, "external_key": key, "title": "席数", "account": company, "state": "Submitted"}
    assert found == {key: expected}


def test_a_csql_moves_to_another_company(hub: SandboxProcess) -> None:
    old, new = hubs.make_companies(hub, 2)
    crm = hubs.open_crm(hub)
    (made,) = crm.write(hubs.CSQL_FIELDS, [upsert(f"{old}|x|1", old, state="Candidate")], key_field=hubs.KEY)
    assert made.record_id is not None
    (moved,) = crm.write([hubs.PARENT], [RecordWrite(made.record_id, None, new, {"account": new})], key_field=hubs.KEY)
    assert moved.state == OK
    assert crm.reread([hubs.PARENT], [made.record_id]) == {made.record_id: {"account": new}}


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
def test_every_family_of_paths_serves(hub: SandboxProcess, version: str, tmp_path: Path) -> None:
    (company,) = hubs.make_companies(hub, 1)
    crm = hubs.open_crm(hub, version=version)
    assert [r.state for r in write(crm, [update(company, score="4")])] == [OK]
    key = f"{company}|{version}"
    (made,) = crm.write(hubs.CSQL_FIELDS, [upsert(key, company, title="t", state="Candidate")], key_field=hubs.KEY)
    assert made.state == OK
    given = Source(object="csh_csql", columns={"account_id": "associations.companies"})
    found = orgs.rows(crm.read(given, [], Window(None, datetime(2100, 1, 1, tzinfo=UTC)), tmp_path / "p", None))
    assert [r["associations.companies"] for r in found if r["_id"] == made.record_id] == [company]
    assert crm.check([hubs.COMPANIES], hubs.ALL_FIELDS) == []


def test_a_property_the_account_requires_is_told(own_hub: SandboxProcess) -> None:
    ids = hubs.make_companies(own_hub, 2, domain="a.example")
    (lacking,) = hubs.make_companies(own_hub, 1)
    own_hub.control.call("rules", {"object": "companies", "property": "domain", "when": {"property": "csh_tier", "values": ["1"]}})
    results = write(hubs.open_crm(own_hub, version="2026-09"), [update(i, tier="1") for i in [*ids, lacking]])
    assert [r.state for r in results] == [OK, OK, REJECTED]
    assert "lacks a required property: domain. A HubSpot admin must fill it on the record" in results[2].message


# --- whole calls -----------------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("body", ["burst", "locked", "html_502", "html_503", "html_504", "internal"])
def test_a_passing_refusal_is_outlasted(hub: SandboxProcess, body: str) -> None:
    (only,) = hubs.make_companies(hub, 1)
    crm = hubs.open_crm(hub)
    crm.describe("account")
    hub.control.faults({"kind": "http", "body": body, "path": "batch/update", "count": 2})
    assert [r.state for r in write(crm, [update(only, score="3")])] == [OK]
    assert hubs.writes(crm) == 3


@pytest.mark.parametrize("kind", ["cut", "truncate"])
def test_a_broken_answer_to_a_write_is_asked_again_and_written_once(hub: SandboxProcess, kind: str) -> None:
    (only,) = hubs.make_companies(hub, 1)
    crm = hubs.open_crm(hub)
    crm.describe("account")
    hub.control.faults({"kind": kind, "path": "batch/update", "count": 1})
    assert [r.state for r in write(crm, [update(only, score="3")])] == [OK]
    assert hubs.stored(hub, "companies", "csh_score")[only] == "3"


def test_an_answer_without_a_result_for_a_record_is_not_taken_for_done(hub: SandboxProcess) -> None:
    (only,) = hubs.make_companies(hub, 1)
    crm = hubs.open_crm(hub)
    crm.describe("account")
    hub.control.faults({"kind": "http", "status": 200, "message": "x", "path": "batch/update", "count": 1})
    (result,) = write(crm, [update(only, score="3")])
    assert (result.state, result.code) == (UNPROCESSED, "NO_RESULT")


def test_the_daily_limit_says_when_it_goes_on(hub: SandboxProcess) -> None:
    (only,) = hubs.make_companies(hub, 1)
    hub.control.faults({"kind": "http", "body": "daily"})
    with pytest.raises(QuotaSpent, match="after midnight in the account's time zone"):
        write(hubs.open_crm(hub), [update(only, score="3")])


def test_a_token_without_the_scope_names_it(hub: SandboxProcess) -> None:
    (only,) = hubs.make_companies(hub, 1)
    token = hub.control.call("token", {"scopes": ["crm.objects.companies.read", "crm.schemas.companies.read"]})["token"]
    with pytest.raises(Misfit, match=r"lacks a scope: crm\.objects\.companies\.write"):
        write(hubs.open_crm(hub, token=token), [update(only, score="3")])


def test_an_unknown_token_asks_for_another(hub: SandboxProcess) -> None:
    with pytest.raises(NotAllowed, match="SCORESYNC_HUBSPOT_TOKEN"):
        hubs.open_crm(hub, token="pat-na1-garbage").server_now()


def test_an_oauth_token_that_ends_is_renewed_and_a_revoked_app_asks_for_a_person(own_hub: SandboxProcess) -> None:
    (only,) = hubs.make_companies(own_hub, 1)
    info = own_hub.control.info()
    app = info["apps"]["integration"]
    secret, refresh = SecretStr(app["client_secret"]), SecretStr(info["refresh_token"])
    crm = hubs.open_crm(own_hub, credentials=Credentials(client_id=app["client_id"], client_secret=secret, refresh_token=refresh))
    assert [r.state for r in write(crm, [update(only, score="1")])] == [OK]
    own_hub.control.call("expire_sessions", {})
    assert [r.state for r in write(crm, [update(only, score="2")])] == [OK]
    own_hub.control.call("expire_sessions", {"revoke": "refresh"})
    own_hub.control.call("expire_sessions", {})
    with pytest.raises(NotAllowed, match="authorise the app again and set SCORESYNC_HUBSPOT_REFRESH_TOKEN") as caught:
        write(crm, [update(only, score="3")])
    assert app["client_secret"] not in str(caught.value)
    assert hubs.stored(own_hub, "companies", "csh_score")[only] == "2"


def test_an_account_on_the_move_pauses_the_connection(hub: SandboxProcess) -> None:
    (only,) = hubs.make_companies(hub, 1)
    crm = hubs.open_crm(hub)
    crm.describe("account")
    hub.control.faults({"kind": "http", "body": "migration", "path": "batch/update", "retry_after": 3600, "count": None})
    with pytest.raises(NotReachable, match=r"moving this account to another data centre.*goes on by itself"):
        write(crm, [update(only, score="3")])
    assert hubs.writes(crm) == 1
