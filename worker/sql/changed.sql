-- name: changed
-- Accounts that new rows touch: the record itself, and whoever a child belongs to or belonged to in any earlier version.
CREATE OR REPLACE TEMP TABLE j_changed AS SELECT DISTINCT account_id FROM ({{branches}}) WHERE account_id IS NOT NULL;

-- name: news
-- Ids of new versions that say something new. Our own write comes back with a later stamp, and an overlap reads rows again: neither is news.
-- A field of ours is news when it is neither what we last wrote nor what was there: a person changed it.
CREATE OR REPLACE TEMP TABLE {{out}} AS
WITH fresh AS (SELECT * FROM {{relation}} WHERE {{fresh}}),
known AS (
    SELECT DISTINCT ON (r.connection, r.id) * FROM {{relation}} AS r WHERE NOT ({{fresh}}) AND r.id IN (SELECT id FROM fresh)
    ORDER BY r.connection, r.id, r.modified_at DESC NULLS LAST, r.read_at DESC NULLS LAST, {{part}} DESC
),
written AS (
    SELECT k.connection, w.record_id, w.field, arg_max({'value': w.value}, (w.written_at, w.as_of, w.item_id)).value AS value
    FROM {{writes}} AS w JOIN known AS k ON k.id = w.record_id
    WHERE w.object = {{object}} AND w.state = 'acknowledged' AND w.written_at > k.read_at GROUP BY ALL
),
ours AS (SELECT connection, record_id{{columns}} FROM written GROUP BY ALL)
SELECT DISTINCT f.id FROM fresh AS f LEFT JOIN known AS k ON k.connection IS NOT DISTINCT FROM f.connection AND k.id = f.id
LEFT JOIN ours AS o ON o.connection IS NOT DISTINCT FROM f.connection AND o.record_id = f.id
WHERE k.id IS NULL OR {{differs}};

-- name: child
SELECT {{owner}} AS account_id FROM {{relation}} WHERE id IN (SELECT id FROM {{news}})

-- name: by_account_key
SELECT a.id AS account_id FROM {{accounts}} AS a WHERE a.match_key IN (SELECT tenant_key FROM j_fresh_tenant)

-- name: by_contract_key
SELECT coalesce(c.end_user_id, c.account_id) AS account_id FROM {{contracts}} AS c WHERE c.match_key IN (SELECT tenant_key FROM j_fresh_tenant)
