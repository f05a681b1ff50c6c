"""Do all CRMs hold the same values in our fields? Read live from each, for every account that has a counterpart, and compared as canonical text.

Fields that only ride along with others are compared apart: one CRM's copy may be older, by as much as their greatest age. Records that belong to no
account any more and still carry values of ours are no match; they are listed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from mappings.models import Mappings, WriteField
from worker.errors import WorkerError
from worker.runtime import Runtime
from worker.sql import ident, literal
from worker.steps._lake import open_relations
from worker.steps._left import build_left, left_behind
from worker.steps._relations import LakeRelations
from worker.store import registers
from worker.store.engine import open_engine

#: Records read from both sides before they are compared. Chosen: what a reread takes in one go.
SLICE = 2000
#: A field whose age is up goes with the next nightly run, which may be a day away, and that day's run may be late.
GRACE = timedelta(days=2)


class OneConnection(WorkerError):
    """There is nothing to compare."""

    def __init__(self) -> None:
        super().__init__("Parity compares two CRMs, and one is mapped. Add the other under crm/ (see docs/hubspot.md).")


@dataclass(frozen=True)
class Difference:
    """One field of one account that two CRMs hold differently. `held`: a person changed it in one of them, and it is kept."""

    account_id: str
    field: str
    connection: str  # the other one
    record_id: str
    home_value: str | None
    value: str | None
    held: bool


@dataclass(frozen=True)
class Left:
    """A record that belongs to no account now and still carries values of ours. `why`: a key of `worker.steps._left.WORDS`."""

    connection: str
    record_id: str
    why: str


@dataclass
class Parity:
    """`accounts`: pairs compared. `gone`: records that are not there any more, which the next run will see.

    `riding_fields` only go along with others, so a copy may be older; `riding`: how many such differences each field has that this explains. One that
    it does not explain (older than the field's greatest age allows, or never written by us) is among `differences`.
    """

    home: str
    accounts: int = 0
    fields: list[str] = field(default_factory=list)
    riding_fields: list[str] = field(default_factory=list)
    riding: dict[str, int] = field(default_factory=dict)
    gone: int = 0
    differences: list[Difference] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return not self.differences and not self.left

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "equal": self.equal}


def parity(opened: Runtime, mappings: Mappings) -> Parity:
    """Compares every pair of the accounts read so far. Writes nothing."""
    con = open_engine(opened.settings, [opened.lake.root])
    try:
        lake = open_relations(con, opened.lake, opened.ledger, mappings, None, ("crm_account", "writes"))
        if not lake.others:
            raise OneConnection
        ours = [f for f in mappings.writeback.active() if f.object == "account" and f.owner == "worker"]
        rides = {f.key: f.max_age_days for f in ours if f.update == "ride_along"}
        result = Parity(lake.home, fields=sorted(f.key for f in ours if f.key not in rides), riding_fields=sorted(rides))
        held = {(h.connection, h.record_id, h.field) for h in registers.holds(opened.ledger, "account")}
        build_left(con, lake, mappings)
        for name in lake.others:
            pairs = con.execute(f"SELECT account_id, record_id FROM p_pair WHERE connection = {literal(name)} ORDER BY account_id").fetchall()
            for start in range(0, len(pairs), SLICE):
                found = list(_compare(con, opened, mappings, result, name, ours, pairs[start : start + SLICE], held))
                explained = _explained(con, lake, result.home, name, rides, found, opened.ledger.now())
                result.differences += [one for one in found if one not in explained]
                for one in sorted(explained, key=lambda d: d.field):
                    result.riding[one.field] = result.riding.get(one.field, 0) + 1
            result.left += _left(opened, mappings, name, ours, left_behind(con, name))
        return result
    finally:
        con.close()


def _compare(
    con: duckdb.DuckDBPyConnection,
    opened: Runtime,
    mappings: Mappings,
    result: Parity,
    name: str,
    fields: Sequence[WriteField],
    pairs: Sequence[tuple[str, str]],
    held: set[tuple[str, str, str]],
) -> Iterator[Difference]:
    """One slice of pairs, read from both sides: their differences, and the counts of what was compared in `result`."""
    con.register("given_pairs", pa.table({"account_id": [p[0] for p in pairs], "record_id": [p[1] for p in pairs]}))
    for side, connection, ids in (("home_side", result.home, [p[0] for p in pairs]), ("other_side", name, [p[1] for p in pairs])):
        con.register(side, _table(fields, opened.crm_now(mappings, connection).reread(fields, ids)))
    joined = "given_pairs AS p JOIN home_side AS h ON h.id_ = p.account_id JOIN other_side AS o ON o.id_ = p.record_id"
    both = con.execute(f"SELECT count(*) FROM {joined}").fetchall()[0][0]
    result.accounts += int(both)
    result.gone += len(pairs) - int(both)
    differing = ", ".join(
        f"CASE WHEN h.{ident(f.key)} IS DISTINCT FROM o.{ident(f.key)} "
        f"THEN {{'field': {literal(f.key)}, 'home': h.{ident(f.key)}, 'other': o.{ident(f.key)}}} END"
        for f in fields
    )
    rows = con.execute(
        f"SELECT account_id, record_id, d.field, d.home, d.other FROM (SELECT p.account_id, p.record_id, "
        f"unnest(list_filter([{differing}], lambda x: x IS NOT NULL)) AS d FROM {joined}) ORDER BY ALL"
    ).fetchall()
    for view in ("given_pairs", "home_side", "other_side"):
        con.unregister(view)
    for account, record, key, here, there in rows:
        is_held = any((at, one, key) in held for side, one in ((result.home, account), (name, record)) for at in ("", side))
        yield Difference(account, key, name, record, here, there, is_held)


def _explained(
    con: duckdb.DuckDBPyConnection,
    lake: LakeRelations,
    home: str,
    name: str,
    rides: Mapping[str, int | None],
    found: Sequence[Difference],
    now: datetime,
) -> set[Difference]:
    """Differences of fields that ride along which that explains: both copies are what we last wrote there, and neither is older than its greatest
    age."""
    riding = [one for one in found if one.field in rides and not one.held]
    if not riding:
        return set()
    at = pa.table({"connection": [home] * len(riding) + [name] * len(riding),
                   "record_id": [d.account_id for d in riding] + [d.record_id for d in riding], "field": [d.field for d in riding] * 2})  # fmt: skip
    con.register("riding", at)
    written = con.execute(
        "SELECT r.connection, r.record_id, r.field, arg_max({'value': w.value}, w.written_at).value, max(w.written_at) "
        f"FROM {lake.writes} AS w JOIN (SELECT DISTINCT * FROM riding) AS r "
        "ON w.record_id = r.record_id AND w.field = r.field AND coalesce(w.connection, r.connection) = r.connection "
        "WHERE w.object = 'account' AND w.state = 'acknowledged' GROUP BY ALL"
    ).fetchall()
    con.unregister("riding")
    ours = {(connection, record, key): (value, stamp) for connection, record, key, value, stamp in written}

    def is_ours(connection: str, record: str, key: str, value: str | None) -> bool:
        said, stamp = ours.get((connection, record, key), (None, None))
        most = rides[key]
        return stamp is not None and said == value and (most is None or now - stamp <= timedelta(days=most) + GRACE)

    def may_ride(one: Difference) -> bool:
        return is_ours(home, one.account_id, one.field, one.home_value) and is_ours(name, one.record_id, one.field, one.value)

    return {one for one in riding if may_ride(one)}


def _left(opened: Runtime, mappings: Mappings, name: str, ours: Sequence[WriteField], left: Sequence[tuple[str, str]]) -> Iterator[Left]:
    """Those of `left` that are there now and carry a value now."""
    for start in range(0, len(left), SLICE):
        part = left[start : start + SLICE]
        live = opened.crm_now(mappings, name).reread(ours, [record for record, _ in part])
        for record, why in part:
            if any(value not in (None, "false") for value in live.get(record, {}).values()):
                yield Left(name, record, why)


def _table(fields: Sequence[WriteField], live: Mapping[str, Mapping[str, str | None]]) -> pa.Table:
    """Column by column, as text; no record gives an empty table."""
    columns = {"id_": pa.array(list(live), pa.string())}
    return pa.table(columns | {f.key: pa.array([row.get(f.key) for row in live.values()], pa.string()) for f in fields})
