-- name: sides
-- Living accounts of every connection with their keys. Grain: connection and record.
CREATE OR REPLACE TEMP TABLE p_side AS
SELECT connection, id, nullif(trim(cross_id), '') AS cross_id,
       nullif(rtrim(regexp_replace(regexp_replace(lower(trim(domain)), '^([a-z]+://)?([^/]*@)?(www\.)?', ''), '[/:?#].*$', ''), '.'), '') AS domain
FROM p_version WHERE NOT gone AND master_id IS NULL;

-- name: masters
-- Merged-away account -> the survivor at the end of its chain, at most 20 deep, in every connection.
CREATE OR REPLACE TEMP TABLE p_master AS
WITH RECURSIVE merged AS (SELECT connection, id, master_id FROM p_version WHERE master_id IS NOT NULL AND master_id <> id GROUP BY ALL),
chain(connection, id, master_id, depth) AS (
    SELECT connection, id, master_id, 1 FROM merged
    UNION
    SELECT c.connection, c.id, m.master_id, c.depth + 1 FROM chain AS c JOIN merged AS m ON m.connection = c.connection AND m.id = c.master_id WHERE c.depth < 20
)
SELECT connection, id, arg_max(master_id, depth) AS master_id FROM chain GROUP BY connection, id;

-- name: aliases
-- Every id that names a living account: its own, those merged into it, and their short forms (a field may keep the first {{short}} characters).
-- `own`: the id is its own, not that of one merged into it.
CREATE OR REPLACE TEMP TABLE p_alias AS
WITH named AS (
    SELECT connection, id AS alias, id, true AS own FROM p_side
    UNION ALL
    SELECT m.connection, m.id, s.id, false FROM p_master AS m JOIN p_side AS s ON s.connection = m.connection AND s.id = m.master_id
)
SELECT connection, alias, id, bool_or(own) AS own
FROM (FROM named UNION ALL SELECT connection, left(alias, {{short}}), id, own FROM named WHERE length(alias) = {{long}}) GROUP BY connection, alias, id;

-- name: crossed
-- Pairs that a cross-reference id declares, in either direction, with how many others each side is in. After a merge two records may lead to one
-- account: the one that names it by its own id is its record, and one that names an account merged into it is left without.
CREATE OR REPLACE TEMP TABLE p_crossed AS
WITH named AS (
    SELECT s.connection, h.id AS account_id, s.id AS record_id, h.own
    FROM p_side AS s JOIN p_alias AS h ON h.connection = {{home}} AND h.alias = s.cross_id WHERE s.connection IN ({{by_cross_id}})
    UNION
    SELECT a.connection, s.id, a.id, a.own
    FROM p_side AS s JOIN p_alias AS a ON a.connection IN ({{by_cross_id}}) AND a.alias = s.cross_id WHERE s.connection = {{home}}
), pair AS (
    SELECT DISTINCT connection, account_id, record_id FROM named
    QUALIFY own OR NOT (bool_or(own) OVER (PARTITION BY connection, account_id) OR bool_or(own) OVER (PARTITION BY connection, record_id))
)
SELECT *, count(*) OVER (PARTITION BY connection, account_id) AS records, count(*) OVER (PARTITION BY connection, record_id) AS accounts FROM pair;

-- name: domains
-- Grain: connection and domain. A domain of several accounts, or of a mail provider, says nothing of who one of them is.
CREATE OR REPLACE TEMP TABLE p_domain AS
SELECT s.connection, s.domain, count(*) AS n, min(s.id) AS id, list(s.id ORDER BY s.id)[:10] AS ids,
       s.domain IN (SELECT domain FROM p_free_mail) AS is_free
FROM p_side AS s WHERE s.domain IS NOT NULL GROUP BY s.connection, s.domain;

-- name: pairs
-- The same company in two connections. Grain: other connection and account; no record is in two pairs. By domain only who has no cross-reference.
CREATE OR REPLACE TEMP TABLE p_pair AS
WITH referring AS (
    SELECT connection, account_id AS id FROM p_crossed
    UNION SELECT o.connection, s.id FROM p_side AS s, (SELECT DISTINCT connection FROM p_side WHERE connection <> {{home}}) AS o
          WHERE s.connection = {{home}} AND s.cross_id IS NOT NULL AND s.id NOT IN (SELECT account_id FROM p_crossed)
    UNION SELECT connection, record_id FROM p_crossed
    UNION SELECT connection, id FROM p_side WHERE connection <> {{home}} AND cross_id IS NOT NULL
)
SELECT connection, account_id, record_id, 'cross_id' AS matched_by FROM p_crossed WHERE records = 1 AND accounts = 1
UNION ALL
SELECT o.connection, h.id, o.id, 'domain'
FROM p_domain AS h JOIN p_domain AS o ON o.domain = h.domain AND o.connection IN ({{by_domain}})
WHERE h.connection = {{home}} AND h.n = 1 AND o.n = 1 AND NOT h.is_free
  AND NOT EXISTS (FROM referring AS r WHERE r.connection = o.connection AND r.id = h.id)
  AND NOT EXISTS (FROM referring AS r WHERE r.connection = o.connection AND r.id = o.id);

-- name: keys
-- Id of another connection, also of a record merged away -> the account. Grain: connection and id.
CREATE OR REPLACE TEMP TABLE p_key AS
SELECT a.connection, a.alias AS record_id, p.account_id FROM p_alias AS a JOIN p_pair AS p ON p.connection = a.connection AND p.record_id = a.id;

-- name: unmatched
-- Living accounts without a counterpart. Grain: connection of the record, record, connection looked in. `candidates`: who it might be, at most ten.
CREATE OR REPLACE TEMP TABLE p_unmatched AS
WITH looked AS (
    SELECT s.*, {{home}} AS looked_in, s.connection AS other FROM p_side AS s WHERE s.connection <> {{home}}
    UNION ALL
    SELECT s.*, o.connection, o.connection FROM p_side AS s, (SELECT DISTINCT connection FROM p_side WHERE connection <> {{home}}) AS o
    WHERE s.connection = {{home}}
), paired AS (
    SELECT connection AS other, account_id AS id FROM p_pair UNION ALL SELECT connection, record_id FROM p_pair
), crossed AS (
    SELECT connection AS other, account_id AS id, list(record_id ORDER BY record_id)[:10] AS ids FROM p_crossed GROUP BY ALL
    UNION ALL
    SELECT connection, record_id, list(account_id ORDER BY account_id)[:10] FROM p_crossed GROUP BY ALL
)
SELECT l.connection, l.id AS record_id, l.looked_in,
       CASE WHEN c.id IS NOT NULL THEN 'ambiguous_cross_id' WHEN l.cross_id IS NOT NULL THEN 'unknown_cross_id'
            WHEN l.domain IS NULL THEN 'no_key' WHEN mine.is_free THEN 'free_mail'
            WHEN theirs.domain IS NOT NULL AND (mine.n > 1 OR theirs.n > 1) THEN 'shared_domain'
            ELSE 'no_counterpart' END AS why,
       CASE WHEN c.id IS NOT NULL OR l.cross_id IS NOT NULL THEN l.cross_id ELSE l.domain END AS key_,
       CASE WHEN c.id IS NOT NULL THEN c.ids WHEN l.cross_id IS NULL AND NOT mine.is_free THEN theirs.ids END AS candidates
FROM looked AS l
LEFT JOIN crossed AS c ON c.other = l.other AND c.id = l.id
LEFT JOIN p_domain AS mine ON mine.connection = l.connection AND mine.domain = l.domain
LEFT JOIN p_domain AS theirs ON theirs.connection = l.looked_in AND theirs.domain = l.domain
WHERE NOT EXISTS (FROM paired AS p WHERE p.other = l.other AND p.id = l.id);

-- name: counts
-- One row per other connection: how many pairs and how they were found, and who is left.
SELECT o.connection, (SELECT count(*) FROM p_pair AS p WHERE p.connection = o.connection AND p.matched_by = 'cross_id') AS by_cross_id,
       (SELECT count(*) FROM p_pair AS p WHERE p.connection = o.connection AND p.matched_by = 'domain') AS by_domain,
       (SELECT count(*) FROM p_unmatched AS u WHERE u.connection = o.connection) AS records_unmatched,
       (SELECT count(*) FROM p_unmatched AS u WHERE u.looked_in = o.connection) AS accounts_unmatched,
       (SELECT count(*) FROM p_unmatched AS u WHERE o.connection IN (u.connection, u.looked_in) AND u.why IN ('ambiguous_cross_id', 'shared_domain')) AS ambiguous
FROM (SELECT unnest({{others}}) AS connection) AS o ORDER BY o.connection;

-- name: rekeyed
-- An entity's rows with the account's id in the place of the other connection's. Rows of a company that has no counterpart belong to nobody.
SELECT r.* REPLACE ({{replaced}}) FROM {{relation}} AS r {{joins}} WHERE r.connection IN ({{suppliers}})
