"""The standard objects of the sandbox org: fields, types and relationships, as tables (format: `standard_parse.py`)."""

from __future__ import annotations

from connectors.salesforce.sandbox import standard_setup as setup
from connectors.salesforce.sandbox.schema import ObjectDef
from connectors.salesforce.sandbox.standard_parse import parse_object

ADDRESS = "{0}Street textarea\n{0}City string(40)\n{0}State string(80)\n{0}PostalCode string(20)\n{0}Country string(80)\n"

# The last day of a term of whole months: month ends are clipped before the day is taken off.
_TERM_END = (
    'CASE WHEN "StartDate" IS NULL OR "ContractTerm" IS NULL THEN NULL ELSE date(min('
    "date(\"StartDate\", '+' || CAST(\"ContractTerm\" AS INTEGER) || ' months'),"
    "date(\"StartDate\", 'start of month', '+' || (CAST(\"ContractTerm\" AS INTEGER) + 1) || ' months', '-1 day')), '-1 day') END"
)
EXPRESSIONS = {
    "term_end": _TERM_END,
    "contract_code": (
        "CASE WHEN \"Status\" IN ('Activated','Expired') THEN \"Status\" "
        "WHEN \"Status\" IN ('In Approval Process','InApproval') THEN 'InApproval' ELSE 'Draft' END"
    ),
    "order_code": "CASE WHEN \"Status\" = 'Draft' THEN 'Draft' ELSE 'Activated' END",
    "contact_name": "trim(coalesce(\"FirstName\" || ' ', '') || coalesce(\"LastName\", ''))",
    "opp_closed": "(\"StageName\" IN ('Closed Won','Closed Lost'))",
    "opp_won": "(\"StageName\" = 'Closed Won')",
    "opp_forecast": ("CASE WHEN \"StageName\" = 'Closed Won' THEN 'Closed' WHEN \"StageName\" = 'Closed Lost' THEN 'Omitted' ELSE 'Pipeline' END"),
    "task_closed": '("Status" IS NOT NULL AND "Status" = \'Completed\')',
    "task_high": '("Priority" IS NOT NULL AND "Priority" = \'High\')',
    "case_closed": "(\"Status\" IS NOT NULL AND \"Status\" IN ('Closed','Resolved'))",
    "line_total": '"UnitPrice" * "Quantity"',
    "order_total": 'SELECT coalesce(sum(i."UnitPrice" * i."Quantity"), 0.0) FROM "OrderItem" i WHERE i."OrderId" = {t}."Id" AND i."IsDeleted" = 0',
    "last_activity": (
        'SELECT max(d) FROM (SELECT max("ActivityDate") d FROM "Task" WHERE "AccountId" = {t}."Id" AND "IsDeleted" = 0 AND "IsClosed" = 1 '
        'UNION ALL SELECT max("ActivityDate") FROM "Event" WHERE "AccountId" = {t}."Id" AND "IsDeleted" = 0)'
    ),
}

ACCOUNT = (
    """
Name string(255) req name
Type picklist pick=Prospect|Customer_-_Direct|Customer_-_Channel|Channel_Partner_/_Reseller|Installation_Partner|Technology_Partner|Other
ParentId reference to=Account:Parent:ChildAccounts
"""
    + ADDRESS.format("Billing")
    + ADDRESS.format("Shipping")
    + """
Phone phone
Fax phone
AccountNumber string(40)
Website url
Sic string(20)
Industry picklist pick=Agriculture|Apparel|Banking|Biotechnology|\
Chemicals|Communications|Construction|Consulting|Education|Electronics|Energy|Engineering|Entertainment|Environmental|\
Finance|Food_&_Beverage|Government|Healthcare|Hospitality|Insurance|Machinery|Manufacturing|Media|Retail|\
Shipping|Technology|Telecommunications|Transportation|Utilities|Other
AnnualRevenue currency(18,0)
NumberOfEmployees int(8)
Ownership picklist pick=Public|Private|Subsidiary|Other
Rating picklist pick=Hot|Warm|Cold
Description textarea(32000) long
Site string(80)
OwnerId reference to=User:Owner: default=@user
AccountSource picklist pick=Web|Phone_Inquiry|Partner_Referral|Purchased_List|Other
LastActivityDate date sql=last_activity noperm
"""
)

CONTACT = (
    """
AccountId reference to=Account:Account:Contacts cascade
LastName string(80) req
FirstName string(40)
Salutation picklist pick=Mr.|Ms.|Mrs.|Dr.|Prof.
Name string(121) name gen=contact_name noperm
"""
    + ADDRESS.format("Mailing")
    + """
Phone phone
MobilePhone phone
Email email lookup
Title string(128)
Department string(80)
ReportsToId reference to=Contact:ReportsTo:
LeadSource picklist pick=Web|Phone_Inquiry|Partner_Referral|Purchased_List|Other
Birthdate date
Description textarea(32000) long
OwnerId reference to=User:Owner: default=@user
HasOptedOutOfEmail boolean
EmailBouncedDate datetime ro
"""
)

CONTRACT = """
AccountId reference to=Account:Account:Contracts cascade req
Pricebook2Id reference to=Pricebook2:Pricebook2:
OwnerExpirationNotice picklist pick=15|30|45|60|90|120
StartDate date
EndDate date gen=term_end
ContractTerm int(4)
OwnerId reference to=User:Owner: default=@user
Status picklist req default=Draft pick=In_Approval_Process|Activated|Draft|Expired
StatusCode picklist gen=contract_code pick=Draft|InApproval|Activated|Expired noperm
CompanySignedId reference to=User:CompanySigned:
CompanySignedDate date
CustomerSignedId reference to=Contact:CustomerSigned:
CustomerSignedTitle string(40)
CustomerSignedDate date
SpecialTerms textarea(4000) long
ActivatedById reference ro to=User:ActivatedBy:
ActivatedDate datetime
Description textarea(32000) long
Name string(80)
ContractNumber string(30) name auto={00000000} lookup
LastApprovedDate datetime ro
"""

OPPORTUNITY = """
AccountId reference to=Account:Account:Opportunities cascade
IsPrivate boolean
Name string(120) req name
Description textarea(32000) long
StageName picklist req pick=Prospecting|Qualification|Needs_Analysis|Value_Proposition|Id._Decision_Makers|\
Perception_Analysis|Proposal/Price_Quote|Negotiation/Review|Closed_Won|Closed_Lost
Amount currency(18,2)
Probability percent(3,0)
TotalOpportunityQuantity double(18,2)
CloseDate date req
Type picklist pick=Existing_Customer_-_Upgrade|Existing_Customer_-_Replacement|Existing_Customer_-_Downgrade|New_Customer
NextStep string(255)
LeadSource picklist pick=Web|Phone_Inquiry|Partner_Referral|Purchased_List|Other
IsClosed boolean gen=opp_closed noperm
IsWon boolean gen=opp_won noperm
ForecastCategory picklist gen=opp_forecast pick=Omitted|Pipeline|BestCase|Forecast|Closed noperm
CampaignId reference to=Campaign:Campaign:Opportunities
Pricebook2Id reference to=Pricebook2:Pricebook2:
ContractId reference to=Contract:Contract:
OwnerId reference to=User:Owner: default=@user
"""

OPPORTUNITY_LINE = """
OpportunityId reference to=Opportunity:Opportunity:OpportunityLineItems cascade req noupd
SortOrder int(9)
PricebookEntryId reference to=PricebookEntry:PricebookEntry:
Product2Id reference to=Product2:Product2:OpportunityLineItems
ProductCode string(255) ro
Name string(376) name
Quantity double(12,2) req
TotalPrice currency(18,2) gen=line_total
UnitPrice currency(18,2)
ListPrice currency(18,2) ro
ServiceDate date
Description string(255)
"""

PRODUCT = """
Name string(255) req name
ProductCode string(255) idx
Description textarea(4000) long
IsActive boolean
Family picklist pick=None
StockKeepingUnit string(180)
QuantityUnitOfMeasure picklist pick=Each
ExternalId string(255)
DisplayUrl url(1000)
"""

PRICEBOOK = """
Name string(255) req name
IsActive boolean
IsStandard boolean
Description string(255)
"""

PRICEBOOK_ENTRY = """
Name string(255) ro name
Pricebook2Id reference to=Pricebook2:Pricebook2:PricebookEntries cascade req noupd
Product2Id reference to=Product2:Product2:PricebookEntries cascade req noupd
UnitPrice currency(18,2) req
IsActive boolean
UseStandardPrice boolean
ProductCode string(255) ro
"""

ORDER = (
    """
OwnerId reference to=User+Group:Owner: default=@user
ContractId reference to=Contract:Contract:Orders
AccountId reference to=Account:Account:Orders
Pricebook2Id reference to=Pricebook2:Pricebook2:
OriginalOrderId reference to=Order:OriginalOrder:Orders
OpportunityId reference to=Opportunity:Opportunity:Orders
EffectiveDate date req
EndDate date
IsReductionOrder boolean
Status picklist req pick=Draft|Activated
Description textarea(32000) long
Type picklist pick=New|Renewal|Expansion
"""
    + ADDRESS.format("Billing")
    + """
Name string(80)
PoNumber string(80)
OrderReferenceNumber string(80)
ActivatedDate datetime
ActivatedById reference to=User:ActivatedBy:
StatusCode picklist gen=order_code pick=Draft|Activated noperm
OrderNumber string(30) name auto={00000000} lookup
TotalAmount currency(18,2) sql=order_total
"""
)

ORDER_ITEM = """
Product2Id reference to=Product2:Product2:OrderItems noupd
OrderId reference to=Order:Order:OrderItems cascade req noupd
PricebookEntryId reference to=PricebookEntry:PricebookEntry:OrderItems
Quantity double(18,2) req
UnitPrice currency(18,2)
ListPrice currency(18,2) ro
TotalPrice currency(18,2) gen=line_total
ServiceDate date
EndDate date
Description string(255)
OrderItemNumber string(30) name auto={0000000000} lookup
"""

ASSET = """
ContactId reference to=Contact:Contact:Assets
AccountId reference to=Account:Account:Assets cascade
ParentId reference to=Asset:Parent:ChildAssets
Product2Id reference to=Product2:Product2:Assets
ProductCode string(255) ro
IsCompetitorProduct boolean
Name string(255) req name
SerialNumber string(80)
InstallDate date
PurchaseDate date
UsageEndDate date
Status picklist pick=Shipped|Installed|Registered|Obsolete|Purchased
Price currency(18,2)
Quantity double(18,2)
Description textarea(32000) long
OwnerId reference to=User:Owner: default=@user
"""

TASK = """
WhoId reference to=Contact+Lead:Who:Tasks cascade
WhatId reference to=Account+Opportunity+Contract+Order+Asset+Case+Campaign:What:Tasks cascade
WhoCount int(9) ro
Subject string(255) name
ActivityDate date
Status picklist req default=Not_Started pick=Not_Started|In_Progress|Completed|Waiting_on_someone_else|Deferred
Priority picklist req default=Normal pick=High|Normal|Low
IsHighPriority boolean gen=task_high noperm
OwnerId reference to=User+Group:Owner: default=@user
Description textarea(32000) long
Type picklist pick=Call|Email|Meeting|Other
AccountId reference ro to=Account:Account:ActivityTasks noperm
IsClosed boolean gen=task_closed noperm
CallDurationInSeconds int(8)
CallType picklist pick=Internal|Inbound|Outbound
CallDisposition string(255)
IsArchived boolean ro
ReminderDateTime datetime
IsReminderSet boolean
IsRecurrence boolean ro
TaskSubtype picklist pick!=Task|Email|Call|ListEmail|Cadence|LinkedIn default=Task noupd
CompletedDateTime datetime ro
"""

EVENT = """
WhoId reference to=Contact+Lead:Who:Events cascade
WhatId reference to=Account+Opportunity+Contract+Order+Asset+Case+Campaign:What:Events cascade
Subject string(255) name
Location string(255)
IsAllDayEvent boolean
ActivityDateTime datetime
ActivityDate date
DurationInMinutes int(8)
StartDateTime datetime
EndDateTime datetime
EndDate date ro
Description textarea(32000) long
Type picklist pick=Call|Email|Meeting|Other
AccountId reference ro to=Account:Account:ActivityEvents noperm
OwnerId reference to=User+Group:Owner: default=@user
IsPrivate boolean
ShowAs picklist pick=Busy|OutOfOffice|Free default=Busy
IsChild boolean ro
IsGroupEvent boolean ro
GroupEventType picklist ro pick=0|1|2|3
IsArchived boolean ro
IsRecurrence boolean ro
EventSubtype picklist pick!=Event default=Event noupd
"""

CASE = """
CaseNumber string(30) name auto={00000000} lookup
ContactId reference to=Contact:Contact:Cases
AccountId reference to=Account:Account:Cases cascade
AssetId reference to=Asset:Asset:Cases
ProductId reference to=Product2:Product:Cases
ParentId reference to=Case:Parent:Cases
SuppliedName string(80)
SuppliedEmail email
Type picklist pick=Mechanical|Electrical|Electronic|Structural|Other
Status picklist default=New pick=New|Working|Escalated|Resolved|Closed
Reason picklist pick=Installation|Equipment_Complexity|Performance|Breakdown|Other
Origin picklist pick=Phone|Email|Web
Subject string(255)
Priority picklist default=Medium pick=High|Medium|Low
Description textarea(32000) long
IsClosed boolean gen=case_closed noperm
ClosedDate datetime ro
IsEscalated boolean
OwnerId reference to=User+Group:Owner: default=@user
Comments textarea(4000) long
"""


def standard_objects() -> dict[str, ObjectDef]:
    """Every standard object by lower-case name (children are linked by the catalogue)."""
    table = [
        ("Account", "001", "Accounts", ACCOUNT),
        ("Contact", "003", "Contacts", CONTACT),
        ("Contract", "800", "Contracts", CONTRACT),
        ("Opportunity", "006", "Opportunities", OPPORTUNITY),
        ("OpportunityLineItem", "00k", "Opportunity Products", OPPORTUNITY_LINE),
        ("Product2", "01t", "Products", PRODUCT),
        ("Pricebook2", "01s", "Price Books", PRICEBOOK),
        ("PricebookEntry", "01u", "Price Book Entries", PRICEBOOK_ENTRY),
        ("Order", "801", "Orders", ORDER),
        ("OrderItem", "802", "Order Products", ORDER_ITEM),
        ("Asset", "02i", "Assets", ASSET),
        ("Task", "00T", "Tasks", TASK),
        ("Event", "00U", "Events", EVENT),
        ("Case", "500", "Cases", CASE),
        ("User", "005", "Users", setup.USER),
        ("Organization", "00D", "Organizations", setup.ORGANIZATION),
        ("Profile", "00e", "Profiles", setup.SIMPLE),
        ("UserRole", "00E", "Roles", setup.SIMPLE),
        ("Group", "00G", "Groups", setup.GROUP),
        ("Lead", "00Q", "Leads", setup.LEAD),
        ("Campaign", "701", "Campaigns", setup.CAMPAIGN),
        ("CampaignMember", "00v", "Campaign Members", setup.CAMPAIGN_MEMBER),
        ("AccountTeamMember", "01M", "Account Team Members", setup.TEAM_MEMBER),
        ("PermissionSet", "0PS", "Permission Sets", setup.PERMISSION_SET),
        ("PermissionSetLicense", "0PL", "Permission Set Licenses", setup.SIMPLE),
        ("PermissionSetAssignment", "0Pa", "Permission Set Assignments", setup.ASSIGNMENT),
        ("FieldPermissions", "01k", "Field Permissions", setup.FIELD_PERMISSIONS),
        ("ObjectPermissions", "110", "Object Permissions", setup.OBJECT_PERMISSIONS),
    ]
    found = {}
    for name, prefix, plural, lines in table:
        item = parse_object(name, prefix, plural, lines, EXPRESSIONS, mergeable=name in ("Account", "Contact"))
        found[name.lower()] = item
    return found
