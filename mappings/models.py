"""Pydantic models of every mapping file. Unknown keys are refused; `load.py` reports all faults of all files at once.

What a person writes is forgiving, what the worker runs is complete. `sql` and `when` are DuckDB scalars over `columns.py`; see `expressions.py`.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from mappings import models_churn, models_sales
from mappings.models_alerts import Alert as Alert
from mappings.models_alerts import Anomaly as Anomaly
from mappings.models_alerts import CalendarEvent as CalendarEvent
from mappings.models_base import Model, Name, Sql
from mappings.models_base import Text as Text
from mappings.models_csql import CsqlPolicy as CsqlPolicy
from mappings.models_csql import CsqlRule as CsqlRule
from mappings.models_csql import Gate as Gate
from mappings.models_csql import Guard as Guard
from mappings.models_csql import Judgement as Judgement
from mappings.models_csql import Mute as Mute
from mappings.models_lift import Lift as Lift
from mappings.models_overwritten import Overwritten
from mappings.models_patterns import Pattern, UsageStatus
from mappings.models_routing import Lists, Priority, Routing
from mappings.models_usage import UsageColumns as UsageColumns
from mappings.models_usage import UsageSource as UsageSource


class Axis(StrEnum):
    DEPLOYMENT = "deployment"
    ADOPTION = "adoption"
    ENGAGEMENT = "engagement"
    OUTCOME = "outcome"


# --- indicators/<name>.yml -----------------------------------------------------------------------------------------------------------------------
Anchor = float | Literal["p10", "p90"]  # p10, p90: percentiles of the values in the account's segment


class Fallback(Model):
    """Anchors for a segment with too few customers to take percentiles of."""

    bad: float
    good: float


class Linear(Model):
    """0 points at `bad`, 100 at `good`, straight between, held outside."""

    kind: Literal["linear"]
    bad: Anchor
    good: Anchor
    fallback: Fallback | None = None  # needed with percentiles

    @property
    def by_segment(self) -> bool:
        return isinstance(self.bad, str) or isinstance(self.good, str)

    @property
    def fixed(self) -> tuple[float, float]:
        """The anchors as numbers: those of the fallback where the segment decides."""
        anchors = self.fallback or self
        return float(anchors.bad), float(anchors.good)


class Step(Model):
    at_least: float
    points: float = Field(ge=0, le=100)


class Steps(Model):
    """Points of the highest step whose `at_least` is reached; 0 below the first."""

    kind: Literal["steps"]
    steps: list[Step] = Field(min_length=1)


class Boolean(Model):
    """100 where true, 0 where false."""

    kind: Literal["boolean"]


class Reasons(Model):
    low: Text
    high: Text


class Indicator(Model):
    name: Name
    title: Text
    axis: Axis
    feed: Literal["crm", "usage", "setup", "activity", "contact", "ticket", "survey", "opportunity", "outcome", "human", "message", "event"]
    hypothesis: str = Field(min_length=10)
    unit: Literal["percent", "count", "days", "score", "yes_no"]
    window_days: int | None = Field(default=None, ge=1, le=730)
    direction: Literal["more_is_better", "less_is_better"]
    null_means: str = Field(min_length=3)
    ttl_days: int | None = Field(default=None, ge=1)  # with observed_on: older than this and the measure drops out
    observed_on: Sql | None = None  # DATE of the newest fact behind the value
    expression: Sql
    answers: Sql | None = None  # how many facts the value rests on
    answers_min: int | None = Field(default=None, ge=2)  # fewer and the value is for reference only
    mapping: Annotated[Linear | Steps | Boolean, Field(discriminator="kind")]
    reasons: Reasons
    missing: Text  # said when the measure is absent
    action: Text  # next step when this is the main reason
    lift: Lift | None = None  # how it can be lifted; null = nobody can do that
    cause: Name  # picklist value of the main reason, for reports


# --- scores/<name>.yml ---------------------------------------------------------------------------------------------------------------------------
class AxisWeights(Model):
    weight: float = Field(ge=0, le=100)
    indicators: dict[Name, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)  # relative weights inside the axis


class Profile(Model):
    name: Name
    title: Text
    when: Sql | None = None  # null only for the last one
    axes: dict[Axis, AxisWeights]


class Cap(Model):
    name: Name
    when: Sql
    cap: int = Field(ge=0, le=100)
    text: Text
    action: Text | None = None  # next step while it holds; null = that of the indicator that lowers the score most


class Tiers(Model):
    edges: tuple[int, int, int, int] = (80, 60, 40, 20)  # lower bounds of tiers 5, 4, 3, 2, inclusive
    margin: int = Field(default=3, ge=0)
    closings: int = Field(default=2, ge=1, le=2)  # consecutive closing scores past the margin


class Trend(Model):
    window_days: int = 28
    arrow: int = 5


class History(Model):
    backfill_days: int = Field(default=28, ge=0, le=400)  # a first run scores past dates from the lake
    backfill_step_days: int = Field(default=7, ge=1)


class Brake(Model):
    """A run beyond either stops as `needs approval` before anything is written. A first score is not a move."""

    tier_moves_percent: float = Field(default=20, gt=0, le=100)
    csql_opened: int = Field(default=200, ge=1)
    min_accounts: int = Field(default=20, ge=1)  # below this many scored accounts the share says nothing


class Score(Model):
    name: Name
    profiles: list[Profile] = Field(min_length=1)
    caps: list[Cap] = Field(default_factory=list)
    coverage_min: float = Field(default=60, ge=0, le=100)
    axes_min: int = Field(default=2, ge=1, le=4)
    indicator_share_max: float = Field(default=25, gt=0, le=100)
    axis_share_max: float = Field(default=60, gt=0, le=100)
    tiers: Tiers = Tiers()
    trend: Trend = Trend()
    history: History = History()
    brake: Brake = Brake()
    override_days: int = Field(default=30, ge=1)  # a person's score with an end further ahead is not taken
    usage_status: list[UsageStatus] = Field(default_factory=list)  # the first that holds; none = no status
    per_product: bool = True  # false: products get no scores of their own, which spares a third of the time of scoring
    rollup: Literal["none", "products"] = "none"  # products: the account's score is the MRR-weighted mean of its products' scores


# --- products.yml --------------------------------------------------------------------------------------------------------------------------------
class Product(Model):
    code: str = Field(min_length=1)
    title: Text
    rhythm: Literal["daily", "monthly_close", "yearly"] = "daily"
    embedded: bool = False
    onboarding_days: int = Field(default=90, ge=1)
    plans: list[str] = Field(default_factory=list)  # lowest first
    core_features: list[str] = Field(default_factory=list, max_length=62)  # one bit each
    advanced_features: list[str] = Field(default_factory=list)
    sell: bool = True  # offered as white space
    team: Text | None = None  # who sells it, named where it is suggested


class Products(Model):
    products: list[Product] = Field(min_length=1)


# --- scope.yml, calendar.yml ---------------------------------------------------------------------------------------------------------------------
class Scope(Model):
    include: Sql | None = None  # over ACCOUNTS columns; null = accounts with an open contract
    pilot: list[str] = Field(default_factory=list)  # account ids; empty = all
    shadow: bool = False  # compute and record everything, write nothing


class Calendar(Model):
    timezone: str = "Asia/Tokyo"
    country: str = "JP"
    closures: list[str] = Field(default_factory=lambda: ["12-29", "12-30", "12-31", "01-02", "01-03"])  # MM-DD or YYYY-MM-DD
    renewal_days: int = 90  # renewal starts min(this, a third of the term) before the notice deadline
    fiscal_month: int = Field(default=4, ge=1, le=12)  # first month of the customers' budget year
    events: list[CalendarEvent] = Field(default_factory=list)
    anomaly: Anomaly = Anomaly()


# --- crm/<connection>.yml ------------------------------------------------------------------------------------------------------------------------
class FieldColumn(Model):
    """A vendor field path, with the vendor's values translated; `default` for values not listed (null = keep the value as it is)."""

    field: str
    values: dict[str, str | bool | int] | None = None
    default: str | bool | int | None = None


class ConstColumn(Model):
    const: str | bool | int


class SqlColumn(Model):
    """A DuckDB scalar over the raw (VARCHAR) fields named in `fields`, each addressed as "quoted.path"."""

    sql: Sql
    fields: list[str] = Field(min_length=1)


def _column_form(value: object) -> str:
    """Which of the four forms a column is written in, so that a fault is told once and not for each form. The names differ from all keys."""
    keys = value if isinstance(value, dict) else value.__dict__ if isinstance(value, BaseModel) else None
    if keys is None:
        return "a path"
    return "a constant" if "const" in keys else "an expression" if "sql" in keys else "a field"


ColumnSpec = Annotated[
    Annotated[str, Field(min_length=1), Tag("a path")]
    | Annotated[FieldColumn, Tag("a field")]
    | Annotated[ConstColumn, Tag("a constant")]
    | Annotated[SqlColumn, Tag("an expression")],
    Discriminator(_column_form),
]


class Source(Model):
    """One vendor object read as (part of) one entity."""

    object: str
    columns: dict[str, ColumnSpec]
    filter: str | None = None  # vendor syntax, joined by AND to the window


class CrmMapping(Model):
    connection: Name
    vendor: Literal["salesforce", "hubspot"]
    authoritative: list[str] = Field(default_factory=list)  # entities; empty = all
    adds: list[str] = Field(default_factory=list)  # entities whose rows count beside those of the authoritative connection
    entities: dict[str, list[Source]]
    csql_object: str = "CSH_CSQL__c"
    csql_store: Literal["auto", "custom_object", "lead", "task", "deal"] = "auto"  # what CSQL records are, where the CRM leaves a choice
    match: list[Literal["cross_id", "domain"]] = Field(default=["cross_id", "domain"], min_length=1)  # how its accounts find their counterparts
    free_mail: list[str] = Field(default_factory=list)  # domains of nobody, beside those that are known
    max_lag_days: int = Field(default=3, ge=0)  # with two connections: unread for longer, what it brings is late

    def supplies(self, entity: str) -> bool:
        """Its rows of the entity count."""
        return entity in (self.authoritative or self.entities) or entity in self.adds


# --- writeback.yml -------------------------------------------------------------------------------------------------------------------------------
class FieldType(StrEnum):
    NUMBER = "number"
    PERCENT = "percent"
    CURRENCY = "currency"
    TEXT = "text"
    LONG_TEXT = "long_text"
    PICKLIST = "picklist"
    MULTI_PICKLIST = "multi_picklist"  # several values at once; canonical: sorted, each once, joined by `;`
    CHECKBOX = "checkbox"
    DATE = "date"
    DATETIME = "datetime"
    LOOKUP = "lookup"


class PicklistValue(Model):
    value: str
    en: str
    ja: str


class Label(Model):
    en: str = Field(min_length=1, max_length=40)
    ja: str = Field(min_length=1, max_length=40)


class Meaning(Model):
    en: str = Field(min_length=10)
    ja: str = Field(min_length=5)


class WriteField(Model):
    """One field that scoresync knows on a CRM object. `key` is filled by the loader from the YAML key."""

    key: Name
    object: Literal["account", "csql", "task"]
    set: Literal["core", "standard", "all"]
    owner: Literal["worker", "human", "crm"]  # crm = a formula the CRM computes
    names: dict[str, str]  # vendor -> API name
    type: FieldType
    label: Label
    meaning: Meaning
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    values: list[PicklistValue] = Field(default_factory=list)
    formula: str | None = None  # owner crm, Salesforce syntax
    reference_to: str | None = None  # lookup: vendor object
    value: str | None = None  # column of `decisions` / `csql_desired`; default the key
    update: Literal["always", "ride_along", "if_empty"] = "always"
    noise: Decimal | None = None  # numbers: differences up to this are not news
    max_age_days: int | None = None  # ride_along: refresh at the latest after this
    on_edit: Literal["hold", "overwrite", "follow"] = "hold"  # when a person changed it
    external_key: bool = False
    section: int | None = None  # place in the account section (3.4), 1..


class Writeback(Model):
    language: Literal["ja", "en"] = "ja"
    sets: list[Literal["core", "standard", "all"]] = Field(default=["core"])
    overwritten: Overwritten = Overwritten()
    fields: list[WriteField]

    def of(self, object_name: str) -> list[WriteField]:
        return [f for f in self.fields if f.object == object_name]

    def active(self) -> list[WriteField]:
        """Fields of the chosen sets: those that are provisioned, checked, read and written."""
        return [f for f in self.fields if f.set in self.sets]


# --- everything ----------------------------------------------------------------------------------------------------------------------------------
class Mappings(models_sales.SalesMappings, models_churn.ChurnMappings):
    """All mapping files of one folder, checked. A run pins a snapshot of it."""

    crm: dict[str, CrmMapping]
    usage: dict[str, UsageSource]
    indicators: dict[str, Indicator]
    score: Score
    csql: dict[str, CsqlRule]
    policy: CsqlPolicy
    alerts: dict[str, Alert]
    patterns: dict[str, Pattern] = Field(default_factory=dict)
    products: Products
    scope: Scope
    calendar: Calendar
    writeback: Writeback
    priority: Priority = Priority()
    routing: Routing = Routing()
    lists: Lists = Lists()
