"""What alerts ask for and put on the record: CS-39 words, CS-41 NPS due, CS-42 escalations to their end, CS-50 friction, CS-54 incidents, CS-74."""

from datetime import date, datetime, timedelta

import duckdb

from mappings.load import load
from mappings.models import Alert, Calendar, Mappings
from tests.factories import AS_OF, ON, Lake, instant, make_mappings
from tests.requirements import test_cs_onboarding as onboarding
from tests.worker.core import Row, by, decide, join, moment, open_lake, rows
from tests.worker.test_anomaly import every
from worker.steps._anomaly import leave_anomalies

YESTERDAY = ON - timedelta(days=1)  # Monday 30 November 2026


def alert(name: str, when: str, **row: object) -> Alert:
    return Alert.model_validate(
        {"name": name, "when": when, "channel": "log", "text": {"en": f"{name} began", "ja": f"{name}開始"}, "scored_only": False} | row
    )


def flips(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str, str]]:
    found = rows(con, "SELECT * FROM flips WHERE kind = 'alert' ORDER BY rule, value")
    return [(f["rule"], f["account_id"], f["value"], f["text"]) for f in found]


# --- CS-39 -----------------------------------------------------------------------------------------------------------------------------------------
def stopped(last: date) -> Lake:
    """Attendance of 40 on each working day, without any after `last`; the feed runs to 30 November."""
    lake = Lake()
    file = lake.make_file(first=date(2026, 5, 1))
    lake.make_account()
    lake.make_contract(product="esign")
    day = date(2026, 5, 1)
    while day <= YESTERDAY:
        if (events := every(40)(day)) and day <= last:
            lake.make_use(file, "t-A1", day, [], product="esign", events=events)
        day += timedelta(days=1)
    return lake


#: Use is judged only where something names what is found.
ASKED = {"low_use": alert("low_use", "anomaly_since_on is not null")}


def test_cs39_nobody_is_judged_where_no_mapping_asks() -> None:
    con = open_lake(stopped(date(2026, 11, 26)))
    decide(con, make_mappings())
    row = by(con, "decisions")["A1"]
    assert (row["usage_anomaly_en"], row["anomaly_since_on"]) == (None, None)


def test_cs39_the_record_says_product_usual_now_and_since_when() -> None:
    # the five business days to Monday 30 November: 24, 25, 26, 27, 30 (23 is a holiday). 24 to 26 are used: 3 x 40 = 120 of 5 x 40 = 200
    con = open_lake(stopped(date(2026, 11, 26)))
    decide(con, make_mappings(alerts=ASKED))
    row = by(con, "decisions")["A1"]
    assert row["usage_anomaly_en"] == "E-sign: 120 events in the five business days to 30 Nov 2026, 200 is usual (low since 27 Nov 2026)"
    assert row["usage_anomaly_ja"] == "電子契約の利用は2026/11/30までの5営業日で120件です。通常は200件です(2026/11/27から)"
    assert row["anomaly_since_on"] == date(2026, 11, 27)


def test_cs27_an_annotating_event_is_named_in_the_words() -> None:
    law = {"name": "law", "title": {"en": "Law change", "ja": "法改正"}, "first": "2026-11-25", "last": "2026-11-25", "effect": "annotate"}
    con = open_lake(stopped(date(2026, 11, 26)))
    decide(con, make_mappings(alerts=ASKED, calendar=Calendar.model_validate({"events": [law]})))
    assert by(con, "decisions")["A1"]["usage_anomaly_ja"].endswith("(2026/11/27から)(法改正)")


def test_cs39_the_alert_flips_once_and_says_once_that_it_is_over() -> None:
    recovered = {"en": "as usual again", "ja": "通常に戻りました"}
    mappings = make_mappings(alerts={"low_use": alert("low_use", "anomaly_since_on is not null", recovered=recovered)})
    con = open_lake(stopped(date(2026, 11, 26)))
    told = []
    for days in range(4):
        as_of = AS_OF + timedelta(days=days)
        join_and_decide(con, mappings, as_of)
        told.append(flips(con))
        if days == 1:  # the files of the missing days and of the next ones arrive
            con.execute("UPDATE usage_file SET last_day = last_day + 3").fetchall()
            con.execute(
                "INSERT INTO usage_tenant_day BY NAME "
                "SELECT t.* REPLACE (unnest([DATE '2026-11-27', '2026-11-30', '2026-12-01', '2026-12-02']) AS day) "
                "FROM (SELECT * FROM usage_tenant_day WHERE day = DATE '2026-11-26') AS t"
            ).fetchall()
    assert told == [[("low_use", "A1", "true", "low_use開始")], [], [("low_use", "A1", "false", "通常に戻りました")], []]


def join_and_decide(con: duckdb.DuckDBPyConnection, mappings: Mappings, as_of: datetime) -> None:
    """One run whose history is kept, that of usage included."""
    decide(con, mappings, as_of)
    leave_anomalies(con, moment(as_of), "run")
    con.execute("INSERT INTO anomaly_history BY NAME SELECT * FROM anomalies").fetchall()


# --- CS-41, CS-42 ----------------------------------------------------------------------------------------------------------------------------------
def nps_due(start: date, *answers: date) -> date | None:
    lake = Lake()
    lake.make_account()
    lake.make_contract(starts_on=start)
    for day in answers:
        lake.make_survey(on=day)
    lake.make_account("other")  # the survey is connected
    lake.make_survey("other")
    con = open_lake(lake)
    decide(con, make_mappings())
    due: date | None = by(con, "decisions")["A1"]["nps_due_on"]
    return due


def test_cs41_nps_is_due_on_day_30_and_again_on_day_90() -> None:
    start = date(2026, 9, 1)
    assert nps_due(start) == date(2026, 10, 1)  # day 30
    assert nps_due(start, date(2026, 9, 10)) == date(2026, 10, 1)  # day 9 is before half-way (15)
    assert nps_due(start, date(2026, 9, 16)) == date(2026, 11, 30)  # day 15 answers the first, day 90 is left
    assert nps_due(start, date(2026, 10, 31)) is None  # day 60 answers the second


def test_cs42_an_escalation_is_followed_to_its_end_and_may_make_a_fan() -> None:
    lake = Lake()
    for account, closed, score in (("open", None, None), ("over", date(2026, 11, 20), 7.0), ("fan", date(2026, 11, 20), 9.0)):
        lake.make_account(account)
        lake.make_contract(account)
        lake.make_ticket(account, on=date(2026, 11, 9), escalated=True, closed_at=instant(closed) if closed else None)
        if score:
            lake.make_survey(account, score, on=date(2026, 11, 25))
    lake.make_account("calm")
    lake.make_contract("calm")
    con = open_lake(lake)
    decide(con, make_mappings())
    keys = ("escalation_state", "escalated_on", "escalation_recovered_on")
    assert {a: tuple(row[k] for k in keys) for a, row in by(con, "decisions").items()} == {
        "open": ("open", date(2026, 11, 9), None),
        "over": ("recovered", None, date(2026, 11, 20)),
        "fan": ("fan", None, date(2026, 11, 20)),
        "calm": (None, None, None),
    }


# --- CS-54, CS-74 ----------------------------------------------------------------------------------------------------------------------------------
def test_cs54_incidents_of_owned_products_count_as_exposure() -> None:
    outage = {"title": {"en": "Outage", "ja": "障害"}, "effect": "incident", "products": ["expense"]}
    events = [
        {"name": "spring", "first": "2026-03-02", "last": "2026-03-02", **outage},  # more than 90 days ago
        {"name": "one", "first": "2026-10-05", "last": "2026-10-05", **outage},
        {"name": "two", "first": "2026-11-24", "last": "2026-11-25", **outage},
    ]
    lake = Lake()
    for account, product in (("A1", "expense"), ("A2", "esign")):
        lake.make_account(account)
        lake.make_contract(account, product=product)
    con, _ = join(lake, make_mappings(calendar=Calendar.model_validate({"events": events})))
    found: dict[str, Row] = by(con, "accounts")
    assert (found["A1"]["incidents_90d"], found["A1"]["incident_last_on"], found["A1"]["incident_title_ja"]) == (2, date(2026, 11, 25), "障害")
    assert found["A2"]["incidents_90d"] is None


def test_cs74_the_record_says_who_looks_after_the_account() -> None:
    lake = Lake()
    for account, partner in (("A1", None), ("A2", "P1")):
        lake.make_account(account, partner_id=partner)
        lake.make_contract(account)
    con = open_lake(lake)
    decide(con, make_mappings())
    assert {a: row["managed_by"] for a, row in by(con, "decisions").items()} == {"A1": "direct", "A2": "partner"}


# --- accounts without a score, the shipped ones ----------------------------------------------------------------------------------------------------
def test_an_alert_over_crm_facts_reaches_an_account_without_a_score() -> None:
    lake = Lake()
    lake.make_account()
    lake.make_contract()
    con = open_lake(lake)
    asked = {"scored": alert("scored", "seats > 0", scored_only=True), "any": alert("any", "seats > 0")}
    decide(con, make_mappings(alerts=asked).model_copy(update={"score": make_mappings().score.model_copy(update={"axes_min": 4})}))
    assert [f[0] for f in flips(con)] == ["any"]


def test_the_shipped_calendar_mutes_golden_week_obon_and_new_year() -> None:
    assert [(e.name, e.effect) for e in load().calendar.events] == [("golden_week", "mute"), ("obon", "mute"), ("new_year", "mute")]


def shipped(lake: Lake) -> list[tuple[str, str, str]]:
    """(rule, account, text) of the shipped alerts that begin."""
    con = open_lake(lake)
    decide(con, make_mappings(alerts=load().alerts))
    scores = ("renewal_at_risk", "score_drop")  # of scores, which these accounts have too few facts for
    return [(rule, account, text) for rule, account, value, text in flips(con) if value == "true" and rule not in scores]


def people(lake: Lake, *accounts: str, **row: object) -> None:
    for account in accounts:
        lake.make_account(account, **row)
        lake.make_contract(account)


def test_cs40_a_low_nps_answer_is_told_on_its_day() -> None:
    lake = Lake()
    people(lake, "low", "high", "old")
    lake.make_survey("low", 3, on=ON - timedelta(days=1))
    lake.make_survey("low", 9, on=ON - timedelta(days=40))
    lake.make_survey("high", 7, on=ON - timedelta(days=1))
    lake.make_survey("old", 3, on=ON - timedelta(days=8))
    said = "2026/11/30のNPSのご回答は3点でした。本日中にご連絡し、打ち合わせをご提案ください"
    assert shipped(lake) == [("low_nps", "low", said)]


def test_cs42_trouble_and_its_people_are_told() -> None:
    lake = Lake()
    people(lake, "p1", "angry", "left")
    lake.make_ticket("p1", on=ON - timedelta(days=2), priority="p1")
    lake.make_ticket("angry", on=ON - timedelta(days=3), escalated=True)
    lake.make_contact("left", role="champion", active=False, left_on=ON - timedelta(days=4))
    told = shipped(lake)
    assert [(rule, account) for rule, account, _ in told] == [("champion_left", "left"), ("escalation_open", "angry"), ("p1_open", "p1")]
    assert told[2][2] == "緊急のお問い合わせが1件未解決です(最長2日)。今後の見通しをお客様へお伝えください"


def test_cs50_friction_that_rises_is_told_before_anybody_complains() -> None:
    lake = Lake()
    people(lake, "more", "waiting", "usual", "complaint")
    for n in range(6):  # 6 in 28 days; 5, 7 and none in the 84 days before: 6 >= 5, 6 < 7
        for account in ("more", "usual", "complaint"):
            lake.make_ticket(
                account, on=ON - timedelta(days=n + 1), closed_at=instant(ON - timedelta(days=n)), escalated=account == "complaint" and n == 0
            )
    for account, count in (("more", 5), ("usual", 7)):
        for n in range(count):
            lake.make_ticket(account, on=ON - timedelta(days=40 + n), closed_at=instant(ON - timedelta(days=39 + n)))
    lake.make_ticket("complaint", on=ON - timedelta(days=1), escalated=True)
    for n in range(3):
        lake.make_ticket("waiting", on=ON - timedelta(days=7 + n))
    assert [(rule, account) for rule, account, _ in shipped(lake)] == [
        ("escalation_open", "complaint"), ("rising_friction", "more"), ("rising_friction", "waiting"),
    ]  # fmt: skip


def test_cs30_an_overdue_set_up_step_is_told() -> None:
    lake = Lake()
    people(lake, "late", "done")
    lake.make_activity("late", kind="onboarding_step", due_on=ON - timedelta(days=1), done_at=None)
    lake.make_activity("done", kind="onboarding_step", due_on=ON - timedelta(days=1))
    assert [(rule, account) for rule, account, _ in shipped(lake)] == [("setup_step_overdue", "late")]


def test_cs30_overdue_steps_of_the_plan_are_told_by_name() -> None:
    accounts = onboarding.Accounts()
    accounts.add("overdue", date(2026, 10, 31), done=1)  # master (14 days) is done; routes (30 days) were due on 30 November
    accounts.add("on_track", date(2026, 11, 2), done=1)
    con = open_lake(accounts.lake)
    decide(con, onboarding.mappings(alerts={"setup_overdue": load().alerts["setup_overdue"]}))
    said = "初期設定が期日を過ぎています:routes件(2026/11/30)。設定の打ち合わせをご提案ください"
    assert flips(con) == [("setup_overdue", "overdue", "true", said)]


def test_cs74_alerts_go_to_the_csm_else_the_owner_and_of_a_partners_customer_to_the_partners_owner() -> None:
    lake = Lake()
    lake.make_account("P1", kind="partner", owner_id="partner-owner")
    people(lake, "csm", csm_id="csm", owner_id="owner")
    people(lake, "owner", owner_id="owner")
    people(lake, "partner", csm_id="csm", owner_id="owner", partner_id="P1")
    people(lake, "unknown", csm_id="csm", owner_id="owner", partner_id="P2")  # a partner we never read: nobody of the customer's stands in
    con = open_lake(lake)
    decide(con, make_mappings(alerts={"any": alert("any", "seats > 0", also=["crm_task", "log", "slack"])}))
    found = rows(con, "SELECT * FROM flips WHERE kind = 'alert'")
    assert {f["account_id"]: (f["recipient"], f["routed"]) for f in found} == {
        "csm": ("csm", "csm"),
        "owner": ("owner", "owner"),
        "partner": ("partner-owner", "partner"),
        "unknown": (None, "partner"),
    }
    assert {(f["channel"], f["also"]) for f in found} == {("log", "crm_task+slack")}
