"""The contract between `notify` and a channel."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from worker.errors import AlertError
from worker.items import StepContext


@dataclass(frozen=True)
class Alert:
    """One thing to tell about one account. `text` comes from the mapping, filled with figures; it holds ids, never names."""

    rule: str
    account_id: str
    on_: date
    text: str
    over: bool = False  # the alert's end
    recipient: str | None = None  # CRM user it is meant for
    routed: str | None = None  # csm | owner | partner: whose user that is

    @property
    def whom(self) -> str:
        """`→ 005… (partner)`, empty where nobody is named."""
        return f"→ {self.recipient or '–'} ({self.routed})" if self.routed is not None else ""


class AlertChannel(Protocol):
    def send(self, key: str, alerts: Sequence[Alert]) -> None:
        """One message with all of them. AlertError says whether trying again helps. `key` is the same when the same message comes twice."""
        ...


def open_channel(name: str, ctx: StepContext) -> AlertChannel:
    """The channel of `worker/alerts/<name>.py`."""
    try:
        module = importlib.import_module(f"worker.alerts.{name}")
    except ModuleNotFoundError as error:
        raise AlertError(f"There is no alert channel {name!r}.", permanent=True) from error
    channel: AlertChannel = module.open_channel(ctx)
    return channel
