"""SOQL text → typed syntax tree, with the vendor's syntax errors (SOQL and SOSL Reference, v66)."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from connectors.salesforce.sandbox.errors import SalesforceError

MAX_STATEMENT = 100_000  # characters (vendor limit)
MAX_STRING = 4_000  # characters of one string in WHERE (vendor limit)
MAX_OFFSET = 2_000
SNIPPET = 120  # a longer row is cut around the fault before it is drawn


class SoqlError(SalesforceError):
    """A refused statement: vendor error code and message, HTTP 400."""


@dataclass(frozen=True, slots=True)
class At:
    """Place in the statement, both from 1."""

    row: int
    column: int


@dataclass(frozen=True, slots=True)
class Field:
    path: tuple[str, ...]
    at: At

    @property
    def text(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Literal:
    """kind: string number currency datetime date date_literal boolean null. `raw` is the text as written (strings without quotes)."""

    kind: str
    value: str | float | int | bool | None
    raw: str
    at: At


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    args: "tuple[Expr | Literal, ...]"
    at: At


Expr = Field | Call


@dataclass(frozen=True, slots=True)
class SelectField:
    expr: Expr
    alias: str | None


@dataclass(frozen=True, slots=True)
class ChildQuery:
    query: "Query"


@dataclass(frozen=True, slots=True)
class TypeOf:
    relationship: str
    whens: tuple[tuple[str, tuple[Field, ...]], ...]
    otherwise: tuple[Field, ...]
    at: At


SelectItem = SelectField | ChildQuery | TypeOf


@dataclass(frozen=True, slots=True)
class Comparison:
    """operator: = != < <= > >= like in not_in includes excludes; `values` has one literal except for the set operators."""

    left: Expr
    operator: str
    values: tuple[Literal, ...]
    subquery: "Query | None" = None


@dataclass(frozen=True, slots=True)
class And:
    parts: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    parts: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    part: "Condition"


Condition = Comparison | And | Or | Not


@dataclass(frozen=True, slots=True)
class OrderItem:
    expr: Expr
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Query:
    text: str = field(repr=False)
    select: tuple[SelectItem, ...]
    object: str
    object_at: At
    alias: str | None = None
    scope: str | None = None
    where: Condition | None = None
    group: tuple[Expr, ...] = ()
    having: Condition | None = None
    order: tuple[OrderItem, ...] = ()
    limit: int | None = None
    offset: int | None = None


def parse(text: str) -> Query:
    """The syntax tree of one statement; SoqlError MALFORMED_QUERY when it is not SOQL."""
    if not text.strip():
        raise SoqlError("MALFORMED_QUERY", "A query string has to be specified")
    if len(text) > MAX_STATEMENT:
        raise SoqlError("QUERY_TOO_COMPLICATED", f"SOQL statement is {len(text)} characters long, at most {MAX_STATEMENT} are allowed")
    try:
        tree = _parser().parse(text)
        return _Builder(text).transform(tree)
    except UnexpectedInput as error:
        raise _syntax_error(error, text) from None
    except VisitError as error:
        if isinstance(error.orig_exc, SoqlError):
            raise error.orig_exc from None
        raise


def drawn(text: str, at: At, message: str) -> str:
    """The vendor's drawing: the row of the fault, a caret under it, its place, the message."""
    rows = text.splitlines() or [""]
    row = rows[at.row - 1] if at.row <= len(rows) else rows[-1]
    start = 0
    if len(row) > SNIPPET:
        start = max(0, at.column - 1 - SNIPPET // 2)
        start = row.rfind(" ", 0, start) + 1 if start else 0
        row = row[start : start + SNIPPET]
    caret = " " * (at.column - 1 - start) + "^"
    return f"\n{row}\n{caret}\nERROR at Row:{at.row}:Column:{at.column}\n{message}"


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark((Path(__file__).parent / "soql_grammar.lark").read_text(), parser="lalr", lexer="contextual", maybe_placeholders=True)


def _syntax_error(error: UnexpectedInput, text: str) -> SoqlError:
    if isinstance(error, UnexpectedToken):
        token = error.token
        history = error.token_history
        # SELECT Id FORM Account: the vendor blames the word that was read as an alias
        if history and history[-1] is not None and history[-1].type == "ALIAS" and token.type in ("NAME", "PATH", "ALIAS", "$END"):
            token = history[-1]
        name = "<EOF>" if token.type == "$END" else str(token)
        return SoqlError("MALFORMED_QUERY", f"unexpected token: '{name}'")
    if isinstance(error, UnexpectedCharacters):
        position = error.pos_in_stream or 0
        char = text[position : position + 1]
        if char == ":":
            return SoqlError("MALFORMED_QUERY", drawn(text, At(error.line, error.column), "Bind variables only allowed in Apex code"))
        if char == "'":
            return SoqlError("MALFORMED_QUERY", f"line {error.line}:{len(text)} mismatched character '<EOF>' expecting '''")
        if char == "*":
            return SoqlError("MALFORMED_QUERY", "unexpected token: '*'")
        return SoqlError("MALFORMED_QUERY", f"line {error.line}:{error.column - 1} no viable alternative at character '{char}'")
    return SoqlError("MALFORMED_QUERY", "unexpected token: '<EOF>'")


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "_": "_", "%": "%"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)


def unescape(raw: str, keep: str = "") -> str:
    """SOQL string body → text; the escaped characters in `keep` stay escaped (LIKE needs to tell \\% from %)."""

    def one(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] == "u" and len(code) == 5:
            return chr(int(code[1:], 16))
        if code not in _ESCAPES:
            raise SoqlError(
                "MALFORMED_QUERY",
                f"Illegal string literal: Invalid string literal '{raw}'. Illegal character sequence '\\{code}' in string literal.",
            )
        return match[0] if code in keep else _ESCAPES[code]

    return _ESCAPE.sub(one, raw)


def _at(token: Token) -> At:
    return At(token.line or 1, token.column or 1)


class _Builder(Transformer[Token, Query]):
    """Tree nodes → dataclasses; clauses come back as (name, value) pairs that `query` collects."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def start(self, children: list[Query]) -> Query:
        return children[0]

    def query(self, children: list[object]) -> Query:
        names = [child for child in children if isinstance(child, Token) and child.type == "NAME"]
        clauses = {pair[0]: pair[1] for pair in children if isinstance(pair, tuple)}
        select = tuple(child for child in children if isinstance(child, SelectField | ChildQuery | TypeOf))
        return Query(
            text=self.text,
            select=select,
            object=str(names[0]),
            object_at=_at(names[0]),
            alias=str(names[1]) if len(names) > 1 else None,
            **clauses,
        )

    def select_field(self, children: list[Any]) -> SelectField:
        return SelectField(children[0], str(children[1]) if children[1] is not None else None)

    def child(self, children: list[Query]) -> ChildQuery:
        return ChildQuery(children[0])

    def typeof(self, children: list[Any]) -> TypeOf:
        whens = tuple(child[1] for child in children if isinstance(child, tuple) and child[0] == "when")
        otherwise = next((child[1] for child in children if isinstance(child, tuple) and child[0] == "else"), ())
        return TypeOf(str(children[1]), whens, otherwise, _at(children[1]))

    def typeof_when(self, children: list[Any]) -> tuple[str, object]:
        return "when", (str(children[1]), tuple(child for child in children if isinstance(child, Field)))

    def typeof_else(self, children: list[Any]) -> tuple[str, object]:
        return "else", tuple(child for child in children if isinstance(child, Field))

    def field(self, children: list[Token]) -> Field:
        return Field(tuple(part.strip() for part in children[0].split(".")), _at(children[0]))

    def call(self, children: list[Any]) -> Call:
        return Call(str(children[0]), tuple(child for child in children[1:] if child is not None), _at(children[0]))

    def scope(self, children: list[Token]) -> tuple[str, object]:
        return "scope", str(children[-1]).lower()

    def where(self, children: list[Any]) -> tuple[str, object]:
        return "where", children[1]

    def having(self, children: list[Any]) -> tuple[str, object]:
        return "having", children[1]

    def group(self, children: list[Any]) -> tuple[str, object]:
        return "group", tuple(child for child in children if isinstance(child, Field | Call))

    def order(self, children: list[Any]) -> tuple[str, object]:
        return "order", tuple(child for child in children if isinstance(child, OrderItem))

    def order_item(self, children: list[Any]) -> OrderItem:
        direction, place = children[1], children[3]
        return OrderItem(children[0], direction is not None and direction.lower() == "desc", place is not None and place.lower() == "last")

    def limit(self, children: list[Token]) -> tuple[str, object]:
        return "limit", _whole(children[1])

    def offset(self, children: list[Token]) -> tuple[str, object]:
        offset = _whole(children[1])
        if offset > MAX_OFFSET:
            message = drawn(self.text, _at(children[0]), f"Maximum SOQL offset allowed is {MAX_OFFSET}")
            raise SoqlError("NUMBER_OUTSIDE_VALID_RANGE", message)
        return "offset", offset

    def for_clause(self, children: list[Token]) -> None:
        if children[1].lower() == "update":
            raise SoqlError("MALFORMED_QUERY", drawn(self.text, _at(children[0]), "FOR UPDATE is not allowed in this context"))

    def all_rows(self, children: list[Token]) -> None:
        raise SoqlError("MALFORMED_QUERY", drawn(self.text, _at(children[0]), "ALL ROWS not allowed in this context"))

    def conjunction(self, children: list[Any]) -> And:
        return And(tuple(child for child in children if not isinstance(child, Token)))

    def disjunction(self, children: list[Any]) -> Or:
        return Or(tuple(child for child in children if not isinstance(child, Token)))

    def unit(self, children: list[Any]) -> Condition:
        return cast(Condition, children[0])

    def negation(self, children: list[Any]) -> Not:
        return Not(children[1])

    def comparison(self, children: list[Any]) -> Comparison:
        operator = "!=" if children[1] == "<>" else str(children[1])
        return Comparison(children[0], operator, (children[2],))

    def like(self, children: list[Any]) -> Comparison:
        return Comparison(children[0], "like", (children[2],))

    def in_list(self, children: list[Any]) -> Comparison:
        return self._membership(children[0], "in", children[-1])

    def not_in_list(self, children: list[Any]) -> Comparison:
        return self._membership(children[0], "not_in", children[-1])

    def set_operation(self, children: list[Any]) -> Comparison:
        return Comparison(children[0], str(children[1]).lower(), children[2])

    def _membership(self, left: Expr, operator: str, values: object) -> Comparison:
        if isinstance(values, Query):
            return Comparison(left, operator, (), values)
        return Comparison(left, operator, cast(tuple[Literal, ...], values))

    def values(self, children: list[Literal]) -> tuple[Literal, ...]:
        return tuple(children)

    def subquery(self, children: list[Query]) -> Query:
        return children[0]

    def string(self, children: list[Token]) -> Literal:
        raw = str(children[0])[1:-1]
        if len(raw) > MAX_STRING:
            message = f"a filter string has {len(raw)} characters, at most {MAX_STRING} are allowed"
            raise SoqlError("INVALID_QUERY_FILTER_OPERATOR", message)
        return Literal("string", unescape(raw), raw, _at(children[0]))

    def number(self, children: list[Token]) -> Literal:
        text = str(children[0])
        whole = re.fullmatch(r"[+-]?\d{1,18}", text)
        return Literal("number", int(text) if whole else float(text), text, _at(children[0]))

    def currency(self, children: list[Token]) -> Literal:
        return Literal("currency", float(children[0][3:]), str(children[0]), _at(children[0]))

    def datetime(self, children: list[Token]) -> Literal:
        return Literal("datetime", str(children[0]), str(children[0]), _at(children[0]))

    def date(self, children: list[Token]) -> Literal:
        return Literal("date", str(children[0]), str(children[0]), _at(children[0]))

    def date_literal(self, children: list[Token]) -> Literal:
        return Literal("date_literal", str(children[0]).upper(), str(children[0]), _at(children[0]))

    def true(self, children: list[Token]) -> Literal:
        return Literal("boolean", True, str(children[0]), _at(children[0]))

    def false(self, children: list[Token]) -> Literal:
        return Literal("boolean", False, str(children[0]), _at(children[0]))

    def null(self, children: list[Token]) -> Literal:
        return Literal("null", None, str(children[0]), _at(children[0]))


def _whole(token: Token) -> int:
    if not token.isdigit():
        raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{token}'")
    return int(token)
