-- name: newer_writes
-- Our acknowledged writes that the pulled row does not show yet, one row per record and field: the newest.
CREATE OR REPLACE TEMP TABLE f_newer AS
SELECT w.record_id, w.field, arg_max({'value': w.value}, (w.written_at, w.as_of, w.item_id)).value AS value
FROM {{writes}} AS w JOIN f_record AS r ON r.record_id = w.record_id
WHERE w.object = {{object}} AND w.state = 'acknowledged' AND w.written_at > r.read_at GROUP BY ALL;

-- name: overlay
-- The same, one row per record: for each field whether there is a newer value, and which.
CREATE OR REPLACE TEMP TABLE f_overlay AS SELECT record_id{{columns}} FROM f_newer GROUP BY record_id;

-- name: written
-- When we last wrote a field that must not grow too old, one row per record.
CREATE OR REPLACE TEMP TABLE f_written AS
SELECT record_id{{columns}} FROM {{writes}} WHERE object = {{object}} AND state = 'acknowledged' AND field IN ({{fields}}) GROUP BY record_id;

-- name: pair_accounts
SELECT r.record_id, NULL::VARCHAR AS external_key, d.account_id, d.state = 'frozen' AS frozen, d.state = 'out' AS out_, false AS echo{{columns}}
FROM {{ours}} AS d JOIN f_record AS r ON r.record_id = d.{{key}}
LEFT JOIN f_overlay AS v ON v.record_id = r.record_id LEFT JOIN f_written AS w ON w.record_id = r.record_id

-- name: pair_csqls
-- A record that exists is desired from what was pulled: a value equal to the pulled one is no wish of ours.
SELECT r.record_id, d.external_key, d.account_id, false AS frozen, false AS out_, r.record_id IS NOT NULL AS echo{{columns}}
FROM csql_desired AS d LEFT JOIN f_record AS r ON r.record_id = d.record_id
LEFT JOIN f_overlay AS v ON v.record_id = r.record_id LEFT JOIN f_written AS w ON w.record_id = r.record_id
WHERE d.record_id IS NULL OR r.record_id IS NOT NULL

-- name: compare
-- One pass over the pairs; only rows with a difference are taken apart into fields.
CREATE OR REPLACE TEMP TABLE {{change}} AS
SELECT record_id, external_key, account_id, change.field AS field, change.base AS crm_value, change.ours AS our_value, change.mode AS mode,
       change.invalid AS invalid
FROM (SELECT record_id, external_key, account_id, unnest(list_filter([{{changes}}], lambda x: x IS NOT NULL)) AS change
      FROM ({{pair}}) WHERE {{any}});

-- name: free_changes
-- Grain: record and field, with the columns of CHANGES. Nothing is held and nothing was refused: only what does not fit is kept back.
-- What rides along goes only with a change that is sent.
WITH moving AS (
    SELECT record_id, external_key FROM {{change}} WHERE mode <> 'ride_along' AND invalid IS NULL GROUP BY ALL
)
SELECT {{object}} AS object, c.record_id, c.external_key, c.account_id, c.field, c.crm_value, c.our_value,
       CASE WHEN c.mode = 'aged' THEN 'ride_along' ELSE c.mode END AS mode, CASE WHEN c.invalid IS NULL THEN 'send' ELSE 'invalid' END AS disposition,
       coalesce(c.invalid, CASE WHEN c.mode = 'aged' THEN 'refreshed by age' END) AS why, {{connection}} AS connection
FROM {{change}} AS c
WHERE c.mode <> 'ride_along' OR EXISTS (FROM moving AS m WHERE m.record_id IS NOT DISTINCT FROM c.record_id AND m.external_key IS NOT DISTINCT FROM c.external_key);

-- name: changes
WITH said AS (
    SELECT c.*, h.record_id IS NOT NULL AS held, h.crm_value AS held_value, j.field IS NOT NULL AS refused
    FROM {{change}} AS c
    LEFT JOIN {{held}} AS h ON h.connection IN ('', {{connection}}) AND h.object = {{object}} AND h.record_id = c.record_id AND h.field = c.field
    LEFT JOIN {{rejected}} AS j ON j.connection = {{connection}} AND j.object = {{object}} AND j.record_key = coalesce(c.record_id, c.external_key) AND j.field = c.field
         AND j.value_hash = sha256('{"' || c.field || '": ' || coalesce(CAST(to_json(c.our_value) AS VARCHAR), 'null') || '}')
), disposed AS (
    SELECT *, CASE WHEN held THEN 'held' WHEN invalid IS NOT NULL THEN 'invalid' WHEN refused THEN 'rejected_before' ELSE 'send' END AS disposition
    FROM said
), moving AS (
    -- what rides along goes only with a change that is sent, or when it is too old itself
    SELECT *, bool_or(disposition = 'send' AND mode <> 'ride_along') OVER (PARTITION BY coalesce(record_id, external_key)) AS moves FROM disposed
), kept AS (SELECT * FROM moving WHERE mode <> 'ride_along' OR moves),
whole AS (
    SELECT coalesce(k.record_id, k.external_key) AS record_key,
           sha256('{' || string_agg('"' || k.field || '": ' || coalesce(CAST(to_json(k.our_value) AS VARCHAR), 'null'), ', ' ORDER BY k.field) || '}') AS value_hash
    FROM kept AS k WHERE k.disposition = 'send'
      AND coalesce(k.record_id, k.external_key) IN (SELECT record_key FROM {{rejected}} WHERE connection = {{connection}} AND object = {{object}} AND field = '') GROUP BY 1
), refused AS (
    SELECT w.record_key FROM whole AS w JOIN {{rejected}} AS j ON j.connection = {{connection}} AND j.object = {{object}} AND j.field = '' AND j.record_key = w.record_key
         AND j.value_hash = w.value_hash
)
SELECT {{object}} AS object, k.record_id, k.external_key, k.account_id, k.field, k.crm_value, k.our_value,
       CASE WHEN k.mode = 'aged' THEN 'ride_along' ELSE k.mode END AS mode,
       CASE WHEN k.disposition = 'send' AND r.record_key IS NOT NULL THEN 'rejected_before' ELSE k.disposition END AS disposition,
       CASE WHEN k.disposition = 'held' THEN 'a person changed it' WHEN k.disposition = 'invalid' THEN k.invalid
            WHEN k.disposition = 'rejected_before' OR r.record_key IS NOT NULL THEN 'the CRM refused this value before' WHEN k.mode = 'aged' THEN 'refreshed by age' END AS why,
       {{connection}} AS connection
FROM kept AS k LEFT JOIN refused AS r ON r.record_key = coalesce(k.record_id, k.external_key);
