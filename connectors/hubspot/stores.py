"""Where an account keeps CSQL records, and how a person's move is read back from there (docs/hubspot.md, "Where CSQLs live").

Every store carries the same `csh_` properties, the unique external key among them. A lead, a task and a deal have a stage of HubSpot's own besides,
which sales moves: the state that the worker sees is made of both, and a state that it writes sets both. Nothing of this is known past this package.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from connectors.errors import ConnectorError, Misfit, NotAllowed
from connectors.hubspot.client import Portal
from connectors.hubspot.objects import Objects
from mappings.models import WriteField

Record = Mapping[str, Any]


class Kind(StrEnum):
    CUSTOM_OBJECT = "custom_object"
    LEAD = "lead"
    TASK = "task"
    DEAL = "deal"


#: The object type of each store; a custom object's is what the mapping calls it.
OBJECTS = {Kind.LEAD: "leads", Kind.TASK: "tasks", Kind.DEAL: "deals"}
#: The property that holds the store's own stage.
STAGES = {Kind.LEAD: "hs_pipeline_stage", Kind.TASK: "hs_task_status", Kind.DEAL: "dealstage"}
#: The pipeline every account with leads has (sheet, 9). Stages of a firm's own mean nothing to us: there the property alone counts.
LEAD_PIPELINE = "lead-pipeline-id"
#: Made by provisioning where `csql_store: deal` asks for it; found again by its label.
DEAL_PIPELINE = "CSQL"
OWNER, DONE = "hubspot_owner_id", "COMPLETED"

#: How far a state is; people's own states (any other) are taken as they stand.
RANK = {"Candidate": 0, "Submitted": 0, "Nurture": 0, "Accepted": 1, "Meeting": 2, "Opportunity": 3}
CLOSED, OWN_STATE = 4, 9
RANK |= dict.fromkeys(("Won", "Lost", "Returned", "Expired", "Merged"), CLOSED)


@dataclass(frozen=True)
class Stage:
    """What a stage says: the state of a record that a person moved there, and the states whose records belong there."""

    means: str
    holds: frozenset[str]


def _stage(means: str, *more: str) -> Stage:
    return Stage(means, frozenset((means, *more)))


LEAD_STAGES = {
    "new-stage-id": _stage("Candidate", "Submitted", "Nurture"),
    "attempting-stage-id": _stage("Accepted"),
    "connected-stage-id": _stage("Meeting"),
    "qualified-stage-id": _stage("Opportunity", "Won"),
    "unqualified-stage-id": _stage("Returned", "Lost", "Expired", "Merged"),
}
#: A task that is done without a reason for return was taken up: nobody but a person closes it further.
TASK_STAGES = {
    "WAITING": _stage("Nurture"),
    "DEFERRED": _stage("Nurture"),
    "NOT_STARTED": _stage("Candidate", "Submitted", "Nurture"),
    "IN_PROGRESS": _stage("Accepted", "Meeting", "Opportunity"),
    DONE: _stage("Accepted", "Meeting", "Opportunity", "Won", "Lost", "Returned", "Expired", "Merged"),
}


@dataclass(frozen=True)
class Names:
    """Our CSQL properties as writeback.yml calls them in HubSpot."""

    key: str = "csh_external_key"
    state: str = "csh_state"
    reason: str = "csh_return_reason"
    assigned: str = "csh_assigned_to"

    @classmethod
    def of(cls, fields: Sequence[WriteField]) -> "Names":
        known = {f.key: f.names["hubspot"] for f in fields if f.object == "csql" and "hubspot" in f.names}
        asked = {"key": "external_key", "state": "state", "reason": "return_reason", "assigned": "assigned_to"}
        return cls(**{ours: known[key] for ours, key in asked.items() if key in known})


@dataclass(frozen=True)
class View:
    """How records of one object type are seen: what to ask for besides, names that stand for other properties, and the record as it counts."""

    properties: tuple[str, ...]
    aliases: Mapping[str, str]
    see: Callable[[Record], Record | None]


@dataclass(frozen=True)
class Store:
    """The store in use. `pipeline`: id of the pipeline new records go to, empty where there is none."""

    kind: Kind
    object: str
    names: Names
    stages: Mapping[str, Stage] = field(default_factory=dict)
    pipeline: str = ""

    @property
    def stage(self) -> str:
        return STAGES.get(self.kind, "")

    # --- reading ---------------------------------------------------------------------------------------------------------------------------------
    def state(self, state: str | None, stage: str | None, *, returned: bool) -> str | None:
        """The state of a record from our property and the store's stage: the further of the two, since people move either.

        `returned`: a reason for return is given. In a pipeline of our own each stage is one state, and it alone counts.
        """
        place = self.stages.get(stage or "")
        if place is None:
            return state
        if self.kind == Kind.DEAL:
            return place.means
        rank = RANK.get(state, OWN_STATE) if state else -1
        if self.kind == Kind.TASK and stage == DONE and returned and rank < CLOSED:
            return "Returned"
        return state if state in place.holds or rank > RANK[place.means] else place.means

    def ours(self, record: Record) -> bool:
        """Whether a record of a type that others use too is a CSQL: it has our key, or a person gave it our state or put it into our pipeline."""
        values = record["properties"]
        marked = bool(values.get(self.names.key) or values.get(self.names.state))
        return self.kind == Kind.CUSTOM_OBJECT or marked or (self.kind == Kind.DEAL and values.get(self.stage) in self.stages)

    def seen(self, record: Record) -> Record:
        """The record as the worker knows CSQLs: state and assignee under our names."""
        if self.kind == Kind.CUSTOM_OBJECT:
            return record
        values = dict(record["properties"])
        values[self.names.state] = self.state(values.get(self.names.state), values.get(self.stage), returned=bool(values.get(self.names.reason)))
        values[self.names.assigned] = values.get(OWNER)
        return {**record, "properties": values}

    def view(self, *, csql: bool) -> View | None:
        """For sources on this object type: CSQLs alone, or everything but them. Null where nobody else uses the type."""
        if self.kind == Kind.CUSTOM_OBJECT:
            return None
        asked = (self.names.key, self.names.state, self.names.reason, self.stage, OWNER)
        if csql:
            return View(asked, {self.names.assigned: OWNER}, lambda r: self.seen(r) if self.ours(r) else None)
        return View(asked, {}, lambda r: None if self.ours(r) else r)

    # --- writing ---------------------------------------------------------------------------------------------------------------------------------
    def staged(self, values: Mapping[str, str | None]) -> dict[str, str]:
        """The stage that goes along with a state we write: the first that holds it. `values`: our key -> value."""
        state = values.get("state")
        stage = next((key for key, place in self.stages.items() if state in place.holds), None)
        return {self.stage: stage} if stage else {}

    def field(self, given: WriteField) -> WriteField:
        """The field as this store has it: leads, tasks and deals have an owner of their own."""
        if self.kind == Kind.CUSTOM_OBJECT or given.object != "csql" or given.names.get("hubspot") != self.names.assigned:
            return given
        return given.model_copy(update={"names": {**given.names, "hubspot": OWNER}})


class Stores:
    """Finds the store of one account. `asked`: what the mapping says; with `auto`, whichever was set up, the custom object first."""

    def __init__(self, portal: Portal, objects: Objects, custom: str, asked: str = "auto", fields: Sequence[WriteField] = ()) -> None:
        self._portal, self._objects, self._custom, self.asked = portal, objects, custom, asked
        self._fields, self.names = fields, Names.of(fields)
        self._kept: Store | None = None

    def forget(self) -> None:
        self._kept = None

    def current(self) -> Store:
        """The store in use. Nothing set up yet: the custom object, whose absence is then told with what to do."""
        if self._kept is None:
            found = self.existing()
            if found is None:
                return self.made(Kind.CUSTOM_OBJECT if self.asked == "auto" else Kind(self.asked))
            self._kept = found
        return self._kept

    def existing(self) -> Store | None:
        """The store that was set up before; null without one."""
        kinds = (Kind.CUSTOM_OBJECT, Kind.LEAD, Kind.TASK) if self.asked == "auto" else (Kind(self.asked),)
        found = next((kind for kind in kinds if self._is_set_up(kind)), None)
        return self.made(found) if found is not None else None

    def made(self, kind: Kind) -> Store:
        """A store of this kind, with the stages it has in this account."""
        if kind == Kind.CUSTOM_OBJECT:
            return Store(kind, self._custom, self.names)
        if kind == Kind.TASK:
            return Store(kind, OBJECTS[kind], self.names, TASK_STAGES)
        wanted = next(
            (p for p in self.pipelines(OBJECTS[kind]) if (p["id"] == LEAD_PIPELINE if kind == Kind.LEAD else p["label"] == DEAL_PIPELINE)), None
        )
        there = {} if wanted is None else {str(s["id"]): str(s["label"]) for s in wanted["stages"] if not s.get("archived")}
        if kind == Kind.LEAD:
            stages = {key: stage for key, stage in LEAD_STAGES.items() if key in there}
        else:
            states = {word: v.value for v in self.states() for word in (v.value, v.en, v.ja)}
            stages = {key: _stage(states[label]) for key, label in there.items() if label in states}
        return Store(kind, OBJECTS[kind], self.names, stages, "" if wanted is None else str(wanted["id"]))

    def pipelines(self, object_name: str) -> list[dict[str, Any]]:
        """None where the account, or the token, has no such objects: that is told when they are described."""
        try:
            found: list[dict[str, Any]] = self._portal.json("describe", lambda hs: hs.crm.pipelines.pipelines_api.get_all, object_name)["results"]
        except (Misfit, NotAllowed) as error:
            if not lacking(error):
                raise
            return []
        return found

    def states(self) -> list[Any]:
        """The values of the state field: value, en, ja."""
        return next((list(f.values) for f in self._fields if f.object == "csql" and f.key == "state"), [])

    def refusal(self, kind: Kind) -> ConnectorError | None:
        """Why this account, or this token, has no such store; null = it has."""
        try:
            if kind == Kind.CUSTOM_OBJECT:
                self._objects.custom()
            else:
                self._objects.get(OBJECTS[kind])
        except (Misfit, NotAllowed) as error:
            if not lacking(error):
                raise
            return error
        return None

    def _is_set_up(self, kind: Kind) -> bool:
        if self.refusal(kind) is not None:
            return False
        if kind == Kind.CUSTOM_OBJECT:
            return self._objects.type_id(self._custom) != self._custom or self._custom in self._objects.custom()
        return self.names.key in self._objects.get(OBJECTS[kind]).unique


def lacking(error: ConnectorError) -> bool:
    """Whether it says that the plan or the token lacks a kind of record. A plan without it looks like a token without its scopes."""
    if isinstance(error, NotAllowed):
        return error.status == 403
    return isinstance(error, Misfit) and error.code in ("MISSING_SCOPES", "UNKNOWN_TYPE")
