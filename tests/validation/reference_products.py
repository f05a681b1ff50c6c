"""The independent reference, part 3: products, their mean, and groups, by "Products and groups" of docs/architecture.md and nothing of the product.

Row by row over dictionaries, in fractions. A product's facts are the account's with its own in their place; then the same written scorecard.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.validation.reference_facts import (
    Owned,
    Row,
    World,
    contract_facts,
    day_of,
    facts_of,
    is_open,
    lives,
    month_before,
    setup_facts,
    stage_of,
    started,
    survivor,
)
from tests.validation.reference_scorer import AXES, Reference

_KEPT = ("score_uncapped", "score", "capped_by", "tier", "coverage", *AXES)


@dataclass
class Products:
    """All products and groups of one day, after `Reference.day` of that day. `past`: what a product held last."""

    reference: Reference
    past: dict[tuple[str, str], Row] = field(default_factory=dict)

    def day(self, world: World, now: datetime, accounts: dict[str, Row]) -> dict[tuple[str, str], Row]:
        """(account, product) -> its result, for every account in scope and product in an open line."""
        on = day_of(now)
        assert on is not None
        owned, found = Owned.of(world), {}
        for account_id in accounts:
            account = world.accounts[account_id]
            facts = facts_of(account, world, owned, self.reference.config.catalogue, now)
            lines = [line for line in owned.children["contract"].get(account_id, []) if started(line, on)]
            for product in sorted({line["product"] for line in lines if is_open(line, on)}):
                row = self._row(account, facts, product, lines, world, owned, on)
                found[account_id, product] = self._held((account_id, product), self.reference._score(row, world, on)) | {"mrr": row["mrr"]}
        self.past |= found
        return found

    def _row(self, account: Row, facts: Row, product: str, lines: list[Row], world: World, owned: Owned, on: date) -> Row:
        catalogue = self.reference.config.catalogue
        mine = [line for line in lines if line["product"] == product]
        row = facts | contract_facts(mine, [line for line in mine if is_open(line, on)], on)
        row["mrr"] = money(mine, on)
        row["stage"] = stage_of(account if facts["main_product"] == product else {}, row, catalogue)
        key = account.get("match_key") if owned.tenants.get(account.get("match_key") or "") == account["id"] else None
        row |= used(world, key, product, catalogue, facts, on) | setup_facts(world, key, {product}, on)
        users, seats = row["active_users_28d"], row["seats"]
        row["seat_use"] = Fraction(100 * users, seats) if users is not None and seats else None
        return row

    def _held(self, key: tuple[str, str], today: Row) -> Row:
        """Tier by plain edges; a late feed repeats the last row."""
        if today["state"] == "frozen":
            before = self.past.get(key, {})
            return {name: before.get(name) for name in _KEPT} | {"state": "frozen", "profile": before.get("profile") or today["profile"]}
        score = today.get("score")
        edges = self.reference.config.score["tiers"]["edges"]
        return today | {"tier": None if score is None else 1 + sum(score >= edge for edge in edges)}


def money(lines: list[Row], on: date) -> int:
    """Monthly revenue over open lines; what is unknown brings nothing."""
    return sum(line.get("mrr") or 0 for line in lines if is_open(line, on))


def used(world: World, key: str | None, product: str, catalogue: dict[str, Row], facts: Row, on: date) -> Row:
    """The product's own use, known where the account's is: rows of other products count for it as none."""
    end = min(world.usage_last, on - timedelta(days=1))
    rows = [r for r in world.usage.get(key or "", []) if r["day"] <= end and r["product"] == product]
    month = (end + timedelta(days=1)).replace(day=1)
    this_month = month_before(month)

    def inside(first: date, last: date) -> list[Row]:
        return [r for r in rows if first <= r["day"] <= last]

    def people(first: date, last: date) -> int:
        return len({user for r in inside(first, last) for user in r["users"]})

    recent = (end - timedelta(days=27), end)
    core = set(catalogue.get(product, {}).get("core_features", []))
    known = facts["active_users_28d"] is not None
    return {
        "active_users_28d": people(*recent) if known else None,
        "active_users_prev_28d": None if facts["active_users_prev_28d"] is None else people(end - timedelta(days=55), end - timedelta(days=28)),
        "events_month": None if facts["events_month"] is None else sum(r["events"] for r in inside(this_month, month - timedelta(days=1))),
        "events_prev_month": None
        if facts["events_prev_month"] is None
        else sum(r["events"] for r in inside(month_before(this_month), this_month - timedelta(days=1))),
        "core_events_28d": sum(r["events"] for r in inside(*recent) if r["feature"] in core) if known and core else None,
        "last_used_on": max((r["day"] for r in rows if r["events"] > 0), default=None),
    }


def mean(values: list[tuple[Fraction, int]]) -> Fraction | None:
    """Weighted by money where any brings some, else each counts once."""
    total = sum(weight for _, weight in values)
    weighed = values if total else [(value, 1) for value, _ in values]
    return sum((v * w for v, w in weighed), Fraction(0)) / sum(w for _, w in weighed) if weighed else None


def held_down(value: Fraction, capped_by: Any, caps: dict[str, int]) -> Fraction:
    return value if capped_by is None else min(value, Fraction(caps[capped_by]))


def means(products: dict[tuple[str, str], Row], accounts: dict[str, Row], caps: dict[str, int]) -> dict[str, int | None]:
    """Account -> the mean over its products as it would be published, held by the account's own exceptions."""
    found: dict[str, int | None] = {}
    for account_id, account in accounts.items():
        scored = [
            (row["score_uncapped"], row["mrr"]) for (a, _), row in products.items() if a == account_id and row.get("score_uncapped") is not None
        ]
        value = mean(scored)
        found[account_id] = None if value is None else round(held_down(value, account.get("capped_by"), caps))
    return found


def families(world: World, accounts: dict[str, Row], caps: dict[str, int], on: date) -> dict[str, tuple[Fraction, str]]:
    """Account in scope -> (mean over it and everyone below it, id of the lowest below it). None for a circle or without a scored account below."""
    owned = Owned.of(world)
    above = {a["id"]: survivor(world.accounts, a["parent_id"]) for a in world.accounts.values() if lives(a) and a.get("parent_id")}
    below: dict[str, set[str]] = {}
    for child in above:
        seen, at = set(), child
        while at in above and above[at] not in seen:
            at = above[at]
            seen.add(at)
            below.setdefault(at, set()).add(child)
    found = {}
    for root, members in below.items():
        if root not in accounts or root in members:
            continue
        scored = {m: accounts[m] for m in {root, *members} if m in accounts and accounts[m].get("score") is not None}
        children = [m for m in scored if m != root]
        if not children:
            continue
        values = [
            (held_down(r["score_uncapped"], r["capped_by"], caps), money([x for x in owned.children["contract"].get(m, []) if started(x, on)], on))
            for m, r in scored.items()
        ]
        value = mean(values)
        assert value is not None
        found[root] = (value, min(children, key=lambda m: (accounts[m]["score"], m)))
    return found
