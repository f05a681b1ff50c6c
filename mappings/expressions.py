"""SQL expressions of mapping files: held to an allow-list of the syntax tree, then bound to an empty typed row.

An expression is one DuckDB scalar: columns, literals, operators, CASE, casts to plain types, and functions that are scalar and give the same
answer every time. No subquery, aggregate, window, table function, lambda, star, parameter, now() or random(); `as_of` is a column.

Why a tree and not a list of bad words: `(select content from read_text('…'))`, now() and aggregates all parse and run in DuckDB 2 (measured).
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import duckdb

#: Operators and functions an expression may use: scalar, deterministic, no access to files, settings, sequences or the clock, and no output that
#: can be made arbitrarily large from a small input (so no repeat, lpad or range).
FUNCTIONS = frozenset(
    """
    + - * / // % ** ^ || ~~ !~~ ~~* !~~*
    abs ceil ceiling floor round round_even trunc sign sqrt cbrt ln log log2 log10 exp pow power mod greatest least nullif ifnull if
    isnan isfinite isinf
    lower upper trim ltrim rtrim length strlen left right substr substring replace reverse contains starts_with ends_with prefix suffix strpos instr
    split_part concat concat_ws regexp_matches regexp_full_match regexp_replace regexp_extract
    date_diff datediff date_sub datesub date_part datepart date_trunc datetrunc year quarter month week day hour minute second
    dayofweek isodow dayofyear weekday last_day make_date strptime try_strptime strftime timezone epoch
    to_years to_months to_weeks to_days to_hours to_minutes to_seconds
    """.split()  # noqa: SIM905 - a list of a hundred quoted words reads worse
)
#: class -> types of the syntax tree that may occur (DuckDB 2.0 json_serialize_sql)
NODES: dict[str, frozenset[str]] = {
    "COLUMN_REF": frozenset({"COLUMN_REF"}),
    "CONSTANT": frozenset({"VALUE_CONSTANT"}),
    "FUNCTION": frozenset({"FUNCTION"}),
    "CASE": frozenset({"CASE_EXPR"}),
    "CAST": frozenset({"OPERATOR_CAST"}),
    "BETWEEN": frozenset({"COMPARE_BETWEEN"}),
    "CONJUNCTION": frozenset({"CONJUNCTION_AND", "CONJUNCTION_OR"}),
    "COMPARISON": frozenset(
        {
            "COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_LESSTHAN", "COMPARE_GREATERTHAN", "COMPARE_LESSTHANOREQUALTO",
            "COMPARE_GREATERTHANOREQUALTO", "COMPARE_DISTINCT_FROM", "COMPARE_NOT_DISTINCT_FROM",
        }
    ),
    "OPERATOR": frozenset({"OPERATOR_NOT", "OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL", "OPERATOR_COALESCE", "COMPARE_IN", "COMPARE_NOT_IN"}),
    "TYPE": frozenset({"TYPE"}),
}  # fmt: skip
CAST_TYPES = frozenset(
    {
        "bool", "boolean", "tinyint", "smallint", "int", "integer", "bigint", "hugeint", "float", "real", "double", "decimal", "numeric",
        "varchar", "text", "string", "date", "timestamp", "timestamptz", "timestamp with time zone",
    }
)  # fmt: skip
_SAID = {
    "SUBQUERY": "a subquery", "WINDOW": "a window function", "STAR": "a star", "PARAMETER": "a parameter", "LAMBDA": "a lambda",
    "POSITIONAL_REFERENCE": "a column by position", "COLLATE": "a collation", "DEFAULT": "DEFAULT",
}  # fmt: skip
_NUMBERS = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\))")
#: Longest expression DuckDB is asked to parse; the models allow no more either.
MAX_LENGTH = 2000
_COMMENTS_OUT = "an expression may not hold SQL comments; write them as YAML comments beside it"


class ExpressionFault(Exception):
    """An expression is refused; the text says why, `remedy` what to do."""

    def __init__(self, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.remedy = remedy


@dataclass(frozen=True)
class Checked:
    """An expression that may run: its DuckDB type and the columns it reads."""

    type: str
    columns: frozenset[str]


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean a, b?` for the closest names, or empty."""
    found = get_close_matches(name.lower(), sorted(known), n=3, cutoff=0.6)
    return f"did you mean {', '.join(f'`{n}`' for n in found)}?" if found else ""


def fits(type_: str, want: str) -> bool:
    """Whether a DuckDB type is of the wanted kind: boolean | number | date | any."""
    if want == "number":
        return _NUMBERS.fullmatch(type_) is not None
    return want == "any" or type_ == {"boolean": "BOOLEAN", "date": "DATE"}[want]


#: (expression, columns) -> what was found; pure, and a worker loads the same files for every run
_Key = tuple[str, tuple[tuple[str, str], ...]]
_FOUND: dict[_Key, "Checked | ExpressionFault"] = {}
_FOUND_MOST = 4096  # then it starts afresh; a folder holds about a hundred. Chosen.


class Expressions:
    """Checks expressions. Holds one private in-memory DuckDB without access to anything outside; close it, or use it as a context."""

    def __init__(self) -> None:
        self._opened: duckdb.DuckDBPyConnection | None = None
        self._tables: dict[tuple[tuple[str, str], ...], str] = {}

    @property
    def _con(self) -> duckdb.DuckDBPyConnection:
        if self._opened is None:
            self._opened = _connect()
        return self._opened

    def __enter__(self) -> "Expressions":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def check(self, sql: str, columns: Mapping[str, str], want: str = "any") -> Checked:
        """Refuse (ExpressionFault) or describe an expression over columns (name -> DuckDB type)."""
        found = self._find(sql, columns)
        if isinstance(found, ExpressionFault):
            raise found
        if not fits(found.type, want):
            asked = {"boolean": "BOOLEAN (true or false)", "number": "a number", "date": "a DATE"}[want]
            raise ExpressionFault(f"gives {found.type}, but {asked} is needed", "compare, compute or cast the value accordingly")
        return found

    def _find(self, sql: str, columns: Mapping[str, str]) -> "Checked | ExpressionFault":
        key: _Key = (sql, tuple(columns.items()))
        if key not in _FOUND:
            if len(_FOUND) >= _FOUND_MOST:
                _FOUND.clear()
            try:
                used = read_columns(self._tree(sql), columns)
                found: Checked | ExpressionFault = Checked(self._bind(sql, columns), frozenset(used))
            except ExpressionFault as fault:
                found = ExpressionFault(str(fault), fault.remedy)  # without the traceback, which would hold the connection
            _FOUND[key] = found
        return _FOUND[key]

    def check_date_format(self, pattern: str) -> None:
        """Refuse a strptime pattern that DuckDB does not know."""
        try:
            self._con.execute("select try_strptime('2026-01-01', ?)", [pattern]).fetchall()
        except duckdb.Error as error:
            raise ExpressionFault(_first_line(error)) from error

    def _tree(self, sql: str) -> dict[str, Any]:
        if not sql.strip():
            raise ExpressionFault("is empty", "write one DuckDB scalar expression")
        if len(sql) > MAX_LENGTH:
            raise ExpressionFault(f"is longer than {MAX_LENGTH} characters", "say it shorter, or compute it in the export")
        _refuse_comments(sql)
        try:
            row = self._con.execute("select json_serialize_sql(?)", [f"select ({sql})"]).fetchone()
        except duckdb.Error as error:
            raise ExpressionFault(f"is not SQL: {_first_line(error)}") from error
        try:
            parsed = json.loads(row[0] if row else "{}")
        except RecursionError as error:
            raise ExpressionFault("is nested too deeply", "split it, or compute it in the export") from error
        if parsed.get("error"):
            raise ExpressionFault(f"is not SQL: {parsed.get('error_message', 'cannot be read')}", "write one DuckDB scalar expression")
        return _only_item(parsed)

    def _bind(self, sql: str, columns: Mapping[str, str]) -> str:
        table = self._table(columns)
        try:
            described = self._con.execute(f"describe select ({sql}) as v from {table}").fetchone()
            # running it over the row of nulls finds constants that cannot be read, as date '2026-02-30'
            self._con.execute(f"select ({sql}) as v from {table}").fetchall()
        except duckdb.Error as error:
            raise ExpressionFault(f"does not fit its columns: {_first_line(error)}", "check types and arguments; cast where needed") from error
        return str(described[1]) if described else ""

    def _table(self, columns: Mapping[str, str]) -> str:
        """A table of one row of nulls with these columns."""
        key = tuple(columns.items())
        if key not in self._tables:
            name = f"row_{len(self._tables)}"
            nulls = ", ".join(f"cast(null as {type_}) as {_quoted(column)}" for column, type_ in columns.items())
            self._con.execute(f"create table {name} as select {nulls or 'null as nothing'}")
            self._tables[key] = name
        return self._tables[key]


def _connect() -> duckdb.DuckDBPyConnection:
    """In memory, one thread, no files, no extensions, and a configuration that cannot be changed."""
    con = duckdb.connect(
        ":memory:",
        config={
            "enable_external_access": "false",
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
            "memory_limit": "256MB",
            "threads": "1",
        },
    )
    con.execute("set timezone = 'UTC'")
    con.execute("set lock_configuration = true")
    return con


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].removeprefix("Binder Error: ").removeprefix("Parser Error: ").strip()


def _refuse_comments(sql: str) -> None:
    """No comments, dollar quotes or escape strings: the text must mean the same wherever it is put between brackets."""
    bare = re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", lambda found: "''" if found[0][0] == "'" else '""', sql)
    if "--" in bare or "/*" in bare or "#" in bare:
        raise ExpressionFault(_COMMENTS_OUT)
    if "$" in bare or ";" in bare:
        raise ExpressionFault("`$` and `;` have no place in an expression", "quote text with '…'")
    if re.search(r"(?<![a-z0-9_])[ex]''", bare, re.IGNORECASE):
        raise ExpressionFault("escape strings (E'…', X'…') are not taken", "quote text with '…'")
    if "'" in bare.replace("''", "") or '"' in bare.replace('""', ""):
        raise ExpressionFault("is not SQL: a quote is not closed", "close the quote")


def _only_item(parsed: dict[str, Any]) -> dict[str, Any]:
    """The one expression of `select (…)`; anything else means that the text broke out of its brackets."""
    statements = parsed.get("statements", [])
    node = statements[0].get("node", {}) if len(statements) == 1 else {}
    items = node.get("select_list", [])
    plain = node.get("type") == "SELECT_NODE" and (node.get("from_table") or {}).get("type") == "EMPTY"
    extras = any(node.get(key) for key in ("where_clause", "having", "qualify", "modifiers", "group_expressions", "group_sets", "sample"))
    if not plain or extras or (node.get("cte_map") or {}).get("map") or len(items) != 1:
        raise ExpressionFault("must be one expression, not a statement or a list", "check the brackets")
    item: dict[str, Any] = items[0]
    return item


def read_columns(tree: dict[str, Any], columns: Iterable[str]) -> set[str]:
    """The columns a tree reads; refuses (ExpressionFault) what is not on the allow-list."""
    known, used = set(columns), set()
    for node in _walk(tree):
        class_, type_ = str(node.get("class")), str(node.get("type"))
        if type_ not in NODES.get(class_, ()):
            raise ExpressionFault(
                f"{_SAID.get(class_, f'`{type_}`')} is not allowed", "use columns, literals, operators, CASE and the listed functions"
            )
        if class_ == "COLUMN_REF":
            used.add(_column(node, known))
        elif class_ == "FUNCTION":
            _check_function(node)
        elif class_ == "TYPE":
            _check_type(node)
    return used


def _walk(node: Any) -> Iterator[dict[str, Any]]:
    """Every tree node (a dict with a `class`), whatever key it hangs on, so that none can hide."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            if "class" in found:
                yield found
            waiting += reversed(found.values())
        elif isinstance(found, list):
            waiting += reversed(found)


def _column(node: dict[str, Any], known: set[str]) -> str:
    names = [str(name) for name in node.get("column_names", [])]
    name = ".".join(names)
    if len(names) == 1 and name in known:
        return name
    if len(names) == 1 and name.lower().startswith("current_"):
        raise ExpressionFault(f"`{name}` changes from one call to the next", "use `as_of` or `as_of_on`")
    raise ExpressionFault(f"unknown column `{name}`", nearest(name, known))


def _check_function(node: dict[str, Any]) -> None:
    name = str(node.get("function_name", "")).lower()
    path = (node.get("qualified_name") or {}).get("path", [name])
    if name not in FUNCTIONS or len(path) > 1 or node.get("schema") or node.get("catalog"):
        clock = name in ("now", "today", "current_timestamp", "get_current_timestamp", "transaction_timestamp", "random", "uuid", "age")
        remedy = "use `as_of` or `as_of_on`" if clock and name not in ("random", "uuid") else nearest(name, FUNCTIONS)
        raise ExpressionFault(
            f"function `{name}` is not allowed", remedy or "only scalar functions that always give the same answer are; see docs/mappings.md"
        )
    if node.get("filter") or node.get("distinct") or node.get("export_state") or (node.get("order_bys") or {}).get("orders"):
        raise ExpressionFault(f"`{name}` is used as an aggregate", "one row at a time: aggregates are columns already")


def _check_type(node: dict[str, Any]) -> None:
    name = str(node.get("type_name", "")).lower()
    path = (node.get("qualified_name") or {}).get("path", [name])
    if name not in CAST_TYPES or len(path) > 1:
        raise ExpressionFault(f"a cast to `{name}` is not allowed", "cast to boolean, bigint, double, decimal, varchar, date or timestamptz")
