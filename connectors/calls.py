"""The one door for calls to a CRM: the only place that waits, retries, counts and keeps the quota.

A connector gives each call a kind and a function that sends it once; its own error table says what a refusal means (`Fault`). Nothing here
knows a vendor.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

import orjson
import requests
import urllib3
from tenacity import RetryCallState, Retrying, retry_if_exception

from connectors.base import CallCounts
from connectors.errors import ConnectorError, NotAllowed, NotReachable, QuotaSpent, Transient

T = TypeVar("T")
R = TypeVar("R")

#: kind of call -> group in a run's report. Kinds not listed count as reads.
GROUPS: dict[str, str] = {
    "clock": "",  # counts towards no limit of the CRM
    "reread": "rereads",
    "collections_update": "writes",
    "collections_upsert": "writes",
    "batch_update": "writes",
    "batch_upsert": "writes",
    "batch_create": "writes",
    "associate": "writes",
    "bulk_create": "writes",
    "bulk_upload": "writes",
    "bulk_close": "writes",
    "bulk_abort": "writes",
    "provision": "writes",
    "bulk_poll": "polls",
    "bulk_results": "polls",
    "bulk_query_poll": "polls",
    "resync_poll": "polls",
}


def grouped(by_kind: Mapping[str, int]) -> dict[str, int]:
    """Calls by group: always reads, rereads, writes and polls."""
    sums = {"reads": 0, "rereads": 0, "writes": 0, "polls": 0}
    for kind, n in by_kind.items():
        group = GROUPS.get(kind, "reads")
        if group:
            sums[group] += n
    return sums


#: Nothing was sent: the host was never reached. Some clients speak urllib3 without requests.
_UNCONNECTED = (requests.exceptions.ConnectTimeout, urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)


class Again(StrEnum):
    """Whether and how the same call is worth repeating."""

    NO = "no"
    SOON = "soon"  # 5xx, broken connections: seconds
    FEW = "few"  # may be a lasting fault of this one request: at most 3 attempts
    WINDOW = "window"  # a limiter with a window of its own (20 s requests, per-minute counters): outlast it


@dataclass(frozen=True)
class Fault:
    """What a refusal means: the error to raise in the end, and what to do before."""

    error: ConnectorError
    again: Again = Again.NO
    refresh: bool = False  # the token is no longer good: log in once, then send again
    untouched: bool = False  # the CRM certainly did nothing, so that even a create may be sent again
    retry_after_s: float | None = None


@dataclass(frozen=True)
class Waits:
    """How long to wait between attempts, in seconds. Defaults: chosen to stay well inside a work item's lease renewals.

    `soon`: 0.5, 1, 2, 4, 8 (times a jitter of 0.5 to 1) = up to 15 s over 6 attempts. `window`: 10, 20, 40, 60 = at least 65 s, longer than any
    limiter window the vendors document (10 s HubSpot, 20 s requests at Salesforce, 60 s per-minute counters).
    """

    soon_s: float = 0.5
    soon_most_s: float = 8
    soon_attempts: int = 6
    few_attempts: int = 3
    window_s: float = 10
    window_most_s: float = 60
    window_attempts: int = 5
    retry_after_most_s: float = 120  # asked to wait longer than this, the item is given back instead
    poll_s: float = 0.2
    poll_most_s: float = 5
    poll_total_s: float = 3000  # a bulk read that is not ready by then is given up (item_limit_s is 3,300)


class Budget:
    """Our share of the CRM's daily calls.

    Two bounds, whichever comes first: our own calls in this process's last 24 h reach `share` of the limit, or all calls of the org come within
    `reserve` of it. A reserve over a tenth of the limit counts as a tenth, so that small test orgs can work at all.
    Weakness: calls of other worker processes count only towards the org's use, so n processes may reach n times `share`, but never the reserve.
    """

    def __init__(self, share: float, reserve: int, clock: Callable[[], float] = time.time) -> None:
        self._share, self._reserve, self._clock = share, reserve, clock
        self.used: int | None = None
        self.limit: int | None = None
        self._by_hour: dict[int, int] = {}
        self._spent_until: tuple[float, str] | None = None
        self._lock = threading.Lock()

    def observe(self, used: int, limit: int) -> None:
        """The CRM's own figures: calls of all its users in the last 24 h, and the daily limit."""
        with self._lock:
            self.used, self.limit = used, limit

    def close(self, text: str, for_s: float = 3600) -> datetime:
        """The CRM said the limit is used up: no call before the returned instant. A rolling limit frees itself hour by hour."""
        self._spent_until = (self._clock() + for_s, text)
        return datetime.now(UTC) + timedelta(seconds=for_s)

    def check(self) -> None:
        """Count one call; raise QuotaSpent where it would go beyond the budget."""
        with self._lock:
            now = self._clock()
            if self._spent_until is not None and now < self._spent_until[0]:
                raise self._spent(self._spent_until[1], self._spent_until[0] - now)
            hour = int(now // 3600)
            self._by_hour = {h: n for h, n in self._by_hour.items() if h > hour - 24}
            ours = sum(self._by_hour.values())
            if self.limit is not None and self.used is not None:
                reserve = min(self._reserve, self.limit // 10)
                if self.used >= self.limit - reserve:
                    raise self._spent(f"{self.used} of {self.limit} daily calls are used; the last {reserve} are left to other integrations.", 3600)
                if ours >= self._share * self.limit:
                    raise self._spent(f"This worker made {ours} calls in 24 h, its share ({self._share:.0%}) of the daily {self.limit}.", 3600)
            self._by_hour[hour] = self._by_hour.get(hour, 0) + 1
            self.used = None if self.used is None else self.used + 1

    @staticmethod
    def _spent(text: str, for_s: float) -> QuotaSpent:
        return QuotaSpent(
            text,
            resume_at=datetime.now(UTC) + timedelta(seconds=for_s),
            remedy="The run goes on by itself as calls become free; an admin can raise SCORESYNC_QUOTA_SHARE, or the CRM's limit.",
            code="QUOTA_BUDGET",
        )


class BrokenAnswer(Exception):
    """A 2xx answer whose body is cut off or not what it says it is; the same call is sent again."""


class _Refused(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault.error))
        self.fault = fault


@dataclass
class Door:
    """Sends calls for one connection. Thread-safe: result pages are fetched in parallel."""

    name: str
    translate: Callable[[Any], Fault | None]
    """The connector's error table over its client's response: null = the answer is good."""
    refresh: Callable[[str | None], None]
    """Log in again, unless somebody did since the token given (null = none yet) was taken."""
    token: Callable[[], str]
    """The token to send with, logging in if there is none."""
    budget: Budget
    observe: Callable[[Any], None] = lambda _: None
    waits: Waits = Waits()
    counts: CallCounts = field(default_factory=CallCounts)
    seconds: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def call(self, kind: str, send: Callable[[str], T], *, idempotent: bool = True) -> T:
        """What `send(token)` gives, after as many attempts as its faults allow; raises a ConnectorError in the end.

        `send` makes one request, passes its response through `self.good`, and reads the body: a connection that breaks off there is an attempt lost.
        A call that is not idempotent (a create by POST) is repeated only where the CRM certainly did nothing.
        One refresh per call: a CRM that answers 401 to a fresh token is refused, not asked for ever (simple-salesforce#804).
        """
        refreshed = False

        def attempt() -> T:
            nonlocal refreshed
            token = self.token()
            try:
                return self._once(kind, lambda: send(token))
            except _Refused as refused:
                if not refused.fault.refresh or refreshed:
                    raise
            refreshed = True
            self.refresh(token)
            token = self.token()
            return self._once(kind, lambda: send(token))

        retrying = Retrying(
            retry=retry_if_exception(lambda e: isinstance(e, _Refused) and (idempotent or e.fault.untouched) and e.fault.again != Again.NO),
            stop=self._stop,
            wait=self._wait,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except _Refused as refused:
            raise refused.fault.error from refused.__cause__

    def good(self, response: R) -> R:
        """The response, if the error table calls it good; else the fault goes to `call`."""
        self.observe(response)
        fault = self.translate(response)
        if fault is None:
            return response
        if isinstance(fault.error, QuotaSpent):
            fault.error.resume_at = self.budget.close(fault.error.text)
        raise _Refused(fault)

    def poll(self, ask: Callable[[], T], done: Callable[[T], bool]) -> T:
        """Ask (by `call`) until done, waiting longer each time. Transient when it takes longer than `poll_total_s`."""
        until = time.monotonic() + self.waits.poll_total_s
        wait_s = self.waits.poll_s
        while not done(answer := ask()):
            if time.monotonic() > until:
                raise Transient(f"{self.name}: no end after {self.waits.poll_total_s:.0f} s.", remedy="It is tried again by itself.")
            time.sleep(wait_s)
            wait_s = min(wait_s * 1.6, self.waits.poll_most_s)
        return answer

    def rest(self, attempt: int) -> None:
        """Wait before another attempt at single records that were locked, 1 to 5 s at the default, jittered so that rivals do not meet again."""
        time.sleep(min(self.waits.soon_s * 2**attempt, self.waits.soon_most_s) * random.uniform(0.5, 1.5))

    def _once(self, kind: str, send: Callable[[], T]) -> T:
        self.budget.check()
        started = time.monotonic()
        try:
            return send()
        except (*_UNCONNECTED, requests.exceptions.ConnectionError, urllib3.exceptions.SSLError) as error:
            raise _Refused(self._broken(error)) from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, orjson.JSONDecodeError, BrokenAnswer, OSError) as error:
            text = f"{self.name}: the answer broke off or cannot be read ({type(error).__name__})."
            raise _Refused(Fault(Transient(text, remedy="It is tried again by itself."), Again.SOON)) from error
        finally:
            with self._lock:
                self.counts.by_kind[kind] = self.counts.by_kind.get(kind, 0) + 1
                self.seconds[kind] = self.seconds.get(kind, 0.0) + time.monotonic() - started

    def _broken(self, error: Exception) -> Fault:
        if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
            text = f"{self.name}: the CRM's TLS certificate cannot be verified."
            return Fault(NotAllowed(text, remedy="An admin must check the URL, the clock and the trusted certificates of this host."))
        never_connected = isinstance(error, _UNCONNECTED) or "NewConnectionError" in repr(error) or "NameResolution" in repr(error)
        text = f"{self.name}: no connection to the CRM." if never_connected else f"{self.name}: the connection to the CRM broke off."
        remedy = "The run tries again by itself; if it lasts, an admin must check the URL and this host's network."
        kind = NotReachable if never_connected else Transient
        return Fault(kind(text, remedy=remedy), Again.SOON, untouched=never_connected)

    def _stop(self, state: RetryCallState) -> bool:
        fault = _fault(state)
        if fault.retry_after_s is not None and fault.retry_after_s > self.waits.retry_after_most_s:
            return True
        most = {Again.SOON: self.waits.soon_attempts, Again.FEW: self.waits.few_attempts, Again.WINDOW: self.waits.window_attempts}
        return state.attempt_number >= most.get(fault.again, 1)

    def _wait(self, state: RetryCallState) -> float:
        fault = _fault(state)
        doublings = 2 ** (state.attempt_number - 1)
        if fault.again == Again.WINDOW:
            wait: float = min(self.waits.window_s * doublings, self.waits.window_most_s) * random.uniform(1, 1.2)
        else:
            wait = min(self.waits.soon_s * doublings, self.waits.soon_most_s) * random.uniform(0.5, 1)
        return float(max(wait, fault.retry_after_s or 0))


def _fault(state: RetryCallState) -> Fault:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, _Refused)
    return error.fault
