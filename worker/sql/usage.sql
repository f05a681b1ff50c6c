-- name: sources
-- What the feed of each source covers: first and last complete day. A day that is not over at `on` is not complete.
CREATE OR REPLACE TEMP TABLE j_source AS
SELECT s.source, s.kind, s.replaces, s.matches, s.max_lag_days, d.first_day, least(d.last_day, {{on}} - 1) AS last_day
FROM j_source_config AS s
LEFT JOIN (SELECT source, min(first_day) AS first_day, max(last_day) AS last_day FROM {{usage_file}} GROUP BY source) AS d ON d.source = s.source
WHERE d.source IS NOT NULL;

-- name: day_owner
-- replaces: day. Each (source, day) belongs to the file with the latest last day, then path.
CREATE OR REPLACE TEMP TABLE j_day_owner AS
SELECT f.source, d.day, arg_max(d.file_id, (f.last_day, f.path)) AS file_id
FROM {{usage_file_days}} AS d JOIN {{usage_file}} AS f ON f.file_id = d.file_id JOIN j_source AS s ON s.source = f.source
WHERE s.replaces = 'day' GROUP BY f.source, d.day;

-- name: tenant_day_owner
CREATE OR REPLACE TEMP TABLE j_tenant_day_owner AS
SELECT f.source, t.tenant_key, t.day, arg_max(t.file_id, (f.last_day, f.path)) AS file_id
FROM {{usage_tenant_day}} AS t JOIN {{usage_file}} AS f ON f.file_id = t.file_id JOIN j_source AS s ON s.source = f.source
WHERE s.replaces = 'tenant_day' AND {{tenants}} GROUP BY f.source, t.tenant_key, t.day;

-- name: day_masks
-- Which days of a 64-day block a file owns, as the bit mask that user rows are cut with.
CREATE OR REPLACE TEMP TABLE j_day_mask AS
SELECT file_id, NULL::VARCHAR AS tenant_key, CAST((day - DATE '1970-01-01') // 64 AS INTEGER) AS block,
       bit_or(CAST(1 AS UBIGINT) << CAST((day - DATE '1970-01-01') % 64 AS UBIGINT)) AS mask
FROM j_day_owner GROUP BY ALL
UNION ALL
SELECT file_id, tenant_key, CAST((day - DATE '1970-01-01') // 64 AS INTEGER),
       bit_or(CAST(1 AS UBIGINT) << CAST((day - DATE '1970-01-01') % 64 AS UBIGINT))
FROM j_tenant_day_owner GROUP BY ALL;

-- name: days_file
SELECT s.source, s.last_day AS feed_day, t.tenant_key, t.product, t.feature, t.day, t.events, t.seconds
FROM {{usage_tenant_day}} AS t JOIN {{usage_file}} AS f ON f.file_id = t.file_id JOIN j_source AS s ON s.source = f.source
WHERE s.kind = 'events' AND s.replaces NOT IN ('day', 'tenant_day') AND {{tenants}}

-- name: days_plain
-- One source whose every file counts: nothing to look up per row.
SELECT {{source}} AS source, {{feed_day}} AS feed_day, t.tenant_key, t.product, t.feature, t.day, t.events, t.seconds
FROM {{usage_tenant_day}} AS t WHERE {{tenants}}

-- name: days_day
SELECT s.source, s.last_day AS feed_day, t.tenant_key, t.product, t.feature, t.day, t.events, t.seconds
FROM {{usage_tenant_day}} AS t JOIN j_day_owner AS o ON o.file_id = t.file_id AND o.day = t.day JOIN j_source AS s ON s.source = o.source
WHERE s.kind = 'events' AND {{tenants}}

-- name: days_tenant_day
SELECT s.source, s.last_day AS feed_day, t.tenant_key, t.product, t.feature, t.day, t.events, t.seconds
FROM {{usage_tenant_day}} AS t
JOIN j_tenant_day_owner AS o ON o.file_id = t.file_id AND o.day = t.day AND o.tenant_key = t.tenant_key JOIN j_source AS s ON s.source = o.source
WHERE s.kind = 'events'

-- name: users_file
SELECT s.source, t.tenant_key, t.product, t.user_hash, t.block, t.days
FROM {{usage_user_days}} AS t JOIN {{usage_file}} AS f ON f.file_id = t.file_id JOIN j_source AS s ON s.source = f.source
WHERE s.kind = 'events' AND s.replaces NOT IN ('day', 'tenant_day') AND t.block BETWEEN {{first_block}} AND {{last_block}} AND {{tenants}}

-- name: users_plain
SELECT {{source}} AS source, t.tenant_key, t.product, t.user_hash, t.block, t.days
FROM {{usage_user_days}} AS t WHERE t.block BETWEEN {{first_block}} AND {{last_block}} AND {{tenants}}

-- name: users_day
SELECT s.source, t.tenant_key, t.product, t.user_hash, t.block, t.days & k.mask AS days
FROM {{usage_user_days}} AS t JOIN {{usage_file}} AS f ON f.file_id = t.file_id JOIN j_source AS s ON s.source = f.source
JOIN j_day_mask AS k ON k.file_id = t.file_id AND k.block = t.block AND k.tenant_key IS NULL
WHERE s.kind = 'events' AND s.replaces = 'day' AND t.block BETWEEN {{first_block}} AND {{last_block}} AND {{tenants}}

-- name: users_tenant_day
SELECT s.source, t.tenant_key, t.product, t.user_hash, t.block, t.days & k.mask AS days
FROM {{usage_user_days}} AS t JOIN {{usage_file}} AS f ON f.file_id = t.file_id JOIN j_source AS s ON s.source = f.source
JOIN j_day_mask AS k ON k.file_id = t.file_id AND k.block = t.block AND k.tenant_key = t.tenant_key
WHERE s.kind = 'events' AND s.replaces = 'tenant_day' AND t.block BETWEEN {{first_block}} AND {{last_block}} AND {{tenants}}

-- name: tenant_use
-- Grain: source, tenant, product, and feature where a row names no product (its contract line will) or features are to be counted; all windows in one
-- pass. Day masks count distinct days without a second pass, bits say which core features were used. CASE inside the sums, since FILTER makes a
-- selection of its own per sum, which costs a fifth more.
CREATE OR REPLACE TEMP TABLE j_tenant_use AS
SELECT d.source, d.tenant_key, d.product, {{feature}} AS feature,
       sum(CASE WHEN d.day > {{end}} - 28 THEN d.events END) AS events_28d,
       sum(CASE WHEN d.day BETWEEN {{end}} - 55 AND {{end}} - 28 THEN d.events END) AS events_prev_28d,
       sum(CASE WHEN d.day > {{end}} - 28 THEN d.seconds END) AS seconds_28d,
       sum(CASE WHEN d.day BETWEEN {{month}} AND {{month_end}} THEN d.events END) AS events_month,
       sum(CASE WHEN d.day BETWEEN {{prev_month}} AND {{month}} - 1 THEN d.events END) AS events_prev_month,
       sum(CASE WHEN d.day > {{end}} - 28 AND f.kind = 'core' THEN d.events END) AS core_28d,
       sum(CASE WHEN d.day > {{end}} - 28 AND f.kind = 'advanced' THEN d.events END) AS advanced_28d,
       bit_or(CASE WHEN d.day > {{end}} - 28 AND d.events > 0 THEN f.bit END) AS core_used,
       bit_or(CASE WHEN d.day > {{end}} - 28 AND d.events > 0 THEN CAST(1 AS UBIGINT) << CAST({{end}} - d.day AS UBIGINT) END) AS days_28d,
       max(CASE WHEN d.events > 0 THEN d.day END) AS last_used_on,
       coalesce(last_used_on > {{end}} - 14, false) AS used_14d
FROM ({{days}}) AS d LEFT JOIN j_feature AS f ON f.product = d.product AND f.feature = d.feature
WHERE d.day <= {{end}} AND d.day <= d.feed_day GROUP BY ALL;

-- name: user_flags
-- Grain: account (by its number), product, user; bit 1 = active in 28 days, 2 = in the 28 before, 4 = in 14 days.
-- One user in two contracts or sources of an account is one person. The product is the row's own, else the contract line's.
CREATE OR REPLACE TEMP TABLE j_user_flag AS
SELECT t.n, coalesce(u.product, t.line_product) AS product, u.user_hash,
       bit_or(CASE WHEN u.days & {{mask_28d}} <> 0 THEN 1 ELSE 0 END | CASE WHEN u.days & {{mask_prev}} <> 0 THEN 2 ELSE 0 END
              | CASE WHEN u.days & {{mask_14d}} <> 0 THEN 4 ELSE 0 END) AS flags
FROM ({{users}}) AS u JOIN j_tenant AS t ON t.source = u.source AND t.tenant_key = u.tenant_key
WHERE t.acct IS NOT NULL AND u.days & ({{mask_28d}} | {{mask_prev}}) <> 0 GROUP BY ALL;

-- name: snapshots
-- Grain: source, tenant, product, metric: the latest fact not after `on`.
CREATE OR REPLACE TEMP TABLE j_snapshot AS
SELECT s.source, t.tenant_key, t.product, t.metric, arg_max(t.value, (t.occurred_at, f.last_day, f.path)) AS value, max(t.occurred_at) AS occurred_on
FROM {{usage_snapshot}} AS t JOIN {{usage_file}} AS f ON f.file_id = t.file_id JOIN j_source AS s ON s.source = f.source
WHERE s.kind = 'snapshot' AND t.occurred_at <= {{on}} AND {{tenants}} GROUP BY ALL;

-- name: match_keys
-- Declared keys only. A key that two accounts carry matches nobody: it is listed, never guessed. `n` numbers the accounts: a short key to group by.
CREATE OR REPLACE TEMP TABLE j_match AS
WITH claimed AS (
    SELECT 'account' AS matches, match_key AS tenant_key, min(id) AS acct, count(DISTINCT id) AS claimants, NULL::VARCHAR AS product
    FROM j_account WHERE match_key IS NOT NULL GROUP BY match_key
    UNION ALL
    SELECT 'contract', match_key, min(acct), count(DISTINCT acct), CASE WHEN count(DISTINCT product) = 1 THEN min(product) END
    FROM j_line WHERE match_key IS NOT NULL AND acct IN (SELECT id FROM j_account) GROUP BY match_key
)
SELECT *, CAST(dense_rank() OVER (ORDER BY acct) AS INTEGER) AS n FROM claimed;

-- name: tenants
CREATE OR REPLACE TEMP TABLE j_tenant AS
WITH seen AS (
    SELECT source, tenant_key, sum(events_28d) AS events_28d, max(last_used_on) AS last_used_on FROM j_tenant_use GROUP BY ALL
    UNION ALL
    SELECT source, tenant_key, NULL, max(occurred_on) FROM j_snapshot GROUP BY ALL
)
SELECT s.source, c.kind, s.tenant_key, CASE WHEN m.claimants = 1 THEN m.acct END AS acct, m.n, m.product AS line_product, c.first_day, c.last_day,
       CASE WHEN s.tenant_key IS NULL THEN 'no key' WHEN m.claimants > 1 THEN 'ambiguous' WHEN m.acct IS NULL THEN 'unknown key' END AS why,
       s.events_28d, s.last_used_on
FROM seen AS s JOIN j_source AS c ON c.source = s.source LEFT JOIN j_match AS m ON m.matches = c.matches AND m.tenant_key = s.tenant_key;

-- name: numbers
CREATE OR REPLACE TEMP TABLE j_number AS SELECT DISTINCT acct, n FROM j_match WHERE claimants = 1;

-- name: unmatched
CREATE OR REPLACE TEMP TABLE usage_unmatched AS
SELECT source, tenant_key, why, CAST(events_28d AS BIGINT) AS events_28d, last_used_on FROM j_tenant WHERE acct IS NULL
ORDER BY source, tenant_key NULLS FIRST;

-- name: used
-- Grain: account, product, feature (null = of all, see tenant_use). The product is the row's own, else the contract line's that the key belongs to.
CREATE OR REPLACE TEMP TABLE j_used AS
SELECT t.acct, coalesce(u.product, t.line_product) AS product, u.feature,
       sum(u.events_28d) AS events_28d, sum(u.events_prev_28d) AS events_prev_28d, sum(u.seconds_28d) AS seconds_28d,
       sum(u.events_month) AS events_month, sum(u.events_prev_month) AS events_prev_month, bit_or(u.days_28d) AS days_28d,
       sum(CASE WHEN u.product IS NOT NULL THEN u.core_28d WHEN f.kind = 'core' THEN u.events_28d END) AS core_28d,
       sum(CASE WHEN u.product IS NOT NULL THEN u.advanced_28d WHEN f.kind = 'advanced' THEN u.events_28d END) AS advanced_28d,
       bit_or(CASE WHEN u.product IS NOT NULL THEN u.core_used WHEN u.events_28d > 0 THEN f.bit END) AS core_used,
       bool_or(u.used_14d) AS used_14d, max(u.last_used_on) AS last_used_on
FROM j_tenant_use AS u JOIN j_tenant AS t ON t.source = u.source AND t.tenant_key = u.tenant_key
LEFT JOIN j_feature AS f ON f.product = CASE WHEN u.product IS NULL THEN t.line_product END AND f.feature = u.feature
WHERE t.acct IS NOT NULL AND t.kind = 'events' GROUP BY ALL;

-- name: usage_facts
CREATE OR REPLACE TEMP TABLE j_usage_facts AS
WITH fed AS (SELECT acct, max(first_day) AS first_day FROM j_tenant WHERE acct IS NOT NULL AND kind = 'events' GROUP BY acct),
summed AS (
    SELECT u.acct, sum(events_28d) AS events_28d, sum(events_prev_28d) AS events_prev_28d, sum(seconds_28d) AS seconds_28d,
           sum(events_month) AS events_month, sum(events_prev_month) AS events_prev_month, bit_or(days_28d) AS days_28d,
           {{features}} AS features_14d, max(last_used_on) AS last_used_on,
           sum(core_28d) FILTER (o.owned) AS core_events_28d, sum(advanced_28d) AS advanced_events_28d
    FROM j_used AS u LEFT JOIN j_owned AS o ON o.acct = u.acct AND o.product = u.product
    GROUP BY u.acct
)
SELECT d.first_day, s.* FROM summed AS s JOIN fed AS d ON d.acct = s.acct;

-- name: user_facts
CREATE OR REPLACE TEMP TABLE j_user_facts AS
WITH person AS (SELECT n, user_hash, bit_or(flags) AS flags FROM j_user_flag GROUP BY ALL),
counted AS (
    SELECT n, count(*) FILTER (flags & 1 <> 0) AS active_users_28d, count(*) FILTER (flags & 2 <> 0) AS active_users_prev_28d,
           count(*) FILTER (flags & 4 <> 0) AS active_users_14d
    FROM person GROUP BY n
)
SELECT a.acct, c.* EXCLUDE (n) FROM counted AS c JOIN j_number AS a ON a.n = c.n;

-- name: product_usage_facts
CREATE OR REPLACE TEMP TABLE j_product_usage AS
WITH summed AS (
    SELECT acct, product, sum(events_28d) AS events_28d, sum(core_28d) AS core_events_28d, sum(advanced_28d) AS advanced_events_28d
    FROM j_used GROUP BY ALL
), counted AS (
    SELECT a.acct, u.product, count(*) FILTER (u.flags & 1 <> 0) AS users_28d, count(*) FILTER (u.flags & 2 <> 0) AS users_prev_28d
    FROM j_user_flag AS u JOIN j_number AS a ON a.n = u.n GROUP BY ALL
)
SELECT acct, product, events_28d, core_events_28d, advanced_events_28d, users_28d, users_prev_28d
FROM summed FULL JOIN counted USING (acct, product);

-- name: setup_facts
CREATE OR REPLACE TEMP TABLE j_setup_facts AS
SELECT t.acct, CAST(sum(s.value) FILTER (s.metric = 'setup_steps_done') AS BIGINT) AS setup_steps_done,
       CAST(sum(s.value) FILTER (s.metric = 'setup_steps_total') AS BIGINT) AS setup_steps_total, max(s.occurred_on) AS setup_as_of
FROM j_snapshot AS s JOIN j_tenant AS t ON t.source = s.source AND t.tenant_key = s.tenant_key
LEFT JOIN j_owned AS o ON o.acct = t.acct AND o.product = coalesce(s.product, t.line_product)
WHERE t.acct IS NOT NULL AND s.metric IN ('setup_steps_done', 'setup_steps_total') AND (coalesce(s.product, t.line_product) IS NULL OR o.owned)
GROUP BY t.acct;

-- name: outside_contract
-- Reported, not taken out: usage keyed by a contract line on days the line does not cover.
SELECT count(*) FROM ({{days}}) AS u JOIN j_source AS s ON s.source = u.source
JOIN j_line AS l ON l.match_key = u.tenant_key
WHERE s.matches = 'contract' AND (u.day < l.starts_on OR u.day > coalesce(l.churned_on, l.ends_on));
