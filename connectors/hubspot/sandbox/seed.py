"""The demo's account: the firm of `sandbox_kit.firm` as HubSpot holds such a firm.

    company, files = seed_sandbox(url, folder, accounts=500, seed=7, today=date(2026, 12, 1))

A contract is a won deal: its terms are properties of the deal, its products and seats the line items. An order of the firm is one such deal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

from connectors.hubspot.sandbox.seed_schema import OUTCOMES, install_customer_schema
from connectors.sandbox_kit import SandboxControl
from connectors.sandbox_kit.firm import Company, Ref, Row, UsageFiles, generate, write_usage

CHUNK = 5000
Values = dict[str, Any]
INDUSTRIES = {
    "Manufacturing": "MANUFACTURING", "Retail": "RETAIL", "Transportation": "LOGISTICS_AND_SUPPLY_CHAIN", "Technology": "COMPUTER_SOFTWARE",
    "Healthcare": "HOSPITAL_HEALTH_CARE", "Education": "EDUCATION_MANAGEMENT",
}  # fmt: skip
LIFECYCLE = {"Customer": "customer", "Prospect": "opportunity", "Partner": "other"}
STAGES = {
    "Prospecting": "appointmentscheduled", "Qualification": "qualifiedtobuy", "Needs Analysis": "presentationscheduled",
    "Proposal/Price Quote": "decisionmakerboughtin", "Negotiation/Review": "contractsent", "Closed Won": "closedwon", "Closed Lost": "closedlost",
}  # fmt: skip
DEAL_KINDS = {"New Business": "new", "Renewal": "renewal", "Expansion": "expansion"}
PRIORITIES = {"High": "URGENT", "Medium": "MEDIUM", "Low": "LOW"}
MEETINGS = {"meeting": "打ち合わせ", "qbr": "QBR", "training": "操作説明会", "webinar": "ウェビナー"}
BUYING = {"champion": "CHAMPION", "decision_maker": "DECISION_MAKER", "operator": "END_USER"}


def seed_sandbox(url: str, folder: Path | str, accounts: int, seed: int, today: date) -> tuple[Company, UsageFiles]:
    """Make the firm: its properties and records in a running sandbox without records, its usage files under `folder`/usage."""
    control = SandboxControl(url)
    company = generate(accounts, seed, today)
    install_customer_schema(control)
    Loader(control, company).load()
    return company, write_usage(company, folder)


def noon(day: str | None) -> str | None:
    """A day as an instant: noon in Tokyo, so that it is the same day here and in UTC."""
    return f"{day}T03:00:00.000Z" if day else None


def _stored(values: Values) -> Values:
    """Without what is empty; instants as HubSpot writes them."""
    texts = {name: value.replace("+0000", "Z") if isinstance(value, str) and value.endswith(".000+0000") else value for name, value in values.items()}
    return {name: value for name, value in texts.items() if value is not None}


class Loader:
    """Puts the records into an account, parents before children. `ids`: neutral object -> our key -> record id."""

    def __init__(self, control: SandboxControl, company: Company) -> None:
        self.control, self.company = control, company
        self.ids: dict[str, dict[str, str]] = {}
        self.contracts = {row["_key"]: row for row in company.records.get("contract", [])}

    def load(self) -> None:
        self._owners()
        self._rows("product", "products", self._product)
        self._companies()
        self._rows("contact", "contacts", self._contact, companies="account")
        self._rows("opportunity", "deals", self._deal, companies="account")
        self._lines()
        tasks = self.company.records.get("task", [])
        for kind, object_name, make in (("Call", "calls", self._call), ("Email", "emails", self._email), ("Task", "tasks", self._task)):
            self._put("task", [row for row in tasks if row["type"] == kind], object_name, make, companies="account", contacts="contact")
        self._rows("event", "meetings", self._meeting, companies="account", contacts="contact")
        self._rows("ticket", "tickets", self._ticket, companies="account", contacts="contact")
        self._rows("survey", "feedback_submissions", self._survey, contacts="contact")
        self._rows("outcome", OUTCOMES, self._outcome, companies="account")

    # --- the way in ------------------------------------------------------------------------------------------------------------------------------
    def _rows(self, name: str, object_name: str, make: Callable[[Row], Values], **links: str) -> None:
        self._put(name, self.company.records.get(name, []), object_name, make, **links)

    def _put(self, name: str, rows: Iterable[Row], object_name: str, make: Callable[[Row], Values], **links: str) -> None:
        """`links`: object type to associate with -> the field that names the record."""
        known, rows = self.ids.setdefault(name, {}), list(rows)
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            known.update(zip((row["_key"] for row in part), self.control.seed(object_name, [_stored(make(row)) for row in part]), strict=True))
        for target, field in links.items():
            pairs = [[known[row["_key"]], self.id_of(row[field])] for row in rows if row.get(field) is not None]
            for start in range(0, len(pairs), CHUNK):
                self.control.call("associate", {"from": object_name, "to": target, "pairs": pairs[start : start + CHUNK]})

    def id_of(self, value: Ref | None) -> str | None:
        return None if value is None else self.ids[value.object][value.key]

    def _owners(self) -> None:
        rows = self.company.records["user"]
        owners = [{"email": row["email"], "first": row["first_name"], "last": row["last_name"], "team": row["department"]} for row in rows]
        made = self.control.call("owners", {"owners": owners})["ids"]
        self.ids["user"] = dict(zip((row["_key"] for row in rows), made, strict=True))

    def _companies(self) -> None:
        """Who belongs to nobody first, then those that name a partner or a group's head."""
        rows = self.company.records["account"]
        self._put("account", [row for row in rows if not (row.get("partner") or row.get("parent"))], "companies", self._company)
        self._put("account", [row for row in rows if row.get("partner") and not row.get("parent")], "companies", self._company)
        self._put("account", [row for row in rows if row.get("parent")], "companies", self._company)

    def _lines(self) -> None:
        """Of a won deal the lines of its order, by the month; of any other the lines offered, for the whole term."""
        orders, offered = self.company.records.get("order_line", []), self.company.records.get("opportunity_line", [])
        won = {row["_key"] for row in self.company.records.get("opportunity", []) if row["stage"] == "Closed Won"}
        sold = [row | {"deal": Ref("opportunity", f"opp-{row['order'].key}")} for row in orders]
        self._put("order_line", sold, "line_items", self._order_line, deals="deal")
        self._put("opportunity_line", [row for row in offered if row["opportunity"].key not in won], "line_items", self._line, deals="opportunity")

    # --- one record of each ----------------------------------------------------------------------------------------------------------------------
    @staticmethod
    def _stamps(row: Row, created: str = "hs_createdate", modified: str = "hs_lastmodifieddate") -> Values:
        return {created: row["created_at"], modified: row["modified_at"]}

    def _product(self, row: Row) -> Values:
        return {"name": row["name"], "hs_sku": row["code"], "description": row["family"], **self._stamps(row, "createdate")}

    def _company(self, row: Row) -> Values:
        return {
            "name": row["name"], "domain": row["website"].removeprefix("https://www."), "website": row["website"],
            "lifecyclestage": LIFECYCLE[row["kind"]], "type": "PARTNER" if row["kind"] == "Partner" else None,
            "industry": INDUSTRIES.get(row["industry"]), "numberofemployees": row["employees"], "state": row["region"],
            "hubspot_owner_id": self.id_of(row["owner"]), "csm": self.id_of(row.get("csm")), "segment": row.get("segment"),
            "touch_model": row.get("touch_model"), "tenant_id": row.get("tenant"), "partner_id": self.id_of(row.get("partner")),
            "churn_notice_on": row.get("churn_notice_on"), "hs_parent_company_id": self.id_of(row.get("parent")), **self._stamps(row, "createdate"),
        }  # fmt: skip

    def _contact(self, row: Row) -> Values:
        return {
            "lastname": row["last_name"], "firstname": row["first_name"], "jobtitle": row["title"], "email": row["email"], "cs_role": row["role"],
            "hs_buying_role": BUYING.get(row["role"]), "left_on": row["left_on"], "hubspot_owner_id": self.id_of(row["owner"]),
            **self._stamps(row, "createdate", "lastmodifieddate"),
        }  # fmt: skip

    def _deal(self, row: Row) -> Values:
        found = {
            "dealname": row["name"], "amount": row["amount"], "deal_currency_code": "JPY", "pipeline": "default", "dealstage": STAGES[row["stage"]],
            "closedate": noon(row["close_on"]), "dealtype": "newbusiness" if row["kind"] == "New Business" else "existingbusiness",
            "deal_kind": DEAL_KINDS[row["kind"]], "hubspot_owner_id": self.id_of(row["owner"]), **self._stamps(row, "createdate"),
        }  # fmt: skip
        return found | self._terms(row["contract"]) if row.get("contract") else found

    def _terms(self, contract: Ref) -> Values:
        row = self.contracts[contract.key]
        return {
            "contract_number": contract.key, "contract_months": row["months"], "notice_on": row["notice_on"], "auto_renew": row["auto_renew"],
            "contract_status": "ended" if row["status"] == "Expired" else "active", "churned_on": row["churned_on"],
            "churn_reason": row["churn_reason"], "reseller_id": self.id_of(row["reseller"]),
        }  # fmt: skip

    def _order_line(self, row: Row) -> Values:
        billed = {"hs_recurring_billing_start_date": row["starts_on"], "hs_recurring_billing_end_date": row["ends_on"]}
        return self._line(row) | billed | {"recurringbillingfrequency": "monthly", "plan": row["plan"]}

    def _line(self, row: Row) -> Values:
        product = row["product"]
        return {
            "name": product.key, "hs_sku": product.key, "hs_product_id": self.id_of(product), "quantity": row["quantity"], "price": row["unit_price"],
            "hs_line_item_currency_code": "JPY", **self._stamps(row, "createdate"),
        }  # fmt: skip

    def _call(self, row: Row) -> Values:
        done = {"hs_call_status": "COMPLETED", "hs_call_direction": "OUTBOUND"} if row["status"] == "Completed" else {"hs_call_status": "QUEUED"}
        return {"hs_call_title": row["subject"], **self._touch(row), **done}

    def _email(self, row: Row) -> Values:
        return {"hs_email_subject": row["subject"], "hs_email_direction": "EMAIL", "hs_email_status": "SENT", **self._touch(row)}

    def _touch(self, row: Row) -> Values:
        return {"hs_timestamp": row["done_at"] or noon(row["on"]), "hubspot_owner_id": self.id_of(row["owner"]), **self._stamps(row)}

    def _task(self, row: Row) -> Values:
        return {
            "hs_task_subject": row["subject"], "hs_timestamp": noon(row["on"]), "hs_task_type": "TODO", "csm_kind": row.get("kind"),
            "hs_task_status": "COMPLETED" if row["status"] == "Completed" else "NOT_STARTED", "hs_task_completion_date": row["done_at"],
            "hubspot_owner_id": self.id_of(row["owner"]), **self._stamps(row),
        }  # fmt: skip

    def _meeting(self, row: Row) -> Values:
        return {
            "hs_meeting_title": row["subject"], "hs_timestamp": row["starts_at"], "hs_meeting_start_time": row["starts_at"],
            "hs_meeting_end_time": row["ends_at"], "hs_activity_type": MEETINGS[row["kind"]],
            "hs_meeting_outcome": "COMPLETED" if row["on"] < self.company.today.isoformat() else "SCHEDULED",
            "hubspot_owner_id": self.id_of(row["owner"]), **self._stamps(row),
        }  # fmt: skip

    def _ticket(self, row: Row) -> Values:
        return {
            "subject": row["subject"], "hs_pipeline": "0", "hs_pipeline_stage": "4" if row["closed_at"] else "3",
            "hs_ticket_priority": PRIORITIES[row["priority"]], "source_type": {"Email": "EMAIL", "Web": "FORM", "Phone": "PHONE"}[row["origin"]],
            "closed_date": row["closed_at"], "product_code": row["product"].key, "escalated": row["escalated"], "csat": row["csat"],
            **self._stamps(row, "createdate"),
        }  # fmt: skip

    def _survey(self, row: Row) -> Values:
        return {
            "hs_survey_type": row["kind"].upper(), "hs_value": row["score"], "hs_submission_timestamp": row["answered_at"],
            "hs_content": row["comment"], "hs_survey_channel": "EMAIL", **self._stamps(row),
        }  # fmt: skip

    def _outcome(self, row: Row) -> Values:
        return {
            "metric": row["metric"], "baseline": row["baseline"], "current_value": row["current"], "measured_on": row["measured_on"],
            "fact_backed": row["fact_backed"], **self._stamps(row),
        }  # fmt: skip
