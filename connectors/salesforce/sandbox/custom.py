"""Custom fields and objects: from the Metadata API's description to definitions."""

from __future__ import annotations

import re
from typing import Any

from connectors.salesforce.sandbox.errors import SalesforceError
from connectors.salesforce.sandbox.formula import Lookup, compile_formula
from connectors.salesforce.sandbox.schema import FieldDef, ObjectDef, PicklistValue
from connectors.salesforce.sandbox.standard_parse import STAMPS, parse_field

NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*__c")
TYPES = {
    "Text": "string", "TextArea": "textarea", "LongTextArea": "textarea", "Html": "textarea", "Number": "double", "Currency": "currency",
    "Percent": "percent", "Date": "date", "DateTime": "datetime", "Time": "time", "Checkbox": "boolean", "Picklist": "picklist",
    "MultiselectPicklist": "multipicklist", "Email": "email", "Phone": "phone", "Url": "url", "Lookup": "reference", "MasterDetail": "reference",
    "AutoNumber": "string",
}  # fmt: skip
CHILD_NAME = re.compile(r"__c$")


def _invalid(message: str, *fields: str) -> SalesforceError:
    return SalesforceError("FIELD_INTEGRITY_EXCEPTION", message, fields=fields)


def _flag(metadata: dict[str, Any], name: str) -> bool:
    value = metadata.get(name)
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _int(metadata: dict[str, Any], name: str, low: int, high: int) -> int:
    value = metadata.get(name)
    if value is None or value == "":
        raise _invalid(f"Must specify '{name}' for a CustomField of type {metadata.get('type')}", name)
    number = int(value)
    if not low <= number <= high:
        raise _invalid(f"Value for '{name}' must be between {low} and {high}: {number}", name)
    return number


def check_name(name: str) -> None:
    """Refuses API names the org refuses: letters, digits, single underscores, `__c`, at most 40 characters before it."""
    if not NAME.fullmatch(name) or len(name) > 43:
        raise SalesforceError(
            "INVALID_FIELD", f"The field name {name!r} can only contain alphanumeric characters, begin with a letter and end with __c"
        )


def field_from_metadata(owner: ObjectDef, name: str, metadata: dict[str, Any], field_id: str, lookup: Lookup) -> FieldDef:
    """A custom field from its Metadata (`type`, `label`, `precision` …); refuses what an org refuses."""
    check_name(name)
    kind = str(metadata.get("type") or "")
    if kind not in TYPES:
        raise _invalid(f"Invalid field type: {kind}", "type")
    label = str(metadata.get("label") or "")
    if not label:
        raise SalesforceError("REQUIRED_FIELD_MISSING", "Required fields are missing: [MasterLabel]", fields=("MasterLabel",))
    if len(label) > 40:
        raise SalesforceError("STRING_TOO_LONG", f"Field Label: data value too large: {label} (max length=40)", fields=("MasterLabel",))
    common: dict[str, Any] = {
        "label": label, "custom": True, "help": metadata.get("inlineHelpText"), "field_id": field_id, "developer_metadata": dict(metadata),
        "external_id": _flag(metadata, "externalId"), "unique": _flag(metadata, "unique"), "nillable": not _flag(metadata, "required"),
        "permissionable": not _flag(metadata, "required"), "case_sensitive": _flag(metadata, "caseSensitive"),
    }  # fmt: skip
    common["id_lookup"] = common["external_id"]
    common["indexed"] = common["external_id"] or common["unique"]
    if metadata.get("formula"):
        return _formula_field(owner, name, kind, common, lookup)
    common.update(_type_settings(name, kind, metadata))
    return FieldDef(name, TYPES[kind], **common)


def _formula_field(owner: ObjectDef, name: str, kind: str, common: dict[str, Any], lookup: Lookup) -> FieldDef:
    metadata = common["developer_metadata"]
    text = str(metadata["formula"])
    common.update(
        calculated=True, formula=text, createable=False, updateable=False, nillable=kind != "Checkbox", sql=compile_formula(text, owner, lookup)
    )
    if kind in ("Number", "Currency", "Percent"):
        scale = int(metadata.get("scale") or 0)
        common.update(precision=int(metadata.get("precision") or 18), scale=scale, sql=f"round({common['sql']}, {scale})")
    if kind == "Text":
        common["length"] = 1300
    return FieldDef(name, TYPES[kind], **common)


def _type_settings(name: str, kind: str, metadata: dict[str, Any]) -> dict[str, Any]:
    if kind in ("Number", "Currency", "Percent"):
        precision, scale = _int(metadata, "precision", 1, 18), _int(metadata, "scale", 0, 17)
        if scale > precision:
            raise _invalid(f"Value for 'scale' ({scale}) must not exceed 'precision' ({precision})", "scale")
        return {"precision": precision, "scale": scale}
    if kind == "Text":
        return {"length": _int(metadata, "length", 1, 255)}
    if kind in ("LongTextArea", "Html"):
        _int(metadata, "visibleLines", 1, 50)
        return {"length": _int(metadata, "length", 256, 131072), "long_text": True}
    if kind in ("Picklist", "MultiselectPicklist"):
        return {"length": 255 if kind == "Picklist" else 4099, **_picklist(metadata)}
    if kind == "Checkbox":
        if metadata.get("defaultValue") is None:
            raise _invalid("Must specify 'defaultValue' for a CustomField of type Checkbox", "defaultValue")
        return {"nillable": False, "permissionable": True, "default": _flag(metadata, "defaultValue")}
    if kind in ("Lookup", "MasterDetail"):
        return _lookup(name, kind, metadata)
    if kind == "AutoNumber":
        pattern = str(metadata.get("displayFormat") or "{0}")
        return {"length": 30, "auto_number": pattern, "createable": False, "updateable": False, "nillable": False}
    return {"length": {"TextArea": 255, "Email": 80, "Phone": 40, "Url": 255}.get(kind, 0)}


def _picklist(metadata: dict[str, Any]) -> dict[str, Any]:
    value_set = metadata.get("valueSet") or {}
    definition = value_set.get("valueSetDefinition") or {}
    rows = definition.get("value") or []
    rows = rows if isinstance(rows, list) else [rows]
    if not rows:
        raise _invalid("Must specify 'valueSet' for a CustomField of type Picklist", "valueSet")
    values = []
    for row in rows:
        # Tooling REST says valueName where the Metadata API says fullName.
        name = row.get("fullName") or row.get("valueName") or row.get("label")
        active = row.get("isActive")
        values.append(PicklistValue(str(name), str(row.get("label") or name), active is None or _flag(row, "isActive"), _flag(row, "default")))
    default = next((item.value for item in values if item.default), None)
    return {"picklist": tuple(values), "restricted": _flag(value_set, "restricted"), "default": default}


def _lookup(name: str, kind: str, metadata: dict[str, Any]) -> dict[str, Any]:
    target = metadata.get("referenceTo")
    if not target:
        raise _invalid(f"Must specify 'referenceTo' for a CustomField of type {kind}", "referenceTo")
    children = metadata.get("relationshipName")
    rule = metadata.get("deleteConstraint")
    detail = kind == "MasterDetail"
    return {
        "length": 18, "reference_to": (str(target),), "relationship_name": CHILD_NAME.sub("__r", name), "indexed": True,
        "child_relationship": f"{children}__r" if children else None,
        "cascade_delete": detail or rule == "Cascade", "restricted_delete": rule == "Restrict",
        **({"nillable": False, "permissionable": False} if detail else {}),
    }  # fmt: skip


def object_from_metadata(name: str, metadata: dict[str, Any], key_prefix: str, object_id: str) -> ObjectDef:
    """A custom object without custom fields from its Metadata (`label`, `pluralLabel`, `nameField`, `customSettingsType`)."""
    check_name(name)
    label = str(metadata.get("label") or "")
    if not label:
        raise SalesforceError("REQUIRED_FIELD_MISSING", "Required fields are missing: [MasterLabel]", fields=("MasterLabel",))
    setting = bool(metadata.get("customSettingsType"))
    lines = ["Id id ro noperm lookup", "OwnerId reference to=User+Group:Owner: default=@user req", "IsDeleted boolean ro noperm"]
    if setting:
        lines = [
            "Id id ro noperm lookup",
            "IsDeleted boolean ro noperm",
            "SetupOwnerId reference to=Organization+Profile+User:SetupOwner: noperm noupd",
        ]
    fields = {item.key: item for item in (parse_field(line, {}) for line in lines)}
    fields["name"] = _name_field(metadata.get("nameField") or {}, setting)
    for line in STAMPS:
        item = parse_field(line, {})
        fields[item.key] = item
    plural = str(metadata.get("pluralLabel") or f"{label}s")
    return ObjectDef(name, label, plural, key_prefix, custom=True, custom_setting=setting, fields=fields, object_id=object_id)


def _name_field(metadata: dict[str, Any], setting: bool) -> FieldDef:
    label = str(metadata.get("label") or "Name")
    common: dict[str, Any] = {"length": 80, "name_field": True, "permissionable": False, "indexed": True, "id_lookup": True}
    if metadata.get("type") == "AutoNumber":
        pattern = str(metadata.get("displayFormat") or "{0}")
        return FieldDef("Name", "string", label, auto_number=pattern, createable=False, updateable=False, nillable=False, **common)
    # A text name left out on insert becomes the record's id.
    return FieldDef("Name", "string", label, nillable=True, **{**common, "length": 38 if setting else 80})
