"""Texts with slots."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.columns import ACCOUNTS
from mappings.texts import SLOTS, Slot, TextFault, format_of, parse, slot_fault, widths


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("no slot", ("no slot",)),
        ("{seats}", (Slot("seats"),)),
        ("{a} of {b:int}", (Slot("a"), " of ", Slot("b", "int"))),
        ("利用率{value:percent}です", ("利用率", Slot("value", "percent"), "です")),
        ("{a}{b}", (Slot("a"), Slot("b"))),
    ],
)
def test_a_text_is_split_into_words_and_slots(text: str, parts: tuple[object, ...]) -> None:
    assert parse(text) == parts


@pytest.mark.parametrize("text", ["{", "}", "{}", "{a b}", "{A}", "{a:b:c}", "{{a}}", "a } b", "{a", "{1a}", "{a.b}"])
def test_a_broken_slot_is_refused(text: str) -> None:
    with pytest.raises(TextFault, match="no slot"):
        parse(text)


@given(
    st.lists(
        st.one_of(
            st.text(st.characters(exclude_characters="{}"), min_size=1),
            st.builds(Slot, st.sampled_from(["seats", "value"]), st.sampled_from(["", "int"])),
        )
    )
)
def test_parsing_gives_back_what_was_written(parts: list[str | Slot]) -> None:
    written = "".join(p if isinstance(p, str) else "{" + p.column + (f":{p.format}" if p.format else "") + "}" for p in parts)
    again = "".join(p if isinstance(p, str) else "{" + p.column + (f":{p.format}" if p.format else "") + "}" for p in parse(written))
    assert again == written


@pytest.mark.parametrize(
    ("column", "format_"),
    [("seats", "int"), ("seat_use", "dec1"), ("mrr", "money"), ("notice_on", "date"), ("segment", "text"), ("as_of", "date")],
)
def test_a_slot_without_format_takes_that_of_its_type(column: str, format_: str) -> None:
    assert format_of(Slot(column), ACCOUNTS[column]) == format_


@pytest.mark.parametrize(
    ("slot", "words"),
    [
        (Slot("seats", "date"), "does not fit"),
        (Slot("notice_on", "int"), "does not fit"),
        (Slot("seats", "euro"), "unknown format"),
        (Slot("auto_renew"), "yes/no"),
    ],
)
def test_a_slot_that_cannot_be_shown(slot: Slot, words: str) -> None:
    assert words in (slot_fault(slot, ACCOUNTS) or "")


@pytest.mark.parametrize(
    "slot", [Slot("seats", "int"), Slot("seat_use", "percent"), Slot("mrr", "money"), Slot("month_label", "month"), Slot("segment")]
)
def test_a_slot_that_can_be_shown(slot: Slot) -> None:
    assert slot_fault(slot, ACCOUNTS) is None


def test_widths_are_words_and_the_most_that_slots_can_add() -> None:
    # " seats since " has 13 characters; a whole number takes up to 16, a date up to 11
    assert widths(parse("{seats} seats since {notice_on}"), ACCOUNTS) == (13, 13 + 16 + 11)


def test_every_context_knows_the_account_columns() -> None:
    for context, columns in SLOTS.items():
        assert set(ACCOUNTS) <= set(columns) or context == "deal" or (context, columns) == ("plain", {})  # a deal's account may be no customer
