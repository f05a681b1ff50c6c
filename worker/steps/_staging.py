"""Raw text to typed rows: the SQL of one source, built from its mapping.

Per column three expressions: its text, whether its expression failed, and its typed value. A value that is there and does not become the column's
type sets its row aside; the neighbours go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.entities import MONEY, columns
from connectors.values import canonical_sql
from mappings.models import ColumnSpec, ConstColumn, FieldColumn, SqlColumn, WriteField
from worker.sql import ident, literal
from worker.steps._sources import Place

#: Type -> what a person should look at, for a reject.
_WANTED = {
    "BIGINT": "a whole number",
    "DOUBLE": "a number",
    MONEY: "an amount of at most 14 digits before the point",
    "BOOLEAN": "true or false",
    "DATE": "a date",
    "TIMESTAMPTZ": "an instant",
    "VARCHAR": "a text",
}
VALUE_KEPT = 80


@dataclass(frozen=True)
class Staging:
    """SQL over a relation of raw pages. `rows`: every raw row typed, with `bad_column` (null = good), `bad_value` and `bad_reason`."""

    rows: str
    good: Sequence[str]  # columns of the lake table, in order


def staging_sql(place: Place, raw: str, own: Sequence[tuple[WriteField, str | None]], read_at: str, zone: str) -> Staging:
    """`raw`: parenthesised relation whose columns are VARCHAR, named by field path. `own`: field and its raw column, null where it was not read."""
    typed = {name: kind for name, kind in columns(place.entity).items() if name in place.source.columns}
    texts, faults, values = [], [], []
    for name, kind in typed.items():
        spec = place.source.columns[name]
        texts.append(f"{_text_sql(spec)} AS {ident('t_' + name)}")
        failed = f"(TRY(({_expression(spec)}) IS NULL) IS NULL)" if isinstance(spec, SqlColumn) else "false"
        faults.append(f"{failed} AS {ident('e_' + name)}")
        values.append(f"{cast_sql(ident('t_' + name), kind, zone)} AS {ident(name)}")
    identity = [
        "_id AS id",
        "TRY_CAST(_modified_at AS TIMESTAMPTZ) AS modified_at",
        "coalesce(_deleted = 'true', false) AS deleted",
        "_master_id AS master_id",
        f"TIMESTAMPTZ {literal(read_at)} AS read_at",
        f"{literal(place.connection)} AS connection",
        f"CAST({place.index} AS INTEGER) AS source",
    ]
    mine = [f"{canonical_sql(ident(path), f) if path else 'CAST(NULL AS VARCHAR)'} AS {ident('own_' + f.key)}" for f, path in own]
    shown = [f"{_shown_sql(place.source.columns[name])} AS {ident('s_' + name)}" for name in typed]
    inner = f"SELECT {', '.join([*identity, *mine, *texts, *faults, *shown])} FROM {raw}"
    middle = f"SELECT * {''.join(', ' + v for v in values)} FROM ({inner})"
    outer = (
        f"SELECT * , {_bad_sql(typed, 'column')} AS bad_column, {_bad_sql(typed, 'value')} AS bad_value, {_bad_sql(typed, 'reason')} AS bad_reason"
    )
    missing = [name for name in columns(place.entity) if name not in typed and name not in ("id", "modified_at", "deleted", "master_id", "read_at")]
    blanks = "".join(f", CAST(NULL AS {columns(place.entity)[name]}) AS {ident(name)}" for name in missing)
    good = [*columns(place.entity), "connection", "source", *(f"own_{f.key}" for f, _ in own)]
    return Staging(f"{outer}{blanks} FROM ({middle})", good)


def _expression(spec: ColumnSpec) -> str:
    if isinstance(spec, str):
        return ident(spec)
    if isinstance(spec, ConstColumn):
        return literal(spec.const)
    if isinstance(spec, SqlColumn):
        return spec.sql
    return _translated(spec)


def _translated(spec: FieldColumn) -> str:
    """A field with its values translated. Values not listed become the default, or stay as they are; an empty field stays empty."""
    field = ident(spec.field)
    rest = field if spec.default is None else f"CASE WHEN {field} IS NOT NULL THEN CAST({literal(spec.default)} AS VARCHAR) END"
    if not spec.values:
        return rest
    cases = " ".join(f"WHEN {field} = {literal(value)} THEN CAST({literal(ours)} AS VARCHAR)" for value, ours in spec.values.items())
    return f"CASE {cases} ELSE {rest} END"


def _text_sql(spec: ColumnSpec) -> str:
    text = f"CAST(({_expression(spec)}) AS VARCHAR)"
    return f"TRY({text})" if isinstance(spec, SqlColumn) else text


def _shown_sql(spec: ColumnSpec) -> str:
    """The raw text(s) behind a column, for a person who looks for the fault."""
    if isinstance(spec, str):
        fields = [spec]
    elif isinstance(spec, FieldColumn):
        fields = [spec.field]
    elif isinstance(spec, SqlColumn):
        fields = spec.fields
    else:
        return literal(str(spec.const))
    return f"concat_ws(' | ', {', '.join(ident(f) for f in fields)})"


def cast_sql(text: str, kind: str, zone: str) -> str:
    """A text as the column's type, null where it is none.

    Days and instants meet in the company's time zone: an instant's date is the one on its wall clock, a date as an instant is its midnight there.
    """
    if kind == "VARCHAR":
        return text
    day = rf"regexp_full_match({text}, '\d{{4}}-\d{{2}}-\d{{2}}')"
    if kind == "TIMESTAMPTZ":
        return f"CASE WHEN {day} THEN timezone({literal(zone)}, TRY_CAST({text} AS TIMESTAMP)) ELSE TRY_CAST({text} AS TIMESTAMPTZ) END"
    if kind == "DATE":
        return f"CASE WHEN {day} THEN TRY_CAST({text} AS DATE) ELSE CAST(timezone({literal(zone)}, TRY_CAST({text} AS TIMESTAMPTZ)) AS DATE) END"
    if kind == "BIGINT":
        # 25.0 is what a CRM says for 25; a fraction is no whole number, and DuckDB would round it
        return f"CASE WHEN TRY_CAST({text} AS DOUBLE) = floor(TRY_CAST({text} AS DOUBLE)) THEN TRY_CAST({text} AS BIGINT) END"
    return f"TRY_CAST({text} AS {kind})"


def _bad_sql(typed: dict[str, str], what: str) -> str:
    cases = ["WHEN id IS NULL OR modified_at IS NULL THEN " + {"column": "'id'", "value": "id", "reason": "'the record has no id or no stamp'"}[what]]
    for name, kind in typed.items():
        wrong = f"({ident('e_' + name)} OR ({ident('t_' + name)} IS NOT NULL AND {ident(name)} IS NULL))"
        said = {"column": literal(name), "value": f"left({ident('s_' + name)}, {VALUE_KEPT})", "reason": literal(f"not {_WANTED.get(kind, kind)}")}
        cases.append(f"WHEN {wrong} THEN {said[what]}")
    return f"CASE {' '.join(cases)} END"
