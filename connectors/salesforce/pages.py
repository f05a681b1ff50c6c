"""Records as columns of a raw page: every column text, named by the mapping's field path, instants as `2026-01-05T03:41:05.000Z`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

_OFFSET = re.compile(r"([+-])0000$")


def table_of(records: Sequence[Mapping[str, Any]], columns: Mapping[str, str], instants: frozenset[str]) -> pa.Table:
    """JSON records as a page. `columns`: page column -> API path; `instants`: the page columns that hold instants."""
    return pa.table({name: pa.array(_values(records, path, name in instants), pa.string()) for name, path in columns.items()})


def _values(records: Sequence[Mapping[str, Any]], path: str, is_instant: bool) -> Iterator[str | None]:
    steps = path.split(".")
    for record in records:
        value: Any = record
        for step in steps:
            value = value.get(step) if isinstance(value, Mapping) else None  # a lookup that is empty: "Account": null
        yield _as_text(value, is_instant)


def _as_text(value: Any, is_instant: bool) -> str | None:
    if value is None or value == "":
        return None  # Bulk CSV cannot tell the two apart, so neither do we
    if value is True or value is False:
        return "true" if value else "false"
    text = str(value).replace("\x00", "")
    return _OFFSET.sub("Z", text) if is_instant else text
