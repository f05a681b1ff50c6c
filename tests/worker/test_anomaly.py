"""CS-39, CS-27: usage against the account's own past. Steady use raises nothing on any day of 2026; a stop or a halving is found within days."""

import itertools
from datetime import date

import pytest

from mappings.models import CalendarEvent
from tests.worker.anomaly_year import WORKING, Series, judge, mappings_of, month_place, noise
from worker.steps import _anomaly
from worker.steps._anomaly import CLOSE_DAYS, spans

STOP = date(2026, 6, 10)  # a Wednesday


def every(events: int) -> Series:
    """The same on each working day: holidays and closures of the company are nought."""
    return lambda day: events if day in WORKING else 0


def month_end(events: int, first: int = -3, last: int = 5, else_: int = 0) -> Series:
    """From the third last working day of a month to the fifth of the next."""
    return lambda day: events if (place := month_place(day)) and first <= place <= last else else_ if place else 0


def drawn(name: str, mean: float, deviation: float) -> Series:
    """Normal draws on working days, never below nought."""
    random, seen = noise(name), dict[date, int]()

    def events(day: date) -> int:
        return seen.setdefault(day, max(0, round(random.gauss(mean, deviation)))) if day in WORKING else 0

    return events


def counts(name: str, mean: float) -> Series:
    """Few events: 20 chances a day of mean / 20 each."""
    random, seen = noise(name), dict[date, int]()

    def events(day: date) -> int:
        return seen.setdefault(day, sum(random.random() < mean / 20 for _ in range(20))) if day in WORKING else 0

    return events


def steady() -> dict[str, tuple[str, Series]]:
    """Each as use of a daily and of a monthly_close product."""
    kinds: dict[str, Series] = {
        "every_day": every(40),
        "sundays_too": lambda day: 40,
        "close": month_end(60),
        "close_and_some": month_end(60, else_=6),
        "last_day_of_month": month_end(300, -1, -1),
        "the_25th": lambda day: 100 if day.day == 25 else 0,
        "first_half": month_end(40, 1, 11),
        "mondays": lambda day: (100 if day.weekday() == 0 else 5) if day in WORKING else 0,
        "fridays_only": lambda day: 50 if day.weekday() == 4 and day in WORKING else 0,
        "every_other_week": lambda day: 50 if day.toordinal() % 14 == 3 else 0,
        "noisy": drawn("noisy", 40, 8),
        "noisy_close": lambda day, draw=drawn("close", 60, 18): draw(day) if -3 <= month_place(day) <= 5 else 0,  # type: ignore[misc]
        "few": counts("few", 3),
        "hardly_any": counts("hardly any", 0.5),
    }
    return {f"{kind}_{product}": (product, series) for kind, series in kinds.items() for product in ("attendance", "expense")}


@pytest.mark.parametrize(("first", "last"), [(date(2026, 1, 1), date(2026, 6, 30)), (date(2026, 7, 1), date(2026, 12, 31))], ids=["i", "ii"])
def test_cs39_steady_use_raises_no_alarm_on_any_day_of_2026(first: date, last: date) -> None:
    flips = judge(steady(), mappings_of(), first, last)
    assert {account: [row["day"] for row in rows] for account, rows in flips.items() if rows} == {}


@pytest.fixture(scope="module")
def summer() -> dict[str, list[tuple[date, bool, str, date, float, float]]]:
    """June to August of accounts whose use really changes on 10 June 2026."""
    series: dict[str, tuple[str, Series]] = {
        "stop": ("attendance", lambda day: 40 if day in WORKING and day < STOP else 0),
        "half": ("attendance", lambda day: (40 if day < STOP else 20) if day in WORKING else 0),
        "pause": ("attendance", lambda day: 0 if STOP <= day < date(2026, 7, 1) else 40 if day in WORKING else 0),
        "no_close": ("expense", lambda day, close=month_end(60): close(day) if day < STOP else 0),  # type: ignore[misc]
        "half_close": ("expense", lambda day, close=month_end(60): close(day) if day < STOP else close(day) // 2),  # type: ignore[misc]
        "slow_half": ("expense", lambda day: (40 if day < STOP else 20) if day in WORKING else 0),
        "told": ("attendance", lambda day: 0 if STOP <= day < date(2026, 6, 24) else 40 if day in WORKING else 0),
    }
    told = {"name": "move", "title": {"en": "Office move", "ja": "事務所移転"}, "first": "2026-06-10", "last": "2026-06-23", "accounts": ["told"]}
    mappings = mappings_of()
    calendar = mappings.calendar.model_copy(update={"events": [*mappings.calendar.events, CalendarEvent.model_validate(told)]})
    flips = judge(series, mappings.model_copy(update={"calendar": calendar}), date(2026, 6, 1), date(2026, 8, 31))
    keys = ("day", "active", "rhythm", "since_on", "normal", "now_")
    return {account: [tuple(row[key] for key in keys) for row in rows] for account, rows in flips.items()}  # type: ignore[misc]


def test_cs39_a_stop_is_found_on_its_second_business_day(summer: dict[str, list[object]]) -> None:
    # usual week: 5 x 40 = 200, never other, so low = 200 and the alarm lies below 0.7 x 200 = 140.
    # 10 June: 160 are left (4 of 5 days). 11 June: 120 < 140, and 200 - 120 = 80 > 3 x sqrt(200) = 42.4
    assert summer["stop"] == [(date(2026, 6, 11), True, "daily", STOP, 200.0, 120.0)]


def test_cs39_a_halving_is_found_within_four_business_days(summer: dict[str, list[object]]) -> None:
    # 20 of 40 a day: 180, 160, 140 (not below 140), then on Monday 15 June 120
    assert summer["half"] == [(date(2026, 6, 15), True, "daily", STOP, 200.0, 120.0)]


def test_cs39_it_is_told_once_and_recovers_once(summer: dict[str, list[object]]) -> None:
    # back at 200 of 200 with the fifth business day of July: 1, 2, 3, 6, 7
    assert summer["pause"] == [
        (date(2026, 6, 11), True, "daily", STOP, 200.0, 120.0),
        (date(2026, 7, 7), False, "daily", STOP, 200.0, 200.0),
    ]


def test_cs39_a_missed_close_is_found_within_four_business_days_of_its_end(summer: dict[str, list[object]]) -> None:
    # a close is 8 days x 60 = 480; low below 0.7 x 480 = 336. May's close ran to Friday 5 June: 27, 28, 29 May, then 1 to 5 June. The 38 days to
    # 6 July begin on 30 May and hold the five of June, 300. June's close would have been over on 7 July.
    assert summer["no_close"] == [(date(2026, 7, 6), True, "monthly_close", date(2026, 7, 6), 480.0, 300.0)]


def test_cs39_a_close_of_half_the_size_is_found(summer: dict[str, list[object]]) -> None:
    # June's close brings 8 x 30 = 240 by 7 July. May's last day, 5 June, leaves the 38 days on 13 July: 1 x 60 + 240 = 300 on the 12th
    assert summer["half_close"] == [(date(2026, 7, 12), True, "monthly_close", date(2026, 7, 12), 480.0, 300.0)]


def test_cs39_use_spread_over_the_month_is_judged_by_the_week_as_well(summer: dict[str, list[object]]) -> None:
    assert summer["slow_half"][0] == (date(2026, 6, 15), True, "daily", STOP, 200.0, 120.0)


def test_cs27_an_event_the_customer_told_us_of_raises_nothing(summer: dict[str, list[object]]) -> None:
    assert summer["told"] == []


def test_cs27_a_yearly_event_may_run_over_new_year() -> None:
    event = CalendarEvent.model_validate({"name": "n", "title": {"en": "n", "ja": "n"}, "first": "12-28", "last": "01-05"})
    assert list(spans(event, date(2026, 1, 3), date(2026, 12, 28))) == [
        (date(2025, 12, 28), date(2026, 1, 5)),
        (date(2026, 12, 28), date(2027, 1, 5)),
    ]


def test_cs39_the_window_of_a_close_holds_one_wherever_holidays_fall() -> None:
    """The longest way from one day of a close to the same of the next, for every working day from the last three to the first five."""
    longest = max(
        (after - before).days
        for place in (-3, -2, -1, 1, 2, 3, 4, 5)
        for days in [sorted(day for day in WORKING if month_place(day) == place)]
        for before, after in itertools.pairwise(days)
    )
    assert longest == 35 < CLOSE_DAYS


def test_accounts_judged_in_shares_are_judged_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of these five stop on 10 June; the week after it is judged two accounts at a time, and all at once."""
    series: dict[str, tuple[str, Series]] = {
        f"{name}_{n}": ("attendance", (lambda day: 40 if day in WORKING and day < STOP else 0) if name == "stop" else every(40))
        for n, name in enumerate(("stop", "goes_on", "stop", "goes_on", "stop"))
    }
    week = (STOP, date(2026, 6, 17))
    whole = judge(series, mappings_of(), *week)
    assert sorted(account for account, rows in whole.items() if rows) == ["stop_0", "stop_2", "stop_4"]
    monkeypatch.setattr("worker.steps._anomaly.SHARE_ACCOUNTS", 2)
    assert judge(series, mappings_of(), *week) == whole


def test_who_is_not_looked_at_closely_is_not_low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random series that fall by random shares on random days, over the New Year's and the May holidays: the same with and without the first pass.

    Without it (everybody is a candidate) each window of everybody is judged day by day, which is the rule itself.
    """
    random = noise("candidates")
    series: dict[str, tuple[str, Series]] = {}
    for n in range(60):
        draw = drawn(f"c{n}", random.choice((3, 20, 80)), random.choice((0, 4, 15)))
        fall, share = date(2026, 4, 1 + random.randrange(28)), random.choice((0.0, 0.3, 0.6, 0.7, 1.0))
        begins = random.choice((date(2025, 6, 1), date(2026, 1, 20), date(2026, 3, 9)))
        close = random.random() < 0.4
        series[f"c{n}"] = ("expense" if close else "attendance", _falling(draw, begins, fall, share, close))
    days = (date(2026, 4, 24), date(2026, 5, 14))
    filtered = judge(series, mappings_of(), *days)
    assert sum(bool(rows) for rows in filtered.values()) > 5  # some are low
    monkeypatch.setattr(_anomaly, "_candidate_slots", lambda *_: {"now": "0", "tenth": "1e18", "share": "1", "sigmas": "0"})
    assert judge(series, mappings_of(), *days) == filtered


def _falling(draw: Series, begins: date, fall: date, share: float, close: bool) -> Series:
    def events(day: date) -> int:
        if day < begins or (close and not (-3 <= month_place(day) <= 5)):
            return 0
        return round(draw(day) * (share if day >= fall else 1))

    return events
