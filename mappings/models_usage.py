"""Models of `usage/<name>.yml`: where an export lies and what its columns are."""

from typing import Literal

from pydantic import Field

from mappings.models_base import Model, Name


class UsageColumns(Model):
    """Names of the export's columns. Events: day (and optionally user, feature, events, seconds). Snapshots: metric, value, occurred_at."""

    tenant_key: str
    product: str | None = None
    user_key: str | None = None
    feature: str | None = None
    day: str | None = None
    events: str | None = None  # absent: each row is one event
    seconds: str | None = None
    row_id: str | None = None  # unique id: a repeated one is set aside
    metric: str | None = None
    value: str | None = None
    occurred_at: str | None = None


class UsageSource(Model):
    name: Name
    kind: Literal["events", "snapshot"]
    glob: str  # relative to SCORESYNC_USAGE, or absolute
    format: Literal["auto", "csv", "parquet", "jsonl"]  # auto: by suffix (.csv .csv.gz .parquet .jsonl .jsonl.gz), file by file
    columns: UsageColumns
    product: str | None = None  # constant, where the export has no product column
    delimiter: str = ","
    encoding: Literal["utf-8", "utf-16", "shift_jis", "cp932", "euc_jp", "latin-1"] = "utf-8"
    date_formats: list[str] = Field(default=["%Y-%m-%d"])  # tried in order; DuckDB strptime
    timezone: str = "UTC"  # of time stamps; a plain date is taken as it is
    replaces: Literal["file", "day", "tenant_day", "snapshot"] = "file"
    matches: Literal["account", "contract"] = "account"  # whose match_key the tenant_key is
    settle_s: int = Field(default=0, ge=0)
    max_lag_days: int = Field(default=3, ge=0)  # later than this the feed is late: scores are held

    def format_of(self, path: str) -> Literal["csv", "parquet", "jsonl"]:
        """The format of one file; with `auto` by its suffix, and CSV where the suffix says nothing."""
        if self.format != "auto":
            return self.format
        name = path.lower().removesuffix(".gz")
        return "parquet" if name.endswith(".parquet") else "jsonl" if name.endswith((".jsonl", ".ndjson")) else "csv"
