"""docs/requirements.md is true: every id has its row, every test it names exists, every test named after an id stands in that row."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "requirements.md"
IDS = [*range(1, 78), 79, 92]
STATES = re.compile(r"done|partly: .+|not done(: .+)?")
NAMED = re.compile(r"^test_((?:cs\d+_)+)")


def _rows() -> dict[int, list[str]]:
    """id → cells after the id. Rows are told by their first cell, so blank lines between them do not matter."""
    lines = [line.strip() for line in PAGE.read_text().splitlines() if re.match(r"\| CS-\d+ \|", line)]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    numbers = [int(row[0].removeprefix("CS-")) for row in cells]
    assert numbers == sorted(set(numbers)), f"docs/requirements.md: rows twice or out of order: {numbers}"
    assert all(len(row) == 6 for row in cells), [row for row in cells if len(row) != 6]
    return {number: row[1:] for number, row in zip(numbers, cells, strict=True)}


def _tests(cell: str) -> list[str]:
    return [] if cell == "–" else [part.strip(" `") for part in cell.split("<br>")]


def _written() -> Iterator[tuple[str, str]]:
    """(path, name) of every test function in tests/."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield str(path.relative_to(ROOT)), node.name


def test_every_id_has_a_row_with_its_state() -> None:
    rows = _rows()
    assert list(rows) == IDS
    wrong = {number: row[4] for number, row in rows.items() if not STATES.fullmatch(row[4])}
    assert not wrong, f"state is `done`, `partly: what is missing` or `not done`: {wrong}"


def test_every_test_named_in_a_row_exists_and_done_has_one_of_its_own() -> None:
    written = {f"{path}::{name}" for path, name in _written()}
    for number, row in _rows().items():
        missing = [test for test in _tests(row[3]) if test not in written]
        assert not missing, f"docs/requirements.md, row CS-{number}: no such test: {missing}"
        own = [test for test in _tests(row[3]) if f"cs{number}_" in test.split("::")[1] + "_"]
        assert own or row[4] != "done", f"docs/requirements.md, row CS-{number}: done needs a test named test_cs{number}_…"


def test_every_test_named_after_an_id_stands_in_its_row() -> None:
    rows = _rows()
    missing = []
    for path, name in _written():
        found = NAMED.match(name)
        for number in (int(n) for n in re.findall(r"cs(\d+)_", found.group(1))) if found else ():
            if number in rows and f"{path}::{name}" not in _tests(rows[number][3]):
                missing.append(f"row CS-{number}, column `proven by`: add `{path}::{name}`")
    assert not missing, "docs/requirements.md:\n" + "\n".join(sorted(missing))


@pytest.mark.parametrize(
    ("pattern", "instead", "told"),
    [
        (r"\| CS-9 \|[^\n]*\n", "", "assert"),  # an id without a row
        (r"::test_cs7_what_the_customer_is_never_enters_the_score", "::test_cs7_what_never_was", "row CS-7: no such test"),
        (r"(\| CS-13 \|.*)`[^`]*` \| done \|", r"\1– | done |", "row CS-13: done needs a test named test_cs13_"),
        (r"(\| CS-13 \|.*)\| done \|", r"\1| finished |", "state is"),
        (r"(\| CS-13 \|.*)`[^`]*` \| done \|", r"\1– | not done |", "row CS-13, column `proven by`: add"),
    ],
)
def test_an_untrue_page_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, instead: str, told: str) -> None:
    changed = re.sub(pattern, instead, PAGE.read_text(), count=1)
    assert changed != PAGE.read_text()
    (tmp_path / "page.md").write_text(changed)
    monkeypatch.setattr("tests.requirements.test_requirements.PAGE", tmp_path / "page.md")
    said = []
    for check in (
        test_every_id_has_a_row_with_its_state,
        test_every_test_named_in_a_row_exists_and_done_has_one_of_its_own,
        test_every_test_named_after_an_id_stands_in_its_row,
    ):
        try:
            check()
        except AssertionError as error:
            said.append(f"assert {error}")
    assert any(told in text for text in said), said
