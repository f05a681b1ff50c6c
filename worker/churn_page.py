"""The retrospective of a customer who left, as Markdown in both languages: what was known when, what is left to do. No blame, no cause claimed."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from worker._churn_words import WORDS
from worker.brief_page import day_text, number_text
from worker.churn import LOOKED_AT, Churns

Row = Mapping[str, Any]


def render(found: Churns, warned_days: int) -> str:
    """The page of the account asked for. `found` holds its row and its retrospective."""
    (row,), w, lang = found.rows, WORDS[found.language], found.language
    lines = [f"# {w['title']}: {_cell(row['name'] or row['account_id'])}", "", *_facts(row, w, lang, warned_days), ""]
    lines += [
        f"## {w['before']}",
        "",
        *_table([w[k] for k in ("when", "day", "score", "tier", "alerts", "patterns")], _before(row["before"], w, lang)),
    ]
    looked = found.retrospective or {"measures": [], "line": None}
    if looked["measures"]:
        lines += ["", f"## {w['weak'].format(LOOKED_AT)}", ""]
        lines += [f"- {_cell(m['title'])}: {number_text(round(m['points'], 1))}" for m in looked["measures"]]
    if looked["line"] is not None:
        line = looked["line"]
        lines += ["", f"## {w['line']}", "", w["line_says"].format(score=line["score"], low=line["as_low"], scored=line["scored"])]
    if row["checklist"]:
        steps = [(s["title"], day_text(s["due_on"], lang), w[s["state"]].format(day_text(s["done_on"], lang))) for s in row["checklist"]]
        lines += ["", f"## {w['todo']}", "", *_table([w[k] for k in ("step", "due", "state")], steps)]
    if row["state"] == "left":
        lines += ["", f"## {w['signs']}", "", *(_signs(row["signs"], w, lang) or [w["none"]])]
    return "\n".join([*lines, "", w["caution"], ""])


def _facts(row: Row, w: Mapping[str, str], lang: str, warned_days: int) -> list[str]:
    notice = f"{w['notice']} {day_text(row['churn_notice_on'], lang)}" if row["churn_notice_on"] else ""
    state = f"{w['left']} {day_text(row['churned_on'], lang)}" if row["state"] == "left" else w["leaving"]
    score = w["never"]
    if row["last_score"] is not None:
        score = f"{row['last_score']} ({w['low_tier'].format(row['last_tier'])}, {w['of'].format(day_text(row['last_score_on'], lang))})"
    warned = w["not_warned"].format(warned_days)
    if row["warned_on"] is not None:
        named = ", ".join(_warning(what, w) for what in row["warned_by"])
        warned = f"{day_text(row['warned_on'], lang)} ({w['days_before'].format(row['warned_days'])}): {named}"
    facts = [
        f"- {' · '.join(part for part in (state, notice) if part)}",
        f"- {w['reason']}: {_cell(row['reason_title'] or row['reason'] or w['unknown'])}",
    ]
    facts += [f"- {w['note_is']}: {_cell(row['note'])}"] if row["note"] else []
    facts += [f"- {w['lost']}: {number_text(row['mrr'])} {row['currency'] or ''}".rstrip()] if row["mrr"] is not None else []
    return [*facts, f"- {w['last']}: {score}", f"- {w['warned']}: {warned}"]


def _warning(what: str, w: Mapping[str, str]) -> str:
    kind, _, name = what.partition("/")
    return w["low_tier"].format(name) if kind == "tier" else name


def _before(rows: Sequence[Row], w: Mapping[str, str], lang: str) -> list[tuple[str, ...]]:
    return [
        (
            str(b["days"]), day_text(b["day"], lang), _known(b["score"]) + (f" ({w['held'].format(b['capped_by'])})" if b["capped_by"] else ""),
            _known(b["tier"]), ", ".join(b["alerts"] or []) or "–", ", ".join(b["patterns"] or []) or "–",
        )
        for b in rows
    ]  # fmt: skip


def _signs(signs: Sequence[Row] | None, w: Mapping[str, str], lang: str) -> list[str]:
    return [f"- {sign_text(s, w, lang)}" for s in signs or ()]


def sign_text(sign: Row, w: Mapping[str, str], lang: str) -> str:
    day: date | None = sign["on"]
    return w[sign["sign"]] + (f" {day_text(day, lang)}" if day else "") + (f": {_cell(sign['detail'])}" if sign["detail"] else "")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *([_cell(c) for c in row] for row in rows))]


def _known(value: object) -> str:
    return "–" if value is None else str(value)


def _cell(value: object) -> str:
    """Text from records on one line of a table."""
    return str(value).replace("|", "\\|").replace("\n", " ")
