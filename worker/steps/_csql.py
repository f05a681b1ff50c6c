"""CSQL: signals over account × product × rule, persistence, gates, cool-down, and the moves that the worker owns.

People own every state past Candidate; the worker opens, updates, expires and completes records, and never moves one that a person moved.
"""

from collections.abc import Mapping

import duckdb

from connectors.entities import Entity, columns
from mappings.models import CsqlRule, Gate, Mappings
from worker.sql import literal, query_sql
from worker.steps._alerts import ALERT, build_alerts, load_alert_config
from worker.steps._calendar import add_business_days_sql
from worker.steps._crm import load_latest
from worker.steps._csql_load import hold_to_cap
from worker.steps._patterns import PATTERN, build_patterns
from worker.steps._relations import LakeRelations, Moment, columns_of
from worker.steps._texts import case_sql, text_sql

#: The words sales sees: new, working, opportunity, on hold; a candidate is not theirs yet.
STATE_WORDS = {
    "Candidate": ("Candidate", "候補"),
    "Submitted": ("New", "新着"),
    "Accepted": ("Working", "対応中"),
    "Meeting": ("Working", "対応中"),
    "Opportunity": ("Opportunity", "商談化"),
    "Nurture": ("On hold", "保留"),
}

#: What stands before the reason where no CSQL is open.
HELD_BACK = {"en": "Held back: ", "ja": "見送り中:"}

#: Furthest last. A record on hold is behind one that somebody works.
STATE_ORDER = ("Candidate", "Nurture", "Submitted", "Accepted", "Meeting", "Opportunity")

#: own_<key> columns of crm_csql that are read: key -> type as a person or we left it.
_OWN = {
    "nurture_until": "DATE", "opened_on": "DATE", "motion": "VARCHAR", "rule": "VARCHAR", "title": "VARCHAR", "need": "VARCHAR", "why_now": "VARCHAR",
    "amount": "VARCHAR", "seats_suggested": "VARCHAR", "approach_score": "VARCHAR", "health_score": "VARCHAR", "health_tier": "VARCHAR",
    "coverage": "VARCHAR", "during_onboarding": "VARCHAR", "since_on": "VARCHAR", "accept_by": "VARCHAR", "expires_on": "VARCHAR",
    "currency": "VARCHAR", "config_version": "VARCHAR", "merged_into": "VARCHAR",
    "return_reason": "VARCHAR", "assigned_to": "VARCHAR", "closed_by": "VARCHAR", "amount_won": "VARCHAR",
}  # fmt: skip


def build_signals(
    con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, run_id: str, history: str, signals: str
) -> None:
    """Temp tables q_now, q_persisted and `signals` (the rows to append). Needs d_row, scores, account_products.

    Alerts are signals with product ''.
    """
    on = literal(moment.on)
    con.execute(query_sql("csql", "earlier_signals", on=on, signal_history=signals, some="account_id IN (SELECT account_id FROM scores)"))
    con.execute(query_sql("csql", "product_row"))
    _load_rules(con, mappings)
    load_alert_config(con, mappings)
    branches = [query_sql("csql", "rule_signals", rule=literal(r.name), over=_over(r), when=r.when) for r in _rules(mappings)]
    build_alerts(con, mappings)
    build_patterns(con, mappings)
    con.execute(
        "CREATE OR REPLACE TEMP TABLE q_true AS "
        + " UNION ALL ".join([*branches, "SELECT account_id, '' AS product, rule FROM d_alert", "SELECT account_id, '', rule FROM d_pattern"])
    )
    con.execute(query_sql("csql", "signals_now", on=on))
    con.execute(query_sql("csql", "signals", on=on, run_id=literal(run_id), as_of=literal(moment.as_of)))
    con.execute(query_sql("csql", "unscored_days", on=on, history=history))
    con.execute(query_sql("csql", "persisted", on=on))


def _rules(mappings: Mappings) -> list[CsqlRule]:
    return [mappings.csql[name] for name in sorted(mappings.csql)]


def _over(rule: CsqlRule) -> str:
    return "owned" if rule.over == "owned" else "NOT owned AND sell"


def _load_rules(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> None:
    rows = [
        f"({literal(r.name)}, {r.persist_days}, {literal(r.motion)}, {literal(r.trusted)}, {literal(f'{r.name} v{r.version}')}, "
        f"{literal(r.title.en)}, {literal(r.title.ja)})"
        for r in _rules(mappings)
    ] + [f"({literal(ALERT + name)}, NULL, NULL, false, NULL, NULL, NULL)" for name, a in sorted(mappings.alerts.items()) if a.over == "account"]
    rows += [f"({literal(PATTERN + name)}, NULL, NULL, false, NULL, NULL, NULL)" for name in sorted(mappings.patterns)]
    kinds = {"rule": "VARCHAR", "persist_days": "BIGINT", "motion": "VARCHAR", "trusted": "BOOLEAN", "rule_text": "VARCHAR", "title_en": "VARCHAR"}
    kinds["title_ja"] = "VARCHAR"
    typed = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in kinds.items())
    values = ", ".join(rows) or "(NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
    con.execute(f"CREATE OR REPLACE TEMP TABLE q_rule AS SELECT {typed} FROM (VALUES {values}) AS v({', '.join(kinds)}) WHERE rule IS NOT NULL")


def decide_csqls(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, *, full: bool = True) -> None:
    """Temp tables csql_desired, q_account (flag, count and texts per account), csqls and csqls_waiting. Needs what `load_csqls` loads."""
    on, policy = literal(moment.on), mappings.policy
    days = policy.cooldown_days
    open_states = ", ".join(literal(s) for s in policy.open_states)
    con.execute(
        query_sql(
            "csql", "cooldowns", expired=str(days.get("expired", 0)), lost=str(days.get("lost", 0)), returned=str(days.get("returned", 0)),
            declined_twice=str(days.get("declined_twice", 0)), open_states=open_states,
            next_budget_year=_next_budget_year("closed_on", mappings),
            deleted_on=f"CAST(timezone({literal(moment.timezone)}, c.modified_at) AS DATE)",
        )
    )  # fmt: skip
    con.execute(query_sql("csql", "candidates", **_candidate_slots(mappings, moment, muted_rules(con, mappings))))
    con.execute(query_sql("csql", "chosen"))
    own = {f"own_{key}": f"o.own_{key}" for key in _OWN}
    accept_by = add_business_days_sql(on, policy.accept_business_days)
    expire_days = str(policy.expire_days)
    con.execute(
        query_sql(
            "csql_life", "open_records", on=on, open_states=open_states, expire_days=expire_days, nurture_days=str(days.get("nurture", 45)),
            own_rule="j.own_rule", next_budget_year=_next_budget_year("r.state_on", mappings),
            order=", ".join(literal(s) for s in open_order(mappings)),
        )
    )  # fmt: skip
    hold_to_cap(con, lake, policy, moment, full=full)
    con.execute(query_sql("csql", "desired", on=on, expire_days=expire_days, accept_by=accept_by, **own))
    con.execute(query_sql("csql_life", "csql_list", open_states=open_states))
    order = open_order(mappings)
    words = {lang: case_sql("f.top.state", [(s, literal(STATE_WORDS.get(s, (s, s))[i])) for s in order]) for i, lang in enumerate(("en", "ja"))}
    con.execute(
        query_sql(
            "csql", "account_words", open_states=open_states, order=", ".join(literal(s) for s in order), state_en=words["en"], state_ja=words["ja"],
            **{f"held_back_{lang}": literal(text) for lang, text in HELD_BACK.items()},
        )
    )  # fmt: skip


def _next_budget_year(day: str, mappings: Mappings) -> str:
    """The first day of the budget year after a day."""
    month = mappings.calendar.fiscal_month
    return f"make_date(year({day}) + CASE WHEN month({day}) >= {month} THEN 1 ELSE 0 END, {month}, 1)"


def muted_rules(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> dict[str, tuple[int, int]]:
    """Rule -> (accepted, tried) of those whose present version is mostly returned. Needs q_result."""
    mute, versions = mappings.policy.mute, {f"{r.name} v{r.version}": r.name for r in _rules(mappings)}
    found = con.execute(f"SELECT rule, accepted, tried FROM q_result WHERE tried >= {mute.tries} AND accepted * 100 < {mute.below_percent} * tried")
    rows = {versions[rule]: (int(accepted), int(tried)) for rule, accepted, tried in found.fetchall() if rule in versions}
    return {name: counts for name, counts in sorted(rows.items()) if name not in mappings.policy.unmute}


def open_order(mappings: Mappings) -> list[str]:
    """The open states, furthest last; those that only this firm has come after ours."""
    states = mappings.policy.open_states
    return [s for s in STATE_ORDER if s in states] + [s for s in states if s not in STATE_ORDER]


def load_csqls(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment) -> None:
    """Temp tables j_csql, q_life, q_record, q_sequence, q_sla and q_result: the records as they stand. Needs j_master and calendar."""
    relation = lake.crm[Entity.CSQL]
    present = columns_of(con, relation)
    exprs = {name: f"r.{name}" for name in columns(Entity.CSQL)}
    exprs |= {f"own_{key}": f"TRY_CAST(r.own_{key} AS {kind})" if f"own_{key}" in present else f"CAST(NULL AS {kind})" for key, kind in _OWN.items()}
    load_latest(con, relation, "j_csql", part=lake.part, exprs=exprs)
    zone = literal(moment.timezone)
    con.execute(query_sql("csql_life", "life", relation=relation, writes=lake.writes, part=lake.part, on_=f"CAST(timezone({zone}, seen_at) AS DATE)"))
    con.execute(
        query_sql(
            "csql", "records", writes=lake.writes, created_on=f"CAST(timezone({zone}, c.created_at) AS DATE)",
            written_on=f"CAST(timezone({zone}, w.written_at) AS DATE)",
        )
    )  # fmt: skip
    con.execute(query_sql("csql", "sequences", writes=lake.writes, csql_keys=lake.csql_keys))
    contact_by = add_business_days_sql("l.accepted_on", mappings.policy.contact_business_days)
    con.execute(query_sql("csql_life", "sla", on=literal(moment.on), contact_by=contact_by))
    con.execute(query_sql("csql_life", "rule_results"))


def _candidate_slots(mappings: Mappings, moment: Moment, muted: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    rules = _rules(mappings)

    def per_rule(expr: str, kind: str) -> str:
        cases = [(r.name, f"TRY(CAST({value} AS {kind}))") for r in rules if (value := getattr(r, expr))]
        return f"CAST({case_sql('p.rule', cases)} AS {kind})"

    judged = case_sql("r.csm_judgement", [(j.value, str(j.points)) for j in mappings.policy.judgement], "DOUBLE")
    slots = {
        "approach": per_rule("approach", "DOUBLE") + f" + coalesce({judged}, 0)",
        "amount": per_rule("amount", "DECIMAL(18, 4)"),
        "seats": per_rule("seats_suggested", "BIGINT"),
    }
    for lang in ("en", "ja"):
        slots[f"need_{lang}"] = case_sql("rule", [(r.name, text_sql(getattr(r.need, lang), lang)) for r in rules])
        said = case_sql("csm_judgement", [(j.value, text_sql(getattr(j.text, lang), lang)) for j in mappings.policy.judgement])
        slots[f"why_{lang}"] = case_sql("rule", [(r.name, text_sql(getattr(r.why_now, lang), lang)) for r in rules]) + f" || coalesce({said}, '')"
    return slots | {"gates": ", ".join(_gates(mappings, moment, muted))}


def _gates(mappings: Mappings, moment: Moment, muted: Mapping[str, tuple[int, int]]) -> list[str]:
    """Each gate as an expression: null where it holds or does not apply, else its name and texts. Null of its condition counts as not holding."""
    gates = [_cooldown_gate(moment)]
    for name, (accepted, tried) in muted.items():
        en, ja = f"the rule rests: sales accepted {accepted} of {tried}", f"このルールは休止中です(営業の受諾{tried}件中{accepted}件)"
        gates.append(f"CASE WHEN rule = {literal(name)} THEN {{'name': 'muted', 'en': {literal(en)}, 'ja': {literal(ja)}}} END")
    for gate in mappings.policy.gates:
        rules = [r.name for r in _rules(mappings) if gate.always or gate.name in r.gates]
        if rules:
            gates.append(_gate_sql(gate, f"rule IN ({', '.join(literal(r) for r in rules)})"))
    return gates


def standing_gates(mappings: Mappings, moment: Moment) -> list[str]:
    """The gates that hold for every rule, likewise, over a product without any rule."""
    return [_cooldown_gate(moment), *(_gate_sql(gate, "true") for gate in mappings.policy.gates if gate.always)]


def _cooldown_gate(moment: Moment) -> str:
    cool = {"en": "not to be offered again before {cooldown_until:date}", "ja": "{cooldown_until:date}まではご提案を控える期間です"}
    words = ", ".join(f"'{lang}': {text_sql(text, lang)}" for lang, text in cool.items())
    return f"CASE WHEN cooldown_until > {literal(moment.on)} THEN {{'name': 'cooldown', {words}}} END"


def _gate_sql(gate: Gate, applies: str) -> str:
    words = ", ".join(f"'{lang}': {text_sql(getattr(gate.text, lang), lang)}" for lang in ("en", "ja"))
    holds = f"coalesce(TRY(CAST(({gate.when}) AS BOOLEAN)), false)"
    return f"CASE WHEN {applies} AND NOT {holds} THEN {{'name': {literal(gate.name)}, {words}}} END"
