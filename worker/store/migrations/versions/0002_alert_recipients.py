"""Whom an alert is meant for, and its further channels. Before the code that needs it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("flip", sa.Column("also", sa.String(length=60), nullable=False, server_default=""))
    op.add_column("flip", sa.Column("recipient", sa.String(length=40), nullable=True))
    op.add_column("flip", sa.Column("routed", sa.String(length=12), nullable=True))


def downgrade() -> None:
    op.drop_column("flip", "routed")
    op.drop_column("flip", "recipient")
    op.drop_column("flip", "also")
