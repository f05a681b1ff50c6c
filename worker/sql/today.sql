-- name: lists
-- Each person's list, first first. `rank` counts from 1 on the list.
SELECT g.list_of AS csm_id, u.name AS csm_name, CAST(row_number() OVER (PARTITION BY g.list_of ORDER BY g.priority) AS BIGINT) AS rank, g.priority,
       g.account_id, c.name, g.points, list_transform(g.reasons, lambda r: r.{{language}}) AS reasons, d.next_action_{{language}} AS next_action,
       d.main_reason_{{language}} AS main_reason, a.notice_on, d.score, d.tier, a.mrr, a.currency
FROM {{assigned}} AS g JOIN {{decisions}} AS d ON d.account_id = g.account_id JOIN {{accounts}} AS a ON a.account_id = g.account_id
LEFT JOIN {{account}} AS c ON c.id = g.account_id LEFT JOIN {{user}} AS u ON u.id = g.list_of
WHERE g.priority IS NOT NULL AND {{asked}} ORDER BY g.list_of, g.priority;

-- name: nobodys
-- Accounts with enough points for a list that nobody works.
SELECT count(*) FROM {{assigned}} WHERE holder IS NULL AND points >= {{least}}
