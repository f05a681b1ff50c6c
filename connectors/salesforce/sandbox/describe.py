"""Describe answers: the global list and one object with every field key."""

from __future__ import annotations

from typing import Any

from connectors.salesforce.sandbox.schema import SOAP_TYPES, FieldDef, ObjectDef
from connectors.salesforce.sandbox.state import State, User

MASTER = "012000000000000AAA"
FLAGS = {
    "activateable": False, "deletable": True, "deprecatedAndHidden": False, "createable": True, "updateable": True, "feedEnabled": False,
    "hasSubtypes": False,
    "isInterface": False, "isSubtype": False, "layoutable": True, "mruEnabled": True, "replicateable": True, "retrieveable": True, "searchable": True,
    "triggerable": True, "undeletable": True,
}  # fmt: skip


def global_describe(state: State, user: User, version: str) -> dict[str, Any]:
    """`GET sobjects`: the objects the user may see."""
    grants = state.grants(user)
    visible = [item for item in sorted(state.objects.values(), key=lambda item: item.name) if grants.can_read(item)]
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [summary(item, version) for item in visible]}


def summary(item: ObjectDef, version: str) -> dict[str, Any]:
    """The object keys of the global describe."""
    base = f"/services/data/v{version}/sobjects/{item.name}"
    return {
        **FLAGS, "associateEntityType": None, "associateParentEntity": None, "custom": item.custom, "customSetting": item.custom_setting,
        "keyPrefix": item.key_prefix, "label": item.label, "labelPlural": item.label_plural, "mergeable": item.mergeable, "name": item.name,
        "queryable": item.queryable, "urls": {"rowTemplate": base + "/{ID}", "describe": base + "/describe", "sobject": base},
    }  # fmt: skip


def object_describe(state: State, item: ObjectDef, user: User, version: str) -> dict[str, Any]:
    """`GET sobjects/X/describe`. Fields the user may not see are absent."""
    visible = state.visible_fields(item.name, user)
    editable = state.editable_fields(item.name, user)
    grants = state.grants(user)
    answer = summary(item, version)
    answer["createable"] = grants.can_write(item, "insert")
    answer["updateable"] = grants.can_write(item, "update")
    answer["deletable"] = grants.can_write(item, "delete")
    answer["urls"] = {
        **answer["urls"], "uiDetailTemplate": f"/lightning/r/{item.name}/{{ID}}/view", "uiEditTemplate": f"/lightning/r/{item.name}/{{ID}}/edit",
        "uiNewRecord": f"/lightning/o/{item.name}/new",
    }  # fmt: skip
    answer.update(
        actionOverrides=[], compactLayoutable=True, defaultImplementation=None, extendedBy=None, extendsInterfaces=None, implementedBy=None,
        implementsInterfaces=None, listviewable=None, lookupLayoutable=None, namedLayoutInfos=[], networkScopeFieldName=None, searchLayoutable=True,
        sobjectDescribeOption="FULL", supportedScopes=[{"label": f"All {item.label_plural}", "name": "everything"}],
    )  # fmt: skip
    answer["fields"] = [field_describe(column, column.key in editable) for key, column in item.fields.items() if key in visible]
    answer["childRelationships"] = [
        {
            "cascadeDelete": link.cascade_delete, "childSObject": link.child, "deprecatedAndHidden": False, "field": link.field,
            "junctionIdListNames": [], "junctionReferenceTo": [],
            "relationshipName": link.relationship_name, "restrictedDelete": link.restricted_delete,
        }
        for link in item.children
        if link.field.lower() in state.visible_fields(link.child, user)
    ]  # fmt: skip
    answer["recordTypeInfos"] = [
        {
            "active": True, "available": True, "defaultRecordTypeMapping": True, "developerName": "Master", "master": True, "name": "Master",
            "recordTypeId": MASTER, "urls": {"layout": f"/services/data/v{version}/sobjects/{item.name}/describe/layouts/{MASTER}"},
        }
    ]  # fmt: skip
    return answer


def field_describe(item: FieldDef, editable: bool) -> dict[str, Any]:
    """One entry of `fields[]`; `editable` is the user's field-level security."""
    text = item.is_text
    plain = item.filterable
    formula = item.calculated and item.custom
    return {
        "aggregatable": plain and item.type not in ("boolean",), "aiPredictionField": False, "autoNumber": item.auto_number is not None,
        "byteLength": item.length * 3 if text else (18 if item.type in ("id", "reference") else 0), "calculated": item.calculated,
        "calculatedFormula": item.formula, "cascadeDelete": item.cascade_delete, "caseSensitive": item.case_sensitive,
        "compoundFieldName": _compound(item),
        "controllerName": None, "createable": item.createable and not item.calculated and editable, "custom": item.custom,
        "defaultValue": bool(item.default) if item.type == "boolean" else None,
        "defaultValueFormula": None, "defaultedOnCreate": item.default is not None or item.type == "boolean" or item.name in ("Id", "OwnerId"),
        "dependentPicklist": False, "deprecatedAndHidden": False, "digits": item.precision if item.type == "int" else 0,
        "displayLocationInDecimal": False, "encrypted": False, "externalId": item.external_id,
        "extraTypeInfo": "plaintextarea" if item.long_text else None,
        "filterable": plain, "filteredLookupInfo": None, "formulaTreatNullNumberAsZero": False,
        "groupable": plain and item.type not in ("datetime", "double", "currency", "percent") and not formula, "highScaleNumber": False,
        "htmlFormatted": False, "idLookup": item.id_lookup, "inlineHelpText": item.help, "label": item.label,
        "length": item.length if text or item.type in ("id", "reference") else 0, "mask": None, "maskType": None, "name": item.name,
        "nameField": item.name_field, "namePointing": item.polymorphic, "nillable": item.nillable, "permissionable": item.permissionable,
        "picklistValues": [
            {"active": entry.active, "defaultValue": entry.default, "label": entry.label, "validFor": None, "value": entry.value}
            for entry in item.picklist
        ],
        "polymorphicForeignKey": item.polymorphic, "precision": item.precision if item.is_number else 0, "queryByDistance": False,
        "referenceTargetField": None, "referenceTo": list(item.reference_to), "relationshipName": item.relationship_name, "relationshipOrder": None,
        "restrictedDelete": item.restricted_delete, "restrictedPicklist": item.restricted, "scale": item.scale, "searchPrefilterable": False,
        "soapType": SOAP_TYPES.get(item.type, "xsd:string"), "sortable": plain, "type": item.type, "unique": item.unique,
        "updateable": item.writable and editable, "writeRequiresMasterRead": False,
    }  # fmt: skip


def _compound(item: FieldDef) -> str | None:
    for prefix in ("Billing", "Shipping", "Mailing"):
        if item.name.startswith(prefix) and not item.custom:
            return f"{prefix}Address"
    return "Name" if item.name in ("FirstName", "LastName", "Salutation") and not item.custom else None
