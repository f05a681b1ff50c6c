"""The demo's org: a Japanese SaaS vendor with its customers, their contracts, touches and product usage.

Everything follows from (accounts, seed, today): the same three give the same records and the same files, byte for byte.

    company, files = seed_sandbox(state, folder, accounts=500, seed=7, today=date(2026, 12, 1))

The parts: `seed_words` names and texts, `seed_calendar` business days, `seed_model` what is handed on, `seed_accounts`, `seed_contracts` and
`seed_touches` the records, `seed_rhythm` and `seed_usage` the usage files, `seed_schema` the firm's own fields, `seed_load` the way into a sandbox.
"""

from __future__ import annotations

from connectors.salesforce.sandbox.seed_generate import generate
from connectors.salesforce.sandbox.seed_load import load_company, seed_sandbox
from connectors.salesforce.sandbox.seed_model import Company, Ref, Row, UsageLine
from connectors.salesforce.sandbox.seed_schema import install_customer_schema
from connectors.salesforce.sandbox.seed_usage import UsageFiles, write_usage

__all__ = [
    "Company", "Ref", "Row", "UsageFiles", "UsageLine", "generate", "install_customer_schema", "load_company", "seed_sandbox", "write_usage",
]  # fmt: skip
