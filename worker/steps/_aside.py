"""Books what the diff found and write_back does not send: fields that are held, invalid or were refused before, and records that have no other."""

from worker.items import Item, StepContext
from worker.sql import literal
from worker.steps._results import Result, hash_of, leave_results

#: disposition -> (state of a record that has nothing better, code)
_STATES = {
    "held": ("held", "HELD"),
    "invalid": ("invalid", "INVALID"),
    "rejected_before": ("rejected", "REJECTED_BEFORE"),
    "send": ("held", "SHADOW"),
}
_ORDER = ("invalid", "rejected_before", "held", "send")


def leave_aside(ctx: StepContext, item: Item) -> list[Result]:
    """Results of every field that is not to be sent, and of every record without one that is. In shadow mode nothing is to be sent."""
    shadow = bool(item.payload["shadow"])
    con = ctx.engine()
    changes = literal(str(ctx.folder / "changes.parquet"))
    only = "" if shadow else "WHERE disposition <> 'send'"
    fields = con.execute(
        f"SELECT object, record_id, external_key, account_id, field, our_value, disposition, why FROM read_parquet({changes}) {only} ORDER BY ALL"
    ).fetchall()
    rows = [_field_row(item, field) for field in fields if field[6] != "send"]
    lonely = "true" if shadow else "NOT bool_or(disposition = 'send')"
    records = con.execute(
        f"SELECT object, record_id, external_key, any_value(account_id), list(DISTINCT disposition) FROM read_parquet({changes}) "
        f"GROUP BY object, record_id, external_key HAVING {lonely} ORDER BY ALL"
    ).fetchall()
    for object_name, record_id, external_key, account_id, dispositions in records:
        first = "send" if shadow and "send" in dispositions else next(d for d in _ORDER if d in dispositions)
        state, code = _STATES[first]
        rows.append(Result(item.payload["connection"] or "", object_name, record_id, external_key, account_id or "", "", state, code=code))
    leave_results(ctx, item, 0, rows)
    return rows


def _field_row(item: Item, field: tuple[str, str | None, str | None, str | None, str, str | None, str, str | None]) -> Result:
    object_name, record_id, external_key, account_id, name, value, disposition, why = field
    state, code = _STATES[disposition]
    # what was refused before has its letter already
    hashed, letter = (hash_of({name: value}), True) if disposition == "invalid" else ("", False)
    at = (item.payload["connection"] or "", object_name, record_id, external_key, account_id or "", name)
    return Result(*at, state, code=code, text=why or "", value_hash=hashed, letter=letter)
