"""Reads windows and single records: SOQL for little, Bulk 2.0 for much; deleted and merged records included.

A window is read with `queryAll`, ordered by (stamp, Id). The org's own page locators are followed; when one is no longer kept, the query starts
again after the last row read (the keyset), so a page that comes twice is possible and one that is missed is not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from connectors.base import FieldInfo, ReadResult, Window
from connectors.errors import ConnectorError, Misfit, Transient
from connectors.pages import Pages, mapped_fields
from connectors.salesforce import soql
from connectors.salesforce.bulk import BulkQuery, falls_back
from connectors.salesforce.client import HOST, Org
from connectors.salesforce.objects import NO_BULK, Objects, Resolved, SObject
from connectors.salesforce.pages import table_of
from connectors.values import id_18
from mappings.models import Source

#: More rows than this are read by Bulk: 5 pages of 2,000 cost as many calls as a bulk job of that size (create, polls, one result).
BULK_ABOVE = 10_000
#: Ids of one retrieve or re-read (sheet, 2.5).
IDS_PER_CALL = 2000
#: A query that times out is tried on half the window, down to this.
LEAST_WINDOW = timedelta(seconds=2)
_FIRST = datetime(1999, 1, 1, tzinfo=UTC)  # before any org


@dataclass(frozen=True)
class Plan:
    """What to ask an object for. `columns`: page column -> API path."""

    object: SObject
    columns: Mapping[str, str]
    infos: Mapping[str, FieldInfo]
    missing: tuple[str, ...]
    asked: tuple[str, ...]
    filter: str | None

    @property
    def instants(self) -> frozenset[str]:
        return frozenset({"_modified_at"} | {name for name, info in self.infos.items() if info.type == "datetime"})

    @property
    def identity(self) -> list[str]:
        """API names that every SELECT begins with."""
        marks = [m for m in ("IsDeleted", "MasterRecordId") if self.object.has(m)]
        return ["Id", self.object.stamp, *marks]

    @property
    def fields(self) -> list[str]:
        """API paths beyond the identity, each once."""
        known = {name.lower() for name in self.identity}
        return [api for api in dict.fromkeys(self.columns.values()) if api.lower() not in known]

    @property
    def page_columns(self) -> dict[str, str]:
        """Page column -> API path, identity included."""
        marks = {"_deleted": "IsDeleted", "_master_id": "MasterRecordId"}
        own = {"_id": "Id", "_modified_at": self.object.stamp} | {k: v for k, v in marks.items() if self.object.has(v)}
        return own | dict(self.columns)


class Reader:
    """Reads for one org."""

    def __init__(self, org: Org, objects: Objects, bulk_above: int = BULK_ABOVE) -> None:
        self._org, self._objects, self._bulk_above = org, objects, bulk_above
        self._bulk = BulkQuery(org)

    # --- windows ---------------------------------------------------------------------------------------------------------------------------------
    def read(self, source: Source, extra: Sequence[str], window: Window, into: Path, expect_rows: int | None) -> ReadResult:
        """All records of the window as pages. A field that vanishes while reading is dropped, named and read as null."""
        try:
            return self._read(self._plan(source, extra), window, into, expect_rows)
        except Misfit as error:
            if error.code != "INVALID_FIELD":
                raise
            self._objects.forget()
            return self._read(self._plan(source, extra), window, into, expect_rows)

    def _read(self, plan: Plan, window: Window, into: Path, expect_rows: int | None) -> ReadResult:
        bulk_can = plan.object.name.lower() not in NO_BULK
        if expect_rows is None and window.since is None:
            expect_rows = self.count(plan, window)  # a first read is usually large, and an ORDER BY over everything may time out
        if bulk_can and expect_rows is not None and expect_rows > self._bulk_above:
            return self._read_bulk(plan, window, into)
        try:
            return self._read_rest(plan, window, into, give_up=self._bulk_above if bulk_can else None)
        except _TooMany:
            return self._read_bulk(plan, window, into)

    def _read_bulk(self, plan: Plan, window: Window, into: Path) -> ReadResult:
        query = soql.select([*plan.identity, *plan.fields], plan.object.name, self._conditions(plan, window))
        pages = Pages(into, plan.asked)
        try:
            self._bulk.run(query, [*plan.identity, *plan.fields], plan.page_columns, pages)
        except ConnectorError as error:
            if not falls_back(error):
                raise
            return self._read_rest(plan, window, into, give_up=None)
        return self._result(plan, pages, "bulk")

    def _read_rest(self, plan: Plan, window: Window, into: Path, give_up: int | None) -> ReadResult:
        pages = Pages(into, plan.asked)
        for records in self._rows(plan, window, give_up):
            pages.write(table_of(records, plan.page_columns, plan.instants))
        return self._result(plan, pages, "query")

    def count(self, plan: Plan, window: Window) -> int:
        query = soql.select(["Id"], plan.object.name, self._conditions(plan, window)).replace("SELECT Id", "SELECT COUNT()", 1)
        return int(self._query("count", query)["totalSize"])

    def _rows(self, plan: Plan, window: Window, give_up: int | None) -> Iterator[list[dict[str, Any]]]:
        """Pages of records; a window whose query times out is halved."""
        conditions = self._conditions(plan, window)
        groups = soql.split_fields(plan.identity, plan.fields, soql.url_bytes(" ".join(conditions)) + 400)
        if len(groups) > 1:
            yield self._joined(plan, groups, conditions)
            return
        try:
            yield from self._paged(plan, groups[0], conditions, give_up)
        except Transient as error:
            since = window.since or _FIRST
            if error.code != "QUERY_TIMEOUT" or window.until - since <= LEAST_WINDOW:
                raise
            middle = since + (window.until - since) / 2
            middle = middle.replace(microsecond=0)
            yield from self._rows(plan, Window(window.since, middle), None)
            yield from self._rows(plan, Window(middle, window.until), None)

    def _paged(self, plan: Plan, fields: Sequence[str], conditions: Sequence[str], give_up: int | None) -> Iterator[list[dict[str, Any]]]:
        stamp, order = plan.object.stamp, (plan.object.stamp, "Id")
        keyset: list[str] = []
        while True:
            body = self._query("query", soql.select(fields, plan.object.name, [*conditions, *keyset], order))
            if give_up is not None and not keyset and body["totalSize"] > give_up:
                raise _TooMany
            records: list[dict[str, Any]] = []
            try:
                while True:
                    records = body["records"] or records
                    yield body["records"]
                    if body["done"]:
                        return
                    body = self._org.json("query_more", "GET", body["nextRecordsUrl"], base=HOST)
            except Transient as error:
                if error.code != "INVALID_QUERY_LOCATOR" or not records:
                    raise
                seen_at = str(records[-1][stamp]).replace("+0000", "Z")
                keyset = [soql.after(stamp, seen_at, records[-1]["Id"])]

    def _joined(self, plan: Plan, groups: Sequence[Sequence[str]], conditions: Sequence[str]) -> list[dict[str, Any]]:
        """Records whose fields needed several queries, joined by Id.

        A record that changed between them has two stamps and is left out: its newer stamp lies after this window's end, in the next one.
        """
        whole: dict[str, dict[str, Any]] = {}
        torn: set[str] = set()
        for number, fields in enumerate(groups):
            seen: set[str] = set()
            for records in self._paged(plan, fields, conditions, None):
                for record in records:
                    known = whole.get(record["Id"])
                    seen.add(record["Id"])
                    if number == 0:
                        whole[record["Id"]] = record
                    elif known is None or known[plan.object.stamp] != record[plan.object.stamp]:
                        torn.add(record["Id"])
                    else:
                        _merge(known, record)
            torn |= whole.keys() - seen
        return [record for key, record in whole.items() if key not in torn]

    def _conditions(self, plan: Plan, window: Window) -> list[str]:
        return [*([plan.filter] if plan.filter else []), *soql.window(plan.object.stamp, window.since, window.until)]

    # --- single records --------------------------------------------------------------------------------------------------------------------------
    def read_ids(self, source: Source, extra: Sequence[str], ids: Sequence[str], into: Path, by: str) -> ReadResult:
        """The records whose id, or whose field path `by`, is one of `ids`."""
        plan = self._plan(source, extra)
        path = "Id" if by == "_id" else self._must(plan, by)
        pages = Pages(into, plan.asked)
        for records in self._by_values(plan, path, [id_18(i) for i in ids], "query"):
            pages.write(table_of(records, plan.page_columns, plan.instants))
        return self._result(plan, pages, "query")

    def _must(self, plan: Plan, path: str) -> str:
        found = self._objects.resolve(plan.object.name, path)
        if found is None:
            raise Misfit(
                f"{plan.object.name}.{path} is gone or hidden.", remedy="An admin must grant it or correct the mapping.", code="INVALID_FIELD"
            )
        return found.api

    def _by_values(self, plan: Plan, path: str, values: Sequence[str], kind: str) -> Iterator[list[dict[str, Any]]]:
        least = min(len(plan.fields) * 40 + 600, soql.URL_BYTES // 2)
        for part in soql.chunks(path, list(dict.fromkeys(values)), least):
            conditions = [*([plan.filter] if plan.filter else []), soql.among(path, part)]
            groups = soql.split_fields(plan.identity, plan.fields, soql.url_bytes(" ".join(conditions)) + 400)
            if len(groups) > 1:
                yield self._joined(plan, groups, conditions)
            else:
                yield from self._paged(plan, groups[0], conditions, None)

    def retrieve(self, object_name: str, fields: Sequence[str], ids: Sequence[str], kind: str = "reread") -> Iterator[dict[str, Any]]:
        """Records by id, up to 2,000 a call, without URL limits; those that are gone or hidden are left out."""
        for start in range(0, len(ids), IDS_PER_CALL):
            body = {"ids": list(ids[start : start + IDS_PER_CALL]), "fields": ["Id", *fields]}
            found = self._org.json(kind, "POST", f"composite/sobjects/{soql.name(object_name)}", body=body)
            yield from (record for record in found if record is not None)

    def find(self, object_name: str, fields: Sequence[str], key: str, values: Sequence[str], kind: str = "reread") -> Iterator[dict[str, Any]]:
        """Records whose field `key` holds one of the values; deleted ones are not found."""
        reserve = soql.url_bytes(", ".join(fields)) + 300
        for part in soql.chunks(key, values, reserve):
            body = self._query(kind, soql.select(fields, object_name, [soql.among(key, part)]), "query")
            while True:
                yield from body["records"]
                if body["done"]:
                    break
                body = self._org.json(kind, "GET", body["nextRecordsUrl"], base=HOST)

    def ask(self, kind: str, query: str) -> list[dict[str, Any]]:
        """All records of a small query over live records."""
        body = self._query(kind, query, "query")
        records: list[dict[str, Any]] = list(body["records"])
        while not body["done"]:
            body = self._org.json(kind, "GET", body["nextRecordsUrl"], base=HOST)
            records += body["records"]
        return records

    # --- shared ----------------------------------------------------------------------------------------------------------------------------------
    def _plan(self, source: Source, extra: Sequence[str]) -> Plan:
        described = self._objects.get(source.object)
        asked = mapped_fields(source, extra)
        found = {path: self._objects.resolve(source.object, path) for path in asked}
        resolved: dict[str, Resolved] = {path: r for path, r in found.items() if r is not None}
        return Plan(
            described,
            {path: r.api for path, r in resolved.items()},
            {path: r.info for path, r in resolved.items()},
            tuple(path for path, r in found.items() if r is None),
            tuple(asked),
            source.filter,
        )

    def _query(self, kind: str, query: str, resource: str = "queryAll") -> dict[str, Any]:
        body: dict[str, Any] = self._org.json(kind, "GET", f"{resource}/", params={"q": query})
        return body

    def _result(self, plan: Plan, pages: Pages, method: str) -> ReadResult:
        return ReadResult(pages.close(), pages.rows, method, plan.missing)


class _TooMany(Exception):
    """The window holds more rows than a query should read."""


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        kept = into.get(key)
        if isinstance(kept, dict) and isinstance(value, dict):
            _merge(kept, value)
        else:
            into[key] = value
