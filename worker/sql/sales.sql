-- name: deals
-- Grain: deal, its lines added up; a line without a deal's id is one by itself. Header fields are the same on each line.
CREATE OR REPLACE TEMP TABLE s_deal AS
SELECT coalesce(m.master_id, o.account_id) AS account_id, coalesce(o.deal_id, o.id) AS deal_id, max(o.name) AS name, max(o.owner_id) AS owner_id,
       max(o.kind) AS kind, max(o.stage) AS stage, CASE WHEN count(DISTINCT o.currency) <= 1 THEN CAST(sum(o.amount) AS DECIMAL(18, 4)) END AS amount,
       CASE WHEN count(DISTINCT o.currency) = 1 THEN min(o.currency) END AS currency, max(o.close_on) AS close_on,
       bool_and(coalesce(o.closed, false)) AS closed, bool_or(coalesce(o.won, false)) AS won,
       string_agg(DISTINCT o.handover, ';') AS handover, list_sort(list_distinct(list(o.product))) AS products
FROM s_opportunity AS o LEFT JOIN j_master AS m ON m.id = o.account_id
WHERE NOT coalesce(o.deleted, false) AND o.account_id IS NOT NULL GROUP BY ALL;

-- name: handover
-- Grain: account whose hand-over is looked at. The latest won deal that is no renewal stands for it; its seller, else the account's owner, is asked.
CREATE OR REPLACE TEMP TABLE s_handover AS
WITH won AS (
    SELECT account_id, arg_max({'deal_id': deal_id, 'owner_id': owner_id, 'handover': handover, 'close_on': close_on}, (close_on, deal_id)) AS deal
    FROM s_deal WHERE closed AND won AND kind IS DISTINCT FROM 'renewal' GROUP BY account_id
), looked AS (
    SELECT r.account_id, w.deal, coalesce(w.deal.owner_id, r.owner_id) AS rep_id, {{items}} AS missing
    FROM {{row}} AS r LEFT JOIN won AS w ON w.account_id = r.account_id WHERE coalesce(TRY(CAST(({{when}}) AS BOOLEAN)), false)
)
SELECT l.account_id, l.deal.deal_id AS deal_id, l.deal.close_on AS won_on, l.rep_id, u.name AS rep_name, {{n}} AS items, {{n}} - len(l.missing) AS there,
       ({{n}} - len(l.missing)) * 100.0::DOUBLE / {{n}} AS complete, list_transform(l.missing, lambda x: x.name) AS missing,
       array_to_string(list_transform(l.missing, lambda x: x.en), ', ') AS missing_en, array_to_string(list_transform(l.missing, lambda x: x.ja), '、') AS missing_ja
FROM looked AS l LEFT JOIN s_user AS u ON u.id = l.rep_id;

-- name: handover_words
CREATE OR REPLACE TEMP TABLE s_handover_words AS
SELECT account_id, complete AS handover_complete,
       CASE WHEN there < items THEN there || ' of ' || items || ' items are there. Missing: ' || missing_en || coalesce(' (sales: ' || rep_name || ')', '') END AS handover_missing_en,
       CASE WHEN there < items THEN '引き継ぎ項目' || items || '件中' || there || '件が揃っています。不足:' || missing_ja || coalesce('(営業担当:' || rep_name || ')', '') END AS handover_missing_ja
FROM s_handover;

-- name: open_deals
-- Grain: deal that is open and no renewal, with what conditions and texts may name.
CREATE OR REPLACE TEMP VIEW s_open AS
SELECT d.account_id, d.deal_id, d.owner_id AS deal_owner_id, {{on}} AS as_of_on, a.name, a.contracts > 0 AS existing, a.segment, a.industry, a.region, a.employees,
       a.csm_id, a.owner_id, a.partner_id, coalesce(d.name, d.deal_id) AS deal_name, d.kind AS deal_kind, d.stage AS deal_stage, d.amount AS deal_amount,
       d.currency AS deal_currency, d.close_on AS deal_close_on, d.products, array_to_string(d.products, ';') AS deal_products,
       {{titles_en}} AS deal_products_title_en, {{titles_ja}} AS deal_products_title_ja
FROM s_deal AS d JOIN {{accounts}} AS a ON a.account_id = d.account_id WHERE NOT d.closed AND d.kind IS DISTINCT FROM 'renewal';

-- name: large_deals
CREATE OR REPLACE TEMP TABLE s_large AS SELECT * FROM s_open WHERE coalesce(TRY(CAST(({{when}}) AS BOOLEAN)), false);

-- name: deals_told
-- Deals that an alert has told, per account of the run; a deal is told once.
CREATE OR REPLACE TEMP TABLE s_told AS
SELECT account_id, product AS deal_id, rule FROM {{signal_history}}
WHERE rule IN ({{rules}}) AND on_ <= {{on}} AND account_id IN (SELECT account_id FROM accounts) GROUP BY ALL;

-- name: deal_alert
SELECT l.account_id, l.deal_id, {{rule}} AS rule, {{en}} AS text_en, {{ja}} AS text_ja,
       CASE WHEN l.partner_id IS NOT NULL THEN p.owner_id ELSE coalesce(l.csm_id, {{recipient}}, l.owner_id) END AS recipient,
       CASE WHEN l.partner_id IS NOT NULL THEN 'partner' WHEN l.csm_id IS NOT NULL OR {{recipient}} IS NOT NULL THEN 'csm' WHEN l.owner_id IS NOT NULL THEN 'owner' END AS routed
FROM s_large AS l LEFT JOIN s_partner AS p ON p.id = l.partner_id
WHERE coalesce(TRY(CAST(({{when}}) AS BOOLEAN)), false)
  AND NOT EXISTS (FROM s_told AS t WHERE t.account_id = l.account_id AND t.deal_id = l.deal_id AND t.rule = {{rule}})

-- name: owned_ever
-- Grain: account and product of a line that has started, with the first start and whether it is still there. Trials and drafts are out.
CREATE OR REPLACE TEMP TABLE s_owned AS
SELECT acct AS account_id, product, bool_or(is_open) AS kept, min(starts_on) AS starts_on FROM j_line WHERE started AND product IS NOT NULL GROUP BY ALL;

-- name: cells
-- Grain: segment and product. Proven = enough successful accounts, and of those that are old enough enough have stayed.
CREATE OR REPLACE TEMP TABLE s_cell AS
WITH successful AS (SELECT account_id FROM {{row}} WHERE coalesce(TRY(CAST(({{success}}) AS BOOLEAN)), false)),
counted AS (
    SELECT a.segment, o.product, count(*) FILTER (o.kept AND s.account_id IS NOT NULL) AS successes, count(*) FILTER (o.kept) AS accounts,
           count(*) FILTER (o.kept AND o.starts_on <= {{on}} - {{after_days}}) AS stayed,
           count(*) FILTER (NOT o.kept AND o.starts_on <= {{on}} - {{after_days}}) AS lost,
           count(*) FILTER (a.main_product = o.product AND a.onboarding_status = 'completed') AS onboarded,
           count(*) FILTER (a.main_product = o.product AND a.onboarding_status = 'failed_proceeding') AS failed
    FROM s_owned AS o JOIN {{accounts}} AS a ON a.account_id = o.account_id LEFT JOIN successful AS s ON s.account_id = o.account_id GROUP BY ALL
)
SELECT *, successes >= {{min_accounts}} AND (stayed + lost < {{min_aged}} OR stayed * 100 >= {{min_retention}} * (stayed + lost)) AS proven FROM counted;

-- name: cells_before
-- What the last full run that looked left of each cell.
CREATE OR REPLACE TEMP TABLE s_before AS
SELECT segment, product, arg_max({'proven': proven, 'successes': successes, 'accounts': accounts, 'stayed': stayed, 'lost': lost, 'onboarded': onboarded,
       'failed': failed}, (on_, as_of)) AS cell
FROM {{fit_history}} WHERE on_ <= {{on}} GROUP BY ALL;

-- name: cells_frozen
-- An increment answers as the last full run did, so that one changed account moves nobody else.
CREATE OR REPLACE TEMP TABLE s_cell AS SELECT segment, product, unnest(cell) FROM s_before;

-- name: cells_changed
CREATE OR REPLACE TEMP TABLE fit_changes AS
SELECT c.segment, c.product, {{on}} AS on_, c.proven, c.successes, c.accounts, c.stayed, c.lost, c.onboarded, c.failed, {{run_id}} AS run_id, {{as_of}} AS as_of
FROM s_cell AS c LEFT JOIN s_before AS b ON b.segment IS NOT DISTINCT FROM c.segment AND b.product = c.product
WHERE b.cell IS DISTINCT FROM {'proven': c.proven, 'successes': c.successes, 'accounts': c.accounts, 'stayed': c.stayed, 'lost': c.lost,
      'onboarded': c.onboarded, 'failed': c.failed}
ORDER BY c.segment, c.product;

-- name: fit
-- Grain: account on whose record the answer stands. A product nobody of its segment has had before is unproven.
CREATE OR REPLACE TEMP TABLE s_fit AS
WITH looked AS (
    SELECT r.account_id, r.segment, p.product, g.title_en, g.title_ja, g.place, c.proven IS NOT DISTINCT FROM true AS proven,
           coalesce(c.successes, 0) AS successes, coalesce(c.stayed, 0) AS stayed, coalesce(c.stayed + c.lost, 0) AS aged
    FROM {{row}} AS r JOIN {{products}} AS p ON p.account_id = r.account_id AND p.owned
    LEFT JOIN j_product AS g ON g.product = p.product
    LEFT JOIN s_cell AS c ON c.segment IS NOT DISTINCT FROM r.segment AND c.product = p.product
    WHERE coalesce(TRY(CAST(({{when}}) AS BOOLEAN)), false)
)
SELECT account_id, CASE WHEN bool_and(proven) THEN 'proven' ELSE 'unproven' END AS fit_segment,
       string_agg(coalesce(title_en, product) || coalesce(' in ' || segment, '') || ': ' || CASE successes WHEN 1 THEN '1 customer doing' ELSE successes || ' customers doing' END || ' well, {{min_accounts}} wanted'
                  || CASE WHEN aged > 0 THEN '; ' || stayed || ' of ' || aged || ' stayed' ELSE '' END, '. ' ORDER BY place, product) FILTER (NOT proven) AS fit_note_en,
       string_agg(coalesce(segment || 'の', '') || coalesce(title_ja, product) || 'は、成功しているお客様が' || successes || '社(目安{{min_accounts}}社)'
                  || CASE WHEN aged > 0 THEN '、継続は' || aged || '社中' || stayed || '社' ELSE '' END || 'です', '。' ORDER BY place, product) FILTER (NOT proven) AS fit_note_ja
FROM looked GROUP BY account_id;

-- name: report_row
-- Accounts in scope with results, as the run left them.
CREATE OR REPLACE TEMP TABLE s_row AS
SELECT a.* EXCLUDE (scope, excluded_why), {{results}}
FROM {{accounts}} AS a JOIN {{decisions}} AS d ON d.account_id = a.account_id LEFT JOIN {{scores}} AS s ON s.account_id = a.account_id WHERE a.scope = 'in';

-- name: handover_list
SELECT h.account_id, n.name, h.rep_id, h.rep_name, h.won_on, h.items, h.there, h.complete, h.missing, h.missing_{{lang}} AS missing_words
FROM s_handover AS h LEFT JOIN t_account AS n ON n.id = h.account_id ORDER BY h.complete, h.won_on DESC NULLS LAST, h.account_id

-- name: handover_reps
-- What goes back to each seller: accounts, those that lack something, and how many items are missing in all.
SELECT rep_id, any_value(rep_name) AS rep_name, count(*) AS accounts, count(*) FILTER (there < items) AS incomplete, CAST(sum(items - there) AS BIGINT) AS missing_items,
       avg(complete) AS complete
FROM s_handover GROUP BY rep_id ORDER BY missing_items DESC, rep_id

-- name: handover_items
-- Which item is missing how often.
SELECT item, count(*) AS missing FROM (SELECT unnest(missing) AS item FROM s_handover) GROUP BY item ORDER BY missing DESC, item

-- name: deal_list
-- `proven`: whether segment and product are, over all products of the deal; null where fit is not judged.
SELECT l.account_id, l.name, l.existing, l.deal_id, l.deal_name, l.deal_kind, l.deal_stage, l.deal_close_on, l.deal_amount, l.deal_currency, l.products,
       l.deal_products_title_{{lang}} AS products_title, l.deal_owner_id, u.name AS deal_owner_name, l.csm_id, c.name AS csm_name,
       CASE WHEN {{judged}} AND len(l.products) > 0 THEN
           (SELECT bool_and(coalesce(e.proven, false)) FROM (SELECT unnest(l.products) AS product) AS p
            LEFT JOIN s_cell AS e ON e.product = p.product AND e.segment IS NOT DISTINCT FROM l.segment) END AS proven
FROM s_large AS l LEFT JOIN t_user AS u ON u.id = l.deal_owner_id LEFT JOIN t_user AS c ON c.id = l.csm_id
ORDER BY l.deal_close_on NULLS LAST, l.deal_amount DESC NULLS LAST, l.deal_id

-- name: cell_list
SELECT c.segment, c.product, coalesce(g.title_{{lang}}, c.product) AS product_title, c.proven, c.successes, c.accounts, c.stayed, c.lost,
       100.0 * c.stayed / nullif(c.stayed + c.lost, 0) AS retention, c.onboarded, c.failed
FROM s_cell AS c LEFT JOIN j_product AS g ON g.product = c.product ORDER BY c.proven, c.segment, g.place, c.product

-- name: unproven_list
-- What became of customers who were taken on where success is not proven: reported back to whoever sold.
SELECT f.account_id, n.name, r.segment, f.fit_note_{{lang}} AS note, r.owner_id, u.name AS owner_name, r.onboarding_status, r.onboarding_due_on, r.health_tier
FROM s_fit AS f JOIN s_row AS r ON r.account_id = f.account_id LEFT JOIN t_account AS n ON n.id = f.account_id LEFT JOIN t_user AS u ON u.id = r.owner_id
WHERE f.fit_segment = 'unproven' ORDER BY r.onboarding_due_on NULLS LAST, f.account_id
