"""The pages of all texts in docs/examples/. What they say is read by people; here is what a machine can see."""

import re
from pathlib import Path

import duckdb
import pytest

from mappings.load import load
from worker.examples import FOLDER, LANGUAGES, texts_of, texts_of_run

_KANA = re.compile(r"[\u3040-\u30ff]")
#: A particle twice in a row, two full stops, an empty slot, a word of ours that leaked.
_WRONG = {
    "ja": re.compile(r"をを|はは|にに|がが|のの|ですです|。。|、、|None|null|nan\b"),
    "en": re.compile(r"\b(a|the|of|to|in|is|are) \1\b|\.\.|\bnull\b|\bnan\b|None(?!\.$)", re.IGNORECASE),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_committed_page_holds_every_kind_of_text_and_no_slip(language: str) -> None:
    page = (FOLDER / f"texts-{language}.md").read_text(encoding="utf-8")
    made = page.split("\n## decisions · ", 1)[1]
    for column in ("main_reason", "strength", "next_action", "renewal_next", "onboarding_next", "white_space"):
        assert f"{column}_{language}" in page
    assert "flips · text" in page
    assert page.count("\n---\n") >= 8  # briefs, each twice
    assert not re.search(r"\{[a-z_]+(:[a-z0-9]+)?\}", made)  # no slot is left open in what a run made
    wrong = [line for line in made.splitlines() if _WRONG[language].search(line)]
    assert wrong == []


def test_every_text_of_the_mappings_is_found_wherever_it_stands() -> None:
    found = dict(texts_of(load(), "ja"))
    assert {"mappings · indicators", "mappings · alerts", "mappings · renewal", "mappings · onboarding", "mappings · writeback"} <= set(found)
    indicators = load().indicators
    assert any(line.endswith(indicators["seat_utilization"].reasons.low.ja) for line in found["mappings · indicators"])
    assert sum(bool(_KANA.search(line)) for line in found["mappings · renewal"]) > 20


def test_words_of_a_run_are_found_in_any_table(tmp_path: Path) -> None:
    con = duckdb.connect()
    con.execute(f"COPY (SELECT 'A1' AS account_id, 'b' AS said_en, 'い' AS said_ja, 3 AS n_en) TO '{tmp_path}/some.parquet' (FORMAT parquet)")
    assert dict(texts_of_run(con, tmp_path, "en")) == {"some · said_en": ["b"]}
    assert dict(texts_of_run(con, tmp_path, "ja")) == {"some · said_ja": ["い"]}
    con.close()
