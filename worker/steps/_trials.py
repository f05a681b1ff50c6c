"""Products that customers try beside those they pay for, and their use: told apart, so that a trial makes nobody look like a heavy user."""

import duckdb

from worker.sql import literal, query_sql
from worker.steps._relations import Moment, any_rows


def build_trials(con: duckdb.DuckDBPyConnection, moment: Moment) -> None:
    """Temp table j_trial, empty where no line is a trial. Needs j_line, j_owned and j_product_usage."""
    some = any_rows(con, "(SELECT 1 FROM j_line WHERE is_trial)")
    con.execute(query_sql("trials", "trials", on=literal(moment.on)) if some else query_sql("trials", "none"))
