"""Making fields and objects: Tooling API, Metadata API by the vendor's client, what is refused."""

import io
import zipfile
from typing import Any

import pytest
import requests
from simple_salesforce import Salesforce

from connectors.sandbox_kit import SandboxProcess
from tests.sandbox.conftest import LocalHttpAdapter, Rest


@pytest.fixture
def admin_client(box: SandboxProcess) -> Salesforce:
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", LocalHttpAdapter(box.url))
    client_id, client_secret = box.app("admin")
    client = Salesforce(consumer_key=client_id, consumer_secret=client_secret, domain="acme.my", session=session, version="62.0")
    client.metadata_url = f"{box.url}/services/Soap/m/62.0/"
    return client


def create(rest: Rest, name: str, **metadata: Any) -> requests.Response:
    return rest("POST", "tooling/sobjects/CustomField", {"FullName": name, "Metadata": metadata})


def test_create_query_change_and_delete_a_field(admin: Rest, box: SandboxProcess) -> None:
    made = create(admin, "Account.Tooled__c", type="Text", label="Tooled", length=10, inlineHelpText="help")
    assert made.status_code == 201
    assert made.json() == {"id": made.json()["id"], "success": True, "errors": [], "warnings": [], "infos": []}
    soql = "SELECT Id, DeveloperName, TableEnumOrId FROM CustomField WHERE DeveloperName = 'Tooled' AND TableEnumOrId = 'Account'"
    found = admin("GET", "tooling/query/", params={"q": soql}).json()
    assert (found["size"], found["records"][0]["Id"], found["records"][0]["DeveloperName"]) == (1, made.json()["id"], "Tooled")
    path = f"tooling/sobjects/CustomField/{made.json()['id']}"
    assert admin("GET", path).json()["Metadata"]["length"] == 10
    assert admin("PATCH", path, {"Metadata": {"type": "Text", "label": "Tooled longer", "length": 20}}).status_code == 204
    box.control.call("grants", {"user": "admin", "fields": ["Account.Tooled__c"]})
    described = {item["name"]: item for item in admin("GET", "sobjects/Account/describe").json()["fields"]}["Tooled__c"]
    assert (described["label"], described["length"]) == ("Tooled longer", 20)
    assert admin("DELETE", path).status_code == 204
    assert "Tooled__c" not in {item["name"] for item in admin("GET", "sobjects/Account/describe").json()["fields"]}
    assert admin("GET", path).status_code == 404


@pytest.mark.parametrize(
    ("name", "metadata", "code"),
    [
        ("Account.Ext__c", {"type": "Text", "label": "Ext", "length": 5}, "DUPLICATE_DEVELOPER_NAME"),
        ("Account.Bad", {"type": "Text", "label": "Bad", "length": 5}, "INVALID_FIELD"),
        ("Nope__c.Bad__c", {"type": "Text", "label": "Bad", "length": 5}, "INVALID_TYPE"),
        ("Account.Bad__c", {"type": "Bogus", "label": "Bad"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Account.Bad__c", {"type": "Text", "label": "Bad"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Account.Bad__c", {"type": "Text", "label": "Bad", "length": 300}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Account.Bad__c", {"type": "Text", "length": 5}, "REQUIRED_FIELD_MISSING"),
        ("Account.Bad__c", {"type": "Text", "label": "x" * 41, "length": 5}, "STRING_TOO_LONG"),
        ("Account.Bad__c", {"type": "Number", "label": "Bad", "precision": 5}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Account.Bad__c", {"type": "Number", "label": "Bad", "precision": 2, "scale": 3}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Account.Bad__c", {"type": "Checkbox", "label": "Bad"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Account.Bad__c", {"type": "LongTextArea", "label": "Bad", "length": 500}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Account.Bad__c", {"type": "Picklist", "label": "Bad"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Account.Bad__c", {"type": "Lookup", "label": "Bad", "referenceTo": "Nope__c"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Account.Bad__c", {"type": "Number", "label": "Bad", "precision": 5, "scale": 0, "formula": "Nope__c - 1"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Task.Bad__c", {"type": "Text", "label": "Bad", "length": 5}, "FIELD_INTEGRITY_EXCEPTION"),
    ],
)
def test_refused_definitions(admin: Rest, name: str, metadata: dict[str, Any], code: str) -> None:
    answer = create(admin, name, **metadata)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


def test_only_an_administrator_changes_the_schema(rest: Rest) -> None:
    answer = create(rest, "Account.Mine__c", type="Text", label="Mine", length=5)
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (403, "INSUFFICIENT_ACCESS")
    assert rest("POST", "sobjects/PermissionSet", {"Name": "Mine", "Label": "Mine"}).status_code == 403


def test_activity_fields_belong_to_task_and_event(admin: Rest, box: SandboxProcess) -> None:
    assert create(admin, "Activity.Kind__c", type="Text", label="Kind", length=20).status_code == 201
    box.control.call("grants", {"user": "admin", "fields": ["Activity.Kind__c"]})
    for kind in ("Task", "Event"):
        names = {item["name"] for item in admin("GET", f"sobjects/{kind}/describe").json()["fields"]}
        assert "Kind__c" in names
    found = admin("GET", "tooling/query", params={"q": "SELECT FullName FROM CustomField WHERE DeveloperName = 'Kind'"}).json()["records"]
    assert [row["FullName"] for row in found] == ["Activity.Kind__c"]


def test_metadata_api_by_the_vendors_client(admin_client: Salesforce, admin: Rest) -> None:
    mdapi = admin_client.mdapi
    name = mdapi.CustomObject(
        fullName="Made__c",
        label="Made",
        pluralLabel="Made",
        deploymentStatus=mdapi.DeploymentStatus("Deployed"),
        sharingModel=mdapi.SharingModel("ReadWrite"),
        nameField=mdapi.CustomField(label="Name", type=mdapi.FieldType("AutoNumber"), displayFormat="M-{00}"),
    )
    mdapi.CustomObject.create([name])
    field = mdapi.CustomField(fullName="Made__c.Size__c", label="Size", type=mdapi.FieldType("Number"), precision=5, scale=1)
    mdapi.CustomField.create([field])
    read = mdapi.CustomField.read("Made__c.Size__c")
    assert (read.label, read.precision) == ("Size", 5)
    field.label = "Size 2"
    mdapi.CustomField.upsert([field])
    assert mdapi.CustomField.read("Made__c.Size__c").label == "Size 2"
    with pytest.raises(Exception, match="DUPLICATE_DEVELOPER_NAME"):
        mdapi.CustomField.create([field])
    permission_set = mdapi.PermissionSet(
        fullName="Made_Access",
        label="Made",
        fieldPermissions=[mdapi.PermissionSetFieldPermissions(field="Made__c.Size__c", editable=True, readable=True)],
        objectPermissions=[
            mdapi.PermissionSetObjectPermissions(
                object="Made__c", allowCreate=True, allowDelete=False, allowEdit=True, allowRead=True, modifyAllRecords=False, viewAllRecords=False
            )
        ],
    )
    mdapi.PermissionSet.create([permission_set])
    row = admin.query("SELECT Id FROM PermissionSet WHERE Name = 'Made_Access'")[0]
    rights = admin.query(f"SELECT PermissionsEdit, PermissionsDelete FROM ObjectPermissions WHERE ParentId = '{row['Id']}'")[0]
    assert (rights["PermissionsEdit"], rights["PermissionsDelete"]) == (True, False)
    mdapi.CustomField.delete(["Made__c.Size__c"])


def test_metadata_api_needs_a_session(box: SandboxProcess) -> None:
    envelope = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header><SessionHeader><sessionId>no</sessionId></SessionHeader></s:Header>'
        "<s:Body><readMetadata/></s:Body></s:Envelope>"
    )
    answer = requests.post(f"{box.url}/services/Soap/m/62.0", data=envelope, timeout=20)
    assert answer.status_code == 500
    assert "INVALID_SESSION_ID" in answer.text


def test_custom_setting_behind_a_formula(admin: Rest, box: SandboxProcess) -> None:
    setting = {
        "fullName": "Run_Info__c",
        "label": "Run Info",
        "customSettingsType": "Hierarchy",
        "fields": [{"fullName": "Last_Run__c", "type": "DateTime", "label": "Last Run"}],
    }
    box.control.call("fields", {"objects": [setting], "visible_to": []})
    box.control.call("grants", {"user": "admin", "fields": ["Run_Info__c.Last_Run__c"]})
    formula = {"type": "DateTime", "label": "Last Run", "formula": "$Setup.Run_Info__c.Last_Run__c"}
    box.control.add_fields({"Account.Last_Run__c": formula}, visible_to=["admin"])
    account = box.control.seed("Account", [{"Name": "f"}])[0]
    assert admin("GET", f"sobjects/Account/{account}?fields=Last_Run__c").json()["Last_Run__c"] is None
    made = admin("POST", "sobjects/Run_Info__c", {"SetupOwnerId": box.control.info()["org_id"], "Last_Run__c": "2026-01-05T00:00:00Z"})
    assert made.status_code == 201
    assert admin("GET", f"sobjects/Account/{account}?fields=Last_Run__c").json()["Last_Run__c"] == "2026-01-05T00:00:00.000+0000"


HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<{0} xmlns="http://soap.sforce.com/2006/04/metadata">{1}</{0}>'
TEXT_FIELD = "<fields><fullName>{0}</fullName><label>{0}</label><type>Text</type><length>9</length></fields>"
DAYS = (
    "<fields><fullName>A_Days__c</fullName><label>Days</label><type>Number</type><precision>18</precision><scale>0</scale>"
    "<formula>Z_On__c - TODAY()</formula></fields><fields><fullName>Z_On__c</fullName><label>On</label><type>Date</type></fields>"
)


def package(**files: tuple[str, str]) -> io.BytesIO:
    """A zip by path (`__` = `/`, `_dot_` = `.`): root element and inner XML."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("package.xml", HEAD.format("Package", "<version>62.0</version>"))
        for path, (root, inner) in files.items():
            archive.writestr(path.replace("__c", "\0").replace("__", "/").replace("\0", "__c").replace("_dot_", "."), HEAD.format(root, inner))
    return packed


def deployed(client: Salesforce, packed: io.BytesIO, **options: Any) -> dict[str, Any]:
    answer = client.deploy(packed, sandbox=False, **options)
    found: dict[str, Any] = client.checkDeployStatus(answer["asyncId"])
    return found


def test_deploy_a_package(box: SandboxProcess, admin_client: Salesforce, admin: Rest) -> None:
    access = (
        "<fieldPermissions><editable>true</editable><field>Account.Dep__c</field><readable>true</readable></fieldPermissions><label>Deployed</label>"
        "<objectPermissions><allowCreate>true</allowCreate><allowRead>true</allowRead><allowEdit>true</allowEdit><allowDelete>false</allowDelete>"
        "<object>Parcel__c</object></objectPermissions>"
    )
    number = "<nameField><label>No</label><type>AutoNumber</type><displayFormat>P-{0}</displayFormat></nameField>"
    parcel = f"<label>Parcel</label><pluralLabel>Parcels</pluralLabel>{number}"
    files = {
        "objects__Account_dot_object": ("CustomObject", TEXT_FIELD.format("Dep__c") + DAYS),
        "objects__Parcel__c_dot_object": ("CustomObject", parcel + TEXT_FIELD.format("Label__c")),
        "permissionsets__Deployed_dot_permissionset": ("PermissionSet", access),
        "layouts__Account-Main_dot_layout": (
            "Layout",
            "<layoutSections><layoutColumns><layoutItems><field>Dep__c</field></layoutItems></layoutColumns></layoutSections>",
        ),
    }
    dry = deployed(admin_client, package(**files), checkOnly=True)
    assert dry["state"] == "Succeeded"
    assert "Parcel__c" not in {item["name"] for item in admin("GET", "sobjects").json()["sobjects"]}
    real = deployed(admin_client, package(**files))
    assert (real["state"], real["deployment_detail"]["deployed_count"]) == ("Succeeded", "4")
    permission_set = admin.query("SELECT Id FROM PermissionSet WHERE Name = 'Deployed'")[0]["Id"]
    admin("POST", "sobjects/PermissionSetAssignment", {"PermissionSetId": permission_set, "AssigneeId": box.user("admin")["id"]})
    names = {item["name"] for item in admin("GET", "sobjects/Account/describe").json()["fields"]}
    assert "Dep__c" in names
    assert admin("POST", "sobjects/Parcel__c", {}).status_code == 201
    assert deployed(admin_client, package(**files))["state"] == "Succeeded"  # again


def test_a_wrong_package_changes_nothing_and_names_each_fault(admin_client: Salesforce, admin: Rest) -> None:
    files = {
        "objects__Account_dot_object": (
            "CustomObject",
            TEXT_FIELD.format("Never__c") + "<fields><fullName>B__c</fullName><label>B</label><type>Bogus</type></fields>",
        ),
        "layouts__Account-Main_dot_layout": (
            "Layout",
            "<layoutSections><layoutColumns><layoutItems><field>Lost__c</field></layoutItems></layoutColumns></layoutSections>",
        ),
        "odd_dot_txt": ("x", ""),
    }
    found = deployed(admin_client, package(**files))
    assert found["state"] == "Failed"
    messages = " | ".join(item["message"] for item in found["deployment_detail"]["errors"])
    assert "Account.B__c: Invalid field type: Bogus" in messages
    assert "no CustomField named Account.Lost__c found" in messages
    assert "unexpected file" in messages
    fields = admin("GET", "tooling/query", params={"q": "SELECT Id FROM CustomField WHERE DeveloperName = 'Never'"}).json()
    assert fields["size"] == 0
