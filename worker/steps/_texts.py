"""Texts on records, compiled from the slots of the mapping files to SQL.

Dates always carry their year and counts never a unit of ours, so that no text changes because a day or a year went by.
"""

import re
from collections.abc import Mapping, Sequence

from mappings.columns import ACCOUNT_PRODUCTS, ACCOUNTS, CSQL_SLOTS, INDICATOR_SLOTS, RESULTS
from worker.sql import ident, literal

_SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")

#: Types of every column a slot can name.
TYPES: dict[str, str] = {name: c.type for group in (ACCOUNTS, ACCOUNT_PRODUCTS, RESULTS, INDICATOR_SLOTS, CSQL_SLOTS) for name, c in group.items()}

_UNKNOWN = "–"


def text_sql(template: str, language: str, columns: Mapping[str, str] | None = None) -> str:
    """A text as an SQL expression over a row. `columns`: slot -> expression, where it is not simply the column of that name.

    A slot without a value reads as a dash; the text itself is never null.
    """
    parts: list[str] = []
    last = 0
    for slot in _SLOT.finditer(template):
        if slot.start() > last:
            parts.append(literal(template[last : slot.start()]))
        name, form = slot[1], slot[2] or _default_format(TYPES.get(slot[1], "VARCHAR"))
        expr = (columns or {}).get(name) or ident(f"{name}_{language}" if name.endswith("_title") else name)
        parts.append(f"coalesce({_formatted_sql(expr, form, language)}, '{_UNKNOWN}')")
        last = slot.end()
    if last < len(template) or not parts:
        parts.append(literal(template[last:]))
    return "(" + " || ".join(parts) + ")"


def _default_format(kind: str) -> str:
    if kind == "DATE":
        return "date"
    if kind == "BIGINT":
        return "int"
    if kind == "DOUBLE":
        return "dec1"
    return "money" if kind.startswith("DECIMAL") else "text"


def _formatted_sql(expr: str, form: str, language: str) -> str:
    if form == "int":
        return f"format('{{:,}}', CAST(round_even({expr}, 0) AS BIGINT))"
    if form == "money":
        return f"format('{{:,}}', CAST(round_even(CAST({expr} AS DOUBLE), 0) AS BIGINT))"
    if form == "dec1":
        return f"format('{{:.1f}}', CAST({expr} AS DOUBLE))"
    if form == "percent":
        return f"(CAST(CAST(round_even({expr}, 0) AS BIGINT) AS VARCHAR) || '%')"
    if form == "date":
        return f"strftime({expr}, '{'%Y/%-m/%-d' if language == 'ja' else '%-d %b %Y'}')"
    if form == "month":
        return f"strftime({expr}, '{'%Y年%-m月' if language == 'ja' else '%B %Y'}')"
    return f"CAST({expr} AS VARCHAR)"


def case_sql(on: str, branches: Sequence[tuple[str, str]]) -> str:
    """A CASE over literal values: only the branch of a row is evaluated for it. Null where none fits."""
    if not branches:
        return "CAST(NULL AS VARCHAR)"
    return f"(CASE {on} " + " ".join(f"WHEN {literal(key)} THEN {expr}" for key, expr in branches) + " END)"


def joined_sql(items: Sequence[str], separator: str) -> str:
    """Texts that are not null, joined; null when all are."""
    if not items:
        return "CAST(NULL AS VARCHAR)"
    return f"nullif(array_to_string(list_filter([{', '.join(items)}], lambda x: x IS NOT NULL), {literal(separator)}), '')"
