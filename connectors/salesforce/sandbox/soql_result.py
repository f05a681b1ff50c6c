"""Runs a statement: REST JSON rows, pages with locators, and the flat rows of Bulk CSV."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from connectors.salesforce.sandbox.errors import SalesforceError
from connectors.salesforce.sandbox.schema import ObjectDef
from connectors.salesforce.sandbox.soql import parse
from connectors.salesforce.sandbox.soql_scope import Compilation
from connectors.salesforce.sandbox.soql_sql import Cell, Node, Plan, compile_query
from connectors.salesforce.sandbox.state import LOCATOR_LIFE, State, User

PAGE = 2_000  # records per REST page (vendor default and maximum)
SMALLEST_PAGE = 200
ID_BYTES = 18
_CHUNK = 500  # ids per IN list while a page is fetched


class Org:
    """What the compiler may know of the org for one user (soql_scope.Catalogue)."""

    def __init__(self, state: State, user: User) -> None:
        self._state = state
        self._objects = state.objects
        self._grants = state.grants(user)
        self.user_id = user.id

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self._state.timezone)

    @cached_property
    def today(self) -> date:
        return self._state.now().astimezone(self.zone).date()

    @cached_property
    def fiscal_start(self) -> int:
        rows = self._state.read('SELECT "FiscalYearStartMonth" FROM "Organization" LIMIT 1')
        return int(rows[0][0] or 1) if rows else 1

    def object(self, name: str) -> ObjectDef | None:
        found = self._objects.get(name.lower())
        return found if found is not None and self._grants.can_read(found) else None

    def visible(self, item: ObjectDef) -> frozenset[str]:
        return self._grants.visible(item)


@dataclass(frozen=True, slots=True)
class QueryResult:
    """A whole answer: `total_size` counts rows (for COUNT() the count itself), `records` are REST JSON rows."""

    total_size: int
    records: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        return {"totalSize": self.total_size, "done": True, "records": self.records}


def prepare(state: State, user: User, soql: str, *, all_rows: bool = False) -> Plan:
    """Parses and compiles a statement for a user; raises SoqlError."""
    return compile_query(Compilation(Org(state, user), soql, all_rows), parse(soql))


def execute(state: State, user: User, soql: str, *, all_rows: bool = False, api_path: str) -> QueryResult:
    """Every row at once, without paging (composite subrequests, tests, small set-up objects). `api_path` is `/services/data/vXX.X`."""
    plan = prepare(state, user, soql, all_rows=all_rows)
    state.settle()
    if plan.counts:
        return QueryResult(int(state.read(plan.count_sql(), plan.params)[0][0]), [])
    rows = state.read(plan.sql(), plan.params)
    records = _Rows(state, plan, api_path).records(rows)
    return QueryResult(len(records), records)


def first_page(state: State, user: User, soql: str, *, all_rows: bool = False, api_path: str, page_size: int = PAGE) -> dict[str, Any]:
    """The JSON answer to `query?q=` or `queryAll?q=`: a longer result keeps its ids beside the state and continues at `nextRecordsUrl`."""
    plan = prepare(state, user, soql, all_rows=all_rows)
    state.settle()
    if plan.counts:
        return QueryResult(int(state.read(plan.count_sql(), plan.params)[0][0]), []).as_json()
    _refuse_slow(state, plan)
    size = max(SMALLEST_PAGE, min(PAGE, page_size))
    rows = state.read(plan.sql(limit=size + 1), plan.params)
    if len(rows) <= size:
        records = _Rows(state, plan, api_path).records(rows)
        return QueryResult(len(records), records).as_json()
    if plan.aggregate:
        message = "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"
        raise SalesforceError("EXCEEDED_ID_LIMIT", message)
    locator, total = _keep_ids(state, user, plan, soql, all_rows)
    return _page(state, user, locator, 0, api_path, size, total)


def _refuse_slow(state: State, plan: Plan) -> None:
    """The `slow_query` fault: what finds too many records runs too long, so that a client has to ask for less."""
    name = plan.scope.object.name
    limits = [
        int(rule["max_rows"])
        for _, rule in state.faults.rules()
        if rule["kind"] == "slow_query" and str(rule.get("object", name)).lower() == name.lower()
    ]
    if limits and int(state.read(plan.count_sql(), plan.params)[0][0]) > min(limits) and state.faults.take("slow_query", object=name):
        raise SalesforceError("QUERY_TIMEOUT", "Your query request was running for too long.")


def next_page(state: State, user: User, locator: str, *, api_path: str, page_size: int = PAGE) -> dict[str, Any]:
    """The JSON answer to `query/<01g…>-<offset>`; INVALID_QUERY_LOCATOR when unknown, expired or of another user."""
    state.settle()
    key, dash, offset = locator.rpartition("-")
    if not dash or not offset.isdigit():
        raise SalesforceError("INVALID_QUERY_LOCATOR", "invalid query locator")
    total = int(state.load_locator(key, user)["total"])
    if int(offset) >= total:
        raise SalesforceError("INVALID_QUERY_LOCATOR", "invalid query locator")
    return _page(state, user, key, int(offset), api_path, max(SMALLEST_PAGE, min(PAGE, page_size)), total)


def _keep_ids(state: State, user: User, plan: Plan, soql: str, all_rows: bool) -> tuple[str, int]:
    """Writes the ids of the result, in order, to a file; pages read the records anew, so that they show later changes as the vendor's do."""
    folder = Path(f"{state.path}-cursors")
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():  # what no locator reads any more
        with suppress(FileNotFoundError):
            if old.stat().st_mtime < time.time() - LOCATOR_LIFE:
                old.unlink()
    ids = [row[0] for row in state.read(plan.sql([plan.columns[0]]), plan.params)]
    locator = state.save_locator(user, {"soql": soql, "all_rows": all_rows, "total": len(ids)})
    temporary = folder / f"{locator}.new"
    temporary.write_bytes("".join(ids).encode())
    temporary.rename(folder / locator)
    return locator, len(ids)


def _page(state: State, user: User, locator: str, offset: int, api_path: str, size: int, total: int) -> dict[str, Any]:
    kept = state.load_locator(locator, user)
    with (Path(f"{state.path}-cursors") / locator).open("rb") as file:
        file.seek(offset * ID_BYTES)
        text = file.read(size * ID_BYTES).decode()
    ids = [text[start : start + ID_BYTES] for start in range(0, len(text), ID_BYTES)]
    plan = prepare(state, user, kept["soql"], all_rows=kept["all_rows"])
    rows = fetch_by_id(state, plan, ids)
    body: dict[str, Any] = {"totalSize": total, "done": offset + len(ids) >= total}
    if not body["done"]:
        body["nextRecordsUrl"] = f"{api_path}/query/{locator}-{offset + len(ids)}"
    body["records"] = _Rows(state, plan, api_path).records(rows)
    return body


def fetch_by_id(state: State, plan: Plan, ids: Sequence[str]) -> list[tuple[Any, ...]]:
    """The plan's columns for these records in this order; records gone meanwhile are left out."""
    found: dict[str, tuple[Any, ...]] = {}
    live = "" if plan.scope.compilation.all_rows or plan.scope.object.get("IsDeleted") is None else f' AND {plan.scope.alias}."IsDeleted" = 0'
    bare = Plan(plan.scope, plan.columns, "1" + live, [], plan.root)
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        extra = f' AND {plan.scope.alias}."Id" IN ({",".join("?" * len(chunk))})'
        found.update((row[0], row) for row in state.read(bare.sql(extra=extra), list(chunk)))
    return [found[key] for key in ids if key in found]


class _Rows:
    """SQL rows → REST JSON rows."""

    def __init__(self, state: State, plan: Plan, api_path: str) -> None:
        self._state = state
        self._plan = plan
        self._api_path = api_path
        self._by_prefix = {item.key_prefix: item.name for item in state.objects.values()}

    def records(self, rows: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
        root = self._plan.root
        if root is None:
            return [self._aggregate(row) for row in rows]
        return [self._record(root, row) for row in rows]

    def _aggregate(self, row: tuple[Any, ...]) -> dict[str, Any]:
        return {"attributes": {"type": "AggregateResult"}} | {cell.key: json_value(cell, row[cell.index]) for cell in self._plan.cells}

    def _record(self, node: Node, row: tuple[Any, ...]) -> dict[str, Any]:
        record_id = row[node.id_index]
        actual = node.target.name if node.target is not None else self._by_prefix.get(record_id[:3], "Name")
        shown = actual if node.target is not None or node.typed is not None else "Name"
        record: dict[str, Any] = {"attributes": {"type": shown, "url": f"{self._api_path}/sobjects/{actual}/{record_id}"}}
        for key, entry in node.entries:
            if isinstance(entry, Cell):
                record[key] = json_value(entry, row[entry.index])
            elif isinstance(entry, Node):
                record[key] = None if row[entry.id_index] is None else self._record(entry, row)
            else:
                record[key] = self._children(entry, record_id)
        if node.typed is not None:
            cells = node.typed.by_type.get(actual.lower(), node.typed.otherwise)
            record.update((cell.key, json_value(cell, row[cell.index])) for cell in cells)
        return record

    def _children(self, plan: Plan, parent_id: str) -> dict[str, Any] | None:
        rows = self._state.read(plan.sql(), [parent_id, *plan.params])
        if not rows:
            return None
        return QueryResult(len(rows), _Rows(self._state, plan, self._api_path).records(rows)).as_json()


def json_value(cell: Cell, value: Any) -> Any:
    """One stored value as the REST API writes it."""
    kind = cell.value.type
    if kind == "boolean":
        return bool(value)
    if value is None:
        return None
    if cell.value.format:
        return formatted(kind, value)
    if kind in ("double", "currency", "percent") and isinstance(value, int):
        return float(value)
    return value


def formatted(kind: str, value: Any) -> str:
    """FORMAT(): numbers with thousands separators, dates as month/day/year (the en_US form, whatever the user's locale)."""
    if kind in ("int", "double", "currency", "percent"):
        return f"{value:,}"
    if kind == "date":
        day = date.fromisoformat(value)
        return f"{day.month}/{day.day}/{day.year}"
    if kind == "datetime":
        moment = datetime.fromisoformat(value)
        return f"{moment.month}/{moment.day}/{moment.year}, {moment:%I:%M %p}".replace(" 0", " ")
    return str(value)


def csv_headers(plan: Plan) -> list[str]:
    """Column names of a Bulk result, in SELECT order (`Account.Name` for a parent's field)."""
    return [name for name, _ in plan.headers]


def csv_rows(state: State, plan: Plan, size: int = 2_000) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a Bulk result in lists of `size`, streamed: booleans `true`/`false`, datetimes with `Z`, None where empty."""
    return state.stream(plan.sql([_csv_sql(cell) for _, cell in plan.headers]), plan.params, size)


def _csv_sql(cell: Cell) -> str:
    sql = cell.value.sql
    if cell.value.type == "boolean":
        return f"CASE {sql} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END"
    if cell.value.type == "datetime":
        return f"substr({sql}, 1, 23) || 'Z'"
    return sql
