"""Texts with slots: `{column}` or `{column:format}`. `parse` splits a text once; the worker compiles it to SQL.

| format | of | en | ja |
|---|---|---|---|
| int | numbers, half-even | 1,234 | 1,234 |
| dec1 | numbers, one decimal | 12.5 | 12.5 |
| percent | numbers, whole, half-even | -38% | -38% |
| money | amounts, whole, half-even | 120,000 | 120,000 |
| date | dates | 18 Sep 2026 | 2026/9/18 |
| month | dates | November 2026 | 2026年11月 |
| text | words as they are | | |

Without a format: text for words, int for whole numbers, dec1 for fractions, money for amounts, date for dates. A slot without a value shows as `–`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mappings.columns import ACCOUNT_PRODUCTS, ACCOUNTS, ALERT_SLOTS, CSQL_SLOTS, INDICATOR_SLOTS, LIFT_SLOTS, PRIORITY, RESULTS, Column
from mappings.columns_sales import DEAL_SLOTS, DEALS

#: format -> most characters it can take (chosen: 12 digits with separators and sign; a picklist word; September 2026)
WIDTHS = {"text": 40, "int": 16, "dec1": 18, "percent": 8, "money": 16, "date": 11, "month": 14}
_KINDS = {
    "text": ("text",),
    "int": ("number",),
    "dec1": ("number",),
    "percent": ("number",),
    "money": ("number",),
    "date": ("date",),
    "month": ("date",),
}
_PIECE = re.compile(r"\{(?P<slot>[^{}]*)\}|[{}]")
_SLOT = re.compile(r"(?P<column>[a-z][a-z0-9_]*)(?::(?P<format>[^:]*))?")


@dataclass(frozen=True)
class Slot:
    """A place that takes a column of the row. `format` is one of WIDTHS, or empty for the column type's own."""

    column: str
    format: str = ""


Part = str | Slot


class TextFault(ValueError):
    """A text cannot be split into words and slots."""


def parse(text: str) -> tuple[Part, ...]:
    """The text's parts in order: `"{a} of {b:int}"` → `(Slot("a"), " of ", Slot("b", "int"))`."""
    parts: list[Part] = []
    place = 0
    for match in _PIECE.finditer(text):
        slot = _SLOT.fullmatch(match["slot"] or "")
        if slot is None:
            raise TextFault(f"`{match[0]}` is no slot; write {{column}} or {{column:format}}")
        if match.start() > place:
            parts.append(text[place : match.start()])
        parts.append(Slot(slot["column"], slot["format"] or ""))
        place = match.end()
    return (*parts, text[place:]) if place < len(text) else tuple(parts)


def kind_of(type_: str) -> str:
    """text | number | date | flag of a DuckDB type."""
    if type_ == "BOOLEAN":
        return "flag"
    if type_ in ("DATE", "TIMESTAMPTZ"):  # an instant shows as its day
        return "date"
    return "text" if type_ == "VARCHAR" else "number"


def format_of(slot: Slot, column: Column) -> str:
    """The slot's format, or the one its column's type takes by itself."""
    if slot.format:
        return slot.format
    if column.type == "BIGINT":
        return "int"
    if column.type.startswith("DECIMAL"):
        return "money"
    return {"text": "text", "number": "dec1", "date": "date", "flag": "text"}[kind_of(column.type)]


def slot_fault(slot: Slot, columns: Mapping[str, Column]) -> str | None:
    """What is wrong with a slot whose column exists; null when nothing is."""
    kind = kind_of(columns[slot.column].type)
    if kind == "flag":
        return f"`{slot.column}` is yes/no and cannot be shown in a text"
    if slot.format and slot.format not in WIDTHS:
        return f"unknown format `{slot.format}` (known: {', '.join(WIDTHS)})"
    if slot.format and kind not in _KINDS[slot.format]:
        return f"format `{slot.format}` does not fit `{slot.column}`, which is {columns[slot.column].type}"
    return None


def widths(parts: tuple[Part, ...], columns: Mapping[str, Column]) -> tuple[int, int]:
    """(characters of the words alone, most characters with every slot filled)."""
    words = sum(len(part) for part in parts if isinstance(part, str))
    slots = sum(WIDTHS[format_of(part, columns[part.column])] for part in parts if isinstance(part, Slot))
    return words, words + slots


#: where a text stands -> columns its slots may name
SLOTS: dict[str, dict[str, Column]] = {
    "indicator": ACCOUNTS | INDICATOR_SLOTS,
    "lift": ACCOUNTS | LIFT_SLOTS,
    "cap": ACCOUNTS | {"main_product_title": INDICATOR_SLOTS["main_product_title"]},
    "csql": ACCOUNTS | ACCOUNT_PRODUCTS | RESULTS | CSQL_SLOTS,
    "priority": ACCOUNTS | RESULTS | PRIORITY,
    "alert": ACCOUNTS
    | RESULTS
    | {"main_product_title": INDICATOR_SLOTS["main_product_title"]}
    | {"overdue_steps_title": Column("VARCHAR", "crm", "overdue onboarding steps")}
    | ALERT_SLOTS,
    "deal": DEALS | DEAL_SLOTS,
    "plain": {},  # no slot: titles and actions that stand inside other texts
}
