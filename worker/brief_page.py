"""A brief as Markdown or HTML: templates, words of both languages, and the charts as inline SVG."""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from worker._brief_words import WORDS
from worker.brief import Brief

FORMATS = ("md", "html")

#: Size of a chart in CSS pixels. Chosen: half the width of an A4 page.
_WIDE, _HIGH, _LEFT, _FOOT = 330, 96, 4, 14


def render(brief: Brief, form: str) -> str:
    """`form`: md or html. Text from records is escaped in HTML."""
    words = WORDS[brief.parts["language"]]
    parts = dict.fromkeys(("score", "csqls", "ideas", "months", "scores", "stage")) | brief.parts
    template = _environment(form == "html", brief.parts["language"]).get_template(f"brief.{form}.j2")
    page = template.render(**parts, safe=brief.customer_safe, w=words, use_chart=use_chart, history_chart=history_chart)
    return page if form == "html" else _squeezed(page)


def _squeezed(page: str) -> str:
    """Markdown with no more than one blank line in a row."""
    lines: list[str] = []
    for line in page.splitlines():
        if line.strip() or (lines and lines[-1].strip()):
            lines.append(line.rstrip())
    return "\n".join(lines).rstrip() + "\n"


@cache
def _environment(html: bool, language: str) -> Environment:
    found = Environment(loader=PackageLoader("worker", "templates"), autoescape=html, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters |= {"day": lambda day: day_text(day, language), "number": number_text, "signed": lambda n: f"{n:+,}".replace("-", "−")}
    found.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    return found


def day_text(day: date | None, language: str) -> str:
    if day is None:
        return "–"
    return f"{day.year}/{day.month}/{day.day}" if language == "ja" else f"{day.day} {day:%b %Y}"


def number_text(value: float | int | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


# --- charts --------------------------------------------------------------------------------------------------------------------------------------
def use_chart(weeks: Sequence[Mapping[str, Any]], language: str, label: str) -> Markup:
    """Bars of weekly events; the first and last week and the highest value are written on it."""
    most = max((w["events"] for w in weeks), default=0) or 1
    step = (_WIDE - _LEFT * 2) / len(weeks)
    bars = []
    for place, week in enumerate(weeks):
        high = (_HIGH - _FOOT - 14) * week["events"] / most
        bars.append(Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            _LEFT + place * step + 1, _HIGH - _FOOT - high, step - 3, high))  # fmt: skip
    body = Markup('<g fill="#3b6ea5">{}</g>').format(Markup("").join(bars)) + _axis(weeks[0]["week"], weeks[-1]["week"], language)
    return _svg(body + Markup('<text x="{}" y="10">{}</text>').format(_LEFT, number_text(most)), label)


def history_chart(months: Sequence[Mapping[str, Any]], scores: Sequence[Mapping[str, Any]], language: str, label: str) -> Markup:
    """Monthly revenue as steps and the score as a line, on one time line."""
    first, last = months[0]["on_"], months[-1]["on_"]
    days = max((last - first).days, 1)
    top, foot = 14, _HIGH - _FOOT

    def x(day: date) -> float:
        return float(_LEFT + (_WIDE - _LEFT * 2) * max((day - first).days, 0) / days)

    most = max((m["mrr"] or 0 for m in months), default=0) or 1
    steps = " ".join(f"{x(m['on_']):.1f},{foot - (foot - top) * (m['mrr'] or 0) / most:.1f}" for m in months)
    area = Markup('<polygon fill="#d8e3ee" points="{:.1f},{} {} {:.1f},{}"/>').format(x(first), foot, steps, x(last), foot)
    known = [s for s in scores if s["score"] is not None and s["on"] >= first]
    line = " ".join(f"{x(s['on']):.1f},{foot - (foot - top) * s['score'] / 100:.1f}" for s in known)
    if known:
        line += f" {x(last):.1f},{foot - (foot - top) * known[-1]['score'] / 100:.1f}"
    drawn = Markup('<polyline fill="none" stroke="#b4532a" stroke-width="2" points="{}"/>').format(line) if known else Markup("")
    return _svg(area + drawn + _axis(first, last, language) + Markup('<text x="{}" y="10">{}</text>').format(_LEFT, number_text(most)), label)


def _axis(first: date, last: date, language: str) -> Markup:
    line = Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="#8a8f98"/>').format(_LEFT, _HIGH - _FOOT, _WIDE - _LEFT, _HIGH - _FOOT)
    ends = Markup('<text x="{}" y="{}">{}</text><text x="{}" y="{}" text-anchor="end">{}</text>')
    return line + ends.format(_LEFT, _HIGH - 2, day_text(first, language), _WIDE - _LEFT, _HIGH - 2, day_text(last, language))


def _svg(body: Markup, label: str) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(_WIDE, _HIGH, label, body)
