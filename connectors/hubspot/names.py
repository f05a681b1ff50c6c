"""Which object type each of our objects is in one account."""

from connectors.hubspot.stores import Stores

COMPANIES, TASKS = "companies", "tasks"


class ObjectNames:
    """account | csql | task -> object type. Where CSQLs live is looked up when it is first needed, and again after provisioning."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores

    def __getitem__(self, key: str) -> str:
        return self.stores.current().object if key == "csql" else {"account": COMPANIES, "task": TASKS}[key]

    def of(self, name: str) -> str:
        """The object type of one of ours; any other name is an object type's own."""
        return self[name] if name in ("account", "csql", "task") else name
