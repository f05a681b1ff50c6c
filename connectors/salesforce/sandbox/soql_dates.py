"""Date literals of SOQL as half-open ranges of days (SOQL and SOSL Reference, "Date Formats and Date Literals").

A day is a calendar day of the running user; a range over a datetime field is that user's local midnights written in UTC.
Weeks start on Sunday, as in the en_US and ja_JP locales.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo

Days = tuple[date, date]  # first day, day after the last
_WITH_NUMBER = re.compile(r"(?:(LAST|NEXT)_N|(N))_(DAYS|WEEKS|MONTHS|QUARTERS|YEARS|FISCAL_QUARTERS|FISCAL_YEARS)(?:_AGO)?:(\d+)")
_UNIT = re.compile(r"(LAST|THIS|NEXT)_(WEEK|MONTH|QUARTER|YEAR|FISCAL_QUARTER|FISCAL_YEAR)")
_DAY = {"YESTERDAY": (-1, 0), "TODAY": (0, 1), "TOMORROW": (1, 2), "LAST_90_DAYS": (-90, 1), "NEXT_90_DAYS": (1, 91)}
_STEP = {"LAST": -1, "THIS": 0, "NEXT": 1}


def literal_days(literal: str, today: date, fiscal_start: int = 1) -> Days:
    """The days a literal such as LAST_N_DAYS:30 covers; `fiscal_start` is the month (1-12) the fiscal year begins with."""
    if literal in _DAY:
        before, after = _DAY[literal]
        return _shift(today, before), _shift(today, after)
    if unit := _UNIT.fullmatch(literal):
        start = _starter(unit[2], fiscal_start)
        return start(today, _STEP[unit[1]]), start(today, _STEP[unit[1]] + 1)
    numbered = _WITH_NUMBER.fullmatch(literal)
    if numbered is None:
        raise ValueError(f"{literal!r} is not a date literal")
    count = int(numbered[4])
    if numbered[3] == "DAYS":
        return _days(numbered[1], count, today)
    start = _starter(numbered[3][:-1], fiscal_start)
    if numbered[1] is None:  # N_MONTHS_AGO:n is one whole unit
        return start(today, -count), start(today, -count + 1)
    if numbered[1] == "LAST":  # whole units before the running one
        return start(today, -count), start(today, 0)
    return start(today, 1), start(today, count + 1)


def _days(direction: str | None, count: int, today: date) -> Days:
    if direction is None:
        return _shift(today, -count), _shift(today, 1 - count)
    if direction == "LAST":  # n days back up to and with today
        return _shift(today, -count), _shift(today, 1)
    return _shift(today, 1), _shift(today, count + 1)


def _starter(unit: str, fiscal_start: int) -> Callable[[date, int], date]:
    """A function (day, n) → first day of the n-th unit after the one that holds `day`."""
    if unit == "WEEK":
        return lambda day, n: _shift(day, -((day.weekday() + 1) % 7) + 7 * n)
    first = fiscal_start if unit.startswith("FISCAL") else 1
    size = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}[unit.removeprefix("FISCAL_")]

    def start(day: date, n: int) -> date:
        months = day.year * 12 + day.month - first
        return _month((months // size + n) * size + first - 1)

    return start


def _month(months: int) -> date:
    """First day of the month counted from year 0, clipped to what a date can hold."""
    if months < 12:
        return date.min
    if months >= 12 * 9999:
        return date.max
    return date(months // 12, months % 12 + 1, 1)


def _shift(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return date.max if days > 0 else date.min


def midnight(day: date, zone: tzinfo) -> str:
    """Local midnight as the stored UTC text."""
    if day in (date.min, date.max):
        return f"{day.isoformat()}T00:00:00.000+0000"  # a zone would leave the calendar
    return stored(datetime(day.year, day.month, day.day, tzinfo=zone))


def stored(moment: datetime) -> str:
    """The text of a datetime column: UTC, milliseconds, `+0000`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "+0000"


def parse_datetime(text: str) -> str | None:
    """A datetime literal as stored text; None when it is no real moment (month 13, hour 25)."""
    try:
        return stored(datetime.fromisoformat(text.upper().replace("Z", "+00:00")))
    except (ValueError, OverflowError):
        return None


def parse_date(text: str) -> str | None:
    """A date literal in ISO form; None when there is no such day."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return None
