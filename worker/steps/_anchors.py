"""Anchors from the population: the 10th and 90th percentile of an indicator over the customers of a segment, frozen by full runs.

One changed account moves no other: increments use what the last full run froze. A segment with too few customers, or all alike, takes the anchors
that the indicator names as fallback.
"""

from collections.abc import Mapping, Sequence

import duckdb

from mappings.models import Indicator, Linear
from worker.sql import literal
from worker.steps._scorecard import ANCHOR, OBSERVED, VALUE, Feed, missing_sql

#: Fewer customers of a segment with a value than this give no anchor. As many as a median needs.
ANCHOR_MIN = 5
_SHARES = {"p10": 0.1, "p90": 0.9}


def anchored(indicators: Sequence[Indicator]) -> list[Indicator]:
    """Indicators whose points depend on their segment."""
    return [i for i in indicators if isinstance(i.mapping, Linear) and i.mapping.by_segment]


def build_anchors(con: duckdb.DuckDBPyConnection, indicators: Sequence[Indicator], feeds: Mapping[str, Feed], frozen: str | None) -> None:
    """Temp tables s_percentile (segment, indicator `p10:<name>`, value, n) and s_anchor (one row per segment). `frozen`: read them there."""
    found = anchored(indicators)
    none = "SELECT NULL::VARCHAR AS segment, NULL::VARCHAR AS indicator, NULL::DOUBLE AS value, NULL::BIGINT AS n WHERE false"
    rows = [none, *(_percentile_sql(i, feeds, name) for i in found for name in _SHARES)] if frozen is None else [_frozen_sql(frozen)]
    con.execute("CREATE OR REPLACE TEMP TABLE s_percentile AS " + " UNION ALL ".join(rows))
    columns = "".join(
        f", max(value) FILTER (indicator = {literal(f'{name}:{i.name}')} AND n >= {ANCHOR_MIN}) AS {ANCHOR}{name}_{i.name}"
        for i in found
        for name in _SHARES
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE s_anchor AS SELECT segment AS anchor_segment{columns} FROM s_percentile GROUP BY segment")


def _percentile_sql(indicator: Indicator, feeds: Mapping[str, Feed], name: str) -> str:
    value, observed = VALUE + indicator.name, OBSERVED + indicator.name
    missing = missing_sql(indicator, feeds.get(indicator.feed, Feed(False, False)), value, observed)
    return (
        f"SELECT segment, {literal(f'{name}:{indicator.name}')}, round_even(quantile_cont({value}, {_SHARES[name]}), 6), count({value}) "
        f"FROM s_value WHERE {missing} IS NULL GROUP BY segment"
    )


def _frozen_sql(relation: str) -> str:
    latest = f"as_of = (SELECT max(as_of) FROM {relation})"
    return (
        f"SELECT segment, indicator, median_points AS value, n FROM {relation} "
        f"WHERE profile = '*' AND {latest} AND (starts_with(indicator, 'p10:') OR starts_with(indicator, 'p90:'))"
    )


def percentiles_sql() -> str:
    """Rows for the population, as its medians are kept."""
    return "SELECT segment, '*', indicator, value, n FROM s_percentile WHERE value IS NOT NULL"
