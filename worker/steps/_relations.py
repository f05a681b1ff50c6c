"""What the scoring core reads, by name: relations of one DuckDB connection and the instant of the run. Knows nothing of ledgers or files."""

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import duckdb

from connectors.entities import Entity


@dataclass(frozen=True)
class LakeRelations:
    """SQL of the lake's tables, each usable after FROM: a table name, or a parenthesised query.

    `usage_file` is the registry's live files: file_id, source, path, first_day, last_day. `csql_keys` are the keys given out so far: external_key.
    `part` orders versions of a CRM row that tie. With several connections `crm` goes by the ids of `home`, the one that is authoritative for accounts
    (`_pairs`), and `others` are the account rows of the rest, by connection and under their own ids.
    """

    crm: dict[Entity, str] = field(default_factory=lambda: {e: f"crm_{e.value}" for e in Entity})
    part: str = "NULL"
    usage_tenant_day: str = "usage_tenant_day"
    usage_user_days: str = "usage_user_days"
    usage_file_days: str = "usage_file_days"
    usage_snapshot: str = "usage_snapshot"
    usage_file: str = "usage_file"
    score_history: str = "score_history"
    signal_history: str = "signal_history"
    assignment_history: str = "assignment_history"
    population_stats: str = "population_stats"
    product_score_history: str = "product_score_history"
    family_history: str = "family_history"
    anomaly_history: str = "anomaly_history"
    onboarding_history: str = "onboarding_history"
    fit_history: str = "fit_history"
    writes: str = "writes"
    part_history: str = "part_history"
    scorecard_history: str = "scorecard_history"
    csql_keys: str = "(SELECT NULL::VARCHAR AS external_key WHERE false)"
    home: str = ""
    others: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Moment:
    """The run's one instant, and its date in the company's time zone."""

    as_of: datetime
    timezone: str

    @property
    def on(self) -> date:
        return self.as_of.astimezone(ZoneInfo(self.timezone)).date()

    def end_of(self, day: date) -> "Moment":
        """The last second of an earlier day: how a past date is scored again."""
        end = datetime.combine(day, time(), ZoneInfo(self.timezone)) + timedelta(days=1) - timedelta(seconds=1)
        return Moment(end, self.timezone)


def kinds_of(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Column -> DuckDB type of a relation."""
    return {str(row[0]): str(row[1]) for row in con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}


def columns_of(con: duckdb.DuckDBPyConnection, relation: str) -> set[str]:
    """Column names of a relation."""
    return set(kinds_of(con, relation))


def scalar(con: duckdb.DuckDBPyConnection, sql: str) -> object:
    """The single value of a query, null where it has no row."""
    rows = con.execute(sql).fetchall()  # to its end: an open result bars the connection to registered tables
    return rows[0][0] if rows else None


def any_rows(con: duckdb.DuckDBPyConnection, relation: str) -> bool:
    return bool(con.execute(f"SELECT 1 FROM {relation} LIMIT 1").fetchall())
