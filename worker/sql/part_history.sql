-- name: changed
-- Rows to append: accounts whose points, profile or scorecard are not those of their newest row. A held account repeats its last score: no row.
SELECT {{columns}}, {{on}} AS on_, {{run_id}} AS run_id, {{as_of}} AS as_of FROM {{points}} AS p
WHERE p.state <> 'frozen' AND NOT EXISTS (
    SELECT 1 FROM (SELECT account_id, arg_max(points_hash, (on_, as_of)) AS points_hash FROM {{history}}
                   WHERE on_ <= {{on}} AND account_id IN (SELECT account_id FROM {{points}}) GROUP BY account_id) AS h
    WHERE h.account_id = p.account_id AND h.points_hash = p.points_hash)

-- name: past
-- A first run's past dates, without those that repeat the one before.
SELECT * FROM b_points
QUALIFY points_hash IS DISTINCT FROM lag(points_hash) OVER (PARTITION BY account_id ORDER BY on_) ORDER BY account_id, on_

-- name: scorecards
SELECT *, {{run_id}} AS run_id, {{as_of}} AS as_of FROM {{scorecards}} WHERE cards NOT IN (SELECT cards FROM {{history}})
