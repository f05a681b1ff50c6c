"""Renewal preparation, reviews due, expansion at renewal, self-success, and the words of onboarding. Called by decide.

Leaves temp tables `renewal_steps` (account in preparation, step) and `d_renewal` (account). A step is done by what the CRM shows (`when`), else it is
taken as done once its day is past; `by_date` says which.
"""

import duckdb

from mappings.models import Mappings
from mappings.models_onboarding import Renewal, RenewalStep, SelfSuccess
from worker.sql import literal, query_sql
from worker.steps._relations import Moment
from worker.steps._texts import case_sql, joined_sql, text_sql

_STEPS = (
    "account_id VARCHAR, place BIGINT, step VARCHAR, title_en VARCHAR, title_ja VARCHAR, action_en VARCHAR, action_ja VARCHAR, side VARCHAR, "
    "due_on DATE, done BOOLEAN, by_date BOOLEAN"
)
_NEXT = {
    "en": (
        "{done:int} of {n:int} steps done. Next by {due_on:date}: {title}. {action}",
        "{done:int} of {n:int} steps done. Was due on {due_on:date}: {title}. {action}",
    ),
    "ja": (
        "{n:int}件中{done:int}件が済んでいます。次は「{title}」({due_on:date}まで)です。{action}",
        "{n:int}件中{done:int}件が済んでいます。「{title}」が期限({due_on:date})を過ぎています。{action}",
    ),
}
_OVERDUE = {
    "en": ("1 set-up step overdue: {steps}", "{steps_overdue:int} set-up steps overdue: {steps}"),
    "ja": ("初期設定が1件、予定日を過ぎています:{steps}", "初期設定が{steps_overdue:int}件、予定日を過ぎています:{steps}"),
}


def build_renewal(con: duckdb.DuckDBPyConnection, mappings: Mappings, moment: Moment) -> None:
    """Needs d_row, q_account, account_products and j_product."""
    renewal, on = mappings.renewal, literal(moment.on)
    con.execute(query_sql("renewal", "row", span=_span_sql(renewal)))
    con.execute(f"CREATE OR REPLACE TEMP TABLE renewal_steps ({_STEPS})")
    if renewal.steps:
        con.execute(query_sql("renewal", "preparing", on=on))
        union = " UNION ALL ".join(_step_sql(renewal, place, step, on) for place, step in enumerate(renewal.steps))
        con.execute(f"INSERT INTO renewal_steps BY NAME {union}")
    con.execute(query_sql("renewal", "renewal", on=on, any_steps=literal(bool(renewal.steps)), **_slots(mappings)))


def _span_sql(renewal: Renewal) -> str:
    """Days of preparation: the segment's months, but no more than half of the term."""
    months = case_sql_number("r.segment", renewal.segments, renewal.start_months)
    return f"least({months} * 30, coalesce(r.term_months * 15, {renewal.start_months * 30}))"


def case_sql_number(on: str, branches: dict[str, int], otherwise: int | None) -> str:
    """A CASE over literal keys to whole numbers."""
    last = "NULL" if otherwise is None else str(otherwise)
    whens = " ".join(f"WHEN {literal(key)} THEN {value}" for key, value in branches.items())
    return f"(CASE {on} {whens} ELSE {last} END)" if branches else f"CAST({last} AS BIGINT)"


def _step_sql(renewal: Renewal, place: int, step: RenewalStep, on: str) -> str:
    due = f"notice_on - CAST(round({step.days_before} * prep_days / {renewal.start_months * 30}) AS INTEGER)"
    shown = f"coalesce(TRY(CAST(({step.when}) AS BOOLEAN)), false)" if step.when else f"({due} < {on})"
    return query_sql(
        "renewal", "step", place=str(place), step=literal(step.name), title_en=literal(step.title.en), title_ja=literal(step.title.ja),
        action_en=text_sql(step.action.en, "en"), action_ja=text_sql(step.action.ja, "ja"), side=literal(step.side),
        days_before=str(step.days_before), default_days=str(renewal.start_months * 30), done=shown, by_date=literal(step.when is None),
    )  # fmt: skip


def _slots(mappings: Mappings) -> dict[str, str]:
    renewal, phases = mappings.renewal, {p.name: p.title for plan in mappings.onboarding.values() for v in plan.versions for p in v.phases}
    others = {segment: days for segment, days in renewal.qbr_days.items() if segment != "default"}
    slots = {
        "qbr_days": case_sql_number("r.segment", others, renewal.qbr_days.get("default")),
        "expansion": f"TRY(CAST(({renewal.expansion_when}) AS BOOLEAN))" if renewal.expansion_when else "false",
        "tech": _tech_sql(mappings.self_success),
    }
    for lang in ("en", "ja"):
        named = {"done": "s.done", "n": "s.n", "due_on": "s.next.due_on", "title": f"s.next.{lang}", "action": f"s.next.action_{lang}"}
        ahead, past = (text_sql(text, lang, named) for text in _NEXT[lang])
        slots[f"next_{lang}"] = f"CASE WHEN s.next.due_on < r.as_of_on THEN {past} ELSE {ahead} END"
        signs = [f"CASE WHEN {_holds(s.when)} THEN {text_sql(getattr(s.text, lang), lang)} END" for s in mappings.self_success.signs]
        slots[f"why_{lang}"] = joined_sql(signs, "; " if lang == "en" else "。")
        slots[f"phase_{lang}"] = case_sql("r.onboarding_phase", [(name, literal(getattr(title, lang))) for name, title in phases.items()])
        one, several = (text_sql(text, lang, {"steps": f"r.overdue_steps_title_{lang}"}) for text in _OVERDUE[lang])
        slots[f"overdue_{lang}"] = f"CASE WHEN r.steps_overdue = 1 THEN {one} ELSE {several} END"
    return slots


def _holds(condition: str) -> str:
    return f"coalesce(TRY(CAST(({condition}) AS BOOLEAN)), false)"


def _tech_sql(found: SelfSuccess) -> str:
    """Enough signs in the first days, and nothing against it."""
    if not found.signs:
        return "false"
    signs = " + ".join(f"CAST({_holds(s.when)} AS INTEGER)" for s in found.signs)
    against = f" AND NOT {_holds(found.unless)}" if found.unless else ""
    return f"(r.days_since_start BETWEEN 0 AND {found.days} AND {signs} >= {found.at_least}{against})"
