"""Applies one Metadata component to the org."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.salesforce.sandbox.errors import SalesforceError

if TYPE_CHECKING:
    from connectors.salesforce.sandbox.state import State

OBJECT_RIGHTS = {
    "allowRead": "PermissionsRead", "allowCreate": "PermissionsCreate", "allowEdit": "PermissionsEdit", "allowDelete": "PermissionsDelete",
    "viewAllRecords": "PermissionsViewAllRecords", "modifyAllRecords": "PermissionsModifyAllRecords",
}  # fmt: skip


def apply(state: State, kind: str, name: str, metadata: dict[str, Any], operation: str) -> bool:
    """`create`, `update` or `upsert` of a component; whether it was created. Refuses kinds that the sandbox does not keep."""
    if not name:
        raise SalesforceError("REQUIRED_FIELD_MISSING", "Required fields are missing: [fullName]", fields=("fullName",))
    handler = {"CustomObject": _object, "CustomField": _field, "PermissionSet": _permission_set}.get(kind)
    if handler is None:
        raise SalesforceError("INVALID_TYPE", f"Metadata type {kind} is not served here")
    return handler(state, name, metadata, operation)


def _missing(kind: str, name: str) -> SalesforceError:
    return SalesforceError("INVALID_CROSS_REFERENCE_KEY", f"In field: fullName - no {kind} named {name} found")


def _object(state: State, name: str, metadata: dict[str, Any], operation: str) -> bool:
    known = name.lower() in state.objects
    if operation == "update" and not known:
        raise _missing("CustomObject", name)
    if operation == "create" or not known:
        state.create_object(name, metadata)
        return True
    # Of an existing object only its inline fields can change here.
    for entry in as_list(metadata.get("fields")):
        plain = {key: value for key, value in entry.items() if key != "fullName"}
        _field(state, f"{name}.{entry['fullName']}", plain, "upsert")
    return False


def _field(state: State, name: str, metadata: dict[str, Any], operation: str) -> bool:
    owner, _, field = name.partition(".")
    found = state.objects.get("task" if owner == "Activity" else owner.lower())
    known = found is not None and found.get(field) is not None
    if operation == "update" and not known:
        raise _missing("CustomField", name)
    if operation == "create" or not known:
        state.create_field(name, metadata)
        return True
    state.change_field("Task" if owner == "Activity" else owner, field, metadata)
    return False


def as_list(value: Any) -> list[Any]:
    """One or several elements as a list."""
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def _truth(value: Any) -> bool:
    return value is True or str(value).lower() == "true"


def _permission_set(state: State, name: str, metadata: dict[str, Any], operation: str) -> bool:
    with state.transaction():
        found = state.read('SELECT "Id" FROM "PermissionSet" WHERE "Name" = ? AND "IsDeleted" = 0', (name,))
        if operation == "update" and not found:
            raise _missing("PermissionSet", name)
        if operation == "create" and found:
            raise SalesforceError("DUPLICATE_DEVELOPER_NAME", f"There is already a permission set named {name}.")
        row = {"Name": name, "Label": metadata.get("label") or name}
        set_id = found[0][0] if found else _written(state, "PermissionSet", row)
        for entry in as_list(metadata.get("fieldPermissions")):
            _field_permission(state, set_id, entry)
        for entry in as_list(metadata.get("objectPermissions")):
            _object_permission(state, set_id, entry)
        state.bump()
    return not found


def _written(state: State, object_name: str, row: dict[str, Any], operation: str = "insert") -> str:
    result = state.write_records(object_name, operation, [row], user=state.system)[0]
    if not result.success:
        raise SalesforceError(result.errors[0].code, result.errors[0].message, fields=result.errors[0].fields)
    return str(result.id)


def _field_permission(state: State, set_id: str, entry: dict[str, Any]) -> None:
    name = str(entry.get("field"))
    owner, _, field = name.partition(".")
    known = state.objects.get(owner.lower())
    column = known.get(field) if known is not None else None
    if column is None:
        raise SalesforceError("INVALID_CROSS_REFERENCE_KEY", f"In field: field - no CustomField named {name} found")
    if not column.permissionable:
        raise SalesforceError("FIELD_INTEGRITY_EXCEPTION", f"You cannot deploy to a required field: {name}")
    flags = {"PermissionsRead": _truth(entry.get("readable")), "PermissionsEdit": _truth(entry.get("editable"))}
    found = state.read('SELECT "Id" FROM "FieldPermissions" WHERE "ParentId" = ? AND "Field" = ? AND "IsDeleted" = 0', (set_id, name))
    if found:
        _written(state, "FieldPermissions", {"Id": found[0][0], **flags}, "update")
    else:
        _written(state, "FieldPermissions", {"ParentId": set_id, "SobjectType": owner, "Field": name, **flags})


def _object_permission(state: State, set_id: str, entry: dict[str, Any]) -> None:
    name = str(entry.get("object"))
    if name.lower() not in state.objects:
        raise SalesforceError("INVALID_CROSS_REFERENCE_KEY", f"In field: object - no CustomObject named {name} found")
    flags = {column: _truth(entry.get(key)) for key, column in OBJECT_RIGHTS.items()}
    found = state.read('SELECT "Id" FROM "ObjectPermissions" WHERE "ParentId" = ? AND "SobjectType" = ? AND "IsDeleted" = 0', (set_id, name))
    if found:
        _written(state, "ObjectPermissions", {"Id": found[0][0], **flags}, "update")
    else:
        _written(state, "ObjectPermissions", {"ParentId": set_id, "SobjectType": name, **flags})


def remove(state: State, kind: str, name: str) -> None:
    """Deletes a custom field."""
    owner, _, field = name.partition(".")
    if kind != "CustomField":
        raise SalesforceError("INVALID_OPERATION", f"deleting {kind} is not served here")
    state.drop_field("Task" if owner == "Activity" else owner, field)


def read(state: State, kind: str, name: str) -> dict[str, Any] | None:
    """The Metadata of a component, or None."""
    if kind == "CustomField":
        owner, _, field = name.partition(".")
        found = state.objects.get("task" if owner == "Activity" else owner.lower())
        column = found.get(field) if found is not None else None
        return dict(column.developer_metadata) if column is not None and column.developer_metadata else None
    if kind == "CustomObject":
        item = state.objects.get(name.lower())
        if item is None:
            return None
        inline = [{"fullName": column.name, **(column.developer_metadata or {})} for column in item.fields.values() if column.custom]
        return {"fields": inline, "label": item.label, "pluralLabel": item.label_plural}
    return None
