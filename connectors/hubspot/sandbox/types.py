"""Object types: their numbers, names and the names of their stamps (reference: hubspot-api.md, section 2.1)."""

from __future__ import annotations

from dataclasses import dataclass

OBJECTS = "crm.objects"
_STANDARD_SEARCH = ("hs_createdate", "hs_lastmodifieddate", "hs_object_id")


@dataclass(frozen=True, slots=True)
class ObjectType:
    """One object type. `created` and `modified` name its stamp properties; `search` what a search returns unasked."""

    id: str
    plural: str
    singular: str
    created: str = "hs_createdate"
    modified: str = "hs_lastmodifieddate"
    search: tuple[str, ...] = _STANDARD_SEARCH
    read_scope: str = ""
    write_scope: str = ""
    read_only: bool = False
    mergeable: bool = False
    required: tuple[str, ...] = ()
    custom: bool = False
    fully_qualified: str = ""

    @property
    def label(self) -> str:
        """The name in error texts of batches: `COMPANY`, `LINE_ITEM`."""
        return self.singular.upper().replace(" ", "_")

    @property
    def inline_key(self) -> str:
        """The key under `associations` of a record: line items have a space."""
        return self.plural.replace("line_items", "line items")


def _scoped(plural: str) -> tuple[str, str]:
    return f"{OBJECTS}.{plural}.read", f"{OBJECTS}.{plural}.write"


def _crm(number: str, plural: str, singular: str, search: str, *, modified: str = "hs_lastmodifieddate", required: str = "") -> ObjectType:
    read, write = ("tickets", "tickets") if plural == "tickets" else _scoped(plural)
    return ObjectType(
        number, plural, singular, "createdate", modified, (*search.split(), "createdate", modified, "hs_object_id"), read, write,
        mergeable=plural in ("companies", "contacts", "deals", "tickets"), required=tuple(required.split()),
    )  # fmt: skip


def _engagement(number: str, plural: str, required: str = "hs_timestamp") -> ObjectType:
    read, write = _scoped("contacts")
    return ObjectType(number, plural, plural[:-1], read_scope=read, write_scope=write, required=tuple(required.split()))


def _plain(number: str, plural: str, singular: str, *, read_only: bool = False, required: str = "") -> ObjectType:
    read, write = _scoped(plural)
    return ObjectType(number, plural, singular, read_scope=read, write_scope=write, read_only=read_only, required=tuple(required.split()))


STANDARD: tuple[ObjectType, ...] = (
    _crm("0-1", "contacts", "contact", "firstname lastname email", modified="lastmodifieddate"),
    _crm("0-2", "companies", "company", "name domain"),
    _crm("0-3", "deals", "deal", "dealname amount closedate pipeline dealstage", required="dealname dealstage"),
    _crm("0-5", "tickets", "ticket", "subject content hs_pipeline hs_pipeline_stage hs_ticket_category hs_ticket_priority",
         required="subject hs_pipeline_stage"),
    _crm("0-7", "products", "product", "name price description"),
    _crm("0-8", "line_items", "line_item", "quantity amount price"),
    _plain("0-14", "quotes", "quote"),
    _engagement("0-18", "communications"),
    ObjectType("0-19", "feedback_submissions", "feedback_submission", read_scope="crm.objects.feedback_submissions.read", read_only=True),
    _engagement("0-27", "tasks"),
    _engagement("0-46", "notes"),
    _engagement("0-47", "meetings"),
    _engagement("0-48", "calls"),
    _engagement("0-49", "emails"),
    _plain("0-69", "subscriptions", "subscription"),
    _plain("0-136", "leads", "lead", required="hs_lead_name"),
    _plain("0-162", "services", "service"),
    # The sheet gives contracts no number; this one stands for it.
    _plain("0-410", "contracts", "contract", read_only=True),
)  # fmt: skip
