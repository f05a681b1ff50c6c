"""Preflight: everything that would make a run fail or degrade, found at once, each finding with who must do what. Touches nothing."""

from collections.abc import Iterator, Mapping, Sequence

from connectors.base import FieldInfo, Finding
from connectors.errors import ConnectorError, Misfit
from connectors.pages import mapped_fields
from connectors.salesforce.client import Org
from connectors.salesforce.errors import ADMIN, PROVISION
from connectors.salesforce.objects import Objects, SObject
from mappings.models import FieldType, Source, WriteField

_KINDS = {
    FieldType.NUMBER: ("number",), FieldType.PERCENT: ("number",), FieldType.CURRENCY: ("number",), FieldType.TEXT: ("text",),
    FieldType.LONG_TEXT: ("text",), FieldType.PICKLIST: ("picklist", "text"),
    FieldType.MULTI_PICKLIST: ("multipicklist",), FieldType.CHECKBOX: ("checkbox",), FieldType.DATE: ("date",),
    FieldType.DATETIME: ("datetime",), FieldType.LOOKUP: ("lookup",),
}  # fmt: skip
#: Below this share of the daily calls left, a run may not come to its end today. Chosen.
LOW_SHARE = 0.1


class Preflight:
    """Checks one org against sources and fields."""

    def __init__(self, org: Org, objects: Objects, object_names: Mapping[str, str]) -> None:
        self._org, self._objects, self._names = org, objects, object_names

    def findings(self, sources: Sequence[Source], fields: Sequence[WriteField]) -> list[Finding]:
        """Errors stop a run or lose writes; warnings make scores poorer."""
        self._objects.forget()
        found = [*self._quota()]
        for source in sources:
            found += self._source(source)
        for object_key in dict.fromkeys(f.object for f in fields):
            found += self._target(self._names[object_key], [f for f in fields if f.object == object_key])
        return found

    def _quota(self) -> Iterator[Finding]:
        try:
            daily = self._org.json("limits", "GET", "limits/").get("DailyApiRequests") or {}
        except ConnectorError as error:
            if error.status != 403 or error.code == "REQUEST_LIMIT_EXCEEDED":
                raise
            text = "The daily limit cannot be read."
            yield Finding("warning", "limits", text, f"{ADMIN} give the integration user the permission View Setup and Configuration.")
            return
        most, left = daily.get("Max", 0), daily.get("Remaining", 0)
        if most and left < most * LOW_SHARE:
            text = f"Only {left} of {most} daily API requests are left."
            yield Finding(
                "warning", "limits", text, f"{ADMIN} find what uses them (Setup > Company Information), or the run pauses until they free up."
            )

    def _object(self, name: str) -> SObject | Finding:
        try:
            return self._objects.get(name)
        except Misfit as error:
            return Finding("error", name, error.text, error.remedy)

    def _source(self, source: Source) -> Iterator[Finding]:
        described = self._object(source.object)
        if isinstance(described, Finding):
            yield described
            return
        for path in mapped_fields(source, ()):
            if self._objects.resolve(source.object, path) is None:
                yield Finding(
                    "warning",
                    f"{source.object}.{path}",
                    "The mapped field is missing, or hidden from the integration user: it is read as unknown, without its indicators.",
                    f"{ADMIN} create it or grant read access to it; or an admin of scoresync takes it out of the CRM mapping.",
                )

    def _target(self, name: str, fields: Sequence[WriteField]) -> Iterator[Finding]:
        described = self._object(name)
        if isinstance(described, Finding):
            yield described
            return
        writes = [f for f in fields if f.owner == "worker"]
        if writes and not described.updateable:
            yield Finding("error", name, "The integration user may not edit this object.", f"{ADMIN} give it edit access to the object. {PROVISION}")
        if writes and fields[0].object == "csql" and not described.createable:
            yield Finding(
                "error", name, "The integration user may not create this object.", f"{ADMIN} give it create access to the object. {PROVISION}"
            )
        for field in fields:
            yield from self._field(described, field)

    def _field(self, described: SObject, field: WriteField) -> Iterator[Finding]:
        api = field.names["salesforce"]
        where = f"{described.name}.{api}"
        info = described.fields.get(api.lower())
        if info is None:
            severity = "error" if field.owner == "worker" else "warning"
            yield Finding(
                severity, where, "The field is missing, or hidden from the integration user.", f"{ADMIN} create it or grant it. {PROVISION}"
            )
            return
        if info.type not in _KINDS[field.type]:
            yield Finding(
                "error", where, f"The field is a {info.type}; writeback.yml says {field.type}.", f"{ADMIN} make it a {field.type}, or map another."
            )
            return
        if field.owner == "worker":
            yield from _writable(where, field, info)
            yield from _fits(where, field, info)
        if field.external_key and field.object != "task" and api.lower() not in described.unique_keys:
            yield Finding(
                "error", where, "The field is not both External ID and Unique.", f"{ADMIN} mark it so; without it a record could be created twice."
            )


def _writable(where: str, field: WriteField, info: FieldInfo) -> Iterator[Finding]:
    if info.calculated:
        yield Finding("error", where, "The field is a formula; it cannot be written.", f"{ADMIN} make a field of type {field.type} by this name.")
    elif not (info.updateable or info.createable):
        yield Finding("error", where, "The integration user may not edit the field.", f"{ADMIN} give it edit access to the field. {PROVISION}")


def _fits(where: str, field: WriteField, info: FieldInfo) -> Iterator[Finding]:
    if field.length is not None and info.length is not None and info.length < field.length and info.type == "text":
        text = f"The field holds {info.length} characters; writeback.yml says {field.length}. Longer texts will be cut."
        yield Finding("error", where, text, f"{ADMIN} lengthen the field to {field.length}, or writeback.yml must say {info.length}.")
    if field.precision is not None and info.precision is not None:
        whole, theirs = field.precision - (field.scale or 0), info.precision - (info.scale or 0)
        if theirs < whole or (info.scale or 0) < (field.scale or 0):
            text = f"The field holds {theirs} digits and {info.scale or 0} decimals; writeback.yml says {whole} and {field.scale or 0}."
            yield Finding("error", where, text, f"{ADMIN} widen the field to what writeback.yml says.")
    if field.type in (FieldType.PICKLIST, FieldType.MULTI_PICKLIST) and info.restricted:
        missing = [v.value for v in field.values if v.value not in info.picklist]
        if missing:
            text = f"The restricted picklist lacks the active values {', '.join(missing)}."
            yield Finding("error", where, text, f"{ADMIN} add them to the picklist, or activate them.")
