"""Raw text to typed columns: each kind of column, each type, and rows set aside. Expected values are worked by hand."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from connectors.entities import Entity
from mappings.models import Source
from tests.connectors.orgs import OPEN, SCORE
from worker.steps._sources import Place
from worker.steps._staging import cast_sql, staging_sql

STAMP = "2026-10-01T00:00:00.000Z"


def stage(entity: Entity, columns: dict[str, Any], rows: list[dict[str, str | None]]) -> list[dict[str, Any]]:
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    names = sorted({name for row in rows for name in row})
    declared = ", ".join(f'"{name}" VARCHAR' for name in ["_id", "_modified_at", "_deleted", "_master_id", *names])
    con.execute(f"CREATE TABLE raw ({declared})")
    marks = ", ".join("?" * (4 + len(names)))
    for n, row in enumerate(rows):
        con.execute(f"INSERT INTO raw VALUES ({marks})", [f"r{n}", STAMP, "false", None, *(row.get(name) for name in names)])
    source = Source.model_validate({"object": "X", "columns": columns})
    own = [(SCORE, "S"), (OPEN, None)] if "S" in names else []
    staging = staging_sql(Place("crm", entity, 0, source), "raw", own, STAMP, "Asia/Tokyo")
    result = con.execute(f"SELECT * FROM ({staging.rows}) ORDER BY id")
    titles = [c[0] for c in result.description]
    return [dict(zip(titles, row, strict=True)) for row in result.fetchall()]


def values(column: str, spec: Any, raw: list[dict[str, str | None]], entity: Entity = Entity.CONTRACT) -> list[tuple[Any, str | None]]:
    """The column's value and, where the row is set aside, the column at fault."""
    return [(row[column], row["bad_column"]) for row in stage(entity, {column: spec}, raw)]


def test_a_field_is_taken_as_it_is_or_translated() -> None:
    raw: list[dict[str, str | None]] = [{"F": "Draft"}, {"F": "Other"}, {"F": None}]
    assert values("status", "F", raw) == [("Draft", None), ("Other", None), (None, None)]
    table = {"field": "F", "values": {"Draft": "draft"}}
    assert values("status", table, raw) == [("draft", None), ("Other", None), (None, None)]
    assert values("status", {**table, "default": "active"}, raw) == [("draft", None), ("active", None), (None, None)]
    assert values("auto_renew", {"field": "F", "values": {"Draft": True}, "default": False}, raw) == [(True, None), (False, None), (None, None)]
    assert values("currency", {"const": "JPY"}, raw) == [("JPY", None)] * 3


def test_an_expression_sees_raw_text_and_its_failure_sets_the_row_aside() -> None:
    spec = {"sql": 'cast("Q" as decimal(18,4)) * cast("P" as decimal(18,4))', "fields": ["Q", "P"]}
    rows = stage(Entity.CONTRACT, {"mrr": spec}, [{"Q": "3", "P": "1200.5"}, {"Q": "three", "P": "1"}, {"Q": None, "P": "1"}])
    assert [row["mrr"] for row in rows] == [Decimal("3601.5000"), None, None]
    assert [row["bad_column"] for row in rows] == [None, "mrr", None]
    assert rows[1]["bad_value"] == "three | 1"
    assert rows[1]["bad_reason"].startswith("not an amount")


CASTS = [
    ("BIGINT", "250.0", 250),
    ("BIGINT", "12.5", None),
    ("BIGINT", "1E3", 1000),
    ("BIGINT", "many", None),
    ("DOUBLE", "0.25", 0.25),
    ("BOOLEAN", "true", True),
    ("BOOLEAN", "perhaps", None),
    ("DECIMAL(18,4)", "1200.5", Decimal("1200.5000")),
    ("DATE", "2026-02-28", date(2026, 2, 28)),
    ("DATE", "2026-02-30", None),
    ("DATE", "2026-02-28T16:00:00.000Z", date(2026, 3, 1)),  # 01:00 on the next day in Tokyo
    ("TIMESTAMPTZ", "2026-02-28T16:00:00.000Z", datetime(2026, 2, 28, 16, tzinfo=UTC)),
    ("TIMESTAMPTZ", "2026-02-28", datetime(2026, 2, 27, 15, tzinfo=UTC)),  # midnight in Tokyo
    ("TIMESTAMPTZ", "soon", None),
    ("VARCHAR", "x", "x"),
]


@pytest.mark.parametrize(("kind", "text", "expected"), CASTS)
def test_casts(kind: str, text: str, expected: object) -> None:
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    row = con.execute(f"SELECT {cast_sql('x', kind, 'Asia/Tokyo')} FROM (SELECT ? AS x)", [text]).fetchone()
    assert row is not None
    found = row[0].astimezone(UTC) if isinstance(row[0], datetime) else row[0]
    assert found == expected


def test_our_own_fields_come_as_canonical_text_and_unread_ones_as_null() -> None:
    (row,) = stage(Entity.ACCOUNT, {"name": "N"}, [{"N": "a", "S": "58.0"}])
    assert (row["own_score"], row["own_open"], row["connection"], row["source"]) == ("58", None, "crm", 0)
    assert row["industry"] is None  # not mapped = not known
