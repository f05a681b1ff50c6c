"""Canonical text of a value on its way to or from a CRM: one spelling per value and type, null for empty (docs/architecture.md).

Everything exists twice, for one value in Python and for a column in DuckDB; a property test holds the twins equal. What cannot be read as the
field's type stays as it is spelled, so that nothing turns silently into "empty"; `coerce` then calls it invalid.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal

from connectors.base import FieldInfo
from mappings.models import FieldType, WriteField

NUMBERS = frozenset({FieldType.NUMBER, FieldType.PERCENT, FieldType.CURRENCY})
TEXTS = frozenset({FieldType.TEXT, FieldType.LONG_TEXT})

_BLANKS = " \t\r\n\v\f"
_BLANKS_SQL = " || ".join(f"chr({ord(blank)})" for blank in _BLANKS)
_BLANKS_AT_END = r"[ \t\r\n\x0B\x0C]+$"
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?"
_DATE = r"\d{4}-\d{2}-\d{2}"
_INSTANT = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}(:?\d{2})?)?"
_ID_15 = r"[A-Za-z0-9]{15}"
#: Lengths of a record id whose end is a checksum: without it, and with it. Older fields that refer to a record keep the short form.
ID_LENGTHS = (15, 18)
_ID_MARKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"

#: DECIMAL(38, 18) holds every number a CRM can (18 digits) with room to round; more decimals are cut to 18 first, half up, as DuckDB's cast does.
_DECIMALS = 18
_WHOLE_MAX = Decimal(10) ** (38 - _DECIMALS)
_EXACT = Context(prec=80)


def canonical(raw: object, field: WriteField) -> str | None:
    """The field's canonical text for any Python value. Naive datetimes are refused (ValueError); text without a zone is read as UTC."""
    text = _text(raw)
    if field.type == FieldType.CHECKBOX:
        return _checkbox(text)
    if text is None:
        return None
    if field.type in NUMBERS:
        return _number(text, field.scale)
    if field.type == FieldType.DATE:
        return text[:10] if re.fullmatch(f"{_DATE}([T ].*)?", text, re.ASCII | re.DOTALL) else text
    if field.type == FieldType.DATETIME:
        return _instant(text)
    if field.type == FieldType.LOOKUP:
        return id_18(text)
    if field.type == FieldType.MULTI_PICKLIST:
        return ";".join(sorted({part.strip(_BLANKS) for part in text.split(";")} - {""})) or None
    return text


def id_18(text: str) -> str:
    """An 18-character Salesforce id for a 15-character one; any other text as it is (the checksum: reference sheet, 2.6)."""
    if not re.fullmatch(_ID_15, text):
        return text
    marks = (sum(1 << k for k in range(5) if "A" <= text[i + k] <= "Z") for i in (0, 5, 10))
    return text + "".join(_ID_MARKS[m] for m in marks)


def _text(raw: object) -> str | None:
    if raw is None:
        return None
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, datetime):
        if raw.tzinfo is None:
            raise ValueError("a datetime without a time zone cannot be compared with a CRM's; give it one")
        return raw.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(raw, date):
        return raw.isoformat()
    if isinstance(raw, Decimal):
        return format(raw, "f")
    return str(raw).replace("\x00", "").replace("\r\n", "\n").replace("\r", "\n").rstrip(_BLANKS) or None


def _checkbox(text: str | None) -> str:
    if text is None or text.lower() in ("false", "0"):
        return "false"
    return "true" if text.lower() in ("true", "1") else text


def _number(text: str, scale: int | None) -> str:
    if not re.fullmatch(_NUMBER, text, re.ASCII):
        return text
    value = Decimal(text)
    if value and value.adjusted() >= 38 - _DECIMALS:
        return text
    value = value.quantize(Decimal(1).scaleb(-_DECIMALS), ROUND_HALF_UP, _EXACT)
    if abs(value) >= _WHOLE_MAX:
        return text
    return plain(value if scale is None else value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_EVEN, _EXACT))


def plain(value: Decimal) -> str:
    """Without exponent, trailing zeros or a negative zero: `58`, `0.5`, `-12`, `0`."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def _instant(text: str) -> str:
    if not re.fullmatch(_INSTANT, text, re.ASCII):
        return text
    try:
        value = datetime.fromisoformat(re.sub(r"([+-]\d{2})$", r"\1:00", text[19:]).join((text[:19].replace(" ", "T"), "")))
    except ValueError:  # the 30th of February and the like
        return text
    value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


def canonical_sql(expr: str, field: WriteField, kind: str = "") -> str:
    """The same as `canonical`, as a DuckDB expression over any typed column. Needs nothing of the session, not even its time zone.

    `kind`: the column's type as DuckDB names it, where it is known: the usual ones are then spelled at once, without a detour over text.
    """
    return _typed_sql(expr, field, kind) or _general_sql(expr, field)


def _typed_sql(expr: str, field: WriteField, kind: str) -> str | None:
    match kind:
        case "BOOLEAN" if field.type == FieldType.CHECKBOX:
            return f"(CASE WHEN {expr} THEN 'true' ELSE 'false' END)"
        case "BIGINT" if field.type in NUMBERS and (field.scale or 0) >= 0:
            return f"CAST({expr} AS VARCHAR)"
        case "DOUBLE" if field.type in NUMBERS and field.scale == 0:
            # a half is exact in binary, too; beyond 2^53, and for what is no number, the general way
            return f"(CASE WHEN abs({expr}) < 1e15 THEN CAST(CAST(round_even({expr}, 0) AS BIGINT) AS VARCHAR) ELSE {_general_sql(expr, field)} END)"
        case "DATE" if field.type == FieldType.DATE:
            return f"CAST({expr} AS VARCHAR)"
        case "TIMESTAMP WITH TIME ZONE" if field.type == FieldType.DATETIME:
            return f"strftime(timezone('UTC', {expr}), '%Y-%m-%dT%H:%M:%SZ')"
    return None


def _general_sql(expr: str, field: WriteField) -> str:
    text = (
        f"nullif(regexp_replace(replace(replace(replace(CAST({expr} AS VARCHAR), chr(0), ''), chr(13) || chr(10), chr(10)), chr(13), chr(10)), "
        f"'{_BLANKS_AT_END}', ''), '')"
    )
    if field.type == FieldType.CHECKBOX:
        return (
            f"(CASE WHEN {text} IS NULL OR lower({text}) IN ('false', '0') THEN 'false' "
            f"WHEN lower({text}) IN ('true', '1') THEN 'true' ELSE {text} END)"
        )
    if field.type in NUMBERS:
        return _number_sql(text, field.scale)
    if field.type == FieldType.DATE:
        return f"(CASE WHEN regexp_full_match({text}, '{_DATE}([T ].*)?', 's') THEN left({text}, 10) ELSE {text} END)"
    if field.type == FieldType.DATETIME:
        return _instant_sql(text)
    if field.type == FieldType.LOOKUP:
        return f"(CASE WHEN regexp_full_match({text}, '{_ID_15}') THEN {text} || {_marks_sql(text)} ELSE {text} END)"
    if field.type == FieldType.MULTI_PICKLIST:
        parts = f"list_filter(list_transform(string_split({text}, ';'), lambda x: trim(x, {_BLANKS_SQL})), lambda x: x <> '')"
        return f"nullif(array_to_string(list_sort(list_distinct({parts})), ';'), '')"
    return text


def _number_sql(text: str, scale: int | None) -> str:
    value = f"TRY_CAST({text} AS DECIMAL(38, {_DECIMALS}))"
    rounded = value if scale is None else f"CAST(round_even({value}, {scale}) AS DECIMAL(38, {_DECIMALS}))"
    return (
        f"(CASE WHEN regexp_full_match({text}, '{_NUMBER}') AND {value} IS NOT NULL "
        f"THEN rtrim(rtrim(CAST({rounded} AS VARCHAR), '0'), '.') ELSE {text} END)"
    )


def _instant_sql(text: str) -> str:
    # DuckDB wants the offset's colon; a text without an offset is UTC, whatever the session's zone is
    iso = f"regexp_replace({text}, '([+-]\\d\\d)(\\d\\d)$', '\\1:\\2')"
    zoned = f"timezone('UTC', TRY_CAST({iso} AS TIMESTAMPTZ))"
    at = f"(CASE WHEN regexp_matches({text}, '(Z|\\d[+-]\\d\\d(:?\\d\\d)?)$') THEN {zoned} ELSE TRY_CAST({text} AS TIMESTAMP) END)"
    return f"(CASE WHEN regexp_full_match({text}, '{_INSTANT}') THEN coalesce(strftime({at}, '%Y-%m-%dT%H:%M:%SZ'), {text}) ELSE {text} END)"


def _marks_sql(text: str) -> str:
    groups = []
    for start in (1, 6, 11):
        bits = " + ".join(f"CASE WHEN regexp_full_match(substr({text}, {start + k}, 1), '[A-Z]') THEN {1 << k} ELSE 0 END" for k in range(5))
        groups.append(f"substr('{_ID_MARKS}', 1 + {bits}, 1)")
    return " || ".join(groups)


@dataclass(frozen=True)
class Coerced:
    """A value made to fit. `invalid` says why it cannot be sent; null = fits."""

    value: str | None
    invalid: str | None = None


def coerce(text: str | None, field: WriteField, info: FieldInfo | None = None) -> Coerced:
    """Canonical text made to fit the field's declared limits and, with `info`, those the CRM describes (the tighter ones win).

    Too long a text is cut to `length` characters (code points) ending in `…`; a number is rounded to the narrower scale. What still does not
    fit is invalid: ours to repair, never sent.
    """
    if text is None:
        return Coerced(None)
    if field.type in TEXTS:
        length = _least(field.length, info.length if info else None)
        return Coerced(text if length is None or len(text) <= length else text[: length - 1] + "…")
    if field.type in NUMBERS and re.fullmatch(_NUMBER, text, re.ASCII):
        narrow = _least(field.scale, info.scale if info else None)
        text = _number(text, narrow)
    return Coerced(text, _why_invalid(text, field, info))


def _least(*limits: int | None) -> int | None:
    return min((x for x in limits if x is not None), default=None)


def _why_invalid(text: str, field: WriteField, info: FieldInfo | None) -> str | None:
    if field.type in NUMBERS:
        if not re.fullmatch(_NUMBER, text, re.ASCII):
            return "not a number"
        wholes = [f.precision - (f.scale or 0) for f in (field, info) if f is not None and f.precision is not None]
        digits = len(text.lstrip("+-").split(".")[0].lstrip("0")) if "e" not in text.lower() else 999
        return f"more than {min(wholes)} digits before the point" if wholes and digits > min(wholes) else None
    if field.type == FieldType.MULTI_PICKLIST:
        parts = set(text.split(";"))
        if field.values and parts - {v.value for v in field.values}:
            return "not among the values declared in writeback.yml"
        if info is not None and info.restricted and parts - set(info.picklist):
            return "not among the active values of the CRM's restricted picklist"
    if field.type == FieldType.PICKLIST:
        if field.values and text not in {v.value for v in field.values}:
            return "not among the values declared in writeback.yml"
        if info is not None and info.restricted and text not in info.picklist:
            return "not among the active values of the CRM's restricted picklist"
    if field.type == FieldType.CHECKBOX and text not in ("true", "false"):
        return "not true or false"
    if field.type == FieldType.DATE and not _is_date(text):
        return "not a date"
    if field.type == FieldType.DATETIME and not (re.fullmatch(_DATE + r"T\d{2}:\d{2}:\d{2}Z", text, re.ASCII) and _instant(text) == text):
        return "not an instant"
    return None


def _is_date(text: str) -> bool:
    try:
        return bool(re.fullmatch(_DATE, text, re.ASCII)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def coerced_sql(expr: str, field: WriteField) -> str:
    """`coerce(...).value` against the declared limits, over a column of canonical text."""
    if field.type in TEXTS and field.length is not None:
        return f"(CASE WHEN length({expr}) > {field.length} THEN left({expr}, {field.length - 1}) || '…' ELSE {expr} END)"
    return f"({expr})"


def invalid_sql(expr: str, field: WriteField) -> str:
    """`coerce(...).invalid` against the declared limits, over a column of canonical text: the reason, or null where the value fits."""
    if field.type in NUMBERS:
        cases = f"WHEN {expr} IS NULL THEN NULL WHEN NOT regexp_full_match({expr}, '{_NUMBER}') THEN 'not a number'"
        if field.precision is not None:
            whole = field.precision - (field.scale or 0)
            digits = f"length(ltrim(regexp_extract({expr}, '[+-]?(\\d*)', 1), '0'))"
            cases += f" WHEN contains(lower({expr}), 'e') OR {digits} > {whole} THEN 'more than {whole} digits before the point'"
        return f"(CASE {cases} END)"
    if field.type == FieldType.PICKLIST and field.values:
        listed = ", ".join("'" + v.value.replace("'", "''") + "'" for v in field.values)
        return f"(CASE WHEN {expr} NOT IN ({listed}) THEN 'not among the values declared in writeback.yml' END)"
    if field.type == FieldType.MULTI_PICKLIST and field.values:
        listed = ", ".join("'" + v.value.replace("'", "''") + "'" for v in field.values)
        return (
            f"(CASE WHEN len(list_filter(string_split({expr}, ';'), lambda x: x NOT IN ({listed}))) > 0 "
            f"THEN 'not among the values declared in writeback.yml' END)"
        )
    if field.type == FieldType.CHECKBOX:
        return f"(CASE WHEN {expr} NOT IN ('true', 'false') THEN 'not true or false' END)"
    if field.type == FieldType.DATE:
        fits = f"regexp_full_match({expr}, '{_DATE}') AND TRY_CAST({expr} AS DATE) IS NOT NULL"
        return f"(CASE WHEN {expr} IS NULL THEN NULL WHEN NOT ({fits}) THEN 'not a date' END)"
    if field.type == FieldType.DATETIME:
        fits = f"regexp_full_match({expr}, '{_DATE}T\\d\\d:\\d\\d:\\d\\dZ') AND TRY_CAST({expr} AS TIMESTAMPTZ) IS NOT NULL"
        return f"(CASE WHEN {expr} IS NULL THEN NULL WHEN NOT ({fits}) THEN 'not an instant' END)"
    return "CAST(NULL AS VARCHAR)"
