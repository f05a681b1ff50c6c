"""How many calls a number of changed records costs, and that the API they go by makes no difference to what the org then holds."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from connectors.sandbox_kit import SandboxProcess
from mappings.load import load
from mappings.models import Mappings
from tests.acceptance import orgs
from tests.acceptance.vendor import log_in, read_all
from worker.items import RunKind

HERE = Path(__file__).parent


def by_hand(employees: int, contacts_points: int = 40) -> int:
    """Mean of the two points, half to even."""
    return round(Fraction(min(employees, 100) + contacts_points, 2))


def scores(box: SandboxProcess) -> dict[str, int]:
    """Account id -> score, as simple-salesforce reads it."""
    found = read_all(log_in(box, "integration"), "SELECT Id, CSH_Health_Score__c FROM Account")
    return {row["Id"]: int(row["CSH_Health_Score__c"]) for row in found}


def test_calls_by_volume(tmp_path: Path) -> None:
    mapping_folder = orgs.lay_over(HERE / "mappings", tmp_path / "mappings")
    with SandboxProcess(tmp_path / "org.db") as box, orgs.open_worker(box, tmp_path / "worker", mapping_folder, read_overlap_s=0) as worker:
        orgs.provision(box, worker.mappings, worker.settings)
        firm = orgs.make_firm(box, 5_000)

        report = worker.report(worker.run(RunKind.FULL))
        assert report["writes"] == {"ok": 5_000, "rejected": 0, "unprocessed": 0, "held": 0, "invalid": 0, "superseded": 0}
        calls = report["calls"]
        assert "collections_update" not in calls["by_kind"]
        assert 0 < calls["writes"] <= 10, calls
        assert calls["polls"] >= 1, calls
        expected = {account: by_hand(i % 101) for i, account in enumerate(firm.accounts)}
        assert scores(box) == expected

        grown = firm.accounts[1_000:2_000]
        edited = log_in(box, "admin").bulk2.Account.update(records=[{"Id": account, "NumberOfEmployees": "100"} for account in grown], wait=0.1)
        assert edited[0]["numberRecordsFailed"] == 0
        expected |= dict.fromkeys(grown, 70)
        moved = sum(by_hand((1_000 + i) % 101) != 70 for i in range(1_000))  # those with 99 and 100 have 70 already
        run = worker.run(RunKind.INCREMENT)
        report = worker.report(run)
        assert sorted(row["account_id"] for row in worker.rows(run, "scores", "account_id")) == sorted(set(grown) - already(grown, firm))
        assert report["writes"]["ok"] == report["changes"]["records"] >= moved
        assert (report["calls"]["by_kind"]["collections_update"], report["calls"]["writes"]) == (5, 5)
        assert scores(box) == expected


def already(accounts: list[str], firm: orgs.Firm) -> set[str]:
    """Those that had 100 employees before, so that nothing of theirs changed."""
    return {account for account in accounts if firm.accounts.index(account) % 101 == 100}


def test_the_org_ends_up_the_same_by_either_api(tmp_path: Path) -> None:
    """Two copies of one org, one written by Collections calls, one by Bulk jobs, first all records and then some."""
    mappings = load(orgs.lay_over(HERE / "mappings", tmp_path / "mappings"))
    with SandboxProcess(tmp_path / "org.db") as box:
        orgs.provision(box, mappings, orgs.settings(box, tmp_path))
        firm = orgs.make_firm(box, 250)
    found = {api: written_by(api, tmp_path, mappings, firm) for api in ("collections", "bulk")}
    assert found["collections"]["kinds"] == {"collections_update"}
    assert "collections_update" not in found["bulk"]["kinds"]
    assert found["collections"]["rows"] == found["bulk"]["rows"]
    rows = {row["Id"]: row for row in found["bulk"]["rows"]}
    assert [rows[account]["CSH_Health_Score__c"] for account in firm.accounts[:4]] == [60, 60, 61, 22]  # employees 80, 81, 82 and 3


def written_by(api: str, folder: Path, mappings: Mappings, firm: orgs.Firm) -> dict[str, Any]:
    """Kinds of write calls, and all our fields of all accounts after a full run, an edit of three accounts and an increment."""
    copy = folder / f"{api}.db"
    with closing(sqlite3.connect(folder / "org.db")) as original, closing(sqlite3.connect(copy)) as into:
        original.backup(into)  # with what still lies in its journal
    fields = ",".join(f.names["salesforce"] for f in mappings.writeback.active() if f.object == "account")
    kinds: set[str] = set()
    with SandboxProcess(copy) as box, orgs.open_worker(box, folder / api, mappings=mappings, read_overlap_s=0, write_api=api) as worker:
        for kind, minutes in ((RunKind.FULL, 1), (RunKind.INCREMENT, 2)):
            report = worker.report(worker.run(kind, as_of=orgs.TODAY + timedelta(minutes=minutes)))
            kinds |= {name for name in report["calls"]["by_kind"] if "collections" in name or "ingest" in name or "bulk" in name}
            assert report["writes"]["ok"] == report["changes"]["records"] > 0
            if kind == RunKind.FULL:
                edits = [{"Id": account, "NumberOfEmployees": 80 + n} for n, account in enumerate(firm.accounts[:3])]
                assert all(result["success"] for result in box.control.write("admin", "Account", edits))
        return {"kinds": kinds, "rows": box.control.dump("Account", fields=f"Id,Name,NumberOfEmployees,{fields}")}
