"""What people do in HubSpot, through whole runs on the sandbox: they overrule one of our properties, and they merge two companies.

The customers and the arithmetic are those of `test_same_in_both`: 60 points for seats held of 100, 40 for ten points a call. A CSQL is opened from
40 seats on. Between the first run and the next lie 29 days, so that a trend needs what was known before the merge.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from connectors.sandbox_kit import SandboxProcess
from tests.connectors import hubs
from tests.worker.test_same_in_both import HUBSPOT, WRITEBACK, common, given
from worker.explain import explain_account
from worker.items import RunKind
from worker.report import run_report
from worker.run import finish_run, start_run
from worker.runtime import Runtime
from worker.store import registers

FIRST = datetime(2026, 12, 1, 3, tzinfo=UTC)
NEXT = FIRST + timedelta(days=29)
AGAIN = NEXT + timedelta(minutes=1)
#: name -> (seats, calls a week before the first run)
CUSTOMERS = {"青葉": (80, 6), "若葉": (20, 1), "紅葉": (40, 0), "枯葉": (3, 9)}
SCORE, TIER = "csh_health_score", "csh_health_tier"


@dataclass
class Story:
    box: SandboxProcess
    runtime: Runtime
    ids: dict[str, str]
    reports: dict[datetime, dict[str, Any]] = field(default_factory=dict)
    companies: dict[datetime, dict[str, dict[str, Any]]] = field(default_factory=dict)
    csqls: dict[datetime, list[dict[str, Any]]] = field(default_factory=dict)

    def tell(self, at: datetime, kind: RunKind) -> None:
        """A run at this time, and what HubSpot holds after it."""
        self.box.control.clock(now=at.isoformat(), frozen=True)
        run = finish_run(self.runtime, start_run(self.runtime, given(HUBSPOT), kind, as_of=at))
        assert run.state == "done", run.reason
        self.reports[at] = run_report(self.runtime.ledger, run.id)
        self.companies[at] = {row["id"]: row for row in self.box.control.dump("companies")}
        self.csqls[at] = self.box.control.dump("csh_csql")

    def company(self, name: str, at: datetime) -> dict[str, Any]:
        return self.companies[at][self.ids[name]]

    def owners(self) -> dict[str, set[str]]:
        """External key of a CSQL -> companies it is associated with."""
        links = self.box.control.call("links", method="GET", params={"from": "csh_csql", "to": "companies"})
        keys = {row["id"]: row["csh_external_key"] for row in self.box.control.dump("csh_csql")}
        found: dict[str, set[str]] = {}
        for from_, to, _ in links:
            found.setdefault(keys[from_], set()).add(to)
        return found


@pytest.fixture(scope="module", params=[True, False], ids=["the merge makes a new id", "the merge keeps one id"])
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("people")
    with SandboxProcess(crm="hubspot") as box:
        hubs.provision(box, WRITEBACK.active())
        box.control.settings(merge_mints_id=request.param)
        box.control.clock(now=(FIRST - timedelta(hours=1)).isoformat(), frozen=True)
        settings = common(folder, hubspot_url=box.url, hubspot_token=SecretStr(box.control.info()["access_token"]))
        runtime = Runtime.open(settings, open_crm=lambda _mappings, _name: hubs.open_crm(box, mapping=HUBSPOT))
        told = Story(box, runtime, seed(box))
        told.tell(FIRST, RunKind.FULL)
        people_act(told)
        told.tell(NEXT, RunKind.INCREMENT)
        told.tell(AGAIN, RunKind.FULL)
        yield told
        runtime.close()


def seed(box: SandboxProcess) -> dict[str, str]:
    control = box.control
    ids = dict(zip(CUSTOMERS, control.seed("companies", [{"name": name} for name in CUSTOMERS]), strict=True))
    deal = {"dealstage": "closedwon", "pipeline": "default", "closedate": "2027-03-31T00:00:00Z"}
    deals = control.seed("deals", [{"dealname": n, "amount": str(seats), **deal} for n, (seats, _) in CUSTOMERS.items()])
    whose = [n for n, (_, calls) in CUSTOMERS.items() for _ in range(calls)]
    called_on = (FIRST - timedelta(days=7)).isoformat()
    made = control.seed("calls", [{"hs_call_title": "c", "hs_timestamp": called_on} for _ in whose])
    for kind, pairs in (("deals", zip(deals, ids.values(), strict=True)), ("calls", zip(made, (ids[n] for n in whose), strict=True))):
        control.call("associate", {"from": kind, "to": "companies", "pairs": [list(p) for p in pairs]})
    return ids


def people_act(told: Story) -> None:
    """Before the next run 青葉 is overruled, and 枯葉 is merged into 紅葉."""
    control = told.box.control
    control.clock(now=(NEXT - timedelta(hours=3)).isoformat(), frozen=True)
    control.call("write", {"object": "companies", "rows": [{"id": told.ids["青葉"], TIER: "1"}]})
    survivor = str(control.call("merge", {"object": "companies", "primary": told.ids["紅葉"], "other": told.ids["枯葉"]})["id"])
    told.ids["もみじ"] = survivor


def test_what_a_person_overrules_stays_theirs_and_is_said(story: Story) -> None:
    """Tier 4 by the score of 72; the person set 1. The score itself is as it was, so nothing else of the record changes."""
    assert story.company("青葉", FIRST)[TIER] == "4"
    for at in (NEXT, AGAIN):
        assert story.company("青葉", at)[TIER] == "1"
    assert story.reports[NEXT]["writes"]["held"] == 1
    told = explain_account(story.runtime, given(HUBSPOT), story.ids["青葉"])
    assert told is not None
    assert [said for said in told.why_not if "account.health_tier is held" in said]
    assert [(h.record_id, h.field, h.crm_value) for h in registers.holds(story.runtime.ledger)] == [(story.ids["青葉"], "health_tier", "1")]


def test_the_survivor_has_what_both_had(story: Story) -> None:
    """紅葉 40 seats, no call: 0.6 * 40 = 24. 枯葉 3 seats, 9 calls: 0.6 * 3 + 0.4 * 90 = 37.8. Together 43 and 9: 25.8 + 36 = 61.8.

    The record still shows 24, which we wrote under another id: it is ours, and is written over.
    """
    assert [story.company(name, FIRST)[SCORE] for name in ("紅葉", "枯葉")] == ["24", "38"]
    assert story.company("もみじ", NEXT)[SCORE] == "62"
    assert story.reports[NEXT]["writes"]["rejected"] == story.reports[NEXT]["writes"]["unprocessed"] == 0
    gone = {story.ids[name] for name in ("紅葉", "枯葉")} - {story.ids["もみじ"]}
    assert not gone & story.companies[NEXT].keys()


def test_the_history_follows_the_survivor(story: Story) -> None:
    """Both companies were first scored on the same day; the lower id, 紅葉, is the one whose history is gone on with. 28 days ago it stood at 24."""
    told = explain_account(story.runtime, given(HUBSPOT), story.ids["もみじ"])
    assert told is not None
    assert [(str(row["on_"]), row["score"]) for row in told.history] == [("2026-12-30", 62), ("2026-12-01", 24)]
    assert told.decision["delta_28d"] == 62 - 24


def test_the_open_csql_follows_the_survivor_and_is_not_opened_twice(story: Story) -> None:
    key = f"{story.ids['紅葉']}|expense|1"
    for at in (FIRST, NEXT):
        (only,) = [row for row in story.csqls[at] if row["csh_external_key"] == key]
        assert only["csh_state"] == "Submitted"
    assert {row["csh_external_key"] for row in story.csqls[NEXT]} == {f"{story.ids[name]}|expense|1" for name in ("青葉", "紅葉")}
    assert story.owners()[key] == {story.ids["もみじ"]}
    record = story.company("もみじ", NEXT)
    assert (record["csh_csql_flag"], record["csh_csql_open_count"]) == ("true", "1")
    assert story.reports[NEXT]["csql"]["opened"] == story.reports[NEXT]["csql"]["closed"] == 0


def test_nothing_of_it_is_written_again(story: Story) -> None:
    """A full run over the same state: the person's value is held, and no call writes."""
    assert (story.reports[AGAIN]["calls"]["writes"], story.reports[AGAIN]["writes"]["ok"]) == (0, 0)
