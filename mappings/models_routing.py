"""Models of `priority.yml` (whom to call first), `lists.yml` (advocates, innovators) and `routing.yml` (touch models, teams, load and forecast)."""

from datetime import date
from typing import Literal

from pydantic import Field

from mappings.models_base import Model, Name, Sql, Text

TouchModel = Literal["tech", "hybrid", "high"]


# --- priority.yml --------------------------------------------------------------------------------------------------------------------------------
class PriorityTerm(Model):
    """A part of the points: `weight` times `share`, which is held to 0..1; unknown counts as 0. The text is the reason shown for it."""

    name: Name
    weight: float = Field(gt=0)
    share: Sql
    text: Text


class Priority(Model):
    """Points are 0..100: the weighed shares over the sum of the weights. Without a term nobody has a list."""

    capacity: int = Field(default=12, ge=0, le=99)  # accounts on one person's list
    users: dict[str, int] = Field(default_factory=dict)  # CRM user id -> capacity of that person
    bands: tuple[int, int, int] = (60, 40, 25)  # points from which an account is in band 1, 2, 3; below, it is on no list
    margin: int = Field(default=5, ge=0)  # points below its band's edge before an account leaves the band
    terms: list[PriorityTerm] = Field(default_factory=list)


# --- lists.yml -----------------------------------------------------------------------------------------------------------------------------------
class Lists(Model):
    advocacy: Sql | None = None
    innovator: Sql | None = None
    trial_user: Sql | None = None


# --- routing.yml ---------------------------------------------------------------------------------------------------------------------------------
class TouchTarget(Model):
    """Percent of accounts per touch model that is aimed at from a day on."""

    valid_from: date
    tech: float = Field(ge=0, le=100)
    hybrid: float = Field(ge=0, le=100)
    high: float = Field(ge=0, le=100)


class TouchRule(Model):
    model: TouchModel
    when: Sql | None = None  # null only for the last one


class Touch(Model):
    targets: list[TouchTarget] = Field(default_factory=list)
    tolerance: float = Field(default=5, ge=0)  # percentage points that the mix may be off
    suggest: list[TouchRule] = Field(default_factory=list)  # the first that holds
    high_min_mrr: float | None = Field(default=None, gt=0)  # high touch below it is questioned


class Team(Model):
    name: Name
    title: Text
    owners: list[str] = Field(default_factory=list)  # CRM user ids


class Line(Model):
    """A row or column of the matrix: the first whose `when` holds."""

    name: Name
    when: Sql | None = None  # null only for the last one


class TeamRule(Model):
    when: Sql
    team: Name


class RoutingVersion(Model):
    """One organisation, from `valid_from` until the next version's day."""

    valid_from: date
    owner_model: Literal["life", "stage"] = "life"  # life: the CSM stays; stage: the CSM is one of the team's owners
    teams: list[Team] = Field(min_length=1)
    first: list[TeamRule] = Field(default_factory=list)  # before the matrix: the first that holds
    levels: list[Line] = Field(min_length=1)  # rows of the matrix: by score
    periods: list[Line] = Field(min_length=1)  # its columns: by contract period
    matrix: dict[Name, dict[Name, Name]]  # level -> period -> team


class LoadLevel(Model):
    """What a person of this level carries."""

    name: Name
    accounts: int = Field(ge=1)
    arr: float | None = Field(default=None, gt=0)  # null = no bar


class Load(Model):
    levels: list[LoadLevel] = Field(default_factory=list)
    users: dict[str, Name] = Field(default_factory=dict)  # CRM user id -> level; others have the first


class Forecast(Model):
    """High touch breaks in the month whose accounts need more people than there are."""

    months: int = Field(default=12, ge=1, le=60)
    trailing_months: int = Field(default=6, ge=1, le=36)  # growth where `new_per_month` says nothing: starts in these months
    accounts_per_head: dict[TouchModel, int] = Field(default_factory=dict)
    heads: dict[TouchModel, int] = Field(default_factory=dict)
    new_per_month: dict[TouchModel, float] = Field(default_factory=dict)  # the plan, net of leavers


class Routing(Model):
    touch: Touch = Touch()
    versions: list[RoutingVersion] = Field(default_factory=list)
    load: Load = Load()
    forecast: Forecast = Forecast()
