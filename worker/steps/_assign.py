"""Whom to call first and who looks after whom: today's list per person, team, touch model and owner as priority.yml and routing.yml have them.

Teams and touch models are decided for every account of a run; lists and new owner suggestions in full runs only, since one changed account must
not move another. What earlier runs decided is in the lake table `assignment_history`, which grows only where something changed.
"""

from datetime import date

import duckdb

from connectors.entities import Entity
from mappings.models import Mappings
from mappings.models_routing import Priority, RoutingVersion
from worker.sql import literal, query_sql
from worker.steps._crm import load_latest
from worker.steps._relations import LakeRelations, Moment, any_rows
from worker.steps._texts import case_sql, text_sql

#: Prefix of the columns that hold a term's share.
_SHARE = "share_"
#: Column spread_days of an account `r`. By its id alone, so that it is the same in every run.
_SPREAD = "CAST(md5_number_lower(r.account_id) % 14 AS BIGINT)"


def assign(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, *, run_id: str, whole: bool) -> None:
    """Temp tables assigned (one row per account in scope, for `decisions`) and `assignments` (rows to append). Needs d_row, d_alert and scores.

    `whole`: every account is in the run, so lists may be decided; else they stand as the last full run left them.
    """
    on = literal(moment.on)
    version = version_on(mappings, moment.on)
    con.execute(query_sql("assign", "earlier", history=lake.assignment_history, on=on))
    _load_partners(con, lake)
    con.execute(query_sql("assign", "rows", **_row_slots(mappings, version)))
    con.execute(query_sql("assign", "listed", **_list_slots(mappings.priority)) if whole else query_sql("assign", "not_listed"))
    con.execute(query_sql("assign", "reasons", spread=_SPREAD, shares=_shares(mappings.priority), reasons=_reasons(mappings.priority)))
    owners = ", ".join(f"({literal(team.name)}, {literal(owner)})" for team in (version.teams if version else []) for owner in team.owners)
    con.execute(query_sql("assign", "owners", owners=f"(SELECT * FROM (VALUES {owners or '(NULL, NULL)'}) AS v(team, owner) WHERE team IS NOT NULL)"))
    con.execute(query_sql("assign", "assigned", whole=literal(whole), csm_stays=_csm_stays(version), **_titles(version)))
    load_latest(
        con, lake.crm[Entity.USER], "g_user", part=lake.part, where="id IN (SELECT owner FROM g_owner)", exprs={"id": "r.id", "name": "r.name"}
    )
    con.execute(query_sql("assign", "named", user="g_user"))
    valid_from = f"CAST({literal(version.valid_from if version else None)} AS DATE)"
    con.execute(query_sql("assign", "assignments", on=on, version=valid_from, run_id=literal(run_id), as_of=literal(moment.as_of)))


def version_on(mappings: Mappings, on: date) -> RoutingVersion | None:
    """The organisation that is in force on a day; null before the first."""
    return next((v for v in reversed(mappings.routing.versions) if v.valid_from <= on), None)


def _load_partners(con: duckdb.DuckDBPyConnection, lake: LakeRelations) -> None:
    """g_partner: partner-managed accounts are on the list of whoever owns the partner, never on one for the customer."""
    if not any_rows(con, "(SELECT 1 FROM d_row WHERE partner_id IS NOT NULL)"):
        con.execute(query_sql("assign", "no_partners"))
        return
    exprs = {"id": "r.id", "csm_id": "r.csm_id", "owner_id": "r.owner_id", "gone": "coalesce(r.deleted, false) OR r.master_id IS NOT NULL"}
    where = "id IN (SELECT partner_id FROM d_row)"
    load_latest(con, lake.crm[Entity.ACCOUNT], "g_partner_version", part=lake.part, where=where, exprs=exprs)
    con.execute(query_sql("assign", "partners", partner="g_partner_version"))


def _row_slots(mappings: Mappings, version: RoutingVersion | None) -> dict[str, str]:
    priority = mappings.priority
    total = sum(term.weight for term in priority.terms)
    weighed = " + ".join(f"{literal(float(t.weight))} * {_SHARE}{t.name}" for t in priority.terms)
    # six decimals: a half that binary fractions miss is a half again
    points = f"round_even(CAST(100 * ({weighed}) / {literal(float(total))} AS DECIMAL(12, 6)), 0)" if priority.terms else "0"
    touch = _first([(rule.model, rule.when) for rule in mappings.routing.touch.suggest])
    lists = {"advocacy": _holds(mappings.lists.advocacy), "innovator": _holds(mappings.lists.innovator)}
    lists["trial_user"] = _holds(mappings.lists.trial_user)
    return {"spread": _SPREAD, "shares": _shares(priority), "points": points, "touch": touch, "team": _team_sql(version), **lists}


def _holds(when: str | None) -> str:
    return f"coalesce(TRY(CAST(({when}) AS BOOLEAN)), false)" if when else "false"


def _shares(priority: Priority) -> str:
    return "".join(f", greatest(0.0, least(1.0, coalesce(TRY(CAST(({t.share}) AS DOUBLE)), 0.0))) AS {_SHARE}{t.name}" for t in priority.terms)


def _reasons(priority: Priority) -> str:
    """A list of structs points, en, ja: the terms that count, weightiest first."""
    reasons = ", ".join(
        f"CASE WHEN {_SHARE}{t.name} > 0 THEN {{'points': {literal(float(t.weight))} * {_SHARE}{t.name}, 'en': {text_sql(t.text.en, 'en')}, "
        f"'ja': {text_sql(t.text.ja, 'ja')}}} END"
        for t in priority.terms
    )
    none = "CAST(NULL AS STRUCT(points DOUBLE, en VARCHAR, ja VARCHAR)[])"
    return f"list_reverse_sort(list_filter([{reasons}], lambda x: x IS NOT NULL))" if priority.terms else none


def _first(branches: list[tuple[str, str | None]]) -> str:
    """The name of the first condition that holds; unknown does not hold."""
    if not branches:
        return "CAST(NULL AS VARCHAR)"
    said = "".join(f" WHEN {f'TRY(CAST(({when}) AS BOOLEAN))' if when else 'true'} THEN {literal(name)}" for name, when in branches)
    return f"(CASE{said} END)"


def _team_sql(version: RoutingVersion | None) -> str:
    if version is None:
        return "CAST(NULL AS VARCHAR)"
    level, period = (_first([(line.name, line.when) for line in lines]) for lines in (version.levels, version.periods))
    cells = [(f"{row}/{column}", literal(team)) for row, teams in version.matrix.items() for column, team in teams.items()]
    matrix = case_sql(f"{level} || '/' || {period}", cells)
    return f"coalesce({_first([(rule.team, rule.when) for rule in version.first])}, {matrix})"


def _list_slots(priority: Priority) -> dict[str, str]:
    first, second, third = priority.bands
    capacity = case_sql("holder", [(user, str(n)) for user, n in sorted(priority.users.items())]) if priority.users else "NULL"
    return {
        "band": f"(CASE WHEN points >= {first} THEN 1 WHEN points >= {second} THEN 2 WHEN points >= {third} THEN 3 END)",
        "edges": f"[{first}, {second}, {third}]",
        "margin": str(priority.margin),
        "capacity": f"coalesce({capacity}, {priority.capacity})",
    }


def _csm_stays(version: RoutingVersion | None) -> str:
    """Whether the account's CSM is right: always the same one, or (by stage) one of the team's owners. A team without owners suggests nobody."""
    if version is None:
        return "true"
    belongs = "EXISTS (FROM g_owner AS o WHERE o.team = g.team AND o.owner = g.csm_id)"
    staffed = "EXISTS (FROM g_owner AS o WHERE o.team = g.team)"
    return f"NOT {staffed} OR {'g.csm_id IS NOT NULL' if version.owner_model == 'life' else belongs}"


def _titles(version: RoutingVersion | None) -> dict[str, str]:
    teams = version.teams if version else []
    return {f"title_{lang}": case_sql("w.team", [(team.name, literal(getattr(team.title, lang))) for team in teams]) for lang in ("en", "ja")}
