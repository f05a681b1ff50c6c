-- name: trials
-- Grain: account that tries a product which it does not own. What is used there says nothing of the products that it pays for.
CREATE OR REPLACE TEMP TABLE j_trial AS
SELECT t.acct, count(*) AS trials, sum(u.events_28d) AS trial_events_28d, sum(u.advanced_events_28d) AS trial_advanced_events_28d
FROM (SELECT DISTINCT l.acct, l.product FROM j_line AS l LEFT JOIN j_owned AS o ON o.acct = l.acct AND o.product IS NOT DISTINCT FROM l.product
      WHERE l.is_trial AND NOT coalesce(o.owned, false) AND coalesce(l.status, 'active') = 'active' AND coalesce(l.starts_on <= {{on}}, true)
        AND coalesce(l.ends_on >= {{on}}, true) AND coalesce(l.churned_on > {{on}}, true)) AS t
LEFT JOIN j_product_usage AS u ON u.acct = t.acct AND u.product = t.product GROUP BY t.acct;

-- name: none
CREATE OR REPLACE TEMP TABLE j_trial AS
SELECT NULL::VARCHAR AS acct, NULL::BIGINT AS trials, NULL::BIGINT AS trial_events_28d, NULL::BIGINT AS trial_advanced_events_28d WHERE false;
