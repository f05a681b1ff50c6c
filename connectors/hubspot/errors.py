"""HubSpot answer -> ConnectorError: the one table (reference sheet, 1.3, 2.7, 6). Every field of an error body is optional there, so all are here.

Texts are ours: HubSpot's messages repeat the values that were sent. Its correlation id goes along, since its support asks for it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.calls import Again, Fault
from connectors.errors import ConnectorError, Gone, Misfit, NotAllowed, NotReachable, QuotaSpent, Refused, Transient

ADMIN = "A HubSpot admin must"
PROVISION = "`scoresync provision` creates properties and options."
LATER = "It is tried again by itself."

#: Codes that say a property is gone or cannot be written, on every record alike.
PROPERTY_CODES = frozenset({"PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE"})


@dataclass(frozen=True)
class Answer:
    """A response of HubSpot as the error table needs it; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Rule:
    """What a code means. `text` may use {fields}."""

    error: type[ConnectorError]
    text: str
    remedy: str


_TYPE = Rule(Refused, "The value is not of the property's type: {fields}.", f"{ADMIN} give the property the type in writeback.yml.")
_REQUIRED = Rule(
    Refused, "The record lacks a required property: {fields}.", f"{ADMIN} fill it on the record, or make it optional; scoresync does not write it."
)
#: Codes inside a validation error (sheet, 6.2), and error categories.
TABLE: dict[str, Rule] = {
    "PROPERTY_DOESNT_EXIST": Rule(Misfit, "The property is gone: {fields}.", f"{ADMIN} create it or restore it. {PROVISION}"),
    "READ_ONLY_VALUE": Rule(Misfit, "The property cannot be written, it is calculated or read-only: {fields}.", f"{ADMIN} make one by this name."),
    "INVALID_OPTION": Rule(
        Refused, "The value is not among the options of {fields}.", f"{ADMIN} add the option to the property, as writeback.yml lists it. {PROVISION}"
    ),
    "INVALID_INTEGER": _TYPE,
    "INVALID_LONG": _TYPE,
    "INVALID_NUMBER": _TYPE,
    "INVALID_DATE": _TYPE,
    "INVALID_BOOLEAN": _TYPE,
    "MISSING_REQUIRED_PROPERTY": _REQUIRED,
    "MISSING_CONDITIONAL_REQUIRED_PROPERTY": _REQUIRED,
    "OBJECT_NOT_FOUND": Rule(Gone, "The record was deleted or merged away meanwhile.", "Nothing to do: the next run follows it."),
    "CONFLICT": Rule(Refused, "Another record holds the same unique value: {fields}.", f"{ADMIN} find the two records and free the value."),
    "OBJECT_ALREADY_EXISTS": Rule(Refused, "It exists already.", ""),
    "VALIDATION_ERROR": Rule(Refused, "HubSpot refuses a value of the record ({fields}).", f"{ADMIN} look at the record in HubSpot."),
}
_UNKNOWN_TYPE = re.compile(r"Unable to infer object type from")
_NOT_UNIQUE = re.compile(r"non-unique")
_INVALID_LIST = re.compile(r"Property values were not valid: (\[.*\])", re.DOTALL)


@dataclass(frozen=True)
class Said:
    """One error as HubSpot says it. `fields`: property names; `ids` and `traces`: the inputs of a batch it is about."""

    code: str
    fields: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    message: str = ""
    correlation: str = ""
    context: Mapping[str, Any] | None = None

    @property
    def rule(self) -> Rule | None:
        return TABLE.get(self.code)

    def text(self) -> str:
        rule = self.rule
        named = ", ".join(self.fields) or "not named by HubSpot"
        return rule.text.format(fields=named) if rule else f"HubSpot refuses it with {self.code or 'no code'}."

    def whole_text(self) -> str:
        """With the remedy: what a person reads beside one record."""
        return f"{self.text()} {self.rule.remedy if self.rule else ''}".strip()


def read_error(body: Any) -> Said:
    """An error object, of a whole answer or of one input in a batch."""
    if not isinstance(body, dict):
        return Said("")
    details = [e for e in body.get("errors") or () if isinstance(e, dict)]
    listed = list(_in_message(str(body.get("message") or "")))
    codes = [str(e["code"]) for e in details if e.get("code")] or [str(row["error"]) for row in listed if row.get("error")]
    code = codes[0] if codes else str(body.get("category") or body.get("errorType") or body.get("status") or "")
    context = _context(body, details)
    fields = [*_texts(context.get("propertyName")), *_texts(context.get("name")), *(str(row["name"]) for row in listed if row.get("name"))]
    return Said(
        code if code != "error" else "",
        tuple(dict.fromkeys(fields)),
        tuple(_texts(context.get("ids")) or _texts(context.get("id"))),
        tuple(_texts(context.get("objectWriteTraceId"))),
        str(body.get("message") or ""),
        str(body.get("correlationId") or ""),
        context,
    )


def _context(body: Mapping[str, Any], details: list[dict[str, Any]]) -> dict[str, list[str]]:
    """HubSpot puts the context at the top or in each detail (sheet, 1.3)."""
    merged: dict[str, list[str]] = {}
    for part in [body, *details]:
        for key, values in (part.get("context") or {}).items():
            merged.setdefault(key, []).extend(_texts(values))
    return merged


def _texts(values: Any) -> list[str]:
    return [str(v) for v in values] if isinstance(values, list) else [] if values is None else [str(values)]


def _in_message(message: str) -> Iterator[dict[str, Any]]:
    """The list of faults that validation messages carry as JSON text."""
    found = _INVALID_LIST.search(message)
    if found:
        try:
            rows = orjson.loads(found[1])
        except orjson.JSONDecodeError:
            return
        yield from (row for row in rows if isinstance(row, dict))


def translate(answer: Answer) -> Fault | None:
    """The fault of a whole answer; null when it is good (207 is: its errors belong to single inputs)."""
    status = answer.status
    if 200 <= status < 300:
        return None
    try:
        body = orjson.loads(answer.content)
    except orjson.JSONDecodeError:  # 502 and 52x come as HTML
        body = None
    said = read_error(body)
    if status == 429:
        return _limited(body if isinstance(body, dict) else {}, answer)
    if status == 401:
        text = "HubSpot does not accept the token: it has expired or was revoked."
        return Fault(_made(NotAllowed, text, TOKEN_REMEDY, said, status), refresh=True, untouched=True)
    if status == 403:
        return Fault(_forbidden(said, status))
    if status in (423, 477) or status >= 500:
        return _server(said, answer)
    return Fault(_refusal(said, status))


TOKEN_REMEDY = (
    f"{ADMIN} look whether the service key or private app still exists, and set SCORESYNC_HUBSPOT_TOKEN to its token "
    "(or, with OAuth, authorise the app again and set SCORESYNC_HUBSPOT_REFRESH_TOKEN)."
)


def _limited(body: Mapping[str, Any], answer: Answer) -> Fault:
    """429 names its policy; a Retry-After is honoured where there is one, and never counted on (sheet, 6.3)."""
    policy, wait_s = str(body.get("policyName") or ""), retry_after_s(answer)
    if policy == "DAILY":
        text = "HubSpot's daily limit of API calls is used up, by all apps of the account together."
        remedy = f"The run goes on by itself after midnight in the account's time zone. {ADMIN} find what uses so many calls, or buy more."
        return Fault(QuotaSpent(text, remedy=remedy, code="DAILY", status=429))
    if policy == "SECONDLY":
        text = "HubSpot's limit of searches per second is used up, by all apps of the account together."
        return Fault(Transient(text, remedy=LATER, code="SECONDLY", status=429), Again.SOON, untouched=True, retry_after_s=wait_s)
    text = "HubSpot's limit of calls in 10 seconds is used up."
    remedy = f"{LATER} If it lasts, give scoresync a service key of its own, or lower SCORESYNC_HUBSPOT_WINDOW_CALLS."
    code = policy or "TEN_SECONDLY_ROLLING"
    return Fault(Transient(text, remedy=remedy, code=code, status=429), Again.WINDOW, untouched=True, retry_after_s=wait_s)


def _forbidden(said: Said, status: int) -> ConnectorError:
    scopes = (said.context or {}).get("requiredGranularScopes") or (said.context or {}).get("requiredScopes") or ()
    if scopes or said.code == "MISSING_SCOPES":
        named = ", ".join(dict.fromkeys(scopes)) or "not named by HubSpot"
        text = f"The token lacks a scope: {named}."
        return _made(Misfit, text, f"{ADMIN} add it to the service key or app and, for an app, authorise it again.", said, status, "MISSING_SCOPES")
    text = "HubSpot does not allow this call: the account's plan or the token's user lacks it."
    return _made(NotAllowed, text, f"{ADMIN} check the plan and the scopes.", said, status)


def _server(said: Said, answer: Answer) -> Fault:
    status, wait_s = answer.status, retry_after_s(answer)
    if status == 423:
        text = "HubSpot has locked the records: too many writes to them at once."
        return Fault(_made(Transient, text, LATER, said, status, "LOCKED"), Again.WINDOW, untouched=True, retry_after_s=wait_s)
    if status == 477:
        text = "HubSpot is moving this account to another data centre."
        remedy = "The run goes on by itself when that is over; it may take up to 24 hours."
        again = Again.NO if wait_s is None else Again.SOON
        return Fault(_made(NotReachable, text, remedy, said, status, "MIGRATING"), again, untouched=True, retry_after_s=wait_s)
    if status == 500 or status in (501, 505):
        text = f"HubSpot failed inside ({status})."
        remedy = f"{LATER} If it lasts, ask HubSpot's support."
        return Fault(_made(Transient, text, remedy, said, status), Again.FEW, retry_after_s=wait_s)
    text = f"HubSpot does not answer for now ({status})."
    return Fault(_made(NotReachable, text, f"{LATER} See status.hubspot.com.", said, status), Again.SOON, retry_after_s=wait_s)


def _refusal(said: Said, status: int) -> ConnectorError:
    if _UNKNOWN_TYPE.search(said.message):
        text = "HubSpot knows no such object type."
        return _made(Misfit, text, f"{ADMIN} create it, or an admin of scoresync takes it out of the CRM mapping.", said, status, "UNKNOWN_TYPE")
    if _NOT_UNIQUE.search(said.message):
        text = "The external key is no property with unique values."
        return _made(Misfit, text, f"{ADMIN} delete it and let `scoresync provision` create it; uniqueness is set only then.", said, status)
    if said.rule is not None:
        return _made(said.rule.error, said.text(), said.rule.remedy, said, status)
    if status == 404:
        return _made(Gone, "There is no such record or resource (404).", "Nothing to do: the next run follows it.", said, status, "NOT_FOUND")
    return _made(Refused, f"HubSpot refuses the call ({status} {said.code}).".replace(" )", ")"), "Please report it with this code.", said, status)


def _made(kind: type[ConnectorError], text: str, remedy: str, said: Said, status: int, code: str = "") -> ConnectorError:
    if said.correlation:
        text = f"{text} (HubSpot's correlation id {said.correlation[:60]})"
    error = kind(text, remedy=remedy, code=code or said.code, status=status)
    error.said = said  # type: ignore[attr-defined]
    return error


def said_of(error: ConnectorError) -> Said:
    """What HubSpot said, of an error made here."""
    found: Said = getattr(error, "said", Said(error.code))
    return found


def retry_after_s(answer: Answer) -> float | None:
    value = answer.headers.get("retry-after", "").strip()
    return float(value) if value.replace(".", "", 1).isdigit() else None
