"""The demo's org: the firm of `sandbox_kit.firm` under Salesforce's names.

    company, files = seed_sandbox(state, folder, accounts=500, seed=7, today=date(2026, 12, 1))

The parts: `seed_names` objects and fields, `seed_schema` the firm's own fields, `seed_load` the way into a sandbox, `seed_http` over HTTP.
"""

from __future__ import annotations

from connectors.salesforce.sandbox.seed_load import load_company, seed_sandbox
from connectors.salesforce.sandbox.seed_names import generate
from connectors.salesforce.sandbox.seed_schema import install_customer_schema
from connectors.sandbox_kit.firm import Company, Ref, Row, UsageFiles, UsageLine, write_usage

__all__ = [
    "Company", "Ref", "Row", "UsageFiles", "UsageLine", "generate", "install_customer_schema", "load_company", "seed_sandbox", "write_usage",
]  # fmt: skip
