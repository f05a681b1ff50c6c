"""What a person and the worker do to the same records: read back by another client, edits held and released, only changed accounts written."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from simple_salesforce import Salesforce

from connectors.sandbox_kit import SandboxProcess
from tests.acceptance import orgs
from tests.acceptance.vendor import log_in, read_all
from worker.cli.main import main
from worker.items import RunKind

HERE = Path(__file__).parent
ACCOUNTS = 60
FIELDS = "CSH_Health_Score__c, CSH_Health_Tier__c, CSH_Reason_1__c, CSH_Scored_At__c"


@dataclass
class Served:
    """An org whose accounts have been scored and written once. Each test works on accounts of its own and leaves nothing to be done."""

    worker: orgs.Worker
    firm: orgs.Firm
    csm: Salesforce  # a person's session

    def record(self, number: int, fields: str = FIELDS) -> dict[str, Any]:
        """An account as the person sees it."""
        return read_all(self.csm, f"SELECT {fields} FROM Account WHERE Id = '{self.firm.accounts[number]}'")[0]

    def scored(self, run: Any) -> list[str]:
        return sorted(row["account_id"] for row in self.worker.rows(run, "scores", "account_id"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("changes")
    mapping_folder = orgs.lay_over(HERE / "mappings", folder / "mappings")
    with SandboxProcess(folder / "org.db") as box, orgs.open_worker(box, folder / "worker", mapping_folder, read_overlap_s=0) as worker:
        orgs.provision(box, worker.mappings, worker.settings)
        firm = orgs.make_firm(box, ACCOUNTS)
        worker.run(RunKind.FULL)
        grant_to_csm(box)
        yield Served(worker, firm, log_in(box, "csm"))


def grant_to_csm(box: SandboxProcess) -> None:
    """The CSM may see and edit every field that the worker writes, and the pulse, which only people may."""
    admin = log_in(box, "admin")
    ours = read_all(admin, "SELECT Id FROM PermissionSet WHERE Name = 'CSH_Integration'")[0]["Id"]
    own = admin.PermissionSet.create({"Name": "CSM", "Label": "CSM"})["id"]
    right = {"SobjectType": "Account", "Field": "Account.CSH_CSM_Pulse__c", "PermissionsRead": True, "PermissionsEdit": True}
    admin.FieldPermissions.create({"ParentId": own, **right})
    for right_set in (ours, own):
        admin.PermissionSetAssignment.create({"PermissionSetId": right_set, "AssigneeId": box.user("csm")["id"]})


def cli(served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """A command as an admin would type it, on this worker's lake and ledger: (exit code, its JSON)."""
    given = served.worker.settings
    secrets = {"database_url": given.database_url, "salesforce_client_secret": given.salesforce_client_secret}
    plain = {name: getattr(given, name) for name in ("lake", "usage", "salesforce_url", "salesforce_client_id", "log_level")}
    plain["mappings"] = served.worker.folder.parent / "mappings"
    for name, value in {**plain, **{n: s.get_secret_value() for n, s in secrets.items() if s}}.items():
        monkeypatch.setenv(f"SCORESYNC_{name.upper()}", str(value))
    monkeypatch.setattr(sys, "argv", ["scoresync", *words, "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out)


def test_another_client_reads_what_the_worker_wrote(served: Served) -> None:
    """60 employees of 100 are 60 points, one contact is 40: the mean is 50, tier 3 of edges 40 and 60."""
    record = served.record(59)
    assert (record["CSH_Health_Score__c"], record["CSH_Health_Tier__c"]) == (50.0, "3")
    assert record["CSH_Reason_1__c"] == "担当者は1名です"
    assert record["CSH_Scored_At__c"] == (orgs.TODAY + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def test_a_run_right_after_another_does_nothing(served: Served) -> None:
    served.worker.box.control.reset_stats()
    for kind in (RunKind.INCREMENT, RunKind.FULL):
        report = served.worker.report(served.worker.run(kind))
        assert report["changes"] == {"records": 0, "fields": 0}
        assert report["calls"]["writes"] == 0
    stats = served.worker.box.control.stats()
    assert (stats["records_changed"], stats["field_writes"]) == (0, 0)


def test_our_own_writes_come_back_as_no_news(served: Served) -> None:
    served.csm.Account.update(served.firm.accounts[40], {"NumberOfEmployees": 90})
    assert served.scored(served.worker.run()) == [served.firm.accounts[40]]
    assert served.scored(served.worker.run()) == []


def test_a_new_contact_rescores_its_account_alone(served: Served) -> None:
    """A second contact is 70 points: account 10 goes from (10 + 40) / 2 = 25 to 40."""
    before = served.record(10)["CSH_Health_Score__c"]
    served.csm.Contact.create({"LastName": "鈴木", "AccountId": served.firm.accounts[10]})
    served.worker.box.control.reset_stats()
    run = served.worker.run()
    report = served.worker.report(run)
    assert served.scored(run) == [served.firm.accounts[10]]
    assert (report["calls"]["writes"], report["changes"]["records"]) == (1, 1)
    assert served.worker.box.control.stats()["records_changed"] == 1
    assert (before, served.record(10)["CSH_Health_Score__c"]) == (25.0, 40.0)


def test_an_edited_contract_rescores_its_account_alone(served: Served) -> None:
    """A term that ends a year earlier moves the notice deadline, which is on the record."""
    before = served.record(11, "CSH_Notice_On__c")["CSH_Notice_On__c"]
    served.csm.Contract.update(served.firm.contracts[11], {"ContractTerm": 12})
    run = served.worker.run()
    report = served.worker.report(run)
    assert served.scored(run) == [served.firm.accounts[11]]
    assert (report["calls"]["writes"], report["changes"]["records"]) == (1, 1)
    after = served.record(11, "CSH_Notice_On__c")["CSH_Notice_On__c"]
    assert int(before[:4]) - int(after[:4]) == 1
    assert before[4:] == after[4:]


def test_a_contact_that_moves_rescores_both_accounts(served: Served) -> None:
    served.csm.Contact.update(served.firm.contacts[12], {"AccountId": served.firm.accounts[13]})
    run = served.worker.run()
    assert served.scored(run) == sorted(served.firm.accounts[12:14])
    assert [served.record(n)["CSH_Health_Score__c"] for n in (12, 13)] == [6.0, 42.0]  # (12 + 0) / 2; (13 + 70) / 2 = 41.5, to even


def test_a_dry_run_shows_a_change_and_leaves_it_to_be_done(served: Served) -> None:
    """It reads on like any run, so the next one must take up what it did not write."""
    account = served.firm.accounts[41]
    served.csm.Account.update(account, {"NumberOfEmployees": 91})
    shown = served.worker.report(served.worker.run(dry_run=True))
    assert (shown["changes"]["records"], shown["calls"]["writes"]) == (1, 0)
    run = served.worker.run()
    assert served.scored(run) == [account]
    assert served.worker.report(run)["calls"]["writes"] == 1
    assert served.record(41)["CSH_Health_Score__c"] == 66.0  # (91 + 40) / 2 = 65.5, to even


def test_a_persons_edit_is_held_until_it_is_released(served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    account = served.firm.accounts[20]  # (20 + 40) / 2 = 30
    served.csm.Account.update(account, {"CSH_Health_Score__c": 77})
    report = served.worker.report(served.worker.run())
    assert (report["writes"]["held"], report["writes"]["ok"]) == (1, 0)
    assert served.record(20)["CSH_Health_Score__c"] == 77.0

    assert served.worker.report(served.worker.run(RunKind.FULL))["calls"]["writes"] == 0
    assert served.record(20)["CSH_Health_Score__c"] == 77.0
    code, held = cli(served, monkeypatch, capsys, "holds")
    assert code == 0
    assert [(row["record_id"], row["field"], row["crm_value"]) for row in held] == [(account, "health_score", "77")]
    code, said = cli(served, monkeypatch, capsys, "explain", account)
    assert code == 0
    assert any("account.health_score is held" in line for line in said["why_not"])

    code, freed = cli(served, monkeypatch, capsys, "holds", "--release", account)
    assert (code, len(freed)) == (0, 1)
    report = served.worker.report(served.worker.run(RunKind.FULL))
    assert (report["writes"]["held"], report["writes"]["ok"], report["calls"]["writes"]) == (0, 1, 1)
    assert served.record(20)["CSH_Health_Score__c"] == 30.0
    assert cli(served, monkeypatch, capsys, "holds") == (0, [])


def test_the_other_fields_of_a_held_record_go_on(served: Served) -> None:
    """The hold is the field's, not the record's."""
    account = served.firm.accounts[21]
    served.csm.Account.update(account, {"CSH_Reason_1__c": "先方の体制変更待ち", "NumberOfEmployees": 99})
    report = served.worker.report(served.worker.run())
    assert report["calls"]["writes"] == 1
    record = served.record(21)
    assert (record["CSH_Health_Score__c"], record["CSH_Reason_1__c"]) == (70.0, "先方の体制変更待ち")  # (99 + 40) / 2 = 69.5, to even


def test_what_people_own_is_never_written(served: Served) -> None:
    account = served.firm.accounts[30]
    fields = "CSH_CSM_Pulse__c, CSH_Resync_Requested_At__c"
    served.csm.Account.update(account, {"CSH_CSM_Pulse__c": "C", "NumberOfEmployees": 77})
    assert served.scored(served.worker.run()) == [account]
    assert served.record(30, fields) == {"CSH_CSM_Pulse__c": "C", "CSH_Resync_Requested_At__c": None}
    human = {field.key for field in served.worker.mappings.writeback.of("account") if field.owner != "worker"}
    written = {row["field"] for row in served.worker.lake("writes", "DISTINCT field")}
    assert "pulse" in human
    assert written
    assert not written & human


def test_the_next_day_without_new_data_writes_nothing(served: Served) -> None:
    """Nothing here depends on the day. Runs last: later runs of the day before would be older than this one."""
    served.worker.run(RunKind.FULL)  # reasons weigh an account against its peers, whom the tests above changed
    run = served.worker.run(RunKind.FULL, as_of=orgs.TODAY + timedelta(days=1))
    report = served.worker.report(run)
    assert [row for row in served.worker.rows(run, "changes") if row["disposition"] == "send"] == []
    assert report["calls"]["writes"] == 0
