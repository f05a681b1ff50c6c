"""The one way records are written: REST, Collections, Bulk and the control API all come here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from connectors.salesforce.sandbox import deletes
from connectors.salesforce.sandbox.autonumber import render
from connectors.salesforce.sandbox.coerce import RowRefused
from connectors.salesforce.sandbox.errors import ROLLED_BACK, RowError, RowResult, not_found
from connectors.salesforce.sandbox.hooks import PERMISSION_OBJECTS, after_save
from connectors.salesforce.sandbox.ids import make_id
from connectors.salesforce.sandbox.late import Statement, postpone
from connectors.salesforce.sandbox.org import ORG_ID
from connectors.salesforce.sandbox.permission_rules import RULES, check_permission_rows
from connectors.salesforce.sandbox.schema import FieldDef, ObjectDef, quote
from connectors.salesforce.sandbox.write_checks import check_existing, check_references, check_unique
from connectors.salesforce.sandbox.write_plan import Planner, Row, chunks, external_field, marks

if TYPE_CHECKING:
    from connectors.salesforce.sandbox.state import State, User

NO_ACCESS = RowError("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")


class _Undo(Exception):
    """Leaves a savepoint: allOrNone after a failure, or a postponed commit."""


def write_records(
    state: State, object_name: str, operation: str, sent: Sequence[dict[str, Any]], *, external_id_field: str | None, user: User, source: str,
    all_or_none: bool, update_only: bool,
) -> list[RowResult]:  # fmt: skip
    """See `State.write_records`."""
    item = state.object_for(object_name, user)
    external = None
    if operation == "upsert":
        external = external_field(item, external_id_field or "Id")
        if external is None or external.key not in state.visible_fields(item.name, user):
            raise not_found()
    call = _Call(state, item, operation, user, source, external)
    with state.transaction():
        return call.run(sent, all_or_none, update_only)


class _Call:
    """One call's worth of rows of one object."""

    def __init__(self, state: State, item: ObjectDef, operation: str, user: User, source: str, external: FieldDef | None) -> None:
        self.state = state
        self.item = item
        self.operation = operation
        self.user = user
        self.external = external
        self.planner = Planner(state, item, user, source, None if external is None or external.type == "id" else external)
        self.statements: list[Statement] = []
        self.numbers = 0

    def run(self, sent: Sequence[dict[str, Any]], all_or_none: bool, update_only: bool) -> list[RowResult]:
        late = self.state.faults.take("late_commit", object=self.item.name) if self.state.faults.rules() else []
        first = self._sequence()
        try:
            with self.state.transaction():
                rows = self._prepare(sent, update_only)
                rolled_back = all_or_none and any(row.error is not None for row in rows)
                if not rolled_back:
                    self._execute(rows)
                if late or rolled_back:
                    raise _Undo
        except _Undo:
            if late and not rolled_back:
                # Ids handed out stay handed out although the rows are not there yet.
                if self.numbers:
                    self.state.next_number(self.item.name, max(0, first + self.numbers - self._sequence()))
                postpone(self.state, self.statements, float(late[0].get("seconds", 5)))
        if rolled_back:
            for row in rows:
                row.error = row.error or ROLLED_BACK
        return [self._result(row) for row in rows]

    def _sequence(self) -> int:
        row = self.state.db.one("SELECT n FROM sb_sequence WHERE name = ?", (self.item.name,))
        return int(row[0]) if row else 0

    def _result(self, row: Row) -> RowResult:
        if row.error is not None:
            return RowResult(None if row.insert else row.id, False, False, [row.error])
        return RowResult(row.id, True, row.insert)

    # -- preparing ---------------------------------------------------------------------------------------------------

    def _prepare(self, sent: Sequence[dict[str, Any]], update_only: bool) -> list[Row]:
        rows = [Row(position) for position in range(len(sent))]
        if self.operation in ("delete", "hardDelete"):
            self._identify(rows, sent)
            check_existing(self.state, self.item, rows)
        elif self.operation == "upsert" and self.external is not None and self.external.type != "id":
            self._match(rows, sent, self.external, update_only)
        elif self.operation == "upsert":
            for row, values in zip(rows, sent, strict=True):
                row.insert = not any(key.lower() == "id" and value for key, value in values.items())
            self._identify([row for row in rows if not row.insert], sent)
        elif self.operation == "insert":
            for row in rows:
                row.insert = True
        else:
            self._identify(rows, sent)
        self._allow(rows)
        if self.operation not in ("delete", "hardDelete"):
            self._fill(rows, sent)
        self._row_faults(rows)
        return rows

    def _identify(self, rows: list[Row], sent: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            try:
                row.id = self.planner.record_id(sent[row.position])
            except RowRefused as refused:
                row.error = refused.error

    def _match(self, rows: list[Row], sent: Sequence[dict[str, Any]], external: FieldDef, update_only: bool) -> None:
        for row in rows:
            raw = next((value for key, value in sent[row.position].items() if key.lower() == external.key), None)
            try:
                row.key = self.planner.convert(external, None if raw == "#N/A" else raw)
            except RowRefused as refused:
                row.error = refused.error
            if row.error is None and row.key is None:
                row.error = RowError("MISSING_ARGUMENT", f"{external.name} not specified", (external.name,))
        found: dict[Any, list[str]] = {}
        column = quote(external.name)
        for part in chunks([row.key for row in rows if row.error is None]):
            sql = f'SELECT {column}, "Id" FROM {quote(self.item.name)} WHERE "IsDeleted" = 0 AND {column} IN ({marks(len(part))}) GROUP BY "Id"'
            for value, record_id in self.state.read(sql, tuple(part)):
                found.setdefault(_fold(external, value), []).append(record_id)
        seen: set[Any] = set()
        for row in rows:
            if row.error is not None:
                continue
            folded = _fold(external, row.key)
            ids = found.get(folded, [])
            if folded in seen:
                row.error = RowError("DUPLICATE_VALUE", f"Duplicate external id specified: {row.key}", (external.name,))
            elif len(ids) > 1:
                names = ", ".join(ids)
                row.error = RowError(
                    "DUPLICATE_EXTERNAL_ID", f"{external.name}: more than one record found for external id field: [{names}]", (external.name,)
                )
            elif ids:
                row.id = ids[0]
            elif update_only:
                row.error = RowError("NOT_FOUND", "The requested resource does not exist")
            else:
                row.insert = True
            seen.add(folded)

    def _allow(self, rows: list[Row]) -> None:
        grants = self.state.grants(self.user)
        for row in rows:
            operation = "insert" if row.insert else ("update" if self.operation == "upsert" else self.operation)
            if row.error is None and not grants.can_write(self.item, operation):
                row.error = NO_ACCESS

    def _fill(self, rows: list[Row], sent: Sequence[dict[str, Any]]) -> None:
        external = self.planner.external
        for row in rows:
            if row.error is None:
                self.planner.fill(row, sent[row.position])
                if row.insert and external is not None and row.error is None:
                    self._set_key(row, external)
        check_existing(self.state, self.item, rows)
        check_references(self.state, self.item, rows)
        check_unique(self.state, self.item, rows)
        if self.item.name in RULES:
            check_permission_rows(self.state, self.item.name, rows)

    def _set_key(self, row: Row, external: FieldDef) -> None:
        if external.key in self.planner.editable and external.createable:
            row.values[external.key] = row.key

    def _row_faults(self, rows: list[Row]) -> None:
        rules = self.state.faults.row_rules(self.item.name)
        if not rules:
            return
        for row in rows:
            if row.error is None:
                row.error = self.state.faults.row_error(rules, row.id or str(row.key or ""), row.values)

    # -- executing ---------------------------------------------------------------------------------------------------

    def _execute(self, rows: list[Row]) -> None:
        good = [row for row in rows if row.error is None]
        if not good:
            return
        if self.operation in ("delete", "hardDelete"):
            self._delete(good)
        else:
            self._insert([row for row in good if row.insert])
            self._update([row for row in good if not row.insert])
            for sql, params in after_save(self.item.name, [row.id for row in good if row.id is not None]):
                self._run(sql, params)
        if self.item.name in PERMISSION_OBJECTS:
            self.state.bump()
        fields = sum(len(row.values) for row in good)
        self.state.side.count_many({f"records.{self.item.name}": len(good), "records_changed": len(good), "field_writes": fields})

    def _run(self, sql: str, params: list[Sequence[Any]]) -> None:
        self.statements.append((sql, params))
        self.state.db.connection.executemany(sql, params)

    def _delete(self, rows: list[Row]) -> None:
        for row in rows:
            blocker = deletes.restricted(self.state, self.item, str(row.id))
            if blocker is not None:
                row.error = RowError(
                    "DELETE_FAILED", f"Your attempt to delete the record could not be completed because {blocker} records refer to it."
                )
        ids = [str(row.id) for row in rows if row.error is None]
        if self.operation == "hardDelete":
            deletes.purge(self.state, self.item.name, ids)
            return
        for sql, params in deletes.delete_statements(self.state, self.item, ids, self.user):
            self._run(sql, params)

    def _insert(self, rows: list[Row]) -> None:
        if not rows:
            return
        first = self.state.next_number(self.item.name, len(rows))
        self.numbers = len(rows)
        stamp = self.state.stamp()
        system = {
            "createddate": stamp, "createdbyid": self.user.id, "lastmodifieddate": stamp, "lastmodifiedbyid": self.user.id, "systemmodstamp": stamp,
        }  # fmt: skip
        defaults = {
            key: self.user.id if column.default == "@user" else column.default
            for key, column in self.item.fields.items()
            if column.default is not None and column.sql is None and column.generated is None
        }
        autos = [column for column in self.item.fields.values() if column.auto_number]
        for offset, row in enumerate(rows):
            row.id = make_id(self.item.key_prefix, first + offset)
            row.values = {
                **defaults,
                **{key: value for key, value in row.values.items() if value is not None or key not in defaults},
                **system,
                "id": row.id,
            }
            for column in autos:
                row.values[column.key] = render(column.auto_number or "{0}", first + offset)
            if self.item.custom_setting and row.values.get("setupownerid") is None:
                row.values["setupownerid"] = ORG_ID
            if self.item.custom and row.values.get("name") is None and "name" in self.item.fields:
                row.values["name"] = row.id[:15]
        for names, group in _by_columns(rows):
            columns = ", ".join(quote(self.item.fields[name].name) for name in names)
            sql = f"INSERT INTO {quote(self.item.name)} ({columns}) VALUES ({marks(len(names))})"
            self._run(sql, [tuple(row.values[name] for name in names) for row in group])

    def _update(self, rows: list[Row]) -> None:
        if not rows:
            return
        stamp = self.state.stamp()
        tail = (stamp, self.user.id, stamp)
        for names, group in _by_columns(rows):
            columns = "".join(f"{quote(self.item.fields[name].name)} = ?, " for name in names)
            sql = f'UPDATE {quote(self.item.name)} SET {columns}"LastModifiedDate" = ?, "LastModifiedById" = ?, "SystemModstamp" = ? WHERE "Id" = ?'
            self._run(sql, [(*(row.values[name] for name in names), *tail, row.id) for row in group])


def _fold(column: FieldDef, value: Any) -> Any:
    return value.lower() if isinstance(value, str) and not column.case_sensitive else value


def _by_columns(rows: list[Row]) -> list[tuple[tuple[str, ...], list[Row]]]:
    ordered = sorted(rows, key=lambda row: tuple(row.values))
    return [(names, list(group)) for names, group in groupby(ordered, key=lambda row: tuple(row.values))]
