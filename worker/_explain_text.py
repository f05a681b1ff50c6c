"""The explanation of an account, laid out for a terminal."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from worker._explain_why import lines

if TYPE_CHECKING:
    from worker.explain import AxisExplained, Explanation, IndicatorExplained


def render(explanation: "Explanation") -> RenderableType:
    parts: list[RenderableType] = [_headline(explanation)]
    if explanation.axes:
        parts.append(_score_tree(explanation))
    if explanation.records:
        known = [f"{row['connection']} {row['record_id']} (by {row['matched_by'].replace('_', ' ')})" for row in explanation.records]
        parts.append(_bullets("The same company", known))
    if explanation.products:
        parts.append(
            _table("Products", explanation.products, ("product", "score", "tier", "profile", "coverage", f"main_reason_{explanation.language}"))
        )
    parts.append(_bullets("Why", lines(explanation.why)))
    parts.append(_bullets("Why not updated", explanation.why_not))
    parts.append(_table("To be written", explanation.changes, ("object", "field", "crm_value", "our_value", "disposition", "why")))
    parts.append(
        _table(
            "History", explanation.history, ("on_", "score", "tier", "deployment", "adoption", "engagement", "outcome", "profile", "state", "mark")
        )
    )
    parts.append(_table("Last writes", explanation.writes, ("written_at", "object", "field", "previous", "value", "state", "run_id")))
    return Group(*parts)


def _headline(e: "Explanation") -> Text:
    d = e.decision
    name = e.account_id + (f" / {e.product}" if e.product else "")
    text = Text.from_markup(f"[bold]{escape(name)}[/]  run {escape(e.run_id)}, as of {e.as_of:%Y-%m-%d %H:%M} UTC\n")
    if e.scope == "excluded":
        return text.append(f"Not served: {e.excluded_why}")
    text.append(f"{d.get('state', 'not decided')}: score {_show(d.get('score'))}, tier {_show(d.get('tier_label'))}")
    exception = d.get(f"exception_{e.language}")
    if d.get("score_uncapped") is not None and exception:
        text.append(f" (without the exception {_show(d['score_uncapped'])}: {exception})")
    for label, key in (
        ("main reason", "main_reason"),
        ("strength", "strength"),
        ("next action", "next_action"),
        ("override", "override_state"),
        ("data", "data_status"),
    ):
        said = d.get(f"{key}_{e.language}")
        if said:
            text.append(f"\n  {label}: {said}")
    return text


def _score_tree(e: "Explanation") -> Tree:
    tree = Tree(f"Score by profile {escape(_show(e.decision.get('profile')))}, version {escape(_show(e.decision.get('config_version')))}")
    for axis in e.axes:
        branch = tree.add(f"[bold]{escape(axis.name)}[/] {_show(axis.points)}")
        _add_indicators(branch, axis)
    return tree


def _add_indicators(branch: Tree, axis: "AxisExplained") -> None:
    for indicator in axis.indicators:
        leaf = branch.add(escape(_indicator_line(indicator)))
        for row in indicator.rows if indicator.points is not None else []:
            leaf.add(escape(", ".join(f"{k} {_show(v)}" for k, v in row.items() if v is not None)), style="dim")


def _indicator_line(i: "IndicatorExplained") -> str:
    window = f", {i.window_days} days" if i.window_days else ""
    if i.points is None:
        return f"{i.title}: missing ({i.missing_why}), share {i.weight:.1f} % spread over the rest"
    median = f", segment median {i.median_points:.0f}" if i.median_points is not None else ""
    return (
        f"{i.title}: {_show(i.value)} {i.unit}{window} → {i.points:.1f} points × {i.weight_effective:.1f} % = {_show(i.contribution)}"
        f"{median}; {i.expression.strip()}"
    )


def _bullets(title: str, lines: Sequence[str]) -> Text:
    return Text("\n".join([title, *(f"  · {line}" for line in lines)])) if lines else Text("")


def _table(title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> RenderableType:
    if not rows:
        return Text(f"{title}: none")
    table = Table(*(c.strip("_") for c in columns), title=title, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(escape(_show(row.get(column))) for column in columns))
    return table


def _show(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return str(value)
