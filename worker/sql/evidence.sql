-- name: setup
-- Grain: account with a product whose set-up is known.
CREATE OR REPLACE TEMP TABLE e_setup AS
SELECT p.account_id,
       string_agg(coalesce(g.title_en, p.product) || CASE WHEN p.setup_steps_done >= p.setup_steps_total THEN ': done' ELSE ': ' || coalesce(p.setup_steps_done, 0) || ' of ' || p.setup_steps_total END,
                  ', ' ORDER BY g.place, p.product) AS setup_products_en,
       string_agg(coalesce(g.title_ja, p.product) || CASE WHEN p.setup_steps_done >= p.setup_steps_total THEN ':完了' ELSE ':' || p.setup_steps_total || '件中' || coalesce(p.setup_steps_done, 0) || '件' END,
                  '、' ORDER BY g.place, p.product) AS setup_products_ja
FROM product_facts AS p LEFT JOIN j_product AS g ON g.product = p.product WHERE p.setup_steps_total > 0 GROUP BY p.account_id;

-- name: outcomes
-- Grain: account and measure, its newest record.
CREATE OR REPLACE TEMP TABLE e_outcome AS
SELECT DISTINCT ON (account_id, measure) * FROM (
    SELECT coalesce(m.master_id, o.account_id) AS account_id, lower(trim(o.metric)) AS measure, trim(o.metric) AS metric, o.baseline, o.current_value,
           coalesce(o.fact_backed, false) AS fact_backed, nullif(trim(o.confirmed_by), '') AS confirmed_by, o.id, o.occurred_at,
           CAST(timezone({{zone}}, o.occurred_at) AS DATE) AS on_
    FROM e_outcome_version AS o LEFT JOIN j_master AS m ON m.id = o.account_id
    WHERE NOT coalesce(o.deleted, false) AND o.account_id IS NOT NULL AND o.occurred_at <= {{as_of}})
ORDER BY account_id, measure, occurred_at DESC, id;

-- name: roi
-- Grain: account with a result. The best one is named: confirmed before backed by data, then the newest.
CREATE OR REPLACE TEMP TABLE e_roi AS
WITH ranked AS (
    SELECT *, CASE WHEN fact_backed AND confirmed_by IS NOT NULL THEN 3 WHEN fact_backed THEN 2 ELSE 1 END AS rank FROM e_outcome
), counted AS (
    SELECT account_id, count(*) AS n, count(*) FILTER (rank >= 2) AS backed, count(*) FILTER (rank = 3) AS confirmed, max(rank) AS rank,
           arg_max({'metric': metric, 'before': baseline, 'now': current_value, 'on_': on_, 'by': CASE WHEN rank = 3 THEN confirmed_by END}, (rank, occurred_at, id)) AS best
    FROM ranked GROUP BY account_id
), worded AS (
    SELECT *, {{before}} AS before, {{now}} AS now,
           CASE WHEN best.before <> 0 THEN CAST(round_even((best.now - best.before) * 100 / abs(best.before), 0) AS BIGINT) END AS percent
    FROM counted
), signed AS (
    SELECT *, CASE WHEN percent = 0 THEN '0%' ELSE replace(format('{:+d}%', percent), '-', '−') END AS change FROM worded
)
SELECT account_id, CASE rank WHEN 3 THEN 'confirmed' WHEN 2 THEN 'fact_backed' ELSE 'recorded' END AS roi_status,
       coalesce(best.metric, 'Latest result') || ': ' || before || ' → ' || now || coalesce(' (' || change || ')', '') || ', measured on ' || strftime(best.on_, '%-d %b %Y')
       || CASE rank WHEN 3 THEN ', confirmed by ' || best.by WHEN 2 THEN ', backed by data' ELSE ', not backed by data yet' END
       || CASE WHEN n > 1 THEN '. ' || n || ' results in all: ' || backed || ' backed by data, ' || confirmed || ' confirmed' ELSE '' END AS roi_note_en,
       coalesce(best.metric, '最新の成果') || ':' || before || '→' || now || coalesce('(' || change || ')', '') || '、' || strftime(best.on_, '%Y/%-m/%-d') || '測定。'
       || CASE rank WHEN 3 THEN best.by || '様にご確認いただいています' WHEN 2 THEN 'データの裏付けがあります' ELSE 'データの裏付けはまだありません' END
       || CASE WHEN n > 1 THEN '(成果は計' || n || '件、裏付けあり' || backed || '件、ご確認済み' || confirmed || '件)' ELSE '' END AS roi_note_ja
FROM signed;

-- name: progress
-- Grain: account whose people named a measure and a target. The way from the baseline to the target, whichever direction it has.
CREATE OR REPLACE TEMP TABLE e_progress AS
SELECT a.id AS account_id, o.current_value AS progress_now, o.baseline AS progress_before, o.on_ AS progress_on,
       least(999.0, greatest(0.0, (o.current_value - o.baseline) * 100 / (a.target - o.baseline))) AS success_progress
FROM e_goal AS a JOIN e_outcome AS o ON o.account_id = a.id AND o.measure = lower(trim(a.metric))
WHERE a.target IS NOT NULL AND a.target <> o.baseline AND o.current_value IS NOT NULL;

-- name: lines
-- Contract lines that have started, by account.
CREATE OR REPLACE TEMP TABLE e_line AS
SELECT coalesce(m.master_id, c.end_user_id, c.account_id) AS account_id, c.mrr, c.currency, c.starts_on, coalesce(least(c.churned_on, c.ends_on + 1), DATE '9999-01-01') AS gone_on
FROM e_contract AS c LEFT JOIN j_master AS m ON m.id = coalesce(c.end_user_id, c.account_id)
WHERE NOT coalesce(c.deleted, false) AND NOT coalesce(c.is_trial, false) AND coalesce(c.status, 'active') <> 'draft' AND c.starts_on IS NOT NULL
  AND NOT (coalesce(c.status, 'active') = 'ended' AND c.ends_on IS NULL AND c.churned_on IS NULL);

-- name: timeline
-- Grain: account with a line at the end of any of the months. Money of two currencies is not added up: a dash then.
CREATE OR REPLACE TEMP TABLE e_timeline AS
WITH month AS (SELECT unnest({{ends}}) AS on_),
earned AS (
    SELECT l.account_id, m.on_, CASE WHEN count(DISTINCT l.currency) <= 1 THEN CAST(sum(l.mrr) AS DOUBLE) END AS mrr, min(l.currency) AS currency
    FROM e_line AS l JOIN month AS m ON l.starts_on <= m.on_ AND l.gone_on > m.on_ WHERE {{some}} GROUP BY ALL
), scored AS (SELECT account_id, on_, arg_max(score, as_of) AS score FROM {{history}} WHERE {{some}} GROUP BY ALL),
both_ AS (SELECT e.*, s.score FROM earned AS e ASOF LEFT JOIN scored AS s ON s.account_id = e.account_id AND s.on_ <= e.on_)
SELECT account_id,
       string_agg(strftime(on_, '%b %Y') || ': ' || coalesce(format('{:,}', CAST(round_even(mrr, 0) AS BIGINT)) || coalesce(' ' || currency, ''), '–') || ', score ' || coalesce(CAST(score AS VARCHAR), '–'),
                  ' | ' ORDER BY on_ DESC) AS timeline_en,
       string_agg(strftime(on_, '%Y年%-m月') || ' 月額' || coalesce(format('{:,}', CAST(round_even(mrr, 0) AS BIGINT)) || CASE WHEN currency = 'JPY' THEN '円' ELSE coalesce(' ' || currency, '') END, '–')
                  || '・スコア' || coalesce(CAST(score AS VARCHAR), '–'), ' | ' ORDER BY on_ DESC) AS timeline_ja
FROM both_ GROUP BY account_id;
