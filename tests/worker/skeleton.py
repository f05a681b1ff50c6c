"""A walking skeleton: three tiny steps through the real ledger, lake and executor. Also a script, so that tests can kill it.

python tests/worker/skeleton.py start | work RUN_ID | claim N
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select

from connectors.errors import Transient
from mappings import models
from worker import log
from worker.items import CursorKey, Item, NewItem, Outcome, RunKind, Step, StepContext, Terms, claim_next, finish
from worker.run import finish_run, start_run
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store import upkeep
from worker.store.ledger import utc_now
from worker.store.registers import Flip, put_flips
from worker.store.tables import item as item_table

#: gather makes this many items of 3 rows each: 1+2+3, 4+5+6 … so the sum of all is n(n+1)/2 with n = 3 * ITEMS.
ITEMS = 4
#: Items that several processes claim against each other.
CONTENDED = 40


def _gather_plan(ctx: StepContext) -> list[NewItem]:
    return [NewItem(f"part/{n}", {"n": n}) for n in range(ITEMS)]


def _gather_run(ctx: StepContext, item: Item) -> Outcome:
    n = item.payload["n"]
    if n == 1 and item.attempts == 1 and os.environ.get("SKELETON_FAILS"):
        raise Transient("The first attempt at part/1 was to fail.")
    temporary = ctx.lake.part_writer("numbers", item)
    pq.write_table(pa.table({"number": [3 * n + 1, 3 * n + 2, 3 * n + 3]}), temporary)
    part = ctx.lake.finish(temporary)
    return Outcome(
        successors=[NewItem("all", step="add_up")] if n == 0 else [],
        lake_files=[part],
        cursors={CursorKey("crm", "number", n): str(3 * n + 3)},
        stats={"rows": 3},
        statements=put_flips(ctx.ledger, [Flip(ctx.run.id, "skeleton", f"a{n}", "", ctx.run.as_of.date(), "up", "log", "")]),
    )


def _add_up_plan(ctx: StepContext) -> list[NewItem]:
    return [NewItem("all")]


def _add_up_run(ctx: StepContext, item: Item) -> Outcome:
    files = ctx.files("numbers")
    if len(files) < ITEMS:  # inserted ahead by gather: waits until the rest is there, as a bulk job would
        return Outcome(wait_until=utc_now(), payload={"looks": item.payload.get("looks", 0) + 1})
    con = ctx.engine()
    con.execute(f"CREATE TABLE total AS SELECT sum(number)::BIGINT AS total, count(*) AS n FROM {ctx.lake.relation(files, {'number': 'BIGINT'})}")
    part = ctx.lake.write(con, "SELECT * FROM total", "totals", item)
    total = con.execute("SELECT total FROM total").fetchone()
    return Outcome(lake_files=[part] if part else [], report={"total": total[0] if total else None})


def _tell_plan(ctx: StepContext) -> list[NewItem]:
    return []


def _never(ctx: StepContext, item: Item) -> Outcome:
    raise AssertionError("tell has no items")


def make_step(name: str, plan: Any, run: Any) -> Step:
    made: Any = SimpleNamespace(__name__=name, plan=plan, run=run)
    return made  # type: ignore[no-any-return]


def steps() -> dict[str, Step]:
    return {
        "gather": make_step("gather", _gather_plan, _gather_run),
        "add_up": make_step("add_up", _add_up_plan, _add_up_run),
        "tell": make_step("tell", _tell_plan, _never),
    }


def no_mappings() -> models.Mappings:
    """The least a run can pin."""
    text = models.Text(en="x", ja="x")
    return models.Mappings(
        crm={},
        usage={},
        indicators={},
        score=models.Score(name="health", profiles=[models.Profile(name="all", title=text, axes={})]),
        csql={},
        policy=models.CsqlPolicy(gates=[], cooldown_days={}),
        alerts={},
        products=models.Products(products=[models.Product(code="P", title=text)]),
        scope=models.Scope(),
        calendar=models.Calendar(),
        writeback=models.Writeback(fields=[]),
    )


def no_crm(_mappings: models.Mappings, connection: str) -> Any:
    raise AssertionError(f"no step of the skeleton speaks to a CRM, yet {connection!r} was asked for")


def open_runtime(settings: Settings | None = None, **changed: Any) -> Runtime:
    return Runtime.open(settings or Settings(), steps=changed.get("steps") or steps(), open_crm=no_crm)


def claim_in_a_row(runtime: Runtime, misses: int) -> str:
    """Claim and end items until there was none so many times in a row; the claimed ids, one a line."""
    claimed: list[str] = []
    left = misses
    while left:
        item = claim_next(runtime.ledger, Terms(lease_s=60))
        if item is None:
            left -= 1
            continue
        left = misses
        claimed.append(str(item.id))
        more = [NewItem(f"i/{n}") for n in range(CONTENDED)] if item.key == "plan" and item.step == "gather" else []
        finish(runtime.ledger, item, Outcome(successors=more))
    return "\n".join(claimed)


def child(environment: Mapping[str, str], argv: list[str], out: str) -> None:
    """Another process's whole life: `start`, `work RUN_ID`, `both` (the two), `compact`, `sweep` or `claim N`. What it says goes to `out`."""
    os.environ.update(environment)
    settings = Settings()
    log.configure(settings)
    runtime = open_runtime(settings)
    match argv:
        case ["start"]:
            said = start_run(runtime, no_mappings(), RunKind.FULL)
        case ["work", run_id]:
            said = finish_run(runtime, run_id).state
        case ["both"]:
            said = finish_run(runtime, start_run(runtime, no_mappings(), RunKind.FULL)).state
        case ["compact"]:
            said = str(upkeep.compact(settings, runtime.ledger, runtime.lake))
        case ["sweep"]:
            said = str(upkeep.sweep(settings, runtime.ledger, runtime.lake))
        case ["claim", misses]:
            said = claim_in_a_row(runtime, int(misses))
        case _:
            raise ValueError(f"Unknown order {argv}.")
    Path(out).write_text(said)
    runtime.close()


def claimed_twice(runtime: Runtime) -> list[int]:
    """Ids of items that were claimed more than once."""
    return [row.id for row in runtime.ledger.rows(select(item_table.c.id).where(item_table.c.attempts > 1))]


def lake_names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.glob("*/*"))
