"""simple-salesforce, a client nobody here wrote, logged in to a sandbox: how tests load an org and read it back past all our code."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce

from connectors.sandbox_kit import SandboxProcess

VERSION = "64.0"


class _PlainAdapter(HTTPAdapter):
    """The client writes https before every host; a sandbox on this host speaks plain HTTP."""

    def __init__(self, base: str) -> None:
        self.base = urlsplit(base)
        super().__init__()

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        parts = urlsplit(str(request.url))
        request.url = urlunsplit((self.base.scheme, self.base.netloc, parts.path, parts.query, parts.fragment))
        options["timeout"] = options.get("timeout") or 60
        return super().send(request, *args, **options)


def log_in(box: SandboxProcess, run_as: str = "admin") -> Salesforce:
    """A session of the app that runs as `admin` or `integration`, or of a person (`csm`, `sales`) by name and password."""
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", _PlainAdapter(box.url))
    if run_as in ("admin", "integration"):
        key, secret = box.app(run_as)
        return Salesforce(consumer_key=key, consumer_secret=secret, domain="acme.my", session=session, version=VERSION)
    user = box.user(run_as)
    who = {name: user[name] for name in ("username", "password", "security_token")}
    return Salesforce(**who, session=session, version=VERSION)


def metadata_api(client: Salesforce, box: SandboxProcess) -> Any:
    """The client's Metadata API (SOAP by zeep), which opens a session of its own."""
    metadata = client.mdapi
    soap = metadata._client.transport.session
    soap.trust_env = False
    soap.mount("https://", _PlainAdapter(box.url))
    return metadata


def read_all(client: Salesforce, soql: str) -> list[dict[str, Any]]:
    """Every record of a query, without the client's attributes."""
    rows: list[dict[str, Any]] = client.query_all(soql)["records"]
    return [{name: value for name, value in row.items() if name != "attributes"} for row in rows]
