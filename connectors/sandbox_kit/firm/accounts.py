"""Accounts of the demo's firm: customers with their contract chain, prospects, resellers, products and users."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import count

from connectors.sandbox_kit.firm import words
from connectors.sandbox_kit.firm.calendar import add_months, month_start
from connectors.sandbox_kit.firm.model import ARCHETYPES, Company, Customer, Ref, Term, UsageLine, apportion, weighted

CSMS, SALES = 6, 5
SEGMENTS = [("SMB", 0.55), ("Mid", 0.33), ("Enterprise", 0.12)]
EMPLOYEES = {"SMB": (8, 90), "Mid": (100, 900), "Enterprise": (1000, 9000)}
TOUCH = {
    "SMB": [("tech", 0.55), ("hybrid", 0.42), ("high", 0.03)],
    "Mid": [("tech", 0.05), ("hybrid", 0.80), ("high", 0.15)],
    "Enterprise": [("hybrid", 0.20), ("high", 0.80)],
}
PRODUCT_WEIGHTS = [("expense", 0.52), ("invoice", 0.32), ("attendance", 0.09), ("esign", 0.07)]
PRODUCT_COUNT = [(1, 0.46), (2, 0.38), (3, 0.13), (4, 0.03)]
#: contracted IDs by segment: chosen so that 500 accounts make about a million usage rows
SEATS = {
    "expense": {"SMB": (6, 20), "Mid": (22, 70), "Enterprise": (80, 220)},
    "invoice": {"SMB": (3, 8), "Mid": (6, 20), "Enterprise": (15, 45)},
    "attendance": {"SMB": (8, 24), "Mid": (25, 60), "Enterprise": (60, 150)},
    "esign": {"SMB": (3, 7), "Mid": (5, 20), "Enterprise": (15, 45)},
}
#: JPY per seat and month
PRICES = {
    "expense": {"lite": 500, "standard": 800, "pro": 1200},
    "invoice": {"lite": 2500, "standard": 4000, "pro": 6000},
    "attendance": {"lite": 300, "standard": 450, "pro": 600},
    "esign": {"lite": 900, "standard": 1500, "pro": 2200},
}
PLANS = {
    "SMB": [("lite", 0.5), ("standard", 0.42), ("pro", 0.08)],
    "Mid": [("lite", 0.2), ("standard", 0.55), ("pro", 0.25)],
    "Enterprise": [("standard", 0.4), ("pro", 0.6)],
}
#: share of seats in use in normal weeks
LEVELS = {"growth": (0.78, 0.88), "cross_sell": (0.76, 0.86), "saturated": (0.985, 1.0), "plan_limit": (0.74, 0.86), "escalation": (0.66, 0.8)}
#: how often people come, against the product's ordinary rhythm
PACES = {"growth": (0.8, 1.15), "cross_sell": (0.85, 1.15), "plan_limit": (0.85, 1.15), "onboarding": (0.7, 1.1), "saturated": (1.0, 1.0)}
#: so few that one person more or less would hide what the archetype should show
LEAST_SEATS = {"saturated": 10, "plan_limit": 6, "cross_sell": 8}
YOUNG = ("onboarding", "never_started")


def product_key(code: str) -> Ref:
    return Ref("product", code)


def add_users(company: Company) -> None:
    """The vendor's CSMs and sales; they come beside the users that the org has from the start."""
    rng = company.random("users")
    for key in [f"csm-{n}" for n in range(1, CSMS + 1)] + [f"sales-{n}" for n in range(1, SALES + 1)]:
        (last, last_r), (first, first_r) = rng.choice(words.LAST_NAMES), rng.choice(words.FIRST_NAMES)
        team = "カスタマーサクセス部" if key.startswith("csm") else "カスタマーセールス部"
        address = f"{first_r}.{last_r}.{key}@koyomi-cloud.example"
        row = {
            "username": address, "email": address, "last_name": last, "first_name": first, "alias": key, "active": True,
            "department": team, "title": "CSM" if key.startswith("csm") else "営業", "time_zone": "Asia/Tokyo",
        }  # fmt: skip
        company.add("user", key, company.today - timedelta(days=1200), row)


def add_products(company: Company) -> None:
    for code, (name, family) in words.PRODUCTS.items():
        row = {"name": name, "code": code, "family": family, "active": True}
        company.add("product", code, company.today - timedelta(days=1200), row)


def firm_names(rng: random.Random) -> Iterator[tuple[str, str, str]]:
    """(industry, legal name, domain label), endless and without repeats; the pairs of name halves are shuffled once."""
    stems = [(a[0] + b[0], a[1] + b[1]) for a in words.NAME_HEADS for b in words.NAME_TAILS]
    endings = [(industry, *ending) for industry, some in words.INDUSTRIES.items() for ending in some]
    rng.shuffle(stems)
    rng.shuffle(endings)
    forms = [(form, float(weight)) for form, weight in words.LEGAL_FORMS]
    for turn in count():
        again = str(turn // len(endings) + 1) if turn >= len(endings) else ""  # after some 23,000 names: a number behind them
        for place, (stem, romaji) in enumerate(stems):
            industry, ending, latin = endings[(place + turn) % len(endings)]
            yield industry, weighted(rng, forms).format(stem + ending + again), f"{romaji}-{latin}{again}"


def add_accounts(company: Company) -> list[Customer]:
    """All accounts; the customers come back for those who add contracts, touches and usage."""
    prospects = max(1, round(company.accounts * 0.10)) if company.accounts >= 5 else 0
    partners = max(1, round(company.accounts * 0.05)) if company.accounts >= 10 else 0
    names = firm_names(company.random("names"))
    sellers = [_add_partner(company, n, *next(names)) for n in range(1, partners + 1)]
    kinds = [kind for kind, count in apportion(company.accounts - prospects - partners, ARCHETYPES).items() for _ in range(count)]
    company.random("kinds").shuffle(kinds)
    customers = [_customer(company, n, kind, sellers, *next(names)) for n, kind in enumerate(kinds, start=1)]
    _add_groups(company, customers)
    for n in range(1, prospects + 1):
        _add_prospect(company, n, *next(names))
    return customers


def _add_partner(company: Company, n: int, industry: str, name: str, domain: str) -> Ref:
    key = f"partner-{n:04d}"
    rng = company.random(key)
    company.archetypes[key] = "partner"
    ending, latin = rng.choice(words.PARTNER_ENDINGS)
    stem = name.replace("株式会社", "").replace("合同会社", "")[:2]
    row = {
        "name": f"{stem}{ending}株式会社", "kind": "Partner", "industry": "Technology", "employees": rng.randint(30, 1500),
        "region": rng.choice(words.STATES), "owner": Ref("user", f"sales-{rng.randint(1, SALES)}"),
        "website": f"https://www.{domain.split('-')[0]}-{latin}.example",
    }  # fmt: skip
    return company.add("account", key, company.today - timedelta(days=rng.randint(800, 1500)), row)


def _add_prospect(company: Company, n: int, industry: str, name: str, domain: str) -> None:
    key = f"prospect-{n:05d}"
    rng = company.random(key)
    company.archetypes[key] = "prospect"
    segment = weighted(rng, SEGMENTS)
    row = {
        "name": name, "kind": "Prospect", "industry": industry, "employees": rng.randint(*EMPLOYEES[segment]), "segment": segment,
        "region": rng.choice(words.STATES), "owner": Ref("user", f"sales-{rng.randint(1, SALES)}"), "website": f"https://www.{domain}.example",
    }  # fmt: skip
    company.add("account", key, company.today - timedelta(days=rng.randint(20, 300)), row)


def _customer(company: Company, n: int, kind: str, sellers: list[Ref], industry: str, name: str, domain: str) -> Customer:
    key = f"customer-{n:05d}"
    rng = company.random(key)
    company.archetypes[key] = kind
    segment = weighted(rng, SEGMENTS)
    since, churned, terms = contract_chain(rng, company.today, kind)
    customer = Customer(
        key=key, name=name, archetype=kind, segment=segment, touch=weighted(rng, TOUCH[segment]), domain=f"{domain}.example",
        tenant=f"t-{n:05d}", since=since, csm=Ref("user", f"csm-{rng.randint(1, CSMS)}"), sales=Ref("user", f"sales-{rng.randint(1, SALES)}"),
        partner=rng.choice(sellers) if sellers and rng.random() < 0.1 else None, churned_on=churned, terms=terms,
    )  # fmt: skip
    if churned is None and kind == "decline" and rng.random() < 0.2 and terms[-1].ends > company.today + timedelta(days=20):
        customer.churned_on = terms[-1].ends  # notice given: the contract still runs, its end is known
    customer.products = _usage_lines(rng, customer)
    _set_stop(company, customer, rng)
    company.tenants[key] = customer.tenant
    company.lines += customer.products
    _add_customer(company, customer, rng, n, industry)
    return customer


def _add_customer(company: Company, customer: Customer, rng: random.Random, n: int, industry: str) -> None:
    told = customer.churned_on and min(customer.churned_on - timedelta(days=rng.randint(35, 60)), company.today - timedelta(days=rng.randint(3, 25)))
    row = {
        "name": customer.name, "kind": "Customer", "industry": industry, "employees": rng.randint(*EMPLOYEES[customer.segment]),
        "region": rng.choice(words.STATES), "owner": customer.sales, "website": f"https://www.{customer.domain}",
        "csm": customer.csm, "segment": customer.segment, "touch_model": customer.touch,
        # some records lack the key: what usage cannot be matched to must be seen, not guessed
        "tenant": None if n % 53 == 20 else customer.tenant, "partner": customer.partner,
        "churn_notice_on": told.isoformat() if told else None,
    }  # fmt: skip
    company.add("account", customer.key, customer.since - timedelta(days=rng.randint(20, 120)), row, modified=told)


def _add_groups(company: Company, customers: list[Customer]) -> None:
    """One in 25 customers belongs to a group whose head is an enterprise customer with a holding's name."""
    rng = company.random("groups")
    heads = [c for c in customers if c.segment == "Enterprise"][: max(1, len(customers) // 70)]
    rows = {row["_key"]: row for row in company.records["account"]}
    for head in heads:
        ending, _ = words.GROUP_ENDING
        stem = head.name.replace("株式会社", "").replace("合同会社", "")[:2]
        rows[head.key]["name"] = head.name = f"{stem}{ending}株式会社"
    for child in rng.sample(customers, len(customers) // 25):
        if heads and child not in heads:
            rows[child.key]["parent"] = Ref("account", rng.choice(heads).key)


def contract_chain(rng: random.Random, today: date, kind: str) -> tuple[date, date | None, list[Term]]:
    """(customer since, churned on, the last contracts in order). More than a third end on 3/31, with the fiscal year.

    Of a long history only the last four contracts are kept (six of monthly ones).
    """
    if kind in YOUNG:
        since = today - timedelta(days=rng.randint(14, 80) if kind == "onboarding" else rng.randint(50, 85))
        months = 24 if rng.random() < 0.05 else 12
        return since, None, [Term(since, add_months(since, months) - timedelta(days=1), months)]
    if kind == "churned":
        ended = month_start(today - timedelta(days=rng.randint(20, 280))) - timedelta(days=1)
        since = add_months(ended + timedelta(days=1), -12)
        return since, ended, [Term(since, ended, 12)]
    since = month_start(today - timedelta(days=rng.randint(200, 1700)))
    months = weighted(rng, [(12, 0.86), (24, 0.05), (6, 0.06), (1, 0.03)])
    first = months
    if months == 12 and rng.random() < 0.4:
        first = (3 - since.month) % 12 + 1  # the first contract is cut to end on 3/31: start April = 12, start March = 1
    terms, start, length = [], since, first
    while start <= today:
        following = add_months(start, length)
        terms.append(Term(start, following - timedelta(days=1), length))
        start, length = following, months
    return since, None, terms[-6:] if months == 1 else terms[-4:]


def _usage_lines(rng: random.Random, customer: Customer) -> list[UsageLine]:
    """The products of a customer; the first is the main one. Further products may have come with a later contract."""
    single = customer.archetype == "cross_sell" or (customer.archetype in YOUNG and rng.random() < 0.8)
    size = 1 if single else weighted(rng, PRODUCT_COUNT)
    left, found = list(PRODUCT_WEIGHTS), []
    if customer.archetype == "plan_limit":
        left = [pair for pair in left if pair[0] != "attendance"]  # clocking in drowns every other feature; a limit shows in the other products
    for place in range(min(size, len(left))):
        product = weighted(rng, left)
        left = [pair for pair in left if pair[0] != product]
        main = place == 0
        late = not main and len(customer.terms) > 1 and rng.random() < 0.4 and customer.archetype != "decline"  # a new product would hide it
        started = customer.terms[rng.randrange(1, len(customer.terms))].starts if late else customer.since
        shape = customer.archetype if main or customer.archetype not in ("saturated", "plan_limit") else "steady"
        plan = "lite" if shape == "plan_limit" else weighted(rng, PLANS[customer.segment])
        level, pace = rng.uniform(*LEVELS.get(shape, (0.42, 0.74))), rng.uniform(*PACES.get(shape, (0.55, 1.05)))
        seats = max(rng.randint(*SEATS[product][customer.segment]), LEAST_SEATS.get(shape, 1))
        found.append(UsageLine(customer.tenant, product, plan, seats, started, None, shape, round(level, 3), round(pace, 3), main))
    return found


def _set_stop(company: Company, customer: Customer, rng: random.Random) -> None:
    """A sudden stop leaves the last 15 business days empty; who churned stopped some weeks before the end."""
    if customer.archetype == "sudden_stop":
        stopped = company.calendar.back(company.today, rng.randint(15, 18))
    elif customer.archetype == "churned":
        stopped = customer.current.ends - timedelta(days=rng.randint(3, 40))
    else:
        return
    for line in customer.products:
        line.stopped = stopped
