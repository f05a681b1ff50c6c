"""Do all CRMs hold the same values in our fields? Read live from each, for every account that has a counterpart, and compared as canonical text."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from mappings.models import Mappings, WriteField
from worker.errors import WorkerError
from worker.runtime import Runtime
from worker.sql import ident, literal
from worker.steps._lake import open_relations
from worker.store import registers
from worker.store.engine import open_engine

#: Records read from both sides before they are compared. Chosen: what a reread takes in one go.
SLICE = 2000


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


@dataclass
class Parity:
    """`accounts`: pairs compared. `not_compared`: fields that only go along with others, and so may be older in one CRM. `gone`: records that
    are not there any more, which the next run will see."""

    home: str
    accounts: int = 0
    fields: list[str] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)
    gone: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return not self.differences

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "equal": self.equal}


def parity(opened: Runtime, mappings: Mappings) -> Parity:
    """Compares every pair of the accounts read so far. Writes nothing."""
    con = open_engine(opened.settings, [opened.lake.root])
    try:
        lake = open_relations(con, opened.lake, opened.ledger, mappings, None, ("crm_account",))
        if not lake.others:
            raise OneConnection
        ours = [f for f in mappings.writeback.active() if f.object == "account" and f.owner == "worker"]
        result = Parity(lake.home, not_compared=sorted(f.key for f in ours if f.update == "ride_along"))
        compared = [f for f in ours if f.update != "ride_along"]
        result.fields = sorted(f.key for f in compared)
        held = {(h.connection, h.record_id, h.field) for h in registers.holds(opened.ledger, "account")}
        for name in lake.others:
            query = f"SELECT account_id, record_id FROM p_pair WHERE connection = {literal(name)} ORDER BY account_id"
            pairs = con.execute(query).fetchall()
            for start in range(0, len(pairs), SLICE):
                _compare(con, opened, mappings, result, name, compared, pairs[start : start + SLICE], held)
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
) -> None:
    """One slice of pairs, read from both sides."""
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
    for account, record, key, here, there in rows:
        is_held = any((at, one, key) in held for side, one in ((result.home, account), (name, record)) for at in ("", side))
        result.differences.append(Difference(account, key, name, record, here, there, is_held))
    for view in ("given_pairs", "home_side", "other_side"):
        con.unregister(view)


def _table(fields: Sequence[WriteField], live: Mapping[str, Mapping[str, str | None]]) -> pa.Table:
    """Column by column, as text; no record gives an empty table."""
    columns = {"id_": pa.array(list(live), pa.string())}
    return pa.table(columns | {f.key: pa.array([row.get(f.key) for row in live.values()], pa.string()) for f in fields})
