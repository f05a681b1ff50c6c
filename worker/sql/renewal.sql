-- name: row
-- What conditions of renewal.yml and self_success.yml may use, per account in scope. A month is taken as 30 days, as for the stage.
CREATE OR REPLACE TEMP VIEW d_renewal_row AS
SELECT r.*, coalesce(q.csql_open_count, 0) AS csql_open_count, coalesce(w.n, 0) AS white_space_products, {{span}} AS prep_days,
       r.notice_on - CAST({{span}} AS INTEGER) AS prep_from
FROM d_row AS r LEFT JOIN q_account AS q ON q.account_id = r.account_id
LEFT JOIN (SELECT p.account_id, count(*) AS n FROM account_products AS p JOIN j_product AS g ON g.product = p.product WHERE NOT p.owned AND g.sell GROUP BY ALL)
     AS w ON w.account_id = r.account_id;

-- name: preparing
-- From the first day of preparation to the notice deadline, both included; monthly terms have none, and after a churn notice there is nothing to prepare.
CREATE OR REPLACE TEMP TABLE d_preparing AS
SELECT * FROM d_renewal_row WHERE {{on}} BETWEEN prep_from AND notice_on AND term_months > 1 AND churn_notice_on IS NULL;

-- name: step
SELECT account_id, {{place}} AS place, {{step}} AS step, {{title_en}} AS title_en, {{title_ja}} AS title_ja, {{action_en}} AS action_en, {{action_ja}} AS action_ja,
       {{side}} AS side, notice_on - CAST(round({{days_before}} * prep_days / {{default_days}}) AS INTEGER) AS due_on, {{done}} AS done, {{by_date}} AS by_date
FROM d_preparing

-- name: renewal
-- Grain: account in scope. The stage of the preparation is its first step that is not done.
CREATE OR REPLACE TEMP TABLE d_renewal AS
WITH steps AS (
    SELECT account_id, count(*) AS n, count(*) FILTER (done) AS done, arg_min({'step': step, 'en': title_en, 'ja': title_ja, 'due_on': due_on,
           'action_en': action_en, 'action_ja': action_ja}, place) FILTER (NOT done) AS next
    FROM renewal_steps GROUP BY ALL
)
SELECT r.account_id,
       CASE WHEN NOT {{any_steps}} OR r.notice_on IS NULL OR coalesce(r.term_months, 0) <= 1 THEN NULL WHEN r.churn_notice_on IS NOT NULL THEN NULL
            WHEN {{on}} > r.notice_on THEN 'passed' WHEN s.account_id IS NULL THEN 'not_yet' WHEN s.next IS NULL THEN 'ready' ELSE s.next.step END AS renewal_prep,
       CASE WHEN s.next IS NOT NULL THEN {{next_en}} END AS renewal_next_en, CASE WHEN s.next IS NOT NULL THEN {{next_ja}} END AS renewal_next_ja,
       CASE WHEN s.account_id IS NOT NULL THEN s.next.due_on END AS renewal_next_on,
       coalesce(r.last_qbr_on, r.contract_starts_on) + CAST({{qbr_days}} AS INTEGER) AS qbr_due_on,
       CASE WHEN s.account_id IS NOT NULL THEN CASE WHEN coalesce({{expansion}}, false) THEN 'ready' ELSE 'not_yet' END END AS expansion_ready,
       CASE WHEN {{tech}} THEN {{why_en}} END AS self_success_en, CASE WHEN {{tech}} THEN {{why_ja}} END AS self_success_ja,
       CASE r.onboarding_on_time WHEN true THEN 'yes' WHEN false THEN 'no' END AS on_time,
       CASE WHEN r.onboarding_plan IS NOT NULL THEN r.onboarding_plan || ' v' || r.onboarding_version END AS onboarding_criteria,
       {{phase_en}} AS onboarding_phase_en, {{phase_ja}} AS onboarding_phase_ja,
       CASE WHEN r.steps_overdue > 0 THEN {{overdue_en}} END AS setup_overdue_en, CASE WHEN r.steps_overdue > 0 THEN {{overdue_ja}} END AS setup_overdue_ja
FROM d_renewal_row AS r LEFT JOIN steps AS s ON s.account_id = r.account_id;
