"""Associations: which record belongs to which, read and made in batches (reference sheet, 3).

A record may have several of one type; we want one: the one labelled Primary, else the oldest (lowest id). That nothing is associated comes as 207
with an error per record, and is no failure.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from connectors.errors import Misfit
from connectors.hubspot.client import Portal
from connectors.hubspot.objects import Objects

#: Inputs of one call (sheet, 3.2).
READ_INPUTS, WRITE_INPUTS, REMOVE_INPUTS = 1000, 1000, 100


class Links:
    """Associations of one account. Object types by name."""

    def __init__(self, portal: Portal, objects: Objects) -> None:
        self._portal, self._objects = portal, objects

    def one(self, from_type: str, to_type: str, ids: Sequence[str], kind: str = "associations") -> dict[str, str]:
        """Record id -> id of the one record of `to_type` it belongs to; records without one are absent."""
        found = self._all(from_type, to_type, ids, kind)
        return {record: min(to, key=lambda link: (not link[1], id_order(link[0])))[0] for record, to in found.items() if to}

    def every(self, from_type: str, to_type: str, ids: Sequence[str], kind: str = "associations") -> dict[str, list[str]]:
        """Record id -> ids of all records of `to_type` it is associated with."""
        return {record: [to for to, _ in links] for record, links in self._all(from_type, to_type, ids, kind).items()}

    def _all(self, from_type: str, to_type: str, ids: Sequence[str], kind: str) -> dict[str, list[tuple[str, bool]]]:
        """Record id -> (associated id, whether primary); a record with more than a page of them is asked again."""
        found: dict[str, list[tuple[str, bool]]] = {}
        open_inputs = [{"id": record} for record in dict.fromkeys(ids)]
        while open_inputs:
            now, open_inputs = open_inputs[:READ_INPUTS], open_inputs[READ_INPUTS:]
            body = self._portal.json(kind, lambda hs: hs.crm.associations.v4.batch_api.get_page, *self._types(from_type, to_type), {"inputs": now})
            for result in body["results"]:
                record = str(result["from"]["id"])
                found.setdefault(record, []).extend((str(to["toObjectId"]), _primary(to)) for to in result["to"])
                after = ((result.get("paging") or {}).get("next") or {}).get("after")
                if after:
                    open_inputs.append({"id": record, "after": after})
        return found

    def make(self, from_type: str, to_type: str, pairs: Iterable[tuple[str, str]]) -> None:
        """Associate pairs, unlabelled. What is there already stays as it is."""
        inputs = [{"from": {"id": a}, "to": {"id": b}} for a, b in pairs]
        for start in range(0, len(inputs), WRITE_INPUTS):
            body = {"inputs": inputs[start : start + WRITE_INPUTS]}
            self._portal.json("associate", lambda hs: hs.crm.associations.v4.batch_api.create_default, *self._types(from_type, to_type), body)

    def remove(self, from_type: str, to_type: str, stale: dict[str, list[str]]) -> None:
        """Take associations away: record id -> associated ids."""
        inputs = [{"from": {"id": a}, "to": [{"id": b} for b in bs]} for a, bs in stale.items() if bs]
        for start in range(0, len(inputs), REMOVE_INPUTS):
            body = {"inputs": inputs[start : start + REMOVE_INPUTS]}
            self._portal.json("associate", lambda hs: hs.crm.associations.v4.batch_api.archive, *self._types(from_type, to_type), body)

    def spec(self, from_type: str, to_type: str) -> dict[str, Any]:
        """The association type a new record is given with: the primary one, else the first; asked of the account, since the numbers differ."""
        found = self._portal.json("describe", lambda hs: hs.crm.associations.v4.schema.definitions_api.get_all, *self._types(from_type, to_type))
        kinds = sorted(found["results"], key=lambda kind: kind.get("label") != "Primary")
        if not kinds:
            text = f"HubSpot knows no association from {from_type} to {to_type}."
            raise Misfit(text, remedy="A HubSpot admin must check the plan and the token's scopes of both.", code="NO_ASSOCIATION_TYPE")
        return {"associationCategory": kinds[0]["category"], "associationTypeId": int(kinds[0]["typeId"])}

    def _types(self, from_type: str, to_type: str) -> tuple[str, str]:
        return self._objects.type_id(from_type), self._objects.type_id(to_type)


def id_order(record_id: str) -> tuple[int, str]:
    """Ids are whole numbers in text; whatever else comes is only put somewhere."""
    return len(record_id), record_id


def _primary(to: dict[str, Any]) -> bool:
    return any((t.get("label") or "") == "Primary" for t in to.get("associationTypes") or ())
