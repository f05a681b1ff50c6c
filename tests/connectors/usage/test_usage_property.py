"""Random exports: CSV, Parquet and JSON lines of the same rows give the same tables, equal to a plain-Python sum; lines are those an editor shows."""

import csv
import io
import json
import tempfile
from collections import Counter, defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import IngestResult
from connectors.usage.files import discover, ingest
from mappings.models import UsageSource

TODAY = date(2026, 4, 1)
NAMES = ("tenant", "user", "feature", "day", "events", "seconds")
COLUMNS = {"tenant_key": "tenant", "user_key": "user", "feature": "feature", "day": "day", "events": "events", "seconds": "seconds"}
KEYS = st.sampled_from(["T-1", "T-2", "株式会社", 'a "b", c', "x\ny", "it's", "null", "0"])


class Row(NamedTuple):
    tenant: str | None
    user: str | None
    feature: str | None
    day: str
    events: int
    seconds: int | None


DAYS = st.dates(date(2025, 11, 1), date(2026, 4, 6)).map(str)
MAYBE = st.one_of(st.none(), KEYS)
ROW = st.builds(Row, MAYBE, MAYBE, MAYBE, DAYS, st.integers(-2, 9), st.one_of(st.none(), st.integers(0, 99)))


def is_good(row: Row) -> bool:
    return row.tenant is not None and date.fromisoformat(row.day) <= TODAY + timedelta(days=1) and row.events >= 0


def write_csv(rows: list[Row], path: Path) -> None:
    with path.open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(NAMES)
        out.writerows(rows)


def write_parquet(rows: list[Row], path: Path) -> None:
    types = [pa.string()] * 4 + [pa.int64()] * 2
    schema = pa.schema(list(zip(NAMES, types, strict=True)))
    pq.write_table(pa.Table.from_pylist([row._asdict() for row in rows], schema), path)


def write_jsonl(rows: list[Row], path: Path) -> None:
    path.write_text("".join(json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in rows))


WRITERS = {"csv": write_csv, "parquet": write_parquet, "jsonl": write_jsonl}


def source(form: str, columns: dict[str, str]) -> UsageSource:
    return UsageSource.model_validate({"name": "app", "kind": "events", "glob": "a.*", "format": form, "columns": columns, "product": "P"})


def take(folder: Path, usage: UsageSource) -> IngestResult:
    (file,) = discover(usage, folder, 0)
    with duckdb.connect() as con:
        return ingest(con, usage, file, b"k", folder / "parts", None, TODAY)


def table(result: IngestResult, name: str) -> list[tuple[Any, ...]]:
    if name not in result.parts:
        return []
    with duckdb.connect() as con:
        return con.sql(f"select * exclude (file_id) from '{result.parts[name]}'").fetchall()


@settings(max_examples=25, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=40))
def test_three_formats_equal_a_plain_sum(rows: list[Row]) -> None:
    good = [row for row in rows if is_good(row)]
    events: Counter[tuple[Any, ...]] = Counter()
    seconds: dict[tuple[Any, ...], int | None] = {}
    users: defaultdict[tuple[Any, ...], set[tuple[str, date]]] = defaultdict(set)
    for row in good:
        day = date.fromisoformat(row.day)
        key = (row.tenant, "P", row.feature, day)
        events[key] += row.events
        seconds[key] = seconds.get(key) if row.seconds is None else (seconds.get(key) or 0) + row.seconds
        if row.user is not None and row.events > 0:
            users[(row.tenant,)].add((row.user, day))
    hashes: list[set[Any]] = []
    for form, write in WRITERS.items():
        with tempfile.TemporaryDirectory() as name:
            write(rows, Path(name) / f"a.{form}")
            result = take(Path(name), source(form, COLUMNS))
            assert (result.rows_in, result.rows_done, result.rows_set_aside) == (len(rows), len(good), len(rows) - len(good))
            assert len(result.rejects) == result.rows_set_aside
            assert {row[:4]: row[4:] for row in table(result, "usage_tenant_day")} == {key: (events[key], seconds[key]) for key in events}
            assert dict(table(result, "usage_file_days")) == Counter(date.fromisoformat(row.day) for row in good)
            days_of: defaultdict[tuple[str, int], set[date]] = defaultdict(set)
            for tenant, _, user, block, mask in table(result, "usage_user_days"):
                days_of[(tenant, user)] |= {date(1970, 1, 1) + timedelta(days=block * 64 + bit) for bit in range(64) if mask >> bit & 1}
            found = {(tenant,): sorted(day for (t, _), days in days_of.items() if t == tenant for day in days) for tenant, _ in days_of}
            assert found == {tenant: sorted(day for _, day in pairs) for tenant, pairs in users.items()}
            hashes.append({user for _, user in days_of})
    assert hashes[0] == hashes[1] == hashes[2]
    assert len(hashes[0]) == len({user for pairs in users.values() for user, _ in pairs}), "one hash per person"


REASONS = {"bad": "not a date of the form %Y-%m-%d", "few": "too few columns", "many": "too many columns"}
CELL = st.sampled_from(["T-1", "a,b", 'say "so"', "two\nlines", "\n\n", "é", ""])
LINE = st.one_of(
    st.tuples(st.just("good"), CELL),
    st.tuples(st.just("bad"), CELL),
    st.tuples(st.just("few"), st.just("")),
    st.tuples(st.just("many"), CELL),
    st.tuples(st.just("blank"), st.just("")),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINE, min_size=1, max_size=30), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_lines_are_those_an_editor_shows(lines: list[tuple[str, str]], end: str, mark: bool, last_end: bool) -> None:
    text, expected = io.StringIO(newline=""), []
    text.write(f"tenant,day,note{end}")
    for kind, note in lines:
        line = text.getvalue().count("\n") + 1
        quoted = '"' + note.replace('"', '""').replace("\n", end) + '"'
        body = {"good": f"T,2026-03-01,{quoted}", "bad": f"T,2026-13-01,{quoted}", "few": "T,2026-03-01", "many": f"T,2026-03-01,{quoted},x"}
        text.write(body.get(kind, "") + end)
        if kind in REASONS:
            expected.append((line, REASONS[kind]))
    whole = text.getvalue() if last_end else text.getvalue().removesuffix(end)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "a.csv").write_bytes((b"\xef\xbb\xbf" if mark else b"") + whole.encode())
        result = take(Path(name), source("csv", {"tenant_key": "tenant", "day": "day"}))
    assert [(int(reject.where.rsplit(":")[-1]), reject.reason) for reject in result.rejects] == expected
    assert result.rows_in == sum(kind != "blank" for kind, _ in lines)
