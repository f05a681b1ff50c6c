"""What an account has before it has records: owners, pipelines, an app with its tokens; and the account-info API."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import orjson

from connectors.hubspot.sandbox.definitions import STAMP
from connectors.hubspot.sandbox.routing import Context, Reply, Routes
from connectors.hubspot.sandbox.values import iso

if TYPE_CHECKING:
    from connectors.hubspot.sandbox.state import State

JSON = dict[str, Any]
OWNERS = [("Aiko", "Tanaka"), ("Ben", "Okafor"), ("Carla", "Rossi"), ("Dmitri", "Volkov")]
APP_ID = "1160452"
# type id → pipeline (id, label) and stages (id, label, metadata)
_DEALS = [
    ("appointmentscheduled", "Appointment Scheduled", "0.2"), ("qualifiedtobuy", "Qualified To Buy", "0.4"),
    ("presentationscheduled", "Presentation Scheduled", "0.6"), ("decisionmakerboughtin", "Decision Maker Bought-In", "0.8"),
    ("contractsent", "Contract Sent", "0.9"), ("closedwon", "Closed Won", "1.0"), ("closedlost", "Closed Lost", "0.0"),
]  # fmt: skip
_TICKETS = [("1", "New", "OPEN"), ("2", "Waiting on contact", "OPEN"), ("3", "Waiting on us", "OPEN"), ("4", "Closed", "CLOSED")]
_LEADS = [
    ("new-stage-id", "New"), ("attempting-stage-id", "Attempting"), ("connected-stage-id", "Connected"), ("qualified-stage-id", "Qualified"),
    ("unqualified-stage-id", "Unqualified"),
]  # fmt: skip


def create_account(state: State) -> None:
    """Owners, pipelines, the app and its tokens of a new account."""
    for number, (first, last) in enumerate(OWNERS):
        add_owner(state, 70_000_001 + number, f"{first}.{last}@example.com".lower(), first, last)
    deals = [(key, label, {"probability": chance, "isClosed": str(chance in ("1.0", "0.0")).lower()}) for key, label, chance in _DEALS]
    add_pipeline(state, "0-3", "default", "Sales Pipeline", deals)
    add_pipeline(state, "0-5", "0", "Support Pipeline", [(key, label, {"ticketState": kind, "isClosed": str(kind == "CLOSED").lower()})
                                                        for key, label, kind in _TICKETS])  # fmt: skip
    add_pipeline(state, "0-136", "lead-pipeline-id", "Lead pipeline", [(key, label, {}) for key, label in _LEADS])
    side = state.side
    tokens = {
        "private": f"pat-na1-{secrets.token_hex(16)}", "refresh": f"na1-{secrets.token_hex(20)}", "developer": f"dev-{secrets.token_hex(16)}",
    }  # fmt: skip
    for kind, token in tokens.items():
        side.add_token(token, kind, APP_ID, None, None)
    side.db.write(
        "INSERT OR IGNORE INTO app VALUES (?, ?, ?, ?)", (APP_ID, secrets.token_hex(16), secrets.token_hex(18), orjson.dumps(tokens).decode())
    )


def seed_owners(context: Context) -> JSON:
    """Control call `{"owners": [{"email", "first", "last", "team"?}]}`: further owners; their ids."""
    state = context.state
    given = context.json_object()["owners"]
    with state.transaction():
        last = state.db.one("SELECT max(id) FROM owner")
        first = (int(last[0]) if last and last[0] else 70_000_000) + 1
        for number, row in enumerate(given, start=first):
            add_owner(state, number, row["email"], row["first"], row["last"], row.get("team"))
    return {"ids": [str(first + place) for place in range(len(given))]}


def add_owner(state: State, number: int, email: str, first: str, last: str, team: str | None = None) -> None:
    """An owner, whose user id is another number, as in real accounts."""
    body = {
        "id": str(number), "email": email, "type": "PERSON", "firstName": first, "lastName": last, "userId": number - 60_000_000,
        "userIdIncludingInactive": number - 60_000_000, "createdAt": STAMP, "updatedAt": STAMP, "archived": False,
        "teams": [{"id": "1", "name": team, "primary": True}] if team else [],
    }  # fmt: skip
    state.db.write("INSERT OR REPLACE INTO owner VALUES (?, ?, 0)", (number, orjson.dumps(body).decode()))


def add_pipeline(state: State, type_id: str, key: str, label: str, stages: list[tuple[str, str, JSON]]) -> JSON:
    """A pipeline with its stages in order; its JSON."""
    body: JSON = {"id": key, "label": label, "displayOrder": 0, "createdAt": STAMP, "updatedAt": STAMP, "archived": False}
    body["stages"] = [
        {
            "id": stage, "label": name, "displayOrder": order, "metadata": metadata, "createdAt": STAMP, "updatedAt": STAMP, "archived": False,
            "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
        }
        for order, (stage, name, metadata) in enumerate(stages)
    ]  # fmt: skip
    state.db.write("INSERT OR REPLACE INTO pipeline VALUES (?, ?, ?)", (type_id, key, orjson.dumps(body).decode()))
    return body


def details(context: Context) -> Reply:
    """`GET /account-info/v3/details`."""
    from connectors.hubspot.sandbox.state import PORTAL

    state = context.state
    zone = state.setting("timezone")
    offset = datetime.now(ZoneInfo(zone)).utcoffset() or timedelta()
    minutes = int(offset.total_seconds() // 60)
    sign = "-" if minutes < 0 else "+"
    return Reply(
        {
            "portalId": PORTAL, "accountType": "STANDARD", "timeZone": zone, "companyCurrency": state.setting("currency"),
            "additionalCurrencies": [], "utcOffset": f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}",
            "utcOffsetMilliseconds": minutes * 60_000, "uiDomain": "app.hubspot.com", "dataHostingLocation": "na1",
        }
    )  # fmt: skip


def daily_usage(context: Context) -> Reply:
    """`GET /account-info/v3/api-usage/daily/private-apps`."""
    state = context.state
    zone = ZoneInfo(state.setting("timezone"))
    now = state.now().astimezone(zone)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    row = {
        "name": "private-apps-api-calls-daily", "usageLimit": state.setting("daily_limit"), "currentUsage": state.side.used_today(state.today()),
        "collectedAt": iso(state.now_ms()), "fetchStatus": "SUCCESS", "resetsAt": iso(int(midnight.timestamp() * 1000)),
    }  # fmt: skip
    return Reply({"results": [row]})


def register(routes: Routes) -> None:
    """The paths of this module."""
    routes.add("GET", "/account-info/v3/details", details, kind="account")
    routes.add("GET", "/account-info/v3/api-usage/daily/private-apps", daily_usage, kind="account")
