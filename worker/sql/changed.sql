-- name: changed
-- Accounts that new rows touch: the record itself, and whoever a child belongs to or belonged to in any earlier version.
CREATE OR REPLACE TEMP TABLE j_changed AS SELECT DISTINCT account_id FROM ({{branches}}) WHERE account_id IS NOT NULL;

-- name: child
SELECT {{owner}} AS account_id FROM {{relation}} WHERE id IN (SELECT id FROM {{fresh}})

-- name: by_account_key
SELECT a.id AS account_id FROM {{accounts}} AS a WHERE a.match_key IN (SELECT tenant_key FROM j_fresh_tenant)

-- name: by_contract_key
SELECT coalesce(c.end_user_id, c.account_id) AS account_id FROM {{contracts}} AS c WHERE c.match_key IN (SELECT tenant_key FROM j_fresh_tenant)
