"""Random WHERE trees over random rows agree with a small evaluator that shares no code with the compiler.

The rule of nulls it follows (SOQL and SOSL Reference, "Use null in WHERE", "Comparison Operators"): a comparison is true or false, never
unknown. null equals null only, differs from every value, is not less, greater or LIKE anything; a boolean null, or the boolean of a missing
parent, is false; NOT inverts.
"""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.salesforce.sandbox.soql_result import execute
from connectors.salesforce.sandbox.state import State

Row = dict[str, Any]
Tree = tuple[str, Callable[[Row], bool]]
WORDS = ["", "alpha", "Beta", "BETA b", "a_b", "a%b", "it's"]
DAYS = ["2026-01-01", "2026-02-28", "2026-03-01"]
TIMES = ["2026-01-01T00:00:00Z", "2026-01-01T09:00:00+09:00", "2026-06-30T23:59:59Z"]
UTC_TIMES = {TIMES[0]: "2026-01-01T00:00:00", TIMES[1]: "2026-01-01T00:00:00", TIMES[2]: "2026-06-30T23:59:59"}
NUMBERS = [-1.5, 0.0, 2.0, 10.25]
FIELDS: dict[str, str] = {
    "Name": "text", "SerialNumber": "text", "Account.Name": "text", "Price": "number", "Quantity": "number",
    "InstallDate": "date", "CreatedDate": "datetime", "IsCompetitorProduct": "boolean", "Account.IsDeleted": "boolean",
}  # fmt: skip


class Table:
    """Sixty assets as the evaluator sees them, and the same in a sandbox state."""

    def __init__(self, path: Path) -> None:
        chance = random.Random(7)
        self.state = State(path / "org.db")
        self.user = self.state.user("admin")
        accounts = self.state.bulk_load("Account", [{"Name": name} for name in WORDS if name])
        names = dict(zip(accounts, [name for name in WORDS if name], strict=True))
        self.rows: list[Row] = []
        stored = []
        for number in range(60):
            account = chance.choice([None, *accounts])
            row = {
                "Name": chance.choice(WORDS) or "x", "SerialNumber": chance.choice(WORDS) or None, "Price": chance.choice([None, *NUMBERS]),
                "Quantity": chance.choice([None, *NUMBERS]), "InstallDate": chance.choice([None, *DAYS]),
                "CreatedDate": chance.choice([*UTC_TIMES.values()]) + ".000+0000", "IsCompetitorProduct": chance.choice([True, False]),
            }  # fmt: skip
            stored.append(row | {"AccountId": account})
            parent = {"Account.Name": names[account] if account else None, "Account.IsDeleted": False if account else None}
            self.rows.append(row | parent | {"CreatedDate": row["CreatedDate"][:19], "number": number})
        self.ids = self.state.bulk_load("Asset", stored)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return Table(tmp_path_factory.mktemp("assets"))


def quoted(text: str) -> str:
    return "'" + text.replace("'", "\\'") + "'"


def literal(kind: str) -> st.SearchStrategy[tuple[str, Any]]:
    """(SOQL text, value to compare with)"""
    if kind == "text":
        return st.sampled_from(WORDS).map(lambda word: (quoted(word), word.lower() or None))
    if kind == "number":
        return st.sampled_from(NUMBERS).map(lambda number: (str(number), number))
    if kind == "date":
        return st.sampled_from(DAYS).map(lambda day: (day, day))
    if kind == "datetime":
        return st.sampled_from(TIMES).map(lambda moment: (moment, UTC_TIMES[moment]))
    return st.sampled_from([("true", True), ("false", False)])


def seen(row: Row, name: str) -> Any:
    value = row[name]
    if FIELDS[name] == "boolean":
        return bool(value)
    return value.lower() if FIELDS[name] == "text" and value is not None else value


def compared(operator: str, left: Any, right: Any) -> bool:
    if operator == "=":
        return bool(left == right)
    if operator == "!=":
        return bool(left != right)
    if left is None or right is None:
        return False
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator]


@st.composite
def comparison(draw: st.DrawFn) -> Tree:
    name = draw(st.sampled_from(list(FIELDS)))
    kind = FIELDS[name]
    shape = draw(st.sampled_from(["compare", "compare", "null", "in", "like"]))
    if shape == "null":
        operator = draw(st.sampled_from(["=", "!="]))
        absent = False if kind == "boolean" else None
        return f"{name} {operator} null", lambda row: compared(operator, seen(row, name), absent)
    if shape == "in" and kind != "boolean":
        items = draw(st.lists(literal(kind), min_size=1, max_size=3))
        word = draw(st.sampled_from(["IN", "NOT IN"]))
        values = [value for _, value in items]
        return f"{name} {word} ({', '.join(text for text, _ in items)})", lambda row: (seen(row, name) in values) is (word == "IN")
    if shape == "like" and kind == "text":
        pattern = draw(st.sampled_from(["%b%", "a_b", "a\\_b", "%\\%%", "BETA%", "_lpha", "%"]))
        regex = re.compile(
            "".join({"%": ".*", "_": "."}.get(part, re.escape(part[-1])) for part in re.findall(r"\\.|.", pattern)), re.IGNORECASE | re.DOTALL
        )
        return f"{name} LIKE '{pattern}'", lambda row: row[name] is not None and regex.fullmatch(row[name]) is not None
    operator = draw(st.sampled_from(["=", "!="] if kind == "boolean" else ["=", "!=", "<", "<=", ">", ">="]))
    text, value = draw(literal(kind))
    return f"{name} {operator} {text}", lambda row: compared(operator, seen(row, name), value)


def joined(parts: list[Tree], word: str) -> Tree:
    choose = all if word == "AND" else any
    return f" {word} ".join(f"({text})" for text, _ in parts), lambda row: choose(test(row) for _, test in parts)


def grown(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    several = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        several.map(lambda parts: joined(parts, "AND")),
        several.map(lambda parts: joined(parts, "OR")),
        inner.map(lambda tree: (f"NOT ({tree[0]})", lambda row: not tree[1](row))),
    )


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.recursive(comparison(), grown, max_leaves=8))
def test_where_trees_agree_with_the_evaluator(table: Table, tree: Tree) -> None:
    text, test = tree
    found = {row["Id"] for row in execute(table.state, table.user, f"SELECT Id FROM Asset WHERE {text}", api_path="/services/data/v62.0").records}
    expected = {record_id for record_id, row in zip(table.ids, table.rows, strict=True) if test(row)}
    assert found == expected, text
