"""Columns an expression may use: the `accounts` table and the `account_products` table of a run.

Name -> Column(DuckDB type, feed it comes from, what it says). Null always means *unknown*; a zero is written only where the feed covers the day
and the account is matched. Instants are UTC; dates are in the company's time zone.
"""

from mappings.column import Column as Column
from mappings.columns_evidence import EVIDENCE_DECISIONS
from mappings.columns_sales import SALES_DECISIONS

#: Where a column's facts come from. An indicator is *connected* when its feed brought any row at all.
FEEDS = ("crm", "usage", "setup", "activity", "contact", "ticket", "survey", "opportunity", "outcome", "human", "message", "event")


def _c(type_: str, feed: str, says: str) -> Column:
    return Column(type_, feed, says)


#: Grain: one row per account of the CRM that is in scope, at one `as_of`.
ACCOUNTS: dict[str, Column] = {
    "as_of": _c("TIMESTAMPTZ", "crm", "the run's one instant"),
    "as_of_on": _c("DATE", "crm", "as_of as a date in the company's time zone"),
    "account_id": _c("VARCHAR", "crm", "CRM id"),
    "name": _c("VARCHAR", "crm", "the customer's name in the CRM"),
    "parent_id": _c("VARCHAR", "crm", "parent account"),
    "owner_id": _c("VARCHAR", "crm", "owner in the CRM"),
    "csm_id": _c("VARCHAR", "crm", "customer success manager"),
    "kind": _c("VARCHAR", "crm", "customer, prospect, partner"),
    "segment": _c("VARCHAR", "crm", "size segment"),
    "industry": _c("VARCHAR", "crm", "industry"),
    "employees": _c("BIGINT", "crm", "employees"),
    "region": _c("VARCHAR", "crm", "region"),
    "partner_id": _c("VARCHAR", "crm", "partner who manages the account; null = direct"),
    "touch_model": _c("VARCHAR", "crm", "tech, hybrid, high"),
    "churn_notice_on": _c("DATE", "crm", "day a churn notice was received"),
    # contracts: open = started, not ended, not churned, not draft, at as_of_on; trials are left out
    "contracts": _c("BIGINT", "crm", "open product lines"),
    "had_contract": _c("BOOLEAN", "crm", "any product line ever started"),
    "products_owned": _c("BIGINT", "crm", "distinct products in open lines"),
    "main_product": _c("VARCHAR", "crm", "product with the highest MRR among open lines"),
    "embedded": _c("BOOLEAN", "crm", "the main product is part of the customer's daily work (`embedded` in products.yml)"),
    "products_to_sell": _c("BIGINT", "crm", "products of the catalogue that are sold and not owned"),
    "seats": _c("BIGINT", "crm", "seats over open lines"),
    "mrr": _c("DECIMAL(18,4)", "crm", "monthly recurring revenue over open lines"),
    "currency": _c("VARCHAR", "crm", "currency of mrr; null when mixed"),
    "first_contract_on": _c("DATE", "crm", "earliest start of any line"),
    "contract_starts_on": _c("DATE", "crm", "first start of the main product"),
    "contract_ends_on": _c("DATE", "crm", "earliest end among open lines"),
    "term_months": _c("BIGINT", "crm", "term of the line that ends first"),
    "notice_on": _c("DATE", "crm", "notice deadline of the line that ends first; end minus one month where none is kept"),
    "notice_estimated": _c("BOOLEAN", "crm", "notice_on was derived from the end date"),
    "days_to_notice": _c("BIGINT", "crm", "notice_on minus as_of_on"),
    "days_since_start": _c("BIGINT", "crm", "as_of_on minus contract_starts_on"),
    "auto_renew": _c("BOOLEAN", "crm", "the line that ends first renews by itself"),
    "churned_on": _c("DATE", "crm", "latest churn date when no line is open"),
    "stage": _c("VARCHAR", "crm", "onboarding, adoption, renewal; churned; null without contract"),
    # usage: windows end at usage_as_of, the feed's last complete day
    "usage_matched": _c("BOOLEAN", "usage", "the account's match key occurs in the usage feed"),
    "usage_as_of": _c("DATE", "usage", "last complete day of the usage feed"),
    "active_users_28d": _c("BIGINT", "usage", "distinct users in the last 28 days"),
    "active_users_prev_28d": _c("BIGINT", "usage", "distinct users in the 28 days before"),
    "active_users_14d": _c("BIGINT", "usage", "distinct users in the last 14 days"),
    "events_28d": _c("BIGINT", "usage", "events in the last 28 days"),
    "events_prev_28d": _c("BIGINT", "usage", "events in the 28 days before"),
    "seconds_28d": _c("BIGINT", "usage", "seconds of use in the last 28 days"),
    "active_days_28d": _c("BIGINT", "usage", "days with any event in the last 28 days"),
    "business_days_28d": _c("BIGINT", "usage", "company business days in the last 28 days"),
    "events_per_business_day_28d": _c("DOUBLE", "usage", "events_28d / business_days_28d"),
    "events_per_business_day_prev_28d": _c("DOUBLE", "usage", "the same for the 28 days before"),
    "events_month": _c("BIGINT", "usage", "events in the last closed calendar month"),
    "events_prev_month": _c("BIGINT", "usage", "events in the calendar month before it"),
    "month_label": _c("DATE", "usage", "first day of the last closed calendar month"),
    "features_14d": _c("BIGINT", "usage", "distinct features in the last 14 days; counted where a mapping names this column"),
    "core_events_28d": _c("BIGINT", "usage", "events of the owned products' core features, last 28 days"),
    "core_unused": _c("VARCHAR", "usage", "core features of owned products without an event in 28 days; null = none, unknown, or not asked"),
    "advanced_events_28d": _c("BIGINT", "usage", "events of features declared as advanced, last 28 days"),
    "last_used_on": _c("DATE", "usage", "last day with an event"),
    "seat_use": _c("DOUBLE", "usage", "active_users_28d / seats, in percent"),
    "setup_steps_done": _c("BIGINT", "setup", "set-up steps done, over owned products"),
    "setup_steps_total": _c("BIGINT", "setup", "set-up steps there are, over owned products"),
    "setup_as_of": _c("DATE", "setup", "day of the latest set-up snapshot"),
    # people and touches
    "last_touch_on": _c("DATE", "activity", "last done activity of any kind"),
    "touches_90d": _c("BIGINT", "activity", "done activities in 90 days"),
    "meetings_90d": _c("BIGINT", "activity", "meetings, QBRs, kick-offs in 90 days"),
    "trainings_done": _c("BIGINT", "activity", "trainings and webinars ever"),
    "message_opens_90d": _c("BIGINT", "message", "messages opened in 90 days: activities of kind email_open; null = none is ever recorded"),
    "events_attended_180d": _c("BIGINT", "event", "webinars and user-group events in 180 days; null = none is ever recorded"),
    "last_qbr_on": _c("DATE", "activity", "last QBR"),
    "last_decision_maker_on": _c("DATE", "activity", "last done activity with a contact whose role is decision_maker"),
    "onboarding_steps_open": _c("BIGINT", "activity", "onboarding steps not done and past due"),
    "contacts": _c("BIGINT", "contact", "active contacts"),
    "operators": _c("BIGINT", "contact", "active contacts with role operator or admin"),
    "champions": _c("BIGINT", "contact", "active champions"),
    "decision_makers": _c("BIGINT", "contact", "active decision-makers"),
    "champion_left_on": _c("DATE", "contact", "last day a champion left, while no active champion is named"),
    "tickets_90d": _c("BIGINT", "ticket", "tickets opened in 90 days"),
    "tickets_open": _c("BIGINT", "ticket", "tickets open now"),
    "p1_open": _c("BIGINT", "ticket", "priority-1 tickets open now"),
    "p1_open_days": _c("BIGINT", "ticket", "age of the oldest open P1 in days"),
    "escalated_open": _c("BIGINT", "ticket", "escalated tickets open now"),
    "csat_90d": _c("DOUBLE", "ticket", "mean CSAT of tickets closed in 90 days, 0..100"),
    "csat_answers_90d": _c("BIGINT", "ticket", "tickets with CSAT in 90 days"),
    "nps_180d": _c("DOUBLE", "survey", "mean NPS answer (0..10) in 180 days"),
    "nps_answers_180d": _c("BIGINT", "survey", "NPS answers in 180 days"),
    "nps_last_on": _c("DATE", "survey", "last NPS answer"),
    "opportunities_open": _c("BIGINT", "opportunity", "open opportunities"),
    "expansion_open": _c("BIGINT", "opportunity", "open expansion opportunities"),
    "outcomes": _c("BIGINT", "outcome", "outcome records in 365 days"),
    "outcome_change": _c("DOUBLE", "outcome", "mean change against baseline in percent over the outcomes in 365 days"),
    "outcome_last_on": _c("DATE", "outcome", "last outcome record"),
    # for alerts: usage that is low against the account's own past, escalations, the last answer, incidents
    "anomaly_product": _c("VARCHAR", "usage", "product whose use is low and lost most; empty = the export names no products"),
    "anomaly_since_on": _c("DATE", "usage", "day since which its use is low"),
    "anomaly_normal": _c("BIGINT", "usage", "events its window usually holds: five business days, or one monthly close"),
    "anomaly_now": _c("BIGINT", "usage", "events the window that ends at usage_as_of holds: five business days, or 38 days for a monthly close"),
    "anomaly_rhythm": _c("VARCHAR", "usage", "rhythm of that product, daily or monthly_close"),
    "anomaly_until_on": _c("DATE", "usage", "last day of the window"),
    "anomaly_note_en": _c("VARCHAR", "usage", "events of calendar.yml (annotate) in the week before it began"),
    "anomaly_note_ja": _c("VARCHAR", "usage", "the same in Japanese"),
    "tickets_28d": _c("BIGINT", "ticket", "tickets opened in 28 days; null = never any"),
    "tickets_prev_84d": _c("BIGINT", "ticket", "tickets opened in the 84 days before them; null = never any"),
    "tickets_open_over_7d": _c("BIGINT", "ticket", "tickets open for seven days or longer; null = never any"),
    "escalation_state": _c("VARCHAR", "ticket", "open, recovered, fan (answered NPS 9 or 10 after it); null = never any"),
    "escalated_on": _c("DATE", "ticket", "day the oldest open escalated ticket was opened"),
    "escalation_recovered_on": _c("DATE", "ticket", "day the last escalated ticket was closed; null while one is open"),
    "nps_last_score": _c("DOUBLE", "survey", "last NPS answer, 0..10"),
    "incidents_90d": _c("BIGINT", "crm", "incidents of calendar.yml in 90 days that touched an owned product; null = none"),
    "incident_last_on": _c("DATE", "crm", "last day of the latest of them"),
    "incident_title_en": _c("VARCHAR", "crm", "its title"),
    "incident_title_ja": _c("VARCHAR", "crm", "its title in Japanese"),
    # human-owned fields, read only
    "override_score": _c("BIGINT", "human", "a person's score; null = none, lapsed, or with an end too far ahead"),
    "override_until": _c("DATE", "human", "last day of the override"),
    "pulse": _c("VARCHAR", "human", "CSM pulse A, B, C"),
    "csm_judgement": _c("VARCHAR", "human", "whether the CSM sees the moment for more: good, not_now"),
    "onboarding_outcome": _c("VARCHAR", "human", "completed, failed_proceeding, extended"),
    # onboarding of the main product, by the plan and version that was valid when it started; null where no plan fits or nothing shows its steps
    "onboarding_plan": _c("VARCHAR", "crm", "name of the plan in onboarding/"),
    "onboarding_version": _c("BIGINT", "crm", "version of the criteria that the account keeps"),
    "onboarding_status": _c("VARCHAR", "crm", "not_started, on_track, overdue, extended, completed, failed_proceeding"),
    "onboarding_phase": _c("VARCHAR", "crm", "phase of the first open step; null = completed"),
    "onboarding_due_on": _c("DATE", "crm", "last day of the period; of the extended one where it was extended"),
    "onboarding_completed_on": _c("DATE", "crm", "day the last step was done, or first seen done; null = open, or long done on a day nobody knows"),
    "onboarding_on_time": _c("BOOLEAN", "crm", "completed within the original period; null = still open within it, or not known"),
    "onboarding_steps_done": _c("BIGINT", "crm", "steps of the plan that are done"),
    "onboarding_steps_total": _c("BIGINT", "crm", "steps of the plan"),
    "steps_overdue": _c("BIGINT", "crm", "steps of the plan past their own due day; null without a plan"),
    "steps_overdue_since": _c("DATE", "crm", "due day of the longest overdue step"),
    "overdue_steps_title_en": _c("VARCHAR", "crm", "overdue steps with their due days"),
    "overdue_steps_title_ja": _c("VARCHAR", "crm", "likewise in Japanese; in texts of alerts `{overdue_steps_title}`"),
    "onboarding_next_en": _c("VARCHAR", "crm", "next step of onboarding in words, with its day and material"),
    "onboarding_next_ja": _c("VARCHAR", "crm", "likewise in Japanese"),
    "renewal_number": _c("BIGINT", "crm", "which renewal of the main product comes next; 1 = the first"),
    # products that are tried and not owned: `is_trial` of contract lines
    "trials": _c("BIGINT", "crm", "products on trial that the account does not own"),
    "trial_events_28d": _c("BIGINT", "usage", "events in them in the last 28 days"),
    "trial_advanced_events_28d": _c("BIGINT", "usage", "events of their advanced features, which advanced_events_28d counts, too"),
}

#: Grain: one row per account and product of the catalogue, owned or not. A rule sees these and every column of ACCOUNTS, and the score's results.
ACCOUNT_PRODUCTS: dict[str, Column] = {
    "product": _c("VARCHAR", "crm", "product code"),
    "owned": _c("BOOLEAN", "crm", "an open line of this product exists"),
    "product_plan": _c("VARCHAR", "crm", "plan of the open line with the highest MRR"),
    "product_plan_rank": _c("BIGINT", "crm", "place of the plan in the catalogue, 1 = lowest; null = unknown"),
    "product_plan_ranks": _c("BIGINT", "crm", "how many plans the catalogue lists for the product"),
    "product_seats": _c("BIGINT", "crm", "seats over open lines"),
    "product_mrr": _c("DECIMAL(18,4)", "crm", "MRR over open lines"),
    "product_starts_on": _c("DATE", "crm", "first start of the product"),
    "product_active_users_28d": _c("BIGINT", "usage", "distinct users in the last 28 days"),
    "product_active_users_prev_28d": _c("BIGINT", "usage", "distinct users in the 28 days before"),
    "product_events_28d": _c("BIGINT", "usage", "events in the last 28 days"),
    "product_core_events_28d": _c("BIGINT", "usage", "core feature events in the last 28 days"),
    "product_advanced_events_28d": _c("BIGINT", "usage", "advanced feature events in the last 28 days"),
    "product_opportunity_open": _c("BOOLEAN", "opportunity", "an open expansion or new opportunity names this product"),
    "product_sales_touch_on": _c("DATE", "activity", "last activity by the account's sales owner (not the CSM) in an open talk on this product"),
    "fit": _c("DOUBLE", "crm", "share of same-segment customers who own this product, in percent"),
}

#: Results of score and decide that a CSQL rule or an alert may use.
RESULTS: dict[str, Column] = {
    "health_score": _c("BIGINT", "crm", "published score"),
    "health_tier": _c("BIGINT", "crm", "1..5 after hysteresis; null = not scored"),
    "health_trend": _c("VARCHAR", "crm", "up, flat, down"),
    "health_delta_28d": _c("BIGINT", "crm", "change against 28 days before"),
    "coverage": _c("DOUBLE", "crm", "percent of connected weight present"),
    "deployment": _c("DOUBLE", "crm", "axis, 0..100"),
    "adoption": _c("DOUBLE", "crm", "axis, 0..100"),
    "engagement": _c("DOUBLE", "crm", "axis, 0..100"),
    "outcome": _c("DOUBLE", "crm", "axis, 0..100"),
    "profile": _c("VARCHAR", "crm", "score profile used"),
    "capped_by": _c("VARCHAR", "crm", "name of the cap that applies; null = none"),
    "csql_accept_late": _c("BIGINT", "crm", "CSQLs that sales has neither accepted nor returned by their day"),
    "csql_contact_late": _c("BIGINT", "crm", "CSQLs accepted without a meeting within contact_business_days"),
}

#: What a share of `priority.yml` may use beyond ACCOUNTS and RESULTS.
PRIORITY: dict[str, Column] = {
    "alerts_open": _c("BIGINT", "crm", "alerts of alerts/ that hold now"),
    "spread_days": _c("BIGINT", "crm", "0 to 13, always the same for an account: spreads steps in days over two weeks where many deadlines are one"),
}

#: What a text of an indicator may name beyond ACCOUNTS columns.
INDICATOR_SLOTS: dict[str, Column] = {
    "value": _c("DOUBLE", "crm", "the indicator's value"),
    "points": _c("DOUBLE", "crm", "the indicator's points, 0..100"),
    "main_product_title": _c("VARCHAR", "crm", "title of the main product in the text's language, from products.yml"),
}

#: What a text of an alert may name beyond ACCOUNTS, RESULTS and the main product's title.
ALERT_SLOTS: dict[str, Column] = {
    "anomaly_product_title": _c("VARCHAR", "crm", "title of anomaly_product in the text's language"),
    "incident_title": _c("VARCHAR", "crm", "title of the latest incident in the text's language"),
}

#: What the `count` of an indicator's lift may use beyond ACCOUNTS columns.
LIFT: dict[str, Column] = {
    "value": _c("DOUBLE", "crm", "the indicator's value"),
    "target": _c("DOUBLE", "crm", "the value to reach"),
}

#: What the text of a lift may name beyond ACCOUNTS columns.
LIFT_SLOTS: dict[str, Column] = INDICATOR_SLOTS | LIFT | {"count": _c("BIGINT", "crm", "the change in countable things")}

#: What a text of a CSQL rule or gate may name beyond ACCOUNTS, ACCOUNT_PRODUCTS and RESULTS.
CSQL_SLOTS: dict[str, Column] = {
    "product_title": _c("VARCHAR", "crm", "title of the row's product in the text's language, from products.yml"),
    "main_product_title": _c("VARCHAR", "crm", "title of the account's main product, likewise"),
    "amount": _c("DECIMAL(18,4)", "crm", "the rule's expected extra MRR"),
    "seats_suggested": _c("BIGINT", "crm", "the rule's suggested seats"),
    "since_on": _c("DATE", "crm", "day since which the signal holds"),
}

#: Columns of `decisions` that a field of writeback.yml (object account) may take; `*` = one per language (`main_reason_en`, `main_reason_ja`).
DECISIONS: dict[str, Column] = {
    "score": _c("BIGINT", "crm", "published score; null = not scored"),
    "score_uncapped": _c("DOUBLE", "crm", "score before exceptions"),
    "tier": _c("BIGINT", "crm", "1..5; null = not scored"),
    "tier_label": _c("VARCHAR", "crm", "picklist value of the tier: 1..5 or not_scored"),
    "trend": _c("VARCHAR", "crm", "up, flat, down"),
    "delta_28d": _c("BIGINT", "crm", "change against 28 days before"),
    "deployment": _c("DOUBLE", "crm", "axis, 0..100"),
    "adoption": _c("DOUBLE", "crm", "axis, 0..100"),
    "engagement": _c("DOUBLE", "crm", "axis, 0..100"),
    "outcome": _c("DOUBLE", "crm", "axis, 0..100"),
    "coverage": _c("DOUBLE", "crm", "percent of connected weight present"),
    "profile": _c("VARCHAR", "crm", "score profile used"),
    "config_version": _c("VARCHAR", "crm", "12 hex digits"),
    "main_reason*": _c("VARCHAR", "crm", "the measure that lowers the score most, in words"),
    "cause": _c("VARCHAR", "crm", "picklist value of the main reason: an indicator's cause or a cap's name"),
    "strength*": _c("VARCHAR", "crm", "the measure that lifts the score most, in words"),
    "reason_2*": _c("VARCHAR", "crm", "the second reason that lowers the score, in words"),
    "reason_3*": _c("VARCHAR", "crm", "the third"),
    "strength_2*": _c("VARCHAR", "crm", "the second measure that lifts the score, in words"),
    "strength_3*": _c("VARCHAR", "crm", "the third"),
    "delta_split*": _c("VARCHAR", "crm", "why the score changed over the trend's window, in parts that add up to the change"),
    "way_up*": _c("VARCHAR", "crm", "the cheapest way to the next tier: what to do, or which exception comes first"),
    "sparkline": _c("VARCHAR", "crm", "closing scores of the last 12 weeks as bars"),
    "next_action*": _c("VARCHAR", "crm", "the main reason's action"),
    "exception*": _c("VARCHAR", "crm", "text of the cap that applies"),
    "data_status*": _c("VARCHAR", "crm", "coverage and what is missing or late, in words"),
    "notice_on": _c("DATE", "crm", "notice deadline"),
    "seat_use": _c("DOUBLE", "crm", "percent of seats in use"),
    "usage_as_of": _c("DATE", "crm", "last complete day of the usage feed"),
    "scored_at": _c("TIMESTAMPTZ", "crm", "the run's as_of"),
    "csql_flag": _c("BOOLEAN", "crm", "a CSQL is Submitted or later, and open"),
    "csql_open_count": _c("BIGINT", "crm", "open CSQL records, candidates included"),
    "csql_status*": _c("VARCHAR", "crm", "state and product of the furthest open CSQL, in words"),
    "csql_suppressed*": _c("VARCHAR", "crm", "why a signal made no CSQL"),
    "approach_score": _c("BIGINT", "crm", "highest approach score among open CSQLs and candidates"),
    "white_space*": _c("VARCHAR", "crm", "products not owned, best fit first"),
    "white_space_detail*": _c("VARCHAR", "crm", "the same with fit, owner team and what stands in the way, where the account has a score"),
    "override_state*": _c("VARCHAR", "crm", "a person's score in force and its last day, or why it is not taken"),
    "usage_status": _c("VARCHAR", "crm", "the first usage status of the scorecard that holds"),
    "patterns": _c("VARCHAR", "crm", "names of the patterns that hold, `;` between them"),
    "pattern_note*": _c("VARCHAR", "crm", "texts of the patterns that hold"),
    "product_scores*": _c("VARCHAR", "crm", "each owned product with its score, in the order of the catalogue"),
    "product_score": _c("BIGINT", "crm", "MRR-weighted mean of the products' scores, held by the account's exceptions"),
    "worst_product*": _c("VARCHAR", "crm", "the product with the lowest score, where two or more are scored"),
    "parent_score": _c("BIGINT", "crm", "MRR-weighted mean over the account and everyone below it (parent_id); null without a scored child"),
    "parent_lowest*": _c("VARCHAR", "crm", "the account below it with the lowest score, by name"),
    "priority": _c("BIGINT", "crm", "band and place on the list of whoever works the account, 101 = first; null = on no list"),
    "touch_suggested": _c("VARCHAR", "crm", "touch model that routing.yml suggests"),
    "cs_team*": _c("VARCHAR", "crm", "title of the team that routing.yml gives the account to"),
    "owner_suggested": _c("VARCHAR", "crm", "name of the person routing.yml suggests; null = the CSM is right, or nobody is suggested"),
    "advocacy": _c("BOOLEAN", "crm", "whether the condition `advocacy` of lists.yml holds"),
    "innovator": _c("BOOLEAN", "crm", "whether the condition `innovator` of lists.yml holds"),
    "trial_user": _c("BOOLEAN", "crm", "whether the condition `trial_user` of lists.yml holds"),
    "last_decision_maker_on": _c("DATE", "activity", "last done activity with a decision-maker"),
    "outcome_change": _c("DOUBLE", "outcome", "mean change against baseline in percent over the outcomes in 365 days"),
    "term_starts_on": _c("DATE", "crm", "first day of the term of the line that ends first"),
    "resynced_at": _c("TIMESTAMPTZ", "crm", "the request answered last (resync runs only)"),
    "usage_anomaly*": _c("VARCHAR", "crm", "product, what is usual, what is now, in words; null = use is as usual"),
    "anomaly_since_on": _c("DATE", "crm", "day since which use is low"),
    "escalation_state": _c("VARCHAR", "crm", "open, recovered, fan; null = never any"),
    "escalated_on": _c("DATE", "crm", "day the oldest open escalated ticket was opened"),
    "escalation_recovered_on": _c("DATE", "crm", "day the last escalated ticket was closed"),
    "nps_due_on": _c("DATE", "crm", "day 30 or 90 of the contract whose NPS question has no answer yet"),
    "managed_by": _c("VARCHAR", "crm", "direct or partner"),
    # onboarding and renewal
    "onboarding_status": _c("VARCHAR", "crm", "not_started, on_track, overdue, extended, completed, failed_proceeding"),
    "onboarding_due_on": _c("DATE", "crm", "last day of the period"),
    "onboarding_on_time": _c("VARCHAR", "crm", "yes, no; null = open within the period, or not known"),
    "onboarding_criteria": _c("VARCHAR", "crm", "plan and version that the account keeps, `expense v2`"),
    "onboarding_phase*": _c("VARCHAR", "crm", "title of the phase of the first open step"),
    "onboarding_next*": _c("VARCHAR", "crm", "next step in words, with its day and the link to its material"),
    "setup_overdue*": _c("VARCHAR", "crm", "steps past their own due day, with the days"),
    "renewal_number": _c("BIGINT", "crm", "which renewal comes next; 1 = the first"),
    "renewal_prep": _c("VARCHAR", "crm", "not_yet, the name of the first open step of renewal.yml, ready, passed"),
    "renewal_next*": _c("VARCHAR", "crm", "next step of the preparation in words, with its day"),
    "renewal_next_on": _c("DATE", "crm", "day of that step"),
    "qbr_due_on": _c("DATE", "crm", "day by which the next business review is due"),
    "expansion_ready": _c("VARCHAR", "crm", "ready, not_yet; null outside the preparation of a renewal"),
    "self_success*": _c("VARCHAR", "crm", "the signs that a new customer may do without a CSM; null = no candidate"),
    **SALES_DECISIONS,
    **EVIDENCE_DECISIONS,
}

#: Columns of `csql_desired` that a field of writeback.yml (object csql) may take.
CSQL_DESIRED: dict[str, Column] = {
    "account_id": _c("VARCHAR", "crm", "CRM id of the account"),
    "external_key": _c("VARCHAR", "crm", "account|product or motion|sequence"),
    "title*": _c("VARCHAR", "crm", "rule's title and product, for lists"),
    "product": _c("VARCHAR", "crm", "product code"),
    "motion": _c("VARCHAR", "crm", "seat, tier, cross_sell, add_on, referral"),
    "state": _c("VARCHAR", "crm", "Candidate, Submitted (trusted rules), Expired or Merged: the moves the worker owns"),
    "merged_into": _c("VARCHAR", "crm", "key of the record that this one gave way to"),
    "rule": _c("VARCHAR", "crm", "rule name and version, `seat_expansion v1`"),
    "need*": _c("VARCHAR", "crm", "the rule's need text"),
    "why_now*": _c("VARCHAR", "crm", "the rule's why-now text"),
    "amount": _c("DECIMAL(18,4)", "crm", "expected extra MRR"),
    "currency": _c("VARCHAR", "crm", "currency of the amount"),
    "seats_suggested": _c("BIGINT", "crm", "suggested seats"),
    "approach_score": _c("BIGINT", "crm", "0..100, half-even"),
    "health_score": _c("BIGINT", "crm", "published score when the record was opened"),
    "health_tier": _c("BIGINT", "crm", "tier when the record was opened"),
    "coverage": _c("DOUBLE", "crm", "coverage when the record was opened"),
    "during_onboarding": _c("BOOLEAN", "crm", "the account's stage was onboarding when it was opened"),
    "owner_id": _c("VARCHAR", "crm", "the account's owner in the CRM, proposed as sales owner"),
    "opened_on": _c("DATE", "crm", "day the record was opened"),
    "since_on": _c("DATE", "crm", "day since which the signal holds"),
    "accept_by": _c("DATE", "crm", "opened_on plus the policy's business days"),
    "expires_on": _c("DATE", "crm", "last move plus the policy's expire_days"),
    "config_version": _c("VARCHAR", "crm", "12 hex digits"),
}

LANGUAGES = ("en", "ja")

_MONEY = "DECIMAL(18,4)"
#: Canonical entities as a mapping may fill them: entity -> column -> DuckDB type. The same as `connectors.entities.COLUMNS` (a test holds the two
#: equal; this package imports nothing of ours). The columns every row has besides (id, modified_at …) are the connector's and cannot be mapped.
ENTITIES: dict[str, dict[str, str]] = {
    "account": {
        "name": "VARCHAR", "kind": "VARCHAR", "parent_id": "VARCHAR", "owner_id": "VARCHAR", "csm_id": "VARCHAR",
        "segment": "VARCHAR", "industry": "VARCHAR",
        "employees": "BIGINT", "region": "VARCHAR", "partner_id": "VARCHAR", "touch_model": "VARCHAR", "stage": "VARCHAR",
        "created_at": "TIMESTAMPTZ",
        "domain": "VARCHAR", "cross_id": "VARCHAR", "match_key": "VARCHAR", "churn_notice_on": "DATE",
    },
    "contract": {
        "account_id": "VARCHAR", "contract_number": "VARCHAR", "product": "VARCHAR", "plan": "VARCHAR", "seats": "BIGINT",
        "mrr": _MONEY, "currency": "VARCHAR",
        "starts_on": "DATE", "ends_on": "DATE", "term_months": "BIGINT", "notice_on": "DATE", "auto_renew": "BOOLEAN", "status": "VARCHAR",
        "churned_on": "DATE", "churn_reason": "VARCHAR", "churn_note": "VARCHAR", "is_trial": "BOOLEAN", "end_user_id": "VARCHAR",
        "contracting_party_id": "VARCHAR", "bill_to_id": "VARCHAR", "partner_id": "VARCHAR", "match_key": "VARCHAR",
    },
    "billing": {
        "account_id": "VARCHAR", "contract_id": "VARCHAR", "product": "VARCHAR", "period": "DATE", "amount": _MONEY, "currency": "VARCHAR",
        "paid": "BOOLEAN", "due_on": "DATE",
    },
    "activity": {
        "account_id": "VARCHAR", "contact_id": "VARCHAR", "owner_id": "VARCHAR", "kind": "VARCHAR", "subject": "VARCHAR",
        "occurred_at": "TIMESTAMPTZ",
        "due_on": "DATE", "done_at": "TIMESTAMPTZ", "outbound": "BOOLEAN", "outcome": "VARCHAR",
    },
    "contact": {"account_id": "VARCHAR", "name": "VARCHAR", "role": "VARCHAR", "active": "BOOLEAN", "left_on": "DATE"},
    "ticket": {
        "account_id": "VARCHAR", "product": "VARCHAR", "opened_at": "TIMESTAMPTZ", "closed_at": "TIMESTAMPTZ", "priority": "VARCHAR",
        "escalated": "BOOLEAN", "csat": "DOUBLE", "subject": "VARCHAR",
    },
    "survey": {
        "account_id": "VARCHAR", "contact_id": "VARCHAR", "kind": "VARCHAR", "score": "DOUBLE", "occurred_at": "TIMESTAMPTZ", "comment": "VARCHAR",
        "product": "VARCHAR",
    },
    "opportunity": {
        "account_id": "VARCHAR", "product": "VARCHAR", "kind": "VARCHAR", "amount": _MONEY, "currency": "VARCHAR", "stage": "VARCHAR",
        "closed": "BOOLEAN", "won": "BOOLEAN", "close_on": "DATE", "deal_id": "VARCHAR",
        "name": "VARCHAR", "owner_id": "VARCHAR", "handover": "VARCHAR",
    },
    "outcome": {
        "account_id": "VARCHAR", "metric": "VARCHAR", "baseline": "DOUBLE", "current_value": "DOUBLE", "fewer_is_better": "BOOLEAN",
        "occurred_at": "TIMESTAMPTZ", "fact_backed": "BOOLEAN", "confirmed_by": "VARCHAR",
        "kind": "VARCHAR", "data_source": "VARCHAR", "logic": "VARCHAR",
    },
    "csql": {"account_id": "VARCHAR", "product": "VARCHAR", "state": "VARCHAR", "external_key": "VARCHAR", "created_at": "TIMESTAMPTZ"},
    "user": {"name": "VARCHAR", "active": "BOOLEAN", "team": "VARCHAR"},
}  # fmt: skip

#: Columns without which an entity's rows cannot be used.
REQUIRED: dict[str, tuple[str, ...]] = {
    "account": ("name",),
    "contract": ("account_id", "product", "starts_on"),
    "billing": ("account_id", "amount"),
    "activity": ("account_id", "kind", "occurred_at"),
    "contact": ("account_id",),
    "ticket": ("account_id", "opened_at"),
    "survey": ("account_id", "score", "occurred_at"),
    "opportunity": ("account_id", "closed"),
    "outcome": ("account_id", "baseline", "current_value", "occurred_at"),
    "csql": ("account_id", "state", "external_key"),
    "user": ("name",),
}
