-- name: left
-- Grain: account that left, or has said so and is still served. `decided_on`: the day of the notice where there was one, else the day they left: what came
-- before it could still have changed something. Money: lines that ended in the 31 days to the end; of those still here, all. Null where currencies mix.
CREATE OR REPLACE TEMP TABLE k_left AS
WITH line AS (
    SELECT acct, coalesce(churned_on, ends_on) AS ended_on, mrr, currency, churn_reason, churn_note, id FROM j_line WHERE started
), counted AS (
    SELECT a.account_id, arg_max(l.churn_reason, (l.ended_on, l.id)) FILTER (nullif(trim(l.churn_reason), '') IS NOT NULL) AS reason,
           arg_max(l.churn_note, (l.ended_on, l.id)) FILTER (nullif(trim(l.churn_note), '') IS NOT NULL) AS note,
           sum(l.mrr) FILTER (l.ended_on BETWEEN a.churned_on - 31 AND a.churned_on) AS mrr,
           count(DISTINCT l.currency) FILTER (l.ended_on BETWEEN a.churned_on - 31 AND a.churned_on) AS currencies,
           min(l.currency) FILTER (l.ended_on BETWEEN a.churned_on - 31 AND a.churned_on) AS currency
    FROM k_account AS a JOIN line AS l ON l.acct = a.account_id AND (l.ended_on <= a.churned_on OR a.churned_on IS NULL) GROUP BY a.account_id
)
SELECT a.account_id, a.name, a.csm_id, CASE WHEN a.churned_on IS NULL THEN 'leaving' ELSE 'left' END AS state, a.churned_on, a.churn_notice_on,
       CASE WHEN a.churn_notice_on <= coalesce(a.churned_on, a.churn_notice_on) THEN a.churn_notice_on ELSE a.churned_on END AS decided_on,
       c.reason, c.note, coalesce({{reason_code}}, CASE WHEN c.reason IS NULL THEN 'unknown' ELSE 'other' END) AS reason_code,
       CAST(CASE WHEN a.churned_on IS NULL THEN a.mrr WHEN c.currencies <= 1 THEN c.mrr END AS DOUBLE) AS mrr,
       CASE WHEN a.churned_on IS NULL THEN a.currency WHEN c.currencies = 1 THEN c.currency END AS currency
FROM k_account AS a LEFT JOIN counted AS c ON c.account_id = a.account_id;

-- name: scores
-- The newest row of each account and date, with the day until which it stood.
CREATE OR REPLACE TEMP TABLE k_score AS
SELECT account_id, on_, arg_max({'score': score, 'tier': tier, 'capped_by': capped_by}, as_of) AS was FROM {{history}}
WHERE account_id IN (SELECT account_id FROM k_left) AND on_ <= {{on}} GROUP BY ALL;

-- name: signals
CREATE OR REPLACE TEMP TABLE k_signal AS
SELECT account_id, rule, on_, arg_max(signal, as_of) AS signal FROM {{history}}
WHERE account_id IN (SELECT account_id FROM k_left) AND rule IN ({{rules}}) AND on_ <= {{on}} GROUP BY ALL;

-- name: before
-- Grain: account and number of days before the decision: score, tier, alerts and patterns as they stood at the end of that day.
CREATE OR REPLACE TEMP TABLE k_before AS
WITH asked AS (SELECT l.account_id, n.days, l.decided_on - n.days AS day FROM k_left AS l CROSS JOIN (VALUES {{days}}) AS n(days)),
scored AS (
    SELECT a.account_id, a.days, any_value(a.day) AS day, arg_max(s.was, s.on_) AS was FROM asked AS a
    LEFT JOIN k_score AS s ON s.account_id = a.account_id AND s.on_ <= a.day GROUP BY ALL
), held AS (
    SELECT a.account_id, a.days, g.rule, arg_max(g.signal, g.on_) AS signal FROM asked AS a
    JOIN k_signal AS g ON g.account_id = a.account_id AND g.on_ <= a.day GROUP BY ALL
)
SELECT s.account_id, s.days, s.day, s.was.score AS score, s.was.tier AS tier, s.was.capped_by AS capped_by,
       list(substr(h.rule, 7) ORDER BY h.rule) FILTER (starts_with(h.rule, 'alert/')) AS alerts,
       list(substr(h.rule, 9) ORDER BY h.rule) FILTER (starts_with(h.rule, 'pattern/')) AS patterns
FROM scored AS s LEFT JOIN held AS h ON h.account_id = s.account_id AND h.days = s.days AND h.signal GROUP BY ALL;

-- name: warned
-- The first warning in the days before the decision: a low tier, or an alert or pattern that is one. One that began before them counts from their first day.
CREATE OR REPLACE TEMP TABLE k_warned AS
WITH standing AS (
    SELECT account_id, on_, 'tier/' || was.tier AS what, was.tier <= {{red}} AS warns,
           lead(on_) OVER (PARTITION BY account_id ORDER BY on_) AS until_on FROM k_score
    UNION ALL
    SELECT account_id, on_, rule, signal AND rule NOT IN ({{no_warning}}), lead(on_) OVER (PARTITION BY account_id, rule ORDER BY on_) FROM k_signal
), within AS (
    SELECT s.account_id, s.what, greatest(s.on_, l.decided_on - {{days}}) AS on_
    FROM standing AS s JOIN k_left AS l ON l.account_id = s.account_id
    WHERE s.warns AND s.on_ < l.decided_on AND (s.until_on IS NULL OR s.until_on > l.decided_on - {{days}})
)
SELECT account_id, min(on_) AS on_, list_sort(list(DISTINCT what) FILTER (on_ = first_on)) AS what
FROM (SELECT *, min(on_) OVER (PARTITION BY account_id) AS first_on FROM within) GROUP BY account_id;

-- name: checklist
-- Grain: account and step. Due so many days after the decision, done by an activity from that day on.
SELECT l.account_id, s.name, s.title_{{lang}} AS title, l.decided_on + CAST(s.days AS INTEGER) AS due_on,
       min(t.done_on) FILTER (list_contains(s.kinds, t.kind) AND (s.subject IS NULL OR contains(t.subject, s.subject))) AS done_on
FROM k_left AS l CROSS JOIN k_step AS s LEFT JOIN k_touch AS t ON t.account_id = l.account_id AND t.done_on >= l.decided_on
GROUP BY l.account_id, s.name, s.title_{{lang}}, l.decided_on, s.days, s.place ORDER BY l.account_id, s.place

-- name: touches
CREATE OR REPLACE TEMP TABLE k_touch AS
SELECT l.account_id, a.kind, coalesce(a.subject, '') AS subject, a.outbound,
       CAST(timezone({{zone}}, CASE WHEN a.done_at IS NOT NULL THEN a.done_at WHEN a.due_on IS NULL THEN a.occurred_at END) AS DATE) AS done_on
FROM j_activity AS a LEFT JOIN j_master AS m ON m.id = a.account_id JOIN k_left AS l ON l.account_id = coalesce(m.master_id, a.account_id)
WHERE NOT coalesce(a.deleted, false) AND coalesce(a.done_at, CASE WHEN a.due_on IS NULL THEN a.occurred_at END) <= {{as_of}};

-- name: signs
-- Signs that a customer who left may come back, or that one of its people is now with another account. What names no day has none.
CREATE OR REPLACE TEMP TABLE k_sign AS
WITH watched AS (SELECT account_id, churned_on FROM k_left WHERE state = 'left' AND churned_on >= {{on}} - {{watch_days}})
SELECT w.account_id, 'opportunity' AS sign, CAST(NULL AS DATE) AS on_, o.product AS detail FROM watched AS w
JOIN (SELECT o.*, coalesce(m.master_id, o.account_id) AS acct FROM j_opportunity AS o LEFT JOIN j_master AS m ON m.id = o.account_id) AS o ON o.acct = w.account_id
WHERE NOT coalesce(o.deleted, false) AND NOT coalesce(o.closed, false) AND coalesce(o.close_on > w.churned_on, true)
UNION ALL
SELECT w.account_id, CASE WHEN l.is_trial THEN 'trial' ELSE 'contract' END, l.starts_on, l.product FROM watched AS w JOIN j_line AS l ON l.acct = w.account_id
WHERE l.starts_on > w.churned_on AND (coalesce(l.is_trial, false) OR NOT l.started)
UNION ALL
SELECT w.account_id, 'inbound', max(t.done_on), arg_max(t.kind, t.done_on) FROM watched AS w JOIN k_touch AS t ON t.account_id = w.account_id
WHERE NOT t.outbound AND t.done_on > w.churned_on GROUP BY w.account_id
UNION ALL
SELECT w.account_id, 'moved', CAST(timezone({{zone}}, c.modified_at) AS DATE), coalesce(c.name, c.id) || ' → ' || coalesce(n.name, c.account_id)
FROM watched AS w JOIN (SELECT DISTINCT id, account_id FROM {{contacts}}) AS v ON v.account_id = w.account_id
JOIN j_contact AS c ON c.id = v.id LEFT JOIN j_master AS m ON m.id = c.account_id LEFT JOIN k_name AS n ON n.id = coalesce(m.master_id, c.account_id)
WHERE NOT coalesce(c.deleted, false) AND coalesce(m.master_id, c.account_id) <> w.account_id;

-- name: rows
-- Grain: account. The last score is the one it keeps: nobody who left is scored again.
SELECT l.account_id, l.name, l.csm_id, l.state, l.churned_on, l.churn_notice_on, l.decided_on, l.reason_code, l.reason, l.note, l.mrr, l.currency,
       s.was.score AS last_score, s.was.tier AS last_tier, s.on_ AS last_score_on, w.on_ AS warned_on, l.decided_on - w.on_ AS warned_days, w.what AS warned_by,
       g.signs
FROM k_left AS l LEFT JOIN k_warned AS w ON w.account_id = l.account_id
LEFT JOIN (SELECT account_id, arg_max(was, on_) AS was, max(on_) AS on_ FROM k_score GROUP BY account_id) AS s ON s.account_id = l.account_id
LEFT JOIN (SELECT account_id, list({'sign': sign, 'on': on_, 'detail': detail} ORDER BY on_ DESC NULLS LAST, sign, detail) AS signs FROM k_sign GROUP BY account_id) AS g
       ON g.account_id = l.account_id
ORDER BY l.decided_on DESC, l.account_id

-- name: reasons
-- Counts by reason of those who left; `warned_30`: with a warning thirty days or more before they decided.
SELECT l.reason_code, CASE WHEN l.reason_code = 'other' THEN l.reason END AS reason, count(*) AS accounts,
       CASE WHEN count(DISTINCT l.currency) <= 1 THEN sum(l.mrr) END AS mrr, count(*) FILTER (l.decided_on - w.on_ >= 30) AS warned_30,
       count(*) FILTER (w.on_ IS NULL) AS not_warned
FROM k_left AS l LEFT JOIN k_warned AS w ON w.account_id = l.account_id WHERE l.state = 'left' GROUP BY ALL ORDER BY accounts DESC, l.reason_code, 2

-- name: measures
-- What one account's score was made of at the end of a day: its weighed measures, lowest points first.
SELECT c.indicator, c.axis, list_extract(p.points, c.nth) AS points, list_extract(p.values_, c.nth) AS value FROM (
    SELECT arg_max({'cards': cards, 'profile': profile, 'points': points, 'values_': values_}, (on_, as_of)) AS p FROM {{parts}}
    WHERE account_id = {{account}} AND on_ <= {{day}}) AS t(p)
JOIN (SELECT DISTINCT cards, profile, indicator, axis, weight, dense_rank() OVER (PARTITION BY cards, profile ORDER BY indicator) AS nth FROM {{cards}}) AS c
  ON c.cards = p.cards AND c.profile = p.profile
WHERE c.weight > 0 AND list_extract(p.points, c.nth) IS NOT NULL ORDER BY points, c.indicator LIMIT {{limit}}

-- name: others
-- Accounts that stayed and had a score on a day: how many, and how many of them no higher than this one.
SELECT count(*) AS scored, count(*) FILTER (score <= {{score}}) AS as_low FROM (
    SELECT account_id, arg_max(score, (on_, as_of)) AS score FROM {{history}} WHERE on_ <= {{day}}
    AND account_id IN (SELECT account_id FROM {{accounts}} WHERE scope = 'in' AND churn_notice_on IS NULL) GROUP BY account_id) WHERE score IS NOT NULL

-- name: lately
-- For a run's notes, over the tables of join: who left in the last days, by reason as the CRM has it.
SELECT coalesce({{reason_code}}, CASE WHEN c.reason IS NULL THEN 'unknown' ELSE 'other' END) AS code, count(*) AS n FROM (
    SELECT a.account_id, arg_max(l.churn_reason, (coalesce(l.churned_on, l.ends_on), l.id)) FILTER (nullif(trim(l.churn_reason), '') IS NOT NULL) AS reason
    FROM accounts AS a JOIN j_line AS l ON l.acct = a.account_id AND l.started
    WHERE a.excluded_why = 'churned' AND a.churned_on > {{on}} - {{days}} GROUP BY a.account_id) AS c GROUP BY ALL ORDER BY n DESC, code
