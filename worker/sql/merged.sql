-- name: lines
-- Whose history a survivor goes on with, beside its own: account -> survivor. The eldest of those that were merged into it, then, where that one's
-- survivor was merged on, each that began when the one before it ended. Nobody else's: two histories side by side are no history.
-- Not for a survivor that had a score of its own before the merge: it keeps its own. `ended_on` is the day on which the merge was first seen.
CREATE OR REPLACE TEMP TABLE g_line AS
WITH RECURSIVE ended AS (
    SELECT id, min(CAST(timezone({{zone}}, modified_at) AS DATE)) AS ended_on FROM {{accounts}} WHERE master_id IS NOT NULL GROUP BY id
), began AS (
    SELECT account_id, min(on_) AS first_on FROM {{history}}
    WHERE account_id IN (SELECT id FROM j_master UNION SELECT master_id FROM j_master) GROUP BY account_id
), candidate AS (
    SELECT m.id, m.master_id, e.ended_on, b.first_on, (b.first_on, length(m.id), m.id) AS place
    FROM j_master AS m JOIN ended AS e ON e.id = m.id JOIN began AS b ON b.account_id = m.id LEFT JOIN began AS own ON own.account_id = m.master_id
    WHERE own.first_on IS NULL OR own.first_on >= e.ended_on
), line(id, master_id, ended_on, depth) AS (
    SELECT arg_min(id, place), master_id, arg_min(ended_on, place), 1 FROM candidate GROUP BY master_id
    UNION ALL
    SELECT arg_min(c.id, c.place), l.master_id, arg_min(c.ended_on, c.place), l.depth + 1
    FROM line AS l JOIN candidate AS c ON c.master_id = l.master_id AND c.id <> l.id AND c.first_on >= l.ended_on
    WHERE l.depth < 20 GROUP BY l.master_id, l.depth
)
SELECT DISTINCT id, master_id FROM line;

-- name: inherited
(SELECT h.* REPLACE (coalesce(g.master_id, h.account_id) AS account_id) FROM {{history}} AS h LEFT JOIN g_line AS g ON g.id = h.account_id)

-- name: written_before
-- What we wrote, or meant to write, to accounts that were merged into those of the batch: record_key, field, value.
SELECT DISTINCT m.master_id, w.field, w.value
FROM {{writes}} AS w JOIN j_master AS m ON m.id = w.record_id JOIN (SELECT DISTINCT record_key, field FROM batch) AS b
  ON b.record_key = m.master_id AND b.field = w.field
WHERE w.object = 'account'
