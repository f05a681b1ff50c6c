"""What the demo needs of this sandbox, under names that every sandbox's `demo` module has: seeding, settings of a worker, a record's address."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from connectors.salesforce.sandbox.__main__ import seed_if_new
from connectors.salesforce.sandbox.seed import seed_sandbox
from connectors.sandbox_kit import SandboxProcess

__all__ = ["TITLE", "admin_settings", "page", "seed", "seed_if_new", "settings"]

TITLE = "Salesforce"


def seed(box: SandboxProcess, folder: Path, accounts: int, number: int, today: date) -> None:
    """The made-up company, and its usage files under `folder`/usage."""
    seed_sandbox(box.url, folder, accounts, number, today)


def settings(box: SandboxProcess) -> dict[str, str]:
    """How a worker reaches it: names of its settings, without prefix."""
    return {"salesforce_url": box.url, "salesforce_client_id": box.client_id, "salesforce_client_secret": box.client_secret}


def admin_settings(box: SandboxProcess) -> dict[str, str]:
    """What is different for whoever provisions: the admin's app, and the user who may write the fields afterwards."""
    client_id, secret = box.app("admin")
    user = box.user("integration")["username"]
    return {"salesforce_client_id": client_id, "salesforce_client_secret": secret, "salesforce_username": user}


def page(box_url: str, record_id: str) -> str:
    """Address of an account's page as a CSM sees it; empty = this sandbox has no pages."""
    return f"{box_url}/lightning/r/Account/{record_id}/view?lang=ja"
