"""CSQLs as leads, tasks and deals on every family of paths: what is sent and answered fits the contract files, which listen to all tests here."""

from collections.abc import Iterator

import pytest

from connectors.base import RecordWrite, WriteState
from connectors.sandbox_kit import SandboxProcess
from tests.connectors import hubs

STATE = hubs.field(
    "state", "picklist", object="csql", values=[{"value": v, "en": v, "ja": v} for v in ("Candidate", "Submitted", "Accepted", "Expired")]
)
FIELDS = [hubs.KEY, hubs.TITLE, hubs.PARENT, STATE]
#: store -> object type, its stage, what sales sets to take a record up, and the stage of one that expired
STORES = {
    "lead": ("leads", "hs_pipeline_stage", "attempting-stage-id", "unqualified-stage-id"),
    "task": ("tasks", "hs_task_status", "IN_PROGRESS", "COMPLETED"),
    "deal": ("deals", "dealstage", "Accepted", "Expired"),
}


@pytest.fixture(scope="module")
def plain() -> Iterator[SandboxProcess]:
    with SandboxProcess(crm="hubspot") as box:
        box.control.settings(**hubs.SETTINGS)
        yield box


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
@pytest.mark.parametrize("store", STORES)
def test_a_store_serves_on_every_family_of_paths(plain: SandboxProcess, store: str, version: str) -> None:
    object_name, stage, accepted, expired = STORES[store]
    crm = hubs.open_crm(plain, mapping=hubs.MAPPING.model_copy(update={"csql_store": store}), csql_fields=FIELDS, version=version)
    crm.provision(FIELDS, dry_run=False, say=lambda _: None)
    (account,) = hubs.make_companies(plain, 1)
    (person,) = plain.control.seed("contacts", [{"lastname": "佐藤"}])
    plain.control.call("associate", {"from": "contacts", "to": "companies", "pairs": [[person, account]]})
    key = f"{account}|expense|1"
    new = RecordWrite(None, key, account, {"account": account, "title": "席数", "state": "Submitted"})
    (made,) = crm.write(FIELDS, [new], key_field=hubs.KEY)
    assert (made.state, made.created) == (WriteState.OK, True)
    assert made.record_id is not None
    asked = [hubs.TITLE, hubs.PARENT, STATE]
    there = {"title": "席数", "account": account, "state": "Submitted"}
    assert crm.find_by_key(asked, hubs.KEY, [key]) == {key: {"_id": made.record_id, **there}}
    # sales takes it up by the store's own stage: that is the state from now on
    labels = {s["label"]: s["id"] for p in crm._stores.pipelines("deals") if p["label"] == "CSQL" for s in p["stages"]}
    plain.control.call("write", {"object": object_name, "rows": [{"id": made.record_id, stage: labels.get(accepted, accepted)}]})
    assert crm.reread(asked, [made.record_id]) == {made.record_id: there | {"state": "Accepted"}}
    # a state that we write takes the stage along
    (done,) = crm.write(FIELDS, [RecordWrite(made.record_id, key, account, {"state": "Expired"})], key_field=hubs.KEY)
    assert done.state == WriteState.OK
    assert hubs.stored(plain, object_name, stage)[made.record_id] == labels.get(expired, expired)
    assert crm.reread([STATE], [made.record_id]) == {made.record_id: {"state": "Expired"}}
