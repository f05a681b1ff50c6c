"""Reads the compact table of standard objects in `standard_objects.py` into definitions.

One line per field: `Name type[(length | precision,scale)] flags…`. Flags: `req` required, `name` the name field, `ro` read-only, `noupd` fixed after
insert, `long` not filterable, `idx` indexed, `lookup` an id-lookup field, `auto=FORMAT`, `default=V`, `pick=A|B` (`pick!=` restricted),
`to=Target+Target:Relationship:Children`, `cascade` / `restrict` on delete of the parent, `gen=KEY` / `sql=KEY` a named expression, `noperm`.
"""

from __future__ import annotations

import re
from dataclasses import replace

from connectors.salesforce.sandbox.schema import FieldDef, ObjectDef, PicklistValue, split_label

_TYPE = re.compile(r"(\w+)(?:\(([\d,]+)\))?")
DEFAULT_LENGTHS = {
    "id": 18,
    "reference": 18,
    "picklist": 255,
    "multipicklist": 4099,
    "email": 80,
    "phone": 40,
    "url": 255,
    "string": 255,
    "textarea": 255,
}


def system_fields(mergeable: bool) -> list[str]:
    """The fields every object has; a merge loser points at its winner through MasterRecordId."""
    lines = ["Id id ro noperm lookup", "IsDeleted boolean ro noperm"]
    if mergeable:
        lines.append("MasterRecordId reference ro noperm to=SELF:MasterRecord:")
    return lines


STAMPS = [
    "CreatedDate datetime ro noperm",
    "CreatedById reference ro noperm to=User:CreatedBy:",
    "LastModifiedDate datetime ro noperm",
    "LastModifiedById reference ro noperm to=User:LastModifiedBy:",
    "SystemModstamp datetime ro noperm idx",
]


def parse_object(
    name: str, prefix: str, plural: str, lines: str, expressions: dict[str, str], *, mergeable: bool = False, writable: bool = True
) -> ObjectDef:
    """One standard object from its table."""
    rows = [*system_fields(mergeable), *(line.strip() for line in lines.strip().splitlines() if line.strip()), *STAMPS]
    fields: dict[str, FieldDef] = {}
    for row in rows:
        item = parse_field(row.replace("SELF", name), expressions)
        fields[item.key] = item
    return ObjectDef(name, split_label(name), plural, prefix, fields=fields, mergeable=mergeable, writable=writable)


def parse_field(line: str, expressions: dict[str, str]) -> FieldDef:
    """One field from its line."""
    name, kind, *flags = line.split()
    match = _TYPE.fullmatch(kind)
    if match is None:
        raise ValueError(f"standard field {line!r}: type {kind!r} cannot be read")
    item = FieldDef(name, match[1], split_label(name), length=DEFAULT_LENGTHS.get(match[1], 0))
    item = _with_size(item, match[2])
    for flag in flags:
        item = _with_flag(item, flag, expressions)
    if item.type == "boolean":
        item = replace(item, nillable=False)
    return item


def _with_size(item: FieldDef, size: str | None) -> FieldDef:
    if item.is_number:
        precision, scale = (int(part) for part in size.split(",")) if size else (18, 2)
        return replace(item, precision=precision, scale=scale)
    if item.type == "int":
        return replace(item, precision=int(size or 9))
    return replace(item, length=int(size)) if size else item


def _with_flag(item: FieldDef, flag: str, expressions: dict[str, str]) -> FieldDef:
    key, _, value = flag.partition("=")
    simple: dict[str, dict[str, object]] = {
        "req": {"nillable": False, "permissionable": False},
        "name": {"name_field": True, "indexed": True},
        "ro": {"createable": False, "updateable": False},
        "noupd": {"updateable": False},
        "long": {"long_text": True},
        "idx": {"indexed": True},
        "lookup": {"id_lookup": True},
        "cascade": {"cascade_delete": True},
        "restrict": {"restricted_delete": True},
        "noperm": {"permissionable": False},
        "unique": {"unique": True, "indexed": True},
    }
    if key in simple:
        return replace(item, **simple[key])  # type: ignore[arg-type]
    if key == "auto":
        return replace(item, auto_number=value, createable=False, updateable=False, nillable=False, permissionable=False)
    if key == "default":
        return replace(item, default={"true": True, "false": False}.get(value, value.replace("_", " ")))
    if key in ("pick", "pick!"):
        return _with_picklist(item, value, restricted=key == "pick!")
    if key == "to":
        return _with_reference(item, value)
    if key in ("gen", "sql"):
        expression = f"round(({expressions[value]}), {item.scale})" if item.is_number else expressions[value]
        changes = {"generated" if key == "gen" else "sql": expression}
        return replace(item, calculated=item.type != "boolean", createable=False, updateable=False, **changes)  # type: ignore[arg-type]
    raise ValueError(f"standard field {item.name}: unknown flag {flag!r}")


def _with_picklist(item: FieldDef, value: str, *, restricted: bool) -> FieldDef:
    entries = tuple(PicklistValue(text.replace("_", " "), text.replace("_", " ")) for text in value.split("|"))
    return replace(item, picklist=entries, restricted=restricted)


def _with_reference(item: FieldDef, value: str) -> FieldDef:
    targets, relationship, children = value.split(":")
    return replace(
        item,
        reference_to=tuple(targets.split("+")),
        relationship_name=relationship or None,
        child_relationship=children or None,
        indexed=bool(children),
    )
