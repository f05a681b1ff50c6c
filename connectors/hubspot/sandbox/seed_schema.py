"""What the demo's firm had made of its HubSpot account before scoresync came: its own properties, and a custom object for measured outcomes."""

from __future__ import annotations

from typing import Any

import requests

from connectors.sandbox_kit import SandboxControl
from connectors.sandbox_kit.firm.words import CHURN_REASONS

JSON = dict[str, Any]
OUTCOMES = "success_outcome"


def text(name: str, label: str, **more: Any) -> JSON:
    return {"name": name, "label": label, "type": "string", "fieldType": "text", **more}


def number(name: str, label: str) -> JSON:
    return {"name": name, "label": label, "type": "number", "fieldType": "number"}


def day(name: str, label: str) -> JSON:
    return {"name": name, "label": label, "type": "date", "fieldType": "date"}


def choice(name: str, label: str, *values: tuple[str, str]) -> JSON:
    options = [{"value": value, "label": shown, "displayOrder": place, "hidden": False} for place, (value, shown) in enumerate(values)]
    return {"name": name, "label": label, "type": "enumeration", "fieldType": "select", "options": options}


def yes_no(name: str, label: str) -> JSON:
    return choice(name, label, ("true", "はい"), ("false", "いいえ")) | {"type": "bool", "fieldType": "booleancheckbox"}


def owner(name: str, label: str) -> JSON:
    return {"name": name, "label": label, "type": "enumeration", "fieldType": "select", "externalOptions": True, "referencedObjectType": "OWNER"}


PROPERTIES: dict[str, list[JSON]] = {
    "companies": [
        owner("csm", "CSM担当"), choice("segment", "セグメント", ("SMB", "SMB"), ("Mid", "Mid"), ("Enterprise", "Enterprise")),
        choice("touch_model", "タッチモデル", ("tech", "テックタッチ"), ("hybrid", "ハイブリッド"), ("high", "ハイタッチ")),
        text("tenant_id", "テナントID", hasUniqueValue=True), text("partner_id", "担当パートナー"), day("churn_notice_on", "解約申出日"),
    ],
    "deals": [
        choice("deal_kind", "商談種別", ("new", "新規"), ("renewal", "更新"), ("expansion", "追加")), text("contract_number", "契約番号"),
        number("contract_months", "契約期間(月)"), day("notice_on", "解約通知期限"), yes_no("auto_renew", "自動更新"),
        choice("contract_status", "契約状況", ("active", "有効"), ("ended", "終了")), day("churned_on", "解約日"),
        choice("churn_reason", "解約理由", *((reason, reason) for reason in CHURN_REASONS)), text("reseller_id", "販売代理店"),
    ],
    "line_items": [choice("plan", "プラン", ("lite", "ライト"), ("standard", "スタンダード"), ("pro", "プロ"))],
    "contacts": [
        choice("cs_role", "役割", ("admin", "管理者"), ("operator", "運用担当"), ("champion", "推進者"), ("decision_maker", "決裁者")),
        day("left_on", "退職・異動日"),
    ],
    "tasks": [choice("csm_kind", "CS活動種別", ("kickoff", "キックオフ"), ("onboarding_step", "初期設定"), ("training", "操作説明会"))],
    "tickets": [text("product_code", "製品"), yes_no("escalated", "エスカレーション"), number("csat", "対応満足度")],
}  # fmt: skip
OUTCOME: JSON = {
    "name": OUTCOMES, "labels": {"singular": "導入効果", "plural": "導入効果"}, "primaryDisplayProperty": "metric", "requiredProperties": ["metric"],
    "properties": [
        text("metric", "指標"), number("baseline", "導入前"), number("current_value", "現在"), day("measured_on", "測定日"),
        yes_no("fact_backed", "実データあり"),
    ],
    "associatedObjects": ["COMPANY"],
}  # fmt: skip


def install_customer_schema(control: SandboxControl) -> None:
    """The properties and the object, in an account that has none of them."""
    for kind, properties in PROPERTIES.items():
        control.call("fields", {"object": kind, "properties": properties, "group": "koyomi"})
    token = control.info()["access_token"]
    answer = requests.post(
        f"{control.url}/crm-object-schemas/v3/schemas", json=OUTCOME, headers={"Authorization": f"Bearer {token}"}, timeout=60, proxies={"http": ""}
    )
    answer.raise_for_status()
