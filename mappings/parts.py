"""The mapping files while they are being checked: models that are valid so far, and the documents they came from."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from mappings.faults import Fault
from mappings.models import Calendar, CsqlPolicy, Mappings, Products, Scope, Score, Writeback
from mappings.models_churn import Churn
from mappings.models_onboarding import Renewal, SelfSuccess
from mappings.models_routing import Lists, Priority, Routing
from mappings.models_sales import Sales, Voice
from mappings.yaml_files import Document, Path_

M = TypeVar("M", bound=BaseModel)


@dataclass
class Parts:
    """`models`: kind → file name → model, only valid ones; `documents` also holds the files with faults, so that nobody calls them missing."""

    models: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {kind: {} for kind in ("crm", "usage", "indicators", "scores", "csql", "alerts", "onboarding", "patterns")}
    )
    singles: dict[str, BaseModel | None] = field(default_factory=dict)
    writeback: Writeback | None = None
    faulty_fields: set[tuple[str, str]] = field(default_factory=set)
    documents: dict[tuple[str, str], Document] = field(default_factory=dict)
    names: dict[tuple[str, str], str] = field(default_factory=dict)  # (kind, name) → first file with it

    def single(self, name: str, model: type[M]) -> M | None:
        found = self.singles.get(name)
        return found if isinstance(found, model) else None

    def stems(self, kind: str) -> set[str]:
        """Names of all files of a kind, also the faulty ones."""
        return {name for found, name in self.documents if found == kind}

    def fault(self, kind: str, name: str, path: Path_, text: str, remedy: str = "") -> Fault:
        return self.documents[(kind, name)].fault(path, text, remedy)

    def whole(self) -> Mappings:
        """Everything as one model; only after the checks found no fault."""
        return Mappings(
            crm=self.models["crm"],
            usage=self.models["usage"],
            indicators=self.models["indicators"],
            score=next(score for score in self.models["scores"].values() if isinstance(score, Score)),
            csql=self.models["csql"],
            policy=self.single("csql_policy.yml", CsqlPolicy) or CsqlPolicy(gates=[], cooldown_days={}),
            alerts=self.models["alerts"],
            patterns=self.models["patterns"],
            products=_needed(self.single("products.yml", Products)),
            scope=self.single("scope.yml", Scope) or Scope(),
            calendar=self.single("calendar.yml", Calendar) or Calendar(),
            writeback=_needed(self.writeback),
            priority=self.single("priority.yml", Priority) or Priority(),
            routing=self.single("routing.yml", Routing) or Routing(),
            onboarding=self.models["onboarding"],
            self_success=self.single("self_success.yml", SelfSuccess) or SelfSuccess(),
            renewal=self.single("renewal.yml", Renewal) or Renewal(),
            churn=self.single("churn.yml", Churn) or Churn(),
            lists=self.single("lists.yml", Lists) or Lists(),
            sales=self.single("sales.yml", Sales) or Sales(),
            voice=self.single("voice.yml", Voice) or Voice(),
        )


def _needed(model: M | None) -> M:
    if model is None:
        raise ValueError("a mapping file without fault has no model")
    return model
