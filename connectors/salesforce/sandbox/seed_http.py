"""The way into a sandbox that already runs: its control routes under `/__sandbox__/`."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from connectors.salesforce.sandbox.seed_schema import Metadata

TIMEOUT_S = 120  # 5,000 rows take about a second; a busy machine may need more
# the sandbox is on this machine, so the environment's proxy must not see it
_OPENER = build_opener(ProxyHandler({}))


class HttpOrg:
    """An org behind `http://127.0.0.1:PORT`. Errors of the sandbox are raised as ValueError with its own words."""

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is no sandbox address; give http://127.0.0.1:PORT")
        self.url = url.rstrip("/")

    def has_object(self, name: str) -> bool:
        return self._found(object=name, fields="Id")

    def has_field(self, object_name: str, field_name: str) -> bool:
        return self._found(object=object_name, fields=field_name)

    def create_object(self, name: str, metadata: Metadata) -> None:
        self._call("POST", "fields", {"objects": [{"fullName": name, **metadata}]})

    def create_field(self, full_name: str, metadata: Metadata) -> None:
        self._call("POST", "fields", {"fields": [{"FullName": full_name, "Metadata": metadata}]})

    def insert(self, object_name: str, rows: list[dict[str, Any]]) -> list[str]:
        found = self._call("POST", "seed", {"object": object_name, "rows": rows})
        return [str(record_id) for record_id in found["ids"]]

    def user_ids(self) -> dict[str, str]:
        return {alias: user["id"] for alias, user in self._call("GET", "info")["users"].items()}

    def exists(self, object_name: str, name: str) -> bool:
        return {"Name": name} in self._call("GET", f"dump?{urlencode({'object': object_name, 'fields': 'Name'})}")

    def _found(self, **query: str) -> bool:
        try:
            self._call("GET", f"dump?{urlencode(query)}")
        except ValueError:  # the sandbox refuses an object or field it does not have
            return False
        return True

    def _call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        request = Request(f"{self.url}/__sandbox__/{path}", data=data, method=method, headers={"Content-Type": "application/json"})
        try:
            with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
                return json.load(answer)
        except HTTPError as error:
            with error:
                text = error.read(2000).decode("utf-8", "replace")
            raise ValueError(f"sandbox {self.url}: {method} {path.partition('?')[0]} answered {error.code}: {text}") from error
