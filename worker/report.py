"""What a run did, as one object: `scoresync run --json`.

Every count is the sum of what the run's items said of themselves (`Outcome.stats`, e.g. `usage.rows_in`), so a report can be made at any time, also
of a run that is still going, and is the same in every process.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select

from connectors.calls import grouped
from worker.items import Run, RunKind
from worker.store import runs
from worker.store.ledger import Ledger
from worker.store.tables import item, step

#: group -> counts in it, each always there.
COUNTS = {
    "accounts": ("in_crm", "scored", "not_scored", "excluded", "failed"),
    "csql": ("open", "opened", "closed", "suppressed"),
    "usage": ("rows_in", "rows_done", "rows_set_aside", "tenants_unmatched", "accounts_without_usage"),
    "changes": ("records", "fields"),
    "writes": ("ok", "rejected", "unprocessed", "held", "invalid", "superseded"),
}

#: Stat of `join` -> what is said where it is not nought. Such rows count as they are.
ODD = {
    "join.usage_outside_contract": "{n:,} days of use (per contract, feature and day) lie outside the dates of their contract. They count.",
    "join.lines_without_account": "{n:,} contract lines name an account that was not read. They count for nobody.",
}


def run_report(ledger: Ledger, run_id: str) -> dict[str, Any]:
    """The report of a run so far. `notes`, `brake` and `reason` are there only where there is something to say."""
    run = runs.get(ledger, run_id)
    sums = _sums(ledger, run_id)
    report: dict[str, Any] = {"run_id": run.id, "as_of": run.as_of.isoformat().replace("+00:00", "Z"), "state": str(run.state)}
    for group, names in COUNTS.items():
        report[group] = {name: int(sums.get(f"{group}.{name}", 0)) for name in names}
    _settle_accounts(report["accounts"], sums, run)
    by_kind = {name.removeprefix("calls."): int(n) for name, n in sorted(sums.items()) if name.startswith("calls.")}
    report["calls"] = {**grouped(by_kind), "by_kind": by_kind}
    report["seconds"] = _seconds(ledger, run_id)
    report["connections"] = {name: _connection(name, run, sums) for name in runs.connections(ledger, run.mappings_hash)}
    notes = _notes(run, sums)
    if notes:
        report["notes"] = notes
    if run.report.get("csql_rules"):
        report["csql"]["rules"] = run.report["csql_rules"]
    if run.report.get("brake"):
        report["brake"] = run.report["brake"]
    if run.reason:
        report["reason"] = run.reason
    return report


def _connection(name: str, run: Run, sums: Mapping[str, float]) -> dict[str, Any]:
    """One connection's part of changes, writes and calls. `match` where its accounts need counterparts; `down` where it was out of reach, and why."""
    own = {stat.removeprefix(f"connection/{name}/"): n for stat, n in sums.items() if stat.startswith(f"connection/{name}/")}
    found: dict[str, Any] = {group: {one: int(own.get(f"{group}.{one}", 0)) for one in COUNTS[group]} for group in ("changes", "writes")}
    by_kind = {stat.removeprefix("calls."): int(n) for stat, n in sorted(own.items()) if stat.startswith("calls.")}
    found["calls"] = {**grouped(by_kind), "by_kind": by_kind}
    match = {stat.removeprefix("match."): int(n) for stat, n in own.items() if stat.startswith("match.")}
    if match:
        found["match"] = match
    if f"down:{name}" in run.report:
        found["down"] = run.report[f"down:{name}"]
    return found


def _notes(run: Run, sums: Mapping[str, float]) -> list[str]:
    """What a person should know of the data, one sentence each: files that could not be read, fields that are not there, rows that look odd."""
    notes = []
    for name, said in sorted(run.report.items()):
        kind, _, place = name.partition(":")
        if kind in ("csql", "churn", "usage_file", "feed", "unseen", "notify", "overwritten"):
            notes.append(str(said))
        elif kind in ("match", "left"):
            notes.append(f"{place}: {said}")
        elif kind == "down":
            notes.append(
                f"{place} was out of reach ({said['why']}): {said['text']} What was read of it before counts; its changes wait for the next run."
            )
        elif kind == "missing" and any(" " in one for one in said):  # the whole source, in the connector's words
            notes += [f"{place}: {one}" for one in said]
        elif kind == "missing":
            notes.append(f"{place} lacks {', '.join(said)}: what is mapped to it is unknown. Map another field, or give this worker's user access.")
    for name, text in ODD.items():
        if sums.get(name):
            notes.append(text.format(n=int(sums[name])))
    return notes


def _sums(ledger: Ledger, run_id: str) -> dict[str, float]:
    """Stat name -> sum over the run's items. `writes.*` are those of `record` where it has been through, since it has settled the books."""
    by_step: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in ledger.rows(select(item.c.step, item.c.stats).where(item.c.run_id == run_id, item.c.stats.is_not(None))):
        for name, value in (row.stats or {}).items():
            by_step[row.step][name] += value
    settled = any(name.startswith("writes.") for name in by_step["record"])
    sums: dict[str, float] = defaultdict(float)
    for step_name, stats in by_step.items():
        for name, value in stats.items():
            if not (settled and name.startswith("writes.") and step_name != "record"):
                sums[name] += value
    return sums


def _settle_accounts(accounts: dict[str, int], sums: dict[str, float], run: Run) -> None:
    """accounts in the CRM = scored + not scored + excluded + failed, for a full run; a frozen score (its feed is late) is a score."""
    accounts["scored"] += int(sums.get("accounts.frozen", 0))
    settled = accounts["scored"] + accounts["not_scored"] + accounts["excluded"]
    joined_and_scored = "accounts.in_crm" in sums and ("accounts.scored" in sums or "accounts.not_scored" in sums)
    if run.kind == RunKind.FULL and run.accounts is None and joined_and_scored:
        accounts["failed"] = max(accounts["failed"], accounts["in_crm"] - settled)


def _seconds(ledger: Ledger, run_id: str) -> dict[str, float]:
    """Step -> seconds of work in it, summed over its items (several workers may share a step)."""
    worked = select(item.c.step, func.sum(item.c.seconds).label("s")).where(item.c.run_id == run_id).group_by(item.c.step).subquery()
    query = select(step.c.name, worked.c.s).join(worked, worked.c.step == step.c.name).where(step.c.run_id == run_id).order_by(step.c.ordinal)
    return {row.name: round(float(row.s or 0), 3) for row in ledger.rows(query)}
