"""Models of `sales.yml` (hand-over, deals before signature, where success is proven) and `voice.yml` (what customers ask for)."""

from pydantic import Field

from mappings.models_base import Model, Name, Sql, Text
from mappings.models_onboarding import OnboardingMappings


# --- sales.yml -----------------------------------------------------------------------------------------------------------------------------------
class HandoverItem(Model):
    """One thing CS needs to know from sales."""

    name: Name
    title: Text
    when: Sql | None = None  # over account and result columns; null = the won opportunity's `handover` names it


class Handover(Model):
    when: Sql = "stage = 'onboarding'"  # accounts whose hand-over is looked at
    items: list[HandoverItem] = Field(default_factory=list)  # none = nothing is looked at


class Deals(Model):
    when: Sql | None = None  # over deal columns; null = no deal is shown to CS
    recipient: str | None = None  # CRM user id: who is told of deals of accounts that have no CSM yet


class Fit(Model):
    """Where the firm has shown that it makes customers succeed: per segment and product."""

    success: Sql | None = None  # over account and result columns; null = nothing is judged
    when: Sql = "stage = 'onboarding'"  # accounts on whose record the answer stands
    min_accounts: int = Field(default=5, ge=1)  # successful ones a proven segment has
    after_days: int = Field(default=365, ge=1)  # age from which an account counts as kept or lost
    min_retention: float = Field(default=80, ge=0, le=100)  # percent of those that must have stayed
    min_aged: int = Field(default=5, ge=1)  # fewer than this say nothing about retention


class Sales(Model):
    handover: Handover = Handover()
    deals: Deals = Deals()
    fit: Fit = Fit()


# --- voice.yml -----------------------------------------------------------------------------------------------------------------------------------
class VoiceTag(Model):
    """A request, found by its words. Letters are compared without case and width; a word of Latin letters only as a whole word."""

    name: Name
    title: Text
    words: list[str] = Field(min_length=1)


class Voice(Model):
    days: int = Field(default=365, ge=1)  # how far back
    tags: list[VoiceTag] = Field(default_factory=list)


class SalesMappings(OnboardingMappings):
    """These areas' part of all mappings."""

    sales: Sales = Sales()
    voice: Voice = Voice()
