"""diff: decisions against our fields as the CRM has them → `changes`, one row per differing field. No difference, no row.

The base is the pulled row, overlaid by our own acknowledged writes that are newer than it. Both sides are canonical text, so a difference is
a difference of two strings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from connectors.entities import Entity
from connectors.values import canonical_sql, coerced_sql, invalid_sql
from mappings.models import FieldType, Mappings, WriteField
from worker.items import Item, NewItem, Outcome, StepContext
from worker.sql import ident, literal, query_sql
from worker.steps._changes import CHANGES
from worker.steps._crm import load_latest
from worker.steps._csql import HELD_BACK
from worker.steps._lake import bring, leave, moment_of, open_lake, table_of
from worker.steps._relations import LakeRelations, Moment, any_rows, columns_of, kinds_of, scalar
from worker.steps._sources import home_of, of_connection
from worker.store import registers

#: What is still said of an account whose feed is late: that it is, and what does not come from scores. Everything else stays as it stands.
FROZEN = {"data_status", "csql_flag", "csql_open_count", "csql_status", "notice_on", "resynced_at"}

#: What is still said of an account that is no longer served.
OUT = {"csql_flag", "csql_open_count", "csql_status"}

#: Columns that are null where a run has nothing to say, which is no reason to clear the field.
_NEVER_CLEARED = {"resynced_at"}

_NUMBERS = (FieldType.NUMBER, FieldType.PERCENT, FieldType.CURRENCY)


#: Columns of what must not be sent.
HELD = ("connection", "object", "record_id", "field", "crm_value")
REJECTED = ("connection", "object", "record_key", "field", "value_hash")


def no_rows(names: Sequence[str]) -> str:
    """An empty relation of text columns."""
    return f"(SELECT {', '.join(f'NULL::VARCHAR AS {name}' for name in names)} WHERE false)"


@dataclass(frozen=True)
class Objections:
    """Relations of what must not be sent.

    held: connection ('' = its record id says which), object, record_id, field, crm_value. rejected: connection, object, record_key, field ('' = the
    record), value_hash (as the dead letters have it).
    """

    held: str = no_rows(HELD)
    rejected: str = no_rows(REJECTED)


def diff_accounts(
    con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, objections: Objections | None = None
) -> None:
    """Temp view `changes` from `decisions` and `csql_desired`. Accounts and records that are gone from the CRM have no row."""
    found = ["SELECT " + ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in CHANGES.items()) + " WHERE false"]
    against = objections or Objections()
    free = not any_rows(con, against.held) and not any_rows(con, against.rejected)
    for place, target in enumerate(_targets(lake, mappings)):
        sides = _sides(mappings, target.entity, kinds_of(con, target.ours))
        if sides:
            _load_records(con, lake, target, [s.field for s in sides])
            _load_writes(con, lake, target.entity, [s.field for s in sides])
            _compare(con, target, sides, moment, f"f_change_{place}")
            slots = {"object": literal(target.entity.value), "connection": literal(target.connection), "change": f"f_change_{place}"}
            slots |= {} if free else {"held": against.held, "rejected": against.rejected}
            found.append(query_sql("diff", "free_changes" if free else "changes", **slots).rstrip().rstrip(";"))
    con.execute("CREATE OR REPLACE TEMP VIEW changes AS " + " UNION ALL BY NAME ".join(f"({query})" for query in found))


@dataclass(frozen=True)
class Target:
    """Records of one connection, and the relation of ours that says what should be on them; `key` is its column with the record's id."""

    connection: str
    entity: Entity
    records: str
    ours: str
    key: str


def _targets(lake: LakeRelations, mappings: Mappings) -> list[Target]:
    """Accounts of every connection, those of others by their pairs; CSQL records of the home connection."""
    home = lake.home or home_of(mappings) or ""
    found = [
        Target(home, Entity.ACCOUNT, lake.crm[Entity.ACCOUNT], "decisions", "account_id"),
        Target(home, Entity.CSQL, lake.crm[Entity.CSQL], "csql_desired", "record_id"),
    ]
    for name, records in lake.others.items():
        ours = f"(SELECT d.*, p.record_id FROM decisions AS d JOIN p_pair AS p ON p.account_id = d.account_id AND p.connection = {literal(name)})"
        found.append(Target(name, Entity.ACCOUNT, records, ours, "record_id"))
    return found


@dataclass(frozen=True)
class Side:
    """A field and the column of ours that it takes."""

    field: WriteField
    column: str
    kind: str  # the column's DuckDB type

    @property
    def source(self) -> str:
        """The value's name without its language."""
        return self.field.value or self.field.key


def _sides(mappings: Mappings, entity: Entity, present: Mapping[str, str]) -> list[Side]:
    """Fields that we write, owned by the worker and in a set that is switched on, with the column each takes: its own or its language's."""
    sides = []
    for field in mappings.writeback.of(entity.value):
        name = field.value or field.key
        column = next((c for c in (name, f"{name}_{mappings.writeback.language}") if c in present), None)
        if field.owner == "worker" and field.set in mappings.writeback.sets and column is not None:
            sides.append(Side(field, column, present[column]))
    return sides


def _load_records(con: duckdb.DuckDBPyConnection, lake: LakeRelations, target: Target, fields: list[WriteField]) -> None:
    """f_record: record_id, read_at and the pulled text of each field (`own_<key>`, null where the pull did not know it yet)."""
    relation, ours = target.records, target.ours
    present = columns_of(con, relation)
    exprs = {"record_id": "r.id", "read_at": "r.read_at", "gone": "coalesce(r.deleted, false) OR r.master_id IS NOT NULL"}
    exprs |= {f"own_{f.key}": f"r.own_{f.key}" if f"own_{f.key}" in present else "NULL::VARCHAR" for f in fields}
    where = "true" if target.entity == Entity.ACCOUNT and _all_asked(con, relation, ours) else f"id IN (SELECT {target.key} FROM {ours})"
    load_latest(con, relation, "f_version", part=lake.part, where=where, exprs=exprs)
    con.execute("CREATE OR REPLACE TEMP VIEW f_record AS SELECT * FROM f_version WHERE NOT gone")


def _all_asked(con: duckdb.DuckDBPyConnection, relation: str, ours: str) -> bool:
    """Most records are asked for, so that picking them out first would only cost a second pass."""
    return bool(scalar(con, f"SELECT (SELECT count(*) FROM {ours}) * 2 > (SELECT count(*) FROM {relation})"))


def _load_writes(con: duckdb.DuckDBPyConnection, lake: LakeRelations, entity: Entity, fields: list[WriteField]) -> None:
    """f_overlay and f_written, one row per record that has any."""
    name = literal(entity.value)
    con.execute(query_sql("diff", "newer_writes", writes=lake.writes, object=name))
    newer = "".join(
        f", bool_or(field = {literal(f.key)}) AS has_{f.key}, max(value) FILTER (field = {literal(f.key)}) AS new_{f.key}" for f in fields
    )
    con.execute(query_sql("diff", "overlay", columns=newer))
    aging = [f for f in fields if f.update == "ride_along" and f.max_age_days is not None]
    ages = "".join(f", max(written_at) FILTER (field = {literal(f.key)}) AS at_{f.key}" for f in aging)
    keys = ", ".join(literal(f.key) for f in aging) or "NULL"
    con.execute(query_sql("diff", "written", writes=lake.writes, object=name, columns=ages, fields=keys))


def _compare(con: duckdb.DuckDBPyConnection, target: Target, sides: list[Side], moment: Moment, change: str) -> None:
    """Table `change`: the fields that differ, before anything is said against them."""
    columns = "".join(f", {expr} AS {name}" for s in sides for name, expr in _pair_columns(s, moment))
    slots = {"columns": columns, "ours": target.ours, "key": target.key}
    pair = query_sql("diff", "pair_accounts" if target.entity == Entity.ACCOUNT else "pair_csqls", **slots)
    differs = {s.field.key: _differs_sql(s) for s in sides}
    changes = ", ".join(f"CASE WHEN {differs[s.field.key]} THEN {_change_sql(s.field)} END" for s in sides)
    con.execute(query_sql("diff", "compare", change=change, changes=changes, pair=pair, any=" OR ".join(differs.values())))


def _pair_columns(side: Side, moment: Moment) -> list[tuple[str, str]]:
    """Both sides of a field as canonical text, what was pulled, and whether it is too old to wait for company."""
    field, key = side.field, side.field.key
    pulled = f"r.own_{key}"
    if field.type == FieldType.CHECKBOX:  # the CRM has no empty one
        pulled = f"CASE WHEN r.record_id IS NOT NULL THEN coalesce({pulled}, 'false') END"
    base = f"CASE WHEN v.has_{key} THEN v.new_{key} ELSE {pulled} END"
    ours = coerced_sql(canonical_sql(f"d.{ident(side.column)}", field, side.kind), field)
    columns = [(f"b_{key}", base), (f"p_{key}", pulled), (f"o_{key}", f"coalesce({ours}, {base})" if side.source in _NEVER_CLEARED else ours)]
    if field.update == "ride_along" and field.max_age_days is not None:
        # spread: a record's own day within the second half of the age, so that never all come at once
        age = f"{field.max_age_days} - CAST(hash(r.record_id) % {max(1, field.max_age_days // 2)} AS INTEGER)"
        columns.append((f"aged_{key}", f"coalesce({literal(moment.on)} - CAST(w.at_{key} AS DATE) >= {age}, false)"))
    return columns


def _differs_sql(side: Side) -> str:
    field, key = side.field, side.field.key
    ours, base, pulled = f"o_{key}", f"b_{key}", f"p_{key}"
    conditions = [f"{ours} IS DISTINCT FROM {base}", f"NOT (echo AND {ours} IS NOT DISTINCT FROM {pulled})"]
    if field.noise is not None and field.type in _NUMBERS:
        apart = f"abs(TRY_CAST({ours} AS DECIMAL(38, 10)) - TRY_CAST({base} AS DECIMAL(38, 10))) > {field.noise}"
        conditions.append(f"coalesce({apart}, true)")
    if field.update == "if_empty":
        conditions.append(f"{base} IS NULL")
    if side.source not in FROZEN:
        conditions.append("NOT frozen")
    if side.source not in OUT:
        conditions.append("NOT out_")
    if side.source == "csql_status":  # why none is open comes from rules, which do not answer while a feed is late
        why = " OR ".join(f"starts_with({base}, {literal(text)})" for text in HELD_BACK.values())
        conditions.append(f"NOT (frozen AND {ours} IS NULL AND coalesce({why}, false))")
    if field.external_key:  # of a new record it is the address, not a value
        conditions.append("echo")
    return "(" + " AND ".join(conditions) + ")"


def _change_sql(field: WriteField) -> str:
    key = field.key
    mode = literal(field.update)
    if field.update == "ride_along" and field.max_age_days is not None:
        mode = f"CASE WHEN aged_{key} THEN 'aged' ELSE 'ride_along' END"
    return f"{{'field': {literal(key)}, 'base': b_{key}, 'ours': o_{key}, 'mode': {mode}, 'invalid': {invalid_sql(f'o_{key}', field)}}}"


# --- the step ------------------------------------------------------------------------------------------------------------------------------------
def plan(ctx: StepContext) -> list[NewItem]:
    return [NewItem("all")]


def run(ctx: StepContext, item: Item) -> Outcome:
    """Leaves `changes`. What a person holds and what the CRM refused comes from the ledger as it stands now."""
    con, lake = open_lake(ctx, ("crm_account", "crm_csql", "writes"))
    bring(con, ctx.folder, "decisions", "csql_desired")
    diff_accounts(con, lake, ctx.mappings, moment_of(ctx), _objections(ctx, con))
    leave(con, ctx.folder, "changes")
    bring(con, ctx.folder, "changes")
    return Outcome(stats=_stats(con))


def _stats(con: duckdb.DuckDBPyConnection) -> dict[str, float]:
    rows = con.execute(
        "SELECT connection, count(DISTINCT (object, coalesce(record_id, external_key))), count(*) FROM changes GROUP BY ALL"
    ).fetchall()
    stats = {"changes.records": float(sum(row[1] for row in rows)), "changes.fields": float(sum(row[2] for row in rows))}
    for connection, records, fields in rows:
        stats |= {of_connection(connection, "changes.records"): float(records), of_connection(connection, "changes.fields"): float(fields)}
    return stats


def _objections(ctx: StepContext, con: duckdb.DuckDBPyConnection) -> Objections:
    text = pa.string()
    held = [
        {"connection": h.connection, "object": h.object, "record_id": h.record_id, "field": h.field, "crm_value": h.crm_value}
        for h in registers.holds(ctx.ledger)
    ]
    letters = [
        {"connection": d.connection, "object": d.object, "record_key": d.record_key, "field": d.field, "value_hash": d.value_hash}
        for d in registers.dead_letters(ctx.ledger, states=("open",))
        if d.next_at is None or d.next_at > ctx.run.as_of
    ]
    return Objections(
        table_of(con, "held", held, dict.fromkeys(HELD, text)),
        table_of(con, "rejected", letters, dict.fromkeys(REJECTED, text)),
    )
