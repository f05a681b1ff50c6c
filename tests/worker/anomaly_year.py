"""Series of use over 2026, and the judgement of each of its days. Used by tests; no test itself."""

import random
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from mappings.models import Calendar, Mappings, Products
from tests.factories import Lake, make_mappings
from tests.worker.core import RELATIONS, Row, join, rows
from worker.steps._anomaly import build_anomalies, leave_anomalies
from worker.steps._calendar import business_days
from worker.steps._relations import Moment
from worker.steps._usage import Windows

#: Use began: seven closes before the first day that is judged, so that six of them count.
FIRST, LAST = date(2025, 5, 1), date(2026, 12, 31)
TOKYO = ZoneInfo("Asia/Tokyo")

#: Golden Week, Obon and New Year as calendar.yml ships them.
EVENTS = [
    {"name": "golden_week", "title": {"en": "Golden Week", "ja": "ゴールデンウィーク"}, "first": "04-29", "last": "05-06"},
    {"name": "obon", "title": {"en": "Obon", "ja": "お盆"}, "first": "08-10", "last": "08-16"},
    {"name": "new_year", "title": {"en": "New Year", "ja": "年末年始"}, "first": "12-28", "last": "01-05"},
]

Series = Callable[[date], int]


def business(country: str = "JP") -> set[date]:
    """Days that a company of that country works, closures of its own included."""
    return {day for day, works in business_days(Calendar(country=country), date(2024, 12, 1), date(2027, 1, 31)) if works}


WORKING = business()


def month_place(day: date) -> int:
    """Working days from the turn of the month: -1 = the last one of a month, 1 = the first of the next; 0 = no working day."""
    if day not in WORKING:
        return 0
    month = sorted(d for d in WORKING if (d.year, d.month) == (day.year, day.month))
    place = month.index(day)
    return place + 1 if place < len(month) / 2 else place - len(month)


def noise(name: str) -> random.Random:
    return random.Random(f"series of {name}")


def mappings_of(rhythm: dict[str, str] | None = None, **calendar: object) -> Mappings:
    products = [
        {"code": code, "title": {"en": code.title(), "ja": code}, "rhythm": kind}
        for code, kind in (rhythm or {"attendance": "daily", "expense": "monthly_close"}).items()
    ]
    return make_mappings(products=Products.model_validate({"products": products}), calendar=Calendar.model_validate({"events": EVENTS} | calendar))


def judge(series: dict[str, tuple[str, Series]], mappings: Mappings, first: date = date(2026, 1, 1), last: date = LAST) -> dict[str, list[Row]]:
    """Account -> its flips, oldest first: what a run on the morning after each day from `first` to `last` would have recorded.

    `series`: account -> (product, events of a day). Each has used it since FIRST.
    """
    lake = Lake()
    file = lake.make_file(first=FIRST, last=last)
    for account, (product, events) in series.items():
        lake.make_account(account)
        lake.make_contract(account, product=product, starts_on=FIRST, ends_on=date(2027, 12, 31))
        for n in range((last - FIRST).days + 1):
            day = FIRST + timedelta(days=n)
            if count := events(day):
                lake.make_use(file, f"t-{account}", day, [], product=product, feature="f", events=count)
    con, _ = join(lake, mappings, _morning(last + timedelta(days=1)))
    con.execute("SELECT 1").fetchall()  # ends the result that join left open
    flips: dict[str, list[Row]] = {account: [] for account in series}
    for n in range((last - first).days + 1):
        day = first + timedelta(days=n)
        moment = Moment(_morning(day + timedelta(days=1)), "Asia/Tokyo")
        build_anomalies(con, RELATIONS, mappings, moment, Windows(day, True), past=False)
        leave_anomalies(con, moment, "run")
        con.execute("INSERT INTO anomaly_history BY NAME SELECT * FROM anomalies").fetchall()
        for row in rows(con, "SELECT s.*, a.on_ FROM anomalies AS a JOIN a_state AS s USING (account_id, product, rhythm)"):
            flips[row["account_id"]].append({**row, "day": day})
    con.close()
    return flips


def _morning(day: date) -> datetime:
    return datetime.combine(day, time(6), TOKYO)
