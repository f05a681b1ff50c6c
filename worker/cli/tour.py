"""What the demo shows at its end: tiers, three accounts with their reasons, the CSQLs, the calls, and where to look."""

from pathlib import Path
from typing import Any

from worker.cli.common import out
from worker.cli.summary import print_run, safe
from worker.demo import DemoResult
from worker.runtime import Runtime
from worker.store.engine import open_engine, quoted

TIERS = {5: "5 very good", 4: "4 good", 3: "3 look at", 2: "2 at risk", 1: "1 critical", None: "Not scored"}


def print_tour(result: DemoResult, keep: bool) -> None:
    folder = result.settings.runs_folder / result.first_run.id
    print_run(result.first_run, result.first)
    language = result.mappings.writeback.language
    rows = _rows(result, folder, _ACCOUNTS.format(language=language, folder=quoted(str(folder / "decisions.parquet"))))
    _tiers(rows)
    _three(rows)
    _csqls(_rows(result, folder, _CSQLS.format(language=language, folder=quoted(str(folder / "csql_desired.parquet")), accounts=_current(result))))
    writes = result.second["calls"]["writes"]
    out.print(f"\nSecond run: {result.second['changes']['records']} records to change, [bold]{writes} write calls[/].")
    out.print(f"{result.sandbox['accounts']} customers, {result.first['usage']['rows_in']:,} usage rows, {result.seconds:.0f} s in all.")
    _where(result, rows, keep)


_ACCOUNTS = """
SELECT account_id, tier, score, delta_28d, main_reason_{language} AS reason, strength_{language} AS strength, next_action_{language} AS action,
       csql_status_{language} AS csql, data_status_{language} AS data
FROM read_parquet({folder}) ORDER BY tier NULLS LAST, score NULLS LAST, account_id
"""
_CSQLS = """
SELECT d.product, d.rule, d.state, d.approach_score AS approach, d.why_now_{language} AS why_now, a.name
FROM read_parquet({folder}) AS d LEFT JOIN ({accounts}) AS a ON a.id = d.account_id
WHERE d.move = 'open' ORDER BY approach DESC NULLS LAST, d.external_key LIMIT 8
"""


def _rows(result: DemoResult, folder: Path, sql: str) -> list[dict[str, Any]]:
    con = open_engine(result.settings, [result.settings.lake.absolute(), folder])
    try:
        found: list[dict[str, Any]] = con.sql(sql).to_arrow_table().to_pylist()
        return found
    finally:
        con.close()


def _current(result: DemoResult) -> str:
    runtime = Runtime.open(result.settings)
    try:
        files = [quoted(str(path)) for path in runtime.lake.files("crm_account")]
    finally:
        runtime.close()
    return f"SELECT DISTINCT ON (id) id, name FROM read_parquet([{', '.join(files)}], union_by_name=true) ORDER BY id, read_at DESC"


def _tiers(rows: list[dict[str, Any]]) -> None:
    counts = {tier: sum(row["tier"] == tier for row in rows) for tier in TIERS}
    most = max(counts.values()) or 1
    out.print("\n[bold]Tiers[/]")
    for tier, label in TIERS.items():
        out.print(f"  {label:<12} {counts[tier]:>4}  {'█' * round(40 * counts[tier] / most)}")


def _three(rows: list[dict[str, Any]]) -> None:
    """The weakest, the middle and the strongest scored account."""
    scored = [row for row in rows if row["score"] is not None]
    out.print("\n[bold]Three accounts[/]")
    for row in [scored[0], scored[len(scored) // 2], scored[-1]] if scored else []:
        change = f" ({row['delta_28d']:+d} in 28 days)" if row["delta_28d"] is not None else ""
        out.print(f"  {row['account_id']}  tier {row['tier']}, score {row['score']}{change}")
        for label, key in (("−", "reason"), ("+", "strength"), ("→", "action")):
            if row[key]:
                out.print(f"    {label} {safe(row[key])}", soft_wrap=True)


def _csqls(rows: list[dict[str, Any]]) -> None:
    out.print("\n[bold]CSQLs opened[/] (the eight to call first)" if rows else "\nNo CSQL was opened.")
    for row in rows:
        out.print(f"  {safe(row['name'])} · {row['product']} · {row['rule']} · {row['state']} · approach {row['approach']}", soft_wrap=True)
        out.print(f"    {safe(row['why_now'])}", soft_wrap=True)


def _where(result: DemoResult, rows: list[dict[str, Any]], keep: bool) -> None:
    first = next((row["account_id"] for row in rows if row["score"] is not None), "")
    if not keep:
        out.print(
            "\nTo look around: [bold]scoresync demo --keep[/] leaves the sandbox running"
            + (", with an account's page as a CSM sees it." if result.page(first) else "."),
            soft_wrap=True,
        )
        return
    page = result.page(first)
    out.print(f"\nLook at an account as a CSM: {page}" if page else f"\nThe sandbox answers on {result.sandbox['url']}.", soft_wrap=True)
    out.print("In another terminal:")
    for name, value in result.environment.items():
        out.print(f"  export {name}={value}", soft_wrap=True)
    out.print(
        f"  scoresync explain {first}\n  scoresync run --dry-run\nCtrl-C ends the sandbox; its files stay in {result.settings.lake.parent}.",
        soft_wrap=True,
    )
