"""write_back on a CRM without bulk jobs: everything goes as small batches, once in effect."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.hubspot import connector
from connectors.sandbox_kit import SandboxProcess
from mappings.models import Writeback
from tests.connectors import hubs
from tests.factories import make_mappings
from tests.worker import flows
from worker.items import RunKind
from worker.run import finish_run, start_run
from worker.runtime import Runtime
from worker.settings import Settings


@pytest.fixture(scope="module")
def box() -> Iterator[SandboxProcess]:
    with SandboxProcess(crm="hubspot") as process:
        hubs.provision(process)
        yield process


def write(box: SandboxProcess, folder: Path, changes: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, float]:
    """One run that wants exactly these changes; its counts."""
    settings = Settings(
        lake=folder / "lake", database_url=SecretStr(f"sqlite:///{folder}/ledger.db"), backoff_s=0, quota_share=1, quota_reserve=0,
        hubspot_url=box.url, hubspot_token=SecretStr(box.control.info()["access_token"]), hubspot_window_calls=1_000_000, **more,
    )  # fmt: skip
    given = make_mappings(crm={"hubspot": hubs.MAPPING}, usage={}, writeback=Writeback(fields=hubs.ALL_FIELDS))
    opener = lambda m, name: connector.connect(m.crm[name], m, settings, waits=hubs.QUICK, searches=1_000_000)  # noqa: E731
    runtime = Runtime.open(settings, steps=flows.write_steps(changes), open_crm=opener)
    try:
        run = finish_run(runtime, start_run(runtime, given, RunKind.INCREMENT))
        assert run.state == "done"
        return flows.stats(runtime, run.id)
    finally:
        runtime.close()


def test_more_than_2000_changes_are_small_batches_even_where_bulk_is_forced(box: SandboxProcess, tmp_path: Path) -> None:
    ids = hubs.make_companies(box, 2050)
    changes = [{"record_id": i, "field": "score", "our_value": "58"} for i in ids]
    counts = write(box, tmp_path, changes, write_api="bulk")
    assert (counts["writes.ok"], counts["calls.batch_update"]) == (2050, 21)
    again = write(box, tmp_path, changes, write_api="bulk")
    assert (again["writes.ok"], again["calls.reread"], "calls.batch_update" in again) == (2050, 21, False)  # found equal


def test_a_csql_exists_once_however_often_it_is_asked_for(box: SandboxProcess, tmp_path: Path) -> None:
    (company,) = hubs.make_companies(box, 1)
    key = f"{company}|expense|1"
    values = {"external_key": key, "account": company, "title": "席数", "state": "Candidate"}
    at = {"object": "csql", "record_id": None, "external_key": key, "account_id": company}
    changes = [at | {"field": name, "our_value": value} for name, value in values.items()]
    # the answer to the first write is lost after HubSpot did it: the record is there all the same, and is not made twice
    box.control.faults({"kind": "reset", "when": "after", "path": "batch/upsert", "count": 1})
    for _ in range(2):
        write(box, tmp_path, changes)
    found = [row for row in box.control.call("dump", method="GET", params={"object": "csh_csql"}) if row["csh_external_key"] == key]
    assert [(row["csh_title"], row["csh_state"]) for row in found] == [("席数", "Candidate")]
    links = box.control.call("links", method="GET", params={"from": "csh_csql", "to": "companies"})
    assert [to for from_, to, _ in links if from_ == found[0]["id"]] == [company]
