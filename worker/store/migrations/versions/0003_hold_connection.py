"""A hold names its connection: one that a person's edit in one CRM made says nothing of the other's copy. Before the code that needs it.

Rows that are there take the one connection of the run that found them. Where that run served several, the name stays '': the record's id still says
which it is, and the next time the field is found held the row takes its name (`registers.put_holds`).
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from worker.store import tables

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEY = ("object", "record_id", "field")
_REST = ("crm_value", "since", "run_id", "released_at")
_STAMPS = ("since", "released_at")


def upgrade() -> None:
    rows = _rows(*_KEY, *_REST)
    known = _connections()
    op.drop_table("hold")
    made = _create("connection", *_KEY)
    op.bulk_insert(made, [{**row, "connection": known.get(row["run_id"], "")} for row in rows])


def downgrade() -> None:
    rows = {tuple(row[name] for name in _KEY): row for row in _rows(*_KEY, *_REST)}
    op.drop_table("hold")
    op.bulk_insert(_create(*_KEY), list(rows.values()))


def _rows(*names: str) -> list[dict[str, Any]]:
    columns = [sa.column(name, tables.Instant(timezone=True)) if name in _STAMPS else sa.column(name) for name in names]
    return [dict(row._mapping) for row in op.get_bind().execute(sa.select(*columns).select_from(sa.table("hold")))]


def _connections() -> dict[str, str]:
    """Run -> its connection, of runs that had a single one."""
    pinned = sa.text(
        "SELECT r.id, m.body FROM run AS r JOIN mappings_snapshot AS m ON m.hash = r.mappings_hash WHERE r.id IN (SELECT run_id FROM hold)"
    )
    served = {run_id: list(json.loads(body).get("crm", {})) for run_id, body in op.get_bind().execute(pinned)}
    return {run_id: names[0] for run_id, names in served.items() if len(names) == 1}


def _create(*key: str) -> sa.Table:
    sizes = {"connection": 40, "object": 20, "record_id": 40, "field": 60}
    return op.create_table(
        "hold",
        *(sa.Column(name, sa.String(length=sizes[name]), nullable=False) for name in key),
        sa.Column("crm_value", sa.Text(), nullable=True),
        sa.Column("since", tables.Instant(timezone=True), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("released_at", tables.Instant(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_hold")),
    )
