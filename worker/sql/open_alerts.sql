-- name: open
-- Grain: account and alert that holds, of accounts that are served. The newest answer of each counts, that of an increment included.
CREATE OR REPLACE TEMP TABLE l_open AS
SELECT s.account_id, substr(s.rule, 7) AS alert, s.newest.since_on AS since_on
FROM (SELECT account_id, rule, arg_max({'signal': signal, 'since_on': since_on}, (on_, as_of)) AS newest
      FROM {{history}} WHERE rule IN ({{rules}}) GROUP BY ALL) AS s
WHERE s.newest.signal AND s.account_id IN (SELECT account_id FROM {{accounts}} WHERE scope = 'in') AND {{asked}};

-- name: listed
-- With whom each is meant for today, and the words of the day on which it began; null where it held before anybody was told.
SELECT o.alert, o.since_on, {{on}} - o.since_on AS days, o.account_id, n.name, w.recipient, u.name AS recipient_name, w.routed, t.text, t.channels, d.score, d.tier
FROM l_open AS o JOIN (
    SELECT a.account_id, CASE WHEN a.partner_id IS NOT NULL THEN p.owner_id ELSE coalesce(a.csm_id, a.owner_id) END AS recipient,
           CASE WHEN a.partner_id IS NOT NULL THEN 'partner' WHEN a.csm_id IS NOT NULL THEN 'csm' WHEN a.owner_id IS NOT NULL THEN 'owner' END AS routed
    FROM {{accounts}} AS a LEFT JOIN l_account AS p ON p.id = a.partner_id
) AS w ON w.account_id = o.account_id LEFT JOIN {{decisions}} AS d ON d.account_id = o.account_id
LEFT JOIN l_account AS n ON n.id = o.account_id LEFT JOIN l_user AS u ON u.id = w.recipient
LEFT JOIN (SELECT account_id, rule, arg_max(text, on_) AS text, arg_max(channels, on_) AS channels FROM l_told GROUP BY ALL) AS t
       ON t.account_id = o.account_id AND t.rule = o.alert
WHERE {{meant_for}} ORDER BY o.since_on DESC, d.tier NULLS LAST, d.score NULLS LAST, o.account_id, o.alert
