"""Provisioning and the preflight check: what is made, what is found wrong, and who must do what."""

import pytest

from connectors.base import Finding, ProvisionStep, WriteState
from connectors.errors import NotAllowed
from connectors.salesforce.connector import Salesforce
from connectors.sandbox_kit import SandboxProcess
from mappings.models import Source
from tests.connectors import orgs
from tests.connectors.orgs import ALL_FIELDS, CSQL_FIELDS, KEY, WRITTEN, update

ACCOUNTS = Source(object="Account", columns={"name": "Name"})


def admin(box: SandboxProcess) -> Salesforce:
    return orgs.open_crm(box, "admin", grant_to=box.user("integration")["username"])


def actions(steps: list[ProvisionStep]) -> dict[str, int]:
    found: dict[str, int] = {}
    for step in steps:
        found[step.action] = found.get(step.action, 0) + 1
    return found


def test_provisioning_makes_what_is_missing_and_a_second_time_nothing(own_box: SandboxProcess) -> None:
    said: list[ProvisionStep] = []
    would = admin(own_box).provision(ALL_FIELDS, dry_run=True, say=said.append)
    assert said == would
    assert own_box.control.stats()["calls"].get("tooling_create", 0) == 0
    did = admin(own_box).provision(ALL_FIELDS, dry_run=False, say=lambda _: None)
    assert did == would  # the dry run told the truth
    # one object; 10 + 4 fields; the set, 2 objects, 14 fields and one user granted
    assert actions(did) == {"create_object": 1, "create_field": 14, "grant": 18}
    again = admin(own_box).provision(ALL_FIELDS, dry_run=False, say=lambda _: None)
    assert set(actions(again)) == {"exists"}


def test_the_integration_user_can_then_write_and_nobody_more_than_needed(own_box: SandboxProcess) -> None:
    admin(own_box).provision(ALL_FIELDS, dry_run=False, say=lambda _: None)
    crm = orgs.open_crm(own_box)
    assert crm.check([ACCOUNTS], ALL_FIELDS) == []
    described = crm.describe("Account")
    assert described["csh_score__c"].updateable
    assert not described["csh_requested_at__c"].updateable  # a person's field is read only
    assert described["csh_days__c"].calculated
    assert not orgs.open_crm(own_box, "admin").describe("Account").get("csh_score__c")  # a new field is visible to whom it was granted


def test_an_existing_field_that_differs_is_reported_and_left_alone(own_box: SandboxProcess) -> None:
    own_box.control.add_fields({"Account.CSH_Reason__c": {"type": "Text", "length": 20, "label": "Mine"}}, visible_to=["integration"])
    steps = admin(own_box).provision(ALL_FIELDS, dry_run=False, say=lambda _: None)
    assert [s for s in steps if s.action == "differs"] == [ProvisionStep("differs", "Account.CSH_Reason__c", "length 20, declared 40")]
    assert orgs.open_crm(own_box).describe("Account")["csh_reason__c"].length == 20


def test_provisioning_without_rights_names_the_permissions(own_box: SandboxProcess) -> None:
    with pytest.raises(NotAllowed, match=r"Customize Application.*System Administrator.*SCORESYNC_SALESFORCE_CLIENT_ID"):
        orgs.open_crm(own_box).provision(ALL_FIELDS, dry_run=False, say=lambda _: None)


def one(findings: list[Finding], where: str) -> Finding:
    (found,) = [f for f in findings if f.where == where]
    return found


def test_every_misfit_of_an_org_is_found_at_once(own_box: SandboxProcess) -> None:
    admin(own_box).provision(ALL_FIELDS, dry_run=False, say=lambda _: None)
    change = own_box.control.call
    change("hide", {"fields": ["Account.CSH_Share__c"]})
    change("drop_field", {"field": "Account.CSH_Open__c"})
    change("change_field", {"field": "Account.CSH_Reason__c", "Metadata": {"length": 10}})
    change("change_field", {"field": "Account.CSH_Score__c", "Metadata": {"precision": 2}})
    values = [{"fullName": "1", "label": "1", "default": False}]
    change("change_field", {"field": "Account.CSH_Tier__c", "Metadata": {"valueSet": {"restricted": True, "valueSetDefinition": {"value": values}}}})
    change("hide", {"fields": ["Account.CSH_Notice__c"]})
    change("grants", {"user": "integration", "fields": ["Account.CSH_Notice__c"], "edit": False})
    own_box.control.settings(daily_limit=5300)
    own_box.control.call("usage", {"add": 5000})  # fewer than 300 of 5,300 are left: under a tenth
    source = Source(object="Account", columns={"name": "Name", "segment": "Segment__c"})
    crm = orgs.open_crm(own_box)
    found = crm.check([source, Source(object="Nope__c", columns={"name": "Name"})], ALL_FIELDS)

    hidden = one(found, "Account.CSH_Share__c")
    assert (hidden.severity, "missing, or hidden" in hidden.text, "admin must create it or grant it" in hidden.remedy) == ("error", True, True)
    assert "missing, or hidden" in one(found, "Account.CSH_Open__c").text
    short = one(found, "Account.CSH_Reason__c")
    assert "holds 10 characters; writeback.yml says 40" in short.text
    assert "admin must lengthen the field to 40" in short.remedy
    assert "holds 2 digits" in one(found, "Account.CSH_Score__c").text
    picklist = one(found, "Account.CSH_Tier__c")
    assert "lacks the active values 2, 3" in picklist.text
    assert "admin must add them" in picklist.remedy
    locked = one(found, "Account.CSH_Notice__c")
    assert "may not edit" in locked.text
    assert "CSH_Integration" in locked.remedy
    unread = one(found, "Account.Segment__c")
    assert (unread.severity, "admin must" in unread.remedy) == ("warning", True)
    assert one(found, "Nope__c").severity == "error"
    assert "daily API requests are left" in one(found, "limits").text
    assert len(found) == 9


def test_an_org_without_provisioning_is_told_to_provision(own_box: SandboxProcess) -> None:
    found = orgs.open_crm(own_box).check([ACCOUNTS], ALL_FIELDS)
    assert {f.where for f in found} == {f"Account.{f.names['salesforce']}" for f in orgs.ACCOUNT_FIELDS} | {"CSH_CSQL__c"}
    assert all("scoresync provision" in f.remedy for f in found)


def test_an_external_key_that_is_not_unique_is_an_error(own_box: SandboxProcess) -> None:
    own_box.control.add_fields(
        {"CSH_CSQL__c.CSH_External_Key__c": {"type": "Text", "length": 100, "label": "Key", "externalId": True, "unique": False}},
        visible_to=["integration"],
        objects=[{"fullName": "CSH_CSQL__c", "label": "CSQL", "pluralLabel": "CSQLs", "nameField": {"type": "AutoNumber", "displayFormat": "C-{0}"}}],
    )
    found = orgs.open_crm(own_box).check([], [KEY])
    assert "could be created twice" in one(found, "CSH_CSQL__c.CSH_External_Key__c").remedy


# --- the same, when it happens in the middle of a run ----------------------------------------------------------------------------------------------
def test_a_field_that_is_hidden_mid_run_costs_that_field_only(own_box: SandboxProcess) -> None:
    admin(own_box).provision(ALL_FIELDS, dry_run=False, say=lambda _: None)
    crm = orgs.open_crm(own_box)
    ids = orgs.make_accounts(own_box, 2)
    crm.write(WRITTEN, [update(ids[0], score="1", reason="a")], key_field=None)  # describes are kept now
    own_box.control.call("hide", {"fields": ["Account.CSH_Reason__c"]})
    results = crm.write(WRITTEN, [update(ids[0], score="2", reason="b"), update(ids[1], reason="only")], key_field=None)
    assert [r.state for r in results] == [WriteState.OK, WriteState.REJECTED]
    assert results[0].fields == results[1].fields == ("reason",)
    assert "CSH_Reason__c" in results[0].message
    assert "admin must" in results[0].message
    assert orgs.stored(own_box, "Account", "CSH_Score__c", ids)[ids[0]]["CSH_Score__c"] == 2


def test_a_text_field_that_is_too_short_says_so(own_box: SandboxProcess) -> None:
    admin(own_box).provision(ALL_FIELDS, dry_run=False, say=lambda _: None)
    (only,) = orgs.make_accounts(own_box, 1)
    own_box.control.call("change_field", {"field": "Account.CSH_Reason__c", "Metadata": {"length": 3}})
    (result,) = orgs.open_crm(own_box).write(WRITTEN, [update(only, reason="four")], key_field=None)
    assert (result.state, result.code, result.fields) == (WriteState.REJECTED, "STRING_TOO_LONG", ("reason",))
    assert "admin must lengthen the field" in result.message
    assert "four" not in result.message


@pytest.mark.parametrize("api", ["collections", "bulk"])
def test_a_restricted_picklist_says_so(box: SandboxProcess, crm: Salesforce, api: str) -> None:
    (only,) = orgs.make_accounts(box, 1)
    if api == "collections":
        (result,) = crm.write(WRITTEN, [update(only, tier="9")], key_field=None)
    else:
        job = crm.bulk_start(WRITTEN, "account", None)
        crm.bulk_upload(job.id, WRITTEN, [update(only, tier="9")], None)
        while crm.bulk_poll(job.id).state not in ("complete", "failed"):
            pass
        (result,) = crm.bulk_results(job.id, [update(only, tier="9")], None)
    assert (result.state, result.code) == (WriteState.REJECTED, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST")
    assert "admin must add the value to the picklist" in result.message


def test_a_user_who_may_not_create_csqls_is_told_so(own_box: SandboxProcess) -> None:
    admin(own_box).provision(ALL_FIELDS, dry_run=False, say=lambda _: None)
    sets = own_box.control.dump("ObjectPermissions")
    mine = [row["Id"] for row in sets if row["SobjectType"] == "CSH_CSQL__c"]
    own_box.control.write("admin", "ObjectPermissions", [{"Id": i, "PermissionsCreate": False, "PermissionsEdit": False} for i in mine])
    crm = orgs.open_crm(own_box)
    texts = " ".join(f.text + f.remedy for f in crm.check([], CSQL_FIELDS) if f.where == "CSH_CSQL__c")
    assert "may not create this object" in texts
    assert "CSH_Integration" in texts


def test_jobs_that_a_crash_left_open_are_aborted(box: SandboxProcess, crm: Salesforce) -> None:
    lost, known = crm.bulk_start(WRITTEN, "account", None), crm.bulk_start(WRITTEN, "account", None)
    later = crm.server_now().replace(year=2100)
    assert crm.bulk_orphans({known.id}, crm.server_now().replace(year=2000)) == []  # too young: it may be just being filled
    assert lost.id in crm.bulk_orphans({known.id}, later)
    assert (crm.bulk_poll(lost.id).state, crm.bulk_poll(known.id).state) == ("aborted", "open")
    crm.bulk_abort(known.id)
