"""From what a client writes into a property to what is stored, with the refusals of section 6.2 of the sheet."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from connectors.hubspot.sandbox.definitions import Property
from connectors.hubspot.sandbox.errors import BadValue

if TYPE_CHECKING:
    from connectors.hubspot.sandbox.state import State

MAX_TEXT = 65_536
DAY_MS = 86_400_000
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(ms: int) -> str:
    """Epoch milliseconds as HubSpot writes them."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def parse_moment(text: str) -> int | None:
    """Epoch milliseconds of a number or an ISO-8601 text (no zone means UTC); None when it is neither."""
    if re.fullmatch(r"-?\d{1,17}", text) and not _DATE.fullmatch(text):
        value = int(text)
        return value if abs(value) < 253_402_300_800_000 else None
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def parse_day(text: str) -> tuple[str | None, str]:
    """A calendar day `YYYY-MM-DD`, or None and the reason."""
    if _DATE.fullmatch(text):
        try:
            return datetime.strptime(text, "%Y-%m-%d").date().isoformat(), ""
        except ValueError:
            return None, f"{text} was not a valid date."
    ms = parse_moment(text)
    if ms is None:
        return None, f"{text} was not a valid date."
    if ms % DAY_MS:
        moment = _EPOCH + timedelta(milliseconds=ms)
        return None, f"{ms} is at {moment.hour}:{moment.minute}:{moment.second}.{ms % 1000} UTC, not midnight!"
    return iso(ms)[:10], ""


def as_text(value: Any) -> str | None:
    """A JSON scalar as text; None for lists and objects."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value) if isinstance(value, int) or not value.is_integer() else str(int(value))
    return value if isinstance(value, str) else None


class Validator:
    """Checks values for one request; caches the options that live outside definitions."""

    def __init__(self, state: State, *, strict: bool) -> None:
        self.state = state
        self.strict = strict
        self.now = state.now().timestamp()
        self._outside: dict[str, list[str]] = {}

    def check(self, item: Property | None, name: str, value: Any, old: str | None) -> tuple[str | None, BadValue | None]:
        """The text to store (None clears) or the refusal. `old` is the stored value, for appending to a checkbox."""
        if item is None or item.visible > self.now:
            return None, BadValue(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
        if item.calculated or item.read_only:
            kind = "calculated" if item.calculated else "read only"
            return None, BadValue(name, "READ_ONLY_VALUE", f'"{name}" is a {kind} property; its value cannot be set.')
        if value is None or value == "":
            return None, None
        text = as_text(value)
        if text is None:
            return None, BadValue(name, "INVALID_VALUE", f"{name} must be a string")
        return self._typed(item, text, old)

    def _typed(self, item: Property, text: str, old: str | None) -> tuple[str | None, BadValue | None]:
        name = item.name
        if item.type == "number":
            if _NUMBER.fullmatch(text.strip()) is None or not math.isfinite(float(text)):
                return None, BadValue(name, "INVALID_INTEGER", f"{name} was not a valid number")
            return text.strip(), None
        if item.type in ("enumeration", "bool"):
            return self._chosen(item, text, old)
        if item.type == "date":
            day, reason = parse_day(text)
            return day, None if day else BadValue(name, "INVALID_DATE", reason)
        if item.type == "datetime":
            return self._moment(name, text)
        if item.email:
            if _EMAIL.fullmatch(text.strip()) is None:
                return None, BadValue(name, "INVALID_EMAIL", f"Email address {text} is invalid")
            return text.strip().lower(), None
        if len(text) > MAX_TEXT:
            return None, BadValue(name, "VALUE_TOO_LONG", f"{name} is {len(text)} characters long; at most {MAX_TEXT} are allowed")
        return text, None

    def _moment(self, name: str, text: str) -> tuple[str | None, BadValue | None]:
        ms = parse_moment(text)
        if ms is None:
            return None, BadValue(name, "INVALID_LONG", f"{text} was not a valid long.")
        # Ten digits read as milliseconds fall into January 1970: almost surely seconds.
        if self.strict and text.isdigit() and len(text) == 10:
            return None, BadValue(name, "INVALID_DATE", f"{text} looks like seconds; milliseconds are needed")
        return iso(ms), None

    def _chosen(self, item: Property, text: str, old: str | None) -> tuple[str | None, BadValue | None]:
        if item.source == "external":
            return text, None
        allowed = self._allowed(item)
        if item.type == "bool" or item.body["fieldType"] == "booleancheckbox":
            text = text.lower()
        many = item.body["fieldType"] == "checkbox"
        chosen = [part for part in text.split(";") if part] if many else [text]
        for part in chosen:
            if part not in allowed:
                return None, BadValue(item.name, "INVALID_OPTION", f"{part} was not one of the allowed options: [{', '.join(allowed)}]")
        if many and text.startswith(";"):
            chosen = [*(old or "").split(";"), *chosen]
        return ";".join(dict.fromkeys(part for part in chosen if part)) or None, None

    def _allowed(self, item: Property) -> list[str]:
        if not item.source:
            return item.options
        key = f"{item.source} {item.body['groupName']}"
        if key not in self._outside:
            self._outside[key] = self.state.outside_options(item)
        return self._outside[key]
