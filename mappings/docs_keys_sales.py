"""What every key of sales.yml and voice.yml says, for docs/mappings.md. A test holds this list to the models."""

#: model -> key -> meaning
SALES_KEYS: dict[str, dict[str, str]] = {
    "Sales": {
        "handover": "what sales hands over with a new customer",
        "deals": "open deals that CS sees before signature",
        "fit": "segments and products in which success is proven",
    },
    "Handover": {
        "when": "condition over account and result columns: whose hand-over is looked at",
        "items": "what CS needs; none = nothing is looked at",
    },
    "HandoverItem": {
        "name": "unique; as the opportunity's `handover` spells it",
        "title": "said where it is missing",
        "when": "condition over account and result columns that shows it is there; left out, the won opportunity's `handover` must name it",
    },
    "Deals": {
        "when": "condition over deal columns: which open deals are large enough; left out, none",
        "recipient": "CRM user id of who is told of deals of accounts without a CSM",
    },
    "Fit": {
        "success": "condition over account and result columns: a customer who succeeds; left out, nothing is judged",
        "when": "condition over account and result columns: on whose record the answer stands",
        "min_accounts": "successful accounts from which segment and product are proven",
        "after_days": "days after a product's start from which its account counts as kept or lost",
        "min_retention": "percent of those that still have the product; below it, unproven",
        "min_aged": "with fewer kept and lost together, retention says nothing",
    },
    "Voice": {"days": "how far back answers and tickets are read", "tags": "requests"},
    "VoiceTag": {
        "name": "unique",
        "title": "shown in the list",
        "words": "any of them in the text; case and width do not matter, a word of Latin letters is found as a whole word only",
    },
}
