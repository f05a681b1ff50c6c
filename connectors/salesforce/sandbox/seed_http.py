"""The way into a sandbox that already runs: its control routes under `/__sandbox__/`."""

from __future__ import annotations

from typing import Any

from connectors.salesforce.sandbox.seed_schema import Metadata
from connectors.sandbox_kit import SandboxControl, SandboxError


class HttpOrg:
    """An org behind `http://127.0.0.1:PORT`. What the sandbox refuses is raised as SandboxError with its own words."""

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is no sandbox address; give http://127.0.0.1:PORT")
        self.control = SandboxControl(url.rstrip("/"))

    def has_object(self, name: str) -> bool:
        return self._found(name, "Id")

    def has_field(self, object_name: str, field_name: str) -> bool:
        return self._found(object_name, field_name)

    def create_object(self, name: str, metadata: Metadata) -> None:
        self.control.add_fields({}, visible_to=[], objects=[{"fullName": name, **metadata}])

    def create_field(self, full_name: str, metadata: Metadata) -> None:
        self.control.add_fields({full_name: metadata}, visible_to=[])

    def insert(self, object_name: str, rows: list[dict[str, Any]]) -> list[str]:
        return self.control.seed(object_name, rows)

    def user_ids(self) -> dict[str, str]:
        return {alias: user["id"] for alias, user in self.control.info()["users"].items()}

    def exists(self, object_name: str, name: str) -> bool:
        return {"Name": name} in self.control.dump(object_name, fields="Name")

    def _found(self, object_name: str, field_name: str) -> bool:
        try:
            self.control.dump(object_name, fields=field_name)
        except SandboxError:  # an object or a field that the org does not have
            return False
        return True
