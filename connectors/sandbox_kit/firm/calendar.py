"""The Japanese business calendar that the demo's usage and appointments follow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone

import holidays

JST = timezone(timedelta(hours=9))  # Japan has no summer time, so a fixed offset is exact
#: days on which most offices are shut though the law does not say so
YEAR_END = {(12, 29), (12, 30), (12, 31), (1, 1), (1, 2), (1, 3)}


class Calendar:
    """Business days between two dates: Monday to Friday, no national holiday, none of 12/29-1/3."""

    def __init__(self, first: date, last: date) -> None:
        self._holidays = set(holidays.country_holidays("JP", years=range(first.year - 1, last.year + 2)).keys())

    def is_business(self, day: date) -> bool:
        return day.weekday() < 5 and day not in self._holidays and (day.month, day.day) not in YEAR_END

    def is_holiday(self, day: date) -> bool:
        """A national holiday or a day of the New Year break; plain week-ends are not."""
        return day in self._holidays or (day.month, day.day) in YEAR_END

    def back(self, day: date, count: int) -> date:
        """The `count`-th business day before `day`; count 1 is the last business day strictly before it."""
        while count > 0:
            day -= timedelta(days=1)
            count -= self.is_business(day)
        return day

    def on_or_before(self, day: date) -> date:
        while not self.is_business(day):
            day -= timedelta(days=1)
        return day

    def position_in_month(self, day: date) -> tuple[int, int]:
        """(nth, last-nth) of a business day in its month, both from 1: the last business day is (n, 1)."""
        month = [d for d in days(month_start(day), add_months(month_start(day), 1)) if self.is_business(d)]
        nth = month.index(day) + 1
        return nth, len(month) - nth + 1

    def is_lull(self, day: date) -> bool:
        """A working day inside Golden Week (4/29-5/6), Obon (8/13-8/16) or beside New Year, when much staff is away."""
        md = (day.month, day.day)
        return self.is_business(day) and ((4, 28) <= md <= (5, 7) or (8, 13) <= md <= (8, 16) or md == (12, 28) or md == (1, 4))


def days(first: date, stop: date) -> Iterator[date]:
    """Every date of [first, stop)."""
    for offset in range((stop - first).days):
        yield first + timedelta(days=offset)


def month_start(day: date) -> date:
    return day.replace(day=1)


def add_months(day: date, months: int) -> date:
    """Same day `months` later, cut to the month's end: 31 January + 1 = 28 February."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, month_days(year, month + 1)))


def month_days(year: int, month: int) -> int:
    following = date(year + month // 12, month % 12 + 1, 1)
    return (following - timedelta(days=1)).day


def months_between(first: date, last: date) -> int:
    """Whole calendar months from the month of `first` to that of `last`."""
    return (last.year - first.year) * 12 + last.month - first.month


def at(day: date, hour: int, minute: int = 0) -> str:
    """A Japanese office hour as the REST API writes instants: UTC, milliseconds, `+0000`."""
    moment = datetime(day.year, day.month, day.day, hour, minute, tzinfo=JST).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
