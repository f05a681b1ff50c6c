"""Puts the demo's firm together from its parts."""

from __future__ import annotations

from datetime import date

from connectors.sandbox_kit.firm.accounts import add_accounts, add_products, add_users
from connectors.sandbox_kit.firm.contracts import add_contracts, add_prospect_opportunity
from connectors.sandbox_kit.firm.model import Company
from connectors.sandbox_kit.firm.touches import Touches


def generate(accounts: int, seed: int, today: date) -> Company:
    """The whole org as of the morning of `today`: nothing in it has happened on or after that day, only planned."""
    if accounts < 1:
        raise ValueError(f"accounts is {accounts}; ask for at least 1")
    company = Company(accounts, seed, today)
    add_users(company)
    add_products(company)
    customers = add_accounts(company)
    for customer in customers:
        add_contracts(company, customer)
        Touches(company, customer).add_all()
    for row in company.records["account"]:
        if row["kind"] == "Prospect":
            add_prospect_opportunity(company, row["_key"], row["name"])
    return company
