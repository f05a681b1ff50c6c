-- The most direct way to the columns that join, score, decide and diff give for the shipped mappings at 2026-12-01 noon in Tokyo, from the same
-- Parquet. Days, masks, weights and thresholds are written in by hand. What it leaves out is listed in docs/benchmarks.md.
SET TimeZone = 'Asia/Tokyo';
-- names
CREATE TEMP TABLE feature AS FROM (VALUES ('expense', 'report_submit', 'core'), ('expense', 'approval', 'core'), ('expense', 'approval_advanced', 'advanced'),
    ('expense', 'api', 'advanced'), ('invoice', 'invoice_receive', 'core'), ('invoice', 'approval', 'core'), ('invoice', 'approval_advanced', 'advanced'),
    ('invoice', 'api', 'advanced'), ('attendance', 'clock', 'core'), ('attendance', 'month_submit', 'core'), ('attendance', 'month_close', 'core'),
    ('attendance', 'approval_advanced', 'advanced'), ('attendance', 'api', 'advanced'), ('esign', 'sign_send', 'core'), ('esign', 'sign_check', 'core'),
    ('esign', 'approval_advanced', 'advanced'), ('esign', 'api', 'advanced')) AS f(product, feature, kind);
CREATE TEMP TABLE catalogue AS FROM (VALUES ('expense', 90), ('invoice', 90), ('attendance', 60), ('esign', 60)) AS p(product, onboarding_days);
-- contracts
CREATE TEMP TABLE line AS SELECT * FROM {{crm_contract}}
WHERE starts_on <= DATE '2026-12-01' AND ends_on >= DATE '2026-12-01' AND coalesce(churned_on > DATE '2026-12-01', true);
CREATE TEMP TABLE owned AS SELECT account_id, product, sum(seats)::BIGINT AS seats, sum(mrr) AS mrr, arg_max(plan, (mrr, id)) AS plan, min(starts_on) AS starts_on
FROM line GROUP BY ALL;
CREATE TEMP TABLE contract AS
SELECT account_id, sum(seats)::BIGINT AS seats, any_value(f.notice_on) AS notice_on, any_value(f.term_months) AS term_months, any_value(m.product) AS main_product,
       any_value(m.starts_on) AS starts_on
FROM owned JOIN (
    SELECT account_id, arg_min({'notice_on': coalesce(notice_on, CAST(ends_on - INTERVAL 1 MONTH AS DATE)), 'term_months': term_months}, (ends_on, notice_on, id)) AS f
    FROM line GROUP BY ALL) USING (account_id)
JOIN (SELECT account_id, arg_min({'product': product, 'starts_on': starts_on}, (-mrr, product)) AS m FROM owned GROUP BY ALL) USING (account_id)
GROUP BY account_id;
-- usage
CREATE TEMP TABLE used AS
SELECT tenant_key, product, sum(events) FILTER (day > DATE '2026-11-02')::BIGINT AS events_28d,
       sum(events) FILTER (day > DATE '2026-11-02' AND f.kind = 'core')::BIGINT AS core_28d,
       sum(events) FILTER (day > DATE '2026-11-02' AND f.kind = 'advanced')::BIGINT AS advanced_28d,
       sum(events) FILTER (day >= DATE '2026-11-01')::BIGINT AS events_month,
       sum(events) FILTER (day BETWEEN DATE '2026-10-01' AND DATE '2026-10-31')::BIGINT AS events_prev_month,
       max(day) FILTER (events > 0) AS last_used_on
FROM {{usage_tenant_day}} LEFT JOIN feature AS f USING (product, feature) WHERE day <= DATE '2026-11-30' GROUP BY ALL;
-- users
CREATE TEMP TABLE person AS
SELECT tenant_key, product, user_hash,
       bool_or(block = 324 AND days & 4503599610593280 <> 0) AS now_,
       bool_or((block = 324 AND days & 16777215 <> 0) OR (block = 323 AND days & 17293822569102704640 <> 0)) AS before_
FROM {{usage_user_days}} WHERE block BETWEEN 323 AND 324 GROUP BY ALL HAVING now_ OR before_;
CREATE TEMP TABLE product_people AS SELECT tenant_key, product, count(*) FILTER (now_) AS users_28d FROM person GROUP BY ALL;
CREATE TEMP TABLE people AS
SELECT tenant_key, count(*) FILTER (now_) AS users_28d, count(*) FILTER (before_) AS users_prev_28d
FROM (SELECT tenant_key, user_hash, bool_or(now_) AS now_, bool_or(before_) AS before_ FROM person GROUP BY ALL) GROUP BY ALL;
-- setup
CREATE TEMP TABLE setup AS
SELECT tenant_key, product, max(value) FILTER (metric = 'setup_steps_done') AS done, max(value) FILTER (metric = 'setup_steps_total') AS total, max(occurred_at) AS as_of
FROM {{usage_snapshot}} GROUP BY ALL;
-- activities
CREATE TEMP TABLE touch AS
SELECT a.account_id, max(done_on) AS last_touch_on, count(*) FILTER (done_on > DATE '2026-09-02') AS touches_90d, max(done_on) FILTER (c.role = 'decision_maker') AS last_decision_maker_on,
       count(*) FILTER (kind = 'onboarding_step' AND done_on IS NULL AND due_on < DATE '2026-12-01') AS steps_open
FROM (SELECT *, done_at::DATE AS done_on FROM {{crm_activity}}) AS a LEFT JOIN {{crm_contact}} AS c ON c.id = a.contact_id GROUP BY ALL;
-- contacts
CREATE TEMP TABLE contacts AS
SELECT account_id, count(*) FILTER (here) AS contacts, count(*) FILTER (here AND role IN ('operator', 'admin')) AS operators,
       CASE WHEN count(*) FILTER (here AND role = 'champion') = 0 THEN max(left_on) FILTER (role = 'champion' AND NOT here) END AS champion_left_on
FROM (SELECT *, CASE WHEN left_on IS NOT NULL THEN left_on > DATE '2026-12-01' ELSE active END AS here FROM {{crm_contact}}) GROUP BY ALL;
-- tickets
CREATE TEMP TABLE tickets AS
SELECT account_id, count(*) FILTER (open_) AS tickets_open, count(*) FILTER (opened_at::DATE > DATE '2026-09-02') AS tickets_90d,
       count(*) FILTER (open_ AND priority = 'p1') AS p1_open, count(*) FILTER (open_ AND escalated) AS escalated_open,
       DATE '2026-12-01' - min(opened_at::DATE) FILTER (open_ AND priority = 'p1') AS p1_open_days
FROM (SELECT *, coalesce(closed_at > TIMESTAMPTZ '2026-12-01 03:00:00+00', true) AS open_ FROM {{crm_ticket}}
      WHERE opened_at <= TIMESTAMPTZ '2026-12-01 03:00:00+00') GROUP BY ALL;
-- surveys
CREATE TEMP TABLE surveys AS
SELECT account_id, avg(score) FILTER (on_ > DATE '2026-06-04') AS nps, count(*) FILTER (on_ > DATE '2026-06-04') AS answers, max(on_) AS last_on
FROM (SELECT *, occurred_at::DATE AS on_ FROM {{crm_survey}}) GROUP BY ALL;
-- outcomes
CREATE TEMP TABLE outcomes AS
SELECT account_id, avg((current_value - baseline) / abs(baseline) * 100) FILTER (on_ > DATE '2025-12-01') AS change,
       count(*) FILTER (on_ > DATE '2025-12-01') AS outcomes, max(on_) AS last_on
FROM (SELECT *, occurred_at::DATE AS on_ FROM {{crm_outcome}}) GROUP BY ALL;
-- opportunities
CREATE TEMP TABLE talks AS SELECT account_id, product, bool_or(kind IN ('expansion', 'new')) AS talk, count(*) FILTER (kind = 'expansion') AS expansion
FROM {{crm_opportunity}} WHERE NOT closed GROUP BY ALL;
-- accounts
CREATE TEMP TABLE account AS
SELECT a.id AS account_id, a.segment, a.partner_id, a.churn_notice_on, a.match_key, c.*EXCLUDE (account_id), g.onboarding_days,
       DATE '2026-12-01' - c.starts_on AS days_since_start, u.tenant_key IS NOT NULL AS fed, coalesce(core_28d, 0) AS core_28d,
       CASE WHEN fed THEN coalesce(u.events_month, 0) END AS events_month, CASE WHEN fed THEN coalesce(u.events_prev_month, 0) END AS events_prev_month,
       u.last_used_on, coalesce(p.users_28d, 0) AS users_28d, coalesce(p.users_prev_28d, 0) AS users_prev_28d, s.done, s.total, s.as_of AS setup_as_of,
       t.* EXCLUDE (account_id), n.* EXCLUDE (account_id), coalesce(k.p1_open, 0) AS p1_open, coalesce(k.escalated_open, 0) AS escalated_open, k.p1_open_days,
       coalesce(k.tickets_open, 0) AS tickets_open, coalesce(k.tickets_90d, 0) AS tickets_90d, coalesce(o.outcomes, 0) AS outcomes,
       v.nps, v.answers, v.last_on AS nps_last_on, o.change, o.last_on AS outcome_last_on, coalesce(q.expansion, 0) AS expansion_open,
       CASE WHEN DATE '2026-12-01' - c.starts_on < g.onboarding_days THEN 'onboarding'
            WHEN c.notice_on - DATE '2026-12-01' <= least(90, c.term_months * 10) AND c.term_months > 1 THEN 'renewal' ELSE 'adoption' END AS profile
FROM {{crm_account}} AS a JOIN contract AS c ON c.account_id = a.id JOIN catalogue AS g ON g.product = c.main_product
LEFT JOIN (SELECT w.account_id, any_value(tenant_key) AS tenant_key, sum(core_28d) FILTER (o.product IS NOT NULL) AS core_28d, sum(events_month) AS events_month,
                  sum(events_prev_month) AS events_prev_month, max(last_used_on) AS last_used_on
           FROM (SELECT a.id AS account_id, u.* FROM used AS u JOIN {{crm_account}} AS a ON a.match_key = u.tenant_key) AS w
           LEFT JOIN owned AS o ON o.account_id = w.account_id AND o.product = w.product GROUP BY ALL) AS u ON u.account_id = a.id
LEFT JOIN people AS p ON p.tenant_key = a.match_key
LEFT JOIN (SELECT tenant_key, o.account_id, sum(done) AS done, sum(total) AS total, max(as_of) AS as_of FROM setup AS s
           JOIN {{crm_account}} AS a ON a.match_key = s.tenant_key JOIN owned AS o ON o.account_id = a.id AND o.product = s.product GROUP BY ALL) AS s ON s.account_id = a.id
LEFT JOIN touch AS t ON t.account_id = a.id LEFT JOIN contacts AS n ON n.account_id = a.id LEFT JOIN tickets AS k ON k.account_id = a.id
LEFT JOIN surveys AS v ON v.account_id = a.id LEFT JOIN outcomes AS o ON o.account_id = a.id
LEFT JOIN (SELECT account_id, sum(expansion) AS expansion FROM talks GROUP BY ALL) AS q ON q.account_id = a.id;
-- values
CREATE TEMP TABLE value AS
SELECT account_id, segment, profile, champion_left_on, churn_notice_on, p1_open_days, last_used_on,
       round_even(100.0 * done / nullif(total, 0), 6) AS setup_progress,
       CASE WHEN fed THEN round_even(users_28d * 100 / seats, 6) END AS seat_utilization,
       CASE WHEN contacts > 0 THEN operators::DOUBLE END AS trained_operators,
       CASE WHEN fed AND days_since_start >= 60 AND events_prev_month > 0
            THEN round_even(100.0 * (coalesce(events_month, 0) - events_prev_month) / events_prev_month, 6) END AS close_volume,
       CASE WHEN fed THEN round_even(1.0 * core_28d / seats, 6) END AS core_feature_use,
       CASE WHEN fed THEN round_even(100.0 * (users_28d - users_prev_28d) / nullif(users_prev_28d, 0), 6) END AS active_user_trend,
       (DATE '2026-12-01' - last_touch_on)::DOUBLE AS recent_touch, (p1_open + escalated_open)::DOUBLE AS support_friction,
       (DATE '2026-12-01' - last_decision_maker_on)::DOUBLE AS decision_maker_contact,
       CASE WHEN nps_last_on >= DATE '2026-06-04' THEN round_even(nps, 6) END AS nps, answers,
       round_even(change, 6) AS outcome_change, outcome_last_on, (DATE '2026-12-01' - outcome_last_on)::DOUBLE AS outcome_recency
FROM account;
-- parts
CREATE TEMP TABLE part AS
SELECT account_id, segment, profile, place, indicator, axis, value, CASE WHEN present THEN points END AS points, weight, axis_weight
FROM (SELECT account_id, segment, profile, unnest([
    {'n': 1, 'i': 'setup_progress', 'a': 'deployment', 'v': setup_progress, 'p': greatest(0, least(1, setup_progress / 100)) * 100, 'w': CASE profile WHEN 'onboarding' THEN 4 END, 'aw': CASE profile WHEN 'onboarding' THEN 50 END, 'ok': setup_progress IS NOT NULL},
    {'n': 2, 'i': 'seat_utilization', 'a': 'deployment', 'v': seat_utilization, 'p': greatest(0, least(1, (seat_utilization - 20) / 60)) * 100, 'w': CASE profile WHEN 'onboarding' THEN 3 ELSE 1 END, 'aw': CASE profile WHEN 'onboarding' THEN 50 WHEN 'renewal' THEN 5 ELSE 10 END, 'ok': seat_utilization IS NOT NULL},
    {'n': 3, 'i': 'trained_operators', 'a': 'deployment', 'v': trained_operators, 'p': CASE WHEN trained_operators >= 2 THEN 100.0 WHEN trained_operators >= 1 THEN 50 ELSE 0 END, 'w': CASE profile WHEN 'onboarding' THEN 3 END, 'aw': CASE profile WHEN 'onboarding' THEN 50 END, 'ok': trained_operators IS NOT NULL},
    {'n': 4, 'i': 'close_volume', 'a': 'adoption', 'v': close_volume, 'p': greatest(0, least(1, (close_volume + 40) / 40)) * 100, 'w': CASE profile WHEN 'onboarding' THEN NULL ELSE 4 END, 'aw': CASE profile WHEN 'renewal' THEN 35 ELSE 45 END, 'ok': close_volume IS NOT NULL},
    {'n': 5, 'i': 'core_feature_use', 'a': 'adoption', 'v': core_feature_use, 'p': greatest(0, least(1, (core_feature_use - 1) / 6)) * 100, 'w': CASE profile WHEN 'renewal' THEN 2 ELSE 3 END, 'aw': CASE profile WHEN 'onboarding' THEN 25 WHEN 'renewal' THEN 35 ELSE 45 END, 'ok': core_feature_use IS NOT NULL},
    {'n': 6, 'i': 'active_user_trend', 'a': 'adoption', 'v': active_user_trend, 'p': greatest(0, least(1, (active_user_trend + 30) / 30)) * 100, 'w': CASE profile WHEN 'renewal' THEN 1 ELSE 2 END, 'aw': CASE profile WHEN 'onboarding' THEN 25 WHEN 'renewal' THEN 35 ELSE 45 END, 'ok': active_user_trend IS NOT NULL},
    {'n': 8, 'i': 'recent_touch', 'a': 'engagement', 'v': recent_touch, 'p': CASE WHEN recent_touch >= 91 THEN 0.0 WHEN recent_touch >= 46 THEN 50 WHEN recent_touch >= 0 THEN 100 ELSE 0 END, 'w': CASE profile WHEN 'renewal' THEN 10 ELSE 3 END, 'aw': CASE profile WHEN 'renewal' THEN 30 ELSE 25 END, 'ok': recent_touch IS NOT NULL},
    {'n': 7, 'i': 'support_friction', 'a': 'engagement', 'v': support_friction, 'p': CASE WHEN support_friction >= 2 THEN 0.0 WHEN support_friction >= 1 THEN 30 ELSE 100 END, 'w': CASE profile WHEN 'renewal' THEN 11 WHEN 'onboarding' THEN 2 ELSE 4 END, 'aw': CASE profile WHEN 'renewal' THEN 30 ELSE 25 END, 'ok': support_friction IS NOT NULL},
    {'n': 9, 'i': 'decision_maker_contact', 'a': 'engagement', 'v': decision_maker_contact, 'p': CASE WHEN decision_maker_contact >= 181 THEN 0.0 WHEN decision_maker_contact >= 91 THEN 50 WHEN decision_maker_contact >= 0 THEN 100 ELSE 0 END, 'w': CASE profile WHEN 'renewal' THEN 7 WHEN 'adoption' THEN 3 END, 'aw': CASE profile WHEN 'renewal' THEN 30 ELSE 25 END, 'ok': decision_maker_contact IS NOT NULL},
    {'n': 10, 'i': 'nps', 'a': 'engagement', 'v': nps, 'p': greatest(0, least(1, (nps - 4) / 5)) * 100, 'w': CASE profile WHEN 'renewal' THEN 2 WHEN 'adoption' THEN 1 END, 'aw': CASE profile WHEN 'renewal' THEN 30 ELSE 25 END, 'ok': nps IS NOT NULL AND answers >= 2},
    {'n': 11, 'i': 'outcome_change', 'a': 'outcome', 'v': outcome_change, 'p': greatest(0, least(1, outcome_change / 40)) * 100, 'w': CASE profile WHEN 'onboarding' THEN NULL ELSE 4 END, 'aw': CASE profile WHEN 'renewal' THEN 30 ELSE 20 END, 'ok': outcome_change IS NOT NULL AND outcome_last_on >= DATE '2025-12-01'},
    {'n': 12, 'i': 'outcome_recency', 'a': 'outcome', 'v': outcome_recency, 'p': CASE WHEN outcome_recency >= 181 THEN 50.0 WHEN outcome_recency >= 0 THEN 100 ELSE 0 END, 'w': CASE profile WHEN 'onboarding' THEN NULL ELSE 1 END, 'aw': CASE profile WHEN 'renewal' THEN 30 ELSE 20 END, 'ok': outcome_recency IS NOT NULL AND outcome_last_on >= DATE '2025-12-01'}
]) AS x FROM value) AS t(account_id, segment, profile, x), LATERAL (SELECT x.n AS place, x.i AS indicator, x.a AS axis, x.v AS value, x.p AS points, x.w AS weight, x.aw AS axis_weight, x.ok AS present)
WHERE weight IS NOT NULL;
-- axes
CREATE TEMP TABLE axis AS
SELECT account_id, axis, any_value(axis_weight) AS axis_weight, sum(weight) FILTER (points IS NOT NULL) AS present, sum(weight) AS whole,
       sum(weight * points) / sum(weight) FILTER (points IS NOT NULL) AS points
FROM part GROUP BY ALL;
-- scores
CREATE TEMP TABLE score AS
SELECT v.account_id, v.profile, coverage >= 60 AND axes >= 2 AS enough, CASE WHEN enough THEN raw END AS score_uncapped,
       CASE WHEN enough THEN round_even(least(raw, cap)::DECIMAL(12, 9), 0)::BIGINT END AS score, coverage, deployment, adoption, engagement, outcome, present,
       capped_by, CASE v.profile WHEN 'onboarding' THEN '{{version_onboarding}}' WHEN 'renewal' THEN '{{version_renewal}}' ELSE '{{version_adoption}}' END AS config_version
FROM (SELECT *, CASE WHEN churn_notice_on IS NOT NULL THEN 'churn_notice' WHEN champion_left_on <= DATE '2026-11-01' THEN 'champion_left'
                     WHEN p1_open_days > 7 THEN 'p1_open' WHEN last_used_on <= DATE '2026-11-09' THEN 'use_stopped' END AS capped_by,
             CASE WHEN capped_by = 'churn_notice' THEN 10 WHEN capped_by IS NULL THEN 100 ELSE 39 END AS cap FROM value) AS v
JOIN (SELECT account_id, sum(points * axis_weight) / sum(axis_weight) FILTER (points IS NOT NULL) AS raw, sum(axis_weight) FILTER (points IS NOT NULL) AS present,
             count(points) AS axes, round_even(sum(axis_weight * coalesce(present, 0) / whole) / sum(axis_weight) * 100, 6) AS coverage,
             round_even(max(points) FILTER (axis = 'deployment'), 6) AS deployment, round_even(max(points) FILTER (axis = 'adoption'), 6) AS adoption,
             round_even(max(points) FILTER (axis = 'engagement'), 6) AS engagement, round_even(max(points) FILTER (axis = 'outcome'), 6) AS outcome
      FROM axis GROUP BY ALL) AS x ON x.account_id = v.account_id;
-- parts
CREATE TEMP TABLE weighed AS
SELECT p.*, CASE WHEN p.points IS NOT NULL THEN p.axis_weight * 100 / s.present * p.weight / a.present ELSE 0 END AS weight_effective, s.enough
FROM part AS p JOIN axis AS a ON a.account_id = p.account_id AND a.axis = p.axis JOIN score AS s ON s.account_id = p.account_id;
CREATE TEMP TABLE middle AS SELECT segment, profile, indicator, median(points) AS median_points FROM weighed WHERE enough
GROUP BY ALL HAVING count(points) >= 5;
COPY (SELECT account_id, indicator, axis, value, points,
             CASE WHEN points IS NULL THEN CASE WHEN value IS NULL THEN 'no_data' WHEN indicator = 'nps' THEN 'too_few' ELSE 'stale' END END AS missing_why, weight_effective, median_points
      FROM weighed LEFT JOIN middle USING (segment, profile, indicator)) TO '{{out}}/parts.parquet' (FORMAT parquet, COMPRESSION zstd);
-- reasons
CREATE TEMP TABLE reason AS
WITH moved AS (
    SELECT account_id, {'indicator': indicator, 'value': value, 'points': points} AS x, points, indicator, -weight_effective AS lighter,
           round(weight_effective * (points - coalesce(median_points, 100)), 6) AS below, round(weight_effective * (points - coalesce(median_points, 0)), 6) AS above
    FROM weighed LEFT JOIN middle USING (segment, profile, indicator) WHERE enough AND points IS NOT NULL AND weight_effective > 0
), low AS (SELECT account_id, arg_min(x, (below, lighter, indicator)) AS worst FROM moved WHERE points < 100 GROUP BY ALL)
SELECT account_id, any_value(worst) AS worst, arg_min(x, (-above, lighter, indicator)) FILTER (points > 50 AND indicator IS DISTINCT FROM worst.indicator) AS best
FROM moved LEFT JOIN low USING (account_id) GROUP BY ALL;
CREATE TEMP TABLE missing AS
SELECT account_id, string_agg(title_en || CASE WHEN indicator = 'nps' AND value IS NOT NULL THEN ' (too few answers)' ELSE '' END, ', ' ORDER BY place) AS why,
       string_agg(title_ja || CASE WHEN indicator = 'nps' AND value IS NOT NULL THEN '(回答数不足)' ELSE '' END, '、' ORDER BY place) AS why_ja
FROM part JOIN (VALUES {{titles}}) AS t(indicator, title_en, title_ja) USING (indicator) WHERE points IS NULL GROUP BY ALL;
-- tiers
CREATE TEMP TABLE result AS
SELECT s.*, CASE WHEN s.score IS NULL THEN NULL WHEN h.tier IS NULL OR capped_by IS NOT NULL THEN plain
    WHEN h.tier > plain AND s.score <= low - 3 AND h.score <= low - 3 THEN plain
    WHEN h.tier < plain AND s.score >= high + 3 AND h.score >= high + 3 THEN plain ELSE h.tier END AS tier,
    s.score - h.score_before AS delta_28d,
    CASE WHEN s.score - h.score_before >= 5 THEN 'up' WHEN s.score - h.score_before <= -5 THEN 'down' WHEN s.score - h.score_before IS NOT NULL THEN 'flat' END AS trend
FROM (SELECT *, 1 + greatest(0, least(4, score // 20)) AS plain FROM score) AS s
LEFT JOIN (SELECT account_id, closing.tier AS tier, closing.score AS score, (closing.tier - 1) * 20 AS low,
                  CASE WHEN closing.tier < 5 THEN closing.tier * 20 END AS high, score_before
           FROM (SELECT account_id, arg_max({'tier': tier, 'score': score}, on_) FILTER (score IS NOT NULL) AS closing,
                        arg_max({'score': score}, on_) FILTER (on_ <= DATE '2026-11-03').score AS score_before
                 FROM {{score_history}} WHERE on_ < DATE '2026-12-01' GROUP BY ALL)) AS h ON h.account_id = s.account_id;
-- signals
CREATE TEMP TABLE fit AS
SELECT segment, product, count(*) * 100.0 / any_value(n) AS fit FROM owned JOIN account USING (account_id)
JOIN (SELECT segment, count(*) AS n FROM account GROUP BY ALL) USING (segment) GROUP BY ALL;
CREATE TEMP TABLE offer AS
SELECT a.account_id, g.product, o.seats, o.mrr, coalesce(p.users_28d, 0) AS users_28d, coalesce(u.advanced_28d, 0) AS advanced_28d, coalesce(u.events_28d, 0) AS events_28d,
       a.fed, r.score, r.tier, r.adoption, r.capped_by, coalesce(f.fit, 0) AS fit, coalesce(t.talk, false) AS talk, a.partner_id, a.churn_notice_on, a.p1_open,
       a.escalated_open, a.expansion_open, a.profile, a.steps_open,
       unnest(list_filter([
           CASE WHEN o.seats >= 5 AND a.fed AND coalesce(p.users_28d, 0) >= 0.9 * o.seats THEN 'seat_expansion' END,
           CASE WHEN o.plan <> 'pro' AND a.fed AND coalesce(u.advanced_28d, 0) >= 20 AND u.advanced_28d >= 0.1 * coalesce(u.events_28d, 0) THEN 'tier_upgrade' END,
           CASE WHEN o.account_id IS NULL AND f.fit >= 40 AND a.seats >= 10 AND r.adoption >= 75 AND a.fed AND a.users_28d * 100 / a.seats >= 70
                     AND a.days_since_start >= 180 AND a.last_decision_maker_on >= DATE '2026-09-02' THEN 'cross_sell' END], lambda x: x IS NOT NULL)) AS rule
FROM account AS a JOIN result AS r ON r.account_id = a.account_id CROSS JOIN catalogue AS g
LEFT JOIN owned AS o ON o.account_id = a.account_id AND o.product = g.product
LEFT JOIN product_people AS p ON p.tenant_key = a.match_key AND p.product = g.product
LEFT JOIN used AS u ON u.tenant_key = a.match_key AND u.product = g.product
LEFT JOIN fit AS f ON f.segment = a.segment AND f.product = g.product
LEFT JOIN talks AS t ON t.account_id = a.account_id AND t.product = g.product WHERE r.enough;
CREATE TEMP TABLE signal AS
SELECT *, CASE WHEN signal THEN CASE WHEN h_last.signal THEN h_last.since_on ELSE DATE '2026-12-01' END END AS since_on FROM (
    SELECT coalesce(o.account_id, h.account_id) AS account_id, coalesce(o.product, h.product) AS product, coalesce(o.rule, h.rule) AS rule, o.account_id IS NOT NULL AS signal, h.last_ AS h_last
    FROM offer AS o FULL JOIN (SELECT account_id, product, rule, arg_max({'signal': signal, 'since_on': since_on}, on_) AS last_
                               FROM {{signal_history}} WHERE NOT starts_with(rule, 'alert/') GROUP BY ALL) AS h USING (account_id, product, rule))
SEMI JOIN (FROM result WHERE enough) AS r USING (account_id);
COPY (SELECT account_id, product, rule, signal, since_on FROM signal
      WHERE CASE WHEN h_last IS NULL THEN signal ELSE {'signal': signal, 'since_on': since_on} IS DISTINCT FROM h_last END)
TO '{{out}}/signals.parquet' (FORMAT parquet, COMPRESSION zstd);
-- csqls
CREATE TEMP TABLE chosen AS
SELECT DISTINCT ON (account_id, product) *,
       CASE rule WHEN 'seat_expansion' THEN mrr / seats * greatest(5, ceil(users_28d * 1.2)::BIGINT - seats) WHEN 'tier_upgrade' THEN mrr * 0.5 END AS amount,
       CASE rule WHEN 'seat_expansion' THEN greatest(5, ceil(users_28d * 1.2)::BIGINT - seats) END AS seats_suggested
FROM (SELECT o.*, profile IN ('renewal', 'adoption') AND tier < 4 OR (profile = 'onboarding' AND coalesce(steps_open, 0) > 0) OR p1_open > 0 OR escalated_open > 0
             OR churn_notice_on IS NOT NULL OR capped_by IS NOT NULL OR partner_id IS NOT NULL OR talk OR (rule = 'cross_sell' AND expansion_open > 0) AS against,
             round_even(greatest(0, least(100, CASE rule WHEN 'seat_expansion' THEN least(100.0, 100.0 * users_28d / seats)
                 WHEN 'tier_upgrade' THEN least(100.0, 40 + 200.0 * advanced_28d / nullif(events_28d, 0)) ELSE least(100.0, fit + 0.3 * adoption) END)), 0)::BIGINT AS approach
      FROM offer AS o SEMI JOIN (FROM signal WHERE signal AND since_on <= DATE '2026-11-17') AS s USING (account_id, product, rule))
ORDER BY account_id, product, against, approach DESC NULLS LAST, rule;
CREATE TEMP TABLE csql AS
SELECT coalesce(q.account_id, c.account_id) AS account_id, q.id AS record_id, coalesce(q.product, c.product) AS product,
       CASE WHEN q.id IS NULL THEN 'open' ELSE 'update' END AS move, coalesce(q.state, CASE WHEN rule = 'seat_expansion' THEN 'Submitted' ELSE 'Candidate' END) AS state,
       coalesce(c.amount, q.own_amount::DECIMAL(18, 4)) AS amount, coalesce(c.seats_suggested, q.own_seats_suggested::BIGINT) AS seats_suggested,
       coalesce(c.approach, q.own_approach_score::BIGINT) AS approach_score, c.approach
FROM {{crm_csql}} AS q FULL JOIN (FROM chosen WHERE NOT against) AS c ON c.account_id = q.account_id AND c.product = q.product;
COPY (SELECT account_id, record_id, product, move, state, amount, seats_suggested, approach_score FROM csql) TO '{{out}}/csql_desired.parquet' (FORMAT parquet, COMPRESSION zstd);
-- decisions
CREATE TEMP TABLE decision AS
WITH word AS (
    SELECT a.*, a.core_28d AS core_events_28d, a.users_28d AS active_users_28d, a.users_prev_28d AS active_users_prev_28d, a.done::BIGINT AS setup_steps_done,
           a.total::BIGINT AS setup_steps_total, a.answers AS nps_answers_180d, DATE '2026-11-30' AS usage_as_of, DATE '2026-11-01' AS month_label,
           r.* EXCLUDE (account_id, profile), CASE WHEN r.enough THEN 'scored' ELSE 'not_scored' END AS state, w.worst, w.best, m.why, m.why_ja, q.flag, q.n, q.approach,
           CASE WHEN a.fed THEN a.users_28d * 100 / a.seats END AS seat_use
    FROM result AS r JOIN account AS a ON a.account_id = r.account_id LEFT JOIN reason AS w ON w.account_id = r.account_id
    LEFT JOIN missing AS m ON m.account_id = r.account_id
    LEFT JOIN (SELECT account_id, bool_or(state <> 'Candidate') AS flag, count(*) AS n, max(approach_score) AS approach FROM csql GROUP BY ALL) AS q
           ON q.account_id = r.account_id
)
SELECT account_id, state, score, score_uncapped, tier, trend, delta_28d, deployment, adoption, engagement, outcome, coverage, profile, config_version,
       {{cause}} AS cause, {{main_reason_en}} AS main_reason_en, {{main_reason_ja}} AS main_reason_ja, {{strength_en}} AS strength_en,
       {{strength_ja}} AS strength_ja, {{next_action_en}} AS next_action_en, {{next_action_ja}} AS next_action_ja, {{exception_en}} AS exception_en,
       {{exception_ja}} AS exception_ja, {{data_status_en}} AS data_status_en, {{data_status_ja}} AS data_status_ja,
       notice_on, seat_use, usage_as_of, coalesce(flag, false) AS csql_flag, coalesce(n, 0) AS csql_open_count, approach AS approach_score
FROM word;
COPY decision TO '{{out}}/decisions.parquet' (FORMAT parquet, COMPRESSION zstd);
-- changes
COPY (
    SELECT 'account' AS object, account_id AS record_id, account_id, x.f AS field, x.b AS crm_value, x.o AS our_value
    FROM (SELECT a.id AS account_id, unnest(list_filter([
        CASE WHEN coalesce(d.tier::VARCHAR, 'not_scored') IS DISTINCT FROM a.own_health_tier THEN {'f': 'health_tier', 'b': a.own_health_tier, 'o': coalesce(d.tier::VARCHAR, 'not_scored')} END,
        CASE WHEN d.score::VARCHAR IS DISTINCT FROM a.own_health_score THEN {'f': 'health_score', 'b': a.own_health_score, 'o': d.score::VARCHAR} END,
        CASE WHEN d.notice_on::VARCHAR IS DISTINCT FROM a.own_notice_on THEN {'f': 'notice_on', 'b': a.own_notice_on, 'o': d.notice_on::VARCHAR} END,
        CASE WHEN coalesce(abs(round_even(d.seat_use, 0) - a.own_seat_use::DOUBLE) > 1, d.seat_use::VARCHAR IS DISTINCT FROM a.own_seat_use)
             THEN {'f': 'seat_use', 'b': a.own_seat_use, 'o': round_even(d.seat_use, 0)::BIGINT::VARCHAR} END,
        CASE WHEN coalesce(abs(round_even(d.deployment, 0) - a.own_deployment::DOUBLE) > 1, d.deployment::VARCHAR IS DISTINCT FROM a.own_deployment)
             THEN {'f': 'deployment', 'b': a.own_deployment, 'o': round_even(d.deployment, 0)::BIGINT::VARCHAR} END,
        CASE WHEN coalesce(abs(round_even(d.adoption, 0) - a.own_adoption::DOUBLE) > 1, d.adoption::VARCHAR IS DISTINCT FROM a.own_adoption)
             THEN {'f': 'adoption', 'b': a.own_adoption, 'o': round_even(d.adoption, 0)::BIGINT::VARCHAR} END,
        CASE WHEN coalesce(abs(round_even(d.engagement, 0) - a.own_engagement::DOUBLE) > 1, d.engagement::VARCHAR IS DISTINCT FROM a.own_engagement)
             THEN {'f': 'engagement', 'b': a.own_engagement, 'o': round_even(d.engagement, 0)::BIGINT::VARCHAR} END,
        CASE WHEN coalesce(abs(round_even(d.outcome, 0) - a.own_outcome::DOUBLE) > 1, d.outcome::VARCHAR IS DISTINCT FROM a.own_outcome)
             THEN {'f': 'outcome', 'b': a.own_outcome, 'o': round_even(d.outcome, 0)::BIGINT::VARCHAR} END,
        CASE WHEN d.cause IS DISTINCT FROM a.own_cause THEN {'f': 'cause', 'b': a.own_cause, 'o': d.cause} END,
        CASE WHEN d.csql_flag::VARCHAR <> coalesce(a.own_csql_flag, 'false') THEN {'f': 'csql_flag', 'b': coalesce(a.own_csql_flag, 'false'), 'o': d.csql_flag::VARCHAR} END,
        CASE WHEN d.csql_open_count::VARCHAR IS DISTINCT FROM a.own_csql_open_count THEN {'f': 'csql_open_count', 'b': a.own_csql_open_count, 'o': d.csql_open_count::VARCHAR} END,
        CASE WHEN d.main_reason_ja IS DISTINCT FROM a.own_main_reason THEN {'f': 'main_reason', 'b': a.own_main_reason, 'o': d.main_reason_ja} END,
        CASE WHEN d.strength_ja IS DISTINCT FROM a.own_strength THEN {'f': 'strength', 'b': a.own_strength, 'o': d.strength_ja} END,
        CASE WHEN d.next_action_ja IS DISTINCT FROM a.own_next_action THEN {'f': 'next_action', 'b': a.own_next_action, 'o': d.next_action_ja} END,
        CASE WHEN d.data_status_ja IS DISTINCT FROM a.own_data_status THEN {'f': 'data_status', 'b': a.own_data_status, 'o': d.data_status_ja} END,
        CASE WHEN d.profile IS DISTINCT FROM a.own_score_profile THEN {'f': 'score_profile', 'b': a.own_score_profile, 'o': d.profile} END
    ], lambda x: x IS NOT NULL)) AS x FROM decision AS d JOIN {{crm_account}} AS a ON a.id = d.account_id)
) TO '{{out}}/changes.parquet' (FORMAT parquet, COMPRESSION zstd);
