-- name: reasons
-- The first reason each way as `d_reason` has it; then every other measure on one side only: below or above its segment's median (without one, 50).
CREATE OR REPLACE TEMP TABLE w_reason AS
WITH weighed AS (
    SELECT p.account_id, p.indicator, p.value, p.points, p.median_points, p.observed_on, p.weight_effective,
           round(p.weight_effective * (p.points - coalesce(p.median_points, 100)), 6) AS below,
           round(p.weight_effective * (p.points - coalesce(p.median_points, 0)), 6) AS above,
           round(p.points - coalesce(p.median_points, 50), 6) AS side
    FROM {{parts}} AS p WHERE p.points IS NOT NULL AND p.weight_effective > 0
), sided AS (
    SELECT w.*, {'indicator': w.indicator, 'value': w.value, 'points': w.points, 'median_points': w.median_points, 'observed_on': w.observed_on} AS reason,
           w.indicator IS NOT DISTINCT FROM d.worst.indicator AS is_worst, w.indicator IS NOT DISTINCT FROM d.best.indicator AS is_best
    FROM weighed AS w JOIN {{first}} AS d ON d.account_id = w.account_id
)
SELECT account_id,
       arg_min(reason, (NOT is_worst, below, -weight_effective, indicator), 3) FILTER (is_worst OR (NOT is_best AND side < 0)) AS lows,
       arg_min(reason, (NOT is_best, -above, -weight_effective, indicator), 3) FILTER (is_best OR (NOT is_worst AND side > 0 AND points > 50)) AS highs
FROM sided GROUP BY account_id;

-- name: sparkline
-- Closing scores at the last Sundays and today's, oldest first; a week without a score is a dot. A date without a row carries the last one on.
CREATE OR REPLACE TEMP TABLE w_spark AS
WITH closed AS (
    SELECT account_id, [{{weeks}}] AS scores FROM {{history}} WHERE on_ <= {{last}} AND {{some}} GROUP BY account_id
), series AS (
    SELECT r.account_id, list_append(coalesce(c.scores, [{{none}}]), r.score) AS scores
    FROM {{row}} AS r LEFT JOIN closed AS c ON c.account_id = r.account_id
)
SELECT account_id, CASE WHEN len(list_filter(scores, lambda s: s IS NOT NULL)) > 0 THEN array_to_string(list_transform(scores, lambda s:
       CASE WHEN s IS NULL THEN '·' ELSE substr('▁▂▃▅▇', CAST(least(s // 20, 4) AS BIGINT) + 1, 1) END), '') END AS sparkline
FROM series;

-- name: one_row
-- What a text of one account may name.
CREATE OR REPLACE TEMP TABLE x_row AS
SELECT a.* EXCLUDE (scope, excluded_why), d.score, d.score_uncapped, s.capped_by, d.state, d.tier,
       m.title_en AS main_product_title_en, m.title_ja AS main_product_title_ja
FROM accounts AS a JOIN decisions AS d ON d.account_id = a.account_id JOIN scores AS s ON s.account_id = a.account_id
LEFT JOIN j_product AS m ON m.product = a.main_product;

-- name: newest_parts
(SELECT account_id, 'frozen' AS state, newest.cards AS cards, newest.profile AS profile, newest.points AS points, CAST([] AS UTINYINT[]) AS missing
 FROM (SELECT account_id, arg_max({'cards': cards, 'profile': profile, 'points': points}, (on_, as_of)) AS newest
       FROM {{parts}} WHERE {{some}} GROUP BY account_id))

-- name: listed_reasons
SELECT reason.indicator, {{text}}, reason.value, reason.points, reason.median_points, reason.observed_on
FROM (SELECT r.*, unnest({{side}}) AS reason, generate_subscripts({{side}}, 1) AS place FROM w_reason AS w JOIN x_row AS r ON r.account_id = w.account_id)
ORDER BY place;

-- name: stood
(SELECT arg_max({'score': score}, (on_, as_of)).score AS score_before FROM {{history}} WHERE {{some}} AND on_ <= {{before}})
