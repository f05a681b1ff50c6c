"""Which records a write item is about, and what we wrote to them before: relations over `changes`, `write_plan` and the lake's `writes`."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import duckdb
import pyarrow as pa
from sqlalchemy import select

from worker.items import Item, StepContext
from worker.sql import literal
from worker.steps._changes import changes_of
from worker.steps._merged import written_before
from worker.steps._rediff import Past, Wanted, Wish
from worker.steps._results import leave
from worker.store.schemas import SCHEMAS
from worker.store.tables import hold

#: Records of one Collections item, and the most that Collections take in total (reference sheet, 4: above 2,000 records, Bulk).
ITEM_RECORDS = 2000
#: Records and bytes of one bulk job. 100 MB is the vendor's limit before base64; the estimate leaves room for quotes and ids. The records are bound
#: by our memory: a job's wishes, live values and decisions are in it at once.
JOB_RECORDS = 20_000
JOB_BYTES = 80_000_000
#: Bytes of a record beside its values: id, commas, quotes.
RECORD_BYTES = 60


def make_plan(ctx: StepContext, con: duckdb.DuckDBPyConnection, *, bulk: Collection[str]) -> list[tuple[str, str, str, int]]:
    """Leaves `write_plan`: (connection, object, record_key) -> batch; the batches as (connection, object, api, number). Same changes, same plan.

    `bulk`: the connections whose CRM has bulk jobs; elsewhere everything goes as small batches whatever the settings say.
    """
    con.execute(f"CREATE TEMP TABLE sends AS SELECT * FROM {changes_of(ctx)} WHERE disposition = 'send'")
    con.execute(
        "CREATE TEMP TABLE targets AS "
        "SELECT connection, object, coalesce(record_id, external_key) AS record_key, any_value(account_id) AS account_id, "
        f"sum(coalesce(strlen(our_value), 4) + 3)::BIGINT + {RECORD_BYTES} AS bytes FROM sends GROUP BY ALL"
    )
    batches: list[tuple[str, str, str, int]] = []
    parts: list[str] = []
    counts = con.execute("SELECT connection, object, count(*) FROM targets GROUP BY ALL ORDER BY ALL").fetchall()
    for connection, object_name, records in counts:
        api = _api(ctx, records) if connection in bulk else "collections"
        number = f"(place - 1) // {ITEM_RECORDS}" if api == "collections" else f"greatest((place - 1) // {JOB_RECORDS}, weight // {JOB_BYTES})"
        parts.append(
            f"SELECT connection, object, record_key, account_id, CAST({number} AS BIGINT) AS batch FROM (SELECT *, row_number() OVER w AS place, "
            f"sum(bytes) OVER w AS weight FROM targets WHERE connection = {literal(connection)} AND object = {literal(object_name)} "
            "WINDOW w AS (ORDER BY account_id, record_key ROWS UNBOUNDED PRECEDING))"
        )
        found = con.execute(f"SELECT DISTINCT batch FROM ({parts[-1]}) ORDER BY batch").fetchall()
        batches += [(connection, object_name, api, int(batch)) for (batch,) in found]
    empty = "SELECT connection, object, record_key, account_id, 0::BIGINT AS batch FROM targets WHERE false"
    leave(ctx.folder / "write_plan.parquet", con.sql(" UNION ALL ".join(parts or [empty])).to_arrow_table())
    return batches


def _api(ctx: StepContext, records: int) -> str:
    forced = ctx.settings.write_api
    if forced != "auto":
        return forced
    return "collections" if records <= ITEM_RECORDS else "bulk"


def load(ctx: StepContext, con: duckdb.DuckDBPyConnection, item: Item, only: Sequence[str] | None) -> None:
    """Temp table `batch`: the item's changes to be sent. `only`: record keys that are still open; null = all."""
    plan = literal(str(ctx.folder / "write_plan.parquet"))
    where = ""
    if only is not None:
        con.register("only_keys", pa.table({"record_key": pa.array(only, pa.string())}))
        where = "AND p.record_key IN (SELECT record_key FROM only_keys)"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE batch AS SELECT c.*, p.record_key FROM {changes_of(ctx)} AS c JOIN read_parquet({plan}) AS p "
        f"ON p.object = c.object AND p.record_key = coalesce(c.record_id, c.external_key) WHERE c.disposition = 'send' "
        f"AND c.connection = {literal(item.payload['connection'])} "
        f"AND p.object = {literal(item.payload['object'])} AND p.batch = {int(item.payload['batch'])} {where}"
    )


def wanted(con: duckdb.DuckDBPyConnection) -> list[Wanted]:
    """The batch by record."""
    rows = con.execute(
        "SELECT object, record_id, external_key, account_id, list({'field': field, 'value': our_value, 'mode': mode, "
        "'aged': coalesce(why = 'refreshed by age', false), 'seen': crm_value} ORDER BY field) FROM batch GROUP BY ALL ORDER BY account_id, 2, 3"
    ).fetchall()
    return [Wanted(o, r, e, a or "", tuple(Wish(**w) for w in wishes)) for o, r, e, a, wishes in rows]


def past(ctx: StepContext, con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Past]]:
    """Record key (of the batch) -> field -> what we wrote before, from everything committed by now, also by runs that started later."""
    writes = ctx.lake.relation(ctx.lake.files("writes"), SCHEMAS["writes"])
    keys = "SELECT DISTINCT record_key, record_id, external_key FROM batch"
    by = [f"SELECT DISTINCT k.record_key, w.* FROM {writes} AS w JOIN ({keys}) AS k ON w.{name} = k.{name}" for name in ("record_id", "external_key")]
    con.execute(f"CREATE OR REPLACE TEMP TABLE history AS {' UNION '.join(by)}")
    con.execute("DELETE FROM history WHERE object <> (SELECT any_value(object) FROM batch)")
    con.execute(
        "CREATE OR REPLACE TEMP TABLE answered AS SELECT record_key, field, arg_max({'value': value}, (written_at, as_of, item_id)).value AS value, "
        "max(written_at) AS written_at, max(as_of) AS as_of FROM history WHERE state = 'acknowledged' GROUP BY ALL"
    )
    # our own intent of now says nothing new; leaving it out leaves a first write without history
    rows = con.execute(
        "SELECT h.record_key, h.field, any_value(a.written_at) IS NOT NULL AS answered, any_value(a.value), any_value(a.as_of), "
        "list(DISTINCT {'value': h.value}) FILTER (h.state = 'intended' AND (a.written_at IS NULL OR h.written_at >= a.written_at)) AS intents "
        "FROM history AS h LEFT JOIN answered AS a ON a.record_key = h.record_key AND a.field = h.field "
        "LEFT JOIN batch AS b ON b.record_key = h.record_key AND b.field = h.field "
        "WHERE NOT (h.state = 'intended' AND a.record_key IS NULL AND b.record_key IS NOT NULL AND h.value IS NOT DISTINCT FROM b.our_value) "
        "GROUP BY h.record_key, h.field"
    ).fetchall()
    found: dict[str, dict[str, Past]] = {}
    for key, name, has_answer, value, as_of, intents in rows:
        opened = frozenset(i["value"] for i in intents or [])
        found.setdefault(key, {})[name] = Past((value,) if has_answer else (), opened, as_of)
    for (key, name), values in written_before(ctx, con).items():
        own = found.setdefault(key, {}).get(name, Past())
        found[key][name] = replace(own, open_intents=own.open_intents | values)
    return found


def released(ctx: StepContext, connection: str, records: Sequence[Wanted]) -> dict[str, dict[str, str | None]]:
    """Record id -> field -> the person's value that an admin let us overwrite."""
    wanted_ids = {w.record_id for w in records if w.record_id}
    if not records:
        return {}
    c = hold.c
    query = select(c.record_id, c.field, c.crm_value).where(
        c.connection.in_(["", connection]), c.object == records[0].object, c.released_at.is_not(None)
    )
    found: dict[str, dict[str, str | None]] = {}
    for row in ctx.ledger.rows(query):
        if row.record_id in wanted_ids:
            found.setdefault(row.record_id, {})[row.field] = row.crm_value
    return found
