"""Links between records: storing them, and their forms inside records and in v4 answers (reference: section 3)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from connectors.hubspot.sandbox import records
from connectors.hubspot.sandbox.association_types import AssociationType, between, default, origin
from connectors.hubspot.sandbox.errors import HubSpotError, RowError
from connectors.hubspot.sandbox.types import ObjectType

if TYPE_CHECKING:
    from connectors.hubspot.sandbox.routing import Context
    from connectors.hubspot.sandbox.state import State

JSON = dict[str, Any]
INLINE = 100
CHUNK = 400
KEY = "from_type = ? AND from_id = ? AND to_type = ? AND to_id = ? AND category = ? AND type_id = ?"


@dataclass(frozen=True, slots=True)
class Link:
    """One type of association to one record."""

    target: ObjectType
    to_id: int
    type: AssociationType


def find_type(state: State, kind: ObjectType, target: ObjectType, category: str, type_id: int) -> AssociationType:
    """The type a client names; raises 400 for an unknown one or a wrong direction."""
    for item in between(state, kind, target):
        if item.category == category and item.type_id == type_id:
            return item
    expected = origin(state, category, type_id)
    if expected is not None and expected != kind.id:
        text = f"associationTypeId {type_id} has an invalid from object type {kind.id} for associations to be created. expected: {expected}"
        raise HubSpotError(400, text)
    raise HubSpotError(400, "One or more associations are invalid")


def parse_inline(state: State, kind: ObjectType, given: Any) -> tuple[RowError | None, list[Link]]:
    """The `associations` of a create; an error instead when a type or record does not exist."""
    links = []
    try:
        for entry in given:
            to_id = records.number_of(str(entry["to"]["id"]))
            for spec in entry["types"]:
                category, type_id = str(spec["associationCategory"]), int(spec["associationTypeId"])
                target = _target(state, kind, category, type_id)
                if to_id is None or not live(state, target, [to_id]):
                    return RowError("One or more associations are invalid"), []
                links.append(Link(target, to_id, find_type(state, kind, target, category, type_id)))
    except (KeyError, TypeError, ValueError):
        return RowError("One or more associations are invalid"), []
    except HubSpotError as error:
        return RowError(error.message), []
    return None, links


def _target(state: State, kind: ObjectType, category: str, type_id: int) -> ObjectType:
    for target in dict.fromkeys(state.types().values()):
        if any(item.category == category and item.type_id == type_id for item in between(state, kind, target)):
            return target
    expected = origin(state, category, type_id)
    if expected is not None:
        text = f"associationTypeId {type_id} has an invalid from object type {kind.id} for associations to be created. expected: {expected}"
        raise HubSpotError(400, text)
    raise HubSpotError(400, "One or more associations are invalid")


def live(state: State, kind: ObjectType, ids: Sequence[int]) -> set[int]:
    """Which of the ids lead to live records."""
    return {key for key, record in records.fetch(state, kind, ids).items() if not record.archived}


def connect(state: State, kind: ObjectType, from_id: int, links: Sequence[Link]) -> None:
    """Stores links in both directions; must run in a transaction. Neither record's last-modified stamp moves."""
    for link in links:
        to_id = records.resolve(state, link.target, [link.to_id]).get(link.to_id, link.to_id)
        _store(state, link.type, from_id, to_id)
        plain = default(state, kind, link.target)
        if link.type.category == "HUBSPOT_DEFINED" and plain is not None:
            _store(state, plain, from_id, to_id)
            _first_primary(state, kind, from_id, link.target, to_id)


def _first_primary(state: State, kind: ObjectType, from_id: int, target: ObjectType, to_id: int) -> None:
    """A contact's, deal's or ticket's first company becomes its primary one."""
    if target.id == "0-2" and kind.id in ("0-1", "0-3", "0-5"):
        owner, company, owner_kind, company_kind = from_id, to_id, kind, target
    elif kind.id == "0-2" and target.id in ("0-1", "0-3", "0-5"):
        owner, company, owner_kind, company_kind = to_id, from_id, target, kind
    else:
        return
    main = next(item for item in between(state, owner_kind, company_kind) if item.primary)
    row = state.db.one(
        "SELECT 1 FROM assoc WHERE from_type = ? AND from_id = ? AND to_type = '0-2' AND category = ? AND type_id = ?",
        (owner_kind.id, owner, main.category, main.type_id),
    )
    if row is None:
        _store(state, main, owner, company)


def _store(state: State, kind: AssociationType, from_id: int, to_id: int) -> None:
    owner = (kind.from_type, from_id, kind.to_type, to_id) if kind.to_type == "0-2" else (kind.to_type, to_id, kind.from_type, from_id)
    if kind.primary:
        _clear_primary(state, kind, owner)
    now = state.now().timestamp()
    state.db.connection.executemany(
        "INSERT OR IGNORE INTO assoc VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (kind.from_type, from_id, kind.to_type, to_id, kind.category, kind.type_id, now),
            (kind.to_type, to_id, kind.from_type, from_id, kind.category, kind.inverse, now),
        ],
    )
    if kind.primary and owner[0] == "0-1":
        _contact_company(state, owner[1], owner[3])


def _clear_primary(state: State, kind: AssociationType, owner: tuple[str, int, str, int]) -> None:
    number, inverse = (kind.type_id, kind.inverse) if kind.to_type == "0-2" else (kind.inverse, kind.type_id)
    rows = state.read(
        "SELECT to_id FROM assoc WHERE from_type = ? AND from_id = ? AND to_type = ? AND category = ? AND type_id = ?",
        (owner[0], owner[1], owner[2], kind.category, number),
    )
    # By the whole key: rows are found by where they start, not by where they lead.
    keys = [(owner[0], owner[1], owner[2], row[0], kind.category, number) for row in rows]
    keys += [(owner[2], row[0], owner[0], owner[1], kind.category, inverse) for row in rows]
    state.db.connection.executemany(f"DELETE FROM assoc WHERE {KEY}", keys)


def forget(state: State, kind: ObjectType, record_id: int) -> None:
    """Removes every link of a record in both directions."""
    rows = state.read("SELECT DISTINCT to_type, to_id FROM assoc WHERE from_type = ? AND from_id = ?", (kind.id, record_id))
    state.db.connection.executemany(
        "DELETE FROM assoc WHERE from_type = ? AND from_id = ? AND to_type = ? AND to_id = ?", [(*row, kind.id, record_id) for row in rows]
    )
    state.db.write("DELETE FROM assoc WHERE from_type = ? AND from_id = ?", (kind.id, record_id))


def move(state: State, kind: ObjectType, old: int, new: int) -> None:
    """Gives a record's links to another record of the same type; links between the two go."""
    columns = "from_type, from_id, to_type, to_id, category, type_id, at"
    rows = state.read(f"SELECT {columns} FROM assoc WHERE from_type = ? AND from_id = ?", (kind.id, old))
    backs = [
        back
        for to_type, to_id in dict.fromkeys((row[2], row[3]) for row in rows)
        for back in state.read(
            f"SELECT {columns} FROM assoc WHERE from_type = ? AND from_id = ? AND to_type = ? AND to_id = ?", (to_type, to_id, kind.id, old)
        )
    ]
    forget(state, kind, old)
    moved = [(row[0], new, *row[2:]) for row in rows if (row[2], row[3]) != (kind.id, new)]
    moved += [(*row[:3], new, *row[4:]) for row in backs if (row[0], row[1]) != (kind.id, new)]
    state.db.connection.executemany("INSERT OR IGNORE INTO assoc VALUES (?, ?, ?, ?, ?, ?, ?)", moved)


def _contact_company(state: State, contact: int, company: int | None) -> None:
    row = state.db.one("SELECT props FROM object WHERE type = '0-1' AND id = ?", (contact,))
    if row is not None:
        props = orjson.loads(row[0])
        if company is None:
            props.pop("associatedcompanyid", None)
        else:
            props["associatedcompanyid"] = str(company)
        state.db.write("UPDATE object SET props = ? WHERE type = '0-1' AND id = ?", (orjson.dumps(props).decode(), contact))


def disconnect(state: State, kind: ObjectType, from_id: int, target: ObjectType, to_id: int, types: Sequence[AssociationType] | None = None) -> None:
    """Removes some (None: all) types of a pair in both directions; must run in a transaction."""
    where, back = "from_type = ? AND from_id = ? AND to_type = ? AND to_id = ?", (target.id, to_id, kind.id, from_id)
    there = (kind.id, from_id, target.id, to_id)
    if types is None:
        state.db.write(f"DELETE FROM assoc WHERE {where}", there)
        state.db.write(f"DELETE FROM assoc WHERE {where}", back)
    for item in types or []:
        state.db.write(f"DELETE FROM assoc WHERE {where} AND category = ? AND type_id = ?", (*there, item.category, item.type_id))
        state.db.write(f"DELETE FROM assoc WHERE {where} AND category = ? AND type_id = ?", (*back, item.category, item.inverse))
    if types is None or any(item.primary for item in types):
        for owner, other in ((there, back), (back, there)):
            if owner[0] == "0-1" and other[0] == "0-2":
                _contact_company(state, owner[1], None)


# -- reading --------------------------------------------------------------------------------------------------------


def targets(
    state: State, kind: ObjectType, target: ObjectType, asked: Sequence[tuple[int, int]], page: int
) -> dict[int, tuple[list[tuple[int, list[AssociationType]]], int | None]]:
    """For each (from id, first to id): live targets with their types, at most `page`, and where the next page starts."""
    known = {(item.category, item.type_id): item for item in between(state, kind, target)}
    starts = dict(asked)
    found: dict[int, dict[int, list[AssociationType]]] = {key: {} for key in starts}
    ids = list(starts)
    for begin in range(0, len(ids), CHUNK):
        part = ids[begin : begin + CHUNK]
        marks = ",".join("?" * len(part))
        rows = state.read(
            f"SELECT a.from_id, a.to_id, a.category, a.type_id FROM assoc a "
            f"JOIN object o ON o.type = a.to_type AND o.id = a.to_id AND o.archived = 0 "
            f"WHERE a.from_type = ? AND a.from_id IN ({marks}) AND a.to_type = ? ORDER BY a.from_id, a.to_id, a.type_id",
            (kind.id, *part, target.id),
        )
        for from_id, to_id, category, type_id in rows:
            if to_id >= starts[from_id] and (category, type_id) in known:
                found[from_id].setdefault(to_id, []).append(known[(category, type_id)])
    result: dict[int, tuple[list[tuple[int, list[AssociationType]]], int | None]] = {}
    for from_id, links in found.items():
        items = list(links.items())
        result[from_id] = (items[:page], items[page][0] if len(items) > page else None)
    return result


def cursor(kind: ObjectType, to_id: int) -> str:
    """A paging cursor as HubSpot encodes it: base64 of `0-2-7502`."""
    return base64.b64encode(f"{kind.id}-{to_id}".encode()).decode()


def parse_cursor(text: str) -> int:
    """The record id in a cursor; raises 400."""
    if not text:
        return 0
    try:
        return int(base64.b64decode(text, validate=True).decode().rsplit("-", 1)[1])
    except (ValueError, IndexError, binascii.Error, UnicodeDecodeError):
        if text.isdigit():
            return int(text)
        raise HubSpotError(400, f"Invalid paging cursor: {text}") from None


def add_inline(context: Context, kind: ObjectType, others: Sequence[ObjectType], bodies: Sequence[JSON]) -> None:
    """Puts `associations` into record bodies: at most the first 100 of each type, no key where there are none."""
    for other in others:
        context.need_any(other.read_scope, other.write_scope)
        found = targets(context.state, kind, other, [(int(body["id"]), 0) for body in bodies], INLINE)
        for body in bodies:
            items, after = found[int(body["id"])]
            if not items:
                continue
            entry: JSON = {"results": [{"id": str(to_id), "type": item.name} for to_id, types in items for item in types]}
            if after is not None:
                link = f"https://api.hubapi.com/crm/v3/objects/{kind.plural}/{body['id']}/associations/{other.plural}?after={cursor(other, after)}"
                entry["paging"] = {"next": {"after": cursor(other, after), "link": link}}
            body.setdefault("associations", {})[other.inline_key] = entry


def v4_targets(items: Sequence[tuple[int, list[AssociationType]]]) -> list[JSON]:
    """The v4 form: numeric ids, types with labels."""
    return [
        {
            "toObjectId": to_id,
            "associationTypes": [{"category": item.category, "typeId": item.type_id, "label": item.label} for item in types],
        }
        for to_id, types in items
    ]
