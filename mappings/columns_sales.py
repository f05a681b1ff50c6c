"""Columns of what CS and sales hand each other: open deals, and what is said of hand-over and fit on an account."""

from mappings.column import Column as _c

#: Grain: one row per open deal (an opportunity, its lines added up) that is no renewal, of any account of the CRM, customers or not.
DEALS: dict[str, _c] = {
    "as_of_on": _c("DATE", "crm", "as_of as a date in the company's time zone"),
    "name": _c("VARCHAR", "crm", "the account's name"),
    "existing": _c("BOOLEAN", "crm", "the account has an open contract already"),
    "segment": _c("VARCHAR", "crm", "the account's segment"),
    "industry": _c("VARCHAR", "crm", "its industry"),
    "region": _c("VARCHAR", "crm", "its region"),
    "employees": _c("BIGINT", "crm", "its employees"),
    "csm_id": _c("VARCHAR", "crm", "its customer success manager; null = nobody yet"),
    "partner_id": _c("VARCHAR", "crm", "partner who manages the account; null = direct"),
    "deal_name": _c("VARCHAR", "opportunity", "name of the deal, else its id"),
    "deal_kind": _c("VARCHAR", "opportunity", "new or expansion"),
    "deal_stage": _c("VARCHAR", "opportunity", "stage as the CRM words it"),
    "deal_amount": _c("DECIMAL(18,4)", "opportunity", "amount over the deal's lines; null where they have several currencies"),
    "deal_currency": _c("VARCHAR", "opportunity", "its currency; null when mixed"),
    "deal_close_on": _c("DATE", "opportunity", "day on which sales expects the signature"),
    "deal_products": _c("VARCHAR", "opportunity", "product codes, `;` between them"),
}

#: What a text on a deal may name besides.
DEAL_SLOTS: dict[str, _c] = {
    "deal_products_title": _c("VARCHAR", "opportunity", "titles of its products"),
}

#: What this area adds to `decisions`; built only where a field that is switched on takes it.
SALES_DECISIONS: dict[str, _c] = {
    "handover_complete": _c(
        "DOUBLE", "opportunity", "percent of the hand-over items of sales.yml that are there; null where `handover.when` does not hold"
    ),
    "handover_missing*": _c("VARCHAR", "opportunity", "the items that are not, and whom to ask; null = none"),
    "fit_segment": _c("VARCHAR", "crm", "proven or unproven, by segment and product; null where `fit.when` does not hold"),
    "fit_note*": _c("VARCHAR", "crm", "what is unproven, with numbers; null = nothing"),
}
