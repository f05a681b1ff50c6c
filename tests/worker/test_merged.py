"""Whose history a survivor of merges goes on with."""

from datetime import UTC, date, datetime

import duckdb

from tests.factories import Lake
from tests.requirements.test_cs_onboarding import Accounts, mappings
from tests.worker.core import join, rows
from worker.steps._crm import load_masters
from worker.steps._merged import inherited, inherited_facts
from worker.steps._relations import LakeRelations


def history_of(lake: Lake, account_id: str) -> list[tuple[date, int]]:
    con = lake.into(duckdb.connect())
    load_masters(con, "crm_account")
    found = inherited(con, LakeRelations(), "Asia/Tokyo").score_history
    return con.execute(f"SELECT on_, score FROM {found} WHERE account_id = '{account_id}' ORDER BY on_").fetchall()


def merged(lake: Lake, account_id: str, into: str, on: date) -> None:
    at = datetime(on.year, on.month, on.day, 1, tzinfo=UTC)
    lake.make_account(account_id, deleted=True, master_id=into, modified_at=at, read_at=at)


def scored(lake: Lake, account_id: str, *rows: tuple[date, int]) -> None:
    for on, score in rows:
        lake.add("score_history", account_id=account_id, on_=on, score=score)


def test_a_new_id_goes_on_with_the_eldest_and_never_mixes_two() -> None:
    lake = Lake()
    lake.make_account("9")
    merged(lake, "1", "9", date(2026, 6, 1))
    merged(lake, "2", "9", date(2026, 6, 1))
    scored(lake, "1", (date(2026, 2, 1), 40))
    scored(lake, "2", (date(2026, 1, 1), 60), (date(2026, 5, 1), 65))
    scored(lake, "9", (date(2026, 6, 1), 70))
    assert history_of(lake, "9") == [(date(2026, 1, 1), 60), (date(2026, 5, 1), 65), (date(2026, 6, 1), 70)]


def test_a_chain_of_merges_is_one_history() -> None:
    """1 and 2 became 9 in June, 9 and 3 became 10 in August. In between 3 had a history of its own."""
    lake = Lake()
    lake.make_account("10")
    for account, on in (("1", date(2026, 6, 1)), ("2", date(2026, 6, 1)), ("9", date(2026, 8, 1)), ("3", date(2026, 8, 1))):
        merged(lake, account, "10", on)  # HubSpot lists every old id on the last survivor
    scored(lake, "1", (date(2026, 1, 1), 40))
    scored(lake, "2", (date(2026, 2, 1), 60))
    scored(lake, "3", (date(2026, 3, 1), 10), (date(2026, 7, 1), 12))
    scored(lake, "9", (date(2026, 6, 1), 55), (date(2026, 7, 5), 57))
    assert history_of(lake, "10") == [(date(2026, 1, 1), 40), (date(2026, 6, 1), 55), (date(2026, 7, 5), 57)]


def test_who_had_a_score_before_the_merge_keeps_its_own_history() -> None:
    lake = Lake()
    lake.make_account("5")
    merged(lake, "4", "5", date(2026, 6, 1))
    scored(lake, "4", (date(2026, 1, 1), 40))
    scored(lake, "5", (date(2026, 3, 1), 80))
    assert history_of(lake, "5") == [(date(2026, 3, 1), 80)]


def test_cs39_since_when_use_is_low_goes_on_with_the_survivor() -> None:
    """1 was low since 3 May when it became 9 in June; 4 was, too, but became 5, which has a history of its own."""
    lake = Lake()
    for account in ("9", "5"):
        lake.make_account(account)
    merged(lake, "1", "9", date(2026, 6, 1))
    merged(lake, "4", "5", date(2026, 6, 1))
    for account in ("1", "4", "5"):
        scored(lake, account, (date(2026, 1, 1), 60))
    for account in ("1", "4"):
        lake.add("anomaly_history", account_id=account, product="", rhythm="daily", on_=date(2026, 5, 4), active=True, since_on=date(2026, 5, 3))
    con = lake.into(duckdb.connect())
    load_masters(con, "crm_account")
    found = inherited_facts(con, LakeRelations(), "Asia/Tokyo").anomaly_history
    assert con.execute(f"SELECT account_id, since_on FROM {found} ORDER BY 1").fetchall() == [("4", date(2026, 5, 3)), ("9", date(2026, 5, 3))]


def test_cs30_the_day_onboarding_was_completed_goes_on_with_the_survivor() -> None:
    """1 started on 1 March and was done on 20 May, within the 90 days to 29 May. Its new id does not make that today."""
    accounts = Accounts()
    accounts.add("9", date(2026, 3, 1), done=1, own_onboarding_outcome="completed")
    lake = accounts.lake
    merged(lake, "1", "9", date(2026, 11, 2))
    scored(lake, "1", (date(2026, 3, 2), 60))
    done = {"plan": "expense", "version": 1, "starts_on": date(2026, 3, 1), "status": "completed", "completed_on": date(2026, 5, 20)}
    lake.add("onboarding_history", account_id="1", on_=date(2026, 5, 20), as_of=datetime(2026, 5, 20, 3, tzinfo=UTC), **done)
    con, _ = join(lake, mappings())
    found = rows(con, "SELECT account_id, status, completed_on, on_time FROM onboarding")
    assert found == [{"account_id": "9", "status": "completed", "completed_on": date(2026, 5, 20), "on_time": True}]
