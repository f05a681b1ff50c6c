"""CSQLs where a HubSpot account has no custom objects: as leads, as tasks, and (asked for) as deals. Whole runs on the sandbox.

The customers and the rule are those of `test_same_in_both`: a trusted rule opens a CSQL from 40 seats on, so 青葉 (80) and 紅葉 (40) get one each.
Each store is told the same story: provision and a first run; sales takes 青葉's up and returns 紅葉's, by the store's own stage; two runs more.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.base import ProvisionStep
from connectors.hubspot.connector import HubSpot
from connectors.sandbox_kit import SandboxProcess
from mappings.models import CrmMapping, Mappings
from tests.connectors import hubs
from tests.worker.test_same_in_both import CUSTOMERS, HUBSPOT, WRITEBACK, common, given
from worker.items import RunKind
from worker.report import run_report
from worker.run import finish_run, start_run
from worker.runtime import Runtime

pytestmark = pytest.mark.timeout(400)
FIRST = datetime(2026, 12, 1, 3, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
CSQL = WRITEBACK.of("csql")
OWNER = "70000002"  # of every company


@dataclass(frozen=True)
class Case:
    """A store: the account's plan, what the mapping asks for, the stages after opening, and what sales sets to take up and to return."""

    name: str
    object: str
    plan: dict[str, Any]
    stage: str
    opened: str
    accepts: dict[str, str]
    accepted: str
    returns: dict[str, str]
    returned: str
    asked: str = "auto"


def back(stage: str, to: str) -> dict[str, str]:
    return {stage: to, "csh_return_reason": "no_budget"}


STAGE, STATUS = "hs_pipeline_stage", "hs_task_status"
LEAD = Case(
    "lead", "leads", {"custom_objects": False}, STAGE, "new-stage-id",
    {STAGE: "attempting-stage-id"}, "attempting-stage-id", back(STAGE, "unqualified-stage-id"), "unqualified-stage-id",
)  # fmt: skip
TASK = Case(
    "task", "tasks", {"custom_objects": False, "leads": False}, STATUS, "NOT_STARTED",
    {STATUS: "IN_PROGRESS"}, "IN_PROGRESS", back(STATUS, "COMPLETED"), "COMPLETED",
)  # fmt: skip
DEAL = Case("deal", "deals", {}, "dealstage", "New", {"dealstage": "Working"}, "Working", back("dealstage", "Returned"), "Returned", asked="deal")
CASES = [LEAD, TASK, DEAL]


@dataclass
class Story:
    case: Case
    box: SandboxProcess
    runtime: Runtime
    mappings: Mappings
    ids: dict[str, str]
    steps: list[ProvisionStep]
    reports: list[dict[str, Any]] = field(default_factory=list)
    records: list[list[dict[str, Any]]] = field(default_factory=list)
    companies: list[dict[str, dict[str, Any]]] = field(default_factory=list)

    def tell(self, at: datetime, kind: RunKind) -> None:
        self.box.control.clock(now=at.isoformat(), frozen=True)
        run = finish_run(self.runtime, start_run(self.runtime, self.mappings, kind, as_of=at))
        assert run.state == "done", run.reason
        self.reports.append(run_report(self.runtime.ledger, run.id))
        self.records.append(sorted(csqls(self.box, self.case.object), key=lambda row: str(row["csh_external_key"])))
        self.companies.append({row["id"]: row for row in self.box.control.dump("companies")})

    def of(self, name: str, n: int = -1) -> list[dict[str, Any]]:
        """The CSQL records of a customer after the n-th run."""
        return [row for row in self.records[n] if row["csh_external_key"].startswith(f"{self.ids[name]}|")]

    def stage_of(self, row: dict[str, Any]) -> str:
        """The stage as people read it: of a deal its label."""
        return self.labels().get(row[self.case.stage], row[self.case.stage])

    def labels(self) -> dict[str, str]:
        found = crm_of(self.box, self.case)._stores.pipelines("deals")
        return {s["id"]: s["label"] for p in found if p["label"] == "CSQL" for s in p["stages"]}

    def links(self, to: str) -> list[list[str]]:
        return list(self.box.control.call("links", method="GET", params={"from": self.case.object, "to": to}))

    def role(self, contact: str) -> str | None:
        return hubs.stored(self.box, "contacts", "hs_buying_role")[contact]

    def person(self, name: str, values: dict[str, str]) -> None:
        """Somebody in sales changes the customer's record on screen."""
        (record,) = self.of(name)
        ids = {label: key for key, label in self.labels().items()}
        row = {k: ids.get(v, v) if k == self.case.stage else v for k, v in values.items()}
        (done,) = self.box.control.call("write", {"object": self.case.object, "rows": [{"id": record["id"], **row}]})
        assert done["success"], done


def csqls(box: SandboxProcess, object_name: str) -> list[dict[str, Any]]:
    return [row for row in box.control.dump(object_name) if row.get("csh_external_key")]


def mapping_of(case: Case) -> CrmMapping:
    return HUBSPOT.model_copy(update={"csql_store": case.asked})


def crm_of(box: SandboxProcess, case: Case) -> HubSpot:
    return hubs.open_crm(box, mapping=mapping_of(case), csql_fields=CSQL)


def seed(box: SandboxProcess, *, contacts: bool = True) -> dict[str, str]:
    """The customers on won deals, each with an operator and a decision maker; a CSM's own task and lead, which are no CSQLs."""
    control = box.control
    ids = dict(zip(CUSTOMERS, control.seed("companies", [{"name": n, "hubspot_owner_id": OWNER} for n in CUSTOMERS]), strict=True))
    deal = {"dealstage": "closedwon", "pipeline": "default", "closedate": "2027-12-31T00:00:00Z"}
    deals = control.seed("deals", [{"dealname": n, "amount": str(seats), **deal} for n, (seats, _) in CUSTOMERS.items()])
    control.call("associate", {"from": "deals", "to": "companies", "pairs": [list(p) for p in zip(deals, ids.values(), strict=True)]})
    whose = [n for n, (_, calls) in CUSTOMERS.items() for _ in range(calls)]
    made = control.seed("calls", [{"hs_call_title": "c", "hs_timestamp": (FIRST - 7 * DAY).isoformat()} for _ in whose])
    control.call("associate", {"from": "calls", "to": "companies", "pairs": [[call, ids[n]] for call, n in zip(made, whose, strict=True)]})
    if contacts:
        for role in ("END_USER", "DECISION_MAKER"):
            people = control.seed("contacts", [{"email": f"{role.lower()}{n}@example.com", "hs_buying_role": role} for n in range(len(ids))])
            pairs = [list(p) for p in zip(people, ids.values(), strict=True)]
            control.call("associate", {"from": "contacts", "to": "companies", "pairs": pairs})
    task = control.seed("tasks", [{"hs_task_subject": "電話する", "hs_timestamp": "2026-12-03T00:00:00Z"}])
    control.call("associate", {"from": "tasks", "to": "companies", "pairs": [[task[0], ids["青葉"]]]})
    return ids


def opened(case: Case, box: SandboxProcess, folder: Path, ids: dict[str, str], steps: list[ProvisionStep]) -> Story:
    settings = common(folder, hubspot_url=box.url, hubspot_token=SecretStr(box.control.info()["access_token"]))
    runtime = Runtime.open(settings, open_crm=lambda _mappings, _name: crm_of(box, case))
    return Story(case, box, runtime, given(mapping_of(case)), ids, steps)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Runs 0: first; then sales acts; 1: an increment two weeks later; 2: everything once more."""
    case: Case = request.param
    with SandboxProcess(crm="hubspot") as box:
        box.control.settings(**{**hubs.SETTINGS, **case.plan})
        box.control.clock(now=(FIRST - timedelta(hours=1)).isoformat(), frozen=True)
        said: list[ProvisionStep] = []
        crm_of(box, case).provision(WRITEBACK.active(), dry_run=False, say=said.append)
        told = opened(case, box, tmp_path_factory.mktemp(case.name), seed(box), said)
        told.tell(FIRST, RunKind.FULL)
        box.control.clock(now=(FIRST + timedelta(hours=5)).isoformat(), frozen=True)
        told.person("青葉", case.accepts)
        told.person("紅葉", case.returns)
        told.tell(FIRST + 14 * DAY, RunKind.INCREMENT)
        told.tell(FIRST + 14 * DAY + MINUTE, RunKind.FULL)
        yield told
        told.runtime.close()


def test_provision_says_which_store_and_why(story: Story) -> None:
    first = next(s for s in story.steps if s.action == "choose_store")
    assert first.target == story.case.object
    why = {"lead": "Enterprise", "task": "no lead", "deal": "csql_store: deal"}
    assert why[story.case.name] in first.detail
    again = crm_of(story.box, story.case).provision(WRITEBACK.active(), dry_run=False, say=lambda _: None)
    assert {s.action for s in again} == {"exists", "left_out"}
    assert [s.detail for s in again if s.target == story.case.object] == [f"CSQLs are kept in this {story.case.name}"]


def test_the_check_finds_nothing_missing(story: Story) -> None:
    sources = [s for sources in mapping_of(story.case).entities.values() for s in sources]
    assert [f for f in crm_of(story.box, story.case).check(sources, WRITEBACK.active()) if f.severity == "error"] == []


def test_each_csql_is_made_once_with_what_its_store_needs(story: Story) -> None:
    for name in ("青葉", "紅葉"):
        (row,) = story.of(name, 0)
        assert (row["csh_state"], story.stage_of(row), row["csh_product"]) == ("Submitted", story.case.opened, "expense")
        links = {kind: [to for from_, to, _ in story.links(kind) if from_ == row["id"]] for kind in ("companies", "contacts")}
        assert set(links["companies"]) == {story.ids[name]}
        if story.case is LEAD:  # the decision maker, and not the contact that was there first
            assert row["hs_lead_name"] == row["csh_title"]
            assert {story.role(c) for c in links["contacts"]} == {"DECISION_MAKER"}
        if story.case is TASK:
            due = row["csh_accept_by"]
            assert (row["hs_task_subject"], row["hubspot_owner_id"], row["hs_timestamp"][:10]) == (row["csh_title"], OWNER, due)
        if story.case is DEAL:
            assert (row["dealname"], row.get("amount")) == (row["csh_title"], None)  # the forecast is sales'
    assert story.reports[0]["csql"]["opened"] == 2
    flags = {name: story.companies[0][record].get("csh_csql_flag") for name, record in story.ids.items()}
    assert flags == {"青葉": "true", "若葉": None, "紅葉": "true", "枯葉": None}  # an empty checkbox is as good as an unset one


def test_the_same_run_again_writes_nothing(story: Story) -> None:
    assert (story.reports[2]["calls"]["writes"], story.reports[2]["writes"]["ok"]) == (0, 0)
    assert story.records[2] == story.records[1]


def test_what_sales_takes_up_is_read_back_and_left_to_sales(story: Story) -> None:
    """Accepted a few hours after it was opened: the company says so from the next run on, and no run moves it or opens another."""
    for n in (1, 2):
        (row,) = story.of("青葉", n)
        assert story.stage_of(row) == story.case.accepted
        company = story.companies[n][story.ids["青葉"]]
        assert (company["csh_csql_flag"], company["csh_csql_open_count"]) == ("true", "1")
        assert company["csh_csql_status"].startswith("対応中")


def test_cs57_what_sales_returns_is_closed_and_rests(story: Story) -> None:
    """Returned on 1 December: the same product is not offered again for 90 days, until 1 March 2027."""
    for n in (1, 2):
        (row,) = story.of("紅葉", n)
        assert (story.stage_of(row), row["csh_return_reason"]) == (story.case.returned, "no_budget")
        company = story.companies[n][story.ids["紅葉"]]
        assert company["csh_csql_flag"] == "false"
        assert "2027/3/1" in company["csh_csql_status"]
    assert [story.reports[n]["csql"]["opened"] for n in (1, 2)] == [0, 0]
