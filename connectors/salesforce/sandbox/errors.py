"""The errors an org answers with, as one exception and as per-row results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class SalesforceError(Exception):
    """A whole-request refusal: becomes `[{"message", "errorCode", "fields"?}]` with the given HTTP status."""

    def __init__(self, code: str, message: str, *, status: int = 400, fields: tuple[str, ...] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.fields = fields

    def body(self) -> list[dict[str, Any]]:
        """The JSON array of the REST error answer."""
        entry: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            entry["fields"] = list(self.fields)
        return [entry]


@dataclass(frozen=True, slots=True)
class RowError:
    """Why one record was refused: `statusCode`, message and the API names of the fields at fault."""

    code: str
    message: str
    fields: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The shape used inside Collections results."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields)}

    def as_csv(self) -> str:
        """The text of `sf__Error` in Bulk 2.0: `CODE:message:field list --`."""
        names = ",".join(self.fields)
        return f"{self.code}:{self.message}:{names} --" if names else f"{self.code}:{self.message}:--"


@dataclass(slots=True)
class RowResult:
    """The outcome for one input row, in input order; `id` is None for a refused insert."""

    id: str | None
    success: bool
    created: bool = False
    errors: list[RowError] = field(default_factory=list)


ROLLED_BACK = RowError(
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone header",
)


def not_found() -> SalesforceError:
    """404 for a path or a record that does not exist."""
    return SalesforceError("NOT_FOUND", "The requested resource does not exist", status=404)


def no_such_column(name: str, object_name: str) -> RowError:
    """A field that is unknown to the API on a write."""
    return RowError("INVALID_FIELD", f"No such column '{name}' on sobject of type {object_name}")
