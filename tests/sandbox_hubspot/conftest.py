"""One HubSpot sandbox per test process; an API caller whose every answer is held against the contract files; the vendor's client."""

from collections.abc import Callable, Iterator
from typing import Any

import hubspot
import pytest
import requests

from connectors.sandbox_kit import SandboxProcess
from tests.sandbox_hubspot.contract import contract, family_of

OPTIONS = [{"label": name.capitalize(), "value": name, "displayOrder": order} for order, name in enumerate(("red", "yellow", "green"))]
TRUE_FALSE = [{"label": "Yes", "value": "true"}, {"label": "No", "value": "false"}]
PROPERTIES: list[dict[str, Any]] = [
    {"name": "health_score", "label": "Health score", "type": "number", "fieldType": "number"},
    {"name": "health_band", "label": "Health band", "type": "enumeration", "fieldType": "select", "options": OPTIONS},
    {"name": "health_tags", "label": "Tags", "type": "enumeration", "fieldType": "checkbox", "options": OPTIONS},
    {"name": "csql_flag", "label": "CSQL", "type": "bool", "fieldType": "booleancheckbox", "options": TRUE_FALSE},
    {"name": "renews_on", "label": "Renews on", "type": "date", "fieldType": "date"},
    {"name": "scored_at", "label": "Scored at", "type": "datetime", "fieldType": "date"},
    {"name": "reason", "label": "Reason", "type": "string", "fieldType": "textarea"},
    {"name": "ext_key", "label": "External key", "type": "string", "fieldType": "text", "hasUniqueValue": True},
]


class Api:
    """Calls the sandbox with a bearer token. Every JSON answer must fit the contract file of its path family."""

    def __init__(self, box: SandboxProcess, token: str | None = None) -> None:
        self.box = box
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers["Authorization"] = f"Bearer {token or box.control.info()['access_token']}"

    def __call__(self, method: str, path: str, body: Any = None, *, status: int | None = None, **options: Any) -> requests.Response:
        answer = self.http.request(method, self.box.url + path, json=body, timeout=60, **options)
        if status is not None:
            assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:600]}"
        rules = contract(family_of(path))
        if rules is not None and "json" in answer.headers.get("Content-Type", ""):
            problems = rules.problems(method, path.partition("?")[0], answer.status_code, answer.json())
            assert not problems, f"{method} {path} {answer.status_code} breaks the contract: {problems[:5]}\n{answer.text[:600]}"
        return answer

    def get(self, path: str, status: int = 200, **params: Any) -> Any:
        return self("GET", path, params=params, status=status).json()

    def post(self, path: str, body: Any, status: int = 200) -> Any:
        answer = self("POST", path, body, status=status)
        return answer.json() if answer.content else None

    def update(self, *inputs: dict[str, Any], kind: str = "companies", status: int = 200) -> Any:
        return self.post(f"/crm/v3/objects/{kind}/batch/update", {"inputs": list(inputs)}, status)

    def search(self, *filters: dict[str, Any], kind: str = "companies", status: int = 200, **body: Any) -> Any:
        groups = [{"filters": list(filters)}] if filters else []
        return self.post(f"/crm/v3/objects/{kind}/search", {"filterGroups": groups, **body}, status)

    def found(self, *filters: dict[str, Any], kind: str = "companies", **body: Any) -> list[str]:
        return [item["id"] for item in self.search(*filters, kind=kind, **body)["results"]]


def where(name: str, operator: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {"propertyName": name, "operator": operator, **({} if value is None else {"value": value}), **more}


def prepare(box: SandboxProcess) -> None:
    box.control.settings(limits=False)
    for kind in ("companies", "contacts", "deals"):
        box.control.call("fields", {"object": kind, "group": "customer_health", "properties": PROPERTIES})


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox of two server processes without rate limits, with the properties above."""
    with SandboxProcess(tmp_path_factory.mktemp("portal") / "portal.db", crm="hubspot", workers=2) as process:
        prepare(process)
        yield process


@pytest.fixture(scope="module")
def own_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox of this test file alone, for what concerns the whole account (clock, limits, tokens, faults)."""
    with SandboxProcess(tmp_path_factory.mktemp("own") / "portal.db", crm="hubspot") as process:
        prepare(process)
        yield process


@pytest.fixture(scope="session")
def api(box: SandboxProcess) -> Api:
    return Api(box)


@pytest.fixture(scope="module")
def own(own_box: SandboxProcess) -> Api:
    return Api(own_box)


@pytest.fixture
def changed(own_box: SandboxProcess) -> Iterator[Callable[..., None]]:
    """Changes settings for one test."""
    before = own_box.control.info()["settings"]
    touched: set[str] = set()

    def change(**values: Any) -> None:
        touched.update(values)
        own_box.control.settings(**values)

    yield change
    own_box.control.settings(**{key: before[key] for key in touched})
    own_box.control.clear_faults()
    own_box.control.clock(real=True)


@pytest.fixture(scope="session")
def client(box: SandboxProcess) -> Any:
    """The vendor's client in its ordinary way of use."""
    return hubspot.Client.create(access_token=box.control.info()["access_token"], host=box.url)
