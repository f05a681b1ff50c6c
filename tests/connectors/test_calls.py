"""The one door: retries, waits, budget and counts. Exact wire answers come from `responses`; what an org can do comes from the sandbox."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests
import responses
from pydantic import SecretStr

from connectors.calls import Budget, Waits, grouped
from connectors.errors import ConnectorError, Gone, Misfit, NotAllowed, NotReachable, QuotaSpent, Refused, Transient
from connectors.salesforce.auth import Credentials
from connectors.salesforce.client import Org
from connectors.salesforce.connector import Salesforce
from connectors.salesforce.errors import bulk_said, retry_after_s, rule_of, safe
from connectors.sandbox_kit import SandboxProcess
from tests.connectors import orgs
from tests.connectors.orgs import QUICK, WRITTEN, update

URL = "https://acme.my.salesforce.com"
LIMITS = f"{URL}/services/data/v64.0/limits/"
JOBS = f"{URL}/services/data/v64.0/jobs/ingest"


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        tokens = (f"00D!{n}" for n in itertools.count())
        mock.add_callback(
            responses.POST, f"{URL}/services/oauth2/token", lambda _: (200, {}, f'{{"access_token":"{next(tokens)}","instance_url":"{URL}"}}')
        )
        yield mock


def acme(budget: Budget | None = None, waits: Waits = QUICK) -> Org:
    return Org("salesforce", Credentials("client_credentials", URL, "id", SecretStr("secret")), "64.0", budget=budget or Budget(1, 0), waits=waits)


def refusal(code: str, message: str = "m", fields: str = "[]") -> str:
    return f'[{{"message":"{message}","errorCode":"{code}","fields":{fields}}}]'


# status, code, message, error, attempts, words that must be said. QUICK: soon and window give up after 4 attempts, few after 3.
TABLE = [
    (400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", Transient, 4, "locked by somebody else"),
    (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", QuotaSpent, 1, "daily limit of API requests is used up"),
    (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", Transient, 4, "too many long calls"),
    (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.", Transient, 4, "too many long calls"),
    (503, "SERVER_UNAVAILABLE", "down", NotReachable, 4, "status.salesforce.com"),
    (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred.", Transient, 3, "open a case with Salesforce"),
    (400, "QUERY_TIMEOUT", "running for too long.", Transient, 1, "smaller window"),
    (400, "INVALID_QUERY_LOCATOR", "invalid query locator", Transient, 1, "starts again"),
    (403, "TXN_SECURITY_METERING_ERROR", "took too long", Transient, 3, "exempt the integration user"),
    (503, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "read only", NotReachable, 1, "read-only mode"),
    (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "AccountTrigger: nothing", Refused, 1, "repair the trigger"),
    (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "caused by: UNABLE_TO_LOCK_ROW", Refused, 4, "trigger"),
    (400, "CANNOT_EXECUTE_FLOW_TRIGGER", "the flow failed", Refused, 1, "repair the flow"),
    (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "fill the stage", Refused, 1, "fill the stage"),
    (400, "STRING_TOO_LONG", "Label: data value too large: Secret Text (max length=255)", Refused, 1, "lengthen the field"),
    (400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "bad value", Refused, 1, "add the value to the picklist"),
    (400, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: F__c. Please check", Misfit, 1, "edit access to the field"),
    (400, "INVALID_FIELD", "No such column 'F__c' on sobject of type Account", Misfit, 1, "F__c"),
    (400, "INVALID_TYPE", "sObject type 'Nope__c' is not supported.", Misfit, 1, "Nope__c"),
    (400, "NUMBER_OUTSIDE_VALID_RANGE", "x", Refused, 1, "widen the field"),
    (400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", Refused, 1, "Name"),
    (400, "INVALID_TYPE_ON_FIELD_IN_RECORD", "x", Refused, 1, "the type in writeback.yml"),
    (400, "JSON_PARSER_ERROR", "x", Refused, 1, "cannot read a value"),
    (400, "DUPLICATE_VALUE", "duplicate value found: Ext__c", Refused, 1, "same unique value"),
    (400, "DUPLICATES_DETECTED", "Use one of these records?", Refused, 1, "duplicate rule"),
    (403, "INSUFFICIENT_ACCESS_OR_READONLY", "x", Refused, 1, "edit access to the object"),
    (400, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "x", Refused, 1, "share that record"),
    (400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", Refused, 1, "does not exist"),
    (404, "ENTITY_IS_DELETED", "entity is deleted", Gone, 1, "deleted or merged"),
    (404, "NOT_FOUND", "x", Gone, 1, "no such record"),
    (400, "MALFORMED_ID", "x", Refused, 1, "another object's id"),
    (400, "ENTITY_IS_LOCKED", "x", Refused, 1, "approval"),
    (403, "API_DISABLED_FOR_ORG", "x", NotAllowed, 1, "API Enabled"),
    (403, "INSUFFICIENT_ACCESS", "x", NotAllowed, 1, "CSH_Integration"),
    (403, "FUNCTIONALITY_NOT_ENABLED", "x", NotAllowed, 1, "enable it"),
    (403, "STORAGE_LIMIT_EXCEEDED", "x", NotAllowed, 1, "storage"),
    (400, "LIMIT_EXCEEDED", "Max bulk v2 query jobs (10000)", Transient, 1, "REST API is used instead"),
    (400, "EXCEEDED_QUOTA", "x", Transient, 1, "REST API is used instead"),
    (405, "METHOD_NOT_ALLOWED", "x", Refused, 1, "fault of scoresync"),
    (415, "UNSUPPORTED_MEDIA_TYPE", "x", Refused, 1, "fault of scoresync"),
    (400, "MALFORMED_QUERY", "unexpected token", Misfit, 1, "filter"),
    (410, "GONE", "x", Misfit, 1, "SCORESYNC_SALESFORCE_API_VERSION"),
    (400, "SOMETHING_NEW", "x", Refused, 1, "SOMETHING_NEW"),
]


@pytest.mark.parametrize(("status", "code", "message", "error", "attempts", "words"), TABLE)
def test_every_code_of_the_sheet(
    wire: responses.RequestsMock, status: int, code: str, message: str, error: type[ConnectorError], attempts: int, words: str
) -> None:
    wire.get(LIMITS, refusal(code, message), status=status)
    org = acme()
    with pytest.raises(error) as caught:
        org.json("limits", "GET", "limits/")
    assert type(caught.value) is error
    assert org.counts.by_kind["limits"] == attempts
    assert words in str(caught.value)
    assert caught.value.code == code
    assert "Secret Text" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "error", "attempts"),
    [
        (503, "<html>We are setting things up</html>", NotReachable, 4),
        (420, "<html>no routing</html>", NotReachable, 4),
        (502, "", NotReachable, 4),
        (500, "", Transient, 3),
        (406, "", Transient, 3),
        (429, "", Transient, 4),
        (403, "<html>", NotAllowed, 1),
        (404, "", Gone, 1),
        (414, "<html>too long</html>", Refused, 1),
        (401, "<html>", NotAllowed, 2),  # one renewal, then the truth
    ],
)
def test_answers_that_are_no_json(wire: responses.RequestsMock, status: int, body: str, error: type[ConnectorError], attempts: int) -> None:
    wire.get(LIMITS, body, status=status)
    org = acme()
    with pytest.raises(error):
        org.json("limits", "GET", "limits/")
    assert org.counts.by_kind["limits"] == attempts


def test_a_good_answer_that_is_cut_off_is_asked_for_again(wire: responses.RequestsMock) -> None:
    wire.get(LIMITS, '{"DailyApi')
    wire.get(LIMITS, '{"ok":1}')
    assert acme().json("limits", "GET", "limits/") == {"ok": 1}


@pytest.mark.parametrize(("status", "code", "attempts"), [(503, "SERVER_UNAVAILABLE", 1), (403, "REQUEST_LIMIT_EXCEEDED", 4)])
def test_a_create_is_sent_again_only_where_nothing_can_have_happened(wire: responses.RequestsMock, status: int, code: str, attempts: int) -> None:
    wire.post(JOBS, refusal(code), status=status)
    org = acme()
    with pytest.raises(ConnectorError):
        org.json("bulk_create", "POST", "jobs/ingest", idempotent=False, body={})
    assert org.counts.by_kind["bulk_create"] == attempts


def test_a_create_whose_answer_is_lost_is_not_sent_again(wire: responses.RequestsMock) -> None:
    wire.post(JOBS, body=requests.exceptions.ConnectionError("reset"))
    org = acme()
    with pytest.raises(Transient):
        org.json("bulk_create", "POST", "jobs/ingest", idempotent=False, body={})
    assert org.counts.by_kind["bulk_create"] == 1


def test_retry_after_is_obeyed_or_the_item_is_given_back(wire: responses.RequestsMock) -> None:
    wire.get(LIMITS, "", status=503, headers={"Retry-After": "0.05"})
    wire.get(LIMITS, '{"ok":1}')
    started = datetime.now(UTC)
    acme().json("limits", "GET", "limits/")
    assert datetime.now(UTC) - started >= timedelta(seconds=0.05)  # QUICK alone waits 0.01 s
    wire.reset()
    wire.post(f"{URL}/services/oauth2/token", f'{{"access_token":"00D!","instance_url":"{URL}"}}')
    wire.get(LIMITS, "", status=503, headers={"Retry-After": "3600"})
    org = acme()
    with pytest.raises(NotReachable):
        org.json("limits", "GET", "limits/")
    assert org.counts.by_kind["limits"] == 1


def test_retry_after_as_a_date() -> None:
    answer = requests.Response()
    answer.headers["Retry-After"] = (datetime.now(UTC) + timedelta(seconds=60)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert 50 < (retry_after_s(answer) or 0) <= 60
    answer.headers["Retry-After"] = "soon"
    assert retry_after_s(answer) is None


def test_the_default_waits_outlast_a_minutes_window() -> None:
    waits = Waits()
    least = sum(min(waits.window_s * 2**n, waits.window_most_s) for n in range(waits.window_attempts - 1))
    assert least > 60  # 10 + 20 + 40 + 60 = 130 s


def test_secrets_and_records_stay_out_of_errors(wire: responses.RequestsMock) -> None:
    assert safe("call taro@example.com\n now") == "call …@… now"
    assert len(safe("x" * 1000)) == 300


def test_row_errors_of_bulk_files_are_read_with_their_colons() -> None:
    said = bulk_said("REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --")
    assert (said.code, said.fields) == ("REQUIRED_FIELD_MISSING", ("Name",))
    assert bulk_said("UNABLE_TO_LOCK_ROW:unable to obtain exclusive access: 001xx:--").code == "UNABLE_TO_LOCK_ROW"
    assert rule_of("TooManyLockFailure", "") == rule_of("UNABLE_TO_LOCK_ROW", "")


# --- budget ----------------------------------------------------------------------------------------------------------------------------------------
def test_our_share_of_the_day_is_not_gone_beyond() -> None:
    now = [0.0]
    budget = Budget(0.5, 0, lambda: now[0])
    budget.observe(0, 10)
    for _ in range(5):
        budget.check()
    with pytest.raises(QuotaSpent, match=r"its share \(50%\).*SCORESYNC_QUOTA_SHARE") as caught:
        budget.check()
    assert caught.value.resume_at is not None
    now[0] += 24 * 3600
    budget.check()  # a rolling day later the calls are free again


def test_the_reserve_is_left_to_others_however_little_we_used() -> None:
    budget = Budget(1, 1000)
    budget.observe(98_999, 100_000)
    budget.check()  # makes it 99,000 = limit - reserve
    with pytest.raises(QuotaSpent, match="1000 are left to other integrations"):
        budget.check()


def test_the_daily_limit_closes_the_door_until_it_frees_up(box: SandboxProcess, crm: Salesforce) -> None:
    crm.server_now()
    box.control.settings(daily_limit=1)
    for _ in range(2):
        with pytest.raises(QuotaSpent, match=r"admin must find what uses so many calls|admin can raise") as caught:
            crm.describe("Account")
        assert caught.value.resume_at is not None
    assert crm.calls.by_kind["describe"] == 1  # the second was not sent


def test_the_orgs_own_figures_are_read_from_every_answer(box: SandboxProcess, crm: Salesforce) -> None:
    crm.describe("Account")
    budget = crm._org.door.budget
    assert (budget.limit, (budget.used or 0) > 0) == (100_000, True)


# --- counting, and the org's bad days --------------------------------------------------------------------------------------------------------------
def test_calls_are_grouped_as_reports_want_them() -> None:
    kinds = {"query": 2, "bulk_query_page": 1, "reread": 3, "collections_update": 4, "bulk_close": 1, "bulk_poll": 7, "describe": 1, "clock": 9}
    assert grouped(kinds) == {"reads": 4, "rereads": 3, "writes": 5, "polls": 7}


@pytest.mark.parametrize("fault", ["html_503", "html_502", "html_420", "empty_503", "unknown_exception", "concurrent_requests", "server_unavailable"])
def test_a_short_outage_is_ridden_out(box: SandboxProcess, crm: Salesforce, fault: str) -> None:
    (only,) = orgs.make_accounts(box, 1)
    box.control.faults({"kind": "http", "body": fault, "path": "composite", "count": 2})
    (result,) = crm.write(WRITTEN, [update(only, score="5")], key_field=None)
    assert result.record_id == only
    assert crm.calls.by_kind["collections_update"] == 3


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_drops_during_a_write_leaves_the_record_written_once(box: SandboxProcess, crm: Salesforce, when: str) -> None:
    (only,) = orgs.make_accounts(box, 1)
    box.control.faults({"kind": "reset", "when": when, "path": "composite"})
    (result,) = crm.write(WRITTEN, [update(only, score="5")], key_field=None)
    assert result.record_id == only
    assert crm.reread(WRITTEN, [only])[only]["score"] == "5"


def test_a_lasting_outage_is_not_reachable_and_says_so(box: SandboxProcess, crm: Salesforce) -> None:
    box.control.faults({"kind": "http", "body": "html_503", "call": "describe", "count": None})
    with pytest.raises(NotReachable, match=r"does not answer.*status.salesforce.com"):
        crm.describe("Account")


def test_a_truncated_page_is_read_again(box: SandboxProcess, crm: Salesforce) -> None:
    ids = orgs.make_accounts(box, 300)
    box.control.faults({"kind": "truncate", "path": "composite/sobjects"})
    assert len(crm.reread(WRITTEN, ids)) == 300
