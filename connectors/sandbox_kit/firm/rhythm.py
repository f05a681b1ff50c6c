"""How much a product is used on a day, and how many of a line's seats are in use in a week."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import date, timedelta

from connectors.sandbox_kit.firm.calendar import Calendar
from connectors.sandbox_kit.firm.model import UsageLine

#: lines without a trend of their own: their use comes and goes by up to a fifth over some months
SWINGING = ("steady", "escalation", "champion_left", "plan_limit")
RAMP_WEEKS = 6  # a new product takes that long until everybody who will use it does


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: who uses it (0 everybody, 1 approvers, 2 administrators), how often on a day on which that person is active (0-1).

    `plan`: any, or pro (held by the pro plan; customers at their plan's limit knock at it from lite). `close`: only around the month's end.
    """

    product: str
    name: str
    role: int
    chance: float
    plan: str = "any"
    close: bool = False


#: the first feature of a product is its core feature: every active person uses it
FEATURES = [
    Feature("expense", "report_submit", 0, 1.0), Feature("expense", "approval", 1, 0.85), Feature("expense", "card_import", 0, 0.12),
    Feature("expense", "journal_export", 2, 0.8, close=True), Feature("expense", "approval_advanced", 1, 0.7, "pro"),
    Feature("expense", "api", 2, 0.6, "pro"), Feature("invoice", "invoice_receive", 0, 1.0), Feature("invoice", "approval", 1, 0.8),
    Feature("invoice", "journal_export", 2, 0.8, close=True), Feature("invoice", "approval_advanced", 1, 0.7, "pro"),
    Feature("invoice", "api", 2, 0.6, "pro"), Feature("attendance", "clock", 0, 1.0), Feature("attendance", "leave_request", 0, 0.04),
    Feature("attendance", "month_submit", 0, 0.6, close=True), Feature("attendance", "month_close", 1, 0.9, close=True),
    Feature("attendance", "approval_advanced", 1, 0.4, "pro"), Feature("attendance", "api", 2, 0.6, "pro"),
    Feature("esign", "sign_send", 0, 1.0), Feature("esign", "sign_check", 0, 0.3), Feature("esign", "template_edit", 2, 0.2),
    Feature("esign", "approval_advanced", 1, 0.7, "pro"), Feature("esign", "api", 2, 0.5, "pro"),
]  # fmt: skip
#: chance that a person is active on an ordinary business day; attendance is clocked every day, the others come up a few times a month
DAILY = {"expense": 0.2, "invoice": 0.3, "attendance": 0.94, "esign": 0.17}


def day_factor(calendar: Calendar, product: str, day: date) -> float:
    """Use of a product on a day against an ordinary business day; 0 = nobody works. Peaks: month end, first days, the 5s and 10s of invoices."""
    if not calendar.is_business(day):
        return 0.05 if product == "esign" and not calendar.is_holiday(day) else 0.0
    lull = 0.4 if calendar.is_lull(day) else 1.0
    if product == "attendance":
        return lull**0.5 if lull < 1 else 1.0
    nth, last = calendar.position_in_month(day)
    if product == "invoice":
        factor = 2.2 if last <= 3 else 1.5 if nth <= 3 else 1.1 if day.day % 5 == 0 else 0.7
    elif product == "expense":
        factor = 1.8 if last <= 3 else 1.5 if nth <= 2 else 0.85
    else:
        factor = 1.4 if last <= 3 or day.month in (3, 4) else 0.9
    return factor * lull


def is_close(calendar: Calendar, day: date) -> bool:
    """The last two and the first two business days of a month, when the books and time sheets are closed."""
    if not calendar.is_business(day):
        return False
    nth, last = calendar.position_in_month(day)
    return nth <= 2 or last <= 2


def week_of(today: date, day: date) -> int:
    """Weeks before `today`, 0 = the seven days that end yesterday."""
    return (today - day).days // 7 if day >= today else ((today - day).days - 1) // 7


def week_levels(line: UsageLine, today: date, weeks: int, rng: random.Random) -> list[tuple[int, int, float]]:
    """(week, people in use, push) for the weeks in which the line is used; push multiplies how often each of them comes."""
    found = []
    turn, ramp = rng.randint(9, 18), rng.randint(10, 14)  # weeks ago at which a decline began, or seats were full
    first_trace = rng.random() < 0.5
    swing, period, phase = rng.uniform(0.03, 0.22), rng.uniform(10, 28), rng.uniform(0, 2 * math.pi)
    for week in range(week_of(today, line.started), -1, -1):
        noise = rng.uniform(-0.03, 0.03)
        if week >= weeks:
            continue
        age = week_of(today, line.started) - week
        share, push = _shape(line, today, week, age, turn, ramp)
        if line.shape in SWINGING:
            push *= 1 + swing * math.sin(2 * math.pi * week / period + phase)
            share *= 1 + swing / 2 * math.sin(2 * math.pi * week / period + phase)
        if line.shape == "never_started":
            share, push = (0.0, 0.0) if age or not first_trace else (0.01, 0.5)  # at most the administrator's first look around
        elif line.shape != "saturated":
            share = max(0.0, share + noise * share)
        people = min(line.seats, max(1, round(share * line.seats)) if share > 0 else 0)
        if people:
            found.append((week, people, round(push * line.pace, 3)))
    return found


def _shape(line: UsageLine, today: date, week: int, age: int, turn: int, ramp: int) -> tuple[float, float]:
    """(share of seats in use, push) of a line `week` weeks ago, `age` weeks after its start."""
    level = line.level
    if line.shape == "onboarding":
        return level * min(1.0, (age + 1.5) / 9), 1.0
    starting = min(1.0, (age + 1) / RAMP_WEEKS)
    if line.shape == "growth":
        return level * starting * max(0.4, 1 - week / 80), 1.0
    if line.shape == "saturated":
        # often enough that hardly anybody is missed in 28 days: 0.45 x 0.8 a day, 19 business days, makes 1 in 4,000
        return (level, max(1.2, 0.45 / DAILY[line.product])) if week <= ramp else (starting * max(0.55, level - (week - ramp) * 0.03), 1.0)
    if line.shape == "decline":
        left = max(0.0, (turn - week) / turn)
        return level * starting * (1 - 0.75 * left), 1.0 - 0.45 * left
    if line.shape == "churned" and line.stopped is not None:
        left = max(0.0, 1 - (week - week_of(today, line.stopped)) / 18)
        return level * starting * (1 - 0.6 * left), 1.0 - 0.3 * left
    if line.shape == "champion_left" and week < 6:
        return level * starting * 0.85, 0.9
    return level * starting, 1.0


def usage_start(today: date) -> date:
    """First day of the files: thirteen calendar months, the last of them the month of yesterday."""
    last = today - timedelta(days=1)
    return date(last.year - 1, last.month, 1)
