"""The onboarding guard: CSQLs handed to sales beside onboardings that end in time, per CSM and team; a warning where one grows while the other falls.

Full runs only, and only where plans of onboarding are configured.
"""

from pathlib import Path

import duckdb

from connectors.entities import Entity
from mappings.models import Mappings
from mappings.models_csql import Guard
from worker.sql import literal, query_sql
from worker.steps._crm import load_latest
from worker.steps._lake import bring, leave
from worker.steps._relations import LakeRelations, Moment

#: Warnings that a run says one by one. Chosen: what somebody reads.
_SAID = 5


def leave_guard(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, folder: Path) -> dict[str, str]:
    """`guard` in the run folder, and its warnings for the run's report. Needs accounts, q_record and q_life, and `onboarding` in the folder."""
    if not mappings.onboarding or not (folder / "onboarding.parquet").is_file():
        return {}
    bring(con, folder, "onboarding")
    build_guard(con, lake, mappings.policy.guard, moment)
    leave(con, folder, "guard")
    return warnings(con, mappings.policy.guard)


def build_guard(con: duckdb.DuckDBPyConnection, lake: LakeRelations, guard: Guard, moment: Moment) -> None:
    """Temp table `guard`; guard.sql says its grain."""
    exprs = {name: f"r.{name}" for name in ("id", "name", "team")}
    load_latest(con, lake.crm[Entity.USER], "w_user", part=lake.part, exprs=exprs)
    con.execute(query_sql("guard", "people", user="w_user"))
    on = literal(moment.on)
    con.execute(query_sql("guard", "facts"))
    slots = {"least_csqls": str(guard.csqls), "least_settled": str(guard.settled), "fall_points": literal(guard.fall_points)}
    con.execute(query_sql("guard", "guard", on=on, days=str(guard.days), **slots))


def warnings(con: duckdb.DuckDBPyConnection, guard: Guard) -> dict[str, str]:
    """Report entries of those whose CSQLs grow while their onboardings slip; people by their CRM id."""
    columns = "kind, who, csqls, csqls_before, percent, in_time, settled, percent_before, in_time_before, settled_before"
    order = "list_position(['all', 'team', 'csm'], kind), who"
    rows = con.execute(f"SELECT {columns} FROM guard WHERE warns ORDER BY {order}").fetchall()
    said = {}
    for kind, who, csqls, before, percent, in_time, settled, percent_before, in_time_before, settled_before in rows[:_SAID]:
        subject = {"all": "Everybody", "team": f"Team {who}", "csm": f"CSM {who}"}[kind]
        said[f"csql:guard:{kind}:{who}"] = (
            f"{subject}: {csqls} CSQLs handed over in {guard.days} days ({before} in the {guard.days} before), while onboardings in time went from "
            f"{percent_before:g} % ({in_time_before} of {settled_before}) to {percent:g} % ({in_time} of {settled}). "
            f"Look whether onboarding pays for the CSQLs (`scoresync onboarding`)."
        )
    if len(rows) > _SAID:
        said["csql:guard:more"] = f"The same holds for {len(rows) - _SAID} more teams or CSMs (`scoresync onboarding`)."
    return said
