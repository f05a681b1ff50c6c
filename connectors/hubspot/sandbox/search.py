"""Search: filter groups compiled to SQL over the (possibly lagging) index, with the vendor's caps (reference: section 2.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.hubspot.sandbox import records
from connectors.hubspot.sandbox.definitions import Property
from connectors.hubspot.sandbox.errors import HubSpotError
from connectors.hubspot.sandbox.records import Renderer, record_of
from connectors.hubspot.sandbox.routing import Context, Reply, Routes
from connectors.hubspot.sandbox.types import ObjectType
from connectors.hubspot.sandbox.values import as_text, parse_day, parse_moment

if TYPE_CHECKING:
    from connectors.hubspot.sandbox.state import State

JSON = dict[str, Any]
Sql = tuple[str, list[Any]]
CAP, MOST, BODY_CHARS = 10_000, 200, 3_000
GROUPS, FILTERS, FILTERS_IN_ALL = 5, 6, 18
COMPARE = {"EQ": "=", "NEQ": "<>", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
OPERATORS = (*COMPARE, "BETWEEN", "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY", "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN")
NOTHING: Sql = ("0", [])


def search(context: Context) -> Reply:
    """`POST base/search`."""
    kind, state = context.type, context.state
    context.need_any(kind.read_scope, kind.write_scope)
    if len(context.body.decode("utf-8", "replace")) > BODY_CHARS:
        raise HubSpotError(400, f"The request body is too long. It must not exceed {BODY_CHARS} characters.")
    body = context.json_object()
    limit, after = _window(body)
    where, params = _where(state, kind, body)
    source, source_params = _source(state, kind)
    count, page = _page(state, f"{source} WHERE {where}", [*source_params, *params], _order(state, kind, body), limit, after)
    marks = ",".join("?" * len(page))
    rows = state.read(f"SELECT id, props, created, updated, 0 FROM {source} WHERE id IN ({marks})", (*source_params, *page))
    found = {row[0]: record_of(row) for row in rows}
    render = Renderer(state, kind, [str(name) for name in body.get("properties") or []], token=context.token)
    answer: JSON = {"total": count, "results": [render(found[key]) for key in page if key in found]}
    if after + limit < count:
        answer["paging"] = {"next": {"after": str(after + limit)}}
    return Reply(answer)


def compiled(state: State, kind: ObjectType, body: JSON) -> tuple[str, list[Any], str, list[Any]]:
    """Source and condition of a search, with their parameters, for exports."""
    return *_source(state, kind), *_where(state, kind, body)


def _page(state: State, source: str, params: list[Any], order: str, limit: int, after: int) -> tuple[int, list[int]]:
    """How many records match, and the ids of one page."""
    if "json_extract" in source:  # looks into every record: once is enough
        ids = [row[0] for row in state.read(f"SELECT id FROM {source} ORDER BY {order}", params)]
        return len(ids), ids[after : after + limit]
    total = state.db.one(f"SELECT count(*) FROM {source}", params)
    page = state.read(f"SELECT id FROM {source} ORDER BY {order} LIMIT ? OFFSET ?", [*params, limit, after])
    return int(total[0]) if total else 0, [row[0] for row in page]


def _window(body: JSON) -> tuple[int, int]:
    limit = body.get("limit", 10)
    limit = 10 if limit in (None, 0) else limit
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MOST:
        raise HubSpotError(400, f"Invalid limit: {limit}. The limit must be between 1 and {MOST}.")
    text = str(body.get("after") or "0")
    if not text.isdigit():
        raise HubSpotError(400, f"Invalid paging offset: {text}")
    if int(text) + limit > CAP:
        raise HubSpotError(400, f"The search endpoint pages through at most {CAP} results; after + limit is {int(text) + limit}.")
    return limit, int(text)


def _source(state: State, kind: ObjectType) -> Sql:
    """The index: live records, or, while some changes have not arrived, their older versions."""
    now = state.now().timestamp()
    if state.db.one("SELECT 1 FROM object WHERE visible > 0 AND visible > ? LIMIT 1", (now,)) is None:
        return "(SELECT type, id, props, created, updated FROM object WHERE type = ? AND archived = 0)", [kind.id]
    return (
        "(SELECT type, id, props, created, updated FROM object WHERE type = ? AND archived = 0 AND visible <= ? "
        "UNION ALL SELECT type, id, props, created, updated FROM old WHERE type = ? AND since <= ? AND until > ?)",
        [kind.id, now, kind.id, now, now],
    )


def _where(state: State, kind: ObjectType, body: JSON) -> Sql:
    groups = [group.get("filters") or [] for group in body.get("filterGroups") or []]
    if body.get("filters"):
        groups.append(body["filters"])
    if len(groups) > GROUPS or any(len(group) > FILTERS for group in groups) or sum(map(len, groups)) > FILTERS_IN_ALL:
        raise HubSpotError(400, f"At most {GROUPS} filter groups of {FILTERS} filters, {FILTERS_IN_ALL} filters in all, are allowed.")
    known = state.properties(kind)
    parts: list[str] = []
    params: list[Any] = []
    for group in groups:
        compiled = [_filter(state, kind, known, item) for item in group]
        if any(sql.startswith("updated") for sql, _ in compiled):
            # The plus keeps SQLite from walking all records by id when the index on the stamp finds the few.
            compiled = [(f"+{sql}" if sql.startswith("id ") else sql, values) for sql, values in compiled]
        if compiled:
            parts.append("(" + " AND ".join(sql for sql, _ in compiled) + ")")
            params.extend(value for _, values in compiled for value in values)
    where = f"({' OR '.join(parts)})" if parts else "1"
    if body.get("query"):
        texts = [_expression(kind, known[name]) for name in kind.search if name in known and known[name].type == "string"]
        where += " AND (" + " OR ".join(f"instr({text}, lower(?)) > 0" for text in texts or ["''"]) + ")"
        params.extend([str(body["query"])] * max(1, len(texts)))
    return where, params


def _filter(state: State, kind: ObjectType, known: dict[str, Property], item: JSON) -> Sql:
    name, operator = str(item.get("propertyName") or "").lower(), str(item.get("operator") or "")
    if operator not in OPERATORS:
        raise HubSpotError(400, f"Invalid input JSON: unknown operator {operator}; known: {', '.join(OPERATORS)}")
    if name.startswith("associations."):
        return _associated(state, kind, name.partition(".")[2], item)
    found = known.get(name)
    if found is None:
        # Contacts have another last-modified name; filtering on the usual one silently finds nothing.
        if name == "hs_lastmodifieddate" or int(state.setting("search_unknown_property")) == 200:
            return NOTHING
        raise HubSpotError(400, f"There was a problem with the request: property {name} does not exist")
    expression = _expression(kind, found)
    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return f"{expression} IS {'NOT ' if operator == 'HAS_PROPERTY' else ''}NULL", []
    if operator in ("CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"):
        wanted = "1" if operator == "CONTAINS_TOKEN" else "0"
        return f"hs_token({expression}, ?) = {wanted}", [str(item.get("value", ""))]
    return _compare(kind, found, expression, operator, item)


def _compare(kind: ObjectType, found: Property, expression: str, operator: str, item: JSON) -> Sql:
    if operator in ("IN", "NOT_IN"):
        values = item.get("values")
        if not isinstance(values, list) or not values:
            raise HubSpotError(400, f"Invalid input JSON: {operator} on {found.name} needs values")
        marks = ",".join("?" * len(values))
        # Stored text is lower-cased, the given values are not: upper-case values match nothing.
        given = [_value(kind, found, value, lower=False) for value in values]
        return f"{expression} {'NOT IN' if operator == 'NOT_IN' else 'IN'} ({marks})", given
    if item.get("value") is None:
        raise HubSpotError(400, f"Invalid input JSON: {operator} on {found.name} needs a value")
    value = _value(kind, found, item["value"])
    if operator == "BETWEEN":
        if item.get("highValue") is None:
            raise HubSpotError(400, f"Invalid input JSON: BETWEEN on {found.name} needs highValue")
        return f"{expression} BETWEEN ? AND ?", [value, _value(kind, found, item["highValue"])]
    if found.body["fieldType"] == "checkbox" and operator in ("EQ", "NEQ"):
        return f"instr(';' || {expression} || ';', ';' || ? || ';') {'> 0' if operator == 'EQ' else '= 0'}", [value]
    return f"{expression} {COMPARE[operator]} ?", [value]


def _associated(state: State, kind: ObjectType, other: str, item: JSON) -> Sql:
    target = state.type(other)
    values = item.get("values") if item.get("operator") == "IN" else [item.get("value")]
    ids = [records.number_of(str(value)) for value in values or []]
    marks = ",".join("?" * len(ids))
    return (
        f"EXISTS (SELECT 1 FROM assoc a WHERE a.from_type = ? AND a.from_id = id AND a.to_type = ? AND a.to_id IN ({marks}))",
        [kind.id, target.id, *ids],
    )


def _expression(kind: ObjectType, found: Property, *, sort: bool = False) -> str:
    if found.name == "hs_object_id":
        return "id"
    if found.name == kind.modified:
        return "updated"
    if found.name == kind.created:
        return "created"
    path = f"json_extract(props, '$.\"{found.name}\"')"
    if found.type == "number":
        return f"CAST({path} AS REAL)"
    return path if found.type in ("date", "datetime") or sort else f"lower({path})"


def _value(kind: ObjectType, found: Property, given: Any, *, lower: bool = True) -> Any:
    text = as_text(given)
    if text is None:
        raise HubSpotError(400, f"Invalid input JSON: the value for {found.name} must be a string")
    if found.name == "hs_object_id" or found.type == "number":
        try:
            return int(text) if found.name == "hs_object_id" else float(text)
        except ValueError:
            raise HubSpotError(400, f"Invalid value for {found.name}: {text} is not a number") from None
    if found.type == "date":
        day, reason = parse_day(text)
        if day is None:
            raise HubSpotError(400, f"Invalid value for {found.name}: {reason}")
        return day
    if found.type == "datetime":
        ms = parse_moment(text)
        if ms is None:
            raise HubSpotError(400, f"Invalid value for {found.name}: {text} was not a valid long.")
        from connectors.hubspot.sandbox.values import iso

        return ms if found.name in (kind.created, kind.modified) else iso(ms)
    return text.lower() if lower else text


def _order(state: State, kind: ObjectType, body: JSON) -> str:
    sorts = body.get("sorts") or []
    if not isinstance(sorts, list) or len(sorts) > 1:
        raise HubSpotError(400, "Only one sort is allowed.")
    if not sorts:
        return "created, +id"
    first = sorts[0]
    name, direction = (
        (str(first.get("propertyName", "")), str(first.get("direction", "ASCENDING"))) if isinstance(first, dict) else (str(first), "ASCENDING")
    )
    if name.startswith("-"):
        name, direction = name[1:], "DESCENDING"
    if direction not in ("ASCENDING", "DESCENDING"):
        raise HubSpotError(400, f"Invalid input JSON: unknown sort direction {direction}")
    found = state.properties(kind).get(name.lower())
    if found is None:
        raise HubSpotError(400, f"There was a problem with the request: property {name} does not exist")
    word = "ASC" if direction == "ASCENDING" else "DESC"
    expression = _expression(kind, found, sort=True)
    return f"+id {word}" if expression == "id" else f"{expression} {word} NULLS LAST, id {word}"


def register(routes: Routes) -> None:
    """The path of this module."""
    routes.add("POST", "/crm/v3/objects/{type}/search", search, kind="search", search=True)
