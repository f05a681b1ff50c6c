"""The demo on every CRM at once: contracts from the first, activities and people from the second, the scores in both."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Self

from ruamel.yaml import YAML

import mappings as shipped
from connectors import registry
from connectors.sandbox_kit import SandboxProcess
from worker.demo import Demo

#: What the demo's firm keeps in the CRM that is not authoritative for accounts.
THERE = ("activity", "contact")
#: What is read of an account there: by these its counterpart is found.
KEYS = ("name", "domain", "cross_id")


class BothDemo(Demo):
    """`with BothDemo(500, 1, crm="salesforce", other="hubspot") as demo: result = demo.run()`. The result's sandbox is the first CRM's."""

    def __init__(self, accounts: int, seed: int, *, crm: str, other: str, keep: bool = False) -> None:
        super().__init__(accounts, seed, crm=crm, keep=keep)
        self.other, self.other_sandbox = other, registry.sandbox_demo(other)
        self.other_box = SandboxProcess(self.folder / f"{other}.db", crm=other)

    def __enter__(self) -> Self:
        super().__enter__()
        self.other_box.start()
        return self

    def close(self) -> None:
        self.other_box.stop()
        super().close()

    def _seed(self, today: date) -> None:
        """The same firm in both; its usage files lie there once."""
        super()._seed(today)
        self.other_sandbox.seed(self.other_box, self.folder, self.accounts, self.seed, today)

    def _mappings(self) -> Path:
        """The shipped mappings with both files in crm/, each saying what it is authoritative for."""
        folder = self._copied()
        files = {vendor: registry.mapping_file(vendor) or Path(shipped.__file__).parent / f"crm/{vendor}.yml" for vendor in (self.crm, self.other)}
        yaml = YAML(typ="safe")
        yaml.default_flow_style = False
        for vendor, file in files.items():
            told: dict[str, Any] = yaml.load(file.read_text("utf-8"))
            entities: Mapping[str, Any] = told["entities"]
            if vendor == self.crm:
                told["authoritative"] = [name for name in entities if name not in THERE]
            else:
                told["authoritative"] = list(THERE)
                accounts = [{**source, "columns": {k: v for k, v in source["columns"].items() if k in KEYS}} for source in entities["account"]]
                told["entities"] = {"account": accounts, **{name: entities[name] for name in THERE}}
            with (folder / f"crm/{vendor}.yml").open("w", encoding="utf-8") as out:
                yaml.dump(told, out)
        return folder

    def _reached(self) -> dict[str, str]:
        return {**super()._reached(), **self.other_sandbox.settings(self.other_box)}

    def _as_admin(self) -> dict[str, str]:
        return {**super()._as_admin(), **self.other_sandbox.admin_settings(self.other_box)}

    def _has_own_mappings(self) -> bool:
        return True
