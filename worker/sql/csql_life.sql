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
       bool_or(state IN ('Accepted', 'Meeting', 'Opportunity', 'Won', 'Lost')) AS accepted, bool_or(state = 'Merged') AS was_merged,
       bool_or(state = 'Submitted') AS submitted, bool_or(state IN ('Meeting', 'Opportunity', 'Won')) AS met, bool_or(state = 'Won') AS won,
       min(on_) FILTER (state IN ('Accepted', 'Meeting', 'Opportunity', 'Won', 'Lost')) AS accepted_on,
       min(on_) FILTER (state = 'Submitted') AS submitted_on
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
                                                       CASE WHEN r.return_reason = 'next_budget_year' THEN {{next_budget_year}} END,
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

-- name: sla
-- Deadlines of the records that wait for sales. The day of acceptance is on the record; first contact is due so many business days after the acceptance.
CREATE OR REPLACE TEMP TABLE q_sla AS
WITH waiting AS (
    SELECT c.id AS record_id, coalesce(m.master_id, c.account_id) AS account_id, c.state, TRY_CAST(c.own_accept_by AS DATE) AS accept_by, l.accepted_on,
           {{contact_by}} AS contact_by
    FROM j_csql AS c JOIN q_life AS l ON l.id = c.id LEFT JOIN j_master AS m ON m.id = c.account_id
    WHERE NOT coalesce(c.deleted, false) AND c.state IN ('Submitted', 'Accepted')
)
SELECT *, coalesce(state = 'Submitted' AND accept_by < {{on}}, false) AS accept_late,
       -- an acceptance from before the calendar's first day is late by weeks
       state = 'Accepted' AND coalesce(contact_by < {{on}}, accepted_on < {{on}}, false) AS contact_late
FROM waiting;

-- name: no_sla
CREATE TEMP TABLE IF NOT EXISTS q_sla AS SELECT NULL::VARCHAR AS account_id, false AS accept_late, false AS contact_late WHERE false;

-- name: rule_results
-- What sales made of each rule's records, by rule and version; records of people under ''. `tried`: those that sales decided on or let lapse.
CREATE OR REPLACE TEMP TABLE q_result AS
SELECT coalesce(c.own_rule, '') AS rule, count(*) FILTER (l.accepted OR c.state = 'Returned' OR (l.submitted AND c.state = 'Expired')) AS tried,
       count(*) FILTER (l.accepted) AS accepted, count(*) FILTER (l.met) AS met, count(*) FILTER (l.won) AS won,
       count(*) FILTER (c.state = 'Returned') AS returned, count(*) FILTER (c.state = 'Returned' AND c.own_return_reason IS NULL) AS without_reason
FROM j_csql AS c JOIN q_life AS l ON l.id = c.id WHERE NOT coalesce(c.deleted, false) GROUP BY 1;

-- name: csql_list
-- The open records after this run, those it opens included, best moment first.
CREATE OR REPLACE TEMP TABLE csqls AS
SELECT row_number() OVER (ORDER BY d.approach_score DESC NULLS LAST, d.external_key) AS rank, d.account_id, d.external_key, d.record_id, d.product, d.rule,
       d.title_en, d.title_ja, d.state, d.move, d.approach_score, d.amount, d.currency, o.hold_until, d.accept_by, s.contact_by,
       coalesce(s.accept_late, false) AS accept_late, coalesce(s.contact_late, false) AS contact_late, d.expires_on
FROM csql_desired AS d LEFT JOIN q_open AS o ON o.record_id = d.record_id LEFT JOIN q_sla AS s ON s.record_id = d.record_id
WHERE d.state IN ({{open_states}}) ORDER BY rank;
