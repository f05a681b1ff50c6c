"""The part of an explanation that answers "why, since when, and what would help": reasons both ways, splits of the change, twelve weeks."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from mappings.models import Mappings
from worker.sql import literal, query_sql
from worker.steps._relations import LakeRelations, Moment, scalar
from worker.steps._split import PARTS, split_text_sql
from worker.steps._texts import case_sql, text_sql
from worker.steps._why import SPARKLINE, WAY_UP, Basis, build_why, split_since

Row = Mapping[str, Any]

#: Files of the run folder without which nothing of this can be said.
NEEDED = ("scores", "parts", "points", "decisions")


@dataclass(frozen=True)
class Why:
    """`lowers` and `lifts`: up to three reasons each, with value, window, comparison and date. `splits`: one per date compared with."""

    lowers: list[Row] = field(default_factory=list)
    lifts: list[Row] = field(default_factory=list)
    splits: list[Row] = field(default_factory=list)
    sparkline: str | None = None
    way_up: str | None = None  # to the next tier; null = at the top, not scored, or rolled up from products
    steps: list[Row] = field(default_factory=list)  # measure, its value and the value to reach


def why_of(
    con: duckdb.DuckDBPyConnection,
    folder: Path,
    lake: LakeRelations,
    mappings: Mappings,
    moment: Moment,
    account_id: str,
    against: date | None = None,
) -> Why:
    """Of one account of a run that is in scope; nothing where the run has not come far enough. Needs j_product.

    `against`: a day beside yesterday and the trend's window to split the change since.
    """
    if not all((folder / f"{name}.parquet").is_file() for name in NEEDED):
        return Why()
    rolled = {WAY_UP} if mappings.score.rollup == "products" else set()
    basis = _basis(con, folder, lake, account_id)
    build_why(con, lake, mappings, moment, {"reason_2", SPARKLINE} | ({WAY_UP} - rolled), basis)
    windows = [moment.on - timedelta(days=1), moment.on - timedelta(days=mappings.score.trend.window_days), *([against] if against else [])]
    return Why(
        lowers=_reasons(con, mappings, "lows"),
        lifts=_reasons(con, mappings, "highs"),
        splits=[_split(con, lake, mappings, basis, before) for before in windows],
        way_up=None if rolled else _text(scalar(con, f"SELECT way_up_{mappings.writeback.language} FROM w_way")),
        steps=[] if rolled else _steps(con),
        sparkline=_text(scalar(con, "SELECT sparkline FROM w_spark")),
    )


def _basis(con: duckdb.DuckDBPyConnection, folder: Path, lake: LakeRelations, account_id: str) -> Basis:
    """The account's rows of the run as views; of a held account what its last score was made of."""
    mine = f"account_id = {literal(account_id)}"
    for name in (*NEEDED, "accounts"):
        con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM read_parquet({literal(str(folder / f'{name}.parquet'))}) WHERE {mine}")
    con.execute(query_sql("decide", "reasons"))
    con.execute(query_sql("why", "one_row"))
    frozen = scalar(con, "SELECT state FROM scores") == "frozen"
    now = query_sql("why", "newest_parts", parts=lake.part_history, some=mine) if frozen else "points"
    return Basis(row="x_row", now=now, some=mine)


def _reasons(con: duckdb.DuckDBPyConnection, mappings: Mappings, side: str) -> list[Row]:
    """Reasons as words and as the numbers behind them."""
    language = mappings.writeback.language
    indicators = [mappings.indicators[name] for name in sorted(mappings.indicators)]
    slots = {"value": "reason.value", "points": "reason.points"}
    words = "low" if side == "lows" else "high"
    text = case_sql("reason.indicator", [(i.name, text_sql(getattr(getattr(i.reasons, words), language), language, slots)) for i in indicators])
    found = con.execute(query_sql("why", "listed_reasons", side=side, text=text)).fetchall()
    return [
        {
            "indicator": name,
            "text": said,
            "value": value,
            "unit": mappings.indicators[name].unit,
            "window_days": mappings.indicators[name].window_days,
            "points": points,
            "compared_with": median,
            "source": mappings.indicators[name].feed,
            "observed_on": observed,
        }
        for name, said, value, points, median, observed in found
        if name in mappings.indicators
    ]


def _split(con: duckdb.DuckDBPyConnection, lake: LakeRelations, mappings: Mappings, basis: Basis, before: date) -> Row:
    """The change since the end of a day in parts, or why there is none."""
    stood = query_sql("why", "stood", history=lake.score_history, some=basis.some, before=literal(before))
    score_before, score = (scalar(con, sql) for sql in (f"SELECT score_before FROM {stood}", "SELECT score FROM decisions"))
    told: dict[str, Any] = {"against": before, "score_before": score_before, "score": score, "delta": None, "text": None, "why": None}
    if mappings.score.rollup == "products":
        return told | {"why": "the score is rolled up from the products: see each of them"}
    if score is None or score_before is None:
        return told | {"why": "not scored now" if score is None else f"no score on {before}"}
    scores = f"(SELECT d.account_id, s.score_before, d.score FROM decisions AS d, {stood} AS s)"
    split_since(con, lake, mappings, replace(basis, scores=scores), before)
    text = split_text_sql(mappings, before, mappings.writeback.language)
    exact = [f"exact_{part}" for part in PARTS]
    names = ("delta", *PARTS, "held", "exact_delta", *exact, "profile_was", "profile_is")
    row = next(iter(con.execute(f"SELECT {', '.join(names)}, {text} FROM w_split").fetchall()), None)
    if row is None:
        return told | {"why": f"what the score of {before} was made of was not kept"}
    return told | dict(zip((*names, "text"), row, strict=True))


def _steps(con: duckdb.DuckDBPyConnection) -> list[Row]:
    found = con.execute("SELECT indicator, value, target, points FROM u_step ORDER BY place").fetchall()
    return [dict(zip(("indicator", "value", "target", "points"), row, strict=True)) for row in found]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def lines(why: Why) -> list[str]:
    """For a terminal, one line each."""
    said = [f"last 12 weeks: {why.sparkline}"] if why.sparkline else []
    for head, reasons in (("lowers", why.lowers), ("lifts", why.lifts)):
        said += [f"{head} {n}: {_reason_line(reason)}" for n, reason in enumerate(reasons, 1)]
    said += [f"way up: {why.way_up}"] if why.way_up else []
    return said + [f"change: {_split_line(split)}" for split in why.splits]


def _reason_line(reason: Row) -> str:
    window = f"{reason['window_days']} days" if reason["window_days"] else "no window"
    median = f"segment median {reason['compared_with']:.0f}" if reason["compared_with"] is not None else "no segment median"
    on = f", as of {reason['observed_on']}" if reason["observed_on"] else ""
    return f"{reason['text']} ({window}; {reason['points']:.0f} points, {median}; {reason['source']}{on})"


def _split_line(split: Row) -> str:
    if split["why"]:
        return f"against {split['against']}: {split['why']}"
    if split["text"] is None:
        return f"against {split['against']}: none ({split['score']})"
    exact = {name.removeprefix("exact_"): value for name, value in split.items() if name.startswith("exact_") and name != "exact_delta" and value}
    listed = ", ".join(f"{name} {value:+f}" for name, value in exact.items()) or "nothing"
    return f"{split['text']} (exactly {split['exact_delta']:+f} before exceptions: {listed})"
