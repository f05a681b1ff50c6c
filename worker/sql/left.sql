-- name: left
-- Living records of other connections that carry a value of ours and belong to no account now. Grain: connection and record.
-- `why`: that of p_unmatched, or account_deleted where the account it names, or that names it, is known to be gone.
CREATE OR REPLACE TEMP TABLE p_left AS
WITH gone AS (SELECT id, nullif(trim(cross_id), '') AS cross_id FROM p_version WHERE connection = {{home}} AND gone)
SELECT u.connection, u.record_id, u.key_,
       CASE WHEN EXISTS (FROM gone AS g WHERE u.record_id = g.cross_id OR (u.why = 'unknown_cross_id' AND u.key_ IN (g.id, left(g.id, {{short}}))))
            THEN 'account_deleted' ELSE u.why END AS why
FROM p_unmatched AS u WHERE (u.connection, u.record_id) IN ({{filled}});
