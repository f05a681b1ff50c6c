"""A small part of the formula language, translated to SQLite: enough for day counts, text and date pass-through and `$Setup` values."""

from __future__ import annotations

import re
from collections.abc import Callable

from connectors.salesforce.sandbox.errors import SalesforceError
from connectors.salesforce.sandbox.schema import FieldDef, ObjectDef, column_sql, quote

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<name>\$?[A-Za-z_][\w.]*)|(?P<op><=|>=|<>|!=|==|&&|\|\||[-+*/&(),<>=!]))"
)
_COMPARE = {"=": "=", "==": "=", "<>": "<>", "!=": "<>", "<": "<", ">": ">", "<=": "<=", ">=": ">="}
Lookup = Callable[[str], ObjectDef | None]
Value = tuple[str, str]  # SQLite expression, kind (number, text, date, datetime, boolean)


def compile_formula(text: str, owner: ObjectDef, lookup: Lookup) -> str:
    """The SQLite expression (`{t}` = table alias) of a formula; refuses what it does not know as the org refuses a bad formula.

    `lookup` finds the custom setting behind `$Setup.Object.Field`.
    """
    return _Parser(text, owner, lookup).whole()


class _Parser:
    def __init__(self, text: str, owner: ObjectDef, lookup: Lookup) -> None:
        self.owner = owner
        self.lookup = lookup
        self.tokens: list[tuple[str, str]] = []
        position = 0
        stripped = re.sub(r"/\*.*?\*/", " ", text, flags=re.S).rstrip()
        while position < len(stripped):
            match = _TOKEN.match(stripped, position)
            if match is None:
                raise self.error(f"Syntax error. Found '{stripped[position:].strip()[:20]}'")
            self.tokens.append((str(match.lastgroup), match[match.lastgroup or 0]))
            position = match.end()
        self.position = 0

    def error(self, message: str) -> SalesforceError:
        return SalesforceError("FIELD_INTEGRITY_EXCEPTION", f"Error: {message}", fields=("formula",))

    def peek(self) -> str:
        return self.tokens[self.position][1] if self.position < len(self.tokens) else ""

    def take(self, expected: str | None = None) -> tuple[str, str]:
        if self.position >= len(self.tokens):
            raise self.error("Syntax error. Missing an expression")
        token = self.tokens[self.position]
        if expected is not None and token[1] != expected:
            raise self.error(f"Syntax error. Missing '{expected}'")
        self.position += 1
        return token

    def whole(self) -> str:
        sql, _ = self.either()
        if self.position < len(self.tokens):
            raise self.error(f"Syntax error. Extra '{self.peek()}'")
        return sql

    def either(self) -> Value:
        return self._chain(self.both, {"||": "OR"})

    def both(self) -> Value:
        return self._chain(self.compare, {"&&": "AND"})

    def _chain(self, inner: Callable[[], Value], operators: dict[str, str]) -> Value:
        left = inner()
        while self.peek() in operators:
            operator = operators[self.take()[1]]
            left = (f"({left[0]} {operator} {inner()[0]})", "boolean")
        return left

    def compare(self) -> Value:
        left = self.sum()
        if self.peek() in _COMPARE:
            operator = _COMPARE[self.take()[1]]
            return (f"({left[0]} {operator} {self.sum()[0]})", "boolean")
        return left

    def sum(self) -> Value:
        left = self.product()
        while self.peek() in ("+", "-", "&"):
            operator = self.take()[1]
            left = _add(left, operator, self.product())
        return left

    def product(self) -> Value:
        left = self.unary()
        while self.peek() in ("*", "/"):
            operator = self.take()[1]
            left = (
                f"({left[0]} {operator} {self.unary()[0]} * 1.0)" if operator == "*" else f"({left[0]} * 1.0 / nullif({self.unary()[0]}, 0))",
                "number",
            )
        return left

    def unary(self) -> Value:
        if self.peek() == "-":
            self.take()
            return (f"(-{self.unary()[0]})", "number")
        if self.peek() == "!":
            self.take()
            return (f"(NOT {self.unary()[0]})", "boolean")
        return self.atom()

    def atom(self) -> Value:
        kind, text = self.take()
        if text == "(":
            inner = self.either()
            self.take(")")
            return inner
        if kind == "number":
            return (text, "number")
        if kind == "text":
            plain = re.sub(r"\\(.)", r"\1", text[1:-1])
            return ("'" + plain.replace("'", "''") + "'", "text")
        if kind == "name":
            return self.call(text) if self.peek() == "(" else self.name(text)
        raise self.error(f"Syntax error. Found '{text}'")

    def name(self, text: str) -> Value:
        if text.lower() in ("true", "false"):
            return ("1" if text.lower() == "true" else "0", "boolean")
        if text.lower().startswith("$setup."):
            return self.setup(text)
        found = self.owner.get(text)
        if found is None:
            raise self.error(f"Field {text} does not exist. Check spelling.")
        return (column_sql(found, "{t}").replace('"{t}"', "{t}"), _kind(found))

    def setup(self, text: str) -> Value:
        parts = text.split(".")
        setting = self.lookup(parts[1]) if len(parts) == 3 else None
        found = setting.get(parts[2]) if setting is not None and setting.custom_setting else None
        if setting is None or found is None:
            raise self.error(f"Field {text} does not exist. Check spelling.")
        # The org-wide row of a hierarchy setting: one row holds for everybody here.
        return (f'(SELECT s.{quote(found.name)} FROM {quote(setting.name)} s WHERE s."IsDeleted" = 0 ORDER BY s."Id" LIMIT 1)', _kind(found))

    def call(self, name: str) -> Value:
        self.take("(")
        given: list[Value] = []
        while self.peek() != ")":
            given.append(self.either())
            if self.peek() == ",":
                self.take()
        self.take(")")
        known = _FUNCTIONS.get(name.upper())
        if known is None:
            raise self.error(f"Unknown function {name}. Check spelling.")
        low, high, build = known
        if not low <= len(given) <= high:
            raise self.error(f"Incorrect number of parameters for function '{name}()'. Expected {low}, received {len(given)}")
        return build(given)


def _kind(found: FieldDef) -> str:
    kinds = {"date": "date", "datetime": "datetime", "boolean": "boolean", "int": "number"}
    return "number" if found.is_number else kinds.get(found.type, "text")


def _days(value: Value) -> str:
    return f"julianday({value[0]})"


def _add(left: Value, operator: str, right: Value) -> Value:
    dated = ("date", "datetime")
    if left[1] in dated and right[1] in dated and operator == "-":
        return (f"({_days(left)} - {_days(right)})", "number")
    if left[1] in dated and operator in "+-":
        return (f"date({left[0]}, '{operator}' || CAST({right[0]} AS INTEGER) || ' days')", left[1])
    if operator == "&" or "text" in (left[1], right[1]):
        return (f"(coalesce({left[0]}, '') || coalesce({right[0]}, ''))", "text")
    return (f"({left[0]} {operator} {right[0]})", "number")


_FUNCTIONS: dict[str, tuple[int, int, Callable[[list[Value]], Value]]] = {
    "TODAY": (0, 0, lambda _: ("sf_today()", "date")),
    "NOW": (0, 0, lambda _: ("sf_now()", "datetime")),
    "ISBLANK": (1, 1, lambda v: (f"({v[0][0]} IS NULL)", "boolean")),
    "ISNULL": (1, 1, lambda v: (f"({v[0][0]} IS NULL)", "boolean")),
    "NOT": (1, 1, lambda v: (f"(NOT {v[0][0]})", "boolean")),
    "AND": (1, 99, lambda v: ("(" + " AND ".join(item[0] for item in v) + ")", "boolean")),
    "OR": (1, 99, lambda v: ("(" + " OR ".join(item[0] for item in v) + ")", "boolean")),
    "IF": (3, 3, lambda v: (f"CASE WHEN {v[0][0]} THEN {v[1][0]} ELSE {v[2][0]} END", v[1][1] if v[1][0] != "NULL" else v[2][1])),
    "BLANKVALUE": (2, 2, lambda v: (f"coalesce({v[0][0]}, {v[1][0]})", v[0][1])),
    "NULLVALUE": (2, 2, lambda v: (f"coalesce({v[0][0]}, {v[1][0]})", v[0][1])),
    "TEXT": (1, 1, lambda v: (f"CAST({v[0][0]} AS TEXT)", "text")),
    "DATEVALUE": (1, 1, lambda v: (f"substr({v[0][0]}, 1, 10)", "date")),
    "ISPICKVAL": (2, 2, lambda v: (f"(coalesce({v[0][0]}, '') = {v[1][0]})", "boolean")),
    "ABS": (1, 1, lambda v: (f"abs({v[0][0]})", "number")),
    "FLOOR": (1, 1, lambda v: (f"CAST(floor({v[0][0]}) AS REAL)", "number")),
    "ROUND": (2, 2, lambda v: (f"round({v[0][0]}, {v[1][0]})", "number")),
    "MAX": (2, 99, lambda v: ("max(" + ", ".join(item[0] for item in v) + ")", "number")),
    "MIN": (2, 99, lambda v: ("min(" + ", ".join(item[0] for item in v) + ")", "number")),
}
