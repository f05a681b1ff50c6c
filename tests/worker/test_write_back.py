"""write_back against a sandbox org: what the CRM holds afterwards, and what is booked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.sandbox_kit import SandboxProcess
from tests.connectors import orgs
from tests.worker import flows
from worker.items import RunKind, RunState
from worker.run import finish_run, resume
from worker.runtime import Runtime
from worker.store.ledger import utc_now
from worker.store.registers import commit, holds, put_released, value_hash
from worker.store.work import Run


@pytest.fixture(scope="session")
def org_process() -> Iterator[SandboxProcess]:
    with SandboxProcess() as box:
        orgs.provision(box)
        yield box


@pytest.fixture
def org(org_process: SandboxProcess) -> Iterator[SandboxProcess]:
    yield org_process
    org_process.control.clear_faults()
    org_process.control.settings(bulk_delay_seconds=0)


class Desk:
    """One worker that writes given changes, and what it left."""

    def __init__(self, box: SandboxProcess, folder: Path, **settings: Any) -> None:
        self.box, self.folder = box, folder
        self.settings = flows.settings(box, folder, **settings)
        self.runtime: Runtime = flows.open_runtime(self.settings, flows.write_steps([]))

    def write(self, changes: list[dict[str, Any]], as_of: Any = None, *, shadow: bool = False) -> Run:
        self.runtime.steps = flows.write_steps(changes)
        given = flows.mappings()
        scope = given.scope.model_copy(update={"shadow": shadow})
        return flows.go(self.runtime, given.model_copy(update={"scope": scope}), RunKind.INCREMENT, as_of=as_of)

    def results(self, run: Run) -> list[dict[str, Any]]:
        files = sorted((self.settings.runs_folder / run.id).glob("results-*.parquet"))
        rows: list[dict[str, Any]] = pa.concat_tables([pq.read_table(f) for f in files]).to_pylist()
        return rows

    def states(self, run: Run) -> dict[str, str]:
        return {row["record_id"] or row["external_key"]: row["state"] for row in self.results(run) if row["field"] == ""}

    def stats(self, run: Run) -> dict[str, float]:
        return flows.stats(self.runtime, run.id)


@pytest.fixture
def desk(org: SandboxProcess, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(org, tmp_path)
    yield made
    made.runtime.close()


def score(record_id: str, value: str | None, **more: Any) -> dict[str, Any]:
    return {"record_id": record_id, "field": "score", "our_value": value, **more}


def held_in_crm(org: SandboxProcess, ids: list[str], field: str = "CSH_Score__c") -> list[Any]:
    rows = orgs.stored(org, "Account", field, ids)
    return [rows[i][field] for i in ids]


def test_changes_are_written_and_acknowledged(org: SandboxProcess, desk: Desk) -> None:
    ids = orgs.make_accounts(org, 3)
    run = desk.write([score(i, str(n)) for n, i in enumerate(ids)])
    assert run.state == RunState.DONE, run.reason
    assert held_in_crm(org, ids) == [0, 1, 2]
    assert desk.states(run) == dict.fromkeys(ids, "ok")
    stats = desk.stats(run)
    assert (stats["writes.ok"], stats["writes.fields"], stats["calls.collections_update"], stats["calls.reread"]) == (3, 3, 1, 1)
    writes = flows.table(desk.runtime, "writes")
    assert sorted((w["state"], w["record_id"], w["value"]) for w in writes) == sorted(
        (state, i, str(n)) for state in ("intended", "acknowledged") for n, i in enumerate(ids)
    )


def test_what_the_crm_has_already_costs_no_write(org: SandboxProcess, desk: Desk) -> None:
    ids = orgs.make_accounts(org, 2, CSH_Score__c=7)
    run = desk.write([score(i, "7") for i in ids])
    assert desk.states(run) == dict.fromkeys(ids, "ok")
    assert "calls.collections_update" not in desk.stats(run)


def test_a_persons_value_is_held_until_it_is_released(org: SandboxProcess, desk: Desk) -> None:
    (only,) = orgs.make_accounts(org, 1)
    desk.write([score(only, "50")])
    # our fields are closed to other users in this org, so the person edits with the integration user's rights
    org.control.write("integration", "Account", [{"Id": only, "CSH_Score__c": 99}])
    run = desk.write([score(only, "60"), {"record_id": only, "field": "reason", "our_value": "why"}])
    assert held_in_crm(org, [only]) == [99]
    assert held_in_crm(org, [only], "CSH_Reason__c") == ["why"]  # its neighbours are written
    assert desk.states(run) == {only: "ok"}
    (hold,) = holds(desk.runtime.ledger)
    assert (hold.field, hold.crm_value) == ("score", "99")
    alone = desk.write([score(only, "61")])
    assert desk.states(alone) == {only: "held"}
    commit(desk.runtime.ledger, put_released(desk.runtime.ledger, "salesforce", "account", [only], ["score"], utc_now()))
    freed = desk.write([score(only, "62")])
    assert desk.states(freed) == {only: "ok"}
    assert held_in_crm(org, [only]) == [62]


def test_a_value_that_was_there_before_us_is_a_persons(org: SandboxProcess, desk: Desk) -> None:
    (only,) = orgs.make_accounts(org, 1, CSH_Score__c=42)
    run = desk.write([score(only, "60")])
    assert desk.states(run) == {only: "held"}
    assert held_in_crm(org, [only]) == [42]


def test_an_earlier_run_does_not_overwrite_a_later_one(org: SandboxProcess, desk: Desk) -> None:
    (only,) = orgs.make_accounts(org, 1)
    now = utc_now()
    desk.write([score(only, "70")], as_of=now)
    earlier = desk.write([score(only, "10")], as_of=now.replace(year=now.year - 1))
    assert desk.states(earlier) == {only: "superseded"}
    assert held_in_crm(org, [only]) == [70]


def test_what_does_not_fit_is_invalid_and_what_is_refused_is_rejected_with_a_letter(org: SandboxProcess, desk: Desk) -> None:
    ids = orgs.make_accounts(org, 3)
    org.control.faults({"kind": "validation", "object": "Account", "field": "CSH_Reason__c", "values": ["no"], "message": "rule 7", "count": None})
    changes = [
        score(ids[0], "12345"),  # three digits fit
        {"record_id": ids[1], "field": "reason", "our_value": "no"},
        {"record_id": ids[2], "field": "reason", "our_value": "yes"},
        {"record_id": ids[2], "field": "tier", "our_value": "9"},  # not in the picklist
    ]
    run = desk.write(changes)
    assert desk.states(run) == {ids[0]: "invalid", ids[1]: "rejected", ids[2]: "ok"}
    letters = {(r["record_id"], r["field"]): r for r in desk.results(run) if r["letter"]}
    assert set(letters) == {(ids[0], "score"), (ids[1], "reason"), (ids[2], "tier")}
    refused = letters[(ids[1], "reason")]
    assert refused["value_hash"] == value_hash({"reason": "no"})
    assert "rule 7" in refused["text"]
    assert "admin must" in refused["text"]


def test_a_deleted_account_is_superseded(org: SandboxProcess, desk: Desk) -> None:
    ids = orgs.make_accounts(org, 2)
    org.control.write("admin", "Account", [{"Id": ids[0]}], operation="delete")
    run = desk.write([score(i, "1") for i in ids])
    assert desk.states(run) == {ids[0]: "superseded", ids[1]: "ok"}


def test_fields_that_ride_along_do_not_travel_alone(org: SandboxProcess, desk: Desk) -> None:
    ids = orgs.make_accounts(org, 2, CSH_Score__c=5)
    stamp = {"field": "scored_at", "our_value": "2026-12-01T00:00:00Z", "mode": "ride_along"}
    changes = [
        score(ids[0], "5"),  # there already
        {"record_id": ids[0], **stamp},
        {"record_id": ids[1], **stamp, "why": "refreshed by age"},
    ]
    run = desk.write(changes)
    assert desk.states(run) == dict.fromkeys(ids, "ok")
    assert held_in_crm(org, ids, "CSH_Scored_At__c") == [None, "2026-12-01T00:00:00.000+0000"]


def csql(account: str, key: str, record_id: str | None = None, **values: str) -> list[dict[str, Any]]:
    base = {"object": "csql", "record_id": record_id, "external_key": key, "account_id": account}
    return [{**base, "field": name, "our_value": value} for name, value in {"account": account, "state": "Candidate", **values}.items()]


@pytest.mark.parametrize("api", ["collections", "bulk"])
def test_a_csql_exists_once_however_often_it_is_asked_for(org: SandboxProcess, tmp_path: Path, api: str) -> None:
    desk = Desk(org, tmp_path, write_api=api)
    (account,) = orgs.make_accounts(org, 1)
    key = f"{account}|expense|1"
    first = desk.write(csql(account, key, need="seats"))
    again = desk.write(csql(account, key, need="more seats"))
    rows = [row for row in org.control.dump("CSH_CSQL__c") if row["CSH_Account__c"] == account]
    assert [(row["CSH_External_Key__c"], row["CSH_Need__c"], row["CSH_State__c"]) for row in rows] == [(key, "more seats", "Candidate")]
    assert [r["created"] for r in desk.results(first) if r["state"] == "ok"] == [True]
    assert [r["created"] for r in desk.results(again) if r["state"] == "ok"] == [False]
    desk.runtime.close()


def test_bulk_and_collections_leave_the_same(org: SandboxProcess, tmp_path: Path) -> None:
    found = []
    for api in ("collections", "bulk"):
        desk = Desk(org, tmp_path / api, write_api=api)
        ids = orgs.make_accounts(org, 4, CSH_Reason__c=None)
        org.control.write("admin", "Account", [{"Id": ids[3]}], operation="delete")
        changes = [
            score(ids[0], "1"),
            {"record_id": ids[0], "field": "reason", "our_value": 'a "b",\nc'},
            {"record_id": ids[1], "field": "share", "our_value": "12.25"},
            {"record_id": ids[1], "field": "open", "our_value": "true"},
            {"record_id": ids[2], "field": "tier", "our_value": "7"},
            score(ids[3], "1"),
        ]
        run = desk.write(changes)
        assert run.state == RunState.DONE, run.reason
        rows = orgs.stored(org, "Account", "CSH_Score__c,CSH_Reason__c,CSH_Share__c,CSH_Open__c,CSH_Tier__c", ids)
        crm = [{k: v for k, v in rows[i].items() if k != "Id"} for i in ids[:3]]
        found.append((crm, [desk.states(run)[i] for i in ids]))
        desk.runtime.close()
    assert found[0] == found[1]
    assert found[0][1] == ["ok", "ok", "invalid", "superseded"]


def test_more_than_2000_records_go_by_one_bulk_job(org: SandboxProcess, desk: Desk) -> None:
    ids = orgs.make_accounts(org, 2100)
    org.control.settings(bulk_delay_seconds=1)
    run = desk.write([score(i, "3") for i in ids])
    assert run.state == RunState.DONE, run.reason
    stats = desk.stats(run)
    assert stats["writes.ok"] == 2100
    assert (stats["calls.bulk_create"], stats["calls.bulk_upload"], stats["calls.bulk_close"]) == (1, 1, 1)
    assert "calls.collections_update" not in stats
    assert set(held_in_crm(org, ids)) == {3}


def test_a_locked_row_of_a_bulk_job_gets_another_round(org: SandboxProcess, tmp_path: Path) -> None:
    desk = Desk(org, tmp_path, write_api="bulk")
    ids = orgs.make_accounts(org, 3)
    org.control.faults(
        {"kind": "row_error", "object": "Account", "ids": [ids[1]], "code": "UNABLE_TO_LOCK_ROW", "message": "locked", "attempts": 1, "count": None}
    )
    run = desk.write([score(i, "8") for i in ids])
    assert run.state == RunState.DONE, run.reason
    assert desk.states(run) == dict.fromkeys(ids, "ok")
    assert desk.stats(run)["writes.ok"] == 3
    assert held_in_crm(org, ids) == [8, 8, 8]
    desk.runtime.close()


@pytest.mark.parametrize("api", ["collections", "bulk"])
def test_a_csql_whose_key_a_person_changed_is_not_made_a_second_time(org: SandboxProcess, tmp_path: Path, api: str) -> None:
    desk = Desk(org, tmp_path, write_api=api)
    (account,) = orgs.make_accounts(org, 1)
    keys = [f"{account}|p{n}|1" for n in range(3)]
    at = {"object": "csql", "account_id": account}

    def needs(ids: list[str | None], need: str) -> list[dict[str, Any]]:
        named = [(i, k, at | {"record_id": i, "external_key": k}) for i, k in zip(ids, keys, strict=False)]
        new = [one | {"field": "external_key", "our_value": key} for record_id, key, one in named if record_id is None]
        return [*(one | {"field": "need", "our_value": need} for _, _, one in named), *new]

    made = desk.write(needs([None, None], "first"))
    assert made.state == RunState.DONE, made.reason
    ids = [row["record_id"] for row in sorted(desk.results(made), key=lambda row: row["external_key"]) if row["field"] == ""]
    org.control.write("integration", "CSH_CSQL__c", [{"Id": ids[0], "CSH_External_Key__c": f"mine {account}"}])
    run = desk.write(needs([*ids, None], "second"))  # two that are there and a new one
    assert run.state == RunState.DONE, run.reason
    rows = [row for row in org.control.dump("CSH_CSQL__c") if row["CSH_External_Key__c"].split(" ")[-1].startswith(account)]
    assert sorted((row["CSH_External_Key__c"], row["CSH_Need__c"]) for row in rows) == sorted(
        [(f"mine {account}", "second"), (keys[1], "second"), (keys[2], "second")]
    )
    desk.runtime.close()


def test_shadow_mode_books_everything_and_sends_nothing(org: SandboxProcess, tmp_path: Path) -> None:
    desk = Desk(org, tmp_path)
    (only,) = orgs.make_accounts(org, 1)
    run = desk.write([score(only, "5")], shadow=True)
    assert desk.states(run) == {only: "held"}
    assert held_in_crm(org, [only]) == [None]
    desk.runtime.close()


def test_what_the_diff_did_not_want_sent_is_booked_too(org: SandboxProcess, desk: Desk) -> None:
    ids = orgs.make_accounts(org, 3)
    run = desk.write([score(ids[0], "1", disposition="held"), score(ids[1], "abc", disposition="invalid", why="not a number"), score(ids[2], "3")])
    assert desk.states(run) == {ids[0]: "held", ids[1]: "invalid", ids[2]: "ok"}
    stats = desk.stats(run)
    assert (stats["writes.held"], stats["writes.invalid"], stats["writes.ok"]) == (1, 1, 1)


def test_a_field_we_may_not_write_costs_that_field_and_is_said_once(tmp_path: Path) -> None:
    with SandboxProcess() as box:
        orgs.provision(box)
        desk = Desk(box, tmp_path)
        ids = orgs.make_accounts(box, 3)
        box.control.call("hide", {"fields": ["Account.CSH_Reason__c"]})
        reason = {"field": "reason", "our_value": "why"}
        run = desk.write([score(ids[0], "1"), {"record_id": ids[0], **reason}, {"record_id": ids[1], **reason}, score(ids[2], "3")])
        assert desk.states(run) == {ids[0]: "ok", ids[1]: "rejected", ids[2]: "ok"}
        assert not [row for row in desk.results(run) if row["letter"]]
        assert "reason: An admin of the CRM must" in run.report["not_writable:account"]
        desk.runtime.close()


def test_an_org_nobody_set_up_pauses_the_run(tmp_path: Path) -> None:
    with SandboxProcess() as box:
        desk = Desk(box, tmp_path)
        ids = orgs.make_accounts(box, 1)
        run = desk.write([score(ids[0], "1")])
        assert (run.state, run.pause) == (RunState.PAUSED, "auth")
        assert "scoresync provision" in run.reason
        desk.runtime.close()


@pytest.mark.parametrize(("times", "state"), [(1, "ok"), (None, "unprocessed")])
def test_records_of_a_failed_bulk_job_get_other_rounds_and_then_an_end(org: SandboxProcess, tmp_path: Path, times: int | None, state: str) -> None:
    desk = Desk(org, tmp_path, write_api="bulk")
    ids = orgs.make_accounts(org, 2)
    org.control.faults({"kind": "bulk_job", "state": "Failed", "message": "TooManyLockFailure : too many", "count": times})
    run = desk.write([score(i, "8") for i in ids])
    assert run.state == RunState.DONE, run.reason
    assert desk.states(run) == dict.fromkeys(ids, state)
    if state == "unprocessed":
        assert {r["code"] for r in desk.results(run)} == {"BULK_JOB"}
        assert "TooManyLockFailure" in desk.results(run)[0]["text"]
        org.control.clear_faults()
        assert desk.states(desk.write([score(i, "8") for i in ids])) == dict.fromkeys(ids, "ok")  # nothing is held: the values were our intents
    desk.runtime.close()


def test_a_session_that_ends_between_reread_and_write_is_renewed(org: SandboxProcess, desk: Desk) -> None:
    ids = orgs.make_accounts(org, 2)
    org.control.faults({"kind": "http", "body": "session_expired", "call": "collections_update"})
    run = desk.write([score(i, "8") for i in ids])
    assert desk.states(run) == dict.fromkeys(ids, "ok")


PAUSES = [("total_requests", "quota"), ("maintenance", "outage"), ("html_503", "outage"), ("api_disabled", "auth")]


@pytest.mark.parametrize(("fault", "pause"), PAUSES)
def test_a_connection_that_fails_pauses_the_run(org: SandboxProcess, tmp_path: Path, fault: str, pause: str) -> None:
    desk = Desk(org, tmp_path, outage_wait_s=3600)
    ids = orgs.make_accounts(org, 1)
    org.control.faults({"kind": "http", "body": fault, "path": "composite", "count": None})
    run = desk.write([score(ids[0], "8")])
    assert (run.state, run.pause) == (RunState.PAUSED, pause)
    assert "admin must" in run.reason or "by itself" in run.reason
    org.control.clear_faults()
    desk.runtime._crms.clear()  # a worker that was restarted, or an hour later
    resume(desk.runtime, run.id, "admin")
    assert finish_run(desk.runtime, run.id).state == RunState.DONE
    assert held_in_crm(org, ids) == [8]
    desk.runtime.close()
