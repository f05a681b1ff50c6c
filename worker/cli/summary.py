"""A run, in words and tables, for a person at a terminal."""

from typing import Any

from rich.markup import escape

from worker.cli.common import out
from worker.items import Run, RunState
from worker.report import run_report
from worker.runtime import Runtime
from worker.store.engine import open_engine, quoted
from worker.store.schemas import SCHEMAS

#: Fields of a dry run shown on a terminal. Chosen: a few screens.
PREVIEW_ROWS = 200
#: Rows set aside that are shown on a terminal. Chosen: one screen.
ASIDE_ROWS = 25
#: Said after the state, so that the reader knows what comes next.
NEXT = {
    RunState.NEEDS_APPROVAL: "Look at the movers above; then `scoresync approve {id} --by YOU`, or fix the mapping and run again.",
    RunState.PAUSED: "`scoresync run` starts anew and takes in what this one read; a worker that runs by schedule takes it up at the time given.",
    RunState.FAILED: "`scoresync runs {id}` shows the item that failed; after the cause is mended, `scoresync run` starts anew.",
    RunState.RED: "The books of this run do not balance; the reason above says where. Please report it.",
}


def safe(value: Any) -> str:
    """Text for a table: no markup from data, nothing for null."""
    return "" if value is None else escape(str(value))


def print_run(run: Run, report: dict[str, Any]) -> None:
    state = f"{run.state}" + (f": {run.pause}, resumes {run.resume_at:%Y-%m-%d %H:%M} UTC" if run.pause and run.resume_at else "")
    out.print(f"Run [bold]{run.id}[/] ({run.kind}{', dry run' if run.dry_run else ''}), as of {run.as_of:%Y-%m-%d %H:%M} UTC: [bold]{state}[/]")
    if run.reason:
        out.print(f"  {escape(run.reason)}")
    for group in ("accounts", "csql", "usage", "changes", "writes"):
        _line(group, [f"{name.replace('_', ' ')} {count:,}" for name, count in report.get(group, {}).items()])
    calls = report.get("calls", {})
    _line("calls", [f"{name} {calls.get(name, 0):,}" for name in ("reads", "rereads", "writes", "polls")])
    parts = report.get("connections", {})
    for name, part in parts.items() if len(parts) > 1 else ():
        state = f"out of reach: {part['down']['why']}" if "down" in part else f"{part['writes']['ok']:,} records written"
        matched = part.get("match", {})
        pairs = f" · {matched['by_cross_id'] + matched['by_domain']:,} accounts matched, {matched['ambiguous']:,} ambiguous" if matched else ""
        out.print(f"    {name:<11} {part['calls']['reads']:,} reads · {part['calls']['writes']:,} write calls · {state}{pairs}", highlight=False)
    _line("seconds", [f"{name} {value:.1f}" for name, value in report.get("seconds", {}).items()])
    for note in report.get("notes", []):
        out.print(f"  {escape(note)}", soft_wrap=True, highlight=False)
    _print_aside(report.get("set_aside", []))
    _print_brake(report.get("brake"))
    if "preview" in report:
        _print_preview(report["preview"], report["changes"]["fields"])
    if run.state == RunState.PAUSED and run.resume_at is None:
        out.print("It does not go on by itself: once the cause above is mended, `scoresync run` starts anew and takes in what this one read.")
    elif run.state in NEXT:
        out.print(NEXT[run.state].format(id=run.id))


def preview(opened: Runtime, run: Run) -> list[dict[str, Any]]:
    """Every change that the dry run would have written: one row per field, by account. Empty if the run ended before its diff."""
    folder = opened.settings.runs_folder.absolute() / run.id
    file = folder / "changes.parquet"
    if not file.exists():
        return []
    con = open_engine(opened.settings, [folder])
    try:
        columns = "account_id, object, record_id, external_key, field, crm_value, our_value, disposition, why, connection"
        sql = f"SELECT {columns} FROM read_parquet({quoted(str(file))}) ORDER BY account_id, object, record_id, external_key, field"
        found: list[dict[str, Any]] = con.sql(sql).to_arrow_table().to_pylist()
        return found
    finally:
        con.close()


def whole_report(opened: Runtime, run: Run) -> dict[str, Any]:
    """The run's report with the rows it set aside."""
    report, rows = run_report(opened.ledger, run.id), set_aside(opened, run)
    return {**report, "set_aside": rows} if rows else report


def set_aside(opened: Runtime, run: Run) -> list[dict[str, Any]]:
    """Rows of usage files and CRM records that this run could not use, as far as they are kept: where, which column, which value, why, what to do."""
    files = opened.lake.files("usage_rejects") + opened.lake.files("crm_rejects")
    if not files:
        return []
    con = open_engine(opened.settings, [opened.lake.root])
    try:
        columns = 'source, where_ AS "where", column_ AS "column", value, reason, remedy'
        relation = opened.lake.relation(files, SCHEMAS["usage_rejects"])
        sql = f"SELECT {columns} FROM {relation} WHERE run_id = {quoted(run.id)} ORDER BY ALL"
        found: list[dict[str, Any]] = con.sql(sql).to_arrow_table().to_pylist()
        return found
    finally:
        con.close()


def _print_aside(rows: list[dict[str, Any]]) -> None:
    if rows:
        out.print(f"  Set aside ({len(rows):,} rows):", highlight=False)
    for row in rows[:ASIDE_ROWS]:
        where, column, value, reason, remedy = (safe(row[key]) for key in ("where", "column", "value", "reason", "remedy"))
        out.print(f"    {where}: {column} {value!r}: {reason}. {remedy}", soft_wrap=True, highlight=False)
    if len(rows) > ASIDE_ROWS:
        out.print(f"    … and {len(rows) - ASIDE_ROWS:,} more; --json lists all.", highlight=False)


def _print_preview(rows: list[dict[str, Any]], fields: int) -> None:
    last = None
    for row in rows[:PREVIEW_ROWS]:
        record = row["record_id"] or row["external_key"]
        if record != last:
            out.print(f"  [bold]{row['object']} {safe(record)}[/]")
        last = record
        kept = "" if row["disposition"] == "send" else f"  ({row['disposition']}: {safe(row['why'])})"
        out.print(f"    {row['field']}: {safe(row['crm_value']) or '(empty)'} → {safe(row['our_value']) or '(empty)'}{kept}", soft_wrap=True)
    if len(rows) > PREVIEW_ROWS:
        out.print(f"  … and {fields - PREVIEW_ROWS:,} more fields; --json lists all.")
    if not rows:
        out.print("  Nothing would change.")


def _line(label: str, parts: list[str]) -> None:
    out.print(f"  {label:<9} {' · '.join(parts)}", soft_wrap=True, highlight=False)


def _print_brake(brake: dict[str, Any] | None) -> None:
    if not brake:
        return
    out.print(f"  The brake: {escape(str(brake.get('why', 'more would change than is allowed')))}")
    for mover in brake.get("movers", [])[:20]:
        who, before, now, score = (safe(mover.get(key)) for key in ("account_id", "tier_before", "tier", "score"))
        out.print(f"    {who}: tier {before} → {now}, score {score}")
