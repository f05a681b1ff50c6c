"""Metadata deploy of a zip: objects, fields and permission sets take effect; pages, tabs, actions and translations are checked and kept."""

from __future__ import annotations

import base64
import binascii
import io
import re
import zipfile
from dataclasses import dataclass, field
from html import escape
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree

import orjson

from connectors.salesforce.sandbox import auth
from connectors.salesforce.sandbox.errors import SalesforceError
from connectors.salesforce.sandbox.ids import make_id
from connectors.salesforce.sandbox.metadata import NAMESPACE, to_value
from connectors.salesforce.sandbox.metadata_apply import apply, as_list
from connectors.salesforce.sandbox.routing import Context, Reply, Routes
from connectors.salesforce.sandbox.state import State
from connectors.salesforce.sandbox.tooling import require_setup

MAX_FILES, MAX_BYTES = 10_000, 39 * 1024 * 1024
# suffix → metadata type; the first two take effect, the others are looked through for fields that do not exist
SUFFIXES = {
    "object": "CustomObject", "permissionset": "PermissionSet", "layout": "Layout", "flexipage": "FlexiPage", "tab": "CustomTab",
    "quickAction": "QuickAction", "workflow": "Workflow", "objectTranslation": "CustomObjectTranslation", "translation": "Translations",
    "labels": "CustomLabels", "app": "CustomApplication",
}  # fmt: skip
_FIELD_TAGS = frozenset({"field", "fieldItem", "columns"})
_CUSTOM = re.compile(r"(?:Record\.)?(\w+__c)")
_ORDER = {"CustomObject": 0, "PermissionSet": 2}


class _Undo(Exception):
    """Leaves the deployment's transaction without keeping it."""


@dataclass(slots=True)
class Part:
    """One file of the package."""

    file: str
    kind: str
    name: str
    root: ElementTree.Element


@dataclass(slots=True)
class Result:
    """What became of a deployment."""

    total: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)

    def fail(self, file: str, kind: str, message: str) -> None:
        """Adds a component failure."""
        self.failures.append({"fileName": file, "componentType": kind, "problem": message, "problemType": "Error"})


def register(routes: Routes) -> None:
    """Adds the paths of this area; they must come before the general Metadata path."""
    routes.add("POST", "/services/Soap/m/{version}/deployRequest", deploy, kind="metadata_deploy", login=False)
    routes.add("POST", "/services/Soap/m/{version}/deployRequest/{id}", status, kind="metadata_deploy_status", login=False)


def _texts(context: Context) -> dict[str, str]:
    root = auth.parse_xml(context.body)
    found = {auth.local(node): (node.text or "").strip() for node in root.iter()}
    user = auth.session_user(context.state, f"Bearer {found.get('sessionId', '')}")
    if user is None:
        raise SalesforceError("INVALID_SESSION_ID", "Invalid Session ID found in SessionHeader: Illegal Session. Session not found")
    context.user = user
    require_setup(user)
    return found


def deploy(context: Context) -> Reply:
    """`deploy`: the work is done at once; the answer is the id to ask about."""
    try:
        given = _texts(context)
    except ElementTree.ParseError:
        return auth.soap_fault("UNKNOWN_EXCEPTION", "The request is not well-formed XML")
    except SalesforceError as error:
        return auth.soap_fault(error.code, error.message)
    check_only = given.get("checkOnly", "").lower() == "true"
    result = Result()
    try:
        parts = read_package(base64.b64decode(given.get("ZipFile", ""), validate=True), result)
        result.total = len(parts)
        _install(context.state, parts, result, check_only=check_only, rollback=given.get("rollbackOnError", "true").lower() != "false")
    except (zipfile.BadZipFile, binascii.Error):
        result.fail("", "", "The zip file could not be read")
    job = make_id("0Af", context.state.next_number("Deploy"))
    stored = {"check_only": check_only, "total": result.total, "failures": result.failures, "at": context.state.stamp()}
    context.state.side.set_setting(f"deploy:{job}", orjson.dumps(stored).decode())
    return auth.soap(f"<deployResponse><result><done>false</done><id>{job}</id><state>Queued</state></result></deployResponse>", namespace=NAMESPACE)


def read_package(data: bytes, result: Result) -> list[Part]:
    """The components of a zip below its `package.xml`, in the order in which they are installed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        if len(files) > MAX_FILES or sum(info.file_size for info in files) > MAX_BYTES:
            result.fail("", "", f"The package has more than {MAX_FILES} files or {MAX_BYTES} bytes")
            return []
        manifest = next((info.filename for info in files if PurePosixPath(info.filename).name == "package.xml"), None)
        if manifest is None:
            result.fail("package.xml", "", "No package.xml found")
            return []
        folder = str(PurePosixPath(manifest).parent).removeprefix(".")
        parts = [part for info in files if info.filename != manifest and (part := _part(archive, info.filename, folder, result)) is not None]
    return sorted(parts, key=lambda part: (_ORDER.get(part.kind, 3), part.file))


def _part(archive: zipfile.ZipFile, name: str, folder: str, result: Result) -> Part | None:
    relative = PurePosixPath(name[len(folder) + 1 :] if folder and name.startswith(f"{folder}/") else name)
    kind = SUFFIXES.get(relative.suffix.removeprefix("."))
    if kind is None:
        result.fail(name, "", f"An unexpected file was found in the package: {name}")
        return None
    try:
        root = auth.parse_xml(archive.read(name))
    except ElementTree.ParseError as error:
        result.fail(name, kind, f"Error parsing file: {error}")
        return None
    if auth.local(root) != kind:
        result.fail(name, kind, f"Error parsing file: root element is {auth.local(root)}, expected {kind}")
        return None
    return Part(name, kind, relative.stem, root)


def _install(state: State, parts: list[Part], result: Result, *, check_only: bool, rollback: bool) -> None:
    try:
        with state.transaction():
            for part in parts:
                if part.kind == "CustomObject":
                    _object(state, part, result, formulas=False)
            for part in parts:
                if part.kind == "CustomObject":
                    _object(state, part, result, formulas=True)
                elif part.kind == "PermissionSet":
                    _attempt(state, part, "PermissionSet", part.name, to_value(part.root), result)
                else:
                    _check_fields(state, part, result)
            if check_only or (rollback and result.failures):
                raise _Undo
    except _Undo:
        return


def _attempt(state: State, part: Part, kind: str, name: str, metadata: dict[str, Any], result: Result) -> None:
    try:
        with state.transaction():
            apply(state, kind, name, {key: value for key, value in metadata.items() if key != "fullName"}, "upsert")
    except SalesforceError as error:
        result.fail(part.file, kind, f"{name}: {error.message}")


def _object(state: State, part: Part, result: Result, *, formulas: bool) -> None:
    """The object and its plain fields first; formulas once every field they may read is there."""
    metadata = to_value(part.root)
    metadata = metadata if isinstance(metadata, dict) else {}
    if part.name.endswith("__c") and not formulas:
        plain = {key: value for key, value in metadata.items() if key in ("label", "pluralLabel", "nameField", "customSettingsType")}
        if plain.get("label"):
            _attempt(state, part, "CustomObject", part.name, plain, result)
    for entry in as_list(metadata.get("fields")):
        if bool(entry.get("formula")) == formulas and entry.get("type"):
            _attempt(state, part, "CustomField", f"{part.name}.{entry.get('fullName')}", entry, result)
    if formulas:
        for node in part.root:
            if auth.local(node) == "listViews":
                _check_nodes(state, part, node, part.name, result)


def _check_fields(state: State, part: Part, result: Result) -> None:
    owner = part.name.split("-")[0].split(".")[0]
    for node in part.root:
        if auth.local(node) == "sobjectType":
            owner = node.text or owner
    if owner.lower() in state.objects:
        _check_nodes(state, part, part.root, owner, result)


def _check_nodes(state: State, part: Part, root: ElementTree.Element, owner: str, result: Result) -> None:
    item = state.object(owner)
    for node in root.iter():
        match = _CUSTOM.fullmatch((node.text or "").strip()) if auth.local(node) in _FIELD_TAGS else None
        if match is not None and item.get(match[1]) is None:
            result.fail(part.file, part.kind, f"In field: {auth.local(node)} - no CustomField named {owner}.{match[1]} found")


def status(context: Context) -> Reply:
    """`checkDeployStatus`."""
    try:
        _texts(context)
    except ElementTree.ParseError:
        return auth.soap_fault("UNKNOWN_EXCEPTION", "The request is not well-formed XML")
    except SalesforceError as error:
        return auth.soap_fault(error.code, error.message)
    job = context.path["id"]
    text = context.state.side.setting(f"deploy:{job}", "")
    if not text:
        return auth.soap_fault("INVALID_CROSS_REFERENCE_KEY", f"invalid cross reference id: {job}")
    stored = orjson.loads(text)
    failures = stored["failures"]
    details = "".join(
        "<componentFailures>" + "".join(f"<{key}>{escape(value)}</{key}>" for key, value in entry.items()) + "</componentFailures>"
        for entry in failures
    )
    word = "Failed" if failures else "Succeeded"
    body = (
        f"<checkOnly>{str(stored['check_only']).lower()}</checkOnly><completedDate>{stored['at'][:19]}.000Z</completedDate>"
        f"<createdDate>{stored['at'][:19]}.000Z</createdDate><details>{details}<runTestResult><numFailures>0</numFailures><numTestsRun>0</numTestsRun>"
        f"<totalTime>0.0</totalTime></runTestResult></details><done>true</done><id>{job}</id><numberComponentErrors>{len(failures)}</numberComponentErrors>"
        f"<numberComponentsDeployed>{stored['total'] if not failures else 0}</numberComponentsDeployed>"
        f"<numberComponentsTotal>{stored['total']}</numberComponentsTotal><numberTestErrors>0</numberTestErrors><numberTestsCompleted>0</numberTestsCompleted>"
        f"<numberTestsTotal>0</numberTestsTotal><status>{word}</status><success>{str(not failures).lower()}</success>"
    )
    return auth.soap(f"<checkDeployStatusResponse><result>{body}</result></checkDeployStatusResponse>", namespace=NAMESPACE)
