"""Patterns: named shapes of an account that a single number hides, and the status of its use. Each is a signal, so its beginning and end are kept."""

from datetime import date

import duckdb

from mappings.models import Mappings
from worker.sql import literal, query_sql
from worker.steps._override import override_slots
from worker.steps._texts import holds_sql, text_sql, told_sql

#: Before a pattern's name where signals are kept.
PATTERN = "pattern/"


def build_patterns(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> None:
    """Temp table d_pattern: account and pattern that holds today, with its texts. Needs d_row."""
    rules = []
    for name, pattern in sorted(mappings.patterns.items()):
        texts = {"rule": literal(PATTERN + name)} | {f"text_{lang}": text_sql(getattr(pattern.text, lang), lang) for lang in ("en", "ja")}
        action = pattern.action
        texts |= {f"action_{lang}": text_sql(getattr(action, lang), lang) if action else "NULL" for lang in ("en", "ja")}
        rules.append((f"state = 'scored' AND {holds_sql(pattern.when)}", texts))
    con.execute(told_sql("d_pattern", rules, ("rule", "text_en", "text_ja", "action_en", "action_ja")))


def build_pattern_words(con: duckdb.DuckDBPyConnection, mappings: Mappings) -> None:
    """Adds patterns, usage status and the state of an override to d_beside. Needs d_pattern, d_row and q_now."""
    con.execute(query_sql("pattern", "words", prefix=literal(PATTERN), after=str(len(PATTERN) + 1)))
    con.execute(query_sql("pattern", "beside", usage_status=usage_status_sql(mappings), **override_slots(mappings)))


def finish_patterns(con: duckdb.DuckDBPyConnection, on: date) -> None:
    """Gives a pattern's action where there is no other, and adds the flips of another profile than before, which nobody is told of."""
    con.execute(query_sql("pattern", "actions"))
    con.execute(query_sql("pattern", "profile_flips", on=literal(on)))


def usage_status_sql(mappings: Mappings) -> str:
    """The first usage status whose condition holds; null where none does. Over account columns."""
    cases = " ".join(f"WHEN TRY(CAST(({s.when}) AS BOOLEAN)) THEN {literal(s.value)}" for s in mappings.score.usage_status)
    return f"(CASE {cases} END)" if cases else "CAST(NULL AS VARCHAR)"
