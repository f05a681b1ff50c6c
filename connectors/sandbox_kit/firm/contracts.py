"""Contracts, orders with their lines, and opportunities of the demo's firm."""

from __future__ import annotations

import random
from datetime import date, timedelta

from connectors.sandbox_kit.firm import words
from connectors.sandbox_kit.firm.accounts import PRICES, SALES, product_key
from connectors.sandbox_kit.firm.calendar import add_months, at
from connectors.sandbox_kit.firm.model import Company, Customer, Ref, Term, UsageLine, weighted

OPEN_STAGES = [("Prospecting", 10), ("Qualification", 20), ("Needs Analysis", 40), ("Proposal/Price Quote", 60), ("Negotiation/Review", 80)]
#: (product, seats, monthly price per seat) of one order or opportunity
Item = tuple[UsageLine, int, int]


def add_contracts(company: Company, customer: Customer) -> None:
    """The contract chain of a customer: one contract per term, one order each, one order line per product."""
    rng = company.random("contracts", customer.key)
    for place, term in enumerate(customer.terms):
        key = f"{customer.key}-{place + 1}"
        items = _items(rng, customer, term, later=len(customer.terms) - 1 - place)
        _add_contract(company, customer, term, key, rng)
        addition = _added_seats(company, customer, term, items, rng)
        if addition is not None:
            line, seats, price, on = addition
            items[0] = (line, line.seats - seats, price)  # both orders together make the seats in force
            _add_order(company, customer, term, f"{key}-b", on, [(line, seats, price)], "Expansion")
            _add_won(company, customer, f"{key}-b", on, [(line, seats, price)], "Expansion", term.months)
        kind = "Renewal" if place or term.starts > customer.since else "New Business"
        _add_order(company, customer, term, key, term.starts, items, "Renewal" if kind == "Renewal" else "New")
        _add_won(company, customer, key, term.starts, items, kind, term.months)
    _add_open(company, customer, rng)


def _items(rng: random.Random, customer: Customer, term: Term, later: int) -> list[Item]:
    """The products in force in a term. Growing customers held 70 % of the seats of the following term."""
    found = []
    for line in customer.products:
        if line.started <= term.starts:
            share = 0.7**later if customer.archetype == "growth" else 0.95**later
            discount = 0.9 if line.seats >= 50 else 1.0
            found.append((line, max(2, round(line.seats * share)), round(PRICES[line.product][line.plan] * discount)))
    return found


def _add_contract(company: Company, customer: Customer, term: Term, key: str, rng: random.Random) -> None:
    over = term.ends < company.today
    churned = customer.churned_on == term.ends
    notice = add_months(term.ends + timedelta(days=1), -(3 if customer.segment == "Enterprise" else 1)) - timedelta(days=1)
    row = {
        "account": Ref("account", customer.key), "starts_on": term.starts.isoformat(), "months": term.months,
        "status": "Expired" if over else "Activated", "owner": customer.sales,
        # a fifth of the records lacks the date, as in most firms; monthly contracts have none
        "notice_on": notice.isoformat() if term.months > 1 and rng.random() < 0.82 else None,
        "auto_renew": not churned and rng.random() < 0.85,
        "churned_on": term.ends.isoformat() if churned else None,
        "churn_reason": rng.choice(words.CHURN_REASONS) if churned else None,
        "reseller": customer.partner,
    }  # fmt: skip
    told = min(term.ends - timedelta(days=rng.randint(30, 60)), company.today - timedelta(days=3)) if churned else None
    company.add("contract", key, term.starts - timedelta(days=rng.randint(3, 15)), row, modified=told)


def _added_seats(company: Company, customer: Customer, term: Term, items: list[Item], rng: random.Random) -> tuple[UsageLine, int, int, date] | None:
    """A growing customer may have bought a quarter more seats in the middle of the current term."""
    on = term.starts + timedelta(days=rng.randint(60, 160))
    draw = rng.random()
    if customer.archetype != "growth" or term is not customer.current or on >= company.today or on > term.ends or draw > 0.35:
        return None
    line, seats, price = items[0]
    return (line, max(1, seats // 5), price, on) if seats > 4 else None


def _add_order(company: Company, customer: Customer, term: Term, key: str, on: date, items: list[Item], kind: str) -> None:
    row = {
        "contract": Ref("contract", key.removesuffix("-b")), "account": Ref("account", customer.key), "starts_on": on.isoformat(),
        "ends_on": term.ends.isoformat(), "status": "Activated", "kind": kind, "owner": customer.sales,
    }  # fmt: skip
    order = company.add("order", key, on - timedelta(days=2), row)
    for line, seats, price in items:
        item = {
            "order": order, "product": product_key(line.product), "quantity": seats, "unit_price": price, "starts_on": on.isoformat(),
            "ends_on": term.ends.isoformat(), "plan": line.plan,
        }  # fmt: skip
        company.add("order_line", f"{key}-{line.product}", on - timedelta(days=2), item)


def _add_opportunity(
    company: Company, key: str, account: Ref, owner: Ref, items: list[Item], months: int, created: date, row: dict[str, object],
    modified: date | None = None,
) -> None:  # fmt: skip
    """One opportunity with a line per product. Amount = seats x monthly price x months of the term, JPY."""
    amount = sum(seats * price * months for _, seats, price in items)
    opportunity = company.add("opportunity", key, created, {"account": account, "owner": owner, "amount": amount, **row}, modified=modified)
    for line, seats, price in items:
        item = {"opportunity": opportunity, "product": product_key(line.product), "quantity": seats, "unit_price": price * months}
        company.add("opportunity_line", f"{key}-{line.product}", created, item)
    if not str(row["stage"]).startswith("Closed"):
        _add_sales_call(company, key, account, owner, opportunity, created)


def _add_sales_call(company: Company, key: str, account: Ref, owner: Ref, opportunity: Ref, created: date) -> None:
    """The last call of sales about an open opportunity, at most a month ago."""
    rng = company.random("sales call", key)
    on = max(company.today - timedelta(days=rng.randint(1, 30)), created)
    on = company.calendar.on_or_before(min(on, company.today - timedelta(days=1)))
    row = {
        "about": opportunity, "account": account, "subject": rng.choice(words.SALES_SUBJECTS), "on": on.isoformat(),
        "status": "Completed", "priority": "Normal", "type": "Call", "owner": owner, "done_at": at(on, 17),
    }  # fmt: skip
    company.add("task", f"{key}-call", on, row, hour=9, modified=on)


def _add_won(company: Company, customer: Customer, key: str, on: date, items: list[Item], kind: str, months: int) -> None:
    label = {"New Business": "新規", "Renewal": "更新", "Expansion": "追加"}[kind]
    closed = on - timedelta(days=5 + len(items))
    row = {
        "name": f"{customer.name} {label} {on:%Y/%m}", "stage": "Closed Won", "probability": 100, "close_on": closed.isoformat(), "kind": kind,
        "contract": Ref("contract", key.removesuffix("-b")),
    }  # fmt: skip
    created = closed - timedelta(days=60)
    _add_opportunity(company, f"opp-{key}", Ref("account", customer.key), customer.sales, items, months, created, row, modified=closed)


def _add_open(company: Company, customer: Customer, rng: random.Random) -> None:
    """The renewal at hand (contract ends within 120 days) and, for a few, an expansion that sales already works on."""
    today, term = company.today, customer.current
    account = Ref("account", customer.key)
    if customer.archetype != "churned" and term.months > 1 and 0 <= (term.ends - today).days <= 120 and customer.churned_on is None:
        items = _items(rng, customer, term, later=0)
        row = _open_row(rng, f"{customer.name} 更新 {term.ends:%Y/%m}", "Renewal", term.ends)
        created = max(term.ends - timedelta(days=120), customer.since)
        _add_opportunity(company, f"opp-{customer.key}-renewal", account, customer.sales, items, term.months, created, row)
    expanding = {"growth": 0.2, "saturated": 0.12, "cross_sell": 0.1}.get(customer.archetype, 0.02)
    if rng.random() < expanding:
        line = customer.products[0]
        created = today - timedelta(days=rng.randint(5, 45))
        row = _open_row(rng, f"{customer.name} 追加のご提案", "Expansion", today + timedelta(days=rng.randint(15, 80)))
        items = [(line, max(1, line.seats // 4), PRICES[line.product][line.plan])]
        _add_opportunity(company, f"opp-{customer.key}-expansion", account, customer.sales, items, 12, created, row)
    elif rng.random() < 0.06:
        closed = today - timedelta(days=rng.randint(30, 300))
        row = _lost_row(f"{customer.name} 追加のご提案", "Expansion", closed)
        line = customer.products[0]
        items = [(line, max(1, line.seats // 3), PRICES[line.product][line.plan])]
        created = closed - timedelta(days=50)
        _add_opportunity(company, f"opp-{customer.key}-lost", account, customer.sales, items, 12, created, row, modified=closed)


def add_prospect_opportunity(company: Company, key: str, name: str) -> None:
    """What sales is talking about with a prospect: two in three open, the others lost."""
    rng = company.random("opportunity", key)
    product = rng.choice(list(PRICES))
    seats = rng.randint(5, 120)
    line = UsageLine("", product, "standard", seats, company.today, None, "prospect", 0.0, 1.0, True)
    owner = Ref("user", f"sales-{rng.randint(1, SALES)}")
    if rng.random() < 0.67:
        created, modified = company.today - timedelta(days=rng.randint(3, 90)), None
        row = _open_row(rng, f"{name} 新規", "New Business", company.today + timedelta(days=rng.randint(10, 120)))
    else:
        modified = company.today - timedelta(days=rng.randint(20, 250))
        created = modified - timedelta(days=60)
        row = _lost_row(f"{name} 新規", "New Business", modified)
    items = [(line, seats, PRICES[product]["standard"])]
    _add_opportunity(company, f"opp-{key}", Ref("account", key), owner, items, 12, created, row, modified=modified)


def _open_row(rng: random.Random, name: str, kind: str, close_on: date) -> dict[str, object]:
    stage, probability = weighted(rng, [(pair, 1.0) for pair in OPEN_STAGES])
    return {"name": name, "stage": stage, "probability": probability, "close_on": close_on.isoformat(), "kind": kind}


def _lost_row(name: str, kind: str, closed: date) -> dict[str, object]:
    return {"name": name, "stage": "Closed Lost", "probability": 0, "close_on": closed.isoformat(), "kind": kind}
