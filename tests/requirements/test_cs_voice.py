"""CS-66: what customers say, by words, revenue and product. Worked by hand; the instant is noon of Tuesday 1 December 2026 in Tokyo."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mappings.load import load
from mappings.models import Mappings, Writeback
from mappings.models_sales import Voice, VoiceTag
from tests.factories import ON, Lake, make_mappings
from tests.worker.core import RELATIONS, join, moment
from worker.steps._lake import leave
from worker.voice import found_sql, plain_sql, read_voice

TAGS = [
    {"name": "api", "title": {"en": "Integration", "ja": "連携"}, "words": ["API", "連携"]},
    {"name": "speed", "title": {"en": "Speed", "ja": "速さ"}, "words": ["遅い", "slow"]},
]

#: `API` in full-width letters.
WIDE = "より簡単な\uff21\uff30\uff29を希望します"


def mappings(**row: Any) -> Mappings:
    return make_mappings(voice=Voice.model_validate({"days": 90, "tags": TAGS}), writeback=Writeback(language="en", fields=[]), **row)


def said(lake: Lake) -> None:
    """a: 100,000 a month, expense alone. b: 200,000 for expense and 50,000 for e-sign. c left. usd pays in dollars."""
    lake.make_account("a")
    lake.make_contract("a")
    lake.make_account("b")
    lake.make_contract("b", mrr=200_000)
    lake.make_contract("b", mrr=50_000, product="esign")
    lake.make_account("c")
    lake.make_contract("c", ends_on=date(2026, 6, 30), status="ended")
    lake.make_survey("a", comment="会計ソフトとの連携が欲しい。画面が遅い")  # two tags
    lake.make_ticket("a", subject="API returns an error", product="expense")
    lake.make_survey("b", comment=WIDE, on=ON - timedelta(days=3))  # which of two products is not known
    lake.make_ticket("b", subject="Slow since Monday", product="esign")
    lake.make_ticket("b", subject="A rapid answer, thanks", product="esign")  # no `api` in `rapid`
    lake.make_survey("c", comment="連携が足りませんでした")  # 0 revenue now, and still said
    lake.make_survey("a", comment="連携", on=ON - timedelta(days=90))  # one day too long ago
    lake.make_survey("a", comment="  ")
    lake.make_survey("a", comment="連携", deleted=True)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    lake = Lake()
    said(lake)
    con, _ = join(lake, mappings())
    yield read(con, tmp_path_factory.mktemp("run"), mappings())
    con.close()


def read(con: duckdb.DuckDBPyConnection, folder: Path, customer: Mappings, since: date | None = None) -> dict[str, Any]:
    for table in ("accounts", "account_products"):
        leave(con, folder, table)
    return read_voice(con, RELATIONS, customer, moment(), folder, since)


def test_cs66_requests_are_summed_up_by_revenue_and_product(found: dict[str, Any]) -> None:
    """api x expense: a alone (survey and ticket), 12 x 100,000. api x not known: b with 12 x 250,000, c with nothing.
    speed: a, and b by its ticket."""
    seen = {(r["tag"], r["product"]): (r["accounts"], r["said"], r["arr"], r["currency"]) for r in found["by_product"]}
    assert seen == {
        ("api", "expense"): (1, 2, 1_200_000, "JPY"),
        ("api", ""): (2, 2, 3_000_000, "JPY"),
        ("speed", "expense"): (1, 1, 1_200_000, "JPY"),
        ("speed", "esign"): (1, 1, 3_000_000, "JPY"),
    }
    assert (found["by_product"][0]["tag"], found["by_product"][0]["product"]) == ("api", "")  # as much as speed x esign, and from more customers


def test_cs66_an_account_counts_once_per_request(found: dict[str, Any]) -> None:
    """a and b said both, c one of them: 1,200,000 + 3,000,000 (+ 0)."""
    assert {r["tag"]: (r["accounts"], r["said"], r["arr"]) for r in found["by_tag"]} == {"api": (3, 4, 4_200_000), "speed": (2, 2, 4_200_000)}


def test_cs66_what_no_tag_fits_is_counted_and_the_words_are_quoted(found: dict[str, Any]) -> None:
    """Six texts of the last 90 days, of which `A rapid answer` fits nothing; the newest about api is that of three days ago."""
    assert (found["said"], found["untagged"], found["since"]) == (6, 1, ON - timedelta(days=89))
    first = next(r for r in found["latest"] if r["tag"] == "api")
    assert (first["account_id"], first["on_"], first["words"]) == ("b", ON - timedelta(days=3), WIDE)


def test_cs66_money_of_two_currencies_is_not_added_up(tmp_path: Path) -> None:
    lake = Lake()
    for name, currency in (("yen", "JPY"), ("usd", "USD")):
        lake.make_account(name)
        lake.make_contract(name, currency=currency)
        lake.make_survey(name, comment="slow")
    con, _ = join(lake, mappings())
    (row,) = read(con, tmp_path, mappings())["by_tag"]
    con.close()
    assert (row["accounts"], row["arr"], row["currency"]) == (2, None, None)


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        ("the API, please", "api", True), ("rapid", "api", False), ("api2", "api", False), (WIDE, "api", True),
        ("hard to  use", "hard to use", False),
        ("It is HARD TO USE.", "hard to use", True), ("画面が遅いです", "遅い", True), ("c++ export", "c++", True), ("50% off", "50%", True),
    ],
)  # fmt: skip
def test_cs66_words_are_found_without_case_and_width(text: str, word: str, expected: bool) -> None:
    tag = VoiceTag.model_validate({"name": "t", "title": {"en": "t", "ja": "t"}, "words": [word]})
    with duckdb.connect() as con:
        assert con.execute(f"SELECT {found_sql(tag)} FROM (SELECT {plain_sql('t')} AS plain FROM (SELECT ? AS t))", [text]).fetchall() == [
            (expected,)
        ]


def test_cs66_the_shipped_words_find_their_requests() -> None:
    heard: dict[str, set[str]] = {
        "料金が値上げされて困る": {"price"},
        "動作が重いです": {"speed"},
        "スマホで承認したい": {"mobile", "approval"},
        "CSV export of reports": {"integration", "reporting"},
        "満足度が高いです": set(),
        "Thank you": set(),
    }
    tags = load().voice.tags
    with duckdb.connect() as con:
        for text, expected in heard.items():
            sql = ", ".join(found_sql(tag) for tag in tags)
            (row,) = con.execute(f"SELECT {sql} FROM (SELECT {plain_sql('t')} AS plain FROM (SELECT ? AS t))", [text]).fetchall()
            assert {tag.name for tag, hit in zip(tags, row, strict=True) if hit} == expected, text
