"""Onboarding per account and plan: criteria in their version, steps with their days, status, completion. Called by join.

Leaves temp tables `onboarding` (account, plan), `onboarding_steps` (account, plan, step), `onboarding_changes` (what record appends to
`onboarding_history`) and `o_renewal`. Null = unknown: a plan whose steps nothing reports on has no status, and nobody is called overdue for it.
"""

from datetime import date, timedelta
from typing import Any

import duckdb

from mappings.models import Mappings
from mappings.models_onboarding import OnboardingPlan, OnboardingStep, OnboardingVersion
from worker.sql import literal, query_sql
from worker.steps._crm import _day_sql as day_sql
from worker.steps._relations import LakeRelations, Moment
from worker.steps._texts import text_sql
from worker.steps._usage import _table as table_of

#: Who started longer ago is not looked at any more. Chosen: two years hold every cohort that a report compares.
LOOKED_AT_DAYS = 730
#: Overdue steps named on a record; the others are counted. Chosen: what fits a line.
NAMED = 4

_DUE = {
    "en": ("“{title}” is due on {due_on:date}. {action}", "“{title}” was due on {due_on:date}. {action}", "Material: {material}"),
    "ja": ("「{title}」の予定日は{due_on:date}です。{action}", "「{title}」が予定日({due_on:date})を過ぎています。{action}", "手順:{material}"),
}
_ACTION = {"en": "Agree on a date for it with the administrator", "ja": "管理者様と実施日を決めてください"}


def build_onboarding(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment) -> None:
    """Needs the facts of `_crm` and `_usage`. Makes its tables also where there is no plan: then they are empty."""
    on, as_of = literal(moment.on), literal(moment.as_of)
    _load_plans(con, mappings)
    con.execute(query_sql("onboarding", "starts", since=literal(moment.on - timedelta(days=LOOKED_AT_DAYS))))
    con.execute(query_sql("onboarding", "runs"))
    con.execute(query_sql("onboarding", "snapshot"))
    con.execute(query_sql("onboarding", "touches", as_of=as_of, done_on=day_sql("done", moment.timezone)))
    con.execute(query_sql("onboarding", "facts"))
    con.execute(query_sql("onboarding", "steps", on=on, when=_when_sql(mappings)))
    con.execute(query_sql("onboarding", "earlier", on=on, history=lake.onboarding_history))
    slots = {f"due_{lang}": text_sql("{due_on:date}", lang) for lang in ("en", "ja")}
    slots |= {f"next_{lang}": _next_sql(lang) for lang in ("en", "ja")}
    con.execute(query_sql("onboarding", "onboarding", on=on, named=str(NAMED), **slots))
    con.execute(query_sql("onboarding", "changes", on=on, as_of=as_of))
    con.execute(query_sql("onboarding", "renewals", on=on))


def _steps(mappings: Mappings) -> list[tuple[OnboardingPlan, OnboardingVersion, int, OnboardingStep]]:
    return [(p, v, n, s) for p in mappings.onboarding.values() for v in p.versions for n, s in enumerate(v.steps)]


def _load_plans(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> None:
    """Temp tables o_plan_product, o_version, o_step and o_step_kind."""
    plans = list(mappings.onboarding.values())
    products: list[dict[str, Any]] = [
        {"plan": p.name, "product": code, "size": len(p.products), "together_days": p.together_days} for p in plans for code in p.products
    ]
    table_of(con, "o_plan_product", products, {"plan": "VARCHAR", "product": "VARCHAR", "size": "BIGINT", "together_days": "BIGINT"})
    days = {p.code: p.onboarding_days for p in mappings.products.products}
    versions: list[dict[str, Any]] = [
        {
            "plan": p.name, "version": v.version, "valid_from": v.valid_from or date(1900, 1, 1),
            "days": v.days or max((days[code] for code in p.products if code in days), default=90),
        }
        for p in plans for v in p.versions
    ]  # fmt: skip
    table_of(con, "o_version", versions, {"plan": "VARCHAR", "version": "BIGINT", "valid_from": "DATE", "days": "BIGINT"})
    rows = [_step_row(p, v, n, s) for p, v, n, s in _steps(mappings)]
    kinds = dict.fromkeys(
        (
            "plan",
            "step",
            "phase",
            "phase_en",
            "phase_ja",
            "title_en",
            "title_ja",
            "action_en",
            "action_ja",
            "material",
            "product",
            "subject",
            "metric",
        ),
        "VARCHAR",
    )
    kinds |= {"version": "BIGINT", "place": "BIGINT", "due_days": "BIGINT", "setup_steps": "BIGINT", "at_least": "DOUBLE", "kinds": "VARCHAR[]"}
    table_of(con, "o_step", rows, kinds)
    con.execute("CREATE OR REPLACE TEMP TABLE o_step_kind AS SELECT DISTINCT unnest(kinds) AS kind FROM o_step")


def _step_row(plan: OnboardingPlan, version: OnboardingVersion, place: int, step: OnboardingStep) -> dict[str, Any]:
    phase = next((p for p in version.phases if p.name == step.phase), version.phases[0])
    return {
        "plan": plan.name, "version": version.version, "step": step.name, "place": place, "phase": phase.name, "phase_en": phase.title.en,
        "phase_ja": phase.title.ja, "title_en": step.title.en, "title_ja": step.title.ja, "due_days": step.due_days,
        "action_en": step.action.en if step.action else None, "action_ja": step.action.ja if step.action else None, "material": step.material,
        "product": step.product or plan.products[0], "subject": step.activity.subject if step.activity else None,
        "kinds": list(step.activity.kinds) if step.activity else [], "setup_steps": step.setup_steps, "metric": step.metric,
        "at_least": step.at_least,
    }  # fmt: skip


def _when_sql(mappings: Mappings) -> str:
    """The `when` of a row's own step; null for steps without one. Columns of a step and of o_fact have different names."""
    branches = [
        f"WHEN w.plan = {literal(p.name)} AND w.version = {v.version} AND w.step = {literal(s.name)} THEN TRY(CAST(({s.when}) AS BOOLEAN))"
        for p, v, _, s in _steps(mappings)
        if s.when
    ]
    return f"(CASE {' '.join(branches)} END)" if branches else "CAST(NULL AS BOOLEAN)"


def _next_sql(lang: str) -> str:
    """The next step in words: whether its day is past, what to do, and where the material is."""
    slots = {"title": f"title_{lang}", "action": f"coalesce(action_{lang}, {literal(_ACTION[lang])})"}
    ahead, past, material = _DUE[lang]
    end, gap = {"en": (".", ". "), "ja": ("", "。")}[lang]
    said = f"CASE WHEN overdue THEN {text_sql(past, lang, slots)} ELSE {text_sql(ahead, lang, slots)} END"
    return f"({said} || CASE WHEN material IS NULL THEN {literal(end)} ELSE {literal(gap)} || {text_sql(material, lang)} END)"
