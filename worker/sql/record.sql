-- name: books
-- One row per record that has a change: what became of it. A record that was to be sent has the state of its (newest) result; one that was not sent
-- is held, invalid or rejected (refused before, same value). Null = it was to be sent and has no result.
CREATE OR REPLACE TEMP TABLE books AS
WITH changed AS (
    SELECT object, coalesce(record_id, external_key) AS record_key, bool_or(disposition = 'send') AS sent, bool_or(disposition = 'held') AS held,
           bool_or(disposition = 'invalid') AS invalid
    FROM changes GROUP BY ALL
), answered AS (
    -- a new record is known by its key before it has an id
    SELECT object, record_key, arg_max(state, filename) AS state FROM (
        SELECT object, record_id AS record_key, state, filename FROM results WHERE record_id IS NOT NULL
        UNION ALL SELECT object, external_key, state, filename FROM results WHERE external_key IS NOT NULL
    ) GROUP BY ALL
)
SELECT c.object, c.record_key,
       CASE WHEN NOT c.sent THEN CASE WHEN c.held THEN 'held' WHEN c.invalid THEN 'invalid' ELSE 'rejected' END
            WHEN a.state = 'gone' THEN 'superseded' ELSE a.state END AS state
FROM changed AS c LEFT JOIN answered AS a ON a.object = c.object AND a.record_key = c.record_key;

-- name: refused
-- What the CRM refused: per record, or per field where it named fields. `value` is what was to be written to the field; null for the whole record.
CREATE OR REPLACE TEMP TABLE refused AS
WITH listed AS (
    SELECT connection, object, coalesce(record_id, external_key) AS record_key, account_id, code, message, remedy, value_hash,
           unnest(CASE WHEN coalesce(fields, '') = '' THEN [''] ELSE string_split(fields, ',') END) AS field
    FROM (FROM results QUALIFY row_number() OVER (PARTITION BY object, coalesce(record_id, external_key) ORDER BY filename DESC) = 1) AS newest
    WHERE state = 'rejected'
)
SELECT DISTINCT l.connection, l.object, l.record_key, l.field, l.account_id, l.value_hash, coalesce(l.code, '') AS code, coalesce(l.message, '') AS text,
       coalesce(l.remedy, '') AS remedy, c.our_value AS value
FROM listed AS l LEFT JOIN changes AS c ON c.object = l.object AND coalesce(c.record_id, c.external_key) = l.record_key AND c.field = l.field;

-- name: invalid
-- What cannot fit the field, so was not sent.
SELECT object, coalesce(record_id, external_key) AS record_key, field, account_id, our_value, coalesce(why, '') AS why
FROM changes WHERE disposition = 'invalid' ORDER BY ALL;

-- name: settled
-- Of open letters (id, object, record_key, field): those whose record went through with that field, and with `{{all}}` those that no change concerns.
SELECT l.id FROM letters AS l WHERE EXISTS (
    SELECT 1 FROM books AS b JOIN changes AS c ON c.object = b.object AND coalesce(c.record_id, c.external_key) = b.record_key AND c.disposition = 'send'
    WHERE b.state = 'ok' AND b.object = l.object AND b.record_key = l.record_key AND l.field IN ('', c.field)
) OR ({{all}} AND NOT EXISTS (
    SELECT 1 FROM changes AS c WHERE c.object = l.object AND coalesce(c.record_id, c.external_key) = l.record_key AND l.field IN ('', c.field)
));
