-- name: rows
-- Grain: account and plan, of accounts that are served. `answer`: yes, no, or open (within the period, or the day is not known).
CREATE OR REPLACE TEMP VIEW r_row AS
SELECT strftime(o.starts_on, '%Y-%m') AS cohort, o.plan, coalesce(a.csm_id, '–') AS csm, coalesce(a.touch_model, '–') AS touch_model, o.account_id, o.main,
       o.status, o.steps_overdue, CASE o.on_time WHEN true THEN 'yes' WHEN false THEN 'no' ELSE 'open' END AS answer
FROM {{onboarding}} AS o JOIN {{accounts}} AS a ON a.account_id = o.account_id
WHERE a.scope = 'in' AND o.status IS NOT NULL AND (o.starts_on >= {{since}} OR {{since}} IS NULL);

-- name: grouped
-- The rate is over those that are settled: a cohort within its period has none yet, and a completion whose day nobody knows counts for neither side.
SELECT {{by}} AS name, count(*) AS started, count(*) FILTER (status = 'completed') AS completed, count(*) FILTER (answer = 'yes') AS on_time,
       count(*) FILTER (answer = 'no') AS late, count(*) FILTER (answer = 'open' AND status = 'completed') AS day_unknown,
       count(*) FILTER (status IN ('overdue', 'extended') AND steps_overdue > 0) AS with_overdue_steps,
       round(100.0 * count(*) FILTER (answer = 'yes') / nullif(count(*) FILTER (answer IN ('yes', 'no')), 0), 1) AS on_time_percent
FROM r_row GROUP BY ALL ORDER BY name

-- name: csqls
-- The guard: what each CSM hands over beside how their onboardings end.
SELECT coalesce(a.csm_id, '–') AS name, sum(d.csql_open_count)::BIGINT AS csqls_open
FROM {{decisions}} AS d JOIN {{accounts}} AS a ON a.account_id = d.account_id GROUP BY ALL

-- name: self_success
-- New customers, and how many of them are suggested to do without a CSM.
SELECT count(*) AS new, count(d.self_success_en) AS candidates, round(100.0 * count(d.self_success_en) / nullif(count(*), 0), 1) AS percent
FROM {{decisions}} AS d JOIN {{accounts}} AS a ON a.account_id = d.account_id WHERE a.days_since_start BETWEEN 0 AND {{days}}
