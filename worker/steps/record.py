"""record: results → history, dead letters, closing date, flips, and the books: every change has exactly one end, or the run is red.

All of it is applied in the one transaction that ends the item, so a run is recorded once, whatever is killed.
"""

from collections.abc import Sequence
from datetime import timedelta

import duckdb
import pyarrow as pa
from sqlalchemy import Executable

from worker.items import Item, LakeFile, NewItem, Outcome, RunKind, StepContext
from worker.sql import query_sql
from worker.steps import _overwritten
from worker.steps._changes import changes_of
from worker.steps._lake import bring, moment_of, table_of
from worker.steps._part_history import part_files
from worker.steps._sources import of_connection
from worker.store import deliveries, registers

#: file of the run folder -> lake table that it is appended to.
HISTORY = {"history": "score_history", "signals": "signal_history", "product_history": "product_score_history", "families": "family_history"}
HISTORY |= {"anomalies": "anomaly_history", "fit_changes": "fit_history"}
#: Ends of a change; the names are those of the run's report.
ENDS = ("ok", "rejected", "unprocessed", "held", "invalid", "superseded")
#: Columns of `results-*.parquet` that are read here; `worker/steps/_results.py` says what they hold.
RESULTS = {
    **dict.fromkeys(("connection", "object", "record_id", "external_key", "account_id", "field", "state", "code", "text", "value_hash"), "VARCHAR"),
    "letter": "BOOLEAN",
}
#: Code of a value that cannot fit its field: ours, so it was not sent.
INVALID = "INVALID"
INVALID_REMEDY = "Widen the field or add the value in the CRM, or shorten the text in the mappings; the next run tries again."
REFUSED_REMEDY = "Mend the record or the rule in the CRM, then `scoresync deadletters retry`; it is tried again by itself, too."
#: A refused value is tried again after 1 day, then 2, 4 … up to this many.
LETTER_DAYS_MOST = 32


def plan(ctx: StepContext) -> list[NewItem]:
    return [NewItem("all")]


def run(ctx: StepContext, item: Item) -> Outcome:
    """Reads the run folder, and which parts of scores the lake has; leaves lake parts of history and, for full runs, the population's medians."""
    con = ctx.engine()
    bring(con, ctx.folder, "flips", *_left(ctx))
    con.execute(f"CREATE TEMP VIEW changes AS SELECT * FROM {changes_of(ctx)}")
    results = ctx.lake.relation(sorted(ctx.folder.glob("results-*.parquet")), RESULTS, filename=True)
    con.execute(query_sql("record", "results", results=results))
    con.execute(query_sql("record", "books"))
    counts, red = _books(con)
    now = ctx.ledger.now()
    notes, told = _overwritten.told(ctx, moment_of(ctx))
    statements = [*_letters(ctx, con), *_flips(ctx, con), *told, *registers.put_requests_handled(ctx.run.id, now)]
    if _is_whole(ctx):
        statements += registers.put_closing(ctx.ledger, moment_of(ctx).on, ctx.run.id, ctx.run.as_of)
    return Outcome(lake_files=_history(ctx, con, item), statements=statements, stats=_stats(con, counts), report=notes, red=red)


def _stats(con: duckdb.DuckDBPyConnection, counts: dict[str, int]) -> dict[str, float]:
    """Records by end, of all connections and of each."""
    stats = {f"writes.{end}": float(counts.get(end, 0)) for end in ENDS}
    rows = con.execute("SELECT connection, state, count(*) FROM books WHERE state IS NOT NULL GROUP BY ALL").fetchall()
    return stats | {of_connection(connection, f"writes.{state}"): float(n) for connection, state, n in rows}


def _is_whole(ctx: StepContext) -> bool:
    """The run covers every account: only then does it close a date and know that what it did not see is settled."""
    return ctx.run.kind == RunKind.FULL and ctx.run.accounts is None


def _books(con: duckdb.DuckDBPyConnection) -> tuple[dict[str, int], str]:
    """Records by end, and why the books do not balance ('' = they do)."""
    counts = {str(state): int(n) for state, n in con.execute("SELECT coalesce(state, 'missing'), count(*) FROM books GROUP BY ALL").fetchall()}
    strange = sorted(set(counts) - set(ENDS))
    if not strange:
        return counts, ""
    listed = ", ".join(f"'{state}'" for state in strange)
    rows = con.execute(f"SELECT object, record_key FROM books WHERE coalesce(state, 'missing') IN ({listed}) ORDER BY ALL LIMIT 5").fetchall()
    named = ", ".join(f"{object_name} {key}" for object_name, key in rows)
    total = sum(counts[state] for state in strange)
    return (
        counts,
        f"{total} of {sum(counts.values())} records to be written have no result ({', '.join(strange)}): {named}{' …' if total > 5 else ''}.",
    )


def _left(ctx: StepContext) -> list[str]:
    """The histories that decide left: a run that an older worker decided has fewer."""
    return [name for name in HISTORY if (ctx.folder / f"{name}.parquet").exists()]


def _history(ctx: StepContext, con: duckdb.DuckDBPyConnection, item: Item) -> list[LakeFile]:
    parts = [ctx.lake.write(con, f"SELECT * FROM {name}", HISTORY[name], item) for name in _left(ctx)]
    if _is_whole(ctx) and (ctx.folder / "population.parquet").exists():
        bring(con, ctx.folder, "population")
        parts.append(ctx.lake.write(con, "SELECT * FROM population", "population_stats", item))
    if (ctx.folder / "assignments.parquet").exists():
        bring(con, ctx.folder, "assignments")
        parts.append(ctx.lake.write(con, "SELECT * FROM assignments", "assignment_history", item))
    if (ctx.folder / "onboarding_changes.parquet").exists():
        bring(con, ctx.folder, "onboarding_changes")
        parts.append(ctx.lake.write(con, "SELECT * FROM onboarding_changes", "onboarding_history", item))
    return [part for part in parts if part is not None] + part_files(ctx, con, item)


# --- dead letters --------------------------------------------------------------------------------------------------------------------------------
def _letters(ctx: StepContext, con: duckdb.DuckDBPyConnection) -> list[Executable]:
    """Set aside what was refused or cannot fit; close what is settled."""
    known = {_key(d): d for d in registers.dead_letters(ctx.ledger)}
    rows = con.execute(query_sql("record", "letters")).fetchall()
    letters = [_letter(ctx, known, *row) for row in rows]
    again = {_key(d) for d in letters}
    now = ctx.ledger.now()
    settled = _settled(ctx, con, [d for key, d in known.items() if key not in again])
    return [*registers.put_dead_letters(ctx.ledger, letters, now), *registers.put_closed(settled, now)]


def _key(letter: registers.DeadLetter) -> tuple[str, str, str, str]:
    return letter.connection, letter.object, letter.record_key, letter.field


def _letter(
    ctx: StepContext,
    known: dict[tuple[str, str, str, str], registers.DeadLetter],
    connection: str,
    object_name: str,
    record_key: str,
    field: str,
    account_id: str,
    hashed: str,
    code: str,
    text: str,
) -> registers.DeadLetter:
    """The letter with its attempts counted on and the day it is tried again; a value that cannot fit is not tried before it changes."""
    before = known.get((connection, object_name, record_key, field))
    attempts = before.attempts + 1 if before is not None and before.value_hash == hashed else 1
    fits = code != INVALID
    next_at = ctx.run.as_of + timedelta(days=min(2 ** (attempts - 1), LETTER_DAYS_MOST)) if fits else None
    remedy = REFUSED_REMEDY if fits else INVALID_REMEDY
    return registers.DeadLetter(
        connection, object_name, record_key, field, account_id or None, hashed, code[:80], text, remedy, attempts, next_at, "open", ctx.run.id
    )


def _settled(ctx: StepContext, con: duckdb.DuckDBPyConnection, letters: Sequence[registers.DeadLetter]) -> list[int]:
    if not letters:
        return []
    rows = [{"id": d.id, "object": d.object, "record_key": d.record_key, "field": d.field} for d in letters]
    text = pa.string()
    table_of(con, "letters", rows, {"id": pa.int64(), "object": text, "record_key": text, "field": text})
    return [int(row[0]) for row in con.execute(query_sql("record", "settled", all=str(_is_whole(ctx)).lower())).fetchall()]


# --- flips ---------------------------------------------------------------------------------------------------------------------------------------
def _flips(ctx: StepContext, con: duckdb.DuckDBPyConnection) -> list[Executable]:
    """Flips that somebody is told of, each with its open delivery; the others stay in the run folder."""
    columns = "rule, account_id, product, on_, value, channel, coalesce(text, ''), coalesce(also, ''), recipient, routed"
    told = f"SELECT {columns} FROM flips WHERE channel IS NOT NULL ORDER BY ALL"
    flips = [registers.Flip(ctx.run.id, *row) for row in con.execute(told).fetchall()]
    return [*registers.put_flips(ctx.ledger, flips), *deliveries.put_deliveries(ctx.ledger, ctx.run.id)]
