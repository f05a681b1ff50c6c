"""Loads the generated firm into a sandbox: straight into its state, or over HTTP into one that runs."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from connectors.salesforce.sandbox.seed_http import HttpOrg
from connectors.salesforce.sandbox.seed_names import generate
from connectors.salesforce.sandbox.seed_schema import Metadata, Org, install_customer_schema
from connectors.salesforce.sandbox.state import State
from connectors.sandbox_kit.firm import Company, Ref, Row, UsageFiles, write_usage

#: parents before children; objects not named here come after these in the order in which they were generated
LOAD_ORDER = ("User", "Product2", "Account", "Contact", "Contract", "Order", "OrderItem", "Opportunity", "OpportunityLineItem")
CHUNK = 5000


class StateOrg:
    """An org whose state lies in this process."""

    def __init__(self, state: State) -> None:
        self.state = state

    def has_object(self, name: str) -> bool:
        return name.lower() in self.state.objects

    def has_field(self, object_name: str, field_name: str) -> bool:
        return self.state.object(object_name).get(field_name) is not None

    def create_object(self, name: str, metadata: Metadata) -> None:
        self.state.create_object(name, metadata)

    def create_field(self, full_name: str, metadata: Metadata) -> None:
        self.state.create_field(full_name, metadata)

    def insert(self, object_name: str, rows: list[dict[str, Any]]) -> list[str]:
        return self.state.bulk_load(object_name, rows)

    def user_ids(self) -> dict[str, str]:
        return {alias: self.state.user(alias).id for alias in ("admin", "integration", "csm", "sales")}

    def exists(self, object_name: str, name: str) -> bool:
        item = self.state.object(object_name)
        return bool(self.state.read(f'SELECT 1 FROM "{item.name}" WHERE "Name" = ? AND "IsDeleted" = 0', (name,)))


def open_org(target: State | Org | str) -> Org:
    """A sandbox by its state, or by the address at which it runs."""
    if isinstance(target, State):
        return StateOrg(target)
    return HttpOrg(target) if isinstance(target, str) else target


def load_company(target: State | Org | str, company: Company) -> dict[str, dict[str, str]]:
    """Write every record and return the ids: object → our key → record id. The customer's fields must exist already."""
    org = open_org(target)
    ids: dict[str, dict[str, str]] = {}
    rest = [name for name in company.records if name not in LOAD_ORDER]
    for name in [name for name in LOAD_ORDER if name in company.records] + rest:
        ids[name] = _load_object(org, name, company.records[name], ids)
    return ids


def _load_object(org: Org, name: str, rows: list[Row], ids: dict[str, dict[str, str]]) -> dict[str, str]:
    """Rows whose references are all known go first; those that point at rows of the same object follow."""
    done: dict[str, str] = {}
    ids[name] = done
    waiting = rows
    while waiting:
        ready = [row for row in waiting if _resolvable(row, ids)]
        if not ready:
            wanted = sorted(value for row in waiting for value in row.values() if isinstance(value, Ref))
            missing = next(value for value in wanted if value.key not in ids.get(value.object, {}))
            raise ValueError(f"{name}: {len(waiting)} rows refer to records that do not exist, first {missing}; load their objects before")
        for start in range(0, len(ready), CHUNK):
            part = ready[start : start + CHUNK]
            found = org.insert(name, [_resolve(row, ids) for row in part])
            done.update(zip((row["_key"] for row in part), found, strict=True))
        waiting = [row for row in waiting if row["_key"] not in done]
    return done


def _resolvable(row: Row, ids: dict[str, dict[str, str]]) -> bool:
    return all(value.key in ids.get(value.object, ()) for value in row.values() if isinstance(value, Ref))


def _resolve(row: Row, ids: dict[str, dict[str, str]]) -> dict[str, Any]:
    """The row as it is stored: ids for references, our key and empty fields left out; the last change was a person's, so both stamps agree."""
    found = {
        field: ids[value.object][value.key] if isinstance(value, Ref) else value
        for field, value in row.items() if field != "_key" and value is not None
    }  # fmt: skip
    return {**found, "LastModifiedDate": row["SystemModstamp"]}


def seed_sandbox(target: State | Org | str, folder: Path | str, accounts: int, seed: int, today: date) -> tuple[Company, UsageFiles]:
    """Make the firm: its schema and records in the org (a `State`, or the address of a running sandbox), its usage files under `folder`/usage."""
    org = open_org(target)
    company = generate(accounts, seed, today)
    install_customer_schema(org)
    load_company(org, company)
    return company, write_usage(company, folder)
