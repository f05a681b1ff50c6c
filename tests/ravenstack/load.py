"""Puts RavenStack (data: River @ Rivalytics) into an empty Salesforce sandbox as an admin would with a vendor client: object and fields through the
Metadata and Tooling APIs, rights through a permission set, records through Bulk 2.0. Nothing of the product is used."""

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from simple_salesforce import Salesforce

from connectors.sandbox_kit import SandboxProcess
from tests.acceptance.orgs import lay_over
from tests.acceptance.vendor import log_in, metadata_api

HERE = Path(__file__).parent
DAY, MINUTE = "%d-%m-%Y", "%d-%m-%Y %H:%M"
KEY = {"type": "Text", "length": 20, "externalId": True, "unique": True}
PICK = ("Basic", "Pro", "Enterprise")
#: object -> field -> Metadata; label = name.
FIELDS: dict[str, dict[str, dict[str, Any]]] = {
    "Account": {"RS_Id__c": KEY, "Signed_Up_At__c": {"type": "DateTime"}},
    "Subscription__c": {
        "RS_Id__c": KEY,
        "Account__c": {"type": "Lookup", "referenceTo": "Account", "relationshipName": "Subscriptions", "deleteConstraint": "SetNull"},
        "Plan__c": {"type": "Picklist", "valueSet": {"restricted": True, "valueSetDefinition": {"sorted": False, "value": [
            {"fullName": plan, "valueName": plan, "label": plan, "default": False} for plan in PICK]}}},
        "Seats__c": {"type": "Number", "precision": 9, "scale": 0},
        "MRR__c": {"type": "Number", "precision": 16, "scale": 2},
        "Starts_On__c": {"type": "Date"},
        "Ends_On__c": {"type": "Date"},
        "Auto_Renew__c": {"type": "Checkbox", "defaultValue": "false"},
        "Is_Trial__c": {"type": "Checkbox", "defaultValue": "false"},
    },
    "Case": {
        "RS_Id__c": KEY,
        "Opened_At__c": {"type": "DateTime"},
        "Closed_At__c": {"type": "DateTime"},
        "RS_Priority__c": {"type": "Text", "length": 20},
        "Escalated__c": {"type": "Checkbox", "defaultValue": "false"},
        "Satisfaction__c": {"type": "Number", "precision": 2, "scale": 0},
    },
}  # fmt: skip
RIGHTS = "RavenStack"
CAUSES = {
    "low_usage": ("Low use", "利用が少ない"),
    "usage_fell": ("Use fell", "利用が減少"),
    "few_features": ("Few features in use", "利用機能が少ない"),
    "seats_unused": ("Seats unused", "席が未利用"),
    "narrow": ("One plan only", "プランが一つ"),
    "friction": ("Many tickets", "問い合わせが多い"),
    "unhappy": ("Low satisfaction", "満足度が低い"),
    "escalation": ("Escalation", "エスカレーション"),
}


def load(box: SandboxProcess, data: Path) -> dict[str, int]:
    """Objects, fields, rights and records; how many records each object took."""
    client = log_in(box, "admin")
    make_schema(client, metadata_api(client, box))
    grant(client, [box.user("integration")["id"], box.user("admin")["id"]])
    tables: dict[str, Iterable[dict[str, str]]] = {
        "Account": map(account, rows(data, "accounts.csv")),
        "Subscription__c": map(subscription, rows(data, "subscriptions.csv")),
        "Case": map(ticket, rows(data, "support_tickets.csv")),
    }
    return {name: insert(client, name, records) for name, records in tables.items()}


def make_schema(client: Salesforce, metadata: Any) -> None:
    """The custom object through the Metadata API (SOAP), the fields through Tooling."""
    name_field = metadata.CustomField(label="Subscription", type=metadata.FieldType("AutoNumber"), displayFormat="SUB-{00000}")
    made = metadata.CustomObject(
        fullName="Subscription__c",
        label="Subscription",
        pluralLabel="Subscriptions",
        nameField=name_field,
        deploymentStatus=metadata.DeploymentStatus("Deployed"),
        sharingModel=metadata.SharingModel("ReadWrite"),
    )
    metadata.CustomObject.create([made])
    for object_name, fields in FIELDS.items():
        for name, body in fields.items():
            field = {"FullName": f"{object_name}.{name}", "Metadata": {"label": name, **body}}
            client.toolingexecute("sobjects/CustomField/", method="POST", data=field)


def grant(client: Salesforce, users: list[str]) -> None:
    """Everything made above for the integration user, and for the admin who loads it: a field made by API is hidden from all."""
    right_set = client.PermissionSet.create({"Name": RIGHTS, "Label": RIGHTS})["id"]
    may = {"PermissionsRead": True, "PermissionsCreate": True, "PermissionsEdit": True, "PermissionsDelete": False}
    client.ObjectPermissions.create({"ParentId": right_set, "SobjectType": "Subscription__c", **may})
    rights = [
        {"attributes": {"type": "FieldPermissions"}, "ParentId": right_set, "SobjectType": object_name, "Field": f"{object_name}.{name}",
         "PermissionsRead": True, "PermissionsEdit": True}
        for object_name, fields in FIELDS.items() for name in fields
    ]  # fmt: skip
    answers = client.restful("composite/sobjects", method="POST", json={"allOrNone": True, "records": rights})
    assert all(answer["success"] for answer in answers), answers
    for user in users:
        client.PermissionSetAssignment.create({"PermissionSetId": right_set, "AssigneeId": user})


def insert(client: Salesforce, object_name: str, records: Iterable[dict[str, str]]) -> int:
    """One Bulk 2.0 job; every record must be taken."""
    bulk = getattr(client.bulk2, object_name)
    (job,) = bulk.insert(records=list(records), wait=0.1)
    assert job["numberRecordsFailed"] == 0, bulk.get_failed_records(job["job_id"])[:2000]
    return int(job["numberRecordsProcessed"])


def rows(data: Path, name: str) -> Iterator[dict[str, str]]:
    with (data / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def account(row: dict[str, str]) -> dict[str, str]:
    return {
        "Name": row["account_name"],
        "RS_Id__c": row["account_id"],
        "Industry": row["industry"],
        "BillingCountry": row["country"],
        "Signed_Up_At__c": instant(row["signup_date"], DAY),
    }


def subscription(row: dict[str, str]) -> dict[str, str]:
    return {
        "RS_Id__c": row["subscription_id"],
        "Account__r.RS_Id__c": row["account_id"],
        "Plan__c": row["plan_tier"],
        "Seats__c": row["seats"],
        "MRR__c": row["mrr_amount"],
        "Starts_On__c": on(row["start_date"]),
        "Ends_On__c": on(row["end_date"]),
        "Auto_Renew__c": row["auto_renew_flag"].lower(),
        "Is_Trial__c": row["is_trial"].lower(),
    }


def ticket(row: dict[str, str]) -> dict[str, str]:
    return {
        "RS_Id__c": row["ticket_id"],
        "Account.RS_Id__c": row["account_id"],
        "Opened_At__c": instant(row["submitted_at"], DAY),
        "Closed_At__c": instant(row["closed_at"], MINUTE),
        "RS_Priority__c": row["priority"],
        "Escalated__c": row["escalation_flag"].lower(),
        "Satisfaction__c": row["satisfaction_score"],
    }


def on(text: str) -> str:
    return datetime.strptime(text, DAY).date().isoformat() if text else ""


def instant(text: str, form: str) -> str:
    """RavenStack names no time zone: taken as UTC, as the reference does."""
    return f"{datetime.strptime(text, form).isoformat()}.000Z" if text else ""


def mapping_folder(target: Path) -> Path:
    """The shipped mappings with RavenStack's own laid over them."""
    _add_causes(lay_over(HERE / "mappings", target) / "writeback.yml")
    return target


def _add_causes(path: Path) -> None:
    """RavenStack's own indicators and cap bring causes that the shipped picklist does not hold."""
    yaml = YAML()
    document = yaml.load(path)
    document["fields"]["account"]["cause"]["values"] += [{"value": value, "en": en, "ja": ja} for value, (en, ja) in CAUSES.items()]
    yaml.dump(document, path)
