"""A resync of one account, from the click to the answer on the record, against the same calls to the CRM sent bare.

    python -m bench resync

A made-up company in a Salesforce sandbox without latency, the shipped mappings, one full run; then, round by round, a person sets the request on an
account, the worker looks, scores and writes, and the record shows the answer. The baseline is a `requests` session that sends the very calls which
that resync made, each once more: what the CRM alone takes. It computes nothing, so the ratio is not an overhead: it says how much is not the CRM's.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from bench.measure import cpu_s
from mappings.models import Mappings
from worker.demo import Demo
from worker.items import RunKind, RunState
from worker.run import finish_run, poll_resync, start_run
from worker.runtime import Runtime

REQUESTED, ANSWERED = "CSH_Resync_Requested_At__c", "CSH_Resynced_At__c"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Click:
    """One account's resync. `calls`: what it sent to the CRM, in order."""

    wall_s: float
    cpu_s: float
    calls: list[requests.PreparedRequest]


def measure(accounts: int, rounds: int, say: Say) -> dict[str, Any]:
    """Medians over the rounds, each another account. SystemExit where a resync leaves its account without a new answer."""
    with Demo(accounts, 1, crm="salesforce") as demo:
        say(f"a company of {accounts:,} accounts")
        settings, mappings, _ = demo.prepare()
        demo.box.control.call("grants", {"user": "admin", "fields": [f"Account.{REQUESTED}"]})
        runtime = Runtime.open(settings)
        try:
            say("the full run before")
            finish_run(runtime, start_run(runtime, mappings, RunKind.FULL))
            served = [row["Id"] for row in demo.box.control.dump("Account") if row.get("CSH_Health_Tier__c")]
            click(demo, runtime, mappings, served[0])  # the first one logs in and describes
            say(f"{rounds} resyncs, and their calls once more")
            clicks, bare = [], []
            for n in range(1, rounds + 1):
                clicks.append(click(demo, runtime, mappings, served[n]))
                bare.append(replay(clicks[-1].calls))
        finally:
            runtime.close()
    sides = {"baseline": _medians(bare), "ours": _medians(clicks)}
    return {"accounts": accounts, "calls": len(clicks[0].calls), "sides": sides, "ratio": sides["ours"]["wall_s"] / sides["baseline"]["wall_s"]}


def click(demo: Demo, runtime: Runtime, mappings: Mappings, account: str) -> Click:
    """A person's request on the record and the worker's answer. The worker's wait until it looks (SCORESYNC_RESYNC_EVERY_S) is not in it."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    sent: list[requests.PreparedRequest] = []
    began, cpu = time.perf_counter(), cpu_s()
    (saved,) = demo.box.control.write("admin", "Account", [{"Id": account, REQUESTED: now}])
    if not saved["success"]:
        raise SystemExit(f"the request could not be set: {saved['errors']}")
    with _heard(sent):
        run_id = poll_resync(runtime, mappings)
        run = finish_run(runtime, run_id) if run_id else None
    found = Click(time.perf_counter() - began, cpu_s() - cpu, sent)
    record = next(row for row in demo.box.control.dump("Account") if row["Id"] == account)
    if run is None or run.state != RunState.DONE or (record[ANSWERED] or "") < now[:19]:
        raise SystemExit(f"the resync of {account} ended as {run.state if run else 'no run'}: {run.reason if run else 'no request was found'}")
    return found


class _heard:
    """Notes every request that this process sends meanwhile."""

    def __init__(self, sent: list[requests.PreparedRequest]) -> None:
        self.sent, self._send = sent, requests.Session.send

    def __enter__(self) -> None:
        send, sent = self._send, self.sent

        def noted(session: requests.Session, request: requests.PreparedRequest, **how: Any) -> requests.Response:
            sent.append(request.copy())
            return send(session, request, **how)

        requests.Session.send = noted  # type: ignore[method-assign,assignment]

    def __exit__(self, *_: object) -> None:
        requests.Session.send = self._send  # type: ignore[method-assign]


def replay(calls: list[requests.PreparedRequest]) -> Click:
    """The same calls, one after the other. Writing the same values again changes nothing."""
    with requests.Session() as session:
        began, cpu = time.perf_counter(), cpu_s()
        for call in calls:
            # what stands there before the connector's adapter for this host has had it
            call.url = (call.url or "").replace("https://127.0.0.1", "http://127.0.0.1", 1)
            answer = session.send(call, timeout=30)
            answer.raise_for_status()
            json.loads(answer.content)
        return Click(time.perf_counter() - began, cpu_s() - cpu, calls)


def _medians(turns: list[Click]) -> dict[str, float]:
    return {"wall_s": statistics.median(t.wall_s for t in turns), "cpu_s": statistics.median(t.cpu_s for t in turns)}
