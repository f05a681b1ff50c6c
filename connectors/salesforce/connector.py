"""Salesforce as a `Crm` (connectors/base.py): every method hands on to the module that knows how."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis

from connectors.base import BulkJob, CallCounts, FieldInfo, Finding, ProvisionStep, ReadResult, RecordWrite, Window, WriteResult
from connectors.calls import Budget, Waits
from connectors.errors import Misfit
from connectors.salesforce import soql
from connectors.salesforce.auth import Credentials
from connectors.salesforce.bulk import BulkIngest
from connectors.salesforce.check import Preflight
from connectors.salesforce.client import Org
from connectors.salesforce.objects import Objects
from connectors.salesforce.provision import Provisioner
from connectors.salesforce.reading import BULK_ABOVE, Reader
from connectors.salesforce.writing import Writer
from connectors.values import canonical, id_18
from mappings.models import CrmMapping, Mappings, Source, WriteField

ACCOUNT = "Account"
TASK = "Task"
#: Requests found by one poll; more wait for the next (sheet, 7).
REQUESTS_PER_POLL = 2000


class Salesforce:
    """One Salesforce org. One object per worker process; not thread-safe."""

    bulk = True

    def __init__(
        self,
        mapping: CrmMapping,
        org: Org,
        *,
        fields: Sequence[WriteField] = (),
        language: str = "ja",
        grant_to: str = "",
        bulk_above: int = BULK_ABOVE,
    ) -> None:
        """`fields`: all of writeback.yml, by which answers that name vendor fields are translated."""
        self.name = mapping.connection
        self.calls: CallCounts = org.counts
        self._org, self._fields, self._language, self._grant_to = org, fields, language, grant_to
        self._object_names = {"account": ACCOUNT, "csql": mapping.csql_object, "task": TASK}
        self._objects = Objects(lambda name: org.json("describe", "GET", f"sobjects/{quote(soql.name(name))}/describe"))
        self._reader = Reader(org, self._objects, bulk_above)
        self._writer = Writer(org, self._objects, self._object_names)
        self._ingest = BulkIngest(org)

    @property
    def seconds(self) -> Mapping[str, float]:
        """Time spent in calls, by kind, in seconds."""
        return self._org.door.seconds

    def server_now(self) -> datetime:
        return self._org.server_now()

    def describe(self, object_name: str) -> Mapping[str, FieldInfo]:
        return self._objects.get(self._object_names.get(object_name, object_name)).fields

    def check(self, sources: Sequence[Source], fields: Sequence[WriteField]) -> list[Finding]:
        return Preflight(self._org, self._objects, self._object_names).findings(sources, fields)

    # --- reading ---------------------------------------------------------------------------------------------------------------------------------
    def read(self, source: Source, extra_fields: Sequence[str], window: Window, into: Path, expect_rows: int | None) -> ReadResult:
        return self._reader.read(source, extra_fields, window, into, expect_rows)

    def read_ids(self, source: Source, extra_fields: Sequence[str], ids: Sequence[str], into: Path, *, by: str = "_id") -> ReadResult:
        return self._reader.read_ids(source, extra_fields, ids, into, by)

    def reread(self, fields: Sequence[WriteField], ids: Sequence[str]) -> Mapping[str, Mapping[str, str | None]]:
        if not ids or not fields:
            return {}
        object_name = self._object_names[fields[0].object]
        seen = self._visible(object_name, fields)
        found = self._reader.retrieve(object_name, [f.names["salesforce"] for f in seen], [id_18(i) for i in ids])
        return {id_18(record["Id"]): _canonical(record, seen) for record in found}

    def editors(self, field: WriteField, ids: Sequence[str]) -> Mapping[str, str]:
        """The record's last editor: field history would say more, and is not kept for most fields."""
        found = self._reader.retrieve(self._object_names[field.object], ["LastModifiedById"], [id_18(i) for i in ids])
        return {id_18(record["Id"]): f"user {record['LastModifiedById']}" for record in found}

    def find_by_key(self, fields: Sequence[WriteField], key_field: WriteField, keys: Sequence[str]) -> Mapping[str, Mapping[str, str | None]]:
        if not keys:
            return {}
        object_name, key = self._object_names[key_field.object], key_field.names["salesforce"]
        seen = self._visible(object_name, fields)
        names = list(dict.fromkeys(["Id", key, *(f.names["salesforce"] for f in seen)]))
        found = self._reader.find(object_name, names, key, keys)
        return {record[key]: {"_id": id_18(record["Id"]), **_canonical(record, seen)} for record in found}

    def requests(self, source: Source, requested: WriteField, since: datetime) -> Mapping[str, str]:
        field = soql.name(requested.names["salesforce"])
        query = soql.select(["Id", field], source.object, [f"{field} != null", f"{field} >= {soql.instant(since)}"], [field, "Id"])
        found = self._reader.ask("resync_poll", f"{query} LIMIT {REQUESTS_PER_POLL}")
        values = {id_18(record["Id"]): canonical(record[requested.names["salesforce"]], requested) for record in found}
        return {key: value for key, value in values.items() if value is not None}

    def _visible(self, object_name: str, fields: Sequence[WriteField]) -> list[WriteField]:
        described = self._objects.get(object_name)
        return [f for f in fields if described.has(f.names["salesforce"])]

    # --- writing ---------------------------------------------------------------------------------------------------------------------------------
    def write(self, fields: Sequence[WriteField], writes: Sequence[RecordWrite], *, key_field: WriteField | None) -> list[WriteResult]:
        return self._writer.write(fields, writes, key_field)

    def bulk_start(self, fields: Sequence[WriteField], object_name: str, key_field: WriteField | None) -> BulkJob:
        target = self._writer.target(fields, key_field)
        return self._ingest.start(target.object, target.key_api if key_field else None)

    def bulk_upload(self, job_id: str, fields: Sequence[WriteField], writes: Sequence[RecordWrite], key_field: WriteField | None) -> None:
        self._writer.upload(job_id, fields, writes, key_field)

    def bulk_poll(self, job_id: str) -> BulkJob:
        job = self._ingest.poll(job_id)
        if job.state == "failed":
            self._objects.forget()  # a field that went away is the usual reason
        return job

    def bulk_results(self, job_id: str, writes: Sequence[RecordWrite], key_field: WriteField | None) -> list[WriteResult]:
        fields = [f for f in self._fields if f.object == ("csql" if key_field else "account")]
        return self._writer.results(job_id, fields, writes, key_field)

    def bulk_abort(self, job_id: str) -> None:
        self._ingest.abort(job_id)

    def bulk_orphans(self, known: Iterable[str], before: datetime) -> list[str]:
        """Abort open jobs of our kind that nobody remembers, made before an instant: what a crash between creating a job and noting its id leaves."""
        return self._ingest.abort_orphans(set(known), before, set(self._object_names.values()) - {TASK})

    # --- set-up ----------------------------------------------------------------------------------------------------------------------------------
    def provision(self, fields: Sequence[WriteField], *, dry_run: bool, say: Callable[[ProvisionStep], None]) -> list[ProvisionStep]:
        try:
            maker = Provisioner(self._org, self._objects, self._object_names, self._language, self._grant_to)
            return maker.run(fields, dry_run=dry_run, say=say)
        finally:
            self._objects.forget()


def _canonical(record: Mapping[str, Any], fields: Sequence[WriteField]) -> dict[str, str | None]:
    return {f.key: canonical(record.get(f.names["salesforce"]), f) for f in fields}


def connect(mapping: CrmMapping, mappings: Mappings, settings: Any, *, waits: Waits | None = None, bulk_above: int = BULK_ABOVE) -> Salesforce:
    """A connection by the settings `salesforce_*`, `quota_*` and `redis_url` (worker.settings). Makes no call."""
    credentials = Credentials(
        flow=settings.salesforce_login,
        url=settings.salesforce_url,
        client_id=settings.salesforce_client_id,
        client_secret=settings.salesforce_client_secret,
        username=settings.salesforce_username,
        password=settings.salesforce_password,
        security_token=settings.salesforce_security_token,
        private_key=settings.salesforce_private_key,
        audience=settings.salesforce_audience,
    )
    shared = redis.Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=10) if settings.redis_url else None
    budget = Budget(settings.quota_share, settings.quota_reserve)
    org = Org(mapping.connection, credentials, settings.salesforce_api_version, budget=budget, waits=waits, redis=shared)
    return Salesforce(
        mapping,
        org,
        fields=mappings.writeback.fields,
        language=mappings.writeback.language,
        grant_to=settings.salesforce_username,
        bulk_above=bulk_above,
    )


def missing_setting(settings: Any) -> str:
    """The variable without which no call can be made; empty = it is set."""
    return "" if settings.salesforce_url else "SCORESYNC_SALESFORCE_URL"


def account_id(text: str) -> str:
    """The 18-character id of what a person typed; Misfit for what can be no record's id (not repeated: it may be a customer's name)."""
    if not re.fullmatch(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", text):
        raise Misfit(
            "An account given is no Salesforce id.", remedy="Copy the 15 or 18 letters and digits from the record's address.", code="MALFORMED_ID"
        )
    return id_18(text)
