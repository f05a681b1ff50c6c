"""Every text the demo puts before a person, on one page per language: `python -m worker.examples`.

Texts are wrong in ways that only a reader sees. So the pages in docs/examples/ are made to be read: what the mapping files say, and what a run made
of them. Both are found by walking (texts of the mappings; `*_en`, `*_ja` and `text` columns of the run folder), so that a new text is on them without
being listed here. The company is made up; day, instant and seed are fixed, so that a page changes only where a text does.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
from pydantic import BaseModel

from mappings.models import Mappings
from mappings.models_base import Text
from worker import run as flow
from worker.brief import brief_account
from worker.brief_page import render
from worker.demo import Demo
from worker.items import RunKind
from worker.runtime import Runtime
from worker.sql import ident, literal
from worker.store.engine import open_engine

FOLDER = Path(__file__).parent.parent / "docs" / "examples"
LANGUAGES = ("ja", "en")
#: Chosen: a company that shows every stage and archetype and can still be read in half an hour. Noon in Tokyo.
ACCOUNTS, SEED, TODAY, AS_OF = 60, 7, date(2026, 12, 1), datetime(2026, 12, 1, 3, tzinfo=UTC)
#: Tables whose words stand in the decisions as well.
_PARTS_OF_OTHERS = ("accounts", "assigned", "onboarding", "onboarding_steps", "renewal_steps", "product_facts")
#: Accounts per stage whose whole brief is shown.
_BRIEFS = 2

_TITLE = {"en": "# All texts", "ja": "# 文面の一覧"}
_HEAD = {
    "en": "Every text of the mappings, and what the demo's first run made of them. Made by `python -m worker.examples`; the company is made up.",
    "ja": "マッピングのすべての文面と、デモの初回実行が作った文面です。`python -m worker.examples`で作成しています。登場する会社は架空です。",
}


def main() -> None:
    for language in LANGUAGES:
        path = FOLDER / f"texts-{language}.md"
        path.write_text(page(language), encoding="utf-8")
        sys.stdout.write(f"{path.name} written\n")


def page(language: str) -> str:
    """The page of one language, after a demo run whose records are written in it."""
    with Demo(ACCOUNTS, SEED, crm="salesforce") as demo:
        demo.box.control.clock(now=AS_OF.isoformat())
        # every set of fields: some texts are made only where a field shows them
        settings, customer, _ = demo.prepare(TODAY, language=language, sets=["core", "standard", "all"])
        runtime = Runtime.open(settings)
        try:
            run = flow.finish_run(runtime, flow.start_run(runtime, customer, RunKind.FULL, as_of=AS_OF))
            folder = settings.runs_folder.absolute() / run.id
            con = open_engine(settings, [folder])
            said = dict(texts_of_run(con, folder, language))
            lines = [_TITLE[language], "", _HEAD[language], "", *_listed(dict(texts_of(customer, language))), *_listed(said)]
            for account in _shown(con, folder):
                for customer_safe in (False, True):
                    found = brief_account(runtime, account, language=language, customer_safe=customer_safe)
                    lines += ["---", "", *(_lower(render(found, "md")) if found else [])]
            con.close()
        finally:
            runtime.close()
    return "\n".join(lines).rstrip() + "\n"


def texts_of(mappings: Mappings, language: str) -> Iterator[tuple[str, list[str]]]:
    """(place, texts) of every text of the mappings, by the part it stands in; labels and meanings of fields included."""
    for part in type(mappings).model_fields:
        said = [f"{place}: {text}" if place else text for place, text in _walk(getattr(mappings, part), language, "")]
        if said:
            yield f"mappings · {part}", said


def _walk(value: object, language: str, at: str) -> Iterator[tuple[str, str]]:
    """Depth first; a model with the two languages and nothing else is a text."""
    if isinstance(value, Text) or (isinstance(value, BaseModel) and set(type(value).model_fields) == {"en", "ja"}):
        yield at, str(getattr(value, language))
    elif isinstance(value, BaseModel):
        own = getattr(value, "name", None) or getattr(value, "key", None)
        for name in type(value).model_fields:
            yield from _walk(getattr(value, name), language, f"{own}.{name}" if isinstance(own, str) else f"{at}.{name}".strip("."))
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _walk(one, language, f"{at}.{name}".strip("."))
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            yield from _walk(one, language, f"{at}.{place}".strip("."))


def texts_of_run(con: duckdb.DuckDBPyConnection, folder: Path, language: str) -> Iterator[tuple[str, list[str]]]:
    """(place, distinct texts) of every column of a run's tables that holds words of this language."""
    for path in sorted(folder.glob("*.parquet")):
        if path.stem in _PARTS_OF_OTHERS:
            continue
        relation = f"read_parquet({literal(str(path))})"
        columns = [(str(r[0]), str(r[1])) for r in con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()]
        for column, kind in columns:
            if kind == "VARCHAR" and (column.endswith(f"_{language}") or column == "text"):
                name = ident(column)
                found = con.execute(f"SELECT DISTINCT {name} FROM {relation} WHERE {name} IS NOT NULL AND {name} <> '' ORDER BY 1").fetchall()
                if found:
                    yield f"{path.stem} · {column}", [str(row[0]) for row in found]


def _listed(texts: dict[str, list[str]]) -> list[str]:
    return [line for place, said in texts.items() for line in (f"## {place}", "", *(f"- {text}" for text in said), "")]


def _shown(con: duckdb.DuckDBPyConnection, folder: Path) -> list[str]:
    """The weakest and strongest accounts of each stage."""
    files = {name: f"read_parquet({literal(str(folder / f'{name}.parquet'))})" for name in ("accounts", "decisions")}
    rows: list[Any] = con.execute(
        f"""SELECT account_id FROM (
            SELECT d.account_id, a.stage, row_number() OVER (PARTITION BY a.stage ORDER BY d.score, d.account_id) AS low,
                   row_number() OVER (PARTITION BY a.stage ORDER BY d.score DESC, d.account_id) AS high
            FROM {files["decisions"]} AS d JOIN {files["accounts"]} AS a ON a.account_id = d.account_id WHERE d.score IS NOT NULL)
        WHERE low < {_BRIEFS} OR high < {_BRIEFS} ORDER BY stage, low"""
    ).fetchall()
    return [str(row[0]) for row in rows]


def _lower(markdown: str) -> list[str]:
    """A page inside a page: headings one level down."""
    return [f"#{line}" if line.startswith("#") else line for line in markdown.splitlines()] + [""]


if __name__ == "__main__":
    main()
