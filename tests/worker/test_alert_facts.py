"""What alerts ask for and put on the record: CS-39 words, CS-41 NPS due, CS-42 escalations to their end, CS-50 friction, CS-54 incidents, CS-74."""

from datetime import date, datetime, timedelta

import duckdb

from mappings.load import load
from mappings.models import Alert, Calendar, Mappings
from tests.factories import AS_OF, ON, Lake, instant, make_mappings
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


def test_cs39_the_record_says_product_usual_now_and_since_when() -> None:
    # the five business days to Monday 30 November: 24, 25, 26, 27, 30 (23 is a holiday). 24 to 26 are used: 3 x 40 = 120 of 5 x 40 = 200
    con = open_lake(stopped(date(2026, 11, 26)))
    con.execute("SELECT 1").fetchall()
    decide(con, make_mappings())
    row = by(con, "decisions")["A1"]
    assert row["usage_anomaly_en"] == "E-sign: 120 events in the five business days to 30 Nov 2026, 200 is usual (low since 27 Nov 2026)"
    assert row["usage_anomaly_ja"] == "電子契約の利用は2026/11/30までの5営業日で120件です。通常は200件です(2026/11/27から)"
    assert row["anomaly_since_on"] == date(2026, 11, 27)


def test_cs27_an_annotating_event_is_named_in_the_words() -> None:
    law = {"name": "law", "title": {"en": "Law change", "ja": "法改正"}, "first": "2026-11-25", "last": "2026-11-25", "effect": "annotate"}
    con = open_lake(stopped(date(2026, 11, 26)))
    decide(con, make_mappings(calendar=Calendar.model_validate({"events": [law]})))
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
