"""Usage that is low against the account's own past: stops and falls, per account and product.

`daily` products are judged over the last five business days against the same weekdays of the weeks before; `monthly_close` ones over 38 days
(no month's close lies further from the next, holidays included) against whole closes, each from the 16th to the 15th; `yearly` ones not at all.
Days of declared events are no business days here. One pass sums the windows per account and product; only who could be low at all by those sums is
looked at day by day, SHARE_ACCOUNTS at a time: 13 weeks x 5 days of numbers per account and product, and medians over them that DuckDB cannot spill.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import pyarrow as pa

from mappings.models import Calendar, CalendarEvent, Mappings
from worker.sql import literal, query_sql
from worker.steps._calendar import business_days
from worker.steps._relations import LakeRelations, Moment, scalar
from worker.steps._usage import Windows, days_sql

#: rhythm of a product -> what it is judged by. A close is also judged by the week: use that is spread over the month is missed sooner that way, and
#: use at the turn of the month only has weeks without any, which is what its low is.
JUDGED_BY = {"daily": ("daily",), "monthly_close": ("daily", "monthly_close"), "yearly": ()}
#: Business days of the window of a daily product: one week, so that each weekday is in it once where no holiday is.
PLACES = 5
#: Days that always hold a whole month's close. Measured on 2026 and 2027: the fifth business day of April and of May lie 35 days apart.
CLOSE_DAYS = 38


#: Accounts judged at a time: 200,000 at once did not fit into 768 MB.
SHARE_ACCOUNTS = 20_000


@dataclass(frozen=True)
class Slot:
    """One window: 0 = the present one, 1, 2 … the ones before; -1 only says when use began. `days`: place -> day."""

    rhythm: str
    slot: int
    days: tuple[tuple[int, date], ...]
    first: date
    last: date


def anomalies_asked(mappings: Mappings) -> bool:
    """Whether anything names what is found here: an alert, a rule, a text, a list, or a field that is written."""
    fields = [f.value or f.key for f in mappings.writeback.fields if f.set in mappings.writeback.sets]
    rest = mappings.model_dump_json(exclude={"writeback", "calendar", "crm", "usage"})
    return "anomaly" in rest or any("anomaly" in name for name in fields)


def build_anomalies(
    con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, windows: Windows, *, past: bool, some: bool = False
) -> None:
    """Temp tables a_state (account, product) and a_worst (account). Needs the tables of `load_usage`. `past`: nothing is judged. `some`: the accounts
    of j_match are few, read only their rows."""
    tenants = "t.tenant_key IN (SELECT tenant_key FROM j_match)" if some else "t.tenant_key IS NOT NULL"
    slots = _slots_of(mappings.calendar, windows.end) if windows.end is not None and not past else []
    _load(con, mappings, slots)
    end = literal(windows.end or moment.on)
    con.execute(query_sql("anomaly", "earlier", history=lake.anomaly_history, on=literal(moment.on)))
    if slots:
        days = {"days": days_sql(con, lake, tenants), "first": literal(min(s.first for s in slots)), "end": end}
        con.execute(query_sql("anomaly", "totals", **days, **_total_slots(slots)))
        con.execute(query_sql("anomaly", "candidates", **_candidate_slots(mappings, slots)))
        con.execute(query_sql("anomaly", "used", **days))
        shares = -(-int(str(scalar(con, "SELECT count(DISTINCT n) FROM a_candidate") or 1)) // SHARE_ACCOUNTS) or 1
        for share_no in range(shares):
            _judge(con, mappings, slots, end, shares, share_no)
        con.execute(query_sql("anomaly", "done"))
        con.execute(query_sql("anomaly", "states"))
    else:
        con.execute(query_sql("anomaly", "none" if past else "carried"))
    noted = "e.first_day <= s.since_on AND e.last_day >= s.since_on - 7 AND coalesce(e.account_id, s.account_id) = s.account_id "
    con.execute(query_sql("anomaly", "worst", end=end, noted=noted + "AND coalesce(e.product, s.product) = s.product"))


def _total_slots(slots: list[Slot]) -> dict[str, str]:
    """Sums per window, and which bits of a_mask belong to a rhythm."""
    bits = {r: sum(1 << i for i, s in enumerate(slots) if s.rhythm == r) for r in ("daily", "monthly_close")}
    sums = ", ".join(f"CAST(sum(u.events) FILTER (m.mask & {1 << i} <> 0) AS DOUBLE) AS s{i}" for i in range(len(slots)))
    return {"sums": sums} | {rhythm: str(mask) for rhythm, mask in bits.items()}


#: More than any use: a window with days missing says nothing of a whole one, so it is taken for high, which lets more candidates in, never fewer.
_HIGH = "1e18"


def _candidate_slots(mappings: Mappings, slots: list[Slot]) -> dict[str, str]:
    """Use now, and the tenth percentile of the windows since the first use, by rhythm."""
    now, tenth = [], []
    for rhythm in ("daily", "monthly_close"):
        own = [(i, s) for i, s in enumerate(slots) if s.rhythm == rhythm and s.days]
        whole = max(len({j for j, _ in s.days}) for _, s in own)
        past = [
            f"CASE WHEN t.first_{rhythm} <= {literal(s.first)} THEN {f'coalesce(t.s{i}, 0)' if len({j for j, _ in s.days}) == whole else _HIGH} END"
            for i, s in own
            if s.slot > 0
        ]
        now.append(f"WHEN {literal(rhythm)} THEN coalesce(t.s{next(i for i, s in own if s.slot == 0)}, 0)")
        tenth.append(f"WHEN {literal(rhythm)} THEN list_aggregate([{', '.join(past)}], 'quantile_cont', 0.1)")
    cases = {name: f"CASE g.rhythm {' '.join(found)} END" for name, found in (("now", now), ("tenth", tenth))}
    return cases | {"share": str(mappings.calendar.anomaly.share), "sigmas": str(mappings.calendar.anomaly.sigmas)}


def _judge(con: duckdb.DuckDBPyConnection, mappings: Mappings, slots: list[Slot], end: str, shares: int, share_no: int) -> None:
    """Adds one share of the accounts to a_judged and a_now."""
    sum_e = " + ".join(f"coalesce(s.e{j}, 0)" for j in range(1, PLACES + 1))
    con.execute(query_sql("anomaly", "pairs", shares=str(shares), share_no=str(share_no)))
    con.execute(query_sql("anomaly", "slots", sums=_each("max(CASE WHEN place = {j} THEN events END) AS e{j}"), places=_each(_PLACE)))
    con.execute(
        query_sql(
            "anomaly", "judged", end=end, medians=_each("median(e{j}) AS m{j}"), sum_e=sum_e, sum_m=_each(_USUAL, " + "),
            since=_since_sql(mappings, slots),
            share=str(mappings.calendar.anomaly.share), sigmas=str(mappings.calendar.anomaly.sigmas),
        )
    )  # fmt: skip
    kept = {"a_judged": query_sql("anomaly", "kept_judged"), "a_now": query_sql("anomaly", "kept_now", sum_e=sum_e)}
    for table, query in kept.items():
        con.execute(f"INSERT INTO {table} {query}" if share_no else f"CREATE OR REPLACE TEMP TABLE {table} AS {query}")


_PLACE = "CASE WHEN list_contains(f.places, {j}) THEN coalesce(u.e{j}, 0) END AS e{j}"
_USUAL = "CASE WHEN s.e{j} IS NOT NULL THEN coalesce(w.m{j}, 0) ELSE 0 END"


def _each(form: str, between: str = ", ") -> str:
    return between.join(form.format(j=j) for j in range(1, PLACES + 1))


def _since_sql(mappings: Mappings, slots: list[Slot]) -> str:
    """First low day of the present window of a daily product; null for a close, which counts from the day it shows."""
    now = next(s for s in slots if s.rhythm == "daily" and s.slot == 0)
    days = [f"CASE WHEN s.e{j} < {mappings.calendar.anomaly.share} * w.m{j} THEN {literal(day)} END" for j, day in now.days]
    return f"CASE WHEN t.rhythm = 'daily' THEN least({', '.join(days)}) END"


def leave_anomalies(con: duckdb.DuckDBPyConnection, moment: Moment, run_id: str) -> None:
    """Temp table `anomalies`: rows for anomaly_history. Needs a_state and accounts."""
    con.execute(query_sql("anomaly", "anomalies", on=literal(moment.on), run_id=literal(run_id), as_of=literal(moment.as_of)))


# --- days ------------------------------------------------------------------------------------------------------------------------------------------
def spans(event: CalendarEvent, first: date, last: date) -> Iterator[tuple[date, date]]:
    """The event's spans that touch first..last; a yearly one may run over New Year (12-28 to 01-05)."""
    if len(event.first) == 10:
        found = [(date.fromisoformat(event.first), date.fromisoformat(event.last))]
    else:
        years = range(first.year - 1, last.year + 1)
        found = [(_on(y, event.first), _on(y + (event.last < event.first), event.last)) for y in years]
    yield from ((a, b) for a, b in found if a <= last and b >= first)


def _on(year: int, month_day: str) -> date:
    """MM-DD of a year; 02-29 is the 28th where there is none."""
    month, day = int(month_day[:2]), int(month_day[3:])
    return date(year, 2, 28) if (month, day) == (2, 29) and year % 4 else date(year, month, day)


def _slots_of(calendar: Calendar, end: date) -> list[Slot]:
    weeks = calendar.anomaly.baseline_weeks
    start = end - timedelta(days=7 * weeks + 45)
    muted = {a + timedelta(days=i) for e in _everyones(calendar) for a, b in spans(e, start, end) for i in range((b - a).days + 1)}
    judged = [day for day, business in business_days(calendar, start, end) if business and day not in muted]
    window = judged[-PLACES:]
    if len(window) < PLACES:
        return []
    found = [Slot("daily", 0, tuple(enumerate(window, 1)), window[0], window[-1])]
    for k in range(1, weeks + 1):
        week = [(j, day - timedelta(days=7 * k)) for j, day in enumerate(window, 1)]
        found.append(Slot("daily", k, tuple((j, d) for j, d in week if d in set(judged)), week[0][1], week[-1][1]))
    close = end - timedelta(days=CLOSE_DAYS - 1)
    found.append(Slot("monthly_close", 0, _whole(close, end), close, end))
    last = end.replace(day=15) if end.day >= 15 else (end.replace(day=1) - timedelta(days=1)).replace(day=15)
    for k in range(1, calendar.anomaly.baseline_closings + 1):
        first = (last.replace(day=1) - timedelta(days=1)).replace(day=16)
        found.append(Slot("monthly_close", k, _whole(first, last), first, last))
        last = first - timedelta(days=1)
    # the close or week before the oldest: whoever began in it is known to have begun
    for rhythm in ("daily", "monthly_close"):
        oldest = min(s.first for s in found if s.rhythm == rhythm)
        before = oldest - timedelta(days=31 if rhythm == "monthly_close" else 14)
        found.append(Slot(rhythm, -1, _whole(before, oldest - timedelta(days=1)), before, oldest - timedelta(days=1)))
    return found


def _whole(first: date, last: date) -> tuple[tuple[int, date], ...]:
    return tuple((1, first + timedelta(days=i)) for i in range((last - first).days + 1))


def _everyones(calendar: Calendar) -> list[CalendarEvent]:
    """Muting events of all accounts and products: their days are simply left out. The others leave out windows of those they name."""
    return [e for e in calendar.events if e.effect == "mute" and not e.accounts and not e.products]


# --- small tables ----------------------------------------------------------------------------------------------------------------------------------
def _load(con: duckdb.DuckDBPyConnection, mappings: Mappings, slots: list[Slot]) -> None:
    """a_day (day, rhythm, slot, place), a_mask (day, mask: bit i = slot i of the list), a_slot (rhythm, slot, first_day, last_day, places),
    a_product (product, rhythm), a_mute and a_note."""
    products = [(p.code, r) for p in mappings.products.products for r in JUDGED_BY[p.rhythm]] + [("", "daily")]
    put_rows(con, "a_product", [{"product": p, "rhythm": r} for p, r in products], {"product": pa.string(), "rhythm": pa.string()})
    keys = [{"product": p, "k": k} for k, p in enumerate(dict.fromkeys(p for p, _ in products))]
    put_rows(con, "a_key", keys, {"product": pa.string(), "k": pa.int16()})
    day = {"rhythm": pa.string(), "slot": pa.int32(), "place": pa.int32(), "day": pa.date32()}
    put_rows(con, "a_day", [{"rhythm": s.rhythm, "slot": s.slot, "place": j, "day": d} for s in slots for j, d in s.days], day)
    masks: dict[date, int] = {}
    for i, s in enumerate(slots):
        for _, d in s.days:
            masks[d] = masks.get(d, 0) | 1 << i
    put_rows(con, "a_mask", [{"day": d, "mask": mask} for d, mask in sorted(masks.items())], {"day": pa.date32(), "mask": pa.int64()})
    slot = {"rhythm": pa.string(), "slot": pa.int32(), "first_day": pa.date32(), "last_day": pa.date32(), "places": pa.list_(pa.int32())}
    rows = [
        {"rhythm": s.rhythm, "slot": s.slot, "first_day": s.first, "last_day": s.last, "places": sorted({j for j, _ in s.days})}
        for s in slots
        if s.days
    ]
    put_rows(con, "a_slot", rows, slot)
    first = min((s.first for s in slots), default=date(2000, 1, 1))
    last = max((s.last for s in slots), default=date(2000, 1, 1)) + timedelta(days=1)
    everyones = _everyones(mappings.calendar)
    own = [e for e in mappings.calendar.events if e.effect == "mute" and e not in everyones]
    notes = [e for e in mappings.calendar.events if e.effect == "annotate"]
    for name, events in (("a_mute", own), ("a_note", notes)):
        put_rows(con, name, [row for e in events for row in event_rows(e, first, last)], EVENT)


EVENT = {"name": pa.string(), "title_en": pa.string(), "title_ja": pa.string(), "account_id": pa.string(), "product": pa.string()}
EVENT |= {"first_day": pa.date32(), "last_day": pa.date32()}


def event_rows(event: CalendarEvent, first: date, last: date) -> Iterator[dict[str, object]]:
    for a, b in spans(event, first, last):
        for account in event.accounts or [None]:  # type: ignore[list-item]
            for product in event.products or [None]:  # type: ignore[list-item]
                yield {
                    "name": event.name, "title_en": event.title.en, "title_ja": event.title.ja, "account_id": account, "product": product,
                    "first_day": a, "last_day": b,
                }  # fmt: skip


def put_rows(con: duckdb.DuckDBPyConnection, name: str, rows: list[dict[str, object]], kinds: dict[str, pa.DataType]) -> None:
    con.register("given_rows", pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items()))))
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM given_rows")
    con.unregister("given_rows")
