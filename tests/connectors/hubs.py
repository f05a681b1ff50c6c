"""Connections to a HubSpot sandbox account for tests: builders for mappings, fields and records."""

from collections.abc import Sequence
from typing import Any

from pydantic import SecretStr

from connectors.calls import Budget, Waits
from connectors.hubspot.auth import Credentials
from connectors.hubspot.client import Portal
from connectors.hubspot.connector import HubSpot
from connectors.sandbox_kit import SandboxProcess
from mappings.models import CrmMapping, Source, WriteField
from tests.connectors.orgs import QUICK, make_field

#: What tests expect of the account unless they say otherwise.
SETTINGS: dict[str, Any] = {"limits": False, "shuffle": True, "update_trace_ids": True, "merge_mints_id": True, "index_lag_seconds": 0.0}
VERSION = "2026-03"

TIERS = [{"value": v, "en": v, "ja": v} for v in ("1", "2", "3")]


def field(key: str, type_: str = "number", name: str = "", **row: Any) -> WriteField:
    return make_field(key, type_, names={"hubspot": name or f"csh_{key}"}, **row)


SCORE = field("score", precision=3, scale=0)
SHARE = field("share", "percent", precision=5, scale=2)
TIER = field("tier", "picklist", values=TIERS)
REASON = field("reason", "text", length=40)
OPEN = field("open", "checkbox")
NOTICE = field("notice", "date")
SCORED_AT = field("scored_at", "datetime")
REQUESTED = field("requested", "datetime", owner="human")
OWNER = field("owner", "lookup", owner="human", reference_to="User")
DAYS = field("days", owner="crm", precision=5, scale=0, formula="CSH_Notice__c - TODAY()")
ACCOUNT_FIELDS = [SCORE, SHARE, TIER, REASON, OPEN, NOTICE, SCORED_AT, REQUESTED, OWNER, DAYS]
WRITTEN = ACCOUNT_FIELDS[:7]

KEY = field("external_key", "text", object="csql", length=100, external_key=True)
TITLE = field("title", "text", object="csql", length=255)
PARENT = field("account", "lookup", "associations.companies", object="csql", reference_to="Account")
STATE = field("state", "picklist", object="csql", values=[{"value": v, "en": v, "ja": v} for v in ("Candidate", "Submitted")])
CSQL_FIELDS = [KEY, TITLE, PARENT, STATE]
ALL_FIELDS = [*ACCOUNT_FIELDS, *CSQL_FIELDS]

COMPANIES = Source(object="companies", columns={"name": "name", "domain": "domain"})
MAPPING = CrmMapping(connection="hubspot", vendor="hubspot", entities={"account": [COMPANIES]}, csql_object="csh_csql")


def open_portal(box: SandboxProcess, *, version: str = VERSION, token: str = "", waits: Waits = QUICK, **given: Any) -> Portal:
    credentials = given.pop("credentials", None) or Credentials(token=SecretStr(token or box.control.info()["access_token"]))
    base: dict[str, Any] = {"budget": Budget(1, 0), "window_calls": 1_000_000, "searches": 1_000_000}
    return Portal("hubspot", credentials, version, url=box.url, waits=waits, **(base | given))


def open_crm(box: SandboxProcess, *, mapping: CrmMapping = MAPPING, csql_fields: Sequence[WriteField] = (), **given: Any) -> HubSpot:
    return HubSpot(mapping, open_portal(box, **given), language="en", csql_fields=csql_fields)


def provision(box: SandboxProcess, fields: Sequence[WriteField] = ALL_FIELDS) -> None:
    """The fields of these tests, made by our own provisioning."""
    box.control.settings(**SETTINGS)
    open_crm(box).provision(fields, dry_run=False, say=lambda _: None)


def make_companies(box: SandboxProcess, n: int, **values: Any) -> list[str]:
    return box.control.seed("companies", [{"name": f"会社{i}", **values} for i in range(n)])


def stored(box: SandboxProcess, object_name: str, name: str) -> dict[str, str | None]:
    """Record id -> value, asked past every client."""
    found: list[dict[str, Any]] = box.control.call("dump", method="GET", params={"object": object_name, "properties": name})
    return {str(row["id"]): row[name] for row in found}


def writes(crm: HubSpot) -> int:
    """Write calls made so far."""
    return sum(n for kind, n in crm.calls.by_kind.items() if kind in ("batch_update", "batch_upsert"))
