"""Vendor clients nobody here wrote use the sandbox as if it were an org: simple-salesforce, sfq (over TLS) and, with node, jsforce."""

import csv
import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
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


# -- sfq: speaks only https --------------------------------------------------------------------------------------------

SFQ_SCRIPT = """
import json, socket, sys

allowed, connect = ("127.0.0.1", "localhost", "::1"), socket.socket.connect

def only_here(self, address):
    # sfq reports its use to a third party by default: no address but this machine's is ever dialled
    if isinstance(address, tuple) and address[0] not in allowed:
        raise OSError(f"refused to connect to {address[0]}")
    return connect(self, address)

socket.socket.connect = only_here
from sfq import SFAuth

given = json.load(sys.stdin)
sf = SFAuth(given["url"], given["client_id"], given["client_secret"], given["refresh_token"], api_version="v62.0", proxy=None)
out = {}
out["user"] = sf.query("SELECT Username FROM User WHERE Alias = 'integrat'")["records"][0]["Username"]
found = sf.query("SELECT Id, Name, (SELECT LastName FROM Contacts) FROM Account WHERE Name LIKE 'sfq%' ORDER BY Name")
out["total"], out["names"] = found["totalSize"], [row["Name"] for row in found["records"]][:2]
out["batch"] = {key: value["totalSize"] for key, value in sf.cquery({"a": "SELECT COUNT() FROM Contact", "b": "SELECT Id FROM User LIMIT 1"}).items()}
out["limits"] = sf.limits()["DailyApiRequests"]["Max"]
out["prefix"] = sf.get_sobject_prefixes()["001"]
ids = [row["Id"] for row in found["records"]]
sf.cdelete(ids[:3])
job = sf.bulkapiv2_delete("Account", ids[3:], poll_interval_seconds=0.1)
out["bulk"] = job["results"][0]["numberRecordsProcessed"]
out["left"] = sf.query("SELECT COUNT() FROM Account WHERE Name LIKE 'sfq%'")["totalSize"]
print("RESULT" + json.dumps(out))
"""


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for this machine: (certificate, key)."""
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return paths


class TlsFront:
    """Ends TLS in front of the plain sandbox, byte for byte: `with TlsFront(target, certificate, key) as url`."""

    def __init__(self, target: str, certificate_path: Path, key_path: Path) -> None:
        self.target = urlsplit(target)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate_path, key_path)
        self.listener = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> str:
        threading.Thread(target=self._accept, daemon=True).start()
        return f"https://127.0.0.1:{self.listener.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        address = (self.target.hostname or "", self.target.port or 80)
        with suppress(OSError), self.context.wrap_socket(raw, server_side=True) as front, socket.create_connection(address) as back:
            answer = threading.Thread(target=_pump, args=(back, front), daemon=True)
            answer.start()
            _pump(front, back)
            answer.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65_536):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def test_sfq(sandbox: SandboxProcess, tmp_path: Path) -> None:
    accounts = sandbox.control.seed("Account", [{"Name": f"sfq {number:04d}"} for number in range(2_010)])
    sandbox.control.seed("Contact", [{"LastName": "Child", "AccountId": accounts[0]}])
    key, secret = sandbox.app("integration")
    user = sandbox.user("integration")
    form = {
        "grant_type": "password", "client_id": key, "client_secret": secret,
        "username": user["username"], "password": user["password"] + user["security_token"],
    }  # fmt: skip
    token = requests.post(f"{sandbox.url}/services/oauth2/token", data=form, timeout=20).json()["refresh_token"]
    paths = certificate(tmp_path)
    with TlsFront(sandbox.url, *paths) as url:
        given = {"url": url, "client_id": key, "client_secret": secret, "refresh_token": token}
        environment = {**os.environ, "SFQ_TELEMETRY": "0", "SFQ_GRAFANACLOUD_URL": "e30=", "SSL_CERT_FILE": str(paths[0])}
        ran = subprocess.run(
            [sys.executable, "-c", SFQ_SCRIPT], input=json.dumps(given), capture_output=True, text=True, env=environment, timeout=60, check=False
        )
    lines = [line for line in ran.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, ran.stderr[-3000:]
    assert json.loads(lines[0].removeprefix("RESULT")) == {
        "user": user["username"],
        "total": 2010,
        "names": ["sfq 0000", "sfq 0001"],
        "batch": {"a": 1, "b": 1},
        "limits": 100_000,
        "prefix": "Account",
        "bulk": 2007,
        "left": 0,
    }


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


@pytest.mark.node
def test_jsforce(sandbox: SandboxProcess, tmp_path: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("node and npm are not installed")
    (tmp_path / "package.json").write_text("{}")
    command = [npm, "install", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", "--silent", JSFORCE]
    try:
        installed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not deliver jsforce in 90 seconds")
    if installed.returncode != 0:
        pytest.skip(f"npm cannot install {JSFORCE} here")
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
