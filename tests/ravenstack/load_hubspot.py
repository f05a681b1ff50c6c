"""Puts RavenStack (data: River @ Rivalytics) into an empty HubSpot sandbox as an admin would with HubSpot's own client: properties, then companies,
deals (one per subscription) and tickets in batches with their associations. Nothing of the product is used."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from hubspot import Client  # type: ignore[import-untyped]

from connectors.sandbox_kit import SandboxProcess
from tests.ravenstack import load as salesforce
from tests.ravenstack.load import DAY, MINUTE, PICK, instant, on, rows

HERE = Path(__file__).parent
GROUP = "ravenstack"
#: Records of one call.
BATCH = 100
#: HubSpot's own association types: a deal or a ticket and its company, unlabelled.
DEAL_TO_COMPANY, TICKET_TO_COMPANY = 341, 339

KEY = {"type": "string", "fieldType": "text", "hasUniqueValue": True}
TEXT = {"type": "string", "fieldType": "text"}
NUMBER = {"type": "number", "fieldType": "number"}
DATE = {"type": "date", "fieldType": "date"}
MOMENT = {"type": "datetime", "fieldType": "date"}
FLAG = {"type": "bool", "fieldType": "booleancheckbox", "options": [{"label": "Yes", "value": "true"}, {"label": "No", "value": "false"}]}
PLAN = {"type": "enumeration", "fieldType": "select", "options": [{"label": p, "value": p, "displayOrder": n} for n, p in enumerate(PICK)]}
#: object type -> property -> definition; label = name.
PROPERTIES: dict[str, dict[str, dict[str, Any]]] = {
    "companies": {"rs_id": KEY, "rs_industry": TEXT, "rs_signed_up_at": MOMENT},
    "deals": {
        "rs_id": KEY, "rs_plan": PLAN, "rs_seats": NUMBER, "rs_mrr": NUMBER, "rs_starts_on": DATE, "rs_ends_on": DATE, "rs_auto_renew": FLAG,
        "rs_is_trial": FLAG,
    },
    "tickets": {"rs_id": KEY, "rs_opened_at": MOMENT, "rs_escalated": FLAG, "rs_satisfaction": NUMBER},
}  # fmt: skip


def log_in(box: SandboxProcess) -> Any:
    return Client.create(access_token=box.control.info()["access_token"], host=box.url)


def load(box: SandboxProcess, data: Path) -> dict[str, int]:
    """Properties and records; how many records each object type took."""
    client = log_in(box)
    make_properties(client)
    made = create(client.crm.companies, map(company, rows(data, "accounts.csv")))
    deals = (with_company(deal(row), made[row["account_id"]], DEAL_TO_COMPANY) for row in rows(data, "subscriptions.csv"))
    tickets = (with_company(ticket(row), made[row["account_id"]], TICKET_TO_COMPANY) for row in rows(data, "support_tickets.csv"))
    return {"companies": len(made), "deals": len(create(client.crm.deals, deals)), "tickets": len(create(client.crm.tickets, tickets))}


def make_properties(client: Any) -> None:
    for kind, definitions in PROPERTIES.items():
        client.crm.properties.groups_api.create(kind, {"name": GROUP, "label": "RavenStack"})
        inputs = [{"name": name, "label": name, "groupName": GROUP, **body} for name, body in definitions.items()]
        answer = client.crm.properties.batch_api.create(kind, {"inputs": inputs})
        assert len(answer.results) == len(inputs), answer


def create(api: Any, inputs: Iterable[dict[str, Any]]) -> dict[str, str]:
    """RavenStack's id -> HubSpot's. Answers come in an order of their own; every record must be taken."""
    made: dict[str, str] = {}
    for batch in batches(inputs):
        answer = api.batch_api.create({"inputs": batch})
        assert len(answer.results) == len(batch), answer
        made |= {record.properties["rs_id"]: record.id for record in answer.results}
    return made


def batches(inputs: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    rest = iter(inputs)
    while batch := list(islice(rest, BATCH)):
        yield batch


def with_company(record: dict[str, Any], company_id: str, type_id: int) -> dict[str, Any]:
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id}]
    return record | {"associations": [{"to": {"id": company_id}, "types": types}]}


def company(row: dict[str, str]) -> dict[str, Any]:
    return record(
        name=row["account_name"],
        country=row["country"],
        rs_id=row["account_id"],
        rs_industry=row["industry"],
        rs_signed_up_at=instant(row["signup_date"], DAY),
    )


def deal(row: dict[str, str]) -> dict[str, Any]:
    return record(
        dealname=row["subscription_id"],
        pipeline="default",
        dealstage="closedwon",
        rs_id=row["subscription_id"],
        rs_plan=row["plan_tier"],
        rs_seats=row["seats"],
        rs_mrr=row["mrr_amount"],
        rs_starts_on=on(row["start_date"]),
        rs_ends_on=on(row["end_date"]),
        rs_auto_renew=row["auto_renew_flag"].lower(),
        rs_is_trial=row["is_trial"].lower(),
    )


def ticket(row: dict[str, str]) -> dict[str, Any]:
    """Stage 4 of HubSpot's own support pipeline is Closed, 1 is New; only a closed ticket keeps a closing date."""
    return record(
        subject=row["ticket_id"],
        hs_pipeline="0",
        hs_pipeline_stage="4" if row["closed_at"] else "1",
        hs_ticket_priority=row["priority"].upper(),
        closed_date=instant(row["closed_at"], MINUTE),
        rs_id=row["ticket_id"],
        rs_opened_at=instant(row["submitted_at"], DAY),
        rs_escalated=row["escalation_flag"].lower(),
        rs_satisfaction=row["satisfaction_score"],
    )


def record(**properties: str) -> dict[str, Any]:
    return {"properties": {name: value for name, value in properties.items() if value}}


def mapping_folder(target: Path) -> Path:
    """The mappings of the Salesforce test with HubSpot's in place of its crm/."""
    folder = salesforce.mapping_folder(target)
    (folder / "crm/salesforce.yml").unlink()
    (folder / "crm/hubspot.yml").write_bytes((HERE / "hubspot/crm/hubspot.yml").read_bytes())
    return folder
