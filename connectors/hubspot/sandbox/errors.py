"""The errors HubSpot answers with, as one exception (reference: hubspot-api.md, sections 1.3, 2.7 and 6)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import orjson

JSON = dict[str, Any]


class HubSpotError(Exception):
    """A whole-request refusal. `category` None leaves the key out, as live answers of some paths do; `extra` adds top-level keys."""

    def __init__(self, status: int, message: str, category: str | None = "VALIDATION_ERROR", **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.category = category
        self.extra = extra

    def body(self) -> JSON:
        """The JSON object of the answer."""
        found: JSON = {"status": "error", "message": self.message, "correlationId": correlation_id()}
        found |= {key: value for key, value in self.extra.items() if value is not None}
        if self.category is not None:
            found["category"] = self.category
        return found


@dataclass(frozen=True, slots=True)
class BadValue:
    """Why one property value was refused."""

    name: str
    code: str
    message: str


@dataclass(slots=True)
class RowError:
    """Why one input of a batch was refused. `status` is the HTTP status a single call would get; `values` the properties at fault."""

    message: str
    category: str = "VALIDATION_ERROR"
    status: int = 400
    sub_category: str | None = None
    context: JSON = field(default_factory=dict)
    values: list[BadValue] = field(default_factory=list)

    def as_error(self) -> HubSpotError:
        """The refusal of a whole request for this reason."""
        errors = [{"message": item.message, "code": item.code, "context": {"propertyName": [item.name]}} for item in self.values]
        return HubSpotError(
            self.status, self.message, self.category, errors=errors or None, subCategory=self.sub_category, context=self.context or None
        )

    def as_entry(self, trace_id: str | None) -> JSON:
        """The entry in the `errors` array of a 207 answer."""
        context = dict(self.context)
        if trace_id is not None:
            context["objectWriteTraceId"] = [trace_id]
        entry: JSON = {"status": "error", "category": self.category, "message": self.message, "context": context}
        if self.sub_category is not None:
            entry["subCategory"] = self.sub_category
        if self.values:
            entry["errors"] = [{"message": item.message, "code": item.code, "context": {"propertyName": [item.name]}} for item in self.values]
        return entry


def correlation_id() -> str:
    """A fresh id in the vendor's format."""
    raw = secrets.token_hex(16)
    return f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"


def invalid_values(values: list[BadValue], portal: int) -> RowError:
    """The refusal of one record's property values, with the vendor's list inside the message."""
    entries = [
        {
            "isValid": False, "message": item.message, "error": item.code, "name": item.name,
            "localizedErrorMessage": item.message, "portalId": portal,
        }
        for item in values
    ]  # fmt: skip
    return RowError(f"Property values were not valid: {orjson.dumps(entries).decode()}", values=values)


def resource_not_found() -> HubSpotError:
    """404 for a record (or path) that is not there; live answers carry no category."""
    return HubSpotError(404, "resource not found", None)


def bad_json(detail: str) -> HubSpotError:
    """400 for a body that is no JSON of the expected kind."""
    return HubSpotError(400, f"Invalid input JSON: {detail}")
