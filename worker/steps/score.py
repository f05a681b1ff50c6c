"""score: indicators → axes → score, with the parts that made each, per account and per account and product.

Leaves `scores`, `parts`, `points`, `scorecards`, `product_scores`, `product_parts` and `population` in the run folder. `population.parquet` has the
columns of the lake's `population_stats`; full runs append it there.
"""

import duckdb

from mappings.models import Axis, Indicator, Mappings
from worker.items import Item, NewItem, Outcome, RunKind, StepContext
from worker.sql import literal
from worker.steps import _scorecard as card_
from worker.steps._anchors import anchored, build_anchors, percentiles_sql
from worker.steps._lake import bring, leave, moment_of, open_lake
from worker.steps._points import build_points
from worker.steps._products import bring_up, build_product_rows, publish_products
from worker.steps._scorecard import ACCOUNT, PRODUCT, Feed, Grain, Scorecard, scorecards
from worker.steps._texts import joined_sql

_AXES = tuple(axis.value for axis in Axis)

#: Fewer scored accounts of a segment and profile than this are no population to compare with.
POPULATION_MIN = 5


def read_feeds(con: duckdb.DuckDBPyConnection, relation: str = "feeds") -> dict[str, Feed]:
    """Feed name -> whether it ever brought a row, and whether it is late."""
    return {
        str(name): Feed(bool(connected), bool(late))
        for name, connected, late in con.execute(f"SELECT feed, connected, late FROM {relation}").fetchall()
    }


def score_accounts(con: duckdb.DuckDBPyConnection, mappings: Mappings, *, full: bool, frozen_population: str = "population_stats") -> None:
    """Temp tables `scores`, `population`, `scorecards` and views `parts` and `points` from `accounts`, `account_products` and `feeds`.

    `full`: medians are taken from this very run and become the population of the increments after it; else from `frozen_population`.
    """
    feeds = read_feeds(con)
    cards = scorecards(mappings, feeds)
    used = _used_indicators(cards)
    _evaluate(con, mappings, cards, used, ACCOUNT)
    build_anchors(con, used, feeds, None if full else frozen_population)
    _build_points(con, used, feeds, ACCOUNT)
    _weigh(con, mappings, cards, feeds, ACCOUNT)
    build_points(con, mappings)
    con.execute("CREATE OR REPLACE TEMP TABLE population AS " + (_medians_sql(cards) if full else _frozen_sql(frozen_population)))
    _build_parts(con, cards, ACCOUNT)


def score_all(
    con: duckdb.DuckDBPyConnection, mappings: Mappings, *, full: bool, products: bool = True, frozen_population: str = "population_stats"
) -> None:
    """`score_accounts`, then `product_scores` and `product_parts` from `product_facts`, and with `rollup: products` the account's score from them.

    `products`: false leaves the products out where nothing needs them (past dates of a scorecard that is not rolled up).
    """
    score_accounts(con, mappings, full=full, frozen_population=frozen_population)
    if products or mappings.score.rollup == "products":
        build_product_rows(con)
        score_grain(con, mappings, PRODUCT)
        publish_products(con, mappings)
    if mappings.score.rollup == "products":
        bring_up(con, mappings)


def score_grain(con: duckdb.DuckDBPyConnection, mappings: Mappings, grain: Grain) -> None:
    """The same scorecard over other rows. Needs `feeds`, and `population` for the medians that reasons compare with."""
    feeds = read_feeds(con)
    cards = scorecards(mappings, feeds)
    used = _used_indicators(cards)
    _evaluate(con, mappings, cards, used, grain)
    _build_points(con, used, feeds, grain)
    _weigh(con, mappings, cards, feeds, grain)
    _build_parts(con, cards, grain)


def _weigh(con: duckdb.DuckDBPyConnection, mappings: Mappings, cards: list[Scorecard], feeds: dict[str, Feed], grain: Grain) -> None:
    weighed = " UNION ALL BY NAME ".join(_profile_sql(c, mappings, feeds, grain) for c in cards)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {grain.prefix}_scored AS {weighed}")
    _build_scores(con, grain)


def _build_parts(con: duckdb.DuckDBPyConnection, cards: list[Scorecard], grain: Grain) -> None:
    parts = " UNION ALL ".join(_part_sql(c, w, grain) for c in cards for w in c.weighings)
    # of accounts they are read once, when they are left; of products also for the reasons
    con.execute(f"CREATE OR REPLACE TEMP {'VIEW' if grain is ACCOUNT else 'TABLE'} {grain.parts} AS {parts}")


def _used_indicators(cards: list[Scorecard]) -> list[Indicator]:
    return list({w.indicator.name: w.indicator for c in cards for w in c.weighings}.values())


def _evaluate(con: duckdb.DuckDBPyConnection, mappings: Mappings, cards: list[Scorecard], used: list[Indicator], grain: Grain) -> None:
    """<prefix>_value: profile, cap and the value of each indicator."""
    caps = mappings.score.caps
    applies = [
        f"(CASE WHEN TRY(CAST({c.when} AS BOOLEAN)) THEN {{'cap': {c.cap}, 'place': {i}, 'name': {literal(c.name)}}} END)" for i, c in enumerate(caps)
    ]
    cap = (
        f"list_min(list_filter([{', '.join(applies)}], lambda x: x IS NOT NULL))"
        if caps
        else "CAST(NULL AS STRUCT(cap INTEGER, place INTEGER, name VARCHAR))"
    )
    values = "".join(f", {card_.value_sql(i)} AS {card_.VALUE}{i.name}, {_observed(i)} AS {card_.OBSERVED}{i.name}" for i in used)
    values += "".join(f", TRY(CAST({i.answers} AS BIGINT)) AS {card_.ANSWERS}{i.name}" for i in used if i.answers is not None)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {grain.prefix}_value AS SELECT {grain.key}, segment, stage, as_of_on, "
        f"{card_.profile_case_sql(cards)} AS profile, {cap} AS cap, "
        f"coalesce(usage_matched, false) AS fed_usage, setup_as_of IS NOT NULL AS fed_setup{values} FROM {grain.rows}"
    )


def _build_points(con: duckdb.DuckDBPyConnection, used: list[Indicator], feeds: dict[str, Feed], grain: Grain) -> None:
    """<prefix>_points: why each indicator is missing, or its points."""
    reasons = [
        (
            i,
            card_.missing_sql(i, feeds.get(i.feed, Feed(False, False)), card_.VALUE + i.name, card_.OBSERVED + i.name),
            card_.points_sql(i, card_.VALUE + i.name),
        )
        for i in used
    ]
    columns = "".join(
        f", {missing} AS {card_.MISSING}{i.name}, CASE WHEN {missing} IS NULL THEN {points} END AS {card_.POINTS}{i.name}"
        for i, missing, points in reasons
    )
    anchors = " LEFT JOIN s_anchor ON anchor_segment IS NOT DISTINCT FROM segment" if anchored(used) else ""
    con.execute(f"CREATE OR REPLACE TEMP VIEW {grain.prefix}_points AS SELECT *{columns} FROM {grain.prefix}_value{anchors}")


def _observed(indicator: Indicator) -> str:
    return f"TRY(CAST({indicator.observed_on} AS DATE))" if indicator.observed_on else "CAST(NULL AS DATE)"


def _profile_sql(card: Scorecard, mappings: Mappings, feeds: dict[str, Feed], grain: Grain) -> str:
    """All rows of one profile: axes, coverage, total, state."""
    score = mappings.score
    late = sorted(f for f in card.feeds if feeds[f].late)
    held = " OR ".join({"usage": "fed_usage", "setup": "fed_setup"}.get(f, "true") for f in late) or "false"
    axes = ", ".join(f"{card_.axis_sql(card, a)} AS {a.value}, {card_.present_weight_sql(card, a)} AS w_{a.value}" for a in Axis)
    enough = f"coalesce(coverage >= {literal(score.coverage_min)}, false) AND {card_.axes_present_sql(card)} >= {score.axes_min}"
    titles = {
        lang: joined_sql([_missing_title(card, w, lang) for w in card.weighings if w.connected], "、" if lang == "ja" else ", ")
        for lang in ("en", "ja")
    }
    return (
        f"SELECT *, CASE WHEN {held} THEN 'frozen' WHEN {enough} THEN 'scored' ELSE 'not_scored' END AS state, {card_.total_sql(card)} AS raw, "
        f"{card_.total_weight_sql(card)} AS w_total, {literal(card.config_version)} AS config_version, {titles['en']} AS missing_en, "
        f"{titles['ja']} AS missing_ja, {literal(', '.join(late))} AS late_feeds "
        f"FROM (SELECT *, {axes}, {card_.coverage_sql(card)} AS coverage FROM {grain.prefix}_points WHERE profile = {literal(card.profile.name)})"
    )


def _missing_title(card: Scorecard, weighing: card_.Weighing, language: str) -> str:
    title = getattr(weighing.indicator.title, language)
    few = {"en": " (too few answers)", "ja": "(回答数不足)"}[language]
    why = f" || CASE WHEN {card_.MISSING}{weighing.indicator.name} = 'too_few' THEN {literal(few)} ELSE '' END" if weighing.indicator.answers else ""
    return f"CASE WHEN {card_.POINTS}{weighing.indicator.name} IS NULL THEN {literal(title)}{why} END"


def _build_scores(con: duckdb.DuckDBPyConnection, grain: Grain) -> None:
    """Numbers of a frozen account are null here; `decide` repeats its last ones."""
    axes = ", ".join(f"CASE WHEN state <> 'frozen' THEN round_even({a}, 6) END AS {a}" for a in _AXES)
    capped = "least(raw, CAST(cap.cap AS DOUBLE))"
    # nine decimals: a half that binary fractions miss by their last bits is a half again, and nothing else moves
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE {grain.scores} AS SELECT {grain.key}, state,
        CASE WHEN state = 'frozen' THEN late_feeds || ' data is late' ELSE missing_en END AS why,
        CASE WHEN state = 'frozen' THEN late_feeds || 'データの遅延' ELSE missing_ja END AS why_ja,
        profile, stage, CASE WHEN state = 'scored' THEN raw END AS score_uncapped,
        CASE WHEN state = 'scored' THEN CAST(round_even(CAST(least(raw, coalesce({capped}, raw)) AS DECIMAL(12, 9)), 0) AS BIGINT) END AS score,
        CASE WHEN state <> 'frozen' THEN cap.name END AS capped_by, {axes}, CASE WHEN state <> 'frozen' THEN coverage END AS coverage, config_version
        FROM {grain.prefix}_scored ORDER BY {grain.key}"""
    )


def _medians_sql(cards: list[Scorecard]) -> str:
    """Median points per segment, profile and indicator over scored accounts, and the fit of every product ('*', 'fit:<product>')."""
    medians = [
        f"SELECT segment, profile, {literal(w.indicator.name)} AS indicator, median({card_.POINTS}{w.indicator.name}) AS median_points, "
        f"count({card_.POINTS}{w.indicator.name}) AS n FROM s_scored WHERE state = 'scored' AND profile = {literal(c.profile.name)} "
        f"GROUP BY segment, profile HAVING count({card_.POINTS}{w.indicator.name}) > 0"
        for c in cards
        for w in c.weighings
    ]
    fit = (
        "SELECT a.segment, '*', 'fit:' || p.product, max(p.fit), count(*) "
        "FROM accounts AS a JOIN account_products AS p ON p.account_id = a.account_id "
        "WHERE p.fit IS NOT NULL GROUP BY a.segment, p.product"
    )
    return " UNION ALL ".join([*medians, fit, percentiles_sql()])


def _frozen_sql(relation: str) -> str:
    """What the last full run left."""
    return (
        "SELECT segment, profile, indicator, arg_max(median_points, as_of) AS median_points, arg_max(n, as_of) AS n "
        f"FROM {relation} WHERE as_of = (SELECT max(as_of) FROM {relation}) GROUP BY ALL"
    )


def _part_sql(card: Scorecard, weighing: card_.Weighing, grain: Grain) -> str:
    """One indicator for all rows of a profile."""
    name = weighing.indicator.name
    effective = card_.effective_sql(card, weighing)
    return (
        f"SELECT {grain.key}, {literal(name)} AS indicator, {literal(weighing.axis.value)} AS axis, {card_.VALUE}{name} AS value, "
        f"{card_.POINTS}{name} AS points, "
        f"{card_.MISSING}{name} AS missing_why, CAST({literal(weighing.share)} AS DOUBLE) AS weight, {effective} AS weight_effective, "
        f"{effective} * {card_.POINTS}{name} / 100 AS contribution, {card_.OBSERVED}{name} AS observed_on, m.median_points "
        f"FROM {grain.prefix}_scored AS s LEFT JOIN (SELECT segment, median_points FROM population WHERE profile = {literal(card.profile.name)} "
        f"AND indicator = {literal(name)} AND n >= {POPULATION_MIN}) AS m ON m.segment IS NOT DISTINCT FROM s.segment "
        f"WHERE s.profile = {literal(card.profile.name)}"
    )


def plan(ctx: StepContext) -> list[NewItem]:
    return [NewItem("all")]


def run(ctx: StepContext, item: Item) -> Outcome:
    con, lake = open_lake(ctx, ("population_stats",))
    bring(con, ctx.folder, "accounts", "account_products", "product_facts", "feeds")
    full = ctx.run.kind == RunKind.FULL and ctx.run.accounts is None
    score_all(con, ctx.mappings, full=full, frozen_population=lake.population_stats)
    leave(con, ctx.folder, "scores")
    leave(con, ctx.folder, "product_scores", order="ORDER BY account_id, product")
    leave(con, ctx.folder, "product_parts", order="ORDER BY account_id, product, axis, indicator")
    leave(con, ctx.folder, "parts", order="ORDER BY account_id, axis, indicator")
    leave(con, ctx.folder, "points")
    leave(con, ctx.folder, "scorecards")
    leave(con, ctx.folder, "population", [*_POPULATION_COLUMNS, *_stamp(ctx)], order="ORDER BY segment, profile, indicator")
    states = con.execute("SELECT state, count(*) FROM scores GROUP BY state").fetchall()
    return Outcome(stats={f"accounts.{state}": float(n) for state, n in states})


_POPULATION_COLUMNS = ("segment", "profile", "indicator", "median_points", "n")


def _stamp(ctx: StepContext) -> list[str]:
    moment = moment_of(ctx)
    return [f"{literal(moment.on)} AS on_", f"{literal(moment.as_of)} AS as_of"]
