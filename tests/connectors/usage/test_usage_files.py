"""Right usage files in every format and spelling: what is taken, counted and written. Expected rows are worked by hand."""

import gzip
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.base import IngestResult, UsageFile
from connectors.usage.files import UsageFileError, discover, file_id, ingest
from mappings.models import UsageSource

TODAY = date(2026, 4, 1)
COLUMNS = {"tenant_key": "tenant", "user_key": "user", "feature": "feature", "day": "day", "events": "events", "seconds": "seconds"}
HEADER = "tenant,user,feature,day,events,seconds\n"
ROWS = "T-1,ann,save,2026-03-01,3,60\nT-1,bob,save,2026-03-01,2,\nT-1,ann,save,2026-03-02,0,0\nT-2,ann,open,2026-03-05,7,5\n"
DAYS = [
    ("T-1", "P", "save", date(2026, 3, 1), 5, 60),
    ("T-1", "P", "save", date(2026, 3, 2), 0, 0),
    ("T-2", "P", "open", date(2026, 3, 5), 7, 5),
]


def source(**change: Any) -> UsageSource:
    return UsageSource.model_validate({"name": "app", "kind": "events", "glob": "*", "format": "csv", "columns": COLUMNS, "product": "P", **change})


def take(folder: Path, usage: UsageSource, known_ids: str | None = None, key: bytes = b"k") -> tuple[IngestResult, UsageFile]:
    (file,) = discover(usage, folder, 0)
    with duckdb.connect() as con:
        return ingest(con, usage, file, key, folder.parent / "parts", known_ids, TODAY), file


def rows_of(result: IngestResult, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    if table not in result.parts:
        return []
    with duckdb.connect() as con:
        return con.sql(f"select {columns} from '{result.parts[table]}' order by all").fetchall()


def days_of(result: IngestResult) -> list[tuple[Any, ...]]:
    return rows_of(result, "usage_tenant_day", "tenant_key, product, feature, day, events, seconds")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "exports"
    path.mkdir()
    return path


def test_events_become_days_users_and_file_days(folder: Path) -> None:
    (folder / "a.csv").write_text(HEADER + ROWS)
    result, file = take(folder, source())
    assert (result.rows_in, result.rows_done, result.rows_set_aside, result.rejects) == (4, 4, 0, ())
    assert (result.first_day, result.last_day) == (date(2026, 3, 1), date(2026, 3, 5))
    assert days_of(result) == DAYS
    assert rows_of(result, "usage_file_days") == [(file_id(file), date(2026, 3, d), n) for d, n in ((1, 2), (2, 1), (5, 1))]
    # 2026-03-01 is day 20513 since 1970: block 320, bit 33. ann's row of 2026-03-02 has no event, so no bit 34.
    users = rows_of(result, "usage_user_days", "tenant_key, product, block, days, user_hash")
    assert [user[:4] for user in users] == [("T-1", "P", 320, 1 << 33), ("T-1", "P", 320, 1 << 33), ("T-2", "P", 320, 1 << 37)]
    assert len({user[4] for user in users}) == 2, "ann is one person in both tenants"
    assert {str(path.name) for path in result.parts.values()} == {f"{table}-{file_id(file)}.parquet" for table in result.parts}
    assert "ann" not in str(rows_of(result, "usage_user_days"))


def test_columns_have_the_types_of_the_lake(folder: Path) -> None:
    (folder / "a.csv").write_text("id,tenant,user,feature,day,events,seconds\n1,T-1,ann,save,2026-03-01,3,60\n")
    result, _ = take(folder, source(columns={**COLUMNS, "row_id": "id"}))
    types = {table: [(field.name, str(field.type)) for field in pq.read_schema(path)] for table, path in result.parts.items()}
    text, day, big, mask = "string", "date32[day]", "int64", "uint64"
    tenant = [("file_id", text), ("tenant_key", text), ("product", text)]
    assert types == {
        "usage_tenant_day": [*tenant, ("feature", text), ("day", day), ("events", big), ("seconds", big)],
        "usage_user_days": [*tenant, ("user_hash", mask), ("block", "int32"), ("days", mask)],
        "usage_file_days": [("file_id", text), ("day", day), ("rows", big)],
        "usage_ids": [("file_id", text), ("id_hash", mask)],
    }


def test_user_hash_depends_on_the_key(folder: Path) -> None:
    (folder / "a.csv").write_text(HEADER + ROWS)
    hashes = [{row[0] for row in rows_of(take(folder, source(), key=key)[0], "usage_user_days", "user_hash")} for key in (b"one", b"one", b"two")]
    assert hashes[0] == hashes[1]
    assert not hashes[0] & hashes[2]


WIDE = HEADER.replace("\n", ",note\n") + ROWS.replace("\n", ',"a ""note""\nof, two lines"\n')
SPELLINGS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "plain": ((HEADER + ROWS).encode(), {}),
    "byte order mark": (b"\xef\xbb\xbf" + (HEADER + ROWS).encode(), {}),
    "CRLF": ((HEADER + ROWS).replace("\n", "\r\n").encode(), {}),
    "CR": ((HEADER + ROWS).replace("\n", "\r").encode(), {}),
    "mixed line ends": ((HEADER + ROWS.replace("ann", '"ann"')).replace("\n", "\r\n", 2).encode(), {}),
    "no last line end": ((HEADER + ROWS).rstrip().encode(), {}),
    "blank lines": (("\n" + HEADER + "\n" + ROWS.replace("\n", "\n\n")).encode(), {}),
    "quotes and line ends in cells": (WIDE.encode(), {}),
    "all quoted": (("\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in (HEADER + ROWS).splitlines())).encode(), {}),
    "spaces around": (HEADER.encode() + ROWS.replace(",", " , ").encode(), {}),
    "gzip": (gzip.compress((HEADER + ROWS).encode()), {}),
    "gzip of UTF-16": (gzip.compress((HEADER + ROWS).encode("utf-16")), {"encoding": "utf-16"}),
    "UTF-16": ((HEADER + ROWS).encode("utf-16"), {"encoding": "utf-16"}),
    "latin-1": ((HEADER + ROWS).encode(), {"encoding": "latin-1"}),
    "tab": ((HEADER + ROWS).replace(",", "\t").encode(), {"delimiter": "\t"}),
    "semicolon": ((HEADER + ROWS).replace(",", ";").encode(), {"delimiter": ";"}),
    "two date forms": ((HEADER + ROWS.replace("2026-03-02", "02/03/2026")).encode(), {"date_formats": ["%Y-%m-%d", "%d/%m/%Y"]}),
    "JSON lines": (
        b'{"tenant":"T-1","user":"ann","feature":"save","day":"2026-03-01","events":3,"seconds":60}\n'
        b'{"tenant":"T-1","user":"bob","feature":"save","day":"2026-03-01","events":"2"}\n\n'
        b'{"seconds":0,"events":0,"tenant":"T-1","user":"ann","feature":"save","day":"2026-03-02","more":{"x":[1]}}\n'
        b'{"tenant":"T-2","user":"ann","feature":"open","day":"2026-03-05","events":7.0,"seconds":5}',
        {"format": "jsonl"},
    ),
}
SPELLINGS["JSON lines, marked and packed"] = (gzip.compress(b"\xef\xbb\xbf" + SPELLINGS["JSON lines"][0]), {"format": "jsonl"})


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_reads_the_same(folder: Path, spelling: str) -> None:
    data, change = SPELLINGS[spelling]
    (folder / "export").write_bytes(data)
    result, _ = take(folder, source(**change))
    assert result.rejects == ()
    assert days_of(result) == DAYS
    assert len(rows_of(result, "usage_user_days")) == 3


@pytest.mark.parametrize("encoding", ["shift_jis", "cp932", "euc_jp", "utf-8", "utf-16"])
def test_japanese_text_in_the_encodings_of_japan(folder: Path, encoding: str) -> None:
    text = "テナント,ユーザー,機能,日付,件数,秒\n株式会社あおば,山田,請求書作成,2026/03/01,3,60\n"
    (folder / "利用実績_3月.csv").write_bytes(text.encode(encoding))
    names = {"tenant_key": "テナント", "user_key": "ユーザー", "feature": "機能", "day": "日付", "events": "件数", "seconds": "秒"}
    result, _ = take(folder, source(columns=names, encoding=encoding, date_formats=["%Y/%m/%d"], glob="利用実績_*.csv"))
    assert days_of(result) == [("株式会社あおば", "P", "請求書作成", date(2026, 3, 1), 3, 60)]


STAMPS = {
    "%Y-%m-%dT%H:%M:%S%z": ["2026-03-01T15:00:00Z", "2026-03-01T16:00:00+01:00", "2026-03-02T00:00:00+0900"],
    "%Y-%m-%d %H:%M:%S": ["2026-03-02 00:00:00", "2026-03-02 23:59:59", "2026-03-02 09:00:00"],
}


@pytest.mark.parametrize("form", STAMPS)
def test_time_stamps_fall_on_the_day_of_the_sources_zone(folder: Path, form: str) -> None:
    """15:00 UTC is midnight in Tokyo; a stamp without a zone is already local."""
    (folder / "a.csv").write_text("tenant,day\n" + "".join(f"T-1,{stamp}\n" for stamp in STAMPS[form]))
    result, _ = take(folder, source(columns={"tenant_key": "tenant", "day": "day"}, timezone="Asia/Tokyo", date_formats=[form]))
    assert days_of(result) == [("T-1", "P", None, date(2026, 3, 2), 3, None)]


def test_parquet_types_are_taken_as_they_are(folder: Path) -> None:
    noon_utc = datetime(2026, 3, 1, 20, tzinfo=UTC)
    table = pa.table(
        {
            "tenant": pa.array([17, 17, 18], pa.int32()),
            "user": pa.array(["ann", None, "ann"]).dictionary_encode(),
            "feature": ["save", "save", "open"],
            "day": pa.array([noon_utc, noon_utc, noon_utc - timedelta(days=1)], pa.timestamp("us", "UTC")),
            "events": pa.array([3.0, 2.0, 7.0]),
            "seconds": pa.array([60, None, 5], pa.int16()),
        }
    )
    pq.write_table(table, folder / "a.parquet")
    result, _ = take(folder, source(format="parquet", timezone="Asia/Tokyo"))
    assert days_of(result) == [("17", "P", "save", date(2026, 3, 2), 5, 60), ("18", "P", "open", date(2026, 3, 1), 7, 5)]
    assert len(rows_of(result, "usage_user_days")) == 2, "a row without a user counts as events only"


def test_partitioned_folders_carry_columns(folder: Path) -> None:
    for day in ("2026-03-01", "2026-03-02"):
        part = folder / "region=東京" / f"day={day}"
        part.mkdir(parents=True)
        pq.write_table(pa.table({"tenant": ["T-1"], "events": [4]}), part / "part-0.parquet")
    usage = source(
        columns={"tenant_key": "tenant", "feature": "region", "day": "day", "events": "events"}, format="parquet", glob="**/day=*/*.parquet"
    )
    files = discover(usage, folder, 0)
    with duckdb.connect() as con:
        results = [ingest(con, usage, file, b"k", folder.parent / "parts", None, TODAY) for file in files]
    assert [days_of(result) for result in results] == [[("T-1", "P", "東京", date(2026, 3, d), 4, None)] for d in (1, 2)]


def test_one_row_is_one_event_without_a_count_column_and_the_product_may_be_a_column(folder: Path) -> None:
    (folder / "a.csv").write_text("tenant,day,app\nT-1,2026-03-01,X\nT-1,2026-03-01,X\nT-1,2026-03-01,Y\n")
    result, _ = take(folder, source(columns={"tenant_key": "tenant", "day": "day", "product": "app"}, product=None))
    assert days_of(result) == [("T-1", "X", None, date(2026, 3, 1), 2, None), ("T-1", "Y", None, date(2026, 3, 1), 1, None)]
    assert "usage_user_days" not in result.parts


def test_snapshots_keep_the_latest_value(folder: Path) -> None:
    names = {"tenant_key": "tenant", "metric": "metric", "value": "value", "occurred_at": "on"}
    (folder / "a.csv").write_text(
        "tenant,metric,value,on\nT-1,seats,30,2026-03-31\nT-1,seats,20,2026-02-28\nT-1,setup_done,0.5,2026-03-01\n"
        "T-2,seats,-1,2026-03-01\nT-2,seats,x,2026-03-01\n"
    )
    result, file = take(folder, source(kind="snapshot", columns=names, replaces="snapshot"))
    assert (result.rows_in, result.rows_done, result.rejects[0].reason) == (5, 4, "not a number")
    assert rows_of(result, "usage_snapshot") == [
        (file_id(file), "T-1", "P", "seats", 30.0, date(2026, 3, 31)),
        (file_id(file), "T-1", "P", "setup_done", 0.5, date(2026, 3, 1)),
        (file_id(file), "T-2", "P", "seats", -1.0, date(2026, 3, 1)),
    ]


def test_header_only_is_a_file_of_no_rows(folder: Path) -> None:
    (folder / "a.csv").write_text(HEADER)
    result, _ = take(folder, source())
    assert (result.rows_in, result.rows_done, dict(result.parts), result.first_day) == (0, 0, {}, None)


def test_known_ids_of_other_files_are_set_aside_where_files_add_up(folder: Path) -> None:
    text = "tenant,day,id\nT-1,2026-03-01,a\nT-1,2026-03-01,b\n"
    (folder / "1.csv").write_text(text)
    usage = source(columns={"tenant_key": "tenant", "day": "day", "row_id": "id"})
    first, _ = take(folder, usage)
    ids = f"read_parquet(['{first.parts['usage_ids']}'], union_by_name=true)"
    again, _ = take(folder, usage, ids)
    assert again.rows_set_aside == 0, "a file is no double of itself: a retry takes it whole"
    (folder / "1.csv").rename(folder / "2.csv")
    (folder / "2.csv").write_text(text + "T-1,2026-03-01,c\n")
    second, _ = take(folder, usage, ids)
    assert (second.rows_in, second.rows_done, second.rows_set_aside) == (3, 1, 2)
    assert {reject.reason for reject in second.rejects} == {"repeats the row id of another file of this source"}
    rolling, _ = take(folder, usage.model_copy(update={"replaces": "day"}), ids)
    assert rolling.rows_done == 3, "where a later export replaces days, the same id in two files is no double"


def test_discover_waits_for_young_files_and_reuses_known_hashes(folder: Path) -> None:
    (folder / "old.csv").write_text("x")
    (folder / "young.csv").write_text("y")
    an_hour_ago = datetime.now(UTC).timestamp() - 3600
    os.utime(folder / "old.csv", (an_hour_ago, an_hour_ago))
    usage = source(glob="*.csv")
    (old,) = discover(usage, folder, 600)
    assert old.path == str(folder / "old.csv")
    assert old.content_hash == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    known = UsageFile(old.source, old.path, old.size, old.modified_at, "kept")
    assert [file.content_hash for file in discover(usage, folder, 600, known=[known])] == ["kept"]
    locked = UsageFile(old.source, old.path, old.size, old.modified_at, "unreadable:1")
    assert discover(usage, folder, 600, known=[locked]) == [old], "a file is read as soon as its rights are mended, which moves no stamp"
    (folder / "old.csv").write_text("z")
    assert discover(usage, folder, 0, known=[known])[0].content_hash != "kept"


def test_the_same_bytes_under_two_names_are_two_files(folder: Path) -> None:
    for name in ("a[1].csv", "b*.csv", "c?'.csv", "d 株.csv"):
        (folder / name).write_text(HEADER + ROWS)
    usage = source(glob="*.csv")
    files = discover(usage, folder, 0)
    assert len({file_id(file) for file in files}) == 4
    with duckdb.connect() as con:
        con.execute("SET allowed_directories = ?", [[f"{folder.parent}/"]])
        con.execute("SET enable_external_access = false")
        con.execute("SET lock_configuration = true")
        assert [ingest(con, usage, file, b"k", folder.parent / "parts", None, TODAY).rows_done for file in files] == [4, 4, 4, 4]


def test_a_touched_file_is_the_same_file_a_rewritten_one_is_not(folder: Path) -> None:
    (folder / "a.csv").write_text(HEADER + ROWS)
    (file,) = discover(source(), folder, 0)
    os.utime(folder / "a.csv", (1, 1))
    with duckdb.connect() as con:
        assert ingest(con, source(), file, b"k", folder.parent / "parts", None, TODAY).rows_done == 4
        (folder / "a.csv").write_text(HEADER + ROWS.replace("T-1", "T-9"))
        with pytest.raises(UsageFileError, match="changed after it was registered"):
            ingest(con, source(), file, b"k", folder.parent / "parts", None, TODAY)


def test_ravenstack_duplicates_are_set_aside(tmp_path: Path) -> None:
    data = Path(os.environ.get("SCORESYNC_SHARED", Path(__file__).parents[4] / "shared")) / "data" / "ravenstack" / "feature_usage.csv"
    if not data.exists():
        pytest.skip("shared data is not here")
    names = {"tenant_key": "subscription_id", "feature": "feature_name", "day": "usage_date", "events": "usage_count", "row_id": "usage_id"}
    usage = source(columns=names, date_formats=["%d-%m-%Y"], glob="feature_usage.csv")
    (file,) = discover(usage, data.parent, 0)
    with duckdb.connect() as con:
        result = ingest(con, usage, file, b"k", tmp_path, None, TODAY)
    assert (result.rows_in, result.rows_done, result.rows_set_aside) == (25_000, 24_979, 21)
