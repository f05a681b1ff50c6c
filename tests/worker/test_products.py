"""Products beside the account: a score per account and product, rolled up to the account and to the parent."""

from datetime import date, timedelta
from typing import Any

import pytest

from mappings.models import Cap, Score
from mappings.snapshot import config_version
from tests.factories import AS_OF, ON, Lake, make_indicator, make_mappings, make_profile, make_text
from tests.worker.core import Row, by, decide, open_lake, rows
from worker.steps._rollup import circle_note

FIRST, LAST = ON - timedelta(days=100), ON - timedelta(days=1)
#: Two measures that are the product's own (seats in use, core events) and one that is the account's (touches).
MEASURES = [
    make_indicator("seats_used", "deployment", "usage", "seat_use"),
    make_indicator("core", "adoption", "usage", "core_events_28d"),
    make_indicator("touch", "engagement", "activity", "touches_90d * 10"),
]
PROFILE = make_profile(deployment=(50, {"seats_used": 1}), adoption=(30, {"core": 1}), engagement=(20, {"touch": 1}))
CAP = Cap(name="stopped", when="last_used_on <= usage_as_of - 21", cap=39, text=make_text("stopped"))
PRODUCTS = {"products": [
    {"code": "expense", "title": {"en": "Expense", "ja": "経費精算"}, "core_features": ["claim"]},
    {"code": "esign", "title": {"en": "E-sign", "ja": "電子契約"}, "core_features": ["sign"], "onboarding_days": 60},
]}  # fmt: skip


def mappings_of(rollup: str = "none", **score: Any) -> Any:
    base: dict[str, Any] = {"name": "health", "profiles": [PROFILE], "rollup": rollup}
    return make_mappings(indicators={i.name: i for i in MEASURES}, products=PRODUCTS, score=Score.model_validate(base | score))


def customer(lake: Lake, file_id: str, account: str = "A1", *, expense: int = 300_000, esign: int | None = 100_000, **row: Any) -> None:
    """expense: 8 of 10 seats in use, 40 core events; esign: 1 of 10 seats, 10 core events; two touches."""
    lake.make_account(account, **row)
    lake.make_contract(account, seats=10, mrr=expense)
    lake.make_use(file_id, f"t-{account}", LAST, [f"u{n}" for n in range(8)], feature="claim", events=40)
    if esign is not None:
        lake.make_contract(account, product="esign", seats=10, mrr=esign)
        lake.make_use(file_id, f"t-{account}", LAST, ["u1"], product="esign", feature="sign", events=10)
    for days in (5, 6):
        lake.make_activity(account, ON - timedelta(days=days))


def small() -> Lake:
    lake = Lake()
    customer(lake, lake.make_file(first=FIRST, last=LAST))
    return lake


def products(con: Any, table: str = "product_scores") -> dict[tuple[str, str], Row]:
    return {(r["account_id"], r["product"]): r for r in rows(con, f"SELECT * FROM {table}")}


def test_cs17_each_product_is_scored_by_its_own_use_and_the_accounts_people() -> None:
    """expense: 50 % x 80 + 30 % x 40 + 20 % x 20 = 56. esign: 50 % x 10 + 30 % x 10 + 20 % x 20 = 12."""
    con = open_lake(small())
    decide(con, mappings_of())
    found = products(con)
    assert {key[1]: (r["score"], r["tier"], r["deployment"], r["adoption"], r["engagement"], r["coverage"]) for key, r in found.items()} == {
        "expense": (56, 3, 80, 40, 20, 100), "esign": (12, 1, 10, 10, 20, 100),
    }  # fmt: skip
    # the account's own row: 8 people over 20 seats, 50 core events: 50 % x 40 + 30 % x 50 + 20 % x 20 = 39; it does not move
    own = by(con, "decisions")["A1"]
    assert own["score"] == 39
    # beside it: (300 x 56 + 100 x 12) / 400 = 45
    assert (own["product_score"], own["product_scores_en"], own["worst_product_en"]) == (45, "Expense 56, E-sign 12", "E-sign 12")
    assert (own["product_scores_ja"], own["worst_product_ja"]) == ("経費精算 56・電子契約 12", "電子契約 12点")
    assert found["A1", "esign"]["main_reason_en"] == "low seats_used 10"


def test_cs17_with_the_switch_the_account_is_the_mean_of_its_products() -> None:
    con = open_lake(small())
    decide(con, mappings_of("products"))
    own = by(con, "decisions")["A1"]
    # axes likewise: deployment (300 x 80 + 100 x 10) / 400 = 62.5, adoption (300 x 40 + 100 x 10) / 400 = 32.5, engagement 20
    assert (own["score"], own["score_uncapped"], own["deployment"], own["adoption"], own["engagement"]) == (45, 45, 62.5, 32.5, 20)
    parts = rows(con, "SELECT sum(weight_effective) AS w, sum(contribution) AS c FROM parts")[0]
    assert (parts["w"], parts["c"]) == (pytest.approx(100), pytest.approx(45))
    assert config_version(mappings_of(), "default") != config_version(mappings_of("products"), "default")


@pytest.mark.parametrize(("money", "mean"), [((None, None), 34), ((0, 100_000), 12), ((300_000, 100_000), 45)])
def test_cs17_without_money_each_product_counts_once(money: tuple[int | None, int | None], mean: int) -> None:
    """Nobody brings money: (56 + 12) / 2 = 34. A line that brings none weighs nothing beside one that does: 12."""
    lake = Lake()
    customer(lake, lake.make_file(first=FIRST, last=LAST))
    for row, mrr in zip(lake.rows["crm_contract"], money, strict=True):
        row["mrr"] = mrr
    con = open_lake(lake)
    decide(con, mappings_of())
    assert by(con, "decisions")["A1"]["product_score"] == mean


def test_cs17_two_currencies_are_not_added_up() -> None:
    lake = small()
    lake.rows["crm_contract"][1]["currency"] = "USD"
    con = open_lake(lake)
    decide(con, mappings_of())
    assert by(con, "decisions")["A1"]["product_score"] == 34  # (56 + 12) / 2


def test_cs17_without_scores_per_product_the_account_is_the_same_and_none_is_kept() -> None:
    con = open_lake(small())
    decide(con, mappings_of(per_product=False))
    assert products(con) == {}
    assert rows(con, "SELECT * FROM product_history") == []
    own = by(con, "decisions")["A1"]
    assert (own["score"], own["product_score"], own["product_scores_en"], own["worst_product_en"]) == (39, None, None, None)


def test_cs17_an_exception_of_one_product_shows_on_that_product() -> None:
    """expense unused for 30 days, esign used yesterday: the account's last use is yesterday, so only expense is held at 39."""
    lake = Lake()
    file_id = lake.make_file(first=FIRST, last=LAST)
    lake.make_account("A1")
    for product, feature, day in (("expense", "claim", LAST - timedelta(days=27)), ("esign", "sign", LAST)):
        lake.make_contract("A1", product=product, seats=4, mrr=1)
        lake.make_use(file_id, "t-A1", day, ["a", "b", "c", "d"], product=product, feature=feature, events=100)
    lake.make_activity("A1")
    con = open_lake(lake)
    decide(con, mappings_of(caps=[CAP]))
    found = products(con)
    # both: 50 % x 100 + 30 % x 100 + 20 % x 10 = 82
    assert [(found["A1", p]["score_uncapped"], found["A1", p]["score"], found["A1", p]["capped_by"]) for p in ("expense", "esign")] == [
        (pytest.approx(82), 39, "stopped"), (pytest.approx(82), 82, None),
    ]  # fmt: skip
    assert (by(con, "decisions")["A1"]["product_score"], by(con, "decisions")["A1"]["worst_product_en"]) == (82, "Expense 39")


def test_cs17_a_second_product_in_onboarding_leaves_the_first_where_it_is() -> None:
    """esign began 20 days ago and has 60 days; expense began in 2025. A CRM stage or outcome speaks of the main product only."""
    lake = small()
    lake.rows["crm_contract"][1]["starts_on"] = ON - timedelta(days=20)
    lake.rows["crm_account"][0]["own_onboarding_outcome"] = "completed"
    con = open_lake(lake)
    decide(con, mappings_of())
    assert {key[1]: r["stage"] for key, r in products(con).items()} == {"expense": "renewal", "esign": "onboarding"}
    assert by(con, "accounts")["A1"]["stage"] == "renewal"  # the line that ends on 31 Mar 2027 may be left until 28 Feb, in 89 days


def test_cs17_a_product_no_export_speaks_of_is_unknown_not_unused() -> None:
    lake = small()
    mappings = mappings_of()
    source = mappings.usage["events"].model_copy(
        update={"product": "expense", "columns": mappings.usage["events"].columns.model_copy(update={"product": None})}
    )
    con = open_lake(lake)
    decide(con, mappings.model_copy(update={"usage": mappings.usage | {"events": source}}))
    found = products(con)
    assert (found["A1", "expense"]["score"], found["A1", "esign"]["state"], found["A1", "esign"]["score"]) == (56, "not_scored", None)
    assert by(con, "decisions")["A1"]["product_scores_en"] == "Expense 56, E-sign not scored"


def test_cs17_a_late_feed_holds_the_products_and_history_has_one_row_per_change() -> None:
    con = open_lake(small())
    decide(con, mappings_of())
    con.execute("UPDATE usage_file SET last_day = last_day - 9")  # nothing newer arrives: nine days on, the export is late
    con.execute("UPDATE usage_tenant_day SET day = day - 30")
    decide(con, mappings_of(), AS_OF + timedelta(days=1))
    assert {r["state"] for r in products(con, "product_scores").values()} == {"frozen"}
    own = by(con, "decisions")["A1"]
    assert (own["product_scores_en"], own["product_score"]) == ("Expense 56, E-sign 12", 45)
    history = rows(con, "SELECT product, on_, state, score FROM product_score_history ORDER BY product, on_")
    assert [(h["product"], h["on_"].day, h["state"], h["score"]) for h in history] == [
        ("esign", 1, "scored", 12), ("esign", 2, "frozen", 12), ("expense", 1, "scored", 56), ("expense", 2, "frozen", 56),
    ]  # fmt: skip
    decide(con, mappings_of(), AS_OF + timedelta(days=2))
    assert rows(con, "SELECT count(*) AS n FROM product_history")[0]["n"] == 0


# --- parents -------------------------------------------------------------------------------------------------------------------------------------
def group() -> Lake:
    """P over B1 and B2; B2 over L. P 39 (400), B1 56 (expense alone, 100), B2 39 (400), L 56 (300)."""
    lake = Lake()
    file_id = lake.make_file(first=FIRST, last=LAST)
    customer(lake, file_id, "P", name="Head office")
    customer(lake, file_id, "B1", expense=100, esign=None, name="Nagoya", parent_id="P")
    customer(lake, file_id, "B2", name="Osaka", parent_id="P")
    customer(lake, file_id, "L", expense=300_000, esign=None, name="Sakai", parent_id="B2")
    lake.rows["crm_contract"][2]["mrr"] = 100_000
    return lake


def test_cs17_a_parent_counts_everyone_below_it_once() -> None:
    """P: (400 x 39 + 100 x 56 + 400 x 39 + 300 x 56) / 1200 = 53600 / 1200 = 44.67 → 45. B2: (400 x 39 + 300 x 56) / 700 = 46.29 → 46."""
    con = open_lake(group())
    decide(con, mappings_of())
    found = by(con, "decisions")
    assert {a: r["score"] for a, r in found.items()} == {"P": 39, "B1": 56, "B2": 39, "L": 56}
    assert {a: (r["parent_score"], r["parent_lowest_en"]) for a, r in found.items()} == {
        "P": (45, "Osaka 39"), "B2": (46, "Sakai 56"), "B1": (None, None), "L": (None, None),
    }  # fmt: skip
    assert found["P"]["parent_lowest_ja"] == "Osaka様 39点"
    assert by(con, "d_family")["P"]["score_uncapped"] == pytest.approx(53_600 / 1_200, abs=1e-9)


def test_cs17_an_increment_repeats_the_groups_last_sum() -> None:
    con = open_lake(group())
    decide(con, mappings_of())
    con.execute("CREATE TABLE changed AS SELECT 'P' AS account_id")
    decide(con, mappings_of(), AS_OF + timedelta(hours=1), full=False, only="changed")
    assert {a: r["parent_score"] for a, r in by(con, "decisions").items()} == {"P": 45}
    assert rows(con, "SELECT count(*) AS n FROM families")[0]["n"] == 0


def test_cs17_a_circle_of_parents_is_named_and_adds_up_nothing() -> None:
    lake = group()
    next(r for r in lake.rows["crm_account"] if r["id"] == "P")["parent_id"] = "L"
    con = open_lake(lake)
    decide(con, mappings_of())
    # P → B2 → L → P; B1 hangs below it and stays a leaf
    assert {a: r["parent_score"] for a, r in by(con, "decisions").items()} == {"P": None, "B1": None, "B2": None, "L": None}
    said = circle_note(con)["parents:circle"]
    assert said.startswith("B2 (Osaka), L (Sakai), P (Head office) are parents of each other in a circle")


def test_cs17_a_merged_parent_is_its_survivor_and_a_churned_child_is_out() -> None:
    lake = group()
    lake.make_account("OLD", master_id="P")
    for row in lake.rows["crm_account"]:
        if row["id"] == "B1":
            row["parent_id"] = "OLD"
    for row in lake.rows["crm_contract"]:
        if row["account_id"] == "L":
            row["churned_on"] = date(2026, 11, 1)
    con = open_lake(lake)
    decide(con, mappings_of())
    found = by(con, "decisions")
    # (400 x 39 + 100 x 56 + 400 x 39) / 900 = 40.89
    assert (found["P"]["parent_score"], found["B2"]["parent_score"], "L" in found) == (41, None, False)


@pytest.mark.parametrize("rollup", ["none", "products"])
def test_cs17_an_exception_is_no_score_where_no_product_is_scored(rollup: str) -> None:
    """No usage, no touch, a churn notice that holds at 10: there is nothing to hold, so there is no number."""
    lake = Lake()
    lake.make_account("A1", churn_notice_on=ON - timedelta(days=3))
    lake.make_contract("A1", seats=None)
    con = open_lake(lake)
    notice = Cap(name="notice", when="churn_notice_on is not null", cap=10, text=make_text("notice"))
    decide(con, mappings_of(rollup, caps=[notice]))
    own = by(con, "decisions")["A1"]
    assert (own["state"], own["score"], own["product_score"], own["tier"]) == ("not_scored", None, None, None)
