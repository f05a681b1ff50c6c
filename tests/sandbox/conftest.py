"""One sandbox per test process, clients for it, and the adapter that points a vendor's client at it."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce

from connectors.sandbox_kit import SandboxProcess

FIELDS: dict[str, dict[str, Any]] = {
    "Account.Health_Score__c": {"type": "Number", "label": "Health Score", "precision": 5, "scale": 2},
    "Account.Ext__c": {"type": "Text", "label": "External Key", "length": 20, "externalId": True, "unique": True},
    "Account.Loose__c": {"type": "Text", "label": "Loose Key", "length": 20, "externalId": True},
    "Account.Reason__c": {"type": "Text", "label": "Reason", "length": 10},
    "Account.Notes__c": {"type": "LongTextArea", "label": "Notes", "length": 1000, "visibleLines": 3},
    "Account.Seen_At__c": {"type": "DateTime", "label": "Seen At"},
    "Account.Renews_On__c": {"type": "Date", "label": "Renews On"},
    "Account.Trusted__c": {"type": "Checkbox", "label": "Trusted", "defaultValue": False},
    "Account.Band__c": {
        "type": "Picklist",
        "label": "Band",
        "valueSet": {
            "restricted": True,
            "valueSetDefinition": {
                "value": [{"fullName": "Red", "label": "赤"}, {"fullName": "Green", "label": "緑"}, {"fullName": "Old", "isActive": False}]
            },
        },
    },
    "Account.Days_Left__c": {"type": "Number", "label": "Days Left", "precision": 18, "scale": 0, "formula": "Renews_On__c - TODAY()"},
}
SIGNAL = {
    "fullName": "Signal__c",
    "label": "Signal",
    "pluralLabel": "Signals",
    "nameField": {"type": "AutoNumber", "label": "Signal Number", "displayFormat": "SIG-{0000}"},
    "fields": [
        {
            "fullName": "Account__c",
            "type": "Lookup",
            "label": "Account",
            "referenceTo": "Account",
            "relationshipName": "Signals",
            "deleteConstraint": "SetNull",
        },
    ],
}


class LocalHttpAdapter(HTTPAdapter):
    """Sends what a client addresses to `https://…` to a plain local server instead."""

    def __init__(self, base: str, timeout: tuple[float, float] = (5, 60), **options: Any) -> None:
        self.base, self.timeout = urlsplit(base), timeout
        super().__init__(**options)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        parts = urlsplit(request.url or "")
        request.url = urlunsplit((self.base.scheme, self.base.netloc, str(parts.path), str(parts.query), str(parts.fragment)))
        if options.get("timeout") is None:
            options["timeout"] = self.timeout
        return super().send(request, **options)


class Rest:
    """A logged-in user: requests below `/services/data/vXX.X/`, answers as they come."""

    def __init__(self, box: SandboxProcess, run_as: str = "integration", version: str = "62.0") -> None:
        self.url = box.url
        self.version = version
        self.http = requests.Session()
        self.http.trust_env = False
        self.app = box.app(run_as)
        self.log_in()

    def log_in(self) -> None:
        answer = self.http.post(f"{self.url}/services/oauth2/token", data={"grant_type": "client_credentials"}, auth=self.app, timeout=20)
        assert answer.status_code == 200, answer.text
        self.token: str = answer.json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        full = path if path.startswith("/") else f"/services/data/v{options.pop('version', self.version)}/{path}"
        return self.http.request(method, self.url + full, json=body, timeout=60, **options)

    def query(self, soql: str, path: str = "query") -> list[dict[str, Any]]:
        answer = self("GET", path, params={"q": soql})
        assert answer.status_code == 200, answer.text
        records: list[dict[str, Any]] = answer.json()["records"]
        return records

    def update(self, *records: dict[str, Any], all_or_none: bool = False, kind: str = "Account") -> list[dict[str, Any]]:
        rows = [{"attributes": {"type": kind}, **record} for record in records]
        answer = self("PATCH", "composite/sobjects", {"allOrNone": all_or_none, "records": rows})
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()
        return results


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox of two server processes with the fields above, visible to the integration user, the admin and the CSM."""
    with SandboxProcess(tmp_path_factory.mktemp("org") / "org.db", workers=2) as process:
        process.control.add_fields(FIELDS, visible_to=["integration", "admin", "csm"], objects=[SIGNAL])
        process.control.call("grants", {"user": "integration", "fields": ["Signal__c.Account__c"]})
        process.control.call("grants", {"user": "admin", "fields": ["Signal__c.Account__c"]})
        yield process


@pytest.fixture
def own_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox of this test alone, for what concerns the whole org (clock, limits, sessions)."""
    with SandboxProcess(tmp_path_factory.mktemp("own") / "org.db") as process:
        process.control.add_fields(FIELDS, visible_to=["integration", "admin"])
        yield process


@pytest.fixture(scope="session")
def rest(box: SandboxProcess) -> Rest:
    """The integration user."""
    return Rest(box)


@pytest.fixture(scope="session")
def admin(box: SandboxProcess) -> Rest:
    """The administrator."""
    return Rest(box, "admin")


@pytest.fixture
def accounts(box: SandboxProcess) -> Callable[..., list[str]]:
    """Seeds accounts with names of their own and returns their ids."""

    def make(count: int = 1, **values: Any) -> list[str]:
        return box.control.seed("Account", [{"Name": f"A {uuid.uuid4().hex[:8]} {number}", **values} for number in range(count)])

    return make


@pytest.fixture
def client(box: SandboxProcess) -> Salesforce:
    """simple-salesforce, logged in by client credentials through its own code."""
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", LocalHttpAdapter(box.url))
    client_id, client_secret = box.app()
    return Salesforce(consumer_key=client_id, consumer_secret=client_secret, domain="acme.my", session=session, version="62.0")
