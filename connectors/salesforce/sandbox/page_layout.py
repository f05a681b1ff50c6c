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
    """A section of the record page: its title and its fields in order, column by column."""

    title: str
    columns: tuple[tuple[str, ...], ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields, column by column."""
        return tuple(name for column in self.columns for name in column)


@dataclass(frozen=True, slots=True)
class Action:
    """A quick action that updates the record: the fields it sets, as literal or formula text."""

    name: str
    label: str
    overrides: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Layout:
    """What the source says about one object in one language. Everything is empty when the source says nothing."""

    sections: list[Part] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    helps: dict[str, str] = field(default_factory=dict)
    values: dict[tuple[str, str], str] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
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
    layout.sections = [Part(_section_title(source, object_name, part.title, language), part.columns) for part in layout.sections]
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
        for node in root.iter():
            if _local(node) == "value" and (value := _text(node, "fullName")):
                layout.values[(name, value)] = _text(node, "label") or value
    for path in source.rglob(f"objects/{object_name}/{object_name}.object-meta.xml"):
        root = _root(path)
        layout.object_label, layout.object_plural = _text(root, "label"), _text(root, "pluralLabel")
        for node in _children(root, "nameField"):
            layout.labels["Name"] = _text(node, "label") or "Name"


def _translations(layout: Layout, source: Path, object_name: str, language: str) -> None:
    for code in LANGUAGES.get(language, ()):
        folder = f"{object_name}-{code}"
        for path in sorted(source.rglob(f"{folder}*.objectTranslation-meta.xml")) + sorted(source.rglob(f"{folder}/*.fieldTranslation-meta.xml")):
            root = _root(path)
            for node in [root] if _local(root) == "CustomFieldTranslation" else _children(root, "fields"):
                _field_translation(layout, node)
            if name_label := _text(root, "nameFieldLabel"):
                layout.labels["Name"] = name_label
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
        master = _text(value, "masterLabel") or ""
        known = [key for key, label in layout.values.items() if key[0] == name and label == master] or [(name, master)]
        if translation := _text(value, "translation"):
            layout.values.update(dict.fromkeys(known, translation))


def _flexipage(root: Nodes) -> list[Part]:
    """Field sections of a Lightning page. A section's columns and fields sit in facet regions that name each other."""
    regions = {_text(node, "name") or "": node for node in _children(root, "flexiPageRegions")}
    parts = []
    for region in regions.values():
        for component in region.iter():
            if _local(component) != "componentInstance" or _text(component, "componentName") != "flexipage:fieldSection":
                continue
            properties = _properties(component)
            columns = _facet_columns(regions, properties.get("columns", ""))
            if columns:
                parts.append(Part(properties.get("label", ""), columns))
    return parts


def _properties(component: Nodes) -> dict[str, str]:
    return {_text(node, "name") or "": _text(node, "value") or "" for node in _children(component, "componentInstanceProperties")}


def _facet_columns(regions: dict[str, Nodes], name: str) -> tuple[tuple[str, ...], ...]:
    region = regions.get(name)
    if region is None:
        return ()
    components = [node for node in region.iter() if _local(node) == "componentInstance" and _text(node, "componentName") == "flexipage:column"]
    columns = [_facet_fields(regions, _properties(node).get("body", "")) for node in components]
    return tuple(column for column in columns if column)


def _facet_fields(regions: dict[str, Nodes], name: str) -> tuple[str, ...]:
    region = regions.get(name)
    nodes = [node for node in region.iter() if _local(node) == "fieldInstance"] if region is not None else []
    return tuple((_text(node, "fieldItem") or "").removeprefix("Record.") for node in nodes)


def _page_layout(root: Nodes) -> list[Part]:
    """Sections of a page layout that name custom fields."""
    parts = []
    for section in _children(root, "layoutSections"):
        columns = [[_text(item, "field") for item in _children(column, "layoutItems")] for column in _children(section, "layoutColumns")]
        named = tuple(tuple(name for name in column if name) for column in columns)
        if any(name.endswith("__c") for column in named for name in column):
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


def _action(path: Path, source: Path, language: str) -> Action:
    object_name, name = path.name.split(".")[:2]
    root = _root(path)
    label = _text(root, "label") or name
    for code in LANGUAGES.get(language, ()):
        for found in sorted(source.rglob(f"{object_name}-{code}.objectTranslation-meta.xml")) + sorted(source.rglob(f"{code}.translation-meta.xml")):
            for node in _children(_root(found), "quickActions"):
                if _text(node, "name") == name:
                    label = _text(node, "label") or label
    overrides = [
        (_text(node, "field") or "", _text(node, "formula") or _text(node, "literalValue") or "") for node in _children(root, "fieldOverrides")
    ]
    return Action(name, label, tuple(overrides))
