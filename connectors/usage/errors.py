"""The one way a whole usage file can fail. Rows that fail are not errors: they are set aside (`connectors.base.Reject`)."""

from connectors.errors import ConnectorError


class UsageFileError(ConnectorError):
    """This file cannot be taken as it is; nothing of it was kept. Its earlier version stays in force and its neighbours go on.

    `path` names the file, `what` the fault, `remedy` who must do what. Never holds a cell's value.
    """

    def __init__(self, path: str, what: str, remedy: str) -> None:
        super().__init__(f"{path}: {what}.", remedy=remedy, code="USAGE_FILE")
        self.path, self.what = path, what
