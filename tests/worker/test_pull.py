"""pull and stage against a sandbox org: what lies in the lake afterwards."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.entities import Entity
from connectors.sandbox_kit import SandboxProcess
from mappings.models import Mappings
from tests.connectors import orgs
from tests.worker import flows
from worker.items import CursorKey, RunKind, RunState
from worker.report import run_report
from worker.runtime import Runtime
from worker.store.registers import cursor_value

OWN = [f.key for f in orgs.ACCOUNT_FIELDS]
ACCOUNTS = CursorKey("salesforce", "account", 0)


@pytest.fixture(scope="session")
def org() -> Iterator[SandboxProcess]:
    with SandboxProcess() as box:
        orgs.provision(box)
        yield box


@pytest.fixture
def mark() -> str:
    """Begins the name of every record of this test, whose mapping reads no others."""
    return f"{uuid.uuid4().hex}-"


@pytest.fixture
def mappings(mark: str) -> Mappings:
    given = flows.mappings()
    entities = {
        "account": [given.crm["salesforce"].entities["account"][0].model_copy(update={"filter": f"Name LIKE '{mark}%'"})],
        "contact": [given.crm["salesforce"].entities["contact"][0].model_copy(update={"filter": f"LastName LIKE '{mark}%'"})],
        "csql": given.crm["salesforce"].entities["csql"],
    }
    crm = given.crm["salesforce"].model_copy(update={"entities": entities})
    return given.model_copy(update={"crm": {"salesforce": crm}})


@pytest.fixture
def runtime(org: SandboxProcess, tmp_path: Path) -> Iterator[Runtime]:
    opened = flows.open_runtime(flows.settings(org, tmp_path))
    yield opened
    opened.close()


def test_records_become_typed_rows_with_our_fields_in_canonical_text(org: SandboxProcess, runtime: Runtime, mappings: Mappings, mark: str) -> None:
    stamp = "2026-10-01T00:00:00.000Z"
    ids = org.control.seed(
        "Account",
        [
            {
                "Name": f"{mark}青葉商事",
                "NumberOfEmployees": 120,
                "CSH_Score__c": 58,
                "CSH_Scored_At__c": "2026-10-01T03:00:00.000Z",
                "SystemModstamp": stamp,
            },
            {"Name": f"{mark}B", "SystemModstamp": stamp},
        ],
    )
    run = flows.go(runtime, mappings, RunKind.FULL)
    assert run.state == RunState.DONE, run.reason
    rows = flows.current(runtime, Entity.ACCOUNT, OWN)
    assert set(rows) == set(ids)
    first = rows[ids[0]]
    assert (first["name"], first["employees"], first["deleted"], first["connection"]) == (f"{mark}青葉商事", 120, False, "salesforce")
    assert first["modified_at"] == datetime(2026, 10, 1, tzinfo=UTC)
    assert (first["own_score"], first["own_scored_at"], first["own_open"]) == ("58", "2026-10-01T03:00:00Z", "false")
    assert rows[ids[1]]["own_score"] is None
    counts = flows.stats(runtime, run.id)
    assert (counts["crm.rows_in"], counts["crm.rows_done"], counts["crm.rows_set_aside"]) == (2, 2, 0)
    assert cursor_value(runtime.ledger, ACCOUNTS) is not None


def test_an_increment_brings_only_what_changed(org: SandboxProcess, runtime: Runtime, mappings: Mappings, mark: str) -> None:
    ids = org.control.seed("Account", [{"Name": f"{mark}{i}", "SystemModstamp": "2026-10-01T00:00:00.000Z"} for i in range(5)])
    flows.go(runtime, mappings, RunKind.FULL)
    org.control.write("csm", "Account", [{"Id": ids[3], "Name": f"{mark}neu"}])
    run = flows.go(runtime, mappings)
    counts = flows.stats(runtime, run.id)
    assert counts["pull.rows"] == 1
    assert counts["calls.query"] == 3  # one per source, no paging, no counting
    assert flows.current(runtime, Entity.ACCOUNT, OWN)[ids[3]]["name"] == f"{mark}neu"


def test_deleted_and_merged_records_say_so(org: SandboxProcess, runtime: Runtime, mappings: Mappings, mark: str) -> None:
    ids = org.control.seed("Account", [{"Name": f"{mark}{i}", "SystemModstamp": "2026-10-01T00:00:00.000Z"} for i in range(3)])
    flows.go(runtime, mappings, RunKind.FULL)
    org.control.write("admin", "Account", [{"Id": ids[0]}], operation="delete")
    org.control.call("merge", {"object": "Account", "master": ids[1], "losers": [ids[2]]})
    flows.go(runtime, mappings)
    rows = flows.current(runtime, Entity.ACCOUNT, OWN)
    assert [(rows[i]["deleted"], rows[i]["master_id"]) for i in ids] == [(True, None), (False, None), (True, ids[1])]


def test_a_full_run_finds_missed_and_purged_rows(org: SandboxProcess, runtime: Runtime, mappings: Mappings, mark: str) -> None:
    ids = org.control.seed("Account", [{"Name": f"{mark}{i}", "SystemModstamp": "2026-10-01T00:00:00.000Z"} for i in range(3)])
    flows.go(runtime, mappings, RunKind.FULL)
    (late,) = org.control.seed("Account", [{"Name": f"{mark}late", "SystemModstamp": "2026-09-01T00:00:00.000Z"}])  # committed long after its stamp
    org.control.call("purge", {"object": "Account", "ids": [ids[0]]})
    flows.go(runtime, mappings)
    assert late not in flows.current(runtime, Entity.ACCOUNT, OWN)  # an increment cannot see it
    flows.go(runtime, mappings, RunKind.FULL)
    rows = flows.current(runtime, Entity.ACCOUNT, OWN)
    assert rows[late]["name"] == f"{mark}late"
    assert rows[ids[0]]["deleted"] is True
    assert not rows[ids[1]]["deleted"]


def test_a_resync_reads_accounts_with_children_and_moves_no_cursor(org: SandboxProcess, runtime: Runtime, mappings: Mappings, mark: str) -> None:
    ids = org.control.seed("Account", [{"Name": f"{mark}{i}"} for i in range(3)])
    contacts = org.control.seed("Contact", [{"LastName": f"{mark}{i}", "AccountId": i} for i in ids])
    run = flows.go(runtime, mappings, RunKind.RESYNC, accounts=[ids[1]])
    assert run.state == RunState.DONE, run.reason
    assert set(flows.current(runtime, Entity.ACCOUNT, OWN)) == {ids[1]}
    assert set(flows.current(runtime, Entity.CONTACT)) == {contacts[1]}
    assert cursor_value(runtime.ledger, ACCOUNTS) is None


def test_a_value_that_does_not_fit_sets_its_row_aside_alone(org: SandboxProcess, runtime: Runtime, mappings: Mappings, mark: str) -> None:
    ids = org.control.seed("Account", [{"Name": f"{mark}{i}", "Phone": phone} for i, phone in enumerate(["12", "a lot", "30"])])
    source = mappings.crm["salesforce"].entities["account"][0]
    source.columns["employees"] = "Phone"
    run = flows.go(runtime, mappings, RunKind.FULL)
    assert set(flows.current(runtime, Entity.ACCOUNT, OWN)) == {ids[0], ids[2]}
    counts = flows.stats(runtime, run.id)
    assert (counts["crm.rows_in"], counts["crm.rows_done"], counts["crm.rows_set_aside"]) == (3, 2, 1)
    (reject,) = flows.table(runtime, "crm_rejects")
    assert (reject["source"], reject["where_"], reject["column_"], reject["value"]) == (
        "salesforce/account",
        f"Account/{ids[1]}",
        "employees",
        "a lot",
    )
    assert reject["reason"] == "not a whole number"
    assert "crm/salesforce.yml" in reject["remedy"]


def test_a_source_whose_object_is_missing_is_named_alone(org: SandboxProcess, runtime: Runtime, mappings: Mappings, mark: str) -> None:
    org.control.seed("Account", [{"Name": f"{mark}1"}])
    contact = mappings.crm["salesforce"].entities["contact"][0]
    mappings.crm["salesforce"].entities["survey"] = [contact.model_copy(update={"object": "Nope__c"})]
    run = flows.go(runtime, mappings, RunKind.FULL)
    assert run.state == RunState.DONE
    assert "Nope__c" in run.report["missing:salesforce/survey/0"][0]
    assert len(flows.current(runtime, Entity.ACCOUNT, OWN)) == 1


def test_records_beyond_the_threshold_come_by_bulk(org: SandboxProcess, tmp_path: Path, mappings: Mappings, mark: str) -> None:
    runtime = flows.open_runtime(flows.settings(org, tmp_path), bulk_above=100)
    org.control.seed("Account", [{"Name": f"{mark}{i}"} for i in range(250)])
    run = flows.go(runtime, mappings, RunKind.FULL)
    assert len(flows.current(runtime, Entity.ACCOUNT, OWN)) == 250
    assert flows.stats(runtime, run.id)["calls.bulk_query_create"] == 1
    runtime.close()


USAGE = "tenant,product,user,feature,day\nT1,expense,u1,claim,2026-11-01\nT1,expense,u2,claim,2026-11-02\nT1,expense,u1,claim,soon\n"


def test_a_usage_file_is_taken_once_and_again_when_it_changes(org: SandboxProcess, tmp_path: Path) -> None:
    given = flows.settings(org, tmp_path)
    given.usage.mkdir()
    (given.usage / "a.csv").write_text(USAGE)
    runtime = flows.open_runtime(given)
    mappings = flows.make_mappings(crm={})
    mappings = mappings.model_copy(update={"usage": {"events": mappings.usage["events"]}})
    first = flows.stats(runtime, flows.go(runtime, mappings).id)
    assert (first["usage.rows_in"], first["usage.rows_done"], first["usage.rows_set_aside"]) == (3, 2, 1)
    again = flows.stats(runtime, flows.go(runtime, mappings).id)
    assert "usage.rows_in" not in again
    (given.usage / "a.csv").write_text(USAGE + "T2,expense,u9,claim,2026-11-03\n")
    changed = flows.stats(runtime, flows.go(runtime, mappings).id)
    assert changed["usage.rows_done"] == 3
    (given.usage / "a.csv").unlink()
    emptied = flows.go(runtime, mappings)
    assert flows.stats(runtime, emptied.id)["usage.files_vanished"] == 1
    assert any("1 usage files read before are gone" in note for note in run_report(runtime.ledger, emptied.id)["notes"])
    runtime.close()


def test_a_usage_file_that_cannot_be_read_is_named_and_the_others_go_on(org: SandboxProcess, tmp_path: Path) -> None:
    given = flows.settings(org, tmp_path)
    given.usage.mkdir()
    (given.usage / "a.csv").write_text("nothing,here\n1,2\n")
    (given.usage / "b.csv").write_text(USAGE)
    runtime = flows.open_runtime(given)
    mappings = flows.make_mappings(crm={})
    mappings = mappings.model_copy(update={"usage": {"events": mappings.usage["events"]}})
    run = flows.go(runtime, mappings)
    assert run.state == RunState.DONE
    counts = flows.stats(runtime, run.id)
    assert (counts["usage.files_failed"], counts["usage.rows_done"]) == (1, 2)
    assert any("a.csv" in str(text) for text in run.report.values())
    # an increment leaves it alone; a full run looks again, since the mapping may have been mended
    assert "usage.files_failed" not in flows.stats(runtime, flows.go(runtime, mappings, RunKind.INCREMENT).id)
    assert flows.stats(runtime, flows.go(runtime, mappings, RunKind.FULL).id)["usage.files_failed"] == 1
    runtime.close()


def test_a_row_that_commits_late_with_an_older_stamp_is_not_lost(org: SandboxProcess, runtime: Runtime, mappings: Mappings, mark: str) -> None:
    (early,) = org.control.seed("Account", [{"Name": f"{mark}early", "SystemModstamp": "2026-10-01T00:00:00.000Z"}])
    flows.go(runtime, mappings, RunKind.FULL)
    # stamped before the last window's end, visible only after it was read
    stamp = (datetime.now(UTC) - timedelta(seconds=30)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    (late,) = org.control.seed("Account", [{"Name": f"{mark}late", "SystemModstamp": stamp}])
    flows.go(runtime, mappings)
    assert set(flows.current(runtime, Entity.ACCOUNT, OWN)) == {early, late}


def test_our_own_write_comes_back_and_is_no_other_row(org: SandboxProcess, runtime: Runtime, mappings: Mappings, mark: str) -> None:
    (only,) = org.control.seed("Account", [{"Name": f"{mark}1", "SystemModstamp": "2026-10-01T00:00:00.000Z"}])
    flows.go(runtime, mappings, RunKind.FULL)
    orgs.open_crm(org).write(orgs.WRITTEN, [orgs.update(only, score="61")], key_field=None)
    run = flows.go(runtime, mappings)
    assert flows.stats(runtime, run.id)["pull.account.rows"] == 1
    assert flows.current(runtime, Entity.ACCOUNT, OWN)[only]["own_score"] == "61"
