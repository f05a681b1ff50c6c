"""Words of the pages in both languages: titles, and labels of the standard fields and lists that are shown."""

from __future__ import annotations

TEXTS = {
    "ja": {"details": "詳細", "other": "その他のカスタム項目", "system": "システム情報", "yes": "はい", "no": "いいえ"},
    "en": {"details": "Details", "other": "Other custom fields", "system": "System information", "yes": "Yes", "no": "No"},
}
# Lookups are shown under the name of what they point at.
ENGLISH = {
    "ParentId": "Parent", "OwnerId": "Owner", "AccountId": "Account", "ContactId": "Contact", "CreatedById": "Created By", "StageName": "Stage",
    "LastModifiedById": "Last Modified By", "NumberOfEmployees": "Employees", "ContractTerm": "Contract Term (months)", "WhatId": "Related To",
    "WhoId": "Name", "StartDateTime": "Start", "EndDateTime": "End", "EffectiveDate": "Order Start Date", "TotalAmount": "Order Amount",
    "ActivityDate": "Date",
}  # fmt: skip
JAPANESE = {
    "Name": "名前", "ParentId": "親取引先", "Type": "種別", "Industry": "業種", "NumberOfEmployees": "従業員数", "OwnerId": "所有者",
    "Phone": "電話", "Website": "Web サイト", "BillingCity": "市区郡(請求先)", "AccountNumber": "取引先番号", "CreatedById": "作成者",
    "CreatedDate": "作成日", "LastModifiedById": "最終更新者", "LastModifiedDate": "最終更新日", "ContractNumber": "契約番号", "Status": "状況",
    "StartDate": "開始日", "EndDate": "終了日", "ContractTerm": "契約期間(月)", "StageName": "フェーズ", "Amount": "金額",
    "CloseDate": "完了予定日", "CaseNumber": "ケース番号", "Subject": "件名", "Priority": "優先度", "ActivityDate": "期日",
    "StartDateTime": "開始", "EndDateTime": "終了", "Title": "役職", "Email": "メール", "OrderNumber": "注文番号", "EffectiveDate": "注文開始日",
    "TotalAmount": "注文金額", "Quantity": "数量", "AccountId": "取引先", "ContactId": "取引先責任者", "Description": "説明", "WhatId": "関連先",
    "WhoId": "名前", "SerialNumber": "シリアル番号", "Probability": "確度", "IsClosed": "完了", "IsWon": "成立",
}  # fmt: skip
OBJECTS = {
    "Account": "取引先", "Contract": "契約", "Opportunity": "商談", "Case": "ケース", "Task": "ToDo", "Event": "行動", "Contact": "取引先責任者",
    "Order": "注文", "Asset": "納入商品", "User": "ユーザー", "Product2": "商品", "OrderItem": "注文商品", "OpportunityLineItem": "商談商品",
}  # fmt: skip


def field_label(name: str, fallback: str, language: str) -> str:
    """The label of a standard field."""
    return (JAPANESE if language == "ja" else ENGLISH).get(name, fallback)


def object_label(name: str, fallback: str, language: str) -> str:
    """The label of a standard object; Japanese has no plural."""
    return OBJECTS.get(name, fallback) if language == "ja" else fallback
