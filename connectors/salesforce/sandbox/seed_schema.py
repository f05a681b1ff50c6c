"""Custom fields and objects that the demo's firm had in its CRM before scoresync came, and who may see them."""

from __future__ import annotations

from typing import Any, Protocol

from connectors.sandbox_kit.firm.words import CHURN_REASONS

Metadata = dict[str, Any]


class Org(Protocol):
    """What the seed needs of an org; `State` behind it, or a running sandbox."""

    def has_object(self, name: str) -> bool: ...
    def has_field(self, object_name: str, field_name: str) -> bool: ...
    def create_object(self, name: str, metadata: Metadata) -> None: ...
    def create_field(self, full_name: str, metadata: Metadata) -> None: ...
    def insert(self, object_name: str, rows: list[dict[str, Any]]) -> list[str]: ...
    def user_ids(self) -> dict[str, str]: ...
    def exists(self, object_name: str, name: str) -> bool: ...


def text(label: str, length: int, **more: Any) -> Metadata:
    return {"type": "Text", "label": label, "length": length, **more}


def number(label: str, precision: int, scale: int) -> Metadata:
    return {"type": "Number", "label": label, "precision": precision, "scale": scale}


def picklist(label: str, *values: tuple[str, str]) -> Metadata:
    """Restricted; values as (API name, label)."""
    rows = [{"fullName": value, "label": shown, "default": False} for value, shown in values]
    return {"type": "Picklist", "label": label, "valueSet": {"restricted": True, "valueSetDefinition": {"sorted": False, "value": rows}}}


def lookup(label: str, target: str, children: str) -> Metadata:
    return {"type": "Lookup", "label": label, "referenceTo": target, "relationshipName": children, "relationshipLabel": children}


DATE = "Date"
OBJECTS: dict[str, Metadata] = {
    "NPS_Response__c": {
        "label": "アンケート回答", "pluralLabel": "アンケート回答",
        "nameField": {"type": "AutoNumber", "label": "回答番号", "displayFormat": "NPS-{00000}"},
        "deploymentStatus": "Deployed", "sharingModel": "ReadWrite",
    },
    "Success_Outcome__c": {
        "label": "導入効果", "pluralLabel": "導入効果",
        "nameField": {"type": "AutoNumber", "label": "効果番号", "displayFormat": "OUT-{00000}"},
        "deploymentStatus": "Deployed", "sharingModel": "ReadWrite",
    },
}  # fmt: skip
PLANS = (("lite", "ライト"), ("standard", "スタンダード"), ("pro", "プロ"))
ROLES = (("admin", "管理者"), ("operator", "運用担当"), ("champion", "推進者"), ("decision_maker", "決裁者"))
#: fields of Task and Event are defined once, on Activity, as in every org
FIELDS: dict[str, Metadata] = {
    "Account.CSM__c": lookup("CSM担当", "User", "CSM_Accounts"),
    "Account.Segment__c": picklist("セグメント", ("SMB", "SMB"), ("Mid", "Mid"), ("Enterprise", "Enterprise")),
    "Account.Touch_Model__c": picklist("タッチモデル", ("tech", "テックタッチ"), ("hybrid", "ハイブリッド"), ("high", "ハイタッチ")),
    "Account.Tenant_ID__c": text("テナントID", 20, externalId=True, unique=True, caseSensitive=False),
    "Account.Partner__c": lookup("担当パートナー", "Account", "Partner_Accounts"),
    "Account.Churn_Notice_On__c": {"type": DATE, "label": "解約申出日"},
    "Contract.Notice_On__c": {"type": DATE, "label": "解約通知期限"},
    "Contract.Auto_Renew__c": {"type": "Checkbox", "label": "自動更新", "defaultValue": "false"},
    "Contract.Churned_On__c": {"type": DATE, "label": "解約日"},
    "Contract.Churn_Reason__c": picklist("解約理由", *((reason, reason) for reason in CHURN_REASONS)),
    "Contract.Reseller__c": lookup("販売代理店", "Account", "Resold_Contracts"),
    "OrderItem.Plan__c": picklist("プラン", *PLANS),
    "Contact.Role__c": picklist("役割", *ROLES),
    "Contact.Left_On__c": {"type": DATE, "label": "退職・異動日"},
    "Activity.CSM_Kind__c": picklist("CS活動種別", ("kickoff", "キックオフ"), ("onboarding_step", "初期設定"), ("training", "操作説明会")),
    "Activity.Kind__c": picklist("面談種別", ("meeting", "打ち合わせ"), ("qbr", "QBR"), ("training", "操作説明会"), ("webinar", "ウェビナー")),
    "Case.Csat__c": number("対応満足度", 1, 0),
    "NPS_Response__c.Account__c": lookup("取引先", "Account", "NPS_Responses"),
    "NPS_Response__c.Contact__c": lookup("回答者", "Contact", "NPS_Responses"),
    "NPS_Response__c.Kind__c": picklist("種別", ("nps", "NPS"), ("csat", "CSAT")),
    "NPS_Response__c.Score__c": number("点数", 2, 0),
    "NPS_Response__c.Answered_At__c": {"type": "DateTime", "label": "回答日時"},
    "NPS_Response__c.Comment__c": {"type": "LongTextArea", "label": "コメント", "length": 2000, "visibleLines": 3},
    "Success_Outcome__c.Account__c": lookup("取引先", "Account", "Success_Outcomes"),
    "Success_Outcome__c.Metric__c": text("指標", 80),
    "Success_Outcome__c.Baseline__c": number("導入前", 12, 2),
    "Success_Outcome__c.Current__c": number("現在", 12, 2),
    "Success_Outcome__c.Measured_On__c": {"type": DATE, "label": "測定日"},
    "Success_Outcome__c.Fact_Backed__c": {"type": "Checkbox", "label": "実データあり", "defaultValue": "false"},
}
#: permission set → (label, may edit, users by alias). The integration user reads what is the firm's and edits none of it.
PERMISSION_SETS = {
    "Koyomi_CRM": ("CRM標準項目", True, ("admin", "csm", "sales")),
    "Koyomi_CRM_Read": ("CRM標準項目(参照のみ)", False, ("integration",)),
}


def install_customer_schema(org: Org) -> None:
    """Create what is missing of the firm's objects, fields and permission sets. A second call changes nothing."""
    for name, metadata in OBJECTS.items():
        if not org.has_object(name):
            org.create_object(name, metadata)
    for full_name, metadata in FIELDS.items():
        owner, _, field = full_name.partition(".")
        if not org.has_field("Task" if owner == "Activity" else owner, field):
            org.create_field(full_name, metadata)
    users = org.user_ids()
    for name, (label, edit, aliases) in PERMISSION_SETS.items():
        if not org.exists("PermissionSet", name):
            _grant(org, name, label, edit, [users[alias] for alias in aliases])


def field_names() -> list[tuple[str, str]]:
    """(object, field) of every custom field, those of Activity once for Task and once for Event."""
    found = []
    for full_name in FIELDS:
        owner, _, field = full_name.partition(".")
        found += [(name, field) for name in (("Task", "Event") if owner == "Activity" else (owner,))]
    return found


def _grant(org: Org, name: str, label: str, edit: bool, users: list[str]) -> None:
    (parent,) = org.insert("PermissionSet", [{"Name": name, "Label": label}])
    fields = [
        {"ParentId": parent, "SobjectType": owner, "Field": f"{owner}.{field}", "PermissionsRead": True, "PermissionsEdit": edit}
        for owner, field in field_names()
    ]
    org.insert("FieldPermissions", fields)
    rights = {"PermissionsRead": True, "PermissionsCreate": edit, "PermissionsEdit": edit, "PermissionsDelete": False}
    org.insert("ObjectPermissions", [{"ParentId": parent, "SobjectType": owner, **rights} for owner in OBJECTS])
    org.insert("PermissionSetAssignment", [{"PermissionSetId": parent, "AssigneeId": user} for user in users])
