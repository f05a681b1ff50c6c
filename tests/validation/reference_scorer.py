"""The independent reference, part 2: from an account's facts to its score, tier and coverage, by the written text and nothing of the product.

The YAML files give weights, anchors, caps and tiers; every expression and condition in them is worked out by a function of this file that is written
by hand. All arithmetic is in fractions, so nothing is lost before the last rounding. `Reference.day` scores all accounts of one day; days must come
in order, since tiers look back.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.validation.reference_facts import Owned, Row, World, day_of, facts_of, lives, rounded

AXES = ("deployment", "adoption", "engagement", "outcome")
Number = Fraction | int | None


def _ratio(part: Number, whole: Number, times: int = 1) -> Fraction | None:
    return Fraction(part * times) / whole if part is not None and whole else None


def _age(day: date | None, row: Row) -> int | None:
    return (row["as_of_on"] - day).days if day is not None else None


def _active_user_trend(row: Row) -> Number:
    now, before = row["active_users_28d"], row["active_users_prev_28d"]
    return _ratio(now - before, before, 100) if now is not None and before is not None else None


def _close_volume(row: Row) -> Number:
    now, before, days = row["events_month"], row["events_prev_month"], row["days_since_start"]
    if days is None or days < 60 or now is None or not before:
        return None
    return Fraction(100 * (now - before), before)


def _trouble(row: Row) -> Number:
    return None if row["p1_open"] is None else int(row["p1_open"] + row["escalated_open"])


#: indicator -> its value, worked by hand from the meaning of its expression
VALUES: dict[str, Callable[[Row], Number]] = {
    "active_user_trend": _active_user_trend,
    "close_volume": _close_volume,
    "core_feature_use": lambda row: _ratio(row["core_events_28d"], row["seats"]),
    "decision_maker_contact": lambda row: _age(row["last_decision_maker_on"], row),
    "nps": lambda row: row["nps_180d"] if row["nps_answers_180d"] >= 2 else None,
    "outcome_change": lambda row: row["outcome_change"],
    "outcome_recency": lambda row: _age(row["outcome_last_on"], row),
    "recent_touch": lambda row: _age(row["last_touch_on"], row),
    "seat_utilization": lambda row: row["seat_use"],
    "setup_progress": lambda row: _ratio(row["setup_steps_done"], row["setup_steps_total"], 100),
    "support_friction": _trouble,
    "trained_operators": lambda row: row["operators"] if row["contacts"] else None,
}
#: profile or cap -> whether its condition holds; a profile without condition takes the rest
PROFILES: dict[str, Callable[[Row], bool]] = {
    "onboarding": lambda row: row["stage"] == "onboarding",
    "renewal": lambda row: row["stage"] == "renewal",
    "adoption": lambda row: True,
}
CAPS: dict[str, Callable[[Row], bool]] = {
    "churn_notice": lambda row: row["churn_notice_on"] is not None,
    "champion_left": lambda row: (_age(row["champion_left_on"], row) or 0) >= 30,
    "p1_open": lambda row: (row["p1_open_days"] or 0) > 7,
    "use_stopped": lambda row: row["last_used_on"] is not None and (row["usage_as_of"] - row["last_used_on"]).days >= 21,
}


def points(mapping: Row, value: Fraction) -> Fraction:
    if mapping["kind"] == "linear":
        bad, good = Fraction(mapping["bad"]), Fraction(mapping["good"])
        return min(max((value - bad) / (good - bad), Fraction(0)), Fraction(1)) * 100
    if mapping["kind"] == "boolean":
        return Fraction(100 if value else 0)
    reached = [(Fraction(step["at_least"]), Fraction(step["points"])) for step in mapping["steps"] if value >= Fraction(step["at_least"])]
    return max(reached)[1] if reached else Fraction(0)


@dataclass
class Config:
    score: Row
    indicators: dict[str, Row]
    catalogue: dict[str, Row]

    @classmethod
    def read(cls, folder: Path) -> "Config":
        yaml = YAML(typ="safe")
        indicators = {row["name"]: row for path in (folder / "indicators").glob("*.yml") for row in [yaml.load(path)]}
        products = {p["code"]: p for p in yaml.load(folder / "products.yml")["products"]}
        return cls(yaml.load(folder / "scores" / "health.yml"), indicators, products)


@dataclass
class Reference:
    config: Config
    past: dict[str, list[tuple[date, Row]]] = field(default_factory=dict)  # account -> its results, day by day

    def day(self, world: World, now: datetime) -> dict[str, Row]:
        """Account in scope -> its result. Scope: living accounts with an open contract; the churned keep the last result they have."""
        on = day_of(now)
        assert on is not None
        owned, results = Owned.of(world), {}
        for account in world.accounts.values():
            if not lives(account):
                continue
            facts = facts_of(account, world, owned, self.config.catalogue, now)
            if facts["contracts"]:
                results[account["id"]] = self._publish(account["id"], self._score(facts, world, on), on) | {"override_score": facts["override_score"]}
        for account_id, result in results.items():
            self.past.setdefault(account_id, []).append((on, result))
        return results

    def _score(self, row: Row, world: World, on: date) -> Row:
        profile = next(p for p in self.config.score["profiles"] if PROFILES[p["name"]](row))
        connected = {name: self.config.indicators[name]["feed"] in world.connected() for name in self.config.indicators}
        axes = {axis: spec for axis, spec in profile["axes"].items() if any(connected[i] for i in spec.get("indicators", {}))}
        feeds = {self.config.indicators[i]["feed"] for spec in axes.values() if spec["weight"] for i in spec["indicators"] if connected[i]}
        fed = {"usage": row["usage_matched"], "setup": row["setup_as_of"] is not None}
        if any(fed[feed] for feed in feeds & world.late(on)):
            return {"state": "frozen", "profile": profile["name"]}
        total = sum(Fraction(spec["weight"]) for spec in axes.values())
        found: Row = {"profile": profile["name"], "coverage": Fraction(0)}
        sum_points = sum_weights = Fraction(0)
        for axis, spec in axes.items():
            here = {i: Fraction(w) for i, w in spec["indicators"].items() if connected[i]}
            present = {i: p for i in here if (p := self._points(i, row, world.late(on))) is not None}
            weight, inside = Fraction(spec["weight"]), sum(here[i] for i in present)
            found["coverage"] += weight / total * inside / sum(here.values()) * 100
            if present:
                found[axis] = sum((here[i] * p for i, p in present.items()), Fraction(0)) / inside
                sum_points, sum_weights = sum_points + weight * found[axis], sum_weights + weight
        weighed = sum(axis in found and spec["weight"] > 0 for axis, spec in axes.items())
        found["coverage"] = rounded(found["coverage"], 6)
        scored = found["coverage"] >= self.config.score["coverage_min"] and weighed >= self.config.score["axes_min"]
        caps = [(cap["cap"], place, cap["name"]) for place, cap in enumerate(self.config.score["caps"]) if CAPS[cap["name"]](row)]
        found |= {"state": "scored" if scored else "not_scored", "capped_by": min(caps)[2] if caps else None}
        if scored:
            uncapped = sum_points / sum_weights
            found |= {"score_uncapped": uncapped, "score": round(min([uncapped, *(Fraction(cap) for cap, _, _ in caps)]))}
        return found

    def _points(self, name: str, row: Row, late: set[str]) -> Fraction | None:
        indicator = self.config.indicators[name]
        value = VALUES[name](row)
        if value is None or indicator["feed"] in late:
            return None
        if indicator.get("ttl_days") is not None:
            age = _age(row[indicator["observed_on"]], row)
            if age is not None and age > indicator["ttl_days"]:
                return None
        return points(indicator["mapping"], rounded(Fraction(value), 6))

    # --- over days -------------------------------------------------------------------------------------------------------------------------------
    def _publish(self, account_id: str, today: Row, on: date) -> Row:
        past = self.past.get(account_id, [])
        if today["state"] == "frozen":  # everything stays as it was
            before: Row = past[-1][1] if past else {}
            today = {k: before.get(k) for k in RESULT if k in before} | {"state": "frozen", "profile": before.get("profile") or today["profile"]}
        else:
            closing = next((result for _, result in reversed(past) if result.get("score") is not None), None)
            today["tier"] = self._tier(today, closing)
        window = on - timedelta(days=self.config.score["trend"]["window_days"])
        then = next((result for day, result in reversed(past) if day <= window), {})
        both = today.get("score") is not None and then.get("score") is not None
        return today | {"delta_28d": today["score"] - then["score"] if both else None}

    def _tier(self, today: Row, closing: Row | None) -> int | None:
        """Left only when today's score and the closing before are both beyond the same edge by the margin; an exception goes at once."""
        tiers = self.config.score["tiers"]
        edges, margin = sorted(tiers["edges"]), tiers["margin"]
        score = today.get("score")
        if score is None:
            return None
        plain = int(1 + sum(score >= edge for edge in edges))
        if closing is None or today["capped_by"] is not None:
            return plain
        tier: int = closing["tier"]
        both = [score] if tiers["closings"] == 1 else [score, closing["score"]]
        below = tier > 1 and all(s < edges[tier - 2] and s <= edges[tier - 2] - margin for s in both)
        above = tier < 5 and all(s >= edges[tier - 1] + margin for s in both)
        return plain if below or above else tier


RESULT: tuple[str, ...] = ("state", "profile", "score_uncapped", "score", "capped_by", "tier", "coverage", *AXES)


def as_number(value: Any) -> float | None:
    return None if value is None else float(value)
