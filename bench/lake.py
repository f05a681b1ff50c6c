"""A made-up lake of any size, written by DuckDB as pull, stage and ingest would have left it. Everything comes from hashes of row numbers.

Per account: 1.3 contract lines, 4 contacts, 5 activities, 2 tickets, 1 survey, 0.3 opportunities, 1.2 outcomes, and `usage_rows / accounts` usage
rows over the 90 days to 30 November 2026, in one file a month. Some accounts churned, stopped, are onboarding, lost their champion or have no usage.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from mappings.models import Mappings
from worker.store.schemas import schema

#: The run that is measured, and the one of the night before that left history, writes and filled fields.
AS_OF = datetime(2026, 12, 1, 3, tzinfo=UTC)
BEFORE = datetime(2026, 11, 30, 3, tzinfo=UTC)
LAST_DAY = date(2026, 11, 30)
#: file id -> (first day, last day)
FILES = {
    "events_2026-09": (date(2026, 9, 2), date(2026, 9, 30)),
    "events_2026-10": (date(2026, 10, 1), date(2026, 10, 31)),
    "events_2026-11": (date(2026, 11, 1), LAST_DAY),
}
SETUP = "setup_2026-11-30"
DAYS = 90

_PRODUCTS = "['expense', 'invoice', 'attendance', 'esign']"
#: A product's features by its place: two core, one advanced, one that no mapping declares.
_FEATURES = """[['report_submit', 'approval', 'api', 'export'], ['invoice_receive', 'approval', 'api', 'export'],
                ['clock', 'month_close', 'approval_advanced', 'export'], ['sign_send', 'sign_check', 'approval_advanced', 'export']]"""
_STAMPS = """TIMESTAMPTZ '2026-11-29 00:00:00+00' AS modified_at, false AS deleted, TIMESTAMPTZ '2026-11-29 18:00:00+00' AS read_at,
             'salesforce' AS connection, 0 AS source"""

_ACCOUNT = f"""
SELECT 'A' || lpad(i::VARCHAR, 9, '0') AS id, {_STAMPS}, 'Customer ' || i AS name, 'customer' AS kind, 'U' || (h(i, 1) % 50) AS owner_id,
       'U' || (50 + h(i, 2) % 50) AS csm_id, ['Enterprise', 'Mid', 'SMB'][1 + h(i, 3) % 3] AS segment,
       ['Retail', 'IT', 'Services', 'Logistics'][1 + h(i, 4) % 4] AS industry, (10 + h(i, 5) % 2000)::BIGINT AS employees,
       CASE WHEN h(i, 6) % 100 >= 3 THEN 'T' || i END AS match_key, CASE WHEN h(i, 7) % 20 = 0 THEN 'P' || h(i, 8) % 20 END AS partner_id,
       CASE WHEN h(i, 9) % 100 = 0 THEN DATE '2026-11-01' + (h(i, 10) % 25)::INTEGER END AS churn_notice_on
FROM range({{accounts}}) r(i)"""
_CONTRACT = f"""
WITH line AS (
    SELECT i, n, 5 + h(i, n, 20) % 16 AS seats, DATE '2026-11-20' - (h(i, n, 21) % 1400)::INTEGER AS starts_on
    FROM range({{accounts}}) r(i), range(2) s(n) WHERE n = 0 OR h(i, 22) % 10 < 3
), term AS (SELECT *, (starts_on + to_years(CAST(1 + (DATE '2026-12-05' - starts_on) // 365 AS INTEGER)))::DATE AS ends_on FROM line)
SELECT 'L' || lpad((i * 2 + n)::VARCHAR, 9, '0') AS id, {_STAMPS}, 'A' || lpad(i::VARCHAR, 9, '0') AS account_id, 'C' || i AS contract_number,
       {_PRODUCTS}[1 + (i + n) % 4] AS product, ['lite', 'standard', 'pro'][1 + h(i, n, 23) % 3] AS plan, seats::BIGINT AS seats,
       (seats * 600)::DECIMAL(18, 4) AS mrr, 'JPY' AS currency, starts_on,
       ends_on, 12::BIGINT AS term_months,
       CASE WHEN h(i, n, 24) % 2 = 0 THEN (ends_on - INTERVAL 60 DAY)::DATE END AS notice_on,
       true AS auto_renew, 'active' AS status, false AS is_trial,
       CASE WHEN h(i, 25) % 50 = 0 THEN DATE '2026-10-15' END AS churned_on
FROM term"""
_CONTACT = f"""
SELECT 'N' || lpad((i * 4 + n)::VARCHAR, 9, '0') AS id, {_STAMPS}, 'A' || lpad(i::VARCHAR, 9, '0') AS account_id, 'Person ' || n AS name,
       ['admin', 'operator', 'champion', 'decision_maker'][1 + (n + h(i, 30) % 2) % 4] AS role, h(i, n, 31) % 25 > 0 AS active,
       CASE WHEN h(i, n, 31) % 25 = 0 THEN DATE '2026-08-01' + (h(i, n, 32) % 100)::INTEGER END AS left_on
FROM range({{accounts}}) r(i), range(4) s(n)"""
_ACTIVITY = f"""
WITH act AS (
    SELECT i, n, TIMESTAMPTZ '2026-11-29 03:00:00+00' - to_hours(CAST(h(i, n, 40) % 9000 AS INTEGER)) AS at_
    FROM range({{accounts}}) r(i), range(5) s(n)
)
SELECT 'K' || lpad((i * 5 + n)::VARCHAR, 9, '0') AS id, {_STAMPS}, 'A' || lpad(i::VARCHAR, 9, '0') AS account_id,
       'N' || lpad((i * 4 + h(i, n, 41) % 4)::VARCHAR, 9, '0') AS contact_id, 'U' || (50 + h(i, 2) % 50) AS owner_id,
       ['meeting', 'call', 'email', 'training', 'onboarding_step'][1 + h(i, n, 42) % 5] AS kind, 'Follow-up' AS subject, at_ AS occurred_at,
       CAST(at_ AS DATE) AS due_on, CASE WHEN h(i, n, 43) % 20 > 0 THEN at_ END AS done_at
FROM act"""
_TICKET = f"""
WITH t AS (
    SELECT i, n, TIMESTAMPTZ '2026-11-29 03:00:00+00' - to_hours(CAST(h(i, n, 50) % 4000 AS INTEGER)) AS at_
    FROM range({{accounts}}) r(i), range(2) s(n)
)
SELECT 'S' || lpad((i * 2 + n)::VARCHAR, 9, '0') AS id, {_STAMPS}, 'A' || lpad(i::VARCHAR, 9, '0') AS account_id, at_ AS opened_at,
       CASE WHEN h(i, n, 51) % 30 > 0 THEN at_ + to_hours(CAST(h(i, n, 52) % 200 AS INTEGER)) END AS closed_at,
       ['p1', 'p2', 'p3', 'p4'][1 + h(i, n, 53) % 4] AS priority, h(i, n, 54) % 15 = 0 AS escalated,
       CASE WHEN h(i, n, 55) % 3 = 0 THEN (25 * (h(i, n, 56) % 5))::DOUBLE END AS csat
FROM t"""
_SURVEY = f"""
SELECT 'Y' || lpad((i * 2 + n)::VARCHAR, 9, '0') AS id, {_STAMPS}, 'A' || lpad(i::VARCHAR, 9, '0') AS account_id, 'nps' AS kind,
       (2 + h(i, n, 60) % 9)::DOUBLE AS score, TIMESTAMPTZ '2026-11-29 03:00:00+00' - to_hours(CAST(h(i, n, 61) % 5500 AS INTEGER)) AS occurred_at
FROM range({{accounts}}) r(i), range(2) s(n) WHERE h(i, n, 62) % 2 = 0"""
_OPPORTUNITY = f"""
SELECT 'O' || lpad(i::VARCHAR, 9, '0') AS id, {_STAMPS}, 'A' || lpad(i::VARCHAR, 9, '0') AS account_id, {_PRODUCTS}[1 + h(i, 70) % 4] AS product,
       ['new', 'renewal', 'expansion'][1 + h(i, 71) % 3] AS kind, 100000::DECIMAL(18, 4) AS amount, 'JPY' AS currency,
       h(i, 72) % 3 > 0 AS closed, h(i, 72) % 3 = 1 AS won, DATE '2026-12-20' AS close_on
FROM range({{accounts}}) r(i) WHERE h(i, 73) % 10 < 3"""
_OUTCOME = f"""
SELECT 'R' || lpad((i * 2 + n)::VARCHAR, 9, '0') AS id, {_STAMPS}, 'A' || lpad(i::VARCHAR, 9, '0') AS account_id, 'hours' AS metric,
       100.0::DOUBLE AS baseline, (90 + h(i, n, 80) % 60)::DOUBLE AS current_value,
       TIMESTAMPTZ '2026-11-29 03:00:00+00' - to_days(CAST(h(i, n, 81) % 500 AS INTEGER)) AS occurred_at
FROM range({{accounts}}) r(i), range(2) s(n) WHERE h(i, n, 82) % 10 < 6"""
CRM = {
    "account": _ACCOUNT, "contract": _CONTRACT, "contact": _CONTACT, "activity": _ACTIVITY, "ticket": _TICKET, "survey": _SURVEY,
    "opportunity": _OPPORTUNITY, "outcome": _OUTCOME,
}  # fmt: skip

#: One row per use, as an export would have it. A twentieth of the tenants stopped five weeks before the end.
_RAW = f"""
SELECT 'T' || i AS tenant_key, {_PRODUCTS}[1 + place] AS product, 'u' || (h(i, n, 90) % (1 + h(i, 91) % 16)) || '@t' || i AS user_key,
       {_FEATURES}[1 + place][1 + h(i, n, 92) % 4] AS feature, day, (h(i, n, 93) % 12)::BIGINT AS events, (h(i, n, 94) % 3000)::BIGINT AS seconds
FROM (
    SELECT i, n, CASE WHEN h(i, 22) % 10 < 3 AND h(i, n, 95) % 3 = 0 THEN (i + 1) % 4 ELSE i % 4 END AS place,
           DATE '2026-11-30' - (CASE WHEN h(i, 96) % 20 = 0 THEN 35 + h(i, n, 97) % 55 ELSE h(i, n, 97) % {DAYS} END)::INTEGER AS day
    FROM range({{first}}, {{last}}) r(i), range({{each}}) s(n)
)"""
_TENANT_DAY = """SELECT '{file}' AS file_id, tenant_key, product, feature, day, sum(events)::BIGINT AS events, sum(seconds)::BIGINT AS seconds
FROM raw WHERE day BETWEEN DATE '{first}' AND DATE '{last}' GROUP BY tenant_key, product, feature, day"""
_USER_DAYS = """SELECT '{file}' AS file_id, tenant_key, product, hash(user_key) AS user_hash, ((day - DATE '1970-01-01') // 64)::INTEGER AS block,
       bit_or(1::UBIGINT << ((day - DATE '1970-01-01') % 64)::UBIGINT) AS days
FROM raw WHERE events > 0 AND day BETWEEN DATE '{first}' AND DATE '{last}' GROUP BY tenant_key, product, user_key, block"""
_FILE_DAYS = "SELECT '{file}' AS file_id, day, count(*) AS rows FROM raw WHERE day BETWEEN DATE '{first}' AND DATE '{last}' GROUP BY day"
USAGE = {"usage_tenant_day": _TENANT_DAY, "usage_user_days": _USER_DAYS, "usage_file_days": _FILE_DAYS}
_SNAPSHOT = f"""
SELECT '{SETUP}' AS file_id, 'T' || i AS tenant_key, {_PRODUCTS}[1 + i % 4] AS product, metric,
       CASE WHEN metric = 'setup_steps_total' THEN 10 ELSE h(i, 98) % 11 END::DOUBLE AS value, DATE '2026-11-29' AS occurred_at
FROM range({{accounts}}) r(i), (VALUES ('setup_steps_done'), ('setup_steps_total')) m(metric)"""

#: Accounts whose usage is made at once, so that memory stays bounded whatever the size.
_SLICE = 100_000


def make_lake(root: Path, accounts: int, usage_rows: int, mappings: Mappings, say: Callable[[str], None]) -> None:
    """One part per CRM table, one per usage file and table, below `root`. Usage files are named by file id."""
    spill = root.parent / "spill-make"
    with duckdb.connect(config={"memory_limit": "3GB", "threads": 2, "temp_directory": str(spill)}) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute("CREATE MACRO h(a, b) AS (hash(a, b) >> 1)::BIGINT, (a, b, c) AS (hash(a, b, c) >> 1)::BIGINT")
        for entity, rows in CRM.items():
            say(f"making crm_{entity}")
            own = [f.key for f in mappings.writeback.of(entity)]
            blank = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in schema(f"crm_{entity}", own).items())
            write_part(
                con, f"SELECT {blank} WHERE false UNION ALL BY NAME ({rows.format(accounts=accounts)})", root / f"crm_{entity}" / "made.parquet"
            )
        write_part(con, _SNAPSHOT.format(accounts=accounts), root / "usage_snapshot" / f"{SETUP}.parquet")
        write_part(
            con,
            f"SELECT '{SETUP}' AS file_id, DATE '2026-11-29' AS day, {accounts * 2}::BIGINT AS rows",
            root / "usage_file_days" / f"{SETUP}.parquet",
        )
        _make_usage(con, root, accounts, max(1, usage_rows // accounts), say)


def _make_usage(con: duckdb.DuckDBPyConnection, root: Path, accounts: int, each: int, say: Callable[[str], None]) -> None:
    slices = [(first, min(first + _SLICE, accounts)) for first in range(0, accounts, _SLICE)]
    for n, (first, last) in enumerate(slices):
        say(f"making usage rows of accounts {first:,} to {last:,}")
        con.execute(f"CREATE OR REPLACE TEMP TABLE raw AS {_RAW.format(first=first, last=last, each=each)}")
        for file, (from_, to) in FILES.items():
            for table, rows in USAGE.items():
                write_part(con, rows.format(file=file, first=from_, last=to), root / table / f".{file}-{n}.parquet")
    con.execute("DROP TABLE raw")
    for file in FILES:
        for table in USAGE:
            pieces = sorted((root / table).glob(f".{file}-*.parquet"))
            rows = f"SELECT * FROM read_parquet({[str(p) for p in pieces]})"
            if table == "usage_file_days":
                rows = f"SELECT file_id, day, sum(rows)::BIGINT AS rows FROM ({rows}) GROUP BY ALL"
            write_part(con, rows, root / table / f"{file}.parquet")
            for piece in pieces:
                piece.unlink()


def write_part(con: duckdb.DuckDBPyConnection, rows: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    con.execute(f"COPY ({rows}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
