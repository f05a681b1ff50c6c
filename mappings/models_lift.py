"""How a measure can be lifted: what the cheapest way up to the next tier is made of."""

from pydantic import Field

from mappings.models_base import Model, Sql, Text


class Lift(Model):
    """One thing that a CSM can do about a measure. An indicator without one cannot be influenced, and is never suggested."""

    effort: float = Field(gt=0)  # of taking it from 0 to 100 points, against the other measures
    realistic: float | None = None  # value beyond which nobody is sent; null = as far as points rise
    to: float | None = None  # value after it was done, where it jumps (days since …): the only target then
    count: Sql | None = None  # the change in countable things, over the account's columns, `value` and `target`
    text: Text
