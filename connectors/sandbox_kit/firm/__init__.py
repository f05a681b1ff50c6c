"""The demo's firm: a Japanese SaaS vendor with its customers, their contracts, touches and product usage, before any CRM gives it names.

Everything follows from (accounts, seed, today): the same three give the same records and the same files, byte for byte, whichever CRM they go into.

The parts: `words` names and texts, `calendar` business days, `model` what is handed on, `accounts`, `contracts` and `touches` the records, `rhythm`
and `usage` the usage files. Objects and fields have neutral names; each sandbox's own seed gives them its CRM's.
"""

from __future__ import annotations

from connectors.sandbox_kit.firm.generate import generate
from connectors.sandbox_kit.firm.model import Company, Ref, Row, UsageLine
from connectors.sandbox_kit.firm.usage import UsageFiles, write_usage

__all__ = ["Company", "Ref", "Row", "UsageFiles", "UsageLine", "generate", "write_usage"]
