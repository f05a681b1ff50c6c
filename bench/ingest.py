"""Ingest of a usage export against bare DuckDB SQL that writes the same columns from the same bytes.

    python -m bench.ingest --rows 5000000

Each measurement is a process of its own (its peak memory is its own); both sides get the same memory limit, threads and spill folder. Ours includes
finding and hashing the file, checking every row, and its report; the baseline trusts the file. The outputs are compared.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import duckdb

from bench.measure import own_peak_mib
from connectors.usage.files import discover, ingest
from connectors.usage.parts import subkey
from mappings.models import UsageSource

MEMORY, THREADS, KEY = "768MB", 2, b"bench"
COLUMNS = {"tenant_key": "tenant", "user_key": "user", "feature": "feature", "day": "day", "events": "events", "seconds": "seconds"}
TABLES = ("usage_tenant_day", "usage_user_days", "usage_file_days")

# 2,000 tenants, 50 people each, 20 features, 90 days: what a product's event export of three months looks like
EXPORT = """
copy (
    select 'T-' || (hash(i) % 2000) as tenant, 'user' || (hash(i * 7) % 50) || '@t' || (hash(i) % 2000) as "user",
           'feature_' || (hash(i * 3) % 20) as feature,
           DATE '2026-01-01' + (i * 90 // {rows})::INTEGER as day, hash(i * 5) % 50 as events, hash(i * 11) % 5000 as seconds, 'web ' || i as note
    from range({rows}) r(i)
) to '{path}'
"""

READ = {
    "csv": """read_csv('{path}', auto_detect=false, header=true, delim=',', quote='"', columns={{'tenant': 'VARCHAR', 'user': 'VARCHAR',
        'feature': 'VARCHAR', 'day': 'DATE', 'events': 'BIGINT', 'seconds': 'BIGINT', 'note': 'VARCHAR'}})""",
    "parquet": "read_parquet('{path}')",
}
BASELINE = {
    "usage_tenant_day": """select 'f' as file_id, tenant as tenant_key, 'P' as product, feature, day,
               sum(events)::BIGINT as events, sum(seconds)::BIGINT as seconds
        from t group by all""",
    "usage_user_days": """select 'f' as file_id, tenant as tenant_key, 'P' as product,
               ('0x' || left(sha256('{key}' || "user"), 16))::UBIGINT as user_hash, block, days
        from (select tenant, "user", (datediff('day', DATE '1970-01-01', day) // 64)::INTEGER as block,
                     bit_or(1::UBIGINT << (datediff('day', DATE '1970-01-01', day) % 64)::UBIGINT) as days from t where events > 0 group by all)""",
    "usage_file_days": "select 'f' as file_id, day, count(*) as rows from t group by all",
}


def connect(spill: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"memory_limit": MEMORY, "threads": THREADS, "temp_directory": str(spill)})


def ours(path: Path, out: Path) -> int:
    usage = UsageSource.model_validate(
        {"name": "bench", "kind": "events", "glob": path.name, "format": path.suffix[1:], "columns": COLUMNS, "product": "P"}
    )
    (file,) = discover(usage, path.parent, 0)
    with connect(out / "spill") as con:
        result = ingest(con, usage, file, KEY, out, None, date(2026, 4, 1))
    for table, part in result.parts.items():
        part.rename(out / f"{table}.parquet")
    return result.rows_done


def baseline(path: Path, out: Path) -> int:
    with connect(out / "spill") as con:
        con.execute(f'create temp table t as select tenant, "user", feature, day, events, seconds from {READ[path.suffix[1:]].format(path=path)}')
        for table, query in BASELINE.items():
            con.execute(f"copy ({query.format(key=subkey(KEY, 'user_key'))}) to '{out / table}.parquet' (format parquet)").fetchall()
        return int(con.execute("select count(*) from t").fetchall()[0][0])


def child(side: str, path: Path, out: Path) -> None:
    """One measurement, printed as JSON: seconds of wall clock and of CPU, peak resident memory of this process in MiB."""
    before = time.perf_counter()
    rows = {"ours": ours, "baseline": baseline}[side](path, out)
    wall, usage = time.perf_counter() - before, resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"rows": rows, "wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mib": own_peak_mib()}))


def digest(out: Path) -> list[Any]:
    """What must be equal on both sides: rows and order-free sums of every table."""
    sums = {
        "usage_tenant_day": "sum(events), sum(seconds), sum(hash(tenant_key, product, feature, day)::HUGEINT)",
        "usage_user_days": "sum(hash(tenant_key, product, user_hash, block, days)::HUGEINT)",
        "usage_file_days": "sum(rows), sum(hash(day)::HUGEINT)",
    }
    with duckdb.connect() as con:
        return [con.execute(f"select count(*), {sums[table]} from '{out / table}.parquet'").fetchall() for table in TABLES]


def measure(rows: int, rounds: int) -> dict[str, Any]:
    report: dict[str, Any] = {"rows": rows, "memory_limit": MEMORY, "threads": THREADS}
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as name:
        folder = Path(name)
        for form in ("csv", "parquet"):
            path = folder / f"export.{form}"
            with duckdb.connect() as con:
                con.execute(EXPORT.format(rows=rows, path=path))
            runs: dict[str, list[dict[str, float]]] = {"baseline": [], "ours": []}
            digests = []
            for turn in range(rounds):
                for side in runs:
                    out = folder / f"{form}-{side}-{turn}"
                    out.mkdir()
                    command = [sys.executable, "-m", "bench.ingest", "--child", side, "--file", str(path), "--out", str(out)]
                    runs[side].append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
                    digests.append(digest(out))
            if any(found != digests[0] for found in digests):
                raise SystemExit(f"{form}: the two sides wrote different tables")
            report[form] = {"file_mib": path.stat().st_size / 2**20, **_summary(runs)}
            path.unlink()
    return report


def _summary(runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    wall = {side: median(run["wall_s"] for run in found) for side, found in runs.items()}
    peak = {side: max(run["peak_mib"] for run in found) for side, found in runs.items()}
    cpu = {side: median(run["cpu_s"] for run in found) for side, found in runs.items()}
    return {"wall_s": wall, "cpu_s": cpu, "peak_mib": peak, "ratio": wall["ours"] / wall["baseline"], "cpu_ratio": cpu["ours"] / cpu["baseline"]}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="measurements per side, alternating; the median counts")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=("ours", "baseline"), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.child:
        child(given.child, given.file, given.out)
        return
    report = measure(given.rows, given.rounds)
    if given.json:
        print(json.dumps(report))
        return
    for form in ("csv", "parquet"):
        found = report[form]
        print(
            f"{form:8} {given.rows:,} rows, {found['file_mib']:.0f} MiB: "
            f"baseline {found['wall_s']['baseline']:.2f} s, ours {found['wall_s']['ours']:.2f} s, "
            f"ratio {found['ratio']:.2f} (CPU {found['cpu_ratio']:.2f}); "
            f"peak {found['peak_mib']['baseline']:.0f} MiB / {found['peak_mib']['ours']:.0f} MiB"
        )


if __name__ == "__main__":
    main()
