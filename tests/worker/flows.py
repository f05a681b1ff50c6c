"""A worker on a sandbox org for tests of single steps: real ledger, lake and HTTP; only the steps that are named run."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
from pydantic import SecretStr

from connectors.entities import Entity
from connectors.salesforce import connector
from connectors.sandbox_kit import SandboxProcess
from mappings.models import CrmMapping, Mappings, Source, Writeback
from tests.connectors import orgs
from tests.factories import make_mappings
from worker.items import RunKind
from worker.run import finish_run, start_run
from worker.runtime import Runtime
from worker.settings import Settings
from worker.steps import pull, stage, write_back
from worker.store.schemas import schema
from worker.store.work import Run


def settings(box: SandboxProcess, folder: Path, **more: Any) -> Settings:
    """Reads up to this very second."""
    base: dict[str, Any] = {
        "lake": folder / "lake", "database_url": SecretStr(f"sqlite:///{folder}/ledger.db"), "usage": folder / "usage", "backoff_s": 0,
        "salesforce_url": box.url, "salesforce_client_id": box.client_id, "salesforce_client_secret": SecretStr(box.client_secret),
        "quota_share": 1, "quota_reserve": 0, "read_lag_s": 0,
    }  # fmt: skip
    return Settings(**(base | more))


def mappings(**more: Any) -> Mappings:
    sources = {
        "account": [Source(object="Account", columns={"name": "Name", "employees": "NumberOfEmployees", "created_at": "CreatedDate"})],
        "contact": [
            Source.model_validate({"object": "Contact", "columns": {"account_id": "AccountId", "name": "LastName", "active": {"const": True}}})
        ],
        "csql": [Source(object="CSH_CSQL__c", columns={"account_id": "CSH_Account__c", "external_key": "CSH_External_Key__c"})],
    }
    crm = CrmMapping(connection="salesforce", vendor="salesforce", entities=sources)
    return make_mappings(**({"crm": {"salesforce": crm}, "usage": {}, "writeback": Writeback(fields=orgs.ALL_FIELDS)} | more))


def open_runtime(given: Settings, steps: Mapping[str, Any] | None = None, **connect: Any) -> Runtime:
    chosen = steps or {"pull": pull, "stage": stage}
    opener = lambda m, name: connector.connect(m.crm[name], m, given, waits=orgs.QUICK, **connect)  # noqa: E731
    return Runtime.open(given, steps=chosen, open_crm=opener)


def fixed_changes(changes: Sequence[Mapping[str, Any]]) -> Any:
    """A diff step that leaves these changes and nothing else."""

    def plan(ctx: Any) -> list[Any]:
        con = duckdb.connect()
        columns = "object VARCHAR, record_id VARCHAR, external_key VARCHAR, account_id VARCHAR, field VARCHAR, crm_value VARCHAR, our_value VARCHAR, "
        con.execute(f"CREATE TABLE changes ({columns} mode VARCHAR, disposition VARCHAR, why VARCHAR)")
        if changes:
            con.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [_row(change) for change in changes])
        con.execute(f"COPY changes TO '{ctx.folder / 'changes.parquet'}' (FORMAT parquet)")
        return []

    return SimpleNamespace(__name__="diff", plan=plan)


def _row(change: Mapping[str, Any]) -> list[Any]:
    base = {"object": "account", "external_key": None, "crm_value": None, "mode": "always", "disposition": "send", "why": None}
    full = base | {"account_id": change.get("record_id")} | dict(change)
    names = ("object", "record_id", "external_key", "account_id", "field", "crm_value", "our_value", "mode", "disposition", "why")
    return [full[name] for name in names]


def go(runtime: Runtime, given: Mappings, kind: RunKind = RunKind.INCREMENT, **more: Any) -> Run:
    return finish_run(runtime, start_run(runtime, given, kind, **more))


def write_steps(changes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"diff": fixed_changes(changes), "write_back": write_back}


def table(runtime: Runtime, name: str, own: Sequence[str] = ()) -> list[dict[str, Any]]:
    """All rows of a lake table as it is now."""
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    relation = runtime.lake.relation(runtime.lake.files(name), schema(name, own))
    return con.sql(f"SELECT * FROM {relation}").to_arrow_table().to_pylist()


def current(runtime: Runtime, entity: Entity, own: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """The newest version of each record."""
    found: dict[str, dict[str, Any]] = {}
    for row in table(runtime, f"crm_{entity.value}", own):
        held = found.get(row["id"])
        if held is None or (row["modified_at"], row["read_at"]) > (held["modified_at"], held["read_at"]):
            found[row["id"]] = row
    return found


def stats(runtime: Runtime, run_id: str) -> dict[str, float]:
    """Stats of all items of a run, summed."""
    from sqlalchemy import select

    from worker.store.tables import item

    total: dict[str, float] = {}
    for row in runtime.ledger.rows(select(item.c.stats).where(item.c.run_id == run_id)):
        for name, value in (row.stats or {}).items():
            total[name] = total.get(name, 0) + value
    return total


def child(environment: Mapping[str, str], run_id: str, changes: Sequence[Mapping[str, Any]] | None) -> None:
    """Another process's whole life: work off a run, on `write_steps(changes)` or, without changes, on pull and stage."""
    os.environ.update(environment)
    given = Settings()
    runtime = open_runtime(given, write_steps(changes) if changes is not None else None)
    finish_run(runtime, run_id)
