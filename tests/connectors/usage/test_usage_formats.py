"""A source may hold files of several formats; each is read by its suffix."""

from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.usage.files import discover, ingest
from mappings.models import UsageColumns, UsageSource


def test_one_source_reads_csv_and_parquet(tmp_path: Path) -> None:
    (tmp_path / "events_1.csv").write_text("t,d,n\nacme,2026-11-01,2\n")
    pq.write_table(pa.table({"t": ["acme"], "d": ["2026-11-02"], "n": ["3"]}), tmp_path / "events_2.parquet")
    columns = UsageColumns(tenant_key="t", day="d", events="n")
    source = UsageSource(name="events", kind="events", glob="events_*", format="auto", columns=columns)
    total = 0
    for file in discover(source, tmp_path, 0):
        result = ingest(duckdb.connect(), source, file, b"k", tmp_path / "out", None, date(2026, 11, 30))
        assert (result.rows_in, result.rows_done) == (1, 1)
        total += sum(pq.read_table(result.parts["usage_tenant_day"])["events"].to_pylist())
    assert total == 5
