"""Builds queries: every literal is escaped, every name is checked, and no query is longer than the URL allows."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote_plus

from connectors.errors import Misfit

#: URI and headers together may have 16,384 bytes (sheet, 2.4); the rest is left to host, path, token and headers.
URL_BYTES = 12_000
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*){0,5}")
_ESCAPES = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def text(value: str) -> str:
    """A text as a SOQL literal."""
    return "'" + "".join(_ESCAPES.get(c, c) for c in value) + "'"


def instant(value: datetime) -> str:
    """An instant as a SOQL literal, always UTC with milliseconds; a naive one is refused."""
    if value.tzinfo is None:
        raise ValueError("a datetime without a time zone cannot be used in a query")
    value = value.astimezone(UTC)
    return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"


def name(path: str) -> str:
    """A field path or object name, if it is one; else Misfit (it would be joined into a query)."""
    if not _NAME.fullmatch(path):
        raise Misfit(f"{path!r} is no Salesforce name.", remedy="An admin must correct it in the CRM mapping.")
    return path


def select(fields: Sequence[str], object_name: str, conditions: Sequence[str], order: Sequence[str] = ()) -> str:
    """A SELECT; each condition is put in parentheses, since AND and OR may not be mixed without them."""
    where = f" WHERE {' AND '.join(f'({c})' for c in conditions)}" if conditions else ""
    ordered = f" ORDER BY {', '.join(order)}" if order else ""
    return f"SELECT {', '.join(name(f) for f in fields)} FROM {name(object_name)}{where}{ordered}"


def window(stamp: str, since: datetime | None, until: datetime) -> list[str]:
    """Conditions of [since, until) on the modification stamp."""
    return ([] if since is None else [f"{stamp} >= {instant(since)}"]) + [f"{stamp} < {instant(until)}"]


def after(stamp: str, seen_at: str, seen_id: str) -> str:
    """The keyset condition: what comes after the last row seen, ordered by (stamp, Id). `seen_at` is a literal as Salesforce gave it, in UTC."""
    return f"({stamp} = {seen_at} AND Id > {text(seen_id)}) OR ({stamp} > {seen_at})"


def among(path: str, values: Sequence[str]) -> str:
    """`path IN (…)`."""
    return f"{name(path)} IN ({', '.join(text(v) for v in values)})"


def url_bytes(query: str) -> int:
    """What a query takes in a URL, encoded."""
    return len(quote_plus(query))


def split_fields(always: Sequence[str], fields: Sequence[str], rest_bytes: int) -> list[list[str]]:
    """Fields in as few groups as the URL allows, each led by `always`. `rest_bytes`: what the query needs besides its fields."""
    groups: list[list[str]] = [[]]
    room = URL_BYTES - rest_bytes - sum(len(f) + 5 for f in always)
    left = room
    for field in fields:
        cost = len(field) + 5  # the comma and the space, encoded
        if cost > left and groups[-1]:
            groups.append([])
            left = room
        groups[-1].append(field)
        left -= cost
    return [[*always, *group] for group in groups]


def chunks(path: str, values: Sequence[str], reserve_bytes: int) -> list[list[str]]:
    """Values in as few IN lists as the URL allows beside `reserve_bytes`. Each list holds at least one."""
    room = URL_BYTES - reserve_bytes - len(path) - 20
    parts: list[list[str]] = [[]]
    left = room
    for value in values:
        cost = url_bytes(text(value)) + 4  # comma (%2C) and space
        if cost > left and parts[-1]:
            parts.append([])
            left = room
        parts[-1].append(value)
        left -= cost
    return parts if parts[0] else []
