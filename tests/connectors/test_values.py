"""Canonical text: worked cases, and the Python and SQL twins held equal."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import duckdb
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from connectors.base import FieldInfo
from connectors.values import NUMBERS, canonical, canonical_sql, coerce, coerced_sql, id_18, invalid_sql
from mappings.models import FieldType, WriteField


def field(type_: FieldType, **limits: object) -> WriteField:
    return WriteField.model_validate(
        {
            "key": "f",
            "object": "account",
            "set": "core",
            "owner": "worker",
            "names": {"salesforce": "F__c"},
            "type": type_,
            "label": {"en": "F", "ja": "F"},
            "meaning": {"en": "a field of a test", "ja": "試験用の項目"},
            **limits,
        }
    )


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute("SET TimeZone = 'Asia/Tokyo'")  # the twins must not depend on the session's zone
    return con


JST = timezone(timedelta(hours=9))
CASES = [
    (FieldType.NUMBER, {"scale": 0}, 58.0, "58"),
    (FieldType.NUMBER, {"scale": 0}, "58.500", "58"),  # half to even: 58
    (FieldType.NUMBER, {"scale": 0}, "59.5", "60"),  # half to even: 60
    (FieldType.NUMBER, {"scale": 2}, "0.50", "0.5"),
    (FieldType.NUMBER, {"scale": 2}, 2.675, "2.68"),  # the decimal that is meant, not the binary 2.67499…
    (FieldType.NUMBER, {"scale": 0}, "-0.4", "0"),  # no negative zero
    (FieldType.NUMBER, {}, "1e3", "1000"),
    (FieldType.NUMBER, {"scale": 0}, Decimal("-12.0"), "-12"),
    (FieldType.NUMBER, {"scale": 0}, None, None),
    (FieldType.NUMBER, {"scale": 0}, "n/a", "n/a"),  # stays visible; coerce calls it invalid
    (FieldType.CHECKBOX, {}, None, "false"),
    (FieldType.CHECKBOX, {}, True, "true"),
    (FieldType.CHECKBOX, {}, "TRUE", "true"),
    (FieldType.CHECKBOX, {}, "0", "false"),
    (FieldType.DATE, {}, date(2026, 2, 28), "2026-02-28"),
    (FieldType.DATE, {}, "2026-02-28T00:00:00.000Z", "2026-02-28"),
    (FieldType.DATETIME, {}, datetime(2026, 2, 28, 12, 4, 5, 999000, JST), "2026-02-28T03:04:05Z"),
    (FieldType.DATETIME, {}, "2026-02-28T03:04:05.000+0000", "2026-02-28T03:04:05Z"),
    (FieldType.DATETIME, {}, "2026-02-28T03:04:05.000Z", "2026-02-28T03:04:05Z"),
    (FieldType.DATETIME, {}, "2026-02-28 12:04:05+09", "2026-02-28T03:04:05Z"),
    (FieldType.DATETIME, {}, "2026-02-28T03:04:05", "2026-02-28T03:04:05Z"),
    (FieldType.TEXT, {"length": 10}, "要確認  \r\n", "要確認"),
    (FieldType.TEXT, {"length": 10}, "a\r\nb", "a\nb"),
    (FieldType.TEXT, {"length": 10}, "  ", None),
    (FieldType.TEXT, {"length": 10}, "", None),
    (FieldType.PICKLIST, {}, "Open", "Open"),
    (FieldType.MULTI_PICKLIST, {}, "b; a;;b ", "a;b"),  # each once, in one order, whatever the CRM's is
    (FieldType.MULTI_PICKLIST, {}, " ; ", None),
    (FieldType.LOOKUP, {}, "001D000000IRFma", "001D000000IRFmaIAH"),
    (FieldType.LOOKUP, {}, "001RM000003oCpr", "001RM000003oCprYAE"),
]


@pytest.mark.parametrize(("type_", "limits", "raw", "expected"), CASES)
def test_canonical_text(con: duckdb.DuckDBPyConnection, type_: FieldType, limits: dict[str, int], raw: object, expected: str | None) -> None:
    f = field(type_, **limits)
    assert canonical(raw, f) == expected
    assert con.execute(f"SELECT {canonical_sql('x', f)} FROM (SELECT $1 AS x)", [raw]).fetchone() == (expected,)


def test_a_naive_datetime_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        canonical(datetime(2026, 1, 1), field(FieldType.DATETIME))


def test_ids_of_other_lengths_stay() -> None:
    assert id_18("42") == "42"
    assert id_18("001D000000IRFmaIAH") == "001D000000IRFmaIAH"


LIMITS = [
    (FieldType.TEXT, {"length": 5}, "123456", "1234…", None),  # 4 characters and the mark
    (FieldType.TEXT, {"length": 5}, "12345", "12345", None),
    (FieldType.NUMBER, {"precision": 3, "scale": 0}, "999", "999", None),
    (FieldType.NUMBER, {"precision": 3, "scale": 0}, "1000", "1000", "more than 3 digits before the point"),
    (FieldType.NUMBER, {"precision": 5, "scale": 2}, "-1000", "-1000", "more than 3 digits before the point"),
    (FieldType.NUMBER, {"precision": 5, "scale": 2}, "n/a", "n/a", "not a number"),
    (FieldType.PICKLIST, {"values": [{"value": "Up", "en": "Up", "ja": "上昇"}]}, "Up", "Up", None),
    (
        FieldType.PICKLIST,
        {"values": [{"value": "Up", "en": "Up", "ja": "上昇"}]},
        "Down",
        "Down",
        "not among the values declared in writeback.yml",
    ),
    (FieldType.DATE, {}, "2026-02-30", "2026-02-30", "not a date"),
    (FieldType.DATETIME, {}, "soon", "soon", "not an instant"),
    (FieldType.CHECKBOX, {}, "maybe", "maybe", "not true or false"),
    (FieldType.NUMBER, {"precision": 3, "scale": 0}, None, None, None),
]


@pytest.mark.parametrize(("type_", "limits", "text", "value", "invalid"), LIMITS)
def test_limits_cut_or_call_invalid(
    con: duckdb.DuckDBPyConnection, type_: FieldType, limits: dict[str, object], text: str | None, value: str | None, invalid: str | None
) -> None:
    f = field(type_, **limits)
    got = coerce(text, f)
    assert (got.value, got.invalid) == (value, invalid)
    row = con.execute(f"SELECT {coerced_sql('x', f)}, {invalid_sql('x', f)} FROM (SELECT CAST($1 AS VARCHAR) AS x)", [text]).fetchone()
    assert row == (value, invalid)


def test_the_tighter_limit_of_mapping_and_crm_wins() -> None:
    info = FieldInfo("F__c", "text", length=3)
    assert coerce("abcdef", field(FieldType.TEXT, length=5), info).value == "ab…"
    number = FieldInfo("F__c", "number", precision=2, scale=0)
    assert coerce("12.5", field(FieldType.NUMBER, precision=5, scale=1), number).value == "12"  # half to even
    assert coerce("123", field(FieldType.NUMBER, precision=5, scale=1), number).invalid == "more than 2 digits before the point"


def test_a_restricted_picklist_holds_only_its_active_values() -> None:
    f = field(FieldType.PICKLIST)
    assert coerce("Old", f, FieldInfo("F__c", "picklist", picklist=("New",), restricted=True)).invalid is not None
    assert coerce("Old", f, FieldInfo("F__c", "picklist", picklist=("New",), restricted=False)).invalid is None


_texts = st.text(st.sampled_from(" ;\t\r\n09aZ.-+eE:Té要😀\u3000'\"{}\\"), max_size=12)
_instants = st.builds(
    lambda at, fraction, zone: at.strftime("%Y-%m-%dT%H:%M:%S") + fraction + zone,
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
    st.sampled_from(["", ".000", ".9", ".999999"]),
    st.sampled_from(["", "Z", "+0000", "+09:00", "-0330", "+09"]),
)
_numbers = st.one_of(st.floats(allow_nan=False), st.integers(-(10**15), 10**15), st.decimals(-(10**15), 10**15, places=9), st.floats(-100, 100))
_raws = st.one_of(st.none(), st.booleans(), _numbers, _texts, _instants, st.dates(), _numbers.map(str), st.text("0123456789.e-+", max_size=24))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(raw=_raws, type_=st.sampled_from(list(FieldType)), scale=st.sampled_from([None, 0, 1, 2, 6]), length=st.integers(1, 8))
def test_the_twins_agree(raw: object, type_: FieldType, scale: int | None, length: int) -> None:
    f = field(type_, scale=scale, precision=8, length=length)
    assume(type_ in NUMBERS or not isinstance(raw, Decimal))  # DuckDB spells a DECIMAL(n, n) `.1`; decimals go to number fields only
    con = _shared()
    text = canonical(raw, f)
    assert con.execute(f"SELECT {canonical_sql('x', f)} FROM (SELECT $1 AS x)", [raw]).fetchone() == (text,)
    got = coerce(text, f)
    row = con.execute(f"SELECT {coerced_sql('x', f)}, {invalid_sql('x', f)} FROM (SELECT CAST($1 AS VARCHAR) AS x)", [text]).fetchone()
    assert row == (got.value, got.invalid)
    assert canonical(text, f) == text  # once is enough


_CON: list[duckdb.DuckDBPyConnection] = []


def _shared() -> duckdb.DuckDBPyConnection:
    """One connection for all examples: opening one costs more than the check."""
    if not _CON:
        _CON.append(duckdb.connect())
        _CON[0].execute("SET TimeZone = 'America/New_York'")
    return _CON[0]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(number=st.one_of(st.floats(allow_nan=False), st.integers(-(10**6), 10**6).map(lambda n: n / 2), st.none()))
def test_a_column_of_numbers_reads_as_its_text(number: float | None) -> None:
    f = field(FieldType.PERCENT, scale=0, precision=5)
    row = _shared().execute(f"SELECT {canonical_sql('x', f, 'DOUBLE')}, {canonical_sql('x', f)} FROM (SELECT CAST($1 AS DOUBLE) AS x)", [number])
    assert row.fetchone() == (canonical(number, f),) * 2


TYPED = [
    ("BIGINT", FieldType.NUMBER, {"scale": 2}, -40, "-40"),
    ("BIGINT", FieldType.NUMBER, {}, None, None),
    ("BOOLEAN", FieldType.CHECKBOX, {}, None, "false"),
    ("BOOLEAN", FieldType.CHECKBOX, {}, True, "true"),
    ("DATE", FieldType.DATE, {}, date(2026, 2, 28), "2026-02-28"),
    ("TIMESTAMP WITH TIME ZONE", FieldType.DATETIME, {}, datetime(2026, 2, 28, 9, 0, 1, 5, JST), "2026-02-28T00:00:01Z"),
    ("VARCHAR", FieldType.TEXT, {}, "a\r\nb \t\n", "a\nb"),
]


@pytest.mark.parametrize(("kind", "type_", "limits", "raw", "expected"), TYPED)
def test_a_typed_column_is_spelled_at_once(kind: str, type_: FieldType, limits: dict[str, int], raw: object, expected: str | None) -> None:
    f = field(type_, **limits)
    assert _shared().execute(f"SELECT {canonical_sql('x', f, kind)} FROM (SELECT CAST($1 AS {kind}) AS x)", [raw]).fetchone() == (expected,)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(at=st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_an_instant_column_reads_as_utc(at: datetime) -> None:
    f = field(FieldType.DATETIME)
    row = _shared().execute(f"SELECT {canonical_sql('x', f)} FROM (SELECT CAST($1 AS TIMESTAMPTZ) AS x)", [at]).fetchone()
    assert row == (canonical(at, f),)
