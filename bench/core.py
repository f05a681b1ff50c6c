"""join + score + decide + diff through the worker's own ledger and items, against bare DuckDB SQL over the same Parquet.

    python -m bench core --accounts 200000 --usage-rows 20000000

A made lake (`bench/lake.py`) is brought to the state of a worker that ran the night before: history, signals, acknowledged writes, filled fields on
the records, open CSQLs. Then each side runs in a process of its own, alternating, with the same memory limit and threads.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
from pydantic import SecretStr
from sqlalchemy import select

import mappings as shipped
from bench import lake as made
from bench.measure import Measure, own_peak_mib, run_child
from mappings.columns import FEEDS
from mappings.load import load
from mappings.models import Brake, Mappings
from mappings.models_onboarding import Renewal, SelfSuccess
from mappings.models_routing import Lists, Priority, Routing
from mappings.snapshot import config_version
from worker import log
from worker.items import Item, LakeFile, NewItem, Outcome, Run, RunKind, RunState, StepContext
from worker.report import run_report
from worker.run import finish_run, start_run
from worker.runtime import Runtime
from worker.settings import Settings
from worker.sql import literal
from worker.steps import decide, diff, join, score
from worker.steps._scorecard import Feed, scorecards
from worker.steps._words import data_status_slots, reason_slots
from worker.store.registers import UsageFileRow, put_usage_file
from worker.store.schemas import schema
from worker.store.tables import item as item_table

MEMORY, THREADS = "768MB", 2
#: What both sides must agree on: table -> columns. Texts and what rides along with them are ours only (docs/benchmarks.md).
COMPARED = {
    "decisions": "account_id, state, score, round(score_uncapped + 1e-8, 6) AS score_uncapped, tier, trend, delta_28d, deployment, adoption, "
    "engagement, outcome, coverage, profile, config_version, cause, notice_on, round(seat_use + 1e-8, 6) AS seat_use, usage_as_of, csql_flag, "
    "csql_open_count, approach_score, main_reason_en, main_reason_ja, strength_en, strength_ja, next_action_en, next_action_ja, exception_en, "
    "exception_ja, data_status_en, data_status_ja",
    "parts": "account_id, indicator, axis, value, round(points + 1e-8, 6) AS points, missing_why, "
    "round(weight_effective + 1e-8, 6) AS weight_effective, round(median_points + 1e-8, 6) AS median_points",
    "csql_desired": "account_id, record_id, product, move, state, round(amount, 2) AS amount, seats_suggested, approach_score",
    "signals": "account_id, product, rule, signal, since_on",
    "changes": "object, record_id, account_id, field, crm_value, our_value",
}
#: Fields of an account that hold neither a text nor something that rides along.
_FIELDS = (
    "health_tier", "health_score", "notice_on", "seat_use", "deployment", "adoption", "engagement", "outcome", "cause", "csql_flag",
    "csql_open_count", "score_profile", "main_reason", "strength", "next_action", "data_status",
)  # fmt: skip
_WHERE = {"changes": f"object = 'account' AND field IN {_FIELDS}", "signals": "NOT contains(rule, '/')"}


def everything() -> Mappings:
    """The shipped mappings with the brake open: here nobody is there to approve a run that opens thousands of CSQLs."""
    found = load(Path(shipped.__file__).parent)
    history = found.score.history.model_copy(update={"backfill_days": 0})
    brake = Brake(tier_moves_percent=100, csql_opened=10**9)
    return found.model_copy(update={"score": found.score.model_copy(update={"brake": brake, "history": history})})


def like_baseline() -> Mappings:
    """The same without what has no direct baseline: scores of products, alerts and their anomalies, patterns, plans, lists, load cap."""
    found = everything()
    policy = found.policy.model_copy(update={"load_cap": None})
    plans = {"onboarding": {}, "renewal": Renewal(), "self_success": SelfSuccess(), "patterns": {}, "alerts": {}}
    lists = {"priority": Priority(), "routing": Routing(), "lists": Lists()}
    return found.model_copy(update={"score": found.score.model_copy(update={"per_product": False}), "policy": policy, **plans, **lists})


def settings(folder: Path, turn: str) -> Settings:
    return Settings(
        lake=folder / "lake", runs=folder / turn / "runs", database_url=SecretStr(f"sqlite:///{folder / turn / 'ledger.db'}"), usage=folder,
        memory_limit=MEMORY, threads=THREADS, log_level="error",
    )  # fmt: skip


def _no_crm(_mappings: Mappings, _name: str) -> Any:
    raise RuntimeError("the benchmark's steps ask no CRM")


def _step(name: str, work: Callable[[StepContext, Item], Outcome]) -> Any:
    return SimpleNamespace(__name__=name, plan=lambda _ctx: [NewItem("all")], run=work)


def _work(
    folder: Path, turn: str, steps: dict[str, Any], kind: RunKind, as_of: Any, mappings: Callable[[], Mappings] = like_baseline
) -> tuple[Run, dict[str, float]]:
    """A run of these steps, and its wall clock in seconds by step; 'all' = from its first item to its end, 'cpu' = of this process meanwhile."""
    given = settings(folder, turn)
    log.configure(given)
    runtime = Runtime.open(given, steps=steps, open_crm=_no_crm)
    try:
        run_id = start_run(runtime, mappings(), kind, as_of=as_of)
        before, cpu = time.perf_counter(), time.process_time()
        run = finish_run(runtime, run_id)
        seconds = {"all": time.perf_counter() - before, "cpu": time.process_time() - cpu}
        if run.state != RunState.DONE:
            raise SystemExit(f"the run ended as {run.state}: {run.reason or _faults(runtime, run)}")
        return run, seconds | run_report(runtime.ledger, run.id)["seconds"]
    finally:
        runtime.close()


def _faults(runtime: Runtime, run: Run) -> str:
    failed = select(item_table.c.error).where(item_table.c.run_id == run.id, item_table.c.error.is_not(None))
    return "; ".join(str(row.error) for row in runtime.ledger.rows(failed))


# --- the night before ----------------------------------------------------------------------------------------------------------------------------
def prepare(folder: Path) -> None:
    """Registers the made parts, scores the day before, ages what it left, and lets the records show what was written."""
    steps: dict[str, Any] = {"load": _step("load", _load), "join": join, "score": score, "first": _step("first", _first), "decide": decide}
    _work(folder, "base", steps | {"age": _step("age", _age)}, RunKind.FULL, made.BEFORE)
    again: dict[str, Any] = {"again": _step("again", _again), "decide": decide, "diff": diff, "keep": _step("keep", _keep)}
    _work(folder, "base", again, RunKind.FULL, made.BEFORE)


def _load(ctx: StepContext, _item: Item) -> Outcome:
    parts = [_registered(ctx.lake.root, path) for path in sorted(ctx.lake.root.glob("*/*.parquet"))]
    rows = [_usage_file(ctx, "product_events", file, *days) for file, days in made.FILES.items()]
    rows.append(_usage_file(ctx, "setup_status", made.SETUP, made.LAST_DAY.replace(day=29), made.LAST_DAY.replace(day=29)))
    return Outcome(lake_files=parts, statements=[s for row in rows for s in put_usage_file(ctx.ledger, row)])


def _registered(root: Path, path: Path) -> LakeFile:
    return LakeFile(path.parent.name, str(path.relative_to(root)), 0, path.stat().st_size)


def _usage_file(ctx: StepContext, source: str, file: str, first: Any, last: Any) -> UsageFileRow:
    return UsageFileRow(file, source, f"{file}.csv", file, 1, made.BEFORE, "live", 1, 1, 0, first, last, ctx.run.id)


def _first(ctx: StepContext, _item: Item) -> Outcome:
    """A later run of the same night finds these tables of the run folder."""
    shelf = ctx.settings.runs_folder / "first"
    shutil.rmtree(shelf, ignore_errors=True)
    shutil.copytree(ctx.folder, shelf)
    return Outcome()


def _age(ctx: StepContext, item: Item) -> Outcome:
    """Scores of five weeks ago (today's, moved by up to seven points), signals since three weeks, and the population."""
    con = ctx.engine()
    src = f"read_parquet('{ctx.folder}/{{}}.parquet')"
    moved = "least(100, greatest(0, score + CAST((hash(account_id) >> 1) % 15 AS BIGINT) - 7))"
    tier = f"CASE WHEN {moved} >= 80 THEN 5 WHEN {moved} >= 60 THEN 4 WHEN {moved} >= 40 THEN 3 WHEN {moved} >= 20 THEN 2 ELSE 1 END"
    history = (
        f"SELECT * REPLACE ({moved} AS score, CASE WHEN score IS NOT NULL THEN {tier} END AS tier, on_ - 35 AS on_, "
        f"as_of - INTERVAL 35 DAY AS as_of) FROM {src.format('history')}"
    )
    signals = f"SELECT * REPLACE (on_ - 21 AS on_, since_on - 21 AS since_on, as_of - INTERVAL 21 DAY AS as_of) FROM {src.format('signals')}"
    parts = [
        ctx.lake.write(con, history, "score_history", item), ctx.lake.write(con, signals, "signal_history", item),
        ctx.lake.write(con, f"SELECT * FROM {src.format('population')}", "population_stats", item),
    ]  # fmt: skip
    return Outcome(lake_files=[p for p in parts if p is not None])


def _again(ctx: StepContext, _item: Item) -> Outcome:
    for path in (ctx.settings.runs_folder / "first").glob("*.parquet"):
        shutil.copy(path, ctx.folder / path.name)
    return Outcome()


def _keep(ctx: StepContext, item: Item) -> Outcome:
    """What write_back, record and the next pull would leave: writes, history, and records that show what was written."""
    con = ctx.engine()
    changes, desired = (f"read_parquet('{ctx.folder}/{name}.parquet')" for name in ("changes", "csql_desired"))
    ids = "CASE WHEN object = 'csql' THEN 'Q' || upper(left(md5(external_key), 15)) ELSE record_id END"
    writes = (
        f"SELECT object, {ids} AS record_id, external_key, field, our_value AS value, crm_value AS previous, 'acknowledged' AS state, 'r' AS run_id, "
        f"1::BIGINT AS item_id, {_instant(made.BEFORE)} AS as_of, {_instant(made.BEFORE)} + INTERVAL 10 MINUTE AS written_at "
        f"FROM {changes} WHERE disposition = 'send'"
    )
    parts = [ctx.lake.write(con, f"SELECT * FROM read_parquet('{ctx.folder}/history.parquet')", "score_history", item, 1)]
    parts.append(ctx.lake.write(con, writes, "writes", item))
    for entity, key in (("account", "record_id"), ("csql", "external_key")):
        own = [f.key for f in ctx.mappings.writeback.of(entity)]
        shown = "".join(f", max(our_value) FILTER (field = '{k}') AS own_{k}" for k in own)
        con.execute(f"CREATE OR REPLACE TEMP TABLE shown AS SELECT {key} AS key_{shown} FROM {changes} WHERE object = '{entity}' GROUP BY 1")
        parts.append(ctx.lake.write(con, _account_rows(ctx, own) if entity == "account" else _csql_rows(desired, own), f"crm_{entity}", item))
    old = [entry.id for entry in ctx.lake.entries("crm_account")]
    return Outcome(lake_files=[p for p in parts if p is not None], retire_files=old)


def _instant(at: Any) -> str:
    return f"TIMESTAMPTZ '{at.isoformat()}'"


def _account_rows(ctx: StepContext, own: list[str]) -> str:
    listed = ", ".join(f"s.own_{k} AS own_{k}" for k in own)
    later = "a.modified_at + INTERVAL 28 HOUR AS modified_at, a.read_at + INTERVAL 28 HOUR AS read_at"
    made_rows = f"read_parquet('{ctx.lake.root}/crm_account/made.parquet')"
    return f"SELECT a.* REPLACE ({listed}, {later}) FROM {made_rows} AS a LEFT JOIN shown AS s ON s.key_ = a.id ORDER BY a.id"


def _csql_rows(desired: str, own: list[str]) -> str:
    listed, then = ", ".join(f"s.own_{k}" for k in own), _instant(made.BEFORE)
    return (
        f"{_blank('crm_csql', own)} UNION ALL BY NAME SELECT 'Q' || upper(left(md5(d.external_key), 15)) AS id, {then} AS modified_at, "
        f"false AS deleted, {then} + INTERVAL 12 HOUR AS read_at, 'salesforce' AS connection, 0 AS source, d.account_id, d.product, "
        f"d.state, d.external_key, {then} AS created_at, {listed} FROM {desired} AS d LEFT JOIN shown AS s ON s.key_ = d.external_key"
    )


def _blank(table: str, own: list[str]) -> str:
    """No row of every column, to be filled by name."""
    return "SELECT " + ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in schema(table, own).items()) + " WHERE false"


# --- the measured sides --------------------------------------------------------------------------------------------------------------------------
STEPS: dict[str, Any] = {"join": join, "score": score, "decide": decide, "diff": diff}


def ours(folder: Path, turn: str, kind: RunKind = RunKind.FULL, mappings: Callable[[], Mappings] = like_baseline) -> dict[str, Any]:
    _fork_ledger(folder, turn)
    steps = STEPS if kind == RunKind.FULL else {"load": _step("load", _load_changed), **STEPS}
    run, seconds = _work(folder, turn, steps, kind, made.AS_OF, mappings)
    os.rename(folder / turn / "runs" / run.id, folder / turn / "out")
    return {"wall_s": seconds.pop("all") - seconds.get("load", 0.0), "cpu_s": seconds.pop("cpu"), "steps_s": seconds}


def _fork_ledger(folder: Path, turn: str) -> None:
    (folder / turn).mkdir()
    shutil.copy(folder / "base" / "ledger.db", folder / turn / "ledger.db")


def _load_changed(ctx: StepContext, item: Item) -> Outcome:
    """One percent of the accounts got another headcount, a new call or an urgent case since the night."""
    con = ctx.engine()
    accounts = ctx.lake.relation(ctx.files("crm_account"), schema("crm_account", _own(ctx, "account")))
    now = _instant(made.AS_OF)
    stamps = f"{now} - INTERVAL 1 HOUR AS modified_at, {now} AS read_at"
    child = f"{stamps}, false AS deleted, 'salesforce' AS connection, 0 AS source, id AS account_id"
    call = f"'KX' || id AS id, {child}, owner_id, 'call' AS kind, {now} - INTERVAL 2 HOUR AS occurred_at, {now} - INTERVAL 2 HOUR AS done_at"
    case = f"'SX' || id AS id, {child}, {now} - INTERVAL 3 HOUR AS opened_at, 'p1' AS priority, true AS escalated"
    news = {"crm_account": (f"* REPLACE (employees + 1 AS employees, {stamps})", (7,)), "crm_activity": (call, (8, 9)), "crm_ticket": (case, (10,))}
    parts = []
    for table, (columns, hit) in news.items():
        rows = f"SELECT {columns} FROM {accounts} WHERE substr(id, 2)::BIGINT % 400 IN ({', '.join(map(str, hit))})"
        parts.append(ctx.lake.write(con, f"{_blank(table, _own(ctx, table.removeprefix('crm_')))} UNION ALL BY NAME {rows}", table, item))
    return Outcome(lake_files=[p for p in parts if p is not None])


def _own(ctx: StepContext, entity: str) -> list[str]:
    return [f.key for f in ctx.mappings.writeback.of(entity)]


def baseline(folder: Path, turn: str) -> dict[str, Any]:
    out = folder / turn / "out"
    out.mkdir(parents=True)
    text = (Path(__file__).parent / "baseline_core.sql").read_text(encoding="utf-8")
    found = like_baseline()
    slots = {"out": str(out)} | {f"version_{p.name}": config_version(found, p.name) for p in found.score.profiles}
    slots |= _word_slots(found)
    for table in ("usage_tenant_day", "usage_user_days", "usage_snapshot", "crm_account", "crm_contract", "crm_contact", "crm_activity", "crm_ticket",
                  "crm_survey", "crm_opportunity", "crm_outcome", "crm_csql", "score_history", "signal_history"):  # fmt: skip
        slots[table] = f"read_parquet({json.loads((folder / 'base' / 'files.json').read_text())[table]})"
    for name, value in slots.items():
        text = text.replace("{{" + name + "}}", value)
    before, cpu = time.perf_counter(), time.process_time()
    seconds: dict[str, float] = {}
    with duckdb.connect(config={"memory_limit": MEMORY, "threads": THREADS, "temp_directory": str(folder / turn / "spill")}) as con:
        for statement in text.split(";\n"):
            if statement.strip():
                began = time.perf_counter()
                con.execute(statement)
                title = next((line[3:] for line in statement.splitlines() if line.startswith("-- ")), "")[:40]
                seconds[title] = round(seconds.get(title, 0.0) + time.perf_counter() - began, 3)
    return {"wall_s": time.perf_counter() - before, "cpu_s": time.process_time() - cpu, "steps_s": seconds}


def _word_slots(found: Mappings) -> dict[str, str]:
    """The texts as SQL: the same expressions on both sides, since they are nothing but concatenation. What they are applied to is each side's own."""
    cards = scorecards(found, dict.fromkeys(FEEDS, Feed(connected=True, late=False)))
    titles = ", ".join(f"({literal(i.name)}, {literal(i.title.en)}, {literal(i.title.ja)})" for i in found.indicators.values())
    return {name: sql for name, sql in (reason_slots(found) | data_status_slots(cards, [])).items() if name != "worst"} | {"titles": titles}


def child(side: str, folder: Path, turn: str) -> None:
    """One measurement, printed as JSON."""
    if side == "prepare":
        prepare(folder)
        _list_files(folder)
        print(json.dumps({}))
        return
    sides: dict[str, Callable[[], dict[str, Any]]] = {
        "ours": lambda: ours(folder, turn),
        "everything": lambda: ours(folder, turn, mappings=everything),
        "increment": lambda: ours(folder, turn, RunKind.INCREMENT),
        "baseline": lambda: baseline(folder, turn),
    }
    print(json.dumps(sides[side]() | {"peak_mib": own_peak_mib()}))


def _list_files(folder: Path) -> None:
    """The lake's current files by table, for the side that knows no ledger."""
    from worker.store import manifest
    from worker.store.ledger import Ledger

    ledger = Ledger(f"sqlite:///{folder / 'base' / 'ledger.db'}")
    try:
        found = {name: [str(folder / "lake" / e.path) for e in manifest.entries(ledger, name)] for name in manifest.tables(ledger)}
    finally:
        ledger.close()
    (folder / "base" / "files.json").write_text(json.dumps(found))


# --- the parent's part ---------------------------------------------------------------------------------------------------------------------------
def measure(accounts: int, usage_rows: int, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Both sides over one lake, the increment of 1 % and the equality of what they left. SystemExit if they differ."""
    with tempfile.TemporaryDirectory(prefix="bench-core-") as name:
        folder = Path(name)
        (folder / "base").mkdir()
        made.make_lake(folder / "lake", accounts, usage_rows, like_baseline(), say)
        say("running the night before")
        run_child("bench.core", "prepare", name, "base")
        turns: dict[str, list[dict[str, Any]]] = {"baseline": [], "ours": [], "everything": [], "increment": []}
        for turn in range(rounds):
            for side, found in turns.items():
                say(f"{side}, turn {turn + 1} of {rounds}")
                found.append(run_child("bench.core", side, name, f"{side}-{turn}"))
        rows = compare(folder, "ours-0", "baseline-0")
        changed = _changed(folder)
        lake_mib = sum(path.stat().st_size for path in (folder / "lake").glob("*/*.parquet")) / 2**20
    sides = {side: Measure.of(found) for side, found in turns.items()}
    full = sides["ours"]
    return {
        "accounts": accounts, "usage_rows": usage_rows, "lake_mib": lake_mib, "rows_compared": rows, "accounts_changed": changed,
        "sides": {side: vars(found) for side, found in sides.items()},
        "all_ratios": (sides["everything"].wall_s / full.wall_s, sides["everything"].cpu_s / full.cpu_s),
        "ratio": full.wall_s / sides["baseline"].wall_s, "cpu_ratio": full.cpu_s / sides["baseline"].cpu_s,
        "increment_ratio": sides["increment"].wall_s / full.wall_s, "increment_cpu_ratio": sides["increment"].cpu_s / full.cpu_s,
    }  # fmt: skip


def peak(accounts: int, usage_rows: int, say: Callable[[str], None]) -> float:
    """Peak resident memory in MiB of our side alone at another size."""
    with tempfile.TemporaryDirectory(prefix="bench-core-") as name:
        (Path(name) / "base").mkdir()
        made.make_lake(Path(name) / "lake", accounts, usage_rows, like_baseline(), say)
        say(f"running {accounts:,} accounts for their peak memory")
        run_child("bench.core", "prepare", name, "base")
        return float(run_child("bench.core", "ours", name, "ours-0")["peak_mib"])


def compare(folder: Path, one: str, other: str) -> dict[str, int]:
    """Rows per table, equal on both sides value by value; SystemExit names the first table that differs, with an example."""
    counts = {}
    with duckdb.connect() as con:
        for table, columns in COMPARED.items():
            a, b = (f"(SELECT {columns} FROM '{folder / side / 'out' / table}.parquet' WHERE {_WHERE.get(table, 'true')})" for side in (one, other))
            for left, right, whose in ((a, b, one), (b, a, other)):
                found = con.execute(f"SELECT * FROM ({left} EXCEPT ALL {right}) LIMIT 1").fetchall()
                if found:
                    raise SystemExit(f"{table}: the two sides differ; only {whose} has {found[0]}")
            ((counts[table],),) = con.execute(f"SELECT count(*) FROM {a}").fetchall()
    return counts


def _changed(folder: Path) -> int:
    with duckdb.connect() as con:
        ((count,),) = con.execute(f"SELECT count(*) FROM '{folder}/increment-0/out/accounts.parquet'").fetchall()
    return int(count)


if __name__ == "__main__":
    child(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
