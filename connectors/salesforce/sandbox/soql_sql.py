"""Syntax tree → one SQLite statement and the shape of its rows."""

from dataclasses import dataclass, field
from typing import Any

from connectors.salesforce.sandbox.schema import ObjectDef, quote
from connectors.salesforce.sandbox.soql import Call, ChildQuery, Expr, Field, OrderItem, Query, SelectField, SoqlError, TypeOf
from connectors.salesforce.sandbox.soql_scope import AGGREGATES, CUSTOM_RELATIONSHIP, Compilation, Parent, Scope, Value
from connectors.salesforce.sandbox.soql_where import Where

FIELDS_LIMIT = 200
_NOT_GROUPED = ("datetime", "double", "currency", "percent", "multipicklist", "time")


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a row: JSON key, index of the SQL column, how it is written."""

    key: str
    index: int
    value: Value


@dataclass(slots=True)
class TypedCells:
    """TYPEOF: which cells a parent shows, by lower-case object name; `otherwise` for the rest."""

    by_type: dict[str, list[Cell]]
    otherwise: list[Cell]


@dataclass(slots=True)
class Node:
    """A record inside a row. `target` is None where the object is known only by the id's prefix, `id_index` is its id's SQL column."""

    target: ObjectDef | None
    id_index: int
    entries: "list[tuple[str, Cell | Node | Plan]]" = field(default_factory=list)
    typed: TypedCells | None = None


@dataclass(slots=True)
class Plan:
    """A compiled query. `columns` are SQL expressions in the order `root` refers to them; a child plan takes its parent's id as first parameter."""

    scope: Scope
    columns: list[str]
    where: str
    params: list[Any]
    root: Node | None
    cells: list[Cell] = field(default_factory=list)
    group: str = ""
    order: str = ""
    limit: int | None = None
    offset: int | None = None
    counts: bool = False
    headers: list[tuple[str, Cell]] = field(default_factory=list)

    @property
    def aggregate(self) -> bool:
        """Rows are AggregateResult, not records."""
        return self.root is None

    def sql(self, columns: list[str] | None = None, *, extra: str = "", limit: int | None = None) -> str:
        """The statement; `columns` replaces the selected ones (same rows), `extra` is one more condition."""
        chosen = ", ".join(columns if columns is not None else self.columns)
        source = f"SELECT {chosen} FROM {quote(self.scope.object.name)} AS {self.scope.alias}"
        parts = [source, *self.scope.joins, f"WHERE {self.where}{extra}", self.group, self.order]
        limits = [value for value in (self.limit, limit) if value is not None]
        if limits or self.offset:
            parts.append(f"LIMIT {min(limits) if limits else -1}")
        if self.offset:
            parts.append(f"OFFSET {self.offset}")
        return " ".join(part for part in parts if part)

    def count_sql(self) -> str:
        """The number of rows the statement returns."""
        return f"SELECT count(*) FROM ({self.sql(['1'])})"


def compile_query(compilation: Compilation, query: Query) -> Plan:
    """The plan of a top-level statement."""
    target = compilation.object(query.object, query.object_at)
    scope = _scope(compilation, query, target)
    return _compile(scope, query)


def _scope(compilation: Compilation, query: Query, target: ObjectDef) -> Scope:
    prefixes = {target.name.lower(), query.object.lower()}
    if query.alias:
        prefixes.add(query.alias.lower())
    return Scope(compilation, target, compilation.alias(), frozenset(prefixes))


def _compile(scope: Scope, query: Query, condition: str = "") -> Plan:
    """`condition` comes first in WHERE (the link of a child to its parent)."""
    plan = _aggregate(scope, query) if _is_aggregate(query) else _records(scope, query)
    clauses = [condition] if condition else []
    clauses += _live(scope)
    if query.scope == "mine" and scope.object.get("OwnerId") is not None:
        clauses.append(f"{scope.alias}.\"OwnerId\" = '{scope.compilation.catalogue.user_id}'")
    params: list[Any] = []
    if query.where is not None:
        sql, params = Where(scope, lambda sub: _semi_join(scope, sub)).compile(query.where)
        clauses.append(sql)
    plan.where = " AND ".join(clauses) or "1"
    plan.params = params + plan.params  # HAVING comes after WHERE
    plan.order = _order(scope, query, plan)
    plan.limit, plan.offset = query.limit, query.offset
    return plan


def _live(scope: Scope) -> list[str]:
    """A plain query sees neither the recycle bin nor archived activities."""
    if scope.compilation.all_rows:
        return []
    return [f"{scope.alias}.{quote(found.name)} = 0" for name in ("IsDeleted", "IsArchived") if (found := scope.object.get(name)) is not None]


def _is_aggregate(query: Query) -> bool:
    return bool(query.group) or any(isinstance(item, SelectField) and _has_aggregate(item.expr) for item in query.select)


def _has_aggregate(expr: Expr) -> bool:
    if isinstance(expr, Field):
        return False
    return expr.name.lower() in AGGREGATES or any(_has_aggregate(arg) for arg in expr.args if isinstance(arg, Field | Call))


class _RecordBuilder:
    """Collects the columns of a record query while walking its select list."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.columns: list[str] = [f'{scope.alias}."Id"']
        self.root = Node(scope.object, 0)
        self.nodes: dict[tuple[str, ...], Node] = {(): self.root}
        self.cells: list[Cell] = []
        self.headers: list[tuple[str, Cell]] = []
        self.seen: set[str] = set()

    def add(self, item: SelectField) -> None:
        if item.alias is not None:
            raise self._error(item.expr, "MALFORMED_QUERY", "only aggregate expressions use field aliasing")
        value = self.scope.value(item.expr)
        path = ".".join((*value.parents, value.name))
        if isinstance(item.expr, Call) and not value.name:
            raise self._error(item.expr, "MALFORMED_QUERY", f"Date function {item.expr.name.upper()} needs a GROUP BY")
        if path.lower() in self.seen:
            raise self._error(item.expr, "INVALID_FIELD", f"duplicate field selected: {path}")
        self.seen.add(path.lower())
        cell = self.cell(value)
        self.node(value.parents).entries.append((value.name, cell))
        self.headers.append((path, cell))

    def cell(self, value: Value) -> Cell:
        self.columns.append(value.sql)
        cell = Cell(value.name, len(self.columns) - 1, value)
        self.cells.append(cell)
        return cell

    def node(self, parents: tuple[str, ...]) -> Node:
        """The JSON node of a parent path, made (with its id column) on first use."""
        found = self.nodes.get(parents)
        if found is None:
            parent = self.scope.parents[parents]
            self.columns.append(parent.id_sql)
            found = Node(parent.target, len(self.columns) - 1)
            self.nodes[parents] = found
            self.node(parents[:-1]).entries.append((parents[-1], found))
        return found

    def typeof(self, item: TypeOf) -> None:
        parent, canonical = self.scope.join((item.relationship,), item.at)
        if parent.target is not None:
            message = f"TYPEOF is not allowed on the relationship '{item.relationship}', which is not polymorphic"
            raise self.scope.compilation.error("INVALID_FIELD", item.at, message)
        node = self.node(canonical)
        by_type = {}
        for name, fields in item.whens:
            if name.lower() not in {target.lower() for target in parent.field.reference_to}:
                message = f"Entity '{name}' is not in the relationship '{item.relationship}'"
                raise self.scope.compilation.error("INVALID_TYPE", item.at, message)
            by_type[name.lower()] = [self._typed(parent, canonical, name, one) for one in fields]
        otherwise = [self.cell(self.scope.path(Field((item.relationship, *one.path), one.at))) for one in item.otherwise]
        node.typed = TypedCells(by_type, otherwise)

    def _typed(self, parent: Parent, canonical: tuple[str, ...], name: str, item: Field) -> Cell:
        target = self.scope.compilation.catalogue.object(name)
        found = target.get(item.path[-1]) if target is not None and len(item.path) == 1 else None
        if target is None or found is None or found.key not in self.scope.compilation.catalogue.visible(target):
            raise self._error(item, "INVALID_FIELD", f"No such column '{item.text}' on entity '{name}'.")
        sql = parent.id_sql if found.type == "id" else self.scope.typed_column(parent, found.name, only=name)
        return self.cell(Value(sql, found.type, found, canonical, found.name))

    def child(self, item: ChildQuery) -> None:
        query = item.query
        relation = self.scope.object.child(query.object)
        target = self.scope.compilation.catalogue.object(relation.child) if relation is not None else None
        reference = target.get(relation.field) if target is not None and relation is not None else None
        visible = target is not None and reference is not None and reference.key in self.scope.compilation.catalogue.visible(target)
        if relation is None or target is None or reference is None or not visible:
            message = f"Didn't understand relationship '{query.object}' in FROM part of query call.{CUSTOM_RELATIONSHIP}"
            raise self.scope.compilation.error("INVALID_TYPE", query.object_at, message)
        scope = _scope(self.scope.compilation, query, target)
        plan = _compile(scope, query, f"{scope.alias}.{quote(reference.name)} = ?")
        if plan.aggregate:
            raise SoqlError("MALFORMED_QUERY", "aggregate functions are not allowed in a sub-select")
        self.root.entries.append((str(relation.relationship_name), plan))

    def _error(self, expr: Expr, code: str, message: str) -> SoqlError:
        return self.scope.compilation.error(code, expr.at, message)


def _records(scope: Scope, query: Query) -> Plan:
    builder = _RecordBuilder(scope)
    for item in query.select:
        if isinstance(item, ChildQuery):
            builder.child(item)
        elif isinstance(item, TypeOf):
            builder.typeof(item)
        else:
            for one in _expand(scope, query, item):
                builder.add(one)
    return Plan(scope, builder.columns, "", [], builder.root, builder.cells, headers=builder.headers)


def _expand(scope: Scope, query: Query, item: SelectField) -> list[SelectField]:
    """FIELDS(ALL | STANDARD | CUSTOM) as the fields it stands for."""
    call = item.expr
    if not isinstance(call, Call) or call.name.lower() != "fields":
        return [item]
    group = call.args[0].text.lower() if len(call.args) == 1 and isinstance(call.args[0], Field) else ""
    if group not in ("all", "standard", "custom"):
        raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{group or ')'}'")
    if group != "standard" and (query.limit is None or query.limit > FIELDS_LIMIT):
        raise SoqlError("MALFORMED_QUERY", f"The SOQL FIELDS function must have a LIMIT of at most {FIELDS_LIMIT}")
    visible = scope.compilation.catalogue.visible(scope.object)
    chosen = [found for key, found in scope.object.fields.items() if key in visible and (group == "all" or found.custom == (group == "custom"))]
    return [SelectField(Field((found.name,), call.at), None) for found in chosen]


def _aggregate(scope: Scope, query: Query) -> Plan:
    first = query.select[0]
    if len(query.select) == 1 and isinstance(first, SelectField) and not query.group and _is_count(first):
        return Plan(scope, ["1"], "", [], None, counts=True)
    groups = [_group(scope, expr) for expr in query.group]
    columns: list[str] = []
    cells: list[Cell] = []
    unnamed = 0
    for item in query.select:
        if not isinstance(item, SelectField):
            raise SoqlError("MALFORMED_QUERY", "sub-selects are not allowed in an aggregate query")
        value = scope.value(item.expr)
        if not value.aggregate and value.sql not in {group.sql for group in groups}:
            raise scope.compilation.error("MALFORMED_QUERY", item.expr.at, f"Field must be grouped or aggregated: {value.name}")
        key = item.alias or ("" if value.aggregate else value.name)
        if not key:
            key, unnamed = f"expr{unnamed}", unnamed + 1
        if key.lower() in {cell.key.lower() for cell in cells}:
            raise scope.compilation.error("MALFORMED_QUERY", item.expr.at, f"duplicate alias: {key}")
        columns.append(value.sql)
        cells.append(Cell(key, len(columns) - 1, value))
    plan = Plan(scope, columns, "", [], None, cells)
    plan.group = f"GROUP BY {', '.join(group.sql for group in groups)}" if groups else ""
    if query.having is not None:
        sql, plan.params = Where(scope, None, having=True).compile(query.having)
        plan.group = f"{plan.group} HAVING {sql}"
    return plan


def _is_count(item: SelectField) -> bool:
    """The COUNT() form, whose answer is the total alone."""
    return isinstance(item.expr, Call) and item.expr.name.lower() == "count" and not item.expr.args and item.alias is None


def _group(scope: Scope, expr: Expr) -> Value:
    if isinstance(expr, Call) and expr.name.lower() in ("rollup", "cube"):
        raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{expr.name}'")
    value = scope.value(expr)
    if value.aggregate or value.type in _NOT_GROUPED or (value.field is not None and not value.field.filterable):
        raise scope.compilation.error("MALFORMED_QUERY", expr.at, f"field '{value.name}' can not be grouped in a query call")
    return value


def _order(scope: Scope, query: Query, plan: Plan) -> str:
    if plan.counts and query.order:
        raise SoqlError("MALFORMED_QUERY", "ORDER BY is not allowed with COUNT()")
    terms = [_order_term(scope, item, plan) for item in query.order]
    return f"ORDER BY {', '.join(terms)}" if terms else ""


def _order_term(scope: Scope, item: OrderItem, plan: Plan) -> str:
    value = _aliased(item.expr, plan) or scope.value(item.expr)
    if value.type == "multipicklist" or (value.field is not None and not value.field.filterable):
        raise scope.compilation.error("MALFORMED_QUERY", item.expr.at, f"field '{value.name}' can not be sorted in a query call")
    if plan.aggregate and not value.aggregate and value.sql not in plan.columns and value.sql not in plan.group:
        raise scope.compilation.error("MALFORMED_QUERY", item.expr.at, f"Ordered field must be grouped or aggregated: {value.name}")
    direction = " DESC" if item.descending else ""
    # nulls come first unless asked otherwise; the clause is left out where it changes nothing, because it costs the index
    if not value.nullable or item.nulls_last == item.descending:
        return value.sql + direction
    return f"{value.sql}{direction} NULLS {'LAST' if item.nulls_last else 'FIRST'}"


def _aliased(expr: Expr, plan: Plan) -> Value | None:
    if not plan.aggregate or not isinstance(expr, Field) or len(expr.path) != 1:
        return None
    return next((cell.value for cell in plan.cells if cell.key.lower() == expr.path[0].lower()), None)


def _semi_join(outer: Scope, query: Query) -> tuple[Value, str, list[Any]]:
    """The sub-select of `Id IN (SELECT AccountId FROM …)`, ending in its WHERE so that the caller can add a condition."""
    compilation = outer.compilation
    target = compilation.object(query.object, query.object_at)
    scope = _scope(compilation, query, target)
    item = query.select[0]
    if len(query.select) != 1 or not isinstance(item, SelectField) or query.group or query.limit is not None:
        raise SoqlError("MALFORMED_QUERY", "Semi join sub-selects must select exactly one id field, without LIMIT or GROUP BY")
    value = scope.value(item.expr)
    if value.type not in ("id", "reference"):
        message = f"Semi join sub-selects can only query id fields, cannot use: '{value.name}'"
        raise compilation.error("MALFORMED_QUERY", item.expr.at, message)
    clauses = _live(scope)
    params: list[Any] = []
    if query.where is not None:
        sql, params = Where(scope, None).compile(query.where)
        clauses.append(sql)
    source = f"SELECT {value.sql} FROM {quote(target.name)} AS {scope.alias} {' '.join(scope.joins)}"
    return value, f"{source} WHERE {' AND '.join(clauses) or '1'}", params
