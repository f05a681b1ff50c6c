"""Nightly reconciliation: the org's ids and stamps against the lake's, so that a row that was ever missed or purged does not stay wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.base import Crm, ReadResult, Window
from mappings.models import Source
from worker.items import StepContext
from worker.sql import literal
from worker.steps._sources import Place
from worker.store.schemas import schema

#: More strays than this are no strays: the first look after a loss of the lake. They are read by their stamps instead.
READ_BY_ID_MOST = 20_000
#: More than half of all records gone at once, and more than these, is taken for a lost permission. Chosen.
UNSEEN_LEAST = 20
#: Reads ids past the read lag, whatever it is set to, and past any clock skew.
NO_LAG = timedelta(days=1)


@dataclass(frozen=True)
class Strays:
    """`results`: raw pages. `unseen`: records that vanished in such numbers that lost permissions are likelier than deletion; nothing is done."""

    results: list[ReadResult]
    unseen: int = 0


def find_strays(ctx: StepContext, crm: Crm, place: Place, extra: Sequence[str], until: datetime, main: ReadResult, *, whole: bool) -> Strays:
    """Raw pages beside this item's own: records the lake lacks or holds in an older version, and marks of deletion for those the org no longer has.

    `main`: what this item just read; `whole`: that was everything up to `until`. Ids and stamps of everything are read besides, without the read lag:
    a record changed within the lag (by our own last write, above all) is not in `main`, and must not be taken for deleted.
    """
    table = f"crm_{place.entity.value}"
    if whole and not ctx.files(table):
        return Strays([])  # a first read: there is nothing to compare with
    con = ctx.engine()
    lake = ctx.lake.relation(ctx.files(table), schema(table))
    con.execute(
        f"CREATE TEMP TABLE ours AS SELECT id, max(modified_at) AS modified_at, arg_max(deleted, (modified_at, read_at)) AS deleted FROM {lake} "
        f"WHERE connection = {literal(place.connection)} AND source = {place.index} GROUP BY id"
    )
    expect = (con.execute("SELECT count(*) FROM ours").fetchone() or (0,))[0]
    bare = Source(object=place.source.object, columns={}, filter=place.source.filter)
    ids = crm.read(bare, [], Window(None, until + NO_LAG), ctx.raw / "ids", int(expect))
    pages = ctx.lake.relation(list(ids.pages), {"_id": "VARCHAR", "_modified_at": "VARCHAR", "_deleted": "VARCHAR"})
    con.execute(
        f"CREATE TEMP TABLE theirs AS SELECT _id AS id, max(CAST(_modified_at AS TIMESTAMPTZ)) AS modified_at, bool_or(_deleted = 'true') AS deleted "
        f"FROM {pages} GROUP BY _id"
    )
    settled = f"t.modified_at < TIMESTAMPTZ '{until.isoformat()}'"  # the rest is read by the next run, as any change is
    read = ctx.lake.relation(list(main.pages), {"_id": "VARCHAR"})
    con.execute(f"CREATE TEMP TABLE just_read AS SELECT DISTINCT _id AS id FROM {read}")
    # deleting, and restoring from the bin, need not stamp a record: with the same stamp the mark itself tells
    theirs_newer = "t.modified_at > o.modified_at OR (t.deleted AND NOT coalesce(o.deleted, false))"
    theirs_newer += " OR (t.modified_at = o.modified_at AND NOT t.deleted AND coalesce(o.deleted, false))"
    query = (
        "SELECT t.id FROM theirs AS t LEFT JOIN ours AS o ON o.id = t.id ANTI JOIN just_read AS j ON j.id = t.id "
        f"WHERE {settled} AND CASE WHEN o.id IS NULL THEN NOT t.deleted ELSE {theirs_newer} END"
    )
    missed = [] if whole else con.execute(query).fetchall()
    gone = con.execute(
        "SELECT o.id, o.modified_at FROM ours AS o LEFT JOIN theirs AS t ON t.id = o.id WHERE t.id IS NULL AND NOT coalesce(o.deleted, false)"
    ).fetchall()
    results: list[ReadResult] = []
    if missed:
        ctx.log.info("pull.strays", source=place.key, missed=len(missed))
        wanted = [str(row[0]) for row in missed]
        if len(wanted) <= READ_BY_ID_MOST:
            results.append(crm.read_ids(place.source, extra, wanted, ctx.raw / "missed"))
        else:
            results.append(crm.read(place.source, extra, Window(None, until), ctx.raw / "missed", len(wanted)))
    known = con.execute("SELECT count(*) FROM ours WHERE NOT coalesce(deleted, false)").fetchone()
    if len(gone) > UNSEEN_LEAST and known and len(gone) * 2 > known[0]:
        ctx.log.warning("pull.unseen", source=place.key, unseen=len(gone))
        return Strays(results, len(gone))
    if gone:
        ctx.log.info("pull.purged", source=place.key, gone=len(gone))
        results.append(_tombstones(ctx, [(str(row[0]), row[1]) for row in gone]))
    return Strays(results)


def _tombstones(ctx: StepContext, gone: Sequence[tuple[str, datetime]]) -> ReadResult:
    folder = ctx.raw / "gone"
    folder.mkdir(exist_ok=True)
    page = folder / "000000.parquet"
    columns = {
        "_id": [record_id for record_id, _ in gone],
        "_modified_at": [stamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for _, stamp in gone],
        "_deleted": ["true"] * len(gone),
        "_master_id": [None] * len(gone),
    }
    pq.write_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), page)
    return ReadResult((page,), len(gone), "reconcile")
