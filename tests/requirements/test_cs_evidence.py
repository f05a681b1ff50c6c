"""CS-2, 43, 48 and 49: what was set up, earned and achieved, on the record. The instant is noon of Tuesday 1 December 2026 in Tokyo."""

from datetime import date, timedelta

import pytest

from mappings.models import Mappings, Writeback
from tests.factories import AS_OF, ON, Lake, instant, make_field, make_mappings
from tests.worker.core import Row, by, decide, open_lake, rows

FIELDS = {"setup_products": "text", "timeline": "long_text", "roi_status": "picklist", "roi_note": "text", "success_progress": "percent"}


def mappings(*fields: str) -> Mappings:
    return make_mappings(writeback=Writeback(fields=[make_field(name, type=FIELDS[name]) for name in fields or FIELDS]))


def decided(lake: Lake, *fields: str) -> dict[str, Row]:
    con = open_lake(lake)
    try:
        decide(con, mappings(*fields))
        return by(con, "decisions")
    finally:
        con.close()


# --- CS-2 ----------------------------------------------------------------------------------------------------------------------------------------
def test_cs2_each_product_has_its_own_set_up_on_the_record() -> None:
    """both: 8 of 8 for expense, 3 of 5 for e-sign. half: e-sign only, of which nothing is known. Nobody is told of a product they do not have."""
    lake = Lake()
    for account in ("both", "half"):
        lake.make_account(account)
        lake.make_contract(account, product="esign")
    lake.make_contract("both")
    file = lake.make_file("setup")
    for product, done, total in (("expense", 8, 8), ("esign", 3, 5)):
        lake.make_snapshot(file, "t-both", "setup_steps_done", done, ON - timedelta(days=1), product)
        lake.make_snapshot(file, "t-both", "setup_steps_total", total, ON - timedelta(days=1), product)
    found = decided(lake, "setup_products")
    assert found["both"]["setup_products_en"] == "Expense: done, E-sign: 3 of 5"
    assert found["both"]["setup_products_ja"] == "経費精算:完了、電子契約:5件中3件"
    assert found["half"]["setup_products_en"] is None


# --- CS-43 ---------------------------------------------------------------------------------------------------------------------------------------
def test_cs43_revenue_and_score_stand_on_one_line_of_the_record() -> None:
    """100,000 from 10 September, 30,000 more from 1 November; a line that ended on 30 November is gone on that day's evening only from 1 December on.
    The score was 60 on 5 September, 72 on 31 October; on 30 November none."""
    lake = Lake()
    lake.make_account()
    lake.make_contract(starts_on=date(2026, 9, 10))
    lake.make_contract(starts_on=date(2026, 11, 1), mrr=30_000, product="esign")
    lake.make_contract(starts_on=date(2026, 9, 1), ends_on=date(2026, 11, 30), mrr=5_000, product="other", status="ended")
    lake.make_contract(starts_on=date(2026, 1, 1), mrr=9_000, is_trial=True)
    lake.make_account("mixed")
    lake.make_contract("mixed", starts_on=date(2026, 11, 1))
    lake.make_contract("mixed", starts_on=date(2026, 11, 1), currency="USD")
    for day, score in ((date(2026, 9, 5), 60), (date(2026, 10, 31), 72), (date(2026, 11, 30), None)):
        lake.add("score_history", account_id="A1", on_=day, score=score, state="scored" if score else "not_scored", as_of=instant(day))
    found = decided(lake, "timeline")
    assert found["A1"]["timeline_en"] == "Nov 2026: 135,000 JPY, score – | Oct 2026: 105,000 JPY, score 72 | Sep 2026: 105,000 JPY, score 60"
    assert found["A1"]["timeline_ja"] == (
        "2026年11月 月額135,000円・スコア– | 2026年10月 月額105,000円・スコア72 | 2026年9月 月額105,000円・スコア60"
    )
    assert found["mixed"]["timeline_en"] == "Nov 2026: –, score –"


# --- CS-48 ---------------------------------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def proven() -> dict[str, Row]:
    lake = Lake()
    lake.own = ["success_metric", "success_target"]
    days = {"metric": "Days to close", "baseline": 10.0}
    lake.make_account("confirmed", own_success_metric="days to close ", own_success_target="4")
    lake.make_outcome("confirmed", date(2026, 11, 1), **days, current_value=7.0, fact_backed=True, confirmed_by="Sato")
    lake.make_outcome("confirmed", date(2026, 5, 1), **days, current_value=9.0)  # an older record of the same measure
    lake.make_outcome("confirmed", date(2026, 11, 20), metric="Hours", baseline=1000.0, current_value=1250.5, confirmed_by="Mori")  # not by data
    lake.make_account("backed", own_success_metric="Hours", own_success_target="80")
    lake.make_outcome("backed", date(2026, 10, 1), metric="Hours", baseline=100.0, current_value=90.0, fact_backed=True)
    lake.make_account("recorded", own_success_metric="Hours", own_success_target="100")
    lake.make_outcome("recorded", date(2026, 10, 1), metric="Hours", baseline=100.0, current_value=90.0)
    lake.make_account("nothing", own_success_metric="Hours", own_success_target="10")
    lake.make_outcome("nothing", date(2026, 12, 24), metric="Hours", baseline=100.0, current_value=90.0)  # not yet
    for account in ("confirmed", "backed", "recorded", "nothing"):
        lake.make_contract(account)
    return decided(lake, "roi_status", "roi_note", "success_progress")


def test_cs48_the_record_says_how_well_results_are_backed_and_who_confirmed_them(proven: dict[str, Row]) -> None:
    assert {name: row["roi_status"] for name, row in proven.items()} == {
        "confirmed": "confirmed", "backed": "fact_backed", "recorded": "recorded", "nothing": None,
    }  # fmt: skip
    # the newest record of each of two measures; (7 - 10) / 10 = -30 %
    assert proven["confirmed"]["roi_note_en"] == (
        "Days to close: 10 → 7 (−30%), measured on 1 Nov 2026, confirmed by Sato. 2 results in all: 1 backed by data, 1 confirmed"
    )
    assert proven["confirmed"]["roi_note_ja"] == (
        "Days to close:10→7(−30%)、2026/11/1測定。Sato様にご確認いただいています(成果は計2件、裏付けあり1件、ご確認済み1件)"
    )
    assert proven["recorded"]["roi_note_en"] == "Hours: 100 → 90 (−10%), measured on 1 Oct 2026, not backed by data yet"


# --- CS-49 ---------------------------------------------------------------------------------------------------------------------------------------
def test_cs49_progress_is_the_way_from_the_baseline_to_the_customers_target(proven: dict[str, Row]) -> None:
    """10 → 7 of 10 → 4: 3 of 6. 100 → 90 of 100 → 80: 10 of 20. No way leads to a target that is the baseline."""
    assert {name: row["success_progress"] for name, row in proven.items()} == {"confirmed": 50, "backed": 50, "recorded": None, "nothing": None}


@pytest.mark.parametrize(("now", "expected"), [(85.0, 0), (120.0, 100), (140.0, 200), (9000.0, 999)], ids=str)
def test_cs49_falling_back_is_no_way_and_more_than_the_target_is_shown(now: float, expected: float) -> None:
    """From 100 to 120."""
    lake = Lake()
    lake.own = ["success_metric", "success_target"]
    lake.make_account(own_success_metric="Orders", own_success_target="120")
    lake.make_contract()
    lake.make_outcome(metric="Orders", baseline=100.0, current_value=now)
    assert decided(lake, "success_progress")["A1"]["success_progress"] == expected


def test_nothing_of_it_is_built_where_no_field_asks() -> None:
    lake = Lake()
    lake.make_account()
    lake.make_contract()
    con = open_lake(lake)
    decide(con, make_mappings(), AS_OF + timedelta(hours=1))
    assert not rows(con, "SELECT 1 FROM duckdb_tables() WHERE starts_with(table_name, 'e_')")
    con.close()
