-- name: people
CREATE OR REPLACE TEMP TABLE w_person AS SELECT id, name, team FROM {{user}} WHERE id IN (SELECT csm_id FROM accounts);

-- name: facts
-- CSQLs handed to sales, and onboardings on the last day of their period: those in time are known earlier than the others, so counting them when they are
-- done would flatter the newest weeks. A candidate is not handed over before somebody submits it.
CREATE OR REPLACE TEMP TABLE w_fact AS
SELECT a.csm_id, p.team, coalesce(r.opened_on, r.created_on) AS day, true AS is_csql, NULL::BOOLEAN AS in_time
FROM q_record AS r JOIN accounts AS a ON a.account_id = r.account_id LEFT JOIN q_life AS l ON l.id = r.record_id LEFT JOIN w_person AS p ON p.id = a.csm_id
WHERE coalesce(l.submitted OR l.accepted, false) OR r.state IN ('Submitted', 'Accepted', 'Meeting', 'Opportunity', 'Won', 'Lost', 'Returned')
UNION ALL
SELECT a.csm_id, p.team, o.period_end, false, o.on_time
FROM onboarding AS o JOIN accounts AS a ON a.account_id = o.account_id LEFT JOIN w_person AS p ON p.id = a.csm_id
WHERE o.on_time IS NOT NULL;

-- name: guard
-- Grain: everybody, team, CSM (two periods of so many days compared), and month (the last twelve, nothing compared). `warns`: more CSQLs while fewer
-- onboardings end in time, both beyond the least numbers.
CREATE OR REPLACE TEMP TABLE guard AS
WITH counted AS (
    SELECT CASE WHEN grouping(csm_id) = 0 THEN 'csm' WHEN grouping(team) = 0 THEN 'team' ELSE 'all' END AS kind,
           CASE WHEN grouping(csm_id) = 0 THEN csm_id WHEN grouping(team) = 0 THEN team ELSE '' END AS who,
           count(*) FILTER (is_csql AND NOT late_) AS csqls_before, count(*) FILTER (is_csql AND late_) AS csqls,
           count(in_time) FILTER (NOT late_) AS settled_before, count(*) FILTER (in_time AND NOT late_) AS in_time_before,
           count(in_time) FILTER (late_) AS settled, count(*) FILTER (in_time AND late_) AS in_time
    FROM (SELECT *, day > {{on}} - {{days}} AS late_ FROM w_fact WHERE day <= {{on}} AND day > {{on}} - 2 * {{days}})
    GROUP BY GROUPING SETS ((), (team), (csm_id))
), rated AS (
    SELECT *, round(100.0 * in_time_before / nullif(settled_before, 0), 1) AS percent_before, round(100.0 * in_time / nullif(settled, 0), 1) AS percent
    FROM counted WHERE who IS NOT NULL AND csqls_before + csqls + settled_before + settled > 0
), monthly AS (
    SELECT 'month' AS kind, strftime(day, '%Y-%m') AS who, count(*) FILTER (is_csql) AS csqls, count(in_time) AS settled, count(*) FILTER (in_time) AS in_time
    FROM w_fact WHERE day <= {{on}} AND day >= CAST(date_trunc('month', {{on}}) - INTERVAL 11 MONTH AS DATE) GROUP BY ALL
)
SELECT r.kind, r.who, CASE WHEN r.kind = 'csm' THEN p.name END AS name, r.csqls_before, r.csqls, r.settled_before, r.in_time_before, r.percent_before,
       r.settled, r.in_time, r.percent,
       coalesce(r.csqls >= {{least_csqls}} AND r.csqls > r.csqls_before AND least(r.settled, r.settled_before) >= {{least_settled}}
                AND r.percent_before - r.percent >= {{fall_points}}, false) AS warns
FROM rated AS r LEFT JOIN w_person AS p ON p.id = r.who AND r.kind = 'csm'
UNION ALL BY NAME
SELECT kind, who, csqls, settled, in_time, round(100.0 * in_time / nullif(settled, 0), 1) AS percent, false AS warns FROM monthly
ORDER BY kind, who;
