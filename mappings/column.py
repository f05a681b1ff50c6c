"""One column that expressions and texts of mapping files may name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """`type`: DuckDB's name; `feed`: where its facts come from (`columns.FEEDS`)."""

    type: str
    feed: str
    says: str
