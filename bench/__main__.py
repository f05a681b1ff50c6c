"""python -m bench [core | bulk | ingest | hubspot | resync] [--quick] [--json]: everything, or one part, as a table of ratios."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench import bulk, core, hubspot, ingest, resync

#: What each ratio is held to (design, section 12).
HOLD = {"core": 2.0, "increment": 0.10, "bulk": 2.0, "csv": 2.0, "parquet": 2.0, "calls": 0.05, "hubspot pull": 1.0}
HOLD_MIB = {50_000: 300, 200_000: 1024}

PARTS = ("core", "bulk", "ingest", "hubspot", "resync")
#: Seconds from the click to the answer on the record, on an idle machine.
HOLD_RESYNC_S = 2.0

Row = tuple[str, str, str, str, str]


def main(arguments: Sequence[str] | None = None) -> None:
    given = _arguments(arguments)
    report: dict[str, Any] = {}
    rows: list[Row] = []
    for part in PARTS:
        # of all parts at tiny sizes, the company of a resync would take longer than the rest together: it is asked for by name
        if given.part == part or (given.part is None and not (given.quick and part == "resync")):
            report[part] = _PARTS[part](given, _say(part))
            rows += _ROWS[part](report[part])
    if given.json:
        print(json.dumps(report))
    else:
        _print_table(rows)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=PARTS, help="one part only; default: all")
    parser.add_argument("--accounts", type=int, default=200_000, help="accounts of core (default 200,000)")
    parser.add_argument("--usage-rows", type=int, default=20_000_000, help="usage rows of core (default 20,000,000)")
    parser.add_argument("--pulled", type=int, default=200_000, help="accounts pulled by Bulk query (default 200,000)")
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows of the ingested export (default 5,000,000)")
    parser.add_argument("--companies", type=int, default=1_000, help="changed companies written to HubSpot (default 1,000)")
    parser.add_argument("--companies-pulled", type=int, default=50_000, help="companies pulled from HubSpot (default 50,000)")
    parser.add_argument("--resync-accounts", type=int, default=500, help="accounts of the company in which one is resynced (default 500)")
    parser.add_argument("--rival-python", help=f"a Python that has {hubspot.RIVAL}; default: var/bench-rival, where it is installed")
    parser.add_argument("--rounds", type=int, default=3, help="measurements per side, alternating; the median counts (default 3)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round: shows that both sides agree, not how fast they are")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    given = parser.parse_args(arguments)
    if given.quick:
        given.accounts, given.usage_rows, given.pulled, given.rows, given.rounds = 400, 40_000, 1_000, 20_000, 1
        given.companies, given.companies_pulled = 230, 620
        given.resync_accounts = 30
    return given


def _say(part: str) -> Callable[[str], None]:
    """Progress on stderr, so that stdout is the report alone."""
    began = time.monotonic()
    return lambda text: print(f"{part} {time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)


def _core(given: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    found = core.measure(given.accounts, given.usage_rows, given.rounds, say)
    found["peak_mib"] = {str(given.accounts): found["sides"]["ours"]["peak_mib"]}
    if not given.quick:
        small = given.accounts // 4
        found["peak_mib"][str(small)] = core.peak(small, given.usage_rows // 4, say)
    return found


def _ingest(given: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    say(f"ingesting {given.rows:,} rows as CSV and Parquet")
    return ingest.measure(given.rows, given.rounds)


def _hubspot(given: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    rival = hubspot.rival_python(given.rival_python, not given.quick, say)
    if rival[1]:
        say(rival[1])
    return hubspot.measure(given.companies, given.companies_pulled, given.rounds, rival, say)


_PARTS: dict[str, Callable[[argparse.Namespace, Callable[[str], None]], dict[str, Any]]] = {
    "core": _core,
    "bulk": lambda given, say: bulk.measure(given.pulled, given.rounds, say),
    "ingest": _ingest,
    "hubspot": _hubspot,
    "resync": lambda given, say: resync.measure(given.resync_accounts, given.rounds, say),
}


# --- the table -----------------------------------------------------------------------------------------------------------------------------------
def _core_rows(found: dict[str, Any]) -> list[Row]:
    sides = found["sides"]
    size = f"{found['accounts']:,} accounts, {found['usage_rows']:,} usage rows"
    rows = [
        _row(f"join + score + decide + diff, {size}", sides["baseline"], sides["ours"], found["ratio"], found["cpu_ratio"], HOLD["core"]),
        _row("ours with all that is shipped, against ours above", sides["ours"], sides["everything"], *found["all_ratios"], None),
        _row(
            f"the same, {found['accounts_changed']:,} accounts changed; against ours in full",
            sides["ours"], sides["increment"], found["increment_ratio"], found["increment_cpu_ratio"], HOLD["increment"],
        ),
    ]  # fmt: skip
    for accounts, mib in found["peak_mib"].items():
        hold = HOLD_MIB.get(int(accounts))
        rows.append((f"peak memory, {int(accounts):,} accounts", "", f"{mib:.0f} MiB", "", f"{hold} MiB {_kept(mib, hold)}" if hold else ""))
    return rows


def _bulk_rows(found: dict[str, Any]) -> list[Row]:
    theirs, ours = (f"{found['sides'][side]['cpu_s']:.2f} s" for side in ("baseline", "ours"))
    return [(f"Bulk pull of {found['accounts']:,} accounts, CPU", theirs, ours, f"{found['cpu_ratio']:.2f}", _held(found["cpu_ratio"], HOLD["bulk"]))]


def _ingest_rows(found: dict[str, Any]) -> list[Row]:
    rows = []
    for form in ("csv", "parquet"):
        one = found[form]
        theirs, ours = ({name: one[name][side] for name in ("wall_s", "cpu_s")} for side in ("baseline", "ours"))
        rows.append(_row(f"ingest {form}, {found['rows']:,} rows", theirs, ours, one["ratio"], one["cpu_ratio"], HOLD[form]))
    return rows


def _hubspot_rows(found: dict[str, Any]) -> list[Row]:
    """Seconds against a plain loop have no hold for writes: it neither looks at what it is about to overwrite nor at what came of it."""
    ours, client = found["write"]["ours"], found["write"]["client"]
    what = f"HubSpot: write {found['companies']:,} companies"
    rival = found["write"].get("drt-core")
    if rival is None:
        rows = [(f"{what} against drt-core", "", "", "", found["rival_missing"])]
    else:
        ratio = ours["calls"] / rival["calls"]
        rows = [(f"{what} against drt-core, calls", str(rival["calls"]), str(ours["calls"]), f"{ratio:.3f}", _held(ratio, HOLD["calls"]))]
        rows += _seconds_and_memory(f"{what} against drt-core", rival, ours)
    rows.append(
        (f"{what} against a plain client loop, calls", str(client["calls"]), str(ours["calls"]), f"{ours['calls'] / client['calls']:.2f}", "")
    )
    rows += _seconds_and_memory(f"{what} against a plain client loop", client, ours)
    client, ours = found["pull"]["client"], found["pull"]["ours"]
    what = f"HubSpot: pull {found['pulled']:,} companies against a plain client loop"
    ratio = ours["wall_s"] / client["wall_s"]
    return [*rows, _row(what, client, ours, ratio, ours["cpu_s"] / client["cpu_s"], HOLD["hubspot pull"]), _memory(what, client, ours)]


def _seconds_and_memory(what: str, theirs: dict[str, Any], ours: dict[str, Any]) -> list[Row]:
    walls = [f"{side['wall_s']:.2f} s" for side in (theirs, ours)]
    ratio = f"{ours['wall_s'] / theirs['wall_s']:.2f} (CPU {ours['cpu_s'] / theirs['cpu_s']:.2f})"
    return [(what, *walls, ratio, ""), _memory(what, theirs, ours)]


def _memory(what: str, theirs: dict[str, Any], ours: dict[str, Any]) -> Row:
    return f"{what}, peak memory", f"{theirs['peak_mib']:.0f} MiB", f"{ours['peak_mib']:.0f} MiB", f"{ours['peak_mib'] / theirs['peak_mib']:.2f}", ""


def _resync_rows(found: dict[str, Any]) -> list[Row]:
    theirs, ours = found["sides"]["baseline"], found["sides"]["ours"]
    what = f"resync of one of {found['accounts']:,} accounts; against its {found['calls']} calls sent bare"
    walls = [f"{side['wall_s']:.2f} s" for side in (theirs, ours)]
    kept = f"{HOLD_RESYNC_S:g} s {_kept(ours['wall_s'], HOLD_RESYNC_S)}"
    return [(what, *walls, f"{found['ratio']:.1f} (our CPU {ours['cpu_s']:.2f} s)", kept)]


_ROWS: dict[str, Callable[[dict[str, Any]], list[Row]]] = {
    "core": _core_rows, "bulk": _bulk_rows, "ingest": _ingest_rows, "hubspot": _hubspot_rows, "resync": _resync_rows,
}  # fmt: skip


def _row(what: str, baseline: dict[str, Any], ours: dict[str, Any], ratio: float, cpu_ratio: float, hold: float | None) -> Row:
    walls = [f"{side['wall_s']:.2f} s" for side in (baseline, ours)]
    return what, walls[0], walls[1], f"{ratio:.2f} (CPU {cpu_ratio:.2f})", _held(ratio, hold) if hold else ""


def _held(ratio: float, hold: float) -> str:
    return f"{hold:g} {_kept(ratio, hold)}"


def _kept(found: float, hold: float) -> str:
    return "held" if found <= hold else "MISSED"


def _print_table(rows: Sequence[Row]) -> None:
    table = [("what", "baseline", "ours", "ratio", "hold"), *rows]
    widths = [max(len(row[i]) for row in table) for i in range(5)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
