"""The company's business days: public holidays of its country, weekends and its own closures."""

from collections.abc import Iterable
from datetime import date, timedelta

import duckdb
import holidays
import pyarrow as pa

from mappings.models import Calendar


def business_days(calendar: Calendar, first: date, last: date) -> list[tuple[date, bool]]:
    """Each day from `first` to `last` with whether people work on it."""
    public = holidays.country_holidays(calendar.country, years=range(first.year, last.year + 1))
    yearly = {c for c in calendar.closures if len(c) == 5}
    once = {c for c in calendar.closures if len(c) == 10}
    days = (first + timedelta(days=i) for i in range((last - first).days + 1))
    return [(d, d.weekday() < 5 and d not in public and d.strftime("%m-%d") not in yearly and d.isoformat() not in once) for d in days]


def build_calendar(con: duckdb.DuckDBPyConnection, calendar: Calendar, first: date, last: date) -> None:
    """Temp table `calendar` (day, business, n): `n` counts business days up to and with the day, so that adding k of them is a look-up."""
    rows = business_days(calendar, first, last)
    table = pa.table({"day": pa.array([d for d, _ in rows], pa.date32()), "business": [b for _, b in rows], "n": _running(b for _, b in rows)})
    con.register("calendar_rows", table)
    con.execute("CREATE OR REPLACE TEMP TABLE calendar AS SELECT day, business, CAST(n AS BIGINT) AS n FROM calendar_rows")
    con.unregister("calendar_rows")


def _running(flags: Iterable[bool]) -> list[int]:
    counts: list[int] = []
    for flag in flags:
        counts.append((counts[-1] if counts else 0) + int(flag))
    return counts


def business_between_sql(first: str, last: str) -> str:
    """Number of business days from `first` to `last`, both included, as SQL over `calendar`."""
    return f"(SELECT count(*) FROM calendar WHERE business AND day BETWEEN {first} AND {last})"


def add_business_days_sql(start: str, days: int) -> str:
    """The `days`-th business day after `start`, as SQL over `calendar`; null beyond its end."""
    return f"(SELECT min(k.day) FROM calendar AS k WHERE k.n >= (SELECT s.n FROM calendar AS s WHERE s.day = {start}) + {days})"
