"""Models of onboarding/<name>.yml, renewal.yml and self_success.yml: what a customer goes through, with its days."""

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from mappings.models_base import Model, Name, Sql, Text


class StepActivity(Model):
    """A done activity that shows a step as done: of one of the kinds, and with these words in its subject (null = any)."""

    kinds: list[str] = Field(default_factory=lambda: ["onboarding_step"], min_length=1)
    subject: str | None = Field(default=None, min_length=1)


class OnboardingStep(Model):
    """One completion criterion. It is met as soon as one of its evidences says so; a step without any never is, so one is needed."""

    name: Name
    title: Text
    phase: Name
    due_days: int = Field(ge=0, le=720)  # after the start
    product: str | None = None  # whose set-up it is; default the plan's first product
    activity: StepActivity | None = None
    setup_steps: int | None = Field(default=None, ge=1)  # snapshot metric setup_steps_done is at least this
    metric: Name | None = None  # another snapshot metric …
    at_least: float = 1  # … is at least this
    when: Sql | None = None
    action: Text | None = None  # what the CSM does next; null = a plain sentence
    material: str | None = Field(default=None, pattern=r"^https?://\S+$", max_length=100)

    @model_validator(mode="after")
    def _has_evidence(self) -> "OnboardingStep":
        if self.activity is None and self.setup_steps is None and self.metric is None and self.when is None:
            raise ValueError("nothing would ever show this step as done: give it activity, setup_steps, metric or when")
        return self


class OnboardingPhase(Model):
    name: Name
    title: Text


class OnboardingVersion(Model):
    """The criteria for those who start on or after `valid_from`. A version that accounts have started on is not edited: add the next one."""

    version: int = Field(ge=1)
    valid_from: date | None = None  # null: from the beginning
    days: int | None = Field(default=None, ge=1, le=720)  # null: onboarding_days of the product, the longest where there are several
    phases: list[OnboardingPhase] = Field(min_length=1)
    steps: list[OnboardingStep] = Field(min_length=1)


class OnboardingPlan(Model):
    name: Name
    title: Text
    products: list[str] = Field(min_length=1)  # all of them owned, and started within `together_days` of each other
    together_days: int = Field(default=31, ge=0)
    versions: list[OnboardingVersion] = Field(min_length=1)


# --- self_success.yml ----------------------------------------------------------------------------------------------------------------------------
class SelfSuccessSign(Model):
    name: Name
    when: Sql
    text: Text


class SelfSuccess(Model):
    """Who may do without a CSM. Looked at during the first `days` days of a customer; below `at_least` signs nothing is suggested."""

    days: int = Field(default=90, ge=1)
    at_least: int = Field(default=2, ge=1)
    unless: Sql | None = None  # never suggested where this holds
    target_percent: tuple[float, float] = (10, 15)  # of new customers, for the report
    signs: list[SelfSuccessSign] = Field(default_factory=list)


# --- renewal.yml ---------------------------------------------------------------------------------------------------------------------------------
class RenewalStep(Model):
    name: Name
    title: Text
    days_before: int = Field(ge=0, le=720)  # the notice deadline, at the default start; scaled where a segment starts earlier or later
    when: Sql | None = None  # shows it as done; null = taken as done once its day is past
    action: Text
    side: Literal["us", "customer"] = "us"  # customer: said in the version for the customer, too


class BriefQuestion(Model):
    """Suggested on the brief where `when` holds."""

    name: Name
    when: Sql | None = None
    text: Text
    side: Literal["us", "customer"] = "us"  # customer: on the page for the customer, too


class Renewal(Model):
    start_months: int = Field(default=4, ge=1, le=18)  # before the notice deadline, a month taken as 30 days; never more than half of the term
    segments: dict[str, int] = Field(default_factory=dict)  # segment -> months, where it differs
    qbr_days: dict[str, int] = Field(default_factory=dict)  # segment -> days between reviews; `default` for the others; no entry = none due
    expansion_when: Sql | None = None  # ready to talk about more at this renewal
    steps: list[RenewalStep] = Field(default_factory=list)
    questions: list[BriefQuestion] = Field(default_factory=list)


class OnboardingMappings(Model):
    """This area's part of all mappings."""

    onboarding: dict[str, OnboardingPlan] = Field(default_factory=dict)
    self_success: SelfSuccess = SelfSuccess()
    renewal: Renewal = Renewal()
