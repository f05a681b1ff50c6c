"""Models of alerts, of the events in calendar.yml, and of how usage is judged."""

from typing import Literal

from pydantic import Field

from mappings.models_base import Model, Name, Sql, Text

Channel = Literal["log", "slack", "email", "crm_task"]


class Alert(Model):
    name: Name
    over: Literal["account", "deal"] = "account"  # deal: the open deals that sales.yml shows to CS, customers or not
    when: Sql
    channel: Channel
    also: list[Channel] = Field(default_factory=list)  # further channels that are told the same
    cooldown_days: int = Field(default=7, ge=0)
    text: Text
    recovered: Text | None = None  # said once when it no longer holds; null = nothing
    due_business_days: int = Field(default=1, ge=0, le=20)  # of a CRM task
    scored_only: bool = True  # false: also accounts without a score


class CalendarEvent(Model):
    """Days unlike others. mute: use is not judged on them; annotate: it is, and the text names the event; incident: ours, it counts as exposure."""

    name: Name
    title: Text
    first: str  # MM-DD every year, YYYY-MM-DD once
    last: str
    effect: Literal["mute", "annotate", "incident"] = "mute"
    products: list[str] = Field(default_factory=list)  # empty = all
    accounts: list[str] = Field(default_factory=list)  # empty = all


class Anomaly(Model):
    """When use of a product counts as low. Chosen on the series of tests/worker/test_anomaly.py: steady use of 2026 raises none."""

    baseline_weeks: int = Field(default=13, ge=8, le=26)  # daily rhythm
    baseline_closings: int = Field(default=6, ge=3, le=12)  # monthly_close rhythm
    share: float = Field(default=0.7, gt=0, lt=1)  # of what is already low for this account
    sigmas: float = Field(default=3, ge=0)  # beyond the chance of small counts
