"""An account's id as a person or another connection gives it → the id it goes by. With one connection there is nothing to translate."""

from collections.abc import Sequence

from mappings.models import Mappings
from worker.errors import UnknownAccount
from worker.runtime import Runtime
from worker.sql import literal
from worker.steps._lake import open_relations
from worker.store.engine import open_engine


def account_ids(opened: Runtime, mappings: Mappings, ids: Sequence[str]) -> dict[str, str | None]:
    """Given id -> the account's id; null for a record of another connection that has no counterpart. An id that nobody has read stays as it is."""
    if len(mappings.crm) < 2 or not ids:
        return {one: one for one in ids}
    con = open_engine(opened.settings, [opened.lake.root])
    try:
        lake = open_relations(con, opened.lake, opened.ledger, mappings, None, ("crm_account",))
        foreign = " UNION ALL ".join(f"SELECT id FROM {relation}" for relation in lake.others.values())
        listed = ", ".join(f"({literal(one)})" for one in dict.fromkeys(ids))
        rows = con.execute(
            f"SELECT g.id, k.account_id, g.id IN ({foreign}) FROM (VALUES {listed}) AS g(id) LEFT JOIN p_key AS k ON k.record_id = g.id"
        ).fetchall()
    finally:
        con.close()
    return {given: found or (None if is_foreign else given) for given, found, is_foreign in rows}


def known_accounts(opened: Runtime, mappings: Mappings, ids: Sequence[str]) -> list[str]:
    """The accounts' ids; UnknownAccount names those that have no counterpart."""
    found = account_ids(opened, mappings, ids)
    lost = [given for given, account in found.items() if account is None]
    if lost:
        raise UnknownAccount(lost)
    return sorted({account for account in found.values() if account is not None})
