-- name: repeated_ids
-- Ids that come in more than one version. Most runs over a compacted lake have few; only those rows pay for the window below.
CREATE OR REPLACE TEMP TABLE j_repeated AS
SELECT connection, id FROM {{relation}} WHERE {{where}} GROUP BY ALL HAVING count(*) > 1;

-- name: latest
-- The current version of every record: greatest (modified_at, read_at, part). Tombstones and merged-away records are still in it.
SELECT {{columns}} FROM {{relation}} AS r
WHERE {{where}} AND NOT EXISTS (FROM j_repeated AS d WHERE d.connection IS NOT DISTINCT FROM r.connection AND d.id = r.id)
UNION ALL
SELECT {{names}} FROM (
    SELECT {{columns}}, row_number() OVER (
        PARTITION BY r.connection, r.id ORDER BY r.modified_at DESC NULLS LAST, r.read_at DESC NULLS LAST, {{part}} DESC) AS version_
    FROM {{relation}} AS r
    WHERE {{where}} AND EXISTS (FROM j_repeated AS d WHERE d.connection IS NOT DISTINCT FROM r.connection AND d.id = r.id)
) WHERE version_ = 1

-- name: single
-- The same where no record has a second version.
SELECT {{columns}} FROM {{relation}} AS r WHERE {{where}}

-- name: masters
-- Merged-away account -> the survivor at the end of its chain. Chains are followed at most 20 deep, so a circle in dirty data ends.
CREATE OR REPLACE TEMP TABLE j_master AS
WITH RECURSIVE merged AS (SELECT id, master_id FROM {{relation}} WHERE master_id IS NOT NULL AND master_id <> id GROUP BY ALL),
chain(id, master_id, depth) AS (
    SELECT id, master_id, 1 FROM merged
    UNION
    SELECT c.id, m.master_id, c.depth + 1 FROM chain AS c JOIN merged AS m ON m.id = c.master_id WHERE c.depth < 20
)
SELECT id, arg_max(master_id, depth) AS master_id FROM chain GROUP BY id;

-- name: no_masters
CREATE OR REPLACE TEMP TABLE j_master AS SELECT NULL::VARCHAR AS id, NULL::VARCHAR AS master_id WHERE false;

-- name: only
-- The accounts of an increment, survivors in the place of merged-away ones.
CREATE OR REPLACE TEMP TABLE j_only AS
SELECT DISTINCT coalesce(m.master_id, o.account_id) AS account_id FROM {{only}} AS o LEFT JOIN j_master AS m ON m.id = o.account_id
WHERE o.account_id IS NOT NULL;

-- name: load_accounts
-- What is read for them: besides themselves every account that claims one of their match keys, since a key with two claimants matches nobody.
CREATE OR REPLACE TEMP TABLE j_load AS
WITH raw AS (SELECT account_id AS id FROM j_only UNION SELECT m.id FROM j_master AS m JOIN j_only AS o ON o.account_id = m.master_id),
line_keys AS (SELECT match_key FROM {{contracts}} WHERE match_key IS NOT NULL AND (account_id IN (SELECT id FROM raw) OR end_user_id IN (SELECT id FROM raw))),
wanted AS (
    SELECT id FROM raw
    UNION SELECT id FROM {{accounts}} WHERE match_key IN (SELECT match_key FROM {{accounts}} WHERE id IN (SELECT id FROM raw))
    UNION SELECT coalesce(end_user_id, account_id) FROM {{contracts}} WHERE match_key IN (SELECT match_key FROM line_keys)
)
SELECT id FROM wanted WHERE id IS NOT NULL
UNION SELECT m.master_id FROM wanted AS w JOIN j_master AS m ON m.id = w.id
UNION SELECT m.id FROM wanted AS w JOIN j_master AS m ON m.master_id = w.id;

-- name: contract_lines
-- One row per contract line that is not deleted. The line belongs to its end user; a reseller's own account is not made healthy by it.
CREATE OR REPLACE TEMP TABLE j_line AS
WITH line AS (
    SELECT c.*, coalesce(m.master_id, c.end_user_id, c.account_id) AS acct,
           (c.starts_on IS NULL OR c.starts_on <= {{on}}) AND NOT coalesce(c.is_trial, false) AND coalesce(c.status, 'active') <> 'draft' AS started
    FROM j_contract AS c LEFT JOIN j_master AS m ON m.id = coalesce(c.end_user_id, c.account_id)
    WHERE NOT coalesce(c.deleted, false)
)
SELECT *, started AND (ends_on IS NULL OR ends_on >= {{on}}) AND (churned_on IS NULL OR churned_on > {{on}})
          AND NOT (coalesce(status, 'active') = 'ended' AND {{status_decides}}) AS is_open
FROM line WHERE acct IS NOT NULL;

-- name: owned
-- Grain: account and product that an open or past line names.
CREATE OR REPLACE TEMP TABLE j_owned AS
SELECT acct, product, bool_or(is_open) AS owned,
       sum(seats) FILTER (is_open) AS product_seats, sum(mrr) FILTER (is_open) AS product_mrr,
       arg_max(plan, (coalesce(mrr, -1), id)) FILTER (is_open AND plan IS NOT NULL) AS product_plan,
       min(starts_on) FILTER (started) AS product_starts_on
FROM j_line GROUP BY acct, product;

-- name: main_product
CREATE OR REPLACE TEMP TABLE j_main AS
SELECT DISTINCT ON (acct) acct, product AS main_product, product_starts_on AS contract_starts_on
FROM j_owned WHERE owned ORDER BY acct, product_mrr DESC NULLS LAST, product NULLS LAST;

-- name: first_end
-- The open line that ends first; its notice deadline is the end minus one calendar month where none is kept.
CREATE OR REPLACE TEMP TABLE j_first_end AS
SELECT DISTINCT ON (acct) acct, ends_on AS contract_ends_on,
       coalesce(term_months, datediff('month', starts_on, ends_on + 1)) AS term_months,
       coalesce(notice_on, CAST(ends_on - INTERVAL 1 MONTH AS DATE)) AS notice_on,
       CASE WHEN notice_on IS NOT NULL THEN false WHEN ends_on IS NOT NULL THEN true END AS notice_estimated, auto_renew
FROM j_line WHERE is_open ORDER BY acct, ends_on NULLS LAST, notice_on NULLS LAST, id;

-- name: contract_facts
CREATE OR REPLACE TEMP TABLE j_contract_facts AS
SELECT acct, count(*) FILTER (is_open) AS contracts, bool_or(started) AS had_contract,
       count(DISTINCT product) FILTER (is_open) AS products_owned, CAST(sum(seats) FILTER (is_open) AS BIGINT) AS seats,
       sum(mrr) FILTER (is_open) AS mrr,
       count(DISTINCT currency) FILTER (is_open) AS currencies, min(currency) FILTER (is_open) AS currency,
       min(starts_on) FILTER (started) AS first_contract_on,
       max(coalesce(churned_on, ends_on)) FILTER (started AND coalesce(churned_on, ends_on) <= {{on}}) AS ended_on
FROM j_line GROUP BY acct;

-- name: activity_facts
-- Done = has a done stamp, or carries no due day (an event, a logged mail) and lies in the past.
CREATE OR REPLACE TEMP TABLE j_activity_facts AS
WITH act AS (
    SELECT coalesce(m.master_id, a.account_id) AS acct, a.kind, a.owner_id, a.contact_id, a.due_on,
           CASE WHEN a.done_at IS NOT NULL THEN a.done_at WHEN a.due_on IS NULL THEN a.occurred_at END AS done
    FROM j_activity AS a LEFT JOIN j_master AS m ON m.id = a.account_id WHERE NOT coalesce(a.deleted, false)
), dated AS (
    SELECT *, CASE WHEN done <= {{as_of}} THEN {{done_on}} END AS done_on FROM act WHERE acct IS NOT NULL
)
SELECT d.acct, max(done_on) AS last_touch_on,
       count(*) FILTER (done_on > {{on}} - 90) AS touches_90d,
       count(*) FILTER (done_on > {{on}} - 90 AND d.kind IN ('meeting', 'qbr', 'kickoff')) AS meetings_90d,
       count(*) FILTER (done_on IS NOT NULL AND d.kind IN ('training', 'webinar')) AS trainings_done,
       count(*) FILTER (done_on > {{on}} - 90 AND d.kind = 'email_open') AS message_opens_90d,
       count(*) FILTER (done_on > {{on}} - 180 AND d.kind IN ('webinar', 'event')) AS events_attended_180d,
       max(done_on) FILTER (d.kind = 'qbr') AS last_qbr_on,
       max(done_on) FILTER (c.id IS NOT NULL) AS last_decision_maker_on,
       count(*) FILTER (d.kind = 'onboarding_step' AND done_on IS NULL AND due_on < {{on}}) AS onboarding_steps_open,
       max(done_on) FILTER (d.owner_id = o.owner_id AND d.owner_id IS DISTINCT FROM o.csm_id) AS sales_touch_on
FROM dated AS d
LEFT JOIN (SELECT id FROM j_contact WHERE role = 'decision_maker' AND NOT coalesce(deleted, false)) AS c ON c.id = d.contact_id
LEFT JOIN j_account AS o ON o.id = d.acct
GROUP BY d.acct;

-- name: contact_facts
CREATE OR REPLACE TEMP TABLE j_contact_facts AS
WITH person AS (
    SELECT coalesce(m.master_id, c.account_id) AS acct, c.role, c.left_on,
           CASE WHEN c.left_on IS NOT NULL THEN c.left_on > {{on}} ELSE coalesce(c.active, true) END AS here
    FROM j_contact AS c LEFT JOIN j_master AS m ON m.id = c.account_id WHERE NOT coalesce(c.deleted, false)
)
SELECT acct, count(*) FILTER (here) AS contacts, count(*) FILTER (here AND role IN ('operator', 'admin')) AS operators,
       count(*) FILTER (here AND role = 'champion') AS champions, count(*) FILTER (here AND role = 'decision_maker') AS decision_makers,
       CASE WHEN count(*) FILTER (here AND role = 'champion') = 0 THEN max(left_on) FILTER (role = 'champion' AND NOT here) END AS champion_left_on
FROM person WHERE acct IS NOT NULL GROUP BY acct;

-- name: ticket_facts
CREATE OR REPLACE TEMP TABLE j_ticket_facts AS
WITH dated AS (
    SELECT coalesce(m.master_id, t.account_id) AS acct, t.priority, t.escalated, t.csat, {{opened_on}} AS opened_on,
           CASE WHEN t.closed_at <= {{as_of}} THEN {{closed_on}} END AS closed_on
    FROM j_ticket AS t LEFT JOIN j_master AS m ON m.id = t.account_id WHERE NOT coalesce(t.deleted, false) AND t.opened_at <= {{as_of}}
)
SELECT acct, count(*) FILTER (opened_on > {{on}} - 90) AS tickets_90d, count(*) FILTER (closed_on IS NULL) AS tickets_open,
       count(*) FILTER (closed_on IS NULL AND priority = 'p1') AS p1_open,
       {{on}} - min(opened_on) FILTER (closed_on IS NULL AND priority = 'p1') AS p1_open_days,
       count(*) FILTER (closed_on IS NULL AND escalated) AS escalated_open,
       CAST(sum(CAST(csat AS DECIMAL(18, 6))) FILTER (closed_on > {{on}} - 90) AS DOUBLE)
           / nullif(count(csat) FILTER (closed_on > {{on}} - 90), 0) AS csat_90d,
       count(csat) FILTER (closed_on > {{on}} - 90) AS csat_answers_90d
FROM dated WHERE acct IS NOT NULL GROUP BY acct;

-- name: survey_facts
CREATE OR REPLACE TEMP TABLE j_survey_facts AS
WITH dated AS (
    SELECT coalesce(m.master_id, s.account_id) AS acct, s.score, {{occurred_on}} AS occurred_on
    FROM j_survey AS s LEFT JOIN j_master AS m ON m.id = s.account_id
    WHERE NOT coalesce(s.deleted, false) AND s.kind = 'nps' AND s.score IS NOT NULL AND s.occurred_at <= {{as_of}}
)
SELECT acct, CAST(sum(CAST(score AS DECIMAL(18, 6))) FILTER (occurred_on > {{on}} - 180) AS DOUBLE)
           / nullif(count(*) FILTER (occurred_on > {{on}} - 180), 0) AS nps_180d,
       count(*) FILTER (occurred_on > {{on}} - 180) AS nps_answers_180d, max(occurred_on) AS nps_last_on
FROM dated WHERE acct IS NOT NULL GROUP BY acct;

-- name: open_opportunities
CREATE OR REPLACE TEMP TABLE j_open_opportunity AS
SELECT coalesce(m.master_id, o.account_id) AS acct, o.product, o.kind
FROM j_opportunity AS o LEFT JOIN j_master AS m ON m.id = o.account_id
WHERE NOT coalesce(o.deleted, false) AND o.account_id IS NOT NULL
  AND (NOT coalesce(o.closed, false) OR (NOT {{status_decides}} AND o.close_on > {{on}}));

-- name: outcome_facts
CREATE OR REPLACE TEMP TABLE j_outcome_facts AS
WITH dated AS (
    SELECT coalesce(m.master_id, o.account_id) AS acct, o.baseline, o.current_value, o.fewer_is_better, {{occurred_on}} AS occurred_on
    FROM j_outcome AS o LEFT JOIN j_master AS m ON m.id = o.account_id
    WHERE NOT coalesce(o.deleted, false) AND o.occurred_at <= {{as_of}}
), recent AS (
    -- decimals: their sum does not depend on the order of rows; twelve of them, since the mean is rounded to six and must not be rounded twice
    SELECT *, CASE WHEN baseline <> 0 THEN
                        CAST((current_value - baseline) / abs(baseline) * CASE WHEN fewer_is_better THEN -100 ELSE 100 END AS DECIMAL(38, 12)) END AS change
    FROM dated WHERE acct IS NOT NULL
)
SELECT acct, count(*) FILTER (occurred_on > {{on}} - 365) AS outcomes,
       CAST(sum(change) FILTER (occurred_on > {{on}} - 365) AS DOUBLE) / nullif(count(change) FILTER (occurred_on > {{on}} - 365), 0) AS outcome_change,
       max(occurred_on) AS outcome_last_on
FROM recent GROUP BY acct;
