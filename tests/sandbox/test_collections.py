"""sObject Collections and the composite family."""

from collections.abc import Callable
from typing import Any

from connectors.sandbox_kit import SandboxProcess
from tests.sandbox.conftest import Rest

Accounts = Callable[..., list[str]]


def test_update_answers_in_order_one_result_per_record(rest: Rest, accounts: Accounts) -> None:
    first, second = accounts(2)
    results = rest.update(
        {"id": first, "Health_Score__c": 73.5},
        {"Id": "0015e0000zzzzzz", "Name": "x"},
        {"id": second[:15], "Reason__c": "12345678901"},
        {"id": "x"},
        {"Name": "x"},
    )
    assert results[0] == {"id": first, "success": True, "errors": []}
    codes = [item["errors"][0]["statusCode"] for item in results[1:]]
    assert codes == ["INVALID_CROSS_REFERENCE_KEY", "STRING_TOO_LONG", "MALFORMED_ID", "MISSING_ARGUMENT"]
    assert results[2]["errors"][0]["fields"] == ["Reason__c"]
    assert rest.query(f"SELECT Health_Score__c FROM Account WHERE Id = '{first}'")[0]["Health_Score__c"] == 73.5


def test_the_same_id_twice(rest: Rest, accounts: Accounts) -> None:
    record = accounts()[0]
    results = rest.update({"id": record, "Reason__c": "a"}, {"id": record[:15], "Reason__c": "b"})
    assert [item["success"] for item in results] == [True, False]
    assert results[1]["errors"][0]["statusCode"] == "DUPLICATE_VALUE"


def test_all_or_none_rolls_everything_back(rest: Rest, accounts: Accounts) -> None:
    first, second = accounts(2)
    results = rest.update({"id": first, "Reason__c": "kept?"}, {"id": second, "Band__c": "Blue"}, all_or_none=True)
    assert [item["errors"][0]["statusCode"] for item in results] == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"]
    assert results[0]["errors"][0]["message"].startswith("Record rolled back because not all records were valid")
    assert rest.query(f"SELECT Reason__c FROM Account WHERE Id = '{first}'")[0]["Reason__c"] is None


def test_all_or_none_over_several_types(rest: Rest, accounts: Accounts) -> None:
    account = accounts()[0]
    records = [{"attributes": {"type": "Account"}, "id": account, "Reason__c": "x"}, {"attributes": {"type": "Contact"}, "id": "0035e0000zzzzzz"}]
    results = rest("PATCH", "composite/sobjects", {"allOrNone": True, "records": records}).json()
    assert [item["success"] for item in results] == [False, False]
    assert rest.query(f"SELECT Reason__c FROM Account WHERE Id = '{account}'")[0]["Reason__c"] is None


def test_limits_of_a_call(rest: Rest, accounts: Accounts) -> None:
    row: dict[str, Any] = {"attributes": {"type": "Account"}, "id": accounts()[0]}
    too_many = rest("PATCH", "composite/sobjects", {"records": [row] * 201})
    assert (too_many.status_code, too_many.json()[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")
    assert too_many.json()[0]["message"] == "record limit reached. cannot submit more than 200 records into this call"
    kinds = [{"attributes": {"type": kind}, "id": "x"} for kind in ("Account", "Contact") * 6]
    assert rest("PATCH", "composite/sobjects", {"records": kinds}).json()[0]["errorCode"] == "MAX_CHUNKS_EXCEEDED"
    assert rest("PATCH", "composite/sobjects", {"records": [{"id": "x"}]}).status_code == 400
    assert rest("PATCH", "composite/sobjects", data=b"{not json").json()[0]["errorCode"] == "JSON_PARSER_ERROR"


def test_create_and_delete(rest: Rest) -> None:
    rows = [
        {"attributes": {"type": "Account"}, "Name": "one"},
        {"attributes": {"type": "Account"}},
        {"attributes": {"type": "Contact"}, "LastName": "two"},
    ]
    made = rest("POST", "composite/sobjects", {"records": rows}).json()
    assert [item["success"] for item in made] == [True, False, True]
    assert made[1]["errors"][0] == {"statusCode": "REQUIRED_FIELD_MISSING", "message": "Required fields are missing: [Name]", "fields": ["Name"]}
    ids = f"{made[0]['id']},x,{made[2]['id']}"
    gone = rest("DELETE", "composite/sobjects", params={"ids": ids, "allOrNone": "false"}).json()
    assert [item["success"] for item in gone] == [True, False, True]


def test_upsert(rest: Rest, box: SandboxProcess) -> None:
    def upsert(*keys: str, field: str = "Ext__c") -> list[dict[str, Any]]:
        rows = [{"attributes": {"type": "Account"}, field: key, "Name": "n"} for key in keys]
        results: list[dict[str, Any]] = rest("PATCH", f"composite/sobjects/Account/{field}", {"records": rows}).json()
        return results

    first = upsert("c-1", "c-2", "C-1", "")
    assert [(item["success"], item.get("created")) for item in first] == [(True, True), (True, True), (False, None), (False, None)]
    assert [item["errors"][0]["statusCode"] for item in first[2:]] == ["DUPLICATE_VALUE", "MISSING_ARGUMENT"]
    second = upsert("C-2", "c-3")
    assert [(item["id"] == first[1]["id"], item["created"]) for item in second] == [(True, False), (False, True)]
    box.control.seed("Account", [{"Name": "t", "Loose__c": "many"}, {"Name": "t", "Loose__c": "many"}])
    assert upsert("many", field="Loose__c")[0]["errors"][0]["statusCode"] == "DUPLICATE_EXTERNAL_ID"
    assert rest("PATCH", "composite/sobjects/Account/Nope__c", {"records": [{"attributes": {"type": "Account"}, "Nope__c": "x"}]}).status_code == 404


def usage(rest: Rest) -> int:
    return int(rest("GET", "limits").headers["Sforce-Limit-Info"].split("=")[1].split("/")[0])


def test_what_counts_how_often(rest: Rest, accounts: Accounts) -> None:
    ids = accounts(3)
    before = usage(rest)
    rest.update(*({"id": record, "Reason__c": "n"} for record in ids))
    assert usage(rest) - before == 2  # the call and the look at the limit
    requests = [{"method": "GET", "url": "/services/data/v62.0/limits", "referenceId": f"r{number}"} for number in range(4)]
    before = usage(rest)
    rest("POST", "composite", {"compositeRequest": requests})
    assert usage(rest) - before == 2
    before = usage(rest)
    rest("POST", "composite/batch", {"batchRequests": [{"method": "GET", "url": "v62.0/limits"}] * 4})
    assert usage(rest) - before == 5


def test_composite_passes_references_on(rest: Rest) -> None:
    requests = [
        {"method": "POST", "url": "/services/data/v62.0/sobjects/Account", "referenceId": "acc", "body": {"Name": "composite"}},
        {"method": "POST", "url": "/services/data/v62.0/sobjects/Contact", "referenceId": "con", "body": {"LastName": "c", "AccountId": "@{acc.id}"}},
        {"method": "GET", "url": "/services/data/v62.0/query?q=SELECT+AccountId+FROM+Contact+WHERE+Id='@{con.id}'", "referenceId": "q"},
        {"method": "GET", "url": "/services/data/v62.0/sobjects/Account/@{q.records[0].AccountId}?fields=Name", "referenceId": "again"},
        {"method": "PATCH", "url": "/services/data/v62.0/sobjects/Account/@{acc.id}", "referenceId": "patch", "body": {"Band__c": "Blue"}},
    ]
    answer = rest("POST", "composite", {"allOrNone": False, "compositeRequest": requests}).json()["compositeResponse"]
    assert [item["httpStatusCode"] for item in answer] == [201, 201, 200, 200, 400]
    assert answer[3]["body"]["Name"] == "composite"
    assert answer[0]["httpHeaders"]["Location"].endswith(answer[0]["body"]["id"])
    assert answer[4]["body"][0]["errorCode"] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"


def test_composite_all_or_none(rest: Rest) -> None:
    requests = [
        {"method": "POST", "url": "/services/data/v62.0/sobjects/Account", "referenceId": "a", "body": {"Name": "rolled back"}},
        {"method": "POST", "url": "/services/data/v62.0/sobjects/Account", "referenceId": "b", "body": {}},
        {"method": "POST", "url": "/services/data/v62.0/sobjects/Account", "referenceId": "c", "body": {"Name": "never tried"}},
    ]
    answer = rest("POST", "composite", {"allOrNone": True, "compositeRequest": requests}).json()["compositeResponse"]
    codes = [(item["httpStatusCode"], item["body"][0]["errorCode"]) for item in answer]
    assert codes == [(400, "PROCESSING_HALTED"), (400, "REQUIRED_FIELD_MISSING"), (400, "PROCESSING_HALTED")]
    assert rest.query("SELECT Id FROM Account WHERE Name IN ('rolled back', 'never tried')") == []


def test_batch(rest: Rest) -> None:
    requests = [
        {"method": "GET", "url": "v62.0/sobjects/Nope"},
        {"method": "POST", "url": "/services/data/v62.0/sobjects/Account", "richInput": {"Name": "b"}},
    ]
    answer = rest("POST", "composite/batch", {"batchRequests": requests}).json()
    assert answer["hasErrors"] is True
    assert [item["statusCode"] for item in answer["results"]] == [404, 201]
    halted = rest("POST", "composite/batch", {"haltOnError": True, "batchRequests": requests}).json()
    assert [item["statusCode"] for item in halted["results"]] == [404, 412]
    too_many = rest("POST", "composite/batch", {"batchRequests": [requests[0]] * 26})
    assert too_many.status_code == 400


def test_tree(rest: Rest) -> None:
    contact = {"attributes": {"type": "Contact", "referenceId": "c"}, "LastName": "leaf"}
    root = {"attributes": {"type": "Account", "referenceId": "a"}, "Name": "tree", "Contacts": {"records": [contact]}}
    made = rest("POST", "composite/tree/Account", {"records": [root]})
    assert made.status_code == 201
    by_reference = {item["referenceId"]: item["id"] for item in made.json()["results"]}
    assert rest.query(f"SELECT AccountId FROM Contact WHERE Id = '{by_reference['c']}'")[0]["AccountId"] == by_reference["a"]
    del contact["LastName"]
    assert rest("POST", "composite/tree/Account", {"records": [{**root, "Name": "tree 2"}]}).status_code == 400
    assert rest.query("SELECT Id FROM Account WHERE Name = 'tree 2'") == []


def test_graphs_stand_or_fall_alone(rest: Rest) -> None:
    def account(name: str | None, reference: str) -> dict[str, Any]:
        return {"method": "POST", "url": "/services/data/v62.0/sobjects/Account", "referenceId": reference, "body": {"Name": name}}

    contact = {
        "method": "POST",
        "url": "/services/data/v62.0/sobjects/Contact",
        "referenceId": "c",
        "body": {"LastName": "g", "AccountId": "@{a.id}"},
    }
    graphs = [
        {"graphId": "good", "compositeRequest": [account("graph good", "a"), contact]},
        {"graphId": "bad", "compositeRequest": [account("graph bad", "a"), account(None, "b")]},
    ]
    answer = rest("POST", "composite/graph", {"graphs": graphs}).json()["graphs"]
    assert [(item["graphId"], item["isSuccessful"]) for item in answer] == [("good", True), ("bad", False)]
    assert [item["httpStatusCode"] for item in answer[0]["graphResponse"]["compositeResponse"]] == [201, 201]
    assert [row["Name"] for row in rest.query("SELECT Name FROM Account WHERE Name LIKE 'graph %'")] == ["graph good"]
    same = [account("x", "a"), account("y", "a")]
    assert rest("POST", "composite/graph", {"graphs": [{"graphId": "g", "compositeRequest": same}]}).status_code == 400
