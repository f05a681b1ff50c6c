"""Single records: CRUD, upsert, validation, ids, stamps, deletes, replication."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceMoreThanOneRecord

from connectors.sandbox_kit import SandboxProcess
from tests.sandbox.conftest import Rest

Accounts = Callable[..., list[str]]


def get(rest: Rest, record_id: str, kind: str = "Account") -> dict[str, Any]:
    answer = rest("GET", f"sobjects/{kind}/{record_id}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_create_read_update_delete(rest: Rest) -> None:
    made = rest("POST", "sobjects/Account/", {"Name": "  青葉商事 ", "health_score__c": 73.5, "Industry": "Banking"})
    record_id = made.json()["id"]
    assert made.status_code == 201
    assert made.json() == {"id": record_id, "success": True, "errors": []}
    assert made.headers["Location"] == f"/services/data/v62.0/sobjects/Account/{record_id}"
    assert (len(record_id), record_id[:3]) == (18, "001")
    row = get(rest, record_id)
    assert row["attributes"] == {"type": "Account", "url": f"/services/data/v62.0/sobjects/Account/{record_id}"}
    assert (row["Name"], row["Health_Score__c"], row["Trusted__c"], row["Phone"]) == ("青葉商事", 73.5, False, None)
    assert row["CreatedDate"].endswith(".000+0000")
    changed = rest("PATCH", f"sobjects/Account/{record_id[:15]}", {"Health_Score__c": None})  # 15 characters will do
    assert (changed.status_code, changed.content) == (204, b"")
    assert get(rest, record_id)["Health_Score__c"] is None
    assert rest("GET", f"sobjects/Account/{record_id}", params={"fields": "Name,industry"}).json() == {
        "attributes": row["attributes"],
        "Name": "青葉商事",
        "Industry": "Banking",
    }
    assert rest("DELETE", f"sobjects/Account/{record_id}").status_code == 204
    gone = rest("GET", f"sobjects/Account/{record_id}")
    assert (gone.status_code, gone.json()[0]["errorCode"]) == (404, "ENTITY_IS_DELETED")


def test_unknown_malformed_and_foreign_ids(rest: Rest) -> None:
    assert rest("GET", "sobjects/Account/0015e0000zzzzzz").json()[0]["errorCode"] == "NOT_FOUND"
    unknown = rest("PATCH", "sobjects/Account/0015e0000zzzzzz", {"Name": "x"})
    assert (unknown.status_code, unknown.json()[0]["message"]) == (
        404,
        "Provided external ID field does not exist or is not accessible: 0015e0000zzzzzz",
    )
    wrong = rest("GET", "sobjects/Account/0035e0000000001")
    assert (wrong.status_code, wrong.json()[0]["errorCode"]) == (400, "MALFORMED_ID")
    body = rest("PATCH", "sobjects/Account/0015e0000000001", {"Id": "0015e0000000001", "Name": "x"})
    assert (body.status_code, body.json()[0]["errorCode"]) == (400, "INVALID_FIELD")


@pytest.mark.parametrize(
    ("values", "code", "message", "fields"),
    [
        ({"Reason__c": "12345678901"}, "STRING_TOO_LONG", "Reason: data value too large: 12345678901 (max length=10)", ["Reason__c"]),
        ({"Band__c": "Blue"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Band: bad value for restricted picklist field: Blue", ["Band__c"]),
        ({"Band__c": "Old"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Band: bad value for restricted picklist field: Old", ["Band__c"]),
        (
            {"Health_Score__c": 1000},
            "NUMBER_OUTSIDE_VALID_RANGE",
            "Health Score: value outside of valid range on numeric field: 1000",
            ["Health_Score__c"],
        ),
        ({"Name": None}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", ["Name"]),
        ({"Name": " "}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", ["Name"]),
        ({"Nope__c": 1}, "INVALID_FIELD", "No such column 'Nope__c' on sobject of type Account", []),
        ({"OwnerId": "0055e000000zzzz"}, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ["OwnerId"]),
        ({"OwnerId": "x"}, "MALFORMED_ID", "Owner ID: id value of incorrect type: x", ["OwnerId"]),
        ({"Trusted__c": None}, "INVALID_TYPE_ON_FIELD_IN_RECORD", "Trusted: value not of required type: null", ["Trusted__c"]),
    ],
)
def test_refused_values(rest: Rest, accounts: Accounts, values: dict[str, Any], code: str, message: str, fields: list[str]) -> None:
    answer = rest("PATCH", f"sobjects/Account/{accounts()[0]}", values)
    assert answer.status_code == 400
    assert answer.json() == [{"message": message, "errorCode": code, "fields": fields}]


@pytest.mark.parametrize("field", ["Days_Left__c", "SystemModstamp", "CreatedDate", "LastActivityDate"])
def test_read_only_fields(rest: Rest, accounts: Accounts, field: str) -> None:
    answer = rest("PATCH", f"sobjects/Account/{accounts()[0]}", {field: None}).json()[0]
    assert (answer["errorCode"], answer["fields"]) == ("INVALID_FIELD_FOR_INSERT_UPDATE", [field])
    assert answer["message"].startswith(f"Unable to create/update fields: {field}. Please check the security settings")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("Health_Score__c", "many", "instance of double from VALUE_STRING value many"),
        ("Seen_At__c", "yesterday", "instance of datetime from VALUE_STRING value yesterday"),
        ("Renews_On__c", "2026-02-30", "instance of date from VALUE_STRING value 2026-02-30"),
        ("Reason__c", 5, "instance of string from VALUE_NUMBER_INT value 5"),
        ("Trusted__c", "perhaps", "instance of boolean from VALUE_STRING value perhaps"),
    ],
)
def test_wrong_json_types_refuse_the_call(rest: Rest, accounts: Accounts, field: str, value: Any, words: str) -> None:
    record_id = accounts()[0]
    answer = rest("PATCH", f"sobjects/Account/{record_id}", {field: value})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")
    assert words in answer.json()[0]["message"]
    body = {"records": [{"attributes": {"type": "Account"}, "id": record_id, field: value}]}
    assert rest("PATCH", "composite/sobjects", body).json()[0]["errorCode"] == "JSON_PARSER_ERROR"


def test_values_are_stored_as_the_vendor_stores_them(rest: Rest, accounts: Accounts) -> None:
    record_id = accounts()[0]
    sent = {
        "Health_Score__c": 12.345,
        "Seen_At__c": "2026-01-05T12:41:05.789+09:00",
        "Renews_On__c": "2026-03-31",
        "Reason__c": "",
        "Trusted__c": "true",
    }
    assert rest("PATCH", f"sobjects/Account/{record_id}", sent).status_code == 204
    row = get(rest, record_id)
    assert row["Health_Score__c"] == 12.35  # half up at scale 2
    assert row["Seen_At__c"] == "2026-01-05T03:41:05.000+0000"
    assert (row["Renews_On__c"], row["Reason__c"], row["Trusted__c"]) == ("2026-03-31", None, True)


def test_unique_values(rest: Rest, accounts: Accounts) -> None:
    first, second = accounts(2)
    assert rest("PATCH", f"sobjects/Account/{first}", {"Ext__c": "uniq-1"}).status_code == 204
    answer = rest("PATCH", f"sobjects/Account/{second}", {"Ext__c": "UNIQ-1"})  # compared without case
    assert answer.json() == [
        {
            "message": f"duplicate value found: Ext__c duplicates value on record with id: {first}",
            "errorCode": "DUPLICATE_VALUE",
            "fields": ["Ext__c"],
        }
    ]
    assert rest("PATCH", f"sobjects/Account/{first}", {"Ext__c": "Uniq-1"}).status_code == 204  # its own value is no duplicate


def test_upsert_by_external_id(rest: Rest) -> None:
    created = rest("PATCH", "sobjects/Account/Ext__c/k%2F1%20a", {"Name": "up"})
    assert (created.status_code, created.json()["created"]) == (201, True)
    record_id = created.json()["id"]
    updated = rest("PATCH", "sobjects/account/ext__c/K%2F1%20A", {"Name": "up 2"})
    assert (updated.status_code, updated.json()) == (200, {"id": record_id, "success": True, "errors": [], "created": False})
    assert rest("PATCH", "sobjects/Account/Ext__c/k%2F1%20a", {"Name": "up 3"}, version="45.0").status_code == 204
    row = rest("GET", "sobjects/Account/Ext__c/k%2F1%20a").json()
    assert (row["Name"], row["Ext__c"]) == ("up 3", "k/1 a")
    assert rest("PATCH", "sobjects/Account/Ext__c/fresh?updateOnly=true", {"Name": "no"}).status_code == 404
    assert rest("PATCH", "sobjects/Account/Ext__c/x", {"Name": "no", "Ext__c": "x"}).json()[0]["errorCode"] == "INVALID_FIELD"
    assert rest("PATCH", "sobjects/Account/Reason__c/x", {"Name": "no"}).status_code == 404  # no external id
    assert rest("DELETE", "sobjects/Account/Ext__c/k%2F1%20a").status_code == 204


def test_upsert_with_several_matches(rest: Rest, box: SandboxProcess, client: Salesforce) -> None:
    ids = box.control.seed("Account", [{"Name": "twin", "Loose__c": "twin"}, {"Name": "twin", "Loose__c": "TWIN"}])
    answer = rest("PATCH", "sobjects/Account/Loose__c/twin", {"Name": "x"})
    assert (answer.status_code, answer.json()) == (300, [f"/services/data/v62.0/sobjects/Account/{record_id}" for record_id in ids])
    with pytest.raises(SalesforceMoreThanOneRecord):
        client.Account.upsert("Loose__c/twin", {"Name": "x"})
    assert [row["Name"] for row in rest.query("SELECT Name FROM Account WHERE Loose__c = 'twin'")] == ["twin", "twin"]


def test_lookup_by_the_parents_external_id(rest: Rest) -> None:
    parent = rest("PATCH", "sobjects/Account/Ext__c/parent-1", {"Name": "parent"}).json()["id"]
    child = rest("POST", "sobjects/Contact", {"LastName": "田中", "FirstName": "一郎", "Account": {"Ext__c": "parent-1"}}).json()["id"]
    row = get(rest, child, "Contact")
    assert (row["AccountId"], row["Name"]) == (parent, "一郎 田中")
    missing = rest("POST", "sobjects/Contact", {"LastName": "x", "Account": {"Ext__c": "parent-none"}}).json()[0]
    assert (missing["errorCode"], missing["message"]) == (
        "INVALID_FIELD",
        "Foreign key external ID: parent-none not found for field Ext__c in entity Account",
    )


def test_retrieve_many(rest: Rest, accounts: Accounts) -> None:
    first, second = accounts(2)
    rest("DELETE", f"sobjects/Account/{second}")
    wanted = [second, first[:15], "0015e0000zzzzzz"]
    answer = rest("POST", "composite/sobjects/Account", {"ids": wanted, "fields": ["Id", "name"]})
    assert [row and row["Id"] for row in answer.json()] == [None, first, None]
    assert set(answer.json()[1]) == {"attributes", "Id", "Name"}
    by_get = rest("GET", "composite/sobjects/Account", params={"ids": ",".join(wanted), "fields": "id,name"})
    assert by_get.json() == answer.json()
    assert rest("POST", "composite/sobjects/Account", {"ids": [first], "fields": ["Nope"]}).status_code == 400
    too_many = rest("POST", "composite/sobjects/Account", {"ids": [first] * 2001, "fields": ["Id"]})
    assert too_many.json()[0]["errorCode"] == "EXCEEDED_ID_LIMIT"


def test_stamps_move_with_each_write_and_not_with_formulas(own_box: SandboxProcess) -> None:
    rest, control = Rest(own_box), own_box.control
    control.clock(now="2026-01-05T03:00:00Z", frozen=True)
    record_id = rest("POST", "sobjects/Account", {"Name": "a", "Renews_On__c": "2026-01-10"}).json()["id"]
    row = get(rest, record_id)
    assert {row[name] for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp")} == {"2026-01-05T03:00:00.000+0000"}
    assert row["Days_Left__c"] == 5.0
    control.clock(advance=60)
    rest("PATCH", f"sobjects/Account/{record_id}", {"Name": "a"})  # the same value is a write too
    row = get(rest, record_id)
    assert (row["CreatedDate"], row["SystemModstamp"]) == ("2026-01-05T03:00:00.000+0000", "2026-01-05T03:01:00.000+0000")
    control.clock(advance=86400)
    control.call("touch", {"object": "Account", "ids": [record_id], "values": {"Reason__c": "flow"}})
    row = get(rest, record_id)
    assert (row["LastModifiedDate"], row["SystemModstamp"], row["Reason__c"]) == (
        "2026-01-05T03:01:00.000+0000",
        "2026-01-06T03:01:00.000+0000",
        "flow",
    )
    assert row["Days_Left__c"] == 4.0  # a day later, and no stamp moved for it
    control.clock(now="2026-01-06T16:00:00Z", frozen=True)  # already the 7th in Tokyo
    assert get(rest, record_id)["Days_Left__c"] == 3.0
    # the server's clock is the Date header
    assert rest("GET", "limits").headers["Date"] == "Tue, 06 Jan 2026 16:00:00 GMT"


def test_delete_cascades_and_undelete_restores(box: SandboxProcess, rest: Rest, accounts: Accounts) -> None:
    account = accounts()[0]
    contact = rest("POST", "sobjects/Contact", {"LastName": "c", "AccountId": account}).json()["id"]
    task = rest("POST", "sobjects/Task", {"Subject": "t", "WhatId": account}).json()["id"]
    signal = rest("POST", "sobjects/Signal__c", {"Account__c": account}).json()["id"]
    assert rest("DELETE", f"sobjects/Account/{account}").status_code == 204
    assert rest.query(f"SELECT Id FROM Contact WHERE Id = '{contact}'") == []
    deleted = rest.query(f"SELECT Id, IsDeleted, MasterRecordId FROM Account WHERE Id = '{account}'", "queryAll")
    assert [(row["IsDeleted"], row["MasterRecordId"]) for row in deleted] == [(True, None)]
    assert rest.query(f"SELECT IsDeleted FROM Task WHERE Id = '{task}'", "queryAll")[0]["IsDeleted"] is True
    assert rest.query(f"SELECT Account__c FROM Signal__c WHERE Id = '{signal}'")[0]["Account__c"] is None  # the lookup was cleared
    again = rest("PATCH", f"sobjects/Account/{account}", {"Name": "x"})
    assert (again.status_code, again.json()[0]["errorCode"]) == (404, "ENTITY_IS_DELETED")
    assert rest.update({"id": account, "Name": "x"})[0]["errors"][0]["statusCode"] == "ENTITY_IS_DELETED"
    box.control.call("undelete", {"object": "Account", "ids": [account]})
    assert get(rest, account)["IsDeleted"] is False


def test_merge_moves_children_and_names_the_master(box: SandboxProcess, rest: Rest, accounts: Accounts) -> None:
    master, loser = accounts(2)
    contact = rest("POST", "sobjects/Contact", {"LastName": "c", "AccountId": loser}).json()["id"]
    before = get(rest, contact, "Contact")["SystemModstamp"]
    box.control.clock(advance=2)
    assert box.control.call("merge", {"master": master, "losers": [loser]})["moved"] == 1
    row = get(rest, contact, "Contact")
    assert row["AccountId"] == master
    assert row["SystemModstamp"] > before
    found = rest.query(f"SELECT IsDeleted, MasterRecordId FROM Account WHERE Id = '{loser}'", "queryAll")[0]
    assert (found["IsDeleted"], found["MasterRecordId"]) == (True, master)


def test_updated_and_deleted(box: SandboxProcess, rest: Rest, client: Salesforce, accounts: Accounts) -> None:
    live, binned, purged = accounts(3)
    rest("DELETE", f"sobjects/Account/{binned}")
    box.control.call("purge", {"object": "Account", "ids": [purged]})
    now = datetime.now(UTC)
    window = {"start": (now - timedelta(hours=1)).isoformat(), "end": (now + timedelta(minutes=5)).isoformat()}
    found = rest("GET", "sobjects/Account/updated/", params=window).json()
    assert live in found["ids"]
    assert binned not in found["ids"]
    assert found["latestDateCovered"].endswith(":00.000+0000")
    gone = rest("GET", "sobjects/Account/deleted/", params=window).json()
    assert {binned, purged} <= {row["id"] for row in gone["deletedRecords"]}
    by_client = client.Account.updated(now - timedelta(hours=1), now + timedelta(minutes=5))
    assert live in by_client["ids"]
    wrong = rest("GET", "sobjects/Account/updated/", params={"start": window["end"], "end": window["start"]})
    assert wrong.json()[0]["errorCode"] == "INVALID_REPLICATION_DATE"
    old = {"start": (now - timedelta(days=31)).isoformat(), "end": window["end"]}
    assert rest("GET", "sobjects/Account/updated/", params=old).json()[0]["errorCode"] == "INVALID_REPLICATION_DATE"


def test_what_the_platform_derives(rest: Rest, accounts: Accounts) -> None:
    account = accounts()[0]
    contract = rest("POST", "sobjects/Contract", {"AccountId": account, "StartDate": "2026-01-31", "ContractTerm": 13, "Status": "Draft"}).json()[
        "id"
    ]
    row = get(rest, contract, "Contract")
    assert (row["EndDate"], row["StatusCode"], len(row["ContractNumber"])) == ("2027-02-27", "Draft", 8)
    rest("PATCH", f"sobjects/Contract/{contract}", {"Status": "Activated"})
    row = get(rest, contract, "Contract")
    assert (row["StatusCode"], row["ActivatedDate"]) == ("Activated", row["LastModifiedDate"])
    task = rest("POST", "sobjects/Task", {"Subject": "call", "WhatId": contract, "Status": "Completed"}).json()["id"]
    row = get(rest, task, "Task")
    assert (row["AccountId"], row["IsClosed"], row["Priority"]) == (account, True, "Normal")
    assert row["CompletedDateTime"] == row["LastModifiedDate"]
    event = rest(
        "POST", "sobjects/Event", {"Subject": "e", "WhatId": account, "StartDateTime": "2026-01-05T01:00:00Z", "DurationInMinutes": 90}
    ).json()["id"]
    row = get(rest, event, "Event")
    assert (row["EndDateTime"], row["ActivityDate"], row["AccountId"]) == ("2026-01-05T02:30:00.000+0000", "2026-01-05", account)
    case = rest("POST", "sobjects/Case", {"Subject": "s", "AccountId": account, "Status": "Closed"}).json()["id"]
    row = get(rest, case, "Case")
    assert (row["IsClosed"], row["ClosedDate"]) == (True, row["LastModifiedDate"])
    product = rest("POST", "sobjects/Product2", {"Name": "P"}).json()["id"]
    order = rest("POST", "sobjects/Order", {"AccountId": account, "EffectiveDate": "2026-01-01", "Status": "Draft"}).json()["id"]
    for quantity in (2, 3):
        assert (
            rest("POST", "sobjects/OrderItem", {"OrderId": order, "Product2Id": product, "Quantity": quantity, "UnitPrice": 10.5}).status_code == 201
        )
    assert get(rest, order, "Order")["TotalAmount"] == 52.5
    rest("POST", "sobjects/OrderItem", {"OrderId": order, "Product2Id": product, "Quantity": 3, "UnitPrice": 10.1})
    line = f"SELECT TotalPrice, Order.TotalAmount FROM OrderItem WHERE OrderId = '{order}' AND UnitPrice = 10.1"
    assert [(row["TotalPrice"], row["Order"]["TotalAmount"]) for row in rest.query(line)] == [(30.3, 82.8)]  # no binary remainders
    deal = rest("POST", "sobjects/Opportunity", {"Name": "o", "AccountId": account, "StageName": "Closed Won", "CloseDate": "2026-01-01"}).json()[
        "id"
    ]
    row = get(rest, deal, "Opportunity")
    assert (row["IsClosed"], row["IsWon"], row["Probability"]) == (True, True, 100.0)
    signal = rest("POST", "sobjects/Signal__c", {"Account__c": account}).json()["id"]
    assert get(rest, signal, "Signal__c")["Name"].startswith("SIG-0")


def test_the_vendors_client_reads_and_writes(client: Salesforce, accounts: Accounts) -> None:
    made = client.Account.create({"Name": "by client", "Ext__c": "client-1"})
    assert client.Account.update(made["id"], {"Health_Score__c": 1.25}) == 204
    assert client.Account.get_by_custom_id("Ext__c", "client-1")["Health_Score__c"] == 1.25
    assert client.Account.upsert("Ext__c/client-1", {"Name": "by client 2"}) == 200
    assert client.Account.describe()["name"] == "Account"
    assert client.describe()["maxBatchSize"] == 200
    accounts(250)
    options = {"Sforce-Query-Options": "batchSize=200"}
    first = client.query("SELECT Id FROM Account", headers=options)
    assert (first["done"], len(first["records"])) == (False, 200)
    assert len(list(client.query_all_iter("SELECT Id FROM Account"))) == first["totalSize"]
    assert client.limits()["DailyApiRequests"]["Max"] == 100000
    assert client.Account.delete(made["id"]) == 204
