"""Which sources a run reads, how, and which of our own fields come with them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from connectors.base import Crm
from connectors.entities import Entity
from mappings.models import CrmMapping, FieldColumn, Mappings, Source, WriteField
from worker.items import StepContext

#: Entities that carry our own fields -> the object of writeback.yml.
OWN = {Entity.ACCOUNT: "account", Entity.CSQL: "csql"}


@dataclass(frozen=True)
class Place:
    """One source of one entity of one connection."""

    connection: str
    entity: Entity
    index: int
    source: Source

    @property
    def key(self) -> str:
        return f"{self.connection}/{self.entity.value}/{self.index}"


def home_of(mappings: Mappings) -> str | None:
    """The connection that is authoritative for accounts: its ids are theirs. Null without a connection."""
    claiming = (name for name, crm in mappings.crm.items() if Entity.ACCOUNT in (crm.authoritative or crm.entities))
    return next(claiming, next(iter(mappings.crm), None))


def suppliers_of(mappings: Mappings, entity: Entity) -> list[str]:
    """Connections whose rows of an entity count: the authoritative one, and those that add to it."""
    return [name for name, crm in mappings.crm.items() if entity in crm.entities and crm.supplies(entity)]


def of_connection(connection: str, stat: str) -> str:
    """Name of a stat that counts one connection's part of `stat`."""
    return f"connection/{connection}/{stat}"


def places(mappings: Mappings) -> Iterator[Place]:
    """Every source to be read: what counts of each connection; its accounts, which are written to; the home's CSQLs, which people move there."""
    home = home_of(mappings)
    for connection, crm in mappings.crm.items():
        for name, sources in crm.entities.items():
            if crm.supplies(name) or name == Entity.ACCOUNT or (name == Entity.CSQL and connection == home):
                for index, source in enumerate(sources):
                    yield Place(connection, Entity(name), index, source)


def place_of(mappings: Mappings, payload: Mapping[str, Any]) -> Place:
    """The source an item is about."""
    entity = Entity(payload["entity"])
    source = mappings.crm[payload["connection"]].entities[entity.value][payload["index"]]
    return Place(payload["connection"], entity, payload["index"], source)


def own_fields(mappings: Mappings, entity: Entity, *, read: bool) -> list[WriteField]:
    """Fields of writeback.yml on the entity's record; with `read` only those in a set that is switched on (the others were never provisioned)."""
    if entity not in OWN:
        return []
    fields = mappings.writeback.of(OWN[entity])
    return [f for f in fields if f.set in mappings.writeback.sets] if read else fields


def vendor_names(crm: CrmMapping, fields: list[WriteField]) -> list[str]:
    return [f.names[crm.vendor] for f in fields if crm.vendor in f.names]


def account_path(place: Place) -> str | None:
    """The vendor field that holds the account's id, by which a resync finds the account's records; null where the mapping computes it."""
    if place.entity == Entity.ACCOUNT:
        return "_id"
    spec = place.source.columns.get("account_id")
    return spec if isinstance(spec, str) else spec.field if isinstance(spec, FieldColumn) and spec.values is None else None


@contextmanager
def counted(ctx: StepContext, connection: str, stats: dict[str, float]) -> Iterator[Crm]:
    """The connection, and in `stats` the calls the block made: `calls.<kind>`, of all and of this connection. Those of a failed attempt are lost."""
    crm = ctx.crm(connection)
    before = dict(crm.calls.by_kind)
    try:
        yield crm
    finally:
        for kind, n in crm.calls.by_kind.items():
            made = n - before.get(kind, 0)
            if made:
                for name in (f"calls.{kind}", of_connection(connection, f"calls.{kind}")):
                    stats[name] = stats.get(name, 0) + made
