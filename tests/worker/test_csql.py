"""CSQLs: persistence, gates, cool-down, dedupe, keys, expiry, and records that a person made or moved."""

from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from mappings.models import Alert, CsqlPolicy, CsqlRule, Gate, Mappings
from tests.factories import AS_OF, ON, Lake, instant, make_mappings, make_rule, make_text
from tests.worker.core import by, decide, open_lake, rows

COOL = {"returned": 90, "lost": 90, "declined_twice": 180, "nurture": 45, "expired": 60}
DAY = timedelta(days=1)


def policy(*gates: Gate) -> CsqlPolicy:
    return CsqlPolicy(gates=list(gates), cooldown_days=COOL)


def gate(name: str, when: str, *, always: bool = True) -> Gate:
    return Gate(name=name, when=when, text=make_text(f"{name} {{seats}}", f"{name}のため"), always=always)


def customer(lake: Lake, account: str = "A1", **contract: Any) -> None:
    """50 seats of expense and ten touches, so the score is (50 x 50 + 100 x 20) / 70 = 64: the usage feed is not connected."""
    lake.make_account(account)
    lake.make_contract(account, **contract)
    for n in range(10):
        lake.make_activity(account, ON - timedelta(days=n + 20), id=f"act-{account}-{n}")


def own(lake: Lake) -> Lake:
    lake.own += ["nurture_until", "need", "health_score", "rule", "opened_on", "accept_by", "approach_score", "during_onboarding"]
    return lake


def mappings_of(*rules: CsqlRule, **row: Any) -> Mappings:
    return make_mappings(csql={r.name: r for r in rules or (make_rule(persist_days=0),)}, **row)


def run_once(lake: Lake, mappings: Mappings, as_of: datetime = AS_OF) -> duckdb.DuckDBPyConnection:
    con = open_lake(own(lake))
    decide(con, mappings, as_of)
    return con


def desired(con: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return [(r["account_id"], r["move"], r["state"], r["external_key"]) for r in rows(con, "SELECT * FROM csql_desired")]


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


# --- one at a time, cool-down --------------------------------------------------------------------------------------------------------------------
def test_an_open_record_is_updated_not_doubled() -> None:
    states = ("Candidate", "Submitted", "Accepted", "Meeting", "Opportunity", "Nurture")
    lake = Lake()
    for state in states:
        customer(lake, state)
        lake.make_csql(state, state=state, external_key=f"{state}|expense|4", created_at=AS_OF - DAY, own_rule="old v1", own_health_score="12")
    con = run_once(lake, mappings_of())
    for state, got in by(con, "csql_desired").items():
        assert (got["move"], got["state"], got["external_key"]) == ("update", state, f"{state}|expense|4")
        assert (got["health_score"], got["rule"]) == (12, "old v1")  # as it was at creation
        assert got["need_en"] == ("Expense needs more" if state not in ("Opportunity", "Nurture") else None)
    assert len(desired(con)) == len(states)


COOLING = [
    ("Returned", 90, True), ("Returned", 89, False), ("Lost", 90, True), ("Lost", 89, False), ("Expired", 60, True), ("Expired", 59, False),
    ("Won", 1, True),
]  # fmt: skip


@pytest.fixture(scope="module")
def cooling() -> duckdb.DuckDBPyConnection:
    lake = Lake()
    for state, ago, _ in COOLING:
        customer(lake, f"{state}-{ago}")
        at = instant(ON - ago * DAY)
        lake.make_csql(f"{state}-{ago}", state=state, external_key=f"{state}-{ago}|expense|1", created_at=at - DAY, modified_at=at)
    for days_ago in (179, 180):
        customer(lake, f"twice-{days_ago}")
        for n, ago in ((1, 300), (2, days_ago)):
            at = instant(ON - ago * DAY)
            lake.make_csql(f"twice-{days_ago}", state="Returned", external_key=f"twice-{days_ago}|expense|{n}", created_at=at, modified_at=at)
    for name, until in (("until today", ON), ("until tomorrow", ON + DAY)):
        customer(lake, name)
        at = instant(ON - 5 * DAY)
        lake.make_csql(name, state="Returned", external_key=f"{name}|expense|1", created_at=at, modified_at=at, own_nurture_until=until.isoformat())
    return run_once(lake, mappings_of())


@pytest.mark.parametrize(("state", "ago", "opens"), COOLING)
def test_cool_down_by_how_it_ended(cooling: duckdb.DuckDBPyConnection, state: str, ago: int, opens: bool) -> None:
    account = f"{state}-{ago}"
    assert (account in by(cooling, "csql_desired")) is opens
    until = ON + (COOL[state.lower()] - ago) * DAY if not opens else None
    assert by(cooling, "decisions")[account]["csql_suppressed_en"] == (
        f"Expense: not to be offered again before {until:%-d %b %Y}" if until else None
    )


def test_declined_twice_rests_longer(cooling: duckdb.DuckDBPyConnection) -> None:
    opened = by(cooling, "csql_desired")
    assert ("twice-179" in opened, "twice-180" in opened) == (False, True)
    assert opened["twice-180"]["external_key"] == "twice-180|expense|3"


def test_no_budget_until_a_day_rests_until_that_day(cooling: duckdb.DuckDBPyConnection) -> None:
    opened = by(cooling, "csql_desired")
    assert ("until today" in opened, "until tomorrow" in opened) == (True, False)


def test_a_day_named_for_an_earlier_pause_does_not_end_the_cool_down() -> None:
    """On hold until 50 days ago, taken up again, returned 10 days ago: 80 of the 90 days are left."""
    lake = Lake()
    customer(lake)
    at = instant(ON - 10 * DAY)
    lake.make_csql(state="Returned", external_key="A1|expense|1", created_at=at, modified_at=at, own_nurture_until=(ON - 50 * DAY).isoformat())
    con = run_once(lake, mappings_of())
    assert desired(con) == []
    assert by(con, "decisions")["A1"]["csql_suppressed_en"] == f"Expense: not to be offered again before {ON + 80 * DAY:%-d %b %Y}"


@pytest.mark.parametrize(("state", "ago", "opens"), [("Submitted", 40, False), ("Candidate", 0, False), ("Expired", 10, False), ("Won", 10, True)])
def test_a_deleted_record_rests_like_a_returned_one(state: str, ago: int, opens: bool) -> None:
    """Who throws a record away does not want it back the next morning. One that expired rests its own 60 days; one that was won holds nothing up."""
    lake = Lake()
    customer(lake)
    base = {"id": "q1", "external_key": "A1|expense|1", "created_at": instant(ON - 100 * DAY), "state": state}
    lake.make_csql(**base, modified_at=instant(ON - 50 * DAY))
    lake.make_csql(**base, modified_at=instant(ON - ago * DAY), deleted=True)
    assert [m[3] for m in desired(run_once(lake, mappings_of()))] == (["A1|expense|2"] if opens else [])


def test_cool_down_counts_from_the_state_not_from_the_last_edit() -> None:
    lake = Lake()
    customer(lake)
    base = {"id": "q1", "external_key": "A1|expense|1", "created_at": instant(ON - 200 * DAY), "state": "Returned"}
    lake.make_csql(**base, modified_at=instant(ON - 100 * DAY))
    lake.make_csql(**base, modified_at=instant(ON - 2 * DAY))  # somebody added a note
    assert [m[1] for m in desired(run_once(lake, mappings_of()))] == ["open"]


def test_a_cool_down_is_of_one_product() -> None:
    lake = Lake()
    customer(lake)
    at = instant(ON - DAY)
    lake.make_csql(state="Returned", product="esign", external_key="A1|esign|1", created_at=at, modified_at=at)
    assert [m[3] for m in desired(run_once(lake, mappings_of()))] == ["A1|expense|1"]


# --- expiry and people ---------------------------------------------------------------------------------------------------------------------------
def test_a_record_expires_only_before_somebody_accepted_it() -> None:
    cases = (("Candidate", 30, True), ("Submitted", 30, True), ("Submitted", 29, False), ("Accepted", 300, False), ("Nurture", 300, False))
    lake = Lake()
    for state, days_old, _ in cases:
        account = f"{state}-{days_old}"
        customer(lake, account)
        lake.make_csql(account, state=state, external_key=f"{account}|expense|1", created_at=instant(ON - days_old * DAY))
    con = run_once(lake, mappings_of(make_rule(when="false")))
    for state, days_old, expires in cases:
        got = by(con, "csql_desired")[f"{state}-{days_old}"]
        assert (got["move"], got["state"]) == (("expire", "Expired") if expires else ("update", state))
        assert by(con, "decisions")[f"{state}-{days_old}"]["csql_open_count"] == (0 if expires else 1)


def test_a_record_a_person_made_is_completed_and_the_gates_only_warn() -> None:
    lake = Lake()
    customer(lake)
    lake.make_csql(id="by-hand", state="Submitted", external_key=None, own_need="They asked for it", created_at=AS_OF - timedelta(hours=3))
    con = run_once(lake, mappings_of(make_rule(when="false"), policy=policy(gate("never", "false"))))
    got = rows(con, "SELECT * FROM csql_desired")
    assert [(r["record_id"], r["move"], r["state"], r["external_key"]) for r in got] == [("by-hand", "complete", "Submitted", "A1|expense|1")]
    assert (got[0]["health_score"], got[0]["health_tier"], got[0]["coverage"], got[0]["accept_by"]) == (64, 4, 100, date(2026, 12, 3))
    assert (got[0]["rule"], got[0]["need_en"]) == (None, "They asked for it")


def test_two_records_by_hand_get_two_keys() -> None:
    lake = Lake()
    customer(lake)
    for n in (1, 2):
        lake.make_csql(id=f"h{n}", external_key=None, created_at=AS_OF - n * DAY)
    lake.make_csql(id="old", state="Won", external_key="A1|expense|7")
    con = run_once(lake, mappings_of(make_rule(when="false")))
    assert sorted((r["record_id"], r["external_key"]) for r in rows(con, "SELECT * FROM csql_desired")) == [
        ("h1", "A1|expense|9"),
        ("h2", "A1|expense|8"),
    ]


# --- keys ----------------------------------------------------------------------------------------------------------------------------------------
def write(lake: Lake, field: str, value: str, state: str = "acknowledged", key: str = "A1|expense|1", record: str | None = "q1") -> None:
    lake.add("writes", object="csql", record_id=record, external_key=key, field=field, value=value, state=state, as_of=AS_OF, written_at=AS_OF)


def test_the_sequence_goes_on_from_the_highest_ever_seen() -> None:
    lake = Lake()
    customer(lake)
    lake.make_csql(state="Won", external_key="A1|expense|2")
    lake.make_csql(state="Won", external_key="A1|expense|5", deleted=True)
    lake.make_csql(state="Won", external_key="A1|esign|9", product="esign")
    assert [m[3] for m in desired(run_once(lake, mappings_of()))] == ["A1|expense|6"]


def test_a_record_just_created_is_open_before_the_next_pull_shows_it() -> None:
    lake = Lake()
    customer(lake)
    write(lake, "state", "Submitted")
    con = run_once(lake, mappings_of())
    assert desired(con) == []
    assert (by(con, "decisions")["A1"]["csql_open_count"], by(con, "decisions")["A1"]["csql_status_en"]) == (1, "New: Expense")


def test_a_key_that_reached_nobody_is_given_out_again() -> None:
    lake = Lake()
    customer(lake)
    write(lake, "state", "Submitted", state="intended", record=None)
    assert [m[3] for m in desired(run_once(lake, mappings_of()))] == ["A1|expense|1"]


def test_records_of_a_merged_account_keep_their_key_and_block_the_survivor() -> None:
    lake = Lake()
    customer(lake)
    lake.make_account("old", deleted=True, master_id="A1", match_key=None)
    lake.make_csql("old", id="q1", state="Accepted", external_key="old|expense|1", created_at=AS_OF - DAY)
    assert desired(run_once(lake, mappings_of())) == [("A1", "update", "Accepted", "old|expense|1")]


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
