"""Brings the ledger's tables to this version with Alembic, without an ini file."""

from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

if TYPE_CHECKING:
    from worker.store.ledger import Ledger

#: Any constant: PostgreSQL's advisory lock that lets one process migrate at a time.
MIGRATION_LOCK = 7_260_412


def alembic_config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "worker:store/migrations")
    config.attributes["connection"] = connection
    return config


def upgrade(ledger: "Ledger") -> None:
    """Run what is missing, in one transaction. A process that comes second waits for the lock and then finds nothing to do."""
    with ledger.transaction() as connection:
        if ledger.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        command.upgrade(alembic_config(connection), "head")
