"""A walking skeleton: three tiny steps through the real ledger, lake and executor. Also a script, so that tests can kill it.

python tests/worker/skeleton.py start | work RUN_ID | claim N
"""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select

from mappings import models
from worker.items import CursorKey, Item, NewItem, Outcome, RunKind, Step, StepContext, Terms, claim_next, finish
from worker.run import finish_run, start_run
from worker.runtime import Runtime
from worker.settings import Settings
from worker.store.ledger import utc_now
from worker.store.registers import Flip, put_flips
from worker.store.tables import item as item_table

#: gather makes this many items of 3 rows each: 1+2+3, 4+5+6 … so the sum of all is n(n+1)/2 with n = 3 * ITEMS.
ITEMS = 4


def _gather_plan(ctx: StepContext) -> list[NewItem]:
    return [NewItem(f"part/{n}", {"n": n}) for n in range(ITEMS)]


def _gather_run(ctx: StepContext, item: Item) -> Outcome:
    n = item.payload["n"]
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


def _step(name: str, plan: Any, run: Any) -> Step:
    made: Any = SimpleNamespace(__name__=name, plan=plan, run=run)
    return made  # type: ignore[no-any-return]


def steps() -> dict[str, Step]:
    return {
        "gather": _step("gather", _gather_plan, _gather_run),
        "add_up": _step("add_up", _add_up_plan, _add_up_run),
        "tell": _step("tell", _tell_plan, _never),
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


def _claim_in_a_row(runtime: Runtime, count: int) -> None:
    """Claim and end items as fast as possible until none is left; prints each claimed id."""
    terms = Terms(lease_s=60)
    misses = 0
    while misses < count:
        item = claim_next(runtime.ledger, terms)
        if item is None:
            misses += 1
            continue
        sys.stdout.write(f"{item.id}\n")
        finish(
            runtime.ledger, item, Outcome(successors=[NewItem(f"i/{n}") for n in range(40)] if item.key == "plan" and item.step == "gather" else [])
        )


def main(argv: list[str]) -> None:
    runtime = open_runtime()
    match argv:
        case ["start"]:
            sys.stdout.write(start_run(runtime, no_mappings(), RunKind.FULL))
        case ["work", run_id]:
            sys.stdout.write(finish_run(runtime, run_id).state)
        case ["claim", count]:
            _claim_in_a_row(runtime, int(count))
        case _:
            raise SystemExit(__doc__)


def claimed_twice(runtime: Runtime) -> list[int]:
    """Ids of items that were claimed more than once."""
    return [row.id for row in runtime.ledger.rows(select(item_table.c.id).where(item_table.c.attempts > 1))]


def lake_names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.glob("*/*"))


if __name__ == "__main__":
    main(sys.argv[1:])
