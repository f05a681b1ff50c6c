-- name: accounts
-- Grain: one row per account of the CRM that is neither deleted nor merged away.
CREATE OR REPLACE TEMP TABLE accounts AS
WITH facts AS (
    SELECT a.*, {{as_of}} AS as_of, {{on}} AS as_of_on, a.id AS account_id,
           coalesce(c.contracts, 0) AS contracts, coalesce(c.had_contract, false) AS had_contract, coalesce(c.products_owned, 0) AS products_owned,
           p.main_product, c.seats, CASE WHEN c.currencies <= 1 THEN c.mrr END AS mrr, CASE WHEN c.currencies = 1 THEN c.currency END AS currency,
           c.first_contract_on, p.contract_starts_on, e.contract_ends_on, e.term_months, e.notice_on, e.notice_estimated, e.auto_renew,
           e.notice_on - {{on}} AS days_to_notice, {{on}} - p.contract_starts_on AS days_since_start,
           CASE WHEN coalesce(c.contracts, 0) = 0 THEN c.ended_on END AS churned_on,
           CASE WHEN a.own_override_until BETWEEN {{on}} AND {{on}} + {{override_days}} THEN a.own_override_score END AS override_score, a.own_override_until AS override_until,
           a.own_pulse AS pulse, a.own_csm_judgement AS csm_judgement, a.own_onboarding_outcome AS onboarding_outcome, coalesce(g.onboarding_days, 90) AS onboarding_days,
           coalesce(g.embedded, false) AS embedded, (SELECT count(*) FROM j_product WHERE sell) - coalesce(w.owned, 0) AS products_to_sell
    FROM j_account AS a
    LEFT JOIN j_contract_facts AS c ON c.acct = a.id LEFT JOIN j_main AS p ON p.acct = a.id LEFT JOIN j_first_end AS e ON e.acct = a.id
    LEFT JOIN j_product AS g ON g.product = p.main_product
    LEFT JOIN (SELECT o.acct, count(*) AS owned FROM j_owned AS o JOIN j_product AS b ON b.product = o.product WHERE o.owned AND b.sell GROUP BY o.acct) AS w
           ON w.acct = a.id
), staged AS (
    -- An extended onboarding runs on to twice its days; one that a person closed, well or not, is over.
    SELECT * EXCLUDE (stage), CASE
        WHEN contracts = 0 AND had_contract AND churned_on IS NOT NULL THEN 'churned'
        WHEN contracts = 0 THEN NULL
        WHEN stage IN ('onboarding', 'adoption', 'renewal') THEN stage
        WHEN days_since_start < onboarding_days * CASE WHEN onboarding_outcome = 'extended' THEN 2 ELSE 1 END
             AND coalesce(onboarding_outcome, '') NOT IN ('completed', 'failed_proceeding') THEN 'onboarding'
        -- a third of the term, a month taken as 30 days; monthly terms never enter
        WHEN days_to_notice <= least({{renewal_days}}, term_months * 10) AND term_months > 1 THEN 'renewal'
        ELSE 'adoption' END AS stage
    FROM facts
), matched AS (
    SELECT s.*, u.acct IS NOT NULL AS fed, coalesce(u.first_day <= {{end}} - 27, false) AS covers_28d,
           coalesce(u.first_day <= {{end}} - 55, false) AS covers_56d, coalesce(u.first_day <= {{end}} - 13, false) AS covers_14d,
           coalesce(u.first_day <= {{month}}, false) AS covers_month, coalesce(u.first_day <= {{prev_month}}, false) AS covers_prev_month,
           n.active_users_28d AS users_28d, n.active_users_prev_28d AS users_prev_28d, n.active_users_14d AS users_14d, u.*
    FROM staged AS s LEFT JOIN j_usage_facts AS u ON u.acct = s.account_id LEFT JOIN j_user_facts AS n ON n.acct = s.account_id
), used AS (
    SELECT m.* EXCLUDE (events_28d, events_prev_28d, seconds_28d, events_month, events_prev_month, features_14d, core_events_28d,
                        advanced_events_28d, last_used_on),
           CASE WHEN NOT {{usage_connected}} THEN NULL ELSE fed END AS usage_matched, {{end}} AS usage_as_of,
           CASE WHEN fed AND covers_28d AND {{users_known}} THEN coalesce(users_28d, 0) END AS active_users_28d,
           CASE WHEN fed AND covers_56d AND {{users_known}} THEN coalesce(users_prev_28d, 0) END AS active_users_prev_28d,
           CASE WHEN fed AND covers_14d AND {{users_known}} THEN coalesce(users_14d, 0) END AS active_users_14d,
           CASE WHEN fed AND covers_28d THEN coalesce(events_28d, 0) END AS events_28d,
           CASE WHEN fed AND covers_56d THEN coalesce(events_prev_28d, 0) END AS events_prev_28d,
           CASE WHEN fed AND covers_28d THEN coalesce(seconds_28d, 0) END AS seconds_28d,
           CASE WHEN fed AND covers_28d THEN coalesce(bit_count(days_28d), 0) END AS active_days_28d,
           CASE WHEN fed THEN {{business_28d}} END AS business_days_28d, {{business_prev}} AS business_prev,
           CASE WHEN fed AND covers_month THEN coalesce(events_month, 0) END AS events_month,
           CASE WHEN fed AND covers_prev_month THEN coalesce(events_prev_month, 0) END AS events_prev_month,
           {{month}} AS month_label,
           CASE WHEN fed AND covers_14d AND {{by_feature}} THEN coalesce(features_14d, 0) END AS features_14d,
           CASE WHEN fed AND covers_28d AND k.core THEN coalesce(core_events_28d, 0) END AS core_events_28d,
           CASE WHEN fed AND covers_28d AND {{advanced_declared}} THEN coalesce(advanced_events_28d, 0) END AS advanced_events_28d,
           CASE WHEN fed AND covers_28d THEN k.unused END AS core_unused, m.last_used_on AS last_used_on
    FROM matched AS m LEFT JOIN ({{core}}) AS k ON k.acct = m.account_id
), everything AS (
    SELECT u.*, events_28d / nullif(business_days_28d, 0) AS events_per_business_day_28d,
           events_prev_28d / nullif(business_prev, 0) AS events_per_business_day_prev_28d,
           active_users_28d * 100 / nullif(seats, 0) AS seat_use,
           sf.setup_steps_done, sf.setup_steps_total, sf.setup_as_of,
           af.last_touch_on, af.last_qbr_on, af.last_decision_maker_on, sales_touch_on,
           CASE WHEN {{has_activity}} THEN coalesce(af.touches_90d, 0) END AS touches_90d,
           CASE WHEN {{has_activity}} THEN coalesce(af.meetings_90d, 0) END AS meetings_90d,
           CASE WHEN {{has_activity}} THEN coalesce(af.trainings_done, 0) END AS trainings_done,
           CASE WHEN {{has_message}} THEN coalesce(af.message_opens_90d, 0) END AS message_opens_90d,
           CASE WHEN {{has_event}} THEN coalesce(af.events_attended_180d, 0) END AS events_attended_180d,
           CASE WHEN {{has_activity}} THEN coalesce(af.onboarding_steps_open, 0) END AS onboarding_steps_open,
           CASE WHEN {{has_contact}} THEN coalesce(cf.contacts, 0) END AS contacts, CASE WHEN {{has_contact}} THEN coalesce(cf.operators, 0) END AS operators,
           CASE WHEN {{has_contact}} THEN coalesce(cf.champions, 0) END AS champions,
           CASE WHEN {{has_contact}} THEN coalesce(cf.decision_makers, 0) END AS decision_makers, cf.champion_left_on,
           CASE WHEN {{has_ticket}} THEN coalesce(tf.tickets_90d, 0) END AS tickets_90d,
           CASE WHEN {{has_ticket}} THEN coalesce(tf.tickets_open, 0) END AS tickets_open,
           CASE WHEN {{has_ticket}} THEN coalesce(tf.p1_open, 0) END AS p1_open, tf.p1_open_days,
           CASE WHEN {{has_ticket}} THEN coalesce(tf.escalated_open, 0) END AS escalated_open, tf.csat_90d,
           CASE WHEN {{has_ticket}} THEN coalesce(tf.csat_answers_90d, 0) END AS csat_answers_90d,
           nf.nps_180d, CASE WHEN {{has_survey}} THEN coalesce(nf.nps_answers_180d, 0) END AS nps_answers_180d, nf.nps_last_on,
           CASE WHEN {{has_opportunity}} THEN coalesce(qf.opportunities_open, 0) END AS opportunities_open,
           CASE WHEN {{has_opportunity}} THEN coalesce(qf.expansion_open, 0) END AS expansion_open,
           CASE WHEN {{has_outcome}} THEN coalesce(rf.outcomes, 0) END AS outcomes, rf.outcome_change, rf.outcome_last_on,
           aw.* EXCLUDE (account_id), ax.* EXCLUDE (acct), coalesce(tr.trials, 0) AS trials,
           CASE WHEN u.events_28d IS NOT NULL THEN coalesce(tr.trial_events_28d, 0) END AS trial_events_28d,
           CASE WHEN u.advanced_events_28d IS NOT NULL THEN coalesce(tr.trial_advanced_events_28d, 0) END AS trial_advanced_events_28d,
           ob.plan AS onboarding_plan, ob.version AS onboarding_version, ob.status AS onboarding_status, ob.phase AS onboarding_phase,
           ob.due_on AS onboarding_due_on, ob.completed_on AS onboarding_completed_on, ob.on_time AS onboarding_on_time,
           ob.steps_done AS onboarding_steps_done, ob.steps_total AS onboarding_steps_total, ob.steps_overdue, ob.steps_overdue_since,
           ob.overdue_en AS overdue_steps_title_en, ob.overdue_ja AS overdue_steps_title_ja, ob.next_en AS onboarding_next_en,
           ob.next_ja AS onboarding_next_ja, rn.renewal_number
    FROM used AS u LEFT JOIN j_setup_facts AS sf ON sf.acct = u.account_id LEFT JOIN j_activity_facts AS af ON af.acct = u.account_id
    LEFT JOIN onboarding AS ob ON ob.account_id = u.account_id AND ob.main LEFT JOIN o_renewal AS rn ON rn.acct = u.account_id
    LEFT JOIN j_contact_facts AS cf ON cf.acct = u.account_id LEFT JOIN j_ticket_facts AS tf ON tf.acct = u.account_id
    LEFT JOIN j_survey_facts AS nf ON nf.acct = u.account_id LEFT JOIN j_outcome_facts AS rf ON rf.acct = u.account_id
    LEFT JOIN (SELECT acct, count(*) AS opportunities_open, count(*) FILTER (kind = 'expansion') AS expansion_open
               FROM j_open_opportunity GROUP BY acct) AS qf ON qf.acct = u.account_id
    LEFT JOIN a_worst AS aw ON aw.account_id = u.account_id LEFT JOIN a_fact AS ax ON ax.acct = u.account_id LEFT JOIN j_trial AS tr ON tr.acct = u.account_id
)
SELECT *, CASE WHEN excluded_why IS NULL THEN 'in' ELSE 'excluded' END AS scope FROM (
    -- who is served; churned accounts keep their last score and are not written any more
    SELECT *, CASE WHEN stage = 'churned' THEN 'churned' WHEN NOT coalesce({{pilot}}, false) THEN 'not in the pilot'
                   WHEN coalesce({{include}}, false) THEN NULL WHEN contracts = 0 THEN 'no open contract' ELSE 'out of scope' END AS excluded_why
    FROM (SELECT {{columns}}, sales_touch_on AS x_sales_touch_on FROM everything) WHERE {{asked}});

-- name: segment_fit
CREATE OR REPLACE TEMP TABLE j_fit AS
WITH customer AS (SELECT account_id, segment FROM accounts WHERE contracts > 0),
size AS (SELECT segment, count(*) AS n FROM customer GROUP BY segment)
SELECT c.segment, o.product, count(*) AS owners, any_value(s.n) AS n, count(*) * 100.0::DOUBLE / any_value(s.n) AS fit
FROM customer AS c JOIN j_owned AS o ON o.acct = c.account_id AND o.owned JOIN size AS s ON s.segment IS NOT DISTINCT FROM c.segment
GROUP BY c.segment, o.product;

-- name: frozen_fit
-- An increment uses what the last full run froze, so that one changed account moves nobody else.
CREATE OR REPLACE TEMP TABLE j_fit AS
SELECT segment, substr(indicator, 5) AS product, n, median_points AS fit FROM {{population_stats}}
WHERE profile = '*' AND starts_with(indicator, 'fit:') AND as_of = (SELECT max(as_of) FROM {{population_stats}});

-- name: account_products
CREATE OR REPLACE TEMP TABLE account_products AS
SELECT a.account_id, g.product, coalesce(o.owned, false) AS owned, o.product_plan,
       nullif(list_position(g.plans, o.product_plan), 0) AS product_plan_rank, len(g.plans) AS product_plan_ranks,
       CAST(o.product_seats AS BIGINT) AS product_seats, CAST(o.product_mrr AS DECIMAL(18, 4)) AS product_mrr, o.product_starts_on,
       CASE WHEN a.active_users_28d IS NOT NULL THEN coalesce(u.users_28d, 0) END AS product_active_users_28d,
       CASE WHEN a.active_users_prev_28d IS NOT NULL THEN coalesce(u.users_prev_28d, 0) END AS product_active_users_prev_28d,
       CAST(CASE WHEN a.events_28d IS NOT NULL THEN coalesce(u.events_28d, 0) END AS BIGINT) AS product_events_28d,
       CAST(CASE WHEN a.events_28d IS NOT NULL AND g.has_core THEN coalesce(u.core_events_28d, 0) END AS BIGINT) AS product_core_events_28d,
       CAST(CASE WHEN a.events_28d IS NOT NULL AND g.has_advanced THEN coalesce(u.advanced_events_28d, 0) END AS BIGINT) AS product_advanced_events_28d,
       CASE WHEN {{has_opportunity}} THEN q.acct IS NOT NULL END AS product_opportunity_open,
       CASE WHEN q.acct IS NOT NULL THEN a.x_sales_touch_on END AS product_sales_touch_on,
       CASE WHEN {{population}} THEN coalesce(f.fit, 0) END AS fit
FROM accounts AS a CROSS JOIN j_product AS g
LEFT JOIN j_owned AS o ON o.acct = a.account_id AND o.product = g.product
LEFT JOIN j_product_usage AS u ON u.acct = a.account_id AND u.product = g.product
LEFT JOIN (SELECT DISTINCT acct, product FROM j_open_opportunity WHERE kind IN ('expansion', 'new')) AS q
       ON q.acct = a.account_id AND q.product = g.product
LEFT JOIN j_fit AS f ON f.segment IS NOT DISTINCT FROM a.segment AND f.product = g.product
WHERE a.scope = 'in';

-- name: counts
SELECT count(*) AS accounts, count(*) FILTER (scope = 'in') AS in_scope, count(*) FILTER (scope = 'excluded') AS excluded,
       count(*) FILTER (excluded_why = 'churned') AS churned,
       count(*) FILTER (scope = 'in' AND NOT coalesce(usage_matched, false)) AS accounts_without_usage
FROM accounts;

-- name: core_unused
-- Grain: account that owns a product with core features. `unused`: those without an event in 28 days.
SELECT o.acct, true AS core, string_agg(DISTINCT f.feature, ', ' ORDER BY f.feature) FILTER (coalesce(e.core_used, 0) & f.bit = 0 AND {{covered}}) AS unused
FROM j_owned AS o JOIN j_feature AS f ON f.product = o.product AND f.kind = 'core'
LEFT JOIN (SELECT acct, product, bit_or(core_used) AS core_used FROM j_used GROUP BY ALL) AS e ON e.acct = o.acct AND e.product = f.product
WHERE o.owned GROUP BY o.acct

-- name: core_owned
-- The same where nothing asks which are unused.
SELECT DISTINCT o.acct, true AS core, CAST(NULL AS VARCHAR) AS unused FROM j_owned AS o JOIN j_feature AS f ON f.product = o.product AND f.kind = 'core'
WHERE o.owned
