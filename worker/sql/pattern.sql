-- name: words
-- Grain: account with a pattern. Who has no score of today keeps the patterns it had; their texts are today's only.
CREATE OR REPLACE TEMP TABLE d_pattern_words AS
SELECT q.account_id, string_agg(substr(q.rule, {{after}}), ';' ORDER BY q.rule) AS patterns,
       string_agg(p.text_en, ' / ' ORDER BY q.rule) AS pattern_note_en, string_agg(p.text_ja, '/' ORDER BY q.rule) AS pattern_note_ja,
       arg_min(p.action_en, q.rule) FILTER (p.action_en IS NOT NULL) AS pattern_action_en,
       arg_min(p.action_ja, q.rule) FILTER (p.action_ja IS NOT NULL) AS pattern_action_ja
FROM q_now AS q LEFT JOIN d_pattern AS p ON p.account_id = q.account_id AND p.rule = q.rule
WHERE q.signal AND starts_with(q.rule, {{prefix}}) GROUP BY q.account_id;

-- name: beside
CREATE OR REPLACE TEMP TABLE d_beside AS
SELECT x.x_account AS account_id, x.* EXCLUDE (x_account), y.* EXCLUDE (account_id), {{usage_status}} AS usage_status, {{override_state_en}} AS override_state_en, {{override_state_ja}} AS override_state_ja
FROM (SELECT account_id AS x_account, * EXCLUDE (account_id) FROM d_beside) AS x
JOIN d_row AS r ON r.account_id = x.x_account LEFT JOIN d_pattern_words AS y ON y.account_id = r.account_id;

-- name: actions
-- Where nothing lowers the score, the next step is that of the first pattern.
UPDATE decisions SET next_action_en = coalesce(next_action_en, b.pattern_action_en), next_action_ja = coalesce(next_action_ja, b.pattern_action_ja)
FROM d_beside AS b WHERE b.account_id = decisions.account_id AND decisions.next_action_en IS NULL AND b.pattern_action_en IS NOT NULL;

-- name: profile_flips
INSERT INTO flips BY NAME
SELECT 'profile' AS kind, 'profile' AS rule, account_id, '' AS product, {{on}} AS on_, newest.profile || '→' || profile AS value
FROM d_result WHERE newest IS NOT NULL AND newest.profile <> profile ORDER BY account_id;
