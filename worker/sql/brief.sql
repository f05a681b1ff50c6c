-- name: row
-- The account's row with what a question may use, as decide saw it.
CREATE OR REPLACE TEMP TABLE b_row AS
SELECT a.* EXCLUDE (scope, excluded_why), {{results}}, m.title_en AS main_product_title_en, m.title_ja AS main_product_title_ja
FROM {{accounts}} AS a LEFT JOIN {{decisions}} AS d ON d.account_id = a.account_id LEFT JOIN {{scores}} AS s ON s.account_id = a.account_id
LEFT JOIN j_product AS m ON m.product = a.main_product WHERE a.account_id = {{account}};

-- name: account
SELECT name FROM j_account WHERE id = {{account}}

-- name: lines
SELECT coalesce(p.title_{{lang}}, l.product) AS product, l.plan, l.seats, CAST(l.mrr AS DOUBLE) AS mrr, l.currency, l.starts_on, l.ends_on, l.notice_on, l.auto_renew
FROM j_line AS l LEFT JOIN j_product AS p ON p.product = l.product WHERE l.acct = {{account}} AND l.is_open ORDER BY mrr DESC NULLS LAST, l.id

-- name: weeks
-- Events per week of seven days, the last one ending at the feed's last complete day.
SELECT CAST({{end}} - CAST(({{end}} - u.day) // 7 * 7 + 6 AS INTEGER) AS DATE) AS week, sum(u.events)::BIGINT AS events
FROM ({{days}}) AS u JOIN j_tenant AS t ON t.source = u.source AND t.tenant_key = u.tenant_key
WHERE t.acct = {{account}} AND u.day <= u.feed_day AND u.day > {{end}} - {{weeks}} * 7 GROUP BY ALL ORDER BY week

-- name: tickets
SELECT a.priority, a.escalated, coalesce(p.title_{{lang}}, a.product) AS product, CAST(timezone({{zone}}, a.opened_at) AS DATE) AS opened_on
FROM j_ticket AS a LEFT JOIN j_product AS p ON p.product = a.product
WHERE NOT coalesce(a.deleted, false) AND {{mine}} AND a.opened_at <= {{as_of}} AND (a.closed_at IS NULL OR a.closed_at > {{as_of}})
ORDER BY a.priority NULLS LAST, opened_on LIMIT {{limit}}

-- name: outcomes
SELECT a.metric, a.baseline, a.current_value, a.fewer_is_better, coalesce(a.fact_backed, false) AS fact_backed, a.confirmed_by, a.kind, a.data_source, a.logic,
       CAST(timezone({{zone}}, a.occurred_at) AS DATE) AS on_
FROM j_outcome AS a WHERE NOT coalesce(a.deleted, false) AND {{mine}} AND a.occurred_at <= {{as_of}} ORDER BY on_ DESC, a.id LIMIT {{limit}}

-- name: months
-- Monthly revenue at the end of each month and today: lines that had started and not ended. Currencies are not added up: null where they are mixed.
SELECT m.on_, CASE WHEN count(DISTINCT l.currency) <= 1 THEN CAST(coalesce(sum(l.mrr), 0) AS DOUBLE) END AS mrr
FROM (SELECT unnest({{ends}}) AS on_) AS m
LEFT JOIN j_line AS l ON l.acct = {{account}} AND l.started AND l.starts_on <= m.on_ AND coalesce(least(l.churned_on, l.ends_on + 1), DATE '9999-01-01') > m.on_
GROUP BY m.on_ ORDER BY m.on_

-- name: csqls
SELECT DISTINCT ON (external_key) title_{{lang}} AS title, need_{{lang}} AS need, why_now_{{lang}} AS why_now, state
FROM {{csql_desired}} WHERE account_id = {{account}} AND state <> 'Expired' AND title_{{lang}} IS NOT NULL ORDER BY external_key LIMIT {{limit}}

-- name: scores
SELECT on_ AS "on", arg_max(score, as_of) AS score FROM {{history}} WHERE account_id = {{account}} GROUP BY on_ ORDER BY on_
