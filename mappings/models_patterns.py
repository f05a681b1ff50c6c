"""Models of `patterns/<name>.yml` and of the usage statuses: shapes that a single number hides."""

from pydantic import Field

from mappings.models_base import Model, Name, Sql, Text


class Pattern(Model):
    """A named shape of an account, over account and result columns. Several may hold at once; while a feed is late the last answer stands."""

    name: Name
    title: Text
    hypothesis: str = Field(min_length=10)
    when: Sql
    text: Text
    action: Text | None = None  # next step where nothing lowers the score more than this


class UsageStatus(Model):
    """One usage status; the first whose `when` holds is written."""

    value: Name
    when: Sql
