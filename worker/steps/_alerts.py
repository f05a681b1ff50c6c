"""Alerts over the accounts of a run, and what they put on the account's record: low use in words, and the day an NPS question is due."""

import duckdb

from connectors.entities import Entity
from mappings.models import Alert, Mappings
from worker.sql import literal, query_sql
from worker.steps._crm import load_latest
from worker.steps._relations import LakeRelations
from worker.steps._texts import case_sql, holds_sql, text_sql, told_sql

#: Before an alert's name where it stands among the rules of signal_history.
ALERT = "alert/"

#: rhythm -> what is said of low use.
LOW_USE = {
    "daily": {
        "en": "{anomaly_product_title}: {anomaly_now} events in the five business days to {anomaly_until_on}, {anomaly_normal} is usual"
        " (low since {anomaly_since_on})",
        "ja": "{anomaly_product_title}の利用は{anomaly_until_on}までの5営業日で{anomaly_now}件です。"
        "通常は{anomaly_normal}件です({anomaly_since_on}から)",
    },
    "monthly_close": {
        "en": "{anomaly_product_title}: {anomaly_now} events in the 38 days to {anomaly_until_on}, {anomaly_normal} is usual for one close"
        " (low since {anomaly_since_on})",
        "ja": "{anomaly_product_title}の処理は{anomaly_until_on}までの38日間で{anomaly_now}件です。"
        "通常の月次締め1回は{anomaly_normal}件です({anomaly_since_on}から)",
    },
}
#: Days of a contract on which an NPS answer is asked for; an answer counts for a question from half-way between it and the one before.
NPS_DAYS = (30, 90)


def load_alert_config(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> None:
    """Temp table d_alert_config (rule, channel, also, cooldown_days, scored_only)."""
    kinds = {"rule": "VARCHAR", "channel": "VARCHAR", "also": "VARCHAR", "cooldown_days": "BIGINT", "scored_only": "BOOLEAN"}
    typed = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in kinds.items())
    rows = []
    for name, a in sorted(mappings.alerts.items()):
        also = "+".join(sorted(set(a.also) - {a.channel}))
        rows.append(f"({literal(ALERT + name)}, {literal(a.channel)}, {literal(also)}, {a.cooldown_days}, {literal(a.scored_only)})")
    values = ", ".join(rows) or "(NULL, NULL, NULL, NULL, NULL)"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE d_alert_config AS SELECT {typed} FROM (VALUES {values}) AS v({', '.join(kinds)}) WHERE rule IS NOT NULL"
    )


def states_sql(alert: Alert) -> str:
    """States of an account in which the alert is asked. A score held by a late feed keeps every answer as it was."""
    return "'scored'" if alert.scored_only else "'scored', 'not_scored'"


def build_alerts(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> None:
    """Temp table d_alert (account_id, rule, text_en, text_ja): account and alert that holds today. Needs d_row."""
    rules = [
        (
            f"state IN ({states_sql(a)}) AND {holds_sql(a.when)}",
            {"rule": literal(ALERT + a.name), "text_en": text_sql(a.text.en, "en"), "text_ja": text_sql(a.text.ja, "ja")},
        )
        for _, a in sorted(mappings.alerts.items())
        if a.over == "account"
    ]
    con.execute(told_sql("d_alert", rules, ("rule", "text_en", "text_ja")))


def build_recipients(con: duckdb.DuckDBPyConnection, lake: LakeRelations) -> None:
    """Temp table d_recipient (account_id, recipient, routed). Needs d_row."""
    where = "id IN (SELECT partner_id FROM d_row WHERE partner_id IS NOT NULL)"
    load_latest(con, lake.crm[Entity.ACCOUNT], "d_partner", part=lake.part, where=where, exprs={"id": "r.id", "owner_id": "r.owner_id"})
    con.execute(query_sql("decide", "recipients"))


def build_recovered(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> None:
    """Temp table d_recovered (account_id, rule, text_en, text_ja): alerts that are over, for those that say so. Needs d_row and signals."""
    told = [a for _, a in sorted(mappings.alerts.items()) if a.recovered is not None and a.over == "account"]
    slots = {
        lang: case_sql("s.rule", [(ALERT + a.name, text_sql(getattr(a.recovered, lang), lang)) for a in told]) if told else "NULL"
        for lang in ("en", "ja")
    }
    con.execute(query_sql("decide", "recovered", rules=", ".join(literal(ALERT + a.name) for a in told) or "NULL", **slots))


def alert_slots(mappings: Mappings) -> dict[str, str]:
    """Slots of the `decisions` query."""
    return {f"usage_anomaly_{lang}": _low_use_sql(lang) for lang in ("en", "ja")} | {"nps_due_on": _nps_due_sql()}


def _low_use_sql(language: str) -> str:
    cases = " ".join(f"WHEN '{rhythm}' THEN {text_sql(texts[language], language)}" for rhythm, texts in LOW_USE.items())
    note = {"en": "' (' || anomaly_note_en || ')'", "ja": "'(' || anomaly_note_ja || ')'"}[language]
    return f"(CASE WHEN anomaly_since_on IS NOT NULL THEN (CASE anomaly_rhythm {cases} END) || coalesce({note}, '') END)"


def _nps_due_sql() -> str:
    """The first question without an answer; null where no survey is connected or all are answered. It stays until somebody answers."""
    cases, before = [], 0
    for day in NPS_DAYS:
        cases.append(f"WHEN nps_last_on IS NULL OR nps_last_on < first_contract_on + {(before + day) // 2} THEN first_contract_on + {day}")
        before = day
    return f"(CASE WHEN nps_answers_180d IS NULL OR first_contract_on IS NULL THEN NULL {' '.join(cases)} END)"
