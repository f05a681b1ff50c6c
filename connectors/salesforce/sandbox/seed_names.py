"""The firm's records under Salesforce's names: object and field of each, and the way there from the neutral ones."""

from __future__ import annotations

from datetime import date
from typing import Any

from connectors.sandbox_kit import firm
from connectors.sandbox_kit.firm import Company, Ref, Row

#: neutral object, Salesforce's, then neutral field=Salesforce's
_TABLE = """
user User username=Username email=Email last_name=LastName first_name=FirstName alias=Alias active=IsActive department=Department title=Title
    time_zone=TimeZoneSidKey
product Product2 name=Name code=ProductCode family=Family active=IsActive
account Account name=Name kind=Type industry=Industry employees=NumberOfEmployees region=BillingState owner=OwnerId website=Website csm=CSM__c
    segment=Segment__c touch_model=Touch_Model__c tenant=Tenant_ID__c partner=Partner__c churn_notice_on=Churn_Notice_On__c parent=ParentId
contract Contract account=AccountId starts_on=StartDate months=ContractTerm status=Status owner=OwnerId notice_on=Notice_On__c
    auto_renew=Auto_Renew__c churned_on=Churned_On__c churn_reason=Churn_Reason__c reseller=Reseller__c
order Order contract=ContractId account=AccountId starts_on=EffectiveDate ends_on=EndDate status=Status kind=Type owner=OwnerId
order_line OrderItem order=OrderId product=Product2Id quantity=Quantity unit_price=UnitPrice starts_on=ServiceDate ends_on=EndDate plan=Plan__c
opportunity Opportunity account=AccountId owner=OwnerId amount=Amount name=Name stage=StageName probability=Probability close_on=CloseDate kind=Type
    contract=ContractId
opportunity_line OpportunityLineItem opportunity=OpportunityId product=Product2Id quantity=Quantity unit_price=UnitPrice
task Task about=WhatId account=AccountId contact=WhoId subject=Subject on=ActivityDate status=Status priority=Priority type=TaskSubtype owner=OwnerId
    kind=CSM_Kind__c done_at=CompletedDateTime
contact Contact account=AccountId last_name=LastName first_name=FirstName title=Title email=Email role=Role__c left_on=Left_On__c owner=OwnerId
event Event about=WhatId account=AccountId contact=WhoId subject=Subject starts_at=StartDateTime ends_at=EndDateTime at=ActivityDateTime
    on=ActivityDate minutes=DurationInMinutes kind=Kind__c owner=OwnerId
ticket Case account=AccountId contact=ContactId subject=Subject status=Status priority=Priority origin=Origin escalated=IsEscalated
    closed_at=ClosedDate product=ProductId csat=Csat__c
survey NPS_Response__c account=Account__c contact=Contact__c kind=Kind__c score=Score__c answered_at=Answered_At__c comment=Comment__c
outcome Success_Outcome__c account=Account__c metric=Metric__c baseline=Baseline__c current=Current__c measured_on=Measured_On__c
    fact_backed=Fact_Backed__c
"""


def _names() -> dict[str, tuple[str, dict[str, str]]]:
    """Neutral object -> (Salesforce's object, neutral field -> Salesforce's). A line that begins with a space goes on with the one before."""
    found = {}
    for line in _TABLE.strip().replace("\n    ", " ").splitlines():
        name, theirs, *fields = line.split()
        found[name] = (theirs, dict(pair.split("=") for pair in fields))
    return found


NAMES = _names()
_STAMPS = {"created_at": "CreatedDate", "modified_at": "SystemModstamp"}


def generate(accounts: int, seed: int, today: date) -> Company:
    """The whole org as of the morning of `today`: nothing in it has happened on or after that day, only planned."""
    return named(firm.generate(accounts, seed, today))


def named(company: Company) -> Company:
    """The same company with Salesforce's objects, fields and references."""
    company.records = {NAMES[name][0]: [_row(name, row) for row in rows] for name, rows in company.records.items()}
    return company


def _row(name: str, row: Row) -> Row:
    names = NAMES[name][1] | _STAMPS
    return {names.get(field, field): _value(value) for field, value in row.items()}


def _value(value: Any) -> Any:
    return Ref(NAMES[value.object][0], value.key) if isinstance(value, Ref) else value
