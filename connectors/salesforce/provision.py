"""Creates what writeback.yml declares and the org lacks: the CSQL object, fields, and the permission set that shows them to the integration user.

Nothing that is there is changed or deleted: a field that differs is reported. A field made by API is visible to nobody, not even admins, until it
is granted (reference sheet, 6.2), so existence is asked of the Tooling API, not of a describe.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connectors.base import ProvisionStep
from connectors.errors import NotAllowed, Refused
from connectors.salesforce import metadata, soql
from connectors.salesforce.client import HOST, TOOLING, Org
from connectors.salesforce.objects import Objects
from mappings.models import FieldType, WriteField

PERMISSION_SET = "CSH_Integration"
_NO_RIGHTS = frozenset({"INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS_OR_READONLY", "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"})
#: Rights on objects, least that does the work: accounts are read and updated, CSQL records also created. Nothing is deleted.
_RIGHTS = {
    "account": {"Read": True, "Edit": True, "ViewAllRecords": True},
    "csql": {"Read": True, "Create": True, "Edit": True, "ViewAllRecords": True},
}
#: Records of one Collections call (sheet, 3.2).
_BATCH = 200


class Provisioner:
    """Provisions one org, as a user with set-up rights."""

    def __init__(self, org: Org, objects: Objects, object_names: Mapping[str, str], language: str = "ja", grant_to: str = "") -> None:
        """`grant_to`: user name of the integration user; empty = the user of this connection."""
        self._org, self._objects, self._names = org, objects, object_names
        self._language, self._grant_to = language, grant_to
        self._dry = True
        self._say: Callable[[ProvisionStep], None] = _mute
        self._steps: list[ProvisionStep] = []

    def run(self, fields: Sequence[WriteField], *, dry_run: bool, say: Callable[[ProvisionStep], None]) -> list[ProvisionStep]:
        """Every step done, or with `dry_run` every step that would be. NotAllowed names the permissions an admin needs."""
        self._dry, self._say, self._steps = dry_run, say, []
        try:
            for key in dict.fromkeys(f.object for f in fields):
                own = [f for f in fields if f.object == key]
                self._object_and_fields(key, own)
            self._grants(fields)
        except (NotAllowed, Refused) as error:
            if error.code in _NO_RIGHTS:
                raise metadata.needs_admin(error) from error
            raise
        return self._steps

    def _step(self, action: str, target: str, detail: str = "") -> None:
        step = ProvisionStep(action, target, detail)
        self._steps.append(step)
        self._say(step)

    # --- object and fields -----------------------------------------------------------------------------------------------------------------------
    def _object_and_fields(self, key: str, fields: Sequence[WriteField]) -> None:
        name = self._names[key]
        table = self._table(name)
        if table is None:
            self._step("create_object", name)
            if not self._dry:
                label = "CSQL"
                metadata.create_object(self._org, name, label, "CSQL" if self._language == "ja" else "CSQLs", "CSQL-{000000}")
                table = self._table(name)
        elif name.endswith("__c"):
            self._step("exists", name)
        known = self._known_fields(table) if table is not None else {}
        for field in fields:
            self._field(name, field, known)

    def _table(self, name: str) -> str | None:
        """How CustomField rows name the object; null if there is no such object."""
        found = self._tooling(f"SELECT DurableId FROM EntityDefinition WHERE QualifiedApiName = {soql.text(name)}")
        if not found:
            return None
        return str(found[0]["DurableId"]) if name.endswith("__c") else "Activity" if name == "Task" else name

    def _known_fields(self, table: str) -> dict[str, dict[str, Any]]:
        query = f"SELECT Id, DeveloperName, Length, Precision, Scale FROM CustomField WHERE TableEnumOrId = {soql.text(table)}"
        return {f"{row['DeveloperName']}__c".lower(): row for row in self._tooling(query)}

    def _field(self, object_name: str, field: WriteField, known: Mapping[str, Mapping[str, Any]]) -> None:
        api = field.names["salesforce"]
        target = f"{object_name}.{api}"
        there = known.get(api.lower())
        if there is not None:
            differs = _differs(field, there)
            self._step("differs" if differs else "exists", target, differs)
            return
        if not api.endswith("__c"):
            self._step("exists", target, "standard field")
            return
        self._step("create_field", target, str(field.type))
        if self._dry:
            return
        # fields of tasks are defined on Activity
        body = {"FullName": f"Activity.{api}" if object_name == "Task" else target, "Metadata": metadata.field_metadata(field, self._language)}
        try:
            self._org.json("provision", "POST", "sobjects/CustomField/", base=TOOLING, idempotent=False, body=body)
        except Refused as error:
            if error.code != "DUPLICATE_DEVELOPER_NAME":  # somebody made it in this very moment
                raise

    # --- access ----------------------------------------------------------------------------------------------------------------------------------
    def _grants(self, fields: Sequence[WriteField]) -> None:
        set_id = self._permission_set()
        self._object_rights(set_id, list(dict.fromkeys(f.object for f in fields)))
        self._field_rights(set_id, fields)
        self._assign(set_id)

    def _permission_set(self) -> str | None:
        found = self._query(f"SELECT Id FROM PermissionSet WHERE Name = {soql.text(PERMISSION_SET)}")
        if found:
            self._step("exists", PERMISSION_SET, "permission set")
            return str(found[0]["Id"])
        self._step("grant", PERMISSION_SET, "new permission set")
        if self._dry:
            return None
        body = {"Name": PERMISSION_SET, "Label": "CSH Integration"}
        made = self._org.json("provision", "POST", "sobjects/PermissionSet", idempotent=False, body=body)
        return str(made["id"])

    def _object_rights(self, set_id: str | None, keys: Sequence[str]) -> None:
        known = self._children(set_id, "ObjectPermissions", "SobjectType")
        create = []
        for key in keys:
            name = self._names[key]
            if name.lower() in known or key not in _RIGHTS:  # tasks come with a user permission of the profile, not with object rights
                continue
            rights = {f"Permissions{right}": flag for right, flag in _RIGHTS[key].items()}
            self._step("grant", name, ", ".join(_RIGHTS[key]).lower())
            create.append({"attributes": {"type": "ObjectPermissions"}, "ParentId": set_id, "SobjectType": name, **rights})
        self._insert(create)

    def _field_rights(self, set_id: str | None, fields: Sequence[WriteField]) -> None:
        known = self._children(set_id, "FieldPermissions", "Field, PermissionsRead, PermissionsEdit")
        create, widen = [], []
        for field in fields:
            api = field.names["salesforce"]
            if not api.endswith("__c"):
                continue  # standard fields come with the object and the profile
            name = f"{self._names[field.object]}.{api}"
            edit = field.owner == "worker"
            there = known.get(name.lower())
            if there is not None and there["PermissionsRead"] and (there["PermissionsEdit"] or not edit):
                continue
            self._step("grant", name, "read and edit" if edit else "read")
            rights = {"PermissionsRead": True, "PermissionsEdit": edit or bool(there and there["PermissionsEdit"])}
            if there is not None:
                widen.append({"attributes": {"type": "FieldPermissions"}, "id": there["Id"], **rights})
            else:
                object_name = self._names[field.object]
                create.append({"attributes": {"type": "FieldPermissions"}, "ParentId": set_id, "SobjectType": object_name, "Field": name, **rights})
        self._insert(create)
        self._insert(widen, method="PATCH")

    def _children(self, set_id: str | None, object_name: str, fields: str) -> dict[str, dict[str, Any]]:
        if set_id is None:
            return {}
        rows = self._query(f"SELECT Id, {fields} FROM {object_name} WHERE ParentId = {soql.text(set_id)}")
        first = fields.split(",")[0]
        return {str(row[first]).lower(): row for row in rows}

    def _insert(self, records: Sequence[Mapping[str, Any]], method: str = "POST") -> None:
        if self._dry:
            return
        for start in range(0, len(records), _BATCH):
            body = {"allOrNone": False, "records": list(records[start : start + _BATCH])}
            answers = self._org.json("provision", method, "composite/sobjects", idempotent=method == "PATCH", body=body)
            for record, answer in zip(records[start : start + _BATCH], answers, strict=True):
                if not answer["success"]:
                    error = answer["errors"][0]
                    where = record.get("Field") or record.get("SobjectType") or record.get("id")
                    raise Refused(
                        f"{where} could not be granted ({error['statusCode']}).", remedy="An admin must grant it by hand.", code=error["statusCode"]
                    )

    def _assign(self, set_id: str | None) -> None:
        user_id, user_name = self._user()
        if set_id is not None:
            condition = f"PermissionSetId = {soql.text(set_id)} AND AssigneeId = {soql.text(user_id)}"
            if self._query(f"SELECT Id FROM PermissionSetAssignment WHERE {condition}"):
                self._step("exists", PERMISSION_SET, f"assigned to {user_name}")
                return
        self._step("grant", PERMISSION_SET, f"assigned to {user_name}")
        if not self._dry:
            body = {"PermissionSetId": set_id, "AssigneeId": user_id}
            self._org.json("provision", "POST", "sobjects/PermissionSetAssignment", idempotent=False, body=body)

    def _user(self) -> tuple[str, str]:
        """(id, how to call it) of the integration user. Its name is an e-mail address, so the setting is named instead."""
        if not self._grant_to:
            return str(self._org.json("userinfo", "GET", "/services/oauth2/userinfo", base=HOST)["user_id"]), "this connection's own user"
        found = self._query(f"SELECT Id FROM User WHERE Username = {soql.text(self._grant_to)}")
        if not found:
            raise Refused(
                "The org has no user named by SCORESYNC_SALESFORCE_USERNAME.", remedy="An admin must set it to the integration user's name."
            )
        return str(found[0]["Id"]), "the user in SCORESYNC_SALESFORCE_USERNAME"

    # --- queries ---------------------------------------------------------------------------------------------------------------------------------
    def _query(self, query: str) -> list[dict[str, Any]]:
        return self._records("query/", query, "data")

    def _tooling(self, query: str) -> list[dict[str, Any]]:
        return self._records("query/", query, TOOLING)

    def _records(self, path: str, query: str, base: str) -> list[dict[str, Any]]:
        body = self._org.json("query", "GET", path, base=base, params={"q": query})
        rows: list[dict[str, Any]] = list(body["records"])
        while not body["done"]:
            body = self._org.json("query_more", "GET", body["nextRecordsUrl"], base=HOST)
            rows += body["records"]
        return rows


def _mute(_step: ProvisionStep) -> None:
    return None


def _differs(field: WriteField, there: Mapping[str, Any]) -> str:
    """How an existing field is narrower than declared; empty = it will do."""
    length, precision, scale = there.get("Length"), there.get("Precision"), there.get("Scale")
    if field.type in (FieldType.TEXT, FieldType.LONG_TEXT) and field.length and length and length < field.length:
        return f"length {length}, declared {field.length}"
    if field.formula is None and field.precision and precision and (precision - (scale or 0)) < field.precision - (field.scale or 0):
        return f"precision {precision}, declared {field.precision}"
    return ""
