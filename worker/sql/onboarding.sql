-- name: starts
-- Grain: account and plan. A plan fits where all its products are owned and were started within its days of each other; a product goes with the
-- largest plan that fits. What started before `since` is not looked at any more. `main`: the plan of the account's main product.
CREATE OR REPLACE TEMP TABLE o_start AS
WITH fits AS (
    SELECT o.acct, p.plan, any_value(p.size) AS size, min(o.product_starts_on) AS starts_on, list(p.product) AS products
    FROM j_owned AS o JOIN o_plan_product AS p ON p.product = o.product
    WHERE o.owned AND o.product_starts_on >= {{since}}
    GROUP BY o.acct, p.plan
    HAVING count(*) = any_value(p.size) AND max(o.product_starts_on) - min(o.product_starts_on) <= any_value(p.together_days)
), chosen AS (
    SELECT acct, product, arg_max(plan, (size, plan)) AS plan FROM (SELECT acct, plan, size, unnest(products) AS product FROM fits) GROUP BY ALL
)
SELECT f.acct, f.plan, f.starts_on, bool_or(c.product = m.main_product) AS main
FROM fits AS f JOIN chosen AS c ON c.acct = f.acct AND c.plan = f.plan LEFT JOIN j_main AS m ON m.acct = f.acct
GROUP BY ALL;

-- name: runs
-- The version that was valid on the day of the start, its last day, and what people decided. Their decision is about the main product.
CREATE OR REPLACE TEMP TABLE o_run AS
SELECT s.acct, s.plan, coalesce(s.main, false) AS main, s.starts_on, v.version, v.days, s.starts_on + CAST(v.days - 1 AS INTEGER) AS period_end,
       CASE WHEN s.main THEN a.own_onboarding_outcome END AS outcome,
       s.starts_on + CAST(v.days * CASE WHEN s.main AND a.own_onboarding_outcome = 'extended' THEN 2 ELSE 1 END - 1 AS INTEGER) AS due_on
FROM o_start AS s ASOF JOIN o_version AS v ON v.plan = s.plan AND v.valid_from <= s.starts_on JOIN j_account AS a ON a.id = s.acct;

-- name: snapshot
CREATE OR REPLACE TEMP TABLE o_snapshot AS
SELECT t.acct, coalesce(s.product, t.line_product) AS product, s.metric, sum(s.value) AS value
FROM j_snapshot AS s JOIN j_tenant AS t ON t.source = s.source AND t.tenant_key = s.tenant_key
WHERE t.acct IN (SELECT acct FROM o_run) GROUP BY ALL;

-- name: touches
-- Activities of the kinds that show a step, done or not, of those in onboarding.
CREATE OR REPLACE TEMP TABLE o_touch AS
SELECT acct, kind, subject, CASE WHEN done <= {{as_of}} THEN {{done_on}} END AS done_on FROM (
    SELECT coalesce(m.master_id, a.account_id) AS acct, a.kind, coalesce(a.subject, '') AS subject,
           CASE WHEN a.done_at IS NOT NULL THEN a.done_at WHEN a.due_on IS NULL THEN a.occurred_at END AS done
    FROM j_activity AS a LEFT JOIN j_master AS m ON m.id = a.account_id
    WHERE NOT coalesce(a.deleted, false) AND a.kind IN (SELECT kind FROM o_step_kind)
) WHERE acct IN (SELECT acct FROM o_run);

-- name: facts
-- What `when` of a step may use.
CREATE OR REPLACE TEMP TABLE o_fact AS
SELECT r.acct, f.seats, coalesce(c.contacts, 0) AS contacts, coalesce(c.operators, 0) AS operators, coalesce(c.champions, 0) AS champions,
       coalesce(c.decision_makers, 0) AS decision_makers, coalesce(t.trainings_done, 0) AS trainings_done, t.last_decision_maker_on,
       u.active_users_28d, s.setup_steps_done, s.setup_steps_total
FROM (SELECT DISTINCT acct FROM o_run) AS r LEFT JOIN j_contract_facts AS f ON f.acct = r.acct LEFT JOIN j_contact_facts AS c ON c.acct = r.acct
LEFT JOIN j_activity_facts AS t ON t.acct = r.acct LEFT JOIN j_user_facts AS u ON u.acct = r.acct LEFT JOIN j_setup_facts AS s ON s.acct = r.acct;

-- name: steps
-- Grain: account, plan, step. `known`: something was there that could have shown it; a step nobody reports on is not called overdue.
CREATE OR REPLACE TEMP TABLE onboarding_steps AS
WITH wanted AS (
    SELECT r.acct, r.plan, r.version, r.starts_on, s.* EXCLUDE (plan, version), r.starts_on + CAST(s.due_days AS INTEGER) AS due_on
    FROM o_run AS r JOIN o_step AS s ON s.plan = r.plan AND s.version = r.version
), touched AS (
    SELECT w.acct, w.plan, w.step, min(t.done_on) FILTER (w.subject IS NULL OR contains(t.subject, w.subject)) AS done_on
    FROM wanted AS w JOIN o_touch AS t ON t.acct = w.acct AND list_contains(w.kinds, t.kind)
    WHERE t.done_on IS NULL OR t.done_on BETWEEN w.starts_on - 60 AND {{on}} GROUP BY ALL
), counted AS (
    SELECT w.acct, w.plan, w.step,
           bool_or(p.metric = 'setup_steps_done' AND p.value >= w.setup_steps OR p.metric = w.metric AND p.value >= w.at_least) AS counted,
           count(p.metric) FILTER (p.metric = 'setup_steps_done' AND w.setup_steps IS NOT NULL OR p.metric = w.metric) > 0 AS known
    FROM wanted AS w JOIN o_snapshot AS p ON p.acct = w.acct AND p.product = w.product GROUP BY ALL
), judged AS (
    SELECT w.*, t.done_on, coalesce(t.done_on IS NOT NULL OR c.counted OR {{when}}, false) AS done,
           coalesce(t.acct IS NOT NULL, false) OR coalesce(c.known, false) OR {{when}} IS NOT NULL AS known
    FROM wanted AS w LEFT JOIN touched AS t ON t.acct = w.acct AND t.plan = w.plan AND t.step = w.step
    LEFT JOIN counted AS c ON c.acct = w.acct AND c.plan = w.plan AND c.step = w.step LEFT JOIN o_fact AS f ON f.acct = w.acct
)
SELECT acct AS account_id, plan, version, step, place, phase, phase_en, phase_ja, title_en, title_ja, action_en, action_ja, material, due_on, done, done_on,
       known, known AND NOT done AND due_on < {{on}} AS overdue
FROM judged;

-- name: earlier
-- The newest row of each account and plan that earlier runs left: a completion keeps its day.
CREATE OR REPLACE TEMP TABLE o_earlier AS
SELECT account_id, plan, arg_max({'version': version, 'status': status, 'completed_on': completed_on}, (on_, as_of)) AS newest,
       bool_or(status <> 'completed') AS seen_open
FROM {{history}} WHERE on_ <= {{on}} AND account_id IN (SELECT acct FROM o_run) GROUP BY ALL;

-- name: onboarding
-- Grain: account and plan.
CREATE OR REPLACE TEMP TABLE onboarding AS
WITH summed AS (
    SELECT account_id, plan, count(*) AS steps_total, count(*) FILTER (done) AS steps_done, count(*) FILTER (overdue) AS steps_overdue,
           min(due_on) FILTER (overdue) AS steps_overdue_since, bool_or(known) AS known,
           CASE WHEN count(done_on) = count(*) THEN max(done_on) END AS last_done_on,
           arg_min({'phase': phase, 'en': phase_en, 'ja': phase_ja}, place) FILTER (NOT done) AS phase,
           string_agg(title_en || ' (' || {{due_en}} || ')', ', ' ORDER BY due_on, place) FILTER (overdue AND nth <= {{named}}) AS overdue_en,
           string_agg(title_ja || '(' || {{due_ja}} || ')', '、' ORDER BY due_on, place) FILTER (overdue AND nth <= {{named}}) AS overdue_ja,
           arg_min({'en': {{next_en}}, 'ja': {{next_ja}}}, (due_on, place)) FILTER (NOT done) AS next
    FROM (SELECT *, row_number() OVER (PARTITION BY account_id, plan, overdue ORDER BY due_on, place) AS nth FROM onboarding_steps) GROUP BY ALL
), ended AS (
    SELECT r.*, s.* EXCLUDE (account_id, plan), e.newest, coalesce(e.seen_open, false) AS seen_open,
           r.outcome = 'completed' OR (s.steps_done = s.steps_total AND r.outcome IS DISTINCT FROM 'failed_proceeding') AS completed
    FROM o_run AS r JOIN summed AS s ON s.account_id = r.acct AND s.plan = r.plan LEFT JOIN o_earlier AS e ON e.account_id = r.acct AND e.plan = r.plan
), dated AS (
    -- A completion without a date of its own took place by today where today is within the period or an earlier run still saw it open.
    SELECT *, CASE WHEN coalesce(completed, false) THEN
                  coalesce(newest.completed_on, last_done_on, CASE WHEN {{on}} <= period_end OR seen_open THEN {{on}} END) END AS completed_on
    FROM ended
)
SELECT acct AS account_id, plan, version, main, starts_on, days, period_end, due_on, outcome, steps_done, steps_total,
       CASE WHEN coalesce(completed, false) THEN 0 ELSE steps_overdue END AS steps_overdue,
       CASE WHEN NOT coalesce(completed, false) THEN steps_overdue_since END AS steps_overdue_since, completed_on,
       CASE WHEN coalesce(completed, false) THEN 'completed' WHEN outcome = 'failed_proceeding' THEN 'failed_proceeding'
            WHEN NOT known THEN NULL WHEN {{on}} > due_on THEN 'failed_proceeding' WHEN outcome = 'extended' THEN 'extended'
            WHEN steps_overdue > 0 THEN 'overdue' WHEN steps_done = 0 THEN 'not_started' ELSE 'on_track' END AS status,
       CASE WHEN completed_on IS NOT NULL THEN completed_on <= period_end WHEN coalesce(completed, false) OR NOT known THEN NULL
            WHEN {{on}} > period_end OR outcome = 'failed_proceeding' THEN false END AS on_time,
       CASE WHEN NOT coalesce(completed, false) THEN phase.phase END AS phase, CASE WHEN NOT coalesce(completed, false) THEN phase.en END AS phase_en,
       CASE WHEN NOT coalesce(completed, false) THEN phase.ja END AS phase_ja,
       CASE WHEN NOT coalesce(completed, false) THEN overdue_en || CASE WHEN steps_overdue > {{named}} THEN ' and ' || (steps_overdue - {{named}}) || ' more' ELSE '' END END
           AS overdue_en,
       CASE WHEN NOT coalesce(completed, false) THEN overdue_ja || CASE WHEN steps_overdue > {{named}} THEN 'ほか' || (steps_overdue - {{named}}) || '件' ELSE '' END END
           AS overdue_ja,
       CASE WHEN NOT coalesce(completed, false) AND known THEN next.en END AS next_en,
       CASE WHEN NOT coalesce(completed, false) AND known THEN next.ja END AS next_ja, newest
FROM dated;

-- name: changes
-- Where status or completion differ from the newest row: what record appends to the history.
CREATE OR REPLACE TEMP TABLE onboarding_changes AS
SELECT account_id, plan, version, starts_on, {{on}} AS on_, status, completed_on, {{as_of}} AS as_of
FROM onboarding WHERE status IS NOT NULL
  AND (newest IS NULL OR {'version': version, 'status': status, 'completed_on': completed_on} IS DISTINCT FROM newest);

-- name: renewals
-- Grain: account. How many terms of the main product are over, plus those that one line has run through where its own term is shorter, plus one.
CREATE OR REPLACE TEMP TABLE o_renewal AS
SELECT l.acct, count(DISTINCT l.ends_on) FILTER (l.ends_on < {{on}})
           + max(greatest(round(datediff('month', l.starts_on, l.ends_on + 1) / nullif(l.term_months, 0)), 1)) FILTER (l.is_open AND l.ends_on IS NOT NULL)
           AS renewal_number
FROM j_line AS l JOIN j_main AS m ON m.acct = l.acct AND m.main_product IS NOT DISTINCT FROM l.product
WHERE l.started GROUP BY l.acct;
