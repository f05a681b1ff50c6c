"""Discovery, describe and field-level security."""

import gzip
import time

import requests

from connectors.sandbox_kit import SandboxProcess
from tests.sandbox.conftest import Rest

FIELD_KEYS = {
    "aggregatable", "aiPredictionField", "autoNumber", "byteLength", "calculated",
    "calculatedFormula", "cascadeDelete", "caseSensitive", "compoundFieldName", "controllerName",
    "createable", "custom", "defaultValue", "defaultValueFormula", "defaultedOnCreate",
    "dependentPicklist", "deprecatedAndHidden", "digits", "displayLocationInDecimal", "encrypted",
    "externalId", "extraTypeInfo", "filterable", "filteredLookupInfo", "formulaTreatNullNumberAsZero",
    "groupable", "highScaleNumber", "htmlFormatted", "idLookup", "inlineHelpText",
    "label", "length", "mask", "maskType", "name",
    "nameField", "namePointing", "nillable", "permissionable", "picklistValues",
    "polymorphicForeignKey", "precision", "queryByDistance", "referenceTargetField", "referenceTo",
    "relationshipName", "relationshipOrder", "restrictedDelete", "restrictedPicklist", "scale",
    "searchPrefilterable", "soapType", "sortable", "type", "unique",
    "updateable", "writeRequiresMasterRead",
}  # fmt: skip
OBJECTS = {
    "Account", "Contact", "Contract", "Opportunity", "OpportunityLineItem", "Product2", "Order",
    "OrderItem", "Asset", "Task", "Event", "Case", "User", "Organization",
}  # fmt: skip


def fields(rest: Rest, name: str) -> dict[str, dict[str, object]]:
    return {item["name"]: item for item in rest("GET", f"sobjects/{name}/describe").json()["fields"]}


def test_versions_need_no_login_and_are_not_counted(box: SandboxProcess, rest: Rest) -> None:
    answer = requests.get(f"{box.url}/services/data/", timeout=20)
    rows = answer.json()
    assert {"label": "Winter '24", "url": "/services/data/v59.0", "version": "59.0"} in rows
    assert rows[-1] == {"label": "Summer '26", "url": "/services/data/v67.0", "version": "67.0"}
    assert [float(row["version"]) for row in rows] == sorted(float(row["version"]) for row in rows)
    assert "Sforce-Limit-Info" not in answer.headers


def test_every_counted_call_moves_the_limit_by_one(rest: Rest) -> None:
    def used() -> int:
        return int(rest("GET", "limits").headers["Sforce-Limit-Info"].removeprefix("api-usage=").split("/")[0])

    assert used() + 1 == used()


def test_resources_and_trailing_slashes(rest: Rest) -> None:
    assert rest("GET", "").json()["query"] == "/services/data/v62.0/query"
    assert rest("GET", "/services/data/v62.0").status_code == 200
    assert rest("GET", "limits/").json()["DailyApiRequests"]["Max"] == 100000
    assert rest("GET", "sobjects/Account/describe/").status_code == 200


def test_global_describe(rest: Rest) -> None:
    body = rest("GET", "sobjects").json()
    by_name = {item["name"]: item for item in body["sobjects"]}
    assert (body["encoding"], body["maxBatchSize"]) == ("UTF-8", 200)
    assert set(by_name) >= OBJECTS | {"Signal__c"}
    assert by_name["Account"]["keyPrefix"] == "001"
    assert by_name["Order"]["urls"]["describe"] == "/services/data/v62.0/sobjects/Order/describe"
    assert by_name["Signal__c"]["custom"] is True


def test_object_describe_has_every_field_key(rest: Rest) -> None:
    body = rest("GET", "sobjects/account/describe").json()  # names are case-insensitive
    assert body["name"] == "Account"
    assert all(set(item) == FIELD_KEYS for item in body["fields"])
    children = {(item["childSObject"], item["relationshipName"]) for item in body["childRelationships"]}
    assert {("Contact", "Contacts"), ("Contract", "Contracts"), ("Case", "Cases"), ("Signal__c", "Signals__r")} <= children
    assert body["recordTypeInfos"][0]["master"] is True


def test_field_types_lengths_and_flags(rest: Rest) -> None:
    found = fields(rest, "Account")
    score, key, notes, band = found["Health_Score__c"], found["Ext__c"], found["Notes__c"], found["Band__c"]
    assert (score["type"], score["soapType"], score["precision"], score["scale"], score["length"]) == ("double", "xsd:double", 5, 2, 0)
    assert (key["type"], key["length"], key["byteLength"], key["externalId"], key["unique"]) == ("string", 20, 60, True, True)
    assert (notes["type"], notes["filterable"], notes["sortable"], notes["groupable"]) == ("textarea", False, False, False)
    assert band["restrictedPicklist"] is True
    assert [(item["value"], item["label"], item["active"]) for item in band["picklistValues"]] == [  # type: ignore[attr-defined]
        ("Red", "赤", True),
        ("Green", "緑", True),
        ("Old", "Old", False),
    ]
    assert (found["Days_Left__c"]["calculated"], found["Days_Left__c"]["updateable"]) == (True, False)
    assert (found["Id"]["permissionable"], found["Id"]["length"], found["Id"]["updateable"]) == (False, 18, False)
    assert (found["Trusted__c"]["type"], found["Trusted__c"]["nillable"]) == ("boolean", False)
    what = fields(rest, "Task")["WhatId"]
    assert what["polymorphicForeignKey"] is True
    assert "Account" in what["referenceTo"]  # type: ignore[operator]
    assert fields(rest, "Contract")["EndDate"]["calculated"] is True


def test_if_modified_since(rest: Rest, box: SandboxProcess) -> None:
    def again() -> int:
        seen = rest("GET", "sobjects/Account/describe").headers["Last-Modified"]
        return rest("GET", "sobjects/Account/describe", headers={"If-Modified-Since": seen}).status_code

    ends = time.monotonic() + 10
    while again() != 304:  # within the second of a change every answer is new
        assert time.monotonic() < ends
    earlier = {"If-Modified-Since": "Tue, 01 Jan 2019 00:00:00 GMT"}
    assert rest("GET", "sobjects/Account/describe", headers=earlier).status_code == 200


def test_if_modified_since_sees_a_grant_of_the_same_second(own_box: SandboxProcess) -> None:
    rest = Rest(own_box)
    own_box.control.call("fields", {"fields": [{"FullName": "Account.Late__c", "Metadata": {"type": "Text", "label": "Late", "length": 5}}]})
    seen = rest("GET", "sobjects/Account/describe").headers["Last-Modified"]
    own_box.control.call("grants", {"user": "integration", "fields": ["Account.Late__c"]})
    again = rest("GET", "sobjects/Account/describe", headers={"If-Modified-Since": seen})
    assert again.status_code == 200
    assert "Late__c" in {item["name"] for item in again.json()["fields"]}


def test_gzip_both_ways(rest: Rest) -> None:
    answer = rest("GET", "sobjects/Account/describe", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in rest("GET", "sobjects/Account/describe", headers={"Accept-Encoding": "identity"}).headers
    packed = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    made = rest("POST", "sobjects/Account", data=gzip.compress(b'{"Name": "packed"}'), headers=packed)
    assert made.status_code == 201
    assert rest("POST", "sobjects/Account", data=b"no gzip", headers=packed).status_code == 400


def test_unknown_object_version_and_method(rest: Rest) -> None:
    missing = [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}]
    for path in ("sobjects/Nope/describe", "nothing", "/services/data/v99.0/limits"):
        answer = rest("GET", path)
        assert (answer.status_code, answer.json()) == (404, missing)
    assert rest("GET", "/services/data/v30.0/limits").status_code == 410
    refused = rest("DELETE", "sobjects/Account")
    assert refused.status_code == 405
    assert refused.json() == [{"errorCode": "METHOD_NOT_ALLOWED", "message": "HTTP Method 'DELETE' not allowed. Allowed are HEAD,GET,POST"}]
    assert rest("GET", "limits?" + "x" * 17_000).status_code == 414


def test_a_new_field_is_visible_to_nobody_until_granted(box: SandboxProcess, admin: Rest, rest: Rest, accounts) -> None:  # type: ignore[no-untyped-def]
    record = accounts()[0]
    made = admin("POST", "tooling/sobjects/CustomField", {"FullName": "Account.Shy__c", "Metadata": {"type": "Text", "label": "Shy", "length": 5}})
    assert made.status_code == 201
    assert made.json()["id"].startswith("00N")
    for user in (admin, rest):
        assert "Shy__c" not in fields(user, "Account")
        refused = user("GET", "query", params={"q": "SELECT Shy__c FROM Account"})
        assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "INVALID_FIELD")
        written = user("PATCH", f"sobjects/Account/{record}", {"Shy__c": "x"})
        assert (written.status_code, written.json()[0]["errorCode"], written.json()[0]["fields"]) == (
            400,
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            ["Shy__c"],
        )
    permission_set = admin("POST", "sobjects/PermissionSet", {"Name": "Shy", "Label": "Shy"}).json()["id"]
    grant = {"ParentId": permission_set, "SobjectType": "Account", "Field": "Account.Shy__c", "PermissionsRead": True, "PermissionsEdit": False}
    row = admin("POST", "sobjects/FieldPermissions", grant)
    assert row.status_code == 201
    assert "Shy__c" not in fields(rest, "Account")  # the set is assigned to nobody yet
    user_id = box.user("integration")["id"]
    assert admin("POST", "sobjects/PermissionSetAssignment", {"PermissionSetId": permission_set, "AssigneeId": user_id}).status_code == 201
    assert fields(rest, "Account")["Shy__c"]["updateable"] is False
    assert rest("PATCH", f"sobjects/Account/{record}", {"Shy__c": "x"}).json()[0]["errorCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert admin("PATCH", f"sobjects/FieldPermissions/{row.json()['id']}", {"PermissionsEdit": True}).status_code == 204
    assert rest("PATCH", f"sobjects/Account/{record}", {"Shy__c": "x"}).status_code == 204
    assert "Shy__c" not in fields(admin, "Account")
    box.control.call("hide", {"fields": ["Account.Shy__c"]})
    assert "Shy__c" not in fields(rest, "Account")


def test_field_permission_rules(admin: Rest) -> None:
    permission_set = admin("POST", "sobjects/PermissionSet", {"Name": "Rules", "Label": "Rules"}).json()["id"]

    def grant(field: str, read: bool = True, edit: bool = False) -> str:
        row = {"ParentId": permission_set, "SobjectType": "Account", "Field": field, "PermissionsRead": read, "PermissionsEdit": edit}
        answer = admin("POST", "sobjects/FieldPermissions", row).json()
        return answer[0]["errorCode"] if isinstance(answer, list) else "ok"

    assert grant("Account.Name") == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"  # not permissionable
    assert grant("Account.Nothing__c") == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    assert grant("Account.Reason__c", read=False, edit=True) == "FIELD_INTEGRITY_EXCEPTION"
    assert grant("Account.Days_Left__c", edit=True) == "FIELD_INTEGRITY_EXCEPTION"
    assert grant("Account.Reason__c", edit=True) == "ok"
    assert grant("Account.Reason__c") == "DUPLICATE_VALUE"
    rights = {"ParentId": permission_set, "SobjectType": "Signal__c", "PermissionsDelete": True, "PermissionsRead": True}
    refused = admin("POST", "sobjects/ObjectPermissions", rights).json()[0]
    assert (refused["errorCode"], refused["message"]) == ("FIELD_INTEGRITY_EXCEPTION", "PermissionsDelete requires PermissionsEdit")
    assert admin("POST", "sobjects/ObjectPermissions", {**rights, "PermissionsEdit": True}).status_code == 201
    assert admin("POST", "sobjects/ObjectPermissions", {**rights, "SobjectType": "Nope__c"}).status_code == 400


def test_a_custom_object_needs_object_permissions(box: SandboxProcess, admin: Rest, rest: Rest) -> None:
    box.control.call("fields", {"objects": [{"fullName": "Vault__c", "label": "Vault"}], "visible_to": []})
    assert admin("GET", "sobjects/Vault__c/describe").status_code == 200
    assert rest("GET", "sobjects/Vault__c/describe").status_code == 404
    assert rest("GET", "query", params={"q": "SELECT Id FROM Vault__c"}).json()[0]["errorCode"] == "INVALID_TYPE"
    box.control.call("grants", {"user": "integration", "objects": ["Vault__c"]})
    assert rest("POST", "sobjects/Vault__c", {"Name": "v"}).status_code == 201
