"""What a step gets to work with: its run, the customer's mappings, the stores, and a CRM connection. Nothing else reaches a step."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import structlog

from connectors.base import Crm
from mappings.models import Mappings
from worker.errors import LeaseLost
from worker.killpoint import killpoint
from worker.settings import Settings
from worker.store import queue
from worker.store.engine import SharedEngine, open_engine
from worker.store.lake import Lake
from worker.store.ledger import Ledger
from worker.store.work import Item, Run, RunKind

#: (step, done, total) -> None; total 0 = unknown.
Progress = Callable[[str, int, int], None]


@dataclass
class StepContext:
    """One item's surroundings. Connections opened through it are closed when the item ends."""

    run: Run
    item: Item
    settings: Settings
    mappings: Mappings
    ledger: Ledger
    lake: Lake
    open_crm: Callable[[str], Crm]
    tell: Progress
    log: structlog.stdlib.BoundLogger
    shared: SharedEngine = field(default_factory=SharedEngine)
    _open: ExitStack = field(default_factory=ExitStack)

    @property
    def folder(self) -> Path:
        """The run folder: tables of this run, one writer per file."""
        return _made(self.settings.runs_folder.absolute() / self.run.id)

    @property
    def raw(self) -> Path:
        """Raw pages of this item: `raw/<run>/<item id>`, beside the lake. May hold leftovers of an earlier attempt."""
        return _made(self.raw_root / self.run.id / str(self.item.id))

    @property
    def raw_root(self) -> Path:
        return self.settings.lake.absolute().parent / "raw"

    def crm(self, connection: str) -> Crm:
        """The connection of this name in the mappings."""
        return self.open_crm(connection)

    def engine(self, *folders: Path) -> duckdb.DuckDBPyConnection:
        """DuckDB over the lake, the run folder and the raw pages, and over `folders` besides (usage exports).

        Small runs share one database between their items; a full run's are large, and each gives all its memory back at its end.
        """
        within = [self.lake.root, self.folder, self.raw_root, *folders]
        own = folders or self.run.kind == RunKind.FULL
        con = open_engine(self.settings, within) if own else self.shared.connection(self.settings, self.run.id, within)
        self._open.callback(con.close)
        return con

    def killpoint(self, name: str) -> None:
        killpoint(name)

    def progress(self, done: int, total: int) -> None:
        """Say how far this item is, for people."""
        self.tell(self.item.step, done, total)

    def check_lease(self) -> None:
        """Call before each call to a CRM: LeaseLost if another worker has this item by now."""
        if not queue.is_ours(self.ledger, self.item):
            raise LeaseLost(f"Item {self.item.id} ({self.item.step}/{self.item.key}) has another holder by now; nothing more is sent for it.")

    def files(self, table: str) -> list[Path]:
        """Lake files of a table as this run sees them."""
        return self.lake.files(table, self.run)

    def close(self) -> None:
        self._open.close()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
