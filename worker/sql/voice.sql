-- name: said
-- Grain: survey comment or ticket subject since a day. Without a product of its own it belongs to the only one the account has.
CREATE OR REPLACE TEMP TABLE v_said AS
WITH raw AS (
    SELECT 'survey' AS source, s.id, coalesce(m.master_id, s.account_id) AS account_id, s.product, s.occurred_at AS at_, s.comment AS words
    FROM v_survey AS s LEFT JOIN j_master AS m ON m.id = s.account_id WHERE NOT coalesce(s.deleted, false)
    UNION ALL
    SELECT 'ticket', t.id, coalesce(m.master_id, t.account_id), t.product, t.opened_at, t.subject
    FROM v_ticket AS t LEFT JOIN j_master AS m ON m.id = t.account_id WHERE NOT coalesce(t.deleted, false)
), dated AS (
    SELECT *, CAST(timezone({{zone}}, at_) AS DATE) AS on_ FROM raw WHERE nullif(trim(words), '') IS NOT NULL AND at_ <= {{as_of}}
)
SELECT d.source, d.id, d.account_id, coalesce(d.product, o.product, '') AS product, d.on_, d.words, {{plain}} AS plain
FROM dated AS d LEFT JOIN (SELECT account_id, min(product) AS product FROM {{products}} WHERE owned GROUP BY ALL HAVING count(*) = 1) AS o
       ON o.account_id = d.account_id
WHERE d.on_ > {{since}};

-- name: tagged
CREATE OR REPLACE TEMP TABLE v_tagged AS
SELECT v.*, unnest(list_filter([{{tags}}], lambda x: x IS NOT NULL)) AS tag FROM v_said AS v;

-- name: customer
-- ARR is twelve times the MRR of open lines; an account that is no customer any more counts with nothing.
CREATE OR REPLACE TEMP TABLE v_customer AS SELECT account_id, name, segment, mrr * 12 AS arr, currency FROM {{accounts}};

-- name: by_tag
-- Each account counts once in a row with its whole ARR; money of two currencies is not added up (arr is then null).
WITH asked AS (SELECT DISTINCT tag, {{product}} AS product, account_id FROM v_tagged),
money AS (
    SELECT a.tag, a.product, count(*) AS accounts, CASE WHEN count(DISTINCT c.currency) <= 1 THEN CAST(coalesce(sum(c.arr), 0) AS DOUBLE) END AS arr,
           CASE WHEN count(DISTINCT c.currency) = 1 THEN min(c.currency) END AS currency
    FROM asked AS a LEFT JOIN v_customer AS c ON c.account_id = a.account_id GROUP BY ALL
), texts AS (
    SELECT tag, {{product}} AS product, count(*) AS said, max(on_) AS last_on FROM v_tagged GROUP BY ALL
)
SELECT m.tag, m.product, m.accounts, t.said, t.last_on, m.arr, m.currency FROM money AS m JOIN texts AS t ON t.tag = m.tag AND t.product IS NOT DISTINCT FROM m.product
ORDER BY m.arr DESC NULLS LAST, m.accounts DESC, m.tag, m.product

-- name: latest
-- The newest words of each tag, of the largest customers first among those of one day.
SELECT tag, on_, source, account_id, name, product, words FROM (
    SELECT t.tag, t.on_, t.source, t.account_id, c.name, t.product, t.words,
           row_number() OVER (PARTITION BY t.tag ORDER BY t.on_ DESC, c.arr DESC NULLS LAST, t.source, t.id) AS n
    FROM v_tagged AS t LEFT JOIN v_customer AS c ON c.account_id = t.account_id) WHERE n <= {{most}} ORDER BY tag, on_ DESC, account_id

-- name: counts
SELECT count(*) AS said, count(*) FILTER (NOT EXISTS (FROM v_tagged AS t WHERE t.source = v.source AND t.id = v.id)) AS untagged FROM v_said AS v
