"""What every key below the first level of priority.yml and routing.yml says, for docs/mappings.md. A test holds this list to the models."""

#: model -> key -> meaning
ROUTING_KEYS: dict[str, dict[str, str]] = {
    "PriorityTerm": {
        "name": "unique",
        "weight": "relative to the other terms; all at 1 are 100 points",
        "share": "expression 0..1 over account and result columns `alerts_open` and `spread_days`; unknown counts as 0. Steps, not slopes",
        "text": "reason shown by `scoresync today` where the share is above 0",
    },
    "Touch": {
        "targets": "percent of accounts per touch model, each from a day on",
        "tolerance": "percentage points that the mix may be off",
        "suggest": "the first that holds is suggested on the record",
        "high_min_mrr": "monthly amount below which high touch is questioned; null = never",
    },
    "TouchTarget": {"valid_from": "first day", "tech": "percent", "hybrid": "percent", "high": "percent; the three sum to 100"},
    "TouchRule": {"model": "tech, hybrid or high", "when": "condition over account and result columns; left out for the last rule"},
    "RoutingVersion": {
        "valid_from": "first day; in force until the next version's day",
        "owner_model": "life: the CSM stays for good; stage: the CSM should be one of the team's owners",
        "teams": "teams of this organisation",
        "first": "before the matrix: the first that holds names the team",
        "levels": "rows of the matrix, by score: the first that holds",
        "periods": "columns of the matrix, by contract period: the first that holds",
        "matrix": "level → period → team; every cell is needed",
    },
    "Team": {
        "name": "named in the matrix",
        "title": "written to the record",
        "owners": "CRM user ids among whom owners are suggested; none = nobody is",
    },
    "TeamRule": {"when": "condition over account and result columns", "team": "name of a team"},
    "Line": {"name": "named in the matrix", "when": "condition over account and result columns; left out for the last line"},
    "Load": {"levels": "what people carry; the first is for whoever is not listed", "users": "CRM user id → level"},
    "LoadLevel": {"name": "named in `users`", "accounts": "most accounts", "arr": "most annual revenue; null = no bar"},
    "Forecast": {
        "months": "how far ahead",
        "trailing_months": "growth where `new_per_month` says nothing: accounts that started in these months, per month",
        "accounts_per_head": "accounts one person can carry, per touch model",
        "heads": "people there are, per touch model",
        "new_per_month": "planned accounts a month, net of leavers, per touch model",
    },
}
