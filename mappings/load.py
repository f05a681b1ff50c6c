"""Reads and checks all mapping files of a folder and reports every fault of every file at once.

    mappings, warnings = load_checked(folder)      # MappingFaults names every fault
    mappings = load(None)                          # the shipped defaults

`SCORESYNC_MAPPINGS` names the folder; the process settings read it, not this module.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from mappings.checks import check_all
from mappings.expressions import nearest
from mappings.faults import Fault, MappingFaults
from mappings.models import (
    Alert,
    Calendar,
    CrmMapping,
    CsqlPolicy,
    CsqlRule,
    Indicator,
    Mappings,
    Products,
    Scope,
    Score,
    UsageSource,
    Writeback,
    WriteField,
)
from mappings.models_churn import Churn
from mappings.models_onboarding import OnboardingPlan, Renewal, SelfSuccess
from mappings.models_patterns import Pattern
from mappings.models_routing import Lists, Priority, Routing
from mappings.models_sales import Sales, Voice
from mappings.parts import Parts
from mappings.snapshot import config_version, restore, snapshot
from mappings.validate import validate
from mappings.yaml_files import Document, read

__all__ = ["DEFAULTS", "Fault", "MappingFaults", "config_version", "load", "load_checked", "restore", "snapshot"]

#: The shipped mapping files lie beside this module.
DEFAULTS = Path(__file__).parent

#: folder -> (model, key that must equal the file's name)
FOLDERS: dict[str, tuple[type[BaseModel], str]] = {
    "crm": (CrmMapping, "connection"),
    "usage": (UsageSource, "name"),
    "indicators": (Indicator, "name"),
    "scores": (Score, "name"),
    "csql": (CsqlRule, "name"),
    "alerts": (Alert, "name"),
    "onboarding": (OnboardingPlan, "name"),
    "patterns": (Pattern, "name"),
}
FILES: dict[str, type[BaseModel]] = {
    "csql_policy.yml": CsqlPolicy,
    "products.yml": Products,
    "scope.yml": Scope,
    "calendar.yml": Calendar,
    "self_success.yml": SelfSuccess,
    "renewal.yml": Renewal,
    "writeback.yml": Writeback,
    "priority.yml": Priority,
    "routing.yml": Routing,
    "lists.yml": Lists,
    "sales.yml": Sales,
    "voice.yml": Voice,
    "churn.yml": Churn,
}
#: Files that may be absent: their defaults are complete. So may the CSQL policy where there is no rule.
OPTIONAL = (
    "scope.yml", "calendar.yml", "priority.yml", "routing.yml", "lists.yml", "self_success.yml", "renewal.yml", "sales.yml", "voice.yml", "churn.yml",
)  # fmt: skip
#: Folders that must hold a file.
NEEDED = ("crm", "indicators", "scores")


@dataclass(frozen=True)
class _Loaded:
    document: Document
    model: BaseModel | None


def load(folder: Path | None = None) -> Mappings:
    """The mappings of a folder (null = the shipped defaults), checked. MappingFaults when anything is wrong; warnings are dropped."""
    return load_checked(folder)[0]


def load_checked(folder: Path | None = None) -> tuple[Mappings, list[Fault]]:
    """The mappings and their warnings, in order of file and line. MappingFaults lists every fault of every file."""
    root = DEFAULTS if folder is None else Path(folder)
    if not root.is_dir():
        raise MappingFaults(
            str(root), [Fault(".", 0, "", f"the folder {root} does not exist", "set SCORESYNC_MAPPINGS to a copy of the shipped folder")]
        )
    faults = list(_strays(root))
    parts = Parts()
    for kind, name, document in _documents(root):
        faults += document.faults
        if document.readable:
            faults += _take(parts, kind, name, document)
    faults += _absent(root)
    found, warnings = check_all(parts)
    faults += found
    if faults:
        raise MappingFaults(str(root), faults)
    return parts.whole(), sorted(set(warnings))


def _documents(root: Path) -> Iterator[tuple[str, str, Document]]:
    """(kind, name, document) of every known file, in a fixed order; the kind of a single file is its own name."""
    for kind in FOLDERS:
        for path in sorted((root / kind).glob("*.yml")):
            yield kind, path.stem, read(path, f"{kind}/{path.name}")
    for name in FILES:
        if (root / name).is_file():
            yield name, name, read(root / name, name)


def _take(parts: Parts, kind: str, name: str, document: Document) -> list[Fault]:
    """Validate one document into the parts; its faults."""
    parts.documents[(kind, name)] = document
    if kind == "writeback.yml":
        parts.writeback, faults = _writeback(document, parts)
        return faults
    if kind in FILES:
        model, faults = validate(FILES[kind], document)
        parts.singles[kind] = model
        return faults
    model_class, key = FOLDERS[kind]
    model, faults = validate(model_class, document)
    given = document.data.get(key)
    if isinstance(given, str) and given != name:
        faults.append(document.fault((key,), f"`{given}` is not the file's name `{name}`", "rename one of the two: a file carries its own name"))
    other = parts.names.setdefault((kind, str(given)), document.file) if given is not None else document.file
    if other != document.file:
        faults.append(document.fault((key,), f"two files have the name `{given}`: the other is {other}", "give each its own name"))
    if model is not None:
        parts.models[kind][name] = model
    return faults


def _writeback(document: Document, parts: Parts) -> tuple[Writeback | None, list[Fault]]:
    """Fields are written as object → key → attributes; key and object become attributes of the field."""
    header, faults = validate(Writeback, document, (), {**document.data, "fields": []})
    groups = document.data.get("fields")
    if not isinstance(groups, dict):
        return None, [*faults, document.fault(("fields",), "must hold the fields of `account` and `csql`", "see docs/mappings.md")]
    fields: list[WriteField] = []
    for object_name, rows in groups.items():
        if object_name not in ("account", "csql"):
            faults.append(
                document.fault(
                    ("fields", object_name), f"unknown object `{object_name}`", nearest(object_name, ("account", "csql")) or "account or csql"
                )
            )
            continue
        for key, attributes in rows.items() if isinstance(rows, dict) else ():
            field, found = _field(document, object_name, key, attributes)
            faults += found
            if field is None:
                parts.faulty_fields.add((object_name, key))
            else:
                fields.append(field)
    return (header.model_copy(update={"fields": fields}) if header is not None else None), faults


def _field(document: Document, object_name: str, key: str, attributes: Any) -> tuple[WriteField | None, list[Fault]]:
    at = ("fields", object_name, key)
    if not isinstance(attributes, dict):
        return None, [document.fault(at, "must be keys with values", "write set, owner, names, type, label, meaning below it")]
    taken = [
        document.fault((*at, name), f"unknown key `{name}`", "key and object follow from where the field stands")
        for name in ("key", "object")
        if name in attributes
    ]
    field, faults = validate(WriteField, document, at, {**attributes, "key": key, "object": object_name})
    return field, taken + faults


def _absent(root: Path) -> Iterator[Fault]:
    for kind in NEEDED:
        if not any((root / kind).glob("*.yml")):
            yield Fault(f"{kind}/", 0, "", "holds no .yml file", "copy the shipped one and edit it")
    rules = any((root / "csql").glob("*.yml"))
    for name in FILES:
        needed = rules if name == "csql_policy.yml" else name not in OPTIONAL
        if needed and not (root / name).is_file():
            yield Fault(name, 0, "", "is missing", "copy the shipped one and edit it")


def _strays(root: Path) -> Iterator[Fault]:
    """YAML files that nothing would read: a misspelt folder must not silently drop a rule."""
    for path in sorted([*root.rglob("*.yml"), *root.rglob("*.yaml")]):
        inside = path.relative_to(root)
        if any(part.startswith(".") for part in inside.parts):
            continue
        folder = inside.parts[0] if len(inside.parts) == 2 else ""
        if path.suffix == ".yaml":
            yield Fault(str(inside), 0, "", "ends in .yaml and would not be read", "rename it to .yml")
        elif folder not in FOLDERS and str(inside) not in FILES:
            known = FOLDERS if len(inside.parts) > 1 else FILES
            yield Fault(
                str(inside), 0, "", "is no mapping file and would not be read", nearest(inside.parts[0], known) or f"known: {', '.join(known)}"
            )
