"""Wrong usage files. ROWS: the bad row is set aside and its neighbours go on. FILES: the file is refused by name and nothing of it is kept."""

import gzip
import io
import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.base import REJECTS_KEPT, IngestResult, UsageFile
from connectors.usage import files
from connectors.usage.files import UsageFileError, discover, ingest
from connectors.usage.folder import hold
from mappings.models import UsageSource

TODAY = date(2026, 4, 1)
COLUMNS = {"tenant_key": "tenant", "user_key": "user", "day": "day", "events": "events", "seconds": "seconds"}
HEADER = "tenant,user,day,events,seconds\n"
GOOD = "T-1,ann,2026-03-01,3,60\n"
PARQUET = {"tenant": ["T-1"], "user": ["ann"], "day": [date(2026, 3, 1)], "events": [3], "seconds": [60]}


def source(**change: Any) -> UsageSource:
    return UsageSource.model_validate({"name": "app", "kind": "events", "glob": "*", "format": "csv", "columns": COLUMNS, "product": "P", **change})


def take(folder: Path, usage: UsageSource) -> IngestResult:
    (file,) = discover(usage, folder, 0)
    with duckdb.connect() as con:
        return ingest(con, usage, file, b"k", folder.parent / "parts", None, TODAY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "exports"
    path.mkdir()
    return path


def between(row: str) -> str:
    """The row in line 3, between good ones."""
    return HEADER + GOOD + row + GOOD


WITH_ID = {"columns": {**COLUMNS, "row_id": "user"}}
# name: (text, mapping change, line, column, value, reason)
ROWS: dict[str, tuple[str, dict[str, Any], int, str, str, str]] = {
    "bad date": (between("T-2,ann,2026-02-30,1,1\n"), {}, 3, "day", "2026-02-30", "not a date of the form %Y-%m-%d"),
    "date in another form": (between("T-2,ann,01/03/2026,1,1\n"), {}, 3, "day", "01/03/2026", "not a date of the form %Y-%m-%d"),
    "epoch seconds": (between("T-2,ann,1772323200,1,1\n"), {}, 3, "day", "1772323200", "not a date of the form %Y-%m-%d"),
    "no date": (between("T-2,ann,,1,1\n"), {}, 3, "day", "", "missing date"),
    "future day": (between("T-2,ann,2026-04-03,1,1\n"), {}, 3, "day", "2026-04-03", "the day lies in the future"),
    "day of another century": (between("T-2,ann,0206-03-01,1,1\n"), {}, 3, "day", "0206-03-01", "the day lies before 2000-01-01"),
    "word for a number": (between("T-2,ann,2026-03-01,many,1\n"), {}, 3, "events", "many", "not a number"),
    "thousands separator": (between('T-2,ann,2026-03-01,"1,000",1\n'), {}, 3, "events", "1,000", "not a number"),
    "full-width digits": (between("T-2,ann,2026-03-01,\uff11\uff12,1\n"), {}, 3, "events", "\uff11\uff12", "not a number"),
    "nan": (between("T-2,ann,2026-03-01,NaN,1\n"), {}, 3, "events", "NaN", "not a number"),
    "infinity": (between("T-2,ann,2026-03-01,inf,1\n"), {}, 3, "events", "inf", "not a number"),
    "no number": (between("T-2,ann,2026-03-01,,1\n"), {}, 3, "events", "", "missing number"),
    "negative count": (between("T-2,ann,2026-03-01,-1,1\n"), {}, 3, "events", "-1", "negative count"),
    "fraction of an event": (between("T-2,ann,2026-03-01,1.5,1\n"), {}, 3, "events", "1.5", "the count is a fraction"),
    "count past all bounds": (between("T-2,ann,2026-03-01,1e18,1\n"), {}, 3, "events", "1e18", "the number is too large to be a count"),
    "negative seconds": (between("T-2,ann,2026-03-01,1,-0.5\n"), {}, 3, "seconds", "-0.5", "negative count"),
    "seconds in words": (between("T-2,ann,2026-03-01,1,1h\n"), {}, 3, "seconds", "1h", "not a number"),
    "no tenant": (between(",ann,2026-03-01,1,1\n"), {}, 3, "tenant", "", "missing tenant"),
    "blank tenant": (between("   ,ann,2026-03-01,1,1\n"), {}, 3, "tenant", "", "missing tenant"),
    "long tenant": (between("T" * 300 + ",ann,2026-03-01,1,1\n"), {}, 3, "tenant", "T" * 80, "longer than 255 characters"),
    "NUL in a cell": (between("T-2,a\0b,2026-03-01,1,1\n"), {}, 3, "user", "a\0b", "holds a NUL byte"),
    "too few columns": (between("T-2,ann,2026-03-01\n"), {}, 3, "", "T-2,ann,2026-03-01", "too few columns"),
    "too many columns": (between("T-2,ann,2026-03-01,1,000,1\n"), {}, 3, "", "T-2,ann,2026-03-01,1,000,1", "too many columns"),
    "text after a quote": (
        between('T-2,"ann"s,2026-03-01,1,1\n'), {}, 3, "", 'T-2,"ann"s,2026-03-01,1,1', "a quote is not closed, or text follows it",
    ),
    "cut off at the end": (HEADER + GOOD + GOOD + "T-2,ann,2026-", {}, 4, "", "T-2,ann,2026-", "too few columns"),
    "huge cell": (between("T-2," + "x" * 2_500_000 + ",2026-03-01,1,1\n"), {}, 3, "", "T-2," + "x" * 76, "the line is longer than 2,000,000 bytes"),
    "second header in the middle": (between(HEADER), {}, 3, "day", "day", "not a date of the form %Y-%m-%d"),
    "repeated row id": (
        HEADER + "T-1,7,2026-03-01,3,60\nT-2,7,2026-03-01,1,1\nT-1,8,2026-03-01,3,60\n",
        WITH_ID, 3, "user", "7", "repeats the row id of an earlier row of this file",
    ),
    "no row id": (HEADER + "T-1,7,2026-03-01,3,60\nT-2,,2026-03-01,1,1\nT-1,8,2026-03-01,3,60\n", WITH_ID, 3, "user", "", "missing row id"),
    "after blank lines and line ends in cells": (
        "\n" + HEADER + '\nT-1,"a\n\nn""n\n",2026-03-01,3,60\n\n' + "T-2,ann,2026-03-01,x,1\n" + GOOD, {}, 9, "events", "x", "not a number",
    ),
    "JSON cut off": ('{"tenant":"T-1","user":"a","day":"2026-03-01","events":3,"seconds":1}\n\n{"tenant":"T-2","us\n'
        '{"tenant":"T-1","day":"2026-03-01","events":3}\n', {"format": "jsonl"}, 3, "", '{"tenant":"T-2","us', "not a JSON object"),
    "JSON of another kind": ('{"tenant":"T-1","user":"a","day":"2026-03-01","events":3,"seconds":1}\n[1]\n'
        '{"tenant":"T-1","day":"2026-03-01","events":3}\n', {"format": "jsonl"}, 2, "", "[1]", "not a JSON object"),
    "JSON without the tenant": ('{"tenant":"T-1","user":"a","day":"2026-03-01","events":3,"seconds":1}\n{"user":"b"}\n'
        '{"tenant":"T-1","day":"2026-03-01","events":3}\n', {"format": "jsonl"}, 2, "tenant", "", "missing tenant"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ROWS)
def test_a_wrong_row_is_set_aside_and_its_neighbours_go_on(folder: Path, kind: str) -> None:
    text, change, line, column, value, reason = ROWS[kind]
    (folder / "a.txt").write_text(text)
    result = take(folder, source(**change))
    assert (result.rows_in, result.rows_done, result.rows_set_aside) == (3, 2, 1)
    (reject,) = result.rejects
    assert (reject.source, reject.where, reject.column) == ("app", f"{folder / 'a.txt'}:{line}", column)
    assert (reject.value, reject.reason) == (value, reason)
    assert reject.remedy
    with duckdb.connect() as con:
        assert con.sql(f"select tenant_key, sum(events) from '{result.parts['usage_tenant_day']}' group by all").fetchall() == [("T-1", 6)]


def test_bytes_of_another_encoding_in_one_row(folder: Path) -> None:
    (folder / "a.csv").write_bytes((HEADER + GOOD).encode() + "T-2,山田,2026-03-01,1,1\n".encode("cp932") + GOOD.encode())
    result = take(folder, source())
    assert (result.rows_in, result.rows_done, result.rows_set_aside) == (3, 2, 1)
    assert (result.rejects[0].where, result.rejects[0].reason) == (f"{folder / 'a.csv'}:3", "bytes that are not UTF-8")


def parquet(**columns: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({**PARQUET, **columns}), out)
    return out.getvalue()


def test_wrong_rows_of_a_parquet_file(folder: Path) -> None:
    table = {"tenant": ["T-1", None, "T-1"], "user": [None] * 3, "day": ["2026-03-01"] * 2 + ["x"], "events": [3, 1, 1], "seconds": [None, 1.5, 1]}
    (folder / "a.parquet").write_bytes(parquet(**{**table, "user": pa.array([None] * 3, pa.string())}))
    result = take(folder, source(format="parquet"))
    assert (result.rows_in, result.rows_done, result.rows_set_aside) == (3, 1, 2)
    assert [(r.where.rsplit(":")[-1], r.column, r.value, r.reason) for r in result.rejects] == [
        ("2", "tenant", "", "missing tenant"),
        ("3", "day", "x", "not a date of the form %Y-%m-%d"),
    ]


NOISE = bytes(range(256)) * 40
UTF16 = (HEADER + GOOD).encode("utf-16")
PACKED = gzip.compress((HEADER + "".join(f"T-{n},u{n * 7919 % 997},2026-03-01,{n},1\n" for n in range(50_000))).encode())
# name: (bytes, mapping change, words of the error)
FILES: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "empty file": (b"", {}, "the file is empty"),
    "only blank lines": (b"\n\n  \n", {}, "the file is empty"),
    "missing column": (b"Tenant_ID,user,day,events,seconds\nT-1,a,2026-03-01,1,1\n", {}, "'tenant' (tenant_key; nearest: 'Tenant_ID')"),
    "column in another case": (b"tenant,User,day,events,seconds\nT-1,a,2026-03-01,1,1\n", {}, "nearest: 'User'"),
    "two missing columns": (b"tenant,user,day\nT-1,a,2026-03-01\n", {}, "missing column 'events' (events), 'seconds' (seconds)"),
    "no header": (GOOD.encode(), {}, "missing column 'tenant'"),
    "duplicate header": (b"tenant,user,day,events,seconds,day\n", {}, "the header names column 'day' 2 times"),
    "another delimiter": ((HEADER + GOOD).replace(",", ";").encode(), {}, "it looks like ';'"),
    "one column": (b"tenant\nT-1\n", {}, "missing column 'user'"),
    "UTF-16 read as UTF-8": (UTF16, {}, "the file is UTF-16, the mapping says UTF-8"),
    "UTF-16 without its mark": (UTF16[2:], {}, "the header holds NUL bytes"),
    "header in cp932": ("テナント,日付\n".encode("cp932"), {}, "the header is not UTF-8"),
    "rows in cp932": (HEADER.encode() + "株式会社,山田,2026-03-01,1,1\n".encode("cp932") * 3 + GOOD.encode(), {}, "3 of 4 lines are not UTF-8"),
    "UTF-8 read as cp932": ((HEADER + "株式会社,山,2026-03-01,1,1\n").encode(), {"encoding": "cp932"}, "the file is UTF-8, the mapping says cp932"),
    "noise read as cp932": ((HEADER + "株式会社,").encode("cp932") + b"\x81\x20,2026-03-01,1,1\n", {"encoding": "cp932"}, "byte 40 is not cp932"),
    "half a UTF-16 character": (UTF16[:-1], {"encoding": "utf-16"}, "is not utf-16"),
    "truncated gzip": (PACKED[: len(PACKED) // 2], {}, "the gzip stream is damaged or cut off"),
    "truncated gzip, to be decoded": (PACKED[: len(PACKED) // 2], {"encoding": "cp932"}, "the gzip stream is damaged or cut off"),
    "gzip with damaged bytes": (PACKED[:2000] + b"\0" * 500 + PACKED[2500:], {}, "the gzip stream is damaged or cut off"),
    "quote never closed": ((HEADER + GOOD + 'T-2,"ann,2026-03-01,1,1\n' + GOOD * 9).encode(), {}, "the quote opened in line 3 is never closed"),
    "binary": (NOISE, {}, "the header"),
    "text as Parquet": ((HEADER + GOOD).encode(), {"format": "parquet"}, "this is not a whole Parquet file"),
    "empty Parquet": (b"", {"format": "parquet"}, "this is not a whole Parquet file"),
    "half a Parquet file": (parquet()[:-20], {"format": "parquet"}, "this is not a whole Parquet file"),
    "Parquet with damaged footer": (parquet()[:-200] + b"\xff" * 150 + parquet()[-50:], {"format": "parquet"}, "this is not a whole Parquet file"),
    "Parquet column missing": (parquet(), {"format": "parquet", "columns": {**COLUMNS, "feature": "Evens"}}, "'Evens' (feature; nearest: 'events')"),
    "Parquet without content": (b"PAR1PAR1", {"format": "parquet"}, "this is not a whole Parquet file"),
    "Parquet day as a number": (parquet(day=[20513]), {"format": "parquet"}, "column 'day' (day) has type BIGINT"),
    "Parquet count as a list": (parquet(events=[[1]]), {"format": "parquet"}, "column 'events' (events) has type BIGINT[]"),
    "Parquet tenant as a fraction": (parquet(tenant=[1.5]), {"format": "parquet"}, "column 'tenant' (tenant_key) has type DOUBLE"),
    "Parquet read as CSV": (parquet(), {}, "the header"),
    "CSV read as JSON lines": ((HEADER + GOOD).encode(), {"format": "jsonl"}, "line 1 is not a JSON object"),
    "JSON array": (b'[\n{"tenant":"T-1"}\n]\n', {"format": "jsonl"}, "line 1 is not a JSON object"),
    "JSON key nowhere": (b'{"tenant":"T-1","user":"a","Day":"2026-03-01","events":1,"seconds":1}\n', {"format": "jsonl"}, "nearest: 'Day'"),
    "mapping without a day": ((HEADER + GOOD).encode(), {"columns": {"tenant_key": "tenant"}}, "names no column for day"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_a_wrong_file_is_refused_by_name_and_leaves_nothing(folder: Path, kind: str) -> None:
    data, change, words = FILES[kind]
    (folder / "a.bin").write_bytes(data)
    with pytest.raises(UsageFileError) as caught:
        take(folder, source(**change))
    assert words in caught.value.what
    assert caught.value.path == str(folder / "a.bin")
    assert caught.value.path in str(caught.value)
    assert caught.value.remedy
    parts = folder.parent / "parts"
    assert not parts.exists() or not list(parts.iterdir())


def test_a_directory_a_missing_and_a_forbidden_file(folder: Path) -> None:
    (folder / "a.csv").mkdir()
    (folder / "b.csv").write_text(HEADER + GOOD)
    (folder / "c.csv").symlink_to(folder / "nowhere")
    (folder / "d.csv").write_text(HEADER + GOOD)
    found = discover(source(glob="*.csv"), folder, 0)
    assert [Path(file.path).name for file in found] == ["a.csv", "b.csv", "c.csv", "d.csv"], "each is listed, so that each is reported"
    (folder / "b.csv").unlink()
    said = {}
    with duckdb.connect() as con:
        for file in found:
            try:
                ingest(con, source(), file, b"k", folder.parent / "parts", None, TODAY)
            except UsageFileError as error:
                said[Path(file.path).name] = error.what
    assert said == {"a.csv": "this is a directory, not a file", "b.csv": "the file is gone", "c.csv": "the file is gone"}


def test_a_file_that_may_not_be_read(folder: Path) -> None:
    (folder / "a.csv").write_text(HEADER + GOOD)
    (folder / "a.csv").chmod(0)
    root = os.geteuid() == 0
    if root:  # root may read everything, so be someone else for a moment
        os.seteuid(65534)
    try:
        with pytest.raises(UsageFileError, match="may not be read"):
            hold(UsageFile("app", str(folder / "a.csv"), 1, datetime(2026, 1, 1, tzinfo=UTC), "x"))
    finally:
        if root:
            os.seteuid(0)


def test_a_file_written_to_while_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "a.csv"
    path.write_text(HEADER + GOOD)

    def rejects_then_append(*given: Any) -> Any:
        with path.open("a") as stream:
            stream.write(GOOD)
        return real(*given)

    real = files.set_aside
    monkeypatch.setattr(files, "set_aside", rejects_then_append)
    with pytest.raises(UsageFileError, match="changed while it was read"):
        take(folder, source())
    assert not list((folder.parent / "parts").iterdir())


def test_only_the_first_rejects_are_kept_all_are_counted(folder: Path) -> None:
    count = REJECTS_KEPT + 500
    (folder / "a.csv").write_text(HEADER + "".join(f"T-{n},ann,2026-03-01,{'x' if n % 2 else '1,2'},1\n" for n in range(count)) + GOOD)
    result = take(folder, source())
    assert (result.rows_in, result.rows_done, result.rows_set_aside) == (count + 1, 1, count)
    assert len(result.rejects) == REJECTS_KEPT
    assert [reject.where.rsplit(":")[-1] for reject in result.rejects[:3]] == ["2", "3", "4"]
    assert {(reject.column, reject.reason) for reject in result.rejects} == {("events", "not a number"), ("", "too many columns")}


def test_errors_hold_no_cell_values(folder: Path) -> None:
    (folder / "a.csv").write_text(HEADER + GOOD + 'T-2,"secret-person,2026-03-01,1,1\n' + GOOD)
    with pytest.raises(UsageFileError) as caught:
        take(folder, source())
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
