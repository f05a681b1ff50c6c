"""The control API: faults, limits, clock, statistics, late commits, dumps."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from connectors.sandbox_kit import SandboxError, SandboxProcess
from tests.sandbox.conftest import Rest

Accounts = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def no_faults_left(box: SandboxProcess) -> Iterator[None]:
    yield
    box.control.clear_faults()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("session_expired", 401, "INVALID_SESSION_ID"),
        ("total_requests", 403, "REQUEST_LIMIT_EXCEEDED"),
        ("concurrent_requests", 403, "REQUEST_LIMIT_EXCEEDED"),
        ("unknown_exception", 500, "UNKNOWN_EXCEPTION"),
        ("query_timeout", 400, "QUERY_TIMEOUT"),
        ("maintenance", 503, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"),
    ],
)
def test_a_call_is_refused_once(box: SandboxProcess, rest: Rest, body: str, status: int, code: str) -> None:
    box.control.faults({"kind": "http", "body": body, "path": "/limits$"})
    assert rest("GET", "sobjects").status_code == 200  # another path
    answer = rest("GET", "limits")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (status, code)
    assert rest("GET", "limits").status_code == 200


@pytest.mark.parametrize(("body", "status"), [("html_503", 503), ("html_502", 502), ("html_420", 420)])
def test_html_pages(box: SandboxProcess, rest: Rest, body: str, status: int) -> None:
    box.control.faults({"kind": "http", "body": body, "call": "limits"})
    answer = rest("GET", "limits")
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html;charset=UTF-8")
    assert answer.text.startswith("<html>")


def test_how_often_and_after_how_many(box: SandboxProcess, rest: Rest) -> None:
    box.control.faults({"kind": "http", "status": 503, "code": "SERVER_UNAVAILABLE", "message": "busy", "call": "limits", "skip": 1, "count": 2})
    assert [rest("GET", "limits").status_code for _ in range(5)] == [200, 503, 503, 200, 200]
    assert box.control.call("faults", method="GET")[0]["hits"] == 2
    box.control.clear_faults()
    box.control.faults({"kind": "http", "body": "session_expired", "call": "limits", "count": None})
    assert [rest("GET", "limits").status_code for _ in range(3)] == [401] * 3
    box.control.clear_faults()
    box.control.faults({"kind": "http", "body": "html_503", "call": "limits", "count": None, "probability": 0.0})
    assert rest("GET", "limits").status_code == 200


def test_reset_before_the_work_leaves_nothing_and_after_it_leaves_the_write(box: SandboxProcess, rest: Rest) -> None:
    for when, left in (("before", 0), ("after", 1)):
        box.control.faults({"kind": "reset", "when": when, "method": "POST", "path": "/sobjects/Account"})
        with pytest.raises(requests.ConnectionError):
            rest("POST", "sobjects/Account", {"Name": f"reset {when}"})
        assert len(rest.query(f"SELECT Id FROM Account WHERE Name = 'reset {when}'")) == left


def test_truncated_body(box: SandboxProcess, rest: Rest) -> None:
    box.control.faults({"kind": "truncate", "path": "/describe$"})
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        rest("GET", "sobjects/Account/describe", headers={"Accept-Encoding": "identity"})
    assert rest("GET", "sobjects/Account/describe").status_code == 200


def test_delay_skew_and_missing_header(box: SandboxProcess, rest: Rest) -> None:
    box.control.faults({"kind": "delay", "seconds": 0.3, "call": "limits"})
    assert rest("GET", "limits").elapsed.total_seconds() >= 0.3
    box.control.faults({"kind": "drop_header", "header": "Sforce-Limit-Info", "call": "limits"})
    assert "Sforce-Limit-Info" not in rest("GET", "limits").headers
    box.control.faults({"kind": "clock_skew", "seconds": -86400 * 365, "call": "limits"})
    assert rest("GET", "limits").headers["Date"][12:16] < rest("GET", "limits").headers["Date"][12:16]


def test_row_locks_for_some_records_and_some_attempts(box: SandboxProcess, rest: Rest, accounts: Accounts) -> None:
    first, second = accounts(2)
    box.control.faults({"kind": "row_error", "code": "UNABLE_TO_LOCK_ROW", "object": "Account", "ids": [second], "attempts": 2})
    outcomes = []
    for _ in range(3):
        results = rest.update({"id": first, "Reason__c": "x"}, {"id": second, "Reason__c": "x"})
        outcomes.append([item["success"] for item in results])
    assert outcomes == [[True, False], [True, False], [True, True]]


def test_share_of_rows(box: SandboxProcess, rest: Rest, accounts: Accounts) -> None:
    ids = accounts(200)
    box.control.faults({"kind": "row_error", "object": "Account", "share": 0.25, "attempts": 1})
    refused = [item for item in rest.update(*({"id": record, "Reason__c": "x"} for record in ids)) if not item["success"]]
    assert 20 <= len(refused) <= 80
    assert refused[0]["errors"][0]["message"].startswith("unable to obtain exclusive access to this record or 1 records: 001")
    assert all(item["success"] for item in rest.update(*({"id": record, "Reason__c": "x"} for record in ids)))


def test_validation_rule_on_a_field(box: SandboxProcess, rest: Rest, accounts: Accounts) -> None:
    record = accounts()[0]
    box.control.faults({"kind": "validation", "object": "Account", "field": "Band__c", "values": ["Green"], "message": "緑にはできません"})
    refused = rest("PATCH", f"sobjects/Account/{record}", {"Band__c": "Green"})
    expected = {"message": "緑にはできません", "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "fields": ["Band__c"]}
    assert (refused.status_code, refused.json()) == (400, [expected])
    assert rest("PATCH", f"sobjects/Account/{record}", {"Band__c": "Red"}).status_code == 204
    assert rest("PATCH", f"sobjects/Account/{record}", {"Reason__c": "x"}).status_code == 204


def test_late_commit_shows_up_later_with_the_older_stamp(own_box: SandboxProcess) -> None:
    rest, control = Rest(own_box), own_box.control
    control.clock(now="2026-01-05T03:00:00Z", frozen=True)
    control.faults({"kind": "late_commit", "object": "Account", "seconds": 90})
    late = rest("POST", "sobjects/Account", {"Name": "late"}).json()["id"]
    assert rest("GET", f"sobjects/Account/{late}").status_code == 404
    control.clock(advance=60)
    prompt = rest("POST", "sobjects/Account", {"Name": "prompt"}).json()["id"]
    assert prompt != late
    assert [row["Name"] for row in rest.query("SELECT Name FROM Account")] == ["prompt"]
    control.clock(advance=31)
    rows = rest.query("SELECT Name, SystemModstamp FROM Account ORDER BY SystemModstamp")
    assert [(row["Name"], row["SystemModstamp"][11:19]) for row in rows] == [("late", "03:00:00"), ("prompt", "03:01:00")]


def test_daily_limit_and_other_apps(own_box: SandboxProcess) -> None:
    rest, control = Rest(own_box), own_box.control
    control.settings(daily_limit=4)
    assert rest("GET", "limits").headers["Sforce-Limit-Info"] == "api-usage=1/4"
    for _ in range(3):
        control.call("usage", {"add": 1})
    refused = rest("GET", "limits")
    assert refused.status_code == 403
    assert refused.json() == [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    assert refused.headers["Sforce-Limit-Info"] == "api-usage=4/4"
    control.clock(advance=25 * 3600)
    rest.log_in()
    assert rest("GET", "limits").status_code == 200


def test_statistics(own_box: SandboxProcess) -> None:
    rest, control = Rest(own_box), own_box.control
    ids = control.seed("Account", [{"Name": str(number)} for number in range(3)])
    control.reset_stats()
    rest.update(*({"id": record, "Reason__c": "x", "Health_Score__c": 1} for record in ids), {"id": "x"})
    rest("GET", "sobjects/Account/describe")
    rest.query("SELECT Id FROM Account")
    stats = control.stats()
    assert stats["calls"] == {"collections_update": 1, "describe": 1, "query": 1}
    assert (stats["records"], stats["records_changed"], stats["field_writes"]) == ({"Account": 3}, 3, 6)


def test_dump_and_a_persons_edit(box: SandboxProcess, accounts: Accounts) -> None:
    record = accounts(Reason__c="before")[0]
    results = box.control.write("csm", "Account", [{"Id": record, "Reason__c": "by hand"}, {"Id": record[:14], "Reason__c": "x"}])
    assert [item["success"] for item in results] == [True, False]
    rows: list[dict[str, Any]] = box.control.dump("Account", fields="Id,Reason__c,LastModifiedById")
    row = next(item for item in rows if item["Id"] == record)
    assert (row["Reason__c"], row["LastModifiedById"]) == ("by hand", box.user("csm")["id"])
    refused = box.control.write("sales", "Account", [{"Id": record, "Reason__c": "x"}])  # sales has no access to the field
    assert refused[0]["errors"][0]["statusCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"
    plain = next(item for item in box.control.dump("Account") if item["Id"] == record)
    assert "SystemModstamp" not in plain
    assert plain["Trusted__c"] is False


def test_the_schema_drifts_during_a_run(box: SandboxProcess, rest: Rest, accounts: Accounts) -> None:
    text = {"type": "Text", "label": "Drift", "length": 5}
    box.control.add_fields({"Account.Drift__c": text}, visible_to=["integration"])
    record = accounts()[0]
    box.control.call("change_field", {"field": "Account.Drift__c", "Metadata": {"length": 2}})
    assert rest("PATCH", f"sobjects/Account/{record}", {"Drift__c": "abc"}).json()[0]["errorCode"] == "STRING_TOO_LONG"
    box.control.call("drop_field", {"field": "Account.Drift__c"})
    assert rest("PATCH", f"sobjects/Account/{record}", {"Drift__c": "a"}).json()[0]["errorCode"] == "INVALID_FIELD"
    assert rest("GET", "query", params={"q": "SELECT Drift__c FROM Account"}).json()[0]["errorCode"] == "INVALID_FIELD"


def test_something_happens_between_two_calls(box: SandboxProcess, rest: Rest, accounts: Accounts) -> None:
    master, loser = accounts(2)
    body = {"object": "Account", "master": master, "losers": [loser]}
    box.control.faults({"kind": "control", "name": "merge", "body": body, "call": "collections_update"})
    results = rest.update({"id": master, "Reason__c": "x"}, {"id": loser, "Reason__c": "x"})
    assert [item["success"] for item in results] == [True, False]
    assert results[1]["errors"][0]["statusCode"] == "ENTITY_IS_DELETED"


def test_a_fault_for_one_query(box: SandboxProcess, rest: Rest) -> None:
    box.control.faults({"kind": "http", "body": "query_timeout", "call": "query", "query": "FROM Contact", "count": None})
    assert rest("GET", "query", params={"q": "SELECT Id FROM Account LIMIT 1"}).status_code == 200
    assert rest("GET", "query", params={"q": "SELECT Id FROM Contact LIMIT 1"}).json()[0]["errorCode"] == "QUERY_TIMEOUT"


def test_control_calls_say_what_is_wrong(box: SandboxProcess) -> None:
    for name, body, words in [
        ("faults", {"rules": [{"kind": "gremlin"}]}, "gremlin"),
        ("seed", {"object": "Account", "rows": [{"Nope": 1}]}, "no field 'nope'"),
        ("settings", {"colour": "red"}, "colour"),
        ("clock", {"now": "2026-01-01T00:00:00"}, "time zone"),
        ("merge", {"object": "Case", "master": "a", "losers": ["b"]}, "cannot be merged"),
    ]:
        with pytest.raises(SandboxError, match=words):
            box.control.call(name, body)
    with pytest.raises(SandboxError, match="404"):
        box.control.call("nothing", {})
