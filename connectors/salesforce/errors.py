"""Salesforce error code -> ConnectorError: the one table (reference sheet, 3.4). Matched by code; by text only where one code means two things.

Texts are ours. The vendor's message goes along only for codes whose text an admin wrote (validation rules, triggers, flows), since others repeat
the value that was sent.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
import requests

from connectors.base import WriteState
from connectors.calls import Again, Fault
from connectors.errors import ConnectorError, Gone, Misfit, NotAllowed, NotReachable, QuotaSpent, Refused, Transient

ADMIN = "A Salesforce admin must"
PROVISION = "`scoresync provision` (as an admin) creates fields and the permission set CSH_Integration that grants them."


@dataclass(frozen=True)
class Rule:
    """What a code means. `text` may use {fields}, {object} and {message}; `row_retry`: worth sending this row again in a moment."""

    error: type[ConnectorError]
    text: str
    remedy: str
    again: Again = Again.NO
    refresh: bool = False
    untouched: bool = False
    row_retry: bool = False
    row_state: WriteState = WriteState.REJECTED


_LATER = "It is tried again by itself."
_ROW_ADMIN = f"{ADMIN} look at the record; the rest of the run is not affected."

TABLE: dict[str, Rule] = {
    # --- worth trying again
    "UNABLE_TO_LOCK_ROW": Rule(Transient, "The record or its parent is locked by somebody else's write.", _LATER, Again.SOON, row_retry=True),
    "REQUEST_LIMIT_EXCEEDED:Total": Rule(
        QuotaSpent,
        "Salesforce's daily limit of API requests is used up.",
        f"The run goes on by itself as the rolling 24 hours free up. {ADMIN} find what uses so many calls (Setup > Company Information) or buy more.",
    ),
    "REQUEST_LIMIT_EXCEEDED": Rule(
        Transient, "Salesforce has too many long calls running at once.", _LATER, Again.WINDOW, untouched=True, row_retry=True
    ),
    "SERVER_UNAVAILABLE": Rule(NotReachable, "Salesforce does not answer for now.", f"{_LATER} See status.salesforce.com.", Again.SOON),
    "UNKNOWN_EXCEPTION": Rule(
        Transient,
        "Salesforce failed inside (UNKNOWN_EXCEPTION).",
        f"{_LATER} If it lasts, a Salesforce admin must open a case with Salesforce.",
        Again.FEW,
        row_retry=True,
    ),
    "QUERY_TIMEOUT": Rule(Transient, "The query ran too long.", "It is tried again with a smaller window."),
    "INVALID_QUERY_LOCATOR": Rule(Transient, "The page of the query is no longer kept.", "The query starts again from the last row read."),
    "INVALID_SESSION_ID": Rule(
        NotAllowed,
        "Salesforce does not accept a fresh session (INVALID_SESSION_ID).",
        f"{ADMIN} check that the connected app and its run-as user are active and that nobody revokes its sessions.",
        refresh=True,
        untouched=True,
    ),
    "TXN_SECURITY_METERING_ERROR": Rule(
        Transient,
        "Transaction security policies took too long.",
        f"{_LATER} {ADMIN} exempt the integration user from them if it lasts.",
        Again.FEW,
        row_retry=True,
    ),
    "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE": Rule(NotReachable, "Salesforce is in read-only mode for maintenance.", _LATER),
    # --- records that people's own automation refuses
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": Rule(
        Refused, "A trigger refuses the record: {message}", f"{ADMIN} repair the trigger or let the integration user pass it."
    ),
    "CANNOT_EXECUTE_FLOW_TRIGGER": Rule(
        Refused, "A flow refuses the record: {message}", f"{ADMIN} repair the flow or let the integration user pass it."
    ),
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": Rule(
        Refused,
        "A validation rule refuses the record: {message}",
        f"{ADMIN} repair the record, or exempt the integration user in the rule.",
    ),
    # --- values and fields
    "STRING_TOO_LONG": Rule(
        Refused,
        "The value is longer than the field allows: {fields}.",
        f"{ADMIN} lengthen the field to what writeback.yml says, or shorten `length` there.",
    ),
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": Rule(
        Refused,
        "The value is not in the restricted picklist: {fields}.",
        f"{ADMIN} add the value to the picklist (or activate it), as writeback.yml lists it.",
    ),
    "INVALID_FIELD_FOR_INSERT_UPDATE": Rule(
        Misfit,
        "The integration user may not write {fields}.",
        f"{ADMIN} give it edit access to the field. {PROVISION}",
    ),
    "INVALID_FIELD": Rule(Misfit, "The field is gone or hidden from the integration user: {fields}.", f"{ADMIN} create it or grant it. {PROVISION}"),
    "INVALID_TYPE": Rule(
        Misfit,
        "The object is gone or hidden from the integration user: {object}.",
        f"{ADMIN} grant the object, or remove it from the mapping. {PROVISION}",
    ),
    "NUMBER_OUTSIDE_VALID_RANGE": Rule(
        Refused, "The number has too many digits for {fields}.", f"{ADMIN} widen the field to what writeback.yml says."
    ),
    "REQUIRED_FIELD_MISSING": Rule(
        Refused, "The record lacks a required field: {fields}.", f"{ADMIN} fill it on the record, or make it optional; scoresync does not write it."
    ),
    "INVALID_TYPE_ON_FIELD_IN_RECORD": Rule(
        Refused, "The value is not of the field's type: {fields}.", f"{ADMIN} give the field the type in writeback.yml."
    ),
    "JSON_PARSER_ERROR": Rule(Refused, "Salesforce cannot read a value of the request.", f"{ADMIN} give the field the type in writeback.yml."),
    "DUPLICATE_VALUE": Rule(Refused, "Another record holds the same unique value: {fields}.", f"{ADMIN} find the two records and free the value."),
    "DUPLICATES_DETECTED": Rule(Refused, "A duplicate rule refuses the record.", f"{ADMIN} let the integration user pass the duplicate rule."),
    "DUPLICATE_EXTERNAL_ID": Rule(Refused, "Several records hold the same external key.", f"{ADMIN} merge or delete the doubled records."),
    "INSUFFICIENT_ACCESS_OR_READONLY": Rule(
        Refused, "The integration user may not change this record.", f"{ADMIN} give it edit access to the object and, by sharing, to the record."
    ),
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": Rule(
        Refused, "The integration user may not use a record that this one points to.", f"{ADMIN} share that record with it."
    ),
    "INVALID_CROSS_REFERENCE_KEY": Rule(
        Refused, "The record points to one that does not exist: {fields}.", f"{ADMIN} look whether it was deleted; the next run reads it anew."
    ),
    "ENTITY_IS_DELETED": Rule(
        Gone, "The record was deleted or merged away meanwhile.", "Nothing to do: the next run follows it.", row_state=WriteState.GONE
    ),
    "NOT_FOUND": Rule(Gone, "There is no such record or resource.", "Nothing to do: the next run follows it.", row_state=WriteState.GONE),
    "MALFORMED_ID": Rule(Refused, "An id is not one of this object's.", f"{ADMIN} check the mapping: it names another object's id."),
    "ENTITY_IS_LOCKED": Rule(Refused, "The record is locked by an approval process.", "It is tried again later; whoever approves frees it."),
    "ALL_OR_NONE_OPERATION_ROLLED_BACK": Rule(Transient, "The record was rolled back with others.", _LATER, Again.SOON, row_retry=True),
    # --- set-up
    "API_DISABLED_FOR_ORG": Rule(
        NotAllowed, "The API is off for this org or user.", f"{ADMIN} give the integration user the permission API Enabled."
    ),
    "INSUFFICIENT_ACCESS": Rule(
        NotAllowed, "The integration user lacks a permission for this call.", f"{ADMIN} assign it the permission set CSH_Integration. {PROVISION}"
    ),
    "FUNCTIONALITY_NOT_ENABLED": Rule(NotAllowed, "The org does not have this feature.", f"{ADMIN} enable it, or remove it from the mapping."),
    "STORAGE_LIMIT_EXCEEDED": Rule(NotAllowed, "The org's data storage is full.", f"{ADMIN} free or buy storage."),
    "LIMIT_EXCEEDED": Rule(Transient, "The org's daily limit for the Bulk API is used up.", "The REST API is used instead until tomorrow."),
    "EXCEEDED_QUOTA": Rule(Transient, "The org's daily limit for the Bulk API is used up.", "The REST API is used instead until tomorrow."),
    "EXCEEDED_ID_LIMIT": Rule(Refused, "Too many records in one call.", "A fault of scoresync: please report it."),
    "METHOD_NOT_ALLOWED": Rule(Refused, "Salesforce does not take this kind of call here.", "A fault of scoresync: please report it."),
    "UNSUPPORTED_MEDIA_TYPE": Rule(Refused, "Salesforce does not take this kind of body here.", "A fault of scoresync: please report it."),
    "MALFORMED_QUERY": Rule(Misfit, "Salesforce cannot read the query.", "An admin must check `filter` in the CRM mapping."),
    "INVALID_QUERY_FILTER_OPERATOR": Rule(
        Misfit, "Salesforce cannot use a filter on this field.", "An admin must check `filter` in the CRM mapping."
    ),
    "GONE": Rule(Misfit, "This API version is no longer served.", "An admin must set SCORESYNC_SALESFORCE_API_VERSION to a current one."),
    "UNSUPPORTED_API_VERSION": Rule(
        Misfit, "This API version is not served.", "An admin must set SCORESYNC_SALESFORCE_API_VERSION to a current one."
    ),
    # --- bulk: an upload or a job as a whole
    "INVALIDJOBSTATE": Rule(Refused, "The bulk job is not in the state for this.", "The job is looked at again."),
    "INVALIDENTITY": Rule(Misfit, "The Bulk API does not serve this object.", "The REST API is used instead."),
    "API_ERROR": Rule(Refused, "The Bulk API cannot do this.", "The REST API is used instead."),
}

#: Codes other Salesforce answers use for the same thing.
ALIASES = {
    "INVALIDSESSIONID": "INVALID_SESSION_ID",
    "INVALIDJOB": "NOT_FOUND",
    "NOTFOUND": "NOT_FOUND",
    "FEATURENOTENABLED": "FUNCTIONALITY_NOT_ENABLED",
    "EXCEEDEDQUOTA": "EXCEEDED_QUOTA",
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE": "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
    "TOOMANYLOCKFAILURE": "UNABLE_TO_LOCK_ROW",
}
#: Codes whose message is written by the org's own admin.
ADMIN_TEXT = frozenset({"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER", "FIELD_CUSTOM_VALIDATION_EXCEPTION"})
#: A trigger or flow that failed for one of these reasons may pass the next time (sheet, 3.4).
_PASSING = re.compile(r"UNABLE_TO_LOCK_ROW|Record Currently Unavailable|Rate Limiting Exception|AsyncApexExecutions|CPU time limit", re.IGNORECASE)
_QUOTED_FIELDS = re.compile(r"fields?:\s*([\w.,\s]+?)\.|\[([\w.,\s]+)\]|column '([\w.]+)'|Field name not found : ([\w.]+)")
_BAD_OBJECT = re.compile(r"sObject type '([\w.]+)'")
_SOAP_FAULT = re.compile(rb"<faultcode>(?:\w+:)?([A-Z_]+)</faultcode>")
_MAIL = re.compile(r"[\w.+-]+@[\w.-]+")


@dataclass(frozen=True)
class Said:
    """One error as Salesforce says it."""

    code: str
    message: str
    fields: tuple[str, ...]

    @property
    def rule(self) -> Rule | None:
        return rule_of(self.code, self.message)

    def text(self, what: str = "") -> str:
        """Our sentence, naming fields or object."""
        rule = self.rule
        if rule is None:
            return f"Salesforce refuses it with {self.code}."
        found = _BAD_OBJECT.search(self.message)
        named = ", ".join(self.fields) or what or "not named by Salesforce"
        return rule.text.format(fields=named, object=found[1] if found else what or "not named by Salesforce", message=safe(self.message))


def safe(message: str) -> str:
    """An admin's own message: one line, at most 300 characters, without mail addresses."""
    return _MAIL.sub("…@…", " ".join(message.split()))[:300]


def said(code: str, message: str, fields: Any) -> Said:
    """Fields are taken from the list beside the message, else from the message."""
    listed = tuple(str(f) for f in fields or ())
    if not listed:
        listed = tuple(name.strip() for found in _QUOTED_FIELDS.finditer(message) for name in next(g for g in found.groups() if g).split(","))
    return Said(code, message, listed)


def rule_of(code: str, message: str) -> Rule | None:
    """The table's row for a code. Null = a code the table does not know."""
    code = ALIASES.get(code.upper(), code)
    if code == "REQUEST_LIMIT_EXCEEDED" and "TotalRequests" in message:  # the one code that is both a day's and a moment's limit
        return TABLE["REQUEST_LIMIT_EXCEEDED:Total"]
    rule = TABLE.get(code)
    if rule is not None and code in ADMIN_TEXT and _PASSING.search(message):
        return Rule(rule.error, rule.text, rule.remedy, Again.SOON, row_retry=True)
    return rule


def read_body(response: requests.Response) -> Said:
    """The first error of a body: REST's array, OAuth's or Bulk v1's object, a SOAP fault; anything else (HTML, nothing) goes by its status."""
    fault = _SOAP_FAULT.search(response.content)
    if fault:
        return said(fault[1].decode(), "", ())
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        body = None
    first = body[0] if isinstance(body, list) and body else body
    if isinstance(first, dict):
        code = first.get("errorCode") or first.get("exceptionCode") or first.get("error") or ""
        message = first.get("message") or first.get("exceptionMessage") or first.get("error_description") or ""
        if code:
            return said(str(code), str(message), first.get("fields"))
    return Said("", "", ())


def translate(response: requests.Response, what: str = "") -> Fault | None:
    """The fault of a whole answer; null when it is good. `what`: the object or resource, for people."""
    status = response.status_code
    if 200 <= status < 300:
        return None
    error = read_body(response)
    rule = error.rule
    if rule is None:
        return _by_status(status, error, response)
    made = rule.error(error.text(what), remedy=rule.remedy, code=error.code, status=status)
    return Fault(made, rule.again, rule.refresh, rule.untouched, retry_after_s(response))


def _by_status(status: int, error: Said, response: requests.Response) -> Fault:
    """Answers without a known code: 420, 502, 503 come as HTML, 401 sometimes without a body (sheet, 1.4, 2.2)."""
    seen = f"{status} {error.code}".strip()
    wait_s = retry_after_s(response)
    if status == 401:
        rule = TABLE["INVALID_SESSION_ID"]
        return Fault(NotAllowed(rule.text, remedy=rule.remedy, code=error.code, status=status), refresh=True, untouched=True)
    if status in (420, 502, 503, 504):
        text = f"Salesforce does not answer for now ({seen})."
        return Fault(
            NotReachable(text, remedy=f"{_LATER} See status.salesforce.com.", code=error.code, status=status), Again.SOON, retry_after_s=wait_s
        )
    if status == 429:
        return Fault(
            Transient("Salesforce asks to slow down (429).", remedy=_LATER, status=status), Again.WINDOW, untouched=True, retry_after_s=wait_s
        )
    if status in (406, 408) or status >= 500:
        return Fault(Transient(f"Salesforce failed inside ({seen}).", remedy=_LATER, code=error.code, status=status), Again.FEW, retry_after_s=wait_s)
    if status == 403:
        text = f"Salesforce does not allow this call ({seen})."
        return Fault(NotAllowed(text, remedy=f"{ADMIN} check the integration user's permissions. {PROVISION}", code=error.code, status=status))
    if status in (404, 410):
        gone = Rule(Gone, "", "") if status == 404 else TABLE["GONE"]
        return Fault(gone.error(gone.text or "There is no such record or resource (404).", remedy=gone.remedy, code=error.code, status=status))
    return Fault(Refused(f"Salesforce refuses the call ({seen}).", remedy="Please report it with this code.", code=error.code, status=status))


def retry_after_s(response: requests.Response) -> float | None:
    """The header as seconds (either of its two forms). Salesforce sends none today; proxies before it do."""
    value = response.headers.get("Retry-After", "").strip()
    if not value:
        return None
    if value.replace(".", "", 1).isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def row_said(error: dict[str, Any]) -> Said:
    """One record's error in a Collections answer (`statusCode`, not `errorCode`)."""
    return said(str(error.get("statusCode") or error.get("errorCode") or "UNKNOWN"), str(error.get("message") or ""), error.get("fields"))


def bulk_said(text: str) -> Said:
    """One record's `sf__Error`: `STATUSCODE:message:field list --`; the message may hold colons itself."""
    code, _, rest = text.partition(":")
    message, _, listed = rest.rpartition(":")
    names = [name.strip() for name in listed.removesuffix("--").replace(",", " ").split()]
    return said(code.strip() or "UNKNOWN", message, names)
