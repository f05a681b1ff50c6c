"""Who may see and edit what: field-level security and object access from permission sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connectors.salesforce.sandbox.schema import ObjectDef
from connectors.sandbox_kit.store import Database

if TYPE_CHECKING:
    from connectors.salesforce.sandbox.state import User

OBJECT_RIGHTS = ("PermissionsRead", "PermissionsCreate", "PermissionsEdit", "PermissionsDelete")
SETUP_OBJECTS = frozenset({"permissionset", "permissionsetassignment", "fieldpermissions", "objectpermissions", "user", "profile", "organization"})


@dataclass(frozen=True)
class Grants:
    """One user's access. Standard fields are open to everybody; a custom field needs a grant, an admin's too."""

    everything: bool
    admin: bool
    read: frozenset[str]  # "account.health_score__c"
    edit: frozenset[str]
    rights: Mapping[str, frozenset[str]]  # lower-case object → names in OBJECT_RIGHTS

    def visible(self, item: ObjectDef) -> frozenset[str]:
        """Lower-case names of readable fields. Required custom fields need no grant."""
        prefix = item.name.lower()
        return frozenset(
            key for key, column in item.fields.items()
            if self.everything or not column.custom or not column.permissionable or f"{prefix}.{key}" in self.read
        )  # fmt: skip

    def editable(self, item: ObjectDef) -> frozenset[str]:
        """Lower-case names of the fields field-level security lets this user change."""
        prefix = item.name.lower()
        return frozenset(
            key for key, column in item.fields.items()
            if self.everything or not column.custom or not column.permissionable or f"{prefix}.{key}" in self.edit
        )  # fmt: skip

    def _may(self, item: ObjectDef, right: str) -> bool:
        return self.everything or self.admin or right in self.rights.get(item.name.lower(), frozenset())

    def can_read(self, item: ObjectDef) -> bool:
        """Standard objects are open; a custom object needs object permissions (custom settings do not)."""
        return not item.custom or item.custom_setting or self._may(item, "PermissionsRead")

    def can_write(self, item: ObjectDef, operation: str) -> bool:
        """Whether insert, update or delete is allowed; setup objects only to admins."""
        if item.name.lower() in SETUP_OBJECTS:
            return self.everything or self.admin
        if not item.custom or item.custom_setting:
            return True
        right = {"insert": "PermissionsCreate", "update": "PermissionsEdit"}.get(operation, "PermissionsDelete")
        return self._may(item, right)


def load(db: Database, objects: Mapping[str, ObjectDef], user: User) -> Grants:
    """Reads a user's grants from the permission sets assigned to that user."""
    if user.system:
        return Grants(True, True, frozenset(), frozenset(), {})
    assigned = 'SELECT "PermissionSetId" FROM "PermissionSetAssignment" WHERE "AssigneeId" = ? AND "IsDeleted" = 0'
    read: set[str] = set()
    edit: set[str] = set()
    sql = f'SELECT "Field", "PermissionsRead", "PermissionsEdit" FROM "FieldPermissions" WHERE "IsDeleted" = 0 AND "ParentId" IN ({assigned})'
    for name, may_read, may_edit in db.read(sql, (user.id,)):
        if may_read:
            read.add(str(name).lower())
        if may_edit:
            edit.add(str(name).lower())
    rights: dict[str, set[str]] = {}
    columns = ", ".join(f'"{name}"' for name in OBJECT_RIGHTS)
    sql = f'SELECT "SobjectType", {columns} FROM "ObjectPermissions" WHERE "IsDeleted" = 0 AND "ParentId" IN ({assigned})'
    for name, *flags in db.read(sql, (user.id,)):
        rights.setdefault(str(name).lower(), set()).update(right for right, flag in zip(OBJECT_RIGHTS, flags, strict=True) if flag)
    return Grants(False, user.is_admin, frozenset(read), frozenset(edit), {key: frozenset(value) for key, value in rights.items()})
