"""What the demo's generator hands on: records with references by key, usage lines, and the archetype behind each account."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, NamedTuple, TypeVar

from connectors.sandbox_kit.firm.calendar import Calendar, at

#: one record: neutral field names, `_key` = our own stable key within the object, values JSON scalars or Ref
Row = dict[str, Any]
T = TypeVar("T")

#: how a customer behaves, and its share of all customers; never written to the CRM, the data must show it
ARCHETYPES: dict[str, float] = {
    "steady": 0.20,
    "saturated": 0.09,  # >= 90 % of seats seen, for weeks: more seats wanted
    "sudden_stop": 0.04,  # nothing for the last 15 business days and more
    "never_started": 0.05,  # onboarding that did not begin
    "plan_limit": 0.07,  # lite plan, heavy use of what the pro plan holds
    "cross_sell": 0.09,  # one product, healthy in everything
    "onboarding": 0.09,  # contract younger than 90 days, set-up on track
    "growth": 0.13,
    "decline": 0.09,
    "churned": 0.06,
    "champion_left": 0.05,  # the champion went, nobody followed
    "escalation": 0.04,  # an escalated P1 case is open
}
NOT_CUSTOMERS = ("prospect", "partner")
SETUP_DAYS = 75  # the plan by which the last set-up step is due, within an onboarding of 90 days


class Ref(NamedTuple):
    """A reference by key, resolved to the record's id while loading."""

    object: str
    key: str


@dataclass(slots=True)
class UsageLine:
    """One product of one tenant. `seats` is what is contracted today; rows exist in [started, stopped)."""

    tenant: str
    product: str
    plan: str
    seats: int
    started: date
    stopped: date | None
    shape: str
    level: float  # share of seats in use in the line's normal weeks, 0-1
    pace: float  # how often its people come, 1 = as usual for the product
    main: bool

    def setup_done(self, total: int, today: date) -> int:
        """How many of `total` set-up steps are done: a step ahead of the plan for new lines, none or one where nobody started."""
        if self.shape == "never_started":
            return self.seats % 2
        age = (today - self.started).days
        return min(total, max(1, -(-total * age // SETUP_DAYS))) if self.shape == "onboarding" else total

    def seats_provisioned(self, today: date) -> int:
        """IDs handed out to people; in use are fewer of them."""
        if self.shape == "never_started":
            return self.seats % 2
        age = (today - self.started).days
        share = min(1.0, age / 60) if self.shape == "onboarding" else 1.0
        return max(1, round(self.seats * share * min(1.0, self.level + 0.12)))


@dataclass(slots=True)
class Term:
    """One contract of the chain; both dates inclusive."""

    starts: date
    ends: date
    months: int


@dataclass(slots=True)
class Customer:
    """What is decided about a customer before any record is made."""

    key: str
    name: str
    archetype: str
    segment: str
    touch: str
    domain: str
    tenant: str
    since: date
    csm: Ref
    sales: Ref
    partner: Ref | None
    churned_on: date | None
    terms: list[Term]
    products: list[UsageLine] = field(default_factory=list)

    @property
    def current(self) -> Term:
        return self.terms[-1]


@dataclass
class Company:
    """The generated org: `records` per object in an order in which parents come first, and what the usage files are made of."""

    accounts: int
    seed: int
    today: date
    records: dict[str, list[Row]] = field(default_factory=dict)
    archetypes: dict[str, str] = field(default_factory=dict)  # account key → archetype
    tenants: dict[str, str] = field(default_factory=dict)  # account key → tenant in the usage files, also where the CRM lacks it
    lines: list[UsageLine] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.calendar = Calendar(self.today - timedelta(days=6 * 366), self.today + timedelta(days=366))

    def random(self, *names: object) -> random.Random:
        """A generator of its own for each purpose, so that one more draw here never moves another record."""
        return random.Random("/".join(map(str, (self.seed, *names))))

    def add(self, name: str, key: str, created: date, row: Row, *, hour: int = 10, modified: date | None = None) -> Ref:
        """Keep one record. `created` and `modified` are days; a day that is not yet over is moved to yesterday."""
        yesterday = self.today - timedelta(days=1)
        row["_key"] = key
        row["created_at"] = at(min(created, yesterday), hour)
        row["modified_at"] = row["created_at"] if modified is None or modified <= created else at(min(modified, yesterday), hour)
        self.records.setdefault(name, []).append(row)
        return Ref(name, key)


def weighted(rng: random.Random, choices: Sequence[tuple[T, float]]) -> T:
    return rng.choices([value for value, _ in choices], [weight for _, weight in choices])[0]


def apportion(total: int, shares: dict[str, float]) -> dict[str, int]:
    """Whole numbers that add up to `total`, by largest remainder; each share gets one where there is enough for all.

    With fewer places than shares the first ones get one each: apportion(2, {a, b, c}) = {a: 1, b: 1, c: 0}.
    """
    if total <= len(shares):
        return {name: int(place < total) for place, name in enumerate(shares)}
    rest = total - len(shares)
    exact = {name: share * rest / sum(shares.values()) for name, share in shares.items()}
    counts = {name: 1 + int(value) for name, value in exact.items()}
    by_remainder = sorted(shares, key=lambda name: (int(exact[name]) - exact[name], name))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts
