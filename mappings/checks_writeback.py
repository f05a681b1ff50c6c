"""Checks of the fields on CRM records."""

import re
from collections.abc import Iterator

from mappings.checker import Checker
from mappings.columns import CSQL_DESIRED, DECISIONS, LANGUAGES
from mappings.expressions import nearest
from mappings.faults import Fault
from mappings.models import FieldType, Products, Score, Writeback, WriteField
from mappings.yaml_files import Document, Path_

#: Salesforce: letters, digits and single underscores, at most 40 characters before `__c`.
_SALESFORCE_NAME = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*__c")
_NUMBERS = (FieldType.NUMBER, FieldType.PERCENT, FieldType.CURRENCY)
#: type -> length a text type may have
_LENGTHS = {FieldType.TEXT: (1, 255), FieldType.LONG_TEXT: (256, 131072)}
#: kinds of column a field type can take
_TAKES = {
    FieldType.CHECKBOX: ("BOOLEAN",), FieldType.DATE: ("DATE",), FieldType.DATETIME: ("TIMESTAMPTZ",), FieldType.PICKLIST: ("VARCHAR", "BIGINT"),
    FieldType.MULTI_PICKLIST: ("VARCHAR",),
    FieldType.TEXT: ("VARCHAR",), FieldType.LONG_TEXT: ("VARCHAR",), FieldType.LOOKUP: ("VARCHAR",),
    **dict.fromkeys(_NUMBERS, ("BIGINT", "DOUBLE", "DECIMAL(18,4)")),
}  # fmt: skip
#: column -> values that a picklist for it must hold
_MUST_HOLD: dict[str, tuple[str, ...]] = {
    "tier_label": ("1", "2", "3", "4", "5", "not_scored"),
    "trend": ("up", "flat", "down"),
    "touch_suggested": ("tech", "hybrid", "high"),
    "motion": ("seat", "tier", "cross_sell"),
    "state": ("Candidate", "Submitted", "Expired"),
}
#: column -> digits before the point, or characters, its values need
_DIGITS = {
    "score": 3,
    "score_uncapped": 3,
    "delta_28d": 3,
    "deployment": 3,
    "adoption": 3,
    "engagement": 3,
    "outcome": 3,
    "coverage": 3,
    "seat_use": 3,
    "approach_score": 3,
}
_DIGITS |= {
    "priority": 3,
    "outcome_change": 3,
    "tier": 1,
    "health_score": 3,
    "health_tier": 1,
    "csql_open_count": 2,
    "seats_suggested": 3,
    "amount": 9,
}
_DIGITS |= {"product_score": 3, "parent_score": 3}
_CHARACTERS = {"config_version": 12, "currency": 3, "external_key": 60, "tier_label": 10}


def check_writeback(checker: Checker) -> Iterator[Fault]:
    writeback = checker.parts.writeback
    if writeback is None:
        return
    document = checker.parts.documents[("writeback.yml", "writeback.yml")]
    vendors = {mapping.vendor for mapping in checker.parts.models["crm"].values()}
    for field in writeback.fields:
        at: Path_ = ("fields", field.object, field.key)
        yield from _names(document, at, field, vendors)
        yield from _type(document, at, field)
        yield from _owner(document, at, field)
        yield from _value(checker, document, at, field)
    yield from _names_twice(document, writeback)
    yield from _sections(document, writeback)
    yield from _external_keys(checker, document, writeback)


def _names(document: Document, at: Path_, field: WriteField, vendors: set[str]) -> Iterator[Fault]:
    # a formula is in Salesforce's language: elsewhere there is no such field
    needed = vendors if field.owner != "crm" else vendors & {"salesforce"}
    for vendor in sorted(needed - set(field.names)):
        yield document.fault((*at, "names"), f"has no name in {vendor}", f"write names: {{{vendor}: …}}")
    name = field.names.get("salesforce")
    if name is None:
        return
    if not _SALESFORCE_NAME.fullmatch(name):
        yield document.fault(
            (*at, "names", "salesforce"), f"`{name}` is no custom field name", "letters, digits and single underscores, ending in __c"
        )
    elif len(name) > 43:
        yield document.fault(
            (*at, "names", "salesforce"), f"`{name}` has {len(name) - 3} characters before __c, at most 40 are allowed", "shorten it"
        )


def _names_twice(document: Document, writeback: Writeback) -> Iterator[Fault]:
    seen: dict[tuple[str, str, str], str] = {}
    for field in writeback.fields:
        for vendor, name in field.names.items():
            other = seen.setdefault((field.object, vendor, name.lower()), field.key)
            if other != field.key:
                text = f"`{name}` is already the name of field `{other}`"
                yield document.fault(("fields", field.object, field.key, "names", vendor), text, "give each field its own API name")


def _sections(document: Document, writeback: Writeback) -> Iterator[Fault]:
    seen: dict[tuple[str, int], str] = {}
    for field in writeback.fields:
        if field.section is None:
            continue
        at = ("fields", field.object, field.key, "section")
        other = seen.setdefault((field.object, field.section), field.key)
        if field.section < 1:
            yield document.fault(at, f"is {field.section}", "places count from 1")
        if other != field.key:
            yield document.fault(at, f"place {field.section} is taken by field `{other}`", "give each field its own place")


def _external_keys(checker: Checker, document: Document, writeback: Writeback) -> Iterator[Fault]:
    for name in ("account", "csql"):
        keys = [field for field in writeback.of(name) if field.external_key]
        for field in keys[1:]:
            yield document.fault(
                ("fields", name, field.key, "external_key"), f"{name} has two external keys: `{keys[0].key}` is the other", "keep one"
            )
        for field in keys:
            if field.type != FieldType.TEXT or field.owner != "worker":
                yield document.fault(
                    ("fields", name, field.key, "external_key"), "an external key is a text field of the worker", "write type: text and owner: worker"
                )
    faulty = any(found == "csql" for found, _ in checker.parts.faulty_fields)
    if checker.parts.models["csql"] and not faulty and not any(field.external_key for field in writeback.of("csql")):
        yield document.fault(("fields", "csql"), "no external key: a CSQL record could be created twice", "add a text field with external_key: true")


# --- type and owner ------------------------------------------------------------------------------------------------------------------------------
def _type(document: Document, at: Path_, field: WriteField) -> Iterator[Fault]:
    limits = _LENGTHS.get(field.type)
    if limits is None:
        yield from _stray(document, at, field, "length", field.length is not None)
    elif field.length is None or not limits[0] <= field.length <= limits[1]:
        yield document.fault(
            (*at, "length"),
            f"a {field.type} field needs a length of {limits[0]} to {limits[1]}",
            "write length: 255" if field.type == FieldType.TEXT else "",
        )
    if field.type in _NUMBERS:
        yield from _number(document, at, field)
    else:
        yield from _stray(document, at, field, "precision", field.precision is not None)
        yield from _stray(document, at, field, "scale", field.scale is not None)
        yield from _stray(document, at, field, "noise", field.noise is not None)
    if field.type in (FieldType.PICKLIST, FieldType.MULTI_PICKLIST):
        yield from _picklist(document, at, field)
    else:
        yield from _stray(document, at, field, "values", bool(field.values))
    if (field.type == FieldType.LOOKUP) != (field.reference_to is not None):
        yield document.fault(
            (*at, "reference_to"),
            "a lookup names the object it points to, and only a lookup does",
            "write reference_to: User" if field.reference_to is None else "drop it",
        )


def _stray(document: Document, at: Path_, field: WriteField, key: str, given: bool) -> Iterator[Fault]:
    if given:
        yield document.fault((*at, key), f"`{key}` has no place in a {field.type} field", "drop it, or change the type")


def _number(document: Document, at: Path_, field: WriteField) -> Iterator[Fault]:
    precision, scale = field.precision, field.scale
    if precision is None or not 1 <= precision <= 18:
        yield document.fault((*at, "precision"), f"a {field.type} field needs a precision (digits in all) of 1 to 18", "write precision: 3")
    if scale is None or not 0 <= scale <= 17:
        yield document.fault((*at, "scale"), f"a {field.type} field needs a scale (decimals) of 0 to 17", "write scale: 0")
    elif precision is not None and scale > precision:
        yield document.fault((*at, "scale"), f"scale {scale} is above precision {precision}", "precision counts all digits, decimals included")
    if field.noise is not None and field.noise < 0:
        yield document.fault((*at, "noise"), f"is {field.noise}", "a difference of 0 or more")


def _picklist(document: Document, at: Path_, field: WriteField) -> Iterator[Fault]:
    values = [value.value for value in field.values]
    if not values:
        yield document.fault((*at, "values"), "a picklist needs its values", "list value, en and ja of each")
    for place, value in enumerate(values):
        if value in values[:place]:
            yield document.fault((*at, "values", place, "value"), f"value `{value}` is listed twice", "keep one")
        if field.type == FieldType.MULTI_PICKLIST and ";" in value:
            yield document.fault((*at, "values", place, "value"), f"`{value}` holds a `;`, which separates values", "write it without")
        if not 1 <= len(value) <= 255:
            yield document.fault((*at, "values", place, "value"), f"has {len(value)} characters", "a picklist value has 1 to 255")


def _owner(document: Document, at: Path_, field: WriteField) -> Iterator[Fault]:
    if (field.owner == "crm") != (field.formula is not None):
        text = "a formula belongs to owner crm" if field.formula is not None else "owner crm needs a formula"
        yield document.fault((*at, "formula"), text, "a field the CRM computes has owner: crm and a formula")
    if field.owner != "worker":
        for key in ("value", "update", "noise", "max_age_days", "on_edit"):
            if key in field.model_fields_set:
                yield document.fault((*at, key), f"`{key}` has no place in a field of owner {field.owner}: the worker never writes it", "drop it")
    if field.max_age_days is not None and (field.update != "ride_along" or field.max_age_days < 1):
        yield document.fault((*at, "max_age_days"), "belongs to update: ride_along and counts days from 1", "drop it, or write update: ride_along")


# --- value ---------------------------------------------------------------------------------------------------------------------------------------
def _value(checker: Checker, document: Document, at: Path_, field: WriteField) -> Iterator[Fault]:
    if field.owner != "worker":
        return
    name = field.value or field.key
    columns = DECISIONS if field.object == "account" else CSQL_DESIRED
    single = (
        columns.get(name)
        or columns.get(f"{name}*")
        or next((columns[f"{name[:-3]}*"] for end in LANGUAGES if name.endswith(f"_{end}") and f"{name[:-3]}*" in columns), None)
    )
    if single is None:
        known = [column.rstrip("*") for column in columns]
        yield document.fault((*at, "value"), f"there is no `{name}` to write", nearest(name, known) or f"known: {', '.join(known)}")
        return
    if single.type not in _TAKES[field.type]:
        yield document.fault((*at, "type"), f"a {field.type} field cannot take `{name}`, which is {single.type}", "change the type or the value")
        return
    yield from _room(checker, document, at, field, name)


def _room(checker: Checker, document: Document, at: Path_, field: WriteField, name: str) -> Iterator[Fault]:
    """Whether the values that are known to come have room in the field."""
    digits = _DIGITS.get(name)
    if (
        field.type in _NUMBERS
        and digits is not None
        and field.precision is not None
        and field.scale is not None
        and field.precision - field.scale < digits
    ):
        text = f"holds {field.precision - field.scale} digits before the point, `{name}` needs {digits}"
        yield document.fault((*at, "precision"), text, "raise the precision")
    need = max((len(text) for text in _values(checker, name)), default=_CHARACTERS.get(name, 0))
    if field.type == FieldType.TEXT and field.length is not None and field.length < need:
        yield document.fault((*at, "length"), f"holds {field.length} characters, `{name}` needs {need}", "lengthen the field")
    if field.type in (FieldType.PICKLIST, FieldType.MULTI_PICKLIST) and field.values:
        have = [value.value for value in field.values]
        for value in [*_MUST_HOLD.get(name, ()), *_values(checker, name)]:
            if value not in have:
                yield document.fault((*at, "values"), f"`{value}` is missing: {name} can take it", "add the value")


def _values(checker: Checker, name: str) -> list[str]:
    """The values a column can take as far as the mappings say."""
    parts = checker.parts
    scores = [score for score in parts.models["scores"].values() if isinstance(score, Score)]
    if name == "profile":
        return [profile.name for score in scores for profile in score.profiles]
    if name == "cause":
        return [cap.name for score in scores for cap in score.caps]
    if name == "usage_status":
        return [status.value for score in scores for status in score.usage_status]
    if name == "patterns":
        return sorted(parts.models["patterns"])
    if name == "rule":
        return [f"{rule.name} v{rule.version}" for rule in parts.models["csql"].values()]
    products = parts.single("products.yml", Products)
    return [product.code for product in products.products] if name == "product" and products is not None else []
