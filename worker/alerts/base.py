"""The contract between `notify` and a channel."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from worker.errors import AlertError
from worker.settings import Settings


@dataclass(frozen=True)
class Alert:
    """One thing to tell about one account. `text` comes from the mapping, filled with figures; it holds ids, never names."""

    rule: str
    account_id: str
    on_: date
    text: str


class AlertChannel(Protocol):
    def send(self, key: str, alerts: Sequence[Alert]) -> None:
        """One message with all of them. AlertError says whether trying again helps. `key` is the same when the same message comes twice."""
        ...


def open_channel(name: str, settings: Settings) -> AlertChannel:
    """The channel of `worker/alerts/<name>.py`."""
    try:
        module = importlib.import_module(f"worker.alerts.{name}")
    except ModuleNotFoundError as error:
        raise AlertError(f"There is no alert channel {name!r}.", permanent=True) from error
    channel: AlertChannel = module.open_channel(settings)
    return channel
