"""CSQLs as leads, tasks and deals, step by step: made once whatever is cut off, read back as sales left them, kept apart from everybody else's."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from connectors.base import ReadResult, RecordWrite, Window
from connectors.hubspot import connector
from connectors.hubspot.stores import LEAD_STAGES, TASK_STAGES, Kind, Names, Store
from connectors.sandbox_kit import SandboxProcess
from mappings.models import CrmMapping, Mappings, Source, Writeback
from tests.connectors import hubs
from tests.factories import make_mappings
from tests.worker import flows
from worker.items import RunKind
from worker.run import finish_run, start_run
from worker.runtime import Runtime
from worker.settings import Settings

forks = multiprocessing.get_context("forkserver")
STORES = {"lead": "leads", "task": "tasks", "deal": "deals"}
LEAD, TASK = Store(Kind.LEAD, "leads", Names(), LEAD_STAGES), Store(Kind.TASK, "tasks", Names(), TASK_STAGES)


# --- state and stage -----------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("store", "state", "stage", "returned", "seen"),
    [
        (LEAD, "Submitted", "new-stage-id", False, "Submitted"),  # as we left it
        (LEAD, "Submitted", "attempting-stage-id", False, "Accepted"),  # sales moved the stage …
        (LEAD, "Accepted", "new-stage-id", False, "Accepted"),  # … or the property
        (LEAD, "Accepted", "connected-stage-id", False, "Meeting"),  # … or one after the other
        (LEAD, "Meeting", "attempting-stage-id", False, "Meeting"),
        (LEAD, "Submitted", "unqualified-stage-id", False, "Returned"),
        (LEAD, "Won", "qualified-stage-id", False, "Won"),
        (LEAD, "Won", "connected-stage-id", False, "Won"),
        (LEAD, "Expired", "unqualified-stage-id", False, "Expired"),  # ours
        (LEAD, "Nurture", "new-stage-id", False, "Nurture"),
        (LEAD, "Nurture", "connected-stage-id", False, "Meeting"),  # being worked, so that no run resumes it
        (LEAD, "Submitted", "a-stage-of-their-own", False, "Submitted"),
        (LEAD, "Their own state", "attempting-stage-id", False, "Their own state"),
        (LEAD, None, "new-stage-id", False, "Candidate"),
        (TASK, "Submitted", "IN_PROGRESS", False, "Accepted"),
        (TASK, "Submitted", "COMPLETED", False, "Accepted"),  # done without a word
        (TASK, "Submitted", "COMPLETED", True, "Returned"),
        (TASK, "Opportunity", "COMPLETED", False, "Opportunity"),
        (TASK, "Won", "COMPLETED", True, "Won"),
        (TASK, "Merged", "COMPLETED", False, "Merged"),
        (TASK, "Submitted", "WAITING", False, "Nurture"),
        (TASK, "Accepted", "DEFERRED", False, "Accepted"),
    ],
)  # fmt: skip
def test_cs57_the_further_of_state_and_stage_counts(store: Store, state: str | None, stage: str, returned: bool, seen: str) -> None:
    assert store.state(state, stage, returned=returned) == seen


@pytest.mark.parametrize("store", [LEAD, TASK], ids=["lead", "task"])
def test_what_we_write_reads_as_what_we_wrote(store: Store) -> None:
    """For every state there is: the stage that goes along with it says nothing else."""
    for state in ("Candidate", "Submitted", "Accepted", "Meeting", "Opportunity", "Won", "Lost", "Returned", "Nurture", "Expired", "Merged"):
        stage = store.staged({"state": state})[store.stage]
        assert store.state(state, stage, returned=False) == state
    assert store.staged({"title": "x"}) == {}


# --- in an account ---------------------------------------------------------------------------------------------------------------------------------
VALUES = ("Candidate", "Submitted", "Accepted", "Returned", "Expired")
STATE = hubs.field("state", "picklist", object="csql", values=[{"value": v, "en": v, "ja": f"{v}の"} for v in VALUES])
FIELDS = [hubs.KEY, hubs.TITLE, hubs.PARENT, STATE]


def mapping(store: str) -> CrmMapping:
    return hubs.MAPPING.model_copy(update={"csql_store": store})


def given(store: str) -> Mappings:
    return make_mappings(crm={"hubspot": mapping(store)}, usage={}, writeback=Writeback(fields=FIELDS))


@pytest.fixture(scope="module")
def box() -> Iterator[SandboxProcess]:
    """One account with every store set up; the mapping says which is meant."""
    with SandboxProcess(crm="hubspot") as process:
        process.control.settings(**hubs.SETTINGS)
        for store in STORES:
            hubs.open_crm(process, mapping=mapping(store), csql_fields=FIELDS).provision(FIELDS, dry_run=False, say=lambda _: None)
        yield process


def settings(folder: Path, url: str, token: str) -> Settings:
    return Settings(
        lake=folder / "lake", database_url=SecretStr(f"sqlite:///{folder}/ledger.db"), backoff_s=0, landing_s=0, quota_share=1, quota_reserve=0,
        hubspot_url=url, hubspot_token=SecretStr(token), hubspot_window_calls=1_000_000,
    )  # fmt: skip


def open_runtime(chosen: Settings, changes: Sequence[Mapping[str, Any]]) -> Runtime:
    opener = lambda m, name: connector.connect(m.crm[name], m, chosen, waits=hubs.QUICK, searches=1_000_000)  # noqa: E731
    return Runtime.open(chosen, steps=flows.write_steps(changes), open_crm=opener)


def child(folder: Path, url: str, token: str, run_id: str, changes: Sequence[Mapping[str, Any]], point: str) -> None:
    """Another process's whole life: it works off the run and dies at the point."""
    os.environ.update({"SCORESYNC_KILL_AT": point, "SCORESYNC_KILL_ONCE": str(folder / "passes"), "SCORESYNC_LOG_LEVEL": "error"})
    finish_run(open_runtime(settings(folder, url, token), changes), run_id)


def company(box: SandboxProcess, *, contact: bool = True) -> str:
    (made,) = hubs.make_companies(box, 1)
    if contact:
        (person,) = box.control.seed("contacts", [{"lastname": "佐藤"}])
        box.control.call("associate", {"from": "contacts", "to": "companies", "pairs": [[person, made]]})
    return made


def wishes(account: str) -> list[dict[str, Any]]:
    at = {"object": "csql", "record_id": None, "external_key": f"{account}|expense|1", "account_id": account}
    return [at | {"field": name, "our_value": value} for name, value in (("account", account), ("title", "席数"), ("state", "Submitted"))]


def records(box: SandboxProcess, store: str, account: str) -> list[tuple[str, str, list[str]]]:
    """(title, state, companies) of the account's CSQLs."""
    found = [row for row in box.control.dump(STORES[store]) if (row.get("csh_external_key") or "").startswith(f"{account}|")]
    links = box.control.call("links", method="GET", params={"from": STORES[store], "to": "companies"})
    return [(row["csh_title"], row["csh_state"], sorted({to for from_, to, _ in links if from_ == row["id"]})) for row in found]


@pytest.mark.parametrize("point", ["write_back.send.after", "write_back.results.after_part"])
@pytest.mark.parametrize("store", STORES)
def test_a_crash_between_create_and_record_makes_no_second_one(box: SandboxProcess, tmp_path: Path, store: str, point: str) -> None:
    account, token = company(box), box.control.info()["access_token"]
    runtime = open_runtime(settings(tmp_path, box.url, token), wishes(account))
    run_id = start_run(runtime, given(store), RunKind.INCREMENT)
    process = forks.Process(target=child, args=(tmp_path, box.url, token, run_id, wishes(account), point), daemon=True)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL, f"{point} was not passed"
    assert records(box, store, account) == [("席数", "Submitted", [account])]
    assert finish_run(runtime, run_id).state == "done"
    assert records(box, store, account) == [("席数", "Submitted", [account])]
    stats = flows.stats(runtime, run_id)
    assert (stats["writes.ok"], [name for name in stats if name in ("calls.batch_create", "calls.batch_upsert")]) == (1, [])  # found equal
    runtime.close()


#: what is cut off: the answer to the creation, after HubSpot did it; where the company is linked afterwards, that call, until the item is given back
CUTS = {
    "lead": {"kind": "reset", "when": "after", "path": "batch/create", "count": 1},
    "task": {"kind": "reset", "when": "after", "path": "batch/upsert", "count": 1},
    "deal": {"kind": "reset", "when": "after", "path": "batch/upsert", "count": 1},
    "task without its company": {"kind": "reset", "when": "before", "path": "associate/default", "count": 4},
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_creation_whose_answer_was_lost_is_looked_up_and_not_repeated(box: SandboxProcess, tmp_path: Path, cut: str) -> None:
    account, store = company(box), cut.split()[0]
    box.control.faults(CUTS[cut])
    runtime = open_runtime(settings(tmp_path, box.url, box.control.info()["access_token"]), wishes(account))
    run = finish_run(runtime, start_run(runtime, given(store), RunKind.INCREMENT))
    assert run.state == "done", run.reason
    assert records(box, store, account) == [("席数", "Submitted", [account])]
    runtime.close()


def test_a_lead_without_a_contact_is_refused_by_name_and_its_neighbours_are_made(box: SandboxProcess, tmp_path: Path) -> None:
    good, lonely = company(box), company(box, contact=False)
    runtime = open_runtime(settings(tmp_path, box.url, box.control.info()["access_token"]), [*wishes(good), *wishes(lonely)])
    run = finish_run(runtime, start_run(runtime, given("lead"), RunKind.INCREMENT))
    stats = flows.stats(runtime, run.id)
    assert (run.state, stats["writes.ok"], stats["writes.rejected"]) == ("done", 1, 1)
    assert (len(records(box, "lead", good)), records(box, "lead", lonely)) == (1, [])
    results = [row for page in tmp_path.glob("**/results-*.parquet") for row in pq.read_table(page).to_pylist()]
    (told,) = [(row["external_key"], row["code"], row["text"]) for row in results if row["state"] == "rejected"]
    assert told[:2] == (f"{lonely}|expense|1", "LEAD_NEEDS_CONTACT")
    assert "The CSM must associate one with the company" in told[2]
    runtime.close()


@pytest.mark.parametrize("store", STORES)
def test_other_peoples_records_are_no_csqls_and_csqls_are_nothing_else(box: SandboxProcess, tmp_path: Path, store: str) -> None:
    """A task of a person is read as an activity and not as a CSQL; the CSQL the other way round. Likewise leads, and deals as opportunities."""
    account, object_name = company(box), STORES[store]
    crm = hubs.open_crm(box, mapping=mapping(store), csql_fields=FIELDS)
    key = f"{account}|expense|1"
    write = RecordWrite(None, key, account, {"account": account, "title": "席数", "state": "Submitted"})
    (done,) = crm.write(FIELDS, [write], key_field=hubs.KEY)
    own = {"leads": {"hs_lead_name": "x"}, "tasks": {"hs_task_subject": "x", "hs_timestamp": "2026-12-01T00:00:00Z"}}
    (theirs,) = box.control.seed(object_name, [own.get(object_name, {"dealname": "x", "dealstage": "closedwon", "pipeline": "default"})])
    asked = Source(object="csh_csql", columns={"external_key": "csh_external_key", "state": "csh_state"})
    other = Source(object=object_name, columns={"owner_id": "hubspot_owner_id"})
    window = Window(None, crm.server_now().replace(year=2099))
    seen = {
        name: ids_of(crm.read(source, ["csh_assigned_to"], window, tmp_path / name, None)) for name, source in (("csql", asked), ("other", other))
    }
    assert (done.record_id in seen["csql"], theirs in seen["csql"]) == (True, False)
    assert (done.record_id in seen["other"], theirs in seen["other"]) == (False, True)


def ids_of(read: ReadResult) -> set[str]:
    return {i for page in read.pages for i in pq.read_table(page, columns=["_id"])["_id"].to_pylist()}
