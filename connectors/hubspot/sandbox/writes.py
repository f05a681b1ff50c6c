"""Planning and doing writes of one request: validation, required and unique properties, all-or-nothing or row by row (reference: section 2.6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from connectors.hubspot.sandbox import associations, records, store_rows
from connectors.hubspot.sandbox.derived import Deriver
from connectors.hubspot.sandbox.errors import BadValue, HubSpotError, RowError, invalid_values
from connectors.hubspot.sandbox.records import Record
from connectors.hubspot.sandbox.routing import Context
from connectors.hubspot.sandbox.types import ObjectType
from connectors.hubspot.sandbox.values import Validator, as_text

JSON = dict[str, Any]
Changes = dict[str, str | None]


@dataclass(slots=True)
class Row:
    """One input and what becomes of it."""

    input: JSON
    record: Record | None = None
    changes: Changes = field(default_factory=dict)
    links: list[associations.Link] = field(default_factory=list)
    new: bool = False
    missing: bool = False
    error: RowError | None = None

    @property
    def trace(self) -> str | None:
        """The client's own mark of the input."""
        value = self.input.get("objectWriteTraceId")
        return value if isinstance(value, str) and value else None


class Writer:
    """Plans rows against one type. Call inside a transaction, so that what was planned is what is written."""

    def __init__(self, context: Context, kind: ObjectType) -> None:
        self.context = context
        self.state = context.state
        self.kind = kind
        strict = context.version == "2026-09"
        self.definitions = self.state.properties(kind)
        self.validator = Validator(self.state, strict=strict)
        self.faults = self.state.faults.row_rules(kind.plural, kind.singular, kind.id)
        self.derive = Deriver(self.state, kind)
        self.null_clears = bool(self.state.setting("null_clears"))
        self.numbers = bool(self.state.setting("numbers_tolerated"))
        self.strict_rules = self._account_rules() if strict and self.state.setting("conditional_rules") else []
        self.taken: dict[tuple[str, str], int] = {}
        self.renderers: dict[tuple[str, ...], records.Renderer] = {}

    def _account_rules(self) -> list[JSON]:
        return [orjson.loads(row[0]) for row in self.state.read("SELECT body FROM rule WHERE type = ?", (self.kind.id,))]

    # -- planning -------------------------------------------------------------------------------------------------

    def plan_update(self, row: Row, record: Record | None) -> None:
        """An update of a record that exists, or its absence."""
        if record is None or record.archived:
            row.missing = True
            return
        row.record = record
        self._values(row, record.props, str(record.id))
        if row.error is None:
            self._unique(row, record.id)

    def plan_create(self, row: Row, preset: dict[str, str] | None = None) -> None:
        """A new record."""
        row.new = True
        given = row.input.get("properties")
        given = given if isinstance(given, dict) else {}
        row.input = row.input | {"properties": {**given, **(preset or {})}}
        self._values(row, {}, str(row.trace or row.input.get("id") or ""))
        if row.error is not None:
            return
        props = {name: value for name, value in row.changes.items() if value is not None}
        row.changes |= self.derive.defaults(props)
        self._required(row, props)
        if row.error is None:
            self._unique(row, None)
        if row.error is None and row.input.get("associations"):
            row.error, row.links = associations.parse_inline(self.state, self.kind, row.input["associations"])
        if row.error is None and self.kind.id == "0-136" and not any(link.target.id == "0-1" for link in row.links):
            row.error = RowError("A lead must be associated with an existing contact when it is created.")

    def _values(self, row: Row, old: dict[str, str], record_id: str) -> None:
        given = row.input.get("properties")
        if given is None:
            given = {}
        if not isinstance(given, dict):
            raise HubSpotError(400, "Invalid input JSON: properties must be an object")
        bad: list[BadValue] = []
        for name, value in given.items():
            if value is None and not self.null_clears:
                continue
            if not self.numbers and not isinstance(value, str):
                raise HubSpotError(400, f"Invalid input JSON: the value of {name} must be a string")
            text, refused = self.validator.check(self.definitions.get(name.lower()), name, value, old.get(name.lower()))
            if refused is not None:
                bad.append(refused)
            row.changes[name.lower()] = text
        texts = {name: as_text(value) for name, value in given.items()}
        if not bad and self.faults and (refused := self.state.faults.row_error(self.faults, record_id, texts)) is not None:
            bad.append(refused)
        bad.extend(self._conditional(old, row.changes) if not bad else [])
        if bad:
            from connectors.hubspot.sandbox.state import PORTAL

            row.error = invalid_values(bad, PORTAL)

    def _conditional(self, old: dict[str, str], changes: Changes) -> list[BadValue]:
        after: Changes = {**old, **changes}
        found = []
        for rule in self.strict_rules:
            name, when = rule["property"], rule.get("when")
            if after.get(name):
                continue
            if when is None and not old:
                found.append(BadValue(name, "MISSING_REQUIRED_PROPERTY", f"{name} is required"))
            elif when is not None and after.get(when["property"]) in when["values"]:
                text = f"{name} is required when {when['property']} is {after.get(when['property'])}"
                found.append(BadValue(name, "MISSING_CONDITIONAL_REQUIRED_PROPERTY", text))
        return found

    def _required(self, row: Row, props: dict[str, str]) -> None:
        missing = [name for name in self.kind.required if name not in props and row.changes.get(name) is None]
        if self.kind.id == "0-3" and len(self.derive.pipelines) > 1 and "pipeline" not in props:
            missing.append("pipeline")  # with one pipeline it goes without saying
        if missing:
            text = f"Error creating {self.kind.label}. Some required properties were not set."
            row.error = RowError(text, context={"properties": missing})

    def _unique(self, row: Row, own: int | None) -> None:
        for name, value in row.changes.items():
            item = self.definitions.get(name)
            if value is None or item is None or not item.unique:
                continue
            found = self.state.db.one("SELECT id FROM uniq WHERE type = ? AND name = ? AND value = ?", (self.kind.id, name, value))
            holder = int(found[0]) if found else self.taken.get((name, value))
            if holder is not None and holder != own:
                row.error = self._conflict(name, value, holder)
                return
            self.taken[(name, value)] = own if own is not None else -1

    def _conflict(self, name: str, value: str, holder: int) -> RowError:
        existing = {"existingId": [str(holder)]} if holder > 0 else {}
        if self.kind.id == "0-1" and name == "email":
            return RowError(f"Contact already exists. Existing ID: {holder}", "CONFLICT", 409, context=existing)
        status = int(self.state.setting("unique_conflict"))
        text = f"Cannot set {name} to {value}: {self.kind.label} {holder} already has that value."
        return RowError(text, "CONFLICT" if status == 409 else "VALIDATION_ERROR", status, context=existing | {"propertyName": [name]})

    # -- doing ----------------------------------------------------------------------------------------------------

    def write(self, rows: list[Row]) -> None:
        """Stores every row that has no error; sets `record` of new rows."""
        now = self.state.now_ms()
        source = store_rows.source_of(self.context)
        fresh = [row for row in rows if row.new and row.error is None]
        for row, number in zip(fresh, self.state.new_ids(len(fresh)) if fresh else [], strict=True):
            props = {name: value for name, value in row.changes.items() if value is not None}
            props |= {name: value for name, value in self.derive(props, now).items() if value is not None}
            row.record = Record(number, props, now, now)
        store_rows.insert(self.state, self.kind, [row.record for row in fresh if row.record is not None], source)
        for row in fresh:
            if row.record is not None and row.links:
                associations.connect(self.state, self.kind, row.record.id, row.links)
        changed = [(row.record, self._with_derived(row)) for row in rows if not row.new and row.record is not None and row.error is None]
        store_rows.update(self.state, self.kind, changed, source, now)
        self._events(rows)

    def _with_derived(self, row: Row) -> Changes:
        assert row.record is not None
        after = {name: value for name, value in {**row.record.props, **row.changes}.items() if value is not None}
        return row.changes | self.derive(after, row.record.created)

    def _events(self, rows: list[Row]) -> None:
        from connectors.hubspot.sandbox import webhooks

        good = [row for row in rows if row.record is not None and row.error is None]
        webhooks.record_writes(self.context, self.kind, [(row.record, row.changes, row.new) for row in good if row.record is not None])

    def result(self, row: Row) -> JSON:
        """The JSON of a written row: what was written plus id and stamps."""
        assert row.record is not None
        names = tuple(row.changes) or ("hs_object_id",)
        if names not in self.renderers:
            self.renderers[names] = records.Renderer(self.state, self.kind, names)
        body = self.renderers[names](row.record)
        if row.trace is not None:
            body["objectWriteTraceId"] = row.trace
        return body


def decide(writer: Writer, rows: list[Row], *, traceable: bool = True) -> None:
    """Raises the whole-batch refusal unless every input carries a trace id of its own (reference: section 2.6)."""
    failed = [row for row in rows if row.error is not None]
    if not failed:
        return
    traces = [row.trace for row in rows]
    if traceable and None not in traces and len(set(traces)) == len(traces):
        return
    assert failed[0].error is not None
    raise failed[0].error.as_error()


def missing_entry(kind: ObjectType, ids: list[str]) -> JSON:
    """The 207 entry for ids that lead to no live record."""
    text = f"Could not get some {kind.label} objects, they may be deleted or not exist. Check that ids are valid."
    return {"status": "error", "category": "OBJECT_NOT_FOUND", "message": text, "context": {"ids": ids}}
