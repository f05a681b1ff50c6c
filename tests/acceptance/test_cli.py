"""The command line as cron and an admin meet it: exit codes, what is said and where, and that nothing happens which was not asked for."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox_kit import SandboxProcess
from tests.acceptance import orgs
from tests.acceptance.nights import copy_database
from tests.acceptance.terminal import COMMAND, Said, Terminal, ctrl_c_heard, environment
from tests.conftest import free_port, wait_for
from worker.items import RunKind

HERE = Path(__file__).parent
ACCOUNTS = 24
MOVERS = range(10)  # accounts that the first run at the terminal would move from tier 4 to 2
NAMES = ("会社", "佐藤", "株式会社")
COMMANDS = (
    "demo", "sandbox", "check", "provision", "run", "resync", "explain", "today", "portfolio", "csqls", "alerts", "churns", "brief",
    "onboarding", "actions", "handover", "deals", "fit", "voice", "runs", "deadletters list", "deadletters retry", "holds", "approve", "worker",
)  # fmt: skip
REPORT = {
    "accounts": {"in_crm", "scored", "not_scored", "excluded", "failed"},
    "csql": {"open", "opened", "closed", "suppressed"},
    "usage": {"rows_in", "rows_done", "rows_set_aside", "tenants_unmatched", "accounts_without_usage"},
    "changes": {"records", "fields"},
    "writes": {"ok", "rejected", "unprocessed", "held", "invalid", "superseded"},
    "calls": {"reads", "rereads", "writes", "polls", "by_kind"},
}
LIMITED = "brake: {tier_moves_percent: 5}\n"


@dataclass
class Desk:
    """An admin's terminal on an org of 24 accounts. Each test works on accounts of its own and leaves nothing to be done."""

    box: SandboxProcess
    terminal: Terminal
    admin: Terminal  # with the app that may create fields
    mappings: Path
    firm: orgs.Firm
    unscored: Path  # the org's state before its first run
    seen: dict[str, Any]  # what was said while the org was set up

    def say(self, *words: str, **more: str) -> Said:
        return self.terminal.say(*words, **more)

    def edit(self, number: int, user: str = "admin", **values: Any) -> None:
        (answer,) = self.box.control.write(user, "Account", [{"Id": self.firm.accounts[number], **values}])
        assert answer["success"], answer

    def record(self, number: int) -> dict[str, Any]:
        return next(row for row in self.box.control.dump("Account") if row["Id"] == self.firm.accounts[number])

    def elsewhere(self, folder: Path, mappings: Path | None = None) -> Terminal:
        """A terminal with an empty lake and ledger."""
        folder.mkdir(exist_ok=True)
        return Terminal(folder, environment(self.box, folder, mappings or self.mappings), NAMES)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Two nights ago everybody was in tier 4, since yesterday ten accounts score less: tonight they move, which is more than the brake allows."""
    folder = tmp_path_factory.mktemp("desk")
    mapping_folder = orgs.lay_over(HERE / "mappings", folder / "mappings")
    health = mapping_folder / "scores" / "health.yml"
    health.write_text(health.read_text() + LIMITED)
    with SandboxProcess(folder / "org.db") as box:
        admin = Terminal(folder, environment(box, folder, mapping_folder, "admin"), NAMES)
        terminal = Terminal(folder, environment(box, folder, mapping_folder), NAMES)
        seen: dict[str, Any] = _provision(box, admin)
        firm = _firm(box)
        copy_database(box.state, folder / "unscored.db")
        made = Desk(box, terminal, admin, mapping_folder, firm, folder / "unscored.db", seen)
        _two_nights(made, folder)
        box.control.reset_stats()
        seen["braked"] = made.say("run", "--full", "--json")
        seen["written_by_braked"] = box.control.stats()["records_changed"]
        seen["told"] = made.say("runs", seen["braked"].json["run_id"])
        seen["approved"] = made.say("approve", seen["braked"].json["run_id"], "--by", "tanaka", "--json")
        yield made


def _provision(box: SandboxProcess, admin: Terminal) -> dict[str, Any]:
    user = box.user("integration")["username"]
    box.control.reset_stats()
    seen: dict[str, Any] = {"would": admin.say("provision", "--dry-run", "--json", salesforce_username=user)}
    seen["changed_by_would"] = box.control.stats()["records_changed"], len(box.control.dump("FieldPermissions"))
    seen["made"] = admin.say("provision", "--json", salesforce_username=user)
    seen["again"] = admin.say("provision", salesforce_username=user)
    return seen


def _firm(box: SandboxProcess) -> orgs.Firm:
    """90 employees of 100 are 90 points, one contact is 40: everybody scores 65, tier 4."""
    firm = orgs.make_firm(box, ACCOUNTS)
    box.control.write("admin", "Account", [{"Id": account, "NumberOfEmployees": 90} for account in firm.accounts])
    box.control.call("grants", {"user": "csm", "fields": ["Account.CSH_Next_Action__c"]})
    return firm


def _two_nights(made: Desk, folder: Path) -> None:
    now = datetime.now(UTC)
    with orgs.open_worker(made.box, folder, made.mappings) as worker:
        worker.run(RunKind.FULL, as_of=now - timedelta(days=2))
        made.box.control.write("admin", "Account", [{"Id": made.firm.accounts[n], "NumberOfEmployees": 10} for n in MOVERS])
        worker.run(RunKind.FULL, as_of=now - timedelta(days=1))


# --- help and wrong input ------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, tmp_path: Path) -> None:
    said = Terminal(tmp_path, {}).say(*command.split(), "--help")
    assert (said.code, said.err) == (0, "")
    assert "Example" in said.out or "celery -A" in said.out
    assert not list(tmp_path.iterdir())


def test_wrong_mappings_are_told_all_at_once_and_touch_nothing(desk: Desk, tmp_path: Path) -> None:
    wrong = shutil.copytree(desk.mappings, tmp_path / "mappings")
    for file, old, new in (
        ("scores/health.yml", "indicator_share_max", "indicator_share_most"),
        ("indicators/size.yml", "expression: employees", "expression: employes"),
        ("indicators/people.yml", "hypothesis:", "hypotesis:"),
    ):
        path = wrong / file
        path.write_text(path.read_text().replace(old, new))
    terminal = desk.elsewhere(tmp_path / "worker", wrong)
    desk.box.control.reset_stats()
    for words in (["run", "--json"], ["check"], ["provision", "--dry-run"]):
        said = terminal.say(*words)
        assert (said.code, said.out) == (2, "")
        for part in ("health.yml", "indicator_share_most", "size.yml", "employes", "people.yml", "hypothesis"):
            assert part in said.err
    assert list(terminal.folder.iterdir()) == []  # no ledger, so no run
    assert desk.box.control.stats()["calls"] == {}


def test_wrong_use_of_the_command_is_2(desk: Desk) -> None:
    for words, told in (
        (["run", "--ful"], "--ful"),
        (["resync"], "--account"),
        (["explain", "001000000000ZZZ"], "No run knows an account"),
        (["run", "--account", "会社00001"], "is no Salesforce id"),
        (["resync", "--account", "001-1"], "is no Salesforce id"),
        (["runs", "20200101-000000-abcdef"], "20200101-000000-abcdef"),
        (["approve", "20200101-000000-abcdef", "--by", "tanaka"], "20200101-000000-abcdef"),
        (["deadletters", "retry", "999999"], "0 dead letters"),
        (["holds", "--release", desk.firm.accounts[0]], "None of these"),
    ):
        said = desk.say(*words)
        assert said.code == 2, (words, said)
        assert told in said.out + said.err


def test_a_wrong_setting_names_its_variable(desk: Desk) -> None:
    said = desk.say("runs", full_at="half past two")
    assert (said.code, said.out) == (2, "")
    assert "SCORESYNC_FULL_AT" in said.err
    assert "docs/settings.md" in said.err


# --- the CRM is closed ---------------------------------------------------------------------------------------------------------------------------
def test_a_crm_that_is_away_is_3(desk: Desk, tmp_path: Path) -> None:
    terminal = desk.elsewhere(tmp_path / "worker")
    terminal.environment["SCORESYNC_SALESFORCE_URL"] = f"http://127.0.0.1:{free_port()}"
    checked, ran = terminal.say("check"), terminal.say("run")
    assert (checked.code, ran.code) == (3, 3)
    for said in (checked.err, ran.out):
        assert "SCORESYNC_SALESFORCE_URL" in " ".join(said.split())
    assert "outage" in ran.out


def test_a_wrong_secret_is_3_and_names_the_credential(desk: Desk, tmp_path: Path) -> None:
    terminal = desk.elsewhere(tmp_path / "worker")
    terminal.environment["SCORESYNC_SALESFORCE_CLIENT_SECRET"] = "wrong-5e5f3c7a9b"
    checked, ran = terminal.say("check"), terminal.say("run", "--json")
    assert (checked.code, ran.code) == (3, 3)
    assert ran.json["state"] == "paused"
    assert "It does not go on by itself" in terminal.say("runs", ran.json["run_id"]).out
    for said in (checked.err, ran.json["reason"]):
        assert "admin" in said
        assert "SCORESYNC_SALESFORCE_CLIENT_SECRET" in said


# --- setting up ----------------------------------------------------------------------------------------------------------------------------------
def test_provision_says_what_it_would_do_and_does_it_once(desk: Desk) -> None:
    would, made, again = desk.seen["would"], desk.seen["made"], desk.seen["again"]
    assert (would.code, made.code, again.code) == (0, 0, 0)
    assert desk.seen["changed_by_would"] == (0, 0)
    planned = {step["target"] for step in would.json if step["action"] not in ("exists", "differs")}
    assert {"Account.CSH_Health_Score__c", "CSH_CSQL__c.CSH_State__c"} <= planned
    assert {step["target"] for step in made.json if step["action"] not in ("exists", "differs")} == planned
    assert "Created 0;" in again.out


def test_check_says_who_must_show_a_hidden_field(desk: Desk) -> None:
    before = desk.say("check")
    assert before.code == 0, before
    assert "nothing is missing" in before.out
    desk.box.control.call("hide", {"fields": ["Account.CSH_Strength__c"]})
    try:
        said = desk.say("check", "--json")
    finally:
        desk.box.control.call("grants", {"user": "integration", "fields": ["Account.CSH_Strength__c"]})
    (finding,) = said.json["findings"]["salesforce"]
    assert said.code == (2 if finding["severity"] == "error" else 0)
    assert finding["where"] == "Account.CSH_Strength__c"
    assert "admin" in finding["remedy"]


# --- the brake -----------------------------------------------------------------------------------------------------------------------------------
def test_the_brake_stops_a_run_and_names_the_movers(desk: Desk) -> None:
    """10 of 24 is 41.67 %. (10 + 40) / 2 = 25 points: tier 2."""
    said = desk.seen["braked"]
    assert said.code == 4
    assert said.json["state"] == "needs_approval"
    assert "41.67 %" in said.json["brake"]["why"]
    movers = {(m["account_id"], m["tier_before"], m["tier"], m["score"]) for m in said.json["brake"]["movers"]}
    assert movers == {(desk.firm.accounts[n], 4, 2, 25) for n in MOVERS}
    assert desk.seen["written_by_braked"] == 0
    assert desk.seen["told"].code == 4
    for account in (desk.firm.accounts[0], "scoresync approve"):
        assert account in desk.seen["told"].out


def test_an_approved_run_is_finished(desk: Desk) -> None:
    said = desk.seen["approved"]
    assert said.code == 0, said
    assert (said.json["run_id"], said.json["state"]) == (desk.seen["braked"].json["run_id"], "done")
    assert said.json["writes"]["ok"] == len(MOVERS)
    assert [desk.record(n)["CSH_Health_Tier__c"] for n in (0, 9, 20)] == ["2", "2", "4"]
    assert desk.say("approve", said.json["run_id"], "--by", "tanaka").code == 2  # it waits for nobody any more


# --- runs ----------------------------------------------------------------------------------------------------------------------------------------
def test_a_dry_run_shows_every_change_and_writes_none(desk: Desk) -> None:
    """(50 + 40) / 2 = 45."""
    desk.edit(14, NumberOfEmployees=50)
    desk.box.control.reset_stats()
    dry = desk.say("run", "--dry-run", "--json")
    shown = desk.say("run", "--dry-run")
    assert (dry.code, shown.code) == (0, 0)
    assert desk.box.control.stats()["records_changed"] == 0
    changes = {row["field"]: (row["crm_value"], row["our_value"]) for row in dry.json["preview"] if row["record_id"] == desk.firm.accounts[14]}
    assert changes["health_score"] == ("65", "45")
    assert "health_score: 65 → 45" in shown.out
    ran = desk.say("run", "--json")
    assert (ran.code, ran.json["changes"]["records"], desk.record(14)["CSH_Health_Score__c"]) == (0, 1, 45.0)


@pytest.mark.parametrize(("command", "ours", "other"), [("run", 12, 15), ("resync", 13, 16)])
def test_a_named_account_is_the_only_one_touched(desk: Desk, command: str, ours: int, other: int) -> None:
    """(70 + 40) / 2 = 55."""
    for number in (ours, other):
        desk.edit(number, NumberOfEmployees=70)
    desk.box.control.reset_stats()
    typed = desk.firm.accounts[ours] if command == "run" else desk.firm.accounts[ours][:15]  # as reports and old links have it
    said = desk.say(command, "--account", typed, "--json")
    assert (said.code, said.json["accounts"]["scored"], desk.box.control.stats()["records_changed"]) == (0, 1, 1)
    assert [desk.record(n)["CSH_Health_Score__c"] for n in (ours, other)] == [55.0, 65.0]
    assert desk.say("run").code == 0
    assert desk.record(other)["CSH_Health_Score__c"] == 55.0


def test_runs_are_listed_and_shown(desk: Desk) -> None:
    ran = desk.say("run", "--json")
    assert (ran.code, ran.json["calls"]["writes"]) == (0, 0)
    for group, names in REPORT.items():
        assert set(ran.json[group]) == names
    assert {"run_id", "as_of", "state", "seconds", "connections", *REPORT} == set(ran.json)
    listed = desk.say("runs", "--json").json
    assert listed[0]["run_id"] == ran.json["run_id"]
    assert ran.json["run_id"] in desk.say("runs").out
    again = desk.say("runs", ran.json["run_id"], "--json")
    assert (again.code, again.json) == (0, ran.json)
    explained = desk.say("explain", desk.firm.accounts[20])
    assert explained.code == 0
    assert "65" in explained.out


def test_cs92_lists_and_portfolio_come_from_the_last_full_run(desk: Desk, tmp_path: Path) -> None:
    elsewhere = desk.elsewhere(tmp_path / "before")
    for command in ("today", "portfolio", "alerts", "churns", "actions"):
        before = elsewhere.say(command)
        assert (before.code, "No full run has ended yet" in before.err) == (2, True)
    listed = desk.say("today", "--json")
    assert listed.code == 0
    assert [row["rank"] for row in listed.json["rows"]] == [*range(1, len(listed.json["rows"]) + 1)]  # one owner has them all
    assert desk.say("today", "--csm", "005000000000ZZZ").out.startswith("Nobody has")
    told = desk.say("portfolio", "--json")
    assert told.code == 0
    assert sum(row["accounts"] for row in told.json["dimensions"] if row["dimension"] == "segment") == ACCOUNTS
    assert desk.say("portfolio", "--on", "2026-01-01").code == 0
    assert (desk.say("actions").code, desk.say("actions", "--json").json["enough"]) == (0, False)
    assert (desk.say("churns", "--json").code, desk.say("churns", desk.firm.accounts[0]).code) == (0, 2)
    assert (desk.say("alerts", "--json").code, desk.say("alerts", "--alert", "none_such").code) == (0, 2)


def test_lists_between_sales_and_cs_are_made_when_asked_for(desk: Desk, tmp_path: Path) -> None:
    before = desk.elsewhere(tmp_path / "before").say("handover")
    assert (before.code, "No full run has ended yet" in before.err) == (2, True)
    told = {command: desk.say(command, "--json") for command in ("handover", "deals", "fit", "voice")}
    assert {command: said.code for command, said in told.items()} == dict.fromkeys(told, 0)
    assert sum(cell["accounts"] for cell in told["fit"].json["cells"]) == ACCOUNTS  # one product each
    # neither opportunities nor comments are mapped here, and nobody is new
    assert (told["handover"].json["accounts"], told["deals"].json["deals"], told["voice"].json["said"]) == ([], [], 0)
    assert "0 comments and tickets since" in desk.say("voice", "--since", "2026-01-01").out
    assert desk.say("voice", "--since", "yesterday").code == 2


def test_usage_rows_set_aside_are_1(desk: Desk, tmp_path: Path) -> None:
    given = shutil.copytree(desk.mappings, tmp_path / "mappings")
    crm = given / "crm" / "salesforce.yml"
    crm.write_text(crm.read_text().replace("name: Name, kind", "name: Name, match_key: Name, kind"))
    (given / "usage").mkdir()
    (given / "usage" / "use.yml").write_text(
        "name: use\nkind: events\nglob: '*.csv'\nformat: csv\nmax_lag_days: 30\n"
        "columns: {tenant_key: tenant, product: product, user_key: user, feature: feature, day: day}\n"
    )
    terminal = desk.elsewhere(tmp_path / "worker", given)
    (terminal.folder / "usage").mkdir()
    day = (datetime.now(UTC) - timedelta(days=1)).date()
    rows = [f"会社00020,Suite,u1,open,{day}", "会社00020,Suite,u2,open,yesterday", f"会社00021,Suite,u1,open,{day}"]
    (terminal.folder / "usage" / "use.csv").write_text("\n".join(["tenant,product,user,feature,day", *rows]) + "\n")
    said = terminal.say("run", "--dry-run", "--json")
    assert said.code == 1, said
    assert [said.json["usage"][name] for name in ("rows_in", "rows_done", "rows_set_aside")] == [3, 2, 1]
    assert said.json["state"] == "done"


# --- records set aside and held ------------------------------------------------------------------------------------------------------------------
def test_a_refused_record_is_a_dead_letter_until_it_is_retried(desk: Desk) -> None:
    """(30 + 40) / 2 = 35."""
    account = desk.firm.accounts[17]
    desk.edit(17, NumberOfEmployees=30)
    rule = {"kind": "validation", "object": "Account", "field": "CSH_Health_Score__c", "message": "Scores are frozen until the audit", "count": None}
    desk.box.control.faults({**rule, "ids": [account]})
    try:
        said = desk.say("run", "--json")
        assert (said.code, said.json["writes"]["rejected"], said.json["state"]) == (1, 1, "done")
        (letter,) = desk.say("deadletters", "list", "--json").json
    finally:
        desk.box.control.clear_faults()
    assert (letter["record_key"], letter["code"], letter["state"]) == (account, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "open")
    assert letter["remedy"]
    listed = desk.say("deadletters", "list").out
    assert all(text in listed for text in (account, "FIELD_CUSTOM_VALIDATION_EXCEPTION", letter["remedy"]))
    assert desk.record(17)["CSH_Health_Score__c"] == 65.0
    retried = desk.say("deadletters", "retry", str(letter["id"]))
    assert (retried.code, "1 dead letters will be sent again" in retried.out) == (0, True)
    said = desk.say("run", "--json")
    assert (said.code, said.json["writes"]["ok"]) == (0, 1)
    assert (desk.record(17)["CSH_Health_Score__c"], desk.say("deadletters", "list", "--json").json) == (35.0, [])


def test_a_persons_edit_is_held_until_it_is_released(desk: Desk) -> None:
    account, ours = desk.firm.accounts[18], desk.record(18)["CSH_Next_Action__c"]
    desk.edit(18, "csm", CSH_Next_Action__c="先方の決算後に連絡")
    said = desk.say("run", "--json")
    assert (said.code, said.json["writes"]["held"]) == (1, 1)
    (held,) = desk.say("holds", "--json").json
    assert (held["record_id"], held["field"], held["crm_value"]) == (account, "next_action", "先方の決算後に連絡")
    assert f"account {account} next_action: 先方の決算後に連絡" in desk.say("holds").out
    assert "Nothing is held" in desk.say("holds", "--release-all", "--field", "main_reason").out
    assert "1 fields released" in desk.say("holds", "--release-all", "--field", "next_action").out
    assert desk.say("run", "--json").json["writes"]["ok"] == 1
    assert (desk.record(18)["CSH_Next_Action__c"], desk.say("holds", "--json").json) == (ours, [])


# --- Ctrl-C --------------------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("call", ["query", "collections_update"])
def test_ctrl_c_leaves_a_run_that_the_next_one_finishes(desk: Desk, tmp_path: Path, call: str) -> None:
    copy_database(desk.unscored, tmp_path / "org.db")
    with SandboxProcess(tmp_path / "org.db") as box:
        whole = Terminal(tmp_path, environment(box, tmp_path / "whole", desk.mappings), NAMES)
        assert whole.say("run").code == 0
        undisturbed = _written(box)
        copy_database(desk.unscored, box.state)
        assert all(row["CSH_Health_Score__c"] is None for row in box.control.dump("Account"))

        broken = Terminal(tmp_path, environment(box, tmp_path / "broken", desk.mappings), NAMES)
        box.control.faults({"kind": "delay", "call": call, "seconds": 3})
        stopped = _stop(broken, lambda: box.control.call("faults", method="GET")[0]["hits"])
        assert stopped.code == 130, stopped
        assert "scoresync run" in stopped.err
        broken.look_through(stopped, [box.client_secret])

        finished = broken.say("run", "--json")
        assert finished.code == 0, finished
        told = broken.say("runs", "--json").json
        assert {run["state"] for run in told} == {"done"}, told
        assert _written(box) == undisturbed


def _stop(terminal: Terminal, when: Any) -> Said:
    """The real command, with Ctrl-C once `when` holds."""
    with ctrl_c_heard():
        process = subprocess.Popen(
            [COMMAND, "run"], env=terminal.environment, cwd=terminal.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    try:
        wait_for(when, timeout_s=60, what="the call")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    return Said(process.returncode, out, err)


def _written(box: SandboxProcess) -> list[dict[str, Any]]:
    """Our fields, but for the time at which they were computed."""
    rows = box.control.dump("Account")
    return [{name: value for name, value in row.items() if name.startswith("CSH_") and name != "CSH_Scored_At__c"} for row in rows]
