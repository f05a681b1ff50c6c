"""Alerts as tasks, in both CRMs: made once whatever is told again, due on a business day, for the right person. Against the sandboxes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from types import SimpleNamespace
from typing import Any, cast

import pytest

from connectors.base import Crm
from mappings.models import Alert as AlertRule
from mappings.models import CrmMapping, Mappings
from mappings.tasks import task_fields
from tests.connectors import hubs, orgs
from tests.factories import make_mappings, make_text
from worker.alerts.base import Alert
from worker.alerts.crm_task import TaskChannel, open_channel
from worker.errors import AlertError
from worker.items import StepContext

FRIDAY = date(2026, 11, 20)  # Monday 23 November is a holiday


@dataclass
class Tasks:
    """A CRM with the task's field, an account, and its tasks as they are stored."""

    crm: Crm
    mapping: CrmMapping
    account: str
    owner: str
    stored: Callable[[], list[dict[str, Any]]]  # key, subject, due, account, owner

    def channel(self, **row: Any) -> TaskChannel:
        rule = AlertRule.model_validate({"name": "low_nps", "when": "true", "channel": "crm_task", "text": make_text("x")} | row)
        mappings = make_mappings(alerts={"low_nps": rule}, crm={self.mapping.connection: self.mapping})
        made = open_channel(cast(StepContext, SimpleNamespace(mappings=mappings, crm=lambda name: self.crm)))
        assert isinstance(made, TaskChannel)
        return made

    def alert(self, **row: Any) -> Alert:
        return Alert(**({"rule": "low_nps", "account_id": self.account, "on_": FRIDAY, "text": "NPSの回答は3でした"} | row))


def asking() -> Mappings:
    rule = AlertRule.model_validate({"name": "low_nps", "when": "true", "channel": "crm_task", "text": make_text("x")})
    return make_mappings(alerts={"low_nps": rule})


@pytest.fixture(params=["salesforce", "hubspot"])
def tasks(request: pytest.FixtureRequest) -> Tasks:
    return salesforce(request.getfixturevalue("box")) if request.param == "salesforce" else hubspot(request.getfixturevalue("hub"))


def salesforce(box: Any) -> Tasks:
    crm = orgs.open_crm(box, "admin", grant_to=box.user("integration")["username"])
    crm.provision(task_fields(asking(), "salesforce", provisioned=True), dry_run=False, say=lambda _: None)
    account = orgs.make_accounts(box, 1)[0]

    def stored() -> list[dict[str, Any]]:
        names = {"CSH_Alert_Key__c": "key", "Subject": "subject", "ActivityDate": "due", "WhatId": "account", "OwnerId": "owner"}
        found = box.control.dump("Task", fields=",".join(["Id", *names]))
        return [{ours: row[theirs] for theirs, ours in names.items()} for row in found if row["WhatId"] == account]

    return Tasks(orgs.open_crm(box), orgs.MAPPING, account, box.user("admin")["id"], stored)


def hubspot(hub: Any) -> Tasks:
    crm = hubs.open_crm(hub)
    crm.provision(task_fields(asking(), "hubspot", provisioned=True), dry_run=False, say=lambda _: None)
    (account,) = hubs.make_companies(hub, 1)

    def stored() -> list[dict[str, Any]]:
        names = {"csh_alert_key": "key", "hs_task_subject": "subject", "hs_timestamp": "due", "hubspot_owner_id": "owner"}
        found = hub.control.call("dump", method="GET", params={"object": "tasks", "properties": ",".join(names)})
        links = crm._links.every("tasks", "companies", [str(row["id"]) for row in found]) if found else {}
        rows = [{ours: row[theirs] for theirs, ours in names.items()} | {"account": (links.get(str(row["id"])) or [None])[0]} for row in found]
        return [row | {"due": str(row["due"])[:10]} for row in rows if row["account"] == account]

    return Tasks(hubs.open_crm(hub), hubs.MAPPING, account, str(hub.control.info()["owners"][0]["id"]), stored)


# --- what is made ----------------------------------------------------------------------------------------------------------------------------------
def test_cs40_a_low_answer_leaves_a_meeting_task_for_the_same_day(tasks: Tasks) -> None:
    tasks.channel(due_business_days=0).send("k", [tasks.alert(recipient=tasks.owner, routed="csm")])
    key = f"low_nps|{tasks.account}|2026-11-20"
    wanted = {"key": key, "subject": "NPSの回答は3でした", "due": "2026-11-20", "account": tasks.account, "owner": tasks.owner}
    assert tasks.stored() == [wanted]


def test_an_alert_told_again_makes_no_second_task(tasks: Tasks) -> None:
    for text in ("NPSの回答は3でした", "別の文面"):  # a channel opened anew, as after a crash; the first task stays as it is
        tasks.channel().send("k", [tasks.alert(text=text)])
    assert [row["subject"] for row in tasks.stored()] == ["NPSの回答は3でした"]


def test_the_end_of_an_alert_makes_no_task(tasks: Tasks) -> None:
    tasks.channel().send("k", [tasks.alert(over=True)])
    assert tasks.stored() == []


@pytest.mark.parametrize(("ahead", "due"), [(0, "2026-11-20"), (1, "2026-11-24"), (2, "2026-11-25")])
def test_a_task_is_due_on_a_business_day(tasks: Tasks, ahead: int, due: str) -> None:
    # Friday 20; Saturday, Sunday and the holiday of Monday 23 do not count
    tasks.channel(due_business_days=ahead).send("k", [tasks.alert()])
    assert [row["due"] for row in tasks.stored()] == [due]


def test_what_the_crm_refuses_is_told_with_a_remedy(tasks: Tasks) -> None:
    with pytest.raises(AlertError, match="scoresync provision"):
        tasks.channel().send("k", [tasks.alert(recipient="nobody", routed="csm")])


def test_nothing_is_provisioned_where_no_alert_makes_tasks() -> None:
    assert task_fields(make_mappings(), "salesforce") == []
