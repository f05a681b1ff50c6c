"""Books what the diff found and write_back does not send: fields that are held, invalid or were refused before, and records that have no other."""

from worker.items import Item, StepContext
from worker.sql import literal
from worker.steps import _down
from worker.steps._changes import changes_of
from worker.steps._results import Result, hash_of, leave_results

#: disposition -> (state of a record that has nothing better, code)
_STATES = {
    "held": ("held", "HELD"),
    "invalid": ("invalid", "INVALID"),
    "rejected_before": ("rejected", "REJECTED_BEFORE"),
}
_ORDER = ("invalid", "rejected_before", "held")
#: What was to be sent, and is not: state, code, text.
_SHADOW = ("held", "SHADOW", "")
_DOWN = ("unprocessed", _down.CODE, _down.TEXT)


def leave_aside(ctx: StepContext, item: Item) -> list[Result]:
    """Results of every field that is not to be sent, and of every record without one that is. In shadow mode nothing is to be sent, and to a
    connection that is out of reach nothing can be."""
    con = ctx.engine()
    changes = changes_of(ctx)
    waits = "true" if item.payload["shadow"] else f"connection IN ({', '.join(map(literal, item.payload.get('down', []))) or 'NULL'})"
    fields = con.execute(
        "SELECT connection, object, record_id, external_key, account_id, field, our_value, disposition, why "
        f"FROM {changes} WHERE disposition <> 'send' ORDER BY ALL"
    ).fetchall()
    rows = [_field_row(field) for field in fields]
    records = con.execute(
        f"SELECT connection, object, record_id, external_key, any_value(account_id), list(DISTINCT disposition) FROM {changes} "
        f"GROUP BY connection, object, record_id, external_key HAVING {waits} OR NOT bool_or(disposition = 'send') ORDER BY ALL"
    ).fetchall()
    for connection, object_name, record_id, external_key, account_id, dispositions in records:
        if "send" in dispositions:
            state, code, text = _SHADOW if item.payload["shadow"] else _DOWN
        else:
            (state, code), text = _STATES[next(d for d in _ORDER if d in dispositions)], ""
        at = (connection, object_name, record_id, external_key, account_id or "", "")
        rows.append(Result(*at, state, code=code, text=text))
    leave_results(ctx, item, 0, rows)
    return rows


def _field_row(field: tuple[str, str, str | None, str | None, str | None, str, str | None, str, str | None]) -> Result:
    connection, object_name, record_id, external_key, account_id, name, value, disposition, why = field
    state, code = _STATES[disposition]
    # what was refused before has its letter already
    hashed, letter = (hash_of({name: value}), True) if disposition == "invalid" else ("", False)
    at = (connection, object_name, record_id, external_key, account_id or "", name)
    return Result(*at, state, code=code, text=why or "", value_hash=hashed, letter=letter)
