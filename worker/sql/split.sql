-- name: sides
-- One row per account with a score on both dates and parts kept for the earlier one: what stood then (0) and what stands now (1).
CREATE OR REPLACE TEMP TABLE w_side AS
WITH stood AS (
    SELECT account_id, max({'on_': on_, 'as_of': as_of}) AS at FROM {{parts}} WHERE on_ <= {{before}} AND {{some}} GROUP BY account_id
), old AS (
    SELECT p.account_id, p.cards, p.profile, p.points, p.values_ FROM {{parts}} AS p
    JOIN stood AS s ON s.account_id = p.account_id AND s.at.on_ = p.on_ AND s.at.as_of = p.as_of
)
SELECT s.account_id, s.score_before, s.score, o.cards AS cards0, o.profile AS profile0, o.points AS points0, o.values_ AS values0,
       n.cards AS cards1, n.profile AS profile1, n.points AS points1, n.missing AS missing1
FROM {{scores}} AS s JOIN old AS o ON o.account_id = s.account_id JOIN {{now}} AS n ON n.account_id = s.account_id
WHERE s.score_before IS NOT NULL AND s.score IS NOT NULL;

-- name: groups
SELECT DISTINCT cards0, profile0, cards1, profile1 FROM w_side ORDER BY ALL;

-- name: split
-- The chain of scores u0..u8, each with one more thing as it is now; a link without a score keeps the one before. Whole numbers are differences of
-- the rounded chain, exact ones of the chain at six decimals: both add up to their change by construction.
CREATE OR REPLACE TEMP TABLE w_split AS
WITH chained AS (
    SELECT * EXCLUDE (u1, u2, u3, u4, u5, u6, u7), coalesce(u1, u0) AS u1, coalesce(u2, u1, u0) AS u2, coalesce(u3, u2, u1, u0) AS u3,
           coalesce(u4, u3, u2, u1, u0) AS u4, coalesce(u5, u4, u3, u2, u1, u0) AS u5, coalesce(u6, u5, u4, u3, u2, u1, u0) AS u6,
           coalesce(u7, u6, u5, u4, u3, u2, u1, u0) AS u7
    FROM ({{groups}})
), links AS (
    SELECT *, list_transform([u0, u1, u2, u3, u4, u5, u6, u7, u8], lambda u: CAST(round_even(CAST(u AS DECIMAL(12, 9)), 0) AS BIGINT)) AS whole,
           list_transform([u0, u1, u2, u3, u4, u5, u6, u7, u8], lambda u: CAST(round_even(u, 6) AS DECIMAL(12, 6))) AS exact
    FROM chained WHERE u0 IS NOT NULL AND u8 IS NOT NULL
)
SELECT account_id, score_before, score, score - score_before AS delta, profile0 AS profile_was, profile1 AS profile_is, gone_en, gone_ja, arrived_en, arrived_ja,
       {{parts}}, (score - whole[9]) - (score_before - whole[1]) AS held, exact[9] - exact[1] AS exact_delta, {{exact}}
FROM links;
