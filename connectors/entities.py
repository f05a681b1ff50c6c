"""Canonical entities: the columns every CRM is translated into, one row per record and version.

Nothing past `connectors/` knows a vendor's word. Times are UTC instants, dates are dates, money is DECIMAL(18,4) with its currency beside it,
counts are BIGINT, ids are strings. The types are DuckDB's names, since staging casts to them.
"""

from enum import StrEnum

MONEY = "DECIMAL(18,4)"


class Entity(StrEnum):
    ACCOUNT = "account"
    CONTRACT = "contract"
    BILLING = "billing"
    ACTIVITY = "activity"
    CONTACT = "contact"
    TICKET = "ticket"
    SURVEY = "survey"
    OPPORTUNITY = "opportunity"
    OUTCOME = "outcome"
    CSQL = "csql"
    USER = "user"


#: On every row of every entity. `master_id` is the survivor when the record was merged away; null otherwise.
COMMON: dict[str, str] = {"id": "VARCHAR", "modified_at": "TIMESTAMPTZ", "deleted": "BOOLEAN", "master_id": "VARCHAR", "read_at": "TIMESTAMPTZ"}

#: entity -> column -> DuckDB type, beyond COMMON. Account and csql rows carry, besides, one VARCHAR column `own_<key>` per field of writeback.yml
#: (canonical text as `connectors.values` makes it; null = empty in the CRM).
COLUMNS: dict[Entity, dict[str, str]] = {
    Entity.ACCOUNT: {
        "name": "VARCHAR",
        "kind": "VARCHAR",  # customer, prospect, partner … as the mapping says; null = unknown
        "parent_id": "VARCHAR",
        "owner_id": "VARCHAR",
        "csm_id": "VARCHAR",
        "segment": "VARCHAR",
        "industry": "VARCHAR",
        "employees": "BIGINT",
        "region": "VARCHAR",
        "partner_id": "VARCHAR",
        "touch_model": "VARCHAR",
        "stage": "VARCHAR",  # only where the CRM keeps the life-cycle stage itself
        "created_at": "TIMESTAMPTZ",
        "domain": "VARCHAR",
        "cross_id": "VARCHAR",  # id of the same company in the other CRM
        "match_key": "VARCHAR",  # joins usage rows (their tenant_key)
        "churn_notice_on": "DATE",
    },
    Entity.CONTRACT: {
        "account_id": "VARCHAR",
        "contract_number": "VARCHAR",  # groups the product lines of one contract
        "product": "VARCHAR",
        "plan": "VARCHAR",
        "seats": "BIGINT",
        "mrr": MONEY,
        "currency": "VARCHAR",
        "starts_on": "DATE",
        "ends_on": "DATE",
        "term_months": "BIGINT",
        "notice_on": "DATE",
        "auto_renew": "BOOLEAN",
        "status": "VARCHAR",  # draft | active | ended, by the mapping; null counts as active
        "churned_on": "DATE",
        "churn_reason": "VARCHAR",
        "churn_note": "VARCHAR",  # in somebody's own words
        "is_trial": "BOOLEAN",
        "end_user_id": "VARCHAR",
        "contracting_party_id": "VARCHAR",
        "bill_to_id": "VARCHAR",
        "partner_id": "VARCHAR",
        "match_key": "VARCHAR",  # usage exports keyed by contract instead of account (RavenStack)
    },
    Entity.BILLING: {
        "account_id": "VARCHAR",
        "contract_id": "VARCHAR",
        "product": "VARCHAR",
        "period": "DATE",
        "amount": MONEY,
        "currency": "VARCHAR",
        "paid": "BOOLEAN",
        "due_on": "DATE",
    },
    Entity.ACTIVITY: {
        "account_id": "VARCHAR",
        "contact_id": "VARCHAR",
        "owner_id": "VARCHAR",
        "kind": "VARCHAR",  # call email meeting task training webinar qbr kickoff onboarding_step
        "subject": "VARCHAR",
        "occurred_at": "TIMESTAMPTZ",
        "due_on": "DATE",
        "done_at": "TIMESTAMPTZ",
        "outbound": "BOOLEAN",
        "outcome": "VARCHAR",
    },
    Entity.CONTACT: {"account_id": "VARCHAR", "name": "VARCHAR", "role": "VARCHAR", "active": "BOOLEAN", "left_on": "DATE"},
    Entity.TICKET: {
        "account_id": "VARCHAR",
        "product": "VARCHAR",
        "opened_at": "TIMESTAMPTZ",
        "closed_at": "TIMESTAMPTZ",
        "priority": "VARCHAR",  # p1 p2 p3 p4, by the mapping
        "escalated": "BOOLEAN",
        "csat": "DOUBLE",  # 0..100
        "subject": "VARCHAR",
    },
    Entity.SURVEY: {
        "account_id": "VARCHAR",
        "contact_id": "VARCHAR",
        "kind": "VARCHAR",  # nps | csat
        "score": "DOUBLE",
        "occurred_at": "TIMESTAMPTZ",
        "comment": "VARCHAR",
        "product": "VARCHAR",
    },
    Entity.OPPORTUNITY: {
        "account_id": "VARCHAR",
        "product": "VARCHAR",
        "kind": "VARCHAR",  # new | renewal | expansion
        "amount": MONEY,
        "currency": "VARCHAR",
        "stage": "VARCHAR",
        "closed": "BOOLEAN",
        "won": "BOOLEAN",
        "close_on": "DATE",
        "deal_id": "VARCHAR",  # groups the lines of one opportunity; null = each row is one
        "name": "VARCHAR",
        "owner_id": "VARCHAR",
        "handover": "VARCHAR",  # names of the hand-over items of sales.yml that are filled in, `;` between them
    },
    Entity.OUTCOME: {
        "account_id": "VARCHAR",
        "metric": "VARCHAR",
        "baseline": "DOUBLE",
        "current_value": "DOUBLE",
        "fewer_is_better": "BOOLEAN",  # a fall below the baseline is the improvement; null counts as false
        "occurred_at": "TIMESTAMPTZ",
        "fact_backed": "BOOLEAN",
        "confirmed_by": "VARCHAR",  # the person's name
        "kind": "VARCHAR",  # revenue_up | cost_down, by the mapping
        "data_source": "VARCHAR",  # where the figure comes from
        "logic": "VARCHAR",  # how it follows from our product, in one sentence
    },
    # the CSQL record as people left it; everything else on it arrives as own_<key>
    Entity.CSQL: {"account_id": "VARCHAR", "product": "VARCHAR", "state": "VARCHAR", "external_key": "VARCHAR", "created_at": "TIMESTAMPTZ"},
    Entity.USER: {"name": "VARCHAR", "active": "BOOLEAN", "team": "VARCHAR"},
}


def columns(entity: Entity) -> dict[str, str]:
    """All columns of an entity with their DuckDB types, COMMON first."""
    return COMMON | COLUMNS[entity]
