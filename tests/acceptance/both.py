"""One firm in Salesforce and HubSpot at once, on both sandboxes: contracts in the one, meetings in the other, and a worker that serves both."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import yaml
from pydantic import SecretStr

from connectors.base import Crm
from connectors.sandbox_kit import SandboxProcess
from mappings.load import DEFAULTS, load
from mappings.models import CrmMapping, Mappings
from tests.connectors import hubs, orgs
from tests.factories import make_mappings, make_profile, make_rule
from tests.ravenstack.load_hubspot import log_in
from worker import log
from worker.items import Run, RunKind
from worker.report import run_report
from worker.run import finish_run, start_run
from worker.runtime import Runtime
from worker.settings import Settings

WRITEBACK = load(None).writeback
CAUSE = next(v.value for f in WRITEBACK.of("account") if f.key == "cause" for v in f.values)
#: Differ by the run, not by what we say.
OF_THE_RUN = frozenset({"scored_at", "resynced_at", "usage_as_of"})


@dataclass(frozen=True)
class Customer:
    """`known_by`: how HubSpot's company finds the account. Score: 0.6 × seats + 0.4 × ten points a meeting."""

    seats: int
    meetings: int
    known_by: str = ""


#: 双葉 and 双葉販売 share a domain, and with it a company that could be either of them. 枯葉 has a company that nothing leads to.
CUSTOMERS = {
    "青葉": Customer(80, 6, "their id"),  # 48 + 24 = 72
    "若葉": Customer(20, 1, "domain"),  # 12 + 4 = 16
    "紅葉": Customer(40, 0, "our id"),  # 24 + 0 = 24
    "枯葉": Customer(3, 9),  # 1.8 without its meetings: 2
    "双葉": Customer(10, 5, "shared domain"),  # 6
    "双葉販売": Customer(10, 0, "shared domain"),  # 6
}
SCORES = {"青葉": "72", "若葉": "16", "紅葉": "24", "枯葉": "2", "双葉": "6", "双葉販売": "6"}
MATCHED = ("青葉", "若葉", "紅葉")

_LINE = {"product": {"const": "expense"}, "currency": {"const": "JPY"}, "starts_on": {"const": "2026-04-01"}, "ends_on": "CloseDate"}
_CSQL = {"account_id": "CSH_Account__c", "product": "CSH_Product__c", "state": "CSH_State__c", "external_key": "CSH_External_Key__c"}
SALESFORCE = {
    "account": [{"object": "Account", "columns": {"name": "Name", "domain": "Website", "cross_id": "AccountNumber"}}],
    "contract": [{"object": "Opportunity", "columns": _LINE | {"account_id": "AccountId", "seats": "TotalOpportunityQuantity"}}],
    "csql": [{"object": "CSH_CSQL__c", "columns": _CSQL}],
}
_MEETING = {"account_id": "associations.companies", "kind": {"const": "meeting"}, "occurred_at": "hs_timestamp", "done_at": "hs_timestamp"}
HUBSPOT = {
    "account": [{"object": "companies", "columns": {"name": "name", "domain": "domain", "cross_id": "salesforceaccountid"}}],
    "activity": [{"object": "meetings", "columns": _MEETING}],
}


def given() -> Mappings:
    """Accounts, contracts and CSQLs from Salesforce, activities from HubSpot."""
    crm = {
        "salesforce": CrmMapping.model_validate(
            {"connection": "salesforce", "vendor": "salesforce", "authoritative": ["account", "contract", "csql"], "entities": SALESFORCE}
        ),
        "hubspot": CrmMapping.model_validate({"connection": "hubspot", "vendor": "hubspot", "authoritative": ["activity"], "entities": HUBSPOT}),
    }
    profile = make_profile(deployment=(60, {"seats_held": 1}), engagement=(40, {"touches_held": 1}))
    base = make_mappings(crm=crm, usage={}, csql={"seats": make_rule(persist_days=0, trusted=True)}, writeback=WRITEBACK)
    score = base.score.model_copy(update={"profiles": [profile], "history": base.score.history.model_copy(update={"backfill_days": 0})})
    held = {name: base.indicators[name].model_copy(update={"cause": CAUSE}) for name in ("seats_held", "touches_held")}
    return base.model_copy(update={"score": score, "indicators": held})


@dataclass
class Firm:
    """Both sandboxes with the firm in them, and a worker. Ids by customer."""

    salesforce: SandboxProcess
    hubspot: SandboxProcess
    runtime: Runtime
    mappings: Mappings
    accounts: dict[str, str] = field(default_factory=dict)
    companies: dict[str, str] = field(default_factory=dict)
    deals: dict[str, str] = field(default_factory=dict)

    def run(self, kind: RunKind = RunKind.INCREMENT, **more: Any) -> Run:
        return finish_run(self.runtime, start_run(self.runtime, self.mappings, kind, **more))

    def report(self, run: Run) -> dict[str, Any]:
        return run_report(self.runtime.ledger, run.id)

    def crm(self, name: str) -> Crm:
        return self.runtime.crm_now(self.mappings, name)

    def values(self, name: str, keys: Mapping[str, str]) -> dict[str, dict[str, str | None]]:
        """Customer -> our fields as the CRM holds them now, by our keys."""
        fields = [f for f in self.mappings.writeback.active() if f.owner == "worker" and f.object == "account" and f.key not in OF_THE_RUN]
        live = self.crm(name).reread(fields, list(keys.values()))
        return {customer: dict(live[record]) for customer, record in keys.items()}

    def scores(self, name: str) -> dict[str, str | None]:
        ids = self.accounts if name == "salesforce" else {c: i for c, i in self.companies.items() if c in CUSTOMERS}
        return {customer: row["health_score"] for customer, row in self.values(name, ids).items()}

    def table(self, run: Run, name: str) -> list[dict[str, Any]]:
        with duckdb.connect() as con:
            rows: list[dict[str, Any]] = (
                con.sql(f"FROM read_parquet('{self.runtime.settings.runs_folder / run.id}/{name}.parquet')").to_arrow_table().to_pylist()
            )
            return rows

    def meet(self, customer: str, times: int = 1, at: datetime | None = None) -> None:
        """Meetings a week ago, or then, logged in HubSpot."""
        held = (at or datetime.now(UTC) - timedelta(days=7)).replace(hour=0, minute=0, second=0, microsecond=0).isoformat()
        made = self.hubspot.control.seed("meetings", [{"hs_meeting_title": "m", "hs_timestamp": held} for _ in range(times)])
        pairs = [[one, self.companies[customer]] for one in made]
        self.hubspot.control.call("associate", {"from": "meetings", "to": "companies", "pairs": pairs})

    def seats(self, customer: str, seats: int) -> None:
        """A contract with another number of seats, in Salesforce."""
        (answer,) = self.salesforce.control.write("admin", "Opportunity", [{"Id": self.deals[customer], "TotalOpportunityQuantity": seats}])
        assert answer["success"], answer

    def environment(self, folder: Path) -> dict[str, str]:
        """What an admin exports for commands on this worker's lake and ledger, with the connections as YAML files among the shipped mappings."""
        shutil.copytree(DEFAULTS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__", "salesforce.yml", "usage"))
        for name, crm in self.mappings.crm.items():
            told = crm.model_dump(mode="json", include={"connection", "vendor", "authoritative", "entities"})
            (folder / f"crm/{name}.yml").write_text(yaml.safe_dump(told, allow_unicode=True), "utf-8")
        chosen = self.runtime.settings
        names = ("lake", "usage", "salesforce_url", "salesforce_client_id", "hubspot_url", "hubspot_window_calls", "quota_share", "quota_reserve")
        secrets = ("database_url", "salesforce_client_secret", "hubspot_token")
        found = {name: str(getattr(chosen, name)) for name in names} | {name: getattr(chosen, name).get_secret_value() for name in secrets}
        found |= {"mappings": str(folder), "log_level": "error"}
        return {f"SCORESYNC_{name.upper()}": value for name, value in found.items()}

    def heal(self) -> None:
        for box in (self.salesforce, self.hubspot):
            box.control.clear_faults()


def settings(folder: Path, salesforce: SandboxProcess, hubspot: SandboxProcess, **more: Any) -> Settings:
    base: dict[str, Any] = {
        "lake": folder / "lake", "database_url": SecretStr(f"sqlite:///{folder}/ledger.db"), "usage": folder / "usage", "backoff_s": 0,
        "read_lag_s": 0, "quota_share": 1, "quota_reserve": 0, "log_level": "error", "redis_url": None, "landing_s": 0, "item_attempts": 2,
        "salesforce_url": salesforce.url, "salesforce_client_id": salesforce.client_id,
        "salesforce_client_secret": SecretStr(salesforce.client_secret),
        "hubspot_url": hubspot.url, "hubspot_token": SecretStr(hubspot.control.info()["access_token"]), "hubspot_window_calls": 1_000_000,
    }  # fmt: skip
    return Settings(**(base | more))


@contextmanager
def boxes(folder: Path) -> Iterator[tuple[SandboxProcess, SandboxProcess]]:
    """Both sandboxes with our fields and the cross-reference property; nobody is in them yet."""
    with SandboxProcess(folder / "org.db") as salesforce, SandboxProcess(folder / "portal.db", crm="hubspot") as hubspot:
        orgs.provision(salesforce, WRITEBACK.active())
        hubs.provision(hubspot, WRITEBACK.active())
        cross = {
            "name": "salesforceaccountid",
            "label": "Salesforce account",
            "groupName": "companyinformation",
            "type": "string",
            "fieldType": "text",
        }
        log_in(hubspot).crm.properties.core_api.create("companies", cross)
        yield salesforce, hubspot


@contextmanager
def firm(folder: Path) -> Iterator[Firm]:
    """Both sandboxes, provisioned and filled; nothing has been run yet."""
    with boxes(folder) as (salesforce, hubspot):
        opened_by = {"salesforce": (orgs.open_crm, salesforce), "hubspot": (hubs.open_crm, hubspot)}

        def opened(mappings: Mappings, name: str) -> Crm:
            open_crm, box = opened_by[name]
            return open_crm(box, mapping=mappings.crm[name])  # type: ignore[operator, no-any-return]

        chosen = settings(folder, salesforce, hubspot)
        log.configure(chosen)
        runtime = Runtime.open(chosen, open_crm=opened)
        made = Firm(salesforce, hubspot, runtime, given())
        fill(made)
        try:
            yield made
        finally:
            runtime.close()


def fill(made: Firm, met: datetime | None = None) -> None:
    """Accounts, companies, contracts and meetings (a week ago, or then)."""
    sales, marketing = made.salesforce.control, made.hubspot.control
    domains = {"若葉": "https://www.wakaba.example/", "双葉": "futaba.example", "双葉販売": "www.futaba.example"}
    ids = sales.seed("Account", [{"Name": name, "Website": domains.get(name)} for name in CUSTOMERS])
    made.accounts = dict(zip(CUSTOMERS, ids, strict=True))
    deal = {"StageName": "Closed Won", "CloseDate": "2027-03-31"}
    rows = [{"Name": n, "AccountId": made.accounts[n], "TotalOpportunityQuantity": c.seats, **deal} for n, c in CUSTOMERS.items()]
    made.deals = dict(zip(CUSTOMERS, sales.seed("Opportunity", rows), strict=True))
    companies = {
        "青葉": {"salesforceaccountid": made.accounts["青葉"]},
        "若葉": {"domain": "wakaba.example"},
        "紅葉": {"domain": "momiji.example"},
        "枯葉": {"domain": "gmail.com"},
        "双葉": {"domain": "futaba.example"},
        "見込み": {"domain": "prospect.example"},  # a company that marketing knows and sales does not
    }
    made.companies = dict(zip(companies, marketing.seed("companies", [{"name": n, **row} for n, row in companies.items()]), strict=True))
    (answer,) = sales.write("admin", "Account", [{"Id": made.accounts["紅葉"], "AccountNumber": made.companies["紅葉"]}])
    assert answer["success"], answer
    for name, customer in CUSTOMERS.items():
        if customer.meetings:
            made.meet(name, customer.meetings, met)
