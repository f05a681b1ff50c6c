"""From a document to a model: pydantic's errors as faults with line, key and remedy."""

from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mappings.expressions import nearest
from mappings.faults import Fault
from mappings.yaml_files import Document, Path_

M = TypeVar("M", bound=BaseModel)
_SHOWN = 60  # characters of a wrong value that a fault repeats
_WANTED = {
    "string_type": ("must be text", "put it in quotes"),
    "bool_parsing": ("must be true or false", ""),
    "bool_type": ("must be true or false", ""),
    "dict_type": ("must be keys with values", "write `key: value` lines below it"),
    "model_type": ("must be keys with values", "write `key: value` lines below it"),
    "list_type": ("must be a list", "write `- item` lines below it, or [a, b]"),
    "int_parsing": ("must be a whole number", ""),
    "int_type": ("must be a whole number", ""),
    "int_from_float": ("must be a whole number", ""),
    "float_parsing": ("must be a number", ""),
    "float_type": ("must be a number", ""),
    "decimal_parsing": ("must be a number", ""),
}
_PATTERNS = {r"^[a-z][a-z0-9_]{0,39}$": "small letters, digits and _, beginning with a letter, at most 40 characters"}


def validate(model: type[M], document: Document, at: Path_ = (), data: Any = None) -> tuple[M | None, list[Fault]]:
    """The model of a document, or of its part `data` that stands at `at`; null with its faults."""
    given = document.data if data is None else data
    try:
        return model.model_validate(given), []
    except ValidationError as error:
        return None, [_fault(model, document, at, given, found) for found in error.errors(include_url=False)]


def _fault(model: type[BaseModel], document: Document, at: Path_, data: Any, error: ErrorDetails) -> Fault:
    place = _place(error["loc"], data)
    kind, name = error["type"], str(place[-1]) if place else ""
    if kind == "extra_forbidden":
        keys = _keys(model, error["loc"][:-1])
        return document.fault((*at, *place), f"unknown key `{name}`", nearest(name, keys) or f"known keys: {', '.join(sorted(keys))}")
    if kind == "missing":
        return document.fault((*at, *place), f"`{name}` is missing", _missing_remedy(name))
    text, remedy = _WANTED.get(kind, ("", ""))
    context: dict[str, Any] = error.get("ctx") or {}
    if kind == "string_pattern_mismatch":
        text = f"must be {_PATTERNS.get(context['pattern'], context['pattern'])}"
    elif kind in ("literal_error", "enum", "union_tag_invalid"):
        choices = str(context.get("expected") or context.get("expected_tags"))
        known = [word.strip(" '") for word in choices.replace(" or ", ", ").split(",")]
        text, remedy = f"must be one of {', '.join(known)}", nearest(str(context.get("tag") or error["input"]), known)
    elif kind == "union_tag_not_found":
        text, remedy = "`kind` is missing", "write kind: linear, steps or boolean"
    elif not text:
        text = error["msg"][:1].lower() + error["msg"][1:]
    shown = error["input"]
    given = f", not `{str(shown)[:_SHOWN]}`" if isinstance(shown, str | int | float | bool) else ", not empty" if shown is None else ""
    return document.fault((*at, *place), text + given, remedy)


def _missing_remedy(name: str) -> str:
    if name == "hypothesis":
        return "say in one line which question it answers; a measure nobody can explain is not scored"
    if name in ("en", "ja"):
        return "write the text in both languages"
    return "add it"


def _place(loc: tuple[str | int, ...], data: Any) -> Path_:
    """The path of a pydantic location in the file, without the names of union members that pydantic puts in between."""
    path: list[str | int] = []
    here = data
    for place, part in enumerate(loc):
        if isinstance(here, dict) and part in here:
            here = here[str(part)]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        elif not (place == len(loc) - 1 and isinstance(here, dict) and part != "[key]"):
            continue
        path.append(part)
    return tuple(path)


def _keys(model: type[BaseModel], loc: tuple[str | int, ...]) -> set[str]:
    """Field names of the model that stands at a pydantic location; those of all members where a union leaves it open."""
    kinds: list[Any] = [model]
    for part in loc:
        kinds = [kind for found in kinds for kind in _step(found, part)]
    return {name for kind in kinds for found in _flat(kind) if _is_model(found) for name in found.model_fields}


def _step(kind: Any, part: str | int) -> list[Any]:
    found = []
    for one in _flat(kind):
        if _is_model(one) and part in one.model_fields:
            found.append(one.model_fields[str(part)].annotation)
        elif _is_model(one):
            found.append(one)  # `part` named this member of a union
        elif get_origin(one) in (list, dict, tuple):
            found.append(get_args(one)[-1])
    return found


def _flat(kind: Any) -> list[Any]:
    """A type without Annotated and unions: the types it may be."""
    if get_origin(kind) is Annotated:
        return _flat(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [one for member in get_args(kind) for one in _flat(member)]
    return [kind]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
