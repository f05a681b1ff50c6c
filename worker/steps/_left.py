"""Records of another CRM that carry values of ours and belong to no account any more: nobody brings them up to date.

An account was deleted or merged in the home CRM, or the key that led to it was changed. Nothing is cleared: what is missing never blanks a field, and
a key is soon mended. But a value that stands still is a second truth, so each is named until it is matched again or somebody empties it. [CS-77]
"""

import duckdb

from connectors.values import ID_LENGTHS
from mappings.models import FieldType, Mappings
from worker.sql import literal, query_sql
from worker.steps._crm import load_latest
from worker.steps._pairs import NAMED
from worker.steps._relations import LakeRelations, columns_of

#: Why it belongs to nobody, in words.
WORDS = {
    "account_deleted": "its account was deleted",
    "account_merged": "its account was merged into one that has a record of its own",
    "unknown_cross_id": "its cross-reference names no account",
    "ambiguous_cross_id": "it could be more than one",
    "shared_domain": "it could be more than one",
    "free_mail": "its domain is a mail provider's",
    "no_key": "it has no key any more",
    "no_counterpart": "no account has its key any more",
}
REMEDY = (
    "They are neither brought up to date nor cleared. Mend the cross-reference or the domain, or empty our fields there; "
    "`scoresync check --parity` lists all."
)


def build_left(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings) -> None:
    """Temp table p_left (connection, record_id, key_, why). Needs the tables of `build_pairs`; a checkbox without a tick is no value."""
    ours = [f.key for f in mappings.writeback.active() if f.object == "account" and f.owner == "worker" and f.type != FieldType.CHECKBOX]
    filled: list[str] = []
    for name, relation in lake.others.items():
        present = columns_of(con, relation)
        columns = [f"r.own_{key}" for key in ours if f"own_{key}" in present]
        if columns:
            exprs = {"record_id": "r.id", "filled": f"coalesce({', '.join(columns)}) IS NOT NULL"}
            asked = f"id IN (SELECT record_id FROM p_unmatched WHERE connection = {literal(name)})"
            load_latest(con, relation, f"l_{len(filled)}", part=lake.part, where=asked, exprs=exprs)
            filled.append(f"SELECT {literal(name)}, record_id FROM l_{len(filled)} WHERE filled")
    nothing = "SELECT NULL::VARCHAR, NULL::VARCHAR WHERE false"
    slots = {"home": literal(lake.home), "short": str(ID_LENGTHS[0]), "filled": " UNION ALL ".join(filled) or nothing}
    con.execute(query_sql("left", "left", **slots))


def left_behind(con: duckdb.DuckDBPyConnection, connection: str) -> list[tuple[str, str]]:
    """(record id, why) of one connection, by id. Needs p_left."""
    rows = con.execute(f"SELECT record_id, why FROM p_left WHERE connection = {literal(connection)} ORDER BY record_id").fetchall()
    return [(str(record), str(why)) for record, why in rows]


def left_words(left: list[tuple[str, str]]) -> str:
    """The run report's sentence: how many, the first by id and why, and what to do. Ids only."""
    named = "; ".join(f"{record} ({WORDS[why]})" for record, why in left[:NAMED])
    more = " …" if len(left) > NAMED else ""
    return f"{len(left):,} records still carry values of ours and belong to no account now: {named}{more}. {REMEDY}"
