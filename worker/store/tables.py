"""The ledger's tables. Small rows only; facts by the million live in the lake.

Instants are UTC and aware. JSON columns hold what only one reader understands and no query filters on. Every change here needs a migration
(`tests/worker/store/test_ledger.py` compares the two).
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant. SQLite keeps no zone, so it is stored there as UTC without one; a naive datetime is refused where it enters."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"Naive instant {value!r}: the ledger keeps aware UTC instants only.")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


#: 64-bit on PostgreSQL; on SQLite only a column declared INTEGER counts up by itself.
Id = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# --- runs and work items -------------------------------------------------------------------------------------------------------------------------
run = Table(
    "run",
    metadata,
    Column("id", String(40), primary_key=True),  # sorts by start
    Column("kind", String(16), nullable=False),  # full | increment | resync
    Column("state", String(16), nullable=False),  # RunState
    Column("pause", String(16)),  # quota | auth | outage while state = paused
    Column("resume_at", Instant),  # null = an admin must act
    Column("as_of", Instant, nullable=False),
    Column("accounts", JSON),  # ids; null = all
    Column("dry_run", Boolean, nullable=False),
    Column("pin", Id, nullable=False),  # lake sequence at start
    Column("mappings_hash", String(64), nullable=False),
    Column("approved_by", String(80)),
    Column("reason", Text, nullable=False, server_default=""),  # why it is red, failed, paused or waits for approval; safe for people
    Column("report", JSON),  # brake report and final counts
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Index("ix_run_state", "state"),
)

mappings_snapshot = Table(
    "mappings_snapshot",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("body", Text, nullable=False),  # JSON of mappings.models.Mappings
    Column("created_at", Instant, nullable=False),
)

step = Table(
    "step",
    metadata,
    Column("run_id", String(40), ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(20), primary_key=True),
    Column("ordinal", Integer, nullable=False),
    Column("open_items", Integer, nullable=False),  # starts at 1 for the plan item; nought = the step is over
    Column("started_at", Instant),
    Column("finished_at", Instant),
)

item = Table(
    "item",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("run_id", String(40), ForeignKey("run.id", ondelete="CASCADE"), nullable=False),
    Column("step", String(20), nullable=False),
    Column("key", String(400), nullable=False),  # 'plan' makes the step's other items
    Column("payload", JSON, nullable=False),
    Column("state", String(10), nullable=False),  # ready | leased | done | dead
    Column("not_before", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),  # times claimed; names lake parts, so it never goes back
    Column("failures", Integer, nullable=False),  # attempts that failed for the item's own reasons
    Column("token", String(40)),
    Column("holder", String(200)),  # host, pid namespace, pid and start time of the process that holds the lease
    Column("leased_until", Instant),
    Column("announced_at", Instant),  # a message was sent
    Column("error", Text),
    Column("stats", JSON),
    Column("seconds", Float, nullable=False, server_default="0"),
    Column("created_at", Instant, nullable=False),
    Column("finished_at", Instant),
    UniqueConstraint("run_id", "step", "key"),
    Index("ix_item_state_not_before", "state", "not_before"),
)

# --- lake manifest -------------------------------------------------------------------------------------------------------------------------------
sequence = Table(
    "sequence",
    metadata,
    # One row, 'lake'. Incremented in every transaction that changes the lake's file set, so its row lock puts those transactions in one order and a
    # run's pin is a clean cut. A plain autoincrement id is given out before commit and can appear late on PostgreSQL.
    Column("name", String(20), primary_key=True),
    Column("value", Id, nullable=False),
)

lake_file = Table(
    "lake_file",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("table_name", String(60), nullable=False),
    Column("path", String(300), nullable=False, unique=True),  # relative to the lake's root
    Column("rows", Id, nullable=False),
    Column("bytes", Id, nullable=False),
    Column("run_id", String(40)),  # null for compacted parts
    Column("added_seq", Id, nullable=False),
    Column("retired_seq", Id),  # null = current
    Column("retired_run", String(40)),
    Index("ix_lake_file_table_name", "table_name"),
)

# --- reading -------------------------------------------------------------------------------------------------------------------------------------
cursor = Table(
    "cursor",
    metadata,
    Column("connection", String(40), primary_key=True),
    Column("entity", String(40), primary_key=True),
    Column("source", Integer, primary_key=True),
    Column("value", Text, nullable=False),
    Column("moved_at", Instant, nullable=False),
)

usage_file = Table(
    "usage_file",
    metadata,
    Column("id", String(64), primary_key=True),  # file_id in the lake's usage tables
    Column("source", String(40), nullable=False),
    Column("path", Text, nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("size", Id, nullable=False),
    Column("modified_at", Instant, nullable=False),
    Column("state", String(12), nullable=False),  # live | replaced | failed | vanished (kept and reported)
    Column("rows_in", Id, nullable=False),
    Column("rows_done", Id, nullable=False),
    Column("rows_set_aside", Id, nullable=False),
    Column("first_day", Date),
    Column("last_day", Date),
    Column("run_id", String(40), nullable=False),
    Column("error", Text),
    Index("ix_usage_file_source", "source"),
)

resync_request = Table(
    "resync_request",
    metadata,
    Column("connection", String(40), primary_key=True),
    Column("account_id", String(40), primary_key=True),
    Column("value", String(40), primary_key=True),  # canonical text of the request field; handled once
    Column("run_id", String(40)),
    Column("seen_at", Instant, nullable=False),
    Column("handled_at", Instant),
)

# --- writing -------------------------------------------------------------------------------------------------------------------------------------
csql_key = Table(
    "csql_key",
    metadata,
    Column("external_key", String(120), primary_key=True),  # given out once, never reused
    Column("account_id", String(40), nullable=False),
    Column("product", String(80), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("rule", String(40), nullable=False),
    Column("run_id", String(40), nullable=False),
    UniqueConstraint("account_id", "product", "sequence"),
)

hold = Table(
    "hold",
    metadata,
    Column("connection", String(40), primary_key=True),  # '' = from before it was noted, and several were served
    Column("object", String(20), primary_key=True),
    Column("record_id", String(40), primary_key=True),
    Column("field", String(60), primary_key=True),
    Column("crm_value", Text),  # what the person put there; null = emptied
    Column("since", Instant, nullable=False),
    Column("run_id", String(40), nullable=False),
    Column("released_at", Instant),  # null = held
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("connection", String(40), nullable=False),
    Column("object", String(20), nullable=False),
    Column("record_key", String(140), nullable=False),  # record id, or external key where there is no record yet
    Column("field", String(60), nullable=False),  # '' = the whole record
    Column("account_id", String(40)),
    Column("value_hash", String(64), nullable=False),  # of the refused values: the same is not sent again
    Column("code", String(80), nullable=False),
    Column("text", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Instant),  # null = only by hand
    Column("state", String(12), nullable=False),  # open | retry (an admin asked) | closed
    Column("run_id", String(40), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("connection", "object", "record_key", "field"),
)

bulk_job = Table(
    "bulk_job",
    metadata,
    Column("item_id", Id, primary_key=True),
    Column("job_id", String(40), primary_key=True),
    Column("connection", String(40), nullable=False),
    Column("object", String(20), nullable=False),
    Column("state", String(12), nullable=False),  # open | uploaded | complete | failed | aborted
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("name", String(120), primary_key=True),  # e.g. write/salesforce
    Column("fence", Id, nullable=False),  # grows at each change of hands
    Column("holder", String(200)),  # null = free
    Column("until", Instant, nullable=False),
)

# --- telling people ------------------------------------------------------------------------------------------------------------------------------
flip = Table(
    "flip",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("run_id", String(40), nullable=False),
    Column("rule", String(60), nullable=False),  # alert name
    Column("account_id", String(40), nullable=False),
    Column("product", String(80), nullable=False),  # '' = of the account
    Column("on_", Date, nullable=False),
    Column("value", String(80), nullable=False),  # what it turned to
    Column("channel", String(20), nullable=False),
    Column("text", Text, nullable=False),
    Column("also", String(60), nullable=False, server_default=""),  # further channels, joined by '+'
    Column("recipient", String(40)),  # CRM user it is meant for; null = nobody is named
    Column("routed", String(12)),  # csm | owner | partner: whose user that is
    UniqueConstraint("rule", "account_id", "product", "on_", "value"),
)

delivery = Table(
    "delivery",
    metadata,
    Column("key", String(64), primary_key=True),  # of the flip and the channel; goes with the message so that a doubled one can be told
    Column("flip_id", Id, ForeignKey("flip.id", ondelete="CASCADE"), nullable=False),
    Column("channel", String(20), nullable=False),
    Column("state", String(12), nullable=False),  # open | sent | cooled | failed
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    Column("sent_at", Instant),
)

# --- people and closings -------------------------------------------------------------------------------------------------------------------------
closing = Table(
    "closing",
    metadata,
    Column("on_", Date, primary_key=True),  # a date in the company's time zone, closed by a full run
    Column("run_id", String(40), nullable=False),
    Column("as_of", Instant, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("occurred_at", Instant, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("action", String(40), nullable=False),  # run.approve, run.resume, dead_letter.retry, hold.release …
    Column("target", String(200), nullable=False),
    Column("detail", JSON),
)
