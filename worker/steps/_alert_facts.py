"""Facts per account that alerts ask for: tickets against the months before, escalations to their end, the last NPS answer, incidents."""

from datetime import timedelta

import duckdb

from mappings.models import Mappings
from worker.sql import literal, query_sql
from worker.steps._anomaly import EVENT, event_rows, put_rows
from worker.steps._relations import Moment

#: Days before today whose incidents count.
INCIDENT_DAYS = 90


def build_alert_facts(con: duckdb.DuckDBPyConnection, mappings: Mappings, moment: Moment) -> None:
    """Temp table a_fact, one row per account that has any. Needs the tables of `load_crm` and `build_crm_facts`."""
    first, last = moment.on - timedelta(days=INCIDENT_DAYS), moment.on
    incidents = [e for e in mappings.calendar.events if e.effect == "incident"]
    put_rows(con, "a_incident", [row for e in incidents for row in event_rows(e, first, last)], EVENT)
    con.execute(
        query_sql("alert_facts", "facts", on=literal(moment.on), as_of=literal(moment.as_of), zone=literal(moment.timezone)),
    )
