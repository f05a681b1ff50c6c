"""What the demo needs of this sandbox, under names that every sandbox's `demo` module has: seeding, settings of a worker, a record's address."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from connectors.hubspot.sandbox.seed import seed_sandbox
from connectors.sandbox_kit import SandboxProcess

TITLE = "HubSpot"


def seed(box: SandboxProcess, folder: Path, accounts: int, number: int, today: date) -> None:
    """The made-up company, and its usage files under `folder`/usage."""
    seed_sandbox(box.url, folder, accounts, number, today)


def settings(box: SandboxProcess) -> dict[str, str]:
    """How a worker reaches it: names of its settings, without prefix."""
    return {"hubspot_url": box.url, "hubspot_token": box.control.info()["access_token"]}


def admin_settings(box: SandboxProcess) -> dict[str, str]:
    """What is different for whoever provisions; one token does both here."""
    return {}


def page(box_url: str, record_id: str) -> str:
    """Address of an account's page as a CSM sees it; empty = this sandbox has no pages."""
    return ""


def seed_if_new(state: Path, accounts: int, number: int, folder: Path) -> None:
    """The same into a state file that has no companies, before it is served."""
    with SandboxProcess(state, crm="hubspot") as box:
        if not box.control.dump("companies", properties="name"):
            seed_sandbox(box.url, folder, accounts, number, date.fromisoformat(box.control.info()["now"][:10]))
