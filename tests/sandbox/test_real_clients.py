"""Vendor clients nobody here wrote use the sandbox as if it were an org: simple-salesforce and, with node, jsforce (aiosalesforce: beside this)."""

import csv
import io
import json
import shutil
import subprocess
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceExpiredSession, SalesforceMalformedRequest, SalesforceResourceNotFound
from simple_salesforce.format import format_soql

from connectors.sandbox_kit import SandboxProcess

VERSION = "62.0"
KEY = {"type": "Text", "length": 40, "label": "Key", "externalId": True, "unique": True}


class LocalHttpAdapter(HTTPAdapter):
    """Sends what the client addresses to https://…salesforce.com to the sandbox."""

    def __init__(self, base: str) -> None:
        self.base = urlsplit(base)
        super().__init__()

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        parts = urlsplit(str(request.url))
        request.url = urlunsplit((self.base.scheme, self.base.netloc, parts.path, parts.query, parts.fragment))
        options["timeout"] = options.get("timeout") or 60
        return super().send(request, *args, **options)


def session(url: str) -> requests.Session:
    made = requests.Session()
    made.trust_env = False
    made.mount("https://", LocalHttpAdapter(url))
    return made


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("clients") / "org.db", workers=2) as process:
        process.control.add_fields({"Account.Key__c": KEY}, visible_to=["admin", "integration"])
        yield process


@pytest.fixture(scope="module")
def sf(sandbox: SandboxProcess) -> Salesforce:
    key, secret = sandbox.app("integration")
    return Salesforce(consumer_key=key, consumer_secret=secret, domain="acme.my", session=session(sandbox.url), version=VERSION)


# -- simple-salesforce --------------------------------------------------------------------------------------------------


def test_every_login_flow(sandbox: SandboxProcess) -> None:
    key, secret = sandbox.app("integration")
    user = sandbox.user("integration")
    who = {"username": user["username"], "password": user["password"]}
    logins: list[dict[str, Any]] = [
        {**who, "security_token": user["security_token"]},
        {**who, "password": user["password"] + user["security_token"], "consumer_key": key, "consumer_secret": secret},
        {"username": user["username"], "consumer_key": key, "privatekey": sandbox.private_key},
    ]
    for login in logins:
        client = Salesforce(session=session(sandbox.url), version=VERSION, **login)
        assert client.query("SELECT Username FROM User WHERE Alias = 'integrat'")["records"][0]["Username"] == user["username"]


def test_record_calls(sf: Salesforce) -> None:
    created = sf.Account.create({"Name": "crud", "Key__c": "crud/1"})
    assert created == {"id": created["id"], "success": True, "errors": []}
    assert sf.Account.update(created["id"], {"Phone": "03"}) == 204
    assert sf.Account.get(created["id"])["Phone"] == "03"
    assert sf.Account.get_by_custom_id("Key__c", "crud/1")["Id"] == created["id"]
    assert sf.Account.upsert("Key__c/crud%2F1", {"Name": "crud 2"}) == 200
    assert sf.Account.upsert("Key__c/crud-2", {"Name": "crud 3"}) == 201
    assert sf.Account.get(created["id"])["Name"] == "crud 2"
    assert sf.Account.delete(created["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound):
        sf.Account.get(created["id"])
    with pytest.raises(SalesforceMalformedRequest) as refused:
        sf.Account.create({"Phone": "no name"})
    assert refused.value.content == [{"message": "Required fields are missing: [Name]", "errorCode": "REQUIRED_FIELD_MISSING", "fields": ["Name"]}]


def test_describe(sf: Salesforce) -> None:
    described = sf.Account.describe()
    (key,) = [field for field in described["fields"] if field["name"] == "Key__c"]
    assert (key["type"], key["length"], key["externalId"], key["unique"]) == ("string", 40, True, True)
    assert {item["relationshipName"] for item in described["childRelationships"]} >= {"Contacts", "Contracts", "Opportunities"}
    assert "Account" in [item["name"] for item in sf.describe()["sobjects"]]
    assert sf.Account.metadata()["objectDescribe"]["name"] == "Account"
    assert sf.limits()["DailyApiRequests"]["Max"] >= 100_000


def test_updated_and_deleted(sf: Salesforce) -> None:
    created = sf.Account.create({"Name": "changes"})["id"]
    gone = sf.Account.create({"Name": "changes too"})["id"]
    sf.Account.delete(gone)
    start, end = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(minutes=2)
    updated = sf.Account.updated(start, end)
    assert created in updated["ids"]
    assert "latestDateCovered" in updated
    deleted = sf.Account.deleted(start, end)
    assert gone in [row["id"] for row in deleted["deletedRecords"]]
    assert {"earliestDateAvailable", "latestDateCovered"} <= set(deleted)


def test_queries_and_paging(sf: Salesforce, sandbox: SandboxProcess) -> None:
    sandbox.control.seed("Account", [{"Name": f"many {number:04d}"} for number in range(4_100)])
    soql = "SELECT Id, Name, Owner.Name FROM Account WHERE Name LIKE 'many%' ORDER BY Name"
    first = sf.query(soql)
    assert (first["totalSize"], first["done"], len(first["records"])) == (4100, False, 2000)
    second = sf.query_more(first["nextRecordsUrl"], identifier_is_url=True)
    third = sf.query_more(second["nextRecordsUrl"].rpartition("/")[2])
    assert (len(second["records"]), len(third["records"]), third["done"]) == (2000, 100, True)
    whole = sf.query_all(soql)
    assert [row["Name"] for row in whole["records"]] == [f"many {number:04d}" for number in range(4_100)]
    assert whole["done"] is True
    assert sum(1 for _ in sf.query_all_iter(soql)) == 4_100
    one = sf.query(format_soql("SELECT Name FROM Account WHERE Name IN {names}", names=["many 0001", "it's"]))
    assert [row["Name"] for row in one["records"]] == ["many 0001"]
    assert isinstance(one["records"][0], OrderedDict | dict)
    everything = sf.query("SELECT COUNT() FROM Account WHERE Name LIKE 'changes%'", include_deleted=True)
    assert everything["totalSize"] >= 0
    with pytest.raises(SalesforceMalformedRequest) as refused:
        sf.query("SELECT Nope FROM Account")
    assert refused.value.content[0]["errorCode"] == "INVALID_FIELD"


def test_collections_and_composite(sf: Salesforce) -> None:
    rows = [{"attributes": {"type": "Account"}, "Name": f"coll {number}"} for number in range(3)]
    created = sf.restful("composite/sobjects", method="POST", json={"allOrNone": False, "records": rows})
    assert [row["success"] for row in created] == [True, True, True]
    changed = [{"attributes": {"type": "Account"}, "id": row["id"], "Phone": "1"} for row in created]
    changed[1]["Nope__c"] = "x"
    results = sf.restful("composite/sobjects", method="PATCH", json={"allOrNone": False, "records": changed})
    assert [row["success"] for row in results] == [True, False, True]
    assert results[1]["errors"][0]["statusCode"] == "INVALID_FIELD"
    body = {"compositeRequest": [{"method": "GET", "url": f"/services/data/v{VERSION}/sobjects/Account/{created[0]['id']}", "referenceId": "a"}]}
    answered = sf.restful("composite", method="POST", json=body)["compositeResponse"][0]
    assert (answered["httpStatusCode"], answered["body"]["Phone"]) == (200, "1")


def test_tooling_creates_a_field(sandbox: SandboxProcess) -> None:
    key, secret = sandbox.app("admin")
    admin = Salesforce(consumer_key=key, consumer_secret=secret, domain="acme.my", session=session(sandbox.url), version=VERSION)
    metadata = {"label": "Tool", "type": "Number", "precision": 5, "scale": 2}
    made = admin.toolingexecute("sobjects/CustomField/", method="POST", data={"FullName": "Account.Tool__c", "Metadata": metadata})
    assert made["success"] is True
    with pytest.raises(SalesforceMalformedRequest):
        admin.query("SELECT Tool__c FROM Account")
    permission_set = admin.PermissionSet.create({"Name": "Tools", "Label": "Tools"})["id"]
    right = {"ParentId": permission_set, "SobjectType": "Account", "Field": "Account.Tool__c", "PermissionsRead": True, "PermissionsEdit": True}
    assert admin.FieldPermissions.create(right)["success"]
    assert admin.PermissionSetAssignment.create({"PermissionSetId": permission_set, "AssigneeId": sandbox.user("admin")["id"]})["success"]
    record = admin.Account.create({"Name": "tooled", "Tool__c": 12.5})["id"]
    assert admin.Account.get(record)["Tool__c"] == 12.5


def test_bulk2(sf: Salesforce, tmp_path: Path) -> None:
    bulk = sf.bulk2.Account
    made = bulk.insert(records=[{"Name": f"b2 {number}", "Key__c": f"b2-{number}"} for number in range(30)], wait=0.1)
    assert [(job["numberRecordsTotal"], job["numberRecordsProcessed"], job["numberRecordsFailed"]) for job in made] == [(30, 30, 0)]
    done = list(csv.DictReader(io.StringIO(bulk.get_successful_records(made[0]["job_id"]))))
    ids = {row["Key__c"]: row["sf__Id"] for row in done}
    assert len(ids) == 30
    changes = [{"Id": ids["b2-0"], "Phone": "1"}, {"Id": ids["b2-1"], "Phone": "x" * 41}]
    changed = bulk.update(records=changes, wait=0.1)[0]
    assert (changed["numberRecordsProcessed"], changed["numberRecordsFailed"]) == (2, 1)
    (failed,) = csv.DictReader(io.StringIO(bulk.get_failed_records(changed["job_id"])))
    assert failed["sf__Error"].startswith("STRING_TOO_LONG:")
    assert bulk.get_unprocessed_records(changed["job_id"]).splitlines()[1:] == []
    merged = bulk.upsert(
        records=[{"Key__c": "b2-0", "Name": "b2 zero"}, {"Key__c": "b2-new", "Name": "b2 new"}], external_id_field="Key__c", wait=0.1
    )
    assert merged[0]["numberRecordsFailed"] == 0
    soql = "SELECT Id, Name, Key__c FROM Account WHERE Key__c LIKE 'b2-%'"
    pages = list(bulk.query(soql, max_records=20, wait=0.1))
    found = [row for page in pages for row in csv.DictReader(io.StringIO(page))]
    assert (len(pages), len(found)) == (2, 31)
    assert {row["Key__c"]: row["Name"] for row in found}["b2-0"] == "b2 zero"
    files = bulk.download(soql, str(tmp_path), max_records=31, wait=0.1)
    assert sum(int(item["number_of_records"]) for item in files) == 31
    removed = bulk.delete(records=[{"Id": row["Id"]} for row in found], wait=0.1)
    assert removed[0]["numberRecordsFailed"] == 0
    assert list(bulk.query(soql, wait=0.1)) in ([], ['"Id","Name","Key__c"\n'])
    assert len([row for page in bulk.query_all(soql, wait=0.1) for row in csv.DictReader(io.StringIO(page))]) == 31


def test_an_expired_session_is_refreshed(sandbox: SandboxProcess) -> None:
    key, secret = sandbox.app("integration")
    client = Salesforce(consumer_key=key, consumer_secret=secret, domain="acme.my", session=session(sandbox.url), version=VERSION)
    sandbox.control.faults({"kind": "http", "body": "session_expired", "path": "/query"})
    assert client.query("SELECT COUNT() FROM User")["totalSize"] > 0
    sessionless = Salesforce(session_id="00D!nonsense", instance_url=sandbox.url, session=session(sandbox.url), version=VERSION)
    with pytest.raises(SalesforceExpiredSession):
        sessionless.query("SELECT Id FROM User")


# -- jsforce: only where node is -----------------------------------------------------------------------------------------

JSFORCE = "jsforce@3"
JSFORCE_SCRIPT = """
const jsforce = require('jsforce');
const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));
(async () => {
  const conn = new jsforce.Connection({instanceUrl: given.url, accessToken: given.token, version: '62.0'});
  const out = {};
  const made = await conn.sobject('Account').create({Name: 'js one', Key__c: 'js-1'});
  out.created = made.success;
  out.updated = (await conn.sobject('Account').update({Id: made.id, Phone: '7'})).success;
  out.read = (await conn.sobject('Account').retrieve(made.id)).Phone;
  out.upsert = (await conn.sobject('Account').upsert({Key__c: 'js-1', Site: 's'}, 'Key__c')).success;
  out.found = (await conn.query("SELECT Name, Owner.Name FROM Account WHERE Key__c = 'js-1'")).records[0].Name;
  out.many = (await conn.sobject('Account').create([{Name: 'js a'}, {Phone: 'no name'}], {allOrNone: false})).map(row => row.success);
  out.fields = (await conn.sobject('Account').describe()).fields.some(field => field.name === 'Key__c');
  try { await conn.query('SELECT Nope FROM Account'); } catch (error) { out.error = error.errorCode; }
  conn.bulk2.pollInterval = 50; conn.bulk2.pollTimeout = 20000;
  const loaded = await conn.bulk2.loadAndWaitForResults({object: 'Account', operation: 'insert',
    input: [{Name: 'js bulk 1', Phone: '1'}, {Name: 'js bulk 2', Phone: 'x'.repeat(41)}]});
  out.bulk = [loaded.successfulResults.length, loaded.failedResults.length, loaded.unprocessedRecords.length];
  out.reason = loaded.failedResults[0].sf__Error.split(':')[0];
  const stream = await conn.bulk2.query("SELECT Id, Name FROM Account WHERE Name LIKE 'js %'", {pollInterval: 50});
  out.rows = (await stream.toArray()).length;
  console.log('RESULT' + JSON.stringify(out));
})().catch(error => { console.error(error); process.exit(1); });
"""


def _npm(folder: Path, seconds: float, *command: str) -> None:
    """Runs npm, or skips the test if it cannot deliver in time."""
    try:
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm {command[1]} did not end in {seconds:.0f} seconds")
    if ran.returncode != 0:
        pytest.skip(f"npm {command[1]} cannot reach {JSFORCE} here")


@pytest.mark.node
def test_jsforce(sandbox: SandboxProcess, tmp_path: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("node and npm are not installed")
    (tmp_path / "package.json").write_text("{}")
    _npm(tmp_path, 15, npm, "view", "--fetch-retries=0", "--fetch-timeout=6000", JSFORCE, "version")  # no registry: known before a long install
    _npm(tmp_path, 90, npm, "install", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", "--silent", JSFORCE)
    key, secret = sandbox.app("integration")
    form = {"grant_type": "client_credentials", "client_id": key, "client_secret": secret}
    token = requests.post(f"{sandbox.url}/services/oauth2/token", data=form, timeout=20).json()["access_token"]
    given = json.dumps({"url": sandbox.url, "token": token})
    ran = subprocess.run([node, "-e", JSFORCE_SCRIPT], cwd=tmp_path, input=given, capture_output=True, text=True, timeout=60, check=False)
    lines = [line for line in ran.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, ran.stderr[-3000:]
    assert json.loads(lines[0].removeprefix("RESULT")) == {
        "created": True,
        "updated": True,
        "read": "7",
        "upsert": True,
        "found": "js one",
        "many": [True, False],
        "fields": True,
        "error": "INVALID_FIELD",
        "bulk": [1, 1, 0],
        "reason": "STRING_TOO_LONG",
        "rows": 3,
    }
