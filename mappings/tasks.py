"""Fields of the task that an alert leaves in a CRM. Only the key is ours and is provisioned; the others are the CRM's own."""

from typing import Any

from mappings.models import Mappings, WriteField

_OWN: dict[str, Any] = {"object": "task", "set": "core", "owner": "worker"}


def _field(key: str, type_: str, en: str, ja: str, names: dict[str, str], **row: Any) -> WriteField:
    label = {"en": en, "ja": ja}
    meaning = {"en": f"{en} of the task of an alert", "ja": f"お知らせのToDoの{ja}"}
    return WriteField.model_validate(_OWN | {"key": key, "type": type_, "label": label, "meaning": meaning, "names": names} | row)


#: An alert's rule, account and day: the same alert told again finds its task. Custom fields of activities may be external ids in Salesforce but not
#: unique ones, so one worker at a time looks before it creates (the channel's item).
KEY = _field(
    "alert_key", "text", "Alert key", "お知らせキー", {"salesforce": "CSH_Alert_Key__c", "hubspot": "csh_alert_key"}, length=120, external_key=True
)
FIELDS = (
    KEY,
    _field("subject", "text", "Subject", "件名", {"salesforce": "Subject", "hubspot": "hs_task_subject"}, length=255),
    _field("body", "long_text", "Description", "説明", {"salesforce": "Description", "hubspot": "hs_task_body"}, length=4000),
    _field("due_on", "date", "Due date", "期日", {"salesforce": "ActivityDate"}),
    _field("due_at", "datetime", "Due at", "期限", {"hubspot": "hs_timestamp"}),
    _field("account", "lookup", "Account", "取引先", {"salesforce": "WhatId", "hubspot": "associations.companies"}, reference_to="Account"),
    _field("assignee", "lookup", "Assigned to", "担当者", {"salesforce": "OwnerId", "hubspot": "hubspot_owner_id"}, reference_to="User"),
)


def task_fields(mappings: Mappings, vendor: str, *, provisioned: bool = False) -> list[WriteField]:
    """The fields a vendor's task has, none where no alert goes to `crm_task`. `provisioned`: only those that have to be made."""
    used = any("crm_task" in (alert.channel, *alert.also) for alert in mappings.alerts.values())
    return [f for f in FIELDS if used and vendor in f.names and (f is KEY or not provisioned)]
