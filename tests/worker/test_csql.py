"""CSQLs: persistence, what is opened, gates, and the flips of alerts and tiers."""

from datetime import date, datetime, timedelta

import duckdb
import pytest

from mappings.models import Alert, Mappings
from tests.factories import AS_OF, ON, Lake, make_mappings, make_rule, make_text
from tests.worker.core import by, decide, open_lake, rows
from tests.worker.csqls import DAY, customer, desired, gate, mappings_of, own, policy, run_once


# --- persistence ---------------------------------------------------------------------------------------------------------------------------------
def moves_on(con: duckdb.DuckDBPyConnection, mappings: Mappings, *offsets: int) -> list[int]:
    """Days (from ON) on which a record would be opened."""
    opened = []
    for n in offsets:
        decide(con, mappings, AS_OF + n * DAY)
        opened += [n for move in desired(con) if move[1] == "open"]
    return opened


def test_a_signal_must_hold_for_its_days() -> None:
    lake = Lake()
    customer(lake)
    con = open_lake(own(lake))
    assert moves_on(con, mappings_of(make_rule(persist_days=3)), 0, 1, 2, 3) == [3]


def test_a_signal_that_breaks_off_begins_anew() -> None:
    """True on days 0 and 1, false on day 2 (40 days to that date are over), true again from day 3."""
    lake = Lake()
    customer(lake)
    con = open_lake(own(lake))
    broken = mappings_of(make_rule(persist_days=2, when=f"seats >= 40 and as_of_on <> date '{ON + 2 * DAY}'"))
    assert moves_on(con, broken, 0, 1, 2, 3, 4, 5) == [5]
    found = rows(con, "SELECT on_, signal, since_on FROM signal_history ORDER BY on_")
    assert [(r["on_"], r["signal"], r["since_on"]) for r in found] == [
        (ON, True, ON),
        (ON + 2 * DAY, False, None),
        (ON + 3 * DAY, True, ON + 3 * DAY),
    ]


def test_runs_of_one_day_count_once_and_only_the_last_answer_closes() -> None:
    lake = Lake()
    customer(lake)
    con = open_lake(own(lake))
    mappings = mappings_of(make_rule(persist_days=1))
    for hour in range(3):
        decide(con, mappings, AS_OF + timedelta(hours=hour))
        assert desired(con) == []
    assert len(rows(con, "SELECT * FROM signal_history")) == 1
    decide(con, mappings, AS_OF + DAY)
    assert [m[1] for m in desired(con)] == ["open"]


def test_days_without_a_score_do_not_count() -> None:
    """Usage feeds the score and is late beyond 3 days: held on days 3 to 5. On day 6 the signal has held 6 days, of which 3 count; on day 7, 4."""
    lake = Lake()
    customer(lake)
    file = lake.make_file()
    for n in range(1, 60):
        lake.make_use(file, "t-A1", ON - n * DAY, ["u"])
    con = open_lake(own(lake))
    mappings = mappings_of(make_rule(persist_days=4))
    assert moves_on(con, mappings, 0, 3, 4, 5) == []
    con.execute(f"UPDATE usage_file SET last_day = DATE '{ON + 9 * DAY}'")
    assert moves_on(con, mappings, 6, 7) == [7]


def test_a_rule_over_products_not_owned_sees_only_those_for_sale() -> None:
    lake = Lake()
    customer(lake)
    con = run_once(lake, mappings_of(make_rule("cross", over="not_owned", when="true", persist_days=0)))
    assert [(r["product"], r["rule"]) for r in rows(con, "SELECT * FROM csql_desired")] == [("esign", "cross v1")]


# --- what is opened ------------------------------------------------------------------------------------------------------------------------------
def test_a_trusted_rule_submits_and_an_ordinary_one_proposes() -> None:
    lake = Lake()
    customer(lake)
    rules = make_rule("seats", persist_days=0, trusted=True, amount="product_mrr / 2", seats_suggested="product_seats / 5", approach="72.5")
    con = run_once(lake, mappings_of(rules, make_rule("cross", over="not_owned", when="true", persist_days=0)))
    found = {r["product"]: r for r in rows(con, "SELECT * FROM csql_desired")}
    assert (found["expense"]["state"], found["esign"]["state"]) == ("Submitted", "Candidate")
    got = found["expense"]
    assert (got["external_key"], got["rule"], got["motion"], got["amount"], got["currency"], got["seats_suggested"]) == (
        "A1|expense|1", "seats v1", "seat", 50_000, "JPY", 10,
    )  # fmt: skip
    assert (got["approach_score"], got["health_score"], got["coverage"], got["during_onboarding"]) == (72, 64, 100, False)
    assert (got["opened_on"], got["since_on"], got["expires_on"]) == (ON, ON, ON + 30 * DAY)
    assert got["accept_by"] == date(2026, 12, 3)  # two business days after a Tuesday
    assert found["esign"]["accept_by"] is None  # the clock starts when it is submitted
    assert (got["need_en"], got["need_ja"], got["why_now_en"]) == ("Expense needs more", "経費精算の追加", "since 1 Dec 2026")
    assert (got["title_en"], got["title_ja"]) == ("Rule seats: Expense", "規則 seats:経費精算")


def test_deadlines_are_business_days_of_the_company() -> None:
    """Monday 28 December 2026 + 2: the 29th to 31st and 2nd and 3rd are closed, the 1st is a holiday, the 2nd and 3rd a weekend: 4 and 5 January."""
    lake = Lake()
    customer(lake)
    con = run_once(lake, mappings_of(make_rule(persist_days=0, trusted=True)), datetime(2026, 12, 28, 3, tzinfo=AS_OF.tzinfo))
    assert rows(con, "SELECT accept_by FROM csql_desired")[0]["accept_by"] == date(2027, 1, 5)


def test_the_account_says_flag_count_and_state() -> None:
    lake = Lake()
    for account in ("sub", "cand", "both", "none"):
        customer(lake, account)
    lake.make_csql("sub", state="Accepted", external_key="sub|expense|1", created_at=AS_OF - DAY)
    lake.make_csql("cand", state="Candidate", external_key="cand|expense|1", created_at=AS_OF - DAY)
    lake.make_csql("both", state="Candidate", product="esign", external_key="both|esign|1", created_at=AS_OF - DAY)
    lake.make_csql("both", state="Opportunity", external_key="both|expense|1", created_at=AS_OF - DAY)
    con = run_once(lake, mappings_of(make_rule(when="false")))
    found = by(con, "decisions")
    said = {k: (r["csql_flag"], r["csql_open_count"], r["csql_status_en"], r["csql_status_ja"]) for k, r in found.items()}
    assert said == {
        "sub": (True, 1, "Working: Expense", "対応中:経費精算"),
        "cand": (False, 1, "Candidate: Expense", "候補:経費精算"),
        "both": (True, 2, "Opportunity: Expense", "商談化:経費精算"),
        "none": (False, 0, None, None),
    }


# --- gates ---------------------------------------------------------------------------------------------------------------------------------------
GATES = {
    "onboarding": gate("onboarding", "stage is distinct from 'onboarding' or coalesce(onboarding_steps_open, 0) = 0"),
    "healthy": gate("healthy", "stage = 'onboarding' or health_tier >= 4"),
    "trouble": gate("trouble", "coalesce(p1_open, 0) = 0 and coalesce(escalated_open, 0) = 0"),
    "notice": gate("notice", "churn_notice_on is null"),
    "partner": gate("partner", "partner_id is null"),
    "talks": gate("talks", "not coalesce(product_opportunity_open, false)"),
    "touched": gate("touched", "product_sales_touch_on is null or product_sales_touch_on < as_of_on - 14"),
}


def spoil(lake: Lake, name: str) -> None:
    """Make one gate fail for the account made last, whose name is the gate's."""
    account, line = lake.rows["crm_account"][-1], lake.rows["crm_contract"][-1]
    match name:
        case "onboarding":
            line["starts_on"] = ON - 30 * DAY
            lake.make_activity(name, ON, kind="onboarding_step", occurred_at=None, done_at=None, due_on=ON - DAY)
        case "healthy":
            line["seats"] = 41  # (41 x 50 + 100 x 20) / 70 = 57.9: tier 3
        case "trouble":
            lake.make_ticket(name, priority="p1")
        case "notice":
            account["churn_notice_on"] = ON - DAY
        case "partner":
            account["partner_id"] = "P"
        case "talks":
            lake.make_opportunity(name, product="expense")


SPOILED = ("onboarding", "healthy", "trouble", "notice", "partner", "talks")


@pytest.fixture(scope="module")
def gated() -> duckdb.DuckDBPyConnection:
    """One account per gate that does not hold, one on track in its onboarding that scores 57.9, and one without any objection."""
    lake = Lake()
    for name in SPOILED:
        customer(lake, name)
        spoil(lake, name)
    customer(lake, "fine")
    customer(lake, "on track", starts_on=ON - 30 * DAY, seats=41)
    return run_once(lake, mappings_of(policy=policy(*GATES.values())))


@pytest.mark.parametrize("name", SPOILED)
def test_a_gate_that_does_not_hold_suppresses_with_its_reason(gated: duckdb.DuckDBPyConnection, name: str) -> None:
    said = by(gated, "decisions")[name]
    assert said["csql_suppressed_en"] == f"Expense: {name} {41 if name == 'healthy' else 50}"
    assert said["csql_suppressed_ja"] == f"経費精算:{name}のため"
    assert name not in [m[0] for m in desired(gated)]


def test_without_an_objection_a_record_is_opened_also_for_an_onboarding_on_track(gated: duckdb.DuckDBPyConnection) -> None:
    assert [(m[0], m[1]) for m in desired(gated)] == [("fine", "open"), ("on track", "open")]
    assert by(gated, "csql_desired")["on track"]["during_onboarding"] is True
    assert by(gated, "decisions")["fine"]["csql_suppressed_en"] is None


def test_a_recent_talk_of_sales_suppresses_and_the_csms_call_never_does() -> None:
    lake = Lake()
    for account, owner, days_ago in (("sales 14", "sales", 14), ("sales 15", "sales", 15), ("csm 1", "csm", 1)):
        customer(lake, account)
        lake.rows["crm_account"][-1].update(owner_id="sales", csm_id="csm")
        lake.make_opportunity(account, product="expense")
        lake.make_activity(account, ON - days_ago * DAY, owner_id=owner)
    con = run_once(lake, mappings_of(policy=policy(GATES["touched"])))
    assert [m[0] for m in desired(con)] == ["csm 1", "sales 15"]


def test_a_gate_that_is_unknown_does_not_hold() -> None:
    lake = Lake()
    customer(lake)
    assert desired(run_once(lake, mappings_of(policy=policy(gate("p1", "p1_open = 0"))))) == []  # no ticket feed at all


def test_a_gate_that_is_not_for_all_counts_for_the_rules_that_name_it() -> None:
    lake = Lake()
    customer(lake)
    rules = make_rule("named", persist_days=0, gates=["special"]), make_rule("plain", over="not_owned", when="true", persist_days=0)
    con = run_once(lake, mappings_of(*rules, policy=policy(gate("special", "false", always=False))))
    assert [r["rule"] for r in rows(con, "SELECT * FROM csql_desired")] == ["plain v1"]


def test_the_rule_without_an_objection_is_chosen_then_the_better_moment() -> None:
    lake = Lake()
    customer(lake)
    rules = (
        make_rule("barred", persist_days=0, approach="99", gates=["no"]),
        make_rule("weak", persist_days=0, approach="10"),
        make_rule("good", persist_days=0),
    )
    con = run_once(lake, mappings_of(*rules, policy=policy(gate("no", "false", always=False))))
    assert [r["rule"] for r in rows(con, "SELECT * FROM csql_desired")] == ["good v1"]


# --- alerts and flips ----------------------------------------------------------------------------------------------------------------------------
def test_an_alert_flips_when_its_answer_turns_true_and_not_again() -> None:
    lake = Lake()
    customer(lake)
    alert = Alert(name="low", when="health_score < 70", channel="log", text=make_text("score {health_score}", "スコア{health_score}"))
    con = open_lake(own(lake))
    mappings = make_mappings(alerts={"low": alert})
    seen = []
    for n in range(3):
        decide(con, mappings, AS_OF + n * DAY)
        seen.append([(f["rule"], f["value"], f["text"]) for f in rows(con, "SELECT * FROM flips WHERE kind = 'alert'")])
    assert seen == [[("low", "true", "スコア64")], [], []]
    assert desired(con) == []


def test_a_change_of_tier_is_a_flip() -> None:
    lake = Lake()
    customer(lake)
    con = open_lake(own(lake))
    decide(con, make_mappings())
    assert rows(con, "SELECT * FROM flips") == []  # a first score
    con.execute("UPDATE crm_contract SET seats = 10")
    decide(con, make_mappings(), AS_OF + DAY)
    decide(con, make_mappings(), AS_OF + 2 * DAY)
    # (10 x 50 + 100 x 20) / 70 = 35.7: tier 2 after two closings
    assert [(f["rule"], f["value"], f["account_id"]) for f in rows(con, "SELECT * FROM flips")] == [("tier", "4→2", "A1")]
