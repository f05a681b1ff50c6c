"""The run's `changes`: one row per record and field that differs, with the connection whose record it is."""

from worker.items import StepContext
from worker.sql import literal
from worker.steps._sources import home_of

CHANGES = {
    "object": "VARCHAR", "record_id": "VARCHAR", "external_key": "VARCHAR", "account_id": "VARCHAR", "field": "VARCHAR", "crm_value": "VARCHAR",
    "our_value": "VARCHAR", "mode": "VARCHAR", "disposition": "VARCHAR", "why": "VARCHAR", "connection": "VARCHAR",
}  # fmt: skip


def changes_of(ctx: StepContext) -> str:
    """Relation of the run's changes. A run that began before changes knew their connection had one only."""
    rows = ctx.lake.relation([ctx.folder / "changes.parquet"], CHANGES)
    return f"(SELECT * REPLACE (coalesce(connection, {literal(home_of(ctx.mappings) or '')}) AS connection) FROM {rows})"
