"""Imports point the right way, files stay short, and names in the configuration exist."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("worker", "connectors", "mappings")

#: module prefix -> our prefixes it may import. The longest matching rule counts. See docs/architecture.md, "Imports".
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "mappings": ("mappings",),
    "celeryconfig": ("worker.settings",),
    "connectors": (
        "connectors.base",
        "connectors.errors",
        "connectors.entities",
        "connectors.values",
        "connectors.calls",
        "connectors.pace",
        "connectors.pages",
        "connectors.registry",
        "mappings.models",
    ),
    "connectors.sandbox_kit": ("connectors.sandbox_kit",),
    "connectors.salesforce": (
        "connectors.base",
        "connectors.errors",
        "connectors.entities",
        "connectors.values",
        "connectors.calls",
        "connectors.pages",
        "connectors.salesforce",
        "mappings.models",
        "mappings.load",
    ),
    "connectors.hubspot": (
        "connectors.base",
        "connectors.errors",
        "connectors.entities",
        "connectors.values",
        "connectors.calls",
        "connectors.pace",
        "connectors.pages",
        "connectors.hubspot",
        "mappings.models",
    ),
    "connectors.hubspot.sandbox": ("connectors.sandbox_kit", "connectors.hubspot.sandbox"),
    "connectors.salesforce.sandbox": ("connectors.sandbox_kit", "connectors.salesforce.sandbox"),
    "connectors.usage": ("connectors.base", "connectors.errors", "connectors.entities", "connectors.values", "connectors.usage", "mappings.models"),
    "worker": ("worker", "connectors.base", "connectors.errors", "connectors.entities", "connectors.values", "connectors.registry", "mappings"),
    # which kinds of call count as reads, writes and polls is said once, where calls are made
    "worker.report": ("worker", "connectors.calls"),
    # the two places where a usage source and the sandbox are named
    "worker.steps": (
        "worker",
        "connectors.base",
        "connectors.errors",
        "connectors.entities",
        "connectors.values",
        "connectors.registry",
        "connectors.usage",
        "mappings",
    ),
    # starts by itself what Celery's beat would
    "worker.embedded": ("worker", "celeryconfig", "connectors.errors", "mappings"),
    "worker.demo": ("worker", "connectors", "mappings"),
    "worker.demo_both": ("worker", "connectors", "mappings"),
    "worker.cli": ("worker", "connectors", "mappings"),
    "worker.store": (
        "worker.store",
        "worker.settings",
        "worker.errors",
        "worker.killpoint",
        "worker.log",
        "connectors.entities",
        "connectors.base",
        "mappings",
    ),
}


def modules() -> list[tuple[str, Path]]:
    found = [("celeryconfig", ROOT / "celeryconfig.py")]
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def imports(name: str, path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    ours = {n for n, _ in modules()} | set(PACKAGES)
    return {f for f in found if f in ours}


def allowed(name: str) -> tuple[str, ...]:
    fitting = [rule for rule in MAY_IMPORT if name == rule or name.startswith(rule + ".")]
    return MAY_IMPORT[max(fitting, key=len)]


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda v: v if isinstance(v, str) else "")
def test_imports_point_the_right_way(name: str, path: Path) -> None:
    may = allowed(name)
    packages = {p for rule in may for p in (rule.rsplit(".", i)[0] for i in range(1, rule.count(".") + 1))}  # `connectors` of `connectors.base`
    wrong = {i for i in imports(name, path) if i not in packages and not any(i == m or i.startswith(m + ".") for m in may)}
    assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}; it may import {may}"


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda v: v if isinstance(v, str) else "")
def test_files_stay_short(name: str, path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 450, f"{path.relative_to(ROOT)} has {lines} lines: is it two things?"


def test_only_the_engine_opens_duckdb() -> None:
    """mappings/expressions.py binds expressions against an empty table; the sandbox's seed makes its own data."""
    allowed_files = {"worker/store/engine.py", "mappings/expressions.py"}
    opening = set()
    for _, path in modules():
        relative = path.relative_to(ROOT).as_posix()
        if "/sandbox/" not in relative and "/sandbox_kit/" not in relative and "duckdb.connect(" in path.read_text(encoding="utf-8"):
            opening.add(relative)
    assert opening <= allowed_files


def test_every_beat_entry_names_a_task_that_exists() -> None:
    import celeryconfig
    from worker.app import app

    app.loader.import_default_modules()
    known = set(app.tasks)
    for entry, schedule in celeryconfig.beat_schedule.items():
        assert schedule["task"] in known, f"beat entry {entry} names {schedule['task']}, which no task has"
