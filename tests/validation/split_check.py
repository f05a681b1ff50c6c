"""The delta split beside the reference test: parts of every account and day, kept as `record` keeps them, must add up. No test itself."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from mappings.models import Mappings
from tests.worker.core import RELATIONS, rows
from worker.sql import literal, query_sql
from worker.steps._part_history import KEEPING
from worker.steps._points import KEPT
from worker.steps._split import PARTS
from worker.steps._why import Basis, split_since
from worker.store.schemas import schema

#: Distances to the date compared with: the closing before, and as many days as the trend's window or the case has.
DISTANCES = (1, 28)
_SUM = " + ".join((*PARTS, "held"))
_EXACT = " + ".join(f"exact_{part}" for part in PARTS)


@dataclass
class Splits:
    """`reference`: account -> published score, by day, as the independent scorer says."""

    reference: dict[date, dict[str, int | None]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def day(self, con: duckdb.DuckDBPyConnection, mappings: Mappings, on: date, told: dict[str, dict[str, Any]]) -> None:
        """After a day was scored and decided: split its changes, then keep its parts."""
        known = {row[0] for row in con.execute("SHOW TABLES").fetchall()}
        for name in KEEPING:
            if name not in known or not self.reference:
                con.execute(f"CREATE OR REPLACE TABLE {name} ({', '.join(f'{c} {kind}' for c, kind in schema(name).items())})")
        self.reference[on] = {account: row.get("score") for account, row in told.items()}
        for distance in DISTANCES:
            before = on - timedelta(days=distance)
            if before in self.reference:
                self._check(con, mappings, on, before)
        stamp = {"on": literal(on), "run_id": "'run'", "as_of": f"TIMESTAMPTZ '{on} 03:00:00+00'"}
        changed = query_sql("part_history", "changed", columns=", ".join(KEPT), points="points", history="part_history", **stamp)
        con.execute(f"INSERT INTO part_history BY NAME {changed}")
        con.execute("INSERT INTO scorecard_history BY NAME SELECT * FROM scorecards WHERE cards NOT IN (SELECT cards FROM scorecard_history)")

    def _check(self, con: duckdb.DuckDBPyConnection, mappings: Mappings, on: date, before: date) -> None:
        stood = {a: s for a, s in self.reference[before].items() if s is not None}
        told = pa.table({"account_id": pa.array(stood.keys(), pa.string()), "score_before": pa.array(stood.values(), pa.int64())})
        con.register("told_before", told)
        scores = "(SELECT r.account_id, s.score_before, r.score FROM d_result AS r JOIN told_before AS s USING (account_id) WHERE r.state = 'scored')"
        split_since(con, RELATIONS, mappings, replace(Basis(), scores=scores), before)
        asked = {r["account_id"]: r for r in rows(con, f"SELECT * FROM {scores} WHERE score IS NOT NULL AND score_before IS NOT NULL")}
        got = {r["account_id"]: r for r in rows(con, f"SELECT *, {_SUM} AS whole, {_EXACT} AS exact FROM w_split")}
        self.faults += [f"{on} {a} against {before}: no split" for a in asked.keys() - got.keys()]
        for account, row in got.items():
            change = (self.reference[on][account] or 0) - stood[account]
            if row["whole"] != change or row["exact"] != row["exact_delta"]:
                exact = f"exact {row['exact']}, {row['exact_delta']}"
                self.faults.append(f"{on} {account} against {before}: parts {row['whole']}, change {change}; {exact}")
            self.counts.update(part for part in (*PARTS, "held") if row[part])
        self.counts["splits"] += len(got)
        self.counts["changes"] += sum(row["delta"] != 0 for row in got.values())
