"""Tooling API: custom fields and objects as records, and queries over them."""

from __future__ import annotations

import re
from typing import Any

from connectors.salesforce.sandbox import soql
from connectors.salesforce.sandbox.errors import SalesforceError, not_found
from connectors.salesforce.sandbox.ids import to18
from connectors.salesforce.sandbox.routing import Context, Reply, Routes
from connectors.salesforce.sandbox.schema import FieldDef, ObjectDef
from connectors.salesforce.sandbox.state import State, User

Record = dict[str, Any]


def register(routes: Routes) -> None:
    """Adds the paths of this area."""
    routes.add("GET", "tooling", resources, kind="tooling")
    routes.add("GET", "tooling/query", query, kind="tooling_query")
    routes.add("POST", "tooling/sobjects/CustomField", create_field, kind="tooling_create")
    routes.add("GET", "tooling/sobjects/CustomField/{id}", get_field, kind="tooling_get")
    routes.add("PATCH", "tooling/sobjects/CustomField/{id}", change_field, kind="tooling_update")
    routes.add("DELETE", "tooling/sobjects/CustomField/{id}", delete_field, kind="tooling_delete")
    # A real org makes custom objects by the Metadata API only; this is the sandbox's shortcut for people without a SOAP client.
    routes.add("POST", "tooling/sobjects/CustomObject", create_object, kind="tooling_create")


def require_setup(user: User) -> None:
    """Changing the schema needs an administrator."""
    if not user.is_admin:
        raise SalesforceError(
            "INSUFFICIENT_ACCESS", "insufficient access rights on object id: Customize Application permission is required", status=403
        )


def resources(context: Context) -> Reply:
    """`GET tooling/`."""
    base = f"/services/data/v{context.version}/tooling"
    return Reply({"query": f"{base}/query", "sobjects": f"{base}/sobjects"})


def _created(record_id: str | None) -> Reply:
    return Reply({"id": record_id, "success": True, "errors": [], "warnings": [], "infos": []}, 201)


def _metadata(body: Record) -> Record:
    metadata = body.get("Metadata")
    if not isinstance(metadata, dict):
        raise SalesforceError("REQUIRED_FIELD_MISSING", "Required fields are missing: [Metadata]", fields=("Metadata",))
    return metadata


def create_field(context: Context) -> Reply:
    """`POST tooling/sobjects/CustomField {"FullName", "Metadata"}`."""
    require_setup(context.user)
    body = context.json_object()
    name = body.get("FullName")
    if not isinstance(name, str):
        raise SalesforceError("REQUIRED_FIELD_MISSING", "Required fields are missing: [FullName]", fields=("FullName",))
    return _created(context.state.create_field(name, _metadata(body)).field_id)


def create_object(context: Context) -> Reply:
    """`POST tooling/sobjects/CustomObject {"FullName", "Metadata"}` (the sandbox's own shortcut)."""
    require_setup(context.user)
    body = context.json_object()
    return _created(context.state.create_object(str(body.get("FullName")), _metadata(body)).object_id)


def find_field(state: State, record_id: str) -> tuple[ObjectDef, FieldDef]:
    """The custom field of a `00N…` id."""
    wanted = to18(record_id)
    for item in state.objects.values():
        for column in item.fields.values():
            if column.custom and column.field_id == wanted:
                return item, column
    raise not_found()


def get_field(context: Context) -> Reply:
    """`GET tooling/sobjects/CustomField/{id}` with its Metadata."""
    item, column = find_field(context.state, context.path["id"])
    return Reply({**_field_record(item, column, context.version), "Metadata": column.developer_metadata})


def change_field(context: Context) -> Reply:
    """`PATCH tooling/sobjects/CustomField/{id}` with the complete Metadata: 204."""
    require_setup(context.user)
    item, column = find_field(context.state, context.path["id"])
    context.state.change_field(item.name, column.name, _metadata(context.json_object()))
    return Reply(None, 204)


def delete_field(context: Context) -> Reply:
    """`DELETE tooling/sobjects/CustomField/{id}`: 204."""
    require_setup(context.user)
    item, column = find_field(context.state, context.path["id"])
    context.state.drop_field(item.name, column.name)
    return Reply(None, 204)


# -- queries ---------------------------------------------------------------------------------------------------------------------


def _owner(item: ObjectDef) -> str:
    return item.object_id or item.name


def _field_record(item: ObjectDef, column: FieldDef, version: str) -> Record:
    url = f"/services/data/v{version}/tooling/sobjects/CustomField/{column.field_id}"
    activity = item.name in ("Task", "Event")
    return {
        "attributes": {"type": "CustomField", "url": url}, "Id": column.field_id, "DeveloperName": re.sub(r"__c$", "", column.name),
        "TableEnumOrId": "Activity" if activity else _owner(item), "FullName": f"{'Activity' if activity else item.name}.{column.name}",
        "NamespacePrefix": None, "ManageableState": "unmanaged", "InlineHelpText": column.help, "Length": column.length or None,
        "Precision": column.precision or None, "Scale": column.scale if column.is_number else None,
    }  # fmt: skip


def _rows(state: State, name: str, version: str) -> list[Record]:
    objects = state.objects.values()
    if name == "customfield":
        found = {column.field_id: _field_record(item, column, version) for item in objects for column in item.fields.values() if column.custom}
        return [row for key, row in sorted(found.items(), key=lambda pair: str(pair[0])) if key]
    if name == "customobject":
        return [
            {"attributes": {"type": "CustomObject"}, "Id": item.object_id, "DeveloperName": re.sub(r"__c$", "", item.name), "NamespacePrefix": None}
            for item in objects if item.custom
        ]  # fmt: skip
    if name == "entitydefinition":
        return [
            {
                "attributes": {"type": "EntityDefinition"}, "DurableId": _owner(item), "QualifiedApiName": item.name, "DeveloperName": item.name,
                "Label": item.label, "PluralLabel": item.label_plural, "KeyPrefix": item.key_prefix, "IsCustomSetting": item.custom_setting,
            }
            for item in objects
        ]  # fmt: skip
    if name == "fielddefinition":
        return [
            {
                "attributes": {"type": "FieldDefinition"}, "DurableId": f"{_owner(item)}.{column.field_id or column.name}",
                "QualifiedApiName": column.name, "Label": column.label, "EntityDefinitionId": _owner(item), "DataType": column.type,
                "EntityDefinition": {"QualifiedApiName": item.name},
            }
            for item in objects for column in item.fields.values()
        ]  # fmt: skip
    raise SalesforceError("INVALID_TYPE", f"sObject type '{name}' is not supported.")


def query(context: Context) -> Reply:
    """`GET tooling/query?q=` over CustomField, CustomObject, EntityDefinition and FieldDefinition: conditions on their columns, LIMIT."""
    statement = soql.parse(context.params.get("q", ""))
    rows = [row for row in _rows(context.state, statement.object.lower(), context.version) if _holds(statement.where, row)]
    names = [item.expr for item in statement.select if isinstance(item, soql.SelectField)]
    if names and isinstance(names[0], soql.Call):
        return Reply(
            {"size": len(rows), "totalSize": len(rows), "done": True, "queryLocator": None, "entityTypeName": statement.object, "records": []}
        )
    shown = [_shown(row, [name.path for name in names if isinstance(name, soql.Field)]) for row in rows[: statement.limit]]
    if any("Metadata" in row for row in shown):
        if len(shown) > 1:
            message = (
                "When retrieving results with Metadata or FullName fields, the query qualifications must specify no more than one row for retrieval."
            )
            raise SalesforceError("MALFORMED_QUERY", message)
        _, column = find_field(context.state, str(rows[0]["Id"]))
        shown[0]["Metadata"] = column.developer_metadata
    return Reply(
        {"size": len(shown), "totalSize": len(shown), "done": True, "queryLocator": None, "entityTypeName": statement.object, "records": shown}
    )


def _shown(row: Record, paths: list[tuple[str, ...]]) -> Record:
    answer: Record = {"attributes": row["attributes"]}
    for path in paths:
        if path[0].lower() == "metadata":
            answer["Metadata"] = None
            continue
        name, value = _value(row, path)
        answer[name] = value
    return answer


def _value(row: Record, path: tuple[str, ...]) -> tuple[str, Any]:
    """The column (in its own spelling) and value of a path; a parent path yields the whole parent."""
    for key, value in row.items():
        if key.lower() == path[0].lower():
            return key, value
    raise SalesforceError("INVALID_FIELD", f"No such column '{'.'.join(path)}' on entity '{row['attributes']['type']}'.")


def _deep(row: Record, path: tuple[str, ...]) -> Any:
    _, value = _value(row, path)
    return _deep({"attributes": row["attributes"], **value}, path[1:]) if len(path) > 1 and isinstance(value, dict) else value


def _holds(condition: Any, row: Record) -> bool:
    if condition is None:
        return True
    if isinstance(condition, soql.And):
        return all(_holds(part, row) for part in condition.parts)
    if isinstance(condition, soql.Or):
        return any(_holds(part, row) for part in condition.parts)
    if isinstance(condition, soql.Not):
        return not _holds(condition.part, row)
    if not isinstance(condition.left, soql.Field):
        raise SalesforceError("MALFORMED_QUERY", "functions are not supported in a tooling query here")
    value = _fold(_deep(row, condition.left.path))
    wanted = [_fold(literal.value) for literal in condition.values]
    if condition.operator in ("=", "in"):
        return value in wanted
    if condition.operator in ("!=", "not_in"):
        return value not in wanted
    if condition.operator == "like":
        pattern = re.escape(str(wanted[0])).replace("%", ".*").replace("_", ".")
        return re.fullmatch(pattern, str(value or ""), re.DOTALL) is not None
    raise SalesforceError("MALFORMED_QUERY", f"operator {condition.operator} is not supported in a tooling query here")


def _fold(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
