"""Metadata SOAP API, as far as record-like calls on CustomObject, CustomField and PermissionSet go."""

from __future__ import annotations

from html import escape
from typing import Any
from xml.etree import ElementTree

from connectors.salesforce.sandbox import auth
from connectors.salesforce.sandbox.errors import SalesforceError
from connectors.salesforce.sandbox.metadata_apply import apply, read, remove
from connectors.salesforce.sandbox.routing import Context, Reply, Routes
from connectors.salesforce.sandbox.tooling import require_setup

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
LIMIT = 10


def register(routes: Routes) -> None:
    """Adds the paths of this area. The session comes in the SOAP header, so the login check is made here."""
    routes.add("POST", "/services/Soap/m/{version}", call, kind="metadata", login=False)
    routes.add("POST", "/services/Soap/m/{version}/{org}", call, kind="metadata", login=False)


def call(context: Context) -> Reply:
    """One SOAP call."""
    try:
        root = auth.parse_xml(context.body)
    except ElementTree.ParseError:
        return auth.soap_fault("UNKNOWN_EXCEPTION", "The request is not well-formed XML")
    session = next((node.text or "" for node in root.iter() if auth.local(node) == "sessionId"), "")
    user = auth.session_user(context.state, f"Bearer {session}")
    if user is None:
        return auth.soap_fault(
            "INVALID_SESSION_ID", "Invalid Session ID found in SessionHeader: Illegal Session. Session not found, missing session hash"
        )
    context.user = user
    body = next((node for node in root if auth.local(node) == "Body"), None)
    request = next(iter(body), None) if body is not None else None
    if request is None:
        return auth.soap_fault("UNKNOWN_EXCEPTION", "The SOAP body is empty")
    handler = {
        "createMetadata": _write, "updateMetadata": _write, "upsertMetadata": _write, "deleteMetadata": _delete, "readMetadata": _read,
    }.get(auth.local(request))  # fmt: skip
    if handler is None:
        return auth.soap_fault("INVALID_OPERATION", f"{auth.local(request)} is not served here")
    try:
        require_setup(context.user)
        return auth.soap(handler(context, request), namespace=NAMESPACE)
    except SalesforceError as error:
        return auth.soap_fault(error.code, error.message)


def to_value(node: ElementTree.Element) -> Any:
    """An element as text or as a dictionary; repeated elements become lists."""
    if len(node) == 0:
        return node.text or ""
    answer: dict[str, Any] = {}
    for child in node:
        name, value = auth.local(child), to_value(child)
        if name in answer:
            if not isinstance(answer[name], list):
                answer[name] = [answer[name]]
            answer[name].append(value)
        else:
            answer[name] = value
    return answer


def _write(context: Context, request: ElementTree.Element) -> str:
    operation = auth.local(request).removesuffix("Metadata")
    components = [node for node in request if auth.local(node) == "metadata"]
    if len(components) > LIMIT:
        raise SalesforceError("LIMIT_EXCEEDED", f"at most {LIMIT} components in one call")
    results = []
    for node in components:
        kind = node.get(XSI_TYPE, "").rpartition(":")[2]
        value = to_value(node)
        name = str(value.get("fullName", "")) if isinstance(value, dict) else ""
        try:
            created = apply(context.state, kind, name, {key: item for key, item in value.items() if key != "fullName"}, operation)
        except SalesforceError as error:
            results.append(_result(name, error=error))
            continue
        results.append(_result(name, created=created if operation == "upsert" else None))
    return f"<{operation}MetadataResponse>{''.join(results)}</{operation}MetadataResponse>"


def _result(name: str, *, created: bool | None = None, error: SalesforceError | None = None) -> str:
    inner = f"<created>{str(created).lower()}</created>" if created is not None else ""
    if error is not None:
        inner = "<created>false</created>" if created is not None else ""
        inner += f"<errors><message>{escape(error.message)}</message><statusCode>{error.code}</statusCode></errors>"
    return f"<result>{inner}<fullName>{escape(name)}</fullName><success>{str(error is None).lower()}</success></result>"


def _texts(request: ElementTree.Element, name: str) -> list[str]:
    return [node.text or "" for node in request if auth.local(node) == name]


def _delete(context: Context, request: ElementTree.Element) -> str:
    kind = _texts(request, "type")[0]
    results = []
    for name in _texts(request, "fullNames"):
        try:
            remove(context.state, kind, name)
            results.append(_result(name))
        except SalesforceError as error:
            results.append(_result(name, error=error))
    return f"<deleteMetadataResponse>{''.join(results)}</deleteMetadataResponse>"


def _read(context: Context, request: ElementTree.Element) -> str:
    kind = _texts(request, "type")[0]
    records = ""
    for name in _texts(request, "fullNames"):
        found = read(context.state, kind, name)
        inner = "" if found is None else f"<fullName>{escape(name)}</fullName>{to_xml(found)}"
        records += f'<records xsi:type="{escape(kind)}">{inner}</records>' if found is not None else '<records xsi:nil="true"/>'
    return f"<readMetadataResponse><result>{records}</result></readMetadataResponse>"


def to_xml(value: Any) -> str:
    """A dictionary as elements."""
    parts = []
    for key, item in value.items():
        for entry in item if isinstance(item, list) else [item]:
            inner = to_xml(entry) if isinstance(entry, dict) else escape(str(entry).lower() if isinstance(entry, bool) else str(entry))
            if entry is not None:
                parts.append(f"<{key}>{inner}</{key}>")
    return "".join(parts)
