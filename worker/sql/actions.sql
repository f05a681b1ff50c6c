-- name: decisions
-- Grain: account that decided in the period: left, or renewed at least once. `decided_on`: the notice that was given, else the notice deadline, so that both
-- are looked at from the same side. A monthly term decides nothing; of several renewals the latest counts; who left later did not renew.
CREATE OR REPLACE TEMP TABLE v_decision AS
WITH line AS (
    SELECT acct, product, starts_on, ends_on, notice_on, term_months, churned_on FROM j_line WHERE started AND starts_on IS NOT NULL
), rolled AS (
    -- one line that ran on past its own term
    SELECT acct, CAST(starts_on + to_months(CAST(term_months * n AS INTEGER)) AS DATE) AS renewed_on, CAST(NULL AS DATE) AS notice_on, ends_on, churned_on
    FROM (SELECT *, datediff('month', starts_on, least({{on}}, coalesce(ends_on, {{on}}))) // term_months AS n FROM line WHERE term_months > 1) WHERE n >= 1
), renewal AS (
    SELECT acct, renewed_on, notice_on FROM rolled
    WHERE renewed_on <= coalesce(ends_on, {{on}}) AND (churned_on IS NULL OR renewed_on < churned_on)
    UNION ALL
    -- one line followed by the next of the same product
    SELECT l.acct, l.ends_on + 1, l.notice_on FROM line AS l WHERE l.churned_on IS NULL AND l.ends_on < {{on}} AND coalesce(l.term_months, 12) > 1 AND EXISTS (
        FROM line AS n WHERE n.acct = l.acct AND n.product IS NOT DISTINCT FROM l.product AND n.starts_on > l.starts_on
                         AND n.starts_on BETWEEN l.ends_on - 31 AND l.ends_on + 31)
    UNION ALL
    SELECT coalesce(m.master_id, o.account_id), o.close_on, NULL FROM j_opportunity AS o LEFT JOIN j_master AS m ON m.id = o.account_id
    WHERE NOT coalesce(o.deleted, false) AND o.kind = 'renewal' AND o.won
), stayed AS (
    SELECT a.account_id, 'renewed' AS outcome, arg_max(coalesce(r.notice_on, CAST(r.renewed_on - INTERVAL 1 MONTH AS DATE)), r.renewed_on) AS decided_on
    FROM v_account AS a JOIN renewal AS r ON r.acct = a.account_id WHERE a.churned_on IS NULL AND r.renewed_on BETWEEN {{since}} AND {{on}} GROUP BY a.account_id
), gone AS (
    SELECT account_id, 'left' AS outcome,
           CASE WHEN churn_notice_on <= churned_on THEN churn_notice_on ELSE CAST(churned_on - INTERVAL 1 MONTH AS DATE) END AS decided_on
    FROM v_account WHERE churned_on BETWEEN {{since}} AND {{on}}
), decided AS (SELECT * FROM stayed UNION ALL SELECT * FROM gone)
SELECT d.account_id, d.outcome, d.decided_on, h.tier_before FROM decided AS d LEFT JOIN (
    SELECT s.account_id, arg_max({'tier': s.tier}, (s.on_, s.as_of)).tier AS tier_before FROM {{history}} AS s JOIN decided AS x ON x.account_id = s.account_id
    WHERE s.on_ <= x.decided_on - {{days}} GROUP BY s.account_id) AS h ON h.account_id = d.account_id;

-- name: actions
-- Grain: account and action that took place in the days up to the decision.
CREATE OR REPLACE TEMP TABLE v_action AS
WITH done AS (
    SELECT coalesce(m.master_id, a.account_id) AS account_id, a.kind, a.contact_id,
           CAST(timezone({{zone}}, CASE WHEN a.done_at IS NOT NULL THEN a.done_at WHEN a.due_on IS NULL THEN a.occurred_at END) AS DATE) AS day
    FROM j_activity AS a LEFT JOIN j_master AS m ON m.id = a.account_id WHERE NOT coalesce(a.deleted, false)
), met AS (
    SELECT d.account_id, d.kind, c.role = 'decision_maker' AS with_decision_maker FROM done AS d JOIN v_decision AS v ON v.account_id = d.account_id
    LEFT JOIN j_contact AS c ON c.id = d.contact_id WHERE d.day BETWEEN v.decided_on - {{days}} + 1 AND v.decided_on
)
SELECT DISTINCT account_id, kind AS action FROM met WHERE kind IS NOT NULL
UNION ALL SELECT DISTINCT account_id, 'decision_maker' FROM met WHERE with_decision_maker
UNION ALL
SELECT DISTINCT v.account_id, 'outcome_record' FROM j_outcome AS o LEFT JOIN j_master AS m ON m.id = o.account_id
JOIN v_decision AS v ON v.account_id = coalesce(m.master_id, o.account_id)
WHERE NOT coalesce(o.deleted, false) AND CAST(timezone({{zone}}, o.occurred_at) AS DATE) BETWEEN v.decided_on - {{days}} + 1 AND v.decided_on;

-- name: counted
-- Grain: action. Shares and lift are over those who decided; the second lift compares within each tier (Mantel-Haenszel), tiers as they were before the days
-- looked at, unknown being one of them. The interval is the usual one of a ratio of two shares, 95 %.
WITH action AS (SELECT DISTINCT action FROM v_action), total AS (
    SELECT count(*) FILTER (outcome = 'renewed') AS renewed, count(*) FILTER (outcome = 'left') AS gone FROM v_decision
), pair AS (
    SELECT k.action, v.account_id, v.outcome = 'renewed' AS stayed, coalesce(v.tier_before, 0) AS tier, a.account_id IS NOT NULL AS had
    FROM action AS k CROSS JOIN v_decision AS v LEFT JOIN v_action AS a ON a.action = k.action AND a.account_id = v.account_id
), whole AS (
    SELECT action, count(*) FILTER (had AND stayed) AS renewed_with, count(*) FILTER (had AND NOT stayed) AS left_with,
           count(*) FILTER (NOT had AND stayed) AS renewed_without, count(*) FILTER (NOT had AND NOT stayed) AS left_without FROM pair GROUP BY action
), tiered AS (
    SELECT action, sum(a * n0 / n) AS over, sum(c * n1 / n) AS under FROM (
        SELECT action, tier, CAST(count(*) AS DOUBLE) AS n, count(*) FILTER (had) AS n1, count(*) FILTER (NOT had) AS n0,
               count(*) FILTER (had AND stayed) AS a, count(*) FILTER (NOT had AND stayed) AS c FROM pair GROUP BY ALL) GROUP BY action
), rated AS (
    SELECT w.*, renewed_with + left_with AS n1, renewed_without + left_without AS n0, t.over / nullif(t.under, 0) AS same_tier FROM whole AS w JOIN tiered AS t USING (action)
), lifted AS (
    SELECT *, (renewed_with / nullif(n1, 0)) / nullif(renewed_without / nullif(n0, 0), 0) AS ratio,
           sqrt(1 / nullif(renewed_with, 0) - 1 / nullif(n1, 0) + 1 / nullif(renewed_without, 0) - 1 / nullif(n0, 0)) AS spread,
           least(n1, n0) >= {{least_each}} AND (SELECT least(renewed, gone) FROM total) >= {{least_left}} AS enough
    FROM rated
)
SELECT action, renewed_with, left_with, renewed_without, left_without, round(100.0 * renewed_with / nullif(n1, 0), 1) AS renewed_percent_with,
       round(100.0 * renewed_without / nullif(n0, 0), 1) AS renewed_percent_without, enough,
       CASE WHEN enough THEN round(ratio, 2) END AS lift, CASE WHEN enough THEN round(ratio * exp(-1.96 * spread), 2) END AS lift_low,
       CASE WHEN enough THEN round(ratio * exp(1.96 * spread), 2) END AS lift_high, CASE WHEN enough THEN round(same_tier, 2) END AS lift_same_tier
FROM lifted ORDER BY enough DESC, abs(ln(nullif(ratio, 0))) DESC NULLS LAST, action
