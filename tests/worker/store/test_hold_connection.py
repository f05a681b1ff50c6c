"""Migration 0003: holds that are there learn which CRM they are of, on SQLite and PostgreSQL."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from sqlalchemy import text

from worker.store.ledger import Ledger
from worker.store.migrate import alembic_config
from worker.store.registers import Hold, commit, holds, put_holds, put_released

NOW = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
_BEFORE = ("object", "record_id", "field", "crm_value", "since", "run_id", "released_at")
LATER = NOW + timedelta(days=1)


@pytest.fixture
def before(ledger_url: str) -> Iterator[Ledger]:
    """A ledger of the version before, with a hold that a run of one CRM found (r1), and two that a run of two CRMs found (r2, r3; r3 released)."""
    opened = Ledger(ledger_url)
    with opened.transaction() as connection:
        command.upgrade(alembic_config(connection), "0002")
        for hashed, body in (("one", '{"crm": {"salesforce": {}}}'), ("two", '{"crm": {"salesforce": {}, "hubspot": {}}}')):
            connection.execute(text("INSERT INTO mappings_snapshot (hash, body, created_at) VALUES (:h, :b, :n)"), {"h": hashed, "b": body, "n": NOW})
            columns = "id, kind, state, as_of, dry_run, pin, mappings_hash, created_at"
            values = {"id": f"run-{hashed}", "h": hashed, "n": NOW, "no": False}
            connection.execute(text(f"INSERT INTO run ({columns}) VALUES (:id, 'full', 'done', :n, :no, 0, :h, :n)"), values)
        for record, run_id, released in (("r1", "run-one", None), ("r2", "run-two", None), ("r3", "run-two", LATER)):
            connection.execute(
                text(f"INSERT INTO hold ({', '.join(_BEFORE)}) VALUES ('account', :r, 'score', '9', :n, :i, :d)"),
                {"r": record, "n": NOW, "i": run_id, "d": released},
            )
    yield opened
    opened.close()


def test_cs77_holds_from_before_keep_all_they_said_and_learn_their_crm(before: Ledger) -> None:
    before.upgrade()
    first, second = holds(before)
    assert (first.connection, first.record_id) == ("", "r2")
    assert second == Hold("salesforce", "account", "r1", "score", "9", NOW, "run-one")
    # found held again, r2 takes its name and is there once; a release of one CRM's copy leaves the other's
    commit(before, put_holds(before, [Hold("hubspot", "account", "r2", "score", "8", LATER, "run-3")]))
    assert [(one.connection, one.record_id, one.crm_value) for one in holds(before)] == [("hubspot", "r2", "8"), ("salesforce", "r1", "9")]
    commit(before, put_released(before, "hubspot", "account", ["r1", "r2"], ["score"], LATER))
    assert [one.record_id for one in holds(before)] == ["r1"]


def test_the_migration_of_holds_can_be_taken_back(before: Ledger) -> None:
    before.upgrade()
    with before.transaction() as connection:
        command.downgrade(alembic_config(connection), "0002")
        rows = connection.execute(text("SELECT record_id, run_id FROM hold ORDER BY record_id")).all()
    assert [tuple(row) for row in rows] == [("r1", "run-one"), ("r2", "run-two"), ("r3", "run-two")]
