"""The same company in two connections: pairs by a declared key, never by a guess, and the other connection's rows under the account's id.

The *home* connection is authoritative for accounts: its ids are the ids of accounts everywhere in the lake's relations, in scores and decisions. A
record of another connection is known by its pair. What could be two is nobody's: it is listed with its candidates.
"""

from dataclasses import dataclass, replace

import duckdb

from connectors.entities import Entity, columns
from connectors.values import ID_LENGTHS
from mappings.models import Mappings
from worker.sql import literal, query_sql
from worker.steps._crm import load_latest
from worker.steps._relations import LakeRelations, columns_of
from worker.steps._sources import home_of, suppliers_of

#: Domains of mail providers: whoever has one of these tells nothing of the company. Chosen; `free_mail` of a mapping adds to them.
FREE_MAIL = (
    "gmail.com", "googlemail.com", "yahoo.co.jp", "yahoo.com", "yahoo.ne.jp", "ybb.ne.jp", "ymail.com", "ymail.ne.jp", "outlook.com", "outlook.jp",
    "hotmail.com", "hotmail.co.jp", "live.com", "live.jp", "msn.com", "icloud.com", "me.com", "mac.com", "aol.com", "docomo.ne.jp", "ezweb.ne.jp",
    "au.com", "softbank.ne.jp", "i.softbank.jp", "nifty.com", "biglobe.ne.jp", "ocn.ne.jp", "so-net.ne.jp", "excite.co.jp", "infoseek.jp",
    "gmx.com", "gmx.net", "web.de", "mail.ru", "yandex.ru", "proton.me", "protonmail.com", "qq.com", "163.com", "126.com", "naver.com",
)  # fmt: skip

#: Records named in a run's report. Chosen: what a person starts with; the whole list is in the run folder.
NAMED = 5

#: entity -> columns that hold an account's id, beyond those that have `account_id` alone.
_OWNERS = {Entity.CONTRACT: ("account_id", "end_user_id")}


@dataclass(frozen=True)
class Matched:
    """How the accounts of another connection were recognised: counts of pairs, and of living records on either side that have none."""

    connection: str
    by_cross_id: int
    by_domain: int
    records_unmatched: int
    accounts_unmatched: int
    ambiguous: int


def pair_relations(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings) -> LakeRelations:
    """Relations in which every account and every row that belongs to one goes by the account's id of the home connection.

    Makes the temp tables p_pair, p_key and p_unmatched. With one connection the relations stay as they are.
    """
    home = home_of(mappings)
    if len(mappings.crm) < 2 or home is None:
        return lake
    accounts = lake.crm[Entity.ACCOUNT]
    build_pairs(con, accounts, mappings, home, lake.part)
    others = {name: f"(SELECT * FROM {accounts} WHERE connection = {literal(name)})" for name in mappings.crm if name != home}
    crm = {Entity.ACCOUNT: _view(con, "h_account", f"SELECT * FROM {accounts} WHERE connection = {literal(home)}")}
    present = {row[0] for row in con.execute("SELECT view_name FROM duckdb_views() UNION ALL SELECT table_name FROM duckdb_tables()").fetchall()}
    for entity, relation in lake.crm.items():
        if entity != Entity.ACCOUNT and relation in present and "account_id" in columns(entity):
            crm[entity] = _view(con, f"h_{entity.value}", _rekeyed_sql(entity, relation, mappings, home))
    return replace(lake, crm=lake.crm | crm, home=home, others=others)


def _view(con: duckdb.DuckDBPyConnection, name: str, sql: str) -> str:
    con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {sql}")
    return name


def _rekeyed_sql(entity: Entity, relation: str, mappings: Mappings, home: str) -> str:
    suppliers = suppliers_of(mappings, entity) or [home]
    listed = ", ".join(literal(name) for name in suppliers)
    if suppliers == [home]:
        return f"SELECT * FROM {relation} WHERE connection = {listed}"
    owners = _OWNERS.get(entity, ("account_id",))
    replaced = ", ".join(f"CASE WHEN r.connection = {literal(home)} THEN r.{o} ELSE k_{o}.account_id END AS {o}" for o in owners)
    joins = " ".join(f"LEFT JOIN p_key AS k_{o} ON k_{o}.connection = r.connection AND k_{o}.record_id = r.{o}" for o in owners)
    return query_sql("pairs", "rekeyed", relation=relation, replaced=replaced, joins=joins, suppliers=listed)


def build_pairs(con: duckdb.DuckDBPyConnection, accounts: str, mappings: Mappings, home: str, part: str = "NULL") -> None:
    """Temp tables p_side, p_pair, p_key, p_unmatched from account rows of every connection."""
    others = [mapping for name, mapping in mappings.crm.items() if name != home]
    present = columns_of(con, accounts)
    exprs = {"connection": "r.connection", "id": "r.id", "master_id": "r.master_id", "gone": "coalesce(r.deleted, false)"}
    exprs |= {key: f"r.{key}" if key in present else "CAST(NULL AS VARCHAR)" for key in ("cross_id", "domain")}
    load_latest(con, accounts, "p_version", part=part, where=f"connection IN ({', '.join(literal(name) for name in mappings.crm)})", exprs=exprs)
    free = sorted({*FREE_MAIL, *(domain.lower() for mapping in others for domain in mapping.free_mail)})
    con.execute(f"CREATE OR REPLACE TEMP TABLE p_free_mail AS SELECT unnest([{', '.join(map(literal, free))}]) AS domain")
    short, long = ID_LENGTHS
    slots = {"home": literal(home), "short": str(short), "long": str(long)}
    for key in ("cross_id", "domain"):
        slots[f"by_{key}"] = ", ".join(literal(m.connection) for m in others if key in m.match) or "NULL"
    for name in ("sides", "masters", "aliases", "crossed", "domains", "pairs", "keys", "unmatched"):
        con.execute(query_sql("pairs", name, **slots))


def matched(con: duckdb.DuckDBPyConnection, lake: LakeRelations) -> list[Matched]:
    """Counts by connection; none where there is only one."""
    if not lake.others:
        return []
    listed = f"[{', '.join(literal(name) for name in lake.others)}]"
    return [Matched(str(row[0]), *(int(n) for n in row[1:])) for row in con.execute(query_sql("pairs", "counts", others=listed)).fetchall()]


def ambiguous_words(con: duckdb.DuckDBPyConnection, connection: str) -> str:
    """The first of the records that could be two, with their candidates, and what to do. Ids only."""
    rows = con.execute(
        f"SELECT connection, record_id, candidates FROM p_unmatched WHERE why IN ('ambiguous_cross_id', 'shared_domain') AND connection = "
        f"{literal(connection)} ORDER BY record_id LIMIT {NAMED}"
    ).fetchall()
    named = "; ".join(f"{name} {record} ({', '.join(candidates or [])})" for name, record, candidates in rows)
    return f"{named or 'see unmatched.parquet'}. They are matched with nobody; fill in the cross-reference on one side. All are in unmatched.parquet."
