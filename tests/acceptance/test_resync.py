"""健康度を再計算: a CSM presses the button on the record, and that account alone is scored and answered."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import event, func, select

from connectors.sandbox_kit import SandboxProcess
from tests.acceptance import orgs
from worker.items import RunKind, RunState
from worker.run import finish_run, poll_resync, until_done, work
from worker.store import runs
from worker.store.tables import item

HERE = Path(__file__).parent
REQUESTED, ANSWERED = "CSH_Resync_Requested_At__c", "CSH_Resynced_At__c"


@dataclass
class Desk:
    """Accounts with one contact each; account number i has i employees and scores (i + 40) / 2."""

    worker: orgs.Worker
    firm: orgs.Firm

    def press(self, number: int, user: str = "csm") -> str:
        """What the quick action does: the request takes the time of the click."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.edit(number, user, **{REQUESTED: now})
        return str(self.record(number)[REQUESTED])

    def edit(self, number: int, user: str = "admin", **values: Any) -> None:
        (answer,) = self.worker.box.control.write(user, "Account", [{"Id": self.firm.accounts[number], **values}])
        assert answer["success"], answer

    def record(self, number: int) -> dict[str, Any]:
        return next(row for row in self.worker.box.control.dump("Account") if row["Id"] == self.firm.accounts[number])

    def poll(self) -> str | None:
        return poll_resync(self.worker.runtime, self.worker.mappings)

    def finish(self, run_id: str | None) -> None:
        assert run_id is not None
        ended = finish_run(self.worker.runtime, run_id)
        assert ended.state == RunState.DONE, ended.reason

    def asked(self, run_id: str | None) -> list[str]:
        assert run_id is not None
        run = runs.get(self.worker.runtime.ledger, run_id)
        assert run.kind == RunKind.RESYNC
        return list(run.accounts or ())


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("resync")
    mapping_folder = orgs.lay_over(HERE / "mappings", folder / "mappings")
    with SandboxProcess(folder / "org.db") as box, orgs.open_worker(box, folder / "worker", mapping_folder) as worker:
        orgs.provision(box, worker.mappings, worker.settings)
        box.control.call("grants", {"user": "csm", "fields": [f"Account.{REQUESTED}"]})
        firm = orgs.make_firm(box, 12)
        finish = worker.run(RunKind.FULL, as_of=datetime.now(UTC))
        assert worker.report(finish)["accounts"]["scored"] == 12
        yield Desk(worker, firm)


def test_the_account_that_asks_is_scored_and_answered(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """(60 + 40) / 2 = 50. The other account changed too, and waits for its increment."""
    for number in (1, 2):
        desk.edit(number, NumberOfEmployees=60)
    desk.worker.box.control.reset_stats()
    clicked = time.perf_counter()
    request = desk.press(1)
    run_id = desk.poll()
    desk.finish(run_id)
    seconds = time.perf_counter() - clicked
    with capsys.disabled():
        print(f" [from the click to the CRM: {seconds:.2f} s]", end="")
    assert desk.asked(run_id) == [desk.firm.accounts[1]]
    record, other = desk.record(1), desk.record(2)
    assert (record["CSH_Health_Score__c"], other["CSH_Health_Score__c"]) == (50.0, 21.0)
    assert record[REQUESTED] == request  # a person's field, never cleared
    assert record[ANSWERED] >= request[:19]
    assert other[ANSWERED] is None
    stats = desk.worker.box.control.stats()["calls"]
    assert stats["collections_update"] == 1


def test_a_resync_opens_one_database_and_ends_an_item_and_claims_the_next_in_one_commit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of the time of a small run would go into them."""
    opened: list[Any] = []
    commits: list[Any] = []

    def noted(connection: Any) -> None:
        commits.append(connection)

    engine = desk.worker.runtime.ledger.engine
    monkeypatch.setattr(duckdb, "connect", lambda *a, connect=duckdb.connect, **more: (opened.append(a), connect(*a, **more))[1])
    desk.press(10)
    run_id = desk.poll()
    event.listen(engine, "commit", noted)
    try:
        work(desk.worker.runtime, until_done(desk.worker.runtime, run_id or ""))
    finally:
        event.remove(engine, "commit", noted)
    assert desk.record(10)[ANSWERED] is not None
    assert len(opened) == 1
    assert run_id is not None
    count = select(func.count()).where(item.c.run_id == run_id)
    ((items,),) = desk.worker.runtime.ledger.rows(count)
    # one for the end of each item; besides, the first claim and what write_back notes around its call
    assert items < len(commits) < 2 * items


def test_a_request_is_answered_once(desk: Desk) -> None:
    desk.press(3)
    desk.finish(desk.poll())
    answer = desk.record(3)[ANSWERED]
    assert answer is not None
    desk.worker.box.control.reset_stats()
    assert desk.poll() is None
    assert desk.worker.box.control.stats()["calls"] == {"query": 1, "versions": 1}  # the second tells the time and counts against no limit; no login
    desk.worker.run(RunKind.INCREMENT, as_of=datetime.now(UTC))
    assert desk.record(3)[ANSWERED] == answer


def test_a_request_that_changes_no_score_is_answered_all_the_same(desk: Desk) -> None:
    before = desk.record(4)["CSH_Health_Score__c"]
    desk.press(4)
    desk.finish(desk.poll())
    assert desk.record(4)["CSH_Health_Score__c"] == before
    assert desk.record(4)[ANSWERED] is not None


def test_a_click_during_processing_is_picked_up_next(desk: Desk) -> None:
    """The second click comes while the first is about to be written: its value is another, so it is another request."""
    first = desk.press(5)
    run_id = desk.poll()
    assert run_id is not None
    desk.worker.box.control.faults(
        {"kind": "control", "call": "collections_update", "name": "write",
         "body": {"user": "csm", "object": "Account", "rows": [{"Id": desk.firm.accounts[5], REQUESTED: "2026-11-30T01:02:03Z"}]}}
    )  # fmt: skip
    desk.edit(5, NumberOfEmployees=80)
    desk.finish(run_id)
    desk.worker.box.control.clear_faults()
    assert desk.record(5)[REQUESTED] != first
    again = desk.poll()
    assert desk.asked(again) == [desk.firm.accounts[5]]
    answered = desk.record(5)[ANSWERED]
    desk.finish(again)
    assert desk.record(5)[ANSWERED] >= answered
    assert desk.record(5)["CSH_Health_Score__c"] == 60.0  # (80 + 40) / 2
    assert desk.poll() is None


def test_several_requests_are_one_run_and_go_before_a_waiting_one(desk: Desk) -> None:
    """An increment waits for its turn; people do not."""
    for number in (6, 7):
        desk.press(number)
    run_id = desk.poll()
    assert desk.asked(run_id) == sorted(desk.firm.accounts[6:8])
    assert run_id is not None
    work(desk.worker.runtime, until_done(desk.worker.runtime, run_id))
    assert all(desk.record(number)[ANSWERED] is not None for number in (6, 7))
