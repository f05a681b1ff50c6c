"""Columns of the lake's own tables, DuckDB types; `crm_<entity>` tables come from `connectors.entities` and the mappings.

Grain and meaning are in docs/architecture.md. They type a table that has no part yet and fill columns that older parts lack with null.
"""

from collections.abc import Mapping, Sequence

from connectors.entities import Entity, columns

_USAGE = {"file_id": "VARCHAR", "tenant_key": "VARCHAR", "product": "VARCHAR"}
_REJECTS = dict.fromkeys(("run_id", "source", "where_", "column_", "value", "reason", "remedy"), "VARCHAR")

SCHEMAS: dict[str, dict[str, str]] = {
    "usage_tenant_day": {**_USAGE, "feature": "VARCHAR", "day": "DATE", "events": "BIGINT", "seconds": "BIGINT"},
    "usage_user_days": {**_USAGE, "user_hash": "UBIGINT", "block": "INTEGER", "days": "UBIGINT"},
    "usage_file_days": {"file_id": "VARCHAR", "day": "DATE", "rows": "BIGINT"},
    "usage_snapshot": {**_USAGE, "metric": "VARCHAR", "value": "DOUBLE", "occurred_at": "DATE"},
    "usage_ids": {"file_id": "VARCHAR", "id_hash": "UBIGINT"},
    "usage_rejects": _REJECTS,
    "crm_rejects": _REJECTS,
    "score_history": {
        "account_id": "VARCHAR",
        "on_": "DATE",
        "score": "BIGINT",
        "score_uncapped": "DOUBLE",
        "tier": "BIGINT",
        "deployment": "DOUBLE",
        "adoption": "DOUBLE",
        "engagement": "DOUBLE",
        "outcome": "DOUBLE",
        "coverage": "DOUBLE",
        "profile": "VARCHAR",
        "config_version": "VARCHAR",
        "capped_by": "VARCHAR",
        "state": "VARCHAR",
        "run_id": "VARCHAR",
        "as_of": "TIMESTAMPTZ",
    },
    "signal_history": {
        "account_id": "VARCHAR",
        "product": "VARCHAR",
        "rule": "VARCHAR",
        "on_": "DATE",
        "signal": "BOOLEAN",
        "since_on": "DATE",
        "run_id": "VARCHAR",
        "as_of": "TIMESTAMPTZ",
    },
    "product_score_history": {
        **dict.fromkeys(("account_id", "product"), "VARCHAR"),
        "on_": "DATE",
        "state": "VARCHAR",
        "score": "BIGINT",
        "score_uncapped": "DOUBLE",
        "tier": "BIGINT",
        **dict.fromkeys(("deployment", "adoption", "engagement", "outcome", "coverage"), "DOUBLE"),
        **dict.fromkeys(("profile", "capped_by", "config_version", "run_id"), "VARCHAR"),
        "as_of": "TIMESTAMPTZ",
    },
    "family_history": {
        "account_id": "VARCHAR",
        "on_": "DATE",
        "score_uncapped": "DOUBLE",
        "score": "BIGINT",
        "accounts": "BIGINT",
        **dict.fromkeys(("worst_id", "worst_name"), "VARCHAR"),
        "worst_score": "BIGINT",
        "run_id": "VARCHAR",
        "as_of": "TIMESTAMPTZ",
    },
    "assignment_history": {
        "account_id": "VARCHAR",
        "on_": "DATE",
        "priority": "BIGINT",
        "holder": "VARCHAR",
        "touch_suggested": "VARCHAR",
        "team": "VARCHAR",
        "owner": "VARCHAR",
        "routing_version": "DATE",
        "run_id": "VARCHAR",
        "as_of": "TIMESTAMPTZ",
    },
    "part_history": {
        "account_id": "VARCHAR",
        "on_": "DATE",
        "cards": "VARCHAR",
        "profile": "VARCHAR",
        "points": "DOUBLE[]",
        "values_": "DOUBLE[]",
        "points_hash": "UBIGINT",
        "run_id": "VARCHAR",
        "as_of": "TIMESTAMPTZ",
    },
    "scorecard_history": {
        "cards": "VARCHAR",
        "profile": "VARCHAR",
        "config_version": "VARCHAR",
        "place": "BIGINT",
        "axis": "VARCHAR",
        "axis_weight": "DOUBLE",
        "indicator": "VARCHAR",
        "weight": "DOUBLE",
        "definition": "VARCHAR",
        "ttl_days": "BIGINT",
        "mapping": "VARCHAR",
        "run_id": "VARCHAR",
        "as_of": "TIMESTAMPTZ",
    },
    "anomaly_history": {
        "account_id": "VARCHAR",
        "product": "VARCHAR",
        "rhythm": "VARCHAR",
        "on_": "DATE",
        "active": "BOOLEAN",
        "since_on": "DATE",
        "normal": "DOUBLE",
        "low": "DOUBLE",
        "run_id": "VARCHAR",
        "as_of": "TIMESTAMPTZ",
    },
    "onboarding_history": {
        "account_id": "VARCHAR",
        "plan": "VARCHAR",
        "version": "BIGINT",
        "starts_on": "DATE",
        "on_": "DATE",
        "status": "VARCHAR",
        "completed_on": "DATE",
        "as_of": "TIMESTAMPTZ",
    },
    "fit_history": {
        **dict.fromkeys(("segment", "product"), "VARCHAR"),
        "on_": "DATE",
        "proven": "BOOLEAN",
        **dict.fromkeys(("successes", "accounts", "stayed", "lost", "onboarded", "failed"), "BIGINT"),
        "run_id": "VARCHAR",
        "as_of": "TIMESTAMPTZ",
    },
    "population_stats": {
        "segment": "VARCHAR",
        "profile": "VARCHAR",
        "indicator": "VARCHAR",
        "median_points": "DOUBLE",
        "n": "BIGINT",
        "on_": "DATE",
        "as_of": "TIMESTAMPTZ",
    },
    "writes": {
        "connection": "VARCHAR",  # null in parts from before there could be two
        "object": "VARCHAR",
        "record_id": "VARCHAR",
        "external_key": "VARCHAR",
        "field": "VARCHAR",
        "value": "VARCHAR",
        "previous": "VARCHAR",
        "state": "VARCHAR",
        "run_id": "VARCHAR",
        "item_id": "BIGINT",
        "as_of": "TIMESTAMPTZ",
        "written_at": "TIMESTAMPTZ",
    },
}


def schema(table: str, own: Sequence[str] = ()) -> Mapping[str, str]:
    """Column -> DuckDB type. `own`: keys of writeback fields, for `crm_account` and `crm_csql`."""
    if table in SCHEMAS:
        return SCHEMAS[table]
    entity = Entity(table.removeprefix("crm_"))
    return {**columns(entity), "connection": "VARCHAR", "source": "INTEGER", **{f"own_{key}": "VARCHAR" for key in own}}
