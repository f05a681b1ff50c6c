"""Association types HubSpot defines, by direction (reference: section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from connectors.hubspot.sandbox.types import STANDARD, ObjectType

if TYPE_CHECKING:
    from connectors.hubspot.sandbox.state import State

HUBSPOT, USER = "HUBSPOT_DEFINED", "USER_DEFINED"
# from, to, from→to, to→from; primary pairs carry the label "Primary" in both directions
_PRIMARY = [("contacts", "companies", 1, 2), ("deals", "companies", 5, 6), ("tickets", "companies", 26, 25)]
_PLAIN = [
    ("contacts", "companies", 279, 280), ("deals", "companies", 341, 342), ("tickets", "companies", 339, 340), ("deals", "contacts", 3, 4),
    ("contacts", "tickets", 15, 16), ("deals", "tickets", 27, 28), ("deals", "line_items", 19, 20), ("quotes", "line_items", 67, 68),
    ("deals", "quotes", 63, 64), ("contacts", "feedback_submissions", 97, 98), ("tickets", "feedback_submissions", 99, 100),
    ("leads", "contacts", 578, 579), ("leads", "deals", 582, 583), ("leads", "companies", 610, 611), ("companies", "companies", 14, 13),
    # The sheet gives these no numbers; they stand for what an account answers under …/labels.
    ("subscriptions", "companies", 9001, 9002), ("subscriptions", "contacts", 9003, 9004), ("subscriptions", "deals", 9005, 9006),
    ("subscriptions", "line_items", 9007, 9008), ("contracts", "companies", 9011, 9012), ("contracts", "deals", 9013, 9014),
    ("services", "companies", 9021, 9022), ("line_items", "companies", 9031, 9032),
]  # fmt: skip
_ENGAGEMENTS = {
    "calls": (181, 193, 205, 219), "emails": (185, 197, 209, 223), "meetings": (187, 199, 211, 225), "notes": (189, 201, 213, 227),
    "tasks": (191, 203, 215, 229), "communications": (87, 81, 85, 83),
}  # fmt: skip
_OWNERS = ("companies", "contacts", "deals", "tickets")


@dataclass(frozen=True, slots=True)
class AssociationType:
    """One type in one direction. `inverse` is the number of the other direction."""

    from_type: str
    to_type: str
    category: str
    type_id: int
    inverse: int
    label: str | None
    name: str

    @property
    def primary(self) -> bool:
        """Whether it marks the one main company."""
        return self.label == "Primary"


@lru_cache(maxsize=1)
def _standard() -> dict[tuple[str, str], list[AssociationType]]:
    kinds = {kind.plural: kind for kind in STANDARD}
    found: dict[tuple[str, str], list[AssociationType]] = {}

    def add(first: str, second: str, there: int, back: int, label: str | None, unlabeled: bool) -> None:
        one, two = kinds[first], kinds[second]
        for source, target, number, inverse in ((one, two, there, back), (two, one, back, there)):
            name = f"{source.singular}_to_{target.singular}" + ("_unlabeled" if unlabeled else "")
            found.setdefault((source.id, target.id), []).append(AssociationType(source.id, target.id, HUBSPOT, number, inverse, label, name))

    doubled = {(first, second) for first, second, _, _ in _PRIMARY}
    for first, second, there, back in _PRIMARY:
        add(first, second, there, back, "Primary", False)
    for first, second, there, back in _PLAIN:
        add(first, second, there, back, None, (first, second) in doubled)
    for name, numbers in _ENGAGEMENTS.items():
        for owner, number in zip(_OWNERS, numbers, strict=True):
            add(owner, name, number, number + 1, None, False)
    return found


def between(state: State, source: ObjectType, target: ObjectType) -> list[AssociationType]:
    """Every type from one object type to another, the account's own labels included."""
    found = list(_standard().get((source.id, target.id), []))
    rows = state.read("SELECT category, type_id, name, label FROM label WHERE from_type = ? AND to_type = ?", (source.id, target.id))
    for category, type_id, name, label in rows:
        inverse = type_id + 1 if type_id % 2 else type_id - 1
        found.append(AssociationType(source.id, target.id, category, type_id, inverse, label, name))
    return found


def default(state: State, source: ObjectType, target: ObjectType) -> AssociationType | None:
    """The unlabeled type of a pair."""
    return next((item for item in between(state, source, target) if item.label is None), None)


def origin(state: State, category: str, type_id: int) -> str | None:
    """The object type a type number starts from, for error texts."""
    for (source, _), items in _standard().items():
        if any(item.category == category and item.type_id == type_id for item in items):
            return source
    row = state.db.one("SELECT from_type FROM label WHERE category = ? AND type_id = ?", (category, type_id))
    return str(row[0]) if row else None


def add_pair(state: State, source: ObjectType, target: ObjectType, name: str, label: str | None, inverse_label: str | None = None) -> int:
    """A type of the account's own with its inverse; odd numbers lead one way, the next even ones back."""
    with state.transaction():
        row = state.db.one("SELECT coalesce(max(type_id), 0) FROM label")
        number = (int(row[0]) if row else 0) // 2 * 2 + 1
        state.db.write("INSERT INTO label VALUES (?, ?, ?, ?, ?, ?)", (source.id, target.id, USER, number, name, label))
        back = inverse_label if inverse_label is not None else label
        state.db.write("INSERT INTO label VALUES (?, ?, ?, ?, ?, ?)", (target.id, source.id, USER, number + 1, name, back))
    return number
