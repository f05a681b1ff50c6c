"""A YAML file as plain values with the line of every key, so that a fault can name its place.

The node tree is read instead of the ready objects: that keeps positions, sees every duplicate key (not only the first), and leaves dates as text.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mappings.faults import Fault

#: A mapping file is written by people; beyond this it is something else. Chosen.
MAX_BYTES = 1_000_000
#: Values in one file, aliases resolved; stops a file that multiplies itself by aliases. Chosen.
MAX_VALUES = 100_000

Path_ = tuple[str | int, ...]


@dataclass
class Document:
    """One file. `data` is a dict (empty where the file could not be read); `lines` maps a path of keys to its line."""

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Path_, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    readable: bool = True

    def line(self, path: Path_) -> int:
        """Line of the longest part of the path that exists; 0 for an empty file."""
        for length in range(len(path), -1, -1):
            found = self.lines.get(path[:length])
            if found is not None:
                return found
        return 0

    def fault(self, path: Path_, text: str, remedy: str = "") -> Fault:
        return Fault(self.file, self.line(path), ".".join(map(str, path)), text, remedy)


def read(path: Path, name: str) -> Document:
    """The file's values and positions; syntax faults are in `faults`, never raised."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        return _unreadable(Fault(name, 0, "", f"cannot be read: {error.strerror}", "check the file's permissions"))
    if len(raw) > MAX_BYTES:
        return _unreadable(Fault(name, 0, "", f"is larger than {MAX_BYTES} bytes", "split it, or take data out of the mappings folder"))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return _unreadable(Fault(name, line, "", "is not UTF-8", "save the file as UTF-8"))
    found = _parse(text)
    if found.problem is not None:
        line, what = found.problem
        return _unreadable(Fault(name, line, "", f"is not YAML: {what}", "mend the syntax (indentation, quotes, colons)"))
    document = Document(name, found.data, found.lines)
    document.faults = [Fault(name, line, key, what, remedy) for line, key, what, remedy in found.faults]
    return document


def _unreadable(fault: Fault) -> Document:
    return Document(fault.file, faults=[fault], readable=False)


@dataclass
class _Parsed:
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Path_, int] = field(default_factory=dict)
    faults: list[tuple[int, str, str, str]] = field(default_factory=list)
    problem: tuple[int, str] | None = None
    values: int = 0


@lru_cache(maxsize=256)
def _parse(text: str) -> _Parsed:
    """Pure function of the text, hence cached: a worker loads the same files for every run."""
    parsed = _Parsed()
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        parsed.problem = ((mark.line + 1) if mark else 0, str(error.problem or error.context or "unreadable"))
        return parsed
    except (YAMLError, ValueError, RecursionError) as error:
        parsed.problem = (0, str(error).splitlines()[0] if str(error) else "unreadable")
        return parsed
    if root is None:
        return parsed
    if not isinstance(root, MappingNode):
        parsed.problem = (root.start_mark.line + 1, "the file must be keys with values, not a list or a single value")
        return parsed
    try:
        parsed.data = _value(root, (), parsed)
    except (RecursionError, _TooManyValues):
        parsed.problem = (0, f"it holds more than {MAX_VALUES} values, aliases counted")
    return parsed


class _TooManyValues(Exception):
    """A file whose aliases multiply."""


def _value(node: Node, path: Path_, parsed: _Parsed) -> Any:
    parsed.values += 1
    if parsed.values > MAX_VALUES:
        raise _TooManyValues
    parsed.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, MappingNode):
        return dict(_entries(node, path, parsed))
    if isinstance(node, SequenceNode):
        return [_value(item, (*path, place), parsed) for place, item in enumerate(node.value)]
    return _scalar(node, path, parsed)


def _entries(node: MappingNode, path: Path_, parsed: _Parsed) -> Iterator[tuple[str, Any]]:
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, ScalarNode):
            parsed.faults.append((line, ".".join(map(str, path)), "a key must be a plain word", "write `key: value`"))
            continue
        key = str(key_node.value)
        if key in seen:
            dotted = ".".join(map(str, (*path, key)))
            parsed.faults.append((line, dotted, f"duplicate key `{key}` (first on line {seen[key]})", "keep one of the two"))
            continue
        seen[key] = line
        parsed.lines[(*path, key)] = line
        yield key, _value(value_node, (*path, key), parsed)


def _scalar(node: Node, path: Path_, parsed: _Parsed) -> Any:
    text, kind = str(node.value), str(node.tag).rpartition(":")[2]
    try:
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            plain = text.replace("_", "")
            return int(plain, 0) if plain.lstrip("+-").lower().startswith(("0x", "0o", "0b")) else int(plain)
        if kind == "float":
            return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        return text
    if kind not in ("str", "timestamp"):
        line, dotted = node.start_mark.line + 1, ".".join(map(str, path))
        parsed.faults.append((line, dotted, f"unknown YAML tag `{node.tag}`", "write a plain value"))
    return text
