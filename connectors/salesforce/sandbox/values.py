"""Stored values as the REST API shows them."""

from __future__ import annotations

from typing import Any

from connectors.salesforce.sandbox.schema import FieldDef


def out(item: FieldDef, value: Any) -> Any:
    """A stored value as JSON: checkboxes as booleans, numbers as decimals."""
    if item.type == "boolean":
        return bool(value)
    if value is None:
        return None
    if item.is_number:
        return float(value)
    return value
