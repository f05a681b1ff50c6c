"""WHERE and HAVING → SQLite.

Null rule (SOQL and SOSL Reference, "Use null in WHERE" and "Comparison Operators"): every comparison is either true or false. A null field
equals only null (and ''), is different from every value (`!=`, NOT IN, EXCLUDES are true), and is neither smaller, greater nor LIKE
anything; NOT turns false into true. A boolean is never null: null, and the boolean of a missing parent, counts as false.
"""

from collections.abc import Callable
from typing import Any

from connectors.salesforce.sandbox.ids import to18
from connectors.salesforce.sandbox.soql import And, At, Comparison, Condition, Expr, Field, Literal, Not, Or, Query, SoqlError, unescape
from connectors.salesforce.sandbox.soql_dates import literal_days, midnight, parse_date, parse_datetime
from connectors.salesforce.sandbox.soql_scope import Scope, Value

Sql = tuple[str, list[Any]]
Subselect = Callable[[Query], tuple[Value, str, list[Any]]]

_ID_TYPES = ("id", "reference")
_NUMBERS = ("int", "double", "currency", "percent")
_FLIPPED_BOUND = {">": ">=", ">=": ">=", "=": ">="}


class Where:
    """Compiles the conditions of one scope; `subselect` compiles a semi-join's query to one column."""

    def __init__(self, scope: Scope, subselect: Subselect | None, *, having: bool = False) -> None:
        self.scope = scope
        self.subselect = subselect
        self.having = having
        self.plain = False  # inside an OR whose index is already given by implied bounds: keep the planner off its columns

    def compile(self, condition: Condition) -> Sql:
        """The whole condition, with the bounds that an OR implies spelled out so that an index can serve it."""
        bounds = [] if self.having else self._implied_bounds(condition)
        self.plain = bool(bounds)
        sql, params = self._condition(condition, False)
        for bound, values in bounds:
            sql, params = f"{bound} AND {sql}", [*values, *params]
        return sql, params

    def _condition(self, condition: Condition, negated: bool) -> Sql:
        if isinstance(condition, Not):
            return self._condition(condition.part, not negated)
        if isinstance(condition, Comparison):
            return self._comparison(condition, negated)
        word = " AND " if isinstance(condition, And) is not negated else " OR "
        self._refuse_semi_join_in_or(condition)
        parts = [self._condition(part, negated) for part in condition.parts]
        return "(" + word.join(sql for sql, _ in parts) + ")", [param for _, params in parts for param in params]

    def _refuse_semi_join_in_or(self, condition: And | Or) -> None:
        if isinstance(condition, Or):
            for part in condition.parts:
                inner = part.part if isinstance(part, Not) else part
                if isinstance(inner, Comparison) and inner.subquery is not None:
                    raise self._error("MALFORMED_QUERY", inner.left, "Semi join sub-selects are not allowed with the 'OR' operator")

    def _comparison(self, item: Comparison, negated: bool) -> Sql:
        value = self.scope.value(item.left)
        if value.aggregate and not self.having:
            raise self._error("MALFORMED_QUERY", item.left, "Aggregate expressions are not allowed in WHERE")
        if value.field is not None and not value.field.filterable and not value.aggregate:
            raise self._error("INVALID_FIELD", item.left, f"field '{value.name}' can not be filtered in a query call")
        column = f"+{value.sql}" if self.plain and not value.sql.startswith("(") else value.sql
        if value.type == "boolean":
            column = f"coalesce({value.sql}, 0)" if value.nullable else column
        sql, params = self._operator(item, value, column)
        return (f"NOT coalesce({sql}, 0)", params) if negated else (sql, params)

    def _operator(self, item: Comparison, value: Value, column: str) -> Sql:
        if item.subquery is not None:
            return self._semi_join(item, value, column)
        if item.operator == "like":
            return self._like(item, value, column)
        if item.operator in ("includes", "excludes"):
            return self._includes(item, value, column)
        if item.operator in ("in", "not_in"):
            return self._in(item, value, column)
        literal = item.values[0]
        if value.type == "boolean" and item.operator not in ("=", "!="):
            raise self._error("INVALID_QUERY_FILTER_OPERATOR", item.left, "invalid operator on boolean field")
        if literal.kind == "date_literal":
            return self._range(item, value, column)
        bound = self._bind(item.left, value, literal)
        return compare(column, item.operator, bound)

    def _in(self, item: Comparison, value: Value, column: str) -> Sql:
        if any(literal.kind == "date_literal" for literal in item.values):
            parts = [self._operator(Comparison(item.left, "=", (literal,)), value, column) for literal in item.values]
            sql = "(" + " OR ".join(part for part, _ in parts) + ")"
            params = [param for _, found in parts for param in found]
        else:
            bound = [self._bind(item.left, value, literal) for literal in item.values]
            params = [param for param in bound if param is not None]
            sql = f"{column} IN ({','.join('?' * len(params))})" if params else "0"
            if len(params) < len(bound):
                sql = f"({sql} OR {column} IS NULL)"
        return (f"NOT coalesce({sql}, 0)", params) if item.operator == "not_in" else (sql, params)

    def _like(self, item: Comparison, value: Value, column: str) -> Sql:
        if value.type in _ID_TYPES:
            raise self._error("INVALID_QUERY_FILTER_OPERATOR", item.left, "invalid operator on id field")
        if value.type in (*_NUMBERS, "boolean", "date", "datetime", "time"):
            raise self._error("INVALID_QUERY_FILTER_OPERATOR", item.left, f"invalid operator on {value.type} field")
        literal = item.values[0]
        if literal.kind != "string":
            raise self._wrong_type(item.left, value, literal)
        return f"{column} LIKE ? ESCAPE '\\'", [unescape(literal.raw, keep="%_\\")]

    def _includes(self, item: Comparison, value: Value, column: str) -> Sql:
        if value.type != "multipicklist":
            message = f"operator {item.operator} is valid only on multipicklist fields"
            raise self._error("INVALID_QUERY_FILTER_OPERATOR", item.left, message)
        anyone, params = [], []
        for literal in item.values:
            if literal.kind != "string":
                raise self._wrong_type(item.left, value, literal)
            every = str(literal.value).split(";")
            anyone.append("(" + " AND ".join([f"instr(lower(';' || {column} || ';'), lower(?)) > 0"] * len(every)) + ")")
            params += [f";{part};" for part in every]
        sql = "(" + " OR ".join(anyone) + ")"
        return (f"NOT coalesce({sql}, 0)", params) if item.operator == "excludes" else (sql, params)

    def _semi_join(self, item: Comparison, value: Value, column: str) -> Sql:
        assert item.subquery is not None
        if self.subselect is None:
            raise self._error("MALFORMED_QUERY", item.left, "Nesting of semi join sub-selects is not supported")
        if value.type not in _ID_TYPES:
            raise self._error("INVALID_FIELD", item.left, f"Semi join sub-selects can only query id fields, cannot use: '{value.name}'")
        selected, sql, params = self.subselect(item.subquery)
        found = f"{column} IN ({sql} AND {selected.sql} IS NOT NULL)"
        return (f"NOT coalesce({found}, 0)", params) if item.operator == "not_in" else (found, params)

    def _range(self, item: Comparison, value: Value, column: str) -> Sql:
        catalogue = self.scope.compilation.catalogue
        first, after = literal_days(str(item.values[0].value), catalogue.today, catalogue.fiscal_start)
        if value.type == "date":
            start, end = first.isoformat(), after.isoformat()
        elif value.type == "datetime":
            start, end = midnight(first, catalogue.zone), midnight(after, catalogue.zone)
        else:
            raise self._wrong_type(item.left, value, item.values[0])
        inside = f"({column} >= ? AND {column} < ?)"
        simple = {"<": ("<", start), "<=": ("<", end), ">": (">=", end), ">=": (">=", start)}
        if item.operator in simple:
            operator, edge = simple[item.operator]
            return f"{column} {operator} ?", [edge]
        return (inside, [start, end]) if item.operator == "=" else (f"NOT coalesce({inside}, 0)", [start, end])

    def _bind(self, left: Expr, value: Value, literal: Literal) -> Any:
        """The parameter a literal becomes for a field of this type; None stands for null."""
        if literal.kind == "null" or (literal.kind == "string" and literal.value == "" and value.type not in (*_NUMBERS, "boolean")):
            return 0 if value.type == "boolean" else None
        kind, bound = value.type, literal.value
        if kind in _ID_TYPES:
            if literal.kind == "string":
                return self._id(left, str(bound))
        elif kind in _NUMBERS:
            if literal.kind == "number" or (literal.kind == "currency" and kind == "currency"):
                return bound
        elif kind == "boolean":
            if literal.kind == "boolean":
                return int(bool(bound))
        elif kind in ("date", "datetime"):
            if literal.kind == kind:
                return self._moment(left, kind, str(bound))
        elif literal.kind == "string":
            return bound
        raise self._wrong_type(left, value, literal)

    def _id(self, left: Expr, text: str) -> str:
        full = to18(text)
        if full is None:
            raise self._error("INVALID_QUERY_FILTER_OPERATOR", left, f"invalid ID field: {text}")
        return full

    def _moment(self, left: Expr, kind: str, text: str) -> str:
        found = parse_date(text) if kind == "date" else parse_datetime(text)
        if found is None:
            raise SoqlError("MALFORMED_QUERY", f"line {left.at.row}:{left.at.column - 1} invalid {kind} literal: {text}")
        return found

    def _wrong_type(self, left: Expr, value: Value, literal: Literal) -> SoqlError:
        names = {"datetime": "dateTime", "id": "ID", "reference": "ID", "int": "int", "boolean": "boolean", "date": "date", "time": "time"}
        wanted = "double" if value.type in ("double", "currency", "percent") else names.get(value.type, "string")
        quotes = "and should be enclosed in quotes" if wanted in ("string", "ID") else "and should not be enclosed in quotes"
        return self._error("INVALID_FIELD", left, f"value of filter criterion for field '{value.name}' must be of type {wanted} {quotes}")

    def _error(self, code: str, left: Expr, message: str) -> SoqlError:
        at: At = left.at
        return self.scope.compilation.error(code, at, message)

    def _implied_bounds(self, condition: Condition) -> list[Sql]:
        """Lower bounds that hold for every branch of an OR: `(a = t AND …) OR a > t` implies `a >= t`, which an index can serve."""
        if isinstance(condition, And):
            return [bound for part in condition.parts for bound in self._implied_bounds(part)]
        if not isinstance(condition, Or):
            return []
        if keyset := self._keyset(condition):
            return [keyset]
        branches = [self._lower_bounds(part) for part in condition.parts]
        shared = [name for name in branches[0] if all(name in branch for branch in branches)]
        return [(f"{branches[0][name][0]} >= ?", [min(branch[name][1] for branch in branches)]) for name in shared]

    def _keyset(self, condition: Or) -> Sql | None:
        """`(a = t AND b > x) OR a > t` as a row comparison: a million rows with one stamp are then skipped by the index, not read."""
        pairs = [part for part in condition.parts if isinstance(part, And) and len(part.parts) == 2]
        single = [part for part in condition.parts if isinstance(part, Comparison) and part.operator == ">"]
        if len(condition.parts) != 2 or len(pairs) != 1 or len(single) != 1:
            return None
        same, then = pairs[0].parts
        if not isinstance(same, Comparison) or not isinstance(then, Comparison) or same.operator != "=" or then.operator not in (">", ">="):
            return None
        if same.subquery is not None or then.values[0].kind == "null" or same.values[0].kind not in ("date", "datetime"):
            return None
        first, second, outer = (self.scope.value(item.left) for item in (same, then, single[0]))
        start = self._bind(same.left, first, same.values[0])
        if first.sql != outer.sql or then.values[0].kind == "date_literal" or start != self._bind(single[0].left, outer, single[0].values[0]):
            return None
        return f"({first.sql}, {second.sql}) {then.operator} (?, ?)", [start, self._bind(then.left, second, then.values[0])]

    def _lower_bounds(self, condition: Condition) -> dict[str, tuple[str, Any]]:
        parts = condition.parts if isinstance(condition, And) else (condition,)
        found: dict[str, tuple[str, Any]] = {}
        for part in parts:
            if not isinstance(part, Comparison) or part.operator not in _FLIPPED_BOUND or not isinstance(part.left, Field):
                continue
            literal = part.values[0]
            if literal.kind not in ("date", "datetime") or len(part.left.path) != 1:
                continue
            value = self.scope.value(part.left)
            if value.type == literal.kind:
                found[value.name] = (value.sql, self._bind(part.left, value, literal))
        return found


def compare(column: str, operator: str, bound: Any) -> Sql:
    """One comparison under the null rule of this module."""
    if operator == "=":
        return (f"{column} IS NULL", []) if bound is None else (f"{column} = ?", [bound])
    if operator == "!=":
        return (f"{column} IS NOT NULL", []) if bound is None else (f"{column} IS NOT ?", [bound])
    return ("0", []) if bound is None else (f"{column} {operator} ?", [bound])
