"""What makes a row good, as one SQL projection: typed columns, and for a bad row the code of its first fault and the value at fault."""

from dataclasses import dataclass

from connectors.usage.reading import Reader, literal
from mappings.models import UsageSource

TEXT_MAX = 255  # characters of a key, product, feature or metric
NUMBER_MAX = 10**12  # a larger "count" of one row is a fault of the export, and sums stay within BIGINT
FIRST_DAY = "2000-01-01"  # an earlier day is a slip of the pen, not usage
TEXT_ROLES = ("tenant_key", "product", "feature", "user_key", "row_id", "metric")
NEEDED_TEXTS = ("tenant_key", "row_id", "metric")
REQUIRED = {"events": ("tenant_key", "day"), "snapshot": ("tenant_key", "metric", "value")}


@dataclass(frozen=True)
class Fault:
    role: str
    condition: str
    reason: str
    remedy: str


def required(source: UsageSource) -> tuple[str, ...]:
    """Roles a mapping of this kind cannot do without."""
    return REQUIRED[source.kind]


def faults(source: UsageSource, reader: Reader) -> list[Fault]:
    """In the order in which they are looked for; the code of a fault is its place, from 1."""
    found: list[Fault] = []
    for role in TEXT_ROLES:
        if role in reader.values:
            found += _text_faults(role, needed=role in NEEDED_TEXTS)
    for role in ("day", "occurred_at"):
        if role in reader.values:
            found += _day_faults(source, role)
    for role in ("events", "seconds", "value"):
        if role in reader.values:
            found += _number_faults(role)
    return found


def _text_faults(role: str, *, needed: bool) -> list[Fault]:
    word = {"tenant_key": "tenant", "row_id": "row id"}.get(role, role)
    none = [Fault(role, f"{role} is null", f"missing {word}", "Export the column filled in every row.")] if needed else []
    return [
        *none,
        Fault(role, f"length({role}) > {TEXT_MAX}", f"longer than {TEXT_MAX} characters", "Map the right column, or shorten the value."),
        Fault(role, f"contains({role}, chr(0))", "holds a NUL byte", "Export clean text."),
    ]


def _blank(role: str) -> str:
    return f"(nullif(trim({role}_raw::VARCHAR), '') is null)"


def _day_faults(source: UsageSource, role: str) -> list[Fault]:
    formats = ", ".join(source.date_formats)
    return [
        Fault(role, _blank(role), "missing date", "Export the date in every row."),
        Fault(role, f"{role} is null", f"not a date of the form {formats}", "Correct the value, or add its form to date_formats."),
        Fault(role, f"{role} > latest", "the day lies in the future", "Check the clock, the time zone and the date form of the export."),
        Fault(role, f"{role} < DATE '{FIRST_DAY}'", f"the day lies before {FIRST_DAY}", "Check the date form of the export."),
    ]


def _number_faults(role: str) -> list[Fault]:
    number = role
    needed = Fault(role, _blank(role), "missing number", "Export 0 for nothing, or leave such rows out.")
    no_number = f"(not {_blank(role)} and {number} is null) or isnan({number}) or isinf({number})"
    wrong = Fault(role, no_number, "not a number", "Export digits with a point, without separators.")
    if role == "value":
        return [needed, wrong]
    faults = [
        wrong,
        Fault(role, f"{number} < 0", "negative count", "Counts cannot be negative; correct the export."),
        Fault(role, f"{number} > {NUMBER_MAX}", "the number is too large to be a count", "Map the right column."),
    ]
    if role == "events":
        return [needed, *faults, Fault(role, f"{number} <> floor({number})", "the count is a fraction", "Export whole events.")]
    return faults


def projection(source: UsageSource, reader: Reader, found: list[Fault]) -> str:
    """SELECT over `reader.relation`, one row per row of the file, in file order: typed columns and `why` (0 = good). Parameter $latest DATE.

    Of a bad row nothing is needed but the value at fault, so that stands in its tenant_key: a column of its own would make every row wider.
    Needs DuckDB's default `preserve_insertion_order = true`: the place of a row is its only line number.
    """
    raw, typed = ["$latest::DATE as latest"], []
    for role, value in reader.values.items():
        kind = reader.kinds[role]
        if role in TEXT_ROLES:
            raw.append(f"nullif(trim({value}), '') as {role}")
            typed.append(role)
            continue
        raw.append(f"{value} as {role}_raw")
        typed.append(f"{role}_raw")
        typed.append(f"{_day(source, role, kind) if role in ('day', 'occurred_at') else _number(role, kind)} as {role}")
    whens = " ".join(f"when {fault.condition} then {code}" for code, fault in enumerate(found, 1))
    bad = " ".join(f"when {code} then left({_shown(fault.role)}, 80)" for code, fault in enumerate(found, 1))
    rows = f"select latest, {', '.join(typed)} from (select {', '.join(raw)} from {reader.relation})"
    judged = f"select *, (case when {_plainly_good(reader)} then 0 {whens} else 0 end)::UTINYINT as why from ({rows})"
    tenant = f"case why when 0 then tenant_key {bad} end"
    return f"select {', '.join(_kept(source, reader, tenant))}, why from ({judged})"


def _plainly_good(reader: Reader) -> str:
    """One cheap condition that nearly all good rows meet, so that only the others walk through all faults one by one (that would be a third of
    the time). It may fail for a good row (bytes are more than characters), never hold for a bad one.
    """
    parts = []
    for role in reader.values:
        if role in TEXT_ROLES:
            plain = f"strlen({role}) <= {TEXT_MAX} and not contains({role}, chr(0))"
            parts.append(plain if role in NEEDED_TEXTS else f"({role} is null or ({plain}))")
        elif role in ("day", "occurred_at"):
            parts.append(f"{role} between DATE '{FIRST_DAY}' and latest")
        elif role == "value":
            parts.append("isfinite(value)")
        else:
            within = f"{role} between 0 and {NUMBER_MAX}"
            parts.append(f"{within} and {role} = floor({role})" if role == "events" else f"({role}_raw is null or {within})")
    return " and ".join(parts)


def _shown(role: str) -> str:
    return role if role in TEXT_ROLES else f"{role}_raw::VARCHAR"


def _day(source: UsageSource, role: str, kind: str) -> str:
    raw, zone = f"{role}_raw", literal(source.timezone)
    if kind == "date":
        return raw
    if kind == "timestamp":
        return f"{raw}::DATE"
    if kind == "timestamptz":
        return f"timezone({zone}, {raw})::DATE"
    tries = []
    for form in source.date_formats:
        if "%z" in form or "%Z" in form:  # strptime does not know the Z of ISO 8601
            tries.append(f"timezone({zone}, try_strptime(regexp_replace({raw}, '[zZ]$', '+00:00'), {literal(form)}))::DATE")
        else:
            tries.append(f"try_strptime({raw}, {literal(form)})::DATE")
    # only where no form fits are blanks cut off: cutting first would copy every value
    return f"coalesce({', '.join([*tries, *(attempt.replace(raw, f'trim({raw})') for attempt in tries)])})"


def _number(role: str, kind: str) -> str:
    return f"try_cast({role}_raw as DOUBLE)" if kind == "text" else f"{role}_raw::DOUBLE"


def _kept(source: UsageSource, reader: Reader, tenant: str) -> list[str]:
    """The columns that later queries need; the narrower this table, the less is spilled."""
    has = reader.values.keys()
    columns = [f"{tenant} as tenant_key", *(role for role in ("product", "row_id") if role in has)]
    if source.kind == "snapshot":
        # without a date of its own a value is as of today
        day = "occurred_at" if "occurred_at" in has else "day" if "day" in has else "(latest - 1)"
        return [*columns, "metric", "value", f"{day} as day"]
    # try_cast: a bad row must not stop the query; parts of a second are rounded half-even
    counts = [f"try_cast({role} as BIGINT) as {role}" for role in ("events", "seconds") if role in has]
    return [*columns, *(role for role in ("feature", "user_key") if role in has), "day", *counts]


def constants(source: UsageSource, reader: Reader) -> list[str]:
    """The columns of the parts that are the same for every row of this source; they are not stored row by row."""
    product = f"{literal(source.product)}::VARCHAR" if source.product is not None else "null::VARCHAR"
    fixed = {"product": product}
    if source.kind == "events":
        fixed |= {"feature": "null::VARCHAR", "user_key": "null::VARCHAR", "events": "1::BIGINT", "seconds": "null::BIGINT"}
    return [f"{value} as {role}" for role, value in fixed.items() if role not in reader.values]
