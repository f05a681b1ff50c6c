-- name: earlier_signals
-- The last closing answer and the newest one per account, product and rule.
CREATE OR REPLACE TEMP TABLE q_earlier AS
SELECT account_id, product, rule, arg_max({'signal': signal, 'since_on': since_on}, (on_, as_of)) FILTER (on_ < {{on}}) AS closing,
       arg_max({'signal': signal, 'since_on': since_on}, (on_, as_of)) AS newest
FROM {{signal_history}} WHERE on_ <= {{on}} AND {{some}} GROUP BY ALL;

-- name: product_row
-- Every column a CSQL rule may name, per account in scope and product of the catalogue.
CREATE OR REPLACE TEMP VIEW q_row AS
SELECT r.*, p.* EXCLUDE (account_id), g.title_en AS product_title_en, g.title_ja AS product_title_ja, g.sell
FROM d_row AS r JOIN account_products AS p ON p.account_id = r.account_id JOIN j_product AS g ON g.product = p.product;

-- name: rule_signals
SELECT account_id, product, {{rule}} AS rule FROM q_row
WHERE state = 'scored' AND {{over}} AND coalesce(TRY(CAST(({{when}}) AS BOOLEAN)), false)

-- name: signals_now
-- Today's answer. Only a scored account answers: anyone else keeps the last one, and the days in between do not count.
CREATE OR REPLACE TEMP TABLE q_now AS
WITH paired AS (
    SELECT coalesce(t.account_id, e.account_id) AS account_id, coalesce(t.product, e.product) AS product, coalesce(t.rule, e.rule) AS rule,
           t.account_id IS NOT NULL AS today, e.closing, e.newest
    FROM q_true AS t FULL JOIN q_earlier AS e ON e.account_id = t.account_id AND e.product = t.product AND e.rule = t.rule
), asked AS (
    SELECT p.*, s.state = 'scored' OR (s.state = 'not_scored' AND coalesce(NOT c.scored_only, false)) AS answers
    FROM paired AS p JOIN scores AS s ON s.account_id = p.account_id LEFT JOIN d_alert_config AS c ON c.rule = p.rule
    WHERE p.rule IN (SELECT rule FROM q_rule)
)
SELECT b.account_id, b.product, b.rule, b.newest, b.answers,
       CASE WHEN b.answers THEN b.today ELSE coalesce(b.newest.signal, false) END AS signal,
       CASE WHEN NOT b.answers THEN CASE WHEN b.newest.signal THEN b.newest.since_on END
            WHEN b.today THEN CASE WHEN b.closing.signal THEN b.closing.since_on ELSE {{on}} END END AS since_on
FROM asked AS b;

-- name: signals
-- Rows of signal_history: only where the answer or its beginning changed. Never having been true is no row.
CREATE OR REPLACE TEMP TABLE signals AS
SELECT account_id, product, rule, {{on}} AS on_, signal, since_on, {{run_id}} AS run_id, {{as_of}} AS as_of FROM q_now
WHERE (newest IS NULL AND signal) OR (newest IS NOT NULL AND {'signal': signal, 'since_on': since_on} IS DISTINCT FROM newest)
ORDER BY account_id, product, rule;

-- name: unscored_days
-- Days on which an account had no score of its own, since a signal began: they do not count as days above the bar.
CREATE OR REPLACE TEMP TABLE q_unscored AS
WITH closed AS (
    SELECT h.account_id, h.on_, arg_max(h.state, h.as_of) AS state FROM {{history}} AS h
    WHERE h.on_ < {{on}} AND h.account_id IN (SELECT account_id FROM q_now WHERE signal) GROUP BY ALL
), span AS (
    SELECT account_id, on_, lead(on_, 1, {{on}}) OVER (PARTITION BY account_id ORDER BY on_) AS until, state FROM closed
)
SELECT q.account_id, q.product, q.rule, sum(greatest(0, s.until - greatest(s.on_, q.since_on))) AS days
FROM q_now AS q JOIN span AS s ON s.account_id = q.account_id AND s.state <> 'scored' WHERE q.signal GROUP BY ALL;

-- name: persisted
CREATE OR REPLACE TEMP TABLE q_persisted AS
SELECT n.account_id, n.product, n.rule, n.since_on
FROM q_now AS n JOIN q_rule AS u ON u.rule = n.rule AND u.persist_days IS NOT NULL
LEFT JOIN q_unscored AS x ON x.account_id = n.account_id AND x.product = n.product AND x.rule = n.rule
WHERE n.signal AND n.answers AND {{on}} - n.since_on - coalesce(x.days, 0) >= u.persist_days;

-- name: records
-- CSQL records: those of the CRM, and those we created that its last pull did not show yet.
CREATE OR REPLACE TEMP TABLE q_record AS
WITH seen AS (
    SELECT c.id AS record_id, coalesce(m.master_id, c.account_id) AS account_id, coalesce(c.product, '') AS product, coalesce(c.state, 'Candidate') AS state,
           c.external_key, {{created_on}} AS created_on, l.state_on, l.moved, coalesce(l.accepted, false) AS accepted, coalesce(l.was_merged, false) AS was_merged, c.own_nurture_until AS nurture_until, c.own_return_reason AS return_reason,
           c.own_opened_on AS opened_on, c.deleted
    FROM j_csql AS c LEFT JOIN j_master AS m ON m.id = c.account_id LEFT JOIN q_life AS l ON l.id = c.id
), unseen AS (
    SELECT w.record_id, split_part(w.external_key, '|', 1) AS account_id, split_part(w.external_key, '|', 2) AS product,
           arg_max(w.value, w.written_at) FILTER (w.field = 'state') AS state, w.external_key,
           min({{written_on}}) AS created_on, max({{written_on}}) AS state_on
    FROM {{writes}} AS w
    WHERE w.object = 'csql' AND w.state = 'acknowledged' AND w.external_key IS NOT NULL
      AND NOT EXISTS (FROM seen AS s WHERE s.external_key = w.external_key) AND NOT EXISTS (FROM seen AS s WHERE s.record_id = w.record_id)
    GROUP BY w.record_id, w.external_key
)
SELECT record_id, account_id, product, state, external_key, created_on, state_on, coalesce(moved, false) AS moved, accepted, was_merged, nurture_until, return_reason, opened_on,
       false AS pending
FROM seen WHERE NOT coalesce(deleted, false)
UNION ALL
SELECT record_id, coalesce(m.master_id, u.account_id), product, state, external_key, created_on, state_on, false, false, false, NULL, NULL, created_on, true
FROM unseen AS u LEFT JOIN j_master AS m ON m.id = u.account_id WHERE state IS NOT NULL;

-- name: sequences
-- The highest sequence ever used per account and product. A key that was given out but reached neither the CRM nor an acknowledged write is
-- given out again, so that a refused record does not eat a number each day.
CREATE OR REPLACE TEMP TABLE q_sequence AS
WITH used AS (
    SELECT external_key, true AS real FROM j_csql WHERE external_key IS NOT NULL
    UNION ALL SELECT external_key, state = 'acknowledged' FROM {{writes}} WHERE object = 'csql' AND external_key IS NOT NULL
    UNION ALL SELECT value, state = 'acknowledged' FROM {{writes}} WHERE object = 'csql' AND field = 'external_key' AND value IS NOT NULL
    UNION ALL SELECT external_key, false FROM {{csql_keys}} WHERE external_key IS NOT NULL
), one AS (
    SELECT split_part(external_key, '|', 1) AS account_id, split_part(external_key, '|', 2) AS product,
           coalesce(TRY_CAST(split_part(external_key, '|', 3) AS BIGINT), 0) AS sequence, bool_or(real) AS real
    FROM used GROUP BY ALL
)
SELECT account_id, product, max(sequence) - CASE WHEN arg_max(real, sequence) THEN 0 ELSE 1 END AS last FROM one GROUP BY ALL;

-- name: cooldowns
-- Until when a product is not offered again after a record of it was returned, lost or expired. A day that a person named counts before the default,
-- unless it was over when the record ended: then it belongs to an earlier pause. Returned for the next budget year: until that begins. A record that somebody deleted was declined as well.
CREATE OR REPLACE TEMP TABLE q_cooldown AS
WITH ended AS (
    SELECT account_id, product, state, coalesce(state_on, created_on) AS closed_on, nurture_until, return_reason
    FROM q_record WHERE state IN ('Returned', 'Lost', 'Expired')
    UNION ALL
    SELECT coalesce(m.master_id, c.account_id), coalesce(c.product, ''), CASE WHEN c.state IN ('Lost', 'Expired') THEN c.state ELSE 'Returned' END,
           CASE WHEN c.state IN ('Returned', 'Lost', 'Expired') THEN l.state_on ELSE {{deleted_on}} END, c.own_nurture_until, c.own_return_reason
    FROM j_csql AS c LEFT JOIN j_master AS m ON m.id = c.account_id LEFT JOIN q_life AS l ON l.id = c.id
    WHERE c.deleted AND coalesce(c.state, 'Candidate') IN ('Returned', 'Lost', 'Expired', {{open_states}})
), refused AS (
    SELECT * REPLACE (coalesce(CASE WHEN nurture_until > closed_on THEN nurture_until END,
                               CASE WHEN state = 'Returned' AND return_reason = 'next_budget_year' THEN {{next_budget_year}} END) AS nurture_until), count(*) FILTER (state IN ('Returned', 'Lost')) OVER (PARTITION BY account_id, product) AS refusals FROM ended
)
SELECT account_id, product, max(coalesce(nurture_until, closed_on + CASE
    WHEN state = 'Expired' THEN {{expired}} WHEN refusals >= 2 THEN {{declined_twice}} WHEN state = 'Lost' THEN {{lost}} ELSE {{returned}} END)) AS until
FROM refused GROUP BY ALL;

-- name: candidates
-- Persisted signals with the values their texts need, and the reasons against them.
CREATE OR REPLACE TEMP TABLE q_candidate AS
WITH valued AS (
    SELECT r.*, p.rule, p.since_on, c.until AS cooldown_until, {{approach}} AS approach, {{amount}} AS amount, {{seats}} AS seats_suggested
    FROM q_persisted AS p JOIN q_row AS r ON r.account_id = p.account_id AND r.product = p.product
    LEFT JOIN q_cooldown AS c ON c.account_id = p.account_id AND c.product = p.product
)
SELECT account_id, product, rule, since_on, CAST(round_even(greatest(0, least(100, approach)), 0) AS BIGINT) AS approach_score,
       amount, seats_suggested, currency, {{need_en}} AS need_en, {{need_ja}} AS need_ja, {{why_en}} AS why_now_en, {{why_ja}} AS why_now_ja,
       list_filter([{{gates}}], lambda g: g IS NOT NULL) AS against, product_title_en, product_title_ja
FROM valued;

-- name: chosen
-- One per account and product: the rule without an objection and with the highest approach score.
CREATE OR REPLACE TEMP TABLE q_chosen AS
SELECT DISTINCT ON (c.account_id, c.product) c.*, u.motion, u.trusted, u.rule_text, u.title_en AS rule_title_en, u.title_ja AS rule_title_ja
FROM q_candidate AS c JOIN q_rule AS u ON u.rule = c.rule
ORDER BY c.account_id, c.product, len(c.against) > 0, c.approach_score DESC NULLS LAST, c.rule;

-- name: desired
-- Moves. open: a chosen signal without an open record. update: new evidence on an open one. expire: nobody accepted it in time. resume: its hold is
-- over and the need is still there. merge: another record of the same account and product is further. complete: a record that a person made gets its key and what is known at its creation; the gates only warn there.
-- On an account that is no longer served nothing is opened or updated.
CREATE OR REPLACE TEMP TABLE csql_desired AS
WITH moved AS (
    SELECT c.account_id, c.product, NULL AS record_id, NULL AS key_, CASE WHEN c.trusted THEN 'Submitted' ELSE 'Candidate' END AS state, 'open' AS move,
           1 AS nth, {{on}} AS opened_on, {{on}} AS clock_on
    FROM q_chosen AS c WHERE len(c.against) = 0 AND NOT EXISTS (FROM q_open AS o WHERE o.account_id = c.account_id AND o.product = c.product)
    UNION ALL
    SELECT account_id, product, record_id, external_key, to_state, move, nth, coalesce(opened_on, created_on), CASE WHEN move = 'resume' THEN {{on}} ELSE clock_on END
    FROM q_open WHERE NOT pending AND (served OR ours AND move <> 'update')
), keyed AS (
    SELECT m.*, coalesce(m.key_, m.account_id || '|' || m.product || '|' || CAST(coalesce(s.last, 0) + row_number() OVER (
               PARTITION BY m.account_id, m.product, m.key_ IS NULL ORDER BY m.nth, m.record_id) AS VARCHAR)) AS external_key
    FROM moved AS m LEFT JOIN q_sequence AS s ON s.account_id = m.account_id AND s.product = m.product
)
SELECT k.account_id, k.record_id, k.external_key, nullif(k.product, '') AS product, k.move, k.state,
       CASE WHEN k.state = 'Merged' THEN coalesce(f.external_key, w.external_key) ELSE {{own_merged_into}} END AS merged_into, coalesce(CASE WHEN h.by_hand THEN {{own_motion}} END, c.motion, {{own_motion}}) AS motion,
       CASE WHEN k.move = 'open' THEN c.rule_text ELSE {{own_rule}} END AS rule,
       coalesce(CASE WHEN h.by_hand THEN {{own_title}} END, c.rule_title_en || ': ' || c.product_title_en, {{own_title}}) AS title_en,
       coalesce(CASE WHEN h.by_hand THEN {{own_title}} END, c.rule_title_ja || ':' || c.product_title_ja, {{own_title}}) AS title_ja,
       coalesce(CASE WHEN h.by_hand THEN {{own_need}} END, c.need_en, {{own_need}}) AS need_en,
       coalesce(CASE WHEN h.by_hand THEN {{own_need}} END, c.need_ja, {{own_need}}) AS need_ja,
       coalesce(CASE WHEN h.by_hand THEN {{own_why_now}} END, c.why_now_en, {{own_why_now}}) AS why_now_en,
       coalesce(CASE WHEN h.by_hand THEN {{own_why_now}} END, c.why_now_ja, {{own_why_now}}) AS why_now_ja,
       coalesce(CASE WHEN h.by_hand THEN TRY_CAST({{own_amount}} AS DECIMAL(18, 4)) END, c.amount, TRY_CAST({{own_amount}} AS DECIMAL(18, 4))) AS amount, coalesce(c.currency, r.currency, {{own_currency}}) AS currency,
       coalesce(CASE WHEN h.by_hand THEN TRY_CAST({{own_seats_suggested}} AS BIGINT) END, c.seats_suggested, TRY_CAST({{own_seats_suggested}} AS BIGINT))
           AS seats_suggested,
       coalesce(c.approach_score, TRY_CAST({{own_approach_score}} AS BIGINT)) AS approach_score,
       coalesce(TRY_CAST({{own_health_score}} AS BIGINT), CASE WHEN k.move IN ('open', 'complete') THEN r.health_score END) AS health_score,
       coalesce(TRY_CAST({{own_health_tier}} AS BIGINT), CASE WHEN k.move IN ('open', 'complete') THEN r.health_tier END) AS health_tier,
       coalesce(TRY_CAST({{own_coverage}} AS DOUBLE), CASE WHEN k.move IN ('open', 'complete') THEN r.coverage END) AS coverage,
       CASE WHEN k.move IN ('open', 'complete') THEN coalesce(r.stage = 'onboarding', false) ELSE TRY_CAST({{own_during_onboarding}} AS BOOLEAN) END
           AS during_onboarding,
       r.owner_id, k.opened_on, coalesce(c.since_on, TRY_CAST({{own_since_on}} AS DATE)) AS since_on,
       -- the clock of the SLA starts when the record is seen as submitted, not while it is a candidate; after a hold it starts anew
       coalesce(CASE WHEN k.move <> 'resume' THEN TRY_CAST({{own_accept_by}} AS DATE) END, CASE WHEN k.state = 'Submitted' THEN {{accept_by}} END) AS accept_by,
       CASE WHEN k.state IN ('Candidate', 'Submitted') THEN k.clock_on + {{expire_days}} ELSE TRY_CAST({{own_expires_on}} AS DATE) END AS expires_on,
       coalesce(r.config_version, {{own_config_version}}) AS config_version
FROM keyed AS k LEFT JOIN d_row AS r ON r.account_id = k.account_id
LEFT JOIN q_chosen AS c ON c.account_id = k.account_id AND c.product = k.product AND len(c.against) = 0 AND k.move IN ('open', 'update', 'resume')
     AND k.state NOT IN ('Opportunity', 'Nurture')
LEFT JOIN j_csql AS o ON o.id = k.record_id
-- the record that another one gives way to, and the key it gets in this run where it had none
LEFT JOIN q_open AS f ON k.state = 'Merged' AND f.account_id = k.account_id AND f.product = k.product AND f.nth = 1
LEFT JOIN keyed AS w ON w.record_id = f.record_id
-- what a CSM wrote on a record of their own stays; only what they left empty is filled
LEFT JOIN (SELECT true AS by_hand) AS h ON k.record_id IS NOT NULL AND {{own_rule}} IS NULL
ORDER BY k.account_id, k.product, k.external_key;

-- name: account_words
-- What the account's record says of its CSQLs.
CREATE OR REPLACE TEMP TABLE q_account AS
WITH standing AS (
    -- as this very run leaves them: one whose hold is over is a candidate again, one that expires is gone
    SELECT r.account_id, r.product, coalesce(d.state, r.state) AS state, NULL::BIGINT AS approach_score
    FROM q_record AS r LEFT JOIN csql_desired AS d ON d.record_id = r.record_id
    WHERE r.state IN ({{open_states}}) AND coalesce(d.state, r.state) IN ({{open_states}})
    UNION ALL
    SELECT account_id, coalesce(product, ''), state, approach_score FROM csql_desired WHERE move = 'open'
), furthest AS (
    SELECT s.account_id, count(*) AS open_count, bool_or(s.state <> 'Candidate') AS flag,
           arg_min({'state': s.state, 'product': s.product}, (-list_position([{{order}}], s.state), g.place, s.product)) AS top
    FROM standing AS s LEFT JOIN j_product AS g ON g.product = s.product GROUP BY s.account_id
), against AS (
    SELECT c.account_id, string_agg(c.product_title_en || ': ' || c.against[1].en, ', ' ORDER BY c.product) AS en,
           string_agg(c.product_title_ja || ':' || c.against[1].ja, '、' ORDER BY c.product) AS ja
    FROM q_chosen AS c WHERE len(c.against) > 0
      AND NOT EXISTS (FROM q_record AS o WHERE o.account_id = c.account_id AND o.product = c.product AND o.state IN ({{open_states}}))
    GROUP BY c.account_id
), approach AS (
    SELECT account_id, max(approach_score) AS approach_score FROM (
        SELECT account_id, approach_score FROM csql_desired WHERE state IN ({{open_states}})
        UNION ALL SELECT account_id, approach_score FROM q_chosen WHERE len(against) = 0) GROUP BY account_id
)
SELECT s.account_id, s.served, f.flag AS csql_flag, f.open_count AS csql_open_count,
       -- where none is open, why one was held back: the account has no other place for it in the core field set
       coalesce({{state_en}} || ': ' || coalesce(g.title_en, nullif(f.top.product, ''), '–'), {{held_back_en}} || a.en) AS csql_status_en,
       coalesce({{state_ja}} || ':' || coalesce(g.title_ja, nullif(f.top.product, ''), '–'), {{held_back_ja}} || a.ja) AS csql_status_ja,
       a.en AS csql_suppressed_en, a.ja AS csql_suppressed_ja, p.approach_score
-- who is no longer served still loses the flag of a CSQL that is over
FROM (SELECT account_id, true AS served FROM scores
      UNION ALL SELECT a.account_id, false FROM accounts AS a
      WHERE a.scope = 'excluded' AND a.excluded_why <> 'not in the pilot'
        AND EXISTS (FROM j_csql AS c LEFT JOIN j_master AS m ON m.id = c.account_id WHERE coalesce(m.master_id, c.account_id) = a.account_id)) AS s
LEFT JOIN furthest AS f ON f.account_id = s.account_id LEFT JOIN against AS a ON a.account_id = s.account_id
LEFT JOIN approach AS p ON p.account_id = s.account_id LEFT JOIN j_product AS g ON g.product = f.top.product;
