-- name: base
-- Grain: account in scope of the run. ARR is twelve times the MRR; money of two currencies is not added (arr is then null).
CREATE OR REPLACE TEMP TABLE o_base AS
SELECT a.account_id, a.csm_id, a.partner_id, a.segment, a.region, a.touch_model, a.main_product, a.mrr, a.mrr * 12 AS arr, a.currency, a.notice_on, a.as_of_on,
       a.first_contract_on, d.score, d.tier, g.team, g.touch_suggested,
       CAST(floor((a.as_of_on - g.term_starts_on) / 30.4375) AS BIGINT) + 1 AS contract_month
FROM {{accounts}} AS a JOIN {{decisions}} AS d ON d.account_id = a.account_id LEFT JOIN {{assigned}} AS g ON g.account_id = a.account_id
WHERE a.scope = 'in';

-- name: mix
-- Accounts per touch model against the target. Shares are of the accounts whose touch model is known.
SELECT t.model AS touch_model, count(b.account_id) AS accounts,
       CASE WHEN t.model <> 'unknown' THEN 100.0 * count(b.account_id) / nullif((SELECT count(*) FROM o_base WHERE touch_model IS NOT NULL), 0) END AS percent,
       t.target, {{arr}} AS arr, count(b.touch_suggested) AS suggested_otherwise
FROM (VALUES {{targets}}) AS t(model, target) LEFT JOIN o_base AS b ON coalesce(b.touch_model, 'unknown') = t.model
GROUP BY t.model, t.target ORDER BY list_position(['high', 'hybrid', 'tech', 'unknown'], t.model);

-- name: questioned
SELECT b.account_id, n.name, b.mrr, b.currency, b.csm_id FROM o_base AS b LEFT JOIN {{account}} AS n ON n.id = b.account_id
WHERE b.touch_model = 'high' AND b.mrr < {{high_min_mrr}} ORDER BY b.mrr, b.account_id;

-- name: load
-- Per CSM what they carry against what their level allows.
SELECT b.csm_id, u.name AS csm_name, coalesce({{level}}, {{first_level}}) AS level, count(*) AS accounts, {{arr}} AS arr FROM o_base AS b LEFT JOIN {{user}} AS u ON u.id = b.csm_id
WHERE b.csm_id IS NOT NULL GROUP BY b.csm_id, u.name ORDER BY accounts DESC, b.csm_id;

-- name: growth
-- Accounts now, and how many started per month lately.
SELECT touch_model, count(*) AS accounts,
       count(*) FILTER (first_contract_on > CAST(as_of_on - to_months({{months}}) AS DATE) AND first_contract_on <= as_of_on) / {{months}}.0 AS started
FROM o_base WHERE touch_model IS NOT NULL GROUP BY touch_model;

-- name: partners
SELECT b.partner_id, n.name, count(*) AS accounts, {{arr}} AS arr, count(b.score) AS scored,
       sum(b.score * b.mrr) FILTER (b.score IS NOT NULL) / nullif(sum(b.mrr) FILTER (b.score IS NOT NULL), 0) AS score,
       count(*) FILTER (b.tier <= 2) AS at_risk, count(*) FILTER (b.notice_on BETWEEN b.as_of_on AND b.as_of_on + 90) AS notice_in_90_days,
       arg_min(b.account_id, (b.score, b.account_id)) FILTER (b.score IS NOT NULL) AS lowest_account, min(b.score) AS lowest_score
FROM o_base AS b LEFT JOIN {{account}} AS n ON n.id = b.partner_id WHERE b.partner_id IS NOT NULL
GROUP BY b.partner_id, n.name ORDER BY accounts DESC, b.partner_id;

-- name: dimension
SELECT {{name}} AS dimension, coalesce(CAST({{column}} AS VARCHAR), '–') AS value, count(*) AS accounts, {{arr}} AS arr, count(b.score) AS scored, avg(b.score) AS score,
       count(*) FILTER (b.tier <= 2) AS at_risk
FROM o_base AS b GROUP BY {{column}} ORDER BY {{order}}

-- name: teams_then
-- Accounts per team as they were on a day: history stays with the team that had it.
SELECT coalesce(was.team, '–') AS team, count(*) AS accounts FROM (
    SELECT account_id, arg_max({'team': team}, (on_, as_of)) AS was FROM {{history}} WHERE on_ <= {{on}} GROUP BY account_id
) GROUP BY ALL ORDER BY accounts DESC, team
