"""The CSM's judgement in the approach score, and white space with fit, blocker and owner team."""

from typing import Any

import pytest

from mappings.models import Judgement, Mappings, Products, Writeback
from tests.factories import AS_OF, Lake, make_field, make_rule, make_text
from tests.worker.core import RELATIONS, by, decide, moment, open_lake, rows
from tests.worker.csqls import COOL, customer, gate, mappings_of, own
from worker.steps.diff import diff_accounts

JUDGEMENT = [
    Judgement(value="good", points=15, text=make_text("; the CSM sees a good moment", "。担当CSMも好機と見ています")),
    Judgement(value="not_now", points=-30, text=make_text("; the CSM would wait", "。担当CSMは時期を待つ意見です")),
]


# --- judgement -----------------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("said", "approach", "score", "why"),
    [
        (None, 60, 60, "since 1 Dec 2026"),
        ("good", 60, 75, "since 1 Dec 2026; the CSM sees a good moment"),
        ("not_now", 60, 30, "since 1 Dec 2026; the CSM would wait"),
        ("good", 95, 100, "since 1 Dec 2026; the CSM sees a good moment"),
        ("not_now", 20, 0, "since 1 Dec 2026; the CSM would wait"),
        ("an old value", 60, 60, "since 1 Dec 2026"),
    ],
)
def test_cs59_the_csms_judgement_is_added_to_what_the_data_say_and_named_in_why_now(said: str | None, approach: int, score: int, why: str) -> None:
    """60 + 15 = 75, 60 - 30 = 30; the sum stays within 0 and 100."""
    lake = own(Lake())
    lake.own += ["csm_judgement"]
    customer(lake)
    lake.rows["crm_account"][-1]["own_csm_judgement"] = said
    con = open_lake(lake)
    decide(con, judging(approach))
    assert rows(con, "SELECT approach_score, why_now_en FROM csql_desired") == [{"approach_score": score, "why_now_en": why}]
    assert by(con, "decisions")["A1"]["approach_score"] == score
    assert by(con, "scores")["A1"]["score_uncapped"] == pytest.approx((50 * 50 + 100 * 20) / 70)  # health knows nothing of it


def test_cs59_the_judgement_is_the_csms_and_never_written() -> None:
    lake = own(Lake())
    lake.own += ["csm_judgement"]
    customer(lake)
    con = open_lake(lake)
    fields = [make_field("approach_score"), make_field("csm_judgement", type="text", owner="human", value="approach_score")]
    mappings = judging(60, writeback=Writeback(fields=fields))
    decide(con, mappings)
    diff_accounts(con, RELATIONS, mappings, moment())
    assert rows(con, "SELECT field, our_value FROM changes") == [{"field": "approach_score", "our_value": "60"}]


def judging(approach: int, **row: Any) -> Mappings:
    found = mappings_of(make_rule(persist_days=0, approach=str(approach)), **row)
    return found.model_copy(update={"policy": found.policy.model_copy(update={"judgement": JUDGEMENT})})


# --- white space ---------------------------------------------------------------------------------------------------------------------------------
def catalogue(*, team: bool = True) -> Products:
    """Expense, which all own, and two that not all do; esign's team is named."""
    esign = {"code": "esign", "title": {"en": "E-sign", "ja": "電子契約"}} | ({"team": {"en": "East sales", "ja": "東日本営業部"}} if team else {})
    expense, payroll = (
        {"code": "expense", "title": {"en": "Expense", "ja": "経費精算"}},
        {"code": "payroll", "title": {"en": "Payroll", "ja": "給与"}},
    )
    return Products.model_validate({"products": [expense, esign, payroll]})


def firm() -> Lake:
    """Four customers of a segment: three own esign, one payroll too. A1 owns expense alone, so 75 % of peers own esign and 25 % payroll."""
    lake = own(Lake())
    for n, products in enumerate((["expense"], ["expense", "esign"], ["expense", "esign"], ["expense", "esign", "payroll"]), 1):
        customer(lake, f"A{n}")
        for product in products[1:]:
            lake.make_contract(f"A{n}", product=product)
    return lake


def said(lake: Lake, *gates: Any, switched: bool = True, **row: Any) -> dict[str, Any]:
    field = [make_field("white_space_detail", type="text", length=255)] if switched else []
    found = mappings_of(make_rule(when="false"), products=catalogue(), writeback=Writeback(language="en", fields=field), **row)
    found = found.model_copy(update={"policy": found.policy.model_copy(update={"gates": list(gates)})})
    con = open_lake(lake)
    decide(con, found)
    return by(con, "decisions")


def test_cs60_each_product_not_owned_comes_with_fit_and_owner_team() -> None:
    """The better fit first. A2 and A3 lack payroll alone, A4 nothing."""
    found = said(firm())
    assert found["A1"]["white_space_detail_en"] == "E-sign (75% of peers, East sales): open; Payroll (25% of peers): open"
    assert found["A1"]["white_space_detail_ja"] == "電子契約(同規模の75%が利用、東日本営業部):ご提案可、給与(同規模の25%が利用):ご提案可"
    assert found["A2"]["white_space_detail_en"] == "Payroll (25% of peers): open"
    assert found["A4"]["white_space_detail_en"] is None


def test_cs60_what_stands_in_the_way_is_named_per_product() -> None:
    """An escalated case bars both; the first gate that does not hold is named. A gate of some rules only says nothing of a product."""
    bar = gate("calm", "product <> 'payroll'")
    found = said(firm(), gate("some", "false", always=False), bar, gate("later", "false"))
    assert found["A1"]["white_space_detail_en"] == "E-sign (75% of peers, East sales): later 50; Payroll (25% of peers): calm 50"


def test_cs60_an_open_csql_and_a_pause_after_one_are_in_the_way() -> None:
    """Esign was returned on 1 December: 90 days are over on 1 March. For payroll sales is at work."""
    lake = firm()
    lake.make_csql("A1", id="q1", product="esign", state="Returned", external_key="A1|esign|1", created_at=AS_OF, modified_at=AS_OF)
    lake.make_csql("A1", id="q2", product="payroll", state="Accepted", external_key="A1|payroll|1", created_at=AS_OF, modified_at=AS_OF)
    assert COOL["returned"] == 90
    text = "E-sign (75% of peers, East sales): not to be offered again before 1 Mar 2027; Payroll (25% of peers): CSQL working"
    assert said(lake)["A1"]["white_space_detail_en"] == text


def test_cs60_nothing_is_made_where_no_field_takes_it() -> None:
    assert "white_space_detail_en" not in said(firm(), switched=False)["A1"]
