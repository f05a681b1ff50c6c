"""Deleting, undeleting, purging and merging: the recycle bin with its cascades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from connectors.salesforce.sandbox.errors import SalesforceError
from connectors.salesforce.sandbox.hooks import PERMISSION_OBJECTS
from connectors.salesforce.sandbox.late import Statement
from connectors.salesforce.sandbox.schema import ObjectDef, quote
from connectors.salesforce.sandbox.write_plan import chunks, marks

if TYPE_CHECKING:
    from connectors.salesforce.sandbox.state import State, User


def restricted(state: State, item: ObjectDef, record_id: str) -> str | None:
    """The child object that forbids deleting this record, or None."""
    for link in item.children:
        if link.restricted_delete:
            sql = f'SELECT 1 FROM {quote(link.child)} WHERE {quote(link.field)} = ? AND "IsDeleted" = 0 LIMIT 1'
            if state.read(sql, (record_id,)):
                return link.child
    return None


def delete_statements(state: State, item: ObjectDef, ids: Sequence[str], user: User, depth: int = 0) -> list[Statement]:
    """Moves records and their cascading children to the recycle bin; clears custom lookups to them."""
    stamp = state.stamp()
    # A child that hangs on two parents is deleted once: the stamp of the first wins.
    sql = (
        f'UPDATE {quote(item.name)} SET "IsDeleted" = 1, "SystemModstamp" = ?, "LastModifiedDate" = ?, "LastModifiedById" = ? '
        'WHERE "Id" = ? AND "IsDeleted" = 0'
    )
    statements: list[Statement] = [(sql, [(stamp, stamp, user.id, record_id) for record_id in ids])]
    for link in item.children:
        child = state.object(link.child)
        column = child.fields[link.field.lower()]
        if not link.cascade_delete and not (column.custom and column.nillable):
            continue
        found = [
            row[0]
            for part in chunks(ids)
            for row in state.read(
                f'SELECT "Id" FROM {quote(child.name)} WHERE {quote(column.name)} IN ({marks(len(part))}) AND "IsDeleted" = 0', tuple(part)
            )
        ]
        if not found:
            continue
        if link.cascade_delete:
            if depth < 5:
                statements += delete_statements(state, child, found, user, depth + 1)
        else:
            statements.append(
                (f'UPDATE {quote(child.name)} SET {quote(column.name)} = NULL, "SystemModstamp" = ? WHERE "Id" = ?', [(stamp, i) for i in found])
            )
    return statements


def undelete(state: State, object_name: str, ids: Sequence[str], user: User) -> int:
    """Takes records out of the recycle bin (not their children); the number restored."""
    item = state.object(object_name)
    stamp = state.stamp()
    with state.transaction():
        count = 0
        for record_id in ids:
            extra = ', "MasterRecordId" = NULL' if item.mergeable else ""
            sql = (
                f'UPDATE {quote(item.name)} SET "IsDeleted" = 0, "SystemModstamp" = ?, "LastModifiedDate" = ?, "LastModifiedById" = ?{extra} '
                'WHERE "Id" = ? AND "IsDeleted" = 1'
            )
            count += state.db.write(sql, (stamp, stamp, user.id, record_id))
    return count


def purge(state: State, object_name: str, ids: Sequence[str]) -> int:
    """Removes records for good; only the delete log knows them from then on."""
    item = state.object(object_name)
    stamp = state.stamp()
    with state.transaction() as connection:
        connection.executemany("INSERT INTO sb_purged VALUES (?, ?, ?)", [(item.name, record_id, stamp) for record_id in ids])
        count = 0
        for record_id in ids:
            count += state.db.write(f'DELETE FROM {quote(item.name)} WHERE "Id" = ?', (record_id,))
        if item.name in PERMISSION_OBJECTS:
            state.bump()
    return count


def merge(state: State, object_name: str, master_id: str, loser_ids: Sequence[str], user: User) -> int:
    """Merges up to two records into the master: their children move over, they go to the bin with MasterRecordId set. Answers the children moved."""
    item = state.object(object_name)
    if not item.mergeable:
        raise SalesforceError("INVALID_OPERATION", f"{item.name} cannot be merged")
    if not 1 <= len(loser_ids) <= 2 or master_id in loser_ids:
        raise SalesforceError("INVALID_OPERATION", "a merge takes one or two records other than the master")
    stamp = state.stamp()
    moved = 0
    with state.transaction():
        for link in item.children:
            child = state.object(link.child)
            column = child.fields[link.field.lower()]
            if column.generated is not None or column.sql is not None or column.key == "masterrecordid":
                continue
            name = quote(column.name)
            sql = f'UPDATE {quote(child.name)} SET {name} = ?, "SystemModstamp" = ? WHERE {name} IN ({marks(len(loser_ids))})'
            moved += state.db.write(sql, (master_id, stamp, *loser_ids))
        sql = (
            f'UPDATE {quote(item.name)} SET "IsDeleted" = 1, "MasterRecordId" = ?, "SystemModstamp" = ?, "LastModifiedDate" = ?, '
            f'"LastModifiedById" = ? WHERE "Id" IN ({marks(len(loser_ids))}) AND "IsDeleted" = 0'
        )
        if state.db.write(sql, (master_id, stamp, stamp, user.id, *loser_ids)) != len(loser_ids):
            raise SalesforceError("ENTITY_IS_DELETED", "entity is deleted", status=404)
        state.db.write(
            f'UPDATE {quote(item.name)} SET "SystemModstamp" = ?, "LastModifiedDate" = ?, "LastModifiedById" = ? WHERE "Id" = ?',
            (stamp, stamp, user.id, master_id),
        )
    return moved
