"""Finds connectors by folder: `connectors/<vendor>/connector.py` makes a vendor, nobody edits a list."""

import importlib
from pathlib import Path
from typing import Any

from connectors.base import Crm
from connectors.errors import Misfit
from mappings.models import CrmMapping, Mappings


def vendors() -> list[str]:
    """Names of the CRMs there are connectors for."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/connector.py"))


def open_crm(mapping: CrmMapping, mappings: Mappings, settings: Any) -> Crm:
    """A connection by its mapping. `settings`: the process settings (`worker.settings.Settings`), of which each vendor reads its own.

    Makes no call: what is wrong with the settings shows at the first one.
    """
    crm: Crm = _module(mapping).connect(mapping, mappings, settings)
    return crm


def mapping_file(vendor: str) -> Path | None:
    """The vendor's own mapping file, where it is not the one among the shipped mappings: to be put into crm/ in the place of that."""
    path = Path(__file__).parent / vendor / "crm" / f"{vendor}.yml"
    return path if path.is_file() else None


def sandbox_demo(vendor: str) -> Any:
    """The module that seeds the vendor's sandbox with the demo's company and says how to reach it; ValueError where there is none."""
    if vendor not in vendors():
        raise ValueError(f"There is no connector for {vendor!r}; there are: {', '.join(vendors())}.")
    return importlib.import_module(f"connectors.{vendor}.sandbox.demo")


def missing_setting(mapping: CrmMapping, settings: Any) -> str:
    """The variable without which a connection cannot make its first call; empty = all there is."""
    name: str = _module(mapping).missing_setting(settings)
    return name


def account_id(mappings: Mappings, text: str) -> str:
    """What a person typed as an account's id, as the CRM tells it; Misfit if it is none in any of the CRMs."""
    wrong: Misfit | None = None
    for mapping in mappings.crm.values():
        try:
            found: str = _module(mapping).account_id(text)
            return found
        except Misfit as error:
            wrong = error
    raise wrong or Misfit("No CRM is mapped.", remedy="Add one under crm/.")


def _module(mapping: CrmMapping) -> Any:
    if mapping.vendor not in vendors():
        raise ValueError(f"There is no connector for {mapping.vendor!r}; there are: {', '.join(vendors())}.")
    return importlib.import_module(f"connectors.{mapping.vendor}.connector")
