"""Products: the rows of an account and product, their published scores, and the roll-up to the account.

The scorecard is the account's, compiled once; here are the rows it is evaluated over. What is the product's own (seats, money, dates, stage, usage,
set-up) takes the place of the account's; people, touches, cases, answers and outcomes are the account's.
"""

import duckdb

from mappings.columns import ACCOUNTS
from mappings.models import Mappings
from worker.sql import ident, literal, query_sql
from worker.steps._texts import case_sql, text_sql

#: Columns of ACCOUNTS that are the product's own in `product_facts`.
OWN = (
    "contracts", "had_contract", "products_owned", "main_product", "seats", "mrr", "currency", "first_contract_on", "contract_starts_on",
    "contract_ends_on", "term_months", "notice_on", "notice_estimated", "days_to_notice", "days_since_start", "auto_renew", "embedded", "stage",
    "usage_matched", "active_users_28d", "active_users_prev_28d", "active_users_14d", "events_28d", "events_prev_28d", "seconds_28d",
    "active_days_28d", "events_per_business_day_28d", "events_per_business_day_prev_28d", "events_month", "events_prev_month", "features_14d",
    "core_events_28d", "core_unused", "advanced_events_28d", "last_used_on", "seat_use", "setup_steps_done", "setup_steps_total", "setup_as_of",
    "override_score", "override_until",
)  # fmt: skip
_NUMBERS = ("state", "why", "why_ja", "profile", "stage", "score_uncapped", "score", "capped_by", "deployment", "adoption", "engagement", "outcome")
#: Columns of `product_scores.parquet`, one row per account in scope and product in an open line.
COLUMNS = (
    "account_id", "product", "product_title_en", "product_title_ja", "mrr", "currency", *_NUMBERS, "coverage", "config_version", "tier", "cause",
    "main_reason_en", "main_reason_ja",
)  # fmt: skip


def covered_sql(mappings: Mappings, product: str) -> str:
    """Whether any usage export can speak of a product: then no rows mean no use, else nothing is known.

    By what the mappings say, not by what arrived, so that an increment knows the same as a full run.
    """
    events = [s for s in mappings.usage.values() if s.kind == "events"]
    if any(s.columns.product or s.matches == "contract" for s in events):
        return "true"
    named = sorted({s.product for s in events if s.product})
    return f"({product} IN ({', '.join(literal(p) for p in named)}))" if named else "false"


def build_product_facts(con: duckdb.DuckDBPyConnection, mappings: Mappings, business_prev: str) -> None:
    """Temp table `product_facts`: account in scope and product in an open line, with the columns of OWN; no row where
    `per_product` is off. Needs `accounts` and the tables of join."""
    columns = ", ".join(f"CAST({ident(name)} AS {ACCOUNTS[name].type}) AS {ident(name)}" for name in OWN)
    con.execute(
        query_sql(
            "product", "facts", asked=literal(mappings.score.per_product), columns=columns, covered=covered_sql(mappings, "m.product"),
            business_prev=business_prev, renewal_days=str(mappings.calendar.renewal_days),
        )
    )  # fmt: skip


def build_product_rows(con: duckdb.DuckDBPyConnection) -> None:
    """View `product_rows`: what the scorecard is evaluated over, besides `product` and its titles."""
    con.execute(query_sql("product", "rows", own=", ".join(ident(name) for name in OWN)))


def plain_tier_sql(mappings: Mappings, score: str = "score") -> str:
    """The tier by plain edges; null without a score."""
    edges = mappings.score.tiers.edges
    cases = " ".join(f"WHEN {score} >= {edge} THEN {5 - place}" for place, edge in enumerate(edges))
    return f"CAST(CASE WHEN {score} IS NULL THEN NULL {cases} ELSE 1 END AS BIGINT)"


def publish_products(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> None:
    """Temp table `product_scores` with the columns of COLUMNS, from `product_numbers` and `product_parts`."""
    con.execute(query_sql("product", "reasons"))
    low = [mappings.indicators[name] for name in sorted(mappings.indicators)]
    slots = {"value": "worst.value", "points": "worst.points"}
    texts = {
        f"main_reason_{lang}": case_sql("worst.indicator", [(i.name, text_sql(getattr(i.reasons.low, lang), lang, slots)) for i in low])
        for lang in ("en", "ja")
    }
    cause = case_sql("worst.indicator", [(i.name, literal(i.cause)) for i in low])
    con.execute(query_sql("product", "published", plain=plain_tier_sql(mappings), cause=cause, numbers=", ".join(COLUMNS), **texts))


def bring_up(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> None:
    """`rollup: products`: the account's score, axes, coverage and parts become the weighted means of its products'. Its own exceptions still hold.

    An account whose feed is late stays held; one without a scored product is not scored.
    """
    con.execute(query_sql("product", "means", relation="product_scores"))
    con.execute(query_sql("product", "rollup"))
    cap = f"CAST({case_sql('s.capped_by', [(c.name, str(c.cap)) for c in mappings.score.caps])} AS DOUBLE)"
    con.execute(query_sql("product", "account_parts"))
    con.execute(query_sql("product", "account_scores", cap=cap))
    con.execute("DROP TABLE scores")
    con.execute("ALTER TABLE p_scores RENAME TO scores")
    con.execute("CREATE OR REPLACE TEMP VIEW parts AS SELECT * FROM p_parts")
