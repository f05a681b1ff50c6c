"""Imports: CSV files of new values for many records at once (reference: section 8.1). Excel files end as FAILED."""

from __future__ import annotations

import csv
import io
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import orjson

from connectors.hubspot.sandbox import records
from connectors.hubspot.sandbox.errors import HubSpotError, bad_json, resource_not_found
from connectors.hubspot.sandbox.routing import Context, Reply, Routes
from connectors.hubspot.sandbox.types import ObjectType
from connectors.hubspot.sandbox.values import iso
from connectors.hubspot.sandbox.writes import Row, Writer

JSON = dict[str, Any]
CHUNK = 500
MOST_ROWS = 1_048_576
CODES = {
    "PROPERTY_DOESNT_EXIST": "PROPERTY_DEFINITION_NOT_FOUND", "INVALID_INTEGER": "COULD_NOT_PARSE_NUMBER", "INVALID_DATE": "COULD_NOT_PARSE_DATE",
    "INVALID_LONG": "COULD_NOT_PARSE_DATE", "INVALID_OPTION": "INVALID_ENUMERATION_OPTION", "INVALID_EMAIL": "INVALID_EMAIL",
}  # fmt: skip


class _Run:
    """One file on its way into one object type."""

    def __init__(self, context: Context, kind: ObjectType, mapping: list[JSON], operation: str) -> None:
        self.context = context
        self.kind = kind
        self.mapping = mapping
        self.operation = operation
        self.errors: list[JSON] = []
        self.counters = dict.fromkeys(("TOTAL_ROWS", "UPDATED_OBJECTS", "CREATED_OBJECTS", "PROPERTY_VALUES_EMITTED", "ERRORS"), 0)

    def add(self, lines: list[tuple[int, list[str]]]) -> None:
        """Writes one piece of the file in a transaction of its own."""
        state = self.context.state
        self.counters["TOTAL_ROWS"] += len(lines)
        good = [(number, cells) for number, cells in lines if self._counts(number, cells)]
        with state.transaction():
            keys = [self._key(cells) for _, cells in good]
            found = self._find([key for key in keys if key])
            writer = Writer(self.context, self.kind)
            planned = []
            for (number, cells), key in zip(good, keys, strict=True):
                row = self._plan(writer, number, cells, key, found)
                if row is not None:
                    planned.append((number, cells, row))
            self._report(planned)
            writer.write([row for _, _, row in planned if row.error is None])

    def _counts(self, number: int, cells: list[str]) -> bool:
        if len(cells) != len(self.mapping):
            self._error(number, cells, "INCORRECT_NUMBER_OF_COLUMNS", f"{len(cells)} columns instead of {len(self.mapping)}")
            return False
        return True

    def _key(self, cells: list[str]) -> tuple[str, str]:
        for column, cell in zip(self.mapping, cells, strict=True):
            kind = column.get("columnType")
            if kind in ("HUBSPOT_OBJECT_ID", "HUBSPOT_ALTERNATE_ID"):
                return str(column.get("propertyName") or "") if kind == "HUBSPOT_ALTERNATE_ID" else "", cell.strip()
        return "", ""

    def _find(self, keys: list[tuple[str, str]]) -> dict[tuple[str, str], records.Record]:
        state = self.context.state
        numbers: dict[tuple[str, str], int] = {}
        for name in {name for name, _ in keys}:
            texts = [text for given, text in keys if given == name and text]
            known = records.ids_by(state, self.kind, name, texts) if name else {text: records.number_of(text) for text in texts}
            numbers |= {(name, text): number for text, number in known.items() if number is not None}
        found = records.fetch(state, self.kind, list(numbers.values()))
        return {key: found[number] for key, number in numbers.items() if number in found}

    def _plan(self, writer: Writer, number: int, cells: list[str], key: tuple[str, str], found: dict[tuple[str, str], records.Record]) -> Row | None:
        values = {str(column["propertyName"]): cell for column, cell in zip(self.mapping, cells, strict=True) if column.get("propertyName")}
        row = Row({"properties": values})
        record = found.get(key)
        if key[1] and not key[0] and (record is None or record.archived):
            self._error(number, cells, "INVALID_OBJECT_ID", f"{key[1]} is no live record")
            return None
        if record is None and self.operation == "UPDATE":
            self._error(number, cells, "UPDATE_ONLY_IMPORT", "the record does not exist")
            return None
        if record is not None and self.operation != "CREATE":
            if key[0]:
                values.pop(key[0], None)
            writer.plan_update(row, record)
        else:
            writer.plan_create(row)
        return row

    def _report(self, planned: list[tuple[int, list[str], Row]]) -> None:
        for number, cells, row in planned:
            if row.error is not None:
                code = CODES.get(row.error.values[0].code, "UNKNOWN_ERROR") if row.error.values else "UNKNOWN_ERROR"
                self._error(number, cells, code, row.error.values[0].message if row.error.values else row.error.message)
                continue
            self.counters["CREATED_OBJECTS" if row.new else "UPDATED_OBJECTS"] += 1
            self.counters["PROPERTY_VALUES_EMITTED"] += len(row.changes)

    def _error(self, number: int, cells: list[str], code: str, message: str) -> None:
        self.counters["ERRORS"] += 1
        source = {"containsEncryptedProperties": False, "fileId": 1, "lineNumber": number, "rowData": cells}
        self.errors.append(
            {
                "id": str(len(self.errors) + 1), "createdAt": self.context.state.now_ms(), "errorType": code, "errorMessage": message,
                "objectTypeId": self.kind.id, "sourceData": source,
            }
        )  # fmt: skip


def parts_of(context: Context) -> tuple[JSON, dict[str, bytes]]:
    """The import request and the files by name; raises 400."""
    kind = context.headers.get("content-type", "")
    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + context.body)
    request: JSON = {}
    files: dict[str, bytes] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        content = part.get_payload(decode=True)
        data = content if isinstance(content, bytes) else b""
        name = part.get_param("name", header="content-disposition")
        if name == "importRequest":
            try:
                request = orjson.loads(data)
            except orjson.JSONDecodeError as error:
                raise bad_json(str(error)) from None
        elif name == "files":
            files[part.get_filename() or ""] = data
    if not request.get("files") or not files:
        raise HubSpotError(400, "An import needs the parts importRequest and files.")
    return request, files


def create(context: Context) -> Reply:
    """`POST /crm/v3/imports/`: the rows are written at once, the state says DONE after `import_seconds`."""
    request, files = parts_of(context)
    context.source = "IMPORT"
    state = context.state
    started = state.now_ms()
    errors: list[JSON] = []
    counters: dict[str, int] = {}
    final, kinds = "DONE", []
    for entry in request["files"]:
        run = _run_of(context, request, entry)
        kinds.append(run.kind.id)
        content = files.get(str(entry.get("fileName")))
        if content is None or entry.get("fileFormat", "CSV") != "CSV":
            final = "FAILED"
            continue
        _feed(run, entry, content)
        errors += run.errors
        counters = {key: counters.get(key, 0) + value for key, value in run.counters.items()}
    due = state.now().timestamp() + float(state.setting("import_seconds"))
    body: JSON = {
        "importName": request.get("name", "import"), "importRequestJson": request, "importSource": "API", "mappedObjectTypeIds": kinds,
        "metadata": {"counters": counters, "fileIds": ["1"], "objectLists": []}, "optOutImport": False, "createdAt": iso(started), "state": final,
    }  # fmt: skip
    with state.transaction() as connection:
        cursor = connection.execute(
            "INSERT INTO import_job (body, errors, due) VALUES (?, ?, ?)", (orjson.dumps(body).decode(), orjson.dumps(errors).decode(), due)
        )
    return Reply(_shape(context, int(cursor.lastrowid or 0), body, due))


def _run_of(context: Context, request: JSON, entry: JSON) -> _Run:
    mapping = entry.get("fileImportPage", {}).get("columnMappings") or []
    if not mapping:
        raise HubSpotError(400, "A file of an import needs columnMappings.")
    kind = context.state.type(str(mapping[0].get("columnObjectTypeId", "")))
    context.need(kind.write_scope)
    return _Run(context, kind, mapping, str((request.get("importOperations") or {}).get(kind.id, "UPSERT")))


def _feed(run: _Run, entry: JSON, content: bytes) -> None:
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig", "replace"))))
    if len(rows) > MOST_ROWS:
        raise HubSpotError(429, f"A file may have at most {MOST_ROWS} rows.", "RATE_LIMITS")
    first = 1 if entry["fileImportPage"].get("hasHeader", True) else 0
    lines = [(number, cells) for number, cells in enumerate(rows, start=1) if cells][first:]
    for start in range(0, len(lines), CHUNK):
        run.add(lines[start : start + CHUNK])


def _shape(context: Context, key: int, body: JSON, due: float) -> JSON:
    now = context.state.now()
    waiting = now.timestamp() < due and body["state"] == "DONE"
    return body | {"id": str(key), "state": "PROCESSING" if waiting else body["state"], "updatedAt": iso(int(now.timestamp() * 1000))}


def _load(context: Context) -> tuple[JSON, list[JSON], float]:
    row = context.state.db.one("SELECT body, errors, due FROM import_job WHERE id = ?", (context.path["id"],))
    if row is None:
        raise resource_not_found()
    return orjson.loads(row[0]), orjson.loads(row[1]), float(row[2])


def one(context: Context) -> Reply:
    """`GET /crm/v3/imports/{id}`."""
    body, _, due = _load(context)
    return Reply(_shape(context, int(context.path["id"]), body, due))


def list_all(context: Context) -> Reply:
    """`GET /crm/v3/imports/`."""
    rows = context.state.read("SELECT id, body, due FROM import_job ORDER BY id")
    return Reply({"results": [_shape(context, row[0], orjson.loads(row[1]), row[2]) for row in rows]})


def errors_of(context: Context) -> Reply:
    """`GET /crm/v3/imports/{id}/errors`."""
    _, found, _ = _load(context)
    limit, after = context.limit(100, 500), int(context.one("after", "0") or "0")
    answer: JSON = {"results": found[after : after + limit]}
    if len(found) > after + limit:
        answer["paging"] = {"next": {"after": str(after + limit)}}
    return Reply(answer)


def cancel(context: Context) -> Reply:
    """`POST /crm/v3/imports/{id}/cancel`: what was written stays."""
    body, _, due = _load(context)
    if context.state.now().timestamp() < due:
        body["state"] = "CANCELED"
        context.state.db.write("UPDATE import_job SET body = ? WHERE id = ?", (orjson.dumps(body).decode(), context.path["id"]))
    stamp = iso(context.state.now_ms())
    return Reply({"status": "COMPLETE", "startedAt": stamp, "completedAt": stamp})


def register(routes: Routes) -> None:
    """The paths of this module."""
    base = "/crm/v3/imports"
    routes.add("GET", base, list_all, kind="imports")
    routes.add("POST", base, create, kind="imports")
    routes.add("GET", f"{base}/{{id}}", one, kind="imports")
    routes.add("GET", f"{base}/{{id}}/errors", errors_of, kind="imports")
    routes.add("POST", f"{base}/{{id}}/cancel", cancel, kind="imports")
