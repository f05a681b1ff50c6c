-- name: need
-- What stands between a scored account and the next tier: the score from which it moves, and how many points are missing.
CREATE OR REPLACE TEMP TABLE u_need AS
SELECT *, score >= goal AS there, goal - score_uncapped - 0.000001 AS need -- the published score is rounded: the last millionth is no matter
FROM (SELECT account_id, CAST(tier AS BIGINT) AS tier, score, score_uncapped, capped_by, {{cap}} AS cap,
             list_extract({{upper}}, CAST(tier AS BIGINT)) + {{margin}} AS goal
      FROM {{row}} WHERE state = 'scored' AND score IS NOT NULL AND tier < 5);

-- name: candidates
-- Measures that can be lifted, of accounts where that helps. w: points of the score per point of the measure; steps: the points it can jump to.
CREATE OR REPLACE TEMP TABLE u_candidate AS
SELECT *, w * (most - p) AS gain, effort * (most - p) / 100 AS cost FROM ({{candidates}}) WHERE most > p;

-- name: single
-- The one measure that suffices with the least effort.
CREATE OR REPLACE TEMP TABLE u_pick AS
SELECT account_id, arg_min([{'indicator': indicator, 'points': t}], (effort * (t - p) / 100, indicator)) AS picks
FROM (SELECT c.*, {{trimmed}} AS t FROM u_candidate AS c JOIN u_need AS n ON n.account_id = c.account_id) WHERE t IS NOT NULL GROUP BY account_id;

-- name: pair
-- Where none does, two: the first as far as it goes, the second as far as needed.
INSERT INTO u_pick
SELECT account_id, arg_min([{'indicator': a, 'points': a_points}, {'indicator': c, 'points': t}], (cost, a, c))
FROM (SELECT n.account_id, a.indicator AS a, a.most AS a_points, c.indicator AS c, {{trimmed}} AS t, a.cost + c.effort * (t - c.p) / 100 AS cost
      FROM u_need AS n JOIN u_candidate AS a ON a.account_id = n.account_id
      JOIN u_candidate AS c ON c.account_id = n.account_id AND c.indicator <> a.indicator
      WHERE n.account_id NOT IN (SELECT account_id FROM u_pick) AND a.gain + c.gain >= n.need)
WHERE t IS NOT NULL GROUP BY account_id;

-- name: triple
INSERT INTO u_pick
SELECT account_id, arg_min([{'indicator': a, 'points': a_points}, {'indicator': b, 'points': b_points}, {'indicator': c, 'points': t}], (cost, a, b, c))
FROM (SELECT n.account_id, a.indicator AS a, a.most AS a_points, b.indicator AS b, b.most AS b_points, c.indicator AS c, {{trimmed}} AS t,
             a.cost + b.cost + c.effort * (t - c.p) / 100 AS cost
      FROM u_need AS n JOIN u_candidate AS a ON a.account_id = n.account_id
      JOIN u_candidate AS b ON b.account_id = n.account_id AND b.indicator > a.indicator
      JOIN u_candidate AS c ON c.account_id = n.account_id AND c.indicator NOT IN (a.indicator, b.indicator)
      WHERE n.account_id NOT IN (SELECT account_id FROM u_pick) AND a.gain + b.gain + c.gain >= n.need)
WHERE t IS NOT NULL GROUP BY account_id;

-- name: steps
-- One row per account and suggested change: the value to reach, in whole units where that is still realistic.
CREATE OR REPLACE TEMP TABLE u_step AS
SELECT s.account_id, s.place, s.pick.indicator AS indicator, c.v AS value, s.pick.points AS points, {{target}} AS target
FROM (SELECT account_id, unnest(picks) AS pick, generate_subscripts(picks, 1) AS place FROM u_pick) AS s
JOIN u_candidate AS c ON c.account_id = s.account_id AND c.indicator = s.pick.indicator;

-- name: words
-- An exception that holds the score below the goal comes first: nothing else helps until it ends.
CREATE OR REPLACE TEMP TABLE w_way AS
WITH said AS (
    SELECT account_id, string_agg(text_en, '; ' ORDER BY place) AS steps_en, string_agg(text_ja, '、' ORDER BY place) AS steps_ja
    FROM (SELECT s.account_id, s.place, {{step_en}} AS text_en, {{step_ja}} AS text_ja
          FROM (SELECT u.*, {{count}} AS count_ FROM (SELECT r.*, s.place, s.indicator, s.value, s.points, s.target
                FROM u_step AS s JOIN {{row}} AS r ON r.account_id = s.account_id) AS u) AS s)
    GROUP BY account_id
), reach AS (
    SELECT account_id, list_sum(list_reverse_sort(list(gain))[1:3]) AS gains FROM u_candidate GROUP BY account_id
)
SELECT account_id, {{way_en}} AS way_up_en, {{way_ja}} AS way_up_ja
FROM u_need AS n JOIN {{row}} AS r USING (account_id) LEFT JOIN said AS s USING (account_id) LEFT JOIN reach AS h USING (account_id);
