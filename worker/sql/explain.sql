-- name: crm
SELECT id, product, plan, seats, mrr, currency, starts_on, ends_on, notice_on, is_open AS open
FROM j_line WHERE acct = {{account}} ORDER BY is_open DESC, starts_on DESC NULLS LAST, id LIMIT {{limit}}

-- name: usage
-- Days of use up to the feed's last complete day.
SELECT u.day, coalesce(u.product, t.line_product) AS product, sum(u.events)::BIGINT AS events
FROM ({{days}}) AS u JOIN j_tenant AS t ON t.source = u.source AND t.tenant_key = u.tenant_key
WHERE t.acct = {{account}} AND u.day <= u.feed_day GROUP BY ALL ORDER BY u.day DESC, product LIMIT {{limit}}

-- name: setup
SELECT s.occurred_on, coalesce(s.product, t.line_product) AS product, s.metric, s.value
FROM j_snapshot AS s JOIN j_tenant AS t ON t.source = s.source AND t.tenant_key = s.tenant_key
WHERE t.acct = {{account}} ORDER BY s.occurred_on DESC, product, s.metric LIMIT {{limit}}

-- name: activity
SELECT a.id, CAST(timezone({{zone}}, coalesce(a.done_at, a.occurred_at)) AS DATE) AS on_, a.kind, a.done_at IS NOT NULL OR a.due_on IS NULL AS done, c.role AS contact_role
FROM j_activity AS a LEFT JOIN j_contact AS c ON c.id = a.contact_id
WHERE NOT coalesce(a.deleted, false) AND {{mine}} AND coalesce(a.done_at, a.occurred_at) <= {{as_of}} ORDER BY on_ DESC, a.id LIMIT {{limit}}

-- name: contact
SELECT a.id, a.role, a.active, a.left_on FROM j_contact AS a WHERE NOT coalesce(a.deleted, false) AND {{mine}} ORDER BY a.role, a.id LIMIT {{limit}}

-- name: ticket
SELECT a.id, CAST(timezone({{zone}}, a.opened_at) AS DATE) AS opened_on, CAST(timezone({{zone}}, a.closed_at) AS DATE) AS closed_on, a.priority, a.escalated, a.csat
FROM j_ticket AS a WHERE NOT coalesce(a.deleted, false) AND {{mine}} AND a.opened_at <= {{as_of}} ORDER BY a.closed_at IS NOT NULL, opened_on DESC, a.id LIMIT {{limit}}

-- name: survey
SELECT a.id, CAST(timezone({{zone}}, a.occurred_at) AS DATE) AS on_, a.kind, a.score, c.name AS person, c.role AS contact_role, a.comment
FROM j_survey AS a LEFT JOIN j_contact AS c ON c.id = a.contact_id WHERE NOT coalesce(a.deleted, false) AND {{mine}} AND a.occurred_at <= {{as_of}} ORDER BY on_ DESC, a.id LIMIT {{limit}}

-- name: opportunity
SELECT a.id, a.product, a.kind, a.stage, a.closed, a.close_on
FROM j_opportunity AS a WHERE NOT coalesce(a.deleted, false) AND {{mine}} ORDER BY a.closed, a.close_on DESC, a.id LIMIT {{limit}}

-- name: outcome
SELECT a.id, CAST(timezone({{zone}}, a.occurred_at) AS DATE) AS on_, a.metric, a.baseline, a.current_value, a.fact_backed
FROM j_outcome AS a WHERE NOT coalesce(a.deleted, false) AND {{mine}} AND a.occurred_at <= {{as_of}} ORDER BY on_ DESC, a.id LIMIT {{limit}}

-- name: human
SELECT own_override_score AS override_score, own_override_until AS override_until, own_pulse AS pulse, own_onboarding_outcome AS onboarding_outcome
FROM j_account WHERE id = {{account}}

-- name: history
-- `mark` says where two lines must not be read as one: another profile, or other settings.
SELECT on_, score, score_uncapped, tier, deployment, adoption, engagement, outcome, coverage, profile, capped_by, state, config_version,
       CASE WHEN lag(profile) OVER w <> profile THEN 'profile ' || lag(profile) OVER w || ' → ' || profile
            WHEN lag(config_version) OVER w <> config_version THEN 'settings changed' END AS mark
FROM (SELECT * FROM {{history}} WHERE {{mine}} QUALIFY row_number() OVER (PARTITION BY on_ ORDER BY as_of DESC) = 1)
WINDOW w AS (ORDER BY on_) ORDER BY on_ DESC LIMIT {{limit}}

-- name: writes
SELECT written_at, connection, object, record_id, field, previous, value, state, run_id
FROM {{writes}} WHERE state = 'acknowledged' AND (record_id IN ({{records}}) OR starts_with(external_key, {{account}} || '|'))
QUALIFY row_number() OVER (PARTITION BY object, coalesce(record_id, external_key), field ORDER BY written_at DESC) = 1
ORDER BY object, written_at DESC, field LIMIT {{limit}}
