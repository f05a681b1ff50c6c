"""Writes records: sObject Collections for few, Bulk 2.0 for many; one result per record, whatever happens to its neighbours.

Three states per value: a text is written, null clears, an absent key leaves the field alone. Collections say that with JSON, Bulk with `#N/A`
and an empty cell (reference sheet, 3 and 4).
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import orjson

from connectors.base import FieldInfo, RecordWrite, WriteResult, WriteState
from connectors.errors import Gone, Misfit, Refused
from connectors.salesforce import soql
from connectors.salesforce.bulk import IN_MEMORY_BYTES, UPLOAD_BYTES, BulkIngest
from connectors.salesforce.client import Org
from connectors.salesforce.errors import TABLE, Said, bulk_said, row_said
from connectors.salesforce.objects import Objects
from connectors.values import id_18
from mappings.models import WriteField

#: Salesforce's most per sObject Collections call (sheet, 3.2).
BATCH_RECORDS = 200
#: Attempts at single records that somebody else has locked.
ROW_ATTEMPTS = 4
CLEAR = "#N/A"
#: Codes that say a field or object is gone, hidden or not editable.
_FIELD_CODES = frozenset({"INVALID_FIELD", "INVALID_TYPE", "INVALID_FIELD_FOR_INSERT_UPDATE"})
#: Duplicate rules warn people at a screen; a score written to an existing record is no new duplicate.
_HEADERS = {"Sforce-Duplicate-Rule-Header": "allowSave=true", "Sforce-Auto-Assign": "FALSE"}


@dataclass(frozen=True)
class _Row:
    """A record's result so far; `again`: somebody else is in the way, worth another attempt."""

    result: WriteResult
    again: bool = False


@dataclass(frozen=True)
class Target:
    """One object to write to: our field key -> API name, and what the org says of each field."""

    object: str
    api: Mapping[str, str]
    infos: Mapping[str, FieldInfo]
    refused: Mapping[str, str]  # our field key -> code: gone, hidden, or not editable
    key: WriteField | None  # external key field; null = by record id

    @property
    def key_api(self) -> str:
        assert self.key is not None
        return self.key.names["salesforce"]


def batches(writes: Sequence[tuple[int, RecordWrite]], most: int = BATCH_RECORDS) -> Iterator[list[tuple[int, RecordWrite]]]:
    """Batches in which the records of one parent stay together, so that two batches never wait for one parent's lock.

    More than `most` of one parent are split.
    """
    by_parent: dict[str, list[tuple[int, RecordWrite]]] = {}
    for position, write in writes:
        by_parent.setdefault(write.parent_id, []).append((position, write))
    batch: list[tuple[int, RecordWrite]] = []
    for family in by_parent.values():
        if batch and len(batch) + len(family) > most:
            yield batch
            batch = []
        for start in range(0, len(family), most):
            part = family[start : start + most]
            if len(batch) + len(part) > most:
                yield batch
                batch = []
            batch += part
    if batch:
        yield batch


class Writer:
    """Writes for one org."""

    def __init__(self, org: Org, objects: Objects, object_names: Mapping[str, str]) -> None:
        """`object_names`: account | csql -> API name."""
        self._org, self._objects, self._names = org, objects, object_names
        self._ingest = BulkIngest(org)

    def target(self, fields: Sequence[WriteField], key_field: WriteField | None) -> Target:
        """Where fields go, and which of them cannot be written now. Misfit if the object is gone."""
        name = self._names[(key_field or fields[0]).object]
        described = self._objects.get(name)
        if key_field is not None and not described.has(key_field.names["salesforce"]):
            rule = TABLE["INVALID_FIELD"]
            text = rule.text.format(fields=f"{name}.{key_field.names['salesforce']}", object=name, message="")
            raise Misfit(text, remedy=rule.remedy, code="INVALID_FIELD")
        api = {f.key: f.names["salesforce"] for f in fields}
        infos = {key: described.fields[a.lower()] for key, a in api.items() if described.has(a)}
        refused = {key: "INVALID_FIELD" for key in api if key not in infos}
        refused |= {key: "INVALID_FIELD_FOR_INSERT_UPDATE" for key, info in infos.items() if not (info.updateable or info.createable)}
        return Target(described.name, api, infos, refused, key_field)

    # --- Collections -----------------------------------------------------------------------------------------------------------------------------
    def write(self, fields: Sequence[WriteField], writes: Sequence[RecordWrite], key_field: WriteField | None) -> list[WriteResult]:
        """One result per write, in order. Raises only what concerns the whole connection.

        A field that went away since the describe refuses whole calls or their records; they are written again without it, once.
        """
        target = self.target(fields, key_field)
        try:
            results = self._write(target, writes)
        except Misfit as error:
            if error.code not in _FIELD_CODES:
                raise
            self._objects.forget()
            return self._write(self.target(fields, key_field), writes)
        refused = [p for p, result in enumerate(results) if result.state == WriteState.REJECTED and result.code in _FIELD_CODES]
        if refused:
            self._objects.forget()
            fresh = self.target(fields, key_field)
            if fresh.refused != target.refused:
                for p, result in zip(refused, self._write(fresh, [writes[p] for p in refused]), strict=True):
                    results[p] = result
        return results

    def _write(self, target: Target, writes: Sequence[RecordWrite]) -> list[WriteResult]:
        rows: dict[int, _Row] = {}
        open_writes: list[tuple[int, RecordWrite]] = []
        for position, write in enumerate(writes):
            usable = {key: value for key, value in write.values.items() if key not in target.refused}
            if write.values and not usable:
                rows[position] = _Row(_unwritable(target, write))
            else:
                open_writes.append((position, replace(write, values=usable)))
        for attempt in range(1, ROW_ATTEMPTS + 1):
            for upsert in (False, True):
                chosen = [(p, w) for p, w in open_writes if (w.record_id is None) == upsert]
                for batch in batches(chosen):
                    rows |= self._send(target, batch, upsert)
            open_writes = [(p, w) for p, w in open_writes if rows[p].again]
            if not open_writes or attempt == ROW_ATTEMPTS:
                break
            self._org.door.rest(attempt)
        return [_partly(target, writes[p], rows[p].result) for p in range(len(writes))]

    def _send(self, target: Target, batch: Sequence[tuple[int, RecordWrite]], upsert: bool) -> dict[int, _Row]:
        """One call. A call refused for one unreadable value is halved until the record is found."""
        path = "composite/sobjects" + (f"/{soql.name(target.object)}/{soql.name(target.key_api)}" if upsert else "")
        body = {"allOrNone": False, "records": [_record(target, write, upsert) for _, write in batch]}
        kind = "collections_upsert" if upsert else "collections_update"
        try:
            answers = self._org.json(kind, "PATCH", path, body=body, headers=_HEADERS)
        except Gone:
            raise  # not a record but the whole address
        except Refused as error:
            if len(batch) == 1:
                return {batch[0][0]: _Row(WriteResult(WriteState.REJECTED, batch[0][1].record_id, code=error.code, message=str(error)))}
            middle = len(batch) // 2
            return self._send(target, batch[:middle], upsert) | self._send(target, batch[middle:], upsert)
        return {position: _result(target, write, answer) for (position, write), answer in zip(batch, answers, strict=True)}

    # --- Bulk ------------------------------------------------------------------------------------------------------------------------------------
    def upload(self, job_id: str, fields: Sequence[WriteField], writes: Sequence[RecordWrite], key_field: WriteField | None) -> None:
        target = self.target(fields, key_field)
        with SpooledTemporaryFile(IN_MEMORY_BYTES) as spool:
            _csv(target, writes, spool)
            size = spool.tell()
            if size > UPLOAD_BYTES:
                raise Refused(f"A bulk job of {size} bytes is over Salesforce's {UPLOAD_BYTES}.", remedy="A fault of scoresync: please report it.")
            self._ingest.upload(job_id, spool)

    def results(self, job_id: str, fields: Sequence[WriteField], writes: Sequence[RecordWrite], key_field: WriteField | None) -> list[WriteResult]:
        """Results joined to the writes by record id or external key; a write that no file names is unprocessed."""
        target = self.target(fields, key_field)
        column = target.key_api.lower() if key_field else "id"
        found: dict[str, WriteResult] = {}
        for kind in ("successfulResults", "failedResults"):
            for row in self._ingest.results(job_id, kind):
                lower = {(name or "").lower(): value or "" for name, value in row.items()}
                key = lower.get(column, "")
                if kind == "successfulResults":
                    created = lower.get("sf__created") == "true"
                    found[_joinable(key, key_field)] = WriteResult(WriteState.OK, id_18(lower["sf__id"]), created)
                else:
                    found[_joinable(key, key_field)] = _refused(target, lower.get("sf__id") or None, bulk_said(lower.get("sf__error", ""))).result
        lost = WriteResult(WriteState.UNPROCESSED, message="Salesforce's bulk job gave no result for this record; it is read again.")
        done = []
        for write in writes:
            own = write.external_key if key_field else write.record_id
            done.append(_partly(target, write, found.get(_joinable(own or "", key_field), lost)))
        return done


def _joinable(key: str, key_field: WriteField | None) -> str:
    return key if key_field else id_18(key)


def _record(target: Target, write: RecordWrite, upsert: bool) -> dict[str, Any]:
    head: dict[str, Any] = {"attributes": {"type": target.object}}
    head |= {target.key_api: write.external_key} if upsert else {"id": write.record_id}
    key = target.key.key if upsert and target.key else None
    return head | {target.api[k]: _json_value(v, target.infos[k]) for k, v in write.values.items() if k != key}


def _json_value(text: str | None, info: FieldInfo) -> Any:
    """Canonical text as the JSON type the field wants."""
    if text is None:
        return None
    if info.type == "checkbox":
        return text == "true"
    if info.type == "number":
        return orjson.Fragment(text)  # digit for digit: a float would lose some of 18
    return text


def _csv(target: Target, writes: Sequence[RecordWrite], into: IO[bytes]) -> None:
    """Rows as Bulk wants them. The values of one job share a header; what a record leaves alone is an empty cell."""
    used = [key for key in target.api if key not in target.refused and any(key in w.values for w in writes)]
    key = target.key
    used = [k for k in used if key is None or k != key.key]
    lines = io.TextIOWrapper(into, encoding="utf-8", newline="", write_through=True)
    out = csv.writer(lines, lineterminator="\n")
    out.writerow(["Id" if key is None else target.key_api, *(target.api[k] for k in used)])
    for write in writes:
        first = write.record_id if key is None else write.external_key
        out.writerow([first, *(_csv_value(write.values[k], target.infos[k]) if k in write.values else "" for k in used)])
    lines.flush()
    lines.detach()


def _csv_value(text: str | None, info: FieldInfo) -> str:
    if text is None:
        return CLEAR
    if info.type == "datetime":
        return text.removesuffix("Z") + ".000Z"
    return text


def _result(target: Target, write: RecordWrite, answer: Mapping[str, Any]) -> _Row:
    record_id = id_18(str(answer["id"])) if answer.get("id") else write.record_id
    if answer.get("success"):
        return _Row(WriteResult(WriteState.OK, record_id, bool(answer.get("created", False))))
    errors = answer.get("errors") or [{}]
    return _refused(target, record_id, row_said(errors[0]))


def _refused(target: Target, record_id: str | None, said: Said) -> _Row:
    rule = said.rule
    ours = {api.lower(): key for key, api in target.api.items()}
    fields = tuple(ours[f.lower()] for f in said.fields if f.lower() in ours)
    text = f"{said.text(target.object)} {rule.remedy if rule else ''}".strip()
    result = WriteResult(rule.row_state if rule else WriteState.REJECTED, record_id, code=said.code, message=text, fields=fields)
    return _Row(result, again=bool(rule and rule.row_retry))


def _unwritable(target: Target, write: RecordWrite) -> WriteResult:
    bad = [key for key in write.values if key in target.refused]
    code = target.refused[bad[0]]
    return WriteResult(WriteState.REJECTED, write.record_id, code=code, message=_unwritable_text(target, bad), fields=tuple(bad))


def _unwritable_text(target: Target, keys: Sequence[str]) -> str:
    rule = TABLE[target.refused[keys[0]]]
    named = ", ".join(f"{target.object}.{target.api[k]}" for k in keys)
    return f"{rule.text.format(fields=named, object=target.object, message='')} {rule.remedy}"


def _partly(target: Target, write: RecordWrite, result: WriteResult) -> WriteResult:
    """A record that is well but for fields that could not go along says so: `ok`, with those fields named."""
    left_out = [key for key in write.values if key in target.refused]
    if result.state != WriteState.OK or not left_out:
        return result
    return replace(result, code=target.refused[left_out[0]], message=_unwritable_text(target, left_out), fields=tuple(left_out))
