-- name: facts
-- Grain: account with a ticket, an NPS answer or an incident. Dates, never ages: an age would move a record each day.
-- An escalation is over when its last ticket is closed; who then answers 9 or 10 became a fan.
CREATE OR REPLACE TEMP TABLE a_fact AS
WITH ticket AS (
    SELECT coalesce(m.master_id, t.account_id) AS acct, coalesce(t.escalated, false) AS escalated,
           CAST(timezone({{zone}}, t.opened_at) AS DATE) AS opened_on,
           CASE WHEN t.closed_at <= {{as_of}} THEN CAST(timezone({{zone}}, t.closed_at) AS DATE) END AS closed_on
    FROM j_ticket AS t LEFT JOIN j_master AS m ON m.id = t.account_id WHERE NOT coalesce(t.deleted, false) AND t.opened_at <= {{as_of}}
), tickets AS (
    SELECT acct, count(*) FILTER (opened_on > {{on}} - 28) AS tickets_28d,
           count(*) FILTER (opened_on > {{on}} - 112 AND opened_on <= {{on}} - 28) AS tickets_prev_84d,
           count(*) FILTER (closed_on IS NULL AND opened_on <= {{on}} - 7) AS tickets_open_over_7d,
           count(*) FILTER (escalated) AS escalations, count(*) FILTER (escalated AND closed_on IS NULL) AS open_,
           min(opened_on) FILTER (escalated AND closed_on IS NULL) AS since_on, max(closed_on) FILTER (escalated) AS recovered_on
    FROM ticket GROUP BY acct
), answer AS (
    SELECT coalesce(m.master_id, s.account_id) AS acct, arg_max(s.score, (s.occurred_at, s.id)) AS score,
           CAST(timezone({{zone}}, max(s.occurred_at)) AS DATE) AS on_
    FROM j_survey AS s LEFT JOIN j_master AS m ON m.id = s.account_id
    WHERE NOT coalesce(s.deleted, false) AND s.kind = 'nps' AND s.score IS NOT NULL AND s.occurred_at <= {{as_of}} GROUP BY ALL
), incident AS (
    SELECT o.acct, count(DISTINCT (e.name, e.first_day)) AS incidents_90d, max(e.last_day) AS incident_last_on,
           arg_max(e.title_en, (e.last_day, e.name)) AS incident_title_en, arg_max(e.title_ja, (e.last_day, e.name)) AS incident_title_ja
    FROM a_incident AS e JOIN j_owned AS o ON o.owned AND coalesce(e.product, o.product) = o.product AND coalesce(e.account_id, o.acct) = o.acct
         AND coalesce(o.product_starts_on, e.last_day) <= e.last_day
    WHERE e.first_day <= {{on}} AND e.last_day > {{on}} - 90 GROUP BY o.acct
)
SELECT coalesce(t.acct, s.acct, i.acct) AS acct, t.tickets_28d, t.tickets_prev_84d, t.tickets_open_over_7d,
       CASE WHEN t.open_ > 0 THEN 'open' WHEN t.escalations > 0 AND s.on_ >= t.recovered_on AND s.score >= 9 THEN 'fan'
            WHEN t.escalations > 0 THEN 'recovered' END AS escalation_state,
       t.since_on AS escalated_on, CASE WHEN t.open_ = 0 THEN t.recovered_on END AS escalation_recovered_on, s.score AS nps_last_score,
       i.incidents_90d, i.incident_last_on, i.incident_title_en, i.incident_title_ja
FROM tickets AS t FULL JOIN answer AS s ON s.acct = t.acct FULL JOIN incident AS i ON i.acct = coalesce(t.acct, s.acct)
WHERE coalesce(t.acct, s.acct, i.acct) IS NOT NULL;
