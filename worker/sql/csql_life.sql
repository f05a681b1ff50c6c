-- name: life
-- One row per CSQL record: the state it is in and since when, from every version that was read and every state that we wrote ourselves (a person may
-- move a new record on before the next pull). `moved`: it has been in another state before. What a person did and undid between two pulls did not happen.
CREATE OR REPLACE TEMP TABLE q_life AS
WITH known AS (
    SELECT v.id, coalesce(v.state, 'Candidate') AS state, v.modified_at AS seen_at, v.read_at, {{part}} AS part
    FROM {{relation}} AS v JOIN j_csql AS c ON c.id = v.id WHERE NOT coalesce(v.deleted, false)
    UNION ALL
    SELECT w.record_id, w.value, w.as_of, w.written_at, NULL
    FROM {{writes}} AS w JOIN j_csql AS c ON c.id = w.record_id
    WHERE w.object = 'csql' AND w.field = 'state' AND w.state = 'acknowledged' AND w.value IS NOT NULL
), version AS (
    SELECT id, state, {{on_}} AS on_, row_number() OVER (PARTITION BY id ORDER BY seen_at NULLS FIRST, read_at NULLS FIRST, part) AS n FROM known
), spell AS (
    SELECT *, lag(state) OVER (PARTITION BY id ORDER BY n) AS before FROM version QUALIFY before IS DISTINCT FROM state
)
SELECT id, arg_max(state, n) AS state, arg_max(on_, n) AS state_on, count(*) > 1 AS moved,
       bool_or(state IN ('Accepted', 'Meeting', 'Opportunity', 'Won', 'Lost')) AS accepted, bool_or(state = 'Merged') AS was_merged
FROM spell GROUP BY id;

-- name: open_records
-- The open records, the move that is due and where it leads. Only what nobody ever accepted expires, comes back from a hold or gives way to another
-- record of the same account and product: the rest is with sales. The clock of expiry starts with the opening and anew with every move, so that no
-- person's move is undone by a day that was over before it.
CREATE OR REPLACE TEMP TABLE q_open AS
WITH known AS (
    SELECT r.*, a.scope = 'in' AS served, CASE WHEN a.excluded_why = 'churned' THEN a.churned_on END AS churned_on,
           coalesce(a.excluded_why <> 'not in the pilot', true) AS ours, {{own_rule}} IS NULL AS by_hand,
           CASE WHEN r.moved THEN r.state_on ELSE coalesce(r.opened_on, r.created_on) END AS clock_on,
           -- a day before the hold began belongs to an earlier one
           CASE WHEN r.state = 'Nurture' THEN coalesce(CASE WHEN r.nurture_until >= r.state_on THEN r.nurture_until END,
                                                       coalesce(r.state_on, r.created_on) + {{nurture_days}}) END AS hold_until
    FROM q_record AS r JOIN accounts AS a ON a.account_id = r.account_id LEFT JOIN j_csql AS j ON j.id = r.record_id
    WHERE r.state IN ({{open_states}})
), ranked AS (
    -- the furthest stays, then a person's own, then the oldest
    SELECT *, row_number() OVER (PARTITION BY account_id, product
        ORDER BY accepted DESC, list_position([{{order}}], state) DESC, by_hand DESC, created_on, record_id) AS nth FROM known
), judged AS (
    SELECT o.*, nth > 1 AND NOT accepted AND NOT was_merged AS gives_way, o.state = 'Nurture' AND o.hold_until <= {{on}} AS hold_over,
           CASE WHEN c.trusted AND len(c.against) = 0 THEN 'Submitted' ELSE 'Candidate' END AS resumes_as, coalesce(len(c.against) = 0, false) AS wanted
    FROM ranked AS o LEFT JOIN q_chosen AS c ON c.account_id = o.account_id AND c.product = o.product
), decided AS (
    SELECT *, CASE
        WHEN accepted OR NOT ours OR state NOT IN ('Candidate', 'Submitted', 'Nurture') THEN 'update'
        WHEN gives_way THEN 'merge'
        WHEN clock_on <= churned_on THEN 'expire' -- what a person does after the customer left is meant
        WHEN state = 'Nurture' THEN CASE WHEN hold_over AND served AND (wanted OR by_hand) THEN 'resume'
                                         WHEN hold_until + {{expire_days}} <= {{on}} THEN 'expire' ELSE 'update' END
        WHEN clock_on + {{expire_days}} <= {{on}} THEN 'expire'
        ELSE 'update' END AS due
    FROM judged
)
SELECT * EXCLUDE (due, resumes_as), CASE WHEN external_key IS NULL THEN 'complete' ELSE due END AS move,
       CASE WHEN due = 'merge' THEN 'Merged' WHEN external_key IS NULL OR due = 'update' THEN state WHEN due = 'expire' THEN 'Expired' ELSE resumes_as END AS to_state
FROM decided;
