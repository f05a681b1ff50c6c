"""What may be sent after the target fields were read again: the last look before a write. Pure: values in, decisions out.

A CRM value is *ours* if it is what we last wrote with an answer, or meant to write when an answer got lost (an open intent), or what we want now.
Anything else was put there by a person, and is held. Values are canonical text, so all of it is comparing strings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from connectors.base import FieldInfo
from connectors.values import coerce
from mappings.models import FieldType, WriteField


@dataclass(frozen=True, slots=True)
class Wish:
    """One field that the diff wants changed."""

    field: str
    value: str | None
    mode: str  # always | ride_along | if_empty
    aged: bool = False  # rides alone because it is too old
    seen: str | None = None  # the CRM's value that the wish was made on


@dataclass(frozen=True, slots=True)
class Wanted:
    """One record to change. `record_id` null = to be created under `external_key`."""

    object: str
    record_id: str | None
    external_key: str | None
    account_id: str
    wishes: tuple[Wish, ...]

    @property
    def key(self) -> str:
        return self.record_id or self.external_key or ""


@dataclass(frozen=True, slots=True)
class Past:
    """What we wrote to one field of one record before. `acknowledged` has at most one value: the newest."""

    acknowledged: tuple[str | None, ...] = ()
    open_intents: frozenset[str | None] = frozenset()
    newest_as_of: datetime | None = None  # of acknowledged writes


@dataclass(slots=True)
class Decision:
    """What becomes of one record's wishes."""

    send: dict[str, str | None] = field(default_factory=dict)
    before: dict[str, str | None] = field(default_factory=dict)  # live value of every field looked at
    settled: dict[str, str | None] = field(default_factory=dict)  # the CRM has our value already
    held: dict[str, str | None] = field(default_factory=dict)  # live value, put there by a person
    invalid: dict[str, str] = field(default_factory=dict)  # why
    blocked: list[str] = field(default_factory=list)  # the CRM does not let us write the field on any record


def decide(
    wanted: Wanted,
    live: Mapping[str, str | None] | None,
    past: Mapping[str, Past],
    released: Mapping[str, str | None],
    fields: Mapping[str, WriteField],
    infos: Mapping[str, FieldInfo],
) -> Decision:
    """`live`: the record's fields as just read, null = it is to be created. `past`: field -> our history. `infos`: the fields we may write.

    `released`: field -> the person's value that an admin let us overwrite.
    """
    found = Decision()
    for wish in wanted.wishes:
        what = fields[wish.field]
        if wish.field not in infos:
            found.blocked.append(wish.field)
            continue
        fitted = coerce(wish.value, what, infos.get(wish.field))
        if fitted.invalid is not None:
            found.invalid[wish.field] = fitted.invalid
            continue
        if live is None:
            if fitted.value is not None:
                found.send[wish.field] = fitted.value
            continue
        now = live.get(wish.field)
        found.before[wish.field] = now
        # a person moved it since: the next run goes on from there
        moved = what.on_edit == "follow" and now != wish.seen
        if now == fitted.value or moved or (wish.mode == "if_empty" and not _is_empty(now, what)):
            found.settled[wish.field] = now
        elif _is_ours(now, fitted.value, past.get(wish.field, Past()), what) or (wish.field in released and released[wish.field] == now):
            found.send[wish.field] = fitted.value
        else:
            found.held[wish.field] = now
    return _without_riders(wanted, found)


def _is_empty(value: str | None, what: WriteField) -> bool:
    return value is None or (what.type == FieldType.CHECKBOX and value == "false")


def _is_ours(now: str | None, value: str | None, past: Past, what: WriteField) -> bool:
    if what.on_edit in ("overwrite", "follow"):
        return True
    if now in past.acknowledged or now in past.open_intents:
        return True
    # what we never wrote is a person's, unless it is empty; an intent without an answer may or may not have arrived, so empty is free then too
    return not past.acknowledged and _is_empty(now, what)


def _without_riders(wanted: Wanted, found: Decision) -> Decision:
    """Fields that ride along do not travel alone, unless their age sent them."""
    modes = {wish.field: wish for wish in wanted.wishes}
    if found.send and all(modes[f].mode == "ride_along" and not modes[f].aged for f in found.send):
        found.send.clear()
    return found


def slices(wanted: Sequence[Wanted], most: int) -> list[list[Wanted]]:
    """Records in order of account, at most `most` together, one account's records never apart unless they are more than that."""
    done: list[list[Wanted]] = []
    family: list[Wanted] = []
    for one in [*sorted(wanted, key=lambda w: (w.account_id, w.key)), None]:
        if family and (one is None or one.account_id != family[0].account_id):
            if done and len(done[-1]) + len(family) <= most:
                done[-1] += family
            else:
                done += [family[i : i + most] for i in range(0, len(family), most)]
            family = []
        if one is not None:
            family.append(one)
    return done
