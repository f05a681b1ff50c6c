"""Models of `churn.yml`: why customers leave, what is done then, and what counts as a warning that came before."""

from pydantic import Field

from mappings.models_base import Model, Name, Text
from mappings.models_onboarding import StepActivity


class ChurnReason(Model):
    """One reason of the firm's list; `values` are the CRM's words for it, whatever their case."""

    code: Name
    title: Text
    values: list[str] = Field(default_factory=list)


class ChurnStep(Model):
    """What is done once a customer has decided to leave, so many days after that; a done activity shows it."""

    name: Name
    title: Text
    days: int = Field(ge=0, le=720)
    activity: StepActivity


class Churn(Model):
    reasons: list[ChurnReason] = Field(default_factory=list)
    checklist: list[ChurnStep] = Field(default_factory=list)
    red_tier: int = Field(default=2, ge=1, le=5)  # a tier up to this one was a warning
    warned_days: int = Field(default=180, ge=30)  # how far before the decision warnings are looked for
    no_warning: list[Name] = Field(default_factory=list)  # alerts and patterns that say nothing of leaving
    watch_days: int = Field(default=730, ge=0)  # how long after they left signs of a return are looked for


class ChurnMappings(Model):
    """This area's part of all mappings."""

    churn: Churn = Churn()
