"""`query` and `queryAll` over HTTP: paging, hidden fields, and the vendor's errors word for word."""

from collections.abc import Iterator

import pytest

from connectors.sandbox_kit import SandboxProcess
from tests.sandbox.wire import Wire

FIELD = (
    " If you are attempting to use a custom field, be sure to append the '__c' after the custom field name."
    " Please reference your WSDL or the describe call for the appropriate names."
)
RELATIONSHIP = (
    " If you are attempting to use a custom relationship, be sure to append the '__r' after the custom relationship name."
    " Please reference your WSDL or the describe call for the appropriate names."
)
OBJECT = (
    " If you are attempting to use a custom object, be sure to append the '__c' after the entity name."
    " Please reference your WSDL or the describe call for the appropriate names."
)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("soql") / "org.db") as process:
        yield process


@pytest.fixture(scope="module")
def wire(sandbox: SandboxProcess) -> Wire:
    wire = Wire(sandbox.url, "integration")
    metadata = {"type": "Text", "length": 20, "label": "Shown"}
    wire.control("fields", {"fields": [{"FullName": "Account.Shown__c", "Metadata": metadata}], "visible_to": ["integration"]})
    wire.control("fields", {"fields": [{"FullName": "Account.Hidden__c", "Metadata": metadata | {"label": "Hidden"}}], "visible_to": []})
    wire.control("seed", {"object": "Account", "rows": [{"Name": f"row {number:04d}", "Shown__c": "x"} for number in range(2_450)]})
    return wire


def caret(soql: str, at: str, message: str) -> str:
    """The vendor's drawing for a one-line statement, with the caret under the last occurrence of `at`."""
    column = soql.rindex(at)
    return f"\n{soql}\n{' ' * column}^\nERROR at Row:1:Column:{column + 1}\n{message}"


def test_pages(wire: Wire) -> None:
    first = wire.query("SELECT Id, Name FROM Account ORDER BY Name", headers={"Sforce-Query-Options": "batchSize=200"}).json()
    assert (first["totalSize"], first["done"], len(first["records"])) == (2450, False, 200)
    second = wire.call("GET", first["nextRecordsUrl"]).json()
    assert (len(second["records"]), second["done"]) == (2000, False)
    last = wire.call("GET", second["nextRecordsUrl"]).json()
    assert (len(last["records"]), last["done"], "nextRecordsUrl" in last) == (250, True, False)
    seen = [row["Name"] for page in (first, second, last) for row in page["records"]]
    assert seen == [f"row {number:04d}" for number in range(2450)]


@pytest.mark.parametrize("locator", ["01g5e000000000AAAA-2000", "01gXXX", "nonsense"])
def test_unknown_locator(wire: Wire, locator: str) -> None:
    answer = wire.call("GET", f"query/{locator}")
    assert (answer.status_code, answer.json()) == (400, [{"message": "invalid query locator", "errorCode": "INVALID_QUERY_LOCATOR"}])


def test_a_locator_past_the_end_or_of_another_user(wire: Wire, sandbox: SandboxProcess) -> None:
    url = wire.query("SELECT Id FROM Account").json()["nextRecordsUrl"]
    past = wire.call("GET", url.rpartition("-")[0] + "-9999")
    assert past.json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"
    foreign = Wire(sandbox.url, "admin").call("GET", url)
    assert foreign.json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


def test_plus_is_a_space_and_a_trailing_slash_is_accepted(wire: Wire) -> None:
    answer = wire.call("GET", f"/services/data/v{wire.version}/query/?q=SELECT+Name+FROM+Account+WHERE+Name='row+0001'")
    assert [row["Name"] for row in answer.json()["records"]] == ["row 0001"]


def test_query_all_sees_the_bin(wire: Wire) -> None:
    (victim,) = wire.records("SELECT Id FROM Account WHERE Name = 'row 2449'")
    assert wire.call("DELETE", f"sobjects/Account/{victim['Id']}").status_code == 204
    soql = "SELECT Name, IsDeleted FROM Account WHERE Name = 'row 2449'"
    assert wire.records(soql) == []
    (row,) = wire.query(soql, resource="queryAll").json()["records"]
    assert row["IsDeleted"] is True


def test_a_hidden_field_does_not_exist(wire: Wire) -> None:
    assert wire.records("SELECT Shown__c FROM Account LIMIT 1")[0]["Shown__c"] == "x"
    for soql in ("SELECT Hidden__c FROM Account", "SELECT Id FROM Account WHERE Hidden__c = 'x'", "SELECT Id FROM Account ORDER BY Hidden__c"):
        answer = wire.query(soql)
        message = caret(soql, "Hidden__c", f"No such column 'Hidden__c' on entity 'Account'.{FIELD}")
        assert (answer.status_code, answer.json()) == (400, [{"message": message, "errorCode": "INVALID_FIELD"}])


DRAWN = [
    ("SELECT Id, FullName FROM Account", "INVALID_FIELD", "FullName", f"No such column 'FullName' on entity 'Account'.{FIELD}"),
    ("SELECT Owner.Nope FROM Account", "INVALID_FIELD", "Owner", f"No such column 'Nope' on entity 'User'.{FIELD}"),
    ("SELECT Foo.Name FROM Account", "INVALID_FIELD", "Foo", f"Didn't understand relationship 'Foo' in field path.{RELATIONSHIP}"),
    ("SELECT Id FROM Nope__c", "INVALID_TYPE", "Nope__c", f"sObject type 'Nope__c' is not supported.{OBJECT}"),
    (
        "SELECT Id, (SELECT Id FROM Foos) FROM Account",
        "INVALID_TYPE",
        "Foos",
        f"Didn't understand relationship 'Foos' in FROM part of query call.{RELATIONSHIP}",
    ),
    (
        "SELECT Id FROM Account WHERE Name = 5",
        "INVALID_FIELD",
        "Name",
        "value of filter criterion for field 'Name' must be of type string and should be enclosed in quotes",
    ),
    (
        "SELECT Id FROM Account WHERE CreatedDate > '2026-01-01'",
        "INVALID_FIELD",
        "CreatedDate",
        "value of filter criterion for field 'CreatedDate' must be of type dateTime and should not be enclosed in quotes",
    ),
    (
        "SELECT Id FROM Account WHERE CreatedDate > 2026-01-01",
        "INVALID_FIELD",
        "CreatedDate",
        "value of filter criterion for field 'CreatedDate' must be of type dateTime and should not be enclosed in quotes",
    ),
    (
        "SELECT Id FROM Account WHERE AnnualRevenue = '5'",
        "INVALID_FIELD",
        "AnnualRevenue",
        "value of filter criterion for field 'AnnualRevenue' must be of type double and should not be enclosed in quotes",
    ),
    (
        "SELECT Id FROM Account WHERE IsDeleted = 'true'",
        "INVALID_FIELD",
        "IsDeleted",
        "value of filter criterion for field 'IsDeleted' must be of type boolean and should not be enclosed in quotes",
    ),
    ("SELECT Name FROM Account WHERE Id = 'abc'", "INVALID_QUERY_FILTER_OPERATOR", "Id", "invalid ID field: abc"),
    ("SELECT Name FROM Account WHERE Id LIKE '001%'", "INVALID_QUERY_FILTER_OPERATOR", "Id", "invalid operator on id field"),
    ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD", "Description", "field 'Description' can not be filtered in a query call"),
    ("SELECT Id FROM Account ORDER BY Description", "MALFORMED_QUERY", "Description", "field 'Description' can not be sorted in a query call"),
    (
        "SELECT COUNT(Id) FROM Account GROUP BY CreatedDate",
        "MALFORMED_QUERY",
        "CreatedDate",
        "field 'CreatedDate' can not be grouped in a query call",
    ),
    (
        "SELECT Name, COUNT(Id) FROM Account GROUP BY Industry",
        "MALFORMED_QUERY",
        "Name,",
        "Field must be grouped or aggregated: Name",
    ),
    ("SELECT SUM(Name) FROM Account", "MALFORMED_QUERY", "SUM", "field Name does not support aggregate operator SUM"),
    ("SELECT Id foo FROM Account", "MALFORMED_QUERY", "Id", "only aggregate expressions use field aliasing"),
    ("SELECT Id, Name, Id FROM Account", "INVALID_FIELD", "Id", "duplicate field selected: Id"),
    (
        "SELECT Id FROM Account WHERE Name IN (SELECT Name FROM Contact)",
        "INVALID_FIELD",
        "Name IN",
        "Semi join sub-selects can only query id fields, cannot use: 'Name'",
    ),
    (
        "SELECT Id FROM Account WHERE Site = 'x' OR Id IN (SELECT AccountId FROM Contact)",
        "MALFORMED_QUERY",
        "Id IN",
        "Semi join sub-selects are not allowed with the 'OR' operator",
    ),
    ("SELECT Id FROM Account LIMIT 1 OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "OFFSET", "Maximum SOQL offset allowed is 2000"),
    ("SELECT Id FROM Account WHERE Name = :name", "MALFORMED_QUERY", ":", "Bind variables only allowed in Apex code"),
    ("SELECT Id FROM Account ALL ROWS", "MALFORMED_QUERY", "ALL", "ALL ROWS not allowed in this context"),
]


@pytest.mark.parametrize(("soql", "code", "at", "message"), DRAWN)
def test_errors_with_a_drawing(wire: Wire, soql: str, code: str, at: str, message: str) -> None:
    answer = wire.query(soql)
    assert (answer.status_code, answer.json()) == (400, [{"message": caret(soql, at, message), "errorCode": code}])


@pytest.mark.parametrize(
    ("soql", "message"),
    [
        ("SELECT Id FORM Account", "unexpected token: 'FORM'"),
        ("SELECT Id, FROM Account", "unexpected token: 'FROM'"),
        ("SELECT * FROM Account", "unexpected token: '*'"),
        ("SELECT Id FROM", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Account WHERE Name = foo", "unexpected token: 'foo'"),
        ("SELECT Id FROM Account WHERE Name = 'a' AND Site = 'b' OR Site = 'c'", "unexpected token: 'OR'"),
        ("SELECT Id FROM Account LIMIT 1 WHERE Name = 'a'", "unexpected token: 'WHERE'"),
        ("SELECT Id FROM Account WHERE Name = 'open", "line 1:41 mismatched character '<EOF>' expecting '''"),
        ("SELECT Id FROM Account WHERE Name = 5 % 2", "line 1:38 no viable alternative at character '%'"),
        ("DELETE FROM Account", "unexpected token: 'DELETE'"),
        ("SELECT FIELDS(ALL) FROM Account", "The SOQL FIELDS function must have a LIMIT of at most 200"),
        ("", "A query string has to be specified"),
    ],
)
def test_malformed_queries(wire: Wire, soql: str, message: str) -> None:
    answer = wire.query(soql)
    assert (answer.status_code, answer.json()) == (400, [{"message": message, "errorCode": "MALFORMED_QUERY"}])


def test_the_caret_finds_its_row(wire: Wire) -> None:
    answer = wire.query("SELECT Id,\n  Nope\nFROM Account").json()[0]
    assert answer["message"].startswith("\n  Nope\n  ^\nERROR at Row:2:Column:3\nNo such column 'Nope'")


def test_aggregates_do_not_page(wire: Wire) -> None:
    answer = wire.query("SELECT Name, COUNT(Id) FROM Account GROUP BY Name")
    assert answer.json()[0]["errorCode"] == "EXCEEDED_ID_LIMIT"
    limited = wire.query("SELECT Name, COUNT(Id) n FROM Account GROUP BY Name ORDER BY Name LIMIT 2").json()
    assert [(row["attributes"], row["n"]) for row in limited["records"]] == [({"type": "AggregateResult"}, 1)] * 2


def test_a_slow_query_answers_when_it_asks_for_less(wire: Wire) -> None:
    wire.control("faults", {"rules": [{"kind": "slow_query", "object": "Account", "max_rows": 1_000, "count": None}]})
    try:
        slow = wire.query("SELECT Id FROM Account")
        assert (slow.status_code, slow.json()[0]["errorCode"]) == (400, "QUERY_TIMEOUT")
        assert len(wire.records("SELECT Id FROM Account WHERE Name < 'row 0500'")) == 500
        assert wire.query("SELECT Id FROM User").status_code == 200
    finally:
        assert wire.http.delete(f"{wire.url}/__sandbox__/faults", timeout=20).status_code == 200
