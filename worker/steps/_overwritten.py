"""Somebody else's automation overwrites our fields: the same field, found changed by others on many records of one CRM in one run. [CS-77]

Each of these fields is held like a person's edit. What is said besides, once in the report of the run that finds it and through a channel, is that it
is many at once, who did it as far as the CRM tells, and what to do: the holds alone would look like busy people. Records that are held already are
not counted again, so the next run says nothing unless they were released and overwritten anew.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Executable

from connectors.base import Crm
from connectors.errors import NotAllowed, Refused
from mappings.models import WriteField
from worker.items import StepContext
from worker.steps._relations import Moment
from worker.store import deliveries, registers

#: Name of the flips. No alert of the mappings may be muted by it: it is none of theirs.
RULE = "overwritten"
#: Records asked for who changed them. Chosen: one call; an automation is behind all of them or behind none.
ASKED = 50
#: Of those who did it, so many are named.
NAMED = 3


def noticed(crm: Crm, fields: Mapping[str, WriteField], holds: Sequence[registers.Hold], item_id: int, least: int) -> dict[str, Any]:
    """Entries of the run's report for `told`: per field the records that this item found changed by others, and who did it where they are `least`.

    To be called before the item writes: a CRM that only knows a record's last editor would name us.
    """
    by_field: dict[str, list[registers.Hold]] = {}
    for one in holds:
        by_field.setdefault(one.field, []).append(one)
    entries: dict[str, Any] = {}
    for name, found in by_field.items():
        who = _who(crm, fields[name], [one.record_id for one in found[:ASKED]]) if len(found) >= least else {}
        entries[f"edited:{found[0].connection}/{found[0].object}.{name}/{item_id}"] = {"records": len(found), "who": who}
    return entries


def _who(crm: Crm, field: WriteField, ids: Sequence[str]) -> dict[str, int]:
    """Who -> records. Empty where the CRM does not tell us: that costs a word of the message, never a write."""
    try:
        return dict(Counter(crm.editors(field, ids).values()).most_common(NAMED))
    except (Refused, NotAllowed):
        return {}


def told(ctx: StepContext, moment: Moment) -> tuple[dict[str, str], list[Executable]]:
    """(notes of the run's report, flips with their deliveries) for every field that reached the number of writeback.yml over all items of the run."""
    records: Counter[str] = Counter()
    who: dict[str, Counter[str]] = {}
    for name, entry in ctx.run.report.items():
        kind, _, place = name.partition(":")
        if kind == "edited":
            at = place.rpartition("/")[0]
            records[at] += int(entry["records"])
            who.setdefault(at, Counter()).update(entry["who"])
    setting = ctx.mappings.writeback.overwritten
    notes = {f"overwritten:{at}": _words(at, n, who[at]) for at, n in sorted(records.items()) if n >= setting.records}
    flips = [
        registers.Flip(ctx.run.id, RULE, place.partition("/")[0], place.partition("/")[2][:80], moment.on, "true", setting.channel, text)
        for place, text in ((name.partition(":")[2], text) for name, text in notes.items())
    ]
    if not flips:
        return notes, []
    return notes, [*registers.put_flips(ctx.ledger, flips), *deliveries.put_deliveries(ctx.ledger, ctx.run.id)]


def _words(place: str, n: int, who: Counter[str]) -> str:
    """Ids only, as the CRM gives them."""
    connection, _, field = place.partition("/")
    by = ", ".join(f"{name} (on {count:,} of those asked)" for name, count in who.most_common(NAMED)) or "whom the CRM does not tell"
    return (
        f"{connection}: {field} was changed by others on {n:,} records since we wrote it. So many at once look like an automation: "
        f"last changed by {by}. These copies are held and not overwritten. Take the field out of that automation, "
        "or leave edit access to it to this worker's user alone; "
        f"then `scoresync holds --connection {connection} --release-all --field {field.partition('.')[2]}`."
    )
