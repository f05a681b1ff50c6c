"""REST resources for discovery, describe, single records, retrieve-many, updated and deleted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import quote as url_quote

from connectors.salesforce.sandbox.coerce import RowRefused, converter
from connectors.salesforce.sandbox.describe import global_describe, object_describe, summary
from connectors.salesforce.sandbox.errors import RowError, RowResult, SalesforceError, not_found
from connectors.salesforce.sandbox.ids import to18
from connectors.salesforce.sandbox.routing import Context, Reply, Routes
from connectors.salesforce.sandbox.schema import FieldDef, ObjectDef, column_sql, quote
from connectors.salesforce.sandbox.state import STAMP, State
from connectors.salesforce.sandbox.values import out
from connectors.salesforce.sandbox.write_plan import chunks, external_field, marks

SEASONS = ("Spring", "Summer", "Winter")
FORBIDDEN = {"INSUFFICIENT_ACCESS_OR_READONLY": 403, "STORAGE_LIMIT_EXCEEDED": 403, "ENTITY_IS_DELETED": 404, "NOT_FOUND": 404}
UPDATED_DAYS, DELETED_DAYS = 30, 15


def register(routes: Routes) -> None:
    """Adds the paths of this area."""
    routes.add("GET", "/services/data", versions, kind="versions", counted=False, login=False)
    routes.add("GET", "", resources, kind="resources")
    routes.add("GET", "limits", limits, kind="limits")
    routes.add("GET", "sobjects", sobjects, kind="describe_global")
    routes.add("GET", "sobjects/{object}/describe", describe, kind="describe")
    routes.add("GET", "sobjects/{object}/updated", updated, kind="updated")
    routes.add("GET", "sobjects/{object}/deleted", deleted, kind="deleted")
    routes.add("GET", "sobjects/{object}", basic, kind="describe_basic")
    routes.add("POST", "sobjects/{object}", create, kind="record_create")
    routes.add("GET", "sobjects/{object}/{id}", get, kind="record_get")
    routes.add("PATCH", "sobjects/{object}/{id}", update, kind="record_update")
    routes.add("DELETE", "sobjects/{object}/{id}", delete, kind="record_delete")
    routes.add("GET", "sobjects/{object}/{field}/{value}", get_external, kind="record_get")
    routes.add("PATCH", "sobjects/{object}/{field}/{value}", upsert, kind="record_upsert")
    routes.add("DELETE", "sobjects/{object}/{field}/{value}", delete_external, kind="record_delete")
    routes.add("GET", "composite/sobjects/{object}", retrieve, kind="collections_retrieve")
    routes.add("POST", "composite/sobjects/{object}", retrieve, kind="collections_retrieve")


# -- discovery ----------------------------------------------------------------------------------------------------------


def versions(context: Context) -> Reply:
    """`GET /services/data/`: oldest first; not counted, no login."""
    rows = []
    for number in range(31, 68):
        # Three releases a year; v58 is Summer '23, v59 Winter '24, v60 Spring '24.
        label = f"{SEASONS[number % 3]} '{(number + 1) // 3 + 4:02d}"
        rows.append({"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"})
    return Reply(rows)


def resources(context: Context) -> Reply:
    """`GET /services/data/vXX.X/`."""
    names = ("composite", "jobs", "limits", "query", "queryAll", "sobjects", "tooling")
    return Reply({name: f"/services/data/v{context.version}/{name}" for name in names})


def limits(context: Context) -> Reply:
    """`GET limits`."""
    from connectors.salesforce.sandbox.http import daily_limit

    state = context.state
    top, used = daily_limit(state), state.side.usage(state.now().timestamp())
    counters = state.side.counters()
    fixed = {
        "ConcurrentAsyncGetReportInstances": (200, 200), "DailyAsyncApexExecutions": (250000, 250000), "DataStorageMB": (10240, 10000),
        "FileStorageMB": (10240, 10000), "HourlyPublishedPlatformEvents": (50000, 50000), "SingleEmail": (5000, 5000), "MassEmail": (5000, 5000),
    }  # fmt: skip
    answer = {name: {"Max": high, "Remaining": left} for name, (high, left) in fixed.items()}
    answer["DailyApiRequests"] = {"Max": top, "Remaining": max(0, top - used)}
    answer["DailyBulkApiBatches"] = {"Max": 15000, "Remaining": max(0, 15000 - counters.get("bulk_batches", 0))}
    answer["DailyBulkV2QueryJobs"] = {"Max": 10000, "Remaining": max(0, 10000 - counters.get("bulk_query_create", 0))}
    answer["DailyBulkV2QueryFileStorageMB"] = {"Max": 976562, "Remaining": 976562}
    return Reply(dict(sorted(answer.items())))


def sobjects(context: Context) -> Reply:
    """`GET sobjects`."""
    return _unless_modified(context, lambda: global_describe(context.state, context.user, context.version))


def describe(context: Context) -> Reply:
    """`GET sobjects/X/describe`, with `If-Modified-Since`."""
    item = _object(context)
    return _unless_modified(context, lambda: object_describe(context.state, item, context.user, context.version))


def _unless_modified(context: Context, build: Any) -> Reply:
    exact = context.state.schema_changed()
    changed = exact.replace(microsecond=0)
    if (context.state.now() - exact).total_seconds() < 1:
        # More may change within this second: what is answered now must not pass for current later.
        changed -= timedelta(seconds=1)
    since = context.headers.get("if-modified-since")
    headers = {"Last-Modified": format_datetime(changed, usegmt=True)}
    if since:
        try:
            if parsedate_to_datetime(since) >= exact.replace(microsecond=0):
                return Reply(None, 304, headers)
        except (TypeError, ValueError):
            raise SalesforceError("INVALID_DATE_FORMAT", f"If-Modified-Since is no HTTP date: {since}") from None
    return Reply(build(), headers=headers)


def _object(context: Context) -> ObjectDef:
    try:
        return context.state.object_for(context.path["object"], context.user)
    except SalesforceError:
        raise not_found() from None


def basic(context: Context) -> Reply:
    """`GET sobjects/X`."""
    return Reply({"objectDescribe": summary(_object(context), context.version), "recentItems": []})


# -- single records --------------------------------------------------------------------------------------------------------


def create(context: Context) -> Reply:
    """`POST sobjects/X`."""
    item = _object(context)
    result = context.state.write_records(item.name, "insert", [context.json_object()], user=context.user)[0]
    raise_for(result)
    location = f"/services/data/v{context.version}/sobjects/{item.name}/{result.id}"
    return Reply({"id": result.id, "success": True, "errors": []}, 201, {"Location": location})


def _record_id(context: Context, item: ObjectDef) -> str:
    raw = context.path["id"]
    found = to18(raw)
    if found is None:
        raise not_found()
    if found[:3] != item.key_prefix:
        raise SalesforceError("MALFORMED_ID", f"{item.label} ID: id value of incorrect type: {raw}", fields=("Id",))
    return found


def get(context: Context) -> Reply:
    """`GET sobjects/X/{id}?fields=`."""
    item = _object(context)
    return Reply(_read_one(context, item, _record_id(context, item)))


def _read_one(context: Context, item: ObjectDef, record_id: str) -> dict[str, Any]:
    columns = _columns(context, item, context.params.get("fields"))
    if not any(column.key == "isdeleted" for column in item.fields.values()):
        raise not_found()
    found = fetch(context.state, item, columns, [record_id], context.version)
    if record_id not in found:
        raise not_found()
    if context.state.read(f'SELECT "IsDeleted" FROM {quote(item.name)} WHERE "Id" = ?', (record_id,))[0][0]:
        raise SalesforceError("ENTITY_IS_DELETED", "entity is deleted", status=404)
    return found[record_id]


def _columns(context: Context, item: ObjectDef, names: str | Sequence[str] | None) -> list[FieldDef]:
    visible = context.state.visible_fields(item.name, context.user)
    if not names:
        return [column for key, column in item.fields.items() if key in visible]
    chosen = []
    for name in names.split(",") if isinstance(names, str) else names:
        column = item.get(name.strip())
        if column is None or column.key not in visible:
            message = (
                f"No such column '{name.strip()}' on entity '{item.name}'. If you are attempting to use a custom field, be sure to append the '__c' "
                "after the custom field name. Please reference your WSDL or the describe call for the appropriate names."
            )
            raise SalesforceError("INVALID_FIELD", message)
        chosen.append(column)
    return chosen


def fetch(state: State, item: ObjectDef, columns: list[FieldDef], ids: Sequence[str], version: str) -> dict[str, dict[str, Any]]:
    """Records by id as REST JSON (deleted ones too)."""
    selected = ", ".join(column_sql(column, "t") for column in columns)
    found: dict[str, dict[str, Any]] = {}
    for part in chunks(ids):
        sql = f'SELECT "t"."Id", {selected} FROM {quote(item.name)} AS "t" WHERE "t"."Id" IN ({marks(len(part))})'
        for record_id, *values in state.read(sql, tuple(part)):
            row: dict[str, Any] = {"attributes": {"type": item.name, "url": f"/services/data/v{version}/sobjects/{item.name}/{record_id}"}}
            row.update((column.name, out(column, value)) for column, value in zip(columns, values, strict=True))
            found[record_id] = row
    return found


def update(context: Context) -> Reply:
    """`PATCH sobjects/X/{id}`: 204; `Id` in the body is refused."""
    item = _object(context)
    record_id = _record_id(context, item)
    sent = context.json_object()
    if any(key.lower() == "id" for key in sent):
        raise SalesforceError("INVALID_FIELD", "The Id field should not be specified in the sobject data.")
    result = context.state.write_records(item.name, "update", [{**sent, "Id": record_id}], user=context.user)[0]
    _raise_for_id(result, context.path["id"])
    return Reply(None, 204)


def delete(context: Context) -> Reply:
    """`DELETE sobjects/X/{id}`: 204."""
    item = _object(context)
    result = context.state.write_records(item.name, "delete", [{"Id": _record_id(context, item)}], user=context.user)[0]
    _raise_for_id(result, context.path["id"])
    return Reply(None, 204)


def _raise_for_id(result: RowResult, shown: str) -> None:
    if result.errors and result.errors[0].code == "INVALID_CROSS_REFERENCE_KEY" and not result.errors[0].fields:
        raise SalesforceError("NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {shown}", status=404)
    raise_for(result)


def raise_for(result: RowResult) -> None:
    """Turns a refused row of a single-record call into its HTTP answer."""
    if not result.success:
        first: RowError = result.errors[0]
        raise SalesforceError(first.code, first.message, status=FORBIDDEN.get(first.code, 400), fields=first.fields)


# -- by external id -----------------------------------------------------------------------------------------------------------


def _matches(context: Context, item: ObjectDef) -> list[str]:
    column = external_field(item, context.path["field"])
    if column is None or column.key not in context.state.visible_fields(item.name, context.user):
        raise not_found()
    try:
        value = converter(column, "csv")(context.path["value"])
    except RowRefused as refused:
        raise SalesforceError(refused.error.code, refused.error.message, fields=refused.error.fields) from None
    sql = f'SELECT "Id" FROM {quote(item.name)} WHERE {quote(column.name)} = ? AND "IsDeleted" = 0 ORDER BY "Id" LIMIT 100'
    return [row[0] for row in context.state.read(sql, (value,))]


def _several(context: Context, item: ObjectDef, ids: list[str]) -> Reply:
    return Reply([f"/services/data/v{context.version}/sobjects/{item.name}/{record_id}" for record_id in ids], 300)


def get_external(context: Context) -> Reply:
    """`GET sobjects/X/{field}/{value}`: 300 with several matches."""
    item = _object(context)
    ids = _matches(context, item)
    if len(ids) > 1:
        return _several(context, item, ids)
    if not ids:
        raise not_found()
    return Reply(_read_one(context, item, ids[0]))


def upsert(context: Context) -> Reply:
    """`PATCH sobjects/X/{field}/{value}`: 201 created, 200 updated (204 before v46), 300 with several matches."""
    item = _object(context)
    ids = _matches(context, item)
    if len(ids) > 1:
        return _several(context, item, ids)
    field, sent = context.path["field"], context.json_object()
    if any(key.lower() == field.lower() for key in sent):
        raise SalesforceError("INVALID_FIELD", f"The {field} field should not be specified in the sobject data.")
    only = context.params.get("updateOnly", "").lower() == "true"
    row = {**sent, field: context.path["value"]}
    result = context.state.write_records(item.name, "upsert", [row], external_id_field=field, user=context.user, update_only=only)[0]
    raise_for(result)
    body: dict[str, Any] = {"id": result.id, "success": True, "errors": [], "created": result.created}
    if result.created:
        return Reply(body, 201, {"Location": f"/services/data/v{context.version}/sobjects/{item.name}/{url_quote(str(result.id))}"})
    return Reply(body) if float(context.version) >= 46 else Reply(None, 204)


def delete_external(context: Context) -> Reply:
    """`DELETE sobjects/X/{field}/{value}`."""
    item = _object(context)
    ids = _matches(context, item)
    if len(ids) > 1:
        return _several(context, item, ids)
    if not ids:
        raise not_found()
    raise_for(context.state.write_records(item.name, "delete", [{"Id": ids[0]}], user=context.user)[0])
    return Reply(None, 204)


# -- many records ---------------------------------------------------------------------------------------------------------------


def retrieve(context: Context) -> Reply:
    """`GET|POST composite/sobjects/X`: up to 2,000 records in order, null for what is missing."""
    item = _object(context)
    if context.method == "POST":
        body: dict[str, Any] = context.json_object()
        ids, names = body.get("ids"), body.get("fields")
    else:
        ids, names = context.params.get("ids", "").split(","), context.params.get("fields", "").split(",")
    if not isinstance(ids, list) or not isinstance(names, list) or not ids or not names or names == [""]:
        raise SalesforceError("REQUIRED_FIELD_MISSING", "The ids and fields must be given")
    if len(ids) > 2000:
        raise SalesforceError("EXCEEDED_ID_LIMIT", "record limit reached. cannot retrieve more than 2000 records in this call")
    wanted = [_own_id(item, raw) for raw in ids]
    columns = _columns(context, item, names)
    if not any(column.key == "id" for column in columns):
        columns = [item.fields["id"], *columns]
    found = fetch(context.state, item, [*columns, item.fields["isdeleted"]], [key for key in wanted if key], context.version)
    asked = any(column.key == "isdeleted" for column in columns)
    return Reply([_live(found.get(key or ""), asked) for key in wanted])


def _own_id(item: ObjectDef, raw: Any) -> str | None:
    found = to18(raw.strip()) if isinstance(raw, str) else None
    if found is None or found[:3] != item.key_prefix:
        raise SalesforceError("MALFORMED_ID", f"{item.label} ID: id value of incorrect type: {raw}", fields=("Id",))
    return found


def _live(row: dict[str, Any] | None, keep_flag: bool) -> dict[str, Any] | None:
    if row is None or row["IsDeleted"]:
        return None
    return row if keep_flag else {key: value for key, value in row.items() if key != "IsDeleted"}


# -- replication ------------------------------------------------------------------------------------------------------------------


def _window(context: Context, days: int) -> tuple[datetime, datetime]:
    moments = []
    for name in ("start", "end"):
        text = context.params.get(name, "").replace(" ", "+").replace("Z", "+00:00")
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = datetime.min
        if moment.tzinfo is None:
            raise SalesforceError("INVALID_DATE_FORMAT" if text else "MISSING_ARGUMENT", f"{name}: not a date and time with time zone: {text}")
        moments.append(moment.astimezone(UTC).replace(second=0, microsecond=0))  # seconds are ignored
    start, end = moments
    if start >= end:
        raise SalesforceError("INVALID_REPLICATION_DATE", "startDate must be before endDate and they must be at least one minute apart")
    if start < context.state.now() - timedelta(days=days):
        raise SalesforceError("INVALID_REPLICATION_DATE", f"startDate must be no more than {days} days ago")
    return start, end


def updated(context: Context) -> Reply:
    """`GET sobjects/X/updated/?start=&end=`: live records whose SystemModstamp lies in the window."""
    item = _object(context)
    start, end = _window(context, UPDATED_DAYS)
    sql = f'SELECT "Id" FROM {quote(item.name)} WHERE "SystemModstamp" >= ? AND "SystemModstamp" < ? AND "IsDeleted" = 0 LIMIT 600001'
    ids = [row[0] for row in context.state.read(sql, (start.strftime(STAMP), end.strftime(STAMP)))]
    if len(ids) > 600_000:
        raise SalesforceError("EXCEEDED_ID_LIMIT", "the result is larger than 600000 ids")
    return Reply({"ids": ids, "latestDateCovered": _covered(context, end)})


def deleted(context: Context) -> Reply:
    """`GET sobjects/X/deleted/?start=&end=`: from the recycle bin and from the log of purged records."""
    item = _object(context)
    start, end = _window(context, DELETED_DAYS)
    span = (start.strftime(STAMP), end.strftime(STAMP))
    sql = f'SELECT "Id", "SystemModstamp" FROM {quote(item.name)} WHERE "IsDeleted" = 1 AND "SystemModstamp" >= ? AND "SystemModstamp" < ?'
    rows = context.state.read(sql, span) + context.state.read(
        "SELECT id, deleted FROM sb_purged WHERE object = ? AND deleted >= ? AND deleted < ?", (item.name, *span)
    )
    earliest = (context.state.now() - timedelta(days=DELETED_DAYS)).replace(second=0).strftime(STAMP)
    records = [{"id": record_id, "deletedDate": stamp} for record_id, stamp in rows]
    return Reply({"deletedRecords": records, "earliestDateAvailable": earliest, "latestDateCovered": _covered(context, end)})


def _covered(context: Context, end: datetime) -> str:
    return min(end, context.state.now().replace(second=0, microsecond=0)).strftime(STAMP)
