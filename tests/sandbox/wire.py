"""A bare HTTP client of the sandbox for tests: no vendor library, so that status codes, headers and bodies are seen as they are."""

import time
from typing import Any

import requests

VERSION = "62.0"


class Wire:
    """One logged-in user on one sandbox."""

    def __init__(self, url: str, user: str = "admin", version: str = VERSION) -> None:
        self.url = url.rstrip("/")
        self.version = version
        self.http = requests.Session()
        self.http.trust_env = False
        info = self.http.get(f"{self.url}/__sandbox__/info", timeout=20).json()
        self.info: dict[str, Any] = info
        known = info["users"][user]
        app = next(iter(info["apps"].values()))
        form = {
            "grant_type": "password", "client_id": app["client_id"], "client_secret": app["client_secret"],
            "username": known["username"], "password": known["password"] + known["security_token"],
        }  # fmt: skip
        answer = self.http.post(f"{self.url}/services/oauth2/token", data=form, timeout=20)
        answer.raise_for_status()
        self.token: str = answer.json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def call(self, method: str, path: str, *, version: str | None = None, **options: Any) -> requests.Response:
        """A request below `/services/data/vXX.X/`, or to an absolute path."""
        full = path if path.startswith("/") else f"/services/data/v{version or self.version}/{path}"
        return self.http.request(method, self.url + full, timeout=60, **options)

    def control(self, name: str, body: dict[str, Any]) -> Any:
        """The sandbox's own control API."""
        answer = self.http.post(f"{self.url}/__sandbox__/{name}", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def query(self, soql: str, *, resource: str = "query", **options: Any) -> requests.Response:
        return self.call("GET", resource, params={"q": soql}, **options)

    def records(self, soql: str) -> list[dict[str, Any]]:
        answer = self.query(soql)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["records"]
        return found

    # -- Bulk ---------------------------------------------------------------------------------------------------------

    def open_job(self, operation: str, upload: bytes, object_name: str = "Account", **spec: Any) -> str:
        """Creates a job and uploads its data; the job is still open."""
        body = {"object": object_name, "operation": operation, "contentType": "CSV", **spec}
        answer = self.call("POST", "jobs/ingest", json=body)
        assert answer.status_code == 200, answer.text
        job: str = answer.json()["id"]
        put = self.call("PUT", f"jobs/ingest/{job}/batches", data=upload, headers={"Content-Type": "text/csv"})
        assert (put.status_code, put.content) == (201, b"")
        return job

    def ingest(self, operation: str, upload: bytes, object_name: str = "Account", **spec: Any) -> dict[str, Any]:
        """A whole job; returns its last status."""
        job = self.open_job(operation, upload, object_name, **spec)
        closed = self.call("PATCH", f"jobs/ingest/{job}", json={"state": "UploadComplete"})
        assert closed.json()["state"] == "UploadComplete"
        assert "contentUrl" not in closed.json()
        return self.wait("ingest", job)

    def wait(self, kind: str, job: str, seconds: float = 30.0) -> dict[str, Any]:
        """Polls until the job has ended."""
        end = time.monotonic() + seconds
        while True:
            status: dict[str, Any] = self.call("GET", f"jobs/{kind}/{job}").json()
            if status["state"] in ("JobComplete", "Failed", "Aborted"):
                return status
            assert time.monotonic() < end, status
            time.sleep(0.02)

    def text(self, path: str) -> str:
        """A result file as text, line breaks untouched."""
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"].startswith("text/csv")
        return answer.content.decode("utf-8")
