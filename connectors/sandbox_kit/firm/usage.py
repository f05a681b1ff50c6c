"""Usage export files of the demo: what the vendor's product would hand out, with a few bad rows as real exports have.

One row per tenant, product, person, feature and day: `tenant_id,product,user_id,feature,date,events,seconds`. A person has an ID of its own in
each product, because IDs are what is sold. The rows come out of one DuckDB
query per month; chance is `hash()` of (line, person, day, feature, seed), so a file is the same however often one DuckDB version makes it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from connectors.sandbox_kit.firm import words
from connectors.sandbox_kit.firm.calendar import add_months, days
from connectors.sandbox_kit.firm.model import Company
from connectors.sandbox_kit.firm.rhythm import DAILY, FEATURES, day_factor, is_close, usage_start, week_levels, week_of

HEADER = "tenant_id,product,user_id,feature,date,events,seconds"
MEMORY_LIMIT = "120MB"  # 5,000 accounts make a million rows a month; what does not fit goes to disk

# per month: people x days first (one hash), then their features (one more); ORDER BY makes the bytes stable under several threads
MONTH_SQL = """
create or replace temp table month_rows as
with present as (
    select l.line, l.tenant, l.product, l.pro, d.day, d.close, u.person, hash(l.line, u.person, d.number, $seed) as draw
    from days d
    join levels v on v.week = d.week
    join lines l on l.line = v.line and l.product = d.product and d.day >= l.started and d.day < l.stopped,
    unnest(range(v.people)) u(person)
    where d.day between $first and $last
      and hash(l.line, u.person, d.number, $seed) % 1000000
          < 1000000 * d.chance * v.push * (case u.person when 0 then 1.8 else 0.8 + hash(l.line, u.person, $seed) % 40 / 100.0 end)
)
select p.tenant as tenant_id, p.product, 'u-' || lower(lpad(hex(hash(p.line, p.person, $seed) % 4294967296), 8, '0')) as user_id,
       f.feature, p.day as date,
       (1 + hash(p.draw, f.number, 1) % case when f.plan = 'pro' then 9 else 3 end)::integer as events,
       ((1 + hash(p.draw, f.number, 1) % case when f.plan = 'pro' then 9 else 3 end) * (20 + hash(p.draw, f.number, 2) % 120))::integer as seconds
from present p
join features f on f.product = p.product
where (f.role = 0 or p.person = 0 or (f.role = 1 and p.person % 6 = 1))
  and (f.plan = 'any' or p.pro) and (p.close or not f.close)
  and hash(p.draw, f.number, 0) % 1000000 < 1000000 * f.chance
order by date, tenant_id, product, user_id, feature
"""


@dataclass
class UsageFiles:
    """What was written: files in order of name, rows that are right, rows made wrong on purpose, right rows of tenants nobody knows."""

    files: list[Path] = field(default_factory=list)
    rows: int = 0
    bad_rows: int = 0
    unknown_tenant_rows: int = 0


def write_usage(company: Company, folder: Path | str) -> UsageFiles:
    """Write the export under `folder`/usage and say what was written.

    Twelve past months: `events_YYYY-MM.csv.gz`, the second of them `.parquet`; the month of yesterday: `events_YYYY-MM-DD.csv` a day, also for days
    without a row. `setup/setup_status.csv` is a snapshot of yesterday. Files of an earlier call with the same names are replaced.
    """
    root = Path(folder) / "usage"
    (root / "setup").mkdir(parents=True, exist_ok=True)
    written = UsageFiles()
    with tempfile.TemporaryDirectory() as spill:
        con = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": 2, "temp_directory": spill})
        try:
            _load_tables(con, company)
            for place, first in enumerate(_months(company.today)):
                _write_month(con, company, root, place, first, written)
        finally:
            con.close()
    written.files.append(_write_setup(company, root))
    return written


def _months(today: date) -> Iterator[date]:
    first = usage_start(today)
    for place in range(13):
        yield add_months(first, place)


def _load_tables(con: duckdb.DuckDBPyConnection, company: Company) -> None:
    """Temp tables lines, levels (line and week), days (product and day) and features."""
    today, first = company.today, usage_start(company.today)
    weeks = week_of(today, first) + 1
    lines, levels = [], []
    for number, line in enumerate(company.lines):
        pro = line.plan == "pro" or line.shape == "plan_limit"
        lines.append((number, line.tenant, line.product, pro, line.started, min(line.stopped or today, today)))
        rng = company.random("usage", line.tenant, line.product)
        levels += [(number, *level) for level in week_levels(line, today, weeks, rng)]
    factors = [
        (product, day, day.toordinal(), week_of(today, day), is_close(company.calendar, day), chance * day_factor(company.calendar, product, day))
        for product, chance in DAILY.items() for day in days(first, today)
    ]  # fmt: skip
    features = [(n, f.product, f.name, f.role, f.chance, f.plan, f.close) for n, f in enumerate(FEATURES)]
    _load_table(con, "lines", "line tenant product pro started stopped", lines)
    _load_table(con, "levels", "line week people push", levels)
    _load_table(con, "days", "product day number week close chance", factors)
    _load_table(con, "features", "number product feature role chance plan close", features)


def _load_table(con: duckdb.DuckDBPyConnection, name: str, columns: str, rows: Sequence[tuple[object, ...]]) -> None:
    # column by column: a dict per row would weigh more than the usage itself
    arrays = [pa.array([row[place] for row in rows]) for place in range(len(columns.split()))]
    con.register("incoming", pa.table(arrays, names=columns.split()))
    con.execute(f"create temp table {name} as select * from incoming")
    con.unregister("incoming")


def _write_month(con: duckdb.DuckDBPyConnection, company: Company, root: Path, place: int, first: date, written: UsageFiles) -> None:
    last = min(add_months(first, 1), company.today) - timedelta(days=1)
    con.execute(MONTH_SQL, {"seed": company.seed, "first": first, "last": last})
    # fetchall, because an unread rest of a result would block the connection
    [(count,)] = con.execute("select count(*) from month_rows").fetchall()
    written.rows += count
    if place == 1:
        path = root / f"events_{first:%Y-%m}.parquet"
        con.execute(f"copy month_rows to '{_quoted(path)}' (format parquet, compression zstd)")
        written.files.append(path)
    elif place < 12:
        bad = _bad_rows(first) if place == 10 else []
        path = root / f"events_{first:%Y-%m}.csv.gz"
        _copy_csv(con, path, "true", bad, written)
    else:
        for day in days(first, last + timedelta(days=1)):
            bad = _bad_daily_rows(day) if day == last else []
            _copy_csv(con, root / f"events_{day:%Y-%m-%d}.csv", f"date = date '{day}'", bad, written)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _copy_csv(con: duckdb.DuckDBPyConnection, path: Path, where: str, bad: list[tuple[str, bool]], written: UsageFiles) -> None:
    """One CSV file; `bad` lines (text, is it only its tenant that is unknown) are strewn among the right ones."""
    query = f"select * from month_rows where {where}"  # in the table's order, which is the sorted one
    options = "format csv, header true" + (", compression gzip" if path.suffix == ".gz" else "")
    if bad:
        columns = HEADER.split(",")
        con.register("bad_lines", pa.table([[line.split(",")[n] or None for line, _ in bad] for n in range(len(columns))], names=columns))
        text = ", ".join(f"{name}::varchar as {name}" for name in columns)
        # `place` spreads the bad lines evenly over the file
        query = f"""
            with numbered as (select *, row_number() over () as place from month_rows where {where}),
                 wrong as (select *, row_number() over () * (select count(*) from numbered) // {len(bad) + 1} + 0.5 as place from bad_lines)
            select {", ".join(columns)} from (
                select {text}, place::double as place from numbered union all select {text}, place::double from wrong)
            order by place, user_id, date, events
        """
        written.unknown_tenant_rows += sum(unknown for _, unknown in bad)
        written.bad_rows += sum(not unknown for _, unknown in bad)
    con.execute(f"copy ({query}) to '{_quoted(path)}' ({options})")
    written.files.append(path)


def _bad_rows(first: date) -> list[tuple[str, bool]]:
    """Lines as exports really have them when a job was patched by hand; (line, True) where only the tenant is unknown."""
    day = f"{first:%Y-%m}-10"
    return [
        (f"t-00001,expense,u-bad00001,report_submit,{first:%Y}/{first:%m}/45,3,120", False),
        ("t-00002,expense,u-bad00002,report_submit,2026-02-30,1,40", False),
        ("t-00003,invoice,u-bad00003,invoice_receive,,2,80", False),
        ("t-00004,invoice,u-bad00004,invoice_receive,N/A,2,80", False),
        ("t-00005,expense,u-bad00005,report_submit,令和8年,1,30", False),
        (f"t-00006,expense,u-bad00006,report_submit,{day},-4,90", False),
        (f"t-00007,attendance,u-bad00007,clock,{day},-1,60", False),
        (f"t-00008,expense,u-bad00008,report_submit,{day},3,-200", False),
        (f"t-00009,esign,u-bad00009,sign_send,{day},12件,50", False),
        (f"t-00010,esign,u-bad00010,sign_send,{day},,50", False),
        (f"t-00011,expense,u-bad00011,report_submit,{day},1.5e99,50", False),
        (f",expense,u-bad00012,report_submit,{day},1,50", False),
        (f"t-99901,expense,u-aa000001,report_submit,{day},2,75", True),
        (f"t-99901,expense,u-aa000002,approval,{day},1,35", True),
        (f"t-99902,invoice,u-aa000003,invoice_receive,{day},4,160", True),
    ]


def _bad_daily_rows(day: date) -> list[tuple[str, bool]]:
    return [
        ("t-00001,expense,u-bad00021,report_submit,2099-01-01,1,30", False),
        (f"t-00002,expense,u-bad00022,report_submit,{day:%d.%m.%Y},1,30", False),
        (f"t-00003,expense,u-bad00023,report_submit,{day},-2,30", False),
        (f"t-00004,invoice,u-bad00024,invoice_receive,{day},abc,30", False),
        (f"t-99903,esign,u-aa000004,sign_send,{day},1,25", True),
    ]


def _write_setup(company: Company, root: Path) -> Path:
    """Snapshot of yesterday: set-up steps done and in all, seats provisioned; one line per tenant, product and metric, churned tenants left out."""
    path, day = root / "setup" / "setup_status.csv", company.today - timedelta(days=1)
    lines = ["tenant_id,product,metric,value,occurred_at"]
    for line in company.lines:
        if line.shape == "churned":
            continue
        total = len(words.SETUP_STEPS[line.product])
        done = line.setup_done(total, company.today)
        for metric, value in (("setup_steps_done", done), ("setup_steps_total", total), ("seats_provisioned", line.seats_provisioned(company.today))):
            lines.append(f"{line.tenant},{line.product},{metric},{value},{day}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
