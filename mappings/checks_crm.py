"""Checks of CRM mappings: entities, columns, field paths, expressions over raw fields."""

import re
from collections.abc import Iterator

from mappings.checker import Checker
from mappings.columns import ENTITIES, REQUIRED
from mappings.expressions import ExpressionFault, nearest
from mappings.faults import Fault
from mappings.models import ConstColumn, CrmMapping, FieldColumn, Source, SqlColumn
from mappings.yaml_files import Document, Path_

#: Columns the connector fills for every entity.
_CONNECTORS = ("id", "modified_at", "deleted", "master_id", "read_at", "connection", "source")
#: Salesforce: a path has at most five relationships before its field.
_SALESFORCE_PATH = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*){0,5}")
_SALESFORCE_OBJECT = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

#: HubSpot: properties in lower case; `associations.<type>` before one leads to an associated record, or is that record's id.
_HUBSPOT_PATH = re.compile(r"(associations\.[a-z0-9][a-z0-9_-]*\.)*(associations\.[a-z0-9][a-z0-9_-]*|[a-zA-Z][a-zA-Z0-9_]*)")


def check_crm(checker: Checker) -> Iterator[Fault]:
    mappings: dict[str, CrmMapping] = checker.parts.models["crm"]
    for name, mapping in mappings.items():
        yield from _mapping(checker, checker.parts.documents[("crm", name)], mapping)
        yield from _record_fields(checker, name, mapping)
    yield from _authority(checker, mappings)
    rules, whole = checker.parts.models["csql"], len(mappings) == len(checker.parts.stems("crm"))
    if mappings and whole and rules and not any("csql" in mapping.entities for mapping in mappings.values()):
        first = next(iter(mappings))
        yield checker.parts.fault(
            "crm", first, ("entities",), "there are CSQL rules, but no connection maps `csql`: nobody's move would be seen", "map csql"
        )
    if mappings and len(mappings) == len(checker.parts.stems("crm")) and not any("account" in mapping.entities for mapping in mappings.values()):
        first = next(iter(mappings))
        yield checker.parts.fault("crm", first, ("entities",), "no connection maps `account`: there would be nothing to score", "map account")


def _authority(checker: Checker, mappings: dict[str, CrmMapping]) -> Iterator[Fault]:
    """Two connections that both claim an entity would overrule each other."""
    owners: dict[str, str] = {}
    for name, mapping in mappings.items():
        for entity in mapping.authoritative or list(mapping.entities):
            other = owners.setdefault(entity, name)
            if other != name:
                text = f"`{entity}` is already authoritative in crm/{other}.yml"
                yield checker.parts.fault("crm", name, ("authoritative",), text, "list under `authoritative` what comes from here, each entity once")


def _record_fields(checker: Checker, name: str, mapping: CrmMapping) -> Iterator[Fault]:
    """The CSQL record is read from the fields that writeback.yml creates; another name would find none of our records again."""
    writeback = checker.parts.writeback
    for place, source in enumerate(mapping.entities.get("csql", []) if writeback is not None else []):
        for field in writeback.of("csql") if writeback is not None else []:
            spec, ours = source.columns.get(field.key), field.names.get(mapping.vendor)
            if field.key in ("external_key", "state") and isinstance(spec, str) and ours is not None and spec.lower() != ours.lower():
                text = f"reads `{spec}`, but writeback.yml writes `{ours}`"
                yield checker.parts.fault("crm", name, ("entities", "csql", place, "columns", field.key), text, "use one name in both files")


def _mapping(checker: Checker, document: Document, mapping: CrmMapping) -> Iterator[Fault]:
    for place, entity in enumerate(mapping.authoritative):
        if entity not in mapping.entities:
            yield document.fault(("authoritative", place), f"`{entity}` is not mapped here", nearest(entity, mapping.entities))
    if mapping.vendor == "salesforce" and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}__c", mapping.csql_object):
        yield document.fault(("csql_object",), f"`{mapping.csql_object}` is no custom object", "its API name ends in __c, as CSH_CSQL__c")
    if mapping.vendor == "salesforce" and mapping.csql_store not in ("auto", "custom_object"):
        yield document.fault(("csql_store",), f"Salesforce keeps CSQLs in a custom object, not in a {mapping.csql_store}", "drop the line")
    for entity, sources in mapping.entities.items():
        path: Path_ = ("entities", entity)
        if entity not in ENTITIES:
            yield document.fault(path, f"unknown entity `{entity}`", nearest(entity, ENTITIES) or f"known: {', '.join(ENTITIES)}")
            continue
        if not sources:
            yield document.fault(path, "has no source", "name an object, or drop the entity")
        for place, source in enumerate(sources):
            yield from _source(checker, document, (*path, place), mapping.vendor, entity, source)


def _source(checker: Checker, document: Document, path: Path_, vendor: str, entity: str, source: Source) -> Iterator[Fault]:
    if vendor == "salesforce" and not _SALESFORCE_OBJECT.fullmatch(source.object):
        yield document.fault((*path, "object"), f"`{source.object}` is no object name", "write its API name, as OrderItem or NPS_Response__c")
    if vendor == "hubspot" and source.filter is not None:
        yield document.fault((*path, "filter"), "HubSpot's lists cannot filter", "drop it, and tell the records apart in a column, as `status`")
    for column in REQUIRED[entity]:
        if column not in source.columns:
            yield document.fault((*path, "columns", column), f"`{column}` is missing: a row of {entity} is of no use without it", "map it")
    for column, spec in source.columns.items():
        at = (*path, "columns", column)
        if column in _CONNECTORS:
            yield document.fault(at, f"`{column}` is filled by the connector", "drop it")
        elif column not in ENTITIES[entity]:
            yield document.fault(
                at, f"unknown column `{column}` of {entity}", nearest(column, ENTITIES[entity]) or f"known: {', '.join(ENTITIES[entity])}"
            )
        elif isinstance(spec, SqlColumn):
            yield from _sql(checker, document, at, vendor, spec, ENTITIES[entity][column])
        elif isinstance(spec, ConstColumn):
            yield from _constant(document, (*at, "const"), spec.const, ENTITIES[entity][column])
        else:
            yield from _field(document, at, vendor, spec, ENTITIES[entity][column])


def _field(document: Document, at: Path_, vendor: str, spec: str | FieldColumn, type_: str) -> Iterator[Fault]:
    name = spec if isinstance(spec, str) else spec.field
    yield from _path(document, at if isinstance(spec, str) else (*at, "field"), vendor, name)
    if isinstance(spec, FieldColumn):
        for key, value in (spec.values or {}).items():
            yield from _constant(document, (*at, "values", key), value, type_)
        if spec.default is not None:
            yield from _constant(document, (*at, "default"), spec.default, type_)


def _path(document: Document, at: Path_, vendor: str, name: str) -> Iterator[Fault]:
    if vendor == "salesforce" and not _SALESFORCE_PATH.fullmatch(name):
        yield document.fault(at, f"`{name}` is no field path", "write a field, or up to five relationships before it, as Order.Contract.Status")

    if vendor == "hubspot" and not _HUBSPOT_PATH.fullmatch(name):
        yield document.fault(at, f"`{name}` is no path", "write a property, or associations before it, as associations.deals.closedate")


def _constant(document: Document, at: Path_, value: str | bool | int, type_: str) -> Iterator[Fault]:
    number = type_ in ("BIGINT", "DOUBLE") or type_.startswith("DECIMAL")
    good = (
        isinstance(value, bool)
        if type_ == "BOOLEAN"
        else isinstance(value, int) and not isinstance(value, bool)
        if number
        else isinstance(value, str)
    )
    if not good:
        kind = "true or false" if type_ == "BOOLEAN" else "a number" if number else "text (in quotes)"
        yield document.fault(at, f"`{value}` does not fit the column, which is {type_}", f"write {kind}")


def _sql(checker: Checker, document: Document, at: Path_, vendor: str, spec: SqlColumn, type_: str) -> Iterator[Fault]:
    for place, name in enumerate(spec.fields):
        yield from _path(document, (*at, "fields", place), vendor, name)
        if name in spec.fields[:place]:
            yield document.fault((*at, "fields", place), f"`{name}` is listed twice", "keep one")
    try:
        found = checker.expressions.check(spec.sql, dict.fromkeys(spec.fields, "VARCHAR"))
    except ExpressionFault as fault:
        yield document.fault((*at, "sql"), str(fault), fault.remedy or 'name every field in `fields` and quote it: "Order.AccountId"')
        return
    if (found.type == "BOOLEAN") != (type_ == "BOOLEAN") and found.type != "VARCHAR":
        yield document.fault((*at, "sql"), f"gives {found.type}, the column is {type_}", "compare or cast accordingly")
    for name in sorted(set(spec.fields) - found.columns):
        yield document.fault((*at, "fields"), f"field `{name}` is not used in the expression", "drop it, or use it")
