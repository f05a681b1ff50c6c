"""The data behind the pages: sections of labelled, formatted values and related lists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from connectors.salesforce.sandbox.errors import SalesforceError, not_found
from connectors.salesforce.sandbox.page_layout import Action, Layout, layout_for
from connectors.salesforce.sandbox.page_words import TEXTS, field_label, object_label
from connectors.salesforce.sandbox.schema import ChildRelationship, FieldDef, ObjectDef, column_sql, quote
from connectors.salesforce.sandbox.values import out

if TYPE_CHECKING:
    from connectors.salesforce.sandbox.state import State, User

LIST_ROWS, RELATED_ROWS, RELATED_COLUMNS = 200, 10, 6
DETAILS = {
    "Account": ("Name", "ParentId", "Type", "Industry", "NumberOfEmployees", "OwnerId", "Phone", "Website", "BillingCity", "AccountNumber"),
}  # fmt: skip
RELATED = ("Contracts", "Opportunities", "Cases", "ActivityTasks", "ActivityEvents", "Contacts", "Orders", "Assets")


@dataclass(frozen=True, slots=True)
class Cell:
    """One value to show: text, where it links to, and a short kind for its looks."""

    label: str
    text: str
    link: str | None = None
    kind: str = ""
    help: str | None = None


@dataclass(slots=True)
class Section:
    """A titled group of values."""

    title: str
    columns: list[list[Cell]]
    main: bool = False


@dataclass(slots=True)
class Related:
    """A related list: column titles and rows of cells."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]
    total: int


@dataclass(slots=True)
class View:
    """A record page."""

    title: str
    object_label: str
    sections: list[Section] = field(default_factory=list)
    related: list[Related] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    path: str = ""


def account_list(state: State, text: str) -> list[dict[str, Any]]:
    """Accounts whose name contains the text, by name; at most 200."""
    pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    sql = (
        'SELECT a."Id", a."Name", a."Industry", u."Name" FROM "Account" a LEFT JOIN "User" u ON u."Id" = a."OwnerId" '
        'WHERE a."IsDeleted" = 0 AND a."Name" LIKE ? ESCAPE \'\\\' ORDER BY a."Name" LIMIT ?'
    )
    return [{"id": key, "name": name, "industry": industry, "owner": owner} for key, name, industry, owner in state.read(sql, (pattern, LIST_ROWS))]


def record_view(state: State, user: User, object_name: str, record_id: str, language: str) -> View:
    """A record as the user may see it; raises NOT_FOUND."""
    item = state.object_for(object_name, user)
    visible = state.visible_fields(item.name, user)
    columns = [column for key, column in item.fields.items() if key in visible]
    selected = ", ".join(column_sql(column, "t") for column in columns)
    rows = state.read(f'SELECT {selected} FROM {quote(item.name)} AS "t" WHERE "t"."Id" = ?', (record_id,))
    if not rows:
        raise not_found()
    values = {column.key: out(column, value) for column, value in zip(columns, rows[0], strict=True)}
    shower = _Shower(state, language, layout_for(item.name, language))
    name = item.name_field
    view = View(
        str(values.get(name.key) if name else record_id),
        shower.layout.object_label or object_label(item.name, item.label, language),
        actions=shower.layout.actions,
    )
    view.sections = _sections(shower, item, values)
    view.related = [related for link in _links(item) if (related := _related(shower, user, link, record_id)) is not None]
    return view


def run_action(state: State, user: User, object_name: str, record_id: str, name: str) -> None:
    """What a press of an update action does: the fields it sets, written as the user. Raises what the org refuses."""
    item = state.object_for(object_name, user)
    action = next((entry for entry in layout_for(item.name, "en").actions if entry.name == name), None)
    if action is None:
        raise not_found()
    computed = {"NOW()": state.stamp(), "TODAY()": state.today().isoformat()}
    row = {field_name: computed.get(text, text) for field_name, text in action.overrides}
    result = state.write_records(item.name, "update", [{**row, "Id": record_id}], user=user, source="csv")[0]
    if not result.success:
        error = result.errors[0]
        raise SalesforceError(error.code, error.message, fields=error.fields)


def _sections(shower: _Shower, item: ObjectDef, values: dict[str, Any]) -> list[Section]:
    texts = TEXTS[shower.language]

    def cells(names: Iterable[str]) -> list[Cell]:
        return [shower.cell(item, name, values) for name in names if name.lower() in values]

    sections = [Section(part.title, [cells(column) for column in part.columns], main=True) for part in shower.layout.sections]
    shown = {name.lower() for part in shower.layout.sections for name in part.fields}
    details = [column for column in _details(item) if column.key in values and column.key not in shown]
    rest = [column for key, column in item.fields.items() if column.custom and key in values and key not in shown and column not in details]
    sections.append(Section(texts["details"], _halves(cells(column.name for column in details))))
    sections.append(Section(texts["other"], _halves(cells(column.name for column in rest))))
    sections.append(Section(texts["system"], _halves(cells(("CreatedById", "CreatedDate", "LastModifiedById", "LastModifiedDate")))))
    return [section for section in sections if any(section.columns)]


def _halves(cells: list[Cell]) -> list[list[Cell]]:
    middle = (len(cells) + 1) // 2
    return [cells[:middle], cells[middle:]]


def _details(item: ObjectDef) -> list[FieldDef]:
    chosen = DETAILS.get(item.name)
    if chosen:
        return [item.fields[name.lower()] for name in chosen]
    hidden = {"id", "isdeleted", "systemmodstamp", "createdbyid", "createddate", "lastmodifiedbyid", "lastmodifieddate"}
    return [column for key, column in item.fields.items() if key not in hidden and not (column.custom and not item.custom)]


def _links(item: ObjectDef) -> list[ChildRelationship]:
    custom = [link for link in item.children if link.child.endswith("__c") and link.relationship_name]
    if item.name != "Account":
        return custom
    named = {link.relationship_name: link for link in item.children if link.relationship_name}
    return custom + [named[name] for name in RELATED if name in named]


def _related(shower: _Shower, user: User, link: ChildRelationship, record_id: str) -> Related | None:
    state = shower.state
    child = state.object(link.child)
    if not state.grants(user).can_read(child):
        return None
    visible = state.visible_fields(child.name, user)
    columns = _related_columns(child, link, visible)
    where = f'"t".{quote(link.field)} = ? AND "t"."IsDeleted" = 0'
    total = state.read(f'SELECT count(*) FROM {quote(child.name)} AS "t" WHERE {where}', (record_id,))[0][0]
    if not total:
        return None
    selected = ", ".join(column_sql(column, "t") for column in [child.fields["id"], *columns])
    sql = f'SELECT {selected} FROM {quote(child.name)} AS "t" WHERE {where} ORDER BY "t"."CreatedDate" DESC, "t"."Id" LIMIT {RELATED_ROWS}'
    layout = layout_for(child.name, shower.language)
    inner = _Shower(state, shower.language, layout)
    rows = []
    for key, *values in state.read(sql, (record_id,)):
        named = {column.key: out(column, value) for column, value in zip(columns, values, strict=True)}
        cells = [inner.cell(child, column.name, named) for column in columns]
        first = cells[0]
        cells[0] = Cell(first.label, first.text, f"/lightning/r/{child.name}/{key}/view", first.kind)
        rows.append(cells)
    title = layout.object_plural or object_label(child.name, child.label_plural, shower.language)
    return Related(title, [inner.label(child, column) for column in columns], rows, int(total))


def _related_columns(child: ObjectDef, link: ChildRelationship, visible: frozenset[str]) -> list[FieldDef]:
    preferred = {
        "Contract": ("ContractNumber", "Status", "StartDate", "EndDate"), "Opportunity": ("Name", "StageName", "Amount", "CloseDate"),
        "Case": ("CaseNumber", "Subject", "Status", "Priority"), "Task": ("Subject", "ActivityDate", "Status", "Type"),
        "Event": ("Subject", "StartDateTime", "Type"), "Contact": ("Name", "Title", "Email"),
        "Order": ("OrderNumber", "EffectiveDate", "TotalAmount"), "Asset": ("Name", "Status", "Quantity"),
    }.get(child.name, ("Name",))  # fmt: skip
    columns = [child.fields[name.lower()] for name in preferred]
    custom = [
        column for key, column in child.fields.items() if column.custom and key in visible and column.name != link.field and not column.long_text
    ]
    return columns + custom[: max(0, RELATED_COLUMNS - len(columns))]


class _Shower:
    """Formats values for people: labels by language, dates in the org's time zone, names behind ids."""

    def __init__(self, state: State, language: str, layout: Layout) -> None:
        self.state = state
        self.language = language
        self.layout = layout
        self.zone = ZoneInfo(state.timezone)

    def label(self, item: ObjectDef, column: FieldDef) -> str:
        return self.layout.labels.get(column.name) or field_label(column.name, column.label, self.language)

    def cell(self, item: ObjectDef, name: str, values: dict[str, Any]) -> Cell:
        column = item.fields[name.lower()]
        value = values.get(column.key)
        link, kind = None, column.type
        text = self.text(column, value)
        if column.type == "reference" and value:
            target = self.state.by_prefix(value)
            link = f"/lightning/r/{target.name}/{value}/view" if target is not None else None
        if column.picklist and value:
            kind = "pill"
            text = self.layout.values.get(
                (column.name, str(value)), next((entry.label for entry in column.picklist if entry.value == value), str(value))
            )
        return Cell(self.label(item, column), text, link, kind, self.layout.helps.get(column.name, column.help))

    def text(self, column: FieldDef, value: Any) -> str:
        if value is None or value == "":
            return ""
        if column.type == "boolean":
            return TEXTS[self.language]["yes" if value else "no"]
        if column.type == "datetime":
            return datetime.strptime(str(value)[:19] + "+0000", "%Y-%m-%dT%H:%M:%S%z").astimezone(self.zone).strftime("%Y/%m/%d %H:%M")
        if column.type == "date":
            return str(value).replace("-", "/")
        if column.is_number or column.type == "int":
            number = f"{value:,.{column.scale}f}"
            return f"{number}%" if column.type == "percent" else number
        if column.type == "reference":
            return self.name_of(str(value))
        return str(value)

    def name_of(self, record_id: str) -> str:
        target = self.state.by_prefix(record_id)
        name = target.name_field if target is not None else None
        if target is None or name is None:
            return record_id
        family = [target.fields[key] for key in ("lastname", "firstname") if key in target.fields]
        selected = ", ".join(column_sql(column, "t") for column in (name, *family))
        rows = self.state.read(f'SELECT {selected} FROM {quote(target.name)} AS "t" WHERE "t"."Id" = ?', (record_id,))
        if not rows or not rows[0][0]:
            return record_id
        shown, *parts = rows[0]
        # Japanese names are read family name first.
        japanese = self.language == "ja" and len(parts) == 2 and all(parts) and not str(parts[0]).isascii()
        return f"{parts[0]} {parts[1]}" if japanese else str(shown)
