"""A field that holds several values: provisioned, written and read back as one canonical text in both CRMs."""

from typing import Any

from connectors.base import Finding, WriteState
from connectors.sandbox_kit import SandboxProcess
from tests.connectors import hubs, orgs
from tests.factories import make_field

VALUES = [{"value": v, "en": v.upper(), "ja": v} for v in ("late", "early", "middle")]
PATTERN = make_field("shape", type="multi_picklist", names={"salesforce": "CSH_Shape__c", "hubspot": "csh_shape"}, values=VALUES)


def errors(findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if f.severity == "error"]


def written(crm: Any, record_id: str, value: str | None) -> Any:
    (result,) = crm.write([PATTERN], [orgs.update(record_id, shape=value)], key_field=None)
    return result


def test_salesforce_gives_several_values_back_in_our_order(own_box: SandboxProcess) -> None:
    orgs.provision(own_box, [*orgs.ALL_FIELDS, PATTERN])
    (account,) = orgs.make_accounts(own_box, 1)
    crm = orgs.open_crm(own_box)
    assert errors(crm.check([], [PATTERN])) == []
    assert written(crm, account, "early;late").state == WriteState.OK
    assert crm.reread([PATTERN], [account])[account]["shape"] == "early;late"
    assert written(crm, account, None).state == WriteState.OK
    assert crm.reread([PATTERN], [account])[account]["shape"] is None
    assert written(crm, account, "never").state == WriteState.REJECTED


def test_hubspot_gives_several_values_back_in_our_order(own_hub: SandboxProcess) -> None:
    hubs.open_crm(own_hub).provision([PATTERN], dry_run=False, say=lambda _: None)
    (company,) = hubs.make_companies(own_hub, 1)
    crm = hubs.open_crm(own_hub)
    assert errors(crm.check([], [PATTERN])) == []
    assert written(crm, company, "early;late").state == WriteState.OK
    assert crm.reread([PATTERN], [company])[company]["shape"] == "early;late"
    assert written(crm, company, "never").state == WriteState.REJECTED
