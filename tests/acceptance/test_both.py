"""Salesforce and HubSpot in one run, over real HTTP: one truth, written to both, and each served while the other is down."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from mappings.models_overwritten import Overwritten
from tests.acceptance import both
from worker.cli.main import main
from worker.items import RunKind, RunState
from worker.parity import parity
from worker.run import finish_run, poll_resync, start_run
from worker.store import registers, runs
from worker.store.tables import delivery, flip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[both.Firm]:
    """Both CRMs after a first full run. Each test works on what it changes and leaves nothing to be done."""
    with both.firm(tmp_path_factory.mktemp("both")) as firm:
        run = firm.run(RunKind.FULL)
        assert run.state == RunState.DONE, run.reason
        yield firm


@pytest.fixture
def firm(served: both.Firm) -> Iterator[both.Firm]:
    yield served
    served.heal()


def test_cs77_one_score_in_both_crms_and_the_second_run_writes_nothing(firm: both.Firm) -> None:
    """Meetings of HubSpot move the scores of Salesforce's accounts; what could be two companies is matched with none."""
    assert firm.scores("salesforce") == both.SCORES
    here = {name: firm.accounts[name] for name in both.MATCHED}
    there = {name: firm.companies[name] for name in both.MATCHED}
    assert firm.values("salesforce", here) == firm.values("hubspot", there)
    lost = {name: firm.companies[name] for name in ("枯葉", "双葉", "見込み")}
    assert all(value in (None, "false") for row in firm.values("hubspot", lost).values() for value in row.values())

    for kind in (RunKind.INCREMENT, RunKind.FULL):
        report = firm.report(firm.run(kind))
        assert report["changes"] == {"records": 0, "fields": 0}
        assert [report["connections"][name]["calls"]["writes"] for name in ("hubspot", "salesforce")] == [0, 0]


def test_cs77_the_report_tells_each_connection_and_who_is_not_matched(firm: both.Firm) -> None:
    run = runs.latest(firm.runtime.ledger)[-1]  # the one that wrote
    report = firm.report(run)
    # 6 accounts and, of 紅葉 and 青葉, a CSQL each in Salesforce; three companies in HubSpot
    parts = report["connections"]
    assert (parts["salesforce"]["writes"]["ok"], parts["hubspot"]["writes"]["ok"]) == (8, 3)
    assert report["writes"]["ok"] == 11
    assert report["calls"]["writes"] == sum(part["calls"]["writes"] for part in parts.values())
    counts = {"by_cross_id": 2, "by_domain": 1, "records_unmatched": 3, "accounts_unmatched": 3, "ambiguous": 3, "left_behind": 0}
    assert parts["hubspot"]["match"] == counts
    whys = {row["record_id"]: row["why"] for row in firm.table(run, "unmatched")}
    wanted = {"枯葉": "free_mail", "双葉": "shared_domain", "見込み": "no_counterpart"}
    assert {name: whys[firm.companies[name]] for name in wanted} == wanted
    assert whys[firm.accounts["双葉"]] == whys[firm.accounts["双葉販売"]] == "shared_domain"
    (note,) = [one for one in report["notes"] if "more than one" in one]
    assert firm.companies["双葉"] in note
    assert firm.accounts["双葉販売"] in note


def test_cs77_parity_proves_that_both_hold_the_same(
    firm: both.Firm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """By the commands an admin types, on mapping files: equal; then a person changes one field in HubSpot, and it is told; and as it was again."""
    for name, value in firm.environment(tmp_path / "mappings").items():
        monkeypatch.setenv(name, value)
    code, said = command(monkeypatch, capsys, "check", "--parity", "--json")
    assert (code, said["equal"], said["accounts"], said["gone"]) == (0, True, 3, 0)
    assert "health_score" in said["fields"]
    assert ("scored_at" in said["riding_fields"], said["riding"], said["left"]) == (True, {}, [])

    company, account = firm.companies["若葉"], firm.accounts["若葉"]
    score = firm.scores("hubspot")["若葉"]
    firm.hubspot.control.call("write", {"object": "companies", "rows": [{"id": company, "csh_health_score": "98"}]})
    code, said = command(monkeypatch, capsys, "check", "--parity", "--json")
    told = [(d["account_id"], d["record_id"], d["field"], d["home_value"], d["value"]) for d in said["differences"]]
    assert (code, told) == (1, [(account, company, "health_score", score, "98")])
    firm.hubspot.control.call("write", {"object": "companies", "rows": [{"id": company, "csh_health_score": score}]})
    assert command(monkeypatch, capsys, "check", "--parity", "--json")[0] == 0

    code, said = command(monkeypatch, capsys, "check", "--json")
    assert set(said["findings"]) == {"hubspot", "salesforce"}
    code, said = command(monkeypatch, capsys, "explain", company, "--json")  # by the id of either CRM
    assert (code, said["account_id"]) == (0, account)
    assert [(row["connection"], row["record_id"], row["matched_by"]) for row in said["records"]] == [("hubspot", company, "domain")]
    assert {row["connection"] for row in said["writes"]} == {"hubspot", "salesforce"}
    code, said = command(monkeypatch, capsys, "explain", firm.accounts["双葉"], "--json")
    assert any("shared domain" in line and firm.companies["双葉"] in line for line in said["why_not"])


def test_cs77_a_copy_that_is_older_because_it_only_rides_along_is_told_apart(firm: both.Firm) -> None:
    """HubSpot takes no writes for a run: its scored_at of 若葉 is older, which riding allows; the fields that moved are not excused.
    An scored_at that somebody else put there is not ours, and no age excuses it."""
    firm.hubspot.control.faults({"kind": "http", "body": "no_token", "count": None, "path": "batch/update"})
    firm.seats("若葉", 30)
    firm.run()
    firm.heal()
    found = parity(firm.runtime, firm.mappings)
    assert (found.riding, found.equal) == ({"scored_at": 1}, False)
    assert "health_score" in {one.field for one in found.differences}
    firm.seats("若葉", 20)
    firm.run()
    assert parity(firm.runtime, firm.mappings).equal
    stranger = {"id": firm.companies["若葉"], "csh_scored_at": "2020-01-01T00:00:00Z"}
    before = firm.hubspot.control.call("dump", method="GET", params={"object": "companies", "properties": "csh_scored_at"})
    firm.hubspot.control.call("write", {"object": "companies", "rows": [stranger]})
    found = parity(firm.runtime, firm.mappings)
    assert (found.riding, [one.field for one in found.differences]) == ({}, ["scored_at"])
    was = next(row["csh_scored_at"] for row in before if row["id"] == firm.companies["若葉"])
    firm.hubspot.control.call("write", {"object": "companies", "rows": [{"id": firm.companies["若葉"], "csh_scored_at": was}]})


def test_cs77_what_an_account_leaves_in_the_other_crm_is_named_and_not_cleared(firm: both.Firm) -> None:
    """紅葉's cross-reference is emptied in Salesforce: its company belongs to nobody, keeps its values and is told until the key is back."""
    company, account = firm.companies["紅葉"], firm.accounts["紅葉"]
    before = firm.values("hubspot", {"紅葉": company})
    for key, left in ((None, [("hubspot", company, "no_counterpart")]), (company, [])):
        (answer,) = firm.salesforce.control.write("admin", "Account", [{"Id": account, "AccountNumber": key}])
        assert answer["success"], answer
        report = firm.report(firm.run())
        assert report["connections"]["hubspot"]["match"]["left_behind"] == len(left)
        notes = [note for note in report.get("notes", []) if "still carry values of ours" in note]
        assert [company in note for note in notes] == [True] * len(left)
        found = parity(firm.runtime, firm.mappings)
        assert ([(one.connection, one.record_id, one.why) for one in found.left], found.equal) == (left, not left)
        assert firm.values("hubspot", {"紅葉": company}) == before


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """(exit code, the JSON it said)."""
    monkeypatch.setattr(sys, "argv", ["scoresync", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out)


def test_cs77_a_meeting_in_hubspot_rescores_the_account_in_both(firm: both.Firm) -> None:
    """Three meetings more: 12 + 4 × 4 = 28."""
    firm.meet("若葉", 3)
    report = firm.report(firm.run())
    assert [report["connections"][name]["changes"]["records"] for name in ("hubspot", "salesforce")] == [1, 1]
    assert firm.scores("salesforce")["若葉"] == firm.scores("hubspot")["若葉"] == "28"


def test_cs77_a_persons_edit_is_held_where_it_was_made(
    firm: both.Firm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """In HubSpot alone: Salesforce goes on. Released there, HubSpot follows."""
    company = firm.companies["紅葉"]
    firm.hubspot.control.call("write", {"object": "companies", "rows": [{"id": company, "csh_health_score": "99"}]})
    firm.seats("紅葉", 50)  # 30
    report = firm.report(firm.run())
    assert (report["connections"]["hubspot"]["writes"]["held"], report["connections"]["salesforce"]["writes"]["ok"]) == (0, 1)
    assert (firm.scores("salesforce")["紅葉"], firm.scores("hubspot")["紅葉"]) == ("30", "99")
    for name, value in firm.environment(tmp_path / "mappings").items():
        monkeypatch.setenv(name, value)
    code, (held,) = command(monkeypatch, capsys, "holds", "--json")
    assert (code, held["connection"], held["record_id"], held["field"], held["crm_value"]) == (0, "hubspot", company, "health_score", "99")
    assert command(monkeypatch, capsys, "holds", "--connection", "salesforce", "--release-all", "--json") == (0, [])
    _, said = command(monkeypatch, capsys, "explain", firm.accounts["紅葉"], "--json")
    assert [line for line in said["why_not"] if "is held since" in line and line.startswith("hubspot account.health_score")]
    assert not [line for line in said["why_not"] if line.startswith("salesforce")]
    assert command(monkeypatch, capsys, "holds", "--connection", "hubspot", "--release-all", "--json")[1][0]["record_id"] == company
    firm.run()
    assert firm.scores("hubspot")["紅葉"] == "30"


def test_cs77_an_automation_that_overwrites_a_field_on_many_records_is_told_once(firm: both.Firm) -> None:
    """Somebody sets csh_deployment on all three companies. Held, and said as what it is, by whom and what to do: in the report and through the
    channel. The next run has nothing to add; released and overwritten anew, it is said again."""
    told = {"writeback": firm.mappings.writeback.model_copy(update={"overwritten": Overwritten(records=3)})}
    given = firm.mappings.model_copy(update=told)
    before = firm.values("hubspot", {name: firm.companies[name] for name in both.MATCHED})

    def run() -> list[str]:
        ended = finish_run(firm.runtime, start_run(firm.runtime, given, RunKind.FULL))
        assert ended.state == RunState.DONE, ended.reason
        return [note for note in firm.report(ended).get("notes", []) if "look like an automation" in note]

    def release() -> None:
        ids, ledger = [firm.companies[name] for name in both.MATCHED], firm.runtime.ledger
        registers.commit(ledger, registers.put_released(ledger, "hubspot", "account", ids, ["deployment"], ledger.now()))

    def overwrite(value: str) -> None:
        rows = [{"id": firm.companies[name], "csh_deployment": value} for name in both.MATCHED]
        firm.hubspot.control.call("write", {"object": "companies", "rows": rows})

    overwrite("1")
    (note,) = run()
    assert note.startswith("hubspot: account.deployment was changed by others on 3 records")
    assert "last changed by user 10000001 (on 3 of those asked)" in note
    assert "`scoresync holds --connection hubspot --release-all --field deployment`" in note
    assert run() == []
    deliveries = firm.runtime.ledger.rows(
        select(flip.c.product, flip.c.text, delivery.c.channel, delivery.c.state)
        .join(delivery, delivery.c.flip_id == flip.c.id)
        .where(flip.c.rule == "overwritten")
    )
    assert [tuple(row) for row in deliveries] == [("account.deployment", note, "log", "sent")]
    release()
    assert run() == []
    assert firm.values("hubspot", {name: firm.companies[name] for name in both.MATCHED}) == before
    overwrite("2")  # the release was of the value 1
    assert len(run()) == 1
    release()
    assert run() == []


@pytest.mark.parametrize(("seats", "calls"), [(90, {}), (70, {"path": "batch/update"})], ids=["altogether", "for_writes"])
def test_cs77_hubspot_is_down_and_salesforce_is_served(firm: both.Firm, seats: int, calls: dict[str, str]) -> None:
    """HubSpot refuses the token when 青葉 gets other seats: 0.6 × seats + 24. The run says so, and the next takes up what waits."""
    before, now = firm.scores("hubspot")["青葉"], str(round(0.6 * seats + 24))
    firm.hubspot.control.faults({"kind": "http", "body": "no_token", "count": None, **calls})
    firm.seats("青葉", seats)
    run = firm.run()
    report = firm.report(run)
    assert run.state == RunState.DONE
    assert report["connections"]["hubspot"]["down"]["why"] == "auth"
    assert any(note.startswith("hubspot was out of reach (auth)") for note in report["notes"])
    assert report["connections"]["hubspot"]["writes"]["unprocessed"] == 1
    assert report["connections"]["salesforce"]["writes"]["ok"] == 1
    firm.heal()
    assert (firm.scores("salesforce")["青葉"], firm.scores("hubspot")["青葉"]) == (now, before)
    report = firm.report(firm.run())
    assert "down" not in report["connections"]["hubspot"]
    assert [report["connections"][name]["changes"]["records"] for name in ("hubspot", "salesforce")] == [1, 0]
    assert firm.scores("hubspot")["青葉"] == now
    assert firm.report(firm.run())["calls"]["writes"] == 0


def test_a_bulk_job_whose_crm_goes_away_is_not_waited_for(firm: both.Firm) -> None:
    """Each CRM by its own API: Bulk here, small batches there. The job is carried out, its answer not heard; the next run finds the values there."""
    quick = firm.runtime.settings
    firm.runtime.settings = quick.model_copy(update={"write_api": "bulk"})
    firm.salesforce.control.faults({"kind": "http", "body": "maintenance", "method": "GET", "path": "jobs/ingest", "count": None})
    firm.seats("若葉", 25)
    report = firm.report(firm.run())
    firm.runtime.settings = quick
    firm.heal()
    parts = report["connections"]
    assert (parts["salesforce"]["writes"]["unprocessed"], parts["salesforce"]["down"]["why"]) == (1, "outage")
    assert parts["hubspot"]["writes"]["ok"] == 1
    report = firm.report(firm.run())
    assert report["connections"]["salesforce"]["writes"]["unprocessed"] == 0
    assert firm.scores("salesforce")["若葉"] == firm.scores("hubspot")["若葉"]
    assert firm.report(firm.run())["changes"]["records"] == 0


def test_cs77_salesforce_is_down_and_hubspot_is_served(firm: both.Firm) -> None:
    """Scored from what was read of Salesforce before: 紅葉 has three meetings now, which are 12 points."""
    before = int(firm.scores("hubspot")["紅葉"] or 0)
    firm.salesforce.control.faults({"kind": "http", "body": "maintenance", "count": None})
    firm.meet("紅葉", 3)
    run = firm.run()
    report = firm.report(run)
    assert run.state == RunState.DONE, run.reason
    assert report["connections"]["salesforce"]["down"]["why"] == "outage"
    assert report["connections"]["hubspot"]["writes"]["ok"] == 1
    firm.heal()
    assert firm.scores("hubspot")["紅葉"] == str(before + 12)
    assert firm.scores("salesforce")["紅葉"] == str(before)
    firm.run()
    assert firm.scores("salesforce")["紅葉"] == str(before + 12)


def test_cs77_unread_for_longer_than_allowed_holds_the_scores(firm: both.Firm) -> None:
    """With no day of grace for HubSpot its activities are late at once: no score moves for want of meetings, and the record says so."""
    strict = firm.mappings.crm | {"hubspot": firm.mappings.crm["hubspot"].model_copy(update={"max_lag_days": 0})}
    given = firm.mappings.model_copy(update={"crm": strict})
    before = firm.scores("salesforce")
    firm.hubspot.control.faults({"kind": "http", "body": "no_token", "count": None})
    run = finish_run(firm.runtime, start_run(firm.runtime, given, RunKind.FULL))
    assert {row["state"] for row in firm.table(run, "decisions")} == {"frozen"}
    assert firm.scores("salesforce") == before
    said = firm.values("salesforce", {"若葉": firm.accounts["若葉"]})["若葉"]["data_status"]
    assert "活動記録の到着が遅れています" in str(said)
    firm.heal()
    run = finish_run(firm.runtime, start_run(firm.runtime, given, RunKind.FULL))
    assert {row["state"] for row in firm.table(run, "decisions")} == {"scored"}


def test_both_down_parks_the_run(firm: both.Firm) -> None:
    for box in (firm.hubspot, firm.salesforce):
        box.control.faults({"kind": "http", "status": 503, "body": "html_503", "count": None})
    run = firm.run()
    assert run.state == RunState.PAUSED
    firm.heal()
    assert firm.run().state == RunState.DONE


def test_a_resync_asked_for_in_hubspot_answers_in_both(firm: both.Firm) -> None:
    asked = {"id": firm.companies["青葉"], "csh_resync_requested_at": "2030-01-01T00:00:00Z"}
    firm.hubspot.control.call("write", {"object": "companies", "rows": [asked]})
    run_id = poll_resync(firm.runtime, firm.mappings)
    assert run_id is not None
    run = finish_run(firm.runtime, run_id)
    assert run.accounts == (firm.accounts["青葉"],)
    answered = [f for f in firm.mappings.writeback.active() if f.key == "resynced_at"]
    values = [firm.crm(name).reread(answered, [ids["青葉"]]) for name, ids in (("salesforce", firm.accounts), ("hubspot", firm.companies))]
    stamps = [row["resynced_at"] for found in values for row in found.values()]
    assert len(stamps) == 2
    assert stamps[0] == stamps[1] is not None
    assert poll_resync(firm.runtime, firm.mappings) is None
