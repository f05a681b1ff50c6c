"""From what a client sends to what a column stores, with the vendor's refusals (field type by field type)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from connectors.salesforce.sandbox.errors import RowError, SalesforceError
from connectors.salesforce.sandbox.ids import to18
from connectors.salesforce.sandbox.schema import FieldDef

Converter = Callable[[Any], Any]
STAMP = "%Y-%m-%dT%H:%M:%S.000+0000"
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_DATETIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:?\d\d)")
_TIME = re.compile(r"\d\d:\d\d(?::\d\d(?:\.\d{3})?)?Z?")
_TOKENS = {bool: "VALUE_TRUE", int: "VALUE_NUMBER_INT", float: "VALUE_NUMBER_FLOAT", str: "VALUE_STRING", dict: "START_OBJECT", list: "START_ARRAY"}


class RowRefused(Exception):
    """One value refuses its row."""

    def __init__(self, error: RowError) -> None:
        super().__init__(error.message)
        self.error = error


def refuse(code: str, message: str, *fields: str) -> RowRefused:
    """Builds the refusal of a row."""
    return RowRefused(RowError(code, message, fields))


def converter(item: FieldDef, source: str) -> Converter:
    """The function that turns a sent value into a stored one. It raises `RowRefused`, or for JSON of the wrong type `SalesforceError`."""

    def wrong(value: Any) -> Exception:
        if source == "csv":
            return refuse("INVALID_TYPE_ON_FIELD_IN_RECORD", f"{item.label}: value not of required type: {value}", item.name)
        token = _TOKENS.get(type(value), "VALUE_NULL")
        kind = {"currency": "double", "percent": "double"}.get(item.type, item.type if not item.is_text else "string")
        return SalesforceError(
            "JSON_PARSER_ERROR",
            f"Cannot deserialize instance of {kind} from {token} value {value} or request may be missing a required field at [line:1, column:1]",
        )

    if item.type == "boolean":
        return _boolean(item, wrong)
    if item.type in ("reference", "id"):
        return _reference(item, wrong)
    if item.is_number or item.type == "int":
        return _number(item, wrong)
    if item.type == "date":
        return lambda value: _date(value, wrong)
    if item.type == "datetime":
        return lambda value: _datetime(value, wrong)
    if item.type == "time":
        return lambda value: _time(value, wrong)
    if item.picklist:
        return _picklist(item, wrong)
    return _text(item, wrong)


def _blank(value: Any) -> bool:
    return value is None or value == ""


def _boolean(item: FieldDef, wrong: Callable[[Any], Exception]) -> Converter:
    known = {True: 1, False: 0}

    def convert(value: Any) -> int:
        if value is True or value is False:
            return known[value]
        text = value.lower() if isinstance(value, str) else None
        if text in ("true", "1"):
            return 1
        if text in ("false", "0"):
            return 0
        if value is None:
            raise refuse("INVALID_TYPE_ON_FIELD_IN_RECORD", f"{item.label}: value not of required type: null", item.name)
        raise wrong(value)

    return convert


def _reference(item: FieldDef, wrong: Callable[[Any], Exception]) -> Converter:
    def convert(value: Any) -> str | None:
        if _blank(value):
            return None
        if not isinstance(value, str):
            raise wrong(value)
        found = to18(value)
        if found is None:
            raise refuse("MALFORMED_ID", f"{item.label}: id value of incorrect type: {value}", item.name)
        return found

    return convert


def _number(item: FieldDef, wrong: Callable[[Any], Exception]) -> Converter:
    whole = item.type == "int"
    step = Decimal(1).scaleb(-item.scale)
    bound = 10.0 ** (item.precision - item.scale) if not whole else 2.0**31

    def convert(value: Any) -> float | int | None:
        if _blank(value):
            return None
        if isinstance(value, str):
            value = _parse(value, wrong)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(value)
        if whole:
            if value != int(value):
                raise wrong(value)
            stored: float | int = int(value)
        else:
            stored = float(value) if isinstance(value, int) else float(Decimal(repr(value)).quantize(step, ROUND_HALF_UP))
        if abs(stored) >= bound:
            raise refuse("NUMBER_OUTSIDE_VALID_RANGE", f"{item.label}: value outside of valid range on numeric field: {value}", item.name)
        return stored

    return convert


def _parse(text: str, wrong: Callable[[Any], Exception]) -> float:
    try:
        number = float(text)
    except ValueError:
        raise wrong(text) from None
    if not math.isfinite(number):
        raise wrong(text)
    return number


def _date(value: Any, wrong: Callable[[Any], Exception]) -> str | None:
    if _blank(value):
        return None
    match = _DATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise wrong(value)
    try:
        year = date(int(match[1]), int(match[2]), int(match[3])).year
    except ValueError:
        raise wrong(value) from None
    if not 1700 <= year <= 4000:
        raise wrong(value)
    return str(value)


def _datetime(value: Any, wrong: Callable[[Any], Exception]) -> str | None:
    if _blank(value):
        return None
    match = _DATETIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise wrong(value)
    day, clock, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone == 'Z' else zone}")
    except ValueError:
        raise wrong(value) from None
    if not 1700 <= moment.year <= 4000:
        raise wrong(value)
    return f"{day}T{clock}.000+0000" if zone == "Z" else moment.astimezone(UTC).strftime(STAMP)


def _time(value: Any, wrong: Callable[[Any], Exception]) -> str | None:
    if _blank(value):
        return None
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise wrong(value)
    parts = value.rstrip("Z").split(":")
    return f"{parts[0]}:{parts[1]}:{parts[2] if len(parts) > 2 else '00'}".split(".")[0] + ".000Z"


def _text(item: FieldDef, wrong: Callable[[Any], Exception]) -> Converter:
    limit = item.length or 255

    def convert(value: Any) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            raise wrong(value)
        text = value.strip()  # the vendor trims, and keeps no empty strings
        if len(text) > limit:
            raise refuse("STRING_TOO_LONG", f"{item.label}: data value too large: {text} (max length={limit})", item.name)
        if item.type == "email" and text and "@" not in text:
            raise refuse("INVALID_EMAIL_ADDRESS", f"{item.label}: invalid email address: {text}", item.name)
        return text or None

    return convert


def _picklist(item: FieldDef, wrong: Callable[[Any], Exception]) -> Converter:
    text = _text(item, wrong)
    allowed = {entry.value for entry in item.picklist if entry.active}
    multiple = item.type == "multipicklist"

    def convert(value: Any) -> str | None:
        stored: str | None = text(value)
        if stored is None or not item.restricted:
            return stored
        for part in stored.split(";") if multiple else (stored,):
            if part not in allowed:
                raise refuse("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", f"{item.label}: bad value for restricted picklist field: {part}", item.name)
        return stored

    return convert
