"""The package for Salesforce admins: valid by the vendor's own WSDL, equal to writeback.yml, least privilege, and it deploys into the sandbox."""

import io
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests
import simple_salesforce
from lxml import etree
from simple_salesforce import Salesforce

from connectors.salesforce import sfdx_build
from connectors.salesforce.sandbox.page_layout import layout_for
from connectors.sandbox_kit import SandboxProcess
from mappings.load import load
from mappings.models import WriteField

SOURCE = sfdx_build.SOURCE
FILES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*-meta.xml"))
XSD = "{http://www.w3.org/2001/XMLSchema}"
NS = "{http://soap.sforce.com/2006/04/metadata}"
CSQL = "CSH_CSQL__c"

#: customer-success.md 3.4, by hand: the order of the section with its Japanese and English names
SECTION = [
    ("CSH_Health_Tier__c", "健康度", "Health"),
    ("CSH_Health_Score__c", "スコア", "Score"),
    ("CSH_Health_Delta_28d__c", "前サイクル比", "Change"),
    ("CSH_Reason_1__c", "主な要因", "Main reason"),
    ("CSH_Strength__c", "良い点", "Strength"),
    ("CSH_Next_Action__c", "次のアクション", "Next action"),
    ("CSH_Notice_On__c", "解約通知期限", "Notice deadline"),
    ("CSH_Days_To_Notice__c", "期限まで(日)", "Days left"),
    ("CSH_Utilization__c", "ID利用率", "Seat use"),
    ("CSH_Deployment__c", "導入(い)", "Deployment"),
    ("CSH_Adoption__c", "活用(う)", "Adoption"),
    ("CSH_Engagement__c", "信頼関係(え)", "Engagement"),
    ("CSH_Outcome__c", "成果(お)", "Outcome"),
    ("CSH_CSM_Pulse__c", "CSM所感", "CSM pulse"),
    ("CSH_CSQL_Status__c", "CSQL状況", "CSQL"),
    ("CSH_Data_Status__c", "データ充足", "Data status"),
]


# --- the vendor's schema -------------------------------------------------------------------------------------------------------------------------
class Schema:
    """Types of the Metadata API as its WSDL declares them: members with type and how often, and the values of enumerations."""

    def __init__(self) -> None:
        tree = etree.parse(str(Path(simple_salesforce.__file__).parent / "metadata.wsdl"))
        self._complex = {node.get("name"): node for node in tree.iter(f"{XSD}complexType") if node.get("name")}
        self.enums = {
            node.get("name"): {v.get("value") for v in node.iter(f"{XSD}enumeration")} for node in tree.iter(f"{XSD}simpleType") if node.get("name")
        }

    @cache  # noqa: B019 - one schema per process
    def members(self, name: str) -> dict[str, tuple[str, bool, bool]]:
        """Member -> its type, whether it is needed, whether it may repeat. Inherited members too."""
        node, found = self._complex[name], {}
        for base in node.iter(f"{XSD}extension"):
            found |= self.members(base.get("base").rpartition(":")[2])
        for element in node.iter(f"{XSD}element"):
            if element.get("type"):
                found[element.get("name")] = (element.get("type"), element.get("minOccurs", "1") != "0", element.get("maxOccurs", "1") != "1")
        return found

    def faults(self, node: Any, name: str, at: str) -> Iterator[str]:
        """What the WSDL does not allow below this node. Order is not looked at: Salesforce does not either."""
        members, children = self.members(name), [child for child in node if isinstance(child.tag, str)]
        names = [etree.QName(child).localname for child in children]
        yield from (f"{at}: {member} is missing" for member, (_, needed, _) in members.items() if needed and member not in names)
        yield from (f"{at}: {n} is repeated" for n in set(names) if n in members and not members[n][2] and names.count(n) > 1)
        for child, member in zip(children, names, strict=True):
            if member not in members:
                yield f"{at}: {name} has no {member}"
            else:
                yield from self._value_faults(child, members[member][0], f"{at}/{member}")

    def _value_faults(self, node: Any, type_name: str, at: str) -> Iterator[str]:
        prefix, _, name = type_name.rpartition(":")
        text = node.text or ""
        if prefix != "xsd" and name in self._complex:
            yield from self.faults(node, name, at)
        elif not self._fits(text, prefix, name):
            yield f"{at}: {text!r} is no {name}"

    def _fits(self, text: str, prefix: str, name: str) -> bool:
        if prefix != "xsd":
            return not self.enums.get(name) or text in self.enums[name]
        return {"boolean": text in ("true", "false"), "int": _is_number(text), "double": _is_number(text)}.get(name, True)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.fixture(scope="session")
def schema() -> Schema:
    return Schema()


def read(name: str) -> Any:
    return etree.parse(str(SOURCE / name)).getroot()


def plain(node: Any) -> Any:
    """A node as text, or as member -> list of values."""
    children = [child for child in node if isinstance(child.tag, str)]
    if not children:
        return node.text or ""
    found: dict[str, list[Any]] = {}
    for child in children:
        found.setdefault(etree.QName(child).localname, []).append(plain(child))
    return found


def one(body: dict[str, list[Any]], name: str, default: Any = None) -> Any:
    return body.get(name, [default])[0]


def package(pattern: str) -> dict[str, dict[str, list[Any]]]:
    return {name: plain(read(name)) for name in FILES if pattern in name}


def core(owner: str | None = None, kind: str | None = None) -> list[WriteField]:
    fields = load(None).writeback.fields
    return [f for f in fields if f.set == "core" and (owner is None or f.owner == owner) and (kind is None or f.object == kind)]


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_valid_by_the_wsdl(schema: Schema, name: str) -> None:
    root = read(name)
    kind = etree.QName(root).localname
    assert root.tag == f"{NS}{kind}"
    assert list(schema.faults(root, kind, kind)) == []


def test_the_walk_finds_what_is_wrong(schema: Schema) -> None:
    text = (
        f'<CustomField xmlns="{NS[1:-1]}"><type>Bogus</type><type>Text</type><length>x</length><required>yes</required>'
        "<nonsense>1</nonsense><valueSet><valueSetDefinition/></valueSet></CustomField>"
    )
    assert set(schema.faults(etree.fromstring(text), "CustomField", "F")) == {
        "F: type is repeated",
        "F/type: 'Bogus' is no FieldType",
        "F/length: 'x' is no int",
        "F/required: 'yes' is no boolean",
        "F: CustomField has no nonsense",
        "F/valueSet/valueSetDefinition: sorted is missing",
    }


# --- rules of the server that the WSDL does not know ---------------------------------------------------------------------------------------------
def field_faults(body: dict[str, list[Any]]) -> Iterator[str]:
    kind, name, label = one(body, "type"), one(body, "fullName"), one(body, "label", "")
    number = {key: int(one(body, key, "-1")) for key in ("length", "precision", "scale", "visibleLines")}
    if len(name.removesuffix("__c")) > 40 or not name.endswith("__c") or "__" in name.removesuffix("__c"):
        yield "name"
    if not 1 <= len(label) <= 40:
        yield "label"
    if len(one(body, "inlineHelpText", "")) > 510 or len(one(body, "description", "")) > 1000:
        yield "help"
    if kind == "Text" and not 1 <= number["length"] <= 255:
        yield "length"
    if kind == "LongTextArea" and (number["visibleLines"] < 2 or not 256 <= number["length"] <= 131_072):
        yield "visibleLines"
    if kind in ("Number", "Percent", "Currency") and not (1 <= number["precision"] <= 18 and 0 <= number["scale"] <= number["precision"]):
        yield "precision"
    if kind == "Checkbox" and one(body, "defaultValue") not in ("true", "false"):
        yield "defaultValue"
    if kind == "Lookup" and not (one(body, "referenceTo") and one(body, "relationshipName", "")[:1].isalpha() and one(body, "deleteConstraint")):
        yield "lookup"
    if kind == "Picklist":
        values = [one(value, "fullName") for value in one(one(body, "valueSet"), "valueSetDefinition")["value"]]
        if not values or len(set(values)) != len(values):
            yield "values"
    if "formula" in body and ("required" in body and one(body, "required") == "true"):
        yield "formula"


def test_fields_obey_the_servers_own_rules() -> None:
    fields = package("/fields/")
    assert {name: list(field_faults(body)) for name, body in fields.items() if list(field_faults(body))} == {}
    assert all(Path(name).name == f"{one(body, 'fullName')}.field-meta.xml" for name, body in fields.items())
    relations = [(one(b, "referenceTo"), one(b, "relationshipName")) for b in fields.values() if one(b, "type") == "Lookup"]
    assert len(set(relations)) == len(relations), "two lookups may not share a relationship name"
    broken = {"fullName": ["A__c"], "label": ["A" * 41], "type": ["Number"], "precision": ["2"], "scale": ["3"]}
    assert list(field_faults(broken)) == ["label", "precision"]


def known_fields() -> set[str]:
    return {f"{Path(name).parts[-3]}.{one(body, 'fullName')}" for name, body in package("/fields/").items()}


def test_every_field_named_anywhere_is_in_the_package() -> None:
    known = known_fields()
    for name in FILES:
        owner = CSQL if CSQL in name and "permissionset" not in name else "Account"
        for node in read(name).iter(f"{NS}field", f"{NS}columns", f"{NS}fieldItem"):
            text = (node.text or "").removeprefix("Record.")
            if text.endswith("__c"):
                assert (text if "." in text else f"{owner}.{text}") in known, f"{name} names {text}"


# --- equal to writeback.yml ----------------------------------------------------------------------------------------------------------------------
def test_the_committed_package_is_what_writeback_says() -> None:
    assert sfdx_build.differences(sfdx_build.source_files(sfdx_build.package(load(None))), SOURCE) == []


def test_a_changed_or_forgotten_file_is_named(tmp_path: Path) -> None:
    files = sfdx_build.source_files(sfdx_build.package(load(None)))
    sfdx_build.write(files, tmp_path)
    assert sfdx_build.main(["--to", str(tmp_path), "--check"]) == 0
    first, second = FILES[0], FILES[1]
    (tmp_path / first).write_text("changed")
    (tmp_path / second).unlink()
    (tmp_path / "old.xml").write_text("old")
    assert sfdx_build.differences(files, tmp_path) == [f"missing: {second}", "no longer part of the package: old.xml", f"differs: {first}"]
    assert sfdx_build.main(["--to", str(tmp_path)]) == 0
    assert sfdx_build.differences(files, tmp_path) == []


def test_fields_are_the_core_set_with_labels_in_both_languages() -> None:
    fields = {f"{'Account' if f.object == 'account' else CSQL}.{f.names['salesforce']}": f for f in core()}
    assert known_fields() == fields.keys()
    translated = package("fieldTranslation")
    for full, field in fields.items():
        owner, name = full.split(".")
        body = plain(read(f"force-app/main/default/objects/{owner}/fields/{name}.field-meta.xml"))
        text = translated[f"force-app/main/default/objectTranslations/{owner}-ja/{name}.fieldTranslation-meta.xml"]
        assert (one(body, "label"), one(text, "label")) == (field.label.en, field.label.ja)
        assert (one(body, "inlineHelpText"), one(text, "help")) == (field.meaning.en, field.meaning.ja)
        assert one(body, "formula") == field.formula
        assert int(one(body, "length", "0")) == (field.length or 0)
        values = one(one(body, "valueSet", {}), "valueSetDefinition", {}).get("value", []) if field.values else []
        assert [(one(v, "fullName"), one(v, "label")) for v in values] == [(v.value, v.en) for v in field.values]
        assert [(one(v, "masterLabel"), one(v, "translation")) for v in text.get("picklistValues", [])] == [(v.en, v.ja) for v in field.values]


def test_the_section_has_the_core_fields_in_their_order() -> None:
    page = plain(read("force-app/main/default/flexipages/CSH_Account_Health.flexipage-meta.xml"))
    shown = [
        (one(item["fieldInstance"][0], "fieldItem").removeprefix("Record."), one(one(item["fieldInstance"][0], "fieldInstanceProperties"), "value"))
        for region in page["flexiPageRegions"]
        for item in region["itemInstances"]
        if "fieldInstance" in item
    ]
    assert [name for name, _ in shown] == [name for name, _, _ in SECTION]
    assert [name for name, behaviour in shown if behaviour == "none"] == ["CSH_CSM_Pulse__c"], "only what people own can be edited"


def test_facets_of_the_page_hang_together() -> None:
    page = read("force-app/main/default/flexipages/CSH_Account_Health.flexipage-meta.xml")
    regions = [(node.findtext(f"{NS}name"), node.findtext(f"{NS}type")) for node in page.iter(f"{NS}flexiPageRegions")]
    facets = [name for name, kind in regions if kind == "Facet"]
    used = [node.text for node in page.iter(f"{NS}value") if (node.text or "").startswith("Facet-")]
    assert sorted(facets) == sorted(used)
    identifiers = [node.text for node in page.iter(f"{NS}identifier")]
    assert len(set(identifiers)) == len(identifiers)
    relation = one(plain(read(f"force-app/main/default/objects/{CSQL}/fields/CSH_Account__c.field-meta.xml")), "relationshipName")
    assert f"{relation}__r" in [node.text for node in page.iter(f"{NS}value")]


@pytest.mark.parametrize(("language", "title", "place"), [("ja", "カスタマーヘルス", 1), ("en", "Customer health", 2)])
def test_the_record_page_shows_the_section_in_both_languages(language: str, title: str, place: int) -> None:
    layout = layout_for("Account", language)
    assert [(part.title, part.fields) for part in layout.sections] == [(title, tuple(row[0] for row in SECTION))]
    assert [layout.labels[row[0]] for row in SECTION] == [row[place] for row in SECTION]


def test_three_list_views() -> None:
    views = {Path(name).name.split(".")[0]: body for name, body in package("/listViews/").items()}
    assert {name: one(body, "label") for name, body in views.items()} == {
        "CSH_Accounts_To_Look_At": "要確認のアカウント / Accounts to look at",
        "CSH_Notice_Deadline_Near": "通知期限が近い / Notice deadline near",
        "CSH_New_CSQLs": "新着CSQL / New CSQLs",
    }
    tests = {name: [tuple(one(f, key) for key in ("field", "operation", "value")) for f in body["filters"]] for name, body in views.items()}
    assert tests == {
        "CSH_Accounts_To_Look_At": [("CSH_Health_Tier__c", "equals", "3,2,1")],
        "CSH_Notice_Deadline_Near": [("CSH_Days_To_Notice__c", "greaterOrEqual", "0"), ("CSH_Days_To_Notice__c", "lessOrEqual", "60")],
        "CSH_New_CSQLs": [("CSH_State__c", "equals", "Submitted")],
    }
    assert all(len(one(body, "label")) <= 40 and len(body["columns"]) <= 15 for body in views.values())


def test_the_button_asks_for_a_recalculation_now() -> None:
    action = plain(read("force-app/main/default/quickActions/Account.CSH_Recalculate_Health.quickAction-meta.xml"))
    assert (one(action, "type"), one(action, "label")) == ("Update", "Recalculate health")
    assert action["fieldOverrides"] == [{"field": ["CSH_Resync_Requested_At__c"], "formula": ["NOW()"]}]
    translation = plain(read("force-app/main/default/objectTranslations/Account-ja/Account-ja.objectTranslation-meta.xml"))
    assert translation["quickActions"] == [{"label": ["健康度を再計算"], "name": ["CSH_Recalculate_Health"]}]


# --- access --------------------------------------------------------------------------------------------------------------------------------------
def permission_set(name: str) -> dict[str, list[Any]]:
    body: dict[str, list[Any]] = plain(read(f"force-app/main/default/permissionsets/{name}.permissionset-meta.xml"))
    return body


def edits(name: str) -> set[str]:
    return {one(entry, "field") for entry in permission_set(name)["fieldPermissions"] if one(entry, "editable") == "true"}


def full(fields: list[WriteField]) -> set[str]:
    return {f"{'Account' if f.object == 'account' else CSQL}.{f.names['salesforce']}" for f in fields}


def test_the_integration_user_writes_what_we_own_and_nothing_else() -> None:
    assert edits("CSH_Integration") == full(core(owner="worker"))
    assert not edits("CSH_Integration") & full(core(owner="human"))


def test_people_edit_what_is_theirs() -> None:
    lead = {f"{CSQL}.CSH_{name}__c" for name in ("Account", "Title", "Product", "Motion", "State", "Need", "Why_Now", "Amount", "Seats_Suggested")}
    assert edits("CSH_CSM") == full(core(owner="human")) | lead
    assert edits("CSH_Sales") == full(core(owner="human", kind="csql")) | {f"{CSQL}.CSH_State__c"}


@pytest.mark.parametrize("name", ["CSH_Integration", "CSH_CSM", "CSH_Sales"])
def test_permission_sets_give_no_more_than_needed(name: str) -> None:
    body = permission_set(name)
    assert full(core()) <= {one(entry, "field") for entry in body["fieldPermissions"]}, "what is not granted nobody sees"
    for entry in body["fieldPermissions"]:
        assert one(entry, "readable") == "true", "Salesforce refuses edit without read"
    for entry in body["objectPermissions"]:
        assert (one(entry, "allowDelete"), one(entry, "modifyAllRecords")) == ("false", "false")
        assert one(entry, "allowCreate") == "false" or one(entry, "object") == CSQL
        assert one(entry, "allowEdit") == "false" or one(entry, "object") in ("Account", CSQL)
    powers = {one(entry, "name") for entry in body.get("userPermissions", [])}
    assert powers == ({"ActivitiesAccess", "ApiEnabled"} if name == "CSH_Integration" else set())


# --- it deploys ----------------------------------------------------------------------------------------------------------------------------------
def test_the_zip_holds_every_component_once(schema: Schema, tmp_path: Path) -> None:
    target = tmp_path / "package.zip"
    assert sfdx_build.main(["--zip", str(target)]) == 0
    with zipfile.ZipFile(target) as archive:
        roots = {name: etree.fromstring(archive.read(name)) for name in archive.namelist()}
    for name, root in roots.items():
        kind = etree.QName(root).localname
        assert list(schema.faults(root, kind, name)) == []
    members = {one(entry, "name"): entry["members"] for entry in plain(roots["package.xml"])["types"]}
    assert len(members["CustomField"]) == len(core())
    assert members["PermissionSet"] == ["CSH_CSM", "CSH_Integration", "CSH_Sales"]
    assert len(plain(roots["objects/Account.object"])["fields"]) == len(core(kind="account"))


class PlainHttp(requests.adapters.HTTPAdapter):
    """Sends what simple-salesforce addresses to https to the sandbox's plain port."""

    def send(self, request: requests.PreparedRequest, *given: Any, **options: Any) -> requests.Response:
        request.url = (request.url or "").replace("https://", "http://", 1)
        return super().send(request, *given, **options)


def test_the_package_deploys_into_an_empty_org(own_box: SandboxProcess, tmp_path: Path) -> None:
    """By simple-salesforce's own deploy call; then the fields are there and the rights are those of the files."""
    http = requests.Session()
    http.trust_env = False
    http.mount("https://", PlainHttp())
    grant = http.post(f"{own_box.url}/services/oauth2/token", data={"grant_type": "client_credentials"}, auth=own_box.app("admin"), timeout=20)
    org = Salesforce(session_id=grant.json()["access_token"], instance_url=own_box.url, session=http, version="63.0")
    (tmp_path / "package.zip").write_bytes(sfdx_build.deploy_zip(sfdx_build.package(load(None))))
    job = org.deploy(str(tmp_path / "package.zip"), sandbox=False, checkOnly=False, testLevel="NoTestRun")
    state = org.checkDeployStatus(job["asyncId"])
    assert (state["state"], state["deployment_detail"]["errors"]) == ("Succeeded", []), state
    query = "SELECT Field, PermissionsEdit FROM FieldPermissions WHERE Parent.Name = 'CSH_Integration'"
    rows = org.query_all(query)["records"]
    ours = [row for row in rows if row["Field"].endswith("__c")]
    assert {row["Field"] for row in ours} == full(core())
    assert {row["Field"] for row in rows if row["PermissionsEdit"]} == full(core(owner="worker"))


def test_the_zip_is_the_same_every_time() -> None:
    parts = sfdx_build.package(load(None))
    assert sfdx_build.deploy_zip(parts) == sfdx_build.deploy_zip(parts)
    assert zipfile.is_zipfile(io.BytesIO(sfdx_build.deploy_zip(parts)))
