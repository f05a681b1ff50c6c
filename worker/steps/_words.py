"""The words on an account's record, compiled from the scorecard: reasons, next action, exception, data status."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from mappings.models import Axis, Indicator, Mappings
from worker.sql import literal
from worker.steps._scorecard import Scorecard
from worker.steps._texts import case_sql, joined_sql, text_sql

AXIS_WORDS = {
    "en": {Axis.DEPLOYMENT: "deployment", Axis.ADOPTION: "adoption", Axis.ENGAGEMENT: "engagement", Axis.OUTCOME: "outcome"},
    "ja": {Axis.DEPLOYMENT: "導入", Axis.ADOPTION: "活用", Axis.ENGAGEMENT: "信頼関係", Axis.OUTCOME: "成果"},
}

_FEED_WORDS = {
    "en": {"usage": "usage", "setup": "set-up", "crm": "contract"},
    "ja": {
        "usage": "利用データ", "setup": "設定状況データ", "crm": "契約データ", "activity": "活動記録", "contact": "担当者データ",
        "ticket": "問い合わせデータ", "survey": "アンケート回答", "opportunity": "商談データ", "outcome": "成果データ",
    },
}  # fmt: skip


@dataclass(frozen=True)
class LateFeed:
    """A feed that holds scores, and the day its data runs to (null = none)."""

    name: str
    until: date | None


def reason_slots(mappings: Mappings) -> dict[str, str]:
    """Slots of the `decisions` query that hold the reasons. `worst` is left out when an exception holds the score down: it is the reason then."""
    slots = {
        "worst": "n.worst",
        "cause": f"coalesce({held_sql()}, {case_sql('worst.indicator', [(i.name, literal(i.cause)) for i in _all(mappings)])})",
    }
    for lang in ("en", "ja"):
        low = case_sql("worst.indicator", [(i.name, text_sql(getattr(i.reasons.low, lang), lang, _slots("worst"))) for i in _all(mappings)])
        high = case_sql("best.indicator", [(i.name, text_sql(getattr(i.reasons.high, lang), lang, _slots("best"))) for i in _all(mappings)])
        action = case_sql("worst.indicator", [(i.name, text_sql(getattr(i.action, lang), lang, _slots("worst"))) for i in _all(mappings)])
        caps = case_sql("capped_by", [(c.name, text_sql(getattr(c.text, lang), lang)) for c in mappings.score.caps])
        slots |= {f"main_reason_{lang}": f"coalesce(CASE WHEN {held_sql()} IS NOT NULL THEN {caps} END, {low})"}
        held = case_sql("capped_by", [(c.name, text_sql(getattr(c.action, lang), lang)) for c in mappings.score.caps if c.action])
        slots |= {f"next_action_{lang}": f"coalesce(CASE WHEN {held_sql()} IS NOT NULL THEN {held} END, {action})"}
        slots |= {f"strength_{lang}": high, f"exception_{lang}": caps}
    return slots


def setup_slots(mappings: Mappings) -> dict[str, str]:
    """Indicators whose next action is the next step of onboarding, with its day and material, where a plan knows one and no exception holds."""
    return {"setup_indicators": ", ".join(literal(i.name) for i in _all(mappings) if i.feed == "setup") or "NULL", "held": held_sql()}


def _all(mappings: Mappings) -> list[Indicator]:
    return [mappings.indicators[name] for name in sorted(mappings.indicators)]


def _slots(which: str) -> Mapping[str, str]:
    return {"value": f"{which}.value", "points": f"{which}.points"}


def held_sql() -> str:
    """The exception's name where it changed the published score, else null."""
    return "(CASE WHEN capped_by IS NOT NULL AND score < score_uncapped - 0.5 THEN capped_by END)"


def data_status_slots(cards: list[Scorecard], late: list[LateFeed]) -> dict[str, str]:
    """`80 %, no outcome source`: coverage, what no source brings, what this account lacks, and what is late."""
    slots = {}
    for lang in ("en", "ja"):
        percent = "CASE WHEN coverage IS NOT NULL THEN CAST(CAST(round_even(coverage, 0) AS BIGINT) AS VARCHAR) || ' %' END"
        unconnected = case_sql("profile", [(c.profile.name, literal(_unconnected(c, lang))) for c in cards])
        why = "why" if lang == "en" else "why_ja"
        lacking = {"en": f"'missing: ' || {why}", "ja": f"'不足:' || {why}"}[lang]
        unscored = {
            "en": f"'not scored, missing: ' || coalesce({why}, 'any source')",
            "ja": f"'採点できません(不足:' || coalesce({why}, '連携データ') || ')'",
        }[lang]
        held = literal(_late(late, lang))
        state = f"CASE state WHEN 'scored' THEN {lacking} WHEN 'not_scored' THEN {unscored} WHEN 'frozen' THEN {held} END"
        slots[f"data_status_{lang}"] = joined_sql([percent, unconnected, state], ", " if lang == "en" else "・")
    return slots


def _unconnected(card: Scorecard, language: str) -> str | None:
    axes = [axis for axis in Axis if any(w.axis == axis for w in card.weighings) and not card.axis(axis)]
    if not axes:
        return None
    words = [AXIS_WORDS[language][axis] for axis in axes]
    return f"no {' or '.join(words)} source" if language == "en" else f"{'・'.join(words)}は未連携"


def _late(late: list[LateFeed], language: str) -> str | None:
    if not late:
        return None
    if language == "en":
        return ", ".join(
            f"{_FEED_WORDS['en'].get(f.name, f.name)} data late" + (f" (until {f.until.day} {f.until:%b %Y})" if f.until else "") for f in late
        )
    return "、".join(
        f"{_FEED_WORDS['ja'].get(f.name, f.name)}の到着が遅れています" + (f"({f.until.year}/{f.until.month}/{f.until.day}分まで)" if f.until else "")
        for f in late
    )
