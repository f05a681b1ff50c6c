"""Texts on records, compiled from the slots of the mapping files to SQL.

Dates always carry their year and counts never a unit of ours, so that no text changes because a day or a year went by.
"""

from collections.abc import Mapping, Sequence

from mappings.columns import Column
from mappings.texts import SLOTS, Slot, format_of, parse
from worker.sql import ident, literal, query_sql

#: Every column that a slot of any text can name.
COLUMNS: dict[str, Column] = {name: column for group in SLOTS.values() for name, column in group.items()}

_UNKNOWN = "–"


def text_sql(template: str, language: str, columns: Mapping[str, str] | None = None) -> str:
    """A text as an SQL expression over a row. `columns`: slot -> expression, where it is not simply the column of that name.

    A slot without a value reads as a dash; the text itself is never null.
    """
    parts = [_slot_sql(part, language, columns or {}) if isinstance(part, Slot) else literal(part) for part in parse(template)]
    return "(" + " || ".join(parts) + ")"


def _slot_sql(slot: Slot, language: str, columns: Mapping[str, str]) -> str:
    column = COLUMNS.get(slot.column, Column("VARCHAR", "crm", slot.column))
    expr = columns.get(slot.column) or ident(f"{slot.column}_{language}" if slot.column.endswith("_title") else slot.column)
    return f"coalesce({_formatted_sql(expr, format_of(slot, column), language)}, '{_UNKNOWN}')"


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


def case_sql(on: str, branches: Sequence[tuple[str, str]], kind: str = "VARCHAR") -> str:
    """A CASE over literal values: only the branch of a row is evaluated for it. Null where none fits."""
    if not branches:
        return f"CAST(NULL AS {kind})"
    return f"(CASE {on} " + " ".join(f"WHEN {literal(key)} THEN {expr}" for key, expr in branches) + " END)"


def joined_sql(items: Sequence[str], separator: str) -> str:
    """Texts that are not null, joined; null when all are."""
    if not items:
        return "CAST(NULL AS VARCHAR)"
    return f"nullif(array_to_string(list_filter([{', '.join(items)}], lambda x: x IS NOT NULL), {literal(separator)}), '')"


def holds_sql(condition: str) -> str:
    """A condition of the mappings; unknown and failing do not hold."""
    return f"coalesce(TRY(CAST(({condition}) AS BOOLEAN)), false)"


def told_sql(table: str, rules: Sequence[tuple[str, Mapping[str, str]]], columns: Sequence[str]) -> str:
    """Statement that makes a temp table (account_id, *columns) of what holds over d_row. `rules`: condition, and SQL of each column where it holds.

    Texts are evaluated only where their condition holds.
    """
    if not rules:
        return f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {', '.join(f'NULL::VARCHAR AS {c}' for c in ('account_id', *columns))} WHERE false"
    said = []
    for when, texts in rules:
        struct = ", ".join(f"'{c}': CAST({texts[c]} AS VARCHAR)" for c in columns)
        said.append(f"CASE WHEN {when} THEN {{{struct}}} END")
    return query_sql("decide", "told", table=table, rules=", ".join(said))
