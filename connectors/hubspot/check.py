"""Preflight: everything that would make a run fail or degrade, found at once, each finding with who must do what. Touches nothing."""

from collections.abc import Iterator, Sequence

from connectors.base import FieldInfo, Finding
from connectors.errors import Misfit, NotAllowed, QuotaSpent
from connectors.hubspot.client import Portal
from connectors.hubspot.errors import ADMIN, PROVISION
from connectors.hubspot.names import ObjectNames
from connectors.hubspot.objects import Objects, ObjectType
from connectors.pages import mapped_fields
from mappings.models import FieldType, Source, WriteField

_NUMBER = ("number",)
_KINDS = {
    FieldType.NUMBER: _NUMBER, FieldType.PERCENT: _NUMBER, FieldType.CURRENCY: _NUMBER, FieldType.TEXT: ("text",),
    FieldType.LONG_TEXT: ("text",), FieldType.PICKLIST: ("picklist", "text"),
    FieldType.MULTI_PICKLIST: ("multipicklist",), FieldType.CHECKBOX: ("checkbox",), FieldType.DATE: ("date",),
    FieldType.DATETIME: ("datetime",), FieldType.LOOKUP: ("lookup",),
}  # fmt: skip
#: Below this share of the daily calls left, a run may not come to its end today. Chosen.
LOW_SHARE = 0.1
USAGE = "/account-info/v3/api-usage/daily/private-apps"


class Preflight:
    """Checks one account against sources and fields."""

    def __init__(self, portal: Portal, objects: Objects, object_names: ObjectNames) -> None:
        self._portal, self._objects, self._names = portal, objects, object_names

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
            rows = self._portal.get("limits", USAGE).get("results") or []
        except QuotaSpent:
            raise
        except (Misfit, NotAllowed) as error:
            if error.status != 403:
                raise
            return  # OAuth apps have no daily limit of their own, and may not ask
        for row in rows:
            most, used = int(row.get("usageLimit") or 0), int(row.get("currentUsage") or 0)
            if most and most - used < most * LOW_SHARE:
                text = f"Only {most - used} of {most} daily API calls are left."
                yield Finding("warning", "limits", text, f"{ADMIN} find what uses them, or the run pauses until midnight in the account's time zone.")

    def _object(self, name: str) -> ObjectType | Finding:
        try:
            return self._objects.get(name)
        except Misfit as error:
            return Finding("error", name, error.text, error.remedy)

    def _source(self, source: Source) -> Iterator[Finding]:
        described = self._object(source.object)
        if isinstance(described, Finding):
            yield described
            return
        if source.filter is not None:
            text = "The source has a filter; HubSpot's lists cannot filter."
            yield Finding("error", source.object, text, "An admin of scoresync must drop it and tell the records apart in a column, as `status`.")
        for path in mapped_fields(source, ()):
            if not self._objects.has(source.object, path):
                yield Finding(
                    "warning",
                    f"{source.object}.{path}",
                    "The mapped property is missing, or hidden from the token: it is read as unknown, without its indicators.",
                    f"{ADMIN} create it or add the scope; or an admin of scoresync takes it out of the CRM mapping.",
                )

    def _target(self, name: str, fields: Sequence[WriteField]) -> Iterator[Finding]:
        described = self._object(name)
        if isinstance(described, Finding):
            yield described
            return
        for field in fields:
            if field.owner != "crm":  # formulas are left out in HubSpot
                yield from self._field(described, field)

    def _field(self, described: ObjectType, field: WriteField) -> Iterator[Finding]:
        api = field.names.get("hubspot", field.key)
        where = f"{described.name}.{api}"
        info = described.fields.get(api.lower())
        if info is None:
            severity = "error" if field.owner == "worker" else "warning"
            yield Finding(severity, where, "The property is missing.", f"{ADMIN} create it. {PROVISION}")
            return
        if info.type not in _KINDS[field.type]:
            text = f"The property is a {info.type}; writeback.yml says {field.type}."
            yield Finding("error", where, text, f"{ADMIN} delete it and let `scoresync provision` create it, or map another.")
            return
        if field.owner == "worker":
            yield from _fits(where, field, info)
        if field.external_key and api not in described.unique:
            text = "The property's values need not be unique."
            yield Finding("error", where, text, f"{ADMIN} delete it and let `scoresync provision` create it: uniqueness is set only then.")


def _fits(where: str, field: WriteField, info: FieldInfo) -> Iterator[Finding]:
    if not (info.updateable or info.createable):
        yield Finding("error", where, "The property is calculated or read-only.", f"{ADMIN} make a property of type {field.type} by this name.")
    missing = [v.value for v in field.values if v.value not in info.picklist] if info.type in ("picklist", "multipicklist") else []
    if missing:
        yield Finding("error", where, f"The property lacks the options {', '.join(missing)}.", f"{ADMIN} add them to the property.")
