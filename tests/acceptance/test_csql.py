"""A CSQL's life on real records: who moves it, what comes back and when, and what is never touched.

The story of one firm over three months, told once per module; each test looks at one account in it. All dates are worked by hand:
opened on Tue 1 Dec 2026, to be accepted within 2 business days, expired after 30 days, offered again 90 days after it was returned.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox_kit import SandboxProcess
from tests.acceptance import orgs
from worker.items import RunKind

HERE = Path(__file__).parent
OPENED = datetime(2026, 12, 1, 12, tzinfo=UTC)
ACTED = datetime(2026, 12, 2, 12, tzinfo=UTC)
TOMORROW_EXPIRED = datetime(2026, 12, 30, 12, tzinfo=UTC)
EXPIRED = datetime(2026, 12, 31, 12, tzinfo=UTC)
COOLING = datetime(2027, 3, 1, 12, tzinfo=UTC)
COOLED = datetime(2027, 3, 2, 12, tzinfo=UTC)

#: Account -> employees. From 100 on the trusted rule over Suite speaks, from 95 on the other one over Extra.
BOTH, CLICKED, ACCEPTED, RETURNED, LEFT, BY_HAND, IN_TALKS, SURVIVOR, LOSER = range(9)
EMPLOYEES = {BOTH: 100, CLICKED: 95, ACCEPTED: 100, RETURNED: 95, LEFT: 95, BY_HAND: 95, IN_TALKS: 95, SURVIVOR: 90, LOSER: 95}
PEOPLES = ("Account", "Product", "State", "Return_Reason", "Return_Note", "Assigned_To", "Need", "Nurture_Until")
Csqls = dict[str, dict[str, Any]]  # external key, with the account's number for its id -> record


@dataclass
class Story:
    worker: orgs.Worker
    accounts: list[str]
    csqls: dict[datetime, Csqls] = field(default_factory=dict)
    records: dict[datetime, list[dict[str, Any]]] = field(default_factory=dict)  # accounts by number
    reports: dict[datetime, dict[str, Any]] = field(default_factory=dict)

    def tell(self, at: datetime, kind: RunKind) -> None:
        """A run at this time, and what the CRM holds after it."""
        self.worker.box.control.clock(now=at.isoformat(), frozen=True)
        self.reports[at] = self.worker.report(self.worker.run(kind, as_of=at))
        self.csqls[at] = {self.short(row): row for row in self.worker.box.control.dump("CSH_CSQL__c")}
        found = {row["Id"]: row for row in self.worker.box.control.dump("Account")}
        self.records[at] = [found.get(account, {}) for account in self.accounts]

    def short(self, row: dict[str, Any]) -> str:
        account, product, sequence = row["CSH_External_Key__c"].split("|")
        return f"{self.accounts.index(account)}|{product}|{sequence}"

    def write(self, user: str, row: dict[str, Any], operation: str = "update") -> None:
        (answer,) = self.worker.box.control.write(user, "CSH_CSQL__c", [row], operation)
        assert answer["success"], answer

    def of(self, account: int, at: datetime) -> Csqls:
        """CSQLs on this account's record."""
        return {key: row for key, row in self.csqls[at].items() if row["CSH_Account__c"] == self.accounts[account]}

    def states(self, account: int, at: datetime) -> dict[str, str]:
        return {key: row["CSH_State__c"] for key, row in self.of(account, at).items()}

    def says(self, account: int, at: datetime) -> tuple[bool, float]:
        """Flag and count of the account's record."""
        record = self.records[at][account]
        return record["CSH_CSQL_Flag__c"], record["CSH_CSQL_Open_Count__c"]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("csql")
    mapping_folder = orgs.lay_over(HERE / "mappings", folder / "mappings")
    shutil.copytree(HERE / "csql_mappings", mapping_folder, dirs_exist_ok=True)
    back = mapping_folder / "writeback.yml"
    back.write_text(back.read_text().replace("sets: [core]", "sets: [core, standard]"))
    with SandboxProcess(folder / "org.db") as box, orgs.open_worker(box, folder / "worker", mapping_folder) as worker:
        box.control.clock(now=(OPENED - timedelta(hours=1)).isoformat(), frozen=True)
        orgs.provision(box, worker.mappings, worker.settings)
        told = Story(worker, _customers(box))
        fields = [f"CSH_CSQL__c.CSH_{name}__c" for name in PEOPLES]
        for user in ("csm", "sales"):
            box.control.call("grants", {"user": user, "objects": ["CSH_CSQL__c"], "fields": fields})
        made = {"CSH_Account__c": told.accounts[BY_HAND], "CSH_Product__c": "Extra", "CSH_State__c": "Submitted", "CSH_Need__c": "拠点が増えます"}
        told.write("csm", made, "insert")
        told.tell(OPENED, RunKind.FULL)
        _people_act(told)
        told.tell(ACTED, RunKind.INCREMENT)
        told.tell(TOMORROW_EXPIRED, RunKind.FULL)
        told.tell(EXPIRED, RunKind.FULL)
        told.tell(COOLING, RunKind.FULL)
        told.tell(COOLED, RunKind.FULL)
        yield told


def _customers(box: SandboxProcess) -> list[str]:
    """One contract and one contact each: (95 + 40) / 2 = 67.5 is a score of 68, 100 employees are 70; both tier 4."""
    seed = box.control.seed
    accounts = seed("Account", [{"Name": f"会社{n}", "NumberOfEmployees": EMPLOYEES[n]} for n in range(len(EMPLOYEES))])
    line = {"StartDate": "2026-05-15", "ContractTerm": 24, "Status": "Activated"}
    seed("Contract", [{"AccountId": account, **line} for account in accounts])
    seed("Contact", [{"AccountId": account, "LastName": "佐藤"} for account in accounts])
    (product,) = seed("Product2", [{"Name": "Extra", "ProductCode": "Extra"}])
    talk = {"AccountId": accounts[IN_TALKS], "Name": "拡大", "StageName": "Prospecting", "CloseDate": "2027-06-30", "Type": "Expansion"}
    (opportunity,) = seed("Opportunity", [talk])
    seed("OpportunityLineItem", [{"OpportunityId": opportunity, "Product2Id": product, "Quantity": 10, "UnitPrice": 500}])
    return accounts


def _people_act(told: Story) -> None:
    """On the next day, before the increment."""
    box, csqls = told.worker.box, told.csqls[OPENED]
    box.control.clock(now=(ACTED - timedelta(hours=3)).isoformat(), frozen=True)
    sales = box.user("sales")["id"]
    told.write("csm", {"Id": csqls[f"{CLICKED}|Extra|1"]["Id"], "CSH_State__c": "Submitted"})
    told.write("sales", {"Id": csqls[f"{ACCEPTED}|Suite|1"]["Id"], "CSH_State__c": "Accepted", "CSH_Assigned_To__c": sales})
    returned = {"CSH_State__c": "Returned", "CSH_Return_Reason__c": "no_budget", "CSH_Return_Note__c": "来期に再度"}
    told.write("sales", {"Id": csqls[f"{RETURNED}|Extra|1"]["Id"], **returned})
    box.control.call("merge", {"object": "Account", "master": told.accounts[SURVIVOR], "losers": [told.accounts[LOSER]]})
    box.control.write("admin", "Account", [{"Id": told.accounts[SURVIVOR], "NumberOfEmployees": 95}])


def test_a_trusted_rule_opens_submitted_and_another_a_candidate(story: Story) -> None:
    assert story.states(BOTH, OPENED) == {f"{BOTH}|Suite|1": "Submitted", f"{BOTH}|Extra|1": "Candidate"}
    submitted, candidate = story.of(BOTH, OPENED)[f"{BOTH}|Suite|1"], story.of(BOTH, OPENED)[f"{BOTH}|Extra|1"]
    assert (submitted["CSH_Rule__c"], submitted["CSH_Motion__c"], candidate["CSH_Motion__c"]) == ("seats v1", "seat", "cross_sell")
    assert (submitted["CSH_Need__c"], candidate["CSH_Need__c"]) == ("従業員100名に対して10 IDです", "従業員100名でエクストラが未導入です")
    assert (submitted["CSH_Health_Score__c"], submitted["CSH_Health_Tier__c"]) == (70.0, 4.0)
    assert (submitted["CSH_Accept_By__c"], candidate["CSH_Accept_By__c"]) == ("2026-12-03", None)
    assert story.says(BOTH, OPENED) == (True, 2.0)
    assert story.records[OPENED][BOTH]["CSH_CSQL_Status__c"] == "新着:スイート"
    assert story.says(CLICKED, OPENED) == (False, 1.0)
    assert story.says(SURVIVOR, OPENED) == (False, 0.0)
    # two each for BOTH and ACCEPTED, one each for CLICKED, RETURNED, LEFT and LOSER; the one by hand was there
    assert story.reports[OPENED]["csql"]["opened"] == 8


def test_the_click_to_submitted_is_respected_and_raises_the_flag(story: Story) -> None:
    key = f"{CLICKED}|Extra|1"
    assert story.states(CLICKED, ACTED) == {key: "Submitted"}
    assert story.says(CLICKED, ACTED) == (True, 1.0)
    assert story.records[ACTED][CLICKED]["CSH_CSQL_Status__c"] == "新着:エクストラ"
    # the clock of sales starts with the click, the score is that of the opening
    assert story.of(CLICKED, ACTED)[key]["CSH_Accept_By__c"] == "2026-12-04"
    assert story.of(CLICKED, ACTED)[key]["CSH_Health_Score__c"] == 68.0
    assert story.states(CLICKED, TOMORROW_EXPIRED) == {key: "Submitted"}


def test_what_sales_accepted_is_never_moved_back(story: Story) -> None:
    for at in (ACTED, TOMORROW_EXPIRED, EXPIRED, COOLING, COOLED):
        record = story.of(ACCEPTED, at)[f"{ACCEPTED}|Suite|1"]
        assert (record["CSH_State__c"], record["CSH_Assigned_To__c"]) == ("Accepted", story.worker.box.user("sales")["id"])
        assert story.says(ACCEPTED, at)[0] is True
        assert story.records[at][ACCEPTED]["CSH_CSQL_Status__c"] == "対応中:スイート"


def test_what_was_returned_comes_back_after_its_cool_down_under_the_next_key(story: Story) -> None:
    """Returned on 2 December: 90 days end on 2 March."""
    old, new = f"{RETURNED}|Extra|1", f"{RETURNED}|Extra|2"
    for at in (ACTED, TOMORROW_EXPIRED, EXPIRED, COOLING):
        assert story.states(RETURNED, at) == {old: "Returned"}
        assert story.says(RETURNED, at) == (False, 0.0)
    assert "2027/3/2まではご提案を控える期間です" in story.records[COOLING][RETURNED]["CSH_CSQL_Suppressed__c"]
    assert story.states(RETURNED, COOLED) == {old: "Returned", new: "Candidate"}
    assert story.of(RETURNED, COOLED)[new]["CSH_Opened_On__c"] == "2027-03-02"
    assert story.reports[COOLED]["csql"]["opened"] == 1  # what expired on 31 December cools down until 31 March


def test_only_what_nobody_accepted_expires(story: Story) -> None:
    assert story.states(LEFT, TOMORROW_EXPIRED) == {f"{LEFT}|Extra|1": "Candidate"}
    for at in (EXPIRED, COOLED):
        assert story.states(LEFT, at) == {f"{LEFT}|Extra|1": "Expired"}
        assert story.states(BOTH, at) == {f"{BOTH}|Suite|1": "Expired", f"{BOTH}|Extra|1": "Expired"}
        assert story.says(BOTH, at) == (False, 0.0)


def test_one_made_by_hand_is_completed_and_counts(story: Story) -> None:
    """No second one is opened beside it, and what the CSM wrote stays."""
    (record,) = story.of(BY_HAND, OPENED).values()
    assert record["CSH_External_Key__c"] == f"{story.accounts[BY_HAND]}|Extra|1"
    assert (record["CSH_State__c"], record["CSH_Health_Score__c"], record["CSH_Health_Tier__c"]) == ("Submitted", 68.0, 4.0)
    assert (record["CSH_Accept_By__c"], record["CSH_Opened_On__c"], record["CSH_Rule__c"]) == ("2026-12-03", "2026-12-01", None)
    for at in (OPENED, ACTED, TOMORROW_EXPIRED):
        assert story.says(BY_HAND, at) == (True, 1.0)
        assert [row["CSH_Need__c"] for row in story.of(BY_HAND, at).values()] == ["拠点が増えます"]


def test_an_open_opportunity_suppresses_and_the_account_says_why(story: Story) -> None:
    for at in (OPENED, ACTED, EXPIRED):
        assert story.of(IN_TALKS, at) == {}
        assert story.records[at][IN_TALKS]["CSH_CSQL_Suppressed__c"] == "エクストラ:商談がすでに進行中です"
    assert story.reports[OPENED]["csql"]["suppressed"] == 1


def test_a_merged_accounts_csql_follows_the_survivor(story: Story) -> None:
    """The survivor now has the signal itself, and gets no second record."""
    key = f"{LOSER}|Extra|1"
    for at in (ACTED, TOMORROW_EXPIRED):
        assert story.states(SURVIVOR, at) == {key: "Candidate"}
        assert story.says(SURVIVOR, at) == (False, 1.0)
        assert story.of(LOSER, at) == {}
    assert story.states(SURVIVOR, EXPIRED) == {key: "Expired"}
    assert story.states(SURVIVOR, COOLED) == {key: "Expired"}


def test_a_run_without_news_leaves_every_record_alone(story: Story) -> None:
    """Two of the runs came upon nothing that was due, but for the record whose 30 days had begun anew with the click on 2 December."""
    assert story.reports[TOMORROW_EXPIRED]["csql"]["opened"] == story.reports[TOMORROW_EXPIRED]["csql"]["closed"] == 0
    assert story.csqls[TOMORROW_EXPIRED] == story.csqls[ACTED]
    assert (story.reports[COOLING]["csql"]["opened"], story.reports[COOLING]["csql"]["closed"]) == (0, 1)
    changed = {key for key, row in story.csqls[COOLING].items() if row != story.csqls[EXPIRED][key]}
    assert changed == {f"{CLICKED}|Extra|1"}
    assert (story.states(CLICKED, EXPIRED), story.states(CLICKED, COOLING)) == (
        {f"{CLICKED}|Extra|1": "Submitted"},
        {f"{CLICKED}|Extra|1": "Expired"},
    )


def test_fields_of_people_are_never_written(story: Story) -> None:
    returned = story.of(RETURNED, COOLED)[f"{RETURNED}|Extra|1"]
    assert (returned["CSH_Return_Reason__c"], returned["CSH_Return_Note__c"]) == ("no_budget", "来期に再度")
    human = {f.key for f in story.worker.mappings.writeback.of("csql") if f.owner == "human"}
    assert {"return_reason", "return_note", "assigned_to", "nurture_until"} <= human
    written = {row["field"] for row in story.worker.lake("writes", "DISTINCT field", "object = 'csql'")}
    assert "state" in written
    assert not written & human
    assert not any(report["writes"]["rejected"] or report["writes"]["held"] for report in story.reports.values())
