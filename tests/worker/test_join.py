"""join: every account is one rule of the written columns, all in one lake. The instant is noon of Tuesday 1 December 2026 in Tokyo."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from mappings.models import Scope
from tests.factories import ON, Lake, instant, make_mappings
from tests.worker.core import Row, by, join, pick, rows


def days(n: int) -> date:
    return ON - timedelta(days=n)


def contracts_lake() -> Lake:
    lake = Lake()
    # two open lines; esign has more MRR, so it is the main product; expense ends first
    lake.make_account("two")
    lake.make_contract(
        "two", product="expense", seats=50, mrr=90_000, starts_on=date(2024, 4, 1), ends_on=date(2027, 3, 31), notice_on=date(2027, 1, 31)
    )
    lake.make_contract("two", product="esign", seats=20, mrr=120_000, starts_on=date(2025, 10, 1), ends_on=date(2027, 9, 30))
    # what is not open: ended yesterday, starts tomorrow, draft, a trial, state ended, churned today
    lake.make_account("closed")
    lake.make_contract("closed", ends_on=days(1))
    lake.make_contract("closed", starts_on=ON + timedelta(days=1))
    lake.make_contract("closed", status="draft")
    lake.make_contract("closed", is_trial=True)
    lake.make_contract("closed", status="ended", churned_on=date(2026, 11, 2))
    lake.make_contract("closed", churned_on=ON)
    # what is: ends today, starts today, state unknown, churns tomorrow
    lake.make_account("edges")
    lake.make_contract("edges", ends_on=ON, seats=1)
    lake.make_contract("edges", starts_on=ON, seats=2)
    lake.make_contract("edges", status=None, seats=4)
    lake.make_contract("edges", churned_on=ON + timedelta(days=1), seats=8)
    lake.make_account("prospect", kind="prospect")
    lake.make_account("mixed")
    lake.make_contract("mixed", currency="JPY")
    lake.make_contract("mixed", currency="USD", product="esign")
    # a reseller signs, the end user uses
    lake.make_account("reseller")
    lake.make_account("user")
    lake.make_contract("reseller", end_user_id="user", contracting_party_id="reseller")
    return lake


@pytest.fixture(scope="module")
def contracts() -> dict[str, Row]:
    con, _ = join(contracts_lake(), make_mappings())
    return by(con, "accounts")


def test_open_lines_are_summed_and_the_highest_mrr_is_the_main_product(contracts: dict[str, Row]) -> None:
    row = contracts["two"]
    assert pick(row, ("contracts", "products_owned", "seats", "mrr", "currency", "main_product")) == {
        "contracts": 2, "products_owned": 2, "seats": 70, "mrr": Decimal("210000.0000"), "currency": "JPY", "main_product": "esign",
    }  # fmt: skip
    assert (row["first_contract_on"], row["contract_starts_on"]) == (date(2024, 4, 1), date(2025, 10, 1))
    assert row["days_since_start"] == (ON - date(2025, 10, 1)).days == 426


def test_the_line_that_ends_first_gives_end_notice_and_term(contracts: dict[str, Row]) -> None:
    row = contracts["two"]
    assert (row["contract_ends_on"], row["notice_on"], row["notice_estimated"]) == (date(2027, 3, 31), date(2027, 1, 31), False)
    assert row["days_to_notice"] == 61  # 30 days of December after the 1st, 31 of January


def test_lines_that_are_over_not_begun_drafts_or_trials_are_not_open(contracts: dict[str, Row]) -> None:
    row = contracts["closed"]
    assert (row["contracts"], row["seats"], row["mrr"], row["had_contract"]) == (0, None, None, True)
    assert (row["stage"], row["churned_on"]) == ("churned", ON)


def test_first_and_last_day_of_a_line_belong_to_it(contracts: dict[str, Row]) -> None:
    assert (contracts["edges"]["contracts"], contracts["edges"]["seats"]) == (4, 15)


def test_who_never_had_a_contract_has_no_stage(contracts: dict[str, Row]) -> None:
    assert pick(contracts["prospect"], ("contracts", "had_contract", "stage", "scope", "excluded_why")) == {
        "contracts": 0, "had_contract": False, "stage": None, "scope": "excluded", "excluded_why": "no open contract",
    }  # fmt: skip


def test_money_of_two_currencies_is_not_added(contracts: dict[str, Row]) -> None:
    assert (contracts["mixed"]["mrr"], contracts["mixed"]["currency"]) == (None, None)


def test_a_line_belongs_to_its_end_user(contracts: dict[str, Row]) -> None:
    assert (contracts["reseller"]["contracts"], contracts["user"]["contracts"]) == (0, 1)


# --- stages --------------------------------------------------------------------------------------------------------------------------------------
def stages_lake() -> Lake:
    """A year's term each; notice is the end minus a month. Renewal starts min(90, 12 x 10 = 120) = 90 days before the notice deadline."""
    lake = Lake()

    def account(name: str, start: int, end: date | None, **more: object) -> None:
        own = {k: more.pop(k) for k in list(more) if k.startswith("own_") or k == "stage"}
        lake.make_account(name, **own)
        lake.make_contract(name, starts_on=days(start), ends_on=end, **more)

    account("new", 89, date(2028, 3, 31))
    account("settled", 90, date(2028, 3, 31))
    account("completed", 30, date(2028, 3, 31), own_onboarding_outcome="completed")
    account("extended", 150, date(2028, 3, 31), own_onboarding_outcome="extended")
    account("too_long", 180, date(2028, 3, 31), own_onboarding_outcome="extended")
    account("esign", 61, date(2028, 3, 31), product="esign")  # 60 days of onboarding in the catalogue
    account("renewal", 400, date(2027, 4, 1))  # notice 1 March 2027: 90 days away
    account("not_yet", 400, date(2027, 4, 2))  # 91 days away
    account("half_year", 400, date(2027, 2, 28), term_months=6)  # notice 28 January: 58 days; a third of the term: 60
    account("half_year_later", 400, date(2027, 3, 3), term_months=6)  # notice 3 February: 64 days
    account("monthly", 400, date(2026, 12, 31), term_months=1)
    account("open_end", 400, None)
    account("kept_in_crm", 400, date(2027, 4, 1), stage="adoption")
    return lake


@pytest.mark.parametrize(
    ("account", "stage"),
    [
        ("new", "onboarding"), ("settled", "adoption"), ("completed", "adoption"), ("extended", "onboarding"), ("too_long", "adoption"),
        ("esign", "adoption"), ("renewal", "renewal"), ("not_yet", "adoption"), ("half_year", "renewal"), ("half_year_later", "adoption"),
        ("monthly", "adoption"), ("open_end", "adoption"), ("kept_in_crm", "adoption"),
    ],
)  # fmt: skip
def test_stage(stages: dict[str, Row], account: str, stage: str) -> None:
    assert stages[account]["stage"] == stage


@pytest.fixture(scope="module")
def stages() -> dict[str, Row]:
    con, _ = join(stages_lake(), make_mappings())
    return by(con, "accounts")


def test_a_missing_notice_deadline_is_the_end_minus_a_calendar_month(stages: dict[str, Row]) -> None:
    assert (stages["new"]["notice_on"], stages["new"]["notice_estimated"]) == (date(2028, 2, 29), True)
    assert (stages["open_end"]["notice_on"], stages["open_end"]["notice_estimated"]) == (None, None)


# --- people and touches --------------------------------------------------------------------------------------------------------------------------
def people_lake() -> Lake:
    lake = Lake()
    lake.make_account("A", owner_id="sales", csm_id="csm", own_pulse="B", own_override_score="70", own_override_until="2026-12-01")
    lake.make_account("quiet", own_override_score="70", own_override_until="2026-11-30")
    for account in ("A", "quiet"):
        lake.make_contract(account)
    boss = lake.make_contact("A", "decision_maker")
    lake.make_contact("A", "operator")
    lake.make_contact("A", "admin")
    lake.make_contact("A", "champion", active=False, left_on=days(40))
    lake.make_contact("A", "operator", active=False)
    lake.make_contact("A", "operator", left_on=ON + timedelta(days=9))  # leaves next week: still here
    lake.make_activity("A", days(5), kind="call", owner_id="csm")
    lake.make_activity("A", days(10), kind="qbr", contact_id=boss, owner_id="sales")
    lake.make_activity("A", days(90), kind="meeting")  # just outside of 90 days
    lake.make_activity("A", days(300), kind="training")
    lake.make_activity("A", days(-3), kind="meeting")  # planned
    lake.make_activity("A", days(4), kind="task", done_at=None, due_on=days(4))  # open task
    lake.make_activity("A", days(8), kind="onboarding_step", occurred_at=None, done_at=None, due_on=days(1))
    lake.make_activity("A", days(8), kind="onboarding_step", occurred_at=None, done_at=None, due_on=ON)
    # 30 November 16:00 UTC is 1 December in Tokyo
    lake.make_ticket("A", days(20), opened_at=datetime(2026, 11, 20, 16, 0, tzinfo=UTC), priority="p1")
    lake.make_ticket("A", days(91), closed_at=instant(days(80)), csat=50.0)
    lake.make_ticket("A", days(30), closed_at=instant(days(20)), csat=100.0, escalated=True)
    lake.make_ticket("A", days(30), escalated=True)
    lake.make_survey("A", 9, days(10))
    lake.make_survey("A", 4, days(170))
    lake.make_survey("A", 0, days(181))
    lake.make_opportunity("A", product="esign")
    lake.make_opportunity("A", kind="renewal")
    lake.make_opportunity("A", kind="expansion", closed=True)
    lake.make_outcome("A", days(30))  # 100 → 120: 20 %
    lake.make_outcome("A", days(60), baseline=200.0, current_value=260.0)  # 30 %
    lake.make_outcome("A", days(366), baseline=1.0, current_value=9.0)
    lake.make_account("B")
    lake.make_outcome("B", days(10), baseline=9.0, current_value=6.75, fewer_is_better=True)  # 25 % fewer days
    return lake


@pytest.fixture(scope="module")
def people() -> tuple[dict[str, Row], dict[tuple[str, str], Row]]:
    con, _ = join(people_lake(), make_mappings())
    products = {(r["account_id"], r["product"]): r for r in rows(con, "SELECT * FROM account_products")}
    return by(con, "accounts"), products


def test_touches_count_once_they_are_done(people: tuple[dict[str, Row], dict[tuple[str, str], Row]]) -> None:
    row = people[0]["A"]
    wanted = ("last_touch_on", "touches_90d", "meetings_90d", "trainings_done", "last_qbr_on", "last_decision_maker_on", "onboarding_steps_open")
    assert pick(row, wanted) == {
        "last_touch_on": days(5), "touches_90d": 2, "meetings_90d": 1, "trainings_done": 1, "last_qbr_on": days(10),
        "last_decision_maker_on": days(10), "onboarding_steps_open": 1,
    }  # fmt: skip


def test_contacts_by_role(people: tuple[dict[str, Row], dict[tuple[str, str], Row]]) -> None:
    assert pick(people[0]["A"], ("contacts", "operators", "champions", "decision_makers", "champion_left_on")) == {
        "contacts": 4, "operators": 3, "champions": 0, "decision_makers": 1, "champion_left_on": days(40),
    }  # fmt: skip


def test_tickets_by_the_day_in_tokyo(people: tuple[dict[str, Row], dict[tuple[str, str], Row]]) -> None:
    # open: the P1 of 21 November (10 days) and one escalated; CSAT in 90 days: 50 (closed 80 days ago) and 100
    assert pick(people[0]["A"], ("tickets_90d", "tickets_open", "p1_open", "p1_open_days", "escalated_open", "csat_90d", "csat_answers_90d")) == {
        "tickets_90d": 3, "tickets_open": 2, "p1_open": 1, "p1_open_days": 10, "escalated_open": 1, "csat_90d": 75.0, "csat_answers_90d": 2,
    }  # fmt: skip


def test_surveys_outcomes_and_opportunities(people: tuple[dict[str, Row], dict[tuple[str, str], Row]]) -> None:
    assert pick(people[0]["A"], ("nps_180d", "nps_answers_180d", "nps_last_on", "outcomes", "outcome_change", "outcome_last_on")) == {
        "nps_180d": 6.5, "nps_answers_180d": 2, "nps_last_on": days(10), "outcomes": 2, "outcome_change": 25.0, "outcome_last_on": days(30),
    }  # fmt: skip
    assert pick(people[0]["A"], ("opportunities_open", "expansion_open")) == {"opportunities_open": 2, "expansion_open": 1}


def test_a_talk_of_the_sales_owner_counts_for_the_product_it_is_about(people: tuple[dict[str, Row], dict[tuple[str, str], Row]]) -> None:
    products = people[1]
    assert (products["A", "esign"]["product_opportunity_open"], products["A", "esign"]["product_sales_touch_on"]) == (True, days(10))
    assert (products["A", "expense"]["product_opportunity_open"], products["A", "expense"]["product_sales_touch_on"]) == (False, None)


def test_an_account_without_rows_has_zeros_where_the_feed_is_connected_and_unknowns_else(
    people: tuple[dict[str, Row], dict[tuple[str, str], Row]],
) -> None:
    row = people[0]["quiet"]
    assert pick(row, ("touches_90d", "contacts", "tickets_open", "nps_answers_180d", "outcomes", "opportunities_open")) == dict.fromkeys(
        ("touches_90d", "contacts", "tickets_open", "nps_answers_180d", "outcomes", "opportunities_open"), 0
    )
    assert (row["last_touch_on"], row["csat_90d"], row["nps_180d"], row["outcome_change"], row["p1_open_days"]) == (None,) * 5
    assert (row["active_users_28d"], row["usage_matched"], row["usage_as_of"]) == (None, None, None)  # no usage feed at all


def test_a_persons_override_lapses_after_its_last_day(people: tuple[dict[str, Row], dict[tuple[str, str], Row]]) -> None:
    assert (people[0]["A"]["override_score"], people[0]["quiet"]["override_score"]) == (70, None)
    assert people[0]["A"]["pulse"] == "B"


def test_unconnected_feeds_leave_unknowns_not_zeros() -> None:
    lake = Lake()
    lake.make_account("A")
    lake.make_contract("A")
    con, _ = join(lake, make_mappings())
    row = by(con, "accounts")["A"]
    assert pick(
        row, ("touches_90d", "contacts", "tickets_open", "nps_answers_180d", "outcomes", "opportunities_open", "events_28d")
    ) == dict.fromkeys(("touches_90d", "contacts", "tickets_open", "nps_answers_180d", "outcomes", "opportunities_open", "events_28d"))
    connected = {r["feed"] for r in rows(con, "SELECT * FROM feeds WHERE connected")}
    assert connected == {"crm"}


# --- versions, deletes, merges -------------------------------------------------------------------------------------------------------------------
def test_the_latest_version_counts_and_deleted_records_are_out() -> None:
    lake = Lake()
    lake.make_account("A", segment="old", modified_at=instant(days(9)))
    lake.make_account("A", segment="new", modified_at=instant(days(3)), read_at=instant(days(3)))
    lake.make_account("A", segment="stale read", modified_at=instant(days(3)), read_at=instant(days(3), 1))
    lake.make_account("gone", deleted=True)
    lake.make_contract("A", id="c1", seats=10, modified_at=instant(days(9)))
    lake.make_contract("A", id="c1", seats=30, modified_at=instant(days(2)))
    lake.make_contract("A", id="c2", seats=99, deleted=True)
    con, counts = join(lake, make_mappings())
    found = by(con, "accounts")
    assert {k: (r["segment"], r["seats"]) for k, r in found.items()} == {"A": ("new", 30)}
    assert counts["in_crm"] == 1


def test_children_of_a_merged_account_follow_to_the_survivor() -> None:
    """c was merged into b, later b into a."""
    lake = Lake()
    for account, master in (("a", None), ("b", "a"), ("c", "b")):
        lake.make_account(account, master_id=master, deleted=master is not None, match_key=None)
        lake.make_contract(account, seats=10, product="expense" if account == "a" else "esign")
        lake.make_contact(account)
    con, counts = join(lake, make_mappings())
    assert {k: (r["contracts"], r["seats"], r["contacts"]) for k, r in by(con, "accounts").items()} == {"a": (3, 30, 3)}
    assert counts["lines_without_account"] == 0


# --- scope and products --------------------------------------------------------------------------------------------------------------------------
def test_scope_by_condition_and_pilot() -> None:
    lake = Lake()
    for account, segment in (("a", "SMB"), ("b", "Enterprise"), ("c", "Enterprise")):
        lake.make_account(account, segment=segment)
        lake.make_contract(account)
    scope = Scope(include="segment = 'Enterprise'", pilot=["a", "b"])
    con, counts = join(lake, make_mappings(scope=scope))
    why = {k: r["excluded_why"] for k, r in by(con, "accounts").items()}
    assert why == {"a": "out of scope", "b": None, "c": "not in the pilot"}
    assert (counts["in_crm"], counts["in_scope"], counts["excluded"]) == (3, 1, 2)


def test_fit_is_the_share_of_the_segment_that_owns_the_product() -> None:
    """SMB: 4 customers, 3 own expense, 2 own esign. The prospect does not count."""
    lake = Lake()
    owners = {"a": ("expense",), "b": ("expense", "esign"), "c": ("expense",), "d": ("esign",)}
    for account, products in owners.items():
        lake.make_account(account)
        for product in products:
            lake.make_contract(account, product=product)
    lake.make_account("p")
    lake.make_account("x", segment=None)
    lake.make_contract("x", product="esign")
    con, _ = join(lake, make_mappings())
    fit = {(r["account_id"], r["product"]): r["fit"] for r in rows(con, "SELECT * FROM account_products")}
    assert (fit["a", "expense"], fit["a", "esign"], fit["x", "expense"], fit["x", "esign"]) == (75.0, 50.0, 0.0, 100.0)


def test_product_columns_come_from_its_own_lines() -> None:
    lake = Lake()
    lake.make_account("a")
    lake.make_contract("a", product="expense", plan="lite", seats=10, mrr=1000, starts_on=date(2025, 1, 1))
    lake.make_contract("a", product="expense", plan="standard", seats=5, mrr=5000, starts_on=date(2026, 1, 1))
    lake.make_contract("a", product="expense", plan="pro", seats=7, mrr=9000, ends_on=days(1))
    con, _ = join(lake, make_mappings())
    found = {r["product"]: r for r in rows(con, "SELECT * FROM account_products")}
    wanted = ("owned", "product_plan", "product_plan_rank", "product_plan_ranks", "product_seats", "product_mrr", "product_starts_on")
    assert pick(found["expense"], wanted) == dict(zip(wanted, (True, "standard", 2, 3, 15, Decimal(6000), date(2025, 1, 1)), strict=True))
    assert pick(found["esign"], wanted) == dict(zip(wanted, (False, None, None, 2, None, None, None), strict=True))


def test_a_past_date_is_scored_by_the_rows_dates_not_by_todays_states() -> None:
    """On 1 October the line was open, the ticket too, and the opportunity not closed."""
    lake = Lake()
    lake.make_account("a")
    lake.make_contract("a", status="ended", churned_on=date(2026, 11, 1))
    lake.make_ticket("a", date(2026, 9, 20), closed_at=instant(date(2026, 10, 5)), priority="p1")
    lake.make_opportunity("a", closed=True, close_on=date(2026, 10, 20))
    lake.make_activity("a", date(2026, 11, 20))
    con, _ = join(lake, make_mappings(), instant(date(2026, 10, 1)), past=True)
    row = by(con, "accounts")["a"]
    assert pick(row, ("contracts", "stage", "p1_open", "expansion_open", "last_touch_on")) == {
        "contracts": 1, "stage": "adoption", "p1_open": 1, "expansion_open": 1, "last_touch_on": None,
    }  # fmt: skip


def test_fewer_can_be_the_improvement(people: tuple[dict[str, Row], dict[tuple[str, str], Row]]) -> None:
    assert people[0]["B"]["outcome_change"] == 25.0
