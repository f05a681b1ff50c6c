"""Tokens, scopes, OAuth, rate limits, fault rules."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from connectors.sandbox_kit import SandboxProcess
from tests.sandbox_hubspot.conftest import Api, where

COMPANIES = "/crm/v3/objects/companies"


def with_token(box: SandboxProcess, **body: Any) -> Api:
    return Api(box, box.control.call("token", body)["token"])


def test_missing_garbage_and_expired_tokens(own: Api, own_box: SandboxProcess) -> None:
    none = requests.get(own_box.url + COMPANIES, timeout=10)
    assert (none.status_code, none.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    garbage = Api(own_box, "garbage")("GET", COMPANIES, status=401).json()
    assert garbage["category"] == "EXPIRED_AUTHENTICATION"
    assert "day(s) ago" in garbage["message"]
    assert garbage["context"] == {"expire time": ["1970-01-01T00:00:00Z"]}
    late = with_token(own_box, kind="access", seconds=-75)("GET", COMPANIES, status=401).json()
    assert late["message"] == "The OAuth token used to make this call expired 75 second(s) ago."


def test_a_missing_scope_is_named(own_box: SandboxProcess) -> None:
    api = with_token(own_box, scopes=["crm.objects.companies.read"])
    api.get(COMPANIES)
    refused = api("POST", COMPANIES, {"properties": {"name": "x"}}, status=403).json()
    assert refused["category"] == "MISSING_SCOPES"
    assert refused["errors"][0]["context"] == {"requiredGranularScopes": ["crm.objects.companies.write"]}
    pair = api("POST", "/crm/v4/associations/companies/deals/batch/read", {"inputs": [{"id": "1"}]}, status=403).json()
    assert pair["errors"][0]["context"] == {"requiredGranularScopes": ["crm.objects.deals.read"]}


@pytest.mark.parametrize("path", ["/oauth/v1/token", "/oauth/v3/token", "/oauth/2026-03/token"])
def test_refresh_keeps_the_refresh_token(own: Api, own_box: SandboxProcess, changed: Callable[..., None], path: str) -> None:
    changed(token_seconds=60)
    client, secret = own_box.app()
    form = {"grant_type": "refresh_token", "client_id": client, "client_secret": secret}
    form["refresh_token"] = own_box.control.info()["refresh_token"]
    got = requests.post(own_box.url + path, data=form, timeout=10).json()
    assert (got["refresh_token"], got["expires_in"], got["token_type"]) == (form["refresh_token"], 60, "bearer")
    api = Api(own_box, got["access_token"])
    answer = api("GET", COMPANIES, status=200)
    assert answer.headers["X-HubSpot-RateLimit-Max"] == "110"
    assert "X-HubSpot-RateLimit-Daily" not in answer.headers
    own_box.control.clock(advance=61)
    assert api("GET", COMPANIES, status=401).json()["category"] == "EXPIRED_AUTHENTICATION"
    bad = requests.post(own_box.url + path, data=form | {"refresh_token": "never"}, timeout=10)
    assert bad.status_code == 400
    assert bad.json()["status"] == "BAD_REFRESH_TOKEN"
    assert ("error" in bad.json()) == ("v1" not in path)


def test_the_ten_second_window(own_box: SandboxProcess, changed: Callable[..., None]) -> None:
    api = with_token(own_box, app="window")
    other = with_token(own_box, app="another")
    changed(limits=True, burst_limit=12)
    answers = [api("GET", COMPANIES) for _ in range(14)]
    assert [item.status_code for item in answers] == [200] * 12 + [429] * 2
    left = [int(item.headers["X-HubSpot-RateLimit-Remaining"]) for item in answers[:12]]
    assert left == list(range(11, -1, -1))
    assert answers[0].headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    body = answers[-1].json()
    assert body["message"] == "You have reached your ten_secondly_rolling limit."
    assert (body["errorType"], body["policyName"]) == ("RATE_LIMIT", "TEN_SECONDLY_ROLLING")
    assert "category" not in body
    assert "Retry-After" not in answers[-1].headers
    assert other("GET", COMPANIES).status_code == 200  # a window per app
    changed(retry_after=True)
    assert api("GET", COMPANIES).headers["Retry-After"] == "10"
    changed(other_burst=6)
    eaten = with_token(own_box, app="shared")
    assert [eaten("GET", COMPANIES).status_code for _ in range(7)] == [200] * 6 + [429]


def test_searches_have_a_limit_of_their_own_and_no_headers(own: Api, changed: Callable[..., None]) -> None:
    end = time.monotonic() + 5
    changed(limits=True)
    rule = {"filterGroups": [{"filters": [where("name", "EQ", "x")]}]}
    answers: list[requests.Response] = []
    while not any(item.status_code == 429 for item in answers) and time.monotonic() < end:
        answers.append(own("POST", f"{COMPANIES}/search", rule))
    good = [item for item in answers if item.status_code == 200]
    assert len(good) >= 5
    assert not [name for name in good[0].headers if "ratelimit" in name.lower()]
    assert answers[-1].json()["policyName"] == "SECONDLY"
    assert answers[-1].json()["message"] == "You have reached your secondly limit."


def test_the_daily_limit_is_the_accounts(own: Api, own_box: SandboxProcess, changed: Callable[..., None]) -> None:
    changed(limits=True, burst_limit=10_000)
    used = own_box.control.call("usage", {"daily": 0})["daily"]
    changed(daily_limit=used + 5)
    own_box.control.call("usage", {"daily": 3})
    first = own("GET", COMPANIES)
    assert first.headers["X-HubSpot-RateLimit-Daily-Remaining"] == "1"
    assert own.get("/account-info/v3/api-usage/daily/private-apps")["results"][0]["currentUsage"] == used + 5
    assert own("GET", COMPANIES).json()["policyName"] == "DAILY"
    own_box.control.clock(advance=86_400)
    assert own("GET", COMPANIES).status_code == 200


def test_account_details(own: Api) -> None:
    for path in ("/account-info/v3/details", "/account-info/2026-03/details"):
        found = own.get(path)
        assert (found["portalId"], found["timeZone"], found["utcOffset"]) == (48_000_123, "Asia/Tokyo", "+09:00")


@pytest.mark.parametrize(
    ("rule", "status", "part"),
    [
        ({"body": "locked"}, 423, '"status":"error"'),
        ({"body": "migration", "retry_after": 3600}, 477, "migrated"),
        ({"body": "daily"}, 429, '"policyName":"DAILY"'),
        ({"body": "html_502"}, 502, "<html>"),
        ({"body": "internal"}, 500, "internal error"),
        ({"status": 400, "message": "odd", "category": "VALIDATION_ERROR"}, 400, '"category":"VALIDATION_ERROR"'),
    ],
)
def test_refusals_by_rule(own: Api, own_box: SandboxProcess, changed: Callable[..., None], rule: dict[str, Any], status: int, part: str) -> None:
    own_box.control.faults({"kind": "http", "path": "/companies", **rule})
    answer = own("GET", COMPANIES)
    assert answer.status_code == status
    assert part in answer.text
    assert answer.headers.get("Retry-After") == (str(rule["retry_after"]) if "retry_after" in rule else None)
    own.get(COMPANIES)
    changed()


def test_broken_deliveries(own: Api, own_box: SandboxProcess, changed: Callable[..., None]) -> None:
    changed()
    own_box.control.faults({"kind": "cut", "call": "list"})
    cut = own.http.get(own_box.url + COMPANIES, timeout=10)
    assert cut.status_code == 200
    with pytest.raises(requests.exceptions.JSONDecodeError):
        cut.json()
    own_box.control.faults({"kind": "truncate", "call": "list"})
    with pytest.raises(requests.exceptions.RequestException):
        own.http.get(own_box.url + COMPANIES, timeout=10)
    own_box.control.faults({"kind": "reset", "when": "after", "call": "create"})
    with pytest.raises(requests.exceptions.ConnectionError):
        own.http.post(own_box.url + COMPANIES, json={"properties": {"name": "Committed and lost"}}, timeout=10)
    assert own.search(where("name", "EQ", "committed and lost"))["total"] == 1
    own_box.control.faults({"kind": "empty", "call": "list"})
    assert own.http.get(own_box.url + COMPANIES, timeout=10).content == b""


def test_rows_refused_by_rule_and_acts_behind_the_back(own: Api, own_box: SandboxProcess, changed: Callable[..., None]) -> None:
    changed()
    ids = own_box.control.seed("companies", [{"name": "A"}, {"name": "B"}])
    own_box.control.faults({"kind": "row_error", "object": "companies", "ids": ids[1:], "attempts": 1, "code": "BUSY", "message": "try later"})
    inputs = [{"id": key, "properties": {"health_score": "1"}, "objectWriteTraceId": key} for key in ids]
    first = own.update(*inputs, status=207)
    assert first["errors"][0]["errors"][0] == {"message": "try later", "code": "BUSY", "context": {"propertyName": ["health_score"]}}
    own.update(*inputs)
    body = {"object": "companies", "ids": ids[:1]}
    own_box.control.faults({"kind": "control", "call": "batch_update", "name": "archive", "body": body})
    assert own.update(*inputs, status=207)["errors"][0]["context"]["ids"] == ids[:1]


def test_the_2026_09_paths_enforce_the_accounts_rules(own: Api, own_box: SandboxProcess) -> None:
    own_box.control.call("rules", {"object": "deals", "property": "reason", "when": {"property": "dealstage", "values": ["closedlost"]}})
    body = {"properties": {"dealname": "Lost", "dealstage": "closedlost"}}
    own.post("/crm/objects/2026-03/deals", body, 201)
    refused = own.post("/crm/objects/2026-09/deals", body, 400)
    assert refused["errors"][0]["code"] == "MISSING_CONDITIONAL_REQUIRED_PROPERTY"
    seconds = {"properties": {"scored_at": "1767225600"}}
    assert own.post("/crm/objects/2026-09/companies", seconds, 400)["errors"][0]["code"] == "INVALID_DATE"


def test_statistics_count_calls_and_writes(own: Api, own_box: SandboxProcess) -> None:
    [key] = own_box.control.seed("companies", [{"name": "Counted"}])
    own_box.control.reset_stats()
    own.update({"id": key, "properties": {"health_score": "1", "reason": "r"}})
    own.search(where("name", "EQ", "counted"))
    found = own_box.control.stats()
    assert found["calls"] == {"batch_update": 1, "search": 1}
    assert (found["records_changed"], found["field_writes"], found["statuses"]) == (1, 2, {"200": 2})
