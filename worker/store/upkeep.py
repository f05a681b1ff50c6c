"""What keeps the stores in order: orphans swept, replaced files deleted, small parts joined, old folders dropped."""

import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, select

from worker.killpoint import killpoint, register
from worker.settings import Settings
from worker.store import holder, leases, manifest, registers
from worker.store.engine import open_engine, quoted
from worker.store.lake import Lake
from worker.store.ledger import Ledger
from worker.store.tables import item, mappings_snapshot, resync_request, run
from worker.store.work import ENDED

BEFORE_SWAP = register("lake.compact.before_commit", "A joined part without a row; swept. The small parts are still the truth.")
AFTER_SWAP = register("lake.compact.after_commit", "The joined part is the truth; the small ones are retired and deleted by the next sweep.")
BEFORE_DELETE = register("lake.delete.before_commit", "A retired file is gone from disk, its row is left; the next sweep drops the row.")

#: Parts smaller than this are joined, bytes. Chosen: beyond it, opening a file costs nothing against reading it.
SMALL_BYTES = 32 * 1024 * 1024
#: A table with fewer small parts than this is left alone.
SMALL_PARTS = 8
#: Parts joined in one go, so that a large table is compacted in bounded steps.
MOST_PARTS = 500
#: Marks the name of a joined part.
JOINED = "_c"  # sorts after "." and so after the part whose name it takes
#: Names we give: whatever else lies in these folders, a wrong SCORESYNC_LAKE or SCORESYNC_RUNS must not cost anybody a file.
PART = re.compile(r"\.?\d{10}-\d{3}-\d{4}(_c\d+)?\.parquet(\.tmp)?")
RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
#: Lease of the one compaction that may run, and how long it lasts at most, seconds.
COMPACTION, COMPACTION_S = "lake/compact", 3600


def sweep(settings: Settings, ledger: Ledger, lake: Lake) -> dict[str, int]:
    """Everything below, once, and letters whose backoff has ended. Counts by kind."""
    now = ledger.now()
    return {
        "letters_due": registers.retry_due(ledger),
        "orphans": sweep_orphans(ledger, lake),
        "retired": delete_retired(ledger, lake),
        "run_folders": _drop_folders(ledger, settings.runs_folder.absolute(), now - timedelta(days=settings.run_days)),
        "raw_folders": _drop_folders(ledger, lake.root.parent / "raw", now - timedelta(days=settings.raw_days)),
        "spill_folders": _drop_spill(lake.root.parent / "spill"),
        "runs_forgotten": _forget_runs(ledger, now - timedelta(days=settings.run_days)),
    }


def sweep_orphans(ledger: Ledger, lake: Lake) -> int:
    """Delete parts that no row names and no live item is about to register. Files that are not named like ours are not ours to delete."""
    # The order of these reads matters. Who wrote a file listed here is still at it (seen as held) or has ended, and then the row is read after.
    on_disk = [path for path in lake.root.glob("*/*") if PART.fullmatch(path.name) and path.is_file()]
    compacting = not leases.is_free(ledger, COMPACTION)
    held = {f"{row.id:010d}-{row.attempts:03d}" for row in ledger.rows(select(item.c.id, item.c.attempts).where(item.c.state == "leased"))}
    registered = manifest.registered_paths(ledger)
    removed = 0
    for path in on_disk:
        name = path.name.removeprefix(".").partition(".")[0]
        live = name[:14] in held or (compacting and JOINED in name)
        if not live and str(path.relative_to(lake.root)) not in registered:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def delete_retired(ledger: Ledger, lake: Lake) -> int:
    """Delete retired files that no live run can see."""
    gone = manifest.unpinned(ledger)
    for entry in gone:
        (lake.root / entry.path).unlink(missing_ok=True)
    if gone:
        killpoint(BEFORE_DELETE)
        manifest.forget(ledger, [entry.id for entry in gone])
    return len(gone)


def compact(settings: Settings, ledger: Ledger, lake: Lake, table: str | None = None) -> int:
    """Join the small parts of a table (null = of each) into one, swapped in one transaction; how many parts went. Rows stay the same rows."""
    joined = 0
    with leases.holding(ledger, COMPACTION, COMPACTION_S) as held:
        for name in [table] if table else manifest.tables(ledger):
            small = [entry for entry in manifest.entries(ledger, name) if entry.bytes < SMALL_BYTES][:MOST_PARTS]
            if held is not None and len(small) >= SMALL_PARTS and _join(settings, ledger, lake, name, small):
                joined += len(small)
    return joined


def _join(settings: Settings, ledger: Ledger, lake: Lake, table: str, small: Sequence[manifest.Entry]) -> bool:
    """Write one part with the rows of these and swap it in; False if one of them was retired meanwhile."""
    # the newest part's name, so that the joined one stands where it stood in the order of parts
    stem = max(entry.path.name for entry in small).removesuffix(".parquet").partition(JOINED)[0]
    temporary = lake.root / table / f".{stem}{JOINED}{max(entry.id for entry in small)}.parquet.tmp"
    listed = ", ".join(quoted(str(lake.root / entry.path)) for entry in small)
    # a record's version is (modified_at, read_at, part): rows that tie but for the part are settled now, as the part's name is lost
    versions = (
        "QUALIFY row_number() OVER (PARTITION BY connection, id, modified_at, read_at ORDER BY filename DESC) = 1" if table.startswith("crm_") else ""
    )
    versions = "" if table == "crm_rejects" else versions
    rows = f"SELECT * EXCLUDE (filename) FROM read_parquet([{listed}], union_by_name=true, filename=true) {versions}"
    con = open_engine(settings, [lake.root])
    try:
        con.execute(f"COPY ({rows}) TO {quoted(str(temporary))} (FORMAT parquet, COMPRESSION zstd)")
    finally:
        con.close()
    part = lake.finish(temporary)
    with ledger.transaction() as tx:
        swapped = manifest.swap(tx, ledger, part, [entry.id for entry in small])
        killpoint(BEFORE_SWAP)
    killpoint(AFTER_SWAP)
    return swapped


def _drop_folders(ledger: Ledger, root: Path, before: datetime) -> int:
    """Folders named by a run that ended before then, or by none in the ledger and untouched since; how many."""
    ended = {row.id: row.finished_at for row in ledger.rows(select(run.c.id, run.c.finished_at, run.c.state)) if row.state in ENDED}
    live = {row.id for row in ledger.rows(select(run.c.id).where(run.c.state.not_in(ENDED)))}
    dropped = 0
    for folder in root.glob("*"):
        if not RUN_ID.fullmatch(folder.name) or not folder.is_dir() or folder.name in live:
            continue
        at = ended.get(folder.name) or datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        if at < before:
            shutil.rmtree(folder, ignore_errors=True)
            dropped += 1
    return dropped


def _forget_runs(ledger: Ledger, before: datetime) -> int:
    """Rows of runs that ended before then, with their steps and items, and mappings that no run has pinned any more. Their lake files stay."""
    with ledger.transaction() as tx:
        forgotten = tx.execute(delete(run).where(run.c.state.in_(ENDED), run.c.finished_at < before)).rowcount
        if forgotten:
            pinned = select(run.c.id).where(run.c.mappings_hash == mappings_snapshot.c.hash)
            tx.execute(delete(mappings_snapshot).where(~pinned.exists()))
            tx.execute(delete(resync_request).where(resync_request.c.seen_at < before))
    return forgotten


def _drop_spill(root: Path) -> int:
    """Spill folders of processes that are gone."""
    dropped = 0
    for folder in root.glob("*"):
        if folder.name.isdigit() and not holder.is_running(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)
            dropped += 1
    return dropped
