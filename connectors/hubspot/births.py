"""What a new CSQL record needs besides our own properties, where it is a lead, a task or a deal (reference sheet, 9).

HubSpot makes no lead without a contact, so one of the company's is chosen; a task that belongs to nobody is on nobody's list, so it goes to the
company's owner. A deal gets no amount: the expected money is in our own property, and the forecast stays sales'.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from connectors.base import RecordWrite, WriteResult, WriteState
from connectors.hubspot.client import Portal
from connectors.hubspot.links import Links, id_order
from connectors.hubspot.objects import Objects
from connectors.hubspot.reading import Reader
from connectors.hubspot.stores import OWNER, Kind, Store

COMPANIES, CONTACTS, ROLE = "companies", "contacts", "hs_buying_role"
#: Who is asked first, of a company's contacts; then the oldest (lowest id).
ROLES = ("DECISION_MAKER", "CHAMPION", "BUDGET_HOLDER")
NO_CONTACT = "LEAD_NEEDS_CONTACT"
#: The title of a record that has none of ours.
UNTITLED = "CSQL"


@dataclass(frozen=True)
class Birth:
    """What goes along with the creation of one record. `links`: associations it is created with; without any it may be an upsert."""

    properties: Mapping[str, str]
    links: tuple[Mapping[str, Any], ...] = ()


class Births:
    """Prepares new records of one account."""

    def __init__(self, portal: Portal, objects: Objects, links: Links, reader: Reader) -> None:
        self._portal, self._objects, self._links, self._reader = portal, objects, links, reader

    def of(self, store: Store, writes: Sequence[tuple[int, RecordWrite]]) -> dict[int, Birth | WriteResult]:
        """Position -> what its creation needs, or why it cannot be."""
        if store.kind == Kind.CUSTOM_OBJECT or not writes:
            return {}
        if store.kind == Kind.LEAD:
            return self._leads(store, writes)
        if store.kind == Kind.TASK:
            return self._tasks(writes)
        where = {"pipeline": store.pipeline} if store.pipeline else {}
        return {p: Birth({"dealname": _title(w), **where}) for p, w in writes}

    def _leads(self, store: Store, writes: Sequence[tuple[int, RecordWrite]]) -> dict[int, Birth | WriteResult]:
        contacts = self._contacts([w.parent_id for _, w in writes])
        to_contact, to_company = self._links.spec(store.object, CONTACTS), self._links.spec(store.object, COMPANIES)
        where = {"hs_pipeline": store.pipeline} if store.pipeline else {}
        found: dict[int, Birth | WriteResult] = {}
        for position, write in writes:
            contact = contacts.get(write.parent_id)
            if contact is None:
                text = "HubSpot makes no lead for a company without a contact. The CSM must associate one with the company; then it is tried again."
                found[position] = WriteResult(WriteState.REJECTED, code=NO_CONTACT, message=text)
            else:
                links = ({"to": {"id": contact}, "types": [to_contact]}, {"to": {"id": write.parent_id}, "types": [to_company]})
                found[position] = Birth({"hs_lead_name": _title(write), "hs_lead_type": "UPSELL", **where}, links)
        return found

    def _contacts(self, companies: Sequence[str]) -> dict[str, str]:
        """Company -> the contact a lead is about; companies without one are absent."""
        all_of = self._links.every(COMPANIES, CONTACTS, list(dict.fromkeys(companies)))
        ids = sorted({c for contacts in all_of.values() for c in contacts}, key=id_order)
        roles = {str(r["id"]): _rank(r["properties"].get(ROLE)) for r in self._reader.batch(CONTACTS, ids, [ROLE])}
        live = {company: [c for c in contacts if c in roles] for company, contacts in all_of.items()}
        return {company: min(contacts, key=lambda c: (roles[c], id_order(c))) for company, contacts in live.items() if contacts}

    def _tasks(self, writes: Sequence[tuple[int, RecordWrite]]) -> dict[int, Birth | WriteResult]:
        parents = list(dict.fromkeys(w.parent_id for _, w in writes))
        owners = {str(r["id"]): r["properties"].get(OWNER) for r in self._reader.batch(COMPANIES, parents, [OWNER])}
        now = self._portal.server_now().isoformat()
        found: dict[int, Birth | WriteResult] = {}
        for position, write in writes:
            due = write.values.get("accept_by") or write.values.get("expires_on")
            body = "<br>".join(escape(text) for key in ("need", "why_now") if (text := write.values.get(key)))
            values = {"hs_task_subject": _title(write), "hs_task_body": body, "hs_timestamp": f"{due}T00:00:00Z" if due else now}
            values |= {"hs_task_type": "TODO", "hs_task_priority": "MEDIUM"}
            owner = owners.get(write.parent_id)
            found[position] = Birth(values | ({OWNER: owner} if owner else {}))
        return found


def _title(write: RecordWrite) -> str:
    return write.values.get("title") or UNTITLED


def _rank(roles: str | None) -> int:
    held = (roles or "").split(";")
    return next((place for place, role in enumerate(ROLES) if role in held), len(ROLES))
