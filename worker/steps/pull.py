"""pull: CRM records since the cursor, and new usage files → raw pages and the stage items that take them on.

A window is [cursor − overlap, org's now − lag): the lag leaves out the last minutes, in which a transaction may still commit rows with older
stamps; the overlap reads them again. The cursor does not move here: it goes along to the stage item and moves with the rows it stands for.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from connectors.base import Crm, ReadResult, UsageFile, Window
from connectors.entities import Entity
from connectors.errors import Misfit
from connectors.usage.files import discover, file_id
from mappings.models import FieldColumn
from worker.items import CursorKey, Item, NewItem, Outcome, RunKind, StepContext
from worker.killpoint import killpoint, register
from worker.sql import literal
from worker.steps import _down
from worker.steps._lake import open_lake
from worker.steps._reconcile import find_strays
from worker.steps._sources import Place, account_path, counted, home_of, own_fields, place_of, places, vendor_names
from worker.store.registers import UsageFileRow, cursor_value, usage_files

AFTER_READ = register("pull.read.after", "Raw pages nobody knows of; the next attempt empties their folder and reads again.")


def plan(ctx: StepContext) -> list[NewItem]:
    """One item per source. Usage files lie there already: each new one is a stage item at once, as are those that vanished or came back."""
    run = ctx.run
    found = [_crm_item(place) for place in places(ctx.mappings) if run.accounts is None or account_path(place) is not None]
    return found if run.accounts is not None else [*found, *_usage_items(ctx)]


def _crm_item(place: Place) -> NewItem:
    return NewItem(place.key, {"kind": "crm", "connection": place.connection, "entity": place.entity.value, "index": place.index})


def _usage_items(ctx: StepContext) -> list[NewItem]:
    items: list[NewItem] = []
    for source in ctx.mappings.usage.values():
        known = usage_files(ctx.ledger, source.name, states=("live", "vanished", "failed"))
        files = discover(source, ctx.settings.usage.absolute(), source.settle_s, [_as_file(row) for row in known])
        # a file that could not be read gets another look in each full run: the mapping may have been mended since
        seen = {row.id for row in known if not (row.state == "failed" and ctx.run.kind is RunKind.FULL)}
        for file in files:
            if file_id(file) not in seen:
                payload = {**asdict(file), "modified_at": file.modified_at.isoformat(), "kind": "usage"}
                items.append(NewItem(f"usage/{source.name}/{file_id(file)}", payload, step="stage"))
        items += _moved(source.name, known, {file_id(file) for file in files})
    return items


def _moved(source: str, known: list[UsageFileRow], there: set[str]) -> list[NewItem]:
    """Registered files that are gone (their rows still count, and it is reported), and those that came back as they were."""
    gone = [row.id for row in known if row.state == "live" and row.id not in there and not os.path.lexists(row.path)]
    back = [row.id for row in known if row.state == "vanished" and row.id in there]
    return [NewItem(f"usage/{source}/moved", {"kind": "moved", "vanished": gone, "live": back}, step="stage")] if gone or back else []


def _as_file(row: UsageFileRow) -> UsageFile:
    return UsageFile(row.source, row.path, row.size, row.modified_at, row.content_hash)


def run(ctx: StepContext, item: Item) -> Outcome:
    """Reads one source."""
    place = place_of(ctx.mappings, item.payload)
    if _down.is_down(ctx, place.connection):
        return Outcome()
    try:
        return _pull(ctx, item, place)
    except _down.DOWN as error:
        if not _down.may_be_left_out(ctx, item, place.connection, error):
            raise
        return Outcome(report=_down.note(ctx, place.connection, error))


def _pull(ctx: StepContext, item: Item, place: Place) -> Outcome:
    stats: dict[str, float] = {}
    with counted(ctx, place.connection, stats) as crm:
        ctx.check_lease()
        try:
            read = _read(ctx, crm, place)
        except Misfit as error:
            if place.entity == Entity.ACCOUNT:
                raise
            # without contracts or tickets the rest still has a score; what depends on them is missing, and it is said
            ctx.log.warning("pull.source_missing", source=place.key, object=place.source.object)
            return Outcome(stats=stats | {"pull.sources_missing": 1}, report={f"missing:{place.key}": [str(error)]})
    killpoint(AFTER_READ)
    return _outcome(item, place, read, stats)


class _Read:
    """What one source gave. `cursor` null = it does not move; `read_at` is an instant before the read began."""

    def __init__(self, ctx: StepContext, folder: Path, read_at: datetime, cursor: str | None) -> None:
        self.folder = str(folder.relative_to(ctx.raw_root))
        self.read_at, self.cursor = read_at, cursor
        self.rows, self.pages, self.unseen = 0, 0, 0
        self.missing: dict[str, None] = {}

    def add(self, result: ReadResult) -> None:
        self.rows += result.rows
        self.pages += len(result.pages)
        self.missing.update(dict.fromkeys(result.missing_fields))


def _read(ctx: StepContext, crm: Crm, place: Place) -> _Read:
    extra = vendor_names(ctx.mappings.crm[place.connection], own_fields(ctx.mappings, place.entity, read=True))
    read_at = _now(ctx)
    shutil.rmtree(ctx.raw)  # what an earlier attempt left must not be taken for this one's
    if ctx.run.accounts is not None:
        read = _Read(ctx, ctx.raw, read_at, None)
        path, ids = account_path(place), _ids_there(ctx, place)
        assert path is not None
        if ids:
            read.add(crm.read_ids(place.source, extra, ids, ctx.raw / "pages", by=path))
        return read
    key = CursorKey(place.connection, place.entity.value, place.index)
    cursor = cursor_value(ctx.ledger, key)
    # the org tells whole seconds: one more, or an edit of this very second would lie outside a window without lag
    until = crm.server_now() + timedelta(seconds=1 - ctx.settings.read_lag_s)
    since = None
    if cursor is not None and not (ctx.run.kind == RunKind.FULL and _reads_parents(place)):
        since = datetime.fromisoformat(cursor) - timedelta(seconds=ctx.settings.read_overlap_s)
        until = max(until, since + timedelta(seconds=1))
    read = _Read(ctx, ctx.raw, read_at, until.astimezone(UTC).isoformat())
    main = crm.read(place.source, extra, Window(since, until), ctx.raw / "pages", None)
    read.add(main)
    if cursor is not None and ctx.run.kind == RunKind.FULL:
        ctx.check_lease()
        strays = find_strays(ctx, crm, place, extra, until, main, whole=since is None)
        for result in strays.results:
            read.add(result)
        read.unseen = strays.unseen
    return read


def _ids_there(ctx: StepContext, place: Place) -> list[str]:
    """The run's accounts as the connection knows them."""
    accounts = list(ctx.run.accounts or ())
    if place.connection == home_of(ctx.mappings):
        return accounts
    con, _ = open_lake(ctx, ("crm_account",))
    listed = ", ".join(literal(account) for account in accounts) or "NULL"
    rows = con.execute(
        f"SELECT record_id FROM p_pair WHERE connection = {literal(place.connection)} AND account_id IN ({listed}) ORDER BY 1"
    ).fetchall()
    return [str(row[0]) for row in rows]


def _reads_parents(place: Place) -> bool:
    """Whether the source takes fields of its parents: a change there does not stamp the record, so whole runs read all of them anew."""
    for spec in place.source.columns.values():
        fields = [spec] if isinstance(spec, str) else [spec.field] if isinstance(spec, FieldColumn) else getattr(spec, "fields", [])
        if any("." in field for field in fields):
            return True
    return False


def _now(ctx: StepContext) -> datetime:
    with ctx.ledger.read() as connection:
        return ctx.ledger.now(connection)


def _outcome(item: Item, place: Place, read: _Read, stats: Mapping[str, float]) -> Outcome:
    payload: dict[str, Any] = {
        **item.payload,
        "raw": read.folder,
        "pages": read.pages,
        "read_at": read.read_at.isoformat(),
        "cursor": read.cursor,
    }
    report: dict[str, Any] = {f"missing:{place.key}": list(read.missing)} if read.missing else {}
    if read.unseen:
        report[f"unseen:{place.key}"] = (
            f"{read.unseen} records read before are not shown any more; an admin must check the integration user's sharing."
        )
    counts = {"pull.rows": read.rows, f"pull.{place.entity.value}.rows": read.rows, "pull.fields_missing": len(read.missing)}
    if read.rows == 0:
        moved = {CursorKey(place.connection, place.entity.value, place.index): read.cursor} if read.cursor else {}
        return Outcome(stats={**stats, **counts}, report=report, cursors=moved)
    return Outcome(successors=[NewItem(item.key, payload, step="stage")], stats={**stats, **counts}, report=report)
