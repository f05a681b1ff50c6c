"""The longer answer to "why": second and third reasons, the split of the change, the way up, twelve weeks at a glance.

They are fields of the `standard` set. A run builds only those that are switched on; `scoresync explain` builds all of them for one account.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb

from mappings.models import Indicator, Mappings
from worker.sql import literal, query_sql
from worker.steps._points import Cards, cards_of, read_cards
from worker.steps._relations import LakeRelations, Moment
from worker.steps._split import build_split, split_text_sql
from worker.steps._texts import case_sql, text_sql
from worker.steps._way_up import build_way_up
from worker.steps._words import held_sql

#: Columns of `decisions` made here, without their language. `sparkline` has none.
REASONS = ("reason_2", "reason_3", "strength_2", "strength_3")
SPLIT, SPARKLINE, WAY_UP = "delta_split", "sparkline", "way_up"
#: Bars of a sparkline: closed weeks and today. Chosen: a quarter, the rhythm of business reviews.
WEEKS = 12

_LANGUAGES = ("en", "ja")


@dataclass(frozen=True)
class Basis:
    """The relations that the answers are built from.

    `row`: every column a text may name, per account. `first`: worst and best per account. `now`: points as of today. `scores`: account_id,
    score_before, score.
    """

    row: str = "d_row"
    parts: str = "parts"
    first: str = "d_reason"
    now: str = "(SELECT * FROM points WHERE state <> 'frozen')"
    scores: str = "(SELECT account_id, score_before, score FROM d_result WHERE state = 'scored')"
    some: str = "account_id IN (SELECT account_id FROM scores)"


def wanted(mappings: Mappings) -> set[str]:
    """Which of our columns a field that is switched on takes. A score that is rolled up from products is not made of the account's own points."""
    rolled = {SPLIT, WAY_UP} if mappings.score.rollup == "products" else set()
    asked = {f.value or f.key for f in mappings.writeback.active() if f.object == "account" and f.owner == "worker"}
    return (asked & {*REASONS, SPLIT, SPARKLINE, WAY_UP}) - rolled


def add_why(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment) -> None:
    """Puts the columns that are asked for on `decisions`."""
    need = wanted(mappings)
    tables = build_why(con, lake, mappings, moment, need, Basis())
    if tables:
        joins = " ".join(f"LEFT JOIN {t} USING (account_id)" for t in tables)
        con.execute(f"CREATE OR REPLACE TEMP TABLE decisions AS SELECT * FROM decisions {joins} ORDER BY account_id")


def build_why(
    con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, moment: Moment, need: Collection[str], basis: Basis
) -> list[str]:
    """Tables of account_id and the text columns of what is needed."""
    tables = []
    if set(REASONS) & set(need):
        con.execute(query_sql("why", "reasons", parts=basis.parts, first=basis.first))
        tables.append(
            _worded(
                con, "w_reasons", f"{basis.row} AS r JOIN w_reason AS w ON w.account_id = r.account_id", "r.account_id", _reason_columns(mappings)
            )
        )
    if SPLIT in need:
        before = moment.on - timedelta(days=mappings.score.trend.window_days)
        split_since(con, lake, mappings, basis, before)
        texts = {f"{SPLIT}_{lang}": split_text_sql(mappings, before, lang) for lang in _LANGUAGES}
        tables.append(_worded(con, "w_splits", "w_split", "account_id", texts))
    if WAY_UP in need:
        build_way_up(con, mappings, row=basis.row, parts=basis.parts)
        tables.append("w_way")
    if SPARKLINE in need:
        _build_sparkline(con, lake.score_history, moment.on, basis)
        tables.append("w_spark")
    return tables


def _worded(con: duckdb.DuckDBPyConnection, table: str, source: str, key: str, columns: Mapping[str, str]) -> str:
    listed = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {key}, {listed} FROM {source}")
    return table


# --- reasons -------------------------------------------------------------------------------------------------------------------------------------
def _reason_columns(mappings: Mappings) -> dict[str, str]:
    """An exception that holds the score down is the first reason, and the measures move one place back."""
    indicators = [mappings.indicators[name] for name in sorted(mappings.indicators)]
    columns = {}
    for place in (2, 3):
        low = f"lows[CASE WHEN {held_sql()} IS NOT NULL THEN {place - 1} ELSE {place} END]"
        for lang in _LANGUAGES:
            columns[f"reason_{place}_{lang}"] = _reason_sql(indicators, "low", low, lang)
            columns[f"strength_{place}_{lang}"] = _reason_sql(indicators, "high", f"highs[{place}]", lang)
    return columns


def _reason_sql(indicators: list[Indicator], side: str, reason: str, language: str) -> str:
    slots = {"value": f"{reason}.value", "points": f"{reason}.points"}
    return case_sql(f"{reason}.indicator", [(i.name, text_sql(getattr(getattr(i.reasons, side), language), language, slots)) for i in indicators])


# --- split ---------------------------------------------------------------------------------------------------------------------------------------
def split_since(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, basis: Basis, before: date) -> None:
    """Temp table `w_split` against what stood at the end of a day."""
    cards: dict[str, Cards] = read_cards(con, lake.scorecard_history)
    today = cards_of(mappings)
    cards[today.version] = today
    build_split(con, mappings, cards, parts=lake.part_history, now=basis.now, scores=basis.scores, before=before, some=basis.some)


# --- sparkline -----------------------------------------------------------------------------------------------------------------------------------
def _build_sparkline(con: duckdb.DuckDBPyConnection, history: str, on: date, basis: Basis) -> None:
    """Table w_spark. Weeks end on Sundays, so that the text is the same all week unless the score moves."""
    sunday = on - timedelta(days=on.isoweekday())
    weeks = [sunday - timedelta(weeks=n) for n in range(WEEKS - 2, -1, -1)]
    closed = ", ".join(f"arg_max({{'score': score}}, (on_, as_of)) FILTER (on_ <= {literal(day)}).score" for day in weeks)
    none = ", ".join("NULL" for _ in weeks)
    slots = {"weeks": closed, "none": none, "history": history, "last": literal(sunday), "row": basis.row, "some": basis.some}
    con.execute(query_sql("why", "sparkline", **slots))
