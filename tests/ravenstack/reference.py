"""RavenStack's scores worked out row by row in plain Python from the CSV files and the written scorecard, importing nothing of scoresync.

The scorecard is `mappings/scores/health.yml` beside this file, retyped below, and the arithmetic of docs/architecture.md. Data: River @ Rivalytics.
Run it alone to see the scores: `python tests/ravenstack/reference.py DATA_FOLDER`.
"""

import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from pathlib import Path

TODAY = date(2025, 1, 1)  # the run's day; the last complete day of usage is the one before
END = TODAY - timedelta(days=1)

ONBOARDING = {
    "deployment": (40, {"volume_per_seat": 3, "plans_owned": 2}),
    "adoption": (35, {"active_days": 4, "events_trend": 2, "feature_breadth": 1}),
    "engagement": (25, {"ticket_load": 1, "csat": 2, "no_escalation": 1}),
}
ADOPTION = {
    "deployment": (20, {"volume_per_seat": 3, "plans_owned": 1}),
    "adoption": (50, {"active_days": 5, "events_trend": 3, "feature_breadth": 2}),
    "engagement": (30, {"ticket_load": 2, "csat": 3, "no_escalation": 1}),
}


@dataclass(frozen=True)
class Scored:
    state: str  # scored | not_scored | excluded
    score: int | None
    uncapped: float | None
    coverage: float | None
    profile: str | None


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def day(text: str) -> date | None:
    return datetime.strptime(text[:10], "%d-%m-%Y").date() if text else None


def six(value: Fraction | None) -> Fraction | None:
    """To six decimals, half to even."""
    if value is None:
        return None
    scaled = Decimal(value.numerator) * 10**12 / Decimal(value.denominator)
    return Fraction((scaled / 10**6).quantize(Decimal(1), ROUND_HALF_EVEN)) / 10**6


def linear(value: Fraction, bad: Fraction, good: Fraction) -> Fraction:
    return min(max((value - bad) / (good - bad), Fraction(0)), Fraction(1)) * 100


def steps(value: Fraction, levels: list[tuple[int, int]]) -> Fraction:
    return Fraction(max((points for least, points in levels if value >= least), default=0))


def points(name: str, value: Fraction) -> Fraction:
    match name:
        case "active_days":
            return linear(value, Fraction(0), Fraction(10))
        case "events_trend":
            return linear(value, Fraction(40), Fraction(110))
        case "feature_breadth":
            return steps(value, [(1, 30), (3, 60), (5, 100)])
        case "volume_per_seat":
            return linear(value, Fraction(0), Fraction(3, 4))
        case "plans_owned":
            return steps(value, [(1, 40), (2, 70), (3, 100)])
        case "ticket_load":
            return linear(value, Fraction(4), Fraction(0))
        case "csat":
            return linear(value, Fraction(50), Fraction(95))
        case "no_escalation":
            return value * 100
    raise KeyError(name)


def usage_of(folder: Path) -> tuple[dict[str, list[dict[str, str]]], int]:
    """Usage rows per subscription, each usage_id once (its first row), and how many were repeated."""
    seen: set[str] = set()
    per_line: dict[str, list[dict[str, str]]] = defaultdict(list)
    repeated = 0
    for row in rows(folder, "feature_usage.csv"):
        if row["usage_id"] in seen:
            repeated += 1
            continue
        seen.add(row["usage_id"])
        per_line[row["subscription_id"]].append(row)
    return per_line, repeated


def outside_contract(folder: Path) -> tuple[int, int]:
    """Usage rows (each id once) on days before their subscription's start, and after its end."""
    per_line, _ = usage_of(folder)
    before = after = 0
    for line in rows(folder, "subscriptions.csv"):
        starts, ends = day(line["start_date"]), day(line["end_date"])
        for used in per_line.get(line["subscription_id"], []):
            on = day(used["usage_date"])
            before += bool(on and starts and on < starts)
            after += bool(on and ends and on > ends)
    return before, after


def facts(lines: list[dict[str, str]], tickets: list[dict[str, str]], used: list[dict[str, str]]) -> dict[str, Fraction | None] | None:
    """Indicator values of one account; null where unknown. Null as a whole: no open contract."""
    paid = [line for line in lines if line["is_trial"] == "FALSE" and (day(line["start_date"]) or TODAY) <= TODAY]
    current = [line for line in paid if not line["end_date"] or (day(line["end_date"]) or TODAY) >= TODAY]
    if not current:
        return None
    seats = sum(int(line["seats"]) for line in current)
    dated = [(day(u["usage_date"]), u) for u in used]
    window = [u for on, u in dated if on and END - timedelta(days=27) <= on <= END]
    before = [u for on, u in dated if on and END - timedelta(days=55) <= on <= END - timedelta(days=28)]
    fortnight = [u for on, u in dated if on and END - timedelta(days=13) <= on <= END and int(u["usage_count"]) > 0]
    events = sum(int(u["usage_count"]) for u in window)
    events_before = sum(int(u["usage_count"]) for u in before)
    quarter = TODAY - timedelta(days=90)
    opened = [t for t in tickets if (day(t["submitted_at"]) or TODAY) > quarter]
    rated = [int(t["satisfaction_score"]) * 20 for t in tickets if (day(t["closed_at"]) or TODAY) > quarter and closed(t) and t["satisfaction_score"]]
    escalated = [t for t in tickets if t["escalation_flag"] == "TRUE" and not closed(t)]
    return {
        "active_days": Fraction(len({u["usage_date"] for u in window if int(u["usage_count"]) > 0})) if used else None,
        "events_trend": six(Fraction(events * 100, events_before)) if used and events_before else None,
        "feature_breadth": Fraction(len({u["feature_name"] for u in fortnight})) if used else None,
        "volume_per_seat": six(Fraction(events, seats)) if used and seats else None,
        "plans_owned": Fraction(len({line["plan_tier"] for line in current})),
        "ticket_load": Fraction(len(opened)),
        "csat": six(Fraction(sum(rated), len(rated))) if rated else None,
        "no_escalation": Fraction(0 if escalated else 1),
        "_escalated": Fraction(len(escalated)),
        "_age": main_age(paid, current),
    }


def closed(ticket: dict[str, str]) -> bool:
    """Closed before the run's instant, 2025-01-01 00:00 UTC."""
    return bool(ticket["closed_at"]) and datetime.strptime(ticket["closed_at"], "%d-%m-%Y %H:%M") <= datetime.combine(TODAY, datetime.min.time())


def main_age(paid: list[dict[str, str]], current: list[dict[str, str]]) -> Fraction:
    """Days since the first start of the plan with the highest open MRR (ties: first by name)."""
    mrr: dict[str, Decimal] = defaultdict(Decimal)
    for line in current:
        mrr[line["plan_tier"]] += Decimal(line["mrr_amount"])
    main = min(mrr, key=lambda plan: (-mrr[plan], plan))
    first = min(d for line in paid if line["plan_tier"] == main and (d := day(line["start_date"])))
    return Fraction((TODAY - first).days)


def score(values: dict[str, Fraction | None] | None) -> Scored:
    if values is None:
        return Scored("excluded", None, None, None, None)
    profile = "onboarding" if values["_age"] is not None and values["_age"] < 90 else "adoption"
    card = ONBOARDING if profile == "onboarding" else ADOPTION
    present_share = all_share = Fraction(0)
    weighted = axis_weight = Fraction(0)
    axes = 0
    for axis, (weight, indicators) in card.items():
        have = {name: w for name, w in indicators.items() if values[name] is not None}
        all_share += weight
        present_share += Fraction(weight * sum(have.values()), sum(indicators.values()))
        if have:
            value = sum((points(n, values[n]) * w for n, w in have.items()), Fraction(0)) / sum(have.values())  # type: ignore[arg-type]
            weighted += weight * value
            axis_weight += weight
            axes += 1
        assert axis
    coverage = present_share / all_share * 100
    if coverage < 60 or axes < 2:
        return Scored("not_scored", None, None, float(coverage), profile)
    uncapped = weighted / axis_weight
    capped = min(uncapped, Fraction(39)) if values["_escalated"] else uncapped
    return Scored("scored", round(capped), float(uncapped), float(coverage), profile)  # round(Fraction) is half to even


def all_scores(folder: Path) -> dict[str, Scored]:
    """RavenStack account id -> its score on TODAY."""
    lines: dict[str, list[dict[str, str]]] = defaultdict(list)
    owner: dict[str, str] = {}
    for line in rows(folder, "subscriptions.csv"):
        lines[line["account_id"]].append(line)
        owner[line["subscription_id"]] = line["account_id"]
    tickets: dict[str, list[dict[str, str]]] = defaultdict(list)
    for ticket in rows(folder, "support_tickets.csv"):
        tickets[ticket["account_id"]].append(ticket)
    used: dict[str, list[dict[str, str]]] = defaultdict(list)
    for subscription, entries in usage_of(folder)[0].items():
        used[owner[subscription]] += entries
    return {
        a["account_id"]: score(facts(lines[a["account_id"]], tickets[a["account_id"]], used[a["account_id"]])) for a in rows(folder, "accounts.csv")
    }


if __name__ == "__main__":
    for account, result in sorted(all_scores(Path(sys.argv[1])).items()):
        print(account, result)
