-- name: detail
-- What a scored account lacks of the catalogue, one text per account, best fit first: product, how many peers own it, who sells it, what stands in
-- the way: a CSQL under way, else the first gate that does not hold, else nothing.
CREATE OR REPLACE TEMP TABLE d_white_detail AS
WITH lacking AS (
    SELECT r.*, c.until AS cooldown_until, CAST(NULL AS DECIMAL(18, 4)) AS amount, CAST(NULL AS BIGINT) AS seats_suggested, CAST(NULL AS DATE) AS since_on,
           g.team_en, g.team_ja, g.place, o.state AS csql_state
    FROM q_row AS r JOIN j_product AS g ON g.product = r.product
    LEFT JOIN q_cooldown AS c ON c.account_id = r.account_id AND c.product = r.product
    LEFT JOIN (SELECT account_id, product, any_value(state) AS state FROM q_open WHERE nth = 1 GROUP BY ALL) AS o
           ON o.account_id = r.account_id AND o.product = r.product
    WHERE r.state = 'scored' AND NOT r.owned AND r.sell
), judged AS (
    SELECT account_id, product, product_title_en, product_title_ja, fit, team_en, team_ja, place, csql_state,
           list_filter([{{gates}}], lambda g: g IS NOT NULL)[1] AS blocker FROM lacking
), worded AS (
    SELECT account_id, fit, place,
           product_title_en || coalesce(' (' || nullif(concat_ws(', ', {{fit}} || '% of peers', team_en), '') || ')', '') || ': '
               || CASE WHEN csql_state IS NOT NULL THEN {{under_way_en}} ELSE coalesce(blocker.en, 'open') END AS en,
           product_title_ja || coalesce('(' || nullif(concat_ws('、', '同規模の' || {{fit}} || '%が利用', team_ja), '') || ')', '') || ':'
               || CASE WHEN csql_state IS NOT NULL THEN {{under_way_ja}} ELSE coalesce(blocker.ja, 'ご提案可') END AS ja
    FROM judged
)
SELECT account_id, string_agg(en, '; ' ORDER BY coalesce(fit, 0) // 10 DESC, place) AS white_space_detail_en,
       string_agg(ja, '、' ORDER BY coalesce(fit, 0) // 10 DESC, place) AS white_space_detail_ja
FROM worded GROUP BY account_id;
