"""The first tables of the ledger. Before the code that needs it."""

import sqlalchemy as sa
from alembic import op

from worker.store import tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", tables.Id, autoincrement=True, nullable=False),
        sa.Column("occurred_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_table(
        "bulk_job",
        sa.Column("item_id", tables.Id, nullable=False),
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("connection", sa.String(length=40), nullable=False),
        sa.Column("object", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("created_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("updated_at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("item_id", "job_id", name=op.f("pk_bulk_job")),
    )
    op.create_table(
        "closing",
        sa.Column("on_", sa.Date(), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("as_of", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("on_", name=op.f("pk_closing")),
    )
    op.create_table(
        "csql_key",
        sa.Column("external_key", sa.String(length=120), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("product", sa.String(length=80), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(length=40), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("external_key", name=op.f("pk_csql_key")),
        sa.UniqueConstraint("account_id", "product", "sequence", name=op.f("uq_csql_key_account_id")),
    )
    op.create_table(
        "cursor",
        sa.Column("connection", sa.String(length=40), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("source", sa.Integer(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("moved_at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("connection", "entity", "source", name=op.f("pk_cursor")),
    )
    op.create_table(
        "dead_letter",
        sa.Column("id", tables.Id, autoincrement=True, nullable=False),
        sa.Column("connection", sa.String(length=40), nullable=False),
        sa.Column("object", sa.String(length=20), nullable=False),
        sa.Column("record_key", sa.String(length=140), nullable=False),
        sa.Column("field", sa.String(length=60), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=True),
        sa.Column("value_hash", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=80), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", tables.Instant(timezone=True), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("created_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("updated_at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter")),
        sa.UniqueConstraint("connection", "object", "record_key", "field", name=op.f("uq_dead_letter_connection")),
    )
    op.create_table(
        "flip",
        sa.Column("id", tables.Id, autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("rule", sa.String(length=60), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("product", sa.String(length=80), nullable=False),
        sa.Column("on_", sa.Date(), nullable=False),
        sa.Column("value", sa.String(length=80), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flip")),
        sa.UniqueConstraint("rule", "account_id", "product", "on_", "value", name=op.f("uq_flip_rule")),
    )
    op.create_table(
        "hold",
        sa.Column("object", sa.String(length=20), nullable=False),
        sa.Column("record_id", sa.String(length=40), nullable=False),
        sa.Column("field", sa.String(length=60), nullable=False),
        sa.Column("crm_value", sa.Text(), nullable=True),
        sa.Column("since", tables.Instant(timezone=True), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("released_at", tables.Instant(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("object", "record_id", "field", name=op.f("pk_hold")),
    )
    op.create_table(
        "lake_file",
        sa.Column("id", tables.Id, autoincrement=True, nullable=False),
        sa.Column("table_name", sa.String(length=60), nullable=False),
        sa.Column("path", sa.String(length=300), nullable=False),
        sa.Column("rows", tables.Id, nullable=False),
        sa.Column("bytes", tables.Id, nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=True),
        sa.Column("added_seq", tables.Id, nullable=False),
        sa.Column("retired_seq", tables.Id, nullable=True),
        sa.Column("retired_run", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lake_file")),
        sa.UniqueConstraint("path", name=op.f("uq_lake_file_path")),
    )
    with op.batch_alter_table("lake_file", schema=None) as batch_op:
        batch_op.create_index("ix_lake_file_table_name", ["table_name"], unique=False)

    op.create_table(
        "lease",
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("fence", tables.Id, nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=True),
        sa.Column("until", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )
    op.create_table(
        "mappings_snapshot",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_mappings_snapshot")),
    )
    op.create_table(
        "resync_request",
        sa.Column("connection", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("value", sa.String(length=40), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=True),
        sa.Column("seen_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("handled_at", tables.Instant(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("connection", "account_id", "value", name=op.f("pk_resync_request")),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("pause", sa.String(length=16), nullable=True),
        sa.Column("resume_at", tables.Instant(timezone=True), nullable=True),
        sa.Column("as_of", tables.Instant(timezone=True), nullable=False),
        sa.Column("accounts", sa.JSON(), nullable=True),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("pin", tables.Id, nullable=False),
        sa.Column("mappings_hash", sa.String(length=64), nullable=False),
        sa.Column("approved_by", sa.String(length=80), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.Column("created_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("started_at", tables.Instant(timezone=True), nullable=True),
        sa.Column("finished_at", tables.Instant(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index("ix_run_state", ["state"], unique=False)

    op.create_table(
        "sequence",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("value", tables.Id, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sequence")),
    )
    op.create_table(
        "usage_file",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("size", tables.Id, nullable=False),
        sa.Column("modified_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("rows_in", tables.Id, nullable=False),
        sa.Column("rows_done", tables.Id, nullable=False),
        sa.Column("rows_set_aside", tables.Id, nullable=False),
        sa.Column("first_day", sa.Date(), nullable=True),
        sa.Column("last_day", sa.Date(), nullable=True),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_file")),
    )
    with op.batch_alter_table("usage_file", schema=None) as batch_op:
        batch_op.create_index("ix_usage_file_source", ["source"], unique=False)

    op.create_table(
        "delivery",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("flip_id", tables.Id, nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("sent_at", tables.Instant(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["flip_id"], ["flip.id"], name=op.f("fk_delivery_flip_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_delivery")),
    )
    op.create_table(
        "item",
        sa.Column("id", tables.Id, autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("step", sa.String(length=20), nullable=False),
        sa.Column("key", sa.String(length=400), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("not_before", tables.Instant(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=40), nullable=True),
        sa.Column("holder", sa.String(length=200), nullable=True),
        sa.Column("leased_until", tables.Instant(timezone=True), nullable=True),
        sa.Column("announced_at", tables.Instant(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("stats", sa.JSON(), nullable=True),
        sa.Column("seconds", sa.Float(), server_default="0", nullable=False),
        sa.Column("created_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("finished_at", tables.Instant(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_item_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item")),
        sa.UniqueConstraint("run_id", "step", "key", name=op.f("uq_item_run_id")),
    )
    with op.batch_alter_table("item", schema=None) as batch_op:
        batch_op.create_index("ix_item_state_not_before", ["state", "not_before"], unique=False)

    op.create_table(
        "step",
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("open_items", sa.Integer(), nullable=False),
        sa.Column("started_at", tables.Instant(timezone=True), nullable=True),
        sa.Column("finished_at", tables.Instant(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_step_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "name", name=op.f("pk_step")),
    )


def downgrade() -> None:
    op.drop_table("step")
    with op.batch_alter_table("item", schema=None) as batch_op:
        batch_op.drop_index("ix_item_state_not_before")

    op.drop_table("item")
    op.drop_table("delivery")
    with op.batch_alter_table("usage_file", schema=None) as batch_op:
        batch_op.drop_index("ix_usage_file_source")

    op.drop_table("usage_file")
    op.drop_table("sequence")
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.drop_index("ix_run_state")

    op.drop_table("run")
    op.drop_table("resync_request")
    op.drop_table("mappings_snapshot")
    op.drop_table("lease")
    with op.batch_alter_table("lake_file", schema=None) as batch_op:
        batch_op.drop_index("ix_lake_file_table_name")

    op.drop_table("lake_file")
    op.drop_table("hold")
    op.drop_table("flip")
    op.drop_table("dead_letter")
    op.drop_table("cursor")
    op.drop_table("csql_key")
    op.drop_table("closing")
    op.drop_table("bulk_job")
    op.drop_table("audit")
