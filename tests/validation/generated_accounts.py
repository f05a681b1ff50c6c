"""Accounts with every awkward case, day by day, as plain rows: what the lake and the reference scorer are both filled with.

Cases: missing parts of every kind, stale facts, late and not yet connected feeds, overrides that come and lapse, churn in the middle, several
products, parents, resellers' end users, merged, deleted and ambiguous accounts, trials, drafts, stages kept by the CRM. One seed for all.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

Row = dict[str, Any]
SEED = 20261128
FIRST = date(2026, 11, 28)  # from the third day on another month is closed
PRODUCTS = {"expense": "report_submit", "invoice": "invoice_receive", "attendance": "clock", "esign": "sign_send"}
FEATURES = ("approval", "report_submit", "invoice_receive", "clock", "sign_send", "settings")
#: Outcomes are not connected before this day; usage is late on these.
OUTCOMES_FROM, USAGE_LATE, SETUP_LATE = 2, (4, 20, 21), (5, 21)


@dataclass
class Case:
    """Rows by table. `versions`: day -> account rows that replace earlier ones from then on."""

    days: int
    rng: random.Random
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    versions: dict[int, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def maybe(self, share: float, value: Callable[[], Any]) -> Any:
        return value() if self.chance(share) else None

    def on(self, back: int, ahead: int | None = None) -> date:
        return FIRST + timedelta(days=self.rng.randint(-back, self.days if ahead is None else ahead))

    def at(self, back: int, ahead: int | None = None) -> datetime:
        """An instant at any hour: from 15:00 UTC it is the next day in Tokyo."""
        day = self.on(back, ahead)
        return datetime(day.year, day.month, day.day, self.rng.randint(0, 23), self.rng.choice((0, 30)), tzinfo=UTC)

    def row(self, table: str, **row: Any) -> Row:
        self.rows[table].append({"id": f"{table[:3]}{len(self.rows[table]):06d}"} | {k: v for k, v in row.items() if v is not None})
        return self.rows[table][-1]


def make_case(accounts: int, days: int, seed: int = SEED) -> Case:
    case = Case(days, random.Random(seed))
    for n in range(accounts):
        _account(case, n)
    return case


def _account(case: Case, n: int) -> None:
    rng, before = case.rng, f"a{n - 1:05d}" if n else None
    account: Row = {"id": f"a{n:05d}", "segment": rng.choice(("SMB", "Enterprise", None)), "kind": "customer"}
    account["match_key"] = case.maybe(0.93, lambda: f"t{n:05d}")
    if before and case.chance(0.02):
        account["match_key"] = f"t{n - 1:05d}"  # claimed twice where the neighbour has it: matches nobody
    account["parent_id"] = before if case.chance(0.08) else None
    account["master_id"] = before if before and case.chance(0.01) else None
    account["deleted"] = case.chance(0.01)
    account["stage"] = case.maybe(0.03, lambda: rng.choice(("onboarding", "adoption", "renewal", "other")))
    account["onboarding_outcome"] = case.maybe(0.1, lambda: rng.choice(("completed", "failed_proceeding", "extended")))
    case.rows["account"].append(account)
    _versions(case, account)
    owned = rng.sample(sorted(PRODUCTS), rng.choice((1, 1, 1, 2, 2, 3)))
    for product in owned:
        _contract(case, account["id"], before, product)
    _people(case, account["id"])
    _voices(case, account["id"])
    if account["match_key"] and case.chance(0.9):
        _usage(case, account["match_key"], owned)


def _versions(case: Case, account: Row) -> None:
    """What a person sets in the middle: an override, a churn notice and its withdrawal, an outcome of onboarding."""
    last: Row = account
    for day in sorted(case.rng.sample(range(case.days), case.rng.choice((0, 0, 0, 1, 2)) if case.days > 2 else 0)):
        what = case.rng.choice(("override", "notice", "notice", "outcome", "withdrawn"))
        if what == "override":
            last = last | {"override_score": case.rng.randint(0, 100), "override_until": FIRST + timedelta(days=day + case.rng.randint(0, 6))}
        elif what == "outcome":
            last = last | {"onboarding_outcome": case.rng.choice(("completed", "extended"))}
        else:
            last = last | {"churn_notice_on": FIRST + timedelta(days=day) if what == "notice" else None}
        case.versions[day].append(last)


def _contract(case: Case, account: str, other: str | None, product: str) -> None:
    rng = case.rng
    starts = date(2026, rng.randint(8, 12), 1) if case.chance(0.25) else date(rng.choice((2024, 2025)), rng.randint(1, 12), 1)
    term = rng.choice((1, 3, 6, 12, 12, 24, 36))
    months = starts.year * 12 + starts.month - 1 + max(term, 6) * (1 if case.chance(0.2) else rng.choice((2, 3)))
    ends = date(months // 12, months % 12 + 1, 1) - timedelta(days=1)
    if case.chance(0.06):
        ends = case.on(20)
    known = case.chance(0.8)
    line = {
        "product": product, "seats": case.maybe(0.95, lambda: rng.choice((0, 5, 8, 10, 12, 20, 30))),
        "mrr": case.maybe(0.96, lambda: rng.choice((30_000, 50_000, 90_000))),
        "currency": "JPY", "starts_on": starts if known else case.maybe(0.95, lambda: starts), "ends_on": case.maybe(0.93, lambda: ends),
        "term_months": term if known else None, "notice_on": ends - timedelta(days=60) if case.chance(0.5) else None,
        "status": rng.choices(("active", "ended", "draft", None), (90, 2, 2, 6))[0], "is_trial": case.chance(0.04),
        "churned_on": case.maybe(0.06, lambda: case.on(10)), "deleted": case.chance(0.01), "account_id": account,
    }  # fmt: skip
    if other and case.chance(0.03):  # a reseller signs, the end user uses
        line |= {"account_id": other, "end_user_id": account}
    case.row("contract", **line)


def _people(case: Case, account: str) -> None:
    rng, people = case.rng, []
    for _ in range(rng.choice((0, 1, 2, 2, 3, 4))):
        role = rng.choice(("operator", "admin", "champion", "champion", "decision_maker", "user", None))
        left = case.maybe(0.2, lambda: case.on(60))
        people.append(
            case.row("contact", account_id=account, role=role, left_on=left, active=rng.choice((True, True, False, None)), deleted=case.chance(0.02))
        )
    for _ in range(rng.choice((0, 1, 2, 3, 5))):
        due = case.maybe(0.3, lambda: case.on(60))
        at = case.at(230)
        case.row(
            "activity", account_id=account, kind=rng.choice(("call", "email", "meeting", "task", "training")), occurred_at=at, due_on=due,
            done_at=at if due is None or case.chance(0.6) else None, contact_id=rng.choice(people)["id"] if people and case.chance(0.6) else None,
            deleted=case.chance(0.02),
        )  # fmt: skip


def _voices(case: Case, account: str) -> None:
    rng = case.rng
    for _ in range(rng.choice((0, 0, 1, 2))):
        opened = case.at(60)
        closed = opened + timedelta(days=rng.randint(1, 25), hours=rng.randint(0, 23)) if case.chance(0.8) else None
        case.row(
            "ticket", account_id=account, opened_at=opened, closed_at=closed, priority=rng.choice(("p1", "p2", "p3", "p3")),
            escalated=rng.choice((True, False, False, None)), deleted=case.chance(0.02),
        )  # fmt: skip
    for _ in range(rng.choice((0, 1, 2, 3))):
        case.row(
            "survey",
            account_id=account,
            kind=rng.choice(("nps", "nps", "csat")),
            score=case.maybe(0.95, lambda: float(rng.randint(0, 10))),
            occurred_at=case.at(260),
        )
    for _ in range(rng.choice((0, 0, 1, 2))):
        case.row(
            "outcome", account_id=account, baseline=rng.choice((0, 30, 50, 70, -50, 100, 200)),
            current_value=case.maybe(0.95, lambda: rng.randint(40, 240)),
            fewer_is_better=rng.choice((True, False, None)), occurred_at=case.at(420), deleted=case.chance(0.02),
        )  # fmt: skip


def _usage(case: Case, tenant: str, owned: list[str]) -> None:
    rng = case.rng
    begins, stops = case.on(120, 0) if case.chance(0.2) else case.on(120, -119), case.on(40) if case.chance(0.25) else date.max
    every, pool, busy = rng.choice((3, 5, 7, 9)), rng.randint(1, 12), rng.randint(1, 30)
    for ago in range(-95, case.days, every):
        day = FIRST + timedelta(days=ago + rng.randint(0, 2))
        if begins <= day <= stops:
            product = rng.choice(owned) if case.chance(0.9) else rng.choice(sorted(PRODUCTS))
            feature = PRODUCTS[product] if case.chance(0.6) else rng.choice(FEATURES)
            users = [f"{tenant}-u{u}" for u in rng.sample(range(pool), rng.randint(1, min(pool, 4)))] if case.chance(0.95) else []
            case.rows["usage"].append(
                {"tenant": tenant, "day": day, "product": product, "feature": feature, "users": users, "events": rng.randint(1, busy) if users else 0}
            )
    for product in owned:
        if case.chance(0.75):
            total = rng.randint(2, 6)
            for day in sorted({case.on(50) for _ in range(rng.randint(1, 3))}):
                done = rng.randint(0, total)
                for metric, value in (("setup_steps_done", done), ("setup_steps_total", total)):
                    case.rows["setup"].append({"tenant": tenant, "day": day, "product": product, "metric": metric, "value": value})
