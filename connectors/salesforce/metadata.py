"""Descriptions of what provisioning creates, as the Tooling and Metadata APIs want them (reference sheet, 6)."""

import re
from collections.abc import Callable
from html import escape
from typing import Any
from xml.etree import ElementTree

import requests

from connectors.errors import ConnectorError, NotAllowed, Refused
from connectors.salesforce.client import HOST, Org
from connectors.salesforce.errors import said
from mappings.models import FieldType, WriteField

_TYPES = {
    FieldType.NUMBER: "Number",
    FieldType.PERCENT: "Percent",
    FieldType.CURRENCY: "Currency",
    FieldType.TEXT: "Text",
    FieldType.LONG_TEXT: "LongTextArea",
    FieldType.PICKLIST: "Picklist",
    FieldType.MULTI_PICKLIST: "MultiselectPicklist",
    FieldType.CHECKBOX: "Checkbox",
    FieldType.DATE: "Date",
    FieldType.DATETIME: "DateTime",
    FieldType.LOOKUP: "Lookup",
}
#: Numbers without limits in writeback.yml get the org's widest.
WIDEST = 18
#: Salesforce's most for a field's help text.
HELP_MOST = 510
_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_META = "http://soap.sforce.com/2006/04/metadata"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"


def field_metadata(field: WriteField, language: str) -> dict[str, Any]:
    """`Metadata` of a Tooling CustomField. Labels and help in `language`, the other language in the description."""
    label, help_text = getattr(field.label, language), getattr(field.meaning, language)
    other = field.meaning.en if language == "ja" else field.meaning.ja
    body: dict[str, Any] = {
        "label": label,
        "type": _TYPES[field.type],
        "inlineHelpText": help_text[:HELP_MOST],
        "description": other,
        "required": False,
    }
    if field.formula is not None:
        return body | {"formula": field.formula, "formulaTreatBlanksAs": "BlankAsBlank", **_numbers(field)}
    if field.type in (FieldType.NUMBER, FieldType.PERCENT, FieldType.CURRENCY):
        body |= _numbers(field)
    elif field.type == FieldType.TEXT:
        unique = field.external_key and field.object != "task"  # fields of activities cannot be unique
        body |= {"length": field.length or 255, "externalId": field.external_key, "unique": unique, "caseSensitive": unique}
    elif field.type == FieldType.LONG_TEXT:
        body |= {"length": max(field.length or 32768, 256), "visibleLines": 3}
    elif field.type in (FieldType.PICKLIST, FieldType.MULTI_PICKLIST):
        values = [{"fullName": v.value, "valueName": v.value, "label": getattr(v, language), "default": False} for v in field.values]
        body["valueSet"] = {"restricted": True, "valueSetDefinition": {"sorted": False, "value": values}}
        if field.type == FieldType.MULTI_PICKLIST:
            body["visibleLines"] = 4
    elif field.type == FieldType.CHECKBOX:
        body["defaultValue"] = "false"
    elif field.type == FieldType.LOOKUP:
        name = re.sub(r"__c$", "", field.names["salesforce"])
        relation = f"{name}_{field.object}".replace("__", "_")[:40].strip("_")
        body |= {"referenceTo": field.reference_to or "User", "relationshipName": relation, "relationshipLabel": label, "deleteConstraint": "SetNull"}
    return body


def _numbers(field: WriteField) -> dict[str, Any]:
    if field.type not in (FieldType.NUMBER, FieldType.PERCENT, FieldType.CURRENCY):
        return {}
    return {"precision": field.precision or WIDEST, "scale": field.scale or 0}


def create_object(org: Org, name: str, label: str, plural: str, number_format: str) -> None:
    """A custom object with a numbered name. Only the Metadata API makes objects in a real org."""
    inner = (
        f"<fullName>{escape(name)}</fullName><label>{escape(label)}</label><pluralLabel>{escape(plural)}</pluralLabel>"
        f"<nameField><label>{escape(label)}</label><type>AutoNumber</type><displayFormat>{escape(number_format)}</displayFormat></nameField>"
        "<deploymentStatus>Deployed</deploymentStatus><sharingModel>ReadWrite</sharingModel><enableReports>true</enableReports>"
        "<enableHistory>true</enableHistory>"
    )
    body = f'<createMetadata xmlns="{_META}"><metadata xmlns:xsi="{_XSI}" xsi:type="CustomObject">{inner}</metadata></createMetadata>'
    _soap(org, lambda token: _envelope(token, body))


def _envelope(token: str, body: str) -> bytes:
    head = f'<SessionHeader xmlns="{_META}"><sessionId>{escape(token)}</sessionId></SessionHeader>'
    text = f'<e:Envelope xmlns:e="{_SOAP}"><e:Header>{head}</e:Header><e:Body>{body}</e:Body></e:Envelope>'
    return f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()


def _soap(org: Org, body: Callable[[str], bytes]) -> None:
    """One Metadata call; Refused with the org's code where a component was not taken."""
    headers = {"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""', "Accept": "text/xml"}
    read: Callable[[requests.Response], bytes] = lambda response: response.content  # noqa: E731
    answer = org.ask("provision", "POST", f"/services/Soap/m/{org.version}/", read, base=HOST, idempotent=False, headers=headers, signed=body)
    texts: dict[str, str] = {}
    for node in ElementTree.fromstring(answer).iter():
        texts.setdefault(node.tag.rpartition("}")[2], node.text or "")
    if texts.get("success") != "true":
        error = said(texts.get("statusCode", "UNKNOWN"), texts.get("message", ""), ())
        rule = error.rule
        raise Refused(error.text(), remedy=rule.remedy if rule else "Please report it with this code.", code=error.code)


def needs_admin(error: ConnectorError) -> NotAllowed:
    """What a user without set-up rights is told."""
    return NotAllowed(
        "This user may not change the org's set-up.",
        remedy="Run `scoresync provision` as a user with the permissions Customize Application, Manage Profiles and Permission Sets, and View Setup "
        "and Configuration (a System Administrator): set SCORESYNC_SALESFORCE_CLIENT_ID and _CLIENT_SECRET to a connected app that runs as one.",
        code=error.code,
        status=error.status,
    )
