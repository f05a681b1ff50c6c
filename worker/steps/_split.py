"""Why a score changed between two dates, in parts that add up to the change: did the customer change, or the data, or did we?

Old is replaced by new in a fixed order, so every step has one meaning: settings → profile → data that went → data that came → behaviour, axis by
axis → exceptions. The definition is in docs/architecture.md, "Delta split".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import duckdb

from mappings.models import Axis, Mappings
from worker.sql import literal, query_sql
from worker.steps._points import MISSING_WHY, Cards, rescored_sql
from worker.steps._texts import text_sql
from worker.steps._words import AXIS_WORDS

#: The parts of a split in the order of replacement, `held` (exceptions) aside: it comes last and has no exact value, as it is whole already.
PARTS = ("config", "profile", "gone", "arrived", *(axis.value for axis in Axis))
_NAMED = 3  # measures named in a text before "and n more"
_NULL = "CAST(NULL AS DOUBLE)"


@dataclass(frozen=True)
class Group:
    """Accounts whose scorecards and profiles are the same on both dates, so that one expression per link serves them."""

    old: Cards
    profile_before: str
    new: Cards
    profile: str

    @property
    def middle(self) -> str:
        """The profile by which old data is scored under the new settings: the old one, if it still exists."""
        return self.profile_before if self.profile_before in self.new.weights else self.profile


def build_split(
    con: duckdb.DuckDBPyConnection,
    mappings: Mappings,
    cards: Mapping[str, Cards],
    *,
    parts: str,
    now: str,
    scores: str,
    before: date,
    some: str = "true",
) -> None:
    """Temp table `w_split`, one row per account that has a score on both dates and parts kept for the earlier one.

    `parts`: rows of part_history. `now`: account_id, cards, profile, points, missing. `scores`: account_id, score_before, score.
    """
    con.execute(query_sql("split", "sides", parts=parts, now=now, scores=scores, before=literal(before), some=some))
    groups = [
        Group(cards[old], profile0, cards[new], profile1) for old, profile0, new, profile1 in con.execute(query_sql("split", "groups")).fetchall()
    ]
    united = " UNION ALL BY NAME ".join(_group_sql(g, mappings) for g in groups) or _EMPTY
    whole = ", ".join(f"whole[{n + 1}] - whole[{n}] AS {part}" for n, part in enumerate(PARTS, 1))
    exact = ", ".join(f"exact[{n + 1}] - exact[{n}] AS exact_{part}" for n, part in enumerate(PARTS, 1))
    con.execute(query_sql("split", "split", groups=united, parts=whole, exact=exact))


_EMPTY = (
    "SELECT account_id, score_before, score, profile0, profile1, "
    + ", ".join(f"{_NULL} AS u{n}" for n in range(9))
    + ", "
    + ", ".join(f"CAST(NULL AS VARCHAR) AS {name}_{lang}" for name in ("gone", "arrived") for lang in ("en", "ja"))
    + " FROM w_side WHERE false"
)


def _group_sql(group: Group, mappings: Mappings) -> str:
    """The chain u0..u8 of one group of accounts."""
    new, names = group.new, sorted({*group.new.names(group.middle), *group.new.names(group.profile)})
    kept = {name: f"k_{name}" for name in names}
    inner = "".join(f", {_kept_sql(group, name)} AS {kept[name]}, {_at('points1', new.place(name))} AS n_{name}" for name in names)
    went = {name: f"(CASE WHEN n_{name} IS NULL THEN NULL ELSE k_{name} END)" for name in names}
    came = {name: f"(CASE WHEN n_{name} IS NULL THEN NULL ELSE coalesce(k_{name}, n_{name}) END)" for name in names}
    before = {name: _at("points0", group.old.place(name)) for name in group.old.names(group.profile_before)}
    links = [
        group.old.total_sql(group.profile_before, before),
        new.total_sql(group.middle, kept),
        *(new.total_sql(group.profile, points) for points in (kept, went, came)),
        *(new.total_sql(group.profile, points) for points in _by_axis(group, came)),
    ]
    chain = ", ".join(f"{link} AS u{n}" for n, link in enumerate(links))
    words = ", ".join(
        f"{sql} AS {name}_{lang}"
        for lang in ("en", "ja")
        for name, sql in (("gone", _gone_sql(group, mappings, lang)), ("arrived", _arrived_sql(group, mappings, lang)))
    )
    where = " AND ".join(
        f"{column} = {literal(value)}"
        for column, value in (
            ("cards0", group.old.version), ("profile0", group.profile_before), ("cards1", new.version), ("profile1", group.profile),
        )
    )  # fmt: skip
    return f"SELECT account_id, score_before, score, profile0, profile1, {chain}, {words} FROM (SELECT *{inner} FROM w_side WHERE {where})"


def _at(column: str, place: int | None) -> str:
    return _NULL if place is None else f"{column}[{place}]"


def _kept_sql(group: Group, name: str) -> str:
    """The earlier points of a measure as the new settings see them."""
    was, now = group.old.measure(name), group.new.measure(name)
    new = _at("points1", group.new.place(name))
    if was is None or now is None or was.definition != now.definition:
        return new  # nothing of then says what it would have been: it enters as it is now
    old = _at("points0", group.old.place(name))
    if was.mapping != now.mapping:
        value = _at("values0", group.old.place(name))
        old = f"(CASE WHEN {old} IS NULL OR {value} IS NULL THEN {old} ELSE {rescored_sql(now, value)} END)"
    if was.ttl_days != now.ttl_days:  # whether it counts is a matter of the settings then
        old = f"(CASE WHEN {new} IS NULL THEN NULL ELSE coalesce({old}, {new}) END)"
    return old


def _by_axis(group: Group, came: Mapping[str, str]) -> list[dict[str, str]]:
    """Points with one axis after the other as it is now."""
    axes = {name: axis for axis, _, found in group.new.weights[group.profile] for name, _ in found}
    order = list(Axis)
    return [{name: f"n_{name}" if order.index(axes[name]) <= n else came[name] for name in axes if name in came} for n in range(len(order))]


# --- words ---------------------------------------------------------------------------------------------------------------------------------------
def _gone_sql(group: Group, mappings: Mappings, language: str) -> str:
    """`NPS expired`: measures that counted then and have no points now."""
    words = {
        "en": {"stale": " expired", "feed_late": " late", "": " no longer known"},
        "ja": {"stale": "の期限切れ", "feed_late": "の到着遅れ", "": "のデータなし"},
    }[language]
    items = []
    for name in group.new.names(group.profile):
        why = f"missing1[{group.new.place(name)}]"
        cases = " ".join(f"WHEN {MISSING_WHY.index(w)} THEN {literal(text)}" for w, text in words.items() if w)
        said = f"{literal(_title(mappings, name, language))} || CASE {why} {cases} ELSE {literal(words[''])} END"
        items.append(f"CASE WHEN k_{name} IS NOT NULL AND n_{name} IS NULL THEN {said} END")
    return _named_sql(items, language)


def _arrived_sql(group: Group, mappings: Mappings, language: str) -> str:
    word = {"en": " (new)", "ja": "の追加"}[language]
    return _named_sql(
        [
            f"CASE WHEN k_{name} IS NULL AND n_{name} IS NOT NULL THEN {literal(_title(mappings, name, language) + word)} END"
            for name in group.new.names(group.profile)
        ],
        language,
    )


def _title(mappings: Mappings, name: str, language: str) -> str:
    indicator = mappings.indicators.get(name)
    return str(getattr(indicator.title, language)) if indicator is not None else name


def _named_sql(items: list[str], language: str) -> str:
    """The first few that are not null, and how many more; null when all are."""
    if not items:
        return "CAST(NULL AS VARCHAR)"
    found = f"list_filter([{', '.join(items)}], lambda x: x IS NOT NULL)"
    more = {"en": f"' and ' || (len({found}) - {_NAMED}) || ' more'", "ja": f"'など計' || len({found}) || '件'"}[language]
    separator = {"en": "/", "ja": "・"}[language]
    shown = f"array_to_string({found}[1:{_NAMED}], {literal(separator)})"
    return f"(CASE WHEN len({found}) = 0 THEN NULL WHEN len({found}) > {_NAMED} THEN {shown} || {more} ELSE {shown} END)"


def split_text_sql(mappings: Mappings, before: date, language: str) -> str:
    """`-8 against 3 Nov 2026 = adoption -3, NPS expired -5, settings 0`, over a row of w_split; null where nothing moved at all."""
    english = language == "en"
    profiles = (
        "CASE {} " + " ".join(f"WHEN {literal(p.name)} THEN {literal(getattr(p.title, language))}" for p in mappings.score.profiles) + " ELSE {} END"
    )
    change = [profiles.format(column, column) for column in ("profile_was", "profile_is")]
    moved = f"(CASE WHEN profile_is <> profile_was THEN {change[0]} || '→' || {change[1]} END)"
    scorecard, settings = ("'scorecard '", "'settings '") if english else ("'採点表 '", "'設定 '")
    words = {
        **{axis.value: literal(AXIS_WORDS[language][axis]) for axis in Axis},
        "gone": f"gone_{language}",
        "arrived": f"arrived_{language}",
        "profile": f"{scorecard} || {moved}",
        "held": "'exceptions'" if english else "'例外条件'",
    }
    shown = [f"CASE WHEN {part} <> 0 THEN {word} || ' ' || {_signed(part)} END" for part, word in words.items()]
    separator = ", " if english else "、"
    items = ", ".join([*shown, f"{settings} || {_signed('config')}"])
    listed = f"array_to_string(list_filter([{items}], lambda x: x IS NOT NULL), {literal(separator)})"
    day = text_sql("{on_:date}", language, {"on_": literal(before)})
    head = f"{_signed('delta')} || ' against ' || {day}" if english else f"{day} || '比 ' || {_signed('delta')}"
    still = " AND ".join(f"{part} = 0" for part in (*PARTS, "held"))
    return f"(CASE WHEN {still} THEN NULL ELSE {head} || ' = ' || {listed} END)"


def _signed(part: str) -> str:
    return f"(CASE WHEN {part} > 0 THEN '+' ELSE '' END || {part})"
