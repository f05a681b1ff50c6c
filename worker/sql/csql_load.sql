-- name: with_sales
-- The records that take one of a rep's places: those sales has or had to answer today. A record on hold takes none. `rep`: who it was assigned to;
-- null = nobody yet, then it is the account owner's. `freed`: it was over, or on hold, by today; between full runs such a place is not given out again,
-- so that the night can give it to the best.
CREATE OR REPLACE TEMP TABLE q_with_sales AS
SELECT r.record_id, r.account_id, o.own_assigned_to AS rep
FROM q_record AS r LEFT JOIN j_csql AS o ON o.id = r.record_id LEFT JOIN q_open AS n ON n.record_id = r.record_id
WHERE r.state IN ({{with_sales}}) OR (NOT {{full}} AND r.moved AND r.state_on = {{on}} AND r.state NOT IN ('Candidate', 'Merged'))
   -- a CSM's own record comes back whatever the load
   OR (n.by_hand AND n.move = 'resume' AND n.to_state = 'Submitted');

-- name: asking
-- What this run would hand to sales by itself, one row per account and product: the new ones of trusted rules, and their ones back from a hold.
CREATE OR REPLACE TEMP TABLE q_asking AS
SELECT c.account_id, c.product, n.record_id, c.approach_score, c.since_on
FROM q_chosen AS c LEFT JOIN q_open AS n ON n.account_id = c.account_id AND n.product = c.product
WHERE c.trusted AND len(c.against) = 0 AND (n.account_id IS NULL OR (n.move = 'resume' AND n.to_state = 'Submitted' AND NOT n.by_hand));

-- name: waiting
-- Who finds no place, best first. The best approach score goes out, of equals the older signal. Who is nobody's has no limit.
CREATE OR REPLACE TEMP TABLE q_waiting AS
WITH load AS (
    SELECT coalesce(w.rep, a.owner_id) AS rep, count(*) AS taken FROM q_with_sales AS w LEFT JOIN q_owner AS a ON a.id = w.account_id GROUP BY ALL
), ranked AS (
    SELECT q.*, a.owner_id AS rep,
           row_number() OVER (PARTITION BY a.owner_id ORDER BY q.approach_score DESC NULLS LAST, q.since_on, q.account_id, q.product) AS place
    FROM q_asking AS q JOIN q_owner AS a ON a.id = q.account_id WHERE a.owner_id IS NOT NULL
)
SELECT r.* EXCLUDE (place), r.place - greatest(0, {{cap}} - coalesce(l.taken, 0)) AS place, coalesce(l.taken, 0) AS taken
FROM ranked AS r LEFT JOIN load AS l ON l.rep = r.rep WHERE r.place + coalesce(l.taken, 0) > {{cap}};

-- name: hold_back
UPDATE q_chosen SET against = list_append(against, {'name': 'load', 'en': {{en}}, 'ja': {{ja}}})
FROM q_waiting AS w WHERE w.account_id = q_chosen.account_id AND w.product = q_chosen.product;

-- name: hold_on
-- What would come back from a hold stays there, and does not expire for want of a place.
UPDATE q_open SET move = 'update', to_state = state FROM q_waiting AS w WHERE w.record_id = q_open.record_id;

-- name: none_waiting
CREATE OR REPLACE TEMP TABLE q_waiting AS
SELECT NULL::VARCHAR AS account_id, NULL::VARCHAR AS product, NULL::VARCHAR AS record_id, NULL::BIGINT AS approach_score, NULL::DATE AS since_on,
       NULL::VARCHAR AS rep, NULL::BIGINT AS place, NULL::BIGINT AS taken WHERE false;

-- name: waiting_list
-- The same with the titles of rule and product, for the list of CSQLs.
CREATE OR REPLACE TEMP TABLE csqls_waiting AS
SELECT row_number() OVER (ORDER BY w.approach_score DESC NULLS LAST, w.since_on, w.account_id, w.product) AS rank, w.account_id, w.product, c.rule_text AS rule,
       c.rule_title_en || ': ' || c.product_title_en AS title_en, c.rule_title_ja || ':' || c.product_title_ja AS title_ja, w.approach_score, w.since_on,
       w.rep, w.place, w.taken
FROM q_waiting AS w JOIN q_chosen AS c ON c.account_id = w.account_id AND c.product = w.product ORDER BY rank;
