"""RavenStack, outside data as dirty as real data (River @ Rivalytics), goes through an empty org and back: every row is accounted for, and all 500
scores are those of reference.py, which knows nothing of this product. Skipped where the data folder is not there."""

import ast
import csv
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connectors.sandbox_kit import SandboxProcess
from tests.acceptance import orgs
from tests.acceptance.vendor import log_in, read_all
from tests.ravenstack import load, reference
from worker.cli import exits
from worker.cli.summary import whole_report
from worker.items import Run, RunKind
from worker.store.tables import item

SHARED = Path(os.environ.get("SCORESYNC_SHARED") or Path(__file__).resolve().parents[3] / "shared")
DATA = SHARED / "data" / "ravenstack"
AS_OF = datetime(2025, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no RavenStack data at {DATA}; set SCORESYNC_SHARED")


@dataclass
class Ran:
    """The finished run and the org it wrote to."""

    worker: orgs.Worker
    run: Run
    loaded: dict[str, int]
    accounts: dict[str, dict[str, Any]]  # CRM id -> record as simple-salesforce reads it


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("ravenstack")
    with SandboxProcess(folder / "org.db") as box:
        box.control.clock(now="2024-12-31T23:00:00Z")
        loaded = load.load(box, DATA)
        box.control.clock(now="2025-01-01T00:00:00Z")
        with orgs.open_worker(box, folder / "worker", load.mapping_folder(folder / "mappings"), usage=DATA) as worker:
            orgs.provision(box, worker.mappings, worker.settings)
            run = worker.run(RunKind.FULL, as_of=AS_OF)
            fields = "Id, RS_Id__c, CSH_Health_Score__c, CSH_Health_Tier__c"
            read = read_all(log_in(box, "integration"), f"SELECT {fields} FROM Account")
            yield Ran(worker, run, loaded, {row["Id"]: row for row in read})


def test_every_row_is_accounted_for(ran: Ran) -> None:
    assert ran.loaded == {"Account": 500, "Subscription__c": 5000, "Case": 2000}
    stats: dict[str, float] = {}
    for row in ran.worker.runtime.ledger.rows(select(item.c.stats).where(item.c.run_id == ran.run.id, item.c.stats.is_not(None))):
        for name, value in row.stats.items():
            stats[name] = stats.get(name, 0) + value
    assert (stats["crm.rows_in"], stats["crm.rows_done"], stats["crm.rows_set_aside"]) == (7500, 7500, 0)
    for table, count in {"crm_account": 500, "crm_contract": 5000, "crm_ticket": 2000}.items():
        assert ran.worker.lake(table, "count(DISTINCT id) AS n, count(*) AS rows") == [{"n": count, "rows": count}]
    report = ran.worker.report(ran.run)
    assert report["accounts"] == {"in_crm": 500, "scored": 500, "not_scored": 0, "excluded": 0, "failed": 0}
    assert report["usage"] == {"rows_in": 25_000, "rows_done": 24_979, "rows_set_aside": 21, "tenants_unmatched": 0, "accounts_without_usage": 0}
    assert report["writes"] == {"ok": 500, "rejected": 0, "unprocessed": 0, "held": 0, "invalid": 0, "superseded": 0}
    assert report["calls"]["writes"] == 3  # 500 records, 200 in a call


def test_the_repeated_usage_ids_are_named_by_file_and_line(ran: Ran) -> None:
    path = DATA / "feature_usage.csv"
    expected, seen = [], set()
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            if row["usage_id"] in seen:
                expected.append((f"{path}:{reader.line_num}", row["usage_id"]))
            seen.add(row["usage_id"])
    assert len(expected) == 21
    found = ran.worker.lake("usage_rejects")
    assert sorted((row["where_"], row["value"]) for row in found) == sorted(expected)
    assert {(row["source"], row["column_"], row["run_id"]) for row in found} == {("feature_usage", "usage_id", ran.run.id)}
    assert all("repeats the row id" in row["reason"] and row["remedy"] for row in found)
    report = whole_report(ran.worker.runtime, ran.run)  # what `scoresync run --json` and `scoresync runs RUN` show
    assert sorted((row["where"], row["value"]) for row in report["set_aside"]) == sorted(expected)
    assert exits.of_run(ran.run, report) == exits.WITH_RESERVE


def test_usage_outside_its_contract_is_counted(ran: Ran) -> None:
    """The lake keeps one row per subscription, feature and day, so rows of the same are counted once: 19,417 rows are 19,414 of those."""
    assert reference.outside_contract(DATA) == (19_128, 289)
    spans = {
        line["subscription_id"]: (reference.day(line["start_date"]), reference.day(line["end_date"]))
        for line in reference.rows(DATA, "subscriptions.csv")
    }
    outside = set()
    for subscription, used in reference.usage_of(DATA)[0].items():
        starts, ends = spans[subscription]
        for row in used:
            on = reference.day(row["usage_date"])
            if (starts and on and on < starts) or (ends and on and on > ends):
                outside.add((subscription, row["feature_name"], on))
    assert ran.worker.reconciliation(ran.run)["usage_outside_contract"] == len(outside) == 19_414
    assert any(note.startswith("19,414 days of use") for note in ran.worker.report(ran.run)["notes"])


def test_all_scores_equal_the_reference(ran: Ran) -> None:
    expected = reference.all_scores(DATA)
    found = {ran.accounts[row["account_id"]]["RS_Id__c"]: row for row in ran.worker.rows(ran.run, "scores")}
    assert len(expected) == len(found) == 500
    differing = {}
    for account, want in expected.items():
        got = found[account]
        same = (
            (got["state"], got["score"], got["profile"]) == (want.state, want.score, want.profile)
            and abs(got["score_uncapped"] - want.uncapped) < 1e-9
            and abs(got["coverage"] - want.coverage) < 1e-9
        )
        if not same:
            differing[account] = (want, got)
    assert differing == {}
    capped = [row for row in found.values() if row["capped_by"]]
    assert {row["capped_by"] for row in capped} <= {"escalation"}
    assert len({want.score for want in expected.values()}) > 30  # a comparison of one value with itself would prove nothing


def test_the_org_holds_these_scores(ran: Ran) -> None:
    expected = {account: want.score for account, want in reference.all_scores(DATA).items()}
    assert {row["RS_Id__c"]: row["CSH_Health_Score__c"] for row in ran.accounts.values()} == expected
    assert {row["CSH_Health_Tier__c"] for row in ran.accounts.values()} <= {"1", "2", "3", "4", "5"}


def test_the_reference_knows_nothing_of_this_product() -> None:
    tree = ast.parse(Path(str(reference.__file__)).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= sys.stdlib_module_names


def test_the_next_day_without_new_data_writes_little(ran: Ran) -> None:
    """Windows move by a day, so some scores move; what only ages does not cause a write. Last: it adds to the lake."""
    report = ran.worker.report(ran.worker.run(RunKind.FULL, as_of=AS_OF + timedelta(days=1)))
    assert report["usage"]["rows_in"] == 0
    assert report["changes"]["records"] <= 10  # 2 % of 500
    assert report["calls"]["writes"] <= 1
