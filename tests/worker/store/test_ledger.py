"""The ledger on SQLite and PostgreSQL: its tables are those of the migrations, its statements mean the same on both."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select
from sqlalchemy.exc import StatementError

from worker.store import leases
from worker.store.ledger import Ledger
from worker.store.registers import Hold, holds, put_holds, put_released
from worker.store.tables import closing, cursor, hold, metadata
from worker.store.work import CursorKey

NOW = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger(ledger_url)
    opened.upgrade()
    yield opened
    opened.close()


def run_all(ledger: Ledger, statements: list) -> None:  # type: ignore[type-arg]
    with ledger.transaction() as tx:
        for statement in statements:
            tx.execute(statement)


def test_migrations_make_exactly_the_tables_of_the_code(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_several_processes_may_upgrade_at_once(ledger_url: str) -> None:
    errors: list[Exception] = []

    def upgrade() -> None:
        mine = Ledger(ledger_url)
        try:
            mine.upgrade()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            errors.append(error)
        finally:
            mine.close()

    threads = [threading.Thread(target=upgrade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    reader = Ledger(ledger_url)
    assert reader.rows(select(func.count().label("n")).select_from(cursor))[0].n == 0
    reader.close()


def test_a_naive_instant_is_refused_and_an_aware_one_comes_back_as_utc(ledger: Ledger) -> None:
    def row(moved_at: datetime) -> dict:  # type: ignore[type-arg]
        return {"connection": "c", "entity": "e", "source": 0, "value": "1", "moved_at": moved_at}

    with pytest.raises(StatementError, match="Naive instant"):
        run_all(ledger, ledger.upserts(cursor, [row(datetime(2026, 12, 1))]))
    tokyo = timezone(timedelta(hours=9))
    run_all(ledger, ledger.upserts(cursor, [row(datetime(2026, 12, 1, 12, 0, tzinfo=tokyo))]))
    (found,) = ledger.rows(select(cursor.c.moved_at))
    assert (found.moved_at, found.moved_at.utcoffset()) == (NOW, timedelta(0))


def test_an_exception_rolls_the_whole_transaction_back(ledger: Ledger) -> None:
    def broken() -> None:
        with ledger.transaction() as tx:
            tx.execute(closing.insert().values(on_=NOW.date(), run_id="r", as_of=NOW))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert ledger.rows(select(closing)) == []


def test_upserts_update_what_is_there_and_keep_what_is_to_be_kept(ledger: Ledger) -> None:
    run_all(ledger, put_holds(ledger, [Hold("salesforce", "account", "r1", "score", "50", NOW, "run1")]))
    later = NOW + timedelta(days=1)
    run_all(
        ledger,
        put_holds(
            ledger,
            [Hold("salesforce", "account", "r1", "score", "60", later, "run2"), Hold("salesforce", "account", "r2", "score", None, later, "run2")],
        ),
    )
    assert holds(ledger) == [
        Hold("salesforce", "account", "r1", "score", "60", NOW, "run1"),
        Hold("salesforce", "account", "r2", "score", None, later, "run2"),
    ]
    run_all(ledger, put_released(ledger, "salesforce", "account", ["r1"], ["score"], later))
    assert [one.record_id for one in holds(ledger)] == ["r2"]


def test_ten_thousand_rows_go_in_at_once(ledger: Ledger) -> None:
    rows = [
        {"connection": "c", "object": "account", "record_id": f"r{n}", "field": "f", "crm_value": "1", "since": NOW, "run_id": "r"}
        for n in range(10_000)
    ]
    run_all(ledger, ledger.upserts(hold, rows))
    assert ledger.rows(select(func.count().label("n")).select_from(hold))[0].n == 10_000
    run_all(ledger, ledger.inserts(hold, [{**row, "crm_value": "2"} for row in rows[:10]]))
    assert {one.crm_value for one in holds(ledger)} == {"1"}
    assert ledger.upserts(hold, []) == []


def test_writers_in_parallel_wait_for_each_other(ledger_url: str, ledger: Ledger) -> None:
    """Read, then write, in one transaction: deferred transactions fail here on SQLite, and lose updates without row locks on PostgreSQL."""
    key = CursorKey("c", "e", 0)
    run_all(ledger, ledger.upserts(cursor, [{"connection": key.connection, "entity": key.entity, "source": 0, "value": "0", "moved_at": NOW}]))

    def count_up() -> None:
        mine = Ledger(ledger_url)
        for _ in range(25):
            with mine.transaction() as tx:
                value = int(tx.execute(select(cursor.c.value).with_for_update()).scalar_one())
                tx.execute(cursor.update().values(value=str(value + 1)))
        mine.close()

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.rows(select(cursor.c.value))[0].value == "100"  # 4 x 25


# --- leases --------------------------------------------------------------------------------------------------------------------------------------
def test_a_lease_has_one_holder_and_a_growing_fence(ledger: Ledger) -> None:
    first = leases.acquire(ledger, "write/salesforce", 60)
    assert first is not None
    assert leases.acquire(ledger, "write/salesforce", 60) is None
    assert not leases.is_free(ledger, "write/salesforce")
    leases.renew(ledger, first, 60)
    leases.release(ledger, first)
    second = leases.acquire(ledger, "write/salesforce", 60)
    assert second is not None
    assert second.fence == first.fence + 1
    with pytest.raises(leases.LeaseLost):
        leases.renew(ledger, first, 60)
    leases.release(ledger, first)  # too late: the second keeps it
    assert not leases.is_free(ledger, "write/salesforce")


def test_a_lease_that_ran_out_or_whose_holder_died_is_free(ledger: Ledger) -> None:
    gone = leases.acquire(ledger, "lake/compact", -1)
    assert gone is not None
    assert leases.is_free(ledger, "lake/compact")
    taken = leases.acquire(ledger, "lake/compact", 60)
    assert taken is not None
    with pytest.raises(leases.LeaseLost):
        leases.renew(ledger, gone, 60)
    with ledger.transaction() as tx:
        here = tx.execute(select(leases.lease.c.holder)).scalar_one()
        dead = "/".join([*here.split("/")[:-1], "1"])  # our pid, but a process that was started at boot
        tx.execute(leases.lease.update().values(holder=dead))
    assert leases.acquire(ledger, "lake/compact", 60) is not None
