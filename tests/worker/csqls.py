"""Customers, mappings and runs for the tests of CSQLs. No test itself."""

from datetime import datetime, timedelta
from typing import Any

import duckdb

from mappings.models import CsqlPolicy, CsqlRule, Gate, Mappings
from tests.factories import AS_OF, ON, Lake, make_mappings, make_rule, make_text
from tests.worker.core import decide, open_lake, rows

COOL = {"returned": 90, "lost": 90, "declined_twice": 180, "nurture": 45, "expired": 60}
DAY = timedelta(days=1)


def policy(*gates: Gate) -> CsqlPolicy:
    return CsqlPolicy(gates=list(gates), cooldown_days=COOL)


def gate(name: str, when: str, *, always: bool = True) -> Gate:
    return Gate(name=name, when=when, text=make_text(f"{name} {{seats}}", f"{name}のため"), always=always)


def customer(lake: Lake, account: str = "A1", **contract: Any) -> None:
    """50 seats of expense and ten touches, so the score is (50 x 50 + 100 x 20) / 70 = 64: the usage feed is not connected."""
    lake.make_account(account)
    lake.make_contract(account, **contract)
    for n in range(10):
        lake.make_activity(account, ON - timedelta(days=n + 20), id=f"act-{account}-{n}")


def own(lake: Lake) -> Lake:
    lake.own += ["nurture_until", "need", "health_score", "rule", "opened_on", "accept_by", "approach_score", "during_onboarding"]
    lake.own += ["merged_into", "currency", "config_version", "return_reason"]
    return lake


def mappings_of(*rules: CsqlRule, **row: Any) -> Mappings:
    return make_mappings(csql={r.name: r for r in rules or (make_rule(persist_days=0),)}, **row)


def run_once(lake: Lake, mappings: Mappings, as_of: datetime = AS_OF) -> duckdb.DuckDBPyConnection:
    con = open_lake(own(lake))
    decide(con, mappings, as_of)
    return con


def desired(con: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return [(r["account_id"], r["move"], r["state"], r["external_key"]) for r in rows(con, "SELECT * FROM csql_desired")]
