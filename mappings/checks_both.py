"""Checks of several connections at once: each entity comes from one of them, and their accounts can be recognised."""

from collections.abc import Iterator

from mappings.checker import Checker
from mappings.expressions import nearest
from mappings.faults import Fault
from mappings.models import CrmMapping

#: Entities that one connection alone decides, so that nothing may be added to them.
_ALONE = ("account", "csql")


def check_both(checker: Checker) -> Iterator[Fault]:
    mappings: dict[str, CrmMapping] = checker.parts.models["crm"]
    for name, mapping in mappings.items():
        yield from _added(checker, name, mapping)
    if len(mappings) < 2 or len(mappings) != len(checker.parts.stems("crm")):
        return
    twice = [entity for entity in _entities(mappings) if len(_authorities(mappings, entity)) > 1]
    if twice:  # told by the checks of each file; what follows from it would only be noise
        return
    yield from _nobodys(checker, mappings)
    yield from _vendors(checker, mappings)
    yield from _recognised(checker, mappings)


def _entities(mappings: dict[str, CrmMapping]) -> list[str]:
    return list(dict.fromkeys(entity for mapping in mappings.values() for entity in mapping.entities))


def _authorities(mappings: dict[str, CrmMapping], entity: str) -> list[str]:
    return [name for name, mapping in mappings.items() if entity in (mapping.authoritative or mapping.entities)]


def _added(checker: Checker, name: str, mapping: CrmMapping) -> Iterator[Fault]:
    for place, entity in enumerate(mapping.adds):
        at = ("adds", place)
        if entity not in mapping.entities:
            yield checker.parts.fault("crm", name, at, f"`{entity}` is not mapped here", nearest(entity, mapping.entities) or "map it, or drop it")
        elif entity in _ALONE:
            yield checker.parts.fault("crm", name, at, f"`{entity}` comes from one connection alone", "drop it")
        elif entity in (mapping.authoritative or mapping.entities):
            yield checker.parts.fault("crm", name, at, f"this connection is authoritative for `{entity}` already", "name it in one of the two lists")


def _nobodys(checker: Checker, mappings: dict[str, CrmMapping]) -> Iterator[Fault]:
    """Entities that several connections map and none decides; the CSQLs, which hang on the accounts."""
    for entity in _entities(mappings):
        having = [name for name, mapping in mappings.items() if entity in mapping.entities]
        if len(having) > 1 and not _authorities(mappings, entity):
            files = " and ".join(f"crm/{name}.yml" for name in having)
            text = f"`{entity}` is mapped in {files}, and none of them is authoritative for it"
            yield checker.parts.fault("crm", having[0], ("authoritative",), text, f"name `{entity}` under `authoritative` of one of them")
    accounts, csqls = _authorities(mappings, "account"), _authorities(mappings, "csql")
    if accounts and csqls and accounts != csqls:
        text = f"CSQL records hang on accounts, and crm/{accounts[0]}.yml is authoritative for `account`"
        yield checker.parts.fault("crm", csqls[0], ("authoritative",), text, f"name `csql` under `authoritative` of crm/{accounts[0]}.yml instead")


def _vendors(checker: Checker, mappings: dict[str, CrmMapping]) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name, mapping in mappings.items():
        other = seen.setdefault(mapping.vendor, name)
        if other != name:
            text = f"crm/{other}.yml is a connection to {mapping.vendor} too; the settings know one of each vendor"
            yield checker.parts.fault("crm", name, ("vendor",), text, "keep one connection for each vendor")


def _recognised(checker: Checker, mappings: dict[str, CrmMapping]) -> Iterator[Fault]:
    """A connection whose accounts nothing could tell apart would be read for nobody and never written."""
    home = next(iter(_authorities(mappings, "account")), None)
    if home is None:
        return
    for name, mapping in mappings.items():
        if name == home:
            continue
        if "account" not in mapping.entities:
            text = "maps no `account`: whose its records are could not be told, and no score could be written to it"
            yield checker.parts.fault("crm", name, ("entities",), text, "map account, with cross_id or domain")
            continue
        mine, theirs = _columns(mapping), _columns(mappings[home])
        known = {"cross_id": "cross_id" in mine | theirs, "domain": "domain" in mine & theirs}
        if not any(known[key] for key in mapping.match):
            text = f"its accounts have no key that crm/{home}.yml knows: match is [{', '.join(mapping.match)}]"
            remedy = "map cross_id of account in one of the two files, or domain in both"
            yield checker.parts.fault("crm", name, ("match",), text, remedy)


def _columns(mapping: CrmMapping) -> set[str]:
    return {column for source in mapping.entities.get("account", []) for column in source.columns}
