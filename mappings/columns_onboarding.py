"""Columns of onboarding and renewal: what they add to `accounts` and `decisions`, and what their conditions may use."""

from mappings.columns import ACCOUNTS, RESULTS, Column


def _c(type_: str, feed: str, says: str) -> Column:
    return Column(type_, feed, says)


#: What is known of an account before its row is put together: what `when` of an onboarding step may use. A count of nobody is 0 here.
ONBOARDING_FACTS: dict[str, Column] = {
    name: ACCOUNTS[name]
    for name in (
        "seats", "contacts", "operators", "champions", "decision_makers", "trainings_done", "last_decision_maker_on", "active_users_28d",
        "setup_steps_done", "setup_steps_total",
    )
}  # fmt: skip

#: What conditions of renewal.yml may use beyond ACCOUNTS and RESULTS.
RENEWAL_FACTS: dict[str, Column] = {
    "prep_from": _c("DATE", "crm", "first day of the preparation"),
    "csql_open_count": _c("BIGINT", "crm", "open CSQL records, candidates included"),
    "white_space_products": _c("BIGINT", "crm", "products of the catalogue that are offered and not owned"),
}

FACTS_OF: dict[str, dict[str, Column]] = {"onboarding": ONBOARDING_FACTS, "renewal": ACCOUNTS | RESULTS | RENEWAL_FACTS}
