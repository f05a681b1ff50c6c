"""Writes the generated tables of docs/mappings.md: `python -m mappings.docs`. A test holds the page to them.

A table stands between `<!-- table: NAME -->` and `<!-- /table -->`; everything else on the page is written by hand.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from mappings import models, models_routing, models_sales
from mappings.columns import (
    ACCOUNT_PRODUCTS,
    ACCOUNTS,
    CSQL_DESIRED,
    CSQL_SLOTS,
    DECISIONS,
    ENTITIES,
    INDICATOR_SLOTS,
    LIFT_SLOTS,
    REQUIRED,
    RESULTS,
    Column,
)
from mappings.columns_sales import DEAL_SLOTS, DEALS
from mappings.docs_keys import KEYS
from mappings.docs_keys_routing import ROUTING_KEYS
from mappings.docs_keys_sales import SALES_KEYS
from mappings.expressions import FUNCTIONS
from mappings.load import load

PAGE = Path(__file__).parent.parent / "docs" / "mappings.md"
_TABLE = re.compile(r"(<!-- table: (?P<name>[\w/]+) -->\n).*?(<!-- /table -->)", re.DOTALL)


def render(page: str) -> str:
    """The page with every table filled anew. KeyError for a table nobody makes."""
    made = tables()
    return _TABLE.sub(lambda found: f"{found[1]}\n{made[found['name']]}\n\n{found[3]}", page)


def tables() -> dict[str, str]:
    """Every table by name."""
    made = {f"keys/{name}": _table(("key", "type", "default", "says"), keys_of(getattr(models, name))) for name in KEYS}
    made |= {f"keys/{name}": _table(("key", "type", "default", "says"), keys_of(getattr(models_routing, name))) for name in ROUTING_KEYS}
    made |= {f"keys/{name}": _table(("key", "type", "default", "says"), keys_of(getattr(models_sales, name))) for name in SALES_KEYS}
    named = {
        "accounts": ACCOUNTS,
        "account_products": ACCOUNT_PRODUCTS,
        "results": RESULTS,
        "indicator_slots": INDICATOR_SLOTS,
        "lift_slots": LIFT_SLOTS,
        "csql_slots": CSQL_SLOTS,
    }
    named |= {"decisions": DECISIONS, "csql_desired": CSQL_DESIRED, "deals": DEALS | DEAL_SLOTS}
    made |= {f"columns/{name}": _columns(columns) for name, columns in named.items()}
    made["entities"] = _table(("entity", "needed", "other columns"), _entities())
    words = sorted(name for name in FUNCTIONS if name[0].isalpha())
    signs = sorted(FUNCTIONS - set(words))
    syntax = "`LIKE`, `IN`, `BETWEEN`, `IS [NOT] DISTINCT FROM`, `CASE`, `CAST`, `TRY_CAST`, `INTERVAL`, `COALESCE`"
    functions = ", ".join(f"`{name}`" for name in words)
    made["functions"] = f"Operators `{'` `'.join(signs)}` and {syntax}.\n\nFunctions {functions}."
    return made | _defaults()


def _defaults() -> dict[str, str]:
    """What ships, read from the files."""
    shipped = load()
    indicators = [(f"`{i.name}`", i.axis.value, i.feed, i.hypothesis, i.null_means) for i in shipped.indicators.values()]
    rules = [(f"`{r.name}`", r.motion, "submitted at once" if r.trusted else "a CSM confirms", r.hypothesis) for r in shipped.csql.values()]
    gates = [(f"`{g.name}`", "every rule" if g.always else "rules that name it", _cell(g.when)) for g in shipped.policy.gates]
    caps = [(f"`{c.name}`", _cell(c.when), str(c.cap)) for c in shipped.score.caps]
    alerts = [(f"`{a.name}`", _cell(a.when), ", ".join([a.channel, *a.also])) for a in shipped.alerts.values()]
    patterns = [(f"`{p.name}`", _cell(p.when), p.hypothesis) for p in shipped.patterns.values()]
    fields = [(f"`{f.key}`", f.object, f.set, f.owner, f"`{f.names['salesforce']}`", _kind(f), f.label.ja) for f in shipped.writeback.fields]
    return {
        "default/indicators": _table(("indicator", "axis", "feed", "hypothesis", "null means"), indicators),
        "default/rules": _table(("rule", "motion", "opens as", "hypothesis"), rules),
        "default/gates": _table(("gate", "for", "must hold"), gates),
        "default/caps": _table(("cap", "when", "score at most"), caps),
        "default/alerts": _table(("alert", "when", "channel"), alerts),
        "default/patterns": _table(("pattern", "when", "hypothesis"), patterns),
        "default/fields": _table(("field", "object", "set", "owner", "Salesforce", "type", "label"), fields),
    }


def _kind(field: models.WriteField) -> str:
    if field.length:
        return f"{field.type}({field.length})"
    return f"{field.type}({field.precision},{field.scale})" if field.precision else field.type.value


def keys_of(model: type[BaseModel]) -> Iterator[Sequence[str]]:
    """(key, type, default, meaning) of each key of a model, in order."""
    for name, field in model.model_fields.items():
        if (model, name) in ((models.WriteField, "key"), (models.WriteField, "object")):
            continue  # the loader fills them from where the field stands
        default = field.get_default(call_default_factory=True)
        shown = "needed" if default is PydanticUndefined else "–" if default is None else f"`{_plain(default)}`"
        yield f"`{name}`", _cell(_type(field.annotation)), _cell(shown), (KEYS | ROUTING_KEYS | SALES_KEYS)[model.__name__][name]


def _plain(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "{" + ", ".join(f"{key}: {_plain(one)}" for key, one in value) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_plain(one) for one in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _type(kind: Any) -> str:
    """A type in words a person who writes YAML knows."""
    origin, members = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type(members[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_type(member) for member in members if member is not type(None)))
    if origin is Literal:
        return " | ".join(str(member) for member in members)
    if origin is list:
        return f"list of {_type(members[0])}"
    if origin is tuple:
        return f"{len(members)} × {_type(members[0])}"
    if origin is dict:
        return f"{_type(members[0])} → {_type(members[1])}"
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return " | ".join(member.value for member in kind)
    name = str(kind.__name__)
    return {"str": "text", "int": "whole number", "float": "number", "Decimal": "number", "bool": "true/false"}.get(name, name)


def _entities() -> Iterator[Sequence[str]]:
    for entity, columns in ENTITIES.items():
        needed = REQUIRED[entity]
        yield (
            f"`{entity}`",
            ", ".join(f"`{name}`" for name in needed),
            ", ".join(f"`{name}` {type_}" for name, type_ in columns.items() if name not in needed),
        )


def _columns(columns: dict[str, Column]) -> str:
    return _table(("column", "type", "feed", "says"), [(f"`{name}`", column.type, column.feed, column.says) for name, column in columns.items()])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")
