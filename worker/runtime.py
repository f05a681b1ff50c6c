"""One process's worker: settings, stores, step modules and the way to a CRM. Open it after a fork."""

import hashlib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from connectors.base import Crm
from mappings.models import Mappings
from mappings.snapshot import restore, snapshot
from worker import log
from worker.context import Progress
from worker.items import Item, Step, StepContext, Terms
from worker.settings import Settings
from worker.steps import STEPS
from worker.store import runs
from worker.store.engine import SharedEngine
from worker.store.lake import Lake
from worker.store.ledger import Ledger

#: (mappings, connection name) -> an open connection.
OpenCrm = Callable[[Mappings, str], Crm]


def _silent(_step: str, _done: int, _total: int) -> None:
    return None


@dataclass
class Runtime:
    settings: Settings
    ledger: Ledger
    lake: Lake
    steps: Mapping[str, Step]  # in order
    open_crm: OpenCrm
    tell: Progress = _silent
    _crms: dict[tuple[str, str], Crm] = field(default_factory=dict)
    _mappings: dict[str, Mappings] = field(default_factory=dict)
    _engine: SharedEngine = field(default_factory=SharedEngine)

    @classmethod
    def open(
        cls, settings: Settings, *, steps: Mapping[str, Step] | None = None, open_crm: OpenCrm | None = None, tell: Progress = _silent
    ) -> "Runtime":
        """The worker of this process, its ledger brought to this version. Without `steps`, the nine of `worker.steps`."""
        ledger = Ledger(settings.database_url.get_secret_value())
        ledger.upgrade()
        return cls(settings, ledger, Lake(settings.lake, ledger), steps or step_modules(), open_crm or crm_opener(settings), tell)

    @property
    def terms(self) -> Terms:
        return Terms(self.settings.lease_s, self.settings.item_attempts, self.settings.backoff_s)

    def snapshot(self, mappings: Mappings) -> tuple[str, str]:
        """(JSON, hash) of mappings, as a run pins them."""
        body = snapshot(mappings)
        return body, hashlib.sha256(body.encode()).hexdigest()

    def mappings(self, mappings_hash: str) -> Mappings:
        """The mappings a run pinned."""
        if mappings_hash not in self._mappings:
            self._mappings[mappings_hash] = restore(runs.mappings_body(self.ledger, mappings_hash))
        return self._mappings[mappings_hash]

    def crm(self, mappings_hash: str, connection: str) -> Crm:
        """One connection object per process, so that its token, call counts and budget are shared by the items it works on."""
        key = (mappings_hash, connection)
        if key not in self._crms:
            self._crms[key] = self.open_crm(self.mappings(mappings_hash), connection)
        return self._crms[key]

    def crm_now(self, mappings: Mappings, connection: str) -> Crm:
        """The connection as these mappings have it, whether or not a run pinned them: the object that runs use, so that nobody logs in anew."""
        _, hashed = self.snapshot(mappings)
        self._mappings.setdefault(hashed, mappings)
        return self.crm(hashed, connection)

    def context(self, item: Item) -> StepContext:
        run = runs.get(self.ledger, item.run_id)
        return StepContext(
            run=run,
            item=item,
            settings=self.settings,
            mappings=self.mappings(run.mappings_hash),
            ledger=self.ledger,
            lake=self.lake,
            open_crm=lambda connection: self.crm(run.mappings_hash, connection),
            tell=self.tell,
            log=log.get(run_id=run.id, step=item.step, item_id=item.id),
            shared=self._engine,
        )

    def rest(self) -> None:
        """There is nothing to do now: give back what is kept for the next item of a run."""
        self._engine.close()

    def close(self) -> None:
        self.rest()
        self.ledger.close()


def step_modules() -> dict[str, Step]:
    """Name -> module, in order."""
    return {name: importlib.import_module(f"worker.steps.{name}") for name in STEPS}


def crm_opener(settings: Settings) -> OpenCrm:
    """Opens connections through the registry, with what the settings say of the vendor."""
    from connectors import registry

    def opened(mappings: Mappings, connection: str) -> Crm:
        return registry.open_crm(mappings.crm[connection], mappings, settings)

    return opened
