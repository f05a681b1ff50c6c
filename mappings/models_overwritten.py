"""Model of `overwritten` in writeback.yml: when somebody else's automation is told of."""

from typing import Literal

from pydantic import Field

from mappings.models_base import Model


class Overwritten(Model):
    """The same field of ours, found changed by others on `records` records of one CRM in one run, is no person at work. A number by experience, no
    measure of ours: ten is more than a team edits by hand between two runs."""

    records: int = Field(default=10, ge=2)
    channel: Literal["log", "slack", "email"] = "log"
