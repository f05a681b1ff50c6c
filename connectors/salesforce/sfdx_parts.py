"""What an admin deploys into Salesforce, as plain data: one `Component` per metadata component, built from writeback.yml.

Base labels are English, Japanese comes by translation. List views and page titles have no translation of their own in the Metadata API:
views carry both languages in their label, page titles are custom labels. Vendor formats: Metadata API guide, types of the same names.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from connectors.salesforce.metadata import field_metadata
from mappings.models import FieldType, WriteField

ACCOUNT, JAPANESE = "Account", "ja"
ACTION = "CSH_Recalculate_Health"
SECTION_LABEL = "CSH_Health_Section"
NEAR_DAYS = 60  # notice deadlines shown as near: two months leave time for a visit and an internal decision at the customer
LABEL_MOST = 40  # characters Salesforce allows in a label of a field or list view

#: Standard objects behind the shipped mapping, read by the integration user. Lines, tasks and events follow their parents.
READ_OBJECTS = ("Case", "Contact", "Contract", "Opportunity", "Order", "Product2")
#: Their mapped standard fields that field-level security can hide. Required and system fields are always visible and must not be listed;
#: fields of the customer's own (CSM__c …) and the billing address (only for `region`) are granted by whoever maps them.
READ_FIELDS = (
    "Account.Industry",
    "Account.NumberOfEmployees",
    "Account.ParentId",
    "Account.Type",
    "Account.Website",
    "Case.Priority",
    "Contact.AccountId",
    "Opportunity.AccountId",
    "Opportunity.Type",
    "Order.EndDate",
    "OrderItem.EndDate",
    "OrderItem.ServiceDate",
    "Product2.ProductCode",
)
#: What a CSM fills in when writing a CSQL by hand, and what sales moves. Salesforce field names come from writeback.yml by these keys.
CSM_EDITS = ("account", "title", "product", "motion", "state", "need", "why_now", "amount", "seats_suggested")
SALES_EDITS = ("state",)


@dataclass(frozen=True)
class Component:
    """`name` as package.xml has it: `Account.CSH_X__c` for a field, `Account-ja` for a translation."""

    kind: str
    name: str
    body: Mapping[str, Any]


def components(fields: Iterable[WriteField], csql: str) -> list[Component]:
    """Everything of the package, for these fields of writeback.yml, in the order of the file. `csql`: API name of the CSQL object."""
    given = list(fields)
    own = {"account": [f for f in given if f.object == "account"], "csql": [f for f in given if f.object == "csql"]}
    objects = {"account": ACCOUNT, "csql": csql}
    parts = [_csql_object(csql)]
    for key, object_name in objects.items():
        parts += [Component("CustomField", f"{object_name}.{api(f)}", _field(f)) for f in own[key]]
        parts.append(_translation(object_name, own[key], custom=key == "csql"))
    parts += _list_views(own, csql)
    parts += [
        _quick_action(own["account"]),
        _page(own["account"], own["csql"]),
        Component("CustomTab", csql, {"customObject": True, "motif": "Custom53: Bell"}),
    ]
    parts += _labels()
    parts += _permission_sets(own, csql)
    return parts


def api(field: WriteField) -> str:
    """The Salesforce name of a field."""
    return field.names["salesforce"]


def _by_key(fields: Iterable[WriteField]) -> dict[str, str]:
    return {field.key: api(field) for field in fields}


# --- objects and fields --------------------------------------------------------------------------------------------------------------------------
def _csql_object(name: str) -> Component:
    body = {
        "deploymentStatus": "Deployed",
        "description": "Customer-success-qualified leads. Written by scoresync; people move the state and fill in the reasons.",
        "enableActivities": True,
        "enableBulkApi": True,
        "enableHistory": True,
        "enableReports": True,
        "enableSearch": True,
        "enableSharing": True,
        "enableStreamingApi": True,
        "label": "CSQL",
        "nameField": {"displayFormat": "CSQL-{000000}", "label": "CSQL", "type": "AutoNumber"},
        "pluralLabel": "CSQLs",
        "sharingModel": "ReadWrite",
    }
    return Component("CustomObject", name, body)


def _field(field: WriteField) -> dict[str, Any]:
    """The same metadata that provisioning sends; the Tooling API's own key for picklist values is left out."""
    body = field_metadata(field, "en")
    if "valueSet" in body:
        definition = body["valueSet"]["valueSetDefinition"]
        values = [{key: value[key] for key in ("fullName", "default", "label")} for value in definition["value"]]
        body["valueSet"] = {**body["valueSet"], "valueSetDefinition": {**definition, "value": values}}
    return {"fullName": api(field), **body}


def _translation(object_name: str, fields: list[WriteField], *, custom: bool) -> Component:
    texts: list[dict[str, Any]] = []
    for field in fields:
        values = [{"masterLabel": value.en, "translation": value.ja} for value in field.values]
        text = {"name": api(field), "label": field.label.ja, "help": field.meaning.ja, "picklistValues": values}
        if field.type == FieldType.LOOKUP:
            text["relationshipLabel"] = "CSQL" if custom else field.label.ja
        texts.append(text)
    body: dict[str, Any] = {"fields": texts}
    if custom:
        body |= {"caseValues": [{"plural": plural, "value": "CSQL"} for plural in (False, True)], "nameFieldLabel": "CSQL番号"}
    else:
        body["quickActions"] = [{"label": "健康度を再計算", "name": ACTION}]
    return Component("CustomObjectTranslation", f"{object_name}-{JAPANESE}", body)


# --- what people see -----------------------------------------------------------------------------------------------------------------------------
def _list_views(own: Mapping[str, list[WriteField]], csql: str) -> list[Component]:
    account, lead = _by_key(own["account"]), _by_key(own["csql"])
    look = [account[key] for key in ("health_tier", "health_score", "health_delta", "main_reason", "next_action", "notice_on", "csql_status")]
    near = [account[key] for key in ("notice_on", "days_left", "health_tier", "health_score", "main_reason", "next_action", "pulse")]
    new = [lead[key] for key in ("account", "title", "motion", "product", "need", "why_now", "amount", "approach_score", "accept_by", "assigned_to")]
    # a formula of days, because a relative date of the list view's own would need the user's language
    soon = [(account["days_left"], "greaterOrEqual", "0"), (account["days_left"], "lessOrEqual", str(NEAR_DAYS))]
    return [
        _list_view(
            ACCOUNT, "CSH_Accounts_To_Look_At", "要確認のアカウント / Accounts to look at", look, [(account["health_tier"], "equals", "3,2,1")]
        ),
        _list_view(ACCOUNT, "CSH_Notice_Deadline_Near", "通知期限が近い / Notice deadline near", near, soon),
        _list_view(csql, "CSH_New_CSQLs", "新着CSQL / New CSQLs", new, [(lead["state"], "equals", "Submitted")]),
    ]


def _list_view(object_name: str, name: str, label: str, columns: list[str], filters: list[tuple[str, str, str]]) -> Component:
    first = ["ACCOUNT.NAME"] if object_name == ACCOUNT else ["NAME"]
    tests = [{"field": field, "operation": operation, "value": value} for field, operation, value in filters]
    body = {"fullName": name, "columns": [*first, *columns], "filterScope": "Everything", "filters": tests, "label": label}
    return Component("ListView", f"{object_name}.{name}", body)


def _quick_action(account: list[WriteField]) -> Component:
    """Sets the request to now; the record shows the answer when the worker has been there."""
    names = _by_key(account)
    shown = [{"emptySpace": False, "field": names[key], "uiBehavior": "Readonly"} for key in ("scored_at", "resynced_at")]
    body = {
        "description": "Asks scoresync to rescore this account at once.",
        "fieldOverrides": [{"field": names["resync_requested_at"], "formula": "NOW()"}],
        "label": "Recalculate health",
        "optionsCreateFeedItem": False,
        "quickActionLayout": {"layoutSectionStyle": "OneColumn", "quickActionLayoutColumns": [{"quickActionLayoutItems": shown}]},
        "successMessage": "Recalculation requested. The section shows the answer in a moment. / 再計算を依頼しました。",
        "type": "Update",
    }
    return Component("QuickAction", f"{ACCOUNT}.{ACTION}", body)


def section_fields(account: Iterable[WriteField]) -> list[WriteField]:
    """The fields of the account's section, in its order."""
    return sorted((field for field in account if field.section is not None), key=lambda field: field.section or 0)


def _page(account: list[WriteField], csql: list[WriteField]) -> Component:
    fields = section_fields(account)
    half = (len(fields) + 1) // 2
    left, right, columns = (_facet(name) for name in ("left", "right", "columns"))
    relation = next(field_metadata(field, "en")["relationshipName"] for field in csql if field.reference_to == ACCOUNT)
    title = f"{{!$Label.{SECTION_LABEL}}}"
    related = {
        "parentFieldApiName": "Account.Id",
        "relatedListApiName": f"{relation}__r",
        "relatedListComponentOverride": "NONE",
        "rowsToDisplay": "10",
    }
    actions = [{"value": f"{ACCOUNT}.{ACTION}"}, {"value": "Edit"}]
    bar: list[dict[str, Any]] = [
        {"name": "actionNames", "valueList": {"valueListItems": actions}},
        {"name": "collapsed", "value": "false"},
        {"name": "enableActionsConfiguration", "value": "true"},
        {"name": "numVisibleActions", "value": "3"},
    ]
    main = [
        _component("flexipage:fieldSection", "csh_health", _properties({"columns": columns, "label": title, "horizontalAlignment": "false"})),
        _component("force:relatedListSingleContainer", "csh_csqls", _properties({**related, "showActionBar": "true"})),
        _component("force:detailPanel", "force_detailPanel", []),
    ]
    regions = [
        _region("header", "Region", [_component("force:highlightsPanel", "force_highlightsPanel", bar)]),
        _region(left, "Facet", [_shown(field) for field in fields[:half]]),
        _region(right, "Facet", [_shown(field) for field in fields[half:]]),
        _region(
            columns, "Facet", [_component("flexipage:column", f"csh_{place}", _properties({"body": body})) for place, body in _sides(left, right)]
        ),
        _region("main", "Region", main),
        _region("sidebar", "Region", [_component("force:relatedListContainer", "force_relatedListContainer", [])]),
    ]
    body = {
        "description": "Account page with the health section. Activate it in Lightning App Builder, or add the section to your own page.",
        "flexiPageRegions": regions,
        "masterLabel": "Account with customer health",
        "sobjectType": ACCOUNT,
        "template": {"name": "flexipage:recordHomeTemplateDesktop"},
        "type": "RecordPage",
    }
    return Component("FlexiPage", "CSH_Account_Health", body)


def _sides(left: str, right: str) -> list[tuple[str, str]]:
    return [("left", left), ("right", right)]


def _facet(name: str) -> str:
    """Facets are named by unique ids; these stay the same from build to build."""
    return f"Facet-{uuid5(NAMESPACE_URL, f'scoresync/account-health/{name}')}"


def _region(name: str, kind: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"itemInstances": items, "name": name, "type": kind}


def _component(name: str, identifier: str, properties: list[dict[str, Any]]) -> dict[str, Any]:
    return {"componentInstance": {"componentInstanceProperties": properties, "componentName": name, "identifier": identifier}}


def _properties(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _shown(field: WriteField) -> dict[str, Any]:
    """People edit what is theirs; the rest is shown."""
    behaviour = "none" if field.owner == "human" else "readonly"
    identifier = f"Record{api(field).replace('__', '_')}Field"
    return {
        "fieldInstance": {
            "fieldInstanceProperties": [{"name": "uiBehavior", "value": behaviour}],
            "fieldItem": f"Record.{api(field)}",
            "identifier": identifier,
        }
    }


def _labels() -> list[Component]:
    label = {
        "fullName": SECTION_LABEL,
        "language": "en_US",
        "protected": True,
        "shortDescription": "Title of the health section",
        "value": "Customer health",
    }
    return [
        Component("CustomLabels", "CustomLabels", {"labels": [label]}),
        Component("Translations", JAPANESE, {"customLabels": [{"label": "カスタマーヘルス", "name": SECTION_LABEL}]}),
    ]


# --- access --------------------------------------------------------------------------------------------------------------------------------------
def _permission_sets(own: Mapping[str, list[WriteField]], csql: str) -> list[Component]:
    everything = [*own["account"], *own["csql"]]
    reads = [{"editable": False, "field": name, "readable": True} for name in READ_FIELDS]
    integration = _permission_set(
        "CSH Integration",
        "The user scoresync logs in as: reads what is scored, writes only the fields scoresync owns, deletes nothing.",
        [*reads, *_access(everything, csql, lambda field: field.owner == "worker")],
        [
            _rights(ACCOUNT, "read", "edit", "all"),
            *(_rights(name, "read", "all") for name in READ_OBJECTS),
            _rights(csql, "read", "create", "edit", "all"),
        ],
        userPermissions=[{"enabled": True, "name": name} for name in ("ActivitiesAccess", "ApiEnabled")],
    )
    csm = _permission_set(
        "CSH Customer Success",
        "CSMs: see health and CSQLs, give their own view, ask for recalculation, confirm candidates and write CSQLs by hand.",
        _access(everything, csql, lambda field: field.owner == "human" or (field.object == "csql" and field.key in CSM_EDITS)),
        [_rights(ACCOUNT, "read", "edit"), _rights(csql, "read", "create", "edit")],
        tabSettings=[{"tab": csql, "visibility": "Visible"}],
    )
    sales = _permission_set(
        "CSH Sales",
        "Sales: see health, take, return or rest CSQLs.",
        _access(everything, csql, lambda field: field.object == "csql" and (field.owner == "human" or field.key in SALES_EDITS)),
        [_rights(ACCOUNT, "read"), _rights(csql, "read", "edit")],
        tabSettings=[{"tab": csql, "visibility": "Visible"}],
    )
    named = {"CSH_Integration": integration, "CSH_CSM": csm, "CSH_Sales": sales}
    return [Component("PermissionSet", name, body) for name, body in named.items()]


def _permission_set(label: str, description: str, fields: list[Any], objects: list[Any], **more: Any) -> dict[str, Any]:
    fields.sort(key=lambda entry: str(entry["field"]))
    objects.sort(key=lambda entry: str(entry["object"]))
    return {
        "description": description,
        "fieldPermissions": fields,
        "hasActivationRequired": False,
        "label": label,
        "objectPermissions": objects,
        **more,
    }


def _access(fields: Iterable[WriteField], csql: str, edits: Any) -> list[dict[str, Any]]:
    """Read access to every field, edit access where `edits` says so. A formula can only be read."""
    return [
        {
            "editable": field.owner != "crm" and bool(edits(field)),
            "field": f"{ACCOUNT if field.object == 'account' else csql}.{api(field)}",
            "readable": True,
        }
        for field in fields
    ]


def _rights(name: str, *rights: str) -> dict[str, Any]:
    """`all`: sees every record of the object, whoever owns it. Deleting and modifying all are never given."""
    return {
        "allowCreate": "create" in rights,
        "allowDelete": False,
        "allowEdit": "edit" in rights,
        "allowRead": True,
        "modifyAllRecords": False,
        "object": name,
        "viewAllRecords": "all" in rights,
    }
