"""CS-51, CS-52, CS-53: customers who left, on a hand-made lake. Today is 1 December 2026.

L1 left on 31 October 2026 after notice on 1 October: the decision is 1 October. 180, 90, 60 and 30 days before are 4 April, 3 July,
2 August and 1 September. L2 left on 30 June 2026 without notice. N1 gave notice on 20 November and is still a customer. S1, S2, S3 stayed.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mappings.load import load
from mappings.models import Mappings
from mappings.models_churn import Churn
from tests.factories import AS_OF, ON, Lake, instant, make_mappings
from tests.worker.core import RELATIONS, decide, moment, open_lake
from tests.worker.test_open_alerts import _alert as make_alert
from worker._churn_words import WORDS
from worker.churn import Churns, read_churns
from worker.churn_page import render
from worker.steps._churned import churn_note
from worker.steps._lake import leave

CHURN = {
    "reasons": [
        {"code": "price", "title": {"en": "Price", "ja": "価格"}, "values": ["高い", "Budget"]},
        {"code": "not_adopted", "title": {"en": "It did not take root", "ja": "社内に定着せず"}, "values": ["利用不足"]},
    ],
    "checklist": [
        {"name": "interview", "title": {"en": "Ask why", "ja": "理由のヒアリング"}, "days": 14, "activity": {"kinds": ["meeting"], "subject": "why"}},
        {"name": "data", "title": {"en": "Hand over data", "ja": "データのお渡し"}, "days": 30, "activity": {"kinds": ["task"]}},
        {"name": "thanks", "title": {"en": "Thank them", "ja": "お礼"}, "days": 90, "activity": {"kinds": ["email"]}},
    ],
    "no_warning": ["good_news"],
}


def _mappings() -> Mappings:
    alerts = {name: make_alert(name, "false") for name in ("score_drop", "good_news")}
    return make_mappings(alerts=alerts, churn=Churn.model_validate(CHURN))


def _score(lake: Lake, account: str, on: date, score: int, tier: int, **row: Any) -> None:
    lake.add("score_history", account_id=account, on_=on, score=score, tier=tier, state="scored", as_of=instant(on), **row)


def _signal(lake: Lake, account: str, on: date, rule: str, signal: bool) -> None:
    lake.add("signal_history", account_id=account, product="", rule=rule, on_=on, signal=signal, since_on=on if signal else None, as_of=instant(on))


def _lake() -> Lake:
    lake = Lake()
    lake.make_account("L1", churn_notice_on=date(2026, 10, 1))
    ended = {"starts_on": date(2025, 4, 1), "ends_on": date(2026, 10, 31), "churned_on": date(2026, 10, 31), "status": "ended"}
    lake.make_contract("L1", mrr=60_000, churn_reason=" budget ", churn_note="予算が半分になりました", **ended)
    lake.make_contract("L1", product="esign", mrr=20_000, **ended)
    lake.make_account("L2")
    lake.make_contract("L2", mrr=10_000, **(ended | {"churned_on": date(2026, 6, 30), "churn_reason": "社長の判断"}))
    lake.make_account("N1", churn_notice_on=date(2026, 11, 20))
    lake.make_contract("N1", mrr=30_000)
    for name, score in (("S1", 40), ("S2", 45), ("S3", 80)):
        lake.make_account(name)
        lake.make_contract(name)
        _score(lake, name, date(2026, 5, 1), score, 3)
    # L1: 70 in tier 4 from May, 45 in tier 3 from 10 July, 35 in tier 2 from 20 August; the notice caps it at 10; nothing after it left
    for on, score, tier in ((date(2026, 5, 1), 70, 4), (date(2026, 7, 10), 45, 3), (date(2026, 8, 20), 35, 2), (date(2026, 10, 1), 10, 1)):
        _score(lake, "L1", on, score, tier, capped_by="churn_notice" if tier == 1 else None)
    _signal(lake, "L1", date(2026, 7, 20), "alert/score_drop", True)
    _signal(lake, "L1", date(2026, 8, 15), "alert/score_drop", False)
    _signal(lake, "L1", date(2026, 6, 1), "alert/good_news", True)
    # 60 days before, 2 August: three measures of its profile, and one that only others use
    kept = {"cards": "c1", "profile": "default", "points": [90.0, 20.0, 55.0], "values_": [9.0, 2.0, 5.5]}
    lake.add("part_history", account_id="L1", on_=date(2026, 7, 10), as_of=instant(date(2026, 7, 10)), **kept)
    for place, (name, weight) in enumerate((("touches_held", 20.0), ("events_held", None), ("seats_held", 50.0))):
        lake.add("scorecard_history", cards="c1", profile="default", place=place, axis="adoption", indicator=name, weight=weight, as_of=instant(ON))
    # after the decision
    lake.make_activity("L1", date(2026, 10, 10), kind="meeting", subject="Ask why")
    lake.make_activity("L1", date(2026, 9, 1), kind="task", subject="before it")
    lake.make_activity("L1", date(2026, 11, 20), kind="email", subject="They wrote", outbound=False)
    lake.make_opportunity("L1", product="expense", close_on=date(2027, 1, 31))
    lake.make_opportunity("L1", product="esign", closed=True)
    lake.make_contract("L1", product="expense", is_trial=True, starts_on=date(2026, 11, 25), ends_on=date(2026, 12, 25))
    at = {"id": "P1", "name": "佐藤", "role": "champion"}
    lake.make_contact("L1", **at, modified_at=instant(date(2026, 5, 1)))
    lake.make_contact("S3", **at, modified_at=instant(date(2026, 11, 1)))
    lake.make_contact("L2", role="admin", id="P2")
    return lake


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[duckdb.DuckDBPyConnection, Path]:
    con, folder = open_lake(_lake()), tmp_path_factory.mktemp("run")
    decide(con, _mappings(), keep=False)
    leave(con, folder, "accounts")
    return con, folder


def _read(made: tuple[duckdb.DuckDBPyConnection, Path], **asked: Any) -> Churns:
    con, folder = made
    return read_churns(con, folder, RELATIONS, _mappings(), moment(AS_OF), run_id="run", **({"language": "en"} | asked))


def _row(found: Churns, account: str) -> dict[str, Any]:
    return next(row for row in found.rows if row["account_id"] == account)


def test_cs51_the_score_is_frozen_and_the_checklist_goes_on(made: tuple[duckdb.DuckDBPyConnection, Path]) -> None:
    """14, 30 and 90 days from 1 October: the 15th, the 31st, 30 December. The meeting of 10 October shows the first; a task before it nothing."""
    row = _row(_read(made), "L1")
    assert (row["last_score"], row["last_tier"], row["last_score_on"]) == (10, 1, date(2026, 10, 1))
    assert [(s["name"], s["due_on"], s["state"]) for s in row["checklist"]] == [
        ("interview", date(2026, 10, 15), "done"), ("data", date(2026, 10, 31), "overdue"), ("thanks", date(2026, 12, 30), "done"),
    ]  # fmt: skip


def test_cs51_the_watch_sees_who_comes_back_and_who_moved(made: tuple[duckdb.DuckDBPyConnection, Path]) -> None:
    found = _read(made)
    assert [(s["sign"], s["on"], s["detail"]) for s in _row(found, "L1")["signs"]] == [
        ("trial", date(2026, 11, 25), "expense"), ("inbound", date(2026, 11, 20), "email"), ("moved", date(2026, 11, 1), "佐藤 → S3"),
        ("opportunity", None, "expense"),
    ]  # fmt: skip
    assert _row(found, "L2")["signs"] is None


def test_cs52_what_was_known_before_the_decision(made: tuple[duckdb.DuckDBPyConnection, Path]) -> None:
    """The alert held from 20 July to 14 August, so on 2 August alone; good news held all along. First warning: 20 July, 73 days before 1 October."""
    row = _row(_read(made), "L1")
    assert row["decided_on"] == date(2026, 10, 1)
    assert [(b["days"], b["day"], b["score"], b["tier"], b["alerts"]) for b in row["before"]] == [
        (180, date(2026, 4, 4), None, None, None),
        (90, date(2026, 7, 3), 70, 4, ["good_news"]),
        (60, date(2026, 8, 2), 45, 3, ["good_news", "score_drop"]),
        (30, date(2026, 9, 1), 35, 2, ["good_news"]),
    ]
    assert (row["warned_on"], row["warned_days"], row["warned_by"]) == (date(2026, 7, 20), 73, ["alert/score_drop"])
    assert _row(_read(made), "L2")["warned_on"] is None


def test_cs52_one_looked_at_closely(made: tuple[duckdb.DuckDBPyConnection, Path]) -> None:
    """Points by name: events_held 90 (not of its profile), seats_held 20, touches_held 55. On 2 August S1 (40) and S2 (45) were as low as 45."""
    found = _read(made, account="L1")
    assert found.retrospective is not None
    assert [(m["indicator"], m["points"]) for m in found.retrospective["measures"]] == [("seats_held", 20.0), ("touches_held", 55.0)]
    assert found.retrospective["line"] == {"score": 45, "scored": 3, "as_low": 2}
    assert _read(made, account="S1").rows == []


@pytest.mark.parametrize("language", ["en", "ja"])
def test_cs52_the_page_reads_in_both_languages(made: tuple[duckdb.DuckDBPyConnection, Path], language: str) -> None:
    page = render(_read(made, account="L1", language=language), 180)
    told = {
        "en": (
            "# Looking back: L1", "Left on 31 Oct 2026", "notice received on 1 Oct 2026", "Reason: Price", "In their words: 予算が半分になりました",
            "10 (tier 1, of 1 Oct 2026)", "20 Jul 2026 (73 days before the decision): score_drop",
            "| 60 | 2 Aug 2026 | 45 | 3 | good_news, score_drop | – |", "2 of the 3 scored accounts", "| Hand over data | 31 Oct 2026 | overdue |",
            "trial 25 Nov 2026: expense", "not thereby the cause",
        ),
        "ja": (
            "# 解約の振り返り: L1", "解約日 2026/10/31", "解約理由: 価格", "2026/7/20 (お申し出・解約の73日前): score_drop", "3社のうち2社",
            "期限超過", "原因とは限りません",
        ),
    }  # fmt: skip
    for text in told[language]:
        assert text in page, text
    assert WORDS["en"].keys() == WORDS["ja"].keys()


def test_cs53_reasons_are_counted_and_words_in_no_list_shown_as_they_are(made: tuple[duckdb.DuckDBPyConnection, Path]) -> None:
    """` budget ` means price: 60,000 and 20,000 a month. Who gave notice has not left yet."""
    found = _read(made)
    assert [(r["reason_code"], r["reason"], r["title"], r["accounts"], r["mrr"], r["warned_30"], r["not_warned"]) for r in found.reasons] == [
        ("other", "社長の判断", None, 1, 10_000.0, 0, 1), ("price", None, "Price", 1, 80_000.0, 1, 0),
    ]  # fmt: skip
    assert (_row(found, "L1")["reason_title"], _row(found, "L1")["note"]) == ("Price", "予算が半分になりました")
    leaving = _row(found, "N1")
    assert (leaving["state"], leaving["reason_code"], leaving["mrr"], leaving["decided_on"]) == ("leaving", "unknown", 30_000.0, date(2026, 11, 20))


def test_cs53_the_list_begins_with_a_day(made: tuple[duckdb.DuckDBPyConnection, Path]) -> None:
    assert [row["account_id"] for row in _read(made).rows] == ["N1", "L1", "L2"]
    assert [row["account_id"] for row in _read(made, since=date(2026, 7, 1)).rows] == ["N1", "L1"]


def test_cs53_a_run_counts_who_left_lately_by_reason() -> None:
    """31 October is 31 days ago on 1 December, and 30 on the day before."""
    con = open_lake(_lake())
    decide(con, _mappings(), AS_OF - timedelta(days=1), keep=False)
    said = churn_note(con, _mappings(), moment(AS_OF - timedelta(days=2)))
    assert said == {"churn:lately": "Customers who left in the last 30 days: 1 (Price 1). `scoresync churns` says more."}
    assert churn_note(con, _mappings(), moment(AS_OF + timedelta(days=1))) == {}
    assert churn_note(con, make_mappings(), moment(AS_OF - timedelta(days=2))) == {}


def test_cs53_the_shipped_reasons_know_the_words_of_the_made_up_company() -> None:
    from connectors.sandbox_kit.firm.words import CHURN_REASONS

    known = {word for reason in load().churn.reasons for word in reason.values}
    assert set(CHURN_REASONS) <= known
