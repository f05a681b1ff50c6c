"""RavenStack goes through an empty HubSpot account and back: the scores of all 500 accounts are those of reference.py, so those that Salesforce's
test gives. The same indicators, score and usage; only crm/ differs. Skipped where the data folder is not there."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.hubspot import connector
from connectors.sandbox_kit import SandboxProcess
from mappings.load import load
from tests.acceptance import orgs
from tests.connectors import hubs
from tests.connectors.orgs import QUICK
from tests.ravenstack import load_hubspot, reference
from tests.worker import flows
from worker import log
from worker.items import Run, RunKind
from worker.runtime import Runtime

SHARED = Path(os.environ.get("SCORESYNC_SHARED") or Path(__file__).resolve().parents[3] / "shared")
DATA = SHARED / "data" / "ravenstack"
AS_OF = datetime(2025, 1, 1, tzinfo=UTC)
WRITTEN = ["rs_id", "csh_health_score", "csh_health_tier"]

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no RavenStack data at {DATA}; set SCORESYNC_SHARED")


@dataclass
class Ran:
    """The finished run and the account it wrote to."""

    worker: orgs.Worker
    run: Run
    loaded: dict[str, int]
    companies: dict[str, dict[str, Any]]  # HubSpot's id -> properties as HubSpot's own client reads them


def open_worker(box: SandboxProcess, folder: Path) -> orgs.Worker:
    folder.mkdir()
    mappings = load(load_hubspot.mapping_folder(folder / "mappings"))
    token = SecretStr(box.control.info()["access_token"])
    settings = orgs.settings(box, folder, usage=DATA, hubspot_url=box.url, hubspot_token=token, hubspot_window_calls=1_000_000, read_lag_s=0)
    log.configure(settings)
    opener = lambda m, name: connector.connect(m.crm[name], m, settings, waits=QUICK, searches=1_000_000)  # noqa: E731
    return orgs.Worker(box, folder, mappings, settings, Runtime.open(settings, open_crm=opener))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("ravenstack-hubspot")
    with SandboxProcess(folder / "account.db", crm="hubspot") as box:
        box.control.settings(**hubs.SETTINGS)
        box.control.clock(now="2024-12-31T23:00:00Z")
        loaded = load_hubspot.load(box, DATA)
        box.control.clock(now="2025-01-01T00:00:00Z")
        worker = open_worker(box, folder / "worker")
        try:
            fields = worker.mappings.writeback.active()
            worker.runtime.crm_now(worker.mappings, "hubspot").provision(fields, dry_run=False, say=lambda _: None)
            run = worker.run(RunKind.FULL, as_of=AS_OF)
            read = load_hubspot.log_in(box).crm.companies.get_all(properties=WRITTEN)
            yield Ran(worker, run, loaded, {one.id: one.properties for one in read})
        finally:
            worker.runtime.close()


def test_every_record_is_accounted_for(ran: Ran) -> None:
    assert ran.loaded == {"companies": 500, "deals": 5000, "tickets": 2000}
    stats = flows.stats(ran.worker.runtime, ran.run.id)
    assert (stats["crm.rows_in"], stats["crm.rows_done"], stats["crm.rows_set_aside"]) == (7500, 7500, 0)
    assert ran.worker.lake("crm_account", "count(DISTINCT id) AS n, count(*) AS rows") == [{"n": 500, "rows": 500}]
    for table, count in {"crm_contract": 5000, "crm_ticket": 2000}.items():
        found = ran.worker.lake(table, "count(DISTINCT id) AS n, count(account_id) AS owned, count(*) AS rows")
        assert found == [{"n": count, "owned": count, "rows": count}]
    report = ran.worker.report(ran.run)
    assert report["accounts"] == {"in_crm": 500, "scored": 500, "not_scored": 0, "excluded": 0, "failed": 0}
    assert report["usage"] == {"rows_in": 25_000, "rows_done": 24_979, "rows_set_aside": 21, "tenants_unmatched": 0, "accounts_without_usage": 0}
    assert report["writes"] == {"ok": 500, "rejected": 0, "unprocessed": 0, "held": 0, "invalid": 0, "superseded": 0}
    assert report["calls"]["writes"] == 5  # 500 records, 100 in a call


def test_all_scores_equal_the_reference(ran: Ran) -> None:
    expected = reference.all_scores(DATA)
    found = {ran.companies[row["account_id"]]["rs_id"]: row for row in ran.worker.rows(ran.run, "scores")}
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


def test_the_account_holds_these_scores(ran: Ran) -> None:
    """HubSpot answers every value as text."""
    expected = {account: str(want.score) for account, want in reference.all_scores(DATA).items()}
    assert {row["rs_id"]: row["csh_health_score"] for row in ran.companies.values()} == expected
    assert len(set(expected.values())) > 30  # a comparison of one value with itself would prove nothing
    assert {row["csh_health_tier"] for row in ran.companies.values()} <= {"1", "2", "3", "4", "5"}
