"""CS-63, 64 and 65 on cases worked by hand. The instant is noon of Tuesday 1 December 2026 in Tokyo (`ON`); contracts began on 1 April 2025
unless told otherwise."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from mappings.models import Alert, Mappings, Writeback
from mappings.models_sales import Sales
from tests.factories import ON, Lake, make_field, make_mappings
from tests.worker.core import RELATIONS, Row, by, decide, moment, open_lake, rows
from worker.sales import deals as deal_report
from worker.sales import fit as fit_report
from worker.sales import handover as handover_report
from worker.steps._crm import load_latest
from worker.steps._sales import Rows

NEW = ON - timedelta(days=10)  # a contract of this day is in onboarding (90 days)
SOON, LATER = date(2026, 12, 20), date(2027, 1, 31)
HANDOVER = {
    "items": [
        {"name": "goal", "title": {"en": "goal", "ja": "お客様の目標"}},
        {"name": "scope", "title": {"en": "scope", "ja": "対象部門"}},
        {"name": "decision_maker", "title": {"en": "decision-maker", "ja": "決裁者の方"}, "when": "decision_makers > 0"},
        {"name": "seats", "title": {"en": "number of seats", "ja": "契約ID数"}, "when": "seats > 0"},
    ]
}
DEALS = {"when": "deal_amount >= 3000000", "recipient": "LEAD"}
FIT = {"success": "seats >= 90", "min_accounts": 2, "min_aged": 2, "min_retention": 70}
ALERT = {
    "name": "large_deal", "over": "deal", "when": "deal_kind = 'new'", "channel": "log",
    "text": {"en": "{deal_amount} {deal_currency}, {deal_products_title}, {deal_stage}, by {deal_close_on}", "ja": "{deal_amount}{deal_currency}"},
}  # fmt: skip
FIELDS = ("handover_complete", "handover_missing", "fit_segment", "fit_note")


def mappings(*fields: str, alert: bool = False, **row: Any) -> Mappings:
    made = [make_field(name, type="percent" if name == "handover_complete" else "text") for name in fields]
    base: dict[str, Any] = {
        "sales": Sales.model_validate({"handover": HANDOVER, "deals": DEALS, "fit": FIT}),
        "writeback": Writeback(language="en", fields=made),
        "alerts": {"large_deal": Alert.model_validate(ALERT)} if alert else {},
    }
    return make_mappings(**(base | row))


def report_rows(con: duckdb.DuckDBPyConnection) -> Rows:
    """What a report reads of the run folder, here from the run's own tables."""
    con.execute("CREATE OR REPLACE TEMP TABLE s_row AS SELECT * FROM d_row")
    for table, name in (("t_account", "crm_account"), ("t_user", "crm_user")):
        load_latest(con, name, table, exprs={"id": "r.id", "name": "r.name"})
    return Rows(row="s_row")


# --- CS-63 ---------------------------------------------------------------------------------------------------------------------------------------
def sold(lake: Lake) -> None:
    """Four new customers and an old one; Mori sold a and b, Sato c; d has no opportunity and belongs to Mori."""
    for name, text in (("MORI", "Mori"), ("SATO", "Sato")):
        lake.add("crm_user", id=name, name=text, connection="salesforce", deleted=False)
    for account in "abcd":
        lake.make_account(account, owner_id="MORI" if account == "d" else "SOMEBODY")
        lake.make_contract(account, starts_on=NEW)
    lake.make_account("old")
    lake.make_contract("old")
    won = {"kind": "new", "closed": True, "won": True, "close_on": NEW}
    # two lines of one deal; the older deal of a says nothing any more, and a renewal is no hand-over
    lake.make_opportunity("a", **won, id="a1", deal_id="DA", owner_id="MORI", handover="goal;scope")
    lake.make_opportunity("a", **won, id="a2", deal_id="DA", owner_id="MORI", handover="goal;scope", product="esign")
    lake.make_opportunity("a", **(won | {"close_on": date(2024, 1, 1)}), id="a0", owner_id="SATO", handover="")
    lake.make_opportunity("a", **(won | {"kind": "renewal", "close_on": ON}), id="ar", owner_id="SATO")
    lake.make_contact("a", "decision_maker")
    lake.make_opportunity("b", **won, owner_id="MORI", handover="goal")
    lake.make_opportunity("c", **won, owner_id="SATO")
    lake.make_opportunity("c", **(won | {"won": False, "close_on": ON}), owner_id="MORI", handover="goal;scope")  # lost: nothing was handed over


@pytest.fixture(scope="module")
def handed() -> Iterator[tuple[dict[str, Row], dict[str, Any]]]:
    lake = Lake()
    sold(lake)
    con = open_lake(lake)
    decide(con, mappings("handover_complete", "handover_missing"))
    yield by(con, "decisions"), handover_report(con, RELATIONS, mappings(), moment(), report_rows(con))
    con.close()


def test_cs63_the_record_says_what_is_missing_and_whom_to_ask(handed: tuple[dict[str, Row], dict[str, Any]]) -> None:
    """a: goal and scope by the deal, a decision-maker, seats: 4 of 4. b: goal and seats, 2 of 4. c and d: seats alone, 1 of 4. old is not asked."""
    decisions, _ = handed
    assert {name: row["handover_complete"] for name, row in decisions.items()} == {"a": 100, "b": 50, "c": 25, "d": 25, "old": None}
    assert decisions["a"]["handover_missing_en"] is None
    assert decisions["b"]["handover_missing_en"] == "2 of 4 items are there. Missing: scope, decision-maker (sales: Mori)"
    assert decisions["b"]["handover_missing_ja"] == "引き継ぎ項目4件中2件が揃っています。不足:対象部門、決裁者の方(営業担当:Mori)"


def test_cs63_missing_items_are_counted_by_seller(handed: tuple[dict[str, Row], dict[str, Any]]) -> None:
    """Mori: a lacks 0, b 2, d (as its owner) 3: 5 items in 2 of 3 accounts, (100 + 50 + 25) / 3 complete. Sato: c lacks 3."""
    _, report = handed
    counted = {row["rep_id"]: (row["rep_name"], row["accounts"], row["incomplete"], row["missing_items"]) for row in report["reps"]}
    assert counted == {"MORI": ("Mori", 3, 2, 5), "SATO": ("Sato", 1, 1, 3)}
    assert report["reps"][0]["complete"] == pytest.approx(175 / 3)
    assert [row["account_id"] for row in report["accounts"]] == ["c", "d", "b", "a"]
    assert report["items"] == [
        {"item": "decision_maker", "missing": 3}, {"item": "scope", "missing": 3}, {"item": "goal", "missing": 2},
    ]  # fmt: skip


def test_cs63_nothing_is_built_where_no_field_asks() -> None:
    lake = Lake()
    sold(lake)
    con = open_lake(lake)
    decide(con, mappings())
    assert "handover_complete" not in by(con, "decisions")["a"]
    assert not rows(con, "SELECT 1 FROM duckdb_tables() WHERE table_name IN ('s_deal', 's_handover', 's_cell')")
    con.close()


# --- CS-64 ---------------------------------------------------------------------------------------------------------------------------------------
def selling(lake: Lake) -> None:
    lake.add("crm_user", id="CSM", name="Kato", connection="salesforce", deleted=False)
    lake.make_account("old", csm_id="CSM", owner_id="REP")
    lake.make_contract("old")
    lake.make_account("new", owner_id="REP", kind="prospect")  # no contract: no score, and still a deal
    lake.make_account("partner", owner_id="RESELLER")
    lake.make_account("resold", owner_id="REP", partner_id="partner")
    # 2,000,000 + 1,500,000 are one large deal; 2,999,999 is none
    lake.make_opportunity("new", kind="new", id="n1", deal_id="DN", amount=2_000_000, currency="JPY", stage="Proposal", close_on=SOON)
    lake.make_opportunity(
        "new", kind="new", id="n2", deal_id="DN", amount=1_500_000, currency="JPY", stage="Proposal", close_on=SOON, product="esign"
    )
    lake.make_opportunity("new", kind="new", id="small", amount=2_999_999, currency="JPY", close_on=SOON)
    lake.make_opportunity("old", kind="expansion", id="grow", amount=9_000_000, currency="JPY", stage="Talks", close_on=LATER, owner_id="CSM")
    lake.make_opportunity("old", kind="renewal", id="again", amount=9_000_000, currency="JPY", close_on=LATER)
    lake.make_opportunity("old", kind="new", id="won", amount=9_000_000, currency="JPY", close_on=SOON, closed=True, won=True)
    lake.make_opportunity("resold", kind="new", id="resell", amount=3_000_000, currency="JPY", close_on=LATER)


def test_cs64_large_deals_are_listed_before_signature() -> None:
    lake = Lake()
    selling(lake)
    con = open_lake(lake)
    decide(con, mappings())
    listed = deal_report(con, RELATIONS, mappings(), moment(), report_rows(con))["deals"]
    seen = [(row["account_id"], row["deal_id"], row["existing"], row["deal_stage"], row["deal_close_on"], int(row["deal_amount"])) for row in listed]
    assert seen == [
        ("new", "DN", False, "Proposal", SOON, 3_500_000),
        ("old", "grow", True, "Talks", LATER, 9_000_000),
        ("resold", "resell", False, None, LATER, 3_000_000),
    ]
    assert (listed[0]["products_title"], listed[0]["csm_name"], listed[1]["csm_name"]) == ("E-sign, Expense", None, "Kato")
    # nobody of their segment has more than 50 seats, so success is not proven for either product
    assert [row["proven"] for row in listed] == [False, False, False]
    con.close()


def test_cs64_cs_is_told_once_of_each_large_deal_customer_or_not() -> None:
    """The alert asks for new business: DN for the CS lead, since nobody looks after them yet; the partner's deal for whoever owns the partner."""
    lake = Lake()
    selling(lake)
    con = open_lake(lake)
    decide(con, mappings(alert=True))
    told = {row["product"]: row for row in rows(con, "SELECT * FROM flips WHERE rule = 'large_deal'")}
    assert {deal: (row["account_id"], row["recipient"], row["routed"]) for deal, row in told.items()} == {
        "DN": ("new", "LEAD", "csm"), "resell": ("resold", "RESELLER", "partner"),
    }  # fmt: skip
    assert told["DN"]["text"] == "3,500,000 JPY, E-sign, Expense, Proposal, by 20 Dec 2026"
    decide(con, mappings(alert=True))
    assert not rows(con, "SELECT 1 FROM flips WHERE rule = 'large_deal'")
    # a second deal of the same account is news; it is one of an increment, too
    changed = "SELECT * REPLACE ('second' AS id, NULL AS deal_id, 5000000 AS amount) FROM crm_opportunity WHERE id = 'n1'"
    con.execute(f"INSERT INTO crm_opportunity BY NAME {changed}")
    con.execute("CREATE OR REPLACE TABLE only_new AS SELECT 'new' AS account_id")
    decide(con, mappings(alert=True), only="only_new")
    assert [row["product"] for row in rows(con, "SELECT product FROM flips WHERE rule = 'large_deal'")] == ["second"]
    con.close()


# --- CS-65 ---------------------------------------------------------------------------------------------------------------------------------------
def segments(lake: Lake) -> None:
    """SMB with expense: four customers of 2025, two with 90 seats and more, one that left. Enterprise: one, which does well.
    Nobody has e-sign but new2."""
    for name, seats in (("s1", 90), ("s2", 95), ("s3", 10)):
        lake.make_account(name)
        lake.make_contract(name, seats=seats)
    lake.make_account("gone")
    lake.make_contract("gone", ends_on=date(2026, 3, 31), status="ended")
    lake.make_account("e1", segment="Enterprise")
    lake.make_contract("e1", seats=200)
    for name, segment, product in (("new1", "SMB", "expense"), ("new2", "SMB", "esign"), ("new3", "Enterprise", "expense")):
        lake.make_account(name, segment=segment, owner_id="REP")
        lake.make_contract(name, starts_on=NEW, product=product)


def test_cs65_a_customer_taken_on_where_success_is_not_proven_is_flagged() -> None:
    """SMB x expense: 2 do well (2 wanted), 3 of the 4 that began a year ago stayed: 75 % >= 70 %. Enterprise x expense: 1 does well.
    SMB x e-sign: nobody.
    new1 and new3 began ten days ago, so they count for neither side of retention."""
    lake = Lake()
    segments(lake)
    con = open_lake(lake)
    decide(con, mappings("fit_segment", "fit_note"))
    decisions = by(con, "decisions")
    flagged = {name: row["fit_segment"] for name, row in decisions.items()}
    assert {name: flagged[name] for name in ("new1", "new2", "new3", "s1")} == {"new1": "proven", "new2": "unproven", "new3": "unproven", "s1": None}
    assert decisions["new1"]["fit_note_en"] is None
    assert decisions["new3"]["fit_note_en"] == "Expense in Enterprise: 1 customer doing well, 2 wanted; 1 of 1 stayed"
    assert decisions["new3"]["fit_note_ja"] == "Enterpriseの経費精算は、成功しているお客様が1社(目安2社)、継続は1社中1社です"
    assert decisions["new2"]["fit_note_en"] == "E-sign in SMB: 0 customers doing well, 2 wanted"
    report = fit_report(con, RELATIONS, mappings(), moment(), report_rows(con))
    cells = {(c["segment"], c["product"]): (c["proven"], c["successes"], c["accounts"], c["stayed"], c["lost"]) for c in report["cells"]}
    assert cells == {
        ("SMB", "expense"): (True, 2, 4, 3, 1), ("SMB", "esign"): (False, 0, 1, 0, 0), ("Enterprise", "expense"): (False, 1, 2, 1, 0),
    }  # fmt: skip
    assert [(row["account_id"], row["owner_id"]) for row in report["unproven"]] == [("new2", "REP"), ("new3", "REP")]
    con.close()


def test_cs65_too_many_that_left_make_a_segment_unproven() -> None:
    """A second one that left: 3 of 5 stayed, 60 % < 70 %."""
    lake = Lake()
    segments(lake)
    lake.make_account("gone2")
    lake.make_contract("gone2", ends_on=date(2026, 3, 31), status="ended")
    con = open_lake(lake)
    decide(con, mappings("fit_segment"))
    assert by(con, "decisions")["new1"]["fit_segment"] == "unproven"
    con.close()


def test_cs65_an_increment_answers_as_the_last_full_run_did() -> None:
    """s2 falls to 10 seats, so a full run would leave one successful account; a run for new1 alone must not move it."""
    lake = Lake()
    segments(lake)
    con = open_lake(lake)
    decide(con, mappings("fit_segment"))
    con.execute("INSERT INTO fit_history BY NAME SELECT * FROM fit_changes")
    con.execute("UPDATE crm_contract SET seats = 10 WHERE account_id = 's2'")
    con.execute("CREATE OR REPLACE TABLE only_new AS SELECT 'new1' AS account_id")
    decide(con, mappings("fit_segment"), only="only_new")
    assert by(con, "decisions")["new1"]["fit_segment"] == "proven"
    decide(con, mappings("fit_segment"))
    assert by(con, "decisions")["new1"]["fit_segment"] == "unproven"
    assert [(row["segment"], row["product"]) for row in rows(con, "SELECT * FROM fit_changes")] == [("SMB", "expense")]
    con.close()
