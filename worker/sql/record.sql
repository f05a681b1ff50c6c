-- name: results
-- The newest word on each record (field '') and field; a record may have been through several rounds. A new one is known by its key before its id.
CREATE OR REPLACE TEMP TABLE results AS
SELECT *, coalesce(record_id, external_key) AS record_key FROM {{results}}
QUALIFY row_number() OVER (PARTITION BY object, coalesce(external_key, record_id), field ORDER BY filename DESC) = 1;

-- name: books
-- One row per record that has a change: its end. Null = write_back said nothing of it.
CREATE OR REPLACE TEMP TABLE books AS
WITH changed AS (
    SELECT DISTINCT connection, object, coalesce(external_key, record_id) AS known_by, coalesce(record_id, external_key) AS record_key FROM changes
)
SELECT c.connection, c.object, c.record_key, r.state
FROM changed AS c LEFT JOIN results AS r ON r.object = c.object AND r.field = '' AND coalesce(r.external_key, r.record_id) = c.known_by;

-- name: letters
SELECT connection, object, record_key, field, account_id, value_hash, code, text FROM results WHERE letter ORDER BY ALL;

-- name: settled
-- Of open letters (id, object, record_key, field): those whose record went through with that field, and with `{{all}}` those that no change concerns.
SELECT l.id FROM letters AS l WHERE EXISTS (
    SELECT 1 FROM books AS b JOIN changes AS c ON c.object = b.object AND coalesce(c.record_id, c.external_key) = b.record_key AND c.disposition = 'send'
    WHERE b.state = 'ok' AND b.object = l.object AND b.record_key = l.record_key AND l.field IN ('', c.field)
) OR ({{all}} AND NOT EXISTS (
    SELECT 1 FROM changes AS c WHERE c.object = l.object AND coalesce(c.record_id, c.external_key) = l.record_key AND l.field IN ('', c.field)
));
