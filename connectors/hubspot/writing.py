"""Writes records by batch update and upsert; one result per record, whatever happens to its neighbours (reference sheet, 2.6).

Every input carries a trace id, so that HubSpot can name the bad ones and write the others. Where it refuses the whole batch instead, the batch is
halved until the record is found. Answers come in any order and are matched by trace, id or key; an input without an answer is never taken for done.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from connectors.base import FieldInfo, RecordWrite, WriteResult, WriteState
from connectors.errors import ConnectorError, Gone, Misfit, Refused
from connectors.hubspot.births import Birth, Births
from connectors.hubspot.client import Portal
from connectors.hubspot.errors import PROPERTY_CODES, TABLE, Said, read_error, said_of
from connectors.hubspot.links import Links
from connectors.hubspot.names import ObjectNames
from connectors.hubspot.objects import LINK, Objects, ObjectType
from connectors.hubspot.reading import Reader
from connectors.hubspot.stores import Store
from mappings.models import WriteField

#: HubSpot's most per batch (sheet, 2.6).
BATCH_RECORDS = 100
#: A create whose unique key another record has.
TAKEN = ("CONFLICT", "OBJECT_ALREADY_EXISTS")

Numbered = tuple[int, RecordWrite]


class Way(StrEnum):
    """How a record is written: by its id; by our key, whether it is there or not; or made with associations, which an upsert cannot give it."""

    UPDATE = "update"
    UPSERT = "upsert"
    CREATE = "create"


@dataclass(frozen=True)
class Target:
    """One object type to write to: our field key -> property, and which of them cannot be written now (key -> code)."""

    type: ObjectType
    names: Mapping[str, str]
    refused: Mapping[str, str]
    key: WriteField | None  # external key field; null = by record id
    store: Store | None = None  # where CSQLs live; null for other objects
    births: Mapping[int, Birth] = field(default_factory=dict)  # position -> what its creation needs

    @property
    def key_name(self) -> str:
        assert self.key is not None
        return self.key.names["hubspot"]


class Writer:
    """Writes for one account."""

    def __init__(self, portal: Portal, objects: Objects, links: Links, object_names: ObjectNames, reader: Reader) -> None:
        self._portal, self._objects, self._links, self._names = portal, objects, links, object_names
        self._births = Births(portal, objects, links, reader)

    def target(self, fields: Sequence[WriteField], key_field: WriteField | None) -> Target:
        """Where fields go. Misfit if the object type, or the unique property that upserts go by, is gone."""
        own = (key_field or fields[0]).object
        described = self._objects.get(self._names[own])
        if key_field is not None and key_field.names["hubspot"] not in described.unique:
            rule = TABLE["PROPERTY_DOESNT_EXIST"]
            text = f"The unique property {described.name}.{key_field.names['hubspot']} is gone, or is not unique."
            raise Misfit(text, remedy=rule.remedy, code="PROPERTY_DOESNT_EXIST")
        names = {f.key: f.names["hubspot"] for f in fields if "hubspot" in f.names}
        infos: dict[str, FieldInfo] = {key: described.fields[n.lower()] for key, n in names.items() if n.lower() in described.fields}
        refused = {f.key: "PROPERTY_DOESNT_EXIST" for f in fields if f.key not in infos}
        refused |= {key: "READ_ONLY_VALUE" for key, info in infos.items() if not (info.updateable or info.createable)}
        return Target(described, names, refused, key_field, self._names.stores.current() if own == "csql" else None)

    def write(self, fields: Sequence[WriteField], writes: Sequence[RecordWrite], key_field: WriteField | None) -> list[WriteResult]:
        """One result per write, in order. A property that went away since it was described refuses every record: they go again without it, once."""
        if not writes:
            return []
        target = self.target(fields, key_field)
        results = self._write(target, writes)
        refused = [p for p, result in enumerate(results) if result.state == WriteState.REJECTED and result.code in PROPERTY_CODES]
        if refused:
            self._objects.forget()
            fresh = self.target(fields, key_field)
            if fresh.refused != target.refused:
                for p, result in zip(refused, self._write(fresh, [writes[p] for p in refused]), strict=True):
                    results[p] = result
        return results

    def _write(self, target: Target, writes: Sequence[RecordWrite]) -> list[WriteResult]:
        results: dict[int, WriteResult] = {}
        open_writes: list[Numbered] = []
        for position, write in enumerate(writes):
            usable = {key: value for key, value in write.values.items() if key not in target.refused}
            if write.values and not usable:
                results[position] = _unwritable(target, write)
            else:
                open_writes.append((position, replace(write, values=usable)))
        target = self._with_births(target, open_writes, results)
        ways = {p: _way(target, p, w) for p, w in open_writes if p not in results}
        for way in Way:
            for batch in _batches([(p, w) for p, w in open_writes if ways.get(p) == way]):
                results |= self._send(target, batch, way)
        self._link(target, [(p, w) for p, w in open_writes if results[p].state == WriteState.OK], results)
        return [_partly(target, writes[p], results[p]) for p in range(len(writes))]

    def _with_births(self, target: Target, writes: Sequence[Numbered], results: dict[int, WriteResult]) -> Target:
        """The target with what new records need; those that cannot be created go into `results`."""
        if target.store is None:
            return target
        found = self._births.of(target.store, [(p, w) for p, w in writes if w.record_id is None])
        results |= {p: one for p, one in found.items() if isinstance(one, WriteResult)}
        return replace(target, births={p: one for p, one in found.items() if isinstance(one, Birth)})

    def _send(self, target: Target, batch: Sequence[Numbered], way: "Way") -> dict[int, WriteResult]:
        """One call. A batch refused as a whole is halved; a record refused alone is told by itself."""
        inputs = [_input(target, position, write, way) for position, write in batch]
        if way == Way.UPDATE and not any(i["properties"] for i in inputs):
            return {p: WriteResult(WriteState.OK, w.record_id) for p, w in batch}  # only links change
        try:
            # a create that was cut off may have been done: it is looked up by its key, not sent again
            body = self._portal.json(
                f"batch_{way}",
                lambda hs: getattr(hs.crm.objects.batch_api, way.value),
                target.type.type_id,
                {"inputs": inputs},
                idempotent=way != Way.CREATE,
            )
        except (Refused, Misfit) as error:
            if isinstance(error, Misfit) and error.code not in PROPERTY_CODES:
                raise
            if len(batch) == 1 and way == Way.CREATE and said_of(error).code in TAKEN:
                return {batch[0][0]: _there_already(said_of(error))}
            if len(batch) == 1:
                return {batch[0][0]: _alone(target, batch[0][1], error)}
            if error.code in PROPERTY_CODES and _all_have(target, batch, said_of(error).fields):
                # the property is gone for every record: halving would only find that out a hundred times
                return {p: _refused(target, w.record_id, said_of(error)) for p, w in batch}
            middle = len(batch) // 2
            return self._send(target, batch[:middle], way) | self._send(target, batch[middle:], way)
        return _answered(target, batch, body or {}, way)

    # --- links -----------------------------------------------------------------------------------------------------------------------------------
    def _link(self, target: Target, writes: Sequence[Numbered], results: dict[int, WriteResult]) -> None:
        """Fields that are associations. A record that had another one loses it; a refusal costs that field, not the record."""
        for key, name in target.names.items():
            chosen = [(p, results[p].record_id, w.values[key]) for p, w in writes if name.startswith(LINK) and key in w.values]
            if not chosen:
                continue
            to_type = name.removeprefix(LINK)
            wanted = {record: value for _, record, value in chosen if record is not None}
            created = {results[p].record_id for p, _, _ in chosen if results[p].created}
            old = [record for record in wanted if record not in created]
            try:
                there = self._links.every(target.type.name, to_type, old, "reread") if old else {}
                self._links.remove(target.type.name, to_type, {r: [i for i in ids if i != wanted[r]] for r, ids in there.items()})
                self._links.make(target.type.name, to_type, [(r, v) for r, v in wanted.items() if v is not None and v not in there.get(r, ())])
            except Refused as error:
                text = f"The association with {to_type} could not be made: {error}"
                for p, _, _ in chosen:
                    results[p] = replace(results[p], code=error.code, message=text, fields=(*results[p].fields, key))


def _batches(writes: Sequence[Numbered]) -> Iterator[list[Numbered]]:
    """At most 100, no record twice in one batch: that would refuse all of it."""
    batch: list[Numbered] = []
    seen: set[str] = set()
    for position, write in writes:
        name = write.record_id or write.external_key or ""
        if len(batch) == BATCH_RECORDS or name in seen:
            yield batch
            batch, seen = [], set()
        batch.append((position, write))
        seen.add(name)
    if batch:
        yield batch


def _way(target: Target, position: int, write: RecordWrite) -> Way:
    if write.record_id is not None:
        return Way.UPDATE
    birth = target.births.get(position)
    return Way.CREATE if birth is not None and birth.links else Way.UPSERT


def _input(target: Target, position: int, write: RecordWrite, way: Way) -> dict[str, Any]:
    """Null clears, and HubSpot says that with an empty text (sheet, 4.1)."""
    names = {key: name for key, name in target.names.items() if not name.startswith(LINK)}
    properties = {names[key]: "" if value is None else value for key, value in write.values.items() if key in names}
    properties |= target.store.staged(write.values) if target.store is not None else {}
    if way == Way.UPDATE:
        return {"id": write.record_id, "properties": properties, "objectWriteTraceId": str(position)}
    properties[target.key_name] = write.external_key or ""  # so that the result has it, to be matched by
    birth = target.births.get(position, Birth({}))
    properties = {**birth.properties, **properties}
    if way == Way.CREATE:
        return {"properties": properties, "associations": list(birth.links), "objectWriteTraceId": str(position)}
    return {"id": write.external_key, "idProperty": target.key_name, "properties": properties, "objectWriteTraceId": str(position)}


def _all_have(target: Target, batch: Sequence[Numbered], named: Sequence[str]) -> bool:
    keys = {key for key, name in target.names.items() if name in named}
    return bool(keys) and all(keys & w.values.keys() for _, w in batch)


def _answered(target: Target, batch: Sequence[Numbered], body: Mapping[str, Any], way: Way) -> dict[int, WriteResult]:
    """Results and errors of a good answer or a 207, joined to the inputs."""
    upsert = way != Way.UPDATE
    by_trace = {str(position): position for position, _ in batch}
    by_name = {str(w.external_key if upsert else w.record_id): position for position, w in batch}
    writes = dict(batch)
    found: dict[int, WriteResult] = {}
    for row in body.get("results") or ():
        own = str((row.get("properties") or {}).get(target.key_name)) if upsert else str(row.get("id"))
        at = by_trace.get(str(row.get("objectWriteTraceId")), by_name.get(own))
        if at is not None:
            found[at] = _done(writes[at], row, way)
    for raw in body.get("errors") or ():
        said = read_error(raw)
        for at in [*(by_trace[t] for t in said.traces if t in by_trace), *(by_name[i] for i in said.ids if i in by_name)]:
            found[at] = _there_already(said) if way == Way.CREATE and said.code in TAKEN else _refused(target, writes[at].record_id, said)
    lost = "HubSpot gave no result for this record; it is read again."
    return {p: found.get(p) or WriteResult(WriteState.UNPROCESSED, w.record_id, code="NO_RESULT", message=lost) for p, w in batch}


def _there_already(said: Said) -> WriteResult:
    """Somebody made the record since we looked for its key: the key is unique, so that it is this one."""
    return WriteResult(WriteState.UNPROCESSED, code=said.code, message="A record with this key exists since a moment ago; it is read again.")


def _done(write: RecordWrite, row: Mapping[str, Any], way: Way) -> WriteResult:
    record_id = str(row["id"])
    if way == Way.UPDATE and record_id != write.record_id:
        # the old id is an alias now: the values went to the survivor, whose own are written by the next run
        return WriteResult(WriteState.GONE, write.record_id, code="MERGED", message=f"The record was merged into {record_id} meanwhile.")
    return WriteResult(WriteState.OK, record_id, created=way == Way.CREATE or bool(row.get("new")))


def _refused(target: Target, record_id: str | None, said: Said) -> WriteResult:
    gone = said.code == "OBJECT_NOT_FOUND"
    ours = {name: key for key, name in target.names.items()}
    fields = tuple(ours[name] for name in said.fields if name in ours)
    return WriteResult(WriteState.GONE if gone else WriteState.REJECTED, record_id, code=said.code, message=said.whole_text(), fields=fields)


def _alone(target: Target, write: RecordWrite, error: ConnectorError) -> WriteResult:
    """One record's refusal of its own call."""
    result = _refused(target, write.record_id, said_of(error))
    if isinstance(error, Gone):
        return replace(result, state=WriteState.GONE, code=result.code or "NOT_FOUND", message=str(error))
    return replace(result, message=str(error)) if said_of(error).rule is None else result


def _unwritable(target: Target, write: RecordWrite) -> WriteResult:
    bad = [key for key in write.values if key in target.refused]
    return WriteResult(WriteState.REJECTED, write.record_id, code=target.refused[bad[0]], message=_unwritable_text(target, bad), fields=tuple(bad))


def _unwritable_text(target: Target, keys: Sequence[str]) -> str:
    rule = TABLE[target.refused[keys[0]]]
    named = ", ".join(f"{target.type.name}.{target.names.get(k, k)}" for k in keys)
    return f"{rule.text.format(fields=named)} {rule.remedy}"


def _partly(target: Target, write: RecordWrite, result: WriteResult) -> WriteResult:
    """A record that is well but for fields that could not go along says so: `ok`, with those fields named."""
    left_out = [key for key in write.values if key in target.refused]
    if result.state != WriteState.OK or not left_out:
        return result
    text = _unwritable_text(target, left_out)
    return replace(result, code=target.refused[left_out[0]], message=text, fields=(*result.fields, *left_out))
