"""The lake: parts are seen when their rows are, by those who may see them, and go when nobody can."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worker import skeleton
from worker.run import start_run
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store import manifest, queue, runs, upkeep
from worker.store.engine import open_engine
from worker.store.lake import Lake
from worker.store.schemas import SCHEMAS, schema
from worker.store.work import Item, LakeFile, NewItem, Outcome, Run, RunKind


@pytest.fixture
def lake(runtime: Runtime) -> Lake:
    return runtime.lake


@pytest.fixture
def con(settings: Settings, lake: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    opened = open_engine(settings, [lake.root])
    yield opened
    opened.close()


def part(lake: Lake, item: Item, numbers: list[int], table: str = "numbers", **columns: list[Any]) -> LakeFile:
    temporary = lake.part_writer(table, item, len(list(lake.root.glob(f"{table}/*"))))
    pq.write_table(pa.table({"number": numbers, **columns}), temporary)
    return lake.finish(temporary)


def begin(runtime: Runtime, kind: RunKind = RunKind.RESYNC) -> tuple[Run, Item]:
    """A run and its first item. Resyncs, so that several work at once."""
    run_id = start_run(runtime, skeleton.no_mappings(), kind, accounts=[f"a{len(runs.latest(runtime.ledger))}"])
    item = queue.claim_next(runtime.ledger, queue.Terms(), run_id)
    assert item is not None
    return runs.get(runtime.ledger, run_id), item


def names(lake: Lake, run: Run | None = None) -> list[str]:
    return [path.name for path in lake.files("numbers", run)]


def test_a_part_is_seen_when_its_item_has_ended(runtime: Runtime, lake: Lake) -> None:
    _, item = begin(runtime)
    made = part(lake, item, [1, 2])
    assert (made.rows, made.path) == (2, f"numbers/{item.id:010d}-001-0000.parquet")
    assert lake.files("numbers") == []
    queue.finish(runtime.ledger, item, Outcome(lake_files=[made]))
    assert lake.files("numbers") == [lake.root / made.path]


def test_a_run_sees_what_was_there_at_its_start_and_what_it_made(runtime: Runtime, lake: Lake) -> None:
    _, old = begin(runtime)
    first = part(lake, old, [1])
    queue.finish(runtime.ledger, old, Outcome(lake_files=[first]))
    mine, my_item = begin(runtime)
    _, other_item = begin(runtime)
    theirs = part(lake, other_item, [2])
    (first_id,) = [entry.id for entry in lake.entries("numbers")]
    queue.finish(runtime.ledger, other_item, Outcome(lake_files=[theirs], retire_files=[first_id]))
    own = part(lake, my_item, [3])
    queue.finish(runtime.ledger, my_item, Outcome(lake_files=[own]))
    assert names(lake, mine) == [Path(first.path).name, Path(own.path).name]  # retired by another later: still there for me
    assert names(lake) == [Path(theirs.path).name, Path(own.path).name]
    upkeep.sweep_orphans(runtime.ledger, lake)
    assert upkeep.delete_retired(runtime.ledger, lake) == 0  # I can see it
    assert (lake.root / first.path).exists()
    with runtime.ledger.transaction() as tx:
        tx.execute(runs.run.update().values(state="done"))
    assert upkeep.delete_retired(runtime.ledger, lake) == 1
    assert not (lake.root / first.path).exists()


def test_what_a_run_retires_it_no_longer_sees(runtime: Runtime, lake: Lake) -> None:
    run, plan = begin(runtime)
    one = part(lake, plan, [1])
    queue.finish(runtime.ledger, plan, Outcome(lake_files=[one], successors=[NewItem("next")]))
    following = queue.claim_next(runtime.ledger, queue.Terms(), run.id)
    assert following is not None
    (entry,) = lake.entries("numbers", run)
    queue.finish(runtime.ledger, following, Outcome(retire_files=[entry.id]))
    assert names(lake, run) == []


def test_orphans_are_swept_but_not_what_a_live_item_is_writing(runtime: Runtime, lake: Lake) -> None:
    _, item = begin(runtime)
    temporary = lake.part_writer("numbers", item)
    temporary.write_bytes(b"half")
    for left in ("0000000999-001-0000.parquet", ".0000000999-002-0001.parquet.tmp", "0000000999-001-0000_c12.parquet"):
        (lake.root / "numbers" / left).write_bytes(b"left by a crash")
    (lake.root / "numbers" / "somebody-elses.parquet").write_bytes(b"not ours")
    assert upkeep.sweep_orphans(runtime.ledger, lake) == 3
    assert (lake.root / "numbers" / "somebody-elses.parquet").exists()
    assert temporary.exists()
    queue.release(runtime.ledger, item)
    assert upkeep.sweep_orphans(runtime.ledger, lake) == 1


def test_folders_past_their_keeping_go_and_strangers_stay(runtime: Runtime, lake: Lake, settings: Settings) -> None:
    run, item = begin(runtime)
    queue.release(runtime.ledger, item)
    root = settings.runs_folder.absolute()
    old = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    for name in (run.id, "20250101-000000-abcdef", "holiday-pictures"):
        (root / name).mkdir(parents=True)
        os.utime(root / name, (old, old))
    assert upkeep.sweep(settings, runtime.ledger, lake)["run_folders"] == 1
    assert sorted(path.name for path in root.glob("*")) == sorted([run.id, "holiday-pictures"])  # the run is live


def test_a_relation_has_every_column_whatever_the_parts_have(runtime: Runtime, lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    columns = {"number": "BIGINT", "added_later": "VARCHAR"}
    assert con.execute(f"SELECT number, added_later FROM {lake.relation([], columns)}").fetchall() == []
    _, item = begin(runtime)
    files = [lake.root / part(lake, item, [1]).path, lake.root / part(lake, item, [2], added_later=["x"]).path]
    assert con.execute(f"SELECT number, added_later FROM {lake.relation(files[:1], columns)}").fetchall() == [(1, None)]
    found = con.execute(f"SELECT number, added_later, filename FROM {lake.relation(files, columns, filename=True)} ORDER BY 1").fetchall()
    assert found == [(1, None, str(files[0])), (2, "x", str(files[1]))]


def test_a_query_without_rows_leaves_no_part(runtime: Runtime, lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    _, item = begin(runtime)
    assert lake.write(con, "SELECT 1 AS number WHERE false", "numbers", item) is None
    assert skeleton.lake_names(lake.root) == []
    made = lake.write(con, "SELECT range AS number FROM range(3)", "numbers", item)
    assert made is not None
    assert made.rows == 3


def test_compaction_keeps_every_row_and_the_newest_of_versions_that_tie(runtime: Runtime, lake: Lake, settings: Settings) -> None:
    at = datetime(2026, 12, 1, tzinfo=UTC)
    _, item = begin(runtime)
    version = {"connection": ["c"], "id": ["r1"], "modified_at": [at], "read_at": [at]}
    crm = [part(lake, item, [n], "crm_account", **version) for n in range(upkeep.SMALL_PARTS)]
    plain = [part(lake, item, [n]) for n in range(upkeep.SMALL_PARTS - 1)]
    queue.finish(runtime.ledger, item, Outcome(lake_files=[*crm, *plain]))
    assert upkeep.compact(settings, runtime.ledger, lake) == upkeep.SMALL_PARTS  # the other table has too few parts
    (joined,) = lake.files("crm_account")
    assert pq.read_table(joined)["number"].to_pylist() == [upkeep.SMALL_PARTS - 1]
    assert joined.name > Path(crm[-1].path).name  # it stands where its newest part stood
    assert len(lake.files("numbers")) == upkeep.SMALL_PARTS - 1
    assert upkeep.compact(settings, runtime.ledger, lake) == 0


def test_a_run_that_started_before_a_compaction_reads_on_undisturbed(runtime: Runtime, lake: Lake, settings: Settings) -> None:
    _, item = begin(runtime)
    parts = [part(lake, item, [n]) for n in range(upkeep.SMALL_PARTS)]
    queue.finish(runtime.ledger, item, Outcome(lake_files=parts))
    reader, _ = begin(runtime)
    assert upkeep.compact(settings, runtime.ledger, lake, "numbers") == upkeep.SMALL_PARTS
    upkeep.delete_retired(runtime.ledger, lake)
    assert len(lake.files("numbers", reader)) == upkeep.SMALL_PARTS
    assert all(path.exists() for path in lake.files("numbers", reader))
    assert len(lake.files("numbers")) == 1


def test_a_swap_gives_way_to_whoever_retired_a_part_first(runtime: Runtime, lake: Lake) -> None:
    _, item = begin(runtime)
    queue.finish(runtime.ledger, item, Outcome(lake_files=[part(lake, item, [1]), part(lake, item, [2])]))
    ids = [entry.id for entry in lake.entries("numbers")]
    with runtime.ledger.transaction() as tx:
        manifest.register(tx, runtime.ledger, [], ids[:1], None)
    with runtime.ledger.transaction() as tx:
        assert not manifest.swap(tx, runtime.ledger, LakeFile("numbers", "numbers/x.parquet", 2, 1), ids)
    assert [entry.id for entry in lake.entries("numbers")] == ids[1:]


def test_schemas_of_crm_tables_carry_our_own_fields() -> None:
    found = schema("crm_account", ["health_score"])
    assert (found["id"], found["own_health_score"], found["connection"]) == ("VARCHAR", "VARCHAR", "VARCHAR")
    assert schema("writes") == SCHEMAS["writes"]


# --- the engine ----------------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT content FROM read_text('{outside}')",
        "COPY (SELECT 1) TO '{outside}.csv'",
        "ATTACH '{outside}.db' AS other",
        "SET enable_external_access = true",
        "SET memory_limit = '90GB'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
    ],
)
def test_the_engine_reaches_nothing_outside_its_folders(con: duckdb.DuckDBPyConnection, tmp_path: Path, sql: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    with pytest.raises(duckdb.Error):
        con.execute(sql.format(outside=outside))


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_the_engine_works_within_its_limits_and_in_utc(con: duckdb.DuckDBPyConnection, lake: Lake, settings: Settings) -> None:
    row = con.execute("SELECT current_setting('threads'), current_setting('TimeZone'), current_setting('memory_limit')").fetchone()
    assert row == (2, "UTC", "732.4 MiB")  # 768 MB in the engine's own unit
    lake.root.mkdir(parents=True, exist_ok=True)
    target = lake.root / "x.parquet"
    con.execute(f"COPY (SELECT 42 AS n) TO '{target}' (FORMAT parquet)")
    assert con.execute(f"SELECT n FROM read_parquet('{target}')").fetchone() == (42,)
    assert settings.memory_limit == "768MB"
