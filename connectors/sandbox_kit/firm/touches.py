"""What happened between the vendor and its customers: contacts, tasks, events, cases, survey answers, outcomes."""

from __future__ import annotations

from datetime import date, timedelta

from connectors.sandbox_kit.firm import words
from connectors.sandbox_kit.firm.accounts import YOUNG, product_key
from connectors.sandbox_kit.firm.calendar import at
from connectors.sandbox_kit.firm.model import SETUP_DAYS, Company, Customer, Ref

HISTORY_DAYS = 400  # as long as the usage files
#: touches a year by touch model: (calls, mails, to-dos, meetings, quarterly reviews)
TOUCHES = {"tech": (0.6, 1.6, 0.3, 0.2, 0.0), "hybrid": (2.5, 3.0, 1.2, 2.5, 0.8), "high": (6.0, 6.0, 3.0, 9.0, 3.0)}
#: how much more or less is said with customers of an archetype
CONTACT_FACTOR = {
    "growth": 1.2, "cross_sell": 1.3, "saturated": 1.2, "decline": 0.45, "sudden_stop": 0.6, "never_started": 0.6, "churned": 0.6, "escalation": 1.5,
}  # fmt: skip
CLOSE_TO_US = ("cross_sell", "saturated", "plan_limit")  # every role is known
CASES_A_YEAR = {"SMB": 2.0, "Mid": 4.0, "Enterprise": 8.0}
CASE_FACTOR = {"decline": 1.6, "escalation": 2.2, "never_started": 0.3, "churned": 1.4, "cross_sell": 0.8}
#: middle of the NPS answers (0-10)
NPS_MIDDLE = {
    "growth": 9.0, "cross_sell": 9.2, "saturated": 8.6, "plan_limit": 8.0, "decline": 5.2, "sudden_stop": 5.0, "churned": 3.5, "escalation": 4.2,
}  # fmt: skip
#: improvement of the customer's own figure, from-to, as a share of its baseline
IMPROVEMENT = {
    "growth": (0.3, 0.55), "cross_sell": (0.35, 0.6), "saturated": (0.3, 0.55), "plan_limit": (0.25, 0.5),
    "decline": (0.0, 0.12), "churned": (0.0, 0.1),
}  # fmt: skip
#: share of customers whose outcome somebody has measured
OUTCOME_KNOWN = {"cross_sell": 0.9, "growth": 0.6, "saturated": 0.6, "decline": 0.3, "onboarding": 0.0, "never_started": 0.0}


class Touches:
    """Adds everything of one customer; holds what the records have in common."""

    def __init__(self, company: Company, customer: Customer) -> None:
        self.company, self.customer = company, customer
        self.rng = company.random("touches", customer.key)
        self.account = Ref("account", customer.key)
        self.first = max(customer.since - timedelta(days=10), company.today - timedelta(days=HISTORY_DAYS))
        gone = customer.churned_on if customer.archetype == "churned" else None
        if customer.archetype == "never_started":
            gone = customer.since + timedelta(days=20)  # after the kick-off nobody was reached any more
        self.last = min(company.today - timedelta(days=1), gone or company.today)
        self.contacts: dict[str, Ref] = {}

    def add_all(self) -> None:
        self.add_contacts()
        self.add_onboarding()
        self.add_regular()
        self.add_cases()
        self.add_answers()
        self.add_outcome()

    def count(self, yearly: float) -> int:
        """How often a thing of that yearly rate happened in this customer's history; the fraction is drawn."""
        exact = yearly * (self.last - self.first).days / 365
        return int(exact) + (self.rng.random() < exact % 1)

    def day(self, first: date | None = None) -> date:
        """A business day of the history at random."""
        first = first or self.first
        return self.company.calendar.on_or_before(first + timedelta(days=self.rng.randint(0, max(0, (self.last - first).days))))

    # -- people ---------------------------------------------------------------------------------------------------------------------------

    def add_contacts(self) -> None:
        roles = ["admin", "operator", "champion", "decision_maker"]
        if self.customer.archetype == "never_started":
            roles = ["admin", "decision_maker"]  # nobody is named yet who would run it
        elif self.customer.segment != "SMB":
            roles += ["operator"] * self.rng.randint(1, 2)
        for place, role in enumerate(roles):
            skipped = self.rng.random() < {"champion": 0.15, "decision_maker": 0.12}.get(role, 0.0)
            if not skipped or self.customer.archetype in ("champion_left", *CLOSE_TO_US):
                self._add_contact(place, role)

    def _add_contact(self, place: int, role: str) -> None:
        (last, last_r), (first, first_r) = self.rng.choice(words.LAST_NAMES), self.rng.choice(words.FIRST_NAMES)
        left = self._left_on(role)
        row = {
            "account": self.account, "last_name": last, "first_name": first, "title": self.rng.choice(words.TITLES[role]),
            "email": f"{last_r}.{first_r}{place}@{self.customer.domain}", "role": role, "left_on": left.isoformat() if left else None,
            "owner": self.customer.csm,
        }  # fmt: skip
        ref = self.company.add("contact", f"{self.customer.key}-c{place}", self.customer.since, row, modified=left)
        self.contacts.setdefault(role, ref)

    def _left_on(self, role: str) -> date | None:
        today = self.company.today
        if role == "champion" and self.customer.archetype == "champion_left":
            return today - timedelta(days=self.rng.randint(38, 70))
        if role == "operator" and self.rng.random() < 0.06:
            left = today - timedelta(days=self.rng.randint(20, 300))
            return left if left > self.customer.since else None
        return None

    # -- activities -----------------------------------------------------------------------------------------------------------------------

    def add_onboarding(self) -> None:
        """Kick-off, one task per set-up step with its due day, and a training; only where the start lies inside the history."""
        if self.customer.since < self.first:
            return
        since, calendar, rng = self.customer.since, self.company.calendar, self.rng
        if self.customer.touch != "tech" or self.customer.archetype == "onboarding":
            self._task("kickoff", "キックオフ", calendar.on_or_before(since + timedelta(days=rng.randint(4, 9))), "Task", done=True)
        main = self.customer.products[0]
        steps = words.SETUP_STEPS[main.product]
        for place, step in enumerate(steps, start=1):
            due = calendar.on_or_before(since + timedelta(days=round(SETUP_DAYS * place / len(steps)) + 5))
            done = place <= main.setup_done(len(steps), self.company.today)
            self._task("onboarding_step", f"初期設定:{step}", due, "Task", done=done)
        trained = since + timedelta(days=rng.randint(25, 40))
        if trained <= self.last and self.customer.archetype != "never_started":
            self._task("training", rng.choice(words.TRAINING_SUBJECTS), calendar.on_or_before(trained), "Task", done=True)

    def add_regular(self) -> None:
        factor = CONTACT_FACTOR.get(self.customer.archetype, 1.0)
        calls, mails, todos, meetings, reviews = (rate * factor for rate in TOUCHES[self.customer.touch])
        written = ((calls, "Call", words.CALL_SUBJECTS), (mails, "Email", words.MAIL_SUBJECTS), (todos, "Task", words.TODO_SUBJECTS))
        for rate, subtype, subjects in written:
            for _ in range(self.count(rate)):
                self._task(None, self.rng.choice(subjects), self.day(), subtype, done=True)
        for _ in range(self.count(meetings)):
            self._event("meeting", self.rng.choice(words.MEETING_SUBJECTS), self.day())
        for _ in range(self.count(reviews) if self.customer.archetype not in YOUNG else 0):
            self._event("qbr", self.rng.choice(words.QBR_SUBJECTS), self.day(), who="decision_maker")
        if self.rng.random() < 0.35:
            self._event("webinar", self.rng.choice(words.WEBINAR_SUBJECTS), self.day(), who="operator")
        if self.rng.random() < 0.2:
            self._event("training", self.rng.choice(words.TRAINING_SUBJECTS), self.day(), who="admin")
        if self.customer.archetype == "cross_sell" or (self.customer.archetype in CLOSE_TO_US and self.rng.random() < 0.35):
            recent = max(self.first, self.last - timedelta(days=60))
            met = max(self.first, self.last - timedelta(days=self.rng.randint(20, 70)))
            self._event("qbr", words.QBR_SUBJECTS[0], self.company.calendar.on_or_before(met), who="decision_maker")
            self._task(None, words.CALL_SUBJECTS[0], self.day(recent), "Call", done=True)
        if self.customer.touch != "tech" and self.customer.archetype not in ("churned", "never_started") and self.rng.random() < 0.4:
            ahead = self.company.calendar.on_or_before(self.company.today + timedelta(days=self.rng.randint(6, 30)))
            self._event("meeting", "定例MTG", max(ahead, self.company.today))

    def _task(self, kind: str | None, subject: str, on: date, subtype: str, *, done: bool) -> None:
        who = self.contacts.get("admin") if subtype != "Task" else None
        lead = self.rng.randint(0, 5)
        created = min(on, self.company.today) - timedelta(days=lead)
        finished = self.company.calendar.on_or_before(min(on, self.last)) if done else None
        if kind == "onboarding_step":
            created = self.customer.since
            if done:  # some days ahead of the due day
                finished = self.company.calendar.on_or_before(min(on - timedelta(days=lead), self.last))
        row = {
            "about": self.account, "account": self.account, "contact": who, "subject": subject, "on": on.isoformat(),
            "status": "Completed" if done else "Not Started", "priority": "Normal", "type": subtype, "owner": self.customer.csm,
            "kind": kind, "done_at": at(finished, 17) if finished else None,
        }  # fmt: skip
        key = f"{self.customer.key}-t{self.rng.getrandbits(40):010x}"
        self.company.add("task", key, created, row, hour=9, modified=finished)

    def _event(self, kind: str, subject: str, on: date, who: str = "champion") -> None:
        hour = self.rng.choice((10, 11, 13, 14, 15, 16))
        row = {
            "about": self.account, "account": self.account, "contact": self.contacts.get(who) or self.contacts.get("admin"), "subject": subject,
            "starts_at": at(on, hour), "ends_at": at(on, hour + 1), "at": at(on, hour), "on": on.isoformat(),
            "minutes": 60, "kind": kind, "owner": self.customer.csm,
        }  # fmt: skip
        key = f"{self.customer.key}-e{self.rng.getrandbits(40):010x}"
        self.company.add("event", key, min(on, self.company.today) - timedelta(days=self.rng.randint(3, 14)), row)

    # -- tickets, answers, outcomes -------------------------------------------------------------------------------------------------------

    def add_cases(self) -> None:
        for _ in range(self.count(CASES_A_YEAR[self.customer.segment] * CASE_FACTOR.get(self.customer.archetype, 1.0))):
            opened = self.day()
            priority = self.rng.choices(("High", "Medium", "Low"), (0.08, 0.6, 0.32))[0]
            closed: date | None = self.company.calendar.on_or_before(opened + timedelta(days=self.rng.choice((0, 1, 1, 2, 3, 5, 8))))
            closed = closed if closed is not None and closed < self.company.today else None
            self._case(self.rng.choice(words.CASE_SUBJECTS), opened, closed, priority, escalated=False)
        if self.customer.archetype == "escalation":
            opened = self.company.today - timedelta(days=self.rng.randint(9, 20))
            self._case(self.rng.choice(words.URGENT_CASE_SUBJECTS), opened, None, "High", escalated=True)

    def _case(self, subject: str, opened: date, closed: date | None, priority: str, *, escalated: bool) -> None:
        middle = NPS_MIDDLE.get(self.customer.archetype, 7.5) / 2
        answered = closed is not None and self.rng.random() < 0.5
        open_status = "Escalated" if escalated else "Working"
        row = {
            "account": self.account, "contact": self.contacts.get("operator"), "subject": subject, "status": "Closed" if closed else open_status,
            "priority": priority, "origin": self.rng.choice(("Email", "Web", "Phone")), "escalated": escalated,
            "closed_at": at(closed, 18) if closed else None, "product": product_key(self.rng.choice(self.customer.products).product),
            "csat": min(5, max(1, round(self.rng.gauss(middle, 0.8)))) if answered else None,
        }  # fmt: skip
        key = f"{self.customer.key}-k{self.rng.getrandbits(40):010x}"
        self.company.add("ticket", key, opened, row, hour=self.rng.randint(9, 17), modified=closed)

    def add_answers(self) -> None:
        asked = self.customer.archetype not in ("never_started",) and (self.last - self.first).days > 30
        for place in range(self.rng.choice((0, 0, 1, 2, 3)) if asked else 0):
            kind = "csat" if self.rng.random() < 0.25 else "nps"
            nps = min(10, max(0, round(self.rng.gauss(NPS_MIDDLE.get(self.customer.archetype, 7.2), 1.4))))
            mood = "good" if nps >= 9 else "mid" if nps >= 7 else "bad"
            on = self.day(max(self.first, self.last - timedelta(days=170)) if place < 2 else None)
            row = {
                "account": self.account, "contact": self.contacts.get("champion") or self.contacts.get("admin"), "kind": kind,
                "score": nps if kind == "nps" else max(1, round(nps / 2)), "answered_at": at(on, self.rng.randint(9, 18)),
                "comment": self.rng.choice(words.NPS_COMMENTS[mood]) if self.rng.random() < 0.7 else None,
            }  # fmt: skip
            self.company.add("survey", f"{self.customer.key}-n{place}", on, row)

    def add_outcome(self) -> None:
        if (self.last - self.first).days < 120 or self.rng.random() > OUTCOME_KNOWN.get(self.customer.archetype, 0.45):
            return
        metric, low, high = words.OUTCOME_METRICS[self.customer.products[0].product]
        baseline = self.rng.randint(low, high)
        gain = self.rng.uniform(*IMPROVEMENT.get(self.customer.archetype, (0.03, 0.35)))
        if self.customer.archetype == "steady" and self.rng.random() < 0.2:
            gain = 0.0  # much used and nothing gained: the pattern that churns by surprise
        on = self.day(max(self.first, self.last - timedelta(days=200)))
        row = {
            "account": self.account, "metric": metric, "baseline": baseline, "current": round(baseline * (1 - gain), 1),
            "measured_on": on.isoformat(), "fact_backed": self.rng.random() < 0.7,
        }  # fmt: skip
        self.company.add("outcome", f"{self.customer.key}-o", on, row)
