-- name: earlier
-- What earlier runs decided per account, today's included.
CREATE OR REPLACE TEMP TABLE g_earlier AS
SELECT account_id, arg_max({'priority': priority, 'holder': holder, 'touch': touch_suggested, 'team': team, 'owner': owner}, (on_, as_of)) AS newest
FROM {{history}} WHERE on_ <= {{on}} AND account_id IN (SELECT account_id FROM scores) GROUP BY account_id;

-- name: partners
-- Partner -> who works the accounts that it manages.
CREATE OR REPLACE TEMP TABLE g_partner AS SELECT id, coalesce(csm_id, owner_id) AS holder FROM {{partner}} WHERE NOT gone;

-- name: no_partners
CREATE OR REPLACE TEMP TABLE g_partner AS SELECT NULL::VARCHAR AS id, NULL::VARCHAR AS holder WHERE false;

-- name: rows
-- Grain: account in scope. One pass over everything an expression may name.
CREATE OR REPLACE TEMP TABLE g_row AS
WITH given AS (
    SELECT r.*, coalesce(n.alerts_open, 0) AS alerts_open, {{spread}} AS spread_days, e.newest, CASE WHEN r.partner_id IS NULL THEN coalesce(r.csm_id, r.owner_id) ELSE p.holder END AS holder
    FROM d_row AS r LEFT JOIN (SELECT account_id, count(*) AS alerts_open FROM d_alert GROUP BY account_id) AS n ON n.account_id = r.account_id
    LEFT JOIN g_earlier AS e ON e.account_id = r.account_id LEFT JOIN g_partner AS p ON p.id = r.partner_id
), shared AS (SELECT *{{shares}} FROM given)
SELECT account_id, state, csm_id, holder, mrr, newest, CAST({{points}} AS BIGINT) AS points,
       CASE WHEN newest.holder IS NOT DISTINCT FROM holder THEN newest.priority // 100 END AS band_before,
       {{advocacy}} AS advocacy, {{innovator}} AS innovator, {{trial_user}} AS trial_user, nullif({{touch}}, coalesce(touch_model, '')) AS touch_suggested, {{team}} AS team,
       CAST(contract_ends_on + INTERVAL 1 DAY - to_months(CAST(term_months AS INTEGER)) AS DATE) AS term_starts_on
FROM shared;

-- name: listed
-- Who is on whose list, and where. An account keeps its band until its points are past the margin, and its place while it keeps the band: a newcomer
-- goes to the end of its band, so that one change moves one record. Full runs only.
CREATE OR REPLACE TEMP TABLE g_listed AS
WITH banded AS (
    SELECT account_id, holder, points, mrr, newest.priority % 100 AS place_before, band_before, CASE
        WHEN state = 'frozen' THEN band_before
        WHEN band_before < coalesce({{band}}, 9) AND points >= list_extract({{edges}}, band_before) - {{margin}} THEN band_before
        ELSE {{band}} END AS band
    FROM g_row WHERE holder IS NOT NULL
), kept AS (
    SELECT *, CASE WHEN band = band_before THEN place_before END AS kept FROM banded WHERE band IS NOT NULL
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY holder ORDER BY band, kept IS NULL, kept, points DESC, mrr DESC NULLS LAST, account_id) AS n FROM kept
), placed AS (
    SELECT account_id, holder, band, coalesce(kept, coalesce(max(kept) OVER (PARTITION BY holder, band), 0)
           + row_number() OVER (PARTITION BY holder, band, kept IS NULL ORDER BY points DESC, mrr DESC NULLS LAST, account_id)) AS place
    FROM ranked WHERE n <= {{capacity}}
), numbered AS (
    -- a band that ran out of numbers begins anew
    SELECT *, max(place) OVER (PARTITION BY holder, band) AS highest, row_number() OVER (PARTITION BY holder, band ORDER BY place) AS anew FROM placed
)
SELECT account_id, holder, CAST(band * 100 + CASE WHEN highest > 99 THEN anew ELSE place END AS BIGINT) AS priority FROM numbered;

-- name: not_listed
CREATE OR REPLACE TEMP TABLE g_listed AS
SELECT account_id, newest.holder AS holder, newest.priority AS priority FROM g_row WHERE newest.priority IS NOT NULL;

-- name: reasons
-- Why, in words, for those on a list only.
CREATE OR REPLACE TEMP TABLE g_reason AS
SELECT account_id, {{reasons}} AS reasons FROM (
    SELECT *{{shares}} FROM (
        SELECT r.*, coalesce(n.alerts_open, 0) AS alerts_open, {{spread}} AS spread_days FROM d_row AS r
        LEFT JOIN (SELECT account_id, count(*) AS alerts_open FROM d_alert GROUP BY account_id) AS n ON n.account_id = r.account_id
        WHERE r.account_id IN (SELECT account_id FROM g_listed)));

-- name: owners
-- Owners of each team, the one with the fewest accounts first.
CREATE OR REPLACE TEMP TABLE g_owner AS
SELECT team, owner, row_number() OVER (PARTITION BY team ORDER BY held, owner) - 1 AS turn, count(*) OVER (PARTITION BY team) AS owners
FROM (SELECT t.team, t.owner, count(g.account_id) AS held FROM {{owners}} AS t LEFT JOIN g_row AS g ON g.csm_id = t.owner GROUP BY ALL);

-- name: assigned
-- A suggestion stands while its person belongs to the team; new ones are dealt out by size in full runs.
CREATE OR REPLACE TEMP TABLE g_assigned AS
WITH wished AS (
    SELECT g.*, l.priority, l.holder AS list_of, CASE
        WHEN {{csm_stays}} THEN NULL
        WHEN EXISTS (FROM g_owner AS o WHERE o.team = g.team AND o.owner = g.newest.owner) THEN g.newest.owner END AS kept_owner,
        NOT ({{csm_stays}}) AS wants
    FROM g_row AS g LEFT JOIN g_listed AS l ON l.account_id = g.account_id
), dealt AS (
    SELECT account_id, team, row_number() OVER (PARTITION BY team ORDER BY mrr DESC NULLS LAST, account_id) - 1 AS turn
    FROM wished WHERE wants AND kept_owner IS NULL AND {{whole}}
)
SELECT w.account_id, w.priority, w.list_of, w.points, w.advocacy, w.innovator, w.trial_user, w.touch_suggested, w.team, w.term_starts_on, coalesce(w.kept_owner, o.owner) AS owner,
       w.newest, {{title_en}} AS cs_team_en, {{title_ja}} AS cs_team_ja, w.holder
FROM wished AS w LEFT JOIN dealt AS d ON d.account_id = w.account_id
LEFT JOIN g_owner AS o ON o.team = d.team AND o.turn = d.turn % o.owners;

-- name: named
CREATE OR REPLACE TEMP VIEW assigned AS
SELECT a.* EXCLUDE (newest), r.reasons, CASE WHEN a.owner IS NOT NULL THEN coalesce(u.name, a.owner) END AS owner_suggested
FROM g_assigned AS a LEFT JOIN g_reason AS r ON r.account_id = a.account_id LEFT JOIN {{user}} AS u ON u.id = a.owner;

-- name: assignments
-- The rows to append: where something changed.
CREATE OR REPLACE TEMP TABLE assignments AS
SELECT account_id, {{on}} AS on_, priority, list_of AS holder, touch_suggested, team, owner, {{version}} AS routing_version, {{run_id}} AS run_id, {{as_of}} AS as_of
FROM g_assigned
WHERE CASE WHEN newest IS NULL THEN coalesce(CAST(priority AS VARCHAR), touch_suggested, team, owner) IS NOT NULL
      ELSE {'priority': priority, 'holder': list_of, 'touch': touch_suggested, 'team': team, 'owner': owner} IS DISTINCT FROM newest END
ORDER BY account_id;
