"""Sending webhooks: batches of at most 100 events, signed, retried on failure; by itself, or when a control call asks (reference: section 7.2)."""

from __future__ import annotations

import logging
import random
import threading
from typing import TYPE_CHECKING, Any

import orjson
import requests

from connectors.hubspot.sandbox import signatures

if TYPE_CHECKING:
    from connectors.hubspot.sandbox.state import State

LOG = logging.getLogger("connectors.hubspot.sandbox")
JSON = dict[str, Any]
MOST = 100
ATTEMPTS = 10
POLL_SECONDS = 0.3
TIMEOUT_SECONDS = 5.0


def target(state: State) -> tuple[str, str, str] | None:
    """Application, target URL and client secret, or None while nobody set a target."""
    row = state.db.one("SELECT app, body FROM hook LIMIT 1")
    if row is None:
        return None
    secret = state.side.db.one("SELECT client_secret FROM app WHERE id = ?", (row[0],))
    return str(row[0]), str(orjson.loads(row[1])["targetUrl"]), str(secret[0]) if secret else ""


def send(state: State, method: str, url: str, body: bytes, secret: str, version: str) -> tuple[int, str]:
    """One signed request; status 0 and the reason when nobody answered in five seconds."""
    stamp = state.now_ms()
    headers = {"Content-Type": "application/json", "User-Agent": "HubSpot Connect 2.0 (sandbox)"}
    headers |= signatures.headers(version, secret, method, url, body, stamp)
    try:
        # A session of its own: proxies of the environment are none of the sandbox's business.
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, url, data=body, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        return 0, type(error).__name__
    return answer.status_code, answer.text[:500]


def subscribed(state: State) -> list[JSON]:
    """Active subscriptions."""
    rows = state.read("SELECT id, app, event, property FROM subscription WHERE active = 1 ORDER BY id")
    return [{"id": row[0], "app": row[1], "event": row[2], "property": row[3]} for row in rows]


def expand(state: State, event_id: int, event: JSON, attempt: int) -> list[JSON]:
    """An event as each subscription that wants it receives it."""
    found = []
    for item in subscribed(state):
        generic = item["event"] == f"object.{event['subscriptionType'].partition('.')[2]}"
        wanted = item["event"] == event["subscriptionType"] or generic
        if wanted and (not item["property"] or item["property"] == event.get("propertyName")):
            found.append({**event, "eventId": event_id, "subscriptionId": item["id"], "appId": int(item["app"]), "attemptNumber": attempt})
    return found


def deliver(state: State, *, shuffle: bool = False, duplicates: int = 0) -> JSON:
    """Sends what is due; failed batches come again later with a higher attempt number. Answers what it did."""
    found = target(state)
    if found is None:
        return {"sent": 0, "failed": 0, "requests": 0}
    _, url, secret = found
    now = state.now().timestamp()
    with state.transaction():
        rows = state.read("SELECT id, body, attempt FROM event WHERE due <= ? ORDER BY id LIMIT 1000", (now,))
        state.db.connection.executemany("DELETE FROM event WHERE id = ?", [(row[0],) for row in rows])
    events = [(row, item) for row in rows for item in expand(state, row[0], orjson.loads(row[1]), row[2])]
    events += events[:duplicates]
    if shuffle:
        random.Random(len(events)).shuffle(events)
    totals = {"sent": 0, "failed": 0, "requests": 0}
    for start in range(0, len(events), MOST):
        batch = events[start : start + MOST]
        status, _ = send(state, "POST", url, orjson.dumps([item for _, item in batch]), secret, str(state.setting("webhook_signatures")))
        good = 200 <= status < 300
        totals["requests"] += 1
        totals["sent" if good else "failed"] += len(batch)
        if not good:
            _again(state, {row[0]: row for row, _ in batch}, now)
    state.side.count("webhook_requests", totals["requests"])
    return totals


def _again(state: State, rows: dict[int, tuple[Any, ...]], now: float) -> None:
    delay = float(state.setting("webhook_retry_seconds"))
    later = [(key, body, attempt + 1, now + delay * random.uniform(0.5, 1.5) * 2**attempt) for key, body, attempt in rows.values()]
    state.db.connection.executemany("INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?)", [row for row in later if row[2] < ATTEMPTS])


class Deliverer(threading.Thread):
    """Delivers in the background of a server process; several processes never send the same event twice."""

    def __init__(self, state: State) -> None:
        super().__init__(name="webhooks", daemon=True)
        self.state = state
        self.stopping = threading.Event()

    def run(self) -> None:
        """Looks for due events until the process ends."""
        while not self.stopping.wait(POLL_SECONDS):
            if self.state.db.one("SELECT 1 FROM event LIMIT 1") is not None and self.state.setting("webhook_auto"):
                try:
                    deliver(self.state)
                except Exception:
                    LOG.exception("sandbox: delivering webhooks failed")
