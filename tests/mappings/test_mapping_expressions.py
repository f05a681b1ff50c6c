"""Expressions: what a customer may write, and what no text can get through."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.expressions import MAX_LENGTH, ExpressionFault, Expressions, fits, nearest

COLUMNS = {
    "seats": "BIGINT",
    "seat_use": "DOUBLE",
    "mrr": "DECIMAL(18,4)",
    "segment": "VARCHAR",
    "as_of_on": "DATE",
    "notice_on": "DATE",
    "auto_renew": "BOOLEAN",
}
COLUMNS |= {"as_of": "TIMESTAMPTZ"}


@pytest.fixture(scope="module")
def expressions() -> Expressions:
    return Expressions()


@pytest.mark.parametrize(
    ("sql", "type_", "columns"),
    [
        ("seats", "BIGINT", {"seats"}),
        ("100.0 * seats / nullif(seats, 0)", "DOUBLE", {"seats"}),
        ("mrr / 12", "DOUBLE", {"mrr"}),
        ("case when auto_renew then 1 else 0 end", "INTEGER", {"auto_renew"}),
        ("coalesce(segment, 'none') in ('SMB', 'Mid')", "BOOLEAN", {"segment"}),
        ("segment not like 'S%' and segment is distinct from 'Mid'", "BOOLEAN", {"segment"}),
        ("date_diff('day', as_of_on, notice_on)", "BIGINT", {"as_of_on", "notice_on"}),
        ("notice_on - 30", "DATE", {"notice_on"}),
        ("cast(notice_on - interval 1 month as date)", "DATE", {"notice_on"}),
        ("notice_on between date '2026-01-01' and as_of_on", "BOOLEAN", {"notice_on", "as_of_on"}),
        ("extract(year from as_of_on)", "BIGINT", {"as_of_on"}),
        ("try_cast(segment as decimal(18,4))", "DECIMAL(18,4)", {"segment"}),
        ("greatest(5, cast(ceil(seats * 1.2) as bigint) - seats)", "BIGINT", {"seats"}),
        ('"seats" > 1', "BOOLEAN", {"seats"}),
        ("'it''s -- no comment'", "VARCHAR", set()),
        ("regexp_extract(segment, '^[A-Z]+') || '/' || lower(segment)", "VARCHAR", {"segment"}),
    ],
)
def test_a_scalar_is_taken_and_described(expressions: Expressions, sql: str, type_: str, columns: set[str]) -> None:
    found = expressions.check(sql, COLUMNS)
    assert (found.type, found.columns) == (type_, columns)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        # ways out of the brackets
        ("1) from read_text('/etc/hostname') --", "comment"),
        ("1), (2", "one expression"),
        ("1) from (select 1", "one expression"),
        ("1) union (select 2", "one expression"),
        ("1); drop table row_0; select (1", "have no place"),
        ("1) where (1 = 1", "one expression"),
        ("1) limit (1", "one expression"),
        ("1 /* x */", "comment"),
        ("E'a'", "escape strings"),
        ("E'\\'' || '--'", "comment"),
        ("$$x$$", "have no place"),
        ("'open", "quote is not closed"),
        ("", "is empty"),
        # reading elsewhere
        ("(select content from read_text('/etc/hostname'))", "subquery"),
        ("exists (from row_0)", "subquery"),
        ("seats > all (select 1)", "subquery"),
        ("read_blob('/etc/hostname')", "not allowed"),
        ("getenv('HOME')", "not allowed"),
        ("current_setting('threads')", "not allowed"),
        ("pg_catalog.version()", "not allowed"),
        ("nextval('s')", "not allowed"),
        ("query('select 1')", "not allowed"),
        # not one row's own business, or not the same twice
        ("sum(seats)", "not allowed"),
        ("count(*)", "not allowed"),
        ("max(seats) over ()", "window"),
        ("abs(seats) filter (where true)", "aggregate"),
        ("now()", "as_of"),
        ("current_date", "as_of_on"),
        ("today()", "as_of"),
        ("random()", "not allowed"),
        ("uuid()", "not allowed"),
        ("unnest([1, 2])", "not allowed"),
        ("list_transform([1], lambda x: x)", "not allowed"),
        ("repeat('x', 2000000000)", "not allowed"),
        ("range(1000000000)", "not allowed"),
        ("try(seats)", "not allowed"),
        ("*", "star"),
        ("columns('seats')", "star"),
        ("?", "parameter"),
        ("default", "not allowed"),
        ("segment collate nocase", "collation"),
        ("[1][1]", "not allowed"),
        ("{'a': 1}", "not allowed"),
        # columns and types
        ("seat", "`seats`"),
        ("Seats", "`seats`"),
        ("row_0.seats", "unknown column"),
        ("row_0", "unknown column"),
        ("cast(seats as row_0)", "cast to `row_0`"),
        ("cast(segment as blob)", "cast to `blob`"),
        ("cast(seats as bigint[])", "cast to `list`"),
        ("date '2026-02-30'", "does not fit"),
        ("segment - 1", "does not fit"),
        ("round(seats, 1, 2, 3)", "does not fit"),
        ("seats +", "is not SQL"),
        ("x" * (MAX_LENGTH + 1), "longer than"),
    ],
)
def test_anything_else_is_refused(expressions: Expressions, sql: str, words: str) -> None:
    with pytest.raises(ExpressionFault) as caught:
        expressions.check(sql, COLUMNS)
    assert words in f"{caught.value} {caught.value.remedy}"


def refusal(expressions: Expressions, sql: str, want: str = "any") -> str:
    """What is said against an expression; empty when it is taken."""
    try:
        expressions.check(sql, COLUMNS, want)
    except ExpressionFault as fault:
        return str(fault)
    return ""


@pytest.mark.parametrize(
    ("sql", "want", "fine"),
    [
        ("seats > 1", "boolean", True), ("seats", "boolean", False), ("null", "boolean", False),
        ("seats", "number", True), ("mrr", "number", True), ("seat_use", "number", True), ("auto_renew", "number", False),
        ("as_of_on - notice_on", "number", True),
        ("notice_on", "date", True), ("as_of", "date", False), ("notice_on - interval 1 day", "date", False), ("segment", "any", True),
    ],
)  # fmt: skip
def test_the_result_is_of_the_wanted_kind(expressions: Expressions, sql: str, want: str, fine: bool) -> None:
    assert refusal(expressions, sql, want).endswith("is needed") is not fine


def test_the_answer_is_the_same_the_second_time(expressions: Expressions) -> None:
    for sql in ("seats + 1", "seatz + 1"):
        assert refusal(expressions, sql) == refusal(Expressions(), sql)


@pytest.mark.parametrize(
    "sql", ["- " * 900 + "1", "(" * 900 + "1" + ")" * 900, "not " * 400 + "auto_renew", "case when true then " * 60 + "1" + " end" * 60]
)
def test_deep_nesting_ends_in_an_answer(expressions: Expressions, sql: str) -> None:
    assert refusal(expressions, sql) in ("", "is nested too deeply") or "is not SQL" in refusal(expressions, sql)


@pytest.mark.parametrize("type_", ["DOUBLE", "BIGINT", "HUGEINT", "DECIMAL(38,6)", "INTEGER", "TINYINT"])
def test_number_types(type_: str) -> None:
    assert fits(type_, "number")
    assert not fits(type_, "boolean")


def test_nearest_names_come_as_a_question() -> None:
    assert nearest("seat_usee", COLUMNS) == "did you mean `seat_use`, `seats`?"
    assert nearest("zzz", COLUMNS) == ""


# --- no text gets through ------------------------------------------------------------------------------------------------------------------------
SECRET = Path(__file__)  # a file that exists and holds MARK
MARK = "a sentence that stands in this file only"
WRITTEN = Path(tempfile.gettempdir()) / f"scoresync-expressions-{os.getpid()}.csv"
FILES = [
    f"read_text('{SECRET}')",
    f"read_csv('{SECRET}')",
    f"'{SECRET}'",
    "copy ",
    " to ",
    f"'{WRITTEN}'",
    f"attach '{WRITTEN}'",
    "(select content from ",
]
WORDS = [
    "seats",
    "segment",
    "(",
    ")",
    ",",
    " from ",
    "select ",
    "'",
    '"',
    "--",
    "/*",
    "*/",
    ";",
    " where ",
    "1",
    "+",
    "::",
    "*",
    "$1",
    "?",
    "\n",
    " union ",
]
WORDS += [
    "case when ",
    " end",
    "exists",
    "[",
    "]",
    "now()",
    "sum(seats)",
    " over ()",
    "lambda x: x",
    "#1",
    "E'",
    "$$",
    "{",
    "}",
    "nextval('s')",
    "pragma ",
    "@",
]
PIECES = st.sampled_from(FILES + WORDS)


@settings(max_examples=400, deadline=None)
@given(sql=st.one_of(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60), st.lists(PIECES, max_size=9).map("".join)))
def test_random_text_is_a_scalar_or_refused_and_touches_no_file(expressions: Expressions, sql: str) -> None:
    if refusal(expressions, sql) == "":
        assert expressions.check(sql, COLUMNS).columns <= set(COLUMNS)
        ((value,),) = expressions._con.execute(f"select ({sql}) from {expressions._table(COLUMNS)}").fetchall()  # one row, one value
        assert not isinstance(value, list | dict)
        assert MARK not in str(value)
    assert not WRITTEN.exists()


def test_the_private_database_reaches_no_file_even_past_the_allow_list(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("x", encoding="utf-8")
    expressions = Expressions()
    con = expressions._con
    for sql in (
        f"select * from read_text('{secret}')",
        f"copy (select 1) to '{tmp_path}/out.csv'",
        f"attach '{tmp_path}/x.db'",
        "set enable_external_access = true",
    ):
        with pytest.raises(Exception, match=r"(?i)disabled|locked|permission|cannot"):
            con.execute(sql).fetchall()
    expressions.close()
    assert [path.name for path in tmp_path.iterdir()] == ["secret.txt"]
