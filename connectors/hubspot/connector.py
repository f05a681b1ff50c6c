"""HubSpot as a `Crm` (connectors/base.py): every method hands on to the module that knows how."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import redis

from connectors.base import CallCounts, FieldInfo, Finding, NoBulk, ProvisionStep, ReadResult, RecordWrite, Window, WriteResult
from connectors.calls import Budget, Waits
from connectors.errors import Misfit
from connectors.hubspot.auth import Credentials
from connectors.hubspot.check import Preflight
from connectors.hubspot.client import SEARCHES, Portal
from connectors.hubspot.links import Links
from connectors.hubspot.names import ObjectNames
from connectors.hubspot.objects import LINK, Objects
from connectors.hubspot.provision import Provisioner
from connectors.hubspot.reading import Reader, Record
from connectors.hubspot.stores import OBJECTS, Stores, View
from connectors.hubspot.writing import Writer
from connectors.values import canonical
from mappings.models import CrmMapping, Mappings, Source, WriteField

#: Object types that CSQLs may share with a firm's own records.
SHARED = frozenset(OBJECTS.values())


class HubSpot(NoBulk):
    """One HubSpot account. One object per worker process; not thread-safe."""

    def __init__(self, mapping: CrmMapping, portal: Portal, *, language: str = "ja", csql_fields: Sequence[WriteField] = ()) -> None:
        """`csql_fields`: those of writeback.yml, by whose names a person's moves are read back."""
        self.name = mapping.connection
        self.calls: CallCounts = portal.counts
        self._portal, self._language = portal, language
        self._csql_object = mapping.csql_object
        self._objects = Objects(portal)
        self._stores = Stores(portal, self._objects, mapping.csql_object, mapping.csql_store, csql_fields)
        self._names = ObjectNames(self._stores)
        self._links = Links(portal, self._objects)
        self._reader = Reader(portal, self._objects, self._links)
        self._writer = Writer(portal, self._objects, self._links, self._names, self._reader)

    def server_now(self) -> datetime:
        return self._portal.server_now()

    def describe(self, object_name: str) -> Mapping[str, FieldInfo]:
        return self._objects.get(self._names.of(object_name)).fields

    def check(self, sources: Sequence[Source], fields: Sequence[WriteField]) -> list[Finding]:
        stored = [self._stores.current().field(f) if f.object == "csql" else f for f in fields]
        return Preflight(self._portal, self._objects, self._names).findings([self._seen(s)[0] for s in sources], stored)

    # --- reading ---------------------------------------------------------------------------------------------------------------------------------
    def read(self, source: Source, extra_fields: Sequence[str], window: Window, into: Path, expect_rows: int | None) -> ReadResult:
        source, view = self._seen(source)
        return self._reader.read(source, extra_fields, window, into, view)

    def read_ids(self, source: Source, extra_fields: Sequence[str], ids: Sequence[str], into: Path, *, by: str = "_id") -> ReadResult:
        source, view = self._seen(source)
        return self._reader.read_ids(source, extra_fields, ids, into, by, view)

    def _seen(self, source: Source) -> tuple[Source, View | None]:
        """The source as it is in this account: CSQLs where they live, and other sources on the same object type without them."""
        if source.object == self._csql_object:
            store = self._stores.current()
            return source.model_copy(update={"object": store.object}), store.view(csql=True)
        if source.object in SHARED:
            store = self._stores.current()
            return source, store.view(csql=False) if store.object == source.object else None
        return source, None

    def reread(self, fields: Sequence[WriteField], ids: Sequence[str]) -> Mapping[str, Mapping[str, str | None]]:
        if not ids or not fields:
            return {}
        object_name = self._names[fields[0].object]
        seen = self._visible(object_name, fields)
        wanted = set(ids)  # an id that was merged away answers with its survivor: gone
        records = [r for r in self._batch(object_name, seen, ids) if str(r["id"]) in wanted]
        return {str(r["id"]): values for r, values in self._canonical(object_name, records, seen)}

    def editors(self, field: WriteField, ids: Sequence[str]) -> Mapping[str, str]:
        """From the property's own history: the user, or the workflow, import or app that wrote it last."""
        name = field.names["hubspot"]
        found: dict[str, str] = {}
        for record in self._reader.histories(self._objects.type_id(self._names[field.object]), ids, name):
            history = record.get("propertiesWithHistory", {}).get(name) or [{}]
            user, source = history[0].get("updatedByUserId"), history[0].get("sourceType", "")
            by_hand = user is not None and source in ("", "CRM_UI")
            found[str(record["id"])] = f"user {user}" if by_hand else f"{source} {history[0].get('sourceId') or ''}".strip() or "unknown"
        return found

    def find_by_key(self, fields: Sequence[WriteField], key_field: WriteField, keys: Sequence[str]) -> Mapping[str, Mapping[str, str | None]]:
        if not keys:
            return {}
        object_name, key = self._names[key_field.object], key_field.names["hubspot"]
        seen = self._visible(object_name, fields)
        records = list(self._batch(object_name, [*seen, key_field], keys, by=key))
        return {str(r["properties"][key]): {"_id": str(r["id"]), **values} for r, values in self._canonical(object_name, records, seen)}

    def requests(self, source: Source, requested: WriteField, since: datetime) -> Mapping[str, str]:
        name = requested.names["hubspot"]
        described = self._objects.get(source.object)
        newer = {"propertyName": name, "operator": "GTE", "value": str(int(since.timestamp() * 1000))}
        found = self._reader.matching(described, [newer], [name], "resync_poll")
        values = {str(r["id"]): canonical(r["properties"].get(name), requested) for r in found}
        return {key: value for key, value in values.items() if value is not None}

    def _visible(self, object_name: str, fields: Sequence[WriteField]) -> list[WriteField]:
        described = self._objects.get(object_name).fields
        return [f for f in fields if f.names.get("hubspot", "").lower() in described]

    def _batch(self, object_name: str, fields: Sequence[WriteField], ids: Sequence[str], by: str | None = None) -> list[Record]:
        names = [f.names["hubspot"] for f in fields if not f.names["hubspot"].startswith(LINK)]
        store = self._stores.current() if fields and fields[0].object == "csql" else None
        view = store.view(csql=True) if store is not None else None
        asked = list(dict.fromkeys([*names, *(view.properties if view is not None else ())]))
        found = self._reader.batch(self._objects.type_id(object_name), ids, asked, by=by, kind="reread")
        return [store.seen(r) if store is not None else r for r in found]

    def _canonical(self, object_name: str, records: Sequence[Record], fields: Sequence[WriteField]) -> list[tuple[Record, dict[str, str | None]]]:
        links = [f.names["hubspot"] for f in fields if f.names["hubspot"].startswith(LINK)]
        behind = self._reader.beyond(object_name, [str(r["id"]) for r in records], links, "reread")
        done = []
        for record in records:
            raw = dict(record["properties"]) | {path: values.get(str(record["id"])) for path, values in behind.items()}
            done.append((record, {f.key: canonical(raw.get(f.names["hubspot"]), f) for f in fields}))
        return done

    # --- writing ---------------------------------------------------------------------------------------------------------------------------------
    def write(self, fields: Sequence[WriteField], writes: Sequence[RecordWrite], *, key_field: WriteField | None) -> list[WriteResult]:
        return self._writer.write(fields, writes, key_field)

    # --- set-up ----------------------------------------------------------------------------------------------------------------------------------
    def provision(self, fields: Sequence[WriteField], *, dry_run: bool, say: Callable[[ProvisionStep], None]) -> list[ProvisionStep]:
        try:
            return Provisioner(self._portal, self._objects, self._names, self._stores, self._language).run(fields, dry_run=dry_run, say=say)
        finally:
            self._objects.forget()
            self._stores.forget()


def connect(mapping: CrmMapping, mappings: Mappings, settings: Any, *, waits: Waits | None = None, searches: int = SEARCHES) -> HubSpot:
    """A connection by the settings `hubspot_*`, `quota_*` and `redis_url` (worker.settings). Makes no call."""
    credentials = Credentials(
        token=settings.hubspot_token,
        client_id=settings.hubspot_client_id,
        client_secret=settings.hubspot_client_secret,
        refresh_token=settings.hubspot_refresh_token,
    )
    shared = redis.Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=10) if settings.redis_url else None
    portal = Portal(
        mapping.connection,
        credentials,
        settings.hubspot_api_version,
        budget=Budget(settings.quota_share, settings.quota_reserve),
        url=settings.hubspot_url,
        waits=waits,
        redis=shared,
        window_calls=settings.hubspot_window_calls,
        searches=searches,
    )
    return HubSpot(mapping, portal, language=mappings.writeback.language, csql_fields=mappings.writeback.of("csql"))


def missing_setting(settings: Any) -> str:
    """The variable without which no call can be made; empty = it is set (or OAuth's are)."""
    return "" if settings.hubspot_token or settings.hubspot_refresh_token else "SCORESYNC_HUBSPOT_TOKEN"


def account_id(text: str) -> str:
    """The id of what a person typed; Misfit for what can be no record's id (not repeated: it may be a customer's name)."""
    if not (text.isascii() and text.isdigit()):
        raise Misfit("An account given is no HubSpot id.", remedy="Copy the digits from the company's address.", code="MALFORMED_ID")
    return text
