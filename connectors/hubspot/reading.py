"""Reads windows and single records: lists for everything, search for increments; archived and merged-away records included.

Search shows at most 10,000 results, late, and never the archived (reference sheet, 2.5): it is asked for ids only, a page at a time after the last
id, inside a window that is fixed at the start; values are then read by batch. So neither many changes nor many equal stamps lose a row.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from connectors.base import ReadResult, Window
from connectors.errors import Misfit, NotReachable, Transient
from connectors.hubspot.client import Portal
from connectors.hubspot.links import Links, id_order
from connectors.hubspot.objects import LINK, OWNERS, Objects, ObjectType
from connectors.hubspot.stores import View
from connectors.pages import Pages, mapped_fields
from mappings.models import Source

#: Most of one call (sheet, 2.2, 2.5, 2.6).
LIST_RECORDS, SEARCH_RECORDS, BATCH_RECORDS, OWNER_RECORDS = 100, 200, 100, 500
#: Records of one batch read with property histories (reference sheet, 2).
HISTORY_RECORDS = 50
#: HubSpot fails on large pages of records with long texts (sheet, 11): those pages are halved, down to this.
TOO_MUCH, LEAST_RECORDS = (500, 502, 504), 10
#: Records of one raw page: the inputs of one call for associations.
PAGE_RECORDS = 1000
#: Each increment reaches back this much further than asked: the search index may be that late (sheet, 2.5: 60 s seen).
INDEX_LAG = timedelta(seconds=120)
#: Values of one IN filter, so that a search body stays under 3,000 characters.
SEARCH_VALUES = 100
MERGED = "hs_merged_object_ids"

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What to ask an object type for. `view`: how its records count, where CSQLs share the type with others."""

    type: ObjectType
    asked: tuple[str, ...]
    missing: tuple[str, ...]
    view: View | None = None

    @property
    def paths(self) -> list[str]:
        """Paths there are: of the record itself and over its links."""
        return [path for path in self.asked if path not in self.missing]

    @property
    def own(self) -> list[str]:
        return [path for path in self.paths if not path.startswith(LINK)]


class Reader:
    """Reads for one account."""

    def __init__(self, portal: Portal, objects: Objects, links: Links) -> None:
        self._portal, self._objects, self._links = portal, objects, links

    # --- windows ---------------------------------------------------------------------------------------------------------------------------------
    def read(self, source: Source, extra: Sequence[str], window: Window, into: Path, view: View | None = None) -> ReadResult:
        """All records of the window as pages; a property that is gone is named and read as null (a read would drop it without a word)."""
        plan = self.plan(source, extra, view)
        pages = Pages(into, plan.asked)
        if source.object == OWNERS:
            self._write(plan, pages, self._owners())
        elif window.since is None:
            live = (r for r in self._listed(plan, archived=False) if _instant(r["updatedAt"]) < window.until)
            self._write(plan, pages, live)
            self._write(plan, pages, self._listed(plan, archived=True))
        else:
            since = window.since - INDEX_LAG
            self._write(plan, pages, self._changed(plan, since, window.until))
            gone = (r for r in self._listed(plan, archived=True) if since <= _instant(r.get("archivedAt") or r["updatedAt"]) < window.until)
            self._write(plan, pages, gone)
        return ReadResult(pages.close(), pages.rows, "list" if window.since is None else "query", plan.missing)

    def _listed(self, plan: Plan, *, archived: bool) -> Iterator[Record]:
        """All records by the list: no cap, no index. Archiving stamps nothing, so the archived are found only here (sheet, 4.3)."""
        query: dict[str, Any] = {"limit": LIST_RECORDS, "properties": self._properties(plan)} | ({"archived": True} if archived else {})
        while True:
            try:
                body = self._portal.json("list", lambda hs: hs.crm.objects.basic_api.get_page, plan.type.type_id, query=query)
            except (Transient, NotReachable) as error:
                if error.status not in TOO_MUCH or query["limit"] <= LEAST_RECORDS:
                    raise
                query["limit"] //= 2
                continue
            yield from body["results"]
            after = _after(body)
            if not after:
                return
            query["after"] = after

    def _changed(self, plan: Plan, since: datetime, until: datetime) -> Iterator[Record]:
        stamp = plan.type.stamp
        window = [
            {"propertyName": stamp, "operator": "GTE", "value": _millis(since)},
            {"propertyName": stamp, "operator": "LT", "value": _millis(until)},
        ]
        for ids in self._searched(plan.type, window, "search"):
            yield from self.batch(plan.type.type_id, ids, self._properties(plan))

    def _searched(self, type_: ObjectType, filters: Sequence[Mapping[str, Any]], kind: str) -> Iterator[list[str]]:
        """Pages of ids in their order; only ever the first page, of what comes after the last id."""
        last = "0"
        while True:
            keyset = {"propertyName": "hs_object_id", "operator": "GT", "value": last}
            request = {
                "filterGroups": [{"filters": [*filters, keyset]}],
                "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
                "properties": ["hs_object_id"],
                "limit": SEARCH_RECORDS,
            }
            body = self._portal.json(kind, lambda hs: hs.crm.objects.search_api.do_search, type_.type_id, request, search=True)
            ids = [str(r["id"]) for r in body["results"]]
            if ids:
                yield ids
            if len(ids) < SEARCH_RECORDS:
                return
            last = ids[-1]

    def _owners(self) -> Iterator[Record]:
        """All owners, shaped like records; they have no window."""
        for archived in (False, True):
            query: dict[str, Any] = {"limit": OWNER_RECORDS, "archived": archived}
            while True:
                body = self._portal.json("list", lambda hs: hs.crm.owners.owners_api.get_page, query=query)
                yield from (_owner(raw) for raw in body["results"])
                after = _after(body)
                if not after:
                    break
                query["after"] = after

    # --- single records --------------------------------------------------------------------------------------------------------------------------
    def read_ids(self, source: Source, extra: Sequence[str], ids: Sequence[str], into: Path, by: str, view: View | None = None) -> ReadResult:
        """The records whose id, or whose field path `by`, is one of `ids`."""
        plan = self.plan(source, extra, view)
        pages = Pages(into, plan.asked)
        wanted = list(dict.fromkeys(ids))
        if source.object == OWNERS:
            self._write(plan, pages, (r for r in self._owners() if r["id"] in set(wanted)))
        elif by == "_id":
            self._write(plan, pages, self._by_id(plan, wanted))
        elif by.startswith(LINK):
            found = self._behind(source.object, by, wanted)
            self._write(plan, pages, self.batch(plan.type.type_id, found, self._properties(plan)), keep=(by, frozenset(wanted)))
        else:
            self._write(plan, pages, self._by_value(plan, by, wanted))
        return ReadResult(pages.close(), pages.rows, "query", plan.missing)

    def _by_id(self, plan: Plan, ids: Sequence[str]) -> Iterator[Record]:
        """Archived ones are asked for apart; one that was merged away comes as its survivor."""
        open_ids = set(ids)
        for record in self.batch(plan.type.type_id, ids, self._properties(plan)):
            open_ids -= {str(record["id"]), *merged_ids(record)}
            yield record
        if open_ids:
            yield from self.batch(plan.type.type_id, sorted(open_ids, key=id_order), self._properties(plan), archived=True)

    def _by_value(self, plan: Plan, by: str, values: Sequence[str]) -> Iterator[Record]:
        if by.lower() not in plan.type.fields:
            remedy = "A HubSpot admin must create it, or an admin of scoresync corrects the mapping."
            raise Misfit(f"{plan.type.name}.{by} is gone.", remedy=remedy, code="PROPERTY_DOESNT_EXIST")
        for start in range(0, len(values), SEARCH_VALUES):
            # IN compares text in lower case only (sheet, 2.5)
            among = {"propertyName": by, "operator": "IN", "values": [v.lower() for v in values[start : start + SEARCH_VALUES]]}
            for ids in self._searched(plan.type, [among], "search"):
                yield from self.batch(plan.type.type_id, ids, self._properties(plan))

    def _behind(self, object_name: str, path: str, ids: Sequence[str]) -> list[str]:
        """Ids of the records from which `path` leads to one of `ids`: the associations walked backwards."""
        chain = [object_name, *(part for part in path.split(".") if part + "." != LINK)]
        found = list(ids)
        for near, far in zip(reversed(chain[:-1]), reversed(chain[1:]), strict=True):
            found = sorted({i for near_ids in self._links.every(far, near, found).values() for i in near_ids}, key=id_order)
        return found

    def batch(
        self,
        type_id: str,
        ids: Iterable[str],
        properties: Sequence[str],
        *,
        by: str | None = None,
        kind: str = "batch_read",
        archived: bool = False,
    ) -> Iterator[Record]:
        """Records by id, or by the unique property `by`, in HubSpot's order; those that are gone are left out (they come as errors of a 207)."""
        wanted = list(dict.fromkeys(ids))
        query = {"archived": True} if archived else {}
        for start in range(0, len(wanted), BATCH_RECORDS):
            body: dict[str, Any] = {"inputs": [{"id": i} for i in wanted[start : start + BATCH_RECORDS]], "properties": list(properties)}
            body["propertiesWithHistory"] = []
            if by is not None:
                body["idProperty"] = by
            found = self._portal.json(kind, lambda hs: hs.crm.objects.batch_api.read, type_id, body, query=query)
            yield from found["results"]

    def histories(self, type_id: str, ids: Iterable[str], name: str) -> Iterator[Record]:
        """Records with the history of one property, newest value first."""
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), HISTORY_RECORDS):
            inputs = [{"id": i} for i in wanted[start : start + HISTORY_RECORDS]]
            body = {"inputs": inputs, "properties": [], "propertiesWithHistory": [name]}
            yield from self._portal.json("reread", lambda hs: hs.crm.objects.batch_api.read, type_id, body, query={})["results"]

    def matching(self, type_: ObjectType, filters: Sequence[Mapping[str, Any]], properties: Sequence[str], kind: str) -> list[Record]:
        """Live records of one search call."""
        request = {"filterGroups": [{"filters": list(filters)}], "properties": list(properties), "limit": SEARCH_RECORDS}
        body = self._portal.json(kind, lambda hs: hs.crm.objects.search_api.do_search, type_.type_id, request, search=True)
        found: list[Record] = body["results"]
        return found

    # --- shared ----------------------------------------------------------------------------------------------------------------------------------
    def plan(self, source: Source, extra: Sequence[str], view: View | None = None) -> Plan:
        if source.filter is not None:
            raise Misfit(
                f"The source {source.object} has a filter; HubSpot's lists cannot filter.",
                remedy="An admin of scoresync must drop `filter` and tell the records apart in a column, as `status`.",
            )
        described = self._objects.get(source.object)
        asked = tuple(mapped_fields(source, extra))
        aliases = view.aliases if view is not None else {}
        missing = tuple(path for path in asked if path not in aliases and not self._objects.has(source.object, path))
        return Plan(described, asked, missing, view)

    def _properties(self, plan: Plan) -> list[str]:
        besides = plan.view.properties if plan.view is not None else ()
        return list(dict.fromkeys([*plan.own, *besides, MERGED]))

    def _write(self, plan: Plan, pages: Pages, records: Iterable[Record], keep: tuple[str, frozenset[str]] | None = None) -> None:
        """Records as raw pages. `keep`: a path and the values it must have."""
        part: list[Record] = []
        for record in records:
            seen = plan.view.see(record) if plan.view is not None else record
            if seen is None:
                continue
            part.append(seen)
            if len(part) == PAGE_RECORDS:
                self._page(plan, pages, part, keep)
                part = []
        self._page(plan, pages, part, keep)

    def _page(self, plan: Plan, pages: Pages, records: list[Record], keep: tuple[str, frozenset[str]] | None) -> None:
        if not records:
            return
        beyond = self.beyond(plan.type.name, [str(r["id"]) for r in records if not r["archived"]], [p for p in plan.paths if p.startswith(LINK)])
        if keep is not None:
            records = [r for r in records if beyond.get(keep[0], {}).get(str(r["id"])) in keep[1]]
        aliases = [(old, record) for record in records for old in merged_ids(record)]
        none = [None] * len(aliases)
        columns: dict[str, list[str | None]] = {
            "_id": [*(str(r["id"]) for r in records), *(old for old, _ in aliases)],
            "_modified_at": [*(str(r["updatedAt"]) for r in records), *(str(r["updatedAt"]) for _, r in aliases)],
            "_deleted": [*("true" if r["archived"] else "false" for r in records), *("true" for _ in aliases)],
            "_master_id": [*(None for _ in records), *(str(r["id"]) for _, r in aliases)],
        }
        for path in plan.paths:
            if path.startswith(LINK):
                columns[path] = [*(beyond[path].get(str(r["id"])) for r in records), *none]
            else:
                columns[path] = [*(_text(r["properties"].get(path.lower(), r["properties"].get(path))) for r in records), *none]
        pages.write(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}))

    def beyond(self, object_name: str, ids: Sequence[str], paths: Sequence[str], kind: str = "associations") -> dict[str, dict[str, str | None]]:
        """Values that lie behind links: path -> record id -> value. `kind`: what the calls for associations count as."""
        by_target: dict[str, list[str]] = {}
        for path in paths:
            target, _, rest = path.removeprefix(LINK).partition(".")
            by_target.setdefault(target, []).append(rest)
        found: dict[str, dict[str, str | None]] = {path: {} for path in paths}
        for target, rests in by_target.items() if ids else ():
            link = self._links.one(object_name, target, ids, kind)
            behind = self._behind_values(target, sorted(set(link.values()), key=id_order), [r for r in rests if r])
            for rest in rests:
                path = f"{LINK}{target}" + (f".{rest}" if rest else "")
                found[path] = {i: to if not rest else behind[rest].get(to) for i, to in link.items()}
        return found

    def _behind_values(self, target: str, ids: Sequence[str], rests: Sequence[str]) -> dict[str, dict[str, str | None]]:
        own = [r for r in rests if not r.startswith(LINK)]
        found: dict[str, dict[str, str | None]] = {r: {} for r in own}
        for record in self.batch(self._objects.type_id(target), ids, own) if own else ():
            for name in own:
                found[name][str(record["id"])] = _text(record["properties"].get(name))
        return found | self.beyond(target, ids, [r for r in rests if r.startswith(LINK)])


def merged_ids(record: Record) -> list[str]:
    """Ids that were merged into this record and are not its own."""
    listed = str(record["properties"].get(MERGED) or "")
    return [i for i in dict.fromkeys(part.strip() for part in listed.split(";")) if i and i != str(record["id"])]


def _after(body: Mapping[str, Any]) -> str | None:
    after: str | None = ((body.get("paging") or {}).get("next") or {}).get("after")
    return after


def _owner(raw: Mapping[str, Any]) -> Record:
    name = " ".join(str(raw[n]) for n in ("lastName", "firstName") if raw.get(n)) or raw.get("email")
    teams = [t for t in raw.get("teams") or () if t.get("primary")] or list(raw.get("teams") or ())
    archived = bool(raw.get("archived"))
    # a former owner stays readable: records still name it
    values = {**raw, "name": name, "active": "false" if archived else "true", "team": teams[0].get("name") if teams else None}
    return {"id": str(raw["id"]), "properties": values, "updatedAt": raw["updatedAt"], "archived": False}


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if value is True or value is False:
        return "true" if value else "false"
    return str(value).replace("\x00", "")


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _millis(at: datetime) -> str:
    return str(int(at.timestamp() * 1000))
