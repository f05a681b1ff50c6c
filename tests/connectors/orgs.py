"""Connections to a sandbox org for tests: builders for mappings, fields and records."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import SecretStr

from connectors.base import ReadResult, RecordWrite
from connectors.calls import Budget, Waits
from connectors.salesforce.auth import Credentials
from connectors.salesforce.client import Org
from connectors.salesforce.connector import Salesforce
from connectors.sandbox_kit import SandboxProcess
from mappings.models import CrmMapping, Source, WriteField

VERSION = "64.0"
#: Waits short enough for tests, long enough to be waits.
QUICK = Waits(
    soon_s=0.01,
    soon_most_s=0.02,
    soon_attempts=4,
    window_s=0.01,
    window_most_s=0.02,
    window_attempts=4,
    poll_s=0.01,
    poll_most_s=0.05,
    poll_total_s=30,
)


def make_field(key: str, type_: str = "number", **row: Any) -> WriteField:
    base: dict[str, Any] = {
        "key": key, "object": "account", "set": "core", "owner": "worker", "names": {"salesforce": f"CSH_{key.title()}__c"}, "type": type_,
        "label": {"en": key, "ja": key}, "meaning": {"en": f"what {key} says", "ja": f"{key}の意味"},
    }  # fmt: skip
    return WriteField.model_validate(base | row)


TIERS = [{"value": v, "en": v, "ja": v} for v in ("1", "2", "3")]
SCORE = make_field("score", precision=3, scale=0)
SHARE = make_field("share", "percent", precision=5, scale=2)
TIER = make_field("tier", "picklist", values=TIERS)
REASON = make_field("reason", "text", length=40)
OPEN = make_field("open", "checkbox")
NOTICE = make_field("notice", "date")
SCORED_AT = make_field("scored_at", "datetime", names={"salesforce": "CSH_Scored_At__c"})
OWNER = make_field("owner", "lookup", names={"salesforce": "CSH_Owner__c"}, reference_to="User")
REQUESTED = make_field("requested", "datetime", owner="human", names={"salesforce": "CSH_Requested_At__c"})
DAYS = make_field("days", owner="crm", precision=5, scale=0, formula="CSH_Notice__c - TODAY()")
ACCOUNT_FIELDS = [SCORE, SHARE, TIER, REASON, OPEN, NOTICE, SCORED_AT, OWNER, REQUESTED, DAYS]
WRITTEN = ACCOUNT_FIELDS[:8]

KEY = make_field("external_key", "text", object="csql", length=100, external_key=True, names={"salesforce": "CSH_External_Key__c"})
PARENT = make_field("account", "lookup", object="csql", reference_to="Account", names={"salesforce": "CSH_Account__c"})
STATE = make_field("state", "picklist", object="csql", values=[{"value": v, "en": v, "ja": v} for v in ("Candidate", "Submitted")])
NEED = make_field("need", "text", object="csql", length=255)
CSQL_FIELDS = [KEY, PARENT, STATE, NEED]
ALL_FIELDS = [*ACCOUNT_FIELDS, *CSQL_FIELDS]

MAPPING = CrmMapping(connection="salesforce", vendor="salesforce", entities={"account": [Source(object="Account", columns={"name": "Name"})]})


def open_org(box: SandboxProcess, run_as: str = "integration", *, budget: Budget | None = None, waits: Waits = QUICK, **given: Any) -> Org:
    client_id, secret = box.app(run_as)
    base: dict[str, Any] = {"flow": "client_credentials", "url": box.url, "client_id": client_id, "client_secret": SecretStr(secret)}
    redis = given.pop("redis", None)
    return Org("salesforce", Credentials(**(base | given)), VERSION, budget=budget or Budget(1, 0), waits=waits, redis=redis)


def open_crm(
    box: SandboxProcess, run_as: str = "integration", *, bulk_above: int = 10_000, mapping: CrmMapping = MAPPING, **given: Any
) -> Salesforce:
    grant_to = given.pop("grant_to", "")
    return Salesforce(mapping, open_org(box, run_as, **given), fields=ALL_FIELDS, language="en", grant_to=grant_to, bulk_above=bulk_above)


def provision(box: SandboxProcess, fields: Sequence[WriteField] = ALL_FIELDS) -> None:
    """The fields of these tests, made by our own provisioning as an admin."""
    open_crm(box, "admin", grant_to=box.user("integration")["username"]).provision(fields, dry_run=False, say=lambda _: None)


def make_accounts(box: SandboxProcess, n: int, **values: Any) -> list[str]:
    return box.control.seed("Account", [{"Name": f"会社{i}", **values} for i in range(n)])


def rows(result: ReadResult) -> list[dict[str, Any]]:
    """The rows of all pages."""
    tables = [pq.read_table(path) for path in result.pages]
    found: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist() if tables else []
    return found


def update(record_id: str, **values: str | None) -> RecordWrite:
    return RecordWrite(record_id, None, record_id, values)


def stored(box: SandboxProcess, object_name: str, fields: str, ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """What the org holds, asked past every client."""
    found = box.control.dump(object_name, fields=f"Id,{fields}")
    return {row["Id"]: row for row in found if row["Id"] in set(ids)}


def folder(tmp_path: Path) -> Path:
    return tmp_path / "pages"
