"""A small checker of answers against the contract files: types, required keys, enumerations, references. Shape only."""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

SHARED = Path(os.environ.get("SCORESYNC_SHARED") or Path(__file__).resolve().parents[3] / "shared")
FOLDER = SHARED / "reference" / "hubspot-openapi"
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


class Contract:
    """One contract file."""

    def __init__(self, path: Path) -> None:
        self.document = json.loads(path.read_text(encoding="utf-8"))
        self.paths: list[tuple[re.Pattern[str], dict[str, Any]]] = []
        # Fixed paths first: `companies` before `{objectType}`.
        for template, operations in sorted(self.document["paths"].items(), key=lambda item: item[0].count("{")):
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template.rstrip("/")))
            self.paths.append((re.compile(pattern + "/?"), operations))

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        """The operation of a request, or None when the file has no such path."""
        for pattern, operations in self.paths:
            if pattern.fullmatch(path) and method.lower() in operations:
                found: dict[str, Any] = operations[method.lower()]
                return found
        return None

    def problems(self, method: str, path: str, status: int, body: Any) -> list[str] | None:
        """What is wrong with a JSON answer; None when the contract says nothing about it."""
        operation = self.operation(method, path)
        if operation is None:
            return None
        answers = operation["responses"]
        answer = answers.get(str(status)) or answers.get("default", {})
        schema = answer.get("content", {}).get("application/json", {}).get("schema")
        return list(self._check(schema, body, "$")) if schema is not None else None

    def request_problems(self, method: str, path: str, body: Any) -> list[str] | None:
        """What is wrong with a JSON request body; None when the contract says nothing about it."""
        operation = self.operation(method, path)
        content = (operation or {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        return list(self._check(content["schema"], body, "$")) if "schema" in content else None

    def _check(self, schema: dict[str, Any], value: Any, where: str) -> Any:
        if "$ref" in schema:
            target = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            yield from self._check(target, value, where)
            return
        for key in ("oneOf", "anyOf"):
            if key in schema and all(list(self._check(option, value, where)) for option in schema[key]):
                yield f"{where}: fits none of {key}"
        for part in schema.get("allOf", []):
            yield from self._check(part, value, where)
        if value is None:
            if not schema.get("nullable") and schema.get("type"):
                yield f"{where}: null"
            return
        kind = schema.get("type")
        if kind and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
            yield f"{where}: {type(value).__name__} instead of {kind}"
            return
        if "enum" in schema and value not in schema["enum"]:
            yield f"{where}: {value!r} is not one of {schema['enum']}"
        if isinstance(value, dict):
            yield from self._object(schema, value, where)
        if isinstance(value, list):
            for number, item in enumerate(value):
                yield from self._check(schema.get("items", {}), item, f"{where}[{number}]")

    def _object(self, schema: dict[str, Any], value: dict[str, Any], where: str) -> Any:
        for key in schema.get("required", []):
            if key not in value:
                yield f"{where}: {key} is missing"
        known = schema.get("properties", {})
        more = schema.get("additionalProperties", {})
        for key, item in value.items():
            part = known.get(key, more if isinstance(more, dict) else {})
            yield from self._check(part, item, f"{where}.{key}")


@lru_cache(maxsize=3)
def contract(family: str) -> Contract | None:
    """The contract of `v3-v4`, `2026-03` or `2026-09`; None where the shared folder is absent."""
    path = FOLDER / f"combined-{family}.json"
    return Contract(path) if path.is_file() else None


def family_of(path: str) -> str:
    """Which contract file a path belongs to."""
    found = re.search(r"/(2026-\d\d)(/|$)", path)
    return found[1] if found else "v3-v4"
