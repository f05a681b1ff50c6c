-- name: facts
-- Grain: account in scope and product in an open line. Only what differs from the account's own row; everything else is the account's.
-- Stage is the product's own: what the CRM or a person says of the account's stage speaks of its main product.
CREATE OR REPLACE TEMP TABLE product_facts AS
WITH line AS (
    SELECT DISTINCT ON (acct, product) acct, product, ends_on, coalesce(term_months, datediff('month', starts_on, ends_on + 1)) AS term_months,
           coalesce(notice_on, CAST(ends_on - INTERVAL 1 MONTH AS DATE)) AS notice_on, notice_on IS NULL AND ends_on IS NOT NULL AS estimated,
           notice_on IS NOT NULL OR ends_on IS NOT NULL AS known, auto_renew
    FROM j_line WHERE is_open AND product IS NOT NULL ORDER BY acct, product, ends_on NULLS LAST, notice_on NULLS LAST, id
), money AS (
    SELECT acct, product, count(*) AS contracts, CAST(sum(seats) AS BIGINT) AS seats, CASE WHEN count(DISTINCT currency) <= 1 THEN sum(mrr) END AS mrr,
           CASE WHEN count(DISTINCT currency) = 1 THEN min(currency) END AS currency
    FROM j_line WHERE is_open AND product IS NOT NULL GROUP BY ALL
), used AS (
    SELECT u.acct, u.product, sum(events_28d) AS events_28d, sum(events_prev_28d) AS events_prev_28d, sum(seconds_28d) AS seconds_28d,
           sum(events_month) AS events_month, sum(events_prev_month) AS events_prev_month, bit_or(days_28d) AS days_28d,
           count(DISTINCT u.feature) FILTER (used_14d) AS features_14d, max(last_used_on) AS last_used_on, bit_or(core_used) AS core_used,
           sum(core_28d) AS core_events_28d, sum(advanced_28d) AS advanced_events_28d
    FROM j_used AS u WHERE u.product IS NOT NULL GROUP BY ALL
), people AS (
    SELECT a.acct, u.product, count(*) FILTER (u.flags & 1 <> 0) AS users_28d, count(*) FILTER (u.flags & 2 <> 0) AS users_prev_28d,
           count(*) FILTER (u.flags & 4 <> 0) AS users_14d
    FROM j_user_flag AS u JOIN j_number AS a ON a.n = u.n WHERE u.product IS NOT NULL GROUP BY ALL
), setup AS (
    SELECT t.acct, coalesce(s.product, t.line_product) AS product, CAST(sum(s.value) FILTER (s.metric = 'setup_steps_done') AS BIGINT) AS done,
           CAST(sum(s.value) FILTER (s.metric = 'setup_steps_total') AS BIGINT) AS total, max(s.occurred_on) AS setup_as_of
    FROM j_snapshot AS s JOIN j_tenant AS t ON t.source = s.source AND t.tenant_key = s.tenant_key
    WHERE t.acct IS NOT NULL AND s.metric IN ('setup_steps_done', 'setup_steps_total') GROUP BY ALL
), unused AS (
    SELECT o.acct, f.product, string_agg(f.feature, ', ' ORDER BY f.feature) AS core_unused
    FROM j_owned AS o JOIN j_feature AS f ON f.product = o.product AND f.kind = 'core'
    LEFT JOIN used AS u ON u.acct = o.acct AND u.product = f.product
    WHERE o.owned AND coalesce(u.core_used, 0) & f.bit = 0 GROUP BY ALL
), facts AS (
    SELECT a.*, m.* EXCLUDE (acct), l.* EXCLUDE (acct, product), o.product_starts_on, g.title_en, g.title_ja, coalesce(g.onboarding_days, 90) AS days,
           coalesce(g.embedded, false) AS embedded, coalesce(g.has_core, false) AS has_core, coalesce(g.has_advanced, false) AS has_advanced,
           a.main_product IS NOT DISTINCT FROM m.product AS main, {{covered}} AS covered, r.stage AS kept_stage
    FROM (SELECT account_id, as_of_on, main_product, onboarding_outcome, usage_matched, active_users_28d AS a_users, active_users_prev_28d AS a_users_prev,
                 active_users_14d AS a_users_14d, events_28d AS a_events, events_prev_28d AS a_events_prev, events_month AS a_month,
                 events_prev_month AS a_prev_month, features_14d AS a_features, business_days_28d AS a_business,
                 {{business_prev}} AS a_business_prev FROM accounts WHERE scope = 'in' AND {{asked}}) AS a
    JOIN money AS m ON m.acct = a.account_id JOIN line AS l ON l.acct = m.acct AND l.product = m.product
    JOIN j_owned AS o ON o.acct = m.acct AND o.product = m.product JOIN j_account AS r ON r.id = a.account_id
    LEFT JOIN j_product AS g ON g.product = m.product
), counted AS (
    SELECT f.*, CASE WHEN covered THEN usage_matched END AS fed,
           CASE WHEN covered AND a_users IS NOT NULL THEN coalesce(p.users_28d, 0) END AS n_users,
           CASE WHEN covered AND a_users_prev IS NOT NULL THEN coalesce(p.users_prev_28d, 0) END AS n_users_prev,
           CASE WHEN covered AND a_users_14d IS NOT NULL THEN coalesce(p.users_14d, 0) END AS n_users_14d,
           CASE WHEN covered AND a_events IS NOT NULL THEN coalesce(u.events_28d, 0) END AS n_events,
           CASE WHEN covered AND a_events_prev IS NOT NULL THEN coalesce(u.events_prev_28d, 0) END AS n_events_prev,
           CASE WHEN covered AND a_events IS NOT NULL THEN coalesce(u.seconds_28d, 0) END AS n_seconds,
           CASE WHEN covered AND a_events IS NOT NULL THEN coalesce(bit_count(u.days_28d), 0) END AS n_days,
           CASE WHEN covered AND a_month IS NOT NULL THEN coalesce(u.events_month, 0) END AS n_month,
           CASE WHEN covered AND a_prev_month IS NOT NULL THEN coalesce(u.events_prev_month, 0) END AS n_prev_month,
           CASE WHEN covered AND a_features IS NOT NULL THEN coalesce(u.features_14d, 0) END AS n_features,
           CASE WHEN covered AND a_events IS NOT NULL AND has_core THEN coalesce(u.core_events_28d, 0) END AS n_core,
           CASE WHEN covered AND a_events IS NOT NULL AND has_advanced THEN coalesce(u.advanced_events_28d, 0) END AS n_advanced,
           CASE WHEN covered AND a_events IS NOT NULL THEN x.core_unused END AS n_unused, CASE WHEN covered THEN u.last_used_on END AS n_last,
           s.done, s.total, s.setup_as_of, notice_on - as_of_on AS to_notice, as_of_on - product_starts_on AS since_start
    FROM facts AS f LEFT JOIN used AS u ON u.acct = f.account_id AND u.product = f.product
    LEFT JOIN people AS p ON p.acct = f.account_id AND p.product = f.product LEFT JOIN setup AS s ON s.acct = f.account_id AND s.product = f.product
    LEFT JOIN unused AS x ON x.acct = f.account_id AND x.product = f.product
), named AS (
    SELECT account_id, product, coalesce(title_en, product) AS product_title_en, coalesce(title_ja, product) AS product_title_ja,
           contracts, true AS had_contract, 1 AS products_owned, product AS main_product, seats, mrr, currency, product_starts_on AS first_contract_on,
           product_starts_on AS contract_starts_on, ends_on AS contract_ends_on, term_months, notice_on, CASE WHEN known THEN estimated END AS notice_estimated,
           to_notice AS days_to_notice, since_start AS days_since_start, auto_renew, embedded,
           CASE WHEN main AND kept_stage IN ('onboarding', 'adoption', 'renewal') THEN kept_stage
                WHEN since_start < days * CASE WHEN main AND onboarding_outcome = 'extended' THEN 2 ELSE 1 END
                     AND NOT (main AND coalesce(onboarding_outcome, '') IN ('completed', 'failed_proceeding')) THEN 'onboarding'
                WHEN to_notice <= least({{renewal_days}}, term_months * 10) AND term_months > 1 THEN 'renewal' ELSE 'adoption' END AS stage,
           fed AS usage_matched, n_users AS active_users_28d, n_users_prev AS active_users_prev_28d, n_users_14d AS active_users_14d, n_events AS events_28d,
           n_events_prev AS events_prev_28d, n_seconds AS seconds_28d, n_days AS active_days_28d,
           n_events / nullif(a_business, 0) AS events_per_business_day_28d, n_events_prev / nullif(a_business_prev, 0) AS events_per_business_day_prev_28d,
           n_month AS events_month, n_prev_month AS events_prev_month, n_features AS features_14d, n_core AS core_events_28d,
           n_advanced AS advanced_events_28d, n_unused AS core_unused, n_last AS last_used_on, n_users * 100 / nullif(seats, 0) AS seat_use,
           done AS setup_steps_done, total AS setup_steps_total, setup_as_of, CAST(NULL AS BIGINT) AS override_score, CAST(NULL AS DATE) AS override_until
    FROM counted
)
SELECT account_id, product, product_title_en, product_title_ja, {{columns}} FROM named;

-- name: rows
-- Every column of ACCOUNTS, those of the product's own in place of the account's.
CREATE OR REPLACE TEMP VIEW product_rows AS
SELECT a.* EXCLUDE (scope, excluded_why, {{own}}), p.* EXCLUDE (account_id)
FROM accounts AS a JOIN product_facts AS p ON p.account_id = a.account_id WHERE a.scope = 'in';

-- name: published
-- Grain: account and product. Tier by plain edges: a product's tier moves nobody's work queue, so it needs no memory.
CREATE OR REPLACE TEMP TABLE product_scores AS
SELECT {{numbers}} FROM (
SELECT s.*, {{plain}} AS tier, {{cause}} AS cause, {{main_reason_en}} AS main_reason_en, {{main_reason_ja}} AS main_reason_ja
FROM (
    SELECT r.*, s.state, s.why, s.why_ja, s.profile, s.score_uncapped, s.score, s.capped_by, s.deployment, s.adoption, s.engagement, s.outcome, s.coverage,
           s.config_version, n.worst, r.product_title_en AS main_product_title_en, r.product_title_ja AS main_product_title_ja
    FROM product_rows AS r JOIN product_numbers AS s ON s.account_id = r.account_id AND s.product = r.product
    LEFT JOIN p_reason AS n ON n.account_id = r.account_id AND n.product = r.product
) AS s);

-- name: reasons
-- The measure that lowers a product's score most, against the median of the account's segment.
CREATE OR REPLACE TEMP TABLE p_reason AS
SELECT p.account_id, p.product,
       arg_min({'indicator': p.indicator, 'value': p.value, 'points': p.points},
               (round(p.weight_effective * (p.points - coalesce(p.median_points, 100)), 6), -p.weight_effective, p.indicator)) AS worst
FROM product_parts AS p JOIN product_numbers AS s ON s.account_id = p.account_id AND s.product = p.product
WHERE s.state = 'scored' AND p.points < 100 AND p.weight_effective > 0 GROUP BY ALL;

-- name: means
-- Product → account. Grain: account with a scored product. Weighted by MRR where the products share one currency and bring any, else each counts once.
-- Decimals: their sum does not depend on the order of rows; 19 digits, since the product of two of 18 is kept in 64 bits. `share` is what a product's score counts for.
CREATE OR REPLACE TEMP TABLE p_share AS
WITH counted AS (
    SELECT account_id, product, score_uncapped AS value, coalesce(mrr, 0) AS mrr,
           count(DISTINCT currency) FILTER (mrr > 0) OVER (PARTITION BY account_id) <= 1
           AND sum(coalesce(mrr, 0)) OVER (PARTITION BY account_id) > 0 AS weighed
    FROM {{relation}} WHERE score_uncapped IS NOT NULL
)
SELECT account_id, product, value, CASE WHEN weighed THEN mrr ELSE 1 END AS weight FROM counted;

-- name: rollup
CREATE OR REPLACE TEMP TABLE p_rollup AS
SELECT account_id, CAST(sum(CAST(weight AS DECIMAL(19, 4)) * CAST(value AS DECIMAL(19, 12))) AS DOUBLE)
                   / CAST(sum(CAST(weight AS DECIMAL(18, 4))) AS DOUBLE) AS score_uncapped
FROM p_share GROUP BY account_id;

-- name: account_parts
-- Parts of the account as the mean of its products' parts: weights, contributions and points add up as before; value, day and median are the account's.
CREATE OR REPLACE TEMP TABLE p_parts AS
WITH total AS (SELECT account_id, sum(weight) AS total FROM p_share GROUP BY account_id),
mixed AS (
    SELECT p.account_id, p.indicator, any_value(p.axis) AS axis, sum(s.weight / t.total * p.weight ORDER BY p.product) AS weight,
           sum(s.weight / t.total * p.weight_effective ORDER BY p.product) AS weight_effective,
           sum(s.weight / t.total * p.contribution ORDER BY p.product) AS contribution, min(p.missing_why) FILTER (p.points IS NULL) AS missing_why,
           count(p.points) AS present
    FROM product_parts AS p JOIN p_share AS s ON s.account_id = p.account_id AND s.product = p.product JOIN total AS t ON t.account_id = p.account_id
    GROUP BY p.account_id, p.indicator
)
SELECT m.account_id, m.indicator, m.axis, o.value, CASE WHEN m.present > 0 THEN coalesce(m.contribution * 100 / nullif(m.weight_effective, 0), o.points) END AS points,
       CASE WHEN m.present = 0 THEN m.missing_why END AS missing_why, m.weight, m.weight_effective, m.contribution, o.observed_on, o.median_points
FROM mixed AS m LEFT JOIN parts AS o ON o.account_id = m.account_id AND o.indicator = m.indicator
UNION ALL BY NAME
SELECT * FROM parts WHERE account_id NOT IN (SELECT account_id FROM mixed);

-- name: account_scores
CREATE OR REPLACE TEMP TABLE p_scores AS
WITH mixed AS (
    SELECT h.account_id, sum(h.weight * n.coverage ORDER BY h.product) / sum(h.weight) AS coverage,
           sum(h.weight * n.deployment ORDER BY h.product) / nullif(sum(h.weight) FILTER (n.deployment IS NOT NULL), 0) AS deployment,
           sum(h.weight * n.adoption ORDER BY h.product) / nullif(sum(h.weight) FILTER (n.adoption IS NOT NULL), 0) AS adoption,
           sum(h.weight * n.engagement ORDER BY h.product) / nullif(sum(h.weight) FILTER (n.engagement IS NOT NULL), 0) AS engagement,
           sum(h.weight * n.outcome ORDER BY h.product) / nullif(sum(h.weight) FILTER (n.outcome IS NOT NULL), 0) AS outcome
    FROM p_share AS h JOIN product_scores AS n ON n.account_id = h.account_id AND n.product = h.product GROUP BY h.account_id
)
SELECT s.account_id, CASE WHEN s.state = 'frozen' THEN s.state WHEN r.account_id IS NULL THEN 'not_scored' ELSE 'scored' END AS state,
       s.why, s.why_ja, s.profile, s.stage, CASE WHEN s.state <> 'frozen' THEN r.score_uncapped END AS score_uncapped,
       CASE WHEN s.state <> 'frozen' AND r.score_uncapped IS NOT NULL
            THEN CAST(round_even(CAST(least(r.score_uncapped, coalesce({{cap}}, r.score_uncapped)) AS DECIMAL(12, 9)), 0) AS BIGINT)
            END AS score, s.capped_by,
       CASE WHEN s.state <> 'frozen' THEN round_even(m.deployment, 6) END AS deployment, CASE WHEN s.state <> 'frozen' THEN round_even(m.adoption, 6) END AS adoption,
       CASE WHEN s.state <> 'frozen' THEN round_even(m.engagement, 6) END AS engagement, CASE WHEN s.state <> 'frozen' THEN round_even(m.outcome, 6) END AS outcome,
       CASE WHEN s.state = 'frozen' THEN NULL ELSE coalesce(round_even(m.coverage, 6), s.coverage) END AS coverage, s.config_version
FROM scores AS s LEFT JOIN p_rollup AS r ON r.account_id = s.account_id LEFT JOIN mixed AS m ON m.account_id = s.account_id ORDER BY s.account_id;

-- name: held
-- Grain: account and product. A product whose feed is late repeats its last row; `newest` is that row.
CREATE OR REPLACE TEMP TABLE d_product AS
WITH earlier AS (
    SELECT account_id, product,
           arg_max({'state': state, 'score': score, 'score_uncapped': score_uncapped, 'tier': tier, 'deployment': deployment, 'adoption': adoption,
                    'engagement': engagement, 'outcome': outcome, 'coverage': coverage, 'profile': profile, 'capped_by': capped_by,
                    'config_version': config_version}, (on_, as_of)) AS newest
    FROM {{history}} WHERE on_ <= {{on}} AND account_id IN (SELECT account_id FROM scores) GROUP BY ALL
)
SELECT s.* REPLACE (
           CASE WHEN state = 'frozen' THEN e.newest.score ELSE s.score END AS score,
           CASE WHEN state = 'frozen' THEN e.newest.score_uncapped ELSE s.score_uncapped END AS score_uncapped,
           CASE WHEN state = 'frozen' THEN e.newest.tier ELSE s.tier END AS tier,
           CASE WHEN state = 'frozen' THEN e.newest.deployment ELSE s.deployment END AS deployment,
           CASE WHEN state = 'frozen' THEN e.newest.adoption ELSE s.adoption END AS adoption,
           CASE WHEN state = 'frozen' THEN e.newest.engagement ELSE s.engagement END AS engagement,
           CASE WHEN state = 'frozen' THEN e.newest.outcome ELSE s.outcome END AS outcome,
           CASE WHEN state = 'frozen' THEN e.newest.coverage ELSE s.coverage END AS coverage,
           CASE WHEN state = 'frozen' THEN coalesce(e.newest.profile, s.profile) ELSE s.profile END AS profile,
           CASE WHEN state = 'frozen' THEN e.newest.capped_by ELSE s.capped_by END AS capped_by,
           CASE WHEN state = 'frozen' THEN coalesce(e.newest.config_version, s.config_version) ELSE s.config_version END AS config_version),
       e.newest
FROM product_scores AS s LEFT JOIN earlier AS e ON e.account_id = s.account_id AND e.product = s.product;

-- name: history
CREATE OR REPLACE TEMP TABLE product_history AS
SELECT account_id, product, {{on}} AS on_, state, score, score_uncapped, tier, deployment, adoption, engagement, outcome, coverage, profile, capped_by,
       config_version, {{run_id}} AS run_id, {{as_of}} AS as_of
FROM d_product
WHERE newest IS NULL OR {'state': state, 'score': score, 'score_uncapped': score_uncapped, 'tier': tier, 'deployment': deployment, 'adoption': adoption,
       'engagement': engagement, 'outcome': outcome, 'coverage': coverage, 'profile': profile, 'capped_by': capped_by,
       'config_version': config_version} IS DISTINCT FROM newest
ORDER BY account_id, product;

-- name: families
-- Parent → everyone below it, each once, whatever the depth. A merged-away parent is its survivor. A circle is in it as a pair of one account with itself.
CREATE OR REPLACE TEMP TABLE p_family AS
WITH RECURSIVE edge AS (
    SELECT a.account_id AS id, coalesce(m.master_id, a.parent_id) AS parent FROM accounts AS a LEFT JOIN j_master AS m ON m.id = a.parent_id
    WHERE a.parent_id IS NOT NULL
), pair(root, id) AS (
    SELECT parent, id FROM edge
    UNION
    SELECT e.parent, p.id FROM pair AS p JOIN edge AS e ON e.id = p.root
)
SELECT root, id FROM pair;

-- name: circles
SELECT DISTINCT a.account_id, a.name FROM p_family AS f JOIN accounts AS a ON a.account_id = f.root WHERE f.root = f.id ORDER BY 1;

-- name: family_scores
-- Grain: account in scope with a scored account below it, outside any circle. The account itself counts once, with its own score and money.
CREATE OR REPLACE TEMP TABLE p_family_score AS
WITH circle AS (SELECT root FROM p_family WHERE root = id),
member AS (
    SELECT root, id FROM p_family WHERE root NOT IN (SELECT root FROM circle)
    UNION
    SELECT root, root FROM p_family WHERE root NOT IN (SELECT root FROM circle)
), counted AS (
    SELECT f.root, f.id, a.name, r.score, least(r.score_uncapped, coalesce({{cap}}, r.score_uncapped)) AS value, coalesce(a.mrr, 0) AS mrr,
           count(DISTINCT a.currency) FILTER (a.mrr > 0) OVER (PARTITION BY f.root) <= 1 AND sum(coalesce(a.mrr, 0)) OVER (PARTITION BY f.root) > 0 AS weighed
    FROM member AS f JOIN d_result AS r ON r.account_id = f.id JOIN accounts AS a ON a.account_id = f.id WHERE r.score IS NOT NULL
), weighted AS (SELECT *, CASE WHEN weighed THEN mrr ELSE 1 END AS weight FROM counted),
mean AS (
    SELECT root, CAST(sum(CAST(weight AS DECIMAL(19, 4)) * CAST(value AS DECIMAL(19, 12))) AS DOUBLE) / CAST(sum(CAST(weight AS DECIMAL(18, 4))) AS DOUBLE) AS value,
           count(*) AS accounts, arg_min({'id': id, 'name': name, 'score': score}, (score, name, id)) FILTER (id <> root) AS worst
    FROM weighted GROUP BY root
)
SELECT root AS account_id, value AS score_uncapped, CAST(round_even(CAST(value AS DECIMAL(12, 9)), 0) AS BIGINT) AS score, accounts,
       worst.id AS worst_id, worst.name AS worst_name, worst.score AS worst_score
FROM mean WHERE worst IS NOT NULL AND root IN (SELECT account_id FROM d_result);

-- name: family_earlier
-- The last row of each account's family: what an increment repeats, since a family is added up over all its accounts.
CREATE OR REPLACE TEMP TABLE p_family_earlier AS
SELECT account_id, arg_max({'score_uncapped': score_uncapped, 'score': score, 'accounts': accounts, 'worst_id': worst_id, 'worst_name': worst_name,
                            'worst_score': worst_score}, (on_, as_of)) AS newest
FROM {{history}} WHERE on_ <= {{on}} AND account_id IN (SELECT account_id FROM d_result) GROUP BY account_id;

-- name: family_now
CREATE OR REPLACE TEMP TABLE d_family AS
SELECT coalesce(n.account_id, e.account_id) AS account_id, e.newest, {{picked}}
FROM p_family_score AS n FULL JOIN p_family_earlier AS e ON e.account_id = n.account_id;

-- name: family_history
CREATE OR REPLACE TEMP TABLE families AS
SELECT account_id, {{on}} AS on_, score_uncapped, score, accounts, worst_id, worst_name, worst_score, {{run_id}} AS run_id, {{as_of}} AS as_of
FROM d_family WHERE {'score_uncapped': score_uncapped, 'score': score, 'accounts': accounts, 'worst_id': worst_id, 'worst_name': worst_name,
                     'worst_score': worst_score} IS DISTINCT FROM newest AND (newest IS NOT NULL OR score IS NOT NULL)
ORDER BY account_id;

-- name: beside
-- What stands on the account beside its own score. Products in the order of the catalogue.
CREATE OR REPLACE TEMP TABLE d_beside AS
WITH named AS (
    SELECT p.account_id, string_agg(p.product_title_en || ' ' || coalesce(CAST(p.score AS VARCHAR), 'not scored'), ', ' ORDER BY g.place, p.product) AS product_scores_en,
           string_agg(p.product_title_ja || ' ' || coalesce(CAST(p.score AS VARCHAR), '採点なし'), '・' ORDER BY g.place, p.product) AS product_scores_ja,
           count(p.score) AS scored,
           arg_min({'en': p.product_title_en, 'ja': p.product_title_ja, 'score': p.score}, (p.score, p.product)) FILTER (p.score IS NOT NULL) AS worst
    FROM d_product AS p LEFT JOIN j_product AS g ON g.product = p.product GROUP BY p.account_id
)
SELECT r.account_id, n.product_scores_en, n.product_scores_ja,
       -- least() passes over a null: without a mean the exception's bound would stand there as a score
       CASE WHEN m.score_uncapped IS NOT NULL
            THEN CAST(round_even(CAST(least(m.score_uncapped, coalesce({{cap}}, m.score_uncapped)) AS DECIMAL(12, 9)), 0) AS BIGINT) END AS product_score,
       CASE WHEN n.scored > 1 THEN n.worst.en || ' ' || n.worst.score END AS worst_product_en,
       CASE WHEN n.scored > 1 THEN n.worst.ja || ' ' || n.worst.score || '点' END AS worst_product_ja,
       f.score AS parent_score, f.worst_name || ' ' || f.worst_score AS parent_lowest_en, f.worst_name || '様 ' || f.worst_score || '点' AS parent_lowest_ja
FROM d_result AS r LEFT JOIN named AS n ON n.account_id = r.account_id LEFT JOIN p_rollup AS m ON m.account_id = r.account_id
LEFT JOIN d_family AS f ON f.account_id = r.account_id;
