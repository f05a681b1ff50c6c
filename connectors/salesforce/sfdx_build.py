"""Writes the package for Salesforce admins (`connectors/salesforce/sfdx`, source format) from writeback.yml.

    python -m connectors.salesforce.sfdx_build               # write the files
    python -m connectors.salesforce.sfdx_build --check       # only say what differs; exit 1 if anything does
    python -m connectors.salesforce.sfdx_build --zip FILE    # the same as a Metadata API package, for a deploy without the vendor's CLI

The output is committed, so that an admin can read and deploy it without this project's Python. Changed mappings need a new build.
"""

import argparse
import io
import sys
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from connectors.salesforce.sfdx_parts import Component, components
from mappings.load import load
from mappings.models import Mappings

SOURCE = Path(__file__).parent / "sfdx"
API_VERSION = "63.0"
CONTENT = PurePosixPath("force-app/main/default")
_NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
#: kind -> folder and suffix
_PLACES = {
    "CustomLabels": ("labels", "labels"),
    "CustomObject": ("objects", "object"),
    "CustomObjectTranslation": ("objectTranslations", "objectTranslation"),
    "CustomTab": ("tabs", "tab"),
    "FlexiPage": ("flexipages", "flexipage"),
    "PermissionSet": ("permissionsets", "permissionset"),
    "QuickAction": ("quickActions", "quickAction"),
    "Translations": ("translations", "translation"),
}


def package(mappings: Mappings, connection: str = "salesforce") -> list[Component]:
    """The components for the field sets that the mappings switch on, and the lists of values they need."""
    sets = {"core"} | set(mappings.writeback.sets)
    fields = [field for field in mappings.writeback.fields if "all" in sets or field.set in sets]
    return components([field for field in fields if field.names["salesforce"].endswith("__c")], mappings.crm[connection].csql_object)


# --- source format -------------------------------------------------------------------------------------------------------------------------------
def source_files(parts: Sequence[Component]) -> dict[str, bytes]:
    """Path below `sfdx/` -> bytes."""
    project = {
        "packageDirectories": [{"path": "force-app", "default": True}],
        "name": "scoresync",
        "namespace": "",
        "sfdcLoginUrl": "https://login.salesforce.com",
        "sourceApiVersion": API_VERSION,
    }
    files = {"sfdx-project.json": orjson.dumps(project, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)}
    for part in parts:
        for path, kind, body in _source(part):
            files[str(CONTENT / path)] = xml(kind, body)
    return files


def _source(part: Component) -> list[tuple[PurePosixPath, str, Mapping[str, Any]]]:
    owner, _, name = part.name.partition(".")
    if part.kind in ("CustomField", "ListView"):
        folder, suffix = ("fields", "field") if part.kind == "CustomField" else ("listViews", "listView")
        return [(PurePosixPath("objects", owner, folder, f"{name}.{suffix}-meta.xml"), part.kind, part.body)]
    folder, suffix = _PLACES[part.kind]
    if part.kind == "CustomObject":
        return [(PurePosixPath(folder, owner, f"{owner}.{suffix}-meta.xml"), part.kind, part.body)]
    if part.kind == "CustomObjectTranslation":  # in source format each field has its own file
        place = PurePosixPath(folder, part.name)
        rest = {key: value for key, value in part.body.items() if key != "fields"}
        fields = [(place / f"{text['name']}.fieldTranslation-meta.xml", "CustomFieldTranslation", text) for text in part.body["fields"]]
        return [(place / f"{part.name}.{suffix}-meta.xml", part.kind, rest), *fields]
    return [(PurePosixPath(folder, f"{part.name}.{suffix}-meta.xml"), part.kind, part.body)]


# --- Metadata API format -------------------------------------------------------------------------------------------------------------------------
def deploy_zip(parts: Sequence[Component]) -> bytes:
    """The same as one zip with package.xml: fields and list views lie inside their object."""
    inside: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    members: defaultdict[str, set[str]] = defaultdict(set)
    files: dict[str, bytes] = {}
    for part in parts:
        members[part.kind].add(part.name)
        owner = part.name.partition(".")[0]
        if part.kind == "CustomObject":
            inside[owner] |= part.body
        elif part.kind in ("CustomField", "ListView"):
            inside[owner].setdefault("fields" if part.kind == "CustomField" else "listViews", []).append(part.body)
        else:
            folder, suffix = _PLACES[part.kind]
            files[f"{folder}/{part.name}.{suffix}"] = xml(part.kind, part.body)
    for owner, body in inside.items():
        files[f"objects/{owner}.object"] = xml("CustomObject", body)
    types = [{"members": sorted(names), "name": kind} for kind, names in sorted(members.items())]
    files["package.xml"] = xml("Package", {"types": types, "version": API_VERSION})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name])
    return out.getvalue()


def xml(root: str, body: Mapping[str, Any]) -> bytes:
    """A metadata file. Lists repeat their element; empty lists leave it out."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<{root} xmlns="{_NAMESPACE}">']
    _elements(lines, body, "    ")
    return "\n".join([*lines, f"</{root}>", ""]).encode()


def _elements(lines: list[str], body: Mapping[str, Any], indent: str) -> None:
    for name, value in body.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                lines.append(f"{indent}<{name}>")
                _elements(lines, item, indent + "    ")
                lines.append(f"{indent}</{name}>")
            else:
                text = str(item).lower() if isinstance(item, bool) else escape(str(item), quote=False)
                lines.append(f"{indent}<{name}>{text}</{name}>")


# --- command -------------------------------------------------------------------------------------------------------------------------------------
def differences(files: Mapping[str, bytes], folder: Path) -> list[str]:
    """One line per file that is missing, different or no longer part of the package."""
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file() and path.name != "README.md"}
    said = [f"missing: {name}" for name in sorted(files.keys() - there.keys())]
    said += [f"no longer part of the package: {name}" for name in sorted(there.keys() - files.keys())]
    return said + [f"differs: {name}" for name in sorted(files.keys() & there.keys()) if there[name].read_bytes() != files[name]]


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Makes the folder hold exactly these files (and its README)."""
    for path in list(folder.rglob("*")):
        if path.is_file() and path.name != "README.md" and path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mappings", type=Path, help="folder of mappings; the shipped ones if left out")
    parser.add_argument("--to", type=Path, default=SOURCE, help="folder of the package in source format")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--zip", type=Path)
    given = parser.parse_args(arguments)
    parts = package(load(given.mappings))
    if given.zip:
        given.zip.write_bytes(deploy_zip(parts))
        return 0
    files = source_files(parts)
    said = differences(files, given.to)
    print("\n".join(said) if said else f"{len(files)} files are as writeback.yml says")
    if given.check:
        return 1 if said else 0
    write(files, given.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
