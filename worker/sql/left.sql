-- name: left
-- Living records of other connections that carry a value of ours and belong to no account now. Grain: connection and record.
-- `why`: that of p_unmatched, or account_deleted where the account it names, or that names it, is known to be gone; account_merged where that one was
-- merged into another, which has a record of its own.
CREATE OR REPLACE TEMP TABLE p_left AS
WITH bare AS (SELECT u.* FROM p_unmatched AS u WHERE (u.connection, u.record_id) IN ({{filled}})),
gone AS (
    SELECT id, nullif(trim(cross_id), '') AS cross_id, master_id IS NOT NULL AS merged FROM p_version
    WHERE connection = {{home}} AND (gone OR master_id IS NOT NULL)
), led AS (
    SELECT b.record_id, g.merged FROM bare AS b JOIN gone AS g ON g.cross_id = b.record_id
    UNION ALL SELECT b.record_id, g.merged FROM bare AS b JOIN gone AS g ON g.id = b.key_ WHERE b.why = 'unknown_cross_id'
    UNION ALL SELECT b.record_id, g.merged FROM bare AS b JOIN gone AS g ON left(g.id, {{short}}) = b.key_ WHERE b.why = 'unknown_cross_id'
), ended AS (SELECT record_id, CASE WHEN bool_or(merged) THEN 'account_merged' ELSE 'account_deleted' END AS why FROM led GROUP BY record_id)
SELECT b.connection, b.record_id, b.key_, coalesce(e.why, b.why) AS why FROM bare AS b LEFT JOIN ended AS e ON e.record_id = b.record_id;
