"""Layout, labels and translations of the page, read from the metadata source that ships for admins (`connectors/salesforce/sfdx`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

SOURCE = Path(__file__).resolve().parent.parent / "sfdx"
LANGUAGES = {"ja": ("ja",), "en": ("en_US", "en_GB", "en")}
Nodes = ElementTree.Element


@dataclass(frozen=True, slots=True)
class Part:
    """A section of the record page: its title and its fields in order."""

    title: str
    fields: tuple[str, ...]


@dataclass(slots=True)
class Layout:
    """What the source says about one object in one language. Everything is empty when the source says nothing."""

    sections: list[Part] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    helps: dict[str, str] = field(default_factory=dict)
    values: dict[tuple[str, str], str] = field(default_factory=dict)
    actions: list[str] = field(default_factory=list)
    object_label: str | None = None
    object_plural: str | None = None


@lru_cache(maxsize=64)
def layout_for(object_name: str, language: str, source: Path = SOURCE) -> Layout:
    """The layout of an object. The files are read once per process: they do not change while a sandbox runs."""
    layout = Layout()
    if not source.is_dir():
        return layout
    _labels(layout, source, object_name)
    _translations(layout, source, object_name, language)
    for path in sorted(source.rglob("*.flexipage-meta.xml")):
        root = _root(path)
        if _text(root, "sobjectType") == object_name:
            layout.sections += _flexipage(root)
    if not layout.sections:
        for path in sorted(source.rglob("*.layout-meta.xml")):
            if path.name.startswith(f"{object_name}-"):
                layout.sections += _page_layout(_root(path))
    layout.actions = [_action(path, source, language) for path in sorted(source.rglob(f"{object_name}.*.quickAction-meta.xml"))]
    layout.sections = [Part(_section_title(source, object_name, part.title, language), part.fields) for part in layout.sections]
    return layout


def _root(path: Path) -> Nodes:
    return ElementTree.parse(path).getroot()


def _local(node: Nodes) -> str:
    return node.tag.rpartition("}")[2]


def _children(node: Nodes, name: str) -> list[Nodes]:
    return [child for child in node if _local(child) == name]


def _text(node: Nodes, name: str) -> str | None:
    found = _children(node, name)
    return found[0].text if found else None


def _labels(layout: Layout, source: Path, object_name: str) -> None:
    for path in sorted(source.rglob(f"objects/{object_name}/**/*.field-meta.xml")):
        root = _root(path)
        name = _text(root, "fullName") or path.name.split(".")[0]
        layout.labels[name] = _text(root, "label") or name
        if help_text := _text(root, "inlineHelpText"):
            layout.helps[name] = help_text
    for path in source.rglob(f"objects/{object_name}/{object_name}.object-meta.xml"):
        root = _root(path)
        layout.object_label, layout.object_plural = _text(root, "label"), _text(root, "pluralLabel")


def _translations(layout: Layout, source: Path, object_name: str, language: str) -> None:
    for code in LANGUAGES.get(language, ()):
        folder = f"{object_name}-{code}"
        for path in sorted(source.rglob(f"{folder}*.objectTranslation-meta.xml")) + sorted(source.rglob(f"{folder}/*.fieldTranslation-meta.xml")):
            root = _root(path)
            for node in [root] if _local(root) == "CustomFieldTranslation" else _children(root, "fields"):
                _field_translation(layout, node)
            for node in _children(root, "caseValues"):
                plural = _text(node, "plural") == "true"
                if plural:
                    layout.object_plural = _text(node, "value")
                else:
                    layout.object_label = _text(node, "value")
            layout.object_plural = layout.object_plural or layout.object_label


def _field_translation(layout: Layout, node: Nodes) -> None:
    name = _text(node, "name") or ""
    if label := _text(node, "label"):
        layout.labels[name] = label
    if help_text := _text(node, "help"):
        layout.helps[name] = help_text
    for value in _children(node, "picklistValues"):
        if translation := _text(value, "translation"):
            layout.values[(name, _text(value, "masterLabel") or "")] = translation


def _flexipage(root: Nodes) -> list[Part]:
    """Field sections of a Lightning page. A section's columns and fields sit in facet regions that name each other."""
    regions = {_text(node, "name") or "": node for node in _children(root, "flexiPageRegions")}
    parts = []
    for region in regions.values():
        for component in region.iter():
            if _local(component) != "componentInstance" or _text(component, "componentName") != "flexipage:fieldSection":
                continue
            properties = _properties(component)
            fields = _facet_fields(regions, properties.get("columns", ""))
            if fields:
                parts.append(Part(properties.get("label", ""), tuple(fields)))
    return parts


def _properties(component: Nodes) -> dict[str, str]:
    return {_text(node, "name") or "": _text(node, "value") or "" for node in _children(component, "componentInstanceProperties")}


def _facet_fields(regions: dict[str, Nodes], name: str) -> list[str]:
    region = regions.get(name)
    if region is None:
        return []
    found: list[str] = []
    for node in region.iter():
        if _local(node) == "fieldInstance":
            found.append((_text(node, "fieldItem") or "").removeprefix("Record."))
        elif _local(node) == "componentInstance" and _text(node, "componentName") == "flexipage:column":
            found += _facet_fields(regions, _properties(node).get("body", ""))
    return found


def _page_layout(root: Nodes) -> list[Part]:
    """Sections of a page layout that name custom fields, row by row over their columns."""
    parts = []
    for section in _children(root, "layoutSections"):
        columns = [[_text(item, "field") for item in _children(column, "layoutItems")] for column in _children(section, "layoutColumns")]
        height = max((len(column) for column in columns), default=0)
        fields = [column[row] for row in range(height) for column in columns if row < len(column)]
        named = tuple(name for name in fields if name)
        if any(name.endswith("__c") for name in named):
            parts.append(Part(_text(section, "label") or "", named))
    return parts


def _section_title(source: Path, object_name: str, title: str, language: str) -> str:
    for code in LANGUAGES.get(language, ()):
        for path in sorted(source.rglob(f"{object_name}-{code}*.objectTranslation-meta.xml")):
            for layout in _children(_root(path), "layouts"):
                for section in _children(layout, "sections"):
                    if _text(section, "section") == title and (label := _text(section, "label")):
                        return label
        label = _custom_label(source, title, code)
        if label:
            return label
    return title


def _custom_label(source: Path, title: str, code: str) -> str | None:
    """A title such as `{!$Label.Health}` or `@@@SFDCHealthSFDC@@@`, through the labels and their translations."""
    name = title.replace("{!$Label.", "").rstrip("}").replace("@@@SFDC", "").replace("SFDC@@@", "")
    for path in sorted(source.rglob(f"{code}.translation-meta.xml")):
        for node in _children(_root(path), "customLabels"):
            if _text(node, "name") == name:
                return _text(node, "label")
    for path in sorted(source.rglob("*.labels-meta.xml")):
        for node in _children(_root(path), "labels"):
            if _text(node, "fullName") == name and (_text(node, "language") or "").startswith(code[:2]):
                return _text(node, "value")
    return None


def _action(path: Path, source: Path, language: str) -> str:
    name = path.name.split(".")[1]
    label = _text(_root(path), "label") or name
    for code in LANGUAGES.get(language, ()):
        for found in sorted(source.rglob(f"{code}.translation-meta.xml")):
            for node in _children(_root(found), "quickActions"):
                if _text(node, "name") == name and (translated := _text(node, "label")):
                    return translated
    return label
