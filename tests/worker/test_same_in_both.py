"""The same customers in Salesforce and in HubSpot end in the same values on the record and the same CSQLs: one writeback.yml drives both."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from connectors.base import Crm
from connectors.sandbox_kit import SandboxProcess
from mappings.load import load
from mappings.models import CrmMapping, Mappings
from tests.connectors import hubs, orgs
from tests.factories import make_mappings, make_profile, make_rule
from tests.worker import flows
from worker.items import RunKind
from worker.run import finish_run, start_run
from worker.runtime import Runtime
from worker.settings import Settings

#: name -> (seats, calls in the last weeks). With 40 seats the rule finds a lead; without seats there is no contract.
CUSTOMERS = {"青葉": (80, 6), "若葉": (20, 1), "紅葉": (40, 0), "枯葉": (3, 9)}
ENDS_ON = "2027-03-31"
#: Differ by the run or the record, not by what we say.
OF_THE_RUN = frozenset({"scored_at", "resynced_at", "usage_as_of"})
WRITEBACK = load(None).writeback


def given(mapping: CrmMapping) -> Mappings:
    profile = make_profile(deployment=(60, {"seats_held": 1}), engagement=(40, {"touches_held": 1}))
    base = make_mappings(crm={mapping.connection: mapping}, usage={}, csql={"seats": make_rule(persist_days=0, trusted=True)}, writeback=WRITEBACK)
    score = base.score.model_copy(update={"profiles": [profile], "history": base.score.history.model_copy(update={"backfill_days": 0})})
    indicators = {name: one for name, one in base.indicators.items() if name != "events_held"}
    return base.model_copy(update={"score": score, "indicators": indicators})


def mapping(vendor: str, csql_object: str, entities: Mapping[str, Any]) -> CrmMapping:
    return CrmMapping.model_validate({"connection": vendor, "vendor": vendor, "csql_object": csql_object, "entities": entities})


LINE = {"product": {"const": "expense"}, "currency": {"const": "JPY"}, "starts_on": {"const": "2026-04-01"}}


def entities(account: str, contract: tuple[str, str, str, str], call: tuple[str, str, str], csql: tuple[str, str, str, str, str]) -> dict[str, Any]:
    return {
        "account": [{"object": account, "columns": {"name": "name" if account == "companies" else "Name"}}],
        "contract": [{"object": contract[0], "columns": LINE | {"account_id": contract[1], "seats": contract[2], "ends_on": contract[3]}}],
        "activity": [{"object": call[0], "columns": {"account_id": call[1], "kind": {"const": "call"}, "occurred_at": call[2], "done_at": call[2]}}],
        "csql": [{"object": csql[0], "columns": {"account_id": csql[1], "product": csql[2], "state": csql[3], "external_key": csql[4]}}],
    }


SALESFORCE = mapping(
    "salesforce",
    "CSH_CSQL__c",
    entities(
        "Account",
        ("Opportunity", "AccountId", "TotalOpportunityQuantity", "CloseDate"),
        ("Task", "AccountId", "ActivityDate"),
        ("CSH_CSQL__c", "CSH_Account__c", "CSH_Product__c", "CSH_State__c", "CSH_External_Key__c"),
    ),
)
HUBSPOT = mapping(
    "hubspot",
    "csh_csql",
    entities(
        "companies",
        ("deals", "associations.companies", "amount", "closedate"),
        ("calls", "associations.companies", "hs_timestamp"),
        ("csh_csql", "associations.companies", "csh_product", "csh_state", "csh_external_key"),
    ),
)


def called_on() -> datetime:
    return (datetime.now(UTC) - timedelta(days=7)).replace(hour=0, minute=0, second=0, microsecond=0)


def seed_salesforce(box: SandboxProcess) -> dict[str, str]:
    control = box.control
    ids = dict(zip(CUSTOMERS, control.seed("Account", [{"Name": name} for name in CUSTOMERS]), strict=True))
    deal = {"StageName": "Closed Won", "CloseDate": ENDS_ON}
    rows = [{"Name": n, "AccountId": ids[n], "TotalOpportunityQuantity": seats, **deal} for n, (seats, _) in CUSTOMERS.items()]
    control.seed("Opportunity", rows)
    call = {"ActivityDate": called_on().date().isoformat(), "Status": "Completed", "Priority": "Normal"}
    control.seed("Task", [{"Subject": "c", "WhatId": ids[n], **call} for n, (_, calls) in CUSTOMERS.items() for _ in range(calls)])
    return ids


def seed_hubspot(box: SandboxProcess) -> dict[str, str]:
    control = box.control
    ids = dict(zip(CUSTOMERS, control.seed("companies", [{"name": name} for name in CUSTOMERS]), strict=True))
    deal = {"dealstage": "closedwon", "pipeline": "default", "closedate": f"{ENDS_ON}T00:00:00Z"}
    deals = control.seed("deals", [{"dealname": n, "amount": str(seats), **deal} for n, (seats, _) in CUSTOMERS.items()])
    whose = [n for n, (_, calls) in CUSTOMERS.items() for _ in range(calls)]
    made = control.seed("calls", [{"hs_call_title": "c", "hs_timestamp": called_on().isoformat()} for _ in whose])
    for kind, pairs in (("deals", zip(deals, ids.values(), strict=True)), ("calls", zip(made, (ids[n] for n in whose), strict=True))):
        control.call("associate", {"from": kind, "to": "companies", "pairs": [list(p) for p in pairs]})
    return ids


def ends_in(mappings: Mappings, settings: Settings, crm: Callable[[], Crm], ids: Mapping[str, str]) -> tuple[Any, Any]:
    """(customer -> our values, CSQLs by customer) after a full run."""
    runtime = Runtime.open(settings, open_crm=lambda m, name: crm())
    run = finish_run(runtime, start_run(runtime, mappings, RunKind.FULL))
    counts = flows.stats(runtime, run.id)
    runtime.close()
    assert run.state == "done"
    assert counts.get("writes.rejected", 0) == counts.get("writes.unprocessed", 0) == 0
    fields = [f for f in mappings.writeback.active() if f.owner == "worker" and f.key not in OF_THE_RUN]
    account = [f for f in fields if f.object == "account"]
    values = crm().reread(account, list(ids.values()))
    csql = [f for f in fields if f.object == "csql"]
    key = next(f for f in csql if f.external_key)
    keys = {f"{record}|expense|{n}": name for name, record in ids.items() for n in (1, 2)}
    leads = crm().find_by_key([f for f in csql if f.key not in ("external_key", "account")], key, list(keys))
    told = sorted((keys[k], sorted((n, v) for n, v in found.items() if n != "_id")) for k, found in leads.items())
    return {name: values[record] for name, record in ids.items()}, told


def common(folder: Path, **more: Any) -> Settings:
    base = {"lake": folder / "lake", "database_url": SecretStr(f"sqlite:///{folder}/ledger.db"), "usage": folder / "usage", "read_lag_s": 0}
    return Settings(**(base | {"backoff_s": 0, "quota_share": 1, "quota_reserve": 0} | more))


def test_both_crms_end_in_the_same_scores_and_leads(tmp_path: Path) -> None:
    ended = {}
    fields = WRITEBACK.active()
    with SandboxProcess() as box:
        orgs.provision(box, fields)
        ids = seed_salesforce(box)
        open_ = lambda: orgs.open_crm(box, mapping=SALESFORCE)  # noqa: E731
        ended["salesforce"] = ends_in(given(SALESFORCE), common(tmp_path / "sf", salesforce_url=box.url), open_, ids)
    with SandboxProcess(crm="hubspot") as box:
        hubs.provision(box, fields)
        ids = seed_hubspot(box)
        open_hub = lambda: hubs.open_crm(box, mapping=HUBSPOT)  # noqa: E731
        ended["hubspot"] = ends_in(given(HUBSPOT), common(tmp_path / "hs", hubspot_url=box.url), open_hub, ids)
    assert ended["hubspot"] == ended["salesforce"]
    values, leads = ended["hubspot"]
    # 60 % seats held of 100, 40 % ten points a call: 青葉 0.6 * 80 + 0.4 * 60
    assert {name: row["health_score"] for name, row in values.items()} == {"青葉": "72", "若葉": "16", "紅葉": "24", "枯葉": "38"}
    assert {name for name, _ in leads} == {"青葉", "紅葉"}
