"""Models of CSQL rules and of the policy that holds for all of them."""

from typing import Literal

from pydantic import Field

from mappings.models_base import Model, Name, Sql, Text


class CsqlRule(Model):
    name: Name
    version: int = Field(ge=1)
    title: Text
    motion: Literal["seat", "tier", "cross_sell", "add_on", "referral"]
    over: Literal["owned", "not_owned"]  # which account x product rows are looked at
    hypothesis: str = Field(min_length=10)
    when: Sql
    persist_days: int = Field(default=14, ge=0)
    trusted: bool = False  # true: opens as Submitted without a CSM's click
    gates: list[Name] = Field(default_factory=list)  # beyond the policy's
    amount: Sql | None = None  # expected extra MRR
    seats_suggested: Sql | None = None
    approach: Sql  # 0..100
    need: Text
    why_now: Text


class Gate(Model):
    """A condition that must hold (true), or the candidate is suppressed with this reason."""

    name: Name
    when: Sql
    text: Text
    always: bool = True


class Mute(Model):
    """A rule whose leads sales mostly returns opens nothing more, until it has a new version or is listed under `unmute`."""

    below_percent: float = Field(default=20, ge=0, le=100)  # accepted of those that sales decided on or let lapse
    tries: int = Field(default=20, ge=1)


class Guard(Model):
    """Two periods are compared, per CSM, per team and for everybody: more CSQLs while fewer onboardings end in time is warned of."""

    days: int = Field(default=90, ge=7)  # length of each period
    settled: int = Field(default=5, ge=1)  # onboardings with an answer in each, before their rates are compared
    csqls: int = Field(default=3, ge=1)  # CSQLs handed over in the later one
    fall_points: float = Field(default=10, gt=0)  # percentage points


class Judgement(Model):
    """What a CSM's own view of the moment (`csm_judgement` on the account) does to the approach score, and to the words for why now."""

    value: str = Field(min_length=1)
    points: float = Field(ge=-100, le=100)
    text: Text  # after the rule's why_now


class CsqlPolicy(Model):
    gates: list[Gate]
    cooldown_days: dict[Literal["returned", "lost", "declined_twice", "nurture", "expired"], int]
    expire_days: int = 30
    accept_business_days: int = 2
    contact_business_days: int = 5
    load_cap: int | None = Field(default=None, ge=1)  # open with one sales rep before the worker hands over another; null = no cap
    judgement: list[Judgement] = Field(default_factory=list)  # nothing said = the rule's own score
    attribution: Literal["pass_only", "shared", "cs_closes"] = "pass_only"  # whom a won one counts for
    open_states: list[str] = Field(default=["Candidate", "Submitted", "Accepted", "Meeting", "Opportunity", "Nurture"])
    mute: Mute = Mute()
    unmute: list[Name] = Field(default_factory=list)  # rules that go on whatever sales does with them
    guard: Guard = Guard()
