"""Tables of the objects around the records: people, campaigns, permissions (format: `standard_parse.py`)."""

from __future__ import annotations

SIMPLE = "Name string(255) req name\n"

USER = """
Username string(80) req unique lookup
LastName string(80) req
FirstName string(40)
Name string(121) name gen=contact_name noperm
CompanyName string(80)
Division string(80)
Department string(80)
Title string(80)
Email email req lookup
Alias string(8) req
IsActive boolean
UserType picklist ro pick=Standard default=Standard
TimeZoneSidKey picklist default=Asia/Tokyo pick=Asia/Tokyo|America/Los_Angeles|Europe/London|GMT
LocaleSidKey picklist default=ja_JP pick=ja_JP|en_US|en_GB
EmailEncodingKey picklist default=UTF-8 pick=UTF-8
LanguageLocaleKey picklist default=ja pick=ja|en_US
ProfileId reference to=Profile:Profile:Users
UserRoleId reference to=UserRole:UserRole:Users
ManagerId reference to=User:Manager:ManagedUsers
EmployeeNumber string(20)
FederationIdentifier string(512)
LastLoginDate datetime ro
"""

ORGANIZATION = """
Name string(80) req name
Division string(80)
LanguageLocaleKey picklist pick=ja|en_US default=ja
DefaultLocaleSidKey picklist pick=ja_JP|en_US default=ja_JP
TimeZoneSidKey picklist pick=Asia/Tokyo|GMT default=Asia/Tokyo
FiscalYearStartMonth int(9) default=4
OrganizationType picklist ro pick=Enterprise_Edition|Developer_Edition
IsSandbox boolean ro
InstanceName string(5) ro
NamespacePrefix string(15) ro
"""

CAMPAIGN = """
Name string(80) req name
IsActive boolean
Type picklist pick=Conference|Webinar|Email|Other
Status picklist pick=Planned|In_Progress|Completed
StartDate date
EndDate date
OwnerId reference to=User:Owner: default=@user
"""

CAMPAIGN_MEMBER = """
CampaignId reference to=Campaign:Campaign:CampaignMembers cascade req noupd
ContactId reference to=Contact:Contact:CampaignMembers cascade noupd
Status picklist pick=Sent|Responded default=Sent
"""

LEAD = """
LastName string(80) req
FirstName string(40)
Name string(121) name gen=contact_name noperm
Company string(255) req
Email email
Status picklist pick=Open|Working|Closed default=Open
OwnerId reference to=User+Group:Owner: default=@user
"""

GROUP = """
Name string(40) req name
DeveloperName string(80)
Type picklist pick=Queue|Regular default=Queue
"""

TEAM_MEMBER = """
AccountId reference to=Account:Account:AccountTeamMembers cascade req noupd
UserId reference to=User:User:AccountTeams req noupd
TeamMemberRole picklist pick=Account_Manager|Customer_Success_Manager|Sales_Rep
"""

PERMISSION_SET = """
Name string(80) req name unique
Label string(80) req
LicenseId reference to=PermissionSetLicense:License:
ProfileId reference ro to=Profile:Profile:
IsOwnedByProfile boolean ro
IsCustom boolean ro
PermissionsApiEnabled boolean
PermissionsViewSetup boolean
PermissionsModifyAllData boolean
PermissionsViewAllData boolean
Description string(255)
"""
ASSIGNMENT = """
PermissionSetId reference to=PermissionSet:PermissionSet:Assignments cascade req noupd
AssigneeId reference to=User:Assignee:PermissionSetAssignments cascade req noupd
IsActive boolean ro default=true
"""
FIELD_PERMISSIONS = """
ParentId reference to=PermissionSet:Parent:FieldPerms cascade req noupd
SobjectType string(40) req noupd
Field string(120) req noupd
PermissionsRead boolean
PermissionsEdit boolean
"""
OBJECT_PERMISSIONS = """
ParentId reference to=PermissionSet:Parent:ObjectPerms cascade req noupd
SobjectType string(40) req noupd
PermissionsRead boolean
PermissionsCreate boolean
PermissionsEdit boolean
PermissionsDelete boolean
PermissionsViewAllRecords boolean
PermissionsModifyAllRecords boolean
"""
