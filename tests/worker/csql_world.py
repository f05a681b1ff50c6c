"""A small CRM with CSQL records, people who move them and a worker that may die, to put random stories through the real decision. No test itself.

Time goes run by run: pull, decide, perhaps a person between, write (perhaps only a part of it), then what people do until the next run.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from mappings.models import CsqlPolicy, Mappings
from tests.factories import AS_OF, Lake, make_mappings, make_rule
from tests.worker.core import RELATIONS, decide, moment, open_lake, rows
from tests.worker.csqls import COOL, customer, own
from worker.steps._calendar import build_calendar
from worker.steps._csql import build_signals, decide_csqls, load_csqls

ACCOUNTS = ("A1", "A2", "A3")
#: Furthest last; a record on hold is behind one that somebody works.
OPEN = ("Candidate", "Nurture", "Submitted", "Accepted", "Meeting", "Opportunity")
ACCEPTED = {"Accepted", "Meeting", "Opportunity", "Won", "Lost"}
EXPIRE, HOLD = 30, COOL["nurture"]
#: All three customers are one rep's, who has two places: the third of the trusted rule waits.
CAP, WITH_SALES = 2, {"Submitted", "Accepted", "Meeting", "Opportunity"}
#: The moves that are the worker's, by what they lead away from.
OWN_MOVES = {
    None: {"Candidate", "Submitted"},
    "Candidate": {"Expired", "Merged"},
    "Submitted": {"Expired", "Merged"},
    "Nurture": {"Candidate", "Submitted", "Expired", "Merged"},
}


@dataclass
class Record:
    id: str
    account: str
    product: str
    state: str
    at: datetime
    key: str | None = None
    own: dict[str, str | None] = field(default_factory=dict)
    pulled: str | None = None
    fresh: bool = True
    moves: list[tuple[str, date, str]] = field(default_factory=list)  # state, day, person or worker


@dataclass
class World:
    con: duckdb.DuckDBPyConnection
    mappings: Mappings
    now: datetime = AS_OF
    records: list[Record] = field(default_factory=list)
    merged: dict[str, str] = field(default_factory=dict)
    churned: dict[str, date] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)

    @property
    def on(self) -> date:
        return self.now.astimezone(ZoneInfo("Asia/Tokyo")).date()

    # --- people ----------------------------------------------------------------------------------------------------------------------------------
    def person_moves(self, record: Record, state: str, hold_days: int | None = None) -> None:
        until = self.on + timedelta(days=hold_days) if state == "Nurture" and hold_days is not None else None
        record.own["nurture_until"] = until.isoformat() if until else record.own.get("nurture_until")
        self._set(record, state, "person")

    def person_makes(self, account: str, product: str, state: str) -> None:
        self._add(Record(f"h{len(self.records)}", account, product, state, self.now), "person")

    def signal(self, account: str, product: str, on: bool) -> None:
        seats = 50 if on else 10
        self.con.execute(f"UPDATE account_products SET product_seats = {seats} WHERE account_id = '{account}' AND product = '{product}'")

    def merge(self, loser: str, survivor: str) -> None:
        """As a CRM does it: the loser is gone and its records are the survivor's."""
        if loser == survivor or {loser, survivor} & set(self.merged):
            return
        self.merged[loser] = survivor
        self.con.execute(f"INSERT INTO j_master VALUES ('{loser}', '{survivor}')")
        self.con.execute(f"UPDATE j_master SET master_id = '{survivor}' WHERE master_id = '{loser}'")
        for table in ("accounts", "account_products", "scores"):
            self.con.execute(f"DELETE FROM {table} WHERE account_id = '{loser}'")
        for record in self.records:
            if record.account == loser:
                record.account, record.at, record.fresh = survivor, self.now, True

    def leave(self, account: str) -> None:
        """The customer leaves."""
        self.churned[account] = self.on
        self.con.execute(
            f"UPDATE accounts SET scope = 'excluded', excluded_why = 'churned', churned_on = DATE '{self.on}' WHERE account_id = '{account}'"
        )
        for table in ("account_products", "scores"):
            self.con.execute(f"DELETE FROM {table} WHERE account_id = '{account}'")

    # --- the worker ------------------------------------------------------------------------------------------------------------------------------
    def pull(self) -> None:
        for record in self.records:
            if record.fresh:
                row = {
                    "id": record.id, "account_id": record.account, "product": record.product, "state": record.state, "external_key": record.key,
                    "created_at": record.moves[0][1], "modified_at": record.at, "read_at": self.now, "connection": "salesforce", "deleted": False,
                } | {f"own_{k}": v for k, v in record.own.items()}  # fmt: skip
                names = ", ".join(row)
                self.con.execute(f"INSERT INTO crm_csql ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
                record.fresh = False
            record.pulled = record.state

    def decided(self) -> list[dict[str, Any]]:
        at = moment(self.now)
        build_calendar(self.con, self.mappings.calendar, at.on - timedelta(days=45), at.on + timedelta(days=120))
        load_csqls(self.con, RELATIONS, self.mappings, at)
        build_signals(self.con, RELATIONS, self.mappings, at, f"run-{self.now:%m%d%H%M}", "score_history", "signal_history")
        decide_csqls(self.con, RELATIONS, self.mappings, at)
        return rows(self.con, "SELECT * FROM csql_desired ORDER BY external_key")

    def write(self, wishes: list[dict[str, Any]], sent: int, acknowledged: int) -> list[tuple[Record, str | None, str]]:
        """Sends the first `sent` wishes and hears of the first `acknowledged`; what a person moved meanwhile is left. Returns the worker's moves."""
        made: list[tuple[Record, str | None, str]] = []
        for place, wish in enumerate(wishes[:sent]):
            record, before = self._live(wish), None
            if record is None:
                record = Record(f"w{len(self.records)}", wish["account_id"], wish["product"], wish["state"], self.now, wish["external_key"])
                self._add(record, "worker")
                made.append((record, None, record.state))
            elif record.pulled is not None and record.state != record.pulled:
                continue
            elif record.state != wish["state"] and record.pulled is not None:
                before = record.state
                self._set(record, wish["state"], "worker")
                made.append((record, before, record.state))
            known = {"rule": wish["rule"], "opened_on": str(wish["opened_on"]), "expires_on": str(wish["expires_on"]) if wish["expires_on"] else None}
            if record.key != wish["external_key"] or record.own | known != record.own:
                record.key, record.at, record.fresh = wish["external_key"], self.now, True
                record.own |= known
            if place < acknowledged:
                self.con.execute(
                    "INSERT INTO writes (object, record_id, external_key, field, value, state, as_of, written_at) VALUES "
                    "('csql', ?, ?, 'state', ?, 'acknowledged', ?, ?)",
                    [record.id, record.key, record.state, self.now, self.now],
                )
        return made

    def remember(self) -> None:
        """What record leaves for the next run."""
        self.con.execute("INSERT INTO signal_history BY NAME SELECT * FROM signals")

    def _live(self, wish: dict[str, Any]) -> Record | None:
        """The record a wish is about: by id, else by key, as an upsert finds it."""
        if wish["record_id"] is not None:
            return next(r for r in self.records if r.id == wish["record_id"])
        return next((r for r in self.records if r.key == wish["external_key"]), None)

    def _add(self, record: Record, who: str) -> None:
        self.records.append(record)
        record.moves.append((record.state, self.on, who))

    def _set(self, record: Record, state: str, who: str) -> None:
        if record.state != state:
            record.state, record.at, record.fresh = state, self.now, True
            record.moves.append((state, self.on, who))


def make_con() -> tuple[duckdb.DuckDBPyConnection, Mappings]:
    """Three customers with all tables of a decision; the story's own tables are emptied by `fresh_world`."""
    lake = Lake()
    for account in ACCOUNTS:
        customer(lake, account)
    con = open_lake(own(lake))
    con.execute("UPDATE crm_account SET owner_id = 'u1'")
    con.execute("ALTER TABLE crm_csql ADD COLUMN own_expires_on VARCHAR")
    rules = make_rule(persist_days=3), make_rule("cross", over="not_owned", when="coalesce(product_seats, 10) >= 40", persist_days=0, trusted=True)
    mappings = make_mappings(csql={r.name: r for r in rules}, policy=CsqlPolicy(gates=[], cooldown_days=COOL, load_cap=CAP))
    decide(con, mappings, keep=False)
    for table in ("accounts", "account_products", "scores"):
        con.execute(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")
    return con, mappings


def fresh_world(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> World:
    for table in ("accounts", "account_products", "scores"):
        con.execute(f"DELETE FROM {table}")
        con.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")
    con.execute("CREATE OR REPLACE TEMP TABLE j_master (id VARCHAR, master_id VARCHAR)")
    for table in ("crm_csql", "writes", "signal_history"):
        con.execute(f"DELETE FROM {table}")
    con.execute("UPDATE account_products SET product_seats = 10")
    return World(con, mappings)
