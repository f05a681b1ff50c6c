"""The rules of permission rows: what may be granted, what a right requires, one row per set and target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.salesforce.sandbox.coerce import RowRefused, refuse
from connectors.salesforce.sandbox.schema import quote
from connectors.salesforce.sandbox.write_plan import Row

if TYPE_CHECKING:
    from connectors.salesforce.sandbox.state import State

# object → columns that name the target, and what each right requires
RULES: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "FieldPermissions": (("SobjectType", "Field"), {"PermissionsEdit": ("PermissionsRead",)}),
    "ObjectPermissions": (
        ("SobjectType",),
        {
            "PermissionsCreate": ("PermissionsRead",),
            "PermissionsEdit": ("PermissionsRead",),
            "PermissionsDelete": ("PermissionsRead", "PermissionsEdit"),
            "PermissionsViewAllRecords": ("PermissionsRead",),
            "PermissionsModifyAllRecords": ("PermissionsRead", "PermissionsEdit", "PermissionsDelete", "PermissionsViewAllRecords"),
        },
    ),
    "PermissionSetAssignment": (("AssigneeId",), {}),
}


def check_permission_rows(state: State, object_name: str, rows: list[Row]) -> None:
    """Refuses rows against the rules."""
    for row in rows:
        if row.error is None:
            try:
                _check(state, object_name, row)
            except RowRefused as refused:
                row.error = refused.error


def _check(state: State, object_name: str, row: Row) -> None:
    names, requires = RULES[object_name]
    values = _merged(state, object_name, row)
    if row.insert:
        _check_single(state, object_name, names, values)
    if object_name == "FieldPermissions":
        _check_field(state, values)
    elif object_name == "ObjectPermissions" and str(values.get("sobjecttype") or "").lower() not in state.objects:
        wrong = values.get("sobjecttype")
        raise refuse("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", f"Object Type: bad value for restricted picklist field: {wrong}", "SobjectType")
    for right, needed in requires.items():
        for other in needed:
            if values.get(right.lower()) and not values.get(other.lower()):
                raise refuse("FIELD_INTEGRITY_EXCEPTION", f"{right} requires {other}", right)


def _merged(state: State, object_name: str, row: Row) -> dict[str, Any]:
    """The row as it will be: what is stored, overlaid with what was sent."""
    if row.insert:
        return row.values
    item = state.object(object_name)
    columns = [column for column in item.fields.values() if column.sql is None]
    found = state.read(f'SELECT {", ".join(quote(column.name) for column in columns)} FROM {quote(item.name)} WHERE "Id" = ?', (row.id,))
    return {**{column.key: value for column, value in zip(columns, found[0], strict=True)}, **row.values}


def _check_single(state: State, object_name: str, names: tuple[str, ...], values: dict[str, Any]) -> None:
    parent = "PermissionSetId" if object_name == "PermissionSetAssignment" else "ParentId"
    keys = (parent, *names)
    where = " AND ".join(f"{quote(key)} = ?" for key in keys)
    params = tuple(values.get(key.lower()) for key in keys)
    found = state.read(f'SELECT "Id" FROM {quote(object_name)} WHERE {where} AND "IsDeleted" = 0', params)
    if found:
        raise refuse("DUPLICATE_VALUE", f"duplicate value found: <unknown> duplicates value on record with id: {found[0][0]}")


def _check_field(state: State, values: dict[str, Any]) -> None:
    full = str(values.get("field") or "")
    owner_name, _, name = full.partition(".")
    owner = state.objects.get(owner_name.lower())
    item = owner.get(name) if owner is not None else None
    if owner is None or item is None or not item.permissionable:
        raise refuse("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", f"Field Name: bad value for restricted picklist field: {full}", "Field")
    if str(values.get("sobjecttype") or "").lower() != owner_name.lower():
        raise refuse("FIELD_INTEGRITY_EXCEPTION", f"SobjectType must be {owner.name} for the field {full}", "SobjectType")
    if values.get("permissionsedit") and not item.writable:
        raise refuse("FIELD_INTEGRITY_EXCEPTION", f"You cannot edit the field {full}: it is read-only", "PermissionsEdit")
