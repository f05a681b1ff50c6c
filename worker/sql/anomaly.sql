-- name: totals
-- Grain: account (by its number) and product ('' = the export names none): use per window, s0, s1 … in the order of a_slot's bits, and the first day of
-- use in the windows of each rhythm. One pass over the days that keeps no row: whom to look at closely is decided on these.
CREATE OR REPLACE TEMP TABLE a_total AS
SELECT t.n, k.k, {{sums}},
       min(u.day) FILTER (m.mask & {{daily}} <> 0) AS first_daily, min(u.day) FILTER (m.mask & {{monthly_close}} <> 0) AS first_monthly_close
FROM ({{days}}) AS u JOIN a_mask AS m ON m.day = u.day JOIN j_tenant AS t ON t.source = u.source AND t.tenant_key = u.tenant_key
JOIN a_key AS k ON k.product = coalesce(u.product, t.line_product, '')
WHERE t.acct IS NOT NULL AND t.kind = 'events' AND u.day BETWEEN {{first}} AND {{end}} AND u.day <= u.feed_day AND u.events > 0 GROUP BY ALL;

-- name: candidates
-- Who could be low at all. `low` of `judged` is never above the tenth percentile of the window's totals (it is that percentile over the usual one, times
-- the usual one), so whoever is not below `share` of it, and by more than chance, is not low. An event of its own takes windows out: looked at closely.
CREATE OR REPLACE TEMP TABLE a_candidate AS
WITH past AS (
    SELECT t.n, k.k, g.rhythm, {{now}} AS now_, {{tenth}} AS tenth
    FROM a_total AS t JOIN a_key AS k ON k.k = t.k JOIN a_product AS g ON g.product = k.product
)
SELECT n, k, rhythm FROM past WHERE now_ < {{share}} * tenth * (1 + 1e-9) AND tenth - {{sigmas}} * sqrt(tenth) > now_ * (1 - 1e-9) - 1e-6
UNION
SELECT t.n, t.k, g.rhythm FROM a_total AS t JOIN a_key AS k ON k.k = t.k JOIN a_product AS g ON g.product = k.product JOIN j_number AS a ON a.n = t.n
JOIN a_mute AS m ON coalesce(m.account_id, a.acct) = a.acct AND coalesce(m.product, g.product) = g.product
UNION
SELECT a.n, k.k, e.rhythm FROM a_earlier AS e JOIN j_number AS a ON a.acct = e.account_id JOIN a_key AS k ON k.product = e.product WHERE e.newest.active;

-- name: used
-- Every row of use of the candidates in the days looked at, narrow: account number, number of the product, day, events.
CREATE OR REPLACE TEMP TABLE a_used AS
SELECT t.n, k.k, u.day, u.events
FROM ({{days}}) AS u
JOIN (FROM j_tenant WHERE n IN (SELECT n FROM a_candidate)) AS t ON t.source = u.source AND t.tenant_key = u.tenant_key
JOIN a_key AS k ON k.product = coalesce(u.product, t.line_product, '')
WHERE t.acct IS NOT NULL AND t.kind = 'events' AND u.day BETWEEN {{first}} AND {{end}} AND u.day <= u.feed_day AND u.events > 0
  AND EXISTS (FROM a_candidate AS c WHERE c.n = t.n AND c.k = k.k);

-- name: pairs
-- Grain: account (by its number), product, rhythm it is judged by, slot and place; of one share of the accounts.
CREATE OR REPLACE TEMP TABLE a_use AS
SELECT u.n, g.product, s.rhythm, s.slot, s.place, CAST(sum(u.events) AS DOUBLE) AS events, min(u.day) AS first_day
FROM a_used AS u JOIN a_key AS k ON k.k = u.k JOIN a_day AS s ON s.day = u.day JOIN a_product AS g ON g.product = k.product AND g.rhythm = s.rhythm
JOIN a_candidate AS c ON c.n = u.n AND c.k = u.k AND c.rhythm = s.rhythm
WHERE u.n % {{shares}} = {{share_no}} GROUP BY ALL;

-- name: earlier
-- What earlier runs left per account and product: its newest row.
CREATE OR REPLACE TEMP TABLE a_earlier AS
SELECT account_id, product, rhythm, arg_max({'active': active, 'since_on': since_on, 'normal': normal, 'low': low}, (on_, as_of)) AS newest
FROM {{history}} WHERE on_ <= {{on}} GROUP BY ALL;

-- name: slots
-- Grain: account, product, slot. A slot without a row is a slot without use, once the account had begun; before that it is none.
-- Slots that a declared event of the account or product touches are left out.
CREATE OR REPLACE TEMP TABLE a_slot_use AS
WITH pair AS (
    SELECT u.n, u.product, u.rhythm, min(u.first_day) AS first_day FROM a_use AS u GROUP BY ALL
), wanted AS (
    SELECT p.n, p.product, p.rhythm, s.slot, s.first_day, s.last_day, s.places, a.acct
    FROM pair AS p JOIN a_slot AS s ON s.rhythm = p.rhythm JOIN j_number AS a ON a.n = p.n
    WHERE s.slot = 0 OR (s.slot > 0 AND s.first_day >= p.first_day)
), free AS (
    SELECT w.*, EXISTS (FROM a_mute AS m WHERE coalesce(m.account_id, w.acct) = w.acct AND coalesce(m.product, w.product) = w.product
                          AND m.first_day <= w.last_day AND m.last_day >= w.first_day) AS muted FROM wanted AS w
), used AS (
    SELECT n, product, rhythm, slot, {{sums}} FROM a_use WHERE slot >= 0 GROUP BY ALL
)
SELECT f.acct, f.product, f.rhythm, f.slot, f.muted, {{places}}
FROM free AS f LEFT JOIN used AS u ON u.n = f.n AND u.product = f.product AND u.rhythm = f.rhythm AND u.slot = f.slot WHERE f.slot = 0 OR NOT f.muted;

-- name: judged
-- Grain: account, product, rhythm. `normal`: what this window usually holds, weekday by weekday (daily), or one usual close (monthly_close).
-- `low`: what is already low for this account: its tenth percentile, or three robust deviations below its middle, whichever is less.
CREATE OR REPLACE TEMP TABLE a_judged_part AS
WITH weekday AS (
    SELECT acct, product, rhythm, {{medians}} FROM a_slot_use WHERE slot > 0 GROUP BY ALL
), level AS (
    SELECT s.acct, s.product, s.rhythm, s.slot, s.muted, {{sum_e}} AS events,
           CASE WHEN s.rhythm = 'daily' THEN {{sum_m}} ELSE w.m1 END AS usual
    FROM a_slot_use AS s JOIN weekday AS w ON w.acct = s.acct AND w.product = s.product AND w.rhythm = s.rhythm
), ratio AS (SELECT *, events / nullif(usual, 0) AS r FROM level WHERE slot > 0),
spread AS (
    SELECT acct, product, rhythm, count(r) AS slots, median(r) AS middle, quantile_cont(r, 0.1) AS tenth, mad(r) AS deviation FROM ratio GROUP BY ALL
), today AS (
    SELECT l.acct, l.product, l.rhythm, l.muted, l.events AS now_, l.usual AS normal,
           CASE WHEN p.slots >= CASE WHEN l.rhythm = 'daily' THEN 6 ELSE 3 END
                THEN greatest(0, least(1, p.tenth, p.middle - 3 * 1.4826 * p.deviation)) * l.usual END AS low
    FROM level AS l JOIN spread AS p ON p.acct = l.acct AND p.product = l.product AND p.rhythm = l.rhythm WHERE l.slot = 0
)
SELECT t.*, coalesce(NOT t.muted AND t.now_ < {{share}} * t.low AND t.low - t.now_ > {{sigmas}} * sqrt(t.low), false) AS bad,
       coalesce({{since}}, {{end}}) AS since_on
FROM today AS t JOIN a_slot_use AS s ON s.acct = t.acct AND s.product = t.product AND s.rhythm = t.rhythm AND s.slot = 0
JOIN weekday AS w ON w.acct = t.acct AND w.product = t.product AND w.rhythm = t.rhythm;

-- name: kept_judged
-- What `states` asks for: what is low, or was when last looked at.
SELECT j.* FROM a_judged_part AS j
WHERE j.bad OR EXISTS (FROM a_earlier AS e WHERE e.newest.active AND e.account_id = j.acct AND e.product = j.product AND e.rhythm = j.rhythm)

-- name: kept_now
SELECT s.acct, s.product, s.rhythm, s.muted, {{sum_e}} AS now_ FROM a_slot_use AS s
WHERE s.slot = 0 AND (EXISTS (FROM a_judged_part AS j WHERE j.bad AND j.acct = s.acct AND j.product = s.product AND j.rhythm = s.rhythm)
       OR EXISTS (FROM a_earlier AS e WHERE e.newest.active AND e.account_id = s.acct AND e.product = s.product AND e.rhythm = s.rhythm))

-- name: done
DROP TABLE a_total; DROP TABLE a_candidate; DROP TABLE a_used; DROP TABLE a_use; DROP TABLE a_slot_use; DROP TABLE a_judged_part;

-- name: states
-- Grain: account in scope and product owned whose use is low, or was when last looked at. While it is low, the level it is measured against stays
-- that of the day it began, so that a low that lasts does not become its own normal.
CREATE OR REPLACE TEMP TABLE a_state AS
WITH pair AS (
    SELECT acct, product, rhythm FROM a_judged WHERE bad UNION SELECT account_id, product, rhythm FROM a_earlier WHERE newest.active
), known AS (
    SELECT p.acct, p.product, p.rhythm, e.newest, coalesce(e.newest.active, false) AS was, j.bad, j.since_on, j.normal, j.low,
           coalesce(z.now_, 0) AS now_, coalesce(z.muted, false) AS muted,
           p.product = '' OR coalesce(o.owned, false) AS owned
    FROM pair AS p LEFT JOIN a_judged AS j ON j.acct = p.acct AND j.product = p.product AND j.rhythm = p.rhythm
    LEFT JOIN a_earlier AS e ON e.account_id = p.acct AND e.product = p.product AND e.rhythm = p.rhythm
    LEFT JOIN a_now AS z ON z.acct = p.acct AND z.product = p.product AND z.rhythm = p.rhythm
    LEFT JOIN j_owned AS o ON o.acct = p.acct AND o.product = p.product
)
SELECT acct AS account_id, product, rhythm, was,
       CASE WHEN NOT owned THEN false WHEN was AND muted THEN true WHEN was THEN now_ < newest.low ELSE bad END AS active,
       CASE WHEN was THEN newest.since_on ELSE since_on END AS since_on, CASE WHEN was THEN newest.normal ELSE normal END AS normal,
       CASE WHEN was THEN newest.low ELSE low END AS low, now_
FROM known;

-- name: worst
-- Grain: account: the product that lost most.
CREATE OR REPLACE TEMP TABLE a_worst AS
SELECT DISTINCT ON (account_id) account_id, product AS anomaly_product, since_on AS anomaly_since_on,
       CAST(round_even(normal, 0) AS BIGINT) AS anomaly_normal, CAST(round_even(now_, 0) AS BIGINT) AS anomaly_now,
       rhythm AS anomaly_rhythm, {{end}} AS anomaly_until_on,
       (SELECT string_agg(e.title_en, ', ' ORDER BY e.name) FROM a_note AS e WHERE {{noted}}) AS anomaly_note_en,
       (SELECT string_agg(e.title_ja, '、' ORDER BY e.name) FROM a_note AS e WHERE {{noted}}) AS anomaly_note_ja
FROM a_state AS s WHERE active ORDER BY account_id, normal - now_ DESC NULLS LAST, product, rhythm;

-- name: carried
-- Nothing can be judged today: what was low still is.
CREATE OR REPLACE TEMP TABLE a_state AS
SELECT e.account_id, e.product, e.rhythm, true AS was, true AS active, e.newest.since_on AS since_on,
       e.newest.normal AS normal, e.newest.low AS low, NULL::DOUBLE AS now_
FROM a_earlier AS e WHERE e.newest.active;

-- name: none
CREATE OR REPLACE TEMP TABLE a_state AS
SELECT NULL::VARCHAR AS account_id, NULL::VARCHAR AS product, NULL::VARCHAR AS rhythm, false AS was, false AS active, NULL::DATE AS since_on,
       NULL::DOUBLE AS normal, NULL::DOUBLE AS low, NULL::DOUBLE AS now_ WHERE false;

-- name: anomalies
-- Rows of anomaly_history: only where a state changed.
CREATE OR REPLACE TEMP TABLE anomalies AS
SELECT s.account_id, s.product, s.rhythm, {{on}} AS on_, s.active, s.since_on, s.normal, s.low, {{run_id}} AS run_id, {{as_of}} AS as_of
FROM a_state AS s JOIN accounts AS a ON a.account_id = s.account_id AND a.scope = 'in' WHERE s.active <> s.was
ORDER BY s.account_id, s.product, s.rhythm;
