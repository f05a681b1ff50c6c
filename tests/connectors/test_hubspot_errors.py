"""What a person reads for each refusal of HubSpot, and what is done before: the error table over bodies as the API sends them."""

from typing import Any

import orjson
import pytest

from connectors.calls import Again
from connectors.errors import Gone, Misfit, NotAllowed, NotReachable, QuotaSpent, Refused, Transient
from connectors.hubspot.errors import Answer, Said, read_error, translate


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else orjson.dumps(body or {})
    return Answer(status, {k.replace("_", "-"): v for k, v in headers.items()}, content)


def limited(policy: str) -> dict[str, str]:
    return {"status": "error", "message": "You have reached your limit.", "errorType": "RATE_LIMIT", "policyName": policy, "correlationId": "c-1"}


VALIDATION = {
    "status": "error",
    "message": "Property values were not valid: "
    '[{"isValid":false,"message":"99 was not one of the allowed options: [1]","error":"INVALID_OPTION","name":"csh_tier"}]',
    "correlationId": "c-2",
    "category": "VALIDATION_ERROR",
}


@pytest.mark.parametrize(
    ("given", "kind", "again", "said"),
    [
        (answer(401, {"category": "EXPIRED_AUTHENTICATION"}), NotAllowed, Again.NO, "expired or was revoked"),
        (answer(403, {"category": "MISSING_SCOPES", "errors": [{"message": "m", "context": {"requiredGranularScopes": ["tickets"]}}]}), Misfit,
         Again.NO, "lacks a scope: tickets"),
        (answer(403, {"category": "MISSING_SCOPES", "context": {"requiredGranularScopes": ["tickets"]}}), Misfit, Again.NO, "lacks a scope: tickets"),
        (answer(403, {"message": "no"}), NotAllowed, Again.NO, "plan"),
        (answer(400, {"message": "Unable to infer object type from: butterflies"}), Misfit, Again.NO, "no such object type"),
        (answer(400, VALIDATION), Refused, Again.NO, "not among the options of csh_tier"),
        (answer(404, {"message": "resource not found"}), Gone, Again.NO, "no such record"),
        (answer(409, {"category": "CONFLICT"}), Refused, Again.NO, "same unique value"),
        (answer(423, {"message": "locked"}), Transient, Again.WINDOW, "locked the records"),
        (answer(429, limited("TEN_SECONDLY_ROLLING")), Transient, Again.WINDOW, "10 seconds"),
        (answer(429, limited("SECONDLY")), Transient, Again.SOON, "searches per second"),
        (answer(429, limited("DAILY")), QuotaSpent, Again.NO, "after midnight in the account's time zone"),
        (answer(477, retry_after="86400"), NotReachable, Again.SOON, "another data centre"),
        (answer(500, {"message": "x"}), Transient, Again.FEW, "failed inside (500)"),
        (answer(502, b"<html>bad gateway</html>"), NotReachable, Again.SOON, "does not answer for now (502)"),
        (answer(503, b""), NotReachable, Again.SOON, "does not answer for now (503)"),
        (answer(504, b""), NotReachable, Again.SOON, "status.hubspot.com"),
        (answer(524, b"<html>"), NotReachable, Again.SOON, "(524)"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_it_is_and_what_is_done(given: Answer, kind: type[Exception], again: Again, said: str) -> None:
    fault = translate(given)
    assert fault is not None
    assert type(fault.error) is kind
    assert fault.again == again
    assert said in str(fault.error)
    assert fault.error.remedy


@pytest.mark.parametrize("status", [200, 201, 204, 207])
def test_good_answers_are_good(status: int) -> None:
    assert translate(answer(status)) is None


def test_only_a_401_asks_for_another_token() -> None:
    refreshes = {s: fault.refresh for s in (400, 401, 403, 404, 429, 500) if (fault := translate(answer(s))) is not None}
    assert [s for s, wanted in refreshes.items() if wanted] == [401]


def test_a_retry_after_is_honoured_and_not_needed() -> None:
    with_one, without = translate(answer(429, limited("SECONDLY"), retry_after="7")), translate(answer(429, limited("SECONDLY")))
    assert [fault and fault.retry_after_s for fault in (with_one, without)] == [7, None]


def test_the_correlation_id_goes_along_and_the_value_does_not() -> None:
    fault = translate(answer(400, VALIDATION))
    assert fault is not None
    assert "c-2" in str(fault.error)
    assert "99" not in str(fault.error)


def test_an_error_of_a_207_names_its_inputs() -> None:
    raw = {"category": "VALIDATION_ERROR", "context": {"objectWriteTraceId": ["7"], "propertyName": ["csh_score"]}, "message": "m"}
    assert read_error(raw) == Said(
        "VALIDATION_ERROR", ("csh_score",), (), ("7",), "m", "", {"objectWriteTraceId": ["7"], "propertyName": ["csh_score"]}
    )


@pytest.mark.parametrize("body", [None, [], "x", {}, {"errors": ["x"]}, {"context": None}])
def test_a_body_of_any_shape_is_read(body: Any) -> None:
    assert read_error(body).code == ""
