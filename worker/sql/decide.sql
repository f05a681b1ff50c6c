-- name: earlier
-- What earlier runs left per account: the last closing score, the one before the trend's window, and the newest row of all (today's included).
CREATE OR REPLACE TEMP TABLE d_earlier AS
SELECT account_id,
       arg_max({'tier': tier, 'score': score}, (on_, as_of)) FILTER (on_ < {{on}} AND score IS NOT NULL) AS closing,
       arg_max({'score': score}, (on_, as_of)) FILTER (on_ <= {{on}} - {{window}}).score AS score_before,
       arg_max({'score': score, 'score_uncapped': score_uncapped, 'tier': tier, 'deployment': deployment, 'adoption': adoption, 'engagement': engagement,
                'outcome': outcome, 'coverage': coverage, 'profile': profile, 'config_version': config_version, 'capped_by': capped_by,
                'state': state}, (on_, as_of)) FILTER (on_ <= {{on}}) AS newest
FROM {{history}} WHERE on_ <= {{on}} AND {{some}} GROUP BY account_id;

-- name: results
-- Grain: account in scope. A frozen account repeats its last row; everyone else gets today's.
CREATE OR REPLACE TEMP TABLE d_result AS
WITH today AS (
    SELECT s.account_id, s.state, s.why, s.why_ja, s.stage, e.closing, e.score_before, e.newest,
           CASE WHEN s.state = 'frozen' THEN e.newest.score ELSE s.score END AS score,
           CASE WHEN s.state = 'frozen' THEN e.newest.score_uncapped ELSE s.score_uncapped END AS score_uncapped,
           CASE WHEN s.state = 'frozen' THEN e.newest.capped_by ELSE s.capped_by END AS capped_by,
           CASE WHEN s.state = 'frozen' THEN e.newest.deployment ELSE s.deployment END AS deployment,
           CASE WHEN s.state = 'frozen' THEN e.newest.adoption ELSE s.adoption END AS adoption,
           CASE WHEN s.state = 'frozen' THEN e.newest.engagement ELSE s.engagement END AS engagement,
           CASE WHEN s.state = 'frozen' THEN e.newest.outcome ELSE s.outcome END AS outcome,
           CASE WHEN s.state = 'frozen' THEN e.newest.coverage ELSE s.coverage END AS coverage,
           CASE WHEN s.state = 'frozen' THEN coalesce(e.newest.profile, s.profile) ELSE s.profile END AS profile,
           CASE WHEN s.state = 'frozen' THEN coalesce(e.newest.config_version, s.config_version) ELSE s.config_version END AS config_version
    FROM scores AS s LEFT JOIN d_earlier AS e ON e.account_id = s.account_id
), edged AS (
    SELECT *, {{plain}} AS plain, list_extract({{lower}}, closing.tier) AS low, list_extract({{upper}}, closing.tier) AS high FROM today
)
SELECT * EXCLUDE (plain, low, high), CASE
    WHEN score IS NULL THEN NULL
    WHEN state = 'frozen' THEN newest.tier
    WHEN closing.tier IS NULL OR capped_by IS NOT NULL THEN plain
    WHEN score < low AND score <= low - {{margin}} AND ({{closings}} < 2 OR (closing.score < low AND closing.score <= low - {{margin}})) THEN plain
    WHEN score >= high + {{margin}} AND ({{closings}} < 2 OR closing.score >= high + {{margin}}) THEN plain
    ELSE closing.tier END AS tier,
    score - score_before AS delta_28d,
    CASE WHEN score - score_before >= {{arrow}} THEN 'up' WHEN score - score_before <= -{{arrow}} THEN 'down'
         WHEN score - score_before IS NOT NULL THEN 'flat' END AS trend
FROM edged;

-- name: history
-- One row per account where something changed against its newest row, today's earlier ones included.
CREATE OR REPLACE TEMP TABLE history AS
SELECT r.account_id, {{on}} AS on_, r.score, r.score_uncapped, r.tier, r.deployment, r.adoption, r.engagement, r.outcome, r.coverage, r.profile,
       r.config_version, r.capped_by, r.state, {{run_id}} AS run_id, {{as_of}} AS as_of
FROM d_result AS r
WHERE r.newest IS NULL OR {'score': r.score, 'score_uncapped': r.score_uncapped, 'tier': r.tier, 'deployment': r.deployment, 'adoption': r.adoption,
       'engagement': r.engagement, 'outcome': r.outcome, 'coverage': r.coverage, 'profile': r.profile, 'config_version': r.config_version,
       'capped_by': r.capped_by, 'state': r.state} IS DISTINCT FROM r.newest
ORDER BY r.account_id;

-- name: reasons
-- The measure that lowers and the one that lifts the score most. Against the segment's median; where there is none, against 100 and 0.
CREATE OR REPLACE TEMP TABLE d_reason AS
WITH weighed AS (
    SELECT p.account_id, p.indicator, p.value, p.points, p.weight_effective,
           round(p.weight_effective * (p.points - coalesce(p.median_points, 100)), 6) AS below,
           round(p.weight_effective * (p.points - coalesce(p.median_points, 0)), 6) AS above
    FROM parts AS p JOIN scores AS s ON s.account_id = p.account_id WHERE s.state = 'scored' AND p.points IS NOT NULL AND p.weight_effective > 0
), low AS (
    SELECT account_id, arg_min({'indicator': indicator, 'value': value, 'points': points}, (below, -weight_effective, indicator)) AS worst
    FROM weighed WHERE points < 100 GROUP BY account_id
), high AS (
    SELECT w.account_id, arg_min({'indicator': w.indicator, 'value': w.value, 'points': w.points}, (-above, -weight_effective, w.indicator)) AS best
    FROM weighed AS w LEFT JOIN low AS l ON l.account_id = w.account_id
    WHERE w.points > 50 AND w.indicator IS DISTINCT FROM l.worst.indicator GROUP BY w.account_id
)
SELECT coalesce(l.account_id, h.account_id) AS account_id, l.worst, h.best FROM low AS l FULL JOIN high AS h ON h.account_id = l.account_id;

-- name: row
-- Every column a text, a rule or an alert may name, per account in scope.
CREATE OR REPLACE TEMP VIEW d_row AS
SELECT a.* EXCLUDE (scope, excluded_why), r.score AS health_score, r.tier AS health_tier, r.trend AS health_trend, r.delta_28d AS health_delta_28d, r.coverage,
       r.deployment, r.adoption, r.engagement, r.outcome, r.profile, r.capped_by, r.state, r.why, r.why_ja, r.score, r.score_uncapped, r.tier, r.trend,
       r.delta_28d, r.config_version, m.title_en AS main_product_title_en, m.title_ja AS main_product_title_ja,
       coalesce(q.accept_late, 0) AS csql_accept_late, coalesce(q.contact_late, 0) AS csql_contact_late,
       coalesce(y.title_en, 'All products') AS anomaly_product_title_en, coalesce(y.title_ja, '全体') AS anomaly_product_title_ja
FROM accounts AS a JOIN d_result AS r ON r.account_id = a.account_id LEFT JOIN j_product AS m ON m.product = a.main_product LEFT JOIN j_product AS y ON y.product = a.anomaly_product
LEFT JOIN (SELECT account_id, count(*) FILTER (accept_late) AS accept_late, count(*) FILTER (contact_late) AS contact_late FROM q_sla GROUP BY account_id) AS q
       ON q.account_id = a.account_id
WHERE a.scope = 'in';

-- name: decisions
CREATE OR REPLACE TEMP TABLE decisions AS
WITH worded AS (
    SELECT r.*, q.csql_flag, q.csql_open_count, q.csql_status_en, q.csql_status_ja, q.csql_suppressed_en, q.csql_suppressed_ja, q.approach_score,
           w.white_space_en, w.white_space_ja, n.best, b.* EXCLUDE (account_id),
           g.priority, g.touch_suggested, g.cs_team_en, g.cs_team_ja, g.owner_suggested, g.term_starts_on, g.advocacy, g.innovator, g.trial_user,
           v.* EXCLUDE (account_id), {{worst}} AS worst
    FROM d_row AS r LEFT JOIN d_reason AS n ON n.account_id = r.account_id LEFT JOIN q_account AS q ON q.account_id = r.account_id
    LEFT JOIN d_white_space AS w ON w.account_id = r.account_id LEFT JOIN d_beside AS b ON b.account_id = r.account_id
    LEFT JOIN assigned AS g ON g.account_id = r.account_id
    LEFT JOIN d_renewal AS v ON v.account_id = r.account_id
)
SELECT account_id, state, score, score_uncapped, tier, CASE WHEN score IS NULL THEN {{not_scored}} ELSE CAST(tier AS VARCHAR) END AS tier_label,
       trend, delta_28d, deployment, adoption, engagement, outcome, coverage, profile, config_version,
       {{main_reason_en}} AS main_reason_en, {{main_reason_ja}} AS main_reason_ja, {{cause}} AS cause,
       {{strength_en}} AS strength_en, {{strength_ja}} AS strength_ja,
       coalesce(CASE WHEN worst.indicator IN ({{setup_indicators}}) AND {{held}} IS NULL THEN onboarding_next_en END, {{next_action_en}}) AS next_action_en,
       coalesce(CASE WHEN worst.indicator IN ({{setup_indicators}}) AND {{held}} IS NULL THEN onboarding_next_ja END, {{next_action_ja}}) AS next_action_ja,
       {{exception_en}} AS exception_en, {{exception_ja}} AS exception_ja, {{data_status_en}} AS data_status_en, {{data_status_ja}} AS data_status_ja,
       notice_on, seat_use, usage_as_of, as_of AS scored_at, coalesce(csql_flag, false) AS csql_flag,
       CAST(coalesce(csql_open_count, 0) AS BIGINT) AS csql_open_count, csql_status_en, csql_status_ja, csql_suppressed_en, csql_suppressed_ja,
       priority, touch_suggested, cs_team_en, cs_team_ja, owner_suggested, term_starts_on, advocacy, innovator, trial_user, last_decision_maker_on, outcome_change,
       onboarding_status, onboarding_due_on, on_time AS onboarding_on_time, onboarding_criteria, onboarding_phase_en, onboarding_phase_ja,
       onboarding_next_en, onboarding_next_ja, setup_overdue_en, setup_overdue_ja, renewal_number, renewal_prep, renewal_next_en, renewal_next_ja, renewal_next_on,
       qbr_due_on, expansion_ready, self_success_en, self_success_ja,
       approach_score, white_space_en, white_space_ja, product_scores_en, product_scores_ja, product_score, worst_product_en, worst_product_ja,
       parent_score, parent_lowest_en, parent_lowest_ja, override_state_en, override_state_ja, usage_status, patterns, pattern_note_en, pattern_note_ja, CASE WHEN {{resync}} THEN as_of END AS resynced_at,
       {{usage_anomaly_en}} AS usage_anomaly_en, {{usage_anomaly_ja}} AS usage_anomaly_ja, anomaly_since_on, escalation_state, escalated_on,
       escalation_recovered_on, {{nps_due_on}} AS nps_due_on, CASE WHEN partner_id IS NULL THEN 'direct' ELSE 'partner' END AS managed_by
FROM worded
UNION ALL BY NAME
-- no longer served: only what is said of its CSQLs still changes
SELECT account_id, 'out' AS state, coalesce(csql_flag, false) AS csql_flag, CAST(coalesce(csql_open_count, 0) AS BIGINT) AS csql_open_count,
       csql_status_en, csql_status_ja FROM q_account WHERE NOT served;

-- name: white_space
-- Products of the catalogue that the account lacks, best fit first. No figures: they move with every new customer.
CREATE OR REPLACE TEMP TABLE d_white_space AS
SELECT p.account_id, string_agg(g.title_en, ', ' ORDER BY coalesce(p.fit, 0) // 10 DESC, g.place) AS white_space_en,
       string_agg(g.title_ja, '、' ORDER BY coalesce(p.fit, 0) // 10 DESC, g.place) AS white_space_ja
FROM account_products AS p JOIN j_product AS g ON g.product = p.product WHERE NOT p.owned AND g.sell GROUP BY p.account_id;

-- name: told
-- Grain: account and rule that holds: what is said of it. One pass over the rows, whatever the number of rules.
CREATE OR REPLACE TEMP TABLE {{table}} AS
SELECT account_id, unnest(one) FROM (
    SELECT account_id, unnest(list_filter([{{rules}}], lambda x: x IS NOT NULL)) AS one FROM d_row WHERE state IN ('scored', 'not_scored')
);

-- name: recipients
-- Whom an account's alerts are meant for: its CSM, else its owner; of a partner-managed account the partner's owner, never the customer's CSM.
CREATE OR REPLACE TEMP TABLE d_recipient AS
SELECT r.account_id, CASE WHEN r.partner_id IS NOT NULL THEN p.owner_id ELSE coalesce(r.csm_id, r.owner_id) END AS recipient,
       CASE WHEN r.partner_id IS NOT NULL THEN 'partner' WHEN r.csm_id IS NOT NULL THEN 'csm' WHEN r.owner_id IS NOT NULL THEN 'owner' END AS routed
FROM d_row AS r LEFT JOIN d_partner AS p ON p.id = r.partner_id;

-- name: recovered
-- An alert with words for it that held when last looked at and holds no more.
CREATE OR REPLACE TEMP TABLE d_recovered AS
SELECT r.account_id, s.rule, CAST({{en}} AS VARCHAR) AS text_en, CAST({{ja}} AS VARCHAR) AS text_ja
FROM (SELECT account_id AS told_account, rule FROM signals WHERE NOT signal AND rule IN ({{rules}})) AS s JOIN d_row AS r ON r.account_id = s.told_account;

-- name: flips
-- Where an answer changed: a tier, an alert that began (value true) or is over (false), a CSQL that moved. `text` is in the language of the records.
CREATE OR REPLACE TEMP TABLE flips AS
SELECT 'tier' AS kind, 'tier' AS rule, r.account_id, '' AS product, {{on}} AS on_,
       coalesce(CAST(r.newest.tier AS VARCHAR), '–') || '→' || coalesce(CAST(r.tier AS VARCHAR), '–') AS value,
       NULL::VARCHAR AS channel, NULL::BIGINT AS cooldown_days, NULL::VARCHAR AS text, NULL::VARCHAR AS also, NULL::VARCHAR AS recipient,
       NULL::VARCHAR AS routed
FROM d_result AS r WHERE r.newest IS NOT NULL AND r.newest.tier IS DISTINCT FROM r.tier
UNION ALL
SELECT 'alert', substr(s.rule, 7), s.account_id, '', {{on}}, 'true', c.channel, c.cooldown_days, a.text_{{language}}, c.also,
       w.recipient, w.routed
FROM signals AS s JOIN d_alert AS a ON a.account_id = s.account_id AND a.rule = s.rule JOIN d_alert_config AS c ON c.rule = s.rule
LEFT JOIN d_recipient AS w ON w.account_id = s.account_id WHERE s.signal
UNION ALL
SELECT 'alert', substr(d.rule, 7), d.account_id, '', {{on}}, 'false', c.channel, c.cooldown_days, d.text_{{language}}, c.also,
       w.recipient, w.routed
FROM d_recovered AS d JOIN d_alert_config AS c ON c.rule = d.rule LEFT JOIN d_recipient AS w ON w.account_id = d.account_id
UNION ALL
SELECT 'csql', coalesce(rule, 'by hand'), account_id, coalesce(product, ''), {{on}}, move || ' ' || state, NULL, NULL, title_{{language}}, NULL, NULL, NULL
FROM csql_desired WHERE move IN ('open', 'expire', 'resume', 'merge')
ORDER BY kind, rule, account_id, product;
