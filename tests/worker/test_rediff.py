"""The last look before a write, as a table; and how records are put into batches."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.base import FieldInfo
from mappings.models import WriteField
from tests.connectors.orgs import make_field
from worker.steps._rediff import Past, Wanted, Wish, decide, slices

NUMBER = make_field("value", precision=3, scale=0)
BOX = make_field("value", "checkbox")
FREE = make_field("value", precision=3, scale=0, on_edit="overwrite")
INFO = FieldInfo("F__c", "number", precision=3, scale=0, updateable=True)
ACK_50 = Past(acknowledged=("50",))

# field, live value, our wish, mode, what we wrote before, released value -> where the wish ends
CASES = [
    (NUMBER, None, "60", "always", Past(), {}, "send"),  # empty and never ours
    (NUMBER, "50", "60", "always", ACK_50, {}, "send"),  # still what we wrote
    (NUMBER, "60", "60", "always", ACK_50, {}, "settled"),
    (NUMBER, "99", "60", "always", ACK_50, {}, "held"),  # a person changed it
    (NUMBER, None, "60", "always", ACK_50, {}, "held"),  # a person emptied it
    (NUMBER, "42", "60", "always", Past(), {}, "held"),  # there before us
    (NUMBER, "55", "60", "always", Past(("50",), frozenset({"55"})), {}, "send"),  # an intent whose answer was lost
    (NUMBER, None, "60", "always", Past((), frozenset({"55"})), {}, "send"),  # … that never arrived
    (NUMBER, "99", "60", "always", ACK_50, {"f": "99"}, "send"),  # an admin let it go
    (NUMBER, "98", "60", "always", ACK_50, {"f": "99"}, "held"),  # and the person changed it again
    (FREE, "99", "60", "always", ACK_50, {}, "send"),  # on_edit: overwrite
    (NUMBER, "50", None, "always", ACK_50, {}, "send"),  # clearing
    (NUMBER, "7", "60", "if_empty", Past(), {}, "settled"),
    (NUMBER, None, "60", "if_empty", Past(), {}, "send"),
    (NUMBER, "50", "1000", "always", ACK_50, {}, "invalid"),  # four digits
    (BOX, "false", "true", "always", Past(), {}, "send"),  # a checkbox is never empty
    (BOX, "true", "false", "always", Past(), {}, "held"),
]


@pytest.mark.parametrize(("field", "live", "wish", "mode", "past", "released", "ends"), CASES)
def test_where_a_wish_ends(
    field: WriteField, live: str | None, wish: str | None, mode: str, past: Past, released: dict[str, str | None], ends: str
) -> None:
    info = INFO if field is not BOX else FieldInfo("F__c", "checkbox", updateable=True)
    wanted = Wanted("account", "001", None, "001", (Wish("f", wish, mode),))
    decision = decide(wanted, {"f": live}, {"f": past}, released, {"f": field}, {"f": info})
    found = [name for name in ("send", "settled", "held", "invalid", "blocked") if getattr(decision, name)]
    assert found == [ends]


def test_a_new_record_takes_every_value_but_the_empty_ones() -> None:
    wanted = Wanted("csql", None, "k", "001", (Wish("a", "1", "always"), Wish("b", None, "always"), Wish("c", "2", "ride_along")))
    decision = decide(wanted, None, {}, {}, dict.fromkeys("abc", NUMBER), dict.fromkeys("abc", INFO))
    assert decision.send == {"a": "1", "c": "2"}


def test_riders_stay_when_nothing_else_goes() -> None:
    wanted = Wanted("account", "001", None, "001", (Wish("a", "1", "always"), Wish("b", "2", "ride_along")))
    live = {"a": "1", "b": None}
    assert decide(wanted, live, {}, {}, dict.fromkeys("ab", NUMBER), dict.fromkeys("ab", INFO)).send == {}
    aged = Wanted("account", "001", None, "001", (Wish("b", "2", "ride_along", aged=True),))
    assert decide(aged, live, {}, {}, dict.fromkeys("ab", NUMBER), dict.fromkeys("ab", INFO)).send == {"b": "2"}


def test_a_field_the_crm_does_not_let_us_write_is_blocked() -> None:
    wanted = Wanted("account", "001", None, "001", (Wish("a", "1", "always"),))
    assert decide(wanted, {"a": None}, {}, {}, {"a": NUMBER}, {}).blocked == ["a"]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 12), max_size=60), st.integers(1, 7))
def test_slices_lose_nobody_and_keep_families_together(parents: list[int], most: int) -> None:
    wanted = [Wanted("csql", f"r{n}", None, f"a{parent:02d}", ()) for n, parent in enumerate(parents)]
    parts = slices(wanted, most)
    assert sorted(w.key for part in parts for w in part) == sorted(w.key for w in wanted)
    assert all(0 < len(part) <= most for part in parts)
    for parent in set(parents):
        homes = [i for i, part in enumerate(parts) for w in part if w.account_id == f"a{parent:02d}"]
        if parents.count(parent) <= most:
            assert len(set(homes)) == 1
