"""Setting an account up: what provisioning creates, leaves alone and refuses, and what the check tells before a run would find out."""

import pytest

from connectors.base import ProvisionStep
from connectors.errors import Misfit, NotAllowed
from connectors.sandbox_kit import SandboxProcess
from tests.connectors import hubs


def steps(box: SandboxProcess, *, dry_run: bool = False, fields: list = hubs.ALL_FIELDS, token: str = "") -> list[ProvisionStep]:  # type: ignore[type-arg]
    told: list[ProvisionStep] = []
    done = hubs.open_crm(box, token=token).provision(fields, dry_run=dry_run, say=told.append)
    assert told == done
    return done


def test_provisioning_says_what_it_would_do_does_it_and_does_it_once() -> None:
    with SandboxProcess(crm="hubspot") as box:
        dry = steps(box, dry_run=True)
        assert "csh_csql" not in {str(r) for r in hubs.open_crm(box)._objects.custom()}
        made = steps(box)
        assert [(s.action, s.target) for s in dry] == [(s.action, s.target) for s in made]
        assert ("create_object", "csh_csql") in [(s.action, s.target) for s in made]
        assert "plan has them" in next(s.detail for s in made if s.action == "create_object")
        again = steps(box)
        assert {s.action for s in again} == {"exists", "left_out"}
        assert [f for f in hubs.open_crm(box).check([hubs.COMPANIES], hubs.ALL_FIELDS) if f.severity == "error"] == []


def test_properties_are_of_the_declared_type_in_their_group(hub: SandboxProcess) -> None:
    infos = hubs.open_crm(hub).describe("account")
    kinds = {name: infos[name].type for name in ("csh_score", "csh_tier", "csh_open", "csh_notice", "csh_scored_at", "csh_reason", "csh_owner")}
    assert kinds == {
        "csh_score": "number", "csh_tier": "picklist", "csh_open": "checkbox", "csh_notice": "date", "csh_scored_at": "datetime",
        "csh_reason": "text", "csh_owner": "lookup",
    }  # fmt: skip
    assert infos["csh_tier"].picklist == ("1", "2", "3")
    assert "csh_days" not in infos  # a formula of the other CRM


def test_a_property_of_another_type_is_reported_and_left_alone(own_hub: SandboxProcess) -> None:
    own_hub.control.call("drop_field", {"object": "companies", "field": "csh_share"})
    own_hub.control.call(
        "fields", {"object": "companies", "properties": [{"name": "csh_other", "label": "x", "type": "string", "fieldType": "text"}]}
    )
    number = hubs.field("other", precision=3, scale=0)
    differs = [s for s in steps(own_hub, fields=[number]) if s.action == "differs"]
    assert [(s.target, s.detail) for s in differs] == [("companies.csh_other", "type string, declared number")]
    (finding,) = [f for f in hubs.open_crm(own_hub).check([], [number]) if f.severity == "error"]
    assert "is a text; writeback.yml says number" in finding.text


PLANS = {
    "lead": (
        {"custom_objects": False},
        "leads",
        "as leads: no custom object, since the token lacks a scope: crm.schemas.custom.read (with an Enterprise",
    ),
    "task": ({"custom_objects": False, "leads": False}, "tasks", "as tasks: no custom object, since the token lacks"),
}


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_without_custom_objects_gets_another_store_and_is_told_why(plan: str) -> None:
    given, target, why = PLANS[plan]
    with SandboxProcess(crm="hubspot") as box:
        box.control.settings(**(hubs.SETTINGS | given))
        dry, made = steps(box, dry_run=True, fields=hubs.CSQL_FIELDS), steps(box, fields=hubs.CSQL_FIELDS)
        assert [(s.action, s.target) for s in dry] == [(s.action, s.target) for s in made]
        (chosen,) = [s for s in made if s.action == "choose_store"]
        assert (chosen.target, why in chosen.detail) == (target, True)
        assert "correlation" not in chosen.detail
        # custom objects come with a bigger plan: the records stay where they are
        box.control.settings(custom_objects=True, leads=True)
        again = steps(box, fields=hubs.CSQL_FIELDS)
        assert {(s.action, s.target.partition(".")[0].partition("/")[0]) for s in again} == {("exists", target)}


def test_a_store_that_is_asked_for_and_not_to_be_had_is_told_with_what_to_do() -> None:
    with SandboxProcess(crm="hubspot") as box:
        box.control.settings(**hubs.SETTINGS, custom_objects=False, leads=False)
        for store, named in (("custom_object", "csh_csql"), ("lead", "leads")):
            crm = hubs.open_crm(box, mapping=hubs.MAPPING.model_copy(update={"csql_store": store}))
            with pytest.raises(NotAllowed, match=rf"to be kept in {named}, and this account or token has none.*sets `csql_store: auto`"):
                crm.provision(hubs.CSQL_FIELDS, dry_run=False, say=lambda _: None)
        assert steps(box, fields=hubs.ACCOUNT_FIELDS)  # the rest needs none


def test_a_token_without_schema_rights_is_told_which(hub: SandboxProcess) -> None:
    token = hub.control.call("token", {"scopes": ["crm.objects.companies.read", "crm.schemas.companies.read"]})["token"]
    fresh = hubs.field("fresh", precision=3, scale=0)
    with pytest.raises(Misfit, match=r"crm\.schemas\.companies\.write"):
        steps(hub, fields=[fresh], token=token)


def test_the_check_names_everything_at_once(hub: SandboxProcess) -> None:
    absent, weak = hubs.field("absent"), hubs.field("reason", "text", object="csql", external_key=True, length=10, name="csh_title")
    sources = [
        hubs.COMPANIES.model_copy(update={"columns": {"name": "name", "segment": "no_such_property", "domain": "associations.deals.no_such"}}),
        hubs.COMPANIES.model_copy(update={"object": "no_such_object"}),
        hubs.COMPANIES.model_copy(update={"filter": "x"}),
    ]
    found = {(f.severity, f.where) for f in hubs.open_crm(hub).check(sources, [absent, weak])}
    assert found == {
        ("warning", "companies.no_such_property"), ("warning", "companies.associations.deals.no_such"), ("error", "no_such_object"),
        ("error", "companies"), ("error", "companies.csh_absent"), ("error", "csh_csql.csh_title"),
    }  # fmt: skip


def test_few_calls_left_are_a_warning(own_hub: SandboxProcess) -> None:
    own_hub.control.settings(daily_limit=2000)
    own_hub.control.call("usage", {"daily": 1850})
    (found,) = hubs.open_crm(own_hub).check([], [])
    assert (found.severity, found.where) == ("warning", "limits")
    assert "of 2000 daily API calls are left" in found.text
