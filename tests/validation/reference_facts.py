"""The independent reference, part 1: what is known of an account on a day, from plain dictionaries.

Written from customer-success.md 2.2, docs/architecture.md and the descriptions of the columns in docs/mappings.md. Nothing of the product is imported
and no SQL is used. Rows are dictionaries with the canonical columns; an absent key is null.
"""

import calendar
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

Row = dict[str, Any]
CHILDREN = ("contract", "activity", "contact", "ticket", "survey", "outcome")
_TOKYO = timedelta(hours=9)


@dataclass
class World:
    """Everything the CRM and the exports say at this moment: the current version of each record, and the feeds' state."""

    accounts: dict[str, Row] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    usage: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))  # tenant -> day, product, feature, events, users
    setup: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))  # tenant -> product, metric, value, occurred_at
    usage_first: date = date.min
    usage_last: date = date.min
    setup_last: date = date.min
    usage_lag: int = 3
    setup_lag: int = 7

    def connected(self) -> set[str]:
        """Feeds that ever brought a row."""
        found = {entity for entity in CHILDREN if self.rows[entity]} | {"crm"}
        return found | ({"usage"} if self.usage else set()) | ({"setup"} if self.setup else set())

    def late(self, on: date) -> set[str]:
        """Feeds whose last complete day is older than allowed. A day is complete when it is over."""
        last = {"usage": (self.usage_last, self.usage_lag), "setup": (self.setup_last, self.setup_lag)}
        return {feed for feed, (day, lag) in last.items() if feed in self.connected() and (on - min(day, on - timedelta(days=1))).days > lag}


@dataclass
class Owned:
    """Rows of every account, once merged accounts are followed to the one that survived."""

    children: dict[str, dict[str, list[Row]]]
    decision_makers: set[str]
    tenants: dict[str, str]  # match key -> the only account that claims it

    @classmethod
    def of(cls, world: World) -> "Owned":
        children: dict[str, dict[str, list[Row]]] = {entity: defaultdict(list) for entity in CHILDREN}
        for entity in CHILDREN:
            for row in world.rows[entity]:
                if not row.get("deleted"):
                    owner: str = row.get("end_user_id") or row["account_id"]
                    children[entity][survivor(world.accounts, owner)].append(row)
        people = {r["id"] for r in world.rows["contact"] if r.get("role") == "decision_maker" and not r.get("deleted")}
        claims: dict[str, list[str]] = defaultdict(list)
        for account in world.accounts.values():
            if lives(account) and account.get("match_key"):
                claims[account["match_key"]].append(account["id"])
        return cls(children, people, {key: ids[0] for key, ids in claims.items() if len(ids) == 1})


def lives(account: Row) -> bool:
    return not account.get("deleted") and not account.get("master_id")


def survivor(accounts: dict[str, Row], owner: str) -> str:
    while owner in accounts and accounts[owner].get("master_id"):
        owner = accounts[owner]["master_id"]
    return owner


def day_of(instant: datetime | None) -> date | None:
    """The date in Tokyo."""
    return None if instant is None else (instant + _TOKYO).date()


def facts_of(account: Row, world: World, owned: Owned, catalogue: dict[str, Row], now: datetime) -> Row:
    """The account's columns on the day of `now`."""
    on = day_of(now)
    assert on is not None
    mine = {entity: owned.children[entity].get(account["id"], []) for entity in CHILDREN}
    known = world.connected()
    found: Row = {"as_of_on": on, "churn_notice_on": account.get("churn_notice_on")}
    until = account.get("override_until")
    found["override_score"] = account.get("override_score") if until is not None and until >= on else None
    lines = [line for line in mine["contract"] if started(line, on)]
    open_lines = [line for line in lines if is_open(line, on)]
    found |= contract_facts(lines, open_lines, on)
    found["stage"] = stage_of(account, found, catalogue)
    key = account.get("match_key") if owned.tenants.get(account.get("match_key") or "") == account["id"] else None
    products = {line.get("product") for line in open_lines}
    found |= usage_facts(world, key, products, catalogue, on)
    users, seats = found["active_users_28d"], found["seats"]
    found["seat_use"] = Fraction(100 * users, seats) if users is not None and seats else None
    found |= setup_facts(world, key, products, on)
    found |= touch_facts(mine["activity"], owned.decision_makers, now)
    found |= contact_facts(mine["contact"], on) if "contact" in known else {"contacts": None, "operators": None, "champion_left_on": None}
    found |= ticket_facts(mine["ticket"], now) if "ticket" in known else {"p1_open": None, "escalated_open": None, "p1_open_days": None}
    found |= survey_facts(mine["survey"], now) | outcome_facts(mine["outcome"], now)
    return found


# --- contracts -----------------------------------------------------------------------------------------------------------------------------------
def started(line: Row, on: date) -> bool:
    """Neither a trial nor a draft, and begun."""
    begun = line.get("starts_on") is None or line["starts_on"] <= on
    return begun and not line.get("is_trial") and line.get("status") != "draft"


def is_open(line: Row, on: date) -> bool:
    if line.get("status") == "ended" or (line.get("churned_on") is not None and line["churned_on"] <= on):
        return False
    return line.get("ends_on") is None or line["ends_on"] >= on


def contract_facts(lines: list[Row], open_lines: list[Row], on: date) -> Row:
    seats = [line["seats"] for line in open_lines if line.get("seats") is not None]
    ended = [day for line in lines if (day := line.get("churned_on") or line.get("ends_on")) is not None and day <= on]
    main = main_product(open_lines)
    starts = [line["starts_on"] for line in lines if main is not None and line.get("product") == main and line.get("starts_on") is not None]
    first = min(open_lines, key=lambda line: (line.get("ends_on") or date.max, line.get("notice_on") or date.max, line["id"]), default={})
    ends_on, notice_on = first.get("ends_on"), first.get("notice_on")
    if notice_on is None and ends_on is not None:
        notice_on = month_before(ends_on)
    return {
        "contracts": len(open_lines), "seats": sum(seats) if seats else None, "main_product": main,
        "churned_on": max(ended) if ended and not open_lines else None,
        "days_since_start": (on - min(starts)).days if starts else None,
        "days_to_notice": (notice_on - on).days if notice_on is not None else None, "term_months": term_of(first),
    }  # fmt: skip


def main_product(open_lines: list[Row]) -> str | None:
    """The product with the highest monthly revenue; unknown revenue comes last, then the alphabet."""
    revenue: dict[str, int | None] = {}
    for line in open_lines:
        mrr, before = line.get("mrr"), revenue.get(line["product"])
        revenue[line["product"]] = before if mrr is None else (before or 0) + mrr
    return min(revenue, key=lambda p: (revenue[p] is None, -(revenue[p] or 0), p), default=None)


def term_of(line: Row) -> int | None:
    if line.get("term_months") is not None:
        return int(line["term_months"])
    starts, ends = line.get("starts_on"), line.get("ends_on")
    if starts is None or ends is None:
        return None
    after = ends + timedelta(days=1)
    return int((after.year - starts.year) * 12 + after.month - starts.month)


def month_before(day: date) -> date:
    """One calendar month earlier, at most the month's last day."""
    year, month = (day.year, day.month - 1) if day.month > 1 else (day.year - 1, 12)
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def stage_of(account: Row, facts: Row, catalogue: dict[str, Row]) -> str | None:
    if not facts["contracts"]:
        return "churned" if facts["churned_on"] is not None else None
    if account.get("stage") in ("onboarding", "adoption", "renewal"):
        return str(account["stage"])
    outcome = account.get("onboarding_outcome")
    days = catalogue.get(facts["main_product"], {}).get("onboarding_days", 90) * (2 if outcome == "extended" else 1)
    since = facts["days_since_start"]
    if since is not None and since < days and outcome not in ("completed", "failed_proceeding"):
        return "onboarding"
    left, term = facts["days_to_notice"], facts["term_months"]
    if left is not None and term is not None and term > 1 and left <= min(90, term * 10):  # a third of the term, months of 30 days
        return "renewal"
    return "adoption"


# --- usage and set-up ----------------------------------------------------------------------------------------------------------------------------
def usage_facts(world: World, key: str | None, products: set[Any], catalogue: dict[str, Row], on: date) -> Row:
    """Windows end at the feed's last complete day. Unknown unless the tenant occurs in the feed and the feed covers the window."""
    end = min(world.usage_last, on - timedelta(days=1))
    rows = [row for row in world.usage.get(key or "", []) if row["day"] <= end]
    month = (end + timedelta(days=1)).replace(day=1)  # the day after the last closed month
    this_month = month_before(month)
    window = {"28d": (end - timedelta(days=27), end), "prev_28d": (end - timedelta(days=55), end - timedelta(days=28)),
              "month": (this_month, month - timedelta(days=1)), "prev_month": (month_before(this_month), this_month - timedelta(days=1))}  # fmt: skip
    inside = {
        name: [r for r in rows if first <= r["day"] <= last] if rows and world.usage_first <= first else None
        for name, (first, last) in window.items()
    }
    core = {(p, f) for p in products for f in catalogue.get(p, {}).get("core_features", [])}
    used = [r["day"] for r in rows if r["events"] > 0]
    return {
        "usage_matched": bool(rows), "usage_as_of": end, "last_used_on": max(used, default=None),
        "active_users_28d": _people(inside["28d"]), "active_users_prev_28d": _people(inside["prev_28d"]),
        "events_month": _events(inside["month"]), "events_prev_month": _events(inside["prev_month"]),
        "core_events_28d": _events(r for r in inside["28d"] if (r["product"], r["feature"]) in core) if core and inside["28d"] is not None else None,
    }  # fmt: skip


def _people(rows: list[Row] | None) -> int | None:
    return None if rows is None else len({user for row in rows for user in row["users"]})


def _events(rows: Iterable[Row] | None) -> int | None:
    return None if rows is None else sum(row["events"] for row in rows)


def setup_facts(world: World, key: str | None, products: set[Any], on: date) -> Row:
    """The latest snapshot of each owned product's steps."""
    latest: dict[tuple[str, str], Row] = {}
    for row in world.setup.get(key or "", []):
        if row["occurred_at"] <= on and row["product"] in products:
            at = (row["product"], row["metric"])
            if at not in latest or latest[at]["occurred_at"] < row["occurred_at"]:
                latest[at] = row
    sums: dict[str, int | None] = {"setup_steps_done": None, "setup_steps_total": None}
    for (_, metric), row in latest.items():
        sums[metric] = (sums[metric] or 0) + row["value"]
    return {**sums, "setup_as_of": max((row["occurred_at"] for row in latest.values()), default=None)}


# --- people, trouble, voices, results --------------------------------------------------------------------------------------------------------------
def touch_facts(activities: list[Row], decision_makers: set[str], now: datetime) -> Row:
    """Done = stamped as done, or without a due day and past."""
    done = []
    for row in activities:
        at = row.get("done_at") or (row.get("occurred_at") if row.get("due_on") is None else None)
        day = day_of(at)
        if at is not None and day is not None and at <= now:
            done.append((day, row.get("contact_id")))
    return {
        "last_touch_on": max((day for day, _ in done), default=None),
        "last_decision_maker_on": max((day for day, who in done if who in decision_makers), default=None),
    }


def contact_facts(contacts: list[Row], on: date) -> Row:
    """A contact is there until the day it left; without such a day its own mark says so."""
    here = [c for c in contacts if (c["left_on"] > on if c.get("left_on") is not None else c.get("active") is not False)]
    left = [c["left_on"] for c in contacts if c.get("role") == "champion" and c.get("left_on") is not None and c["left_on"] <= on]
    return {
        "contacts": len(here), "operators": sum(c.get("role") in ("operator", "admin") for c in here),
        "champion_left_on": max(left) if left and not any(c.get("role") == "champion" for c in here) else None,
    }  # fmt: skip


def ticket_facts(tickets: list[Row], now: datetime) -> Row:
    on = day_of(now)
    assert on is not None
    still = [t for t in tickets if t["opened_at"] <= now and (t.get("closed_at") is None or t["closed_at"] > now)]
    urgent = [opened for t in still if t.get("priority") == "p1" and (opened := day_of(t["opened_at"])) is not None]
    return {
        "p1_open": len(urgent), "p1_open_days": (on - min(urgent)).days if urgent else None,
        "escalated_open": sum(bool(t.get("escalated")) for t in still)
    }  # fmt: skip


def survey_facts(surveys: list[Row], now: datetime) -> Row:
    on = day_of(now)
    answers = [
        (day_of(s["occurred_at"]), s["score"]) for s in surveys if s["kind"] == "nps" and s.get("score") is not None and s["occurred_at"] <= now
    ]
    recent = [score for day, score in answers if day is not None and on is not None and day > on - timedelta(days=180)]
    mean = sum(map(Fraction, recent)) / len(recent) if recent else None
    return {"nps_180d": mean, "nps_answers_180d": len(recent), "nps_last_on": max((day for day, _ in answers if day), default=None)}


def outcome_facts(outcomes: list[Row], now: datetime) -> Row:
    """Mean change against the baseline in percent; a fall is an improvement where fewer is better."""
    on = day_of(now)
    past = [(day, o) for o in outcomes if o["occurred_at"] <= now and (day := day_of(o["occurred_at"])) is not None]
    recent = [o for day, o in past if on is not None and day > on - timedelta(days=365)]
    changes = [change_of(o) for o in recent if o.get("baseline") and o.get("current_value") is not None]
    return {
        "outcomes": len(recent), "outcome_change": sum(changes) / len(changes) if changes else None,
        "outcome_last_on": max((day for day, _ in past), default=None),
    }  # fmt: skip


def change_of(outcome: Row) -> Fraction:
    baseline = Fraction(outcome["baseline"])
    return (Fraction(outcome["current_value"]) - baseline) / abs(baseline) * (-100 if outcome.get("fewer_is_better") else 100)


def rounded(value: Fraction, places: int) -> Fraction:
    """Half to even. `round` of a fraction does that exactly."""
    return Fraction(round(value * 10**places), 10**places)
