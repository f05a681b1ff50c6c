-- name: credits
-- Who CSQLs count for, one row per month, role, person or rule, and currency. Months are those of the event: submitted, accepted, won. `role`: rule (by
-- hand under ''), csm (the account's of today), rep (who it was assigned to, else the account's owner; who closed it, for won). `expected` is the
-- expected MRR of the accepted ones, `won_amount` what was won (expected where nobody wrote it down); null where none had an amount. Accepted once is
-- accepted; won counts while it stands.
CREATE OR REPLACE TEMP TABLE csql_credits AS
WITH lead AS (
    SELECT coalesce(o.own_rule, '') AS rule, coalesce(a.csm_id, '') AS csm, coalesce(o.own_assigned_to, a.owner_id, '') AS rep, o.own_closed_by AS named,
           CASE WHEN l.submitted OR l.accepted THEN coalesce(l.submitted_on, l.accepted_on) END AS submitted_on, l.accepted_on,
           CASE WHEN o.state = 'Won' THEN l.state_on END AS won_on, coalesce(o.own_currency, '') AS currency,
           TRY_CAST(o.own_amount AS DECIMAL(18, 4)) AS expected, TRY_CAST(o.own_amount_won AS DECIMAL(18, 4)) AS won_amount
    FROM j_csql AS o JOIN q_life AS l ON l.id = o.id LEFT JOIN j_master AS m ON m.id = o.account_id
    LEFT JOIN q_people AS a ON a.id = coalesce(m.master_id, o.account_id)
    WHERE NOT coalesce(o.deleted, false)
), closed AS (
    SELECT *, coalesce(named, {{closer}}) AS closer FROM lead
), event AS (
    SELECT *, submitted_on AS on_, 'submitted' AS what FROM closed WHERE submitted_on IS NOT NULL
    UNION ALL SELECT *, accepted_on, 'accepted' FROM closed WHERE accepted_on IS NOT NULL
    UNION ALL SELECT *, won_on, 'won' FROM closed WHERE won_on IS NOT NULL
), credit AS (
    SELECT 'rule' AS role, rule AS who, * FROM event
    UNION ALL SELECT 'csm', csm, * FROM event WHERE what <> 'won' OR {{csm_won}}
    UNION ALL SELECT 'rep', CASE WHEN what = 'won' THEN closer ELSE rep END, * FROM event WHERE what <> 'won' OR {{rep_won}}
)
SELECT CAST(date_trunc('month', on_) AS DATE) AS month, role, who, currency, count(*) FILTER (what = 'submitted') AS submitted,
       count(*) FILTER (what = 'accepted') AS accepted, count(*) FILTER (what = 'won') AS won,
       sum(expected) FILTER (what = 'accepted') AS expected, sum(coalesce(won_amount, expected)) FILTER (what = 'won') AS won_amount
FROM credit GROUP BY ALL ORDER BY month DESC, role, won_amount DESC NULLS LAST, accepted DESC, submitted DESC, who, currency;
